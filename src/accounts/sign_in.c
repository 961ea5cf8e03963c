/*-------------------------------------------------------------------------
 *
 * sign_in.c
 *	  Endpoints sign_in and refresh_session, which hand out tokens.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "accounts/request.h"
#include "accounts/session.h"
#include "core/errors.h"
#include "limits/limits.h"

PG_FUNCTION_INFO_V1(padlock_sign_in);
PG_FUNCTION_INFO_V1(padlock_refresh_session);

static const BodyField sign_in_fields[] = {EMAIL_FIELD, PASSWORD_FIELD("password")};
static const BodyField refresh_fields[] = {TOKEN_FIELD("refresh_token")};

/*
 * Make sure that the proven password stays the account's until commit; hash
 * it anew if the cost has changed.  Where another sign-in did that just now,
 * the password is looked at once more.
 */
static bool
settle_password(Account *account, const char *password)
{
	if (!password_is_outdated(account->password_hash))
		return account_hold_password(account);
	if (account_replace_password(account, password_hash(password)))
		return true;
	return account_read(&account->id, account) &&
		password_verify(password, account->password_hash, 0) &&
		account_hold_password(account);
}

/*
 * sign_in(jsonb {email, password}) returns jsonb: open a session.  200
 * {success, access_token, refresh_token, token_type, expires_in, user {id,
 * email}}.  Errors 400, 401 (the same whether the account does not exist, is
 * not confirmed or has another password), 429.
 */
Datum
padlock_sign_in(PG_FUNCTION_ARGS)
{
	PadlockBody body;
	Account		account;
	Session		session;
	char	   *email;
	char	   *password;
	bool		exists;
	bool		right;

	padlock_limit_request("sign_in");
	request_read(fcinfo, &body, sign_in_fields, lengthof(sign_in_fields));
	email = padlock_body_text(&body, "email");
	password = request_secret(&body, "password");

	exists = account_find(email, &account);
	right = request_proves(exists ? account.password_hash : NULL, account_address(email),
						   password) &&
		settle_password(&account, password);
	password_wipe(password);
	if (!right)
		padlock_http_error(401, ERRCODE_INVALID_PASSWORD,
						   "e-mail address or password is wrong", NULL,
						   "Check both, or ask for a new password.");
	session_open(&account, &session);
	PG_RETURN_JSONB_P(session_answer(&session));
}

#define REFRESH_MESSAGE	"refresh token is not valid"
#define REFRESH_HINT	"Sign in again."

/*
 * refresh_session(jsonb {refresh_token}) returns jsonb: the session goes on
 * with new tokens.  200, as sign_in; errors 400, 401, 429.
 *
 * A token older than the one before the newest ends its session.  An error
 * would roll that back, so this one 401 is an ordinary result: a gateway's
 * client sees no difference, and from SQL it is {success: false, code,
 * message, details, hint}.
 */
Datum
padlock_refresh_session(PG_FUNCTION_ARGS)
{
	PadlockBody body;
	Session		session;

	padlock_limit_request("refresh_session");
	request_read(fcinfo, &body, refresh_fields, lengthof(refresh_fields));
	switch (session_refresh(request_secret(&body, "refresh_token"), &session))
	{
		case REFRESHED:
			break;
		case REFRESH_REUSED:
			PG_RETURN_JSONB_P(padlock_answer("%s",
											 padlock_http_failure(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
																  REFRESH_MESSAGE, NULL, REFRESH_HINT)));
		case REFRESH_REFUSED:
			padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
							   REFRESH_MESSAGE, NULL, REFRESH_HINT);
	}
	PG_RETURN_JSONB_P(session_answer(&session));
}
