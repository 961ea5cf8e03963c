/*-------------------------------------------------------------------------
 *
 * caller.c
 *	  Who calls: read from settings, once.
 *
 * A gateway sets request.jwt.claims, request.headers and request.path for
 * each transaction; padlock.authenticate() sets padlock.token_claims or
 * padlock.token_api_key, which only superusers can set and which win over
 * what a gateway said.  With padlock.identity = 'token' the gateway's settings
 * count for nothing: they are those of whoever can run SQL.
 *
 * The record made from them is kept and reused as long as
 * the texts, the outer role and the command counter are the same, and dropped
 * at the end of the transaction.  The command counter is in the key so that a
 * transaction that changes admins or API keys sees its own change; a rollback
 * to a savepoint does not move it, and drops the record too.
 *
 * The tables asked (api_keys, sessions, insurance_companies) are read by a
 * direct index probe, and admin_users by one scan for many questions, not
 * through the rights of the caller, who may read none of them.  Nothing here
 * raises an error for what a client wrote: row security policies call it, and a
 * bad setting must mean "nobody", not a broken query.
 *
 * Parallel workers get the same settings and outer role from the server, and
 * so compute the same record.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "core/json.h"
#include "identity/api_key.h"
#include "identity/api_key_use.h"
#include "identity/caller.h"
#include "identity/jwt_internal.h"
#include "identity/lookup.h"
#include "identity/webhook.h"

/* Longest text kept from a header, in bytes. */
#define MAX_TEXT 1000

/* Setting: how many proxies append to x-forwarded-for; 0 ignores the header. */
static int	trusted_proxies = 1;

/* Whose word counts: the gateway's too, or that of padlock.authenticate() only. */
enum
{
	IDENTITY_GATEWAY, IDENTITY_TOKEN
};

static const struct config_enum_entry identity_modes[] = {
	{"gateway", IDENTITY_GATEWAY, false},
	{"token", IDENTITY_TOKEN, false},
	{NULL, 0, false}
};

static int	identity_mode = IDENTITY_GATEWAY;

/* What padlock.authenticate() verified in this transaction, or "". */
static char *verified_claims;
static char *verified_key;

/* What a record is made from; "" for what there is not. */
typedef struct Sources
{
	const char *claims;
	const char *key;			/* an API key that counts before the headers' */
	const char *headers;
	const char *path;
} Sources;

static bool cached = false;
static PadlockCaller caller;
static MemoryContext caller_context = NULL;

/* What the cached record was made from, in caller_context. */
static Oid	cached_role;
static CommandId cached_command;
static Sources cached_sources;

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

/*
 * A setting that padlock.authenticate() sets and nobody else: for superusers
 * only, and not to be found in files, lists or RESET ALL.
 */
static void
define_verified(const char *name, const char *description, char **variable)
{
	DefineCustomStringVariable(name, description, NULL, variable, "", PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NO_RESET_ALL | GUC_NOT_IN_SAMPLE |
							   GUC_DISALLOW_IN_FILE | GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
}

void
padlock_identity_init(void)
{
	DefineCustomIntVariable("padlock.trusted_proxies",
							"Number of proxies in front of the server that append to x-forwarded-for.",
							"The client's address is that many entries from the right; 0 takes the connection's own address.",
							&trusted_proxies, 1, 0, 10, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("padlock.identity",
							 "Who says who calls: the gateway, or tokens only.",
							 "With token, only padlock.authenticate() makes a caller; request.* settings are not believed.",
							 &identity_mode, IDENTITY_GATEWAY, identity_modes, PGC_SUSET,
							 GUC_NO_RESET_ALL,
							 NULL, NULL, NULL);
	define_verified(PADLOCK_VERIFIED_CLAIMS, "Claims of the token verified in this transaction.",
					&verified_claims);
	define_verified(PADLOCK_VERIFIED_KEY, "API key verified in this transaction.", &verified_key);
	jwt_keys_init();
	RegisterXactCallback(forget_caller, NULL);
	RegisterSubXactCallback(forget_caller_of_subtransaction, NULL);
	padlock_admin_list_init();
	padlock_api_key_use_init();
	padlock_webhook_init();
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
	PadlockRole role = PADLOCK_ROLE_OTHER;
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetOuterUserId()));
	const char *name;

	if (!HeapTupleIsValid(tuple))
		return role;
	name = NameStr(((Form_pg_authid) GETSTRUCT(tuple))->rolname);
	if (strcmp(name, "service_role") == 0)
		role = PADLOCK_ROLE_SERVICE;
	else if (strcmp(name, "authenticated") == 0)
		role = PADLOCK_ROLE_AUTHENTICATED;
	else if (strcmp(name, "anon") == 0)
		role = PADLOCK_ROLE_ANON;
	ReleaseSysCache(tuple);
	return role;
}

/* What a hexadecimal digit is worth; -1 for any other character. */
static int
hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 'a' ^ 'A';
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
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
		if (hex_value(text[i]) < 0 || hex_value(text[i + 1]) < 0)
			return false;
		uuid->data[byte++] = (unsigned char) (hex_value(text[i]) << 4 | hex_value(text[i + 1]));
		i += 2;
	}
	return true;
}

/* Has the exp claim's time come?  A claim that is no number counts as passed. */
static bool
is_expired(const PadlockJsonMember *exp)
{
	double		seconds;

	if (!exp->present)
		return false;
	return !jwt_read_time(exp, &seconds) || seconds <= jwt_now();
}

/*
 * Is the session over?  Sessions are of tokens that padlock signed; a foreign
 * issuer's session_id names something of that issuer's.
 */
static bool
session_has_ended(const PadlockJsonMember *issuer, const PadlockJsonMember *session_id,
				  const pg_uuid_t *user_id)
{
	if (issuer->value == NULL || strcmp(issuer->value, PADLOCK_TOKEN_ISSUER) != 0)
		return false;
	caller.has_session = session_id->value != NULL &&
		parse_uuid(session_id->value, &caller.session_id) &&
		padlock_lookup_session(&caller.session_id, user_id);
	return !caller.has_session;
}

/* Take the user from the claims; what is wrong with them otherwise. */
static PadlockProblem
read_claims(const char *claims)
{
	enum
	{
		SUB, EXP, ROLE, ISS, SESSION_ID
	};
	PadlockJsonMember members[] = {{"sub"}, {"exp"}, {"role"}, {"iss"}, {"session_id"}};
	bool		is_needed = caller.role == PADLOCK_ROLE_AUTHENTICATED;
	pg_uuid_t	user_id;

	if (claims[0] == '\0')
		return is_needed ? PADLOCK_BAD_CLAIMS : PADLOCK_NO_PROBLEM;
	if (!padlock_json_members(claims, members, lengthof(members)))
		return PADLOCK_BAD_CLAIMS;
	if (is_expired(&members[EXP]))
		return PADLOCK_EXPIRED;
	/* a visitor is nobody, whatever else his claims say */
	if (caller.role == PADLOCK_ROLE_ANON ||
		(members[ROLE].value != NULL && strcmp(members[ROLE].value, "anon") == 0))
		return PADLOCK_NO_PROBLEM;
	if (members[SUB].value == NULL || !parse_uuid(members[SUB].value, &user_id))
		return is_needed ? PADLOCK_BAD_CLAIMS : PADLOCK_NO_PROBLEM;
	if (session_has_ended(&members[ISS], &members[SESSION_ID], &user_id))
		return PADLOCK_SESSION_ENDED;
	caller.has_user = true;
	caller.user_id = user_id;
	padlock_lookup_admin(&user_id, &caller.is_admin, &caller.is_super_admin);
	return PADLOCK_NO_PROBLEM;
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

static PadlockProblem
read_key(const char *key)
{
	PadlockKeyHolder holder = {{{0}}};

	caller.key_state = padlock_api_key_verify(key, &holder);
	caller.key_expires_at = holder.expires_at;
	if (caller.key_state != PADLOCK_KEY_LIVE)
		return PADLOCK_BAD_KEY;
	caller.has_company = true;
	caller.company_id = holder.company_id;
	caller.company_active = holder.company_active;
	return PADLOCK_NO_PROBLEM;
}

/* Take company, address and user agent; what is wrong with the headers, or the key. */
static PadlockProblem
read_headers(const Sources *sources)
{
	PadlockJsonMember members[] = {
		{"x-api-key"}, {"x-forwarded-for"}, {"user-agent"}
	};
	bool		well_formed = padlock_json_members(sources->headers, members, lengthof(members));
	PadlockProblem problem = PADLOCK_NO_PROBLEM;

	if (sources->key[0] != '\0')
		problem = read_key(sources->key);
	else if (members[0].present)
		problem = members[0].value != NULL ? read_key(members[0].value) : PADLOCK_BAD_KEY;
	if (members[1].value != NULL)
		caller.ip_address = forwarded_address(members[1].value);
	if (caller.ip_address == NULL)
		caller.ip_address = connection_address();
	caller.user_agent = bounded(members[2].value);
	return well_formed || sources->headers[0] == '\0' ? problem : PADLOCK_BAD_HEADERS;
}

/* What may be believed in this transaction. */
static void
find_sources(Sources *sources)
{
	bool		trusting = !padlock_identity_by_token();

	sources->key = verified_key;
	sources->claims = verified_claims;
	if (trusting && verified_claims[0] == '\0')
		sources->claims = setting("request.jwt.claims");
	sources->headers = trusting ? setting("request.headers") : "";
	sources->path = trusting ? setting("request.path") : "";
}

static bool
is_current(const Sources *sources)
{
	return cached && cached_role == GetOuterUserId() &&
		cached_command == GetCurrentCommandId(false) &&
		strcmp(cached_sources.claims, sources->claims) == 0 &&
		strcmp(cached_sources.key, sources->key) == 0 &&
		strcmp(cached_sources.headers, sources->headers) == 0 &&
		strcmp(cached_sources.path, sources->path) == 0;
}

/* Make the record anew, everything in caller_context. */
static void
read_caller(const Sources *sources)
{
	MemoryContext old;
	PadlockProblem problem;

	if (caller_context == NULL)
		caller_context = AllocSetContextCreate(TopMemoryContext, "padlock caller",
											   ALLOCSET_SMALL_SIZES);
	cached = false;
	MemoryContextReset(caller_context);
	old = MemoryContextSwitchTo(caller_context);

	memset(&caller, 0, sizeof(caller));
	caller.role = outer_role();
	problem = read_claims(sources->claims);
	caller.problem = read_headers(sources);
	if (caller.problem != PADLOCK_BAD_HEADERS && problem != PADLOCK_NO_PROBLEM)
		caller.problem = problem;
	caller.request_path = bounded(sources->path);

	cached_role = GetOuterUserId();
	cached_command = GetCurrentCommandId(false);
	cached_sources.claims = pstrdup(sources->claims);
	cached_sources.key = pstrdup(sources->key);
	cached_sources.headers = pstrdup(sources->headers);
	cached_sources.path = pstrdup(sources->path);
	MemoryContextSwitchTo(old);
	cached = true;
}

const PadlockCaller *
padlock_caller(void)
{
	Sources		sources;

	find_sources(&sources);
	if (!is_current(&sources))
		read_caller(&sources);
	return &caller;
}

bool
padlock_caller_is_privileged(void)
{
	const PadlockCaller *c = padlock_caller();

	return c->is_admin || c->role == PADLOCK_ROLE_SERVICE;
}

bool
padlock_identity_by_token(void)
{
	return identity_mode == IDENTITY_TOKEN;
}

char *
padlock_request_header(const char *name)
{
	PadlockJsonMember member = {name};

	(void) padlock_json_members(setting("request.headers"), &member, 1);
	return member.value;
}
