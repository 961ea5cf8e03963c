// Key services and the object store, with the AWS SDK's own signer and npm's s3rver
// on the other side: keys of a KMS, a document that leaves the database and returns.
'use strict';

const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { randomBytes } = require('node:crypto');
const { SignatureV4 } = require('@smithy/signature-v4');
const { Sha256 } = require('@aws-crypto/sha256-js');
const S3rver = require('s3rver');
const { start, stop, client, bearer, curl, post } = require('./helpers');
const keyServices = require(path.join(process.env.PADLOCK_STAND_INS, 'key_services.js'));

const changed = new Set();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'stores-'));
const aws = { accessKeyId: 'AKIDPADLOCKTEST0003', secretAccessKey: 'e2e/secret+key-4716', sessionToken: 'e2e/token+4717==' };
const keyArn = 'arn:aws:kms:eu-north-1:123456789012:key/mrk-0123456789abcdef';
let world;
let kms;
let s3;

// A file of the server's user, who runs this test as well.
function secretFile(name, key) {
  const file = path.join(folder, name);

  fs.writeFileSync(file, `[default]\naws_access_key_id = ${key.accessKeyId}\naws_secret_access_key = ${key.secretAccessKey}\n`
    + (key.sessionToken ? `aws_session_token = ${key.sessionToken}\n` : ''), { mode: 0o600 });
  return file;
}

const value = async (sql, ...parameters) => Object.values((await world.owner.query(sql, parameters)).rows[0] ?? { none: null })[0];

async function eventually(sql, ...parameters) {
  for (let i = 0; i < 300; i++) {
    if (await value(sql, ...parameters) === true)
      return;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  assert.fail(`never: ${sql}; ${JSON.stringify((await world.owner.query("SELECT job_type, status, error_message FROM job_queue WHERE status <> 'completed'")).rows)} ${
    JSON.stringify((await world.owner.query('SELECT * FROM padlock.key_services()')).rows)}`);
}

async function settings(values) {
  for (const [name, text] of Object.entries(values)) {
    await world.owner.query(`ALTER SYSTEM SET padlock.${name} = '${text}'`);
    changed.add(name);
  }
  await world.owner.query('SELECT pg_reload_conf()');
  const [name, text] = Object.entries(values).at(-1);
  for (let i = 0; i < 100 && await value(`SELECT current_setting('padlock.${name}')`) !== text; i++)
    await new Promise((resolve) => { setTimeout(resolve, 20); });
}

// What the SDK would have sent.
async function sdkSign({ method, path: target, headers, body, credentials, region, service }) {
  const signer = new SignatureV4({ credentials, region, service, sha256: Sha256, applyChecksum: true });
  const time = headers['x-amz-date'].replace(/(....)(..)(..T..)(..)(..Z)/, '$1-$2-$3:$4:$5');
  const { 'x-amz-date': date, 'x-amz-content-sha256': hash, 'x-amz-security-token': token, ...own } = headers;
  const signed = await signer.sign({ method, protocol: 'http:', hostname: 'unused', path: target, query: {}, headers: own, body }, { signingDate: new Date(time) });

  assert.deepEqual([signed.headers['x-amz-date'], signed.headers['x-amz-content-sha256'], signed.headers['x-amz-security-token']], [date, hash, token]);
  return signed.headers.authorization;
}

before(async () => {
  kms = await keyServices.serve(aws, { sign: sdkSign });
  s3 = new S3rver({ address: '127.0.0.1', port: 0, silent: true, directory: path.join(folder, 'objects'), resetOnClose: true, configureBuckets: [{ name: 'documents' }], serviceEndpoint: 'localhost' });
  const { port } = await s3.run();
  world = await start('e2e_stores');
  await settings({
    aws_kms_url: `http://127.0.0.1:${kms.port}`, aws_credentials_file: secretFile('kms', aws), s3_url: `http://s3.localhost:${port}`, s3_bucket: 'documents', s3_path_style: 'on',
    s3_credentials_file: secretFile('store', { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' }), document_store: 's3',
  });
});
after(async () => {
  for (const name of changed)
    await world.owner.query(`ALTER SYSTEM RESET padlock.${name}`);
  await world.owner.query('SELECT pg_reload_conf()');
  await stop(world);
  kms.close();
  await s3.close();
  fs.rmSync(folder, { recursive: true });
});

test('AWS KMS: a key is made and unlocked with requests signed as the SDK signs them', async () => {
  assert.equal(await value("SELECT padlock.create_key('documents', 'aws_kms', $1)", keyArn), 'documents/1');
  await eventually("SELECT unlocked AND state = 'active' FROM padlock.keyring() WHERE key_name = 'documents/1'");
  await world.owner.query('SELECT padlock.lock_keyring()');
  await world.owner.query('SELECT padlock.unlock_keyring()');
  await eventually("SELECT unlocked FROM padlock.keyring() WHERE key_name = 'documents/1'");
  const { problems, requests } = kms.control();
  assert.deepEqual(problems, []);
  assert.deepEqual(requests.map((r) => r.target), ['TrentService.Encrypt', 'TrentService.Decrypt', 'TrentService.Decrypt']);
});

// Where s3rver keeps what it was given.
function objects(where = path.join(folder, 'objects', 'documents')) {
  return fs.readdirSync(where, { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(where, entry.name);
    if (entry.isDirectory())
      return objects(name);
    return name.endsWith('_object') ? [fs.readFileSync(name)] : [];
  });
}

async function roundTrip() {
  const content = Buffer.concat([Buffer.from('Dear Maya, '), randomBytes(300_000)]);
  const { data, error } = await client(world, world.user).functions.invoke('document-upload', { body: { title: 'letter', encrypt: true, content: content.toString('base64') } });

  assert.equal(error, null);
  const { id } = data.document;
  await eventually('SELECT content IS NULL AND object_key IS NOT NULL FROM padlock.document_contents WHERE document_id = $1', id);
  const stored = objects();
  assert.equal(stored.length, 1);
  assert.ok(stored[0].length > content.length && !stored[0].includes('Dear Maya'));

  const read = () => curl(world, ...bearer(world.user.token), ...post({ document_id: id }), '/rest/v1/rpc/document_content');
  const first = await read();
  assert.deepEqual([first.status, first.headers['retry-after'], first.body], [202, '1', 'null']);
  await eventually('SELECT content IS NOT NULL FROM padlock.document_contents WHERE document_id = $1', id);
  const second = await read();
  assert.equal(second.status, 200);
  assert.equal(second.json, `\\x${content.toString('hex')}`);

  await world.owner.query('DELETE FROM documents WHERE id = $1', [id]);
  await eventually("SELECT NOT EXISTS (SELECT FROM job_queue WHERE status IN ('pending', 'processing'))");
  assert.deepEqual(objects(), []);
}

test('s3rver: a document goes out sealed, returns and is erased, path style', roundTrip);

test('s3rver: the same with the bucket in the host', async () => {
  await settings({ s3_path_style: 'off' });
  await roundTrip();
});

test('s3rver: a wrong key is refused, and the document stays readable', async () => {
  // s3rver knows access keys by name, and leaves signatures to sigv4.test.js
  secretFile('store', { accessKeyId: 'STRANGER', secretAccessKey: 'S3RVER' });
  const { data } = await client(world, world.user).functions.invoke('document-upload', { body: { title: 'stays', encrypt: true, content: 'c3RheXM=' } });
  const { id } = data.document;

  await eventually("SELECT error_message LIKE '%status 403%' FROM job_queue WHERE job_type = 'document_store' AND payload->>'document_id' = $1", id);
  const answer = await curl(world, ...bearer(world.user.token), ...post({ document_id: id }), '/rest/v1/rpc/document_content');
  assert.deepEqual([answer.status, answer.json], [200, '\\x7374617973']);
});
