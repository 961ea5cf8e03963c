/*-------------------------------------------------------------------------
 *
 * retention.c
 *	  Counts what has ended, and lets go of it by whole tables.
 *
 * Jobs and outcomes lie in generations, pairs of tables that are begun every
 * GENERATION_DAYS days.  Of each generation it is remembered below which seq
 * all jobs have ended (settled_below); these are counted in job_tallies, and
 * neither scans (scan.c) nor counts read them again.
 *
 * Nothing can appear below a seq that the sequence had passed when every
 * transaction now running had not begun to write: a transaction has its id
 * before it draws a seq (jobs.c).  A sample of both is taken each time and
 * used when the oldest running transaction is younger than it.
 *
 * A job that waits for more than an hour would hold settled_below back, so it
 * is moved to generation 0, the parent tables, where jobs that were changed by
 * hand live as well.
 *
 * cleanup_old_jobs() moves two times forward, in job_retention, before which
 * ended jobs are not shown any more, and counts what vanished.  A generation
 * that shows nothing is dropped; the few jobs in it that are still shown are
 * moved to generation 0 first.  In generation 0 rows are deleted, which are few.
 *
 * Locking contract: a generation is counted, hidden or dropped under FOR
 * UPDATE of its row in job_generations, and changed by hand under FOR SHARE.
 * No table lock is waited for: CREATE and DROP take theirs only if nobody holds
 * what conflicts, and children of plain inheritance go without a lock on their
 * parents.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "core/errors.h"
#include "core/spi.h"
#include "queue/change.h"

#define GENERATION_DAYS	"7 days"
#define MAX_MOVED		"1000"	/* waiting jobs moved at a time */
#define MAX_SURVIVORS	10000	/* ended jobs moved so that a generation can go */

/* An ended job that job_queue still shows; f is its outcome, r job_retention. */
#define IS_SHOWN \
	"f.ended_at >= CASE WHEN f.kind = 'completed' THEN r.completed_before ELSE r.failed_before END"

#define STATUS_OF_KIND "CASE WHEN f.kind = 'completed' THEN 'completed' ELSE 'failed' END"

PG_FUNCTION_INFO_V1(padlock_cleanup_old_jobs);
PG_FUNCTION_INFO_V1(padlock_count_jobs);

typedef struct Generation
{
	int			number;
	int64		settled_below;
	bool		closed;			/* since a day: nothing is added to it */
} Generation;

static Datum
first_datum(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

static int64
first_int64(int column)
{
	bool		isnull;

	return DatumGetInt64(first_datum(column, &isnull));
}

/* All generations but 0, the oldest first; SPI is connected. */
static Generation *
read_generations(int *count)
{
	Generation *generations;
	SPITupleTable *rows;

	*count = (int) queue_run_on(0, "SELECT generation, settled_below, COALESCE(lead(started_at) OVER (ORDER BY generation)"
								" < now() - interval '1 day', false) FROM padlock.job_generations ORDER BY generation",
								0, NULL, NULL, NULL);
	rows = SPI_tuptable;
	generations = palloc_array(Generation, Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		bool		isnull;

		generations[i].number = DatumGetInt32(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		generations[i].settled_below = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));
		generations[i].closed = DatumGetBool(SPI_getbinval(rows->vals[i], rows->tupdesc, 3, &isnull));
	}
	return generations;
}

/* Lock a generation's row if nobody else has; false when somebody has. */
static bool
try_lock_generation(int generation)
{
	static Oid	types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(generation)};

	return queue_run_on(0, "SELECT FROM padlock.job_generations WHERE generation = $1"
						" FOR UPDATE SKIP LOCKED", 1, types, values, NULL) == 1;
}

/* Lock a generation's tables if nobody holds what conflicts; false when somebody does. */
static bool
try_lock_tables(int generation, LOCKMODE mode)
{
	return ConditionalLockRelationOid(queue_jobs_table(generation), mode) &&
		ConditionalLockRelationOid(queue_outcomes_table(generation), mode);
}

/*
 * A seq below which nothing more can appear, as far as is known; 0 when
 * nothing is.  Takes the next sample.
 */
static int64
safe_seq(void)
{
	QueueHead  *head = queue_my_head();
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId xmin = GetLatestSnapshot()->xmin;
	uint64		oldest = U64FromFullTransactionId(next);
	int64		seq = 0;

	/* the oldest running transaction, with its epoch */
	oldest -= (uint32) (XidFromFullTransactionId(next) - xmin);
	if (head->sample_seq != 0 && oldest >= head->sample_xid)
		seq = head->sample_seq;
	if (seq != 0 || head->sample_seq == 0)
	{
		(void) queue_run_on(0, "SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END"
							" FROM padlock.jobs_seq_seq", 0, NULL, NULL, NULL);
		head->sample_seq = first_int64(1);
		head->sample_xid = U64FromFullTransactionId(ReadNextFullTransactionId());
	}
	return seq;
}

/* Move what has waited for long out of a generation's way. */
static void
move_waiting(const Generation *generation, int64 below)
{
	static Oid	types[2] = {INT8OID, INT8OID};
	Datum		values[2] = {Int64GetDatum(generation->settled_below), Int64GetDatum(below)};
	uint64		count;
	SPITupleTable *rows;

	count = queue_run_on(generation->number,
						 "SELECT j.id FROM ONLY padlock.jobs%1$s j WHERE j.seq >= $1 AND j.seq < $2"
						 " AND j.created_at < now() - interval '1 hour'"
						 " AND NOT EXISTS (SELECT FROM ONLY padlock.job_outcomes%1$s f"
						 " WHERE f.job_seq = j.seq AND f.job_seq >= $1 AND f.kind <> 'retry')"
						 " ORDER BY j.seq LIMIT " MAX_MOVED, 2, types, values, NULL);
	rows = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;

		(void) queue_move_waiting(DatumGetUUIDP(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull)));
	}
}

/* Up to where everything in a generation has ended, at most to `below`. */
static int64
ended_below(const Generation *generation, int64 below)
{
	static Oid	types[2] = {INT8OID, INT8OID};
	Datum		values[2] = {Int64GetDatum(generation->settled_below), Int64GetDatum(below)};
	bool		isnull;
	Datum		first;

	(void) queue_run_on(generation->number,
						"SELECT min(j.seq) FROM ONLY padlock.jobs%1$s j WHERE j.seq >= $1 AND j.seq < $2"
						" AND NOT EXISTS (SELECT FROM ONLY padlock.job_outcomes%1$s f"
						" WHERE f.job_seq = j.seq AND f.job_seq >= $1 AND f.kind <> 'retry')",
						2, types, values, NULL);
	first = first_datum(1, &isnull);
	return isnull ? below : DatumGetInt64(first);
}

/* Count a generation's jobs up to `below` and remember it. */
static void
settle_generation(const Generation *generation, int64 below)
{
	static Oid	types[3] = {INT8OID, INT8OID, INT4OID};
	Datum		values[3] = {Int64GetDatum(generation->settled_below), Int64GetDatum(below),
	Int32GetDatum(generation->number)};

	(void) queue_run_on(generation->number,
						"INSERT INTO padlock.job_tallies AS t (generation, job_type, status, jobs)"
						" SELECT $3, j.job_type, " STATUS_OF_KIND ", count(*)"
						" FROM padlock.job_retention r, ONLY padlock.jobs%1$s j"
						" JOIN ONLY padlock.job_outcomes%1$s f ON f.job_seq = j.seq AND f.kind <> 'retry'"
						" WHERE j.seq >= $1 AND j.seq < $2 AND f.job_seq >= $1 AND f.job_seq < $2 AND " IS_SHOWN
						" GROUP BY 1, 2, 3"
						" ON CONFLICT (generation, job_type, status) DO UPDATE SET jobs = t.jobs + excluded.jobs",
						3, types, values, NULL);
	(void) queue_run_on(0, "UPDATE padlock.job_generations SET settled_below = $2"
						" WHERE generation = $3 AND settled_below = $1", 3, types, values, NULL);
}

/* Has everything been added to a generation that ever will be? */
static bool
is_complete(const Generation *generation, int64 safe)
{
	static Oid	types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(safe)};

	return generation->closed &&
		queue_run_on(generation->number, "SELECT FROM ONLY padlock.jobs%1$s WHERE seq >= $1 LIMIT 1",
					 1, types, values, NULL) == 0;
}

/* Raise settled_below of a generation as far as it goes. */
static void
advance(const Generation *generation, int64 safe)
{
	int64		below;

	if (generation->settled_below >= safe || !try_lock_generation(generation->number))
		return;
	if (is_complete(generation, safe))
		safe = PG_INT64_MAX;
	move_waiting(generation, safe);
	below = ended_below(generation, safe);
	if (below > generation->settled_below)
		settle_generation(generation, below);
}

/* Run a statement that makes something of a generation. */
static void
define(int generation, const char *sql)
{
	(void) queue_run_on(generation, sql, 0, NULL, NULL, NULL);
}

/* Begin a generation; its tables are as the first one's (queue_tables.sql). */
static void
begin_generation(int generation)
{
	static Oid	types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(generation)};

	define(generation, "CREATE TABLE padlock.jobs%1$s (CONSTRAINT jobs%1$s_pkey PRIMARY KEY (id)) INHERITS (padlock.jobs)");
	define(generation, "COMMENT ON TABLE padlock.jobs%1$s IS 'padlock: jobs of one generation'");
	define(generation, "CREATE INDEX jobs%1$s_seq_idx ON padlock.jobs%1$s USING brin (seq)");
	define(generation, "CREATE INDEX jobs%1$s_dedupe_key_idx ON padlock.jobs%1$s (dedupe_key) WHERE dedupe_key IS NOT NULL");
	define(generation, "CREATE TABLE padlock.job_outcomes%1$s (CONSTRAINT job_outcomes%1$s_pkey PRIMARY KEY (job_seq, attempt)) INHERITS (padlock.job_outcomes)");
	define(generation, "COMMENT ON TABLE padlock.job_outcomes%1$s IS 'padlock: outcomes of one generation'");
	define(generation, "CREATE INDEX job_outcomes%1$s_ended_at_idx ON padlock.job_outcomes%1$s USING brin (ended_at)");
	define(generation, "ALTER TABLE padlock.jobs%1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY");
	define(generation, "ALTER TABLE padlock.job_outcomes%1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY");
	define(generation, "REVOKE ALL ON TABLE padlock.jobs%1$s, padlock.job_outcomes%1$s FROM PUBLIC, anon, authenticated, service_role");
	(void) queue_run_on(0, "INSERT INTO padlock.job_generations (generation, settled_below)"
						" SELECT $1, last_value FROM padlock.jobs_seq_seq", 1, types, values, NULL);
	queue_xact_types_changed();
}

/* Is the youngest generation old enough and not empty? */
static bool
is_rotation_due(int youngest)
{
	static Oid	types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(youngest)};

	return queue_run_on(youngest, "SELECT FROM padlock.job_generations WHERE generation = $1"
						" AND started_at < now() - interval '" GENERATION_DAYS "'"
						" AND NOT EXISTS (SELECT FROM padlock.job_generations WHERE generation > $1)"
						" AND EXISTS (SELECT FROM ONLY padlock.jobs%1$s)", 1, types, values, NULL) == 1;
}

/*
 * Begin the next generation when it is time.  A child takes a lock on its
 * parent that only one session can have, a vacuum for instance, so it is had
 * first, and what is due is asked again with it.
 */
static void
rotate(const Generation *generations, int count)
{
	int			youngest = count > 0 ? generations[count - 1].number : 0;

	if ((count > 0 && !is_rotation_due(youngest)) ||
		!try_lock_tables(0, ShareUpdateExclusiveLock))
		return;
	if (count == 0 || is_rotation_due(youngest))
		begin_generation(youngest + 1);
}

/* Have all jobs of a generation ended, and are few of them shown? */
static bool
shows_little(int generation)
{
	(void) queue_run_on(generation,
						"SELECT count(*), count(*) FILTER (WHERE f.kind IS NULL)"
						" FROM padlock.job_retention r CROSS JOIN ONLY padlock.jobs%1$s j"
						" LEFT JOIN ONLY padlock.job_outcomes%1$s f ON f.job_seq = j.seq AND f.kind <> 'retry'"
						" WHERE f.kind IS NULL OR " IS_SHOWN, 0, NULL, NULL, NULL);
	return first_int64(1) <= MAX_SURVIVORS && first_int64(2) == 0;
}

/* Could the generation be empty but for a few? A cheap look. */
static bool
may_be_old(int generation)
{
	static Oid	types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(generation)};

	return queue_run_on(0, "SELECT FROM padlock.job_retention WHERE completed_before >"
						" (SELECT min(started_at) FROM padlock.job_generations WHERE generation > $1)",
						1, types, values, NULL) == 1;
}

/* Move the ended jobs that are still shown to the parents. */
static void
keep_shown(int generation)
{
	define(generation, "INSERT INTO padlock.job_outcomes (" OUTCOME_COLUMN_LIST ")"
		   " SELECT " OUTCOME_COLUMN_LIST " FROM ONLY padlock.job_outcomes%1$s o WHERE o.job_seq IN ("
		   "SELECT f.job_seq FROM padlock.job_retention r, ONLY padlock.job_outcomes%1$s f"
		   " WHERE f.kind <> 'retry' AND " IS_SHOWN ")");
	define(generation, "INSERT INTO padlock.jobs (" JOB_COLUMN_LIST ")"
		   " SELECT " JOB_COLUMN_LIST " FROM ONLY padlock.jobs%1$s j WHERE j.seq IN ("
		   "SELECT f.job_seq FROM padlock.job_retention r, ONLY padlock.job_outcomes%1$s f"
		   " WHERE f.kind <> 'retry' AND " IS_SHOWN ")");
}

/*
 * Drop a generation that shows next to nothing, unless somebody looks at it.
 * It is counted before it is locked, since counting takes time and is in vain
 * for as long as much is shown, and again once nobody can add to it; readers
 * are kept out for the end only.
 */
static void
drop_if_old(const Generation *generation)
{
	static Oid	types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(generation->number)};

	if (!generation->closed || !may_be_old(generation->number) ||
		!try_lock_generation(generation->number) || !shows_little(generation->number) ||
		!try_lock_tables(generation->number, ShareRowExclusiveLock) ||
		!shows_little(generation->number) ||
		!try_lock_tables(generation->number, AccessExclusiveLock))
		return;
	keep_shown(generation->number);
	define(generation->number, "DROP TABLE padlock.jobs%1$s, padlock.job_outcomes%1$s");
	(void) queue_run_on(0, "DELETE FROM padlock.job_tallies WHERE generation = $1", 1, types, values, NULL);
	(void) queue_run_on(0, "DELETE FROM padlock.job_generations WHERE generation = $1", 1, types, values, NULL);
}

/* Drop what is old; at most one generation at a time, since its locks stay. */
static void
drop_old(const Generation *generations, int count)
{
	if (count > 1)
		drop_if_old(&generations[0]);
}

void
padlock_queue_maintain(void)
{
	Generation *generations;
	int			count;
	int64		safe;

	SPI_connect();
	safe = safe_seq();
	generations = read_generations(&count);
	for (int i = 0; i < count; i++)
		advance(&generations[i], safe);
	rotate(generations, count);
	drop_old(generations, count);
	SPI_finish();
}

/* Delete what is too old in generation 0; returns how many jobs. */
static int64
clean_parents(void)
{
	int64		deleted;

	deleted = (int64) queue_run_on(0,
								   "WITH old AS (SELECT f.job_seq FROM padlock.job_retention r, ONLY padlock.job_outcomes f"
								   " WHERE f.kind <> 'retry' AND NOT (" IS_SHOWN ")),"
								   " outcomes AS (DELETE FROM ONLY padlock.job_outcomes o USING old WHERE o.job_seq = old.job_seq)"
								   " DELETE FROM ONLY padlock.jobs j USING old WHERE j.seq = old.job_seq",
								   0, NULL, NULL, NULL);
	return deleted;
}

/*
 * Count what of a generation vanishes when the times move, and take what was
 * counted before out of the tallies; returns how many.  $1 and $2 are the new
 * times, job_retention has the old ones.
 */
static int64
hide_old(const Generation *generation, Datum *times)
{
	static Oid	types[4] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT8OID};
	Datum		values[4] = {times[0], times[1], Int32GetDatum(generation->number),
	Int64GetDatum(generation->settled_below)};
	bool		isnull;
	Datum		sum;

	(void) queue_run_on(generation->number,
						"WITH gone AS (SELECT j.job_type, " STATUS_OF_KIND " AS status, count(*) AS jobs,"
						" count(*) FILTER (WHERE j.seq < $4) AS counted"
						" FROM padlock.job_retention r, ONLY padlock.jobs%1$s j"
						" JOIN ONLY padlock.job_outcomes%1$s f ON f.job_seq = j.seq AND f.kind <> 'retry'"
						" WHERE f.ended_at < greatest($1, $2) AND " IS_SHOWN
						" AND f.ended_at < CASE WHEN f.kind = 'completed' THEN $1 ELSE $2 END GROUP BY 1, 2),"
						" counted AS (UPDATE padlock.job_tallies t SET jobs = t.jobs - gone.counted FROM gone"
						" WHERE t.generation = $3 AND t.job_type = gone.job_type AND t.status = gone.status)"
						" SELECT sum(jobs)::bigint FROM gone", 4, types, values, NULL);
	sum = first_datum(1, &isnull);
	return isnull ? 0 : DatumGetInt64(sum);
}

/* Lock all generations and read them. */
static Generation *
lock_generations(int *count)
{
	(void) queue_run_on(0, "SELECT FROM padlock.job_generations ORDER BY generation FOR UPDATE",
						0, NULL, NULL, NULL);
	return read_generations(count);
}

/* Move the times of job_retention; returns how many jobs vanish. */
static int64
move_times(void)
{
	static Oid	types[2] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	TimestampTz now = GetCurrentTimestamp();
	Datum		times[2] = {TimestampTzGetDatum(now - 30 * USECS_PER_DAY),
	TimestampTzGetDatum(now - 90 * USECS_PER_DAY)};
	Generation *generations;
	int			count;
	int64		gone = 0;

	generations = lock_generations(&count);
	for (int i = 0; i < count; i++)
		gone += hide_old(&generations[i], times);
	(void) queue_run_on(0, "UPDATE padlock.job_retention SET completed_before = greatest(completed_before, $1),"
						" failed_before = greatest(failed_before, $2)", 2, types, times, NULL);
	return gone + clean_parents();
}

/*
 * cleanup_old_jobs() returns integer: remove jobs that were completed more
 * than 30 days ago or failed more than 90 days ago; returns how many.  They
 * are gone at once for who reads job_queue; the disk gets their space back
 * when their whole generation goes (padlock_queue_maintain()).
 */
Datum
padlock_cleanup_old_jobs(PG_FUNCTION_ARGS)
{
	int64		gone;
	Generation *generations;
	int			count;

	padlock_require_preload("cleanup_old_jobs()");
	SPI_connect();
	gone = move_times();
	if (!padlock_queue_is_attended(PADLOCK_QUEUE_CONSUMER))
	{
		/* no worker will do it */
		int64		safe = safe_seq();

		generations = read_generations(&count);
		for (int i = 0; i < count; i++)
			advance(&generations[i], safe);
		rotate(generations, count);
		drop_old(generations, count);
	}
	SPI_finish();
	PG_RETURN_INT32((int32) Min(gone, PG_INT32_MAX));
}

/* Add the query for what one generation has not counted. */
static void
append_live_query(StringInfo sql, int generation, int64 settled)
{
	char		suffix[16] = "";

	if (generation > 0)
		snprintf(suffix, sizeof(suffix), "_%d", generation);
	appendStringInfo(sql,
					 " UNION ALL SELECT f.job_type, CASE WHEN f.kind IS NULL THEN 'pending' ELSE " STATUS_OF_KIND
					 " END, f.jobs FROM (SELECT j.job_type, f.kind, count(*) FROM ONLY padlock.jobs%s j"
					 " LEFT JOIN ONLY padlock.job_outcomes%s f ON f.job_seq = j.seq AND f.kind <> 'retry'"
					 " AND f.job_seq >= " INT64_FORMAT
					 " WHERE j.seq >= " INT64_FORMAT "%s GROUP BY 1, 2) AS f (job_type, kind, jobs)",
					 suffix, suffix, settled, settled,
					 generation == 0 ? "" : " AND (f.kind IS NULL OR f.ended_at >= CASE WHEN f.kind = 'completed'"
					 " THEN (SELECT completed_before FROM padlock.job_retention)"
					 " ELSE (SELECT failed_before FROM padlock.job_retention) END)");
}

/* What runs has no outcome, so it was counted as pending. */
static const char running_query[] =
" UNION ALL SELECT j.job_type, s.status, s.jobs FROM padlock.job_leases() l"
" JOIN padlock.jobs j ON j.id = l.job_id CROSS JOIN (VALUES ('pending', -1), ('processing', 1)) AS s (status, jobs)"
" WHERE NOT EXISTS (SELECT FROM padlock.job_outcomes f WHERE f.job_seq = j.seq AND f.kind <> 'retry')";

/* The query for all counts, of one snapshot; SPI is connected. */
static char *
count_query(void)
{
	StringInfoData sql;
	SPITupleTable *rows;
	uint64		count;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT job_type, status, sum(jobs)::bigint FROM ("
						   "SELECT job_type, status, jobs FROM padlock.job_tallies");
	append_live_query(&sql, 0, 0);
	if (SPI_execute("SELECT generation, settled_below FROM padlock.job_generations", true, 0) != SPI_OK_SELECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not count jobs")));
	rows = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		int64		settled = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));

		if (settled != PG_INT64_MAX)
			append_live_query(&sql,
							  DatumGetInt32(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull)),
							  settled);
	}
	appendStringInfoString(&sql, running_query);
	appendStringInfoString(&sql, ") AS c (job_type, status, jobs) GROUP BY 1, 2 HAVING sum(jobs) > 0 ORDER BY 1, 2");
	return sql.data;
}

/*
 * padlock.count_jobs() returns setof record (job_type, status, jobs): what
 * job_queue would count, read from what was counted before and the rest.
 */
Datum
padlock_count_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PadlockUserContext saved;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	/* as the owner: who may see the counts need not see the jobs */
	padlock_become_owner(&saved);
	if (SPI_execute(count_query(), true, 0) != SPI_OK_SELECT)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not count jobs")));
	padlock_restore_user(&saved);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
	SPI_finish();
	return (Datum) 0;
}
