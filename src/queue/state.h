/*-------------------------------------------------------------------------
 *
 * state.h
 *	  What the queue keeps in shared memory: the jobs that wait or run, in the
 *	  order in which they are due, their leases, and the databases they are of.
 *
 * Tables are the truth (jobs.c, outcome.c); everything here but the leases is
 * found again by a scan (scan.c).  Leases are in a mapped file (lease.c).
 *
 * Locking contract: one LWLock, padlock_queue->lock, guards all of it.  It is
 * held for a few memory accesses; nothing that can raise an error, wait or
 * allocate backend memory is called under it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_QUEUE_STATE_H
#define PADLOCK_QUEUE_STATE_H

#include "postgres.h"

#include "storage/condition_variable.h"
#include "storage/itemptr.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define QUEUE_MAX_DATABASES		1024
#define QUEUE_WORKER_BYTES		204 /* a worker's name, cut to fit */
#define QUEUE_MESSAGE_BYTES		204 /* a progress message, cut to fit */

/* A place in the order of jobs: higher priority first, then first in first out. */
typedef struct QueueRank
{
	int32		priority;
	int64		seq;
} QueueRank;

/* Where an item is kept. */
typedef enum QueuePlace
{
	QUEUE_NOWHERE,				/* leased, or held by a transaction */
	QUEUE_READY,				/* due, by rank */
	QUEUE_SCHEDULED,			/* by the wall time it is due at */
	QUEUE_RETRY,				/* by the boot clock's time it is due at */
	QUEUE_PARKED				/* due, but not for everybody, or not now: see ready.c */
} QueuePlace;

typedef struct QueueKey
{
	Oid			database;
	pg_uuid_t	id;
} QueueKey;

/* What is known of a job besides its row. */
typedef struct QueueJob
{
	int64		seq;
	uint64		type_hash;
	uint64		queue_hash;		/* 0: no key */
	TimestampTz due;			/* not before; 0: at once */
	int32		generation;		/* which tables hold it, 0: the parents */
	int32		priority;
	int32		attempts;		/* begun so far */
	int32		max_attempts;
	ItemPointerData row;
	bool		retry;			/* due is the end of a backoff, not a user's wish */
	bool		unverified;		/* from a scan: may have ended since */
} QueueJob;

typedef struct QueueItem
{
	QueueKey	key;			/* must be first */
	QueueJob	job;
	int64		due;			/* as the tree at hand counts */
	int			place;			/* QueuePlace */
	int			lease;			/* index, or -1 */
	VirtualTransactionId holder;	/* who is changing it; invalid: nobody */
	bool		claiming;		/* the holder's claim is not committed */
	bool		ending;			/* the holder has ended or changed it */
	struct QueueGroup *group;	/* when parked */
	struct QueueItem *left;
	struct QueueItem *right;
	uint32		weight;			/* of the treap */
} QueueItem;

typedef struct QueueTree
{
	QueueItem  *root;
	int			count;
} QueueTree;

/* What is not in memory: everything of this rank and behind. */
typedef struct QueueBound
{
	bool		set;
	QueueRank	rank;
} QueueBound;

typedef enum QueueGroupKind
{
	QUEUE_GROUP_TYPE,			/* jobs of a type that padlock.job_types names */
	QUEUE_GROUP_KEY				/* jobs of a queue key of which one runs or waits */
} QueueGroupKind;

typedef struct QueueGroupKey
{
	Oid			database;
	uint32		kind;
	uint64		hash;
} QueueGroupKey;

typedef struct QueueGroup
{
	QueueGroupKey key;			/* must be first */
	int			running;
	QueueTree	parked;
	QueueBound	bound;
	/* of a key */
	int			limit;			/* the largest of what is parked */
	/* of a type */
	bool		configured;
	bool		paused;
	bool		external;		/* background workers leave it alone */
	struct QueueGroup *next_external;
	int			max_running;	/* 0: no limit */
	int			max_running_per_queue;	/* 0: as the setting says */
	int			retry_base;		/* ms; -1: as the setting says */
	int			retry_cap;		/* ms; -1: as the setting says */
} QueueGroup;

/* A database's queue. */
typedef struct QueueHead
{
	Oid			database;		/* InvalidOid: free */
	bool		loaded;			/* scanned once since the start */
	bool		stale;			/* something is missing: scan before the next claim */
	uint32		types_changed;	/* counts changes of job_types and job_generations */
	uint32		types_read;		/* which of them was read last */
	pid_t		scanner;		/* who scans, or 0 */
	ConditionVariable scanned;	/* broadcast when a scan has ended */
	bool		windowed;		/* the next scan may read a part only, see scan.c */
	int			low;			/* refill when fewer are ready */
	int64		scanned_at;		/* boot clock */
	int			generation;		/* of new jobs */
	int			waiting;		/* items without a lease */
	QueueTree	ready;
	QueueTree	scheduled;
	QueueTree	retry;
	QueueGroup *externals;		/* types of external jobs, which are parked with them */
	QueueBound	bound;			/* of ready */
	QueueBound	missed;			/* what found no room since the last scan began */
	TimestampTz later;			/* jobs due from here on may be missing */
	int64		next_end;		/* no lease ends before, by the boot clock */
	int64		sample_seq;		/* see retention.c */
	uint64		sample_xid;
} QueueHead;

/* A lease: in the mapped file, so that it outlives a crash. */
typedef struct QueueLease
{
	uint32		crc;			/* of what follows, up to and with worker */
	uint32		in_use;
	QueueKey	key;
	QueueJob	job;
	TimestampTz started_at;
	int64		length;			/* microseconds */
	int32		in_server;		/* held by a background worker */
	char		worker[QUEUE_WORKER_BYTES];
	/* not under the checksum */
	int64		deadline;		/* by the boot clock */
	int64		started_clock;	/* started_at by the boot clock */
	int32		started;		/* false: claimed ahead, not begun */
	int32		noticed;		/* its end was noticed: kept until the outcomes say so */
	bool		noticing;		/* a transaction under way is to say it */
	pid_t		owner;			/* of a background worker's; 0: it is gone */
	QueueItem  *item;
	int			next_free;
	bool		reported;		/* progress */
	int64		done;
	int64		total;			/* -1: unknown */
	TimestampTz reported_at;
	char		message[QUEUE_MESSAGE_BYTES];
} QueueLease;

typedef struct QueueShared
{
	LWLock	   *lock;
	uint32		weight;			/* the treaps' source of randomness */
	int			waiting;		/* items without a lease, in all databases */
	int			free_lease;		/* head of the list, -1: none */
	QueueHead	heads[QUEUE_MAX_DATABASES];
} QueueShared;

/* NULL unless padlock was preloaded. */
extern QueueShared *padlock_queue;
extern QueueLease *padlock_queue_leases;

extern int	padlock_queue_max_jobs;
extern int	padlock_queue_max_leases;
extern int	padlock_queue_max_running_per_queue;

/* state.c: reserve and set up; called while the postmaster preloads. */
extern void queue_state_reserve(void);

/* The head of a database, made when missing; NULL when all are taken. */
extern QueueHead *queue_head(Oid database);

/* Items by key; create returns NULL when the database may have no more. */
extern QueueItem *queue_find(const QueueKey *key);
extern QueueItem *queue_create(QueueHead *head, const QueueKey *key, bool leased);
extern void queue_delete(QueueHead *head, QueueItem *item);

/* ---- tree.c: treaps by rank, or by_due by the time at which an item is due ---- */

extern void queue_tree_add(QueueTree *tree, QueueItem *item, bool by_due);
extern void queue_tree_remove(QueueTree *tree, QueueItem *item, bool by_due);

/* The first and the last item; NULL when there is none. */
extern QueueItem *queue_tree_first(const QueueTree *tree);
extern QueueItem *queue_tree_last(const QueueTree *tree);

/* ---- ready.c: what is due, in order ---- */

/*
 * Put an item that is in no set where it belongs, which may be outside memory:
 * it is not to be used any more.  False when its job lies behind the bound: it
 * is not to be kept then, since others before it are not.
 */
extern bool queue_place(QueueHead *head, QueueItem *item);

/* Take an item off the set it is in. */
extern void queue_displace(QueueHead *head, QueueItem *item);

/*
 * Put a committed job into the sets, or replace what is known of it.  A lease
 * of it, if there is one, stays.  False when it stays in the tables only.
 */
extern bool queue_feed(QueueHead *head, const QueueKey *key, const QueueJob *job);

/*
 * The next item that may start, taken off its set; NULL when there is none.
 * With only_type, NULL as well when the next one is of another type; with
 * in_server, external ones are left alone.
 */
extern QueueItem *queue_next(QueueHead *head, const uint64 *only_type, bool in_server);

/*
 * When there may be something to claim: DT_NOEND when nothing is known.  What
 * is parked waits for a lease to end, and is told of that by a latch.
 */
extern TimestampTz queue_next_due(QueueHead *head);

/* Is it a's turn before b's? */
extern bool queue_is_before(const QueueJob *a, const QueueJob *b);

/* Remember that a job is not in memory. */
extern void queue_lower_bound(QueueBound *bound, const QueueJob *job);

/* Should the tables be scanned, before a claim or after one found nothing? */
extern bool queue_wants_scan(QueueHead *head, bool found_nothing);

/* The group of a type or key; find returns NULL when there is none, make when there is no room. */
extern QueueGroup *queue_find_group(Oid database, QueueGroupKind kind, uint64 hash);
extern QueueGroup *queue_make_group(Oid database, QueueGroupKind kind, uint64 hash);

/*
 * An item that is first in turn is not to start: what its type and key had
 * parked behind it gets the place that they had offered it.
 */
extern void queue_pass_on(QueueHead *head, const QueueItem *item);

/* A lease was made. */
extern void queue_count_start(QueueItem *item);

/* A lease has ended. */
extern void queue_count_end(QueueHead *head, QueueItem *item);

/* Has this process put parked items back to ready since it was last asked? */
extern bool queue_has_unparked(void);

/* Put everything that a group had parked back to ready. */
extern void queue_free_parked(QueueHead *head, QueueGroup *group);

/* Groups by key; state.c makes it. */
extern HTAB *queue_groups;

/* ---- lease.c: leases and their file ---- */

/* Set up the leases at server start, or at a restart after a crash. */
extern void queue_leases_start(void);

/*
 * Lease an item that is in no tree: the next attempt at its job begins.  NULL
 * when all leases are taken.  length is in microseconds.
 */
extern QueueLease *queue_lease_make(QueueHead *head, QueueItem *item, const char *worker,
									int64 length, bool in_server);

/* End an item's lease; head may be NULL when its database goes. */
extern void queue_lease_free(QueueHead *head, QueueItem *item);

/* Take an ended lease from its item, and keep its record for who says so. */
extern void queue_lease_detach(QueueHead *head, QueueItem *item);

/* Give a record back that no item has (any more). */
extern void queue_lease_drop(QueueLease *lease);

/* Set a lease's checksum, after a change of what it covers. */
extern void queue_lease_seal(QueueLease *lease);

/* Say when the attempt began, by the wall clock. */
extern void queue_lease_set_start(QueueLease *lease, TimestampTz started_at);

/* Set the end of a lease, by the boot clock. */
extern void queue_lease_set_deadline(QueueHead *head, QueueLease *lease, int64 deadline);

static inline QueueLease *
queue_lease_of(const QueueItem *item)
{
	return item->lease < 0 ? NULL : &padlock_queue_leases[item->lease];
}

#endif							/* PADLOCK_QUEUE_STATE_H */
