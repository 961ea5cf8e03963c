-- Sealed messages and the keyring.  encrypt() and decrypt() have no SET clause,
-- which would cost as much as they do: they look nothing up by search path.

CREATE FUNCTION padlock.encrypt(plaintext bytea, key_id text, context jsonb) RETURNS bytea
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'padlock_encrypt';
REVOKE ALL ON FUNCTION padlock.encrypt(bytea, text, jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.encrypt(bytea, text, jsonb) TO service_role;
COMMENT ON FUNCTION padlock.encrypt(bytea, text, jsonb) IS 'Encrypt with the active key of that key_id, bound to a context, a JSON object of strings; gives an AWS Encryption SDK message';

CREATE FUNCTION padlock.decrypt(message bytea, expected_context jsonb) RETURNS bytea
LANGUAGE C STABLE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'padlock_decrypt';
REVOKE ALL ON FUNCTION padlock.decrypt(bytea, jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.decrypt(bytea, jsonb) TO service_role;
COMMENT ON FUNCTION padlock.decrypt(bytea, jsonb) IS 'Decrypt a message that encrypt() made with exactly this context';

CREATE FUNCTION padlock.init_keyring() RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_init_keyring';
REVOKE ALL ON FUNCTION padlock.init_keyring() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.init_keyring() IS 'Make the key file of padlock.key_file, if there is none yet, and the key of documents; true if the file was made';

CREATE FUNCTION padlock.create_key(key_id text, provider text DEFAULT 'local', provider_key_id text DEFAULT NULL) RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_create_key';
REVOKE ALL ON FUNCTION padlock.create_key(text, text, text) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.create_key(text, text, text) IS 'Make a key and return its name';

CREATE FUNCTION padlock.rotate_key(key_id text) RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_rotate_key';
REVOKE ALL ON FUNCTION padlock.rotate_key(text) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.rotate_key(text) IS 'Make another version of a key and return its name; the one before only decrypts from then on';

CREATE FUNCTION padlock.rewrap_keyring(provider text DEFAULT 'local', provider_key_id text DEFAULT NULL) RETURNS integer
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_rewrap_keyring';
REVOKE ALL ON FUNCTION padlock.rewrap_keyring(text, text) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.rewrap_keyring(text, text) IS 'Have every key wrapped anew by a provider''s key; what they encrypted stays as it is; returns how many';

CREATE FUNCTION padlock.destroy_key(key_name text, messages_too boolean DEFAULT false) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_destroy_key';
REVOKE ALL ON FUNCTION padlock.destroy_key(text, boolean) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.destroy_key(text, boolean) IS 'Forget a key that is not active, and with it all that it encrypted; asks for messages_too where encrypt() was called since the key was made';

CREATE FUNCTION padlock.lock_keyring() RETURNS integer
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_lock_keyring';
REVOKE ALL ON FUNCTION padlock.lock_keyring() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.lock_keyring() IS 'Wipe this database''s keys from memory at once, and use none until unlock_keyring(), over restarts too; returns how many';

CREATE FUNCTION padlock.unlock_keyring() RETURNS integer
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_unlock_keyring';
REVOKE ALL ON FUNCTION padlock.unlock_keyring() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.unlock_keyring() IS 'Unlock this database''s keys, those of key services by a background worker; returns how many were unlocked at once';

CREATE FUNCTION padlock.keyring(OUT key_name text, OUT state text, OUT provider text, OUT provider_key_id text,
	OUT unlocked boolean, OUT wraps bigint, OUT created_at timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_keyring';
REVOKE ALL ON FUNCTION padlock.keyring() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.keyring() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.keyring() IS 'The keys: state, who wraps them, whether they are unlocked, and how many data keys they have wrapped at most';

CREATE FUNCTION padlock.keyring_changed() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_keyring_changed';
REVOKE ALL ON FUNCTION padlock.keyring_changed() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.keyring_changed() IS 'Trigger that makes all sessions read the keyring again';
