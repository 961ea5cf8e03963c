-- Room accounts: sign-up, sign-in, sessions, passwords, addresses.
SET client_min_messages = warning;
ALTER SYSTEM SET padlock.jwt_keys_file = 'padlock_accounts_test.jwk';
ALTER SYSTEM SET padlock.smtp_url = 'smtp://localhost:9';
ALTER SYSTEM SET padlock.mail_from = 'shop@accounts.example';
SELECT pg_reload_conf();
SELECT pg_sleep(0.5);
DO $$ BEGIN PERFORM padlock.create_jwt_keys(); EXCEPTION WHEN duplicate_file THEN NULL; END $$;
SELECT padlock.reset_rate_limit(identifier, endpoint) FROM rate_limits WHERE identifier LIKE '%@accounts.example' \g /dev/null

CREATE FUNCTION pg_temp.become(role text, claims text) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('request.jwt.claims', claims, true), set_config('role', role, true) $$;
-- The claims in a token, without checking it.
CREATE FUNCTION pg_temp.claims_of(token text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT convert_from(decode(rpad(translate(split_part(token, '.', 2), '-_', '+/'),
                                    (length(split_part(token, '.', 2)) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb $$;
-- The mails queued since the last look, and the token in the newest: jobs hold
-- no more than its id, of which the worker makes it with the key file.
CREATE TEMP TABLE seen AS SELECT id FROM job_queue;
CREATE FUNCTION pg_temp.mails() RETURNS TABLE (recipient text, template text, has_token boolean, data text) LANGUAGE sql AS $$
    WITH new AS (SELECT * FROM job_queue WHERE job_type = 'email_notification' AND id NOT IN (SELECT id FROM seen)),
         look AS (INSERT INTO seen SELECT id FROM new)
    SELECT payload ->> 'to', payload ->> 'template', payload ? 'one_time_token', payload ->> 'data'
      FROM new ORDER BY enqueue_order $$;
CREATE FUNCTION pg_temp.hmac(key bytea, data bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    inner_pad bytea := '';
    outer_pad bytea := '';
BEGIN
    FOR i IN 0 .. 63 LOOP
        inner_pad := inner_pad || set_byte('\x00', 0, CASE WHEN i < length(key) THEN get_byte(key, i) ELSE 0 END # 54);
        outer_pad := outer_pad || set_byte('\x00', 0, CASE WHEN i < length(key) THEN get_byte(key, i) ELSE 0 END # 92);
    END LOOP;
    RETURN sha256(outer_pad || sha256(inner_pad || data));
END $$;
CREATE FUNCTION pg_temp.token(id text, address text) RETURNS text LANGUAGE sql AS $$
    SELECT rtrim(translate(encode(pg_temp.hmac(decode(rpad(translate(k ->> 'k', '-_', '+/'), 44, '='), 'base64'),
                                               'padlock one-time token 1\000'::bytea || uuid_send(id::uuid) || convert_to(address, 'UTF8')),
                                  'base64'), '+/', '-_'), '=')
      FROM jsonb_array_elements(pg_read_file('padlock_accounts_test.jwk')::jsonb -> 'keys') k WHERE k ->> 'use' = 'refresh' $$;
CREATE FUNCTION pg_temp.token() RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.token(payload ->> 'one_time_token', payload ->> 'to')
      FROM job_queue WHERE payload ? 'one_time_token' ORDER BY enqueue_order DESC LIMIT 1 $$;

-- Sign-up: bad bodies.
SELECT sign_up('{}');
SELECT sign_up('[]');
SELECT sign_up(NULL);
SELECT sign_up('{"email": "ann", "password": "short", "role": "admin"}');
SELECT sign_up('{"email": 1, "password": null}');
SELECT sign_up(jsonb_build_object('email', 'ann@accounts.example', 'password', repeat('x', 129)));
SELECT sign_up(jsonb_build_object('email', 'ann@accounts.example', 'password', repeat(' ', 12)));
-- Addresses that no mail could be sent to.
CREATE FUNCTION pg_temp.is_taken(address text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sign_up(jsonb_build_object('email', address, 'password', 'short'));
EXCEPTION WHEN invalid_parameter_value THEN
    DECLARE details text; BEGIN GET STACKED DIAGNOSTICS details = PG_EXCEPTION_DETAIL; RETURN details !~ 'email'; END;
END $$;
SELECT address, pg_temp.is_taken(address) FROM unnest(ARRAY['ann@accounts.example', 'a.n+n!#$%&''*/=?^_`{|}~-@a-b.example', 'a@1.example',
    'ann', '@accounts.example', 'ann@', 'ann@accounts', 'ann@@accounts.example', 'ann@b@accounts.example', '.ann@accounts.example', 'ann.@accounts.example',
    'a..n@accounts.example', 'ann@accounts..example', 'ann@.example', 'ann@accounts.example.', 'ann@-a.example', 'ann@a-.example', 'ann@a_b.example',
    'ann@[192.0.2.1]', '"an n"@accounts.example', 'an n@accounts.example', 'ann@accounts.example ', E'ann@accounts.example\r\nBcc: b@accounts.example',
    'ann(x)@accounts.example', '<ann@accounts.example>', 'a,b@accounts.example', 'änn@accounts.example', 'ann@äccounts.example', '']) AS address;
SELECT pg_temp.is_taken(repeat('x', 64) || '@accounts.example'), pg_temp.is_taken(repeat('x', 65) || '@accounts.example'),
       pg_temp.is_taken('a@' || repeat('x', 63) || '.example'), pg_temp.is_taken('a@' || repeat('x', 64) || '.example'),
       pg_temp.is_taken('a@' || repeat('xxxxxxxxx.', 25) || 'de'), pg_temp.is_taken('a@' || repeat('xxxxxxxxx.', 25) || 'dex');
SELECT padlock.reset_rate_limit(identifier, endpoint) FROM rate_limits WHERE endpoint = 'sign_up' \g /dev/null
SELECT * FROM pg_temp.mails();

-- Sign-up: no account before the address is proven, and no way in.
BEGIN;
SELECT pg_temp.become('anon', '');
SELECT sign_up('{"email": "Ann@accounts.example", "password": "correct horse"}');
COMMIT;
SELECT count(*) FROM users WHERE email ILIKE 'ann@accounts.example';
SELECT sign_in('{"email": "ann@accounts.example", "password": "correct horse"}');
SELECT * FROM pg_temp.mails();
SELECT pg_temp.token() AS first \gset
SELECT purpose, user_id, email, password_hash ~ '^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$' AS phc,
       token_hash = sha256(convert_to(:'first', 'UTF8')) AS hashed, expires_at - created_at AS valid
  FROM padlock.one_time_tokens WHERE email = 'Ann@accounts.example';

-- Nothing of it is in a table.
SELECT count(*) FROM job_queue j WHERE j::text LIKE '%' || :'first' || '%';

-- Another sign-up for the address, perhaps a stranger's, has its own token and
-- password: a token is worth nothing without the password of its sign-up, so
-- that the owner proves no account of another.  Who confirms first wins.
SELECT sign_up('{"email": "ann@accounts.example", "password": "another one"}') ->> 'success';
SELECT pg_temp.token() AS second \gset
SELECT confirm_email('{}');
SELECT confirm_email('{"token": "nonsense", "password": "correct horse"}');
SELECT confirm_email('{"token": "", "password": ""}');
BEGIN;
SELECT pg_temp.become('anon', '');
SAVEPOINT s;
SELECT confirm_email(jsonb_build_object('token', :'second', 'password', 'correct horse'));
ROLLBACK TO s;
SELECT confirm_email(jsonb_build_object('token', :'first', 'password', 'another one'));
ROLLBACK TO s;
SELECT confirm_email(jsonb_build_object('token', :'first', 'password', 'correct horse'));
COMMIT;
SELECT confirm_email(jsonb_build_object('token', :'first', 'password', 'correct horse'));
SELECT confirm_email(jsonb_build_object('token', :'second', 'password', 'another one'));
SELECT count(*) FROM padlock.one_time_tokens WHERE email ILIKE 'ann@accounts.example';
SELECT email, email_confirmed_at IS NOT NULL AS confirmed FROM users JOIN padlock.credentials ON user_id = id WHERE email ILIKE 'ann@accounts.example';
SELECT id AS ann FROM users WHERE email = 'Ann@accounts.example' \gset
SELECT * FROM pg_temp.mails();

-- A sign-up for an address with an account: the same answer, a mail that says so.
SELECT sign_up('{"email": "ANN@accounts.example", "password": "third attempt"}');
SELECT * FROM pg_temp.mails();

-- Sign-in.
SELECT sign_in('{"email": "ann@accounts.example"}');
SELECT sign_in('{"email": "ann@accounts.example", "password": "third attempt"}');
SELECT sign_in('{"email": "nobody@accounts.example", "password": "third attempt"}');
BEGIN;
SELECT set_config('request.headers', '{"x-forwarded-for": "203.0.113.7", "user-agent": "Phone/1"}', true);
SELECT pg_temp.become('anon', '');
SELECT sign_in('{"email": "ann@ACCOUNTS.example", "password": "correct horse"}') AS r \gset
COMMIT;
SELECT :'r'::jsonb - '{access_token,refresh_token,user}'::text[] AS answer, :'r'::jsonb -> 'user' ->> 'email' AS email,
       :'r'::jsonb -> 'user' ->> 'id' = :'ann' AS id, length(:'r'::jsonb ->> 'refresh_token') AS refresh;
SELECT pg_temp.claims_of(:'r'::jsonb ->> 'access_token')::text AS claims, :'r'::jsonb ->> 'refresh_token' AS refresh \gset
SELECT c ->> 'sub' = :'ann' AS sub, c ->> 'role' AS role, c ->> 'aud' AS aud, c ->> 'email' AS email,
       (c ->> 'exp')::int - (c ->> 'iat')::int AS lifetime, (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(c) k) AS names
  FROM (SELECT :'claims'::jsonb AS c) x;
SELECT (c ->> 'session_id')::uuid = s.id AS session, ip_address, user_agent, refresh_counter, expires_at - created_at AS lifetime
  FROM (SELECT :'claims'::jsonb AS c) x, padlock.sessions s WHERE user_id = :'ann';
SELECT :'claims'::jsonb ->> 'session_id' AS phone \gset
SELECT (padlock.authenticate(:'r'::jsonb ->> 'access_token')) = :'claims'::jsonb AS verified;

-- A hash of another cost is made anew at sign-in.
SET padlock.password_cost = 14;
SELECT sign_in('{"email": "ann@accounts.example", "password": "correct horse"}') ->> 'success' AS success;
SELECT substr(password_hash, 1, 22) FROM padlock.credentials WHERE user_id = :'ann';
SET padlock.password_cost = 13;
SET padlock.password_cost = 21;

-- The same work for a known and an unknown account, counted in hashes; also
-- when the known one's is of another cost.
SET client_min_messages = debug1;
SELECT sign_in('{"email": "ann@accounts.example", "password": "wrong password"}');
SELECT sign_in('{"email": "nobody@accounts.example", "password": "wrong password"}');
SET padlock.password_cost = 15;
SELECT sign_in('{"email": "ann@accounts.example", "password": "wrong password"}');
SELECT sign_in('{"email": "nobody@accounts.example", "password": "wrong password"}');
SET padlock.password_cost = 14;
SELECT sign_up('{"email": "ann@accounts.example", "password": "wrong password"}');
SELECT sign_up('{"email": "nobody@accounts.example", "password": "wrong password"}');
SELECT request_password_reset('{"email": "ann@accounts.example"}');
SELECT request_password_reset('{"email": "nobody@accounts.example"}');
SET client_min_messages = warning;
SELECT * FROM pg_temp.mails();
SELECT purpose, user_id = :'ann' AS ann, email, count(*) FROM padlock.one_time_tokens
 WHERE email ILIKE '%@accounts.example' GROUP BY 1, 2, 3 ORDER BY 1, 3;

-- The same characters typed on two machines are one password.
UPDATE padlock.credentials SET email_confirmed_at = NULL WHERE user_id = :'ann';
SELECT padlock.reset_rate_limit('account:ann@accounts.example', 'reset_password_mail') \g /dev/null
SELECT request_password_reset('{"email": "ann@accounts.example"}') ->> 'success' AS success;
SELECT pg_temp.token() AS reset \gset
SELECT reset_password('{"token": "nonsense", "password": "correct horse"}');
SELECT reset_password(jsonb_build_object('token', :'reset', 'password', 'short'));
SELECT reset_password(jsonb_build_object('token', :'second', 'password', 'correct horse'));
SELECT reset_password(jsonb_build_object('token', :'reset', 'password', U&'caf\0065\0301 horse'));
SELECT reset_password(jsonb_build_object('token', :'reset', 'password', 'correct horse'));
-- A token is for the address that it was mailed to, and void when that is no longer the user's.
SELECT request_password_reset('{"email": "ann@accounts.example"}') ->> 'success' AS success;
SELECT pg_temp.token() AS astray \gset
UPDATE users SET email = 'moved@accounts.example' WHERE id = :'ann';
SELECT reset_password(jsonb_build_object('token', :'astray', 'password', 'correct horse'));
UPDATE users SET email = 'Ann@accounts.example' WHERE id = :'ann';
SELECT sign_in(jsonb_build_object('email', 'ann@accounts.example', 'password', U&'caf\00e9 horse')) AS r \gset
SELECT pg_temp.claims_of(:'r'::jsonb ->> 'access_token')::text AS claims, :'r'::jsonb ->> 'refresh_token' AS refresh \gset
SELECT email_confirmed_at IS NOT NULL AS proven FROM padlock.credentials WHERE user_id = :'ann';
-- A reset ends all sessions; those that ended are gone at the next sign-in.
SELECT count(*), bool_or(id = :'phone') AS phone FROM padlock.sessions WHERE user_id = :'ann';
SELECT * FROM pg_temp.mails();

-- Endpoints of one's own need a user, and a session that lives.
BEGIN;
SELECT pg_temp.become('authenticated', '');
SAVEPOINT s;
SELECT list_sessions();
ROLLBACK TO s;
SELECT sign_out();
ROLLBACK TO s;
SELECT revoke_session('{}');
ROLLBACK TO s;
SELECT change_password('{}');
ROLLBACK TO s;
SELECT change_email('{}');
ROLLBACK;

-- Sessions: listed, revoked.
SELECT sign_in(jsonb_build_object('email', 'ann@accounts.example', 'password', U&'caf\00e9 horse')) AS r2 \gset
SELECT pg_temp.claims_of(:'r2'::jsonb ->> 'access_token')::text AS claims2 \gset
BEGIN;
SELECT pg_temp.become('authenticated', :'claims');
SELECT (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(s) k) AS members, s ->> 'id' = :'claims'::jsonb ->> 'session_id' AS this, s -> 'current' AS current
  FROM jsonb_array_elements(list_sessions() -> 'sessions') AS s ORDER BY 2;
SAVEPOINT s;
SELECT list_sessions('{"user_id": 1}');
ROLLBACK TO s;
SELECT revoke_session('{}');
ROLLBACK TO s;
SELECT revoke_session('{"session_id": "x"}');
ROLLBACK TO s;
SELECT revoke_session('{"session_id": "00000000-0000-4000-8000-000000000000"}');
ROLLBACK TO s;
SELECT revoke_session(jsonb_build_object('session_id', :'claims2'::jsonb ->> 'session_id'));
SELECT jsonb_array_length(list_sessions() -> 'sessions');
SELECT sign_out('{"scope": "galaxy"}');
COMMIT;

-- Sign-out: a session's claims make nobody a caller once it has ended.
BEGIN;
SELECT pg_temp.become('authenticated', :'claims');
SELECT padlock.uid() = :'ann' AS known;
SELECT sign_out();
SELECT padlock.uid() AS known;
SELECT list_sessions();
ROLLBACK;
BEGIN;
SELECT pg_temp.become('authenticated', :'claims');
SELECT sign_out('{"scope": "others"}') AS others;
SELECT padlock.uid() = :'ann' AS known;
SELECT sign_out('{"scope": "global"}') AS global;
ROLLBACK;
-- Claims of another issuer belong to no session.
BEGIN;
SELECT pg_temp.become('authenticated', jsonb_build_object('sub', :'ann')::text);
SAVEPOINT s;
SELECT sign_out();
ROLLBACK TO s;
SELECT sign_out('{"scope": "global"}');
ROLLBACK;

-- Refresh: rotation, repeat of the previous token, reuse of an older one.
SELECT refresh_session('{}');
SELECT refresh_session('{"refresh_token": "nonsense"}');
SELECT refresh_session(jsonb_build_object('refresh_token', overlay(:'refresh' placing 'BBBB' from 29)));
SELECT refresh_session(jsonb_build_object('refresh_token', :'refresh')) ->> 'refresh_token' AS refresh1 \gset
SELECT refresh_session(jsonb_build_object('refresh_token', :'refresh')) ->> 'refresh_token' = :'refresh1' AS repeated;
SELECT refresh_session(jsonb_build_object('refresh_token', :'refresh1')) ->> 'refresh_token' AS refresh2 \gset
SELECT :'refresh2' <> :'refresh1' AS rotated, refresh_counter FROM padlock.sessions WHERE id = (:'claims'::jsonb ->> 'session_id')::uuid;
SELECT refresh_session(jsonb_build_object('refresh_token', :'refresh'));
SELECT refresh_session(jsonb_build_object('refresh_token', :'refresh2'));
SELECT revoked_at IS NOT NULL AS ended FROM padlock.sessions WHERE id = (:'claims'::jsonb ->> 'session_id')::uuid;

-- Limits of a session: idle, absolute; no token outlives it.
SELECT sign_in(jsonb_build_object('email', 'ann@accounts.example', 'password', U&'caf\00e9 horse')) AS r \gset
SELECT pg_temp.claims_of(:'r'::jsonb ->> 'access_token')::text AS claims, :'r'::jsonb ->> 'refresh_token' AS refresh \gset
UPDATE padlock.sessions SET last_used_at = now() - interval '7 days 1 second' WHERE user_id = :'ann';
SELECT refresh_session(jsonb_build_object('refresh_token', :'refresh'));
UPDATE padlock.sessions SET last_used_at = now() - interval '6 days 23 hours', expires_at = now() - interval '1 second' WHERE user_id = :'ann';
SELECT refresh_session(jsonb_build_object('refresh_token', :'refresh'));
UPDATE padlock.sessions SET expires_at = now() + interval '100 seconds' WHERE user_id = :'ann';
SELECT (refresh_session(jsonb_build_object('refresh_token', :'refresh')) ->> 'expires_in')::int BETWEEN 90 AND 100 AS cut;
SET padlock.session_idle_limit = '2min';
SELECT (sign_in(jsonb_build_object('email', 'ann@accounts.example', 'password', U&'caf\00e9 horse')) ->> 'expires_in')::int BETWEEN 115 AND 120 AS cut;
RESET padlock.session_idle_limit;
DELETE FROM padlock.sessions WHERE user_id = :'ann';

-- A change of password: the current one is asked for, other sessions end.
SELECT sign_in(jsonb_build_object('email', 'ann@accounts.example', 'password', U&'caf\00e9 horse')) AS r \gset
SELECT sign_in(jsonb_build_object('email', 'ann@accounts.example', 'password', U&'caf\00e9 horse')) ->> 'success' AS success;
SELECT pg_temp.claims_of(:'r'::jsonb ->> 'access_token')::text AS claims \gset
BEGIN;
SELECT pg_temp.become('authenticated', :'claims');
SAVEPOINT s;
SELECT change_password('{"current_password": "wrong one", "password": "battery staple"}');
ROLLBACK TO s;
SELECT change_password(jsonb_build_object('current_password', U&'caf\00e9 horse', 'password', 'battery'));
ROLLBACK TO s;
SELECT change_password(jsonb_build_object('current_password', U&'caf\00e9 horse', 'password', 'battery staple'));
SELECT jsonb_array_length(list_sessions() -> 'sessions');
COMMIT;
SELECT sign_in(jsonb_build_object('email', 'ann@accounts.example', 'password', U&'caf\00e9 horse'));
SELECT * FROM pg_temp.mails();

-- A change of address: proven first, the old one is told, the sign-in follows.
SELECT padlock.reset_rate_limit('account:ann@accounts.example', 'reset_password_mail') \g /dev/null
BEGIN;
SELECT pg_temp.become('authenticated', :'claims');
SAVEPOINT s;
SELECT change_email('{"email": "ann", "password": "battery staple"}');
ROLLBACK TO s;
SELECT change_email('{"email": "anna@accounts.example", "password": "wrong one"}');
ROLLBACK TO s;
SELECT change_email('{"email": "anna@accounts.example", "password": "battery staple"}');
COMMIT;
SELECT * FROM pg_temp.mails();
SELECT pg_temp.token() AS move \gset
SELECT reset_password(jsonb_build_object('token', :'move', 'password', 'battery staple'));
SELECT confirm_email(jsonb_build_object('token', :'move', 'password', 'correct horse'));
SELECT confirm_email(jsonb_build_object('token', :'move', 'password', 'battery staple'));
SELECT confirm_email(jsonb_build_object('token', :'move', 'password', 'battery staple'));
SELECT email FROM users WHERE id = :'ann';
SELECT * FROM pg_temp.mails();
SELECT sign_in('{"email": "ann@accounts.example", "password": "battery staple"}');
-- The same address in other letters is the user's own.
BEGIN;
SELECT pg_temp.become('authenticated', :'claims');
SELECT change_email('{"email": "Anna@Accounts.example", "password": "battery staple"}') ->> 'success' AS success;
COMMIT;
SELECT * FROM pg_temp.mails();
SELECT confirm_email(jsonb_build_object('token', pg_temp.token(), 'password', 'battery staple')) ->> 'success' AS success;
SELECT email FROM users WHERE id = :'ann';
SELECT * FROM pg_temp.mails();
-- To an address that has an account: the same answer, and nothing to prove.
INSERT INTO users (email) VALUES ('bob@accounts.example');
BEGIN;
SELECT pg_temp.become('authenticated', :'claims');
SELECT change_email('{"email": "Bob@accounts.example", "password": "battery staple"}');
COMMIT;
SELECT * FROM pg_temp.mails();

-- A user whom an admin made has no password before he proves the address.
SELECT sign_in('{"email": "bob@accounts.example", "password": "battery staple"}');
SET padlock.email_confirmation = off;
SELECT sign_up('{"email": "bob@accounts.example", "password": "battery staple"}');
RESET padlock.email_confirmation;
SELECT sign_up('{"email": "bob@accounts.example", "password": "battery staple"}') ->> 'success' AS success;
SELECT confirm_email(jsonb_build_object('token', pg_temp.token(), 'password', 'battery staple')) ->> 'success' AS success;
SELECT count(*) FROM users JOIN padlock.credentials ON user_id = id WHERE email = 'bob@accounts.example';

-- Without confirmation: a session at once, and nobody else's account.
SET padlock.email_confirmation = off;
SELECT sign_up('{"email": "cleo@accounts.example", "password": "battery staple"}') AS r \gset
SELECT (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(:'r'::jsonb) k) AS members;
SELECT sign_up('{"email": "Cleo@accounts.example", "password": "battery staple"}');
SELECT email_confirmed_at FROM users JOIN padlock.credentials ON user_id = id WHERE email = 'cleo@accounts.example';
RESET padlock.email_confirmation;

-- Expired tokens are refused, and removed by later ones.
SELECT request_password_reset('{"email": "cleo@accounts.example"}') ->> 'success' AS success;
UPDATE padlock.one_time_tokens SET expires_at = now();
SELECT reset_password(jsonb_build_object('token', pg_temp.token(), 'password', 'battery staple'));
SELECT count(*) AS before FROM padlock.one_time_tokens \gset
SELECT request_password_reset('{"email": "dan@accounts.example"}') ->> 'success' AS success;
SELECT count(*) = :before - 1 AS fewer FROM padlock.one_time_tokens;

-- Limits: wrong passwords in a row, for known and unknown accounts alike; a
-- right one is not looked at then, and a reset opens the account again.
CREATE FUNCTION pg_temp.try(address text, password text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sign_in(jsonb_build_object('email', address, 'password', password));
    RETURN 'in';
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
UPDATE rate_limit_rules SET max_requests = 2 WHERE endpoint = 'sign_in_failure';
SELECT pg_temp.try('cleo@accounts.example', 'wrong one'), pg_temp.try('CLEO@accounts.example', 'battery staple'),
       pg_temp.try('cleo@accounts.example', 'wrong one'), pg_temp.try('cleo@accounts.example', 'wrong one'), pg_temp.try('cleo@accounts.example', 'battery staple');
SELECT pg_temp.try('eve@accounts.example', 'wrong one'), pg_temp.try('eve@accounts.example', 'wrong one'), pg_temp.try('eve@accounts.example', 'wrong one');
SELECT request_password_reset('{"email": "cleo@accounts.example"}') ->> 'success' AS success;
SELECT reset_password(jsonb_build_object('token', pg_temp.token(), 'password', 'battery staple')) ->> 'success' AS success;
SELECT pg_temp.try('cleo@accounts.example', 'battery staple');
-- They count for the place they come from, so that the owner gets in from another,
-- up to a bound for all places together, which a right one neither uses up nor
-- makes anew.
UPDATE rate_limit_rules SET max_requests = 6 WHERE endpoint = 'sign_in_failure_anywhere';
CREATE FUNCTION pg_temp.try_from(ip text, address text, password text) RETURNS text LANGUAGE sql AS $$
    SELECT set_config('request.headers', jsonb_build_object('x-forwarded-for', ip)::text, false); SELECT pg_temp.try(address, password) $$;
SELECT pg_temp.try_from('192.0.2.1', 'cleo@accounts.example', 'wrong one'), pg_temp.try_from('192.0.2.1', 'cleo@accounts.example', 'wrong one'),
       pg_temp.try_from('192.0.2.1', 'cleo@accounts.example', 'battery staple'), pg_temp.try_from('192.0.2.2', 'cleo@accounts.example', 'battery staple'),
       pg_temp.try_from('192.0.2.1', 'cleo@accounts.example', 'battery staple');
SELECT pg_temp.try_from('192.0.2.3', 'cleo@accounts.example', 'wrong one'), pg_temp.try_from('192.0.2.3', 'cleo@accounts.example', 'wrong one'),
       pg_temp.try_from('2001:db8::1', 'cleo@accounts.example', 'wrong one'), pg_temp.try_from('2001:db8::2', 'cleo@accounts.example', 'wrong one'),
       pg_temp.try_from('192.0.2.4', 'cleo@accounts.example', 'battery staple');
SELECT identifier, endpoint, request_count FROM rate_limits WHERE identifier LIKE 'account:cleo@%' AND endpoint LIKE 'sign_in_failure%' ORDER BY 1, 2;
RESET request.headers;
UPDATE rate_limit_rules SET max_requests = 100 WHERE endpoint = 'sign_in_failure_anywhere';
UPDATE rate_limit_rules SET max_requests = 10 WHERE endpoint = 'sign_in_failure';
SELECT padlock.reset_rate_limit('account:cleo@accounts.example', 'sign_in_failure_anywhere');
-- Mails to one address, each kind apart.
UPDATE rate_limit_rules SET max_requests = 1 WHERE endpoint LIKE '%\_mail';
SELECT request_password_reset('{"email": "fay@accounts.example"}') ->> 'success' AS success;
SELECT sign_up('{"email": "Fay@accounts.example", "password": "battery staple"}') ->> 'success' AS success;
DO $$ BEGIN
    PERFORM sign_up('{"email": "fay@accounts.example", "password": "battery staple"}');
EXCEPTION WHEN OTHERS THEN RAISE WARNING '%: %', SQLSTATE, SQLERRM;
END $$;
UPDATE rate_limit_rules SET max_requests = 5 WHERE endpoint LIKE '%\_mail';

-- A user has so many sessions; one more ends the one that was not used for longest.
SET padlock.max_sessions_per_user = 2;
DELETE FROM padlock.sessions WHERE user_id = :'ann';
INSERT INTO padlock.sessions (id, user_id, last_used_at, expires_at) VALUES
    ('c0000000-0000-4000-8000-00000000c001', :'ann', now() - interval '3 hours', now() + interval '1 day'),
    ('c0000000-0000-4000-8000-00000000c002', :'ann', now() - interval '4 hours', now() + interval '2 days'),
    ('c0000000-0000-4000-8000-00000000c003', :'ann', now() - interval '8 days', now() + interval '2 days');
SELECT pg_temp.try('anna@accounts.example', 'battery staple');
SELECT id FROM padlock.sessions WHERE user_id = :'ann' AND created_at < last_used_at + interval '1 day' ORDER BY last_used_at LIMIT 1;
SELECT count(*) FROM padlock.sessions WHERE user_id = :'ann';
SET padlock.max_sessions_per_user = 1;
SELECT pg_temp.try('anna@accounts.example', 'battery staple');
SELECT count(*) FROM padlock.sessions WHERE user_id = :'ann';
SET padlock.max_sessions_per_user = 0;
RESET padlock.max_sessions_per_user;

-- A damaged hash lets nobody in.
UPDATE padlock.credentials SET password_hash = h FROM (VALUES ('$scrypt$ln=15,r=8,p=3$AAAA$AAAA')) AS v (h), users WHERE user_id = users.id AND email = 'cleo@accounts.example';
SELECT pg_temp.try('cleo@accounts.example', 'battery staple');
-- Without a key file there is no session and no token.
ALTER SYSTEM RESET padlock.jwt_keys_file;
SELECT pg_reload_conf();
SELECT pg_sleep(0.5);
SELECT pg_temp.try('anna@accounts.example', 'battery staple');
SELECT request_password_reset('{"email": "anna@accounts.example"}');

-- The tables are nobody's but the owner's, and everything goes with the user.
SELECT has_table_privilege(r, t, 'SELECT') FROM unnest(ARRAY['anon', 'authenticated', 'service_role']) r,
    unnest(ARRAY['padlock.credentials', 'padlock.sessions', 'padlock.one_time_tokens']) t GROUP BY 1;
DELETE FROM users WHERE email ILIKE '%@accounts.example';
SELECT (SELECT count(*) FROM padlock.credentials) AS credentials, (SELECT count(*) FROM padlock.sessions) AS sessions,
       (SELECT count(*) FROM padlock.one_time_tokens WHERE user_id IS NOT NULL) AS tokens;
DELETE FROM padlock.one_time_tokens;
DELETE FROM job_queue WHERE job_type = 'email_notification';

-- An old snapshot would hide sessions that a reset must end.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT request_password_reset('{"email": "nobody@accounts.example"}');
ROLLBACK;
ALTER SYSTEM RESET padlock.smtp_url;
ALTER SYSTEM RESET padlock.mail_from;
SELECT pg_reload_conf();
