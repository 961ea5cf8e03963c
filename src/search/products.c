/*-------------------------------------------------------------------------
 *
 * products.c
 *	  Reading of products and companies under a given snapshot.
 *
 * Everything here reads past row security: search serves everybody by one
 * rule, active products of active companies.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "core/spi.h"
#include "search/products.h"

static const SearchColumn id_column = {"id", UUIDOID, true};
static const SearchColumn active_column = {"is_active", BOOLOID, true};

/* The tables that search reads. */
static const char *const source_tables[] = {"insurance_products", "insurance_companies"};

bool
search_products_lock(bool wait)
{
	for (int i = 0; i < lengthof(source_tables); i++)
	{
		Oid			relid = padlock_client_table(source_tables[i]);

		if (wait)
			LockRelationOid(relid, AccessShareLock);
		else if (!ConditionalLockRelationOid(relid, AccessShareLock))
			return false;
	}
	return true;
}

/* The file of a table as a snapshot sees it; InvalidOid before there was one. */
static Oid
file_seen(Oid relid, Snapshot snapshot)
{
	Relation	catalog = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			file = InvalidOid;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, ClassOidIndexId, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		file = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return file;
}

/*
 * Was a table truncated or rewritten after the snapshot was taken?  Either
 * gives it another file, without the rows that the snapshot should see.
 */
static bool
was_rewritten(Oid relid, Snapshot snapshot)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	TransactionId writer;
	Oid			file;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	writer = HeapTupleHeaderGetXmin(tuple->t_data);
	file = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
	ReleaseSysCache(tuple);
	return XidInMVCCSnapshot(writer, snapshot) && file_seen(relid, snapshot) != file;
}

/* The table of which that is so, or NULL. */
static const char *
find_rewritten(Snapshot snapshot)
{
	for (int i = 0; i < lengthof(source_tables); i++)
	{
		if (was_rewritten(padlock_client_table(source_tables[i]), snapshot))
			return source_tables[i];
	}
	return NULL;
}

void
search_products_push_snapshot(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	const char *table;

	(void) search_products_lock(true);
	table = find_rewritten(snapshot);
	if (table == NULL)
		PushActiveSnapshot(snapshot);
	else if (!IsolationUsesXactSnapshot())
		PushActiveSnapshot(GetLatestSnapshot());
	else
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not read table \"%s\" as this snapshot saw it", table),
				 errdetail("The table was truncated or rewritten after the snapshot was taken."),
				 errhint("The transaction might succeed if retried.")));
}

void
search_lookup_open(SearchLookup *lookup, const char *table, Snapshot snapshot)
{
	AttrNumber	id;
	Oid			key;

	lookup->rel = table_open(padlock_client_table(table), AccessShareLock);
	key = RelationGetPrimaryKeyIndex(lookup->rel);
	if (!OidIsValid(key))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no primary key", RelationGetRelationName(lookup->rel)),
				 errhint("Add the primary key on id back.")));
	id = search_find_column(lookup->rel, &id_column);
	lookup->index = index_open(key, AccessShareLock);
	if (lookup->index->rd_index->indkey.values[0] != id)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the primary key of table \"%s\" is not on column \"%s\"",
						RelationGetRelationName(lookup->rel), id_column.name),
				 errhint("Add the primary key on id back.")));
	lookup->slot = table_slot_create(lookup->rel, NULL);
	lookup->scan = index_beginscan(lookup->rel, lookup->index, snapshot, 1, 0);
}

bool
search_lookup_find(SearchLookup *lookup, const pg_uuid_t *id)
{
	ScanKeyData key;

	CHECK_FOR_INTERRUPTS();
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	index_rescan(lookup->scan, &key, 1, NULL, 0);
	return index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot);
}

void
search_lookup_close(SearchLookup *lookup)
{
	index_endscan(lookup->scan);
	ExecDropSingleTupleTableSlot(lookup->slot);
	index_close(lookup->index, AccessShareLock);
	table_close(lookup->rel, AccessShareLock);
}

void
search_products_open(SearchProducts *products, Snapshot snapshot)
{
	search_lookup_open(&products->table, "insurance_products", snapshot);
	search_product_shape(&products->shape, products->table.rel);
}

void
search_products_close(SearchProducts *products)
{
	search_lookup_close(&products->table);
}

void
search_products_scan(Snapshot snapshot, SearchProductVisitor visit, void *arg)
{
	Relation	rel = table_open(padlock_client_table("insurance_products"), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan_strat(rel, snapshot, 0, NULL, true, false);
	SearchProductShape shape;

	search_product_shape(&shape, rel);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (search_product_is_active(&shape, slot) && !visit(&shape, slot, arg))
			break;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
}

int64
search_products_estimate(void)
{
	Relation	rel = table_open(padlock_client_table("insurance_products"), AccessShareLock);
	int64		estimate = rel->rd_rel->reltuples > 0 ? (int64) rel->rd_rel->reltuples : 0;

	table_close(rel, AccessShareLock);
	return estimate;
}

AttrNumber
search_company_active(Relation companies)
{
	return search_find_column(companies, &active_column);
}

int
search_compare_id_pointers(const void *a, const void *b)
{
	return search_compare_ids(a, b);
}

int
search_unique_ids(pg_uuid_t *sorted, int count)
{
	int			n = 0;

	for (int i = 0; i < count; i++)
	{
		if (n == 0 || search_compare_ids(&sorted[n - 1], &sorted[i]) != 0)
			sorted[n++] = sorted[i];
	}
	return n;
}
