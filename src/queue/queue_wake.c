/*-------------------------------------------------------------------------
 *
 * queue_wake.c
 *	  Who waits for jobs, and how they are woken.
 *
 * Shared memory holds one slot for each backend, at its backend id: which
 * database it serves, as what, and its latch.  A transaction that adds jobs
 * remembers it and sets latches after its commit, when the jobs are in the
 * ready list (xact.c registers its callback before this file's).
 *
 * A consumer says that it rests before it looks for a job a last time, and
 * then sleeps.  New jobs that are due wake one that rests, and its rest is
 * over with that, so that a burst of commits sends one signal and not one
 * each.  Whoever has claimed a job and sees that more are ready wakes the next
 * (padlock_queue_rise()); so all are up soon when there is work for all.  No
 * job is overlooked: it is in the list before its committer looks for who
 * rests, and a consumer looks into the list after it has said that it rests,
 * and again when it rises.  What changes when consumers have to look again by
 * themselves, such as a job that is due later, wakes all of them.
 *
 * A wake-up is a hint and may be false (a rolled back subtransaction) or
 * missing (COMMIT PREPARED): sleepers look again at intervals of their own.
 *
 * Locking contract: one LWLock, exclusive to change a slot, shared to read;
 * nothing is called and no error raised while it is held.
 *
 * Crash contract: slots hold nothing but running sessions; a crash restart
 * begins with empty ones.  A session removes itself before it leaves shared
 * memory, and a latch outlives its backend (it belongs to the PGPROC slot),
 * so that setting a stranger's is a false wake-up at worst.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "core/core.h"
#include "core/errors.h"
#include "queue/queue_internal.h"
#include "queue/xact.h"

#define QUEUE_SHMEM_NAME "padlock queue"
#define QUEUE_ROLES (PADLOCK_QUEUE_WAITER + 1)

typedef struct QueueSlot
{
	bool		registered[QUEUE_ROLES];
	bool		resting;		/* a consumer that a new job may wake */
	Oid			database;
	Latch	   *latch;
} QueueSlot;

typedef struct WakeShared
{
	LWLock	   *lock;
	int			nregistered[QUEUE_ROLES];	/* in all databases */
	int			nslots;
	QueueSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} WakeShared;

int			padlock_retry_base = 30 * 1000;
int			padlock_retry_cap = 60 * 60 * 1000;
int			padlock_job_worker_wait = 10 * 1000;
int			padlock_queue_max_running_per_queue = 1;

static WakeShared *shared = NULL;
static bool wake_at_commit[QUEUE_ROLES];
static bool wake_one_at_commit;
static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static Size
shared_size(void)
{
	return offsetof(WakeShared, slots) + mul_size(MaxBackends, sizeof(QueueSlot));
}

static void
request_shared_memory(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(QUEUE_SHMEM_NAME, 1);
}

static void
start_shared_memory(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(QUEUE_SHMEM_NAME, shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, shared_size());
		shared->lock = &GetNamedLWLockTranche(QUEUE_SHMEM_NAME)->lock;
		shared->nslots = MaxBackends;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Change the registration of the calling backend; idempotent. */
static void
set_registered(PadlockQueueRole role, bool registered)
{
	QueueSlot  *slot = &shared->slots[MyBackendId - 1];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot->registered[role] != registered)
	{
		slot->registered[role] = registered;
		slot->resting = false;
		slot->database = MyDatabaseId;
		slot->latch = MyLatch;
		shared->nregistered[role] += registered ? 1 : -1;
	}
	LWLockRelease(shared->lock);
}

void
padlock_queue_register(PadlockQueueRole role)
{
	padlock_require_preload("waiting for jobs");
	set_registered(role, true);
}

void
padlock_queue_unregister(PadlockQueueRole role)
{
	set_registered(role, false);
}

void
queue_leave_consumers(int code, Datum arg)
{
	padlock_queue_unregister(PADLOCK_QUEUE_CONSUMER);
}

/*
 * Visit this database's sessions of a role: set their latches, or only tell
 * whether there is one.
 */
static bool
visit_slots(PadlockQueueRole role, bool set_latches)
{
	bool		found = false;
	int			remaining;

	if (shared == NULL)
		return false;

	LWLockAcquire(shared->lock, LW_SHARED);
	remaining = shared->nregistered[role];
	for (int i = 0; i < shared->nslots && remaining > 0; i++)
	{
		QueueSlot  *slot = &shared->slots[i];

		if (!slot->registered[role])
			continue;
		remaining--;
		if (slot->database != MyDatabaseId)
			continue;
		found = true;
		if (set_latches)
			SetLatch(slot->latch);
	}
	LWLockRelease(shared->lock);
	return found;
}

/* Is this the slot of a consumer of our database that rests? */
static bool
is_resting(const QueueSlot *slot)
{
	return slot->resting && slot->registered[PADLOCK_QUEUE_CONSUMER] &&
		slot->database == MyDatabaseId;
}

void
queue_wake_one(void)
{
	Latch	   *latch = NULL;

	if (shared == NULL || shared->nregistered[PADLOCK_QUEUE_CONSUMER] == 0)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots && latch == NULL; i++)
	{
		QueueSlot  *slot = &shared->slots[i];

		if (is_resting(slot))
		{
			slot->resting = false;
			latch = slot->latch;
		}
	}
	LWLockRelease(shared->lock);
	/* not under the lock, which is the first that the consumer wants */
	if (latch != NULL)
		SetLatch(latch);
}

void
queue_wake_one_at_commit(void)
{
	wake_one_at_commit = true;
}

/* Say whether a new job may wake the calling consumer. */
static void
set_resting(bool resting)
{
	QueueSlot  *slot = &shared->slots[MyBackendId - 1];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot->resting = resting;
	LWLockRelease(shared->lock);
}

void
padlock_queue_rest(void)
{
	set_resting(true);
}

bool
padlock_queue_is_woken(void)
{
	bool		resting;

	LWLockAcquire(shared->lock, LW_SHARED);
	resting = shared->slots[MyBackendId - 1].resting;
	LWLockRelease(shared->lock);
	return !resting;
}

void
padlock_queue_rise(void)
{
	set_resting(false);
	if (queue_has_ready())
		queue_wake_one();
}

bool
padlock_queue_is_attended(PadlockQueueRole role)
{
	return visit_slots(role, false);
}

void
padlock_queue_set_latches(PadlockQueueRole role)
{
	(void) visit_slots(role, true);
}

void
padlock_queue_set_latches_at_commit(PadlockQueueRole role)
{
	wake_at_commit[role] = true;
}

void
padlock_queue_announce_end(void)
{
	padlock_queue_set_latches(PADLOCK_QUEUE_WAITER);
}

/*
 * Transaction callback.  XACT_EVENT_COMMIT comes after the transaction has
 * become visible to others; an error here could not undo it, so only calls
 * that raise none are made.
 */
static void
wake_after_commit(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (wake_one_at_commit && event == XACT_EVENT_COMMIT && !wake_at_commit[PADLOCK_QUEUE_CONSUMER])
		queue_wake_one();
	wake_one_at_commit = false;
	for (int role = 0; role < QUEUE_ROLES; role++)
	{
		if (wake_at_commit[role] && event == XACT_EVENT_COMMIT)
			padlock_queue_set_latches((PadlockQueueRole) role);
		wake_at_commit[role] = false;
	}
}

static void
define_settings(void)
{
	DefineCustomIntVariable("padlock.retry_base",
							"Bound of the delay before a failed background job's first retry.",
							"It doubles with each further attempt; the delay is drawn between zero and the bound.",
							&padlock_retry_base, padlock_retry_base, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.retry_cap",
							"Largest bound that padlock.retry_base grows to.", NULL,
							&padlock_retry_cap, padlock_retry_cap, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.max_running_per_queue",
							"How many jobs with one queue key run at a time.",
							"padlock.job_types may say otherwise of a type.",
							&padlock_queue_max_running_per_queue,
							padlock_queue_max_running_per_queue, 1, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.job_worker_wait",
							"How long job_worker() waits for the outcome of a job.", NULL,
							&padlock_job_worker_wait, padlock_job_worker_wait, 0, 60 * 60 * 1000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* Settings that size shared memory, which is there when preloaded only. */
static void
define_sizes(void)
{
	DefineCustomIntVariable("padlock.queue_max_jobs",
							"Waiting jobs that are kept in memory; more wait in their table.", NULL,
							&padlock_queue_max_jobs, padlock_queue_max_jobs, 64, 10000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.queue_max_leases",
							"Jobs that may run at a time.", NULL,
							&padlock_queue_max_leases, padlock_queue_max_leases, 16, 1000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

void
padlock_queue_init(void)
{
	define_settings();
	/* callbacks run in the reverse of the order in which they are registered */
	RegisterXactCallback(wake_after_commit, NULL);
	queue_xact_init();
	if (!padlock_preloaded)
		return;

	define_sizes();
	queue_state_reserve();

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}
