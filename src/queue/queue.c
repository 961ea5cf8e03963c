/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  Jobs and their claims: the state machine of job_queue.
 *
 * A claim is a lease: the row says processing, attempts was raised by one and
 * locked_until says when the lease ends.  The value of attempts is the fencing
 * token of the claim: every later statement about the claim names it, so that
 * a worker that was too slow cannot end the claim of its successor.
 *
 * A lease that has ended is noticed by the next claim, which puts the job back
 * to pending, or to failed when its attempts are used up.  Until then the
 * claim still holds: a late worker with the right token may complete, fail or
 * extend it, since nobody else has been given the job.
 *
 * Locking contract: no lock is waited for by a claim, rows that others hold
 * are skipped (FOR UPDATE SKIP LOCKED).  Ending a claim waits for the row and
 * then tests status and token again.  In a REPEATABLE READ or SERIALIZABLE
 * transaction these races are serialization failures (40001).
 *
 * Crash contract: job_queue is the truth and is logged; a committed claim
 * counts as an attempt even if it brought the server down.
 *
 * Everything runs as the extension's owner, which row security does not bind:
 * the right to use the queue is EXECUTE on the SQL functions (queue_sql.c), or
 * being a room of padlock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "core/spi.h"
#include "queue/queue_internal.h"

/* What the constraint job_queue_error_message_length allows, in bytes. */
#define MAX_ERROR_BYTES 8192

static PadlockStatement enqueue_statement = {
	"INSERT INTO @app@.job_queue (job_type, payload, priority, max_attempts)"
	" VALUES ($1, $2, $3, $4) RETURNING id",
	4, {TEXTOID, JSONBOID, INT4OID, INT4OID}
};

/*
 * One probe of job_queue_lease_idx when no lease has ended, which is nearly
 * always.  The batch bounds what one claim does for the others.
 */
static PadlockStatement reap_statement = {
	"UPDATE @app@.job_queue SET"
	" status = CASE WHEN attempts < max_attempts THEN 'pending' ELSE 'failed' END,"
	" completed_at = CASE WHEN attempts < max_attempts THEN NULL ELSE $1 END,"
	" error_message = pg_catalog.format('lease ended: worker %s did not report the end of attempt %s of %s',"
	" pg_catalog.quote_nullable(pg_catalog.left(worker_id, 200)), attempts, max_attempts),"
	" next_retry_at = NULL, locked_until = NULL"
	" WHERE id = ANY (ARRAY("
	"SELECT id FROM @app@.job_queue"
	" WHERE status = 'processing' AND locked_until <= $1"
	" ORDER BY locked_until LIMIT 100 FOR UPDATE SKIP LOCKED))",
	1, {TIMESTAMPTZOID}
};

/*
 * The inner SELECT is run once and locks what it returns, so the outer UPDATE
 * finds exactly the row that nobody else can have.
 */
static PadlockStatement claim_statement = {
	"UPDATE @app@.job_queue SET"
	" status = 'processing', attempts = attempts + 1, worker_id = $2, started_at = $1,"
	" locked_until = $3, next_retry_at = NULL, completed_at = NULL"
	" WHERE id = ("
	"SELECT id FROM @app@.job_queue"
	" WHERE status = 'pending' AND (next_retry_at IS NULL OR next_retry_at <= $1)"
	" ORDER BY priority DESC, created_at, enqueue_order LIMIT 1 FOR UPDATE SKIP LOCKED)"
	" RETURNING id, job_type, payload, attempts, max_attempts",
	3, {TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID}
};

static PadlockStatement extend_statement = {
	"UPDATE @app@.job_queue SET locked_until = $3"
	" WHERE id = $1 AND status = 'processing' AND attempts = $2",
	3, {UUIDOID, INT4OID, TIMESTAMPTZOID}
};

static PadlockStatement complete_statement = {
	"UPDATE @app@.job_queue SET status = 'completed', result = $3, error_message = NULL,"
	" completed_at = $4, locked_until = NULL"
	" WHERE id = $1 AND status = 'processing' AND attempts = $2",
	4, {UUIDOID, INT4OID, JSONBOID, TIMESTAMPTZOID}
};

/* $5 is NULL for a failure that no retry can mend. */
static PadlockStatement fail_statement = {
	"UPDATE @app@.job_queue SET"
	" status = CASE WHEN $5 IS NOT NULL AND attempts < max_attempts THEN 'pending' ELSE 'failed' END,"
	" next_retry_at = CASE WHEN attempts < max_attempts THEN $5 END,"
	" completed_at = CASE WHEN $5 IS NOT NULL AND attempts < max_attempts THEN NULL ELSE $4 END,"
	" error_message = $3, locked_until = NULL"
	" WHERE id = $1 AND status = 'processing' AND attempts = $2",
	5, {UUIDOID, INT4OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static PadlockStatement next_due_statement = {
	"SELECT LEAST("
	"(SELECT pg_catalog.min(COALESCE(next_retry_at, created_at)) FROM @app@.job_queue WHERE status = 'pending'),"
	" (SELECT pg_catalog.min(locked_until) FROM @app@.job_queue WHERE status = 'processing'))",
	0, {0}
};

static PadlockStatement exists_statement = {
	"SELECT 1 FROM @app@.job_queue WHERE id = $1",
	1, {UUIDOID}
};

/* Run a statement as the owner, inside the caller's SPI connection. */
static uint64
run(PadlockStatement *statement, Datum *values, const char *nulls)
{
	PadlockUserContext saved;
	uint64		rows;

	padlock_become_owner(&saved);
	rows = padlock_spi_execute(statement, values, nulls, false);
	padlock_restore_user(&saved);
	return rows;
}

/* Run a statement that returns no row, in a connection of its own. */
static uint64
run_alone(PadlockStatement *statement, Datum *values, const char *nulls)
{
	uint64		rows;

	SPI_connect();
	rows = run(statement, values, nulls);
	SPI_finish();
	return rows;
}

pg_uuid_t
padlock_queue_enqueue(const char *type, Jsonb *payload, int priority, int max_attempts)
{
	Datum		values[4];
	pg_uuid_t	id;
	bool		isnull;

	values[0] = CStringGetTextDatum(type);
	values[1] = JsonbPGetDatum(payload);
	values[2] = Int32GetDatum(priority);
	values[3] = Int32GetDatum(max_attempts);

	SPI_connect();
	if (run(&enqueue_statement, values, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("the job was not added to job_queue"),
				 errhint("Look for a trigger on job_queue that suppresses inserts.")));
	id = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return id;
}

/* One column of the row that claim_statement returned; none is ever NULL. */
static Datum
claimed_column(int column)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);
}

/* Copy that row into a context, while its out-of-line values can be read. */
static void
read_claimed_job(PadlockJob *job, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	job->id = *DatumGetUUIDP(claimed_column(1));
	job->type = TextDatumGetCString(claimed_column(2));
	job->payload = DatumGetJsonbPCopy(claimed_column(3));
	job->attempt = DatumGetInt32(claimed_column(4));
	job->max_attempts = DatumGetInt32(claimed_column(5));
	MemoryContextSwitchTo(old);
}

bool
padlock_queue_claim(const char *worker_id, int64 lease_ms, PadlockJob *job)
{
	MemoryContext context = CurrentMemoryContext;
	TimestampTz now = GetCurrentTimestamp();
	Datum		values[3];
	bool		found;

	values[0] = TimestampTzGetDatum(now);
	values[1] = CStringGetTextDatum(worker_id);
	values[2] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, lease_ms));

	SPI_connect();
	(void) run(&reap_statement, values, NULL);
	found = run(&claim_statement, values, NULL) == 1;
	if (found)
		read_claimed_job(job, context);
	SPI_finish();
	return found;
}

bool
padlock_queue_extend(const pg_uuid_t *id, int attempt, int64 lease_ms)
{
	Datum		values[3];

	values[0] = UUIDPGetDatum(id);
	values[1] = Int32GetDatum(attempt);
	values[2] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(GetCurrentTimestamp(), lease_ms));
	return run_alone(&extend_statement, values, NULL) == 1;
}

bool
padlock_queue_complete(const pg_uuid_t *id, int attempt, Jsonb *result)
{
	Datum		values[4];

	values[0] = UUIDPGetDatum(id);
	values[1] = Int32GetDatum(attempt);
	values[2] = PointerGetDatum(result);
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp());
	if (run_alone(&complete_statement, values, result == NULL ? "  n " : NULL) != 1)
		return false;
	padlock_queue_set_latches_at_commit(PADLOCK_QUEUE_WAITER);
	return true;
}

bool
padlock_queue_end_attempt(const pg_uuid_t *id, int attempt, const char *error,
						  TimestampTz retry_at)
{
	int			length = pg_mbcliplen(error, strlen(error), MAX_ERROR_BYTES);
	Datum		values[5];

	values[0] = UUIDPGetDatum(id);
	values[1] = Int32GetDatum(attempt);
	values[2] = PointerGetDatum(cstring_to_text_with_len(error, length));
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[4] = TimestampTzGetDatum(retry_at);
	if (run_alone(&fail_statement, values, retry_at == DT_NOEND ? "    n" : NULL) != 1)
		return false;
	padlock_queue_set_latches_at_commit(PADLOCK_QUEUE_WAITER);
	return true;
}

int64
padlock_queue_backoff(int64 base_ms, int64 cap_ms, int attempt)
{
	/* caps are at most INT_MAX ms, so 31 doublings reach any and overflow none */
	int			doublings = Min(Max(attempt - 1, 0), 31);

	return Min(Min(base_ms, cap_ms) << doublings, cap_ms);
}

/*
 * Full jitter, a delay between 0 and the bound, spreads the retries of jobs
 * that failed together best: Marc Brooker, "Exponential Backoff And Jitter",
 * AWS Architecture Blog, 2015.
 */
bool
padlock_queue_fail(const pg_uuid_t *id, int attempt, const char *error, bool permanent)
{
	int64		bound = padlock_queue_backoff(padlock_retry_base, padlock_retry_cap, attempt);
	int64		delay = (int64) (bound * pg_prng_double(&pg_global_prng_state));
	TimestampTz retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);

	return padlock_queue_end_attempt(id, attempt, error, permanent ? DT_NOEND : retry_at);
}

TimestampTz
padlock_queue_next_due(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due;
	bool		isnull;

	SPI_connect();
	(void) run(&next_due_statement, NULL, NULL);
	due = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
											&isnull));
	SPI_finish();
	return isnull ? DT_NOEND : Max(due, now);
}

bool
padlock_queue_job_exists(const pg_uuid_t *id)
{
	Datum		values[1];

	values[0] = UUIDPGetDatum(id);
	return run_alone(&exists_statement, values, NULL) == 1;
}
