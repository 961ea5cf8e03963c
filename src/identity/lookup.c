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

/* The attribute number of a primary key's only column; 0 if it has others. */
static AttrNumber
key_column(Relation rel, Oid *index_id)
{
	Relation	index;
	AttrNumber	column = InvalidAttrNumber;

	*index_id = RelationGetPrimaryKeyIndex(rel);
	if (!OidIsValid(*index_id))
		return InvalidAttrNumber;
	index = index_open(*index_id, AccessShareLock);
	if (index->rd_index->indnkeyatts == 1)
		column = index->rd_index->indkey.values[0];
	index_close(index, AccessShareLock);
	return column;
}

HeapTuple
padlock_lookup_row(Oid relid, Oid equality, Datum key_value, TupleDesc *desc)
{
	Relation	rel;
	Oid			index_id;
	AttrNumber	column;
	HeapTuple	found = NULL;

	if (!OidIsValid(relid))
		return NULL;
	rel = table_open(relid, AccessShareLock);
	column = key_column(rel, &index_id);
	if (AttributeNumberIsValid(column))
	{
		Snapshot	snapshot = RegisterSnapshot(ActiveSnapshotSet() ? GetActiveSnapshot()
												: GetTransactionSnapshot());
		ScanKeyData key;
		SysScanDesc scan;

		ScanKeyInit(&key, column, BTEqualStrategyNumber, equality, key_value);
		scan = systable_beginscan(rel, index_id, true, snapshot, 1, &key);
		found = systable_getnext(scan);
		if (HeapTupleIsValid(found))
		{
			found = heap_copytuple(found);
			*desc = CreateTupleDescCopy(RelationGetDescr(rel));
		}
		systable_endscan(scan);
		UnregisterSnapshot(snapshot);
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

void
padlock_lookup_admin(const pg_uuid_t *user_id, bool *is_admin, bool *is_super_admin)
{
	TupleDesc	desc;
	HeapTuple	row = padlock_lookup_row(client_table("admin_users"), F_UUID_EQ,
										 UUIDPGetDatum(user_id), &desc);
	Datum		role;
	bool		isnull;

	*is_admin = *is_super_admin = false;
	if (row == NULL)
		return;
	*is_admin = true;
	role = padlock_lookup_column(row, desc, "role", &isnull);
	*is_super_admin = !isnull && strcmp(TextDatumGetCString(role), "super_admin") == 0;
}

bool
padlock_lookup_company(const pg_uuid_t *company_id, bool *is_active)
{
	TupleDesc	desc;
	HeapTuple	row = padlock_lookup_row(client_table("insurance_companies"), F_UUID_EQ,
										 UUIDPGetDatum(company_id), &desc);
	bool		isnull;

	*is_active = false;
	if (row == NULL)
		return false;
	*is_active = DatumGetBool(padlock_lookup_column(row, desc, "is_active", &isnull)) && !isnull;
	return true;
}

bool
padlock_lookup_user(const pg_uuid_t *user_id)
{
	TupleDesc	desc;

	return padlock_lookup_row(client_table("users"), F_UUID_EQ, UUIDPGetDatum(user_id),
							  &desc) != NULL;
}

bool
padlock_lookup_session(const pg_uuid_t *session_id, const pg_uuid_t *user_id)
{
	TupleDesc	desc;
	HeapTuple	row;
	Datum		value;
	bool		isnull;

	row = padlock_lookup_row(get_relname_relid("sessions", get_namespace_oid("padlock", true)),
							 F_UUID_EQ, UUIDPGetDatum(session_id), &desc);
	if (row == NULL)
		return false;
	value = padlock_lookup_column(row, desc, "user_id", &isnull);
	if (isnull || memcmp(DatumGetUUIDP(value), user_id, UUID_LEN) != 0)
		return false;
	(void) padlock_lookup_column(row, desc, "revoked_at", &isnull);
	if (!isnull)
		return false;
	value = padlock_lookup_column(row, desc, "expires_at", &isnull);
	return isnull || DatumGetTimestampTz(value) > GetCurrentTimestamp();
}
