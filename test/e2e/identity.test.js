// Who is believed: tokens made by jose, tokens for padlock.authenticate(),
// headers, and connections that are shared by many callers.
'use strict';

const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const { Pool } = require('pg');
const jose = require('jose');
const { server, start, open, stop, person, company, client, curl, post, bearer, jwks, token } = require('./helpers');

const keysFile = process.env.PADLOCK_JWT_KEYS;
let world;
let keys;

before(async () => {
  world = await start('e2e_identity', { max: 2 });
  keys = await jwks(world);
});
after(() => stop(world));

const whoami = (...args) => curl(world, ...args, '/rest/v1/users?select=id');
const unsigned = (claims) => `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`;

test('gateway: tokens that are not believed', async () => {
  const claims = { role: 'authenticated', sub: world.user.id };
  const [head, body, signature] = world.user.token.split('.');
  const bad = [
    await token(claims, { expires: '-1h' }), await token(claims, { key: new TextEncoder().encode('x'.repeat(64)) }), unsigned(claims),
    `${head}.${Buffer.from(JSON.stringify({ ...claims, sub: world.admin.id, exp: 4102444800 })).toString('base64url')}.${signature}`,
    `${head}.${body}`, 'x', 'a.b.c', `${head}.${body}.${signature.slice(1)}`,
  ];

  for (const item of bad) {
    const answer = await whoami(...bearer(item));
    assert.equal(answer.status, 401, item);
    assert.match(answer.headers['www-authenticate'], /invalid_token/);
  }
  assert.deepEqual((await whoami(...bearer(world.user.token))).json, [{ id: world.user.id }]);
});

test('gateway: a token of a megabyte', async () => {
  const large = await token({ role: 'authenticated', sub: world.user.id, notes: 'x'.repeat(1 << 20) });
  const get = (value) => new Promise((resolve, reject) => http.get(`${world.url}/rest/v1/users?select=id`, { headers: { authorization: `Bearer ${value}` } },
    (response) => response.setEncoding('utf8').on('data', (body) => resolve([response.statusCode, body]))).on('error', reject));

  assert.equal((await get('x'.repeat(1 << 20)))[0], 401);
  const [status, body] = await get(large);
  assert.deepEqual([status, JSON.parse(body).message], [400, 'request headers cannot be read'], 'nor do headers that large');
});

test('gateway: claims that name nobody', async () => {
  const odd = [{ sub: 'not a uuid' }, { sub: null }, { sub: 5 }, { sub: { id: world.user.id } }, {}, { sub: '' }];

  for (const claims of odd)
    assert.equal((await whoami(...bearer(await token({ role: 'authenticated', ...claims })))).status, 401, JSON.stringify(claims));
  // the role decides, not the sub: anon with a sub is a visitor
  assert.equal((await whoami(...bearer(await token({ role: 'anon', sub: world.admin.id })))).status, 401);
  assert.equal((await whoami(...bearer(await token({ role: 'postgres', sub: world.user.id })))).status, 403);
  assert.ok([400, 403].includes((await whoami(...bearer(await token({ role: 'no_such_role' })))).status));
  assert.equal((await curl(world, ...bearer(await token({ role: 'authenticated', sub: world.user.id, is_admin: true, app_metadata: { role: 'admin' } })),
    ...post({ name: 'x', contact_email: 'a@b.example' }), '/functions/v1/company-onboard')).status, 403);
});

test('gateway: headers in any letter case; of repeated lines the last; odd bytes', async () => {
  const [one, two] = [await company(world), await company(world)];
  const mine = async (...args) => (await curl(world, ...args, '/rest/v1/insurance_companies?select=id')).json;

  assert.deepEqual(await mine('-H', `X-API-KEY: ${one.key}`), [{ id: one.id }]);
  assert.deepEqual(await mine('-H', `x-api-key: ${one.key}`, '-H', `X-Api-Key: ${two.key}`), [{ id: two.id }]);
  assert.deepEqual(await mine('-H', `Cookie: x-api-key=${one.key}`), []);
  assert.equal((await mine('-H', `x-api-key: ${one.key}x`)).message, 'API key is not valid', 'not just an empty table');
  assert.equal((await mine('-H', 'x-api-key: "}\\u0000{"', '-H', 'user-agent: \\ud800 " \' -- é')).code, '28000');
  assert.equal((await mine('-H', `x-api-key: ${'x'.repeat(100000)}`)).code, '28000');
});

test('jose: a key set with ES256 and EdDSA', async () => {
  const pairs = await Promise.all(['ES256', 'EdDSA'].map((alg) => jose.generateKeyPair(alg, { extractable: true })));
  const set = await Promise.all(pairs.map(async ({ publicKey }, i) => ({ ...await jose.exportJWK(publicKey), alg: ['ES256', 'EdDSA'][i], kid: `k${i}`, use: 'sig' })));
  const door = await open(world, { secret: null, jwks: { keys: set } });

  for (const [i, alg] of ['ES256', 'EdDSA'].entries()) {
    const signed = await new jose.SignJWT({ role: 'authenticated', sub: world.user.id }).setProtectedHeader({ alg, kid: `k${i}` })
      .setExpirationTime('5m').sign(pairs[i].privateKey);
    assert.deepEqual((await curl({ url: door.url }, ...bearer(signed), '/rest/v1/users?select=id')).json, [{ id: world.user.id }], alg);
    assert.equal((await curl(world, ...bearer(signed), '/rest/v1/users?select=id')).status, 401, 'the other gateway does not know the key');
  }
  assert.equal((await curl({ url: door.url }, ...bearer(world.user.token), '/rest/v1/users?select=id')).status, 401);
});

// ---- padlock.authenticate(), for gateways that verify nothing ----

// Run as a gateway that only switches roles: the caller after authenticating.
async function authenticate(credential, role = 'authenticated') {
  const pool = new Pool({ ...server, user: 'authenticator', database: 'e2e_identity', max: 1 });
  const db = await pool.connect();

  try {
    await db.query('BEGIN');
    await db.query(`SET LOCAL ROLE ${role}`);
    const { rows } = await db.query('SELECT padlock.authenticate($1) AS claims', [credential]);
    const caller = await db.query('SELECT padlock.uid() AS uid, padlock.company_id() AS company, padlock.is_admin() AS admin');
    await db.query('COMMIT');
    await db.query(`BEGIN; SET LOCAL ROLE ${role}`);
    const after = await db.query('SELECT padlock.uid() AS uid, padlock.company_id() AS company');
    return { claims: rows[0].claims, ...caller.rows[0], after: [after.rows[0].uid, after.rows[0].company] };
  } catch (error) {
    return { code: error.code, message: error.message, detail: error.detail };
  } finally {
    db.release(true);
    await pool.end();
  }
}

// padlock's own signing key, read from its file as its operator can.
async function signer() {
  const { keys } = JSON.parse(fs.readFileSync(keysFile, 'utf8'));
  const jwk = keys.find(({ use, d }) => use !== 'refresh' && d);

  return { jwk, key: await jose.importJWK(jwk, 'ES256') };
}

test('authenticate: a token that jose makes with padlock\'s key', async () => {
  const { jwk, key } = await signer();
  const make = (claims, header = {}, expires = '5m') => {
    const jwt = new jose.SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: jwk.kid, typ: 'JWT', ...header });
    return (expires ? jwt.setExpirationTime(expires) : jwt).sign(key);
  };
  const claims = { role: 'authenticated', sub: world.user.id };
  const good = await authenticate(await make(claims));

  assert.equal(good.uid, world.user.id, JSON.stringify(good));
  assert.equal(good.claims.sub, world.user.id);
  assert.equal(good.admin, false);
  assert.deepEqual(good.after, [null, null], 'for this transaction only');
  assert.equal((await authenticate(await make({ ...claims, sub: world.admin.id }))).admin, true);

  const [publicJwk] = keys.keys;
  const confused = new jose.SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: jwk.kid, typ: 'JWT' }).setExpirationTime('5m');
  const [head, body, signature] = (await make(claims)).split('.');
  const bad = {
    expired: await make(claims, {}, '-1m'), 'not yet valid': await make({ ...claims, nbf: Math.floor(Date.now() / 1000) + 600 }),
    'without exp': await make(claims, {}, null), 'another type': await make(claims, { typ: 'secevent+jwt' }),
    none: unsigned({ ...claims, exp: 4102444800 }), 'key confusion, PEM': await confused.sign(new TextEncoder().encode(await jose.exportSPKI(await jose.importJWK(publicJwk, 'ES256')))),
    'key confusion, JWK': await confused.sign(new TextEncoder().encode(JSON.stringify(publicJwk))),
    'another signature': `${head}.${body}.${signature.replace(/^./, (c) => c === 'A' ? 'B' : 'A')}`, 'the gateway\'s token': world.user.token,
    'no token': '', 'a megabyte': 'x'.repeat(1 << 20), 'two dots': '..', 'no user': await make({ role: 'authenticated' }), null: null,
  };
  for (const [name, item] of Object.entries(bad))
    assert.equal((await authenticate(item)).code, '28000', name);
});

test('authenticate: an API key; a wrong one', async () => {
  const insurer = await company(world);

  assert.equal((await authenticate(insurer.key, 'anon')).company, insurer.id);
  assert.equal((await authenticate('pk_' + '0'.repeat(64), 'anon')).code, '28000');
});

test('jwks: public parts only, as jose reads them', async () => {
  assert.ok(keys.keys.length >= 1);
  for (const key of keys.keys) {
    assert.deepEqual(['d', 'k', 'p', 'q', 'dp', 'dq', 'qi'].filter((name) => name in key), []);
    assert.equal(await jose.calculateJwkThumbprint(key), key.kid);
  }
  assert.equal(fs.statSync(keysFile).mode & 0o77, 0);
});

// ---- shared connections ----

test('two connections, many callers: nobody is taken for another', async () => {
  const people = await Promise.all(Array.from({ length: 12 }, () => person(world)));
  const insurers = await Promise.all(Array.from({ length: 4 }, () => company(world)));
  const calls = [];
  const ask = async (options, table) => {
    const { data, status } = await client(world, options).from(table).select('id').limit(3);
    return data ? data.map(({ id }) => id) : status;
  };

  for (let round = 0; round < 8; round++) {
    for (const one of people)
      calls.push([() => ask(one, 'users'), [one.id]]);
    for (const one of insurers)
      calls.push([() => ask(one, 'insurance_companies'), [one.id]]);
    calls.push([() => ask({}, 'users'), 401], [() => ask({}, 'insurance_companies'), []],
      [() => ask(world.user, 'no_such_table'), 404], [() => ask({ key: 'pk_wrong' }, 'insurance_companies'), 401],
      [async () => (await client(world, people[0]).rpc('is_admin', { user_id: people[0].id })).data, false],
      [async () => (await client(world, world.admin).rpc('is_admin', { user_id: world.admin.id })).data, true]);
  }
  calls.sort(() => Math.random() - 0.5);
  const answers = await Promise.all(calls.map(async ([call, wanted]) => [await call(), wanted]));
  for (const [got, wanted] of answers)
    assert.deepEqual(got, wanted);
  assert.ok(world.gateway.pool.totalCount <= 2);
});

test('a connection at rest is nobody', async () => {
  await whoami(...bearer(world.admin.token));
  const db = await world.gateway.pool.connect();
  const { rows: [rest] } = await db.query(`SELECT current_user AS role, current_setting('request.jwt.claims', true) AS claims,
    current_setting('request.headers', true) AS headers`);
  await db.query('BEGIN; SET LOCAL ROLE authenticated');
  const { rows: [caller] } = await db.query('SELECT padlock.uid() AS uid, padlock.company_id() AS company, padlock.is_admin() AS admin');
  await db.query('ROLLBACK');
  db.release();
  assert.deepEqual(rest, { role: 'authenticator', claims: '', headers: '' });
  assert.deepEqual(caller, { uid: null, company: null, admin: 'f' });
});
