# From sign-up to sign-out.
# shellcheck shell=sh disable=SC2034,SC2154
step '8  Nora makes an account, signs in, and out'
say 'SELECT padlock.create_jwt_keys();   -- into padlock.jwt_keys_file'
sql 'SELECT padlock.create_jwt_keys()' >"$work/log"
table "SELECT k ->> 'kid' AS kid, k ->> 'alg' AS alg FROM jsonb_array_elements(padlock.jwks() -> 'keys') k"
password='a light over the harbour'
credentials="{\"email\": \"nora@mail.example\", \"password\": \"$password\"}"
since=$(now)
as_anon
call sign_up "$credentials"
same 'taken' 201 "$status"
call sign_in "$credentials"
same 'no account before the address is proven' 401 "$status"
holds 'the mail is sent' watch_queue "$since" 30
perl -MMIME::QuotedPrint -0777 -ne '$_ = decode_qp($_); s/\r//g; print' "$work/mail/1.eml" >"$work/mail.txt"
sed -n -e '/^\(From\|To\|Subject\):/p' -e '/^Content-Type: text\/plain/,/^--/{/^--/d;/^Content-/d;p;}' "$work/mail.txt" | sed -e 's/^/   │ /'
token=$(sed -n 's/^.*token=\([A-Za-z0-9_-]*\).*/\1/p' "$work/mail.txt" | head -n 1)
call confirm_email "{\"token\": \"$token\", \"password\": \"$password\"}"
same 'the address is proven' 200 "$status"
call sign_in "$credentials"
same 'she is in' 200 "$status"
access=$(field "$answer" access_token)
refresh=$(field "$answer" refresh_token)

as_bearer Nora "$access"
say 'SELECT padlock.authenticate(token) checks the access token and tells what it says:'
caller_value "SELECT jsonb_pretty(padlock.authenticate('$access'))" | indent
same 'it names her' "$(sql "SELECT id FROM users WHERE email = 'nora@mail.example'")" "$(caller_value 'SELECT padlock.uid()')"
as_anon
call refresh_session "{\"refresh_token\": \"$refresh\"}"
same 'new tokens for the session' 200 "$status"
access=$(field "$answer" access_token)
holds 'a refresh token is good once' test "$refresh" != "$(field "$answer" refresh_token)"
refresh=$(field "$answer" refresh_token)
as_bearer Nora "$access"
call sign_out '{"scope": "local"}'
same 'out' 200 "$status"
call list_sessions '{}'
same 'her access token is refused at once, long before it expires' 401 "$status"
as_anon
call refresh_session "{\"refresh_token\": \"$refresh\"}"
same 'and so is her refresh token' 401 "$status"
pg_dump --inserts >"$work/log"
same 'no table holds password, one-time, access or refresh token' 0 \
    "$(grep -cF -e "$password" -e "$token" -e "$access" -e "$refresh" "$work/log")"
