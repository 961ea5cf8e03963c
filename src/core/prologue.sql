
-- Schema padlock holds the internals.  It is no member of the extension, so
-- that the tables in it outlive DROP EXTENSION; one that somebody else made
-- is refused, since its owner could put functions of his own into it.
DO $$
DECLARE
    existing record;
BEGIN
    SELECT r.rolname, r.rolsuper, pg_catalog.obj_description(n.oid, 'pg_namespace') AS comment
      INTO existing
      FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
     WHERE n.nspname = 'padlock';
    IF NOT FOUND THEN
        CREATE SCHEMA padlock;
        COMMENT ON SCHEMA padlock IS 'padlock: internals of extension padlock';
        ALTER EXTENSION padlock DROP SCHEMA padlock;
    ELSIF existing.comment IS NULL OR NOT pg_catalog.starts_with(existing.comment, 'padlock: ')
          OR NOT (existing.rolsuper OR existing.rolname = current_user) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_schema',
            MESSAGE = 'schema "padlock" exists already and is not padlock''s',
            DETAIL = pg_catalog.format('It belongs to role "%s".', existing.rolname),
            HINT = 'Rename or drop it, then run CREATE EXTENSION padlock again.';
    END IF;
END
$$;

-- The tables outlive DROP EXTENSION in the schema they were made in; a second
-- set in another schema would share padlock's internals with the first.
DO $$
DECLARE
    home text;
BEGIN
    SELECT n.nspname INTO home
      FROM pg_catalog.pg_constraint k
      JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE k.conrelid = pg_catalog.to_regclass('padlock.api_keys') AND k.contype = 'f'
       AND pg_catalog.quote_ident(n.nspname) <> '@extschema@';
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = pg_catalog.format('padlock''s tables are in schema "%s"', home),
            HINT = pg_catalog.format('Run CREATE EXTENSION padlock SCHEMA %I.', home);
    END IF;
END
$$;

-- The roles that gateways switch to, in the ecosystem's own names.  A new
-- cluster lacks them, so they are made even inside a restore.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;               -- another database's CREATE EXTENSION was faster
        END;
    END LOOP;
END
$$;
