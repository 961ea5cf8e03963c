/*-------------------------------------------------------------------------
 *
 * phrase.c
 *	  Quoted phrases: which documents hold them.
 *
 * Among the documents with all words of a phrase, the places of its first
 * word are where it may begin; each further word leaves those beginnings that
 * it stands in its distance from.  A word's places are read once, from the
 * first document to the last.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "search/places.h"
#include "search/postings.h"
#include "search/score.h"

void
search_mark_group(const SearchSegment *segment, const SearchGroup *group, uint64 *bitmap)
{
	Size		size = SEARCH_BITMAP_WORDS(segment->ndocuments) * sizeof(uint64);

	for (int i = 0; i < group->nterms; i++)
	{
		uint64	   *marks = palloc0(Max(size, 8));
		uint64	   *also = palloc(Max(size, 8));
		const SearchTermUse *use = &group->terms[i];
		const SearchTermEntry *entry = search_segment_find(segment, use->term, use->length);

		if (entry != NULL)
			search_postings_mark(segment, entry, marks);
		for (use = use->also; use != NULL; use = use->also)
		{
			memset(also, 0, size);
			entry = search_segment_find(segment, use->term, use->length);
			if (entry != NULL)
				search_postings_mark(segment, entry, also);
			for (Size j = 0; j < size / sizeof(uint64); j++)
				marks[j] &= also[j];
		}
		for (Size j = 0; j < size / sizeof(uint64); j++)
			bitmap[j] |= marks[j];
		pfree(marks);
		pfree(also);
	}
}

/* Where a phrase may begin. */
typedef struct Beginning
{
	uint32		document;
	uint16		place;
	bool		goes_on;		/* with the word that is looked for */
} Beginning;

typedef struct Beginnings
{
	Beginning  *all;			/* by document */
	uint64		count;
	uint64		allocated;
} Beginnings;

/* A walk over the places of a term. */
typedef struct PlaceWalk
{
	uint32	   *documents;
	uint8	   *impacts;
	uint32		count;
	const uint8 *next;
	uint16		places[SEARCH_MAX_PLACES];
	int			nplaces;
} PlaceWalk;

static void
open_walk(PlaceWalk *walk, const SearchSegment *segment, const SearchTermEntry *entry)
{
	walk->documents = palloc_extended(entry->frequency * sizeof(uint32), MCXT_ALLOC_HUGE);
	walk->impacts = palloc_extended(entry->frequency, MCXT_ALLOC_HUGE);
	walk->count = search_postings_decode(segment, entry, walk->documents, walk->impacts);
	walk->next = search_term_places(segment, entry);
}

static void
close_walk(PlaceWalk *walk)
{
	pfree(walk->documents);
	pfree(walk->impacts);
}

static bool
is_candidate(const uint64 *candidates, uint32 document)
{
	return candidates[document / 64] >> (document % 64) & 1;
}

static void
add_beginning(Beginnings *beginnings, uint32 document, uint16 place)
{
	if (beginnings->count == beginnings->allocated)
	{
		beginnings->allocated = Max(beginnings->allocated * 2, 1024);
		beginnings->all = beginnings->all == NULL
			? palloc(beginnings->allocated * sizeof(Beginning))
			: repalloc_huge(beginnings->all, beginnings->allocated * sizeof(Beginning));
	}
	beginnings->all[beginnings->count].document = document;
	beginnings->all[beginnings->count].goes_on = false;
	beginnings->all[beginnings->count++].place = place;
}

/* Add the places of a term in the candidates. */
static void
add_term_beginnings(const SearchSegment *segment, const SearchTermEntry *entry,
					const uint64 *candidates, Beginnings *beginnings)
{
	PlaceWalk  *walk = palloc(sizeof(PlaceWalk));

	open_walk(walk, segment, entry);
	for (uint32 i = 0; i < walk->count; i++)
	{
		if (!is_candidate(candidates, walk->documents[i]))
		{
			walk->next = search_places_skip(walk->next);
			continue;
		}
		walk->next = search_places_decode(walk->next, walk->places, &walk->nplaces);
		for (int j = 0; j < walk->nplaces; j++)
			add_beginning(beginnings, walk->documents[i], walk->places[j]);
	}
	close_walk(walk);
	pfree(walk);
}

static int
compare_beginnings(const void *a, const void *b)
{
	const Beginning *left = a;
	const Beginning *right = b;

	if (left->document != right->document)
		return left->document < right->document ? -1 : 1;
	return (int) left->place - (int) right->place;
}

/* Find where the first word stands. */
static void
find_beginnings(const SearchSegment *segment, const SearchGroup *group, const uint64 *candidates,
				Beginnings *beginnings)
{
	int			found = 0;

	for (int i = 0; i < group->nterms; i++)
	{
		const SearchTermEntry *entry = search_segment_find(segment, group->terms[i].term,
														   group->terms[i].length);

		if (entry == NULL)
			continue;
		add_term_beginnings(segment, entry, candidates, beginnings);
		found++;
	}
	if (found > 1)
		qsort(beginnings->all, beginnings->count, sizeof(Beginning), compare_beginnings);
}

/* Does a place stand among a posting's? */
static bool
has_place(const PlaceWalk *walk, uint32 place)
{
	for (int i = 0; i < walk->nplaces; i++)
	{
		if (walk->places[i] >= place)
			return walk->places[i] == place;
	}
	return false;
}

/* Note the beginnings that a term stands in a distance from. */
static void
note_term(const SearchSegment *segment, const SearchTermEntry *entry, int distance,
		  Beginnings *beginnings)
{
	PlaceWalk  *walk = palloc(sizeof(PlaceWalk));
	uint64		at = 0;

	open_walk(walk, segment, entry);
	for (uint32 i = 0; i < walk->count && at < beginnings->count; i++)
	{
		uint32		document = walk->documents[i];

		while (at < beginnings->count && beginnings->all[at].document < document)
			at++;
		if (at == beginnings->count || beginnings->all[at].document != document)
		{
			walk->next = search_places_skip(walk->next);
			continue;
		}
		walk->next = search_places_decode(walk->next, walk->places, &walk->nplaces);
		for (; at < beginnings->count && beginnings->all[at].document == document; at++)
			beginnings->all[at].goes_on |= has_place(walk, beginnings->all[at].place + distance);
	}
	close_walk(walk);
	pfree(walk);
}

/* Keep the beginnings that go on with a word. */
static void
keep_beginnings(const SearchSegment *segment, const SearchGroup *group, int distance,
				Beginnings *beginnings)
{
	uint64		kept = 0;

	for (int i = 0; i < group->nterms; i++)
	{
		const SearchTermEntry *entry = search_segment_find(segment, group->terms[i].term,
														   group->terms[i].length);

		if (entry != NULL)
			note_term(segment, entry, distance, beginnings);
	}
	for (uint64 i = 0; i < beginnings->count; i++)
	{
		if (!beginnings->all[i].goes_on)
			continue;
		beginnings->all[kept] = beginnings->all[i];
		beginnings->all[kept++].goes_on = false;
	}
	beginnings->count = kept;
}

/* The allowed documents that have all words of a phrase. */
static uint64 *
find_candidates(const SearchSegment *segment, const SearchPhrase *phrase, const uint64 *allowed)
{
	Size		nwords = SEARCH_BITMAP_WORDS(segment->ndocuments);
	uint64	   *candidates = palloc(Max(nwords, 1) * sizeof(uint64));
	uint64	   *marks = palloc(Max(nwords, 1) * sizeof(uint64));

	memcpy(candidates, allowed, nwords * sizeof(uint64));
	for (int i = 0; i < phrase->ngroups; i++)
	{
		memset(marks, 0, nwords * sizeof(uint64));
		search_mark_group(segment, &phrase->groups[i], marks);
		for (Size j = 0; j < nwords; j++)
			candidates[j] &= marks[j];
	}
	pfree(marks);
	return candidates;
}

/* The allowed documents that hold a phrase. */
static uint64 *
find_phrase(const SearchSegment *segment, const SearchPhrase *phrase, const uint64 *allowed)
{
	uint64	   *documents = find_candidates(segment, phrase, allowed);
	Beginnings	beginnings = {NULL};

	if (phrase->ngroups == 1)
		return documents;
	find_beginnings(segment, &phrase->groups[0], documents, &beginnings);
	for (int i = 1; i < phrase->ngroups; i++)
	{
		CHECK_FOR_INTERRUPTS();
		keep_beginnings(segment, &phrase->groups[i], phrase->offsets[i] - phrase->offsets[0],
						&beginnings);
	}
	memset(documents, 0, SEARCH_BITMAP_WORDS(segment->ndocuments) * sizeof(uint64));
	for (uint64 i = 0; i < beginnings.count; i++)
		documents[beginnings.all[i].document / 64] |=
			UINT64CONST(1) << (beginnings.all[i].document % 64);
	if (beginnings.all != NULL)
		pfree(beginnings.all);
	return documents;
}

void
search_restrict_to_phrases(const SearchViewSegment *place, const SearchQuery *query,
						   uint64 *allowed)
{
	const SearchSegment *segment = place->segment;
	Size		nwords = SEARCH_BITMAP_WORDS(segment->ndocuments);

	for (int i = 0; i < query->nphrases; i++)
	{
		const SearchPhrase *phrase = &query->phrases[i];
		uint64	   *holding = find_phrase(segment, phrase, allowed);

		for (Size j = 0; j < nwords; j++)
			allowed[j] &= phrase->excluded ? ~holding[j] : holding[j];
		pfree(holding);
	}
}
