-- Row security of what belongs to users: policies, claims, documents, users,
-- admin_users and audit_logs; every role, every verb, own and others' rows.
BEGIN;
SELECT no_plan();
\ir common.psql

INSERT INTO policies (id, user_id, policy_number) VALUES
    (t.id('policy a1'), t.id('alice'), 'A1'), (t.id('policy a2'), t.id('alice'), 'A2'),
    (t.id('policy b1'), t.id('bob'), 'B1');
INSERT INTO claims (id, user_id, policy_id) VALUES
    (t.id('claim a1'), t.id('alice'), t.id('policy a1')), (t.id('claim b1'), t.id('bob'), t.id('policy b1'));
INSERT INTO documents (id, user_id, title) VALUES
    (t.id('document a1'), t.id('alice'), 'A1'), (t.id('document a2'), t.id('alice'), 'A2'),
    (t.id('document b1'), t.id('bob'), 'B1');
DELETE FROM rate_limit_rules WHERE endpoint = 'suggest';
CREATE TEMP TABLE audited AS SELECT count(*) AS rows FROM audit_logs;

-- Settings that must mean nobody, and never an error.
INSERT INTO t.callers (who, role, claims, headers) VALUES
    ('expired', 'authenticated', jsonb_build_object('sub', t.id('alice'), 'exp', 1600000000)::text, NULL),
    ('expired now', 'authenticated', jsonb_build_object('sub', t.id('alice'), 'exp', floor(extract(epoch FROM now())))::text, NULL),
    ('expired in words', 'authenticated', jsonb_build_object('sub', t.id('alice'), 'exp', 'tomorrow')::text, NULL),
    ('expired in an object', 'authenticated', jsonb_build_object('sub', t.id('alice'), 'exp', '{}'::jsonb)::text, NULL),
    ('expired admin', 'authenticated', jsonb_build_object('sub', t.id('admin'), 'exp', 1600000000)::text, NULL),
    ('cut off', 'authenticated', left(t.claims('alice'), -1), NULL),
    ('with a tail', 'authenticated', t.claims('alice') || ' x', NULL),
    ('a list', 'authenticated', '[' || t.claims('alice') || ']', NULL),
    ('a nested sub', 'authenticated', jsonb_build_object('user', jsonb_build_object('sub', t.id('alice')))::text, NULL),
    ('a string', 'authenticated', to_json(t.id('alice')::text)::text, NULL),
    ('null', 'authenticated', 'null', NULL),
    ('not JSON', 'authenticated', 'sub=' || t.id('alice'), NULL),
    ('a sub that is no uuid', 'authenticated', '{"sub": "alice"}', NULL),
    ('a sub with a tail', 'authenticated', '{"sub": "' || t.id('alice') || ' "}', NULL),
    ('a sub in braces', 'authenticated', '{"sub": "{' || t.id('alice') || '}"}', NULL),
    ('a sub with a NUL', 'authenticated', '{"sub": "' || t.id('alice') || '\u0000"}', NULL),
    ('a sub that is a list', 'authenticated', '{"sub": ["' || t.id('alice') || '"]}', NULL),
    ('a second sub', 'authenticated', '{"sub": "' || t.id('alice') || '", "sub": null}', NULL),
    ('an unknown user', 'authenticated', t.claims('stranger'), NULL),
    ('depth', 'authenticated', repeat('[', 100000) || repeat(']', 100000), NULL),
    ('a half pair', 'authenticated', '{"sub": "\ud800"}', NULL),
    ('control characters', 'authenticated', E'{"sub": "\x01\x02"}', NULL),
    ('broken headers', 'authenticated', NULL, '{"x-api-key": ');

SELECT is(t.outcome(who, 'SELECT FROM ' || name), '0 rows', who || ' in the claims sees no ' || name)
  FROM t.callers, unnest(ARRAY['policies', 'claims', 'documents', 'users', 'admin_users', 'audit_logs',
                              'insurance_companies']) AS name
 WHERE who NOT IN ('owner', 'anon', 'alice', 'bob', 'admin', 'root', 'service');
SELECT is(t.answer(who, 'SELECT padlock.uid() IS NULL AND padlock.scope_low() IS NULL AND padlock.scope_high() IS NULL'
                        ' AND padlock.company_id() IS NULL AND NOT padlock.is_privileged()'), 'true', who || ' in the claims is nobody')
  FROM t.callers
 WHERE who NOT IN ('owner', 'alice', 'bob', 'admin', 'root', 'service', 'an unknown user');
SELECT is(t.outcome(who, format('INSERT INTO policies (user_id) VALUES (%L)', t.id('alice'))), '42501', who || ' in the claims adds no policy')
  FROM t.callers
 WHERE who NOT IN ('owner', 'alice', 'bob', 'admin', 'root', 'service');

-- Claims that are good.
INSERT INTO t.callers (who, role, claims) VALUES
    ('an exp to come', 'authenticated', jsonb_build_object('sub', t.id('alice'), 'exp', floor(extract(epoch FROM now())) + 3600)::text),
    ('a fractional exp', 'authenticated', jsonb_build_object('sub', t.id('alice'), 'exp', extract(epoch FROM now()) + 3600)::text),
    ('capitals', 'authenticated', jsonb_build_object('sub', upper(t.id('alice')::text))::text),
    ('an escaped sub', 'authenticated', replace(t.claims('alice'), '-', '\u002d')),
    ('more claims', 'authenticated', jsonb_build_object('sub', t.id('alice'), 'aud', ARRAY['a'], 'app', '{"sub": "x"}'::jsonb)::text);
SELECT is(t.answer(who, 'SELECT padlock.uid()'), t.id('alice')::text, who || ': alice')
  FROM t.callers WHERE who IN ('an exp to come', 'a fractional exp', 'capitals', 'an escaped sub', 'more claims', 'alice');

-- Each role, each verb.  Columns: the statement, then what it comes to for
-- anon, nobody, alice, bob, admin, root, service.
CREATE TEMP TABLE matrix (statement text, outcomes text[]);
INSERT INTO matrix VALUES
    ('SELECT FROM policies',
     '{42501,0 rows,2 rows,1 rows,3 rows,3 rows,3 rows}'),
    (format('INSERT INTO policies (user_id) VALUES (%L)', t.id('alice')),
     '{42501,42501,1 rows,42501,1 rows,1 rows,1 rows}'),
    -- whose it is need not be said
    ('INSERT INTO policies (status) VALUES (''x'')',
     '{42501,42501,1 rows,1 rows,1 rows,1 rows,42501}'),
    ('UPDATE policies SET status = ''x''',
     '{42501,0 rows,2 rows,1 rows,3 rows,3 rows,3 rows}'),
    (format('UPDATE policies SET status = ''x'' WHERE id = %L', t.id('policy b1')),
     '{42501,0 rows,0 rows,1 rows,1 rows,1 rows,1 rows}'),
    (format('UPDATE policies SET user_id = %L WHERE policy_number = ''A2''', t.id('bob')),
     '{42501,0 rows,42501,0 rows,1 rows,1 rows,1 rows}'),
    -- without a column read, only the policy for UPDATE stands in the way
    (format('UPDATE policies SET user_id = %L', t.id('bob')),
     '{42501,0 rows,42501,1 rows,23503,23503,23503}'),
    ('DELETE FROM policies WHERE policy_number = ''A2''',
     '{42501,0 rows,1 rows,0 rows,1 rows,1 rows,1 rows}'),
    ('TRUNCATE policies CASCADE',
     '{42501,42501,42501,42501,42501,42501,42501}'),

    ('SELECT FROM claims',
     '{42501,0 rows,1 rows,1 rows,2 rows,2 rows,2 rows}'),
    (format('INSERT INTO claims (user_id, policy_id) VALUES (%L, %L)', t.id('alice'), t.id('policy a2')),
     '{42501,42501,1 rows,42501,1 rows,1 rows,1 rows}'),
    -- whose it is need not be said
    ('INSERT INTO claims (claim_reason) VALUES (''x'')',
     '{42501,42501,1 rows,1 rows,1 rows,1 rows,42501}'),
    ('UPDATE claims SET claim_reason = ''x''',
     '{42501,0 rows,1 rows,1 rows,2 rows,2 rows,2 rows}'),
    (format('UPDATE claims SET user_id = %L, policy_id = NULL WHERE user_id = %L', t.id('bob'), t.id('alice')),
     '{42501,0 rows,42501,0 rows,1 rows,1 rows,1 rows}'),
    (format('UPDATE claims SET user_id = %L, policy_id = NULL', t.id('bob')),
     '{42501,0 rows,42501,1 rows,2 rows,2 rows,2 rows}'),
    ('DELETE FROM claims',
     '{42501,0 rows,0 rows,0 rows,2 rows,2 rows,2 rows}'),
    ('TRUNCATE claims',
     '{42501,42501,42501,42501,42501,42501,42501}'),

    ('SELECT FROM documents',
     '{42501,0 rows,2 rows,1 rows,3 rows,3 rows,3 rows}'),
    (format('INSERT INTO documents (user_id, title) VALUES (%L, ''x'')', t.id('alice')),
     '{42501,42501,1 rows,42501,1 rows,1 rows,1 rows}'),
    -- whose it is need not be said
    ('INSERT INTO documents (title) VALUES (''x'')',
     '{42501,42501,1 rows,1 rows,1 rows,1 rows,42501}'),
    ('UPDATE documents SET title = ''x''',
     '{42501,0 rows,2 rows,1 rows,3 rows,3 rows,3 rows}'),
    (format('UPDATE documents SET user_id = %L WHERE title = ''A1''', t.id('bob')),
     '{42501,0 rows,42501,0 rows,1 rows,1 rows,1 rows}'),
    (format('UPDATE documents SET user_id = %L', t.id('bob')),
     '{42501,0 rows,42501,1 rows,3 rows,3 rows,3 rows}'),
    ('DELETE FROM documents',
     '{42501,0 rows,2 rows,1 rows,3 rows,3 rows,3 rows}'),
    ('TRUNCATE documents',
     '{42501,42501,42501,42501,42501,42501,42501}'),

    ('SELECT FROM users WHERE email LIKE ''%@example.org''',
     '{42501,0 rows,1 rows,1 rows,4 rows,4 rows,4 rows}'),
    ('INSERT INTO users (email) VALUES (''new@example.org'')',
     '{42501,42501,42501,42501,1 rows,1 rows,1 rows}'),
    (format('UPDATE users SET email = ''x'' WHERE id = %L', t.id('alice')),
     '{42501,0 rows,0 rows,0 rows,1 rows,1 rows,1 rows}'),
    (format('DELETE FROM users WHERE id = %L', t.id('alice')),
     '{42501,0 rows,0 rows,0 rows,1 rows,1 rows,1 rows}'),
    ('TRUNCATE users CASCADE',
     '{42501,42501,42501,42501,42501,42501,42501}'),

    ('SELECT FROM admin_users',
     '{42501,0 rows,0 rows,0 rows,2 rows,2 rows,42501}'),
    (format('INSERT INTO admin_users (id) VALUES (%L)', t.id('alice')),
     '{42501,42501,42501,42501,42501,1 rows,42501}'),
    (format('UPDATE admin_users SET role = ''super_admin'' WHERE id = %L', t.id('admin')),
     '{42501,0 rows,0 rows,0 rows,0 rows,1 rows,42501}'),
    (format('DELETE FROM admin_users WHERE id = %L', t.id('admin')),
     '{42501,0 rows,0 rows,0 rows,0 rows,1 rows,42501}'),
    -- root is the last super admin
    (format('DELETE FROM admin_users WHERE id = %L', t.id('root')),
     '{42501,0 rows,0 rows,0 rows,0 rows,23001,42501}'),
    (format('UPDATE admin_users SET role = ''admin'' WHERE id = %L', t.id('root')),
     '{42501,0 rows,0 rows,0 rows,0 rows,23001,42501}'),
    (format('UPDATE admin_users SET permissions = ''[1]'' WHERE id = %L', t.id('root')),
     '{42501,0 rows,0 rows,0 rows,0 rows,1 rows,42501}'),
    -- a cascade looks past row security: who is an admin is for super admins
    (format('DELETE FROM users WHERE id = %L', t.id('root')),
     '{42501,0 rows,0 rows,0 rows,0 rows,23503,0 rows}'),

    ('SELECT FROM audit_logs',
     format('{42501,0 rows,0 rows,0 rows,%1$s rows,%1$s rows,42501}', (SELECT rows FROM audited))::text[]),
    ('INSERT INTO audit_logs (action) VALUES (''x'')',
     '{42501,42501,42501,42501,42501,42501,1 rows}'),
    ('UPDATE audit_logs SET action = ''x''',
     '{42501,42501,42501,42501,42501,42501,42501}'),
    ('DELETE FROM audit_logs',
     '{42501,42501,42501,42501,42501,42501,42501}'),
    ('TRUNCATE audit_logs',
     '{42501,42501,42501,42501,42501,42501,42501}'),
    ('SELECT FROM audit_logs_default',
     '{42501,42501,42501,42501,42501,42501,42501}'),
    ('INSERT INTO audit_logs_default (action, created_at) VALUES (''x'', ''1999-01-01'')',
     '{42501,42501,42501,42501,42501,42501,42501}'),

    ('SELECT FROM job_queue',
     '{42501,42501,42501,42501,42501,42501,0 rows}'),
    ('INSERT INTO job_queue (job_type) VALUES (''x'')',
     '{42501,42501,42501,42501,42501,42501,1 rows}'),
    ('UPDATE job_queue SET priority = 1',
     '{42501,42501,42501,42501,42501,42501,0 rows}'),
    ('DELETE FROM job_queue',
     '{42501,42501,42501,42501,42501,42501,0 rows}'),

    ('SELECT FROM rate_limit_rules WHERE endpoint = ''product_search''',
     '{42501,0 rows,0 rows,0 rows,1 rows,1 rows,1 rows}'),
    -- limits that guard accounts are for super admins
    ('UPDATE rate_limit_rules SET max_requests = 1 WHERE endpoint = ''sign_in''',
     '{42501,0 rows,0 rows,0 rows,0 rows,1 rows,0 rows}'),
    ('UPDATE rate_limit_rules SET endpoint = ''sign_in'' WHERE endpoint = ''product_search''',
     '{42501,0 rows,0 rows,0 rows,42501,23505,42501}'),
    ('INSERT INTO rate_limit_rules (endpoint, caller, max_requests, company_id) VALUES (''sign_in'', ''ip'', 1, NULL)',
     '{42501,42501,42501,42501,42501,23505,42501}'),
    ('DELETE FROM rate_limit_rules WHERE endpoint = ''sign_in''',
     '{42501,0 rows,0 rows,0 rows,0 rows,1 rows,0 rows}'),
    ('TRUNCATE rate_limit_rules',
     '{42501,42501,42501,42501,42501,42501,42501}'),

    -- who writes the mail that carries a token can have the token
    ('SELECT FROM padlock.email_templates WHERE name = ''confirm_email''',
     '{42501,0 rows,0 rows,0 rows,1 rows,1 rows,1 rows}'),
    ('INSERT INTO padlock.email_templates (name, subject, text_body) VALUES (''x'', ''x'', ''x'')',
     '{42501,42501,42501,42501,42501,1 rows,42501}'),
    ('UPDATE padlock.email_templates SET subject = ''x'' WHERE name = ''confirm_email''',
     '{42501,0 rows,0 rows,0 rows,0 rows,1 rows,0 rows}'),
    ('DELETE FROM padlock.email_templates WHERE name = ''confirm_email''',
     '{42501,0 rows,0 rows,0 rows,0 rows,1 rows,0 rows}'),
    ('TRUNCATE padlock.email_templates',
     '{42501,42501,42501,42501,42501,42501,42501}'),

    ('UPDATE rate_limit_rules SET max_requests = 1 WHERE endpoint = ''product_search''',
     '{42501,0 rows,0 rows,0 rows,1 rows,1 rows,1 rows}'),
    ('INSERT INTO rate_limit_rules (endpoint, caller, max_requests) VALUES (''suggest'', ''ip'', 1)',
     '{42501,42501,42501,42501,1 rows,1 rows,1 rows}'),
    ('DELETE FROM rate_limit_rules WHERE endpoint = ''product_search''',
     '{42501,0 rows,0 rows,0 rows,1 rows,1 rows,1 rows}'),
    ('SELECT FROM rate_limits WHERE identifier = ''pgtap''',
     '{42501,0 rows,0 rows,0 rows,1 rows,1 rows,1 rows}'),
    ('SELECT FROM padlock.rate_limit_keys() WHERE identifier = ''pgtap''',
     '{42501,0 rows,0 rows,0 rows,1 rows,1 rows,1 rows}');
SELECT check_rate_limit('pgtap', 'pgtap') \g /dev/null

SELECT is(t.outcome(who, statement), outcomes[place], who || ': ' || statement)
  FROM matrix,
       unnest(ARRAY['anon', 'nobody', 'alice', 'bob', 'admin', 'root', 'service']) WITH ORDINALITY AS w (who, place);

-- The rows that are seen are the right ones.
SELECT is(t.answer('alice', 'SELECT string_agg(policy_number, '','' ORDER BY policy_number) FROM policies'), 'A1,A2', 'alice sees her policies');
SELECT is(t.answer('bob', 'SELECT string_agg(policy_number, '','' ORDER BY policy_number) FROM policies'), 'B1', 'bob sees his policy');
SELECT is(t.answer('alice', 'SELECT string_agg(title, '','' ORDER BY title) FROM documents'), 'A1,A2', 'alice sees her documents');
SELECT is(t.answer('alice', 'SELECT string_agg(email, '','') FROM users'), 'alice@example.org', 'alice sees her account');
SELECT is(t.answer('alice', 'SELECT id FROM claims'), t.id('claim a1')::text, 'alice sees her claim');

-- Guarded columns: refused in an UPDATE, defaults in an INSERT, free to
-- admins and service_role; an UPDATE that repeats the value is no change.
CREATE TEMP TABLE guarded (name text, "column" text, value text, fallback text, row_id uuid);
INSERT INTO guarded VALUES
    ('claims', 'claim_status', 'approved', 'pending', t.id('claim a1')),
    ('claims', 'ai_risk_score', '0.1', '(null)', t.id('claim a1')),
    ('claims', 'risk_factors', '{x}', '(null)', t.id('claim a1')),
    ('policies', 'ai_summary', 'x', '(null)', t.id('policy a1')),
    ('policies', 'coverage_summary', 'x', '(null)', t.id('policy a1')),
    ('policies', 'fine_print_summary', 'x', '(null)', t.id('policy a1')),
    ('documents', 'is_encrypted', 'true', 'false', t.id('document a1')),
    ('documents', 'encryption_key_id', 'x', '(null)', t.id('document a1')),
    ('documents', 'encryption_algorithm', 'x', '(null)', t.id('document a1')),
    ('documents', 'encryption_status', 'sealed', 'none', t.id('document a1')),
    ('documents', 'encryption_error', 'x', '(null)', t.id('document a1')),
    ('documents', 'extraction_status', 'done', 'none', t.id('document a1')),
    ('documents', 'extraction_error', 'x', '(null)', t.id('document a1')),
    ('documents', 'extracted_text', 'x', '(null)', t.id('document a1')),
    ('documents', 'page_count', '7', '(null)', t.id('document a1')),
    ('documents', 'extracted_at', '2020-01-01 00:00:00+00', '(null)', t.id('document a1'));

SELECT is(t.outcome('alice', format('UPDATE %I SET %I = %L WHERE id = %L', name, "column", value, row_id)), '42501',
          format('a user cannot change %s.%s', name, "column")) FROM guarded;
SELECT is(t.outcome('alice', format('UPDATE %I SET %I = %I', name, "column", "column")), (CASE name WHEN 'claims' THEN 1 ELSE 2 END) || ' rows',
          format('a user may repeat %s.%s', name, "column")) FROM guarded;
SELECT is(t.answer('alice', format('INSERT INTO %I (user_id, %I) VALUES (%L, %L) RETURNING %2$I', name, "column", t.id('alice'), value)), fallback,
          format('an INSERT gives %s.%s its default', name, "column")) FROM guarded;
SELECT is(t.answer('alice', format('INSERT INTO %I (id, user_id, %I) VALUES (%L, %L, %L) ON CONFLICT (id) DO UPDATE SET %2$I = excluded.%2$I RETURNING %2$I',
                                   name, "column", row_id, t.id('alice'), value)), fallback,
          format('an upsert leaves %s.%s as it is', name, "column")) FROM guarded;
SELECT is(t.outcome('alice', format('INSERT INTO %I (id, user_id) VALUES (%L, %L) ON CONFLICT (id) DO UPDATE SET %I = %L',
                                    name, row_id, t.id('alice'), "column", value)), '42501',
          format('an upsert cannot change %s.%s', name, "column")) FROM guarded;
-- What says how a document's content is stored tells the truth at every moment,
-- to admins as well: to set is_encrypted is to ask for it, and what the sealing
-- alone can know (its key, its algorithm, that it is done) is refused in an
-- UPDATE and gets its default in an INSERT.
CREATE TEMP TABLE facts (name text, "column" text, sqlstate text);
INSERT INTO facts VALUES ('documents', 'is_encrypted', '1 rows'), ('documents', 'encryption_key_id', '0A000'),
    ('documents', 'encryption_algorithm', '0A000'), ('documents', 'encryption_status', '0A000');
SELECT is(t.outcome(who, format('UPDATE %I SET %I = %L WHERE id = %L', name, "column", value, row_id)),
          CASE who WHEN 'owner' THEN '1 rows' ELSE coalesce(sqlstate, '1 rows') END,
          format('%s changes %s.%s', who, name, "column"))
  FROM guarded LEFT JOIN facts USING (name, "column"), unnest(ARRAY['admin', 'root', 'service', 'owner']) AS who;
SELECT is(t.answer(who, format('INSERT INTO %I (user_id, %I) VALUES (%L, %L) RETURNING to_jsonb(%1$I) -> %2$L <> to_jsonb(%5$L::text)',
                               name, "column", t.id('alice'), value, fallback)), 'true',
          format('%s may insert %s.%s', who, name, "column"))
  FROM guarded LEFT JOIN facts USING (name, "column"), unnest(ARRAY['admin', 'service']) AS who WHERE sqlstate IS NULL;
SELECT is(t.answer(who, format(statement, t.id('document a1'))), 'f t pending', format('%s: %s asks for the sealing', who, split_part(statement, ' ', 1)))
  FROM unnest(ARRAY['admin', 'root', 'service']) AS who,
       unnest(ARRAY['UPDATE documents SET is_encrypted = true WHERE id = %L RETURNING concat_ws('' '', is_encrypted, encrypt, encryption_status)',
                    'INSERT INTO documents (user_id, is_encrypted, encryption_key_id, encryption_algorithm, encryption_status)'
                    ' SELECT user_id, true, ''x'', ''x'', ''sealed'' FROM documents WHERE id = %L'
                    ' RETURNING concat_ws('' '', is_encrypted, encrypt, encryption_status, encryption_key_id, encryption_algorithm)']) AS statement;

-- Foreign keys look past row security: somebody else's policy and one that
-- does not exist give the same answer.
SELECT is(t.outcome('alice', format('INSERT INTO claims (user_id, policy_id) VALUES (%L, %L)', t.id('alice'), t.id(policy))), '23503',
          'a claim on ' || policy || ' is refused by the foreign key')
  FROM unnest(ARRAY['policy b1', 'a policy that does not exist']) AS policy;
SELECT is(replace(t.answer('alice', format('INSERT INTO claims (user_id, policy_id) VALUES (%L, %L)', t.id('alice'), t.id('policy b1'))), t.id('policy b1')::text, '*'),
          replace(t.answer('alice', format('INSERT INTO claims (user_id, policy_id) VALUES (%L, %L)', t.id('alice'), t.id('no policy'))), t.id('no policy')::text, '*'),
          'and the two errors are the same');
SELECT is(t.outcome('alice', format('UPDATE claims SET policy_id = %L', t.id('policy b1'))), '23503', 'nor can a claim be moved to another''s policy');

-- An account goes with all that belongs to it.
SELECT is(t.answer('admin', format('WITH gone AS (DELETE FROM users WHERE id = %L RETURNING 1) SELECT count(*) FROM gone', t.id('bob'))), '1', 'an admin deletes a user');
DELETE FROM users WHERE id = t.id('bob');
SELECT is((SELECT count(*)::int FROM policies WHERE user_id = t.id('bob')) + (SELECT count(*)::int FROM claims WHERE user_id = t.id('bob'))
          + (SELECT count(*)::int FROM documents WHERE user_id = t.id('bob')), 0, 'policies, claims and documents go with their user');

-- is_admin(uuid): about oneself everybody, about others admins only.
SELECT is(t.answer(who, format('SELECT is_admin(%L)', t.id(whom))), answer, format('%s asks whether %s is an admin', who, whom))
  FROM (VALUES ('alice', 'alice', 'false'), ('admin', 'admin', 'true'), ('root', 'alice', 'false'), ('admin', 'root', 'true'),
               ('service', 'admin', 'true'), ('service', 'alice', 'false'), ('owner', 'admin', 'true')) AS v (who, whom, answer);
SELECT is(t.outcome(who, format('SELECT is_admin(%L)', t.id(whom))), '42501', format('%s may not ask whether %s is an admin', who, whom))
  FROM (VALUES ('alice', 'admin'), ('alice', 'nobody at all'), ('nobody', 'admin'), ('expired admin', 'admin'), ('anon', 'admin')) AS v (who, whom);

-- Super admins may leave while another is there; the owner is free.
SELECT t.become('owner');
SAVEPOINT two;
INSERT INTO admin_users (id, role) VALUES (t.id('alice'), 'super_admin');
SELECT is(t.outcome('root', statement), wanted, 'of two super admins: ' || statement)
  FROM (VALUES (format('DELETE FROM admin_users WHERE id = %L', t.id('root')), '1 rows'), (format('UPDATE admin_users SET role = ''admin'' WHERE id = %L', t.id('root')), '1 rows'),
               (format('DELETE FROM admin_users WHERE id = %L', t.id('alice')), '1 rows'), ('DELETE FROM admin_users', '23001'),
               ('UPDATE admin_users SET role = ''admin''', '23001')) AS v (statement, wanted);
SELECT is(t.outcome('owner', 'DELETE FROM admin_users'), '3 rows', 'the owner removes all');
ROLLBACK TO two;

-- Who one is follows the settings and the tables within a transaction, and
-- what is rolled back never was.
SELECT t.become('alice');
SELECT is(padlock.uid(), t.id('alice'), 'alice is alice');
SELECT t.become('owner');
SAVEPOINT before;
INSERT INTO admin_users (id) VALUES (t.id('alice'));
SELECT t.become('alice');
SELECT padlock.is_admin() AS is_admin \gset
ROLLBACK TO before;
SELECT t.become('alice');
SELECT padlock.is_admin() AS still_admin \gset
SELECT ok(:'is_admin', 'a new admin is one in the same transaction');
SELECT ok(NOT :'still_admin', 'but not once the savepoint is rolled back');
SELECT t.become('owner');

SELECT * FROM finish();
ROLLBACK;
