-- Passwords, sessions and one-time tokens are nobody's but the owner's; what
-- ends a session ends its claims.
BEGIN;
SELECT no_plan();
\ir common.psql
SET LOCAL search_path = public, pgtap;

SELECT is(t.outcome(who, format(verb, name)), '42501', who || ': ' || format(verb, name))
  FROM t.callers, unnest(ARRAY['padlock.credentials', 'padlock.sessions', 'padlock.one_time_tokens']) AS name,
       unnest(ARRAY['SELECT FROM %s', 'INSERT INTO %s DEFAULT VALUES', 'DELETE FROM %s', 'TRUNCATE %s']) AS verb
 WHERE who IN ('anon', 'nobody', 'alice', 'bob', 'admin', 'root', 'service');
SELECT is(t.outcome(who, statement), '42501', who || ': ' || statement)
  FROM t.callers, unnest(ARRAY['UPDATE padlock.credentials SET password_hash = ''''', 'UPDATE padlock.sessions SET revoked_at = NULL',
                               'UPDATE padlock.one_time_tokens SET purpose = ''''']) AS statement
 WHERE who IN ('anon', 'nobody', 'alice', 'bob', 'admin', 'root', 'service');

-- Claims that name a session are believed while it lives, and are its user's.
INSERT INTO padlock.sessions (id, user_id, expires_at, revoked_at) VALUES
    (t.id('live'), t.id('alice'), now() + '1 hour', NULL), (t.id('over'), t.id('alice'), now(), NULL),
    (t.id('ended'), t.id('alice'), now() + '1 hour', now()), (t.id('other'), t.id('bob'), now() + '1 hour', NULL);
INSERT INTO t.callers (who, role, claims)
    SELECT name, 'authenticated', jsonb_build_object('iss', 'padlock', 'sub', t.id('alice'), 'session_id', id)::text
      FROM (VALUES ('live', t.id('live')::text), ('over', t.id('over')::text), ('ended', t.id('ended')::text), ('other', t.id('other')::text),
                   ('gone', t.id('gone')::text), ('odd', 'x'), ('null', NULL)) AS v (name, id);
SELECT is(t.answer(who, 'SELECT coalesce(padlock.uid()::text, ''nobody'')'), wanted, 'session ' || who)
  FROM (VALUES ('live', t.id('alice')::text), ('over', 'nobody'), ('ended', 'nobody'), ('other', 'nobody'), ('gone', 'nobody'), ('odd', 'nobody'),
               ('null', 'nobody')) AS v (who, wanted);
SELECT is(t.answer('live', 'SELECT jsonb_agg(s -> ''id'') FROM jsonb_array_elements(list_sessions() -> ''sessions'') s'),
          format('["%s"]', t.id('live')), 'one sees one''s own sessions that live');
SELECT matches(t.answer('live', format('SELECT revoke_session(''{"session_id": "%s"}'')', t.id('other'))), '^P0002', 'and ends no other''s');
SELECT is(t.answer('live', 'WITH out AS MATERIALIZED (SELECT sign_out(''{"scope": "global"}'') ->> ''sessions_ended'' AS n)'
                           ' SELECT n FROM out'), '1', 'nor by global');

SELECT * FROM finish();
ROLLBACK;
