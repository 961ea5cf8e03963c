/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  The ends of attempts: one row each, appended.
 *
 * Who ends an attempt holds its lease until the transaction ends (xact.c), so
 * two sessions never end the same one: the second waits and then finds it
 * ended, or gets it when the first was rolled back.
 *
 * A lease that has ended is noticed by the next claim, which appends the
 * outcome "lease ended" and, when attempts are left, puts the job back to
 * ready at once.  Until then the claim still holds: a late worker with the
 * right token may complete, fail or extend it, since nobody else has been
 * given the job.
 *
 * Crash contract: an outcome is committed before its lease is freed.  When
 * the server stops in between, the lease of an ended attempt comes back, and
 * queue_reap() sees its outcome.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/pg_prng.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "core/boot.h"
#include "core/errors.h"
#include "queue/jobs.h"

/* What one claim does for the others at most. */
#define REAP_MAX		100

/* What a lease that has ended means. */
typedef enum ReapKind
{
	REAP_SILENT,				/* it had not begun */
	REAP_RETRY,
	REAP_FAILED
} ReapKind;

typedef struct Reaped
{
	ReapKind	kind;
	QueueLease	lease;
} Reaped;

static void
set_outcome_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* An error message as job_outcomes holds it. */
static const char *
clip_error(const char *error)
{
	if (error == NULL || strlen(error) <= MAX_ERROR_BYTES)
		return error;
	return pnstrdup(error, pg_mbcliplen(error, strlen(error), MAX_ERROR_BYTES));
}

/* Append an outcome to an opened table. */
static void
append_outcome(QueueWriter *writer, const QueueLease *lease, const QueueOutcome *outcome)
{
	Datum		values[OUTCOME_COLUMNS];
	bool		nulls[OUTCOME_COLUMNS] = {false};

	values[OUTCOME_JOB_SEQ] = Int64GetDatum(lease->job.seq);
	values[OUTCOME_STARTED_AT] = TimestampTzGetDatum(lease->started_at);
	values[OUTCOME_ENDED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[OUTCOME_NEXT_RETRY_AT] = TimestampTzGetDatum(outcome->next_retry_at);
	nulls[OUTCOME_NEXT_RETRY_AT] = outcome->next_retry_at == 0;
	values[OUTCOME_ATTEMPT] = Int32GetDatum(lease->job.attempts);
	values[OUTCOME_KIND] = CStringGetTextDatum(outcome->kind);
	set_outcome_text(values, nulls, OUTCOME_WORKER_ID, lease->worker);
	values[OUTCOME_RESULT] = PointerGetDatum(outcome->result);
	nulls[OUTCOME_RESULT] = outcome->result == NULL;
	set_outcome_text(values, nulls, OUTCOME_ERROR, clip_error(outcome->error));
	(void) queue_writer_append(writer, values, nulls, false);
}

void
queue_record(const QueueLease *lease, const QueueOutcome *outcome)
{
	QueueWriter writer;

	queue_writer_open(&writer, queue_outcomes_table(lease->job.generation), OUTCOME_COLUMNS);
	append_outcome(&writer, lease, outcome);
	queue_writer_close(&writer);
	if (strcmp(outcome->kind, "retry") != 0)
		queue_tell_watcher_of(lease, outcome);
}

/*
 * Take hold of a claim to end it.  False when it is lost, also when it came
 * back after a crash that came right behind its end, or in the middle of the
 * transaction that had added the job.
 */
static bool
hold_claim(const pg_uuid_t *id, int attempt, QueueLease *lease)
{
	QueueJob	entry;
	Snapshot	snapshot;
	int			last = 0;
	bool		ended;

	if (queue_xact_hold_claim(id, attempt, lease) != QUEUE_HELD)
		return false;
	if (!lease->job.unverified)
		return true;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ended = !queue_has_row(id, &lease->job, snapshot) ||
		queue_has_ended(&lease->job, snapshot, &last);
	UnregisterSnapshot(snapshot);
	if (ended)
		return false;
	if (last < lease->job.attempts)
		return true;
	entry = lease->job;
	entry.due = 0;
	queue_xact_settle(id, QUEUE_WAITS, &entry, NULL);
	return false;
}

bool
padlock_queue_complete(const pg_uuid_t *id, int attempt, Jsonb *result)
{
	QueueOutcome outcome = {.kind = "completed", .result = result};
	QueueLease	lease;

	padlock_require_preload("completing a job");
	PreventCommandIfReadOnly("completing a job");
	if (!hold_claim(id, attempt, &lease))
		return false;
	queue_record(&lease, &outcome);
	return true;
}

/*
 * Complete many jobs of one call; refused[i] says of which the claim is lost.
 */
void
queue_complete_many(const pg_uuid_t *ids, const int *attempts, Jsonb **results, int count,
					bool *refused)
{
	QueueLease *leases = palloc_extended(sizeof(QueueLease) * count, MCXT_ALLOC_HUGE);
	QueueWriter writer;
	int			generation = -1;

	padlock_require_preload("completing jobs");
	PreventCommandIfReadOnly("completing jobs");
	for (int i = 0; i < count; i++)
	{
		QueueOutcome outcome = {.kind = "completed", .result = results[i]};

		refused[i] = !hold_claim(&ids[i], attempts[i], &leases[i]);
		if (refused[i])
			continue;
		if (generation != leases[i].job.generation)
		{
			if (generation >= 0)
				queue_writer_close(&writer);
			generation = leases[i].job.generation;
			queue_writer_open(&writer, queue_outcomes_table(generation), OUTCOME_COLUMNS);
		}
		append_outcome(&writer, &leases[i], &outcome);
	}
	if (generation >= 0)
		queue_writer_close(&writer);
	for (int i = 0; i < count; i++)
	{
		QueueOutcome outcome = {.kind = "completed", .result = results[i]};

		if (!refused[i])
			queue_tell_watcher_of(&leases[i], &outcome);
	}
	pfree(leases);
}

/* End a held attempt that failed. */
static void
record_failure(const pg_uuid_t *id, const QueueLease *lease, const char *error,
			   TimestampTz retry_at)
{
	QueueOutcome outcome = {.kind = "failed", .error = error};

	if (retry_at != DT_NOEND && lease->job.attempts < lease->job.max_attempts)
	{
		QueueJob	entry = lease->job;

		outcome.kind = "retry";
		outcome.next_retry_at = retry_at;
		entry.due = retry_at;
		entry.retry = true;
		entry.unverified = false;
		queue_xact_settle(id, QUEUE_WAITS, &entry, NULL);
		padlock_queue_set_latches_at_commit(PADLOCK_QUEUE_WAITER);
	}
	queue_record(lease, &outcome);
}

bool
padlock_queue_end_attempt(const pg_uuid_t *id, int attempt, const char *error,
						  TimestampTz retry_at)
{
	QueueLease	lease;

	padlock_require_preload("failing a job");
	PreventCommandIfReadOnly("failing a job");
	if (!hold_claim(id, attempt, &lease))
		return false;
	record_failure(id, &lease, error, retry_at);
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
	QueueLease	lease;
	TimestampTz retry_at = DT_NOEND;

	padlock_require_preload("failing a job");
	PreventCommandIfReadOnly("failing a job");
	if (!hold_claim(id, attempt, &lease))
		return false;
	if (!permanent)
	{
		int			base;
		int			cap;
		int64		bound;

		queue_retry_settings(lease.job.type_hash, &base, &cap);
		bound = padlock_queue_backoff(base, cap, attempt);
		retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   (int64) (bound * pg_prng_double(&pg_global_prng_state)));
	}
	record_failure(id, &lease, error, retry_at);
	return true;
}

bool
padlock_queue_postpone(const pg_uuid_t *id, int attempt)
{
	QueueLease	lease;
	QueueJob	entry;
	int			base;
	int			cap;

	padlock_require_preload("putting a job off");
	PreventCommandIfReadOnly("putting a job off");
	if (!hold_claim(id, attempt, &lease))
		return false;
	queue_retry_settings(lease.job.type_hash, &base, &cap);
	entry = lease.job;
	entry.attempts--;
	entry.due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), base);
	entry.retry = true;
	queue_xact_settle(id, QUEUE_WAITS, &entry, NULL);
	return true;
}

/* An ended lease that somebody noticed and did not come to say; the lock is held. */
static void
reap_again(QueueLease *lease, Reaped *reaped)
{
	reaped->lease = *lease;
	reaped->kind = REAP_RETRY;
	lease->noticing = true;
	queue_xact_noticed(lease);
}

/* Take one ended lease from its item; the lock is held. */
static void
reap_one(QueueHead *head, QueueItem *item, Reaped *reaped)
{
	QueueLease *lease = queue_lease_of(item);

	reaped->lease = *lease;
	if (!lease->started)
		reaped->kind = REAP_SILENT;
	else if (item->job.attempts < item->job.max_attempts)
		reaped->kind = REAP_RETRY;
	else
	{
		reaped->kind = REAP_FAILED;
		queue_xact_hold_ended(item);
		return;
	}
	if (reaped->kind == REAP_RETRY)
	{
		queue_lease_detach(head, item);
		queue_xact_noticed(lease);
		item->job.unverified = true;
	}
	else
	{
		queue_lease_free(head, item);
		item->job.attempts--;
	}
	if (!queue_place(head, item))
		queue_delete(head, item);
}

/* Take the leases that have ended; returns how many. */
static int
collect_ended(Reaped *reaped)
{
	QueueHead  *head = queue_my_head();
	int64		now = padlock_boot_clock();
	int64		next = PG_INT64_MAX;
	int			count = 0;

	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	if (head->next_end > now)
	{
		LWLockRelease(padlock_queue->lock);
		return 0;
	}
	for (int i = 0; i < padlock_queue_max_leases; i++)
	{
		QueueLease *lease = &padlock_queue_leases[i];

		if (!lease->in_use || lease->key.database != MyDatabaseId)
			continue;
		if (lease->item == NULL)
		{
			if (lease->noticed && !lease->noticing && count < REAP_MAX)
				reap_again(lease, &reaped[count++]);
			else if (lease->noticed && !lease->noticing)
				next = 0;
			continue;
		}
		if (lease->deadline > now || count == REAP_MAX)
			next = Min(next, lease->deadline);
		else if (lease->item->holder.backendId == InvalidBackendId)
			reap_one(head, lease->item, &reaped[count++]);
	}
	head->next_end = next;
	LWLockRelease(padlock_queue->lock);
	return count;
}

/*
 * Say in the outcomes what became of an ended lease.  The job may not be there:
 * a crash took it back with the transaction that had added and claimed it, or
 * somebody emptied the tables.  Another may have its seq then.
 */
static void
record_ended(const Reaped *reaped)
{
	const QueueLease *lease = &reaped->lease;
	QueueOutcome outcome = {.kind = reaped->kind == REAP_FAILED ? "failed" : "retry"};
	Snapshot	snapshot;
	int			last = 0;
	bool		ended;

	if (reaped->kind == REAP_SILENT)
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ended = !queue_has_row(&lease->key.id, &lease->job, snapshot) ||
		queue_has_ended(&lease->job, snapshot, &last);
	UnregisterSnapshot(snapshot);
	if (ended || last >= lease->job.attempts)
		return;					/* it was said before a crash */
	outcome.error = psprintf("lease ended: worker %s did not report the end of attempt %d of %d",
							 quote_literal_cstr(lease->worker), lease->job.attempts,
							 lease->job.max_attempts);
	queue_record(lease, &outcome);
}

void
queue_reap(void)
{
	Reaped	   *reaped;
	int			count;

	if (queue_my_head()->next_end > padlock_boot_clock())
		return;
	reaped = palloc_array(Reaped, REAP_MAX);
	queue_xact_reserve(2 * REAP_MAX);
	count = collect_ended(reaped);
	for (int i = 0; i < count; i++)
		record_ended(&reaped[i]);
	pfree(reaped);
}
