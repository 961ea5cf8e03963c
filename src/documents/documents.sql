CREATE FUNCTION padlock.queue_document() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_queue_document';
REVOKE ALL ON FUNCTION padlock.queue_document() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.queue_document() IS 'Trigger that queues a new PDF for the extraction of its text';

CREATE FUNCTION padlock.fail_document() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_fail_document';
REVOKE ALL ON FUNCTION padlock.fail_document() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.fail_document() IS 'Trigger that marks a document whose extraction job has failed for good';

CREATE FUNCTION @extschema@.document_upload(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_document_upload';
REVOKE ALL ON FUNCTION @extschema@.document_upload(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.document_upload(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.document_upload(jsonb) IS 'Endpoint: a user adds a document';
