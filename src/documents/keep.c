/*-------------------------------------------------------------------------
 *
 * keep.c
 *	  What must not change under documents: how they say they are stored, the
 *	  owner of encrypted ones, and the keys that open them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "core/body.h"
#include "core/spi.h"
#include "documents/content.h"
#include "documents/upload.h"
#include "envelope/envelope.h"
#include "queue/queue.h"

#define RESEAL_JOB		"document_reseal"
#define RESEAL_PRIORITY	(-10)	/* what users wait for goes first */
#define RESEAL_ATTEMPTS	20

PG_FUNCTION_INFO_V1(padlock_keep_document);
PG_FUNCTION_INFO_V1(padlock_keep_document_key);
PG_FUNCTION_INFO_V1(padlock_reseal_documents);

static void
check_trigger(FunctionCallInfo fcinfo, bool before, const char *name)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		before != (TRIGGER_FIRED_BEFORE(trigger->tg_event) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s must be fired %s UPDATE FOR EACH ROW", name,
						before ? "BEFORE" : "AFTER")));
}

/* Does the update change the column? */
static bool
is_changed(TriggerData *trigger, const char *name)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			column = SPI_fnumber(desc, name);
	bool		was_null;
	bool		is_null;
	Datum		was;
	Datum		is;

	if (column <= 0)
		return false;
	was = heap_getattr(trigger->tg_trigtuple, column, desc, &was_null);
	is = heap_getattr(trigger->tg_newtuple, column, desc, &is_null);
	if (was_null || is_null)
		return was_null != is_null;
	return !datum_image_eq(was, is, TupleDescAttr(desc, column - 1)->attbyval,
						   TupleDescAttr(desc, column - 1)->attlen);
}

/* Stop a change of what a document says of its encryption, but for a wish that it be encrypted. */
static void
check_truth(TriggerData *trigger, bool sealed)
{
	static const char *const columns[] = {
		"encryption_key_id", "encryption_algorithm", "encryption_status", "is_encrypted",
		"file_size"
	};

	for (int i = 0; i < lengthof(columns) - (sealed ? 0 : 2); i++)
		if (is_changed(trigger, columns[i]))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of %s document cannot be changed", columns[i],
							sealed ? "an encrypted" : "a"),
					 errdetail("It says how the content is stored."),
					 sealed ? 0 : errhint("Set is_encrypted to have the content encrypted.")));
}

/*
 * padlock.keep_document() trigger: BEFORE UPDATE FOR EACH ROW on documents.
 * The content of an encrypted document is bound to its id and owner, encrypt
 * says how the content was asked to be stored, and the other columns how it is:
 * 0A000 for everybody, admins too, since the content would not open any more or
 * lie in clear, and a key that it needs would not be kept.  What seals, in this
 * room, changes the latter as the extension's owner.
 *
 * Who may write is_encrypted (guard_columns() sees to that) has a document
 * encrypted by setting it: the row says pending until the content is sealed,
 * and is_encrypted is true from then on.
 */
Datum
padlock_keep_document(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	bool		isnull;
	Datum		encrypted;

	check_trigger(fcinfo, true, "keep_document");
	desc = RelationGetDescr(trigger->tg_relation);
	encrypted = SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "is_encrypted"),
							  &isnull);
	if (is_changed(trigger, "encrypt"))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"encrypt\" of a document cannot be changed"),
				 errhint("Upload the document again.")));
	if (isnull || !DatumGetBool(encrypted))
	{
		if (GetUserId() == padlock_owner())
			return PointerGetDatum(trigger->tg_newtuple);
		check_truth(trigger, false);
		return PointerGetDatum(is_changed(trigger, "is_encrypted") ?
							   padlock_document_unsealed(trigger->tg_newtuple, desc, true) :
							   trigger->tg_newtuple);
	}
	if (is_changed(trigger, "id") || is_changed(trigger, "user_id"))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an encrypted document cannot change its id or owner"),
				 errdetail("Its content is bound to both."),
				 errhint("Upload the document again.")));
	if (GetUserId() != padlock_owner())
		check_truth(trigger, true);
	return PointerGetDatum(trigger->tg_newtuple);
}

/* Is a document's content or text sealed under the key? */
static bool
is_key_used(const char *key_name)
{
	static PadlockStatement find = {
		.sql = "(SELECT FROM @app@.documents WHERE encryption_key_id = $1 LIMIT 1)"
		" UNION ALL (SELECT FROM padlock.document_contents WHERE text_key_id = $1 LIMIT 1)",
		.nargs = 1,
		.argtypes = {TEXTOID}
	};
	Datum		value = CStringGetTextDatum(key_name);
	PadlockUserContext saved;
	bool		used;

	/* as the owner: it is about everybody's documents */
	padlock_become_owner(&saved);
	SPI_connect();
	used = padlock_spi_execute(&find, &value, NULL, false) > 0;
	SPI_finish();
	padlock_restore_user(&saved);
	return used;
}

/*
 * Have the documents sealed anew that are under another key than this one.  The
 * payload says how many, so that each attempt knows how many are done already.
 */
static pg_uuid_t
enqueue_reseal(const char *active)
{
	return padlock_queue_enqueue(RESEAL_JOB,
								 padlock_answer("{\"documents\": " INT64_FORMAT "}",
												padlock_content_count_stale(active)),
								 RESEAL_PRIORITY, RESEAL_ATTEMPTS);
}

/*
 * padlock.keep_document_key() trigger: AFTER UPDATE FOR EACH ROW on
 * padlock.keys, where state has changed.  55006 when documents need a key that
 * was destroyed.
 */
Datum
padlock_keep_document_key(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	char	   *key_id;
	char	   *state;
	char	   *name;

	check_trigger(fcinfo, false, "keep_document_key");
	desc = RelationGetDescr(trigger->tg_relation);
	key_id = SPI_getvalue(trigger->tg_newtuple, desc, SPI_fnumber(desc, "key_id"));
	state = SPI_getvalue(trigger->tg_newtuple, desc, SPI_fnumber(desc, "state"));
	if (key_id == NULL || strcmp(key_id, PADLOCK_DOCUMENT_KEY) != 0 || state == NULL)
		return PointerGetDatum(NULL);
	name = psprintf("%s/%s", key_id, SPI_getvalue(trigger->tg_newtuple, desc,
												  SPI_fnumber(desc, "version")));
	if (strcmp(state, "decrypt-only") == 0)
		(void) enqueue_reseal("");	/* none is under the key that follows yet */
	else if (strcmp(state, "destroyed") == 0 && is_key_used(name))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("key \"%s\" is still needed by documents", name),
				 errhint("Have them sealed under the active key with padlock.reseal_documents(), or delete them.")));
	return PointerGetDatum(NULL);
}

/*
 * padlock.reseal_documents() returns uuid: queue the job that seals all
 * documents under the active key, as a rotation of the key does.
 */
Datum
padlock_reseal_documents(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *job = palloc(sizeof(pg_uuid_t));
	char		active[PADLOCK_KEY_NAME_SIZE];

	if (!padlock_active_key(PADLOCK_DOCUMENT_KEY, active))
		active[0] = '\0';
	*job = enqueue_reseal(active);
	PG_RETURN_UUID_P(job);
}
