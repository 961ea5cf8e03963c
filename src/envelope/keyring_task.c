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

#define CHECK_LABEL			"padlock key check value"
#define CHECK_VALUE_SIZE	16

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
	{
		task->wrapped = row->wrapped;
		task->check_value = row->check_value;
	}
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
	if (row->rewrap_provider != NULL && (unlocked || (local && !locked)))
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

int
padlock_keyring_count_rewraps(void)
{
	Relation	keys = keyring_open_table(AccessShareLock);
	int			count = 0;
	ListCell   *cell;

	foreach(cell, keyring_rows(keys))
	{
		const KeyringRow *row = lfirst(cell);

		if (row->rewrap_provider != NULL && row->wrapped != NULL)
			count++;
	}
	table_close(keys, AccessShareLock);
	return count;
}

bool
padlock_keyring_unlock(const PadlockKeyTask *task, uint8 *kek)
{
	Relation	keys = keyring_open_table(RowShareLock);
	const KeyringRow *row = keyring_row(keyring_rows(keys), task->name);
	bool		unlocked = row != NULL && memcmp(&row->id, &task->id, sizeof(pg_uuid_t)) == 0 &&
	keyring_kek(row, kek);

	table_close(keys, RowShareLock);
	return unlocked;
}

/*
 * A value by which a KEK is known again and that tells nothing else of it: HKDF
 * with a label that nothing else is derived by.
 */
static void
derive_check_value(const uint8 *kek, uint8 value[CHECK_VALUE_SIZE])
{
	EnvelopeHmacKey prk;

	envelope_hkdf_extract(NULL, 0, kek, PADLOCK_KEK_SIZE, &prk);
	envelope_hkdf_expand(&prk, CHECK_LABEL, strlen(CHECK_LABEL), value, CHECK_VALUE_SIZE);
	envelope_wipe(&prk, sizeof(prk));
}

bool
padlock_keyring_is_kek(const PadlockKeyTask *task, const uint8 *kek)
{
	uint8		value[CHECK_VALUE_SIZE];

	if (task->check_value == NULL)
		return true;			/* wrapped before there were any */
	derive_check_value(kek, value);
	return VARSIZE_ANY_EXHDR(task->check_value) == sizeof(value) &&
		envelope_equal(VARDATA_ANY(task->check_value), value, sizeof(value));
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
		.sql = "UPDATE padlock.keys SET state = 'active', wrapped = $4, check_value = $5"
		" WHERE id = $1 AND state = 'pending'"
		" AND provider = $2 AND provider_key_id IS NOT DISTINCT FROM $3",
		.nargs = 5,
		.argtypes = {UUIDOID, TEXTOID, TEXTOID, BYTEAOID, BYTEAOID}
	};

	(void) padlock_spi_execute(&retire, values, NULL, false);
	return padlock_spi_execute(&make_active, values, NULL, false) == 1;
}

/* End the wait of a key that was to be wrapped anew. */
static bool
rewrap(Datum *values)
{
	static PadlockStatement update = {
		.sql = "UPDATE padlock.keys SET wrapped = $4, check_value = $5,"
		" provider = rewrap_provider, provider_key_id = rewrap_provider_key_id, rewrap_provider = NULL,"
		" rewrap_provider_key_id = NULL"
		" WHERE id = $1 AND wrapped IS NOT NULL"
		" AND rewrap_provider = $2 AND rewrap_provider_key_id IS NOT DISTINCT FROM $3",
		.nargs = 5,
		.argtypes = {UUIDOID, TEXTOID, TEXTOID, BYTEAOID, BYTEAOID}
	};

	return padlock_spi_execute(&update, values, NULL, false) == 1;
}

bool
padlock_keyring_store(const PadlockKeyTask *task, const uint8 *kek, const bytea *wrapped)
{
	bytea	   *check_value = palloc(VARHDRSZ + CHECK_VALUE_SIZE);
	Datum		values[5];
	PadlockUserContext saved;
	bool		stored;

	SET_VARSIZE(check_value, VARHDRSZ + CHECK_VALUE_SIZE);
	derive_check_value(kek, (uint8 *) VARDATA(check_value));
	values[0] = UUIDPGetDatum(&task->id);
	values[1] = CStringGetTextDatum(task->provider);
	values[2] = CStringGetTextDatum(task->provider_key_id);
	values[3] = PointerGetDatum(wrapped);
	values[4] = PointerGetDatum(check_value);

	padlock_become_owner(&saved);
	table_close(keyring_open_table(ShareRowExclusiveLock), NoLock);
	SPI_connect();
	stored = activate(values) || rewrap(values);
	SPI_finish();
	padlock_restore_user(&saved);
	return stored;
}
