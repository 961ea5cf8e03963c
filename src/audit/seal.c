/*-------------------------------------------------------------------------
 *
 * seal.c
 *	  Tamper evidence for the audit trail: rows are sealed in batches.
 *
 * A seal is a row of padlock.audit_seals.  It lists the rows that it covers,
 * each with its time, id and digest (seal_digest.c), and has a digest of its
 * own over the list and over the digest of the seal before it.  So nothing
 * that is sealed can be changed, removed or put in another place without
 * changing every later seal too, and whoever keeps the newest digest elsewhere
 * (padlock.audit_head()) finds that as well.  verify.c checks it.
 *
 * Rows become visible when their transaction commits and bear the time of its
 * start, so their times do not tell which are new.  A seal therefore takes
 * each row that it sees and that no earlier seal lists, from closed_until of
 * the seal before it on.  closed_until is a time before which every
 * transaction has ended that could still add rows: all rows from before it are
 * sealed, and one that turns up later bears a false time.  It stays unsealed,
 * which padlock.audit_verify() reports, until somebody who has looked into it
 * calls padlock.audit_seal(include_late => true).  A prepared transaction does
 * not tell its start, so closed_until stands still while there is one.
 *
 * A batch has up to BATCH_ROWS rows, in the order of time and id, and the next
 * of a run goes on where it ended.  A run keeps the time that it found settled
 * when it began, since rows may come behind it: they bear a later time.
 *
 * Everything is in tables, and a batch is one transaction in the workers: a
 * crash loses no seal that was committed and leaves no half of one.  The next
 * run starts from closed_until.
 *
 * Locking contract: who seals holds ShareRowExclusiveLock on
 * padlock.audit_seals to the end of the transaction, so there is one at a
 * time.  Nobody who writes to the trail needs that lock, and erasures, which
 * leave a row's digest as it is, do not either.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "audit/audit.h"
#include "audit/seal.h"
#include "core/spi.h"

PG_FUNCTION_INFO_V1(padlock_audit_seal);

/* Rows of one seal: 2.8 MB of entries. */
#define BATCH_ROWS		50000

/*
 * A transaction's time is taken a moment before others can see it, and clocks
 * are set back a little at times.
 */
#define MARGIN_USECS	(60 * USECS_PER_SEC)

/* An idle trail is closed once a day, so that nothing can be dated into its past. */
#define CLOSING_USECS	USECS_PER_DAY

int			padlock_audit_seal_interval = 60;

/* The newest seal, and what a new one would close. */
typedef struct Head
{
	int64		number;			/* 0 when there is none, and the rest is unset */
	Datum		digest;
	TimestampTz sealed_at;
	int32		row_count;
	TimestampTz closed_until;
	TimestampTz last_created_at;	/* of all seals' rows */
	TimestampTz settled;
} Head;

/* A seal in the making. */
typedef struct Batch
{
	int32		row_count;
	Datum		first_created_at;	/* unset when row_count is 0 */
	Datum		last_created_at;
	Datum		entries;
} Batch;

void
padlock_audit_init(void)
{
	DefineCustomIntVariable("padlock.audit_seal_interval",
							"Time between two seals of the audit trail.",
							"0 leaves sealing to padlock.audit_seal().",
							&padlock_audit_seal_interval, 60, 0, 24 * 60 * 60,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

/* When the transaction that a session is in began, at the earliest; 0 for none. */
static TimestampTz
transaction_start(const PgBackendStatus *session)
{
	if (session->st_backendType != B_BACKEND && session->st_backendType != B_BG_WORKER)
		return 0;
	/* without track_activities it does not tell */
	if (session->st_state == STATE_DISABLED)
		return session->st_proc_start_timestamp;
	return session->st_xact_start_timestamp;
}

/*
 * A time before the start of every transaction of this database that could
 * still add rows, prepared ones aside.
 */
static TimestampTz
running_since(void)
{
	TimestampTz oldest = GetCurrentTimestamp();
	int			count;

	pgstat_clear_backend_activity_snapshot();
	count = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= count; i++)
	{
		const PgBackendStatus *session = &pgstat_fetch_stat_local_beentry(i)->backendStatus;
		TimestampTz start = transaction_start(session);

		if (session->st_databaseid == MyDatabaseId && start != 0)
			oldest = Min(oldest, start);
	}
	return oldest - MARGIN_USECS;
}

/* Take the lock, see the head of this file; without waiting, false if another has it. */
static bool
lock_seals(bool wait)
{
	Oid			relid = get_relname_relid("audit_seals", get_namespace_oid("padlock", false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"audit_seals\" of padlock does not exist"),
				 errhint("Run SELECT padlock.install() as the owner of the extension.")));
	if (!wait)
		return ConditionalLockRelationOid(relid, ShareRowExclusiveLock);
	LockRelationOid(relid, ShareRowExclusiveLock);
	return true;
}

static TimestampTz
time_column(int column, TimestampTz missing)
{
	bool		isnull;
	Datum		value = padlock_spi_datum(0, column, &isnull);

	return isnull ? missing : DatumGetTimestampTz(value);
}

/*
 * Read the newest seal.  Sessions are looked at before prepared transactions:
 * a transaction becomes prepared, never the other way.
 */
static void
read_head(Head *head)
{
	static PadlockStatement newest = {
		.sql = "SELECT s.number, s.digest, s.sealed_at, s.row_count, s.closed_until,"
		"       (SELECT max(last_created_at) FROM padlock.audit_seals),"
		"       EXISTS (SELECT FROM pg_prepared_xact() p JOIN pg_database d ON d.oid = p.dbid"
		"                WHERE d.datname = current_database())"
		"  FROM (SELECT) AS one LEFT JOIN"
		"       (SELECT * FROM padlock.audit_seals ORDER BY number DESC LIMIT 1) AS s ON true"
	};
	TimestampTz running = running_since();
	bool		isnull;

	padlock_spi_execute(&newest, NULL, NULL, false);
	memset(head, 0, sizeof(*head));
	head->number = DatumGetInt64(padlock_spi_datum(0, 1, &isnull));
	head->digest = padlock_spi_datum(0, 2, &isnull);
	head->sealed_at = time_column(3, 0);
	head->row_count = DatumGetInt32(padlock_spi_datum(0, 4, &isnull));
	head->closed_until = time_column(5, DT_NOBEGIN);
	head->last_created_at = time_column(6, DT_NOBEGIN);
	head->settled = head->closed_until;
	if (!DatumGetBool(padlock_spi_datum(0, 7, &isnull)))
		head->settled = Max(running, head->closed_until);
}

/*
 * Begin a run after the newest seal.  The mark is just before the first row
 * that could be unsealed.
 */
static void
begin_run(PadlockSealRun *run, const Head *head, bool include_late)
{
	run->base = run->number = head->number;
	run->settled = head->settled;
	if (include_late || head->closed_until == DT_NOBEGIN)
	{
		run->mark_time = DT_NOBEGIN;
		memset(run->mark_id.data, 0x00, UUID_LEN);
	}
	else
	{
		run->mark_time = head->closed_until - 1;
		memset(run->mark_id.data, 0xff, UUID_LEN);
	}
}

/* Collect the first rows after the run's mark that no seal before the run lists. */
static void
collect(const PadlockSealRun *run, Batch *batch)
{
	static PadlockStatement unsealed = {
		.sql = "SELECT count(*)::integer, min(created_at), max(created_at),"
		"       coalesce(string_agg(timestamptz_send(created_at) || uuid_send(id) || digest,"
		"                           ''::bytea), ''::bytea)"
		"  FROM (SELECT a.created_at, a.id, " AUDIT_ROW_DIGEST " AS digest"
		"          FROM @app@.audit_logs AS a"
		"          LEFT JOIN (SELECT e.created_at, e.id, true AS sealed"
		"                       FROM padlock.audit_seals AS s, padlock.audit_entries(s.entries) AS e"
		"                      WHERE s.number <= $3 AND s.last_created_at >= $1) AS e"
		"            ON e.created_at = a.created_at AND e.id = a.id"
		"         WHERE a.created_at >= $1 AND (a.created_at, a.id) > ($1, $2) AND e.sealed IS NULL"
		"         ORDER BY a.created_at, a.id LIMIT $4) AS batch",
		.nargs = 4,
		.argtypes = {TIMESTAMPTZOID, UUIDOID, INT8OID, INT4OID}
	};
	Datum		values[4] = {
		TimestampTzGetDatum(run->mark_time), UUIDPGetDatum(&run->mark_id),
		Int64GetDatum(run->base), Int32GetDatum(BATCH_ROWS)
	};
	bool		isnull;

	padlock_spi_execute(&unsealed, values, NULL, false);
	batch->row_count = DatumGetInt32(padlock_spi_datum(0, 1, &isnull));
	batch->first_created_at = padlock_spi_datum(0, 2, &isnull);
	batch->last_created_at = padlock_spi_datum(0, 3, &isnull);
	batch->entries = padlock_spi_datum(0, 4, &isnull);
}

static void
insert_seal(const Head *head, const Batch *batch, TimestampTz closed_until)
{
	static PadlockStatement insert = {
		.sql = "INSERT INTO padlock.audit_seals (number, sealed_at, closed_until, row_count,"
		"                                 first_created_at, last_created_at, entries, digest)"
		" SELECT s.*, " AUDIT_SEAL_DIGEST("$8")
		"   FROM (VALUES ($1::bigint, $2::timestamptz, $3::timestamptz, $4::integer,"
		"                 $5::timestamptz, $6::timestamptz, $7::bytea))"
		"        AS s (number, sealed_at, closed_until, row_count, first_created_at,"
		"              last_created_at, entries)",
		.nargs = 8,
		.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, BYTEAOID, BYTEAOID}
	};
	Datum		values[8] = {
		Int64GetDatum(head->number + 1), TimestampTzGetDatum(GetCurrentTimestamp()),
		TimestampTzGetDatum(closed_until), Int32GetDatum(batch->row_count),
		batch->first_created_at, batch->last_created_at, batch->entries, head->digest
	};
	char		nulls[8] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};

	if (batch->row_count == 0)
		nulls[4] = nulls[5] = 'n';
	if (head->number == 0)
		nulls[7] = 'n';
	padlock_spi_execute(&insert, values, nulls, false);
}

/*
 * Is a seal without rows of use: to close the time of rows that are sealed, or
 * a day without any?
 */
static bool
is_closing_due(const Head *head)
{
	if (head->number == 0)
		return false;
	return (head->closed_until <= head->last_created_at &&
			head->last_created_at < head->settled) ||
		head->settled - head->closed_until > CLOSING_USECS;
}

/* The run's mark is now the last row of the batch. */
static void
move_mark(PadlockSealRun *run, const Batch *batch)
{
	bytea	   *entries = DatumGetByteaPP(batch->entries);
	const char *last = VARDATA_ANY(entries) + VARSIZE_ANY_EXHDR(entries) - AUDIT_ENTRY_BYTES;

	run->mark_time = DatumGetTimestampTz(batch->last_created_at);
	memcpy(run->mark_id.data, last + sizeof(TimestampTz), UUID_LEN);
}

/* Seal the run's next batch, after the newest seal; returns how many rows. */
static int
seal_batch(PadlockSealRun *run, const Head *head)
{
	Batch		batch;
	TimestampTz closed_until = run->settled;

	collect(run, &batch);
	if (batch.row_count == 0 && !is_closing_due(head))
		return 0;
	/* rows at and after the last of a full batch may be left */
	if (batch.row_count == BATCH_ROWS)
	{
		move_mark(run, &batch);
		closed_until = Min(closed_until, run->mark_time);
	}
	insert_seal(head, &batch, Max(closed_until, head->closed_until));
	run->number = head->number + 1;
	return batch.row_count;
}

/* Is it time for a seal, padlock.audit_seal_interval after the last, or is a batch left? */
static bool
is_due(const Head *head)
{
	TimestampTz now = GetCurrentTimestamp();

	return head->number == 0 || head->row_count == BATCH_ROWS ||
		now < head->sealed_at ||	/* the clock was set back */
		TimestampDifferenceExceeds(head->sealed_at, now,
								   padlock_audit_seal_interval * 1000);
}

bool
padlock_audit_seal_due(PadlockSealRun *run)
{
	PadlockUserContext saved;
	Head		head;
	int			count = 0;

	padlock_become_owner(&saved);
	SPI_connect();
	if (lock_seals(false))
	{
		read_head(&head);
		/* a run ends when somebody else has sealed meanwhile */
		if (run->number == 0 || run->number != head.number)
			begin_run(run, &head, false);
		if (is_due(&head))
			count = seal_batch(run, &head);
	}
	SPI_finish();
	padlock_restore_user(&saved);
	return count == BATCH_ROWS;
}

/* Each statement must see what was committed before it. */
static void
require_fresh_snapshots(void)
{
	PreventCommandIfReadOnly("padlock.audit_seal()");
	PreventCommandDuringRecovery("padlock.audit_seal()");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("padlock.audit_seal() must run at isolation level READ COMMITTED")));
}

/*
 * padlock.audit_seal(include_late boolean DEFAULT false) returns bigint: seal
 * the rows of the audit trail that are not; returns how many.  include_late:
 * also those whose time lies in a period that was sealed before they came.
 * 25001 at an isolation level above READ COMMITTED, 25006 where nothing can be
 * written, 22004 for NULL.
 */
Datum
padlock_audit_seal(PG_FUNCTION_ARGS)
{
	PadlockUserContext saved;
	PadlockSealRun run = {0};
	int64		total = 0;
	int			count;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("include_late must not be null")));
	require_fresh_snapshots();
	padlock_become_owner(&saved);
	(void) lock_seals(true);
	do
	{
		Head		head;

		CHECK_FOR_INTERRUPTS();
		SPI_connect();
		read_head(&head);
		if (total == 0)
			begin_run(&run, &head, PG_GETARG_BOOL(0));
		count = seal_batch(&run, &head);
		SPI_finish();
		total += count;
	} while (count == BATCH_ROWS);
	padlock_restore_user(&saved);
	PG_RETURN_INT64(total);
}
