// A test gateway: what PostgREST 12 does between HTTP and the database, as far
// as its source says it matters to functions and row security (v12.2.12:
// Query.hs setPgLocals, Plan.hs findProc, ApiRequest.hs getPayload,
// Response.hs); its statements are in statements.js, its errors in errors.js.
// In front of it is a reverse proxy, proxy.js.
//
// Each request is one transaction on a connection of a small pool.
'use strict';

const http = require('node:http');
const { Pool } = require('pg');
const { jwtVerify, createLocalJWKSet } = require('jose');
const { Refusal, databaseError } = require('./errors');
const proxy = require('./proxy');
const sql = require('./statements');

// Names in lower case, Cookie removed, of repeated lines the last.
function requestHeaders(request) {
  const headers = {};

  for (let i = 0; i < request.rawHeaders.length; i += 2)
    headers[request.rawHeaders[i].toLowerCase()] =
      new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(request.rawHeaders[i + 1], 'latin1'));
  delete headers.cookie;
  return headers;
}

// The claims of the bearer's token, always with a role.
async function claimsOf(headers, keys) {
  const token = /^bearer +(.*)$/i.exec(headers.authorization || '');

  if (!token)
    return { role: 'anon' };
  try {
    const { payload } = await jwtVerify(token[1], keys, { clockTolerance: 30 });
    return { ...payload, role: payload.role === undefined ? 'anon' : payload.role };
  } catch (error) {
    const message = error.code === 'ERR_JWT_EXPIRED' ? 'JWT expired' : String(error.code);
    throw new Refusal(401, 'PGRST301', message,
      { 'WWW-Authenticate': `Bearer error="invalid_token", error_description="${message}"` });
  }
}

// HS256 by the secret, everything else by the key set.
function keyring({ secret, jwks }) {
  const set = jwks && createLocalJWKSet(jwks);

  return (header, token) => {
    if (header.alg === 'HS256' && secret)
      return new TextEncoder().encode(secret);
    if (header.alg !== 'HS256' && set)
      return set(header, token);
    throw new Refusal(401, 'PGRST301', 'no key');
  };
}

// The one statement that says who calls and what.
function settings(client, schema, request, path, claims, headers) {
  return client.query(`SELECT set_config('search_path', $1, true), set_config('role', $2, true),
    set_config('request.jwt.claims', $3, true), set_config('request.method', $4, true), set_config('request.path', $5, true),
    set_config('request.headers', $6, true), set_config('request.cookies', '{}', true)`,
  [`"${schema}"`, String(claims.role), JSON.stringify(claims), request.method, path, JSON.stringify(headers)]);
}

async function transaction(pool, readOnly, work) {
  const client = await pool.connect();
  let broken = false;

  client.on('error', () => { broken = true; });
  try {
    await client.query(`BEGIN ISOLATION LEVEL READ COMMITTED READ ${readOnly ? 'ONLY' : 'WRITE'}`);
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => { broken = true; });
    throw error;
  } finally {
    client.removeAllListeners('error');
    client.release(broken);
  }
}

// One request, from its path to { status, headers, body }.
async function serve({ pool, schema, routines, keys }, request, url) {
  const { pathname, searchParams } = new URL(url, 'http://gateway');
  const headers = requestHeaders(request);
  const claims = await claimsOf(headers, keys());
  const plan = sql.plan({ method: request.method, path: pathname, query: [...searchParams], headers, body: request.body,
    schema, routines, Refusal });

  try {
    return await transaction(pool, plan.readOnly, async (client) => {
      await settings(client, schema, request, pathname, claims, headers);
      await client.query('SELECT padlock.check_request()');     // db-pre-request
      return plan.answer((await client.query(plan.text, plan.values)).rows[0]);
    });
  } catch (error) {
    if (error instanceof Refusal)
      throw error;
    throw Object.assign(new Error(error.message), databaseError(error, claims.role === 'anon'));
  }
}

function reply(response, method, { status, headers, body }) {
  const text = body === null || body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);

  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', ...headers });
  response.end(method === 'HEAD' || status === 204 ? undefined : text);
}

async function handle(gateway, request, response) {
  const chunks = [];

  for await (const chunk of request)
    chunks.push(chunk);
  request.body = Buffer.concat(chunks);
  try {
    reply(response, request.method, await serve(gateway, request, proxy.pass(request)));
  } catch (error) {
    reply(response, request.method, error.body ? error
      : { status: 500, headers: {}, body: { code: 'PGRSTX00', message: String(error.message), details: null, hint: null } });
  }
}

// Start a gateway on a free port of loopback.  Options: database connection
// (as for pg), schema, max (connections), secret (HS256), jwks (a JWK Set).
// Answers { url, pool, trust(jwks), close() }.
async function start({ connection, schema = 'public', max = 4, secret, jwks }) {
  const text = { getTypeParser: () => (value) => value };
  const pool = new Pool({ ...connection, max, types: text });
  const gateway = { pool, schema, routines: await sql.readRoutines(pool, schema) };
  let keys = keyring({ secret, jwks });
  const server = http.createServer({ maxHeaderSize: 4 << 20 }, (request, response) => void handle(gateway, request, response));

  pool.on('error', () => {});
  gateway.keys = () => keys;
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    pool,
    trust(set) { keys = keyring({ secret, jwks: set }); },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await pool.end();
    },
  };
}

module.exports = { start };
