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

#endif							/* PADLOCK_WORKER_H */
