/*-------------------------------------------------------------------------
 *
 * fetch_call.c
 *	  One WIRE_CALL request: HTTP with credentials, to an endpoint that the
 *	  operator has configured (a key service, an object store).
 *
 * Unlike a crawled URL the endpoint is the operator's own choice, so it may
 * have a private address; what it answers is a stranger's all the same.  It
 * must be https, unless it is on a loopback address or the operator allows
 * more (WIRE_FLAG_CLEAR): with http the credentials are there for whoever
 * listens.  Forbidden addresses stay forbidden (fetch_address.c).  Redirects
 * are never followed, as they would take the credentials elsewhere.
 *
 * A failure that may pass is tried again after a while that doubles: requests
 * are such that doing them twice does no harm.  Each try is signed anew, as
 * signatures are good for minutes only.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/fetch_call.h"
#include "agent/fetch_sigv4.h"

#define FIRST_WAIT_MS		200		/* before the second try, half of it random */
#define MAX_HEADERS			16

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* The fields of a request, as bits. */
#define FIELD_BIT(tag)		(UINT64_C(1) << (tag))
#define REQUIRED_FIELDS \
	(FIELD_BIT(TAG_URL) | FIELD_BIT(TAG_METHOD) | FIELD_BIT(TAG_FLAGS) | \
	 FIELD_BIT(TAG_MAX_BYTES) | FIELD_BIT(TAG_TIMEOUT_MS) | FIELD_BIT(TAG_TRIES))
#define SIGNING_FIELDS \
	(FIELD_BIT(TAG_USER) | FIELD_BIT(TAG_PASSWORD) | FIELD_BIT(TAG_AWS_REGION) | \
	 FIELD_BIT(TAG_AWS_SERVICE))

static const char *const methods[] = {"GET", "PUT", "POST", "DELETE"};

static bool
is_method(const char *text)
{
	size_t		i;

	for (i = 0; i < lengthof(methods); i++)
	{
		if (strcmp(text, methods[i]) == 0)
			return true;
	}
	return false;
}

/* Is a line one header: a name, a colon and a value that cannot end the line? */
static bool
is_header(const char *line)
{
	const unsigned char *c;
	size_t		name = strcspn(line, ":");
	size_t		i;

	for (i = 0; i < name; i++)
	{
		if (!isalnum((unsigned char) line[i]) && line[i] != '-' && line[i] != '_')
			return false;
	}
	for (c = (const unsigned char *) line; *c != '\0'; c++)
	{
		if (*c < ' ' || *c >= 0x7f)
			return false;
	}
	return name > 0 && line[name] == ':';
}

static bool
take_header(CallJob *job, const WireField *field, const unsigned char *value)
{
	char		line[PADLOCK_WIRE_MAX_HEADER + 1];
	struct curl_slist *longer = NULL;

	if (channel_text(field, value, line, sizeof(line)) && is_header(line))
		longer = curl_slist_append(job->headers, line);
	explicit_bzero(line, sizeof(line));
	if (longer != NULL)
		job->headers = longer;
	return longer != NULL;
}

static bool
take_u32(const WireField *field, const unsigned char *value, uint32_t *number)
{
	*number = wire_u32(field, value);
	return field->length == sizeof(*number);
}

/* Read one field; false if its value is not what the wire format allows. */
static bool
take_field(CallJob *job, const WireField *field, const unsigned char *value)
{
	switch (field->tag)
	{
		case TAG_URL:
			return channel_text(field, value, job->url, sizeof(job->url));
		case TAG_METHOD:
			return channel_text(field, value, job->method, sizeof(job->method)) &&
				is_method(job->method);
		case TAG_FLAGS:
			return take_u32(field, value, &job->flags);
		case TAG_MAX_BYTES:
			job->max_bytes = wire_u64(field, value);
			return field->length == sizeof(uint64_t) && job->max_bytes <= PADLOCK_WIRE_MAX_BODY;
		case TAG_TIMEOUT_MS:
			return take_u32(field, value, &job->timeout_ms);
		case TAG_TRIES:
			return take_u32(field, value, &job->tries) && job->tries >= 1 &&
				job->tries <= CALL_MAX_TRIES;
		case TAG_HEADER:
			return take_header(job, field, value);
		case TAG_CA:
			return channel_text(field, value, job->ca, sizeof(job->ca));
		case TAG_USER:
			return channel_text(field, value, job->key_id, sizeof(job->key_id));
		case TAG_PASSWORD:
			return channel_text(field, value, job->secret, sizeof(job->secret));
		case TAG_AWS_TOKEN:
			return channel_text(field, value, job->token, sizeof(job->token));
		case TAG_AWS_REGION:
			return channel_text(field, value, job->region, sizeof(job->region)) &&
				job->region[0] != '\0';
		case TAG_AWS_SERVICE:
			return channel_text(field, value, job->service, sizeof(job->service));
		default:
			return false;
	}
}

/* Map the body that came with the request. */
static bool
take_body(CallJob *job, int fd)
{
	if (fd < 0)
		return true;
	if (!check_sealed_memfd(fd, PADLOCK_WIRE_MAX_BODY, &job->body_length))
		return false;
	job->has_body = true;
	if (job->body_length == 0)
		return true;
	job->body = mmap(NULL, job->body_length, PROT_READ, MAP_PRIVATE, fd, 0);
	if (job->body == MAP_FAILED)
		job->body = NULL;
	return job->body != NULL;
}

const char *
call_take(CallJob *job, const WireFrame *frame, int fd)
{
	size_t		offset = sizeof(WireHeader);
	const unsigned char *value;
	WireField	field;
	uint64_t	seen = 0;
	int			headers = 0;

	memset(job, 0, sizeof(*job));
	job->result.body_fd = -1;
	memcpy(job->job_id, frame->header.job_id, sizeof(job->job_id));
	while (wire_next_field(frame->data, frame->size, &offset, &field, &value))
	{
		if (!take_field(job, &field, value))
			return "a field of a call that is unknown, out of range or not text";
		if (field.tag == TAG_HEADER ? ++headers > MAX_HEADERS : (seen & FIELD_BIT(field.tag)) != 0)
			return "a field twice, or too many headers";
		seen |= FIELD_BIT(field.tag);
	}
	if (offset != frame->size)
		return "a field longer than the frame";
	if ((seen & REQUIRED_FIELDS) != REQUIRED_FIELDS ||
		((seen & SIGNING_FIELDS) != 0 && (seen & SIGNING_FIELDS) != SIGNING_FIELDS))
		return "a field is missing";
	if (!take_body(job, fd))
		return "a call's body that is not sealed, too large or cannot be mapped";
	return NULL;
}

/* The handle for calls of a reach: connections of another are given up. */
static CURL *
client_curl(CallClient *client, TransferReach reach)
{
	if (client->curl != NULL && client->reach != reach)
	{
		curl_easy_cleanup(client->curl);
		client->curl = NULL;
	}
	if (client->curl == NULL)
		client->curl = curl_easy_init();
	client->reach = reach;
	return client->curl;
}

/* Append a header; false when out of memory, the list stays. */
static bool
append(struct curl_slist **headers, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*headers, line);

	if (longer != NULL)
		*headers = longer;
	return longer != NULL;
}

/* Name the host as curl would: the scheme's own port is left out. */
static bool
append_host(struct curl_slist **headers, const FetchUrl *url)
{
	char		line[URL_ORIGIN_SIZE + 10];
	const char *authority = strstr(url->origin, "://") + 3;
	const char *port = strrchr(authority, ':');
	bool		is_https = strncmp(url->origin, "https:", 6) == 0;
	bool		is_default = strcmp(port, is_https ? ":443" : ":80") == 0;

	snprintf(line, sizeof(line), "Host: %.*s",
			 (int) (is_default ? (size_t) (port - authority) : strlen(authority)), authority);
	return append(headers, line);
}

/* The headers of one try, signed if need be; NULL when that cannot be done. */
static struct curl_slist *
make_headers(const CallJob *job, const FetchUrl *url)
{
	SigV4Key	key = {job->key_id, job->secret, job->token, job->region, job->service};
	SigV4Request request = {job->method, url->target, job->body != NULL ? job->body : "",
	job->body_length, time(NULL)};
	struct curl_slist *headers = NULL;
	const struct curl_slist *given;
	bool		ok = append_host(&headers, url);

	for (given = job->headers; ok && given != NULL; given = given->next)
		ok = append(&headers, given->data);
	if (ok && job->region[0] != '\0')
		ok = sigv4_sign(&key, &request, &headers);

	/* curl adds one to whatever has a body, and a GET would get none */
	if (ok && (ok = append(&headers, "Accept: */*")))
		return headers;
	curl_slist_free_all(headers);
	return NULL;
}

/* One try. */
static void
try_call(CallClient *client, CallJob *job, const FetchUrl *url)
{
	bool		is_https = strncmp(url->origin, "https:", 6) == 0;
	TransferRequest request = {0};
	struct curl_slist *headers = make_headers(job, url);
	CURL	   *curl;

	request.reach = is_https || (job->flags & WIRE_FLAG_CLEAR) != 0 ? REACH_PRIVATE : REACH_LOOPBACK;
	request.max_bytes = job->max_bytes;
	request.deadline_ms = monotonic_ms() + job->timeout_ms;
	request.method = job->method;
	request.headers = headers;
	request.body = !job->has_body ? NULL : job->body != NULL ? job->body : "";
	request.body_length = job->body_length;
	request.ca = job->ca[0] != '\0' ? job->ca : NULL;
	request.keep_errors = true;
	curl = client_curl(client, request.reach);
	if (curl == NULL || headers == NULL)
		transfer_fail(&job->result, WIRE_INTERNAL, "the request cannot be made or signed");
	else
		transfer_run(curl, url, &request, &job->result);
	curl_slist_free_all(headers);
}

/* May the same request succeed a moment later? */
static bool
may_pass(const TransferResult *result)
{
	switch (result->outcome)
	{
		case WIRE_TIMEOUT:
		case WIRE_NETWORK:
			return true;
		case WIRE_HTTP_ERROR:
			return result->status == 429 || result->status == 500 || result->status == 502 ||
				result->status == 503 || result->status == 504;
		default:
			return false;
	}
}

/* How long to wait before try number n + 1: it doubles, half of it by chance. */
static int
wait_before_next(uint32_t n)
{
	uint32_t	longest = FIRST_WAIT_MS << (n - 1);
	uint32_t	chance = 0;

	if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
		chance = 0;
	return (int) (longest / 2 + chance % (longest / 2 + 1));
}

/* Forget what a failed try brought. */
static void
drop_result(TransferResult *result)
{
	if (result->body_fd >= 0)
		close(result->body_fd);
	memset(result, 0, sizeof(*result));
	result->body_fd = -1;
}

void
call_run(CallClient *client, CallJob *job)
{
	char		problem[URL_PROBLEM_SIZE];
	FetchUrl	url;
	uint32_t	n;

	job->started_ms = monotonic_ms();
	if (!url_check(job->url, NULL, &url, problem))
	{
		transfer_fail(&job->result, WIRE_BAD_URL, "%s", problem);
		return;
	}
	for (n = 1;; n++)
	{
		try_call(client, job, &url);
		if (n == job->tries || !may_pass(&job->result))
			return;
		drop_result(&job->result);
		if (channel_closed(wait_before_next(n)))
		{
			transfer_fail(&job->result, WIRE_INTERNAL, "the worker is gone");
			return;
		}
	}
}

void
call_answer(const CallJob *job, WireBuffer *answer)
{
	const TransferResult *result = &job->result;

	wire_begin(answer, WIRE_CALLED, job->job_id);
	wire_put_u32(answer, TAG_OUTCOME, result->outcome);
	channel_put_text(answer, TAG_DETAIL, result->detail, strlen(result->detail), DETAIL_SIZE - 1);
	wire_put_u32(answer, TAG_ELAPSED_MS, (uint32_t) (monotonic_ms() - job->started_ms));
	if (result->status > 0)
		wire_put_u32(answer, TAG_HTTP_STATUS, (uint32_t) result->status);
}

void
call_end(CallJob *job)
{
	curl_slist_free_all(job->headers);
	if (job->body != NULL)
		munmap(job->body, job->body_length);
	if (job->result.body_fd >= 0)
		close(job->result.body_fd);
	explicit_bzero(job, sizeof(*job));
	job->result.body_fd = -1;
}
