/*-------------------------------------------------------------------------
 *
 * sql_handler.c
 *	  Jobs of registered types: a user's function does them, in the worker,
 *	  in the transaction that ends the job.
 *
 * The function runs with the rights of its role, as current and as outer
 * user, so that row security asks about that role; SECURITY_LOCAL_USERID_CHANGE
 * refuses SET ROLE and SET SESSION AUTHORIZATION, by which it could become
 * the superuser whom the process belongs to.  All that a commit would run of
 * the function's doing runs while the role lasts: deferred triggers are fired
 * and cursors closed before.  Settings that it makes are taken back, and what
 * would outlive the transaction is thrown away, as by DISCARD ALL.
 *
 * Limits.  After its timeout the function is cancelled.  One that catches the
 * cancel and goes on is cancelled again each second, and GRACE_S later the
 * worker ends by an error that nobody can catch; the attempt counts.  Memory:
 * the kernel refuses this process more private memory than
 * padlock.handler_memory while a function runs, which the server turns into
 * an ordinary error, instead of somebody being killed for lack of it.  A
 * result of more than MAX_RESULT_BYTES is refused.
 *
 * A failure is an error of the attempt, retried by the rules of the queue.
 * SQLSTATE PK001 says that no retry can mend it.  A function that raises
 * PK002, by which the worker knows a lost claim, must not make it believe so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/resource.h>
#include <unistd.h>

#include "access/detoast.h"
#include "catalog/namespace.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "core/spi.h"
#include "worker/job.h"
#include "worker/process.h"
#include "worker/settings.h"
#include "worker/sql_handler.h"

#define MAX_RESULT_BYTES	(1024 * 1024)
#define GRACE_S				5
#define CANCEL_EVERY_MS		1000
#define SHORT_TIMEOUT_MS	30000	/* what the lease of a fresh claim covers */
#define LEASE_RESERVE_MS	60000	/* beyond the timeout: grace, commit */

/* How the process was before it took on a handler's role. */
typedef struct Before
{
	PadlockUserContext user;
	struct rlimit memory;
} Before;

/* How often the running handler was cancelled for its timeout. */
static volatile sig_atomic_t cancels;

static TimeoutId handler_timeout_id = MAX_TIMEOUTS;

/* Timeout handler, in signal context: have the handler stop, or else. */
static void
cancel_handler(void)
{
	cancels++;
	if (cancels > GRACE_S * 1000 / CANCEL_EVERY_MS)
		ProcDiePending = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* Start the handler's clock in place of the transaction's. */
static void
start_clock(int timeout_ms)
{
	if (handler_timeout_id == MAX_TIMEOUTS)
		handler_timeout_id = RegisterTimeout(USER_TIMEOUT, cancel_handler);
	disable_timeout(STATEMENT_TIMEOUT, false);
	cancels = 0;
	enable_timeout_every(handler_timeout_id,
						 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms),
						 CANCEL_EVERY_MS);
}

/* A cancel that came when the handler had ended is none. */
static void
stop_clock(void)
{
	disable_timeout(handler_timeout_id, false);
	if (cancels > 0)
		QueryCancelPending = false;
}

/*
 * Let the process have padlock.handler_memory in all.  RLIMIT_DATA counts
 * private writable memory since Linux 4.7, and so no shared buffers.
 */
static void
limit_memory(struct rlimit *before)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_DATA, before) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not read the memory limit of a worker: %m")));
	limit = *before;
	limit.rlim_cur = Min((rlim_t) padlock_handler_memory * 1024 * 1024, limit.rlim_max);
	(void) setrlimit(RLIMIT_DATA, &limit);
}

/* Take on a role, as current and outer user, for good until leave(). */
static void
enter(const PadlockSqlHandler *handler, Before *before)
{
	limit_memory(&before->memory);
	GetUserIdAndSecContext(&before->user.user_id, &before->user.sec_context);
	SetUserIdAndSecContext(before->user.user_id, 0);
	SetCurrentRoleId(handler->role, false);
	SetUserIdAndSecContext(handler->role, SECURITY_LOCAL_USERID_CHANGE);
	start_clock(handler->timeout_ms);
}

/* Undo enter(), after success or an error; raises none. */
static void
leave(const Before *before)
{
	(void) setrlimit(RLIMIT_DATA, &before->memory);
	stop_clock();
	SetUserIdAndSecContext(GetUserId(), 0);
	SetCurrentRoleId(InvalidOid, false);
	padlock_restore_user(&before->user);
}

/*
 * Throw away what would outlive the transaction even if it fails.  Its own
 * advisory locks it keeps to its end, as what they guard is not committed yet.
 */
static void
discard_session_state(void)
{
	DropAllPreparedStatements();
	LockReleaseSession(USER_LOCKMETHOD);
}

/* The client schema before all, as behind a gateway. */
static void
set_search_path(void)
{
	const char *schema = quote_identifier(get_namespace_name(padlock_client_schema()));

	(void) set_config_option("search_path", psprintf("%s, pg_temp", schema), PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* The result, out of whatever table it lies in; NULL for NULL. */
static Jsonb *
read_result(const PadlockJob *job, Datum result, bool isnull)
{
	Size		size;

	if (isnull)
		return NULL;
	size = toast_raw_datum_size(result);
	if (size > MAX_RESULT_BYTES)
		padlock_job_refuse("the handler of jobs of type \"%s\" returned %zu bytes: a result has at most %d",
						   job->type, size, MAX_RESULT_BYTES);
	return DatumGetJsonbPCopy(result);
}

/* Call the function and all that hangs on it, with its own settings. */
static Jsonb *
call(const PadlockSqlHandler *handler, const PadlockJob *job)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	flinfo;
	Datum		datum;
	Jsonb	   *result;
	int			settings = NewGUCNestLevel();

	set_search_path();
	fmgr_info(handler->function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(job->payload);
	fcinfo->args[0].isnull = false;
	datum = FunctionCallInvoke(fcinfo);
	result = read_result(job, datum, fcinfo->isnull);
	AfterTriggerFireDeferred();
	PortalHashTableDeleteAll();
	AtEOXact_GUC(false, settings);
	return result;
}

/*
 * Raise an error of the handler's again, as the worker should understand it:
 * what a limit of ours caused is said in our words.
 */
static void
raise_error(ErrorData *error, const PadlockJob *job, const PadlockSqlHandler *handler)
{
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && cancels > 0)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("the handler of jobs of type \"%s\" was stopped after %g s",
						job->type, handler->timeout_ms / 1000.0)));
	if (error->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("the handler of jobs of type \"%s\" wanted more memory than padlock.handler_memory (%d MB)",
						job->type, padlock_handler_memory)));
	if (error->sqlerrcode == PADLOCK_ERRCODE_CLAIM_LOST)
		error->sqlerrcode = ERRCODE_RAISE_EXCEPTION;
	ThrowErrorData(error);
}

/* Call the function as its role. */
static Jsonb *
call_as_role(const PadlockSqlHandler *handler, const PadlockJob *job)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *volatile result = NULL;
	Before		before;

	enter(handler, &before);
	PG_TRY();
	{
		result = call(handler, job);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		leave(&before);
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		discard_session_state();
		raise_error(error, job, handler);
	}
	PG_END_TRY();
	leave(&before);
	discard_session_state();
	ResetTempTableNamespace();
	ResetSequenceCaches();
	return result;
}

/* Look the job's handler up; a job that has none is refused. */
static void
find_handler(const PadlockJob *job, PadlockSqlHandler *handler)
{
	if (!padlock_sql_handler_find(job->type, handler))
		padlock_job_refuse_type(job);
}

/* A lease that covers the timeout, in force before the handler is called. */
static void
hold_job(const PadlockJob *job, int timeout_ms)
{
	if (timeout_ms <= SHORT_TIMEOUT_MS)
		return;
	padlock_worker_hold_job((int64) timeout_ms + LEASE_RESERVE_MS);
	padlock_worker_commit();
	padlock_worker_begin();
}

/* The job's handler; see job.h for what it promises. */
static Jsonb *
run_sql_handler(const PadlockJob *job)
{
	PadlockSqlHandler handler;

	padlock_worker_begin();
	find_handler(job, &handler);
	hold_job(job, handler.timeout_ms);
	return call_as_role(&handler, job);
}

const PadlockJobType padlock_job_registered = {
	"", run_sql_handler, NULL
};

/*
 * proc(5): the sixth figure of /proc/self/statm is data and stack, in pages.
 * Half of what a handler may have is far more than a fresh worker needs.
 */
bool
padlock_sql_handler_leaked(void)
{
	FILE	   *file = AllocateFile("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (file == NULL)
		return false;
	if (fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
		pages = 0;
	FreeFile(file);
	return pages * sysconf(_SC_PAGESIZE) > (uint64) padlock_handler_memory * 1024 * 1024 / 2;
}
