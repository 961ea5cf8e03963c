/*-------------------------------------------------------------------------
 *
 * queue_sql.c
 *	  The queue's SQL functions: arguments in, errors that name them out.
 *
 * EXECUTE is the right to use the queue, given to service_role only; the work
 * is done as the extension's owner (queue.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "core/body.h"
#include "core/spi.h"
#include "queue/queue_internal.h"

#define MAX_JOB_TYPE_LENGTH		100 /* characters; also job_queue_job_type_length */
#define MAX_WORKER_ID_LENGTH	200 /* characters */
#define MAX_URL_LENGTH			2000	/* characters */
#define MS_PER_MINUTE			INT64CONST(60000)
#define MAX_RETRY_DELAY_MS		(24 * 60 * MS_PER_MINUTE)
#define DEFAULT_MAX_ATTEMPTS	3

PG_FUNCTION_INFO_V1(padlock_enqueue_job);
PG_FUNCTION_INFO_V1(padlock_get_next_job);
PG_FUNCTION_INFO_V1(padlock_complete_job);
PG_FUNCTION_INFO_V1(padlock_fail_job);
PG_FUNCTION_INFO_V1(padlock_enqueue_pdf_extraction);
PG_FUNCTION_INFO_V1(padlock_schedule_daily_ai_crawls);
PG_FUNCTION_INFO_V1(padlock_cleanup_old_jobs);

/*
 * Both kinds of crawl that are wanted and not yet pending or processing.
 * A product that was never crawled counts as not crawled in 7 days.
 */
static PadlockStatement schedule_statement = {
	"INSERT INTO @app@.job_queue (job_type, payload)"
	" SELECT wanted.job_type, wanted.payload FROM ("
	"SELECT 'ai_crawl' AS job_type, c.id AS company_id,"
	" pg_catalog.jsonb_build_object('company_id', c.id, 'website', c.website) AS payload"
	" FROM @app@.insurance_companies c"
	" WHERE c.is_active AND pg_catalog.btrim(c.website) <> ''"
	" UNION ALL "
	"SELECT 'product_refresh', c.id, pg_catalog.jsonb_build_object('company_id', c.id)"
	" FROM @app@.insurance_companies c"
	" WHERE c.is_active AND EXISTS ("
	"SELECT 1 FROM @app@.insurance_products p"
	" WHERE p.company_id = c.id AND p.is_active"
	" AND (p.last_crawled_at IS NULL OR p.last_crawled_at < $1 - interval '7 days'))"
	") AS wanted WHERE NOT EXISTS ("
	"SELECT 1 FROM @app@.job_queue q"
	" WHERE q.job_type = wanted.job_type AND q.status IN ('pending', 'processing')"
	" AND q.payload ->> 'company_id' = wanted.company_id::text)",
	1, {TIMESTAMPTZOID}
};

static PadlockStatement cleanup_statement = {
	"DELETE FROM @app@.job_queue"
	" WHERE (status = 'completed' AND COALESCE(completed_at, created_at) < $1 - interval '30 days')"
	" OR (status = 'failed' AND COALESCE(completed_at, created_at) < $1 - interval '90 days')",
	1, {TIMESTAMPTZOID}
};

/* Refuse NULL for an argument. */
static void
require_value(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

/* A text argument of 1 to max_length characters. */
static char *
text_argument(FunctionCallInfo fcinfo, int number, const char *name, int max_length)
{
	char	   *value;
	int			length;

	require_value(fcinfo, number, name);
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
static int
integer_argument(FunctionCallInfo fcinfo, int number, const char *name, int minimum)
{
	int			value;

	require_value(fcinfo, number, name);
	value = PG_GETARG_INT32(number);
	if (value < minimum)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at least %d", name, minimum),
				 errdetail("It is %d.", value)));
	return value;
}

/* A jsonb argument that is an object. */
static Jsonb *
object_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	Jsonb	   *value;

	require_value(fcinfo, number, name);
	value = PG_GETARG_JSONB_P(number);
	if (!JB_ROOT_IS_OBJECT(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a JSON object", name)));
	return value;
}

/*
 * The fencing token: attempt_val, or 1 when it is NULL.  So a caller without
 * a token holds the claim only while it is the job's first.
 */
static int
attempt_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? 1 : PG_GETARG_INT32(number);
}

/* Refuse an id that no job has; a job that exists but is lost answers false. */
static void
require_job(const pg_uuid_t *id)
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
static Datum
return_id(pg_uuid_t id)
{
	pg_uuid_t  *result = palloc(sizeof(*result));

	*result = id;
	return UUIDPGetDatum(result);
}

/*
 * enqueue_job(job_type_val text, payload_val jsonb, priority_val integer,
 * max_attempts_val integer) returns uuid: add a job, visible at commit.
 * Errors: 22004 for NULLs, 22023 for a type that is empty or longer than 100
 * characters, a payload that is no object, fewer than 1 attempts.
 */
Datum
padlock_enqueue_job(PG_FUNCTION_ARGS)
{
	char	   *type = text_argument(fcinfo, 0, "job_type_val", MAX_JOB_TYPE_LENGTH);
	Jsonb	   *payload = object_argument(fcinfo, 1, "payload_val");
	int			priority = integer_argument(fcinfo, 2, "priority_val", PG_INT32_MIN);
	int			max_attempts = integer_argument(fcinfo, 3, "max_attempts_val", 1);

	return return_id(padlock_queue_enqueue(type, payload, priority, max_attempts));
}

/*
 * get_next_job(worker_id_val text, lock_duration_minutes integer) returns
 * table (job_id, job_type, payload, attempts): claim the due job of highest
 * priority, the oldest among equals, for that many minutes; no row when none
 * is due.  Errors: 22004 for NULLs, 22023 for an empty or long worker id and
 * fewer than 1 minutes.
 */
Datum
padlock_get_next_job(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *worker_id = text_argument(fcinfo, 0, "worker_id_val", MAX_WORKER_ID_LENGTH);
	int			minutes = integer_argument(fcinfo, 1, "lock_duration_minutes", 1);
	PadlockJob	job;
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	InitMaterializedSRF(fcinfo, 0);
	if (!padlock_queue_claim(worker_id, minutes * MS_PER_MINUTE, &job))
		return (Datum) 0;

	values[0] = UUIDPGetDatum(&job.id);
	values[1] = CStringGetTextDatum(job.type);
	values[2] = JsonbPGetDatum(job.payload);
	values[3] = Int32GetDatum(job.attempt);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/*
 * complete_job(job_id_val uuid, result_val jsonb, attempt_val integer) returns
 * boolean: end a claim with its result.  False when the claim was lost: ended,
 * taken by another, or given up when its lease ended.  A lease that has ended
 * but that no claim has noticed yet still counts.  Errors: 22004 for a NULL
 * id, 22023 for an unknown one.
 */
Datum
padlock_complete_job(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id;

	require_value(fcinfo, 0, "job_id_val");
	id = PG_GETARG_UUID_P(0);
	if (padlock_queue_complete(id, attempt_argument(fcinfo, 2),
							   PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1)))
		PG_RETURN_BOOL(true);
	require_job(id);
	PG_RETURN_BOOL(false);
}

/*
 * When to try again after a failed attempt.  The delay that the caller asked
 * for is a promise, so it is never shortened: the jitter adds up to half of
 * it, and it doubles with each attempt, up to a day.
 */
static TimestampTz
retry_time(int delay_minutes, int attempt)
{
	int64		delay = padlock_queue_backoff(delay_minutes * MS_PER_MINUTE, MAX_RETRY_DELAY_MS,
											  attempt);

	delay += (int64) (delay / 2 * pg_prng_double(&pg_global_prng_state));
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Min(delay, MAX_RETRY_DELAY_MS));
}

/*
 * fail_job(job_id_val uuid, error_message_val text, retry_delay_minutes
 * integer, attempt_val integer) returns boolean: report a failed attempt.  The
 * job is pending again after retry_delay_minutes * 2^(attempt - 1), plus up to
 * half as much at random, at most 24 hours; failed when its attempts are used
 * up.  The message is cut to 8 kB.  False as in complete_job().  Errors: 22004
 * for NULLs, 22023 for an unknown id or a negative delay.
 */
Datum
padlock_fail_job(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id;
	char	   *error;
	int			delay;
	int			attempt = attempt_argument(fcinfo, 3);

	require_value(fcinfo, 0, "job_id_val");
	require_value(fcinfo, 1, "error_message_val");
	id = PG_GETARG_UUID_P(0);
	error = text_to_cstring(PG_GETARG_TEXT_PP(1));
	delay = integer_argument(fcinfo, 2, "retry_delay_minutes", 0);
	if (padlock_queue_end_attempt(id, attempt, error, retry_time(delay, attempt)))
		PG_RETURN_BOOL(true);
	require_job(id);
	PG_RETURN_BOOL(false);
}

/*
 * enqueue_pdf_extraction(document_id_val uuid, file_url_val text, priority_val
 * integer) returns uuid: add a job of type pdf_extraction.  That the document
 * exists is for the worker to see, as it may go before the job runs.  Errors:
 * 22004 for NULLs, 22023 for a URL that is not http(s) or longer than 2000
 * characters.
 */
Datum
padlock_enqueue_pdf_extraction(PG_FUNCTION_ARGS)
{
	char	   *url;
	int			priority;
	Jsonb	   *payload;

	require_value(fcinfo, 0, "document_id_val");
	url = text_argument(fcinfo, 1, "file_url_val", MAX_URL_LENGTH);
	priority = integer_argument(fcinfo, 2, "priority_val", PG_INT32_MIN);
	if (pg_strncasecmp(url, "http://", 7) != 0 && pg_strncasecmp(url, "https://", 8) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("file_url_val must be an http or https URL")));

	payload = padlock_answer("{\"document_id\": \"%s\", \"file_url\": %s}",
							 DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(0))),
							 padlock_json_string(url));
	return return_id(padlock_queue_enqueue("pdf_extraction", payload, priority,
										   DEFAULT_MAX_ATTEMPTS));
}

/* Run a statement with the time of day as the owner; returns its rows. */
static uint64
run_at_now(PadlockStatement *statement)
{
	Datum		values[1];
	PadlockUserContext saved;
	uint64		rows;

	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	SPI_connect();
	padlock_become_owner(&saved);
	rows = padlock_spi_execute(statement, values, NULL, false);
	padlock_restore_user(&saved);
	SPI_finish();
	return rows;
}

/*
 * schedule_daily_ai_crawls() returns integer: add an ai_crawl for each active
 * company with a website and a product_refresh for each active company with
 * an active product not crawled in 7 days, unless one of that type for that
 * company is pending or processing; returns how many were added.
 *
 * Concurrent calls are serialized by a lock on the function itself, which no
 * role can take that may not execute it; the second sees what the first
 * added, which needs a new snapshot for each statement.  Errors: 25001 in a
 * transaction that keeps one snapshot.
 */
Datum
padlock_schedule_daily_ai_crawls(PG_FUNCTION_ARGS)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("schedule_daily_ai_crawls() needs isolation level READ COMMITTED"),
				 errdetail("With an older snapshot it could schedule a company twice.")));

	LockDatabaseObject(ProcedureRelationId, fcinfo->flinfo->fn_oid, 0, ShareUpdateExclusiveLock);
	PG_RETURN_INT32((int32) run_at_now(&schedule_statement));
}

/*
 * cleanup_old_jobs() returns integer: delete jobs that were completed more
 * than 30 days ago or failed more than 90 days ago; returns how many.
 */
Datum
padlock_cleanup_old_jobs(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) run_at_now(&cleanup_statement));
}
