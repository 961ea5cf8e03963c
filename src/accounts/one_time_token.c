/*-------------------------------------------------------------------------
 *
 * one_time_token.c
 *	  One-time tokens: what a mail proves.
 *
 * A token is base64url of the HMAC-SHA-256 of a prefix, a random id and the
 * address that it is mailed to, with the key of the refresh tokens.  The mail's
 * job holds the id, and who sends it makes the token again: the token itself is
 * in no table, no WAL and no dump, and an id is of no use without the key
 * file.  That the address is part of it keeps who can write jobs from having
 * another's token mailed to himself.
 *
 * The table holds the token's SHA-256.  Using a token deletes its row, in the
 * transaction that does what it allows: a failure there leaves it usable.
 *
 * Tokens are also stored for requests that lead nowhere (an address without
 * an account): the id is then told to nobody, and the request costs what every
 * other does.
 *
 * Each new token deletes some expired ones; the daily maintenance does the
 * rest.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/builtins.h"

#include "accounts/accounts.h"
#include "accounts/store.h"
#include "accounts/token.h"
#include "core/base64url.h"
#include "identity/jwt.h"

/* Keeps these MACs apart from any other use of the key. */
#define DOMAIN			"padlock one-time token 1"
#define MAC_BYTES		32
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

/*
 * Who uses a token voids others of its user and address after that.  So all of
 * them are locked first, in one order: else two who use two of them at a time
 * would wait for one another.
 */
static PadlockStatement use_statement = {
	"WITH held AS MATERIALIZED (SELECT o.token_hash"
	" FROM padlock.one_time_tokens t JOIN padlock.one_time_tokens o ON o.token_hash = t.token_hash"
	" OR o.user_id = t.user_id"
	" OR pg_catalog.lower(o.email) = pg_catalog.lower(t.email) AND o.purpose = 'confirm_email'"
	" WHERE t.token_hash = $1 AND t.purpose = $2 AND t.expires_at > pg_catalog.now()"
	" ORDER BY o.token_hash FOR UPDATE OF o)"
	" DELETE FROM padlock.one_time_tokens"
	" WHERE token_hash = $1 AND token_hash = ANY (ARRAY(SELECT token_hash FROM held))"
	" RETURNING user_id IS NOT NULL,"
	" COALESCE(user_id, '00000000-0000-0000-0000-000000000000'), email, password_hash",
	2, {BYTEAOID, TEXTOID}
};

static PadlockStatement find_statement = {
	"SELECT FROM padlock.one_time_tokens WHERE token_hash = $1 AND expires_at > pg_catalog.now()",
	1, {BYTEAOID}
};

/* Locked in the same order as by use_statement. */
static PadlockStatement void_statement = {
	"DELETE FROM padlock.one_time_tokens WHERE token_hash = ANY (ARRAY("
	"SELECT token_hash FROM padlock.one_time_tokens WHERE user_id = $1"
	" ORDER BY token_hash FOR UPDATE))",
	1, {UUIDOID}
};

static PadlockStatement void_confirmations_statement = {
	"DELETE FROM padlock.one_time_tokens"
	" WHERE pg_catalog.lower(email) = pg_catalog.lower($1) AND purpose = 'confirm_email'",
	1, {TEXTOID}
};

/* At most as many as surely fit into the time of the daily maintenance. */
static PadlockStatement clean_all_statement = {
	"DELETE FROM padlock.one_time_tokens WHERE token_hash = ANY (ARRAY("
	"SELECT token_hash FROM padlock.one_time_tokens"
	" WHERE expires_at < pg_catalog.now() - interval '1 day'"
	" LIMIT 100000 FOR UPDATE SKIP LOCKED))",
	0
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

static pg_uuid_t
random_id(void)
{
	pg_uuid_t	id;

	if (!pg_strong_random(id.data, UUID_LEN))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random token")));
	return id;
}

/* The token with an id, mailed to an address. */
static char *
token_text(const pg_uuid_t *id, const char *email)
{
	StringInfoData data;
	StringInfoData text;
	uint8		mac[MAC_BYTES];

	initStringInfo(&data);
	appendBinaryStringInfo(&data, DOMAIN, sizeof(DOMAIN));
	appendBinaryStringInfo(&data, (const char *) id->data, UUID_LEN);
	appendStringInfoString(&data, email);
	jwt_refresh_mac(data.data, data.len, mac);
	initStringInfo(&text);
	padlock_base64url_append(&text, mac, sizeof(mac));
	explicit_bzero(mac, sizeof(mac));
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

pg_uuid_t
one_time_token_issue(const OneTimeToken *token)
{
	PadlockUserContext saved;
	pg_uuid_t	id = random_id();
	char	   *text = token_text(&id, token->email);

	store_open(&saved);
	(void) store_run(&clean_statement, NULL, NULL);
	replace(token);
	insert(token, text);
	store_close(&saved);
	explicit_bzero(text, strlen(text));
	return id;
}

char *
padlock_one_time_token(const pg_uuid_t *id, const char *email)
{
	PadlockUserContext saved;
	char	   *text = token_text(id, email);
	Datum		hash = token_hash(text);
	bool		found;

	store_open(&saved);
	found = store_run(&find_statement, &hash, NULL) > 0;
	store_close(&saved);
	return found ? text : NULL;
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

void
one_time_token_clean(void)
{
	PadlockUserContext saved;

	store_open(&saved);
	(void) store_run(&clean_all_statement, NULL, NULL);
	store_close(&saved);
}
