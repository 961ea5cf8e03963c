# A company is onboarded and gets its API key.
# shellcheck shell=sh disable=SC2034,SC2154
step '2  An admin onboards a company'
company_body="{\"name\": \"Harbour Mutual\", \"contact_email\": \"it@harbour-mutual.example\",
 \"website\": \"$site/\", \"country\": \"GB\"}"
as_user Maya "$maya"
call company_onboard "$company_body"
same 'a user who is no admin is refused' 403 "$status"
as_user Ada "$admin"
call company_onboard "$company_body"
same 'an admin may' 201 "$status"
key=$(field "$answer" api_key)
company=$(field "$answer" company,id)
say "the key, shown this once: $(printf '%.11s' "$key")… (${#key} characters)"
table "SELECT name, website, is_active, api_key FROM insurance_companies"
same 'a key is pk_ and 64 hexadecimal digits' 67 "$(expr "$key" : 'pk_[0-9a-f]\{64\}$')"
same 'no table holds the key itself' 0 "$(pg_dump --inserts | grep -cF "$key")"
call company_onboard "$company_body"
same 'a name is taken once' 409 "$status"
