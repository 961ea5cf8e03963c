/*-------------------------------------------------------------------------
 *
 * merge.h
 *	  Taking changes up into segments.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_MERGE_H
#define PADLOCK_SEARCH_MERGE_H

/*
 * Take the locks of a merge, which are held to the end of the transaction: they
 * keep out other merges and those who rewrite the tables, nobody else.  False
 * when wait is false and another session is at it.
 */
extern bool search_merge_lock(bool wait);

/*
 * Take up the changes that are committed, and this transaction's, and combine
 * segments that have become many; the index is built anew instead when the
 * collection has outgrown its statistics.  False when there was nothing to do
 * or another session is at it.  The transaction must be READ COMMITTED; it
 * holds the merge lock to its end.
 */
extern bool search_merge(void);

/*
 * Build the index anew from the table, after a merge that runs; returns the
 * number of products.  The transaction must be READ COMMITTED.
 */
extern int64 search_rebuild(void);

/*
 * For a session that has written a change: where no worker merges, do a small
 * step of a merge if nobody has for long.
 */
extern void search_merge_if_behind(void);

#endif							/* PADLOCK_SEARCH_MERGE_H */
