/*-------------------------------------------------------------------------
 *
 * filter.c
 *	  Which documents of a segment pass a search's filters.
 *
 * A chunk of documents at a time, and only of those that are still of
 * interest: first the ones that live, then policy type, currency and country,
 * which are terms with bitmaps or postings; the columns are looked at for
 * those that are left.  Whether a document passes cannot be foretold, so the
 * loops have no branch for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "port/pg_bitutils.h"

#include "search/bits.h"
#include "search/postings.h"
#include "search/score.h"

/* With more than so many of 64 documents left, all are compared at once. */
#define DENSE_WORD 6

/* A country is the documents that name it and those offered everywhere. */
#define VALUE_TERMS 2
#define MAX_VALUES	3

/* A filter value: a document must have one of the terms. */
typedef struct FilterValue
{
	int			ncursors;
	SearchCursor cursors[VALUE_TERMS];
} FilterValue;

struct SearchFilterWalk
{
	const SearchSegment *segment;
	const uint64 *live;
	const SearchFilters *filters;
	FilterValue *values;
	int			nvalues;
	int64		company;		/* in this segment; -1: it has none of it */
	int64		product;		/* its document; -1: it does not have it */
	double		minimum;
	double		maximum;
	uint8		lowest_step;	/* what lies between these two fits, */
	uint8		highest_step;	/* what is in one of them may */
	bool		has_premium;
};

static void
open_value_term(FilterValue *value, const SearchSegment *segment, char kind, const char *text)
{
	char		term[SEARCH_TERM_MAX];
	int			length = Min((int) strlen(text), SEARCH_TERM_MAX - 2);
	const SearchTermEntry *entry;

	term[0] = SEARCH_FILTER_MARK;
	term[1] = kind;
	memcpy(term + 2, text, length);
	entry = search_segment_find(segment, term, length + 2);
	if (entry != NULL)
		search_cursor_open(&value->cursors[value->ncursors++], segment, entry);
}

static void
open_value(SearchFilterWalk *walk, char kind, const char *text)
{
	FilterValue *value;

	if (text == NULL)
		return;
	value = &walk->values[walk->nvalues++];
	value->ncursors = 0;
	open_value_term(value, walk->segment, kind, text);
	if (kind == SEARCH_FILTER_COUNTRY)
		open_value_term(value, walk->segment, kind, "");
}

static void
open_premiums(SearchFilterWalk *walk)
{
	const SearchFilters *filters = walk->filters;

	walk->has_premium = filters->has_minimum || filters->has_maximum;
	walk->minimum = filters->has_minimum ? filters->minimum_premium : -1;
	walk->maximum = filters->has_maximum ? filters->maximum_premium : DBL_MAX;
	walk->lowest_step = search_premium_step(walk->minimum);
	walk->highest_step = search_premium_step(walk->maximum);
}

SearchFilterWalk *
search_filter_open(const SearchViewSegment *place, const SearchFilters *filters)
{
	SearchFilterWalk *walk = palloc(sizeof(SearchFilterWalk));

	walk->segment = place->segment;
	walk->live = place->live;
	walk->filters = filters;
	walk->values = palloc(MAX_VALUES * sizeof(FilterValue));
	walk->nvalues = 0;
	open_value(walk, SEARCH_FILTER_TYPE, filters->policy_type);
	open_value(walk, SEARCH_FILTER_CURRENCY, filters->currency);
	open_value(walk, SEARCH_FILTER_COUNTRY, filters->country);
	walk->company = filters->company != NULL
		? search_segment_company(place->segment, filters->company) : -1;
	walk->product = filters->product != NULL
		? search_segment_document(place->segment, filters->product) : -1;
	open_premiums(walk);
	return walk;
}

bool
search_filter_is_any(const SearchFilters *filters)
{
	return filters->policy_type != NULL || filters->currency != NULL ||
		filters->country != NULL || filters->company != NULL || filters->product != NULL ||
		filters->age >= 0 || filters->has_minimum || filters->has_maximum;
}

/* Keep the documents of a chunk with a filter value. */
static void
filter_value(FilterValue *value, uint32 chunk, uint64 *words)
{
	uint64		having[SEARCH_CHUNK_WORDS] = {0};

	for (int i = 0; i < value->ncursors; i++)
		search_cursor_mark(&value->cursors[i], chunk, having);
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		words[i] &= having[i];
}

/* SEARCH_AGE_NONE is no lower limit, and above every upper one. */
static inline uint8
fits_age(uint8 minimum, uint8 maximum, int age)
{
	return ((minimum == SEARCH_AGE_NONE) | (minimum <= age)) & (maximum >= age);
}

/* Which of 64 documents fit, a byte for each. */
SEARCH_VECTORIZED static void
fit_ages(const uint8 *minimums, const uint8 *maximums, int age, uint8 *fits)
{
	for (int i = 0; i < 64; i++)
		fits[i] = fits_age(minimums[i], maximums[i], age);
}

/* The same of one byte each. */
SEARCH_VECTORIZED static void
fit_few_companies(const uint8 *companies, uint8 company, uint8 *fits)
{
	for (int i = 0; i < 64; i++)
		fits[i] = companies[i] == company;
}

static void
fit_companies(const SearchSegment *segment, uint32 first, uint32 company, uint8 *fits)
{
	if (segment->company_bytes == 1)
	{
		fit_few_companies(SEARCH_SECTION(segment, SECTION_COMPANY, uint8) + first, (uint8) company,
						  fits);
		return;
	}
	for (int i = 0; i < 64; i++)
		fits[i] = search_segment_company_of(segment, first + i) == company;
}

/* Are there documents enough, and all of the word's 64, to compare all at once? */
static inline bool
is_dense(const SearchSegment *segment, uint32 first, uint64 word)
{
	return pg_popcount64(word) > DENSE_WORD && first + 64 <= segment->ndocuments;
}

/* Of the documents of a word, which begins with one, those of the company. */
static uint64
filter_company(const SearchFilterWalk *walk, uint32 first, uint64 word)
{
	uint64		fitting = 0;
	uint8		fits[64];

	if (is_dense(walk->segment, first, word))
	{
		fit_companies(walk->segment, first, (uint32) walk->company, fits);
		return word & search_bits_of_bytes(fits);
	}
	for (; word != 0; word &= word - 1)
	{
		int			bit = pg_rightmost_one_pos64(word);
		uint64		fits_it = search_segment_company_of(walk->segment, first + bit) == walk->company;

		fitting |= fits_it << bit;
	}
	return fitting;
}

/* The same, those that insure the age. */
static uint64
filter_age(const SearchFilterWalk *walk, uint32 first, uint64 word)
{
	const uint8 *minimums = SEARCH_SECTION(walk->segment, SECTION_MINIMUM_AGES, uint8) + first;
	const uint8 *maximums = SEARCH_SECTION(walk->segment, SECTION_MAXIMUM_AGES, uint8) + first;
	uint64		fitting = 0;
	uint8		fits[64];

	if (is_dense(walk->segment, first, word))
	{
		fit_ages(minimums, maximums, walk->filters->age, fits);
		return word & search_bits_of_bytes(fits);
	}
	for (; word != 0; word &= word - 1)
	{
		int			bit = pg_rightmost_one_pos64(word);

		fitting |= (uint64) fits_age(minimums[bit], maximums[bit], walk->filters->age) << bit;
	}
	return fitting;
}

/*
 * Of the documents of a word, which begins with one, those with premiums that
 * fit, and as *unsure those with premiums in the same steps as the bounds.
 */
static inline uint64
split_premiums(const SearchFilterWalk *walk, uint32 first, uint64 word, uint64 *unsure)
{
	const uint8 *steps = SEARCH_SECTION(walk->segment, SECTION_PREMIUM_STEPS, uint8) + first;
	uint64		inside = 0;

	/* of the next chunk, most likely another page, where processors do not look ahead */
	SEARCH_PREFETCH(steps + SEARCH_CHUNK);
	*unsure = word;
	/* the last documents do not fill a word */
	if (word != 0 && first + 64 <= walk->segment->ndocuments)
	{
		inside = word & search_bits_between(steps, walk->lowest_step, walk->highest_step, unsure);
		*unsure &= word;
	}
	return inside;
}

/* Is a document's premium within the bounds? */
static inline uint64
fits_premium(const SearchFilterWalk *walk, uint32 document)
{
	double		premium = search_segment_premium(walk->segment, document);

	return (premium >= walk->minimum) & (premium <= walk->maximum);
}

/*
 * Keep the documents of a chunk with premiums that fit.  Those that have to be
 * looked at lie far from each other: all are sent for before the first look.
 */
static void
filter_premiums(const SearchFilterWalk *walk, uint32 start, uint64 *words)
{
	uint16		places[SEARCH_CHUNK];
	int			nplaces = 0;

	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
	{
		uint64		unsure;

		words[i] = split_premiums(walk, start + i * 64, words[i], &unsure);
		for (; unsure != 0; unsure &= unsure - 1)
		{
			places[nplaces] = i * 64 + pg_rightmost_one_pos64(unsure);
			search_segment_prefetch_premium(walk->segment, start + places[nplaces++]);
		}
	}
	for (int i = 0; i < nplaces; i++)
		words[places[i] / 64] |= fits_premium(walk, start + places[i]) << (places[i] % 64);
}

/* Keep the document of a product alone. */
static void
filter_product(int64 document, uint32 chunk, uint64 *words)
{
	uint64		kept[SEARCH_CHUNK_WORDS] = {0};

	if (document >= 0 && document >> SEARCH_CHUNK_BITS == chunk)
		kept[document % SEARCH_CHUNK / 64] = UINT64CONST(1) << (document % 64);
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		words[i] &= kept[i];
}

bool
search_filter_chunk(SearchFilterWalk *walk, uint32 chunk, uint64 *words)
{
	const uint64 *live = walk->live + (Size) chunk * SEARCH_CHUNK_WORDS;
	uint32		start = chunk << SEARCH_CHUNK_BITS;
	uint64		any = 0;

	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		words[i] &= live[i];
	if (walk->filters->product != NULL)
		filter_product(walk->product, chunk, words);
	for (int i = 0; i < walk->nvalues; i++)
		filter_value(&walk->values[i], chunk, words);
	for (int i = 0; walk->filters->company != NULL && i < SEARCH_CHUNK_WORDS; i++)
		words[i] = walk->company < 0 ? 0 : filter_company(walk, start + i * 64, words[i]);
	for (int i = 0; walk->filters->age >= 0 && i < SEARCH_CHUNK_WORDS; i++)
		words[i] = filter_age(walk, start + i * 64, words[i]);
	if (walk->has_premium)
		filter_premiums(walk, start, words);
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		any |= words[i];
	return any != 0;
}
