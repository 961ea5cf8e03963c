# The queue, beside graphile-worker and pg-boss from npm, PgQ from Debian and
# NOTIFY.  Sourced by test/bench/measure.
# shellcheck shell=sh disable=SC2154

batch=100
one_jobs=$((8000 * seconds))
batch_jobs=$((60000 * seconds))
boss_jobs=$((1000 * seconds))
worker_jobs=$((8000 * seconds))
old_jobs=300000
starts=300

padlock_one="SELECT job_id, attempts FROM get_next_job('bench', 5) \\gset
SELECT complete_job(:job_id, NULL, :attempts);"
padlock_batch="SELECT coalesce(array_agg(job_id), '{}') AS ids, coalesce(array_agg(attempts), '{}') AS tokens FROM get_next_jobs('bench', $batch) \\gset
SELECT count(*) FROM unnest(complete_jobs(:ids::uuid[], :tokens::integer[]));"

# The packages and the Node.js that they want, which is newer than Debian's.
install_peers()
{
    mkdir "$work/peers"
    cp "$source"/test/bench/queue/* "$work/peers"
    [ ! -f /etc/ssl/certs/ca-certificates.crt ] ||
        export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
    (cd "$work/peers" &&
        quietly npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || exit 1
    node=$(echo "$work"/peers/node_modules/node-linux-*/bin/node)
    quietly cc -O2 -I"$($PG_CONFIG --includedir)" "$work/peers/latency.c" -o "$work/latency" -lpq
}

peer()
{
    "$node" "$work/peers/$1.mjs" "$2" "${3:-}" "${4:-}" 2>"$work/log" ||
        { cat "$work/log" >&2; fail "failed: $*"; }
}

# A queue that holds so many jobs and no others; with the statistics that
# autovacuum would have made in time.  padlock keeps the finished jobs.
fill_padlock()
{
    sql "DELETE FROM job_queue WHERE status = 'pending'"
    sql "SELECT count(*) FROM enqueue_jobs((
             SELECT coalesce(jsonb_agg('{\"job_type\": \"noop\", \"payload\": {}}'::jsonb), '[]') FROM generate_series(1, $1)))" >/dev/null
}

fill_graphile()
{
    sql 'TRUNCATE graphile_worker._private_jobs'
    sql "SELECT FROM graphile_worker.add_jobs(ARRAY(
             SELECT ROW('noop', '{}', NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec
               FROM generate_series(1, $1)))"
    sql 'VACUUM ANALYZE graphile_worker._private_jobs'
}

make_pgq()
{
    sql 'CREATE EXTENSION pgq'
    sql "SELECT pgq.create_queue('bench'), pgq.set_queue_config('bench', 'ticker_max_count', '$batch'),
                pgq.register_consumer('bench', 'consumer')" >/dev/null
}

# PgQ gives a consumer the events between two ticks; somebody must tick.
fill_pgq()
{
    consume "$2" 1 "$(($1 / batch))" "SELECT count(pgq.insert_event('bench', 'noop', '{}')) FROM generate_series(1, $batch);
SELECT pgq.ticker('bench');"
}

pgq_batch="SELECT next_batch AS batch_id FROM pgq.next_batch('bench', 'consumer') \\gset
SELECT count(*) FROM pgq.get_batch_events(:batch_id);
SELECT pgq.finish_batch(:batch_id);"

# consume NAME CLIENTS TRANSACTIONS SCRIPT [FACTOR]: as rate(), but so many
# transactions in all, however long they take.
consume()
{
    printf '%s\n' "$4" >"$work/script.sql"
    quietly pgbench -n -M prepared -c "$2" -j "$(($2 < 2 ? 1 : 2))" -t "$(($3 / $2))" \
        -f "$work/script.sql"
    figure "$1" "$(awk -v factor="${5:-1}" '/^tps = / { printf "%.0f", $3 * factor }' "$work/log")"
}

# consume_both CLIENTS: one at a time.  Some jobs are left, so that the last
# claims find one, too.
consume_both()
{
    fill_padlock $((one_jobs + 100))
    consume "padlock_$1" "$1" $one_jobs "$padlock_one"
    fill_graphile $((one_jobs + 100))
    consume "graphile_$1" "$1" $one_jobs "$(cat "$work/graphile_one.sql")"
}

consume_batches()
{
    fill_padlock $((batch_jobs + 100 * batch))
    consume padlock_batch 4 $((batch_jobs / batch)) "$padlock_batch" $batch
    fill_graphile $((batch_jobs + 100 * batch))
    consume graphile_batch 4 $((batch_jobs / batch)) "$(cat "$work/graphile_batch.sql")" $batch
    fill_pgq $batch_jobs ignored
    consume pgq_batch 1 $((batch_jobs / batch)) "$pgq_batch" $batch
}

consume_boss()
{
    figure boss_one "$(peer pgboss 4 1 $boss_jobs)"
    figure boss_batch "$(peer pgboss 4 $batch $((20 * boss_jobs)))"
}

# beside_old_snapshot NAME FILL ONE BATCH: the rate of four consumers, one at a
# time, while another session holds a snapshot: at once, and after many jobs.
beside_old_snapshot()
{
    $2 $((old_jobs + 3 * one_jobs))
    PGAPPNAME=old_snapshot psql -qX -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' \
        -c 'SELECT count(*) FROM pg_class' -c 'SELECT pg_sleep(3600)' >/dev/null 2>&1 &
    rate "$1_old_start" 4 "$3"
    consume ignored 4 $((old_jobs / batch)) "$4"
    rate "$1_old_end" 4 "$3"
    sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'old_snapshot'" >/dev/null
}

# set_workers COUNT: background workers, and wait until they are as many.
set_workers()
{
    sql "ALTER SYSTEM SET padlock.worker_count = $1"
    sql 'SELECT pg_reload_conf()' >/dev/null
    for _ in $(seq 100); do
        [ "$(sql "SELECT count(*) FROM padlock.worker_status() WHERE state IN ('idle', 'busy')")" != "$1" ] || return 0
        sleep 0.1
    done
    fail "there are not $1 background workers"
}

make_notified()
{
    sql "CREATE TABLE notified (
             id uuid PRIMARY KEY DEFAULT gen_random_uuid(), job_type text NOT NULL, payload jsonb NOT NULL,
             created_at timestamptz NOT NULL DEFAULT now())"
}

make_handler()
{
    sql 'CREATE FUNCTION noop(jsonb) RETURNS jsonb LANGUAGE sql RETURN NULL::jsonb'
    sql "SELECT padlock.register_job_handler('noop', 'noop(jsonb)', 'service_role')"
}

# With somebody to wake on either side.
enqueue_both()
{
    "$work/latency" listen &
    listener=$!
    rate notify_enqueue 8 "WITH job AS (INSERT INTO notified (job_type, payload) VALUES ('noop', '{}') RETURNING id) SELECT pg_notify('jobs', '') FROM job;"
    kill $listener
    fill_padlock 0
    sql "SELECT pause_job_type('noop')" >/dev/null
    rate padlock_enqueue 8 "SELECT enqueue_job('noop', '{}');"
    sql "SELECT resume_job_type('noop')" >/dev/null
    wait_for_jobs
}

wait_for_jobs()
{
    for _ in $(seq 600); do
        [ "$(sql "SELECT coalesce(sum(jobs), 0) FROM padlock.job_counts WHERE status IN ('pending', 'processing')")" != 0 ] || return 0
        sleep 0.2
    done
    fail 'the background workers do not come to an end'
}

start_both()
{
    fill_padlock 0
    figure padlock_start "$("$work/latency" worker $starts)"
    figure notify_start "$("$work/latency" notify $starts)"
}

run_both()
{
    set_workers 0
    began=$(sql 'SELECT clock_timestamp()')
    fill_padlock $worker_jobs
    set_workers 2
    wait_for_jobs
    figure padlock_run "$(sql "SELECT (count(*) / extract(epoch FROM max(completed_at) - min(started_at)))::bigint
                                 FROM job_queue WHERE created_at >= '$began' AND status = 'completed'")"
    fill_graphile $worker_jobs
    figure graphile_run "$(peer graphile run 8)"
}

measure_round()
{
    set_workers 0
    consume_both 4
    consume_both 8
    consume_batches
    consume_boss
    set_workers 2
    enqueue_both
    start_both
    run_both
}

start_cluster "shared_buffers = '512MB'" "max_wal_size = '8GB'" "checkpoint_timeout = '1h'"
install_peers
peer graphile statements "$work" $batch
make_pgq
make_notified
make_handler
for _ in $(seq "$rounds"); do
    measure_round
done
set_workers 0
beside_old_snapshot padlock fill_padlock "$padlock_one" "$padlock_batch"
beside_old_snapshot graphile fill_graphile "$(cat "$work/graphile_one.sql")" "$(cat "$work/graphile_batch.sql")"

heading 'queue: jobs claimed and completed a second, durably'
row 'one at a time, 4 consumers / graphile-worker' padlock_4 graphile_4 1.8
row 'one at a time, 8 consumers / graphile-worker' padlock_8 graphile_8 2
row 'one at a time, 4 consumers / pg-boss' padlock_4 boss_one
row "batches of $batch, 4 consumers / graphile-worker" padlock_batch graphile_batch 3
row "batches of $batch, 4 consumers / pg-boss" padlock_batch boss_batch
row "batches of $batch / PgQ, its one consumer" padlock_batch pgq_batch
heading 'queue: 4 consumers beside an old snapshot'
row 'after 300,000 jobs / at the start' padlock_old_end padlock_old_start 0.9
row 'the same of graphile-worker' graphile_old_end graphile_old_start
heading 'queue: enqueued a second, 8 clients'
row 'enqueue_job() / INSERT and NOTIFY' padlock_enqueue notify_enqueue 3
heading 'queue: microseconds from commit to start, median'
row_at_most 'idle worker / LISTEN' padlock_start notify_start 0.5
heading 'queue: jobs done a second by the runners'
row '2 workers / graphile-worker, concurrency 8' padlock_run graphile_run 3
