-- Row security must not cost a user the index, nor an admin the table, and
-- must mean the same in parallel workers.
BEGIN;
SELECT no_plan();
\ir common.psql

-- 100,000 policies of 1,000 users and 4,000 products, loaded without triggers.
SET LOCAL session_replication_role = replica;
INSERT INTO users (id, email) SELECT t.id('user ' || n), n || '@plans.example' FROM generate_series(1, 998) AS n;
INSERT INTO policies (user_id, policy_number, status)
SELECT u.id, u.n || '/' || m, 'active'
  FROM (SELECT id, row_number() OVER () AS n FROM users WHERE email <> 'admin@example.org' AND email <> 'root@example.org') AS u,
       generate_series(1, 100) AS m;
SET LOCAL session_replication_role = origin;
SELECT t.onboard('acme');
SET LOCAL session_replication_role = replica;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, search_keywords, benefits)
SELECT t.company('acme'), n::text, (ARRAY['health', 'auto', 'life', 'home', 'other'])[n % 5 + 1]::policy_type_enum, n % 1000 + 1,
       CASE n % 500 WHEN 0 THEN ARRAY['dental', 'x'] ELSE ARRAY['x', 'y' || n % 50] END, jsonb_build_object('b' || n % 500, true)
  FROM generate_series(1, 4000) AS n;
SET LOCAL session_replication_role = origin;
SELECT gin_clean_pending_list(indexrelid) FROM pg_index JOIN pg_class i ON i.oid = indexrelid JOIN pg_am a ON a.oid = i.relam
 WHERE indrelid = 'insurance_products'::regclass AND amname = 'gin' \g /dev/null
ANALYZE users, policies, insurance_products, insurance_companies;

-- A statement's plan, as the caller gets it.
CREATE FUNCTION t.plan(caller text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    plan text := '';
BEGIN
    PERFORM t.become(caller);
    FOR line IN EXECUTE 'EXPLAIN ' || statement LOOP
        plan := plan || line || E'\n';
    END LOOP;
    PERFORM t.become('owner');
    RETURN plan;
END
$$;

SELECT is((SELECT count(*)::int FROM policies), 100000, 'there are 100,000 policies');

-- A plain user: the index, his rows, and an estimate to plan joins with.
SELECT matches(t.plan('alice', 'SELECT * FROM policies'), 'Index Scan.* (using|on) policies_user_id_idx', 'a user''s policies are found by the index on user_id');
SELECT matches(t.plan('alice', 'SELECT * FROM policies'), 'Index Cond: \(\(user_id >= .*scope_low\(\)\) AND \(user_id <= .*scope_high\(\)\)\)', 'by an index condition, not a filter');
SELECT doesnt_match(t.plan('alice', 'SELECT * FROM policies'), 'Seq Scan', 'no table is scanned');
SELECT cmp_ok(substring(t.plan('alice', 'SELECT * FROM policies') FROM 'rows=(\d+)')::int, '<=', 5000, 'the estimate is far from the whole table');
SELECT is(t.outcome('alice', 'SELECT * FROM policies'), '100 rows', 'and they are seen');
SELECT is(t.answer('alice', 'SELECT count(*) FILTER (WHERE user_id = padlock.uid()) FROM policies'), '100', 'all of them the user''s');
SELECT matches(t.plan('alice', 'UPDATE policies SET status = ''x'''), 'policies_user_id_idx', 'the index serves an UPDATE');
SELECT matches(t.plan('alice', 'DELETE FROM policies'), 'policies_user_id_idx', 'and a DELETE');
SELECT matches(t.plan('nobody', 'SELECT * FROM policies'), 'policies_user_id_idx', 'nobody reads no table');
SELECT is(t.outcome('nobody', 'SELECT * FROM policies'), '0 rows', 'and sees nothing');
SELECT matches(t.plan('alice', format('SELECT * FROM policies WHERE id = %L', t.id('x'))), 'Index Scan', 'a policy by its id is one probe');

-- An admin and service_role: everything, the table read as without row security.
SELECT is(t.answer(who, 'SELECT count(*) FROM policies'), '100000', who || ' sees all policies') FROM unnest(ARRAY['admin', 'root', 'service']) AS who;
SELECT doesnt_match(t.plan(who, 'SELECT * FROM policies'), 'Index Scan', who || ' does not go through an index for them')
  FROM unnest(ARRAY['admin', 'root', 'service']) AS who;
SELECT cmp_ok(substring(t.plan('admin', 'SELECT * FROM policies') FROM 'rows=(\d+)')::int, '>=', 90000, 'and the estimate is near 100,000');

-- No policy has a sub-select, and each function in one is parallel safe.
SELECT is_empty($$SELECT tablename, policyname FROM pg_policies WHERE schemaname IN ('public', 'padlock') AND coalesce(qual, '') || coalesce(with_check, '') ILIKE '%select%'$$,
                'no policy has a sub-select');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_depend d JOIN pg_proc p ON p.oid = d.refobjid
                   WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass AND (p.proparallel <> 's' OR p.provolatile = 'v')$$,
                'each function in a policy is parallel safe and not volatile');

-- The same caller in every process of a parallel query.
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL min_parallel_index_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_leader_participation = off;
SELECT matches(t.plan('admin', 'SELECT count(*) FROM policies'), 'Workers Planned: 2', 'an admin''s count is parallel');
SELECT is(t.answer('admin', 'SELECT count(*) FROM policies'), '100000', 'and complete');
SET LOCAL enable_indexscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_indexonlyscan = off;
SELECT matches(t.plan('alice', 'SELECT count(*) FROM policies'), 'Workers Planned: 2', 'so is a user''s, if it has to be');
SELECT is(t.answer('alice', 'SELECT count(*) FROM policies'), '100', 'and she sees hers only');
SELECT is(t.answer('nobody', 'SELECT count(*) FROM policies'), '0', 'nobody sees nothing in a worker either');
SELECT is(t.answer('anon', 'SELECT count(*) FROM insurance_products'), '4000', 'the public''s products are seen in workers');
CREATE FUNCTION t.launched(caller text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    launched text;
BEGIN
    PERFORM t.become(caller);
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, TIMING off) ' || statement LOOP
        launched := coalesce(launched, substring(line FROM 'Workers Launched: (\d+)'));
    END LOOP;
    PERFORM t.become('owner');
    RETURN launched;
END
$$;
SELECT cmp_ok(t.launched('alice', 'SELECT count(*) FROM policies')::int, '>', 0, 'workers really ran');

-- What each function answers in a worker; debug mode runs whole queries there.
RESET enable_indexscan;
RESET enable_bitmapscan;
RESET enable_indexonlyscan;
SET LOCAL force_parallel_mode = on;
SELECT is(t.answer(who, 'SELECT concat_ws('','', padlock.uid(), padlock.company_id(), padlock.is_admin(), padlock.is_super_admin(), padlock.is_service_role(),'
                        ' padlock.is_privileged(), padlock.scope_low(), padlock.scope_high(), padlock.company_scope_low(), padlock.company_scope_high())'
                        ' FROM users LIMIT 1'), expected, format('%s in a worker', who))
  FROM (VALUES ('alice', format('%1$s,f,f,f,f,%1$s,%1$s', t.id('alice'))),
               ('admin', format('%s,t,f,f,t,%s', t.id('admin'), '00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff,00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff')),
               ('root', format('%s,t,t,f,t,%s', t.id('root'), '00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff,00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff')),
               ('service', 'f,f,t,t,00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff,00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff')) AS v (who, expected);
SELECT is(t.answer('acme', 'SELECT concat_ws('','', padlock.company_id(), padlock.company_scope_low()) FROM insurance_products LIMIT 1'),
          t.company('acme') || ',' || t.company('acme'), 'acme in a worker, by its key');
SELECT matches(t.plan('alice', 'SELECT padlock.uid() FROM users'), 'Gather', 'these plans have a worker');
SELECT is(t.answer(who, 'SELECT count(*) FROM ' || name), answer, format('%s counts %s in a worker', who, name))
  FROM (VALUES ('alice', 'policies', '100'), ('nobody', 'policies', '0'), ('admin', 'policies', '100000'), ('alice', 'users', '1'),
               ('acme', 'insurance_companies', '1'), ('anon', 'insurance_companies', '0'), ('admin', 'admin_users', '2'), ('alice', 'admin_users', '0')) AS v (who, name, answer);
SET LOCAL force_parallel_mode = off;
RESET parallel_leader_participation;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET min_parallel_index_scan_size;

-- The seed's product query, as the owner, as written and with @>.
SELECT lives_ok($$SELECT * FROM insurance_products WHERE policy_type = 'health' AND premium_amount BETWEEN 100 AND 500 AND is_active = true AND 'dental' = ANY(search_keywords)$$,
                'the seed''s statement runs as it is written');
SELECT matches(t.plan('owner', $$SELECT * FROM insurance_products WHERE policy_type = 'health' AND premium_amount BETWEEN 100 AND 500 AND is_active = true AND search_keywords @> ARRAY['dental']$$),
               'insurance_products_keywords_idx', 'with @> it uses the GIN index');
SELECT set_eq($$SELECT id FROM insurance_products WHERE policy_type = 'health' AND premium_amount BETWEEN 100 AND 500 AND is_active = true AND 'dental' = ANY(search_keywords)$$,
              $$SELECT id FROM insurance_products WHERE policy_type = 'health' AND premium_amount BETWEEN 100 AND 500 AND is_active = true AND search_keywords @> ARRAY['dental']$$,
              'and finds the same');
SELECT matches(t.plan('owner', $$SELECT * FROM insurance_products WHERE policy_type = 'health' AND premium_amount BETWEEN 100 AND 101 AND is_active$$),
               'insurance_products_offer_idx', 'type and premium of active products have their index');
SELECT matches(t.plan('owner', $$SELECT * FROM insurance_products WHERE benefits @> '{"b7": true}'$$), 'insurance_products_benefits_idx', 'benefits have theirs');

SELECT * FROM finish();
ROLLBACK;
