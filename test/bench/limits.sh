# Rate limits, beside a server that only answers, counters in tables, and
# Redis.  Sourced by test/bench/measure.
# shellcheck shell=sh disable=SC2154

loop_rows=1000000
check="check_rate_limit('one caller', '/search', 2147483647, 60)"

# The usual counter in a table, here of an hour's fixed window.
make_counters()
{
    for kind in '' UNLOGGED; do
        sql "CREATE $kind TABLE counter_${kind:-LOGGED} (
                 identifier text, endpoint text, window_start timestamptz, request_count integer NOT NULL,
                 PRIMARY KEY (identifier, endpoint, window_start))"
    done
}

count_in()
{
    echo "INSERT INTO counter_$1 AS c VALUES ('one caller', '/search', date_trunc('hour', now()), 1)
          ON CONFLICT (identifier, endpoint, window_start)
          DO UPDATE SET request_count = c.request_count + 1
          RETURNING request_count <= 2147483647;" | tr '\n' ' '
}

# One row a check: of one caller, and of 10,000 callers at random.  A scan of
# a table is the cheapest loop over ready values that SQL has.
make_arrivals()
{
    sql "CREATE UNLOGGED TABLE arrivals AS
         WITH callers AS MATERIALIZED (
             SELECT array_agg(gen_random_uuid()::text) AS id FROM generate_series(1, 10000))
         SELECT id[1 + floor(random() * 10000)::integer] AS caller
           FROM callers, generate_series(1, $loop_rows)"
    sql 'VACUUM ANALYZE arrivals'
}

# Debian's redis-tools holds the server's program under the name of a tool; it
# looks at the name it is called by, and this way no service is installed.
start_redis()
{
    ln -s /usr/bin/redis-check-rdb "$work/redis-server"
    "$work/redis-server" --port 0 --unixsocket "$work/redis.socket" --save '' \
        --appendonly no --dir "$work" >"$work/redis.log" 2>&1 &
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        redis ping >/dev/null 2>&1 && break
        sleep 0.1
    done
    redis_script=$(redis script load "
        local count = redis.call('INCR', KEYS[1])
        if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
        return count <= tonumber(ARGV[1]) and 1 or 0") || fail 'redis does not answer'
    redis_requests=20000
}

redis()
{
    redis-cli -e -s "$work/redis.socket" "$@"
}

# redis-benchmark wants a number of requests: the last rate tells which lasts
# as long as the other measurements.
redis_rate()
{
    quietly redis-benchmark -s "$work/redis.socket" -c 8 -P 1 -n "$redis_requests" --csv \
        evalsha "$redis_script" 1 'one caller:/search' 2147483647 3600
    redis_last=$(awk -F '"' '/evalsha/ { printf "%.0f", $4 }' "$work/log")
    redis_requests=$((redis_last * seconds))
}

# A loop in one query, so that nothing but the check costs.
loop_rate()
{
    rate "$1" "${3:-1}" "SELECT count(*) FROM arrivals WHERE $2;" $loop_rows
}

measure_round()
{
    rate select 8 'SELECT 1;'
    rate hot 8 "SELECT $check;"
    rate logged 8 "$(count_in LOGGED)"
    rate unlogged 8 "$(count_in UNLOGGED)"
    redis_rate
    figure redis "$redis_last"

    rate select_random 8 '\set k random(1, 10000)
SELECT 1;'
    rate many 8 "\\set k random(1, 10000)
SELECT check_rate_limit(:k, '/search', 2147483647, 60);"
    rate eight_hot 8 "\\set k 0
SELECT check_rate_limit(:k, '/eight', 2147483647, 60);"
    rate eight_own 8 "\\set k :client_id
SELECT check_rate_limit(:k, '/eight', 2147483647, 60);"

    loop_rate loop_empty "random() >= 0"
    loop_rate loop_hot "$check"
    loop_rate loop_many "check_rate_limit(caller, '/search', 2147483647, 60)"
}

start_cluster "shared_buffers = '512MB'" 'max_parallel_workers_per_gather = 0'
make_counters
make_arrivals
start_redis
redis_rate
for _ in $(seq "$rounds"); do
    measure_round
done
redis shutdown nosave >/dev/null 2>&1

heading 'limits: checks a second, 8 clients on a unix socket'
row 'one key / SELECT 1' hot select 0.9
row '10,000 keys / SELECT 1' many select_random 0.8
row 'one key / counter in a table' hot logged 20
row 'one key / counter in an unlogged table' hot unlogged 2.5
row 'one key / Redis script' hot redis 1
row 'eight sessions: one key / a key each' eight_hot eight_own 0.8
heading 'what bounds them: SELECT 1 beside the same'
row 'SELECT 1 / counter in a table' select logged
row 'SELECT 1 / Redis script' select redis
heading 'limits: checks a second, in a loop in one query'
row_of_rate 'one key / the loop with random()' loop_hot loop_empty 3000000
row_of_rate '10,000 keys / the loop with random()' loop_many loop_empty 3000000
sql "SELECT format(E'\nshared memory: %s bytes for %s counters', memory_bytes, max_keys)
       FROM padlock.rate_limit_stats()"
