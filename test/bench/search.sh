# Search over a million products, beside the best that plain SQL can do (a
# weighted tsvector column with GIN, B-trees on the filters, ts_rank) and
# SQLite's FTS5.  SQL makes the same JSON of a page as padlock, SQLite only finds
# its rows.  Sourced by test/bench/measure.
# shellcheck shell=sh disable=SC2154

products=1000000
columns='company_id, product_code, policy_type, product_name, description, premium_amount, currency,
    available_countries, minimum_age, maximum_age, is_active, popularity_score, search_keywords, ai_tags,
    coverage_details, benefits, created_at'
words="setweight(to_tsvector('english', product_name), 'A') ||
    setweight(to_tsvector('english', join_words(search_keywords, ' ') || ' ' || join_words(ai_tags, ' ')), 'B') ||
    setweight(to_tsvector('english', description), 'C') ||
    setweight(jsonb_to_tsvector('english', benefits, '[\"string\"]') ||
              jsonb_to_tsvector('english', coverage_details, '[\"string\"]'), 'D')"

# clocked NAME COMMAND...: how many seconds a command takes.
clocked()
{
    clocked_name=$1
    shift
    clocked_start=$(date +%s%N)
    "$@"
    figure "$clocked_name" "$((($(date +%s%N) - clocked_start) / 1000000))"
}

generate()
{
    quietly gcc -std=gnu99 -O2 -o "$work/make_products" "$source/test/bench/make_products.c" -lm
    "$work/make_products" "$1" "$2" 200 | awk -v OFS='\t' -F '\t' -v first="$3" '{
        $2 = substr($2, 1, 4) sprintf("%08d", first + NR); print }'
}

copy_products()
{
    psql -qX -v ON_ERROR_STOP=1 -c "$2" -c "COPY $1 ($columns) FROM STDIN" <"$work/products.tsv" ||
        fail 'cannot load products'
}

# The products without what search and audit do for each row; the GIN indexes
# on arrays and JSON, which none of the measured queries uses, go.
make_products_table()
{
    sql "INSERT INTO insurance_companies (id, name)
         SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'Insurer ' || i
           FROM generate_series(1, 200) AS i"
    sql "UPDATE rate_limit_rules SET max_requests = 2000000000 WHERE endpoint IN ('product_search', 'suggest')"
    # array_to_string is not immutable for types whose output is not
    sql "CREATE FUNCTION join_words(text[], text) RETURNS text LANGUAGE internal IMMUTABLE STRICT AS 'array_to_text'"
    sql 'DROP INDEX insurance_products_keywords_idx, insurance_products_tags_idx,
         insurance_products_coverage_idx, insurance_products_benefits_idx, insurance_products_exclusions_idx'
    sql 'ALTER TABLE insurance_products DISABLE TRIGGER insurance_products_search_rows'
    copy_products insurance_products 'SET session_replication_role = replica'
    sql 'ALTER TABLE insurance_products ENABLE ALWAYS TRIGGER insurance_products_search_rows'
    sql 'VACUUM ANALYZE insurance_products'
}

# What one would do without padlock.
make_plain_table()
{
    sql "SET max_parallel_workers_per_gather = 0;
         CREATE TABLE plain AS SELECT $columns, id, $words AS words FROM insurance_products"
    sql "CREATE UNIQUE INDEX plain_id ON plain (id)"
    sql "CREATE INDEX plain_words ON plain USING gin (words)"
    sql "CREATE INDEX plain_filters ON plain (policy_type, premium_amount) WHERE is_active"
    sql "CREATE INDEX plain_popularity ON plain (popularity_score DESC, id) WHERE is_active"
    sql "CREATE INDEX plain_countries ON plain USING gin (available_countries)"
    sql "VACUUM ANALYZE plain"
}

sqlite()
{
    sqlite3 -batch "$work/products.sqlite"
}

make_sqlite()
{
    cut -f 3,4,5,6,7,8,9,10,11,12,13,14 "$work/products.tsv" >"$work/sqlite.tsv"
    sqlite >"$work/log" 2>&1 <<SQL || fail 'SQLite does not load'
PRAGMA journal_mode = off; PRAGMA cache_size = -500000;
CREATE TABLE products (policy_type, name, description, premium REAL, currency, countries,
    minimum_age INTEGER, maximum_age INTEGER, active, popularity INTEGER, keywords, tags);
.mode tabs
.import $work/sqlite.tsv products
CREATE VIRTUAL TABLE words USING fts5(name, keywords, description, content='', tokenize='porter');
INSERT INTO words (rowid, name, keywords, description)
    SELECT rowid, name, keywords || ' ' || tags, description FROM products;
CREATE INDEX filters ON products (policy_type, premium) WHERE active = 't';
CREATE INDEX popularity ON products (popularity DESC) WHERE active = 't';
ANALYZE;
SQL
}

# latency NAME SCRIPT [TRANSACTIONS]: figures NAME (p50) and NAME.p99, in microseconds.
latency()
{
    printf '%s\n' "$2" >"$work/script.sql"
    rm -f "$work"/latency.*
    (cd "$work" && quietly pgbench -n -M prepared -c 1 -t "${3:-100}" -l --log-prefix=latency \
        -f "$work/script.sql") || exit 1
    cut -d ' ' -f 3 "$work"/latency.* | sort -n >"$work/latencies"
    figure "$1" "$(awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }' "$work/latencies")"
    figure "$1.p99" "$(awk '{ v[NR] = $1 } END { print v[int(NR * 0.99 + 0.99)] }' "$work/latencies")"
}

# sqlite_latency NAME SQL: p50 of ten runs, in microseconds.
sqlite_latency()
{
    {
        echo 'PRAGMA cache_size = -500000;'
        echo '.timer on'
        for _ in 1 2 3 4 5 6 7 8 9 10; do echo "$2;"; done
    } | sqlite 2>/dev/null | awk '/^Run Time/ { print $4 * 1000000 }' | sort -n >"$work/latencies"
    figure "$1" "$(awk '{ v[NR] = $1 } END { printf "%d", v[int((NR + 1) / 2)] }' "$work/latencies")"
}

filters="policy_type => 'health', min_premium => '50', max_premium => '500', currency => 'USD',
    country => 'GB', age => '35', company_id => NULL"
plain_filters="is_active AND policy_type = 'health' AND premium_amount BETWEEN 50 AND 500 AND currency = 'USD'
    AND available_countries @> ARRAY['GB'] AND minimum_age <= 35 AND maximum_age >= 35"
sqlite_filters="p.active = 't' AND p.policy_type = 'health' AND p.premium BETWEEN 50 AND 500 AND p.currency = 'USD'
    AND p.countries LIKE '%GB%' AND p.minimum_age <= 35 AND p.maximum_age >= 35"

# plain_answer QUERY [FORMAT]: the products of a page as an endpoint answers
# them, as jsonb, or as json, which is text at once.
plain_answer()
{
    shown=$(sql "SELECT string_agg('p.' || attname, ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = 'insurance_products'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'provenance'")
    echo "WITH page AS MATERIALIZED ($1)
          SELECT ${2:-jsonb}_agg(r), max(r.total)
            FROM (SELECT $shown, page.total, ${2:-jsonb}_build_object('id', c.id, 'name', c.name, 'logo_url', c.logo_url,
                         'website', c.website) AS insurance_companies
                    FROM page JOIN insurance_products AS p ON p.id = page.id
                    JOIN insurance_companies AS c ON c.id = p.company_id) AS r;" | tr '\n' ' '
}

# plain_search QUERY CONDITION OFFSET: a page with the exact total, by rank.
plain_search()
{
    plain_answer "SELECT id, count(*) OVER () AS total FROM plain, to_tsquery('english', '$1') AS q
                   WHERE words @@ q AND $2 ORDER BY ts_rank(words, q) DESC, id LIMIT 20 OFFSET $3"
}

sqlite_search()
{
    echo "SELECT w.rowid, (SELECT count(*) FROM words AS w $3 WHERE words MATCH '$1' AND $2) FROM words AS w $3
           WHERE words MATCH '$1' AND $2 ORDER BY bm25(words, 6, 3, 1) LIMIT 20 OFFSET $4" | tr '\n' ' '
}

padlock_search()
{
    echo "SELECT product_search($1);" | tr '\n' ' '
}

# One of five words, drawn anew each time.
some_word="(ARRAY['coverage', 'policy', 'premium', 'claim', 'benefit'])[:w]"

measure_padlock()
{
    latency common "\\set w random(1, 5)
$(padlock_search "search_term => $some_word")" 300
    latency filtered "$(padlock_search "search_term => 'coverage', $filters")" 300
    latency filters "$(padlock_search "$filters")" 300
    latency two_words "$(padlock_search "search_term => 'hospital coverage'")" 300
    latency page_500 "$(padlock_search "search_term => 'coverage', page => '500'")" 300
    latency rare "$(padlock_search "search_term => '$rare'")" 300
    latency first_page "$(padlock_search "policy_type => 'health', min_premium => '50', max_premium => '500'")" 300
}

measure_plain()
{
    latency plain_common "$(plain_search coverage is_active 0)" 3
    latency plain_filtered "$(plain_search coverage "$plain_filters" 0)" 5
    latency plain_filters "$(plain_answer "SELECT id, count(*) OVER () AS total FROM plain WHERE $plain_filters
        ORDER BY popularity_score DESC, id LIMIT 20")" 5
    latency plain_two_words "$(plain_search 'hospital | coverage' is_active 0)" 3
    latency plain_page_500 "$(plain_search coverage is_active 9980)" 3
    latency plain_rare "$(plain_search "$rare" is_active 0)" 100
    first_page="SELECT id, NULL::bigint AS total FROM plain WHERE is_active AND policy_type = 'health'
        AND premium_amount BETWEEN 50 AND 500 ORDER BY popularity_score DESC, id LIMIT 20"
    latency plain_first_page "$(plain_answer "$first_page")" 100
    latency plain_first_page_text "$(plain_answer "$first_page" json)" 100
}

measure_sqlite()
{
    join='JOIN products AS p ON p.rowid = w.rowid'
    sqlite_latency sqlite_common "$(sqlite_search coverage 1 '' 0)"
    sqlite_latency sqlite_filtered "$(sqlite_search coverage "$sqlite_filters" "$join" 0)"
    sqlite_latency sqlite_filters "SELECT p.rowid, count(*) OVER () FROM products AS p WHERE $sqlite_filters
        ORDER BY popularity DESC LIMIT 20"
    sqlite_latency sqlite_two_words "$(sqlite_search 'hospital OR coverage' 1 '' 0)"
    sqlite_latency sqlite_page_500 "$(sqlite_search coverage 1 '' 9980)"
    sqlite_latency sqlite_rare "$(sqlite_search "$rare" 1 '' 0)"
    sqlite_latency sqlite_first_page "SELECT rowid FROM products WHERE active = 't' AND policy_type = 'health'
        AND premium BETWEEN 50 AND 500 ORDER BY popularity DESC LIMIT 20"
}

# What has no counterpart: that none takes long.
measure_others()
{
    latency any_phrase "$(padlock_search "search_term => '\"comprehensive coverage\"'")" 100
    latency any_two_phrases "$(padlock_search "search_term => '\"comprehensive coverage\" \"hospital care\"'")" 100
    latency any_phrase_minus "$(padlock_search "search_term => '\"comprehensive coverage\" -claim'")" 100
    latency any_minus "$(padlock_search "search_term => 'coverage -claim -policy'")" 100
    latency any_typo "$(padlock_search "search_term => 'comprehensve covrage'")" 100
    latency any_synonym "$(padlock_search "search_term => 'car insurance'")" 100
    latency any_ten_words "$(padlock_search "search_term => 'coverage policy premium claim benefit protection plan insured liability limit'")" 100
    latency any_32_words "SELECT product_search('{\"search_term\": \"coverage policy premium claim benefit plan insured liability limit hospital care health home travel life auto family annual cash cover loss damage theft fire water legal dental vision aid pay age year\", \"facets\": true}'::jsonb);" 100
    latency any_nothing "$(padlock_search "search_term => 'qqqqxqqqq zzzzyzz'")" 100
    latency any_price_order "$(padlock_search "search_term => 'coverage', sort_by => 'premium_amount', sort_order => 'asc'")" 100
    latency any_newest "$(padlock_search "sort_by => 'created_at', page => '2000', per_page => '100'")" 100
    latency any_facets "SELECT product_search('{\"search_term\": \"coverage\", \"facets\": true}'::jsonb);" 100
    latency any_highlight "SELECT product_search('{\"search_term\": \"coverage claim\", \"highlight\": true, \"explain\": true}'::jsonb);" 100
    latency any_suggest "SELECT suggest('co');" 100
}

# Many different searches, for throughput.
mixed="\\set w random(1, 5)
\\set p random(1, 20)
SELECT product_search(search_term => $some_word, page => :p::text);"

measure_throughput()
{
    rate one_client 1 "$mixed"
    rate four_clients 4 "$mixed"
}

# longest NAME SCRIPT: figures the slowest of a script's runs, in microseconds.
longest()
{
    printf '%s\n' "$2" >"$work/script.sql"
    rm -f "$work"/latency.*
    (cd "$work" && export PGOPTIONS='-c synchronous_commit=off' && quietly pgbench -n -M prepared -c 1 -T "$((seconds * 10))" -l \
        --log-prefix=latency -f "$work/script.sql") || exit 1
    figure "$1" "$(cut -d ' ' -f 3 "$work"/latency.* | sort -n | tail -n 1)"
}

# longest_beside NAME SQL: the slowest search and the slowest update of a product
# while a statement runs again and again; none without SQL.
longest_beside()
{
    beside=
    rm -f "$work/enough"
    if [ -n "${2:-}" ]; then
        (while [ ! -f "$work/enough" ]; do sql "$2" >/dev/null; done) &
        beside=$!
    fi
    longest "$1_search" "$mixed"
    longest "$1_update" "\\set n random(1, 10000)
UPDATE insurance_products SET premium_amount = 1 + :n % 100 WHERE id = (SELECT id FROM some_products WHERE n = :n);"
    touch "$work/enough"
    [ -z "$beside" ] || wait "$beside"
    sql 'SELECT padlock.search_merge()' >/dev/null
}

measure_waits()
{
    sql 'CREATE TABLE some_products AS SELECT row_number() OVER () AS n, id FROM insurance_products LIMIT 10000'
    sql 'CREATE UNIQUE INDEX some_products_n ON some_products (n)'
    longest_beside alone
    longest_beside rebuild 'SELECT padlock.search_rebuild()'
    longest_beside merge 'SELECT padlock.search_merge()'
}

# Ten thousand products in one statement, everything else being equal.
measure_inserts()
{
    for _ in 1 2 3; do
        clocked "$1" sql "INSERT INTO insurance_products ($columns) SELECT $columns FROM more"
        sql 'DELETE FROM insurance_products WHERE product_code IN (SELECT product_code FROM more)'
    done
}

make_more()
{
    generate 10000 2 $products >"$work/more.tsv"
    sql "CREATE UNLOGGED TABLE more AS SELECT $columns FROM insurance_products LIMIT 0"
    psql -qX -v ON_ERROR_STOP=1 -c "COPY more ($columns) FROM STDIN" <"$work/more.tsv" || fail 'cannot load more products'
}

# From here on the products are found by GIN only.
replace_index()
{
    sql "DO \$\$
         DECLARE t name;
         BEGIN
             FOR t IN SELECT tgname FROM pg_trigger
                       WHERE tgrelid = 'insurance_products'::regclass AND tgfoid = 'padlock.search_note_changes'::regproc
             LOOP
                 EXECUTE format('ALTER TABLE insurance_products DISABLE TRIGGER %I', t);
             END LOOP;
         END \$\$"
    clocked gin sql "CREATE INDEX products_words ON insurance_products USING gin (($words))"
}

# row_of_time LABEL NAME OTHER GOAL: how many times faster.
row_of_time()
{
    awk -v label="$1" -v ours="$(median "$2")" -v p99="$(median "$2.p99")" -v other="$(median "$3")" -v goal="$4" 'BEGIN {
        ratio = other / ours
        printf "%-34s %10.3f %10.3f %12.3f %9.1f   %s\n", label, ours / 1000, p99 / 1000, other / 1000, ratio,
            goal == "" ? "" : "at least " goal (ratio >= goal ? "" : ": MISSED") }'
}

row_of_limit()
{
    awk -v label="$1" -v ours="$(median "$2")" -v p99="$(median "$2.p99")" 'BEGIN {
        printf "%-34s %10.3f %10.3f %34s\n", label, ours / 1000, p99 / 1000,
            "p99 at most 50" (p99 <= 50000 ? "" : ": MISSED") }'
}

# row_of_wait LABEL NAME OTHER: how much longer.
row_of_wait()
{
    awk -v label="$1" -v ours="$(median "$2")" -v other="$(median "$3")" 'BEGIN {
        longer = (ours - other) / 1000
        printf "%-34s %10.3f %10s %12.3f %9.3f   %s\n", label, ours / 1000, "", other / 1000, longer,
            "at most 10 longer" (longer <= 10 ? "" : ": MISSED") }'
}

start_cluster "shared_buffers = '1GB'" "maintenance_work_mem = '512MB'" "work_mem = '256MB'" "max_wal_size = '8GB'" \
    'max_parallel_workers_per_gather = 0' 'max_parallel_maintenance_workers = 0'
generate $products 1 0 >"$work/products.tsv"
make_products_table
clocked build sql 'SELECT padlock.search_rebuild()' >/dev/null
make_plain_table
make_sqlite
# a word of few products
rare=$(sql "SELECT word FROM ts_stat('SELECT words FROM plain LIMIT 50000') WHERE ndoc = 1 AND word ~ '^[a-z]{7,}\$' ORDER BY word LIMIT 1")
for _ in $(seq "$rounds"); do
    measure_padlock
    measure_throughput
done
measure_others
measure_plain
measure_sqlite
sizes=$(sql "SELECT format(E'index on disk: %s MB, plain GIN: %s MB; %s bytes of shared memory a product',
        pg_total_relation_size('padlock.search_blocks') >> 20, pg_relation_size('plain_words') >> 20,
        (SELECT (memory_used / greatest(documents, 1))::numeric(10, 1) FROM padlock.search_status()))")
measure_waits
make_more
measure_inserts insert
replace_index
measure_inserts gin_insert

printf '\nsearch: %s products; milliseconds: padlock p50 and p99, other p50, how many times faster\n' $products
row_of_time 'common word / SQL' common plain_common 200
row_of_time '  / SQLite FTS5' common sqlite_common ''
row_of_time 'common word, 7 filters / SQL' filtered plain_filtered 40
row_of_time '  / SQLite FTS5' filtered sqlite_filtered ''
row_of_time 'filters only / SQL' filters plain_filters 20
row_of_time '  / SQLite' filters sqlite_filters ''
row_of_time 'two words, OR / SQL' two_words plain_two_words 200
row_of_time '  / SQLite FTS5' two_words sqlite_two_words ''
row_of_time 'page 500 of a common word / SQL' page_500 plain_page_500 50
row_of_time '  / SQLite FTS5' page_500 sqlite_page_500 ''
row_of_time 'rare word / SQL' rare plain_rare 1
row_of_time '  / SQLite FTS5' rare sqlite_rare ''
row_of_time 'filter, first page / SQL, no total' first_page plain_first_page 1
row_of_time '  / SQL, no total, text' first_page plain_first_page_text ''
row_of_time '  / SQLite, no total' first_page sqlite_first_page ''
for kind in phrase two_phrases phrase_minus minus typo synonym ten_words 32_words nothing price_order newest facets highlight suggest; do
    row_of_limit "$kind" "any_$kind"
done
heading 'search: searches a second; milliseconds'
row 'four clients / one client' four_clients one_client 1.7
row 'GIN index build / rebuild' gin build 0.5
row '10,000 products: GIN / padlock' gin_insert insert 1
printf '\nsearch: the slowest of all, beside a rebuild or merges and alone; milliseconds, and how much longer\n'
row_of_wait 'search beside rebuild' rebuild_search alone_search
row_of_wait 'search beside merges' merge_search alone_search
row_of_wait 'update beside rebuild' rebuild_update alone_update
row_of_wait 'update beside merges' merge_update alone_update
printf '\n%s\n' "$sizes"
