/*-------------------------------------------------------------------------
 *
 * admins.c
 *	  The trigger that keeps a super admin in office.
 *
 * Only super admins manage admins, so the last one who removes or demotes
 * himself would leave nobody who can.  The owner of the table is free: he can
 * make another.
 *
 * Locking contract: the office of another super admin is locked until commit.
 * Of two who demote each other at a time one waits for the other, and is then
 * refused or ended as a deadlock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/rel.h"

#include "core/errors.h"
#include "core/spi.h"

PG_FUNCTION_INFO_V1(padlock_keep_super_admin);

static PadlockStatement other_statement = {
	"SELECT FROM @app@.admin_users WHERE role = 'super_admin' AND id <> $1 LIMIT 1 FOR SHARE",
	1, {UUIDOID}
};

static bool
is_super_admin(HeapTuple row, TupleDesc desc)
{
	return strcmp(SPI_getvalue(row, desc, SPI_fnumber(desc, "role")), "super_admin") == 0;
}

/* Is there a super admin beside this one, and will he be until commit? */
static bool
hold_other(Datum id)
{
	PadlockUserContext saved;
	bool		found;

	padlock_become_owner(&saved);
	SPI_connect();
	found = padlock_spi_execute(&other_statement, &id, NULL, false) > 0;
	SPI_finish();
	padlock_restore_user(&saved);
	return found;
}

/*
 * padlock.keep_super_admin() trigger: BEFORE UPDATE OR DELETE FOR EACH ROW on
 * admin_users.  Errors: 409 (SQL: 23001) when the last super admin would go.
 */
Datum
padlock_keep_super_admin(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	after;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("keep_super_admin must be fired BEFORE UPDATE OR DELETE FOR EACH ROW")));

	desc = RelationGetDescr(trigger->tg_relation);
	after = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : NULL;
	if (is_super_admin(trigger->tg_trigtuple, desc) &&
		(after == NULL || !is_super_admin(after, desc)) &&
		!pg_class_ownercheck(RelationGetRelid(trigger->tg_relation), GetUserId()) &&
		!hold_other(SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "id"), &isnull)))
		padlock_http_error(409, ERRCODE_RESTRICT_VIOLATION,
						   "the last super admin cannot be removed or demoted", NULL,
						   "Make another user a super admin first.");
	return PointerGetDatum(after != NULL ? after : trigger->tg_trigtuple);
}
