
REVOKE ALL ON FUNCTION padlock.definitions() FROM PUBLIC, anon, authenticated, service_role;

-- Make the tables, unless a restore is about to bring them.
SELECT padlock.install() WHERE padlock.wants_install();

-- Tell the launcher that this database has work for it.
SELECT padlock.announce();
