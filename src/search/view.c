/*-------------------------------------------------------------------------
 *
 * view.c
 *	  The index as one snapshot sees it.
 *
 * Three things are read with the query's own snapshot: the segments, the
 * changes that no merge has taken up, and the companies that are not active
 * (companies.c).  Products named by changes are dead in every segment; as the
 * snapshot sees them they make more segments, most often one, in this session's
 * memory.
 *
 * Why that is right for every snapshot: a change's row is written by the
 * transaction that changed the product, and a merge removes, in one
 * transaction, exactly the changes whose products it has read with one
 * snapshot.  So a snapshot sees either the change or a segment that has it.
 * Merges run one after the other, so of two merged segments with a product
 * the newer one is right.  A bulk segment is written by the transaction that
 * writes its products; it is newer than every merged segment that is visible
 * beside it, since a merge that had seen it would have removed it.  Of two
 * bulk segments the one with the higher position is right: it was written
 * while its transaction held the product's row lock.  (living.c)
 *
 * What has been put together is kept for this session's next search, which
 * compares what it reads with what it was made of.
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
#include "search/companies.h"
#include "search/postings.h"
#include "search/products.h"
#include "search/view_segments.h"

/* What a view is made of. */
typedef struct Reading
{
	int			nrows;
	SearchSegmentRow *rows;		/* not void */
	int			nvoid;
	SearchSegmentRow *void_rows;
	int			nchanges;
	SearchChangeRow *changes;
	int			ninactive;
	const pg_uuid_t *inactive;
	bool		built;
} Reading;

/*
 * A transaction that writes, and where its savepoints are; all 0: one that has
 * not written.  A search in the middle of its statement sees rows of which there
 * is no change yet, and which a rollback takes back: what is made of them is for
 * nobody else.
 */
typedef struct Writer
{
	TransactionId transaction;
	SubTransactionId subtransaction;
} Writer;

/* The view of this session's last search; its context is reset as a whole. */
static MemoryContext kept_context = NULL;
static SearchView *kept_view = NULL;
static Reading kept_reading;
static Writer kept_writer;

/* The builder of changes. */
static SearchBuilder *kept_builder = NULL;
static uint64 kept_dictionaries;	/* that its words were looked up in */
static bool is_building = false;

/* The newest merged segment, or NULL. */
static const SearchSegmentRow *
newest_merged(const SearchSegmentRow *rows, int nrows)
{
	for (int i = nrows - 1; i >= 0; i--)
	{
		if (!rows[i].bulk)
			return &rows[i];
	}
	return NULL;
}

/*
 * Segments from before a truncation are void: those merged, since a merge
 * after it would have removed its mark, and bulk ones with lower positions.
 */
static void
drop_void_rows(Reading *reading)
{
	int64		truncated = 0;
	int			kept = 0;

	for (int i = 0; i < reading->nchanges; i++)
	{
		if (reading->changes[i].truncated)
			truncated = reading->changes[i].id;
	}
	reading->void_rows = palloc(Max(reading->nrows, 1) * sizeof(SearchSegmentRow));
	reading->nvoid = 0;
	for (int i = 0; i < reading->nrows; i++)
	{
		if (truncated != 0 && (!reading->rows[i].bulk || reading->rows[i].position < truncated))
			reading->void_rows[reading->nvoid++] = reading->rows[i];
		else
			reading->rows[kept++] = reading->rows[i];
	}
	reading->nrows = kept;
}

/* Merged segments first, each kind in the order of its positions. */
static void
put_bulk_last(Reading *reading)
{
	SearchSegmentRow *sorted = palloc(Max(reading->nrows, 1) * sizeof(SearchSegmentRow));
	int			n = 0;

	for (int pass = 0; pass < 2; pass++)
	{
		for (int i = 0; i < reading->nrows; i++)
		{
			if (reading->rows[i].bulk == (pass == 1))
				sorted[n++] = reading->rows[i];
		}
	}
	reading->rows = sorted;
}

/*
 * Was a segment written here?  A dump brings the transaction ids of where it
 * was made: another cluster, or a copy of this one that has lived longer.
 */
static bool
is_of_this_history(const SearchSegmentRow *row)
{
	return row->system == search_store_system() &&
		row->resume_xid <= U64FromFullTransactionId(ReadNextFullTransactionId());
}

/* Read which companies are not active; without an index nothing marks a list. */
static void
read_companies(Reading *reading, Snapshot snapshot)
{
	int64	   *marks = palloc((reading->nrows + reading->nchanges + 1) * sizeof(int64));
	int			n = 0;

	for (int i = 0; i < reading->nrows; i++)
		marks[n++] = reading->rows[i].id;
	for (int i = 0; i < reading->nchanges; i++)
	{
		if (search_change_is_of_companies(&reading->changes[i]))
			marks[n++] = reading->changes[i].id;
	}
	reading->inactive = search_inactive_companies(snapshot, marks, reading->built ? n : 0,
												  &reading->ninactive);
	pfree(marks);
}

static void
read_index(Reading *reading, Snapshot snapshot, bool companies)
{
	const SearchSegmentRow *newest;
	bool		ours;

	if (!search_store_exists())
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the tables of the search index do not exist"),
				 errhint("Run SELECT padlock.install() as the owner of the extension.")));
	reading->rows = search_store_segments(snapshot, &reading->nrows);
	newest = newest_merged(reading->rows, reading->nrows);
	reading->built = newest != NULL;
	ours = newest != NULL && is_of_this_history(newest);
	reading->changes = search_store_changes(snapshot, ours ? newest : NULL, &reading->nchanges);
	reading->ninactive = 0;
	reading->inactive = NULL;
	if (companies)
		read_companies(reading, snapshot);
	drop_void_rows(reading);
	put_bulk_last(reading);
}

static Writer
current_writer(void)
{
	Writer		writer = {GetTopTransactionIdIfAny()};

	if (TransactionIdIsValid(writer.transaction))
		writer.subtransaction = GetCurrentSubTransactionId();
	return writer;
}

/* May a view of a writer be used now? */
static bool
is_for_us(const Writer *writer)
{
	Writer		current = current_writer();

	return !TransactionIdIsValid(writer->transaction) ||
		(writer->transaction == current.transaction &&
		 writer->subtransaction == current.subtransaction);
}

/* Would the two make the same view? */
static bool
is_same_reading(const Reading *a, const Reading *b)
{
	if (a->nrows != b->nrows || a->nchanges != b->nchanges || a->ninactive != b->ninactive ||
		!a->built || !b->built)
		return false;
	for (int i = 0; i < a->nrows; i++)
	{
		if (a->rows[i].id != b->rows[i].id)
			return false;
	}
	for (int i = 0; i < a->nchanges; i++)
	{
		if (a->changes[i].id != b->changes[i].id)
			return false;
	}
	return memcmp(a->inactive, b->inactive, a->ninactive * sizeof(pg_uuid_t)) == 0;
}

/* A copy in the current context of what is_same_reading() compares. */
static Reading
copy_reading(const Reading *reading)
{
	Reading		copy = *reading;

	copy.rows = memcpy(palloc(Max(copy.nrows, 1) * sizeof(SearchSegmentRow)), reading->rows,
					   copy.nrows * sizeof(SearchSegmentRow));
	copy.changes = memcpy(palloc(Max(copy.nchanges, 1) * sizeof(SearchChangeRow)),
						  reading->changes, copy.nchanges * sizeof(SearchChangeRow));
	copy.inactive = memcpy(palloc(Max(copy.ninactive, 1) * sizeof(pg_uuid_t)), reading->inactive,
						   copy.ninactive * sizeof(pg_uuid_t));
	return copy;
}

/* The products of all changes, sorted, once each. */
static void
collect_touched(SearchView *view, const Reading *reading)
{
	int			total = 0;
	int			n = 0;
	pg_uuid_t  *touched;

	for (int i = 0; i < reading->nchanges; i++)
		total += reading->changes[i].nproducts;
	touched = palloc_extended(Max(total, 1) * sizeof(pg_uuid_t), MCXT_ALLOC_HUGE);
	for (int i = 0; i < reading->nchanges; i++)
	{
		memcpy(touched + n, reading->changes[i].products,
			   reading->changes[i].nproducts * sizeof(pg_uuid_t));
		n += reading->changes[i].nproducts;
	}
	qsort(touched, n, sizeof(pg_uuid_t), search_compare_id_pointers);
	view->ntouched = search_unique_ids(touched, n);
	view->touched = touched;
}

/*
 * A builder for changes, kept from search to search for the words it knows,
 * unless dictionaries have changed or an error has left it half-way.
 */
static SearchBuilder *
change_builder(const SearchStatistics *statistics)
{
	uint64		dictionaries = search_dictionaries_version();

	if (kept_builder != NULL &&
		(is_building || kept_dictionaries != dictionaries ||
		 search_builder_is_worn(kept_builder)))
	{
		search_builder_destroy(kept_builder);
		kept_builder = NULL;
	}
	is_building = true;
	if (kept_builder == NULL)
		kept_builder = search_builder_create(TopMemoryContext, statistics);
	kept_dictionaries = dictionaries;
	search_builder_restart(kept_builder, statistics);
	return kept_builder;
}

/* Segments in the making: several when one would grow too large. */
typedef struct Parts
{
	SearchBuilder *builder;
	List	   *segments;
} Parts;

/* SearchProductVisitor: add a product. */
static bool
add_product(const SearchProductShape *shape, TupleTableSlot *slot, void *arg)
{
	Parts	   *parts = arg;

	search_builder_add(parts->builder, shape, slot);
	if (search_builder_is_full(parts->builder, search_cache_largest()))
		parts->segments = lappend(parts->segments,
								  search_builder_finish(parts->builder, NULL, 0));
	return true;
}

/* The changed products as the snapshot sees them. */
static List *
build_changes(const SearchView *view, Snapshot snapshot)
{
	Parts		parts = {change_builder(&view->statistics)};
	SearchProducts products;

	search_products_open(&products, snapshot);
	for (int i = 0; i < view->ntouched; i++)
	{
		if (search_lookup_find(&products.table, &view->touched[i]) &&
			search_product_is_active(&products.shape, products.table.slot))
			(void) add_product(&products.shape, products.table.slot, &parts);
	}
	search_products_close(&products);
	parts.segments = lappend(parts.segments, search_builder_finish(parts.builder, NULL, 0));
	is_building = false;
	return parts.segments;
}

/* All visible products, by a scan. */
static List *
build_all(Snapshot snapshot, const SearchStatistics *statistics)
{
	Parts		parts = {search_builder_create(CurrentMemoryContext, statistics)};

	search_products_scan(snapshot, add_product, &parts);
	parts.segments = lappend(parts.segments, search_builder_finish(parts.builder, NULL, 0));
	search_builder_destroy(parts.builder);
	return parts.segments;
}

/* Have the segments in memory; those of the last view may have moved. */
static void
acquire_segments(SearchView *view, Snapshot snapshot)
{
	for (int i = 0; i < view->nrows; i++)
		view->segments[i].segment = search_cache_acquire(&view->rows[i], snapshot);
}

/* New segments are made with the statistics of the newest merged one. */
static SearchStatistics
statistics_of(const SearchSegmentRow *rows, int nrows)
{
	const SearchSegmentRow *newest = newest_merged(rows, nrows);
	SearchStatistics none = {0};

	return newest != NULL ? newest->statistics : none;
}

/* Put a view together in the current context. */
static SearchView *
assemble(const Reading *reading, Snapshot snapshot)
{
	SearchView *view = palloc0(sizeof(SearchView));
	List	   *made;

	view->nrows = reading->built ? reading->nrows : 0;
	view->rows = reading->rows;
	view->nvoid = reading->nvoid;
	view->void_rows = reading->void_rows;
	view->nchanges = reading->nchanges;
	view->changes = reading->changes;
	view->statistics = statistics_of(view->rows, view->nrows);
	collect_touched(view, reading);
	made = reading->built ? build_changes(view, snapshot) : build_all(snapshot, &view->statistics);
	view->nsegments = view->nrows + list_length(made);
	view->segments = palloc0(view->nsegments * sizeof(SearchViewSegment));
	acquire_segments(view, snapshot);
	for (int i = view->nrows; i < view->nsegments; i++)
		view->segments[i].segment = list_nth(made, i - view->nrows);
	for (int i = 0; i < view->nrows; i++)
		view->segments[i].id = view->rows[i].id;
	search_find_living(view, reading->inactive, reading->ninactive);
	return view;
}

SearchView *
search_view_make(Snapshot snapshot, bool companies)
{
	Reading		reading;

	read_index(&reading, snapshot, companies);
	return assemble(&reading, snapshot);
}

/* Were all segments made with the same statistics? */
static bool
has_one_statistics(const Reading *reading)
{
	SearchStatistics statistics = statistics_of(reading->rows, reading->nrows);

	for (int i = 0; i < reading->nrows; i++)
	{
		if (reading->rows[i].documents > 0 &&
			memcmp(reading->rows[i].statistics.average_length, statistics.average_length,
				   sizeof(statistics.average_length)) != 0)
			return false;
	}
	return true;
}

SearchView *
search_view_for_merge(Snapshot snapshot)
{
	Reading		reading;

	read_index(&reading, snapshot, false);
	return has_one_statistics(&reading) ? assemble(&reading, snapshot) : NULL;
}

SearchStatistics
search_current_statistics(Snapshot snapshot)
{
	int			count;
	SearchSegmentRow *rows = search_store_segments(snapshot, &count);

	return statistics_of(rows, count);
}

bool
search_is_built(Snapshot snapshot)
{
	int			count;
	SearchSegmentRow *rows = search_store_segments(snapshot, &count);

	return newest_merged(rows, count) != NULL;
}

/* Free what is kept between searches. */
static void
forget_view(void)
{
	if (kept_context != NULL)
		MemoryContextReset(kept_context);
	kept_view = NULL;
}

/* Make this session's view anew; it is kept only once it is whole. */
static void
renew_view(const Reading *reading, Snapshot snapshot)
{
	MemoryContext old;
	SearchView *view;

	forget_view();
	if (kept_context == NULL)
		kept_context = AllocSetContextCreate(TopMemoryContext, "padlock search view",
											 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(kept_context);
	kept_reading = copy_reading(reading);
	view = assemble(&kept_reading, snapshot);
	MemoryContextSwitchTo(old);
	/* what only merges look at is the reading's, which ends with this search */
	view->nchanges = view->nvoid = 0;
	view->changes = NULL;
	view->void_rows = NULL;
	kept_writer = current_writer();
	kept_view = view;
}

SearchView *
search_view_acquire(void)
{
	Snapshot	snapshot;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "padlock search reading",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Reading		reading;

	search_products_push_snapshot();
	snapshot = GetActiveSnapshot();
	read_index(&reading, snapshot, true);
	MemoryContextSwitchTo(old);
	if (kept_view != NULL && is_for_us(&kept_writer) && is_same_reading(&reading, &kept_reading))
		acquire_segments(kept_view, snapshot);
	else
		renew_view(&reading, snapshot);
	MemoryContextDelete(context);
	return kept_view;
}

void
search_view_release(SearchView *view)
{
	search_cache_release();
	PopActiveSnapshot();
}

uint32
search_view_documents(const SearchView *view)
{
	uint32		total = 0;

	for (int i = 0; i < view->nsegments; i++)
		total += view->segments[i].segment->ndocuments;
	return total;
}

uint32
search_view_frequency(const SearchView *view, const char *term, int length)
{
	uint32		total = 0;

	for (int i = 0; i < view->nsegments; i++)
	{
		const SearchTermEntry *entry = search_segment_find(view->segments[i].segment, term, length);

		total += entry != NULL ? entry->frequency : 0;
	}
	return total;
}

bool
search_view_lives(const SearchView *view, const char *term, int length)
{
	for (int i = 0; i < view->nsegments; i++)
	{
		const SearchSegment *segment = view->segments[i].segment;
		const SearchTermEntry *entry = search_segment_find(segment, term, length);

		if (entry != NULL && search_postings_meet(segment, entry, view->segments[i].live))
			return true;
	}
	return false;
}

uint32
search_view_living(const SearchView *view, const char *term, int length)
{
	uint32		total = 0;

	for (int i = 0; i < view->nsegments; i++)
	{
		const SearchSegment *segment = view->segments[i].segment;
		const SearchTermEntry *entry = search_segment_find(segment, term, length);

		if (entry != NULL)
			total += search_postings_count(segment, entry, view->segments[i].live);
	}
	return total;
}

static bool
has_prefix(const char *term, int length, const char *prefix, int prefix_length)
{
	return length >= prefix_length && memcmp(term, prefix, prefix_length) == 0;
}

/* The smallest next term among the segments; false when none has the prefix. */
static bool
next_term(const SearchView *view, const uint32 *places, const char *prefix, int prefix_length,
		  const char **term, int *length)
{
	*term = NULL;
	for (int i = 0; i < view->nsegments; i++)
	{
		const char *string;
		int			string_length;

		if (places[i] >= view->segments[i].segment->nterms)
			continue;
		string = search_segment_string(view->segments[i].segment, places[i], &string_length);
		if (has_prefix(string, string_length, prefix, prefix_length) &&
			(*term == NULL ||
			 search_compare_strings(string, string_length, *term, *length) < 0))
		{
			*term = string;
			*length = string_length;
		}
	}
	return *term != NULL;
}

/* Step past a term in every segment that comes to it; returns its frequency. */
static uint32
pass_term(const SearchView *view, uint32 *places, const char *term, int length)
{
	uint32		frequency = 0;

	for (int i = 0; i < view->nsegments; i++)
	{
		const SearchSegment *segment = view->segments[i].segment;
		const char *string;
		int			string_length;

		if (places[i] >= segment->nterms)
			continue;
		string = search_segment_string(segment, places[i], &string_length);
		if (search_compare_strings(string, string_length, term, length) != 0)
			continue;
		frequency += SEARCH_SECTION(segment, SECTION_TERMS, SearchTermEntry)[places[i]++].frequency;
	}
	return frequency;
}

void
search_view_scan(const SearchView *view, const char *prefix, int prefix_length,
				 const char *from, int from_length, SearchTermVisitor visit, void *arg)
{
	uint32	   *places = palloc(view->nsegments * sizeof(uint32));
	const char *term;
	int			length;

	if (from == NULL || search_compare_strings(from, from_length, prefix, prefix_length) < 0)
	{
		from = prefix;
		from_length = prefix_length;
	}
	for (int i = 0; i < view->nsegments; i++)
		places[i] = search_segment_lower_bound(view->segments[i].segment, from, from_length);
	while (next_term(view, places, prefix, prefix_length, &term, &length))
	{
		uint32		frequency = pass_term(view, places, term, length);

		if (!visit(term, length, frequency, arg))
			break;
	}
	pfree(places);
}
