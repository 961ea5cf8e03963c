-- EXECUTE is the right to use the queue: these functions ask for nothing more
-- and act as the extension's owner, so that a role that is granted one of them
-- needs no rights on job_queue.

CREATE FUNCTION padlock.job_queue_change() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_job_queue_change';
REVOKE ALL ON FUNCTION padlock.job_queue_change() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.job_queue_change() IS 'Trigger that makes job_queue take INSERT, UPDATE and DELETE';

CREATE FUNCTION padlock.job_types_changed() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_job_types_changed';
REVOKE ALL ON FUNCTION padlock.job_types_changed() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.job_types_changed() IS 'Trigger that makes changes of job_types hold from the commit on';

CREATE FUNCTION padlock.may_use_queue() RETURNS boolean
LANGUAGE C STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'padlock_may_use_queue';
REVOKE ALL ON FUNCTION padlock.may_use_queue() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.may_use_queue() TO anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.may_use_queue() IS 'Does job_queue show its rows to this role?';

CREATE FUNCTION padlock.job_leases(OUT job_id uuid, OUT attempt integer, OUT worker_id text, OUT started_at timestamptz, OUT locked_until timestamptz, OUT done bigint, OUT total bigint, OUT message text, OUT reported_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 50
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_job_leases';
REVOKE ALL ON FUNCTION padlock.job_leases() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.job_leases() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.job_leases() IS 'The attempts at jobs that are under way in this database';

CREATE FUNCTION padlock.count_jobs(OUT job_type text, OUT status text, OUT jobs bigint) RETURNS SETOF record
LANGUAGE C STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'padlock_count_jobs';
REVOKE ALL ON FUNCTION padlock.count_jobs() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.count_jobs() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.count_jobs() IS 'How many jobs there are of each type and status';

CREATE FUNCTION @extschema@.enqueue_job(job_type_val text, payload_val jsonb, priority_val integer DEFAULT 0, max_attempts_val integer DEFAULT 3, run_at_val timestamptz DEFAULT NULL, dedupe_key_val text DEFAULT NULL, queue_val text DEFAULT NULL) RETURNS uuid
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'padlock_enqueue_job';
REVOKE ALL ON FUNCTION @extschema@.enqueue_job(text, jsonb, integer, integer, timestamptz, text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.enqueue_job(text, jsonb, integer, integer, timestamptz, text, text) TO service_role;
COMMENT ON FUNCTION @extschema@.enqueue_job(text, jsonb, integer, integer, timestamptz, text, text) IS 'Add a job and return its id; higher priorities run first, none before run_at_val; a waiting or running job of the same type and dedupe key is returned instead; jobs with one queue key run a few at a time';

CREATE FUNCTION @extschema@.enqueue_jobs(jobs_val jsonb) RETURNS SETOF uuid
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_enqueue_jobs';
REVOKE ALL ON FUNCTION @extschema@.enqueue_jobs(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.enqueue_jobs(jsonb) TO service_role;
COMMENT ON FUNCTION @extschema@.enqueue_jobs(jsonb) IS 'Add the jobs of an array of {job_type, payload, priority, max_attempts, run_at, dedupe_key, queue}; returns their ids in that order';

CREATE FUNCTION @extschema@.get_next_job(worker_id_val text, lock_duration_minutes integer DEFAULT 5) RETURNS TABLE (job_id uuid, job_type text, payload jsonb, attempts integer)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_get_next_job';
REVOKE ALL ON FUNCTION @extschema@.get_next_job(text, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.get_next_job(text, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.get_next_job(text, integer) IS 'Claim the next due job until the lease ends: one row or none; attempts is the fencing token';

CREATE FUNCTION @extschema@.get_next_jobs(worker_id_val text, limit_val integer DEFAULT 100, lock_duration_minutes integer DEFAULT 5) RETURNS TABLE (job_id uuid, job_type text, payload jsonb, attempts integer)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_get_next_jobs';
REVOKE ALL ON FUNCTION @extschema@.get_next_jobs(text, integer, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.get_next_jobs(text, integer, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.get_next_jobs(text, integer, integer) IS 'Claim the next due jobs, up to limit_val, as get_next_job does';

CREATE FUNCTION @extschema@.complete_job(job_id_val uuid, result_val jsonb DEFAULT NULL, attempt_val integer DEFAULT NULL) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_complete_job';
REVOKE ALL ON FUNCTION @extschema@.complete_job(uuid, jsonb, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.complete_job(uuid, jsonb, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.complete_job(uuid, jsonb, integer) IS 'End a claimed job with its result; false when the claim was lost';

CREATE FUNCTION @extschema@.complete_jobs(job_ids_val uuid[], attempts_val integer[] DEFAULT NULL, results_val jsonb[] DEFAULT NULL) RETURNS uuid[]
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_complete_jobs';
REVOKE ALL ON FUNCTION @extschema@.complete_jobs(uuid[], integer[], jsonb[]) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.complete_jobs(uuid[], integer[], jsonb[]) TO service_role;
COMMENT ON FUNCTION @extschema@.complete_jobs(uuid[], integer[], jsonb[]) IS 'End many claimed jobs; returns those whose claim was lost, or that do not exist';

CREATE FUNCTION @extschema@.fail_job(job_id_val uuid, error_message_val text, retry_delay_minutes integer DEFAULT 5, attempt_val integer DEFAULT NULL, permanent_val boolean DEFAULT false) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_fail_job';
REVOKE ALL ON FUNCTION @extschema@.fail_job(uuid, text, integer, integer, boolean) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.fail_job(uuid, text, integer, integer, boolean) TO service_role;
COMMENT ON FUNCTION @extschema@.fail_job(uuid, text, integer, integer, boolean) IS 'Report a failed attempt: retried after a growing delay, or failed when attempts are used up or permanent_val is true; false when the claim was lost';

CREATE FUNCTION @extschema@.extend_job(job_id_val uuid, lock_duration_minutes integer DEFAULT 5, attempt_val integer DEFAULT NULL) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_extend_job';
REVOKE ALL ON FUNCTION @extschema@.extend_job(uuid, integer, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.extend_job(uuid, integer, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.extend_job(uuid, integer, integer) IS 'Put off the end of a claimed job''s lease; false when the claim was lost or the job was cancelled';

CREATE FUNCTION @extschema@.report_job_progress(job_id_val uuid, done_val bigint, total_val bigint DEFAULT NULL, message_val text DEFAULT NULL, attempt_val integer DEFAULT NULL) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_report_job_progress';
REVOKE ALL ON FUNCTION @extschema@.report_job_progress(uuid, bigint, bigint, text, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.report_job_progress(uuid, bigint, bigint, text, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.report_job_progress(uuid, bigint, bigint, text, integer) IS 'Say how far a claimed job is, for padlock.job_progress; false when the claim was lost';

CREATE FUNCTION @extschema@.cancel_job(job_id_val uuid) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_cancel_job';
REVOKE ALL ON FUNCTION @extschema@.cancel_job(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.cancel_job(uuid) TO service_role;
COMMENT ON FUNCTION @extschema@.cancel_job(uuid) IS 'End a pending or processing job as failed, cancelled; false when it has ended';

CREATE FUNCTION @extschema@.retry_job(job_id_val uuid) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_retry_job';
REVOKE ALL ON FUNCTION @extschema@.retry_job(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.retry_job(uuid) TO service_role;
COMMENT ON FUNCTION @extschema@.retry_job(uuid) IS 'Make a failed job wait again; false when it has not failed';

CREATE FUNCTION @extschema@.redrive_jobs(job_type_val text) RETURNS integer
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_redrive_jobs';
REVOKE ALL ON FUNCTION @extschema@.redrive_jobs(text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.redrive_jobs(text) TO service_role;
COMMENT ON FUNCTION @extschema@.redrive_jobs(text) IS 'Make all failed jobs of a type wait again, but for cancelled ones; returns how many';

CREATE FUNCTION @extschema@.pause_job_type(job_type_val text) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_pause_job_type';
REVOKE ALL ON FUNCTION @extschema@.pause_job_type(text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.pause_job_type(text) TO service_role;
COMMENT ON FUNCTION @extschema@.pause_job_type(text) IS 'Let jobs of a type wait; false when it was paused already, an error when there is no such type';

CREATE FUNCTION @extschema@.resume_job_type(job_type_val text) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_resume_job_type';
REVOKE ALL ON FUNCTION @extschema@.resume_job_type(text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.resume_job_type(text) TO service_role;
COMMENT ON FUNCTION @extschema@.resume_job_type(text) IS 'Let jobs of a type run again; false when it was not paused';

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
COMMENT ON FUNCTION @extschema@.cleanup_old_jobs() IS 'Remove jobs completed more than 30 days ago and failed more than 90 days ago; returns how many';

CREATE FUNCTION @extschema@.job_worker(jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_job_worker';
REVOKE ALL ON FUNCTION @extschema@.job_worker(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.job_worker(jsonb) TO service_role;
COMMENT ON FUNCTION @extschema@.job_worker(jsonb) IS 'Have a background worker run one committed, due job and wait for its outcome; the body is an empty object';

CREATE FUNCTION padlock.report_progress(done bigint, total bigint DEFAULT NULL, message text DEFAULT NULL) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_report_progress';
REVOKE ALL ON FUNCTION padlock.report_progress(bigint, bigint, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.report_progress(bigint, bigint, text) TO authenticated, service_role;
COMMENT ON FUNCTION padlock.report_progress(bigint, bigint, text) IS 'Say how far the job is whose handler this is, for padlock.job_progress';
