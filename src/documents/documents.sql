CREATE FUNCTION padlock.queue_document() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_queue_document';
REVOKE ALL ON FUNCTION padlock.queue_document() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.queue_document() IS 'Trigger that queues what is to be sealed, and new PDFs for the extraction of their text';

CREATE FUNCTION @extschema@.document_upload(jsonb) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_document_upload';
REVOKE ALL ON FUNCTION @extschema@.document_upload(jsonb) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.document_upload(jsonb) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.document_upload(jsonb) IS 'Endpoint: a user adds a document';

CREATE FUNCTION padlock.keep_document() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'padlock_keep_document';
REVOKE ALL ON FUNCTION padlock.keep_document() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.keep_document() IS 'Trigger that keeps what an encrypted document is bound to, and true what documents say of their encryption';

CREATE FUNCTION padlock.keep_document_key() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_keep_document_key';
REVOKE ALL ON FUNCTION padlock.keep_document_key() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.keep_document_key() IS 'Trigger that has documents sealed anew when their key was replaced, and keeps a key that they need';

CREATE FUNCTION @extschema@.document_put(document_id uuid, content bytea) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_document_put';
REVOKE ALL ON FUNCTION @extschema@.document_put(uuid, bytea) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.document_put(uuid, bytea) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.document_put(uuid, bytea) IS 'Endpoint: store the content of a document, encrypted if the document was made so';

CREATE FUNCTION @extschema@.document_content(document_id uuid) RETURNS bytea
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_document_content';
REVOKE ALL ON FUNCTION @extschema@.document_content(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.document_content(uuid) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.document_content(uuid) IS 'Endpoint: the content of a document in clear; the audit trail gets an entry';

CREATE FUNCTION @extschema@.document_text(document_id uuid) RETURNS text
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_document_text';
REVOKE ALL ON FUNCTION @extschema@.document_text(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.document_text(uuid) TO authenticated, service_role;
COMMENT ON FUNCTION @extschema@.document_text(uuid) IS 'Endpoint: the text of a document in clear; the audit trail gets an entry';

CREATE FUNCTION padlock.reseal_documents() RETURNS uuid
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_reseal_documents';
REVOKE ALL ON FUNCTION padlock.reseal_documents() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.reseal_documents() IS 'Queue the job that seals documents under the active key, as a rotation does; returns the job';

CREATE FUNCTION padlock.forget_user(user_id uuid) RETURNS jsonb
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_forget_user';
REVOKE ALL ON FUNCTION padlock.forget_user(uuid) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.forget_user(uuid) TO service_role;
COMMENT ON FUNCTION padlock.forget_user(uuid) IS 'Erase a user''s documents, sessions, password and address, and the personal values in the audit trail; returns how many';

CREATE FUNCTION padlock.place_document() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_place_document';
REVOKE ALL ON FUNCTION padlock.place_document() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.place_document() IS 'Trigger that has an encrypted document''s content moved to the object store';

CREATE FUNCTION padlock.drop_object() RETURNS trigger
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_drop_object';
REVOKE ALL ON FUNCTION padlock.drop_object() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.drop_object() IS 'Trigger that has an object erased that no document needs any more, and no table truncated that names some';

CREATE FUNCTION padlock.move_documents() RETURNS bigint
LANGUAGE C VOLATILE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'padlock_move_documents';
REVOKE ALL ON FUNCTION padlock.move_documents() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.move_documents() IS 'Queue the move of every encrypted document that does not lie where padlock.document_store says; returns how many';
