/*-------------------------------------------------------------------------
 *
 * email_notification.c
 *	  Job type email_notification: send one mail to one address.
 *
 * Payload: {"to", "template", "data": {...}}, the template being a row of
 * padlock.email_templates, or {"to", "subject", "text", "html" (may be left
 * out)}.  Nothing of it but the names of its members goes into an error's
 * text, as data may hold a one-time token.
 *
 * The message is made here, of what the database holds; the SMTP exchange is
 * padlock_fetch's.  Sending is at least once: a crash after the mail server
 * has taken the message and before the job's end is committed sends it again.
 * The Message-ID is made of the job's id and so is the same, by which the
 * receiver's server can tell.
 *
 * Result: {"message_id"}.  Trigger redact_email takes tokens and texts out of
 * the payload in the transaction that ends the job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "utils/builtins.h"

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

/* Read the payload; every problem refuses the job. */
static void
read_email(const PadlockJob *job, PadlockEmail *email)
{
	static const char *const own[] = {"subject", "text", "html", NULL};
	static const char *const templated[] = {"data", NULL};
	char	   *template;
	char	   *problem = NULL;
	bool		filled;

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
	template = padlock_job_text(job, "template");
	padlock_worker_begin();
	filled = padlock_email_from_template(template, payload_data(job), email, &problem);
	padlock_worker_commit();
	if (!filled)
		padlock_job_refuse("%s", problem);
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
