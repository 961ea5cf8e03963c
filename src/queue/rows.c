/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Appends rows to the queue's tables.
 *
 * The statements of the hot paths append one row each to a table that is
 * known, without triggers, so they go to the table and its indexes directly:
 * a third of the cost of an INSERT through the executor.  The rights are the
 * callers' business (queue_sql.c, view.c).
 *
 * Generations: padlock.jobs_<n> and padlock.job_outcomes_<n>, children of
 * padlock.jobs and padlock.job_outcomes, which themselves are generation 0
 * (retention.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#include "queue/rows.h"

static Oid
find_table(const char *name, bool missing_ok)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("padlock", false));

	if (!OidIsValid(relid) && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"padlock.%s\" of the job queue does not exist", name),
				 errhint("Run SELECT padlock.install() as the owner of the extension.")));
	return relid;
}

static Oid
find_generation(const char *parent, int generation, bool missing_ok)
{
	char		name[NAMEDATALEN];

	if (generation == 0)
		return find_table(parent, missing_ok);
	snprintf(name, sizeof(name), "%s_%d", parent, generation);
	return find_table(name, missing_ok);
}

Oid
queue_jobs_table(int generation)
{
	return find_generation("jobs", generation, false);
}

Oid
queue_jobs_table_if_any(int generation)
{
	return find_generation("jobs", generation, true);
}

Oid
queue_outcomes_table(int generation)
{
	return find_generation("job_outcomes", generation, false);
}

Oid
queue_sequence(void)
{
	return find_table("jobs_seq_seq", false);
}

void
queue_writer_open(QueueWriter *writer, Oid table, int columns)
{
	PreventCommandIfReadOnly("changing the job queue");
	PreventCommandDuringRecovery("changing the job queue");
	writer->columns = columns;
	writer->rel = table_open(table, RowExclusiveLock);
	writer->estate = CreateExecutorState();
	writer->target = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->target, writer->rel, 0, NULL, 0);
	ExecOpenIndices(writer->target, false);
	writer->slot = table_slot_create(writer->rel, NULL);
}

ItemPointerData
queue_writer_append(QueueWriter *writer, const Datum *values, const bool *nulls, bool check)
{
	TupleTableSlot *slot = writer->slot;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	memcpy(slot->tts_values, values, writer->columns * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, writer->columns * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	if (check)
		ExecConstraints(writer->target, slot, writer->estate);
	table_tuple_insert(writer->rel, slot, GetCurrentCommandId(true), 0, NULL);
	if (writer->target->ri_NumIndices > 0)
		(void) ExecInsertIndexTuples(writer->target, slot, writer->estate, false, false, NULL, NIL);
	ResetPerTupleExprContext(writer->estate);
	return slot->tts_tid;
}

void
queue_writer_close(QueueWriter *writer)
{
	ExecDropSingleTupleTableSlot(writer->slot);
	ExecCloseIndices(writer->target);
	FreeExecutorState(writer->estate);
	table_close(writer->rel, NoLock);
	CommandCounterIncrement();
}
