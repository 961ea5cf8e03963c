/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  Taking changes up into segments.
 *
 * A merge reads the index and the changed products with one snapshot, writes
 * them anew and removes what went into that, in one transaction; view.c says
 * why every snapshot then sees a whole index.  It always takes the newest
 * segments: those that are not much larger than what is newer, so that a
 * document is written again only when the index has grown by a part of it.
 *
 * No segment grows past search_cache_largest(): merges and rebuilds write
 * several, of different documents, rather than a larger one.  A full segment
 * that has lost many documents is written again by itself, in its old place.
 *
 * Nobody waits for a merge but another merge.  Workers merge; where none do,
 * writers merge in small steps.  When the process of a merge is killed, its
 * transaction never happened.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
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

/* Products that the statistics are taken of before a rebuild. */
#define SAMPLE			10000

/* Average lengths that differ by less are the same to ranking. */
#define SAME_LENGTH		0.05f

/* Fewer products need no statistics; more are measured again as they grow. */
#define FEW_PRODUCTS	1000

/*
 * Where no worker merges, writers do it after so many changes, in steps that
 * write so many products at most; what cannot be done in one waits until there
 * are many more changes.  A writer looks how many once in a while.
 */
#define FAR_BEHIND		1000
#define STEP_PRODUCTS	25000
#define TOO_FAR_BEHIND	10000
#define LOOK_INTERVAL	64

/* The transactions whose changes a snapshot does not see: see store.c. */
typedef struct Unseen
{
	uint64		from;			/* this one and all later ones */
	int			nrunning;
	uint64	   *running;		/* before it */
} Unseen;

/* A transaction of a snapshot, or our own, with its epoch. */
static uint64
full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

/*
 * What a merge with a snapshot leaves to others: the merge's own transaction may
 * write more, and no snapshot has that among the running ones.
 */
static Unseen
find_unseen(Snapshot snapshot)
{
	TransactionId own = GetTopTransactionIdIfAny();
	Unseen		unseen = {full_xid(snapshot->xmax)};

	unseen.running = palloc((snapshot->xcnt + 1) * sizeof(uint64));
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		unseen.running[unseen.nrunning++] = full_xid(snapshot->xip[i]);
	if (TransactionIdIsValid(own) && TransactionIdPrecedes(own, snapshot->xmax))
		unseen.running[unseen.nrunning++] = full_xid(own);
	return unseen;
}

bool
search_merge_lock(bool wait)
{
	return search_products_lock(wait) && search_store_lock(wait);
}

/*
 * Begin a merge or, waiting for one that runs, a rebuild: take the locks, then a
 * snapshot, so that it sees all that the merge before did, and the rows as
 * whoever rewrote the tables left them.  False when another session has the
 * locks.
 */
static bool
begin_merge(bool wait)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("the search index can only be %s in a READ COMMITTED transaction",
						wait ? "rebuilt" : "merged"),
				 errhint("Start it with BEGIN ISOLATION LEVEL READ COMMITTED.")));
	if (!search_merge_lock(wait))
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

/* About how many bytes the living documents of a segment take. */
static int64
living_size(const SearchSegment *segment, uint32 living)
{
	return (int64) ((double) segment->size * living / Max(segment->ndocuments, 1));
}

static bool
is_sparse(const SearchViewSegment *segment)
{
	return count_living(segment) < MINIMUM_LIVING * segment->segment->ndocuments;
}

/*
 * The first of the segments to merge; segments[first ..] are merged, all the
 * bulk ones and the changes among them.  It is the oldest one that those newer
 * have outgrown together, so that many of one size do not stay; most: products
 * to write.
 */
static int
choose_first(const SearchView *view, int64 most)
{
	int			first = view->nrows;
	int64		documents = 0;
	int64		size = 0;

	for (int i = view->nrows; i < view->nsegments; i++)
		documents += count_living(&view->segments[i]);
	for (; first > 0 && view->rows[first - 1].bulk; first--)
	{
		documents += count_living(&view->segments[first - 1]);
		size += view->rows[first - 1].size;
	}
	for (int i = first - 1; i >= 0; i--)
	{
		uint32		living = count_living(&view->segments[i]);

		size += living_size(view->segments[i].segment, living);
		if (size > search_cache_largest() || documents + living > most)
			break;
		if (living <= GROWTH * documents || is_sparse(&view->segments[i]))
			first = i;
		documents += living;
	}
	return first;
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

/* Where merged segments come from. */
typedef struct Merged
{
	SearchStatistics statistics;
	Unseen		unseen;
	const pg_uuid_t *killed;
	uint32		nkilled;
	Kills		kills;
} Merged;

/* How many of the inputs a segment can take, from the first on: at least one. */
static int
count_fitting(const SearchInput *inputs, int ninputs)
{
	int64		size = 0;
	int			n = 0;

	for (; n < ninputs; n++)
	{
		const SearchSegment *segment = inputs[n].segment;

		size += living_size(segment, search_count_bits(inputs[n].live,
													   SEARCH_BITMAP_WORDS(segment->ndocuments)));
		if (n > 0 && size > search_cache_largest())
			break;
	}
	return n;
}

/*
 * Write the living documents of inputs, as few segments as can be.  What is
 * killed in older ones is written with the first.
 */
static void
write_merged(Merged *merged, const SearchInput *inputs, int ninputs)
{
	for (int at = 0; at < ninputs;)
	{
		int			count = count_fitting(inputs + at, ninputs - at);
		SearchSegmentRow row = {.position = search_store_next_position(),
		.resume_xid = merged->unseen.from,.nrunning = merged->unseen.nrunning,
		.running = merged->unseen.running};
		SearchSegment *segment = search_combine(inputs + at, count, &merged->statistics,
												merged->killed, merged->nkilled,
												merged->kills.kills, merged->kills.count);

		search_store_write(&row, segment);
		search_cache_publish(&row, segment);
		pfree(segment);
		merged->nkilled = merged->kills.count = 0;
		at += count;
	}
}

/* Put merged segments in the place of those from the first on. */
static void
replace(const SearchView *view, int first)
{
	Snapshot	snapshot = GetActiveSnapshot();
	SearchInput *inputs = palloc(view->nsegments * sizeof(SearchInput));
	Merged		merged = {view->statistics, find_unseen(snapshot)};

	for (int i = first; i < view->nsegments; i++)
	{
		inputs[i - first].segment = view->segments[i].segment;
		inputs[i - first].live = view->segments[i].live;
	}
	if (first > 0)
	{
		merged.killed = collect_killed(view, first, &merged.nkilled);
		collect_kills(&merged.kills, view, first, merged.killed, merged.nkilled);
	}
	write_merged(&merged, inputs, view->nsegments - first);
	for (int i = first; i < view->nrows; i++)
		search_store_remove_segment(&view->rows[i], snapshot);
	for (int i = 0; i < view->nvoid; i++)
		search_store_remove_segment(&view->void_rows[i], snapshot);
	for (int i = 0; i < view->nchanges; i++)
		search_store_remove_change(&view->changes[i]);
}

/*
 * Write a segment that stays again without its dead, in its place among the
 * others: newer ones say nothing of the documents that are left.
 */
static void
compact(const SearchView *view, int place)
{
	const SearchSegment *old = view->segments[place].segment;
	SearchInput input = {old, view->segments[place].live};
	SearchSegmentRow row = {.position = view->rows[place].position};
	SearchSegment *segment = search_combine(&input, 1, &view->statistics,
											SEARCH_SECTION(old, SECTION_KILLED, pg_uuid_t),
											old->nkilled,
											SEARCH_SECTION(old, SECTION_KILLS, SearchKill),
											old->nkills);

	search_store_write(&row, segment);
	search_cache_publish(&row, segment);
	search_store_remove_segment(&view->rows[place], GetActiveSnapshot());
	pfree(segment);
}

/* Compact the first of the segments before `first` that needs it. */
static void
compact_one(const SearchView *view, int first)
{
	for (int i = 0; i < first; i++)
	{
		if (is_sparse(&view->segments[i]))
		{
			compact(view, i);
			return;
		}
	}
}

/* A rebuild: the parts that are not written yet, and how far it is. */
typedef struct Rebuild
{
	SearchBuilder *builder;
	SearchInput *parts;
	int			nparts;
	int			allocated;
	int64		size;			/* of the parts */
	Merged		merged;
	int64		done;
	int64		total;
	int64		documents;		/* written */
} Rebuild;

/* Write the parts so far, as one segment unless a part alone is too large. */
static void
write_parts(Rebuild *rebuild)
{
	search_progress_set("writing", rebuild->done, rebuild->total);
	write_merged(&rebuild->merged, rebuild->parts, rebuild->nparts);
	for (int i = 0; i < rebuild->nparts; i++)
	{
		rebuild->documents += rebuild->parts[i].segment->ndocuments;
		pfree(unconstify(SearchSegment *, rebuild->parts[i].segment));
		pfree(unconstify(uint64 *, rebuild->parts[i].live));
	}
	rebuild->nparts = 0;
	rebuild->size = 0;
}

/* Make a part of the products in the builder. */
static void
add_part(Rebuild *rebuild)
{
	SearchSegment *part = search_builder_finish(rebuild->builder, NULL, 0);

	if (rebuild->nparts > 0 && rebuild->size + part->size > search_cache_largest())
		write_parts(rebuild);
	if (rebuild->nparts == rebuild->allocated)
	{
		rebuild->allocated = rebuild->allocated * 2 + 16;
		rebuild->parts = rebuild->parts == NULL
			? palloc(rebuild->allocated * sizeof(SearchInput))
			: repalloc(rebuild->parts, rebuild->allocated * sizeof(SearchInput));
	}
	rebuild->parts[rebuild->nparts].segment = part;
	rebuild->parts[rebuild->nparts++].live = search_all_alive(part);
	rebuild->size += part->size;
}

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
	if (search_builder_is_full(rebuild->builder, search_cache_largest()))
		add_part(rebuild);
	return true;
}

/*
 * Keep the average lengths that there were unless they have changed by much:
 * who writes a segment during a rebuild makes it with these, and would cause
 * the next rebuild.
 */
static void
keep_averages(SearchStatistics *statistics, const SearchStatistics *before)
{
	for (int i = 0; i < SEARCH_FIELDS; i++)
	{
		if (fabsf(statistics->average_length[i] - before->average_length[i]) >
			SAME_LENGTH * before->average_length[i])
			return;
	}
	memcpy(statistics->average_length, before->average_length, sizeof(before->average_length));
}

/* Write segments of all products, with statistics of a sample; returns how many. */
static int64
build_anew(Snapshot snapshot)
{
	Rebuild		rebuild = {.total = search_products_estimate()};
	SearchStatistics before = search_current_statistics(snapshot);

	rebuild.merged.unseen = find_unseen(snapshot);
	rebuild.builder = search_builder_create(CurrentMemoryContext, &rebuild.merged.statistics);
	search_products_scan(snapshot, sample_product, &rebuild);
	search_builder_take_sample(rebuild.builder, &rebuild.merged.statistics);
	keep_averages(&rebuild.merged.statistics, &before);
	search_builder_restart(rebuild.builder, &rebuild.merged.statistics);
	search_products_scan(snapshot, rebuild_product, &rebuild);
	add_part(&rebuild);
	search_builder_destroy(rebuild.builder);
	write_parts(&rebuild);
	pfree(rebuild.parts);
	return rebuild.documents;
}

/* Remove the whole index that the snapshot sees. */
static void
remove_all(Snapshot snapshot)
{
	int			count;
	SearchSegmentRow *rows = search_store_segments(snapshot, &count);
	SearchChangeRow *changes;

	for (int i = 0; i < count; i++)
		search_store_remove_segment(&rows[i], snapshot);
	changes = search_store_changes(snapshot, NULL, &count);
	for (int i = 0; i < count; i++)
		search_store_remove_change(&changes[i]);
}

/* Rebuild under the lock, with the active snapshot; returns the documents. */
static int64
rebuild_locked(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	int64		documents;

	remove_all(snapshot);
	documents = build_anew(snapshot);
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
has_news(const SearchView *view, int first)
{
	return view->nchanges > 0 || view->nvoid > 0 ||
		(view->nrows > 0 && view->rows[view->nrows - 1].bulk) || first < view->nrows - 1;
}

/* Have all segments in memory. */
static void
read_segments(Snapshot snapshot)
{
	int			count;
	SearchSegmentRow *rows = search_store_segments(snapshot, &count);

	for (int i = 0; i < count; i++)
		(void) search_cache_acquire(&rows[i], snapshot);
	search_cache_release();
	pfree(rows);
}

/*
 * What is wrong with the segments' bytes, or NULL: that they are damaged or of
 * another version.  A subtransaction takes the error.
 */
static ErrorData *
find_damage(Snapshot snapshot)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile damage = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		read_segments(snapshot);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		damage = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (damage != NULL && damage->sqlerrcode != ERRCODE_DATA_CORRUPTED)
		ReThrowError(damage);
	return damage;
}

/*
 * What a merge of all begins with, or NULL when the index has to be built anew:
 * there is none, it cannot be read, or its segments do not fit together.
 */
static SearchView *
view_to_merge(Snapshot snapshot)
{
	ErrorData  *damage;

	if (!search_is_built(snapshot))
		return NULL;
	damage = find_damage(snapshot);
	if (damage == NULL)
		return search_view_for_merge(snapshot);
	ereport(LOG,
			(errmsg("padlock: the search index is built anew: %s", damage->message)));
	return NULL;
}

/* Merge under the lock, with the active snapshot, all that there is. */
static bool
merge_all(void)
{
	SearchView *view = view_to_merge(GetActiveSnapshot());
	int			first = view != NULL ? choose_first(view, PG_INT64_MAX) : 0;

	if (view != NULL && !has_news(view, first))
		return false;
	if (view == NULL || has_outgrown(view))
	{
		(void) rebuild_locked();
		return true;
	}
	replace(view, first);
	compact_one(view, first);
	return true;
}

/*
 * Merge under the lock, with the active snapshot, into so many products at most.
 * What takes a rebuild is left to others: a writer would wait for it, and does
 * not fail for what is wrong with the index.
 */
static bool
merge_step(int64 most)
{
	SearchView *view;

	if (!search_is_built(GetActiveSnapshot()) || find_damage(GetActiveSnapshot()) != NULL)
		return false;
	view = search_view_for_merge(GetActiveSnapshot());
	if (view == NULL)
		return false;
	replace(view, choose_first(view, most));
	return true;
}

/* Merge all, or a step of so many products at most if that is not 0. */
static bool
merge(int64 most)
{
	MemoryContext context;
	MemoryContext old;
	bool		merged;

	if (!begin_merge(false))
		return false;
	context = AllocSetContextCreate(CurrentMemoryContext, "padlock search merge",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	merged = most > 0 ? merge_step(most) : merge_all();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	end_merge();
	return merged;
}

bool
search_merge(void)
{
	return merge(0);
}

void
search_merge_if_behind(void)
{
	static int	changes = 0;
	int			count;
	SearchSegmentRow *rows;
	int64		newest = 0;
	int64		bulk = 0;
	int64		behind;

	if (search_cache_has_merger() || ++changes < LOOK_INTERVAL || IsolationUsesXactSnapshot())
		return;
	changes = 0;
	rows = search_store_segments(GetActiveSnapshot(), &count);
	for (int i = 0; i < count; i++)
	{
		newest = Max(newest, rows[i].position);
		bulk += rows[i].bulk ? rows[i].documents : 0;
	}
	pfree(rows);
	behind = search_store_next_position() - newest;
	if (behind > TOO_FAR_BEHIND)
		(void) merge(PG_INT64_MAX);
	else if (behind > FAR_BEHIND && bulk < STEP_PRODUCTS)
		(void) merge(STEP_PRODUCTS);
}
