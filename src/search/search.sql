CREATE FUNCTION @extschema@.product_search(jsonb) RETURNS jsonb
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS 'MODULE_PATHNAME', 'padlock_product_search';
REVOKE ALL ON FUNCTION @extschema@.product_search(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.product_search(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.product_search(jsonb) IS 'Endpoint: find active products of active companies';

CREATE FUNCTION @extschema@.product_search(
    policy_type text DEFAULT NULL, company_id text DEFAULT NULL,
    min_premium text DEFAULT NULL, max_premium text DEFAULT NULL,
    currency text DEFAULT NULL, country text DEFAULT NULL, age text DEFAULT NULL,
    search_term text DEFAULT NULL, page text DEFAULT NULL, per_page text DEFAULT NULL,
    sort_by text DEFAULT NULL, sort_order text DEFAULT NULL,
    facets text DEFAULT NULL, highlight text DEFAULT NULL, explain text DEFAULT NULL,
    cursor text DEFAULT NULL) RETURNS jsonb
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS 'MODULE_PATHNAME', 'padlock_product_search_args';
REVOKE ALL ON FUNCTION @extschema@.product_search(text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.product_search(text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, text) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.product_search(text, text, text, text, text, text, text, text, text, text, text, text, text, text, text, text) IS 'Endpoint: find active products of active companies, with query parameters';

CREATE FUNCTION padlock.search_note_changes() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_note_changes';
REVOKE ALL ON FUNCTION padlock.search_note_changes() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_note_changes() IS 'Trigger: tells the search index which products changed';

CREATE FUNCTION padlock.search_note_companies() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_search_note_companies';
REVOKE ALL ON FUNCTION padlock.search_note_companies() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_note_companies() IS 'Trigger: tells searches that a company was switched on or off';

CREATE FUNCTION padlock.search_start() RETURNS boolean
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_start';
REVOKE ALL ON FUNCTION padlock.search_start() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_start() IS 'Build the search index unless there is one';

CREATE FUNCTION padlock.search_rebuild() RETURNS bigint
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_rebuild';
REVOKE ALL ON FUNCTION padlock.search_rebuild() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_rebuild() TO service_role;
COMMENT ON FUNCTION padlock.search_rebuild() IS 'Build the search index anew while it is in use; returns the number of products';

CREATE FUNCTION padlock.search_merge() RETURNS boolean
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_merge';
REVOKE ALL ON FUNCTION padlock.search_merge() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_merge() TO service_role;
COMMENT ON FUNCTION padlock.search_merge() IS 'Take changes up into the search index, as the workers do; false when there is nothing to do';

CREATE FUNCTION padlock.search_check(OUT products bigint, OUT indexed bigint, OUT differences bigint,
    OUT kinds jsonb, OUT detail text) RETURNS record
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_check';
REVOKE ALL ON FUNCTION padlock.search_check() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_check() TO service_role;
COMMENT ON FUNCTION padlock.search_check() IS 'Compare the search index with the table: differences in all, by what differs, and the first of them';

CREATE FUNCTION padlock.search_status(OUT built boolean, OUT segments integer, OUT documents bigint, OUT changes integer, OUT size bigint,
    OUT memory_used bigint, OUT memory bigint, OUT phase text, OUT done bigint, OUT total bigint) RETURNS record
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_status';
REVOKE ALL ON FUNCTION padlock.search_status() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_status() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.search_status() IS 'The search index: segments, their documents and size (bytes), changes not merged, padlock.search_memory used and in all (bytes), and phase, products done and total of a rebuild that runs';

CREATE FUNCTION @extschema@.suggest(prefix text DEFAULT NULL, max_suggestions text DEFAULT NULL) RETURNS jsonb
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS 'MODULE_PATHNAME', 'padlock_suggest';
REVOKE ALL ON FUNCTION @extschema@.suggest(text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.suggest(text, text) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.suggest(text, text) IS 'Endpoint: what a search term may become while it is typed';

CREATE FUNCTION padlock.search_terms(string text, language text DEFAULT 'english',
    OUT pos integer, OUT word text, OUT term text) RETURNS SETOF record
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 50
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_terms';
REVOKE ALL ON FUNCTION padlock.search_terms(text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.search_terms(text, text) TO service_role;
COMMENT ON FUNCTION padlock.search_terms(text, text) IS 'The words that search sees in a text, and the terms it looks up for them';

CREATE FUNCTION padlock.search_synonyms_changed() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_synonyms_changed';
REVOKE ALL ON FUNCTION padlock.search_synonyms_changed() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_synonyms_changed() IS 'Statement trigger: every session reads the synonyms again';

CREATE FUNCTION padlock.search_synonyms_check() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_search_synonyms_check';
REVOKE ALL ON FUNCTION padlock.search_synonyms_check() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.search_synonyms_check() IS 'Row trigger: refuses synonyms that no search could match';
