/*-------------------------------------------------------------------------
 *
 * key_service.c
 *	  What the keyring needs of key services: unwrap KEKs at the start, wrap
 *	  new ones, wrap old ones anew.  Job type keyring, and the same by itself.
 *
 * Only workers ask key services, and only between transactions.  A pass reads
 * what is to be done in one short transaction, asks for each KEK without one,
 * and stores each result in one of its own; whatever a failure or a crash
 * leaves undone, the next pass finds again.
 *
 * A service that is down delays nothing but what needs it: keys that are
 * unlocked stay so, and a pass asks a service that did not serve only once.
 * It is tried again after a wait that doubles up to about a minute
 * (key_service_state.c), by whichever worker is awake.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "envelope/envelope.h"
#include "worker/job.h"
#include "worker/key_service.h"
#include "worker/process.h"

static const PadlockKeyService *const services[] = {
	&padlock_aws_kms,
	&padlock_google_kms,
	&padlock_vault,
};

/* What a pass has done. */
typedef struct Pass
{
	int			done;
	int			failed;
	bool		is_down[lengthof(services)];
	char	   *problem;		/* of the last that failed */
} Pass;

/* The index of a service by its name, -1 if there is none. */
static int
find_service(const char *name)
{
	for (int i = 0; i < lengthof(services); i++)
		if (strcmp(services[i]->name, name) == 0)
			return i;
	return -1;
}

const char *
padlock_key_service_check(const char *provider, const char *provider_key_id)
{
	int			i = find_service(provider);

	if (i < 0)
		return "The providers are local, aws_kms, google_kms and vault.";
	return services[i]->check(provider_key_id);
}

/* Unlock a KEK of the key file's that nobody has used since the start. */
static bool
unlock(const PadlockKeyTask *task, uint8 *kek)
{
	bool		unlocked;

	padlock_worker_begin();
	unlocked = padlock_keyring_unlock(task, kek);
	padlock_worker_commit();
	return unlocked;
}

/* Get the KEK that a task is about; false when it is locked again. */
static bool
get_kek(const PadlockKeyService *service, const PadlockKeyTask *task, uint8 *kek)
{
	switch (task->kind)
	{
		case PADLOCK_KEY_UNLOCK:
			service->unwrap(task->provider_key_id, task->name, task->wrapped, kek);
			return true;
		case PADLOCK_KEY_MAKE:
			if (!pg_strong_random(kek, PADLOCK_KEK_SIZE))
				ereport(ERROR,
						(errcode(ERRCODE_INTERNAL_ERROR),
						 errmsg("could not generate random values")));
			return true;
		case PADLOCK_KEY_REWRAP:
			return padlock_keyring_get(&task->id, kek) || unlock(task, kek);
	}
	return false;
}

/* Store a wrapped KEK; one that was just made is unlocked, too. */
static void
store(const PadlockKeyTask *task, const bytea *wrapped, const uint8 *kek)
{
	bool		stored;

	padlock_worker_begin();
	stored = padlock_keyring_store(task, kek, wrapped);
	padlock_worker_commit();
	if (stored && task->kind == PADLOCK_KEY_MAKE)
		(void) padlock_keyring_put(&task->id, kek);
}

/*
 * Do one task.  What was wrapped is unwrapped once before it is kept: a
 * service that wraps and then cannot open would lose the key and all that is
 * sealed under it.  For the same reason what a service unwraps later is taken
 * only if it is that key: nothing may be sealed under another in its name.
 */
static void
do_task(const PadlockKeyService *service, const PadlockKeyTask *task)
{
	uint8		kek[PADLOCK_KEK_SIZE];
	uint8		again[PADLOCK_KEK_SIZE];

	PG_TRY();
	{
		if (!get_kek(service, task, kek))
			 /* locked meanwhile: not ours to open again */ ;
		else if (task->kind == PADLOCK_KEY_UNLOCK)
		{
			if (!padlock_keyring_is_kek(task, kek))
				padlock_key_service_odd(service->name, "another key than the one that it wrapped");
			(void) padlock_keyring_put(&task->id, kek);
		}
		else
		{
			bytea	   *wrapped = service->wrap(task->provider_key_id, task->name, kek);

			service->unwrap(task->provider_key_id, task->name, wrapped, again);
			if (memcmp(kek, again, PADLOCK_KEK_SIZE) != 0)
				padlock_key_service_odd(service->name, "another key than the one that it wrapped");
			store(task, wrapped, kek);
		}
	}
	PG_FINALLY();
	{
		explicit_bzero(kek, sizeof(kek));
		explicit_bzero(again, sizeof(again));
	}
	PG_END_TRY();
}

/*
 * Do one task of a pass and note what came of it.  A lost claim of the job at
 * hand ends the pass.
 */
static void
try_task(Pass *pass, int service, const PadlockKeyTask *task)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		do_task(services[service], task);
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();

	if (error == NULL)
	{
		pass->done++;
		padlock_key_service_note(services[service]->name, NULL);
		return;
	}
	if (error->sqlerrcode == PADLOCK_ERRCODE_CLAIM_LOST)
		ReThrowError(error);
	pass->failed++;
	pass->is_down[service] = error->sqlerrcode != ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
	pass->problem = psprintf("%s: %s", task->name, error->message);
	padlock_key_service_note(services[service]->name, pass->problem);
}

/* What the keyring needs now. */
static List *
read_tasks(void)
{
	List	   *tasks;

	padlock_worker_begin();
	tasks = padlock_keyring_tasks();
	padlock_worker_commit();
	return tasks;
}

/* Ask for all that is needed, of each service until it does not serve. */
static void
make_pass(Pass *pass)
{
	ListCell   *cell;

	memset(pass, 0, sizeof(*pass));
	foreach(cell, read_tasks())
	{
		const PadlockKeyTask *task = lfirst(cell);
		int			service = find_service(task->provider);

		if (service >= 0 && !pass->is_down[service])
			try_task(pass, service, task);
	}
}

void
padlock_key_services_tend(MemoryContext context)
{
	ErrorData  *volatile error = NULL;
	Pass		pass = {0};

	if (!padlock_key_services_begin_pass(padlock_keyring_wanted()))
		return;
	PG_TRY();
	{
		make_pass(&pass);
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();
	padlock_key_services_end_pass(error != NULL || pass.failed > 0);
	if (error != NULL)
		ereport(LOG, (errmsg("padlock: the keyring could not be looked after, which is tried again: %s",
							 error->message)));
	else if (pass.failed > 0)
		ereport(LOG, (errmsg("padlock: keys stay locked: %s", pass.problem),
					  errdetail("It is tried again; padlock.key_services() shows the state.")));
}

/* The job's handler; see job.h for what it promises. */
static Jsonb *
run_keyring(const PadlockJob *job)
{
	Pass		pass;
	int			left;

	make_pass(&pass);
	padlock_key_services_end_pass(pass.failed > 0);
	if (pass.failed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg_internal("%s", pass.problem)));
	padlock_worker_begin();
	left = padlock_keyring_count_rewraps();
	if (left > 0)				/* unlocked just now, or locked by lock_keyring() */
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%d keys are still to be wrapped anew", left)));
	return padlock_job_result(psprintf("{\"keys\": %d}", pass.done));
}

const PadlockJobType padlock_job_keyring = {"keyring", run_keyring, NULL};
