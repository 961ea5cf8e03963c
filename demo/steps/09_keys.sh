# A new API key in place of the old one, without a pause.
# shellcheck shell=sh disable=SC2034,SC2154
step '9  The company rotates its API key'
as_company 'Harbour Mutual' "$key"
call list_api_keys '{}'
old_id=$(field "$answer" keys,0,id)
call rotate_api_key "{\"key_id\": \"$old_id\", \"overlap_minutes\": 60}"
same 'a new key' 201 "$status"
old_key=$key
key=$(field "$answer" api_key)
call product_update "{\"product_id\": \"$landlord\", \"popularity_score\": 42}"
same 'in the overlap the old key still opens' 200 "$status"
used=$(now)
as_company 'Harbour Mutual' "$key"
call product_update "{\"product_id\": \"$landlord\", \"popularity_score\": 43}"
same 'and so does the new one' 200 "$status"
call list_api_keys '{}'
table "SELECT k ->> 'display' AS key, k ->> 'label' AS label, to_char((k ->> 'created_at')::timestamptz, 'HH24:MI:SS') AS created,
    to_char((k ->> 'expires_at')::timestamptz, 'HH24:MI:SS') AS ends FROM jsonb_array_elements(:'json'::jsonb -> 'keys') k" "json=$answer"
call revoke_api_key "{\"key_id\": \"$old_id\"}"
same 'the company need not wait for the end of the overlap' 200 "$status"
as_company 'Harbour Mutual' "$old_key"
call product_update "{\"product_id\": \"$landlord\", \"popularity_score\": 1}"
same 'the old key is refused at once' 401 "$status"

# A worker writes down every few seconds which keys were used.
use_is_noted()
{
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ "$(sql "SELECT max(last_used_at) > :'used' FROM padlock.api_keys" "used=$used")" = t ] && return 0
        sleep 1
    done
    return 1
}
holds 'when a key was used last is noted in the background' use_is_noted
