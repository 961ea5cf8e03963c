/*-------------------------------------------------------------------------
 *
 * admin_list.c
 *	  Who is an admin: the table admin_users, remembered by each backend.
 *
 * Every request of a user asks, and the answer is nearly always no, so the few
 * rows are kept.  A trigger of the table lets each change invalidate the
 * table's relcache entry, as changes of catalogs do; the message comes with the
 * commit to all backends and to standbys, at once to the session that makes the
 * change, and again when that is rolled back.  A backend takes messages in when
 * a transaction begins and whenever it locks a relation: no later than a probe
 * of the table would have seen the change.
 *
 * The list is read after the lock, with the snapshot that catalogs are read
 * with, and never with the transaction's own, which may be older than a message
 * already taken in and would bring back what the message was about.
 *
 * Without the trigger, or with one that session_replication_role can silence,
 * nothing is remembered and each question is a probe of the table; so it is
 * when there are more than MAX_ADMINS.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
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

void
padlock_admin_list_init(void)
{
	CacheRegisterRelcacheCallback(forget_list, (Datum) 0);
}

/*
 * padlock.forget_admins() trigger: AFTER any statement that may change
 * admin_users.  Makes all backends read the table again.
 */
Datum
padlock_forget_admins(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("forget_admins must be fired AFTER a statement")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

/* Does this trigger announce every change, whoever makes it? */
static bool
announces_changes(const Trigger *trigger)
{
	FmgrInfo	function;

	if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS || trigger->tgqual != NULL ||
		trigger->tgnattr != 0 || TRIGGER_FOR_ROW(trigger->tgtype) ||
		!TRIGGER_FOR_INSERT(trigger->tgtype) || !TRIGGER_FOR_UPDATE(trigger->tgtype) ||
		!TRIGGER_FOR_DELETE(trigger->tgtype) || !TRIGGER_FOR_TRUNCATE(trigger->tgtype))
		return false;
	fmgr_info(trigger->tgfoid, &function);
	return function.fn_addr == padlock_forget_admins;
}

static bool
is_announced(Relation rel)
{
	const TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (announces_changes(&triggers->triggers[i]))
			return true;
	return false;
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
	if (is_announced(rel))
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
