/*-------------------------------------------------------------------------
 *
 * fetch_job.h
 *	  One WIRE_FETCH request from its URL to its outcome: redirects, robots
 *	  and courtesy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_JOB_H
#define PADLOCK_FETCH_JOB_H

#include "agent/fetch_host.h"

/* No request may ask for more; a browser stops at 20, too. */
#define FETCH_MAX_REDIRECTS	20

/*
 * What outlives a request.  A handle keeps its connections open, so requests
 * that may use private addresses have one of their own.
 */
typedef struct FetchClient
{
	CURL	   *public_curl;
	CURL	   *private_curl;
	HostTable	hosts;
} FetchClient;

typedef struct FetchJob
{
	/* the question */
	uint8_t		job_id[16];
	char		url[URL_SIZE];	/* as the worker gave it, UTF-8 */
	uint32_t	flags;
	uint64_t	max_bytes;
	uint32_t	timeout_ms;
	uint32_t	max_redirects;
	char		etag[VALIDATOR_SIZE];	/* "" if none */
	char		last_modified[VALIDATOR_SIZE];

	/* the answer */
	int64_t		started_ms;
	FetchUrl	at;				/* the last URL tried; text "" if none was one */
	TransferResult result;		/* detail and validators may hold any bytes */
	FetchHost  *host;			/* of `at` if robots.txt was obeyed, or NULL */
} FetchJob;

/* Make the handles; false when out of memory. */
extern bool fetch_client_open(FetchClient *client);

/* Answer the job's question.  The caller closes result.body_fd. */
extern void fetch_job_run(FetchClient *client, FetchJob *job);

#endif							/* PADLOCK_FETCH_JOB_H */
