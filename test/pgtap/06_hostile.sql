-- What a low role may try with SQL of its own, other than setting the
-- gateway's settings: schemas and temporary objects that shadow ours,
-- functions and views that run with other rights, and plain disobedience.
BEGIN;
SELECT no_plan();
\ir common.psql

SELECT t.onboard(name) FROM unnest(ARRAY['acme', 'borg']) AS name;
INSERT INTO insurance_products (company_id, product_code, product_name, policy_type, premium_amount, is_active) VALUES
    (t.company('acme'), 'A1', 'A1', 'health', 10, true), (t.company('borg'), 'B1', 'B1', 'health', 20, true),
    (t.company('borg'), 'B2', 'B2', 'health', 30, false);
INSERT INTO policies (user_id, policy_number) VALUES (t.id('alice'), 'A1'), (t.id('bob'), 'B1');
INSERT INTO documents (user_id, title) VALUES (t.id('bob'), 'B1');
GRANT CREATE ON DATABASE :"DBNAME" TO anon, authenticated;

-- The caller's own connection: no switching back to the login role.
CREATE FUNCTION t.as_login(caller text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM t.become(caller);
    PERFORM set_config('session_authorization', current_user, true);
    EXECUTE statement;
    RAISE EXCEPTION USING ERRCODE = 'TRIED', MESSAGE = 'done';
EXCEPTION
    WHEN SQLSTATE 'TRIED' THEN RETURN SQLERRM;
    WHEN OTHERS THEN RETURN SQLSTATE;
END
$$;

SELECT is(t.as_login(who, statement), '42501', who || ' may not ' || statement)
  FROM unnest(ARRAY['anon', 'alice', 'acme', 'admin']) AS who,
       unnest(ARRAY['SET ROLE service_role', 'SET LOCAL ROLE service_role', 'SET ROLE postgres',
                    'SELECT set_config(''role'', ''service_role'', true)', 'SET session_replication_role = replica',
                    'GRANT service_role TO anon', 'ALTER ROLE anon SUPERUSER',
                    'ALTER DATABASE ' || current_database() || ' SET padlock.trusted_proxies = 9',
                    'CREATE FUNCTION padlock.uid() RETURNS uuid LANGUAGE sql AS ''SELECT NULL::uuid''',
                    'CREATE OR REPLACE FUNCTION padlock.scope_low() RETURNS uuid LANGUAGE sql STABLE AS ''SELECT NULL::uuid''',
                    'CREATE TABLE padlock.x ()', 'CREATE TABLE public.x ()', 'CREATE FUNCTION public.x() RETURNS int LANGUAGE sql AS ''SELECT 1''',
                    'ALTER TABLE public.policies DISABLE ROW LEVEL SECURITY', 'ALTER TABLE public.policies DISABLE TRIGGER ALL',
                    'ALTER TABLE public.policies NO FORCE ROW LEVEL SECURITY', 'ALTER TABLE public.audit_logs OWNER TO anon',
                    'CREATE POLICY x ON public.policies USING (true)', 'DROP POLICY policies_own ON public.policies',
                    'DROP TABLE public.policies', 'CREATE RULE x AS ON SELECT TO public.policies DO INSTEAD NOTHING',
                    'CREATE TRIGGER x BEFORE INSERT ON public.insurance_products EXECUTE FUNCTION padlock.guard_columns()',
                    'CREATE INDEX ON public.policies (status)', 'COMMENT ON TABLE public.policies IS ''x''',
                    'CREATE SCHEMA x CREATE TABLE x (id uuid REFERENCES public.users)', 'ALTER EXTENSION padlock UPDATE', 'DROP EXTENSION padlock CASCADE',
                    'CREATE STATISTICS x ON status, policy_number FROM public.policies']) AS statement;

-- Triggers of ours on tables of theirs would write the trail or the queue.
SELECT is(t.as_login(who, format('CREATE TEMP TABLE x (id uuid, file_url text);
                                  CREATE TRIGGER x AFTER INSERT ON x FOR EACH ROW EXECUTE FUNCTION padlock.%s()', name)),
          '42501', format('%s may not make a trigger of %s', who, name))
  FROM unnest(ARRAY['anon', 'alice', 'service']) AS who,
       unnest(ARRAY['audit_row', 'audit_refuse', 'queue_document', 'job_queue_change', 'job_types_changed', 'guard_columns', 'touch_updated_at', 'drop_provenance']) AS name;

-- Settings that begin with padlock are ours.
SELECT is(t.as_login(who, format('SET %s = %L', name, 'x')), '42602', format('%s cannot plant the setting %s', who, name))
  FROM unnest(ARRAY['anon', 'alice', 'service']) AS who, unnest(ARRAY['padlock.uid', 'padlock.company_id', 'padlock.caller', 'padlock.is_admin']) AS name;
SELECT isnt(t.as_login(who, 'SET padlock.trusted_proxies = 0'), 'done', who || ' cannot choose how many proxies are trusted')
  FROM unnest(ARRAY['anon', 'alice', 'service', 'owner']) AS who;

-- Row security is not switched off by a setting.
SELECT is(t.outcome('alice', 'SET LOCAL row_security = off; SELECT FROM public.' || name), '42501', 'row_security = off gives no row of ' || name)
  FROM unnest(ARRAY['policies', 'claims', 'documents', 'users', 'insurance_companies', 'insurance_products', 'audit_logs']) AS name;

-- A body says nothing about who calls.
SELECT matches(t.answer('acme', 'SELECT product_create(''{"product_name": "x", "policy_type": "life", "premium_amount": 1, "company_id": "' || t.company('borg') || '"}'')'),
               'company_id', 'product_create refuses a company_id');
SELECT matches(t.answer('acme', 'SELECT product_update(''{"product_id": "' || t.product('A1') || '", "company_id": "' || t.company('borg') || '"}'')'),
               'company_id', 'so does product_update');
SELECT matches(t.answer('alice', 'SELECT document_upload(''{"title": "x", "file_url": "https://x.example/", "user_id": "' || t.id('bob') || '"}'')'),
               'user_id', 'and document_upload a user_id');
SELECT is(t.answer('acme', 'SELECT product_create(jsonb_build_object(''product_name'', $q$x'', true); DROP TABLE policies; --$q$, ''policy_type'', ''life'', ''premium_amount'', 1)) #>> ''{product,product_name}'''),
          'x'', true); DROP TABLE policies; --', 'a value is never SQL');

-- Functions and views run with their owner's rights on tables, but the caller
-- stays who called.
SET LOCAL ROLE authenticated;
CREATE SCHEMA den;
GRANT USAGE ON SCHEMA den TO PUBLIC;
CREATE FUNCTION den.count_policies() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.policies';
CREATE FUNCTION den.whoami() RETURNS text LANGUAGE sql SECURITY DEFINER
    AS 'SELECT concat_ws('','', padlock.uid(), padlock.is_service_role(), padlock.is_admin(), padlock.is_privileged())';
CREATE VIEW den.policies AS SELECT * FROM public.policies;
CREATE VIEW den.admins AS SELECT * FROM public.admin_users;
CREATE VIEW den.documents WITH (security_barrier) AS SELECT * FROM public.documents;
GRANT SELECT ON ALL TABLES IN SCHEMA den TO PUBLIC;
RESET ROLE;
CREATE FUNCTION den.service_whoami() RETURNS text LANGUAGE sql SECURITY DEFINER
    AS 'SELECT concat_ws('','', padlock.uid(), padlock.is_service_role(), padlock.is_admin(), padlock.is_privileged())';
ALTER FUNCTION den.service_whoami OWNER TO service_role;
CREATE FUNCTION den.service_count() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.policies';
ALTER FUNCTION den.service_count OWNER TO service_role;
CREATE VIEW den.service_policies AS SELECT * FROM public.policies;
ALTER VIEW den.service_policies OWNER TO service_role;
GRANT SELECT ON den.service_policies TO PUBLIC;

SELECT is(t.answer(who, statement), expected, who || ': ' || statement)
  FROM (VALUES ('anon', 'SELECT den.count_policies()', '0'), ('nobody', 'SELECT den.count_policies()', '0'), ('alice', 'SELECT den.count_policies()', '1'),
               ('anon', 'SELECT count(*) FROM den.policies', '0'), ('bob', 'SELECT string_agg(policy_number, '','') FROM den.policies', 'B1'),
               ('anon', 'SELECT count(*) FROM den.admins', '0'), ('alice', 'SELECT count(*) FROM den.admins', '0'),
               ('anon', 'SELECT count(*) FROM den.documents', '0'), ('alice', 'SELECT count(*) FROM den.documents', '0'),
               ('anon', 'SELECT den.whoami()', 'f,f,f'), ('anon', 'SELECT den.service_whoami()', 'f,f,f'),
               ('alice', 'SELECT den.service_whoami()', t.id('alice') || ',f,f,f'), ('alice', 'SELECT den.service_count()', '1'),
               ('anon', 'SELECT den.service_count()', '0'), ('alice', 'SELECT count(*) FROM den.service_policies', '1'),
               ('service', 'SELECT den.whoami()', 't,f,t'), ('service', 'SELECT count(*) FROM den.policies', '2')) AS v (who, statement, expected);

-- A cheap function of theirs in WHERE sees no row that they may not see.
SET LOCAL ROLE authenticated;
CREATE TABLE den.seen (what text);
GRANT ALL ON den.seen TO PUBLIC;
CREATE FUNCTION den.peek(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0001
    AS $$BEGIN INSERT INTO den.seen VALUES ($1::text); RETURN true; END$$;
CREATE OPERATOR den.### (RIGHTARG = anyelement, FUNCTION = den.peek);
SELECT t.become('alice');
SELECT count(*) FROM policies WHERE den.peek(policy_number) \g /dev/null
SELECT count(*) FROM policies WHERE den.peek(policy_number) AND OPERATOR(den.###) user_id AND policy_number > '' \g /dev/null
SELECT count(*) FROM documents WHERE den.peek(title) \g /dev/null
UPDATE policies SET status = 'x' WHERE den.peek(policy_number);
DELETE FROM documents WHERE den.peek(title);
SELECT t.become('anon');
SELECT count(*) FROM insurance_products WHERE den.peek(product_code) \g /dev/null
SELECT count(*) FROM insurance_companies WHERE den.peek(name) \g /dev/null
SELECT t.become('owner');
SELECT set_eq('SELECT what FROM den.seen', ARRAY['A1', 'B1', t.id('alice')::text], 'a function in WHERE sees what row security shows: A1, and the public product B1');
SELECT is(count(*)::int, 1, 'B1 once, as a product') FROM den.seen WHERE what = 'B1';
ANALYZE policies;
SELECT is(t.answer('alice', 'SELECT count(*) FROM pg_stats WHERE tablename = ''policies'''), '0', 'statistics are not shown');
SELECT is(t.outcome('alice', 'CREATE FUNCTION den.leak(text) RETURNS boolean LEAKPROOF LANGUAGE sql AS ''SELECT true'''), '42501', 'nobody may call his function leakproof');

-- A saved plan belongs to nobody.
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE mine AS SELECT string_agg(policy_number, ',' ORDER BY policy_number) FROM policies;
SELECT is(t.answer(who, 'EXECUTE mine'), expected, 'a prepared query as ' || who)
  FROM (VALUES ('alice', 'A1'), ('bob', 'B1'), ('admin', 'A1,B1'), ('nobody', '(null)'), ('alice', 'A1'), ('service', 'A1,B1'), ('bob', 'B1'), ('anon', '42501: permission denied for table policies')) AS v (who, expected);
RESET plan_cache_mode;

-- A schema of their own, first in the search_path, in which all that we use
-- exists a second time; and the same in pg_temp.
SET LOCAL ROLE anon;
CREATE SCHEMA trap;
GRANT USAGE ON SCHEMA trap TO PUBLIC;
CREATE TABLE trap.sprung (what text);
CREATE TYPE trap.policy_type_enum AS ENUM ('health');
CREATE TYPE trap.document_type_enum AS ENUM ('policy');
CREATE DOMAIN trap.uuid AS pg_catalog.text;
CREATE DOMAIN trap.jsonb AS pg_catalog.text;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['users', 'admin_users', 'policies', 'claims', 'documents', 'insurance_companies', 'insurance_products',
                                'audit_logs', 'job_queue', 'api_keys'] LOOP
        EXECUTE format('CREATE TABLE trap.%I (id pg_catalog.uuid, company_id pg_catalog.uuid, user_id pg_catalog.uuid, is_active boolean DEFAULT true, role text DEFAULT ''super_admin'')', name);
        EXECUTE format('CREATE TEMP TABLE %I (LIKE trap.%1$I)', name);
    END LOOP;
END
$$;
CREATE FUNCTION trap.spring(what text) RETURNS boolean LANGUAGE sql AS 'INSERT INTO trap.sprung VALUES (what); SELECT true';
CREATE FUNCTION trap.equal(pg_catalog.uuid, pg_catalog.uuid) RETURNS boolean LANGUAGE sql AS $$SELECT trap.spring('=')$$;
CREATE FUNCTION trap.equal(text, text) RETURNS boolean LANGUAGE sql AS $$SELECT trap.spring('=')$$;
CREATE FUNCTION trap.less(integer, integer) RETURNS boolean LANGUAGE sql AS $$SELECT trap.spring('<=')$$;
CREATE FUNCTION trap.less(numeric, numeric) RETURNS boolean LANGUAGE sql AS $$SELECT trap.spring('<=')$$;
CREATE FUNCTION trap.less(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS $$SELECT trap.spring('<=')$$;
CREATE FUNCTION trap.minus(pg_catalog.jsonb, text[]) RETURNS pg_catalog.jsonb LANGUAGE sql AS $$SELECT trap.spring('-'); SELECT '{}'::pg_catalog.jsonb$$;
CREATE FUNCTION trap.to_jsonb(anyelement) RETURNS pg_catalog.jsonb LANGUAGE sql AS $$SELECT trap.spring('to_jsonb'); SELECT '{}'::pg_catalog.jsonb$$;
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT trap.spring('now'); SELECT 'epoch'::timestamptz$$;
CREATE FUNCTION trap.lower(text) RETURNS text LANGUAGE sql AS $$SELECT trap.spring('lower'); SELECT 'x'$$;
CREATE FUNCTION trap.coalesce(text) RETURNS text LANGUAGE sql AS $$SELECT trap.spring('coalesce'); SELECT 'x'$$;
CREATE FUNCTION trap.gen_random_uuid() RETURNS pg_catalog.uuid LANGUAGE sql AS $$SELECT trap.spring('gen_random_uuid'); SELECT pg_catalog.gen_random_uuid()$$;
CREATE FUNCTION trap.count(anyelement) RETURNS bigint LANGUAGE sql AS $$SELECT trap.spring('count'); SELECT 1::bigint$$;
CREATE OPERATOR trap.= (LEFTARG = pg_catalog.uuid, RIGHTARG = pg_catalog.uuid, FUNCTION = trap.equal);
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.equal);
CREATE OPERATOR trap.<= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = trap.less);
CREATE OPERATOR trap.>= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = trap.less);
CREATE OPERATOR trap.<= (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = trap.less);
CREATE OPERATOR trap.>= (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = trap.less);
CREATE OPERATOR trap.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = trap.less);
CREATE OPERATOR trap.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = trap.less);
CREATE OPERATOR trap.- (LEFTARG = pg_catalog.jsonb, RIGHTARG = text[], FUNCTION = trap.minus);
GRANT ALL ON ALL TABLES IN SCHEMA trap TO PUBLIC;
GRANT ALL ON pg_temp.users, pg_temp.admin_users, pg_temp.policies, pg_temp.claims, pg_temp.documents, pg_temp.insurance_companies,
    pg_temp.insurance_products, pg_temp.audit_logs, pg_temp.job_queue, pg_temp.api_keys TO PUBLIC;
INSERT INTO trap.admin_users (id) VALUES (t.id('alice'));
INSERT INTO pg_temp.admin_users (id) VALUES (t.id('alice'));
INSERT INTO trap.insurance_products (id, company_id) VALUES (t.product('B1'), t.company('acme'));
INSERT INTO pg_temp.insurance_products (id, company_id) VALUES (t.product('B1'), t.company('acme'));
RESET ROLE;

-- Answer under a hostile search_path; what is sprung stays, since the
-- exception is caught outside.
CREATE FUNCTION t.trapped(caller text, path text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM t.become(caller);
    BEGIN
        PERFORM pg_catalog.set_config('search_path', path, true);
        EXECUTE statement INTO answer;
    EXCEPTION WHEN OTHERS THEN
        answer := SQLSTATE;
    END;
    PERFORM pg_catalog.set_config('search_path', 'public, pgtap', true);
    PERFORM t.become('owner');
    RETURN answer;
END
$$;

CREATE TEMP TABLE call (n serial, who text, statement text, expected text);
INSERT INTO call (who, statement, expected) VALUES
    ('admin', 'SELECT public.company_onboard(''{"name": "trapped", "contact_email": "t@example.org"}'') ->> ''success''', 'true'),
    ('alice', 'SELECT public.company_onboard(''{"name": "trapped by alice", "contact_email": "t@example.org"}'') ->> ''success''', '42501'),
    ('acme', 'SELECT public.product_create(''{"product_name": "trapped", "product_code": "T1", "policy_type": "health", "premium_amount": 5, "minimum_age": 1}'') #>> ''{product,product_code}''', 'T1'),
    ('acme', 'SELECT public.product_create(''{"product_name": "trapped", "product_code": "T1", "policy_type": "health", "premium_amount": 5}'') ->> ''success''', '23505'),
    ('acme', format('SELECT public.product_update(pg_catalog.jsonb_build_object(''product_id'', %L, ''maximum_age'', 9, ''product_code'', ''A9'')) #>> ''{product,product_code}''', t.product('A1')), 'A9'),
    ('acme', format('SELECT public.product_update(pg_catalog.jsonb_build_object(''product_id'', %L, ''maximum_age'', 9)) ->> ''success''', t.product('B1')), '42501'),
    ('anon', 'SELECT public.product_search(search_term => ''trapped'', min_premium => ''1'', age => ''1'', policy_type => ''health'') #>> ''{pagination,total_items}''', '1'),
    ('anon', 'SELECT public.product_search(pg_catalog.jsonb_build_object(''search_term'', ''trapped'', ''max_premium'', 9)) #>> ''{products,0,product_code}''', 'T1'),
    ('alice', 'SELECT public.document_upload(''{"title": "trapped", "file_url": "https://x.example/x.pdf", "document_type": "policy"}'') ->> ''ai_analysis_triggered''', 'true'),
    ('alice', format('SELECT public.is_admin(%L)', t.id('alice')), 'false'),
    ('alice', 'SELECT padlock.is_admin()', 'false'),
    ('alice', 'SELECT pg_catalog.count(*) FROM public.policies', '1'),
    ('alice', format('INSERT INTO public.claims (user_id, claim_status) VALUES (%L, ''approved'') RETURNING claim_status', t.id('alice')), 'pending'),
    ('acme', 'SELECT pg_catalog.count(*) FROM public.insurance_products WHERE NOT is_active', '0'),
    ('service', 'SELECT public.enqueue_job(''trapped'', ''{}'') IS NOT NULL', 'true'),
    ('service', 'SELECT job_type FROM public.get_next_job(''trap'')', NULL),
    ('service', 'SELECT public.schedule_daily_ai_crawls()', '2'),
    ('service', 'SELECT public.cleanup_old_jobs()', '0');
CREATE TEMP TABLE answered (n integer, path text, answer text);
CREATE FUNCTION t.call_all(path text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT * FROM call ORDER BY n LOOP
        INSERT INTO answered VALUES (c.n, path, t.trapped(c.who, path, c.statement));
    END LOOP;
END
$$;
SAVEPOINT calls;
SELECT t.call_all('pg_catalog, public') \g /dev/null
SELECT is(answer, expected, format('%s, undisturbed: %s', who, statement)) FROM call JOIN answered USING (n) WHERE expected IS NOT NULL ORDER BY n;
ROLLBACK TO calls;
SELECT t.call_all('trap, pg_temp, pg_catalog') \g /dev/null
SELECT is(answer, expected, format('%s, in a trap: %s', who, statement)) FROM call JOIN answered USING (n) WHERE expected IS NOT NULL ORDER BY n;
SELECT is_empty('SELECT * FROM trap.sprung', 'no function or operator of theirs was called');
SELECT is_empty(format('SELECT * FROM %s.%I WHERE id <> ALL (%L)', place, name, ARRAY[t.id('alice'), t.product('B1')]),
                format('nothing was put into %s.%s', place, name))
  FROM unnest(ARRAY['trap', 'pg_temp']) AS place,
       unnest(ARRAY['users', 'admin_users', 'claims', 'documents', 'insurance_companies', 'insurance_products', 'audit_logs', 'job_queue', 'api_keys']) AS name;
SELECT is((SELECT count(*)::int FROM public.insurance_products WHERE product_code = 'T1' AND company_id = t.company('acme')), 1, 'the product is where it belongs');
SELECT is((SELECT count(*)::int FROM public.job_queue WHERE job_type = 'pdf_extraction'), 1, 'so is the document''s job');
SELECT is((SELECT count(*)::int FROM public.audit_logs WHERE new_values ->> 'product_code' IN ('T1', 'A9')), 2, 'and the trail');
ROLLBACK TO calls;

-- The trail cannot be changed, not even by its owner, whichever way; months
-- that are added later are no exception.
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, service_role;
SELECT cmp_ok(padlock.create_audit_partitions(12), '>=', 8, 'a year of months is added');
SELECT is_empty('SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = ''public.audit_logs''::regclass
                    AND (NOT relrowsecurity OR NOT relforcerowsecurity OR EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee <> relowner))',
                'each month has row security and is nobody''s');
CREATE TEMP TABLE part AS SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'public.audit_logs'::regclass;
INSERT INTO public.audit_logs (action, created_at) VALUES ('old', '1999-01-01');
SELECT is(t.outcome(who, statement), '42501', who || ': ' || statement)
  FROM unnest(ARRAY['owner', 'service', 'root']) AS who,
       unnest(ARRAY['UPDATE public.audit_logs SET action = ''x''', 'DELETE FROM public.audit_logs', 'TRUNCATE public.audit_logs',
                    'UPDATE public.audit_logs SET created_at = created_at + interval ''1 year''',
                    'DELETE FROM public.audit_logs_default', 'UPDATE public.audit_logs_default SET action = ''x''',
                    'MERGE INTO public.audit_logs a USING (VALUES (1)) v ON true WHEN MATCHED THEN DELETE',
                    'INSERT INTO public.audit_logs (id, action, created_at) SELECT id, ''x'', created_at FROM public.audit_logs
                         ON CONFLICT (created_at, id) DO UPDATE SET action = ''x''']) AS statement;
SELECT is(t.outcome(who, 'TRUNCATE public.' || name), '42501', format('%s: TRUNCATE %s', who, name))
  FROM unnest(ARRAY['owner', 'service', 'root']) AS who, part;

SELECT * FROM finish();
ROLLBACK;
