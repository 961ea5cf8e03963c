# A program of the marketplace's own tells of a product.
# shellcheck shell=sh disable=SC2034,SC2154
step '10 A webhook tells of products, by a secret of a file'
secret=$(cat "$work/webhook.secrets")
found='{"source_url": "https://compare.example/harbour/parrot", "company_name": "Harbour Mutual",
 "product_name": "Harbour Parrot Cover", "product_code": "HM-PET-02", "policy_type": "Other",
 "premium_amount": "96.50", "currency": " gbp "}'
as_webhook "not-the-secret-$(printf '%.8s' "$company")"
call ai_product_ingest "$found"
same 'a wrong secret is refused' 401 "$status"
as_webhook "$secret"
call ai_product_ingest "$found"
same 'taken; careless form is brought in order' '201 GBP' "$status $(field "$answer" product,currency)"
call ai_product_ingest "$found"
same 'the same again makes no second one' 200 "$status"
call ai_product_ingest '{"source_url": "https://compare.example/harbour/landlord", "company_name": "Harbour Mutual",
 "product_name": "Harbour Landlord Cover", "product_code": "HM-HOME-09", "policy_type": "home", "premium_amount": 1}'
same "the insurer's own price stands against it" 289.5 \
    "$(sql "SELECT trim_scale(premium_amount) FROM insurance_products WHERE id = :'id'" "id=$landlord")"
as_anon
search '{"search_term": "parrot"}'
same 'visitors find the product' HM-PET-02 "$(field "$answer" products,0,product_code)"
