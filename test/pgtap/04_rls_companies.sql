-- Row security of what belongs to companies: insurance_companies,
-- insurance_products and api_keys; every role, every verb, and every state of
-- a key and of a company.
BEGIN;
SELECT no_plan();
\ir common.psql

SELECT t.onboard(name) FROM unnest(ARRAY['acme', 'borg', 'shut', 'old', 'late', 'fresh', 'gone']) AS name;
INSERT INTO insurance_products (company_id, product_code, product_name, policy_type, premium_amount, is_active) VALUES
    (t.company('acme'), 'A1', 'A1', 'health', 10, true), (t.company('acme'), 'A2', 'A2', 'health', 20, false),
    (t.company('borg'), 'B1', 'B1', 'auto', 30, true), (t.company('borg'), 'B2', 'B2', 'auto', 40, false),
    (t.company('shut'), 'S1', 'S1', 'life', 50, true);
UPDATE insurance_companies SET is_active = false WHERE name = 'shut';

-- More keys of acme's: a revoked and an expired one, one that still has an
-- hour, and one that was never stored.
UPDATE padlock.api_keys k SET company_id = t.company('acme'), revoked_at = v.revoked, expires_at = v.expires
  FROM (VALUES ('old', now() - interval '1 second', NULL), ('late', NULL, now() - interval '1 second'),
               ('fresh', now() + interval '1 hour', now() + interval '1 hour')) AS v (name, revoked, expires)
 WHERE k.company_id = t.company(v.name);
DELETE FROM padlock.api_keys WHERE company_id = t.company('gone');
DELETE FROM insurance_companies WHERE name IN ('old', 'late', 'fresh', 'gone');

CREATE TEMP TABLE acme AS SELECT headers::jsonb ->> 'x-api-key' AS key FROM t.callers WHERE who = 'acme';
INSERT INTO t.callers (who, role, headers)
SELECT who, 'anon', jsonb_build_object('x-api-key', broken)::text
  FROM acme, LATERAL (VALUES ('a digit less', left(key, -1)), ('a digit more', key || '0'), ('capitals', upper(key)),
                     ('a space', key || ' '), ('another prefix', 'sk' || substr(key, 3)), ('nothing', ''),
                     ('another digit', left(key, 20) || translate(substr(key, 21, 1), '0123456789abcdef', '123456789abcdef0') || substr(key, 22)),
                     ('its hash', encode(sha256(key::bytea), 'hex')), ('its display form', 'pk_...' || right(key, 4)),
                     ('a wildcard', '%'), ('a quote', ''' OR true --')) AS v (who, broken);
INSERT INTO t.callers (who, role, headers)
SELECT v.* FROM acme,
    LATERAL (VALUES ('an upper-case name', 'anon', jsonb_build_object('X-API-KEY', key)::text),
                    ('a list', 'anon', jsonb_build_object('x-api-key', jsonb_build_array(key))::text),
                    ('cut off', 'anon', left(jsonb_build_object('x-api-key', key)::text, -1))) AS v;
INSERT INTO t.callers (who, role, claims, headers)
SELECT 'the key in the claims', 'anon', headers, claims FROM t.callers WHERE who = 'acme'
UNION ALL SELECT 'alice of acme', 'authenticated', t.claims('alice'), headers FROM t.callers WHERE who = 'acme';

-- Who is a company.
SELECT is(t.answer(who, 'SELECT padlock.company_id()'), t.company('acme')::text, who || ' is acme')
  FROM unnest(ARRAY['acme', 'alice of acme']) AS who;
SELECT is(t.answer('borg', 'SELECT padlock.company_id()'), t.company('borg')::text, 'borg is borg');
SELECT is(t.answer(who, 'SELECT padlock.company_id() IS NULL AND padlock.company_scope_low() IS NULL AND padlock.company_scope_high() IS NULL'),
          'true', format('the key of %s is nobody''s', who))
  FROM t.callers WHERE who NOT IN ('acme', 'alice of acme', 'borg', 'fresh', 'admin', 'root', 'service');
SELECT is(t.answer(who, 'SELECT string_agg(product_code, '','' ORDER BY product_code) FROM insurance_products'), 'A1,B1',
          format('with the key of %s one sees what the public sees', who))
  FROM t.callers WHERE who NOT IN ('acme', 'alice of acme', 'borg', 'fresh', 'admin', 'root', 'service', 'owner');
SELECT is(t.outcome(who, 'SELECT FROM insurance_companies'), '0 rows', format('with the key of %s one sees no company', who))
  FROM t.callers WHERE who NOT IN ('acme', 'alice of acme', 'borg', 'fresh', 'admin', 'root', 'service', 'owner');
SELECT matches(t.answer(who, format('SELECT product_update(jsonb_build_object(''product_id'', %L, ''product_name'', ''x''))', t.product('A1'))),
               '^28000: API key is not valid' || why, format('the key of %s changes no product', who))
  FROM (VALUES ('old', ': The key ended at 20'), ('late', ': The key ended at 20'), ('gone', '$'), ('capitals', ': The key is mistyped'), ('another digit', ': The key is mistyped'), ('its hash', ': The key is mistyped')) AS v (who, why);
SELECT is(t.answer('shut', 'SELECT product_create(''{"product_name": "x", "policy_type": "life", "premium_amount": 1}'')'),
          '42501: company is not active', 'nor does the key of an inactive company');

-- Each role, each verb: for anon, alice, acme, borg, shut, old, admin, service.
CREATE TEMP TABLE matrix (statement text, outcomes text[]);
INSERT INTO matrix VALUES
    ('SELECT FROM insurance_products', '{2 rows,2 rows,3 rows,3 rows,2 rows,2 rows,5 rows,5 rows}'),
    (format('INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES (%L, ''x'', ''health'', 1)', t.company('acme')),
     '{42501,42501,1 rows,42501,42501,42501,1 rows,1 rows}'),
    ('UPDATE insurance_products SET premium_amount = 7', '{0 rows,0 rows,2 rows,2 rows,0 rows,0 rows,5 rows,5 rows}'),
    (format('UPDATE insurance_products SET premium_amount = 7 WHERE id = %L', t.product('B1')),
     '{0 rows,0 rows,0 rows,1 rows,0 rows,0 rows,1 rows,1 rows}'),
    ('UPDATE insurance_products SET is_active = false WHERE product_code = ''A1''',
     '{0 rows,0 rows,1 rows,0 rows,0 rows,0 rows,1 rows,1 rows}'),
    (format('UPDATE insurance_products SET company_id = %L WHERE product_code = ''A1''', t.company('borg')),
     '{0 rows,0 rows,42501,0 rows,0 rows,0 rows,1 rows,1 rows}'),
    (format('UPDATE insurance_products SET company_id = %L', t.company('borg')),
     '{0 rows,0 rows,42501,2 rows,0 rows,0 rows,5 rows,5 rows}'),
    ('DELETE FROM insurance_products', '{0 rows,0 rows,2 rows,2 rows,0 rows,0 rows,5 rows,5 rows}'),
    ('SELECT FROM insurance_products FOR UPDATE', '{0 rows,0 rows,2 rows,2 rows,0 rows,0 rows,5 rows,5 rows}'),
    ('TRUNCATE insurance_products', '{42501,42501,42501,42501,42501,42501,42501,42501}'),

    ('SELECT FROM insurance_companies', '{0 rows,0 rows,1 rows,1 rows,0 rows,0 rows,3 rows,3 rows}'),
    ('INSERT INTO insurance_companies (name) VALUES (''x'')', '{42501,42501,42501,42501,42501,42501,1 rows,1 rows}'),
    ('UPDATE insurance_companies SET website = ''https://x.example''', '{0 rows,0 rows,1 rows,1 rows,0 rows,0 rows,3 rows,3 rows}'),
    (format('UPDATE insurance_companies SET website = ''https://x.example/'' WHERE id = %L', t.company('borg')),
     '{0 rows,0 rows,0 rows,1 rows,0 rows,0 rows,1 rows,1 rows}'),
    (format('UPDATE insurance_companies SET id = %L WHERE name = ''acme''', t.id('x')),
     '{0 rows,0 rows,42501,0 rows,0 rows,0 rows,42501,23503}'),
    (format('DELETE FROM insurance_companies WHERE id = %L', t.company('acme')),
     '{42501,0 rows,42501,42501,42501,42501,1 rows,1 rows}'),
    ('TRUNCATE insurance_companies CASCADE', '{42501,42501,42501,42501,42501,42501,42501,42501}'),

    ('SELECT FROM padlock.api_keys', '{42501,42501,42501,42501,42501,42501,42501,42501}'),
    (format('INSERT INTO padlock.api_keys (key_hash, company_id, display, label) VALUES (sha256(''x''), %L, ''x'', ''x'')', t.company('acme')),
     '{42501,42501,42501,42501,42501,42501,42501,42501}'),
    ('UPDATE padlock.api_keys SET revoked_at = NULL', '{42501,42501,42501,42501,42501,42501,42501,42501}'),
    ('DELETE FROM padlock.api_keys', '{42501,42501,42501,42501,42501,42501,42501,42501}'),
    ('TRUNCATE padlock.api_keys', '{42501,42501,42501,42501,42501,42501,42501,42501}');

SELECT is(t.outcome(who, statement), outcomes[place], who || ': ' || statement)
  FROM matrix, unnest(ARRAY['anon', 'alice', 'acme', 'borg', 'shut', 'old', 'admin', 'service']) WITH ORDINALITY AS w (who, place);
SELECT is(t.outcome('fresh', 'SELECT FROM insurance_products'), '3 rows', 'a key counts until its end');

SELECT is(t.answer('acme', 'SELECT string_agg(product_code, '','' ORDER BY product_code) FROM insurance_products'), 'A1,A2,B1', 'acme sees its own and the public''s');
SELECT is(t.answer('alice of acme', 'SELECT string_agg(product_code, '','' ORDER BY product_code) FROM insurance_products'), 'A1,A2,B1', 'so does its signed-in user');
SELECT is(t.answer('acme', 'SELECT string_agg(name, '','') FROM insurance_companies'), 'acme', 'acme sees itself');

-- Search looks past row security, and shows everybody the same.
SELECT is(t.answer(who, statement), expected, format('%s: %s', who, statement))
  FROM unnest(ARRAY['anon', 'acme', 'borg', 'shut', 'admin', 'service']) AS who,
       (VALUES ('SELECT jsonb_path_query_array(product_search(sort_by => ''premium_amount'', sort_order => ''asc''), ''$.products[*].product_code'')', '["A1", "B1"]'),
               (format('SELECT product_search(company_id => %L) #>> ''{pagination,total_items}''', t.company('borg')), '1'),
               (format('SELECT product_search(company_id => %L) #>> ''{pagination,total_items}''', t.company('shut')), '0'),
               ('SELECT product_search(search_term => ''S1'') #>> ''{pagination,total_items}''', '0'),
               ('SELECT product_search(search_term => ''B2'') #>> ''{pagination,total_items}''', '0')) AS v (statement, expected);

-- Guarded columns of companies.
CREATE TEMP TABLE guarded ("column" text, value text);
INSERT INTO guarded VALUES ('is_active', 'false'), ('api_key', 'pk_...0000'), ('business_registration_number', 'x'),
    ('license_number', 'x'), ('regulatory_body', 'x');
SELECT is(t.outcome(who, format('UPDATE insurance_companies SET %I = %L WHERE id = %L', "column", value, t.company('acme'))),
          expected, format('%s changes insurance_companies.%s: %s', who, "column", expected))
  FROM guarded, (VALUES ('acme', '42501'), ('alice of acme', '42501'), ('admin', '1 rows'), ('service', '1 rows'), ('owner', '1 rows')) AS v (who, expected);
SELECT is(t.outcome('acme', format('UPDATE insurance_companies SET %I = %I, description = ''x''', "column", "column")), '1 rows',
          format('acme may repeat insurance_companies.%s', "column")) FROM guarded;

-- The columns of another company cannot be learned by product codes or names.
SELECT is(t.outcome('acme', 'INSERT INTO insurance_products (company_id, product_code, product_name, policy_type, premium_amount)'
                            ' SELECT padlock.company_id(), ''B2'', ''x'', ''health'', 1'), '1 rows', 'a product code is unique in its company only');
SELECT is(t.outcome('acme', 'INSERT INTO insurance_products (company_id, product_code, product_name, policy_type, premium_amount)'
                            ' SELECT padlock.company_id(), ''A2'', ''x'', ''health'', 1'), '23505', 'but there it is');

-- A company that is switched off or on takes its offer along at once.
UPDATE insurance_companies SET is_active = name = 'shut' WHERE name IN ('shut', 'borg');
SELECT is(t.answer('anon', 'SELECT string_agg(product_code, '','' ORDER BY product_code) FROM insurance_products'), 'A1,S1', 'the public sees active products of active companies');
SELECT is(t.answer('shut', 'SELECT padlock.company_id()'), t.company('shut')::text, 'the key of a company that is active again counts again');
SELECT is(t.answer('borg', 'SELECT padlock.company_id()'), '(null)', 'and that of one switched off does not');

-- Only hashes are stored.
SELECT is(count(*)::int, 0, 'no table holds the key') FROM acme,
    LATERAL (SELECT to_jsonb(k)::text FROM padlock.api_keys k UNION ALL SELECT to_jsonb(c)::text FROM insurance_companies c
             UNION ALL SELECT to_jsonb(l)::text FROM audit_logs l) AS v (stored)
 WHERE position(key IN stored) > 0 OR position(encode(key::bytea, 'hex') IN stored) > 0;
SELECT is((SELECT api_key FROM insurance_companies WHERE name = 'acme'), (SELECT 'pk_...' || right(key, 4) FROM acme), 'the display form is prefix and last four');
SELECT is((SELECT k.company_id FROM padlock.api_keys k, acme WHERE k.key_hash = sha256(key::bytea)), t.company('acme'), 'the hash is SHA-256 of the key');

-- A product that is hidden is a product that does not exist.
SELECT is(t.answer('acme', format('SELECT product_update(jsonb_build_object(''product_id'', %L, ''product_name'', ''x''))', t.product('B2'))),
          t.answer('acme', format('SELECT product_update(jsonb_build_object(''product_id'', %L, ''product_name'', ''x''))', t.id('no product'))),
          'product_update answers the same for a hidden and a missing product');
SELECT is(t.answer('acme', format('SELECT product_update(jsonb_build_object(''product_id'', %L, ''product_code'', ''B2''))', t.product('B2'))),
          'P0002: product does not exist', 'whatever the body asks');
UPDATE insurance_companies SET is_active = true WHERE name = 'borg';
SELECT is(t.answer('acme', format('SELECT product_update(jsonb_build_object(''product_id'', %L, ''product_name'', ''x''))', t.product('B1'))),
          '42501: product belongs to another company', 'one that everybody sees is refused as another''s');
SELECT is(t.answer('acme', format('SELECT product_update(jsonb_build_object(''product_id'', %L, ''product_name'', ''x'')) #>> ''{product,product_name}''', t.product('A2'))),
          'x', 'its own hidden product a company may change');

-- A company goes with its products and keys.
DELETE FROM insurance_companies WHERE name = 'acme';
SELECT is((SELECT count(*)::int FROM insurance_products WHERE product_code IN ('A1', 'A2')), 0, 'products go with their company');
SELECT is(t.answer('acme', 'SELECT padlock.company_id()'), '(null)', 'and so do its keys');

SELECT * FROM finish();
ROLLBACK;
