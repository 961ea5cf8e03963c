// A stand-in for an S3-compatible object store on one loopback port: PUT, GET and
// DELETE of objects, every byte of the requests checked, signatures included.
//
//   node test/stand_in/object_store.js CONFIG
//
// CONFIG is a JSON file: {accessKeyId, secretAccessKey, sessionToken, region,
// bucket}.  The port is printed.  The bucket is in the host (BUCKET.localhost) or in
// the path.  POST /control with {mode} sets a mode (ok, hang, drop, 403, 500, 503,
// garbage, corrupt, huge, truncate, unsure: stored, and 500, lose and spoil: not
// stored, or not as it is, and 200); GET /control answers {problems, requests,
// objects: {key: base64}}.  "mode KEY" misbehaves about that object only.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const { sign } = require('./key_services.js');

const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');

function serve(config) {
  const state = { problems: [], requests: [], objects: new Map(), mode: 'ok' };
  const expect = (what, got, want) => { if (got !== want) state.problems.push(`${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`); };

  // The key that a request is about; the style of its address is noted.
  function objectKey(request) {
    const [host] = request.headers.host.split(':');
    const virtual = host === `${config.bucket}.localhost`;
    const [, bucket, key] = virtual ? ['', config.bucket, request.url.slice(1)] : request.url.match(/^\/([^/]+)\/(.+)$/) ?? [];
    expect('bucket', bucket, config.bucket);
    if (!/^[A-Za-z0-9._/-]+$/.test(key ?? '')) state.problems.push(`key ${key}`);
    return { key, style: virtual ? 'host' : 'path' };
  }

  function checkHeaders(request, raw) {
    const got = {};
    for (let i = 0; i < request.rawHeaders.length; i += 2) got[request.rawHeaders[i].toLowerCase()] = request.rawHeaders[i + 1];
    const names = ['host', 'x-amz-content-sha256', 'x-amz-date', ...(config.sessionToken ? ['x-amz-security-token'] : []), ...(request.method === 'PUT' ? ['content-type'] : [])].sort();
    expect('headers', Object.keys(got).sort().join(), [...names, 'accept', 'authorization', 'user-agent', ...(request.method === 'PUT' ? ['content-length'] : [])].sort().join());
    expect('type', got['content-type'], request.method === 'PUT' ? 'application/octet-stream' : undefined);
    expect('hash', got['x-amz-content-sha256'], sha256(raw));
    expect('token', got['x-amz-security-token'], config.sessionToken || undefined);
    const headers = Object.fromEntries(names.map((n) => [n, got[n]]));
    return got.authorization === sign({ method: request.method, path: request.url, headers, body: raw, credentials: config, region: config.region, service: 's3' });
  }

  function misbehave(mode, response) {
    if (mode === 'hang') return true;
    if (mode === 'drop') { response.socket.destroy(); return true; }
    if (mode === 'garbage') { response.socket.end('\x01\x02\x03\r\n\r\n'); return true; }
    if (/^\d+$/.test(mode)) { response.writeHead(Number(mode)); response.end('<Error><Code>x</Code></Error>'); return true; }
    return false;
  }

  function get(key, mode, response) {
    const stored = state.objects.get(key);
    if (!stored) { response.writeHead(404); return response.end('<Error><Code>NoSuchKey</Code></Error>'); }
    const bytes = Buffer.from(stored);
    if (mode === 'corrupt') bytes[bytes.length >> 1] ^= 1;
    if (mode === 'truncate') return response.end(bytes.subarray(0, -1));
    if (mode === 'huge') { response.writeHead(200, { 'content-length': 200 << 20 }); return response.write(bytes); }
    return response.end(bytes);
  }

  function answer(request, raw, response) {
    if (request.url === '/control') {
      if (raw.length) state.mode = JSON.parse(raw).mode;
      return response.end(JSON.stringify({ problems: state.problems, requests: state.requests, objects: Object.fromEntries([...state.objects].map(([k, v]) => [k, v.toString('base64')])) }));
    }
    const { key, style } = objectKey(request);
    const [name, only] = state.mode.split(' ');
    const mode = only && only !== key ? 'ok' : name;
    state.requests.push({ method: request.method, key, style, mode });
    if (!checkHeaders(request, raw)) { response.writeHead(403); return response.end('<Error><Code>SignatureDoesNotMatch</Code></Error>'); }
    if (misbehave(mode, response)) return undefined;
    if (request.method === 'GET') return get(key, mode, response);
    if (request.method === 'PUT') {
      if (mode !== 'lose') state.objects.set(key, mode === 'spoil' ? raw.subarray(1) : raw);
    }
    else if (request.method === 'DELETE') state.objects.delete(key);
    else state.problems.push(`method ${request.method}`);
    response.writeHead(mode === 'unsure' ? 500 : request.method === 'PUT' ? 200 : 204);
    return response.end();
  }

  const server = http.createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => answer(request, Buffer.concat(parts), response));
  });
  // bucket.localhost may be ::1 to some
  return new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server.address().port)); });
}

const parent = process.ppid;
serve(JSON.parse(fs.readFileSync(process.argv[2]))).then((port) => console.log(port));
// the test that started us may be killed
setInterval(() => { if (process.ppid !== parent) process.exit(0); }, 500);
