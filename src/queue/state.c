/*-------------------------------------------------------------------------
 *
 * state.c
 *	  The queue's shared memory: set-up, databases, items.
 *
 * The number of items that wait is bounded by padlock.queue_max_jobs.  A database may
 * take at most half of what is free, so that no backlog of one keeps the
 * others out; what does not fit stays in its table and is scanned later.
 *
 * Crash contract: a crash restart begins empty, but for the leases that
 * lease.c finds in their file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "core/boot.h"
#include "queue/queue_internal.h"
#include "queue/state.h"

#define STATE_NAME	"padlock jobs"

/* Items a database gets however full it is, to be able to do something. */
#define RESERVED_ITEMS	16

QueueShared *padlock_queue = NULL;
static HTAB *queue_items = NULL;
HTAB	   *queue_groups = NULL;
int			padlock_queue_max_jobs = 200000;
int			padlock_queue_max_leases = 4096;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Every lease has an item, whatever the ready list holds. */
static long
max_items(void)
{
	return (long) padlock_queue_max_jobs + padlock_queue_max_leases;
}

/* Of keys one lease or parked job each at most, and some types. */
static long
max_groups(void)
{
	return (long) padlock_queue_max_leases + 1024;
}

static void
request_memory(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(sizeof(QueueShared));
	RequestAddinShmemSpace(hash_estimate_size(max_items(), sizeof(QueueItem)));
	RequestAddinShmemSpace(hash_estimate_size(max_groups(), sizeof(QueueGroup)));
	RequestNamedLWLockTranche(STATE_NAME, 1);
}

static void
start_hashes(void)
{
	HASHCTL		items = {.keysize = sizeof(QueueKey), .entrysize = sizeof(QueueItem)};
	HASHCTL		groups = {.keysize = sizeof(QueueGroupKey), .entrysize = sizeof(QueueGroup)};

	queue_items = ShmemInitHash("padlock jobs by id", max_items(), max_items(), &items,
								HASH_ELEM | HASH_BLOBS);
	queue_groups = ShmemInitHash("padlock job limits", max_groups(), max_groups(), &groups,
								 HASH_ELEM | HASH_BLOBS);
}

static void
start_memory(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	padlock_queue = ShmemInitStruct(STATE_NAME, sizeof(QueueShared), &found);
	start_hashes();
	if (!found)
	{
		memset(padlock_queue, 0, sizeof(QueueShared));
		padlock_queue->lock = &GetNamedLWLockTranche(STATE_NAME)->lock;
		padlock_queue->weight = (uint32) padlock_boot_clock();
		queue_leases_start();
	}
	LWLockRelease(AddinShmemInitLock);
}

void
queue_state_reserve(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
}

QueueHead *
queue_head(Oid database)
{
	static int	mine = -1;		/* where our own database was last */
	QueueHead  *unused = NULL;

	if (mine >= 0 && padlock_queue->heads[mine].database == database)
		return &padlock_queue->heads[mine];
	for (int i = 0; i < QUEUE_MAX_DATABASES; i++)
	{
		QueueHead  *head = &padlock_queue->heads[i];

		if (head->database == database)
		{
			mine = i;
			return head;
		}
		if (!OidIsValid(head->database) && unused == NULL)
			unused = head;
	}
	if (unused != NULL)
	{
		memset(unused, 0, sizeof(*unused));
		unused->database = database;
		unused->later = DT_NOEND;
		unused->next_end = PG_INT64_MAX;
		unused->types_changed = 1;
		ConditionVariableInit(&unused->scanned);
	}
	return unused;
}

QueueItem *
queue_find(const QueueKey *key)
{
	return hash_search(queue_items, key, HASH_FIND, NULL);
}

QueueItem *
queue_create(QueueHead *head, const QueueKey *key, bool leased)
{
	int			unused = padlock_queue_max_jobs - padlock_queue->waiting;
	QueueItem  *item;

	if (!leased && (unused <= 0 || head->waiting > Max(unused, RESERVED_ITEMS)))
		return NULL;
	item = hash_search(queue_items, key, HASH_ENTER_NULL, NULL);
	if (item == NULL)
		return NULL;
	memset((char *) item + sizeof(QueueKey), 0, sizeof(QueueItem) - sizeof(QueueKey));
	item->lease = -1;
	item->holder.backendId = InvalidBackendId;
	item->place = QUEUE_NOWHERE;
	head->waiting++;
	padlock_queue->waiting++;
	return item;
}

void
queue_delete(QueueHead *head, QueueItem *item)
{
	Assert(item->place == QUEUE_NOWHERE && item->lease < 0);
	head->waiting--;
	padlock_queue->waiting--;
	(void) hash_search(queue_items, &item->key, HASH_REMOVE, NULL);
}

/* Remove a database's items and groups; the lock is held. */
static void
forget_entries(Oid database)
{
	HASH_SEQ_STATUS scan;
	QueueItem  *item;
	QueueGroup *group;

	hash_seq_init(&scan, queue_items);
	while ((item = hash_seq_search(&scan)) != NULL)
		if (item->key.database == database)
		{
			if (item->lease >= 0)
				queue_lease_free(NULL, item);
			padlock_queue->waiting--;
			(void) hash_search(queue_items, &item->key, HASH_REMOVE, NULL);
		}
	for (int i = 0; i < padlock_queue_max_leases; i++)
		if (padlock_queue_leases[i].in_use && padlock_queue_leases[i].noticed &&
			padlock_queue_leases[i].key.database == database)
			queue_lease_drop(&padlock_queue_leases[i]);
	hash_seq_init(&scan, queue_groups);
	while ((group = hash_seq_search(&scan)) != NULL)
		if (group->key.database == database)
			(void) hash_search(queue_groups, &group->key, HASH_REMOVE, NULL);
}

void
padlock_queue_forget_database(Oid database)
{
	if (padlock_queue == NULL)
		return;
	LWLockAcquire(padlock_queue->lock, LW_EXCLUSIVE);
	for (int i = 0; i < QUEUE_MAX_DATABASES; i++)
		if (padlock_queue->heads[i].database == database)
		{
			forget_entries(database);
			padlock_queue->heads[i].database = InvalidOid;
		}
	LWLockRelease(padlock_queue->lock);
}
