-- Room queue: its functions, their arguments and privileges, and the life of
-- a job.  The cluster runs with padlock.worker_count = 0, so that no worker
-- takes the jobs away.
\set VERBOSITY default
SET client_min_messages = warning;
SET padlock.job_worker_wait = '300ms';

-- What a job looks like, without ids and times.
CREATE VIEW jobs WITH (security_invoker) AS
SELECT job_type, status, priority, payload, result, error_message, attempts, max_attempts,
       next_retry_at IS NOT NULL AS retry, started_at IS NOT NULL AS started,
       completed_at IS NOT NULL AS ended, worker_id, locked_until IS NOT NULL AS locked
  FROM job_queue ORDER BY enqueue_order;
GRANT SELECT ON jobs TO service_role;

-- The table holds the promised columns, in this order, then the design's own.
SELECT attnum, attname, format_type(atttypid, atttypmod)
  FROM pg_attribute WHERE attrelid = 'job_queue'::regclass AND attnum > 0 ORDER BY attnum;
SELECT obj_description('job_queue'::regclass) LIKE 'padlock: %' AS marked;

-- Names and defaults of the arguments are promises to gateways.
SELECT p.proname, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
  FROM pg_proc p
 WHERE p.pronamespace = 'public'::regnamespace
   AND p.proname IN ('enqueue_job', 'get_next_job', 'complete_job', 'fail_job', 'enqueue_pdf_extraction',
                     'schedule_daily_ai_crawls', 'cleanup_old_jobs', 'job_worker', 'enqueue_jobs', 'get_next_jobs',
                     'complete_jobs', 'extend_job', 'cancel_job', 'retry_job', 'redrive_jobs', 'pause_job_type',
                     'resume_job_type', 'report_job_progress')
 ORDER BY p.proname COLLATE "C";

SET ROLE service_role;

-- Bad arguments are named.
SELECT enqueue_job(NULL, '{}');
SELECT enqueue_job('', '{}');
SELECT enqueue_job(repeat('x', 101), '{}');
SELECT enqueue_job('job', NULL);
SELECT enqueue_job('job', '[1]');
SELECT enqueue_job('job', '"text"');
SELECT enqueue_job('job', '{}', NULL);
SELECT enqueue_job('job', '{}', 0, NULL);
SELECT enqueue_job('job', '{}', 0, 0);
SELECT get_next_job(NULL);
SELECT get_next_job('');
SELECT get_next_job(repeat('w', 201));
SELECT get_next_job('worker', NULL);
SELECT get_next_job('worker', 0);
SELECT complete_job(NULL);
SELECT complete_job('00000000-0000-0000-0000-000000000000');
SELECT fail_job(NULL, 'reason');
SELECT fail_job('00000000-0000-0000-0000-000000000000', NULL);
SELECT fail_job('00000000-0000-0000-0000-000000000000', 'reason', NULL);
SELECT fail_job('00000000-0000-0000-0000-000000000000', 'reason', -1);
SELECT fail_job('00000000-0000-0000-0000-000000000000', 'reason');
SELECT enqueue_pdf_extraction(NULL, 'https://storage.example/file.pdf');
SELECT enqueue_pdf_extraction('00000000-0000-0000-0000-000000000000', NULL);
SELECT enqueue_pdf_extraction('00000000-0000-0000-0000-000000000000', 'file:///etc/passwd');
SELECT enqueue_pdf_extraction('00000000-0000-0000-0000-000000000000', 'https://' || repeat('x', 2000));
SELECT enqueue_pdf_extraction('00000000-0000-0000-0000-000000000000', 'https://storage.example/file.pdf', NULL);
\set VERBOSITY sqlstate
SELECT enqueue_job(NULL, '{}');
SELECT enqueue_job('', '{}');
SELECT get_next_job('worker', 0);
SELECT complete_job('00000000-0000-0000-0000-000000000000');
\set VERBOSITY default
INSERT INTO job_queue (job_type, status) VALUES ('job', 'done');
INSERT INTO job_queue (job_type, payload) VALUES ('job', '[]');
INSERT INTO job_queue (job_type, attempts) VALUES ('job', -1);
INSERT INTO job_queue (job_type, status) VALUES ('job', 'processing');
SELECT count(*) FROM job_queue;

-- Higher priority first, then first in, first out, within a transaction too.
SELECT count(*) FROM get_next_job('worker');
SELECT count(enqueue_job('job', jsonb_build_object('n', n), p))
  FROM (VALUES (1, 0), (2, 0), (3, 10), (4, -5), (5, 10), (6, 0)) AS v(n, p);
UPDATE job_queue SET max_attempts = 4 WHERE payload = '{"n": 1}';    -- moves the row, not its turn
SELECT (get_next_job('worker')).payload FROM generate_series(1, 3);
SELECT payload FROM get_next_job('worker');
SELECT payload, attempts, job_type FROM get_next_job('worker');
SELECT payload FROM get_next_job('worker');
SELECT payload FROM get_next_job('worker');
DELETE FROM job_queue;

-- A job that is done.  The token of the first claim may be left out.
SELECT enqueue_job('job', '{"a": 1}', max_attempts_val => 2) AS job \gset
SELECT complete_job(:'job');
SELECT job_id = :'job' AS same, job_type, payload, attempts FROM get_next_job('worker one');
SELECT extract(epoch FROM locked_until - started_at) AS lease_seconds FROM job_queue;
SELECT complete_job(:'job', '{}', 2);
SELECT complete_job(:'job', '{"b": 2}');
SELECT complete_job(:'job', '{"b": 3}', 1);
SELECT fail_job(:'job', 'too late', attempt_val => 1);
SELECT * FROM jobs \gx
DELETE FROM job_queue;

-- A job that fails twice.  A second claim needs its token.
SELECT enqueue_job('job', '{}', max_attempts_val => 2) AS job \gset
SELECT count(*) FROM get_next_job('one');
SELECT fail_job(:'job', 'first reason');
SELECT * FROM jobs \gx
SELECT next_retry_at - started_at BETWEEN interval '5 min' AND interval '7 min 31 s' AS delayed FROM job_queue;
SELECT count(*) FROM get_next_job('one');
UPDATE job_queue SET next_retry_at = now();
SELECT attempts FROM get_next_job('two', 1);
SELECT fail_job(:'job', 'stale');
SELECT fail_job(:'job', 'stale', attempt_val => 1);
SELECT complete_job(:'job');
SELECT fail_job(:'job', 'second reason', attempt_val => 2);
SELECT * FROM jobs \gx
SELECT count(*) FROM get_next_job('one');
DELETE FROM job_queue;

-- The delay doubles up to a day; zero stays zero; long messages are cut
-- between characters.
INSERT INTO job_queue (job_type, status, attempts, max_attempts, started_at, locked_until)
SELECT 'job', 'processing', n, 100, now(), now() + interval '1 min' FROM unnest(ARRAY[2, 4, 20, 99]) AS n;
SELECT attempts, fail_job(id, repeat('€', 3000), 10, attempts) FROM job_queue ORDER BY enqueue_order;
SELECT attempts, status,
       extract(epoch FROM next_retry_at - started_at) BETWEEN least(600 * 2 ^ (attempts - 1), 86400) AND least(900 * 2 ^ (attempts - 1), 86400) + 30 AS in_bounds,
       octet_length(error_message), right(error_message, 1)
  FROM job_queue ORDER BY enqueue_order;
DELETE FROM job_queue;
SELECT enqueue_job('job', '{}') AS job \gset
SELECT count(*) FROM get_next_job('worker');
SELECT fail_job(:'job', 'at once', 0);
SELECT attempts FROM get_next_job('worker');
DELETE FROM job_queue;

-- A lease that has ended: still held until a claim notices it, then due
-- again, and failed when the attempts are used up.
SELECT enqueue_job('job', '{}', max_attempts_val => 2) AS job \gset
SELECT count(*) FROM get_next_job('slow');
UPDATE job_queue SET locked_until = now() - interval '1 s';
BEGIN;
SELECT complete_job(:'job', '"late, but nobody else has it"', 1);
ROLLBACK;
SELECT attempts FROM get_next_job('next');
SELECT * FROM jobs \gx
SELECT complete_job(:'job', '"too late"', 1);
UPDATE job_queue SET locked_until = now() - interval '1 s';
SELECT attempts FROM get_next_job('next');
SELECT * FROM jobs \gx
SELECT complete_job(:'job', '"too late"', 2);
DELETE FROM job_queue;

-- A lease that ended does not go before a job of higher priority.
SELECT count(enqueue_job('low', '{}'));
SELECT count(*) FROM get_next_job('worker');
UPDATE job_queue SET locked_until = now() - interval '1 s';
SELECT count(enqueue_job('high', '{}', 1));
SELECT job_type, attempts FROM get_next_job('worker');
SELECT job_type, attempts FROM get_next_job('worker');
DELETE FROM job_queue;

-- A plain INSERT is as good as enqueue_job(); a start may be put off.
INSERT INTO job_queue (job_type) VALUES ('plain');
INSERT INTO job_queue (job_type, priority, next_retry_at) VALUES ('later', 9, now() + interval '1 h');
SELECT job_type, payload FROM get_next_job('worker');
SELECT job_type, payload FROM get_next_job('worker');
DELETE FROM job_queue;

-- Large payloads, which are stored out of line.
SELECT count(enqueue_job('large', jsonb_build_object('text', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 10000) n))));
SELECT length(payload ->> 'text') FROM get_next_job('worker');
DELETE FROM job_queue;

-- PDF extraction.
SELECT enqueue_pdf_extraction('11111111-2222-3333-4444-555555555555', 'https://storage.example/a "b".pdf', 10) IS NOT NULL AS queued;
SELECT * FROM jobs \gx
DELETE FROM job_queue;

-- The daily schedule: never a second job while one is under way.
RESET ROLE;
INSERT INTO insurance_companies (id, name, website, is_active) VALUES
    ('00000000-0000-0000-0000-0000000000a1', 'Site and stale product', 'https://one.example', true),
    ('00000000-0000-0000-0000-0000000000a2', 'Site, fresh product', 'https://two.example', true),
    ('00000000-0000-0000-0000-0000000000a3', 'No site, product never crawled', NULL, true),
    ('00000000-0000-0000-0000-0000000000a4', 'Inactive', 'https://four.example', false),
    ('00000000-0000-0000-0000-0000000000a5', 'No site, inactive product', NULL, true);
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, is_active, last_crawled_at) VALUES
    ('00000000-0000-0000-0000-0000000000a1', 'Stale', 'health', 1, true, now() - interval '8 days'),
    ('00000000-0000-0000-0000-0000000000a1', 'Stale too', 'health', 1, true, NULL),
    ('00000000-0000-0000-0000-0000000000a2', 'Fresh', 'health', 1, true, now() - interval '6 days'),
    ('00000000-0000-0000-0000-0000000000a3', 'Never', 'health', 1, true, NULL),
    ('00000000-0000-0000-0000-0000000000a4', 'Of inactive', 'health', 1, true, NULL),
    ('00000000-0000-0000-0000-0000000000a5', 'Inactive', 'health', 1, false, NULL);
DELETE FROM job_queue;              -- what the inserts queued
SET ROLE service_role;
SELECT schedule_daily_ai_crawls();
SELECT job_type, payload FROM job_queue ORDER BY job_type, payload;
SELECT schedule_daily_ai_crawls();
SELECT count(*) FROM get_next_job('worker');
SELECT schedule_daily_ai_crawls();
SELECT count(*) FROM (SELECT complete_job(id) FROM job_queue WHERE status = 'processing') AS ended;
SELECT schedule_daily_ai_crawls();
SELECT status, count(*) FROM job_queue GROUP BY status ORDER BY status;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT schedule_daily_ai_crawls();
ROLLBACK;
RESET ROLE;
DELETE FROM insurance_companies WHERE id::text LIKE '00000000-0000-0000-0000-0000000000a%';
DELETE FROM insurance_products WHERE company_id::text LIKE '00000000-0000-0000-0000-0000000000a%';
DELETE FROM job_queue;
SET ROLE service_role;

-- Retention counts from the end of a job.
INSERT INTO job_queue (job_type, status, created_at, completed_at) VALUES
    ('kept', 'completed', now() - interval '99 days', now() - interval '29 days'),
    ('gone', 'completed', now() - interval '99 days', now() - interval '31 days'),
    ('kept', 'failed', now() - interval '99 days', now() - interval '89 days'),
    ('gone', 'failed', now() - interval '99 days', now() - interval '91 days'),
    ('gone', 'failed', now() - interval '91 days', NULL),
    ('kept', 'pending', now() - interval '99 days', NULL);
SELECT cleanup_old_jobs();
SELECT job_type, status FROM job_queue ORDER BY enqueue_order;
SELECT cleanup_old_jobs();
DELETE FROM job_queue;

-- job_worker(): its body, and no worker to ask.
SELECT job_worker(NULL);
SELECT job_worker('[]');
SELECT job_worker('{"job_type": "x", "wait": true}');
SELECT job_worker();
SELECT job_worker('{}');
BEGIN;
SET LOCAL request.method = 'POST';
SELECT job_worker();
ROLLBACK;

-- service_role sees the rows under row security, other roles see and may do nothing.
SELECT count(enqueue_job('job', '{}'));
SELECT count(*) FROM job_queue;
RESET ROLE;
SET ROLE anon;
SELECT count(*) FROM job_queue;
INSERT INTO job_queue (job_type) VALUES ('job');
SELECT enqueue_job('job', '{}');
SELECT get_next_job('worker');
SELECT complete_job('00000000-0000-0000-0000-000000000000');
SELECT fail_job('00000000-0000-0000-0000-000000000000', 'reason');
SELECT enqueue_pdf_extraction('00000000-0000-0000-0000-000000000000', 'https://storage.example/file.pdf');
SELECT schedule_daily_ai_crawls();
SELECT cleanup_old_jobs();
SELECT job_worker();
SELECT padlock.job_types_changed();
RESET ROLE;
SET ROLE authenticated;
SELECT count(*) FROM job_queue;
UPDATE job_queue SET status = 'completed';
DELETE FROM job_queue;
SELECT enqueue_job('job', '{}');
SELECT get_next_job('worker');
SELECT complete_job('00000000-0000-0000-0000-000000000000');
SELECT fail_job('00000000-0000-0000-0000-000000000000', 'reason');
SELECT enqueue_pdf_extraction('00000000-0000-0000-0000-000000000000', 'https://storage.example/file.pdf');
SELECT schedule_daily_ai_crawls();
SELECT cleanup_old_jobs();
SELECT job_worker();
RESET ROLE;

-- EXECUTE alone opens one door and no other; without the role, the policy
-- shows no row even to one with table rights.
CREATE ROLE regress_queue_user;
GRANT EXECUTE ON FUNCTION enqueue_job(text, jsonb, integer, integer, timestamptz, text, text) TO regress_queue_user;
SET ROLE regress_queue_user;
SELECT enqueue_job('by grant', '{}') IS NOT NULL AS queued;
SELECT get_next_job('worker');
RESET ROLE;
GRANT SELECT, INSERT ON job_queue TO regress_queue_user;
SET ROLE regress_queue_user;
SELECT count(*) FROM job_queue;
INSERT INTO job_queue (job_type) VALUES ('job');
RESET ROLE;
REVOKE ALL ON job_queue FROM regress_queue_user;
REVOKE ALL ON FUNCTION enqueue_job(text, jsonb, integer, integer, timestamptz, text, text) FROM regress_queue_user;
DROP ROLE regress_queue_user;
DELETE FROM job_queue;

DROP VIEW jobs;

-- What enqueue_job() asks of the tables means what it says, whatever the caller's search_path.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.equals(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'run by %', current_user; END $$;
CREATE OPERATOR hostile.= (FUNCTION = hostile.equals, LEFTARG = text, RIGHTARG = text);
CREATE FUNCTION hostile.max(integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE 'run by %', current_user; END $$;
INSERT INTO padlock.job_types (job_type) VALUES ('hostile');
\c -
SET search_path = hostile, pg_catalog, public;
SELECT public.enqueue_job('hostile', '{}', dedupe_key_val => 'one') = public.enqueue_job('hostile', '{}', dedupe_key_val => 'one') AS twin;
SHOW search_path;
RESET search_path;
DELETE FROM padlock.job_types WHERE job_type = 'hostile';
DELETE FROM job_queue WHERE job_type = 'hostile';
\set VERBOSITY terse
DROP SCHEMA hostile CASCADE;
