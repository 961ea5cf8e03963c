/*-------------------------------------------------------------------------
 *
 * content_sql.c
 *	  Contents of documents for their users: document_put(), document_content()
 *	  and document_text().
 *
 * Row security decides: each asks for the document as its caller first.  A
 * read writes an entry to the audit trail, which is why these are VOLATILE.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "audit/audit.h"
#include "core/body.h"
#include "core/errors.h"
#include "core/spi.h"
#include "documents/content.h"
#include "documents/place.h"
#include "documents/upload.h"
#include "limits/limits.h"

PG_FUNCTION_INFO_V1(padlock_document_put);
PG_FUNCTION_INFO_V1(padlock_document_content);
PG_FUNCTION_INFO_V1(padlock_document_text);

/* Stop with 404 unless the caller may see, and with for_change also change, the document. */
static void
require_document(const pg_uuid_t *id, bool for_change)
{
	static PadlockStatement see = {
		.sql = "SELECT FROM @app@.documents WHERE id = $1", .nargs = 1, .argtypes = {UUIDOID}
	};
	static PadlockStatement change = {
		.sql = "SELECT FROM @app@.documents WHERE id = $1 FOR UPDATE",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	Datum		value = UUIDPGetDatum(id);
	bool		found;

	SPI_connect();
	found = padlock_spi_execute(for_change ? &change : &see, &value, NULL, false) > 0;
	SPI_finish();
	if (!found)
		padlock_http_error(404, ERRCODE_NO_DATA_FOUND, "document not found", NULL, NULL);
}

/* The document_id argument. */
static const pg_uuid_t *
document_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		padlock_http_error(400, ERRCODE_INVALID_PARAMETER_VALUE, "invalid request",
						   "document_id: is required", NULL);
	return PG_GETARG_UUID_P(0);
}

/*
 * document_put(document_id uuid, content bytea) returns jsonb: store the
 * content of a document that is the caller's to change, sealed if it was made
 * with encrypt.  200; errors 400, 404, 413, 429.
 */
Datum
padlock_document_put(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *id;
	bytea	   *content;

	padlock_limit_request("document_put");
	id = document_argument(fcinfo);
	if (PG_ARGISNULL(1))
		padlock_http_error(400, ERRCODE_INVALID_PARAMETER_VALUE, "invalid request",
						   "content: is required", NULL);
	if (toast_raw_datum_size(PG_GETARG_DATUM(1)) > PADLOCK_MAX_CONTENT + VARHDRSZ)
		padlock_upload_too_large("content");
	require_document(id, true);
	content = PG_GETARG_BYTEA_PP(1);
	(void) padlock_content_store(id, VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content));
	padlock_http_status(200);
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"document\": %s}",
									 padlock_json_text(padlock_upload_document(id))));
}

/*
 * Have a content that is away fetched, and say so; false when it is not away.
 * What the store said is for operators: it may name what users must not see.
 */
static bool
ask_for(const pg_uuid_t *id)
{
	PadlockAwayState state = padlock_content_ask_for(id);

	if (state == PADLOCK_NOT_FETCHED)
		padlock_http_error(500, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
						   "content of the document could not be fetched", NULL,
						   "It is asked for again after a minute; administrators find the reason in job_queue.error_message.");
	if (state == PADLOCK_NOT_AWAY)
		return false;
	padlock_http_status(202);
	padlock_http_headers("[{\"Retry-After\": \"1\"}]");
	return true;
}

/* Read a part of a document the caller may see, and write that down; NULL when it is being fetched. */
static bytea *
read_part(FunctionCallInfo fcinfo, PadlockContentPart part, const char *missing)
{
	const pg_uuid_t *id;
	bytea	   *bytes;

	padlock_limit_request("document_content");
	id = document_argument(fcinfo);
	require_document(id, false);
	bytes = padlock_content_open(id, part);
	if (bytes == NULL && part == PADLOCK_CONTENT_FILE && ask_for(id))
		return NULL;
	if (bytes == NULL)
		padlock_http_error(404, ERRCODE_NO_DATA_FOUND, missing, NULL,
						   "The document's encryption_status and extraction_status say whether it is to come.");
	padlock_audit_access("documents", id);
	return bytes;
}

/*
 * document_content(document_id uuid) returns bytea: the content of a document
 * that the caller may see, in clear.  NULL, with status 202, when it has to be
 * fetched from the object store first, which is under way then.  Errors 400,
 * 404, 429, 500 when it could not be fetched; 22000 when it does not open, 55000
 * when its key is locked.
 */
Datum
padlock_document_content(PG_FUNCTION_ARGS)
{
	bytea	   *content = read_part(fcinfo, PADLOCK_CONTENT_FILE, "document has no content");

	if (content == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(content);
}

/*
 * document_text(document_id uuid) returns text: the text of a document that
 * the caller may see, pages separated by form feeds.  Errors as above.
 */
Datum
padlock_document_text(PG_FUNCTION_ARGS)
{
	/* a bytea's bytes are a text's: the text was sealed in the database's encoding */
	PG_RETURN_TEXT_P((text *) read_part(fcinfo, PADLOCK_CONTENT_TEXT, "document has no text"));
}
