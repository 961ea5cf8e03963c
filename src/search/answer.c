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

#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/snapmgr.h"

#include "core/body.h"
#include "core/spi.h"
#include "search/answer.h"
#include "search/highlight.h"
#include "search/products.h"
#include "search/row_json.h"

static const char *const kind_names[] = {"word", "synonym", "typo", "prefix"};

static Jsonb *
parse(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/* Push the members of an object, given as text, into the one at hand. */
static void
push_members(JsonbParseState **state, const char *text)
{
	Jsonb	   *object = parse(text);
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	(void) JsonbIteratorNext(&iterator, &value, false);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_END_OBJECT)
		(void) pushJsonbValue(state, token, &value);
}

/*
 * Why a hit ranks where it does.  code: the product's, if the query asks for
 * it, else NULL; there is no score when something else has put it there.
 */
static void
append_explanation(StringInfo json, const SearchView *view, const SearchPlan *plan,
				   const SearchHit *hit, const char *code)
{
	const SearchQuery *query = plan->query;
	const char *separator = "";

	if (code == NULL && plan->order == SEARCH_ORDER_RELEVANCE)
		appendStringInfo(json, "{\"score\": %.4g, ", hit->score);
	else
		appendStringInfoString(json, "{\"score\": null, ");
	appendStringInfo(json, "\"boost\": %.4g, \"words\": [", search_hit_boost(view, hit));
	if (code != NULL)
	{
		appendStringInfo(json, "{\"word\": %s, \"by\": \"code\"}", padlock_json_string(code));
		separator = ", ";
	}
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

/* What the products of a page are made of. */
typedef struct ResultPage
{
	const SearchView *view;
	const SearchPlan *plan;
	SearchProducts products;
	SearchRowJson *product_json;
	SearchLookup companies;
	SearchRowJson *company_json;
	SearchHighlighter *highlighter; /* NULL: not asked for */
	bool		explain;
} ResultPage;

static void
open_page(ResultPage *page, bool highlight)
{
	static const char *const hidden[] = {"provenance", NULL};
	static const char *const public_columns[] = {"id", "name", "logo_url", "website", NULL};
	Snapshot	snapshot = GetActiveSnapshot();

	search_products_open(&page->products, snapshot);
	page->product_json = search_row_json_except(page->products.table.rel, hidden);
	search_lookup_open(&page->companies, "insurance_companies", snapshot);
	page->company_json = search_row_json_only(page->companies.rel, public_columns);
	page->highlighter = highlight && page->plan->query != NULL
		? search_highlighter_create(page->plan->query) : NULL;
}

static void
close_page(ResultPage *page)
{
	search_products_close(&page->products);
	search_lookup_close(&page->companies);
}

/*
 * Is a row that the index promised missing because its table was truncated or
 * rewritten after the snapshot was taken?  Neither keeps old rows, but leaves
 * traces: a newer snapshot sees the row, or another index.
 */
static bool
was_replaced(const SearchLookup *lookup, const pg_uuid_t *id)
{
	Snapshot	latest = RegisterSnapshot(GetLatestSnapshot());
	SearchLookup again;
	bool		replaced;

	search_lookup_open(&again, RelationGetRelationName(lookup->rel), latest);
	replaced = search_lookup_find(&again, id) || search_view_is_overtaken(latest);
	search_lookup_close(&again);
	UnregisterSnapshot(latest);
	return replaced;
}

/* Have the row of an id in the slot of its table. */
static void
find_row(SearchLookup *lookup, const pg_uuid_t *id)
{
	if (search_lookup_find(lookup, id))
		return;
	if (was_replaced(lookup, id))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not read table \"%s\" as this snapshot saw it",
						RelationGetRelationName(lookup->rel)),
				 errdetail("The table was truncated or rewritten after the snapshot was taken."),
				 errhint("The transaction might succeed if retried.")));
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("the search index does not match the table"),
			 errhint("Run SELECT padlock.search_rebuild().")));
}

/* The code of the product at hand if the query asks for it, else NULL. */
static const char *
searched_code(ResultPage *page)
{
	const SearchQuery *query = page->plan->query;
	bool		isnull;
	Datum		value = search_product_value(&page->products.shape, page->products.table.slot,
											 PRODUCT_CODE, &isnull);
	const char *code = isnull || query == NULL ? NULL : TextDatumGetCString(value);

	for (int i = 0; code != NULL && i < query->ncodes; i++)
	{
		if (strcmp(search_fold_code(code), query->codes[i]) == 0)
			return code;
	}
	return NULL;
}

/* Push what is asked of a product beyond its row. */
static void
push_extras(JsonbParseState **state, ResultPage *page, const SearchHit *hit)
{
	const char *code = searched_code(page);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	if (page->highlighter != NULL)
	{
		SearchSource source;

		search_product_source(&page->products.shape, page->products.table.slot, &source);
		appendStringInfoString(&json, "\"highlight\": ");
		search_highlight(page->highlighter, &source, code, &json);
	}
	if (page->explain)
	{
		appendStringInfo(&json, "%s\"explain\": ", page->highlighter != NULL ? ", " : "");
		append_explanation(&json, page->view, page->plan, hit, code);
	}
	appendStringInfoChar(&json, '}');
	push_members(state, json.data);
}

/* Push the product of a hit, with its company. */
static void
push_product(JsonbParseState **state, ResultPage *page, const SearchHit *hit)
{
	SearchLookup *products = &page->products.table;
	bool		isnull;

	find_row(products, search_hit_id(page->view, hit));
	find_row(&page->companies,
			 DatumGetUUIDP(search_product_value(&page->products.shape, products->slot,
												PRODUCT_COMPANY, &isnull)));
	(void) pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	search_row_json_push(page->product_json, products->slot, state);
	search_push_key(state, "insurance_companies");
	(void) pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	search_row_json_push(page->company_json, page->companies.slot, state);
	(void) pushJsonbValue(state, WJB_END_OBJECT, NULL);
	if (page->highlighter != NULL || page->explain)
		push_extras(state, page, hit);
	(void) pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* Push the array of the hits' products. */
static void
push_products(JsonbParseState **state, const SearchView *view, const SearchPlan *plan,
			  const SearchResult *result, bool highlight, bool explain)
{
	ResultPage		page = {.view = view,.plan = plan,.explain = explain};
	PadlockUserContext saved;

	/* past row security: the index holds what everybody may see */
	padlock_become_owner(&saved);
	open_page(&page, highlight);
	(void) pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < result->nhits; i++)
		push_product(state, &page, &result->hits[i]);
	(void) pushJsonbValue(state, WJB_END_ARRAY, NULL);
	close_page(&page);
	padlock_restore_user(&saved);
}

Jsonb *
search_make_answer(const char *others, const SearchView *view, const SearchPlan *plan,
				   const SearchResult *result, bool highlight, bool explain)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_members(&state, others);
	search_push_key(&state, "products");
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
