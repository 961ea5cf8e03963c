/*-------------------------------------------------------------------------
 *
 * collect.c
 *	  The best hits of a search.
 *
 * Hits are gathered until there are twice as many as wanted; then the worse
 * half is dropped by a quickselect (Hoare, 1961), and from then on only what
 * is better than the worst one kept is taken at all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "search/score.h"

/* Room for more than is wanted, so that dropping pays. */
#define EXTRA_ROOM 256

const pg_uuid_t *
search_hit_id(const SearchView *view, const SearchHit *hit)
{
	return SEARCH_SECTION(view->segments[hit->segment].segment, SECTION_IDS, pg_uuid_t) +
		hit->document;
}

/* Does a come before b? */
static inline bool
is_better(const SearchView *view, const SearchHit *a, const SearchHit *b)
{
	if (a->key != b->key)
		return a->key > b->key;
	return search_compare_ids(search_hit_id(view, a), search_hit_id(view, b)) < 0;
}

void
search_collector_start(SearchCollector *collector, const SearchView *view, const SearchPlan *plan,
					   uint64 skipped)
{
	uint64		documents = search_view_documents(view);

	memset(collector, 0, sizeof(*collector));
	collector->view = view;
	collector->plan = plan;
	collector->offset = plan->offset - skipped;
	collector->wanted = Min(collector->offset + plan->limit, documents);
	collector->capacity = Min(collector->wanted * 2 + EXTRA_ROOM, documents + 1);
	collector->hits = palloc_extended(collector->capacity * sizeof(SearchHit), MCXT_ALLOC_HUGE);
}

static inline void
swap(SearchHit *a, SearchHit *b)
{
	SearchHit	kept = *a;

	*a = *b;
	*b = kept;
}

/* Reorder hits[0 .. count - 1] so that the best n come first, in any order. */
static void
select_best(const SearchView *view, SearchHit *hits, int64 count, int64 n)
{
	int64		low = 0;
	int64		high = count - 1;

	while (low < high)
	{
		SearchHit	pivot = hits[low + (high - low) / 2];
		int64		i = low;
		int64		j = high;

		while (i <= j)
		{
			while (is_better(view, &hits[i], &pivot))
				i++;
			while (is_better(view, &pivot, &hits[j]))
				j--;
			if (i <= j)
				swap(&hits[i++], &hits[j--]);
		}
		if (n - 1 <= j)
			high = j;
		else if (n - 1 >= i)
			low = i;
		else
			break;
	}
}

/* Keep the best only, and remember the worst of them. */
static void
drop_worse(SearchCollector *collector)
{
	select_best(collector->view, collector->hits, collector->count, collector->wanted);
	collector->count = collector->wanted;
	collector->worst = collector->hits[0];
	for (uint64 i = 1; i < collector->count; i++)
	{
		if (is_better(collector->view, &collector->worst, &collector->hits[i]))
			collector->worst = collector->hits[i];
	}
	collector->full = true;
}

/* Does a hit come after the plan's cursor? */
static bool
is_after_cursor(const SearchCollector *collector, const SearchHit *hit)
{
	const SearchPlan *plan = collector->plan;

	if (hit->key != plan->cursor_key)
		return hit->key < plan->cursor_key;
	return search_compare_ids(search_hit_id(collector->view, hit), &plan->cursor_id) > 0;
}

void
search_collector_add(SearchCollector *collector, const SearchHit *hit)
{
	if (collector->wanted == 0)
		return;
	if (collector->plan->has_cursor && !is_after_cursor(collector, hit))
		return;
	if (collector->full && !is_better(collector->view, hit, &collector->worst))
		return;
	collector->hits[collector->count++] = *hit;
	if (collector->count == collector->capacity && collector->count > collector->wanted)
		drop_worse(collector);
}

/* qsort_arg order. */
static int
compare_hits(const void *a, const void *b, void *view)
{
	return is_better(view, a, b) ? -1 : is_better(view, b, a) ? 1 : 0;
}

void
search_collector_finish(SearchCollector *collector, SearchResult *result)
{
	uint64		offset = collector->offset;

	if (collector->count > collector->wanted)
		select_best(collector->view, collector->hits, collector->count, collector->wanted);
	collector->count = Min(collector->count, collector->wanted);
	if (offset >= collector->count)
	{
		result->nhits = 0;
		return;
	}
	if (offset > 0)
		select_best(collector->view, collector->hits, collector->count, offset);
	result->hits = collector->hits + offset;
	result->nhits = collector->count - offset;
	qsort_arg(result->hits, result->nhits, sizeof(SearchHit), compare_hits,
			  unconstify(SearchView *, collector->view));
}
