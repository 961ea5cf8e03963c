-- Settings of key services and of the object store take only what can work, and
-- only from the configuration files.
ALTER SYSTEM SET padlock.vault_url = 'vault.example:8200';
ALTER SYSTEM SET padlock.vault_url = 'https://user:secret@vault.example';
ALTER SYSTEM SET padlock.aws_kms_url = 'https://kms.example/?a=b';
ALTER SYSTEM SET padlock.google_kms_url = 'https://kms.example/';
ALTER SYSTEM SET padlock.aws_credentials_file = 'credentials';
ALTER SYSTEM SET padlock.vault_namespace = E'a\nX-Evil: b';
ALTER SYSTEM SET padlock.s3_bucket = 'Documents';
ALTER SYSTEM SET padlock.s3_bucket = 'a..b';
ALTER SYSTEM SET padlock.s3_region = 'eu west';
ALTER SYSTEM SET padlock.s3_prefix = '../';
ALTER SYSTEM SET padlock.key_service_timeout = '1ms';
ALTER SYSTEM SET padlock.document_store = 'tape';
SET padlock.allow_plain_http = on;
SET padlock.document_store = s3;

-- Nothing was asked, nothing lies elsewhere.
SELECT * FROM padlock.key_services();
SELECT padlock.move_documents();

-- Names of keys that no service has.
SELECT padlock.create_key('x', 'aws_kms', 'alias/documents');
SELECT padlock.create_key('x', 'google_kms', 'documents');
SELECT padlock.create_key('x', 'vault', 'documents');
SELECT padlock.create_key('x', 'vault');

-- A key that a worker is to make: who misses it is told where to look.
BEGIN;
SELECT padlock.create_key('waiting', 'vault', 'transit/padlock');
SELECT key_name, state FROM padlock.keyring() WHERE key_name ~ '^waiting';
SAVEPOINT s;
SELECT padlock.encrypt('x', 'waiting', '{}');
ROLLBACK TO s;
SELECT padlock.rotate_key('waiting');
ROLLBACK;

-- A content is here, or named in the store; and triggers are triggers.
INSERT INTO padlock.document_contents (document_id) VALUES ('00000000-0000-4000-8000-00000000d0c5');
SELECT padlock.place_document();
CREATE TEMP TABLE t (id uuid, object_key text);
CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION padlock.drop_object();
INSERT INTO t VALUES (gen_random_uuid(), 'x');
DROP TABLE t;
