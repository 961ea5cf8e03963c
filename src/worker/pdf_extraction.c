/*-------------------------------------------------------------------------
 *
 * pdf_extraction.c
 *	  Job type pdf_extraction: store the text of a document's PDF.
 *
 * Payload: {"document_id": uuid, "file_url": URL}.  The file is one that its
 * owner named, so robots.txt is not asked; the address guard holds.
 *
 * Result: {"pages", "characters", "truncated", "title"}.  The text goes to
 * documents.extracted_text; documents.extraction_status becomes done, or
 * failed when no attempt is left, with the reason in extraction_error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/body.h"
#include "core/spi.h"
#include "worker/job.h"
#include "worker/request.h"
#include "worker/settings.h"

static PadlockStatement find_statement = {
	"SELECT 1 FROM @app@.documents WHERE id = $1",
	1, {UUIDOID}
};

static PadlockStatement store_statement = {
	"UPDATE @app@.documents SET extraction_status = 'done', extraction_error = NULL,"
	" extracted_text = $2, page_count = $3, extracted_at = pg_catalog.clock_timestamp()"
	" WHERE id = $1",
	3, {UUIDOID, TEXTOID, INT4OID}
};

static PadlockStatement failed_statement = {
	"UPDATE @app@.documents SET extraction_error = $2,"
	" extraction_status = CASE WHEN $3 THEN 'failed' ELSE 'pending' END"
	" WHERE id = $1",
	3, {UUIDOID, TEXTOID, BOOLOID}
};

/* Refuse the job when the document is gone, before anything is fetched. */
static void
check_document(const pg_uuid_t *id)
{
	Datum		value = UUIDPGetDatum(id);
	bool		exists;

	padlock_worker_begin();
	SPI_connect();
	exists = padlock_spi_execute(&find_statement, &value, NULL, true) > 0;
	SPI_finish();
	padlock_worker_commit();
	if (!exists)
		padlock_job_refuse("the document does not exist");
}

/* Fetch and parse; every failure ends the attempt. */
static PadlockParsed *
extract(const PadlockJob *job, const char *url)
{
	PadlockFetched *fetched;
	PadlockParsed *parsed;

	fetched = padlock_fetch(&job->id, url, padlock_pdf_max_size, false);
	if (fetched->outcome != WIRE_OK)
		padlock_raise_outcome(fetched->outcome, fetched->http_status,
							  padlock_outcome_reason(fetched->outcome, fetched->http_status,
													 fetched->detail));
	parsed = padlock_parse_pdf(&job->id, fetched->body);
	if (parsed->outcome != WIRE_OK)
		padlock_raise_outcome(parsed->outcome, 0,
							  padlock_outcome_reason(parsed->outcome, 0, parsed->detail));
	return parsed;
}

/* Write the text, in the transaction at hand. */
static void
store(const pg_uuid_t *id, const char *text, const PadlockParsed *parsed)
{
	Datum		values[3];
	uint64		rows;

	values[0] = UUIDPGetDatum(id);
	values[1] = CStringGetTextDatum(text);
	values[2] = Int32GetDatum((int32) parsed->pages);
	SPI_connect();
	rows = padlock_spi_execute(&store_statement, values, NULL, false);
	SPI_finish();
	if (rows == 0)
		padlock_job_refuse("the document was deleted");
}

/* The job's handler; see job.h for what it promises. */
static Jsonb *
run_pdf_extraction(const PadlockJob *job)
{
	pg_uuid_t	id = padlock_job_uuid(job, "document_id");
	char	   *url = padlock_job_text(job, "file_url");
	PadlockParsed *parsed;
	char	   *text;

	if (strlen(url) > PADLOCK_MAX_URL)
		padlock_job_refuse("the file's URL is longer than %d bytes", PADLOCK_MAX_URL);
	check_document(&id);
	parsed = extract(job, url);
	text = padlock_helper_read_body(parsed->text, parsed->text->length);

	padlock_worker_begin();
	store(&id, text, parsed);
	return padlock_job_result(psprintf("{\"pages\": %u, \"characters\": %u, \"truncated\": %s,"
									   " \"title\": %s}",
									   parsed->pages, parsed->characters,
									   parsed->truncated ? "true" : "false",
									   padlock_json_string(parsed->title)));
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
