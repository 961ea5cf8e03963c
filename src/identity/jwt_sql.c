/*-------------------------------------------------------------------------
 *
 * jwt_sql.c
 *	  SQL functions of JSON Web Tokens: keys made, published, and used.
 *
 * padlock.authenticate() is the door for those whose gateway does not check
 * tokens, and the only one with padlock.identity = 'token'.  What it verified
 * is kept in settings that only superusers can set, locally to the
 * transaction: parallel workers get them from the server, a rollback to a
 * savepoint takes them back, and the next transaction has none.  caller.c
 * reads them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "core/errors.h"
#include "core/spi.h"
#include "identity/api_key.h"
#include "identity/caller.h"
#include "identity/jwt_internal.h"
#include "identity/require.h"

PG_FUNCTION_INFO_V1(padlock_create_jwt_keys);
PG_FUNCTION_INFO_V1(padlock_rotate_jwt_key);
PG_FUNCTION_INFO_V1(padlock_prepare_jwt_key);
PG_FUNCTION_INFO_V1(padlock_jwks);
PG_FUNCTION_INFO_V1(padlock_authenticate);

static void
require_owner(void)
{
	if (!superuser() && GetUserId() != padlock_owner())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to change the key file"),
				 errhint("Only the owner of the extension or a superuser may do this.")));
}

static JwtAlgorithm
algorithm_argument(const char *name)
{
	JwtAlgorithm algorithm;

	if (!jwt_algorithm_by_name(name, &algorithm))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown algorithm \"%s\"", name),
				 errhint("Use ES256, EdDSA, RS256 or HS256.")));
	return algorithm;
}

/*
 * padlock.create_jwt_keys(alg text) returns text: make the file named by
 * padlock.jwt_keys_file with a fresh signing key and a fresh refresh key, and
 * return the signing key's kid.  Never overwrites a file.
 */
Datum
padlock_create_jwt_keys(PG_FUNCTION_ARGS)
{
	JwtAlgorithm algorithm;
	JwtKeySet	set;
	text	   *volatile kid = NULL;

	require_owner();
	algorithm = algorithm_argument(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	memset(&set, 0, sizeof(set));
	PG_TRY();
	{
		jwt_make_key(algorithm, false, &set.keys[set.count++]);
		jwt_make_key(JWT_HS256, true, &set.keys[set.count++]);
		jwt_create_file(&set);
		kid = cstring_to_text(set.keys[0].kid);
	}
	PG_FINALLY();
	{
		jwt_clear_set(&set);
	}
	PG_END_TRY();
	PG_RETURN_TEXT_P(kid);
}

/* Make a fresh key and let the file take it; the kid that change answers with. */
static Datum
change_file(FunctionCallInfo fcinfo, char *(*change) (const JwtKey *))
{
	JwtAlgorithm algorithm;
	JwtKeySet	set;
	text	   *volatile kid = NULL;

	require_owner();
	algorithm = algorithm_argument(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	memset(&set, 0, sizeof(set));
	PG_TRY();
	{
		jwt_make_key(algorithm, false, &set.keys[set.count++]);
		kid = cstring_to_text(change(&set.keys[0]));
	}
	PG_FINALLY();
	{
		jwt_clear_set(&set);
	}
	PG_END_TRY();
	PG_RETURN_TEXT_P(kid);
}

/*
 * padlock.rotate_jwt_key(alg text) returns text: sign with the next key from
 * now on, or without one with a fresh key, keep the others for verification
 * only, and return the kid that signs.
 */
Datum
padlock_rotate_jwt_key(PG_FUNCTION_ARGS)
{
	return change_file(fcinfo, jwt_rotate_file);
}

/*
 * padlock.prepare_jwt_key(alg text) returns text: make the next key, which
 * jwks() shows at once and the next rotation signs with, and return its kid.
 */
Datum
padlock_prepare_jwt_key(PG_FUNCTION_ARGS)
{
	return change_file(fcinfo, jwt_prepare_file);
}

/*
 * padlock.jwks() returns jsonb: the public keys that verify tokens, as a JWK
 * Set for gateways.  Shared secrets are not in it.
 */
Datum
padlock_jwks(PG_FUNCTION_ARGS)
{
	const JwtKeySet *set = jwt_keys();
	StringInfoData json;
	bool		first = true;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"keys\":[");
	for (int i = 0; i < set->count; i++)
	{
		if (set->keys[i].algorithm == JWT_HS256)
			continue;
		if (!first)
			appendStringInfoChar(&json, ',');
		first = false;
		jwt_append_jwk(&json, &set->keys[i], false);
	}
	appendStringInfoString(&json, "]}");
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

/*
 * Refuse a credential.  The message is the same whatever was wrong; the log
 * can be made to tell more, for the operator who looks for the reason.
 */
static void pg_attribute_noreturn()
refuse(JwtVerdict verdict)
{
	static const char *const reasons[] = {
		[JWT_OK] = "it names nobody, or its session has ended",
		[JWT_MALFORMED] = "it is malformed",
		[JWT_BAD_SIGNATURE] = "no key verifies it",
		[JWT_EXPIRED] = "it has expired",
		[JWT_NOT_YET_VALID] = "it is not yet valid",
		[JWT_BAD_CLAIMS] = "its claims are no object, or lack exp"
	};
	const char *detail = "The token is not valid.";

	ereport(DEBUG1, (errmsg_internal("token refused: %s", reasons[verdict])));
	if (verdict == JWT_EXPIRED)
		detail = "The token has expired.";
	if (verdict == JWT_NOT_YET_VALID)
		detail = "The token is not valid yet.";
	padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
					   "authentication failed", detail, "Sign in again.");
}

static void
set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* Make an API key's company the caller of this transaction. */
static Datum
authenticate_company(const char *key)
{
	PadlockKeyHolder holder = {{{0}}};
	PadlockKeyState state = padlock_api_key_verify(key, &holder);

	if (state != PADLOCK_KEY_LIVE)
		padlock_refuse_key(state, holder.expires_at);
	set_locally(PADLOCK_VERIFIED_KEY, key);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(
		psprintf("{\"company_id\": \"%s\"}",
				 DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&holder.company_id))))));
}

/* Make a token's user the caller of this transaction. */
static Datum
authenticate_user(const char *token)
{
	char	   *text;
	Jsonb	   *claims;
	const PadlockCaller *caller;
	JwtVerdict	verdict = jwt_verify(token, &text, &claims);

	if (verdict != JWT_OK)
		refuse(verdict);
	set_locally(PADLOCK_VERIFIED_CLAIMS, text);
	caller = padlock_caller();
	if (caller->role == PADLOCK_ROLE_ANON)
		padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
						   "authentication failed",
						   "The token is valid, but role anon is nobody: users call as role authenticated.",
						   "SET LOCAL ROLE authenticated before.");
	/* no user's id in it, or a session that is over */
	if (!caller->has_user)
		refuse(JWT_OK);
	PG_RETURN_JSONB_P(claims);
}

/*
 * padlock.authenticate(token text) returns jsonb: verify a token, or an API
 * key, and make its user, or its company, the caller for the rest of this
 * transaction.  Returns the token's claims, or {"company_id"}.  Anything not
 * valid is 401 (SQL: 28000).
 */
Datum
padlock_authenticate(PG_FUNCTION_ARGS)
{
	char	   *credential;

	if (PG_ARGISNULL(0))
		refuse(JWT_MALFORMED);
	credential = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (strncmp(credential, "pk_", 3) == 0)
		PG_RETURN_DATUM(authenticate_company(credential));
	PG_RETURN_DATUM(authenticate_user(credential));
}
