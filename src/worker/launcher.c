/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The background process that keeps workers running in every database
 *	  with padlock.
 *
 * It is connected to no database and so reads only pg_database.  Whether a
 * database has padlock cannot be seen from outside: one worker is started in
 * a database not known yet, looks, and goes away at once when there is
 * nothing for it (PADLOCK_ABSENT).  Such a database is not looked at again
 * until CREATE EXTENSION announces it.  One look runs at a time, so that a
 * server with many databases does not run out of max_worker_processes.
 *
 * The launcher sleeps on its latch.  It is set by a worker that ends, by
 * padlock.announce(), by the end of a statement that held a database
 * (hold.c) and by SIGHUP; a rescan every minute finds what nobody told.
 *
 * Locking contract: see state.c.  Nothing is held while pg_database is read
 * or a worker is registered.
 *
 * Crash contract: the launcher keeps nothing of its own.  Restarted after an
 * orderly end it adopts the running workers; a start that was under way is
 * made void by raising the place's generation.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "core/core.h"
#include "envelope/envelope.h"
#include "queue/queue.h"
#include "worker/endpoint_settings.h"
#include "worker/job.h"
#include "worker/key_service.h"
#include "worker/launcher.h"
#include "worker/settings.h"
#include "worker/state.h"
#include "worker/worker.h"

#define RESCAN_MS			60000
#define NO_ROOM_RETRY_MS	10000	/* after max_worker_processes was full */
#define LOOK_MS				10000	/* a look that takes longer holds up no other */
#define LAUNCHER_RESTART_S	5

/* The handles of starts under way, to learn of one that never came. */
static BackgroundWorkerHandle **start_handles;

static bool told_no_room = false;
static bool told_no_entry = false;

PGDLLEXPORT void padlock_launcher_main(Datum main_arg);

/* Register the launcher with the postmaster. */
static void
register_launcher(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = LAUNCHER_RESTART_S;
	strlcpy(worker.bgw_library_name, "padlock", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "padlock_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "padlock launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "padlock launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

void
padlock_worker_init(void)
{
	padlock_worker_define_settings();
	padlock_endpoint_define_settings();
	padlock_keyring_set_check(padlock_key_service_check);
	padlock_queue_set_type_check(padlock_job_type_is_handled);
	if (!padlock_preloaded)
		return;
	padlock_worker_reserve_state();
	padlock_key_services_reserve_state();
	padlock_worker_watch_statements();
	/* pg_upgrade's servers must not start anybody's work */
	if (!IsBinaryUpgrade)
		register_launcher();
}

static void
forget_launcher(int code, Datum arg)
{
	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	if (padlock_workers->launcher == MyLatch)
		padlock_workers->launcher = NULL;
	LWLockRelease(padlock_workers->lock);
}

/* Take over what a launcher before left: running workers stay. */
static void
adopt_workers(void)
{
	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	padlock_workers->launcher = MyLatch;
	for (int i = 0; i < padlock_workers->worker_places; i++)
	{
		PadlockWorker *worker = &padlock_workers->workers[i];

		if (OidIsValid(worker->database) && worker->state == PADLOCK_WORKER_STARTING)
		{
			worker->generation++;
			padlock_worker_rest(worker, false);
		}
	}
	LWLockRelease(padlock_workers->lock);
}

/* The databases in which workers may run, as a list of OIDs. */
static List *
scan_databases(MemoryContext context)
{
	List	   *oids = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datallowconn && !form->datistemplate && form->datconnlimit != -2 &&
			padlock_database_wanted(NameStr(form->datname)))
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			oids = lappend_oid(oids, form->oid);
			MemoryContextSwitchTo(old);
		}
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return oids;
}

/* How many workers a database should have now; the lock is held. */
static int
wanted_workers(const PadlockDatabase *database)
{
	if (database->holds > 0 || database->presence == PADLOCK_ABSENT)
		return 0;
	if (database->presence == PADLOCK_UNKNOWN)
		return Min(padlock_worker_count, 1);
	return padlock_worker_count;
}

/*
 * Take note of the listed databases and forget the others, unless a
 * statement still holds them.
 */
static void
update_databases(List *oids)
{
	ListCell   *cell;
	bool		full = false;

	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	for (int i = 0; i < PADLOCK_MAX_DATABASES; i++)
	{
		PadlockDatabase *database = &padlock_workers->databases[i];

		if (database->holds == 0 && !list_member_oid(oids, database->oid))
			database->oid = InvalidOid;
	}
	foreach(cell, oids)
		full = padlock_worker_database(lfirst_oid(cell)) == NULL || full;
	LWLockRelease(padlock_workers->lock);

	if (full && !told_no_entry)
		ereport(LOG,
				(errmsg("padlock serves the first %d databases only", PADLOCK_MAX_DATABASES),
				 errhint("Name the databases that use padlock in padlock.databases.")));
	told_no_entry = full;
}

/* The entry of a database, or NULL; the lock is held. */
static PadlockDatabase *
find_database(Oid oid)
{
	for (int i = 0; i < PADLOCK_MAX_DATABASES; i++)
		if (padlock_workers->databases[i].oid == oid)
			return &padlock_workers->databases[i];
	return NULL;
}

/*
 * End the workers that should not be, and free their places.  Their own exit
 * callback puts the places to rest.
 */
static void
stop_unwanted_workers(void)
{
	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	for (int i = 0; i < padlock_workers->worker_places; i++)
	{
		PadlockWorker *worker = &padlock_workers->workers[i];
		PadlockDatabase *database;

		if (!OidIsValid(worker->database))
			continue;
		database = find_database(worker->database);
		if (database != NULL && worker->ordinal < wanted_workers(database))
			continue;
		if (worker->pid != 0)
			kill(worker->pid, SIGTERM);
		else if (worker->state == PADLOCK_WORKER_STOPPED &&
				 (database == NULL || database->holds == 0))
			worker->database = InvalidOid;
	}
	LWLockRelease(padlock_workers->lock);
}

/* Put starts to rest whose process ended before it attached. */
static void
check_starts(void)
{
	for (int i = 0; i < padlock_workers->worker_places; i++)
	{
		PadlockWorker *worker = &padlock_workers->workers[i];
		pid_t		pid;

		if (start_handles[i] == NULL ||
			GetBackgroundWorkerPid(start_handles[i], &pid) != BGWH_STOPPED)
			continue;
		pfree(start_handles[i]);
		start_handles[i] = NULL;

		LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
		if (OidIsValid(worker->database) && worker->state == PADLOCK_WORKER_STARTING)
		{
			worker->generation++;
			padlock_worker_rest(worker, true);
		}
		LWLockRelease(padlock_workers->lock);
	}
}

/* The place of a database's nth worker, made when missing; the lock is held. */
static PadlockWorker *
worker_place(Oid database, int ordinal)
{
	PadlockWorker *unused = NULL;

	for (int i = 0; i < padlock_workers->worker_places; i++)
	{
		PadlockWorker *worker = &padlock_workers->workers[i];

		if (worker->database == database && worker->ordinal == ordinal)
			return worker;
		if (!OidIsValid(worker->database) && start_handles[i] == NULL)
			unused = unused ? unused : worker;
	}
	if (unused != NULL)
	{
		uint32		generation = unused->generation;

		memset(unused, 0, sizeof(*unused));
		unused->database = database;
		unused->ordinal = ordinal;
		unused->generation = generation;
	}
	return unused;
}

/* Say that no more workers can be started, once until it changes. */
static void
tell_no_room(bool full)
{
	if (full && !told_no_room)
		ereport(LOG,
				(errmsg("padlock could not start a background worker: no process slot is free"),
				 errhint("Increase max_worker_processes, or lower padlock.worker_count, or name fewer databases in padlock.databases.")));
	told_no_room = full;
}

/* Have the postmaster start the worker of a place; false when it is full. */
static bool
start_worker(int place, uint32 generation)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	MemoryContext old;
	bool		registered;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int64GetDatum(((int64) generation << 32) | place);
	strlcpy(worker.bgw_library_name, "padlock", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "padlock_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "padlock worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "padlock worker", BGW_MAXLEN);

	/* the handle outlives this round and its memory */
	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(old);
	if (!registered)
		return false;

	/* the start before may have ended without our having heard of it */
	if (start_handles[place] != NULL)
		pfree(start_handles[place]);
	start_handles[place] = handle;
	return true;
}

/* Is a worker looking whether an unknown database has padlock? Lock held. */
static bool
look_under_way(TimestampTz now)
{
	for (int i = 0; i < padlock_workers->worker_places; i++)
	{
		PadlockWorker *worker = &padlock_workers->workers[i];
		PadlockDatabase *database;

		if (!OidIsValid(worker->database) || worker->state == PADLOCK_WORKER_STOPPED)
			continue;
		database = find_database(worker->database);
		if (database != NULL && database->presence == PADLOCK_UNKNOWN &&
			!TimestampDifferenceExceeds(worker->since, now, LOOK_MS))
			return true;
	}
	return false;
}

/*
 * A database's nth worker if it should be started now, or NULL; one in
 * backoff lowers *wake_at, a lack of places sets *full.  The lock is held.
 */
static PadlockWorker *
due_worker(PadlockDatabase *database, int ordinal, TimestampTz now, TimestampTz *wake_at,
		   bool *full)
{
	PadlockWorker *worker;

	if (ordinal >= wanted_workers(database))
		return NULL;
	worker = worker_place(database->oid, ordinal);
	if (worker == NULL)
	{
		*full = true;
		return NULL;
	}
	if (worker->state != PADLOCK_WORKER_STOPPED)
		return NULL;
	if (worker->restart_at <= now)
		return worker;
	*wake_at = Min(*wake_at, worker->restart_at);
	return NULL;
}

/*
 * Choose the next worker to start and mark it so; -1 when none is to be
 * started now.  Every database gets its first worker before any gets its
 * second.  A look at an unknown database waits for the look before it.
 */
static int
choose_start(List *oids, TimestampTz now, TimestampTz *wake_at, uint32 *generation, bool *full)
{
	PadlockWorker *chosen = NULL;
	bool		looking;

	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	looking = look_under_way(now);
	for (int ordinal = 0; ordinal < padlock_worker_count && chosen == NULL; ordinal++)
	{
		ListCell   *cell;

		foreach(cell, oids)
		{
			PadlockDatabase *database = find_database(lfirst_oid(cell));

			if (database == NULL || (looking && database->presence == PADLOCK_UNKNOWN))
				continue;
			chosen = due_worker(database, ordinal, now, wake_at, full);
			if (chosen != NULL)
				break;
		}
	}
	if (chosen != NULL)
	{
		chosen->state = PADLOCK_WORKER_STARTING;
		chosen->since = now;
		*generation = ++chosen->generation;
	}
	LWLockRelease(padlock_workers->lock);
	return chosen ? chosen - padlock_workers->workers : -1;
}

/* Undo choose_start() for a worker that could not be registered. */
static void
put_back(int place)
{
	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	padlock_workers->workers[place].state = PADLOCK_WORKER_STOPPED;
	LWLockRelease(padlock_workers->lock);
}

/* Start every worker that is due; returns when to look again. */
static TimestampTz
start_due_workers(List *oids)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz wake_at = TimestampTzPlusMilliseconds(now, RESCAN_MS);
	uint32		generation = 0;
	bool		full = false;
	int			place;

	while ((place = choose_start(oids, now, &wake_at, &generation, &full)) >= 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (!start_worker(place, generation))
		{
			put_back(place);
			full = true;
			break;
		}
	}
	tell_no_room(full);
	return full ? Min(wake_at, TimestampTzPlusMilliseconds(now, NO_ROOM_RETRY_MS)) : wake_at;
}

/* One round: what is, what should be, and the difference. */
static TimestampTz
launch(MemoryContext context)
{
	List	   *oids = scan_databases(context);

	update_databases(oids);
	check_starts();
	stop_unwanted_workers();
	return start_due_workers(oids);
}

/* Entry point of the launcher's process. */
void
padlock_launcher_main(Datum main_arg)
{
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	on_shmem_exit(forget_launcher, (Datum) 0);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("padlock launcher");

	start_handles = palloc0_array(BackgroundWorkerHandle *, padlock_workers->worker_places);
	context = AllocSetContextCreate(TopMemoryContext, "padlock launcher",
									ALLOCSET_DEFAULT_SIZES);
	adopt_workers();

	for (;;)
	{
		TimestampTz wake_at;
		long		wait_ms;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		wake_at = launch(context);
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextReset(context);

		wait_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wake_at);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Max(wait_ms, 10), PG_WAIT_EXTENSION);
	}
}
