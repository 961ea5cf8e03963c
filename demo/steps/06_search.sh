# Anyone searches.
# shellcheck shell=sh disable=SC2034,SC2154
step '6  A visitor searches'

as_anon
search '{"search_term": "dental"}'
same 'found by word: the one that is typed in and the one that is crawled' 2 "$total"
search '{"policy_type": "auto", "max_premium": 500, "sort_by": "premium_amount", "sort_order": "asc"}'
same 'found by filter' 2 "$total"
same 'cheapest first' HM-AUTO-02 "$(field "$answer" products,0,product_code)"
search '{"per_page": 5, "page": 2, "sort_by": "created_at"}'
same 'all fourteen are counted' 14 "$total"
same 'five on a page' 5 "$(sql "SELECT jsonb_array_length(:'json'::jsonb -> 'products')" "json=$answer")"
same 'there is a third page' true "$(field "$answer" pagination,has_next)"
call product_search '{"page": 0, "sort_by": "colour", "policy_type": "boat"}'
same 'a bad question is refused' 400 "$status"
