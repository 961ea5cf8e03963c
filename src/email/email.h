/*-------------------------------------------------------------------------
 *
 * email.h
 *	  The door of room email: settings, addresses, templates, messages.
 *
 * The room makes messages and sends none: worker/email_notification.c does,
 * through padlock_fetch.  Nothing here raises an error for what a job's
 * payload holds; a problem is a text for people, that never quotes a value of
 * the payload, since one may be a secret.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_EMAIL_H
#define PADLOCK_EMAIL_H

#include "lib/stringinfo.h"
#include "pgtime.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"
#include "queue/queue.h"

/* padlock.smtp_tls */
typedef enum PadlockSmtpTls
{
	PADLOCK_SMTP_TLS_REQUIRE,
	PADLOCK_SMTP_TLS_OFF		/* to loopback addresses only */
} PadlockSmtpTls;

extern char *padlock_smtp_url;	/* '' = no mail is sent */
extern char *padlock_smtp_user; /* '' = no authentication */
extern char *padlock_smtp_password_file;
extern char *padlock_smtp_ca_file;	/* '' = the system's certificates */
extern int	padlock_smtp_tls;	/* PadlockSmtpTls */
extern int	padlock_smtp_timeout;	/* ms */
extern char *padlock_mail_from;
extern char *padlock_site_url;

/* Watches jobs of type email_notification; see redact.c. */
extern Jsonb *padlock_email_redact(const PadlockEndedJob *job);

/* Room set-up, called by _PG_init only: settings, the watcher. */
extern void padlock_email_init(void);

/* Are a mail server and a sender set, without which no mail goes out? */
extern bool padlock_email_is_configured(void);

/* A mailbox of padlock.mail_from. */
typedef struct PadlockMailbox
{
	char	   *name;			/* UTF-8, or NULL */
	char	   *address;
} PadlockMailbox;

/* What to send; texts in the database's encoding. */
typedef struct PadlockEmail
{
	const char *to;				/* one address */
	const char *subject;
	const char *text;
	const char *html;			/* or NULL */
} PadlockEmail;

/*
 * Read `address` or `name <address>`, as in a From field but the name is
 * plain UTF-8.  Returns the problem, or NULL with the mailbox palloc'd.
 */
extern const char *padlock_email_read_mailbox(const char *text, PadlockMailbox *mailbox);

/* Has a header's value a control character, which could begin another header? */
extern bool padlock_email_has_control(const char *value);

/*
 * Read a template and fill it; false with the problem.  Inside a transaction,
 * as the extension's owner.
 */
extern bool padlock_email_from_template(const char *name, Jsonb *data, PadlockEmail *email,
										char **problem);

/*
 * The message (RFC 5322, MIME), whole and ready for SMTP, lines ended by
 * CRLF.  id makes the Message-ID, so that a receiver can tell a message that
 * was sent twice.  NULL with the problem when a header would not be one line
 * or the message is too large.
 */
extern StringInfo padlock_email_message(const PadlockEmail *email, const PadlockMailbox *from,
										const pg_uuid_t *id, pg_time_t now, char **problem);

/* The Message-ID of the message that padlock_email_message() makes; palloc'd. */
extern char *padlock_email_message_id(const PadlockMailbox *from, const pg_uuid_t *id);

#endif							/* PADLOCK_EMAIL_H */
