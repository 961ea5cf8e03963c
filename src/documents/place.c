/*-------------------------------------------------------------------------
 *
 * place.c
 *	  Where sealed contents lie: in the database, or in an object store that
 *	  workers talk to.
 *
 * With padlock.document_store = s3 a sealed content leaves the database as
 * soon as nothing here needs it any more: a job stores it and then empties
 * document_contents.content, which keeps the object's key and hash.  Who asks
 * for such a content has it fetched by another job; the copy stays for an hour
 * or more.  A content is never in no place: the row is changed only after the
 * object was stored, or its bytes are back.
 *
 * An object is named after its document, and by chance.  The name is in the row,
 * committed, before the first byte leaves (put_key), with the time when the
 * request that writes it has ended at the latest (put_until).  One attempt at a
 * time writes an object: another that begins before put_until takes a new name,
 * and none writes one that the row does not name any more.  Of such an object
 * the trigger drop_object() queues the erasure, for after put_until.
 *
 * Locking contract: as in content.c, the document's row first.
 *
 * Crash contract: an object that was stored by an attempt whose end was never
 * committed is named by put_key, beside the same content here: the next attempt
 * writes it again or has it erased, and when there is none it is erased with the
 * content.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "core/body.h"
#include "core/spi.h"
#include "documents/documents.h"
#include "documents/place.h"
#include "queue/queue.h"

#define FETCH_PRIORITY		20		/* somebody waits */
#define STORE_PRIORITY		(-5)
#define ERASE_PRIORITY		(-5)
#define FETCH_ATTEMPTS		3
#define STORE_ATTEMPTS		20
#define ERASE_ATTEMPTS		20

typedef enum StoreKind
{
	STORE_DATABASE,
	STORE_S3
} StoreKind;

static const struct config_enum_entry store_options[] = {
	{"database", STORE_DATABASE, false},
	{"s3", STORE_S3, false},
	{NULL, 0, false}
};

static int	document_store = STORE_DATABASE;

PG_FUNCTION_INFO_V1(padlock_place_document);
PG_FUNCTION_INFO_V1(padlock_drop_object);
PG_FUNCTION_INFO_V1(padlock_move_documents);

void
padlock_documents_init(void)
{
	padlock_documents_watch();
	DefineCustomEnumVariable("padlock.document_store",
							 "Where the contents of encrypted documents are kept.",
							 "With s3 they leave for the object store of padlock.s3_url; padlock.move_documents() moves those that are there.",
							 &document_store, STORE_DATABASE, store_options, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
}

static char *
uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

static void
enqueue_for(const char *job_type, const char *id, int priority, int attempts)
{
	(void) padlock_queue_enqueue(job_type, padlock_answer("{\"document_id\": \"%s\"}", id),
								 priority, attempts);
}

/* Have an object erased, not before a time (0: at once). */
static void
enqueue_erasure(const char *object_key, TimestampTz when)
{
	PadlockNewJob job = {
		.type = PADLOCK_ERASE_JOB,
		.payload = padlock_answer("{\"object_key\": %s}", padlock_json_string(object_key)),
		.priority = ERASE_PRIORITY,
		.max_attempts = ERASE_ATTEMPTS,
		.run_at = when
	};

	(void) padlock_queue_add(&job);
}

/* What the row says is to be done. */
static PadlockMove
judge(bool sealed, bool has_content, bool has_object)
{
	if (document_store == STORE_S3 && sealed && has_content && !has_object)
		return PADLOCK_MOVE_OUT;
	if (document_store == STORE_DATABASE && has_object)
		return PADLOCK_MOVE_BACK;
	return PADLOCK_MOVE_NOTHING;
}

/* Fill a place from the current SPI result; all that it keeps lies in context. */
static void
read_place(PadlockPlace *place, MemoryContext context)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool		no_hash;
	bool		isnull;
	bool		has_content = DatumGetBool(SPI_getbinval(row, desc, 1, &isnull));
	Datum		hash = SPI_getbinval(row, desc, 3, &no_hash);
	bool		sealed = DatumGetBool(SPI_getbinval(row, desc, 4, &isnull));

	place->failed = DatumGetBool(SPI_getbinval(row, desc, 5, &isnull));
	place->object_key = SPI_getvalue(row, desc, 2);
	place->move = judge(sealed, has_content, place->object_key != NULL);
	place->away = !has_content;
	if (!no_hash)
		memcpy(place->hash, VARDATA_ANY(DatumGetByteaPP(hash)), PADLOCK_OBJECT_HASH_SIZE);
	MemoryContextSwitchTo(caller);
}

PadlockPlace *
padlock_content_place(const pg_uuid_t *id)
{
	static PadlockStatement find = {
		.sql = "SELECT c.content IS NOT NULL, c.object_key, c.object_hash,"
		" coalesce(d.is_encrypted, false) AND d.extraction_status <> 'pending',"
		" c.fetch_error IS NOT NULL FROM @app@.documents d JOIN padlock.document_contents c ON c.document_id = d.id"
		" WHERE d.id = $1",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	MemoryContext context = CurrentMemoryContext;
	Datum		value = UUIDPGetDatum(id);
	PadlockPlace *place = palloc0(sizeof(PadlockPlace));
	PadlockUserContext saved;
	bool		found;

	padlock_become_owner(&saved);
	SPI_connect();
	found = padlock_spi_execute(&find, &value, NULL, true) > 0;
	if (found)
		read_place(place, context);
	SPI_finish();
	padlock_restore_user(&saved);
	return found ? place : NULL;
}

/* Lock the row of the document that the first value names; false when there is none. */
static bool
lock_document(Datum *values)
{
	static PadlockStatement lock = {
		.sql = "SELECT FROM @app@.documents WHERE id = $1 FOR UPDATE",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};

	return padlock_spi_execute(&lock, values, NULL, false) > 0;
}

/* Run a change of a content, its document locked first; true when it changed a row. */
static bool
change_content(PadlockStatement *change, Datum *values)
{
	PadlockUserContext saved;
	bool		changed;

	padlock_become_owner(&saved);
	SPI_connect();
	changed = lock_document(values) && padlock_spi_execute(change, values, NULL, false) > 0;
	SPI_finish();
	padlock_restore_user(&saved);
	return changed;
}

/* The key and the content that the current SPI result holds, in the context given. */
static char *
take_object(MemoryContext context, bytea **content)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	HeapTuple	row = SPI_tuptable->vals[0];
	bool		isnull;
	char	   *key = SPI_getvalue(row, SPI_tuptable->tupdesc, 1);

	*content = DatumGetByteaPCopy(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	MemoryContextSwitchTo(caller);
	return key;
}

char *
padlock_content_moving_out(const pg_uuid_t *id, const char *prefix, int64 limit_ms,
						   bytea **content)
{
	static PadlockStatement note = {
		.sql = "UPDATE padlock.document_contents"
		" SET put_key = CASE WHEN put_until < clock_timestamp() THEN put_key"
		" ELSE $2 || document_id || '/' || gen_random_uuid() END,"
		" put_until = clock_timestamp() + $3 * interval '1 millisecond'"
		" WHERE document_id = $1 AND object_key IS NULL AND content IS NOT NULL"
		" RETURNING put_key, content",
		.nargs = 3,
		.argtypes = {UUIDOID, TEXTOID, INT8OID}
	};
	MemoryContext context = CurrentMemoryContext;
	PadlockUserContext saved;
	char	   *key = NULL;
	Datum		values[3];

	values[0] = UUIDPGetDatum(id);
	values[1] = CStringGetTextDatum(prefix);
	values[2] = Int64GetDatum(limit_ms);
	padlock_become_owner(&saved);
	SPI_connect();
	if (lock_document(values) && padlock_spi_execute(&note, values, NULL, false) > 0)
		key = take_object(context, content);
	SPI_finish();
	padlock_restore_user(&saved);
	return key;
}

bool
padlock_content_moved_out(const pg_uuid_t *id, const char *object_key, const uint8 *hash)
{
	static PadlockStatement move = {
		.sql = "UPDATE padlock.document_contents SET content = NULL, object_key = $2,"
		" object_hash = $3, asked_at = NULL, put_key = NULL, put_until = NULL"
		" WHERE document_id = $1 AND put_key = $2 AND object_key IS NULL"
		" AND pg_catalog.sha256(content) = $3",
		.nargs = 3,
		.argtypes = {UUIDOID, TEXTOID, BYTEAOID}
	};
	Datum		values[3];
	bool		moved;

	values[0] = UUIDPGetDatum(id);
	values[1] = CStringGetTextDatum(object_key);
	values[2] = PointerGetDatum(cstring_to_text_with_len((const char *) hash,
														 PADLOCK_OBJECT_HASH_SIZE));
	moved = change_content(&move, values);
	if (!moved && !padlock_object_is_named(object_key))
		enqueue_erasure(object_key, 0);
	return moved;
}

bool
padlock_content_moved_back(const pg_uuid_t *id, const char *object_key, bytea *content, bool stay)
{
	static PadlockStatement keep = {
		.sql = "UPDATE padlock.document_contents SET content = $3, asked_at = clock_timestamp(),"
		" fetch_error = NULL WHERE document_id = $1 AND object_key = $2",
		.nargs = 3,
		.argtypes = {UUIDOID, TEXTOID, BYTEAOID}
	};
	static PadlockStatement move = {
		.sql = "UPDATE padlock.document_contents SET content = $3, object_key = NULL,"
		" object_hash = NULL, asked_at = NULL, fetch_error = NULL"
		" WHERE document_id = $1 AND object_key = $2",
		.nargs = 3,
		.argtypes = {UUIDOID, TEXTOID, BYTEAOID}
	};
	Datum		values[3];

	values[0] = UUIDPGetDatum(id);
	values[1] = CStringGetTextDatum(object_key);
	values[2] = PointerGetDatum(content);
	return change_content(stay ? &move : &keep, values);
}

PadlockAwayState
padlock_content_ask_for(const pg_uuid_t *id)
{
	/* who asks again within a minute waits for the same job, or is told what came of it */
	static PadlockStatement ask = {
		.sql = "UPDATE padlock.document_contents SET asked_at = clock_timestamp(), fetch_error = NULL"
		" WHERE document_id = $1 AND content IS NULL"
		" AND (asked_at IS NULL OR asked_at < clock_timestamp() - interval '1 minute')",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	PadlockPlace *place = padlock_content_place(id);
	Datum		value = UUIDPGetDatum(id);

	if (place == NULL || !place->away)
		return PADLOCK_NOT_AWAY;
	if (!change_content(&ask, &value))
		return place->failed ? PADLOCK_NOT_FETCHED : PADLOCK_BEING_FETCHED;
	enqueue_for(PADLOCK_FETCH_JOB, uuid_text(id), FETCH_PRIORITY, FETCH_ATTEMPTS);
	return PADLOCK_BEING_FETCHED;
}

void
padlock_content_not_fetched(const pg_uuid_t *id, const char *error)
{
	static PadlockStatement note = {
		.sql = "UPDATE padlock.document_contents SET fetch_error = $2"
		" WHERE document_id = $1 AND content IS NULL",
		.nargs = 2,
		.argtypes = {UUIDOID, TEXTOID}
	};
	Datum		values[2];

	values[0] = UUIDPGetDatum(id);
	values[1] = CStringGetTextDatum(error);
	(void) change_content(&note, values);
}

bool
padlock_object_is_named(const char *object_key)
{
	static PadlockStatement find = {
		.sql = "SELECT FROM padlock.document_contents WHERE object_key = $1"
		" UNION ALL SELECT FROM padlock.document_contents WHERE put_key = $1",
		.nargs = 1,
		.argtypes = {TEXTOID}
	};
	Datum		value = CStringGetTextDatum(object_key);
	PadlockUserContext saved;
	bool		found;

	padlock_become_owner(&saved);
	SPI_connect();
	found = padlock_spi_execute(&find, &value, NULL, true) > 0;
	SPI_finish();
	padlock_restore_user(&saved);
	return found;
}

void
padlock_content_evict(void)
{
	static PadlockStatement evict = {
		.sql = "UPDATE padlock.document_contents SET content = NULL, asked_at = NULL"
		" WHERE object_key IS NOT NULL AND content IS NOT NULL"
		" AND asked_at < clock_timestamp() - interval '1 hour'"
	};
	PadlockUserContext saved;

	padlock_become_owner(&saved);
	SPI_connect();
	(void) padlock_spi_execute(&evict, NULL, NULL, false);
	SPI_finish();
	padlock_restore_user(&saved);
}

static TriggerData *
require_trigger(FunctionCallInfo fcinfo, const char *name)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) || TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s must be fired AFTER UPDATE or DELETE FOR EACH ROW", name)));
	return trigger;
}

/*
 * padlock.place_document() trigger: AFTER UPDATE FOR EACH ROW on documents,
 * when the row is encrypted and waits for no text.  Queues its move to the
 * object store, if that is where contents belong.
 */
Datum
padlock_place_document(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = require_trigger(fcinfo, "place_document");
	static PadlockStatement find = {
		.sql = "SELECT FROM padlock.document_contents"
		" WHERE document_id = $1::uuid AND content IS NOT NULL AND object_key IS NULL",
		.nargs = 1,
		.argtypes = {TEXTOID}
	};
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	char	   *id;
	Datum		value;
	PadlockUserContext saved;
	bool		found;

	if (document_store == STORE_DATABASE || trigger->tg_newtuple == NULL)
		return PointerGetDatum(NULL);
	id = SPI_getvalue(trigger->tg_newtuple, desc, SPI_fnumber(desc, "id"));
	value = CStringGetTextDatum(id);
	/* as the owner: contents are hidden from the user who changed the document */
	padlock_become_owner(&saved);
	SPI_connect();
	found = padlock_spi_execute(&find, &value, NULL, false) > 0;
	SPI_finish();
	padlock_restore_user(&saved);
	if (found)
		enqueue_for(PADLOCK_STORE_JOB, id, STORE_PRIORITY, STORE_ATTEMPTS);
	return PointerGetDatum(NULL);
}

/* Does the row, if there is one still, have this object's name in a column? */
static bool
names_object(HeapTuple row, TupleDesc desc, const char *column, const char *object_key)
{
	char	   *name = row != NULL ? SPI_getvalue(row, desc, SPI_fnumber(desc, column)) : NULL;

	return name != NULL && strcmp(name, object_key) == 0;
}

/* Until when an attempt may write the object that a row names; 0 when none does. */
static TimestampTz
put_until(HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		value = SPI_getbinval(row, desc, SPI_fnumber(desc, "put_until"), &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/* Stop a truncation while rows name objects, which nobody would erase. */
static void
refuse_truncation(void)
{
	static PadlockStatement find = {
		.sql = "SELECT FROM padlock.document_contents"
		" WHERE object_key IS NOT NULL OR put_key IS NOT NULL LIMIT 1"
	};
	PadlockUserContext saved;
	bool		found;

	padlock_become_owner(&saved);
	SPI_connect();
	found = padlock_spi_execute(&find, NULL, NULL, false) > 0;
	SPI_finish();
	padlock_restore_user(&saved);
	if (found)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("documents cannot be truncated while contents are in the object store"),
				 errhint("Use DELETE, which has the objects erased.")));
}

/*
 * padlock.drop_object() trigger: AFTER UPDATE OR DELETE FOR EACH ROW on
 * padlock.document_contents, where an object was named.  Queues the erasure of
 * one that the row does not name any more.  BEFORE TRUNCATE, which also fires
 * when documents are truncated: 55000 when there is an object.
 */
Datum
padlock_drop_object(PG_FUNCTION_ARGS)
{
	static const char *const columns[] = {"object_key", "put_key"};
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	was;
	HeapTuple	is;

	if (CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		refuse_truncation();
		return PointerGetDatum(NULL);
	}
	trigger = require_trigger(fcinfo, "drop_object");
	desc = RelationGetDescr(trigger->tg_relation);
	was = trigger->tg_trigtuple;
	is = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : NULL;
	for (int i = 0; i < lengthof(columns); i++)
	{
		char	   *key = SPI_getvalue(was, desc, SPI_fnumber(desc, columns[i]));

		if (key != NULL && !names_object(is, desc, "object_key", key) &&
			!names_object(is, desc, "put_key", key))
			enqueue_erasure(key, put_until(was, desc));
	}
	return PointerGetDatum(NULL);
}

/*
 * padlock.move_documents() returns bigint: queue the move of every sealed
 * content that does not lie where padlock.document_store says; how many.
 */
Datum
padlock_move_documents(PG_FUNCTION_ARGS)
{
	static PadlockStatement find = {
		.sql = "SELECT d.id FROM @app@.documents d"
		" JOIN padlock.document_contents c ON c.document_id = d.id"
		" WHERE d.is_encrypted AND d.extraction_status <> 'pending'"
		" AND (c.object_key IS NULL) = $1",
		.nargs = 1,
		.argtypes = {BOOLOID}
	};
	Datum		value = BoolGetDatum(document_store == STORE_S3);
	PadlockUserContext saved;
	uint64		count;
	SPITupleTable *rows;

	/* as the owner: EXECUTE is the right to do it */
	padlock_become_owner(&saved);
	SPI_connect();
	count = padlock_spi_execute(&find, &value, NULL, true);
	rows = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
		enqueue_for(PADLOCK_STORE_JOB, SPI_getvalue(rows->vals[i], rows->tupdesc, 1),
					STORE_PRIORITY, STORE_ATTEMPTS);
	SPI_finish();
	padlock_restore_user(&saved);
	PG_RETURN_INT64((int64) count);
}
