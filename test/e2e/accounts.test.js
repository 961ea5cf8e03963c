// Accounts and sessions as a web application has them: auth-js where padlock's
// answers fit it, rpc for the rest, jose for the tokens.
'use strict';

const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { createHmac } = require('node:crypto');
const jose = require('jose');
const { createClient } = require('@supabase/supabase-js');
const { start, open, stop, company, client, curl, post, bearer, jwks, randomUUID } = require('./helpers');

const password = 'correct horse battery';
let world;
let keys;

before(async () => {
  world = await start('e2e_accounts');
  keys = await jwks(world);
  world.gateway.trust(keys);
  await world.owner.query("UPDATE rate_limit_rules SET max_requests = 10000 WHERE caller = 'ip'");
});
after(() => stop(world));

// The token in the newest mail to an address, made as the worker makes it: the
// job holds only its id.  Null when there is none.
async function mailed(address, template) {
  const { rows } = await world.owner.query(`SELECT payload->>'one_time_token' AS id,
    (SELECT k->>'k' FROM jsonb_array_elements(pg_read_file(current_setting('padlock.jwt_keys_file'))::jsonb->'keys') k WHERE k->>'use' = 'refresh') AS key
    FROM job_queue WHERE job_type = 'email_notification' AND payload->>'to' = $1 AND payload->>'template' = $2 ORDER BY created_at DESC LIMIT 1`,
  [address, template]);

  assert.equal(rows.length, 1, `a mail ${template}`);
  if (rows[0].id === null)
    return null;
  return createHmac('sha256', Buffer.from(rows[0].key, 'base64url')).update('padlock one-time token 1\0')
    .update(Buffer.from(rows[0].id.replaceAll('-', ''), 'hex')).update(address).digest('base64url');
}

const rpc = (name, body, ...args) => curl(world, ...args, ...post(body), `/rest/v1/rpc/${name}`);
const address = () => `${randomUUID()}@people.example`;

// A new account: { email, password }.
async function account() {
  const email = address();

  assert.equal((await rpc('sign_up', { email, password })).status, 201);
  assert.equal((await rpc('confirm_email', { token: await mailed(email, 'confirm_email'), password })).status, 200);
  return { email, password };
}

// A session of an account: { access_token, refresh_token, user, ... }.
async function session(who) {
  const answer = await rpc('sign_in', who);

  assert.equal(answer.status, 200, answer.body);
  return answer.json;
}

// Is an access token believed?  As a table read and as an endpoint say.
async function isLive({ access_token: token, user }) {
  const read = await curl(world, ...bearer(token), '/rest/v1/users?select=id');
  const sessions = await rpc('list_sessions', {}, ...bearer(token));

  assert.equal(read.status, sessions.status);
  if (read.status === 200)
    assert.deepEqual(read.json, [{ id: user.id }]);
  else
    assert.match(read.headers['www-authenticate'], /^Bearer error="invalid_token"/);
  assert.ok([200, 401].includes(sessions.status));
  return sessions.status === 200;
}

test('clients as the README makes them', async () => {
  const who = await account();
  const visitor = createClient(world.url, 'anon');
  const { data, error } = await visitor.rpc('sign_in', who);
  assert.equal(error, null);
  const user = createClient(world.url, 'anon', { accessToken: async () => data.access_token });

  assert.deepEqual((await user.from('users').select('id,email')).data, [{ id: data.user.id, email: who.email }]);
  assert.equal((await visitor.from('users').select('id')).error.code, '42501');
  assert.equal((await visitor.functions.invoke('product-search', { body: {} })).data.success, true);
});

test('auth-js: sign up, confirm, sign in, use, refresh, sign out', async () => {
  const api = client(world);
  const email = address();

  const signedUp = await api.auth.signUp({ email, password });
  assert.equal(signedUp.error, null);
  assert.equal(signedUp.data.session, null);
  assert.ok((await api.auth.signInWithPassword({ email, password })).error, 'not confirmed yet');
  assert.equal((await api.rpc('confirm_email', { token: await mailed(email, 'confirm_email'), password })).error, null);

  const signedIn = await api.auth.signInWithPassword({ email, password });
  assert.equal(signedIn.error, null);
  assert.equal(signedIn.data.user.email, email);
  assert.deepEqual((await api.from('users').select('email')).data, [{ email }]);
  assert.equal((await api.auth.getUser()).data.user.id, signedIn.data.user.id);
  const uploaded = await api.functions.invoke('document-upload', { body: { title: 'Mine', file_url: 'http://127.0.0.1:9/x.png' } });
  assert.equal(uploaded.data.document.user_id, signedIn.data.user.id);

  const refreshed = await api.auth.refreshSession();
  assert.equal(refreshed.error, null);
  assert.notEqual(refreshed.data.session.refresh_token, signedIn.data.session.refresh_token);
  assert.deepEqual((await api.from('users').select('email')).data, [{ email }]);

  assert.equal((await api.auth.signOut()).error, null);
  const after = await client(world, { token: refreshed.data.session.access_token }).from('users').select();
  assert.deepEqual([after.status, after.error.message], [401, 'the session has ended']);
});

test('jose: verifies the access token by padlock.jwks()', async () => {
  const { access_token: token, expires_in: expires, user } = await session(await account());
  const { payload, protectedHeader } = await jose.jwtVerify(token, jose.createLocalJWKSet(keys), { algorithms: ['ES256'], maxTokenAge: '15m' });

  assert.equal(protectedHeader.alg, 'ES256');
  assert.ok(keys.keys.some(({ kid }) => kid === protectedHeader.kid));
  assert.equal(payload.sub, user.id);
  assert.equal(payload.role, 'authenticated');
  assert.match(payload.session_id, /^[0-9a-f-]{36}$/);
  assert.equal(payload.exp - payload.iat, expires);
});

test('sign_up: bad values; the same answer for an address that has an account', async () => {
  const bad = await rpc('sign_up', { email: 'no address', password: 'short', admin: true });
  assert.equal(bad.status, 400);
  for (const field of ['email', 'password', 'admin'])
    assert.match(bad.json.details, new RegExp(`\\b${field}: `));
  assert.equal(bad.body.includes('short'), false);

  const known = await account();
  const [again, fresh] = [await rpc('sign_up', known), await rpc('sign_up', { email: address(), password })];
  assert.deepEqual([again.status, again.body], [fresh.status, fresh.body]);
  assert.equal(await mailed(known.email, 'account_exists'), null);
  assert.ok(await isLive(await session(known)));
});

test('confirm_email: a stranger\'s sign-up sets no password for the owner', async () => {
  const email = address();

  assert.equal((await rpc('sign_up', { email, password: 'of a stranger' })).status, 201);
  const planted = await mailed(email, 'confirm_email');
  const refused = await rpc('confirm_email', { token: planted, password });
  const unknown = await rpc('confirm_email', { token: 'x', password });
  assert.deepEqual([refused.status, refused.body], [400, unknown.body]);
  assert.equal((await rpc('confirm_email', { token: planted })).status, 400);
  assert.equal((await rpc('sign_up', { email, password })).status, 201);
  assert.equal((await rpc('confirm_email', { token: await mailed(email, 'confirm_email'), password })).status, 200);
  assert.equal((await rpc('sign_in', { email, password: 'of a stranger' })).status, 401);
  assert.equal((await rpc('sign_in', { email, password })).status, 200);
  assert.equal((await rpc('confirm_email', { token: planted, password: 'of a stranger' })).status, 400);
});

test('sign_in: one answer for a wrong password and for nobody; 429 after too many', async () => {
  await world.owner.query("UPDATE rate_limit_rules SET max_requests = 3 WHERE endpoint = 'sign_in_failure'");
  const known = await account();
  const live = await rpc('sign_in', { ...known, email: known.email.toUpperCase() });
  const wrong = await rpc('sign_in', { ...known, password: 'wrong password' });
  const nobody = await rpc('sign_in', { email: address(), password });

  assert.equal(wrong.status, 401);
  assert.deepEqual([wrong.status, wrong.body], [nobody.status, nobody.body]);
  assert.equal(live.status, 200, 'whatever the letter case');

  for (const email of [(await account()).email, address()]) {
    const tries = [];
    for (let i = 0; i < 4; i++)
      tries.push((await rpc('sign_in', { email, password: 'wrong password' })).status);
    assert.deepEqual(tries, [401, 401, 401, 429]);
    const locked = await rpc('sign_in', { email, password });
    assert.equal(locked.status, 429, 'the right one is not looked at either');
    assert.match(locked.headers['retry-after'], /^[1-9]\d*$/);
    assert.equal(locked.headers['ratelimit-policy'], '"sign_in_failure";q=3;w=900');
    const elsewhere = await rpc('sign_in', { email, password }, '--interface', '127.0.0.12');
    assert.ok([200, 401].includes(elsewhere.status), 'from elsewhere it is');
  }
});

test('refresh: a repeat is answered, an older token ends the session at once', async () => {
  const first = await session(await account());
  const refresh = (token) => rpc('refresh_session', { refresh_token: token });
  const second = (await refresh(first.refresh_token)).json;
  const repeated = (await refresh(first.refresh_token)).json;

  assert.equal(repeated.refresh_token, second.refresh_token);
  const third = (await refresh(second.refresh_token)).json;
  assert.ok(await isLive(third));

  const reused = await refresh(first.refresh_token);
  assert.equal(reused.status, 401);
  assert.equal(await isLive(third), false);
  const refused = await refresh(third.refresh_token);
  assert.deepEqual([refused.status, refused.body], [401, refused.body]);
  assert.deepEqual(reused.json, refused.json);
  for (const token of ['x', '', `${third.refresh_token}x`, 'x'.repeat(201)])
    assert.ok([400, 401].includes((await refresh(token)).status), token);
});

test('sessions: listed, one revoked, not another\'s; signed out others, everywhere', async () => {
  const who = await account();
  const [one, two, three] = [await session(who), await session(who), await session(who)];
  const stranger = await session(await account());
  const listed = (await rpc('list_sessions', {}, ...bearer(one.access_token), '-H', 'user-agent: e2e')).json.sessions;
  const id = (from) => jose.decodeJwt(from.access_token).session_id;

  assert.deepEqual(listed.map((item) => item.id).sort(), [one, two, three].map(id).sort());
  assert.deepEqual(listed.filter(({ current }) => current).map((item) => item.id), [id(one)]);
  assert.equal(listed[0].ip_address, '127.0.0.1');
  assert.match(listed[0].user_agent, /^curl/);
  assert.deepEqual((await rpc('revoke_session', { session_id: id(two) }, ...bearer(stranger.access_token))).status, 404);
  assert.deepEqual((await rpc('revoke_session', { session_id: randomUUID() }, ...bearer(stranger.access_token))).status, 404);
  assert.ok(await isLive(two));
  assert.equal((await rpc('revoke_session', { session_id: id(two) }, ...bearer(one.access_token))).status, 200);
  assert.equal(await isLive(two), false);

  const others = await rpc('sign_out', { scope: 'others' }, ...bearer(one.access_token));
  assert.deepEqual([others.status, others.json.sessions_ended], [200, 1]);
  assert.deepEqual([await isLive(one), await isLive(three)], [true, false]);
  const four = await session(who);
  assert.equal((await rpc('sign_out', { scope: 'global' }, ...bearer(four.access_token))).json.sessions_ended, 2);
  assert.deepEqual([await isLive(one), await isLive(four), await isLive(stranger)], [false, false, true]);
  assert.equal((await rpc('sign_out', {}, ...bearer(stranger.access_token))).json.sessions_ended, 1);
  assert.equal(await isLive(stranger), false);
  for (const name of ['sign_out', 'list_sessions', 'revoke_session', 'change_password', 'change_email'])
    assert.equal((await rpc(name, {})).status, 401, `${name} as a visitor`);
});

test('passwords: reset by mail ends all sessions; changed, ends the others', async () => {
  const who = await account();
  const live = await session(who);
  const [known, unknown] = [await rpc('request_password_reset', { email: who.email }), await rpc('request_password_reset', { email: address() })];

  assert.deepEqual([known.status, known.body], [200, unknown.body]);
  const token = await mailed(who.email, 'reset_password');
  assert.equal((await rpc('confirm_email', { token, password })).status, 400, 'a token is for one purpose');
  const reset = { token, password: 'another fine password' };
  const [one, two] = await Promise.all([rpc('reset_password', reset), rpc('reset_password', reset)]);
  assert.deepEqual([one.status, two.status].sort(), [200, 400], 'and for one use');
  assert.equal(await isLive(live), false);
  assert.equal((await rpc('sign_in', who)).status, 401);

  who.password = reset.password;
  const [here, there] = [await session(who), await session(who)];
  const change = (body) => rpc('change_password', body, ...bearer(here.access_token));
  assert.equal((await change({ current_password: 'wrong password', password })).status, 403);
  assert.equal((await change({ current_password: who.password, password: 'short' })).status, 400);
  assert.equal((await change({ current_password: who.password, password })).status, 200);
  assert.deepEqual([await isLive(here), await isLive(there)], [true, false]);
  assert.equal((await rpc('sign_in', who)).status, 401);
  assert.equal((await rpc('sign_in', { ...who, password })).status, 200);
});

test('change_email: counts when the new address is confirmed', async () => {
  const who = await account();
  const live = await session(who);
  const email = address();

  assert.equal((await rpc('change_email', { email, password: 'wrong password' }, ...bearer(live.access_token))).status, 403);
  assert.equal((await rpc('change_email', { email, password }, ...bearer(live.access_token))).status, 200);
  assert.equal((await rpc('sign_in', { email, password })).status, 401);
  const confirm = async (secret) => (await rpc('confirm_email', { token: await mailed(email, 'change_email'), password: secret })).status;
  assert.equal(await confirm('wrong password'), 400, 'with the password');
  assert.equal(await confirm(password), 200);
  assert.equal((await rpc('sign_in', { email, password })).status, 200);
  assert.equal((await rpc('sign_in', who)).status, 401);
});

test('sign_up without confirmation: a session at once, 409 for a known address', async () => {
  await world.owner.query('ALTER DATABASE e2e_accounts SET padlock.email_confirmation = off');
  const door = await open(world, { jwks: keys });
  const email = address();
  const api = client({ ...world, url: door.url });
  const signedUp = await api.auth.signUp({ email, password });

  await world.owner.query('ALTER DATABASE e2e_accounts RESET padlock.email_confirmation');
  assert.equal(signedUp.error, null);
  assert.equal(signedUp.data.session.user.email, email);
  assert.equal((await api.auth.signUp({ email, password })).error.status, 409);
});

// ---- API keys ----

test('api keys: made, listed, rotated with an overlap, revoked at once', async () => {
  const insurer = await company(world);
  const rival = await company(world);
  const as = (key) => ['-H', `x-api-key: ${key}`];
  const works = async (key) => (await rpc('list_api_keys', {}, ...as(key))).status;
  const made = await rpc('create_api_key', { label: 'shop' }, ...as(insurer.key));

  assert.equal(made.status, 201);
  assert.match(made.json.api_key, /^pk_[0-9a-f]{64}$/);
  assert.equal(await works(made.json.api_key), 200);
  const listed = await rpc('list_api_keys', {}, ...as(insurer.key));
  assert.equal(listed.json.keys.length, 2);
  assert.equal(listed.body.includes(insurer.key) || listed.body.includes(made.json.api_key), false);

  const id = made.json.key.id;
  assert.equal((await rpc('revoke_api_key', { key_id: id }, ...as(rival.key))).status, 404);
  assert.equal((await rpc('revoke_api_key', { key_id: randomUUID() }, ...as(rival.key))).status, 404);
  const rotated = await rpc('rotate_api_key', { key_id: id, overlap_minutes: 5 }, ...as(insurer.key));
  assert.equal(rotated.status, 201);
  assert.deepEqual([await works(made.json.api_key), await works(rotated.json.api_key)], [200, 200]);
  const sudden = await rpc('rotate_api_key', { key_id: rotated.json.key.id, overlap_minutes: 0 }, ...as(insurer.key));
  assert.deepEqual([await works(rotated.json.api_key), await works(sudden.json.api_key)], [401, 200]);
  assert.equal((await rpc('revoke_api_key', { key_id: sudden.json.key.id }, ...as(insurer.key))).status, 200);
  assert.equal(await works(sudden.json.api_key), 401);
});

test('api keys: by an admin for a company; not by a user, a visitor, another company', async () => {
  const insurer = await company(world);
  const rival = await company(world);
  const body = { company_id: insurer.id, label: 'x' };

  assert.equal((await rpc('create_api_key', body, ...bearer(world.admin.token))).status, 201);
  assert.equal((await rpc('create_api_key', body, ...bearer(world.serviceToken))).status, 201);
  assert.equal((await rpc('create_api_key', body)).status, 401);
  assert.ok([401, 403].includes((await rpc('create_api_key', body, ...bearer(world.user.token))).status));
  assert.ok([403, 404].includes((await rpc('create_api_key', body, '-H', `x-api-key: ${rival.key}`)).status));
  assert.equal((await rpc('create_api_key', { label: '' }, '-H', `x-api-key: ${insurer.key}`)).status, 400);
  assert.equal((await rpc('create_api_key', { ...body, company_id: randomUUID() }, ...bearer(world.admin.token))).status, 404);
});
