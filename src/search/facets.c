/*-------------------------------------------------------------------------
 *
 * facets.c
 *	  How a search's whole result divides.
 *
 * The pass that scored has left a bitmap of all matches.  Values that are
 * terms are counted by what their postings share with it, the others by going
 * through the matches.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "core/body.h"
#include "core/spi.h"
#include "search/bits.h"
#include "search/facets.h"
#include "search/postings.h"

#define MAX_COMPANIES	20

/* Premium bands: each from its bound up to, but without, the next. */
static const int band_bounds[] = {0, 25, 50, 100, 250, 500, 1000};

typedef struct Value
{
	char	   *text;
	uint64		count;
} Value;

typedef struct Values
{
	Value	   *values;
	int			count;
	int			allocated;
} Values;

/* Count more of a value; NULL-terminated copy of its text. */
static void
add_value(Values *values, const char *text, int length, uint64 count)
{
	for (int i = 0; i < values->count; i++)
	{
		if (strlen(values->values[i].text) == length &&
			memcmp(values->values[i].text, text, length) == 0)
		{
			values->values[i].count += count;
			return;
		}
	}
	if (values->count == values->allocated)
	{
		values->allocated = Max(values->allocated * 2, 64);
		values->values = values->values == NULL
			? palloc(values->allocated * sizeof(Value))
			: repalloc(values->values, values->allocated * sizeof(Value));
	}
	values->values[values->count].text = pnstrdup(text, length);
	values->values[values->count++].count = count;
}

/* qsort order: most first, then by text. */
static int
compare_values(const void *a, const void *b)
{
	const Value *left = a;
	const Value *right = b;

	if (left->count != right->count)
		return left->count > right->count ? -1 : 1;
	return strcmp(left->text, right->text);
}

/* Count a segment's matches by the filter values of a kind. */
static void
count_kind(Values *values, const SearchSegment *segment, char kind, const uint64 *matches)
{
	char		prefix[2] = {SEARCH_FILTER_MARK, kind};
	uint32		place = search_segment_lower_bound(segment, prefix, sizeof(prefix));

	for (; place < segment->nterms; place++)
	{
		int			length;
		const char *term = search_segment_string(segment, place, &length);
		const SearchTermEntry *entry = SEARCH_SECTION(segment, SECTION_TERMS, SearchTermEntry) + place;
		uint64		count;

		if (length < 2 || memcmp(term, prefix, sizeof(prefix)) != 0)
			break;
		count = search_postings_count(segment, entry, matches);
		if (count > 0)
			add_value(values, term + 2, length - 2, count);
	}
}

static void
append_values(StringInfo json, Values *values)
{
	const char *separator = "";

	qsort(values->values, values->count, sizeof(Value), compare_values);
	appendStringInfoChar(json, '[');
	for (int i = 0; i < values->count; i++)
	{
		if (values->values[i].text[0] == '\0')
			continue;
		appendStringInfo(json, "%s{\"value\": ", separator);
		escape_json(json, values->values[i].text);
		appendStringInfo(json, ", \"count\": " UINT64_FORMAT "}", values->values[i].count);
		separator = ", ";
	}
	appendStringInfoChar(json, ']');
}

static void
append_kind(StringInfo json, const SearchView *view, const SearchResult *result, char kind)
{
	Values		values = {0};
	uint64		everywhere = 0;

	for (int i = 0; i < view->nsegments; i++)
		count_kind(&values, view->segments[i].segment, kind, result->matches[i]);
	/* a product without a list is offered in each country, as the filter has it */
	for (int i = 0; i < values.count; i++)
	{
		if (values.values[i].text[0] == '\0')
			everywhere = values.values[i].count;
	}
	for (int i = 0; i < values.count; i++)
		values.values[i].count += everywhere;
	append_values(json, &values);
}

/* With more than so many of 64 documents matching, all are compared at once. */
#define DENSE_WORD 6

/* Count which of a word's documents, which begins with one, are above the start of each band. */
SEARCH_VECTORIZED static void
count_word(const int32 *hundredths, uint64 word, uint64 *reached)
{
	for (int i = 0; i < lengthof(band_bounds); i++)
		reached[i] += __builtin_popcountll(word & search_bits_above(hundredths, band_bounds[i] * 100 - 1));
}

/* The same where premiums have fractions, or only few documents match. */
static void
count_few(const SearchSegment *segment, uint32 first, uint64 word, uint64 *reached)
{
	for (; word != 0; word &= word - 1)
	{
		double		premium = search_segment_premium(segment, first + pg_rightmost_one_pos64(word));

		for (int i = 0; i < lengthof(band_bounds); i++)
			reached[i] += premium >= band_bounds[i];
	}
}

/* Count a segment's matches whose premiums reach each band. */
static void
count_premiums(const SearchSegment *segment, const uint64 *matches, uint64 *reached)
{
	const int32 *hundredths = SEARCH_SECTION(segment, SECTION_PREMIUMS, int32);

	for (uint32 i = 0; i < SEARCH_WORDS(segment->ndocuments); i++)
	{
		/* the last documents do not fill a word */
		if (segment->hundredths && pg_popcount64(matches[i]) > DENSE_WORD &&
			(i + 1) * 64 <= segment->ndocuments)
			count_word(hundredths + i * 64, matches[i], reached);
		else
			count_few(segment, i * 64, matches[i], reached);
	}
}

static void
append_bands(StringInfo json, const SearchView *view, const SearchResult *result)
{
	/* how many reach each band, and that after the last */
	uint64		reached[lengthof(band_bounds) + 1] = {0};

	for (int i = 0; i < view->nsegments; i++)
		count_premiums(view->segments[i].segment, result->matches[i], reached);
	appendStringInfoChar(json, '[');
	for (int i = 0; i < lengthof(band_bounds); i++)
	{
		appendStringInfo(json, "%s{\"from\": %d, \"to\": ", i > 0 ? ", " : "", band_bounds[i]);
		if (i + 1 < lengthof(band_bounds))
			appendStringInfo(json, "%d", band_bounds[i + 1]);
		else
			appendStringInfoString(json, "null");
		appendStringInfo(json, ", \"count\": " UINT64_FORMAT "}",
						 reached[i] - reached[i + 1]);
	}
	appendStringInfoChar(json, ']');
}

/* A company's count, by its id. */
typedef struct CompanyCount
{
	pg_uuid_t	id;
	uint64		count;
} CompanyCount;

static int
compare_companies(const void *a, const void *b)
{
	const CompanyCount *left = a;
	const CompanyCount *right = b;

	if (left->count != right->count)
		return left->count > right->count ? -1 : 1;
	return search_compare_ids(&left->id, &right->id);
}

static void
count_companies(HTAB *counts, const SearchSegment *segment, const uint64 *matches)
{
	const pg_uuid_t *companies = SEARCH_SECTION(segment, SECTION_COMPANIES, pg_uuid_t);
	uint64	   *by_place = palloc0(Max(segment->ncompanies, 1) * sizeof(uint64));

	for (Size i = 0; i < SEARCH_WORDS(segment->ndocuments); i++)
	{
		for (uint64 word = matches[i]; word != 0; word &= word - 1)
			by_place[search_segment_company_of(segment, i * 64 + pg_rightmost_one_pos64(word))]++;
	}
	for (uint32 i = 0; i < segment->ncompanies; i++)
	{
		bool		found;
		CompanyCount *count;

		if (by_place[i] == 0)
			continue;
		count = hash_search(counts, &companies[i], HASH_ENTER, &found);
		count->count = (found ? count->count : 0) + by_place[i];
	}
	pfree(by_place);
}

/* The companies with most matches, most first. */
static CompanyCount *
best_companies(const SearchView *view, const SearchResult *result, int *count)
{
	HASHCTL		control = {.keysize = sizeof(pg_uuid_t),.entrysize = sizeof(CompanyCount),
	.hcxt = CurrentMemoryContext};
	HTAB	   *counts = hash_create("padlock search companies", 256, &control,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	HASH_SEQ_STATUS status;
	CompanyCount *entry;
	CompanyCount *sorted;

	for (int i = 0; i < view->nsegments; i++)
		count_companies(counts, view->segments[i].segment, result->matches[i]);
	sorted = palloc(Max(hash_get_num_entries(counts), 1) * sizeof(CompanyCount));
	*count = 0;
	hash_seq_init(&status, counts);
	while ((entry = hash_seq_search(&status)) != NULL)
		sorted[(*count)++] = *entry;
	hash_destroy(counts);
	qsort(sorted, *count, sizeof(CompanyCount), compare_companies);
	*count = Min(*count, MAX_COMPANIES);
	return sorted;
}

static void
append_companies(StringInfo json, const SearchView *view, const SearchResult *result)
{
	static PadlockStatement name_of = {
		.sql = "SELECT name FROM @app@.insurance_companies WHERE id = $1",
		.nargs = 1,.argtypes = {UUIDOID}
	};
	int			count;
	CompanyCount *companies = best_companies(view, result, &count);
	PadlockUserContext saved;

	/* visitors may not read companies; their names are public */
	padlock_become_owner(&saved);
	SPI_connect();
	appendStringInfoChar(json, '[');
	for (int i = 0; i < count; i++)
	{
		Datum		id = UUIDPGetDatum(&companies[i].id);
		char	   *name = padlock_spi_execute(&name_of, &id, NULL, true) == 1
			? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;

		appendStringInfo(json, "%s{\"id\": \"%s\", \"name\": %s, \"count\": " UINT64_FORMAT "}",
						 i > 0 ? ", " : "", DatumGetCString(DirectFunctionCall1(uuid_out, id)),
						 padlock_json_string(name), companies[i].count);
	}
	appendStringInfoChar(json, ']');
	SPI_finish();
	padlock_restore_user(&saved);
}

void
search_append_facets(StringInfo json, const SearchView *view, const SearchResult *result)
{
	appendStringInfoString(json, "{\"policy_type\": ");
	append_kind(json, view, result, SEARCH_FILTER_TYPE);
	appendStringInfoString(json, ", \"currency\": ");
	append_kind(json, view, result, SEARCH_FILTER_CURRENCY);
	appendStringInfoString(json, ", \"country\": ");
	append_kind(json, view, result, SEARCH_FILTER_COUNTRY);
	appendStringInfoString(json, ", \"company\": ");
	append_companies(json, view, result);
	appendStringInfoString(json, ", \"premium\": ");
	append_bands(json, view, result);
	appendStringInfoChar(json, '}');
}
