/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  padlock_fetch: the helper program that has the network and no parser.
 *
 * It serves one WIRE_FETCH, WIRE_SEND_MAIL or WIRE_CALL after the other
 * (wire.h) until its worker closes the socket.  Whatever a server sends ends
 * as an outcome; the only text it reads itself is robots.txt.  A frame that breaks the wire format means that
 * the two programs do not fit together: it says so on standard error and
 * exits with status 2.  It keeps nothing on disk, and a helper that is killed
 * loses only the fetch under way.
 *
 *-------------------------------------------------------------------------
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/fetch_call.h"
#include "agent/fetch_job.h"
#include "agent/fetch_mail.h"
#include "agent/fetch_memory.h"
#include "agent/sandbox.h"

#define EXIT_BROKEN_FRAME	2

/* Two handles of at most eight connections, resolver sockets, files read. */
#define MAX_DESCRIPTORS		64
/* No body is larger, whatever a request allows. */
#define MAX_BODY_BYTES		((uint64_t) PADLOCK_WIRE_MAX_BODY)
/* Code, TLS, rules, resolver threads: less than half is used. */
#define MAX_ADDRESS_SPACE	(1024UL * 1024 * 1024)

#define MAX_CONTENT_TYPE	500
#define MAX_LAST_MODIFIED	100

/* The fields that a request must have, as bits. */
#define FIELD_BIT(tag)		(1u << (tag))
#define FETCH_FIELDS \
	(FIELD_BIT(TAG_URL) | FIELD_BIT(TAG_FLAGS) | FIELD_BIT(TAG_MAX_BYTES) | \
	 FIELD_BIT(TAG_TIMEOUT_MS) | FIELD_BIT(TAG_MAX_REDIRECTS))

static FetchClient client;
static FetchJob job;
static MailJob mail;
static CallClient call_client;
static CallJob call;
static WireFrame frame;
static WireBuffer answer;

static void exit_broken(const char *why) __attribute__((noreturn));

static void
exit_broken(const char *why)
{
	fprintf(stderr, "padlock_fetch: broken frame from the worker: %s\n", why);
	exit(EXIT_BROKEN_FRAME);
}

static bool
limit(int resource, rlim_t value)
{
	struct rlimit both = {value, value};

	return setrlimit(resource, &both) == 0;
}

/* Bound what a mistake of ours, or of a library, can take from the machine. */
static bool
set_limits(void)
{
	/* writing past RLIMIT_FSIZE and to a closed socket are errors, not signals */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (!limit(RLIMIT_NOFILE, MAX_DESCRIPTORS) || !limit(RLIMIT_FSIZE, MAX_BODY_BYTES))
		return false;
#ifdef __SANITIZE_ADDRESS__
	return true;				/* its shadow needs terabytes of addresses */
#else
	return limit(RLIMIT_AS, MAX_ADDRESS_SPACE);
#endif
}

static uint32_t
take_u32(const WireField *field, const unsigned char *value)
{
	if (field->length != sizeof(uint32_t))
		exit_broken("a number of the wrong size");
	return wire_u32(field, value);
}

static uint64_t
take_u64(const WireField *field, const unsigned char *value)
{
	if (field->length != sizeof(uint64_t))
		exit_broken("a number of the wrong size");
	return wire_u64(field, value);
}

/* A validator that is too long or not text is as good as none. */
static void
take_validator(const WireField *field, const unsigned char *value, char out[VALIDATOR_SIZE])
{
	if (!channel_text(field, value, out, VALIDATOR_SIZE))
		out[0] = '\0';
}

static void
take_field(const WireField *field, const unsigned char *value)
{
	switch (field->tag)
	{
		case TAG_URL:
			/* what is not text or too long cannot be a URL either */
			if (!channel_text(field, value, job.url, sizeof(job.url)))
				job.url[0] = '\0';
			break;
		case TAG_FLAGS:
			job.flags = take_u32(field, value);
			break;
		case TAG_MAX_BYTES:
			job.max_bytes = take_u64(field, value);
			if (job.max_bytes > MAX_BODY_BYTES)
				job.max_bytes = MAX_BODY_BYTES;
			break;
		case TAG_TIMEOUT_MS:
			job.timeout_ms = take_u32(field, value);
			break;
		case TAG_MAX_REDIRECTS:
			job.max_redirects = take_u32(field, value);
			break;
		case TAG_ETAG:
			take_validator(field, value, job.etag);
			break;
		case TAG_LAST_MODIFIED:
			take_validator(field, value, job.last_modified);
			break;
		default:
			exit_broken("a field that no fetch has");
	}
}

/* Read a request for a fetch into job. */
static void
take_fetch(void)
{
	size_t		offset = sizeof(WireHeader);
	const unsigned char *value;
	WireField	field;
	uint32_t	seen = 0;

	memset(&job, 0, sizeof(job));
	memcpy(job.job_id, frame.header.job_id, sizeof(job.job_id));
	while (wire_next_field(frame.data, frame.size, &offset, &field, &value))
	{
		take_field(&field, value);
		if ((seen & FIELD_BIT(field.tag)) != 0)
			exit_broken("a field twice");
		seen |= FIELD_BIT(field.tag);
	}
	if (offset != frame.size)
		exit_broken("a field longer than the frame");
	if ((seen & FETCH_FIELDS) != FETCH_FIELDS)
		exit_broken("a field is missing");
}

/* Append a text of the server's, if there is one. */
static void
put_text(WireTag tag, const char *value, size_t max)
{
	if (value[0] != '\0')
		channel_put_text(&answer, tag, value, strlen(value), max);
}

/* Append the sitemaps that the site's robots.txt names and that are URLs. */
static void
put_sitemaps(void)
{
	char		problem[URL_PROBLEM_SIZE];
	FetchUrl	url;
	int			i;

	if (job.host == NULL || job.host->rules == NULL)
		return;
	for (i = 0; i < job.host->rules->sitemap_count; i++)
	{
		if (url_check(job.host->rules->sitemaps[i], &job.at, &url, problem))
			put_text(TAG_SITEMAP, url.text, URL_SIZE - 1);
	}
}

static void
make_answer(void)
{
	const TransferResult *result = &job.result;
	const char *url = job.at.text[0] != '\0' ? job.at.text : job.url;

	wire_begin(&answer, WIRE_FETCHED, job.job_id);
	wire_put_u32(&answer, TAG_OUTCOME, result->outcome);
	channel_put_text(&answer, TAG_DETAIL, result->detail, strlen(result->detail), DETAIL_SIZE - 1);
	channel_put_text(&answer, TAG_URL, url, strlen(url), URL_SIZE - 1);
	wire_put_u32(&answer, TAG_ELAPSED_MS, (uint32_t) (monotonic_ms() - job.started_ms));
	if (result->status > 0)
		wire_put_u32(&answer, TAG_HTTP_STATUS, (uint32_t) result->status);
	put_text(TAG_CONTENT_TYPE, result->content_type, MAX_CONTENT_TYPE);
	put_text(TAG_ETAG, result->etag, VALIDATOR_SIZE - 1);
	put_text(TAG_LAST_MODIFIED, result->last_modified, MAX_LAST_MODIFIED);
	if (result->outcome == WIRE_OK)
		wire_put_u64(&answer, TAG_BODY_LENGTH, result->body_length);
	put_sitemaps();
}

/* Serve a fetch; false when the worker is gone. */
static bool
serve_fetch(void)
{
	bool		sent;

	take_fetch();
	fetch_job_run(&client, &job);
	make_answer();
	sent = channel_send(&answer, job.result.body_fd);
	if (job.result.body_fd >= 0)
		close(job.result.body_fd);
	return sent;
}

/* Serve a mail, which the descriptor holds; false when the worker is gone. */
static bool
serve_mail(int fd)
{
	const char *problem = mail_take(&mail, &frame, fd);

	explicit_bzero(frame.data, frame.size); /* it held a password */
	if (problem != NULL)
		exit_broken(problem);
	mail_run(&mail);
	close(fd);
	mail_answer(&mail, &answer);
	return channel_send(&answer, -1);
}

/* Serve a call, whose body the descriptor holds if it has one; false when the worker is gone. */
static bool
serve_call(int fd)
{
	const char *problem = call_take(&call, &frame, fd);
	bool		sent;

	explicit_bzero(frame.data, frame.size); /* it held credentials */
	if (problem != NULL)
		exit_broken(problem);
	if (fd >= 0)
		close(fd);
	call_run(&call_client, &call);
	call_answer(&call, &answer);
	sent = channel_send(&answer, call.result.body_fd);
	call_end(&call);
	return sent;
}

/* Serve requests until the worker is gone. */
static void
serve(void)
{
	bool		served = true;
	int			got;
	int			fd;

	while (served && (got = channel_receive(&frame, &fd)) != 0)
	{
		if (got < 0)
			exit_broken("not a frame");
		if (frame.header.type == WIRE_SEND_MAIL)
			served = serve_mail(fd);
		else if (frame.header.type == WIRE_CALL)
			served = serve_call(fd);
		else if (frame.header.type != WIRE_FETCH)
			exit_broken("neither a fetch nor a mail nor a call");
		else if (fd >= 0)
			exit_broken("a descriptor with a fetch");
		else
			served = serve_fetch();
	}
}

int
main(void)
{
	static const uint8_t no_job[16];

	/*
	 * Proxies, resolver options and the like are not for the environment to
	 * set.  libidn2 reads host names in the locale's encoding.
	 */
	if (clearenv() != 0 || setlocale(LC_CTYPE, "C.UTF-8") == NULL || !sandbox_common() || !set_limits() ||
		!fetch_memory_init() || !fetch_client_open(&client) ||
		!sandbox_fetch())
	{
		perror("padlock_fetch: cannot start");
		return EXIT_FAILURE;
	}
	wire_begin(&answer, WIRE_HELLO, no_job);
	if (channel_send(&answer, -1))
		serve();
	return EXIT_SUCCESS;
}
