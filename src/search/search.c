/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Visitors look for products: endpoint product_search.
 *
 * Search has one visibility rule for everybody: active products of active
 * companies.  It runs as the extension's owner, past row security, because
 * the operators it needs (text search, enum and numeric comparison) are not
 * leakproof and so never use an index under a policy, and because visitors
 * may not read companies, of which each result shows four public columns.
 *
 * Two forms share the code: a jsonb body, and named text arguments as a
 * gateway passes the parameters of a GET.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "core/body.h"
#include "core/errors.h"
#include "core/spi.h"
#include "limits/limits.h"

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
};

/*
 * The words a product is found by, weighted as its parts count: name, then
 * keywords and tags, then description.
 */
#define PRODUCT_WORDS \
	"setweight(to_tsvector('english', p.product_name), 'A') ||" \
	" setweight(to_tsvector('english', coalesce(array_to_string(p.search_keywords, ' '), '')" \
	" || ' ' || coalesce(array_to_string(p.ai_tags, ' '), '')), 'B') ||" \
	" setweight(to_tsvector('english', coalesce(p.description, '')), 'C')"

/* Parameters of the statement, in order; a NULL filter does not filter. */
enum
{
	P_POLICY_TYPE, P_COMPANY, P_MIN_PREMIUM, P_MAX_PREMIUM, P_CURRENCY, P_COUNTRY, P_AGE,
	P_TERM, P_LIMIT, P_OFFSET, P_PARAMS
};

static Oid	param_types[P_PARAMS] = {
	TEXTOID, UUIDOID, NUMERICOID, NUMERICOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, INT8OID, INT8OID
};

static const char *const param_filters[P_TERM + 1] = {
	" AND p.policy_type = $1::@app@.policy_type_enum",
	" AND p.company_id = $2",
	" AND p.premium_amount >= $3",
	" AND p.premium_amount <= $4",
	" AND p.currency = $5",
	/* without a list of countries a product is offered everywhere */
	" AND (coalesce(cardinality(p.available_countries), 0) = 0 OR p.available_countries @> ARRAY[$6])",
	" AND (p.minimum_age IS NULL OR p.minimum_age <= $7)"
	" AND (p.maximum_age IS NULL OR p.maximum_age >= $7)",
	/* all words; the product's code is a match of its own */
	" AND (" PRODUCT_WORDS " @@ websearch_to_tsquery('english', $8)"
	" OR lower(p.product_code) = lower($8))"
};

/* What a search asks for. */
typedef struct ProductSearch
{
	PadlockBody body;
	int			page;
	int			per_page;
	const char *sort_by;
	const char *sort_order;
	Datum		values[P_PARAMS];
	char		nulls[P_PARAMS];
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

/* Check the request and fill in defaults and parameters. */
static void
read_search(ProductSearch *search, Jsonb *json, BodyMode mode)
{
	PadlockBody *body = &search->body;

	padlock_body_read(body, json, search_fields, lengthof(search_fields), mode);
	padlock_body_check_range(body, "min_premium", "max_premium");
	padlock_body_finish(body);

	if (has_no_term(body))
		padlock_body_value(body, "search_term")->present = false;
	search->page = integer_or(body, "page", 1);
	search->per_page = integer_or(body, "per_page", DEFAULT_PER_PAGE);
	search->sort_by = text_or(body, "sort_by",
							  padlock_body_value(body, "search_term")->present
							  ? "relevance" : "popularity_score");
	search->sort_order = text_or(body, "sort_order", "desc");

	for (int i = 0; i <= P_TERM; i++)
	{
		search->values[i] = body->values[i].value;
		search->nulls[i] = body->values[i].present ? ' ' : 'n';
	}
	search->values[P_LIMIT] = Int64GetDatum(search->per_page);
	search->values[P_OFFSET] = Int64GetDatum((int64) (search->page - 1) * search->per_page);
	search->nulls[P_LIMIT] = search->nulls[P_OFFSET] = ' ';
}

/* Append the ORDER BY of the page; the id makes pages disjoint. */
static void
append_order(StringInfo sql, ProductSearch *search)
{
	if (strcmp(search->sort_by, "relevance") != 0)
		appendStringInfo(sql, "p.%s %s", search->sort_by, search->sort_order);
	else if (padlock_body_value(&search->body, "search_term")->present)
		appendStringInfo(sql,
						 "(lower(p.product_code) = lower($8)) IS TRUE %1$s,"
						 " ts_rank(" PRODUCT_WORDS ", websearch_to_tsquery('english', $8)) %1$s",
						 search->sort_order);
	else
		appendStringInfo(sql, "p.popularity_score %s", search->sort_order);
	appendStringInfoString(sql, ", p.id");
}

/* Append the FROM and WHERE that every part of the statement shares. */
static void
append_matches(StringInfo sql, ProductSearch *search)
{
	appendStringInfoString(sql,
						   " FROM @app@.insurance_products p"
						   " JOIN @app@.insurance_companies c ON c.id = p.company_id"
						   " WHERE p.is_active AND c.is_active");
	for (int i = 0; i <= P_TERM; i++)
	{
		if (search->nulls[i] == ' ')
			appendStringInfoString(sql, param_filters[i]);
	}
}

/* The statement: exact total, and the page as a JSON array. */
static char *
search_statement(ProductSearch *search)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT (SELECT count(*)");
	append_matches(&sql, search);
	appendStringInfoString(&sql,
						   "), coalesce((SELECT jsonb_agg(product) FROM ("
						   "SELECT to_jsonb(p) - 'provenance'"
						   " || jsonb_build_object('insurance_companies', jsonb_build_object("
						   "'id', c.id, 'name', c.name, 'logo_url', c.logo_url,"
						   " 'website', c.website)) AS product");
	append_matches(&sql, search);
	appendStringInfoString(&sql, " ORDER BY ");
	append_order(&sql, search);
	appendStringInfoString(&sql, " LIMIT $9 OFFSET $10) AS page), '[]')");
	return padlock_sql(sql.data);
}

/* Run the search: the page's products, and the exact total of matches. */
static Jsonb *
run_search(ProductSearch *search, int64 *total)
{
	PadlockUserContext saved;
	Jsonb	   *products;
	bool		isnull;

	padlock_become_owner(&saved);
	SPI_connect();
	if (SPI_execute_with_args(search_statement(search), P_PARAMS, param_types, search->values,
							  search->nulls, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not search products")));
	*total = DatumGetInt64(padlock_spi_datum(0, 1, &isnull));
	products = DatumGetJsonbP(padlock_spi_datum(0, 2, &isnull));
	SPI_finish();
	padlock_restore_user(&saved);
	return products;
}

/* The filters in force, as JSON text. */
static char *
filters_applied(ProductSearch *search)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i <= P_TERM; i++)
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

static Jsonb *
product_search(Jsonb *json, BodyMode mode)
{
	ProductSearch search;
	int64		total;
	int64		pages;
	Jsonb	   *products;

	read_search(&search, json, mode);
	products = run_search(&search, &total);
	pages = (total + search.per_page - 1) / search.per_page;
	return padlock_answer(
		"{\"success\": true, \"products\": %s, \"pagination\": {\"page\": %d, \"per_page\": %d,"
		" \"total_items\": " INT64_FORMAT ", \"total_pages\": " INT64_FORMAT
		", \"has_next\": %s, \"has_previous\": %s}, \"filters_applied\": %s}",
		padlock_json_text(products), search.page, search.per_page, total, pages,
		search.page < pages ? "true" : "false", search.page > 1 ? "true" : "false",
		filters_applied(&search));
}

/*
 * product_search(jsonb) returns jsonb: active products of active companies
 * that match all filters and words, one page.  200; errors 400, 429.
 */
Datum
padlock_product_search(PG_FUNCTION_ARGS)
{
	padlock_limit_request("product_search");
	PG_RETURN_JSONB_P(product_search(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), BODY_CREATE));
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
