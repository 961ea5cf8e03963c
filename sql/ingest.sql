-- Endpoint ai_product_ingest without a file of secrets: nobody is let in, and
-- the log says why.
-- With one, see test/t/042_webhook.pl.
SET client_min_messages = warning;
SHOW padlock.webhook_secrets_file;
SET padlock.webhook_secrets_file = '/tmp/x';
ALTER SYSTEM SET padlock.webhook_secrets_file = 'relative/path';
SELECT ai_product_ingest('{}');
SET ROLE anon;
SHOW padlock.webhook_secrets_file;
SELECT ai_product_ingest(NULL);
BEGIN;
SELECT set_config('request.headers', '{"x-webhook-secret": "", "x-forwarded-for": "198.51.100.42"}', true);
SAVEPOINT s;
SELECT ai_product_ingest('{"source_url": "https://ingest.example/"}');
ROLLBACK TO s;
SELECT set_config('request.headers', '{"x-webhook-secret": ["0123456789abcdef"], "x-forwarded-for": "198.51.100.42"}', true);
SELECT ai_product_ingest('{"source_url": "https://ingest.example/"}');
ROLLBACK TO s;
-- An API key or a service role is no webhook.
RESET ROLE;
SET LOCAL ROLE service_role;
SELECT ai_product_ingest('{"source_url": "https://ingest.example/"}');
ROLLBACK TO s;
-- Through a gateway the answer does not tell what is wrong with the file.
SET LOCAL ROLE anon;
SELECT set_config('request.method', 'POST', true);
SELECT ai_product_ingest('{"source_url": "https://ingest.example/"}');
ROLLBACK;
RESET ROLE;
-- Each try counted, by the source's address.
SELECT request_count FROM rate_limits WHERE identifier = 'ip:198.51.100.42' AND endpoint = 'ai_product_ingest';
SELECT padlock.reset_rate_limit('ip:198.51.100.42', 'ai_product_ingest');
