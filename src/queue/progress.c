/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  What runs, who is at it, and how far it is.
 *
 * Progress is kept with the lease, in memory, and goes with it: to report is
 * a store, so a handler may do it as often as it likes, and what it reports is
 * seen at once, whatever its transaction becomes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/errors.h"
#include "queue/jobs.h"

PG_FUNCTION_INFO_V1(padlock_job_leases);
PG_FUNCTION_INFO_V1(padlock_report_job_progress);
PG_FUNCTION_INFO_V1(padlock_report_progress);

/* The job that this background worker is at. */
static const PadlockJob *current_job = NULL;

void
padlock_queue_set_current(const PadlockJob *job)
{
	current_job = job;
}

bool
padlock_queue_report(const pg_uuid_t *id, int attempt, int64 done, int64 total,
					 const char *message)
{
	QueueKey	key;
	QueueItem  *item;
	bool		held;

	padlock_require_preload("reporting a job's progress");
	queue_my_key(&key, id);
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	item = queue_find(&key);
	held = item != NULL && item->lease >= 0 && item->job.attempts == attempt &&
		!queue_xact_has_ended(item);
	if (held)
	{
		QueueLease *lease = queue_lease_of(item);

		lease->reported = true;
		lease->done = done;
		lease->total = total;
		lease->reported_at = GetCurrentTimestamp();
		lease->message[0] = '\0';
		if (message != NULL)
			strlcpy(lease->message, message,
					pg_mbcliplen(message, strlen(message), sizeof(lease->message) - 1) + 1);
	}
	LWLockRelease(padlock_queue->lock);
	return held;
}

/* Copy the leases of this database that are to be seen. */
static QueueLease *
copy_leases(int *count)
{
	QueueLease *copies;
	int			wanted = 0;

	*count = 0;
	if (padlock_queue == NULL)
		return NULL;
	LWLockAcquire(padlock_queue->lock, LW_SHARED);
	for (int i = 0; i < padlock_queue_max_leases; i++)
		if (padlock_queue_leases[i].in_use && padlock_queue_leases[i].key.database == MyDatabaseId)
			wanted++;
	LWLockRelease(padlock_queue->lock);
	copies = palloc_extended(sizeof(QueueLease) * Max(wanted, 1), MCXT_ALLOC_HUGE);

	LWLockAcquire(padlock_queue->lock, LW_SHARED);
	for (int i = 0; i < padlock_queue_max_leases && *count < wanted; i++)
	{
		const QueueLease *lease = &padlock_queue_leases[i];

		if (!lease->in_use || lease->key.database != MyDatabaseId || lease->item == NULL ||
			!lease->started)
			continue;
		/* a claim that is not committed is nobody else's business, and its end ours only */
		if (lease->item->holder.backendId == MyBackendId ? lease->item->ending : lease->item->claiming)
			continue;
		copies[(*count)++] = *lease;
	}
	LWLockRelease(padlock_queue->lock);
	return copies;
}

/*
 * padlock.job_leases() returns setof record: the attempts under way, in this
 * database, with their progress.
 */
Datum
padlock_job_leases(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	QueueLease *leases;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	leases = copy_leases(&count);
	for (int i = 0; i < count; i++)
	{
		QueueLease *lease = &leases[i];
		Datum		values[9];
		bool		nulls[9] = {false};

		values[0] = UUIDPGetDatum(&lease->key.id);
		values[1] = Int32GetDatum(lease->job.attempts);
		values[2] = CStringGetTextDatum(lease->worker);
		nulls[2] = lease->worker[0] == '\0';
		values[3] = TimestampTzGetDatum(lease->started_at);
		values[4] = TimestampTzGetDatum(lease->started_at + Max(lease->deadline - lease->started_clock, 0));
		values[5] = Int64GetDatum(lease->done);
		values[6] = Int64GetDatum(lease->total);
		values[7] = CStringGetTextDatum(lease->message);
		values[8] = TimestampTzGetDatum(lease->reported_at);
		nulls[5] = nulls[8] = !lease->reported;
		nulls[6] = !lease->reported || lease->total < 0;
		nulls[7] = !lease->reported || lease->message[0] == '\0';
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The arguments done, total and message, from number first on. */
static bool
report_arguments(FunctionCallInfo fcinfo, int first, const pg_uuid_t *id, int attempt)
{
	int64		done;
	int64		total = PG_ARGISNULL(first + 1) ? -1 : PG_GETARG_INT64(first + 1);
	char	   *message = PG_ARGISNULL(first + 2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(first + 2));

	queue_require_value(fcinfo, first, "done");
	done = PG_GETARG_INT64(first);
	if (done < 0 || (!PG_ARGISNULL(first + 1) && total < 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("progress must not be negative")));
	return padlock_queue_report(id, attempt, done, total, message);
}

/*
 * report_job_progress(job_id_val uuid, done_val bigint, total_val bigint,
 * message_val text, attempt_val integer) returns boolean: say how far a
 * claimed job is; false when the claim was lost.  Errors: 22004 for NULLs,
 * 22023 for negative numbers.
 */
Datum
padlock_report_job_progress(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = queue_id_argument(fcinfo, 0);

	PG_RETURN_BOOL(report_arguments(fcinfo, 1, id, PG_ARGISNULL(4) ? 1 : PG_GETARG_INT32(4)));
}

/*
 * padlock.report_progress(done bigint, total bigint, message text) returns
 * boolean: the same for the job whose handler this is.  Errors: 55000 outside
 * a handler.
 */
Datum
padlock_report_progress(PG_FUNCTION_ARGS)
{
	if (current_job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("report_progress() can be called by a job's handler only"),
				 errhint("An external worker calls report_job_progress().")));
	PG_RETURN_BOOL(report_arguments(fcinfo, 0, &current_job->id, current_job->attempt));
}
