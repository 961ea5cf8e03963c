/*-------------------------------------------------------------------------
 *
 * scope.c
 *	  What row security policies and queries ask of the caller.
 *
 * Policies compare an id with a range: the caller's own id at both ends for a
 * user or a company, the whole uuid range for an admin or service_role, NULL
 * (no row) for nobody.  The functions are STABLE, so the planner evaluates
 * them for its estimates and uses the index for a plain user and a full scan
 * for an admin, with one policy and no OR.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/uuid.h"

#include "core/spi.h"
#include "identity/caller.h"
#include "identity/lookup.h"

PG_FUNCTION_INFO_V1(padlock_uid);
PG_FUNCTION_INFO_V1(padlock_company_id);
PG_FUNCTION_INFO_V1(padlock_is_caller_admin);
PG_FUNCTION_INFO_V1(padlock_is_super_admin);
PG_FUNCTION_INFO_V1(padlock_is_service_role);
PG_FUNCTION_INFO_V1(padlock_is_privileged);
PG_FUNCTION_INFO_V1(padlock_scope_low);
PG_FUNCTION_INFO_V1(padlock_scope_high);
PG_FUNCTION_INFO_V1(padlock_company_scope_low);
PG_FUNCTION_INFO_V1(padlock_company_scope_high);
PG_FUNCTION_INFO_V1(padlock_company_is_active);
PG_FUNCTION_INFO_V1(padlock_is_admin);
PG_FUNCTION_INFO_V1(padlock_may_manage_user);

static Datum
copy_uuid(const pg_uuid_t *uuid)
{
	pg_uuid_t  *copy = palloc(sizeof(pg_uuid_t));

	*copy = *uuid;
	return UUIDPGetDatum(copy);
}

/* One end of the uuid range: every byte the same. */
static Datum
range_end(int byte)
{
	pg_uuid_t  *end = palloc(sizeof(pg_uuid_t));

	memset(end->data, byte, UUID_LEN);
	return UUIDPGetDatum(end);
}

/* padlock.uid() returns uuid: the calling user's id, NULL for nobody. */
Datum
padlock_uid(PG_FUNCTION_ARGS)
{
	const PadlockCaller *caller = padlock_caller();

	if (!caller->has_user)
		PG_RETURN_NULL();
	return copy_uuid(&caller->user_id);
}

/*
 * padlock.company_id() returns uuid: the calling company's id by its API key,
 * NULL without a valid key or when the company is not active.
 */
Datum
padlock_company_id(PG_FUNCTION_ARGS)
{
	const PadlockCaller *caller = padlock_caller();

	if (!caller->has_company || !caller->company_active)
		PG_RETURN_NULL();
	return copy_uuid(&caller->company_id);
}

/* padlock.is_admin() returns boolean: is the calling user in admin_users? */
Datum
padlock_is_caller_admin(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(padlock_caller()->is_admin);
}

/* padlock.is_super_admin() returns boolean: ... with role super_admin? */
Datum
padlock_is_super_admin(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(padlock_caller()->is_super_admin);
}

/* padlock.is_service_role() returns boolean: did the gateway switch to service_role? */
Datum
padlock_is_service_role(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(padlock_caller()->role == PADLOCK_ROLE_SERVICE);
}

/* padlock.is_privileged() returns boolean: is the caller an admin or service_role? */
Datum
padlock_is_privileged(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(padlock_caller_is_privileged());
}

/* One end of the range of user ids that the caller may see. */
static Datum
user_scope(FunctionCallInfo fcinfo, int end)
{
	if (padlock_caller_is_privileged())
		return range_end(end);
	return padlock_uid(fcinfo);
}

/* padlock.scope_low() returns uuid: lowest user id whose rows the caller may see. */
Datum
padlock_scope_low(PG_FUNCTION_ARGS)
{
	return user_scope(fcinfo, 0x00);
}

/* padlock.scope_high() returns uuid: highest user id whose rows the caller may see. */
Datum
padlock_scope_high(PG_FUNCTION_ARGS)
{
	return user_scope(fcinfo, 0xff);
}

/* One end of the range of company ids that the caller acts for. */
static Datum
company_scope(FunctionCallInfo fcinfo, int end)
{
	if (padlock_caller_is_privileged())
		return range_end(end);
	return padlock_company_id(fcinfo);
}

/* padlock.company_scope_low() returns uuid: as scope_low(), for companies. */
Datum
padlock_company_scope_low(PG_FUNCTION_ARGS)
{
	return company_scope(fcinfo, 0x00);
}

/* padlock.company_scope_high() returns uuid: as scope_high(), for companies. */
Datum
padlock_company_scope_high(PG_FUNCTION_ARGS)
{
	return company_scope(fcinfo, 0xff);
}

/*
 * padlock.company_is_active(uuid) returns boolean: may the public see this
 * company's products?  Reads the company past row security: visitors may not
 * read companies, and learn here only what a missing product shows anyway.
 */
Datum
padlock_company_is_active(PG_FUNCTION_ARGS)
{
	bool		is_active;

	(void) padlock_lookup_company(PG_GETARG_UUID_P(0), &is_active);
	PG_RETURN_BOOL(is_active);
}

/* May the caller ask about other users: admins, service_role, the owner? */
static bool
may_ask_about(const pg_uuid_t *user_id)
{
	const PadlockCaller *caller = padlock_caller();

	return padlock_caller_is_privileged() ||
		(caller->has_user && memcmp(&caller->user_id, user_id, UUID_LEN) == 0) ||
		(caller->role == PADLOCK_ROLE_OTHER &&
		 has_privs_of_role(GetOuterUserId(), padlock_owner()));
}

/*
 * is_admin(user_id uuid) returns boolean: is that user an admin?  One may ask
 * about oneself; about others only as an admin, service_role or the owner.
 * Errors: 42501.
 */
Datum
padlock_is_admin(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *user_id = PG_GETARG_UUID_P(0);
	bool		is_admin;
	bool		is_super_admin;

	if (!may_ask_about(user_id))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to ask whether another user is an admin"),
				 errhint("Ask about your own id, or as an admin.")));
	padlock_lookup_admin(user_id, &is_admin, &is_super_admin);
	PG_RETURN_BOOL(is_admin);
}

/*
 * padlock.may_manage_user(user_id uuid) returns boolean: may the caller change
 * or remove that account?  Admins and service_role may, but an admin's account
 * only a super admin: with its address changed, a password reset would hand
 * the office over.
 */
Datum
padlock_may_manage_user(PG_FUNCTION_ARGS)
{
	bool		is_admin;
	bool		is_super_admin;

	if (!padlock_caller_is_privileged())
		PG_RETURN_BOOL(false);
	padlock_lookup_admin(PG_GETARG_UUID_P(0), &is_admin, &is_super_admin);
	PG_RETURN_BOOL(!is_admin || padlock_caller()->is_super_admin);
}
