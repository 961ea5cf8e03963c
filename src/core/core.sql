CREATE FUNCTION padlock.install() RETURNS integer
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_install';
REVOKE ALL ON FUNCTION padlock.install() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.install() IS 'Make or repair padlock''s tables, types, indexes, policies and triggers; returns how many objects were made';

CREATE FUNCTION padlock.wants_install() RETURNS boolean
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_wants_install';
REVOKE ALL ON FUNCTION padlock.wants_install() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.wants_install() IS 'Should CREATE EXTENSION make the tables? Not inside a restore';

CREATE FUNCTION padlock.touch_updated_at() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_touch_updated_at';
REVOKE ALL ON FUNCTION padlock.touch_updated_at() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.touch_updated_at() IS 'Trigger that keeps updated_at';
