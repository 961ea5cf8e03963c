/*-------------------------------------------------------------------------
 *
 * phrase.c
 *	  Quoted phrases: which documents hold them.
 *
 * A chunk of documents at a time: first all phrases say which documents have
 * all their words, which costs little.  In those that are left, the places of
 * a phrase's first word are where it may begin; each further word leaves those
 * beginnings that it stands in its distance from.  A term's places are read
 * from the first on; those of other documents are passed over, many at a time.
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
	uint16		document;		/* in the chunk */
	uint16		place;
	bool		goes_on;		/* with the word that is looked for */
} Beginning;

/* The beginnings of a phrase in the chunk at hand, by document. */
typedef struct Beginnings
{
	Beginning  *all;
	uint32		count;
	uint32		allocated;
} Beginnings;

/* A walk over the places of a term. */
typedef struct PlaceWalk
{
	SearchCursor cursor;
	SearchPlaceCursor places;
} PlaceWalk;

typedef struct PhraseWord
{
	PlaceWalk  *terms;			/* those that the segment has */
	int			nterms;
	int			distance;		/* from the first word */
} PhraseWord;

typedef struct PhraseWalk
{
	PhraseWord *words;
	int			nwords;
	bool		excluded;
} PhraseWalk;

/* What the walks share: scratch for a chunk. */
typedef struct PhraseRun
{
	PhraseWalk *phrases;
	int			nphrases;
	uint32		chunk;
	Beginnings	beginnings;
	uint16		documents[SEARCH_CHUNK];	/* of a term's postings */
	uint32		numbers[SEARCH_CHUNK];
	uint16		places[SEARCH_MAX_PLACES];	/* of a posting */
	int			nplaces;
} PhraseRun;

static void
open_word(PhraseWord *word, const SearchSegment *segment, const SearchGroup *group, int distance)
{
	word->distance = distance;
	word->nterms = 0;
	word->terms = palloc(Max(group->nterms, 1) * sizeof(PlaceWalk));
	for (int i = 0; i < group->nterms; i++)
	{
		const SearchTermEntry *entry = search_segment_find(segment, group->terms[i].term,
														   group->terms[i].length);
		PlaceWalk  *walk = &word->terms[word->nterms];

		if (entry == NULL)
			continue;
		search_cursor_open(&walk->cursor, segment, entry);
		search_places_open(&walk->places, segment, entry);
		word->nterms++;
	}
}

static void
open_phrases(PhraseRun *run, const SearchSegment *segment, const SearchQuery *query, bool required)
{
	run->phrases = palloc(query->nphrases * sizeof(PhraseWalk));
	for (int i = 0; i < query->nphrases; i++)
	{
		const SearchPhrase *phrase = &query->phrases[i];
		PhraseWalk *walk = &run->phrases[run->nphrases];

		if (!required && !phrase->excluded)
			continue;
		run->nphrases++;
		walk->excluded = phrase->excluded;
		walk->nwords = phrase->ngroups;
		walk->words = palloc(phrase->ngroups * sizeof(PhraseWord));
		for (int j = 0; j < phrase->ngroups; j++)
			open_word(&walk->words[j], segment, &phrase->groups[j],
					  phrase->offsets[j] - phrase->offsets[0]);
	}
}

static void
close_phrases(PhraseRun *run)
{
	for (int i = 0; i < run->nphrases; i++)
	{
		for (int j = 0; j < run->phrases[i].nwords; j++)
			pfree(run->phrases[i].words[j].terms);
		pfree(run->phrases[i].words);
	}
	pfree(run->phrases);
	if (run->beginnings.all != NULL)
		pfree(run->beginnings.all);
	pfree(run);
}

static bool
any_document(const uint64 *words)
{
	uint64		any = 0;

	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		any |= words[i];
	return any != 0;
}

/* Keep those of the chunk's documents that have all words of a phrase. */
static void
keep_candidates(PhraseRun *run, PhraseWalk *phrase, uint64 *documents)
{
	for (int i = 0; i < phrase->nwords && any_document(documents); i++)
	{
		PhraseWord *word = &phrase->words[i];
		uint64		having[SEARCH_CHUNK_WORDS] = {0};

		for (int j = 0; j < word->nterms; j++)
		{
			uint64		marks[SEARCH_CHUNK_WORDS];

			search_cursor_foresee(&word->terms[j].cursor, run->chunk, marks);
			for (int k = 0; k < SEARCH_CHUNK_WORDS; k++)
				having[k] |= marks[k];
		}
		for (int k = 0; k < SEARCH_CHUNK_WORDS; k++)
			documents[k] &= having[k];
	}
}

/* Read the places of one of the postings found, in run->places. */
static void
read_places(PhraseRun *run, PlaceWalk *walk, uint32 posting)
{
	run->nplaces = search_places_read(&walk->places, run->numbers[posting], run->places);
}

static void
add_beginning(Beginnings *beginnings, uint16 document, uint16 place)
{
	if (beginnings->count == beginnings->allocated)
	{
		beginnings->allocated = Max(beginnings->allocated * 2, SEARCH_CHUNK);
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
add_term_beginnings(PhraseRun *run, PlaceWalk *walk, const uint64 *candidates)
{
	uint32		count = search_cursor_number(&walk->cursor, run->chunk, candidates,
											 run->documents, run->numbers);

	for (uint32 i = 0; i < count; i++)
	{
		read_places(run, walk, i);
		for (int j = 0; j < run->nplaces; j++)
			add_beginning(&run->beginnings, run->documents[i], run->places[j]);
	}
}

static int
compare_beginnings(const void *a, const void *b)
{
	const Beginning *left = a;
	const Beginning *right = b;

	if (left->document != right->document)
		return (int) left->document - (int) right->document;
	return (int) left->place - (int) right->place;
}

/* Find where the first word stands. */
static void
find_beginnings(PhraseRun *run, PhraseWord *word, const uint64 *candidates)
{
	run->beginnings.count = 0;
	for (int i = 0; i < word->nterms; i++)
		add_term_beginnings(run, &word->terms[i], candidates);
	if (word->nterms > 1)
		qsort(run->beginnings.all, run->beginnings.count, sizeof(Beginning), compare_beginnings);
}

/* Does a place stand among a posting's? */
static bool
has_place(const PhraseRun *run, uint32 place)
{
	for (int i = 0; i < run->nplaces; i++)
	{
		if (run->places[i] >= place)
			return run->places[i] == place;
	}
	return false;
}

/* Note the beginnings that a term stands in a distance from. */
static void
note_term(PhraseRun *run, PlaceWalk *walk, int distance, const uint64 *candidates)
{
	Beginnings *beginnings = &run->beginnings;
	uint32		count = search_cursor_number(&walk->cursor, run->chunk, candidates,
											 run->documents, run->numbers);
	uint32		at = 0;

	for (uint32 i = 0; i < count; i++)
	{
		while (at < beginnings->count && beginnings->all[at].document < run->documents[i])
			at++;
		if (at == beginnings->count)
			return;
		read_places(run, walk, i);
		for (; at < beginnings->count && beginnings->all[at].document == run->documents[i]; at++)
			beginnings->all[at].goes_on |= has_place(run, beginnings->all[at].place + distance);
	}
}

/* Keep the beginnings that go on with a word, and the candidates that have any. */
static void
keep_beginnings(PhraseRun *run, PhraseWord *word, uint64 *candidates)
{
	Beginnings *beginnings = &run->beginnings;
	uint32		kept = 0;

	for (int i = 0; i < word->nterms; i++)
		note_term(run, &word->terms[i], word->distance, candidates);
	memset(candidates, 0, SEARCH_CHUNK_WORDS * sizeof(uint64));
	for (uint32 i = 0; i < beginnings->count; i++)
	{
		uint16		document = beginnings->all[i].document;

		if (!beginnings->all[i].goes_on)
			continue;
		beginnings->all[kept] = beginnings->all[i];
		beginnings->all[kept++].goes_on = false;
		candidates[document / 64] |= UINT64CONST(1) << (document % 64);
	}
	beginnings->count = kept;
}

/* Keep those of the candidates that hold a phrase. */
static void
keep_holding(PhraseRun *run, PhraseWalk *phrase, uint64 *candidates)
{
	if (phrase->nwords == 1 || !any_document(candidates))
		return;
	find_beginnings(run, &phrase->words[0], candidates);
	for (int i = 1; i < phrase->nwords && run->beginnings.count > 0; i++)
		keep_beginnings(run, &phrase->words[i], candidates);
}

/* Take documents that lack a phrase, or hold an excluded one, out of the chunk's. */
static void
restrict_chunk(PhraseRun *run, uint64 *documents)
{
	for (int i = 0; i < run->nphrases; i++)
	{
		if (!run->phrases[i].excluded)
			keep_candidates(run, &run->phrases[i], documents);
	}
	for (int i = 0; i < run->nphrases && any_document(documents); i++)
	{
		PhraseWalk *phrase = &run->phrases[i];
		uint64		holding[SEARCH_CHUNK_WORDS];

		if (!phrase->excluded)
		{
			keep_holding(run, phrase, documents);
			continue;
		}
		memcpy(holding, documents, sizeof(holding));
		keep_candidates(run, phrase, holding);
		keep_holding(run, phrase, holding);
		for (int j = 0; j < SEARCH_CHUNK_WORDS; j++)
			documents[j] &= ~holding[j];
	}
}

void
search_restrict_to_phrases(const SearchViewSegment *place, const SearchQuery *query,
						   bool required, uint64 *allowed)
{
	PhraseRun  *run = palloc0(sizeof(PhraseRun));

	open_phrases(run, place->segment, query, required);
	for (run->chunk = 0; run->chunk < SEARCH_CHUNKS(place->segment->ndocuments); run->chunk++)
	{
		CHECK_FOR_INTERRUPTS();
		restrict_chunk(run, allowed + (Size) run->chunk * SEARCH_CHUNK_WORDS);
	}
	close_phrases(run);
}
