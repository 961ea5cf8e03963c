CREATE FUNCTION padlock.announce() RETURNS void
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_announce';
REVOKE ALL ON FUNCTION padlock.announce() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.announce() IS 'Have the launcher start this database''s background workers when the transaction commits';

CREATE FUNCTION padlock.worker_status(OUT pid integer, OUT database text, OUT state text,
	OUT job_id uuid, OUT job_type text, OUT since timestamptz, OUT restarts integer)
RETURNS SETOF record
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_worker_status';
REVOKE ALL ON FUNCTION padlock.worker_status() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.worker_status() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.worker_status() IS 'The background workers of all databases: state (stopped, starting, idle, busy), since when, the job at hand, and restarts after failures';
