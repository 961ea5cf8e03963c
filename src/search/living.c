/*-------------------------------------------------------------------------
 *
 * living.c
 *	  Which documents of a view's segments live.
 *
 * A document is dead when its product is in a newer bulk segment, is killed by a
 * newer segment, was changed since, or is of a company that is not active; view.c
 * says why.  Merged segments name the documents that they kill.  Bulk ones name
 * products, which have to be found in each older segment: a look-up for each
 * product named or, where more are named than the segment has, one for each
 * document in a list of all that are named.  So a transaction of many bulk
 * statements costs no more than a look-up for each of its products.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "search/postings.h"
#include "search/products.h"
#include "search/view_segments.h"

/* A product that a bulk segment, or a change, names, and the newest that does. */
typedef struct Mention
{
	pg_uuid_t	id;
	int32		place;			/* of the segment in the view; changes come last */
} Mention;

typedef struct Mentions
{
	Mention    *entries;		/* sorted by id; NULL until there is need */
	uint64		count;
} Mentions;

uint64 *
search_all_alive(const SearchSegment *segment)
{
	Size		nwords = SEARCH_BITMAP_WORDS(segment->ndocuments);
	uint64	   *live = palloc0(Max(nwords, 1) * sizeof(uint64));

	memset(live, 0xff, segment->ndocuments / 64 * sizeof(uint64));
	if (segment->ndocuments % 64 != 0)
		live[segment->ndocuments / 64] = (UINT64CONST(1) << (segment->ndocuments % 64)) - 1;
	return live;
}

static inline void
kill_document(uint64 *live, uint32 document)
{
	live[document / 64] &= ~(UINT64CONST(1) << (document % 64));
}

/* Kill what a newer merged segment says of an older one. */
static void
apply_kills(uint64 *live, int64 id, const SearchSegment *newer)
{
	const SearchKill *kills = SEARCH_SECTION(newer, SECTION_KILLS, SearchKill);

	for (uint32 i = 0; i < newer->nkills; i++)
	{
		if (kills[i].segment == id)
			kill_document(live, kills[i].document);
	}
}

/* Kill products in a segment. */
static void
kill_ids(uint64 *live, const SearchSegment *segment, const pg_uuid_t *ids, uint32 count)
{
	for (uint32 i = 0; i < count; i++)
	{
		int64		document = search_segment_document(segment, &ids[i]);

		CHECK_FOR_INTERRUPTS();
		if (document >= 0)
			kill_document(live, (uint32) document);
	}
}

/* Kill the products of companies that are not active. */
static void
kill_companies(uint64 *live, const SearchSegment *segment, const pg_uuid_t *companies, int count)
{
	bool	   *inactive = palloc0(Max(segment->ncompanies, 1));
	bool		any = false;

	for (int i = 0; i < count; i++)
	{
		int64		place = search_segment_company(segment, &companies[i]);

		if (place >= 0)
			any = inactive[place] = true;
	}
	for (uint32 i = 0; any && i < segment->ndocuments; i++)
	{
		if (inactive[search_segment_company_of(segment, i)])
			kill_document(live, i);
	}
	pfree(inactive);
}

/*
 * How many products a segment, or the changes, name; all changes name theirs
 * in the first of their places.
 */
static uint64
count_named(const SearchView *view, int place)
{
	const SearchSegment *segment = view->segments[place].segment;

	if (place >= view->nrows)
		return place == view->nrows ? view->ntouched : 0;
	return view->rows[place].bulk ? (uint64) segment->ndocuments + segment->nkilled : 0;
}

/* Kill what a newer segment, or the changes, name. */
static void
kill_named(uint64 *live, const SearchSegment *segment, const SearchView *view, int newer_place)
{
	const SearchSegment *newer = view->segments[newer_place].segment;

	if (newer_place == view->nrows)
		kill_ids(live, segment, view->touched, view->ntouched);
	else if (view->rows[newer_place].bulk)
	{
		kill_ids(live, segment, SEARCH_SECTION(newer, SECTION_IDS, pg_uuid_t), newer->ndocuments);
		kill_ids(live, segment, SEARCH_SECTION(newer, SECTION_KILLED, pg_uuid_t), newer->nkilled);
	}
}

static void
add_mentions(Mentions *mentions, const pg_uuid_t *ids, uint32 count, int place)
{
	for (uint32 i = 0; i < count; i++)
	{
		Mention    *mention = &mentions->entries[mentions->count++];

		mention->id = ids[i];
		mention->place = place;
	}
}

/* qsort order: by id, the newest first. */
static int
compare_mentions(const void *a, const void *b)
{
	const Mention *left = a;
	const Mention *right = b;
	int			order = search_compare_ids(&left->id, &right->id);

	return order != 0 ? order : (left->place < right->place) - (left->place > right->place);
}

/* List all that is named in a view, each product once. */
static void
list_mentions(Mentions *mentions, const SearchView *view)
{
	uint64		total = 0;
	uint64		n = 0;

	for (int i = 0; i <= view->nrows; i++)
		total += count_named(view, i);
	mentions->entries = palloc_extended(Max(total, 1) * sizeof(Mention), MCXT_ALLOC_HUGE);
	for (int i = 0; i < view->nrows; i++)
	{
		const SearchSegment *segment = view->segments[i].segment;

		if (!view->rows[i].bulk)
			continue;
		add_mentions(mentions, SEARCH_SECTION(segment, SECTION_IDS, pg_uuid_t),
					 segment->ndocuments, i);
		add_mentions(mentions, SEARCH_SECTION(segment, SECTION_KILLED, pg_uuid_t),
					 segment->nkilled, i);
	}
	add_mentions(mentions, view->touched, view->ntouched, view->nrows);
	qsort(mentions->entries, mentions->count, sizeof(Mention), compare_mentions);
	for (uint64 i = 0; i < mentions->count; i++)
	{
		if (n == 0 || search_compare_ids(&mentions->entries[n - 1].id,
										 &mentions->entries[i].id) != 0)
			mentions->entries[n++] = mentions->entries[i];
	}
	mentions->count = n;
}

/* The newest place that names a product; -1: none. */
static int
find_mention(const Mentions *mentions, const pg_uuid_t *id)
{
	uint64		low = 0;
	uint64		high = mentions->count;

	while (low < high)
	{
		uint64		middle = low + (high - low) / 2;
		int			order = search_compare_ids(&mentions->entries[middle].id, id);

		if (order == 0)
			return mentions->entries[middle].place;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/* Kill the documents of a segment that are named in newer places. */
static void
kill_mentioned(uint64 *live, const SearchSegment *segment, int place, const Mentions *mentions)
{
	const pg_uuid_t *ids = SEARCH_SECTION(segment, SECTION_IDS, pg_uuid_t);

	for (uint32 i = 0; i < segment->ndocuments; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (find_mention(mentions, &ids[i]) > place)
			kill_document(live, i);
	}
}

/* Which documents of a segment live; newer: how many products newer places name. */
static uint64 *
find_living(const SearchView *view, int place, uint64 newer, Mentions *mentions)
{
	const SearchSegment *segment = view->segments[place].segment;
	uint64	   *live = search_all_alive(segment);

	for (int i = place + 1; i < view->nrows; i++)
	{
		if (!view->rows[i].bulk)
			apply_kills(live, view->segments[place].id, view->segments[i].segment);
	}
	if (newer > segment->ndocuments)
	{
		if (mentions->entries == NULL)
			list_mentions(mentions, view);
		kill_mentioned(live, segment, place, mentions);
		return live;
	}
	for (int i = place + 1; i <= view->nrows; i++)
		kill_named(live, segment, view, i);
	return live;
}

void
search_find_living(SearchView *view, const pg_uuid_t *inactive, int ninactive)
{
	Mentions	mentions = {NULL, 0};
	uint64		newer = 0;

	for (int i = view->nsegments - 1; i >= 0; i--)
	{
		uint64	   *live = find_living(view, i, newer, &mentions);

		kill_companies(live, view->segments[i].segment, inactive, ninactive);
		view->segments[i].live = live;
		newer += count_named(view, i);
	}
	if (mentions.entries != NULL)
		pfree(mentions.entries);
}
