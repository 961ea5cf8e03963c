-- padlock: assembled by src/core/assemble.sh from src/*/*.sql; do not edit.
\echo Use "CREATE EXTENSION padlock" to load this file. \quit

-- Schema padlock holds the internals.  It is no member of the extension, so
-- that the tables in it outlive DROP EXTENSION; one that somebody else made
-- is refused, since its owner could put functions of his own into it.
DO $$
DECLARE
    existing record;
BEGIN
    SELECT r.rolname, r.rolsuper, pg_catalog.obj_description(n.oid, 'pg_namespace') AS comment
      INTO existing
      FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
     WHERE n.nspname = 'padlock';
    IF NOT FOUND THEN
        CREATE SCHEMA padlock;
        COMMENT ON SCHEMA padlock IS 'padlock: internals of extension padlock';
        ALTER EXTENSION padlock DROP SCHEMA padlock;
    ELSIF existing.comment IS NULL OR NOT pg_catalog.starts_with(existing.comment, 'padlock: ')
          OR NOT (existing.rolsuper OR existing.rolname = current_user) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_schema',
            MESSAGE = 'schema "padlock" exists already and is not padlock''s',
            DETAIL = pg_catalog.format('It belongs to role "%s".', existing.rolname),
            HINT = 'Rename or drop it, then run CREATE EXTENSION padlock again.';
    END IF;
END
$$;

-- The tables outlive DROP EXTENSION in the schema they were made in; a second
-- set in another schema would share padlock's internals with the first.
DO $$
DECLARE
    home text;
BEGIN
    SELECT n.nspname INTO home
      FROM pg_catalog.pg_constraint k
      JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE k.conrelid = pg_catalog.to_regclass('padlock.api_keys') AND k.contype = 'f'
       AND pg_catalog.quote_ident(n.nspname) <> '@extschema@';
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = pg_catalog.format('padlock''s tables are in schema "%s"', home),
            HINT = pg_catalog.format('Run CREATE EXTENSION padlock SCHEMA %I.', home);
    END IF;
END
$$;

-- The roles that gateways switch to, in the ecosystem's own names.  A new
-- cluster lacks them, so they are made even inside a restore.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;               -- another database's CREATE EXTENSION was faster
        END;
    END LOOP;
END
$$;

-- room core
CREATE FUNCTION padlock.install() RETURNS integer
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_install';
REVOKE ALL ON FUNCTION padlock.install() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.install() IS 'Make or repair padlock''s tables, types, indexes, policies and triggers; returns how many objects were made';

CREATE FUNCTION padlock.wants_install() RETURNS boolean
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_wants_install';
REVOKE ALL ON FUNCTION padlock.wants_install() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.wants_install() IS 'Should CREATE EXTENSION make the tables? Not inside a restore';

CREATE FUNCTION padlock.touch_updated_at() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_touch_updated_at';
REVOKE ALL ON FUNCTION padlock.touch_updated_at() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.touch_updated_at() IS 'Trigger that keeps updated_at';

-- room identity
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

-- room audit
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

-- room limits
CREATE FUNCTION @extschema@.check_rate_limit(identifier_val text, endpoint_val text,
    max_requests integer DEFAULT 100, window_minutes integer DEFAULT 60) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_check_rate_limit';
REVOKE ALL ON FUNCTION @extschema@.check_rate_limit(text, text, integer, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.check_rate_limit(text, text, integer, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.check_rate_limit(text, text, integer, integer) IS 'Count a request; false when max_requests in window_minutes are used up';

CREATE FUNCTION padlock.check_rate_limit(identifier_val text, endpoint_val text,
    max_requests integer DEFAULT 100, window_minutes integer DEFAULT 60,
    OUT allowed boolean, OUT remaining integer, OUT reset_seconds integer, OUT retry_after_seconds integer)
LANGUAGE C VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_check_rate_limit_detail';
REVOKE ALL ON FUNCTION padlock.check_rate_limit(text, text, integer, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.check_rate_limit(text, text, integer, integer) TO service_role;
COMMENT ON FUNCTION padlock.check_rate_limit(text, text, integer, integer) IS 'Count a request; tells also how many are left and how long to wait';

CREATE FUNCTION padlock.reset_rate_limit(identifier_val text, endpoint_val text) RETURNS boolean
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'padlock_reset_rate_limit';
REVOKE ALL ON FUNCTION padlock.reset_rate_limit(text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.reset_rate_limit(text, text) TO service_role;
COMMENT ON FUNCTION padlock.reset_rate_limit(text, text) IS 'Forget what a caller has used of a limit';

CREATE FUNCTION padlock.rate_limit_keys(OUT id uuid, OUT identifier text, OUT endpoint text,
    OUT request_count integer, OUT window_start timestamptz, OUT created_at timestamptz) RETURNS SETOF record
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'padlock_rate_limit_keys';
REVOKE ALL ON FUNCTION padlock.rate_limit_keys() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.rate_limit_keys() TO authenticated, service_role;
COMMENT ON FUNCTION padlock.rate_limit_keys() IS 'What the limiter holds now, for admins, service_role and the owner';

CREATE FUNCTION padlock.rate_limit_stats(OUT keys integer, OUT max_keys integer, OUT allowed bigint,
    OUT refused bigint, OUT evicted bigint, OUT memory_bytes bigint)
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'padlock_rate_limit_stats';
REVOKE ALL ON FUNCTION padlock.rate_limit_stats() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.rate_limit_stats() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.rate_limit_stats() IS 'Counters of the limiter since the server''s start, and its size';

CREATE FUNCTION padlock.check_limit_rule() RETURNS trigger
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'padlock_check_limit_rule';
REVOKE ALL ON FUNCTION padlock.check_limit_rule() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.check_limit_rule() IS 'Trigger that refuses a limit of an endpoint that does not exist';

-- room queue
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

-- room email

-- room accounts
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

-- room envelope
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

-- room catalog
CREATE FUNCTION padlock.drop_provenance() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_drop_provenance';
REVOKE ALL ON FUNCTION padlock.drop_provenance() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.drop_provenance() IS 'Trigger that lets an insurer''s own value win over a crawled one';

CREATE FUNCTION @extschema@.company_onboard(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_company_onboard';
REVOKE ALL ON FUNCTION @extschema@.company_onboard(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.company_onboard(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.company_onboard(jsonb) IS 'Endpoint: an admin adds a company and gets its API key';

CREATE FUNCTION @extschema@.product_create(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_product_create';
REVOKE ALL ON FUNCTION @extschema@.product_create(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.product_create(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.product_create(jsonb) IS 'Endpoint: a company adds a product';

CREATE FUNCTION @extschema@.product_update(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_product_update';
REVOKE ALL ON FUNCTION @extschema@.product_update(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.product_update(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.product_update(jsonb) IS 'Endpoint: a company changes a product of its own';

CREATE FUNCTION @extschema@.ai_product_ingest(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_ai_product_ingest';
REVOKE ALL ON FUNCTION @extschema@.ai_product_ingest(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.ai_product_ingest(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.ai_product_ingest(jsonb) IS 'Endpoint: a webhook, by its secret, creates or updates a product';

CREATE FUNCTION @extschema@.create_api_key(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_create_api_key';
REVOKE ALL ON FUNCTION @extschema@.create_api_key(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.create_api_key(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.create_api_key(jsonb) IS 'Endpoint: a company, or an admin for it, gets another API key';

CREATE FUNCTION @extschema@.list_api_keys(jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_list_api_keys';
REVOKE ALL ON FUNCTION @extschema@.list_api_keys(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.list_api_keys(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.list_api_keys(jsonb) IS 'Endpoint: the API keys that a company has and had, never their hashes';

CREATE FUNCTION @extschema@.rotate_api_key(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_rotate_api_key';
REVOKE ALL ON FUNCTION @extschema@.rotate_api_key(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.rotate_api_key(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.rotate_api_key(jsonb) IS 'Endpoint: a new API key in place of one that ends after an overlap';

CREATE FUNCTION @extschema@.revoke_api_key(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_revoke_api_key';
REVOKE ALL ON FUNCTION @extschema@.revoke_api_key(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.revoke_api_key(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.revoke_api_key(jsonb) IS 'Endpoint: an API key ends at once';

-- room search
CREATE FUNCTION @extschema@.product_search(jsonb) RETURNS jsonb
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS 'MODULE_PATHNAME', 'padlock_product_search';
REVOKE ALL ON FUNCTION @extschema@.product_search(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.product_search(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.product_search(jsonb) IS 'Endpoint: find active products of active companies';

CREATE FUNCTION @extschema@.product_search(
    policy_type text DEFAULT NULL, company_id text DEFAULT NULL,
    min_premium text DEFAULT NULL, max_premium text DEFAULT NULL,
    currency text DEFAULT NULL, country text DEFAULT NULL, age text DEFAULT NULL,
    search_term text DEFAULT NULL, page text DEFAULT NULL, per_page text DEFAULT NULL,
    sort_by text DEFAULT NULL, sort_order text DEFAULT NULL,
    facets text DEFAULT NULL, highlight text DEFAULT NULL, explain text DEFAULT NULL,
    cursor text DEFAULT NULL) RETURNS jsonb
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS 'MODULE_PATHNAME', 'padlock_product_search_args';
REVOKE ALL ON FUNCTION @extschema@.product_search(text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.product_search(text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, text) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.product_search(text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, text) IS 'Endpoint: find active products of active companies, with query parameters';

CREATE FUNCTION padlock.search_note_changes() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_note_changes';
REVOKE ALL ON FUNCTION padlock.search_note_changes() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_note_changes() IS 'Trigger: tells the search index which products changed';

CREATE FUNCTION padlock.search_note_companies() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_search_note_companies';
REVOKE ALL ON FUNCTION padlock.search_note_companies() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_note_companies() IS 'Trigger: tells searches that a company was switched on or off';

CREATE FUNCTION padlock.search_start() RETURNS boolean
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_start';
REVOKE ALL ON FUNCTION padlock.search_start() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_start() IS 'Build the search index unless there is one';

CREATE FUNCTION padlock.search_rebuild() RETURNS bigint
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_rebuild';
REVOKE ALL ON FUNCTION padlock.search_rebuild() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_rebuild() TO service_role;
COMMENT ON FUNCTION padlock.search_rebuild() IS 'Build the search index anew while it is in use; returns the number of products';

CREATE FUNCTION padlock.search_merge() RETURNS boolean
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_merge';
REVOKE ALL ON FUNCTION padlock.search_merge() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_merge() TO service_role;
COMMENT ON FUNCTION padlock.search_merge() IS 'Take changes up into the search index, as the workers do; false when there is nothing to do';

CREATE FUNCTION padlock.search_check(OUT products bigint, OUT indexed bigint, OUT differences bigint,
    OUT kinds jsonb, OUT detail text) RETURNS record
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_check';
REVOKE ALL ON FUNCTION padlock.search_check() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_check() TO service_role;
COMMENT ON FUNCTION padlock.search_check() IS 'Compare the search index with the table: differences in all, by what differs, and the first of them';

CREATE FUNCTION padlock.search_status(OUT built boolean, OUT segments integer, OUT documents bigint, OUT changes integer, OUT size bigint,
    OUT memory_used bigint, OUT memory bigint, OUT phase text, OUT done bigint, OUT total bigint) RETURNS record
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_status';
REVOKE ALL ON FUNCTION padlock.search_status() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_status() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.search_status() IS 'The search index: segments, their documents and size (bytes), changes not merged, padlock.search_memory used and in all (bytes), and phase, products done and total of a rebuild that runs';

CREATE FUNCTION @extschema@.suggest(prefix text DEFAULT NULL, max_suggestions text DEFAULT NULL) RETURNS jsonb
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS 'MODULE_PATHNAME', 'padlock_suggest';
REVOKE ALL ON FUNCTION @extschema@.suggest(text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.suggest(text, text) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.suggest(text, text) IS 'Endpoint: what a search term may become while it is typed';

CREATE FUNCTION padlock.search_terms(string text, language text DEFAULT 'english',
    OUT pos integer, OUT word text, OUT term text) RETURNS SETOF record
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 50
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_terms';
REVOKE ALL ON FUNCTION padlock.search_terms(text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_terms(text, text) TO service_role;
COMMENT ON FUNCTION padlock.search_terms(text, text) IS 'The words that search sees in a text, and the terms it looks up for them';

CREATE FUNCTION padlock.search_synonyms_changed() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_synonyms_changed';
REVOKE ALL ON FUNCTION padlock.search_synonyms_changed() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_synonyms_changed() IS 'Statement trigger: every session reads the synonyms again';

CREATE FUNCTION padlock.search_synonyms_check() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_synonyms_check';
REVOKE ALL ON FUNCTION padlock.search_synonyms_check() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_synonyms_check() IS 'Row trigger: refuses synonyms that no search could match';

-- room documents
CREATE FUNCTION padlock.queue_document() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_queue_document';
REVOKE ALL ON FUNCTION padlock.queue_document() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.queue_document() IS 'Trigger that queues what is to be sealed, and new PDFs for the extraction of their text';

CREATE FUNCTION @extschema@.document_upload(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_document_upload';
REVOKE ALL ON FUNCTION @extschema@.document_upload(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.document_upload(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.document_upload(jsonb) IS 'Endpoint: a user adds a document';

CREATE FUNCTION padlock.keep_document() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_keep_document';
REVOKE ALL ON FUNCTION padlock.keep_document() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.keep_document() IS 'Trigger that keeps what an encrypted document is bound to, and true what documents say of their encryption';

CREATE FUNCTION padlock.keep_document_key() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_keep_document_key';
REVOKE ALL ON FUNCTION padlock.keep_document_key() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.keep_document_key() IS 'Trigger that has documents sealed anew when their key was replaced, and keeps a key that they need';

CREATE FUNCTION @extschema@.document_put(document_id uuid, content bytea) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_document_put';
REVOKE ALL ON FUNCTION @extschema@.document_put(uuid, bytea) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.document_put(uuid, bytea) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.document_put(uuid, bytea) IS 'Endpoint: store the content of a document, encrypted if the document was made so';

CREATE FUNCTION @extschema@.document_content(document_id uuid) RETURNS bytea
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_document_content';
REVOKE ALL ON FUNCTION @extschema@.document_content(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.document_content(uuid) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.document_content(uuid) IS 'Endpoint: the content of a document in clear; the audit trail gets an entry';

CREATE FUNCTION @extschema@.document_text(document_id uuid) RETURNS text
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_document_text';
REVOKE ALL ON FUNCTION @extschema@.document_text(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.document_text(uuid) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.document_text(uuid) IS 'Endpoint: the text of a document in clear; the audit trail gets an entry';

CREATE FUNCTION padlock.reseal_documents() RETURNS uuid
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_reseal_documents';
REVOKE ALL ON FUNCTION padlock.reseal_documents() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.reseal_documents() IS 'Queue the job that seals documents under the active key, as a rotation does; returns the job';

CREATE FUNCTION padlock.forget_user(user_id uuid) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_forget_user';
REVOKE ALL ON FUNCTION padlock.forget_user(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.forget_user(uuid) TO service_role;
COMMENT ON FUNCTION padlock.forget_user(uuid) IS 'Erase a user''s documents, sessions, password and address, and the personal values in the audit trail; returns how many';

CREATE FUNCTION padlock.place_document() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_place_document';
REVOKE ALL ON FUNCTION padlock.place_document() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.place_document() IS 'Trigger that has an encrypted document''s content moved to the object store';

CREATE FUNCTION padlock.drop_object() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_drop_object';
REVOKE ALL ON FUNCTION padlock.drop_object() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.drop_object() IS 'Trigger that has an object erased that no document needs any more, and no table truncated that names some';

CREATE FUNCTION padlock.move_documents() RETURNS bigint
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_move_documents';
REVOKE ALL ON FUNCTION padlock.move_documents() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.move_documents() IS 'Queue the move of every encrypted document that does not lie where padlock.document_store says; returns how many';

-- room worker
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

-- The user's objects: not members of the extension, made by padlock.install().
CREATE FUNCTION padlock.definitions() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$ SELECT $definitions$

-- Grants on schemas stand here and not in the script: there they would be
-- recorded as the extension's own initial privileges and be lost in a dump.
GRANT USAGE ON SCHEMA padlock TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA @app@ TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA padlock TO pg_monitor;

-- Who has an account.
CREATE TABLE @app@.users (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    email text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @app@.users IS 'padlock: accounts; policies, claims, documents and admins refer to them';
CREATE UNIQUE INDEX users_email_key ON @app@.users (pg_catalog.lower(email));
ALTER TABLE @app@.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.users FORCE ROW LEVEL SECURITY;
CREATE POLICY users_select ON @app@.users FOR SELECT TO authenticated, service_role
    USING (id BETWEEN padlock.scope_low() AND padlock.scope_high());
CREATE POLICY users_insert ON @app@.users FOR INSERT TO authenticated, service_role
    WITH CHECK (padlock.is_privileged());
CREATE POLICY users_update ON @app@.users FOR UPDATE TO authenticated, service_role
    USING (padlock.may_manage_user(id)) WITH CHECK (padlock.may_manage_user(id));
CREATE POLICY users_delete ON @app@.users FOR DELETE TO authenticated, service_role
    USING (padlock.may_manage_user(id));
REVOKE ALL ON TABLE @app@.users FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.users TO authenticated, service_role;
CREATE TRIGGER users_touch BEFORE UPDATE ON @app@.users FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();

-- Who runs the marketplace.  An admin's account cannot be deleted before a
-- super admin has ended the office: a cascade would look past row security.
CREATE TABLE @app@.admin_users (
    id uuid PRIMARY KEY,
    role text NOT NULL DEFAULT 'admin' CONSTRAINT admin_users_role CHECK (role IN ('admin', 'super_admin')),
    permissions jsonb NOT NULL DEFAULT '[]'
        CONSTRAINT admin_users_permissions CHECK (pg_catalog.jsonb_typeof(permissions) = 'array'),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE @app@.admin_users ADD CONSTRAINT admin_users_id_fkey FOREIGN KEY (id) REFERENCES @app@.users (id);
COMMENT ON TABLE @app@.admin_users IS 'padlock: users who are admins';
COMMENT ON COLUMN @app@.admin_users.permissions IS 'for the application: padlock gives every admin the same rights';
ALTER TABLE @app@.admin_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.admin_users FORCE ROW LEVEL SECURITY;
CREATE POLICY admin_users_select ON @app@.admin_users FOR SELECT TO authenticated
    USING (padlock.is_admin());
CREATE POLICY admin_users_super ON @app@.admin_users FOR ALL TO authenticated
    USING (padlock.is_super_admin()) WITH CHECK (padlock.is_super_admin());
REVOKE ALL ON TABLE @app@.admin_users FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.admin_users TO authenticated;
CREATE TRIGGER admin_users_touch BEFORE UPDATE ON @app@.admin_users FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER admin_users_keep_super BEFORE UPDATE OR DELETE ON @app@.admin_users FOR EACH ROW EXECUTE FUNCTION padlock.keep_super_admin();
-- Of rows: logical replication fires no triggers of statements.
CREATE TRIGGER admin_users_forget AFTER INSERT OR UPDATE OR DELETE ON @app@.admin_users FOR EACH ROW EXECUTE FUNCTION padlock.forget_admins();
ALTER TABLE @app@.admin_users ENABLE ALWAYS TRIGGER admin_users_forget;
CREATE TRIGGER admin_users_forget_truncate AFTER TRUNCATE ON @app@.admin_users FOR EACH STATEMENT EXECUTE FUNCTION padlock.forget_admins();
ALTER TABLE @app@.admin_users ENABLE ALWAYS TRIGGER admin_users_forget_truncate;
CREATE TRIGGER admin_users_audit AFTER INSERT OR UPDATE OR DELETE ON @app@.admin_users FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER admin_users_audit_truncate AFTER TRUNCATE ON @app@.admin_users FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- API keys: only their hashes.  No role but the owner reads or writes here.
CREATE TABLE padlock.api_keys (
    key_hash bytea PRIMARY KEY CONSTRAINT api_keys_key_hash CHECK (pg_catalog.octet_length(key_hash) = 32),
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid() UNIQUE,
    company_id uuid NOT NULL,
    display text NOT NULL,
    label text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
COMMENT ON TABLE padlock.api_keys IS 'padlock: API keys of companies, stored as SHA-256 hashes';
COMMENT ON COLUMN padlock.api_keys.display IS 'prefix and last four characters, to recognise a key by';
COMMENT ON COLUMN padlock.api_keys.last_used_at IS 'written by a background worker every few seconds, not by the request';
CREATE INDEX api_keys_company_id_idx ON padlock.api_keys (company_id);
ALTER TABLE padlock.api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.api_keys FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.api_keys FROM PUBLIC, anon, authenticated, service_role;
-- Audited without the hash, and without the worker's writes of last_used_at.
CREATE TRIGGER api_keys_audit AFTER INSERT OR DELETE OR UPDATE OF key_hash, id, company_id, display, label, created_at, expires_at, revoked_at
    ON padlock.api_keys FOR EACH ROW EXECUTE FUNCTION padlock.audit_row('key_hash');
CREATE TRIGGER api_keys_audit_truncate AFTER TRUNCATE ON padlock.api_keys FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- The audit trail, one partition a month; rows are only ever inserted.
CREATE TABLE @app@.audit_logs (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid,
    company_id uuid,
    action text NOT NULL,
    table_name text,
    record_id uuid,
    old_values jsonb,
    new_values jsonb,
    ip_address text,
    user_agent text,
    request_path text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    erased_at timestamptz,
    salt uuid DEFAULT pg_catalog.gen_random_uuid(),
    personal_digest bytea,
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE @app@.audit_logs IS 'padlock: who changed what, from where';
COMMENT ON COLUMN @app@.audit_logs.erased_at IS 'when padlock.forget_user() took the personal values out of the row';
COMMENT ON COLUMN @app@.audit_logs.salt IS 'hashed with the personal values, and erased with them, so that their digest tells nothing';
COMMENT ON COLUMN @app@.audit_logs.personal_digest IS 'stands for the personal values in the digest of the row once they are erased';
-- Holds the rows of months without a partition, so that no insert ever fails.
CREATE TABLE @app@.audit_logs_default PARTITION OF @app@.audit_logs DEFAULT;
COMMENT ON TABLE @app@.audit_logs_default IS 'padlock: audit rows of months without a partition';
CREATE INDEX audit_logs_user_id_idx ON @app@.audit_logs (user_id, created_at);
CREATE INDEX audit_logs_company_id_idx ON @app@.audit_logs (company_id, created_at);
CREATE INDEX audit_logs_record_id_idx ON @app@.audit_logs (record_id, created_at);
CREATE INDEX audit_logs_table_name_idx ON @app@.audit_logs (table_name, created_at);
ALTER TABLE @app@.audit_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.audit_logs FORCE ROW LEVEL SECURITY;
ALTER TABLE @app@.audit_logs_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.audit_logs_default FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_logs_select ON @app@.audit_logs FOR SELECT TO authenticated
    USING (padlock.is_admin());
CREATE POLICY audit_logs_insert ON @app@.audit_logs FOR INSERT TO service_role
    WITH CHECK (padlock.is_service_role());
REVOKE ALL ON TABLE @app@.audit_logs FROM PUBLIC, anon, authenticated, service_role;
REVOKE ALL ON TABLE @app@.audit_logs_default FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT ON TABLE @app@.audit_logs TO authenticated;
GRANT INSERT ON TABLE @app@.audit_logs TO service_role;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON @app@.audit_logs FOR EACH ROW EXECUTE FUNCTION padlock.audit_refuse();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON @app@.audit_logs FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_refuse();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON @app@.audit_logs_default FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_refuse();
SELECT padlock.create_audit_partitions();

-- The seals of the trail; rows are only ever inserted.
CREATE TABLE padlock.audit_seals (
    number bigint PRIMARY KEY,
    sealed_at timestamptz NOT NULL,
    closed_until timestamptz NOT NULL,
    row_count integer NOT NULL,
    first_created_at timestamptz,
    last_created_at timestamptz,
    entries bytea NOT NULL,
    digest bytea NOT NULL
);
COMMENT ON TABLE padlock.audit_seals IS 'padlock: what the rows of audit_logs were when they were sealed';
COMMENT ON COLUMN padlock.audit_seals.closed_until IS 'every row from before this time is in this seal or an earlier one';
COMMENT ON COLUMN padlock.audit_seals.entries IS 'created_at (8 bytes), id (16) and digest (32) of each row: padlock.audit_entries()';
COMMENT ON COLUMN padlock.audit_seals.digest IS 'SHA-256 of this seal and the digest of the one before it';
CREATE INDEX audit_seals_last_created_at_idx ON padlock.audit_seals (last_created_at);
ALTER TABLE padlock.audit_seals ALTER COLUMN entries SET STORAGE EXTERNAL;
ALTER TABLE padlock.audit_seals ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.audit_seals FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.audit_seals FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE ON padlock.audit_seals FOR EACH ROW EXECUTE FUNCTION padlock.audit_refuse();
CREATE TRIGGER audit_seals_no_truncate BEFORE TRUNCATE ON padlock.audit_seals FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_refuse();

-- What callers may do in a while; a row with a company holds for it alone.
CREATE TABLE @app@.rate_limit_rules (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    endpoint text NOT NULL CONSTRAINT rate_limit_rules_endpoint CHECK (pg_catalog.length(endpoint) BETWEEN 1 AND 40),
    caller text NOT NULL CONSTRAINT rate_limit_rules_caller CHECK (caller IN ('user', 'company', 'ip', 'admin', 'source', 'account', 'account_ip')),
    company_id uuid,
    max_requests integer NOT NULL CONSTRAINT rate_limit_rules_max_requests CHECK (max_requests >= 0),
    window_minutes integer NOT NULL DEFAULT 60
        CONSTRAINT rate_limit_rules_window_minutes CHECK (window_minutes BETWEEN 1 AND 527040),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT rate_limit_rules_endpoint_company_id_key UNIQUE NULLS NOT DISTINCT (endpoint, company_id)
);
COMMENT ON TABLE @app@.rate_limit_rules IS 'padlock: how often the endpoints may be called; an endpoint without a row is not limited';
COMMENT ON COLUMN @app@.rate_limit_rules.caller IS 'who counts as one caller: a signed-in user, a company by its key, an address, an admin, the address of a webhook''s source, the account that is tried, or the account from one address';
COMMENT ON COLUMN @app@.rate_limit_rules.company_id IS 'the company the rule is for, instead of the general one; NULL: everybody';
CREATE INDEX rate_limit_rules_company_id_idx ON @app@.rate_limit_rules (company_id);
ALTER TABLE @app@.rate_limit_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.rate_limit_rules FORCE ROW LEVEL SECURITY;
-- The limits that keep passwords from being guessed are for super admins: an
-- account that they guard may be one.
CREATE POLICY rate_limit_rules_select ON @app@.rate_limit_rules FOR SELECT TO authenticated, service_role
    USING (padlock.is_privileged());
CREATE POLICY rate_limit_rules_admin ON @app@.rate_limit_rules FOR ALL TO authenticated, service_role
    USING (padlock.is_privileged() AND endpoint NOT IN ('sign_up', 'sign_in', 'sign_in_failure', 'sign_in_failure_anywhere', 'sign_up_mail', 'reset_password_mail', 'change_email_mail', 'refresh_session',
        'confirm_email', 'request_password_reset', 'reset_password', 'change_password', 'change_email'))
    WITH CHECK (padlock.is_privileged() AND endpoint NOT IN ('sign_up', 'sign_in', 'sign_in_failure', 'sign_in_failure_anywhere', 'sign_up_mail', 'reset_password_mail', 'change_email_mail', 'refresh_session',
        'confirm_email', 'request_password_reset', 'reset_password', 'change_password', 'change_email'));
CREATE POLICY rate_limit_rules_super ON @app@.rate_limit_rules FOR ALL TO authenticated
    USING (padlock.is_super_admin()) WITH CHECK (padlock.is_super_admin());
REVOKE ALL ON TABLE @app@.rate_limit_rules FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.rate_limit_rules TO authenticated, service_role;
CREATE TRIGGER rate_limit_rules_check BEFORE INSERT OR UPDATE OF endpoint, caller ON @app@.rate_limit_rules FOR EACH ROW EXECUTE FUNCTION padlock.check_limit_rule();
CREATE TRIGGER rate_limit_rules_touch BEFORE UPDATE ON @app@.rate_limit_rules FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER rate_limit_rules_audit AFTER INSERT OR UPDATE OR DELETE ON @app@.rate_limit_rules FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER rate_limit_rules_audit_truncate AFTER TRUNCATE ON @app@.rate_limit_rules FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
-- Beyond the endpoints: the mails that anybody can have sent to an address, and
-- wrong passwords in a row.  Those from one place close an account to that
-- place only, so that nobody can lock its owner out from elsewhere.  A row that
-- is missing is put back by padlock.install().
INSERT INTO @app@.rate_limit_rules (endpoint, caller, max_requests, window_minutes)
SELECT endpoint, caller, max_requests, window_minutes
  FROM (VALUES ('product_create', 'company', 100, 60), ('product_update', 'company', 100, 60), ('product_search', 'ip', 1000, 60), ('suggest', 'ip', 10000, 60),
               ('company_onboard', 'admin', 10, 60), ('document_upload', 'user', 50, 60), ('document_put', 'user', 50, 60), ('document_content', 'user', 1000, 60), ('ai_product_ingest', 'source', 200, 60),
               ('sign_up', 'ip', 50, 60), ('sign_in', 'ip', 100, 60), ('refresh_session', 'ip', 1000, 60),
               ('confirm_email', 'ip', 100, 60), ('request_password_reset', 'ip', 50, 60), ('reset_password', 'ip', 100, 60),
               ('change_password', 'user', 20, 60), ('change_email', 'user', 20, 60), ('sign_out', 'user', 200, 60),
               ('list_sessions', 'user', 1000, 60), ('revoke_session', 'user', 200, 60),
               ('create_api_key', 'company', 100, 60), ('list_api_keys', 'company', 100, 60),
               ('rotate_api_key', 'company', 100, 60), ('revoke_api_key', 'company', 100, 60),
               ('sign_in_failure', 'account_ip', 10, 15), ('sign_in_failure_anywhere', 'account', 100, 60),
               ('sign_up_mail', 'account', 5, 60), ('reset_password_mail', 'account', 5, 60), ('change_email_mail', 'account', 5, 60))
       AS seed(endpoint, caller, max_requests, window_minutes)
 WHERE NOT EXISTS (SELECT FROM @app@.rate_limit_rules r WHERE r.endpoint = seed.endpoint AND r.company_id IS NULL);

-- What the limiter holds, live.
CREATE VIEW @app@.rate_limits WITH (security_invoker = true) AS
    SELECT id, identifier, endpoint, request_count, window_start, created_at FROM padlock.rate_limit_keys();
COMMENT ON VIEW @app@.rate_limits IS 'padlock: what the rate limiter holds, live; rows for admins and service_role';
REVOKE ALL ON TABLE @app@.rate_limits FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT ON TABLE @app@.rate_limits TO authenticated, service_role;
-- The queue.  Jobs and the outcomes of their attempts are appended and, as
-- long as they run by themselves, never changed: no dead rows, hence the same
-- speed however old the oldest snapshot is.  What waits and what runs is in
-- shared memory; job_queue, a view, puts it together.
--
-- The parents are generation 0: jobs that were changed by hand, or outlived
-- their generation.  Everything else is in the youngest children, jobs_<n> and
-- job_outcomes_<n>.  Inheritance and not partitioning, since a child can be
-- dropped without a lock on its parent.
CREATE TABLE padlock.jobs (
    seq bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY,
    id uuid NOT NULL,
    job_type text NOT NULL
        CONSTRAINT jobs_job_type_length CHECK (pg_catalog.length(job_type) BETWEEN 1 AND 100),
    priority integer NOT NULL,
    payload jsonb NOT NULL
        CONSTRAINT jobs_payload_object CHECK (pg_catalog.jsonb_typeof(payload) = 'object'),
    max_attempts integer NOT NULL
        CONSTRAINT jobs_max_attempts CHECK (max_attempts >= 1),
    run_at timestamptz,
    created_at timestamptz NOT NULL,
    dedupe_key text
        CONSTRAINT jobs_dedupe_key_length CHECK (pg_catalog.length(dedupe_key) BETWEEN 1 AND 200),
    queue text
        CONSTRAINT jobs_queue_length CHECK (pg_catalog.length(queue) BETWEEN 1 AND 200),
    CONSTRAINT jobs_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE padlock.jobs IS 'padlock: jobs that outlive the transaction that asked for them; see view job_queue';
COMMENT ON COLUMN padlock.jobs.seq IS 'order of insertion: created_at is equal for all jobs of one transaction, so it alone cannot keep them first in, first out';
COMMENT ON COLUMN padlock.jobs.run_at IS 'not due before; NULL: at once';
COMMENT ON COLUMN padlock.jobs.dedupe_key IS 'while a job of this type and key waits or runs, another is not added';
COMMENT ON COLUMN padlock.jobs.queue IS 'jobs of one queue key, such as a host, run a few at a time only';
CREATE INDEX jobs_seq_idx ON padlock.jobs USING brin (seq);
CREATE INDEX jobs_dedupe_key_idx ON padlock.jobs (dedupe_key) WHERE dedupe_key IS NOT NULL;

-- At most one row an attempt; at most one that ends its job, the last.
CREATE TABLE padlock.job_outcomes (
    job_seq bigint NOT NULL,
    started_at timestamptz,
    ended_at timestamptz NOT NULL,
    next_retry_at timestamptz,
    attempt integer NOT NULL
        CONSTRAINT job_outcomes_attempt CHECK (attempt >= 0),
    kind text NOT NULL
        CONSTRAINT job_outcomes_kind CHECK (kind IN ('completed', 'failed', 'cancelled', 'retry')),
    worker_id text,
    result jsonb,
    error text
        CONSTRAINT job_outcomes_error_length CHECK (pg_catalog.octet_length(error) <= 8192),
    CONSTRAINT job_outcomes_pkey PRIMARY KEY (job_seq, attempt)
);
COMMENT ON TABLE padlock.job_outcomes IS 'padlock: how attempts at jobs ended: completed, failed, cancelled, or to be tried again (retry)';
COMMENT ON COLUMN padlock.job_outcomes.attempt IS 'the fencing token of the claim; 0: the job ended before any';
COMMENT ON COLUMN padlock.job_outcomes.next_retry_at IS 'after kind retry, not due before';
CREATE INDEX job_outcomes_ended_at_idx ON padlock.job_outcomes USING brin (ended_at);

-- Generation 1; the next ones are made as time goes by.
CREATE TABLE padlock.jobs_1 (CONSTRAINT jobs_1_pkey PRIMARY KEY (id)) INHERITS (padlock.jobs);
COMMENT ON TABLE padlock.jobs_1 IS 'padlock: jobs of one generation';
CREATE INDEX jobs_1_seq_idx ON padlock.jobs_1 USING brin (seq);
CREATE INDEX jobs_1_dedupe_key_idx ON padlock.jobs_1 (dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE TABLE padlock.job_outcomes_1 (CONSTRAINT job_outcomes_1_pkey PRIMARY KEY (job_seq, attempt)) INHERITS (padlock.job_outcomes);
COMMENT ON TABLE padlock.job_outcomes_1 IS 'padlock: outcomes of one generation';
CREATE INDEX job_outcomes_1_ended_at_idx ON padlock.job_outcomes_1 USING brin (ended_at);

CREATE TABLE padlock.job_generations (
    generation integer PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    settled_below bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE padlock.job_generations IS 'padlock: the pairs of tables that hold jobs and outcomes; retention drops whole ones';
COMMENT ON COLUMN padlock.job_generations.settled_below IS 'jobs of this generation with a lower seq have all ended and are counted in job_tallies';
INSERT INTO padlock.job_generations (generation) SELECT 1 WHERE NOT EXISTS (SELECT FROM padlock.job_generations);

CREATE TABLE padlock.job_tallies (
    generation integer NOT NULL,
    job_type text NOT NULL,
    status text NOT NULL,
    jobs bigint NOT NULL,
    PRIMARY KEY (generation, job_type, status)
);
COMMENT ON TABLE padlock.job_tallies IS 'padlock: counts of the jobs below settled_below that job_queue shows';

CREATE TABLE padlock.job_retention (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT job_retention_only_row CHECK (only_row),
    completed_before timestamptz NOT NULL DEFAULT '-infinity',
    failed_before timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE padlock.job_retention IS 'padlock: job_queue shows no job that ended before these times; its generation is dropped later';
INSERT INTO padlock.job_retention (only_row) SELECT true WHERE NOT EXISTS (SELECT FROM padlock.job_retention);

CREATE TABLE padlock.job_types (
    job_type text PRIMARY KEY
        CONSTRAINT job_types_job_type_length CHECK (pg_catalog.length(job_type) BETWEEN 1 AND 100),
    paused boolean NOT NULL DEFAULT false,
    external boolean NOT NULL DEFAULT false,
    max_running integer
        CONSTRAINT job_types_max_running CHECK (max_running >= 1),
    max_running_per_queue integer
        CONSTRAINT job_types_max_running_per_queue CHECK (max_running_per_queue >= 1),
    retry_base interval
        CONSTRAINT job_types_retry_base CHECK (retry_base >= interval '1 ms' AND retry_base <= interval '24 days'),
    retry_cap interval
        CONSTRAINT job_types_retry_cap CHECK (retry_cap >= interval '1 ms' AND retry_cap <= interval '24 days')
);
COMMENT ON TABLE padlock.job_types IS 'padlock: what is special about a job type: pause, limits, retries; a type without a row has nothing special';
COMMENT ON COLUMN padlock.job_types.paused IS 'jobs are taken and wait';
COMMENT ON COLUMN padlock.job_types.external IS 'background workers leave these jobs to get_next_job(); without it, they fail those of a type that has no handler';
COMMENT ON COLUMN padlock.job_types.max_running IS 'jobs of this type that may run at a time; NULL: any number';
COMMENT ON COLUMN padlock.job_types.max_running_per_queue IS 'jobs with one queue key that may run at a time; NULL: padlock.max_running_per_queue';
COMMENT ON COLUMN padlock.job_types.retry_base IS 'in place of padlock.retry_base';
COMMENT ON COLUMN padlock.job_types.retry_cap IS 'in place of padlock.retry_cap';
CREATE TRIGGER job_types_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON padlock.job_types FOR EACH STATEMENT EXECUTE FUNCTION padlock.job_types_changed();

ALTER TABLE padlock.jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.jobs FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.jobs_1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.jobs_1 FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_outcomes ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_outcomes FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_outcomes_1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_outcomes_1 FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_generations ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_generations FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_tallies ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_tallies FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_retention ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_retention FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_types ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.job_types FORCE ROW LEVEL SECURITY;
CREATE POLICY job_types_service ON padlock.job_types TO service_role USING (padlock.is_service_role()) WITH CHECK (padlock.is_service_role());
REVOKE ALL ON TABLE padlock.jobs, padlock.jobs_1, padlock.job_outcomes, padlock.job_outcomes_1, padlock.job_generations,
    padlock.job_tallies, padlock.job_retention, padlock.job_types FROM PUBLIC, anon, authenticated, service_role;
REVOKE ALL ON SEQUENCE padlock.jobs_seq_seq FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE padlock.job_types TO service_role;

-- Nobody but the owner may read the tables, so the view asks as its owner and
-- says itself who sees rows.
--
-- pending -> processing -> completed | failed, and back to pending when an
-- attempt fails or its lease ends with attempts left.  An outcome that is no
-- retry ends the job (f); else a lease makes it processing (l), and the last
-- retry says what happened before (r).
CREATE VIEW @app@.job_queue AS
SELECT j.id, j.job_type,
       CASE WHEN f.kind = 'completed' THEN 'completed' WHEN f.kind IS NOT NULL THEN 'failed'
            WHEN l.job_id IS NOT NULL THEN 'processing' ELSE 'pending' END AS status,
       j.priority, j.payload, f.result,
       COALESCE(f.error, r.error) AS error_message,
       COALESCE(f.attempt, l.attempt, r.attempt, 0) AS attempts,
       j.max_attempts,
       CASE WHEN f.kind IS NULL AND l.job_id IS NULL THEN CASE WHEN r.attempt IS NULL THEN j.run_at ELSE r.next_retry_at END END AS next_retry_at,
       j.created_at,
       CASE WHEN f.kind IS NOT NULL THEN f.started_at ELSE COALESCE(l.started_at, r.started_at) END AS started_at,
       f.ended_at AS completed_at,
       CASE WHEN f.kind IS NOT NULL THEN f.worker_id ELSE COALESCE(l.worker_id, r.worker_id) END AS worker_id,
       l.locked_until,
       j.seq AS enqueue_order, j.dedupe_key, j.queue
  FROM padlock.jobs j
  LEFT JOIN padlock.job_outcomes f ON f.job_seq = j.seq AND f.kind <> 'retry'
  LEFT JOIN padlock.job_leases() l ON l.job_id = j.id AND f.kind IS NULL
  LEFT JOIN LATERAL (SELECT o.error, o.attempt, o.next_retry_at, o.started_at, o.worker_id
                       FROM padlock.job_outcomes o
                      WHERE f.kind IS NULL AND o.job_seq = j.seq AND o.kind = 'retry'
                      ORDER BY o.attempt DESC LIMIT 1) r ON true
 WHERE padlock.may_use_queue()
   AND (f.kind IS NULL OR f.tableoid = 'padlock.job_outcomes'::regclass
        OR f.ended_at >= CASE WHEN f.kind = 'completed' THEN (SELECT completed_before FROM padlock.job_retention)
                              ELSE (SELECT failed_before FROM padlock.job_retention) END);
COMMENT ON VIEW @app@.job_queue IS 'padlock: jobs that outlive the transaction that asked for them; takes INSERT, UPDATE and DELETE';
COMMENT ON COLUMN @app@.job_queue.priority IS 'higher runs first; equal ones in the order of enqueue_order';
COMMENT ON COLUMN @app@.job_queue.attempts IS 'claims so far; the number of the current claim is its fencing token';
COMMENT ON COLUMN @app@.job_queue.next_retry_at IS 'a pending job is not due before; NULL: due at once';
COMMENT ON COLUMN @app@.job_queue.started_at IS 'when the latest claim was made';
COMMENT ON COLUMN @app@.job_queue.completed_at IS 'when the job ended, completed or failed';
COMMENT ON COLUMN @app@.job_queue.worker_id IS 'who made the latest claim; kept after its end';
COMMENT ON COLUMN @app@.job_queue.locked_until IS 'when the lease of a processing job ends and the job is due again';
COMMENT ON COLUMN @app@.job_queue.enqueue_order IS 'order of insertion: created_at is equal for all jobs of one transaction, so it alone cannot keep them first in, first out';
COMMENT ON COLUMN @app@.job_queue.dedupe_key IS 'while a job of this type and key waits or runs, another is not added';
COMMENT ON COLUMN @app@.job_queue.queue IS 'jobs of one queue key, such as a host, run a few at a time only';
REVOKE ALL ON TABLE @app@.job_queue FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.job_queue TO service_role;
CREATE TRIGGER job_queue_insert INSTEAD OF INSERT ON @app@.job_queue FOR EACH ROW EXECUTE FUNCTION padlock.job_queue_change();
CREATE TRIGGER job_queue_update INSTEAD OF UPDATE ON @app@.job_queue FOR EACH ROW EXECUTE FUNCTION padlock.job_queue_change();
CREATE TRIGGER job_queue_delete INSTEAD OF DELETE ON @app@.job_queue FOR EACH ROW EXECUTE FUNCTION padlock.job_queue_change();

CREATE VIEW padlock.job_counts WITH (security_invoker = true) AS
SELECT job_type, status, jobs FROM padlock.count_jobs();
COMMENT ON VIEW padlock.job_counts IS 'padlock: how many jobs there are of each type and status, however many have ended';
REVOKE ALL ON TABLE padlock.job_counts FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT ON TABLE padlock.job_counts TO service_role, pg_monitor;

CREATE VIEW padlock.job_progress AS
SELECT l.job_id, j.job_type, l.worker_id, l.done, l.total, l.message,
       l.done / NULLIF(EXTRACT(epoch FROM l.reported_at - l.started_at), 0) AS rate,
       l.started_at, l.reported_at,
       CASE WHEN l.done > 0 AND l.total >= l.done
            THEN l.reported_at + (l.reported_at - l.started_at) * ((l.total - l.done)::double precision / l.done) END AS estimate
  FROM padlock.job_leases() l JOIN padlock.jobs j ON j.id = l.job_id;
COMMENT ON VIEW padlock.job_progress IS 'padlock: what runs and how far it is, as its handler reports: done of total, a message, rate a second, estimated end';
REVOKE ALL ON TABLE padlock.job_progress FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT ON TABLE padlock.job_progress TO service_role, pg_monitor;

-- What mails say.  A template that is missing is put back by padlock.install().
CREATE TABLE padlock.email_templates (
    name text PRIMARY KEY CONSTRAINT email_templates_name CHECK (name ~ '^[a-z0-9_]{1,100}$'),
    subject text NOT NULL
        CONSTRAINT email_templates_subject CHECK (pg_catalog.length(subject) >= 1 AND pg_catalog.length(subject) <= 200 AND subject !~ '[[:cntrl:]]'),
    text_body text NOT NULL CONSTRAINT email_templates_text_body CHECK (pg_catalog.length(text_body) BETWEEN 1 AND 100000),
    html_body text CONSTRAINT email_templates_html_body CHECK (pg_catalog.length(html_body) BETWEEN 1 AND 100000),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE padlock.email_templates IS 'padlock: subjects and texts of mails, with {{placeholders}} for the data of the job, {{site_url}} and {{to}}';
COMMENT ON COLUMN padlock.email_templates.html_body IS 'values are escaped in it; NULL: the mail has the plain text only';
ALTER TABLE padlock.email_templates ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.email_templates FORCE ROW LEVEL SECURITY;
-- Who writes the mail that carries a token can have the token.
CREATE POLICY email_templates_select ON padlock.email_templates FOR SELECT TO authenticated, service_role
    USING (padlock.is_privileged());
CREATE POLICY email_templates_super ON padlock.email_templates FOR ALL TO authenticated
    USING (padlock.is_super_admin()) WITH CHECK (padlock.is_super_admin());
REVOKE ALL ON TABLE padlock.email_templates FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE padlock.email_templates TO authenticated, service_role;
INSERT INTO padlock.email_templates (name, subject, text_body, html_body)
SELECT name, subject, text_body, html_body
  FROM (VALUES
    ('confirm_email', 'Confirm your e-mail address',
     E'Welcome. To confirm that {{to}} is your address, open this link and enter the password that you signed up with:\n\n{{site_url}}/confirm-email?token={{token}}\n\nIt works once, for {{valid_for}}. If you did not sign up, do nothing: no account is made.\n',
     E'<p>Welcome. To confirm that {{to}} is your address, open this link and enter the password that you signed up with:</p>\n<p><a href="{{site_url}}/confirm-email?token={{token}}">Confirm the address</a></p>\n<p>It works once, for {{valid_for}}. If you did not sign up, do nothing: no account is made.</p>\n'),
    ('change_email', 'Confirm your new e-mail address',
     E'To make {{to}} the address of your account, open this link and enter your password:\n\n{{site_url}}/confirm-email?token={{token}}\n\nIt works once, for {{valid_for}}. If you did not ask for this, do nothing: the address stays as it is.\n',
     E'<p>To make {{to}} the address of your account, open this link and enter your password:</p>\n<p><a href="{{site_url}}/confirm-email?token={{token}}">Change the address</a></p>\n<p>It works once, for {{valid_for}}. If you did not ask for this, do nothing: the address stays as it is.</p>\n'),
    ('reset_password', 'Set a new password',
     E'To set a new password for your account, open this link:\n\n{{site_url}}/reset-password?token={{token}}\n\nIt works once, for {{valid_for}}. If you did not ask for this, do nothing: your password stays as it is.\n',
     E'<p>To set a new password for your account, open this link:</p>\n<p><a href="{{site_url}}/reset-password?token={{token}}">Set a new password</a></p>\n<p>It works once, for {{valid_for}}. If you did not ask for this, do nothing: your password stays as it is.</p>\n'),
    ('account_exists', 'You have an account already',
     E'Somebody wanted to use {{to}} for an account, but it has one already. If it was you, sign in, or set a new password:\n\n{{site_url}}\n\nOtherwise do nothing.\n',
     E'<p>Somebody wanted to use {{to}} for an account, but it has one already. If it was you, <a href="{{site_url}}">sign in, or set a new password</a>.</p>\n<p>Otherwise do nothing.</p>\n'),
    ('no_account', 'There is no account with this address',
     E'Somebody asked for a new password for {{to}}, which has no account. If it was you, you may have signed up with another address:\n\n{{site_url}}\n\nOtherwise do nothing.\n',
     E'<p>Somebody asked for a new password for {{to}}, which has no account. If it was you, you may have <a href="{{site_url}}">signed up</a> with another address.</p>\n<p>Otherwise do nothing.</p>\n'),
    ('password_changed', 'Your password was changed',
     E'The password of your account was changed. If it was not you, set a new one at once:\n\n{{site_url}}\n',
     E'<p>The password of your account was changed. If it was not you, <a href="{{site_url}}">set a new one</a> at once.</p>\n'),
    ('email_changed', 'Your e-mail address was changed',
     E'The address of your account was changed, from {{to}} to another. If it was not you, tell us at once:\n\n{{site_url}}\n',
     E'<p>The address of your account was changed, from {{to}} to another. If it was not you, <a href="{{site_url}}">tell us</a> at once.</p>\n'))
       AS seed(name, subject, text_body, html_body)
 WHERE NOT EXISTS (SELECT FROM padlock.email_templates t WHERE t.name = seed.name);
CREATE TRIGGER email_templates_touch BEFORE UPDATE ON padlock.email_templates FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER email_templates_audit AFTER INSERT OR UPDATE OR DELETE ON padlock.email_templates FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER email_templates_audit_truncate AFTER TRUNCATE ON padlock.email_templates FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- Passwords, apart from users, whose rows their owners and admins may read.
-- No role but the owner reads or writes here, nor in the next two tables.
CREATE TABLE padlock.credentials (
    user_id uuid PRIMARY KEY REFERENCES @app@.users (id) ON DELETE CASCADE,
    password_hash text NOT NULL,
    email_confirmed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE padlock.credentials IS 'padlock: passwords of users, as scrypt hashes in PHC strings';
COMMENT ON COLUMN padlock.credentials.email_confirmed_at IS 'when the user proved that the address is his; NULL: never';
-- Which costs there are, whatever the number of users.
CREATE INDEX credentials_parameters_idx ON padlock.credentials ((pg_catalog.split_part(password_hash, '$', 3)));
ALTER TABLE padlock.credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.credentials FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.credentials FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER credentials_touch BEFORE UPDATE ON padlock.credentials FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();

CREATE TABLE padlock.sessions (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES @app@.users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_used_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    refresh_counter bigint NOT NULL DEFAULT 0,
    ip_address text,
    user_agent text
);
COMMENT ON TABLE padlock.sessions IS 'padlock: sessions of users; an access token is refused once its session is revoked or expired';
COMMENT ON COLUMN padlock.sessions.last_used_at IS 'when the session was opened or last refreshed';
COMMENT ON COLUMN padlock.sessions.expires_at IS 'end of the session, however much it is used';
COMMENT ON COLUMN padlock.sessions.refresh_counter IS 'counter in the newest refresh token';
COMMENT ON COLUMN padlock.sessions.ip_address IS 'of the sign-in or the last refresh, as is user_agent';
CREATE INDEX sessions_user_id_idx ON padlock.sessions (user_id);
ALTER TABLE padlock.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.sessions FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.sessions FROM PUBLIC, anon, authenticated, service_role;

CREATE TABLE padlock.one_time_tokens (
    token_hash bytea PRIMARY KEY CONSTRAINT one_time_tokens_token_hash CHECK (pg_catalog.octet_length(token_hash) = 32),
    purpose text NOT NULL
        CONSTRAINT one_time_tokens_purpose CHECK (purpose IN ('confirm_email', 'change_email', 'reset_password')),
    user_id uuid REFERENCES @app@.users (id) ON DELETE CASCADE,
    email text NOT NULL,
    password_hash text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE padlock.one_time_tokens IS 'padlock: what was mailed to users to prove an address, as SHA-256 hashes; deleted when used';
COMMENT ON COLUMN padlock.one_time_tokens.user_id IS 'whose address or password may be changed; NULL for a sign-up, and for a request that leads nowhere';
COMMENT ON COLUMN padlock.one_time_tokens.email IS 'the address that the token was mailed to';
COMMENT ON COLUMN padlock.one_time_tokens.password_hash IS 'the password of the sign-up that the token confirms: each sign-up for an address confirms its own';
CREATE INDEX one_time_tokens_user_id_idx ON padlock.one_time_tokens (user_id);
CREATE INDEX one_time_tokens_email_idx ON padlock.one_time_tokens (pg_catalog.lower(email));
CREATE INDEX one_time_tokens_expires_at_idx ON padlock.one_time_tokens (expires_at);
ALTER TABLE padlock.one_time_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.one_time_tokens FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.one_time_tokens FROM PUBLIC, anon, authenticated, service_role;

-- Key encryption keys, each wrapped by its provider.  No role but the owner
-- reads or writes here.
CREATE TABLE padlock.keys (
    key_id text NOT NULL CONSTRAINT keys_key_id CHECK (key_id ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    version integer NOT NULL CONSTRAINT keys_version CHECK (version > 0),
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid() CONSTRAINT keys_id UNIQUE,
    state text NOT NULL CONSTRAINT keys_state CHECK (state IN ('pending', 'active', 'decrypt-only', 'destroyed')),
    provider text NOT NULL,
    provider_key_id text,
    wrapped bytea,
    check_value bytea,
    rewrap_provider text,
    rewrap_provider_key_id text,
    wraps_from bigint NOT NULL,
    wraps_to bigint,
    messages_from bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    retired_at timestamptz,
    destroyed_at timestamptz,
    PRIMARY KEY (key_id, version),
    CONSTRAINT keys_wrapped CHECK ((wrapped IS NULL) = (state IN ('pending', 'destroyed')))
);
COMMENT ON TABLE padlock.keys IS 'padlock: keys that wrap the keys of documents, themselves wrapped by a provider';
COMMENT ON COLUMN padlock.keys.version IS 'key_id/version is the name that documents and messages carry';
COMMENT ON COLUMN padlock.keys.id IS 'of the key itself, by which it is found in memory: names may return after a rollback or a restore';
COMMENT ON COLUMN padlock.keys.state IS 'pending: a worker is to make it; active: encrypts; decrypt-only; destroyed';
COMMENT ON COLUMN padlock.keys.wrapped IS 'the key, as the provider encrypted it';
COMMENT ON COLUMN padlock.keys.check_value IS 'by which a key that comes back from a key service is known again; tells nothing of it';
COMMENT ON COLUMN padlock.keys.rewrap_provider IS 'the provider by which a worker is to wrap the key anew';
COMMENT ON COLUMN padlock.keys.wraps_from IS 'key_wraps when the key was made: what it wrapped was counted from there, up to wraps_to';
COMMENT ON COLUMN padlock.keys.messages_from IS 'key_messages when the key was made: what encrypt() made with it was counted from there';
CREATE UNIQUE INDEX keys_active ON padlock.keys (key_id) WHERE state = 'active';
ALTER TABLE padlock.keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.keys FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.keys FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER keys_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON padlock.keys FOR EACH STATEMENT EXECUTE FUNCTION padlock.keyring_changed();
CREATE TRIGGER keys_audit AFTER INSERT OR UPDATE OR DELETE ON padlock.keys FOR EACH ROW EXECUTE FUNCTION padlock.audit_row('wrapped', 'check_value');
CREATE TRIGGER keys_audit_truncate AFTER TRUNCATE ON padlock.keys FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- Counts the data keys that all keys of this database wrap, in steps of what a
-- session takes at a time.
CREATE SEQUENCE padlock.key_wraps AS bigint INCREMENT BY 64 MINVALUE 0 START WITH 0;
COMMENT ON SEQUENCE padlock.key_wraps IS 'padlock: how many data keys were wrapped, at most';
REVOKE ALL ON SEQUENCE padlock.key_wraps FROM PUBLIC, anon, authenticated, service_role;
-- Counts the messages that padlock.encrypt() makes, with all keys of this
-- database, in the same steps: destroy_key() asks before it ends them.
CREATE SEQUENCE padlock.key_messages AS bigint INCREMENT BY 64 MINVALUE 0 START WITH 0;
COMMENT ON SEQUENCE padlock.key_messages IS 'padlock: how many messages padlock.encrypt() made, at most';
REVOKE ALL ON SEQUENCE padlock.key_messages FROM PUBLIC, anon, authenticated, service_role;

-- A keyring that lock_keyring() has locked stays so over restarts.
CREATE TABLE padlock.keyring_lock (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT keyring_lock_only_row CHECK (only_row),
    locked_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    locked_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE padlock.keyring_lock IS 'padlock: has a row while the keyring is locked';
ALTER TABLE padlock.keyring_lock ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.keyring_lock FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.keyring_lock FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER keyring_lock_audit AFTER INSERT OR UPDATE OR DELETE ON padlock.keyring_lock FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER keyring_lock_audit_truncate AFTER TRUNCATE ON padlock.keyring_lock FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

CREATE TYPE @app@.policy_type_enum AS ENUM ('health', 'auto', 'life', 'home', 'other');
COMMENT ON TYPE @app@.policy_type_enum IS 'padlock: kinds of insurance';

CREATE TABLE @app@.insurance_companies (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    name text NOT NULL CONSTRAINT insurance_companies_name_key UNIQUE
        CONSTRAINT insurance_companies_name_length CHECK (pg_catalog.length(name) BETWEEN 1 AND 200),
    description text,
    logo_url text,
    website text,
    contact_email text,
    contact_phone text,
    address text,
    country text,
    is_active boolean NOT NULL DEFAULT true,
    api_key text,
    business_registration_number text,
    license_number text,
    regulatory_body text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    -- what company_onboard promises holds for writes to the table as well
    CONSTRAINT insurance_companies_description_length CHECK (pg_catalog.length(description) <= 5000),
    CONSTRAINT insurance_companies_logo_url CHECK (logo_url ~* '^https?://' AND pg_catalog.length(logo_url) <= 2000),
    CONSTRAINT insurance_companies_website CHECK (website ~* '^https?://' AND pg_catalog.length(website) <= 2000),
    CONSTRAINT insurance_companies_contact_email CHECK (contact_email ~ '^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$' AND pg_catalog.length(contact_email) <= 254),
    CONSTRAINT insurance_companies_contact_phone CHECK (pg_catalog.length(contact_phone) BETWEEN 5 AND 20),
    CONSTRAINT insurance_companies_address_length CHECK (pg_catalog.length(address) <= 500),
    CONSTRAINT insurance_companies_country CHECK (country ~ '^[A-Z]{2}$')
);
COMMENT ON TABLE @app@.insurance_companies IS 'padlock: insurers of the marketplace';
COMMENT ON COLUMN @app@.insurance_companies.api_key IS 'how the newest API key is shown: its prefix and last four characters, never the key';
-- One company, whatever the letter case and the spaces of its name.
CREATE UNIQUE INDEX insurance_companies_same_name_key ON @app@.insurance_companies
    (pg_catalog.lower(pg_catalog.regexp_replace(pg_catalog.btrim(name), '[[:space:]]+', ' ', 'g')));
CREATE INDEX insurance_companies_active_idx ON @app@.insurance_companies (is_active);
ALTER TABLE @app@.insurance_companies ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.insurance_companies FORCE ROW LEVEL SECURITY;
CREATE POLICY insurance_companies_select ON @app@.insurance_companies FOR SELECT TO anon, authenticated, service_role
    USING (id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_companies_update ON @app@.insurance_companies FOR UPDATE TO anon, authenticated, service_role
    USING (id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high())
    WITH CHECK (id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_companies_insert ON @app@.insurance_companies FOR INSERT TO authenticated, service_role
    WITH CHECK (padlock.is_privileged());
CREATE POLICY insurance_companies_delete ON @app@.insurance_companies FOR DELETE TO authenticated, service_role
    USING (padlock.is_privileged());
REVOKE ALL ON TABLE @app@.insurance_companies FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, UPDATE ON TABLE @app@.insurance_companies TO anon;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.insurance_companies TO authenticated, service_role;
-- The name too: renaming to one that is taken would tell of a company that is hidden.
CREATE TRIGGER insurance_companies_guard BEFORE INSERT OR UPDATE ON @app@.insurance_companies FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'name', 'is_active', 'api_key', 'business_registration_number', 'license_number', 'regulatory_body');
CREATE TRIGGER insurance_companies_touch BEFORE UPDATE ON @app@.insurance_companies FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER insurance_companies_audit AFTER INSERT OR UPDATE OR DELETE ON @app@.insurance_companies FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER insurance_companies_audit_truncate AFTER TRUNCATE ON @app@.insurance_companies FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
ALTER TABLE padlock.api_keys ADD CONSTRAINT api_keys_company_id_fkey FOREIGN KEY (company_id) REFERENCES @app@.insurance_companies (id) ON DELETE CASCADE;
ALTER TABLE @app@.rate_limit_rules ADD CONSTRAINT rate_limit_rules_company_id_fkey FOREIGN KEY (company_id) REFERENCES @app@.insurance_companies (id) ON DELETE CASCADE;

CREATE TABLE @app@.insurance_products (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    company_id uuid NOT NULL,
    product_name text NOT NULL,
    product_code text,
    policy_type @app@.policy_type_enum NOT NULL,
    description text,
    coverage_details jsonb,
    premium_amount numeric NOT NULL,
    currency text NOT NULL DEFAULT 'GBP',
    billing_frequency text NOT NULL DEFAULT 'monthly'
        CONSTRAINT insurance_products_billing_frequency CHECK (billing_frequency IN ('monthly', 'quarterly', 'annually')),
    coverage_limits jsonb,
    deductible numeric,
    benefits jsonb,
    exclusions jsonb,
    is_active boolean NOT NULL DEFAULT true,
    available_countries text[],
    minimum_age integer,
    maximum_age integer,
    product_image_url text,
    brochure_url text,
    terms_url text,
    search_keywords text[],
    ai_tags text[],
    popularity_score integer NOT NULL DEFAULT 0,
    last_crawled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    source_url text,
    provenance jsonb NOT NULL DEFAULT '{}',
    language text NOT NULL DEFAULT 'english'
        CONSTRAINT insurance_products_language CHECK (language IN ('simple', 'arabic', 'armenian', 'basque', 'catalan', 'danish',
            'dutch', 'english', 'finnish', 'french', 'german', 'greek', 'hindi', 'hungarian', 'indonesian', 'irish', 'italian',
            'lithuanian', 'nepali', 'norwegian', 'portuguese', 'romanian', 'russian', 'serbian', 'spanish', 'swedish', 'tamil',
            'turkish', 'yiddish')),
    CONSTRAINT insurance_products_code_key UNIQUE (company_id, product_code),
    -- what the endpoints promise holds for writes to the table as well
    CONSTRAINT insurance_products_name_length CHECK (pg_catalog.length(product_name) BETWEEN 1 AND 200),
    CONSTRAINT insurance_products_code_length CHECK (pg_catalog.length(product_code) BETWEEN 1 AND 50),
    CONSTRAINT insurance_products_description_length CHECK (pg_catalog.length(description) <= 5000),
    CONSTRAINT insurance_products_premium CHECK (premium_amount > 0 AND premium_amount <= 1000000),
    CONSTRAINT insurance_products_deductible CHECK (deductible BETWEEN 0 AND 1000000),
    CONSTRAINT insurance_products_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT insurance_products_popularity CHECK (popularity_score BETWEEN 0 AND 100),
    CONSTRAINT insurance_products_age_range CHECK (minimum_age >= 0 AND maximum_age <= 150),
    CONSTRAINT insurance_products_image_url CHECK (product_image_url ~* '^https?://' AND pg_catalog.length(product_image_url) <= 2000),
    CONSTRAINT insurance_products_brochure_url CHECK (brochure_url ~* '^https?://' AND pg_catalog.length(brochure_url) <= 2000),
    CONSTRAINT insurance_products_terms_url CHECK (terms_url ~* '^https?://' AND pg_catalog.length(terms_url) <= 2000),
    CONSTRAINT insurance_products_lists CHECK (
        pg_catalog.cardinality(search_keywords) <= 200 AND pg_catalog.length(pg_catalog.array_to_string(search_keywords, '')) <= 20000 AND
        pg_catalog.cardinality(ai_tags) <= 200 AND pg_catalog.length(pg_catalog.array_to_string(ai_tags, '')) <= 20000 AND
        pg_catalog.cardinality(available_countries) <= 200 AND pg_catalog.array_to_string(available_countries, ',') ~ '^([A-Z]{2}(,[A-Z]{2})*)?$'),
    CONSTRAINT insurance_products_provenance CHECK (pg_catalog.jsonb_typeof(provenance) = 'object'),
    CONSTRAINT insurance_products_objects CHECK (
        pg_catalog.jsonb_typeof(coverage_details) = 'object' AND pg_catalog.jsonb_typeof(coverage_limits) = 'object' AND
        pg_catalog.jsonb_typeof(benefits) = 'object' AND pg_catalog.jsonb_typeof(exclusions) = 'object'),
    CONSTRAINT insurance_products_object_sizes CHECK (
        pg_catalog.octet_length(coverage_details::text) <= 65536 AND pg_catalog.octet_length(coverage_limits::text) <= 65536 AND
        pg_catalog.octet_length(benefits::text) <= 65536 AND pg_catalog.octet_length(exclusions::text) <= 65536),
    CONSTRAINT insurance_products_ages CHECK (minimum_age <= maximum_age)
);
ALTER TABLE @app@.insurance_products ADD CONSTRAINT insurance_products_company_id_fkey FOREIGN KEY (company_id) REFERENCES @app@.insurance_companies (id) ON DELETE CASCADE;
COMMENT ON TABLE @app@.insurance_products IS 'padlock: what insurers offer';
COMMENT ON COLUMN @app@.insurance_products.source_url IS 'the page a crawled product was found on, to find it there again';
COMMENT ON COLUMN @app@.insurance_products.language IS 'of the texts: the text search configuration by which search stems them';
COMMENT ON COLUMN @app@.insurance_products.provenance IS 'for each field that a crawl filled: source, url, at; a field without an entry was set by the insurer';
CREATE INDEX insurance_products_policy_type_idx ON @app@.insurance_products (policy_type);
CREATE INDEX insurance_products_offer_idx ON @app@.insurance_products (policy_type, premium_amount) WHERE is_active;
CREATE INDEX insurance_products_popularity_idx ON @app@.insurance_products (popularity_score DESC, id) WHERE is_active;
CREATE INDEX insurance_products_created_at_idx ON @app@.insurance_products (created_at);
CREATE INDEX insurance_products_crawled_idx ON @app@.insurance_products (last_crawled_at);
CREATE INDEX insurance_products_source_url_idx ON @app@.insurance_products (company_id, source_url);
CREATE INDEX insurance_products_keywords_idx ON @app@.insurance_products USING gin (search_keywords);
CREATE INDEX insurance_products_tags_idx ON @app@.insurance_products USING gin (ai_tags);
CREATE INDEX insurance_products_coverage_idx ON @app@.insurance_products USING gin (coverage_details);
CREATE INDEX insurance_products_benefits_idx ON @app@.insurance_products USING gin (benefits);
CREATE INDEX insurance_products_exclusions_idx ON @app@.insurance_products USING gin (exclusions);
ALTER TABLE @app@.insurance_products ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.insurance_products FORCE ROW LEVEL SECURITY;
CREATE POLICY insurance_products_public ON @app@.insurance_products FOR SELECT TO anon, authenticated, service_role
    USING (is_active AND padlock.company_is_active(company_id));
CREATE POLICY insurance_products_own ON @app@.insurance_products FOR SELECT TO anon, authenticated, service_role
    USING (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_products_insert ON @app@.insurance_products FOR INSERT TO anon, authenticated, service_role
    WITH CHECK (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_products_update ON @app@.insurance_products FOR UPDATE TO anon, authenticated, service_role
    USING (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high())
    WITH CHECK (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_products_delete ON @app@.insurance_products FOR DELETE TO anon, authenticated, service_role
    USING (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
REVOKE ALL ON TABLE @app@.insurance_products FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.insurance_products TO anon, authenticated, service_role;
CREATE TRIGGER insurance_products_guard BEFORE INSERT OR UPDATE ON @app@.insurance_products FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'last_crawled_at', 'source_url', 'provenance');
CREATE TRIGGER insurance_products_provenance BEFORE UPDATE ON @app@.insurance_products FOR EACH ROW
    WHEN (NEW.provenance <> '{}' AND NEW.provenance = OLD.provenance) EXECUTE FUNCTION padlock.drop_provenance();
CREATE TRIGGER insurance_products_touch BEFORE UPDATE ON @app@.insurance_products FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER insurance_products_audit AFTER INSERT OR UPDATE OR DELETE ON @app@.insurance_products FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER insurance_products_audit_truncate AFTER TRUNCATE ON @app@.insurance_products FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- The search index.  It is derived: padlock.search_rebuild() makes it anew.
CREATE TABLE padlock.search_segments (
    id bigint CONSTRAINT search_segments_pkey PRIMARY KEY,
    position bigint NOT NULL,
    bulk boolean NOT NULL,
    documents integer NOT NULL,
    size bigint NOT NULL,
    resume_xid xid8 NOT NULL,
    running xid8[] NOT NULL,
    system bigint NOT NULL,
    statistics_documents bigint NOT NULL,
    average_lengths real[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE padlock.search_segments IS 'padlock: the pieces of the search index; never changed, only added and removed';
CREATE TABLE padlock.search_blocks (
    segment bigint,
    number integer,
    data bytea NOT NULL,
    CONSTRAINT search_blocks_pkey PRIMARY KEY (segment, number)
);
ALTER TABLE padlock.search_blocks ALTER COLUMN data SET STORAGE PLAIN;
COMMENT ON TABLE padlock.search_blocks IS 'padlock: the contents of the search index';
CREATE TABLE padlock.search_changes (
    id bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8,
    products uuid[],
    CONSTRAINT search_changes_pkey PRIMARY KEY (xid, id)
);
COMMENT ON TABLE padlock.search_changes IS 'padlock: products written since the search index was last merged; none: a company was switched on or off; null: all products';
ALTER TABLE padlock.search_changes SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_insert_threshold = -1);
-- Searches and writers would wait for who gives the end of a table back, also where that is replayed.
ALTER TABLE padlock.search_segments SET (vacuum_truncate = false);
ALTER TABLE padlock.search_blocks SET (vacuum_truncate = false);
ALTER TABLE padlock.search_changes SET (vacuum_truncate = false);
ALTER TABLE padlock.search_segments ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_segments FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_blocks ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_blocks FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_changes FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.search_segments, padlock.search_blocks, padlock.search_changes FROM PUBLIC, anon, authenticated, service_role;
REVOKE ALL ON SEQUENCE padlock.search_changes_id_seq FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER insurance_products_search_insert AFTER INSERT ON @app@.insurance_products
    REFERENCING NEW TABLE AS new_products FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_note_changes();
CREATE TRIGGER insurance_products_search_update AFTER UPDATE ON @app@.insurance_products
    REFERENCING OLD TABLE AS old_products NEW TABLE AS new_products FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_note_changes();
CREATE TRIGGER insurance_products_search_delete AFTER DELETE ON @app@.insurance_products
    REFERENCING OLD TABLE AS old_products FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_note_changes();
CREATE TRIGGER insurance_products_search_truncate AFTER TRUNCATE ON @app@.insurance_products
    FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_note_changes();
ALTER TABLE @app@.insurance_products ENABLE ALWAYS TRIGGER insurance_products_search_truncate;
-- Of what those of statements do not hear: replication, a parent table's statements.
CREATE TRIGGER insurance_products_search_rows AFTER INSERT OR UPDATE OR DELETE ON @app@.insurance_products
    FOR EACH ROW EXECUTE FUNCTION padlock.search_note_changes();
ALTER TABLE @app@.insurance_products ENABLE ALWAYS TRIGGER insurance_products_search_rows;
CREATE TRIGGER insurance_companies_search AFTER INSERT OR UPDATE OR DELETE ON @app@.insurance_companies
    FOR EACH ROW EXECUTE FUNCTION padlock.search_note_companies();
ALTER TABLE @app@.insurance_companies ENABLE ALWAYS TRIGGER insurance_companies_search;
SELECT padlock.search_start();

-- Words that mean the same, for search.
CREATE TABLE @app@.search_synonyms (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    words text[] NOT NULL CONSTRAINT search_synonyms_words CHECK (
        pg_catalog.cardinality(words) >= 2 AND pg_catalog.cardinality(words) <= 20 AND pg_catalog.array_ndims(words) = 1 AND
        pg_catalog.array_position(words, NULL) IS NULL AND
        pg_catalog.length(pg_catalog.array_to_string(words, '')) <= 1000),
    language text NOT NULL DEFAULT 'english' CONSTRAINT search_synonyms_language CHECK (pg_catalog.length(language) BETWEEN 1 AND 63),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @app@.search_synonyms IS 'padlock: words of the same meaning; who searches for one finds the others, too';
COMMENT ON COLUMN @app@.search_synonyms.words IS 'expressions of one to four words each';
COMMENT ON COLUMN @app@.search_synonyms.language IS 'the text search configuration that stems them';
ALTER TABLE @app@.search_synonyms ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.search_synonyms FORCE ROW LEVEL SECURITY;
CREATE POLICY search_synonyms_admin ON @app@.search_synonyms FOR ALL TO authenticated, service_role
    USING (padlock.is_privileged()) WITH CHECK (padlock.is_privileged());
REVOKE ALL ON TABLE @app@.search_synonyms FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.search_synonyms TO authenticated, service_role;
CREATE TRIGGER search_synonyms_check BEFORE INSERT OR UPDATE OF words, language ON @app@.search_synonyms FOR EACH ROW EXECUTE FUNCTION padlock.search_synonyms_check();
CREATE TRIGGER search_synonyms_touch BEFORE UPDATE ON @app@.search_synonyms FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER search_synonyms_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @app@.search_synonyms FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_synonyms_changed();
CREATE TRIGGER search_synonyms_audit AFTER INSERT OR UPDATE OR DELETE ON @app@.search_synonyms FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER search_synonyms_audit_truncate AFTER TRUNCATE ON @app@.search_synonyms FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
-- Only words that mean the same wherever they stand: "cover" is what every
-- product is about, and "term" is more than term life insurance.
INSERT INTO @app@.search_synonyms (words)
SELECT words
  FROM (VALUES
        (ARRAY['car', 'auto', 'automobile', 'motor', 'motorcar', 'vehicle']),
        (ARRAY['motorcycle', 'motorbike', 'bike']), (ARRAY['van', 'LCV', 'light commercial vehicle']),
        (ARRAY['lorry', 'truck', 'HGV', 'heavy goods vehicle']),
        (ARRAY['bicycle', 'cycle', 'bike', 'pushbike', 'e-bike']), (ARRAY['caravan', 'motorhome', 'camper', 'campervan']),
        (ARRAY['windscreen', 'windshield', 'car glass']),
        (ARRAY['breakdown', 'roadside assistance', 'road assistance', 'towing']),
        (ARRAY['TPL', 'third party liability']), (ARRAY['TPFT', 'third party fire and theft']),
        (ARRAY['comprehensive', 'fully comp', 'casco', 'kasko']),
        (ARRAY['NCD', 'NCB', 'no claims discount', 'no claims bonus']),
        (ARRAY['excess', 'deductible', 'self-insured retention']),
        (ARRAY['PAYG', 'pay as you go', 'usage based', 'telematics', 'black box']),
        (ARRAY['home', 'house', 'household', 'homeowner']),
        (ARRAY['flat', 'apartment', 'condo', 'condominium']),
        (ARRAY['renter', 'tenant', 'lodger']), (ARRAY['landlord', 'buy to let', 'rental property']),
        (ARRAY['contents', 'belongings', 'possessions', 'personal effects']),
        (ARRAY['burglary', 'theft', 'robbery', 'stolen', 'break-in']),
        (ARRAY['jewellery', 'jewelry', 'valuables', 'engagement ring']),
        (ARRAY['boiler', 'heating', 'furnace']), (ARRAY['plumbing', 'water leak', 'escape of water']),
        (ARRAY['earthquake', 'seismic', 'quake']), (ARRAY['storm', 'windstorm', 'hurricane', 'typhoon', 'cyclone']),
        (ARRAY['flood', 'flooding', 'inundation']),
        (ARRAY['health', 'medical', 'PMI', 'private medical', 'healthcare']),
        (ARRAY['doctor', 'GP', 'general practitioner', 'physician']),
        (ARRAY['dental', 'dentist', 'teeth', 'tooth', 'orthodontic', 'braces']),
        (ARRAY['vision', 'optical', 'optician', 'eye care', 'glasses', 'eyesight']),
        (ARRAY['maternity', 'pregnancy', 'pregnant', 'childbirth', 'antenatal', 'prenatal']),
        (ARRAY['hospital', 'inpatient', 'hospitalisation', 'hospitalization', 'ward']),
        (ARRAY['outpatient', 'ambulatory', 'day patient']),
        (ARRAY['emergency', 'urgent', 'casualty']),
        (ARRAY['surgery', 'operation', 'surgical']),
        (ARRAY['prescription', 'medicine', 'medication', 'pharmacy']),
        (ARRAY['mental', 'psychiatric', 'psychological', 'counselling', 'counseling', 'therapy']),
        (ARRAY['physiotherapy', 'physio', 'physical therapy']),
        (ARRAY['cancer', 'oncology', 'tumour', 'tumor']), (ARRAY['heart', 'cardiac', 'cardiovascular']),
        (ARRAY['pre-existing', 'preexisting', 'existing condition']),
        (ARRAY['telemedicine', 'telehealth', 'online doctor', 'virtual doctor', 'video doctor']),
        (ARRAY['checkup', 'check-up', 'screening', 'preventive', 'preventative', 'wellness']),
        (ARRAY['copay', 'copayment', 'coinsurance']), (ARRAY['HMO', 'PPO', 'provider network']),
        (ARRAY['life', 'life assurance', 'death cover', 'death benefit']),
        (ARRAY['funeral', 'burial', 'final expense', 'funeral plan']),
        (ARRAY['critical illness', 'serious illness', 'dread disease']),
        (ARRAY['income protection', 'loss of income', 'salary protection', 'sick pay']),
        (ARRAY['annuity', 'pension', 'retirement']), (ARRAY['savings', 'endowment', 'investment']),
        (ARRAY['beneficiary', 'nominee', 'heir']), (ARRAY['payout', 'lump sum', 'settlement']),
        (ARRAY['travel', 'trip', 'holiday', 'vacation', 'journey', 'flight']),
        (ARRAY['baggage', 'luggage', 'suitcase']), (ARRAY['cancellation', 'curtailment']),
        (ARRAY['overseas', 'abroad', 'international', 'worldwide', 'global']),
        (ARRAY['skiing', 'ski', 'snowboard', 'winter sports']), (ARRAY['evacuation', 'repatriation', 'medevac']),
        (ARRAY['expat', 'expatriate', 'living abroad']), (ARRAY['backpacker', 'gap year']),
        (ARRAY['pet', 'animal']), (ARRAY['dog', 'canine', 'puppy']), (ARRAY['cat', 'feline', 'kitten']), (ARRAY['vet', 'veterinary', 'veterinarian']),
        (ARRAY['horse', 'equine', 'pony']),
        (ARRAY['business', 'commercial', 'company', 'SME', 'corporate']),
        (ARRAY['PI', 'professional indemnity', 'errors and omissions', 'malpractice']),
        (ARRAY['employers liability', 'workers compensation', 'workmens compensation', 'workers comp']),
        (ARRAY['public liability', 'general liability', 'third party injury']),
        (ARRAY['cyber', 'ransomware', 'hacking', 'data breach', 'phishing']),
        (ARRAY['marine', 'cargo', 'shipping', 'freight']), (ARRAY['boat', 'yacht', 'vessel', 'watercraft']),
        (ARRAY['phone', 'mobile', 'smartphone', 'cellphone', 'cell phone', 'iphone']),
        (ARRAY['laptop', 'notebook']), (ARRAY['gadget', 'electronics', 'device']),
        (ARRAY['warranty', 'guarantee', 'extended warranty']),
        (ARRAY['senior', 'elderly', 'older', 'over 50', 'over 50s', 'over 60s', 'over 65', 'over 65s', 'over 70s', 'retiree']),
        (ARRAY['child', 'children', 'kid', 'kids']), (ARRAY['student', 'undergraduate', 'university']),
        (ARRAY['freelancer', 'self-employed', 'contractor', 'sole trader']),
        (ARRAY['cheap', 'affordable', 'budget', 'low cost', 'inexpensive', 'economy']),
        (ARRAY['monthly', 'per month', 'instalments', 'installments']), (ARRAY['yearly', 'annual', 'annually', 'per year']),
        (ARRAY['lawyer', 'solicitor', 'attorney', 'legal expenses', 'legal protection']),
        (ARRAY['crop', 'harvest', 'farm', 'agricultural', 'agriculture']), (ARRAY['livestock', 'cattle']),
        (ARRAY['microinsurance', 'micro insurance']), (ARRAY['takaful', 'islamic insurance', 'sharia compliant', 'halal'])
       ) AS seed(words)
 WHERE NOT EXISTS (SELECT FROM @app@.search_synonyms);

-- What visitors search for, when padlock.search_log is on.
CREATE TABLE @app@.search_log (
    day date NOT NULL,
    terms text NOT NULL,
    searches bigint NOT NULL,
    empty bigint NOT NULL,
    relaxed bigint NOT NULL,
    results bigint NOT NULL,
    milliseconds double precision NOT NULL,
    slowest double precision NOT NULL,
    CONSTRAINT search_log_pkey PRIMARY KEY (day, terms)
);
COMMENT ON TABLE @app@.search_log IS 'padlock: searches by day (UTC) and text, when padlock.search_log is on; nothing about who searched';
COMMENT ON COLUMN @app@.search_log.terms IS 'the words, lower case, digits as #, a minus before what is excluded; empty: texts without a word, the first two searches of each other, and all texts beyond the first 10000 of the day';
COMMENT ON COLUMN @app@.search_log.empty IS 'searches that found nothing';
COMMENT ON COLUMN @app@.search_log.relaxed IS 'searches that found something only after the query was relaxed';
COMMENT ON COLUMN @app@.search_log.results IS 'products found, of all searches together';
COMMENT ON COLUMN @app@.search_log.milliseconds IS 'time of all searches together';
COMMENT ON COLUMN @app@.search_log.slowest IS 'milliseconds of the slowest search';
ALTER TABLE @app@.search_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.search_log FORCE ROW LEVEL SECURITY;
CREATE POLICY search_log_admin ON @app@.search_log FOR ALL TO authenticated, service_role
    USING (padlock.is_privileged()) WITH CHECK (padlock.is_privileged());
REVOKE ALL ON TABLE @app@.search_log FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, DELETE ON TABLE @app@.search_log TO authenticated, service_role;

CREATE TYPE @app@.claim_status_enum AS ENUM ('pending', 'approved', 'rejected', 'processing');
COMMENT ON TYPE @app@.claim_status_enum IS 'padlock: states of a claim';
CREATE TYPE @app@.document_type_enum AS ENUM ('policy', 'receipt', 'id', 'claim', 'other');
COMMENT ON TYPE @app@.document_type_enum IS 'padlock: kinds of documents';

-- What a policy holder has: policies, claims on them, documents.
CREATE TABLE @app@.policies (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid NOT NULL,
    policy_type @app@.policy_type_enum,
    policy_number text,
    premium_amount numeric,
    start_date date,
    end_date date,
    status text,
    document_url text,
    ai_summary text,
    coverage_summary text,
    fine_print_summary text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT policies_owner_key UNIQUE (id, user_id)
);
ALTER TABLE @app@.policies ADD CONSTRAINT policies_user_id_fkey FOREIGN KEY (user_id) REFERENCES @app@.users (id) ON DELETE CASCADE;
COMMENT ON TABLE @app@.policies IS 'padlock: insurance policies that users hold';
CREATE INDEX policies_user_id_idx ON @app@.policies (user_id);
CREATE INDEX policies_policy_type_idx ON @app@.policies (policy_type);
CREATE INDEX policies_status_idx ON @app@.policies (status);
CREATE INDEX policies_created_at_idx ON @app@.policies (created_at);
ALTER TABLE @app@.policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.policies FORCE ROW LEVEL SECURITY;
CREATE POLICY policies_own ON @app@.policies FOR ALL TO authenticated, service_role
    USING (user_id BETWEEN padlock.scope_low() AND padlock.scope_high())
    WITH CHECK (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
REVOKE ALL ON TABLE @app@.policies FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.policies TO authenticated, service_role;
CREATE TRIGGER policies_guard BEFORE INSERT OR UPDATE ON @app@.policies FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'ai_summary', 'coverage_summary', 'fine_print_summary');
CREATE TRIGGER policies_touch BEFORE UPDATE ON @app@.policies FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER policies_audit AFTER INSERT OR UPDATE OR DELETE ON @app@.policies FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER policies_audit_truncate AFTER TRUNCATE ON @app@.policies FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- A claim refers to a policy together with its owner: foreign keys look past
-- row security, and with the id alone one could probe for others' policies.
CREATE TABLE @app@.claims (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid NOT NULL,
    policy_id uuid,
    claim_reason text,
    claim_amount numeric,
    claim_status @app@.claim_status_enum NOT NULL DEFAULT 'pending',
    claim_documents text,
    ai_risk_score numeric,
    risk_factors text[],
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE @app@.claims ADD CONSTRAINT claims_policy_fkey FOREIGN KEY (policy_id, user_id) REFERENCES @app@.policies (id, user_id);
ALTER TABLE @app@.claims ADD CONSTRAINT claims_user_id_fkey FOREIGN KEY (user_id) REFERENCES @app@.users (id) ON DELETE CASCADE;
COMMENT ON TABLE @app@.claims IS 'padlock: claims on policies';
CREATE INDEX claims_user_id_idx ON @app@.claims (user_id);
CREATE INDEX claims_policy_idx ON @app@.claims (policy_id, user_id);
CREATE INDEX claims_status_idx ON @app@.claims (claim_status);
CREATE INDEX claims_created_at_idx ON @app@.claims (created_at);
ALTER TABLE @app@.claims ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.claims FORCE ROW LEVEL SECURITY;
CREATE POLICY claims_select ON @app@.claims FOR SELECT TO authenticated, service_role
    USING (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
CREATE POLICY claims_insert ON @app@.claims FOR INSERT TO authenticated, service_role
    WITH CHECK (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
CREATE POLICY claims_update ON @app@.claims FOR UPDATE TO authenticated, service_role
    USING (user_id BETWEEN padlock.scope_low() AND padlock.scope_high())
    WITH CHECK (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
CREATE POLICY claims_delete ON @app@.claims FOR DELETE TO authenticated, service_role
    USING (padlock.is_privileged());
REVOKE ALL ON TABLE @app@.claims FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.claims TO authenticated, service_role;
CREATE TRIGGER claims_guard BEFORE INSERT OR UPDATE ON @app@.claims FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'claim_status', 'ai_risk_score', 'risk_factors');
CREATE TRIGGER claims_touch BEFORE UPDATE ON @app@.claims FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER claims_audit AFTER INSERT OR UPDATE OR DELETE ON @app@.claims FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER claims_audit_truncate AFTER TRUNCATE ON @app@.claims FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

CREATE TABLE @app@.documents (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid NOT NULL,
    title text,
    description text,
    document_type @app@.document_type_enum,
    document_category text,
    file_url text,
    file_size integer,
    is_encrypted boolean NOT NULL DEFAULT false,
    encryption_key_id text,
    encryption_algorithm text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    content_type text,
    extraction_status text NOT NULL DEFAULT 'none'
        CONSTRAINT documents_extraction_status CHECK (extraction_status IN ('none', 'pending', 'done', 'failed')),
    extraction_error text,
    extracted_text text,
    page_count integer,
    extracted_at timestamptz,
    encrypt boolean NOT NULL DEFAULT false,
    encryption_status text NOT NULL DEFAULT 'none'
        CONSTRAINT documents_encryption_status CHECK (encryption_status IN ('none', 'pending', 'sealed', 'failed')),
    encryption_error text,
    -- what document_upload promises holds for writes to the table as well
    CONSTRAINT documents_title_length CHECK (pg_catalog.length(title) BETWEEN 1 AND 200),
    CONSTRAINT documents_description_length CHECK (pg_catalog.length(description) <= 5000),
    CONSTRAINT documents_category_length CHECK (pg_catalog.length(document_category) <= 100),
    CONSTRAINT documents_file_url CHECK (file_url ~* '^https?://' AND pg_catalog.length(file_url) <= 2000),
    CONSTRAINT documents_file_size CHECK (file_size BETWEEN 0 AND 104857600),
    CONSTRAINT documents_content_type_length CHECK (pg_catalog.length(content_type) <= 200)
);
ALTER TABLE @app@.documents ADD CONSTRAINT documents_user_id_fkey FOREIGN KEY (user_id) REFERENCES @app@.users (id) ON DELETE CASCADE;
COMMENT ON TABLE @app@.documents IS 'padlock: documents of users';
COMMENT ON COLUMN @app@.documents.content_type IS 'media type as the uploader declared it: tells a PDF whose URL does not';
COMMENT ON COLUMN @app@.documents.extraction_status IS 'none: no text to extract; pending: a job is to do it; done; failed: see extraction_error';
COMMENT ON COLUMN @app@.documents.extraction_error IS 'why the last extraction failed';
COMMENT ON COLUMN @app@.documents.extracted_text IS 'the text of the file, pages separated by form feeds';
COMMENT ON COLUMN @app@.documents.page_count IS 'pages of the file, once extracted';
COMMENT ON COLUMN @app@.documents.extracted_at IS 'when the text was extracted';
COMMENT ON COLUMN @app@.documents.encrypt IS 'the content is to be stored encrypted only; is_encrypted says that it is';
COMMENT ON COLUMN @app@.documents.encryption_status IS 'none: not asked for; pending: waits for its bytes; sealed; failed: see encryption_error';
COMMENT ON COLUMN @app@.documents.encryption_error IS 'why the last attempt to fetch and seal it failed';
CREATE INDEX documents_user_id_idx ON @app@.documents (user_id);
CREATE INDEX documents_document_type_idx ON @app@.documents (document_type);
CREATE INDEX documents_extraction_status_idx ON @app@.documents (extraction_status, user_id) WHERE extraction_status IN ('pending', 'failed');
CREATE INDEX documents_encryption_status_idx ON @app@.documents (encryption_status, user_id) WHERE encryption_status IN ('pending', 'failed');
CREATE INDEX documents_encryption_key_id_idx ON @app@.documents (encryption_key_id, id) WHERE encryption_key_id IS NOT NULL;
CREATE INDEX documents_created_at_idx ON @app@.documents (created_at);
ALTER TABLE @app@.documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE @app@.documents FORCE ROW LEVEL SECURITY;
CREATE POLICY documents_own ON @app@.documents FOR ALL TO authenticated, service_role
    USING (user_id BETWEEN padlock.scope_low() AND padlock.scope_high())
    WITH CHECK (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
REVOKE ALL ON TABLE @app@.documents FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @app@.documents TO authenticated, service_role;
CREATE TRIGGER documents_guard BEFORE INSERT OR UPDATE ON @app@.documents FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'is_encrypted', 'encryption_key_id', 'encryption_algorithm',
        'extraction_status', 'extraction_error', 'extracted_text', 'page_count', 'extracted_at', 'encryption_status', 'encryption_error');
CREATE TRIGGER documents_pending BEFORE INSERT ON @app@.documents FOR EACH ROW EXECUTE FUNCTION padlock.queue_document();
CREATE TRIGGER documents_queue AFTER INSERT ON @app@.documents FOR EACH ROW EXECUTE FUNCTION padlock.queue_document();
CREATE TRIGGER documents_seal AFTER UPDATE ON @app@.documents FOR EACH ROW
    WHEN (NEW.encryption_status = 'pending' AND OLD.encryption_status <> 'pending') EXECUTE FUNCTION padlock.queue_document();
CREATE TRIGGER documents_keep BEFORE UPDATE ON @app@.documents FOR EACH ROW EXECUTE FUNCTION padlock.keep_document();
CREATE TRIGGER documents_audit AFTER INSERT OR UPDATE OR DELETE ON @app@.documents FOR EACH ROW EXECUTE FUNCTION padlock.audit_row('extracted_text');
CREATE TRIGGER documents_audit_truncate AFTER TRUNCATE ON @app@.documents FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- What documents hold, apart from their rows, which users select and write
-- whole.  No role but the owner reads or writes here.
CREATE TABLE padlock.document_contents (
    document_id uuid PRIMARY KEY REFERENCES @app@.documents (id) ON DELETE CASCADE,
    content bytea,
    text bytea,
    text_key_id text,
    object_key text,
    object_hash bytea,
    asked_at timestamptz,
    put_key text,
    put_until timestamptz,
    version integer NOT NULL DEFAULT 1,
    fetch_error text,
    CONSTRAINT document_contents_somewhere CHECK (content IS NOT NULL OR object_key IS NOT NULL)
);
COMMENT ON TABLE padlock.document_contents IS 'padlock: contents of documents, sealed where documents.is_encrypted says so';
COMMENT ON COLUMN padlock.document_contents.content IS 'NULL while it is in the object store alone';
COMMENT ON COLUMN padlock.document_contents.object_key IS 'its name in the object store, where it is';
COMMENT ON COLUMN padlock.document_contents.object_hash IS 'SHA-256 of the object';
COMMENT ON COLUMN padlock.document_contents.asked_at IS 'when a content in the object store was last asked for or fetched';
COMMENT ON COLUMN padlock.document_contents.put_key IS 'the name of the object that an attempt to move it writes, or wrote without coming to its end';
COMMENT ON COLUMN padlock.document_contents.put_until IS 'by when that attempt has written it or never will';
COMMENT ON COLUMN padlock.document_contents.version IS 'counts the contents that the document has had, not how they were sealed: a text is of the one that it was taken from';
COMMENT ON COLUMN padlock.document_contents.fetch_error IS 'why a content in the object store could not be fetched, if the last attempt was in vain';
CREATE UNIQUE INDEX document_contents_put_key_idx ON padlock.document_contents (put_key) WHERE put_key IS NOT NULL;
CREATE UNIQUE INDEX document_contents_object_key_idx ON padlock.document_contents (object_key) WHERE object_key IS NOT NULL;
COMMENT ON COLUMN padlock.document_contents.text IS 'the text extracted from an encrypted document, sealed too; of others it is documents.extracted_text';
COMMENT ON COLUMN padlock.document_contents.text_key_id IS 'key that the text is sealed under: until a rotation has sealed both anew it may be newer than the content''s';
CREATE INDEX document_contents_text_key_idx ON padlock.document_contents (text_key_id) WHERE text_key_id IS NOT NULL;
-- sealed bytes do not compress
ALTER TABLE padlock.document_contents ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE padlock.document_contents ALTER COLUMN text SET STORAGE EXTERNAL;
ALTER TABLE padlock.document_contents ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.document_contents FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.document_contents FROM PUBLIC, anon, authenticated, service_role;
-- Contents move to the object store and back; objects that no row names are erased.
CREATE TRIGGER documents_place AFTER UPDATE ON @app@.documents FOR EACH ROW
    WHEN (NEW.is_encrypted AND NEW.extraction_status <> 'pending') EXECUTE FUNCTION padlock.place_document();
CREATE TRIGGER document_contents_object AFTER UPDATE OR DELETE ON padlock.document_contents FOR EACH ROW
    WHEN (OLD.object_key IS NOT NULL OR OLD.put_key IS NOT NULL) EXECUTE FUNCTION padlock.drop_object();
CREATE TRIGGER document_contents_truncate BEFORE TRUNCATE ON padlock.document_contents FOR EACH STATEMENT EXECUTE FUNCTION padlock.drop_object();
-- A key that is replaced has its documents sealed anew; one that documents need is not destroyed.
CREATE TRIGGER keys_documents AFTER UPDATE ON padlock.keys FOR EACH ROW
    WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION padlock.keep_document_key();
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
$definitions$::text $function$;
COMMENT ON FUNCTION padlock.definitions() IS 'The statements that define the tables, types, indexes, policies and triggers that padlock.install() makes';

REVOKE ALL ON FUNCTION padlock.definitions() FROM PUBLIC, anon, authenticated, service_role;

-- Make the tables, unless a restore is about to bring them.
SELECT padlock.install() WHERE padlock.wants_install();

-- Tell the launcher that this database has work for it.
SELECT padlock.announce();
