// Every status code, as curl sees it: bad input, wrong callers, methods, limits.
'use strict';

const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { start, open, stop, person, company, client, curl, post, bearer, apiKey, token, randomUUID } = require('./helpers');

let world;
let insurer;

before(async () => {
  world = await start('e2e_statuses');
  insurer = await company(world);
});
after(() => stop(world));

const product = (more) => ({ product_name: 'Gold', policy_type: 'health', premium_amount: 120, ...more });
const create = (body, key = insurer.key) => curl(world, ...apiKey(key), ...post(body), '/functions/v1/product-create');

// An error has the four members that PostgREST's clients know.
function assertError(answer, status, code, message) {
  assert.equal(answer.status, status, answer.body);
  assert.deepEqual(Object.keys(answer.json).sort(), ['code', 'details', 'hint', 'message']);
  assert.equal(answer.json.code, code);
  assert.match(answer.json.message, message);
}

test('400: every bad field in one answer', async () => {
  const answer = await create({ product_name: '', policy_type: 'boat', premium_amount: -1, currency: 'pounds', benefits: [], colour: 'red' });

  assertError(answer, 400, '22023', /./);
  for (const field of ['product_name', 'policy_type', 'premium_amount', 'currency', 'benefits', 'colour'])
    assert.match(answer.json.details, new RegExp(`\\b${field}: `));
  assert.equal((await curl(world, '/functions/v1/product-search?page=0&per_page=101&policy_type=boat&sort_by=x')).json.details.split('; ').length, 4);
});

test('400: bodies that are no JSON object', async () => {
  for (const body of ['{"product_name": ', 'nonsense', '{"a": 1} trailing', '\xff\xfe', '[1, {"a": 2}]'])
    assertError(await create(Buffer.from(body, 'latin1').toString('latin1')), 400, 'PGRST102', /json|keys/);
  for (const body of ['[]', '"text"', '5', 'null', 'true', '[{"product_name": "x"}]'])
    assert.equal((await create(body)).status, 400, body);
  assertError(await create('{"product_name": "a\\u0000b", "policy_type": "health", "premium_amount": 1}'), 400, '22P05', /./);
  assertError(await create(''), 400, '22P02', /./);
  assertError(await create('{}'), 400, '22023', /./);
});

test('400: invalid UTF-8 in a body, broken escapes, deep nesting', async () => {
  const file = `${process.cwd()}/invalid.json`;
  fs.writeFileSync(file, Buffer.concat([Buffer.from('{"product_name": "'), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from('"}')]));
  assertError(await create(`@${file}`), 400, 'PGRST102', /json/);
  assert.equal((await create('{"product_name": "\\ud800", "policy_type": "health", "premium_amount": 1}')).status, 400);
  assert.equal((await create(`{"benefits": ${'['.repeat(5000)}${']'.repeat(5000)}}`)).status, 400);
  fs.writeFileSync(file, `{"benefits": ${'{"a":'.repeat(100000)}1${'}'.repeat(100000)}}`);
  assert.ok([400, 500].includes((await create(`@${file}`)).status));
  assert.equal((await create(product({ product_name: 'Still alive' }))).status, 201);
});

test('400: NUL and invalid UTF-8 in a query', async () => {
  assert.equal((await curl(world, '/functions/v1/product-search?search_term=a%00b')).status, 400);
  assert.equal((await curl(world, '/functions/v1/product-search?search_term=%ff%fe')).status, 200);
  assert.equal((await curl(world, '/functions/v1/product-search?policy_type=%7B%22a%22%3A1%7D')).status, 400);
});

test('401: no key, a wrong one, a mistyped one', async () => {
  const wrong = 'pk_' + '0'.repeat(64);
  const mistyped = insurer.key.slice(0, 20) + (insurer.key[20] === 'a' ? 'b' : 'a') + insurer.key.slice(21);

  assertError(await curl(world, ...post(product()), '/functions/v1/product-create'), 401, '28000', /key is required/);
  for (const key of [wrong, mistyped, insurer.key.toUpperCase(), insurer.key + '0', 'x', `${insurer.key}, ${insurer.key}`, "' OR 1=1 --"]) {
    assertError(await create(product(), key), 401, '28000', /key is not valid/);
    assertError(await curl(world, ...apiKey(key), ...post({ product_id: randomUUID() }), '/functions/v1/product-update'), 401, '28000', /key is not valid/);
  }
});

test('401: no token where a user is needed, or of a user who is gone', async () => {
  const upload = post({ title: 'x', file_url: 'http://127.0.0.1:9/x.png' });
  const gone = await token({ role: 'authenticated', sub: randomUUID() });
  const nobody = await token({ role: 'authenticated' });

  assert.equal((await curl(world, ...upload, '/functions/v1/document-upload')).status, 401);
  assert.equal((await curl(world, ...bearer(gone), ...upload, '/functions/v1/document-upload')).status, 401);
  assert.equal((await curl(world, ...bearer(nobody), ...upload, '/functions/v1/document-upload')).status, 401);
  assert.equal((await curl(world, ...bearer(gone), ...post({ name: 'x', contact_email: 'a@b.example' }), '/functions/v1/company-onboard')).status, 401);
  assert.equal((await curl(world, ...post({ name: 'x', contact_email: 'a@b.example' }), '/functions/v1/company-onboard')).status, 401);
  assert.equal((await curl(world, ...apiKey(insurer.key), ...upload, '/functions/v1/document-upload')).status, 401);
});

test('403: not an admin; an inactive company; another company\'s product', async () => {
  const closed = await company(world);
  const rival = await company(world);
  const made = (await create(product())).json.product;

  assertError(await curl(world, ...bearer(world.user.token), ...post({ name: 'x', contact_email: 'a@b.example' }), '/functions/v1/company-onboard'), 403, '42501', /admin/);
  await client(world, world.admin).from('insurance_companies').update({ is_active: false }).eq('id', closed.id);
  assertError(await create(product(), closed.key), 403, '42501', /not active/);
  assertError(await curl(world, ...apiKey(rival.key), ...post({ product_id: made.id, premium_amount: 1 }), '/functions/v1/product-update'), 403, '42501', /./);
});

test('404: no such product, function, route or table', async () => {
  assert.equal((await curl(world, ...apiKey(insurer.key), ...post({ product_id: randomUUID(), premium_amount: 1 }), '/functions/v1/product-update')).status, 404);
  for (const path of ['/functions/v1/no-such-thing', '/rest/v1/rpc/no_such_function', '/nowhere', '/rest/v1/rpc/product_search/more'])
    assert.equal((await curl(world, ...post({}), path)).status, 404, path);
  assertError(await curl(world, '/rest/v1/rpc/product_create'), 404, 'PGRST202', /product_create/);
  assertError(await curl(world, '/rest/v1/rpc/product_search?colour=red'), 404, 'PGRST202', /colour/);
  assertError(await curl(world, ...post({ id: 1 }), '/rest/v1/rpc/is_admin'), 404, 'PGRST202', /is_admin/);
});

test('405: a method or a read-only transaction that does not fit', async () => {
  assert.equal((await curl(world, '-X', 'PUT', '/rest/v1/rpc/product_create')).status, 405);
  assert.equal((await curl(world, '-X', 'DELETE', '/rest/v1/rpc/product_search')).status, 405);
  assertError(await curl(world, ...bearer(world.serviceToken), '/rest/v1/rpc/schedule_daily_ai_crawls'), 405, '25006', /read-only/);
  assertError(await curl(world, ...bearer(world.serviceToken), '/rest/v1/rpc/cleanup_old_jobs'), 405, '25006', /read-only/);
});

test('409: a company\'s name or a product\'s code that exists', async () => {
  const again = await curl(world, ...bearer(world.admin.token), ...post({ name: insurer.name, contact_email: 'a@b.example' }), '/functions/v1/company-onboard');
  assertError(again, 409, '23505', /exists/);
  assert.equal((await create(product({ product_code: 'C-1' }))).status, 201);
  assertError(await create(product({ product_code: 'C-1' })), 409, '23505', /exists/);
  const second = (await create(product({ product_code: 'C-2' }))).json.product;
  assertError(await curl(world, ...apiKey(insurer.key), ...post({ product_id: second.id, product_code: 'C-1' }), '/functions/v1/product-update'), 409, '23505', /exists/);
});

test('413: a document over 100 MiB', async () => {
  const answer = await curl(world, ...bearer(world.user.token), ...post({ title: 'x', file_url: 'http://127.0.0.1:9/x.png', file_size: 104857601 }), '/functions/v1/document-upload');
  assertError(answer, 413, '54000', /large/);
});

test('a body of 8 MB is refused in words', async () => {
  const file = `${process.cwd()}/large.json`;
  fs.writeFileSync(file, JSON.stringify(product({ description: 'x'.repeat(8 << 20) })));
  assertError(await create(`@${file}`), 400, '22023', /./);
});

test('200 without a body: HEAD; GET and HEAD are read-only', async () => {
  const head = await curl(world, '--head', '/functions/v1/product-search?per_page=1');
  const rows = await curl(world, '--head', '/rest/v1/insurance_products');

  assert.deepEqual([head.status, head.body, rows.status, rows.body], [200, '', 200, '']);
  assert.match(head.headers.ratelimit, /^"product_search";r=\d+;t=\d+$/);
});

// ---- limits ----

// A super admin sets an endpoint's limit: those of accounts are his alone.
async function limit(endpoint, max_requests) {
  const { data, error } = await client(world, world.superAdmin).from('rate_limit_rules').update({ max_requests }).eq('endpoint', endpoint).select();

  assert.equal(error, null);
  assert.equal(data.length, 1);
}

function assertLimited(answer, endpoint, quota) {
  assertError(answer, 429, '53400', new RegExp(`rate limit of ${endpoint}`));
  assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
  assert.ok(Number(answer.headers['retry-after']) <= 3662, 'the window and one sub-window at most');
  assert.equal(answer.headers.ratelimit, `"${endpoint}";r=0;t=${answer.headers['retry-after']}`);
  assert.equal(answer.headers['ratelimit-policy'], `"${endpoint}";q=${quota};w=3600`);
}

// The third of three requests is refused, whatever the first two were.
async function assertLimit(endpoint, args) {
  const path = '/functions/v1/' + endpoint.replace(/_/g, '-');

  await limit(endpoint, 2);
  const answers = [];
  for (let i = 0; i < 3; i++)
    answers.push(await curl(world, ...args, path));
  assert.notEqual(answers[0].status, 429);
  assert.notEqual(answers[1].status, 429);
  assertLimited(answers[2], endpoint, 2);
  return answers;
}

test('429: product_create and product_update, by company, failures count', async () => {
  const [busy, calm] = [await company(world), await company(world)];
  const [first, second] = await assertLimit('product_create', [...apiKey(busy.key), ...post({ bad: 1 })]);

  assert.deepEqual([first.status, second.status], [400, 400]);
  assert.equal((await create(product(), busy.key)).status, 429);
  const free = await create(product(), calm.key);
  assert.equal(free.status, 201);
  assert.match(free.headers.ratelimit, /^"product_create";r=1;t=\d+$/);
  assert.equal(free.headers['ratelimit-policy'], '"product_create";q=2;w=3600');
  await assertLimit('product_update', [...apiKey(busy.key), ...post({ product_id: free.json.product.id, premium_amount: 1 })]);
});

test('429: document_upload by user, company_onboard by admin', async () => {
  const [user, other, admin] = [await person(world), await person(world), await person(world, 'admin')];
  const upload = post({ title: 'x', file_url: 'http://127.0.0.1:9/x.png' });

  await assertLimit('document_upload', [...bearer(user.token), ...upload]);
  assert.equal((await curl(world, ...bearer(other.token), ...upload, '/functions/v1/document-upload')).status, 201);
  await assertLimit('company_onboard', [...bearer(admin.token), ...post({ name: 'x' })]);
  await limit('company_onboard', 10);
});

test('429: product_search by address, in read-only transactions, whatever a client forges', async () => {
  await assertLimit('product_search', ['--interface', '127.0.0.7']);
  const forged = (address) => curl(world, '--interface', '127.0.0.7', '-H', `x-forwarded-for: ${address}`, '/functions/v1/product-search');
  assert.deepEqual((await Promise.all(['203.0.113.9', '127.0.0.8', '', '203.0.113.9, 203.0.113.10', 'x'.repeat(5000)].map(forged))).map(({ status }) => status),
    [429, 429, 429, 429, 429]);
  assert.equal((await curl(world, '--interface', '127.0.0.7', ...post({}), '/rest/v1/rpc/product_search')).status, 429);
  assert.equal((await curl(world, '--interface', '127.0.0.8', '/functions/v1/product-search')).status, 200);
  const { data } = await client(world, { token: world.serviceToken }).from('rate_limits').select().eq('endpoint', 'product_search').eq('identifier', 'ip:127.0.0.7');
  assert.equal(data[0].request_count, 2);
  await limit('product_search', 1000);
});

test('429: accounts, by address', async () => {
  const who = { email: 'nobody@people.example', password: 'correct horse battery' };
  const from = ['--interface', '127.0.0.9'];
  const bodies = { sign_in: {}, sign_up: {}, refresh_session: { refresh_token: 'x' }, confirm_email: { token: 'x', password: who.password },
    request_password_reset: {}, reset_password: { token: 'x', password: who.password } };

  for (const [endpoint, body] of Object.entries(bodies)) {
    const answers = await assertLimit(endpoint, [...from, ...post(body)]);
    assert.ok([400, 401].includes(answers[0].status), endpoint);
  }
});

// ---- the server in trouble ----

test('500: a lock that is not given, and nothing half written', async () => {
  await world.owner.query("ALTER ROLE authenticator IN DATABASE e2e_statuses SET lock_timeout = '100ms'");
  const door = await open(world);
  const holder = await world.owner.connect();
  const fresh = await company(world);

  await holder.query('BEGIN; LOCK TABLE insurance_products IN SHARE MODE');
  const refused = await curl({ url: door.url }, ...apiKey(fresh.key), ...post(product({ product_code: 'L-1' })), '/functions/v1/product-create');
  await holder.query('ROLLBACK');
  holder.release();
  const done = await curl({ url: door.url }, ...apiKey(fresh.key), ...post(product({ product_code: 'L-1' })), '/functions/v1/product-create');
  await world.owner.query('ALTER ROLE authenticator IN DATABASE e2e_statuses RESET lock_timeout');
  assertError(refused, 500, '55P03', /lock/);
  assert.equal(done.status, 201);
});

test('503: a connection that dies in a request; the next one gets another', async () => {
  const holder = await world.owner.connect();
  const fresh = await company(world);
  const body = product({ product_code: 'D-1' });

  await holder.query('BEGIN; LOCK TABLE insurance_products IN SHARE MODE');
  const dying = create(body, fresh.key);
  const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename = 'authenticator' AND datname = 'e2e_statuses' AND wait_event_type = 'Lock'`;
  while ((await holder.query(kill)).rowCount === 0)
    await new Promise((resolve) => setTimeout(resolve, 20));
  const died = await dying;
  await holder.query('ROLLBACK');
  holder.release();
  assertError(died, 503, '57P01', /terminating/);
  assert.equal((await create(body, fresh.key)).status, 201);
});
