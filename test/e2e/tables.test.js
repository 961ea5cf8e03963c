// Tables through /rest/v1, as supabase-js reads and writes them: row security
// for every kind of caller.
'use strict';

const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, stop, company, client, curl, post, bearer, apiKey, randomUUID } = require('./helpers');

let world;
let insurer;
let rival;
const as = {};

before(async () => {
  world = await start('e2e_tables');
  insurer = await company(world, { license_number: 'L-1' });
  rival = await company(world);
  Object.assign(as, {
    anon: client(world), user: client(world, world.user), other: client(world, world.other), admin: client(world, world.admin),
    superAdmin: client(world, world.superAdmin), service: client(world, { token: world.serviceToken }),
    insurer: client(world, insurer), rival: client(world, rival),
  });
});
after(() => stop(world));

// Rows or the status of a refusal.
async function ask(query) {
  const { data, status, error } = await query;

  return error ? status : data;
}

const ids = async (query) => (await ask(query)).map(({ id }) => id).sort();

test('policies: a user writes and reads his own, nobody another\'s', async () => {
  const mine = await ask(as.user.from('policies').insert({ user_id: world.user.id, policy_type: 'home', premium_amount: 10 }).select().single());
  const theirs = await ask(as.other.from('policies').insert({ user_id: world.other.id, policy_type: 'auto' }).select().single());

  assert.equal(mine.user_id, world.user.id);
  assert.deepEqual(await ids(as.user.from('policies').select()), [mine.id]);
  assert.deepEqual(await ids(as.other.from('policies').select('id')), [theirs.id]);
  assert.deepEqual(await ids(as.admin.from('policies').select('id')), [mine.id, theirs.id].sort());
  assert.deepEqual(await ids(as.service.from('policies').select('id')), [mine.id, theirs.id].sort());
  assert.equal(await ask(as.anon.from('policies').select()), 401);
  assert.equal(await ask(as.insurer.from('policies').select()), 401);

  assert.equal(await ask(as.user.from('policies').insert({ user_id: world.other.id, policy_type: 'auto' })), 403);
  assert.deepEqual(await ask(as.user.from('policies').update({ status: 'mine now' }).eq('id', theirs.id).select()), []);
  assert.deepEqual(await ask(as.user.from('policies').delete().eq('id', theirs.id).select()), []);
  assert.equal(await ask(as.user.from('policies').update({ user_id: world.other.id }).eq('id', mine.id)), 403);
  assert.equal(await ask(as.user.from('policies').update({ ai_summary: 'best' }).eq('id', mine.id)), 403);
  assert.equal((await ask(as.user.from('policies').update({ status: 'active' }).eq('id', mine.id).select()))[0].status, 'active');
  assert.equal((await ask(as.admin.from('policies').update({ ai_summary: 'fine' }).eq('id', mine.id).select()))[0].ai_summary, 'fine');
  assert.equal((await as.user.from('policies').delete().eq('id', mine.id)).status, 204);
  assert.deepEqual(await ids(as.user.from('policies').select()), []);
});

test('policies: filters, order, range and counts', async () => {
  const premiums = [5, 3, 9, 7, 1];
  await ask(as.other.from('policies').insert(premiums.map((premium_amount) => ({ user_id: world.other.id, policy_type: 'life', premium_amount }))));
  const found = await as.other.from('policies').select('premium_amount', { count: 'exact' }).eq('policy_type', 'life')
    .order('premium_amount', { ascending: false }).range(1, 2);

  assert.equal(found.status, 206);
  assert.equal(found.count, premiums.length);
  assert.deepEqual(found.data, [{ premium_amount: 7 }, { premium_amount: 5 }]);
  const head = await as.other.from('policies').select('*', { count: 'exact', head: true }).gt('premium_amount', 4);
  assert.deepEqual([head.status, head.count], [200, 3]);
  assert.equal((await as.user.from('policies').select('*', { count: 'exact', head: true })).count, 0);
  assert.deepEqual(await ask(as.other.from('policies').select('premium_amount').in('premium_amount', [1, 3]).order('premium_amount')),
    [{ premium_amount: 1 }, { premium_amount: 3 }]);
  assert.equal(await ask(as.other.from('policies').select('no_such_column')), 400);
  assert.equal(await ask(as.other.from('policies').select().eq('policy_type', 'no such type')), 400);
  assert.equal(await ask(as.other.from('policies').select().eq('premium_amount', 9).single()).then(({ premium_amount }) => premium_amount), 9);
  assert.equal(await ask(as.other.from('policies').select().single()), 406);
});

test('claims: own policies only, and no verdict by oneself', async () => {
  const policy = await ask(as.user.from('policies').insert({ user_id: world.user.id }).select().single());
  const claim = { user_id: world.user.id, policy_id: policy.id, claim_amount: 100 };
  const made = await ask(as.user.from('claims').insert(claim).select().single());

  assert.equal(made.claim_status, 'pending');
  assert.equal(await ask(as.user.from('claims').update({ claim_status: 'approved' }).eq('id', made.id)), 403);
  assert.equal((await ask(as.admin.from('claims').update({ claim_status: 'approved' }).eq('id', made.id).select()))[0].claim_status, 'approved');
  assert.deepEqual(await ask(as.user.from('claims').delete().eq('id', made.id).select()), []);
  assert.deepEqual(await ids(as.other.from('claims').select()), []);
  assert.equal(await ask(as.anon.from('claims').select()), 401);

  // another's policy and one that is not there: the same answer
  const answers = await Promise.all([policy.id, randomUUID()].map((policy_id) =>
    as.other.from('claims').insert({ user_id: world.other.id, policy_id, claim_amount: 1 })));
  assert.deepEqual(answers.map(({ status }) => status), [409, 409]);
  const plain = answers.map(({ error }) => JSON.stringify(error).replace(/[0-9a-f-]{36}/g, 'id'));
  assert.equal(plain[0], plain[1]);
});

test('documents: own rows, without the columns of the machine', async () => {
  const made = await ask(as.user.from('documents').insert({ user_id: world.user.id, title: 'Receipt', file_url: 'http://127.0.0.1:9/r.png' }).select().single());

  assert.equal(made.is_encrypted, false);
  assert.deepEqual(await ids(as.other.from('documents').select()), []);
  assert.equal(await ask(as.user.from('documents').update({ is_encrypted: true }).eq('id', made.id)), 403);
  assert.equal((await ask(as.user.from('documents').update({ title: 'Bill' }).eq('id', made.id).select()))[0].title, 'Bill');
  assert.equal((await as.user.from('documents').delete().eq('id', made.id)).status, 204);
});

test('insurance_products: active ones for everybody, all its own for a company', async () => {
  const row = { company_id: insurer.id, product_name: 'Tables', policy_type: 'home', premium_amount: 5 };
  const made = await ask(as.insurer.from('insurance_products').insert(row).select().single());

  assert.deepEqual(await ids(as.anon.from('insurance_products').select()), [made.id]);
  assert.equal(await ask(as.anon.from('insurance_products').insert(row)), 401);
  assert.equal(await ask(as.user.from('insurance_products').insert(row)), 403);
  assert.equal(await ask(as.rival.from('insurance_products').insert(row)), 401);
  assert.deepEqual(await ask(as.rival.from('insurance_products').update({ premium_amount: 1 }).eq('id', made.id).select()), []);
  assert.equal((await ask(as.insurer.from('insurance_products').update({ is_active: false }).eq('id', made.id).select()))[0].is_active, false);
  assert.deepEqual(await ids(as.anon.from('insurance_products').select()), []);
  assert.deepEqual(await ids(as.rival.from('insurance_products').select()), []);
  assert.deepEqual(await ids(as.insurer.from('insurance_products').select()), [made.id]);
  assert.deepEqual(await ids(as.admin.from('insurance_products').select()), [made.id]);
  assert.equal((await as.insurer.from('insurance_products').delete().eq('id', made.id)).status, 204);
});

test('insurance_companies: its own row, but not its standing', async () => {
  assert.deepEqual(await ids(as.insurer.from('insurance_companies').select()), [insurer.id]);
  assert.deepEqual(await ids(as.anon.from('insurance_companies').select()), []);
  assert.deepEqual(await ids(as.user.from('insurance_companies').select()), []);
  assert.deepEqual(await ids(as.admin.from('insurance_companies').select()), [insurer.id, rival.id].sort());
  assert.equal((await ask(as.insurer.from('insurance_companies').update({ description: 'We insure.' }).eq('id', insurer.id).select()))[0].description, 'We insure.');
  assert.equal(await ask(as.insurer.from('insurance_companies').update({ license_number: 'L-2' }).eq('id', insurer.id)), 401);
  assert.deepEqual(await ask(as.rival.from('insurance_companies').update({ description: 'x' }).eq('id', insurer.id).select()), []);
  assert.equal(JSON.stringify(await ask(as.insurer.from('insurance_companies').select())).includes(insurer.key), false);
});

test('admin_users: admins read, super admins write', async () => {
  assert.deepEqual(await ask(as.user.from('admin_users').select()), []);
  assert.equal(await ask(as.anon.from('admin_users').select()), 401);
  assert.equal(await ask(as.service.from('admin_users').select()), 403);
  assert.ok((await ids(as.admin.from('admin_users').select())).includes(world.superAdmin.id));
  assert.equal(await ask(as.user.from('admin_users').insert({ id: world.user.id, role: 'super_admin' })), 403);
  assert.equal(await ask(as.admin.from('admin_users').insert({ id: world.user.id, role: 'admin' })), 403);
  assert.deepEqual(await ask(as.admin.from('admin_users').update({ role: 'super_admin' }).eq('id', world.admin.id).select()), []);
  assert.equal((await as.superAdmin.from('admin_users').insert({ id: world.other.id, role: 'admin' })).status, 201);
  assert.deepEqual((await as.other.rpc('is_admin', { user_id: world.other.id })).data, true);
  assert.equal((await as.superAdmin.from('admin_users').delete().eq('id', world.other.id)).status, 204);
  assert.deepEqual((await as.other.rpc('is_admin', { user_id: world.other.id })).data, false);
});

test('audit_logs: admins read who, whence and what; nobody changes', async () => {
  const made = await ask(client(world, { ...world.user, headers: { 'user-agent': 'e2e/1' } }).from('policies')
    .insert({ user_id: world.user.id, policy_number: 'A-1' }).select().single());
  const [entry] = await ask(as.admin.from('audit_logs').select().eq('record_id', made.id));

  assert.equal(entry.user_id, world.user.id);
  assert.equal(entry.action.toUpperCase(), 'INSERT');
  assert.equal(entry.ip_address, '127.0.0.1');
  assert.equal(entry.request_path, '/policies');
  assert.equal(entry.new_values.policy_number, 'A-1');
  assert.deepEqual(await ask(as.user.from('audit_logs').select()), []);
  assert.equal(await ask(as.anon.from('audit_logs').select()), 401);
  for (const api of [as.user, as.admin, as.superAdmin, as.service]) {
    assert.equal(await ask(api.from('audit_logs').update({ action: 'x' }).eq('record_id', made.id)), 403);
    assert.equal(await ask(api.from('audit_logs').delete().eq('record_id', made.id)), 403);
  }
  assert.equal(await ask(as.admin.from('audit_logs').insert({ action: 'x' })), 403);
});

test('job_queue and rate_limits: service_role only', async () => {
  for (const table of ['job_queue', 'rate_limits']) {
    assert.ok(Array.isArray(await ask(as.service.from(table).select().limit(1))), table);
    assert.equal(await ask(as.anon.from(table).select()), 401, table);
    assert.deepEqual([].concat(await ask(as.user.from(table).select())).filter((item) => item !== 403), [], table);
  }
});

test('users: one\'s own row', async () => {
  assert.deepEqual(await ids(as.user.from('users').select()), [world.user.id]);
  assert.equal(await ask(as.anon.from('users').select()), 401);
  assert.deepEqual(await ask(as.user.from('users').update({ email: 'a@b.example' }).eq('id', world.user.id).select()), []);
});

test('unique violations and bad values: 409 and 400, nothing written', async () => {
  const row = { company_id: insurer.id, product_name: 'Twice', product_code: 'T-1', policy_type: 'home', premium_amount: 5 };

  assert.equal((await as.insurer.from('insurance_products').insert(row)).status, 201);
  assert.equal(await ask(as.insurer.from('insurance_products').insert(row)), 409);
  assert.equal(await ask(as.insurer.from('insurance_products').insert([{ ...row, product_code: 'T-2' }, { ...row, product_code: 'T-1' }])), 409);
  assert.equal(await ask(as.insurer.from('insurance_products').insert({ ...row, product_code: 'T-3', policy_type: 'boat' })), 400);
  assert.equal(await ask(as.insurer.from('insurance_products').insert({ ...row, product_code: 'T-3', product_name: null })), 400);
  assert.deepEqual(await ask(as.insurer.from('insurance_products').select('product_code').order('product_code')), [{ product_code: 'T-1' }]);
});

test('internals are not exposed', async () => {
  for (const path of ['/rest/v1/api_keys', '/rest/v1/padlock.api_keys', '/rest/v1/sessions', '/rest/v1/no_such_table'])
    assert.equal((await curl(world, ...bearer(world.superAdmin.token), path)).status, 404, path);
  assert.equal((await curl(world, ...apiKey(insurer.key), ...post({}), '/rest/v1/rpc/install')).status, 404);
});
