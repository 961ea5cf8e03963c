-- Room email: templates, what becomes of a mail's job, settings; all that
-- needs no mail server.
SET client_min_messages = warning;

-- the templates that accounts need, and no others
SELECT name, html_body IS NOT NULL AS html, text_body LIKE '%{{token}}%' AS has_token FROM padlock.email_templates ORDER BY 1;

-- who may read and change them
INSERT INTO users (id, email) VALUES
    ('e0000000-0000-4000-8000-00000000e001', 'admin@mail.example'), ('e0000000-0000-4000-8000-00000000e002', 'user@mail.example');
INSERT INTO admin_users (id, role) VALUES ('e0000000-0000-4000-8000-00000000e001', 'super_admin');
BEGIN;
SET LOCAL ROLE anon;
SELECT count(*) FROM padlock.email_templates;
ROLLBACK;
BEGIN;
SET LOCAL ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"role": "authenticated", "sub": "e0000000-0000-4000-8000-00000000e002"}', true) IS NULL;
SELECT count(*) FROM padlock.email_templates;
UPDATE padlock.email_templates SET subject = 'x';
INSERT INTO padlock.email_templates (name, subject, text_body) VALUES ('mine', 'x', 'x');
ROLLBACK;
BEGIN;
SET LOCAL ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"role": "authenticated", "sub": "e0000000-0000-4000-8000-00000000e001"}', true) IS NULL;
UPDATE padlock.email_templates SET subject = 'Welcome' WHERE name = 'confirm_email' RETURNING name, subject;
INSERT INTO padlock.email_templates (name, subject, text_body) VALUES ('mine', 'x', 'x') RETURNING name;
RESET ROLE;
SELECT action, table_name, old_values ->> 'subject' AS old, new_values ->> 'subject' AS new
  FROM audit_logs WHERE table_name = 'email_templates' ORDER BY action;
ROLLBACK;

-- what a template may be
\set VERBOSITY terse
INSERT INTO padlock.email_templates (name, subject, text_body) VALUES ('Name', 'x', 'x');
INSERT INTO padlock.email_templates (name, subject, text_body) VALUES ('name', E'x\r\nBcc: y', 'x');
INSERT INTO padlock.email_templates (name, subject, text_body) VALUES ('name', '', 'x');
INSERT INTO padlock.email_templates (name, subject, text_body) VALUES ('name', 'x', '');
\set VERBOSITY default

-- one that is missing comes back, one that was changed stays
BEGIN;
DELETE FROM padlock.email_templates WHERE name = 'reset_password';
UPDATE padlock.email_templates SET subject = 'Ours' WHERE name = 'confirm_email';
SELECT padlock.install();
SELECT name, subject FROM padlock.email_templates WHERE name IN ('reset_password', 'confirm_email') ORDER BY 1;
ROLLBACK;

-- the token leaves the job with its end, however it ends
INSERT INTO job_queue (job_type, payload, created_at)
SELECT 'email_notification', '{"to": "a@mail.example", "template": "reset_password", "data": {"token": "secret"}}', now() - n * interval '1 s'
  FROM generate_series(1, 4) AS n;
SELECT job_id AS sent FROM get_next_job('w', 1) \gset
SELECT job_id AS refused FROM get_next_job('w', 1) \gset
SELECT job_id AS later FROM get_next_job('w', 1) \gset
SELECT job_id AS lost FROM get_next_job('w', 1) \gset
SELECT complete_job(:'sent', '{}');
UPDATE job_queue SET max_attempts = 1 WHERE id IN (:'refused', :'lost');
SELECT fail_job(:'refused', 'why');
SELECT fail_job(:'later', 'why');
UPDATE job_queue SET locked_until = now() - interval '1 s' WHERE id = :'lost';
SELECT count(*) FROM get_next_job('w', 1);
SELECT status, left(error_message, 11) AS error, payload FROM job_queue WHERE id IN (:'sent', :'refused', :'later', :'lost') ORDER BY status, 2;
DELETE FROM job_queue WHERE id IN (:'sent', :'refused', :'later', :'lost');

-- a text of one's own stays when the mail failed, and goes when it was sent
BEGIN;
INSERT INTO job_queue (job_type, payload, status, locked_until, attempts, priority)
SELECT 'email_notification', '{"to": "a@mail.example", "subject": "s", "text": "t", "html": "h"}', 'processing', now() + interval '1 h', 1, n
  FROM generate_series(1, 2) AS n;
UPDATE job_queue SET status = 'completed' WHERE job_type = 'email_notification' AND priority = 1 RETURNING payload;
UPDATE job_queue SET status = 'failed' WHERE job_type = 'email_notification' AND priority = 2 RETURNING payload;
ROLLBACK;

-- other jobs keep what they have
BEGIN;
INSERT INTO job_queue (job_type, payload, status, locked_until, attempts)
VALUES ('mine', '{"data": 1, "text": 2, "html": 3}', 'processing', now() + interval '1 h', 1);
UPDATE job_queue SET status = 'completed' WHERE job_type = 'mine' RETURNING payload;
ROLLBACK;

-- the settings; no session may change them
SELECT name, boot_val, unit, context FROM pg_settings
WHERE name ~ '^padlock\.(smtp|mail|site)_' ORDER BY name COLLATE "C";
SET padlock.smtp_url = 'smtp://mail.example:587';
SET padlock.site_url = 'https://evil.example';
ALTER SYSTEM SET padlock.smtp_url = 'http://mail.example';
ALTER SYSTEM SET padlock.mail_from = 'Shop <shop@mail.example>, eve@mail.example';
ALTER SYSTEM SET padlock.smtp_password_file = 'password';
ALTER SYSTEM SET padlock.site_url = 'https://mail.example/';

DELETE FROM admin_users WHERE id = 'e0000000-0000-4000-8000-00000000e001';
DELETE FROM users WHERE email LIKE '%@mail.example';
