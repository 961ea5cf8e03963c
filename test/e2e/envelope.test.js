// Messages are those of the AWS Encryption SDK: its JavaScript client reads
// what padlock wrote and writes what padlock reads, offline, with raw keys.
'use strict';

const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { buildClient, CommitmentPolicy, RawAesKeyringNode, RawAesWrappingSuiteIdentifier,
  AlgorithmSuiteIdentifier } = require('@aws-crypto/client-node');
const { start, stop, client } = require('./helpers');

const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
const suiteId = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY;
let world;
let keys;

// A keyring of one raw key, from memory of its own as the SDK wants it.
const keyring = (keyNamespace, keyName, bytes) => new RawAesKeyringNode({ keyNamespace, keyName,
  unencryptedMasterKey: Uint8Array.from(bytes), wrappingSuite: RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
  utf8Sorting: true });   // as the format wants it; the SDK's default sorts as the machine's language does

const query = async (sql, values) => (await world.owner.query(sql, values)).rows;

// The key of that name in clear, as somebody with the key file and a copy of
// padlock.keys, but without PostgreSQL, gets it.
async function recover(name) {
  const [{ wrapped }] = await query("SELECT wrapped FROM padlock.keys WHERE key_id || '/' || version = $1", [name]);
  const file = Buffer.from(fs.readFileSync(process.env.PADLOCK_KEY_FILE, 'ascii').trim(), 'hex');
  const { plaintext, messageHeader } = await decrypt(keyring('padlock-key-file', 'key-file', file), wrapped);

  assert.deepEqual({ ...messageHeader.encryptionContext }, { 'padlock-key': name });
  assert.equal(plaintext.length, 32);
  return keyring('padlock', name, plaintext);
}

const seal = async (plaintext, context) =>
  (await query("SELECT padlock.encrypt($1, 'documents', $2) AS message", [plaintext, context]))[0].message;
const open = async (message, context) =>
  (await query('SELECT padlock.decrypt($1, $2) AS plaintext', [message, context]))[0].plaintext;

before(async () => {
  world = await start('e2e_envelope');
  await query('SELECT padlock.init_keyring()');
  keys = await recover('documents/1');
});
after(() => stop(world));

const contexts = [
  {},
  { document_id: 'd', table: 'documents', user_id: 'u' },
  { '': 'an empty key', empty: '' },
  { b: '2', a: '1', aa: '3', B: '4', 0: '5', '-': '6', '~': '7' },
  { 'tab\tand\nnewline': 'quote" and \\ and \u0001\u007f', ' ': ' ', "'": '<>&' },
  { é: 'Zoë', 'Straße': 'ß', 'п': 'р', '中': '文', '\u200f': 'rtl', 'e\u0301': 'combined' },
  { '\ue000': 'private', '\uffee': 'half width' },
  { '\u{1f600}': '\u{1f4a9}', '\u{10ffff}': 'last' },
  Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`key ${n}`, `value ${n}`.repeat(10)])),
];

test('contexts with every kind of character, both ways', async () => {
  for (const context of contexts) {
    const { plaintext, messageHeader } = await decrypt(keys, await seal(Buffer.from('hello'), context));

    assert.equal(plaintext.toString(), 'hello');
    assert.deepEqual({ ...messageHeader.encryptionContext }, context);
    assert.equal(messageHeader.suiteId, suiteId);
    const { result } = await encrypt(keys, 'hello again', { suiteId, encryptionContext: context });
    assert.equal((await open(result, context)).toString(), 'hello again');
  }
});

test('keys beyond the basic plane sort by their UTF-8 bytes', async () => {
  const context = { '\u{1f600}': '1', '\ue000': '2', '\uffee': '3' };

  assert.deepEqual({ ...(await decrypt(keys, await seal(Buffer.from('x'), context))).messageHeader.encryptionContext }, context);
  const { result } = await encrypt(keys, 'y', { suiteId, encryptionContext: context });
  assert.equal((await open(result, context)).toString(), 'y');
});

test('sizes around the edges of frames, both ways', async () => {
  const frame = 256 * 1024;

  for (const size of [0, 1, 2, 15, 16, 17, 4095, 4096, 4097, frame - 1, frame, frame + 1, 2 * frame - 1, 2 * frame, 2 * frame + 1]) {
    const plaintext = Buffer.alloc(size, 'x');
    const message = await seal(plaintext, { size: String(size) });

    assert.ok((await decrypt(keys, message, { maxBodySize: frame })).plaintext.equals(plaintext), `padlock to SDK, ${size}`);
  }
  for (const frameLength of [1, 16, 4096, 65536]) {
    for (const frames of [0, 1, 2, 3]) {
      for (const size of [frames * frameLength - 1, frames * frameLength, frames * frameLength + 1].filter((n) => n >= 0)) {
        const plaintext = Buffer.alloc(size, 'y');
        const { result } = await encrypt(keys, plaintext, { suiteId, frameLength, encryptionContext: { a: 'b' } });

        assert.ok((await open(result, { a: 'b' })).equals(plaintext), `SDK to padlock, ${size} in frames of ${frameLength}`);
      }
    }
  }
});

test('the SDK refuses what was changed, and padlock what another key or suite made', async () => {
  const message = await seal(Buffer.from('hello'), { a: 'b' });

  for (const at of [0, 40, message.length - 60, message.length - 1]) {
    const changed = Buffer.from(message);
    changed[at] ^= 1;
    await assert.rejects(decrypt(keys, changed), `byte ${at}`);
  }
  const refused = { code: '22000', message: 'message could not be decrypted' };
  const { result: foreign } = await encrypt(keyring('padlock', 'documents/1', Buffer.alloc(32, 7)), 'x', { suiteId });
  await assert.rejects(open(foreign, {}), refused);
  const lax = buildClient(CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT);
  const { result: uncommitted } = await lax.encrypt(keys, 'x', { suiteId: AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA256 });
  await assert.rejects(open(uncommitted, {}), refused);
  const { result } = await encrypt(keys, 'x', { suiteId, encryptionContext: { a: 'b' } });
  await assert.rejects(open(result, { a: 'c' }), refused);
});

test('signed messages, as the SDK makes by default, are read; every change of one is refused', async () => {
  for (const encryptionContext of contexts) {
    for (const [plaintext, frameLength] of [['', 4096], ['hello', 1], ['x'.repeat(5000), 4096]]) {
      const { result } = await encrypt(keys, plaintext, { frameLength, encryptionContext });

      assert.equal(result.readUInt16BE(1), AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384);
      assert.equal((await open(result, encryptionContext)).toString(), plaintext);
    }
  }
  const refused = { code: '22000', message: 'message could not be decrypted' };
  const { result } = await encrypt(keys, 'hello', { encryptionContext: { a: 'b', z: 'y' } });
  const { result: other } = await encrypt(keys, 'hello', { encryptionContext: { a: 'b', z: 'y' } });
  for (const context of [{}, { a: 'b' }, { z: 'y' }, { a: 'b', z: 'y', more: 'x' }, { a: 'b', z: 'x' }, { a: 'y', z: 'b' }]) await assert.rejects(open(result, context), refused);
  for (let at = 0; at < result.length; at++) {
    const changed = Buffer.from(result);
    changed[at] ^= 1;
    await assert.rejects(open(changed, { a: 'b', z: 'y' }), refused, `byte ${at}`);
  }
  for (let length = result.length - 120; length < result.length; length++) await assert.rejects(open(result.subarray(0, length), { a: 'b', z: 'y' }), refused);
  await assert.rejects(open(Buffer.concat([result, Buffer.from([0])]), { a: 'b', z: 'y' }), refused);
  // a signature is two numbers in DER: 102 to 104 bytes, rarely a few less, after its own length
  const footer = (message) => {
    for (let length = 104; length > 90; length--) {
      const at = message.length - length - 2;
      if (message.readUInt16BE(at) === length && message[at + 2] === 0x30 && message[at + 3] === length - 2) return at;
    }
    throw new Error('no signature');
  };
  await assert.rejects(open(Buffer.concat([result.subarray(0, footer(result)), other.subarray(footer(other))]), { a: 'b', z: 'y' }), refused);
  assert.equal((await open(result, { a: 'b', z: 'y' })).toString(), 'hello');
});

test('a document: uploaded and read by its owner, opened elsewhere with the raw key', async () => {
  const api = client(world, world.user);
  const text = `Grüße, ${'x'.repeat(300000)}`;
  const { data, error } = await api.rpc('document_upload', { title: 'Letter', content: Buffer.from(text).toString('base64'), encrypt: true });

  assert.equal(error, null);
  assert.deepEqual([data.success, data.encrypted, data.document.is_encrypted, data.document.encryption_key_id, data.document.encryption_status],
    [true, true, true, 'documents/1', 'sealed']);
  const id = data.document.id;
  const read = await api.rpc('document_content', { document_id: id });
  assert.equal(Buffer.from(read.data.slice(2), 'hex').toString(), text);
  assert.equal((await client(world, world.other).rpc('document_content', { document_id: id })).status, 404);
  const [{ content, user_id: user }] = await query(
    'SELECT content, user_id FROM padlock.document_contents JOIN documents ON id = document_id WHERE id = $1', [id]);
  const { plaintext, messageHeader } = await decrypt(keys, content);
  assert.equal(plaintext.toString(), text);
  assert.deepEqual({ ...messageHeader.encryptionContext }, { document_id: id, part: 'content', table: 'documents', user_id: user });

  const put = await api.rpc('document_put', { document_id: id, content: '\\x' + Buffer.from('another').toString('hex') });
  assert.deepEqual([put.status, put.data.document.file_size], [200, 7]);
  assert.equal(Buffer.from((await api.rpc('document_content', { document_id: id })).data.slice(2), 'hex').toString(), 'another');
  const reads = await query("SELECT user_id, ip_address FROM audit_logs WHERE action = 'READ' AND record_id = $1", [id]);
  assert.deepEqual(reads.map((row) => row.user_id), [user, user]);
});

test('after a rotation each message names its key, and the raw keys open both', async () => {
  const old = await seal(Buffer.from('old'), {});
  await query("SELECT padlock.rotate_key('documents')");
  const fresh = await seal(Buffer.from('fresh'), {});
  const next = await recover('documents/2');

  assert.equal((await decrypt(keys, old)).plaintext.toString(), 'old');
  assert.equal((await decrypt(next, fresh)).plaintext.toString(), 'fresh');
  await assert.rejects(decrypt(keys, fresh));
  await query('SELECT padlock.rewrap_keyring()');
  assert.equal((await decrypt(await recover('documents/2'), fresh)).plaintext.toString(), 'fresh');
});
