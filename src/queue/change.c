/*-------------------------------------------------------------------------
 *
 * change.c
 *	  What people do to single jobs: cancel, retry, and the common part of
 *	  writing to job_queue.
 *
 * Jobs that run by themselves only ever append rows.  Changes by hand are
 * rare, so they are plain updates and deletions, made while the transaction
 * holds the job in memory (xact.c) and its generation against being counted
 * (retention.c counts under a stronger lock of the same row).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "core/errors.h"
#include "core/spi.h"
#include "queue/change.h"

PG_FUNCTION_INFO_V1(padlock_cancel_job);
PG_FUNCTION_INFO_V1(padlock_retry_job);
PG_FUNCTION_INFO_V1(padlock_redrive_jobs);

#define CANCELLED "cancelled"

static PadlockStatement read_statement = {
	"SELECT j.tableoid, j.seq, q.job_type, q.status, q.attempts, q.max_attempts, q.priority,"
	" q.queue, q.payload, q.next_retry_at, q.dedupe_key FROM padlock.jobs j JOIN @app@.job_queue q ON q.id = j.id WHERE j.id = $1",
	1, {UUIDOID}
};

uint64
queue_run_on(int generation, const char *sql, int nargs, Oid *types, Datum *values,
			 const char *nulls)
{
	char		suffix[16] = "";
	PadlockUserContext saved;
	int			result;

	if (generation > 0)
		snprintf(suffix, sizeof(suffix), "_%d", generation);
	padlock_become_owner(&saved);
	result = SPI_execute_with_args(psprintf(sql, suffix), nargs, types, values, nulls, false, 0);
	padlock_restore_user(&saved);
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not change a job: %s", SPI_result_code_string(result))));
	return SPI_processed;
}

/* One column of the current result; NULL text as NULL. */
static char *
text_of(int number)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number);
}

static Datum
datum_of(int number)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, &isnull);
}

static int
generation_of(Oid table)
{
	int			generation = 0;
	const char *name = get_rel_name(table);

	if (name != NULL && sscanf(name, "jobs_%d", &generation) != 1)
		generation = 0;
	return generation;
}

/* Fill in what job_queue shows of a job, in the caller's memory context. */
static void
read_change(QueueChange *change, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	char	   *queue = text_of(8);
	bool		isnull;

	change->generation = generation_of(DatumGetObjectId(datum_of(1)));
	change->seq = DatumGetInt64(datum_of(2));
	change->type = text_of(3);
	change->status = text_of(4);
	change->attempts = DatumGetInt32(datum_of(5));
	change->max_attempts = DatumGetInt32(datum_of(6));
	change->priority = DatumGetInt32(datum_of(7));
	change->queue = queue;
	change->dedupe_key = text_of(11);
	change->payload = DatumGetJsonbPCopy(datum_of(9));
	change->due = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
													10, &isnull));
	if (isnull)
		change->due = 0;
	MemoryContextSwitchTo(old);
}

/* Read a held job; false when there is none. */
static bool
read_held(const pg_uuid_t *id, QueueChange *change)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		values[1] = {UUIDPGetDatum(id)};
	PadlockUserContext saved;
	bool		found;

	change->id = *id;
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	padlock_become_owner(&saved);
	found = padlock_spi_execute(&read_statement, values, NULL, true) == 1;
	padlock_restore_user(&saved);
	if (found)
		read_change(change, context);
	PopActiveSnapshot();
	SPI_finish();
	return found;
}

bool
queue_change_begin(const pg_uuid_t *id, QueueChange *change)
{
	padlock_require_preload("changing a job");
	PreventCommandDuringRecovery("changing a job");
	memset(change, 0, sizeof(*change));
	queue_xact_hold(id, &change->lease);
	return read_held(id, change);
}

int64
queue_lock_generation(int generation)
{
	static Oid	types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(generation)};

	if (generation == 0)
		return 0;
	if (queue_run_on(0, "SELECT settled_below FROM padlock.job_generations WHERE generation = $1 FOR SHARE",
					 1, types, values, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the job's generation was dropped meanwhile")));
	return DatumGetInt64(datum_of(1));
}

/* Take an ended job out of the counts of its generation. */
static void
uncount(const QueueChange *change)
{
	static Oid	types[3] = {INT4OID, TEXTOID, TEXTOID};
	Datum		values[3] = {Int32GetDatum(change->generation),
		CStringGetTextDatum(change->type), CStringGetTextDatum(change->status)};

	(void) queue_run_on(0, "UPDATE padlock.job_tallies SET jobs = jobs - 1"
						" WHERE generation = $1 AND job_type = $2 AND status = $3",
						3, types, values, NULL);
}

/* Move a job and its outcomes to the parents, generation 0; returns the row's place. */
static ItemPointerData
move_to_parents(int generation, const pg_uuid_t *id, int64 seq)
{
	ItemPointerData row;

	static Oid	by_id[1] = {UUIDOID};
	static Oid	by_seq[1] = {INT8OID};
	Datum		id_value[1] = {UUIDPGetDatum(id)};
	Datum		seq_value[1] = {Int64GetDatum(seq)};

	ItemPointerSetInvalid(&row);
	if (queue_run_on(generation,
					 "WITH moved AS (DELETE FROM ONLY padlock.jobs%1$s WHERE id = $1 RETURNING " JOB_COLUMN_LIST ")"
					 " INSERT INTO padlock.jobs (" JOB_COLUMN_LIST ") SELECT * FROM moved RETURNING ctid",
					 1, by_id, id_value, NULL) == 1)
		row = *QueueDatumGetItemPointer(datum_of(1));
	(void) queue_run_on(generation,
						"WITH moved AS (DELETE FROM ONLY padlock.job_outcomes%1$s WHERE job_seq = $1 RETURNING " OUTCOME_COLUMN_LIST ")"
						" INSERT INTO padlock.job_outcomes (" OUTCOME_COLUMN_LIST ") SELECT * FROM moved",
						1, by_seq, seq_value, NULL);
	return row;
}

/* What the ready list is to know of a job that waits, from a changed row. */
static void
make_entry(const QueueChange *change, ItemPointer row, QueueJob *entry)
{
	PadlockNewJob job = {.type = change->type, .queue = change->queue,
		.priority = change->priority, .max_attempts = change->max_attempts};

	queue_job_entry(&job, change->seq, change->generation, entry);
	entry->attempts = change->attempts;
	entry->row = *row;
}

bool
queue_move_waiting(const pg_uuid_t *id)
{
	QueueChange change;
	QueueJob	entry;
	ItemPointerData row;

	memset(&change, 0, sizeof(change));
	if (!queue_xact_try_hold(id) || !read_held(id, &change) || change.generation == 0 ||
		strcmp(change.status, "pending") != 0)
		return false;
	SPI_connect();
	row = move_to_parents(change.generation, id, change.seq);
	SPI_finish();
	change.generation = 0;
	make_entry(&change, &row, &entry);
	entry.due = change.due;
	entry.retry = change.attempts > 0;
	queue_xact_settle(id, QUEUE_WAITS, &entry, NULL);
	return true;
}

void
queue_change_rows(QueueChange *change)
{
	SPI_connect();
	if (change->seq < queue_lock_generation(change->generation))
	{
		uncount(change);
		(void) move_to_parents(change->generation, &change->id, change->seq);
		change->generation = 0;
	}
	SPI_finish();
}

/* The outcome of a job that nobody was at: "cancelled" in place of its last retry. */
static void
record_cancelled(const QueueChange *change)
{
	static Oid	types[3] = {INT8OID, INT4OID, TIMESTAMPTZOID};
	Datum		values[3] = {Int64GetDatum(change->seq), Int32GetDatum(change->attempts),
		TimestampTzGetDatum(GetCurrentTimestamp())};

	SPI_connect();
	(void) queue_run_on(change->generation,
						"INSERT INTO padlock.job_outcomes%1$s (job_seq, attempt, ended_at, kind, error)"
						" VALUES ($1, $2, $3, 'cancelled', 'cancelled')"
						" ON CONFLICT (job_seq, attempt) DO UPDATE SET kind = 'cancelled',"
						" error = 'cancelled', ended_at = $3, next_retry_at = NULL",
						3, types, values, NULL);
	SPI_finish();
}

/*
 * cancel_job(job_id_val uuid) returns boolean: end a pending or processing job
 * as failed, with the error "cancelled".  A background worker that is at it is
 * interrupted; an external one is told by extend_job(), which answers false.
 * False when the job has ended.  Errors: 22004 for NULL, 22023 for an unknown
 * id.
 */
Datum
padlock_cancel_job(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = queue_id_argument(fcinfo, 0);
	QueueOutcome outcome = {.kind = CANCELLED, .error = CANCELLED};
	QueueChange change;

	if (!queue_change_begin(id, &change))
		queue_require_job(id);
	if (strcmp(change.status, "completed") == 0 || strcmp(change.status, "failed") == 0)
		PG_RETURN_BOOL(false);
	queue_xact_settle(id, QUEUE_GONE, NULL, NULL);
	if (change.lease.in_use)
		queue_record(&change.lease, &outcome);
	else
	{
		Jsonb	   *payload = queue_ask_watcher(id, change.type, change.payload, &outcome);

		record_cancelled(&change);
		if (payload != NULL)
			queue_replace_payload(id, change.generation, payload);
	}
	PG_RETURN_BOOL(true);
}

static PadlockStatement key_statement = {
	"SELECT job_type, dedupe_key FROM padlock.jobs WHERE id = $1 AND dedupe_key IS NOT NULL",
	1, {UUIDOID}
};

/*
 * Take the lock of a job's dedupe key, if it has one: before the job itself,
 * as those do who take the locks of many.
 */
static void
lock_key_of(const pg_uuid_t *id)
{
	Datum		values[1] = {UUIDPGetDatum(id)};
	PadlockUserContext saved;
	bool		found;

	SPI_connect();
	padlock_become_owner(&saved);
	found = padlock_spi_execute(&key_statement, values, NULL, false) == 1;
	padlock_restore_user(&saved);
	if (found)
		queue_lock_key(text_of(1), text_of(2));
	SPI_finish();
}

/*
 * Make a failed job wait again, with as many attempts more as it had; the lock
 * of its dedupe key is held.  With a twin that waits or runs, false or an error.
 */
static bool
retry(const pg_uuid_t *id, bool twin_ok)
{
	pg_uuid_t	twin;
	static Oid	by_id[3] = {UUIDOID, INT4OID, INT4OID};
	static Oid	by_seq[1] = {INT8OID};
	QueueChange change;
	QueueJob	entry;
	Datum		values[2];
	Datum		seq[1];

	if (!queue_change_begin(id, &change))
		queue_require_job(id);
	if (strcmp(change.status, "failed") != 0)
		return false;
	if (!twin_ok)
		queue_refuse_twin(change.type, change.dedupe_key);
	else if (change.dedupe_key != NULL &&
			 queue_find_twin(change.type, change.dedupe_key, &twin))
		return false;
	queue_change_rows(&change);
	if (change.attempts >= change.max_attempts)
		change.max_attempts = (int) Min((int64) change.attempts + change.max_attempts, PG_INT32_MAX);
	values[0] = UUIDPGetDatum(id);
	values[1] = Int32GetDatum(change.max_attempts);
	seq[0] = Int64GetDatum(change.seq);
	SPI_connect();
	(void) queue_run_on(change.generation,
						"UPDATE ONLY padlock.job_outcomes%1$s SET kind = 'retry', next_retry_at = NULL"
						" WHERE job_seq = $1 AND kind <> 'retry'", 1, by_seq, seq, NULL);
	if (queue_run_on(change.generation,
					 "UPDATE ONLY padlock.jobs%1$s SET max_attempts = $2, run_at = NULL WHERE id = $1 RETURNING ctid",
					 2, by_id, values, NULL) == 1)
	{
		make_entry(&change, QueueDatumGetItemPointer(datum_of(1)), &entry);
		queue_xact_settle(id, QUEUE_WAITS, &entry, NULL);
	}
	SPI_finish();
	return true;
}

/*
 * retry_job(job_id_val uuid) returns boolean: make a failed job wait again.
 * It keeps its place in the order, its count of attempts and its error, and
 * gets max_attempts more if it had none left.  False when it has not failed.
 * Errors: 22004 for NULL, 22023 for an unknown id, 23505 when another job of
 * its type and dedupe key waits or runs.
 */
Datum
padlock_retry_job(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = queue_id_argument(fcinfo, 0);

	padlock_require_preload("changing a job");
	lock_key_of(id);
	PG_RETURN_BOOL(retry(id, false));
}

/* To the view, a cancelled job has failed, too. */
static PadlockStatement failed_statement = {
	"SELECT q.id, q.dedupe_key FROM @app@.job_queue q WHERE q.job_type = $1 AND q.status = 'failed'"
	" AND NOT EXISTS (SELECT FROM padlock.job_outcomes o WHERE o.job_seq = q.enqueue_order AND o.kind = 'cancelled')"
	" ORDER BY q.enqueue_order",
	1, {TEXTOID}
};

/*
 * The ids of a type's failed jobs but the cancelled ones, in the caller's memory context; takes the
 * locks of their dedupe keys.
 */
static pg_uuid_t *
failed_jobs(const char *type, uint64 *count)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		values[1] = {CStringGetTextDatum(type)};
	PadlockUserContext saved;
	pg_uuid_t  *ids;
	QueueKeySet keys = {0};

	SPI_connect();
	padlock_become_owner(&saved);
	*count = padlock_spi_execute(&failed_statement, values, NULL, false);
	padlock_restore_user(&saved);
	ids = MemoryContextAllocHuge(context, (*count + 1) * sizeof(pg_uuid_t));
	for (uint64 i = 0; i < *count; i++)
	{
		bool		isnull;
		char	   *key = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);

		ids[i] = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1,
											  &isnull));
		if (key != NULL)
			queue_key_set_add(&keys, type, key);
	}
	queue_lock_key_set(&keys);
	SPI_finish();
	return ids;
}

/*
 * redrive_jobs(job_type_val text) returns integer: retry_job() for all failed
 * jobs of a type but those that were cancelled, which somebody did not want,
 * and those of whose dedupe key another waits or runs; returns how many.  Errors: 22004 for NULL, 22023 for an empty or long type.
 */
Datum
padlock_redrive_jobs(PG_FUNCTION_ARGS)
{
	char	   *type = queue_text_argument(fcinfo, 0, "job_type_val", MAX_JOB_TYPE_LENGTH);
	uint64		count;
	pg_uuid_t  *ids = failed_jobs(type, &count);
	int			retried = 0;

	for (uint64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (retry(&ids[i], true))
			retried++;
	}
	PG_RETURN_INT32(retried);
}
