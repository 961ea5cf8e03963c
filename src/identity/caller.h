/*-------------------------------------------------------------------------
 *
 * caller.h
 *	  Who calls: the one caller record that every room asks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_CALLER_H
#define PADLOCK_CALLER_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "identity/api_key.h"

/* What the outer role (SET ROLE, not SECURITY DEFINER) is to padlock. */
typedef enum PadlockRole
{
	PADLOCK_ROLE_OTHER,			/* the owner, a superuser, a user's own role */
	PADLOCK_ROLE_ANON,
	PADLOCK_ROLE_AUTHENTICATED,
	PADLOCK_ROLE_SERVICE
} PadlockRole;

/* What is wrong with what a caller says of himself: the first thing that is. */
typedef enum PadlockProblem
{
	PADLOCK_NO_PROBLEM,
	PADLOCK_BAD_HEADERS,		/* request.headers is no JSON object, or too long */
	PADLOCK_BAD_CLAIMS,			/* claims that are no JSON object, or name no user's id */
	PADLOCK_EXPIRED,			/* the claims' exp has passed */
	PADLOCK_SESSION_ENDED,		/* padlock's own token, of a session that is over */
	PADLOCK_BAD_KEY				/* no such API key, or one that was revoked or has expired */
} PadlockProblem;

typedef struct PadlockCaller
{
	PadlockRole role;
	PadlockProblem problem;		/* a caller with one may still have the other identity */

	bool		has_user;		/* a valid, unexpired sub claim, not of anon or an ended session */
	pg_uuid_t	user_id;
	bool		has_session;	/* the session of padlock's own token */
	pg_uuid_t	session_id;
	bool		is_admin;		/* user_id is in admin_users */
	bool		is_super_admin;

	bool		has_company;	/* a valid API key */
	pg_uuid_t	company_id;
	bool		company_active;
	PadlockKeyState key_state;	/* of a key that was sent */
	TimestampTz key_expires_at; /* DT_NOEND: never; of a key that has ended, when it did */

	/* NULL when not known; texts are bounded and valid in the database encoding */
	const char *ip_address;
	const char *user_agent;
	const char *request_path;
} PadlockCaller;

/*
 * Settings with which padlock.authenticate() says who the caller of this
 * transaction is: a verified token's claims, and a verified API key.
 */
#define PADLOCK_VERIFIED_CLAIMS "padlock.token_claims"
#define PADLOCK_VERIFIED_KEY	"padlock.token_api_key"

/* The issuer ("iss") of tokens that padlock signs: only these name padlock's sessions. */
#define PADLOCK_TOKEN_ISSUER	"padlock"

/*
 * The caller of this transaction.  Valid until the next call of this
 * function; read again rather than kept.  Never raises an error: settings
 * that are missing, malformed or expired mean an anonymous caller.
 */
extern const PadlockCaller *padlock_caller(void);

/* May the caller see and do everything: an admin, or service_role? */
extern bool padlock_caller_is_privileged(void);

/* Is padlock.authenticate() the only one to say who calls (padlock.identity = 'token')? */
extern bool padlock_identity_by_token(void);

/* The value of a request header (lower-case name), or NULL; palloc'd. */
extern char *padlock_request_header(const char *name);

/* Room set-up, called by _PG_init only. */
extern void padlock_identity_init(void);

#endif							/* PADLOCK_CALLER_H */
