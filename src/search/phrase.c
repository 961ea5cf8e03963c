/*-------------------------------------------------------------------------
 *
 * phrase.c
 *	  Quoted phrases: which documents hold them.
 *
 * The index has no positions.  Documents with all words of a phrase are read
 * from the table and analysed again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "search/postings.h"
#include "search/products.h"
#include "search/score.h"

/* Does a document's row hold the phrase? */
static bool
row_has_phrase(SearchProducts *products, SearchAnalyzer *analyzer, const pg_uuid_t *id,
			   const SearchPhrase *phrase)
{
	SearchSource source;
	SearchDocument document;

	if (!search_products_find(products, id))
		return false;
	search_product_source(&products->shape, products->slot, &source);
	search_analyze(analyzer, &source, &document);
	return search_document_has_phrase(analyzer, &document, phrase);
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

/* Clear the bits of candidates that do not hold the phrase. */
static void
check_candidates(const SearchSegment *segment, const SearchPhrase *phrase, uint64 *candidates)
{
	const pg_uuid_t *ids = SEARCH_SECTION(segment, SECTION_IDS, pg_uuid_t);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "padlock search phrase",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext row_context = AllocSetContextCreate(context, "padlock search row",
													  ALLOCSET_DEFAULT_SIZES);
	SearchAnalyzer *analyzer = search_analyzer_create(context);
	MemoryContext old = MemoryContextSwitchTo(row_context);
	SearchProducts products;

	MemoryContextSwitchTo(context);
	search_products_open(&products, GetActiveSnapshot());
	MemoryContextSwitchTo(row_context);
	for (Size i = 0; i < SEARCH_WORDS(segment->ndocuments); i++)
	{
		for (uint64 word = candidates[i]; word != 0; word &= word - 1)
		{
			int			bit = pg_rightmost_one_pos64(word);

			if (!row_has_phrase(&products, analyzer, &ids[i * 64 + bit], phrase))
				candidates[i] &= ~(UINT64CONST(1) << bit);
			MemoryContextReset(row_context);
		}
	}
	search_products_close(&products);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
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
		uint64	   *holding = find_candidates(segment, phrase, allowed);

		check_candidates(segment, phrase, holding);
		for (Size j = 0; j < nwords; j++)
			allowed[j] &= phrase->excluded ? ~holding[j] : holding[j];
		pfree(holding);
	}
}
