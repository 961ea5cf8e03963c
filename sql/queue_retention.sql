-- Room queue: generations begin, are counted, hide what is old and go; no job is
-- lost or counted twice on the way.  There are no workers, so that
-- cleanup_old_jobs() does it all.
SET client_min_messages = warning;
SELECT count(*) FROM (SELECT enqueue_job('old', '{}') FROM generate_series(1,2000)) x;
SELECT cardinality(complete_jobs(array_agg(job_id))) FROM get_next_jobs('w', 1990);
SELECT fail_job(job_id, 'x', permanent_val => true) FROM get_next_job('w');
UPDATE padlock.job_generations SET started_at = now() - interval '40 days';
SELECT cleanup_old_jobs();
SELECT cleanup_old_jobs();
SELECT enqueue_job('new', '{}') IS NOT NULL AS queued;
UPDATE padlock.job_generations SET started_at = now() - interval '35 days' WHERE generation = 2;
UPDATE padlock.job_retention SET completed_before = '-infinity', failed_before = '-infinity';
UPDATE padlock.job_outcomes SET ended_at = now() - interval '36 days';
UPDATE padlock.jobs SET created_at = now() - interval '37 days' WHERE job_type = 'old';
SELECT job_type, status, count(*) FROM job_queue GROUP BY 1, 2 ORDER BY 1, 2;
SELECT cleanup_old_jobs();
SELECT * FROM padlock.job_counts;
SELECT job_type, status, count(*) FROM job_queue GROUP BY 1, 2 ORDER BY 1, 2;
SELECT cleanup_old_jobs();
SELECT cleanup_old_jobs();
SELECT job_type, status, count(*) FROM job_queue GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM padlock.job_counts;
SELECT count(*) FROM get_next_jobs('w', 1000);
SELECT complete_jobs(array_agg(id)) FROM job_queue WHERE status='processing';
SELECT job_type, status, count(*) FROM job_queue GROUP BY 1, 2 ORDER BY 1, 2;
DELETE FROM job_queue;
