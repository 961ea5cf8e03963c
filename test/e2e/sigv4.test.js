// padlock_fetch's signatures (src/agent/fetch_sigv4.c) against those of the
// AWS SDK's own signer, over many random requests.
'use strict';

const assert = require('node:assert');
const crypto = require('node:crypto');
const { execFileSync } = require('node:child_process');
const test = require('node:test');
const { SignatureV4 } = require('@smithy/signature-v4');
const { Sha256 } = require('@aws-crypto/sha256-js');

const REQUESTS = 1000;
const seed = process.env.PADLOCK_SEED || crypto.randomBytes(8).toString('hex');
let counter = 0;

// Random numbers that a seed gives again.
function below(n) {
  const hash = crypto.createHash('sha256').update(`${seed}/${counter++}`).digest();
  return hash.readUInt32BE(0) % n;
}
const pick = (list) => list[below(list.length)];
const chars = (set, min, max) => Array.from({ length: min + below(max - min + 1) }, () => pick(set)).join('');

const word = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'];
const odd = [...word, ...'-._~ !$&\'()*+,;=:@%/?#"<>[]{}|^`äß€漢😀'];
const visible = [...word, ...' !"#$%&\'()*+,-./:;<=>?@[]^_`{|}~'];

// As a careful client spells bytes in a URL: all but unreserved characters encoded.
const encoded = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());

function randomRequest() {
  const service = pick(['s3', 's3', 'kms', 'sts', 'execute-api']);
  const path = Array.from({ length: below(5) }, () => encoded(chars(odd.filter((c) => c !== '/'), 1, 12)))
    .filter((part) => part !== '.' && part !== '..');
  const query = {};
  for (let i = below(5); i > 0; i--) query[chars(odd, 1, 8)] = chars(odd, 0, 12);
  const headers = { host: pick(['localhost:4568', 'bucket.s3.eu-west-1.amazonaws.com', '127.0.0.1:9000', '[::1]:9000']) };
  for (let i = below(5); i > 0; i--) headers[pick(['x-amz-', 'x-', 'content-', '']) + chars([...word.slice(0, 26), '-'], 2, 12) + 'z'] = chars(visible, 0, 30);
  return {
    time: below(2 ** 31),
    credentials: {
      accessKeyId: 'AKIA' + chars(word, 16, 16), secretAccessKey: chars([...word, '/', '+'], 1, 60),
      ...(below(2) ? { sessionToken: chars([...word, '/', '+', '='], 1, 800) } : {}),
    },
    region: pick(['us-east-1', 'eu-central-2', 'x']), service,
    method: pick(['GET', 'PUT', 'POST', 'DELETE']),
    path: '/' + path.join('/') + (path.length && below(4) === 0 ? '/' : ''),
    query, headers, body: crypto.randomBytes(below(4) ? below(200) : 0),
  };
}

// The line that fetch_check reads.
function line(r) {
  const query = Object.entries(r.query).map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join('&');
  return [r.time, r.credentials.accessKeyId, r.credentials.secretAccessKey, r.credentials.sessionToken || '', r.region, r.service,
    r.method, r.path + (query ? `?${query}` : ''), r.body.toString('hex'),
    ...Object.entries(r.headers).map(([name, value]) => `${name}: ${value}`)].join('\t');
}

async function sdkAuthorization(r) {
  const signer = new SignatureV4({
    credentials: r.credentials, region: r.region, service: r.service, sha256: Sha256,
    uriEscapePath: r.service !== 's3', applyChecksum: true,
  });
  const signed = await signer.sign(
    { method: r.method, protocol: 'https:', hostname: 'unused', path: r.path, query: r.query, headers: { ...r.headers }, body: r.body },
    { signingDate: new Date(r.time * 1000) });
  return signed.headers.authorization;
}

test(`signatures equal those of the AWS SDK's signer (seed ${seed})`, async () => {
  const requests = Array.from({ length: REQUESTS }, randomRequest);
  const output = execFileSync(process.env.PADLOCK_FETCH_CHECK, ['sigv4'], { input: requests.map(line).join('\n') + '\n', maxBuffer: 1 << 28 }).toString();
  const lines = output.split('\n');
  for (const [i, request] of requests.entries()) {
    const headers = Object.fromEntries(lines[i].split('\t').map((h) => [h.slice(0, h.indexOf(':')).toLowerCase(), h.slice(h.indexOf(':') + 2)]));
    assert.strictEqual(headers.authorization, await sdkAuthorization(request), `request ${i}: ${line(request)}`);
    assert.strictEqual(headers['x-amz-content-sha256'], crypto.createHash('sha256').update(request.body).digest('hex'));
    assert.strictEqual(headers['x-amz-security-token'], request.credentials.sessionToken);
  }
});
