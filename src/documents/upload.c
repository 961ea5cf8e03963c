/*-------------------------------------------------------------------------
 *
 * upload.c
 *	  Users add documents: endpoint document_upload, and the trigger that
 *	  queues what is to be fetched and sealed, and PDFs for the extraction of
 *	  their text.
 *
 * The trigger is on the table, so a document that arrives by a plain INSERT
 * is treated the same.  It fires twice: BEFORE, to mark the row as pending,
 * and AFTER, to add the job, which so commits or rolls back with the row.
 *
 * A document that is to be encrypted is pending until its bytes are sealed: at
 * once when they come in the body, by a worker when it has a URL, and otherwise
 * when document_put() brings them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/base64.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "core/body.h"
#include "core/errors.h"
#include "core/spi.h"
#include "documents/content.h"
#include "documents/documents.h"
#include "documents/upload.h"
#include "envelope/envelope.h"
#include "identity/caller.h"
#include "identity/require.h"
#include "limits/limits.h"
#include "queue/queue.h"

PG_FUNCTION_INFO_V1(padlock_document_upload);
PG_FUNCTION_INFO_V1(padlock_queue_document);

#define MAX_PENDING				200

/* Characters of base64 for so many bytes. */
#define BASE64_LENGTH(bytes)	(((bytes) + 2) / 3 * 4)

static const BodyField document_fields[] = {
	{"title", BODY_TEXT, .required = true, .min = 1, .max = 200},
	{"description", BODY_TEXT, .max = 5000},
	{"document_type", BODY_CHOICE, .choices = "policy|receipt|id|claim|other",
	.sql_type = "document_type_enum"},
	{"document_category", BODY_TEXT, .max = 100},
	{"file_url", BODY_URL},
	{"content", BODY_TEXT, .max = BASE64_LENGTH(PADLOCK_MAX_CONTENT)},
	{"file_size", BODY_INTEGER, .min = 0, .max = PADLOCK_MAX_CONTENT},
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

bool
padlock_document_is_pdf(const char *url, const char *content_type)
{
	return (url != NULL && has_pdf_path(url)) ||
		(content_type != NULL && is_pdf_type(content_type));
}

/* Has the document's text to be extracted from where its URL points? */
static bool
is_pdf(HeapTuple row, TupleDesc desc)
{
	char	   *url = column_text(row, desc, "file_url");

	return url != NULL && padlock_document_is_pdf(url, column_text(row, desc, "content_type"));
}

static bool
is_set(HeapTuple row, TupleDesc desc, const char *column)
{
	char	   *value = column_text(row, desc, column);

	return value != NULL && value[0] == 't';
}

/* Set a status column to pending. */
static HeapTuple
mark_pending(HeapTuple row, TupleDesc desc, const char *status)
{
	int			column = SPI_fnumber(desc, status);
	Datum		pending = CStringGetTextDatum("pending");
	bool		isnull = false;

	if (column <= 0)
		return row;
	return heap_modify_tuple_by_cols(row, desc, 1, &column, &pending, &isnull);
}

HeapTuple
padlock_document_unsealed(HeapTuple row, TupleDesc desc, bool to_be_sealed)
{
	static const char *const names[] = {
		"encrypt", "is_encrypted", "encryption_status", "encryption_key_id", "encryption_algorithm"
	};
	int			columns[lengthof(names)];
	Datum		values[lengthof(names)] = {0};
	bool		nulls[lengthof(names)] = {false, false, false, true, true};

	for (int i = 0; i < lengthof(names); i++)
		columns[i] = SPI_fnumber(desc, names[i]);
	values[0] = BoolGetDatum(to_be_sealed);
	values[1] = BoolGetDatum(false);
	values[2] = CStringGetTextDatum(to_be_sealed ? "pending" : "none");
	return heap_modify_tuple_by_cols(row, desc, lengthof(names), columns, values, nulls);
}

/*
 * Stop when a user has too many documents waiting.  document_upload has its
 * rate limit, but a plain INSERT has none, and each row makes a worker fetch
 * a URL of the user's choice.  Rows whose content is still to come by
 * document_put() cost nobody anything, and may wait for ever.
 */
static void
check_pending(HeapTuple row, TupleDesc desc)
{
	static PadlockStatement count = {
		.sql = "SELECT FROM @app@.documents WHERE user_id = $1"
		" AND file_url IS NOT NULL"
		" AND (extraction_status = 'pending' OR encryption_status = 'pending') LIMIT $2",
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
						   "too many documents wait to be fetched or read",
						   psprintf("At most %d of a user may wait.", MAX_PENDING),
						   "Wait until some are done, then try again.");
}

/*
 * Queue the sealing of what is to be encrypted, or else the extraction of the
 * text.  A new document without a URL has nothing to seal yet.
 */
static void
enqueue_job(HeapTuple row, TupleDesc desc, bool is_new)
{
	char	   *type = column_text(row, desc, "document_type");
	bool		is_policy = type != NULL && strcmp(type, "policy") == 0;
	char	   *id = column_text(row, desc, "id");
	char	   *url = column_text(row, desc, "file_url");
	bool		seal = is_set(row, desc, "encrypt") && !is_set(row, desc, "is_encrypted");

	if (url == NULL && is_new)
		return;					/* the content is to come by document_put() */
	(void) padlock_queue_enqueue(seal ? "document_seal" : "pdf_extraction",
								 seal ? padlock_answer("{\"document_id\": \"%s\"}", id) :
								 padlock_answer("{\"document_id\": \"%s\", \"file_url\": %s}",
												id, padlock_json_string(url)),
								 is_policy ? PADLOCK_POLICY_PRIORITY : PADLOCK_DOCUMENT_PRIORITY,
								 PADLOCK_DOCUMENT_ATTEMPTS);
}

/*
 * Mark what the new row waits for.  Nothing is sealed yet, so is_encrypted can
 * only be a wish, but in rows of the owner's or a superuser's, which come from
 * dumps.
 */
static HeapTuple
mark_row(HeapTuple row, TupleDesc desc)
{
	bool		pdf = is_pdf(row, desc);
	bool		sealed = is_set(row, desc, "is_encrypted");
	bool		seal = sealed || is_set(row, desc, "encrypt");

	if (pdf || (seal && column_text(row, desc, "file_url") != NULL))
		check_pending(row, desc);
	if (pdf)
		row = mark_pending(row, desc, "extraction_status");
	if (GetUserId() == padlock_owner() || superuser())
		return seal && !sealed ? mark_pending(row, desc, "encryption_status") : row;
	return padlock_document_unsealed(row, desc, seal);
}

/*
 * padlock.queue_document() trigger: BEFORE INSERT marks as pending what is to be
 * encrypted and PDFs, AFTER INSERT queues it, and AFTER UPDATE what
 * keep_document() marked; FOR EACH ROW.
 */
Datum
padlock_queue_document(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		  (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
		   TRIGGER_FIRED_AFTER(trigger->tg_event))))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("queue_document must be fired on INSERT or AFTER UPDATE FOR EACH ROW")));

	desc = RelationGetDescr(trigger->tg_relation);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		enqueue_job(trigger->tg_newtuple, desc, false);
		return PointerGetDatum(NULL);
	}
	row = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
		return PointerGetDatum(mark_row(row, desc));
	if (is_pdf(row, desc) || is_set(row, desc, "encrypt"))
		enqueue_job(row, desc, true);
	return PointerGetDatum(NULL);
}

void
padlock_upload_too_large(const char *field)
{
	padlock_http_error(413, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "document is too large",
					   psprintf("%s: must be at most %d bytes (100 MiB)", field,
								PADLOCK_MAX_CONTENT), NULL);
}

/* Stop with 413, and not with a malformed field, when the file is too large. */
static void
check_size(Jsonb *json)
{
	JsonbValue	value;

	if (json == NULL || !JB_ROOT_IS_OBJECT(json))
		return;
	if (getKeyJsonValueFromContainer(&json->root, "file_size", strlen("file_size"),
									 &value) != NULL && value.type == jbvNumeric &&
		DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(value.val.numeric),
										 NumericGetDatum(int64_to_numeric(PADLOCK_MAX_CONTENT)))))
		padlock_upload_too_large("file_size");
	if (getKeyJsonValueFromContainer(&json->root, "content", strlen("content"), &value) != NULL &&
		value.type == jbvString && value.val.string.len > BASE64_LENGTH(PADLOCK_MAX_CONTENT))
		padlock_upload_too_large("content");
}

/* Take the content out of the body, decoded; NULL when there is none.  The caller wipes it. */
static bytea *
take_content(PadlockBody *body)
{
	BodyValue  *value = padlock_body_value(body, "content");
	BodyValue  *url = padlock_body_value(body, "file_url");
	text	   *encoded;
	bytea	   *content;
	int			length;

	if (!value->present)
	{
		if (!url->present && !url->invalid)
			padlock_body_problem(body, "file_url", "is required, or content");
		return NULL;
	}
	value->present = false;		/* no column of that name */
	if (url->present)
		padlock_body_problem(body, "content", "must not be given together with file_url");
	encoded = DatumGetTextPP(value->value);
	content = palloc(VARHDRSZ + pg_b64_dec_len(VARSIZE_ANY_EXHDR(encoded)));
	length = pg_b64_decode(VARDATA_ANY(encoded), VARSIZE_ANY_EXHDR(encoded), VARDATA(content),
						   pg_b64_dec_len(VARSIZE_ANY_EXHDR(encoded)));
	explicit_bzero(VARDATA_ANY(encoded), VARSIZE_ANY_EXHDR(encoded));
	if (length < 0)
		padlock_body_problem(body, "content", "must be base64");
	SET_VARSIZE(content, VARHDRSZ + Max(length, 0));
	return content;
}

/* Stop before anything is stored when documents cannot be encrypted. */
static void
check_encryption(PadlockBody *body)
{
	BodyValue  *encrypt = padlock_body_value(body, "encrypt");
	char		key_name[PADLOCK_KEY_NAME_SIZE];

	if (!encrypt->present || !DatumGetBool(encrypt->value))
		return;
	if (!padlock_active_key(PADLOCK_DOCUMENT_KEY, key_name))
		padlock_http_error(500, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						   "encryption of documents is not set up", NULL,
						   "The owner of the extension makes the key with padlock.init_keyring(); where padlock.keyring() shows it as pending, padlock.key_services() tells why.");
}

Jsonb *
padlock_upload_document(const pg_uuid_t *id)
{
	static PadlockStatement find = {
		.sql = "SELECT to_jsonb(d) FROM @app@.documents d WHERE id = $1",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	Datum		value = UUIDPGetDatum(id);
	Jsonb	   *document;
	bool		isnull;

	SPI_connect();
	if (padlock_spi_execute(&find, &value, NULL, false) == 0)
		padlock_http_error(404, ERRCODE_NO_DATA_FOUND, "document not found", NULL, NULL);
	document = DatumGetJsonbP(padlock_spi_datum(0, 1, &isnull));
	SPI_finish();
	return document;
}

/* The text of a member of the document's row, or NULL. */
static char *
member_text(Jsonb *document, const char *name)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&document->root, name, strlen(name), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* Store the content of a new document, and return its row as it is then. */
static Jsonb *
store_content(Jsonb *document, bytea *content)
{
	pg_uuid_t	id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in,
														CStringGetDatum(member_text(document, "id"))));

	(void) padlock_content_store(&id, VARDATA(content), VARSIZE(content) - VARHDRSZ);
	explicit_bzero(VARDATA(content), VARSIZE(content) - VARHDRSZ);
	return padlock_upload_document(&id);
}

static bool
has_status(Jsonb *document, const char *column, const char *status)
{
	char	   *text = member_text(document, column);

	return text != NULL && strcmp(text, status) == 0;
}

/* What became of a document, in words. */
static const char *
message_of(Jsonb *document)
{
	if (has_status(document, "encryption_status", "sealed"))
		return "Document uploaded and encrypted.";
	if (has_status(document, "encryption_status", "pending"))
		return "Document uploaded; it will be encrypted when it has been fetched.";
	return "Document uploaded.";
}

/*
 * document_upload(jsonb) returns jsonb: a user adds a document.  201; errors
 * 400, 401, 413, 429, and 500 when encryption is not set up.
 */
Datum
padlock_document_upload(PG_FUNCTION_ARGS)
{
	Jsonb	   *json = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	pg_uuid_t	user_id;
	RowExtra	extra = {"user_id", UUIDOID, UUIDPGetDatum(&user_id)};
	PadlockBody body;
	bytea	   *content;
	Jsonb	   *document;

	padlock_limit_request("document_upload");
	user_id = padlock_require_user();
	check_size(json);
	padlock_body_read(&body, json, document_fields, lengthof(document_fields), BODY_CREATE);
	content = take_content(&body);
	padlock_body_finish(&body);
	check_encryption(&body);

	document = padlock_row_insert("documents", &body, &extra, 1);
	if (document == NULL)
		padlock_http_error(500, ERRCODE_INTERNAL_ERROR, "document could not be stored", NULL, NULL);
	if (content != NULL)
		document = store_content(document, content);

	padlock_http_status(201);
	PG_RETURN_JSONB_P(padlock_answer(
		"{\"success\": true, \"document\": %s, \"ai_analysis_triggered\": %s,"
		" \"encrypted\": %s, \"message\": %s}",
		padlock_json_text(document),
		has_status(document, "extraction_status", "pending") ? "true" : "false",
		has_status(document, "encryption_status", "sealed") ? "true" : "false",
		padlock_json_string(message_of(document))));
}
