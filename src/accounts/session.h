/*-------------------------------------------------------------------------
 *
 * session.h
 *	  Sessions of users: opened, refreshed, ended.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SESSION_H
#define PADLOCK_SESSION_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "accounts/store.h"

/* A session that is good for an access token now. */
typedef struct Session
{
	pg_uuid_t	id;
	pg_uuid_t	user_id;
	char	   *email;			/* of the user */
	TimestampTz ends_at;		/* unless it is refreshed until then */
	int64		counter;		/* of the newest refresh token */
} Session;

typedef enum RefreshVerdict
{
	REFRESHED,
	REFRESH_REFUSED,			/* no such token, or its session has ended */
	REFRESH_REUSED				/* an old token: its session was ended just now */
} RefreshVerdict;

/*
 * Open a session of an account for the caller's address and user agent.  Where
 * that is more than padlock.max_sessions_per_user, the least recently used one
 * ends.
 */
extern void session_open(const Account *account, Session *session);

/*
 * Take a refresh token.  The newest one moves the session on; the one before
 * is a repeat, whose answer was lost or is under way, and gets the same
 * successor; any older one was copied, and ends the session.
 */
extern RefreshVerdict session_refresh(const char *refresh_token, Session *session);

/*
 * End the sessions of a user: all, or all but one (except), or one (only);
 * how many there were.
 */
extern int64 session_end_all(const pg_uuid_t *user_id);
extern int64 session_end_others(const pg_uuid_t *user_id, const pg_uuid_t *except);
extern int64 session_end_one(const pg_uuid_t *user_id, const pg_uuid_t *only);

/* Delete sessions that were revoked or expired more than a day ago, whoever's. */
extern void session_clean(void);

/* The sessions of a user that have not ended, as a JSON array. */
extern Jsonb *session_list(const pg_uuid_t *user_id, const pg_uuid_t *current);

/*
 * The answer that hands out a session: success, access_token, refresh_token,
 * token_type, expires_in (seconds), user {id, email}.
 */
extern Jsonb *session_answer(const Session *session);

#endif							/* PADLOCK_SESSION_H */
