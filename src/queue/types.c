/*-------------------------------------------------------------------------
 *
 * types.c
 *	  Job types with something special (padlock.job_types).
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
#include "utils/builtins.h"

#include "core/spi.h"
#include "queue/jobs.h"

PG_FUNCTION_INFO_V1(padlock_pause_job_type);
PG_FUNCTION_INFO_V1(padlock_resume_job_type);
PG_FUNCTION_INFO_V1(padlock_job_types_changed);

/* Which types can be done here; NULL until a room says it. */
static PadlockJobTypeCheck type_check = NULL;

static PadlockStatement pause_statement = {
	"INSERT INTO padlock.job_types AS t (job_type, paused) VALUES ($1, true)"
	" ON CONFLICT (job_type) DO UPDATE SET paused = true WHERE NOT t.paused",
	1, {TEXTOID}
};

static PadlockStatement resume_statement = {
	"UPDATE padlock.job_types SET paused = false WHERE job_type = $1 AND paused",
	1, {TEXTOID}
};

static PadlockStatement known_statement = {
	"SELECT 1 FROM padlock.job_types WHERE job_type = $1"
	" UNION ALL SELECT 1 FROM padlock.count_jobs() c WHERE c.job_type = $1",
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

void
padlock_queue_set_type_check(PadlockJobTypeCheck check)
{
	type_check = check;
}

/*
 * Refuse a type that nobody does, that has no job, and that padlock.job_types
 * does not name: it is a typing error, most likely.
 */
static void
require_type(const char *type)
{
	if (type_check != NULL && type_check(type))
		return;
	if (run_as_owner(&known_statement, CStringGetTextDatum(type)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("job_type_val names no job type"),
				 errdetail("There is no handler, no job and no row in padlock.job_types of type \"%s\".", type),
				 errhint("To pause a type before its first job, insert it into padlock.job_types.")));
}

/*
 * pause_job_type(job_type_val text) returns boolean: jobs of this type are
 * taken and wait from the commit on; those that run go on.  False when it was
 * paused already.  Errors: 22004 for NULL, 22023 for an empty, long or unknown
 * type.
 */
Datum
padlock_pause_job_type(PG_FUNCTION_ARGS)
{
	char	   *type = queue_text_argument(fcinfo, 0, "job_type_val", MAX_JOB_TYPE_LENGTH);

	require_type(type);
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

	require_type(type);
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
