/*-------------------------------------------------------------------------
 *
 * build.h
 *	  From rows of insurance_products to a segment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_BUILD_H
#define PADLOCK_SEARCH_BUILD_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

#include "search/write.h"

/* The columns of insurance_products that search reads. */
typedef enum SearchProductColumn
{
	PRODUCT_ID, PRODUCT_COMPANY, PRODUCT_NAME, PRODUCT_CODE, PRODUCT_TYPE, PRODUCT_DESCRIPTION,
	PRODUCT_COVERAGE, PRODUCT_PREMIUM, PRODUCT_CURRENCY, PRODUCT_BENEFITS, PRODUCT_ACTIVE,
	PRODUCT_COUNTRIES, PRODUCT_MINIMUM_AGE, PRODUCT_MAXIMUM_AGE, PRODUCT_KEYWORDS, PRODUCT_TAGS,
	PRODUCT_POPULARITY, PRODUCT_CREATED, PRODUCT_LANGUAGE, PRODUCT_COLUMNS
} SearchProductColumn;

/*
 * A column that search reads, and what it takes its values for: the tables are
 * their owner's, who may alter them.
 */
typedef struct SearchColumn
{
	const char *name;
	Oid			type;			/* or another with the same representation */
	bool		not_null;		/* is it declared so? */
} SearchColumn;

/* Its number in a table as it is today.  Errors: 42703, 42804. */
extern AttrNumber search_find_column(Relation rel, const SearchColumn *column);

/* Where a product's columns are. */
typedef struct SearchProductShape
{
	AttrNumber	numbers[PRODUCT_COLUMNS];
} SearchProductShape;

extern void search_product_shape(SearchProductShape *shape, Relation products);

/* One column of a row in a slot. */
extern Datum search_product_value(const SearchProductShape *shape, TupleTableSlot *slot,
								  SearchProductColumn column, bool *isnull);

extern bool search_product_is_active(const SearchProductShape *shape, TupleTableSlot *slot);

/* A row's texts; they are detoasted into the current context. */
extern void search_product_source(const SearchProductShape *shape, TupleTableSlot *slot,
								  SearchSource *source);

/* Lower-case, trimmed copy of a product code or of what a visitor typed. */
extern char *search_fold_code(const char *code);

typedef struct SearchBuilder SearchBuilder;

/*
 * A builder of segments; its memory is a child of context.  Between segments
 * it keeps the words that it has analysed.
 */
extern SearchBuilder *search_builder_create(MemoryContext context,
											const SearchStatistics *statistics);

/* Add an active product. */
extern void search_builder_add(SearchBuilder *builder, const SearchProductShape *shape,
							   TupleTableSlot *slot);

extern uint32 search_builder_documents(const SearchBuilder *builder);

/* Does it know so many words that a new one is better than to keep it? */
extern bool search_builder_is_worn(const SearchBuilder *builder);

/* Has it as much as one segment of a merge or load should have? largest: bytes of any segment. */
extern bool search_builder_is_full(const SearchBuilder *builder, int64 largest);

/* Forget what an error may have left, and go on with these statistics. */
extern void search_builder_restart(SearchBuilder *builder, const SearchStatistics *statistics);

/*
 * Take the average lengths from the documents so far and forget these; to be
 * called after adding a sample, before the segment.
 */
extern void search_builder_take_sample(SearchBuilder *builder, SearchStatistics *statistics);

/*
 * The segment of the products added, in the current context; empties the
 * builder.  killed: sorted ids of products that it removes from older ones.
 */
extern SearchSegment *search_builder_finish(SearchBuilder *builder, const pg_uuid_t *killed,
											uint32 nkilled);

extern void search_builder_destroy(SearchBuilder *builder);

#endif							/* PADLOCK_SEARCH_BUILD_H */
