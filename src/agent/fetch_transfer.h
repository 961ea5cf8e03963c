/*-------------------------------------------------------------------------
 *
 * fetch_transfer.h
 *	  One HTTP request and its answer: no redirects, no robots.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_TRANSFER_H
#define PADLOCK_FETCH_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/fetch_url.h"
#include "agent/wire.h"

#define FETCH_AGENT			"padlock"	/* our product token in robots.txt */
#define DETAIL_SIZE			501		/* what wire.h allows, and NUL */
#define VALIDATOR_SIZE		1001	/* an ETag or Last-Modified worth keeping */

/* What to ask for. */
typedef struct TransferRequest
{
	bool		allow_private;
	bool		cut_at_limit;	/* is a body cut at max_bytes a success? */
	uint64_t	max_bytes;		/* of the decoded body */
	int64_t		deadline_ms;	/* on monotonic_ms()'s clock */
	const char *etag;			/* NULL, or for If-None-Match */
	const char *last_modified;	/* NULL, or for If-Modified-Since */
} TransferRequest;

/*
 * What came of it.  outcome is WIRE_OK for a 2xx answer with its body in
 * body_fd (sealed, the caller closes it) and WIRE_HTTP_ERROR for any status
 * but 2xx and an expected 304, redirects included: those have a location.
 */
typedef struct TransferResult
{
	WireOutcome outcome;
	char		detail[DETAIL_SIZE];	/* "" when OK */
	long		status;			/* 0 if no answer came */
	int			body_fd;		/* -1 unless OK */
	uint64_t	body_length;
	char		location[URL_SIZE];
	char		content_type[VALIDATOR_SIZE];
	char		etag[VALIDATOR_SIZE];
	char		last_modified[VALIDATOR_SIZE];
} TransferResult;

/* Milliseconds on a clock that nobody sets. */
extern int64_t monotonic_ms(void);

/*
 * Do one request with a handle from curl_easy_init(), whose connections are
 * kept and used again.  A handle must serve requests of one kind of
 * allow_private only: a kept connection is not checked again.
 */
extern void transfer_run(CURL *curl, const FetchUrl *url, const TransferRequest *request,
						 TransferResult *result);

/* Set a failure: its outcome and, as by printf, its detail. */
extern void transfer_fail(TransferResult *result, WireOutcome outcome, const char *format,...)
			__attribute__((format(printf, 3, 4)));

#endif							/* PADLOCK_FETCH_TRANSFER_H */
