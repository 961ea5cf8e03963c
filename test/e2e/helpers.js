// What the tests share: a database of their own with a gateway before it, the
// people who call, and clients.
'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { randomBytes, randomUUID } = require('node:crypto');
const { Pool } = require('pg');
const { SignJWT } = require('jose');
const { createClient } = require('@supabase/supabase-js');
const gateway = require('./gateway');

const server = { host: process.env.PGHOST, port: Number(process.env.PGPORT) };
const secret = randomBytes(32).toString('hex');

// A token as a gateway's HS256 issuer makes it.
function token(claims, { key = new TextEncoder().encode(secret), alg = 'HS256', expires = '1h' } = {}) {
  const jwt = new SignJWT(claims).setProtectedHeader({ alg, typ: 'JWT' });

  return (expires === null ? jwt : jwt.setExpirationTime(expires)).sign(key);
}

async function database(name) {
  const maintenance = new Pool({ ...server, user: 'postgres', database: 'postgres', max: 1 });

  await maintenance.query(`DO $$ BEGIN CREATE ROLE authenticator LOGIN NOINHERIT;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`);
  await maintenance.query(`CREATE DATABASE ${name}`);
  await maintenance.end();
  const owner = new Pool({ ...server, user: 'postgres', database: name, max: 2 });
  await owner.query('CREATE EXTENSION padlock');
  await owner.query('GRANT anon, authenticated, service_role TO authenticator');
  return owner;
}

// Start everything; stop() with what it answers.
async function start(name, options = {}) {
  const owner = await database(name);
  const world = { name, owner, doors: [], anonKey: await token({ role: 'anon' }) };
  const door = await open(world, options);
  Object.assign(world, { gateway: door, url: door.url });

  world.admin = await person(world, 'admin');
  world.superAdmin = await person(world, 'super_admin');
  world.user = await person(world);
  world.other = await person(world);
  world.serviceToken = await token({ role: 'service_role' });
  return world;
}

// One more gateway to the same database.
async function open(world, options = {}) {
  const door = await gateway.start({ connection: { ...server, user: 'authenticator', database: world.name }, secret, ...options });

  world.doors.push(door);
  return door;
}

async function stop(world) {
  await Promise.all(world.doors.map((door) => door.close()));
  await world.owner.end();
}

// A new user, perhaps with an office: { id, email, token }.
async function person({ owner }, office) {
  const id = randomUUID();
  const email = `${id}@people.example`;

  await owner.query('INSERT INTO users (id, email) VALUES ($1, $2)', [id, email]);
  if (office)
    await owner.query('INSERT INTO admin_users (id, role, permissions) VALUES ($1, $2, $3)', [id, office, '["all"]']);
  return { id, email, token: await token({ role: 'authenticated', sub: id, email }) };
}

// A new company, onboarded by a new admin, so that no limit is reached:
// { id, name, key }.
async function company(world, more = {}) {
  const admin = await person(world, 'admin');
  const name = `Company ${randomBytes(6).toString('hex')}`;
  const { data, error } = await client(world, { token: admin.token }).functions.invoke('company-onboard',
    { body: { name, contact_email: 'it@company.example', ...more } });

  assert.equal(error, null);
  return { id: data.company.id, name, key: data.api_key };
}

// supabase-js as somebody: { token } and/or { key }, else a visitor.
function client(world, { token: bearer, key, headers = {} } = {}) {
  return createClient(world.url, world.anonKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers: { ...(bearer ? { Authorization: `Bearer ${bearer}` } : {}), ...(key ? { 'x-api-key': key } : {}), ...headers } },
  });
}

// padlock's public keys; its key file is made when there is none yet.
async function jwks({ owner }) {
  await owner.query("SELECT padlock.create_jwt_keys('ES256')").catch((error) => {
    if (error.code !== '58P02')     // another test file was faster
      throw error;
  });
  return (await owner.query('SELECT padlock.jwks() AS set')).rows[0].set;
}

// The status and body of what functions.invoke() calls an error.
async function refusal({ error }) {
  assert.ok(error, 'refused');
  return { status: error.context.status, headers: error.context.headers, body: await error.context.json() };
}

// curl with these arguments; the path is the last: { status, headers, body, json }.
function curl(world, ...args) {
  const path = args.pop();

  return new Promise((resolve, reject) => {
    execFile('curl', ['-q', '-sS', '-i', '--max-time', '30', '--noproxy', '*', ...args, world.url + path], { maxBuffer: 64 << 20 },
      (error, stdout) => error ? reject(error) : resolve(parse(stdout)));
  });
}

function parse(text) {
  const rest = text.replace(/^HTTP\/1\.1 100 [^]*?\r\n\r\n/, '');
  const end = rest.indexOf('\r\n\r\n');
  const [first, ...lines] = rest.slice(0, end).split('\r\n');
  const body = rest.slice(end + 4);
  const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]));

  return { status: Number(first.split(' ')[1]), headers, body, get json() { return JSON.parse(body); } };
}

// Arguments of curl.
const post = (body) => ['-X', 'POST', '-H', 'content-type: application/json', '--data-binary', typeof body === 'string' ? body : JSON.stringify(body)];
const bearer = (value) => ['-H', `authorization: Bearer ${value}`];
const apiKey = (value) => ['-H', `x-api-key: ${value}`];

module.exports = { server, start, open, stop, token, secret, person, company, client, jwks, refusal, curl, post, bearer, apiKey, randomUUID };
