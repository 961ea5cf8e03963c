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
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/body.h"
#include "core/spi.h"
#include "search/answer.h"
#include "search/highlight.h"
#include "search/products.h"
#include "search/row_json.h"

/* How often a session says that the index is not right. */
#define STALE_NOTE_MS	(60 * 60 * 1000)

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

/* Append the term of a use as a JSON string; an expression's, blanks between them. */
static void
append_term(StringInfo json, const SearchTermUse *use)
{
	StringInfoData term;

	initStringInfo(&term);
	appendStringInfoString(&term, use->term);
	for (use = use->also; use != NULL; use = use->also)
		appendStringInfo(&term, " %s", use->term);
	escape_json(json, term.data);
}

/* What a hit's score has from a group: that of its best term, which is given, too. */
static float
best_part(const SearchView *view, const SearchHit *hit, const SearchGroup *group,
		  const SearchTermUse **best)
{
	float		most = 0;

	for (int i = 0; i < group->nterms; i++)
	{
		float		part = search_hit_part(view, hit, group, &group->terms[i]);

		if (part > most)
		{
			most = part;
			*best = &group->terms[i];
		}
	}
	return most;
}

/* Append the words of a query that a hit has; returns how many. */
static int
append_parts(StringInfo json, const SearchView *view, const SearchQuery *query,
			 const SearchHit *hit)
{
	int			count = 0;

	for (int i = 0; i < query->ngroups; i++)
	{
		const SearchTermUse *use = NULL;
		float		part = best_part(view, hit, &query->groups[i], &use);

		if (part == 0)
			continue;
		count++;
		appendStringInfoString(json, json->data[json->len - 1] == '[' ? "{\"word\": " : ", {\"word\": ");
		escape_json(json, query->groups[i].word);
		appendStringInfoString(json, ", \"term\": ");
		append_term(json, use);
		appendStringInfo(json, ", \"by\": \"%s\", \"score\": %.4g}", kind_names[use->kind], part);
	}
	return count;
}

/*
 * Why a hit ranks where it does: the score is the sum of the words', times the
 * boost, times the factor for all words.  code: the product's, if the query
 * asks for it, else NULL; there is no score when something else has put it
 * there.
 */
static void
append_explanation(StringInfo json, const SearchView *view, const SearchPlan *plan,
				   const SearchHit *hit, const char *code)
{
	const SearchQuery *query = plan->query;
	bool		all_words = false;

	if (code == NULL && plan->order == SEARCH_ORDER_RELEVANCE)
		appendStringInfo(json, "{\"score\": %.4g, ", hit->score);
	else
		appendStringInfoString(json, "{\"score\": null, ");
	appendStringInfo(json, "\"boost\": %.4g, \"words\": [", search_hit_boost(view, hit));
	if (code != NULL)
		appendStringInfo(json, "{\"word\": %s, \"by\": \"code\"}", padlock_json_string(code));
	if (query != NULL)
		all_words = append_parts(json, view, query, hit) == query->ngroups;
	appendStringInfo(json, "], \"all_words\": %.4g}", all_words ? query->all_words_factor : 1.0);
}

/* What the products of a page are made of. */
typedef struct ResultPage
{
	const SearchView *view;
	const SearchPlan *plan;
	SearchProducts products;
	SearchRowJson *product_json;
	SearchLookup companies;
	AttrNumber	company_active;
	SearchRowJson *company_json;
	SearchHighlighter *highlighter; /* NULL: not asked for */
	bool		explain;
} ResultPage;

/* reader: the role that searches. */
static void
open_page(ResultPage *page, Oid reader, bool highlight)
{
	/* all of padlock's own; a column that was added is for those who may read it */
	static const char *const product_columns[] = {
		"id", "company_id", "product_name", "product_code", "policy_type", "description",
		"coverage_details", "premium_amount", "currency", "billing_frequency", "coverage_limits",
		"deductible", "benefits", "exclusions", "is_active", "available_countries", "minimum_age",
		"maximum_age", "product_image_url", "brochure_url", "terms_url", "search_keywords",
		"ai_tags", "popularity_score", "last_crawled_at", "created_at", "updated_at", "source_url",
		"language", NULL
	};
	static const char *const public_columns[] = {"id", "name", "logo_url", "website", NULL};
	Snapshot	snapshot = GetActiveSnapshot();

	search_products_open(&page->products, snapshot);
	page->product_json = search_row_json_readable(page->products.table.rel, product_columns,
												  "provenance", reader);
	search_lookup_open(&page->companies, "insurance_companies", snapshot);
	page->company_active = search_company_active(page->companies.rel);
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
 * Have a product and its company in their slots; false when the table does not
 * have it as the index has: gone, or not active.
 */
static bool
find_product(ResultPage *page, const pg_uuid_t *id)
{
	SearchProducts *products = &page->products;
	bool		isnull;
	Datum		company;

	if (!search_lookup_find(&products->table, id) ||
		!search_product_is_active(&products->shape, products->table.slot))
		return false;
	company = search_product_value(&products->shape, products->table.slot, PRODUCT_COMPANY, &isnull);
	return search_lookup_find(&page->companies, DatumGetUUIDP(company)) &&
		DatumGetBool(slot_getattr(page->companies.slot, page->company_active, &isnull));
}

/*
 * Say in the server's log, once an hour and session, that the index has what
 * the table has not: a change has passed by the triggers.
 */
static void
note_stale(const pg_uuid_t *id)
{
	static TimestampTz noted_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (noted_at != 0 && !TimestampDifferenceExceeds(noted_at, now, STALE_NOTE_MS))
		return;
	noted_at = now;
	ereport(LOG_SERVER_ONLY,
			(errmsg("the search index does not match the table"),
			 errdetail("Product %s or its company is gone or not active; it is left out of results.",
					   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))),
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
		search_highlight(page->highlighter, page->view, hit, &source, code, &json);
	}
	if (page->explain)
	{
		appendStringInfo(&json, "%s\"explain\": ", page->highlighter != NULL ? ", " : "");
		append_explanation(&json, page->view, page->plan, hit, code);
	}
	appendStringInfoChar(&json, '}');
	push_members(state, json.data);
}

/* Push the product at hand, of a hit, with its company. */
static void
push_product(JsonbParseState **state, ResultPage *page, const SearchHit *hit)
{
	(void) pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	search_row_json_push(page->product_json, page->products.table.slot, state);
	search_push_key(state, "insurance_companies");
	(void) pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	search_row_json_push(page->company_json, page->companies.slot, state);
	(void) pushJsonbValue(state, WJB_END_OBJECT, NULL);
	if (page->highlighter != NULL || page->explain)
		push_extras(state, page, hit);
	(void) pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * Push the array of the hits' products.  What only the index has is left out,
 * and not counted in the result any more.
 */
static void
push_products(JsonbParseState **state, const SearchView *view, const SearchPlan *plan,
			  SearchResult *result, bool highlight, bool explain)
{
	ResultPage	page = {.view = view,.plan = plan,.explain = explain};
	PadlockUserContext saved;

	/* past row security: the index holds what everybody may see */
	padlock_become_owner(&saved);
	open_page(&page, saved.user_id, highlight);
	(void) pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < result->nhits; i++)
	{
		const pg_uuid_t *id = search_hit_id(view, &result->hits[i]);

		if (find_product(&page, id))
			push_product(state, &page, &result->hits[i]);
		else
		{
			note_stale(id);
			result->total--;
		}
	}
	(void) pushJsonbValue(state, WJB_END_ARRAY, NULL);
	close_page(&page);
	padlock_restore_user(&saved);
}

JsonbParseState *
search_start_answer(const SearchView *view, const SearchPlan *plan, SearchResult *result,
					bool highlight, bool explain)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	search_push_key(&state, "products");
	push_products(&state, view, plan, result, highlight, explain);
	return state;
}

Jsonb *
search_finish_answer(JsonbParseState *state, const char *others)
{
	push_members(&state, others);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* How many products have a use's term; of an expression, the rarest word of it. */
static uint32
use_documents(const SearchView *view, const SearchTermUse *use)
{
	uint32		least = PG_UINT32_MAX;

	for (; use != NULL; use = use->also)
		least = Min(least, search_view_living(view, use->term, use->length));
	return least;
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
			append_term(json, use);
			appendStringInfo(json, ", \"by\": \"%s\", \"weight\": %.4g, \"documents\": %u}",
							 kind_names[use->kind], group->weight * use->weight,
							 use_documents(view, use));
		}
		appendStringInfoString(json, "]}");
	}
	appendStringInfoString(json, "]}");
}
