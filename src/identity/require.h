/*-------------------------------------------------------------------------
 *
 * require.h
 *	  What endpoints demand of their caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_REQUIRE_H
#define PADLOCK_REQUIRE_H

#include "utils/uuid.h"

#include "identity/api_key.h"

/*
 * Refuse an API key that is not live, 401 (SQL: 28000), and say why as far as
 * who holds it may know.  ended_at: when a key that has ended did.
 */
extern void padlock_refuse_key(PadlockKeyState state, TimestampTz ended_at) pg_attribute_noreturn();

/*
 * The calling company's id.  Without a valid API key 401 (SQL: 28000); a key
 * of an inactive company 403 (42501).
 */
extern pg_uuid_t padlock_require_company(void);

/* The calling user's id.  Without a token, or for an unknown user, 401 (28000). */
extern pg_uuid_t padlock_require_user(void);

/* Stop unless an admin or service_role calls: 401 (28000) or 403 (42501). */
extern void padlock_require_admin(void);

#endif							/* PADLOCK_REQUIRE_H */
