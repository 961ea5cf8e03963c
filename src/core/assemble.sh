#!/bin/sh
# Print the extension script: prologue, each room's functions, the definitions
# of the tables (as data, for padlock.install() to run), epilogue.
set -eu
echo "-- padlock: assembled by src/core/assemble.sh from src/*/*.sql; do not edit."
printf '%s\n' '\echo Use "CREATE EXTENSION padlock" to load this file. \quit'
cat src/core/prologue.sql
for room in $ROOMS; do
	if [ -f "src/$room/$room.sql" ]; then
		printf '\n-- room %s\n' "$room"
		cat "src/$room/$room.sql"
	fi
done
cat <<'SQL'

-- The user's objects: not members of the extension, made by padlock.install().
CREATE FUNCTION padlock.definitions() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$ SELECT $definitions$
SQL
for room in $ROOMS; do
	if [ -f "src/$room/${room}_tables.sql" ]; then
		# filled in when it runs: the schema may have been renamed by then
		sed 's/@extschema@/@app@/g' "src/$room/${room}_tables.sql"
	fi
done
cat <<'SQL'
$definitions$::text $function$;
COMMENT ON FUNCTION padlock.definitions() IS 'The statements that define the tables, types, indexes, policies and triggers that padlock.install() makes';
SQL
cat src/core/epilogue.sql
