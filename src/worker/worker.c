/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  A worker's process: its start, and its loop of chores, jobs and sleep.
 *
 * An idle worker sleeps until the next job is due or its latch is set by the
 * commit of a new one (padlock_queue_rest()); then it claims before it does
 * anything else, in one short transaction that finds in shared memory whether
 * there is a job (process.c).  It looks by itself every minute for what no
 * latch told, and writes nothing when idle.  What else there is to see to
 * (chores.c) is done between jobs and at these looks.
 *
 * An error outside a job ends the process with status 1; the launcher starts
 * it again after a while.  When the database has no padlock (any more) it ends
 * with status 0 (presence.c).
 *
 * Locking contract: it holds no lock of any kind while it waits.
 *
 * Crash contract: a killed worker takes the server's other sessions with it,
 * as any process attached to shared memory, which is why it neither parses
 * nor waits on the network itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "queue/queue.h"
#include "worker/chores.h"
#include "worker/helper.h"
#include "worker/presence.h"
#include "worker/process.h"

#define POLL_MS				5000	/* a due job that could not be claimed */

PGDLLEXPORT void padlock_worker_main(Datum main_arg);

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

/* How long to sleep, in milliseconds, when the next job is due at `due`. */
static long
idle_time(TimestampTz due)
{
	TimestampTz now = GetCurrentTimestamp();
	long		longest = padlock_worker_chores_wait();

	if (due == DT_NOEND)
		return longest;
	if (due <= now)
		return Min(longest, POLL_MS);
	return Min(TimestampDifferenceMilliseconds(now, due) + 1, longest);
}

/*
 * Claim and do one job; returns how long to sleep before the next claim.
 * hurry: there is a job, most likely.
 */
static long
work(const char *worker_id, MemoryContext context, bool hurry)
{
	PadlockJob	job;
	bool		claimed;

	if (!padlock_worker_is_ready())
		return POLL_MS;
	padlock_worker_do_chores(context, hurry);
	MemoryContextSwitchTo(context);
	padlock_queue_rest();
	claimed = padlock_worker_claim(worker_id, &job);
	if (claimed)
		padlock_worker_do(worker_id, &job);
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(context);
	return claimed ? 0 : idle_time(padlock_queue_next_due());
}

/* Connect to the database and become a consumer of its jobs. */
static void
start(Datum main_arg)
{
	Oid			database = InvalidOid;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!padlock_worker_attach(main_arg, &database))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pin_settings();
	padlock_worker_report_presence();
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
			 padlock_worker_ordinal() + 1, MyProcPid);
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
