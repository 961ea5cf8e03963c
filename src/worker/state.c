/*-------------------------------------------------------------------------
 *
 * state.c
 *	  The workers' shared memory, and the SQL view of it.
 *
 * Locking contract: one lock for all, held for a few instructions, never
 * while waiting, never across a catalog read.  The launcher makes and frees
 * places and databases; a worker changes its own place; a statement that
 * needs a database empty changes `holds` and the states of that database's
 * places.
 *
 * Crash contract: nothing here is worth keeping.  After a crash of a process
 * the postmaster makes this memory anew and the launcher finds the databases
 * again; a launcher that is restarted alone adopts the places as they are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/errors.h"
#include "worker/state.h"

#define TRANCHE				"padlock_worker"
#define BACKOFF_FIRST_MS	1000
#define BACKOFF_DOUBLINGS	6	/* 1 s, 2 s, … 64 s */
#define STATUS_COLUMNS		7

PadlockWorkerShared *padlock_workers = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

PG_FUNCTION_INFO_V1(padlock_worker_status);

static Size
shared_size(void)
{
	return add_size(offsetof(PadlockWorkerShared, workers),
					mul_size(max_worker_processes, sizeof(PadlockWorker)));
}

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
start_shared_memory(void)
{
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	padlock_workers = ShmemInitStruct(TRANCHE, shared_size(), &found);
	if (!found)
	{
		memset(padlock_workers, 0, shared_size());
		padlock_workers->lock = &(GetNamedLWLockTranche(TRANCHE))->lock;
		padlock_workers->worker_places = max_worker_processes;
		ConditionVariableInit(&padlock_workers->stopped);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
padlock_worker_reserve_state(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

void
padlock_worker_wake_launcher(void)
{
	LWLockAcquire(padlock_workers->lock, LW_SHARED);
	if (padlock_workers->launcher != NULL)
		SetLatch(padlock_workers->launcher);
	LWLockRelease(padlock_workers->lock);
}

PadlockDatabase *
padlock_worker_database(Oid oid)
{
	PadlockDatabase *unused = NULL;

	Assert(LWLockHeldByMeInMode(padlock_workers->lock, LW_EXCLUSIVE));
	for (int i = 0; i < PADLOCK_MAX_DATABASES; i++)
	{
		PadlockDatabase *database = &padlock_workers->databases[i];

		if (database->oid == oid)
			return database;
		if (unused == NULL && !OidIsValid(database->oid))
			unused = database;
	}
	if (unused != NULL)
	{
		unused->oid = oid;
		unused->presence = PADLOCK_UNKNOWN;
		unused->announcements = 0;
		unused->holds = 0;
	}
	return unused;
}

void
padlock_worker_rest(PadlockWorker *worker, bool failed)
{
	TimestampTz now = GetCurrentTimestamp();

	Assert(LWLockHeldByMeInMode(padlock_workers->lock, LW_EXCLUSIVE));
	if (failed)
	{
		worker->failures++;
		worker->restarts++;
	}
	else
		worker->failures = 0;
	worker->restart_at =
		TimestampTzPlusMilliseconds(now, (int64) BACKOFF_FIRST_MS
									<< Min(Max(worker->failures - 1, 0), BACKOFF_DOUBLINGS));
	worker->state = PADLOCK_WORKER_STOPPED;
	worker->pid = 0;
	worker->since = now;
}

static const char *
state_name(PadlockWorkerState state)
{
	switch (state)
	{
		case PADLOCK_WORKER_STOPPED:
			return "stopped";
		case PADLOCK_WORKER_STARTING:
			return "starting";
		case PADLOCK_WORKER_IDLE:
			return "idle";
		case PADLOCK_WORKER_BUSY:
			return "busy";
	}
	return NULL;
}

/* One row of worker_status() from a copy of a worker's place. */
static void
put_status_row(ReturnSetInfo *rsinfo, const PadlockWorker *worker)
{
	Datum		values[STATUS_COLUMNS];
	bool		nulls[STATUS_COLUMNS] = {false};
	char	   *database = get_database_name(worker->database);
	bool		busy = worker->state == PADLOCK_WORKER_BUSY;

	values[0] = Int32GetDatum(worker->pid);
	nulls[0] = worker->pid == 0;
	values[1] = database ? CStringGetTextDatum(database) : (Datum) 0;
	nulls[1] = database == NULL;
	values[2] = CStringGetTextDatum(state_name(worker->state));
	values[3] = UUIDPGetDatum(&worker->job_id);
	values[4] = CStringGetTextDatum(worker->job_type);
	nulls[3] = nulls[4] = !busy;
	values[5] = TimestampTzGetDatum(worker->since);
	values[6] = Int32GetDatum(worker->restarts);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * padlock.worker_status(): every place of a worker and what its process does
 * now, from shared memory.
 */
Datum
padlock_worker_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PadlockWorker *copy;
	int			count;

	padlock_require_preload("worker_status()");
	InitMaterializedSRF(fcinfo, 0);

	count = padlock_workers->worker_places;
	copy = palloc_array(PadlockWorker, count);
	LWLockAcquire(padlock_workers->lock, LW_SHARED);
	memcpy(copy, padlock_workers->workers, sizeof(PadlockWorker) * count);
	LWLockRelease(padlock_workers->lock);

	for (int i = 0; i < count; i++)
		if (OidIsValid(copy[i].database))
			put_status_row(rsinfo, &copy[i]);
	return (Datum) 0;
}
