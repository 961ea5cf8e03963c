/*-------------------------------------------------------------------------
 *
 * types.c
 *	  Job types with something special (padlock.job_types), and many jobs at
 *	  once.
 *
 * What the table says holds from the commit on: the next claim reads it again
 * (queue_read_types()).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/spi.h"
#include "queue/jobs.h"

PG_FUNCTION_INFO_V1(padlock_pause_job_type);
PG_FUNCTION_INFO_V1(padlock_resume_job_type);
PG_FUNCTION_INFO_V1(padlock_job_types_changed);
PG_FUNCTION_INFO_V1(padlock_enqueue_jobs);

static PadlockStatement pause_statement = {
	"INSERT INTO padlock.job_types AS t (job_type, paused) VALUES ($1, true)"
	" ON CONFLICT (job_type) DO UPDATE SET paused = true WHERE NOT t.paused",
	1, {TEXTOID}
};

static PadlockStatement resume_statement = {
	"UPDATE padlock.job_types SET paused = false WHERE job_type = $1 AND paused",
	1, {TEXTOID}
};

static PadlockStatement exists_statement = {
	"SELECT 1 FROM padlock.jobs WHERE id = $1",
	1, {UUIDOID}
};

/* Run a statement as the owner, in an SPI connection of its own. */
static uint64
run_as_owner(PadlockStatement *statement, Datum value)
{
	Datum		values[1] = {value};
	PadlockUserContext saved;
	uint64		rows;

	SPI_connect();
	padlock_become_owner(&saved);
	rows = padlock_spi_execute(statement, values, NULL, false);
	padlock_restore_user(&saved);
	SPI_finish();
	return rows;
}

bool
padlock_queue_job_exists(const pg_uuid_t *id)
{
	return run_as_owner(&exists_statement, UUIDPGetDatum(id)) > 0;
}

/*
 * pause_job_type(job_type_val text) returns boolean: jobs of this type are
 * taken and wait from the commit on; those that run go on.  False when it was
 * paused already.  Errors: 22004 for NULL, 22023 for an empty or long type.
 */
Datum
padlock_pause_job_type(PG_FUNCTION_ARGS)
{
	char	   *type = queue_text_argument(fcinfo, 0, "job_type_val", MAX_JOB_TYPE_LENGTH);

	PG_RETURN_BOOL(run_as_owner(&pause_statement, CStringGetTextDatum(type)) > 0);
}

/*
 * resume_job_type(job_type_val text) returns boolean: undo pause_job_type();
 * false when it was not paused.  Errors as there.
 */
Datum
padlock_resume_job_type(PG_FUNCTION_ARGS)
{
	char	   *type = queue_text_argument(fcinfo, 0, "job_type_val", MAX_JOB_TYPE_LENGTH);

	PG_RETURN_BOOL(run_as_owner(&resume_statement, CStringGetTextDatum(type)) > 0);
}

/* padlock.job_types_changed() trigger: have the types read again. */
Datum
padlock_job_types_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("job_types_changed must be fired as a trigger")));
	queue_xact_types_changed();
	return PointerGetDatum(NULL);
}

/* The first key that enqueue_jobs() does not know. */
static PadlockStatement unknown_statement = {
	"SELECT k FROM pg_catalog.jsonb_array_elements($1) e, pg_catalog.jsonb_object_keys(e) k"
	" WHERE k NOT IN ('job_type', 'payload', 'priority', 'max_attempts', 'run_at', 'dedupe_key', 'queue')"
	" LIMIT 1",
	1, {JSONBOID}
};

static PadlockStatement elements_statement = {
	"SELECT job_type, payload, COALESCE(priority, 0), COALESCE(max_attempts, 3), run_at, dedupe_key, queue"
	" FROM pg_catalog.jsonb_to_recordset($1) AS j (job_type text, payload jsonb, priority integer,"
	" max_attempts integer, run_at timestamptz, dedupe_key text, queue text)",
	1, {JSONBOID}
};

/* Refuse a text that is missing, empty or too long. */
static void
check_text(uint64 n, const char *field, const char *value, int max, bool required)
{
	if (value == NULL && !required)
		return;
	if (value == NULL || value[0] == '\0' || pg_mbstrlen(value) > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of job " UINT64_FORMAT " must have between 1 and %d characters",
						field, n + 1, max)));
}

/* Read one element; everything in it must be right. */
static void
read_element(SPITupleTable *rows, uint64 n, PadlockNewJob *job)
{
	HeapTuple	row = rows->vals[n];
	TupleDesc	desc = rows->tupdesc;
	bool		isnull;
	Datum		value;

	memset(job, 0, sizeof(*job));
	job->type = SPI_getvalue(row, desc, 1);
	value = SPI_getbinval(row, desc, 2, &isnull);
	job->payload = isnull ? NULL : DatumGetJsonbP(value);
	job->priority = DatumGetInt32(SPI_getbinval(row, desc, 3, &isnull));
	job->max_attempts = DatumGetInt32(SPI_getbinval(row, desc, 4, &isnull));
	value = SPI_getbinval(row, desc, 5, &isnull);
	job->run_at = isnull ? 0 : DatumGetTimestampTz(value);
	job->dedupe_key = SPI_getvalue(row, desc, 6);
	job->queue = SPI_getvalue(row, desc, 7);
	check_text(n, "job_type", job->type, MAX_JOB_TYPE_LENGTH, true);
	check_text(n, "dedupe_key", job->dedupe_key, MAX_KEY_LENGTH, false);
	check_text(n, "queue", job->queue, MAX_KEY_LENGTH, false);
	if (job->payload == NULL || !JB_ROOT_IS_OBJECT(job->payload))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload of job " UINT64_FORMAT " must be a JSON object", n + 1)));
	if (job->max_attempts < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_attempts of job " UINT64_FORMAT " must be at least 1", n + 1)));
}

/* Refuse what is no array of objects, and fields that no job has. */
static void
check_elements(Jsonb *jobs)
{
	Datum		values[1] = {JsonbPGetDatum(jobs)};
	JsonbIterator *iterator = JsonbIteratorInit(&jobs->root);
	JsonbValue	value;
	JsonbIteratorToken token = JsonbIteratorNext(&iterator, &value, true);
	bool		good = token == WJB_BEGIN_ARRAY && !JB_ROOT_IS_SCALAR(jobs);

	while (good && (token = JsonbIteratorNext(&iterator, &value, true)) == WJB_ELEM)
		good = value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data);
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("jobs_val must be a JSON array of objects")));
	if (padlock_spi_execute(&unknown_statement, values, NULL, true) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown field \"%s\" in jobs_val",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errhint("The fields are job_type, payload, priority, max_attempts, run_at, dedupe_key and queue.")));
}

/*
 * enqueue_jobs(jobs_val jsonb) returns setof uuid: enqueue_job() for each
 * object {job_type, payload, priority, max_attempts, run_at, dedupe_key,
 * queue} of an array, all but the first two optional; returns the ids in that
 * order.  The locks of their dedupe keys are taken first, in one order for
 * everybody.  Errors: 22004 for NULL, 22023 and those of casts for what is
 * wrong in it; then none is added.
 */
Datum
padlock_enqueue_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[1];
	SPITupleTable *rows;
	uint64		count;
	PadlockNewJob *jobs;
	QueueKeySet keys = {0};

	queue_require_value(fcinfo, 0, "jobs_val");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	values[0] = PG_GETARG_DATUM(0);
	SPI_connect();
	check_elements(PG_GETARG_JSONB_P(0));
	count = padlock_spi_execute(&elements_statement, values, NULL, true);
	rows = SPI_tuptable;
	jobs = palloc_extended(Max(count, 1) * sizeof(PadlockNewJob), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < count; i++)
	{
		read_element(rows, i, &jobs[i]);
		if (jobs[i].dedupe_key != NULL)
			queue_key_set_add(&keys, jobs[i].type, jobs[i].dedupe_key);
	}
	queue_lock_key_set(&keys);
	for (uint64 i = 0; i < count; i++)
	{
		pg_uuid_t	id;
		Datum		result[1];
		bool		isnull[1] = {false};

		CHECK_FOR_INTERRUPTS();
		id = padlock_queue_add(&jobs[i]);
		result[0] = UUIDPGetDatum(&id);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, result, isnull);
	}
	SPI_finish();
	return (Datum) 0;
}
