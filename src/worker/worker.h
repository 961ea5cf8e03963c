/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The door of room worker: background processes that do what is queued.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WORKER_H
#define PADLOCK_WORKER_H

/*
 * Room set-up, called by _PG_init only: settings, and when the postmaster
 * preloads the library also shared memory, hooks and the launcher.
 */
extern void padlock_worker_init(void);

/*
 * Tell the launcher, when the current transaction commits, that this database
 * has padlock.  Does nothing when padlock is not preloaded.
 */
extern void padlock_worker_announce(void);

#endif							/* PADLOCK_WORKER_H */
