/*-------------------------------------------------------------------------
 *
 * queue_sql.c
 *	  The queue's SQL functions: arguments in, errors that name them out.
 *
 * EXECUTE is the right to use the queue, given to service_role only; the work
 * is done as the extension's owner.
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
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "core/body.h"
#include "core/spi.h"
#include "queue/jobs.h"

#define MAX_URL_LENGTH			2000	/* characters */
#define MAX_RETRY_DELAY_MS		(24 * 60 * MS_PER_MINUTE)
#define DEFAULT_MAX_ATTEMPTS	3
#define MAX_BATCH				10000

PG_FUNCTION_INFO_V1(padlock_enqueue_job);
PG_FUNCTION_INFO_V1(padlock_get_next_job);
PG_FUNCTION_INFO_V1(padlock_get_next_jobs);
PG_FUNCTION_INFO_V1(padlock_complete_job);
PG_FUNCTION_INFO_V1(padlock_complete_jobs);
PG_FUNCTION_INFO_V1(padlock_fail_job);
PG_FUNCTION_INFO_V1(padlock_extend_job);
PG_FUNCTION_INFO_V1(padlock_enqueue_pdf_extraction);
PG_FUNCTION_INFO_V1(padlock_schedule_daily_ai_crawls);

/*
 * Both kinds of crawl that are wanted and not yet pending or processing.
 * A product that was never crawled counts as not crawled in 7 days.
 */
static PadlockStatement schedule_statement = {
	"SELECT wanted.job_type, wanted.payload FROM ("
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

/*
 * The fencing token: attempt_val, or 1 when it is NULL.  So a caller without
 * a token holds the claim only while it is the job's first.
 */
static int
attempt_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? 1 : PG_GETARG_INT32(number);
}

/*
 * enqueue_job(job_type_val text, payload_val jsonb, priority_val integer,
 * max_attempts_val integer, run_at_val timestamptz, dedupe_key_val text,
 * queue_val text) returns uuid: add a job, to be claimed after the commit and
 * not before run_at_val.  With a dedupe key, a job of the same type and key
 * that waits or runs is returned instead.  Of the jobs with one queue key, a
 * few run at a time.  Errors: 22004 for NULLs, 22023 for a type that is empty
 * or longer than 100 characters, a payload that is no object, fewer than 1
 * attempts, an infinite time, a key that is empty or longer than 200
 * characters.
 */
Datum
padlock_enqueue_job(PG_FUNCTION_ARGS)
{
	PadlockNewJob job = {0};

	job.type = queue_text_argument(fcinfo, 0, "job_type_val", MAX_JOB_TYPE_LENGTH);
	job.payload = queue_object_argument(fcinfo, 1, "payload_val");
	job.priority = queue_integer_argument(fcinfo, 2, "priority_val", PG_INT32_MIN);
	job.max_attempts = queue_integer_argument(fcinfo, 3, "max_attempts_val", 1);
	if (!PG_ARGISNULL(4))
		job.run_at = queue_time_argument(fcinfo, 4, "run_at_val");
	if (!PG_ARGISNULL(5))
		job.dedupe_key = queue_text_argument(fcinfo, 5, "dedupe_key_val", MAX_KEY_LENGTH);
	if (!PG_ARGISNULL(6))
		job.queue = queue_text_argument(fcinfo, 6, "queue_val", MAX_KEY_LENGTH);
	return queue_return_id(padlock_queue_add(&job));
}

/* Put claimed jobs into the result set. */
static void
return_jobs(ReturnSetInfo *rsinfo, PadlockJob *jobs, int count)
{
	for (int i = 0; i < count; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false, false, false, false};

		values[0] = UUIDPGetDatum(&jobs[i].id);
		values[1] = CStringGetTextDatum(jobs[i].type);
		values[2] = JsonbPGetDatum(jobs[i].payload);
		values[3] = Int32GetDatum(jobs[i].attempt);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/*
 * get_next_job(worker_id_val text, lock_duration_minutes integer) returns
 * table (job_id, job_type, payload, attempts): claim the due job of highest
 * priority, the oldest among equals, for that many minutes; no row when none
 * is due.  Rolled back, the claim never was.  Errors: 22004 for NULLs, 22023
 * for an empty or long worker id and fewer than 1 minutes, 25006 in a
 * read-only transaction, 53400 when all leases are taken.
 */
Datum
padlock_get_next_job(PG_FUNCTION_ARGS)
{
	char	   *worker_id = queue_text_argument(fcinfo, 0, "worker_id_val", MAX_WORKER_ID_LENGTH);
	int			minutes = queue_integer_argument(fcinfo, 1, "lock_duration_minutes", 1);
	PadlockJob	job;

	InitMaterializedSRF(fcinfo, 0);
	if (padlock_queue_claim(worker_id, minutes * MS_PER_MINUTE, &job))
		return_jobs((ReturnSetInfo *) fcinfo->resultinfo, &job, 1);
	return (Datum) 0;
}

/*
 * get_next_jobs(worker_id_val text, limit_val integer, lock_duration_minutes
 * integer) returns table as get_next_job(): up to limit_val jobs in their
 * order.  Errors as there, and 22023 for a limit not from 1 to 10000.
 */
Datum
padlock_get_next_jobs(PG_FUNCTION_ARGS)
{
	char	   *worker_id = queue_text_argument(fcinfo, 0, "worker_id_val", MAX_WORKER_ID_LENGTH);
	int			limit = queue_integer_argument(fcinfo, 1, "limit_val", 1);
	int			minutes = queue_integer_argument(fcinfo, 2, "lock_duration_minutes", 1);
	PadlockJob *jobs;
	int			count;

	if (limit > MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("limit_val must be at most %d", MAX_BATCH)));
	InitMaterializedSRF(fcinfo, 0);
	jobs = palloc_array(PadlockJob, limit);
	count = queue_claim_many(worker_id, minutes * MS_PER_MINUTE, jobs, limit);
	return_jobs((ReturnSetInfo *) fcinfo->resultinfo, jobs, count);
	return (Datum) 0;
}

/*
 * complete_job(job_id_val uuid, result_val jsonb, attempt_val integer) returns
 * boolean: end a claim with its result.  False when the claim was lost: ended,
 * cancelled, taken by another, or given up when its lease ended.  A lease that
 * has ended but that no claim has noticed yet still counts.  Errors: 22004 for
 * a NULL id, 22023 for an unknown one.
 */
Datum
padlock_complete_job(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = queue_id_argument(fcinfo, 0);

	if (padlock_queue_complete(id, attempt_argument(fcinfo, 2),
							   PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1)))
		PG_RETURN_BOOL(true);
	queue_require_job(id);
	PG_RETURN_BOOL(false);
}

/* The elements of an array argument, which must be as many as count unless it is < 0. */
static int
array_argument(FunctionCallInfo fcinfo, int number, const char *name, int count,
			   Datum **values, bool **nulls)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(number);
	int16		length;
	bool		byval;
	char		align;
	int			found;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), length, byval, align, values, nulls, &found);
	if (count >= 0 && found != count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s must have as many elements as job_ids_val", name),
				 errdetail("It has %d, and job_ids_val has %d.", found, count)));
	return found;
}

/* The ids of complete_jobs(). */
static pg_uuid_t *
ids_argument(FunctionCallInfo fcinfo, int *count)
{
	Datum	   *values;
	bool	   *nulls;
	pg_uuid_t  *ids;

	*count = array_argument(fcinfo, 0, "job_ids_val", -1, &values, &nulls);
	ids = palloc_array(pg_uuid_t, Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("job_ids_val must not contain null")));
		ids[i] = *DatumGetUUIDP(values[i]);
	}
	return ids;
}

/* The ids that were refused, as uuid[]. */
static Datum
refused_ids(pg_uuid_t *ids, const bool *refused, int count)
{
	Datum	   *values = palloc_array(Datum, Max(count, 1));
	int			n = 0;

	for (int i = 0; i < count; i++)
		if (refused[i])
			values[n++] = UUIDPGetDatum(&ids[i]);
	return PointerGetDatum(construct_array(values, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/*
 * complete_jobs(job_ids_val uuid[], attempts_val integer[], results_val
 * jsonb[]) returns uuid[]: complete_job() for many; returns those whose claim
 * was lost, or that do not exist.  NULL for the ids, what array_agg() makes of
 * no row, stands for none.  Errors: 22004 for NULLs among the ids, 2202E for
 * arrays of different lengths.
 */
Datum
padlock_complete_jobs(PG_FUNCTION_ARGS)
{
	int			count = 0;
	pg_uuid_t  *ids = PG_ARGISNULL(0) ? NULL : ids_argument(fcinfo, &count);
	int		   *attempts = palloc_array(int, Max(count, 1));
	Jsonb	  **results = palloc0_array(Jsonb *, Max(count, 1));
	bool	   *refused = palloc_array(bool, Max(count, 1));
	Datum	   *values;
	bool	   *nulls;

	for (int i = 0; i < count; i++)
		attempts[i] = 1;
	if (!PG_ARGISNULL(1))
	{
		(void) array_argument(fcinfo, 1, "attempts_val", count, &values, &nulls);
		for (int i = 0; i < count; i++)
			attempts[i] = nulls[i] ? 1 : DatumGetInt32(values[i]);
	}
	if (!PG_ARGISNULL(2))
	{
		(void) array_argument(fcinfo, 2, "results_val", count, &values, &nulls);
		for (int i = 0; i < count; i++)
			results[i] = nulls[i] ? NULL : DatumGetJsonbP(values[i]);
	}
	queue_complete_many(ids, attempts, results, count, refused);
	PG_RETURN_DATUM(refused_ids(ids, refused, count));
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
 * integer, attempt_val integer, permanent_val boolean) returns boolean: report
 * a failed attempt.  The job is pending again after retry_delay_minutes *
 * 2^(attempt - 1), plus up to half as much at random, at most 24 hours; failed
 * when its attempts are used up, or at once when permanent_val is true.  The
 * message is cut to 8 kB.  False as in complete_job().  Errors: 22004 for
 * NULLs, 22023 for an unknown id or a negative delay.
 */
Datum
padlock_fail_job(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = queue_id_argument(fcinfo, 0);
	int			attempt = attempt_argument(fcinfo, 3);
	bool		permanent = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
	char	   *error;
	int			delay;

	queue_require_value(fcinfo, 1, "error_message_val");
	error = text_to_cstring(PG_GETARG_TEXT_PP(1));
	delay = queue_integer_argument(fcinfo, 2, "retry_delay_minutes", 0);
	if (padlock_queue_end_attempt(id, attempt, error,
								  permanent ? DT_NOEND : retry_time(delay, attempt)))
		PG_RETURN_BOOL(true);
	queue_require_job(id);
	PG_RETURN_BOOL(false);
}

/*
 * extend_job(job_id_val uuid, lock_duration_minutes integer, attempt_val
 * integer) returns boolean: put off the end of a claim's lease to that many
 * minutes from now, whatever the transaction becomes.  False when the claim
 * was lost or the job was cancelled: stop working at it.  Errors: 22004 for
 * NULLs, 22023 for an unknown id or fewer than 1 minutes.
 */
Datum
padlock_extend_job(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = queue_id_argument(fcinfo, 0);
	int			minutes = queue_integer_argument(fcinfo, 1, "lock_duration_minutes", 1);

	if (padlock_queue_extend(id, attempt_argument(fcinfo, 2), minutes * MS_PER_MINUTE))
		PG_RETURN_BOOL(true);
	queue_require_job(id);
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

	queue_require_value(fcinfo, 0, "document_id_val");
	url = queue_text_argument(fcinfo, 1, "file_url_val", MAX_URL_LENGTH);
	priority = queue_integer_argument(fcinfo, 2, "priority_val", PG_INT32_MIN);
	if (pg_strncasecmp(url, "http://", 7) != 0 && pg_strncasecmp(url, "https://", 8) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("file_url_val must be an http or https URL")));

	payload = padlock_answer("{\"document_id\": \"%s\", \"file_url\": %s}",
							 DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(0))),
							 padlock_json_string(url));
	return queue_return_id(padlock_queue_enqueue("pdf_extraction", payload, priority,
												 DEFAULT_MAX_ATTEMPTS));
}

/* Add a job for each row of the current result: type, payload. */
static void
enqueue_rows(SPITupleTable *rows, uint64 count)
{
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		char	   *type = SPI_getvalue(rows->vals[i], rows->tupdesc, 1);
		Datum		payload = SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull);

		(void) padlock_queue_enqueue(type, DatumGetJsonbP(payload), 0, DEFAULT_MAX_ATTEMPTS);
	}
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
	Datum		values[1] = {TimestampTzGetDatum(GetCurrentTimestamp())};
	PadlockUserContext saved;
	uint64		count;

	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("schedule_daily_ai_crawls() needs isolation level READ COMMITTED"),
				 errdetail("With an older snapshot it could schedule a company twice.")));

	LockDatabaseObject(ProcedureRelationId, fcinfo->flinfo->fn_oid, 0, ShareUpdateExclusiveLock);
	SPI_connect();
	padlock_become_owner(&saved);
	count = padlock_spi_execute(&schedule_statement, values, NULL, false);
	padlock_restore_user(&saved);
	enqueue_rows(SPI_tuptable, count);
	SPI_finish();
	PG_RETURN_INT32((int32) count);
}
