/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Finds in the tables what waits: at first use after a start, when the
 *	  ready list runs low and more is known of, and now and then for what
 *	  nothing could tell (COMMIT PREPARED).
 *
 * A job waits when it has no outcome but retries.  Jobs below a generation's
 * settled_below have all ended (retention.c), so a scan reads what is recent
 * only.  Types and queue keys of which enough is parked already are left out,
 * so that a paused type's backlog hides nothing behind it.
 *
 * What a scan finds may have been claimed and ended before it is put into the
 * list, so it is marked, and a claim looks at the outcomes again (claim.c).
 * What finds no room while a scan runs is remembered (head->missed), since
 * its snapshot may be older.
 *
 * When memory was too small for all that is due, everything of the bound's
 * rank and behind is in the tables only.  What comes next is then, most often,
 * of the same priority, so a scan first reads a window of the following seqs;
 * only when that yields little does it read everything again.  So a backlog
 * is read in pieces, at a cost in proportion to what is claimed of it.
 *
 * One process scans a database at a time; the others go on with what is there,
 * and wait for it when nothing is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "core/boot.h"
#include "core/spi.h"
#include "queue/jobs.h"

#define FEED_CHUNK	500
#define SCAN_WAIT_MS 2000	/* for another's scan */

/* A job found, with its key. */
typedef struct Found
{
	pg_uuid_t	id;
	QueueJob	job;
} Found;

/* What one scan found, and what it left in the tables. */
typedef struct QueueScan
{
	Found	   *found;
	int			count;
	int			room;
	QueueBound	bound;
	TimestampTz later;
	TimestampTz now;
	bool		windowed;		/* of one priority, from the bound to window_end */
	QueueRank	from;
	int64		window_end;
	Datum		types;			/* bigint[] of hashes to leave out */
	Datum		keys;
} QueueScan;

/*
 * $1 the lowest seq, $2 now, $3 and $4 limits, $5 and $6 hashes to leave out;
 * of a window, $7 its end and $8 the priority.
 */
static const char waiting_query[] =
"WITH waiting AS MATERIALIZED ("
"SELECT j.ctid, j.seq, j.id, hashtextextended(j.job_type, 0) AS type_hash,"
" hashtextextended(j.queue, 0) AS queue_hash, j.priority, j.max_attempts,"
" COALESCE(r.attempt, 0) AS attempt,"
" CASE WHEN r.attempt IS NULL THEN j.run_at ELSE r.next_retry_at END AS due"
" FROM ONLY padlock.%1$s j"
" LEFT JOIN (SELECT DISTINCT ON (o.job_seq) o.job_seq, o.attempt, o.next_retry_at"
" FROM ONLY padlock.%2$s o WHERE o.job_seq >= $1 AND o.kind = 'retry'"
" ORDER BY o.job_seq, o.attempt DESC) r ON r.job_seq = j.seq"
" WHERE j.seq >= $1 AND NOT EXISTS (SELECT FROM ONLY padlock.%2$s f"
" WHERE f.job_seq = j.seq AND f.job_seq >= $1%4$s AND f.kind <> 'retry')"
" AND hashtextextended(j.job_type, 0) <> ALL ($5)"
" AND (j.queue IS NULL OR hashtextextended(j.queue, 0) <> ALL ($6))%3$s)"
" (SELECT * FROM waiting WHERE due IS NULL OR due <= $2 ORDER BY priority DESC, seq LIMIT $3)"
" UNION ALL"
" (SELECT * FROM waiting WHERE due > $2 ORDER BY due LIMIT $4)";

static Datum
result_column(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* Read one row of waiting_query. */
static void
read_found(uint64 row, int generation, Found *found)
{
	bool		isnull;
	QueueJob   *job = &found->job;

	memset(job, 0, sizeof(*job));
	job->row = *QueueDatumGetItemPointer(result_column(row, 1, &isnull));
	job->seq = DatumGetInt64(result_column(row, 2, &isnull));
	found->id = *DatumGetUUIDP(result_column(row, 3, &isnull));
	job->type_hash = Max((uint64) DatumGetInt64(result_column(row, 4, &isnull)), 1);
	job->queue_hash = (uint64) DatumGetInt64(result_column(row, 5, &isnull));
	job->queue_hash = isnull ? 0 : Max(job->queue_hash, 1);
	job->priority = DatumGetInt32(result_column(row, 6, &isnull));
	job->max_attempts = DatumGetInt32(result_column(row, 7, &isnull));
	job->attempts = DatumGetInt32(result_column(row, 8, &isnull));
	job->retry = job->attempts > 0;
	job->due = DatumGetTimestampTz(result_column(row, 9, &isnull));
	if (isnull)
		job->due = 0;
	job->generation = generation;
	job->unverified = true;
}

/* Note what a limit cut off: everything behind the last row of its kind. */
static void
note_limits(QueueScan *scan, int first, int limit_due, int limit_later)
{
	int			due = 0;
	int			later = 0;

	for (int i = first; i < scan->count; i++)
	{
		const QueueJob *job = &scan->found[i].job;

		if (job->due <= scan->now && ++due == limit_due)
			queue_lower_bound(&scan->bound, job);
		else if (job->due > scan->now && ++later == limit_later)
			scan->later = Min(scan->later, job->due);
	}
}

/* The text of the query for a generation. */
static char *
waiting_sql(const QueueScan *scan, int generation)
{
	char		suffix[16] = "";

	if (generation > 0)
		snprintf(suffix, sizeof(suffix), "_%d", generation);
	return psprintf(waiting_query, psprintf("jobs%s", suffix), psprintf("job_outcomes%s", suffix),
					scan->windowed ? " AND j.seq < $7 AND j.priority = $8" : "",
					scan->windowed ? " AND f.job_seq < $7" : "");
}

/* Make room for as many rows more. */
static void
grow_found(QueueScan *scan, uint64 more)
{
	Size		size = sizeof(Found) * (scan->count + Max(more, 1));

	scan->found = scan->found == NULL ? palloc_extended(size, MCXT_ALLOC_HUGE)
		: repalloc_huge(scan->found, size);
}

/* Scan one generation's tables; SPI is connected, we are the owner. */
static void
scan_generation(QueueScan *scan, int generation, int64 settled_below)
{
	static Oid	types[8] = {INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8ARRAYOID, INT8ARRAYOID,
	INT8OID, INT4OID};
	int			limit_due = Max(scan->room, 100);
	int			limit_later = scan->windowed ? 0 : Max(scan->room / 4, 100);
	int			first = scan->count;
	Datum		values[8];

	values[0] = Int64GetDatum(scan->windowed ? Max(settled_below, scan->from.seq) : settled_below);
	values[1] = TimestampTzGetDatum(scan->now);
	values[2] = Int64GetDatum(limit_due);
	values[3] = Int64GetDatum(limit_later);
	values[4] = scan->types;
	values[5] = scan->keys;
	values[6] = Int64GetDatum(scan->window_end);
	values[7] = Int32GetDatum(scan->from.priority);
	if (SPI_execute_with_args(waiting_sql(scan, generation), scan->windowed ? 8 : 6, types, values,
							  NULL, true, 0) != SPI_OK_SELECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not scan the job queue")));
	grow_found(scan, SPI_processed);
	for (uint64 i = 0; i < SPI_processed; i++)
		read_found(i, generation, &scan->found[scan->count++]);
	note_limits(scan, first, limit_due, limit_later);
	SPI_freetuptable(SPI_tuptable);
}

/* Scan generation 0 and all others that may hold something that waits. */
static void
scan_generations(QueueScan *scan)
{
	SPITupleTable *rows;
	uint64		count;

	scan_generation(scan, 0, 0);
	if (SPI_execute("SELECT generation, settled_below FROM padlock.job_generations ORDER BY 1",
					true, 0) != SPI_OK_SELECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not scan the job queue")));
	rows = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		int			generation = DatumGetInt32(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		int64		settled = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (settled != PG_INT64_MAX)
			scan_generation(scan, generation, settled);
	}
}

/* The hashes of the groups of a kind that have enough parked. */
static Datum
crowded_groups(QueueGroupKind kind)
{
	int			max = padlock_queue_max_leases + 1024;
	Datum	   *hashes = palloc_extended(max * sizeof(Datum), MCXT_ALLOC_HUGE);
	int			count = 0;
	HASH_SEQ_STATUS groups;
	QueueGroup *group;

	hash_seq_init(&groups, queue_groups);
	LWLockAcquire(padlock_queue->lock, LW_SHARED);
	while ((group = hash_seq_search(&groups)) != NULL)
		if (group->key.database == MyDatabaseId && group->key.kind == kind && group->bound.set &&
			group->parked.count > 0 && count < max)
			hashes[count++] = Int64GetDatum((int64) group->key.hash);
	LWLockRelease(padlock_queue->lock);
	return PointerGetDatum(construct_array(hashes, count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Put what was found into the list. */
static void
feed_found(QueueScan *scan, QueueHead *head)
{
	int			next = 0;

	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	head->bound = scan->bound;
	if (head->missed.set)
	{
		QueueJob	missed = {.seq = head->missed.rank.seq, .priority = head->missed.rank.priority};

		queue_lower_bound(&head->bound, &missed);
	}
	head->later = Min(head->later, scan->later);
	/* a window that yields little is not worth another, but where a job is put out anew */
	head->windowed = scan->bound.set && (head->missed.set || !scan->windowed || scan->count > scan->room / 4);
	head->low = Max(scan->count / 4, 100);
	while (next < scan->count)
	{
		int			end = Min(next + FEED_CHUNK, scan->count);

		for (; next < end; next++)
		{
			QueueKey	key = {MyDatabaseId, scan->found[next].id};

			(void) queue_feed(head, &key, &scan->found[next].job);
		}
		LWLockRelease(padlock_queue->lock);
		LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	}
	head->loaded = true;
	head->scanned_at = padlock_boot_clock();
	LWLockRelease(padlock_queue->lock);
}

/* Become the database's scanner; false when there is one or no scan is wanted. */
static bool
begin_scan(QueueHead *head, bool found_nothing, QueueScan *scan)
{
	bool		wanted;

	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	wanted = queue_wants_scan(head, found_nothing);
	if (wanted)
	{
		scan->windowed = head->windowed && head->bound.set && head->loaded && !head->stale &&
			head->later > GetCurrentTimestamp();
		scan->from = head->bound.rank;
		head->scanner = MyProcPid;
		head->missed.set = false;
		if (!scan->windowed)
		{
			head->stale = false;
			head->later = DT_NOEND;
		}
		scan->room = (padlock_queue_max_jobs - padlock_queue->waiting - head->waiting) / 2;
	}
	LWLockRelease(padlock_queue->lock);
	return wanted;
}

/* Scan as the owner, over what is committed now. */
static void
run_scan(QueueScan *scan, QueueHead *head)
{
	PadlockUserContext saved;

	scan->now = GetCurrentTimestamp();
	scan->later = DT_NOEND;
	if (scan->windowed)
	{
		scan->window_end = scan->from.seq + 2 * (int64) Max(scan->room, 100);
		scan->bound.set = true;
		scan->bound.rank.priority = scan->from.priority;
		scan->bound.rank.seq = scan->window_end;
	}
	scan->types = crowded_groups(QUEUE_GROUP_TYPE);
	scan->keys = crowded_groups(QUEUE_GROUP_KEY);
	SPI_connect();
	PushCopiedSnapshot(GetLatestSnapshot());
	GetActiveSnapshot()->curcid = FirstCommandId;	/* our own rows are not committed */
	padlock_become_owner(&saved);
	scan_generations(scan);
	padlock_restore_user(&saved);
	PopActiveSnapshot();
	feed_found(scan, head);
	SPI_finish();
}

/* The scan ended with an error, or with its process: another has to do it. */
static void
scan_failed(int code, Datum arg)
{
	QueueHead  *head = (QueueHead *) DatumGetPointer(arg);

	head->stale = true;
	head->scanner = 0;
	ConditionVariableBroadcast(&head->scanned);
}

bool
queue_scan_if_wanted(bool found_nothing)
{
	QueueHead  *head = queue_my_head();
	QueueScan		scan = {0};

	if (!queue_wants_scan(head, found_nothing) || !begin_scan(head, found_nothing, &scan))
		return false;
	PG_ENSURE_ERROR_CLEANUP(scan_failed, PointerGetDatum(head));
	{
		run_scan(&scan, head);
	}
	PG_END_ENSURE_ERROR_CLEANUP(scan_failed, PointerGetDatum(head));
	head->scanner = 0;
	ConditionVariableBroadcast(&head->scanned);
	return true;
}

/* Wait for another's scan; false when there is none, or after a while. */
bool
queue_wait_for_scan(void)
{
	QueueHead  *head = queue_my_head();
	bool		waited = false;

	ConditionVariablePrepareToSleep(&head->scanned);
	while (head->scanner != 0)
	{
		waited = true;
		if (ConditionVariableTimedSleep(&head->scanned, SCAN_WAIT_MS, PG_WAIT_EXTENSION))
		{
			waited = false;
			break;
		}
	}
	ConditionVariableCancelSleep();
	return waited;
}

/* Count again how many of each configured type run; the lock is held. */
static void
count_running(void)
{
	for (int i = 0; i < padlock_queue_max_leases; i++)
	{
		QueueLease *lease = &padlock_queue_leases[i];
		QueueGroup *group;

		if (!lease->in_use || lease->noticed || lease->key.database != MyDatabaseId)
			continue;
		group = queue_find_group(MyDatabaseId, QUEUE_GROUP_TYPE, lease->job.type_hash);
		if (group != NULL)
			group->running++;
	}
}

/* Forget what was known of types; the lock is held. */
static void
reset_types(void)
{
	HASH_SEQ_STATUS groups;
	QueueGroup *group;

	hash_seq_init(&groups, queue_groups);
	while ((group = hash_seq_search(&groups)) != NULL)
		if (group->key.database == MyDatabaseId && group->key.kind == QUEUE_GROUP_TYPE)
		{
			group->configured = group->paused = group->external = false;
			group->next_external = NULL;
			group->running = 0;
			group->max_running = group->max_running_per_queue = 0;
			group->retry_base = group->retry_cap = -1;
		}
}

/* Put back what the new settings do not keep from starting; the lock is held. */
static void
free_all_parked(QueueHead *head)
{
	HASH_SEQ_STATUS groups;
	QueueGroup *group;

	hash_seq_init(&groups, queue_groups);
	while ((group = hash_seq_search(&groups)) != NULL)
		if (group->key.database == MyDatabaseId && !group->paused && !group->external)
			queue_free_parked(head, group);
}

/* One type's settings as read from its row. */
typedef struct TypeRow
{
	uint64		hash;
	bool		paused;
	bool		external;
	int			values[4];		/* max_running, _per_queue, base, cap */
} TypeRow;

static const char types_query[] =
"SELECT job_type, paused, external, COALESCE(max_running, 0), COALESCE(max_running_per_queue, 0),"
" COALESCE((EXTRACT(epoch FROM retry_base) * 1000)::integer, -1),"
" COALESCE((EXTRACT(epoch FROM retry_cap) * 1000)::integer, -1) FROM padlock.job_types";

/* Read job_types; SPI is connected. */
static TypeRow *
read_type_rows(int *count)
{
	TypeRow    *rows;

	if (SPI_execute(types_query, true, 0) != SPI_OK_SELECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not read padlock.job_types")));
	*count = (int) SPI_processed;
	rows = palloc_array(TypeRow, Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		bool		isnull;

		rows[i].hash = queue_hash_text(TextDatumGetCString(result_column(i, 1, &isnull)));
		rows[i].paused = DatumGetBool(result_column(i, 2, &isnull));
		rows[i].external = DatumGetBool(result_column(i, 3, &isnull));
		for (int k = 0; k < 4; k++)
			rows[i].values[k] = DatumGetInt32(result_column(i, 4 + k, &isnull));
	}
	return rows;
}

/* The generation that new jobs belong to; SPI is connected. */
static int
read_generation(void)
{
	bool		isnull;
	int			generation;

	if (SPI_execute("SELECT COALESCE(max(generation), 0) FROM padlock.job_generations", true, 1) != SPI_OK_SELECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not read padlock.job_generations")));
	generation = DatumGetInt32(result_column(0, 1, &isnull));
	return generation;
}

/* Put what was read into shared memory. */
static void
apply_types(QueueHead *head, const TypeRow *rows, int count, int generation, uint32 version)
{
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	reset_types();
	head->externals = NULL;
	for (int i = 0; i < count; i++)
	{
		QueueGroup *group = queue_make_group(MyDatabaseId, QUEUE_GROUP_TYPE, rows[i].hash);

		if (group == NULL)
			break;				/* no room: the type has no limits */
		group->configured = true;
		group->paused = rows[i].paused;
		group->external = rows[i].external;
		if (group->external)
		{
			group->next_external = head->externals;
			head->externals = group;
		}
		group->max_running = rows[i].values[0];
		group->max_running_per_queue = rows[i].values[1];
		group->retry_base = rows[i].values[2];
		group->retry_cap = rows[i].values[3];
	}
	count_running();
	free_all_parked(head);
	head->generation = generation;
	head->types_read = version;
	LWLockRelease(padlock_queue->lock);
}

void
queue_read_types(void)
{
	QueueHead  *head = queue_my_head();
	uint32		version = head->types_changed;
	PadlockUserContext saved;
	TypeRow    *rows;
	int			count;
	int			settings;

	if (head->types_read == version)
		return;
	settings = queue_pin_search_path();
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	padlock_become_owner(&saved);
	rows = read_type_rows(&count);
	apply_types(head, rows, count, read_generation(), version);
	padlock_restore_user(&saved);
	PopActiveSnapshot();
	SPI_finish();
	AtEOXact_GUC(false, settings);
}

void
queue_retry_settings(uint64 type_hash, int *base, int *cap)
{
	QueueGroup *group;

	queue_read_types();
	*base = padlock_retry_base;
	*cap = padlock_retry_cap;
	LWLockAcquire(padlock_queue->lock, LW_SHARED);
	group = queue_find_group(MyDatabaseId, QUEUE_GROUP_TYPE, type_hash);
	if (group != NULL && group->retry_base >= 0)
		*base = group->retry_base;
	if (group != NULL && group->retry_cap >= 0)
		*cap = group->retry_cap;
	LWLockRelease(padlock_queue->lock);
}
