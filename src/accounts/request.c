/*-------------------------------------------------------------------------
 *
 * request.c
 *	  What the endpoints of room accounts share.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "core/errors.h"
#include "email/email.h"
#include "identity/caller.h"
#include "identity/require.h"
#include "limits/limits.h"

#include "accounts/request.h"

/* Rules of wrong passwords: from one place, and from all together. */
#define FAILURE				"sign_in_failure"
#define FAILURE_ANYWHERE	"sign_in_failure_anywhere"

void
request_read(FunctionCallInfo fcinfo, PadlockBody *body, const BodyField *fields, int count)
{
	/*
	 * Endings of sessions must see the sessions that others open meanwhile,
	 * which an older snapshot hides.
	 */
	if (IsolationUsesXactSnapshot())
		padlock_http_error(500, ERRCODE_INVALID_TRANSACTION_STATE,
						   "accounts need isolation level READ COMMITTED", NULL,
						   "Set default_transaction_isolation = 'read committed' for this role.");
	padlock_body_read(body, PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), fields, count,
					  BODY_CREATE);
	padlock_body_finish(body);
}

char *
request_secret(PadlockBody *body, const char *name)
{
	char	   *secret = padlock_body_text(body, name);
	text	   *datum = DatumGetTextPP(padlock_body_value(body, name)->value);

	explicit_bzero(VARDATA_ANY(datum), VARSIZE_ANY_EXHDR(datum));
	return secret;
}

bool
request_session(pg_uuid_t *session_id)
{
	const PadlockCaller *caller = padlock_caller();

	if (caller->has_session)
		*session_id = caller->session_id;
	return caller->has_session;
}

bool
request_proves(const char *stored, const char *address, const char *password)
{
	padlock_limit_account(FAILURE, address);
	padlock_limit_account(FAILURE_ANYWHERE, address);
	if (!password_verify(password, stored, account_password_costs()))
		return false;
	padlock_forget_account(FAILURE, address);
	padlock_give_back_account(FAILURE_ANYWHERE, address);
	return true;
}

void
request_forget_failures(const char *address)
{
	padlock_forget_account(FAILURE, address);
	padlock_forget_account(FAILURE_ANYWHERE, address);
}

void
request_account(Account *account)
{
	pg_uuid_t	user_id = padlock_require_user();

	if (!account_read(&user_id, account))
		padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
						   "a signed-in user is required", NULL, "Sign in again.");
}

void
request_require_mail(void)
{
	if (!padlock_email_is_configured())
		padlock_http_error(503, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						   "mail is not configured", NULL,
						   "The operator sets padlock.smtp_url and padlock.mail_from, and reloads.");
}

void
request_refuse_token(const char *message, const char *hint)
{
	padlock_http_error(400, ERRCODE_INVALID_PARAMETER_VALUE, message, NULL, hint);
}
