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

static const char *
to_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

/* The entries in UTF-8 and in order. */
static ContextText *
sorted_texts(const PadlockContextEntry *entries, int count)
{
	ContextText *texts = palloc(sizeof(ContextText) * count);

	for (int i = 0; i < count; i++)
	{
		texts[i].key = to_utf8(entries[i].key);
		texts[i].key_length = strlen(texts[i].key);
		texts[i].value = to_utf8(entries[i].value);
		texts[i].value_length = strlen(texts[i].value);
	}
	qsort(texts, count, sizeof(ContextText), compare_keys);
	return texts;
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
		if (strncmp(texts[i].key, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0)
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

bytea *
envelope_serialize_context(const PadlockContextEntry *entries, int count)
{
	ContextText *texts;
	size_t		size = 0;
	bytea	   *context;
	char	   *at;

	if (count > 0)
	{
		texts = sorted_texts(entries, count);
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
		pfree(texts);
	}
	return context;
}
