/*-------------------------------------------------------------------------
 *
 * accounts.h
 *	  The door of room accounts: sign-up, sign-in, sessions, passwords.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_ACCOUNTS_H
#define PADLOCK_ACCOUNTS_H

/* Room set-up, called by _PG_init only: settings. */
extern void padlock_accounts_init(void);

/* Settings, for this room only; times in seconds. */
extern int	accounts_password_cost;
extern bool accounts_email_confirmation;
extern int	accounts_access_token_lifetime;
extern int	accounts_session_lifetime;
extern int	accounts_session_idle_limit;

#endif							/* PADLOCK_ACCOUNTS_H */
