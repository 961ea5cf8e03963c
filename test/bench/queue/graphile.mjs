// graphile-worker, for test/bench/queue.sh; settings of the connection come
// from the environment.
//
//   node graphile.mjs statements FOLDER BATCH   its schema, and the statements
//       that its runner sends to claim and complete one job, and BATCH jobs, as
//       pgbench scripts FOLDER/graphile_one.sql and FOLDER/graphile_batch.sql
//   node graphile.mjs run CONCURRENCY           do all jobs that wait with its
//       runner; prints jobs a second
//
// The statements are taken from what the runner sends, so that they are those
// of the version that is installed.

import fs from 'node:fs';
import pg from 'pg';
import { Logger, makeWorkerUtils, run } from 'graphile-worker';

// What is left out: start-up of the runner and its first queries.
const WARM_UP = 1000;
const POOL_ID = 'bench';

const pool = new pg.Pool({ max: 20 });
pool.on('error', () => {});
pool.on('connect', (client) => client.on('error', () => {}));
const silent = new Logger(() => () => {});

// Run the waiting jobs, `count` of them; resolves to jobs a second.
async function work(count, settings) {
  let done = 0;
  let began;
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  const warmUp = Math.min(WARM_UP, Math.floor(count / 2));
  const runner = await run({
    pgPool: pool,
    noHandleSignals: true,
    preset: { worker: { ...settings, logger: silent } },
    taskList: {
      noop: async () => {
        done += 1;
        if (done === warmUp) began = performance.now();
        if (done === count) finish(performance.now());
      },
    },
  });
  const rate = (count - warmUp) * 1000 / (await finished - began);
  await new Promise((resolve) => { setTimeout(resolve, 200); });
  await runner.stop();
  return rate;
}

async function waiting(utils) {
  const { rows } = await utils.withPgClient((client) =>
    client.query('select count(*)::int as n from graphile_worker._private_jobs'));
  return rows[0].n;
}

// Remember the texts that pass through the driver while `action` runs.
async function overhear(action) {
  const texts = new Set();
  const query = pg.Client.prototype.query;
  pg.Client.prototype.query = function overheard(config, ...rest) {
    texts.add(String(config.text ?? config));
    return query.call(this, config, ...rest);
  };
  await action();
  pg.Client.prototype.query = query;
  return [...texts];
}

// The one text that matches all patterns.
function pick(texts, ...patterns) {
  const found = texts.filter((text) => patterns.every((pattern) => pattern.test(text)));
  if (found.length !== 1) throw new Error(`${found.length} statements match ${patterns}`);
  return found[0];
}

// Arguments become constants or pgbench variables.
function bind(text, ids) {
  return text.replaceAll('$1::text', `'${POOL_ID}'`).replaceAll('$2::int[]', "'{1}'::int[]")
    .replace(/\$1::bigint(\[\])?/, `:${ids}::bigint$1`);
}

// pgbench takes one row, so a batch's ids are collected in the same statement.
function collect(claim) {
  const start = claim.lastIndexOf('update ');
  return `${claim.slice(0, start)}, claimed as (\n${claim.slice(start).replace('returning *', 'returning jobs.*')}\n)
select array_agg(id) as ids from claimed`;
}

async function statements(folder, batch) {
  const utils = await makeWorkerUtils({ pgPool: pool });
  const add = (n) => utils.withPgClient((client) =>
    client.query("select graphile_worker.add_job('noop') from generate_series(1, $1)", [n]));
  await utils.migrate();
  const texts = await overhear(async () => {
    await add(20);
    await work(20, { concurrentJobs: 2 });
    await add(4 * batch);
    await work(4 * batch, {
      concurrentJobs: batch, localQueue: { size: batch }, completeJobBatchDelay: 1 });
  });
  const one = [pick(texts, /^with j as/, /limit 1\s/), pick(texts, /^delete/, /id = \$1::bigint$/)];
  const many = [pick(texts, /^with j_raw as/, new RegExp(`limit ${batch}\\s`)), pick(texts, /^delete/, /unnest/)];
  fs.writeFileSync(`${folder}/graphile_one.sql`,
    `${bind(one[0])}\n\\gset\n${bind(one[1], 'id')};\n`);
  fs.writeFileSync(`${folder}/graphile_batch.sql`,
    `${collect(bind(many[0]))}\n\\gset\n${bind(many[1], 'ids')};\n`);
  await utils.release();
}

const [command, ...args] = process.argv.slice(2);
if (command === 'statements') {
  await statements(args[0], Number(args[1]));
} else {
  const utils = await makeWorkerUtils({ pgPool: pool });
  const rate = await work(await waiting(utils), { concurrentJobs: Number(args[0]) });
  console.log(Math.round(rate));
  await utils.release();
}
await pool.end();
