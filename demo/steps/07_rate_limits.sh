# A caller beyond his limit waits; the others do not notice.
# shellcheck shell=sh disable=SC2034,SC2154
step '7  Rate limits: an admin lowers one for the moment'
as_user Ada "$admin"
limit="UPDATE rate_limit_rules SET max_requests = 3 WHERE endpoint = 'product_search' AND company_id IS NULL"
say "$limit"
usual=$(caller_value "SELECT max_requests FROM rate_limit_rules WHERE endpoint = 'product_search' AND company_id IS NULL")
caller_value "$limit"
as_anon 203.0.113.66
for left in 2 1 0; do
    call product_search '{"search_term": "dental"}'
    answer_headers | indent
    same "admitted, $left left" "200 $left" "$status $(answer_headers | sed -n 's/^RateLimit: .*;r=\([0-9]*\);.*/\1/p')"
done
call product_search '{"search_term": "dental"}'
answer_headers | indent
same 'the fourth request is refused' 429 "$status"
holds 'with the seconds to wait' test "$(answer_headers | sed -n 's/^Retry-After: //p')" -gt 3000
as_anon 203.0.113.99
call product_search '{"search_term": "dental"}'
same 'another visitor is served' 200 "$status"
as_user Ada "$admin"
say 'Who used how much, as Ada:'
caller_table "SELECT identifier, endpoint, request_count FROM rate_limits ORDER BY request_count DESC, identifier"
same 'three were counted for the visitor who was refused' 3 \
    "$(caller_value "SELECT request_count FROM rate_limits WHERE identifier = 'ip:203.0.113.66' AND endpoint = 'product_search'")"
say 'SELECT * FROM padlock.rate_limit_stats();'
table 'SELECT * FROM padlock.rate_limit_stats()'
same 'one request was refused' 1 "$(sql 'SELECT refused FROM padlock.rate_limit_stats()')"
caller_value "UPDATE rate_limit_rules SET max_requests = $usual WHERE endpoint = 'product_search' AND company_id IS NULL"
as_anon 203.0.113.66
call product_search '{"search_term": "dental"}'
same "with the limit back at $usual the next request obeys it" 200 "$status"
