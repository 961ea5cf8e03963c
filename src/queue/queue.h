/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  The door of room queue: jobs that outlive the transaction that asked
 *	  for them.
 *
 * All functions must run inside a transaction, with no SPI connection of the
 * caller's open around them, and act with the rights of the extension's
 * owner: for SQL callers EXECUTE on this room's functions is the right.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_QUEUE_H
#define PADLOCK_QUEUE_H

#include "storage/latch.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* A claimed job; everything it points to lies in the context of the claim. */
typedef struct PadlockJob
{
	pg_uuid_t	id;
	char	   *type;
	Jsonb	   *payload;
	int			attempt;		/* the fencing token: 1 for the first claim */
	int			max_attempts;
} PadlockJob;

/* Room set-up, called by _PG_init only: shared memory, settings, hooks. */
extern void padlock_queue_init(void);

/*
 * Add a job and return its id.  It becomes visible, and the workers of this
 * database are woken, when the transaction commits.
 */
extern pg_uuid_t padlock_queue_enqueue(const char *type, Jsonb *payload,
									   int priority, int max_attempts);

/*
 * Claim the next due job for worker_id until now + lease_ms.  False when
 * nothing is due.  A job whose lease ended is due again, or becomes failed
 * when its attempts are used up.
 */
extern bool padlock_queue_claim(const char *worker_id, int64 lease_ms,
								PadlockJob *job);

/*
 * Put off the end of the lease of a claimed job to now + lease_ms; false if
 * the claim is lost.  Here and below, a lease that has ended still holds
 * until another claim has noticed it.
 */
extern bool padlock_queue_extend(const pg_uuid_t *id, int attempt, int64 lease_ms);

/* End a claimed job with a result (may be NULL); false if the claim is lost. */
extern bool padlock_queue_complete(const pg_uuid_t *id, int attempt, Jsonb *result);

/*
 * Report a failed attempt: the job is retried after an exponential backoff
 * with full jitter, or becomes failed when permanent is true or its attempts
 * are used up.  False if the claim is lost.
 */
extern bool padlock_queue_fail(const pg_uuid_t *id, int attempt,
							   const char *error, bool permanent);

/*
 * When the next job will be due: now when one is, DT_NOEND when none waits.
 * A due job whose row another transaction holds cannot be claimed, so that
 * "now" right after a claim that found nothing is no reason to spin.  A lease
 * that begins later is not foreseen: look again at intervals.
 */
extern TimestampTz padlock_queue_next_due(void);

/*
 * Register the calling process as a consumer of this database's jobs: its
 * latch is set when a transaction that added jobs commits.  Undone at exit.
 */
extern void padlock_queue_attach_consumer(void);

/*
 * Tell sessions waiting in job_worker() that a job of this database ended.
 * Call after the commit that ended it.  A commit of padlock_queue_complete()
 * or padlock_queue_fail() does it by itself.
 */
extern void padlock_queue_announce_end(void);

#endif							/* PADLOCK_QUEUE_H */
