/*-------------------------------------------------------------------------
 *
 * require.c
 *	  What endpoints demand of their caller.
 *
 * A wrong, a revoked and an expired key give the same answer, so that nobody
 * learns which keys existed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/errors.h"
#include "identity/caller.h"
#include "identity/lookup.h"
#include "identity/require.h"

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
		padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
						   "API key is not valid", NULL,
						   "Check the key, or ask an admin for a new one.");
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
