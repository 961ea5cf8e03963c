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
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "search/build.h"

static const SearchColumn columns[PRODUCT_COLUMNS] = {
	{"id", UUIDOID, true},
	{"company_id", UUIDOID, true},
	{"product_name", TEXTOID, true},
	{"product_code", TEXTOID},
	{"policy_type", ANYENUMOID, true},
	{"description", TEXTOID},
	{"coverage_details", JSONBOID},
	{"premium_amount", NUMERICOID, true},
	{"currency", TEXTOID, true},
	{"benefits", JSONBOID},
	{"is_active", BOOLOID, true},
	{"available_countries", TEXTARRAYOID},
	{"minimum_age", INT4OID},
	{"maximum_age", INT4OID},
	{"search_keywords", TEXTARRAYOID},
	{"ai_tags", TEXTARRAYOID},
	{"popularity_score", INT4OID, true},
	{"created_at", TIMESTAMPTZOID, true},
	{"language", TEXTOID, true}
};

AttrNumber
search_find_column(Relation rel, const SearchColumn *column)
{
	AttrNumber	number = get_attnum(RelationGetRelid(rel), column->name);
	Form_pg_attribute attribute;

	if (number == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" lacks column \"%s\"", RelationGetRelationName(rel),
						column->name),
				 errhint("Add the column back, then run padlock.install() again.")));
	attribute = TupleDescAttr(RelationGetDescr(rel), number - 1);
	if (!IsBinaryCoercible(attribute->atttypid, column->type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s", column->name,
						RelationGetRelationName(rel), format_type_be(attribute->atttypid)),
				 errdetail("Search reads it as %s.", format_type_be(column->type)),
				 errhint("Change its type back, then run SELECT padlock.search_rebuild().")));
	if (column->not_null && !attribute->attnotnull)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" may be null", column->name,
						RelationGetRelationName(rel)),
				 errdetail("Search reads it as NOT NULL."),
				 errhint("Make it NOT NULL again with ALTER TABLE.")));
	return number;
}

void
search_product_shape(SearchProductShape *shape, Relation products)
{
	for (int i = 0; i < PRODUCT_COLUMNS; i++)
		shape->numbers[i] = search_find_column(products, &columns[i]);
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
