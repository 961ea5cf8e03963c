/*-------------------------------------------------------------------------
 *
 * extraction.c
 *	  Keeps a document's extraction_status and encryption_status true when its
 *	  job fails.
 *
 * The handlers of pdf_extraction and document_seal write what they made and
 * the status.  A job can also end failed without them: the last lease ran out,
 * or an external worker reported the failure.  A trigger on the queue covers
 * all of these.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "core/spi.h"
#include "documents/documents.h"

PG_FUNCTION_INFO_V1(padlock_fail_document);

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

/*
 * padlock.fail_document() trigger: AFTER UPDATE FOR EACH ROW on job_queue, for
 * pdf_extraction and document_seal jobs that became failed.
 */
Datum
padlock_fail_document(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	Datum		payload;
	bool		isnull;
	char	   *error;
	char	   *type;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("fail_document must be fired AFTER UPDATE FOR EACH ROW")));

	desc = RelationGetDescr(trigger->tg_relation);
	payload = SPI_getbinval(trigger->tg_newtuple, desc, SPI_fnumber(desc, "payload"), &isnull);
	if (isnull)
		return PointerGetDatum(NULL);
	error = SPI_getvalue(trigger->tg_newtuple, desc, SPI_fnumber(desc, "error_message"));
	type = SPI_getvalue(trigger->tg_newtuple, desc, SPI_fnumber(desc, "job_type"));
	mark_failed(payload, error != NULL ? error : "the job failed",
				type != NULL && strcmp(type, "document_seal") == 0);
	return PointerGetDatum(NULL);
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
