/*-------------------------------------------------------------------------
 *
 * job.c
 *	  What handlers share: transactions, payloads, results.
 *
 * Time limits: a statement of a job waits for a lock as long as the worker's
 * lock_timeout says (worker.c), so that a stranger's lock costs an attempt
 * and not the worker, and a transaction may take TRANSACTION_TIMEOUT_MS, well
 * under the lease.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "core/spi.h"
#include "envelope/envelope.h"
#include "worker/job.h"
#include "worker/process.h"

#define TRANSACTION_TIMEOUT_MS	30000

/* The worker's own identity while a transaction runs as the owner. */
static PadlockUserContext worker_user;

/* Make the transaction that was started one of a job. */
static void
become_job(MemoryContext context)
{
	enable_timeout_after(STATEMENT_TIMEOUT, TRANSACTION_TIMEOUT_MS);
	PushActiveSnapshot(GetTransactionSnapshot());
	padlock_become_owner(&worker_user);
	MemoryContextSwitchTo(context);
}

void
padlock_worker_begin(void)
{
	MemoryContext context = CurrentMemoryContext;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	become_job(context);
}

bool
padlock_worker_try_begin(void)
{
	MemoryContext context = CurrentMemoryContext;
	bool		installed;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	installed = padlock_is_installed();
	if (installed)
		become_job(context);
	else
		CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return installed;
}

void
padlock_worker_commit(void)
{
	MemoryContext context = CurrentMemoryContext;

	PopActiveSnapshot();
	CommitTransactionCommand();
	padlock_restore_user(&worker_user);
	disable_timeout(STATEMENT_TIMEOUT, false);
	MemoryContextSwitchTo(context);
}

void
padlock_worker_abort(void)
{
	MemoryContext context = CurrentMemoryContext;

	AbortCurrentTransaction();
	disable_timeout(STATEMENT_TIMEOUT, false);
	MemoryContextSwitchTo(context);
}

void
padlock_job_refuse(const char *format,...)
{
	char		message[1024];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	ereport(ERROR,
			(errcode(PADLOCK_ERRCODE_REFUSED),
			 errmsg_internal("%s", message)));
}

void
padlock_job_require_keyring(void)
{
	bool		open;

	padlock_worker_begin();
	open = padlock_keyring_is_open(PADLOCK_DOCUMENT_KEY);
	padlock_worker_commit();
	if (!open)
		ereport(ERROR,
				(errcode(PADLOCK_ERRCODE_POSTPONED), errmsg("the keyring is locked")));
}

void
padlock_job_refuse_type(const PadlockJob *job)
{
	padlock_job_refuse("no worker handles jobs of type \"%s\": register a function for it with padlock.register_job_handler(),"
					   " or if workers of your own do them, name it in padlock.job_types as external",
					   job->type);
}

/* A text of the payload, or NULL. */
static char *
payload_text(const PadlockJob *job, const char *key)
{
	JsonbValue	value;

	if (job->payload == NULL || !JB_ROOT_IS_OBJECT(job->payload) ||
		getKeyJsonValueFromContainer(&job->payload->root, key, strlen(key), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

char *
padlock_job_text(const PadlockJob *job, const char *key)
{
	char	   *text = payload_text(job, key);

	if (text == NULL)
		padlock_job_refuse("the payload of a job of type \"%s\" must be an object with a text \"%s\"",
						   job->type, key);
	return text;
}

bool
padlock_begins_with_uuid(const char *text)
{
	/* 8-4-4-4-12 hexadecimal digits */
	for (int i = 0; i < PADLOCK_UUID_LENGTH; i++)
	{
		bool		dash = (i == 8 || i == 13 || i == 18 || i == 23);

		if (dash ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	}
	return true;
}

bool
padlock_job_find_uuid(const PadlockJob *job, const char *key, pg_uuid_t *uuid)
{
	char	   *text = payload_text(job, key);

	if (text == NULL || !padlock_begins_with_uuid(text) || text[PADLOCK_UUID_LENGTH] != '\0')
		return false;
	*uuid = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
	return true;
}

pg_uuid_t
padlock_job_uuid(const PadlockJob *job, const char *key)
{
	pg_uuid_t	uuid;

	if (!padlock_job_find_uuid(job, key, &uuid))
		padlock_job_refuse("\"%s\" in the payload of a job of type \"%s\" must be a UUID",
						   key, job->type);
	return uuid;
}

Jsonb *
padlock_job_result(const char *json)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}
