/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  Taking changes up into segments.
 *
 * A merge reads the index and the changed products with one snapshot, writes
 * one segment and removes what went into it, in one transaction; view.c says
 * why every snapshot then sees a whole index.  It always takes the newest
 * segments: those that are not much larger than what is new, so that a
 * document is written again only as often as the index grows fivefold.
 *
 * Nobody waits for a merge but another merge.  When its process is killed,
 * its transaction never happened.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "search/build.h"
#include "search/cache.h"
#include "search/combine.h"
#include "search/merge.h"
#include "search/postings.h"
#include "search/products.h"
#include "search/view_segments.h"

/* A segment is merged with what is new unless it is so much larger. */
#define GROWTH			4

/* A segment with a smaller share of living documents is written again. */
#define MINIMUM_LIVING	0.7

/* Segments are not merged into ones of more bytes (a palloc holds 1 GB). */
#define LARGEST_SEGMENT ((int64) 700 * 1024 * 1024)

/* Products that the statistics are taken of before a rebuild. */
#define SAMPLE			10000

/* Fewer products need no statistics; more are measured again as they grow. */
#define FEW_PRODUCTS	1000

/* Products in a part of a rebuild, which bounds its memory. */
#define PART			65536

/*
 * Where no worker merges, writers do it after so many changes; a writer looks
 * how many there are once in a while.
 */
#define FAR_BEHIND		1000
#define LOOK_INTERVAL	64

/* The oldest transaction that a snapshot takes for running. */
static uint64
oldest_running(Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (snapshot->xmin > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, snapshot->xmin));
}

/*
 * Begin a merge: take the lock, then a snapshot, so that it sees all that the
 * merge before did.  False when another session has the lock.
 */
static bool
begin_merge(bool wait)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("the search index can only be merged in a READ COMMITTED transaction")));
	if (!search_store_lock(wait))
		return false;
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	return true;
}

static void
end_merge(void)
{
	PopActiveSnapshot();
	search_cache_release();
	CommandCounterIncrement();
}

static uint32
count_living(const SearchViewSegment *segment)
{
	return search_count_bits(segment->live, SEARCH_BITMAP_WORDS(segment->segment->ndocuments));
}

/*
 * The first of the segments to merge; segments[first ..] are merged, all the
 * bulk ones and the changes among them.
 */
static int
choose_first(const SearchView *view)
{
	int			first = view->nrows;
	int64		documents = count_living(&view->segments[view->nrows]);
	int64		size = 0;

	for (; first > 0 && view->rows[first - 1].bulk; first--)
	{
		documents += count_living(&view->segments[first - 1]);
		size += view->rows[first - 1].size;
	}
	for (; first > 0; first--)
	{
		uint32		living = count_living(&view->segments[first - 1]);
		bool		sparse = living < MINIMUM_LIVING * view->rows[first - 1].documents;

		if ((living > GROWTH * documents && !sparse) ||
			size + view->rows[first - 1].size > LARGEST_SEGMENT)
			break;
		documents += living;
		size += view->rows[first - 1].size;
	}
	return first;
}

/* Were all segments made with the same statistics? */
static bool
has_one_statistics(const SearchView *view)
{
	for (int i = 0; i < view->nrows; i++)
	{
		if (memcmp(view->segments[i].segment->average_length, view->statistics.average_length,
				   sizeof(view->statistics.average_length)) != 0 &&
			view->segments[i].segment->ndocuments > 0)
			return false;
	}
	return true;
}

/* Has the collection grown past what its statistics were taken of? */
static bool
has_outgrown(const SearchView *view)
{
	int64		documents = 0;

	for (int i = 0; i < view->nsegments; i++)
		documents += count_living(&view->segments[i]);
	return documents >= FEW_PRODUCTS && view->statistics.documents < SAMPLE &&
		documents > GROWTH * (int64) view->statistics.documents;
}

/* Ids of products that the merged segments remove from older ones. */
static pg_uuid_t *
collect_killed(const SearchView *view, int first, uint32 *count)
{
	Size		total = view->ntouched;
	pg_uuid_t  *killed;
	uint32		n = 0;

	for (int i = first; i < view->nrows; i++)
		total += view->segments[i].segment->nkilled;
	killed = palloc_extended(Max(total, 1) * sizeof(pg_uuid_t), MCXT_ALLOC_HUGE);
	for (int i = first; i < view->nrows; i++)
	{
		const SearchSegment *segment = view->segments[i].segment;

		memcpy(killed + n, SEARCH_SECTION(segment, SECTION_KILLED, pg_uuid_t),
			   segment->nkilled * sizeof(pg_uuid_t));
		n += segment->nkilled;
	}
	memcpy(killed + n, view->touched, view->ntouched * sizeof(pg_uuid_t));
	n += view->ntouched;
	qsort(killed, n, sizeof(pg_uuid_t), search_compare_id_pointers);
	*count = search_unique_ids(killed, n);
	return killed;
}

/* A growing list of kills. */
typedef struct Kills
{
	SearchKill *kills;
	uint32		count;
	uint32		allocated;
} Kills;

/* Look a product up in the segments that stay. */
static void
add_kills(Kills *kills, const SearchView *view, int first, const pg_uuid_t *id)
{
	for (int i = 0; i < first; i++)
	{
		int64		document = search_segment_document(view->segments[i].segment, id);

		if (document < 0)
			continue;
		if (kills->count == kills->allocated)
		{
			kills->allocated = Max(kills->allocated * 2, 256);
			kills->kills = kills->kills == NULL
				? palloc_extended(kills->allocated * sizeof(SearchKill), MCXT_ALLOC_HUGE)
				: repalloc_huge(kills->kills, kills->allocated * sizeof(SearchKill));
		}
		memset(&kills->kills[kills->count], 0, sizeof(SearchKill));
		kills->kills[kills->count].segment = view->segments[i].id;
		kills->kills[kills->count++].document = (uint32) document;
	}
}

/* Every document of the segments that stay and that the merged ones replace. */
static void
collect_kills(Kills *kills, const SearchView *view, int first, const pg_uuid_t *killed,
			  uint32 nkilled)
{
	for (uint32 i = 0; i < nkilled; i++)
		add_kills(kills, view, first, &killed[i]);
	for (int i = first; i < view->nsegments; i++)
	{
		const SearchSegment *segment = view->segments[i].segment;
		const pg_uuid_t *ids = SEARCH_SECTION(segment, SECTION_IDS, pg_uuid_t);

		for (uint32 j = 0; j < segment->ndocuments; j++)
			add_kills(kills, view, first, &ids[j]);
		CHECK_FOR_INTERRUPTS();
	}
}

/* The merged segment. */
static SearchSegment *
combine_from(const SearchView *view, int first)
{
	SearchInput *inputs = palloc(view->nsegments * sizeof(SearchInput));
	pg_uuid_t  *killed = NULL;
	uint32		nkilled = 0;
	Kills		kills = {0};
	SearchSegment *segment;

	for (int i = first; i < view->nsegments; i++)
	{
		inputs[i - first].segment = view->segments[i].segment;
		inputs[i - first].live = view->segments[i].live;
	}
	if (first > 0)
	{
		killed = collect_killed(view, first, &nkilled);
		collect_kills(&kills, view, first, killed, nkilled);
	}
	segment = search_combine(inputs, view->nsegments - first, &view->statistics, killed, nkilled,
							 kills.kills, kills.count);
	return segment;
}

/* Put a segment in the place of what went into it. */
static void
replace(const SearchView *view, int first, SearchSegment *segment)
{
	Snapshot	snapshot = GetActiveSnapshot();
	SearchSegmentRow row = {.position = search_store_next_position(),
	.resume_xid = oldest_running(snapshot)};

	search_store_write(&row, segment);
	search_cache_publish(&row, segment);
	for (int i = first; i < view->nrows; i++)
		search_store_remove_segment(&view->rows[i], snapshot);
	for (int i = 0; i < view->nvoid; i++)
		search_store_remove_segment(&view->void_rows[i], snapshot);
	for (int i = 0; i < view->nchanges; i++)
		search_store_remove_change(&view->changes[i]);
}

/* A rebuild's parts, and how far it is. */
typedef struct Rebuild
{
	SearchBuilder *builder;
	List	   *parts;
	int64		done;
	int64		total;
} Rebuild;

static bool
sample_product(const SearchProductShape *shape, TupleTableSlot *slot, void *arg)
{
	Rebuild    *rebuild = arg;

	search_builder_add(rebuild->builder, shape, slot);
	return search_builder_documents(rebuild->builder) < SAMPLE;
}

static bool
rebuild_product(const SearchProductShape *shape, TupleTableSlot *slot, void *arg)
{
	Rebuild    *rebuild = arg;

	search_builder_add(rebuild->builder, shape, slot);
	if (++rebuild->done % 1000 == 0)
		search_progress_set("products", rebuild->done, rebuild->total);
	if (search_builder_documents(rebuild->builder) == PART)
		rebuild->parts = lappend(rebuild->parts, search_builder_finish(rebuild->builder, NULL, 0));
	return true;
}

/* Combine the parts of a rebuild. */
static SearchSegment *
combine_parts(List *parts, const SearchStatistics *statistics)
{
	SearchInput *inputs = palloc(list_length(parts) * sizeof(SearchInput));
	SearchSegment *segment;
	ListCell   *cell;

	foreach(cell, parts)
	{
		inputs[foreach_current_index(cell)].segment = lfirst(cell);
		inputs[foreach_current_index(cell)].live = search_all_alive(lfirst(cell));
	}
	segment = search_combine(inputs, list_length(parts), statistics, NULL, 0, NULL, 0);
	list_free_deep(parts);
	return segment;
}

/* The segment of all products, with statistics of a sample. */
static SearchSegment *
build_anew(Snapshot snapshot)
{
	SearchStatistics statistics = {0};
	Rebuild		rebuild = {.total = search_products_estimate()};
	SearchSegment *segment;

	rebuild.builder = search_builder_create(CurrentMemoryContext, &statistics);
	search_products_scan(snapshot, sample_product, &rebuild);
	search_builder_take_sample(rebuild.builder, &statistics);
	search_products_scan(snapshot, rebuild_product, &rebuild);
	rebuild.parts = lappend(rebuild.parts, search_builder_finish(rebuild.builder, NULL, 0));
	search_builder_destroy(rebuild.builder);
	search_progress_set("combining", rebuild.done, rebuild.done);
	segment = combine_parts(rebuild.parts, &statistics);
	search_progress_set("writing", rebuild.done, rebuild.done);
	return segment;
}

/* Remove the whole index that the snapshot sees; the new one is written. */
static void
remove_all(Snapshot snapshot)
{
	int			count;
	SearchSegmentRow *rows = search_store_segments(snapshot, &count);
	SearchChangeRow *changes;

	for (int i = 0; i < count; i++)
		search_store_remove_segment(&rows[i], snapshot);
	changes = search_store_changes(snapshot, 0, &count);
	for (int i = 0; i < count; i++)
		search_store_remove_change(&changes[i]);
}

/* Rebuild under the lock, with the active snapshot; returns the documents. */
static int64
rebuild_locked(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	SearchSegmentRow row = {.resume_xid = oldest_running(snapshot)};
	SearchSegment *segment = build_anew(snapshot);
	int64		documents = segment->ndocuments;

	remove_all(snapshot);
	row.position = search_store_next_position();
	search_store_write(&row, segment);
	search_cache_publish(&row, segment);
	pfree(segment);
	search_progress_end();
	return documents;
}

int64
search_rebuild(void)
{
	int64		documents;

	(void) begin_merge(true);
	documents = rebuild_locked();
	end_merge();
	return documents;
}

/* Is there anything that a merge would take up? */
static bool
has_news(const SearchView *view)
{
	return view->nchanges > 0 || view->nvoid > 0 ||
		(view->nrows > 0 && view->rows[view->nrows - 1].bulk);
}

/* Merge under the lock, with the active snapshot. */
static bool
merge_locked(bool may_rebuild)
{
	SearchView *view;
	int			first;
	bool		consistent;

	if (!search_is_built(GetActiveSnapshot()))
	{
		if (may_rebuild)
			rebuild_locked();
		return may_rebuild;
	}
	view = search_view_make(GetActiveSnapshot(), false);
	if (!has_news(view))
		return false;
	consistent = has_one_statistics(view);
	if (may_rebuild && (!consistent || has_outgrown(view)))
	{
		rebuild_locked();
		return true;
	}
	if (!consistent)
		return false;
	first = choose_first(view);
	replace(view, first, combine_from(view, first));
	return true;
}

bool
search_merge(bool may_rebuild)
{
	MemoryContext context;
	MemoryContext old;
	bool		merged;

	if (!begin_merge(false))
		return false;
	context = AllocSetContextCreate(CurrentMemoryContext, "padlock search merge",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	merged = merge_locked(may_rebuild);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	end_merge();
	return merged;
}

void
search_merge_if_behind(void)
{
	static int	changes = 0;
	int			count;
	SearchSegmentRow *rows;
	int64		newest = 0;

	if (++changes < LOOK_INTERVAL || IsolationUsesXactSnapshot())
		return;
	changes = 0;
	rows = search_store_segments(GetActiveSnapshot(), &count);
	for (int i = 0; i < count; i++)
		newest = Max(newest, rows[i].position);
	pfree(rows);
	if (search_store_next_position() - newest > FAR_BEHIND)
		(void) search_merge(false);
}
