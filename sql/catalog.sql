-- Room catalog: companies and products.
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.become(role text, claims text, headers text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('request.jwt.claims', claims, true), set_config('request.headers', headers, true),
           set_config('role', role, true) $$;
INSERT INTO users (id, email) VALUES
    ('ca000000-0000-4000-8000-000000000001', 'admin@catalog.example'),
    ('ca000000-0000-4000-8000-000000000002', 'user@catalog.example');
INSERT INTO admin_users (id) VALUES ('ca000000-0000-4000-8000-000000000001');
\set admin '{"sub": "ca000000-0000-4000-8000-000000000001"}'
\set user '{"sub": "ca000000-0000-4000-8000-000000000002"}'

-- company_onboard: who may, what is refused, what comes back.
BEGIN;
SELECT pg_temp.become('authenticated', '', '');
SELECT company_onboard('{"name": "A", "contact_email": "a@catalog.example"}');
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', :'user', '');
SELECT company_onboard('{"name": "A", "contact_email": "a@catalog.example"}');
ROLLBACK;
BEGIN;
SELECT pg_temp.become('anon', :'admin', '');
SELECT company_onboard('{"name": "A", "contact_email": "a@catalog.example"}');
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', :'admin', '');
SAVEPOINT s;
SELECT company_onboard(NULL);
ROLLBACK TO s;
SELECT company_onboard('[]');
ROLLBACK TO s;
SELECT company_onboard('{}');
ROLLBACK TO s;
SELECT company_onboard('{"name": "  ", "contact_email": "nobody", "contact_phone": "123", "website": "ftp://x",
                         "logo_url": "https://name:word@one.example/", "country": "gb", "is_active": false, "api_key": "pk_x", "address": 5}');
ROLLBACK TO s;
SELECT company_onboard(jsonb_build_object('name', repeat('x', 201), 'contact_email', repeat('x', 251) || '@a.b',
                                          'website', 'https://a.example/' || repeat('x', 2000)));
ROLLBACK TO s;
SELECT r ->> 'success' AS success, r ->> 'message' AS message, r ->> 'instructions' AS instructions,
       r -> 'company' ->> 'name' AS name, r -> 'company' ->> 'is_active' AS active, r ->> 'api_key' AS key1
  FROM company_onboard('{"name": "Catalog One", "contact_email": "one@catalog.example", "country": "GB",
                         "website": "https://one.example/", "contact_phone": "+44 20 7946 0000", "description": null}') AS r \gset
\echo :success :message :instructions :name :active
SELECT company_onboard('{"name": "Catalog One", "contact_email": "one@catalog.example"}');
ROLLBACK TO s;
SELECT pg_temp.become('authenticated', :'admin', '');
SELECT r ->> 'api_key' AS key1 FROM company_onboard('{"name": "Catalog One", "contact_email": "one@catalog.example"}') AS r \gset
SELECT r ->> 'api_key' AS key2 FROM company_onboard('{"name": "Catalog Two", "contact_email": "two@catalog.example"}') AS r \gset
COMMIT;
SELECT jsonb_build_object('x-api-key', :'key1')::text AS one, jsonb_build_object('x-api-key', :'key2')::text AS two \gset

-- product_create: keys.
BEGIN;
SELECT pg_temp.become('anon', '', '');
SELECT product_create('{"product_name": "P", "policy_type": "health", "premium_amount": 1}');
ROLLBACK;
BEGIN;
SELECT pg_temp.become('anon', '', '{"x-api-key": "pk_wrong"}');
SELECT product_create('{"product_name": "P", "policy_type": "health", "premium_amount": 1}');
ROLLBACK;
BEGIN;
UPDATE insurance_companies SET is_active = false WHERE name = 'Catalog One';
SELECT pg_temp.become('anon', '', :'one');
SELECT product_create('{"product_name": "P", "policy_type": "health", "premium_amount": 1}');
ROLLBACK;

-- product_create: every bad field is named in one answer, and nothing is written.
BEGIN;
SELECT pg_temp.become('anon', '', :'one');
SAVEPOINT s;
SELECT product_create('{}');
ROLLBACK TO s;
SELECT product_create('"text"');
ROLLBACK TO s;
SELECT product_create('{"product_name": 5, "product_code": "", "policy_type": "pet", "description": [], "premium_amount": 0,
    "currency": "gbp", "billing_frequency": "daily", "deductible": -1, "benefits": [], "exclusions": "none",
    "coverage_details": 5, "coverage_limits": null, "is_active": "yes", "available_countries": ["GB", "gbr"],
    "minimum_age": 70, "maximum_age": 18, "product_image_url": "javascript:alert(1)", "brochure_url": "https://a b",
    "terms_url": "http://", "search_keywords": ["ok", ""], "ai_tags": {}, "popularity_score": 101,
    "company_id": "ca000000-0000-4000-8000-000000000001", "id": null}');
ROLLBACK TO s;
SELECT product_create(jsonb_build_object('product_name', repeat('é', 201), 'product_code', repeat('x', 51), 'policy_type', 'health',
    'premium_amount', 1000000.01, 'description', repeat('x', 5001), 'minimum_age', 1.5, 'maximum_age', 151,
    'deductible', 1000001, 'search_keywords', jsonb_build_array(repeat('x', 101)), 'popularity_score', 'high'));
ROLLBACK TO s;
SELECT product_create(jsonb_build_object('product_name', 'P', 'policy_type', 'health', 'premium_amount', 1, repeat('k', 100), 1));
ROLLBACK TO s;
SELECT product_create(jsonb_build_object('product_name', 'P', 'policy_type', 'health', 'premium_amount', 1,
    'benefits', jsonb_build_object('a', repeat('x', 65600))));
ROLLBACK TO s;
SELECT count(*) FROM insurance_products;
SELECT product_create((SELECT jsonb_object_agg('k' || n, n) FROM generate_series(1, 60) AS n));
ROLLBACK;

-- The limits themselves are allowed, and defaults filled in.
BEGIN;
SELECT pg_temp.become('anon', '', :'one');
SELECT r ->> 'success' AS success, r ->> 'message' AS message,
       r -> 'product' ->> 'currency' AS currency, r -> 'product' ->> 'billing_frequency' AS billing,
       r -> 'product' ->> 'is_active' AS active, r -> 'product' ->> 'popularity_score' AS popularity,
       r -> 'product' ->> 'premium_amount' AS premium
  FROM product_create('{"product_name": "Basic", "product_code": "B-1", "policy_type": "home", "premium_amount": 0.01, "currency": null}') AS r;
SELECT (r -> 'product') - '{id,company_id,created_at,updated_at,product_name}'::text[] AS product, length(r -> 'product' ->> 'product_name') AS name
  FROM product_create(jsonb_build_object('product_name', repeat('é', 200), 'product_code', 'B-2', 'policy_type', 'auto',
    'premium_amount', 1000000, 'currency', 'EUR', 'billing_frequency', 'annually', 'deductible', 0, 'benefits', '{"a": {"b": [1]}}'::jsonb,
    'available_countries', '["GB", "FR"]'::jsonb, 'minimum_age', 0, 'maximum_age', 150, 'terms_url', 'HTTPS://one.example/t',
    'search_keywords', '["car"]'::jsonb, 'popularity_score', 100, 'is_active', true)) AS r;
SELECT product_create('{"product_name": "Again", "product_code": "B-1", "policy_type": "home", "premium_amount": 1}');
ROLLBACK;

BEGIN;
SELECT pg_temp.become('anon', '', :'one');
SELECT product_create('{"product_name": "Basic", "product_code": "B-1", "policy_type": "home", "premium_amount": 10}') -> 'product' ->> 'id' AS one_id \gset
SELECT product_create('{"product_name": "Other", "product_code": "B-2", "policy_type": "home", "premium_amount": 20, "minimum_age": 18}') -> 'product' ->> 'id' AS other_id \gset
COMMIT;
-- The same code in another company is no conflict.
BEGIN;
SELECT pg_temp.become('anon', '', :'two');
SELECT product_create('{"product_name": "Basic", "product_code": "B-1", "policy_type": "home", "premium_amount": 10}') ->> 'success' AS success;
COMMIT;

-- product_update: own, another's, hidden, missing; codes; ages against the row.
BEGIN;
SELECT pg_temp.become('anon', '', :'one');
SAVEPOINT s;
SELECT product_update('{}');
ROLLBACK TO s;
SELECT product_update(jsonb_build_object('product_id', :'one_id'));
ROLLBACK TO s;
SELECT product_update('{"product_id": "x", "product_name": null, "currency": null, "deductible": null, "unknown": 1}');
ROLLBACK TO s;
SELECT product_update(jsonb_build_object('product_id', :'one_id', 'product_code', 'B-2'));
ROLLBACK TO s;
SELECT product_update(jsonb_build_object('product_id', :'other_id', 'maximum_age', 17));
ROLLBACK TO s;
SELECT product_update('{"product_id": "00000000-0000-4000-8000-000000000000", "premium_amount": 5}');
ROLLBACK TO s;
SELECT r ->> 'message' AS message, r -> 'product' ->> 'premium_amount' AS premium, r -> 'product' ->> 'product_name' AS name,
       r -> 'product' ->> 'is_active' AS active, r -> 'product' ->> 'product_code' AS code
  FROM product_update(jsonb_build_object('product_id', :'one_id', 'premium_amount', 12.5, 'is_active', false, 'product_code', 'B-1')) AS r;
COMMIT;
BEGIN;
SELECT pg_temp.become('anon', '', :'two');
SAVEPOINT s;
SELECT product_update(jsonb_build_object('product_id', :'other_id', 'premium_amount', 5));
ROLLBACK TO s;
SELECT product_update(jsonb_build_object('product_id', :'one_id', 'premium_amount', 5));
ROLLBACK;
SELECT product_name, premium_amount, is_active FROM insurance_products WHERE id IN (:'one_id', :'other_id') ORDER BY product_name;

-- An insurer's own value takes a field over from a crawl.
UPDATE insurance_products SET provenance = '{"premium_amount": {"source": "json-ld"}, "description": {"source": "html"}}' WHERE id = :'other_id';
BEGIN;
SELECT pg_temp.become('anon', '', :'one');
SELECT product_update(jsonb_build_object('product_id', :'other_id', 'premium_amount', 21)) -> 'product' -> 'provenance' AS provenance;
COMMIT;

-- Writes to the table itself meet the same limits, and no company forges a crawl.
BEGIN;
SELECT pg_temp.become('anon', '', :'one');
SAVEPOINT s;
\set VERBOSITY terse
UPDATE insurance_products SET premium_amount = 1000001;
ROLLBACK TO s;
UPDATE insurance_products SET popularity_score = 101;
ROLLBACK TO s;
UPDATE insurance_products SET currency = 'gbp';
ROLLBACK TO s;
UPDATE insurance_products SET brochure_url = 'javascript:alert(1)';
ROLLBACK TO s;
UPDATE insurance_products SET benefits = '[]';
ROLLBACK TO s;
UPDATE insurance_products SET product_name = '';
ROLLBACK TO s;
UPDATE insurance_products SET search_keywords = array_fill('word'::text, ARRAY[30000]);
ROLLBACK TO s;
UPDATE insurance_products SET available_countries = '{GB,gbr}';
ROLLBACK TO s;
UPDATE insurance_companies SET logo_url = 'javascript:alert(1)';
ROLLBACK TO s;
UPDATE insurance_companies SET contact_email = 'no';
ROLLBACK TO s;
UPDATE insurance_companies SET country = 'Britain';
ROLLBACK TO s;
UPDATE insurance_products SET last_crawled_at = now();
ROLLBACK TO s;
UPDATE insurance_products SET provenance = '{"deductible": {}}';
ROLLBACK TO s;
UPDATE insurance_products SET source_url = 'https://one.example/';
\set VERBOSITY default
ROLLBACK;

-- Behind a gateway: status and body.
BEGIN;
SELECT set_config('request.method', 'POST', true);
SELECT pg_temp.become('anon', '', :'two');
SAVEPOINT s;
SELECT product_create('{"product_name": "G", "policy_type": "life", "premium_amount": 3}') ->> 'success' AS success;
SELECT current_setting('response.status') AS status;
ROLLBACK TO s;
SELECT product_update(jsonb_build_object('product_id', :'other_id', 'premium_amount', 5));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

DELETE FROM insurance_companies WHERE name LIKE 'Catalog %';
DELETE FROM admin_users WHERE id IN (SELECT id FROM users WHERE email LIKE '%@catalog.example');
DELETE FROM users WHERE email LIKE '%@catalog.example';
