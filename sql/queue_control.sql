-- Room queue: what is beyond claim, complete and fail: scheduled start,
-- deduplication, batches, limits, pause, cancel, retry, progress, counts,
-- retention.
\set VERBOSITY default
SET client_min_messages = warning;
SET ROLE service_role;

-- A start in the future; the column keeps it.
SELECT enqueue_job('later', '{}', run_at_val => now() + interval '1 hour') AS later \gset
SELECT count(*) FROM get_next_job('w');
SELECT status, next_retry_at > now() AS waits FROM job_queue;
UPDATE job_queue SET next_retry_at = now() WHERE id = :'later';
SELECT job_id = :'later' AS same FROM get_next_job('w');
DELETE FROM job_queue;

-- A twin that waits or runs is returned; another type, or one that ended, is none.
SELECT enqueue_job('crawl', '{}', dedupe_key_val => 'site') AS first \gset
SELECT enqueue_job('crawl', '{}', dedupe_key_val => 'site') = :'first' AS twin;
SELECT count(*) FROM get_next_job('w');
SELECT enqueue_job('crawl', '{}', dedupe_key_val => 'site') = :'first' AS twin_runs;
SELECT enqueue_job('other', '{}', dedupe_key_val => 'site') = :'first' AS other_type;
SELECT complete_job(:'first');
SELECT enqueue_job('crawl', '{}', dedupe_key_val => 'site') = :'first' AS twin_ended;
SELECT enqueue_job('crawl', '{}', dedupe_key_val => '');
SELECT enqueue_job('crawl', '{}', queue_val => repeat('x', 201));
DELETE FROM job_queue;

-- The rule of twins holds for jobs that are to wait again, and for rows.
\set first '00000000-0000-0000-0000-000000000002'
INSERT INTO job_queue (id, job_type, dedupe_key, status) VALUES (:'first', 'crawl', 'site', 'failed');
INSERT INTO job_queue (id, job_type, dedupe_key) VALUES ('00000000-0000-0000-0000-000000000001', 'crawl', 'site');
SELECT retry_job(:'first');
SELECT redrive_jobs('crawl');
UPDATE job_queue SET status = 'pending' WHERE id = :'first';
UPDATE job_queue SET dedupe_key = 'page' WHERE id = '00000000-0000-0000-0000-000000000001';
SELECT retry_job(:'first');
UPDATE job_queue SET dedupe_key = 'site' WHERE id = '00000000-0000-0000-0000-000000000001';
UPDATE job_queue SET job_type = 'other', dedupe_key = 'site' WHERE id = '00000000-0000-0000-0000-000000000001';
UPDATE job_queue SET job_type = 'crawl' WHERE id = '00000000-0000-0000-0000-000000000001';
UPDATE job_queue SET priority = 1 WHERE dedupe_key = 'site';
INSERT INTO job_queue (job_type, dedupe_key) SELECT 'crawl', key FROM (VALUES ('new'), ('site')) AS v (key);
INSERT INTO job_queue (job_type, dedupe_key, status) VALUES ('crawl', 'site', 'failed'), ('crawl', 'site', 'completed');
SELECT job_id = :'first' AS claimed FROM get_next_job('w') WHERE job_type = 'crawl';
SELECT retry_job(id) FROM job_queue WHERE dedupe_key = 'site' AND status = 'failed';
SELECT complete_job(:'first');
-- Of two that failed, one.
SELECT count(cancel_job(id)) FROM job_queue WHERE status = 'processing' OR status = 'pending';
INSERT INTO job_queue (job_type, dedupe_key, status) VALUES ('crawl', 'site', 'failed'), ('crawl', 'page', 'failed'), ('crawl', NULL, 'failed');
SELECT redrive_jobs('crawl'), redrive_jobs('crawl') AS again;
SELECT dedupe_key, status FROM job_queue WHERE job_type = 'crawl' ORDER BY enqueue_order;
DELETE FROM job_queue;
-- A set with more keys than it takes locks of.
SELECT count(*), count(DISTINCT id) FROM enqueue_jobs((SELECT jsonb_agg(jsonb_build_object('job_type', 'many', 'payload', '{}'::jsonb, 'dedupe_key', n % 300)) FROM generate_series(1, 400) n)) AS id;
SELECT count(cancel_job(id)) FROM job_queue;
BEGIN;
SELECT count(DISTINCT id) FROM enqueue_jobs((SELECT jsonb_agg(jsonb_build_object('job_type', 'many', 'payload', '{}'::jsonb, 'dedupe_key', n)) FROM generate_series(1, 300) n)) AS id;
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
ROLLBACK;
SELECT redrive_jobs('many');
UPDATE job_queue SET status = 'failed', error_message = 'why';
SELECT redrive_jobs('many');
DELETE FROM job_queue;

-- A cancelled job stays ended, whether it waited or ran; one may be asked for by its id.
SELECT enqueue_job('crawl', '{"n": 1}') AS cancelled \gset
SELECT count(enqueue_job('crawl', jsonb_build_object('n', n))) FROM generate_series(2, 3) n;
SELECT cancel_job(:'cancelled');
SELECT fail_job(job_id, 'why', permanent_val => true) FROM get_next_job('w');
SELECT cancel_job(job_id) FROM get_next_job('w');
SELECT redrive_jobs('crawl');
SELECT payload, status, error_message FROM job_queue ORDER BY enqueue_order;
SELECT retry_job(:'cancelled');
SELECT cancel_job(:'cancelled');
SELECT cardinality(array_agg(job_id)) AS claimed, cardinality(complete_jobs(array_agg(job_id), array_agg(attempts))) AS refused FROM get_next_jobs('w');
SELECT redrive_jobs('crawl');
DELETE FROM job_queue;

-- Many at once, all or none.
SELECT count(*) FROM enqueue_jobs('[{"job_type": "a", "payload": {"n": 1}}, {"job_type": "b", "payload": {}, "priority": 5, "max_attempts": 1, "queue": "q"}]');
SELECT enqueue_jobs('{}');
SELECT enqueue_jobs('[1]');
SELECT enqueue_jobs('[{"job_type": "a", "payload": {}, "color": 1}]');
SELECT enqueue_jobs('[{"job_type": "a", "payload": {}}, {"payload": {}}]');
SELECT enqueue_jobs('[{"job_type": "a", "payload": []}]');
SELECT enqueue_jobs('[{"job_type": "a", "payload": {}}, 1]');
SELECT enqueue_jobs('[{"job_type": "a", "payload": {}}, {"job_type": "a", "payload": {}, "color": 1}]');
-- Whatever is wrong, the error says in which element.
DO $$
DECLARE
    wrong jsonb;
    said text;
    more text;
BEGIN
    FOREACH wrong IN ARRAY ARRAY['{"job_type": ""}', '{"job_type": null}', '{"payload": null}', '{"payload": 1}', '{"priority": "high"}',
        '{"priority": 1.5}', '{"priority": 2147483648}', '{"priority": 99999999999999999999}', '{"priority": true}', '{"priority": {}}', '{"priority": ""}',
        '{"max_attempts": 0}', '{"max_attempts": "x"}', '{"run_at": "soon"}', '{"run_at": "2100-02-30"}', '{"run_at": "infinity"}',
        '{"run_at": "-infinity"}', '{"run_at": 5}', '{"dedupe_key": ""}', '{"queue": ""}']::jsonb[]
    LOOP
        BEGIN
            PERFORM enqueue_jobs(jsonb_build_array('{"job_type": "a", "payload": {}}'::jsonb, '{"job_type": "a", "payload": {}}'::jsonb || wrong));
            RAISE WARNING '% is taken', wrong;
        EXCEPTION WHEN data_exception THEN
            GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, more = PG_EXCEPTION_DETAIL;
            RAISE WARNING '%: % % %', wrong, SQLSTATE, said, more;
        END;
    END LOOP;
END $$;
SELECT enqueue_jobs(NULL);
SELECT count(*) FROM enqueue_jobs('[{"job_type": "c", "payload": {}, "priority": "-7", "max_attempts": null, "run_at": "2000-01-01", "dedupe_key": null, "queue": null}]');
SELECT priority, max_attempts, next_retry_at = '2000-01-01', dedupe_key, queue FROM job_queue WHERE job_type = 'c';
DELETE FROM job_queue WHERE job_type = 'c';
SELECT job_type, priority, max_attempts, queue FROM job_queue ORDER BY enqueue_order;

-- Batches: in order; what is refused comes back.
SELECT job_type, attempts FROM get_next_jobs('w', 10);
SELECT get_next_jobs('w', 0);
SELECT cardinality(complete_jobs(array_agg(id ORDER BY enqueue_order), ARRAY[1, 7])) AS refused FROM job_queue;
SELECT cardinality(complete_jobs(array_agg(id), NULL, array_agg('{"r": 1}'::jsonb))) AS refused FROM job_queue WHERE status = 'processing';
SELECT complete_jobs(ARRAY[NULL::uuid]);
SELECT complete_jobs(array_agg(id), ARRAY[1, 2, 3]) FROM job_queue;
SELECT complete_jobs(NULL);
-- An id that no job has is a mistake, but must not cost the others of a batch their end.
SELECT complete_job('00000000-0000-0000-0000-000000000009');
SELECT complete_jobs(ARRAY['00000000-0000-0000-0000-000000000009'::uuid]);
SELECT job_type, status, result FROM job_queue ORDER BY enqueue_order;
DELETE FROM job_queue;

-- Of one queue key one job runs at a time; of a type as many as it says.
SELECT count(enqueue_job('crawl', '{}', queue_val => host)) FROM (VALUES ('one'), ('one'), ('two')) AS v (host);
SELECT count(*) FROM get_next_jobs('w', 10);
SELECT queue, status FROM job_queue ORDER BY enqueue_order;
SELECT complete_job(id) FROM job_queue WHERE queue = 'one' AND status = 'processing';
SELECT count(*) FROM get_next_jobs('w', 10);
DELETE FROM job_queue;
INSERT INTO padlock.job_types (job_type, max_running) VALUES ('few', 2);
SELECT count(enqueue_job('few', '{}')) FROM generate_series(1, 5);
SELECT count(*) FROM get_next_jobs('w', 10);
SELECT count(complete_job(id)) FROM (SELECT id FROM job_queue WHERE status = 'processing' LIMIT 1) AS one;
SELECT count(*) FROM get_next_jobs('w', 10);
DELETE FROM padlock.job_types;
SELECT count(*) FROM get_next_jobs('w', 10);
DELETE FROM job_queue;

-- A place that a job does not take goes to the next: one that was cancelled,
-- one whose key is busy, one whose type is.
INSERT INTO padlock.job_types (job_type, max_running) VALUES ('few', 1);
SELECT count(enqueue_job('few', jsonb_build_object('n', n))) FROM generate_series(1, 3) n;
SELECT payload FROM get_next_jobs('w', 10);
SELECT complete_job(id) FROM job_queue WHERE payload->>'n' = '1';
SELECT cancel_job(id) FROM job_queue WHERE payload->>'n' = '2';
SELECT payload FROM get_next_jobs('w', 10);
DELETE FROM job_queue;
SELECT count(*) FROM enqueue_jobs('[{"job_type": "other", "payload": {"n": 1}, "queue": "host"}, {"job_type": "few", "payload": {"n": 2}},
 {"job_type": "few", "payload": {"n": 3}, "queue": "host"}, {"job_type": "few", "payload": {"n": 4}}]');
SELECT payload FROM get_next_jobs('w', 10);
SELECT complete_job(id) FROM job_queue WHERE payload->>'n' = '2';
SELECT payload FROM get_next_jobs('w', 10);
DELETE FROM job_queue;
SELECT count(*) FROM enqueue_jobs('[{"job_type": "other", "payload": {"n": 1}, "queue": "host"},
 {"job_type": "few", "payload": {"n": 3}, "queue": "host"}, {"job_type": "other", "payload": {"n": 4}, "queue": "host"}]');
SELECT payload FROM get_next_jobs('w', 10);
SELECT enqueue_job('few', '{"n": 2}', 1) AS busy \gset
SELECT payload FROM get_next_jobs('w', 10);
SELECT complete_job(id) FROM job_queue WHERE payload->>'n' = '1';
SELECT payload FROM get_next_jobs('w', 10);
DELETE FROM job_queue;
DELETE FROM padlock.job_types;

-- A paused type waits, and nobody else with it.
INSERT INTO padlock.job_types (job_type) VALUES ('crawl');
SELECT pause_job_type('crawl'), pause_job_type('crawl') AS again;
SELECT count(enqueue_job('crawl', '{}', 9)), count(enqueue_job('mail', '{}'));
SELECT job_type FROM get_next_jobs('w', 10);
SELECT resume_job_type('crawl'), resume_job_type('crawl') AS again;
SELECT job_type FROM get_next_jobs('w', 10);
SELECT pause_job_type('');
DELETE FROM job_queue;
DELETE FROM padlock.job_types;

-- A type that is nowhere is a typing error; one of padlock's own, one with a row or a job is not.
SELECT pause_job_type('crawls');
SELECT resume_job_type('crawls');
SELECT count(*) FROM padlock.job_types;
SELECT pause_job_type('ai_crawl'), resume_job_type('ai_crawl'), resume_job_type('pdf_extraction');
SELECT enqueue_job('render', '{}') IS NOT NULL AS added;
SELECT resume_job_type('render'), pause_job_type('render');
DELETE FROM job_queue;
SELECT resume_job_type('render');
DELETE FROM padlock.job_types;

-- Times without end.
SELECT enqueue_job('job', '{}', run_at_val => 'infinity');
SELECT enqueue_job('job', '{}', run_at_val => '-infinity');
INSERT INTO job_queue (job_type, next_retry_at) VALUES ('job', 'infinity');
INSERT INTO job_queue (job_type) VALUES ('job');
UPDATE job_queue SET next_retry_at = '-infinity';
SELECT status, next_retry_at FROM job_queue;
DELETE FROM job_queue;

-- A worker's name is cut between characters.
SELECT enqueue_job('job', '{}') AS job \gset
SELECT count(*) FROM get_next_job(repeat(U&'\20AC', 200));
SELECT complete_job(:'job');
SELECT length(worker_id), worker_id = repeat(U&'\20AC', length(worker_id)) AS whole FROM job_queue;
DELETE FROM job_queue;

-- What no lease could be, and what cannot be changed.
SELECT enqueue_job('job', '{}') AS job \gset
SELECT count(*) FROM get_next_job('w');
UPDATE job_queue SET locked_until = 'infinity';
UPDATE job_queue SET locked_until = '-infinity';
UPDATE job_queue SET started_at = '-infinity';
UPDATE job_queue SET enqueue_order = enqueue_order + 1;
SELECT report_job_progress(:'job', 1, 2, 'half');
UPDATE job_queue SET priority = 7;
SELECT priority, status, attempts, worker_id, (SELECT message FROM padlock.job_progress) FROM job_queue;
SELECT complete_job(:'job');
DELETE FROM job_queue;

-- Cancel: a waiting job, a running one, one that ended.
SELECT enqueue_job('job', '{}') AS waiting \gset
SELECT cancel_job(:'waiting'), cancel_job(:'waiting') AS again;
SELECT count(*) FROM get_next_job('w');
SELECT enqueue_job('job', '{}') AS running \gset
SELECT count(*) FROM get_next_job('w');
SELECT extend_job(:'running', 10);
SELECT round(extract(epoch FROM locked_until - now())) AS seconds FROM job_queue WHERE id = :'running';
SELECT cancel_job(:'running');
SELECT extend_job(:'running'), complete_job(:'running');
SELECT status, attempts, error_message, worker_id FROM job_queue ORDER BY enqueue_order;
SELECT cancel_job('00000000-0000-0000-0000-000000000000');
SELECT cancel_job(NULL);
SELECT extend_job(:'running', 0);

-- Failed jobs wait again, keep what is known of them and get new attempts.
SELECT retry_job(:'waiting'), retry_job(:'waiting') AS again;
SELECT retry_job(:'running');
SELECT status, attempts, max_attempts, error_message FROM job_queue ORDER BY enqueue_order;
SELECT attempts FROM get_next_jobs('w', 10);
SELECT fail_job(:'running', 'for good', attempt_val => 2, permanent_val => true);
SELECT status, attempts, error_message FROM job_queue WHERE id = :'running';
SELECT retry_job('00000000-0000-0000-0000-000000000000');
DELETE FROM job_queue;

-- Progress.
SELECT enqueue_job('long', '{}') AS long \gset
SELECT count(*) FROM get_next_job('w');
SELECT report_job_progress(:'long', 25, 100, 'a quarter');
SELECT report_job_progress(:'long', 25, attempt_val => 2) AS stale, report_job_progress(:'long', -1);
SELECT padlock.report_progress(1);
SELECT job_type, worker_id, done, total, message, rate > 0 AS rate, estimate > reported_at AS estimated FROM padlock.job_progress;
SELECT complete_job(:'long');
SELECT count(*) FROM padlock.job_progress;
DELETE FROM job_queue;

-- A claim that is rolled back never was; savepoints, too.
SELECT enqueue_job('job', '{}') AS job \gset
BEGIN;
SELECT attempts FROM get_next_job('w');
SAVEPOINT s;
SELECT complete_job(:'job');
ROLLBACK TO s;
SELECT status FROM job_queue;
SELECT complete_job(:'job'), complete_job(:'job') AS again;
SELECT status FROM job_queue;
ROLLBACK;
SELECT status, attempts FROM job_queue;
BEGIN;
SELECT attempts FROM get_next_job('w');
SELECT fail_job(:'job', 'for good', permanent_val => true);
SAVEPOINT s;
SELECT retry_job(:'job');
ROLLBACK TO s;
SELECT complete_job(:'job');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT attempts FROM get_next_job('w');
ROLLBACK TO s;
SELECT attempts FROM get_next_job('w');
COMMIT;
DELETE FROM job_queue;
BEGIN;
SELECT count(enqueue_job('never', '{}'));
ROLLBACK;
SELECT count(*) FROM get_next_job('w');

-- A job ends once in a transaction, whoever tries, and whatever a savepoint undoes.
\set job '00000000-0000-0000-0000-000000000001'
INSERT INTO job_queue (id, job_type) VALUES (:'job', 'job');
SELECT attempts FROM get_next_job('w');
BEGIN;
SELECT cancel_job(:'job'), complete_job(:'job'), fail_job(:'job', 'late'), cancel_job(:'job') AS again, cardinality(complete_jobs(ARRAY[:'job'::uuid])) AS refused;
SELECT extend_job(:'job'), report_job_progress(:'job', 1);
SAVEPOINT s;
SELECT complete_job(:'job');
ROLLBACK TO s;
SELECT complete_job(:'job');
SELECT status, error_message FROM job_queue;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT cancel_job(:'job');
ROLLBACK TO s;
SELECT extend_job(:'job');
SAVEPOINT t;
SELECT complete_job(:'job'), cancel_job(:'job');
RELEASE t;
SELECT cancel_job(:'job'), fail_job(:'job', 'late');
SELECT status FROM job_queue;
ROLLBACK;
BEGIN;
SELECT fail_job(:'job', 'again');
SELECT status, attempts FROM job_queue;
SELECT cancel_job(:'job'), cancel_job(:'job') AS again, complete_job(:'job');
SELECT status, attempts, error_message FROM job_queue;
SELECT retry_job(:'job'), complete_job(:'job'), cancel_job(:'job'), cancel_job(:'job') AS again;
ROLLBACK;
BEGIN;
UPDATE job_queue SET priority = 1;
SAVEPOINT s;
UPDATE job_queue SET status = 'pending';
SELECT complete_job(:'job');
ROLLBACK TO s;
UPDATE job_queue SET attempts = 7;
SELECT complete_job(:'job'), complete_job(:'job', NULL, 7) AS new;
ROLLBACK TO s;
UPDATE job_queue SET status = 'completed';
SELECT fail_job(:'job', 'late');
ROLLBACK TO s;
SELECT complete_job(:'job');
ROLLBACK TO s;
DELETE FROM job_queue;
SELECT complete_job(:'job');
ROLLBACK;
SELECT cancel_job(:'job') FROM cancel_job(:'job') AS first;
SELECT status, attempts, error_message FROM job_queue;
SELECT count(*) FROM get_next_job('w');
DELETE FROM job_queue;

-- A transaction claims what it has added in order, but for what it has changed.
BEGIN;
SELECT enqueue_job('job', '{"n": 1}') AS job \gset
SELECT count(enqueue_job('job', jsonb_build_object('n', n), n % 2)) FROM generate_series(2, 5) n;
SELECT enqueue_job('job', '{"n": 6}', 9, run_at_val => now() + interval '1 hour') IS NOT NULL AS later;
SELECT cancel_job(:'job');
SELECT payload FROM get_next_job('w');
SAVEPOINT s;
SELECT payload FROM get_next_job('w');
SELECT enqueue_job('job', '{"n": 7}', 8) IS NOT NULL AS added;
SELECT payload FROM get_next_job('w');
ROLLBACK TO s;
SELECT payload FROM get_next_jobs('w', 10);
ROLLBACK;
SELECT count(*) FROM get_next_jobs('w', 10);

-- Of one key, types may let different numbers run: no place stays free.
INSERT INTO padlock.job_types (job_type, max_running_per_queue) VALUES ('two', 2);
SELECT count(*) FROM enqueue_jobs('[{"job_type": "two", "payload": {"n": 1}, "queue": "host"}, {"job_type": "two", "payload": {"n": 2}, "queue": "host"},
 {"job_type": "one", "payload": {"n": 3}, "queue": "host"}, {"job_type": "one", "payload": {"n": 5}, "queue": "host"}, {"job_type": "two", "payload": {"n": 4}, "queue": "host"}]');
SELECT payload FROM get_next_jobs('w', 10);
SELECT complete_job(id) FROM job_queue WHERE payload->>'n' = '1';
SELECT payload FROM get_next_jobs('w', 10);
SELECT complete_job(id) FROM job_queue WHERE payload->>'n' IN ('2', '4');
SELECT payload FROM get_next_jobs('w', 10);
SELECT complete_job(id) FROM job_queue WHERE payload->>'n' = '3';
SELECT payload FROM get_next_jobs('w', 10);
DELETE FROM job_queue;
DELETE FROM padlock.job_types;

-- External types are claimed from here in their order among the others, within their limits.
INSERT INTO padlock.job_types (job_type, external, max_running) VALUES ('outside', true, 2);
SELECT count(enqueue_job(type, '{}', priority)) FROM (VALUES ('inside', 0), ('outside', 0), ('outside', 1), ('outside', 2), ('inside', 1)) AS v (type, priority);
SELECT job_type FROM get_next_jobs('w', 10);
SELECT count(complete_job(id)) FROM job_queue WHERE job_type = 'outside' AND priority = 2;
SELECT job_type FROM get_next_jobs('w', 10);
SELECT pause_job_type('outside'), count(enqueue_job('outside', '{}')), count(complete_jobs(ARRAY(SELECT id FROM job_queue WHERE status = 'processing')));
SELECT count(*) FROM get_next_job('w');
SELECT resume_job_type('outside');
SELECT job_type FROM get_next_jobs('w', 10);
DELETE FROM job_queue;
DELETE FROM padlock.job_types;

-- Counts are those of the view, whatever has been settled.
RESET ROLE;
CREATE VIEW regress_settled AS SELECT count(*) = 2 AS settled FROM padlock.job_tallies WHERE job_type = 'job' AND jobs > 0;
GRANT SELECT ON regress_settled TO service_role;
SET ROLE service_role;
SELECT count(enqueue_job('job', '{}')) FROM generate_series(1, 5);
SELECT cardinality(complete_jobs(array_agg(job_id))) FROM get_next_jobs('w', 3);
SELECT fail_job(job_id, 'why', permanent_val => true) FROM get_next_job('w');
SELECT count(*) FROM get_next_job('w');
DO $$ BEGIN                         -- until nothing older is running
    FOR i IN 1..100 LOOP
        PERFORM cleanup_old_jobs();
        COMMIT;
        EXIT WHEN (SELECT settled FROM regress_settled);
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
SELECT * FROM padlock.job_counts;
SELECT job_type, status, count(*) FROM job_queue GROUP BY 1, 2 ORDER BY 1, 2;
RESET ROLE;
SELECT status, jobs FROM padlock.job_tallies ORDER BY 1;
SET ROLE service_role;
SELECT retry_job(id) FROM job_queue WHERE status = 'failed';
DELETE FROM job_queue WHERE enqueue_order = (SELECT min(enqueue_order) FROM job_queue);
SELECT * FROM padlock.job_counts;
DELETE FROM job_queue;
SELECT * FROM padlock.job_counts;
RESET ROLE;
DROP VIEW regress_settled;
