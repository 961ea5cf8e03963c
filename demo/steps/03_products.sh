# The company publishes with its key.
# shellcheck shell=sh disable=SC2034,SC2154
step '3  The company publishes two products with its key'
as_company 'Harbour Mutual' "$key"
call product_create '{"product_name": "Harbour Landlord Cover", "product_code": "HM-HOME-09", "policy_type": "home",
 "premium_amount": 310.00, "currency": "GBP", "billing_frequency": "annually",
 "description": "Buildings and rent for landlords, with legal advice.",
 "benefits": {"legal_helpline": true}, "search_keywords": ["landlord", "rent"], "available_countries": ["GB"]}'
same 'created' 201 "$status"
landlord=$(field "$answer" product,id)
call product_create '{"product_name": "Harbour Family Health", "product_code": "HM-HLTH-09", "policy_type": "health",
 "premium_amount": 480, "description": "Two adults and any number of children, dental included.",
 "search_keywords": ["dental", "family"], "minimum_age": 18, "maximum_age": 65}'
same 'created' 201 "$status"
call product_update "{\"product_id\": \"$landlord\", \"premium_amount\": 289.5, \"popularity_score\": 40}"
same 'updated' 200 "$status"
same 'the new price stands' 289.5 "$(sql "SELECT trim_scale(premium_amount) FROM insurance_products WHERE id = :'id'" "id=$landlord")"

step '   …and what is refused'
call product_create '{"product_name": "", "policy_type": "boat", "premium_amount": -5, "currency": "pounds",
 "available_countries": ["Cornwall"], "minimum_age": 90, "maximum_age": 18, "colour": "blue"}'
same 'a bad body is refused' 400 "$status"
for name in product_name policy_type premium_amount currency available_countries minimum_age colour; do
    case $answer in *"$name"*) found=yes ;; *) found=no ;; esac
    same "one answer names $name" yes "$found"
done
as_company 'somebody' "pk_$(printf "%064d" 7)"
call product_create '{"product_name": "Free money", "policy_type": "other", "premium_amount": 1}'
same 'a wrong key is refused' 401 "$status"
same 'nothing half written' 2 "$(sql 'SELECT count(*) FROM insurance_products')"
