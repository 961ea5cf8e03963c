-- Room identity: tokens without a key file, and who is believed.
-- (Tokens that verify are in test/t/040_token.pl.)
SET client_min_messages = warning;
\set user '10000000-0000-4000-8000-000000000002'
INSERT INTO users (id, email) VALUES (:'user', 'user@token.example');
INSERT INTO insurance_companies (id, name, contact_email, is_active) VALUES
    ('10000000-0000-4000-8000-0000000000c1', 'Token Mutual', 'it@token.example', true),
    ('10000000-0000-4000-8000-0000000000c2', 'Token Closed', 'it@token.example', false);
-- keys end with the CRC-32C of their digits
\set key pk_0000000000000000000000000000000000000000000000000000000ae62e0825
\set closed_key pk_0000000000000000000000000000000000000000000000000000000bf57efbd1
INSERT INTO padlock.api_keys (key_hash, company_id, display, label) VALUES
    (sha256(:'key'), '10000000-0000-4000-8000-0000000000c1', 'pk_...0825', 'a'),
    (sha256(:'closed_key'), '10000000-0000-4000-8000-0000000000c2', 'pk_...fbd1', 'b');

-- No key file is named: tokens of the right form cannot be judged, all others
-- are refused before a key is looked for, with one message.
CREATE FUNCTION pg_temp.refusal(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM padlock.authenticate(token);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(': ', SQLSTATE, SQLERRM, nullif(detail, ''));
END
$$;
CREATE FUNCTION pg_temp.base64url(value text) RETURNS text LANGUAGE sql AS $$
    SELECT rtrim(translate(replace(encode(convert_to(value, 'UTF8'), 'base64'), E'\n', ''), '+/', '-_'), '=') $$;
SELECT pg_temp.refusal(pg_temp.base64url('{"alg": "HS256"}') || '.e30.AAAA');
SELECT padlock.jwks();
SELECT padlock.create_jwt_keys();
SELECT padlock.rotate_jwt_key();
SELECT padlock.create_jwt_keys('none');
SELECT padlock.rotate_jwt_key('hs256');
SELECT pg_temp.refusal(NULL);
SELECT left(token, 40) AS token, pg_temp.refusal(token)
  FROM (VALUES (''), ('.'), ('..'), ('a.b'), ('a.b.c'), ('a.b.c.d'), ('....'), (repeat('a', 1000000)), (repeat('.', 1000000)),
               ('eyJhbGciOiJIUzI1NiJ9=.e30.AAAA'), ('eyJhbGciOiJIUzI1NiJ9 .e30.AAAA'), ('{"alg": "HS256"}.{}.AAAA'),
               ('pk_'), (:'key' || '0'), (replace(:'key', 'ae', 'be')), (upper(:'key'))) AS t(token);
SELECT header, pg_temp.refusal(pg_temp.base64url(header) || '.e30.AAAA')
  FROM (VALUES ('{}'), ('[]'), ('"HS256"'), ('{"alg": "HS256"'), ('{"alg": "none"}'), ('{"alg": "None"}'), ('{"alg": ""}'), ('{"alg": null}'),
               ('{"alg": ["HS256"]}'), ('{"alg": "hs256"}'), ('{"alg": "HS512"}'), ('{"alg": "PS256"}'), ('{"alg": "ES384"}'), ('{"alg": "HS256", "alg": "none"}'),
               ('{"alg": "HS256", "crit": ["exp"]}'), ('{"alg": "HS256", "crit": null}'), ('{"alg": "HS256", "typ": "JWE"}'), ('{"alg": "HS256", "typ": "refresh+jwt"}'),
               ('{"alg": "HS256", "typ": null}'), ('{"alg": "HS256", "typ": 1}'), ('{"alg": "HS256", "kid": null}'), ('{"alg": "HS256", "kid": {}}'),
               ('{"alg": "HS256\u0000"}')) AS t(header);
-- these are known: only the key file is missing
SELECT header, pg_temp.refusal(pg_temp.base64url(header) || '.e30.AAAA')
  FROM (VALUES ('{"alg": "none", "alg": "RS256"}'), ('{"typ": "at+JWT", "alg": "ES256"}'), ('{"typ": "application/jwt", "alg": "EdDSA"}'),
               (' { "alg" : "\u0048S256", "kid" : "x", "jwk" : {"kty": "oct"} } ')) AS t(header);
-- bytes that are no text
SELECT pg_temp.refusal(header || '.e30.AAAA') FROM (VALUES ('eyJhbGciOiJIUzI1NiIsImtpZCI6Iv8ifQ'), ('eyJhbGciOiJIUzI1NiIsImtpZCI6IgAifQ'), ('AAAA')) AS t(header);

-- Behind a gateway the refusal is a 401.
BEGIN;
SELECT set_config('request.method', 'POST', true);
SELECT padlock.authenticate('a.b.c');
ROLLBACK;

-- An API key is a credential too, for this transaction only.
BEGIN;
SET LOCAL ROLE anon;
SELECT padlock.company_id();
SELECT padlock.authenticate(:'key');
SELECT padlock.company_id(), padlock.uid();
COMMIT;
SET ROLE anon;
SELECT padlock.company_id();
RESET ROLE;
-- … that counts before the header, and is taken back by a savepoint
BEGIN;
SELECT set_config('request.headers', json_build_object('x-api-key', :'closed_key')::text, true) IS NOT NULL AS set;
SAVEPOINT s;
SELECT padlock.authenticate(:'key') ->> 'company_id' = padlock.company_id()::text AS same;
ROLLBACK TO s;
SELECT padlock.company_id();
SELECT padlock.authenticate(:'key') ->> 'company_id' = padlock.company_id()::text AS same;
SET LOCAL timezone = 'UTC';
UPDATE padlock.api_keys SET revoked_at = '2026-01-02 03:04:05+00' WHERE display = 'pk_...0825';
SELECT padlock.company_id();
SELECT padlock.authenticate(:'key');
ROLLBACK;
-- … and one of a company that is not active opens nothing
BEGIN;
SELECT padlock.authenticate(:'closed_key'), padlock.company_id();
SELECT product_create('{"product_name": "x", "policy_type": "health", "premium_amount": 1}');
ROLLBACK;

-- Tokens only: what a gateway would say is not believed.
SET padlock.identity = 'token';
BEGIN;
SET LOCAL ROLE authenticated;
SELECT set_config('request.jwt.claims', json_build_object('sub', :'user')::text, true) IS NOT NULL AS set,
       set_config('request.headers', json_build_object('x-api-key', :'key', 'x-forwarded-for', '1.2.3.4', 'user-agent', 'forged')::text, true) IS NOT NULL AS set,
       set_config('request.path', '/forged', true) IS NOT NULL AS set;
SELECT padlock.uid(), padlock.company_id();
SELECT padlock.authenticate(:'key') IS NOT NULL AS known;
SELECT padlock.uid(), padlock.company_id();
UPDATE insurance_companies SET website = 'https://token.example/' WHERE id = padlock.company_id();
COMMIT;
SELECT company_id, user_id, ip_address, user_agent, request_path FROM audit_logs WHERE record_id = '10000000-0000-4000-8000-0000000000c1' AND new_values ->> 'website' IS NOT NULL;

-- Nor can a caller hide from being counted by looking like no gateway.
SELECT padlock.reset_rate_limit('ip:unknown', 'product_search') IS NOT NULL AS reset;
SET ROLE anon;
SELECT product_search(jsonb '{}') -> 'success' AS success;
RESET ROLE;
SELECT request_count FROM rate_limits WHERE identifier = 'ip:unknown' AND endpoint = 'product_search';
SELECT padlock.reset_rate_limit('ip:unknown', 'product_search');

-- No low role can say who it is, or see what was said.
SET ROLE authenticated;
SET padlock.token_claims = '{}';
SET padlock.token_api_key = 'x';
SET padlock.identity = 'gateway';
SELECT set_config('padlock.token_claims', '{}', true);
RESET padlock.token_claims;
RESET padlock.identity;
SHOW padlock.token_claims;
SELECT current_setting('padlock.token_api_key', true);
SHOW padlock.jwt_keys_file;
ALTER ROLE CURRENT_USER SET padlock.token_claims = '{}';
CREATE FUNCTION pg_temp.forge() RETURNS uuid LANGUAGE sql SET padlock.token_claims = '{"sub": "10000000-0000-4000-8000-000000000002"}' AS 'SELECT padlock.uid()';
DO $$ BEGIN PERFORM padlock.create_jwt_keys(); END $$;
SELECT padlock.rotate_jwt_key();
SELECT count(*) FROM pg_settings WHERE name ~ '^padlock\.(token|jwt_keys)';
RESET ALL;
SHOW padlock.identity;
RESET ROLE;
SET client_min_messages = warning;

-- padlock's own claims need their session alive, whoever brought them; other
-- issuers' sessions are their own affair.
SET padlock.identity = 'gateway';
BEGIN;
SELECT claims, padlock.uid() IS NOT NULL AS believed
  FROM (VALUES ('5'), ('null'), ('"x"'), ('"50000000-0000-4000-8000-000000000009"')) AS s(id),
       (VALUES ('padlock'), ('https://project.example/auth/v1')) AS i(issuer),
       format('{"sub": "%s", "iss": "%s", "session_id": %s}', :'user', issuer, id) AS claims
 WHERE set_config('request.jwt.claims', claims, true) IS NOT NULL;
ROLLBACK;
