/*-------------------------------------------------------------------------
 *
 * store.c
 *	  The index's tables, read and written without SQL.
 *
 * The index is ordinary rows, so that transactions, WAL, replicas and dumps
 * treat it like any table: a snapshot sees the segments and changes of its
 * moment, and what a merge removed stays readable for those who saw it.
 *
 * Rows are written straight into the tables, as their owner's code may: a
 * company that changes its product may not write here itself.
 *
 * Transactions tell which changes a merge has seen.  Every change carries its
 * transaction; a merge keeps its snapshot: the first transaction that had not
 * begun (resume_xid) and the ones before it that were running.  Readers look at
 * the changes of these only, past all the dead rows that an old snapshot or
 * writer may keep.  In another cluster, after a restore, transactions have other
 * numbers: then everything is read.
 *
 * Locking contract: a merge holds ShareUpdateExclusiveLock on search_segments
 * to the end of its transaction.  It conflicts with itself and with vacuum,
 * not with readers or writers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "search/store.h"

#define SEGMENTS_TABLE	"search_segments"
#define BLOCKS_TABLE	"search_blocks"
#define BLOCKS_INDEX	"search_blocks_pkey"
#define CHANGES_TABLE	"search_changes"

/* A block's row fills a page: a tuple's header, the key, and the bytes. */
#define BLOCK_SIZE		(MAXALIGN_DOWN(MaxHeapTupleSize) - MAXALIGN(SizeofHeapTupleHeader) - \
						 sizeof(int64) - sizeof(int32) - VARHDRSZ)

enum
{
	SEGMENT_ID = 1, SEGMENT_POSITION, SEGMENT_BULK, SEGMENT_DOCUMENTS, SEGMENT_SIZE,
	SEGMENT_RESUME_XID, SEGMENT_RUNNING, SEGMENT_SYSTEM, SEGMENT_STATISTICS_DOCUMENTS,
	SEGMENT_AVERAGE_LENGTHS, SEGMENT_CREATED_AT, SEGMENT_COLUMNS = SEGMENT_CREATED_AT
};

enum
{
	BLOCK_SEGMENT = 1, BLOCK_NUMBER, BLOCK_DATA, BLOCK_COLUMNS = BLOCK_DATA
};

enum
{
	CHANGE_ID = 1, CHANGE_XID, CHANGE_PRODUCTS, CHANGE_COLUMNS = CHANGE_PRODUCTS
};

/* OID of a table of schema padlock, or InvalidOid. */
static Oid
find_table(const char *name)
{
	Oid			schema = get_namespace_oid("padlock", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

static Relation
open_table(const char *name, LOCKMODE mode)
{
	Oid			relid = find_table(name);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"padlock.%s\" does not exist", name),
				 errhint("Run SELECT padlock.install() as the owner of the extension.")));
	return table_open(relid, mode);
}

bool
search_store_exists(void)
{
	return OidIsValid(find_table(SEGMENTS_TABLE)) && OidIsValid(find_table(BLOCKS_TABLE)) &&
		OidIsValid(find_table(CHANGES_TABLE));
}

bool
search_store_lock(bool wait)
{
	Oid			relid = find_table(SEGMENTS_TABLE);

	if (!OidIsValid(relid))
		return false;
	if (!wait)
		return ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock);
	LockRelationOid(relid, ShareUpdateExclusiveLock);
	return true;
}

int64
search_store_system(void)
{
	return (int64) GetSystemIdentifier();
}

static int
compare_segment_rows(const void *a, const void *b)
{
	int64		left = ((const SearchSegmentRow *) a)->position;
	int64		right = ((const SearchSegmentRow *) b)->position;

	return (left > right) - (left < right);
}

/* Copy the running transactions out of a segment's row. */
static void
read_running(SearchSegmentRow *row, Datum value)
{
	ArrayType  *array = DatumGetArrayTypePCopy(value);

	StaticAssertStmt(sizeof(FullTransactionId) == sizeof(uint64), "xid8 is a number");
	row->nrunning = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	row->running = (const uint64 *) ARR_DATA_PTR(array);
}

/* Copy the statistics out of a segment's row; what another version wrote is none. */
static void
read_statistics(SearchStatistics *statistics, Datum documents, Datum averages)
{
	ArrayType  *array = DatumGetArrayTypeP(averages);

	memset(statistics, 0, sizeof(SearchStatistics));
	if (ARR_ELEMTYPE(array) != FLOAT4OID || ARR_HASNULL(array) ||
		ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) != SEARCH_FIELDS)
		return;
	statistics->documents = (uint32) DatumGetInt64(documents);
	memcpy(statistics->average_length, ARR_DATA_PTR(array), sizeof(statistics->average_length));
}

static void
read_segment_row(SearchSegmentRow *row, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	row->id = DatumGetInt64(slot->tts_values[SEGMENT_ID - 1]);
	row->position = DatumGetInt64(slot->tts_values[SEGMENT_POSITION - 1]);
	row->bulk = DatumGetBool(slot->tts_values[SEGMENT_BULK - 1]);
	row->documents = DatumGetInt32(slot->tts_values[SEGMENT_DOCUMENTS - 1]);
	row->size = DatumGetInt64(slot->tts_values[SEGMENT_SIZE - 1]);
	row->resume_xid = U64FromFullTransactionId(
		DatumGetFullTransactionId(slot->tts_values[SEGMENT_RESUME_XID - 1]));
	read_running(row, slot->tts_values[SEGMENT_RUNNING - 1]);
	row->system = DatumGetInt64(slot->tts_values[SEGMENT_SYSTEM - 1]);
	read_statistics(&row->statistics, slot->tts_values[SEGMENT_STATISTICS_DOCUMENTS - 1],
					slot->tts_values[SEGMENT_AVERAGE_LENGTHS - 1]);
	row->tid = slot->tts_tid;
}

SearchSegmentRow *
search_store_segments(Snapshot snapshot, int *count)
{
	Relation	rel = open_table(SEGMENTS_TABLE, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	int			allocated = 16;
	SearchSegmentRow *rows = palloc(allocated * sizeof(SearchSegmentRow));

	*count = 0;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		if (*count == allocated)
			rows = repalloc(rows, (allocated *= 2) * sizeof(SearchSegmentRow));
		read_segment_row(&rows[(*count)++], slot);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	qsort(rows, *count, sizeof(SearchSegmentRow), compare_segment_rows);
	return rows;
}

static int
compare_change_rows(const void *a, const void *b)
{
	int64		left = ((const SearchChangeRow *) a)->id;
	int64		right = ((const SearchChangeRow *) b)->id;

	return (left > right) - (left < right);
}

/* Copy a change out of its slot. */
static void
read_change_row(SearchChangeRow *row, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value;

	row->id = DatumGetInt64(slot_getattr(slot, CHANGE_ID, &isnull));
	row->tid = slot->tts_tid;
	row->products = NULL;
	row->nproducts = 0;
	value = slot_getattr(slot, CHANGE_PRODUCTS, &isnull);
	row->truncated = isnull;
	if (!isnull)
	{
		ArrayType  *array = DatumGetArrayTypePCopy(value);

		row->nproducts = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
		row->products = (const pg_uuid_t *) ARR_DATA_PTR(array);
	}
}

/* The index of a table by its name; missing ones are missed loudly. */
static Relation
open_index(const char *name)
{
	Oid			relid = find_table(name);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("index \"padlock.%s\" does not exist", name),
				 errhint("Run SELECT padlock.install() as the owner of the extension.")));
	return index_open(relid, AccessShareLock);
}

/* A growing list of changes. */
typedef struct Changes
{
	SearchChangeRow *rows;
	int			count;
	int			allocated;
} Changes;

/* Add the changes whose transactions compare so with one. */
static void
scan_changes(Changes *changes, IndexScanDesc scan, TupleTableSlot *slot,
			 StrategyNumber strategy, RegProcedure comparison, uint64 xid)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, strategy, comparison,
				FullTransactionIdGetDatum(FullTransactionIdFromU64(xid)));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		if (changes->count == changes->allocated)
			changes->rows = repalloc(changes->rows,
									 (changes->allocated *= 2) * sizeof(SearchChangeRow));
		read_change_row(&changes->rows[changes->count++], slot);
	}
}

SearchChangeRow *
search_store_changes(Snapshot snapshot, const SearchSegmentRow *merged, int *count)
{
	Relation	rel = open_table(CHANGES_TABLE, AccessShareLock);
	Relation	index = open_index("search_changes_pkey");
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	IndexScanDesc scan = index_beginscan(rel, index, snapshot, 1, 0);
	Changes		changes = {.allocated = 16};

	changes.rows = palloc(changes.allocated * sizeof(SearchChangeRow));
	for (int i = 0; merged != NULL && i < merged->nrunning; i++)
		scan_changes(&changes, scan, slot, BTEqualStrategyNumber, F_XID8EQ, merged->running[i]);
	scan_changes(&changes, scan, slot, BTGreaterEqualStrategyNumber, F_XID8GE,
				 merged != NULL ? merged->resume_xid : 0);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	qsort(changes.rows, changes.count, sizeof(SearchChangeRow), compare_change_rows);
	*count = changes.count;
	return changes.rows;
}

/* Walk over a segment's blocks in their order. */
typedef struct BlockScan
{
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} BlockScan;

void
search_store_lock_blocks(void)
{
	table_close(open_table(BLOCKS_TABLE, AccessShareLock), NoLock);
	index_close(open_index(BLOCKS_INDEX), NoLock);
}

static void
begin_block_scan(BlockScan *blocks, int64 segment, Snapshot snapshot)
{
	ScanKeyData key;

	blocks->rel = open_table(BLOCKS_TABLE, AccessShareLock);
	blocks->index = open_index(BLOCKS_INDEX);
	blocks->slot = table_slot_create(blocks->rel, NULL);
	blocks->scan = index_beginscan(blocks->rel, blocks->index, snapshot, 1, 0);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(segment));
	index_rescan(blocks->scan, &key, 1, NULL, 0);
}

static bool
next_block_row(BlockScan *blocks)
{
	CHECK_FOR_INTERRUPTS();
	return index_getnext_slot(blocks->scan, ForwardScanDirection, blocks->slot);
}

static void
end_block_scan(BlockScan *blocks)
{
	index_endscan(blocks->scan);
	ExecDropSingleTupleTableSlot(blocks->slot);
	index_close(blocks->index, AccessShareLock);
	table_close(blocks->rel, AccessShareLock);
}

void
search_store_read(const SearchSegmentRow *row, Snapshot snapshot, void *memory)
{
	BlockScan	blocks;
	int64		used = 0;

	begin_block_scan(&blocks, row->id, snapshot);
	while (next_block_row(&blocks))
	{
		bool		isnull;
		bytea	   *data = DatumGetByteaPP(slot_getattr(blocks.slot, BLOCK_DATA, &isnull));
		int			length = VARSIZE_ANY_EXHDR(data);

		if (used + length > row->size)
			break;
		memcpy((char *) memory + used, VARDATA_ANY(data), length);
		used += length;
	}
	end_block_scan(&blocks);
	search_segment_check(memory, used);
}

/* Rows being inserted into a table. */
typedef struct Inserter
{
	Relation	rel;
	CatalogIndexState indexes;
} Inserter;

static void
begin_insert(Inserter *inserter, const char *table)
{
	inserter->rel = open_table(table, RowExclusiveLock);
	inserter->indexes = CatalogOpenIndexes(inserter->rel);
}

static void
insert_row(Inserter *inserter, Datum *values, bool *nulls)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(inserter->rel), values, nulls);

	CatalogTupleInsertWithInfo(inserter->rel, tuple, inserter->indexes);
	heap_freetuple(tuple);
}

static void
end_insert(Inserter *inserter)
{
	CatalogCloseIndexes(inserter->indexes);
	table_close(inserter->rel, RowExclusiveLock);
}

static void
write_blocks(int64 segment, const char *bytes, int64 size)
{
	Inserter	inserter;
	bytea	   *data = palloc(VARHDRSZ + BLOCK_SIZE);
	int32		number = 0;

	begin_insert(&inserter, BLOCKS_TABLE);
	for (int64 at = 0; at < size; at += BLOCK_SIZE)
	{
		int			length = (int) Min(size - at, (int64) BLOCK_SIZE);
		Datum		values[BLOCK_COLUMNS];
		bool		nulls[BLOCK_COLUMNS] = {false};

		CHECK_FOR_INTERRUPTS();
		SET_VARSIZE(data, VARHDRSZ + length);
		memcpy(VARDATA(data), bytes + at, length);
		values[BLOCK_SEGMENT - 1] = Int64GetDatum(segment);
		values[BLOCK_NUMBER - 1] = Int32GetDatum(number++);
		values[BLOCK_DATA - 1] = PointerGetDatum(data);
		insert_row(&inserter, values, nulls);
	}
	end_insert(&inserter);
	pfree(data);
}

/* A number that was never a segment's before, above 0. */
static int64
random_id(void)
{
	uint64		id;

	if (!pg_strong_random(&id, sizeof(id)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number")));
	return (int64) (id >> 1) | 1;
}

/* The running transactions of a segment's row, as an array of xid8. */
static Datum
running_array(const SearchSegmentRow *row)
{
	Datum	   *elements = palloc(Max(row->nrunning, 1) * sizeof(Datum));

	for (int i = 0; i < row->nrunning; i++)
		elements[i] = FullTransactionIdGetDatum(FullTransactionIdFromU64(row->running[i]));
	return PointerGetDatum(construct_array(elements, row->nrunning, XID8OID, sizeof(uint64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* The average lengths of a segment's row, as an array of real. */
static Datum
averages_array(const SearchSegmentRow *row)
{
	Datum		elements[SEARCH_FIELDS];

	for (int i = 0; i < SEARCH_FIELDS; i++)
		elements[i] = Float4GetDatum(row->statistics.average_length[i]);
	return PointerGetDatum(construct_array(elements, SEARCH_FIELDS, FLOAT4OID, sizeof(float4),
										   true, TYPALIGN_INT));
}

void
search_store_write(SearchSegmentRow *row, SearchSegment *segment)
{
	Inserter	inserter;
	Datum		values[SEGMENT_COLUMNS];
	bool		nulls[SEGMENT_COLUMNS] = {false};

	row->id = random_id();
	row->documents = segment->ndocuments;
	row->size = segment->size;
	row->system = search_store_system();
	row->statistics = search_segment_statistics(segment);
	search_segment_seal(segment);
	write_blocks(row->id, (const char *) segment, segment->size);
	values[SEGMENT_ID - 1] = Int64GetDatum(row->id);
	values[SEGMENT_POSITION - 1] = Int64GetDatum(row->position);
	values[SEGMENT_BULK - 1] = BoolGetDatum(row->bulk);
	values[SEGMENT_DOCUMENTS - 1] = Int32GetDatum(row->documents);
	values[SEGMENT_SIZE - 1] = Int64GetDatum(row->size);
	values[SEGMENT_RESUME_XID - 1] =
		FullTransactionIdGetDatum(FullTransactionIdFromU64(row->resume_xid));
	values[SEGMENT_RUNNING - 1] = running_array(row);
	values[SEGMENT_SYSTEM - 1] = Int64GetDatum(row->system);
	values[SEGMENT_STATISTICS_DOCUMENTS - 1] = Int64GetDatum(row->statistics.documents);
	values[SEGMENT_AVERAGE_LENGTHS - 1] = averages_array(row);
	values[SEGMENT_CREATED_AT - 1] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	begin_insert(&inserter, SEGMENTS_TABLE);
	insert_row(&inserter, values, nulls);
	end_insert(&inserter);
}

static void
remove_blocks(int64 segment, Snapshot snapshot)
{
	BlockScan	blocks;

	begin_block_scan(&blocks, segment, snapshot);
	while (next_block_row(&blocks))
		simple_heap_delete(blocks.rel, &blocks.slot->tts_tid);
	end_block_scan(&blocks);
}

static void
remove_row(const char *table, ItemPointerData tid)
{
	Relation	rel = open_table(table, RowExclusiveLock);

	simple_heap_delete(rel, &tid);
	table_close(rel, RowExclusiveLock);
}

void
search_store_remove_segment(const SearchSegmentRow *row, Snapshot snapshot)
{
	remove_row(SEGMENTS_TABLE, row->tid);
	remove_blocks(row->id, snapshot);
}

void
search_store_remove_change(const SearchChangeRow *row)
{
	remove_row(CHANGES_TABLE, row->tid);
}

int64
search_store_next_position(void)
{
	Oid			relid = find_table(CHANGES_TABLE);

	return nextval_internal(getIdentitySequence(relid, CHANGE_ID, false), false);
}

void
search_store_add_change(const pg_uuid_t *products, int nproducts)
{
	Inserter	inserter;
	Datum		values[CHANGE_COLUMNS];
	bool		nulls[CHANGE_COLUMNS] = {false};

	values[CHANGE_ID - 1] = Int64GetDatum(search_store_next_position());
	values[CHANGE_XID - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	nulls[CHANGE_PRODUCTS - 1] = products == NULL;
	if (products != NULL)
	{
		Datum	   *elements = palloc(Max(nproducts, 1) * sizeof(Datum));

		for (int i = 0; i < nproducts; i++)
			elements[i] = UUIDPGetDatum(&products[i]);
		values[CHANGE_PRODUCTS - 1] =
			PointerGetDatum(construct_array(elements, nproducts, UUIDOID, UUID_LEN, false,
											TYPALIGN_CHAR));
	}
	begin_insert(&inserter, CHANGES_TABLE);
	insert_row(&inserter, values, nulls);
	end_insert(&inserter);
}
