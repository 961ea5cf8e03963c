/*-------------------------------------------------------------------------
 *
 * accounts.h
 *	  The door of room accounts: sign-up, sign-in, sessions, passwords.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_ACCOUNTS_H
#define PADLOCK_ACCOUNTS_H

#include "utils/uuid.h"

/* Room set-up, called by _PG_init only: settings. */
extern void padlock_accounts_init(void);

/*
 * For who sends a mail: the one-time token with this id, as text; palloc'd.
 * NULL unless it was made for this very address and can still be used.
 * Inside a transaction; 55000 without the key file.
 */
extern char *padlock_one_time_token(const pg_uuid_t *id, const char *email);

/*
 * Delete sessions and one-time tokens that ended more than a day ago; for the
 * daily maintenance, inside a transaction.  Not sooner: what a dump brought
 * back must not differ from its source while somebody compares them.
 */
extern void padlock_accounts_clean(void);

/* Settings, for this room only; times in seconds. */
extern int	accounts_password_cost;
extern bool accounts_email_confirmation;
extern int	accounts_access_token_lifetime;
extern int	accounts_session_lifetime;
extern int	accounts_session_idle_limit;
extern int	accounts_max_sessions;	/* of one user */

#endif							/* PADLOCK_ACCOUNTS_H */
