-- API keys of companies: making, listing, rotating and revoking them.
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.become(role text, claims text, headers text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('request.jwt.claims', claims, true), set_config('request.headers', headers, true),
           set_config('role', role, true) $$;
-- A key's company, for whoever sends it; NULL for a key that is none.
CREATE FUNCTION pg_temp.company(key text) RETURNS text LANGUAGE sql AS $$
    SELECT set_config('request.headers', jsonb_build_object('x-api-key', key)::text, true);
    SELECT (SELECT name FROM insurance_companies WHERE id = padlock.company_id()) $$;
INSERT INTO users (id, email) VALUES
    ('a9000000-0000-4000-8000-000000000001', 'admin@key.example'),
    ('a9000000-0000-4000-8000-000000000002', 'user@key.example');
INSERT INTO admin_users (id) VALUES ('a9000000-0000-4000-8000-000000000001');
\set admin '{"sub": "a9000000-0000-4000-8000-000000000001"}'
\set user '{"sub": "a9000000-0000-4000-8000-000000000002"}'
BEGIN;
SELECT pg_temp.become('authenticated', :'admin', '');
SELECT r ->> 'api_key' AS key1, r -> 'company' ->> 'id' AS one FROM company_onboard('{"name": "Key One", "contact_email": "one@key.example"}') AS r \gset
SELECT r ->> 'api_key' AS key2, r -> 'company' ->> 'id' AS two FROM company_onboard('{"name": "Key Two", "contact_email": "two@key.example"}') AS r \gset
COMMIT;
SELECT jsonb_build_object('x-api-key', :'key1')::text AS header1, jsonb_build_object('x-api-key', :'key2')::text AS header2 \gset
SELECT id AS first1 FROM padlock.api_keys WHERE company_id = :'one' \gset
SELECT id AS first2 FROM padlock.api_keys WHERE company_id = :'two' \gset

-- A mistyped or invented key is refused without a look-up; a well-formed one costs one.
CREATE FUNCTION pg_temp.lookups(key text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    before bigint := pg_stat_get_xact_numscans('padlock.api_keys_pkey'::regclass);
BEGIN
    PERFORM set_config('request.headers', jsonb_build_object('x-api-key', key)::text, true);
    PERFORM padlock.company_id();
    RETURN pg_stat_get_xact_numscans('padlock.api_keys_pkey'::regclass) - before;
END $$;
BEGIN;
SELECT pg_temp.lookups(:'key1') AS right_key,
       pg_temp.lookups(overlay(:'key1' placing CASE substr(:'key1', 20, 1) WHEN '0' THEN '1' ELSE '0' END from 20)) AS mistyped,
       pg_temp.lookups(left(:'key1', -2) || reverse(right(:'key1', 2)) || ' ') AS with_a_space,
       pg_temp.lookups('pk_' || repeat('0', 64)) AS invented, pg_temp.lookups('pk_' || md5('x') || md5('y')) AS random,
       pg_temp.lookups(upper(:'key1')) AS capitals, pg_temp.lookups('') AS empty, pg_temp.lookups(repeat('x', 10000)) AS long;
-- The checksum of 56 zeros: well formed, but nobody's.
SELECT pg_temp.lookups('pk_' || repeat('0', 56) || '456051f5') AS well_formed, padlock.company_id() AS company;
ROLLBACK;

-- Who may not.
BEGIN;
SELECT pg_temp.become('anon', '', '');
SAVEPOINT s;
SELECT create_api_key('{"label": "x"}');
ROLLBACK TO s;
SELECT list_api_keys('{}');
ROLLBACK TO s;
SELECT rotate_api_key('{}');
ROLLBACK TO s;
SELECT revoke_api_key('{}');
ROLLBACK TO s;
SELECT pg_temp.become('anon', '', '{"x-api-key": "pk_wrong"}');
SELECT create_api_key('{"label": "x"}');
ROLLBACK TO s;
SELECT pg_temp.become('authenticated', :'user', '');
SELECT create_api_key(jsonb_build_object('label', 'x', 'company_id', :'one'));
ROLLBACK;
BEGIN;
UPDATE insurance_companies SET is_active = false WHERE id = :'one';
SELECT pg_temp.become('anon', '', :'header1');
SELECT list_api_keys('{}');
ROLLBACK;

-- What a body may not say.
BEGIN;
SELECT pg_temp.become('anon', '', :'header1');
SAVEPOINT s;
SELECT create_api_key(NULL);
ROLLBACK TO s;
SELECT create_api_key('[]');
ROLLBACK TO s;
SELECT create_api_key('{}');
ROLLBACK TO s;
SELECT create_api_key('{"label": " ", "expires_at": "2001-01-01T00:00:00Z", "company_id": "x", "key": "pk_1"}');
ROLLBACK TO s;
SELECT create_api_key(jsonb_build_object('label', repeat('x', 101), 'expires_at', 5));
ROLLBACK TO s;
SELECT rotate_api_key('{"key_id": 5, "overlap_minutes": 43201, "label": "", "expires_at": "tomorrow"}');
ROLLBACK TO s;
SELECT rotate_api_key('{"overlap_minutes": -1}');
ROLLBACK TO s;
SELECT rotate_api_key('{"key_id": "a9000000-0000-4000-8000-000000000009", "overlap_minutes": 1.5}');
ROLLBACK TO s;
SELECT revoke_api_key('{}');
ROLLBACK TO s;
SELECT list_api_keys('{"page": 1}');
ROLLBACK;

-- Times are RFC 3339's: each of these is refused.
CREATE FUNCTION pg_temp.expiry(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    RETURN create_api_key(jsonb_build_object('label', 'x', 'expires_at', value)) -> 'key' ->> 'expires_at';
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN detail;
END $$;
SET TimeZone = 'UTC';
BEGIN;
SELECT pg_temp.become('anon', '', :'header1');
SELECT value, pg_temp.expiry(value)
  FROM unnest(ARRAY['', 'now', 'infinity', '2100-02-29T00:00:00Z', '2100-13-01T00:00:00Z', '2100-01-00T00:00:00Z', '2100-01-01',
                    '2100-01-01T24:00:00Z', '2100-01-01T00:60:00Z', '2100-01-01T00:00:60Z', '2100-01-01T00:00:00', '2100-01-01T00:00:00+1',
                    '2100-01-01T00:00:00+16:00', '2100-01-01T00:00:00.Z', '2100-01-01T00:00:00Zx', ' 2100-01-01T00:00:00Z', '0000-01-01T00:00:00Z',
                    '12100-01-01T00:00:00Z', '2100-1-1T0:0:0Z']) AS value;
-- And these are taken.
SELECT value, pg_temp.expiry(value)
  FROM unnest(ARRAY['2100-01-01T00:00:00Z', '2104-02-29t23:59:59.123456789z', '2100-01-01 01:30:00+01:30', '2100-01-01T00:00:00.5-11:00']) AS value;
ROLLBACK;

-- create_api_key: by the company, with its own key.
BEGIN;
SELECT set_config('request.method', 'POST', true);
SELECT pg_temp.become('anon', '', :'header1');
SELECT r ->> 'api_key' AS key3, r -> 'key' ->> 'id' AS third,
       r ->> 'success' AS success, r ->> 'message' AS message, r ->> 'api_key' ~ '^pk_[0-9a-f]{64}$' AS form,
       r -> 'key' ->> 'display' = 'pk_...' || right(r ->> 'api_key', 4) AS display, r -> 'key' ->> 'label' AS label,
       r -> 'key' ->> 'expires_at' AS expires, (r -> 'key' ->> 'created_at')::timestamptz = now() AS created,
       ARRAY(SELECT jsonb_object_keys(r -> 'key') ORDER BY 1) AS members
  FROM create_api_key('{"label": "second shop", "expires_at": "2100-01-01T00:00:00Z"}') AS r \gset
\echo :success :message :form :display :label :expires :created :members
SELECT current_setting('response.status') AS status;
SELECT pg_temp.company(:'key3'), pg_temp.company(:'key1');
COMMIT;
SELECT api_key = 'pk_...' || right(:'key3', 4) AS newest_is_shown FROM insurance_companies WHERE id = :'one';
SELECT count(*), bool_and(key_hash = sha256(:'key3'::bytea)) FROM padlock.api_keys WHERE id = :'third';
SELECT count(*) AS stored_in_clear FROM padlock.api_keys k, audit_logs l WHERE to_jsonb(k)::text || to_jsonb(l)::text LIKE '%' || right(:'key3', 20) || '%';

-- An admin, and service_role, for any company, which they name.
BEGIN;
SELECT pg_temp.become('authenticated', :'admin', '');
SAVEPOINT s;
SELECT create_api_key('{"label": "x"}');
ROLLBACK TO s;
SELECT list_api_keys('{}');
ROLLBACK TO s;
SELECT create_api_key('{"label": "x", "company_id": "a9000000-0000-4000-8000-000000000009"}');
ROLLBACK TO s;
SELECT list_api_keys('{"company_id": "a9000000-0000-4000-8000-000000000009"}');
ROLLBACK TO s;
SELECT r -> 'key' ->> 'label' AS label, r ->> 'api_key' AS made FROM create_api_key(jsonb_build_object('label', 'by an admin', 'company_id', :'two')) AS r \gset
SELECT :'label' AS label, pg_temp.company(:'made');
ROLLBACK;
BEGIN;
SELECT pg_temp.become('service_role', '', '');
SELECT jsonb_path_query_array(list_api_keys(jsonb_build_object('company_id', :'two')), '$.keys[*].label') AS labels;
SELECT pg_temp.become('service_role', '', :'header1');
SELECT jsonb_path_query_array(list_api_keys('{}'), '$.keys[*].label') AS own, jsonb_path_query_array(list_api_keys(jsonb_build_object('company_id', :'two')), '$.keys[*].label') AS named;
ROLLBACK;

-- list_api_keys: one's own, the newest first, in a read-only transaction too.
BEGIN READ ONLY;
SELECT pg_temp.become('anon', '', :'header1');
SELECT key ->> 'label' AS label, (SELECT array_agg(name ORDER BY name) FROM jsonb_object_keys(key) AS name) AS members
  FROM jsonb_array_elements(list_api_keys(jsonb_build_object('company_id', :'one')) -> 'keys') AS key;
ROLLBACK;

-- Another company, and its keys, are as good as missing.
BEGIN;
SELECT pg_temp.become('anon', '', :'header2');
SAVEPOINT s;
SELECT list_api_keys(jsonb_build_object('company_id', :'one'));
ROLLBACK TO s;
SELECT list_api_keys('{"company_id": "a9000000-0000-4000-8000-000000000009"}');
ROLLBACK TO s;
SELECT create_api_key(jsonb_build_object('label', 'x', 'company_id', :'one'));
ROLLBACK TO s;
SELECT rotate_api_key(jsonb_build_object('key_id', :'third'));
ROLLBACK TO s;
SELECT rotate_api_key('{"key_id": "a9000000-0000-4000-8000-000000000009"}');
ROLLBACK TO s;
SELECT revoke_api_key(jsonb_build_object('key_id', :'third'));
ROLLBACK TO s;
SELECT revoke_api_key('{"key_id": "a9000000-0000-4000-8000-000000000009"}');
ROLLBACK TO s;
SELECT pg_temp.become('authenticated', :'admin', '');
SELECT revoke_api_key(jsonb_build_object('key_id', :'third', 'company_id', :'two'));
ROLLBACK;
SELECT count(*) AS untouched FROM padlock.api_keys WHERE id = :'third' AND revoked_at IS NULL;

-- rotate_api_key: both keys live during the overlap, which never outlives the old expiry.
BEGIN;
SELECT pg_temp.become('anon', '', :'header1');
SELECT r ->> 'api_key' AS key4, r -> 'key' ->> 'id' AS fourth,
       r ->> 'message' AS message, r -> 'key' ->> 'label' AS label, r -> 'key' ->> 'expires_at' IS NULL AS forever,
       r -> 'old_key' ->> 'id' = :'first1' AS old_key, (r -> 'old_key' ->> 'expires_at')::timestamptz - now() AS overlap
  FROM rotate_api_key(jsonb_build_object('key_id', :'first1')) AS r \gset
\echo :message :label :forever :old_key :overlap
SELECT pg_temp.company(:'key1') AS old, pg_temp.company(:'key4') AS new;
COMMIT;
SELECT api_key = 'pk_...' || right(:'key4', 4) AS newest_is_shown FROM insurance_companies WHERE id = :'one';
BEGIN;
SELECT pg_temp.become('anon', '', :'header1');
SELECT (rotate_api_key(jsonb_build_object('key_id', :'first1', 'overlap_minutes', 43200)) -> 'old_key' ->> 'expires_at')::timestamptz - now() < interval '1 day' AS not_prolonged;
SELECT given, (rotate_api_key(jsonb_build_object('key_id', :'first1', 'overlap_minutes', given)) -> 'old_key' ->> 'expires_at')::timestamptz - now() AS ends_in
  FROM unnest(ARRAY[60, 120]) AS given;
SELECT r -> 'key' ->> 'label' AS label, (r -> 'key' ->> 'expires_at')::timestamptz - now() AS ends_in
  FROM rotate_api_key(jsonb_build_object('key_id', :'first1', 'label', 'renamed', 'expires_at', now() + interval '30 minutes')) AS r;
-- A key makes no key that outlives it, neither a second one nor the one after it.
SAVEPOINT s;
SELECT rotate_api_key(jsonb_build_object('key_id', :'first1', 'expires_at', '2101-01-01T00:00:00Z'));
ROLLBACK TO s;
SELECT create_api_key(jsonb_build_object('label', 'for ever', 'expires_at', now() + interval '61 minutes'));
ROLLBACK TO s;
SELECT create_api_key(jsonb_build_object('label', 'for ever', 'expires_at', 'infinity'));
ROLLBACK TO s;
SELECT (create_api_key('{"label": "as long as I live"}') #>> '{key,expires_at}')::timestamptz - now() AS ends_in;
SELECT (rotate_api_key(jsonb_build_object('key_id', :'first1', 'overlap_minutes', 10)) #>> '{key,expires_at}')::timestamptz - now() AS ends_in;
SELECT (rotate_api_key(jsonb_build_object('key_id', :'first1')) #>> '{old_key,expires_at}')::timestamptz - now() AS not_prolonged;
ROLLBACK TO s;
SELECT pg_temp.become('authenticated', :'admin', '');
SELECT create_api_key(jsonb_build_object('label', 'of an admin', 'company_id', :'one')) #>> '{key,expires_at}' AS never;
SELECT pg_temp.become('anon', '', :'header1');
-- Without overlap the old key, here the one that calls, ends at once.
SELECT (rotate_api_key(jsonb_build_object('key_id', :'first1', 'overlap_minutes', 0)) -> 'old_key' ->> 'expires_at')::timestamptz - now() AS ends_in;
SELECT pg_temp.company(:'key1') AS old;
SELECT pg_temp.become('anon', '', :'header1');
\set VERBOSITY terse
SELECT list_api_keys('{}');
\set VERBOSITY default
ROLLBACK;

-- An expired key and a revoked one cannot be rotated.
BEGIN;
UPDATE padlock.api_keys SET expires_at = now() - interval '1 second' WHERE id = :'third';
SELECT pg_temp.company(:'key3') AS expired;
SELECT pg_temp.become('anon', '', :'header1');
SAVEPOINT s;
SELECT rotate_api_key(jsonb_build_object('key_id', :'third'));
ROLLBACK TO s;
SELECT revoke_api_key(jsonb_build_object('key_id', :'third')) ->> 'message' AS message;
SELECT rotate_api_key(jsonb_build_object('key_id', :'third'));
ROLLBACK;

-- revoke_api_key: at once, for good, once; what is shown follows the newest live key.
BEGIN;
SELECT pg_temp.become('anon', '', :'header1');
SELECT pg_temp.company(:'key4') AS before;
SELECT pg_temp.become('anon', '', :'header1');
SELECT r ->> 'success' AS success, r ->> 'message' AS message, (r -> 'key' ->> 'revoked_at')::timestamptz = now() AS revoked
  FROM revoke_api_key(jsonb_build_object('key_id', :'fourth')) AS r;
SELECT pg_temp.company(:'key4') AS after;
COMMIT;
SELECT api_key = 'pk_...' || right(:'key3', 4) AS newest_live_is_shown FROM insurance_companies WHERE id = :'one';
BEGIN;
SELECT pg_temp.become('anon', '', :'header1');
SELECT (revoke_api_key(jsonb_build_object('key_id', :'fourth')) -> 'key' ->> 'revoked_at')::timestamptz < now() AS stays;
-- Several revoked keys stay listed; the last one locks the company out.
SELECT revoke_api_key(jsonb_build_object('key_id', :'third')) ->> 'success' AS success;
SELECT key ->> 'label' AS label, key ->> 'revoked_at' IS NOT NULL AS revoked, key ->> 'expires_at' IS NOT NULL AS expires
  FROM jsonb_array_elements(list_api_keys('{}') -> 'keys') AS key;
SELECT revoke_api_key(jsonb_build_object('key_id', :'first1')) ->> 'success' AS success;
\set VERBOSITY terse
SELECT list_api_keys('{}');
\set VERBOSITY default
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', :'admin', '');
SELECT revoke_api_key(jsonb_build_object('key_id', :'first2', 'company_id', :'two')) ->> 'success' AS success;
SELECT api_key FROM insurance_companies WHERE id = :'two';
ROLLBACK;

-- The trail: who did what to which key, and nothing of the hash.
BEGIN;
SELECT pg_temp.become('anon', '', :'header1');
SELECT revoke_api_key(jsonb_build_object('key_id', :'first1')) ->> 'success' AS success;
SELECT set_config('role', 'none', true);
SELECT table_name, company_id = :'one' AS by_the_key_that_ends FROM audit_logs WHERE created_at = now() ORDER BY 1;
ROLLBACK;
SELECT action, table_name, CASE record_id WHEN :'first1' THEN 'first' WHEN :'third' THEN 'third' WHEN :'fourth' THEN 'fourth' WHEN :'one' THEN 'company' END AS record,
       company_id = :'one' AS by_company, user_id IS NOT NULL AS by_user, old_values IS NOT NULL AS old, new_values IS NOT NULL AS new
  FROM audit_logs WHERE record_id IN (:'first1', :'third', :'fourth', :'one') ORDER BY created_at, table_name, action, record;
SELECT count(*) AS hashes FROM audit_logs WHERE old_values ? 'key_hash' OR new_values ? 'key_hash';
-- A use is no change.
BEGIN;
UPDATE padlock.api_keys SET last_used_at = now();
SELECT count(*) FROM audit_logs WHERE table_name = 'api_keys' AND created_at = now();
ROLLBACK;

-- Low roles reach keys through the endpoints only.
BEGIN;
SELECT pg_temp.become('anon', '', :'header1');
SAVEPOINT s;
SELECT * FROM padlock.api_keys;
ROLLBACK TO s;
UPDATE insurance_companies SET api_key = 'pk_...0000';
ROLLBACK;

-- Each of the four is limited, for a company and for an admin.
BEGIN;
UPDATE rate_limit_rules SET max_requests = 0 WHERE endpoint LIKE '%api_key%';
SELECT endpoint, caller, window_minutes FROM rate_limit_rules WHERE endpoint LIKE '%api_key%' ORDER BY endpoint;
SELECT pg_temp.become('anon', '', :'header1');
SAVEPOINT s;
SELECT create_api_key('{"label": "x"}');
ROLLBACK TO s;
SELECT list_api_keys('{}');
ROLLBACK TO s;
SELECT rotate_api_key('{}');
ROLLBACK TO s;
SELECT revoke_api_key('{}');
ROLLBACK TO s;
SELECT pg_temp.become('authenticated', :'admin', '');
SELECT revoke_api_key('{}');
ROLLBACK;
SELECT identifier = 'company:' || :'one' AS company, identifier = 'user:a9000000-0000-4000-8000-000000000001' AS admin, endpoint
  FROM rate_limits WHERE endpoint = 'create_api_key' AND (identifier LIKE 'company:' || :'one' OR identifier LIKE 'user:a9%') ORDER BY 1, 2;

DELETE FROM insurance_companies WHERE name LIKE 'Key %';
SELECT count(*) AS orphans FROM padlock.api_keys WHERE id IN (:'first1', :'first2', :'third', :'fourth');
DELETE FROM admin_users WHERE id IN (SELECT id FROM users WHERE email LIKE '%@key.example');
DELETE FROM users WHERE email LIKE '%@key.example';
