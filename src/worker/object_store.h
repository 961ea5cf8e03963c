/*-------------------------------------------------------------------------
 *
 * object_store.h
 *	  Objects in an S3-compatible store, as the padlock.s3 settings say.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_OBJECT_STORE_H
#define PADLOCK_OBJECT_STORE_H

#include "postgres.h"

#include "utils/uuid.h"
#include "worker/call.h"

/*
 * Store bytes under a key of unreserved characters and slashes, in place of
 * what was there.  This and the others raise an error when the store does not
 * do it: one for good (padlock_job_refuse) when the same request would fail
 * again.  Without a transaction.
 */
extern void padlock_object_put(const pg_uuid_t *job, const char *key, const void *bytes,
							   size_t length);

/* The time by which padlock_object_put() has ended, in milliseconds. */
extern int64 padlock_object_put_limit(void);

/* The object's bytes, at most max of them; palloc'd, NULL when there is none. */
extern bytea *padlock_object_get(const pg_uuid_t *job, const char *key, size_t max);

/* Erase an object; one that is not there is erased already. */
extern void padlock_object_erase(const pg_uuid_t *job, const char *key);

/*
 * Does the store do anything at all?  Writes, reads and erases an object named
 * after the job; 08006 when it refuses one of these or cannot be asked.
 */
extern void padlock_object_test_store(const pg_uuid_t *job);

#endif							/* PADLOCK_OBJECT_STORE_H */
