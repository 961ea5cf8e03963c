/*-------------------------------------------------------------------------
 *
 * api_key_use.c
 *	  When API keys were last used: noted in shared memory, written later.
 *
 * A write for each request would turn reads into writes and make a busy key's
 * row a queue.  So a request notes its key and the time in a shared table, and
 * a background worker writes what was noted every few seconds.  An entry is a
 * use that the table padlock.api_keys does not have yet; the worker removes it
 * after the commit, unless the key was used again meanwhile.
 *
 * The table has a fixed size: of more than MAX_USES keys used between two
 * writes the last ones are not noted.  Entries that nobody writes (a database
 * without workers, a key that was deleted) go after MAX_AGE.  Nothing
 * is noted on a replica, which cannot write, or without preload.
 *
 * Locking contract: one lock.  A use of a key that has an entry takes it
 * shared and stores the time atomically; a new entry and the removal of old
 * ones take it exclusively.  No lock is held while a statement runs.
 *
 * Crash contract: what was noted since the last write is lost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/core.h"
#include "core/spi.h"
#include "identity/api_key_use.h"

#define TRANCHE			"padlock_api_key_use"
#define MAX_USES		16384	/* about 1 MB */
#define MAX_AGE			USECS_PER_HOUR

typedef struct KeyUseTag
{
	Oid			database;
	pg_uuid_t	key_id;
} KeyUseTag;

typedef struct KeyUse
{
	KeyUseTag	tag;			/* hash key: must be first */
	pg_atomic_uint64 used_at;	/* a TimestampTz */
} KeyUse;

/* Copies of entries, as the worker's statement takes and returns them. */
typedef struct KeyUses
{
	int			count;
	Datum	   *ids;
	Datum	   *times;
} KeyUses;

/* NULL unless padlock was preloaded. */
static HTAB *uses = NULL;
static LWLock *lock = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(hash_estimate_size(MAX_USES, sizeof(KeyUse)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
start_shared_memory(void)
{
	HASHCTL		control = {0};

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	control.keysize = sizeof(KeyUseTag);
	control.entrysize = sizeof(KeyUse);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	uses = ShmemInitHash(TRANCHE, MAX_USES, MAX_USES, &control,
						 HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	lock = &(GetNamedLWLockTranche(TRANCHE))->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
padlock_api_key_use_init(void)
{
	if (!padlock_preloaded)
		return;
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

static void
make_tag(KeyUseTag *tag, const pg_uuid_t *key_id)
{
	memset(tag, 0, sizeof(*tag));
	tag->database = MyDatabaseId;
	tag->key_id = *key_id;
}

/* Store the time of a use in an entry; false when there is none. */
static bool
renew(const KeyUseTag *tag, TimestampTz now)
{
	KeyUse	   *use;

	LWLockAcquire(lock, LW_SHARED);
	use = hash_search(uses, tag, HASH_FIND, NULL);
	if (use != NULL)
		pg_atomic_write_u64(&use->used_at, (uint64) now);
	LWLockRelease(lock);
	return use != NULL;
}

void
padlock_api_key_note_use(const pg_uuid_t *key_id)
{
	TimestampTz now = GetCurrentTimestamp();
	KeyUseTag	tag;
	KeyUse	   *use;
	bool		found;

	if (uses == NULL || RecoveryInProgress())
		return;
	make_tag(&tag, key_id);
	if (renew(&tag, now))
		return;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	use = hash_search(uses, &tag, HASH_ENTER_NULL, &found);
	if (use != NULL && !found)
		pg_atomic_init_u64(&use->used_at, (uint64) now);
	LWLockRelease(lock);
}

/* Copy this database's entries into the current memory context. */
static void
copy_uses(KeyUses *copy)
{
	HASH_SEQ_STATUS scan;
	KeyUse	   *use;
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * MAX_USES);

	copy->count = 0;
	copy->ids = palloc(sizeof(Datum) * MAX_USES);
	copy->times = palloc(sizeof(Datum) * MAX_USES);
	LWLockAcquire(lock, LW_SHARED);
	hash_seq_init(&scan, uses);
	while ((use = hash_seq_search(&scan)) != NULL)
	{
		if (use->tag.database != MyDatabaseId)
			continue;
		ids[copy->count] = use->tag.key_id;
		copy->ids[copy->count] = UUIDPGetDatum(&ids[copy->count]);
		copy->times[copy->count] =
			TimestampTzGetDatum((TimestampTz) pg_atomic_read_u64(&use->used_at));
		copy->count++;
	}
	LWLockRelease(lock);
}

/* Remove the entries that were written and have not been used since. */
static void
remove_written(const KeyUses *written)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < written->count; i++)
	{
		KeyUseTag	tag;
		KeyUse	   *use;

		make_tag(&tag, DatumGetUUIDP(written->ids[i]));
		use = hash_search(uses, &tag, HASH_FIND, NULL);
		if (use != NULL && (TimestampTz) pg_atomic_read_u64(&use->used_at) <=
			DatumGetTimestampTz(written->times[i]))
			hash_search(uses, &tag, HASH_REMOVE, NULL);
	}
	LWLockRelease(lock);
}

/* Remove the entries, of any database, that nobody has written for long. */
static void
remove_abandoned(void)
{
	TimestampTz limit = GetCurrentTimestamp() - MAX_AGE;
	HASH_SEQ_STATUS scan;
	KeyUse	   *use;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, uses);
	while ((use = hash_seq_search(&scan)) != NULL)
	{
		if ((TimestampTz) pg_atomic_read_u64(&use->used_at) < limit)
			hash_search(uses, &use->tag, HASH_REMOVE, NULL);
	}
	LWLockRelease(lock);
}

/* The rows that the statement returned: id and time, in the current context. */
static void
copy_result(KeyUses *written)
{
	bool		isnull;

	for (written->count = 0; written->count < SPI_processed; written->count++)
	{
		written->ids[written->count] = padlock_spi_datum(written->count, 1, &isnull);
		written->times[written->count] = padlock_spi_datum(written->count, 2, &isnull);
	}
}

/*
 * Write the uses to the table; *noted becomes those that were written.  Rows
 * that somebody else is changing are passed over: their turn comes again.
 */
static void
write_uses(KeyUses *noted)
{
	static PadlockStatement update = {
		.sql = "WITH free AS MATERIALIZED ("
		" SELECT k.key_hash, u.used_at FROM padlock.api_keys AS k"
		" JOIN ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u (id, used_at) ON u.id = k.id"
		" FOR NO KEY UPDATE OF k SKIP LOCKED)"
		" UPDATE padlock.api_keys AS k SET last_used_at = free.used_at FROM free"
		" WHERE k.key_hash = free.key_hash RETURNING k.id, k.last_used_at",
		.nargs = 2,
		.argtypes = {UUIDARRAYOID, TIMESTAMPTZARRAYOID}
	};
	Datum		values[2] = {
		PointerGetDatum(construct_array(noted->ids, noted->count, UUIDOID, UUID_LEN, false,
										TYPALIGN_CHAR)),
		PointerGetDatum(construct_array(noted->times, noted->count, TIMESTAMPTZOID,
										sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE))
	};
	PadlockUserContext saved;

	/* as the owner: no other role may write padlock.api_keys */
	padlock_become_owner(&saved);
	SPI_connect();
	padlock_spi_execute(&update, values, NULL, false);
	copy_result(noted);
	SPI_finish();
	padlock_restore_user(&saved);
}

/* May the table be written without waiting for whoever changes its definition? */
static bool
lock_table(void)
{
	Oid			schema = get_namespace_oid("padlock", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid("api_keys", schema) : InvalidOid;

	return OidIsValid(relid) && ConditionalLockRelationOid(relid, RowExclusiveLock);
}

void
padlock_api_key_flush_last_used(void)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	KeyUses		noted;

	if (uses == NULL || RecoveryInProgress() || hash_get_num_entries(uses) == 0)
		return;
	context = AllocSetContextCreate(caller, "padlock key uses", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	copy_uses(&noted);
	if (noted.count > 0)
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		MemoryContextSwitchTo(context);
		if (lock_table())
			write_uses(&noted);
		else
			noted.count = 0;
		PopActiveSnapshot();
		CommitTransactionCommand();
		remove_written(&noted);
	}
	remove_abandoned();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
