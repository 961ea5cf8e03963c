/*-------------------------------------------------------------------------
 *
 * check_request.c
 *	  What a gateway calls before each request: refuse callers who are not who
 *	  they say.
 *
 * Row security must not raise errors, so to a policy a bad token means nobody
 * and a table looks empty.  A client has to tell that from an empty table: it
 * signs in again then.  Endpoints say it themselves; for reads and writes of
 * tables this function does, in the same transaction and before the statement.
 *
 * Nothing is counted here: there is nothing to guess in a session or a key of
 * 224 random bits, and a refusal costs less than what it keeps from running.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "core/errors.h"
#include "identity/caller.h"
#include "identity/require.h"

PG_FUNCTION_INFO_V1(padlock_check_request);

/* RFC 6750, 3: what tells a client that the token is to blame. */
#define INVALID_TOKEN "{\"WWW-Authenticate\": \"Bearer error=\\\"invalid_token\\\"\"}"

static void
refuse_token(const char *message)
{
	padlock_http_error_headers(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, message, NULL,
							   "Sign in again.", INVALID_TOKEN);
}

/*
 * padlock.check_request() returns void: 401 (SQL: 28000) for claims that are
 * malformed, have expired, name no user where the role needs one, or are of a
 * session that has ended, and for an API key that is not valid; 400 (22023)
 * for headers that are no JSON object or longer than 256 kB.
 */
Datum
padlock_check_request(PG_FUNCTION_ARGS)
{
	switch (padlock_caller()->problem)
	{
		case PADLOCK_NO_PROBLEM:
			break;
		case PADLOCK_BAD_HEADERS:
			padlock_http_error(400, ERRCODE_INVALID_PARAMETER_VALUE,
							   "request headers cannot be read", NULL,
							   "Send headers in UTF-8, shorter than 256 kB together.");
			break;
		case PADLOCK_BAD_CLAIMS:
			refuse_token("the token names no user");
			break;
		case PADLOCK_EXPIRED:
			refuse_token("the token has expired");
			break;
		case PADLOCK_SESSION_ENDED:
			refuse_token("the session has ended");
			break;
		case PADLOCK_BAD_KEY:
			padlock_refuse_key(padlock_caller()->key_state, padlock_caller()->key_expires_at);
			break;
	}
	PG_RETURN_VOID();
}
