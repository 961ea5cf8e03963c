/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  The triggers that tell the index which products changed.
 *
 * They run in the transaction of the change, so that the note is visible
 * exactly where the change is.  Those of statements run once a statement: one
 * of few products writes their ids; one of many writes a segment of its own, so
 * that a bulk load can be searched at once when it commits.
 *
 * Logical replication fires no triggers of statements, nor does a statement on
 * a parent table fire those of its children.  So there is a trigger of rows,
 * too, which always fires, but notes only what the others may not hear of: in
 * a replica (session_replication_role), or when the table has a parent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "search/build.h"
#include "search/cache.h"
#include "search/changes.h"
#include "search/merge.h"
#include "search/products.h"
#include "search/view_segments.h"

/* Ids in a row of search_changes: they fit a tuple without TOAST. */
#define IDS_A_CHANGE	100

/* A statement of more products than this writes a segment; less in tests. */
static int	bulk_products = 2000;

/* Products that a segment of a bulk statement removes from older ones, at most. */
#define BULK_KILLED		65536

static bool wrote_changes = false;

PG_FUNCTION_INFO_V1(padlock_search_note_changes);

void
search_changes_add(const pg_uuid_t *products, int nproducts)
{
	search_store_add_change(products, nproducts);
	wrote_changes = true;
}

/* Do two versions of a product differ in nothing that the index holds? */
static bool
is_same_to_search(const SearchProductShape *shape, TupleTableSlot *before, TupleTableSlot *after)
{
	for (int i = 0; i < PRODUCT_COLUMNS; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(after->tts_tupleDescriptor,
													shape->numbers[i] - 1);
		bool		was_null;
		bool		is_null;
		Datum		was = search_product_value(shape, before, i, &was_null);
		Datum		is = search_product_value(shape, after, i, &is_null);

		if (was_null != is_null ||
			(!was_null && !datum_image_eq(was, is, attribute->attbyval, attribute->attlen)))
			return false;
	}
	return true;
}

/* The rows of a statement: before and after, in step. */
typedef struct Rows
{
	SearchProductShape shape;
	Tuplestorestate *stores[2]; /* before, after; NULL when there is none */
	TupleTableSlot *slots[2];
} Rows;

static void
open_rows(Rows *rows, TriggerData *trigger)
{
	rows->stores[0] = trigger->tg_oldtable;
	rows->stores[1] = trigger->tg_newtable;
	search_product_shape(&rows->shape, trigger->tg_relation);
	for (int i = 0; i < 2; i++)
	{
		int			pointer;

		if (rows->stores[i] == NULL)
			continue;
		rows->slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(trigger->tg_relation),
												  &TTSOpsMinimalTuple);
		/* other triggers read the same rows with pointers of their own */
		pointer = tuplestore_alloc_read_pointer(rows->stores[i], EXEC_FLAG_REWIND);
		tuplestore_select_read_pointer(rows->stores[i], pointer);
		tuplestore_rescan(rows->stores[i]);
	}
}

static void
close_rows(Rows *rows)
{
	for (int i = 0; i < 2; i++)
	{
		if (rows->stores[i] == NULL)
			continue;
		ExecDropSingleTupleTableSlot(rows->slots[i]);
		tuplestore_select_read_pointer(rows->stores[i], 0);
	}
}

static bool
next_of(Rows *rows, int which)
{
	return rows->stores[which] != NULL &&
		tuplestore_gettupleslot(rows->stores[which], true, false, rows->slots[which]);
}

/*
 * Must search hear of a change?  *before, *after: the row's versions, or NULL;
 * those that neither were nor are in the index become NULL.
 */
static bool
concerns_search(const SearchProductShape *shape, TupleTableSlot **before, TupleTableSlot **after)
{
	if (*before != NULL && *after != NULL && is_same_to_search(shape, *before, *after))
		return false;
	if (*before != NULL && !search_product_is_active(shape, *before))
		*before = NULL;
	if (*after != NULL && !search_product_is_active(shape, *after))
		*after = NULL;
	return *before != NULL || *after != NULL;
}

/*
 * The next row that search must hear of; *before, *after: its versions that
 * were or are in the index, or NULL.  False at the end.
 */
static bool
next_row(Rows *rows, TupleTableSlot **before, TupleTableSlot **after)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		*before = next_of(rows, 0) ? rows->slots[0] : NULL;
		*after = next_of(rows, 1) ? rows->slots[1] : NULL;
		if (*before == NULL && *after == NULL)
			return false;
		if (concerns_search(&rows->shape, before, after))
			return true;
	}
}

static pg_uuid_t
row_id(const SearchProductShape *shape, TupleTableSlot *slot)
{
	bool		isnull;

	return *DatumGetUUIDP(search_product_value(shape, slot, PRODUCT_ID, &isnull));
}

/* The ids of a row's versions, one or two of them; returns how many. */
static int
row_ids(const SearchProductShape *shape, TupleTableSlot *before, TupleTableSlot *after,
		pg_uuid_t *ids)
{
	int			n = 0;

	if (before != NULL)
		ids[n++] = row_id(shape, before);
	/* an update may give a product another id */
	if (after != NULL)
		ids[n++] = row_id(shape, after);
	return n == 2 && search_compare_ids(&ids[0], &ids[1]) == 0 ? 1 : n;
}

/* Write the ids of the rows. */
static void
note_rows(Rows *rows)
{
	pg_uuid_t	ids[IDS_A_CHANGE];
	int			n = 0;
	TupleTableSlot *before;
	TupleTableSlot *after;

	while (next_row(rows, &before, &after))
	{
		if (n + 2 > IDS_A_CHANGE)
		{
			search_changes_add(ids, n);
			n = 0;
		}
		n += row_ids(&rows->shape, before, after, ids + n);
	}
	if (n > 0)
		search_changes_add(ids, n);
}

/* Write the segment of a part of the rows. */
static void
write_bulk_segment(SearchBuilder *builder, pg_uuid_t *killed, int nkilled)
{
	SearchSegmentRow row = {.bulk = true};
	SearchSegment *segment;

	qsort(killed, nkilled, sizeof(pg_uuid_t), search_compare_id_pointers);
	segment = search_builder_finish(builder, killed, search_unique_ids(killed, nkilled));
	row.position = search_store_next_position();
	search_store_write(&row, segment);
	search_cache_publish(&row, segment);
	pfree(segment);
	wrote_changes = true;
}

/* Write segments of the rows. */
static void
index_rows(Rows *rows)
{
	SearchStatistics statistics = search_current_statistics(GetActiveSnapshot());
	SearchBuilder *builder = search_builder_create(CurrentMemoryContext, &statistics);
	pg_uuid_t  *killed = palloc(BULK_KILLED * sizeof(pg_uuid_t));
	int			nkilled = 0;
	TupleTableSlot *before;
	TupleTableSlot *after;

	while (next_row(rows, &before, &after))
	{
		if (before != NULL)
			killed[nkilled++] = row_id(&rows->shape, before);
		if (after != NULL)
			search_builder_add(builder, &rows->shape, after);
		if (nkilled == BULK_KILLED || search_builder_is_full(builder, search_cache_largest()))
		{
			write_bulk_segment(builder, killed, nkilled);
			nkilled = 0;
		}
	}
	if (nkilled > 0 || search_builder_documents(builder) > 0)
		write_bulk_segment(builder, killed, nkilled);
	search_builder_destroy(builder);
	pfree(killed);
}

/* Write what a statement changed. */
static void
note_statement(TriggerData *trigger)
{
	Tuplestorestate *store = trigger->tg_newtable ? trigger->tg_newtable : trigger->tg_oldtable;
	Rows		rows = {0};

	if (tuplestore_tuple_count(store) == 0)
		return;
	open_rows(&rows, trigger);
	if (tuplestore_tuple_count(store) > bulk_products)
		index_rows(&rows);
	else
		note_rows(&rows);
	close_rows(&rows);
}

/* Write what a statement changed of one row. */
static void
note_row(TriggerData *trigger)
{
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	bool		insert = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	TupleTableSlot *before = insert ? NULL : trigger->tg_trigslot;
	TupleTableSlot *after = update ? trigger->tg_newslot : insert ? trigger->tg_trigslot : NULL;
	SearchProductShape shape;
	pg_uuid_t	ids[2];

	search_product_shape(&shape, trigger->tg_relation);
	if (!concerns_search(&shape, &before, &after))
		return;
	search_changes_add(ids, row_ids(&shape, before, after, ids));
}

/*
 * May a row be changed without the triggers of statements?  Asked once for all
 * rows of a statement.
 */
static bool
is_out_of_hearing(FmgrInfo *call, Relation products)
{
	bool	   *answer = call->fn_extra;

	if (answer == NULL)
	{
		answer = call->fn_extra = MemoryContextAlloc(call->fn_mcxt, sizeof(bool));
		*answer = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ||
			has_superclass(RelationGetRelid(products));
	}
	return *answer;
}

static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		(TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) &&
		 !TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) && trigger->tg_oldtable == NULL &&
		 trigger->tg_newtable == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("search_note_changes must be fired AFTER a change, with transition tables unless FOR EACH ROW")));
}

/*
 * padlock.search_note_changes() trigger: AFTER INSERT, UPDATE or DELETE FOR
 * EACH STATEMENT with transition tables, AFTER each of them FOR EACH ROW, and
 * AFTER TRUNCATE.
 */
Datum
padlock_search_note_changes(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	check_trigger(fcinfo);
	/* as a rule the trigger of the statement notes all of its rows at once */
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event) &&
		!is_out_of_hearing(fcinfo->flinfo, trigger->tg_relation))
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		search_changes_add(NULL, 0);
	else if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		note_statement(trigger);
	else
		note_row(trigger);
	if (wrote_changes)
		search_merge_if_behind();
	return PointerGetDatum(NULL);
}

/* Transaction callback: tell the workers that there is something to merge. */
static void
count_changes_at_commit(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && wrote_changes)
		search_changes_count();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wrote_changes = false;
}

void
search_changes_init(void)
{
	DefineCustomIntVariable("padlock.search_bulk_products",
							"A statement that writes more products adds a segment of its own.",
							"For tests of padlock itself.",
							&bulk_products, bulk_products, 1, 1000000,
							PGC_SUSET, GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL, NULL, NULL, NULL);
	RegisterXactCallback(count_changes_at_commit, NULL);
}
