# demo/lib.sh: how the demo talks: to the server, to the endpoints, to people.
# POSIX sh, sourced by demo/story.sh.  A step states facts with `holds` and
# `same`; the first step with a fact that does not hold ends the demo.
# shellcheck shell=sh disable=SC2154

facts=0
broken=0
money=FM999999990.00

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

# Who calls: sets role, claims, headers, bearer and who (for people).
# as_anon [ADDRESS]
as_anon()
{
    role=anon
    claims='{"role": "anon"}'
    headers="{\"x-forwarded-for\": \"${1:-203.0.113.7}\", \"user-agent\": \"harbour-web/2.1\"}"
    bearer=
    who="a visitor (anon${1:+, from $1})"
}

# as_user NAME UUID
as_user()
{
    role=authenticated
    claims="{\"role\": \"authenticated\", \"sub\": \"$2\"}"
    headers='{"x-forwarded-for": "198.51.100.23", "user-agent": "Mozilla/5.0"}'
    bearer=
    who="$1 (authenticated, sub $2)"
}

# as_bearer NAME TOKEN: over a gateway that leaves the token to padlock
as_bearer()
{
    role=authenticated
    claims=
    headers='{"x-forwarded-for": "198.51.100.24", "user-agent": "Mozilla/5.0"}'
    bearer=$2
    who="$1 (authenticated, bearer $(printf '%.9s' "$2")…)"
}

# as_webhook SECRET
as_webhook()
{
    role=anon
    claims='{"role": "anon"}'
    headers="{\"x-forwarded-for\": \"192.0.2.80\", \"user-agent\": \"product-finder/1\", \"x-webhook-secret\": \"$1\"}"
    bearer=
    who="a webhook (anon, x-webhook-secret $(printf '%.7s' "$1")…)"
}

# as_company NAME KEY
as_company()
{
    role=anon
    claims='{"role": "anon"}'
    headers="{\"x-forwarded-for\": \"192.0.2.44\", \"user-agent\": \"insurer-erp/7\", \"x-api-key\": \"$2\"}"
    bearer=
    who="$1 (anon, x-api-key $(printf '%.7s' "$2")…)"
}

# The opening of a gateway's transaction, as PostgREST does it.
gateway_opening="
BEGIN;
SELECT set_config('role', :'role', true), set_config('request.jwt.claims', :'claims', true),
       set_config('request.headers', :'headers', true), set_config('request.method', 'POST', true),
       set_config('request.path', :'path', true) \\gset ignored_"

# What a gateway adds that does not check tokens itself.
gateway_check="
SELECT padlock.authenticate(:'bearer') AS claims \\gset ignored_"

# Run SQL as the caller: as_caller PATH SQL [psql options...]
as_caller()
{
    path=$1
    statement=$2
    shift 2
    printf '%s\n%s;\nCOMMIT;\n' "$gateway_opening${bearer:+$gateway_check}" "$statement" |
        psql -qX -v ON_ERROR_STOP=1 -v role="$role" -v claims="$claims" \
            -v headers="$headers" -v path="$path" -v bearer="$bearer" -P border=2 \
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

# Call an endpoint with a JSON body; sets status, answer (a JSON text) and
# response_headers (a JSON text, too, or empty).
call()
{
    printf '   POST /rpc/%s   as %s\n' "$1" "$who"
    printf '%s\n' "$2" | sed -e 's/^/        /'
    if as_caller "/rpc/$1" "SELECT :function(:'body'::jsonb);
        SELECT coalesce(nullif(current_setting('response.status', true), ''), '200');
        SELECT replace(current_setting('response.headers', true), chr(10), ' ')" \
        -At -v function="$1" -v body="$2" -v VERBOSITY=verbose >"$work/answer" 2>"$work/error"; then
        response_headers=$(tail -n 1 "$work/answer")
        status=$(tail -n 2 "$work/answer" | head -n 1)
        answer=$(sed -e '$d' "$work/answer" | sed -e '$d')
    else
        answer=$(sed -n 's/^.*ERROR:  PGRST: //p' "$work/error")
        status=$(sed -n 's/^DETAIL:  .*"status": *"\{0,1\}\([0-9]*\).*/\1/p' "$work/error")
        response_headers=$(field "$(sed -n 's/^DETAIL:  //p' "$work/error")" headers)
        [ -n "$answer" ] || cat "$work/error"
    fi
    printf '   → %s ' "$status"
    summary "${answer:-null}"
}

# What an answer says or, when it says nothing, what it has.
summary()
{
    sql "SELECT coalesce(nullif(concat_ws(' | ', :'json'::jsonb ->> 'message', :'json'::jsonb ->> 'details',
            :'json'::jsonb ->> 'hint'), ''),
        'with ' || (SELECT string_agg(k ->> 'key', ', ') FROM jsonb_path_query(:'json'::jsonb, 'lax \$.keyvalue()') k))" "json=$1"
}

# The header fields of the last answer, as a gateway sends them.
answer_headers()
{
    sql "SELECT (k ->> 'key') || ': ' || (k ->> 'value')
        FROM jsonb_path_query(:'json'::jsonb, 'lax \$[*].keyvalue()') k" "json=${response_headers:-null}"
}

# watch_queue SINCE SECONDS [tried]: print each change of the jobs added since
# then, live, until all have ended or, with `tried`, none is running or new.
# Ends with an error after so many seconds.
watch_queue()
{
    began=$(date +%s)
    seen=
    say 'The queue, live (seconds after the beginning; # and the first digits of a job'"'"'s id):'
    while :; do
        queue_state "$1" "${3:-ended}" >"$work/queue"
        while IFS='|' read -r _ line reason; do
            case $seen in *"$line"*) continue ;; esac
            seen="$seen
$line"
            say "$line"
            [ -z "$reason" ] || say "            $reason"
        done <"$work/queue"
        [ -s "$work/queue" ] && ! grep -q '^t' "$work/queue" && return 0
        [ $(($(date +%s) - began)) -lt "$2" ] || return 1
        sleep 0.1
    done
}

# A line a job: is it waited for, when and what became of it, why it failed.
queue_state()
{
    sql "SELECT status = 'processing' OR status = 'pending' AND (:'until' <> 'tried' OR attempts = 0),
            format('%8s  %-19s #%s  %s', coalesce(round(extract(epoch FROM CASE
                    WHEN status IN ('completed', 'failed') THEN completed_at
                    WHEN status = 'processing' THEN started_at
                    WHEN attempts = 0 THEN created_at END - :'since'), 3)::text || ' s', ''),
                job_type, left(id::text, 8), concat_ws(', ', status, CASE WHEN attempts > 0
                    THEN format('attempt %s of %s', attempts, max_attempts) END,
                    CASE WHEN status = 'pending' AND attempts > 0 THEN 'the next one is due at ' ||
                        round(extract(epoch FROM next_retry_at - :'since')) || ' s' END)),
            replace(error_message, chr(10), ' ')
        FROM job_queue WHERE created_at >= :'since' ORDER BY created_at, enqueue_order" \
        "since=$1" "until=$2"
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
        to_char((p ->> 'premium_amount')::numeric, '$money') AS premium, p ->> 'currency' AS currency, p #>> '{insurance_companies,name}' AS company
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
