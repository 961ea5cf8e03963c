/*-------------------------------------------------------------------------
 *
 * ingest.c
 *	  Create or update a product from what was found elsewhere: by a crawl, or
 *	  by a webhook.
 *
 * A crawl's facts are a stranger's: they pass the validator of request bodies,
 * and what does not hold is left out.  A webhook's values were checked by its
 * endpoint.  From there both go one way.  insurance_products.provenance says for
 * each field that came this way from where and when; only such fields, and
 * empty ones, are overwritten, so an insurer's own value stays (see
 * provenance.c).  A product made here gets an entry also for what is filled in
 * by default (source "default": currency, billing frequency, policy type and
 * the like), so that it may be corrected later.
 *
 * A premium without its currency and billing frequency is no premium: when
 * either of these is kept against what the page says, the old premium is kept
 * with them.
 *
 * Locking contract: the company's row is locked (FOR NO KEY UPDATE) until the
 * transaction ends, so that two crawls cannot add one product twice.  It does
 * not block the API, which locks companies for foreign keys only.
 *
 * Everything runs as the extension's owner: the caller is a worker, which
 * acts for no role, or an endpoint that has checked its caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "catalog/ingest.h"
#include "core/body.h"
#include "core/spi.h"

#define MAX_KEYWORDS		50
#define MAX_KEYWORD			100 /* characters, as api.md says */

/* What may be filled: by a crawl up to FACT_COUNT, by a webhook all. */
typedef enum IngestField
{
	PRODUCT_NAME,
	PRODUCT_CODE,
	DESCRIPTION,
	PREMIUM_AMOUNT,
	CURRENCY,
	BILLING_FREQUENCY,
	MINIMUM_AGE,
	MAXIMUM_AGE,
	PRODUCT_IMAGE_URL,
	BROCHURE_URL,
	TERMS_URL,
	SEARCH_KEYWORDS,
	FACT_COUNT,
	POLICY_TYPE = FACT_COUNT,
	COVERAGE_DETAILS,
	COVERAGE_LIMITS,
	DEDUCTIBLE,
	BENEFITS,
	EXCLUSIONS,
	IS_ACTIVE,
	AVAILABLE_COUNTRIES,
	AI_TAGS,
	POPULARITY_SCORE,
	FIELD_COUNT
} IngestField;

/* Their names, and for facts what api.md allows. */
static const BodyField ingest_fields[FIELD_COUNT] = {
	[PRODUCT_NAME] = {"product_name", BODY_TEXT, .min = 1, .max = 200},
	[PRODUCT_CODE] = {"product_code", BODY_TEXT, .min = 1, .max = 50},
	[DESCRIPTION] = {"description", BODY_TEXT, .min = 1, .max = 5000},
	[PREMIUM_AMOUNT] = {"premium_amount", BODY_NUMERIC, .min = 0, .max = 1000000, .above_min = true},
	[CURRENCY] = {"currency", BODY_CURRENCY},
	[BILLING_FREQUENCY] = {"billing_frequency", BODY_CHOICE, .choices = "monthly|quarterly|annually"},
	[MINIMUM_AGE] = {"minimum_age", BODY_INTEGER, .min = 0, .max = 150},
	[MAXIMUM_AGE] = {"maximum_age", BODY_INTEGER, .min = 0, .max = 150},
	[PRODUCT_IMAGE_URL] = {"product_image_url", BODY_URL},
	[BROCHURE_URL] = {"brochure_url", BODY_URL},
	[TERMS_URL] = {"terms_url", BODY_URL},
	[SEARCH_KEYWORDS] = {"search_keywords", BODY_TEXT_LIST, .max = MAX_KEYWORD},
	[POLICY_TYPE] = {"policy_type"},
	[COVERAGE_DETAILS] = {"coverage_details"},
	[COVERAGE_LIMITS] = {"coverage_limits"},
	[DEDUCTIBLE] = {"deductible"},
	[BENEFITS] = {"benefits"},
	[EXCLUSIONS] = {"exclusions"},
	[IS_ACTIVE] = {"is_active"},
	[AVAILABLE_COUNTRIES] = {"available_countries"},
	[AI_TAGS] = {"ai_tags"},
	[POPULARITY_SCORE] = {"popularity_score"},
};

/* A valid value found for a field, as JSON, with its origin. */
typedef struct Found
{
	Jsonb	   *value;			/* NULL: nothing (valid) was found */
	const char *source;
} Found;

/* The statement's columns: those of ingest_fields and what is noted beside. */
#define WRITTEN_COLUMNS \
	"product_name, product_code, description, premium_amount, currency, billing_frequency," \
	" minimum_age, maximum_age, product_image_url, brochure_url, terms_url, search_keywords," \
	" policy_type, coverage_details, coverage_limits, deductible, benefits, exclusions," \
	" is_active, available_countries, ai_tags, popularity_score," \
	" source_url, last_crawled_at, provenance"
#define WRITTEN_VALUES \
	"r.product_name, r.product_code, r.description, r.premium_amount, r.currency, r.billing_frequency," \
	" r.minimum_age, r.maximum_age, r.product_image_url, r.brochure_url, r.terms_url, r.search_keywords," \
	" r.policy_type, r.coverage_details, r.coverage_limits, r.deductible, r.benefits, r.exclusions," \
	" r.is_active, r.available_countries, r.ai_tags, r.popularity_score," \
	" r.source_url, r.last_crawled_at, "

static PadlockStatement lock_company_statement = {
	"SELECT 1 FROM @app@.insurance_companies WHERE id = $1 FOR NO KEY UPDATE",
	1, {UUIDOID}
};

/*
 * $2 code, $3 URL (NULL unless the page is about one product), $4 name.  A
 * product of another code is another product, whatever its page or name.
 */
static PadlockStatement find_statement = {
	"SELECT id, pg_catalog.to_jsonb(t) FROM @app@.insurance_products AS t"
	" WHERE company_id = $1 AND (product_code = $2"
	" OR ((product_code IS NULL OR $2 IS NULL)"
	" AND (source_url = $3 OR pg_catalog.lower(product_name) = pg_catalog.lower($4))))"
	" ORDER BY (product_code = $2) DESC NULLS LAST, (source_url = $3) DESC NULLS LAST,"
	" created_at, id LIMIT 1 FOR UPDATE",
	4, {UUIDOID, TEXTOID, TEXTOID, TEXTOID}
};

static PadlockStatement insert_statement = {
	"INSERT INTO @app@.insurance_products (company_id, " WRITTEN_COLUMNS ")"
	" SELECT $1, " WRITTEN_VALUES "r.provenance"
	" FROM pg_catalog.jsonb_populate_record(NULL::@app@.insurance_products, $2) AS r"
	" ON CONFLICT DO NOTHING RETURNING id",
	2, {UUIDOID, JSONBOID}
};

/* Fields that $2 does not name keep their values. */
static PadlockStatement update_statement = {
	"UPDATE @app@.insurance_products AS t SET (" WRITTEN_COLUMNS ") ="
	" (SELECT " WRITTEN_VALUES "t.provenance || r.provenance"
	" FROM pg_catalog.jsonb_populate_record(t, $2) AS r)"
	" WHERE t.id = $1",
	2, {UUIDOID, JSONBOID}
};

/* Words that tell a policy type, in the order in which they are tried. */
static const struct
{
	const char *type;
	const char *words;			/* separated by spaces */
} type_words[] = {
	{"health", "health medical dental hospital optical healthcare"},
	{"auto", "auto car motor motorbike motorcycle vehicle van automobile"},
	{"life", "life income illness funeral mortality"},
	{"home", "home house household contents building property landlord tenant renter"},
};

/* The text without white space around it, at most max characters; palloc'd. */
static char *
trim(const char *text, int max)
{
	int			length;

	while (isspace((unsigned char) *text))
		text++;
	length = strlen(text);
	if (max > 0)
		length = pg_mbcharcliplen(text, length, max);
	while (length > 0 && isspace((unsigned char) text[length - 1]))
		length--;
	return pnstrdup(text, length);
}

/* The first fact of a name that is not empty, or NULL. */
static const PadlockFact *
find_fact(const PadlockProductFacts *facts, const char *name)
{
	ListCell   *cell;

	foreach(cell, facts->facts)
	{
		const PadlockFact *fact = lfirst(cell);

		if (strcmp(fact->name, name) == 0 && trim(fact->value, 0)[0] != '\0')
			return fact;
	}
	return NULL;
}

/* The keyword facts as a JSON array, or NULL when there is none. */
static char *
keywords_json(const PadlockProductFacts *facts, Found *found)
{
	StringInfoData json;
	ListCell   *cell;
	int			count = 0;

	initStringInfo(&json);
	foreach(cell, facts->facts)
	{
		const PadlockFact *fact = lfirst(cell);
		char	   *word;

		if (strcmp(fact->name, "keyword") != 0 || count == MAX_KEYWORDS)
			continue;
		word = trim(fact->value, MAX_KEYWORD);
		if (word[0] == '\0')
			continue;
		appendStringInfoString(&json, count++ == 0 ? "[" : ", ");
		escape_json(&json, word);
		found[SEARCH_KEYWORDS].source = fact->source;
	}
	if (count == 0)
		return NULL;
	appendStringInfoChar(&json, ']');
	return json.data;
}

/* The facts as a request body: every value a text but the keywords. */
static Jsonb *
facts_as_body(const PadlockProductFacts *facts, Found *found)
{
	StringInfoData json;
	const char *separator = "";
	char	   *keywords = keywords_json(facts, found);

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < FACT_COUNT; i++)
	{
		const PadlockFact *fact = find_fact(facts, ingest_fields[i].name);
		bool		prose = i == PRODUCT_NAME || i == DESCRIPTION;

		if (fact == NULL)
			continue;
		appendStringInfo(&json, "%s\"%s\": ", separator, ingest_fields[i].name);
		escape_json(&json, trim(fact->value, prose ? ingest_fields[i].max : 0));
		found[i].source = fact->source;
		separator = ", ";
	}
	if (keywords != NULL)
		appendStringInfo(&json, "%s\"search_keywords\": %s", separator, keywords);
	appendStringInfoChar(&json, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

static Jsonb *
jsonb_of(const char *json)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

/* A validated value as JSON; keywords are taken from the body as they are. */
static Jsonb *
value_as_json(IngestField field, Datum value, Jsonb *body)
{
	JsonbValue	member;

	switch (ingest_fields[field].type)
	{
		case BODY_NUMERIC:
			return jsonb_of(DatumGetCString(DirectFunctionCall1(numeric_out, value)));
		case BODY_INTEGER:
			return jsonb_of(DatumGetCString(DirectFunctionCall1(int4out, value)));
		default:
			getKeyJsonValueFromContainer(&body->root, ingest_fields[field].name,
										 strlen(ingest_fields[field].name), &member);
			return JsonbValueToJsonb(&member);
	}
}

/*
 * Fill in found[] with the facts that are valid values.  Two ages that
 * contradict each other are both left out.
 */
static void
validate(const PadlockProductFacts *facts, Found *found)
{
	Jsonb	   *json = facts_as_body(facts, found);
	PadlockBody body;
	int			before;

	padlock_body_read(&body, json, ingest_fields, FACT_COUNT, BODY_QUERY);
	before = body.problems.len;
	padlock_body_check_range(&body, "minimum_age", "maximum_age");
	for (int i = 0; i < FACT_COUNT; i++)
	{
		bool		contradicted = body.problems.len > before &&
			(i == MINIMUM_AGE || i == MAXIMUM_AGE);

		if (body.values[i].present && !body.values[i].invalid && !contradicted)
			found[i].value = value_as_json(i, body.values[i].value, json);
	}
}

/* Are two jsonb values the same?  Numbers by value. */
static bool
same_json(const Jsonb *a, const Jsonb *b)
{
	return compareJsonbContainers((JsonbContainer *) &a->root, (JsonbContainer *) &b->root) == 0;
}

/* A member of a jsonb object as a jsonb of its own; NULL if null or missing. */
static Jsonb *
member_of(Jsonb *object, const char *name)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&object->root, name, strlen(name), &value) == NULL ||
		value.type == jbvNull)
		return NULL;
	return JsonbValueToJsonb(&value);
}

/* Was a field of the existing row filled by a crawl, or is it empty? */
static bool
may_overwrite(Jsonb *existing, IngestField field)
{
	Jsonb	   *provenance = member_of(existing, "provenance");

	return member_of(existing, ingest_fields[field].name) == NULL ||
		(provenance != NULL && JB_ROOT_IS_OBJECT(provenance) &&
		 member_of(provenance, ingest_fields[field].name) != NULL);
}

/* Does the row keep, for this field, something else than the page says? */
static bool
contradicts(Jsonb *existing, const Found *found, IngestField field)
{
	Jsonb	   *current = member_of(existing, ingest_fields[field].name);

	return found[field].value != NULL && current != NULL && !may_overwrite(existing, field) &&
		!same_json(current, found[field].value);
}

/* Drop from found[] what the existing row has or does not give way to. */
static void
keep_what_stands(Jsonb *existing, Found *found)
{
	if (contradicts(existing, found, CURRENCY) || contradicts(existing, found, BILLING_FREQUENCY))
		found[PREMIUM_AMOUNT].value = NULL;
	for (int i = 0; i < FIELD_COUNT; i++)
	{
		Jsonb	   *current = member_of(existing, ingest_fields[i].name);

		if (found[i].value != NULL &&
			((current != NULL && same_json(current, found[i].value)) ||
			 !may_overwrite(existing, i)))
			found[i].value = NULL;
	}
}

/* An age that would contradict the other age that the row keeps is dropped. */
static void
keep_ages_in_order(Jsonb *existing, Found *found)
{
	Jsonb	   *low = found[MINIMUM_AGE].value;
	Jsonb	   *high = found[MAXIMUM_AGE].value;

	low = low ? low : member_of(existing, "minimum_age");
	high = high ? high : member_of(existing, "maximum_age");
	if (low != NULL && high != NULL &&
		compareJsonbContainers(&low->root, &high->root) > 0)
		found[MINIMUM_AGE].value = found[MAXIMUM_AGE].value = NULL;
}

/* Append "name": {"source": ..., "url": ..., "at": ...}. */
static void
append_provenance(StringInfo json, const char *name, const char *source, const char *url,
				  const char *at)
{
	appendStringInfo(json, "%s\"%s\": {\"source\": ", json->len > 1 ? ", " : "", name);
	escape_json(json, source);
	appendStringInfoString(json, ", \"url\": ");
	escape_json(json, url);
	appendStringInfo(json, ", \"at\": \"%s\"}", at);
}

/*
 * What is to be written, as a jsonb row: the found values, when the product
 * was seen, and where unless source_url is NULL.  *changes counts the values.
 */
static Jsonb *
row_to_write(const Found *found, const char *url, bool write_url, int *changes)
{
	StringInfoData row;
	StringInfoData provenance;
	TimestampTz now = GetCurrentTimestamp();
	/* of the wall clock: an entry must differ from any before (provenance.c) */
	char	   *at = JsonEncodeDateTime(NULL, TimestampTzGetDatum(now), TIMESTAMPTZOID, NULL);

	*changes = 0;
	initStringInfo(&row);
	initStringInfo(&provenance);
	appendStringInfo(&row, "{\"last_crawled_at\": \"%s\"",
					 timestamptz_to_str(GetCurrentTransactionStartTimestamp()));
	appendStringInfoChar(&provenance, '{');
	for (int i = 0; i < FIELD_COUNT; i++)
	{
		if (found[i].value == NULL)
			continue;
		appendStringInfo(&row, ", \"%s\": %s", ingest_fields[i].name,
						 padlock_json_text(found[i].value));
		append_provenance(&provenance, ingest_fields[i].name, found[i].source, url, at);
		(*changes)++;
	}
	if (write_url)
	{
		appendStringInfoString(&row, ", \"source_url\": ");
		escape_json(&row, url);
	}
	appendStringInfo(&row, ", \"provenance\": %s}}", provenance.data);
	return jsonb_of(row.data);
}

/* Is word, or word with an s, one of the words in the text (lower case)? */
static bool
has_word(const char *text, const char *word, size_t length)
{
	for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
	{
		const char *end = at + length;

		if (at > text && isalpha((unsigned char) at[-1]))
			continue;
		if (*end == 's')
			end++;
		if (!isalpha((unsigned char) *end))
			return true;
	}
	return false;
}

/* The policy type whose words a text has, or NULL. */
static const char *
type_of_text(const char *text)
{
	char	   *lower = asc_tolower(text, strlen(text));

	for (int i = 0; i < lengthof(type_words); i++)
	{
		char	   *words = pstrdup(type_words[i].words);
		char	   *rest = NULL;

		for (char *word = strtok_r(words, " ", &rest); word != NULL;
			 word = strtok_r(NULL, " ", &rest))
			if (has_word(lower, word, strlen(word)))
				return type_words[i].type;
	}
	return NULL;
}

/* The policy type of a new product: by its category, if there is one, else its name. */
static const char *
infer_policy_type(const char *category, Jsonb *name)
{
	const char *type = category ? type_of_text(category) : NULL;

	if (type == NULL)
		type = type_of_text(padlock_json_text(name));
	return type ? type : "other";
}

/* A found text as a text datum; *isnull when there is none. */
static Datum
found_text(const Found *found, IngestField field, char *null)
{
	JsonbValue	value;

	if (found[field].value == NULL ||
		!JsonbExtractScalar(&found[field].value->root, &value))
	{
		*null = 'n';
		return (Datum) 0;
	}
	return PointerGetDatum(cstring_to_text_with_len(value.val.string.val, value.val.string.len));
}

/* The company's product that the facts are about, locked; NULL if it has none. */
static Jsonb *
find_existing(const pg_uuid_t *company_id, const Found *found, const char *url,
			  pg_uuid_t *product_id)
{
	Datum		values[4];
	char		nulls[4] = {' ', ' ', ' ', ' '};
	bool		isnull;

	values[0] = UUIDPGetDatum(company_id);
	values[1] = found_text(found, PRODUCT_CODE, &nulls[1]);
	values[2] = url ? CStringGetTextDatum(url) : (Datum) 0;
	nulls[2] = url ? ' ' : 'n';
	values[3] = found_text(found, PRODUCT_NAME, &nulls[3]);
	if (padlock_spi_execute(&find_statement, values, nulls, false) == 0)
		return NULL;
	*product_id = *DatumGetUUIDP(padlock_spi_datum(0, 1, &isnull));
	return DatumGetJsonbP(padlock_spi_datum(0, 2, &isnull));
}

/* Fill in what a new product must have and nobody said. */
static void
add_defaults(Found *found, const char *category)
{
	struct
	{
		IngestField field;
		const char *json;
	}			defaults[] = {
		{CURRENCY, "\"GBP\""},
		{BILLING_FREQUENCY, "\"monthly\""},
		{IS_ACTIVE, "true"},
		{POPULARITY_SCORE, "0"},
		{POLICY_TYPE, psprintf("\"%s\"", infer_policy_type(category, found[PRODUCT_NAME].value))},
	};

	for (int i = 0; i < lengthof(defaults); i++)
	{
		if (found[defaults[i].field].value == NULL)
			found[defaults[i].field] = (Found) {jsonb_of(defaults[i].json), "default"};
	}
}

/* Insert a new product; false when its code was taken meanwhile. */
static bool
create(const pg_uuid_t *company_id, const char *category, Found *found, const char *url,
	   pg_uuid_t *product_id)
{
	Datum		values[2];
	bool		isnull;
	int			changes;

	add_defaults(found, category);
	values[0] = UUIDPGetDatum(company_id);
	values[1] = JsonbPGetDatum(row_to_write(found, url, true, &changes));
	if (padlock_spi_execute(&insert_statement, values, NULL, false) == 0)
		return false;
	*product_id = *DatumGetUUIDP(padlock_spi_datum(0, 1, &isnull));
	return true;
}

/* Update an existing product; true if a value changed. */
static bool
update(const pg_uuid_t *product_id, Jsonb *existing, Found *found, const char *url,
	   bool alone_on_page)
{
	Datum		values[2];
	int			changes;

	keep_what_stands(existing, found);
	keep_ages_in_order(existing, found);
	values[0] = UUIDPGetDatum(product_id);
	values[1] = JsonbPGetDatum(row_to_write(found, url, alone_on_page ||
											member_of(existing, "source_url") == NULL,
											&changes));
	(void) padlock_spi_execute(&update_statement, values, NULL, false);
	return changes > 0;
}

/* Find, then create or update, inside an SPI connection and as the owner. */
static PadlockIngestAction
find_and_write(const pg_uuid_t *company_id, const char *category, Found *found, const char *url,
			   bool alone_on_page, pg_uuid_t *product_id)
{
	Datum		company = UUIDPGetDatum(company_id);
	const char *own_url = alone_on_page ? url : NULL;
	Jsonb	   *existing;

	if (padlock_spi_execute(&lock_company_statement, &company, NULL, false) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("the company does not exist")));
	existing = find_existing(company_id, found, own_url, product_id);
	if (existing == NULL)
	{
		if (create(company_id, category, found, url, product_id))
			return PADLOCK_INGEST_CREATED;
		existing = find_existing(company_id, found, own_url, product_id);
	}
	if (existing == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a product with the same code is being changed")));
	return update(product_id, existing, found, url, alone_on_page) ?
		PADLOCK_INGEST_UPDATED : PADLOCK_INGEST_UNCHANGED;
}

/* Store what was found as a product of the company; category may be NULL. */
static void
store(const pg_uuid_t *company_id, const char *category, Found *found, const char *url,
	  bool alone_on_page, PadlockIngestResult *result)
{
	PadlockUserContext saved;

	padlock_become_owner(&saved);
	SPI_connect();
	result->action = find_and_write(company_id, category, found, url, alone_on_page,
									&result->product_id);
	SPI_finish();
	padlock_restore_user(&saved);
}

/* Why the facts make no product, or NULL. */
static const char *
refusal(const PadlockProductFacts *facts, const Found *found)
{
	static const IngestField needed[] = {PRODUCT_NAME, PREMIUM_AMOUNT};

	for (int i = 0; i < lengthof(needed); i++)
	{
		const char *name = ingest_fields[needed[i]].name;

		if (found[needed[i]].value == NULL)
			return psprintf(find_fact(facts, name) ? "product with an invalid %s" :
							"product without %s", name);
	}
	return NULL;
}

PadlockIngestResult
padlock_ingest_product(const pg_uuid_t *company_id, const PadlockProductFacts *facts,
					   const char *source_url, bool alone_on_page)
{
	PadlockIngestResult result = {PADLOCK_INGEST_REFUSED};
	const PadlockFact *category = find_fact(facts, "category");
	Found		found[FIELD_COUNT] = {{NULL, NULL}};

	validate(facts, found);
	result.reason = refusal(facts, found);
	if (result.reason == NULL)
		store(company_id, category ? category->value : NULL, found, source_url, alone_on_page,
			  &result);
	return result;
}

PadlockIngestResult
padlock_ingest_values(const pg_uuid_t *company_id, Jsonb *values, const char *source,
					  const char *source_url)
{
	PadlockIngestResult result = {PADLOCK_INGEST_REFUSED};
	Found		found[FIELD_COUNT];

	for (int i = 0; i < FIELD_COUNT; i++)
		found[i] = (Found) {member_of(values, ingest_fields[i].name), source};
	store(company_id, NULL, found, source_url, false, &result);
	return result;
}
