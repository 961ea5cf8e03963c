-- Room worker: what can be seen without a network.
SET client_min_messages = warning;

-- who may ask and who may announce
SELECT grantee, routine_name FROM information_schema.routine_privileges
WHERE routine_schema = 'padlock' AND routine_name IN ('announce', 'worker_status') AND grantee <> current_user
ORDER BY 1, 2;
SET ROLE anon;
SELECT padlock.worker_status();
RESET ROLE;
SET ROLE service_role;
SELECT count(*) >= 0 AS answers, bool_and(state IN ('stopped', 'starting', 'idle', 'busy')) IS NOT FALSE AS known_states
FROM padlock.worker_status();
SELECT padlock.announce();
RESET ROLE;

-- the launcher is there even when it has nothing to start
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'padlock launcher';

-- the settings and their units; no session may change them
SELECT name, setting, unit, context FROM pg_settings
WHERE name ~ '^padlock\.(html|pdf|text|parse|fetch|crawl)_' ORDER BY name COLLATE "C";
SET padlock.worker_count = 9;
SET padlock.allow_private_addresses = on;
SET padlock.databases = 'x';

-- lists of databases: names, quoted where needed
ALTER SYSTEM SET padlock.databases = 'one, "Two"';
ALTER SYSTEM SET padlock.databases = 'one,, two';
ALTER SYSTEM SET padlock.worker_count = 65;
ALTER SYSTEM RESET padlock.databases;

-- announcing is harmless, and forgotten on rollback
BEGIN;
SELECT padlock.announce();
ROLLBACK;
SELECT padlock.announce();
