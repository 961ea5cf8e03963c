-- The audit trail: what each change to each audited table leaves in it.
BEGIN;
SELECT no_plan();
\ir common.psql

SELECT t.onboard('acme');
INSERT INTO insurance_products (company_id, product_code, product_name, policy_type, premium_amount)
VALUES (t.company('acme'), 'A1', 'A1', 'health', 10);
INSERT INTO policies (id, user_id, policy_number) VALUES (t.id('policy'), t.id('alice'), 'A1');
INSERT INTO claims (id, user_id) VALUES (t.id('claim'), t.id('alice'));
INSERT INTO documents (id, user_id, title) VALUES (t.id('document'), t.id('alice'), 'A1');

-- Every caller comes from an address, with an agent and a secret.
UPDATE t.callers SET headers = (coalesce(headers, '{}')::jsonb || jsonb_build_object(
    'x-forwarded-for', '198.51.100.1, 203.0.113.9', 'user-agent', who || '/1.0',
    'authorization', 'Bearer sEcReT', 'cookie', 'sEcReT'))::text;
SET LOCAL request.path = '/functions/v1/test';

-- Do the statement as the caller, and return what it added to the trail.
CREATE FUNCTION t.trail(caller text, statement text) RETURNS SETOF audit_logs LANGUAGE plpgsql AS $$
DECLARE
    seen uuid[];
BEGIN
    SELECT array_agg(id) INTO seen FROM public.audit_logs;
    PERFORM t.become(caller);
    EXECUTE statement;
    PERFORM t.become('owner');
    RETURN QUERY SELECT * FROM public.audit_logs WHERE id <> ALL (seen);
END
$$;

-- Each audited table, each verb, twice: by its usual caller and by the owner.
CREATE TEMP TABLE change (n serial, who text, statement text, name text, record uuid, old_has text, new_has text);
INSERT INTO change (who, statement, name, record, old_has, new_has) VALUES
    ('alice', format('INSERT INTO policies (id, user_id, status) VALUES (%L, %L, ''s1'')', t.id('p'), t.id('alice')), 'policies', t.id('p'), NULL, 's1'),
    ('alice', format('UPDATE policies SET status = ''s2'' WHERE id = %L', t.id('p')), 'policies', t.id('p'), 's1', 's2'),
    ('alice', format('DELETE FROM policies WHERE id = %L', t.id('p')), 'policies', t.id('p'), 's2', NULL),
    ('alice', format('INSERT INTO claims (id, user_id, claim_reason) VALUES (%L, %L, ''s1'')', t.id('c'), t.id('alice')), 'claims', t.id('c'), NULL, 's1'),
    ('alice', format('UPDATE claims SET claim_reason = ''s2'' WHERE id = %L', t.id('c')), 'claims', t.id('c'), 's1', 's2'),
    ('admin', format('DELETE FROM claims WHERE id = %L', t.id('c')), 'claims', t.id('c'), 's2', NULL),
    ('alice', format('INSERT INTO documents (id, user_id, title) VALUES (%L, %L, ''s1'')', t.id('d'), t.id('alice')), 'documents', t.id('d'), NULL, 's1'),
    ('alice', format('UPDATE documents SET title = ''s2'' WHERE id = %L', t.id('d')), 'documents', t.id('d'), 's1', 's2'),
    ('alice', format('DELETE FROM documents WHERE id = %L', t.id('d')), 'documents', t.id('d'), 's2', NULL),
    ('acme', format('INSERT INTO insurance_products (id, company_id, product_name, policy_type, premium_amount) VALUES (%L, %L, ''s1'', ''health'', 1)', t.id('pr'), t.company('acme')), 'insurance_products', t.id('pr'), NULL, 's1'),
    ('acme', format('UPDATE insurance_products SET product_name = ''s2'' WHERE id = %L', t.id('pr')), 'insurance_products', t.id('pr'), 's1', 's2'),
    ('acme', format('DELETE FROM insurance_products WHERE id = %L', t.id('pr')), 'insurance_products', t.id('pr'), 's2', NULL),
    ('admin', format('INSERT INTO insurance_companies (id, name) VALUES (%L, ''s1'')', t.id('co')), 'insurance_companies', t.id('co'), NULL, 's1'),
    ('admin', format('UPDATE insurance_companies SET name = ''s2'' WHERE id = %L', t.id('co')), 'insurance_companies', t.id('co'), 's1', 's2'),
    ('admin', format('DELETE FROM insurance_companies WHERE id = %L', t.id('co')), 'insurance_companies', t.id('co'), 's2', NULL),
    ('root', format('INSERT INTO admin_users (id, permissions) VALUES (%L, ''["s1"]'')', t.id('alice')), 'admin_users', t.id('alice'), NULL, 's1'),
    ('root', format('UPDATE admin_users SET permissions = ''["s2"]'' WHERE id = %L', t.id('alice')), 'admin_users', t.id('alice'), 's1', 's2'),
    ('root', format('DELETE FROM admin_users WHERE id = %L', t.id('alice')), 'admin_users', t.id('alice'), 's2', NULL),
    ('admin', format('INSERT INTO rate_limit_rules (id, endpoint, caller, company_id, max_requests) VALUES (%L, ''suggest'', ''ip'', %L, 1)', t.id('r'), t.company('acme')), 'rate_limit_rules', t.id('r'), NULL, 'suggest'),
    ('admin', format('UPDATE rate_limit_rules SET endpoint = ''product_search'' WHERE id = %L', t.id('r')), 'rate_limit_rules', t.id('r'), 'suggest', 'product_search'),
    ('admin', format('DELETE FROM rate_limit_rules WHERE id = %L', t.id('r')), 'rate_limit_rules', t.id('r'), 'product_search', NULL);
CREATE TEMP TABLE kept (n integer, LIKE audit_logs);

DO $$
DECLARE
    c change;
BEGIN
    FOR i IN 1 .. (SELECT max(n) FROM change) LOOP
        SELECT * INTO c FROM change WHERE n = i;
        INSERT INTO kept SELECT c.n, a.* FROM t.trail(c.who, c.statement) AS a;
        -- who may not choose ids gets another
        UPDATE change SET statement = replace(statement, c.record::text, k.record_id::text), record = k.record_id
          FROM kept k WHERE k.n = c.n AND change.record = c.record AND change.n >= c.n AND k.action = 'INSERT';
    END LOOP;
END
$$;

SELECT is((SELECT count(*)::int FROM kept k WHERE k.n = c.n), 1, 'one row in the trail: ' || c.statement) FROM change c ORDER BY n;
SELECT is(k.action || ' ' || k.table_name, split_part(c.statement, ' ', 1) || ' ' || c.name, 'action and table: ' || c.statement) FROM change c JOIN kept k USING (n);
SELECT is(k.record_id, c.record, 'record: ' || c.statement) FROM change c JOIN kept k USING (n);
SELECT is(k.user_id, CASE WHEN c.who <> 'acme' THEN t.id(c.who) END, 'user: ' || c.statement) FROM change c JOIN kept k USING (n);
SELECT is(k.company_id, CASE WHEN c.who = 'acme' THEN t.company('acme') END, 'company: ' || c.statement) FROM change c JOIN kept k USING (n);
SELECT is(concat_ws(' ', k.ip_address, k.user_agent, k.request_path), '203.0.113.9 ' || c.who || '/1.0 /functions/v1/test', 'from where: ' || c.statement)
  FROM change c JOIN kept k USING (n);
SELECT is(k.created_at, now(), 'when: ' || c.statement) FROM change c JOIN kept k USING (n);
SELECT is(k.old_values IS NULL, c.old_has IS NULL, 'old values or none: ' || c.statement) FROM change c JOIN kept k USING (n);
SELECT is(k.new_values IS NULL, c.new_has IS NULL, 'new values or none: ' || c.statement) FROM change c JOIN kept k USING (n);
SELECT ok(k.old_values::text LIKE '%"' || c.old_has || '"%' AND k.old_values::text NOT LIKE '%"' || coalesce(c.new_has, '-') || '"%',
          'the old value: ' || c.statement) FROM change c JOIN kept k USING (n) WHERE c.old_has IS NOT NULL;
SELECT ok(k.new_values::text LIKE '%"' || c.new_has || '"%' AND k.new_values::text NOT LIKE '%"' || coalesce(c.old_has, '-') || '"%',
          'the new value: ' || c.statement) FROM change c JOIN kept k USING (n) WHERE c.new_has IS NOT NULL;
SELECT set_eq(format('SELECT jsonb_object_keys(coalesce(new_values, old_values)) FROM kept WHERE n = %s', c.n),
              format('SELECT attname::text FROM pg_attribute WHERE attrelid = %L::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ''extracted_text''', c.name),
              'all columns: ' || c.statement) FROM change c;
SELECT is(count(*)::int, 0, 'no secret of the request is kept') FROM audit_logs l WHERE to_jsonb(l)::text ILIKE '%sEcReT%';

-- Who else may call.
SELECT results_eq($$SELECT user_id, company_id, user_agent FROM t.trail('service', 'UPDATE policies SET status = ''by service''')$$,
                  $$VALUES (NULL::uuid, NULL::uuid, 'service/1.0')$$, 'service_role has neither user nor company');
SELECT results_eq($$SELECT user_id, company_id, user_agent FROM t.trail('owner', 'UPDATE policies SET status = ''by owner''')$$,
                  $$VALUES (NULL::uuid, NULL::uuid, 'owner/1.0')$$, 'nor has the owner');
SELECT bag_eq($$SELECT action, table_name, user_id FROM t.trail('admin', 'SELECT company_onboard(''{"name": "new", "contact_email": "n@example.org"}'')')$$,
                  $$VALUES ('INSERT', 'insurance_companies', t.id('admin')), ('INSERT', 'api_keys', t.id('admin'))$$, 'an endpoint''s change is the caller''s');
SELECT results_eq($$SELECT action, table_name, company_id FROM t.trail('acme', format('SELECT product_update(jsonb_build_object(''product_id'', %L, ''premium_amount'', 11))', t.product('A1')))$$,
                  $$VALUES ('UPDATE', 'insurance_products', t.company('acme'))$$, 'also a company''s');
SELECT results_eq($$SELECT action, table_name, user_id FROM t.trail('alice', 'SELECT document_upload(''{"title": "x", "file_url": "https://x.example/x.txt"}'')')$$,
                  $$VALUES ('INSERT', 'documents', t.id('alice'))$$, 'and a user''s');

-- Several rows, cascades, TRUNCATE.
INSERT INTO policies (user_id) SELECT t.id('alice') FROM generate_series(1, 9);
SELECT is(count(*)::int, 10, 'each row of a statement is recorded') FROM t.trail('alice', 'UPDATE policies SET status = ''all''');
SELECT is(count(DISTINCT record_id)::int, 10, 'with its own id') FROM t.trail('alice', 'UPDATE policies SET status = ''all again''');
SELECT results_eq($$SELECT action, table_name, user_id FROM t.trail('admin', format('DELETE FROM insurance_companies WHERE id = %L', t.company('acme'))) ORDER BY 2$$,
                  $$VALUES ('DELETE', 'api_keys', t.id('admin')), ('DELETE', 'insurance_companies', t.id('admin')), ('DELETE', 'insurance_products', t.id('admin'))$$, 'rows that go by a cascade are recorded');
SELECT results_eq($$SELECT action, table_name, record_id, old_values, new_values FROM t.trail('owner', 'TRUNCATE users CASCADE') ORDER BY 2$$,
                  $$SELECT 'TRUNCATE', name, NULL::uuid, NULL::jsonb, NULL::jsonb FROM unnest(ARRAY['admin_users', 'claims', 'documents', 'policies']) AS name$$,
                  'TRUNCATE is recorded, for each table it empties');
SELECT results_eq($$SELECT action, table_name FROM t.trail('owner', 'TRUNCATE insurance_companies CASCADE') ORDER BY 2$$,
                  $$VALUES ('TRUNCATE', 'api_keys'), ('TRUNCATE', 'insurance_companies'), ('TRUNCATE', 'insurance_products'), ('TRUNCATE', 'rate_limit_rules')$$,
                  'also of companies, their keys, products and rules');

-- What leaves nothing.
INSERT INTO users (id, email) VALUES (t.id('alice'), 'alice@example.org');
INSERT INTO policies (id, user_id, status, ai_summary) VALUES (t.id('policy'), t.id('alice'), 'x', repeat('long ', 5000));
INSERT INTO documents (id, user_id, title) VALUES (t.id('document'), t.id('alice'), 'x');
SELECT is_empty($$SELECT * FROM t.trail('alice', 'UPDATE policies SET status = status, ai_summary = ai_summary')$$, 'an UPDATE that changes nothing is not recorded');
SELECT is_empty($$SELECT * FROM t.trail('alice', 'UPDATE policies SET status = ''x''')$$, 'nor one to the same value');
SELECT is_empty($$SELECT * FROM t.trail('owner', format('UPDATE policies SET ai_summary = %L', repeat('long ', 5000)))$$, 'nor to the same long value');
SELECT is_empty($$SELECT * FROM t.trail('alice', 'UPDATE policies SET status = ''y'' WHERE false')$$, 'nor one of no row');
SELECT isnt_empty($$SELECT * FROM t.trail('alice', 'UPDATE policies SET status = NULL')$$, 'one to NULL is');
SELECT is_empty($$SELECT * FROM t.trail('owner', 'DO ''BEGIN UPDATE public.policies SET status = ''''z''''; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END''')$$,
                'a change that is rolled back leaves no trace');
SAVEPOINT undone;
UPDATE policies SET status = 'undone';
SELECT isnt_empty('SELECT FROM audit_logs WHERE new_values ->> ''status'' = ''undone''', 'a change is in the trail at once');
ROLLBACK TO undone;
SELECT is_empty('SELECT FROM audit_logs WHERE new_values ->> ''status'' = ''undone''', 'and gone with its savepoint');
SELECT is(t.outcome('alice', 'UPDATE policies SET ai_summary = ''x'''), '42501', 'a change that is refused');
SELECT is_empty('SELECT FROM audit_logs WHERE new_values ->> ''ai_summary'' = ''x''', 'leaves no trace either');

-- The text of a document stays out.
SELECT results_eq($$SELECT old_values ? 'extracted_text', new_values ? 'extracted_text', new_values ->> 'page_count'
                      FROM t.trail('service', 'UPDATE documents SET extracted_text = ''the text'', page_count = 3')$$,
                  $$VALUES (false, false, '3')$$, 'a document''s text is left out, its other columns are not');
SELECT is(count(*)::int, 1, 'a change to the text alone is recorded') FROM t.trail('service', 'UPDATE documents SET extracted_text = ''another text''');
SELECT is_empty($$SELECT FROM t.trail('owner', 'DELETE FROM documents') AS l WHERE to_jsonb(l)::text LIKE '%another text%'$$, 'nor does its end show it');

-- What callers send, however broken, makes no change fail.
INSERT INTO t.callers (who, role, claims, headers) VALUES
    ('a long agent', 'authenticated', t.claims('alice'), jsonb_build_object('user-agent', repeat('ä', 5000))::text),
    ('no headers', 'authenticated', t.claims('alice'), NULL),
    ('broken headers', 'authenticated', t.claims('alice'), '{"user-agent": "x'),
    ('headers that are lists', 'authenticated', t.claims('alice'), '{"user-agent": ["x"], "x-forwarded-for": {"a": 1}}'),
    ('a name for an address', 'authenticated', t.claims('alice'), '{"x-forwarded-for": "203.0.113.9, <script>"}'),
    ('one address', 'authenticated', t.claims('alice'), '{"x-forwarded-for": "2001:db8::1"}'),
    ('quotes', 'authenticated', t.claims('alice'), '{"user-agent": "''; DROP TABLE policies; --\u00e9\"\\"}');
CREATE FUNCTION pg_temp.agent(caller text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s|%s|%s', user_id = t.id('alice'), ip_address, left(user_agent, 40))
      FROM t.trail(caller, format('UPDATE policies SET status = %L', caller)) $$;
SELECT is(pg_temp.agent(who), expected, 'the trail of ' || who)
  FROM (VALUES ('a long agent', 't||' || repeat('ä', 40)), ('no headers', 't||'), ('broken headers', 't||'), ('headers that are lists', 't||'),
               ('a name for an address', 't||'), ('one address', 't|2001:db8::1|'), ('quotes', 't||''; DROP TABLE policies; --é"\')) AS v (who, expected);
SELECT cmp_ok((SELECT max(octet_length(user_agent)) FROM audit_logs), '<=', 1000, 'what is kept of an agent is bounded');

-- A caller's search_path, tables, functions and operators do not reach it.
GRANT CREATE ON DATABASE :"DBNAME" TO authenticated;
SELECT t.become('alice');
CREATE SCHEMA trap;
CREATE TABLE trap.audit_logs (LIKE public.audit_logs);
CREATE TABLE trap.sprung (what text);
GRANT ALL ON ALL TABLES IN SCHEMA trap TO PUBLIC;
GRANT USAGE ON SCHEMA trap TO PUBLIC;
CREATE FUNCTION trap.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS $$INSERT INTO trap.sprung VALUES ('to_jsonb'); SELECT '{}'::jsonb$$;
CREATE FUNCTION trap.minus(jsonb, text[]) RETURNS jsonb LANGUAGE sql AS $$INSERT INTO trap.sprung VALUES ('-'); SELECT '{}'::jsonb$$;
CREATE OPERATOR trap.- (LEFTARG = jsonb, RIGHTARG = text[], FUNCTION = trap.minus);
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE sql AS $$INSERT INTO trap.sprung VALUES ('now'); SELECT 'epoch'::timestamptz$$;
CREATE TEMP TABLE audit_logs (LIKE public.audit_logs);
GRANT ALL ON pg_temp.audit_logs TO PUBLIC;
SELECT t.become('owner');
SELECT results_eq($$SELECT action, table_name, user_id, new_values ->> 'status', created_at
                      FROM t.trail('alice', 'SET LOCAL search_path = trap, pg_temp, public, pg_catalog;
                                             UPDATE public.policies SET status = ''trapped'';
                                             SET LOCAL search_path = public, pgtap')$$,
                  $$VALUES ('UPDATE', 'policies', t.id('alice'), 'trapped', pg_catalog.now())$$, 'the trail is kept whatever the search_path');
SELECT is_empty('SELECT * FROM trap.sprung', 'none of the caller''s functions was called');
SELECT is_empty('SELECT * FROM trap.audit_logs UNION ALL SELECT * FROM pg_temp.audit_logs', 'and nothing went into the caller''s tables');

SELECT * FROM finish();
ROLLBACK;
