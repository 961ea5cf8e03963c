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
#include "utils/rel.h"

#include "core/body.h"
#include "core/errors.h"
#include "identity/require.h"
#include "limits/limits.h"
#include "queue/queue.h"

PG_FUNCTION_INFO_V1(padlock_document_upload);
PG_FUNCTION_INFO_V1(padlock_queue_document);

#define MAX_FILE_SIZE			(100 * 1024 * 1024)
#define POLICY_PRIORITY			10
#define OTHER_PRIORITY			5
#define EXTRACTION_ATTEMPTS		3

static const BodyField document_fields[] = {
	{"title", BODY_TEXT, .required = true, .min = 1, .max = 200},
	{"description", BODY_TEXT, .max = 5000},
	{"document_type", BODY_CHOICE, .choices = "policy|receipt|id|claim|other",
	.sql_type = "document_type_enum"},
	{"document_category", BODY_TEXT, .max = 100},
	{"file_url", BODY_URL, .required = true},
	{"file_size", BODY_INTEGER, .min = 0, .max = PG_INT32_MAX},
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
		return PointerGetDatum(mark_pending(trigger->tg_trigtuple, desc));
	enqueue_extraction(trigger->tg_trigtuple, desc);
	return PointerGetDatum(NULL);
}

/* What document_upload refuses beyond the form of its fields. */
static void
check_upload(PadlockBody *body)
{
	BodyValue  *encrypt = padlock_body_value(body, "encrypt");
	BodyValue  *size = padlock_body_value(body, "file_size");

	if (size->present && DatumGetInt32(size->value) > MAX_FILE_SIZE)
		padlock_http_error(413, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "document is too large",
						   "file_size: must be at most 104857600 bytes (100 MiB)", NULL);
	/* the envelope is not built yet; to store in clear would be a lie */
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
	pg_uuid_t	user_id = padlock_require_user();
	RowExtra	extra = {"user_id", UUIDOID, UUIDPGetDatum(&user_id)};
	PadlockBody body;
	Jsonb	   *document;

	padlock_limit_request("document_upload");
	padlock_body_read(&body, PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), document_fields,
					  lengthof(document_fields), BODY_CREATE);
	padlock_body_finish(&body);
	check_upload(&body);

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
