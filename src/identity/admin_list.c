/*-------------------------------------------------------------------------
 *
 * admin_list.c
 *	  Who is an admin: the table admin_users, remembered by each backend.
 *
 * Every request of a user asks, and the answer is nearly always no, so the few
 * rows are kept.  Triggers of the table let each change invalidate the table's
 * relcache entry, as changes of catalogs do; the message comes with the commit
 * to all backends and to standbys, before the commit is answered, and at once to
 * the session that makes the change.  Messages are taken in before each answer.
 *
 * The triggers are of rows, since those of statements see no change that logical
 * replication makes, nor one by way of a parent table; only TRUNCATE has none.
 *
 * The list is read after the lock, with the snapshot that catalogs are read
 * with, and never with the transaction's own, which may be older than a message
 * already taken in and would bring back what the message was about.  It may hold
 * a row of the transaction's own before the trigger of that row has fired, so
 * whatever was read is forgotten at a rollback.  Serializable transactions are
 * not checked for conflicts with changes of admins.
 *
 * Without the triggers, or with such as session_replication_role can silence,
 * nothing is remembered and each question is a probe of the table; so it is
 * when there are more than MAX_ADMINS.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "core/spi.h"
#include "identity/lookup.h"

PG_FUNCTION_INFO_V1(padlock_forget_admins);

/* Rows that are kept; a search of them is quicker than a probe of the table. */
#define MAX_ADMINS	100

typedef struct Admin
{
	pg_uuid_t	id;
	bool		is_super;
} Admin;

/* The table the list is of, and whether what was read of it still holds. */
static Oid	list_table = InvalidOid;
static bool list_is_current = false;
static bool list_is_whole = false;
static int	admin_count;
static Admin admins[MAX_ADMINS];

static void
forget_list(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == list_table)
		list_is_current = false;
}

static void
forget_list_at_abort(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		list_is_current = false;
}

static void
forget_list_at_subabort(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		list_is_current = false;
}

void
padlock_admin_list_init(void)
{
	CacheRegisterRelcacheCallback(forget_list, (Datum) 0);
	RegisterXactCallback(forget_list_at_abort, NULL);
	RegisterSubXactCallback(forget_list_at_subabort, NULL);
}

/*
 * padlock.forget_admins() trigger: AFTER each change of a row of admin_users,
 * and AFTER TRUNCATE.  Makes all backends read the table again.
 */
Datum
padlock_forget_admins(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("forget_admins must be fired AFTER a change")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

/* Does this trigger announce whatever it is of, whoever makes the change and wherever? */
static bool
is_faithful(const Trigger *trigger)
{
	FmgrInfo	function;

	if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS || trigger->tgqual != NULL ||
		trigger->tgnattr != 0 || trigger->tgdeferrable)
		return false;
	fmgr_info(trigger->tgfoid, &function);
	return function.fn_addr == padlock_forget_admins;
}

static bool
is_of_rows(const Trigger *trigger)
{
	return TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_INSERT(trigger->tgtype) &&
		TRIGGER_FOR_UPDATE(trigger->tgtype) && TRIGGER_FOR_DELETE(trigger->tgtype);
}

/* Is every change of the table announced? */
static bool
is_announced(Relation rel)
{
	const TriggerDesc *triggers = rel->trigdesc;
	bool		rows = false;
	bool		truncation = false;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!is_faithful(trigger))
			continue;
		rows |= is_of_rows(trigger);
		truncation |= TRIGGER_FOR_TRUNCATE(trigger->tgtype);
	}
	return rows && truncation;
}

static void
read_admin(HeapTuple row, TupleDesc desc, void *result)
{
	Admin	   *admin = result;
	bool		isnull;
	Datum		value = padlock_lookup_column(row, desc, "id", &isnull);

	if (!isnull)
		admin->id = *DatumGetUUIDP(value);
	value = padlock_lookup_column(row, desc, "role", &isnull);
	admin->is_super = !isnull && strcmp(TextDatumGetCString(value), "super_admin") == 0;
}

/* Keep the table's rows, unless there are too many. */
static void
read_rows(Relation rel)
{
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	bool		is_whole = true;
	HeapTuple	row;

	admin_count = 0;
	while (is_whole && HeapTupleIsValid(row = systable_getnext(scan)))
	{
		if (admin_count == MAX_ADMINS)
			is_whole = false;
		else
			read_admin(row, RelationGetDescr(rel), &admins[admin_count++]);
	}
	systable_endscan(scan);
	list_is_whole = is_whole;
}

/* Read the table; a message that comes meanwhile leaves the list out of date. */
static void
read_list(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);

	list_table = relid;
	list_is_whole = false;
	list_is_current = true;
	if (rel->rd_rel->relkind == RELKIND_RELATION && is_announced(rel))
		read_rows(rel);
	table_close(rel, AccessShareLock);
}

/* Where the user is in the list; NULL if he is not. */
static const Admin *
find_admin(const pg_uuid_t *user_id)
{
	for (int i = 0; i < admin_count; i++)
		if (memcmp(&admins[i].id, user_id, UUID_LEN) == 0)
			return &admins[i];
	return NULL;
}

void
padlock_lookup_admin(const pg_uuid_t *user_id, bool *is_admin, bool *is_super_admin)
{
	Oid			relid = get_relname_relid("admin_users", padlock_client_schema());
	const Admin *found;
	Admin		probed = {{{0}}};

	*is_admin = false;
	*is_super_admin = false;
	if (!OidIsValid(relid))
		return;
	AcceptInvalidationMessages();
	if (!list_is_current || list_table != relid)
		read_list(relid);
	if (list_is_current && list_is_whole)
		found = find_admin(user_id);
	else
		found = padlock_lookup_row(relid, F_UUID_EQ, UUIDPGetDatum(user_id), read_admin,
								   &probed) ? &probed : NULL;
	*is_admin = found != NULL;
	*is_super_admin = found != NULL && found->is_super;
}
