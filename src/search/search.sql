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
    sort_by text DEFAULT NULL, sort_order text DEFAULT NULL) RETURNS jsonb
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS 'MODULE_PATHNAME', 'padlock_product_search_args';
REVOKE ALL ON FUNCTION @extschema@.product_search(text, text, text, text, text, text, text, text, text, text, text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.product_search(text, text, text, text, text, text, text, text, text, text, text, text) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.product_search(text, text, text, text, text, text, text, text, text, text, text, text) IS 'Endpoint: find active products of active companies, with query parameters';
