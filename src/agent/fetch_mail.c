/*-------------------------------------------------------------------------
 *
 * fetch_mail.c
 *	  One WIRE_SEND_MAIL request: a message handed to the operator's mail
 *	  server.
 *
 * The server is the operator's own choice and not a stranger's, so it may
 * have a private address.  What it says is a stranger's text all the same.
 * TLS is required and the certificate checked, unless WIRE_FLAG_PLAIN says
 * otherwise: then the address must be a loopback one.
 *
 * A server's reply goes into the answer as it is only while the server has
 * not seen the message: later it could quote from it, and messages hold
 * tokens that open accounts.  After that its numbers must do.
 *
 * Each mail has a connection of its own.  Mails are few, and a kept
 * connection would have to be matched against user, password and CA.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/fetch_address.h"
#include "agent/fetch_mail.h"

#define MAX_CONNECT_MS		10000
#define REPLY_SIZE			301		/* of the server's last reply, and NUL */

/* The fields of a request, as bits. */
#define FIELD_BIT(tag)		(UINT64_C(1) << (tag))
#define REQUIRED_FIELDS \
	(FIELD_BIT(TAG_URL) | FIELD_BIT(TAG_MAIL_FROM) | FIELD_BIT(TAG_MAIL_TO) | \
	 FIELD_BIT(TAG_FLAGS) | FIELD_BIT(TAG_TIMEOUT_MS))

/* An exchange under way. */
typedef struct Exchange
{
	const MailJob *job;
	CURL	   *curl;
	uint64_t	read;			/* bytes of the message that curl has taken */
	bool		message_seen;	/* did curl begin to send it? */
	bool		address_refused;
	bool		worker_gone;
	char		refused[ADDRESS_TEXT_SIZE];
	char		reply[REPLY_SIZE];	/* the server's last, lines joined by blanks */
	bool		reply_ended;	/* will the next line begin another reply? */
	char		refusal[REPLY_SIZE];	/* the reply of the 4xx or 5xx class that
										 * ended the exchange, or "" */
	char		curl_error[CURL_ERROR_SIZE];
} Exchange;

/* Read one field; what is wrong with it, or NULL. */
static const char *
take_field(MailJob *job, const WireField *field, const unsigned char *value)
{
	bool		valid = true;

	switch (field->tag)
	{
		case TAG_URL:
			valid = channel_text(field, value, job->url, sizeof(job->url));
			break;
		case TAG_MAIL_FROM:
			valid = channel_text(field, value, job->from, sizeof(job->from));
			break;
		case TAG_MAIL_TO:
			valid = channel_text(field, value, job->to, sizeof(job->to));
			break;
		case TAG_FLAGS:
			valid = field->length == sizeof(uint32_t);
			job->flags = wire_u32(field, value);
			break;
		case TAG_TIMEOUT_MS:
			valid = field->length == sizeof(uint32_t);
			job->timeout_ms = wire_u32(field, value);
			break;
		case TAG_USER:
			valid = channel_text(field, value, job->user, sizeof(job->user));
			break;
		case TAG_PASSWORD:
			valid = channel_text(field, value, job->password, sizeof(job->password));
			break;
		case TAG_CA:
			valid = channel_text(field, value, job->ca, sizeof(job->ca));
			break;
		default:
			return "a field that no mail has";
	}
	return valid ? NULL : "a field of a mail that is too long or not text";
}

const char *
mail_take(MailJob *job, const WireFrame *frame, int fd)
{
	size_t		offset = sizeof(WireHeader);
	const unsigned char *value;
	WireField	field;
	uint64_t	seen = 0;
	const char *problem;

	memset(job, 0, sizeof(*job));
	memcpy(job->job_id, frame->header.job_id, sizeof(job->job_id));
	job->message_fd = fd;
	while (wire_next_field(frame->data, frame->size, &offset, &field, &value))
	{
		problem = take_field(job, &field, value);
		if (problem != NULL)
			return problem;
		if ((seen & FIELD_BIT(field.tag)) != 0)
			return "a field twice";
		seen |= FIELD_BIT(field.tag);
	}
	if (offset != frame->size)
		return "a field longer than the frame";
	if ((seen & REQUIRED_FIELDS) != REQUIRED_FIELDS)
		return "a field is missing";
	if (fd < 0 || !check_sealed_memfd(fd, PADLOCK_WIRE_MAX_MAIL, &job->message_length))
		return "a mail without a sealed message";
	return NULL;
}

/*
 * Can an address stand in an SMTP command?  The worker has checked what it
 * is; here it only must not end the command or the brackets.
 */
static bool
is_address(const char *address)
{
	const unsigned char *c;

	for (c = (const unsigned char *) address; *c != '\0'; c++)
	{
		if (*c <= ' ' || *c >= 0x7f || strchr("<>\"\\(),;:", *c) != NULL)
			return false;
	}
	return strchr(address, '@') != NULL;
}

/* Opens the connection's socket, if its address may be used. */
static curl_socket_t
open_socket(void *argument, curlsocktype purpose, struct curl_sockaddr *address)
{
	Exchange   *exchange = argument;
	bool		plain = (exchange->job->flags & WIRE_FLAG_PLAIN) != 0;

	if (purpose != CURLSOCKTYPE_IPCXN || address_class(&address->addr) == ADDRESS_FORBIDDEN ||
		(plain && !address_is_loopback(&address->addr)))
	{
		exchange->address_refused = true;
		address_text(&address->addr, exchange->refused);
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Gives curl the next piece of the message. */
static size_t
read_message(char *buffer, size_t size, size_t count, void *argument)
{
	Exchange   *exchange = argument;
	ssize_t		got;

	exchange->message_seen = true;
	do
		got = pread(exchange->job->message_fd, buffer, size * count, (off_t) exchange->read);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return CURL_READFUNC_ABORT;
	exchange->read += (uint64_t) got;
	return (size_t) got;
}

/* The reply's code, 0 if it has none. */
static int
reply_code(const char *reply)
{
	if (!isdigit((unsigned char) reply[0]) || !isdigit((unsigned char) reply[1]) ||
		!isdigit((unsigned char) reply[2]))
		return 0;
	return atoi(reply);
}

/*
 * Keep a reply that refuses, until the exchange goes on all the same: when
 * EHLO is refused curl tries HELO.  After a refusal curl only says QUIT.
 */
static void
note_reply(Exchange *exchange)
{
	int			code = reply_code(exchange->reply);

	if (code >= 400 && exchange->refusal[0] == '\0')
		memcpy(exchange->refusal, exchange->reply, sizeof(exchange->refusal));
	else if (code < 400 && code != 221)
		exchange->refusal[0] = '\0';
}

/* Takes a line of a reply: of all lines the text, of the first one the code. */
static size_t
take_reply(char *data, size_t size, size_t count, void *argument)
{
	Exchange   *exchange = argument;
	size_t		length = size * count;
	size_t		used = exchange->reply_ended ? 0 : strlen(exchange->reply);
	size_t		skip;

	while (length > 0 && (data[length - 1] == '\n' || data[length - 1] == '\r'))
		length--;
	skip = used == 0 ? 0 : length < 4 ? length : 4;
	snprintf(exchange->reply + used, sizeof(exchange->reply) - used, "%s%.*s",
			 used > 0 ? " " : "", (int) (length - skip), data + skip);
	if (used == 0 && length > 3)
		exchange->reply[3] = ' ';
	exchange->reply_ended = length < 4 || data[3] != '-';
	if (exchange->reply_ended)
		note_reply(exchange);
	return size * count;
}

/* Ends an exchange that nobody waits for any more. */
static int
watch_worker(void *argument, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
	Exchange   *exchange = argument;

	(void) total;
	(void) now;
	(void) up_total;
	(void) up;
	exchange->worker_gone = channel_closed(0);
	return exchange->worker_gone ? 1 : 0;
}

/* What curl may do with the network; all that is not said here is its default. */
static void
set_network_options(Exchange *exchange)
{
	const MailJob *job = exchange->job;
	CURL	   *curl = exchange->curl;
	long		timeout_ms = (long) job->timeout_ms;

	curl_easy_setopt(curl, CURLOPT_URL, job->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
					 timeout_ms < MAX_CONNECT_MS ? timeout_ms : (long) MAX_CONNECT_MS);

	/* also bounds the wait for the reply to QUIT, which the time above does not */
	curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, (timeout_ms + 999) / 1000);

	/* a resolver that hangs must not hold up the answer */
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->curl_error);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, exchange);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, watch_worker);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

/* TLS and who we are. */
static void
set_trust_options(const Exchange *exchange)
{
	const MailJob *job = exchange->job;
	CURL	   *curl = exchange->curl;
	struct curl_blob ca = {(void *) job->ca, strlen(job->ca), CURL_BLOB_NOCOPY};

	curl_easy_setopt(curl, CURLOPT_USE_SSL, (job->flags & WIRE_FLAG_PLAIN) != 0 ?
					 (long) CURLUSESSL_NONE : (long) CURLUSESSL_ALL);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (job->ca[0] != '\0')
	{
		curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &ca);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	if (job->user[0] != '\0')
	{
		curl_easy_setopt(curl, CURLOPT_USERNAME, job->user);
		curl_easy_setopt(curl, CURLOPT_PASSWORD, job->password);
	}
}

/* The message, its envelope and what the server says to it. */
static void
set_message_options(Exchange *exchange, const struct curl_slist *recipients)
{
	CURL	   *curl = exchange->curl;

	curl_easy_setopt(curl, CURLOPT_MAIL_FROM, exchange->job->from);
	curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t) exchange->job->message_length);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, read_message);
	curl_easy_setopt(curl, CURLOPT_READDATA, exchange);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_reply);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
}

/*
 * Cut a reply after its code and, if it has one, its enhanced status code
 * (RFC 3463): 5.7.1 and the like.
 */
static void
cut_to_numbers(char *reply)
{
	size_t		length = strspn(reply, "0123456789");

	if (reply[length] == ' ' && isdigit((unsigned char) reply[length + 1]))
		length += 1 + strspn(reply + length + 1, "0123456789.");
	reply[length] = '\0';
}

/* Name a refusal of this message; one of the 4xx class may pass. */
static void
fail_with_reply(Exchange *exchange, TransferResult *result)
{
	bool		final = reply_code(exchange->refusal) >= 500;

	if (exchange->message_seen)
		cut_to_numbers(exchange->refusal);
	transfer_fail(result, final ? WIRE_REJECTED : WIRE_NETWORK, "the mail server %s: %s",
				  final ? "refuses the message" : "does not take the message now",
				  exchange->refusal);
}

/* Name a failure that is not about this message: it may pass. */
static void
fail_with_code(const Exchange *exchange, CURLcode code, TransferResult *result)
{
	const char *reason = exchange->curl_error[0] != '\0' ?
		exchange->curl_error : curl_easy_strerror(code);

	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			transfer_fail(result, WIRE_NETWORK, "no address is known for the mail server");
			break;
		case CURLE_COULDNT_CONNECT:
			if (exchange->address_refused)
				transfer_fail(result, WIRE_ADDRESS_DENIED,
							  "the mail server's address %s is not one that mail may be sent to%s",
							  exchange->refused,
							  (exchange->job->flags & WIRE_FLAG_PLAIN) != 0 ? " without TLS" : "");
			else
				transfer_fail(result, WIRE_NETWORK, "cannot connect to the mail server: %s", reason);
			break;
		case CURLE_OPERATION_TIMEDOUT:
			transfer_fail(result, WIRE_TIMEOUT, "the mail server did not answer in time");
			break;
		case CURLE_USE_SSL_FAILED:
			transfer_fail(result, WIRE_NETWORK,
						  "the mail server does not offer TLS (STARTTLS), which padlock.smtp_tls requires");
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
			transfer_fail(result, WIRE_NETWORK, "the certificate of the mail server is not valid: %s",
						  reason);
			break;
		case CURLE_SSL_CACERT_BADFILE:
			transfer_fail(result, WIRE_INTERNAL, "the CA certificates cannot be read");
			break;
		case CURLE_LOGIN_DENIED:
			transfer_fail(result, WIRE_NETWORK,
						  "the mail server does not accept the user name and password");
			break;
		case CURLE_OUT_OF_MEMORY:
			transfer_fail(result, WIRE_INTERNAL, "out of memory");
			break;
		default:
			transfer_fail(result, WIRE_NETWORK, "the exchange with the mail server failed: %s", reason);
			break;
	}
}

/*
 * Give the exchange's end its outcome.  A reply of refusal counts as one of
 * this message when curl failed at MAIL, RCPT or DATA (which it calls a send
 * error) or at the reply to the message itself; at any other step the server
 * refuses us, not the message.
 */
static void
judge(Exchange *exchange, CURLcode code, TransferResult *result)
{
	bool		refused = exchange->refusal[0] != '\0';

	if (code == CURLE_OK)
		result->outcome = WIRE_OK;
	else if (exchange->worker_gone)
		transfer_fail(result, WIRE_INTERNAL, "the worker is gone");
	else if (refused && (code == CURLE_SEND_ERROR ||
						 (code == CURLE_WEIRD_SERVER_REPLY && exchange->message_seen)))
		fail_with_reply(exchange, result);
	else
		fail_with_code(exchange, code, result);
}

/* The exchange, with a handle of its own. */
static void
exchange_mail(MailJob *job)
{
	Exchange	exchange = {0};
	struct curl_slist *recipients = curl_slist_append(NULL, job->to);

	exchange.job = job;
	exchange.curl = curl_easy_init();
	if (exchange.curl == NULL || recipients == NULL)
		transfer_fail(&job->result, WIRE_INTERNAL, "out of memory");
	else
	{
		set_network_options(&exchange);
		set_trust_options(&exchange);
		set_message_options(&exchange, recipients);
		judge(&exchange, curl_easy_perform(exchange.curl), &job->result);
	}
	curl_easy_cleanup(exchange.curl);
	curl_slist_free_all(recipients);
}

void
mail_run(MailJob *job)
{
	job->started_ms = monotonic_ms();
	memset(&job->result, 0, sizeof(job->result));
	job->result.body_fd = -1;
	if (is_address(job->from) && is_address(job->to))
		exchange_mail(job);
	else
		transfer_fail(&job->result, WIRE_INTERNAL, "an address that SMTP cannot carry");
	explicit_bzero(job->password, sizeof(job->password));
}

void
mail_answer(const MailJob *job, WireBuffer *answer)
{
	wire_begin(answer, WIRE_SENT, job->job_id);
	wire_put_u32(answer, TAG_OUTCOME, job->result.outcome);
	channel_put_text(answer, TAG_DETAIL, job->result.detail, strlen(job->result.detail),
					 DETAIL_SIZE - 1);
	wire_put_u32(answer, TAG_ELAPSED_MS, (uint32_t) (monotonic_ms() - job->started_ms));
}
