/*-------------------------------------------------------------------------
 *
 * seal_digest.c
 *	  What is hashed for the audit trail's seals, byte by byte.
 *
 * A digest must come out the same on every server that the rows are restored
 * on, whatever its settings, version and encoding: numbers and times are
 * hashed as big-endian integers (times in microseconds since 2000-01-01 UTC),
 * ids as their 16 bytes, texts and the text form of jsonb as UTF-8.  A value
 * that may be absent is a byte 0, or a byte 1 and what stands for it; texts
 * are stood for by their own SHA-256, so that everything has a fixed length
 * and no two sequences of values give the same bytes.
 *
 * A row's digest is SHA-256 over its other columns and its personal digest,
 * which is SHA-256 over the salt and the personal values.  The salt is 122
 * random bits of the row's own and goes with the values, so that what stays
 * tells nothing to whoever guesses values.
 *
 * Nothing here reads a table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "audit/seal.h"
#include "identity/digest.h"

PG_FUNCTION_INFO_V1(padlock_audit_personal_digest);
PG_FUNCTION_INFO_V1(padlock_audit_row_digest);
PG_FUNCTION_INFO_V1(padlock_audit_seal_digest);
PG_FUNCTION_INFO_V1(padlock_audit_entries);

#define PERSONAL_LABEL	"padlock audit values 1"
#define ROW_LABEL		"padlock audit row 1"
#define SEAL_LABEL		"padlock audit seal 1"

static void
hash(const void *data, size_t length, unsigned char *digest)
{
	if (!digest_sha256(data, length, digest))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute SHA-256")));
}

static Datum
hash_to_bytea(StringInfo input)
{
	bytea	   *digest = palloc(VARHDRSZ + SHA256_LENGTH);

	SET_VARSIZE(digest, VARHDRSZ + SHA256_LENGTH);
	hash(input->data, input->len, (unsigned char *) VARDATA(digest));
	return PointerGetDatum(digest);
}

/* Append the byte that says whether a value is there. */
static bool
put_presence(StringInfo input, NullableDatum value)
{
	pq_sendbyte(input, value.isnull ? 0 : 1);
	return !value.isnull;
}

/* Append what stands for text in the server's encoding. */
static void
put_characters(StringInfo input, const char *text, int length)
{
	unsigned char digest[SHA256_LENGTH];
	const char *utf8 = text;

	/* bytes of an unknown encoding are hashed as they are */
	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		utf8 = pg_server_to_any(text, length, PG_UTF8);
	hash(utf8, utf8 == text ? length : strlen(utf8), digest);
	appendBinaryStringInfo(input, (char *) digest, sizeof(digest));
}

static void
put_text(StringInfo input, NullableDatum value)
{
	text	   *packed;

	if (!put_presence(input, value))
		return;
	packed = DatumGetTextPP(value.value);
	put_characters(input, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
}

static void
put_jsonb(StringInfo input, NullableDatum value)
{
	StringInfoData text;
	Jsonb	   *jsonb;

	if (!put_presence(input, value))
		return;
	jsonb = DatumGetJsonbP(value.value);
	initStringInfo(&text);
	(void) JsonbToCString(&text, &jsonb->root, VARSIZE(jsonb));
	put_characters(input, text.data, text.len);
	pfree(text.data);
}

static void
put_uuid(StringInfo input, NullableDatum value)
{
	if (put_presence(input, value))
		appendBinaryStringInfo(input, (char *) DatumGetUUIDP(value.value)->data, UUID_LEN);
}

static void
put_time(StringInfo input, NullableDatum value)
{
	if (put_presence(input, value))
		pq_sendint64(input, DatumGetTimestampTz(value.value));
}

/* Append the hash of a bytea. */
static void
put_bytes(StringInfo input, NullableDatum value)
{
	unsigned char digest[SHA256_LENGTH];
	bytea	   *packed;

	if (!put_presence(input, value))
		return;
	packed = DatumGetByteaPP(value.value);
	hash(VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed), digest);
	appendBinaryStringInfo(input, (char *) digest, sizeof(digest));
}

/* The personal digest; values are salt, old_values, new_values and three texts. */
static Datum
personal_digest(const NullableDatum *values)
{
	StringInfoData input;
	Datum		digest;

	initStringInfo(&input);
	appendStringInfoString(&input, PERSONAL_LABEL);
	put_uuid(&input, values[0]);
	put_jsonb(&input, values[1]);
	put_jsonb(&input, values[2]);
	for (int i = 3; i < 6; i++)
		put_text(&input, values[i]);
	digest = hash_to_bytea(&input);
	pfree(input.data);
	return digest;
}

/*
 * padlock.audit_personal_digest(salt uuid, old_values jsonb, new_values jsonb,
 * ip_address text, user_agent text, request_path text) returns bytea: what
 * stands for a row's personal values after their erasure.
 */
Datum
padlock_audit_personal_digest(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(personal_digest(fcinfo->args));
}

/*
 * padlock.audit_row_digest(created_at timestamptz, id uuid, user_id uuid,
 * company_id uuid, action text, table_name text, record_id uuid,
 * personal_digest bytea, salt uuid, old_values jsonb, new_values jsonb,
 * ip_address text, user_agent text, request_path text) returns bytea: the
 * digest of a row; personal_digest is NULL unless the values were erased.
 */
Datum
padlock_audit_row_digest(PG_FUNCTION_ARGS)
{
	const NullableDatum *args = fcinfo->args;
	NullableDatum personal = args[7];
	StringInfoData input;

	if (personal.isnull)
	{
		personal.value = personal_digest(args + 8);
		personal.isnull = false;
	}
	initStringInfo(&input);
	appendStringInfoString(&input, ROW_LABEL);
	put_time(&input, args[0]);
	for (int i = 1; i <= 3; i++)
		put_uuid(&input, args[i]);
	put_text(&input, args[4]);
	put_text(&input, args[5]);
	put_uuid(&input, args[6]);
	put_bytes(&input, personal);
	PG_RETURN_DATUM(hash_to_bytea(&input));
}

/*
 * padlock.audit_seal_digest(previous bytea, number bigint, sealed_at
 * timestamptz, closed_until timestamptz, row_count integer, first_created_at
 * timestamptz, last_created_at timestamptz, entries bytea) returns bytea: the
 * digest of a seal, with that of the seal before it in it.
 */
Datum
padlock_audit_seal_digest(PG_FUNCTION_ARGS)
{
	const NullableDatum *args = fcinfo->args;
	StringInfoData input;

	initStringInfo(&input);
	appendStringInfoString(&input, SEAL_LABEL);
	put_bytes(&input, args[0]);
	pq_sendint64(&input, PG_GETARG_INT64(1));
	put_time(&input, args[2]);
	put_time(&input, args[3]);
	pq_sendint32(&input, PG_GETARG_INT32(4));
	put_time(&input, args[5]);
	put_time(&input, args[6]);
	put_bytes(&input, args[7]);
	PG_RETURN_DATUM(hash_to_bytea(&input));
}

/* One entry as a row (created_at, id, digest). */
static void
put_entry(ReturnSetInfo *result, const char *entry)
{
	Datum		values[3];
	bool		nulls[3] = {false};
	pg_uuid_t	id;
	union
	{
		bytea		value;		/* for its alignment */
		char		bytes[VARHDRSZ + SHA256_LENGTH];
	}			digest;
	uint64		time;

	memcpy(&time, entry, sizeof(time));
	memcpy(id.data, entry + sizeof(time), UUID_LEN);
	SET_VARSIZE(&digest, sizeof(digest.bytes));
	memcpy(digest.bytes + VARHDRSZ, entry + sizeof(time) + UUID_LEN, SHA256_LENGTH);
	values[0] = TimestampTzGetDatum((TimestampTz) pg_ntoh64(time));
	values[1] = UUIDPGetDatum(&id);
	values[2] = PointerGetDatum(&digest);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * padlock.audit_entries(entries bytea) returns setof (created_at timestamptz,
 * id uuid, digest bytea): the rows that a seal covers.  Bytes after the last
 * whole entry, which only tampering leaves, are passed over; the seal's own
 * digest tells of them.
 */
Datum
padlock_audit_entries(PG_FUNCTION_ARGS)
{
	bytea	   *entries;
	const char *entry;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	entries = PG_GETARG_BYTEA_PP(0);
	entry = VARDATA_ANY(entries);
	count = VARSIZE_ANY_EXHDR(entries) / AUDIT_ENTRY_BYTES;
	for (int i = 0; i < count; i++, entry += AUDIT_ENTRY_BYTES)
	{
		CHECK_FOR_INTERRUPTS();
		put_entry((ReturnSetInfo *) fcinfo->resultinfo, entry);
	}
	return (Datum) 0;
}
