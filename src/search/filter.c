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

#include <math.h>

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
	int32		least;			/* the same bounds in hundredths, where premiums are */
	int32		most;
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

/* Bounds of premiums that are hundredths; larger ones there are none. */
#define MOST_HUNDREDTHS (PG_INT32_MAX - 1)

/* The least number of hundredths that is not below a premium. */
static int32
least_hundredths(double premium)
{
	int32		least = (int32) Max(0, Min(ceil(premium * 100), MOST_HUNDREDTHS));

	/* the product is rounded: compare what is compared */
	while (least > 0 && (least - 1) / 100.0 >= premium)
		least--;
	while (least < MOST_HUNDREDTHS && least / 100.0 < premium)
		least++;
	return least;
}

/* The largest number of hundredths that is not above a premium, or -1. */
static int32
most_hundredths(double premium)
{
	int32		most = (int32) Max(-1, Min(floor(premium * 100), MOST_HUNDREDTHS));

	while (most < MOST_HUNDREDTHS && (most + 1) / 100.0 <= premium)
		most++;
	while (most >= 0 && most / 100.0 > premium)
		most--;
	return most;
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
	walk->has_premium = filters->has_minimum || filters->has_maximum;
	walk->minimum = filters->has_minimum ? filters->minimum_premium : -1;
	walk->maximum = filters->has_maximum ? filters->maximum_premium : 1e308;
	walk->least = least_hundredths(walk->minimum);
	walk->most = most_hundredths(walk->maximum);
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

static inline uint8
fits_premium(double premium, double minimum, double maximum)
{
	return (premium >= minimum) & (premium <= maximum);
}

/* SEARCH_AGE_NONE is no lower limit, and above every upper one. */
static inline uint8
fits_age(uint8 minimum, uint8 maximum, int age)
{
	return ((minimum == SEARCH_AGE_NONE) | (minimum <= age)) & (maximum >= age);
}

/* Which of the 64 documents from one on fit: all three set fits[64]. */
SEARCH_VECTORIZED static void
fit_premiums(const double *premiums, double minimum, double maximum, uint8 *fits)
{
	for (int i = 0; i < 64; i++)
		fits[i] = fits_premium(premiums[i], minimum, maximum);
}

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

/* A bit for each of 64 premiums in hundredths that lies within bounds. */
static inline uint64
bits_of_hundredths(const int32 *premiums, int32 least, int32 most)
{
	uint64		bits = 0;

#ifdef __SSE2__
	__m128i		below = _mm_set1_epi32(least - 1);
	__m128i		above = _mm_set1_epi32(most + 1);

	for (int i = 0; i < 64; i += 16)
	{
		__m128i		fits[4];

		for (int j = 0; j < 4; j++)
		{
			__m128i		four = _mm_loadu_si128((const __m128i *) (premiums + i + j * 4));

			fits[j] = _mm_and_si128(_mm_cmpgt_epi32(four, below), _mm_cmplt_epi32(four, above));
		}
		bits |= (uint64) _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(fits[0], fits[1]),
														   _mm_packs_epi32(fits[2], fits[3]))) << i;
	}
#else
	for (int i = 0; i < 64; i++)
		bits |= (uint64) ((premiums[i] >= least) & (premiums[i] <= most)) << i;
#endif
	return bits;
}

typedef enum FilterColumn
{
	COLUMN_COMPANY,
	COLUMN_AGE,
	COLUMN_PREMIUM
} FilterColumn;

/* Of the documents of a word, which begins with one, those that fit a column. */
static inline uint64
filter_few(const SearchFilterWalk *walk, FilterColumn column, uint32 first, uint64 word)
{
	const SearchSegment *segment = walk->segment;
	const uint8 *minimums = SEARCH_SECTION(segment, SECTION_MINIMUM_AGES, uint8) + first;
	const uint8 *maximums = SEARCH_SECTION(segment, SECTION_MAXIMUM_AGES, uint8) + first;
	uint64		fitting = 0;

	for (; word != 0; word &= word - 1)
	{
		int			bit = pg_rightmost_one_pos64(word);
		uint64		fits;

		if (column == COLUMN_COMPANY)
			fits = search_segment_company_of(segment, first + bit) == walk->company;
		else if (column == COLUMN_AGE)
			fits = fits_age(minimums[bit], maximums[bit], walk->filters->age);
		else
			fits = fits_premium(search_segment_premium(segment, first + bit), walk->minimum,
								walk->maximum);
		fitting |= fits << bit;
	}
	return fitting;
}

/* The same for a word with many documents. */
static uint64
filter_many(const SearchFilterWalk *walk, FilterColumn column, uint32 first, uint64 word)
{
	const SearchSegment *segment = walk->segment;
	uint8		fits[64];

	if (column == COLUMN_COMPANY)
		fit_companies(segment, first, (uint32) walk->company, fits);
	else if (column == COLUMN_AGE)
		fit_ages(SEARCH_SECTION(segment, SECTION_MINIMUM_AGES, uint8) + first,
				 SEARCH_SECTION(segment, SECTION_MAXIMUM_AGES, uint8) + first,
				 walk->filters->age, fits);
	else if (segment->hundredths)
		return word & bits_of_hundredths(SEARCH_SECTION(segment, SECTION_PREMIUMS, int32) + first,
										 walk->least, walk->most);
	else
		fit_premiums(SEARCH_SECTION(segment, SECTION_PREMIUMS, double) + first, walk->minimum,
					 walk->maximum, fits);
	return word & search_bits_of_bytes(fits);
}

static inline void
filter_column(const SearchFilterWalk *walk, FilterColumn column, uint32 chunk, uint64 *words)
{
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
	{
		uint32		first = (chunk << SEARCH_CHUNK_BITS) + i * 64;

		if (words[i] == 0)
			continue;
		/* the last documents do not fill a word */
		if (pg_popcount64(words[i]) > DENSE_WORD && first + 64 <= walk->segment->ndocuments)
			words[i] = filter_many(walk, column, first, words[i]);
		else
			words[i] = filter_few(walk, column, first, words[i]);
	}
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
	uint64		any = 0;

	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		words[i] &= live[i];
	if (walk->filters->product != NULL)
		filter_product(walk->product, chunk, words);
	for (int i = 0; i < walk->nvalues; i++)
		filter_value(&walk->values[i], chunk, words);
	if (walk->filters->company != NULL && walk->company < 0)
		memset(words, 0, SEARCH_CHUNK_WORDS * sizeof(uint64));
	if (walk->filters->company != NULL)
		filter_column(walk, COLUMN_COMPANY, chunk, words);
	if (walk->filters->age >= 0)
		filter_column(walk, COLUMN_AGE, chunk, words);
	if (walk->has_premium)
		filter_column(walk, COLUMN_PREMIUM, chunk, words);
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		any |= words[i];
	return any != 0;
}
