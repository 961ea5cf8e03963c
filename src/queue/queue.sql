-- EXECUTE is the right to use the queue: these functions ask for nothing more
-- and act as the extension's owner, so that a role that is granted one of them
-- needs no rights on job_queue.

CREATE FUNCTION padlock.queue_wake() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_queue_wake';
REVOKE ALL ON FUNCTION padlock.queue_wake() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.queue_wake() IS 'Trigger that wakes the workers of this database when the transaction commits';

CREATE FUNCTION @extschema@.enqueue_job(job_type_val text, payload_val jsonb, priority_val integer DEFAULT 0, max_attempts_val integer DEFAULT 3) RETURNS uuid
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_enqueue_job';
REVOKE ALL ON FUNCTION @extschema@.enqueue_job(text, jsonb, integer, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.enqueue_job(text, jsonb, integer, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.enqueue_job(text, jsonb, integer, integer) IS 'Add a job and return its id; higher priorities run first';

CREATE FUNCTION @extschema@.get_next_job(worker_id_val text, lock_duration_minutes integer DEFAULT 5) RETURNS TABLE (job_id uuid, job_type text, payload jsonb, attempts integer)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_get_next_job';
REVOKE ALL ON FUNCTION @extschema@.get_next_job(text, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.get_next_job(text, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.get_next_job(text, integer) IS 'Claim the next due job until the lease ends: one row or none; attempts is the fencing token';

CREATE FUNCTION @extschema@.complete_job(job_id_val uuid, result_val jsonb DEFAULT NULL, attempt_val integer DEFAULT NULL) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_complete_job';
REVOKE ALL ON FUNCTION @extschema@.complete_job(uuid, jsonb, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.complete_job(uuid, jsonb, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.complete_job(uuid, jsonb, integer) IS 'End a claimed job with its result; false when the claim was lost';

CREATE FUNCTION @extschema@.fail_job(job_id_val uuid, error_message_val text, retry_delay_minutes integer DEFAULT 5, attempt_val integer DEFAULT NULL) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_fail_job';
REVOKE ALL ON FUNCTION @extschema@.fail_job(uuid, text, integer, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.fail_job(uuid, text, integer, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.fail_job(uuid, text, integer, integer) IS 'Report a failed attempt: retried after a growing delay, or failed when attempts are used up; false when the claim was lost';

CREATE FUNCTION @extschema@.enqueue_pdf_extraction(document_id_val uuid, file_url_val text, priority_val integer DEFAULT 0) RETURNS uuid
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_enqueue_pdf_extraction';
REVOKE ALL ON FUNCTION @extschema@.enqueue_pdf_extraction(uuid, text, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.enqueue_pdf_extraction(uuid, text, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.enqueue_pdf_extraction(uuid, text, integer) IS 'Add a job that extracts the text of a document''s PDF';

CREATE FUNCTION @extschema@.schedule_daily_ai_crawls() RETURNS integer
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_schedule_daily_ai_crawls';
REVOKE ALL ON FUNCTION @extschema@.schedule_daily_ai_crawls() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.schedule_daily_ai_crawls() TO service_role;
COMMENT ON FUNCTION @extschema@.schedule_daily_ai_crawls() IS 'Add the ai_crawl and product_refresh jobs that are wanted and not yet under way; returns how many';

CREATE FUNCTION @extschema@.cleanup_old_jobs() RETURNS integer
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_cleanup_old_jobs';
REVOKE ALL ON FUNCTION @extschema@.cleanup_old_jobs() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.cleanup_old_jobs() TO service_role;
COMMENT ON FUNCTION @extschema@.cleanup_old_jobs() IS 'Delete jobs completed more than 30 days ago and failed more than 90 days ago; returns how many';

CREATE FUNCTION @extschema@.job_worker(jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_job_worker';
REVOKE ALL ON FUNCTION @extschema@.job_worker(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.job_worker(jsonb) TO service_role;
COMMENT ON FUNCTION @extschema@.job_worker(jsonb) IS 'Have a background worker run one committed, due job and wait for its outcome; the body is an empty object';
