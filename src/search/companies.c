/*-------------------------------------------------------------------------
 *
 * companies.c
 *	  Which companies are not active, remembered by each session.
 *
 * Every search needs the list, and it seldom changes.  A trigger of the
 * companies' table (changes.c) notes among the changes of products that one was
 * switched on or off, once a transaction; a merge takes the note up as it does
 * those of products, and writes a segment.  So two snapshots that see the same
 * segments and the same notes see the same companies, by view.c's argument: a
 * note that one of them misses went into a segment that it misses, too.  These
 * ids are the marks of a list that is kept.
 *
 * A transaction that writes always reads the table, and what it read is not
 * kept: the trigger fires at a statement's end, after a search from within it
 * may have seen rows that a rollback takes back.
 *
 * Changes that fire no trigger are those of ALTER TABLE: they, and all that
 * switches the trigger off or on, invalidate the table's relcache entry, and
 * with it the list.  Without the trigger, or with one that
 * session_replication_role can silence, each search reads the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "core/spi.h"
#include "search/changes.h"
#include "search/companies.h"
#include "search/products.h"

static const SearchColumn id_column = {"id", UUIDOID, true};

PG_FUNCTION_INFO_V1(padlock_search_note_companies);

/* The list of this session's last search; its context is reset as a whole. */
static MemoryContext kept_context = NULL;
static Oid	kept_table = InvalidOid;
static uint64 kept_message;
static int	kept_nmarks = 0;	/* 0: to be used once only */
static int64 *kept_marks;
static int	kept_count;
static pg_uuid_t *kept_ids;

/* How many messages about the table have come. */
static uint64 messages = 0;

/* Has this transaction a note that no rollback has taken back? */
static bool noted = false;

/* Relcache callback. */
static void
count_message(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == kept_table)
		messages++;
}

static void
end_notes(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		noted = false;
}

static void
end_notes_of_sub(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		noted = false;
}

void
search_companies_init(void)
{
	CacheRegisterRelcacheCallback(count_message, (Datum) 0);
	RegisterXactCallback(end_notes, NULL);
	RegisterSubXactCallback(end_notes_of_sub, NULL);
}

/*
 * May a scan with the transaction's snapshots use an index?  One made while
 * updates had left old versions of rows in its table's HOT chains does not
 * have these: it is for transactions that began later (README.HOT).
 */
static bool
is_usable(Relation index)
{
	return index->rd_index->indisvalid &&
		(!index->rd_index->indcheckxmin ||
		 TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin));
}

/* An index on companies' is_active alone, or InvalidOid. */
static Oid
find_active_index(Relation companies, AttrNumber active)
{
	ListCell   *cell;
	Oid			found = InvalidOid;

	foreach(cell, RelationGetIndexList(companies))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indnkeyatts == 1 &&
			index->rd_index->indkey.values[0] == active && is_usable(index) &&
			RelationGetIndexPredicate(index) == NIL)
			found = lfirst_oid(cell);
		index_close(index, AccessShareLock);
	}
	return found;
}

static void
append_id(pg_uuid_t **ids, int *count, int *allocated, const pg_uuid_t *id)
{
	if (*count == *allocated)
	{
		*allocated *= 2;
		*ids = repalloc(*ids, *allocated * sizeof(pg_uuid_t));
	}
	(*ids)[(*count)++] = *id;
}

/* Read the list; palloc'd. */
static pg_uuid_t *
read_list(Relation rel, Snapshot snapshot, int *count)
{
	AttrNumber	active = search_company_active(rel);
	AttrNumber	id = search_find_column(rel, &id_column);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Oid			index_oid = find_active_index(rel, active);
	int			allocated = 16;
	pg_uuid_t  *ids = palloc(allocated * sizeof(pg_uuid_t));
	ScanKeyData key;
	bool		isnull;

	*count = 0;
	if (OidIsValid(index_oid))
	{
		Relation	index = index_open(index_oid, AccessShareLock);
		IndexScanDesc scan = index_beginscan(rel, index, snapshot, 1, 0);

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_BOOLEQ, BoolGetDatum(false));
		index_rescan(scan, &key, 1, NULL, 0);
		while (index_getnext_slot(scan, ForwardScanDirection, slot))
			append_id(&ids, count, &allocated, DatumGetUUIDP(slot_getattr(slot, id, &isnull)));
		index_endscan(scan);
		index_close(index, AccessShareLock);
	}
	else
	{
		TableScanDesc scan;

		ScanKeyInit(&key, active, BTEqualStrategyNumber, F_BOOLEQ, BoolGetDatum(false));
		scan = table_beginscan(rel, snapshot, 1, &key);
		while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
			append_id(&ids, count, &allocated, DatumGetUUIDP(slot_getattr(slot, id, &isnull)));
		table_endscan(scan);
	}
	ExecDropSingleTupleTableSlot(slot);
	qsort(ids, *count, sizeof(pg_uuid_t), search_compare_id_pointers);
	return ids;
}

/* Does this trigger note whatever it is of, whoever makes the change and wherever? */
static bool
is_faithful(const Trigger *trigger)
{
	FmgrInfo	function;

	if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS || trigger->tgqual != NULL ||
		trigger->tgnattr != 0 || trigger->tgdeferrable || !TRIGGER_FOR_ROW(trigger->tgtype) ||
		!TRIGGER_FOR_INSERT(trigger->tgtype) || !TRIGGER_FOR_UPDATE(trigger->tgtype) ||
		!TRIGGER_FOR_DELETE(trigger->tgtype))
		return false;
	fmgr_info(trigger->tgfoid, &function);
	return function.fn_addr == padlock_search_note_companies;
}

/* Is every change of the companies noted? */
static bool
is_noted(Relation companies)
{
	const TriggerDesc *triggers = companies->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (is_faithful(&triggers->triggers[i]))
			return true;
	}
	return false;
}

/* Is the list that is kept the one of these marks? */
static bool
is_kept(Relation companies, const int64 *marks, int nmarks)
{
	return nmarks > 0 && nmarks == kept_nmarks && kept_table == RelationGetRelid(companies) &&
		kept_message == messages && memcmp(marks, kept_marks, nmarks * sizeof(int64)) == 0;
}

/* Read the list, and keep it as the one of these marks. */
static void
renew_list(Relation companies, Snapshot snapshot, const int64 *marks, int nmarks)
{
	pg_uuid_t  *ids;
	int			count;

	kept_nmarks = 0;
	kept_table = RelationGetRelid(companies);
	kept_message = messages;
	ids = read_list(companies, snapshot, &count);
	if (kept_context == NULL)
		kept_context = AllocSetContextCreate(TopMemoryContext, "padlock search companies",
											 ALLOCSET_SMALL_SIZES);
	MemoryContextReset(kept_context);
	kept_ids = memcpy(MemoryContextAllocHuge(kept_context, Max(count, 1) * sizeof(pg_uuid_t)),
					  ids, count * sizeof(pg_uuid_t));
	kept_count = count;
	pfree(ids);
	if (nmarks == 0)
		return;
	kept_marks = memcpy(MemoryContextAlloc(kept_context, nmarks * sizeof(int64)), marks,
						nmarks * sizeof(int64));
	kept_nmarks = nmarks;
}

const pg_uuid_t *
search_inactive_companies(Snapshot snapshot, const int64 *marks, int nmarks, int *count)
{
	Relation	rel = table_open(padlock_client_table("insurance_companies"), AccessShareLock);

	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		nmarks = 0;
	if (!is_kept(rel, marks, nmarks))
		renew_list(rel, snapshot, marks, is_noted(rel) ? nmarks : 0);
	table_close(rel, AccessShareLock);
	*count = kept_count;
	return kept_ids;
}

/* Is the company of a row not active, and which one is it?  False without a row. */
static bool
is_inactive(Relation companies, TupleTableSlot *slot, pg_uuid_t *id)
{
	bool		isnull;

	if (slot == NULL)
		return false;
	*id = *DatumGetUUIDP(slot_getattr(slot, search_find_column(companies, &id_column), &isnull));
	return !DatumGetBool(slot_getattr(slot, search_company_active(companies), &isnull));
}

/* Does a trigger's row leave or enter the list? */
static bool
changes_list(TriggerData *trigger)
{
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	bool		insert = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	pg_uuid_t	old_id;
	pg_uuid_t	new_id;
	bool		was = is_inactive(trigger->tg_relation, insert ? NULL : trigger->tg_trigslot, &old_id);
	bool		is = is_inactive(trigger->tg_relation, update ? trigger->tg_newslot :
								 insert ? trigger->tg_trigslot : NULL, &new_id);

	return was != is || (was && search_compare_ids(&old_id, &new_id) != 0);
}

/*
 * padlock.search_note_companies() trigger: AFTER INSERT, UPDATE or DELETE FOR
 * EACH ROW.  Notes that the list of companies that are not active changed, unless
 * this transaction has done so.
 */
Datum
padlock_search_note_companies(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	static const pg_uuid_t none;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("search_note_companies must be fired AFTER a change FOR EACH ROW")));
	if (noted || !changes_list(trigger))
		return PointerGetDatum(NULL);
	search_changes_add(&none, 0);
	noted = true;
	return PointerGetDatum(NULL);
}
