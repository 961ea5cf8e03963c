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

CREATE FUNCTION padlock.register_job_handler(job_type_val text, function_val regprocedure, role_val regrole DEFAULT NULL, timeout_seconds integer DEFAULT NULL) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_register_job_handler';
REVOKE ALL ON FUNCTION padlock.register_job_handler(text, regprocedure, regrole, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.register_job_handler(text, regprocedure, regrole, integer) TO service_role;
COMMENT ON FUNCTION padlock.register_job_handler(text, regprocedure, regrole, integer) IS 'Have jobs of a type done by a function that takes the payload and returns the result, both jsonb, with the rights of a role that the caller is a member of';

CREATE FUNCTION padlock.unregister_job_handler(job_type_val text) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_unregister_job_handler';
REVOKE ALL ON FUNCTION padlock.unregister_job_handler(text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.unregister_job_handler(text) TO service_role;
COMMENT ON FUNCTION padlock.unregister_job_handler(text) IS 'Forget the handler of a job type; false when there was none';

CREATE FUNCTION padlock.list_job_handlers(OUT job_type text, OUT function text, OUT role text, OUT timeout_seconds integer,
	OUT registered_by text, OUT registered_at timestamptz, OUT problem text)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_list_job_handlers';
REVOKE ALL ON FUNCTION padlock.list_job_handlers() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.list_job_handlers() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.list_job_handlers() IS 'The registered job types, and why the handler of one cannot run, NULL when it can';

CREATE FUNCTION padlock.key_services(OUT service text, OUT problem text, OUT tried_at timestamptz,
	OUT served_at timestamptz, OUT next_try_at timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_key_services';
REVOKE ALL ON FUNCTION padlock.key_services() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.key_services() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.key_services() IS 'The key services that this database''s workers have asked since the server''s start: the problem when one did not serve the last time, when it was asked, when it last served, and when it is asked again';
