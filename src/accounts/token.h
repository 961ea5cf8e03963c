/*-------------------------------------------------------------------------
 *
 * token.h
 *	  Refresh tokens and one-time tokens.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_TOKEN_H
#define PADLOCK_TOKEN_H

#include "utils/uuid.h"

/* Longest token text that an endpoint takes, in characters. */
#define TOKEN_MAX_LENGTH 200

/* The refresh token of a session and counter; palloc'd.  55000 without a key. */
extern char *refresh_token_make(const pg_uuid_t *session_id, int64 counter);

/* Read a refresh token; false unless we made it.  No table is read. */
extern bool refresh_token_read(const char *token, pg_uuid_t *session_id, int64 *counter);

/* What a one-time token allows its bearer. */
typedef enum OneTimePurpose
{
	CONFIRM_EMAIL,				/* make the account that was signed up for */
	CHANGE_EMAIL,				/* move the user to another address */
	RESET_PASSWORD				/* set a password without the old one */
} OneTimePurpose;

typedef struct OneTimeToken
{
	OneTimePurpose purpose;
	bool		has_user;
	pg_uuid_t	user_id;		/* for CHANGE_EMAIL and RESET_PASSWORD, if has_user */
	char	   *email;			/* the address it was mailed to */
	char	   *password_hash;	/* of the sign-up, for CONFIRM_EMAIL; else NULL */
} OneTimeToken;

/* A purpose's name. */
extern const char *one_time_token_purpose(OneTimePurpose purpose);

/* How long a token of that purpose can be used, in minutes. */
extern int	one_time_token_lifetime(OneTimePurpose purpose);

/*
 * Make a new token and return its id, by which padlock_one_time_token() finds
 * its text when the mail is sent.  Earlier tokens of the same user and purpose
 * are void.  55000 without the key file.
 */
extern pg_uuid_t one_time_token_issue(const OneTimeToken *token);

/*
 * Use up a token.  False when there is none, when it expired, and when it is
 * for another purpose.  password_hash and email are palloc'd.
 */
extern bool one_time_token_use(const char *text, OneTimePurpose purpose, OneTimeToken *token);

/* Void all tokens of a user. */
extern void one_time_token_void(const pg_uuid_t *user_id);

/* Void the tokens that would confirm an address. */
extern void one_time_token_void_confirmations(const char *email);

/* Delete tokens that expired more than a day ago. */
extern void one_time_token_clean(void);

#endif							/* PADLOCK_TOKEN_H */
