/*-------------------------------------------------------------------------
 *
 * mail.c
 *	  Mails to users, queued as email_notification jobs.
 *
 * The job of a mail with a one-time token holds the token's id, which is no
 * secret (one_time_token.c); the worker puts the token into the message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "accounts/mail.h"
#include "core/body.h"
#include "queue/queue.h"

#define MAIL_PRIORITY	20		/* a user waits for it */
#define MAIL_ATTEMPTS	5

/* Queue a mail; data has no secrets.  more: further members of the payload. */
static void
enqueue(const char *to, const char *template, const char *data, const char *more)
{
	(void) padlock_queue_enqueue("email_notification",
								 padlock_answer("{\"to\": %s, \"template\": \"%s\", \"data\": %s%s}",
												padlock_json_string(to), template, data, more),
								 MAIL_PRIORITY, MAIL_ATTEMPTS);
}

/* A time of some minutes in words: in hours when they are whole. */
static char *
duration(int minutes)
{
	int			count = minutes % 60 == 0 ? minutes / 60 : minutes;

	return psprintf("%d %s%s", count, minutes % 60 == 0 ? "hour" : "minute", count == 1 ? "" : "s");
}

void
mail_token(const char *to, OneTimePurpose purpose, const pg_uuid_t *token_id)
{
	int			lifetime = one_time_token_lifetime(purpose);
	char	   *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(token_id)));

	enqueue(to, one_time_token_purpose(purpose),
			psprintf("{\"valid_for\": \"%s\", \"valid_minutes\": %d}", duration(lifetime), lifetime),
			psprintf(", \"one_time_token\": \"%s\"", id));
}

void
mail_notice(const char *to, const char *template)
{
	enqueue(to, template, "{}", "");
}
