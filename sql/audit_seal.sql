-- Room audit: seals, and what they tell of tampering.
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.problems(head text DEFAULT NULL) RETURNS TABLE (state text, rows bigint, seal bigint, id uuid) LANGUAGE sql AS $$
    SELECT v.state, v.rows, v.seal - (SELECT min(number) FROM padlock.audit_seals) + 1, v.id
      FROM padlock.audit_verify(head) AS v WHERE NOT v.ok ORDER BY v.state, v.id, v.seal $$;
CREATE FUNCTION pg_temp.rows(wanted text) RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce(sum(v.rows), 0)::bigint FROM padlock.audit_verify() AS v WHERE v.state = wanted $$;
CREATE FUNCTION pg_temp.uid(n integer) RETURNS uuid LANGUAGE sql AS $$ SELECT ('5ea10000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;

-- Rows are unsealed, then sealed, by number and digest.
INSERT INTO audit_logs (id, user_id, action, table_name, record_id, new_values, ip_address, user_agent)
SELECT pg_temp.uid(n), pg_temp.uid(100), 'INSERT', 'claims', pg_temp.uid(50 + n), jsonb_build_object('premium', 1.50, 'n', n, 'name', 'Zoë'), '203.0.113.9', 'browser/1'
  FROM generate_series(1, 6) AS n;
SELECT pg_temp.rows('unsealed') >= 6 AS unsealed;
SELECT padlock.audit_seal() >= 6 AS sealed;
SELECT padlock.audit_seal() AS sealed_again;
SELECT padlock.audit_head() AS head \gset
SELECT :'head' ~ '^\d+:[0-9a-f]{64}$' AS head;
SELECT * FROM pg_temp.problems(:'head');
SELECT pg_temp.rows('unsealed') AS unsealed, pg_temp.rows('intact') >= 6 AS intact;
INSERT INTO audit_logs (id, action) VALUES (pg_temp.uid(7), 'EXPORT');
SELECT padlock.audit_seal();
SELECT * FROM pg_temp.problems(:'head');

-- Digests do not depend on settings.
BEGIN;
SET LOCAL TimeZone = 'Asia/Kolkata';
SET LOCAL DateStyle = 'German, DMY';
SET LOCAL extra_float_digits = -15;
SET LOCAL bytea_output = 'escape';
SET LOCAL client_encoding = 'LATIN1';
SELECT * FROM pg_temp.problems(:'head');
ROLLBACK;
-- ... and are these, for all time.
SELECT encode(padlock.audit_personal_digest(pg_temp.uid(1), '{"b": 1.50, "a": "Zoë"}', NULL, '', NULL, '/x'), 'hex') AS personal;
SELECT encode(padlock.audit_row_digest('2026-01-01 00:00:00.000001+00', pg_temp.uid(1), NULL, pg_temp.uid(2), 'UPDATE', 'claims', NULL, NULL,
                                       pg_temp.uid(1), '{"b": 1.50, "a": "Zoë"}', NULL, '', NULL, '/x'), 'hex') AS row_digest,
       padlock.audit_row_digest('2026-01-01 00:00:00.000001+00', pg_temp.uid(1), NULL, pg_temp.uid(2), 'UPDATE', 'claims', NULL,
                                padlock.audit_personal_digest(pg_temp.uid(1), '{"b": 1.50, "a": "Zoë"}', NULL, '', NULL, '/x'),
                                NULL, NULL, NULL, NULL, NULL, NULL) =
       padlock.audit_row_digest('2026-01-01 00:00:00.000001+00', pg_temp.uid(1), NULL, pg_temp.uid(2), 'UPDATE', 'claims', NULL, NULL,
                                pg_temp.uid(1), '{"b": 1.50, "a": "Zoë"}', NULL, '', NULL, '/x') AS same_when_erased;
SELECT encode(padlock.audit_seal_digest(NULL, 1, '2026-01-01 00:00:01+00', '2026-01-01 00:00:00+00', 0, NULL, NULL, ''), 'hex') AS seal_digest;

-- The same, as doc/audit.md tells to compute them.
SELECT padlock.audit_row_digest('2026-01-01 00:00:00.000001+00', pg_temp.uid(1), NULL, pg_temp.uid(2), 'UPDATE', 'claims', NULL, NULL,
                                pg_temp.uid(1), '{"b": 1.50, "a": "Zoë"}', NULL, '', NULL, '/x') =
       sha256('padlock audit row 1' || '\x01'::bytea || int8send(820540800000001) || '\x01' || uuid_send(pg_temp.uid(1)) || '\x00' || '\x01' || uuid_send(pg_temp.uid(2))
              || '\x01' || sha256('UPDATE') || '\x01' || sha256('claims') || '\x00' || '\x01'
              || sha256(sha256('padlock audit values 1' || '\x01'::bytea || uuid_send(pg_temp.uid(1)) || '\x01' || sha256(convert_to('{"a": "Zoë", "b": 1.50}', 'UTF8'))
                               || '\x00' || '\x01' || sha256('') || '\x00' || '\x01' || sha256('/x')))) AS row_as_documented;
SELECT s.digest = sha256('padlock audit seal 1' || '\x01'::bytea || sha256(p.digest) || int8send(s.number) || '\x01' || timestamptz_send(s.sealed_at)
                         || '\x01' || timestamptz_send(s.closed_until) || int4send(s.row_count) || '\x01' || timestamptz_send(s.first_created_at)
                         || '\x01' || timestamptz_send(s.last_created_at) || '\x01' || sha256(s.entries)) AS seal_as_documented,
       s.entries = timestamptz_send(a.created_at) || uuid_send(a.id)
                   || padlock.audit_row_digest(a.created_at, a.id, NULL, NULL, 'EXPORT', NULL, NULL, NULL, a.salt, NULL, NULL, NULL, NULL, NULL) AS entries_as_documented
  FROM padlock.audit_seals AS s JOIN padlock.audit_seals AS p ON p.number = s.number - 1, audit_logs AS a
 WHERE s.number = (SELECT max(number) FROM padlock.audit_seals) AND a.id = pg_temp.uid(7);

-- What a superuser changes is found, row by row.
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE audit_logs SET new_values = new_values || '{"n": 9}' WHERE id = pg_temp.uid(1);
UPDATE audit_logs SET action = 'UPDATE' WHERE id = pg_temp.uid(2);
UPDATE audit_logs SET ip_address = NULL WHERE id = pg_temp.uid(3);
DELETE FROM audit_logs WHERE id = pg_temp.uid(4);
UPDATE audit_logs SET created_at = created_at - interval '1 day' WHERE id = pg_temp.uid(5);
INSERT INTO audit_logs (id, action, created_at) VALUES (pg_temp.uid(8), 'LOGIN', now() - interval '1 hour');
SELECT * FROM pg_temp.problems();
ROLLBACK;
-- two rows change places
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE audit_logs SET new_values = jsonb_set(new_values, '{n}', to_jsonb(CASE id WHEN pg_temp.uid(1) THEN 2 ELSE 1 END)) WHERE id IN (pg_temp.uid(1), pg_temp.uid(2));
SELECT * FROM pg_temp.problems();
ROLLBACK;

-- So is what is done to the seals.
SELECT max(number) AS last FROM padlock.audit_seals \gset
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE padlock.audit_seals SET closed_until = closed_until - interval '1 hour' WHERE number = :last;
SELECT count(*), min(seal) = :last AS is_last FROM padlock.audit_verify() WHERE state = 'seal altered';
ROLLBACK;
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM padlock.audit_seals WHERE number = :last - 1;
SELECT count(*) FILTER (WHERE state = 'seal missing' AND seal = :last - 1) AS missing, count(*) FILTER (WHERE state = 'seal altered') AS altered FROM padlock.audit_verify();
ROLLBACK;
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE padlock.audit_seals SET number = -number WHERE number >= :last - 1;
UPDATE padlock.audit_seals SET number = 2 * :last - 1 + number WHERE number < 0;
SELECT count(*) AS swapped FROM padlock.audit_verify() WHERE state = 'seal altered';
ROLLBACK;
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE padlock.audit_seals SET entries = substr(entries, 1, 3);
SELECT count(*) = :last AS altered FROM padlock.audit_verify() WHERE state = 'seal altered';
ROLLBACK;
-- A chain that is made anew fits, but not with a head that was kept elsewhere.
SELECT padlock.audit_head() AS head \gset
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE audit_logs SET new_values = '{}' WHERE id = pg_temp.uid(1);
DELETE FROM padlock.audit_seals;
SELECT padlock.audit_seal() >= 7 AS sealed_anew;
SELECT * FROM pg_temp.problems();
SELECT state, seal = split_part(:'head', ':', 1)::bigint AS is_head FROM padlock.audit_verify(:'head') WHERE NOT ok;
ROLLBACK;
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM padlock.audit_seals WHERE number = :last;
SELECT state FROM padlock.audit_verify(:'head') WHERE NOT ok;
ROLLBACK;

-- A row of the past is told of until somebody accepts it, and known as late then.
BEGIN;
INSERT INTO audit_logs (id, action, created_at) VALUES (pg_temp.uid(8), 'LOGIN', now() - interval '1 hour');
SELECT padlock.audit_seal();
SELECT * FROM pg_temp.problems();
SELECT padlock.audit_seal(include_late => true);
SELECT * FROM pg_temp.problems();
SELECT pg_temp.rows('late') AS late;
ROLLBACK;

-- Rows that went with their month are retired, a row that went alone is missing.
BEGIN;
CREATE TABLE audit_logs_2001_02 PARTITION OF audit_logs FOR VALUES FROM ('2001-02-01 00:00+00') TO ('2001-03-01 00:00+00');
INSERT INTO audit_logs (id, action, created_at) VALUES (pg_temp.uid(11), 'LOGIN', '2001-02-03 04:05+00'), (pg_temp.uid(12), 'LOGIN', '2001-02-03 04:06+00');
SELECT padlock.audit_seal(true);
SET LOCAL session_replication_role = replica;
DELETE FROM audit_logs WHERE id = pg_temp.uid(11);
SELECT state, rows, id FROM pg_temp.problems();
DROP TABLE audit_logs_2001_02;
SELECT state, rows, id FROM pg_temp.problems();
SELECT pg_temp.rows('retired') AS retired;
ROLLBACK;

-- An erasure leaves nothing to guess from, and the seals hold, whichever came first.
BEGIN;
INSERT INTO users (id, email) VALUES (pg_temp.uid(100), 'erased@audit.example');
INSERT INTO audit_logs (id, user_id, action, new_values, ip_address) VALUES (pg_temp.uid(9), pg_temp.uid(100), 'LOGIN', '{"pin": 1234}', '203.0.113.9');
SELECT padlock.forget_user(pg_temp.uid(100)) -> 'audit_rows' AS erased;
SELECT count(*) AS rows, count(erased_at) AS erased, count(salt) AS salts, count(personal_digest) AS digests, count(DISTINCT personal_digest) AS different,
       count(old_values) + count(new_values) + count(ip_address) + count(user_agent) + count(request_path) AS personal_values
  FROM audit_logs WHERE user_id = pg_temp.uid(100);
SELECT action, table_name, erased_at IS NULL AS stays FROM audit_logs WHERE record_id = pg_temp.uid(100);
SELECT * FROM pg_temp.problems();
SELECT pg_temp.rows('erased') AS erased;
SELECT padlock.audit_seal() AS sealed;
SELECT * FROM pg_temp.problems();
SELECT pg_temp.rows('erased') AS erased;
-- what nobody counted was not erased
SAVEPOINT s;
SET LOCAL session_replication_role = replica;
UPDATE audit_logs SET personal_digest = padlock.audit_personal_digest(salt, old_values, new_values, ip_address, user_agent, request_path), salt = NULL,
       old_values = NULL, new_values = NULL, ip_address = NULL, user_agent = NULL, request_path = NULL, erased_at = now()
 WHERE id = pg_temp.uid(7);
SELECT state, count(*) > 6 AS with_the_others FROM pg_temp.problems() GROUP BY state;
ROLLBACK TO s;
-- what stays of an erased row is sealed still
SET LOCAL session_replication_role = replica;
UPDATE audit_logs SET table_name = 'policies' WHERE id = pg_temp.uid(1);
UPDATE audit_logs SET personal_digest = sha256(personal_digest) WHERE id = pg_temp.uid(2);
UPDATE audit_logs SET new_values = '{}' WHERE id = pg_temp.uid(3);
UPDATE audit_logs SET erased_at = NULL WHERE id = pg_temp.uid(9);
SELECT state, rows, id FROM pg_temp.problems();
ROLLBACK;
-- Values cannot be taken out without a record of the erasure.
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE audit_logs SET personal_digest = padlock.audit_personal_digest(salt, old_values, new_values, ip_address, user_agent, request_path), salt = NULL,
       old_values = NULL, new_values = NULL, ip_address = NULL, user_agent = NULL, request_path = NULL, erased_at = now() WHERE id = pg_temp.uid(1);
SELECT state, rows, id FROM pg_temp.problems();
ROLLBACK;

-- Seals can only be added, by nobody but the function, and only service_role may call it.
UPDATE padlock.audit_seals SET digest = '';
DELETE FROM padlock.audit_seals;
TRUNCATE padlock.audit_seals;
BEGIN;
SET LOCAL ROLE service_role;
SELECT padlock.audit_seal() AS sealed;
SELECT count(*) AS problems FROM padlock.audit_verify(padlock.audit_head()) WHERE NOT ok;
SELECT FROM padlock.audit_seals;
ROLLBACK;
BEGIN;
SET LOCAL ROLE authenticated;
SELECT padlock.audit_head();
ROLLBACK;

-- Bad input, and where it cannot run.
SELECT * FROM padlock.audit_verify('');
SELECT * FROM padlock.audit_verify('1');
SELECT * FROM padlock.audit_verify('0:' || repeat('0', 64));
SELECT * FROM padlock.audit_verify('-1:' || repeat('0', 64));
SELECT * FROM padlock.audit_verify('99999999999999999999:' || repeat('0', 64));
SELECT * FROM padlock.audit_verify('1:' || repeat('0', 63));
SELECT * FROM padlock.audit_verify('1:' || repeat('0', 63) || 'G');
SELECT state, seal FROM padlock.audit_verify('1:' || repeat('0', 64)) WHERE NOT ok;
SELECT padlock.audit_seal(NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT padlock.audit_seal();
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) AS problems FROM padlock.audit_verify() WHERE NOT ok;
SELECT padlock.audit_seal();
ROLLBACK;
SELECT count(*) FROM padlock.audit_entries('\x00');
SELECT count(*) FROM padlock.audit_entries(NULL);
