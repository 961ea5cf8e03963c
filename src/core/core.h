/*-------------------------------------------------------------------------
 *
 * core.h
 *	  What the library is loaded with, for the rooms that ask.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_CORE_H
#define PADLOCK_CORE_H

/* True when the postmaster loaded the library, so shared memory exists. */
extern bool padlock_preloaded;

/* Room set-up, called by _PG_init only: settings. */
extern void padlock_core_init(void);

#endif							/* PADLOCK_CORE_H */
