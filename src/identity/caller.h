/*-------------------------------------------------------------------------
 *
 * caller.h
 *	  Who calls: the one caller record that every room asks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_CALLER_H
#define PADLOCK_CALLER_H

#include "utils/uuid.h"

/* What the outer role (SET ROLE, not SECURITY DEFINER) is to padlock. */
typedef enum PadlockRole
{
	PADLOCK_ROLE_OTHER,			/* the owner, a superuser, a user's own role */
	PADLOCK_ROLE_ANON,
	PADLOCK_ROLE_AUTHENTICATED,
	PADLOCK_ROLE_SERVICE
} PadlockRole;

typedef struct PadlockCaller
{
	PadlockRole role;

	bool		has_user;		/* a valid, unexpired sub claim of a live session */
	pg_uuid_t	user_id;
	bool		has_session;	/* the session that the claims name */
	pg_uuid_t	session_id;
	bool		is_admin;		/* user_id is in admin_users */
	bool		is_super_admin;

	bool		has_company;	/* a valid API key */
	pg_uuid_t	company_id;
	bool		company_active;

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

/*
 * The caller of this transaction.  Valid until the next call of this
 * function; read again rather than kept.  Never raises an error: settings
 * that are missing, malformed or expired mean an anonymous caller.
 */
extern const PadlockCaller *padlock_caller(void);

/* May the caller see and do everything: an admin, or service_role? */
extern bool padlock_caller_is_privileged(void);

/* The value of a request header (lower-case name), or NULL; palloc'd. */
extern char *padlock_request_header(const char *name);

/* Room set-up, called by _PG_init only. */
extern void padlock_identity_init(void);

#endif							/* PADLOCK_CALLER_H */
