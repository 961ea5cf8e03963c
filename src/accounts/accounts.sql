-- Accounts and sessions.  Endpoints take one unnamed jsonb, as gateways pass it.

CREATE FUNCTION @extschema@.sign_up(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_sign_up';
REVOKE ALL ON FUNCTION @extschema@.sign_up(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.sign_up(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.sign_up(jsonb) IS 'Endpoint: ask for an account; the address gets a mail, whether or not it has one already';

CREATE FUNCTION @extschema@.confirm_email(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_confirm_email';
REVOKE ALL ON FUNCTION @extschema@.confirm_email(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.confirm_email(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.confirm_email(jsonb) IS 'Endpoint: prove an address by the token mailed there, for sign_up or change_email';

CREATE FUNCTION @extschema@.sign_in(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_sign_in';
REVOKE ALL ON FUNCTION @extschema@.sign_in(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.sign_in(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.sign_in(jsonb) IS 'Endpoint: open a session with e-mail address and password';

CREATE FUNCTION @extschema@.refresh_session(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_refresh_session';
REVOKE ALL ON FUNCTION @extschema@.refresh_session(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.refresh_session(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.refresh_session(jsonb) IS 'Endpoint: new tokens for a session; an old refresh token ends the session, with a 401 that commits';

CREATE FUNCTION @extschema@.request_password_reset(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_request_password_reset';
REVOKE ALL ON FUNCTION @extschema@.request_password_reset(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.request_password_reset(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.request_password_reset(jsonb) IS 'Endpoint: have a token for reset_password mailed';

CREATE FUNCTION @extschema@.reset_password(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_reset_password';
REVOKE ALL ON FUNCTION @extschema@.reset_password(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.reset_password(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.reset_password(jsonb) IS 'Endpoint: set a password by a mailed token, and end all sessions';

CREATE FUNCTION @extschema@.sign_out(jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_sign_out';
REVOKE ALL ON FUNCTION @extschema@.sign_out(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.sign_out(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.sign_out(jsonb) IS 'Endpoint: end the caller''s session, his others, or all';

CREATE FUNCTION @extschema@.list_sessions(jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_list_sessions';
REVOKE ALL ON FUNCTION @extschema@.list_sessions(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.list_sessions(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.list_sessions(jsonb) IS 'Endpoint: the caller''s sessions';

CREATE FUNCTION @extschema@.revoke_session(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_revoke_session';
REVOKE ALL ON FUNCTION @extschema@.revoke_session(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.revoke_session(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.revoke_session(jsonb) IS 'Endpoint: end one of the caller''s sessions';

CREATE FUNCTION @extschema@.change_password(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_change_password';
REVOKE ALL ON FUNCTION @extschema@.change_password(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.change_password(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.change_password(jsonb) IS 'Endpoint: set another password, and end the caller''s other sessions';

CREATE FUNCTION @extschema@.change_email(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_change_email';
REVOKE ALL ON FUNCTION @extschema@.change_email(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.change_email(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.change_email(jsonb) IS 'Endpoint: have a token for a new address mailed there';
