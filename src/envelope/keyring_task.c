/*-------------------------------------------------------------------------
 *
 * keyring_task.c
 *	  What the keyring asks of key services, for the worker that talks to them.
 *
 * The rows say what is to be done: a pending one is to be made, one with a
 * rewrap_provider wrapped anew, one whose KEK is not in memory unlocked.  So a
 * worker that dies halfway leaves nothing but rows that say it again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "core/spi.h"
#include "envelope/crypto.h"
#include "envelope/keyring.h"

static PadlockKeyTask *
make_task(PadlockKeyTaskKind kind, const KeyringRow *row, char *provider, char *provider_key_id)
{
	PadlockKeyTask *task = palloc0(sizeof(PadlockKeyTask));

	task->kind = kind;
	task->id = row->id;
	task->name = pstrdup(row->name);
	task->provider = provider;
	task->provider_key_id = provider_key_id;
	if (kind == PADLOCK_KEY_UNLOCK)
		task->wrapped = row->wrapped;
	return task;
}

/* Is the KEK in memory? */
static bool
is_unlocked(const pg_uuid_t *id)
{
	uint8		kek[PADLOCK_KEK_SIZE];
	bool		unlocked = padlock_keyring_get(id, kek);

	envelope_wipe(kek, sizeof(kek));
	return unlocked;
}

/* What a row needs of a key service, or NULL; of a locked keyring no key is unlocked. */
static PadlockKeyTask *
task_of(const KeyringRow *row, bool locked)
{
	bool		local = strcmp(row->provider, PADLOCK_LOCAL_PROVIDER) == 0;
	bool		unlocked = is_unlocked(&row->id);

	if (strcmp(row->state, KEY_PENDING) == 0)
		return make_task(PADLOCK_KEY_MAKE, row, row->provider, row->provider_key_id);
	if (row->wrapped == NULL)
		return NULL;
	if (row->rewrap_provider != NULL && unlocked)
		return make_task(PADLOCK_KEY_REWRAP, row, row->rewrap_provider,
						 row->rewrap_provider_key_id);
	if (!local && !unlocked && !locked)
		return make_task(PADLOCK_KEY_UNLOCK, row, row->provider, row->provider_key_id);
	return NULL;
}

List *
padlock_keyring_tasks(void)
{
	Relation	keys = keyring_open_table(AccessShareLock);
	bool		locked = keyring_is_locked();
	List	   *tasks = NIL;
	ListCell   *cell;

	foreach(cell, keyring_rows(keys))
	{
		PadlockKeyTask *task = task_of(lfirst(cell), locked);

		if (task != NULL)
			tasks = lappend(tasks, task);
	}
	table_close(keys, AccessShareLock);
	return tasks;
}

/* End the wait of a key that was to be made: it takes over from the active one. */
static bool
activate(Datum *values)
{
	static PadlockStatement retire = {
		.sql = "UPDATE padlock.keys k SET state = 'decrypt-only', retired_at = now(),"
		" wraps_to = (SELECT last_value + 64 FROM padlock.key_wraps)"
		" FROM padlock.keys p WHERE p.id = $1 AND p.state = 'pending'"
		" AND p.provider = $2 AND p.provider_key_id IS NOT DISTINCT FROM $3"
		" AND k.key_id = p.key_id AND k.state = 'active'",
		.nargs = 3,
		.argtypes = {UUIDOID, TEXTOID, TEXTOID}
	};
	static PadlockStatement make_active = {
		.sql = "UPDATE padlock.keys SET state = 'active', wrapped = $4"
		" WHERE id = $1 AND state = 'pending'"
		" AND provider = $2 AND provider_key_id IS NOT DISTINCT FROM $3",
		.nargs = 4,
		.argtypes = {UUIDOID, TEXTOID, TEXTOID, BYTEAOID}
	};

	(void) padlock_spi_execute(&retire, values, NULL, false);
	return padlock_spi_execute(&make_active, values, NULL, false) == 1;
}

/* End the wait of a key that was to be wrapped anew. */
static bool
rewrap(Datum *values)
{
	static PadlockStatement update = {
		.sql = "UPDATE padlock.keys SET wrapped = $4, provider = rewrap_provider,"
		" provider_key_id = rewrap_provider_key_id, rewrap_provider = NULL,"
		" rewrap_provider_key_id = NULL"
		" WHERE id = $1 AND wrapped IS NOT NULL"
		" AND rewrap_provider = $2 AND rewrap_provider_key_id IS NOT DISTINCT FROM $3",
		.nargs = 4,
		.argtypes = {UUIDOID, TEXTOID, TEXTOID, BYTEAOID}
	};

	return padlock_spi_execute(&update, values, NULL, false) == 1;
}

bool
padlock_keyring_store(const pg_uuid_t *id, const char *provider, const char *provider_key_id,
					  const void *wrapped, size_t length)
{
	bytea	   *blob = palloc(VARHDRSZ + length);
	Datum		values[4];
	PadlockUserContext saved;
	bool		stored;

	SET_VARSIZE(blob, VARHDRSZ + length);
	memcpy(VARDATA(blob), wrapped, length);
	values[0] = UUIDPGetDatum(id);
	values[1] = CStringGetTextDatum(provider);
	values[2] = CStringGetTextDatum(provider_key_id);
	values[3] = PointerGetDatum(blob);

	padlock_become_owner(&saved);
	table_close(keyring_open_table(ShareRowExclusiveLock), NoLock);
	SPI_connect();
	stored = activate(values) || rewrap(values);
	SPI_finish();
	padlock_restore_user(&saved);
	return stored;
}
