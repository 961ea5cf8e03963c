/*-------------------------------------------------------------------------
 *
 * fetch_transfer.c
 *	  One HTTP request and its answer: no redirects, no robots.
 *
 * libcurl does the protocol; this file says what it may not do and gives
 * names to what can happen.  Every address is judged when its socket is
 * opened, after name resolution, so that no spelling and no change of DNS
 * goes round the filter.  Bodies are counted as they are decoded, so that a
 * compressed bomb is stopped at the limit; headers are counted too.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/fetch_address.h"
#include "agent/fetch_transfer.h"

/* What we say we are: the truth, and the name to use in robots.txt. */
#define USER_AGENT			FETCH_AGENT "/1.0 (+robots: " FETCH_AGENT ")"

/* What servers may be sent without a setting: each bounds memory or time. */
#define MAX_HEADER_BYTES	(128 * 1024)
#define MAX_HEADER_LINES	500
#define MAX_CONNECT_MS		10000
#define MAX_KEPT_CONNECTIONS 8

/* Why one of our callbacks stopped a transfer. */
typedef enum StopReason
{
	STOP_NONE,
	STOP_HEADERS,				/* too many of them */
	STOP_TOO_LARGE,				/* the body */
	STOP_ENOUGH,				/* the rest of the body is not wanted */
	STOP_STORE,					/* the memfd cannot take the body */
	STOP_WORKER_GONE
} StopReason;

/* A transfer under way. */
typedef struct Transfer
{
	CURL	   *curl;
	const FetchUrl *url;
	const TransferRequest *request;
	TransferResult *result;
	StopReason	stop;
	int			store_errno;
	bool		address_allowed;	/* was a socket opened? */
	bool		address_refused;
	char		refused[ADDRESS_TEXT_SIZE];
	size_t		header_bytes;
	int			header_lines;
	uint64_t	error_bytes;
	char		curl_error[CURL_ERROR_SIZE];
} Transfer;

static const struct
{
	long		status;
	const char *phrase;
}			status_phrases[] = {
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{408, "Request Timeout"},
	{410, "Gone"},
	{429, "Too Many Requests"},
	{451, "Unavailable For Legal Reasons"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"}
};

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

int64_t
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
transfer_fail(TransferResult *result, WireOutcome outcome, const char *format,...)
{
	va_list		arguments;

	result->outcome = outcome;
	va_start(arguments, format);
	vsnprintf(result->detail, sizeof(result->detail), format, arguments);
	va_end(arguments);
}

/* May this request use an address? */
static bool
within_reach(TransferReach reach, const struct sockaddr *address)
{
	switch (address_class(address))
	{
		case ADDRESS_PUBLIC:
			return reach != REACH_LOOPBACK;
		case ADDRESS_PRIVATE:
			return reach == REACH_PRIVATE ||
				(reach == REACH_LOOPBACK && address_is_loopback(address));
		case ADDRESS_FORBIDDEN:
			break;
	}
	return false;
}

/* Opens a connection's socket, if its address may be used. */
static curl_socket_t
open_socket(void *argument, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *transfer = argument;

	if (purpose != CURLSOCKTYPE_IPCXN ||
		!within_reach(transfer->request->reach, &address->addr))
	{
		transfer->address_refused = true;
		address_text(&address->addr, transfer->refused);
		return CURL_SOCKET_BAD;
	}
	transfer->address_allowed = true;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Counts header lines, those of interim answers and trailers too. */
static size_t
take_header(char *data, size_t size, size_t count, void *argument)
{
	Transfer   *transfer = argument;

	(void) data;
	transfer->header_bytes += size * count;
	transfer->header_lines++;
	if (transfer->header_bytes > MAX_HEADER_BYTES || transfer->header_lines > MAX_HEADER_LINES)
	{
		transfer->stop = STOP_HEADERS;
		return 0;
	}
	return size * count;
}

/* Append to the body's memfd, made when first needed. */
static bool
store_body(Transfer *transfer, const char *data, size_t size)
{
	TransferResult *result = transfer->result;

	if (result->body_fd < 0)
		result->body_fd = sealed_memfd("padlock body");
	while (result->body_fd >= 0 && size > 0)
	{
		ssize_t		written = write(result->body_fd, data, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			break;
		data += written;
		size -= (size_t) written;
		result->body_length += (uint64_t) written;
	}
	if (result->body_fd >= 0 && size == 0)
		return true;
	transfer->store_errno = errno;
	transfer->stop = STOP_STORE;
	return false;
}

/* Would the body, by its announced length, be too long? */
static bool
announced_too_long(const Transfer *transfer)
{
	curl_off_t	announced = -1;

	curl_easy_getinfo(transfer->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
	return announced > 0 && (uint64_t) announced > transfer->request->max_bytes;
}

/* Take a piece of an error page: kept if wanted, else read to keep its connection. */
static size_t
take_error(Transfer *transfer, const char *data, size_t length)
{
	transfer->error_bytes += length;
	if (transfer->error_bytes > TRANSFER_ERROR_BYTES)
	{
		transfer->stop = STOP_ENOUGH;
		return 0;
	}
	if (transfer->request->keep_errors && !store_body(transfer, data, length))
		return 0;
	return length;
}

/* Takes a piece of the decoded body. */
static size_t
take_body(char *data, size_t size, size_t count, void *argument)
{
	Transfer   *transfer = argument;
	uint64_t	room = transfer->request->max_bytes - transfer->result->body_length;
	size_t		length = size * count;
	long		status = 0;

	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || status > 299)
		return take_error(transfer, data, length);
	if (!transfer->request->cut_at_limit && (length > room || announced_too_long(transfer)))
	{
		transfer->stop = STOP_TOO_LARGE;
		return 0;
	}
	if (length <= room)
		return store_body(transfer, data, length) ? length : 0;
	if (store_body(transfer, data, (size_t) room))
		transfer->stop = STOP_ENOUGH;
	return 0;
}

/* Ends a transfer that nobody waits for any more. */
static int
watch_worker(void *argument, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
	Transfer   *transfer = argument;

	(void) total;
	(void) now;
	(void) up_total;
	(void) up;
	if (!channel_closed(0))
		return 0;
	transfer->stop = STOP_WORKER_GONE;
	return 1;
}

/* Add a header line unless its value could end the line; NULL when out of memory. */
static struct curl_slist *
add_header(struct curl_slist *headers, const char *name, const char *value)
{
	char		line[VALIDATOR_SIZE + 50];
	const unsigned char *c;
	struct curl_slist *longer;

	for (c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if (*c < 0x20 || *c == 0x7f)
			return headers;
	}
	snprintf(line, sizeof(line), "%s: %s", name, value);
	longer = curl_slist_append(headers, line);
	if (longer == NULL)
		curl_slist_free_all(headers);
	return longer;
}

/* A list of our own, with what curl would add taken out; NULL when out of memory. */
static struct curl_slist *
copy_headers(const struct curl_slist *given)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	struct curl_slist *longer = headers;

	for (; longer != NULL && given != NULL; given = given->next)
	{
		longer = curl_slist_append(headers, given->data);
		if (longer == NULL)
			curl_slist_free_all(headers);
		headers = longer;
	}
	return headers;
}

static struct curl_slist *
make_headers(const TransferRequest *request)
{
	struct curl_slist *headers = NULL;

	if (request->headers != NULL)
		return copy_headers(request->headers);
	headers = add_header(headers, "Accept", "text/html, application/xhtml+xml, "
						 "application/xml;q=0.9, application/pdf;q=0.9, */*;q=0.5");
	if (headers != NULL && request->etag != NULL)
		headers = add_header(headers, "If-None-Match", request->etag);
	if (headers != NULL && request->last_modified != NULL)
		headers = add_header(headers, "If-Modified-Since", request->last_modified);
	return headers;
}

/* Tell curl what it may do; all that is not said here is curl's default. */
static void
set_options(Transfer *transfer, struct curl_slist *headers, int64_t remaining_ms)
{
	CURL	   *curl = transfer->curl;
	long		connect_ms = remaining_ms < MAX_CONNECT_MS ? (long) remaining_ms : MAX_CONNECT_MS;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, transfer->url->text);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, USER_AGENT);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	if (transfer->request->headers == NULL)
		curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip, deflate, br");
	curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) remaining_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, (long) MAX_KEPT_CONNECTIONS);

	/* a resolver that hangs must not hold up the answer */
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->curl_error);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, watch_worker);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

/* What is sent to an endpoint of the operator's and no crawler sends. */
static void
set_call_options(const Transfer *transfer)
{
	const TransferRequest *request = transfer->request;
	struct curl_blob ca = {(void *) request->ca, 0, CURL_BLOB_COPY};

	if (request->body != NULL)
	{
		curl_easy_setopt(transfer->curl, CURLOPT_POSTFIELDSIZE_LARGE,
						 (curl_off_t) request->body_length);
		curl_easy_setopt(transfer->curl, CURLOPT_POSTFIELDS, request->body);
	}
	if (request->method != NULL)
		curl_easy_setopt(transfer->curl, CURLOPT_CUSTOMREQUEST, request->method);
	if (request->ca != NULL)
	{
		ca.len = strlen(request->ca);
		curl_easy_setopt(transfer->curl, CURLOPT_CAINFO_BLOB, &ca);
		curl_easy_setopt(transfer->curl, CURLOPT_CAPATH, NULL);
	}
}

/* Copy a header of the last answer; one that does not fit is as good as absent. */
static void
copy_header(CURL *curl, const char *name, char *out, size_t out_size)
{
	struct curl_header *header;

	if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
		strlen(header->value) < out_size)
		strcpy(out, header->value);
}

static void
fail_with_status(TransferResult *result)
{
	size_t		i;

	for (i = 0; i < lengthof(status_phrases); i++)
	{
		if (status_phrases[i].status == result->status)
		{
			transfer_fail(result, WIRE_HTTP_ERROR, "the server answered %ld %s",
						  result->status, status_phrases[i].phrase);
			return;
		}
	}
	transfer_fail(result, WIRE_HTTP_ERROR, "the server answered with status %ld", result->status);
}

/* What a refused address is not. */
static const char *const reach_words[] = {
	[REACH_PUBLIC] = "public",
	[REACH_PRIVATE] = "one that may be fetched",
	[REACH_LOOPBACK] = "one that may be spoken to without TLS"
};

/* Name a failure to connect: our refusal, or the network's. */
static void
fail_to_connect(const Transfer *transfer)
{
	long		number = 0;

	if (transfer->address_refused && !transfer->address_allowed)
	{
		transfer_fail(transfer->result, WIRE_ADDRESS_DENIED, "address %s is not %s",
					  transfer->refused, reach_words[transfer->request->reach]);
		return;
	}
	curl_easy_getinfo(transfer->curl, CURLINFO_OS_ERRNO, &number);
	transfer_fail(transfer->result, WIRE_NETWORK, "cannot connect to %s: %s",
				  transfer->url->origin,
				  number != 0 ? strerror((int) number) : transfer->curl_error);
}

/*
 * Curl says "out of memory" when a header line is longer than it takes
 * (100 KiB); bytes that have come tell that case.
 */
static bool
header_was_too_long(const Transfer *transfer, CURLcode code)
{
	curl_off_t	first_byte_us = 0;

	curl_easy_getinfo(transfer->curl, CURLINFO_STARTTRANSFER_TIME_T, &first_byte_us);
	return transfer->stop == STOP_HEADERS ||
		(code == CURLE_OUT_OF_MEMORY && first_byte_us > 0 && transfer->result->body_fd < 0);
}

/* Name a failure that curl found. */
static void
fail_with_code(const Transfer *transfer, CURLcode code)
{
	TransferResult *result = transfer->result;
	const char *origin = transfer->url->origin;
	const char *reason = transfer->curl_error[0] != '\0' ?
		transfer->curl_error : curl_easy_strerror(code);

	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			transfer_fail(result, WIRE_NETWORK, "no address is known for the host of %s", origin);
			break;
		case CURLE_COULDNT_CONNECT:
			fail_to_connect(transfer);
			break;
		case CURLE_OPERATION_TIMEDOUT:
			transfer_fail(result, WIRE_TIMEOUT, "no complete answer from %s in time; %llu bytes came",
						  origin, (unsigned long long) result->body_length);
			break;
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_WEIRD_SERVER_REPLY:
			transfer_fail(result, WIRE_NETWORK, "what %s answered is not HTTP", origin);
			break;
		case CURLE_URL_MALFORMAT:
			transfer_fail(result, WIRE_BAD_URL, "not a URL: %s", reason);
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
			transfer_fail(result, WIRE_NETWORK, "the certificate of %s is not valid: %s",
						  origin, reason);
			break;
		case CURLE_SSL_CACERT_BADFILE:
			transfer_fail(result, WIRE_INTERNAL,
						  "this machine's CA certificates cannot be read (package ca-certificates)");
			break;
		case CURLE_BAD_CONTENT_ENCODING:
			transfer_fail(result, WIRE_NETWORK, "the body's compression is damaged or unknown");
			break;
		case CURLE_OUT_OF_MEMORY:
			transfer_fail(result, WIRE_INTERNAL, "out of memory");
			break;
		default:
			transfer_fail(result, WIRE_NETWORK, "the connection to %s failed after %llu bytes: %s",
						  origin, (unsigned long long) result->body_length, reason);
			break;
	}
}

/* Name what stopped a transfer before its end. */
static void
fail_stopped(const Transfer *transfer, CURLcode code)
{
	TransferResult *result = transfer->result;

	if (header_was_too_long(transfer, code))
		transfer_fail(result, WIRE_TOO_LARGE, "the server sent more than %d KiB or %d lines of headers",
					  MAX_HEADER_BYTES / 1024, MAX_HEADER_LINES);
	else if (transfer->stop == STOP_TOO_LARGE)
		transfer_fail(result, WIRE_TOO_LARGE, "the body is larger than %llu bytes",
					  (unsigned long long) transfer->request->max_bytes);
	else if (transfer->stop == STOP_STORE)
		transfer_fail(result, WIRE_INTERNAL, "cannot keep the body: %s",
					  strerror(transfer->store_errno));
	else if (transfer->stop == STOP_WORKER_GONE)
		transfer_fail(result, WIRE_INTERNAL, "the worker is gone");
	else
		fail_with_code(transfer, code);
}

/* Finish a 2xx answer: an empty body is a body, and all are sealed. */
static void
seal_body(Transfer *transfer)
{
	if (store_body(transfer, "", 0) && !seal_memfd(transfer->result->body_fd))
	{
		transfer->stop = STOP_STORE;
		transfer->store_errno = errno;
	}
	if (transfer->stop == STOP_STORE)
		fail_stopped(transfer, CURLE_OK);
}

static void
drop_body(TransferResult *result)
{
	close(result->body_fd);
	result->body_fd = -1;
	result->body_length = 0;
}

/*
 * Give the transfer's end its outcome.  A status outside 2xx counts even if
 * its body broke off, as nobody wants that body; a redirect must have said
 * where.
 */
static void
judge(Transfer *transfer, CURLcode code)
{
	TransferResult *result = transfer->result;
	bool		whole = code == CURLE_OK || transfer->stop == STOP_ENOUGH;
	bool		asked = transfer->request->etag != NULL || transfer->request->last_modified != NULL;

	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &result->status);
	copy_header(transfer->curl, "Location", result->location, sizeof(result->location));
	copy_header(transfer->curl, "Content-Type", result->content_type, sizeof(result->content_type));
	copy_header(transfer->curl, "ETag", result->etag, sizeof(result->etag));
	copy_header(transfer->curl, "Last-Modified", result->last_modified,
				sizeof(result->last_modified));

	if (transfer->stop == STOP_HEADERS || transfer->stop == STOP_WORKER_GONE)
		fail_stopped(transfer, code);
	else if (result->status == 304 && asked)
		result->outcome = WIRE_NOT_MODIFIED;
	else if (result->status >= 400 ||
			 (result->status >= 300 && (whole || result->location[0] != '\0')))
	{
		fail_with_status(result);
		if (result->body_fd >= 0 && !seal_memfd(result->body_fd))
			drop_body(result);
	}
	else if (!whole)
		fail_stopped(transfer, code);
	else if (result->status >= 200)
		seal_body(transfer);
	else
		transfer_fail(result, WIRE_NETWORK, "%s gave no final answer", transfer->url->origin);
}

void
transfer_run(CURL *curl, const FetchUrl *url, const TransferRequest *request,
			 TransferResult *result)
{
	Transfer	transfer = {0};
	struct curl_slist *headers;
	int64_t		remaining_ms = request->deadline_ms - monotonic_ms();

	memset(result, 0, sizeof(*result));
	result->body_fd = -1;
	transfer.curl = curl;
	transfer.url = url;
	transfer.request = request;
	transfer.result = result;
	if (remaining_ms <= 0)
	{
		transfer_fail(result, WIRE_TIMEOUT, "the time ran out before %s was asked", url->origin);
		return;
	}
	headers = make_headers(request);
	if (headers == NULL)
	{
		transfer_fail(result, WIRE_INTERNAL, "out of memory");
		return;
	}
	set_options(&transfer, headers, remaining_ms);
	set_call_options(&transfer);
	judge(&transfer, curl_easy_perform(curl));

	/* nothing of curl's may point at what ends here */
	curl_easy_reset(curl);
	curl_slist_free_all(headers);
	if (result->body_fd >= 0 && result->outcome != WIRE_OK &&
		(result->outcome != WIRE_HTTP_ERROR || !request->keep_errors))
		drop_body(result);
}
