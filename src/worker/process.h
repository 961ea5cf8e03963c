/*-------------------------------------------------------------------------
 *
 * process.h
 *	  Between the worker loop and its parts: the job at hand.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WORKER_PROCESS_H
#define PADLOCK_WORKER_PROCESS_H

#include "postgres.h"

/* A job failed for good; a class of our own, as SQLSTATE allows. */
#define PADLOCK_ERRCODE_REFUSED		MAKE_SQLSTATE('P', 'K', '0', '0', '1')

/* The claim of the job at hand belongs to somebody else now. */
#define PADLOCK_ERRCODE_CLAIM_LOST	MAKE_SQLSTATE('P', 'K', '0', '0', '2')

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
