# A dump and a restore give the same database.
# shellcheck shell=sh disable=SC2034,SC2154
step '13 Dump and restore, plain and -Fc with four jobs'

# The definitions, without the guard with a random key of newer versions.
definitions()
{
    pg_dump -s "$1" | sed -e '/^\\restrict /d' -e '/^\\unrestrict /d'
}

# The rows are the same and so is a second dump, which shows policies,
# triggers, indexes and grants too.
compare_with()
{
    PGDATABASE=$1 table_sums >"$work/sums.$1"
    same "$1: every table is identical" "$(md5sum <"$work/sums")" "$(md5sum <"$work/sums.$1")"
    definitions "$1" >"$work/schema.$1.sql"
    same "$1: its definition too" "$(md5sum <"$work/schema.sql")" "$(md5sum <"$work/schema.$1.sql")"
}

same 'the queue is at rest' 0 "$(sql "SELECT count(*) FROM job_queue WHERE status IN ('pending', 'processing')")"
table_sums >"$work/sums"
pg_dump >"$work/plain.sql"
definitions "$PGDATABASE" >"$work/schema.sql"
pg_dump -Fc -f "$work/custom.dump"
createdb demo_plain
createdb demo_custom
holds 'psql takes the plain dump' psql -qX -o "$work/log" -v ON_ERROR_STOP=1 -d demo_plain -f "$work/plain.sql"
holds 'pg_restore -j4 takes the other' pg_restore -j4 -e -d demo_custom "$work/custom.dump"
awk -F '|' '{ printf "   %-22s %5s rows  %s\n", $1, $2, $3 }' "$work/sums"
compare_with demo_plain
compare_with demo_custom
dropdb demo_plain
dropdb demo_custom
