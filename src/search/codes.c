/*-------------------------------------------------------------------------
 *
 * codes.c
 *	  Products found by their code.
 *
 * A segment has the hashes of its products' codes.  What they point to is
 * compared with the table itself, for two codes may have one hash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "search/products.h"
#include "search/score.h"

/* Looking for codes in a segment. */
typedef struct CodeSearch
{
	const SearchViewSegment *place;
	const SearchFilters *filters;
	const uint64 *restricted;	/* documents allowed, NULL: what the filters let pass */
	SearchCoded *coded;
} CodeSearch;

static bool
is_allowed(const CodeSearch *search, uint32 document)
{
	uint64		words[SEARCH_CHUNK_WORDS] = {0};

	if (search->restricted != NULL)
		return search->restricted[document / 64] >> (document % 64) & 1;
	words[document % SEARCH_CHUNK / 64] = UINT64CONST(1) << (document % 64);
	return search_filter_chunk(search_filter_open(search->place, search->filters),
							   document >> SEARCH_CHUNK_BITS, words);
}

/* Is the folded code of a product the one searched for? */
static bool
has_code(SearchProducts *products, const pg_uuid_t *id, const char *code)
{
	bool		isnull;
	Datum		value;

	if (!search_lookup_find(&products->table, id))
		return false;
	value = search_product_value(&products->shape, products->table.slot, PRODUCT_CODE, &isnull);
	return !isnull && strcmp(search_fold_code(TextDatumGetCString(value)), code) == 0;
}

/* Append the documents with a code's hash, which may deceive. */
static void
add_hashed(const SearchSegment *segment, uint32 hash, SearchCoded *coded)
{
	const uint32 *starts = SEARCH_SECTION(segment, SECTION_CODE_STARTS, uint32);
	uint32		bucket = search_segment_bucket(segment, hash);
	uint32		room = coded->count + starts[bucket + 1] - starts[bucket] + 1;

	if (coded->documents == NULL)
		coded->documents = palloc(room * sizeof(uint32));
	else
		coded->documents = repalloc(coded->documents, room * sizeof(uint32));
	for (uint32 place = starts[bucket]; place < starts[bucket + 1]; place++)
	{
		SearchCode	code = search_segment_code(segment, bucket, place);

		if (code.hash == hash)
			coded->documents[coded->count++] = code.document;
	}
}

/* Append the documents with a code searched for. */
static void
find_code(CodeSearch *search, const char *code)
{
	const SearchSegment *segment = search->place->segment;
	const pg_uuid_t *ids = SEARCH_SECTION(segment, SECTION_IDS, pg_uuid_t);
	SearchCoded *coded = search->coded;
	int			kept = coded->count;
	int			end;
	SearchProducts products;

	add_hashed(segment, search_code_hash(code, strlen(code)), coded);
	end = coded->count;
	coded->count = kept;
	if (end == kept)
		return;
	search_products_open(&products, GetActiveSnapshot());
	for (int i = kept; i < end; i++)
	{
		uint32		document = coded->documents[i];

		if (is_allowed(search, document) && has_code(&products, &ids[document], code))
			coded->documents[coded->count++] = document;
	}
	search_products_close(&products);
}

/* Forget the documents found that hold an excluded phrase. */
static void
exclude_coded(const SearchViewSegment *place, const SearchQuery *query, SearchCoded *coded)
{
	uint64	   *allowed = palloc0(SEARCH_BITMAP_WORDS(place->segment->ndocuments) * sizeof(uint64));
	int			count = coded->count;

	for (int i = 0; i < count; i++)
		allowed[coded->documents[i] / 64] |= UINT64CONST(1) << (coded->documents[i] % 64);
	search_restrict_to_phrases(place, query, false, allowed);
	coded->count = 0;
	for (int i = 0; i < count; i++)
	{
		uint32		document = coded->documents[i];

		if (allowed[document / 64] >> (document % 64) & 1)
			coded->documents[coded->count++] = document;
	}
	pfree(allowed);
}

void
search_find_coded(const SearchViewSegment *place, const SearchQuery *query,
				  const SearchFilters *filters, const uint64 *restricted, SearchCoded *coded)
{
	CodeSearch	search = {place, filters, restricted, coded};

	for (int i = 0; i < query->ncodes; i++)
		find_code(&search, query->codes[i]);
	if (coded->count > 0 && query->nphrases > 0)
		exclude_coded(place, query, coded);
}

bool
search_is_coded(const SearchCoded *coded, uint32 document)
{
	for (int i = 0; i < coded->count; i++)
	{
		if (coded->documents[i] == document)
			return true;
	}
	return false;
}
