// ai_product_ingest: a webhook known by a secret of a file.
'use strict';

const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { randomBytes } = require('node:crypto');
const { start, stop, company, client, refusal, curl, post, bearer, apiKey, randomUUID } = require('./helpers');

const file = process.env.PADLOCK_WEBHOOK_SECRETS;
const secrets = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')];
let world;

const keep = (...lines) => fs.writeFileSync(file, lines.join('\n') + '\n', { mode: 0o600 });

before(async () => {
  keep(secrets[0]);
  world = await start('e2e_webhook');
});
after(() => stop(world));

const found = (more) => ({ source_url: 'https://insurer.example/gold', company_name: 'Found Mutual', product_name: 'Gold Health',
  policy_type: 'health', premium_amount: 120, ...more });
const ingest = (body, secret = secrets[0], ...args) =>
  curl(world, ...args, '-H', `x-webhook-secret: ${secret}`, ...post(body), '/functions/v1/ai-product-ingest');

test('supabase-js: 201 created, 200 updated; the company is seen when an admin activates it', async () => {
  const api = client(world, { headers: { 'x-webhook-secret': secrets[0] } });
  const made = await api.functions.invoke('ai-product-ingest', { body: found() });

  assert.equal(made.error, null);
  assert.deepEqual([made.response.status, made.data.success, made.data.action], [201, true, 'created']);
  assert.equal(made.data.source_url, 'https://insurer.example/gold');
  const again = await api.functions.invoke('ai-product-ingest', { body: found({ premium_amount: ' 99.50 ' }) });
  assert.deepEqual([again.response.status, again.data.action, again.data.product.id], [200, 'updated', made.data.product.id]);
  assert.equal(again.data.product.premium_amount, 99.5);

  const visible = async () => (await client(world).rpc('product_search', { search_term: 'gold' })).data.pagination.total_items;
  assert.equal(await visible(), 0);
  await client(world, world.admin).from('insurance_companies').update({ is_active: true }).eq('id', made.data.product.company_id);
  assert.equal(await visible(), 1);
});

test('400: every bad field; 404: no such company', async () => {
  const bad = await ingest({ product_name: '', premium_amount: 'much', colour: 'red' });

  assert.equal(bad.status, 400);
  for (const field of ['source_url', 'product_name', 'premium_amount', 'colour'])
    assert.match(bad.json.details, new RegExp(`\\b${field}: `));
  assert.equal((await ingest(found({ company_name: undefined, company_id: randomUUID() }))).status, 404);
});

test('401: no secret, a wrong one; a key or a token is none', async () => {
  const answers = [await curl(world, ...post(found()), '/functions/v1/ai-product-ingest'), await ingest(found(), secrets[1]), await ingest(found(), 'x'),
    await ingest(found(), `${secrets[0]}0`), await ingest(found(), secrets[0].slice(1)),
    await curl(world, ...apiKey((await company(world)).key), ...post(found()), '/functions/v1/ai-product-ingest'),
    await curl(world, ...bearer(world.admin.token), ...post(found()), '/functions/v1/ai-product-ingest')];

  assert.deepEqual(answers.map(({ status }) => status), Array(7).fill(401));
  assert.equal((await refusal(await client(world, { headers: { 'x-webhook-secret': 'x' } }).functions.invoke('ai-product-ingest', { body: found() }))).status, 401);
});

test('secrets: two are valid while one replaces the other', async () => {
  const both = async () => [(await ingest(found(), secrets[0])).status, (await ingest(found(), secrets[1])).status];

  keep('# old and new', secrets[0], secrets[1]);
  assert.deepEqual(await both(), [200, 200]);
  keep(secrets[1]);
  assert.deepEqual(await both(), [401, 200]);
  keep(secrets[0]);
  assert.deepEqual(await both(), [200, 401]);
});

test('500: a file of secrets that others can read, without a word why', async () => {
  fs.chmodSync(file, 0o644);
  const answer = await ingest(found());
  fs.chmodSync(file, 0o600);
  assert.equal(answer.status, 500);
  assert.equal(answer.body.includes(file), false);
  assert.equal((await ingest(found())).status, 200);
});

test('429: by the source\'s address, wrong secrets count', async () => {
  await client(world, world.admin).from('rate_limit_rules').update({ max_requests: 2 }).eq('endpoint', 'ai_product_ingest');
  const from = ['--interface', '127.0.0.11'];
  const answers = [await ingest(found(), 'x', ...from), await ingest(found(), 'x', ...from), await ingest(found(), secrets[0], ...from)];

  assert.deepEqual(answers.map(({ status }) => status), [401, 401, 429]);
  assert.match(answers[2].headers['retry-after'], /^[1-9]\d*$/);
  assert.equal(answers[2].headers['ratelimit-policy'], '"ai_product_ingest";q=2;w=3600');
  assert.equal((await ingest(found(), secrets[0], '--interface', '127.0.0.12')).status, 200);
});
