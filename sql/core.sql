-- Room core: installing the tables, and the errors' two forms.
SET client_min_messages = warning;

-- install() is idempotent, and repairs what is missing.
SELECT padlock.install() AS made;
DROP INDEX policies_user_id_idx;
DROP POLICY documents_own ON documents;
DROP TRIGGER claims_guard ON claims;
ALTER TABLE claims NO FORCE ROW LEVEL SECURITY;
SELECT padlock.install() AS made;
SELECT to_regclass('policies_user_id_idx') IS NOT NULL AS index,
       (SELECT count(*) FROM pg_policies WHERE policyname = 'documents_own') AS policies,
       (SELECT count(*) FROM pg_trigger WHERE tgname = 'claims_guard') AS triggers,
       (SELECT relforcerowsecurity FROM pg_class WHERE oid = 'claims'::regclass) AS forced;

-- A table that went with CASCADE comes back with all that referred to it.
BEGIN;
DROP TABLE policies CASCADE;
SELECT padlock.install() > 0 AS made;
SELECT conname FROM pg_constraint WHERE contype = 'f' AND (conrelid = 'policies'::regclass OR confrelid = 'policies'::regclass) ORDER BY 1;
ROLLBACK;

-- A column that somebody dropped cannot be made up: it is named.
BEGIN;
ALTER TABLE claims DROP COLUMN claim_reason;
SELECT padlock.install();
ROLLBACK;

-- A table in the way that is not padlock's is never adopted.
BEGIN;
ALTER TABLE claims RENAME TO claims_of_mine;
CREATE TABLE claims (id uuid);
SELECT padlock.install();
ROLLBACK;
BEGIN;
COMMENT ON TABLE claims IS 'mine';
SELECT padlock.install();
ROLLBACK;

-- What a user adds stays.
ALTER TABLE policies ADD COLUMN broker text;
SELECT padlock.install() AS made;
ALTER TABLE policies DROP COLUMN broker;

-- Only the owner installs.
SET ROLE service_role;
SELECT padlock.install();
RESET ROLE;

-- The tables and types are the user's, the functions are the extension's.
SELECT DISTINCT classid::regclass AS members
  FROM pg_depend
 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'padlock');
SELECT count(*) AS foreign_initial_privileges
  FROM pg_init_privs p
 WHERE p.privtype = 'e'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = p.classoid AND d.objid = p.objoid AND d.deptype = 'e');

-- updated_at is kept, whatever a statement writes there.
INSERT INTO users (id, email) VALUES ('c0000000-0000-4000-8000-000000000001', 'core@example.com');
UPDATE users SET updated_at = '2000-01-01' WHERE email = 'core@example.com';
SELECT updated_at > '2001-01-01' AS kept FROM users WHERE email = 'core@example.com';
DELETE FROM users WHERE email = 'core@example.com';

-- One failure, two forms: an SQL error, and what a gateway turns into status
-- and body.
SELECT product_create('{}');
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT set_config('request.method', 'POST', true);
SELECT product_create('{}');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
