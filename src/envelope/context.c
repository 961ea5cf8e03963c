/*-------------------------------------------------------------------------
 *
 * context.c
 *	  Encryption contexts: what a message is bound to, in the one form that
 *	  both writer and reader make of it.
 *
 * A count, then each key and value after its length, all numbers in two bytes,
 * big-endian; texts in UTF-8, keys ascending by their bytes.  An empty context
 * is no bytes at all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "envelope/keyring.h"
#include "envelope/message.h"

/* Keys that start so belong to the format, e.g. a signature's public key. */
#define RESERVED_PREFIX "aws-crypto-"

typedef struct ContextText
{
	const char *key;
	size_t		key_length;
	const char *value;
	size_t		value_length;
} ContextText;

static int
compare_keys(const void *a, const void *b)
{
	const ContextText *left = a;
	const ContextText *right = b;
	int			order = memcmp(left->key, right->key, Min(left->key_length, right->key_length));

	if (order != 0)
		return order;
	return (left->key_length > right->key_length) - (left->key_length < right->key_length);
}

/* A text of the database's encoding, of *length bytes, in UTF-8; the same when it is that. */
static const char *
to_utf8(const char *text, size_t *length)
{
	const char *converted = pg_server_to_any(text, (int) *length, PG_UTF8);

	if (converted != text)
		*length = strlen(converted);
	return converted;
}

static void
fill_text(ContextText *text, const char *key, size_t key_length, const char *value,
		  size_t value_length)
{
	text->key_length = key_length;
	text->key = to_utf8(key, &text->key_length);
	text->value_length = value_length;
	text->value = to_utf8(value, &text->value_length);
}

static char *
put_text(char *at, const char *text, size_t length)
{
	*at++ = (char) (length >> 8);
	*at++ = (char) length;
	memcpy(at, text, length);
	return at + length;
}

/* The size of the serialised form; stops at what the format cannot hold. */
static size_t
serialized_size(const ContextText *texts, int count)
{
	size_t		size = 2;

	for (int i = 0; i < count; i++)
	{
		if (texts[i].key_length >= strlen(RESERVED_PREFIX) &&
			memcmp(texts[i].key, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("encryption context must not have keys that start with \"%s\"",
							RESERVED_PREFIX)));
		if (i > 0 && compare_keys(&texts[i - 1], &texts[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("encryption context has a key twice")));
		size += 4 + texts[i].key_length + texts[i].value_length;
	}
	if (size > ENVELOPE_MAX_CONTEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("encryption context is too long"),
				 errdetail("It takes %zu bytes, of %d at most.", size, ENVELOPE_MAX_CONTEXT)));
	return size;
}

/* Order the texts, which are freed, and write them one after the other. */
static bytea *
serialize(ContextText *texts, int count)
{
	size_t		size = 0;
	bytea	   *context;
	char	   *at;

	if (count > 0)
	{
		qsort(texts, count, sizeof(ContextText), compare_keys);
		size = serialized_size(texts, count);
	}
	context = palloc(VARHDRSZ + size);
	SET_VARSIZE(context, VARHDRSZ + size);
	if (count > 0)
	{
		at = VARDATA(context);
		*at++ = (char) (count >> 8);
		*at++ = (char) count;
		for (int i = 0; i < count; i++)
		{
			at = put_text(at, texts[i].key, texts[i].key_length);
			at = put_text(at, texts[i].value, texts[i].value_length);
		}
	}
	pfree(texts);
	return context;
}

bytea *
envelope_serialize_context(const PadlockContextEntry *entries, int count)
{
	ContextText *texts = palloc(sizeof(ContextText) * count);

	for (int i = 0; i < count; i++)
		fill_text(&texts[i], entries[i].key, strlen(entries[i].key), entries[i].value,
				  strlen(entries[i].value));
	return serialize(texts, count);
}

bytea *
envelope_serialize_jsonb(Jsonb *json)
{
	ContextText *texts = palloc(sizeof(ContextText) * JB_ROOT_COUNT(json));
	int			count = 0;
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbValue	key;
	JsonbValue	value;
	JsonbIteratorToken token = JsonbIteratorNext(&iterator, &key, false);

	/* the texts stay where they are, in json */
	while (token == WJB_BEGIN_OBJECT || token == WJB_VALUE)
	{
		token = JsonbIteratorNext(&iterator, &key, true);
		if (token != WJB_KEY)
			break;
		token = JsonbIteratorNext(&iterator, &value, true);
		if (value.type != jbvString)
			break;
		fill_text(&texts[count++], key.val.string.val, key.val.string.len,
				  value.val.string.val, value.val.string.len);
	}
	if (token != WJB_END_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("encryption context must be a JSON object of strings")));
	return serialize(texts, count);
}
