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
