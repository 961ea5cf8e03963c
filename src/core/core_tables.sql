
-- Grants on schemas stand here and not in the script: there they would be
-- recorded as the extension's own initial privileges and be lost in a dump.
GRANT USAGE ON SCHEMA padlock TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA @extschema@ TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA padlock TO pg_monitor;
