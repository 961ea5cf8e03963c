/*-------------------------------------------------------------------------
 *
 * process.c
 *	  A worker at its jobs: claim one, have its handler do it, end it.
 *
 * A claim writes nothing (queue/claim.c), and a job takes at least one short
 * transaction that ends it, with none open while a helper program works
 * (job.h).  The claim is a lease of LEASE_MS that is put off while the worker
 * lives and cares; another worker takes the job when it ends.  attempt is the
 * fencing token: whoever lost the claim cannot end the job, and its data rolls
 * back with the refused completion.
 *
 * Jobs of a registered type (sql_handler.c) are often done in less time than
 * a commit takes to reach the disk.  So when one was quick, the worker claims
 * more of that type that are next in turn, does each in its own transaction,
 * commits without waiting for the disk, and waits once for all of them.  A
 * crash before that takes back jobs and their data together, and whoever waits
 * in job_worker() is told after it only.  Jobs that were claimed and not begun
 * go to others after a moment (queue/claim.c).
 *
 * A failed job is reported in a transaction of its own, after everything of
 * the attempt was rolled back.  One that has to wait for the keyring is put off
 * in the same way; that costs no attempt and is no line in the log.
 *
 * Crash contract: the job of a killed worker is claimed again; its attempt
 * counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "replication/syncrep.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "queue/queue.h"
#include "worker/chores.h"
#include "worker/helper.h"
#include "worker/job.h"
#include "worker/presence.h"
#include "worker/process.h"

#define LEASE_MS			60000
#define HEARTBEAT_MS		15000	/* a quarter: two may fail to be in time */
#define MAX_ERROR_BYTES		1000	/* of each text of an error */
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

/* The job at hand; NULL when idle. */
static const PadlockJob *current_job;
static TimestampTz lease_extended_at;

/*
 * Begin a transaction that claims.  It has no limit of time: after a start, it
 * may have to look through all jobs that wait, and would find none otherwise.
 */
static void
begin_claim(void)
{
	padlock_worker_begin_or_leave();
	disable_timeout(STATEMENT_TIMEOUT, false);
}

bool
padlock_worker_claim(const char *worker_id, PadlockJob *job)
{
	bool		claimed;

	begin_claim();
	claimed = padlock_queue_claim(worker_id, LEASE_MS, job);
	padlock_worker_commit();
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

void
padlock_worker_heartbeat(void)
{
	padlock_worker_write_counts();
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

/* A text of an error, cut to fit. */
static char *
clip(const char *text)
{
	return pnstrdup(text, pg_mbcliplen(text, strlen(text), MAX_ERROR_BYTES));
}

/*
 * What a job's row is to say of an error.  Of a user's function, the state and
 * the detail help to find it; padlock's own handlers say all in the message,
 * and what is of our own class of states is no error of SQL.
 */
static char *
describe_error(const ErrorData *error, bool builtin)
{
	char	   *message = clip(error->message);

	if (builtin || error->sqlerrcode == PADLOCK_ERRCODE_REFUSED ||
		error->sqlerrcode == PADLOCK_ERRCODE_CLAIM_LOST)
		return message;
	message = psprintf("%s (SQLSTATE %s)", message, unpack_sql_state(error->sqlerrcode));
	return error->detail == NULL ? message
		: psprintf("%s\nDETAIL: %s", message, clip(error->detail));
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
	bool		postponed = error->sqlerrcode == PADLOCK_ERRCODE_POSTPONED;
	bool		final = !postponed && (permanent || job->attempt >= job->max_attempts);
	char	   *message = describe_error(error, type != NULL);
	bool		reported;

	if (!padlock_worker_try_begin())
		return;					/* the next claim ends this process */
	reported = postponed ? padlock_queue_postpone(&job->id, job->attempt) :
		padlock_queue_fail(&job->id, job->attempt, message, permanent);
	if (reported && type != NULL && type->failed != NULL)
		type->failed(job, message, final);
	padlock_worker_commit();

	if (reported && !postponed)
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
	padlock_worker_show_job(job);
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
	/* a handler that had ended its own job has still got it */
	if (error != NULL)
		report_failure(job, error);
	if (wait)
		padlock_queue_announce_end();
	padlock_worker_show_job(NULL);
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

void
padlock_worker_do(const char *worker_id, const PadlockJob *job)
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
