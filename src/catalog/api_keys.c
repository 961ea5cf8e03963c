/*-------------------------------------------------------------------------
 *
 * api_keys.c
 *	  Endpoints that manage API keys: create, list, rotate, revoke.
 *
 * A company manages its own keys with one of them; admins and service_role
 * name the company in company_id.  A key of another company is answered as a
 * missing one.
 *
 * The statements run as the extension's owner, since no role has rights on
 * padlock.api_keys or may change insurance_companies.api_key: what a caller
 * may do is decided here, and each statement is bound to the one company that
 * the caller acts for.
 *
 * insurance_companies.api_key shows the newest live key, as of the last change
 * of keys.  It is written before a key ends, so that the audit trail of both
 * changes names the company, also when the key that calls is the one that ends.
 *
 * Locking contract: who changes a company's keys first locks its row, so that
 * changes follow one another.  Requests with a key lock nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "core/body.h"
#include "core/errors.h"
#include "core/spi.h"
#include "identity/api_key.h"
#include "identity/caller.h"
#include "identity/require.h"
#include "limits/limits.h"

PG_FUNCTION_INFO_V1(padlock_create_api_key);
PG_FUNCTION_INFO_V1(padlock_list_api_keys);
PG_FUNCTION_INFO_V1(padlock_rotate_api_key);
PG_FUNCTION_INFO_V1(padlock_revoke_api_key);

#define DEFAULT_OVERLAP_MINUTES 1440
#define MAX_OVERLAP_MINUTES		43200	/* 30 days */
#define MAX_LABEL				100

static const BodyField create_fields[] = {
	{"company_id", BODY_UUID},
	{"label", BODY_TEXT, .required = true, .min = 1, .max = MAX_LABEL},
	{"expires_at", BODY_TIME},
};

static const BodyField list_fields[] = {
	{"company_id", BODY_UUID},
};

static const BodyField rotate_fields[] = {
	{"company_id", BODY_UUID},
	{"key_id", BODY_UUID, .required = true},
	{"overlap_minutes", BODY_INTEGER, .min = 0, .max = MAX_OVERLAP_MINUTES},
	{"label", BODY_TEXT, .min = 1, .max = MAX_LABEL},
	{"expires_at", BODY_TIME},
};

static const BodyField revoke_fields[] = {
	{"company_id", BODY_UUID},
	{"key_id", BODY_UUID, .required = true},
};

/* A call of one of the endpoints: what is asked, and for which company. */
typedef struct KeyRequest
{
	PadlockBody body;
	pg_uuid_t	company_id;
	PadlockUserContext caller;	/* while the request is worked on as the owner */
} KeyRequest;

static void
no_company(void)
{
	padlock_http_error(404, ERRCODE_NO_DATA_FOUND, "company does not exist", NULL,
					   "Check company_id.");
}

/* Fill in the company that the caller acts for; own is NULL without a key. */
static void
choose_company(KeyRequest *request, const pg_uuid_t *own)
{
	BodyValue  *named = padlock_body_value(&request->body, "company_id");
	bool		is_named = named->present && !named->invalid;

	if (!is_named && own == NULL)
	{
		if (!named->present)
			padlock_body_problem(&request->body, "company_id", "is required from admins");
		return;
	}
	request->company_id = is_named ? *DatumGetUUIDP(named->value) : *own;
	if (!padlock_caller_is_privileged() &&
		memcmp(&request->company_id, own, sizeof(pg_uuid_t)) != 0)
		no_company();
}

/*
 * The latest end of a key that the caller may make: a company's key makes no
 * key that outlives it, or a key that got into wrong hands would never end.
 */
static TimestampTz
latest_expiry(void)
{
	return padlock_caller_is_privileged() ? DT_NOEND : padlock_caller()->key_expires_at;
}

/* Note an expiry that has passed already, or is later than a company's own key may give. */
static void
check_expiry(PadlockBody *body)
{
	BodyValue  *expires_at = padlock_body_value(body, "expires_at");

	if (!expires_at->present || expires_at->invalid)
		return;
	if (DatumGetTimestampTz(expires_at->value) <= GetCurrentTimestamp())
		padlock_body_problem(body, "expires_at", "must be in the future");
	if (DatumGetTimestampTz(expires_at->value) > latest_expiry())
		padlock_body_problem(body, "expires_at", "must not be later than the expiry of the key that calls");
}

/* Let the caller in, count the call, read the body. */
static void
read_request(FunctionCallInfo fcinfo, const char *endpoint, const BodyField *fields, int count,
			 KeyRequest *request)
{
	pg_uuid_t	own = {{0}};
	bool		has_own = padlock_caller()->has_company;

	if (!padlock_caller_is_privileged())
		own = padlock_require_company();
	else if (has_own)
		own = padlock_caller()->company_id;
	padlock_limit_request(endpoint);
	padlock_body_read(&request->body, PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), fields,
					  count, BODY_CREATE);
	choose_company(request, has_own ? &own : NULL);
}

/* Go on as the owner, in an SPI connection, with the company locked; else 404. */
static void
begin_change(KeyRequest *request)
{
	static PadlockStatement lock = {
		.sql = "SELECT FROM @app@.insurance_companies WHERE id = $1 FOR NO KEY UPDATE",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	Datum		company_id = UUIDPGetDatum(&request->company_id);

	padlock_become_owner(&request->caller);
	SPI_connect();
	if (padlock_spi_execute(&lock, &company_id, NULL, false) == 0)
		no_company();
}

static void
end_change(KeyRequest *request)
{
	SPI_finish();
	padlock_restore_user(&request->caller);
}

/* Show a key's display form as the company's. */
static void
show_key(const pg_uuid_t *company_id, const char *display)
{
	static PadlockStatement update = {
		.sql = "UPDATE @app@.insurance_companies SET api_key = $2 WHERE id = $1",
		.nargs = 2,
		.argtypes = {UUIDOID, TEXTOID}
	};
	Datum		values[2] = {UUIDPGetDatum(company_id), CStringGetTextDatum(display)};

	padlock_spi_execute(&update, values, NULL, false);
}

/* Show the newest live key but the one that is about to end, or none. */
static void
show_another_key(const pg_uuid_t *company_id, Datum ending)
{
	static PadlockStatement update = {
		.sql = "UPDATE @app@.insurance_companies SET api_key ="
		" (SELECT display FROM padlock.api_keys WHERE company_id = $1 AND id <> $2"
		" AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())"
		" ORDER BY created_at DESC, id LIMIT 1) WHERE id = $1",
		.nargs = 2,
		.argtypes = {UUIDOID, UUIDOID}
	};
	Datum		values[2] = {UUIDPGetDatum(company_id), ending};

	padlock_spi_execute(&update, values, NULL, false);
}

static void
no_key(void)
{
	padlock_http_error(404, ERRCODE_NO_DATA_FOUND, "API key does not exist", NULL,
					   "Check key_id; list_api_keys shows the company's keys.");
}

/* Store a new key for the company and show it; its row as JSON, outside SPI. */
static Jsonb *
add_key(KeyRequest *request, const char *key, const char *display, const char *label)
{
	BodyValue  *expires_at = padlock_body_value(&request->body, "expires_at");
	TimestampTz time = expires_at->present ? DatumGetTimestampTz(expires_at->value) : latest_expiry();
	Jsonb	   *row = padlock_api_key_store(&request->company_id, key, display, label,
											TIMESTAMP_IS_NOEND(time) ? NULL : &time);

	show_key(&request->company_id, display);
	return DatumGetJsonbP(SPI_datumTransfer(JsonbPGetDatum(row), false, -1));
}

/*
 * create_api_key(jsonb) returns jsonb: {label, expires_at?, company_id?} makes
 * another key for a company.  201; errors 400, 401, 403, 404, 429.
 */
Datum
padlock_create_api_key(PG_FUNCTION_ARGS)
{
	KeyRequest	request;
	char	   *display;
	char	   *key;
	Jsonb	   *row;

	read_request(fcinfo, "create_api_key", create_fields, lengthof(create_fields), &request);
	check_expiry(&request.body);
	padlock_body_finish(&request.body);

	key = padlock_api_key_generate(&display);
	begin_change(&request);
	row = add_key(&request, key, display, padlock_body_text(&request.body, "label"));
	end_change(&request);
	padlock_http_status(201);
	PG_RETURN_JSONB_P(padlock_answer(
		"{\"success\": true, \"api_key\": %s, \"key\": %s, \"message\": %s}",
		padlock_json_string(key), padlock_json_text(row),
		padlock_json_string("API key created. Store it now: it is not shown again.")));
}

/* The company's keys, the newest first; 404 without such a company. */
static Jsonb *
read_keys(const pg_uuid_t *company_id)
{
	static PadlockStatement select = {
		.sql = "SELECT (SELECT coalesce(jsonb_agg(" API_KEY_JSON " ORDER BY created_at DESC, id), '[]')"
		" FROM padlock.api_keys WHERE company_id = $1)"
		" FROM @app@.insurance_companies WHERE id = $1",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	Datum		value = UUIDPGetDatum(company_id);
	bool		isnull;

	if (padlock_spi_execute(&select, &value, NULL, true) == 0)
		no_company();
	return DatumGetJsonbP(padlock_spi_datum(0, 1, &isnull));
}

/*
 * list_api_keys(jsonb) returns jsonb: {company_id?} shows all keys that a
 * company has or had, never their hashes.  200; errors 400, 401, 403, 404, 429.
 */
Datum
padlock_list_api_keys(PG_FUNCTION_ARGS)
{
	KeyRequest	request;
	PadlockUserContext saved;
	Jsonb	   *keys;

	read_request(fcinfo, "list_api_keys", list_fields, lengthof(list_fields), &request);
	padlock_body_finish(&request.body);

	padlock_become_owner(&saved);
	SPI_connect();
	keys = read_keys(&request.company_id);
	SPI_finish();
	padlock_restore_user(&saved);
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"keys\": %s}",
									 padlock_json_text(keys)));
}

/* The label of a live key of the company, which is locked; 404, 409 if not live. */
static char *
lock_live_key(KeyRequest *request)
{
	static PadlockStatement select = {
		.sql = "SELECT label, revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())"
		" FROM padlock.api_keys WHERE id = $1 AND company_id = $2 FOR NO KEY UPDATE",
		.nargs = 2,
		.argtypes = {UUIDOID, UUIDOID}
	};
	Datum		values[2] = {
		padlock_body_value(&request->body, "key_id")->value, UUIDPGetDatum(&request->company_id)
	};
	bool		isnull;

	if (padlock_spi_execute(&select, values, NULL, false) == 0)
		no_key();
	if (!DatumGetBool(padlock_spi_datum(0, 2, &isnull)))
		padlock_http_error(409, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						   "API key was revoked or has expired", NULL,
						   "Create a new key with create_api_key.");
	return TextDatumGetCString(padlock_spi_datum(0, 1, &isnull));
}

/* Let the old key end after the overlap, never later than it would anyway. */
static Jsonb *
end_old_key(KeyRequest *request)
{
	static PadlockStatement update = {
		.sql = "UPDATE padlock.api_keys"
		" SET expires_at = LEAST(expires_at, now() + make_interval(mins => $2))"
		" WHERE id = $1 RETURNING " API_KEY_JSON,
		.nargs = 2,
		.argtypes = {UUIDOID, INT4OID}
	};
	BodyValue  *overlap = padlock_body_value(&request->body, "overlap_minutes");
	Datum		values[2] = {
		padlock_body_value(&request->body, "key_id")->value,
		overlap->present ? overlap->value : Int32GetDatum(DEFAULT_OVERLAP_MINUTES)
	};
	bool		isnull;

	padlock_spi_execute(&update, values, NULL, false);
	return DatumGetJsonbP(padlock_spi_datum(0, 1, &isnull));
}

/*
 * rotate_api_key(jsonb) returns jsonb: {key_id, overlap_minutes?, label?,
 * expires_at?, company_id?} makes a key in place of a live one, which ends
 * overlap_minutes (0 to 43200, 1440) from now, or when it would have ended if
 * that is earlier.  The new key takes over the label; it has no expiry but
 * expires_at.  201; errors 400, 401, 403, 404, 409, 429.
 */
Datum
padlock_rotate_api_key(PG_FUNCTION_ARGS)
{
	KeyRequest	request;
	char	   *old_label;
	char	   *label;
	char	   *display;
	char	   *key;
	Jsonb	   *new_row;
	Jsonb	   *old_row;

	read_request(fcinfo, "rotate_api_key", rotate_fields, lengthof(rotate_fields), &request);
	check_expiry(&request.body);
	padlock_body_finish(&request.body);

	label = padlock_body_text(&request.body, "label");
	key = padlock_api_key_generate(&display);
	begin_change(&request);
	old_label = lock_live_key(&request);
	new_row = add_key(&request, key, display, label ? label : old_label);
	old_row = end_old_key(&request);
	end_change(&request);
	padlock_http_status(201);
	PG_RETURN_JSONB_P(padlock_answer(
		"{\"success\": true, \"api_key\": %s, \"key\": %s, \"old_key\": %s, \"message\": %s}",
		padlock_json_string(key), padlock_json_text(new_row), padlock_json_text(old_row),
		padlock_json_string("API key rotated. Store the new one now: it is not shown again.")));
}

/* End a key of the company at once; 404 without one. */
static Jsonb *
end_key(KeyRequest *request)
{
	static PadlockStatement update = {
		.sql = "UPDATE padlock.api_keys SET revoked_at = coalesce(revoked_at, now())"
		" WHERE id = $1 AND company_id = $2 RETURNING " API_KEY_JSON,
		.nargs = 2,
		.argtypes = {UUIDOID, UUIDOID}
	};
	Datum		values[2] = {
		padlock_body_value(&request->body, "key_id")->value, UUIDPGetDatum(&request->company_id)
	};
	bool		isnull;

	show_another_key(&request->company_id, values[0]);
	if (padlock_spi_execute(&update, values, NULL, false) == 0)
		no_key();
	return DatumGetJsonbP(padlock_spi_datum(0, 1, &isnull));
}

/*
 * revoke_api_key(jsonb) returns jsonb: {key_id, company_id?} ends a key at
 * once; one that was revoked before stays as it is.  200; errors 400, 401,
 * 403, 404, 429.
 */
Datum
padlock_revoke_api_key(PG_FUNCTION_ARGS)
{
	KeyRequest	request;
	Jsonb	   *row;

	read_request(fcinfo, "revoke_api_key", revoke_fields, lengthof(revoke_fields), &request);
	padlock_body_finish(&request.body);

	begin_change(&request);
	row = end_key(&request);
	end_change(&request);
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"key\": %s, \"message\": %s}",
									 padlock_json_text(row),
									 padlock_json_string("API key revoked.")));
}
