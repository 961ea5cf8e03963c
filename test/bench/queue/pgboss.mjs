// pg-boss, for test/bench/queue.sh; settings of the connection come from the
// environment.
//
//   node pgboss.mjs CONSUMERS BATCH JOBS
//
// Adds JOBS jobs to an empty queue, then lets CONSUMERS loops fetch and
// complete BATCH of them at a time; prints jobs a second.

import { PgBoss } from 'pg-boss';

const QUEUE = 'noop';
const [consumers, batch, count] = process.argv.slice(2).map(Number);
const connectionString = `postgres:///${process.env.PGDATABASE}?host=${process.env.PGHOST}&user=${process.env.PGUSER}`;
const boss = new PgBoss({ connectionString, max: consumers, supervise: false, schedule: false });

// With statistics of the full table, as autovacuum would make them in time.
async function fill() {
  await boss.createQueue(QUEUE);
  await boss.deleteAllJobs(QUEUE);
  for (let left = count; left > 0; left -= 10000) {
    await boss.insert(QUEUE, Array.from({ length: Math.min(left, 10000) }, () => ({ data: {} })));
  }
  await boss.getDb().executeSql('VACUUM ANALYZE pgboss.job');
}

async function consume() {
  let done = 0;
  for (;;) {
    const jobs = await boss.fetch(QUEUE, { batchSize: batch });
    if (jobs.length === 0) return done;
    await boss.complete(QUEUE, jobs.map((job) => job.id));
    done += jobs.length;
  }
}

boss.on('error', (error) => { throw error; });
await boss.start();
await fill();
const began = performance.now();
const done = await Promise.all(Array.from({ length: consumers }, consume));
const total = done.reduce((sum, n) => sum + n, 0);
if (total !== count) throw new Error(`${total} of ${count} jobs were done`);
console.log(Math.round(total * 1000 / (performance.now() - began)));
await boss.stop({ graceful: false });
process.exit(0);
