#!/bin/sh
# Build padlock in a copy of the source and run every suite; called by test/run
# as an unprivileged user with a clean environment.
#
#   sh test/suites.sh WORK [deep]
#
# WORK/source is the copy; everything made here lies below WORK.  The counts
# so far are always in WORK/counts, as shell assignments.

set -u
work=$1
deep=$2
source=$work/source
install=$work/install
passed=0
failed=0

export PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
pkglibdir=$($PG_CONFIG --pkglibdir)
export PADLOCK_SOURCE="$source" PADLOCK_DESTDIR="$install"
export PG_REGRESS="$pkglibdir/pgxs/src/test/regress/pg_regress"
export PERL5LIB="$pkglibdir/pgxs/src/test/perl:$source/test/t"
export TESTDIR="$work/tap" PG_TEST_PORT_DIR="$work/ports"
export PGHOST="$work/socket" PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
mkdir -p "$TESTDIR" "$PG_TEST_PORT_DIR" "$PGHOST"
cd "$source" || exit 1

heading()
{
    printf '\n== %s (%s s)\n' "$1" "$(($(date +%s) - started))"
}

# Add to the counts; a suite that failed without a failed test counts as one.
add_counts()
{
    passed=$((passed + $1))
    failed=$((failed + $2))
    printf 'passed=%s failed=%s\n' "$passed" "$failed" >"$work/counts"
}

# A step without tests of its own: it counts only when it fails.
step()
{
    name=$1
    shift
    "$@" >"$work/step.log" 2>&1 && return 0
    echo "FAILED: $name"
    tail -n 60 "$work/step.log"
    add_counts 0 1
    return 1
}

build()
{
    step 'the committed extension script is up to date' \
        make -s check-script PG_CONFIG="$PG_CONFIG"
    step 'build' make -s -j "$(nproc)" PG_CONFIG="$PG_CONFIG" || return 1
    step 'install' make -s install DESTDIR="$install" PG_CONFIG="$PG_CONFIG"
}

# One cluster for the suites that are a list of SQL scripts.
start_cluster()
{
    step 'initdb' initdb -D "$work/data" -U postgres -A trust -N \
        --locale=C.UTF-8 || return 1
    cat >>"$work/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$PGHOST'
port = $PGPORT
fsync = off
extension_destdir = '$install'
dynamic_library_path = '$install$pkglibdir:\$libdir'
shared_preload_libraries = 'padlock'
padlock.worker_count = 0
padlock.smtp_url = 'smtp://localhost:9'
padlock.mail_from = 'shop@example.org'
log_line_prefix = '%m [%p] %q%d '
CONF
    step 'start a cluster' pg_ctl -s -w -D "$work/data" -l "$work/server.log" start && return 0
    server_log
    return 1
}

stop_cluster()
{
    [ ! -f "$work/data/postmaster.pid" ] ||
        pg_ctl -s -w -m fast -D "$work/data" stop
}

server_log()
{
    echo "-- the end of the server's log"
    grep -v ' \(LOG\|STATEMENT\): ' "$work/server.log" | tail -n 40
}

# pg_regress and the isolation tester print a line a test.
regress()
{
    name=$1
    diffs=$2
    shift 2
    make -s installcheck PG_CONFIG="$PG_CONFIG" "$@" >"$work/regress.log" 2>&1
    status=$?
    grep -E '\.\.\. (ok|FAILED|failed)' "$work/regress.log"
    good=$(grep -c '\.\.\. ok' "$work/regress.log")
    bad=$(grep -cE '\.\.\. (FAILED|failed)' "$work/regress.log")
    if [ $status -ne 0 ]; then
        [ "$bad" -gt 0 ] || { bad=1; tail -n 40 "$work/regress.log"; }
        [ ! -f "$diffs" ] || head -n 300 "$diffs"
        server_log
    fi
    echo "$name: $good passed, $bad failed"
    add_counts "$good" "$bad"
}

# tap NAME JOBS TEST...
tap()
{
    name=$1
    jobs=$2
    shift 2
    [ -e "$1" ] || return 0
    heading "$name"
    rm -f "$work/tap.counts"
    perl test/tap.pl --jobs "$jobs" --counts "$work/tap.counts" "$@"
    status=$?
    if [ -s "$work/tap.counts" ]; then
        read -r good bad <"$work/tap.counts"
    else
        good=0 bad=1
    fi
    echo "$name: $good passed, $bad failed"
    add_counts "$good" "$bad"
    return $status
}

# The logs of the TAP tests that failed: around each failure, then the end.
tap_logs()
{
    sed -n '2,$s/.*\/\(.*\)\.pl$/\1/p' "$work/tap.counts" | while read -r name; do
        log=$TESTDIR/tmp_check/log/regress_log_$name
        [ -f "$log" ] || continue
        echo "-- $name: failures"
        grep -E -B 6 -A 12 '^(\[[^]]*\]\([^)]*\) )?not ok' "$log" | head -n 120
        echo "-- $name: the end of its log"
        tail -n 30 "$log"
        for server in "$TESTDIR/tmp_check/log/$name"_*.log; do
            [ -f "$server" ] || continue
            echo "-- the end of ${server##*/}"
            grep -v ' LOG: ' "$server" | tail -n 25
        done
    done
}

pgtap_database()
{
    createdb pgtap && psql -qX -v ON_ERROR_STOP=1 -d pgtap -c '
        CREATE SCHEMA pgtap;
        GRANT USAGE ON SCHEMA pgtap TO PUBLIC;
        CREATE EXTENSION pgtap SCHEMA pgtap;
        ALTER DATABASE pgtap SET search_path = public, pgtap;
        CREATE EXTENSION padlock SCHEMA public;'
}

# Scripts that answer with their exit status only.
script()
{
    [ -f "$1" ] || return 0
    heading "$1"
    sh "$1"
    status=$?
    if [ $status -eq 0 ]; then add_counts 1 0; else add_counts 0 1; fi
}

# Real clients over HTTP; node's runner counts the tests.
clients()
{
    [ -f test/e2e/run ] || return 0
    heading 'e2e'
    rm -f "$work/e2e.counts"
    sh test/e2e/run "$work/e2e.counts"
    if [ -s "$work/e2e.counts" ]; then
        read -r good bad <"$work/e2e.counts"
    else
        good=0 bad=1
    fi
    echo "e2e: $good passed, $bad failed"
    add_counts "$good" "$bad"
}

started=$(date +%s)
add_counts 0 0
trap stop_cluster EXIT
trap 'exit 143' INT TERM HUP

heading 'build'
build || exit 1

heading 'pg_regress'
if start_cluster; then
    regress pg_regress regression.diffs ISOLATION=
    if [ -n "$(ls test/isolation/specs 2>/dev/null)" ]; then
        heading 'isolation'
        regress isolation output_iso/regression.diffs REGRESS=
    fi
    if [ -n "$(ls test/pgtap/*.sql 2>/dev/null)" ] && step 'pgTAP database' pgtap_database; then
        PGDATABASE=pgtap tap pgTAP 1 test/pgtap/*.sql || server_log
    fi
    stop_cluster
fi
[ "$deep" != deep ] || export PADLOCK_TEST_BOMBS=1
tap 'agent' 1 test/agent/*.t
tap 'TAP' 2 test/t/*.pl || tap_logs
clients
if [ "$deep" = deep ]; then
    for file in test/deep/*.sh; do
        script "$file"
    done
fi
heading 'end'
[ "$failed" -eq 0 ]
