/*-------------------------------------------------------------------------
 *
 * keyring_sql.c
 *	  The keyring's administration: SQL functions of the extension's owner.
 *
 * EXECUTE is the right; what they do to padlock.keys they do as the owner.
 * Those that change keys run one at a time: each locks the table first.
 *
 * What the local provider does is done at once.  What a key service has to do
 * is noted in the rows, and a job has a worker do it (keyring_task.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "core/body.h"
#include "core/errors.h"
#include "core/spi.h"
#include "envelope/crypto.h"
#include "envelope/keyring.h"
#include "queue/queue.h"

#define MAX_KEY_ID		63		/* characters; a name adds a version */
#define JOB_TYPE		"keyring"
#define JOB_PRIORITY	100		/* others may wait for a key */
#define JOB_ATTEMPTS	10
#define LOCK_PATIENCE_MS 2000	/* that destroy_key() waits for those who encrypt */

PG_FUNCTION_INFO_V1(padlock_init_keyring);
PG_FUNCTION_INFO_V1(padlock_create_key);
PG_FUNCTION_INFO_V1(padlock_rotate_key);
PG_FUNCTION_INFO_V1(padlock_rewrap_keyring);
PG_FUNCTION_INFO_V1(padlock_destroy_key);
PG_FUNCTION_INFO_V1(padlock_lock_keyring);
PG_FUNCTION_INFO_V1(padlock_unlock_keyring);
PG_FUNCTION_INFO_V1(padlock_keyring);

static PadlockProviderCheck provider_check = NULL;

void
padlock_keyring_set_check(PadlockProviderCheck check)
{
	provider_check = check;
}

static bool
is_local(const char *provider)
{
	return strcmp(provider, PADLOCK_LOCAL_PROVIDER) == 0;
}

/* A text argument, or NULL. */
static char *
text_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

/* The first argument, which must be there. */
static char *
required_argument(FunctionCallInfo fcinfo, const char *name)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

static void
check_key_id(const char *key_id)
{
	size_t		length = strlen(key_id);

	if (length > 0 && length <= MAX_KEY_ID && isalnum((unsigned char) key_id[0]) &&
		strspn(key_id, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == length)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("key_id must be 1 to %d lower-case letters, digits, '_', '.' and '-'", MAX_KEY_ID),
			 errdetail("The first must be a letter or a digit.")));
}

static void
check_provider(const char *provider, const char *provider_key_id)
{
	const char *problem;

	if (provider == NULL)
		problem = "There must be one.";
	else if (is_local(provider))
		problem = provider_key_id != NULL ? "The local provider has no names of keys." : NULL;
	else if (provider_key_id == NULL)
		problem = "A key service needs the name of its key.";
	else
		problem = provider_check != NULL ? provider_check(provider, provider_key_id) :
			"It is not known.";
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("provider of keys is not valid"),
				 errdetail("%s", problem)));
}

/* Begin a change of the keyring: the rows stay as they are until the transaction ends. */
static List *
begin_change(PadlockUserContext *saved)
{
	Relation	keys;
	List	   *rows;

	padlock_require_preload("the keyring");
	padlock_become_owner(saved);
	keys = keyring_open_table(ShareRowExclusiveLock);
	rows = keyring_rows(keys);
	table_close(keys, NoLock);
	return rows;
}

/* Run a statement that changes the keyring's tables.  An error does not quote it: it is none of the caller's. */
static uint64
change(PadlockStatement *statement, Datum *values, const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile uint64 count = 0;

	SPI_connect();
	PG_TRY();
	{
		count = padlock_spi_execute(statement, values, nulls, false);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		error->context = NULL;
		ReThrowError(error);
	}
	PG_END_TRY();
	SPI_finish();
	return count;
}

static void
enqueue_job(void)
{
	(void) padlock_queue_enqueue(JOB_TYPE, padlock_answer("{}"), JOB_PRIORITY, JOB_ATTEMPTS);
}

/* The newest version of a key_id, 0 without any; 55006 while one is being made. */
static int
newest_version(List *rows, const char *key_id, const KeyringRow **newest)
{
	int			version = 0;
	ListCell   *cell;

	foreach(cell, rows)
	{
		KeyringRow *row = lfirst(cell);

		if (strcmp(row->key_id, key_id) != 0)
			continue;
		if (strcmp(row->state, KEY_PENDING) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("key \"%s\" is being made", row->name),
					 errhint("Wait until a background worker has made it; padlock.key_services() tells what keeps it from that.")));
		if (row->version > version)
		{
			version = row->version;
			*newest = row;
		}
	}
	return version;
}

/* Add a version's row: active with its wrapped KEK, or pending without. */
static void
insert_row(const char *key_id, int version, const char *provider, const char *provider_key_id,
		   bytea *wrapped)
{
	static PadlockStatement insert = {
		.sql = "INSERT INTO padlock.keys (key_id, version, state, provider, provider_key_id,"
		" wrapped, wraps_from, messages_from)"
		" SELECT $1, $2, CASE WHEN $5 IS NULL THEN 'pending' ELSE 'active' END, $3, $4, $5,"
		" w.last_value, CASE WHEN m.is_called THEN m.last_value + 64 ELSE 0 END"
		" FROM padlock.key_wraps w, padlock.key_messages m",
		.nargs = 5,
		.argtypes = {TEXTOID, INT4OID, TEXTOID, TEXTOID, BYTEAOID}
	};
	Datum		values[5];
	char		nulls[5] = {' ', ' ', ' ', ' ', ' '};

	values[0] = CStringGetTextDatum(key_id);
	values[1] = Int32GetDatum(version);
	values[2] = CStringGetTextDatum(provider);
	values[3] = provider_key_id != NULL ? CStringGetTextDatum(provider_key_id) : (Datum) 0;
	values[4] = PointerGetDatum(wrapped);
	nulls[3] = provider_key_id != NULL ? ' ' : 'n';
	nulls[4] = wrapped != NULL ? ' ' : 'n';
	(void) change(&insert, values, nulls);
}

/* A key can be made while the keyring is locked, but not used; say so. */
static void
warn_if_locked(const char *name)
{
	if (keyring_is_locked())
		ereport(WARNING,
				(errmsg("keyring is locked"),
				 errdetail("Key \"%s\" can be used once the keyring is unlocked.", name),
				 errhint("Run SELECT padlock.unlock_keyring().")));
}

/* Make a version of a key, at once or by a worker; returns its name. */
static char *
make_version(const char *key_id, int version, const char *provider, const char *provider_key_id)
{
	char	   *name = psprintf("%s/%d", key_id, version);
	uint8		kek[PADLOCK_KEK_SIZE];
	bytea	   *wrapped = NULL;

	if (is_local(provider))
	{
		if (!envelope_random(kek, sizeof(kek)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a random key")));
		wrapped = key_file_wrap(name, kek);
		envelope_wipe(kek, sizeof(kek));
	}
	insert_row(key_id, version, provider, provider_key_id, wrapped);
	if (wrapped == NULL)
		enqueue_job();
	warn_if_locked(name);
	return name;
}

/* Is there a KEK that only the key file can unlock? */
static const KeyringRow *
local_row(List *rows)
{
	ListCell   *cell;

	foreach(cell, rows)
	{
		KeyringRow *row = lfirst(cell);

		if (is_local(row->provider) && row->wrapped != NULL)
			return row;
	}
	return NULL;
}

/*
 * padlock.init_keyring() returns boolean: make the key file, unless it is there
 * (true if it was made), and the key of documents.  Errors: 55000 without
 * padlock.key_file; class 58 and F0000 when the file cannot be taken, or is
 * missing although keys depend on it: it is never overwritten.
 */
Datum
padlock_init_keyring(PG_FUNCTION_ARGS)
{
	PadlockUserContext saved;
	List	   *rows = begin_change(&saved);
	const KeyringRow *local = local_row(rows);
	const KeyringRow *newest;
	bool		made = key_file_make(local != NULL);

	if (local != NULL)
	{
		uint8		kek[PADLOCK_KEK_SIZE];

		key_file_unwrap(local->name, local->wrapped, kek);	/* is it the right one? */
		envelope_wipe(kek, sizeof(kek));
	}
	if (newest_version(rows, PADLOCK_DOCUMENT_KEY, &newest) == 0)
		(void) make_version(PADLOCK_DOCUMENT_KEY, 1, PADLOCK_LOCAL_PROVIDER, NULL);
	padlock_restore_user(&saved);
	PG_RETURN_BOOL(made);
}

/*
 * padlock.create_key(key_id text, provider text DEFAULT 'local',
 * provider_key_id text DEFAULT NULL) returns text: make the first version of a
 * key and return its name.  With a key service it is made by a worker.  Errors:
 * 22023 for bad arguments, 42710 when the key_id is taken, those of the file.
 */
Datum
padlock_create_key(PG_FUNCTION_ARGS)
{
	char	   *key_id = required_argument(fcinfo, "key_id");
	char	   *provider = text_argument(fcinfo, 1);
	char	   *provider_key_id = text_argument(fcinfo, 2);
	PadlockUserContext saved;
	const KeyringRow *newest;
	char	   *name;

	check_key_id(key_id);
	check_provider(provider, provider_key_id);
	if (newest_version(begin_change(&saved), key_id, &newest) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("key \"%s\" already exists", key_id),
				 errhint("Make another version of it with padlock.rotate_key().")));
	name = make_version(key_id, 1, provider, provider_key_id);
	padlock_restore_user(&saved);
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/* Let the active version of a key_id decrypt only. */
static void
retire(const char *key_id)
{
	static PadlockStatement update = {
		.sql = "UPDATE padlock.keys SET state = 'decrypt-only', retired_at = now(),"
		" wraps_to = (SELECT last_value + 64 FROM padlock.key_wraps)"
		" WHERE key_id = $1 AND state = 'active'",
		.nargs = 1,
		.argtypes = {TEXTOID}
	};
	Datum		value = CStringGetTextDatum(key_id);

	(void) change(&update, &value, NULL);
}

/*
 * padlock.rotate_key(key_id text) returns text: make another version of a key,
 * by the provider of the last one, and return its name.  It seals from then
 * on; the one before opens what it sealed.  Errors: 42704 for an unknown key,
 * 55006 while a version is being made.
 */
Datum
padlock_rotate_key(PG_FUNCTION_ARGS)
{
	char	   *key_id = required_argument(fcinfo, "key_id");
	PadlockUserContext saved;
	const KeyringRow *newest = NULL;
	int			version = newest_version(begin_change(&saved), key_id, &newest);
	char	   *name;

	if (newest == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("key \"%s\" does not exist", key_id),
				 errhint("padlock.keyring() shows the keys: a name is a key_id, a slash and a version.")));
	if (is_local(newest->provider))
		retire(key_id);
	name = make_version(key_id, version + 1, newest->provider, newest->provider_key_id);
	padlock_restore_user(&saved);
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/* Wrap a KEK by the key file. */
static void
rewrap_local(const KeyringRow *row, const uint8 *kek)
{
	static PadlockStatement update = {
		.sql = "UPDATE padlock.keys SET provider = 'local', provider_key_id = NULL, wrapped = $2,"
		" rewrap_provider = NULL, rewrap_provider_key_id = NULL"
		" WHERE id = $1",
		.nargs = 2,
		.argtypes = {UUIDOID, BYTEAOID}
	};
	Datum		values[2];

	values[0] = UUIDPGetDatum(&row->id);
	values[1] = PointerGetDatum(key_file_wrap(row->name, kek));
	(void) change(&update, values, NULL);
}

/* The same for a KEK that is unlocked for it; false when it is not there any more. */
static bool
unlock_and_rewrap(const KeyringRow *row)
{
	uint8		kek[PADLOCK_KEK_SIZE];

	if (!keyring_kek(row, kek))
		return false;
	PG_TRY();
	{
		rewrap_local(row, kek);
	}
	PG_FINALLY();
	{
		envelope_wipe(kek, sizeof(kek));
	}
	PG_END_TRY();
	return true;
}

/* Have every KEK in memory: with another file set, nothing else has them. */
static void
unlock_each(List *rows)
{
	ListCell   *cell;

	foreach(cell, rows)
	{
		KeyringRow *row = lfirst(cell);
		uint8		kek[PADLOCK_KEK_SIZE];

		if (row->wrapped != NULL && keyring_kek(row, kek))
			envelope_wipe(kek, sizeof(kek));
	}
}

/* Rewrap all KEKs by the key file, which is made if need be; returns how many. */
static int
rewrap_all_local(List *rows)
{
	int			count = 0;
	ListCell   *cell;

	(void) key_file_make(false);
	foreach(cell, rows)
	{
		const KeyringRow *row = lfirst(cell);

		if (row->wrapped == NULL || !unlock_and_rewrap(row))
			continue;
		count++;
	}
	return count;
}

/*
 * padlock.rewrap_keyring(provider text DEFAULT 'local', provider_key_id text
 * DEFAULT NULL) returns integer: have every KEK wrapped anew by a provider's
 * key; messages stay as they are.  Returns how many.  A worker does it for a
 * key service.  Errors: 55000 when a KEK is locked, 22023, those of the file.
 */
Datum
padlock_rewrap_keyring(PG_FUNCTION_ARGS)
{
	static PadlockStatement note = {
		.sql = "UPDATE padlock.keys SET rewrap_provider = $1, rewrap_provider_key_id = $2"
		" WHERE wrapped IS NOT NULL",
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID}
	};
	char	   *provider = text_argument(fcinfo, 0);
	char	   *provider_key_id = text_argument(fcinfo, 1);
	Datum		values[2];
	PadlockUserContext saved;
	List	   *rows;
	int			count;

	check_provider(provider, provider_key_id);
	rows = begin_change(&saved);
	unlock_each(rows);
	if (is_local(provider))
		count = rewrap_all_local(rows);
	else
	{
		values[0] = CStringGetTextDatum(provider);
		values[1] = CStringGetTextDatum(provider_key_id);
		count = (int) change(&note, values, NULL);
		enqueue_job();
	}
	padlock_restore_user(&saved);
	PG_RETURN_INT32(count);
}

/* Stop where messages may be lost that only their makers know, unless they are to be. */
static void
check_messages(const KeyringRow *row, bool messages_too)
{
	int64		count = keyring_messages(row);

	if (messages_too || count == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("key \"%s\" may be needed by messages of padlock.encrypt()", row->name),
			 errdetail("Up to " INT64_FORMAT " were made since the key was, with all keys of this database; padlock does not keep them, and cannot tell which need this one.",
					   count),
			 errhint("Decrypt those that do and encrypt them again.  When none is left, run SELECT padlock.destroy_key('%s', messages_too => true).",
					 row->name)));
}

/*
 * padlock.destroy_key(key_name text, messages_too boolean DEFAULT false) returns
 * void: forget a KEK for ever, and with it all that it sealed.  Errors: 42704 for an
 * unknown name, 55006 for an active key, one that documents need, or one that
 * messages of padlock.encrypt() may need unless messages_too is true, 55P03 while others encrypt (after a short wait,
 * in which it is in nobody's way), 0A000 in a transaction whose snapshot would
 * not show what others have sealed.
 */
Datum
padlock_destroy_key(PG_FUNCTION_ARGS)
{
	static PadlockStatement update = {
		.sql = "UPDATE padlock.keys SET state = 'destroyed', wrapped = NULL, destroyed_at = now(),"
		" rewrap_provider = NULL, rewrap_provider_key_id = NULL"
		" WHERE id = $1",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	char	   *name = required_argument(fcinfo, "key_name");
	Datum		value;
	PadlockUserContext saved;
	KeyringRow *row;

	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("keys can be destroyed in READ COMMITTED transactions only")));
	if (!keyring_try_lock(LOCK_PATIENCE_MS))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("key \"%s\" cannot be destroyed while transactions that encrypt are open",
						name),
				 errhint("Try again when they have ended.")));
	row = keyring_row(begin_change(&saved), name);
	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("key \"%s\" does not exist", name),
				 errhint("padlock.keyring() shows the keys: a name is a key_id, a slash and a version.")));
	if (strcmp(row->state, KEY_ACTIVE) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("key \"%s\" is active", name),
				 errhint("Replace it with padlock.rotate_key() first.")));
	value = UUIDPGetDatum(&row->id);
	(void) change(&update, &value, NULL);
	check_messages(row, !PG_ARGISNULL(1) && PG_GETARG_BOOL(1));
	keyring_forget(&row->id);
	padlock_restore_user(&saved);
	PG_RETURN_VOID();
}

/* Have the lock last over restarts, or end it; a replica has it in memory only. */
static void
note_lock(bool locked)
{
	static PadlockStatement note = {
		.sql = "INSERT INTO padlock.keyring_lock DEFAULT VALUES ON CONFLICT DO NOTHING"
	};
	static PadlockStatement forget = {.sql = "DELETE FROM padlock.keyring_lock"};

	if (!RecoveryInProgress())
		(void) change(locked ? &note : &forget, NULL, NULL);
}

/*
 * padlock.lock_keyring() returns integer: wipe this database's KEKs from
 * memory, at once and whatever becomes of the transaction, and let none in
 * until unlock_keyring(), over restarts too if it commits.  Returns how many
 * were there.
 */
Datum
padlock_lock_keyring(PG_FUNCTION_ARGS)
{
	PadlockUserContext saved;
	int			wiped;

	padlock_require_preload("the keyring");
	wiped = keyring_lock_all();
	padlock_become_owner(&saved);
	note_lock(true);
	padlock_restore_user(&saved);
	PG_RETURN_INT32(wiped);
}

/*
 * Unlock the KEKs that the key file wrapped; returns how many, and sets *others
 * if a worker has to do something about any.
 */
static int
unlock_all_local(bool *others)
{
	Relation	keys = keyring_open_table(RowShareLock);
	List	   *rows = keyring_rows(keys);
	int			count = 0;
	ListCell   *cell;

	foreach(cell, rows)
	{
		KeyringRow *row = lfirst(cell);
		uint8		kek[PADLOCK_KEK_SIZE];

		if (!is_local(row->provider) || row->rewrap_provider != NULL)
			*others = true;
		if (is_local(row->provider) && row->wrapped != NULL && keyring_kek(row, kek))
		{
			envelope_wipe(kek, sizeof(kek));
			count++;
		}
	}
	table_close(keys, RowShareLock);
	return count;
}

/* The same for a locked keyring, which an error leaves locked. */
static int
unlock_or_stay_locked(bool *others)
{
	volatile int count = 0;

	PG_TRY();
	{
		count = unlock_all_local(others);
	}
	PG_CATCH();
	{
		(void) keyring_lock_all();
		PG_RE_THROW();
	}
	PG_END_TRY();
	return count;
}

/*
 * padlock.unlock_keyring() returns integer: unlock this database's KEKs, those
 * of the key file at once, those of key services by a worker.  Returns how many
 * of the first there are.  Errors: those of the file; the keyring stays locked
 * then.
 */
Datum
padlock_unlock_keyring(PG_FUNCTION_ARGS)
{
	PadlockUserContext saved;
	bool		others = false;
	bool		was_locked;
	int			count;

	padlock_require_preload("the keyring");
	padlock_become_owner(&saved);
	was_locked = keyring_is_locked();
	note_lock(false);
	keyring_allow();
	count = was_locked ? unlock_or_stay_locked(&others) : unlock_all_local(&others);
	if (others)
		enqueue_job();
	padlock_restore_user(&saved);
	PG_RETURN_INT32(count);
}

/* A row of padlock.keyring(). */
static void
put_row(ReturnSetInfo *result, const KeyringRow *row)
{
	Datum		values[7];
	bool		nulls[7] = {false};
	uint8		kek[PADLOCK_KEK_SIZE];

	values[0] = CStringGetTextDatum(row->name);
	values[1] = CStringGetTextDatum(row->state);
	values[2] = CStringGetTextDatum(row->provider);
	nulls[3] = row->provider_key_id == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(row->provider_key_id);
	values[4] = BoolGetDatum(padlock_keyring_get(&row->id, kek));
	envelope_wipe(kek, sizeof(kek));
	values[5] = Int64GetDatum(keyring_wraps(row));
	values[6] = TimestampTzGetDatum(row->created_at);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * padlock.keyring(OUT key_name, state, provider, provider_key_id, unlocked,
 * wraps, created_at) returns setof record: the keys, whether they are unlocked,
 * and how many data keys they have wrapped at most.
 */
Datum
padlock_keyring(PG_FUNCTION_ARGS)
{
	PadlockUserContext saved;
	Relation	keys;
	ListCell   *cell;

	padlock_require_preload("the keyring");
	InitMaterializedSRF(fcinfo, 0);
	padlock_become_owner(&saved);
	keys = keyring_open_table(AccessShareLock);
	foreach(cell, keyring_rows(keys))
		put_row((ReturnSetInfo *) fcinfo->resultinfo, lfirst(cell));
	table_close(keys, AccessShareLock);
	padlock_restore_user(&saved);
	return (Datum) 0;
}
