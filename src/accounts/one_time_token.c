/*-------------------------------------------------------------------------
 *
 * one_time_token.c
 *	  One-time tokens: what a mail proves.
 *
 * A token is 256 random bits; the table holds its SHA-256, so that a reader
 * of the table or of a dump can use none.  Using a token deletes its row, in
 * the transaction that does what it allows: a failure there leaves it usable.
 *
 * Tokens are also stored for requests that lead nowhere (an address without
 * an account): the text is then told to nobody, and the request costs what
 * every other does.
 *
 * Nothing else cleans the table: each new token deletes some expired ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/builtins.h"

#include "accounts/store.h"
#include "accounts/token.h"
#include "core/base64url.h"

#define TOKEN_BYTES		32
#define HOUR			60		/* minutes */

static const struct
{
	const char *name;			/* in the table, and of the mail's template */
	int			lifetime;		/* minutes */
}			purposes[] = {
	[CONFIRM_EMAIL] = {"confirm_email", 24 * HOUR},
	[CHANGE_EMAIL] = {"change_email", 24 * HOUR},
	[RESET_PASSWORD] = {"reset_password", HOUR},
};

/* Twice as many as one issue adds, so that the table shrinks when it can. */
static PadlockStatement clean_statement = {
	"DELETE FROM padlock.one_time_tokens WHERE token_hash = ANY (ARRAY("
	"SELECT token_hash FROM padlock.one_time_tokens WHERE expires_at <= pg_catalog.now()"
	" LIMIT 2 FOR UPDATE SKIP LOCKED))",
	0
};

static PadlockStatement replace_statement = {
	"DELETE FROM padlock.one_time_tokens WHERE user_id = $1 AND purpose = $2",
	2, {UUIDOID, TEXTOID}
};

static PadlockStatement issue_statement = {
	"INSERT INTO padlock.one_time_tokens"
	" (token_hash, purpose, user_id, email, password_hash, expires_at)"
	" VALUES ($1, $2, $3, $4, $5, pg_catalog.now() + pg_catalog.make_interval(mins => $6))",
	6, {BYTEAOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, INT4OID}
};

static PadlockStatement use_statement = {
	"DELETE FROM padlock.one_time_tokens"
	" WHERE token_hash = $1 AND purpose = $2 AND expires_at > pg_catalog.now()"
	" RETURNING user_id IS NOT NULL,"
	" COALESCE(user_id, '00000000-0000-0000-0000-000000000000'), email, password_hash",
	2, {BYTEAOID, TEXTOID}
};

static PadlockStatement void_statement = {
	"DELETE FROM padlock.one_time_tokens WHERE user_id = $1",
	1, {UUIDOID}
};

static PadlockStatement void_confirmations_statement = {
	"DELETE FROM padlock.one_time_tokens"
	" WHERE pg_catalog.lower(email) = pg_catalog.lower($1) AND purpose = 'confirm_email'",
	1, {TEXTOID}
};

const char *
one_time_token_purpose(OneTimePurpose purpose)
{
	return purposes[purpose].name;
}

int
one_time_token_lifetime(OneTimePurpose purpose)
{
	return purposes[purpose].lifetime;
}

/* SHA-256 of a token's text as a bytea. */
static Datum
token_hash(const char *text)
{
	bytea	   *hash = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);

	if (context == NULL || pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) text, strlen(text)) < 0 ||
		pg_cryptohash_final(context, (uint8 *) VARDATA(hash), PG_SHA256_DIGEST_LENGTH) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 hash")));
	pg_cryptohash_free(context);
	SET_VARSIZE(hash, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	return PointerGetDatum(hash);
}

/* A new token's text. */
static char *
random_token(void)
{
	uint8		bytes[TOKEN_BYTES];
	StringInfoData text;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random token")));
	initStringInfo(&text);
	padlock_base64url_append(&text, bytes, sizeof(bytes));
	return text.data;
}

/* Void the earlier tokens of the same user and purpose. */
static void
replace(const OneTimeToken *token)
{
	Datum		values[2] = {
		UUIDPGetDatum(&token->user_id), CStringGetTextDatum(purposes[token->purpose].name)
	};
	char		nulls[2] = {token->has_user ? ' ' : 'n', ' '};

	(void) store_run(&replace_statement, values, nulls);
}

static void
insert(const OneTimeToken *token, const char *text)
{
	bool		has_password = token->password_hash != NULL;
	Datum		values[6] = {
		token_hash(text),
		CStringGetTextDatum(purposes[token->purpose].name),
		UUIDPGetDatum(&token->user_id),
		CStringGetTextDatum(token->email),
		has_password ? CStringGetTextDatum(token->password_hash) : (Datum) 0,
		Int32GetDatum(purposes[token->purpose].lifetime)
	};
	char		nulls[6] = {
		' ', ' ', token->has_user ? ' ' : 'n', ' ', has_password ? ' ' : 'n', ' '
	};

	(void) store_run(&issue_statement, values, nulls);
}

char *
one_time_token_issue(const OneTimeToken *token)
{
	PadlockUserContext saved;
	char	   *text = random_token();

	store_open(&saved);
	(void) store_run(&clean_statement, NULL, NULL);
	replace(token);
	insert(token, text);
	store_close(&saved);
	return text;
}

bool
one_time_token_use(const char *text, OneTimePurpose purpose, OneTimeToken *token)
{
	Datum		values[2] = {token_hash(text), CStringGetTextDatum(purposes[purpose].name)};
	PadlockUserContext saved;
	bool		found;
	bool		isnull;

	store_open(&saved);
	found = store_run(&use_statement, values, NULL) > 0;
	if (found)
	{
		token->purpose = purpose;
		token->has_user = DatumGetBool(padlock_spi_datum(0, 1, &isnull));
		token->user_id = store_uuid(0, 2);
		token->email = store_text(0, 3);
		token->password_hash = store_text(0, 4);
	}
	store_close(&saved);
	return found;
}

void
one_time_token_void(const pg_uuid_t *user_id)
{
	Datum		value = UUIDPGetDatum(user_id);
	PadlockUserContext saved;

	store_open(&saved);
	(void) store_run(&void_statement, &value, NULL);
	store_close(&saved);
}

void
one_time_token_void_confirmations(const char *email)
{
	Datum		value = CStringGetTextDatum(email);
	PadlockUserContext saved;

	store_open(&saved);
	(void) store_run(&void_confirmations_statement, &value, NULL);
	store_close(&saved);
}
