/*-------------------------------------------------------------------------
 *
 * queue_internal.h
 *	  What the files of room queue share; no other room includes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_QUEUE_INTERNAL_H
#define PADLOCK_QUEUE_INTERNAL_H

#include "fmgr.h"

#include "queue/queue.h"

#define MAX_JOB_TYPE_LENGTH		100 /* characters; also jobs_job_type_length */
#define MAX_KEY_LENGTH			200 /* characters; also jobs_queue_length */
#define MAX_WORKER_ID_LENGTH	200 /* characters */
#define MAX_ERROR_BYTES			8192	/* also job_outcomes_error_length */
#define MS_PER_MINUTE			INT64CONST(60000)

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

/* Wake one consumer of this database that rests, if there is one: now, or at commit. */
extern void queue_wake_one(void);
extern void queue_wake_one_at_commit(void);

/* Is there a job in the ready list of this database? */
extern bool queue_has_ready(void);

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

/* Claim up to max jobs of any type; returns how many. */
extern int	queue_claim_many(const char *worker_id, int64 lease_ms, PadlockJob *jobs, int max);

/* Complete many jobs of one call; refused[i] says of which the claim was lost. */
extern void queue_complete_many(const pg_uuid_t *ids, const int *attempts, Jsonb **results,
								int count, bool *refused);

/* Is this process a background worker that claims jobs? */
extern bool queue_is_worker(void);

/* before_shmem_exit callback: leave the consumers. */
extern void queue_leave_consumers(int code, Datum arg);

/* arguments.c: SQL functions' arguments, refused with their names. */
extern void queue_require_value(FunctionCallInfo fcinfo, int number, const char *name);
extern char *queue_text_argument(FunctionCallInfo fcinfo, int number, const char *name,
								 int max_length);
extern TimestampTz queue_time_argument(FunctionCallInfo fcinfo, int number, const char *name);
extern int	queue_integer_argument(FunctionCallInfo fcinfo, int number, const char *name,
								   int minimum);
extern Jsonb *queue_object_argument(FunctionCallInfo fcinfo, int number, const char *name);
extern pg_uuid_t *queue_id_argument(FunctionCallInfo fcinfo, int number);
extern void queue_require_job(const pg_uuid_t *id);
extern Datum queue_return_id(pg_uuid_t id);

#endif							/* PADLOCK_QUEUE_INTERNAL_H */
