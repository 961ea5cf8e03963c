/*-------------------------------------------------------------------------
 *
 * fetch_mail.h
 *	  One WIRE_SEND_MAIL request: a message handed to the operator's mail
 *	  server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_MAIL_H
#define PADLOCK_FETCH_MAIL_H

#include "agent/channel.h"
#include "agent/fetch_transfer.h"

#define MAIL_ADDRESS_SIZE	255		/* RFC 5321, 4.5.3.1.3: 254 bytes, and NUL */

typedef struct MailJob
{
	/* the question */
	uint8_t		job_id[16];
	char		url[URL_SIZE];
	char		from[MAIL_ADDRESS_SIZE];
	char		to[MAIL_ADDRESS_SIZE];
	uint32_t	flags;
	uint32_t	timeout_ms;
	char		user[PADLOCK_WIRE_MAX_USER + 1];	/* "" if none */
	char		password[PADLOCK_WIRE_MAX_PASSWORD + 1];
	char		ca[PADLOCK_WIRE_MAX_CA + 1];	/* "" if none */
	int			message_fd;
	uint64_t	message_length;

	/* the answer; of the result only outcome and detail */
	int64_t		started_ms;
	TransferResult result;
} MailJob;

/*
 * Read a request and the descriptor that came with it (or -1), which stays
 * the caller's.  Returns NULL, or in what way it breaks the wire format.
 */
extern const char *mail_take(MailJob *job, const WireFrame *frame, int fd);

/* Answer the job's question, and wipe the password. */
extern void mail_run(MailJob *job);

/* Write the WIRE_SENT frame. */
extern void mail_answer(const MailJob *job, WireBuffer *answer);

#endif							/* PADLOCK_FETCH_MAIL_H */
