/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  The queue's tables, and rows put into them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_QUEUE_ROWS_H
#define PADLOCK_QUEUE_ROWS_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

/* Columns of padlock.jobs and its children, in the order of their definition. */
typedef enum JobColumn
{
	JOB_SEQ,
	JOB_ID,
	JOB_TYPE,
	JOB_PRIORITY,
	JOB_PAYLOAD,
	JOB_MAX_ATTEMPTS,
	JOB_RUN_AT,
	JOB_CREATED_AT,
	JOB_DEDUPE_KEY,
	JOB_QUEUE,
	JOB_COLUMNS
} JobColumn;

/* Columns of padlock.job_outcomes and its children. */
typedef enum OutcomeColumn
{
	OUTCOME_JOB_SEQ,
	OUTCOME_STARTED_AT,
	OUTCOME_ENDED_AT,
	OUTCOME_NEXT_RETRY_AT,
	OUTCOME_ATTEMPT,
	OUTCOME_KIND,
	OUTCOME_WORKER_ID,
	OUTCOME_RESULT,
	OUTCOME_ERROR,
	OUTCOME_COLUMNS
} OutcomeColumn;

/* A tid column; the server keeps this to itself. */
#define QueueDatumGetItemPointer(X) ((ItemPointer) DatumGetPointer(X))

/* The same for SQL. */
#define JOB_COLUMN_LIST \
	"seq, id, job_type, priority, payload, max_attempts, run_at, created_at, dedupe_key, queue"
#define OUTCOME_COLUMN_LIST \
	"job_seq, started_at, ended_at, next_retry_at, attempt, kind, worker_id, result, error"

/* A table of the queue opened to append to. */
typedef struct QueueWriter
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot;
	int			columns;		/* of ours; a user's own stay NULL */
} QueueWriter;

/* OIDs of a generation's tables and of the sequence; an error with a hint if missing. */
extern Oid	queue_jobs_table(int generation);
extern Oid	queue_jobs_table_if_any(int generation);	/* InvalidOid if missing */
extern Oid	queue_outcomes_table(int generation);
extern Oid	queue_sequence(void);

extern void queue_writer_open(QueueWriter *writer, Oid table, int columns);

/*
 * Append a row and its index entries, past triggers and rules; check: also
 * see that the table's constraints hold.  Returns where it is.
 */
extern ItemPointerData queue_writer_append(QueueWriter *writer, const Datum *values,
										   const bool *nulls, bool check);

/* Close, and make the rows visible to what the transaction does next. */
extern void queue_writer_close(QueueWriter *writer);

#endif							/* PADLOCK_QUEUE_ROWS_H */
