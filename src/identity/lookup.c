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
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/spi.h"
#include "identity/lookup.h"

/* Probe an open primary key's index, and let the reader see the row, uncopied. */
static bool
probe(Relation rel, Relation index, Oid equality, Datum key_value, PadlockRowReader reader,
	  void *result)
{
	Snapshot	snapshot = RegisterSnapshot(ActiveSnapshotSet() ? GetActiveSnapshot()
											: GetTransactionSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&key, index->rd_index->indkey.values[0], BTEqualStrategyNumber, equality, key_value);
	scan = systable_beginscan_ordered(rel, index, snapshot, 1, &key);
	row = systable_getnext_ordered(scan, ForwardScanDirection);
	if (HeapTupleIsValid(row))
		reader(row, RelationGetDescr(rel), result);
	systable_endscan_ordered(scan);
	UnregisterSnapshot(snapshot);
	return HeapTupleIsValid(row);
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
	index_id = RelationGetPrimaryKeyIndex(rel);
	if (OidIsValid(index_id))
	{
		Relation	index = index_open(index_id, AccessShareLock);

		if (index->rd_index->indnkeyatts == 1)
			found = probe(rel, index, equality, key, reader, result);
		index_close(index, AccessShareLock);
	}
	table_close(rel, AccessShareLock);
	return found;
}

Datum
padlock_lookup_column(HeapTuple tuple, TupleDesc desc, const char *column, bool *isnull)
{
	int			number = SPI_fnumber(desc, column);

	if (number <= 0)
	{
		*isnull = true;
		return (Datum) 0;
	}
	return heap_getattr(tuple, number, desc, isnull);
}

/* A table of the client schema, or InvalidOid: policies must not fail. */
static Oid
client_table(const char *name)
{
	return get_relname_relid(name, padlock_client_schema());
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
	return padlock_lookup_row(client_table("insurance_companies"), F_UUID_EQ,
							  UUIDPGetDatum(company_id), read_active, is_active);
}

static void
read_nothing(HeapTuple row, TupleDesc desc, void *result)
{
}

bool
padlock_lookup_user(const pg_uuid_t *user_id)
{
	return padlock_lookup_row(client_table("users"), F_UUID_EQ, UUIDPGetDatum(user_id),
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

	return padlock_lookup_row(get_relname_relid("sessions", get_namespace_oid("padlock", true)),
							  F_UUID_EQ, UUIDPGetDatum(session_id), read_session, &session) &&
		session.is_live && memcmp(&session.user_id, user_id, UUID_LEN) == 0;
}
