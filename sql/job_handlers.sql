-- Room worker: job types that users register.  How they run is in
-- test/t/060_handlers.pl, as no worker runs here.
SET client_min_messages = warning;
CREATE ROLE handler_clerk;
CREATE ROLE handler_chief;
CREATE ROLE handler_stranger;
GRANT handler_clerk TO handler_chief;
CREATE SCHEMA handlers;
CREATE FUNCTION handlers.greet(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"hello"'::jsonb $$;
CREATE FUNCTION handlers."Greet twice"(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"hello"'::jsonb $$;
CREATE FUNCTION handlers.text_out(payload jsonb) RETURNS text LANGUAGE sql AS $$ SELECT 'hello' $$;
CREATE FUNCTION handlers.text_in(payload text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION handlers.two(payload jsonb, more jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION handlers.many(payload jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE PROCEDURE handlers.proc(payload jsonb) LANGUAGE sql AS $$ SELECT 1 $$;
CREATE AGGREGATE handlers.agg(jsonb) (SFUNC = jsonb_concat, STYPE = jsonb);

-- who may
SELECT grantee, routine_name FROM information_schema.routine_privileges
WHERE routine_schema = 'padlock' AND routine_name ~ 'job_handler' AND grantee <> current_user ORDER BY 2, 1;
SET ROLE anon;
SELECT padlock.register_job_handler('greet', 'pg_catalog.jsonb_strip_nulls(jsonb)');
SELECT padlock.unregister_job_handler('greet');
SELECT padlock.list_job_handlers();
SELECT * FROM padlock.job_handlers;
RESET ROLE;
SET ROLE service_role;
SELECT * FROM padlock.job_handlers;
RESET ROLE;

-- bad input
SELECT padlock.register_job_handler(NULL, 'handlers.greet(jsonb)', 'handler_clerk');
SELECT padlock.register_job_handler('', 'handlers.greet(jsonb)', 'handler_clerk');
SELECT padlock.register_job_handler(repeat('x', 101), 'handlers.greet(jsonb)', 'handler_clerk');
SELECT padlock.register_job_handler('greet', NULL, 'handler_clerk');
SELECT padlock.register_job_handler('greet', 'handlers.none(jsonb)', 'handler_clerk');
SELECT padlock.register_job_handler('greet', 0::regprocedure, 'handler_clerk');
CREATE FUNCTION pg_temp.greet(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
\set VERBOSITY sqlstate
SELECT padlock.register_job_handler('greet', 'pg_temp.greet(jsonb)', 'handler_clerk');
\set VERBOSITY default
SELECT padlock.register_job_handler('greet', function_val, 'handler_clerk')
  FROM unnest('{handlers.text_out(jsonb)}'::regprocedure[]) AS function_val;
SELECT padlock.register_job_handler('greet', 'handlers.text_in(text)', 'handler_clerk');
SELECT padlock.register_job_handler('greet', 'handlers.two(jsonb, jsonb)', 'handler_clerk');
SELECT padlock.register_job_handler('greet', 'handlers.many(jsonb)', 'handler_clerk');
SELECT padlock.register_job_handler('greet', 'handlers.proc(jsonb)', 'handler_clerk');
SELECT padlock.register_job_handler('greet', 'handlers.agg(jsonb)', 'handler_clerk');
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', 'handler_clerk', 0);
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', 'handler_clerk', 86401);
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', 'nobody_here');
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', 4294967295::oid::regrole);
SELECT padlock.register_job_handler('pdf_extraction', 'handlers.greet(jsonb)', 'handler_clerk');
SELECT padlock.unregister_job_handler(NULL);
SELECT padlock.unregister_job_handler('');

-- a handler that could not run: a superuser's rights, too few rights
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', current_user::regrole);
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', NULL);
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', 'handler_clerk');
GRANT USAGE ON SCHEMA handlers TO handler_clerk, handler_chief, service_role;
REVOKE EXECUTE ON FUNCTION handlers.greet(jsonb) FROM PUBLIC;
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', 'handler_clerk');
GRANT EXECUTE ON FUNCTION handlers.greet(jsonb) TO handler_clerk, service_role;
SELECT count(*) FROM padlock.job_handlers;

-- now it can; a second registration replaces the first
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', 'handler_clerk', 86400);
SELECT padlock.register_job_handler('greet', 'handlers."Greet twice"(jsonb)', 'handler_clerk');
SELECT job_type, function, role, timeout_seconds, registered_by = current_user AS mine, registered_at <= now() AS past, problem
  FROM padlock.list_job_handlers();
SELECT action, new_values->>'function_name' AS function FROM audit_logs WHERE table_name = 'job_handlers' ORDER BY action;

-- whoever is no member of its role neither replaces nor forgets it
GRANT USAGE ON SCHEMA padlock TO handler_chief, handler_stranger;
GRANT EXECUTE ON FUNCTION padlock.register_job_handler(text, regprocedure, regrole, integer), padlock.unregister_job_handler(text) TO handler_chief, handler_stranger;
GRANT USAGE ON SCHEMA handlers TO handler_stranger;
SET ROLE handler_stranger;
SELECT padlock.register_job_handler('greet', 'handlers."Greet twice"(jsonb)');
SELECT padlock.register_job_handler('other', 'handlers."Greet twice"(jsonb)', 'handler_clerk');
SELECT padlock.unregister_job_handler('greet');
SELECT padlock.unregister_job_handler('none');
RESET ROLE;
SET ROLE service_role;
SELECT padlock.register_job_handler('theirs', 'handlers.greet(jsonb)');
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)');
RESET ROLE;
SET ROLE handler_chief;
SELECT padlock.register_job_handler('greet', 'handlers.greet(jsonb)', 'handler_clerk', 5);
RESET ROLE;
SELECT job_type, function, role, timeout_seconds, registered_by, problem FROM padlock.list_job_handlers();

-- what changes later is told
REVOKE handler_clerk FROM handler_chief;
SELECT job_type, problem FROM padlock.list_job_handlers() WHERE problem IS NOT NULL;
GRANT handler_clerk TO handler_chief;
ALTER FUNCTION handlers.greet(jsonb) RENAME TO welcome;
SELECT job_type, problem FROM padlock.list_job_handlers() WHERE problem IS NOT NULL;
CREATE PROCEDURE handlers.greet(payload jsonb) LANGUAGE sql AS $$ SELECT 1 $$;
SELECT job_type, problem FROM padlock.list_job_handlers() WHERE problem IS NOT NULL;
DROP PROCEDURE handlers.greet(jsonb);
ALTER FUNCTION handlers.welcome(jsonb) RENAME TO greet;
ALTER ROLE handler_clerk SUPERUSER;
SELECT job_type, problem FROM padlock.list_job_handlers() WHERE problem IS NOT NULL;
ALTER ROLE handler_clerk NOSUPERUSER;
SELECT job_type, problem FROM padlock.list_job_handlers() WHERE problem IS NOT NULL;

-- a rolled back registration is none
BEGIN;
SELECT padlock.register_job_handler('never', 'handlers.greet(jsonb)', 'handler_clerk');
ROLLBACK;
SELECT padlock.unregister_job_handler('never');

-- the end; a role that is gone protects nothing
SELECT padlock.unregister_job_handler('theirs');
DROP SCHEMA handlers CASCADE;
REVOKE ALL ON SCHEMA padlock FROM handler_chief, handler_stranger;
REVOKE ALL ON FUNCTION padlock.register_job_handler(text, regprocedure, regrole, integer), padlock.unregister_job_handler(text) FROM handler_chief, handler_stranger;
DROP ROLE handler_clerk;
SELECT job_type, problem FROM padlock.list_job_handlers();
SET ROLE service_role;
SELECT padlock.unregister_job_handler('greet');
RESET ROLE;
SELECT padlock.unregister_job_handler('greet');
DROP ROLE handler_chief, handler_stranger;
