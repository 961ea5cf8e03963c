/*-------------------------------------------------------------------------
 *
 * queue_internal.h
 *	  What the files of room queue share; no other room includes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_QUEUE_INTERNAL_H
#define PADLOCK_QUEUE_INTERNAL_H

#include "queue/queue.h"

/* Settings, in milliseconds; see padlock_queue_init(). */
extern int	padlock_retry_base;
extern int	padlock_retry_cap;
extern int	padlock_job_worker_wait;

/* Registered sessions of a database; see queue_wake.c. */
typedef enum PadlockQueueRole
{
	PADLOCK_QUEUE_CONSUMER,		/* a worker that claims jobs */
	PADLOCK_QUEUE_WAITER		/* a session inside job_worker() */
} PadlockQueueRole;

extern void padlock_queue_register(PadlockQueueRole role);
extern void padlock_queue_unregister(PadlockQueueRole role);

/* Is a session of this role registered for this database? */
extern bool padlock_queue_is_attended(PadlockQueueRole role);

/* Set the latches of this database's sessions of a role, now. */
extern void padlock_queue_set_latches(PadlockQueueRole role);

/* The same when the current transaction commits. */
extern void padlock_queue_set_latches_at_commit(PadlockQueueRole role);

/*
 * End a failed attempt of a claimed job: pending again from retry_at on, or
 * failed when retry_at is DT_NOEND or the attempts are used up.  The message
 * is cut to what job_queue holds.  False if the claim is lost.
 */
extern bool padlock_queue_end_attempt(const pg_uuid_t *id, int attempt, const char *error,
									  TimestampTz retry_at);

/*
 * base_ms doubled for each attempt after the first, at most cap_ms: the upper
 * bound that jitter is applied to.
 */
extern int64 padlock_queue_backoff(int64 base_ms, int64 cap_ms, int attempt);

/* Does a job with this id exist, in any state? */
extern bool padlock_queue_job_exists(const pg_uuid_t *id);

#endif							/* PADLOCK_QUEUE_INTERNAL_H */
