// Every endpoint, as supabase-js calls it: functions.invoke and rpc.
'use strict';

const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, stop, company, client, refusal, randomUUID } = require('./helpers');

let world;
let insurer;

before(async () => {
  world = await start('e2e_endpoints');
  insurer = await company(world);
});
after(() => stop(world));

const product = (more) => ({ product_name: 'Gold Health', policy_type: 'health', premium_amount: 120, ...more });

test('company-onboard: an admin gets a company and its key', async () => {
  const { data, error } = await client(world, world.admin).functions.invoke('company-onboard',
    { body: { name: 'Harbour Mutual', contact_email: 'it@harbour.example', country: 'GB' } });

  assert.equal(error, null);
  assert.equal(data.success, true);
  assert.equal(data.company.name, 'Harbour Mutual');
  assert.match(data.api_key, /^pk_[0-9a-f]{64}$/);
  assert.equal(JSON.stringify(data.company).includes(data.api_key), false);
});

test('product-create and product-update: a company by its key', async () => {
  const api = client(world, insurer);
  const made = await api.functions.invoke('product-create', { body: product({ product_code: 'G-1' }) });

  assert.equal(made.error, null);
  assert.equal(made.data.product.company_id, insurer.id);
  assert.equal(made.response.status, 201);

  const changed = await api.functions.invoke('product-update',
    { body: { product_id: made.data.product.id, premium_amount: 99.5, coverage_details: { dental: true } } });
  assert.equal(changed.error, null);
  assert.equal(changed.response.status, 200);
  assert.equal(changed.data.product.premium_amount, 99.5);
  assert.deepEqual(changed.data.product.coverage_details, { dental: true });
});

test('product-search: by body, by names, by GET', async () => {
  await client(world, insurer).functions.invoke('product-create', { body: product({ product_name: 'Seaside Dental Plus', currency: 'EUR' }) });
  const anybody = client(world);
  const answers = await Promise.all([
    anybody.functions.invoke('product-search', { body: { search_term: 'seaside', per_page: 5 } }),
    anybody.rpc('product_search', { search_term: 'seaside', per_page: '5' }),
    anybody.rpc('product_search', { search_term: 'seaside', per_page: 5 }, { get: true }),
  ]);

  for (const { data, error } of answers) {
    assert.equal(error, null);
    assert.equal(data.pagination.total_items, 1);
    assert.equal(data.pagination.per_page, 5);
    assert.equal(data.products[0].product_name, 'Seaside Dental Plus');
    assert.equal(data.products[0].insurance_companies.name, insurer.name);
  }
});

test('document-upload: a user, his own document; a PDF is queued', async () => {
  const { data, error, response } = await client(world, world.user).functions.invoke('document-upload',
    { body: { title: 'My policy', document_type: 'policy', file_url: 'http://127.0.0.1:9/policy.PDF?x=1' } });

  assert.equal(error, null);
  assert.equal(response.status, 201);
  assert.equal(data.document.user_id, world.user.id);
  assert.equal(data.ai_analysis_triggered, true);
  assert.equal(data.encrypted, false);
});

test('job-worker: service_role runs one job, or hears that none is due', async () => {
  const api = client(world, { token: world.serviceToken });
  const deadline = Date.now() + 10000;
  let answer;

  do {
    answer = await api.functions.invoke('job-worker', { body: {} });
    assert.equal(answer.error, null);
  } while (!answer.data.message && Date.now() < deadline);
  assert.ok(answer.data.worker_id);
  assert.ok(answer.data.message);

  const { data: id, error } = await api.rpc('enqueue_job', { job_type_val: 'nobody_handles_this', payload_val: {}, max_attempts_val: 1 });
  assert.equal(error, null);
  assert.match(id, /^[0-9a-f-]{36}$/);
});

test('job-worker: nobody else', async () => {
  const asked = await Promise.all([client(world), client(world, insurer), client(world, world.user), client(world, world.admin)]
    .map(async (api) => (await refusal(await api.functions.invoke('job-worker', { body: {} }))).status));

  assert.deepEqual(asked, [401, 401, 403, 403]);
});

test('functions for service_role: the queue, by rpc', async () => {
  const api = client(world, { token: world.serviceToken });
  const queued = await api.rpc('enqueue_job', { job_type_val: 'e2e_later', payload_val: { a: 1 } });
  assert.equal(queued.error, null);

  const pdf = await api.rpc('enqueue_pdf_extraction', { document_id_val: randomUUID(), file_url_val: 'http://127.0.0.1:9/x.pdf' });
  assert.equal(pdf.error, null);
  assert.equal((await api.rpc('schedule_daily_ai_crawls')).error, null);
  assert.deepEqual(await api.rpc('cleanup_old_jobs').then(({ data, error }) => [data, error]), [0, null]);
  assert.equal((await api.rpc('check_rate_limit', { identifier_val: 'x', endpoint_val: 'y', max_requests: 1 })).data, true);
  assert.equal((await api.rpc('check_rate_limit', { identifier_val: 'x', endpoint_val: 'y', max_requests: 1 })).data, false);
  assert.ok(Array.isArray((await api.rpc('get_next_job', { worker_id_val: 'e2e' })).data));
  assert.equal((await api.rpc('complete_job', { job_id_val: queued.data, attempt_val: 99 })).data, false);
  assert.equal((await api.rpc('fail_job', { job_id_val: queued.data, error_message_val: 'x', attempt_val: 99 })).data, false);
  assert.equal((await api.rpc('complete_job', { job_id_val: randomUUID() })).status, 400);
});

test('functions for service_role: refused to everybody else', async () => {
  const calls = [['enqueue_job', { job_type_val: 'x', payload_val: {} }], ['get_next_job', { worker_id_val: 'x' }],
    ['complete_job', { job_id_val: randomUUID() }], ['fail_job', { job_id_val: randomUUID(), error_message_val: 'x' }],
    ['enqueue_pdf_extraction', { document_id_val: randomUUID(), file_url_val: 'http://127.0.0.1:9/x.pdf' }],
    ['schedule_daily_ai_crawls', {}], ['cleanup_old_jobs', {}], ['check_rate_limit', { identifier_val: 'x', endpoint_val: 'y' }]];

  for (const [name, args] of calls) {
    assert.equal((await client(world).rpc(name, args)).status, 401, `${name} as a visitor`);
    assert.equal((await client(world, world.user).rpc(name, args)).status, 403, `${name} as a user`);
    assert.equal((await client(world, world.superAdmin).rpc(name, args)).status, 403, `${name} as a super admin`);
  }
});

test('is_admin: of oneself, of others only for an admin', async () => {
  const ask = (who, id) => client(world, who).rpc('is_admin', { user_id: id });

  assert.equal((await ask(world.user, world.user.id)).data, false);
  assert.equal((await ask(world.admin, world.admin.id)).data, true);
  assert.equal((await ask(world.admin, world.superAdmin.id)).data, true);
  assert.equal((await ask(world.user, world.admin.id)).status, 403);
  assert.equal((await ask({}, world.admin.id)).status, 401);
});
