/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  Arguments of the queue's SQL functions: a bad one is refused by name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "queue/queue_internal.h"

/* Refuse NULL for an argument. */
void
queue_require_value(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

/* A text argument of 1 to max_length characters. */
char *
queue_text_argument(FunctionCallInfo fcinfo, int number, const char *name, int max_length)
{
	char	   *value;
	int			length;

	queue_require_value(fcinfo, number, name);
	value = text_to_cstring(PG_GETARG_TEXT_PP(number));
	length = pg_mbstrlen(value);
	if (length < 1 || length > max_length)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have between 1 and %d characters", name, max_length),
				 errdetail("It has %d.", length)));
	return value;
}

/* An integer argument of at least minimum. */
int
queue_integer_argument(FunctionCallInfo fcinfo, int number, const char *name, int minimum)
{
	int			value;

	queue_require_value(fcinfo, number, name);
	value = PG_GETARG_INT32(number);
	if (value < minimum)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at least %d", name, minimum),
				 errdetail("It is %d.", value)));
	return value;
}

/* A finite time. */
TimestampTz
queue_time_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	TimestampTz value;

	queue_require_value(fcinfo, number, name);
	value = PG_GETARG_TIMESTAMPTZ(number);
	if (TIMESTAMP_NOT_FINITE(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be finite", name),
				 errhint("To hold jobs back for an unknown time, pause their type.")));
	return value;
}

/* A jsonb argument that is an object. */
Jsonb *
queue_object_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	Jsonb	   *value;

	queue_require_value(fcinfo, number, name);
	value = PG_GETARG_JSONB_P(number);
	if (!JB_ROOT_IS_OBJECT(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a JSON object", name)));
	return value;
}

/* The argument job_id_val. */
pg_uuid_t *
queue_id_argument(FunctionCallInfo fcinfo, int number)
{
	queue_require_value(fcinfo, number, "job_id_val");
	return PG_GETARG_UUID_P(number);
}

/* Refuse an id that no job has; a job that exists but is lost answers false. */
void
queue_require_job(const pg_uuid_t *id)
{
	if (!padlock_queue_job_exists(id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("job_id_val names no job"),
				 errdetail("There is no job %s.",
						   DatumGetCString(DirectFunctionCall1(uuid_out,
															   UUIDPGetDatum(id))))));
}

/* A copy of an id, as a function's result. */
Datum
queue_return_id(pg_uuid_t id)
{
	pg_uuid_t  *result = palloc(sizeof(*result));

	*result = id;
	return UUIDPGetDatum(result);
}
