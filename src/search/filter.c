/*-------------------------------------------------------------------------
 *
 * filter.c
 *	  Which documents of a segment pass a search's filters.
 *
 * Policy type, currency and country are terms, whose bitmaps and postings
 * leave few documents; the columns are then looked at for these only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "search/postings.h"
#include "search/score.h"

/* Keep the documents whose bit is set in both. */
static void
intersect(uint64 *allowed, const uint64 *other, Size nwords)
{
	for (Size i = 0; i < nwords; i++)
		allowed[i] &= other[i];
}

static void
mark_filter_value(const SearchSegment *segment, char kind, const char *value, uint64 *bitmap)
{
	char		term[SEARCH_TERM_MAX];
	int			length = Min((int) strlen(value), SEARCH_TERM_MAX - 2);
	const SearchTermEntry *entry;

	term[0] = SEARCH_FILTER_MARK;
	term[1] = kind;
	memcpy(term + 2, value, length);
	entry = search_segment_find(segment, term, length + 2);
	if (entry != NULL)
		search_postings_mark(segment, entry, bitmap);
}

/* Keep documents with a filter value; country: those offered everywhere too. */
static void
filter_value(const SearchSegment *segment, char kind, const char *value, uint64 *allowed,
			 uint64 *scratch)
{
	Size		nwords = SEARCH_BITMAP_WORDS(segment->ndocuments);

	if (value == NULL)
		return;
	memset(scratch, 0, nwords * sizeof(uint64));
	mark_filter_value(segment, kind, value, scratch);
	if (kind == SEARCH_FILTER_COUNTRY)
		mark_filter_value(segment, kind, "", scratch);
	intersect(allowed, scratch, nwords);
}

static void
filter_company(const SearchSegment *segment, const pg_uuid_t *id, uint64 *allowed)
{
	const uint32 *company = SEARCH_SECTION(segment, SECTION_COMPANY, uint32);
	int64		wanted = search_segment_company(segment, id);

	for (Size i = 0; i < SEARCH_WORDS(segment->ndocuments); i++)
	{
		for (uint64 word = allowed[i]; word != 0; word &= word - 1)
		{
			int			bit = pg_rightmost_one_pos64(word);

			if (company[i * 64 + bit] != wanted)
				allowed[i] &= ~(UINT64CONST(1) << bit);
		}
	}
}

/* Keep the document of a product alone. */
static void
filter_product(const SearchSegment *segment, const pg_uuid_t *id, uint64 *allowed)
{
	int64		document = search_segment_document(segment, id);
	uint64		kept = document >= 0 ? allowed[document / 64] & UINT64CONST(1) << (document % 64) : 0;

	memset(allowed, 0, SEARCH_BITMAP_WORDS(segment->ndocuments) * sizeof(uint64));
	if (document >= 0)
		allowed[document / 64] = kept;
}

static void
filter_premium(const SearchSegment *segment, double minimum, double maximum, uint64 *allowed)
{
	const double *premiums = SEARCH_SECTION(segment, SECTION_PREMIUMS, double);

	for (Size i = 0; i < SEARCH_WORDS(segment->ndocuments); i++)
	{
		for (uint64 word = allowed[i]; word != 0; word &= word - 1)
		{
			int			bit = pg_rightmost_one_pos64(word);
			double		premium = premiums[i * 64 + bit];

			if (premium < minimum || premium > maximum)
				allowed[i] &= ~(UINT64CONST(1) << bit);
		}
	}
}

static void
filter_age(const SearchSegment *segment, int age, uint64 *allowed)
{
	const uint8 *minimum = SEARCH_SECTION(segment, SECTION_MINIMUM_AGES, uint8);
	const uint8 *maximum = SEARCH_SECTION(segment, SECTION_MAXIMUM_AGES, uint8);

	for (Size i = 0; i < SEARCH_WORDS(segment->ndocuments); i++)
	{
		for (uint64 word = allowed[i]; word != 0; word &= word - 1)
		{
			int			bit = pg_rightmost_one_pos64(word);
			Size		document = i * 64 + bit;

			/* SEARCH_AGE_NONE is no lower limit, and above every upper one */
			if ((minimum[document] != SEARCH_AGE_NONE && minimum[document] > age) ||
				maximum[document] < age)
				allowed[i] &= ~(UINT64CONST(1) << bit);
		}
	}
}

uint64 *
search_filter(const SearchViewSegment *place, const SearchFilters *filters)
{
	const SearchSegment *segment = place->segment;
	Size		size = SEARCH_BITMAP_WORDS(segment->ndocuments) * sizeof(uint64);
	uint64	   *allowed = palloc(Max(size, 8));
	uint64	   *scratch = palloc(Max(size, 8));

	memcpy(allowed, place->live, size);
	filter_value(segment, SEARCH_FILTER_TYPE, filters->policy_type, allowed, scratch);
	filter_value(segment, SEARCH_FILTER_CURRENCY, filters->currency, allowed, scratch);
	filter_value(segment, SEARCH_FILTER_COUNTRY, filters->country, allowed, scratch);
	if (filters->product != NULL)
		filter_product(segment, filters->product, allowed);
	if (filters->company != NULL)
		filter_company(segment, filters->company, allowed);
	if (filters->age >= 0)
		filter_age(segment, filters->age, allowed);
	if (filters->has_minimum || filters->has_maximum)
		filter_premium(segment, filters->has_minimum ? filters->minimum_premium : -1,
					   filters->has_maximum ? filters->maximum_premium : 1e308, allowed);
	pfree(scratch);
	return allowed;
}
