/*-------------------------------------------------------------------------
 *
 * api_key.c
 *	  API keys of companies: made once, stored as a hash, found by one probe.
 *
 * A key is "pk_", 56 hexadecimal digits of 28 random bytes (224 bits) and 8
 * of the CRC-32C of those digits.  The checksum lets a mistyped or invented
 * string be refused without a look-up, and secret scanners confirm a find.
 * SHA-256 without salt or stretching is enough for a key of 224 random bits:
 * there is nothing to guess.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/spi.h"
#include "identity/api_key.h"
#include "identity/api_key_use.h"
#include "identity/digest.h"
#include "identity/lookup.h"

#define PREFIX			"pk_"
#define PREFIX_LENGTH	3
#define RANDOM_BYTES	28
#define RANDOM_DIGITS	(2 * RANDOM_BYTES)

/* SHA-256 of a key's text as a bytea, in the current context. */
static bytea *
key_hash(const char *key)
{
	bytea	   *hash = palloc(VARHDRSZ + SHA256_LENGTH);

	if (!digest_sha256(key, strlen(key), (unsigned char *) VARDATA(hash)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 hash")));
	SET_VARSIZE(hash, VARHDRSZ + SHA256_LENGTH);
	return hash;
}

/* The number that must follow the random digits, in 8 digits. */
static uint32
checksum(const char *digits)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, digits, RANDOM_DIGITS);
	FIN_CRC32C(crc);
	return crc;
}

/* Does the text have the form and the checksum of a key? */
static bool
is_well_formed(const char *key)
{
	if (strlen(key) != API_KEY_LENGTH || strncmp(key, PREFIX, PREFIX_LENGTH) != 0 ||
		strspn(key + PREFIX_LENGTH, "0123456789abcdef") != API_KEY_LENGTH - PREFIX_LENGTH)
		return false;
	return strtoul(key + PREFIX_LENGTH + RANDOM_DIGITS, NULL, 16) == checksum(key + PREFIX_LENGTH);
}

/* What a key's row says. */
typedef struct KeyRow
{
	pg_uuid_t	id;
	pg_uuid_t	company_id;
	TimestampTz ends_at;		/* the earlier of expiry and revocation; DT_NOEND: never */
	uint8		hash[SHA256_LENGTH];
	bool		is_whole;		/* the row has all of these */
} KeyRow;

/* A time column; DT_NOEND when it is NULL. */
static TimestampTz
time_of(HeapTuple row, TupleDesc desc, const char *column)
{
	bool		isnull;
	Datum		value = padlock_lookup_column(row, desc, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

static void
read_key_row(HeapTuple row, TupleDesc desc, void *result)
{
	KeyRow	   *key = result;
	bool		no_id;
	bool		no_company;
	bool		no_hash;
	Datum		id = padlock_lookup_column(row, desc, "id", &no_id);
	Datum		company = padlock_lookup_column(row, desc, "company_id", &no_company);
	Datum		hash = padlock_lookup_column(row, desc, "key_hash", &no_hash);

	if (no_id || no_company || no_hash ||
		VARSIZE_ANY_EXHDR(DatumGetPointer(hash)) != sizeof(key->hash))
		return;
	key->ends_at = Min(time_of(row, desc, "expires_at"), time_of(row, desc, "revoked_at"));
	key->id = *DatumGetUUIDP(id);
	key->company_id = *DatumGetUUIDP(company);
	memcpy(key->hash, VARDATA_ANY(DatumGetPointer(hash)), sizeof(key->hash));
	key->is_whole = true;
}

/* Find a key's row by the key's text. */
static bool
find_key_row(const char *key, KeyRow *row)
{
	bytea	   *hash = key_hash(key);

	memset(row, 0, sizeof(*row));
	return padlock_lookup_key(PointerGetDatum(hash), read_key_row, row) && row->is_whole &&
		CRYPTO_memcmp(row->hash, VARDATA(hash), sizeof(row->hash)) == 0;
}

PadlockKeyState
padlock_api_key_verify(const char *key, PadlockKeyHolder *holder)
{
	KeyRow		row;

	if (!is_well_formed(key))
		return PADLOCK_KEY_MALFORMED;
	if (!find_key_row(key, &row))
		return PADLOCK_KEY_UNKNOWN;
	holder->expires_at = row.ends_at;
	if (row.ends_at <= GetCurrentTimestamp())
		return PADLOCK_KEY_ENDED;
	holder->company_id = row.company_id;
	if (!padlock_lookup_company(&holder->company_id, &holder->company_active))
		return PADLOCK_KEY_UNKNOWN;
	padlock_api_key_note_use(&row.id);
	return PADLOCK_KEY_LIVE;
}

char *
padlock_api_key_generate(char **display)
{
	unsigned char random[RANDOM_BYTES];
	char	   *key = palloc(API_KEY_LENGTH + 1);

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random key")));
	memcpy(key, PREFIX, PREFIX_LENGTH);
	hex_encode((const char *) random, sizeof(random), key + PREFIX_LENGTH);
	snprintf(key + PREFIX_LENGTH + RANDOM_DIGITS, 9, "%08x", checksum(key + PREFIX_LENGTH));
	*display = psprintf("%s...%s", PREFIX, key + API_KEY_LENGTH - 4);
	return key;
}

Jsonb *
padlock_api_key_store(const pg_uuid_t *company_id, const char *key, const char *display,
					  const char *label, const TimestampTz *expires_at)
{
	static PadlockStatement insert = {
		.sql = "INSERT INTO padlock.api_keys (key_hash, company_id, display, label, expires_at)"
		" VALUES ($1, $2, $3, $4, $5) RETURNING " API_KEY_JSON,
		.nargs = 5,
		.argtypes = {BYTEAOID, UUIDOID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
	};
	Datum		values[5] = {
		PointerGetDatum(key_hash(key)), UUIDPGetDatum(company_id),
		CStringGetTextDatum(display), CStringGetTextDatum(label),
		expires_at ? TimestampTzGetDatum(*expires_at) : (Datum) 0
	};
	PadlockUserContext saved;
	Jsonb	   *row;
	bool		isnull;

	/* as the owner: no other role may write padlock.api_keys */
	padlock_become_owner(&saved);
	SPI_connect();
	padlock_spi_execute(&insert, values, expires_at ? NULL : "    n", false);
	row = DatumGetJsonbP(padlock_spi_datum(0, 1, &isnull));
	SPI_finish();
	padlock_restore_user(&saved);
	return row;
}
