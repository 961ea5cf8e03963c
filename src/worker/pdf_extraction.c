/*-------------------------------------------------------------------------
 *
 * pdf_extraction.c
 *	  Job type pdf_extraction: store the text of a document's PDF.
 *
 * Payload: {"document_id": uuid, "file_url": URL}.  A document whose content is
 * stored is read from there (from the object store, too), any other from the
 * URL.  The file is one that its owner named, so robots.txt is not asked; the
 * address guard holds.
 *
 * Result: {"pages", "characters", "truncated"}, and nothing that the file says:
 * results stay as they are when the document is encrypted later.  The text goes
 * to documents.extracted_text, or sealed beside the content of an encrypted
 * document; documents.extraction_status becomes done, or failed when no attempt
 * is left, with the reason in extraction_error; one whose content is stored
 * keeps the text of that and done, whatever becomes of another extraction.  A
 * text is stored only beside the content that it was taken from.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/spi.h"
#include "documents/content.h"
#include "worker/document_store.h"
#include "worker/job.h"
#include "worker/request.h"
#include "worker/settings.h"

static PadlockStatement find_statement = {
	"SELECT encrypt, is_encrypted,"
	" coalesce((SELECT version FROM padlock.document_contents WHERE document_id = id), 0)"
	" FROM @app@.documents WHERE id = $1",
	1, {UUIDOID}
};

/* The text of a stored content stays, and so does done, until there is another content. */
static PadlockStatement failed_statement = {
	"UPDATE @app@.documents SET extraction_error = $2,"
	" extraction_status = CASE WHEN extraction_status = 'done'"
	" AND EXISTS (SELECT FROM padlock.document_contents WHERE document_id = id) THEN 'done'"
	" WHEN $3 THEN 'failed' ELSE 'pending' END"
	" WHERE id = $1",
	3, {UUIDOID, TEXTOID, BOOLOID}
};

/* What a job must know of its document before anything is fetched. */
typedef struct Source
{
	bool		encrypt;		/* is to be encrypted */
	bool		encrypted;		/* is */
	int			version;		/* of its stored content, or 0 */
} Source;

/* Look at the document; refuses the job when it is gone. */
static Source
find_source(const pg_uuid_t *id)
{
	Datum		value = UUIDPGetDatum(id);
	Source		source = {false};
	bool		exists;
	bool		isnull;

	padlock_worker_begin();
	SPI_connect();
	exists = padlock_spi_execute(&find_statement, &value, NULL, true) > 0;
	if (exists)
	{
		source.encrypt = DatumGetBool(padlock_spi_datum(0, 1, &isnull));
		source.encrypted = DatumGetBool(padlock_spi_datum(0, 2, &isnull));
		source.version = DatumGetInt32(padlock_spi_datum(0, 3, &isnull));
	}
	SPI_finish();
	padlock_worker_commit();
	if (!exists)
		padlock_job_refuse("the document does not exist");
	if (source.encrypt && !source.encrypted)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the document is not encrypted yet")));
	return source;
}

/* Fetch the file; a failure ends the attempt. */
static PadlockBlob *
fetch_file(const PadlockJob *job)
{
	char	   *url = padlock_job_text(job, "file_url");
	PadlockFetched *fetched;

	if (strlen(url) > PADLOCK_MAX_URL)
		padlock_job_refuse("the file's URL is longer than %d bytes", PADLOCK_MAX_URL);
	fetched = padlock_fetch(&job->id, url, padlock_pdf_max_size, false);
	if (fetched->outcome != WIRE_OK)
		padlock_raise_outcome(fetched->outcome, fetched->http_status,
							  padlock_outcome_reason(fetched->outcome, fetched->http_status,
													 fetched->detail));
	return fetched->body;
}

/* The stored content, opened; NULL when it is not in the database. */
static bytea *
read_content(const pg_uuid_t *id)
{
	bytea	   *content;

	padlock_worker_begin();
	content = padlock_content_open(id, PADLOCK_CONTENT_FILE);
	padlock_worker_commit();
	return content;
}

/* The job cannot go on with what it has seen of its document; the next attempt sees why. */
static void pg_attribute_noreturn()
raise_changed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the document was deleted or given another content meanwhile")));
}

/* The stored content, opened, for the parser alone; fetched if it is in the object store. */
static PadlockBlob *
open_content(const PadlockJob *job, const pg_uuid_t *id)
{
	bytea	   *content = read_content(id);
	PadlockBlob *body;

	if (content == NULL)
	{
		padlock_document_bring_back(job, id);
		content = read_content(id);
	}
	if (content == NULL)
		raise_changed();
	if (VARSIZE(content) - VARHDRSZ > (Size) padlock_pdf_max_size * 1024)
		padlock_job_refuse("the file is larger than %d kB", padlock_pdf_max_size);
	body = padlock_helper_make_body(VARDATA(content), VARSIZE(content) - VARHDRSZ);
	explicit_bzero(VARDATA(content), VARSIZE(content) - VARHDRSZ);
	pfree(content);
	return body;
}

static PadlockParsed *
parse(const PadlockJob *job, const PadlockBlob *body)
{
	PadlockParsed *parsed = padlock_parse_pdf(&job->id, body);

	if (parsed->outcome != WIRE_OK)
		padlock_raise_outcome(parsed->outcome, 0,
							  padlock_outcome_reason(parsed->outcome, 0, parsed->detail));
	return parsed;
}

/* The job's handler; see job.h for what it promises. */
static Jsonb *
run_pdf_extraction(const PadlockJob *job)
{
	pg_uuid_t	id = padlock_job_uuid(job, "document_id");
	Source		source = find_source(&id);
	PadlockParsed *parsed;
	char	   *text;
	bool		stored;

	if (source.encrypted)
		padlock_job_require_keyring();
	parsed = parse(job, source.version > 0 ? open_content(job, &id) : fetch_file(job));
	text = padlock_helper_read_body(parsed->text, parsed->text->length);
	padlock_worker_begin();
	stored = padlock_content_store_text(&id, source.version, text, (int) parsed->pages);
	explicit_bzero(text, strlen(text));
	if (!stored)
		raise_changed();
	return padlock_job_result(psprintf("{\"pages\": %u, \"characters\": %u, \"truncated\": %s}",
									   parsed->pages, parsed->characters,
									   parsed->truncated ? "true" : "false"));
}

/* Note a failed attempt in the document; a payload without one has nowhere. */
static void
note_failure(const PadlockJob *job, const char *error, bool final)
{
	pg_uuid_t	id;
	Datum		values[3];

	if (!padlock_job_find_uuid(job, "document_id", &id))
		return;
	values[0] = UUIDPGetDatum(&id);
	values[1] = CStringGetTextDatum(error);
	values[2] = BoolGetDatum(final);
	SPI_connect();
	(void) padlock_spi_execute(&failed_statement, values, NULL, false);
	SPI_finish();
}

const PadlockJobType padlock_job_pdf_extraction = {
	"pdf_extraction", run_pdf_extraction, note_failure
};
