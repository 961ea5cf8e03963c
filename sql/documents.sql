-- Room documents: uploads, and PDFs queued for extraction.
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.become(role text, claims text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('request.jwt.claims', claims, true), set_config('role', role, true) $$;
INSERT INTO users (id, email) VALUES ('d0000000-0000-4000-8000-000000000001', 'user@documents.example');
\set user '{"sub": "d0000000-0000-4000-8000-000000000001"}'

-- Who may upload: an existing user.
BEGIN;
SELECT pg_temp.become('anon', '');
SELECT document_upload('{"title": "T", "file_url": "https://files.example/a.pdf"}');
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', '');
SELECT document_upload('{"title": "T", "file_url": "https://files.example/a.pdf"}');
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "d0000000-0000-4000-8000-00000000ffff"}');
SELECT document_upload('{"title": "T", "file_url": "https://files.example/a.pdf"}');
ROLLBACK;

-- Bad bodies, and what is not available yet is not pretended.
BEGIN;
SELECT pg_temp.become('authenticated', :'user');
SAVEPOINT s;
SELECT document_upload('{}');
ROLLBACK TO s;
SELECT document_upload('{"title": "", "document_type": "novel", "file_url": "file:///etc/passwd", "file_size": -1, "encrypt": "yes", "user_id": "d0000000-0000-4000-8000-000000000001"}');
ROLLBACK TO s;
SELECT document_upload('{"title": "T", "file_url": "https://files.example/a.pdf", "file_size": 104857601}');
ROLLBACK TO s;
SELECT document_upload('{"title": "T", "file_url": "https://files.example/a.pdf", "file_size": 5000000000}');
ROLLBACK TO s;
SELECT document_upload('{"title": "T", "file_url": "https://files.example/a.pdf", "encrypt": true}');
ROLLBACK TO s;
SELECT count(*) FROM documents;
ROLLBACK;

-- A PDF by its path or its type is pending and queued, others are not.
BEGIN;
SELECT pg_temp.become('authenticated', :'user');
SELECT body ->> 'title' AS title, r ->> 'ai_analysis_triggered' AS triggered, r ->> 'encrypted' AS encrypted,
       r -> 'document' ->> 'extraction_status' AS status, r -> 'document' ->> 'user_id' = padlock.uid()::text AS own
  FROM (VALUES ('{"title": "policy", "file_url": "https://files.example/a.PDF?v=1", "document_type": "policy", "file_size": 104857600, "encrypt": false}'::jsonb),
               ('{"title": "receipt", "file_url": "https://files.example/a.pdf#p", "document_type": "receipt"}'),
               ('{"title": "typed", "file_url": "https://files.example/a", "content_type": "application/pdf; charset=x"}'),
               ('{"title": "image", "file_url": "https://files.example/a.png?x=.pdf"}'),
               ('{"title": "none", "file_url": "https://files.example/.pdfx"}')) AS t(body),
       LATERAL document_upload(body) AS r;
COMMIT;
SELECT d.title, j.job_type, j.priority, j.max_attempts, j.status, j.payload ->> 'file_url' AS file_url
  FROM documents d LEFT JOIN job_queue j ON j.payload ->> 'document_id' = d.id::text
 WHERE d.user_id = 'd0000000-0000-4000-8000-000000000001' ORDER BY d.title;

-- A plain INSERT queues as well; a rolled-back upload leaves no job.
BEGIN;
SELECT pg_temp.become('authenticated', :'user');
INSERT INTO documents (user_id, title, file_url, is_encrypted, extraction_status, extracted_text)
VALUES (padlock.uid(), 'plain', 'https://files.example/b.pdf', true, 'done', 'forged')
RETURNING is_encrypted, extraction_status, extracted_text;
RESET ROLE;
SELECT count(*) AS queued FROM job_queue WHERE payload ->> 'file_url' LIKE '%/b.pdf';
ROLLBACK;
SELECT count(*) AS queued FROM job_queue WHERE payload ->> 'file_url' LIKE '%/b.pdf';

-- A payload that names no document fails no claim, nor does a document that is locked.
SELECT enqueue_job('pdf_extraction', '{"document_id": "not-a-uuid"}', 100, 1) IS NOT NULL AS queued;
SELECT job_type, attempts FROM get_next_job('documents test', 1);
UPDATE job_queue SET locked_until = now() - interval '1 second' WHERE status = 'processing';
SELECT job_type, attempts FROM get_next_job('documents test', 1);
SELECT status, error_message FROM job_queue WHERE payload ->> 'document_id' = 'not-a-uuid';
DELETE FROM job_queue WHERE payload ->> 'document_id' = 'not-a-uuid';
UPDATE job_queue SET status = 'pending', attempts = 0, locked_until = NULL WHERE status = 'processing';

-- Writes to the table itself meet the endpoint's limits.
\set VERBOSITY terse
BEGIN;
SELECT pg_temp.become('authenticated', :'user');
SAVEPOINT s;
INSERT INTO documents (user_id, title, file_url) VALUES (padlock.uid(), 'x', 'javascript:alert(1)');
ROLLBACK TO s;
INSERT INTO documents (user_id, title) VALUES (padlock.uid(), repeat('x', 201));
ROLLBACK TO s;
INSERT INTO documents (user_id, title, file_size) VALUES (padlock.uid(), 'x', -5);
ROLLBACK TO s;
INSERT INTO documents (user_id, title, file_url) SELECT padlock.uid(), 'x', 'https://files.example/many.pdf' FROM generate_series(1, 1000);
ROLLBACK;
\set VERBOSITY default
-- What waits for its content by document_put() is not counted, and costs no worker anything.
BEGIN;
SELECT pg_temp.become('authenticated', :'user');
INSERT INTO documents (title, encrypt) SELECT 'to come', true FROM generate_series(1, 300);
INSERT INTO documents (title, file_url, encrypt) VALUES ('fetched', 'https://files.example/fetched', true)
RETURNING encryption_status;
INSERT INTO documents (title, encrypt) VALUES ('one more', true) RETURNING encryption_status;
UPDATE documents SET is_encrypted = true WHERE title = 'one more';
ROLLBACK;

-- A superuser who restores rows, owner or not, restores what they say; users do not change it.
CREATE ROLE padlock_restorer SUPERUSER;
BEGIN;
SET LOCAL ROLE padlock_restorer;
INSERT INTO documents (user_id, title, encrypt, is_encrypted, encryption_key_id, encryption_algorithm, encryption_status, file_size)
VALUES ('d0000000-0000-4000-8000-000000000001', 'restored', true, true, 'documents/1', 'AES_256_GCM_HKDF_SHA512_COMMIT_KEY', 'sealed', 5)
RETURNING is_encrypted, encryption_key_id, encryption_status;
SELECT pg_temp.become('authenticated', :'user');
UPDATE documents SET file_size = 1 WHERE title = 'restored';
ROLLBACK;
DROP ROLE padlock_restorer;

-- An admin is not forgotten before his office has ended.
BEGIN;
INSERT INTO admin_users (id, role) VALUES ('d0000000-0000-4000-8000-000000000001', 'super_admin');
SET LOCAL ROLE service_role;
SAVEPOINT s;
SELECT padlock.forget_user('d0000000-0000-4000-8000-000000000001');
ROLLBACK TO s;
RESET ROLE;
DELETE FROM admin_users WHERE id = 'd0000000-0000-4000-8000-000000000001';
SELECT padlock.forget_user('d0000000-0000-4000-8000-000000000001') ->> 'documents' AS documents;
SELECT padlock.forget_user(NULL);
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT padlock.forget_user('d0000000-0000-4000-8000-000000000001');
ROLLBACK;

-- A job that fails for good, whoever says so, fails its document.
UPDATE job_queue SET status = 'failed', error_message = 'lease ended'
 WHERE payload ->> 'file_url' = 'https://files.example/a';
SELECT title, extraction_status, extraction_error FROM documents
 WHERE user_id = 'd0000000-0000-4000-8000-000000000001' AND extraction_status <> 'none' ORDER BY title;

DELETE FROM job_queue WHERE payload ->> 'file_url' LIKE 'https://files.example/%';
DELETE FROM users WHERE email LIKE '%@documents.example';
