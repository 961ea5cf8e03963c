# demo/lib.sh: how the demo talks: to the server, to the endpoints, to people.
# POSIX sh, sourced by demo/story.sh.  A step states facts with `holds` and
# `same`; the first step with a fact that does not hold ends the demo.
# shellcheck shell=sh disable=SC2154

facts=0
broken=0

step()
{
    printf '\n━━ %s\n' "$1"
}

say()
{
    printf '   %s\n' "$@"
}

# A table as psql prints it, without the empty line at its end.
indent()
{
    sed -e '/^$/d' -e 's/^/   /'
}

# holds TEXT COMMAND...: the command must succeed.
holds()
{
    fact=$1
    shift
    facts=$((facts + 1))
    if "$@"; then
        printf '   ✓ %s\n' "$fact"
    else
        broken=$((broken + 1))
        printf '   ✗ %s\n' "$fact"
    fi
}

# same TEXT EXPECTED ACTUAL
same()
{
    holds "$1" test "$2" = "$3"
    [ "$2" = "$3" ] || say "  expected: $2" "  got:      $3"
}

# SQL on standard input, as the owner; more psql options as arguments.
run_psql()
{
    psql -qXAt -v ON_ERROR_STOP=1 "$@"
}

# The answer of one statement.  NAME=VALUE arguments become psql variables.
sql()
{
    statement=$1
    shift
    variables "$@"
    printf '%s;\n' "$statement" | eval run_psql "$options"
}

# Print the answer of one statement as a table.
table()
{
    statement=$1
    shift
    variables "$@"
    printf '%s;\n' "$statement" | eval psql -qX -v ON_ERROR_STOP=1 -P border=2 \
        -P linestyle=unicode -P footer=off "-P null=-" "$options" | indent
}

# psql options for NAME=VALUE arguments, quoted for eval, in $options.
variables()
{
    options=
    for variable in "$@"; do
        options="$options -v '$(printf '%s' "$variable" | sed -e "s/'/'\\\\''/g")'"
    done
}

# A member of a JSON text: field JSON a,b,c
field()
{
    sql "SELECT :'json'::jsonb #>> :'path'" "json=$1" "path={$2}"
}

# Who calls: sets role, claims, headers and who (for people).
as_anon()
{
    role=anon
    claims='{"role": "anon"}'
    headers='{"x-forwarded-for": "203.0.113.7", "user-agent": "harbour-web/2.1"}'
    who='a visitor (anon)'
}

# as_user NAME UUID
as_user()
{
    role=authenticated
    claims="{\"role\": \"authenticated\", \"sub\": \"$2\"}"
    headers='{"x-forwarded-for": "198.51.100.23", "user-agent": "Mozilla/5.0"}'
    who="$1 (authenticated, sub $2)"
}

# as_company NAME KEY
as_company()
{
    role=anon
    claims='{"role": "anon"}'
    headers="{\"x-forwarded-for\": \"192.0.2.44\", \"user-agent\": \"insurer-erp/7\", \"x-api-key\": \"$2\"}"
    who="$1 (anon, x-api-key $(printf '%.7s' "$2")…)"
}

# The opening of a gateway's transaction, as PostgREST does it.
gateway_opening="
BEGIN;
SELECT set_config('role', :'role', true), set_config('request.jwt.claims', :'claims', true),
       set_config('request.headers', :'headers', true), set_config('request.method', 'POST', true),
       set_config('request.path', :'path', true) \\gset ignored_"

# Run SQL as the caller: as_caller PATH SQL [psql options...]
as_caller()
{
    path=$1
    statement=$2
    shift 2
    printf '%s\n%s;\nCOMMIT;\n' "$gateway_opening" "$statement" |
        psql -qX -v ON_ERROR_STOP=1 -v role="$role" -v claims="$claims" \
            -v headers="$headers" -v path="$path" -P border=2 \
            -P linestyle=unicode -P footer=off -P null=- "$@"
}

# The same, printed as a table.
caller_table()
{
    as_caller /rest "$1" | indent
}

# The same, one value.
caller_value()
{
    as_caller /rest "$1" -At
}

# Call an endpoint with a JSON body; sets status and answer (a JSON text).
call()
{
    printf '   POST /rpc/%s   as %s\n' "$1" "$who"
    printf '%s\n' "$2" | sed -e 's/^/        /'
    if as_caller "/rpc/$1" "SELECT :function(:'body'::jsonb);
        SELECT coalesce(nullif(current_setting('response.status', true), ''), '200')" \
        -At -v function="$1" -v body="$2" -v VERBOSITY=verbose >"$work/answer" 2>"$work/error"; then
        status=$(tail -n 1 "$work/answer")
        answer=$(sed -e '$d' "$work/answer")
    else
        answer=$(sed -n 's/^.*ERROR:  PGRST: //p' "$work/error")
        status=$(sed -n 's/^DETAIL:  .*"status": *"\{0,1\}\([0-9]*\).*/\1/p' "$work/error")
        [ -n "$answer" ] || cat "$work/error"
    fi
    printf '   → %s ' "$status"
    sql "SELECT concat_ws(' | ', :'json'::jsonb ->> 'message', :'json'::jsonb ->> 'details',
        :'json'::jsonb ->> 'hint')" "json=${answer:-null}"
}

# Print each change of the queue, live, until nothing is waiting or running.
# Ends with an error after so many seconds.
watch_queue()
{
    began=$(date +%s)
    seen=
    while :; do
        sql "SELECT format('%-15s %-10s %s', job_type, status,
                concat_ws(', ', 'attempt ' || attempts || ' of ' || max_attempts,
                    'worker ' || worker_id, left(error_message, 70))) || ' #' || left(id::text, 8)
            FROM job_queue WHERE created_at >= :'since' ORDER BY created_at, enqueue_order" \
            "since=$1" >"$work/queue"
        while read -r line; do
            case $seen in *"$line"*) continue ;; esac
            seen="$seen
$line"
            say "$(printf '%3s s  %s' $(($(date +%s) - began)) "$line")"
        done <"$work/queue"
        [ -s "$work/queue" ] && ! grep -qE '^[^ ]+ +(pending|processing) ' "$work/queue" && return 0
        [ $(($(date +%s) - began)) -lt "$2" ] || return 1
        sleep 0.1
    done
}

now()
{
    sql 'SELECT clock_timestamp()'
}

# search BODY: call product_search, print the page found and set total.
search()
{
    call product_search "$1"
    table "SELECT p ->> 'product_code' AS code, p ->> 'product_name' AS product, p ->> 'policy_type' AS type,
        p ->> 'premium_amount' AS premium, p ->> 'currency' AS currency, p #>> '{insurance_companies,name}' AS company
        FROM jsonb_array_elements(:'json'::jsonb -> 'products') WITH ORDINALITY AS x (p, n) ORDER BY n" "json=$answer"
    total=$(field "$answer" pagination,total_items)
    say "total $total, page $(field "$answer" pagination,page) of $(field "$answer" pagination,total_pages)"
}

# Every table of a database with its rows and a checksum of their contents.
table_sums()
{
    sql "SELECT format('SELECT %L, count(*), md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '''')) FROM ONLY %s t;',
            c.oid::regclass, c.oid::regclass)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname IN ('public', 'padlock') ORDER BY c.oid::regclass::text" |
        run_psql
}
