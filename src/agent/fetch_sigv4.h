/*-------------------------------------------------------------------------
 *
 * fetch_sigv4.h
 *	  Signatures of requests to AWS and what speaks its protocol (AWS
 *	  Signature Version 4, in headers, with a known payload).
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_SIGV4_H
#define PADLOCK_FETCH_SIGV4_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define SIGV4_MAX_HEADERS	32
#define SIGV4_MAX_SECRET	256		/* bytes; AWS's have 40 */

/* On whose behalf, and for which service where. */
typedef struct SigV4Key
{
	const char *key_id;
	const char *secret;			/* at most SIGV4_MAX_SECRET bytes */
	const char *token;			/* of temporary credentials; "" if none */
	const char *region;
	const char *service;		/* s3 has rules of its own for paths */
} SigV4Key;

/* What is signed: all of it, as it will be sent. */
typedef struct SigV4Request
{
	const char *method;
	const char *target;			/* path and query, without dot segments */
	const void *body;
	size_t		body_length;
	time_t		now;
} SigV4Request;

/*
 * Sign a request.  headers holds "Name: value" lines with no name twice, Host
 * among them, and all of them are signed; X-Amz-Date, X-Amz-Content-Sha256,
 * X-Amz-Security-Token (if there is a token) and Authorization are appended.
 * False when out of memory, or when there are more than SIGV4_MAX_HEADERS
 * headers or query parameters; the list may then hold some of them.
 */
extern bool sigv4_sign(const SigV4Key *key, const SigV4Request *request,
					   struct curl_slist **headers);

#endif							/* PADLOCK_FETCH_SIGV4_H */
