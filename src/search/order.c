/*-------------------------------------------------------------------------
 *
 * order.c
 *	  The best hits by a column: premium, popularity or time.
 *
 * Runs over the matches once all of them are known.  Of a page far from the
 * first one, a coarse part of the column is counted before, so that only the
 * documents around the page are put into order, not all of those before it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "search/bits.h"
#include "search/score.h"

/* Hits before the page from which on counting pays. */
#define DEEP_OFFSET 2000

/* Coarse keys have 16 bits. */
#define COARSE_KEYS 65536

/* Of a premium: its exponent from 2^-8 on and ten more bits, a thousandth. */
#define PREMIUM_SHIFT	42
#define PREMIUM_BASE	((INT64CONST(1023) - 8) << 10)

/* Of a time: units of 2^36 microseconds, 19 hours, from 1964 on. */
#define TIME_SHIFT	36
#define TIME_BASE	(-INT64CONST(16384))

/* The coarse keys that a page lies in, and how many hits come before them. */
typedef struct Window
{
	uint16	  **keys;			/* by segment: of each match; NULL: the page may lie anywhere */
	uint32		first;
	uint32		last;
	uint64		before;
} Window;

/* The key of a document by the plan's column. */
static inline double
column_key(const SearchPlan *plan, const SearchSegment *segment, uint32 document)
{
	switch (plan->order)
	{
		case SEARCH_ORDER_PREMIUM:
			return search_segment_premium(segment, document);
		case SEARCH_ORDER_CREATED:
			return (double) search_segment_created(segment, document);
		default:
			return SEARCH_SECTION(segment, SECTION_POPULARITY, uint8)[document];
	}
}

/* The same coarsely, the better the lower. */
static inline uint32
coarse_key(const SearchPlan *plan, const SearchSegment *segment, uint32 document)
{
	double		premium;
	int64		key;

	switch (plan->order)
	{
		case SEARCH_ORDER_PREMIUM:
			/* doubles above 0 are ordered as their bits are */
			premium = search_segment_premium(segment, document);
			memcpy(&key, &premium, sizeof(key));
			key = (key >> PREMIUM_SHIFT) - PREMIUM_BASE;
			break;
		case SEARCH_ORDER_CREATED:
			key = (search_segment_created(segment, document) >> TIME_SHIFT) - TIME_BASE;
			break;
		default:
			key = SEARCH_SECTION(segment, SECTION_POPULARITY, uint8)[document];
	}
	key = Max(0, Min(key, COARSE_KEYS - 1));
	return (uint32) (plan->ascending ? key : COARSE_KEYS - 1 - key);
}

/* Count the coarse keys of a segment's matches; returns them by document. */
static uint16 *
count_keys(const SearchPlan *plan, const SearchSegment *segment, const uint64 *matches,
		   uint32 *counts)
{
	uint32		nwords = SEARCH_WORDS(segment->ndocuments);
	uint16	   *keys = palloc_extended((Size) nwords * 64 * sizeof(uint16), MCXT_ALLOC_HUGE);

	for (uint32 i = 0; i < nwords; i++)
	{
		for (uint64 word = matches[i]; word != 0; word &= word - 1)
		{
			uint32		document = i * 64 + pg_rightmost_one_pos64(word);

			keys[document] = coarse_key(plan, segment, document);
			counts[keys[document]]++;
		}
	}
	return keys;
}

/* Where the page lies. */
static Window
find_window(const SearchView *view, const SearchPlan *plan, uint64 **matches)
{
	Window		window = {NULL, 0, COARSE_KEYS - 1, 0};
	uint64		through = 0;	/* hits up to the key at hand */
	uint32	   *counts;

	if (plan->has_cursor || plan->offset < DEEP_OFFSET)
		return window;
	window.keys = palloc(view->nsegments * sizeof(uint16 *));
	counts = palloc0(COARSE_KEYS * sizeof(uint32));
	for (int i = 0; i < view->nsegments; i++)
		window.keys[i] = count_keys(plan, view->segments[i].segment, matches[i], counts);
	while (window.first < window.last && through + counts[window.first] <= plan->offset)
		through += counts[window.first++];
	window.before = through;
	window.last = window.first;
	through += counts[window.last];
	while (window.last < COARSE_KEYS - 1 && through < plan->offset + plan->limit)
		through += counts[++window.last];
	pfree(counts);
	return window;
}

/* A bit for each of 64 coarse keys that lies in a window. */
SEARCH_VECTORIZED static uint64
bits_of_keys(const uint16 *keys, uint16 first, uint16 last)
{
	uint8		within[64];

	for (int i = 0; i < 64; i++)
		within[i] = (keys[i] >= first) & (keys[i] <= last);
	return search_bits_of_bytes(within);
}

/* Offer a segment's matches within the window to the collector. */
static void
offer_matches(SearchCollector *collector, const SearchSegment *segment, int place,
			  const uint64 *matches, const Window *window)
{
	const SearchPlan *plan = collector->plan;
	bool		in_order = plan->order == SEARCH_ORDER_POPULARITY && !plan->ascending &&
		!plan->has_cursor;
	uint64		offered = 0;

	for (uint32 i = 0; i < SEARCH_WORDS(segment->ndocuments); i++)
	{
		uint64		word = matches[i];

		if (in_order && offered >= collector->wanted)
			return;
		/* what is no match has no key, and no bit in word */
		if (word != 0 && window->keys != NULL)
			word &= bits_of_keys(window->keys[place] + i * 64, window->first, window->last);
		for (; word != 0; word &= word - 1)
		{
			SearchHit	hit = {.document = i * 64 + pg_rightmost_one_pos64(word),.segment = place};

			hit.key = column_key(plan, segment, hit.document);
			if (plan->ascending)
				hit.key = -hit.key;
			offered++;
			if (!collector->full || hit.key >= collector->worst.key)
				search_collector_add(collector, &hit);
		}
	}
}

void
search_collect_by_column(SearchCollector *collector, const SearchView *view,
						 const SearchPlan *plan, uint64 **matches)
{
	Window		window = find_window(view, plan, matches);

	search_collector_start(collector, view, plan, window.before);
	for (int i = 0; i < view->nsegments; i++)
	{
		offer_matches(collector, view->segments[i].segment, i, matches[i], &window);
		CHECK_FOR_INTERRUPTS();
	}
}
