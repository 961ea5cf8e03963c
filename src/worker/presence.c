/*-------------------------------------------------------------------------
 *
 * presence.c
 *	  A worker's process as others see it: its place in shared memory, and
 *	  whether its database has padlock.
 *
 * The launcher chose the place and starts the process again when it fails; it
 * starts none in a database that was found to have no padlock, until that is
 * announced (hold.c).  So a process that finds none says so and ends with
 * status 0.
 *
 * Locking contract: the place and the database's entry are written under
 * padlock_workers->lock (state.h), which is held for a few memory accesses.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "core/install.h"
#include "core/spi.h"
#include "worker/job.h"
#include "worker/presence.h"
#include "worker/state.h"

#define HEALTHY_MS			60000	/* a life after which failures are forgotten */

/* This process's place in shared memory, and since when it is there. */
static PadlockWorker *place;
static TimestampTz attached_at;

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

bool
padlock_worker_attach(Datum main_arg, Oid *database)
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

	/*
	 * Before connecting, so that it runs after the process left the list of
	 * those who keep DROP DATABASE waiting.
	 */
	if (valid)
		on_shmem_exit(detach, (Datum) 0);
	return valid;
}

int
padlock_worker_ordinal(void)
{
	return place->ordinal;
}

void
padlock_worker_show_job(const PadlockJob *job)
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

void
padlock_worker_report_presence(void)
{
	leave_unless_installed();
	tell_presence(PADLOCK_PRESENT, count_announcements());
}

void
padlock_worker_begin_or_leave(void)
{
	while (!padlock_worker_try_begin())
		leave_unless_installed();
}

bool
padlock_worker_is_ready(void)
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
	if (!ready)
		leave_unless_installed();
	if (!ready && !told)
	{
		told = true;
		ereport(LOG,
				(errmsg("padlock: jobs of this database wait for the end of a restore"),
				 errhint("If none is under way, run SELECT padlock.install().")));
	}
	return ready;
}
