/*-------------------------------------------------------------------------
 *
 * email_notification.c
 *	  Job type email_notification: send one mail to one address.
 *
 * Payload: {"to", "template", "data": {...}}, the template being a row of
 * padlock.email_templates, or {"to", "subject", "text", "html" (may be left
 * out)}.  With a template "one_time_token" may be the id of a token of room
 * accounts, whose text becomes {{token}}.  Nothing of the payload but the names
 * of its members goes into an error's text, as data may hold secrets.
 *
 * The message is made here, of what the database holds; the SMTP exchange is
 * padlock_fetch's.  Sending is at least once: a crash after the mail server
 * has taken the message and before the job's end is committed sends it again.
 * The Message-ID is made of the job's id and so is the same, by which the
 * receiver's server can tell.
 *
 * Result: {"message_id"}.  Trigger redact_email takes data and texts out of
 * the payload in the transaction that ends the job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "accounts/accounts.h"
#include "core/body.h"
#include "email/email.h"
#include "worker/job.h"
#include "worker/request.h"

/* Refuse the job when no mail can be sent at all. */
static void
read_sender(PadlockMailbox *from)
{
	if (padlock_smtp_url[0] == '\0')
		padlock_job_refuse("no mail server is configured: set padlock.smtp_url and padlock.mail_from, reload, and enqueue the mail again");
	if (padlock_mail_from[0] == '\0')
		padlock_job_refuse("no sender is configured: set padlock.mail_from, reload, and enqueue the mail again");
	if (padlock_email_read_mailbox(padlock_mail_from, from) != NULL)
		padlock_job_refuse("padlock.mail_from is not a mailbox");
}

/* Is a member there, with whatever value? */
static bool
has_member(const PadlockJob *job, const char *name)
{
	JsonbValue	value;

	return getKeyJsonValueFromContainer(&job->payload->root, name, strlen(name), &value) != NULL;
}

/* Refuse a payload that says both ways what to send. */
static void
refuse_members(const PadlockJob *job, const char *reason, const char *const *names)
{
	for (; *names != NULL; names++)
		if (has_member(job, *names))
			padlock_job_refuse("a mail %s takes no \"%s\" in the payload", reason, *names);
}

/* The payload's data, an object or NULL. */
static Jsonb *
payload_data(const PadlockJob *job)
{
	JsonbValue	value;
	Jsonb	   *data;

	if (getKeyJsonValueFromContainer(&job->payload->root, "data", strlen("data"), &value) == NULL ||
		value.type == jbvNull)
		return NULL;
	data = JsonbValueToJsonb(&value);
	if (!JB_ROOT_IS_OBJECT(data))
		padlock_job_refuse("\"data\" in the payload of a job of type \"%s\" must be an object",
						   job->type);
	return data;
}

/*
 * Put the payload's one-time token into the data.  A token that was used,
 * replaced or has expired meanwhile is not worth a mail.
 */
static Jsonb *
add_token(const PadlockJob *job, const char *to, Jsonb *data)
{
	pg_uuid_t	id = padlock_job_uuid(job, "one_time_token");
	char	   *token = padlock_one_time_token(&id, to);
	Jsonb	   *with;

	if (token == NULL)
		padlock_job_refuse("the mail's one-time token is not for this recipient, was used or replaced, or has expired");
	with = padlock_job_result(psprintf("{\"token\": \"%s\"}", token));
	if (data == NULL)
		return with;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(data),
											  JsonbPGetDatum(with)));
}

/* Fill the template that the payload names. */
static void
read_template(const PadlockJob *job, PadlockEmail *email)
{
	char	   *template = padlock_job_text(job, "template");
	Jsonb	   *data = payload_data(job);
	char	   *problem = NULL;
	bool		filled;

	padlock_worker_begin();
	if (has_member(job, "one_time_token"))
		data = add_token(job, email->to, data);
	filled = padlock_email_from_template(template, data, email, &problem);
	padlock_worker_commit();
	if (!filled)
		padlock_job_refuse("%s", problem);
}

/* Read the payload; every problem refuses the job. */
static void
read_email(const PadlockJob *job, PadlockEmail *email)
{
	static const char *const own[] = {"subject", "text", "html", NULL};
	static const char *const templated[] = {"data", "one_time_token", NULL};

	memset(email, 0, sizeof(*email));
	email->to = padlock_job_text(job, "to");
	if (!has_member(job, "template"))
	{
		refuse_members(job, "without a template", templated);
		email->subject = padlock_job_text(job, "subject");
		email->text = padlock_job_text(job, "text");
		email->html = has_member(job, "html") ? padlock_job_text(job, "html") : NULL;
		return;
	}
	refuse_members(job, "with a template", own);
	read_template(job, email);
}

/* The job's handler; see job.h for what it promises. */
static Jsonb *
run_email_notification(const PadlockJob *job)
{
	PadlockMailbox from;
	PadlockEmail email;
	PadlockSent *sent;
	StringInfo	message;
	char	   *problem;

	read_sender(&from);
	read_email(job, &email);
	message = padlock_email_message(&email, &from, &job->id, (pg_time_t) time(NULL), &problem);
	if (message == NULL)
		padlock_job_refuse("%s", problem);
	sent = padlock_send_mail(&job->id, from.address, email.to, message);
	if (sent->outcome != WIRE_OK)
		padlock_raise_outcome(sent->outcome, 0,
							  padlock_outcome_reason(sent->outcome, 0, sent->detail));

	padlock_worker_begin();
	return padlock_job_result(psprintf("{\"message_id\": %s}",
									   padlock_json_string(padlock_email_message_id(&from,
																					&job->id))));
}

const PadlockJobType padlock_job_email_notification = {
	"email_notification", run_email_notification, NULL
};
