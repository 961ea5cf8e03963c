/*-------------------------------------------------------------------------
 *
 * seal.c
 *	  Sealing and opening with keys of the keyring: padlock.encrypt() and
 *	  padlock.decrypt(), and the same for C.
 *
 * Memory: the argument as it was fetched, and one result of exactly its size.
 * Large results would be mapped from the system and given back each time, and
 * clearing their pages costs three times the cipher; so a session that handles
 * large ones has malloc keep up to KEEP_MEMORY.
 *
 * The SQL functions have no SET clause, which would cost as much as sealing
 * does: nothing here looks a name up in the search path.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <malloc.h>

#include "access/detoast.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/errors.h"
#include "envelope/keyring.h"
#include "envelope/message.h"

/* From here on malloc maps memory, unless it is told otherwise. */
#define LARGE_MESSAGE	(128 * 1024)
#define KEEP_MEMORY		(64 * 1024 * 1024)	/* bytes a session */
#define MAX_MAPPED		(32 * 1024 * 1024)	/* glibc takes no more */

/* Wrapped keys of one message that are tried: its writer chose their number. */
#define MAX_KEYS_TRIED	8

PG_FUNCTION_INFO_V1(padlock_encrypt);
PG_FUNCTION_INFO_V1(padlock_decrypt);

static void
keep_memory(size_t length)
{
	static bool kept = false;

	if (kept || length < LARGE_MESSAGE)
		return;
	(void) mallopt(M_MMAP_THRESHOLD, MAX_MAPPED);
	(void) mallopt(M_TRIM_THRESHOLD, KEEP_MEMORY);
	kept = true;
}

static EnvelopeBytes
bytes_of(const void *data, size_t length)
{
	EnvelopeBytes bytes = {data, length};

	return bytes;
}

static EnvelopeBytes
bytes_of_bytea(const bytea *value)
{
	return bytes_of(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

/* Seal a draft under a KEK of the keyring into a new bytea. */
static bytea *
seal_draft(EnvelopeDraft *draft, const KeyringRow *row)
{
	size_t		size = envelope_sealed_size(draft);
	uint8		kek[PADLOCK_KEK_SIZE];
	bytea	   *message;
	bool		done;

	if (size > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("message would be too long"),
				 errdetail("It would take %zu bytes, of %zu at most.", size,
						   (size_t) (MaxAllocSize - VARHDRSZ))));
	message = palloc(VARHDRSZ + size);
	SET_VARSIZE(message, VARHDRSZ + size);
	if (!keyring_kek(row, kek))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("key \"%s\" does not exist", row->name)));
	draft->kek = kek;
	done = envelope_seal(draft, (uint8 *) VARDATA(message));
	envelope_wipe(kek, sizeof(kek));
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not encrypt")));
	return message;
}

/* padlock_seal(), with a serialised context. */
static bytea *
seal(EnvelopeBytes plaintext, const char *key_id, const bytea *context, char *key_name)
{
	const KeyringRow *row;
	EnvelopeDraft draft = {
		.plaintext = plaintext,
		.context = bytes_of_bytea(context),
		.key_namespace = {(const uint8 *) KEYRING_NAMESPACE, strlen(KEYRING_NAMESPACE)},
		.frame_length = ENVELOPE_FRAME_LENGTH
	};

	padlock_require_preload("encryption");
	keep_memory(plaintext.length);
	row = keyring_active_row(key_id);
	keyring_count_wrap(row);
	draft.key_name = bytes_of(row->name, strlen(row->name));
	if (key_name != NULL)
		strlcpy(key_name, row->name, PADLOCK_KEY_NAME_SIZE);
	return seal_draft(&draft, row);
}

bytea *
padlock_seal(const void *plaintext, size_t length, const char *key_id,
			 const PadlockContextEntry *context, int entries, char *key_name)
{
	bytea	   *serialized = envelope_serialize_context(context, entries);
	bytea	   *message = seal(bytes_of(plaintext, length), key_id, serialized, key_name);

	pfree(serialized);
	return message;
}

/* The one answer to a message that cannot be opened, whatever is wrong. */
static void pg_attribute_noreturn()
refuse_message(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION), errmsg("message could not be decrypted")));
}

/* Open by a KEK of the keyring; false when the key is another's, unknown or wrong. */
static bool
open_by(const EnvelopeMessage *message, const EnvelopeWrappedKey *key, bytea *plaintext)
{
	char		name[PADLOCK_KEY_NAME_SIZE];
	const KeyringRow *row;
	uint8		kek[PADLOCK_KEK_SIZE];
	bool		done;

	if (key->key_namespace.length != strlen(KEYRING_NAMESPACE) ||
		memcmp(key->key_namespace.data, KEYRING_NAMESPACE, strlen(KEYRING_NAMESPACE)) != 0 ||
		key->key_name.length >= sizeof(name))
		return false;
	memcpy(name, key->key_name.data, key->key_name.length);
	name[key->key_name.length] = '\0';
	row = keyring_named_row(name);
	if (row == NULL || !keyring_kek(row, kek))
		return false;
	done = envelope_open(message, key, kek, (uint8 *) VARDATA(plaintext));
	envelope_wipe(kek, sizeof(kek));
	return done;
}

/* Decrypt a parsed message, or refuse it. */
static bytea *
open_message(EnvelopeMessage *message)
{
	/* shorter than the message, whatever that claims */
	Size		size = VARHDRSZ + message->plaintext_length;
	bytea	   *plaintext = palloc(size);
	EnvelopeWrappedKey key;

	SET_VARSIZE(plaintext, size);
	for (int i = 0; i < MAX_KEYS_TRIED && envelope_next_key(message, &key); i++)
		if (open_by(message, &key, plaintext))
			return plaintext;
	refuse_message();
}

/* padlock_open(), with a serialised context. */
static bytea *
open_bound(EnvelopeBytes bytes, const bytea *expected)
{
	EnvelopeMessage message;
	bytea	   *plaintext;

	padlock_require_preload("decryption");
	keep_memory(bytes.length);
	if (!envelope_parse(bytes.data, bytes.length, &message))
		refuse_message();
	plaintext = open_message(&message);
	/* the message's own context is authentic now, so this compares what its writer bound */
	if (!envelope_context_is(&message, bytes_of_bytea(expected)))
	{
		envelope_wipe(VARDATA(plaintext), message.plaintext_length);
		refuse_message();
	}
	return plaintext;
}

bytea *
padlock_open(const void *bytes, size_t length, const PadlockContextEntry *context, int entries)
{
	bytea	   *expected = envelope_serialize_context(context, entries);
	bytea	   *plaintext = open_bound(bytes_of(bytes, length), expected);

	pfree(expected);
	return plaintext;
}

/* The context argument, serialised; 22004 when it is NULL, since binding to nothing must be said. */
static bytea *
context_argument(FunctionCallInfo fcinfo, int number)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("encryption context must not be null"),
				 errhint("Pass '{}' for an empty one.")));
	return envelope_serialize_jsonb(PG_GETARG_JSONB_P(number));
}

/*
 * padlock.encrypt(plaintext bytea, key_id text, context jsonb) returns bytea:
 * seal under the active key of key_id; see padlock_seal().  NULL gives NULL.
 */
Datum
padlock_encrypt(PG_FUNCTION_ARGS)
{
	bytea	   *context;
	char		key_name[PADLOCK_KEY_NAME_SIZE];
	bytea	   *plaintext;
	bytea	   *message;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("key_id must not be null")));
	context = context_argument(fcinfo, 2);
	keep_memory(toast_raw_datum_size(PG_GETARG_DATUM(0)));
	plaintext = PG_GETARG_BYTEA_PP(0);
	message = seal(bytes_of_bytea(plaintext), text_to_cstring(PG_GETARG_TEXT_PP(1)), context,
				   key_name);
	keyring_count_message(key_name);
	PG_RETURN_BYTEA_P(message);
}

/*
 * padlock.decrypt(message bytea, expected_context jsonb) returns bytea: open
 * what was sealed with that context; see padlock_open().  NULL gives NULL.
 */
Datum
padlock_decrypt(PG_FUNCTION_ARGS)
{
	bytea	   *context;
	bytea	   *message;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	context = context_argument(fcinfo, 1);
	keep_memory(toast_raw_datum_size(PG_GETARG_DATUM(0)));
	message = PG_GETARG_BYTEA_PP(0);
	PG_RETURN_BYTEA_P(open_bound(bytes_of_bytea(message), context));
}
