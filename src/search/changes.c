/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  The trigger that tells the index which products changed.
 *
 * It runs once a statement, in the transaction of the change, so that the
 * note is visible exactly where the change is.  A statement of few products
 * writes their ids; one of many writes a segment of its own, so that a bulk
 * load can be searched at once when it commits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "search/build.h"
#include "search/cache.h"
#include "search/merge.h"
#include "search/products.h"
#include "search/search.h"
#include "search/view_segments.h"

/* Ids in a row of search_changes: they fit a tuple without TOAST. */
#define IDS_A_CHANGE	100

/* A statement of more products than this writes a segment. */
#define BULK_PRODUCTS	2000

/* Products that a segment of a bulk statement removes from older ones, at most. */
#define BULK_KILLED		65536

static bool wrote_changes = false;

PG_FUNCTION_INFO_V1(padlock_search_note_changes);

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
		if (*before != NULL && *after != NULL && is_same_to_search(&rows->shape, *before, *after))
			continue;
		if (*before != NULL && !search_product_is_active(&rows->shape, *before))
			*before = NULL;
		if (*after != NULL && !search_product_is_active(&rows->shape, *after))
			*after = NULL;
		if (*before != NULL || *after != NULL)
			return true;
	}
}

static pg_uuid_t
row_id(const Rows *rows, TupleTableSlot *slot)
{
	bool		isnull;

	return *DatumGetUUIDP(search_product_value(&rows->shape, slot, PRODUCT_ID, &isnull));
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
			search_store_add_change(ids, n);
			n = 0;
		}
		if (before != NULL)
			ids[n++] = row_id(rows, before);
		/* an update may give a product another id */
		if (after != NULL)
			ids[n++] = row_id(rows, after);
		if (before != NULL && after != NULL && search_compare_ids(&ids[n - 2], &ids[n - 1]) == 0)
			n--;
	}
	if (n > 0)
	{
		search_store_add_change(ids, n);
		wrote_changes = true;
	}
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
			killed[nkilled++] = row_id(rows, before);
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
	if (tuplestore_tuple_count(store) > BULK_PRODUCTS)
		index_rows(&rows);
	else
		note_rows(&rows);
	close_rows(&rows);
}

/*
 * padlock.search_note_changes() trigger: AFTER INSERT, UPDATE or DELETE FOR
 * EACH STATEMENT with transition tables, and AFTER TRUNCATE.
 */
Datum
padlock_search_note_changes(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) ||
		(!TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) && trigger->tg_oldtable == NULL &&
		 trigger->tg_newtable == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("search_note_changes must be fired AFTER a change FOR EACH STATEMENT with transition tables")));

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		search_store_add_change(NULL, 0);
		wrote_changes = true;
	}
	else
		note_statement(trigger);
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
	RegisterXactCallback(count_changes_at_commit, NULL);
}
