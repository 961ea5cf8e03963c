/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  Reading single rows by primary key, whatever the caller may read.
 *
 * Identity is decided from tables that the caller has no rights on, inside
 * row security policies, for every row at worst.  So these reads go straight
 * to the index: no executor, no permission check, about a microsecond.  They
 * see what the query's snapshot sees.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/spi.h"
#include "identity/lookup.h"
#include "identity/row_hint.h"

/* Let the reader see the row where it was last time; false: the index has to be asked. */
static bool
read_hinted(Relation rel, const PadlockRowHint *hint, Oid index_id, Datum key, Snapshot snapshot,
			PadlockRowReader reader, void *result)
{
	HeapTupleData row;
	Buffer		buffer;

	if (!padlock_row_hint_fetch(hint, index_id, key, rel, snapshot, &row, &buffer))
		return false;
	reader(&row, RelationGetDescr(rel), result);
	ReleaseBuffer(buffer);
	return true;
}

/* Remember where the index led to, and let the reader see the row there, uncopied. */
static void
read_found(Relation rel, Relation index, const ItemPointerData *tid, TupleTableSlot *slot,
		   PadlockRowHint *hint, PadlockRowReader reader, void *result)
{
	bool		is_copy;
	HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, &is_copy);

	if (TTS_IS_BUFFERTUPLE(slot))
	{
		hint->index = RelationGetRelid(index);
		hint->buffer = ((BufferHeapTupleTableSlot *) slot)->buffer;
		hint->tid = *tid;
		hint->column = index->rd_index->indkey.values[0];
	}
	reader(row, RelationGetDescr(rel), result);
	if (is_copy)
		heap_freetuple(row);
}

/* Ask the index of an open table for the row. */
static bool
probe(Relation rel, Relation index, Oid equality, Datum key_value, Snapshot snapshot,
	  PadlockRowHint *hint, PadlockRowReader reader, void *result)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	IndexScanDesc scan = index_beginscan(rel, index, snapshot, 1, 0);
	ScanKeyData key;
	ItemPointer tid;
	bool		found = false;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, equality, key_value);
	index_rescan(scan, &key, 1, NULL, 0);
	while (!found && (tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		/* fetching the row makes of the item that of its visible version */
		ItemPointerData item = *tid;

		found = index_fetch_heap(scan, slot);
		if (found)
			read_found(rel, index, &item, slot, hint, reader, result);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/* Open the index and ask it, if it is one of a single column. */
static bool
read_indexed(Relation rel, Oid index_id, Oid equality, Datum key, Snapshot snapshot,
			 PadlockRowHint *hint, PadlockRowReader reader, void *result)
{
	Relation	index = index_open(index_id, AccessShareLock);
	bool		found = index->rd_index->indnkeyatts == 1 &&
		probe(rel, index, equality, key, snapshot, hint, reader, result);

	index_close(index, AccessShareLock);
	return found;
}

/* Look for the row where it was last time, and then in the index of the primary key. */
static bool
find_row(Relation rel, Oid index_id, Oid equality, Datum key, PadlockRowReader reader, void *result)
{
	Snapshot	snapshot = RegisterSnapshot(ActiveSnapshotSet() ? GetActiveSnapshot()
											: GetTransactionSnapshot());
	PadlockRowHint *hint = padlock_row_hint(index_id, key, equality == F_UUID_EQ ? UUID_LEN : -1);
	bool		found = read_hinted(rel, hint, index_id, key, snapshot, reader, result) ||
		read_indexed(rel, index_id, equality, key, snapshot, hint, reader, result);

	UnregisterSnapshot(snapshot);
	return found;
}

bool
padlock_lookup_row(Oid relid, Oid equality, Datum key, PadlockRowReader reader, void *result)
{
	Relation	rel;
	Oid			index_id;
	bool		found = false;

	if (!OidIsValid(relid))
		return false;
	rel = table_open(relid, AccessShareLock);
	/* a partitioned table's index has no entries of its own; a view has none */
	index_id = rel->rd_rel->relkind == RELKIND_RELATION ? RelationGetPrimaryKeyIndex(rel) : InvalidOid;
	if (OidIsValid(index_id))
		found = find_row(rel, index_id, equality, key, reader, result);
	table_close(rel, AccessShareLock);
	return found;
}

/* A column's number, tried first where the name was found last; 0 for none. */
static int
column_number(TupleDesc desc, const char *name)
{
	static AttrNumber guesses[64];
	AttrNumber *guess = &guesses[((uintptr_t) name / 4) % lengthof(guesses)];

	if (*guess <= 0 || *guess > desc->natts ||
		strcmp(NameStr(TupleDescAttr(desc, *guess - 1)->attname), name) != 0)
		*guess = SPI_fnumber(desc, name);
	return *guess;
}

Datum
padlock_lookup_column(HeapTuple tuple, TupleDesc desc, const char *column, bool *isnull)
{
	int			number = column_number(desc, column);

	if (number <= 0)
	{
		*isnull = true;
		return (Datum) 0;
	}
	return heap_getattr(tuple, number, desc, isnull);
}

/* The tables read here, and their OIDs; until something about one changes. */
typedef struct KnownTable
{
	const char *name;
	bool		is_internal;	/* in schema padlock, else in the client schema */
	Oid			schema;			/* in which it has that OID */
	Oid			relid;
} KnownTable;

enum
{
	API_KEYS, COMPANIES, SESSIONS, USERS
};

static KnownTable known_tables[] = {
	[API_KEYS] = {"api_keys", true},
	[COMPANIES] = {"insurance_companies", false},
	[SESSIONS] = {"sessions", true},
	[USERS] = {"users", false},
};

static void
forget_table(Datum arg, Oid relid)
{
	for (int i = 0; i < lengthof(known_tables); i++)
	{
		if (relid == InvalidOid || known_tables[i].relid == relid)
			known_tables[i].relid = InvalidOid;
	}
}

/* The OID of a table, or InvalidOid: policies must not fail. */
static Oid
table_id(int which)
{
	static bool registered = false;
	KnownTable *table = &known_tables[which];
	Oid			schema = table->is_internal ? padlock_internal_schema() : padlock_client_schema();

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
		registered = true;
	}
	if (!OidIsValid(table->relid) || table->schema != schema)
	{
		table->relid = get_relname_relid(table->name, schema);
		table->schema = schema;
	}
	return table->relid;
}

bool
padlock_lookup_key(Datum hash, PadlockRowReader reader, void *result)
{
	return padlock_lookup_row(table_id(API_KEYS), F_BYTEAEQ, hash, reader, result);
}

static void
read_active(HeapTuple row, TupleDesc desc, void *result)
{
	bool		isnull;
	Datum		is_active = padlock_lookup_column(row, desc, "is_active", &isnull);

	*(bool *) result = !isnull && DatumGetBool(is_active);
}

bool
padlock_lookup_company(const pg_uuid_t *company_id, bool *is_active)
{
	*is_active = false;
	return padlock_lookup_row(table_id(COMPANIES), F_UUID_EQ,
							  UUIDPGetDatum(company_id), read_active, is_active);
}

static void
read_nothing(HeapTuple row, TupleDesc desc, void *result)
{
}

bool
padlock_lookup_user(const pg_uuid_t *user_id)
{
	return padlock_lookup_row(table_id(USERS), F_UUID_EQ, UUIDPGetDatum(user_id),
							  read_nothing, NULL);
}

typedef struct SessionRow
{
	pg_uuid_t	user_id;
	bool		is_live;
} SessionRow;

static void
read_session(HeapTuple row, TupleDesc desc, void *result)
{
	SessionRow *session = result;
	bool		isnull;
	Datum		value = padlock_lookup_column(row, desc, "user_id", &isnull);

	if (isnull)
		return;
	session->user_id = *DatumGetUUIDP(value);
	(void) padlock_lookup_column(row, desc, "revoked_at", &isnull);
	if (!isnull)
		return;
	value = padlock_lookup_column(row, desc, "expires_at", &isnull);
	session->is_live = isnull || DatumGetTimestampTz(value) > GetCurrentTimestamp();
}

bool
padlock_lookup_session(const pg_uuid_t *session_id, const pg_uuid_t *user_id)
{
	SessionRow	session = {{{0}}};

	return padlock_lookup_row(table_id(SESSIONS),
							  F_UUID_EQ, UUIDPGetDatum(session_id), read_session, &session) &&
		session.is_live && memcmp(&session.user_id, user_id, UUID_LEN) == 0;
}
