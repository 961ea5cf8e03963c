/*-------------------------------------------------------------------------
 *
 * search.h
 *	  The door of room search.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_SEARCH_H
#define PADLOCK_SEARCH_SEARCH_H

/* Set-up of the room: settings and shared memory; called by _PG_init only. */
extern void padlock_search_init(void);

/*
 * What a worker does for the index now and then, in transactions of its own:
 * take up changes into segments.  Returns in how many milliseconds to call it
 * again at the latest; an error may be raised and leaves nothing behind.
 */
extern long padlock_search_maintain(void);

#endif							/* PADLOCK_SEARCH_SEARCH_H */
