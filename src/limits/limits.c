/*-------------------------------------------------------------------------
 *
 * limits.c
 *	  Set-up of room limits, and the keeper: a process that frees idle
 *	  counters and writes the state file.
 *
 * The keeper runs on primaries and replicas alike, without a database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "core/core.h"
#include "limits/limits.h"
#include "limits/table.h"

PGDLLEXPORT void padlock_limits_keeper_main(Datum arg);

static int	save_interval = 5;

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static void
request_memory(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	limits_request_memory();
}

/* In the postmaster, when all its children are gone; not after a crash. */
static void
save_at_exit(int code, Datum arg)
{
	if (code == 0)
		limits_save_state(true);
}

static void
attach_memory(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();
	if (limits_attach_memory())
		limits_load_state();
	if (!IsUnderPostmaster)
		on_shmem_exit(save_at_exit, (Datum) 0);
}

/* Entry point of the keeper. */
void
padlock_limits_keeper_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	while (!ShutdownRequestPending)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 save_interval * 1000L, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		limits_sweep();
		if (limits_take_changed())
			limits_save_state(false);
	}
	proc_exit(0);
}

static void
register_keeper(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_name, "padlock limits keeper", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "padlock limits keeper", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "padlock", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "padlock_limits_keeper_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

void
padlock_limits_init(void)
{
	if (!padlock_preloaded)
		return;
	DefineCustomIntVariable("padlock.rate_limit_max_keys",
							"Number of callers and endpoints that the rate limiter can count at a time.",
							"Each takes about 450 bytes of shared memory.",
							&limits_max_keys, 100000, 100, 50000000, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.rate_limit_save_interval",
							"Time between writes of the rate limiter's counters to disk.",
							"A crash loses at most the requests counted since the last write.",
							&save_interval, 5, 1, 3600, PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);

	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = attach_memory;
	if (!IsBinaryUpgrade)
		register_keeper();
}
