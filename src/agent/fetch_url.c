/*-------------------------------------------------------------------------
 *
 * fetch_url.c
 *	  URLs that padlock_fetch may fetch, in their one canonical spelling.
 *
 * Parsing is libcurl's own (CURLU), so that what is checked here is what is
 * fetched: two parsers that disagree about a URL are how filters are passed.
 * The spelling that comes out is the one given to curl, to the robots
 * matcher and to the worker.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "agent/fetch_url.h"

/* Copy a part of a URL; false if it is absent or too long. */
static bool
get_part(CURLU *handle, CURLUPart part, unsigned int flags, char *out, size_t out_size)
{
	char	   *value;
	bool		fits;

	if (curl_url_get(handle, part, &value, flags) != CURLUE_OK)
		return false;
	fits = strlen(value) < out_size;
	if (fits)
		strcpy(out, value);
	curl_free(value);
	return fits;
}

static bool
has_part(CURLU *handle, CURLUPart part)
{
	char	   *value;

	if (curl_url_get(handle, part, &value, 0) != CURLUE_OK)
		return false;
	curl_free(value);
	return true;
}

/* Write scheme://host:port in lower case. */
static bool
get_origin(CURLU *handle, const char *scheme, char origin[URL_ORIGIN_SIZE])
{
	char		host[256];
	char		port[8];
	char	   *c;

	if (!get_part(handle, CURLUPART_HOST, 0, host, sizeof(host)) || host[0] == '\0' ||
		!get_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof(port)))
		return false;
	for (c = host; *c != '\0'; c++)
		*c = (char) tolower((unsigned char) *c);
	snprintf(origin, URL_ORIGIN_SIZE, "%s://%s:%s", scheme, host, port);
	return true;
}

/* The part of a canonical URL after scheme and host. */
static void
get_target(FetchUrl *url)
{
	const char *authority = strstr(url->text, "://") + 3;
	const char *target = authority + strcspn(authority, "/?");

	snprintf(url->target, URL_SIZE, "%s%s", *target == '/' ? "" : "/", target);
}

/* Check what curl's parser made of a URL. */
static bool
check_parts(CURLU *handle, FetchUrl *url, char problem[URL_PROBLEM_SIZE])
{
	char		scheme[20];

	if (!get_part(handle, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)))
		snprintf(problem, URL_PROBLEM_SIZE, "the URL has no known scheme");
	else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
		snprintf(problem, URL_PROBLEM_SIZE, "only http and https are fetched, not %s", scheme);
	else if (has_part(handle, CURLUPART_USER) || has_part(handle, CURLUPART_PASSWORD) ||
			 has_part(handle, CURLUPART_OPTIONS))
		snprintf(problem, URL_PROBLEM_SIZE, "the URL carries a user name or password");
	else if (!get_origin(handle, scheme, url->origin))
		snprintf(problem, URL_PROBLEM_SIZE, "the URL has no usable host");
	else if (curl_url_set(handle, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
			 !get_part(handle, CURLUPART_URL, 0, url->text, sizeof(url->text)) ||
			 strstr(url->text, "://") == NULL)
		snprintf(problem, URL_PROBLEM_SIZE, "the URL is longer than %d bytes", URL_SIZE - 1);
	else
	{
		get_target(url);
		return true;
	}
	return false;
}

bool
url_check(const char *text, const FetchUrl *base, FetchUrl *url, char problem[URL_PROBLEM_SIZE])
{
	CURLU	   *handle = curl_url();
	CURLUcode	code = CURLUE_OUT_OF_MEMORY;
	FetchUrl	checked = {{0}, {0}, {0}};
	bool		ok = false;

	if (handle != NULL && base != NULL)
		code = curl_url_set(handle, CURLUPART_URL, base->text, 0);
	if (handle != NULL && (base == NULL || code == CURLUE_OK))
		code = curl_url_set(handle, CURLUPART_URL, text, CURLU_URLENCODE);
	if (code == CURLUE_UNSUPPORTED_SCHEME)
		snprintf(problem, URL_PROBLEM_SIZE, "only http and https are fetched");
	else if (code != CURLUE_OK)
		snprintf(problem, URL_PROBLEM_SIZE, "not a URL: %s", curl_url_strerror(code));
	else
		ok = check_parts(handle, &checked, problem);
	if (ok)
		*url = checked;
	curl_url_cleanup(handle);
	return ok;
}

void
url_robots(const FetchUrl *url, FetchUrl *robots)
{
	memcpy(robots->origin, url->origin, sizeof(robots->origin));
	snprintf(robots->text, sizeof(robots->text), "%s/robots.txt", url->origin);
	strcpy(robots->target, "/robots.txt");
}
