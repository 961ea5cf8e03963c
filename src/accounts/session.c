/*-------------------------------------------------------------------------
 *
 * session.c
 *	  Sessions of users: rows of padlock.sessions, and the tokens made of them.
 *
 * A session ends when it is revoked, at expires_at, or when it was not
 * refreshed for padlock.session_idle_limit.  Room identity refuses access
 * tokens whose session is revoked, expired or gone; the idle limit needs no
 * look there, since no access token outlives it.
 *
 * Locking contract: a refresh locks the session's row until commit, so two at
 * a time get the same successor; so do the functions that end sessions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "accounts/accounts.h"
#include "accounts/session.h"
#include "accounts/token.h"
#include "core/body.h"
#include "identity/caller.h"
#include "identity/jwt.h"

/* Sessions that have ended are of no use to anybody. */
#define HAS_ENDED \
	"(revoked_at IS NOT NULL OR expires_at <= pg_catalog.now()" \
	" OR last_used_at <= pg_catalog.now() - pg_catalog.make_interval(secs => $1))"

/*
 * At most as many as surely fit into the time of the daily maintenance.  Those
 * that were idle go when they expire: databases and roles may have idle limits
 * of their own, of which the maintenance knows nothing.
 */
static PadlockStatement clean_statement = {
	"DELETE FROM padlock.sessions WHERE id = ANY (ARRAY("
	"SELECT id FROM padlock.sessions"
	" WHERE revoked_at < pg_catalog.now() - interval '1 day'"
	" OR expires_at < pg_catalog.now() - interval '1 day'"
	" LIMIT 100000 FOR UPDATE SKIP LOCKED))",
	0
};

/* Of one user: those that have ended, and those beyond the newest $3. */
static PadlockStatement make_room_statement = {
	"DELETE FROM padlock.sessions WHERE user_id = $2 AND (" HAS_ENDED
	" OR id = ANY (ARRAY(SELECT id FROM padlock.sessions WHERE user_id = $2 AND NOT " HAS_ENDED
	" ORDER BY last_used_at DESC, created_at DESC OFFSET $3)))",
	3, {FLOAT8OID, UUIDOID, INT8OID}
};

static PadlockStatement open_statement = {
	"INSERT INTO padlock.sessions (user_id, expires_at, ip_address, user_agent)"
	" VALUES ($1, pg_catalog.now() + pg_catalog.make_interval(secs => $2), $3, $4)"
	" RETURNING id, expires_at",
	4, {UUIDOID, FLOAT8OID, TEXTOID, TEXTOID}
};

static PadlockStatement lock_statement = {
	"SELECT s.user_id, u.email, s.refresh_counter, s.expires_at"
	" FROM padlock.sessions s JOIN @app@.users u ON u.id = s.user_id"
	" WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > pg_catalog.now()"
	" AND s.last_used_at > pg_catalog.now() - pg_catalog.make_interval(secs => $2)"
	" FOR UPDATE OF s",
	2, {UUIDOID, FLOAT8OID}
};

static PadlockStatement advance_statement = {
	"UPDATE padlock.sessions SET refresh_counter = $2, last_used_at = pg_catalog.now(),"
	" ip_address = COALESCE($3, ip_address), user_agent = COALESCE($4, user_agent)"
	" WHERE id = $1",
	4, {UUIDOID, INT8OID, TEXTOID, TEXTOID}
};

static PadlockStatement end_statement = {
	"UPDATE padlock.sessions SET revoked_at = pg_catalog.now()"
	" WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > pg_catalog.now()"
	" AND ($2 IS NULL OR id <> $2) AND ($3 IS NULL OR id = $3)",
	3, {UUIDOID, UUIDOID, UUIDOID}
};

static PadlockStatement list_statement = {
	"SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object("
	"'id', id, 'ip_address', ip_address, 'user_agent', user_agent, 'created_at', created_at,"
	" 'last_used_at', last_used_at, 'expires_at', expires_at, 'current', id IS NOT DISTINCT FROM $2)"
	" ORDER BY last_used_at DESC, id), '[]')"
	" FROM padlock.sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > pg_catalog.now()"
	" AND last_used_at > pg_catalog.now() - pg_catalog.make_interval(secs => $3)",
	3, {UUIDOID, UUIDOID, FLOAT8OID}
};

/* Seconds as an SQL parameter. */
static Datum
seconds(int value)
{
	return Float8GetDatum((double) value);
}

/* When a session that is used now ends without being used again. */
static TimestampTz
end_of(TimestampTz expires_at)
{
	return Min(expires_at,
			   GetCurrentTimestamp() + accounts_session_idle_limit * USECS_PER_SEC);
}

/* The caller's address and user agent as parameters first and first + 1. */
static void
put_caller(Datum *values, char *nulls, int first)
{
	const PadlockCaller *caller = padlock_caller();

	nulls[first] = caller->ip_address == NULL ? 'n' : ' ';
	if (caller->ip_address != NULL)
		values[first] = CStringGetTextDatum(caller->ip_address);
	nulls[first + 1] = caller->user_agent == NULL ? 'n' : ' ';
	if (caller->user_agent != NULL)
		values[first + 1] = CStringGetTextDatum(caller->user_agent);
}

static TimestampTz
store_time(int row, int column)
{
	bool		isnull;

	return DatumGetTimestampTz(padlock_spi_datum(row, column, &isnull));
}

void
session_open(const Account *account, Session *session)
{
	Datum		room[3] = {
		seconds(accounts_session_idle_limit), UUIDPGetDatum(&account->id),
		Int64GetDatum(accounts_max_sessions - 1)
	};
	Datum		values[4] = {UUIDPGetDatum(&account->id), seconds(accounts_session_lifetime)};
	char		nulls[4] = {' ', ' '};
	PadlockUserContext saved;

	put_caller(values, nulls, 2);
	session->user_id = account->id;
	session->email = account->email;
	session->counter = 0;

	store_open(&saved);
	(void) store_run(&make_room_statement, room, NULL);
	(void) store_run(&open_statement, values, nulls);
	session->id = store_uuid(0, 1);
	session->ends_at = end_of(store_time(0, 2));
	store_close(&saved);
}

void
session_clean(void)
{
	PadlockUserContext saved;

	store_open(&saved);
	(void) store_run(&clean_statement, NULL, NULL);
	store_close(&saved);
}

/* Lock a session that has not ended, and read it. */
static bool
lock_session(Session *session)
{
	Datum		values[2] = {UUIDPGetDatum(&session->id), seconds(accounts_session_idle_limit)};
	bool		isnull;

	if (store_run(&lock_statement, values, NULL) == 0)
		return false;
	session->user_id = store_uuid(0, 1);
	session->email = store_text(0, 2);
	session->counter = DatumGetInt64(padlock_spi_datum(0, 3, &isnull));
	session->ends_at = end_of(store_time(0, 4));
	return true;
}

/* Write that a session was used, and its counter. */
static void
advance(const Session *session)
{
	Datum		values[4] = {UUIDPGetDatum(&session->id), Int64GetDatum(session->counter)};
	char		nulls[4] = {' ', ' '};

	put_caller(values, nulls, 2);
	(void) store_run(&advance_statement, values, nulls);
}

/* End sessions; except and only may be NULL. */
static int64
end_sessions(const pg_uuid_t *user_id, const pg_uuid_t *except, const pg_uuid_t *only)
{
	Datum		values[3] = {UUIDPGetDatum(user_id), UUIDPGetDatum(except), UUIDPGetDatum(only)};
	char		nulls[3] = {' ', except == NULL ? 'n' : ' ', only == NULL ? 'n' : ' '};
	PadlockUserContext saved;
	int64		count;

	store_open(&saved);
	count = (int64) store_run(&end_statement, values, nulls);
	store_close(&saved);
	return count;
}

/* What a token with this counter means to the locked session. */
static RefreshVerdict
take_counter(Session *session, int64 counter)
{
	if (counter == session->counter)
	{
		session->counter++;
		advance(session);
		return REFRESHED;
	}
	if (counter == session->counter - 1)
	{
		advance(session);
		return REFRESHED;
	}

	/*
	 * A counter ahead of the row is a token whose transaction was rolled back
	 * or lost with a failed primary; its session goes on with the older one.
	 */
	return counter > session->counter ? REFRESH_REFUSED : REFRESH_REUSED;
}

RefreshVerdict
session_refresh(const char *refresh_token, Session *session)
{
	PadlockUserContext saved;
	RefreshVerdict verdict = REFRESH_REFUSED;
	int64		counter;

	if (!refresh_token_read(refresh_token, &session->id, &counter))
		return REFRESH_REFUSED;
	store_open(&saved);
	if (lock_session(session))
		verdict = take_counter(session, counter);
	store_close(&saved);
	if (verdict == REFRESH_REUSED)
		(void) session_end_one(&session->user_id, &session->id);
	return verdict;
}

int64
session_end_all(const pg_uuid_t *user_id)
{
	return end_sessions(user_id, NULL, NULL);
}

int64
session_end_others(const pg_uuid_t *user_id, const pg_uuid_t *except)
{
	return end_sessions(user_id, except, NULL);
}

int64
session_end_one(const pg_uuid_t *user_id, const pg_uuid_t *only)
{
	return end_sessions(user_id, NULL, only);
}

Jsonb *
session_list(const pg_uuid_t *user_id, const pg_uuid_t *current)
{
	Datum		values[3] = {
		UUIDPGetDatum(user_id), UUIDPGetDatum(current), seconds(accounts_session_idle_limit)
	};
	char		nulls[3] = {' ', current == NULL ? 'n' : ' ', ' '};
	PadlockUserContext saved;
	bool		isnull;
	Datum		list;

	store_open(&saved);
	(void) store_run(&list_statement, values, nulls);
	list = padlock_spi_datum(0, 1, &isnull);
	store_close(&saved);
	return DatumGetJsonbP(list);
}

static char *
uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

/* Seconds since 1970. */
static int64
unix_time(TimestampTz time)
{
	return time / USECS_PER_SEC +
		((int64) POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

/*
 * Sign the claims of a session's user, valid for `lifetime` seconds.  They
 * stand in the order of jsonb, which so has nothing to sort at each check.
 */
static char *
access_token(const Session *session, int64 lifetime)
{
	int64		now = unix_time(GetCurrentTimestamp());

	return jwt_sign(psprintf("{\"aud\":\"authenticated\",\"exp\":" INT64_FORMAT ",\"iat\":" INT64_FORMAT ","
							 "\"iss\":\"" PADLOCK_TOKEN_ISSUER "\",\"sub\":\"%s\",\"role\":\"authenticated\","
							 "\"email\":%s,\"session_id\":\"%s\"}",
							 now + lifetime, now, uuid_text(&session->user_id),
							 padlock_json_string(session->email), uuid_text(&session->id)));
}

Jsonb *
session_answer(const Session *session)
{
	int64		left = (session->ends_at - GetCurrentTimestamp()) / USECS_PER_SEC;
	int64		lifetime = Max(Min(left, accounts_access_token_lifetime), 1);

	return padlock_answer("{\"success\": true, \"access_token\": %s, \"refresh_token\": %s,"
						  " \"token_type\": \"bearer\", \"expires_in\": " INT64_FORMAT ","
						  " \"user\": {\"id\": \"%s\", \"email\": %s}}",
						  padlock_json_string(access_token(session, lifetime)),
						  padlock_json_string(refresh_token_make(&session->id, session->counter)),
						  lifetime, uuid_text(&session->user_id),
						  padlock_json_string(session->email));
}
