/*-------------------------------------------------------------------------
 *
 * mail.c
 *	  Mails to users, queued as email_notification jobs.
 *
 * A mail must hold the one-time token itself, so the payload of the job does,
 * too, until the job ends and trigger redact_email takes it out; a token is
 * used once and for hours, and the queue is read by service_role and the owner
 * only.  It is not audited, and nothing writes payloads to the log.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "accounts/mail.h"
#include "core/body.h"
#include "queue/queue.h"

#define MAIL_PRIORITY	20		/* a user waits for it */
#define MAIL_ATTEMPTS	5

static void
enqueue(const char *to, const char *template, const char *data)
{
	(void) padlock_queue_enqueue("email_notification",
								 padlock_answer("{\"to\": %s, \"template\": \"%s\", \"data\": %s}",
												padlock_json_string(to), template, data),
								 MAIL_PRIORITY, MAIL_ATTEMPTS);
}

void
mail_token(const char *to, OneTimePurpose purpose, const char *token)
{
	enqueue(to, one_time_token_purpose(purpose),
			psprintf("{\"token\": \"%s\", \"valid_minutes\": %d}", token,
					 one_time_token_lifetime(purpose)));
}

void
mail_notice(const char *to, const char *template)
{
	enqueue(to, template, "{}");
}
