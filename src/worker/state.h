/*-------------------------------------------------------------------------
 *
 * state.h
 *	  What the launcher, the workers and DROP DATABASE know of each other, in
 *	  shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WORKER_STATE_H
#define PADLOCK_WORKER_STATE_H

#include "postgres.h"

#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define PADLOCK_MAX_DATABASES	1024
#define PADLOCK_JOB_TYPE_SHOWN	64

/* Has a database the extension? */
typedef enum PadlockPresence
{
	PADLOCK_UNKNOWN,			/* nobody looked yet: one worker will */
	PADLOCK_PRESENT,
	PADLOCK_ABSENT
} PadlockPresence;

typedef struct PadlockDatabase
{
	Oid			oid;			/* InvalidOid: a free entry */
	PadlockPresence presence;
	uint32		announcements;	/* counts padlock.announce() */
	int			holds;			/* statements that need the database empty */
} PadlockDatabase;

typedef enum PadlockWorkerState
{
	PADLOCK_WORKER_STOPPED,
	PADLOCK_WORKER_STARTING,	/* registered, not attached yet */
	PADLOCK_WORKER_IDLE,
	PADLOCK_WORKER_BUSY
} PadlockWorkerState;

/* One worker's place, kept while it is stopped to be started again. */
typedef struct PadlockWorker
{
	Oid			database;		/* InvalidOid: a free place */
	int			ordinal;		/* 0 .. padlock.worker_count - 1 */
	uint32		generation;		/* counts starts; a stale start goes away */
	PadlockWorkerState state;
	pid_t		pid;			/* 0 unless idle or busy */
	int			failures;		/* in a row, for the backoff */
	int			restarts;		/* after failures, in all */
	TimestampTz restart_at;		/* not started before */
	TimestampTz since;			/* of this state */
	pg_uuid_t	job_id;			/* when busy */
	char		job_type[PADLOCK_JOB_TYPE_SHOWN];
} PadlockWorker;

typedef struct PadlockWorkerShared
{
	LWLock	   *lock;			/* guards all that follows */
	ConditionVariable stopped;	/* broadcast when a worker went away */
	Latch	   *launcher;		/* NULL while there is none */
	int			worker_places;
	PadlockDatabase databases[PADLOCK_MAX_DATABASES];
	PadlockWorker workers[FLEXIBLE_ARRAY_MEMBER];
} PadlockWorkerShared;

/* NULL unless padlock was preloaded. */
extern PadlockWorkerShared *padlock_workers;

/* Reserve the shared memory; only while the postmaster preloads. */
extern void padlock_worker_reserve_state(void);

/* Set the launcher's latch, if it runs.  Takes the lock. */
extern void padlock_worker_wake_launcher(void);

/*
 * The entry of a database, made when missing; NULL when the table is full.
 * The caller holds the lock exclusively.
 */
extern PadlockDatabase *padlock_worker_database(Oid oid);

/*
 * Put a worker's place to rest: the process is gone or never came.  A failed
 * one waits longer each time.  The caller holds the lock exclusively.
 */
extern void padlock_worker_rest(PadlockWorker *worker, bool failed);

#endif							/* PADLOCK_WORKER_STATE_H */
