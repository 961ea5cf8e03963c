/*-------------------------------------------------------------------------
 *
 * chores.c
 *	  What a worker sees to besides jobs.
 *
 * Each chore has its time and begins a transaction only when that has come, so
 * that an idle worker writes nothing and reads next to nothing.  Some are done
 * by the database's first worker only, the others by whichever comes first.
 * What fails, for a lock that is not given at once say, is logged and tried
 * again later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "accounts/accounts.h"
#include "audit/audit.h"
#include "documents/documents.h"
#include "documents/place.h"
#include "identity/api_key_use.h"
#include "queue/queue.h"
#include "search/query_log.h"
#include "search/search.h"
#include "worker/chores.h"
#include "worker/job.h"
#include "worker/key_service.h"
#include "worker/presence.h"
#include "worker/process.h"

#define IDLE_MS				60000
#define HURRY_MS			1000	/* between two looks, while there are jobs */
#define SEARCH_RETRY_MS		10000	/* after a merge of the search index failed */
#define MAINTENANCE_MS		(24 * 60 * 60 * 1000)
#define MAINTENANCE_RETRY_MS (60 * 60 * 1000)
#define QUEUE_CARE_MS		(60 * 1000)	/* padlock_queue_maintain() */
#define CHORE_LOCK_TIMEOUT	"200ms"
#define PARTITION_MONTHS	3

/* When they were seen to last, and after how long an idle worker does again. */
static TimestampTz done_at;
static long wait_ms;

/* Is it time for what was done at *last?  If so, it is noted as done now. */
static bool
is_time(TimestampTz *last, int interval_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(*last, now, interval_ms))
		return false;
	*last = now;
	return true;
}

void
padlock_worker_write_counts(void)
{
	static TimestampTz uses_written_at = 0;
	static TimestampTz searches_written_at = 0;

	if (padlock_worker_ordinal() != 0)
		return;
	if (is_time(&uses_written_at, PADLOCK_API_KEY_FLUSH_MS))
		padlock_api_key_flush_last_used();
	if (is_time(&searches_written_at, PADLOCK_SEARCH_LOG_FLUSH_MS))
		padlock_search_log_flush();
}

/*
 * Do a chore in a transaction of its own that waits for no lock; returns the
 * error, or NULL.
 */
static ErrorData *
try_chore(void (*chore) (void), MemoryContext context)
{
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		padlock_worker_begin_or_leave();
		(void) set_config_option("lock_timeout", CHORE_LOCK_TIMEOUT, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		chore();
		padlock_worker_commit();
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();
	return error;
}

/*
 * The audit trail's partitions of the coming months, documents whose job is
 * gone, contents that are kept elsewhere, sessions and tokens that have ended.
 * A partition needs a lock that every change to an audited table holds a part
 * of.
 */
static void
maintain_tables(void)
{
	(void) padlock_audit_create_partitions(PARTITION_MONTHS);
	padlock_documents_settle();
	padlock_content_evict();
	padlock_accounts_clean();
}

/* Once a day, by the database's first worker. */
static void
do_daily(MemoryContext context)
{
	static TimestampTz next = 0;
	ErrorData  *error;

	if (padlock_worker_ordinal() != 0 || GetCurrentTimestamp() < next)
		return;
	error = try_chore(maintain_tables, context);
	next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   error == NULL ? MAINTENANCE_MS : MAINTENANCE_RETRY_MS);
	if (error != NULL)
		ereport(LOG, (errmsg("padlock: daily maintenance failed and is tried again in an hour: %s",
							 error->message)));
}

/* Every minute, by the database's first worker. */
static void
care_for_queue(MemoryContext context)
{
	static TimestampTz cared_at = 0;
	ErrorData  *error;

	if (padlock_worker_ordinal() != 0 || !is_time(&cared_at, QUEUE_CARE_MS))
		return;
	error = try_chore(padlock_queue_maintain, context);
	if (error != NULL)
		ereport(LOG, (errmsg("padlock: care for the job tables failed and is tried again: %s",
							 error->message)));
}

/* Seal what is new in the audit trail: every padlock.audit_seal_interval. */
static void
seal_audit(MemoryContext context)
{
	static TimestampTz sealed_at = 0;
	ErrorData  *volatile error = NULL;
	PadlockSealRun run = {0};
	volatile bool more = true;

	if (padlock_audit_seal_interval == 0 || !is_time(&sealed_at, padlock_audit_seal_interval * 1000))
		return;
	PG_TRY();
	{
		while (more)
		{
			CHECK_FOR_INTERRUPTS();
			padlock_worker_begin_or_leave();
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

/*
 * Take changes of products up into the search index; returns how long to wait
 * before that is to be done again.
 */
static long
maintain_search(MemoryContext context)
{
	ErrorData  *volatile error = NULL;
	volatile long wait = SEARCH_RETRY_MS;

	PG_TRY();
	{
		wait = padlock_search_maintain();
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();
	if (error != NULL)
		ereport(LOG, (errmsg("padlock: the search index could not be merged: %s",
							 error->message),
					  error->hint != NULL ? errhint("%s", error->hint) : 0));
	return wait;
}

void
padlock_worker_do_chores(MemoryContext context, bool hurry)
{
	TimestampTz now = GetCurrentTimestamp();

	if (hurry && !TimestampDifferenceExceeds(done_at, now, HURRY_MS))
	{
		wait_ms = HURRY_MS;
		return;
	}
	done_at = now;
	padlock_queue_rise();
	padlock_worker_write_counts();
	MemoryContextSwitchTo(context);
	do_daily(context);
	care_for_queue(context);
	seal_audit(context);
	padlock_key_services_tend(context);
	wait_ms = maintain_search(context);
}

long
padlock_worker_chores_wait(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = TimestampTzPlusMilliseconds(done_at, wait_ms);
	long		longest = padlock_worker_ordinal() == 0 ? PADLOCK_API_KEY_FLUSH_MS : IDLE_MS;

	if (padlock_audit_seal_interval > 0)
		longest = Min(longest, padlock_audit_seal_interval * 1000L);
	longest = Min(longest, padlock_key_services_wait());
	return Min(longest, TimestampDifferenceMilliseconds(now, due) + 1);
}
