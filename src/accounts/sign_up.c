/*-------------------------------------------------------------------------
 *
 * sign_up.c
 *	  Endpoints sign_up, and confirm_email, which makes the account.
 *
 * With padlock.email_confirmation on, nothing is stored for an address before
 * somebody proves that it is his: a sign-up stores a one-time token together
 * with the hash of the password, and the token makes the account with that
 * password, if it is told, too.  So an account is made only for who both signed
 * up and reads the mail: whoever signs up for another's address gets nowhere,
 * even if the owner opens that mail.  Several sign-ups for one address, each
 * with its own password, do not disturb one another.
 *
 * The answer is the same whether or not the address has an account, and so is
 * the work: one look-up, one password hash, one token stored, one mail queued.
 * To an address with an account the mail says so, and the token goes nowhere.
 *
 * With the setting off, sign_up makes the account and opens a session; an
 * address that has a user is then refused, which tells that it has one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "accounts/accounts.h"
#include "accounts/mail.h"
#include "accounts/request.h"
#include "accounts/session.h"
#include "core/errors.h"
#include "limits/limits.h"

PG_FUNCTION_INFO_V1(padlock_sign_up);
PG_FUNCTION_INFO_V1(padlock_confirm_email);

static const BodyField sign_up_fields[] = {EMAIL_FIELD, NEW_PASSWORD_FIELD};
static const BodyField confirm_fields[] = {TOKEN_FIELD("token"), PASSWORD_FIELD("password")};

/* Mail a token to the address, or its owner that it has an account. */
static void
ask_for_proof(char *email, char *hash)
{
	OneTimeToken token = {CONFIRM_EMAIL, .email = email, .password_hash = hash};
	Account		account;
	bool		exists = account_find(email, &account) && account.password_hash != NULL;
	pg_uuid_t	token_id = one_time_token_issue(&token);

	if (exists)
		mail_notice(account.email, "account_exists");
	else
		mail_token(email, CONFIRM_EMAIL, &token_id);
}

/* Make the account and open a session. */
static Jsonb *
create_at_once(const char *email, const char *hash)
{
	Account		account;
	Session		session;

	if (!account_create(email, hash, &account))
		padlock_http_error(409, ERRCODE_UNIQUE_VIOLATION,
						   "an account with this e-mail address exists already", NULL,
						   "Sign in, or ask for a new password.");
	session_open(&account, &session);
	return session_answer(&session);
}

/*
 * sign_up(jsonb {email, password}) returns jsonb: open an account.  201
 * {success, message}, whether or not there is one already; with
 * padlock.email_confirmation off 201 with a session as sign_in answers it, or
 * 409.  Other errors 400, 429, 503 (no mail server is set).
 */
Datum
padlock_sign_up(PG_FUNCTION_ARGS)
{
	PadlockBody body;
	char	   *email;
	char	   *password;
	char	   *hash;

	padlock_limit_request("sign_up");
	request_read(fcinfo, &body, sign_up_fields, lengthof(sign_up_fields));
	email = padlock_body_text(&body, "email");
	if (accounts_email_confirmation)
		request_require_mail();
	padlock_limit_account("sign_up_mail", account_address(email));

	password = request_secret(&body, "password");
	hash = password_hash(password);
	password_wipe(password);
	padlock_http_status(201);
	if (!accounts_email_confirmation)
		PG_RETURN_JSONB_P(create_at_once(email, hash));
	ask_for_proof(email, hash);
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"message\": %s}",
									 padlock_json_string("A mail with the next step is on its way.")));
}

/* Make the account that a sign-up asked for. */
static bool
confirm_sign_up(const char *text, const char *password)
{
	OneTimeToken token;

	if (!one_time_token_use(text, CONFIRM_EMAIL, &token) || token.password_hash == NULL ||
		!request_proves(token.password_hash, account_address(token.email), password))
		return false;
	one_time_token_void_confirmations(token.email);
	return account_confirm(token.email, token.password_hash);
}

/* Move a user to the address that he proved is his, and tell the old one. */
static bool
confirm_change(const char *text, const char *password)
{
	OneTimeToken token;
	Account		account;

	if (!one_time_token_use(text, CHANGE_EMAIL, &token) || !token.has_user ||
		!account_read(&token.user_id, &account) ||
		!request_proves(account.password_hash, account_address(account.email), password) ||
		!account_move(&token.user_id, token.email))
		return false;
	one_time_token_void(&token.user_id);
	mail_notice(account.email, "email_changed");
	return true;
}

/*
 * confirm_email(jsonb {token, password}) returns jsonb: prove an address, by
 * the token that was mailed there for sign_up or change_email and the password
 * of that sign-up or account.  200 {success, message}; errors 400 (the same
 * whichever is wrong; a wrong password does not use the token up), 429.  No
 * session: the user signs in.
 */
Datum
padlock_confirm_email(PG_FUNCTION_ARGS)
{
	PadlockBody body;
	char	   *token;
	char	   *password;

	padlock_limit_request("confirm_email");
	request_read(fcinfo, &body, confirm_fields, lengthof(confirm_fields));
	token = request_secret(&body, "token");
	password = request_secret(&body, "password");
	if (!confirm_sign_up(token, password) && !confirm_change(token, password))
		request_refuse_token("token or password is wrong, or the token was used or has expired",
							 "Check the password, or have a new mail sent: sign up, or change the address, again.");
	password_wipe(password);
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"message\": %s}",
									 padlock_json_string("E-mail address confirmed.")));
}
