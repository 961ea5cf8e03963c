/*-------------------------------------------------------------------------
 *
 * answer.c
 *	  The products of a page, as JSON.
 *
 * Only now are rows read from the table: those of the page, with the same
 * snapshot that the index was read with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/snapmgr.h"

#include "core/body.h"
#include "core/spi.h"
#include "search/answer.h"
#include "search/highlight.h"
#include "search/products.h"

static const char *const kind_names[] = {"word", "synonym", "typo", "prefix"};

/* The ids of the hits as uuid[]. */
static Datum
hit_ids(const SearchView *view, const SearchResult *result)
{
	Datum	   *ids = palloc(Max(result->nhits, 1) * sizeof(Datum));

	for (uint32 i = 0; i < result->nhits; i++)
		ids[i] = UUIDPGetDatum(search_hit_id(view, &result->hits[i]));
	return PointerGetDatum(construct_array(ids, result->nhits, UUIDOID, UUID_LEN, false,
										   TYPALIGN_CHAR));
}

/* The products of the hits, in order. */
static Jsonb **
fetch_products(const SearchView *view, const SearchResult *result)
{
	static PadlockStatement fetch = {
		.sql = "SELECT to_jsonb(p) - 'provenance'"
		" || jsonb_build_object('insurance_companies', jsonb_build_object("
		"'id', c.id, 'name', c.name, 'logo_url', c.logo_url, 'website', c.website))"
		" FROM unnest($1) WITH ORDINALITY AS hit (id, n)"
		" JOIN @app@.insurance_products p ON p.id = hit.id"
		" JOIN @app@.insurance_companies c ON c.id = p.company_id ORDER BY hit.n",
		.nargs = 1,.argtypes = {UUIDARRAYOID}
	};
	Datum		ids = hit_ids(view, result);
	Jsonb	  **products = palloc0(Max(result->nhits, 1) * sizeof(Jsonb *));
	PadlockUserContext saved;
	bool		isnull;

	if (result->nhits == 0)
		return products;
	/* past row security: the index holds what everybody may see */
	padlock_become_owner(&saved);
	SPI_connect();
	if (padlock_spi_execute(&fetch, &ids, NULL, true) != result->nhits)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the search index does not match the table"),
				 errhint("Run SELECT padlock.search_rebuild().")));
	for (uint32 i = 0; i < result->nhits; i++)
		products[i] = DatumGetJsonbP(padlock_spi_datum(i, 1, &isnull));
	SPI_finish();
	padlock_restore_user(&saved);
	return products;
}

/* Push the members of an object into the one at hand. */
static void
push_members(JsonbParseState **state, Jsonb *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			depth = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		/* the outermost braces are those at hand */
		if (token == WJB_END_OBJECT || token == WJB_END_ARRAY)
			depth--;
		if (depth > 0 || (token != WJB_BEGIN_OBJECT && token != WJB_END_OBJECT))
			(void) pushJsonbValue(state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
		if (token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY)
			depth++;
	}
}

static Jsonb *
parse(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &value);
}

/* Why a hit ranks where it does. */
static void
append_explanation(StringInfo json, const SearchView *view, const SearchPlan *plan,
				   const SearchHit *hit)
{
	const SearchQuery *query = plan->query;
	const char *separator = "";

	appendStringInfo(json, "{\"score\": %.4g, \"boost\": %.4g, \"words\": [", hit->score,
					 search_hit_boost(view, hit));
	for (int i = 0; query != NULL && i < query->ngroups; i++)
	{
		for (int j = 0; j < query->groups[i].nterms; j++)
		{
			const SearchTermUse *use = &query->groups[i].terms[j];
			float		part = search_hit_part(view, hit, &query->groups[i], use);

			if (part == 0)
				continue;
			appendStringInfo(json, "%s{\"word\": ", separator);
			escape_json(json, query->groups[i].word);
			appendStringInfoString(json, ", \"term\": ");
			escape_json(json, use->term);
			appendStringInfo(json, ", \"by\": \"%s\", \"score\": %.4g}", kind_names[use->kind], part);
			separator = ", ";
		}
	}
	appendStringInfoString(json, "]}");
}

/* Append the marked words of a product. */
static void
append_highlight(StringInfo json, SearchProducts *products, SearchHighlighter *highlighter,
				 const pg_uuid_t *id)
{
	SearchSource source;

	if (!search_products_find(products, id))
	{
		appendStringInfoString(json, "{}");
		return;
	}
	search_product_source(&products->shape, products->slot, &source);
	search_highlight(highlighter, &source, json);
}

/* What is asked of a product beyond its row, as a JSON object. */
static Jsonb *
make_extras(const SearchView *view, const SearchPlan *plan, const SearchHit *hit,
			SearchHighlighter *highlighter, SearchProducts *products, bool explain)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	if (highlighter != NULL)
	{
		appendStringInfoString(&json, "\"highlight\": ");
		append_highlight(&json, products, highlighter, search_hit_id(view, hit));
	}
	if (explain)
	{
		appendStringInfo(&json, "%s\"explain\": ", highlighter != NULL ? ", " : "");
		append_explanation(&json, view, plan, hit);
	}
	appendStringInfoChar(&json, '}');
	return parse(json.data);
}

/* Push the array of the hits' products. */
static void
push_products(JsonbParseState **state, const SearchView *view, const SearchPlan *plan,
			  const SearchResult *result, bool highlight, bool explain)
{
	Jsonb	  **rows = fetch_products(view, result);
	SearchHighlighter *highlighter = NULL;
	SearchProducts products;

	if (highlight && plan->query != NULL)
	{
		highlighter = search_highlighter_create(plan->query);
		search_products_open(&products, GetActiveSnapshot());
	}
	(void) pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < result->nhits; i++)
	{
		(void) pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_members(state, rows[i]);
		if (highlighter != NULL || explain)
			push_members(state, make_extras(view, plan, &result->hits[i], highlighter, &products,
											explain));
		(void) pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	(void) pushJsonbValue(state, WJB_END_ARRAY, NULL);
	if (highlighter != NULL)
		search_products_close(&products);
}

Jsonb *
search_make_answer(const char *others, const SearchView *view, const SearchPlan *plan,
				   const SearchResult *result, bool highlight, bool explain)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_members(&state, parse(others));
	push_key(&state, "products");
	push_products(&state, view, plan, result, highlight, explain);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

void
search_append_query(StringInfo json, const SearchView *view, const SearchQuery *query)
{
	appendStringInfo(json, "{\"documents\": %u, \"words\": [", search_view_documents(view));
	for (int i = 0; query != NULL && i < query->ngroups; i++)
	{
		const SearchGroup *group = &query->groups[i];

		appendStringInfo(json, "%s{\"word\": ", i > 0 ? ", " : "");
		escape_json(json, group->word);
		appendStringInfoString(json, ", \"terms\": [");
		for (int j = 0; j < group->nterms; j++)
		{
			const SearchTermUse *use = &group->terms[j];

			appendStringInfo(json, "%s{\"term\": ", j > 0 ? ", " : "");
			escape_json(json, use->term);
			appendStringInfo(json, ", \"by\": \"%s\", \"weight\": %.4g, \"documents\": %u}",
							 kind_names[use->kind], group->weight * use->weight,
							 search_view_living(view, use->term, use->length));
		}
		appendStringInfoString(json, "]}");
	}
	appendStringInfoString(json, "]}");
}
