/*-------------------------------------------------------------------------
 *
 * chores.h
 *	  What a worker sees to besides jobs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WORKER_CHORES_H
#define PADLOCK_WORKER_CHORES_H

#include "postgres.h"

/*
 * See to whatever it is time for, without a transaction of the caller's; what
 * fails is logged and left to the next time.  hurry: there is a job, most
 * likely, which does not wait for what was seen to just now.  context: the
 * caller's current one, to go on in after an error.
 */
extern void padlock_worker_do_chores(MemoryContext context, bool hurry);

/* How long an idle worker may sleep before it sees to them again, in ms. */
extern long padlock_worker_chores_wait(void);

/*
 * Write the uses of API keys and the counts of searches, when it is time; for
 * the pauses of a job too.  Needs no transaction.
 */
extern void padlock_worker_write_counts(void);

#endif							/* PADLOCK_WORKER_CHORES_H */
