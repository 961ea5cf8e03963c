
-- Key encryption keys, each wrapped by its provider.  No role but the owner
-- reads or writes here.
CREATE TABLE padlock.keys (
    key_id text NOT NULL CONSTRAINT keys_key_id CHECK (key_id ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    version integer NOT NULL CONSTRAINT keys_version CHECK (version > 0),
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid() CONSTRAINT keys_id UNIQUE,
    state text NOT NULL CONSTRAINT keys_state CHECK (state IN ('pending', 'active', 'decrypt-only', 'destroyed')),
    provider text NOT NULL,
    provider_key_id text,
    wrapped bytea,
    check_value bytea,
    rewrap_provider text,
    rewrap_provider_key_id text,
    wraps_from bigint NOT NULL,
    wraps_to bigint,
    messages_from bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    retired_at timestamptz,
    destroyed_at timestamptz,
    PRIMARY KEY (key_id, version),
    CONSTRAINT keys_wrapped CHECK ((wrapped IS NULL) = (state IN ('pending', 'destroyed')))
);
COMMENT ON TABLE padlock.keys IS 'padlock: keys that wrap the keys of documents, themselves wrapped by a provider';
COMMENT ON COLUMN padlock.keys.version IS 'key_id/version is the name that documents and messages carry';
COMMENT ON COLUMN padlock.keys.id IS 'of the key itself, by which it is found in memory: names may return after a rollback or a restore';
COMMENT ON COLUMN padlock.keys.state IS 'pending: a worker is to make it; active: encrypts; decrypt-only; destroyed';
COMMENT ON COLUMN padlock.keys.wrapped IS 'the key, as the provider encrypted it';
COMMENT ON COLUMN padlock.keys.check_value IS 'by which a key that comes back from a key service is known again; tells nothing of it';
COMMENT ON COLUMN padlock.keys.rewrap_provider IS 'the provider by which a worker is to wrap the key anew';
COMMENT ON COLUMN padlock.keys.wraps_from IS 'key_wraps when the key was made: what it wrapped was counted from there, up to wraps_to';
COMMENT ON COLUMN padlock.keys.messages_from IS 'key_messages when the key was made: what encrypt() made with it was counted from there';
CREATE UNIQUE INDEX keys_active ON padlock.keys (key_id) WHERE state = 'active';
ALTER TABLE padlock.keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.keys FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.keys FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER keys_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON padlock.keys FOR EACH STATEMENT EXECUTE FUNCTION padlock.keyring_changed();
CREATE TRIGGER keys_audit AFTER INSERT OR UPDATE OR DELETE ON padlock.keys FOR EACH ROW EXECUTE FUNCTION padlock.audit_row('wrapped', 'check_value');
CREATE TRIGGER keys_audit_truncate AFTER TRUNCATE ON padlock.keys FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- Counts the data keys that all keys of this database wrap, in steps of what a
-- session takes at a time.
CREATE SEQUENCE padlock.key_wraps AS bigint INCREMENT BY 64 MINVALUE 0 START WITH 0;
COMMENT ON SEQUENCE padlock.key_wraps IS 'padlock: how many data keys were wrapped, at most';
REVOKE ALL ON SEQUENCE padlock.key_wraps FROM PUBLIC, anon, authenticated, service_role;
-- Counts the messages that padlock.encrypt() makes, with all keys of this
-- database, in the same steps: destroy_key() asks before it ends them.
CREATE SEQUENCE padlock.key_messages AS bigint INCREMENT BY 64 MINVALUE 0 START WITH 0;
COMMENT ON SEQUENCE padlock.key_messages IS 'padlock: how many messages padlock.encrypt() made, at most';
REVOKE ALL ON SEQUENCE padlock.key_messages FROM PUBLIC, anon, authenticated, service_role;

-- A keyring that lock_keyring() has locked stays so over restarts.
CREATE TABLE padlock.keyring_lock (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT keyring_lock_only_row CHECK (only_row),
    locked_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    locked_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE padlock.keyring_lock IS 'padlock: has a row while the keyring is locked';
ALTER TABLE padlock.keyring_lock ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.keyring_lock FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.keyring_lock FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER keyring_lock_audit AFTER INSERT OR UPDATE OR DELETE ON padlock.keyring_lock FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER keyring_lock_audit_truncate AFTER TRUNCATE ON padlock.keyring_lock FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
