-- Room envelope: sealing, contexts, the keyring's life; what needs a server of
-- its own (the key file's troubles, memory, other SDKs) is in test/t and e2e.
SET client_min_messages = error;	-- the file is inside the data directory, which is warned of

-- before the keyring is made
SELECT padlock.encrypt('x', 'documents', '{}');
SELECT padlock.init_keyring();
SELECT format('ALTER SYSTEM SET padlock.key_file = %L', current_setting('data_directory') || '/padlock_regress.key') AS set_file \gset
:set_file;
SELECT pg_reload_conf();
SELECT pg_sleep(1);	-- for the signal to come
SELECT padlock.lock_keyring() AS wiped;	-- before there is any key
SELECT padlock.init_keyring() IS NOT NULL AS made_or_there;
SET client_min_messages = warning;
BEGIN;
SELECT padlock.create_key('letters');
ROLLBACK;
SET client_min_messages = error;
SELECT padlock.encrypt('x', 'documents', '{}');
SELECT only_row, locked_by = session_user AS by_me FROM padlock.keyring_lock;
SELECT padlock.unlock_keyring();
SELECT count(*) FROM padlock.keyring_lock;
SELECT table_name, action FROM audit_logs WHERE table_name = 'keyring_lock' ORDER BY created_at;
SELECT padlock.init_keyring();
SELECT key_name, state, provider, provider_key_id, wraps FROM padlock.keyring();

-- round trips; NULL in, NULL out
SELECT convert_from(padlock.decrypt(padlock.encrypt('attack at dawn', 'documents', '{"b": "2", "a": "1"}'), '{"a": "1", "b": "2"}'), 'UTF8');
SELECT length(padlock.encrypt('', 'documents', '{}')), padlock.decrypt(padlock.encrypt('', 'documents', '{}'), '{}');
SELECT padlock.encrypt(NULL, 'documents', '{}') IS NULL, padlock.decrypt(NULL, '{}') IS NULL;
SELECT count(*), count(DISTINCT m), count(*) FILTER (WHERE padlock.decrypt(m, '{"n": "1"}') = 'same') AS opened
  FROM (SELECT padlock.encrypt('same', 'documents', '{"n": "1"}') AS m FROM generate_series(1, 100) OFFSET 0) s;
-- sizes around the edges of frames (256 kB), compressed, external and short datums
CREATE TABLE sealed (size integer, plaintext bytea, message bytea);
INSERT INTO sealed SELECT s, convert_to(repeat('x', s), 'UTF8'), padlock.encrypt(convert_to(repeat('x', s), 'UTF8'), 'documents', '{"t": "sealed"}')
  FROM unnest(ARRAY[0, 1, 15, 16, 17, 126, 127, 2000, 262143, 262144, 262145, 524287, 524288, 524289, 1000000]) AS s;
SELECT size, length(message) - size AS more, padlock.decrypt(message, '{"t": "sealed"}') = plaintext AS same FROM sealed ORDER BY size;

-- contexts: every character class, order, limits
SELECT padlock.decrypt(padlock.encrypt('x', 'documents', c), c) FROM (VALUES
    ('{"": "", "a": ""}'::jsonb), ('{"\u00e9": "\u00fc", "\ud83d\ude00": "\ue000", "\uffee": "1", "\u0001": "\u007f"}'),
    ('{"a": "tab\t newline\n quote\" back\\ slash/ <>&''"}'), ('{"aa": "1", "a": "2", "b": "3", "B": "4", "0": "5"}')) AS v (c);
SELECT padlock.encrypt('x', 'documents', NULL);
SELECT padlock.encrypt('x', NULL, '{}');
SELECT padlock.encrypt('x', 'documents', '[]');
SELECT padlock.encrypt('x', 'documents', '"a"');
SELECT padlock.encrypt('x', 'documents', '{"a": 1}');
SELECT padlock.encrypt('x', 'documents', '{"a": {"b": "c"}}');
SELECT padlock.encrypt('x', 'documents', '{"a": null}');
SELECT padlock.encrypt('x', 'documents', '{"aws-crypto-public-key": "x"}');
SELECT padlock.encrypt('x', 'documents', jsonb_build_object('a', repeat('x', 65530)));
SELECT length(padlock.encrypt('x', 'documents', jsonb_build_object('a', repeat('x', 65528))));
SELECT padlock.encrypt('x', 'nothing', '{}');

-- one refusal for all that is wrong with a message
CREATE TEMP TABLE one AS SELECT padlock.encrypt('0123456789', 'documents', '{"user": "a", "row": "1"}') AS m;
CREATE FUNCTION pg_temp.try(m bytea, c jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'opened: ' || convert_from(padlock.decrypt(m, c), 'UTF8');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT what, pg_temp.try(m, '{"user": "a", "row": "1"}') FROM (
    SELECT 'whole' AS what, m FROM one UNION ALL
    SELECT 'empty', '' UNION ALL
    SELECT 'version 1', set_byte(m, 0, 1) FROM one UNION ALL
    SELECT 'another suite', set_byte(m, 1, 5) FROM one UNION ALL
    SELECT 'an unknown key', overlay(m PLACING 'documents/9' FROM position('documents/1'::bytea IN m)) FROM one UNION ALL
    SELECT 'longer', m || '\x00' FROM one UNION ALL
    SELECT 'a claim of 2 GB', overlay(m PLACING '\x7fffffff' FROM length(m) - 29) FROM one) t;
SELECT pg_temp.try(m, c) FROM one, (VALUES ('{"user": "b", "row": "1"}'::jsonb), ('{"user": "a", "row": "2"}'), ('{"user": "a"}'),
    ('{"user": "a", "row": "1", "x": "y"}'), ('{}')) AS v (c);
SELECT count(*), count(*) FILTER (WHERE pg_temp.try(set_byte(m, n, get_byte(m, n) # change), '{"user": "a", "row": "1"}') = '22000 message could not be decrypted') AS refused
  FROM one, generate_series(0, length(m) - 1) AS n, unnest(ARRAY[1, 128, 255]) AS change;
SELECT count(*) FILTER (WHERE pg_temp.try(substr(m, 1, n), '{"user": "a", "row": "1"}') <> '22000 message could not be decrypted') AS opened
  FROM one, generate_series(0, length(m) - 1) AS n;
SELECT padlock.decrypt(m, NULL) FROM one;

CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d text; h text;
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, d, h);
END $$;

-- keys: made, rotated, wrapped anew, destroyed
SELECT padlock.create_key('letters');
SELECT padlock.create_key('letters');
SELECT padlock.create_key(k) FROM (VALUES ('')) AS v (k);
SELECT padlock.create_key('Upper');
SELECT padlock.create_key('a/b');
SELECT padlock.create_key('_a');
SELECT padlock.create_key(repeat('a', 64));
SELECT padlock.create_key(NULL);
SELECT padlock.create_key('x', NULL);
SELECT padlock.create_key('x', 'nobody');
SELECT padlock.create_key('x', 'local', 'k');
SELECT padlock.create_key('x', 'nobody', 'k');
SELECT padlock.rewrap_keyring('nobody', 'k');
SELECT padlock.rotate_key('nothing');
SELECT padlock.rotate_key(NULL);
SELECT padlock.rotate_key('documents');
SELECT pg_temp.try(m, '{"user": "a", "row": "1"}') FROM one;
CREATE TEMP TABLE two AS SELECT padlock.encrypt('0123456789', 'documents', '{}') AS m;
SELECT position('documents/2'::bytea IN m) > 0 AS by_the_new_one FROM two;
SELECT padlock.rewrap_keyring();
SELECT pg_temp.try(m, '{}') FROM two;
SELECT padlock.destroy_key('documents/2');
SELECT padlock.destroy_key('documents/7');
SELECT padlock.destroy_key(NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT padlock.destroy_key('documents/1');
ROLLBACK;
BEGIN;
SELECT padlock.destroy_key('documents/1', true);
SELECT pg_temp.try(m, '{"user": "a", "row": "1"}') FROM one;
ROLLBACK;
SELECT pg_temp.try(m, '{"user": "a", "row": "1"}') FROM one;
-- what encrypt() made is known to its callers alone, so they are asked
SELECT regexp_replace(e, '\d+ were', 'N were') AS e FROM pg_temp.error_of('SELECT padlock.destroy_key(''documents/1'')') AS e;
SELECT pg_temp.try(m, '{"user": "a", "row": "1"}') FROM one;
SELECT padlock.destroy_key('documents/1', messages_too => true);
SELECT pg_temp.try(m, '{"user": "a", "row": "1"}') FROM one;
SELECT pg_temp.try(m, '{}') FROM two;
SELECT key_name, state, provider FROM padlock.keyring() ORDER BY 1;
SELECT table_name, action, new_values ->> 'state' AS state, new_values ? 'wrapped' AS wrapped FROM audit_logs WHERE table_name = 'keys' AND new_values ->> 'key_id' = 'documents' ORDER BY 2, 3;
-- one under which encrypt() was never called is destroyed without being asked
BEGIN;
SELECT padlock.create_key('unused');
SELECT padlock.rotate_key('unused');
SELECT padlock.destroy_key('unused/1');
SELECT length(padlock.encrypt('x', 'unused', '{}'));
SELECT padlock.rotate_key('unused');
SAVEPOINT s;
SELECT regexp_replace(e, '\d+ were', 'N were') AS e FROM pg_temp.error_of('SELECT padlock.destroy_key(''unused/2'')') AS e;
ROLLBACK;
-- a key rotated in a transaction that fails was never there
BEGIN;
SELECT padlock.rotate_key('letters');
SELECT length(padlock.encrypt('x', 'letters', '{}'));
ROLLBACK;
SELECT position('letters/1'::bytea IN padlock.encrypt('x', 'letters', '{}')) > 0 AS by_the_old_one;
-- and its name means another key then, although the first was unlocked
SELECT padlock.rotate_key('letters');
CREATE TEMP TABLE three AS SELECT padlock.encrypt('x', 'letters', '{}') AS m;
SELECT padlock.lock_keyring() > 0 AS wiped;
SELECT padlock.unlock_keyring() > 0 AS unlocked;
SELECT pg_temp.try(m, '{}') FROM three;

-- locked, and unlocked again
SELECT padlock.lock_keyring() > 0 AS wiped;
SELECT bool_or(unlocked) FROM padlock.keyring();
SELECT padlock.encrypt('x', 'documents', '{}');
SELECT padlock.decrypt(m, '{}') FROM two;
SELECT padlock.unlock_keyring();
SELECT pg_temp.try(m, '{}') FROM two;

-- a wrapped key is bound to its name: in another key's row it is refused
CREATE FUNCTION pg_temp.state_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT padlock.lock_keyring() > 0 AS wiped;
BEGIN;
UPDATE padlock.keys k SET wrapped = o.wrapped FROM padlock.keys o WHERE k.key_id = 'letters' AND k.version = 1 AND o.key_id = 'letters' AND o.version = 2;
SELECT pg_temp.state_of('SELECT padlock.unlock_keyring()');
SELECT padlock.encrypt('x', 'letters', '{}');	-- it is locked still
ROLLBACK;
SELECT count(*) FROM padlock.keyring_lock;
SELECT pg_temp.state_of('SELECT padlock.unlock_keyring()');

-- a key that has wrapped as much as it may
BEGIN;
SELECT setval('padlock.key_wraps', 1 << 30);
SELECT padlock.rotate_key('documents') IS NOT NULL AS rotated;
SELECT setval('padlock.key_wraps', (1::bigint << 31) + 128);
DO $$ BEGIN FOR i IN 1..65 LOOP PERFORM padlock.encrypt('x', 'documents', '{}'); END LOOP; END $$;
ROLLBACK;
SELECT setval('padlock.key_wraps', 64);
\c
-- nothing is encrypted in a transaction that only reads
BEGIN READ ONLY;
SELECT padlock.encrypt('x', 'documents', '{}');
ROLLBACK;

-- who may: service_role encrypts and decrypts, and knows no key
BEGIN;
SET LOCAL ROLE service_role;
SELECT padlock.decrypt(padlock.encrypt('x', 'documents', '{}'), '{}');
SELECT * FROM padlock.keys;
ROLLBACK;
BEGIN;
SET LOCAL ROLE authenticated;
SELECT padlock.encrypt('x', 'documents', '{}');
ROLLBACK;
DROP TABLE sealed;
DELETE FROM job_queue WHERE job_type = 'document_reseal';	-- of the rotations
ALTER SYSTEM RESET padlock.key_file;
SELECT pg_reload_conf();
