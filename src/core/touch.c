/*-------------------------------------------------------------------------
 *
 * touch.c
 *	  The trigger that keeps updated_at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(padlock_touch_updated_at);

/*
 * padlock.touch_updated_at() trigger: BEFORE UPDATE FOR EACH ROW, sets
 * updated_at to the transaction's start, whatever the statement wrote there.
 */
Datum
padlock_touch_updated_at(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	int			column;
	Datum		now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	bool		isnull = false;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("touch_updated_at must be fired BEFORE UPDATE FOR EACH ROW")));

	column = SPI_fnumber(trigger->tg_relation->rd_att, "updated_at");
	if (column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"updated_at\"",
						RelationGetRelationName(trigger->tg_relation))));
	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_newtuple,
													 trigger->tg_relation->rd_att, 1, &column,
													 &now, &isnull));
}
