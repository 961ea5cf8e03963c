/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  Checks the audit trail against its seals.
 *
 * One statement, so that seals and rows are seen at one moment; it reads all
 * of both, writes nothing, and so runs on a replica too.  The chain of seals
 * (seal.c) is checked by itself, each seal against the one before it, so that
 * a changed seal is reported once.  Then the rows that the seals list are
 * joined with the rows that there are.
 *
 * A row may be gone with its month: rows older than the oldest monthly
 * partition are reported as retired, not as missing.  A row may have been
 * erased, if the trail itself says so: an erasure leaves a row with action
 * ERASE, the time that stands in erased_at, and the number of rows it erased
 * (padlock_audit_erase_user()), which is sealed with it.  That number is gone
 * when who called it is erased in turn.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "fmgr.h"
#include "funcapi.h"
#include "tcop/dest.h"
#include "utils/builtins.h"

#include "audit/seal.h"
#include "core/spi.h"
#include "identity/digest.h"

PG_FUNCTION_INFO_V1(padlock_audit_verify);
PG_FUNCTION_INFO_V1(padlock_audit_head);

/* A head is the seal's number, a colon and its digest in hexadecimal. */
typedef struct KnownHead
{
	int64		number;
	bytea	   *digest;
} KnownHead;

/* $1, $2: number and digest of the head that the caller knows, or NULL. */
static const char verification[] =
"WITH seals AS MATERIALIZED ("
"  SELECT *, coalesce(lag(number) OVER by_number, 0) AS number_before,"
"         lag(digest) OVER by_number AS digest_before,"
"         coalesce(lag(closed_until) OVER by_number, '-infinity') AS closed_before"
"    FROM padlock.audit_seals WINDOW by_number AS (ORDER BY number)),"
" listed AS ("
"  SELECT s.number, s.closed_before, e.created_at, e.id, e.digest"
"    FROM seals AS s, padlock.audit_entries(s.entries) AS e),"
" erasures AS MATERIALIZED ("
"  SELECT created_at"
"    FROM (SELECT created_at, count(*) = count(new_values) AS counted,"
"                 sum(CASE WHEN jsonb_typeof(new_values -> 'rows') = 'number'"
"                     THEN (new_values -> 'rows')::numeric END) AS rows"
"            FROM @app@.audit_logs WHERE action = 'ERASE' GROUP BY 1) AS noted"
"    LEFT JOIN (SELECT erased_at, count(*) AS rows"
"                 FROM @app@.audit_logs WHERE erased_at IS NOT NULL GROUP BY 1) AS there"
"      ON erased_at = created_at"
"   WHERE NOT counted OR coalesce(there.rows, 0) <= noted.rows),"
" bounds AS MATERIALIZED ("
"  SELECT (SELECT max(closed_until) FROM seals) AS closed_until,"
"         min(to_timestamp(right(relname, 7) || ' +00', 'YYYY_MM TZH')) AS oldest_month"
"    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
"   WHERE inhparent = '@app@.audit_logs'::regclass AND relname ~ '^audit_logs_\\d{4}_\\d{2}$'),"
" found AS ("
"  SELECT a.created_at, a.id, a.erased_at,"
"         num_nonnulls(a.erased_at, a.personal_digest) = 0 AS whole, " AUDIT_ROW_DIGEST " AS digest"
"    FROM @app@.audit_logs AS a),"
" compared AS MATERIALIZED ("
"  SELECT CASE WHEN l.number IS NULL AND f.created_at < (SELECT closed_until FROM bounds)"
"                THEN 'inserted'"
"              WHEN l.number IS NULL THEN 'unsealed'"
"              WHEN f.id IS NULL AND l.created_at < (SELECT oldest_month FROM bounds)"
"                THEN 'retired'"
"              WHEN f.id IS NULL THEN 'missing'"
"              WHEN f.digest <> l.digest THEN 'altered'"
"              WHEN f.whole AND l.created_at < l.closed_before THEN 'late'"
"              WHEN f.whole THEN 'intact'"
"              WHEN f.erased_at IN (SELECT created_at FROM erasures) THEN 'erased'"
"              ELSE 'altered' END AS state,"
"         l.number, coalesce(l.created_at, f.created_at) AS created_at, coalesce(l.id, f.id) AS id"
"    FROM listed AS l FULL JOIN found AS f ON f.created_at = l.created_at AND f.id = l.id),"
" judged AS ("
"  SELECT state IN ('intact', 'erased', 'late', 'retired', 'unsealed') AS ok, * FROM compared)"
" SELECT ok, state, count(*) AS rows, CASE WHEN NOT ok THEN number END AS seal,"
"        CASE WHEN NOT ok THEN created_at END AS created_at, CASE WHEN NOT ok THEN id END AS id"
"   FROM judged GROUP BY 1, 2, 4, 5, 6"
" UNION ALL"
" SELECT false, 'seal missing', NULL, generate_series(number_before + 1, number - 1), NULL, NULL"
"   FROM seals"
" UNION ALL"
" SELECT false, 'seal altered', row_count, number, NULL, NULL FROM seals AS s"
"  WHERE number = number_before + 1 AND digest <> " AUDIT_SEAL_DIGEST("s.digest_before")
" UNION ALL"
" SELECT false, 'rewritten', NULL, $1, NULL, NULL"
"  WHERE $1 IS NOT NULL AND NOT EXISTS (SELECT FROM seals WHERE number = $1 AND digest = $2)"
" ORDER BY 1, 4, 5, 6, 2";

/* Read what padlock.audit_head() gave; 22023 for anything else. */
static KnownHead
parse_head(const char *text)
{
	KnownHead	head;
	char	   *end;
	int			length = -1;

	errno = 0;
	head.number = strtoi64(text, &end, 10);
	head.digest = palloc(VARHDRSZ + SHA256_LENGTH);
	SET_VARSIZE(head.digest, VARHDRSZ + SHA256_LENGTH);
	if (errno == 0 && text[0] >= '1' && text[0] <= '9' && *end == ':' &&
		strlen(end + 1) == 2 * SHA256_LENGTH &&
		strspn(end + 1, "0123456789abcdef") == 2 * SHA256_LENGTH)
		length = hex_decode(end + 1, 2 * SHA256_LENGTH, VARDATA(head.digest));
	if (length != SHA256_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("head is not what padlock.audit_head() gives"),
				 errdetail("It is a number, a colon and 64 hexadecimal digits.")));
	return head;
}

/* The parameters of the verification: the head that is known, or NULLs. */
static ParamListInfo
make_parameters(const KnownHead *head)
{
	ParamListInfo params = makeParamList(2);

	params->params[0].ptype = INT8OID;
	params->params[1].ptype = BYTEAOID;
	params->params[0].isnull = params->params[1].isnull = (head == NULL);
	params->params[0].pflags = params->params[1].pflags = PARAM_FLAG_CONST;
	if (head != NULL)
	{
		params->params[0].value = Int64GetDatum(head->number);
		params->params[1].value = PointerGetDatum(head->digest);
	}
	return params;
}

/*
 * padlock.audit_verify(head text DEFAULT NULL) returns setof (ok boolean,
 * state text, rows bigint, seal bigint, created_at timestamptz, id uuid): what
 * the audit trail is worth.  With ok one row a state, with the number of rows
 * in it; without, one row a problem.  head: what padlock.audit_head() gave at
 * an earlier time and was kept elsewhere.  22023 when it is not such.
 */
Datum
padlock_audit_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPIExecuteOptions options = {.read_only = true};
	PadlockUserContext saved;
	KnownHead	head;

	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0))
		head = parse_head(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	options.params = make_parameters(PG_ARGISNULL(0) ? NULL : &head);
	options.dest = CreateDestReceiver(DestTuplestore);
	SetTuplestoreDestReceiverParams(options.dest, result->setResult,
									result->econtext->ecxt_per_query_memory, false, NULL, NULL);

	/* as the owner: EXECUTE is the right to see it */
	padlock_become_owner(&saved);
	SPI_connect();
	SPI_execute_extended(padlock_sql(verification), &options);
	SPI_finish();
	padlock_restore_user(&saved);
	return (Datum) 0;
}

/*
 * padlock.audit_head() returns text: the newest seal, short enough to be kept
 * elsewhere; NULL before the first.
 */
Datum
padlock_audit_head(PG_FUNCTION_ARGS)
{
	static PadlockStatement newest = {
		.sql = "SELECT number || ':' || encode(digest, 'hex') FROM padlock.audit_seals"
		" ORDER BY number DESC LIMIT 1"
	};
	PadlockUserContext saved;
	Datum		head = (Datum) 0;
	bool		isnull = true;

	padlock_become_owner(&saved);
	SPI_connect();
	if (padlock_spi_execute(&newest, NULL, NULL, true) > 0)
		head = padlock_spi_datum(0, 1, &isnull);
	SPI_finish();
	padlock_restore_user(&saved);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(head);
}
