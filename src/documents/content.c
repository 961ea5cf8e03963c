/*-------------------------------------------------------------------------
 *
 * content.c
 *	  Contents of documents.
 *
 * They lie in padlock.document_contents, apart from documents, whose rows
 * users select and write whole.  A document with encrypt set has only sealed
 * bytes there: they are sealed before the first statement that holds them, so
 * that heap, TOAST, WAL and logs never see them in clear.
 *
 * What is sealed is bound to the document, its owner, its table and the part,
 * so that a message moved to another row or user does not open.
 *
 * Locking contract: whoever writes a document's contents locks its row first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "core/body.h"
#include "core/spi.h"
#include "documents/content.h"
#include "documents/documents.h"
#include "envelope/envelope.h"
#include "queue/queue.h"

#define CONTEXT_ENTRIES 4

/* What is asked of a document's row before its contents. */
typedef struct Document
{
	const pg_uuid_t *id;
	pg_uuid_t	user_id;
	bool		encrypt;		/* is to be sealed */
	bool		sealed;			/* is */
	char	   *file_url;		/* or NULL */
	bool		is_pdf;
	bool		is_policy;
} Document;

static char *
uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

/* What a part is bound to. */
static void
fill_context(PadlockContextEntry *context, const Document *document, PadlockContentPart part)
{
	context[0].key = "document_id";
	context[0].value = uuid_text(document->id);
	context[1].key = "part";
	context[1].value = part == PADLOCK_CONTENT_FILE ? "content" : "text";
	context[2].key = "table";
	context[2].value = "documents";
	context[3].key = "user_id";
	context[3].value = uuid_text(&document->user_id);
}

static bytea *
seal_part(const Document *document, PadlockContentPart part, const void *bytes, size_t length,
		  char *key_name)
{
	PadlockContextEntry context[CONTEXT_ENTRIES];

	fill_context(context, document, part);
	return padlock_seal(bytes, length, PADLOCK_DOCUMENT_KEY, context, CONTEXT_ENTRIES, key_name);
}

static bytea *
open_part(const Document *document, PadlockContentPart part, const bytea *message)
{
	PadlockContextEntry context[CONTEXT_ENTRIES];

	fill_context(context, document, part);
	return padlock_open(VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message), context,
						CONTEXT_ENTRIES);
}

static bool
row_boolean(int column)
{
	bool		isnull;

	return DatumGetBool(padlock_spi_datum(0, column, &isnull)) && !isnull;
}

/* A column of the current SPI result, detoasted, or NULL. */
static bytea *
row_bytes(int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? NULL : DatumGetByteaPCopy(value);
}

/* Read and lock a document's row, connected to SPI; false when there is none. */
static bool
lock_document(const pg_uuid_t *id, Document *document)
{
	static PadlockStatement find = {
		.sql = "SELECT user_id, encrypt, is_encrypted, file_url, content_type,"
		" coalesce(document_type = 'policy', false) FROM @app@.documents WHERE id = $1 FOR UPDATE",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	Datum		value = UUIDPGetDatum(id);
	bool		isnull;

	if (padlock_spi_execute(&find, &value, NULL, false) == 0)
		return false;
	document->id = id;
	document->user_id = *DatumGetUUIDP(padlock_spi_datum(0, 1, &isnull));
	document->encrypt = row_boolean(2);
	document->sealed = row_boolean(3);
	document->file_url = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4);
	document->is_pdf = padlock_document_is_pdf(document->file_url,
											   SPI_getvalue(SPI_tuptable->vals[0],
															SPI_tuptable->tupdesc, 5));
	document->is_policy = row_boolean(6);
	return true;
}

/* Put the bytes, sealed or not, where contents lie. */
static void
put_content(const Document *document, bytea *content)
{
	static PadlockStatement put = {
		.sql = "INSERT INTO padlock.document_contents (document_id, content) VALUES ($1, $2)"
		" ON CONFLICT (document_id) DO UPDATE SET content = excluded.content, text = NULL,"
		" version = document_contents.version + 1, fetch_error = NULL, text_key_id = NULL,"
		" object_key = NULL, object_hash = NULL, asked_at = NULL, put_key = NULL, put_until = NULL",
		.nargs = 2,
		.argtypes = {UUIDOID, BYTEAOID}
	};
	Datum		values[2] = {UUIDPGetDatum(document->id), PointerGetDatum(content)};

	(void) padlock_spi_execute(&put, values, NULL, false);
}

/* Say in the document what was stored; key_name NULL: it is not encrypted. */
static void
note_content(const Document *document, size_t length, const char *key_name)
{
	static PadlockStatement note = {
		.sql = "UPDATE @app@.documents SET file_size = $2, is_encrypted = $3 IS NOT NULL,"
		" encryption_key_id = $3, encryption_algorithm = $4,"
		" encryption_status = CASE WHEN $3 IS NULL THEN 'none' ELSE 'sealed' END,"
		" encryption_error = NULL, extracted_text = NULL, page_count = NULL, extracted_at = NULL,"
		" extraction_status = CASE WHEN $5 THEN 'pending' ELSE 'none' END,"
		" extraction_error = NULL WHERE id = $1",
		.nargs = 5,
		.argtypes = {UUIDOID, INT4OID, TEXTOID, TEXTOID, BOOLOID}
	};
	Datum		values[5] = {0};
	char		nulls[5] = {' ', ' ', 'n', 'n', ' '};

	values[0] = UUIDPGetDatum(document->id);
	values[1] = Int32GetDatum((int32) length);
	values[4] = BoolGetDatum(document->is_pdf);
	if (key_name != NULL)
	{
		values[2] = CStringGetTextDatum(key_name);
		values[3] = CStringGetTextDatum(PADLOCK_SEAL_ALGORITHM);
		nulls[2] = nulls[3] = ' ';
	}
	(void) padlock_spi_execute(&note, values, nulls, false);
}

/* Have a PDF's text extracted. */
static void
enqueue_extraction(const Document *document)
{
	(void) padlock_queue_enqueue("pdf_extraction",
								 padlock_answer("{\"document_id\": \"%s\"}",
												uuid_text(document->id)),
								 document->is_policy ? PADLOCK_POLICY_PRIORITY :
								 PADLOCK_DOCUMENT_PRIORITY, PADLOCK_DOCUMENT_ATTEMPTS);
}

/* Seal a content and put it in place of what there is. */
static void
put_sealed(const Document *document, const void *bytes, size_t length)
{
	char		key_name[PADLOCK_KEY_NAME_SIZE];

	put_content(document, seal_part(document, PADLOCK_CONTENT_FILE, bytes, length, key_name));
	note_content(document, length, key_name);
}

bool
padlock_content_store(const pg_uuid_t *id, const void *bytes, size_t length)
{
	PadlockUserContext saved;
	Document	document;
	bool		found;

	Assert(length <= PADLOCK_MAX_CONTENT);
	padlock_become_owner(&saved);
	SPI_connect();
	found = lock_document(id, &document);
	if (found && document.encrypt)
		put_sealed(&document, bytes, length);
	else if (found)
	{
		bytea	   *content = palloc(VARHDRSZ + length);

		SET_VARSIZE(content, VARHDRSZ + length);
		memcpy(VARDATA(content), bytes, length);
		put_content(&document, content);
		note_content(&document, length, NULL);
	}
	SPI_finish();
	padlock_restore_user(&saved);
	if (found && document.is_pdf)
		enqueue_extraction(&document);
	return found;
}

/* The document's content as it is stored, copied; connected to SPI. */
static bytea *
stored_content(const Document *document)
{
	static PadlockStatement find = {
		.sql = "SELECT content FROM padlock.document_contents WHERE document_id = $1",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	Datum		value = UUIDPGetDatum(document->id);

	return padlock_spi_execute(&find, &value, NULL, false) > 0 ? row_bytes(1) : NULL;
}

int64
padlock_content_seal(const pg_uuid_t *id)
{
	PadlockUserContext saved;
	Document	document;
	bytea	   *content = NULL;
	int64		length = -1;

	padlock_become_owner(&saved);
	SPI_connect();
	if (lock_document(id, &document) && document.encrypt && !document.sealed)
		content = stored_content(&document);
	if (content != NULL)
	{
		length = VARSIZE(content) - VARHDRSZ;
		put_sealed(&document, VARDATA(content), length);
		explicit_bzero(VARDATA(content), length);
	}
	SPI_finish();
	padlock_restore_user(&saved);
	if (content != NULL && document.is_pdf)
		enqueue_extraction(&document);
	return length;
}

/* Is what was fetched from a URL still what a document waits for?  The next attempt sees what else is. */
static void
check_fetched(const Document *document, const char *url)
{
	if (document->file_url == NULL || strcmp(document->file_url, url) != 0 ||
		stored_content(document) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the document was given another URL or content meanwhile")));
}

int64
padlock_content_seal_fetched(const pg_uuid_t *id, const char *url, const void *bytes,
							 size_t length)
{
	PadlockUserContext saved;
	Document	document;
	bool		waits;

	padlock_become_owner(&saved);
	SPI_connect();
	waits = lock_document(id, &document) && document.encrypt && !document.sealed;
	if (waits)
	{
		check_fetched(&document, url);
		put_sealed(&document, bytes, length);
	}
	SPI_finish();
	padlock_restore_user(&saved);
	if (waits && document.is_pdf)
		enqueue_extraction(&document);
	return waits ? (int64) length : -1;
}

/* Which of its contents a document has; 0 when none is stored. */
static int
stored_version(const Document *document)
{
	static PadlockStatement find = {
		.sql = "SELECT version FROM padlock.document_contents WHERE document_id = $1",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	Datum		value = UUIDPGetDatum(document->id);
	bool		isnull;

	if (padlock_spi_execute(&find, &value, NULL, false) == 0)
		return 0;
	return DatumGetInt32(padlock_spi_datum(0, 1, &isnull));
}

/* Put a sealed document's text beside its content. */
static void
put_sealed_text(const Document *document, const char *text)
{
	static PadlockStatement put = {
		.sql = "UPDATE padlock.document_contents SET text = $2, text_key_id = $3"
		" WHERE document_id = $1",
		.nargs = 3,
		.argtypes = {UUIDOID, BYTEAOID, TEXTOID}
	};
	char		key_name[PADLOCK_KEY_NAME_SIZE];
	Datum		values[3];

	values[0] = UUIDPGetDatum(document->id);
	values[1] = PointerGetDatum(seal_part(document, PADLOCK_CONTENT_TEXT, text, strlen(text),
										  key_name));
	values[2] = CStringGetTextDatum(key_name);
	(void) padlock_spi_execute(&put, values, NULL, false);
}

/* Say in the document that its text was extracted; text NULL when it is sealed. */
static void
note_text(const Document *document, const char *text, int pages)
{
	static PadlockStatement note = {
		.sql = "UPDATE @app@.documents SET extraction_status = 'done', extraction_error = NULL,"
		" extracted_text = $2, page_count = $3, extracted_at = clock_timestamp() WHERE id = $1",
		.nargs = 3,
		.argtypes = {UUIDOID, TEXTOID, INT4OID}
	};
	Datum		values[3];

	values[0] = UUIDPGetDatum(document->id);
	values[1] = text != NULL ? CStringGetTextDatum(text) : (Datum) 0;
	values[2] = Int32GetDatum(pages);
	(void) padlock_spi_execute(&note, values, text != NULL ? NULL : " n ", false);
}

bool
padlock_content_store_text(const pg_uuid_t *id, int version, const char *text, int pages)
{
	PadlockUserContext saved;
	Document	document;
	bool		stored;

	padlock_become_owner(&saved);
	SPI_connect();
	stored = lock_document(id, &document) && document.sealed == document.encrypt &&
		stored_version(&document) == version;
	if (stored && document.sealed)
	{
		put_sealed_text(&document, text);
		note_text(&document, NULL, pages);
	}
	else if (stored)
		note_text(&document, text, pages);
	SPI_finish();
	padlock_restore_user(&saved);
	return stored;
}

/* The first column of the current SPI result in the context given, or NULL. */
static bytea *
fetch_bytes(MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	bytea	   *bytes = isnull ? NULL : DatumGetByteaPCopy(value);

	MemoryContextSwitchTo(caller);
	return bytes;
}

bytea *
padlock_content_open(const pg_uuid_t *id, PadlockContentPart part)
{
	static PadlockStatement find[] = {
		{
			.sql = "SELECT c.content, d.user_id, d.is_encrypted FROM @app@.documents d"
			" JOIN padlock.document_contents c ON c.document_id = d.id WHERE d.id = $1",
			.nargs = 1,
			.argtypes = {UUIDOID}
		},
		{
			.sql = "SELECT CASE WHEN d.is_encrypted THEN c.text"
			" ELSE convert_to(d.extracted_text, getdatabaseencoding()) END,"
			" d.user_id, d.is_encrypted FROM @app@.documents d"
			" LEFT JOIN padlock.document_contents c ON c.document_id = d.id WHERE d.id = $1",
			.nargs = 1,
			.argtypes = {UUIDOID}
		}
	};
	MemoryContext context = CurrentMemoryContext;
	Datum		value = UUIDPGetDatum(id);
	Document	document = {.id = id};
	PadlockUserContext saved;
	bytea	   *stored = NULL;
	bool		isnull;

	padlock_become_owner(&saved);
	SPI_connect();
	if (padlock_spi_execute(&find[part], &value, NULL, true) > 0)
	{
		document.user_id = *DatumGetUUIDP(padlock_spi_datum(0, 2, &isnull));
		document.sealed = row_boolean(3);
		stored = fetch_bytes(context);
	}
	SPI_finish();
	padlock_restore_user(&saved);
	if (stored != NULL && document.sealed)
	{
		bytea	   *message = stored;

		stored = open_part(&document, part, message);
		pfree(message);
	}
	return stored;
}

int64
padlock_content_count_stale(const char *key_name)
{
	static PadlockStatement find = {
		.sql = "SELECT count(*) FROM @app@.documents"
		" WHERE encryption_key_id IS NOT NULL AND encryption_key_id <> $1",
		.nargs = 1,
		.argtypes = {TEXTOID}
	};
	Datum		value = CStringGetTextDatum(key_name);
	PadlockUserContext saved;
	int64		count;
	bool		isnull;

	padlock_become_owner(&saved);
	SPI_connect();
	(void) padlock_spi_execute(&find, &value, NULL, true);
	count = DatumGetInt64(padlock_spi_datum(0, 1, &isnull));
	SPI_finish();
	padlock_restore_user(&saved);
	return count;
}

/*
 * The documents after the walk's place, connected to SPI: how many rows.  One
 * descent of the index on these two columns, in its order, so that nothing
 * behind is looked at again.
 */
static int
find_after(const PadlockStaleWalk *walk)
{
	static PadlockStatement find = {
		.sql = "SELECT id, encryption_key_id FROM @app@.documents"
		" WHERE (encryption_key_id, id) > ($1, $2) AND encryption_key_id IS NOT NULL"
		" ORDER BY encryption_key_id, id LIMIT " CppAsString2(PADLOCK_STALE_BATCH),
		.nargs = 2,
		.argtypes = {TEXTOID, UUIDOID}
	};
	Datum		values[2];

	values[0] = CStringGetTextDatum(walk->key_name);
	values[1] = UUIDPGetDatum(&walk->last);
	return (int) padlock_spi_execute(&find, values, NULL, true);
}

/* Take the rows found up to the first under the active key, and go there; how many. */
static int
take_stale(PadlockStaleWalk *walk, const char *active, pg_uuid_t *ids, int found)
{
	bool		isnull;

	for (int i = 0; i < found; i++)
	{
		text_to_cstring_buffer(DatumGetTextPP(padlock_spi_datum(i, 2, &isnull)), walk->key_name,
							   sizeof(walk->key_name));
		if (strcmp(walk->key_name, active) == 0)
		{
			memset(&walk->last, 0xff, sizeof(walk->last));	/* behind all of that key */
			return i;
		}
		walk->last = ids[i] = *DatumGetUUIDP(padlock_spi_datum(i, 1, &isnull));
	}
	return found;
}

int
padlock_content_next_stale(PadlockStaleWalk *walk, pg_uuid_t *ids)
{
	char		active[PADLOCK_KEY_NAME_SIZE];
	PadlockUserContext saved;
	int			found;
	int			taken = 0;

	if (!padlock_active_key(PADLOCK_DOCUMENT_KEY, active))
		return 0;
	padlock_become_owner(&saved);
	SPI_connect();
	do
	{
		found = find_after(walk);
		taken = take_stale(walk, active, ids, found);
	} while (found > 0 && taken == 0);
	SPI_finish();
	padlock_restore_user(&saved);
	return taken;
}

/* Open a part and seal it under the active key; NULL stays NULL. */
static bytea *
reseal_part(const Document *document, PadlockContentPart part, const bytea *message,
			char *key_name)
{
	bytea	   *plaintext;
	bytea	   *volatile resealed = NULL;

	if (message == NULL)
		return NULL;
	plaintext = open_part(document, part, message);
	PG_TRY();
	{
		resealed = seal_part(document, part, VARDATA(plaintext), VARSIZE(plaintext) - VARHDRSZ,
							 key_name);
	}
	PG_FINALLY();
	{
		explicit_bzero(VARDATA(plaintext), VARSIZE(plaintext) - VARHDRSZ);
	}
	PG_END_TRY();
	pfree(plaintext);
	return resealed;
}

/* Write both parts, sealed under key_name. */
static void
put_resealed(const Document *document, bytea *content, bytea *text, const char *key_name)
{
	static PadlockStatement put = {
		.sql = "UPDATE padlock.document_contents SET content = $2, text = $3,"
		" text_key_id = CASE WHEN $3 IS NOT NULL THEN $4 END, object_key = NULL,"
		" object_hash = NULL, asked_at = NULL, put_key = NULL, put_until = NULL"
		" WHERE document_id = $1",
		.nargs = 4,
		.argtypes = {UUIDOID, BYTEAOID, BYTEAOID, TEXTOID}
	};
	static PadlockStatement note = {
		.sql = "UPDATE @app@.documents SET encryption_key_id = $2 WHERE id = $1",
		.nargs = 2,
		.argtypes = {UUIDOID, TEXTOID}
	};
	Datum		values[4];

	values[0] = UUIDPGetDatum(document->id);
	values[1] = PointerGetDatum(content);
	values[2] = PointerGetDatum(text);
	values[3] = CStringGetTextDatum(key_name);
	(void) padlock_spi_execute(&put, values, text != NULL ? NULL : "  n ", false);
	values[1] = CStringGetTextDatum(key_name);
	(void) padlock_spi_execute(&note, values, NULL, false);
}

void
padlock_content_reseal(const pg_uuid_t *id)
{
	static PadlockStatement find = {
		.sql = "SELECT c.content, c.text FROM padlock.document_contents c"
		" JOIN @app@.documents d ON d.id = c.document_id"
		" WHERE d.id = $1 AND d.encryption_key_id <> $2",
		.nargs = 2,
		.argtypes = {UUIDOID, TEXTOID}
	};
	char		key_name[PADLOCK_KEY_NAME_SIZE];
	Datum		values[2];
	PadlockUserContext saved;
	Document	document;

	if (!padlock_active_key(PADLOCK_DOCUMENT_KEY, key_name))
		return;
	values[0] = UUIDPGetDatum(id);
	values[1] = CStringGetTextDatum(key_name);
	padlock_become_owner(&saved);
	SPI_connect();
	if (lock_document(id, &document) && document.sealed &&
		padlock_spi_execute(&find, values, NULL, false) > 0)
	{
		bytea	   *content = row_bytes(1);
		bytea	   *text = row_bytes(2);

		if (content == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("content of document %s is in the object store", uuid_text(id))));
		content = reseal_part(&document, PADLOCK_CONTENT_FILE, content, key_name);
		text = reseal_part(&document, PADLOCK_CONTENT_TEXT, text, key_name);
		put_resealed(&document, content, text, key_name);
	}
	SPI_finish();
	padlock_restore_user(&saved);
}
