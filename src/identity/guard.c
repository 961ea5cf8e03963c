/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  The trigger that keeps columns from people who may write the row.
 *
 * Row security decides about rows, and column grants would make an UPDATE of
 * a whole row, as REST clients send it, fail.  So a BEFORE trigger compares:
 * an UPDATE that changes a guarded column is refused, an INSERT gets the
 * column's default.  Admins, service_role and the table's owner are free, but
 * that an admin changes no id: other rows refer to it.
 *
 * A user need not say whose his rows are: an INSERT without user_id gets his.
 * A default would depend on the extension and go with it; this comes back with
 * the trigger.
 *
 * A guarded id keeps people from probing: the primary key's index looks past
 * row security, and inserting a hidden row's id would tell that it is there.
 * A trigger cannot tell a chosen id from a default, so an INSERT always gets a
 * fresh one, unless the id is of a row of the caller's own: there the conflict
 * is no news, and INSERT ... ON CONFLICT (id) DO UPDATE works.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "identity/caller.h"
#include "identity/lookup.h"

PG_FUNCTION_INFO_V1(padlock_guard_columns);

/* May this session write guarded columns of the table? */
static bool
is_free(Relation rel)
{
	/* the current user: code that runs as the owner is the owner's */
	return pg_class_ownercheck(RelationGetRelid(rel), GetUserId()) ||
		padlock_caller_is_privileged();
}

static int
guarded_column(TriggerData *trigger, int i)
{
	const char *name = trigger->tg_trigger->tgargs[i];
	int			column = SPI_fnumber(trigger->tg_relation->rd_att, name);

	if (column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\"",
						RelationGetRelationName(trigger->tg_relation), name)));
	return column;
}

static bool
is_changed(HeapTuple before, HeapTuple after, TupleDesc desc, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);
	bool		was_null;
	bool		is_null;
	Datum		was = heap_getattr(before, column, desc, &was_null);
	Datum		is = heap_getattr(after, column, desc, &is_null);

	if (was_null || is_null)
		return was_null != is_null;
	return !datum_image_eq(was, is, attribute->attbyval, attribute->attlen);
}

/* May this session change the ids of rows? */
static bool
is_free_to_change_ids(Relation rel)
{
	return pg_class_ownercheck(RelationGetRelid(rel), GetUserId()) ||
		padlock_caller()->role == PADLOCK_ROLE_SERVICE;
}

/* Refuse an UPDATE that changes any guarded column, but one this session may change. */
static HeapTuple
guard_update(TriggerData *trigger)
{
	bool		free = is_free(trigger->tg_relation);
	bool		ids_free = is_free_to_change_ids(trigger->tg_relation);

	for (int i = 0; i < trigger->tg_trigger->tgnargs; i++)
	{
		int			column = guarded_column(trigger, i);
		bool		is_id = strcmp(trigger->tg_trigger->tgargs[i], "id") == 0;

		if (!(is_id ? ids_free : free) &&
			is_changed(trigger->tg_trigtuple, trigger->tg_newtuple,
					   trigger->tg_relation->rd_att, column))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to change column \"%s\" of table \"%s\"",
							trigger->tg_trigger->tgargs[i],
							RelationGetRelationName(trigger->tg_relation)),
					 is_id ? errhint("Only service_role may change it.")
					 : errhint("Leave it out: only padlock, admins and service_role set it.")));
	}
	return trigger->tg_newtuple;
}

/* Evaluate a column's default in the given executor state. */
static Datum
column_default(Relation rel, int column, EState *estate, bool *isnull)
{
	Expr	   *expression = (Expr *) build_column_default(rel, column);

	if (expression == NULL)
	{
		*isnull = true;
		return (Datum) 0;
	}
	return ExecEvalExpr(ExecPrepareExpr(expression, estate), GetPerTupleExprContext(estate),
						isnull);
}

/* Does a row belong to the calling user, or to the calling company? */
static void
read_own(HeapTuple row, TupleDesc desc, void *result)
{
	const PadlockCaller *caller = padlock_caller();
	bool		isnull;
	Datum		owner = padlock_lookup_column(row, desc, "user_id", &isnull);
	bool		is_own = !isnull && caller->has_user &&
		memcmp(DatumGetUUIDP(owner), &caller->user_id, UUID_LEN) == 0;

	owner = padlock_lookup_column(row, desc, "company_id", &isnull);
	if (!isnull && caller->has_company && caller->company_active)
		is_own = is_own || memcmp(DatumGetUUIDP(owner), &caller->company_id, UUID_LEN) == 0;
	*(bool *) result = is_own;
}

/* Is the guarded column an id that names a row of the caller's own already? */
static bool
is_own_id(TriggerData *trigger, int i, int column)
{
	TupleDesc	desc = trigger->tg_relation->rd_att;
	bool		is_own = false;
	bool		isnull;
	Datum		id;

	if (strcmp(trigger->tg_trigger->tgargs[i], "id") != 0 ||
		TupleDescAttr(desc, column - 1)->atttypid != UUIDOID)
		return false;
	id = heap_getattr(trigger->tg_trigtuple, column, desc, &isnull);
	return !isnull && padlock_lookup_row(RelationGetRelid(trigger->tg_relation), F_UUID_EQ, id,
										 read_own, &is_own) && is_own;
}

/* Give an INSERT the defaults of all guarded columns. */
static HeapTuple
guard_insert(TriggerData *trigger)
{
	int			count = trigger->tg_trigger->tgnargs;
	int			replaced = 0;
	int		   *columns = palloc(sizeof(int) * Max(count, 1));
	Datum	   *values = palloc(sizeof(Datum) * Max(count, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(count, 1));
	EState	   *estate = CreateExecutorState();
	HeapTuple	row;

	for (int i = 0; i < count; i++)
	{
		int			column = guarded_column(trigger, i);

		if (is_own_id(trigger, i, column))
			continue;
		columns[replaced] = column;
		values[replaced] = column_default(trigger->tg_relation, column, estate, &nulls[replaced]);
		replaced++;
	}
	row = heap_modify_tuple_by_cols(trigger->tg_trigtuple, trigger->tg_relation->rd_att,
									replaced, columns, values, nulls);
	FreeExecutorState(estate);
	return row;
}

/* Give an INSERT without user_id, if the table has that column, the calling user's. */
static HeapTuple
fill_user(TriggerData *trigger)
{
	const PadlockCaller *caller = padlock_caller();
	TupleDesc	desc = trigger->tg_relation->rd_att;
	int			column = SPI_fnumber(desc, "user_id");
	Datum		user;
	bool		isnull = false;

	if (!caller->has_user || caller->role != PADLOCK_ROLE_AUTHENTICATED || column <= 0 ||
		TupleDescAttr(desc, column - 1)->atttypid != UUIDOID ||
		!heap_attisnull(trigger->tg_trigtuple, column, desc))
		return trigger->tg_trigtuple;
	user = UUIDPGetDatum(&caller->user_id);
	return heap_modify_tuple_by_cols(trigger->tg_trigtuple, desc, 1, &column, &user, &isnull);
}

/*
 * padlock.guard_columns(column, ...) trigger: BEFORE INSERT OR UPDATE FOR EACH
 * ROW; the arguments name the guarded columns.  Fills an empty user_id in.
 * Errors: 42501.
 */
Datum
padlock_guard_columns(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("guard_columns must be fired BEFORE INSERT OR UPDATE FOR EACH ROW")));

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		return PointerGetDatum(guard_update(trigger));
	trigger->tg_trigtuple = fill_user(trigger);
	return PointerGetDatum(is_free(trigger->tg_relation) ? trigger->tg_trigtuple
						   : guard_insert(trigger));
}
