-- Job types of users: the function that does a job, and as whom.  Functions
-- and roles stand here by name, as OIDs would not survive a dump.
CREATE TABLE padlock.job_handlers (
    job_type text PRIMARY KEY
        CONSTRAINT job_handlers_job_type CHECK (pg_catalog.length(job_type) BETWEEN 1 AND 100),
    function_schema text NOT NULL,
    function_name text NOT NULL,
    role_name text NOT NULL,
    timeout_seconds integer
        CONSTRAINT job_handlers_timeout CHECK (timeout_seconds BETWEEN 1 AND 86400),
    registered_by text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE padlock.job_handlers IS 'padlock: functions that do jobs of registered types; written by register_job_handler()';
COMMENT ON COLUMN padlock.job_handlers.role_name IS 'whose rights the function runs with';
COMMENT ON COLUMN padlock.job_handlers.timeout_seconds IS 'NULL: padlock.handler_timeout';
COMMENT ON COLUMN padlock.job_handlers.registered_by IS 'must be, and stay, a member of that role';
ALTER TABLE padlock.job_handlers ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_handlers FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.job_handlers FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER job_handlers_audit AFTER INSERT OR UPDATE OR DELETE ON padlock.job_handlers FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER job_handlers_audit_truncate AFTER TRUNCATE ON padlock.job_handlers FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
