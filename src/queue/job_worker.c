/*-------------------------------------------------------------------------
 *
 * job_worker.c
 *	  Endpoint job_worker(): have one due job run now, and say how it ended.
 *
 * The session runs nothing itself: it picks a committed, due job, wakes the
 * workers of this database and waits on its latch until that job's attempt
 * has ended.  The worker works in transactions of its own, so that nothing of
 * the job hangs on the calling transaction, which may still roll back.
 *
 * What others have committed is read with fresh snapshots under any isolation
 * level.  They are made blind to the calling transaction's own rows (command
 * id 0), which no worker can see.
 *
 * The end of a job sets the latches of waiting sessions (queue_wake.c); ends
 * that do not, such as a DELETE, are found by looking again every second.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "core/body.h"
#include "core/errors.h"
#include "core/spi.h"
#include "queue/jobs.h"

#define RECHECK_MS 1000

/* The job that the session waits for, and what was last read of its row. */
typedef struct AwaitedJob
{
	pg_uuid_t	id;
	char	   *type;
	int			attempts;		/* before the attempt that is awaited */
	bool		succeeded;
	char	   *worker_id;		/* NULL if not known */
	char	   *error;			/* NULL if none */
	Jsonb	   *result;			/* NULL if none */
} AwaitedJob;

PG_FUNCTION_INFO_V1(padlock_job_worker);

static PadlockStatement type_statement = {
	"SELECT job_type FROM padlock.jobs WHERE id = $1",
	1, {UUIDOID}
};

static PadlockStatement outcome_statement = {
	"SELECT status, attempts, worker_id, error_message, result FROM @app@.job_queue WHERE id = $1",
	1, {UUIDOID}
};

/* Run a query as the owner over what is committed now; SPI is connected. */
static uint64
query_committed(PadlockStatement *statement, Datum argument)
{
	Datum		values[1];
	PadlockUserContext saved;
	uint64		rows;

	values[0] = argument;
	PushCopiedSnapshot(GetLatestSnapshot());
	GetActiveSnapshot()->curcid = FirstCommandId;
	padlock_become_owner(&saved);
	rows = padlock_spi_execute(statement, values, NULL, true);
	padlock_restore_user(&saved);
	PopActiveSnapshot();
	return rows;
}

/* One text column of the current result, or NULL, copied to a context. */
static char *
text_column(int column, MemoryContext context)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

/* One column of the current result. */
static Datum
column_datum(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/* The job that a worker would claim next; false when none is due. */
static bool
find_due_job(AwaitedJob *job)
{
	MemoryContext context = CurrentMemoryContext;
	bool		found;

	memset(job, 0, sizeof(*job));
	if (!queue_peek(&job->id, &job->attempts))
		return false;
	SPI_connect();
	found = query_committed(&type_statement, UUIDPGetDatum(&job->id)) == 1;
	if (found)
		job->type = text_column(1, context);
	SPI_finish();
	return found;
}

/*
 * Has the awaited attempt ended, in the row that was just read?  Back to
 * pending with more attempts than before means that it failed; with as many,
 * that the lease of an attempt before it ended.
 */
static bool
attempt_ended(AwaitedJob *job, MemoryContext context)
{
	char	   *status = text_column(1, CurrentMemoryContext);
	bool		isnull;
	int			attempts = DatumGetInt32(column_datum(2, &isnull));
	Datum		result;

	if (strcmp(status, "processing") == 0 ||
		(strcmp(status, "pending") == 0 && attempts <= job->attempts))
		return false;

	job->succeeded = strcmp(status, "completed") == 0;
	job->worker_id = text_column(3, context);
	job->error = text_column(4, context);
	result = column_datum(5, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		job->result = DatumGetJsonbPCopy(result);
		MemoryContextSwitchTo(old);
	}
	return true;
}

/* Look at the job's row; true when there is an outcome to report. */
static bool
read_outcome(AwaitedJob *job)
{
	MemoryContext context = CurrentMemoryContext;
	bool		ended;

	SPI_connect();
	if (query_committed(&outcome_statement, UUIDPGetDatum(&job->id)) == 1)
		ended = attempt_ended(job, context);
	else
	{
		job->error = MemoryContextStrdup(context, "the job was deleted before it ended");
		ended = true;
	}
	SPI_finish();
	return ended;
}

/* Wait until the job's attempt has ended; false when the time is over. */
static bool
wait_for_outcome(AwaitedJob *job)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   padlock_job_worker_wait);

	for (;;)
	{
		long		left;

		CHECK_FOR_INTERRUPTS();
		ResetLatch(MyLatch);
		if (read_outcome(job))
			return true;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (left <= 0)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, RECHECK_MS), PG_WAIT_EXTENSION);
	}
}

static void
stop_waiting(int code, Datum arg)
{
	padlock_queue_unregister(PADLOCK_QUEUE_WAITER);
}

/* Wake the workers and wait, registered so that ends of jobs wake us. */
static bool
run_job(AwaitedJob *job)
{
	bool		ended;

	padlock_queue_register(PADLOCK_QUEUE_WAITER);
	PG_ENSURE_ERROR_CLEANUP(stop_waiting, (Datum) 0);
	{
		padlock_queue_set_latches(PADLOCK_QUEUE_CONSUMER);
		ended = wait_for_outcome(job);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_waiting, (Datum) 0);
	stop_waiting(0, (Datum) 0);
	return ended;
}

/* What is to be said of an attempt that has ended. */
static Jsonb *
outcome_answer(AwaitedJob *job, const char *id)
{
	char	   *worker_id = padlock_json_string(job->worker_id);
	char	   *type = padlock_json_string(job->type);

	if (!job->succeeded)
		return padlock_answer("{\"success\": false, \"worker_id\": %s, \"job_id\": \"%s\","
							  " \"job_type\": %s, \"error_message\": %s}",
							  worker_id, id, type, padlock_json_string(job->error));
	return padlock_answer("{\"success\": true, \"worker_id\": %s, \"job_id\": \"%s\","
						  " \"job_type\": %s, \"result\": %s}",
						  worker_id, id, type,
						  job->result ? padlock_json_text(job->result) : "null");
}

/* Refuse any body but an empty object. */
static void
check_body(Jsonb *json)
{
	PadlockBody body;

	padlock_body_read(&body, json, NULL, 0, BODY_CREATE);
	padlock_body_finish(&body);
}

/*
 * job_worker(jsonb) returns jsonb: have a background worker run one
 * committed, due job, and wait up to padlock.job_worker_wait for the outcome:
 *	{success: true, worker_id, job_id, job_type, result}
 *	{success: false, worker_id, job_id, job_type, error_message} when the
 *		attempt failed, whether or not the job will be tried again
 *	{job_id, status: 'processing'} when it takes longer
 *	{message, worker_id} when nothing is due.
 * The body must be {}.  Errors: 22023 (HTTP 400) for another body, 55000
 * (500) when no worker serves this database.
 */
Datum
padlock_job_worker(PG_FUNCTION_ARGS)
{
	AwaitedJob	job;
	char	   *id;

	check_body(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0));
	padlock_require_preload("job_worker()");
	if (!padlock_queue_is_attended(PADLOCK_QUEUE_CONSUMER))
		padlock_http_error(500, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						   "no background worker serves this database", NULL,
						   "See that padlock.worker_count is above 0, that padlock.databases, if set, names this database, and that the server log does not ask for more max_worker_processes.");

	if (!find_due_job(&job))
		PG_RETURN_JSONB_P(padlock_answer("{\"message\": \"no job is due\","
										 " \"worker_id\": \"session %d\"}", MyProcPid));
	id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&job.id)));
	if (!run_job(&job))
		PG_RETURN_JSONB_P(padlock_answer("{\"job_id\": \"%s\", \"status\": \"processing\"}", id));
	PG_RETURN_JSONB_P(outcome_answer(&job, id));
}
