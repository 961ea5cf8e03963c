/*-------------------------------------------------------------------------
 *
 * check.c
 *	  SQL functions of the rate limiter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/errors.h"
#include "core/spi.h"
#include "identity/caller.h"
#include "limits/table.h"

PG_FUNCTION_INFO_V1(padlock_check_rate_limit);
PG_FUNCTION_INFO_V1(padlock_check_rate_limit_detail);
PG_FUNCTION_INFO_V1(padlock_reset_rate_limit);
PG_FUNCTION_INFO_V1(padlock_rate_limit_keys);
PG_FUNCTION_INFO_V1(padlock_rate_limit_stats);

#define KEYS_COLUMNS	6
#define STATS_COLUMNS	6

static void
require_limiter(void)
{
	if (!limits_are_attached())
		padlock_require_preload("the rate limiter");
}

/* A text argument that must be there and not be empty. */
static text *
text_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	text	   *value;

	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
	value = PG_GETARG_TEXT_PP(number);
	if (VARSIZE_ANY_EXHDR(value) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be empty", name)));
	return value;
}

static int
integer_argument(FunctionCallInfo fcinfo, int number, const char *name, int low, int high)
{
	int			value;

	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
	value = PG_GETARG_INT32(number);
	if (value < low || value > high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be %d to %d", name, low, high)));
	return value;
}

/* The key of arguments identifier_val and endpoint_val, and a window. */
static void
key_arguments(FunctionCallInfo fcinfo, LimitKey *key, int32 window_minutes)
{
	text	   *identifier = text_argument(fcinfo, 0, "identifier_val");
	text	   *endpoint = text_argument(fcinfo, 1, "endpoint_val");

	limits_make_key(key, VARDATA_ANY(identifier), VARSIZE_ANY_EXHDR(identifier),
					VARDATA_ANY(endpoint), VARSIZE_ANY_EXHDR(endpoint), window_minutes);
}

static bool
check(FunctionCallInfo fcinfo, LimitAnswer *answer)
{
	LimitKey	key;
	int			max_requests;
	int			window_minutes;

	require_limiter();
	max_requests = integer_argument(fcinfo, 2, "max_requests", 0, PG_INT32_MAX);
	window_minutes = integer_argument(fcinfo, 3, "window_minutes", 1, MAX_WINDOW_MINUTES);
	key_arguments(fcinfo, &key, window_minutes);
	return limits_check(&key, max_requests, answer);
}

/*
 * check_rate_limit(identifier_val text, endpoint_val text, max_requests
 * integer DEFAULT 100, window_minutes integer DEFAULT 60) returns boolean:
 * count a request of identifier_val to endpoint_val; may it go on?  At most
 * max_requests (0: none) are admitted in any window_minutes (1 to 527040, a
 * year).  Refused requests are not counted.  The count is no part of the
 * transaction.  Windows of different lengths are counted apart.  Identifiers over
 * 64 bytes and endpoints over 40 are hashed.
 * Errors: 22004, 22023; 55000 when not preloaded.
 */
Datum
padlock_check_rate_limit(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(check(fcinfo, NULL));
}

/* Microseconds as whole seconds, rounded up. */
static int32
seconds(int64 microseconds)
{
	return (int32) ((microseconds + 999999) / 1000000);
}

/*
 * padlock.check_rate_limit(as above, OUT allowed boolean, OUT remaining
 * integer, OUT reset_seconds integer, OUT retry_after_seconds integer): the
 * same with what a caller wants to know: requests left, seconds until all are
 * available again, and seconds until one is.
 */
Datum
padlock_check_rate_limit_detail(PG_FUNCTION_ARGS)
{
	LimitAnswer answer;
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("function must return a row")));
	(void) check(fcinfo, &answer);
	values[0] = BoolGetDatum(answer.admitted);
	values[1] = Int32GetDatum((int32) answer.remaining);
	values[2] = Int32GetDatum(seconds(answer.reset));
	values[3] = Int32GetDatum(seconds(answer.retry_after));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * padlock.reset_rate_limit(identifier_val text, endpoint_val text) returns
 * boolean: forget what was counted, in windows of any length; was there
 * anything?
 */
Datum
padlock_reset_rate_limit(PG_FUNCTION_ARGS)
{
	LimitKey	key;

	require_limiter();
	key_arguments(fcinfo, &key, 0);
	PG_RETURN_BOOL(limits_reset_windows(&key));
}

/* An id that stays the same for a key: 122 bits of its hash as a version 8 UUID. */
static Datum
key_id(const LimitKey *key)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	uint64		halves[2] = {
		hash_bytes_extended((const unsigned char *) key, limits_key_size(key), 1),
		hash_bytes_extended((const unsigned char *) key, limits_key_size(key), 2)
	};

	memcpy(id->data, halves, UUID_LEN);
	id->data[6] = (id->data[6] & 0x0f) | 0x80;
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
	return UUIDPGetDatum(id);
}

/* When the oldest sub-window still counted ended: the first request's time or just after. */
static int64
oldest_request(const RateWindow *window, int64 now)
{
	int64		sub = rate_sub_window(window->span);

	for (int i = RATE_SUB_WINDOWS - 1; i >= 0; i--)
	{
		if (rate_window_count(window, i) != 0)
			return Min((window->newest - i + 1) * sub, now);
	}
	return now;
}

static void
put_counter(ReturnSetInfo *result, const LimitCounter *counter, int64 now)
{
	TimestampTz time = GetCurrentTimestamp();
	Datum		values[KEYS_COLUMNS];
	bool		nulls[KEYS_COLUMNS] = {false};

	values[0] = key_id(&counter->key);
	values[1] = PointerGetDatum(cstring_to_text_with_len(counter->key.text,
														 counter->key.identifier_length));
	values[2] = PointerGetDatum(cstring_to_text_with_len(counter->key.text +
														 counter->key.identifier_length,
														 counter->key.endpoint_length));
	values[3] = Int32GetDatum((int32) Min(counter->window.total, PG_INT32_MAX));
	values[4] = TimestampTzGetDatum(time - (now - oldest_request(&counter->window, now)));
	values[5] = TimestampTzGetDatum(time - (now - counter->created));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* May the current user see everybody's counters? */
static bool
may_see_counters(void)
{
	return padlock_caller_is_privileged() ||
		has_privs_of_role(GetUserId(), padlock_owner());
}

/*
 * padlock.rate_limit_keys() returns setof (id, identifier, endpoint,
 * request_count, window_start, created_at): what the limiter holds now for this
 * database, for the view rate_limits.  No rows for anybody but admins, service_role and the
 * owner, and without preload.
 */
Datum
padlock_rate_limit_keys(PG_FUNCTION_ARGS)
{
	int64		now = limits_clock();
	LimitCounter counter;

	InitMaterializedSRF(fcinfo, 0);
	if (!limits_are_attached() || !may_see_counters())
		return (Datum) 0;
	for (uint32 slot = 0; slot < limits_max_keys; slot++)
	{
		CHECK_FOR_INTERRUPTS();
		if (limits_read(slot, now, &counter) && counter.key.database == MyDatabaseId)
			put_counter((ReturnSetInfo *) fcinfo->resultinfo, &counter, now);
	}
	return (Datum) 0;
}

/*
 * padlock.rate_limit_stats(OUT keys integer, OUT max_keys integer, OUT allowed
 * bigint, OUT refused bigint, OUT evicted bigint, OUT memory_bytes bigint):
 * counters in use and possible; requests allowed and refused, and counters
 * evicted before they were idle, since the server's start; shared memory.
 */
Datum
padlock_rate_limit_stats(PG_FUNCTION_ARGS)
{
	LimitTotals totals;
	TupleDesc	desc;
	Datum		values[STATS_COLUMNS];
	bool		nulls[STATS_COLUMNS] = {false};

	require_limiter();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("function must return a row")));
	limits_totals(&totals);
	values[0] = Int32GetDatum(totals.keys);
	values[1] = Int32GetDatum(totals.max_keys);
	values[2] = Int64GetDatum(totals.allowed);
	values[3] = Int64GetDatum(totals.refused);
	values[4] = Int64GetDatum(totals.evicted);
	values[5] = Int64GetDatum(totals.memory);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
