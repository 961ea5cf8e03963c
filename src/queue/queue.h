/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  The door of room queue: jobs that outlive the transaction that asked
 *	  for them.
 *
 * All functions must run inside a transaction unless they say otherwise, with
 * no SPI connection of the caller's open around them, and act with the rights
 * of the extension's owner: for SQL callers EXECUTE on this room's functions
 * is the right.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_QUEUE_H
#define PADLOCK_QUEUE_H

#include "storage/latch.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* A job to be added; all but type and payload may be left zero. */
typedef struct PadlockNewJob
{
	const char *type;
	Jsonb	   *payload;
	int			priority;
	int			max_attempts;	/* 0: the default, 3 */
	TimestampTz run_at;			/* not before; 0: at once */
	const char *dedupe_key;		/* or NULL */
	const char *queue;			/* or NULL */
} PadlockNewJob;

/* A claimed job; everything it points to lies in the context of the claim. */
typedef struct PadlockJob
{
	pg_uuid_t	id;
	char	   *type;
	Jsonb	   *payload;
	int			attempt;		/* the fencing token: 1 for the first claim */
	int			max_attempts;
} PadlockJob;

/* How an attempt at a watched job ended. */
typedef struct PadlockEndedJob
{
	const pg_uuid_t *id;
	const char *type;
	Jsonb	   *payload;
	bool		completed;		/* else it failed for good */
	const char *error;			/* NULL if it completed */
} PadlockEndedJob;

/*
 * Called in the transaction that ends a job of a watched type, however it
 * ends.  Returns the payload that the ended job keeps, or NULL to leave it.
 * It must not raise an error for what a payload holds.
 */
typedef Jsonb *(*PadlockJobWatcher) (const PadlockEndedJob *job);

/*
 * Can jobs of a type be done in this database, were it by a user's function?
 * Called in a transaction, with no SPI connection open.
 */
typedef bool (*PadlockJobTypeCheck) (const char *type);

/* Room set-up, called by _PG_init only: shared memory, settings, hooks. */
extern void padlock_queue_init(void);

/* Have a function called at the end of jobs of a type; for rooms' set-up. */
extern void padlock_queue_watch(const char *type, PadlockJobWatcher watcher);

/* Have a function tell which types can be done; for the set-up of the room that does them. */
extern void padlock_queue_set_type_check(PadlockJobTypeCheck check);

/*
 * Add a job and return its id.  It becomes visible, and the workers of this
 * database are woken, when the transaction commits.  With a dedupe key, the
 * id of a job of the same type and key that waits or runs, if there is one.
 */
extern pg_uuid_t padlock_queue_add(const PadlockNewJob *job);

/* The same for the most common arguments. */
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
 * For a background worker: claim up to max jobs that are next in turn, as
 * long as they are of this type, to be begun one by one with
 * padlock_queue_begin().  One that is not begun soon is given to others.
 */
extern int	padlock_queue_claim_ahead(const char *worker_id, int64 lease_ms, const char *type,
									  PadlockJob *jobs, int max);

/*
 * Begin a job that was claimed ahead; false when it was given to others.
 * Needs no transaction.
 */
extern bool padlock_queue_begin(const PadlockJob *job, int64 lease_ms);

/* Give a claimed job back as if it had not been claimed.  Needs no transaction. */
extern void padlock_queue_give_back(const PadlockJob *job);

/*
 * Put off the end of the lease of a claimed job to now + lease_ms; false if
 * the claim is lost.  Here and below, a lease that has ended still holds
 * until another claim has noticed it.  Needs no transaction.
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
 * Put a claimed job off, as if it had not been claimed, for as long as the first
 * retry of one of its type is put off at most.  False if the claim is lost.
 */
extern bool padlock_queue_postpone(const pg_uuid_t *id, int attempt);

/*
 * Report how far a claimed job is; total is negative when not known, message
 * may be NULL.  False if the claim is lost.  Needs no transaction.
 */
extern bool padlock_queue_report(const pg_uuid_t *id, int attempt, int64 done, int64 total,
								 const char *message);

/*
 * Say which job this background worker is at, for padlock.report_progress();
 * NULL: none.
 */
extern void padlock_queue_set_current(const PadlockJob *job);

/*
 * When the next job will be due: now when one is, DT_NOEND when none is
 * known of.  Needs no transaction.
 */
extern TimestampTz padlock_queue_next_due(void);

/*
 * Register the calling process, a background worker, as a consumer of this
 * database's jobs: its latch is set when there may be something to claim, and
 * when it exits its jobs are due at once.
 */
extern void padlock_queue_attach_consumer(void);

/*
 * For such a consumer, between its jobs.  padlock_queue_rest(): a new job may
 * wake me; to be called before the look for a job that precedes a sleep.
 * padlock_queue_rise(): I am at work; to be called after a claim, and before
 * anything else that takes time: others are woken for what is ready.
 */
extern void padlock_queue_rest(void);
extern void padlock_queue_rise(void);

/* Has a new job woken the calling consumer since it rested? */
extern bool padlock_queue_is_woken(void);

/*
 * Tell sessions waiting in job_worker() that a job of this database ended.
 * Call after the commit that ended it.  A commit of padlock_queue_complete()
 * or padlock_queue_fail() does it by itself.
 */
extern void padlock_queue_announce_end(void);

/*
 * What keeps the tables small and the counts fast, to be called every few
 * minutes, in a transaction that ends soon: counts what has ended, begins a
 * new generation when it is time, drops an old one.  Gives way to any lock.
 */
extern void padlock_queue_maintain(void);

/* A database was dropped: forget its jobs.  Needs no transaction. */
extern void padlock_queue_forget_database(Oid database);

#endif							/* PADLOCK_QUEUE_H */
