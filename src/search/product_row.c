/*-------------------------------------------------------------------------
 *
 * product_row.c
 *	  What search reads from a row of insurance_products.
 *
 * Rows are read past row security: the index serves everybody, and search has
 * one visibility rule of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "search/build.h"

static const char *const column_names[PRODUCT_COLUMNS] = {
	"id", "company_id", "product_name", "product_code", "policy_type", "description",
	"coverage_details", "premium_amount", "currency", "benefits", "is_active",
	"available_countries", "minimum_age", "maximum_age", "search_keywords", "ai_tags",
	"popularity_score", "created_at", "language"
};

void
search_product_shape(SearchProductShape *shape, Relation products)
{
	for (int i = 0; i < PRODUCT_COLUMNS; i++)
	{
		shape->numbers[i] = get_attnum(RelationGetRelid(products), column_names[i]);
		if (shape->numbers[i] == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table \"%s\" lacks column \"%s\"", RelationGetRelationName(products),
							column_names[i]),
					 errhint("Add the column back, then run padlock.install() again.")));
	}
}

Datum
search_product_value(const SearchProductShape *shape, TupleTableSlot *slot,
					 SearchProductColumn column, bool *isnull)
{
	return slot_getattr(slot, shape->numbers[column], isnull);
}

bool
search_product_is_active(const SearchProductShape *shape, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		active = search_product_value(shape, slot, PRODUCT_ACTIVE, &isnull);

	return !isnull && DatumGetBool(active);
}

/* A column of variable length, detoasted; NULL for null. */
static void *
detoasted(const SearchProductShape *shape, TupleTableSlot *slot, SearchProductColumn column)
{
	bool		isnull;
	Datum		value = search_product_value(shape, slot, column, &isnull);

	return isnull ? NULL : PG_DETOAST_DATUM(value);
}

void
search_product_source(const SearchProductShape *shape, TupleTableSlot *slot, SearchSource *source)
{
	source->name = detoasted(shape, slot, PRODUCT_NAME);
	source->keywords = detoasted(shape, slot, PRODUCT_KEYWORDS);
	source->tags = detoasted(shape, slot, PRODUCT_TAGS);
	source->description = detoasted(shape, slot, PRODUCT_DESCRIPTION);
	source->benefits = detoasted(shape, slot, PRODUCT_BENEFITS);
	source->coverage = detoasted(shape, slot, PRODUCT_COVERAGE);
	source->language = detoasted(shape, slot, PRODUCT_LANGUAGE);
}

char *
search_fold_code(const char *code)
{
	int			length = strlen(code);

	while (length > 0 && strchr(" \t\r\n", code[length - 1]) != NULL)
		length--;
	while (length > 0 && strchr(" \t\r\n", *code) != NULL)
	{
		code++;
		length--;
	}
	return str_tolower(code, length, DEFAULT_COLLATION_OID);
}
