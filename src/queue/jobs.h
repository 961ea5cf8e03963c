/*-------------------------------------------------------------------------
 *
 * jobs.h
 *	  Jobs as rows: adding, reading and ending them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_QUEUE_JOBS_H
#define PADLOCK_QUEUE_JOBS_H

#include "queue/queue_internal.h"
#include "queue/rows.h"
#include "utils/snapshot.h"
#include "queue/xact.h"

/* The hash of a type or queue key, as hashtextextended(text, 0); never 0. */
extern uint64 queue_hash_text(const char *text);

/* A new id; ids grow with time, so that their index is filled from the right. */
extern void queue_make_id(pg_uuid_t *id);

/* What the ready list is to know of a new job; its row and attempts are left zero. */
extern void queue_job_entry(const PadlockNewJob *job, int64 seq, int generation, QueueJob *entry);

/* The next seq; the transaction has an id before, see retention.c. */
extern int64 queue_next_seq(void);

/* The generation that new jobs belong to. */
extern int	queue_generation(void);

/*
 * dedupe.c: a job of this type and key that waits or runs; others that are
 * adding one are waited for, and wait for us until the transaction ends.
 */
extern bool queue_find_twin(const char *type, const char *key, pg_uuid_t *id);

/* Raise 23505 if there is one; nothing is the twin of what is NULL. */
extern void queue_refuse_twin(const char *type, const char *key);

/* Only wait for the others: before a job is taken hold of that is to wait. */
extern void queue_lock_key(const char *type, const char *key);

/* Types and keys of a set of jobs; zeroed, it is empty. */
typedef struct QueueKeySet
{
	uint64	   *hashes;
	int			count;
	int			room;
} QueueKeySet;

/* queue_lock_key() for a set, in an order that all sets have. */
extern void queue_key_set_add(QueueKeySet *set, const char *type, const char *key);
extern void queue_lock_key_set(QueueKeySet *set);

/* How an attempt ended, as a row of job_outcomes. */
typedef struct QueueOutcome
{
	const char *kind;
	Jsonb	   *result;			/* or NULL */
	const char *error;			/* or NULL */
	TimestampTz next_retry_at;	/* with kind retry; 0: at once */
} QueueOutcome;

/* Append the outcome of a held lease; and tell the type's watcher if it ended. */
extern void queue_record(const QueueLease *lease, const QueueOutcome *outcome);

/* Tell the type's watcher, if there is one, that a leased job ended. */
extern void queue_tell_watcher_of(const QueueLease *lease, const QueueOutcome *outcome);

/* Reads rows of jobs, keeping the table of the last one open. */
typedef struct QueueReader
{
	int			generation;
	Relation	rel;			/* NULL: none open */
	TupleTableSlot *slot;
	Snapshot	snapshot;
} QueueReader;

extern void queue_reader_open(QueueReader *reader);
extern void queue_reader_close(QueueReader *reader);

/* Read a job's row; false when it is not there any more, or another's. */
extern bool queue_read_job(QueueReader *reader, const pg_uuid_t *id, const QueueJob *entry,
						   PadlockJob *job);

/* Is a job's row in the table where it should be, as of a snapshot? */
extern bool queue_has_row(const pg_uuid_t *id, const QueueJob *entry, Snapshot snapshot);

/*
 * What the outcomes say of a job, as of a snapshot: the number of the last
 * attempt (0: none), and whether it ended the job.
 */
extern bool queue_has_ended(const QueueJob *entry, Snapshot snapshot, int *last_attempt);

/* The job that would be claimed next, and its attempts so far; false: none is due. */
extern bool queue_peek(pg_uuid_t *id, int *attempts);

/* Take back leases whose time is over; see outcome.c. */
extern void queue_reap(void);

/*
 * Scan the tables if that is wanted; see scan.c.  Returns whether it did; the
 * consumers are to be woken then.
 */
extern bool queue_scan_if_wanted(bool found_nothing);

/* Wait for another process's scan; false when there was none, or it takes long. */
extern bool queue_wait_for_scan(void);

/*
 * Set the search_path that the queue's SQL is meant for, until AtEOXact_GUC()
 * of the level that is returned, or an error.  For what enqueue_job() runs now
 * and then: the function itself has no SET clause, which costs every call.
 */
extern int	queue_pin_search_path(void);

/* Read job_types and job_generations again if they have changed; see scan.c. */
extern void queue_read_types(void);

/* A type's retry settings, in ms. */
extern void queue_retry_settings(uint64 type_hash, int *base, int *cap);

#endif							/* PADLOCK_QUEUE_JOBS_H */
