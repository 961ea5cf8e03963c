/*-------------------------------------------------------------------------
 *
 * provenance.c
 *	  The trigger that makes an insurer's own value win over a crawled one.
 *
 * insurance_products.provenance has an entry for each field that a crawl
 * filled, and a crawl overwrites only such fields.  Whoever else changes a
 * field, through the endpoint or the table, takes it over: its entry goes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(padlock_drop_provenance);

/* Names of the columns that an UPDATE changes, as text[]. */
static ArrayType *
changed_columns(HeapTuple before, HeapTuple after, TupleDesc desc)
{
	Datum	   *names = palloc(sizeof(Datum) * desc->natts);
	int			count = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		was_null;
		bool		is_null;
		Datum		was;
		Datum		is;

		if (attribute->attisdropped)
			continue;
		was = heap_getattr(before, i + 1, desc, &was_null);
		is = heap_getattr(after, i + 1, desc, &is_null);
		if (was_null != is_null ||
			(!was_null && !datum_image_eq(was, is, attribute->attbyval, attribute->attlen)))
			names[count++] = CStringGetTextDatum(NameStr(attribute->attname));
	}
	return construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT);
}

/*
 * padlock.drop_provenance() trigger: BEFORE UPDATE FOR EACH ROW, for updates
 * that leave provenance itself alone; removes the changed columns' entries.
 */
Datum
padlock_drop_provenance(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	int			column;
	bool		isnull;
	Datum		provenance;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("drop_provenance must be fired BEFORE UPDATE FOR EACH ROW")));

	desc = RelationGetDescr(trigger->tg_relation);
	column = SPI_fnumber(desc, "provenance");
	if (column <= 0)
		return PointerGetDatum(trigger->tg_newtuple);
	provenance = heap_getattr(trigger->tg_newtuple, column, desc, &isnull);
	if (isnull)
		return PointerGetDatum(trigger->tg_newtuple);
	provenance = DirectFunctionCall2(jsonb_delete_array, provenance,
									 PointerGetDatum(changed_columns(trigger->tg_trigtuple,
																	 trigger->tg_newtuple, desc)));
	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_newtuple, desc, 1, &column,
													 &provenance, &isnull));
}
