/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  A worker's process: claim a job, have its handler do it, end it.
 *
 * A claim writes nothing (queue/claim.c), and a job takes at least one short
 * transaction that ends it, with none open while a helper program works
 * (job.h).  The claim is a lease
 * of LEASE_MS that is put off while the worker lives and cares; another
 * worker takes the job when it ends.  attempt is the fencing token: whoever
 * lost the claim cannot end the job, and its data rolls back with the
 * refused completion.
 *
 * Jobs of a registered type (sql_handler.c) are often done in less time than
 * a commit takes to reach the disk.  So when one was quick, the worker claims
 * more of that type that are next in turn, does each in its own transaction,
 * commits without waiting for the disk, and waits once for all of them.  A
 * crash before that takes back jobs and their data together, and whoever waits
 * in job_worker() is told after it only.  Jobs that were claimed and not begun
 * go to others after a moment (queue/claim.c).
 *
 * An idle worker sleeps until the next job is due or its latch is set by the
 * commit of a new one (padlock_queue_rest()); then it claims before it does
 * anything else, in one short transaction that finds in shared memory whether
 * there is a job.  It looks by itself every minute for what no latch told, and
 * writes nothing when idle.  What else there is to see to is done between jobs
 * and at these looks.  The first worker of a database also writes when API keys were last used, every
 * ten seconds, in a job's pauses too.
 *
 * A failed job is reported in a transaction of its own, after everything of
 * the attempt was rolled back.  An error outside a job ends the process with
 * status 1; the launcher starts it again after a while.  When the database
 * has no padlock (any more) it ends with status 0.
 *
 * Locking contract: see state.c for its place in shared memory; it holds no
 * lock of any kind while it waits.
 *
 * Crash contract: a killed worker takes the server's other sessions with it,
 * as any process attached to shared memory, which is why it neither parses
 * nor waits on the network itself.  Its job is claimed again after the lease.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "portability/instr_time.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "accounts/accounts.h"
#include "audit/audit.h"
#include "core/install.h"
#include "core/spi.h"
#include "documents/documents.h"
#include "documents/place.h"
#include "identity/api_key_use.h"
#include "queue/queue.h"
#include "search/query_log.h"
#include "search/search.h"
#include "worker/helper.h"
#include "worker/job.h"
#include "worker/key_service.h"
#include "worker/process.h"
#include "worker/state.h"

#define LEASE_MS			60000
#define HEARTBEAT_MS		15000	/* a quarter: two may fail to be in time */
#define IDLE_MS				60000
#define SEARCH_RETRY_MS		10000	/* after a merge of the search index failed */
#define POLL_MS				5000	/* a due job that could not be claimed */
#define HEALTHY_MS			60000	/* a life after which failures are forgotten */
#define MAX_ERROR_BYTES		1000
#define MAINTENANCE_MS		(24 * 60 * 60 * 1000)
#define MAINTENANCE_RETRY_MS (60 * 60 * 1000)
#define MAINTENANCE_LOCK_TIMEOUT "200ms"
#define PARTITION_MONTHS	3
#define QUEUE_CARE_MS		(60 * 1000)	/* padlock_queue_maintain() */
#define CHORES_MS			1000	/* do_chores(), while there are jobs */
#define QUICK_USECS			5000	/* a job that takes less is quick */
#define BATCH_USECS			20000	/* what a batch should take in all */
#define BATCH_LATE_USECS	100000	/* when it takes longer, the rest is given back */
#define BATCH_MAX			64

static const PadlockJobType *const job_types[] = {
	&padlock_job_pdf_extraction,
	&padlock_job_document_seal,
	&padlock_job_document_reseal,
	&padlock_job_ai_crawl,
	&padlock_job_product_refresh,
	&padlock_job_email_notification,
	&padlock_job_keyring,
	&padlock_job_document_store,
	&padlock_job_document_fetch,
	&padlock_job_document_erase,
};

/* This process's place in shared memory, and since when it is there. */
static PadlockWorker *place;
static TimestampTz attached_at;

/* The job at hand; NULL when idle. */
static const PadlockJob *current_job;
static TimestampTz lease_extended_at;

/* When this process last wrote the uses of API keys. */
static TimestampTz uses_flushed_at;

/* Likewise the counts of searches. */
static TimestampTz searches_flushed_at;

/* When do_chores() did them last, and after how long an idle worker does again. */
static TimestampTz chores_done_at;
static long chores_wait_ms;

PGDLLEXPORT void padlock_worker_main(Datum main_arg);

/* Exit callback: leave the place, tell the launcher and who waits for it. */
static void
detach(int code, Datum arg)
{
	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	if (TimestampDifferenceExceeds(attached_at, GetCurrentTimestamp(), HEALTHY_MS))
		place->failures = 0;
	padlock_worker_rest(place, code != 0);
	if (padlock_workers->launcher != NULL)
		SetLatch(padlock_workers->launcher);
	LWLockRelease(padlock_workers->lock);
	ConditionVariableBroadcast(&padlock_workers->stopped);
}

/*
 * Take the place that the launcher chose.  False when the start was made
 * void meanwhile: the database is held, or the launcher is a new one.
 */
static bool
attach(Datum main_arg, Oid *database)
{
	uint32		index = (uint32) (DatumGetInt64(main_arg) & 0xffffffff);
	uint32		generation = (uint32) (DatumGetInt64(main_arg) >> 32);
	bool		valid;

	if (padlock_workers == NULL || index >= padlock_workers->worker_places)
		return false;
	place = &padlock_workers->workers[index];
	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	valid = place->generation == generation && place->state == PADLOCK_WORKER_STARTING;
	if (valid)
	{
		attached_at = GetCurrentTimestamp();
		place->state = PADLOCK_WORKER_IDLE;
		place->pid = MyProcPid;
		place->since = attached_at;
		*database = place->database;
	}
	LWLockRelease(padlock_workers->lock);
	return valid;
}

/* Show in worker_status() and pg_stat_activity what is being done. */
static void
show_job(const PadlockJob *job)
{
	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	place->state = job ? PADLOCK_WORKER_BUSY : PADLOCK_WORKER_IDLE;
	place->since = GetCurrentTimestamp();
	if (job != NULL)
	{
		place->job_id = job->id;
		strlcpy(place->job_type, job->type,
				pg_mbcliplen(job->type, strlen(job->type), sizeof(place->job_type) - 1) + 1);
	}
	LWLockRelease(padlock_workers->lock);

	if (job == NULL)
		pgstat_report_activity(STATE_IDLE, NULL);
	else
	{
		char	   *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&job->id)));

		pgstat_report_activity(STATE_RUNNING, psprintf("padlock: %s %s", job->type, id));
	}
}

/* Settings that neither a database nor a role may bend for a worker. */
static void
pin_settings(void)
{
	static const char *const pinned[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"client_encoding", "UTF8"},	/* what helpers send, see helper.c */
		{"lock_timeout", "10s"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"session_replication_role", "origin"},
		{"jit", "off"},			/* no statement here is worth compiling */
		{"application_name", "padlock worker"},
	};

	for (int i = 0; i < lengthof(pinned); i++)
		SetConfigOption(pinned[i][0], pinned[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* Is padlock installed in this database? */
static bool
is_installed(void)
{
	MemoryContext context = CurrentMemoryContext;
	bool		installed;

	StartTransactionCommand();
	installed = padlock_is_installed();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return installed;
}

/* How often this database was announced. */
static uint32
count_announcements(void)
{
	PadlockDatabase *database;
	uint32		count;

	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	database = padlock_worker_database(MyDatabaseId);
	count = database ? database->announcements : 0;
	LWLockRelease(padlock_workers->lock);
	return count;
}

/*
 * Tell the launcher whether this database has padlock, unless it was
 * announced since the count was taken: what we saw is old then.
 */
static void
tell_presence(PadlockPresence presence, uint32 announcements)
{
	PadlockDatabase *database;

	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	database = padlock_worker_database(MyDatabaseId);
	if (database != NULL && database->announcements == announcements)
		database->presence = presence;
	LWLockRelease(padlock_workers->lock);
	padlock_worker_wake_launcher();
}

/* End this process when the database has no padlock (any more). */
static void
leave_unless_installed(void)
{
	uint32		announcements = count_announcements();

	if (is_installed())
		return;
	tell_presence(PADLOCK_ABSENT, announcements);
	proc_exit(0);
}

/*
 * Have the tables been made whole?  A restore brings the jobs long before the
 * last index, trigger and policy, and nothing may run meanwhile.
 */
static bool
is_ready(void)
{
	static bool ready = false;
	static bool told = false;
	MemoryContext context = CurrentMemoryContext;

	if (ready)
		return true;
	StartTransactionCommand();
	ready = padlock_is_installed_whole();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	if (!ready && !told)
	{
		told = true;
		ereport(LOG,
				(errmsg("padlock: jobs of this database wait for the end of a restore"),
				 errhint("If none is under way, run SELECT padlock.install().")));
	}
	return ready;
}

/*
 * Begin a transaction that claims.  It has no limit of time: after a start, it
 * may have to look through all jobs that wait, and would find none otherwise.
 * The process ends here when the database has no padlock any more.
 */
static void
begin_claim(void)
{
	while (!padlock_worker_try_begin())
		leave_unless_installed();
	disable_timeout(STATEMENT_TIMEOUT, false);
}

/* Claim a job; else say in *due when to look again. */
static bool
claim(const char *worker_id, PadlockJob *job, TimestampTz *due)
{
	bool		claimed;

	begin_claim();
	claimed = padlock_queue_claim(worker_id, LEASE_MS, job);
	padlock_worker_commit();
	if (!claimed)
		*due = padlock_queue_next_due();
	lease_extended_at = GetCurrentTimestamp();
	return claimed;
}

void
padlock_worker_hold_job(int64 lease_ms)
{
	if (!padlock_queue_extend(&current_job->id, current_job->attempt, lease_ms))
		ereport(ERROR,
				(errcode(PADLOCK_ERRCODE_CLAIM_LOST),
				 errmsg("the claim of the job was lost")));
	lease_extended_at = GetCurrentTimestamp();
}

void
padlock_worker_begin_claimed(void)
{
	padlock_worker_begin();
	padlock_worker_hold_job(LEASE_MS);
}

/* Write the uses of API keys, when it is time; the database's first worker does. */
static void
flush_key_uses(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (place->ordinal != 0 ||
		!TimestampDifferenceExceeds(uses_flushed_at, now, PADLOCK_API_KEY_FLUSH_MS))
		return;
	uses_flushed_at = now;
	padlock_api_key_flush_last_used();
}

/* Write the counts of searches, when it is time; the database's first worker does. */
static void
flush_searches(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (place->ordinal != 0 ||
		!TimestampDifferenceExceeds(searches_flushed_at, now, PADLOCK_SEARCH_LOG_FLUSH_MS))
		return;
	searches_flushed_at = now;
	padlock_search_log_flush();
}

void
padlock_worker_heartbeat(void)
{
	flush_key_uses();
	flush_searches();
	if (current_job == NULL ||
		!TimestampDifferenceExceeds(lease_extended_at, GetCurrentTimestamp(), HEARTBEAT_MS))
		return;
	padlock_worker_hold_job(LEASE_MS);
}

/* One of padlock's own types, or NULL. */
static const PadlockJobType *
find_builtin(const char *name)
{
	for (int i = 0; i < lengthof(job_types); i++)
		if (strcmp(job_types[i]->name, name) == 0)
			return job_types[i];
	return NULL;
}

bool
padlock_job_type_is_builtin(const char *name)
{
	return find_builtin(name) != NULL;
}

/*
 * Commit without waiting for the disk, if the wait is made up for later: by
 * flush_commits().  Synchronous replication is waited for each time.
 */
static void
commit_job(bool wait)
{
	int			setting = synchronous_commit;

	if (!wait && (SyncRepStandbyNames == NULL || SyncRepStandbyNames[0] == '\0'))
		synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	padlock_worker_commit();
	synchronous_commit = setting;
}

/* Wait until what was committed without waiting is on disk; tell who waits. */
static void
flush_commits(void)
{
	if (!XLogRecPtrIsInvalid(XactLastCommitEnd) && synchronous_commit != SYNCHRONOUS_COMMIT_OFF)
		XLogFlush(XactLastCommitEnd);
	padlock_queue_announce_end();
}

/*
 * Run the job's handler and end the job in the transaction it leaves; of a
 * registered type, the commit may be left to flush_commits().
 */
static void
do_job(const PadlockJob *job, bool wait)
{
	const PadlockJobType *type = find_builtin(job->type);
	Jsonb	   *result;

	if (type == NULL)
		type = &padlock_job_registered;
	result = type->run(job);
	if (!padlock_queue_complete(&job->id, job->attempt, result))
		ereport(ERROR,
				(errcode(PADLOCK_ERRCODE_CLAIM_LOST),
				 errmsg("the claim of the job was lost")));
	commit_job(wait);
}

ErrorData *
padlock_worker_recover(MemoryContext context)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	padlock_worker_abort();
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	pgstat_report_wait_end();
	padlock_helpers_settle();
	RESUME_INTERRUPTS();
	return error;
}

/*
 * Report a failed attempt.  The server's log gets the fact and the state
 * only: a message may quote a URL, and a URL may be signed.
 */
static void
report_failure(const PadlockJob *job, ErrorData *error)
{
	const PadlockJobType *type = find_builtin(job->type);
	bool		permanent = error->sqlerrcode == PADLOCK_ERRCODE_REFUSED;
	bool		final = permanent || job->attempt >= job->max_attempts;
	char	   *message = pnstrdup(error->message,
								   pg_mbcliplen(error->message, strlen(error->message),
												MAX_ERROR_BYTES));
	bool		reported;

	padlock_worker_begin();
	reported = padlock_queue_fail(&job->id, job->attempt, message, permanent);
	if (reported && type != NULL && type->failed != NULL)
		type->failed(job, message, final);
	padlock_worker_commit();

	if (reported)
		ereport(LOG,
				(errmsg("padlock: attempt %d of %d at a job of type \"%s\" failed (%s)",
						job->attempt, job->max_attempts, job->type,
						unpack_sql_state(error->sqlerrcode)),
				 errdetail("The reason stands in job_queue.error_message of job %s.",
						   DatumGetCString(DirectFunctionCall1(uuid_out,
															   UUIDPGetDatum(&job->id))))));
}

/* Do a claimed job, whatever comes of it; wait as in do_job(). */
static void
process(const PadlockJob *job, bool wait)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	current_job = job;
	padlock_queue_set_current(job);
	show_job(job);
	PG_TRY();
	{
		do_job(job, wait);
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();
	current_job = NULL;
	padlock_queue_set_current(NULL);

	if (error != NULL && error->sqlerrcode == PADLOCK_ERRCODE_CLAIM_LOST)
		ereport(LOG, (errmsg("padlock: gave up a job of type \"%s\" whose claim was lost: cancelled, changed, or claimed by another",
							 job->type)));
	if (error != NULL)
	{
		if (!is_installed())
			return;
		/* a handler that had ended its own job has still got it */
		report_failure(job, error);
	}
	if (wait)
		padlock_queue_announce_end();
	show_job(NULL);
}

/* Do jobs that were claimed ahead; those that come too late are given back. */
static void
process_ahead(const PadlockJob *jobs, int count, instr_time claimed_at)
{
	bool		late = false;

	for (int i = 0; i < count; i++)
	{
		instr_time	now;

		CHECK_FOR_INTERRUPTS();
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, claimed_at);
		late = late || INSTR_TIME_GET_MICROSEC(now) > BATCH_LATE_USECS;
		if (late)
			padlock_queue_give_back(&jobs[i]);
		else if (padlock_queue_begin(&jobs[i], LEASE_MS))
		{
			lease_extended_at = GetCurrentTimestamp();
			process(&jobs[i], false);
		}
	}
}

/* Claim more jobs of a type and do them; returns how many were claimed. */
static int
process_more(const char *worker_id, const char *type, int max)
{
	PadlockJob	jobs[BATCH_MAX];
	instr_time	claimed_at;
	int			count;

	INSTR_TIME_SET_CURRENT(claimed_at);
	begin_claim();
	count = padlock_queue_claim_ahead(worker_id, LEASE_MS, type, jobs, max);
	padlock_worker_commit();
	process_ahead(jobs, count, claimed_at);
	return count;
}

/*
 * Do a job of a registered type and, as long as they are quick, more of that
 * type that are next in turn.
 */
static void
process_quick(const char *worker_id, const PadlockJob *job)
{
	int			done = 1;
	instr_time	began;
	instr_time	now;

	INSTR_TIME_SET_CURRENT(began);
	process(job, false);
	for (;;)
	{
		int			count;
		int64		each;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, began);
		each = Max(INSTR_TIME_GET_MICROSEC(now) / done, 1);
		if (each > QUICK_USECS || INSTR_TIME_GET_MICROSEC(now) > BATCH_USECS)
			break;
		count = process_more(worker_id, job->type, Min(BATCH_USECS / each, BATCH_MAX));
		if (count == 0)
			break;
		done += count;
	}
	flush_commits();
}

/*
 * Once a day, the database's first worker makes the audit trail's partitions
 * of the coming months, settles documents whose job is gone and deletes sessions
 * and tokens that have ended.  A partition
 * needs a lock that every change to an audited table holds a part of, so it is
 * not waited for: what fails is tried again in an hour.
 */
static void
maintain(MemoryContext context)
{
	static TimestampTz next = 0;
	ErrorData  *volatile error = NULL;

	if (place->ordinal != 0 || GetCurrentTimestamp() < next)
		return;
	next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MAINTENANCE_MS);
	PG_TRY();
	{
		padlock_worker_begin();
		(void) set_config_option("lock_timeout", MAINTENANCE_LOCK_TIMEOUT, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		(void) padlock_audit_create_partitions(PARTITION_MONTHS);
		padlock_documents_settle();
		padlock_content_evict();
		padlock_accounts_clean();
		padlock_worker_commit();
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();
	if (error == NULL)
		return;
	next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MAINTENANCE_RETRY_MS);
	ereport(LOG, (errmsg("padlock: daily maintenance failed and is tried again in an hour: %s",
						 error->message)));
}

/*
 * Every minute, the database's first worker sees to the queue's tables.  What
 * fails, for a lock say, is left to the next time.
 */
static void
care_for_queue(MemoryContext context)
{
	static TimestampTz next = 0;
	ErrorData  *volatile error = NULL;

	if (place->ordinal != 0 || GetCurrentTimestamp() < next)
		return;
	next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), QUEUE_CARE_MS);
	PG_TRY();
	{
		padlock_worker_begin();
		(void) set_config_option("lock_timeout", MAINTENANCE_LOCK_TIMEOUT, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		padlock_queue_maintain();
		padlock_worker_commit();
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();
	if (error != NULL)
		ereport(LOG, (errmsg("padlock: care for the job tables failed and is tried again: %s",
							 error->message)));
}

/*
 * Seal what is new in the audit trail: every padlock.audit_seal_interval, by
 * whichever worker comes first.  What fails is left to the next time.
 */
static void
seal_audit(MemoryContext context)
{
	static TimestampTz next = 0;
	ErrorData  *volatile error = NULL;
	PadlockSealRun run = {0};
	volatile bool more = true;

	if (padlock_audit_seal_interval == 0 || GetCurrentTimestamp() < next)
		return;
	next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), padlock_audit_seal_interval * 1000);
	PG_TRY();
	{
		while (more)
		{
			CHECK_FOR_INTERRUPTS();
			padlock_worker_begin();
			more = padlock_audit_seal_due(&run);
			padlock_worker_commit();
			MemoryContextReset(context);
		}
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();
	if (error != NULL)
		ereport(LOG, (errmsg("padlock: the audit trail could not be sealed: %s",
							 error->message)));
}

/* How long to sleep, in milliseconds, when the next job is due at `due`. */
static long
idle_time(TimestampTz due)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz chores_due = TimestampTzPlusMilliseconds(chores_done_at, chores_wait_ms);
	long		longest = place->ordinal == 0 ? PADLOCK_API_KEY_FLUSH_MS : IDLE_MS;

	if (padlock_audit_seal_interval > 0)
		longest = Min(longest, padlock_audit_seal_interval * 1000L);
	longest = Min(longest, padlock_key_services_wait());
	longest = Min(longest, TimestampDifferenceMilliseconds(now, chores_due) + 1);
	if (due == DT_NOEND)
		return longest;
	if (due <= now)
		return Min(longest, POLL_MS);
	return Min(TimestampDifferenceMilliseconds(now, due) + 1, longest);
}

/*
 * Take changes of products up into the search index, if it is time; returns
 * how long to sleep before that is to be done again.
 */
static long
maintain_search(MemoryContext context)
{
	ErrorData  *volatile error = NULL;
	volatile long wait_ms = SEARCH_RETRY_MS;

	PG_TRY();
	{
		wait_ms = padlock_search_maintain();
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();
	if (error != NULL)
		ereport(LOG, (errmsg("padlock: the search index could not be merged: %s",
							 error->message)));
	return wait_ms;
}

/*
 * Whatever is to be seen to besides jobs, if it is time.  When there is a job,
 * most likely, it does not wait for what was seen to just now.
 */
static void
do_chores(MemoryContext context, bool hurry)
{
	TimestampTz now = GetCurrentTimestamp();

	if (hurry && !TimestampDifferenceExceeds(chores_done_at, now, CHORES_MS))
	{
		chores_wait_ms = CHORES_MS;
		return;
	}
	chores_done_at = now;
	padlock_queue_rise();
	leave_unless_installed();
	flush_key_uses();
	flush_searches();
	MemoryContextSwitchTo(context);
	maintain(context);
	care_for_queue(context);
	seal_audit(context);
	padlock_key_services_tend(context);
	chores_wait_ms = maintain_search(context);
}

/* Do a claimed job. */
static void
do_claimed(const char *worker_id, const PadlockJob *job)
{
	padlock_queue_rise();
	if (find_builtin(job->type) != NULL)
		process(job, true);
	else
	{
		process_quick(worker_id, job);
		if (padlock_sql_handler_leaked())
			proc_exit(0);
	}
}

/*
 * Claim and do one job; returns how long to sleep before the next claim.
 * hurry: there is a job, most likely.
 */
static long
work(const char *worker_id, MemoryContext context, bool hurry)
{
	PadlockJob	job;
	TimestampTz due = DT_NOEND;
	bool		claimed;

	if (!is_ready())
		return POLL_MS;
	do_chores(context, hurry);
	MemoryContextSwitchTo(context);
	padlock_queue_rest();
	claimed = claim(worker_id, &job, &due);
	if (claimed)
		do_claimed(worker_id, &job);
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(context);
	return claimed ? 0 : idle_time(due);
}

/* Connect to the database and become a consumer of its jobs. */
static void
start(Datum main_arg)
{
	Oid			database = InvalidOid;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!attach(main_arg, &database))
		proc_exit(0);

	/*
	 * Before connecting, so that it runs after the process left the list of
	 * those who keep DROP DATABASE waiting.
	 */
	on_shmem_exit(detach, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pin_settings();
	leave_unless_installed();
	tell_presence(PADLOCK_PRESENT, count_announcements());
	padlock_queue_attach_consumer();
	padlock_helpers_init();
}

/* Entry point of a worker's process. */
void
padlock_worker_main(Datum main_arg)
{
	MemoryContext context;
	char		worker_id[64];
	bool		hurry = false;

	start(main_arg);
	snprintf(worker_id, sizeof(worker_id), "padlock worker %d, pid %d",
			 place->ordinal + 1, MyProcPid);
	context = AllocSetContextCreate(TopMemoryContext, "padlock job", ALLOCSET_DEFAULT_SIZES);
	pgstat_report_activity(STATE_IDLE, NULL);

	for (;;)
	{
		long		wait_ms;

		ResetLatch(MyLatch);
		QueryCancelPending = false; /* it was for a job that has ended */
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		wait_ms = work(worker_id, context, hurry);
		hurry = true;
		if (wait_ms == 0)
			continue;
		pgstat_report_stat(true);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 wait_ms, PG_WAIT_EXTENSION);
		hurry = padlock_queue_is_woken();
	}
}
