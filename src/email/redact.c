/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  Takes the secrets of a mail out of its job when the job ends.
 *
 * The data of a template may be anything, and a mail's text belongs to its
 * receiver.  A trigger does it rather than the worker, so
 * that it holds however the job ends: sent, refused, or given up after the
 * worker died; and in the very row version that says so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(padlock_redact_email);

static Datum
without(Datum payload, const char *key)
{
	return DirectFunctionCall2(jsonb_delete, payload, CStringGetTextDatum(key));
}

/*
 * padlock.redact_email() trigger: BEFORE UPDATE FOR EACH ROW on job_queue, for
 * a mail whose job ends.  Removes "data", "text" and "html" from the payload
 * of a completed job.  One that failed keeps a text of its own, so that it can
 * be tried again; the data of a template would be of no use by then.
 */
Datum
padlock_redact_email(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	int			column;
	Datum		payload;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("redact_email must be fired BEFORE UPDATE FOR EACH ROW")));

	desc = RelationGetDescr(trigger->tg_relation);
	column = SPI_fnumber(desc, "payload");
	payload = SPI_getbinval(trigger->tg_newtuple, desc, column, &isnull);
	if (isnull)
		return PointerGetDatum(trigger->tg_newtuple);
	payload = without(payload, "data");
	if (strcmp(SPI_getvalue(trigger->tg_newtuple, desc, SPI_fnumber(desc, "status")),
			   "completed") == 0)
		payload = without(without(payload, "text"), "html");
	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_newtuple, desc, 1, &column,
													 &payload, &isnull));
}
