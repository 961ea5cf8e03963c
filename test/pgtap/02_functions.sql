-- Every function: arguments, result, volatility, and who may call it.
BEGIN;
SELECT no_plan();
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = public, pgtap;

CREATE TEMP VIEW ours AS
    SELECT p.*, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || proname AS name, lanname
      FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace JOIN pg_language l ON l.oid = prolang
     WHERE n.nspname IN ('public', 'padlock');

-- Volatility v, s, i; parallel safety u, r, s; callers besides the owner:
-- a anon, u authenticated, s service_role, p PUBLIC.
CREATE TEMP TABLE wanted (name text, arguments text, result text, provolatile "char", proparallel "char", callers text);
INSERT INTO wanted VALUES
    -- endpoints
    ('product_create', 'jsonb', 'jsonb', 'v', 'u', 'aus'),
    ('product_update', 'jsonb', 'jsonb', 'v', 'u', 'aus'),
    ('product_search', 'jsonb', 'jsonb', 's', 'u', 'aus'),
    ('product_search', 'policy_type text DEFAULT NULL::text, company_id text DEFAULT NULL::text, min_premium text DEFAULT NULL::text,'
        ' max_premium text DEFAULT NULL::text, currency text DEFAULT NULL::text, country text DEFAULT NULL::text, age text DEFAULT NULL::text,'
        ' search_term text DEFAULT NULL::text, page text DEFAULT NULL::text, per_page text DEFAULT NULL::text, sort_by text DEFAULT NULL::text,'
        ' sort_order text DEFAULT NULL::text, facets text DEFAULT NULL::text, highlight text DEFAULT NULL::text, explain text DEFAULT NULL::text,'
        ' cursor text DEFAULT NULL::text', 'jsonb', 's', 'u', 'aus'),
    ('suggest', 'prefix text DEFAULT NULL::text, max_suggestions text DEFAULT NULL::text', 'jsonb', 's', 'u', 'aus'),
    ('company_onboard', 'jsonb', 'jsonb', 'v', 'u', 'us'),
    ('ai_product_ingest', 'jsonb', 'jsonb', 'v', 'u', 'aus'),
    ('create_api_key', 'jsonb', 'jsonb', 'v', 'u', 'aus'), ('list_api_keys', 'jsonb DEFAULT ''{}''::jsonb', 'jsonb', 's', 'u', 'aus'),
    ('rotate_api_key', 'jsonb', 'jsonb', 'v', 'u', 'aus'), ('revoke_api_key', 'jsonb', 'jsonb', 'v', 'u', 'aus'),
    ('document_upload', 'jsonb', 'jsonb', 'v', 'u', 'us'), ('document_put', 'document_id uuid, content bytea', 'jsonb', 'v', 'u', 'us'),
    ('document_content', 'document_id uuid', 'bytea', 'v', 'u', 'us'), ('document_text', 'document_id uuid', 'text', 'v', 'u', 'us'),
    ('job_worker', 'jsonb DEFAULT ''{}''::jsonb', 'jsonb', 'v', 'u', 's'),
    ('sign_up', 'jsonb', 'jsonb', 'v', 'u', 'aus'), ('confirm_email', 'jsonb', 'jsonb', 'v', 'u', 'aus'),
    ('sign_in', 'jsonb', 'jsonb', 'v', 'u', 'aus'), ('refresh_session', 'jsonb', 'jsonb', 'v', 'u', 'aus'),
    ('request_password_reset', 'jsonb', 'jsonb', 'v', 'u', 'aus'), ('reset_password', 'jsonb', 'jsonb', 'v', 'u', 'aus'),
    ('sign_out', 'jsonb DEFAULT ''{}''::jsonb', 'jsonb', 'v', 'u', 'us'), ('list_sessions', 'jsonb DEFAULT ''{}''::jsonb', 'jsonb', 'v', 'u', 'us'),
    ('revoke_session', 'jsonb', 'jsonb', 'v', 'u', 'us'), ('change_password', 'jsonb', 'jsonb', 'v', 'u', 'us'),
    ('change_email', 'jsonb', 'jsonb', 'v', 'u', 'us'),
    -- for SQL and RPC
    ('is_admin', 'user_id uuid', 'boolean', 's', 's', 'us'),
    ('enqueue_job', 'job_type_val text, payload_val jsonb, priority_val integer DEFAULT 0, max_attempts_val integer DEFAULT 3, run_at_val timestamp with time zone DEFAULT NULL::timestamp with time zone,'
        ' dedupe_key_val text DEFAULT NULL::text, queue_val text DEFAULT NULL::text', 'uuid', 'v', 'u', 's'),
    ('enqueue_jobs', 'jobs_val jsonb', 'SETOF uuid', 'v', 'u', 's'),
    ('get_next_jobs', 'worker_id_val text, limit_val integer DEFAULT 100, lock_duration_minutes integer DEFAULT 5', 'TABLE(job_id uuid, job_type text, payload jsonb, attempts integer)', 'v', 'u', 's'),
    ('complete_jobs', 'job_ids_val uuid[], attempts_val integer[] DEFAULT NULL::integer[], results_val jsonb[] DEFAULT NULL::jsonb[]', 'uuid[]', 'v', 'u', 's'),
    ('extend_job', 'job_id_val uuid, lock_duration_minutes integer DEFAULT 5, attempt_val integer DEFAULT NULL::integer', 'boolean', 'v', 'u', 's'),
    ('report_job_progress', 'job_id_val uuid, done_val bigint, total_val bigint DEFAULT NULL::bigint, message_val text DEFAULT NULL::text, attempt_val integer DEFAULT NULL::integer', 'boolean', 'v', 'u', 's'),
    ('cancel_job', 'job_id_val uuid', 'boolean', 'v', 'u', 's'), ('retry_job', 'job_id_val uuid', 'boolean', 'v', 'u', 's'),
    ('redrive_jobs', 'job_type_val text', 'integer', 'v', 'u', 's'),
    ('pause_job_type', 'job_type_val text', 'boolean', 'v', 'u', 's'), ('resume_job_type', 'job_type_val text', 'boolean', 'v', 'u', 's'),
    ('padlock.report_progress', 'done bigint, total bigint DEFAULT NULL::bigint, message text DEFAULT NULL::text', 'boolean', 'v', 'u', 'us'),
    ('padlock.may_use_queue', '', 'boolean', 's', 'r', 'aus'),
    ('padlock.job_leases', 'OUT job_id uuid, OUT attempt integer, OUT worker_id text, OUT started_at timestamp with time zone, OUT locked_until timestamp with time zone,'
        ' OUT done bigint, OUT total bigint, OUT message text, OUT reported_at timestamp with time zone', 'SETOF record', 's', 'r', 'ms'),
    ('padlock.count_jobs', 'OUT job_type text, OUT status text, OUT jobs bigint', 'SETOF record', 's', 'u', 'ms'),
    ('get_next_job', 'worker_id_val text, lock_duration_minutes integer DEFAULT 5', 'TABLE(job_id uuid, job_type text, payload jsonb, attempts integer)', 'v', 'u', 's'),
    ('complete_job', 'job_id_val uuid, result_val jsonb DEFAULT NULL::jsonb, attempt_val integer DEFAULT NULL::integer', 'boolean', 'v', 'u', 's'),
    ('fail_job', 'job_id_val uuid, error_message_val text, retry_delay_minutes integer DEFAULT 5, attempt_val integer DEFAULT NULL::integer, permanent_val boolean DEFAULT false', 'boolean', 'v', 'u', 's'),
    ('enqueue_pdf_extraction', 'document_id_val uuid, file_url_val text, priority_val integer DEFAULT 0', 'uuid', 'v', 'u', 's'),
    ('schedule_daily_ai_crawls', '', 'integer', 'v', 'u', 's'),
    ('cleanup_old_jobs', '', 'integer', 'v', 'u', 's'),
    ('check_rate_limit', 'identifier_val text, endpoint_val text, max_requests integer DEFAULT 100, window_minutes integer DEFAULT 60', 'boolean', 'v', 's', 's'),
    ('padlock.check_rate_limit', 'identifier_val text, endpoint_val text, max_requests integer DEFAULT 100, window_minutes integer DEFAULT 60,'
        ' OUT allowed boolean, OUT remaining integer, OUT reset_seconds integer, OUT retry_after_seconds integer', 'record', 'v', 's', 's'),
    ('padlock.reset_rate_limit', 'identifier_val text, endpoint_val text', 'boolean', 'v', 'u', 's'),
    -- what policies ask
    ('padlock.uid', '', 'uuid', 's', 's', 'aus'), ('padlock.company_id', '', 'uuid', 's', 's', 'aus'),
    ('padlock.is_admin', '', 'boolean', 's', 's', 'aus'), ('padlock.is_super_admin', '', 'boolean', 's', 's', 'aus'),
    ('padlock.is_service_role', '', 'boolean', 's', 's', 'aus'), ('padlock.is_privileged', '', 'boolean', 's', 's', 'aus'),
    ('padlock.scope_low', '', 'uuid', 's', 's', 'aus'), ('padlock.scope_high', '', 'uuid', 's', 's', 'aus'),
    ('padlock.company_scope_low', '', 'uuid', 's', 's', 'aus'), ('padlock.company_scope_high', '', 'uuid', 's', 's', 'aus'),
    ('padlock.company_is_active', 'company_id uuid', 'boolean', 's', 's', 'aus'), ('padlock.may_manage_user', 'user_id uuid', 'boolean', 's', 's', 'aus'),
    -- tokens
    ('padlock.authenticate', 'token text', 'jsonb', 'v', 'u', 'aus'), ('padlock.jwks', '', 'jsonb', 's', 'u', 'aus'),
    ('padlock.check_request', '', 'void', 's', 'u', 'aus'),
    ('padlock.create_jwt_keys', 'alg text DEFAULT ''ES256''::text', 'text', 'v', 'u', ''),
    ('padlock.rotate_jwt_key', 'alg text DEFAULT ''ES256''::text', 'text', 'v', 'u', ''), ('padlock.prepare_jwt_key', 'alg text DEFAULT ''ES256''::text', 'text', 'v', 'u', ''),
    -- sealed messages and their keys
    ('padlock.encrypt', 'plaintext bytea, key_id text, context jsonb', 'bytea', 'v', 'u', 's'),
    ('padlock.decrypt', 'message bytea, expected_context jsonb', 'bytea', 's', 'u', 's'),
    ('padlock.init_keyring', '', 'boolean', 'v', 'u', ''),
    ('padlock.create_key', 'key_id text, provider text DEFAULT ''local''::text, provider_key_id text DEFAULT NULL::text', 'text', 'v', 'u', ''),
    ('padlock.rotate_key', 'key_id text', 'text', 'v', 'u', ''), ('padlock.destroy_key', 'key_name text, messages_too boolean DEFAULT false', 'void', 'v', 'u', ''),
    ('padlock.rewrap_keyring', 'provider text DEFAULT ''local''::text, provider_key_id text DEFAULT NULL::text', 'integer', 'v', 'u', ''),
    ('padlock.reseal_documents', '', 'uuid', 'v', 'u', ''), ('padlock.move_documents', '', 'bigint', 'v', 'u', ''), ('padlock.forget_user', 'user_id uuid', 'jsonb', 'v', 'u', 's'),
    ('padlock.lock_keyring', '', 'integer', 'v', 'u', ''), ('padlock.unlock_keyring', '', 'integer', 'v', 'u', ''),
    ('padlock.keyring', 'OUT key_name text, OUT state text, OUT provider text, OUT provider_key_id text, OUT unlocked boolean,'
        ' OUT wraps bigint, OUT created_at timestamp with time zone', 'SETOF record', 'v', 'u', 'ms'),
    -- triggers
    ('padlock.keyring_changed', '', 'trigger', 'v', 'u', ''), ('padlock.keep_document', '', 'trigger', 'v', 'u', ''), ('padlock.place_document', '', 'trigger', 'v', 'u', ''), ('padlock.drop_object', '', 'trigger', 'v', 'u', ''), ('padlock.keep_document_key', '', 'trigger', 'v', 'u', ''),
    ('padlock.touch_updated_at', '', 'trigger', 'v', 'u', ''), ('padlock.guard_columns', '', 'trigger', 'v', 'u', ''), ('padlock.check_limit_rule', '', 'trigger', 'v', 'u', ''), ('padlock.keep_super_admin', '', 'trigger', 'v', 'u', ''), ('padlock.forget_admins', '', 'trigger', 'v', 'u', ''),
    ('padlock.audit_row', '', 'trigger', 'v', 'u', ''), ('padlock.audit_refuse', '', 'trigger', 'v', 'u', ''),
    ('padlock.drop_provenance', '', 'trigger', 'v', 'u', ''), ('padlock.queue_document', '', 'trigger', 'v', 'u', ''),
    ('padlock.job_queue_change', '', 'trigger', 'v', 'u', ''), ('padlock.job_types_changed', '', 'trigger', 'v', 'u', ''),
    ('padlock.search_note_changes', '', 'trigger', 'v', 'u', ''), ('padlock.search_note_companies', '', 'trigger', 'v', 'u', ''), ('padlock.search_synonyms_changed', '', 'trigger', 'v', 'u', ''),
    ('padlock.search_synonyms_check', '', 'trigger', 'v', 'u', ''),
    -- search
    ('padlock.search_start', '', 'boolean', 'v', 'u', ''), ('padlock.search_rebuild', '', 'bigint', 'v', 'u', 's'),
    ('padlock.search_merge', '', 'boolean', 'v', 'u', 's'),
    ('padlock.search_check', 'OUT products bigint, OUT indexed bigint, OUT differences bigint, OUT kinds jsonb, OUT detail text', 'record', 's', 'u', 's'),
    ('padlock.search_status', 'OUT built boolean, OUT segments integer, OUT documents bigint, OUT changes integer, OUT size bigint, OUT memory_used bigint,'
        ' OUT memory bigint, OUT phase text, OUT done bigint, OUT total bigint', 'record', 's', 'u', 'ms'),
    ('padlock.search_terms', 'string text, language text DEFAULT ''english''::text, OUT pos integer, OUT word text, OUT term text', 'SETOF record', 's', 's', 's'),
    -- for the owner, and those who watch
    ('padlock.install', '', 'integer', 'v', 'u', ''), ('padlock.wants_install', '', 'boolean', 'v', 'u', ''),
    ('padlock.definitions', '', 'text', 'i', 's', ''), ('padlock.announce', '', 'void', 'v', 'u', ''),
    ('padlock.audit_seal', 'include_late boolean DEFAULT false', 'bigint', 'v', 'u', 's'), ('padlock.audit_head', '', 'text', 's', 'u', 's'),
    ('padlock.audit_verify', 'head text DEFAULT NULL::text', 'TABLE(ok boolean, state text, rows bigint, seal bigint, created_at timestamp with time zone, id uuid)', 's', 'u', 's'),
    ('padlock.audit_personal_digest', 'salt uuid, old_values jsonb, new_values jsonb, ip_address text, user_agent text, request_path text', 'bytea', 'i', 's', ''),
    ('padlock.audit_row_digest', 'created_at timestamp with time zone, id uuid, user_id uuid, company_id uuid, action text, table_name text, record_id uuid,'
        ' personal_digest bytea, salt uuid, old_values jsonb, new_values jsonb, ip_address text, user_agent text, request_path text', 'bytea', 'i', 's', ''),
    ('padlock.audit_seal_digest', 'previous bytea, number bigint, sealed_at timestamp with time zone, closed_until timestamp with time zone, row_count integer,'
        ' first_created_at timestamp with time zone, last_created_at timestamp with time zone, entries bytea', 'bytea', 'i', 's', ''),
    ('padlock.audit_entries', 'entries bytea', 'TABLE(created_at timestamp with time zone, id uuid, digest bytea)', 'i', 's', ''),
    ('padlock.create_audit_partitions', 'months integer DEFAULT 3', 'integer', 'v', 'u', ''),
    ('padlock.rate_limit_keys', 'OUT id uuid, OUT identifier text, OUT endpoint text, OUT request_count integer,'
        ' OUT window_start timestamp with time zone, OUT created_at timestamp with time zone', 'SETOF record', 'v', 'u', 'us'),
    ('padlock.rate_limit_stats', 'OUT keys integer, OUT max_keys integer, OUT allowed bigint, OUT refused bigint, OUT evicted bigint, OUT memory_bytes bigint',
        'record', 'v', 'u', 'ms'),
    ('padlock.worker_status', 'OUT pid integer, OUT database text, OUT state text, OUT job_id uuid, OUT job_type text,'
        ' OUT since timestamp with time zone, OUT restarts integer', 'SETOF record', 'v', 'u', 'ms'),
    ('padlock.key_services', 'OUT service text, OUT problem text, OUT tried_at timestamp with time zone, OUT served_at timestamp with time zone,'
        ' OUT next_try_at timestamp with time zone', 'SETOF record', 'v', 'u', 'ms'),
    ('padlock.register_job_handler', 'job_type_val text, function_val regprocedure, role_val regrole DEFAULT NULL::regrole, timeout_seconds integer DEFAULT NULL::integer',
        'void', 'v', 'u', 's'),
    ('padlock.unregister_job_handler', 'job_type_val text', 'boolean', 'v', 'u', 's'),
    ('padlock.list_job_handlers', 'OUT job_type text, OUT function text, OUT role text, OUT timeout_seconds integer,'
        ' OUT registered_by text, OUT registered_at timestamp with time zone, OUT problem text', 'SETOF record', 'v', 'u', 'ms');

CREATE TEMP VIEW found AS
    SELECT o.oid, o.name, pg_get_function_arguments(o.oid) AS arguments, pg_get_function_result(o.oid) AS result, provolatile, proparallel,
           (SELECT coalesce(string_agg(CASE coalesce(r.rolname, 'PUBLIC') WHEN 'anon' THEN 'a' WHEN 'authenticated' THEN 'u' WHEN 'service_role' THEN 's'
                                       WHEN 'PUBLIC' THEN 'p' WHEN 'pg_monitor' THEN 'm' ELSE '?' END, '' ORDER BY r.rolname), '')
              FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a LEFT JOIN pg_roles r ON r.oid = grantee
             WHERE grantee <> proowner AND privilege_type = 'EXECUTE') AS callers
      FROM ours o;

SELECT set_eq('SELECT name, arguments FROM found', 'SELECT name, arguments FROM wanted', 'the functions are these and no others');
SELECT is(f.result, w.result, format('%s(%s) returns', w.name, left(w.arguments, 40))) FROM wanted w LEFT JOIN found f USING (name, arguments);
SELECT is(f.provolatile, w.provolatile, format('volatility of %s(%s)', w.name, left(w.arguments, 40))) FROM wanted w LEFT JOIN found f USING (name, arguments);
SELECT is(f.proparallel, w.proparallel, format('parallel safety of %s(%s)', w.name, left(w.arguments, 40))) FROM wanted w LEFT JOIN found f USING (name, arguments);
SELECT is(f.callers, w.callers, format('callers of %s(%s)', w.name, left(w.arguments, 40))) FROM wanted w LEFT JOIN found f USING (name, arguments);

-- What the server itself says to each role, also for PUBLIC's rights.
CREATE ROLE pgtap_stranger;
SELECT is(has_function_privilege(role, f.oid, 'EXECUTE'), position(letter IN w.callers) > 0, format('%s and %s(%s)', role, w.name, left(w.arguments, 40)))
  FROM wanted w JOIN found f USING (name, arguments),
       (VALUES ('anon', 'a'), ('authenticated', 'u'), ('service_role', 's'), ('pgtap_stranger', 'p')) AS r (role, letter);
SELECT ok(NOT has_schema_privilege('pgtap_stranger', 'padlock', 'USAGE'), 'a stranger has no business in schema padlock');

-- Every function that may run SQL runs it in a search_path of its own; these
-- run none, but for enqueue_job(), which sets one when it does, and go without
-- for speed.
SELECT set_eq('SELECT name FROM ours WHERE NOT coalesce(proconfig @> ARRAY[''search_path=pg_catalog, pg_temp''], false)',
              ARRAY['padlock.uid', 'padlock.company_id', 'padlock.is_admin', 'padlock.is_super_admin', 'padlock.is_service_role', 'padlock.is_privileged',
                    'padlock.scope_low', 'padlock.scope_high', 'padlock.company_scope_low', 'padlock.company_scope_high', 'padlock.company_is_active', 'padlock.may_manage_user',
                    'is_admin', 'padlock.touch_updated_at', 'padlock.guard_columns', 'padlock.forget_admins', 'padlock.search_note_companies', 'padlock.check_limit_rule', 'padlock.audit_refuse', 'padlock.audit_personal_digest', 'padlock.audit_row_digest', 'padlock.audit_seal_digest',
                    'padlock.audit_entries', 'padlock.drop_provenance', 'padlock.job_types_changed', 'padlock.may_use_queue',
                    'enqueue_job', 'check_rate_limit', 'padlock.check_rate_limit', 'padlock.reset_rate_limit', 'padlock.rate_limit_keys', 'padlock.rate_limit_stats',
                    'padlock.encrypt', 'padlock.decrypt', 'padlock.keyring_changed', 'padlock.keep_document',
                    'padlock.jwks', 'padlock.authenticate', 'padlock.check_request', 'padlock.create_jwt_keys', 'padlock.rotate_jwt_key', 'padlock.prepare_jwt_key'],
              'the search_path is pinned, pg_temp last, but for these');
SELECT is_empty('SELECT name FROM ours WHERE prosecdef', 'no function is SECURITY DEFINER');
SELECT is_empty('SELECT name FROM ours WHERE proleakproof', 'none claims to be leakproof');
SELECT is_empty('SELECT name FROM ours WHERE lanname NOT IN (''c'', ''sql'')', 'logic is in C');
SELECT set_eq('SELECT name FROM ours WHERE lanname = ''sql''', ARRAY['padlock.definitions'], 'but for a text');
SELECT is_empty('SELECT name FROM ours WHERE coalesce(length(obj_description(oid, ''pg_proc'')), 0) < 10', 'each function has a comment');
SELECT set_eq('SELECT name FROM ours WHERE proisstrict', ARRAY['is_admin', 'padlock.company_is_active', 'padlock.may_manage_user', 'padlock.create_jwt_keys', 'padlock.rotate_jwt_key', 'padlock.prepare_jwt_key', 'padlock.search_terms'], 'NULL is answered by NULL by these only');

-- Gateways pass one unnamed body, so these have no argument names.
SELECT is_empty('SELECT name FROM ours WHERE proargnames IS NOT NULL AND pg_get_function_arguments(oid) ~ ''^jsonb''', 'a body has no name');

-- A refusal is a refusal for the caller, too.
SELECT throws_ok(format('SET LOCAL ROLE %I; SELECT %s', role, call), '42501', NULL, format('%s: %s', role, call))
  FROM unnest(ARRAY['anon', 'authenticated']) AS role,
       unnest(ARRAY['enqueue_job(''x'', ''{}'')', 'check_rate_limit(''x'', ''x'')', 'padlock.reset_rate_limit(''x'', ''x'')', 'get_next_job(''x'')', 'complete_job(gen_random_uuid())', 'fail_job(gen_random_uuid(), ''x'')',
                    'enqueue_pdf_extraction(gen_random_uuid(), ''https://x.example/x.pdf'')', 'schedule_daily_ai_crawls()', 'cleanup_old_jobs()', 'enqueue_jobs(''[]'')', 'get_next_jobs(''x'')', 'complete_jobs(''{}'')', 'extend_job(gen_random_uuid())',
                    'cancel_job(gen_random_uuid())', 'retry_job(gen_random_uuid())', 'redrive_jobs(''x'')', 'pause_job_type(''x'')', 'resume_job_type(''x'')', 'report_job_progress(gen_random_uuid(), 1)',
                    'job_worker()', 'padlock.install()', 'padlock.definitions()', 'padlock.create_audit_partitions()', 'padlock.announce()',
                    'padlock.worker_status()', 'padlock.key_services()', 'padlock.wants_install()', 'padlock.register_job_handler(''x'', ''pg_catalog.jsonb_strip_nulls(jsonb)'')',
                    'padlock.unregister_job_handler(''x'')', 'padlock.list_job_handlers()', 'padlock.encrypt(''x'', ''documents'', ''{}'')', 'padlock.decrypt(''x'', ''{}'')',
                    'padlock.init_keyring()', 'padlock.create_key(''x'')', 'padlock.rotate_key(''x'')', 'padlock.rewrap_keyring()', 'padlock.destroy_key(''x'')',
                    'padlock.lock_keyring()', 'padlock.unlock_keyring()', 'padlock.keyring()', 'padlock.reseal_documents()', 'padlock.move_documents()', 'padlock.forget_user(gen_random_uuid())',
                    'padlock.audit_seal()', 'padlock.audit_head()', 'padlock.audit_verify()', 'padlock.audit_entries(NULL)']) AS call;
SELECT throws_ok(format('SET LOCAL ROLE anon; SELECT %s', call), '42501', NULL, 'anon: ' || call)
  FROM unnest(ARRAY['company_onboard(''{}'')', 'document_upload(''{}'')', 'document_put(gen_random_uuid(), ''x'')', 'document_content(gen_random_uuid())', 'document_text(gen_random_uuid())', 'is_admin(gen_random_uuid())', 'sign_out()', 'list_sessions()',
                    'revoke_session(''{}'')', 'change_password(''{}'')', 'change_email(''{}'')']) AS call;
SELECT throws_ok(format('SET LOCAL ROLE service_role; SELECT %s', call), '42501', NULL, 'service_role: ' || call)
  FROM unnest(ARRAY['padlock.install()', 'padlock.definitions()', 'padlock.create_audit_partitions()', 'padlock.announce()', 'padlock.wants_install()',
                    'padlock.init_keyring()', 'padlock.create_key(''x'')', 'padlock.rotate_key(''x'')', 'padlock.rewrap_keyring()', 'padlock.destroy_key(''x'')',
                    'padlock.lock_keyring()', 'padlock.unlock_keyring()', 'padlock.reseal_documents()', 'padlock.move_documents()']) AS call;

-- product_search must run in a read-only transaction; the writers must not.
SAVEPOINT reading;
SET LOCAL transaction_read_only = on;
SELECT product_search(search_term => 'x', page => '1') ->> 'success' AS by_name,
       product_search('{"search_term": "x"}'::jsonb) ->> 'success' AS by_body \gset
ROLLBACK TO reading;
SELECT is(:'by_name'::text, 'true', 'product_search by name, read only');
SELECT is(:'by_body'::text, 'true', 'product_search by body, read only');

-- Where a platform's default privileges hand every new object to the low
-- roles, the list must still hold after CREATE EXTENSION.
CREATE TEMP TABLE before AS SELECT name, arguments, callers FROM found;
CREATE TEMP VIEW table_rights AS
    SELECT c.oid::regclass::text AS name, grantee::regrole::text AS role, string_agg(privilege_type, ',' ORDER BY privilege_type) AS verbs
      FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl)
     WHERE nspname IN ('public', 'padlock') AND grantee <> relowner AND relkind IN ('r', 'p', 'v', 'S') GROUP BY 1, 2;
CREATE TEMP TABLE before_tables AS SELECT * FROM table_rights;
SAVEPOINT platform;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
DROP EXTENSION padlock CASCADE;
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN SELECT format('DROP %s IF EXISTS %s CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, c.oid::regclass)
                       FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
DROP TYPE policy_type_enum, claim_status_enum, document_type_enum;
DROP SCHEMA padlock CASCADE;
CREATE EXTENSION padlock SCHEMA public;
SELECT coalesce(string_agg(concat_ws(' ', f.name, f.callers), ', '), 'none') AS functions FROM found f LEFT JOIN before b USING (name, arguments)
 WHERE f.callers IS DISTINCT FROM b.callers \gset
SELECT coalesce(string_agg(concat_ws(' ', r.name, r.role, r.verbs), ', '), 'none') AS tables FROM table_rights r LEFT JOIN before_tables b USING (name, role)
 WHERE r.verbs IS DISTINCT FROM b.verbs \gset
SELECT count(*) = (SELECT count(*) FROM before) AS complete FROM found \gset
ROLLBACK TO platform;
SELECT ok(:'complete'::boolean, 'the extension is made again among default privileges');
SELECT is(:'functions'::text, 'none', 'they add no caller of a function');
SELECT is(:'tables'::text, 'none', 'nor a right on a table or sequence');

SELECT * FROM finish();
ROLLBACK;
