/*-------------------------------------------------------------------------
 *
 * enqueue_jobs.c
 *	  enqueue_jobs(): many jobs at once, all or none.
 *
 * Its caller has an array of objects in which any field of any element may be
 * wrong, so every error says which element and which field it is about.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "core/spi.h"
#include "queue/jobs.h"

#define DEFAULT_MAX_ATTEMPTS	3

PG_FUNCTION_INFO_V1(padlock_enqueue_jobs);

/* The first field that no job has, and in which element it is. */
static PadlockStatement unknown_statement = {
	"SELECT k, n FROM pg_catalog.jsonb_array_elements($1) WITH ORDINALITY AS a (e, n),"
	" pg_catalog.jsonb_object_keys(e) k"
	" WHERE k NOT IN ('job_type', 'payload', 'priority', 'max_attempts', 'run_at', 'dedupe_key', 'queue')"
	" ORDER BY n LIMIT 1",
	1, {JSONBOID}
};

/* Columns of elements_statement; all but the payload are texts. */
typedef enum ElementColumn
{
	ELEMENT_JOB_TYPE = 1,
	ELEMENT_PAYLOAD,
	ELEMENT_PRIORITY,
	ELEMENT_MAX_ATTEMPTS,
	ELEMENT_RUN_AT,
	ELEMENT_DEDUPE_KEY,
	ELEMENT_QUEUE
} ElementColumn;

static PadlockStatement elements_statement = {
	"SELECT e ->> 'job_type', e -> 'payload', e ->> 'priority', e ->> 'max_attempts', e ->> 'run_at',"
	" e ->> 'dedupe_key', e ->> 'queue' FROM pg_catalog.jsonb_array_elements($1) e",
	1, {JSONBOID}
};

/* An element of the array, as SPI read it. */
typedef struct Element
{
	HeapTuple	row;
	TupleDesc	desc;
	uint64		number;			/* from 1, for errors */
} Element;

/* A text of 1 to max characters; NULL when it is not there and need not be. */
static char *
read_text(const Element *element, ElementColumn column, const char *field, int max, bool required)
{
	char	   *value = SPI_getvalue(element->row, element->desc, column);

	if (value == NULL && !required)
		return NULL;
	if (value == NULL || value[0] == '\0' || pg_mbstrlen(value) > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of job " UINT64_FORMAT " must have between 1 and %d characters",
						field, element->number, max)));
	return value;
}

/* An integer of at least minimum, or what stands for one that is not there. */
static int
read_integer(const Element *element, ElementColumn column, const char *field, int minimum,
			 int missing)
{
	char	   *text = SPI_getvalue(element->row, element->desc, column);
	char	   *end;
	long		value;

	if (text == NULL)
		return missing;
	errno = 0;
	value = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || value < minimum || value > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of job " UINT64_FORMAT " must be an integer between %d and %d",
						field, element->number, minimum, PG_INT32_MAX)));
	return (int) value;
}

/* The time of run_at, or 0 if it is not there. */
static TimestampTz
read_time(const Element *element)
{
	char	   *text = SPI_getvalue(element->row, element->desc, ELEMENT_RUN_AT);
	MemoryContext context = CurrentMemoryContext;
	TimestampTz time = 0;

	if (text == NULL)
		return 0;
	PG_TRY();
	{
		time = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
													   ObjectIdGetDatum(InvalidOid),
													   Int32GetDatum(-1)));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* the same error, but for its words */
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 errmsg("run_at of job " UINT64_FORMAT " must be a time", element->number),
				 errdetail("It is \"%s\".", text)));
	}
	PG_END_TRY();
	if (TIMESTAMP_NOT_FINITE(time))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run_at of job " UINT64_FORMAT " must be finite", element->number)));
	return time;
}

/* Read one element; everything in it must be right. */
static void
read_element(const Element *element, PadlockNewJob *job)
{
	bool		isnull;
	Datum		payload = SPI_getbinval(element->row, element->desc, ELEMENT_PAYLOAD, &isnull);

	memset(job, 0, sizeof(*job));
	job->type = read_text(element, ELEMENT_JOB_TYPE, "job_type", MAX_JOB_TYPE_LENGTH, true);
	job->payload = isnull ? NULL : DatumGetJsonbP(payload);
	if (job->payload == NULL || !JB_ROOT_IS_OBJECT(job->payload))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload of job " UINT64_FORMAT " must be a JSON object", element->number)));
	job->priority = read_integer(element, ELEMENT_PRIORITY, "priority", PG_INT32_MIN, 0);
	job->max_attempts = read_integer(element, ELEMENT_MAX_ATTEMPTS, "max_attempts", 1,
									 DEFAULT_MAX_ATTEMPTS);
	job->run_at = read_time(element);
	job->dedupe_key = read_text(element, ELEMENT_DEDUPE_KEY, "dedupe_key", MAX_KEY_LENGTH, false);
	job->queue = read_text(element, ELEMENT_QUEUE, "queue", MAX_KEY_LENGTH, false);
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
				 errmsg("unknown field \"%s\" in job %s",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2)),
				 errhint("The fields are job_type, payload, priority, max_attempts, run_at, dedupe_key and queue.")));
}

/*
 * Read all elements and take the locks of their dedupe keys, in one order for
 * everybody; SPI is connected.  Returns how many there are.
 */
static uint64
read_elements(Jsonb *array, PadlockNewJob **jobs)
{
	Datum		values[1] = {JsonbPGetDatum(array)};
	SPITupleTable *rows;
	uint64		count;
	QueueKeySet keys = {0};

	check_elements(array);
	count = padlock_spi_execute(&elements_statement, values, NULL, true);
	rows = SPI_tuptable;
	*jobs = palloc_extended(Max(count, 1) * sizeof(PadlockNewJob), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < count; i++)
	{
		Element		element = {rows->vals[i], rows->tupdesc, i + 1};
		PadlockNewJob *job = &(*jobs)[i];

		CHECK_FOR_INTERRUPTS();
		read_element(&element, job);
		if (job->dedupe_key != NULL)
			queue_key_set_add(&keys, job->type, job->dedupe_key);
	}
	queue_lock_key_set(&keys);
	return count;
}

/*
 * enqueue_jobs(jobs_val jsonb) returns setof uuid: enqueue_job() for each
 * object {job_type, payload, priority, max_attempts, run_at, dedupe_key,
 * queue} of an array, all but the first two optional; returns the ids in that
 * order.  Errors: 22004 for NULL, 22023 for what is wrong in it, of class 22
 * for what is no time; then none is added.
 */
Datum
padlock_enqueue_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PadlockNewJob *jobs;
	uint64		count;

	queue_require_value(fcinfo, 0, "jobs_val");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	count = read_elements(PG_GETARG_JSONB_P(0), &jobs);
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
