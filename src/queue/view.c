/*-------------------------------------------------------------------------
 *
 * view.c
 *	  job_queue takes INSERT, UPDATE and DELETE, as the table it looks like.
 *
 * One INSTEAD OF trigger does all three.  A row is written as what the tables
 * hold: the job; an outcome if it has ended or was tried; a lease, from the
 * commit on, if it is processing.  What is NULL and has a default gets it.
 *
 * An UPDATE of a row that has changed since the statement read it (it was
 * claimed, or it ended) is a serialization failure (40001); a DELETE takes the
 * job in whatever state.
 *
 * Like row security of a table, the trigger refuses who is neither
 * service_role nor free of row security, whatever the view's privileges say.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "core/errors.h"
#include "core/spi.h"
#include "identity/caller.h"
#include "queue/change.h"

PG_FUNCTION_INFO_V1(padlock_job_queue_change);
PG_FUNCTION_INFO_V1(padlock_may_use_queue);

/* Columns of job_queue. */
typedef enum ViewColumn
{
	VIEW_ID,
	VIEW_JOB_TYPE,
	VIEW_STATUS,
	VIEW_PRIORITY,
	VIEW_PAYLOAD,
	VIEW_RESULT,
	VIEW_ERROR_MESSAGE,
	VIEW_ATTEMPTS,
	VIEW_MAX_ATTEMPTS,
	VIEW_NEXT_RETRY_AT,
	VIEW_CREATED_AT,
	VIEW_STARTED_AT,
	VIEW_COMPLETED_AT,
	VIEW_WORKER_ID,
	VIEW_LOCKED_UNTIL,
	VIEW_ENQUEUE_ORDER,
	VIEW_DEDUPE_KEY,
	VIEW_QUEUE,
	VIEW_COLUMNS
} ViewColumn;

/* A row of the view that is being written. */
typedef struct ViewRow
{
	Datum		values[VIEW_COLUMNS];
	bool		nulls[VIEW_COLUMNS];
	const char *status;
	int			attempts;
} ViewRow;

static bool
may_use_queue(void)
{
	return padlock_caller()->role == PADLOCK_ROLE_SERVICE ||
		has_bypassrls_privilege(GetUserId()) || GetUserId() == padlock_owner();
}

/*
 * padlock.may_use_queue() returns boolean: what a row security policy on
 * job_queue would say, for service_role and who row security does not bind.
 */
Datum
padlock_may_use_queue(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(may_use_queue());
}

static void
set_default(ViewRow *row, ViewColumn column, Datum value)
{
	if (row->nulls[column])
	{
		row->nulls[column] = false;
		row->values[column] = value;
	}
}

static bool
is_status(const ViewRow *row, const char *status)
{
	return strcmp(row->status, status) == 0;
}

static bool
has_ended(const ViewRow *row)
{
	return is_status(row, "completed") || is_status(row, "failed");
}

static void
violates(const char *constraint, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("new row for \"job_queue\" violates check constraint \"%s\"", constraint),
			 errdetail("%s", detail)));
}

static bool
is_infinite(const ViewRow *row, ViewColumn column)
{
	return !row->nulls[column] && TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(row->values[column]));
}

/* The constraints that no table holds. */
static void
check_row(const ViewRow *row)
{
	if (!has_ended(row) && !is_status(row, "pending") && !is_status(row, "processing"))
		violates("job_queue_status", "The status must be pending, processing, completed or failed.");
	if (row->attempts < 0)
		violates("job_queue_attempts", "The attempts must be 0 or more.");
	if (is_status(row, "processing") && row->nulls[VIEW_LOCKED_UNTIL])
		violates("job_queue_lease", "A processing job must have locked_until.");
	if (is_status(row, "processing") && row->attempts < 1)
		violates("job_queue_lease", "A processing job has at least one attempt.");
	if (is_status(row, "processing") && (is_infinite(row, VIEW_LOCKED_UNTIL) || is_infinite(row, VIEW_STARTED_AT)))
		violates("job_queue_lease", "The times of a processing job must be finite.");
	if (is_status(row, "pending") && is_infinite(row, VIEW_NEXT_RETRY_AT))
		violates("job_queue_next_retry_at", "The next_retry_at of a pending job must be finite.");
	if (!row->nulls[VIEW_ERROR_MESSAGE] &&
		VARSIZE_ANY_EXHDR(DatumGetPointer(row->values[VIEW_ERROR_MESSAGE])) > MAX_ERROR_BYTES)
		violates("job_queue_error_message_length", "The error message is longer than 8192 bytes.");
}

/* Read a row of the view and fill in the defaults. */
static void
read_row(HeapTuple tuple, TupleDesc desc, ViewRow *row)
{
	for (int i = 0; i < VIEW_COLUMNS; i++)
		row->values[i] = SPI_getbinval(tuple, desc, i + 1, &row->nulls[i]);
	if (!row->nulls[VIEW_ERROR_MESSAGE])
		row->values[VIEW_ERROR_MESSAGE] =
			PointerGetDatum(PG_DETOAST_DATUM(row->values[VIEW_ERROR_MESSAGE]));
	set_default(row, VIEW_STATUS, CStringGetTextDatum("pending"));
	set_default(row, VIEW_PRIORITY, Int32GetDatum(0));
	set_default(row, VIEW_PAYLOAD, DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	set_default(row, VIEW_ATTEMPTS, Int32GetDatum(0));
	set_default(row, VIEW_MAX_ATTEMPTS, Int32GetDatum(3));
	set_default(row, VIEW_CREATED_AT, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	row->status = TextDatumGetCString(row->values[VIEW_STATUS]);
	row->attempts = DatumGetInt32(row->values[VIEW_ATTEMPTS]);
	if (is_status(row, "processing") && row->attempts == 0 && !row->nulls[VIEW_LOCKED_UNTIL])
	{
		row->attempts = 1;
		row->values[VIEW_ATTEMPTS] = Int32GetDatum(1);
	}
	if (has_ended(row))
		set_default(row, VIEW_COMPLETED_AT, row->values[VIEW_CREATED_AT]);
}

static char *
text_or_null(const ViewRow *row, ViewColumn column)
{
	return row->nulls[column] ? NULL : TextDatumGetCString(row->values[column]);
}

/* A waiting job is not due before; 0: at once. */
static TimestampTz
due_of(const ViewRow *row)
{
	return row->nulls[VIEW_NEXT_RETRY_AT] ? 0 : DatumGetTimestampTz(row->values[VIEW_NEXT_RETRY_AT]);
}

/* Does what the row says of attempts need an outcome? */
static bool
was_tried(const ViewRow *row)
{
	return is_status(row, "pending") && (row->attempts > 0 || !row->nulls[VIEW_ERROR_MESSAGE]);
}

/* The outcome that says what a row's columns say. */
static void
write_outcome(const ViewRow *row, int generation, int64 seq)
{
	QueueWriter writer;
	bool		ended = has_ended(row);
	Datum		values[OUTCOME_COLUMNS];
	bool		nulls[OUTCOME_COLUMNS] = {false};

	values[OUTCOME_JOB_SEQ] = Int64GetDatum(seq);
	values[OUTCOME_STARTED_AT] = row->values[VIEW_STARTED_AT];
	nulls[OUTCOME_STARTED_AT] = row->nulls[VIEW_STARTED_AT];
	values[OUTCOME_ENDED_AT] = ended ? row->values[VIEW_COMPLETED_AT] : TimestampTzGetDatum(GetCurrentTimestamp());
	values[OUTCOME_NEXT_RETRY_AT] = row->values[VIEW_NEXT_RETRY_AT];
	nulls[OUTCOME_NEXT_RETRY_AT] = ended || row->nulls[VIEW_NEXT_RETRY_AT];
	values[OUTCOME_ATTEMPT] = Int32GetDatum(row->attempts);
	values[OUTCOME_KIND] = CStringGetTextDatum(ended ? row->status : "retry");
	values[OUTCOME_WORKER_ID] = row->values[VIEW_WORKER_ID];
	nulls[OUTCOME_WORKER_ID] = row->nulls[VIEW_WORKER_ID];
	values[OUTCOME_RESULT] = row->values[VIEW_RESULT];
	nulls[OUTCOME_RESULT] = row->nulls[VIEW_RESULT];
	values[OUTCOME_ERROR] = row->values[VIEW_ERROR_MESSAGE];
	nulls[OUTCOME_ERROR] = row->nulls[VIEW_ERROR_MESSAGE];
	queue_writer_open(&writer, queue_outcomes_table(generation), OUTCOME_COLUMNS);
	(void) queue_writer_append(&writer, values, nulls, true);
	queue_writer_close(&writer);
}

/* What the ready list is to know of a row that waits, besides row_entry(). */
static void
wait_entry(const ViewRow *row, QueueJob *entry)
{
	entry->attempts = row->attempts;
	entry->due = due_of(row);
	entry->retry = row->attempts > 0;
}

/* What is to become of the written job in memory. */
static void
settle_row(const ViewRow *row, const pg_uuid_t *id, QueueJob *entry)
{
	entry->attempts = row->attempts;
	if (has_ended(row))
		queue_xact_settle(id, QUEUE_GONE, NULL, NULL);
	else if (is_status(row, "pending"))
	{
		wait_entry(row, entry);
		queue_xact_settle(id, QUEUE_WAITS, entry, NULL);
	}
	else
	{
		QueueGrant	grant;
		char	   *worker = text_or_null(row, VIEW_WORKER_ID);

		grant.worker = worker == NULL ? "" : worker;
		grant.started_at = row->nulls[VIEW_STARTED_AT] ? GetCurrentTimestamp()
			: DatumGetTimestampTz(row->values[VIEW_STARTED_AT]);
		grant.length = DatumGetTimestampTz(row->values[VIEW_LOCKED_UNTIL]) - GetCurrentTimestamp();
		queue_xact_settle(id, QUEUE_RUNS, entry, &grant);
	}
}

/* The columns of table jobs; the id is the row's. */
static void
job_row_values(const ViewRow *row, int64 seq, Datum *values, bool *nulls)
{
	static const ViewColumn source[JOB_COLUMNS] = {
		[JOB_ID] = VIEW_ID,[JOB_TYPE] = VIEW_JOB_TYPE,[JOB_PRIORITY] = VIEW_PRIORITY,
		[JOB_PAYLOAD] = VIEW_PAYLOAD,[JOB_MAX_ATTEMPTS] = VIEW_MAX_ATTEMPTS,
		[JOB_RUN_AT] = VIEW_NEXT_RETRY_AT,[JOB_CREATED_AT] = VIEW_CREATED_AT,
		[JOB_DEDUPE_KEY] = VIEW_DEDUPE_KEY,[JOB_QUEUE] = VIEW_QUEUE,
	};

	for (int i = 0; i < JOB_COLUMNS; i++)
	{
		values[i] = row->values[source[i]];
		nulls[i] = row->nulls[source[i]];
	}
	values[JOB_SEQ] = Int64GetDatum(seq);
	nulls[JOB_SEQ] = false;
	nulls[JOB_RUN_AT] = nulls[JOB_RUN_AT] || !is_status(row, "pending");
}

/* What the ready list is to know, but for where the row is. */
static void
row_entry(const ViewRow *row, int64 seq, int generation, QueueJob *entry)
{
	PadlockNewJob job = {.type = text_or_null(row, VIEW_JOB_TYPE), .queue = text_or_null(row, VIEW_QUEUE),
		.priority = DatumGetInt32(row->values[VIEW_PRIORITY]),
	.max_attempts = DatumGetInt32(row->values[VIEW_MAX_ATTEMPTS])};

	queue_job_entry(&job, seq, generation, entry);
}

/* Let the type's watcher change the payload of a job that the row ends. */
static void
ask_watcher(ViewRow *row)
{
	char	   *error = text_or_null(row, VIEW_ERROR_MESSAGE);
	QueueOutcome outcome = {.kind = row->status, .error = error};
	Jsonb	   *payload = queue_ask_watcher(DatumGetUUIDP(row->values[VIEW_ID]),
											text_or_null(row, VIEW_JOB_TYPE),
											DatumGetJsonbP(row->values[VIEW_PAYLOAD]), &outcome);

	if (payload != NULL)
		row->values[VIEW_PAYLOAD] = JsonbPGetDatum(payload);
}

/* An id that is given must be new. */
static void
choose_id(ViewRow *row)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	if (!row->nulls[VIEW_ID])
	{
		if (padlock_queue_job_exists(DatumGetUUIDP(row->values[VIEW_ID])))
			ereport(ERROR,
					(errcode(ERRCODE_UNIQUE_VIOLATION),
					 errmsg("a job with this id exists already")));
		return;
	}
	queue_make_id(id);
	row->values[VIEW_ID] = UUIDPGetDatum(id);
	row->nulls[VIEW_ID] = false;
}

/*
 * Add the row.  One that has ended goes to generation 0, since retention goes
 * by the time of its end, which may be long ago.
 */
static void
insert_row(ViewRow *row)
{
	int			generation = queue_generation();
	QueueWriter writer;
	Datum		values[JOB_COLUMNS];
	bool		nulls[JOB_COLUMNS];
	QueueJob	entry;
	int64		seq;

	if (has_ended(row))
		generation = 0;
	else
		queue_refuse_twin(text_or_null(row, VIEW_JOB_TYPE), text_or_null(row, VIEW_DEDUPE_KEY));
	choose_id(row);
	seq = queue_next_seq();
	row->values[VIEW_ENQUEUE_ORDER] = Int64GetDatum(seq);
	row->nulls[VIEW_ENQUEUE_ORDER] = false;
	job_row_values(row, seq, values, nulls);
	queue_writer_open(&writer, queue_jobs_table(generation), JOB_COLUMNS);
	{
		ItemPointerData tid = queue_writer_append(&writer, values, nulls, true);

		queue_writer_close(&writer);
		row_entry(row, seq, generation, &entry);
		entry.row = tid;
	}
	if (has_ended(row) || was_tried(row))
		write_outcome(row, generation, seq);
	if (is_status(row, "pending"))
	{
		wait_entry(row, &entry);
		queue_xact_added(DatumGetUUIDP(row->values[VIEW_ID]), &entry);
	}
	else if (!has_ended(row))
		settle_row(row, DatumGetUUIDP(row->values[VIEW_ID]), &entry);
}

/* Take hold of a row's job; false when it is gone. */
static bool
hold_row(const ViewRow *old, QueueChange *change)
{
	return queue_change_begin(DatumGetUUIDP(old->values[VIEW_ID]), change);
}

/* Write the job's columns; returns where the row is now. */
static ItemPointerData
update_job(const ViewRow *row, const QueueChange *change)
{
	static Oid	types[JOB_COLUMNS] = {INT8OID, UUIDOID, TEXTOID, INT4OID, JSONBOID, INT4OID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum		values[JOB_COLUMNS];
	bool		isnull[JOB_COLUMNS];
	char		nulls[JOB_COLUMNS];

	job_row_values(row, change->seq, values, isnull);
	for (int i = 0; i < JOB_COLUMNS; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';
	if (queue_run_on(change->generation,
					 "UPDATE ONLY padlock.jobs%1$s SET job_type = $3, priority = $4, payload = $5,"
					 " max_attempts = $6, run_at = $7, created_at = $8, dedupe_key = $9, queue = $10"
					 " WHERE id = $2 AND seq = $1 RETURNING ctid", JOB_COLUMNS, types, values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not update the job: it was changed meanwhile")));
	return *QueueDatumGetItemPointer(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
											  &isnull[0]));
}

/* Remove the outcomes that the row's new state replaces. */
static void
delete_outcomes(const ViewRow *row, const QueueChange *change)
{
	static Oid	types[2] = {INT8OID, INT4OID};
	Datum		values[2] = {Int64GetDatum(change->seq), Int32GetDatum(row->attempts)};

	(void) queue_run_on(change->generation,
						"DELETE FROM ONLY padlock.job_outcomes%1$s"
						" WHERE job_seq = $1 AND (kind <> 'retry' OR attempt >= $2)",
						2, types, values, NULL);
}

/* Is the job still as the statement saw it? */
static void
check_unchanged(const ViewRow *old, const QueueChange *change)
{
	if (is_status(old, change->status) && old->attempts == change->attempts)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not update the job: it was changed meanwhile"),
			 errdetail("It was %s when it was read and is %s now.", old->status, change->status)));
}

/* Are two rows' values of a text column the same, or both NULL? */
static bool
is_same_text(const ViewRow *a, const ViewRow *b, ViewColumn column)
{
	if (a->nulls[column] || b->nulls[column])
		return a->nulls[column] && b->nulls[column];
	return strcmp(text_or_null(a, column), text_or_null(b, column)) == 0;
}

/*
 * Does the new row make a job wait or run with a dedupe key of which it did
 * not so far?
 */
static bool
takes_key(const ViewRow *old, const ViewRow *row)
{
	return !row->nulls[VIEW_DEDUPE_KEY] && !has_ended(row) &&
		(has_ended(old) || !is_same_text(old, row, VIEW_DEDUPE_KEY) ||
		 !is_same_text(old, row, VIEW_JOB_TYPE));
}

/* Write the new row in place of the old one; false when the job is gone. */
static bool
update_row(const ViewRow *old, ViewRow *row)
{
	QueueChange change;
	QueueJob	entry;
	ItemPointerData tid;

	if (memcmp(DatumGetUUIDP(old->values[VIEW_ID]), DatumGetUUIDP(row->values[VIEW_ID]), UUID_LEN) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the id of a job cannot be changed")));
	if (row->nulls[VIEW_ENQUEUE_ORDER] ||
		DatumGetInt64(old->values[VIEW_ENQUEUE_ORDER]) != DatumGetInt64(row->values[VIEW_ENQUEUE_ORDER]))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the place of a job in the order cannot be changed"),
				 errhint("Change its priority.")));
	if (takes_key(old, row))
		queue_refuse_twin(text_or_null(row, VIEW_JOB_TYPE), text_or_null(row, VIEW_DEDUPE_KEY));
	if (!hold_row(old, &change))
		return false;
	check_unchanged(old, &change);
	if (has_ended(row) && !has_ended(old))
		ask_watcher(row);
	queue_change_rows(&change);
	SPI_connect();
	tid = update_job(row, &change);
	delete_outcomes(row, &change);
	SPI_finish();
	if (has_ended(row) || was_tried(row))
		write_outcome(row, change.generation, change.seq);
	row_entry(row, change.seq, change.generation, &entry);
	entry.row = tid;
	settle_row(row, &change.id, &entry);
	return true;
}

/* Delete the job; false when it is gone. */
static bool
delete_row(const ViewRow *old)
{
	static Oid	types[1] = {UUIDOID};
	static Oid	seq_types[1] = {INT8OID};
	QueueChange change;
	Datum		id[1] = {old->values[VIEW_ID]};
	Datum		seq[1];

	if (!hold_row(old, &change))
		return false;
	queue_change_rows(&change);
	seq[0] = Int64GetDatum(change.seq);
	SPI_connect();
	(void) queue_run_on(change.generation, "DELETE FROM ONLY padlock.jobs%1$s WHERE id = $1",
						1, types, id, NULL);
	(void) queue_run_on(change.generation, "DELETE FROM ONLY padlock.job_outcomes%1$s WHERE job_seq = $1",
						1, seq_types, seq, NULL);
	SPI_finish();
	queue_xact_settle(&change.id, QUEUE_GONE, NULL, NULL);
	return true;
}

/* The row as a tuple of the view, for RETURNING. */
static HeapTuple
row_tuple(ViewRow *row, HeapTuple like, TupleDesc desc)
{
	Datum	   *values = palloc_array(Datum, desc->natts);
	bool	   *nulls = palloc_array(bool, desc->natts);

	heap_deform_tuple(like, desc, values, nulls);
	memcpy(values, row->values, sizeof(row->values));
	memcpy(nulls, row->nulls, sizeof(row->nulls));
	return heap_form_tuple(desc, values, nulls);
}

static void
check_right(void)
{
	if (!may_use_queue())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for job_queue"),
				 errdetail("Only service_role and roles that row security does not bind may change it.")));
}

/* padlock.job_queue_change() trigger, INSTEAD OF INSERT, UPDATE or DELETE FOR EACH ROW. */
Datum
padlock_job_queue_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	ViewRow		old;
	ViewRow		row;
	HeapTuple	written;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_INSTEAD(trigger->tg_event) ||
		RelationGetDescr(trigger->tg_relation)->natts < VIEW_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("job_queue_change must be fired INSTEAD OF a change of job_queue FOR EACH ROW")));
	check_right();
	desc = RelationGetDescr(trigger->tg_relation);
	read_row(trigger->tg_trigtuple, desc, TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? &row : &old);
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		PG_RETURN_POINTER(delete_row(&old) ? trigger->tg_trigtuple : NULL);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		read_row(trigger->tg_newtuple, desc, &row);
	check_row(&row);
	written = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? trigger->tg_trigtuple : trigger->tg_newtuple;
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		insert_row(&row);
	else if (!update_row(&old, &row))
		PG_RETURN_POINTER(NULL);
	PG_RETURN_POINTER(row_tuple(&row, written, desc));
}
