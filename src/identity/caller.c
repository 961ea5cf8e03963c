/*-------------------------------------------------------------------------
 *
 * caller.c
 *	  Who calls: read from the gateway's settings, once.
 *
 * A gateway sets request.jwt.claims, request.headers and request.path for
 * each transaction.  The record made from them is kept and reused as long as
 * the texts, the outer role and the command counter are the same, and dropped
 * at the end of the transaction.  The command counter is in the key so that a
 * transaction that changes admins or API keys sees its own change; a rollback
 * to a savepoint does not move it, and drops the record too.
 *
 * The tables asked (api_keys, insurance_companies, admin_users) are read by a
 * direct index probe, not through the rights of the caller, who may read none
 * of them.  Nothing here raises an error for what a client wrote: row security
 * policies call it, and a bad setting must mean "nobody", not a broken query.
 *
 * Parallel workers get the same settings and outer role from the server, and
 * so compute the same record.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <math.h>

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/json.h"
#include "identity/api_key.h"
#include "identity/caller.h"
#include "identity/lookup.h"

/* Longest text kept from a header, in bytes. */
#define MAX_TEXT 1000

/* Setting: how many proxies append to x-forwarded-for; 0 ignores the header. */
static int	trusted_proxies = 1;

static bool cached = false;
static PadlockCaller caller;
static MemoryContext caller_context = NULL;

/* What the cached record was made from, in caller_context. */
static Oid	cached_role;
static CommandId cached_command;
static char *cached_claims;
static char *cached_headers;
static char *cached_path;

static void
forget_caller(XactEvent event, void *arg)
{
	cached = false;
}

static void
forget_caller_of_subtransaction(SubXactEvent event, SubTransactionId id,
								SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		cached = false;
}

void
padlock_identity_init(void)
{
	DefineCustomIntVariable("padlock.trusted_proxies",
							"Number of proxies in front of the server that append to x-forwarded-for.",
							"The client's address is that many entries from the right; 0 takes the connection's own address.",
							&trusted_proxies, 1, 0, 10, PGC_SIGHUP, 0, NULL, NULL, NULL);
	RegisterXactCallback(forget_caller, NULL);
	RegisterSubXactCallback(forget_caller_of_subtransaction, NULL);
}

/* A setting's text; "" when it is not set. */
static const char *
setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL ? value : "";
}

static PadlockRole
outer_role(void)
{
	Oid			role = GetOuterUserId();

	if (role == get_role_oid("service_role", true))
		return PADLOCK_ROLE_SERVICE;
	if (role == get_role_oid("authenticated", true))
		return PADLOCK_ROLE_AUTHENTICATED;
	if (role == get_role_oid("anon", true))
		return PADLOCK_ROLE_ANON;
	return PADLOCK_ROLE_OTHER;
}

/* Parse 8-4-4-4-12 hexadecimal digits; false for anything else. */
static bool
parse_uuid(const char *text, pg_uuid_t *uuid)
{
	int			byte = 0;

	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36;)
	{
		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (text[i++] != '-')
				return false;
			continue;
		}
		if (!isxdigit((unsigned char) text[i]) || !isxdigit((unsigned char) text[i + 1]))
			return false;
		uuid->data[byte++] = (unsigned char) strtol((char[]) {text[i], text[i + 1], '\0'}, NULL, 16);
		i += 2;
	}
	return true;
}

/* Has a numeric exp claim passed?  A claim that is no number counts as passed. */
static bool
is_expired(const PadlockJsonMember *exp)
{
	char	   *end;
	double		seconds;

	if (!exp->present)
		return false;
	if (exp->value == NULL)
		return true;
	seconds = strtod(exp->value, &end);
	if (end == exp->value || *end != '\0' || isnan(seconds))
		return true;
	return seconds * USECS_PER_SEC <=
		(double) GetCurrentTimestamp() +
		(double) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (double) USECS_PER_DAY;
}

static void
read_claims(const char *claims)
{
	PadlockJsonMember members[] = {{"sub"}, {"exp"}};

	if (!padlock_json_members(claims, members, lengthof(members)) ||
		members[0].value == NULL || is_expired(&members[1]) ||
		!parse_uuid(members[0].value, &caller.user_id))
		return;
	caller.has_user = true;
	padlock_lookup_admin(&caller.user_id, &caller.is_admin, &caller.is_super_admin);
}

/* A header's text, cut to a bounded number of whole characters, or NULL. */
static const char *
bounded(const char *text)
{
	if (text == NULL || text[0] == '\0')
		return NULL;
	return pnstrdup(text, pg_mbcliplen(text, strlen(text), MAX_TEXT));
}

/* The address itself if text is a valid IPv4 or IPv6 address, else NULL. */
static const char *
valid_address(const char *text)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
		return text;
	return NULL;
}

/*
 * The entry of x-forwarded-for that the outermost trusted proxy wrote: the
 * trusted_proxies'th from the right, or the leftmost of fewer.  Everything
 * further left is whatever the client sent.
 */
static const char *
forwarded_address(const char *header)
{
	char	   *list = pstrdup(header);
	char	   *entry = NULL;

	for (int i = 0; i < trusted_proxies; i++)
	{
		char	   *comma = strrchr(list, ',');

		entry = comma != NULL ? comma + 1 : list;
		if (comma == NULL)
			break;
		if (i + 1 < trusted_proxies)
			*comma = '\0';
	}
	if (entry == NULL)
		return NULL;
	entry += strspn(entry, " \t");
	entry[strcspn(entry, " \t")] = '\0';
	return valid_address(entry);
}

/* The address of the connection itself; NULL on a Unix socket. */
static const char *
connection_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		address;

	if (MyProcPort == NULL)
		return NULL;
	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(fcinfo);
	if (fcinfo->isnull)
		return NULL;
	return DatumGetCString(DirectFunctionCall1(inet_out, address));
}

static void
read_headers(const char *headers)
{
	PadlockJsonMember members[] = {
		{"x-api-key"}, {"x-forwarded-for"}, {"user-agent"}
	};

	(void) padlock_json_members(headers, members, lengthof(members));
	if (members[0].value != NULL)
		caller.has_company = padlock_api_key_verify(members[0].value, &caller.company_id,
													&caller.company_active);
	if (members[1].value != NULL)
		caller.ip_address = forwarded_address(members[1].value);
	if (caller.ip_address == NULL)
		caller.ip_address = connection_address();
	caller.user_agent = bounded(members[2].value);
}

static bool
is_current(const char *claims, const char *headers, const char *path)
{
	return cached && cached_role == GetOuterUserId() &&
		cached_command == GetCurrentCommandId(false) &&
		strcmp(cached_claims, claims) == 0 &&
		strcmp(cached_headers, headers) == 0 &&
		strcmp(cached_path, path) == 0;
}

/* Make the record anew, everything in caller_context. */
static void
read_caller(const char *claims, const char *headers, const char *path)
{
	MemoryContext old;

	if (caller_context == NULL)
		caller_context = AllocSetContextCreate(TopMemoryContext, "padlock caller",
											   ALLOCSET_SMALL_SIZES);
	cached = false;
	MemoryContextReset(caller_context);
	old = MemoryContextSwitchTo(caller_context);

	memset(&caller, 0, sizeof(caller));
	caller.role = outer_role();
	read_claims(claims);
	read_headers(headers);
	caller.request_path = bounded(path);

	cached_role = GetOuterUserId();
	cached_command = GetCurrentCommandId(false);
	cached_claims = pstrdup(claims);
	cached_headers = pstrdup(headers);
	cached_path = pstrdup(path);
	MemoryContextSwitchTo(old);
	cached = true;
}

const PadlockCaller *
padlock_caller(void)
{
	const char *claims = setting("request.jwt.claims");
	const char *headers = setting("request.headers");
	const char *path = setting("request.path");

	if (!is_current(claims, headers, path))
		read_caller(claims, headers, path);
	return &caller;
}

bool
padlock_caller_is_privileged(void)
{
	const PadlockCaller *c = padlock_caller();

	return c->is_admin || c->role == PADLOCK_ROLE_SERVICE;
}

char *
padlock_request_header(const char *name)
{
	PadlockJsonMember member = {name};

	(void) padlock_json_members(setting("request.headers"), &member, 1);
	return member.value;
}
