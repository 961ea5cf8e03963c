/*-------------------------------------------------------------------------
 *
 * admin.c
 *	  The index's own functions: build, merge, status; and what the
 *	  workers do for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "search/cache.h"
#include "search/changes.h"
#include "search/companies.h"
#include "search/merge.h"
#include "search/query_log.h"
#include "search/score.h"
#include "search/search.h"
#include "search/view_segments.h"

PG_FUNCTION_INFO_V1(padlock_search_start);
PG_FUNCTION_INFO_V1(padlock_search_rebuild);
PG_FUNCTION_INFO_V1(padlock_search_merge);
PG_FUNCTION_INFO_V1(padlock_search_status);

/* How often the workers look for changes, and how often when there are none. */
#define MERGE_MS		1000
#define IDLE_MS			20000

/*
 * padlock.search_start() returns boolean: build the index unless there is
 * one; for padlock.install().  True when it was built.  Transactions that are
 * not READ COMMITTED leave it to the next merge.
 */
Datum
padlock_search_start(PG_FUNCTION_ARGS)
{
	if (search_is_built(GetActiveSnapshot()) || IsolationUsesXactSnapshot())
		PG_RETURN_BOOL(false);
	search_rebuild();
	PG_RETURN_BOOL(true);
}

/*
 * padlock.search_rebuild() returns bigint: build the index anew from the
 * table, and return the number of products in it.  Searches and changes go on
 * meanwhile; search_status() shows the progress.  For service_role and the
 * owner.  Errors: 25001 unless the transaction is READ COMMITTED, 25006 when it is
 * read only.
 */
Datum
padlock_search_rebuild(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("padlock.search_rebuild()");
	PG_RETURN_INT64(search_rebuild());
}

/*
 * padlock.search_merge() returns boolean: take changes up into the index, as
 * the background workers do.  False when there is nothing to do or another
 * session is at it.  For service_role and the owner.  Errors: 25001 unless
 * the transaction is READ COMMITTED, 25006 when it is read only.
 */
Datum
padlock_search_merge(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("padlock.search_merge()");
	PG_RETURN_BOOL(search_merge());
}

/*
 * padlock.search_status() returns (built, segments, documents, changes, size,
 * memory_used, memory, phase, done, total): the index as this snapshot sees
 * it, sizes in bytes; memory counts all databases; phase to total are of a
 * rebuild that runs, else null.  For service_role, pg_monitor and the owner.
 */
Datum
padlock_search_status(PG_FUNCTION_ARGS)
{
	Snapshot	snapshot = GetActiveSnapshot();
	SearchProgress progress;
	TupleDesc	desc;
	Datum		values[10] = {0};
	bool		nulls[10] = {false};
	int64		documents = 0;
	int64		size = 0;
	uint64		used;
	uint64		memory;
	int			nrows;
	int			nchanges;
	SearchSegmentRow *rows = search_store_segments(snapshot, &nrows);

	for (int i = 0; i < nrows; i++)
	{
		documents += rows[i].documents;
		size += rows[i].size;
	}
	(void) search_store_changes(snapshot, NULL, &nchanges);
	search_cache_usage(&used, &memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function must be called where a record is accepted")));
	values[0] = BoolGetDatum(search_is_built(snapshot));
	values[1] = Int32GetDatum(nrows);
	values[2] = Int64GetDatum(documents);
	values[3] = Int32GetDatum(nchanges);
	values[4] = Int64GetDatum(size);
	values[5] = Int64GetDatum((int64) used);
	values[6] = Int64GetDatum((int64) memory);
	nulls[7] = nulls[8] = nulls[9] = !search_progress_get(&progress);
	if (!nulls[7])
	{
		values[7] = CStringGetTextDatum(progress.phase);
		values[8] = Int64GetDatum(progress.done);
		values[9] = Int64GetDatum(progress.total);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* Merge in a transaction of its own; false when another session is at it. */
static bool
merge_once(void)
{
	bool		alone = true;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (search_store_exists())
	{
		alone = search_merge_lock(false);
		if (alone)
			(void) search_merge();
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	return alone;
}

long
padlock_search_maintain(void)
{
	static uint64 seen = PG_UINT64_MAX;
	static TimestampTz merged_at = 0;
	uint64		changes = search_changes_seen();
	TimestampTz now = GetCurrentTimestamp();

	search_attend_changes();
	/* nobody counts what is committed after it was prepared */
	if (changes == seen && !TimestampDifferenceExceeds(merged_at, now, IDLE_MS))
		return IDLE_MS - TimestampDifferenceMilliseconds(merged_at, now) + 1;
	if (!TimestampDifferenceExceeds(merged_at, now, MERGE_MS))
		return MERGE_MS - TimestampDifferenceMilliseconds(merged_at, now) + 1;
	merged_at = now;
	if (merge_once())
		seen = changes;
	return MERGE_MS;
}

void
padlock_search_init(void)
{
	DefineCustomRealVariable("padlock.search_popularity_boost",
							 "How much a popularity of 100 raises a product's relevance.",
							 "0.1 is a tenth; in proportion for less popularity.",
							 &search_popularity_boost, search_popularity_boost, 0, 1,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("padlock.search_freshness_boost",
							 "How much being new raises a product's relevance.",
							 "It halves with every padlock.search_freshness_half_life.",
							 &search_freshness_boost, search_freshness_boost, 0, 1,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.search_freshness_half_life",
							"Days in which padlock.search_freshness_boost halves.", NULL,
							&search_freshness_half_life, search_freshness_half_life, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	search_cache_init();
	search_changes_init();
	search_companies_init();
	search_log_init();
}
