/*-------------------------------------------------------------------------
 *
 * accounts.c
 *	  Settings of room accounts, and its daily cleaning.
 *
 * The settings are a superuser's to set, so that each database can have its own by
 * ALTER DATABASE, and no client can weaken them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "accounts/accounts.h"
#include "accounts/password.h"
#include "accounts/session.h"
#include "accounts/token.h"

#define MINUTE	60
#define DAY		(24 * 60 * MINUTE)

int			accounts_password_cost = PASSWORD_DEFAULT_COST;
bool		accounts_email_confirmation = true;
int			accounts_access_token_lifetime = 15 * MINUTE;
int			accounts_session_lifetime = 30 * DAY;
int			accounts_session_idle_limit = 7 * DAY;
int			accounts_max_sessions = 100;

void
padlock_accounts_init(void)
{
	DefineCustomIntVariable("padlock.password_cost",
							"Work of one password hash, as the binary logarithm of scrypt's N.",
							"A hash of another cost is made anew when its user signs in.",
							&accounts_password_cost, PASSWORD_DEFAULT_COST, PASSWORD_MIN_COST,
							PASSWORD_MAX_COST, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("padlock.email_confirmation",
							 "Makes sign_up() wait for the proof that the address is the user's.",
							 "Off, sign_up() answers with a session at once, and with 409 when the address has an account.",
							 &accounts_email_confirmation, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.access_token_lifetime",
							"How long an access token is valid.",
							"Never longer than its session.",
							&accounts_access_token_lifetime, 15 * MINUTE, MINUTE, DAY, PGC_SUSET,
							GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.session_lifetime",
							"How long a session lasts, however much it is used.",
							NULL, &accounts_session_lifetime, 30 * DAY, MINUTE, 3650 * DAY, PGC_SUSET,
							GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.session_idle_limit",
							"How long a session lasts without being refreshed.",
							NULL, &accounts_session_idle_limit, 7 * DAY, MINUTE, 3650 * DAY, PGC_SUSET,
							GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.max_sessions_per_user",
							"How many sessions a user can have at a time.",
							"One more ends the one that was not used for longest.",
							&accounts_max_sessions, 100, 1, 10000, PGC_SUSET, 0, NULL, NULL, NULL);
}

void
padlock_accounts_clean(void)
{
	session_clean();
	one_time_token_clean();
}
