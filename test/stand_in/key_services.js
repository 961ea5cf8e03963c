// Stand-ins for AWS KMS, Google Cloud KMS (with its token service) and Vault's
// transit engine on one loopback port, with real AES-256-GCM behind them.  They
// check every byte of every request and note what is wrong with it; and they
// can be told to misbehave.
//
//   node test/stand_in/key_services.js CONFIG
//
// CONFIG is a JSON file: {accessKeyId, secretAccessKey, sessionToken, vaultToken,
// namespace, account: {email, keyId, publicKey (PEM)}, tls: {key, cert} (PEM)}.  The
// port is printed, and with tls a second one that speaks it.
// POST /control with {service, mode} sets a mode (ok, hang, drop, 500, 503, 403,
// garbage, notjson, empty, huge, redirect, wrongkey, short, badsum, othername,
// badcipher); GET /control answers {problems, requests, plaintexts}.
//
// As a module: serve(config, {sign}) -> {port, control, close}; sign(request)
// gives the Authorization header that the request should have, and replaces the
// implementation below.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');

const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');
const hmac = (key, data) => crypto.createHmac('sha256', key).update(data).digest();

// AWS Signature Version 4 of a request with a path of unreserved characters.
function sign({ method, path, headers, body, credentials, region, service }) {
  const names = Object.keys(headers).sort();
  const date = headers['x-amz-date'];
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`;
  const canonical = [method, path, '', ...names.map((n) => `${n}:${headers[n].trim()}`), '', names.join(';'), sha256(body)].join('\n');
  const key = [date.slice(0, 8), region, service, 'aws4_request'].reduce(hmac, `AWS4${credentials.secretAccessKey}`);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')).toString('hex');
  return `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
}

// CRC-32C, bit by bit.
function crc32c(data) {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return String((crc ^ 0xffffffff) >>> 0);
}

// The service's own keys, made when first used.
const keys = new Map();
const keyOf = (id) => keys.get(id) ?? keys.set(id, crypto.randomBytes(32)).get(id);

function seal(id, plaintext, aad) {
  const iv = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv('aes-256-gcm', keyOf(id), iv).setAAD(Buffer.from(aad));
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

// The plaintext, or null.
function open(id, blob, aad) {
  try {
    const cipher = crypto.createDecipheriv('aes-256-gcm', keyOf(id), blob.subarray(0, 12)).setAAD(Buffer.from(aad)).setAuthTag(blob.subarray(-16));
    return Buffer.concat([cipher.update(blob.subarray(12, -16)), cipher.final()]);
  } catch {
    return null;
  }
}

class Failure extends Error {
  constructor(status, body) { super(); Object.assign(this, { status, body }); }
}

function serve(config, options = {}) {
  const state = { problems: [], requests: [], plaintexts: new Set(), tokens: new Set(), modes: { aws: 'ok', google: 'ok', token: 'ok', vault: 'ok' } };
  const problem = (text) => { state.problems.push(text); };
  const expect = (what, got, want) => { if (got !== want) problem(`${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`); };

  // A body must be what JSON.stringify makes of the members in this order.
  function exactJson(who, raw, names) {
    let parsed;
    try { parsed = JSON.parse(raw.toString()); } catch { problem(`${who}: not JSON`); throw new Failure(400, {}); }
    expect(`${who}: members`, Object.keys(parsed).join(), names.join());
    expect(`${who}: spelling`, raw.toString(), JSON.stringify(parsed));
    return parsed;
  }
  function exactHeaders(who, request, wanted) {
    const got = {};
    for (let i = 0; i < request.rawHeaders.length; i += 2) got[request.rawHeaders[i].toLowerCase()] = request.rawHeaders[i + 1];
    for (const name of ['host', 'user-agent', 'accept', 'content-length']) delete got[name];
    expect(`${who}: headers`, Object.keys(got).sort().join(), Object.keys(wanted).sort().join());
    for (const [name, value] of Object.entries(wanted)) {
      if (value instanceof RegExp ? !value.test(got[name] ?? '') : got[name] !== value) problem(`${who}: header ${name} is ${got[name]}`);
    }
    expect(`${who}: user agent`, request.headers['user-agent'], 'padlock/1.0 (+robots: padlock)');
    return got;
  }
  const plaintextOf = (who, text) => {
    const bytes = Buffer.from(text, 'base64');
    expect(`${who}: base64`, bytes.toString('base64'), text);
    expect(`${who}: bytes of a key`, bytes.length, 32);
    state.plaintexts.add(bytes.toString('hex'));
    return bytes;
  };

  function checkSignature(request, raw) {
    const authorization = request.headers.authorization ?? '';
    const [, id, date, region, names] = authorization.match(/^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/kms\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$/) ?? [];
    if (!id) throw new Failure(400, { __type: 'com.amazon.coral.service#IncompleteSignatureException' });
    expect('aws: signed headers', names, `content-type;host;x-amz-content-sha256;x-amz-date;${config.sessionToken ? 'x-amz-security-token;' : ''}x-amz-target`);
    const time = request.headers['x-amz-date'];
    const sent = Date.parse(time.replace(/(....)(..)(..T..)(..)(..Z)/, '$1-$2-$3:$4:$5'));
    if (!(Math.abs(Date.now() - sent) < 60000)) problem(`aws: signed at ${time}`);
    expect('aws: date', time.slice(0, 8), date);
    expect('aws: hash of the body', request.headers['x-amz-content-sha256'], sha256(raw));
    if (id !== config.accessKeyId) throw new Failure(400, { __type: 'UnrecognizedClientException', message: authorization });
    const headers = Object.fromEntries(names.split(';').map((n) => [n, request.headers[n]]));
    const wanted = (options.sign ?? sign)({ method: request.method, path: request.url, headers, body: raw, credentials: config, region, service: 'kms' });
    return Promise.resolve(wanted).then((w) => {
      if (w !== authorization) throw new Failure(400, { __type: 'InvalidSignatureException', message: authorization });
      return region;
    });
  }

  async function aws(request, raw, mode) {
    exactHeaders('aws', request, {
      'content-type': 'application/x-amz-json-1.1', 'x-amz-target': /^TrentService\.(Encrypt|Decrypt)$/, 'x-amz-date': /^\d{8}T\d{6}Z$/,
      'x-amz-content-sha256': /^[0-9a-f]{64}$/, authorization: /^AWS4-HMAC-SHA256 /, ...(config.sessionToken ? { 'x-amz-security-token': config.sessionToken } : {}),
    });
    const region = await checkSignature(request, raw);
    const encrypt = request.headers['x-amz-target'].endsWith('Encrypt');
    const body = exactJson('aws', raw, ['KeyId', encrypt ? 'Plaintext' : 'CiphertextBlob', 'EncryptionContext']);
    expect('aws: region of the key', body.KeyId.split(':')[3], region);
    expect('aws: context', Object.keys(body.EncryptionContext).join(), 'padlock-key');
    if (body.KeyId.endsWith('/missing')) throw new Failure(400, { __type: 'NotFoundException' });
    const aad = JSON.stringify(body.EncryptionContext);
    const KeyId = mode === 'othername' ? `${body.KeyId}x` : body.KeyId;
    if (encrypt) {
      const plaintext = plaintextOf('aws', body.Plaintext);
      const blob = mode === 'badcipher' ? crypto.randomBytes(100) : seal(body.KeyId, plaintext, aad);
      return { CiphertextBlob: blob.toString('base64'), EncryptionAlgorithm: 'SYMMETRIC_DEFAULT', KeyId };
    }
    const plaintext = open(body.KeyId, Buffer.from(body.CiphertextBlob, 'base64'), aad);
    if (!plaintext) throw new Failure(400, { __type: 'InvalidCiphertextException' });
    return { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT', KeyId, Plaintext: spoilt(plaintext, mode).toString('base64') };
  }

  // What a service gives that is not what was wrapped.
  const spoilt = (key, mode) => (mode === 'wrongkey' ? crypto.randomBytes(32) : mode === 'short' ? key.subarray(1) : key);

  function token(request, raw, mode) {
    exactHeaders('token', request, { 'content-type': 'application/x-www-form-urlencoded' });
    const [, jwt] = raw.toString().match(/^grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/) ?? [];
    if (!jwt) { problem(`token: form ${raw}`); throw new Failure(400, { error: 'invalid_request' }); }
    const [head, claims, signature] = jwt.split('.').map((part) => Buffer.from(part, 'base64url'));
    expect('token: head', head.toString(), JSON.stringify({ alg: 'RS256', typ: 'JWT', kid: config.account.keyId }));
    if (!crypto.verify('sha256', Buffer.from(jwt.slice(0, jwt.lastIndexOf('.'))), config.account.publicKey, signature)) throw new Failure(400, { error: 'invalid_grant' });
    const parsed = JSON.parse(claims.toString());
    expect('token: claims', claims.toString(), JSON.stringify({
      iss: config.account.email, scope: 'https://www.googleapis.com/auth/cloudkms', aud: `http://127.0.0.1:${server.address().port}/token`, iat: parsed.iat, exp: parsed.iat + 3600,
    }));
    if (!(Math.abs(Date.now() / 1000 - parsed.iat) < 60)) problem(`token: issued at ${parsed.iat}`);
    const made = `ya29.${crypto.randomBytes(40).toString('base64url')}`;
    state.tokens.add(made);
    return { access_token: mode === 'badcipher' ? 'a b' : made, expires_in: mode === 'short' ? 61 : 3599, token_type: 'Bearer' };
  }

  function google(request, raw, mode) {
    const given = (request.headers.authorization ?? '').replace(/^Bearer /, '');
    if (!state.tokens.has(given)) throw new Failure(401, { error: { code: 401, message: given, status: 'UNAUTHENTICATED' } });
    exactHeaders('google', request, { 'content-type': 'application/json', authorization: `Bearer ${given}` });
    const [, key, method] = request.url.match(/^\/v1\/(projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/:]+):(encrypt|decrypt)$/) ?? [];
    if (!key) { problem(`google: path ${request.url}`); throw new Failure(404, {}); }
    const input = method === 'encrypt' ? 'plaintext' : 'ciphertext';
    const body = exactJson('google', raw, [input, `${input}Crc32c`, 'additionalAuthenticatedData', 'additionalAuthenticatedDataCrc32c']);
    const aad = Buffer.from(body.additionalAuthenticatedData, 'base64');
    const bytes = Buffer.from(body[input], 'base64');
    expect('google: checksum of the data', body[`${input}Crc32c`], crc32c(bytes));
    expect('google: checksum of the name', body.additionalAuthenticatedDataCrc32c, crc32c(aad));
    const sum = (data) => (mode === 'badsum' ? '1' : crc32c(data));
    if (method === 'encrypt') {
      const blob = mode === 'badcipher' ? crypto.randomBytes(100) : seal(key, plaintextOf('google', body.plaintext), aad);
      return {
        name: `${key}/cryptoKeyVersions/1`, ciphertext: blob.toString('base64'), ciphertextCrc32c: sum(blob), verifiedPlaintextCrc32c: mode !== 'othername',
        verifiedAdditionalAuthenticatedDataCrc32c: true, protectionLevel: 'SOFTWARE',
      };
    }
    const plaintext = open(key, bytes, aad);
    if (!plaintext) throw new Failure(400, { error: { code: 400, status: 'INVALID_ARGUMENT' } });
    const given2 = spoilt(plaintext, mode);
    return { plaintext: given2.toString('base64'), plaintextCrc32c: sum(given2), usedPrimary: true, protectionLevel: 'SOFTWARE' };
  }

  function vault(request, raw, mode) {
    if (request.headers['x-vault-token'] !== config.vaultToken) throw new Failure(403, { errors: [`permission denied ${request.headers['x-vault-token']}`] });
    exactHeaders('vault', request, { 'content-type': 'application/json', 'x-vault-token': config.vaultToken, 'x-vault-request': 'true', ...(config.namespace ? { 'x-vault-namespace': config.namespace } : {}) });
    const [, action, key] = request.url.match(/^\/v1\/transit\/(encrypt|decrypt)\/([a-z-]+)$/) ?? [];
    if (!key) { problem(`vault: path ${request.url}`); throw new Failure(404, { errors: [] }); }
    const body = exactJson('vault', raw, [action === 'encrypt' ? 'plaintext' : 'ciphertext', 'associated_data']);
    const aad = Buffer.from(body.associated_data, 'base64');
    if (action === 'encrypt') {
      const blob = mode === 'badcipher' ? crypto.randomBytes(100) : seal(key, plaintextOf('vault', body.plaintext), aad);
      return { request_id: 'x', lease_duration: 0, data: { ciphertext: `${mode === 'othername' ? '"' : 'vault:v1:'}${blob.toString('base64')}`, key_version: 1 } };
    }
    const plaintext = body.ciphertext.startsWith('vault:v1:') && open(key, Buffer.from(body.ciphertext.slice(9), 'base64'), aad);
    if (!plaintext) throw new Failure(400, { errors: ['cipher: message authentication failed'] });
    return { request_id: 'x', lease_duration: 0, data: { plaintext: spoilt(plaintext, mode).toString('base64') } };
  }

  // Misbehave as a transport; true if that was the answer.
  function misbehave(mode, response) {
    const { socket } = response;
    if (mode === 'hang') return true;
    if (mode === 'drop') { socket.destroy(); return true; }
    if (/^\d+$/.test(mode)) { response.writeHead(Number(mode)); response.end('{"error":{"status":"a b"},"__type":"<x>"}'); return true; }
    if (mode === 'garbage') { socket.end('\x01\x02\x03 lorem ipsum\r\n\r\n'); return true; }
    if (mode === 'notjson') { response.end('<html>'); return true; }
    if (mode === 'empty') { response.end('{}'); return true; }
    if (mode === 'redirect') { response.writeHead(307, { location: '/elsewhere' }); response.end(); return true; }
    if (mode === 'huge') { response.write('{"x":"'); for (let i = 0; i < 100; i++) response.write('x'.repeat(65536)); response.end('"}'); return true; }
    return false;
  }

  function control(message) {
    if (message) state.modes[message.service] = message.mode;
    return { problems: state.problems, requests: state.requests, plaintexts: [...state.plaintexts], tokens: [...state.tokens] };
  }

  async function answer(request, raw, response) {
    const send = (status, body) => { response.writeHead(status, { 'content-type': 'application/json' }); response.end(JSON.stringify(body)); };
    if (request.url === '/control') return send(200, control(raw.length ? JSON.parse(raw) : null));
    const [service, handler] = request.url === '/' ? ['aws', aws] : request.url === '/token' ? ['token', token]
      : request.url.startsWith('/v1/projects/') ? ['google', google] : request.url.startsWith('/v1/transit/') ? ['vault', vault] : [];
    if (!service) { problem(`path ${request.url}`); return send(404, {}); }
    const mode = state.modes[service];
    state.requests.push({ service, target: request.headers['x-amz-target'] ?? request.url, mode });
    expect('method', request.method, 'POST');
    if (misbehave(mode, response)) return undefined;
    try {
      return send(200, await handler(request, raw, mode));
    } catch (failure) {
      if (!(failure instanceof Failure)) { problem(`${service}: ${failure.stack}`); return send(500, {}); }
      return send(failure.status, failure.body);
    }
  }

  const listener = (request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => answer(request, Buffer.concat(parts), response));
  };
  const server = http.createServer(listener);
  const servers = [server, ...(config.tls ? [https.createServer(config.tls, listener)] : [])];
  return Promise.all(servers.map((one) => new Promise((resolve) => { one.listen(0, '127.0.0.1', () => resolve(one.address().port)); })))
    .then(([port, tlsPort]) => ({ port, tlsPort, control, close: () => servers.forEach((one) => { one.closeAllConnections?.(); one.close(); }) }));
}

module.exports = { serve, sign };

if (require.main === module) {
  const parent = process.ppid;
  serve(JSON.parse(fs.readFileSync(process.argv[2]))).then(({ port, tlsPort }) => console.log(port, tlsPort ?? ''));
  // the test that started us may be killed
  setInterval(() => { if (process.ppid !== parent) process.exit(0); }, 500);
}
