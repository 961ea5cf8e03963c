/*-------------------------------------------------------------------------
 *
 * company.c
 *	  Insurers join the marketplace: endpoint company_onboard.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "core/body.h"
#include "core/errors.h"
#include "identity/api_key.h"
#include "identity/require.h"
#include "limits/limits.h"

PG_FUNCTION_INFO_V1(padlock_company_onboard);

static const BodyField company_fields[] = {
	{"name", BODY_TEXT, .required = true, .min = 1, .max = 200},
	{"description", BODY_TEXT, .max = 5000},
	{"logo_url", BODY_URL},
	{"website", BODY_URL},
	{"contact_email", BODY_EMAIL, .required = true},
	{"contact_phone", BODY_TEXT, .min = 5, .max = 20},
	{"address", BODY_TEXT, .max = 500},
	{"country", BODY_COUNTRY},
	{"business_registration_number", BODY_TEXT, .max = 100},
	{"license_number", BODY_TEXT, .max = 100},
	{"regulatory_body", BODY_TEXT, .max = 200},
};

/* The id in a row's JSON. */
static pg_uuid_t
row_id(Jsonb *row)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&row->root, "id", 2, &value) == NULL ||
		value.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("company row has no id")));
	return *DatumGetUUIDP(DirectFunctionCall1(uuid_in,
											  CStringGetDatum(pnstrdup(value.val.string.val,
																	   value.val.string.len))));
}

/*
 * company_onboard(jsonb) returns jsonb: an admin adds a company and gets its
 * first API key, which is shown only here.  201; errors 400, 401, 403, 409, 429.
 */
Datum
padlock_company_onboard(PG_FUNCTION_ARGS)
{
	PadlockBody body;
	RowExtra	extra = {"api_key", TEXTOID};
	Jsonb	   *company;
	pg_uuid_t	company_id;
	char	   *api_key;
	char	   *display;

	padlock_limit_request("company_onboard");
	padlock_require_admin();
	padlock_body_read(&body, PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), company_fields,
					  lengthof(company_fields), BODY_CREATE);
	padlock_body_finish(&body);

	api_key = padlock_api_key_generate(&display);
	extra.value = CStringGetTextDatum(display);
	company = padlock_row_insert("insurance_companies", &body, &extra, 1);
	if (company == NULL)
		padlock_http_error(409, ERRCODE_UNIQUE_VIOLATION,
						   "a company with this name exists already", NULL,
						   "Choose another name.");
	company_id = row_id(company);
	(void) padlock_api_key_store(&company_id, api_key, display, "first key", NULL);

	padlock_http_status(201);
	PG_RETURN_JSONB_P(padlock_answer(
		"{\"success\": true, \"company\": %s, \"api_key\": %s, \"message\": %s, \"instructions\": %s}",
		padlock_json_text(company), padlock_json_string(api_key),
		padlock_json_string("Company created."),
		padlock_json_string("Store the API key now: it is not shown again. Send it in the header x-api-key.")));
}
