/*-------------------------------------------------------------------------
 *
 * ingest_endpoint.c
 *	  Endpoint ai_product_ingest: a webhook tells what it found of a product.
 *
 * The sender is a program of the marketplace's own, known by a secret, and
 * acts for no company and no user.  No role has rights for what it does, so
 * the work runs as the extension's owner: the secret is what gives the right,
 * and the statements write one product, and at most one company, of the body.
 *
 * A company that is not there yet is made inactive: a webhook says that a
 * company exists, not that the marketplace has a contract with it.  Its
 * products are stored, and seen by nobody but admins until one of them sets
 * is_active.  A company that is there is never changed: neither its website,
 * which the crawler follows, nor anything else.
 *
 * Language models are careless about form, so values are brought into form
 * before they are checked: white space around texts goes, codes of currencies
 * and countries become capitals, choices small letters, numbers that are
 * written as plain texts numbers, and a field with nothing in it is none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/numeric.h"

#include "catalog/ingest.h"
#include "catalog/product.h"
#include "core/body.h"
#include "core/errors.h"
#include "core/spi.h"
#include "identity/webhook.h"
#include "limits/limits.h"

PG_FUNCTION_INFO_V1(padlock_ai_product_ingest);

#define MAX_NUMBER_LENGTH 40

static const BodyField ingest_body_fields[] = {
	{"source_url", BODY_URL, .required = true},
	{"company_id", BODY_UUID},
	{"company_name", BODY_TEXT, .min = 1, .max = 200},
	{"company_website", BODY_URL},
	PADLOCK_PRODUCT_FIELDS(false)
};

/* What came of a call, for the answer. */
typedef struct Ingestion
{
	pg_uuid_t	company_id;
	bool		company_created;
	PadlockIngestResult result;
	Jsonb	   *product;
	Jsonb	   *taken;			/* the values that the product has now */
	text	   *kept;			/* names of fields that have others, or NULL */
} Ingestion;

static const BodyField *
find_field(const JsonbValue *name)
{
	for (int i = 0; i < lengthof(ingest_body_fields); i++)
	{
		const BodyField *field = &ingest_body_fields[i];

		if (strlen(field->name) == name->val.string.len &&
			strncmp(field->name, name->val.string.val, name->val.string.len) == 0)
			return field;
	}
	return NULL;
}

/* Take the white space around a text value away. */
static void
trim(JsonbValue *value)
{
	char	   *text = value->val.string.val;
	int			length = value->val.string.len;

	while (length > 0 && isspace((unsigned char) text[length - 1]))
		length--;
	while (length > 0 && isspace((unsigned char) *text))
	{
		text++;
		length--;
	}
	value->val.string.val = text;
	value->val.string.len = length;
}

/* Change the letters A to Z of a text value; all others stay. */
static void
change_case(JsonbValue *value, char *(*change) (const char *, size_t))
{
	value->val.string.val = change(value->val.string.val, value->val.string.len);
}

/* Make a text of digits, with a sign and a point perhaps, the number it is. */
static void
make_number(JsonbValue *value)
{
	char	   *text = pnstrdup(value->val.string.val, value->val.string.len);
	const char *digits = text + (*text == '-' || *text == '+');
	size_t		whole = strspn(digits, "0123456789");
	const char *rest = digits + whole;

	if (*rest == '.')
	{
		size_t		fraction = strspn(rest + 1, "0123456789");

		rest += fraction > 0 ? 1 + fraction : 0;
	}
	if (whole == 0 || *rest != '\0' || strlen(text) > MAX_NUMBER_LENGTH)
		return;
	value->type = jbvNumeric;
	value->val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
															 ObjectIdGetDatum(InvalidOid),
															 Int32GetDatum(-1)));
}

/* Bring a text into the form of its field; false when nothing is in it. */
static bool
normalise_text(const BodyField *field, JsonbValue *value)
{
	trim(value);
	if (value->val.string.len == 0)
		return false;
	switch (field->type)
	{
		case BODY_CURRENCY:
		case BODY_COUNTRY_LIST:
			change_case(value, asc_toupper);
			break;
		case BODY_CHOICE:
			change_case(value, asc_tolower);
			break;
		case BODY_INTEGER:
		case BODY_NUMERIC:
			make_number(value);
			break;
		default:
			break;
	}
	return true;
}

/* Bring the texts of a list into form; what is no text is left to the check. */
static JsonbValue *
normalise_list(const BodyField *field, JsonbContainer *list)
{
	JsonbParseState *state = NULL;
	JsonbIterator *iterator = JsonbIteratorInit(list);
	JsonbIteratorToken token;
	JsonbValue	item;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM && (item.type != jbvString || normalise_text(field, &item)))
			pushJsonbValue(&state, WJB_ELEM, &item);
	}
	return pushJsonbValue(&state, WJB_END_ARRAY, NULL);
}

/* Bring the value of a field into form; false when nothing is in it. */
static bool
normalise_value(const BodyField *field, JsonbValue *value)
{
	if (value->type == jbvNull)
		return false;
	if (value->type == jbvString)
		return normalise_text(field, value);
	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
		(field->type == BODY_TEXT_LIST || field->type == BODY_COUNTRY_LIST))
		*value = *normalise_list(field, value->val.binary.data);
	return true;
}

/* The body with every known field in form; what is no object stays as it is. */
static Jsonb *
normalise(Jsonb *body)
{
	JsonbParseState *state = NULL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;

	if (body == NULL || !JB_ROOT_IS_OBJECT(body))
		return body;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	iterator = JsonbIteratorInit(&body->root);
	while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE)
	{
		const BodyField *field;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		field = find_field(&name);
		if (field != NULL && !normalise_value(field, &value))
			continue;
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Note what is wrong in how the body names the company. */
static void
check_company(PadlockBody *body)
{
	bool		by_id = padlock_body_value(body, "company_id")->present;
	bool		by_name = padlock_body_value(body, "company_name")->present;

	if (!by_id && !by_name)
		padlock_body_problem(body, "company_name", "is required, or company_id");
	if (by_id && by_name)
		padlock_body_problem(body, "company_name", "must not be given together with company_id");
	if (padlock_body_value(body, "company_website")->present && !by_name)
		padlock_body_problem(body, "company_website", "is for a company_name only");
}

static bool
company_exists(Datum company_id)
{
	static PadlockStatement select = {
		.sql = "SELECT FROM @app@.insurance_companies WHERE id = $1",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};

	return padlock_spi_execute(&select, &company_id, NULL, false) > 0;
}

/* A company's name as the index insurance_companies_same_name_key has it. */
#define SAME_NAME(name) "lower(regexp_replace(btrim(" name "), '[[:space:]]+', ' ', 'g'))"

/* Find a company by name, whatever its letter case and spaces. */
static bool
find_company(Datum name, pg_uuid_t *company_id)
{
	static PadlockStatement select = {
		.sql = "SELECT id FROM @app@.insurance_companies"
		" WHERE " SAME_NAME("name") " = " SAME_NAME("$1"),
		.nargs = 1,
		.argtypes = {TEXTOID}
	};
	bool		isnull;

	if (padlock_spi_execute(&select, &name, NULL, false) == 0)
		return false;
	*company_id = *DatumGetUUIDP(padlock_spi_datum(0, 1, &isnull));
	return true;
}

/* Make an inactive company; false when another made it meanwhile. */
static bool
create_company(PadlockBody *body, pg_uuid_t *company_id)
{
	static PadlockStatement insert = {
		.sql = "INSERT INTO @app@.insurance_companies (name, website, is_active)"
		" VALUES ($1, $2, false) ON CONFLICT DO NOTHING RETURNING id",
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID}
	};
	BodyValue  *website = padlock_body_value(body, "company_website");
	Datum		values[2] = {padlock_body_value(body, "company_name")->value, website->value};
	bool		isnull;

	if (padlock_spi_execute(&insert, values, website->present ? NULL : " n", false) == 0)
		return false;
	*company_id = *DatumGetUUIDP(padlock_spi_datum(0, 1, &isnull));
	return true;
}

/* The company of the body, found or made. */
static void
choose_company(PadlockBody *body, Ingestion *ingestion)
{
	BodyValue  *id = padlock_body_value(body, "company_id");
	Datum		name = padlock_body_value(body, "company_name")->value;

	if (id->present)
	{
		if (!company_exists(id->value))
			padlock_http_error(404, ERRCODE_NO_DATA_FOUND, "company does not exist", NULL,
							   "Check company_id, or send company_name.");
		ingestion->company_id = *DatumGetUUIDP(id->value);
		return;
	}
	if (find_company(name, &ingestion->company_id))
		return;
	ingestion->company_created = create_company(body, &ingestion->company_id);
	if (!ingestion->company_created && !find_company(name, &ingestion->company_id))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a company with the same name is being changed")));
}

/* Read the product as it is now, and compare it with the values. */
static void
read_product(Jsonb *values, Ingestion *ingestion)
{
	static PadlockStatement select = {
		.sql = "SELECT p.row, coalesce(jsonb_object_agg(v.key, v.value)"
		" FILTER (WHERE p.row -> v.key = v.value), '{}'),"
		" string_agg(v.key, ', ' ORDER BY v.key) FILTER (WHERE p.row -> v.key IS DISTINCT FROM v.value)"
		" FROM (SELECT to_jsonb(t) AS row FROM @app@.insurance_products AS t WHERE id = $1) AS p,"
		" jsonb_each($2 - '{source_url,company_id,company_name,company_website}'::text[]) AS v"
		" GROUP BY p.row",
		.nargs = 2,
		.argtypes = {UUIDOID, JSONBOID}
	};
	Datum		arguments[2] = {
		UUIDPGetDatum(&ingestion->result.product_id), JsonbPGetDatum(values)
	};
	bool		isnull;

	padlock_spi_execute(&select, arguments, NULL, false);
	ingestion->product = DatumGetJsonbP(padlock_spi_datum(0, 1, &isnull));
	ingestion->taken = DatumGetJsonbP(padlock_spi_datum(0, 2, &isnull));
	ingestion->kept = (text *) DatumGetPointer(padlock_spi_datum(0, 3, &isnull));
}

static Jsonb *
answer(PadlockBody *body, const Ingestion *ingestion)
{
	bool		created = ingestion->result.action == PADLOCK_INGEST_CREATED;
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfo(&message, "Product %s.", created ? "created" :
					 ingestion->result.action == PADLOCK_INGEST_UPDATED ? "updated" : "is up to date");
	if (ingestion->kept != NULL)
		appendStringInfo(&message, " What the insurer set stays: %s.",
						 text_to_cstring(ingestion->kept));
	if (ingestion->company_created)
		appendStringInfoString(&message, " Its company is new and not active: an admin must activate it.");
	padlock_http_status(created ? 201 : 200);
	return padlock_answer(
		"{\"success\": true, \"action\": %s, \"product\": %s, \"source_url\": %s,"
		" \"extracted_data\": %s, \"message\": %s}",
		padlock_json_string(created ? "created" : "updated"),
		padlock_json_text(ingestion->product),
		padlock_json_string(padlock_body_text(body, "source_url")),
		padlock_json_text(ingestion->taken), padlock_json_string(message.data));
}

/*
 * ai_product_ingest(jsonb) returns jsonb: a webhook tells of a product, found
 * at source_url, of the company company_id or company_name, which is made,
 * inactive, when it is missing.  The product is found by product_code, else
 * by name; values that the insurer set stay.  201 when it was created, else
 * 200; errors 400, 401, 404, 429, 500.
 */
Datum
padlock_ai_product_ingest(PG_FUNCTION_ARGS)
{
	Ingestion	ingestion = {{{0}}};
	PadlockUserContext saved;
	PadlockBody body;
	Jsonb	   *values;

	/* counted first: guessing a secret is limited, too */
	padlock_limit_request("ai_product_ingest");
	padlock_require_webhook();
	values = normalise(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0));
	padlock_body_read(&body, values, ingest_body_fields, lengthof(ingest_body_fields),
					  BODY_CREATE);
	padlock_body_check_range(&body, "minimum_age", "maximum_age");
	check_company(&body);
	padlock_body_finish(&body);

	padlock_become_owner(&saved);
	SPI_connect();
	choose_company(&body, &ingestion);
	ingestion.result = padlock_ingest_values(&ingestion.company_id, values, "webhook",
											 padlock_body_text(&body, "source_url"));
	read_product(values, &ingestion);
	SPI_finish();
	padlock_restore_user(&saved);
	PG_RETURN_JSONB_P(answer(&body, &ingestion));
}
