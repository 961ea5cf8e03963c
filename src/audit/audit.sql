CREATE FUNCTION padlock.audit_row() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_audit_row';
REVOKE ALL ON FUNCTION padlock.audit_row() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.audit_row() IS 'Trigger that records a change in audit_logs';

CREATE FUNCTION padlock.audit_refuse() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_audit_refuse';
REVOKE ALL ON FUNCTION padlock.audit_refuse() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.audit_refuse() IS 'Trigger that refuses to change or remove audit rows';

CREATE FUNCTION padlock.create_audit_partitions(months integer DEFAULT 3) RETURNS integer
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_create_audit_partitions';
REVOKE ALL ON FUNCTION padlock.create_audit_partitions(integer) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.create_audit_partitions(integer) IS 'Make the partitions of audit_logs for this month and the given number of months after it; returns how many were made';

CREATE FUNCTION padlock.audit_personal_digest(salt uuid, old_values jsonb, new_values jsonb, ip_address text, user_agent text, request_path text) RETURNS bytea
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_audit_personal_digest';
REVOKE ALL ON FUNCTION padlock.audit_personal_digest(uuid, jsonb, jsonb, text, text, text) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.audit_personal_digest(uuid, jsonb, jsonb, text, text, text) IS 'What stands for the personal values of a row of audit_logs after their erasure';

CREATE FUNCTION padlock.audit_row_digest(created_at timestamptz, id uuid, user_id uuid, company_id uuid, action text, table_name text, record_id uuid,
    personal_digest bytea, salt uuid, old_values jsonb, new_values jsonb, ip_address text, user_agent text, request_path text) RETURNS bytea
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_audit_row_digest';
REVOKE ALL ON FUNCTION padlock.audit_row_digest(timestamptz, uuid, uuid, uuid, text, text, uuid, bytea, uuid, jsonb, jsonb, text, text, text) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.audit_row_digest(timestamptz, uuid, uuid, uuid, text, text, uuid, bytea, uuid, jsonb, jsonb, text, text, text) IS 'The digest of a row of audit_logs';

CREATE FUNCTION padlock.audit_seal_digest(previous bytea, number bigint, sealed_at timestamptz, closed_until timestamptz, row_count integer,
    first_created_at timestamptz, last_created_at timestamptz, entries bytea) RETURNS bytea
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_audit_seal_digest';
REVOKE ALL ON FUNCTION padlock.audit_seal_digest(bytea, bigint, timestamptz, timestamptz, integer, timestamptz, timestamptz, bytea) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.audit_seal_digest(bytea, bigint, timestamptz, timestamptz, integer, timestamptz, timestamptz, bytea) IS 'The digest of a row of padlock.audit_seals, given that of the seal before it';

CREATE FUNCTION padlock.audit_entries(entries bytea) RETURNS TABLE (created_at timestamptz, id uuid, digest bytea)
LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 1000
AS 'MODULE_PATHNAME', 'padlock_audit_entries';
REVOKE ALL ON FUNCTION padlock.audit_entries(bytea) FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.audit_entries(bytea) IS 'The rows of audit_logs that a seal covers';

CREATE FUNCTION padlock.audit_seal(include_late boolean DEFAULT false) RETURNS bigint
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'padlock_audit_seal';
REVOKE ALL ON FUNCTION padlock.audit_seal(boolean) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.audit_seal(boolean) TO service_role;
COMMENT ON FUNCTION padlock.audit_seal(boolean) IS 'Seal the rows of audit_logs that are not, with include_late also those dated into a period that was sealed before they came; returns how many';

CREATE FUNCTION padlock.audit_head() RETURNS text
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_audit_head';
REVOKE ALL ON FUNCTION padlock.audit_head() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.audit_head() TO service_role;
COMMENT ON FUNCTION padlock.audit_head() IS 'The newest seal of the audit trail, to be kept elsewhere for padlock.audit_verify()';

CREATE FUNCTION padlock.audit_verify(head text DEFAULT NULL) RETURNS TABLE (ok boolean, state text, rows bigint, seal bigint, created_at timestamptz, id uuid)
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'padlock_audit_verify';
REVOKE ALL ON FUNCTION padlock.audit_verify(text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.audit_verify(text) TO service_role;
COMMENT ON FUNCTION padlock.audit_verify(text) IS 'Check the audit trail against its seals: one row for each sound state with its number of rows, and one for each problem; head is an earlier padlock.audit_head()';
