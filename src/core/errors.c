/*-------------------------------------------------------------------------
 *
 * errors.c
 *	  The one place that turns a failure into an SQL error or an HTTP answer.
 *
 * The statement is kept out of the server's log: where a client writes values
 * into it instead of passing parameters, it holds passwords and personal data.
 *
 * PostgREST's contract (its documentation, "Raise errors with HTTP Status
 * Codes"): an error with SQLSTATE PGRST carries the body as JSON in its
 * message and {status, headers} as JSON in its detail; settings
 * response.status and response.headers count only on success.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"

#include "core/core.h"
#include "core/errors.h"

#define ERRCODE_GATEWAY MAKE_SQLSTATE('P', 'G', 'R', 'S', 'T')

/* Append "key": "value" or "key": null to a JSON object under construction. */
static void
append_member(StringInfo json, const char *key, const char *value)
{
	appendStringInfo(json, "\"%s\": ", key);
	if (value == NULL)
		appendStringInfoString(json, "null");
	else
		escape_json(json, value);
}

bool
padlock_behind_gateway(void)
{
	const char *method = GetConfigOption("request.method", true, false);

	return method != NULL && method[0] != '\0';
}

/* The members of an error's body, without the braces. */
static char *
error_members(int sqlstate, const char *message, const char *detail, const char *hint)
{
	StringInfoData body;

	initStringInfo(&body);
	append_member(&body, "code", unpack_sql_state(sqlstate));
	appendStringInfoString(&body, ", ");
	append_member(&body, "message", message);
	appendStringInfoString(&body, ", ");
	append_member(&body, "details", detail);
	appendStringInfoString(&body, ", ");
	append_member(&body, "hint", hint);
	return body.data;
}

/* Raise the form that PostgREST turns into status, body and headers. */
static void
raise_gateway_error(int http_status, int sqlstate, const char *message, const char *detail,
					const char *hint, const char *headers)
{
	StringInfoData envelope;

	initStringInfo(&envelope);
	appendStringInfo(&envelope, "{\"status\": %d, \"headers\": %s}", http_status, headers);

	ereport(ERROR,
			(errcode(ERRCODE_GATEWAY),
			 errmsg_internal("{%s}", error_members(sqlstate, message, detail, hint)),
			 errdetail_internal("%s", envelope.data),
			 errhidestmt(true)));
}

void
padlock_http_error_headers(int http_status, int sqlstate, const char *message, const char *detail,
						   const char *hint, const char *headers)
{
	if (padlock_behind_gateway())
		raise_gateway_error(http_status, sqlstate, message, detail, hint, headers);

	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s", message),
			 detail ? errdetail("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0,
			 errhidestmt(true)));
	pg_unreachable();
}

void
padlock_http_error(int http_status, int sqlstate, const char *message, const char *detail,
				   const char *hint)
{
	padlock_http_error_headers(http_status, sqlstate, message, detail, hint, "{}");
}

/* Set one of the gateway's response settings for this transaction. */
static void
set_response(const char *name, const char *value)
{
	if (padlock_behind_gateway())
		(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
								 true, 0, false);
}

void
padlock_http_status(int http_status)
{
	set_response("response.status", psprintf("%d", http_status));
}

char *
padlock_http_failure(int http_status, int sqlstate, const char *message, const char *detail,
					 const char *hint)
{
	padlock_http_status(http_status);
	return psprintf("{%s%s}", padlock_behind_gateway() ? "" : "\"success\": false, ",
					error_members(sqlstate, message, detail, hint));
}

void
padlock_http_headers(const char *headers)
{
	set_response("response.headers", headers);
}

void
padlock_require_preload(const char *feature)
{
	if (padlock_preloaded)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s needs padlock to be loaded at server start", feature),
			 errhint("Add shared_preload_libraries = 'padlock' to postgresql.conf and restart the server.")));
}
