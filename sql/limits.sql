-- Room limits: the limiter, its rules, and what a refused caller hears.
SET client_min_messages = warning;

-- At most max_requests; the count is no part of the transaction.
SELECT n, check_rate_limit('one', 'limits', 3) FROM generate_series(1, 4) AS n;
BEGIN;
SELECT check_rate_limit('undone', 'limits', 1);
ROLLBACK;
SELECT check_rate_limit('undone', 'limits', 1);
BEGIN READ ONLY;
SELECT check_rate_limit('read-only', 'limits', 1), check_rate_limit('read-only', 'limits', 1);
COMMIT;
BEGIN;
DO $$ BEGIN
    PERFORM check_rate_limit('subtransaction', 'limits', 1);
    RAISE EXCEPTION 'fails';
EXCEPTION WHEN raise_exception THEN
    RAISE WARNING 'allowed again: %', check_rate_limit('subtransaction', 'limits', 1);
END $$;
COMMIT;

-- Identifier and endpoint both count; so does a raised or lowered limit at once.
SELECT check_rate_limit('one', 'elsewhere', 3), check_rate_limit('two', 'limits', 3);
SELECT check_rate_limit('one', 'limits', 4), check_rate_limit('one', 'limits', 4), check_rate_limit('one', 'limits', 2);
SELECT check_rate_limit('none', 'limits', 0);
SELECT request_count FROM rate_limits WHERE endpoint = 'limits' AND identifier = 'one';

-- What is left, and how long to wait.
SELECT allowed, remaining, reset_seconds BETWEEN 1 AND 62 AS reset, retry_after_seconds
  FROM padlock.check_rate_limit('detail', 'limits', 2, 1);
SELECT allowed, remaining, retry_after_seconds FROM padlock.check_rate_limit('detail', 'limits', 2, 1);
SELECT allowed, remaining, retry_after_seconds BETWEEN 1 AND 62 AS wait FROM padlock.check_rate_limit('detail', 'limits', 2, 1);
-- Windows of different lengths are counted apart, and do not disturb each other.
SELECT allowed, remaining FROM padlock.check_rate_limit('detail', 'limits', 3, 60);
SELECT allowed, remaining FROM padlock.check_rate_limit('detail', 'limits', 3, 527040);
SELECT allowed, remaining FROM padlock.check_rate_limit('detail', 'limits', 2, 1);
SELECT allowed, remaining FROM padlock.check_rate_limit('detail', 'limits', 3, 60);
SELECT count(*) FROM rate_limits WHERE identifier = 'detail';
SELECT padlock.reset_rate_limit('detail', 'limits');
SELECT count(*) FROM rate_limits WHERE identifier = 'detail';

-- Long identifiers are told apart and stay bounded; defaults are 100 an hour.
SELECT check_rate_limit(repeat('x', 1000) || 'a', repeat('e', 100), 1), check_rate_limit(repeat('x', 1000) || 'b', repeat('e', 100), 1),
       check_rate_limit(repeat('x', 1000) || 'a', repeat('e', 100), 1);
SELECT max(octet_length(identifier)) AS identifier, max(octet_length(endpoint)) AS endpoint, count(*)
  FROM rate_limits WHERE identifier LIKE 'xxxx%';
SELECT count(*) FILTER (WHERE check_rate_limit('default', 'limits')) FROM generate_series(1, 150);

-- Bad arguments.
SELECT check_rate_limit(NULL, 'e');
SELECT check_rate_limit('i', NULL);
SELECT check_rate_limit('', 'e');
SELECT check_rate_limit('i', '');
SELECT check_rate_limit('i', 'e', NULL);
SELECT check_rate_limit('i', 'e', -1);
SELECT check_rate_limit('i', 'e', 1, NULL);
SELECT check_rate_limit('i', 'e', 1, 0);
SELECT check_rate_limit('i', 'e', 1, -5);
SELECT check_rate_limit('i', 'e', 1, 527041);
SELECT padlock.check_rate_limit(NULL, 'e');
SELECT padlock.reset_rate_limit('i', '');

-- Reset.
SELECT padlock.reset_rate_limit('one', 'limits'), padlock.reset_rate_limit('one', 'limits');
SELECT check_rate_limit('one', 'limits', 1);

-- Live view: shape, and who sees it.
SELECT column_name, data_type FROM information_schema.columns
 WHERE table_schema = 'public' AND table_name = 'rate_limits' ORDER BY ordinal_position;
SELECT identifier, endpoint, request_count FROM public.rate_limits
 WHERE window_start > now() - interval '1 hour' AND endpoint = 'limits' ORDER BY request_count DESC LIMIT 1;
SELECT bool_and(window_start <= clock_timestamp() AND created_at <= clock_timestamp() AND created_at > now() - interval '1 minute') AS sane,
       count(DISTINCT id) = count(*) AS ids
  FROM rate_limits WHERE endpoint = 'limits';
INSERT INTO users (id, email) VALUES ('11000000-0000-4000-8000-000000000001', 'user@limits.example'),
                                     ('11000000-0000-4000-8000-000000000002', 'admin@limits.example');
INSERT INTO admin_users (id) VALUES ('11000000-0000-4000-8000-000000000002');
BEGIN;
SET LOCAL ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"sub": "11000000-0000-4000-8000-000000000001"}', true) IS NOT NULL AS user;
SELECT count(*) FROM rate_limits;
SELECT count(*) FROM rate_limit_rules;
SELECT set_config('request.jwt.claims', '{"sub": "11000000-0000-4000-8000-000000000002"}', true) IS NOT NULL AS admin;
SELECT count(*) > 0 AS seen FROM rate_limits;
SELECT count(*) > 0 AS seen FROM rate_limit_rules;
ROLLBACK;
BEGIN;
SET LOCAL ROLE service_role;
SELECT count(*) > 0 AS seen FROM rate_limits;
ROLLBACK;
BEGIN;
SET LOCAL ROLE anon;
SELECT count(*) FROM rate_limits;
ROLLBACK;
SET ROLE authenticated;
SELECT check_rate_limit('i', 'e');
SELECT padlock.reset_rate_limit('i', 'e');
SELECT padlock.rate_limit_stats();
RESET ROLE;
SELECT keys > 0 AS keys, max_keys > 0 AS max_keys, allowed > 0 AS allowed, refused > 0 AS refused, evicted, memory_bytes > max_keys AS memory
  FROM padlock.rate_limit_stats();

-- Rules: seeded as promised, checked, one general one an endpoint.
SELECT endpoint, caller, company_id, max_requests, window_minutes FROM rate_limit_rules
 WHERE endpoint IN ('product_create', 'product_update', 'product_search', 'company_onboard', 'document_upload', 'ai_product_ingest') ORDER BY endpoint;
\set VERBOSITY terse
INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES ('product_search', 'ip', 5);
INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES ('suggest', 'ip', -1);
INSERT INTO rate_limit_rules (endpoint, caller, max_requests, window_minutes) VALUES ('suggest', 'ip', 1, 0);
INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES (NULL, 'ip', 1);
INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES ('suggest', NULL, 1);
\set VERBOSITY default
INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES ('sugest', 'ip', 5);
INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES ('suggest', 'robot', 5);
INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES ('suggest', 'account', 5);
UPDATE rate_limit_rules SET caller = 'ip' WHERE endpoint = 'sign_in_failure';
UPDATE rate_limit_rules SET endpoint = 'x' WHERE endpoint = 'suggest';

-- install() puts general rules back that are missing, and leaves changed ones.
BEGIN;
DELETE FROM rate_limit_rules WHERE endpoint = 'sign_in_failure';
UPDATE rate_limit_rules SET max_requests = 7 WHERE endpoint = 'suggest';
SELECT padlock.install();
SELECT endpoint, caller, company_id, max_requests, window_minutes FROM rate_limit_rules WHERE endpoint IN ('sign_in_failure', 'suggest') ORDER BY endpoint;
ROLLBACK;

-- An admin changes the endpoints' limits, but not those that guard accounts.
BEGIN;
SET LOCAL ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"sub": "11000000-0000-4000-8000-000000000002"}', true) IS NOT NULL AS admin;
WITH gone AS (DELETE FROM rate_limit_rules WHERE endpoint IN ('sign_in', 'sign_in_failure', 'product_search') RETURNING endpoint)
SELECT endpoint FROM gone;
SAVEPOINT s;
INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES ('change_password', 'user', 1000000);
ROLLBACK TO s;
UPDATE padlock.email_templates SET html_body = '{{token}}' WHERE name = 'reset_password';
SELECT count(*) > 0 AS seen FROM padlock.email_templates;
RESET ROLE;
UPDATE admin_users SET role = 'super_admin' WHERE id = '11000000-0000-4000-8000-000000000002';
SET LOCAL ROLE authenticated;
WITH gone AS (DELETE FROM rate_limit_rules WHERE endpoint IN ('sign_in', 'sign_in_failure') RETURNING endpoint)
SELECT endpoint FROM gone ORDER BY endpoint;
WITH changed AS (UPDATE padlock.email_templates SET subject = 'New' WHERE name = 'reset_password' RETURNING name)
SELECT name FROM changed;
ROLLBACK;

-- An endpoint refuses, from SQL and behind a gateway; a change acts at once.
UPDATE rate_limit_rules SET max_requests = 2 WHERE endpoint = 'product_search';
CREATE FUNCTION pg_temp.search(address text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM set_config('request.headers', jsonb_build_object('x-forwarded-for', address)::text, true);
    PERFORM public.product_search(page => CASE WHEN address = '192.0.2.9' THEN '0' END);
    RETURN 'answered ' || coalesce(current_setting('response.headers', true), '');
EXCEPTION
    WHEN invalid_parameter_value THEN RETURN 'invalid';
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
        RETURN regexp_replace(SQLSTATE || ' ' || SQLERRM || ' ' || detail, '(in |t=|Wait |Retry-After": ")\d+', '\1N', 'g');
END $$;
SELECT pg_temp.search('192.0.2.1') FROM generate_series(1, 3);
SELECT pg_temp.search('192.0.2.9') FROM generate_series(1, 3);
SELECT pg_temp.search('192.0.2.2');
SELECT pg_temp.search(address) FROM unnest(ARRAY['2001:db8::1', '2001:db8::ffff', '2001:db8:0:0:5::', '2001:db8:0:1::1']) AS address;
SELECT pg_temp.search(address) FROM unnest(ARRAY['::ffff:192.0.2.7', '192.0.2.7', '::ffff:192.0.2.7']) AS address;
UPDATE rate_limit_rules SET max_requests = 3 WHERE endpoint = 'product_search';
SELECT pg_temp.search('192.0.2.1');
BEGIN;
SELECT set_config('request.method', 'GET', true);
SELECT regexp_replace(pg_temp.search('192.0.2.1'), 't=\d+', 't=N', 'g');
SELECT regexp_replace(pg_temp.search('192.0.2.2'), 't=\d+', 't=N', 'g');
SELECT regexp_replace(pg_temp.search(NULL), 't=\d+', 't=N', 'g');
ROLLBACK;
BEGIN;
SET LOCAL ROLE service_role;
SELECT pg_temp.search('192.0.2.1') FROM generate_series(1, 3);
ROLLBACK;
-- Local SQL without an identity is nobody's request.
SELECT product_search() ->> 'success' FROM generate_series(1, 5);
DELETE FROM rate_limit_rules WHERE endpoint = 'product_search';
SELECT pg_temp.search('192.0.2.1');
INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES ('product_search', 'ip', 1000);

-- A rule for one company wins over the general one.
BEGIN;
SET LOCAL ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"sub": "11000000-0000-4000-8000-000000000002"}', true) IS NOT NULL AS admin;
SELECT r ->> 'api_key' AS key, r -> 'company' ->> 'id' AS company
  FROM company_onboard('{"name": "Limits Ltd", "contact_email": "a@limits.example"}') AS r \gset
INSERT INTO rate_limit_rules (endpoint, caller, company_id, max_requests) VALUES ('product_create', 'company', :'company', 1);
COMMIT;
SELECT jsonb_build_object('x-api-key', :'key')::text AS headers \gset
BEGIN;
SET LOCAL ROLE anon;
SELECT set_config('request.headers', :'headers', true) IS NOT NULL AS company;
SAVEPOINT s;
SELECT product_create('{}');
ROLLBACK TO s;
\set VERBOSITY terse
SELECT product_create('{"product_name": "P", "policy_type": "health", "premium_amount": 1}');
ROLLBACK;
SELECT action, company_id IS NULL AS by_admin, new_values ->> 'max_requests' AS max_requests
  FROM audit_logs WHERE table_name = 'rate_limit_rules' AND user_id = '11000000-0000-4000-8000-000000000002';
DELETE FROM insurance_companies WHERE name = 'Limits Ltd';
SELECT count(*) AS left_over FROM rate_limit_rules WHERE company_id IS NOT NULL;
DELETE FROM admin_users WHERE id = '11000000-0000-4000-8000-000000000002';
DELETE FROM users WHERE email LIKE '%@limits.example';
