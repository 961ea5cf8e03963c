/*-------------------------------------------------------------------------
 *
 * session_sql.c
 *	  Endpoints for one's own sessions: list_sessions, revoke_session, sign_out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/uuid.h"

#include "accounts/request.h"
#include "accounts/session.h"
#include "core/errors.h"
#include "identity/require.h"
#include "limits/limits.h"

PG_FUNCTION_INFO_V1(padlock_sign_out);
PG_FUNCTION_INFO_V1(padlock_list_sessions);
PG_FUNCTION_INFO_V1(padlock_revoke_session);

static const BodyField sign_out_fields[] = {
	{"scope", BODY_CHOICE, .choices = "local|others|global"}
};
static const BodyField revoke_fields[] = {{"session_id", BODY_UUID, .required = true}};

/* End the sessions that a scope names. */
static int64
end_scope(const pg_uuid_t *user_id, const char *scope)
{
	pg_uuid_t	current;
	bool		has_current = request_session(&current);

	if (strcmp(scope, "global") == 0)
		return session_end_all(user_id);
	if (!has_current)
		padlock_http_error(400, ERRCODE_INVALID_PARAMETER_VALUE,
						   "access token belongs to no session",
						   "Its claims have no session_id of a session that padlock opened.",
						   "Use scope global.");
	if (strcmp(scope, "others") == 0)
		return session_end_others(user_id, &current);
	return session_end_one(user_id, &current);
}

/*
 * sign_out(jsonb {scope}) returns jsonb: end the caller's session (scope
 * local, the default), all his others (others), or all (global).  200
 * {success, sessions_ended}; errors 400, 401, 429.  Their access tokens are
 * refused from the commit on.
 */
Datum
padlock_sign_out(PG_FUNCTION_ARGS)
{
	pg_uuid_t	user_id = padlock_require_user();
	PadlockBody body;
	char	   *scope;

	padlock_limit_request("sign_out");
	request_read(fcinfo, &body, sign_out_fields, lengthof(sign_out_fields));
	scope = padlock_body_text(&body, "scope");
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"sessions_ended\": " INT64_FORMAT "}",
									 end_scope(&user_id, scope != NULL ? scope : "local")));
}

/*
 * list_sessions(jsonb {}) returns jsonb: the caller's sessions that have not
 * ended.  200 {success, sessions [{id, ip_address, user_agent, created_at,
 * last_used_at, expires_at, current}]}; errors 400, 401, 429.
 */
Datum
padlock_list_sessions(PG_FUNCTION_ARGS)
{
	pg_uuid_t	user_id = padlock_require_user();
	PadlockBody body;
	pg_uuid_t	current;
	bool		has_current;

	padlock_limit_request("list_sessions");
	request_read(fcinfo, &body, NULL, 0);
	has_current = request_session(&current);
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"sessions\": %s}",
									 padlock_json_text(session_list(&user_id,
																	has_current ? &current : NULL))));
}

/*
 * revoke_session(jsonb {session_id}) returns jsonb: end one of the caller's
 * sessions.  200 {success, message}; errors 400, 401, 404 (also for another
 * user's), 429.
 */
Datum
padlock_revoke_session(PG_FUNCTION_ARGS)
{
	pg_uuid_t	user_id = padlock_require_user();
	PadlockBody body;
	pg_uuid_t  *session_id;

	padlock_limit_request("revoke_session");
	request_read(fcinfo, &body, revoke_fields, lengthof(revoke_fields));
	session_id = DatumGetUUIDP(padlock_body_value(&body, "session_id")->value);
	if (session_end_one(&user_id, session_id) == 0)
		padlock_http_error(404, ERRCODE_NO_DATA_FOUND, "session not found", NULL,
						   "List the sessions to see which there are.");
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"message\": %s}",
									 padlock_json_string("Session ended.")));
}
