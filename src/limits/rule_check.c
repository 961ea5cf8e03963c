/*-------------------------------------------------------------------------
 *
 * rule_check.c
 *	  The trigger that refuses limits which would limit nothing.
 *
 * A rule counts by the name of an endpoint, or of an attempt on an account,
 * and by what a caller is to it.  A mistyped name would be a row that nobody
 * asks for, and look like a limit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "identity/lookup.h"

PG_FUNCTION_INFO_V1(padlock_check_limit_rule);

/* What padlock_limit_request() is called with. */
static const char *const endpoints[] = {
	"ai_product_ingest", "change_email", "change_password", "company_onboard", "confirm_email",
	"create_api_key", "document_content", "document_put", "document_upload", "list_api_keys",
	"list_sessions", "product_create", "product_search", "product_update", "refresh_session",
	"request_password_reset", "reset_password", "revoke_api_key", "revoke_session",
	"rotate_api_key", "sign_in", "sign_out", "sign_up", "suggest"
};

/* What padlock_limit_account() is called with. */
static const char *const attempts[] = {
	"change_email_mail", "reset_password_mail", "sign_in_failure", "sign_in_failure_anywhere",
	"sign_up_mail"
};

static const char *const callers_of_endpoints[] = {"user", "company", "ip", "admin", "source"};
static const char *const callers_of_attempts[] = {"account", "account_ip"};

static bool
is_among(const char *name, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* The names as a list for people. */
static char *
list(const char *const *names, int count)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < count; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", names[i]);
	return text.data;
}

/* Refuse a caller that is none to this endpoint. */
static void
check_caller(const char *endpoint, const char *caller, const char *const *callers, int count)
{
	if (!is_among(caller, callers, count))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("caller \"%s\" cannot be counted at \"%s\"", caller, endpoint),
				 errhint("Callers are %s.", list(callers, count))));
}

static void
check_rule(const char *endpoint, const char *caller)
{
	if (is_among(endpoint, endpoints, lengthof(endpoints)))
		check_caller(endpoint, caller, callers_of_endpoints, lengthof(callers_of_endpoints));
	else if (is_among(endpoint, attempts, lengthof(attempts)))
		check_caller(endpoint, caller, callers_of_attempts, lengthof(callers_of_attempts));
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not an endpoint that can be limited", endpoint),
				 errhint("Endpoints are %s; attempts on accounts are %s.",
						 list(endpoints, lengthof(endpoints)), list(attempts, lengthof(attempts)))));
}

/*
 * padlock.check_limit_rule() trigger: BEFORE INSERT OR UPDATE FOR EACH ROW on
 * rate_limit_rules.  Errors: 22023 for an unknown endpoint, or a caller that
 * cannot be counted there.
 */
Datum
padlock_check_limit_rule(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	Datum		endpoint;
	Datum		caller;
	bool		no_endpoint;
	bool		no_caller;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("check_limit_rule must be fired BEFORE INSERT OR UPDATE FOR EACH ROW")));

	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	endpoint = padlock_lookup_column(row, RelationGetDescr(trigger->tg_relation), "endpoint", &no_endpoint);
	caller = padlock_lookup_column(row, RelationGetDescr(trigger->tg_relation), "caller", &no_caller);
	/* NULLs are the columns' own affair */
	if (!no_endpoint && !no_caller)
		check_rule(TextDatumGetCString(endpoint), TextDatumGetCString(caller));
	return PointerGetDatum(row);
}
