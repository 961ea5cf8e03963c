/*-------------------------------------------------------------------------
 *
 * xact.c
 *	  Ties the queue's shared memory to transactions.
 *
 * A transaction that claims or changes a job holds its item: the item names
 * the virtual transaction, and whoever else wants to end or change the job
 * waits for that (VirtualXactLock, so the deadlock detector sees it).  The
 * changes are noted in a list with the nesting level of the subtransaction.
 * At commit, after the transaction has become visible, the list is gone
 * through from its start; at abort, of a subtransaction only what is its own,
 * from its end.
 *
 * New jobs are put into the ready list when their rows are visible to every
 * snapshot that is taken from then on.  What reads the rows (claim.c) takes
 * its snapshot after it took the item.
 *
 * PREPARE TRANSACTION: what was added is found by a scan after COMMIT
 * PREPARED; a transaction that holds items cannot be prepared, since nobody
 * would give them back, nor one that changed job_types, since nobody would
 * have them read again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/pairingheap.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "core/boot.h"
#include "core/errors.h"
#include "queue/xact.h"

#define COMMIT_CHUNK	500		/* changes made before others get their turn */

typedef enum OpKind
{
	OP_ADD,
	OP_CLAIM,
	OP_HOLD,
	OP_SETTLE,
	OP_NOTICE
} OpKind;

typedef struct QueueOp
{
	OpKind		kind;
	int			level;			/* of the subtransaction */
	QueueKey	key;
	QueueFate	fate;
	QueueJob	job;
	QueueGrant	grant;
	QueueLease *lease;			/* of OP_NOTICE */
	bool		ends;			/* of OP_SETTLE: no claim can be ended after it */
	int			added;			/* of OP_CLAIM: the OP_ADD of the job, or -1 */
} QueueOp;

/* The list, in TopTransactionContext; NULL outside transactions that have one. */
static QueueOp *ops = NULL;
static int	nops = 0;
static int	maxops = 0;
static bool types_changed = false;

/* A job that this transaction has added and may claim itself. */
typedef struct AddedJob
{
	pairingheap_node node;
	int			op;
} AddedJob;

/*
 * Such jobs by rank, of the first `looked_at` changes.  Made when the
 * transaction claims, and made anew after a rollback to a savepoint.
 */
static MemoryContext added_context = NULL;
static pairingheap *added_jobs = NULL;
static int	looked_at = 0;

/* The OP_ADD of the item that queue_xact_take_added() has just made, or -1. */
static int	taken_op = -1;

/* Our virtual transaction; MyProc->lxid is gone when the callbacks run. */
static LocalTransactionId my_lxid = InvalidLocalTransactionId;

QueueHead *
queue_my_head(void)
{
	static QueueHead *head = NULL;

	/* it stays ours as long as we are connected to the database */
	if (head != NULL && head->database == MyDatabaseId)
		return head;
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	head = queue_head(MyDatabaseId);
	LWLockRelease(padlock_queue->lock);
	if (head == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many databases have job queues"),
				 errdetail("There is room for %d.", QUEUE_MAX_DATABASES)));
	return head;
}

void
queue_my_key(QueueKey *key, const pg_uuid_t *id)
{
	key->database = MyDatabaseId;
	key->id = *id;
}

void
queue_xact_reserve(int n)
{
	my_lxid = MyProc->lxid;
	if (ops != NULL && nops + n <= maxops)
		return;
	maxops = Max(Max(2 * maxops, nops + n), 16);
	if (ops == NULL)
		ops = MemoryContextAlloc(TopTransactionContext, maxops * sizeof(QueueOp));
	else
		ops = repalloc_huge(ops, maxops * sizeof(QueueOp));
}

static QueueOp *
note(OpKind kind, const QueueKey *key)
{
	QueueOp    *op = &ops[nops++];

	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->level = GetCurrentTransactionNestLevel();
	op->key = *key;
	op->added = -1;
	return op;
}

static bool
is_mine(const QueueItem *item)
{
	return item->holder.backendId == MyBackendId &&
		item->holder.localTransactionId == my_lxid;
}

bool
queue_xact_has_ended(const QueueItem *item)
{
	return item->ending && is_mine(item);
}

static void
hold(QueueItem *item)
{
	item->holder.backendId = MyBackendId;
	item->holder.localTransactionId = my_lxid;
}

static void
release(QueueItem *item)
{
	item->holder.backendId = InvalidBackendId;
	item->claiming = false;
	item->ending = false;
}

/*
 * Have consumers woken at commit for a job that waits: one when it is due;
 * all when it will be, since each of them sleeps until then at most.
 */
static void
wake_for(const QueueJob *job)
{
	if (job->due == 0 || job->due <= GetCurrentTransactionStartTimestamp())
		queue_wake_one_at_commit();
	else
		padlock_queue_set_latches_at_commit(PADLOCK_QUEUE_CONSUMER);
}

void
queue_xact_added(const pg_uuid_t *id, const QueueJob *job)
{
	QueueKey	key;

	queue_my_key(&key, id);
	queue_xact_reserve(1);
	note(OP_ADD, &key)->job = *job;
	wake_for(job);
}

void
queue_xact_claimed(QueueItem *item)
{
	note(OP_CLAIM, &item->key)->added = taken_op;
	taken_op = -1;
	hold(item);
	item->claiming = true;
}

/* pairingheap_comparator: the job whose turn is first is at the top. */
static int
compare_added(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const AddedJob *first = pairingheap_const_container(AddedJob, node, a);
	const AddedJob *second = pairingheap_const_container(AddedJob, node, b);

	return queue_is_before(&ops[first->op].job, &ops[second->op].job) ? 1 : -1;
}

void
queue_xact_look_at_added(void)
{
	TimestampTz now = GetCurrentTimestamp();

	for (; looked_at < nops; looked_at++)
	{
		AddedJob   *job;

		if (ops[looked_at].kind != OP_ADD || ops[looked_at].job.due > now)
			continue;
		if (added_jobs == NULL)
		{
			MemoryContext old;

			added_context = AllocSetContextCreate(TopTransactionContext, "padlock added jobs",
												  ALLOCSET_DEFAULT_SIZES);
			old = MemoryContextSwitchTo(added_context);
			added_jobs = pairingheap_allocate(compare_added, NULL);
			MemoryContextSwitchTo(old);
		}
		job = MemoryContextAlloc(added_context, sizeof(*job));
		job->op = looked_at;
		pairingheap_add(added_jobs, &job->node);
	}
}

/* What was rolled back is no job, and what was claimed then may be again. */
static void
forget_added(void)
{
	if (added_jobs != NULL)
		MemoryContextDelete(added_context);
	added_context = NULL;
	added_jobs = NULL;
	looked_at = 0;
}

QueueItem *
queue_xact_take_added(QueueHead *head, const QueueItem *other)
{
	while (added_jobs != NULL && !pairingheap_is_empty(added_jobs))
	{
		int			op = pairingheap_container(AddedJob, node, pairingheap_first(added_jobs))->op;
		QueueItem  *item;

		if (other != NULL && !queue_is_before(&ops[op].job, &other->job))
			return NULL;
		if (queue_find(&ops[op].key) == NULL)
		{
			item = queue_create(head, &ops[op].key, true);
			if (item == NULL)
				return NULL;
			(void) pairingheap_remove_first(added_jobs);
			item->job = ops[op].job;
			taken_op = op;
			return item;
		}
		/* we have claimed or changed it since */
		(void) pairingheap_remove_first(added_jobs);
	}
	return NULL;
}

/*
 * Find an item and see that nobody else holds it; NULL when there is none.
 * The lock is held when this returns, and may be released in between.
 */
static QueueItem *
find_free(const QueueKey *key)
{
	for (;;)
	{
		QueueItem  *item;
		VirtualTransactionId holder;

		LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
		item = queue_find(key);
		if (item == NULL || item->holder.backendId == InvalidBackendId || is_mine(item))
			return item;
		holder = item->holder;
		LWLockRelease(padlock_queue->lock);
		CHECK_FOR_INTERRUPTS();
		(void) VirtualXactLock(holder, true);
	}
}

/* Note our hold of an item, which is taken off its set. */
static void
take_hold(QueueItem *item)
{
	if (!is_mine(item))
	{
		QueueHead  *head = queue_head(MyDatabaseId);

		(void) note(OP_HOLD, &item->key);
		if (item->place == QUEUE_READY)
			queue_pass_on(head, item);
		queue_displace(head, item);
		hold(item);
	}
}

QueueHold
queue_xact_hold_claim(const pg_uuid_t *id, int attempt, QueueLease *copy)
{
	QueueKey	key;
	QueueItem  *item;
	QueueHold	result = QUEUE_LOST;

	queue_my_key(&key, id);
	queue_xact_reserve(2);
	item = find_free(&key);
	if (item != NULL && item->lease >= 0 && !queue_xact_has_ended(item) &&
		(attempt < 0 || item->job.attempts == attempt))
	{
		take_hold(item);
		item->ending = true;
		note(OP_SETTLE, &key)->ends = true;
		*copy = *queue_lease_of(item);
		result = QUEUE_HELD;
	}
	LWLockRelease(padlock_queue->lock);
	if (result == QUEUE_HELD)
		padlock_queue_set_latches_at_commit(PADLOCK_QUEUE_WAITER);
	return result;
}

void
queue_xact_hold(const pg_uuid_t *id, QueueLease *copy)
{
	QueueKey	key;
	QueueHead  *head;
	QueueItem  *item;

	queue_my_key(&key, id);
	queue_xact_reserve(1);
	item = find_free(&key);
	head = queue_head(MyDatabaseId);
	copy->in_use = 0;
	if (item == NULL && head != NULL)
		item = queue_create(head, &key, true);	/* job.seq is 0 */
	if (item != NULL)
	{
		take_hold(item);
		if (item->lease >= 0 && !item->ending)
			*copy = *queue_lease_of(item);
	}
	LWLockRelease(padlock_queue->lock);
}

bool
queue_xact_try_hold(const pg_uuid_t *id)
{
	QueueKey	key;
	QueueHead  *head;
	QueueItem  *item;
	bool		held = false;

	queue_my_key(&key, id);
	queue_xact_reserve(1);
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	item = queue_find(&key);
	head = queue_head(MyDatabaseId);
	if (item == NULL && head != NULL)
		item = queue_create(head, &key, true);
	if (item != NULL && item->lease < 0 && item->holder.backendId == InvalidBackendId)
	{
		take_hold(item);
		held = true;
	}
	LWLockRelease(padlock_queue->lock);
	return held;
}

void
queue_xact_noticed(QueueLease *lease)
{
	note(OP_NOTICE, &lease->key)->lease = lease;
}

void
queue_xact_hold_ended(QueueItem *item)
{
	(void) note(OP_HOLD, &item->key);
	hold(item);
	item->ending = true;
	note(OP_SETTLE, &item->key)->ends = true;
	padlock_queue_set_latches_at_commit(PADLOCK_QUEUE_WAITER);
}

/*
 * A change of a held item ends its claim, unless it goes on as the same
 * attempt: nobody can end it once more, unless the change is rolled back.
 */
static void
end_claim(QueueOp *op)
{
	QueueItem  *item;

	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	item = queue_find(&op->key);
	if (item != NULL && item->lease >= 0 && is_mine(item) && !item->ending &&
		(op->fate != QUEUE_RUNS || op->job.attempts != item->job.attempts))
	{
		item->ending = true;
		op->ends = true;
	}
	LWLockRelease(padlock_queue->lock);
}

void
queue_xact_settle(const pg_uuid_t *id, QueueFate fate, const QueueJob *job,
				  const QueueGrant *grant)
{
	QueueKey	key;
	QueueOp    *op;

	queue_my_key(&key, id);
	queue_xact_reserve(1);
	op = nops > 0 ? &ops[nops - 1] : NULL;
	if (op == NULL || op->kind != OP_SETTLE || op->level != GetCurrentTransactionNestLevel() ||
		memcmp(&op->key, &key, sizeof(key)) != 0)
		op = note(OP_SETTLE, &key);
	op->fate = fate;
	if (job != NULL)
		op->job = *job;
	end_claim(op);
	if (grant != NULL)
	{
		op->grant = *grant;
		op->grant.worker = MemoryContextStrdup(TopTransactionContext, grant->worker);
	}
	if (fate == QUEUE_WAITS)
		wake_for(&op->job);
	else if (fate == QUEUE_GONE)
		padlock_queue_set_latches_at_commit(PADLOCK_QUEUE_WAITER);
}

void
queue_xact_types_changed(void)
{
	types_changed = true;
	padlock_queue_set_latches_at_commit(PADLOCK_QUEUE_CONSUMER);
}

/* Have a background worker stop what it does for a lease that goes. */
static void
stop_worker(const QueueLease *lease)
{
	if (lease->in_server && lease->owner != 0 && lease->owner != MyProcPid && lease->started)
		(void) kill(lease->owner, SIGINT);
}

/*
 * Lease an item by hand; what was known of the same claim before, who is at it
 * and how far, stays.  With all leases taken, the job waits.
 */
static void
grant_lease(QueueHead *head, QueueItem *item, const QueueOp *op, const QueueLease *before)
{
	QueueLease *lease;

	item->job = op->job;
	item->job.attempts--;		/* queue_lease_make() counts it */
	lease = queue_lease_make(head, item, op->grant.worker, Max(op->grant.length, 0),
							 before != NULL && before->in_server);
	if (lease == NULL)
	{
		if (!queue_place(head, item))
			queue_delete(head, item);
		return;
	}
	if (before != NULL)
	{
		lease->owner = before->owner;
		lease->started = before->started;
		lease->reported = before->reported;
		lease->done = before->done;
		lease->total = before->total;
		lease->reported_at = before->reported_at;
		memcpy(lease->message, before->message, sizeof(lease->message));
	}
	queue_lease_set_start(lease, op->grant.started_at);
	queue_lease_set_deadline(head, lease, padlock_boot_clock() + op->grant.length);
}

/* Carry out what became of a changed job. */
static void
settle(QueueHead *head, const QueueOp *op)
{
	QueueItem  *item = queue_find(&op->key);
	QueueLease	before;
	bool		goes_on = false;

	if (item != NULL && item->lease >= 0)
	{
		before = *queue_lease_of(item);
		goes_on = op->fate == QUEUE_RUNS && op->job.attempts == item->job.attempts;
		if (!goes_on)
			stop_worker(&before);
		queue_lease_free(head, item);
	}
	if (item != NULL)
	{
		queue_displace(head, item);
		release(item);
	}
	if (op->fate == QUEUE_GONE)
	{
		if (item != NULL)
			queue_delete(head, item);
		return;
	}
	if (op->fate == QUEUE_RUNS)
	{
		if (item == NULL)
			item = queue_create(head, &op->key, true);
		if (item != NULL)
			grant_lease(head, item, op, goes_on ? &before : NULL);
		return;
	}
	if (item == NULL)
		(void) queue_feed(head, &op->key, &op->job);
	else
	{
		item->job = op->job;
		if (!queue_place(head, item))
			queue_delete(head, item);
	}
}

/* A claim is committed. */
static void
confirm(const QueueOp *op)
{
	QueueItem  *item = queue_find(&op->key);

	if (item != NULL && item->claiming && is_mine(item))
	{
		item->claiming = false;
		if (!item->ending)
			release(item);
	}
}

/* A claim is rolled back: the job waits again, as if it had not been claimed. */
static void
give_back(QueueHead *head, const QueueOp *op)
{
	QueueItem  *item = queue_find(&op->key);

	if (item == NULL || !is_mine(item) || !item->claiming)
		return;
	if (item->lease >= 0)
	{
		queue_lease_free(head, item);
		item->job.attempts--;
	}
	release(item);
	/* what we had added ourselves is not for others yet */
	if (op->added >= 0 || !queue_place(head, item))
		queue_delete(head, item);
}

/*
 * A hold is rolled back, or nothing came of it.  An item that was made for
 * the hold only goes, and what it stood for is looked for in the tables.
 */
static void
let_go(QueueHead *head, const QueueOp *op)
{
	QueueItem  *item = queue_find(&op->key);

	if (item == NULL || !is_mine(item))
		return;
	release(item);
	if (item->lease >= 0)
	{
		/* it may have been looked at as ended */
		queue_lease_set_deadline(head, queue_lease_of(item), queue_lease_of(item)->deadline);
		return;
	}
	if (item->job.seq == 0)
		head->stale = true;
	if (item->job.seq == 0 || !queue_place(head, item))
		queue_delete(head, item);
}

/* A change is rolled back within a transaction that still holds the item. */
static void
unsettle(const QueueOp *op)
{
	QueueItem  *item = queue_find(&op->key);

	if (op->ends && item != NULL && is_mine(item))
		item->ending = false;
}

/* The end of a lease was noticed and not said: another has to. */
static void
not_said(QueueHead *head, const QueueOp *op)
{
	op->lease->noticing = false;
	queue_lease_set_deadline(head, op->lease, 0);
}

static void
commit_ops(void)
{
	QueueHead  *head;

	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	head = queue_head(MyDatabaseId);
	for (int i = 0; i < nops && head != NULL; i++)
	{
		if (i % COMMIT_CHUNK == COMMIT_CHUNK - 1)
		{
			/* what is held stays so, and new jobs may be claimed one by one */
			LWLockRelease(padlock_queue->lock);
			LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
		}
		switch (ops[i].kind)
		{
			case OP_ADD:
				(void) queue_feed(head, &ops[i].key, &ops[i].job);
				break;
			case OP_CLAIM:
				confirm(&ops[i]);
				break;
			case OP_HOLD:
				break;
			case OP_SETTLE:
				settle(head, &ops[i]);
				break;
			case OP_NOTICE:
				queue_lease_drop(ops[i].lease);
				break;
		}
	}
	/* what was held and then left as it was */
	for (int i = 0; i < nops && head != NULL; i++)
		if (ops[i].kind == OP_HOLD)
			let_go(head, &ops[i]);
	if (types_changed && head != NULL)
		head->types_changed++;
	LWLockRelease(padlock_queue->lock);
	/* a background worker looks itself what is next */
	if (queue_has_unparked() && !queue_is_worker())
		queue_wake_one();
}

/* Undo what the (sub)transaction at this nesting level and deeper did. */
static void
abort_ops(int level)
{
	QueueHead  *head;
	bool		given_back = false;

	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	head = queue_head(MyDatabaseId);
	while (nops > 0 && ops[nops - 1].level >= level)
	{
		QueueOp    *op = &ops[--nops];

		if (head == NULL)
			continue;
		if (op->kind == OP_CLAIM)
			give_back(head, op);
		else if (op->kind == OP_HOLD)
			let_go(head, op);
		else if (op->kind == OP_SETTLE)
			unsettle(op);
		else if (op->kind == OP_NOTICE)
			not_said(head, op);
		given_back = given_back || op->kind == OP_CLAIM || op->kind == OP_HOLD;
	}
	if (types_changed && head != NULL)
		head->types_changed++;	/* somebody may have read what is undone */
	LWLockRelease(padlock_queue->lock);
	forget_added();
	if (given_back)
		padlock_queue_set_latches(PADLOCK_QUEUE_CONSUMER);
}

static void
refuse_prepare(void)
{
	if (types_changed)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has changed padlock.job_types")));
	for (int i = 0; i < nops; i++)
		if (ops[i].kind != OP_ADD)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has claimed, ended or changed jobs")));
}

static void
forget_ops(void)
{
	ops = NULL;					/* freed with the transaction's memory */
	nops = maxops = 0;
	added_context = NULL;
	added_jobs = NULL;
	looked_at = 0;
	taken_op = -1;
	types_changed = false;
	my_lxid = InvalidLocalTransactionId;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			refuse_prepare();
			break;
		case XACT_EVENT_COMMIT:
			if (padlock_queue != NULL && (nops > 0 || types_changed))
				commit_ops();
			forget_ops();
			break;
		case XACT_EVENT_ABORT:
			if (padlock_queue != NULL && (nops > 0 || types_changed))
				abort_ops(0);
			forget_ops();
			break;
		case XACT_EVENT_PREPARE:
			forget_ops();
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
				 void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB && nops > 0)
		abort_ops(level);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = nops - 1; i >= 0 && ops[i].level >= level; i--)
			ops[i].level = level - 1;
}

void
queue_xact_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
