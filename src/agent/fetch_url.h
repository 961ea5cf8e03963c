/*-------------------------------------------------------------------------
 *
 * fetch_url.h
 *	  URLs that padlock_fetch may fetch, in their one canonical spelling.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_URL_H
#define PADLOCK_FETCH_URL_H

#include <stdbool.h>

#define URL_SIZE			2001	/* 2000 bytes, as wire.h promises, and NUL */
#define URL_ORIGIN_SIZE		300		/* scheme, a DNS name of at most 255 bytes, port */
#define URL_PROBLEM_SIZE	200

/*
 * A checked URL: http or https, no credentials, no fragment, dot segments
 * resolved, spaces and bytes above ASCII percent-encoded.
 */
typedef struct FetchUrl
{
	char		text[URL_SIZE];
	char		origin[URL_ORIGIN_SIZE];	/* scheme://host:port, lower case */
	char		target[URL_SIZE];	/* path and query, as robots rules see it */
} FetchUrl;

/*
 * Check a URL; a relative one is resolved against base, unless base is NULL.
 * False with the reason, for people, in problem.
 */
extern bool url_check(const char *text, const FetchUrl *base, FetchUrl *url,
					  char problem[URL_PROBLEM_SIZE]);

/* The robots.txt that speaks for a URL. */
extern void url_robots(const FetchUrl *url, FetchUrl *robots);

#endif							/* PADLOCK_FETCH_URL_H */
