-- Room audit: who changed what, from where.
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.become(role text, claims text, headers text, path text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('request.jwt.claims', claims, true), set_config('request.headers', headers, true),
           set_config('request.path', path, true), set_config('role', role, true) $$;
INSERT INTO users (id, email) VALUES ('ad000000-0000-4000-8000-000000000001', 'user@audit.example');

-- A user's changes, with actor, address, agent and path.
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "ad000000-0000-4000-8000-000000000001"}',
                      '{"x-forwarded-for": "203.0.113.9", "user-agent": "browser/1"}', '/policies');
INSERT INTO policies (user_id, policy_number) VALUES (padlock.uid(), 'P-1') RETURNING id AS policy \gset
UPDATE policies SET policy_number = 'P-2';
UPDATE policies SET policy_number = 'P-2';
SAVEPOINT undone;
UPDATE policies SET policy_number = 'P-3';
ROLLBACK TO undone;
DELETE FROM policies;
COMMIT;
SELECT user_id, company_id, action, table_name, old_values ->> 'policy_number' AS old,
       new_values ->> 'policy_number' AS new, ip_address, user_agent, request_path
  FROM audit_logs WHERE record_id = :'policy' ORDER BY action;

-- Contents stay out of the trail; facts about them are in it.
INSERT INTO documents (id, user_id, title) VALUES ('ad000000-0000-4000-8000-0000000000d1', 'ad000000-0000-4000-8000-000000000001', 'Title');
UPDATE documents SET extracted_text = 'contents', page_count = 2 WHERE id = 'ad000000-0000-4000-8000-0000000000d1';
SELECT action, new_values ? 'extracted_text' AS has_text, new_values ->> 'page_count' AS pages
  FROM audit_logs WHERE record_id = 'ad000000-0000-4000-8000-0000000000d1' ORDER BY action;

-- TRUNCATE is recorded.
BEGIN;
TRUNCATE claims;
SELECT action, table_name, record_id, old_values FROM audit_logs WHERE action = 'TRUNCATE';
ROLLBACK;

-- Nobody changes or removes a row, not even the owner.
UPDATE audit_logs SET action = 'x';
DELETE FROM audit_logs;
TRUNCATE audit_logs;
TRUNCATE audit_logs_default;
BEGIN;
SET LOCAL ROLE service_role;
INSERT INTO audit_logs (action, table_name) VALUES ('EXPORT', 'policies');
SELECT count(*) FROM audit_logs;
ROLLBACK;

-- Partitions: this month and three more, made once; months out of range.
SELECT padlock.create_audit_partitions() AS made;
SELECT padlock.create_audit_partitions(5) AS made;
SELECT count(*) AS partitions, bool_and(relrowsecurity AND relforcerowsecurity) AS secured
  FROM pg_class WHERE relname ~ '^audit_logs_(\d{4}_\d{2}|default)$' AND relkind = 'r';
SELECT padlock.create_audit_partitions(-1);
SELECT padlock.create_audit_partitions(NULL);
SELECT padlock.create_audit_partitions(121);

DELETE FROM users WHERE email LIKE '%@audit.example';
