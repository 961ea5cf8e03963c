/*-------------------------------------------------------------------------
 *
 * keyring_rows.c
 *	  Keys as rows of padlock.keys: which are active, and unlocking those that
 *	  the key file wrapped.
 *
 * Sealing asks for the active key of a key_id each time, so that row is cached
 * in the session until padlock.keys changes: a trigger invalidates the table's
 * relcache entry, which tells all sessions when the change commits.  No cached
 * row holds a key.
 *
 * Wraps are counted by a sequence of the whole database, in steps of
 * WRAPS_RESERVED that a session uses up: sequences neither roll back nor lock.
 * A key has wrapped at most what the sequence went on since it was made.  Another
 * one counts what padlock.encrypt() makes, which nobody but its caller keeps.
 *
 * Locking contract, all on padlock.keys: whoever changes keys holds
 * ShareRowExclusiveLock, see padlock_active_key().  Whoever seals holds
 * RowShareLock until the transaction ends, and whoever unlocks a key from
 * before reading the row until the key is in memory; destroy_key() holds
 * ExclusiveLock from before it looks for what needs the key until it
 * commits.  So nothing is sealed under a key that is gone when it commits, and a
 * destroyed key is not put back into memory.  Readers of the table, pg_dump
 * above all, are in nobody's way.  destroy_key() never queues for its lock, since
 * all that seal would queue behind it: it takes the lock when it is free, or
 * gives up, see keyring_try_lock().  (A worker that was asking a key
 * service for it meanwhile may do that; the row, which all sessions read again,
 * then says that there is no such key.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/wait_event.h"

#include "envelope/crypto.h"
#include "envelope/keyring.h"

#define WRAPS_RESERVED 64		/* the sequences' increment */
#define LOCK_POLL_MS	20

PG_FUNCTION_INFO_V1(padlock_keyring_changed);

/* All rows as this session last read them. */
static List *cached_rows = NIL;
static bool cache_valid = false;	/* nothing changed since */
static uint64 changes_seen = 0;
static MemoryContext cache_context = NULL;
static Oid	cached_table = InvalidOid;

static int64 wraps_reserved = 0;	/* by all sessions, when this one reserved its last */
static int	wraps_left = 0;
static int	messages_left = 0;	/* of those counted for messages_key */
static char messages_key[PADLOCK_KEY_NAME_SIZE];

static void
forget_rows(Datum arg, Oid relid)
{
	if (relid == cached_table || !OidIsValid(relid))
	{
		cache_valid = false;
		changes_seen++;
	}
}

/* The OID of a relation of schema padlock. */
static Oid
internal_relation(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("padlock", false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"padlock.%s\" does not exist", name),
				 errhint("Run SELECT padlock.install() as the owner of the extension.")));
	return relid;
}

Relation
keyring_open_table(LOCKMODE lock)
{
	return table_open(internal_relation("keys"), lock);
}

bool
keyring_try_lock(int patience_ms)
{
	Oid			relid = internal_relation("keys");
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), patience_ms);

	while (!ConditionalLockRelationOid(relid, ExclusiveLock))
	{
		if (GetCurrentTimestamp() >= end)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOCK_POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

/* A column's value; NULL columns leave isnull true. */
static Datum
column(TupleTableSlot *slot, const char *name, bool *isnull)
{
	int			number = SPI_fnumber(slot->tts_tupleDescriptor, name);

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"padlock.keys\" lacks column \"%s\"", name)));
	return slot_getattr(slot, number, isnull);
}

static char *
text_column(TupleTableSlot *slot, const char *name)
{
	bool		isnull;
	Datum		value = column(slot, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static bytea *
bytes_column(TupleTableSlot *slot, const char *name)
{
	bool		isnull;
	Datum		value = column(slot, name, &isnull);

	return isnull ? NULL : DatumGetByteaPCopy(value);
}

static int64
count_column(TupleTableSlot *slot, const char *name)
{
	bool		isnull;
	Datum		value = column(slot, name, &isnull);

	return isnull ? -1 : DatumGetInt64(value);
}

static KeyringRow *
read_row(TupleTableSlot *slot)
{
	KeyringRow *row = palloc0(sizeof(KeyringRow));
	bool		isnull;

	row->wrapped = bytes_column(slot, "wrapped");
	row->check_value = bytes_column(slot, "check_value");
	row->id = *DatumGetUUIDP(column(slot, "id", &isnull));
	row->key_id = text_column(slot, "key_id");
	row->version = DatumGetInt32(column(slot, "version", &isnull));
	row->state = text_column(slot, "state");
	row->provider = text_column(slot, "provider");
	row->provider_key_id = text_column(slot, "provider_key_id");
	row->rewrap_provider = text_column(slot, "rewrap_provider");
	row->rewrap_provider_key_id = text_column(slot, "rewrap_provider_key_id");
	row->wraps_from = count_column(slot, "wraps_from");
	row->wraps_to = count_column(slot, "wraps_to");
	row->messages_from = count_column(slot, "messages_from");
	row->created_at = DatumGetTimestampTz(column(slot, "created_at", &isnull));
	snprintf(row->name, sizeof(row->name), "%s/%d", row->key_id, row->version);
	return row;
}

List *
keyring_rows(Relation keys)
{
	/* not the query's snapshot: what was committed since counts, see the locking contract */
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(keys, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(keys, NULL);
	List	   *rows = NIL;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		rows = lappend(rows, read_row(slot));
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	return rows;
}

KeyringRow *
keyring_row(List *rows, const char *name)
{
	ListCell   *cell;

	foreach(cell, rows)
	{
		KeyringRow *row = lfirst(cell);

		if (strcmp(row->name, name) == 0)
			return row;
	}
	return NULL;
}

/* The row of a key_id in that state, or NULL. */
static KeyringRow *
row_in_state(List *rows, const char *key_id, const char *state)
{
	ListCell   *cell;

	foreach(cell, rows)
	{
		KeyringRow *row = lfirst(cell);

		if (strcmp(row->key_id, key_id) == 0 && strcmp(row->state, state) == 0)
			return row;
	}
	return NULL;
}

/* Read the rows into the cache, unless they are there. */
static void
cache_rows(void)
{
	static bool registered = false;
	MemoryContext caller;
	Relation	keys;
	uint64		changes;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_rows, (Datum) 0);
		cache_context = AllocSetContextCreate(CacheMemoryContext, "padlock keyring",
											   ALLOCSET_SMALL_SIZES);
		registered = true;
	}
	if (cache_valid)
		return;
	cached_rows = NIL;
	MemoryContextReset(cache_context);
	keys = keyring_open_table(AccessShareLock);
	cached_table = RelationGetRelid(keys);
	changes = changes_seen;
	caller = MemoryContextSwitchTo(cache_context);
	cached_rows = keyring_rows(keys);
	MemoryContextSwitchTo(caller);
	cache_valid = changes == changes_seen;
	table_close(keys, AccessShareLock);
}

const KeyringRow *
keyring_active_row(const char *key_id)
{
	KeyringRow *row;

	cache_rows();
	LockRelationOid(cached_table, RowShareLock);	/* until the end, see above */
	cache_rows();				/* what changed before we had the lock */
	row = row_in_state(cached_rows, key_id, KEY_ACTIVE);
	if (row != NULL)
		return row;
	if (row_in_state(cached_rows, key_id, KEY_PENDING) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("key \"%s\" is not made yet", key_id),
				 errhint("A background worker is to make it: padlock.key_services() tells what keeps it from that.")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("key \"%s\" does not exist", key_id),
			 errhint("Make the first one with padlock.init_keyring(), others with padlock.create_key().")));
}

/*
 * A change of keys is visible, and wakes workers, a moment before it invalidates
 * the caches of others; but it holds its lock until then.  Waiting for that lock
 * makes sure that the answer is not older than what the caller has seen.
 */
bool
padlock_active_key(const char *key_id, char *key_name)
{
	KeyringRow *row;

	table_close(keyring_open_table(RowExclusiveLock), RowExclusiveLock);
	cache_rows();
	row = row_in_state(cached_rows, key_id, KEY_ACTIVE);
	if (row != NULL)
		strlcpy(key_name, row->name, PADLOCK_KEY_NAME_SIZE);
	return row != NULL;
}

void
keyring_count_wrap(const KeyringRow *row)
{
	PreventCommandIfReadOnly("padlock.encrypt()");
	if (wraps_left == 0)
	{
		wraps_reserved = nextval_internal(internal_relation("key_wraps"), false) + WRAPS_RESERVED;
		wraps_left = WRAPS_RESERVED;
	}
	if (wraps_reserved - row->wraps_from > KEYRING_MAX_WRAPS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("key \"%s\" has encrypted too much", row->name),
				 errhint("Replace it with padlock.rotate_key().")));
	wraps_left--;
}

/* What sessions have reserved of a sequence so far. */
static int64
last_reserved(const char *sequence)
{
	LOCAL_FCINFO(call, 1);
	Datum		value;

	InitFunctionCallInfoData(*call, NULL, 1, InvalidOid, NULL, NULL);
	call->args[0].value = ObjectIdGetDatum(internal_relation(sequence));
	call->args[0].isnull = false;
	value = pg_sequence_last_value(call);
	return call->isnull ? 0 : DatumGetInt64(value) + WRAPS_RESERVED;
}

int64
keyring_wraps(const KeyringRow *row)
{
	return (row->wraps_to >= 0 ? row->wraps_to : last_reserved("key_wraps")) - row->wraps_from;
}

/* What a session reserved for one key does not serve another: of that none would be counted. */
void
keyring_count_message(const char *key_name)
{
	if (messages_left == 0 || strcmp(key_name, messages_key) != 0)
	{
		(void) nextval_internal(internal_relation("key_messages"), false);
		messages_left = WRAPS_RESERVED;
		strlcpy(messages_key, key_name, sizeof(messages_key));
	}
	messages_left--;
}

int64
keyring_messages(const KeyringRow *row)
{
	return last_reserved("key_messages") - row->messages_from;
}

const KeyringRow *
keyring_named_row(const char *name)
{
	cache_rows();
	return keyring_row(cached_rows, name);
}

/* Has padlock.keyring_lock its row? */
static bool
is_lock_noted(void)
{
	Relation	table = table_open(internal_relation("keyring_lock"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(table, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	bool		noted = table_scan_getnextslot(scan, ForwardScanDirection, slot);

	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(table, AccessShareLock);
	return noted;
}

/*
 * Memory knows, once the table was read: it is changed first, at once, whatever
 * becomes of the transaction that changes the table.
 */
bool
keyring_is_locked(void)
{
	KeyringLock lock = keyring_lock_known();

	if (lock == KEYRING_LOCK_UNKNOWN)
		lock = keyring_lock_learn(is_lock_noted() ? KEYRING_LOCKED : KEYRING_UNLOCKED);
	return lock == KEYRING_LOCKED;
}

bool
padlock_keyring_is_open(const char *key_id)
{
	const KeyringRow *row;
	uint8		kek[PADLOCK_KEK_SIZE];

	if (keyring_is_locked())
		return false;
	cache_rows();
	row = row_in_state(cached_rows, key_id, KEY_ACTIVE);
	if (row == NULL || strcmp(row->provider, PADLOCK_LOCAL_PROVIDER) == 0)
		return true;			/* an attempt unlocks it, or says what is wrong */
	if (padlock_keyring_get(&row->id, kek))
	{
		envelope_wipe(kek, sizeof(kek));
		return true;
	}
	keyring_want();
	return false;
}

static void pg_attribute_noreturn()
refuse_locked(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("keyring is locked"),
			 errhint("Run SELECT padlock.unlock_keyring() as the owner of the extension.")));
}

/* Unwrap a row's KEK by the key file and put it into memory. */
static void
unlock_local(const KeyringRow *row, uint8 *kek)
{
	key_file_unwrap(row->name, row->wrapped, kek);
	if (padlock_keyring_put(&row->id, kek))
		return;
	envelope_wipe(kek, PADLOCK_KEK_SIZE);
	refuse_locked();			/* since a moment */
}

/* Ask a worker for a key service's KEK, and say so. */
static void
miss_remote(const KeyringRow *row)
{
	keyring_want();
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("key \"%s\" is locked", row->name),
			 errhint("A background worker is to ask \"%s\" for it; try again.  padlock.key_services() tells what keeps it locked.",
					 row->provider)));
}

bool
keyring_kek(const KeyringRow *row, uint8 *kek)
{
	Relation	keys;
	KeyringRow *now;
	bool		found;

	if (row->wrapped == NULL)
		return false;
	if (padlock_keyring_get(&row->id, kek))
		return true;
	if (keyring_is_locked())
		refuse_locked();
	keys = keyring_open_table(RowShareLock);
	now = keyring_row(keyring_rows(keys), row->name);
	found = now != NULL && now->wrapped != NULL &&
		memcmp(&now->id, &row->id, sizeof(pg_uuid_t)) == 0;
	if (found && strcmp(now->provider, PADLOCK_LOCAL_PROVIDER) == 0)
		unlock_local(now, kek);
	else if (found)
		miss_remote(now);
	table_close(keys, RowShareLock);
	return found;
}

/*
 * padlock.keyring_changed() trigger: AFTER any change of padlock.keys, FOR EACH
 * STATEMENT; makes all sessions read it again.
 */
Datum
padlock_keyring_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("keyring_changed must be fired as a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}
