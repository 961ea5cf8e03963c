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
#define TRANSFER_ERROR_BYTES (64 * 1024)	/* read of an answer that is not 2xx */
#define VALIDATOR_SIZE		1001	/* an ETag or Last-Modified worth keeping */

/* Which of the addresses that are not forbidden may be connected to. */
typedef enum TransferReach
{
	REACH_PUBLIC = 0,			/* what strangers name */
	REACH_PRIVATE,				/* any */
	REACH_LOOPBACK				/* this machine only */
} TransferReach;

/* What to ask for; what is zero is as a crawler wants it. */
typedef struct TransferRequest
{
	TransferReach reach;
	bool		cut_at_limit;	/* is a body cut at max_bytes a success? */
	uint64_t	max_bytes;		/* of the decoded body */
	int64_t		deadline_ms;	/* on monotonic_ms()'s clock */
	const char *etag;			/* NULL, or for If-None-Match */
	const char *last_modified;	/* NULL, or for If-Modified-Since */

	/* of a request to an endpoint of the operator's, see fetch_call.h */
	const char *method;			/* NULL: GET */
	const struct curl_slist *headers;	/* NULL, or all that is sent besides curl's own */
	const void *body;			/* NULL: none */
	uint64_t	body_length;
	const char *ca;				/* NULL, or PEM, instead of the system's */
	bool		keep_errors;	/* keep the body of an answer that is not 2xx, too */
} TransferRequest;

/*
 * What came of it.  outcome is WIRE_OK for a 2xx answer with its body in
 * body_fd (sealed, the caller closes it) and WIRE_HTTP_ERROR for any status
 * but 2xx and an expected 304, redirects included: those have a location, and
 * with keep_errors a body of at most TRANSFER_ERROR_BYTES.
 */
typedef struct TransferResult
{
	WireOutcome outcome;
	char		detail[DETAIL_SIZE];	/* "" when OK */
	long		status;			/* 0 if no answer came */
	int			body_fd;		/* -1 if there is no body */
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
 * kept and used again.  A handle must serve requests of one reach only: a
 * kept connection is not checked again.
 */
extern void transfer_run(CURL *curl, const FetchUrl *url, const TransferRequest *request,
						 TransferResult *result);

/* Set a failure: its outcome and, as by printf, its detail. */
extern void transfer_fail(TransferResult *result, WireOutcome outcome, const char *format,...)
			__attribute__((format(printf, 3, 4)));

#endif							/* PADLOCK_FETCH_TRANSFER_H */
