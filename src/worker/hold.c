/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  DROP DATABASE and its like do not wait for padlock's workers, and a
 *	  database that gets padlock is announced.
 *
 * PostgreSQL refuses DROP DATABASE, ALTER DATABASE ... RENAME, ... SET
 * TABLESPACE and CREATE DATABASE ... TEMPLATE while somebody is connected to
 * the database; of background processes it sends only autovacuum away.  A
 * ProcessUtility hook does it for ours: it holds the database (the launcher
 * starts nothing in a held one), ends its workers and waits until they are
 * gone.  The hold ends with the transaction, whichever way it ends: these
 * statements run only outside a transaction block, and at the callback a
 * dropped database is already invisible to the launcher's scan.  An exit of
 * the backend aborts its transaction first, so no hold outlives its holder.
 *
 * An announcement is made at COMMIT.  CREATE EXTENSION inside PREPARE
 * TRANSACTION is not announced by COMMIT PREPARED: SELECT padlock.announce()
 * afterwards does it.
 *
 * Only who may run the statement holds a database: others could stop the
 * workers by statements that fail.
 *
 * Locking contract: see state.c; nothing is held while waiting.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "tcop/utility.h"
#include "utils/acl.h"

#include "envelope/envelope.h"
#include "queue/queue.h"
#include "search/query_log.h"
#include "worker/key_service.h"
#include "worker/launcher.h"
#include "worker/state.h"

/* How long a statement waits for workers; PostgreSQL then waits 5 s more. */
#define STOP_WAIT_MS 5000

static ProcessUtility_hook_type previous_ProcessUtility = NULL;

/* Of the current transaction: a database it holds, and what to tell at commit. */
static Oid	held_database = InvalidOid;
static bool announce_at_commit = false;
static bool wake_at_end = false;

PG_FUNCTION_INFO_V1(padlock_announce);

/* Let the launcher start workers in the held database again. */
static void
release_hold(void)
{
	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	for (int i = 0; i < PADLOCK_MAX_DATABASES; i++)
		if (padlock_workers->databases[i].oid == held_database)
			padlock_workers->databases[i].holds--;
	for (int i = 0; i < padlock_workers->worker_places; i++)
		if (padlock_workers->workers[i].database == held_database)
		{
			padlock_workers->workers[i].restart_at = 0;
			padlock_workers->workers[i].failures = 0;
		}
	LWLockRelease(padlock_workers->lock);
	held_database = InvalidOid;
}

/* This database has padlock from now on; old failures do not count. */
static void
mark_present(void)
{
	PadlockDatabase *database;

	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	database = padlock_worker_database(MyDatabaseId);
	if (database != NULL)
	{
		database->presence = PADLOCK_PRESENT;
		database->announcements++;
	}
	for (int i = 0; i < padlock_workers->worker_places; i++)
		if (padlock_workers->workers[i].database == MyDatabaseId)
			padlock_workers->workers[i].restart_at = 0;
	LWLockRelease(padlock_workers->lock);
}

/* Transaction end: undo the hold, tell the launcher. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	bool		wake = wake_at_end;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (OidIsValid(held_database))
		release_hold();
	if (announce_at_commit && event == XACT_EVENT_COMMIT)
	{
		mark_present();
		wake = true;
	}
	announce_at_commit = wake_at_end = false;
	if (wake)
		padlock_worker_wake_launcher();
}

static void
watch_transaction(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

/*
 * Hold a database and ask its workers to end.  A start that has not attached
 * yet is made void.
 */
static void
hold_database(Oid oid)
{
	PadlockDatabase *database;

	watch_transaction();
	LWLockAcquire(padlock_workers->lock, LW_EXCLUSIVE);
	database = padlock_worker_database(oid);
	if (database != NULL)
	{
		database->holds++;
		held_database = oid;
	}
	for (int i = 0; i < padlock_workers->worker_places; i++)
	{
		PadlockWorker *worker = &padlock_workers->workers[i];

		if (worker->database != oid)
			continue;
		if (worker->state == PADLOCK_WORKER_STARTING)
		{
			worker->generation++;
			padlock_worker_rest(worker, false);
		}
		else if (worker->pid != 0)
			kill(worker->pid, SIGTERM);
	}
	LWLockRelease(padlock_workers->lock);
	wake_at_end = true;
}

static bool
has_workers(Oid oid)
{
	bool		found = false;

	LWLockAcquire(padlock_workers->lock, LW_SHARED);
	for (int i = 0; i < padlock_workers->worker_places; i++)
		if (padlock_workers->workers[i].database == oid && padlock_workers->workers[i].pid != 0)
			found = true;
	LWLockRelease(padlock_workers->lock);
	return found;
}

/* Wait until a held database's workers are gone, STOP_WAIT_MS at most. */
static void
wait_for_workers(Oid oid)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STOP_WAIT_MS);

	ConditionVariablePrepareToSleep(&padlock_workers->stopped);
	while (has_workers(oid))
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0 ||
			ConditionVariableTimedSleep(&padlock_workers->stopped, left, PG_WAIT_EXTENSION))
			break;
	}
	ConditionVariableCancelSleep();
}

/* The text of a statement's option, or the default. */
static const char *
option_text(List *options, const char *name, const char *fallback)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0)
			return option->arg ? defGetString(option) : fallback;
	}
	return fallback;
}

/*
 * The database that a statement needs empty and that its caller may treat
 * so; InvalidOid for any other statement.
 */
static Oid
database_to_empty(Node *statement)
{
	const char *name = NULL;
	Oid			oid;

	if (IsA(statement, DropdbStmt))
		name = castNode(DropdbStmt, statement)->dbname;
	else if (IsA(statement, RenameStmt) &&
			 castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
		name = castNode(RenameStmt, statement)->subname;
	else if (IsA(statement, AlterDatabaseStmt) &&
			 option_text(castNode(AlterDatabaseStmt, statement)->options, "tablespace", NULL))
		name = castNode(AlterDatabaseStmt, statement)->dbname;
	else if (IsA(statement, CreatedbStmt))
		name = option_text(castNode(CreatedbStmt, statement)->options, "template", NULL);

	if (name == NULL)
		return InvalidOid;
	oid = get_database_oid(name, true);
	if (!OidIsValid(oid) || oid == MyDatabaseId || !pg_database_ownercheck(oid, GetUserId()))
		return InvalidOid;
	return oid;
}

/*
 * A database was dropped: free its places in shared memory.  On a replica,
 * which replays the drop, they stay until its next start.
 */
static void
forget_database(Oid oid)
{
	padlock_queue_forget_database(oid);
	padlock_keyring_forget_database(oid);
	padlock_key_services_forget_database(oid);
	padlock_search_log_forget_database(oid);
}

/* ProcessUtility hook: empty the database first, then run the statement. */
static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *statement = pstmt->utilityStmt;
	Oid			dropped = InvalidOid;

	if (padlock_workers != NULL &&
		(IsA(statement, DropdbStmt) || IsA(statement, RenameStmt) ||
		 IsA(statement, AlterDatabaseStmt) || IsA(statement, CreatedbStmt)) &&
		!IsInTransactionBlock(context == PROCESS_UTILITY_TOPLEVEL))
	{
		Oid			oid = database_to_empty(statement);

		if (OidIsValid(oid) && !OidIsValid(held_database))
		{
			hold_database(oid);
			wait_for_workers(oid);
		}
		if (IsA(statement, DropdbStmt))
			dropped = oid;
		if (IsA(statement, CreatedbStmt))
		{
			watch_transaction();
			wake_at_end = true;
		}
	}

	if (previous_ProcessUtility)
		previous_ProcessUtility(pstmt, query_string, read_only_tree, context, params,
								environment, dest, qc);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context, params,
								environment, dest, qc);
	if (OidIsValid(dropped))
		forget_database(dropped);
}

void
padlock_worker_watch_statements(void)
{
	previous_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

/*
 * padlock.announce() returns void: tell the launcher, when the current
 * transaction commits, that this database has padlock.  Does nothing when
 * padlock is not preloaded.
 */
Datum
padlock_announce(PG_FUNCTION_ARGS)
{
	if (padlock_workers != NULL)
	{
		watch_transaction();
		announce_at_commit = true;
	}
	PG_RETURN_VOID();
}
