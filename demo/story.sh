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
mail_pid=

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
    (umask 077 && new_secret >"$work/webhook.secrets")
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
padlock.jwt_keys_file = 'padlock-keys.json'
padlock.webhook_secrets_file = '$work/webhook.secrets'
padlock.smtp_url = 'smtp://127.0.0.1:$(cat "$work/mail.port")'
padlock.smtp_tls = off                  # to loopback only
padlock.mail_from = 'Harbour Shop <noreply@shop.example>'
padlock.site_url = 'https://shop.example'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
CONF
    quietly pg_ctl -s -w -D "$work/data" -l "$work/server.log" start
    quietly createdb "$PGDATABASE"
    quietly psql -qX -c 'CREATE EXTENSION padlock'
    tail -n 17 "$work/data/postgresql.conf" | grep -E '^(shared|cron|padlock|log)' | sed -e 's/^/   /'
    say 'CREATE EXTENSION padlock;'
}

new_secret()
{
    od -An -N 24 -tx1 /dev/urandom | tr -d ' \n'
}

# appears FILE SERVER: a server tells its port, or what went wrong.
appears()
{
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -s "$1" ] && return 0
        sleep 0.1
    done
    cat "$2"
    exit 1
}

start_mail()
{
    step 'Starting a mail server on loopback that keeps what it gets'
    mkdir "$work/mail"
    perl demo/mail.pl --folder "$work/mail" --port-file "$work/mail.port" \
        </dev/null >"$work/mail.out" 2>&1 &
    mail_pid=$!
    appears "$work/mail.port" "$work/mail.out"
    say "smtp://127.0.0.1:$(cat "$work/mail.port")"
}

start_site()
{
    step 'Serving a small insurer, Harbour Mutual, on loopback'
    perl demo/site.pl --folder "$source/test/fixtures/insurer" \
        --port-file "$work/site.port" --log "$work/site.log" </dev/null >"$work/site.out" 2>&1 &
    site_pid=$!
    appears "$work/site.port" "$work/site.out"
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
    [ -z "$mail_pid" ] || kill "$mail_pid" 2>/dev/null
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
kill $site_pid $mail_pid
setpriv=
[ "\$(id -u)" -ne 0 ] || setpriv='setpriv --reuid=postgres --regid=postgres --init-groups'
cd / && \$setpriv $(command -v pg_ctl) -m fast -D $work/data stop && rm -rf $work
STOP
    step 'Left running'
    say "connect:  psql -h $PGHOST -U postgres $PGDATABASE" \
        "site:     $site" "mails:    $work/mail" "log:      $work/server.log" "stop:     sh $work/stop"
}

trap finish EXIT
trap 'exit 143' INT TERM HUP

began=$(date +%s)
story_began=$began
build
start_mail
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
