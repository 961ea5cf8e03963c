/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  Claims: a due job is leased to a worker.
 *
 * A claim writes no row: it takes the first of the ready list, makes a lease
 * (lease.c), and reads the job's row with a snapshot taken after that.  The
 * row is there, since jobs enter the list when their transactions have become
 * visible; if it is not, somebody changed the tables by hand, and the job is
 * forgotten until a scan finds it again.
 *
 * The attempt's number is the fencing token: every later call about the claim
 * names it, so that a worker that was too slow cannot end the claim of its
 * successor.
 *
 * A claim that is rolled back gives the job back, and the attempt is not
 * counted (xact.c).
 *
 * A background worker may claim jobs ahead (padlock_queue_claim_ahead).  Until
 * it begins one, the lease is short and its end costs no attempt.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "core/boot.h"
#include "core/errors.h"
#include "queue/jobs.h"

/* How long a job claimed ahead is kept from others. */
#define AHEAD_USECS		(250 * INT64CONST(1000))

/* A background worker's process, whose leases end with it. */
static bool is_worker = false;

/* What was taken, copied from shared memory. */
typedef struct Taken
{
	pg_uuid_t	id;
	QueueJob	job;			/* attempts includes this one */
} Taken;

bool
queue_is_worker(void)
{
	return is_worker;
}

void
queue_reader_open(QueueReader *reader)
{
	reader->rel = NULL;
	reader->snapshot = RegisterSnapshot(GetLatestSnapshot());
}

static void
close_table(QueueReader *reader)
{
	if (reader->rel == NULL)
		return;
	ExecDropSingleTupleTableSlot(reader->slot);
	table_close(reader->rel, AccessShareLock);
	reader->rel = NULL;
}

void
queue_reader_close(QueueReader *reader)
{
	close_table(reader);
	UnregisterSnapshot(reader->snapshot);
}

static Datum
column(QueueReader *reader, JobColumn number)
{
	bool		isnull;

	return slot_getattr(reader->slot, number + 1, &isnull);
}

bool
queue_read_job(QueueReader *reader, const pg_uuid_t *id, const QueueJob *entry, PadlockJob *job)
{
	ItemPointerData row = entry->row;

	if (reader->rel == NULL || reader->generation != entry->generation)
	{
		Oid			table = queue_jobs_table_if_any(entry->generation);

		close_table(reader);
		if (!OidIsValid(table))
			return false;
		reader->rel = table_open(table, AccessShareLock);
		reader->slot = table_slot_create(reader->rel, NULL);
		reader->generation = entry->generation;
	}
	if (!ItemPointerIsValid(&row) ||
		!table_tuple_fetch_row_version(reader->rel, &row, reader->snapshot, reader->slot) ||
		memcmp(DatumGetUUIDP(column(reader, JOB_ID)), id, sizeof(*id)) != 0)
		return false;
	job->id = *id;
	job->type = TextDatumGetCString(column(reader, JOB_TYPE));
	job->payload = DatumGetJsonbPCopy(column(reader, JOB_PAYLOAD));
	job->max_attempts = DatumGetInt32(column(reader, JOB_MAX_ATTEMPTS));
	job->attempt = entry->attempts;
	return true;
}

bool
queue_has_row(const pg_uuid_t *id, const QueueJob *entry, Snapshot snapshot)
{
	Oid			table = queue_jobs_table_if_any(entry->generation);
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		found;

	if (!OidIsValid(table))
		return false;
	rel = table_open(table, AccessShareLock);
	ScanKeyInit(&key, JOB_ID + 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	scan = systable_beginscan(rel, RelationGetPrimaryKeyIndex(rel), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		bool		isnull;

		found = DatumGetInt64(heap_getattr(tuple, JOB_SEQ + 1, RelationGetDescr(rel), &isnull)) == entry->seq;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

bool
queue_has_ended(const QueueJob *entry, Snapshot snapshot, int *last_attempt)
{
	Relation	rel = table_open(queue_outcomes_table(entry->generation), AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		ended = false;

	*last_attempt = 0;
	ScanKeyInit(&key, OUTCOME_JOB_SEQ + 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(entry->seq));
	scan = systable_beginscan(rel, RelationGetPrimaryKeyIndex(rel), true, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		int			attempt = DatumGetInt32(heap_getattr(tuple, OUTCOME_ATTEMPT + 1,
														 RelationGetDescr(rel), &isnull));
		char	   *kind = TextDatumGetCString(heap_getattr(tuple, OUTCOME_KIND + 1,
															RelationGetDescr(rel), &isnull));

		*last_attempt = Max(*last_attempt, attempt);
		ended = ended || strcmp(kind, "retry") != 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return ended;
}

/*
 * The next item to be leased: of what is committed, or what this transaction
 * has added itself.
 */
static QueueItem *
next_item(QueueHead *head, const uint64 *only_type)
{
	QueueItem  *item = queue_next(head, only_type, is_worker);
	QueueItem  *own = only_type == NULL ? queue_xact_take_added(head, item) : NULL;

	if (own != NULL && item != NULL && !queue_place(head, item))
		queue_delete(head, item);
	return own != NULL ? own : item;
}

/* Lease the next item; false when there is none or no lease is left. */
static bool
take_one(QueueHead *head, const char *worker, int64 length, const uint64 *only_type, Taken *taken)
{
	QueueItem  *item;
	QueueLease *lease;

	if (padlock_queue->free_lease < 0)
		return false;
	item = next_item(head, only_type);
	if (item == NULL)
		return false;
	item->job.due = 0;
	item->job.retry = false;
	lease = queue_lease_make(head, item, worker, length, is_worker);
	lease->owner = is_worker ? MyProcPid : 0;
	if (only_type != NULL)
	{
		lease->started = false;
		queue_lease_set_deadline(head, lease, padlock_boot_clock() + Min(length, AHEAD_USECS));
	}
	queue_xact_claimed(item);
	taken->id = item->key.id;
	taken->job = item->job;
	return true;
}

/* Lease up to max items; returns how many. */
static int
take(const char *worker, int64 length, const uint64 *only_type, Taken *taken, int max)
{
	QueueHead  *head = queue_my_head();
	int			count = 0;
	bool		full;

	queue_xact_reserve(max);
	queue_xact_look_at_added();
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	while (count < max && take_one(head, worker, length, only_type, &taken[count]))
		count++;
	full = padlock_queue->free_lease < 0;
	LWLockRelease(padlock_queue->lock);
	if (count == 0 && full)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("all %d job leases are taken", padlock_queue_max_leases),
				 errhint("Increase padlock.queue_max_leases and restart the server.")));
	return count;
}

/* Forget a job that was taken and is not to be run. */
static void
drop_taken(const Taken *taken, bool look_again)
{
	QueueKey	key;
	QueueHead  *head = queue_my_head();
	QueueItem  *item;

	queue_my_key(&key, &taken->id);
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	item = queue_find(&key);
	if (item != NULL && item->lease >= 0 && item->claiming)
	{
		queue_lease_free(head, item);
		queue_delete(head, item);
	}
	if (look_again)
		head->stale = true;
	LWLockRelease(padlock_queue->lock);
}

/*
 * A taken job has been found not to have ended; correct the number of the
 * attempt, which a scan may have had too low.
 */
static void
verify(Taken *taken, int attempt)
{
	QueueKey	key;
	QueueItem  *item;

	queue_my_key(&key, &taken->id);
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	item = queue_find(&key);
	if (item != NULL && item->lease >= 0 && item->claiming)
	{
		item->job.attempts = attempt;
		item->job.unverified = false;
		queue_lease_of(item)->job = item->job;
		queue_lease_seal(queue_lease_of(item));
	}
	LWLockRelease(padlock_queue->lock);
	taken->job.attempts = attempt;
}

/* Read a taken job's row; false, and the job forgotten, when it cannot run. */
static bool
read_taken(QueueReader *reader, Taken *taken, PadlockJob *job)
{
	int			last = 0;

	if (!queue_read_job(reader, &taken->id, &taken->job, job))
	{
		drop_taken(taken, !taken->job.unverified);
		return false;
	}
	if (!taken->job.unverified)
		return true;
	if (queue_has_ended(&taken->job, reader->snapshot, &last))
	{
		drop_taken(taken, false);
		return false;
	}
	job->attempt = Max(last + 1, taken->job.attempts);
	verify(taken, job->attempt);
	return true;
}

/* Take and read up to max jobs; *taken_any: some were taken, read or not. */
static int
claim_some(const char *worker, int64 length, const uint64 *only_type, PadlockJob *jobs, int max,
		   bool *taken_any)
{
	Taken	   *taken = palloc_array(Taken, max);
	int			count = take(worker, length, only_type, taken, max);
	int			read = 0;
	QueueReader reader;

	*taken_any = count > 0;
	if (count > 0)
	{
		queue_reader_open(&reader);
		for (int i = 0; i < count; i++)
			if (read_taken(&reader, &taken[i], &jobs[read]))
				read++;
		queue_reader_close(&reader);
	}
	pfree(taken);
	return read;
}

/* Claim up to max jobs; see the header for the rest. */
static int
claim(const char *worker, int64 lease_ms, const uint64 *only_type, PadlockJob *jobs, int max)
{
	int			count = 0;
	bool		scanned;

	padlock_require_preload("claiming a job");
	PreventCommandDuringRecovery("claiming a job");
	PreventCommandIfReadOnly("claiming a job");
	queue_read_types();
	scanned = queue_scan_if_wanted(false);
	queue_reap();
	while (count < max)
	{
		bool		taken_any;

		CHECK_FOR_INTERRUPTS();
		count += claim_some(worker, lease_ms * 1000, only_type, jobs + count, max - count,
							&taken_any);
		if (taken_any)
			continue;
		if (count > 0 || only_type != NULL)
			break;
		if (queue_wait_for_scan())
			continue;
		if (scanned || !queue_scan_if_wanted(true))
			break;
		scanned = true;
	}
	if (scanned && queue_has_ready())
		queue_wake_one();
	return count;
}

bool
padlock_queue_claim(const char *worker_id, int64 lease_ms, PadlockJob *job)
{
	return claim(worker_id, lease_ms, NULL, job, 1) == 1;
}

int
padlock_queue_claim_ahead(const char *worker_id, int64 lease_ms, const char *type,
						  PadlockJob *jobs, int max)
{
	uint64		hash = queue_hash_text(type);

	return claim(worker_id, lease_ms, &hash, jobs, max);
}

int
queue_claim_many(const char *worker_id, int64 lease_ms, PadlockJob *jobs, int max)
{
	return claim(worker_id, lease_ms, NULL, jobs, max);
}

bool
queue_peek(pg_uuid_t *id, int *attempts)
{
	QueueHead  *head = queue_my_head();
	QueueItem  *item;

	PreventCommandDuringRecovery("job_worker()");
	queue_read_types();
	(void) queue_scan_if_wanted(true);
	queue_reap();
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	item = queue_next(head, NULL, true);
	if (item != NULL)
	{
		*id = item->key.id;
		*attempts = item->job.attempts;
		if (!queue_place(head, item))
			queue_delete(head, item);
	}
	LWLockRelease(padlock_queue->lock);
	return item != NULL;
}

/*
 * The lease of an attempt that this transaction has not ended, or NULL.  The
 * lock is held when this returns.
 */
static QueueLease *
lock_lease(const pg_uuid_t *id, int attempt, QueueItem **item)
{
	QueueKey	key;

	padlock_require_preload("job leases");
	queue_my_key(&key, id);
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	*item = queue_find(&key);
	if (*item == NULL || (*item)->lease < 0 || (*item)->job.attempts != attempt ||
		queue_xact_has_ended(*item))
		return NULL;
	return queue_lease_of(*item);
}

bool
padlock_queue_begin(const PadlockJob *job, int64 lease_ms)
{
	QueueItem  *item;
	QueueLease *lease = lock_lease(&job->id, job->attempt, &item);
	bool		ours = lease != NULL && lease->owner == MyProcPid && !lease->started;

	if (ours)
	{
		lease->started = true;
		queue_lease_set_start(lease, GetCurrentTimestamp());
		queue_lease_set_deadline(queue_head(MyDatabaseId), lease,
								 padlock_boot_clock() + lease_ms * 1000);
	}
	LWLockRelease(padlock_queue->lock);
	return ours;
}

void
padlock_queue_give_back(const PadlockJob *job)
{
	QueueItem  *item;
	QueueHead  *head = queue_my_head();
	QueueLease *lease = lock_lease(&job->id, job->attempt, &item);

	/* when it came too late, another has the claim, with the same number */
	if (lease != NULL && lease->owner == MyProcPid && !lease->started &&
		item->holder.backendId == InvalidBackendId)
	{
		queue_lease_free(head, item);
		item->job.attempts--;
		if (!queue_place(head, item))
			queue_delete(head, item);
	}
	LWLockRelease(padlock_queue->lock);
	padlock_queue_set_latches(PADLOCK_QUEUE_CONSUMER);
}

bool
padlock_queue_extend(const pg_uuid_t *id, int attempt, int64 lease_ms)
{
	QueueItem  *item;
	QueueLease *lease = lock_lease(id, attempt, &item);

	if (lease != NULL)
		queue_lease_set_deadline(queue_head(MyDatabaseId), lease,
								 padlock_boot_clock() + lease_ms * 1000);
	LWLockRelease(padlock_queue->lock);
	return lease != NULL;
}

bool
queue_has_ready(void)
{
	QueueHead  *head = queue_my_head();
	bool		ready;

	LWLockAcquire(padlock_queue->lock, LW_SHARED);
	ready = head->ready.count > 0;
	LWLockRelease(padlock_queue->lock);
	return ready;
}

TimestampTz
padlock_queue_next_due(void)
{
	QueueHead  *head = queue_my_head();
	TimestampTz due;

	LWLockAcquire(padlock_queue->lock, LW_SHARED);
	due = queue_next_due(head);
	LWLockRelease(padlock_queue->lock);
	return due;
}

/*
 * before_shmem_exit callback of a background worker: its leases end now.  The
 * next claim says so in the jobs' outcomes.
 */
static void
end_leases(int code, Datum arg)
{
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	for (int i = 0; i < padlock_queue_max_leases; i++)
	{
		QueueLease *lease = &padlock_queue_leases[i];

		if (!lease->in_use || lease->owner != MyProcPid)
			continue;
		lease->owner = 0;
		queue_lease_set_deadline(queue_head(MyDatabaseId), lease, 0);
	}
	LWLockRelease(padlock_queue->lock);
	padlock_queue_set_latches(PADLOCK_QUEUE_CONSUMER);
}

void
padlock_queue_attach_consumer(void)
{
	padlock_queue_register(PADLOCK_QUEUE_CONSUMER);
	is_worker = true;
	(void) queue_my_head();
	before_shmem_exit(end_leases, (Datum) 0);
	before_shmem_exit(queue_leave_consumers, (Datum) 0);
}
