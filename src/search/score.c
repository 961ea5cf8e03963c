/*-------------------------------------------------------------------------
 *
 * score.c
 *	  Filter, score and count in one pass.
 *
 * A segment is gone through a chunk of documents at a time.  Each word of the
 * query adds to the scores of the chunk's documents; those that match and
 * pass the filters are counted and offered to the collector.  Where the
 * largest score that a chunk could have is no longer wanted, its documents
 * are only counted.
 *
 * A document's score is the sum of its words', each the impact times the idf
 * of Robertson and Sparck Jones in the form that is never negative, times a
 * factor for how many of the words it has, times a factor for popularity and
 * freshness, which both have a cap.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "access/xact.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/timestamp.h"

#include "search/bits.h"
#include "search/postings.h"
#include "search/score.h"

/* Softens the idf: measured best on collections of products and of abstracts. */
#define IDF_POWER		0.8

#define MAX_POPULARITY	100
#define FRESHNESS_DAYS	4096	/* older is as old */

/* The score of a product whose code was searched for: above all others. */
#define CODE_SCORE		1e30f

/* What bounds of scores are raised by: floats are rounded to 24 bits at each step. */
#define ROUNDING_MARGIN	1.000001f

double		search_popularity_boost = 0.1;
double		search_freshness_boost = 0.05;
int			search_freshness_half_life = 90;

/* A term of a segment that is being walked. */
typedef struct TermWalk
{
	SearchCursor cursor;
	float		weight;			/* of an impact of 1 */
	struct TermWalk *also;		/* must be there as well */
} TermWalk;

typedef struct GroupWalk
{
	TermWalk  **terms;			/* those that the segment has */
	int			nterms;
} GroupWalk;

/* A search as it runs over one segment. */
typedef struct Run
{
	const SearchView *view;
	const SearchPlan *plan;
	SearchCollector *collector;
	const SearchSegment *segment;
	int			place;			/* of the segment in the view */
	GroupWalk  *groups;
	int			ngroups;
	SearchFilterWalk *filter;
	uint64	   *restricted;		/* documents allowed, NULL: what the filter lets pass */
	uint64	   *matches;		/* NULL: not kept */
	SearchCoded coded;
	float		largest_factor;	/* of a score for how many groups match */
	float		largest_boost;	/* in the chunk at hand, and a little more */
	const float *popularity;	/* parts of the boost */
	const float *freshness;
	int			today;
	uint64		total;
	float		scores[SEARCH_CHUNK];
	float		group_scores[SEARCH_CHUNK]; /* 0 but while a group is added */
	float		term_scores[SEARCH_CHUNK];	/* of a term that does not count alone */
	float		also_scores[SEARCH_CHUNK];
	uint8		counts[SEARCH_CHUNK];
} Run;

static float
idf(const SearchView *view, const SearchTermUse *use)
{
	double		documents = search_view_documents(view);
	double		frequency = search_view_frequency(view, use->term, use->length);

	return (float) pow(log(1.0 + Max(documents - frequency + 0.5, 0.5) / (frequency + 0.5)),
					   IDF_POWER);
}

/* The weight of an impact of 1. */
static float
use_weight(const SearchView *view, const SearchGroup *group, const SearchTermUse *use)
{
	return group->weight * use->weight * idf(view, use) * SEARCH_IMPACT_STEP;
}

/* Start to walk a use of a term; NULL when the segment lacks it. */
static TermWalk *
open_use(const SearchView *view, const SearchSegment *segment, const SearchGroup *group,
		 const SearchTermUse *use)
{
	const SearchTermEntry *entry = search_segment_find(segment, use->term, use->length);
	TermWalk   *also = NULL;
	TermWalk   *walk;

	if (entry == NULL || search_is_counted_only(use->term))
		return NULL;
	if (use->also != NULL && (also = open_use(view, segment, group, use->also)) == NULL)
		return NULL;
	walk = palloc(sizeof(TermWalk));
	search_cursor_open(&walk->cursor, segment, entry);
	walk->weight = use_weight(view, group, use);
	walk->also = also;
	return walk;
}

static void
open_groups(Run *run)
{
	const SearchQuery *query = run->plan->query;

	run->ngroups = query != NULL ? query->ngroups : 0;
	run->groups = palloc0(Max(run->ngroups, 1) * sizeof(GroupWalk));
	/* where a group has no term, no document matches all of them */
	run->largest_factor = query != NULL ? query->all_words_factor : 1;
	for (int i = 0; i < run->ngroups; i++)
	{
		const SearchGroup *group = &query->groups[i];

		run->groups[i].terms = palloc(Max(group->nterms, 1) * sizeof(TermWalk *));
		for (int j = 0; j < group->nterms; j++)
		{
			TermWalk   *walk = open_use(run->view, run->segment, group, &group->terms[j]);

			if (walk != NULL)
				run->groups[i].terms[run->groups[i].nterms++] = walk;
		}
		if (run->groups[i].nterms == 0)
			run->largest_factor = 1;
	}
}

/* Let the filter pass over all documents, for what needs all of them at once. */
static uint64 *
filter_all(Run *run)
{
	Size		nwords = SEARCH_BITMAP_WORDS(run->segment->ndocuments);
	uint64	   *allowed = palloc(Max(nwords, 1) * sizeof(uint64));
	SearchFilterWalk *filter = search_filter_open(&run->view->segments[run->place],
												  &run->plan->filters);

	memset(allowed, 0xFF, nwords * sizeof(uint64));
	for (uint32 chunk = 0; chunk < SEARCH_CHUNKS(run->segment->ndocuments); chunk++)
		(void) search_filter_chunk(filter, chunk, allowed + (Size) chunk * SEARCH_CHUNK_WORDS);
	return allowed;
}

/* Take out documents with an excluded word. */
static void
exclude(Run *run)
{
	const SearchQuery *query = run->plan->query;
	Size		nwords = SEARCH_BITMAP_WORDS(run->segment->ndocuments);
	uint64	   *excluded;

	if (query->nexcluded == 0)
		return;
	excluded = palloc0(Max(nwords, 1) * sizeof(uint64));
	for (int i = 0; i < query->nexcluded; i++)
		search_mark_group(run->segment, &query->excluded[i], excluded);
	for (Size i = 0; i < nwords; i++)
		run->restricted[i] &= ~excluded[i];
	pfree(excluded);
}

/* Take out of a chunk's documents those that may not be found. */
static bool
filter_chunk(Run *run, uint32 chunk, uint64 *words)
{
	Size		first = (Size) chunk * SEARCH_CHUNK_WORDS;
	uint64		any = 0;

	if (run->restricted == NULL)
		return search_filter_chunk(run->filter, chunk, words);
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		any |= words[i] &= run->restricted[first + i];
	return any != 0;
}

/* Set the bits of a chunk's documents that have a use of a term. */
static void
mark_term(TermWalk *walk, uint32 chunk, uint64 *words)
{
	uint64		marks[SEARCH_CHUNK_WORDS] = {0};

	if (walk->also == NULL)
	{
		search_cursor_mark(&walk->cursor, chunk, words);
		return;
	}
	search_cursor_mark(&walk->cursor, chunk, marks);
	for (TermWalk *also = walk->also; also != NULL; also = also->also)
	{
		uint64		other[SEARCH_CHUNK_WORDS] = {0};

		search_cursor_mark(&also->cursor, chunk, other);
		for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
			marks[i] &= other[i];
	}
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		words[i] |= marks[i];
}

/* Does the query ask for nothing, but only leave out? */
static bool
matches_all(const Run *run)
{
	return run->ngroups == 0 && !run->plan->query->empty;
}

/* The documents of a chunk that match the words at all. */
static void
mark_chunk(Run *run, uint32 chunk, uint64 *words)
{
	memset(words, matches_all(run) ? 0xFF : 0, SEARCH_CHUNK_WORDS * sizeof(uint64));
	for (int i = 0; i < run->ngroups; i++)
	{
		for (int j = 0; j < run->groups[i].nterms; j++)
			mark_term(run->groups[i].terms[j], chunk, words);
	}
}

/* Lower a chunk's scores to others. */
SEARCH_VECTORIZED static void
lower_scores(float *restrict scores, const float *restrict others)
{
	for (int i = 0; i < SEARCH_CHUNK; i++)
		scores[i] = others[i] < scores[i] ? others[i] : scores[i];
}

/* Raise a chunk's scores to others. */
SEARCH_VECTORIZED static void
raise_scores(float *restrict scores, const float *restrict others)
{
	for (int i = 0; i < SEARCH_CHUNK; i++)
		scores[i] = others[i] > scores[i] ? others[i] : scores[i];
}

/* Add others to a chunk's scores, and to the counts of those that are not 0. */
SEARCH_VECTORIZED static void
add_scores(float *restrict scores, uint8 *restrict counts, const float *restrict others)
{
	for (int i = 0; i < SEARCH_CHUNK; i++)
		scores[i] += others[i];
	for (int i = 0; i < SEARCH_CHUNK; i++)
		counts[i] += others[i] != 0;
}

/*
 * Raise a group's scores to those of a term that does not count alone: the
 * least of all that must be there.
 */
static void
raise_together(Run *run, TermWalk *walk, uint32 chunk)
{
	memset(run->term_scores, 0, sizeof(run->term_scores));
	search_cursor_raise(&walk->cursor, chunk, walk->weight, run->term_scores);
	for (TermWalk *also = walk->also; also != NULL; also = also->also)
	{
		memset(run->also_scores, 0, sizeof(run->also_scores));
		search_cursor_raise(&also->cursor, chunk, also->weight, run->also_scores);
		lower_scores(run->term_scores, run->also_scores);
	}
	raise_scores(run->group_scores, run->term_scores);
}

/* Add a group's scores, each the best of its terms; leaves group_scores 0. */
static void
add_group(Run *run, GroupWalk *group, uint32 chunk)
{
	bool		any = false;

	for (int i = 0; i < group->nterms; i++)
	{
		TermWalk   *walk = group->terms[i];

		if (search_cursor_bound(&walk->cursor, chunk) == 0)
			continue;
		any = true;
		if (walk->also != NULL)
			raise_together(run, walk, chunk);
		else
			search_cursor_raise(&walk->cursor, chunk, walk->weight, run->group_scores);
	}
	if (!any)
		return;
	add_scores(run->scores, run->counts, run->group_scores);
	memset(run->group_scores, 0, sizeof(run->group_scores));
}

/* A bit for each of 64 scores that is at least so high. */
static inline uint64
bits_of_scores(const float *scores, float least)
{
	uint64		bits = 0;

#ifdef __SSE2__
	__m128		four = _mm_set1_ps(least);

	for (int i = 0; i < 64; i += 4)
		bits |= (uint64) _mm_movemask_ps(_mm_cmpge_ps(_mm_loadu_ps(scores + i), four)) << i;
#else
	for (int i = 0; i < 64; i++)
		bits |= (uint64) (scores[i] >= least) << i;
#endif
	return bits;
}

/* A bit for each of 64 counts that is so high. */
SEARCH_VECTORIZED static uint64
bits_of_counts(const uint8 *counts, uint8 count)
{
	uint8		equal[64];

	for (int i = 0; i < 64; i++)
		equal[i] = counts[i] == count;
	return search_bits_of_bytes(equal);
}

/* Score a chunk's documents; the marks of those that match. */
static void
score_chunk(Run *run, uint32 chunk, uint64 *words)
{
	memset(run->scores, 0, sizeof(run->scores));
	memset(run->counts, 0, sizeof(run->counts));
	if (matches_all(run))
	{
		for (int i = 0; i < SEARCH_CHUNK; i++)
			run->scores[i] = 1;
		mark_chunk(run, chunk, words);
		return;
	}
	for (int i = 0; i < run->ngroups; i++)
	{
		GroupWalk  *group = &run->groups[i];

		if (group->nterms == 1 && group->terms[0]->also == NULL)
		{
			search_cursor_add(&group->terms[0]->cursor, chunk, group->terms[0]->weight,
							  run->scores, run->counts);
			continue;
		}
		add_group(run, group, chunk);
	}
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		words[i] = search_bits_of_bytes(run->counts + i * 64);
}

/*
 * The largest score, boosts included, that a chunk's documents could have; 0
 * when there are no postings in it.
 */
static float
chunk_bound(Run *run, uint32 chunk)
{
	float		bound = matches_all(run) ? 1 : 0;

	for (int i = 0; i < run->ngroups; i++)
	{
		float		best = 0;

		for (int j = 0; j < run->groups[i].nterms; j++)
		{
			TermWalk   *walk = run->groups[i].terms[j];

			best = Max(best, walk->weight * search_cursor_bound(&walk->cursor, chunk));
		}
		bound += best;
	}
	return bound * run->largest_factor * run->largest_boost;
}

/* The boosts by popularity and by age in days, made anew for new settings. */
static void
make_boosts(const float **popularity, const float **freshness)
{
	static float by_popularity[MAX_POPULARITY + 1];
	static float by_age[FRESHNESS_DAYS];
	static double settings[3] = {-1, -1, -1};
	double		now[3] = {search_popularity_boost, search_freshness_boost,
	search_freshness_half_life};

	*popularity = by_popularity;
	*freshness = by_age;
	if (memcmp(settings, now, sizeof(settings)) == 0)
		return;
	for (int i = 0; i <= MAX_POPULARITY; i++)
		by_popularity[i] = search_popularity_boost * i / MAX_POPULARITY;
	for (int i = 0; i < FRESHNESS_DAYS; i++)
		by_age[i] = search_freshness_boost * exp2(-(double) i / search_freshness_half_life);
	memcpy(settings, now, sizeof(settings));
}

static inline float
boost(const Run *run, uint32 document)
{
	int			popularity = SEARCH_SECTION(run->segment, SECTION_POPULARITY, uint8)[document];
	int			age = run->today - (int) (search_segment_created(run->segment, document) / USECS_PER_DAY);

	return 1.0f + run->popularity[popularity] +
		run->freshness[Max(0, Min(age, FRESHNESS_DAYS - 1))];
}

/* The largest boost there can be in a chunk: its first document is the most popular. */
static float
largest_boost(const Run *run, uint32 chunk)
{
	const uint8 *popularity = SEARCH_SECTION(run->segment, SECTION_POPULARITY, uint8);

	return (1.0f + run->popularity[popularity[chunk << SEARCH_CHUNK_BITS]] + run->freshness[0]) *
		ROUNDING_MARGIN;
}

/* Offer a document to the collector by its score. */
static void
offer(Run *run, uint32 document, float score)
{
	SearchHit	hit = {run->plan->ascending ? -score : score, score, document, run->place};

	if (!run->collector->full || hit.key >= run->collector->worst.key)
		search_collector_add(run->collector, &hit);
}

/* Of the documents of a word, which begins at a place, those that the collector may want. */
static inline uint64
wanted_scores(const Run *run, int place, uint64 word)
{
	float		least = run->collector->worst.key / run->largest_boost;
	uint64		wanted = bits_of_scores(run->scores + place, least);

	if (run->largest_factor > 1)
		wanted |= bits_of_scores(run->scores + place, least / run->largest_factor) &
			bits_of_counts(run->counts + place, run->ngroups);
	return word & wanted;
}

/* Offer a chunk's matches by their scores. */
static void
offer_scores(Run *run, uint32 chunk, const uint64 *words)
{
	float		all_words_factor = run->plan->query->all_words_factor;
	bool		falling = !run->plan->ascending;

	for (int i = 0; i < SEARCH_CHUNK; i += 64)
	{
		uint64		word = words[i / 64];

		if (word != 0 && falling && run->collector->full)
			word = wanted_scores(run, i, word);
		for (; word != 0; word &= word - 1)
		{
			int			place = i + pg_rightmost_one_pos64(word);
			uint32		document = (chunk << SEARCH_CHUNK_BITS) + place;
			float		score = run->scores[place];

			if (run->counts[place] == run->ngroups)
				score *= all_words_factor;
			offer(run, document, score * boost(run, document));
		}
	}
}

/* The smallest impact of a single term that the collector still wants. */
static int
least_impact(const Run *run, float largest_factor)
{
	if (!run->collector->full || run->plan->ascending)
		return 1;
	/* a code's score is beyond all others */
	return Max(1, (int) Min(floor(run->collector->worst.key / largest_factor), PG_INT32_MAX));
}

/* Score, mark and offer a chunk of a search of a single term. */
static void
run_single_chunk(Run *run, uint32 chunk, const uint64 *allowed, uint64 *words)
{
	TermWalk   *walk = run->groups[0].terms[0];
	int			least = least_impact(run, walk->weight * run->largest_boost);
	uint16		places[SEARCH_CHUNK];
	uint8		impacts[SEARCH_CHUNK];
	uint32		count;

	if (least > SEARCH_IMPACTS)
	{
		memset(words, 0, SEARCH_CHUNK_WORDS * sizeof(uint64));
		search_cursor_mark(&walk->cursor, chunk, words);
		for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
			words[i] &= allowed[i];
		return;
	}
	count = search_cursor_best(&walk->cursor, chunk, allowed, least, words, places, impacts);
	for (uint32 i = 0; i < count; i++)
	{
		uint32		document = (chunk << SEARCH_CHUNK_BITS) + places[i];
		float		score = walk->weight * impacts[i] * boost(run, document);

		if (!search_is_coded(&run->coded, document))
			offer(run, document, score);
	}
}

/* Is the search one of a single term? */
static bool
is_single(const Run *run)
{
	return run->ngroups == 1 && run->groups[0].nterms == 1 &&
		run->groups[0].terms[0]->also == NULL;
}

/* Take coded documents out of a chunk's matches; they are offered apart. */
static void
without_coded(Run *run, uint32 chunk, uint64 *words)
{
	for (int i = 0; i < run->coded.count; i++)
	{
		uint32		document = run->coded.documents[i];

		if (document >> SEARCH_CHUNK_BITS == chunk)
			words[document % SEARCH_CHUNK / 64] &= ~(UINT64CONST(1) << (document % 64));
	}
}

/* Find, and offer, a chunk's matches of a single term, best impacts first. */
static void
find_single(Run *run, uint32 chunk, uint64 *words)
{
	uint64		allowed[SEARCH_CHUNK_WORDS];

	/* filters cost less for the documents that have the term alone */
	if (search_filter_is_any(&run->plan->filters))
		search_cursor_foresee(&run->groups[0].terms[0]->cursor, chunk, allowed);
	else
		memset(allowed, 0xFF, sizeof(allowed));
	if (filter_chunk(run, chunk, allowed))
		run_single_chunk(run, chunk, allowed, words);
	else
		memset(words, 0, SEARCH_CHUNK_WORDS * sizeof(uint64));
}

/* Find, and score if they may be wanted, a chunk's matches of several terms. */
static void
find_several(Run *run, uint32 chunk, float bound, uint64 *words)
{
	uint64		allowed[SEARCH_CHUNK_WORDS];
	bool		scored = run->plan->order == SEARCH_ORDER_RELEVANCE;

	memset(allowed, 0xFF, sizeof(allowed));
	if (!filter_chunk(run, chunk, allowed))
	{
		memset(words, 0, SEARCH_CHUNK_WORDS * sizeof(uint64));
		return;
	}
	if (scored && run->collector->full && !run->plan->ascending)
		scored = bound >= run->collector->worst.key;
	if (scored)
		score_chunk(run, chunk, words);
	else
		mark_chunk(run, chunk, words);
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		words[i] &= allowed[i];
	without_coded(run, chunk, words);
	if (scored)
		offer_scores(run, chunk, words);
}

/* Find, count and offer a chunk's matches. */
static void
run_chunk(Run *run, uint32 chunk)
{
	uint64		words[SEARCH_CHUNK_WORDS];
	float		bound;

	run->largest_boost = largest_boost(run, chunk);
	bound = run->plan->query != NULL ? chunk_bound(run, chunk) : 0;
	if (run->plan->query == NULL)
	{
		memset(words, 0xFF, sizeof(words));
		(void) filter_chunk(run, chunk, words);
	}
	else if (bound == 0)
		memset(words, 0, sizeof(words));
	else if (run->plan->order == SEARCH_ORDER_RELEVANCE && is_single(run))
		find_single(run, chunk, words);
	else
		find_several(run, chunk, bound, words);
	without_coded(run, chunk, words);
	run->total += search_count_bits(words, SEARCH_CHUNK_WORDS);
	if (run->matches != NULL)
		memcpy(run->matches + (Size) chunk * SEARCH_CHUNK_WORDS, words, sizeof(words));
}

/* What a query asks of documents beyond its filters and words. */
static void
restrict_run(Run *run)
{
	const SearchQuery *query = run->plan->query;

	run->restricted = NULL;
	memset(&run->coded, 0, sizeof(run->coded));
	if (query == NULL)
		return;
	if (query->nexcluded > 0 || query->nphrases > 0)
	{
		run->restricted = filter_all(run);
		exclude(run);
	}
	search_find_coded(&run->view->segments[run->place], query, &run->plan->filters,
					  run->restricted, &run->coded);
	if (query->nphrases > 0)
		search_restrict_to_phrases(&run->view->segments[run->place], query, true, run->restricted);
}

/* Run over one segment. */
static void
run_segment(Run *run)
{
	Size		nwords = SEARCH_BITMAP_WORDS(run->segment->ndocuments);
	bool		by_score = run->plan->order == SEARCH_ORDER_RELEVANCE;

	run->filter = search_filter_open(&run->view->segments[run->place], &run->plan->filters);
	run->matches = NULL;
	if (!by_score || run->plan->keeps_matches)
		run->matches = palloc(Max(nwords, 1) * sizeof(uint64));
	open_groups(run);
	restrict_run(run);
	for (int i = 0; i < run->coded.count && by_score; i++)
		offer(run, run->coded.documents[i], CODE_SCORE);
	for (uint32 chunk = 0; chunk < SEARCH_CHUNKS(run->segment->ndocuments); chunk++)
	{
		run_chunk(run, chunk);
		CHECK_FOR_INTERRUPTS();
	}
	run->total += run->coded.count;
	for (int i = 0; i < run->coded.count && run->matches != NULL; i++)
		run->matches[run->coded.documents[i] / 64] |=
			UINT64CONST(1) << (run->coded.documents[i] % 64);
}

/* Days from 2000-01-01 to now. */
static int
today(void)
{
	return (int) (GetCurrentTransactionStartTimestamp() / USECS_PER_DAY);
}

void
search_run(const SearchView *view, const SearchPlan *plan, SearchResult *result)
{
	Run		   *run = palloc0(sizeof(Run));
	SearchCollector collector;

	memset(result, 0, sizeof(*result));
	result->matches = palloc0(view->nsegments * sizeof(uint64 *));
	if (plan->order == SEARCH_ORDER_RELEVANCE)
		search_collector_start(&collector, view, plan, 0);
	make_boosts(&run->popularity, &run->freshness);
	run->view = view;
	run->plan = plan;
	run->collector = &collector;
	run->today = today();
	for (run->place = 0; run->place < view->nsegments; run->place++)
	{
		run->segment = view->segments[run->place].segment;
		run_segment(run);
		result->matches[run->place] = run->matches;
	}
	result->total = run->total;
	if (plan->order != SEARCH_ORDER_RELEVANCE)
		search_collect_by_column(&collector, view, plan, result->matches);
	search_collector_finish(&collector, result);
	pfree(run);
}

/* The impact of a term in a document, 0 when it is not there. */
static uint8
find_impact(const SearchSegment *segment, const SearchTermUse *use, uint32 document)
{
	const SearchTermEntry *entry = search_segment_find(segment, use->term, use->length);
	float		impacts[SEARCH_CHUNK] = {0};
	SearchCursor cursor;

	if (entry == NULL || search_is_counted_only(use->term))
		return 0;
	search_cursor_open(&cursor, segment, entry);
	search_cursor_raise(&cursor, document >> SEARCH_CHUNK_BITS, 1, impacts);
	return (uint8) impacts[document % SEARCH_CHUNK];
}

float
search_hit_part(const SearchView *view, const SearchHit *hit, const SearchGroup *group,
				const SearchTermUse *use)
{
	const SearchSegment *segment = view->segments[hit->segment].segment;
	float		part = use_weight(view, group, use) * find_impact(segment, use, hit->document);

	if (use->also == NULL || part == 0)
		return part;
	return Min(part, search_hit_part(view, hit, group, use->also));
}

float
search_hit_boost(const SearchView *view, const SearchHit *hit)
{
	const SearchSegment *segment = view->segments[hit->segment].segment;
	Run		   *run = palloc0(sizeof(Run));

	make_boosts(&run->popularity, &run->freshness);
	run->segment = segment;
	run->today = today();
	return boost(run, hit->document);
}
