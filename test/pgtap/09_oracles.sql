-- A hidden row cannot be told from a missing one: every table that a caller can
-- name, each verb, once with the id of a row that he may not see and once with
-- an id that nothing has.  SQLSTATE, message, detail and rows are the same.
BEGIN;
SELECT no_plan();
\ir common.psql

SELECT t.onboard(name) FROM unnest(ARRAY['acme', 'borg']) AS name;
UPDATE insurance_companies SET is_active = false WHERE name = 'borg';
INSERT INTO insurance_products (id, company_id, product_code, product_name, policy_type, premium_amount) VALUES
    (t.id('a1'), t.company('acme'), 'A1', 'A1', 'health', 10), (t.id('b1'), t.company('borg'), 'B1', 'B1', 'health', 20);
INSERT INTO policies (id, user_id, policy_number) VALUES (t.id('pa'), t.id('alice'), 'A1'), (t.id('pb'), t.id('bob'), 'B1');
INSERT INTO claims (id, user_id, policy_id) VALUES (t.id('ca'), t.id('alice'), t.id('pa')), (t.id('cb'), t.id('bob'), t.id('pb'));
INSERT INTO documents (id, user_id, title) VALUES (t.id('da'), t.id('alice'), 'A1'), (t.id('db'), t.id('bob'), 'B1');
INSERT INTO padlock.sessions (id, user_id, expires_at) VALUES (t.id('sb'), t.id('bob'), 'infinity');
INSERT INTO job_queue (id, job_type) VALUES (t.id('jb'), 'x');

-- What a statement tells its caller: rows or the whole error, without the ids
-- that are asked for (a foreign key's message repeats the caller's own words).
CREATE FUNCTION t.told(caller text, statement text, id uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    affected bigint;
    detail text;
    hint text;
    name text;
BEGIN
    PERFORM t.become(caller);
    EXECUTE replace(statement, '$id', id::text);
    GET DIAGNOSTICS affected = ROW_COUNT;
    RAISE EXCEPTION USING ERRCODE = 'TRIED', MESSAGE = affected || ' rows';
EXCEPTION
    WHEN SQLSTATE 'TRIED' THEN RETURN SQLERRM;
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, name = CONSTRAINT_NAME;
        RETURN replace(concat_ws('|', SQLSTATE, SQLERRM, detail, hint, name), id::text, '(id)');
END
$$;

CREATE TEMP TABLE hidden (who text, name text, id uuid, new_row text, owner text);
INSERT INTO hidden VALUES
    ('alice', 'policies', t.id('pb'), format('(id, user_id) VALUES (''$id'', %L)', t.id('alice')), 'user_id'),
    ('alice', 'claims', t.id('cb'), format('(id, user_id) VALUES (''$id'', %L)', t.id('alice')), 'user_id'),
    ('alice', 'documents', t.id('db'), format('(id, user_id) VALUES (''$id'', %L)', t.id('alice')), 'user_id'),
    ('alice', 'users', t.id('bob'), '(id, email) VALUES (''$id'', ''x@example.org'')', 'email'),
    ('alice', 'admin_users', t.id('admin'), '(id) VALUES (''$id'')', 'role'),
    ('alice', 'insurance_companies', t.company('borg'), '(id, name) VALUES (''$id'', ''x'')', 'name'),
    ('acme', 'insurance_companies', t.company('borg'), '(id, name) VALUES (''$id'', ''x'')', 'name'),
    ('acme', 'insurance_products', t.id('b1'), format('(id, company_id, product_name, policy_type, premium_amount) VALUES (''$id'', %L, ''x'', ''health'', 1)', t.company('acme')), 'company_id'),
    ('anon', 'insurance_products', t.id('b1'), format('(id, company_id, product_name, policy_type, premium_amount) VALUES (''$id'', %L, ''x'', ''health'', 1)', t.company('acme')), 'company_id'),
    ('alice', 'job_queue', t.id('jb'), '(id, job_type) VALUES (''$id'', ''x'')', 'job_type'),
    ('alice', 'audit_logs', (SELECT id FROM audit_logs LIMIT 1), '(id, action) VALUES (''$id'', ''x'')', 'action'),
    ('alice', 'rate_limit_rules', (SELECT id FROM rate_limit_rules LIMIT 1), '(id, endpoint, caller, max_requests) VALUES (''$id'', ''x'', ''ip'', 1)', 'endpoint');

SELECT is(t.told(who, statement, id), t.told(who, statement, t.id('nothing')), format('%s: %s', who, statement))
  FROM hidden, LATERAL (VALUES
    (format('SELECT FROM %I WHERE id = ''$id''', name)),
    (format('SELECT FROM %I WHERE id = ''$id'' FOR UPDATE', name)),
    (format('INSERT INTO %I %s', name, new_row)),
    (format('INSERT INTO %I %s ON CONFLICT DO NOTHING', name, new_row)),
    (format('INSERT INTO %I %s ON CONFLICT (id) DO NOTHING', name, new_row)),
    (format('INSERT INTO %I %s ON CONFLICT (id) DO UPDATE SET %I = excluded.%I', name, new_row, owner, owner)),
    (format('UPDATE %I SET %I = %I WHERE id = ''$id''', name, owner, owner)),
    (format('UPDATE %I SET id = ''$id''', name)),
    (format('UPDATE %I SET id = ''$id'' WHERE id = (SELECT id FROM %I LIMIT 1)', name, name)),
    (format('DELETE FROM %I WHERE id = ''$id''', name))) AS v (statement);

-- Other unique columns, foreign keys, and functions that take an id.
SELECT is(t.told(who, replace(statement, '$word', word), t.id('nothing')), t.told(who, replace(statement, '$word', 'nothing'), t.id('nothing')),
          format('%s: %s', who, replace(statement, '$word', word)))
  FROM (VALUES ('acme', 'UPDATE insurance_companies SET name = ''$word''', 'borg'), ('acme', 'UPDATE insurance_companies SET name = ''$word''', ' BORG'),
               ('alice', 'UPDATE users SET email = ''$word@example.org''', 'bob'), ('alice', 'INSERT INTO users (email) VALUES (''$word@example.org'')', 'bob'),
               ('acme', 'UPDATE insurance_products SET product_code = ''$word''', 'B1'),
               ('anon', 'SELECT product_search(search_term => ''$word'') #>> ''{pagination,total_items}''', 'B1')) AS v (who, statement, word);
SELECT is(t.told(who, statement, id), t.told(who, statement, t.id('nothing')), format('%s: %s', who, statement))
  FROM (VALUES ('alice', format('INSERT INTO claims (user_id, policy_id) VALUES (%L, ''$id'')', t.id('alice')), t.id('pb')),
               ('alice', 'UPDATE claims SET policy_id = ''$id''', t.id('pb')),
               ('alice', format('MERGE INTO policies p USING (VALUES (''$id''::uuid)) v (id) ON p.id = v.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, user_id) VALUES (v.id, %L)', t.id('alice')), t.id('pb')),
               ('alice', 'UPDATE policies SET user_id = ''$id''', t.id('bob')),
               ('acme', 'UPDATE insurance_products SET company_id = ''$id''', t.company('borg')),
               ('acme', 'SELECT product_update(''{"product_id": "$id", "product_name": "x"}'')', t.id('b1')),
               ('acme', 'SELECT list_api_keys(''{"company_id": "$id"}'')', t.company('borg')),
               ('acme', 'SELECT create_api_key(''{"label": "x", "company_id": "$id"}'')', t.company('borg')),
               ('acme', 'SELECT rotate_api_key(''{"key_id": "$id"}'')', (SELECT id FROM padlock.api_keys WHERE company_id = t.company('borg'))),
               ('acme', 'SELECT revoke_api_key(''{"key_id": "$id"}'')', (SELECT id FROM padlock.api_keys WHERE company_id = t.company('borg'))),
               ('alice', 'SELECT revoke_session(''{"session_id": "$id"}'')', t.id('sb')),
               ('alice', 'SELECT is_admin(''$id'')', t.id('admin')), ('alice', 'SELECT padlock.may_manage_user(''$id'')', t.id('admin')),
               ('anon', 'SELECT padlock.company_is_active(''$id'')', t.company('borg')),
               ('anon', 'SELECT product_search(company_id => ''$id'')', t.company('borg'))) AS v (who, statement, id);

-- A chosen id is not taken, but one's own row may be written again by its id.
SELECT is(t.answer('alice', format('INSERT INTO policies (id, user_id) VALUES (%L, %L) RETURNING id = %L', t.id('chosen'), t.id('alice'), t.id('chosen'))), 'false', 'a low role does not choose ids');
SELECT is(t.answer('admin', format('INSERT INTO policies (id, user_id) VALUES (%L, %L) RETURNING id = %L', t.id('chosen'), t.id('alice'), t.id('chosen'))), 'true', 'an admin does');
SELECT is(t.answer('alice', format('INSERT INTO policies (id, user_id, policy_number) VALUES (%L, %L, ''A9'') ON CONFLICT (id) DO UPDATE SET policy_number = excluded.policy_number RETURNING (id = %L) || policy_number', t.id('pa'), t.id('alice'), t.id('pa'))),
          'trueA9', 'an upsert of an own row changes it');
SELECT is(t.outcome('alice', format('INSERT INTO policies (id, user_id) VALUES (%L, %L)', t.id('pa'), t.id('alice'))), '23505', 'an own id is taken, as everybody sees');
SELECT is(t.answer('acme', format('INSERT INTO insurance_products (id, company_id, product_name, policy_type, premium_amount) VALUES (%L, %L, ''A9'', ''health'', 1) ON CONFLICT (id) DO UPDATE SET product_name = excluded.product_name RETURNING product_code || product_name', t.id('a1'), t.company('acme'))),
          'A1A9', 'a company''s own product, too');
SELECT is(t.outcome('alice', format('UPDATE policies SET id = %L', t.id('chosen'))), '42501', 'nor change them');
SELECT is(t.outcome('acme', 'UPDATE insurance_companies SET name = ''acme 2'''), '42501', 'a company does not rename itself');
SELECT is(t.outcome('admin', 'UPDATE insurance_companies SET name = ''acme 2'' WHERE name = ''acme'''), '1 rows', 'an admin renames it');
SELECT is(t.outcome('admin', 'UPDATE insurance_companies SET name = '' BORG'' WHERE name = ''acme'''), '23505', 'but not to another''s name in another spelling');

SELECT * FROM finish();
ROLLBACK;
