/*-------------------------------------------------------------------------
 *
 * query_log.h
 *	  What visitors search for, counted by day, when padlock.search_log is on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_QUERY_LOG_H
#define PADLOCK_SEARCH_QUERY_LOG_H

#define PADLOCK_SEARCH_LOG_FLUSH_MS 10000

/* Define the setting, reserve shared memory; called by the room's init only. */
extern void search_log_init(void);

/*
 * Count a search: its text, how many products it found, whether the query had
 * to be relaxed, how long it took.  Nothing happens unless padlock.search_log
 * is on, on a replica, or without preload.  Never an error.
 */
extern void search_log_query(const char *term, int64 results, bool relaxed, double milliseconds);

/*
 * Write this database's counts to search_log, in a short transaction of its
 * own, as the extension's owner.  For one background worker of the database,
 * which calls it every PADLOCK_SEARCH_LOG_FLUSH_MS, outside a transaction.
 */
extern void padlock_search_log_flush(void);

/* A database was dropped: forget its counts.  Needs no transaction. */
extern void padlock_search_log_forget_database(Oid database);

#endif							/* PADLOCK_SEARCH_QUERY_LOG_H */
