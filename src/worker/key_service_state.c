/*-------------------------------------------------------------------------
 *
 * key_service_state.c
 *	  What the workers know of the key services, in shared memory: when the
 *	  next pass is due, and why a key is still locked.
 *
 * A pass is one worker's walk through what the keyring needs
 * (key_service.c).  The worker that begins one takes the turn for
 * PASS_LIMIT_MS; should it die, another takes it then.
 *
 * Locking contract: one lock, held for a few instructions, never while
 * waiting.
 *
 * Crash contract: nothing here is worth keeping.  After a crash of a process
 * the memory is made anew, as is that of the unlocked keys, and each
 * database's first worker begins a pass.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/errors.h"
#include "worker/key_service.h"
#include "worker/state.h"

#define TRANCHE				"padlock_key_services"
#define MAX_SERVICES		4		/* of a database that have been asked */
#define PROBLEM_SIZE		400
#define PASS_LIMIT_MS		120000
#define FIRST_WAIT_MS		1000
#define WAIT_DOUBLINGS		6		/* 1 s, 2 s, … 64 s */
#define STATUS_COLUMNS		5

/* What one service did for one database. */
typedef struct ServiceState
{
	char		name[NAMEDATALEN];	/* "": a free entry */
	char		problem[PROBLEM_SIZE];	/* "" when it served last */
	TimestampTz tried_at;
	TimestampTz served_at;		/* 0: never yet */
} ServiceState;

typedef struct DatabaseState
{
	Oid			oid;			/* InvalidOid: a free entry */
	TimestampTz next_pass;		/* 0: at once; DT_NOEND: not foreseen */
	int			failures;		/* passes in a row */
	ServiceState services[MAX_SERVICES];
} DatabaseState;

typedef struct KeyServiceShared
{
	LWLock	   *lock;
	DatabaseState databases[PADLOCK_MAX_DATABASES];
} KeyServiceShared;

static KeyServiceShared *shared = NULL;
static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

PG_FUNCTION_INFO_V1(padlock_key_services);

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(sizeof(KeyServiceShared));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
start_shared_memory(void)
{
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(TRANCHE, sizeof(KeyServiceShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(KeyServiceShared));
		shared->lock = &(GetNamedLWLockTranche(TRANCHE))->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

void
padlock_key_services_reserve_state(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

/*
 * This database's entry, made when missing if `make`; NULL when there is none
 * or no room.  The caller holds the lock, exclusively if `make`.
 */
static DatabaseState *
database_state(bool make)
{
	DatabaseState *unused = NULL;

	for (int i = 0; i < PADLOCK_MAX_DATABASES; i++)
	{
		DatabaseState *database = &shared->databases[i];

		if (database->oid == MyDatabaseId)
			return database;
		if (unused == NULL && !OidIsValid(database->oid))
			unused = database;
	}
	if (!make || unused == NULL)
		return NULL;
	memset(unused, 0, sizeof(*unused));
	unused->oid = MyDatabaseId;
	return unused;
}

void
padlock_key_services_forget_database(Oid database)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < PADLOCK_MAX_DATABASES; i++)
		if (shared->databases[i].oid == database)
			shared->databases[i].oid = InvalidOid;
	LWLockRelease(shared->lock);
}

bool
padlock_key_services_begin_pass(bool wanted)
{
	TimestampTz now = GetCurrentTimestamp();
	DatabaseState *database;
	bool		due;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = database_state(true);

	/* after a failure the wait counts, however many ask for a key meanwhile */
	due = database != NULL &&
		(database->next_pass <= now || (wanted && database->next_pass == DT_NOEND));
	if (due)
		database->next_pass = TimestampTzPlusMilliseconds(now, PASS_LIMIT_MS);
	LWLockRelease(shared->lock);
	return due;
}

void
padlock_key_services_end_pass(bool failed)
{
	double		chance = pg_prng_double(&pg_global_prng_state);
	DatabaseState *database;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = database_state(true);
	if (database != NULL && failed)
	{
		int64		wait = (int64) FIRST_WAIT_MS << Min(database->failures, WAIT_DOUBLINGS);

		/* half of it by chance, so that workers do not all come back at once */
		database->failures++;
		database->next_pass =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										wait / 2 + (int64) (chance * (wait / 2)));
	}
	else if (database != NULL)
	{
		database->failures = 0;
		database->next_pass = DT_NOEND;
	}
	LWLockRelease(shared->lock);
}

long
padlock_key_services_wait(void)
{
	TimestampTz next = DT_NOEND;
	DatabaseState *database;

	LWLockAcquire(shared->lock, LW_SHARED);
	database = database_state(false);
	if (database != NULL)
		next = database->next_pass;
	LWLockRelease(shared->lock);
	return next == DT_NOEND ? LONG_MAX :
		TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next) + 1;
}

/* The entry of a service, made when missing; NULL when there is no room. */
static ServiceState *
service_state(DatabaseState *database, const char *name)
{
	for (int i = 0; database != NULL && i < MAX_SERVICES; i++)
	{
		ServiceState *service = &database->services[i];

		if (service->name[0] == '\0')
			strlcpy(service->name, name, sizeof(service->name));
		if (strcmp(service->name, name) == 0)
			return service;
	}
	return NULL;
}

void
padlock_key_service_note(const char *name, const char *problem)
{
	TimestampTz now = GetCurrentTimestamp();
	int			length = problem == NULL ? 0 :
	pg_mbcliplen(problem, strlen(problem), PROBLEM_SIZE - 1);
	ServiceState *service;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	service = service_state(database_state(true), name);
	if (service != NULL)
	{
		if (length > 0)
			memcpy(service->problem, problem, length);
		service->problem[length] = '\0';
		service->tried_at = now;
		if (problem == NULL)
			service->served_at = now;
	}
	LWLockRelease(shared->lock);
}

/* One row of key_services() from a copy of a service's entry. */
static void
put_row(ReturnSetInfo *rsinfo, const ServiceState *service, TimestampTz next_pass)
{
	Datum		values[STATUS_COLUMNS];
	bool		nulls[STATUS_COLUMNS] = {false};

	values[0] = CStringGetTextDatum(service->name);
	values[1] = CStringGetTextDatum(service->problem);
	nulls[1] = service->problem[0] == '\0';
	values[2] = TimestampTzGetDatum(service->tried_at);
	values[3] = TimestampTzGetDatum(service->served_at);
	nulls[3] = service->served_at == 0;
	values[4] = TimestampTzGetDatum(next_pass);
	nulls[4] = next_pass == DT_NOEND || service->problem[0] == '\0';
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * padlock.key_services(): the key services that this database's workers have
 * asked since the server started, and the problem where one did not serve.
 */
Datum
padlock_key_services(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	DatabaseState copy = {0};
	DatabaseState *database;

	padlock_require_preload("key_services()");
	InitMaterializedSRF(fcinfo, 0);
	LWLockAcquire(shared->lock, LW_SHARED);
	database = database_state(false);
	if (database != NULL)
		copy = *database;
	LWLockRelease(shared->lock);

	for (int i = 0; i < MAX_SERVICES && copy.services[i].name[0] != '\0'; i++)
		put_row(rsinfo, &copy.services[i], copy.next_pass);
	return (Datum) 0;
}
