/*-------------------------------------------------------------------------
 *
 * upload.c
 *	  Users add documents: endpoint document_upload, and the trigger that
 *	  queues PDFs for the extraction of their text.
 *
 * The trigger is on the table, so a document that arrives by a plain INSERT
 * is treated the same.  It fires twice: BEFORE, to mark the row as pending,
 * and AFTER, to add the job, which so commits or rolls back with the row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "core/body.h"
#include "core/errors.h"
#include "core/spi.h"
#include "identity/caller.h"
#include "identity/require.h"
#include "limits/limits.h"
#include "queue/queue.h"

PG_FUNCTION_INFO_V1(padlock_document_upload);
PG_FUNCTION_INFO_V1(padlock_queue_document);

#define MAX_FILE_SIZE			(100 * 1024 * 1024)
#define POLICY_PRIORITY			10
#define OTHER_PRIORITY			5
#define EXTRACTION_ATTEMPTS		3
#define MAX_PENDING				200

static const BodyField document_fields[] = {
	{"title", BODY_TEXT, .required = true, .min = 1, .max = 200},
	{"description", BODY_TEXT, .max = 5000},
	{"document_type", BODY_CHOICE, .choices = "policy|receipt|id|claim|other",
	.sql_type = "document_type_enum"},
	{"document_category", BODY_TEXT, .max = 100},
	{"file_url", BODY_URL, .required = true},
	{"file_size", BODY_INTEGER, .min = 0, .max = MAX_FILE_SIZE},
	{"content_type", BODY_TEXT, .max = 200},
	{"encrypt", BODY_BOOLEAN},
};

/* Does a URL's path end in .pdf, whatever the letter case and the query? */
static bool
has_pdf_path(const char *url)
{
	size_t		length = strcspn(url, "?#");

	return length > 4 && pg_strncasecmp(url + length - 4, ".pdf", 4) == 0;
}

/* Is a media type application/pdf, with or without parameters? */
static bool
is_pdf_type(const char *content_type)
{
	size_t		length = strcspn(content_type, "; \t");

	return length == strlen("application/pdf") &&
		pg_strncasecmp(content_type, "application/pdf", length) == 0;
}

/* A document's text column; NULL when null or missing. */
static char *
column_text(HeapTuple row, TupleDesc desc, const char *column)
{
	int			number = SPI_fnumber(desc, column);

	return number > 0 ? SPI_getvalue(row, desc, number) : NULL;
}

/* Has the document's text to be extracted? */
static bool
is_pdf(HeapTuple row, TupleDesc desc)
{
	char	   *url = column_text(row, desc, "file_url");
	char	   *content_type = column_text(row, desc, "content_type");

	return url != NULL &&
		(has_pdf_path(url) || (content_type != NULL && is_pdf_type(content_type)));
}

/* Set extraction_status to pending. */
static HeapTuple
mark_pending(HeapTuple row, TupleDesc desc)
{
	int			column = SPI_fnumber(desc, "extraction_status");
	Datum		pending = CStringGetTextDatum("pending");
	bool		isnull = false;

	if (column <= 0)
		return row;
	return heap_modify_tuple_by_cols(row, desc, 1, &column, &pending, &isnull);
}

/*
 * Stop when a user has too many documents waiting.  document_upload has its
 * rate limit, but a plain INSERT has none, and each row makes a worker fetch
 * a URL of the user's choice.
 */
static void
check_pending(HeapTuple row, TupleDesc desc)
{
	static PadlockStatement count = {
		.sql = "SELECT FROM @app@.documents WHERE extraction_status = 'pending' AND user_id = $1"
		" LIMIT $2",
		.nargs = 2,
		.argtypes = {UUIDOID, INT4OID}
	};
	Datum		values[2] = {(Datum) 0, Int32GetDatum(MAX_PENDING)};
	bool		isnull;
	bool		full;
	PadlockUserContext saved;

	values[0] = heap_getattr(row, SPI_fnumber(desc, "user_id"), desc, &isnull);
	if (isnull || padlock_caller_is_privileged())
		return;
	/* as the owner: the count must not depend on what the caller may see */
	padlock_become_owner(&saved);
	SPI_connect();
	full = padlock_spi_execute(&count, values, NULL, false) >= MAX_PENDING;
	SPI_finish();
	padlock_restore_user(&saved);
	if (full)
		padlock_http_error(429, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
						   "too many documents wait for their text to be extracted",
						   psprintf("At most %d of a user may wait.", MAX_PENDING),
						   "Wait until some are done, then try again.");
}

static void
enqueue_extraction(HeapTuple row, TupleDesc desc)
{
	char	   *type = column_text(row, desc, "document_type");
	bool		is_policy = type != NULL && strcmp(type, "policy") == 0;

	(void) padlock_queue_enqueue("pdf_extraction",
								 padlock_answer("{\"document_id\": \"%s\", \"file_url\": %s}",
												column_text(row, desc, "id"),
												padlock_json_string(column_text(row, desc, "file_url"))),
								 is_policy ? POLICY_PRIORITY : OTHER_PRIORITY,
								 EXTRACTION_ATTEMPTS);
}

/*
 * padlock.queue_document() trigger: BEFORE INSERT marks a PDF as pending,
 * AFTER INSERT queues it; FOR EACH ROW.
 */
Datum
padlock_queue_document(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("queue_document must be fired on INSERT FOR EACH ROW")));

	desc = RelationGetDescr(trigger->tg_relation);
	if (!is_pdf(trigger->tg_trigtuple, desc))
		return PointerGetDatum(trigger->tg_trigtuple);
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
	{
		check_pending(trigger->tg_trigtuple, desc);
		return PointerGetDatum(mark_pending(trigger->tg_trigtuple, desc));
	}
	enqueue_extraction(trigger->tg_trigtuple, desc);
	return PointerGetDatum(NULL);
}

/* Stop with 413, and not with a malformed field, when the file is too large. */
static void
check_size(Jsonb *json)
{
	Numeric		limit = int64_to_numeric(MAX_FILE_SIZE);
	JsonbValue	size;

	if (json == NULL || !JB_ROOT_IS_OBJECT(json) ||
		getKeyJsonValueFromContainer(&json->root, "file_size", strlen("file_size"), &size) == NULL ||
		size.type != jbvNumeric)
		return;
	if (DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(size.val.numeric),
										 NumericGetDatum(limit))))
		padlock_http_error(413, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "document is too large",
						   "file_size: must be at most 104857600 bytes (100 MiB)", NULL);
}

/* The envelope is not built yet; to store in clear would be a lie. */
static void
check_encryption(PadlockBody *body)
{
	BodyValue  *encrypt = padlock_body_value(body, "encrypt");

	if (encrypt->present && DatumGetBool(encrypt->value))
		padlock_http_error(400, ERRCODE_FEATURE_NOT_SUPPORTED,
						   "encryption of documents is not available",
						   "encrypt: must be false", NULL);
	encrypt->present = false;	/* no column of that name */
}

/* Is the new document's text going to be extracted? */
static bool
is_pending(Jsonb *document)
{
	JsonbValue	value;

	return getKeyJsonValueFromContainer(&document->root, "extraction_status",
										strlen("extraction_status"), &value) != NULL &&
		value.type == jbvString && value.val.string.len == strlen("pending") &&
		strncmp(value.val.string.val, "pending", strlen("pending")) == 0;
}

/*
 * document_upload(jsonb) returns jsonb: a user adds a document.  201; errors
 * 400, 401, 413, 429.
 */
Datum
padlock_document_upload(PG_FUNCTION_ARGS)
{
	Jsonb	   *json = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	pg_uuid_t	user_id;
	RowExtra	extra = {"user_id", UUIDOID, UUIDPGetDatum(&user_id)};
	PadlockBody body;
	Jsonb	   *document;

	padlock_limit_request("document_upload");
	user_id = padlock_require_user();
	check_size(json);
	padlock_body_read(&body, json, document_fields, lengthof(document_fields), BODY_CREATE);
	padlock_body_finish(&body);
	check_encryption(&body);

	document = padlock_row_insert("documents", &body, &extra, 1);
	if (document == NULL)
		padlock_http_error(500, ERRCODE_INTERNAL_ERROR, "document could not be stored", NULL, NULL);

	padlock_http_status(201);
	PG_RETURN_JSONB_P(padlock_answer(
		"{\"success\": true, \"document\": %s, \"ai_analysis_triggered\": %s,"
		" \"encrypted\": false, \"message\": %s}",
		padlock_json_text(document), is_pending(document) ? "true" : "false",
		padlock_json_string("Document uploaded.")));
}
