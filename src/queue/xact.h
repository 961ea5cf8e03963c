/*-------------------------------------------------------------------------
 *
 * xact.h
 *	  What a transaction does to the queue's shared memory, and when.
 *
 * New jobs enter at commit.  Claims and changes take hold of an item at once,
 * so that no other session changes it, and are settled at commit or undone at
 * abort, of a subtransaction too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_QUEUE_XACT_H
#define PADLOCK_QUEUE_XACT_H

#include "queue/queue_internal.h"
#include "queue/state.h"

/* What becomes of a changed job at commit. */
typedef enum QueueFate
{
	QUEUE_GONE,					/* it ended, or was deleted */
	QUEUE_WAITS,				/* it waits, as QueueJob says */
	QUEUE_RUNS					/* it is leased, as QueueJob and the lease say */
} QueueFate;

/* A lease that a transaction grants by hand (an UPDATE of job_queue). */
typedef struct QueueGrant
{
	char	   *worker;
	TimestampTz started_at;
	int64		length;			/* microseconds from now, may be negative */
} QueueGrant;

/* The outcome of an attempt to take hold of a job. */
typedef enum QueueHold
{
	QUEUE_HELD,					/* by us, until the transaction ends */
	QUEUE_LOST					/* the claim is another's, or ended */
} QueueHold;

/* Register the callbacks; called at library load. */
extern void queue_xact_init(void);

/* The head of our database; an error when there is no room for it. */
extern QueueHead *queue_my_head(void);

/* The key of a job of our database. */
extern void queue_my_key(QueueKey *key, const pg_uuid_t *id);

/*
 * Make sure that n more changes can be noted without allocating memory: to
 * be called before the lock is taken.
 */
extern void queue_xact_reserve(int n);

/* Note that a job was added; it waits from the commit on. */
extern void queue_xact_added(const pg_uuid_t *id, const QueueJob *job);

/* Note a claim; the lock is held, and a place was reserved. */
extern void queue_xact_claimed(QueueItem *item);

/*
 * Take notice of the due jobs that this transaction has added since it did so
 * last: to be called before the lock is taken to claim.
 */
extern void queue_xact_look_at_added(void);

/*
 * An item for the best of these jobs, if it comes before the other (NULL:
 * none).  queue_xact_claimed() must follow.  The lock is held.
 */
extern QueueItem *queue_xact_take_added(QueueHead *head, const QueueItem *other);

/*
 * Note that we are to say in the outcomes that this lease has ended: its
 * record goes with our commit; as queue_xact_claimed().
 */
extern void queue_xact_noticed(QueueLease *lease);

/* Hold an item whose lease has ended, to end its job; as queue_xact_claimed(), two places. */
extern void queue_xact_hold_ended(QueueItem *item);

/*
 * Take hold of the claim `attempt` of a job to end it, waiting for whoever
 * holds it; fills in a copy of its lease.  A lease that the same transaction
 * has ended is lost.  attempt < 0: whichever claim there is.
 */
extern QueueHold queue_xact_hold_claim(const pg_uuid_t *id, int attempt, QueueLease *copy);

/*
 * Take hold of a job in whatever state, waiting for whoever holds it, to
 * change it; also of one that is in the tables only.  Fills in a copy of its
 * lease; copy->in_use is 0 when it has none that this transaction has not
 * ended.
 */
extern void queue_xact_hold(const pg_uuid_t *id, QueueLease *copy);

/* The same for a job that waits and that nobody holds; false otherwise. */
extern bool queue_xact_try_hold(const pg_uuid_t *id);

/*
 * What is to become of a job that was taken hold of; a held claim is gone else.
 * A lease of it cannot be ended any more, unless the same attempt goes on.
 */
extern void queue_xact_settle(const pg_uuid_t *id, QueueFate fate, const QueueJob *job,
							  const QueueGrant *grant);

/* Has this transaction ended the item's claim?  The lock is held. */
extern bool queue_xact_has_ended(const QueueItem *item);

/* Have job_types and the generations read again after the commit. */
extern void queue_xact_types_changed(void);

#endif							/* PADLOCK_QUEUE_XACT_H */
