# The data outlives the extension.
# shellcheck shell=sh disable=SC2034,SC2154
step '14 DROP EXTENSION padlock CASCADE; CREATE EXTENSION padlock;'
table_sums >"$work/sums"
sql 'DROP EXTENSION padlock CASCADE' 2>"$work/log"
as_anon
same 'while it is away nobody sees a row' 0 "$(caller_value 'SELECT count(*) FROM insurance_products')"
sql 'CREATE EXTENSION padlock'
table_sums >"$work/sums.again"
same 'no row is lost or changed' "$(md5sum <"$work/sums")" "$(md5sum <"$work/sums.again")"
definitions "$PGDATABASE" >"$work/schema.again.sql"
same 'every policy, trigger and grant is as before' "$(md5sum <"$work/schema.sql")" "$(md5sum <"$work/schema.again.sql")"
search '{"search_term": "dental"}'
same 'the search works again' 2 "$total"
as_company 'Harbour Mutual' "$key"
call product_update "{\"product_id\": \"$landlord\", \"popularity_score\": 41}"
same 'the key still opens' 200 "$status"
