-- Who calls.  Policies call these as the querying role, so every role may.

CREATE FUNCTION padlock.uid() RETURNS uuid
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_uid';
REVOKE ALL ON FUNCTION padlock.uid() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.uid() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.uid() IS 'The calling user''s id, from the gateway''s verified claims; NULL for nobody';

CREATE FUNCTION padlock.company_id() RETURNS uuid
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_company_id';
REVOKE ALL ON FUNCTION padlock.company_id() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.company_id() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.company_id() IS 'The calling company''s id, by its API key; NULL without a valid key of an active company';

CREATE FUNCTION padlock.is_admin() RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_is_caller_admin';
REVOKE ALL ON FUNCTION padlock.is_admin() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.is_admin() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.is_admin() IS 'Is the calling user an admin?';

CREATE FUNCTION padlock.is_super_admin() RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_is_super_admin';
REVOKE ALL ON FUNCTION padlock.is_super_admin() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.is_super_admin() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.is_super_admin() IS 'Is the calling user a super admin?';

CREATE FUNCTION padlock.is_service_role() RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_is_service_role';
REVOKE ALL ON FUNCTION padlock.is_service_role() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.is_service_role() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.is_service_role() IS 'Did the gateway switch to service_role?';

CREATE FUNCTION padlock.is_privileged() RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_is_privileged';
REVOKE ALL ON FUNCTION padlock.is_privileged() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.is_privileged() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.is_privileged() IS 'Is the caller an admin or service_role?';

CREATE FUNCTION padlock.scope_low() RETURNS uuid
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_scope_low';
REVOKE ALL ON FUNCTION padlock.scope_low() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.scope_low() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.scope_low() IS 'Lowest user id whose rows the caller may see; NULL for none';

CREATE FUNCTION padlock.scope_high() RETURNS uuid
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_scope_high';
REVOKE ALL ON FUNCTION padlock.scope_high() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.scope_high() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.scope_high() IS 'Highest user id whose rows the caller may see; NULL for none';

CREATE FUNCTION padlock.company_scope_low() RETURNS uuid
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_company_scope_low';
REVOKE ALL ON FUNCTION padlock.company_scope_low() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.company_scope_low() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.company_scope_low() IS 'Lowest company id that the caller acts for; NULL for none';

CREATE FUNCTION padlock.company_scope_high() RETURNS uuid
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_company_scope_high';
REVOKE ALL ON FUNCTION padlock.company_scope_high() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.company_scope_high() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.company_scope_high() IS 'Highest company id that the caller acts for; NULL for none';

CREATE FUNCTION padlock.company_is_active(company_id uuid) RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'padlock_company_is_active';
REVOKE ALL ON FUNCTION padlock.company_is_active(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.company_is_active(uuid) TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.company_is_active(uuid) IS 'May the public see this company''s products?';

CREATE FUNCTION @extschema@.is_admin(user_id uuid) RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'padlock_is_admin';
REVOKE ALL ON FUNCTION @extschema@.is_admin(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.is_admin(uuid) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.is_admin(uuid) IS 'Is that user an admin? About others only an admin may ask';

CREATE FUNCTION padlock.may_manage_user(user_id uuid) RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'padlock_may_manage_user';
REVOKE ALL ON FUNCTION padlock.may_manage_user(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.may_manage_user(uuid) TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.may_manage_user(uuid) IS 'May the caller change or remove that account? An admin''s account only a super admin';

CREATE FUNCTION padlock.guard_columns() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_guard_columns';
REVOKE ALL ON FUNCTION padlock.guard_columns() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.guard_columns() IS 'Trigger that keeps the columns named as its arguments from everybody but admins, service_role and the owner';

CREATE FUNCTION padlock.keep_super_admin() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_keep_super_admin';
REVOKE ALL ON FUNCTION padlock.keep_super_admin() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.keep_super_admin() IS 'Trigger that refuses to remove or demote the last super admin, but for the owner';

-- without a SET clause, which would hide the C function from whoever looks for the trigger
CREATE FUNCTION padlock.forget_admins() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_forget_admins';
REVOKE ALL ON FUNCTION padlock.forget_admins() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.forget_admins() IS 'Trigger that lets all sessions read admin_users again after a change';

CREATE FUNCTION padlock.create_jwt_keys(alg text DEFAULT 'ES256') RETURNS text
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'padlock_create_jwt_keys';
REVOKE ALL ON FUNCTION padlock.create_jwt_keys(text) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.create_jwt_keys(text) IS 'Make the file named by padlock.jwt_keys_file with a fresh signing key and a refresh key; returns the kid';

CREATE FUNCTION padlock.rotate_jwt_key(alg text DEFAULT 'ES256') RETURNS text
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'padlock_rotate_jwt_key';
REVOKE ALL ON FUNCTION padlock.rotate_jwt_key(text) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.rotate_jwt_key(text) IS 'Sign tokens with the prepared key, or a fresh one, and keep the old ones for verification; returns its kid';

CREATE FUNCTION padlock.prepare_jwt_key(alg text DEFAULT 'ES256') RETURNS text
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'padlock_prepare_jwt_key';
REVOKE ALL ON FUNCTION padlock.prepare_jwt_key(text) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.prepare_jwt_key(text) IS 'Make the key that rotate_jwt_key() will sign with, and publish it before; returns its kid';

CREATE FUNCTION padlock.jwks() RETURNS jsonb
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'padlock_jwks';
REVOKE ALL ON FUNCTION padlock.jwks() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.jwks() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.jwks() IS 'The public keys that verify tokens, as a JWK Set (RFC 7517)';

CREATE FUNCTION padlock.authenticate(token text) RETURNS jsonb
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'padlock_authenticate';
REVOKE ALL ON FUNCTION padlock.authenticate(text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.authenticate(text) TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.authenticate(text) IS 'Verify a token or an API key and make its user or company the caller of this transaction; returns the claims';

CREATE FUNCTION padlock.check_request() RETURNS void
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'padlock_check_request';
REVOKE ALL ON FUNCTION padlock.check_request() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.check_request() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.check_request() IS 'For gateways to call before each request (PostgREST: db-pre-request): refuses an ended session, expired or broken claims, a bad API key, broken headers';
