-- Room identity: who calls, and what may go wrong in saying so.
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.become(role text, claims text, headers text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('request.jwt.claims', claims, true), set_config('request.headers', headers, true),
           set_config('role', role, true) $$;
INSERT INTO users (id, email) VALUES
    ('1d000000-0000-4000-8000-000000000001', 'admin@identity.example'),
    ('1d000000-0000-4000-8000-000000000002', 'user@identity.example'),
    ('1d000000-0000-4000-8000-000000000003', 'plain-admin@identity.example');
INSERT INTO admin_users (id, role) VALUES
    ('1d000000-0000-4000-8000-000000000001', 'super_admin'),
    ('1d000000-0000-4000-8000-000000000003', 'admin');

-- Nobody: no settings at all.
SELECT padlock.uid(), padlock.company_id(), padlock.is_admin(), padlock.is_super_admin(),
       padlock.is_service_role(), padlock.is_privileged(), padlock.scope_low(), padlock.scope_high(),
       padlock.company_scope_low(), padlock.company_scope_high();

-- A user, an admin, a super admin, service_role.
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000002", "role": "authenticated"}', '');
SELECT padlock.uid(), padlock.is_admin(), padlock.scope_low(), padlock.scope_high(), padlock.company_scope_low();
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000003"}', '');
SELECT padlock.uid(), padlock.is_admin(), padlock.is_super_admin(), padlock.scope_low(), padlock.scope_high();
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000001"}', '');
SELECT padlock.is_admin(), padlock.is_super_admin(), padlock.company_scope_high();
ROLLBACK;
BEGIN;
SELECT pg_temp.become('service_role', '', '');
SELECT padlock.uid(), padlock.is_service_role(), padlock.is_privileged(), padlock.scope_low(), padlock.scope_high();
ROLLBACK;

-- A claim of a role is no role.
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000002", "role": "service_role", "is_admin": true}', '');
SELECT padlock.is_service_role(), padlock.is_privileged();
ROLLBACK;

-- Of two claims with one name, however it is written, the last counts.
SELECT claims, user_id
  FROM (VALUES ('{"sub": "1d000000-0000-4000-8000-000000000001", "sub": "1d000000-0000-4000-8000-000000000002"}'),
               ('{"sub": "1d000000-0000-4000-8000-000000000001", "s\u0075b": "1d000000-0000-4000-8000-000000000002"}'),
               ('{"s\u0075b": "1d000000-0000-4000-8000-000000000001", "sub": "1d000000-0000-4000-8000-000000000002"}'),
               ('{"sub": "1d000000-0000-4000-8000-000000000002", "\/sub": "x", "sub\n": "x"}')) AS t(claims),
       LATERAL (SELECT set_config('request.jwt.claims', claims, true)) AS s(done),
       LATERAL (SELECT padlock.uid() AS user_id WHERE done IS NOT NULL) AS u;

-- Malformed, expired or foreign claims mean nobody, never an error.
SELECT claims, user_id
  FROM (VALUES (''), ('{'), ('null'), ('[]'), ('"text"'), ('{}'), ('{"sub": null}'), ('{"sub": 7}'),
               ('{"sub": "not-a-uuid"}'), ('{"sub": ["1d000000-0000-4000-8000-000000000002"]}'),
               ('{"user": {"sub": "1d000000-0000-4000-8000-000000000002"}}'),
               ('{"sub": "1d000000-0000-4000-8000-000000000002", "exp": 1}'),
               ('{"sub": "1d000000-0000-4000-8000-000000000002", "exp": "soon"}'),
               ('{"sub": "1d000000-0000-4000-8000-000000000002", "exp": 99999999999}'),
               ('{"sub": "1d000000-0000-4000-8000-000000000002"} trailing'),
               ('{"sub": "1d000000000040008000000000000002"}')) AS t(claims),
       LATERAL (SELECT set_config('request.jwt.claims', claims, true)) AS s(done),
       LATERAL (SELECT padlock.uid() AS user_id WHERE done IS NOT NULL) AS u;
BEGIN;
SELECT set_config('request.jwt.claims', repeat('[', 100000), true) IS NOT NULL AS set;
SELECT padlock.uid();
SELECT set_config('request.jwt.claims', '{"sub": "1d000000-0000-4000-8000-000000000002", "x": "' || repeat('x', 270000) || '"}', true) IS NOT NULL AS set;
SELECT padlock.uid();
SELECT set_config('request.headers', '{"x-api-key": {"a": 1}, "x-forwarded-for": 5}', true) IS NOT NULL AS set;
SELECT padlock.company_id();
ROLLBACK;

-- Any text is read as the server's own parser reads it: one claim set with every
-- character left out, replaced and preceded by one that JSON knows.
CREATE FUNCTION pg_temp.subject_of(claims text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_typeof(claims::jsonb) = 'object' AND claims::jsonb ->> 'sub' ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN
        RETURN lower(claims::jsonb ->> 'sub');
    END IF;
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
WITH base(text) AS (
    VALUES ('{ "iat": -120, "n":0,"e" :"a\"\\/\n", "sub":"1d000000-0000-4000-8000-000000000002"}'),
           ('{"sub": "1d000000-0000-4000-8000-000000000001", "sub": "1d000000-0000-4000-8000-000000000002", "x": [{}], "y": 1.5e3, "z": "\u00e9"}')),
changed(claims) AS (
    SELECT overlay(text PLACING added FROM at FOR width)
      FROM base, generate_series(1, length(text) + 1) AS at, generate_series(0, 2) AS width,
           unnest('{"","\"","\\",",",":","{","}","[","]"," ","0","-",".","e","n","u","true","null","/"}'::text[] || ARRAY[E'\n', E'\x01']) AS added),
asked AS MATERIALIZED (
    SELECT claims, padlock.uid() AS uid FROM changed, LATERAL (SELECT set_config('request.jwt.claims', claims, true)) AS s(done) WHERE done IS NOT NULL)
SELECT count(*) > 5000 AS many, count(uid) > 500 AS some_good,
       count(*) FILTER (WHERE uid::text IS DISTINCT FROM pg_temp.subject_of(claims)) AS read_otherwise,
       min(claims) FILTER (WHERE uid::text IS DISTINCT FROM pg_temp.subject_of(claims)) AS example
  FROM asked;

-- A change of admins counts in the transaction that makes it.
BEGIN;
SELECT set_config('request.jwt.claims', '{"sub": "1d000000-0000-4000-8000-000000000002"}', true) IS NOT NULL AS set;
SELECT padlock.is_admin();
INSERT INTO admin_users (id) VALUES ('1d000000-0000-4000-8000-000000000002');
SELECT padlock.is_admin();
DELETE FROM admin_users WHERE id = '1d000000-0000-4000-8000-000000000002';
SELECT padlock.is_admin();
ROLLBACK;

-- So it does among more admins than a session remembers.
BEGIN;
INSERT INTO users (id, email) SELECT md5(i::text)::uuid, i || '@many.example' FROM generate_series(1, 200) AS i;
INSERT INTO admin_users (id, role) SELECT md5(i::text)::uuid, CASE WHEN i = 200 THEN 'super_admin' ELSE 'admin' END FROM generate_series(1, 200) AS i;
SELECT set_config('request.jwt.claims', jsonb_build_object('sub', md5('200')::uuid)::text, true) IS NOT NULL AS set;
SELECT padlock.is_admin(), padlock.is_super_admin();
SELECT set_config('request.jwt.claims', jsonb_build_object('sub', md5('201')::uuid)::text, true) IS NOT NULL AS set;
SELECT padlock.is_admin(), padlock.is_super_admin();
ROLLBACK;

\set SHOW_CONTEXT never
-- Who was made an admin by a statement that failed is none, even if somebody
-- asked before it did.  (ALTER TABLE makes the session read the table again.)
CREATE FUNCTION pg_temp.fails() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'undone, with is_admin() %', padlock.is_admin();
END $$;
SELECT set_config('request.jwt.claims', '{"sub": "1d000000-0000-4000-8000-000000000002"}', false) IS NOT NULL AS set;
ALTER TABLE admin_users ALTER role SET STATISTICS -1;
INSERT INTO admin_users (id, role) VALUES ('1d000000-0000-4000-8000-000000000002', 'admin'), (gen_random_uuid(), pg_temp.fails());
SELECT padlock.is_admin();
BEGIN;
ALTER TABLE admin_users ALTER role SET STATISTICS -1;
SAVEPOINT s;
INSERT INTO admin_users (id, role) VALUES ('1d000000-0000-4000-8000-000000000002', 'admin'), (gen_random_uuid(), pg_temp.fails());
ROLLBACK TO s;
SELECT padlock.is_admin();
ROLLBACK;

-- In place of the table, what has no rows of its own: nobody is an admin, and
-- nothing fails.
BEGIN;
ALTER TABLE admin_users RENAME TO kept;
CREATE TABLE admin_users (id uuid PRIMARY KEY, role text) PARTITION BY LIST (id);
CREATE TABLE admin_part PARTITION OF admin_users DEFAULT;
INSERT INTO admin_users VALUES ('1d000000-0000-4000-8000-000000000002', 'admin');
SELECT padlock.is_admin();
CREATE TRIGGER forget AFTER INSERT OR UPDATE OR DELETE ON admin_users FOR EACH ROW EXECUTE FUNCTION padlock.forget_admins();
CREATE TRIGGER forget_truncate AFTER TRUNCATE ON admin_users FOR EACH STATEMENT EXECUTE FUNCTION padlock.forget_admins();
ALTER TABLE admin_users ENABLE ALWAYS TRIGGER forget, ENABLE ALWAYS TRIGGER forget_truncate;
SELECT padlock.is_admin();
DROP TABLE admin_users;
CREATE VIEW admin_users AS SELECT * FROM kept;
SELECT padlock.is_admin();
DROP VIEW admin_users;
-- A table without an index cannot be asked for a row, and a truncation of it
-- changes no catalog: it is remembered only if a trigger tells of that.
CREATE TABLE admin_users (id uuid, role text);
CREATE TRIGGER forget AFTER INSERT OR UPDATE OR DELETE ON admin_users FOR EACH ROW EXECUTE FUNCTION padlock.forget_admins();
ALTER TABLE admin_users ENABLE ALWAYS TRIGGER forget;
INSERT INTO admin_users VALUES ('1d000000-0000-4000-8000-000000000002', 'admin');
SELECT padlock.is_admin() AS untold;
CREATE TRIGGER forget_truncate AFTER TRUNCATE ON admin_users FOR EACH STATEMENT EXECUTE FUNCTION padlock.forget_admins();
ALTER TABLE admin_users ENABLE ALWAYS TRIGGER forget_truncate;
SELECT padlock.is_admin();
TRUNCATE admin_users;
SELECT padlock.is_admin() AS truncated;
ROLLBACK;
SELECT set_config('request.jwt.claims', '', false) IS NOT NULL AS set;
\unset SHOW_CONTEXT

-- is_admin(user): one's own id for a user, anybody's for an admin.
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000002"}', '');
SELECT is_admin('1d000000-0000-4000-8000-000000000002'), is_admin(NULL);
SELECT is_admin('1d000000-0000-4000-8000-000000000001');
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000003"}', '');
SELECT is_admin('1d000000-0000-4000-8000-000000000001'), is_admin('1d000000-0000-4000-8000-000000000002');
ROLLBACK;
SELECT is_admin('1d000000-0000-4000-8000-000000000001') AS owner_may_ask;

-- An admin's account is changed by super admins only; the others' by any admin.
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000003"}', '');
WITH changed AS (UPDATE users SET email = 'x-' || email WHERE email LIKE '%@identity.example' RETURNING email)
SELECT * FROM changed ORDER BY email;
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000001"}', '');
WITH changed AS (UPDATE users SET email = 'x-' || email WHERE email LIKE '%@identity.example' RETURNING email)
SELECT * FROM changed ORDER BY email;
ROLLBACK;
BEGIN;
SELECT pg_temp.become('service_role', '', '');
WITH changed AS (UPDATE users SET email = 'x-' || email WHERE email LIKE '%@identity.example' RETURNING email)
SELECT * FROM changed ORDER BY email;
ROLLBACK;

-- API keys: a valid one, then mistyped, expired, revoked, of an inactive company.
BEGIN;
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000001"}', '');
SELECT company_onboard('{"name": "Identity Ltd", "contact_email": "a@identity.example"}') ->> 'api_key' AS key \gset
COMMIT;
SELECT :'key' ~ '^pk_[0-9a-f]{64}$' AS well_formed, length(:'key') AS length;
SELECT display = 'pk_...' || right(:'key', 4) AS display, key_hash = sha256(:'key'::bytea) AS hashed
  FROM padlock.api_keys JOIN insurance_companies c ON c.id = company_id WHERE c.name = 'Identity Ltd';
SELECT api_key = 'pk_...' || right(:'key', 4) AS shown FROM insurance_companies WHERE name = 'Identity Ltd';
CREATE FUNCTION pg_temp.company(key text) RETURNS text LANGUAGE sql AS $$
    SELECT set_config('request.headers', jsonb_build_object('x-api-key', key)::text, true);
    SELECT (SELECT name FROM insurance_companies WHERE id = padlock.company_id()) $$;
BEGIN;
SELECT pg_temp.company(:'key');
SELECT pg_temp.company(upper(:'key'));
SELECT pg_temp.company(:'key' || ' ');
SELECT pg_temp.company(translate(:'key', '01', '10'));
SELECT pg_temp.company('pk_' || repeat('0', 64));
SELECT pg_temp.company('');
UPDATE padlock.api_keys SET expires_at = now() - interval '1 second';
SELECT pg_temp.company(:'key');
UPDATE padlock.api_keys SET expires_at = now() + interval '1 day';
SELECT pg_temp.company(:'key');
UPDATE padlock.api_keys SET revoked_at = now();
SELECT pg_temp.company(:'key');
UPDATE padlock.api_keys SET revoked_at = NULL;
UPDATE insurance_companies SET is_active = false WHERE name = 'Identity Ltd';
SELECT pg_temp.company(:'key');
ROLLBACK;

-- The client's address is counted from the right: trusted_proxies is 1.
CREATE FUNCTION pg_temp.address(header text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    policy uuid;
    address text;
BEGIN
    PERFORM set_config('request.headers', jsonb_build_object('x-forwarded-for', header)::text, true);
    INSERT INTO policies (user_id) VALUES ('1d000000-0000-4000-8000-000000000002') RETURNING id INTO policy;
    SELECT ip_address INTO address FROM audit_logs WHERE record_id = policy;
    RAISE EXCEPTION USING MESSAGE = coalesce(address, 'none'), ERRCODE = 'P0099';
EXCEPTION WHEN SQLSTATE 'P0099' THEN
    RETURN SQLERRM;
END $$;
SELECT header, pg_temp.address(header)
  FROM unnest(ARRAY['203.0.113.7', '10.0.0.1, 198.51.100.2', '198.51.100.2 ,  2001:db8::1 ',
                    'not an address', '', '1.2.3.4, unknown']) AS header;

-- An odd header hides nothing: brackets in a text, escapes that cannot be converted.
CREATE FUNCTION pg_temp.headers(headers text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    policy uuid;
    row audit_logs;
BEGIN
    PERFORM set_config('request.headers', headers, true);
    INSERT INTO policies (user_id) VALUES ('1d000000-0000-4000-8000-000000000002') RETURNING id INTO policy;
    SELECT * INTO row FROM audit_logs WHERE record_id = policy;
    RETURN coalesce(row.ip_address, 'none') || ' ' || coalesce(row.user_agent, 'none');
END $$;
SELECT headers, pg_temp.headers(headers)
  FROM (VALUES ('{"x-forwarded-for": "203.0.113.7", "user-agent": "' || repeat('{', 33) || '"}'),
               ('{"x-forwarded-for": "203.0.113.7", "user-agent": "\"' || repeat('[', 33) || '\\"}'),
               ('{"x-forwarded-for": "203.0.113.7", "user-agent": "a\u0000b"}'),
               ('{"x-forwarded-for": "203.0.113.7", "user-agent": "a\u4e2d"}'),
               ('{"x-forwarded-for": "203.0.113.7", "user-agent": ' || repeat('[', 33) || repeat(']', 33) || '}')) AS t(headers);
DELETE FROM policies WHERE user_id = '1d000000-0000-4000-8000-000000000002';

-- A visitor is nobody, also with an admin's id in his claims.
BEGIN;
SELECT pg_temp.become('anon', '{"sub": "1d000000-0000-4000-8000-000000000001", "role": "anon"}', '');
SELECT padlock.uid(), padlock.is_admin(), padlock.is_privileged();
SELECT pg_temp.become('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000001", "role": "anon"}', '');
SELECT padlock.uid(), padlock.is_admin(), padlock.is_privileged();
ROLLBACK;

-- What a gateway calls before each request.
CREATE FUNCTION pg_temp.check(role text, claims text, headers text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.become(role, claims, headers);
    PERFORM padlock.check_request();
    PERFORM set_config('role', 'none', true);
    RETURN 'passes';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;
INSERT INTO padlock.sessions (id, user_id, expires_at, revoked_at)
SELECT ('1d000000-0000-4000-8000-0000000000a' || n)::uuid, '1d000000-0000-4000-8000-000000000002', expires_at, revoked_at
  FROM (VALUES (1, 'infinity'::timestamptz, NULL::timestamptz), (2, now(), NULL), (3, 'infinity', now())) AS s(n, expires_at, revoked_at);
SELECT role, left(claims, 40) AS claims, left(headers, 40) AS headers, pg_temp.check(role, claims, headers)
  FROM (VALUES ('anon', '', ''), ('anon', '{"role": "anon"}', '{}'), ('service_role', '', ''), ('service_role', '{"role": "service_role"}', '{"user-agent": "x"}'),
               ('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000002"}', '{}'), ('authenticated', '', '{}'), ('authenticated', '{}', '{}'),
               ('authenticated', '{"sub": "me"}', '{}'), ('authenticated', '{"sub": null}', '{}'), ('authenticated', '{', '{}'), ('anon', '[]', '{}'),
               ('authenticated', '{"exp": 1, "sub": "1d000000-0000-4000-8000-000000000002"}', '{}'), ('anon', '{"exp": 1}', '{}'), ('service_role', '{"exp": 1}', '{}'),
               ('anon', '{}', '{'), ('anon', '{}', '[]'), ('anon', '{}', 'null'), ('anon', '{}', '{"user-agent": "' || repeat('x', 270000) || '"}'),
               ('anon', '{}', '{"user-agent": "\u0000"}'), ('anon', '{}', repeat('[', 100000)),
               ('anon', '{}', '{"x-api-key": "pk_0"}'), ('anon', '{}', '{"x-api-key": null}'), ('anon', '{}', '{"x-api-key": ""}'),
               ('authenticated', '{"sub": "1d000000-0000-4000-8000-000000000002"}', '{"x-api-key": "x"}')) AS t(role, claims, headers);
SELECT id, pg_temp.check('authenticated', format('{"iss": "padlock", "sub": "1d000000-0000-4000-8000-000000000002", "session_id": "%s"}', id), '{}')
  FROM unnest(ARRAY['1d000000-0000-4000-8000-0000000000a1', '1d000000-0000-4000-8000-0000000000a2', '1d000000-0000-4000-8000-0000000000a3',
                    '1d000000-0000-4000-8000-0000000000a9', '']) AS id;
SELECT pg_temp.check('authenticated', '{"iss": "padlock", "sub": "1d000000-0000-4000-8000-000000000003", "session_id": "1d000000-0000-4000-8000-0000000000a1"}', '{}') AS anothers;
SELECT pg_temp.check('authenticated', '{"iss": "padlock", "sub": "1d000000-0000-4000-8000-000000000002"}', '{}') AS without;
-- through a gateway: status and header, also where nothing can be written
BEGIN READ ONLY;
SELECT set_config('request.method', 'GET', true);
SELECT pg_temp.become('authenticated', '{"exp": 1}', '{}');
SELECT padlock.check_request();
ROLLBACK;
BEGIN READ ONLY;
SELECT set_config('request.method', 'GET', true);
SELECT pg_temp.become('authenticated', '', '{"broken');
SELECT padlock.check_request();
ROLLBACK;

DELETE FROM insurance_companies WHERE name = 'Identity Ltd';
SELECT count(*) AS orphan_keys FROM padlock.api_keys k WHERE NOT EXISTS (SELECT FROM insurance_companies c WHERE c.id = k.company_id);
DELETE FROM admin_users WHERE id IN (SELECT id FROM users WHERE email LIKE '%@identity.example');
DELETE FROM users WHERE email LIKE '%@identity.example';
