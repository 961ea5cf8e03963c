/*-------------------------------------------------------------------------
 *
 * cache.h
 *	  Segments in memory, shared by all sessions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_CACHE_H
#define PADLOCK_SEARCH_CACHE_H

#include "utils/snapshot.h"

#include "search/store.h"

/* Define padlock.search_memory and ask for it; called by the room's init. */
extern void search_cache_init(void);

/*
 * A segment in memory, read if need be with the snapshot that sees its row.
 * It stays where it is until search_cache_release().
 */
extern const SearchSegment *search_cache_acquire(const SearchSegmentRow *row, Snapshot snapshot);

/* Let go of every segment acquired; safe to call at any time. */
extern void search_cache_release(void);

/*
 * Put a segment that was just written into the cache, so that the first
 * search after the commit need not read it.  Does nothing when it is full.
 */
extern void search_cache_publish(const SearchSegmentRow *row, const SearchSegment *segment);

/*
 * Bytes that no segment should grow past: a third of the memory, so that a
 * merge needs room for no more than the index and half of it again.
 */
extern int64 search_cache_largest(void);

/* Bytes in use by all databases, and in all; 0 without preload. */
extern void search_cache_usage(uint64 *used, uint64 *total);

/* What a rebuild has done so far, for padlock.search_status(). */
typedef struct SearchProgress
{
	Oid			database;		/* InvalidOid: none is running */
	const char *phase;
	int64		done;			/* products */
	int64		total;			/* about */
} SearchProgress;

extern void search_progress_set(const char *phase, int64 done, int64 total);
extern void search_progress_end(void);
extern bool search_progress_get(SearchProgress *progress);

/*
 * Changes committed in any database so far: a sign that there may be some.
 * Counting one sets the latches of this database's mergers.
 */
extern uint64 search_changes_seen(void);
extern void search_changes_count(void);

/* Have the calling process's latch set when there are changes; idempotent. */
extern void search_attend_changes(void);

/* Does a process attend to this database's changes? */
extern bool search_cache_has_merger(void);

#endif							/* PADLOCK_SEARCH_CACHE_H */
