#!/bin/sh
# The story that `make demo` tells; called by demo/run as an unprivileged user
# with a clean environment: sh demo/story.sh WORK [keep].  Everything made here
# lies below WORK: source (the copy), install, data, socket.

set -u
work=$1
keep=$2
source=$work/source
install=$work/install
export PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
export PGHOST="$work/socket" PGPORT=5432 PGUSER=postgres PGDATABASE=padlock_demo
export PAGER=cat
site=
site_pid=

cd "$source" || exit 1
# shellcheck source=demo/lib.sh
. demo/lib.sh

quietly()
{
    "$@" >"$work/log" 2>&1 && return 0
    tail -n 40 "$work/log"
    exit 1
}

build()
{
    step 'Building padlock'
    quietly make -s -j "$(nproc)" PG_CONFIG="$PG_CONFIG"
    quietly make -s install DESTDIR="$install" PG_CONFIG="$PG_CONFIG"
    say "installed below $install, not into the system"
}

start_cluster()
{
    step 'Starting a throwaway cluster (unix socket only)'
    mkdir "$PGHOST" && chmod 700 "$PGHOST"
    quietly initdb -D "$work/data" -U postgres -A trust -N --locale=C.UTF-8
    pkglibdir=$($PG_CONFIG --pkglibdir)
    cat >>"$work/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$PGHOST'
port = $PGPORT
fsync = off
max_worker_processes = 32
extension_destdir = '$install'
dynamic_library_path = '$install$pkglibdir:\$libdir'
shared_preload_libraries = 'padlock,pg_cron'
cron.database_name = '$PGDATABASE'
cron.use_background_workers = on
padlock.allow_private_addresses = on    # the fixture site is on loopback
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
CONF
    quietly pg_ctl -s -w -D "$work/data" -l "$work/server.log" start
    quietly createdb "$PGDATABASE"
    quietly psql -qX -c 'CREATE EXTENSION padlock'
    tail -n 11 "$work/data/postgresql.conf" | grep -E '^(shared|cron|padlock|log)' | sed -e 's/^/   /'
    say 'CREATE EXTENSION padlock;'
}

start_site()
{
    step 'Serving a small insurer, Harbour Mutual, on loopback'
    perl demo/site.pl --folder "$source/test/fixtures/insurer" \
        --port-file "$work/site.port" --log "$work/site.log" </dev/null >"$work/site.out" 2>&1 &
    site_pid=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -s "$work/site.port" ] && break
        sleep 0.1
    done
    [ -s "$work/site.port" ] || { cat "$work/site.out"; exit 1; }
    site=http://127.0.0.1:$(cat "$work/site.port")
    say "$site"
}

finish()
{
    status=$?
    trap - EXIT INT TERM HUP
    if [ "$status" -eq 0 ] && [ "$keep" = keep ]; then
        leave_running
        exit 0
    fi
    [ -z "$site_pid" ] || kill "$site_pid" 2>/dev/null
    if [ "$status" -ne 0 ] && [ -f "$work/server.log" ]; then
        step "The end of the server's log"
        tail -n 40 "$work/server.log"
    fi
    [ ! -f "$work/data/postmaster.pid" ] || pg_ctl -s -w -m fast -D "$work/data" stop
    exit "$status"
}

leave_running()
{
    cat >"$work/stop" <<STOP
#!/bin/sh
# End what \`make demo KEEP=1\` left running.
kill $site_pid
setpriv=
[ "\$(id -u)" -ne 0 ] || setpriv='setpriv --reuid=postgres --regid=postgres --init-groups'
cd / && \$setpriv $(command -v pg_ctl) -m fast -D $work/data stop && rm -rf $work
STOP
    step 'Left running'
    say "connect:  psql -h $PGHOST -U postgres $PGDATABASE" \
        "site:     $site" "log:      $work/server.log" "stop:     sh $work/stop"
}

trap finish EXIT
trap 'exit 143' INT TERM HUP

began=$(date +%s)
story_began=$began
build
start_cluster
start_site
for file in demo/steps/*.sh; do
    # shellcheck source=/dev/null
    . "./$file"
    if [ "$broken" -ne 0 ]; then
        step "$broken of $facts facts did not hold, the last ones in $file"
        exit 1
    fi
done
step "All $facts facts held, in $(($(date +%s) - story_began)) s"
