/*-------------------------------------------------------------------------
 *
 * keyring_memory.c
 *	  Unlocked keys in memory that all processes share and that core dumps
 *	  leave out.
 *
 * The server's own shared memory may be written into a core dump, so the keys
 * have pages of their own: an anonymous shared mapping that the postmaster
 * makes, excludes from dumps (MADV_DONTDUMP) and locks into memory, so that it
 * never reaches swap, if the limit on locked memory allows it.  All its
 * children inherit the mapping.
 *
 * Locking contract: one LWLock, shared to copy a key out, exclusive to change
 * anything; nothing is called and no error raised while it is held.
 *
 * Crash contract: the memory is a cache.  A start and a crash restart begin with
 * an empty one, and keys are unlocked again when they are needed; whether the
 * keyring was locked by lock_keyring() is read from its table then (see
 * keyring_is_locked()).  The postmaster wipes the memory when it exits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "core/core.h"
#include "envelope/crypto.h"
#include "envelope/keyring.h"

#define KEYRING_TRANCHE		"padlock_keyring"
#define KEYRING_SLOTS		1024
#define KEYRING_DATABASES	1024

/* An unlocked KEK. */
typedef struct KeyringSlot
{
	Oid			database;		/* InvalidOid: free */
	pg_uuid_t	id;
	uint8		kek[PADLOCK_KEK_SIZE];
} KeyringSlot;

typedef struct KeyringDatabase
{
	Oid			database;		/* InvalidOid: free */
	KeyringLock lock;			/* unknown until somebody has read the table */
	bool		wanted;			/* a session missed a key service's KEK */
} KeyringDatabase;

typedef struct KeyringMemory
{
	int			used;			/* slots up to here may be taken */
	int			victim;			/* to be overwritten next when all are */
	KeyringDatabase databases[KEYRING_DATABASES];
	KeyringSlot slots[KEYRING_SLOTS];
} KeyringMemory;

static KeyringMemory *memory = NULL;
static LWLock *memory_lock = NULL;
static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static void
request_lock(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestNamedLWLockTranche(KEYRING_TRANCHE, 1);
}

/* Whole pages for the keys. */
static Size
memory_size(void)
{
	return TYPEALIGN(sysconf(_SC_PAGESIZE), sizeof(KeyringMemory));
}

/* In the postmaster, when its children are gone or as good as. */
static void
wipe_at_exit(int code, Datum arg)
{
	if (!IsUnderPostmaster && memory != NULL)
		envelope_wipe(memory, sizeof(KeyringMemory));
}

/* Map the pages; without them the server does not start. */
static void
map_memory(void)
{
	Size		size = memory_size();
	void	   *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not map %zu bytes of memory for keys: %m", size)));
	if (madvise(pages, size, MADV_DONTDUMP) != 0)
		ereport(FATAL,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not exclude the memory for keys from core dumps: %m")));
	if (mlock(pages, size) != 0)
		ereport(LOG,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not lock the memory for keys: %m"),
				 errdetail("Keys may be written to swap space."),
				 errhint("Allow the server %zu kB of locked memory more (ulimit -l, LimitMEMLOCK).",
						 size / 1024)));
	memory = pages;
	on_proc_exit(wipe_at_exit, (Datum) 0);
}

static void
attach_memory(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();
	/* again after a crash: the pages stay, and nobody else uses them now */
	if (memory == NULL)
		map_memory();
	envelope_wipe(memory, sizeof(KeyringMemory));
	memory_lock = &GetNamedLWLockTranche(KEYRING_TRANCHE)->lock;
}

void
keyring_memory_init(void)
{
	if (!padlock_preloaded)
		return;
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_lock;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = attach_memory;
}

/* This database's KEK of that id, or NULL.  The lock is held. */
static KeyringSlot *
find_slot(const pg_uuid_t *id)
{
	for (int i = 0; i < memory->used; i++)
	{
		KeyringSlot *slot = &memory->slots[i];

		if (slot->database == MyDatabaseId && memcmp(&slot->id, id, sizeof(pg_uuid_t)) == 0)
			return slot;
	}
	return NULL;
}

/* A slot to fill: a free one, or else the one that was filled longest ago. */
static KeyringSlot *
free_slot(void)
{
	for (int i = 0; i < memory->used; i++)
		if (!OidIsValid(memory->slots[i].database))
			return &memory->slots[i];
	if (memory->used < KEYRING_SLOTS)
		return &memory->slots[memory->used++];
	memory->victim = (memory->victim + 1) % KEYRING_SLOTS;
	return &memory->slots[memory->victim];
}

/* This database's entry, made when missing if make; NULL without one. */
static KeyringDatabase *
find_database(bool make)
{
	KeyringDatabase *unused = NULL;

	for (int i = 0; i < KEYRING_DATABASES; i++)
	{
		KeyringDatabase *entry = &memory->databases[i];

		if (entry->database == MyDatabaseId)
			return entry;
		if (unused == NULL && !OidIsValid(entry->database))
			unused = entry;
	}
	if (!make || unused == NULL)
		return NULL;
	unused->database = MyDatabaseId;
	return unused;
}

KeyringLock
keyring_lock_known(void)
{
	KeyringDatabase *entry;
	KeyringLock lock;

	LWLockAcquire(memory_lock, LW_SHARED);
	entry = find_database(false);
	lock = entry != NULL ? entry->lock : KEYRING_LOCK_UNKNOWN;
	LWLockRelease(memory_lock);
	return lock;
}

KeyringLock
keyring_lock_learn(KeyringLock lock)
{
	KeyringDatabase *entry;

	LWLockAcquire(memory_lock, LW_EXCLUSIVE);
	entry = find_database(true);
	if (entry != NULL && entry->lock == KEYRING_LOCK_UNKNOWN)
		entry->lock = lock;
	if (entry != NULL)
		lock = entry->lock;
	LWLockRelease(memory_lock);
	return lock;
}

bool
padlock_keyring_get(const pg_uuid_t *id, uint8 *kek)
{
	KeyringSlot *slot;

	if (memory == NULL)
		return false;
	LWLockAcquire(memory_lock, LW_SHARED);
	slot = find_slot(id);
	if (slot != NULL)
		memcpy(kek, slot->kek, PADLOCK_KEK_SIZE);
	LWLockRelease(memory_lock);
	return slot != NULL;
}

bool
padlock_keyring_put(const pg_uuid_t *id, const uint8 *kek)
{
	KeyringDatabase *entry;
	bool		put;

	if (memory == NULL)
		return false;
	LWLockAcquire(memory_lock, LW_EXCLUSIVE);
	entry = find_database(false);
	put = entry == NULL || entry->lock != KEYRING_LOCKED;
	if (put)
	{
		KeyringSlot *slot = find_slot(id);

		if (slot == NULL)
			slot = free_slot();
		slot->database = MyDatabaseId;
		slot->id = *id;
		memcpy(slot->kek, kek, PADLOCK_KEK_SIZE);
	}
	LWLockRelease(memory_lock);
	return put;
}

void
keyring_forget(const pg_uuid_t *id)
{
	KeyringSlot *slot;

	LWLockAcquire(memory_lock, LW_EXCLUSIVE);
	slot = find_slot(id);
	if (slot != NULL)
		envelope_wipe(slot, sizeof(KeyringSlot));
	LWLockRelease(memory_lock);
}

/* Wipe a database's KEKs; how many.  The lock is held. */
static int
wipe_slots(Oid database)
{
	int			wiped = 0;

	for (int i = 0; i < memory->used; i++)
		if (memory->slots[i].database == database)
		{
			envelope_wipe(&memory->slots[i], sizeof(KeyringSlot));
			wiped++;
		}
	return wiped;
}

void
padlock_keyring_forget_database(Oid database)
{
	if (memory == NULL)
		return;
	LWLockAcquire(memory_lock, LW_EXCLUSIVE);
	(void) wipe_slots(database);
	for (int i = 0; i < KEYRING_DATABASES; i++)
		if (memory->databases[i].database == database)
			memset(&memory->databases[i], 0, sizeof(KeyringDatabase));
	LWLockRelease(memory_lock);
}

int
keyring_lock_all(void)
{
	KeyringDatabase *entry;
	int			wiped;

	LWLockAcquire(memory_lock, LW_EXCLUSIVE);
	wiped = wipe_slots(MyDatabaseId);
	entry = find_database(true);
	if (entry != NULL)
		entry->lock = KEYRING_LOCKED;
	LWLockRelease(memory_lock);

	if (entry == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many databases have a keyring for this one to be locked"),
				 errdetail("The keys were wiped, but will be unlocked again when they are needed.")));
	return wiped;
}

void
keyring_allow(void)
{
	KeyringDatabase *entry;

	LWLockAcquire(memory_lock, LW_EXCLUSIVE);
	entry = find_database(true);
	if (entry != NULL)
		entry->lock = KEYRING_UNLOCKED;
	LWLockRelease(memory_lock);
}

void
keyring_want(void)
{
	KeyringDatabase *entry;

	LWLockAcquire(memory_lock, LW_EXCLUSIVE);
	entry = find_database(true);
	if (entry != NULL)
		entry->wanted = true;
	LWLockRelease(memory_lock);
}

bool
padlock_keyring_wanted(void)
{
	KeyringDatabase *entry;
	bool		wanted = false;

	if (memory == NULL)
		return false;
	LWLockAcquire(memory_lock, LW_EXCLUSIVE);
	entry = find_database(false);
	if (entry != NULL)
	{
		wanted = entry->wanted;
		entry->wanted = false;
	}
	LWLockRelease(memory_lock);
	return wanted;
}
