/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Visitors look for products: endpoint product_search.
 *
 * Search has one visibility rule for everybody: active products of active
 * companies.  The index (view.h) holds what passes it, so that no row security
 * applies; the rows of a page are read as the extension's owner, because
 * visitors may not read companies, of which each result shows four public
 * columns.
 *
 * Two forms share the code: a jsonb body, and named text arguments as a
 * gateway passes the parameters of a GET.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "fmgr.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "core/body.h"
#include "core/errors.h"
#include "limits/limits.h"
#include "search/answer.h"
#include "search/facets.h"
#include "search/query_log.h"
#include "search/score.h"

PG_FUNCTION_INFO_V1(padlock_product_search);
PG_FUNCTION_INFO_V1(padlock_product_search_args);

#define DEFAULT_PER_PAGE 20

static const BodyField search_fields[] = {
	{"policy_type", BODY_CHOICE, .choices = "health|auto|life|home|other"},
	{"company_id", BODY_UUID},
	{"min_premium", BODY_NUMERIC, .min = 0, .max = 1000000},
	{"max_premium", BODY_NUMERIC, .min = 0, .max = 1000000},
	{"currency", BODY_CURRENCY},
	{"country", BODY_COUNTRY},
	{"age", BODY_INTEGER, .min = 0, .max = 150},
	{"search_term", BODY_TEXT, .max = 200},
	{"page", BODY_INTEGER, .min = 1, .max = PG_INT32_MAX},
	{"per_page", BODY_INTEGER, .min = 1, .max = 100},
	{"sort_by", BODY_CHOICE, .choices = "premium_amount|popularity_score|created_at|relevance"},
	{"sort_order", BODY_CHOICE, .choices = "asc|desc"},
	{"facets", BODY_BOOLEAN},
	{"highlight", BODY_BOOLEAN},
	{"explain", BODY_BOOLEAN},
	{"cursor", BODY_TEXT, .max = 100},
};

/* The fields that filters_applied shows come first. */
#define FILTER_FIELDS 8

/* What a search asks for. */
typedef struct ProductSearch
{
	PadlockBody body;
	int			page;
	int			per_page;
	const char *sort_by;
	const char *sort_order;
	const char *term;			/* NULL without words */
	bool		facets;
	bool		highlight;
	bool		explain;
	char	   *filters;		/* those in force, words and order, as JSON text */
	SearchPlan	plan;
} ProductSearch;

static int
integer_or(PadlockBody *body, const char *field, int otherwise)
{
	BodyValue  *value = padlock_body_value(body, field);

	return value->present ? DatumGetInt32(value->value) : otherwise;
}

static const char *
text_or(PadlockBody *body, const char *field, const char *otherwise)
{
	const char *value = padlock_body_text(body, field);

	return value != NULL ? value : otherwise;
}

/* Is the search term absent or only blanks? */
static bool
has_no_term(PadlockBody *body)
{
	const char *term = padlock_body_text(body, "search_term");

	return term == NULL || term[strspn(term, " \t\r\n")] == '\0';
}

static bool
is_asked(PadlockBody *body, const char *field)
{
	BodyValue  *value = padlock_body_value(body, field);

	return value->present && DatumGetBool(value->value);
}

/* A numeric field as double; the index holds premiums so. */
static bool
read_double(PadlockBody *body, const char *field, double *number)
{
	BodyValue  *value = padlock_body_value(body, field);

	if (value->present)
		*number = DatumGetFloat8(DirectFunctionCall1(numeric_float8, value->value));
	return value->present;
}

static void
read_filters(ProductSearch *search)
{
	PadlockBody *body = &search->body;
	SearchFilters *filters = &search->plan.filters;

	filters->policy_type = text_or(body, "policy_type", NULL);
	filters->currency = text_or(body, "currency", NULL);
	filters->country = text_or(body, "country", NULL);
	filters->age = integer_or(body, "age", -1);
	if (padlock_body_value(body, "company_id")->present)
		filters->company = DatumGetUUIDP(padlock_body_value(body, "company_id")->value);
	filters->has_minimum = read_double(body, "min_premium", &filters->minimum_premium);
	filters->has_maximum = read_double(body, "max_premium", &filters->maximum_premium);
}

static SearchOrder
order_of(const char *sort_by)
{
	if (strcmp(sort_by, "premium_amount") == 0)
		return SEARCH_ORDER_PREMIUM;
	if (strcmp(sort_by, "created_at") == 0)
		return SEARCH_ORDER_CREATED;
	return strcmp(sort_by, "relevance") == 0 ? SEARCH_ORDER_RELEVANCE : SEARCH_ORDER_POPULARITY;
}

/* The filters in force, as JSON text. */
static char *
filters_applied(ProductSearch *search)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < FILTER_FIELDS; i++)
	{
		BodyValue  *value = &search->body.values[i];

		if (!value->present)
			continue;
		appendStringInfo(&json, "\"%s\": ", search_fields[i].name);
		switch (search_fields[i].type)
		{
			case BODY_INTEGER:
				appendStringInfo(&json, "%d, ", DatumGetInt32(value->value));
				break;
			case BODY_NUMERIC:
				appendStringInfo(&json, "%s, ",
								 DatumGetCString(DirectFunctionCall1(numeric_out, value->value)));
				break;
			case BODY_UUID:
				appendStringInfo(&json, "\"%s\", ",
								 DatumGetCString(DirectFunctionCall1(uuid_out, value->value)));
				break;
			default:
				escape_json(&json, TextDatumGetCString(value->value));
				appendStringInfoString(&json, ", ");
		}
	}
	appendStringInfo(&json, "\"sort_by\": \"%s\", \"sort_order\": \"%s\"}", search->sort_by,
					 search->sort_order);
	return json.data;
}

/*
 * A cursor is where a page ended: a hash of the words, filters and order it is
 * of, and the last product's key and id, in hexadecimal.
 */
#define CURSOR_FORMAT	"%08x%016llx"
#define CURSOR_LENGTH	(8 + 16 + 2 * UUID_LEN)

static uint32
search_hash(const ProductSearch *search)
{
	return hash_bytes((const unsigned char *) search->filters, strlen(search->filters));
}

static char *
write_cursor(const SearchView *view, const ProductSearch *search, const SearchHit *hit)
{
	StringInfoData cursor;
	const pg_uuid_t *id = search_hit_id(view, hit);
	unsigned long long key;

	memcpy(&key, &hit->key, sizeof(key));
	initStringInfo(&cursor);
	appendStringInfo(&cursor, CURSOR_FORMAT, search_hash(search), key);
	for (int i = 0; i < UUID_LEN; i++)
		appendStringInfo(&cursor, "%02x", id->data[i]);
	return cursor.data;
}

/* Read a cursor of the same search into its plan; false if it is none. */
static bool
parse_cursor(ProductSearch *search, const char *cursor)
{
	SearchPlan *plan = &search->plan;
	unsigned int hash;
	unsigned long long key;

	if (strlen(cursor) != CURSOR_LENGTH || strspn(cursor, "0123456789abcdef") != CURSOR_LENGTH ||
		sscanf(cursor, "%8x%16llx", &hash, &key) != 2 || hash != search_hash(search))
		return false;
	memcpy(&plan->cursor_key, &key, sizeof(key));
	for (int i = 0; i < UUID_LEN; i++)
	{
		unsigned int byte;

		if (sscanf(cursor + 8 + 16 + 2 * i, "%2x", &byte) != 1)
			return false;
		plan->cursor_id.data[i] = byte;
	}
	plan->has_cursor = true;
	return !isnan(plan->cursor_key);
}

static void
read_cursor(ProductSearch *search)
{
	PadlockBody *body = &search->body;
	BodyValue  *value = padlock_body_value(body, "cursor");

	if (!value->present)
		return;
	if (padlock_body_value(body, "page")->present)
		padlock_body_problem(body, "cursor", "does not go together with page");
	else if (!parse_cursor(search, text_or(body, "cursor", "")))
		padlock_body_problem(body, "cursor",
							 "must be the next_cursor of a search with the same words, filters and order");
}

/* What the order and the page make of the plan. */
static void
read_page(ProductSearch *search)
{
	PadlockBody *body = &search->body;
	SearchPlan *plan = &search->plan;

	search->page = integer_or(body, "page", 1);
	search->per_page = integer_or(body, "per_page", DEFAULT_PER_PAGE);
	search->sort_by = text_or(body, "sort_by",
							  search->term != NULL ? "relevance" : "popularity_score");
	search->sort_order = text_or(body, "sort_order", "desc");
	plan->order = order_of(search->sort_by);
	if (search->term == NULL && plan->order == SEARCH_ORDER_RELEVANCE)
		plan->order = SEARCH_ORDER_POPULARITY;
	plan->ascending = strcmp(search->sort_order, "asc") == 0;
	plan->offset = (uint64) (search->page - 1) * search->per_page;
	/* one more tells whether there is another page */
	plan->limit = search->per_page + 1;
}

/* Check the request and make the plan, but for its words. */
static void
read_search(ProductSearch *search, Jsonb *json, BodyMode mode)
{
	PadlockBody *body = &search->body;

	memset(search, 0, sizeof(*search));
	padlock_body_read(body, json, search_fields, lengthof(search_fields), mode);
	padlock_body_check_range(body, "min_premium", "max_premium");
	if (body->problem_count == 0)
	{
		if (has_no_term(body))
			padlock_body_value(body, "search_term")->present = false;
		search->term = padlock_body_value(body, "search_term")->present
			? padlock_body_text(body, "search_term") : NULL;
		read_page(search);
		search->filters = filters_applied(search);
		read_cursor(search);
	}
	padlock_body_finish(body);
	read_filters(search);
	search->facets = search->plan.keeps_matches = is_asked(body, "facets");
	search->highlight = is_asked(body, "highlight");
	search->explain = is_asked(body, "explain");
}

/* A cursor's product may have moved so much, in proportion, and still mark the place. */
#define CURSOR_DRIFT 0.25

/*
 * Where the cursor's page ended, in the order of now.  Scores depend on how
 * many products have a word: with every write all of them move a little, and
 * whole runs of equal ones past a score that was noted.  So the cursor's
 * product is scored again.  If it is gone, or has itself become another, the
 * score that was noted is as good as any.
 */
static double
settle_cursor(const SearchView *view, const SearchPlan *plan, double noted)
{
	SearchPlan	probe = {.query = plan->query,.order = plan->order,.ascending = plan->ascending,
	.limit = 1,.filters = {.age = -1,.product = &plan->cursor_id}};
	SearchResult result;

	if (plan->query == NULL || plan->order != SEARCH_ORDER_RELEVANCE)
		return noted;
	search_run(view, &probe, &result);
	if (result.nhits == 0 || fabs(result.hits[0].key - noted) > CURSOR_DRIFT * fabs(noted))
		return noted;
	return result.hits[0].key;
}

/* Search for a query's words. */
static void
run_query(ProductSearch *search, SearchView *view, const SearchQuery *query, SearchResult *result)
{
	SearchPlan	plan = search->plan;

	search->plan.query = plan.query = query;
	if (plan.has_cursor)
		plan.cursor_key = settle_cursor(view, &plan, plan.cursor_key);
	search_run(view, &plan, result);
}

/* Search; when nothing is found, for less and less. */
static void
run_search(ProductSearch *search, SearchView *view, SearchResult *result)
{
	const SearchQuery *query = NULL;

	if (search->term != NULL)
		query = search_query_parse(search->term, view);
	run_query(search, view, query, result);
	for (int step = 0; search->term != NULL && result->total == 0; step++)
	{
		const SearchQuery *weaker = search_query_relax(query, search->term, view,
															  step);

		if (weaker == NULL)
			break;
		run_query(search, view, weaker, result);
	}
	if (result->total == 0)
		search->plan.query = query;
}

static void
append_pagination(StringInfo json, const ProductSearch *search, const SearchResult *result,
				  bool more)
{
	uint64		pages = (result->total + search->per_page - 1) / search->per_page;

	appendStringInfo(json,
					 "{\"page\": %d, \"per_page\": %d, \"total_items\": " UINT64_FORMAT
					 ", \"total_pages\": " UINT64_FORMAT
					 ", \"has_next\": %s, \"has_previous\": %s}",
					 search->page, search->per_page, result->total, pages, more ? "true" : "false",
					 search->page > 1 || search->plan.has_cursor ? "true" : "false");
}

/* What was made of the words, where it is not what was typed. */
static void
append_relaxation(StringInfo json, const SearchQuery *query)
{
	if (query == NULL)
		return;
	if (query->relaxed != NULL)
		appendStringInfo(json, ", \"relaxed\": %s", padlock_json_string(query->relaxed));
	if (query->corrected != NULL)
		appendStringInfo(json, ", \"corrected\": %s", padlock_json_string(query->corrected));
}

static Jsonb *
make_answer(ProductSearch *search, const SearchView *view, SearchResult *result)
{
	StringInfoData json;
	JsonbParseState *state;
	bool		more = result->nhits > search->per_page;

	if (more)
		result->nhits = search->per_page;
	/* first, since it may find that there are fewer products */
	state = search_start_answer(view, &search->plan, result, search->highlight, search->explain);
	initStringInfo(&json);
	appendStringInfoString(&json, "{\"success\": true, \"pagination\": ");
	append_pagination(&json, search, result, more);
	appendStringInfo(&json, ", \"filters_applied\": %s", search->filters);
	if (more)
		appendStringInfo(&json, ", \"next_cursor\": \"%s\"",
						 write_cursor(view, search, &result->hits[result->nhits - 1]));
	append_relaxation(&json, search->plan.query);
	if (search->facets)
	{
		appendStringInfoString(&json, ", \"facets\": ");
		search_append_facets(&json, view, result);
	}
	if (search->explain)
	{
		appendStringInfoString(&json, ", \"explain\": ");
		search_append_query(&json, view, search->plan.query);
	}
	appendStringInfoChar(&json, '}');
	return search_finish_answer(state, json.data);
}

/* Read the request, search and answer. */
static Jsonb *
answer_search(Jsonb *json, BodyMode mode)
{
	ProductSearch search;
	SearchResult result;
	SearchView *view;
	Jsonb	   *answer;
	instr_time	start;
	instr_time	end;

	INSTR_TIME_SET_CURRENT(start);
	read_search(&search, json, mode);
	view = search_view_acquire();
	run_search(&search, view, &result);
	answer = make_answer(&search, view, &result);
	search_view_release(view);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	if (search.term != NULL)
		search_log_query(search.term, result.total,
						 search.plan.query->relaxed != NULL, INSTR_TIME_GET_MILLISEC(end));
	return answer;
}

/* How much memory a session keeps for its next search: of most pages, all. */
#define WORKSPACE_SIZE (512 * 1024)

/* The memory that is kept; NULL before the first search and while one has it. */
static MemoryContext kept_workspace = NULL;

/* A context that an error frees. */
static MemoryContext
take_workspace(void)
{
	MemoryContext workspace = kept_workspace;

	kept_workspace = NULL;
	if (workspace == NULL)
		return AllocSetContextCreate(CurrentMemoryContext, "padlock search", WORKSPACE_SIZE,
									 WORKSPACE_SIZE, ALLOCSET_DEFAULT_MAXSIZE);
	MemoryContextSetParent(workspace, CurrentMemoryContext);
	return workspace;
}

static void
keep_workspace(MemoryContext workspace)
{
	MemoryContextReset(workspace);
	MemoryContextSetParent(workspace, TopMemoryContext);
	if (kept_workspace != NULL)
		MemoryContextDelete(kept_workspace);
	kept_workspace = workspace;
}

/*
 * Search in memory that stays the session's: what is given back to the system
 * and asked for again comes page by page, and cleared.
 */
static Jsonb *
product_search(Jsonb *json, BodyMode mode)
{
	MemoryContext workspace = take_workspace();
	MemoryContext old = MemoryContextSwitchTo(workspace);
	Jsonb	   *answer = answer_search(json, mode);

	MemoryContextSwitchTo(old);
	answer = (Jsonb *) DatumGetPointer(datumCopy(JsonbPGetDatum(answer), false, -1));
	keep_workspace(workspace);
	return answer;
}

/*
 * product_search(jsonb) returns jsonb: active products of active companies
 * that match all filters and words, one page; NULL is no filter and no word.
 * 200; errors 400, 429.
 */
Datum
padlock_product_search(PG_FUNCTION_ARGS)
{
	padlock_limit_request("product_search");
	PG_RETURN_JSONB_P(product_search(PG_ARGISNULL(0) ? padlock_answer("{}") : PG_GETARG_JSONB_P(0),
									 BODY_CREATE));
}

/* A body passed as text by mistake lands in the first argument. */
static void
check_not_body(const char *policy_type)
{
	if (policy_type[strspn(policy_type, " \t\r\n")] == '{')
		padlock_http_error(400, ERRCODE_INVALID_PARAMETER_VALUE, "request is not valid",
						   "policy_type: must be one of health, auto, life, home, other",
						   "To pass a JSON body, cast it: product_search('{...}'::jsonb).");
}

/*
 * product_search(policy_type text DEFAULT NULL, ...) returns jsonb: the same
 * with named arguments, all text, so that a bad value meets our validation.
 */
Datum
padlock_product_search_args(PG_FUNCTION_ARGS)
{
	StringInfoData json;

	padlock_limit_request("product_search");
	if (!PG_ARGISNULL(0))
		check_not_body(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	initStringInfo(&json);
	appendStringInfoString(&json, "{\"page\": null");
	for (int i = 0; i < lengthof(search_fields); i++)
	{
		if (PG_ARGISNULL(i))
			continue;
		appendStringInfo(&json, ", \"%s\": ", search_fields[i].name);
		escape_json(&json, text_to_cstring(PG_GETARG_TEXT_PP(i)));
	}
	appendStringInfoChar(&json, '}');
	PG_RETURN_JSONB_P(product_search(DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
																		 CStringGetDatum(json.data))),
									 BODY_QUERY));
}
