/*-------------------------------------------------------------------------
 *
 * dedupe.c
 *	  Deduplication: of the jobs of one type with one dedupe key, at most one
 *	  waits or runs.
 *
 * Sessions that are about to make a job wait take a lock of its type and key
 * until their transactions end, so the second sees what the first did.  It is
 * an advisory lock of a class of our own.
 *
 * Whoever does so for a set of jobs (enqueue_jobs(), redrive_jobs()) takes the
 * locks of all of them first, in the order of their hashes, so that two sets
 * in different orders cannot wait for each other.  A large set takes the lock
 * of all keys instead, of which everybody else holds a share, since the
 * server's table of locks is small.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "core/spi.h"
#include "queue/jobs.h"

/* Tells our advisory locks from those of users, which have 1 or 2 here. */
#define DEDUPE_LOCK_CLASS		0x504c

/* No type and key hash to it, see queue_hash_text(). */
#define ALL_KEYS				UINT64CONST(0)

/* Locks that one set takes; the server has room for some thousands by default. */
#define MAX_KEY_LOCKS			256

/*
 * A waiting or running job of this type and key.  What is committed by now
 * counts, and what this transaction itself has added.
 */
static PadlockStatement twin_statement = {
	"SELECT j.id FROM padlock.jobs j WHERE j.dedupe_key = $2 AND j.job_type = $1"
	" AND NOT EXISTS (SELECT FROM padlock.job_outcomes o"
	" WHERE o.job_seq = j.seq AND o.kind <> 'retry') LIMIT 1",
	2, {TEXTOID, TEXTOID}
};

static void
set_tag(LOCKTAG *tag, uint64 hash)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash,
						 DEDUPE_LOCK_CLASS);
}

static void
lock_hash(uint64 hash, LOCKMODE mode)
{
	LOCKTAG		tag;

	set_tag(&tag, hash);
	(void) LockAcquire(&tag, mode, false, false);
}

/* Does this transaction hold the lock of all keys? */
static bool
has_all_keys(void)
{
	LOCKTAG		tag;

	set_tag(&tag, ALL_KEYS);
	return LockHeldByMe(&tag, ExclusiveLock);
}

static uint64
hash_key(const char *type, const char *key)
{
	return queue_hash_text(psprintf("%s\n%s", type, key));
}

void
queue_lock_key(const char *type, const char *key)
{
	if (has_all_keys())
		return;
	lock_hash(ALL_KEYS, ShareLock);
	lock_hash(hash_key(type, key), ExclusiveLock);
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64		first = *(const uint64 *) a;
	uint64		second = *(const uint64 *) b;

	return first < second ? -1 : first > second;
}

void
queue_key_set_add(QueueKeySet *set, const char *type, const char *key)
{
	if (set->count == set->room)
	{
		set->room = Max(2 * set->room, 64);
		set->hashes = set->hashes == NULL ? palloc_array(uint64, set->room)
			: repalloc_huge(set->hashes, set->room * sizeof(uint64));
	}
	set->hashes[set->count++] = hash_key(type, key);
}

void
queue_lock_key_set(QueueKeySet *set)
{
	if (set->count == 0 || has_all_keys())
		return;
	qsort(set->hashes, set->count, sizeof(uint64), compare_hashes);
	if (set->count > MAX_KEY_LOCKS)
	{
		lock_hash(ALL_KEYS, ExclusiveLock);
		return;
	}
	lock_hash(ALL_KEYS, ShareLock);
	for (int i = 0; i < set->count; i++)
		if (i == 0 || set->hashes[i] != set->hashes[i - 1])
			lock_hash(set->hashes[i], ExclusiveLock);
}

bool
queue_find_twin(const char *type, const char *key, pg_uuid_t *id)
{
	Datum		values[2] = {CStringGetTextDatum(type), CStringGetTextDatum(key)};
	PadlockUserContext saved;
	int			settings = queue_pin_search_path();
	bool		found;
	bool		isnull;

	queue_lock_key(type, key);
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	padlock_become_owner(&saved);
	found = padlock_spi_execute(&twin_statement, values, NULL, true) == 1;
	padlock_restore_user(&saved);
	if (found)
		*id = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
										   &isnull));
	PopActiveSnapshot();
	SPI_finish();
	AtEOXact_GUC(false, settings);
	return found;
}

void
queue_refuse_twin(const char *type, const char *key)
{
	pg_uuid_t	id;

	if (type == NULL || key == NULL || !queue_find_twin(type, key, &id))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("a job of the same type and dedupe key waits or runs"),
			 errdetail("It is job %s.",
					   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&id))))));
}
