/*-------------------------------------------------------------------------
 *
 * extraction.c
 *	  Keeps a document's extraction_status and encryption_status true when its
 *	  job fails.
 *
 * The handlers of pdf_extraction and document_seal write what they made and
 * the status.  A job can also end failed without them: the last lease ran out,
 * it was cancelled, or an external worker reported the failure.  The queue
 * tells of all of these.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "core/spi.h"
#include "documents/documents.h"
#include "queue/queue.h"

/*
 * Mark the job's document as failed, unless what it waits for is over.  This
 * runs inside every claim that notices an ended lease, so it must neither raise
 * an error for what a payload holds nor wait for somebody's lock: a row that is
 * locked stays pending until padlock_documents_settle().  A document that could
 * not be sealed has no text either.
 */
static void
mark_failed(Datum payload, const char *error, bool sealing)
{
	static PadlockStatement update = {
		.sql = "UPDATE @app@.documents SET"
		" extraction_status = CASE extraction_status WHEN 'pending' THEN 'failed' ELSE extraction_status END,"
		" extraction_error = CASE extraction_status WHEN 'pending' THEN $2 ELSE extraction_error END,"
		" encryption_status = CASE WHEN $3 THEN 'failed' ELSE encryption_status END,"
		" encryption_error = CASE WHEN $3 THEN $2 ELSE encryption_error END"
		" WHERE id = (SELECT id FROM @app@.documents"
		" WHERE id = CASE WHEN $1->>'document_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
		" THEN ($1->>'document_id')::uuid END"
		" AND CASE WHEN $3 THEN encryption_status ELSE extraction_status END = 'pending'"
		" FOR UPDATE SKIP LOCKED)",
		.nargs = 3,
		.argtypes = {JSONBOID, TEXTOID, BOOLOID}
	};
	Datum		values[3] = {payload, CStringGetTextDatum(error), BoolGetDatum(sealing)};
	PadlockUserContext saved;

	/* as the owner: who ends a job need not see the document */
	padlock_become_owner(&saved);
	SPI_connect();
	padlock_spi_execute(&update, values, NULL, false);
	SPI_finish();
	padlock_restore_user(&saved);
}

/* Watcher of jobs about documents, which share their failure. */
static Jsonb *
watch_document(const PadlockEndedJob *job)
{
	if (!job->completed)
		mark_failed(JsonbPGetDatum(job->payload),
					job->error != NULL ? job->error : "the job failed",
					strcmp(job->type, "document_seal") == 0);
	return NULL;
}

void
padlock_documents_watch(void)
{
	padlock_queue_watch("pdf_extraction", watch_document);
	padlock_queue_watch("document_seal", watch_document);
}

void
padlock_documents_settle(void)
{
	static PadlockStatement update = {
		.sql = "UPDATE @app@.documents d SET"
		" extraction_status = CASE extraction_status WHEN 'pending' THEN 'failed' ELSE extraction_status END,"
		" extraction_error = CASE extraction_status WHEN 'pending'"
		" THEN 'the extraction job has ended without a result' ELSE extraction_error END,"
		" encryption_status = CASE encryption_status WHEN 'pending' THEN 'failed' ELSE encryption_status END,"
		" encryption_error = CASE encryption_status WHEN 'pending'"
		" THEN 'the job that seals it has ended without a result' ELSE encryption_error END"
		" WHERE id IN (SELECT id FROM @app@.documents"
		" WHERE (extraction_status = 'pending' OR (encryption_status = 'pending' AND file_url IS NOT NULL))"
		" AND created_at < now() - interval '1 hour' FOR UPDATE SKIP LOCKED)"
		" AND NOT EXISTS (SELECT FROM @app@.job_queue j"
		" WHERE j.job_type IN ('pdf_extraction', 'document_seal')"
		" AND j.status IN ('pending', 'processing') AND j.payload->>'document_id' = d.id::text)",
	};
	PadlockUserContext saved;

	/* as the owner: it is about everybody's documents */
	padlock_become_owner(&saved);
	SPI_connect();
	padlock_spi_execute(&update, NULL, NULL, false);
	SPI_finish();
	padlock_restore_user(&saved);
}
