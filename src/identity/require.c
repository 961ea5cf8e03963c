/*-------------------------------------------------------------------------
 *
 * require.c
 *	  What endpoints demand of their caller.
 *
 * Only who holds a whole key learns that it was revoked or has expired: there
 * is no guessing one of 224 random bits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/json.h"

#include "core/errors.h"
#include "identity/caller.h"
#include "identity/lookup.h"
#include "identity/require.h"

void
padlock_refuse_key(PadlockKeyState state, TimestampTz ended_at)
{
	const char *detail = NULL;
	const char *hint = "Check the key, or ask an admin for a new one.";

	if (state == PADLOCK_KEY_MALFORMED)
		detail = "The key is mistyped or cut.";
	if (state == PADLOCK_KEY_ENDED)
	{
		detail = psprintf("The key ended at %s.",
						  JsonEncodeDateTime(NULL, TimestampTzGetDatum(ended_at), TIMESTAMPTZOID, NULL));
		hint = "Use another key, or ask an admin for a new one.";
	}
	padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
					   "API key is not valid", detail, hint);
}

pg_uuid_t
padlock_require_company(void)
{
	const PadlockCaller *caller = padlock_caller();

	if (!caller->has_company)
	{
		if (padlock_request_header("x-api-key") == NULL)
			padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
							   "an API key is required", NULL,
							   "Send the company's key in the header x-api-key.");
		padlock_refuse_key(caller->key_state, caller->key_expires_at);
	}
	if (!caller->company_active)
		padlock_http_error(403, ERRCODE_INSUFFICIENT_PRIVILEGE, "company is not active", NULL,
						   "Ask an admin to activate the company.");
	return caller->company_id;
}

pg_uuid_t
padlock_require_user(void)
{
	const PadlockCaller *caller = padlock_caller();

	if (!caller->has_user)
		padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
						   "a signed-in user is required", NULL,
						   "Send a valid token in the header Authorization.");
	if (!padlock_lookup_user(&caller->user_id))
		padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
						   "the token's user has no account", NULL,
						   "Add the user to table users, with the token's sub as id.");
	return caller->user_id;
}

void
padlock_require_admin(void)
{
	if (padlock_caller_is_privileged())
		return;
	(void) padlock_require_user();
	padlock_http_error(403, ERRCODE_INSUFFICIENT_PRIVILEGE, "an admin is required", NULL,
					   "Ask a super admin to make you an admin.");
}
