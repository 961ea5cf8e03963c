/*-------------------------------------------------------------------------
 *
 * change.c
 *	  Endpoints that change a password or an address: request_password_reset,
 *	  reset_password, change_password, change_email.
 *
 * request_password_reset does the same for every address: it stores a token
 * and queues a mail.  An address without an account gets a mail that says so,
 * which also helps who forgot with which address he signed up.  What is left
 * of a difference can be measured five times an hour (rule reset_password_mail).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "accounts/mail.h"
#include "accounts/request.h"
#include "accounts/session.h"
#include "core/errors.h"
#include "identity/require.h"
#include "limits/limits.h"

PG_FUNCTION_INFO_V1(padlock_request_password_reset);
PG_FUNCTION_INFO_V1(padlock_reset_password);
PG_FUNCTION_INFO_V1(padlock_change_password);
PG_FUNCTION_INFO_V1(padlock_change_email);

static const BodyField request_fields[] = {EMAIL_FIELD};
static const BodyField reset_fields[] = {TOKEN_FIELD("token"), NEW_PASSWORD_FIELD};
static const BodyField change_password_fields[] = {
	PASSWORD_FIELD("current_password"), NEW_PASSWORD_FIELD
};
static const BodyField change_email_fields[] = {EMAIL_FIELD, PASSWORD_FIELD("password")};

static Jsonb *
message_answer(const char *message)
{
	return padlock_answer("{\"success\": true, \"message\": %s}", padlock_json_string(message));
}

/* Hash a new password and forget its text. */
static char *
hash_secret(PadlockBody *body, const char *name)
{
	char	   *password = request_secret(body, name);
	char	   *hash = password_hash(password);

	password_wipe(password);
	return hash;
}

/*
 * request_password_reset(jsonb {email}) returns jsonb: mail a token for
 * reset_password.  200 {success, message}, whether or not there is an account;
 * errors 400, 429, 503 (no mail server is set).
 */
Datum
padlock_request_password_reset(PG_FUNCTION_ARGS)
{
	OneTimeToken token = {RESET_PASSWORD};
	PadlockBody body;
	Account		account;
	pg_uuid_t	token_id;

	padlock_limit_request("request_password_reset");
	request_read(fcinfo, &body, request_fields, lengthof(request_fields));
	token.email = padlock_body_text(&body, "email");
	request_require_mail();
	padlock_limit_account("reset_password_mail", account_address(token.email));

	token.has_user = account_find(token.email, &account);
	if (token.has_user)
	{
		token.user_id = account.id;
		token.email = account.email;
	}
	token_id = one_time_token_issue(&token);
	if (token.has_user)
		mail_token(token.email, RESET_PASSWORD, &token_id);
	else
		mail_notice(token.email, "no_account");
	PG_RETURN_JSONB_P(message_answer("A mail with the next step is on its way."));
}

/*
 * reset_password(jsonb {token, password}) returns jsonb: set a password by
 * the token of request_password_reset, and end all sessions.  200 {success,
 * message}; errors 400 (also when the token was mailed to an address that is no
 * longer the user's), 429.
 */
Datum
padlock_reset_password(PG_FUNCTION_ARGS)
{
	PadlockBody body;
	OneTimeToken token;
	Account		account;

	padlock_limit_request("reset_password");
	request_read(fcinfo, &body, reset_fields, lengthof(reset_fields));
	if (!one_time_token_use(request_secret(&body, "token"), RESET_PASSWORD, &token) ||
		!token.has_user || !account_read(&token.user_id, &account) ||
		strcmp(account_address(token.email), account_address(account.email)) != 0)
		request_refuse_token("token is not valid, was used, or has expired",
							 "Ask for a new token.");

	account_set_password(&account.id, hash_secret(&body, "password"));
	(void) session_end_all(&account.id);
	one_time_token_void(&account.id);
	one_time_token_void_confirmations(account.email);
	request_forget_failures(account_address(account.email));
	mail_notice(account.email, "password_changed");
	PG_RETURN_JSONB_P(message_answer("Password set. Sign in with it."));
}

/* Stop with 403: not 401, by which clients would take the session for ended. */
static void
refuse_password(void)
{
	padlock_http_error(403, ERRCODE_INVALID_PASSWORD, "current password is wrong", NULL,
					   "Check it, or ask for a new password.");
}

/*
 * change_password(jsonb {current_password, password}) returns jsonb: set
 * another password, and end the caller's other sessions.  200 {success,
 * message}; errors 400, 401, 403 (wrong password), 429.
 */
Datum
padlock_change_password(PG_FUNCTION_ARGS)
{
	PadlockBody body;
	Account		account;
	pg_uuid_t	current;
	bool		has_current;
	char	   *password;

	request_account(&account);
	padlock_limit_request("change_password");
	request_read(fcinfo, &body, change_password_fields, lengthof(change_password_fields));
	password = request_secret(&body, "current_password");
	if (!request_proves(account.password_hash, account_address(account.email), password))
		refuse_password();
	password_wipe(password);
	one_time_token_void(&account.id);	/* before the password, as reset_password does */
	if (!account_replace_password(&account, hash_secret(&body, "password")))
		refuse_password();

	has_current = request_session(&current);
	(void) session_end_others(&account.id, has_current ? &current : NULL);
	mail_notice(account.email, "password_changed");
	PG_RETURN_JSONB_P(message_answer("Password changed. Other sessions have ended."));
}

/*
 * Mail a token to the new address, or its owner that it has an account.  The
 * caller's own address may be written in other letter case.
 */
static void
ask_new_address(const Account *account, char *email)
{
	OneTimeToken token = {CHANGE_EMAIL, .has_user = true, .user_id = account->id, .email = email};
	Account		other;
	bool		taken = account_find(email, &other) &&
		memcmp(&other.id, &account->id, sizeof(pg_uuid_t)) != 0;
	pg_uuid_t	token_id = one_time_token_issue(&token);

	if (taken)
		mail_notice(other.email, "account_exists");
	else
		mail_token(email, CHANGE_EMAIL, &token_id);
}

/*
 * change_email(jsonb {email, password}) returns jsonb: mail a token for
 * confirm_email to the new address; until it is used nothing changes.  200
 * {success, message}, whether or not the new address has an account; errors
 * 400, 401, 403 (wrong password), 429, 503 (no mail server is set).
 */
Datum
padlock_change_email(PG_FUNCTION_ARGS)
{
	PadlockBody body;
	Account		account;
	char	   *email;
	char	   *password;

	request_account(&account);
	padlock_limit_request("change_email");
	request_read(fcinfo, &body, change_email_fields, lengthof(change_email_fields));
	email = padlock_body_text(&body, "email");
	request_require_mail();
	padlock_limit_account("change_email_mail", account_address(email));
	password = request_secret(&body, "password");
	if (!request_proves(account.password_hash, account_address(account.email), password))
		refuse_password();
	password_wipe(password);
	ask_new_address(&account, email);
	PG_RETURN_JSONB_P(message_answer("A mail with the next step is on its way to the new address."));
}
