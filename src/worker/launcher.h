/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  Between the parts of room worker: what makes a database give way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_LAUNCHER_H
#define PADLOCK_LAUNCHER_H

/*
 * Install the hook that stops a database's workers before a statement that
 * needs it empty.  Called while the postmaster preloads.
 */
extern void padlock_worker_watch_statements(void);

#endif							/* PADLOCK_LAUNCHER_H */
