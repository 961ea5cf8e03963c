CREATE FUNCTION padlock.drop_provenance() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_drop_provenance';
REVOKE ALL ON FUNCTION padlock.drop_provenance() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.drop_provenance() IS 'Trigger that lets an insurer''s own value win over a crawled one';

CREATE FUNCTION @extschema@.company_onboard(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_company_onboard';
REVOKE ALL ON FUNCTION @extschema@.company_onboard(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.company_onboard(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.company_onboard(jsonb) IS 'Endpoint: an admin adds a company and gets its API key';

CREATE FUNCTION @extschema@.product_create(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_product_create';
REVOKE ALL ON FUNCTION @extschema@.product_create(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.product_create(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.product_create(jsonb) IS 'Endpoint: a company adds a product';

CREATE FUNCTION @extschema@.product_update(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_product_update';
REVOKE ALL ON FUNCTION @extschema@.product_update(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.product_update(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.product_update(jsonb) IS 'Endpoint: a company changes a product of its own';

CREATE FUNCTION @extschema@.ai_product_ingest(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_ai_product_ingest';
REVOKE ALL ON FUNCTION @extschema@.ai_product_ingest(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.ai_product_ingest(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.ai_product_ingest(jsonb) IS 'Endpoint: a webhook, by its secret, creates or updates a product';

CREATE FUNCTION @extschema@.create_api_key(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_create_api_key';
REVOKE ALL ON FUNCTION @extschema@.create_api_key(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.create_api_key(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.create_api_key(jsonb) IS 'Endpoint: a company, or an admin for it, gets another API key';

CREATE FUNCTION @extschema@.list_api_keys(jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE C STABLE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_list_api_keys';
REVOKE ALL ON FUNCTION @extschema@.list_api_keys(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.list_api_keys(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.list_api_keys(jsonb) IS 'Endpoint: the API keys that a company has and had, never their hashes';

CREATE FUNCTION @extschema@.rotate_api_key(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_rotate_api_key';
REVOKE ALL ON FUNCTION @extschema@.rotate_api_key(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.rotate_api_key(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.rotate_api_key(jsonb) IS 'Endpoint: a new API key in place of one that ends after an overlap';

CREATE FUNCTION @extschema@.revoke_api_key(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_revoke_api_key';
REVOKE ALL ON FUNCTION @extschema@.revoke_api_key(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.revoke_api_key(jsonb) TO anon, authenticated, service_role;
COMMENT ON FUNCTION @extschema@.revoke_api_key(jsonb) IS 'Endpoint: an API key ends at once';
