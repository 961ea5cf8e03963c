/*-------------------------------------------------------------------------
 *
 * process.h
 *	  A worker at its jobs: claim, do and end them, and what handlers may ask of
 *	  the job at hand.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WORKER_PROCESS_H
#define PADLOCK_WORKER_PROCESS_H

#include "postgres.h"

#include "queue/queue.h"

/* A job failed for good; a class of our own, as SQLSTATE allows. */
#define PADLOCK_ERRCODE_REFUSED		MAKE_SQLSTATE('P', 'K', '0', '0', '1')

/* The claim of the job at hand belongs to somebody else now. */
#define PADLOCK_ERRCODE_CLAIM_LOST	MAKE_SQLSTATE('P', 'K', '0', '0', '2')

/* The job is to wait, for something that is not its own fault. */
#define PADLOCK_ERRCODE_POSTPONED	MAKE_SQLSTATE('P', 'K', '0', '0', '3')

/*
 * Claim a job; false when there is none for us.  The process ends here when
 * the database has no padlock any more.  job lies in the current memory context.
 */
extern bool padlock_worker_claim(const char *worker_id, PadlockJob *job);

/*
 * Do a claimed job, and more of its type that are next in turn if these are
 * quick; whatever comes of them is reported.
 */
extern void padlock_worker_do(const char *worker_id, const PadlockJob *job);

/*
 * Put off the end of the current job's lease when that is due.  To be called
 * at least every few seconds while waiting, without a transaction; an error
 * when the claim is lost.
 */
extern void padlock_worker_heartbeat(void);

/*
 * In a PG_CATCH: leave everything that the error interrupted, transaction and
 * helpers included; returns a copy of the error, made in context.
 */
extern ErrorData *padlock_worker_recover(MemoryContext context);

#endif							/* PADLOCK_WORKER_PROCESS_H */
