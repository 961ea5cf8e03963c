# Who calls: API keys beside a server that only answers, tokens beside what
# libcrypto alone does, and a user's rows under row security beside the same
# query with his id written into it.  Sourced by test/bench/measure.
# shellcheck shell=sh disable=SC2154

keys=100000
scripts=100
tokens=100000

# As many keys as padlock would make: random digits and their CRC-32C.
make_keys()
{
    perl -e '
        my @table = map { my $c = $_; $c = $c & 1 ? ($c >> 1) ^ 0x82f63b78 : $c >> 1 for 1 .. 8; $c } 0 .. 255;
        for (1 .. $ARGV[0]) {
            my $digits = join "", map { sprintf "%08x", int rand 2**32 } 1 .. 7;
            my $crc = 0xffffffff;
            $crc = $table[($crc ^ $_) & 255] ^ ($crc >> 8) for unpack "C*", $digits;
            printf "pk_%s%08x\n", $digits, $crc ^ 0xffffffff;
        }' "$keys" >"$work/keys"
    sql "BEGIN;
         CREATE TABLE key (n serial PRIMARY KEY, key text);
         COPY key (key) FROM '$work/keys';
         SET LOCAL session_replication_role = replica;
         INSERT INTO insurance_companies (id, name) SELECT md5('c' || i)::uuid, 'company ' || i FROM generate_series(1, 1000) AS i;
         INSERT INTO padlock.api_keys (key_hash, company_id, display, label)
         SELECT sha256(key::bytea), md5('c' || 1 + n % 1000)::uuid, 'pk_...', 'bench' FROM key;
         COMMIT" >/dev/null
    sql 'VACUUM ANALYZE padlock.api_keys, insurance_companies, key'
}

# A million policies of 50,000 users.
make_policies()
{
    sql "BEGIN;
         SET LOCAL session_replication_role = replica;
         INSERT INTO users (id, email) SELECT md5('u' || i)::uuid, 'u' || i || '@bench.example' FROM generate_series(1, 50000) AS i;
         INSERT INTO policies (user_id, policy_type, policy_number, premium_amount, status)
         SELECT md5('u' || 1 + i % 50000)::uuid, 'home', 'P' || i, 10, 'active' FROM generate_series(1, 1000000) AS i;
         COMMIT" >/dev/null
    sql 'VACUUM ANALYZE users, policies'
    sql 'CREATE ROLE bypasser BYPASSRLS; GRANT SELECT ON policies TO bypasser'
    user=$(sql "SELECT md5('u777')::uuid")
}

# A token of a user's own session, signed with the algorithm, in the table token.
make_token()
{
    sql "INSERT INTO token SELECT '$1', $2('{\"email\": \"token@bench.example\", \"password\": \"correct horse battery\"}') ->> 'access_token'"
}

make_tokens()
{
    sql 'CREATE TABLE token (alg text, token text)'
    sql 'SELECT padlock.create_jwt_keys()' >/dev/null
    make_token ES256 sign_up
    sql "SELECT padlock.rotate_jwt_key('HS256')" >/dev/null
    make_token HS256 sign_in
}

# Transactions a second of one of many scripts, drawn at random: eight clients,
# each request with another key in its headers.
rate_of_keys()
{
    options=
    for i in $(seq $scripts); do
        key=$(sed -n "$((i * keys / scripts))p" "$work/keys")
        echo "SELECT set_config('request.headers', '{\"x-api-key\": \"$key\"}', true), $2;" >"$work/key$i.sql"
        options="$options -f $work/key$i.sql"
    done
    # shellcheck disable=SC2086
    quietly pgbench -n -M prepared -c 8 -j 2 -T "$seconds" $options
    figure "$1" "$(awk '/^tps = / { printf "%.0f", $3 }' "$work/log")"
}

# Any key of all, drawn at random: mostly one that its session has not met.
rate_of_any_key()
{
    rate "$1" 8 "\\set n random(1, $keys)
        SELECT set_config('request.headers', '{\"x-api-key\": \"' || (SELECT key FROM key WHERE n = :n) || '\"}', true), $2;"
}

# The same key in the settings of all sessions, so that only its verification costs.
rate_of_key()
{
    PGOPTIONS="-c request.headers={\"x-api-key\":\"$(tail -n 1 "$work/keys")\"}"
    export PGOPTIONS
    rate key 8 'SELECT padlock.company_id();'
    unset PGOPTIONS
}

rate_of_rows()
{
    # past row security, but no superuser: the table's privileges are checked for both
    PGOPTIONS='-c role=bypasser'
    export PGOPTIONS
    rate literal 1 "SELECT * FROM policies WHERE user_id = '$user';"
    PGOPTIONS="-c role=authenticated -c request.jwt.claims={\"sub\":\"$user\",\"role\":\"authenticated\",\"exp\":4102444800}"
    export PGOPTIONS
    rate own 1 'SELECT * FROM policies;'
    unset PGOPTIONS
}

# Tokens a second in a loop in one query, so that nothing but the check costs.
rate_of_tokens()
{
    rate "$1" 1 "SELECT count(padlock.authenticate(token)) FROM token, generate_series(1, $tokens) WHERE alg = '$1';" "$tokens"
}

# What one core does with libcrypto and nothing around it.
rate_of_libcrypto()
{
    quietly openssl speed -elapsed -seconds "$seconds" ecdsap256
    figure libcrypto "$(awk '/256 bits ecdsa/ { print $NF }' "$work/log")"
}

measure_round()
{
    rate select 8 'SELECT 1;'
    rate_of_key
    rate_of_keys header 1
    rate_of_keys keys 'padlock.company_id()'
    rate_of_any_key any_header 1
    rate_of_any_key any_key 'padlock.company_id()'
    rate_of_libcrypto
    rate_of_tokens ES256
    rate_of_tokens HS256
    rate loop 1 "SELECT count(length(token)) FROM token, generate_series(1, $tokens) WHERE alg = 'HS256';" "$tokens"
    rate_of_rows
}

start_cluster "shared_buffers = '512MB'" "padlock.jwt_keys_file = 'bench-keys.json'" \
    'padlock.email_confirmation = off' "padlock.access_token_lifetime = '1d'" 'max_parallel_workers_per_gather = 0' 'jit = off'
make_keys
make_policies
make_tokens
for _ in $(seq "$rounds"); do
    measure_round
done

heading "identity: requests a second, 8 clients on a unix socket, $keys keys"
row 'a key verified / SELECT 1' key select 0.65
row 'a key verified / the header set only' keys header
row 'any key of all verified / its header set only' any_key any_header
heading 'identity: tokens a second, in a loop in one query'
row 'ES256 / libcrypto alone' ES256 libcrypto 0.85
figure net "$(awk -v checked="$(median HS256)" -v loop="$(median loop)" \
    'BEGIN { printf "%.0f", 1 / (1 / checked - 1 / loop) }')"
row_of_rate 'HS256 less the loop / the loop with length()' net loop 166667
heading 'identity: queries a second, 20 rows of 1,000,000, one client'
row 'under row security / with the id in the query' own literal 0.9
