/*-------------------------------------------------------------------------
 *
 * rules.c
 *	  Limits of the endpoints: who is counted as one caller, and how much he
 *	  may do.
 *
 * The rules are rows of rate_limit_rules, read by an index probe at every
 * request, so that a change acts on the next one.  A row for a company wins
 * over the row for all.  A rule says what a caller is to its endpoint; where
 * the caller is not known that way, his address counts.
 *
 * Header fields: RateLimit and RateLimit-Policy of the IETF's draft
 * "RateLimit header fields for HTTP", Retry-After of RFC 9110.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "core/errors.h"
#include "core/spi.h"
#include "identity/caller.h"
#include "identity/lookup.h"
#include "limits/limits.h"
#include "limits/table.h"

#define RULES_TABLE	"rate_limit_rules"
#define RULES_INDEX	"rate_limit_rules_endpoint_company_id_key"

typedef struct LimitRule
{
	char	   *caller;			/* user, company, ip, admin, source, account, account_ip */
	int32		max_requests;
	int32		window_minutes;
} LimitRule;

static int32
integer_column(HeapTuple row, TupleDesc desc, const char *column)
{
	bool		isnull;

	return DatumGetInt32(padlock_lookup_column(row, desc, column, &isnull));
}

static void
read_rule(HeapTuple row, TupleDesc desc, LimitRule *rule)
{
	bool		isnull;

	rule->caller = TextDatumGetCString(padlock_lookup_column(row, desc, "caller", &isnull));
	rule->max_requests = integer_column(row, desc, "max_requests");
	rule->window_minutes = integer_column(row, desc, "window_minutes");
}

/* Find the rule of an endpoint for one company, or for all (NULL). */
static bool
find_rule(Relation rel, Oid index_id, const char *endpoint, const pg_uuid_t *company_id,
		  LimitRule *rule)
{
	Snapshot	snapshot = RegisterSnapshot(ActiveSnapshotSet() ? GetActiveSnapshot()
											: GetTransactionSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&keys[0], get_attnum(RelationGetRelid(rel), "endpoint"), BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(endpoint));
	keys[0].sk_collation = DEFAULT_COLLATION_OID;
	ScanKeyEntryInitialize(&keys[1], company_id == NULL ? SK_ISNULL | SK_SEARCHNULL : 0,
						   get_attnum(RelationGetRelid(rel), "company_id"),
						   company_id == NULL ? InvalidStrategy : BTEqualStrategyNumber,
						   InvalidOid, InvalidOid,
						   company_id == NULL ? InvalidOid : F_UUID_EQ,
						   company_id == NULL ? (Datum) 0 : UUIDPGetDatum(company_id));
	scan = systable_beginscan(rel, index_id, true, snapshot, 2, keys);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		read_rule(row, RelationGetDescr(rel), rule);
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	return HeapTupleIsValid(row);
}

/* The rule that holds for this caller at an endpoint; false for none. */
static bool
rule_for(const char *endpoint, LimitRule *rule)
{
	const PadlockCaller *caller = padlock_caller();
	Oid			index_id = get_relname_relid(RULES_INDEX, padlock_client_schema());
	Relation	rel;
	bool		found;

	if (!OidIsValid(index_id))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("index \"%s\" does not exist", RULES_INDEX),
				 errhint("Run SELECT padlock.install() as the owner of the extension.")));
	rel = table_open(padlock_client_table(RULES_TABLE), AccessShareLock);
	found = (caller->has_company && find_rule(rel, index_id, endpoint, &caller->company_id, rule)) ||
		find_rule(rel, index_id, endpoint, NULL, rule);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * An address as one caller: an IPv6 /64 is what one subscriber gets, and an
 * IPv4-mapped address is the IPv4 one.
 */
static char *
address_identifier(const char *address)
{
	struct in6_addr bits;
	char		text[INET6_ADDRSTRLEN];

	if (address == NULL)
		return pstrdup("ip:unknown");
	if (inet_pton(AF_INET6, address, &bits) != 1)
		return psprintf("ip:%s", address);
	if (IN6_IS_ADDR_V4MAPPED(&bits))
		return psprintf("ip:%s", inet_ntop(AF_INET, &bits.s6_addr[12], text, sizeof(text)));
	memset(&bits.s6_addr[8], 0, 8);
	return psprintf("ip:%s/64", inet_ntop(AF_INET6, &bits, text, sizeof(text)));
}

/* Who is counted; NULL when it is nobody whom a gateway let in. */
static char *
caller_identifier(const char *kind)
{
	const PadlockCaller *caller = padlock_caller();

	if (caller->has_company && strcmp(kind, "company") == 0)
		return psprintf("company:%s",
						DatumGetCString(DirectFunctionCall1(uuid_out,
															UUIDPGetDatum(&caller->company_id))));
	/* where companies are counted, an admin who acts for one counts as himself */
	if (caller->has_user && (strcmp(kind, "user") == 0 || strcmp(kind, "admin") == 0 ||
							 strcmp(kind, "company") == 0))
		return psprintf("%s:%s", strcmp(kind, "admin") == 0 ? "admin" : "user",
						DatumGetCString(DirectFunctionCall1(uuid_out,
															UUIDPGetDatum(&caller->user_id))));
	/* where low roles run SQL of their own, they also choose whether they look like a gateway */
	if (caller->ip_address == NULL && !padlock_behind_gateway() && !padlock_identity_by_token())
		return NULL;
	return address_identifier(caller->ip_address);
}

static int64
seconds(int64 microseconds)
{
	return (microseconds + 999999) / 1000000;
}

/* Refuse with 429; endpoints' names need no quoting. */
static void
refuse(const char *endpoint, const LimitRule *rule, const LimitAnswer *answer)
{
	int64		wait = Max(seconds(answer->retry_after), 1);

	padlock_http_error_headers(
		429, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
		psprintf("rate limit of %s exceeded", endpoint),
		psprintf("The limit is %d in %d minutes; the next request is allowed in " INT64_FORMAT " seconds.",
				 rule->max_requests, rule->window_minutes, wait),
		psprintf("Wait " INT64_FORMAT " seconds, then try again.", wait),
		psprintf("{\"Retry-After\": \"" INT64_FORMAT "\","
				 " \"RateLimit\": \"\\\"%s\\\";r=0;t=" INT64_FORMAT "\","
				 " \"RateLimit-Policy\": \"\\\"%s\\\";q=%d;w=%d\"}",
				 wait, endpoint, wait, endpoint, rule->max_requests, rule->window_minutes * 60));
}

/* Tell an admitted caller where he stands. */
static void
inform(const char *endpoint, const LimitRule *rule, const LimitAnswer *answer)
{
	if (padlock_behind_gateway())
		padlock_http_headers(
			psprintf("[{\"RateLimit\": \"\\\"%s\\\";r=%u;t=" INT64_FORMAT "\"},"
					 " {\"RateLimit-Policy\": \"\\\"%s\\\";q=%d;w=%d\"}]",
					 endpoint, answer->remaining, seconds(answer->reset), endpoint,
					 rule->max_requests, rule->window_minutes * 60));
}

void
padlock_limit_request(const char *endpoint)
{
	LimitRule	rule;
	LimitKey	key;
	LimitAnswer answer;
	char	   *identifier;

	if (!limits_are_attached())
		padlock_require_preload("the rate limiter");
	if (padlock_caller()->role == PADLOCK_ROLE_SERVICE || !rule_for(endpoint, &rule))
		return;
	identifier = caller_identifier(rule.caller);
	if (identifier == NULL)
		return;

	limits_make_key(&key, identifier, strlen(identifier), endpoint, strlen(endpoint),
					rule.window_minutes);
	limits_check(&key, rule.max_requests, &answer);
	if (!answer.admitted)
		refuse(endpoint, &rule, &answer);
	inform(endpoint, &rule, &answer);
}

/* The counter of attempts on an account. */
static void
account_key(LimitKey *key, const char *attempt, const char *address, const LimitRule *rule)
{
	char	   *identifier = psprintf("account:%s", address);

	if (strcmp(rule->caller, "account_ip") == 0)
		identifier = psprintf("%s %s", identifier, address_identifier(padlock_caller()->ip_address));

	limits_make_key(key, identifier, strlen(identifier), attempt, strlen(attempt),
					rule->window_minutes);
}

void
padlock_limit_account(const char *attempt, const char *address)
{
	LimitRule	rule;
	LimitKey	key;
	LimitAnswer answer;

	if (!limits_are_attached())
		padlock_require_preload("the rate limiter");
	if (!rule_for(attempt, &rule))
		return;
	account_key(&key, attempt, address, &rule);
	limits_check(&key, rule.max_requests, &answer);
	if (!answer.admitted)
		refuse(attempt, &rule, &answer);
}

/* The counter of attempts on an account; false when there is no such limit. */
static bool
find_account_key(LimitKey *key, const char *attempt, const char *address)
{
	LimitRule	rule;

	if (!limits_are_attached() || !rule_for(attempt, &rule))
		return false;
	account_key(key, attempt, address, &rule);
	return true;
}

void
padlock_forget_account(const char *attempt, const char *address)
{
	LimitKey	key;

	if (find_account_key(&key, attempt, address))
		(void) limits_reset(&key);
}

void
padlock_give_back_account(const char *attempt, const char *address)
{
	LimitKey	key;

	if (find_account_key(&key, attempt, address))
		limits_give_back(&key);
}
