/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  Takes what a mail said out of its job when the job ends.
 *
 * The data of a template may be anything, and a mail's text belongs to its
 * receiver.  The queue asks for it, and not the worker, so that it holds
 * however the job ends: sent, refused, cancelled, or given up after the worker
 * died; and in the very transaction that says so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "email/email.h"
#include "queue/queue.h"

static Datum
without(Datum payload, const char *key)
{
	return DirectFunctionCall2(jsonb_delete, payload, CStringGetTextDatum(key));
}

static bool
has(Jsonb *payload, const char *key)
{
	JsonbValue	value;

	return getKeyJsonValueFromContainer(&payload->root, key, strlen(key), &value) != NULL;
}

/*
 * Watcher of email_notification jobs: removes "data", "text" and "html" from
 * the payload of a completed job.  One that failed keeps a text of its own, so
 * that it can be tried again; the data of a template would be of no use by
 * then.
 */
Jsonb *
padlock_email_redact(const PadlockEndedJob *job)
{
	Datum		payload = JsonbPGetDatum(job->payload);

	if (!has(job->payload, "data") &&
		!(job->completed && (has(job->payload, "text") || has(job->payload, "html"))))
		return NULL;
	payload = without(payload, "data");
	if (job->completed)
		payload = without(without(payload, "text"), "html");
	return DatumGetJsonbP(payload);
}
