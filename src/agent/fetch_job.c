/*-------------------------------------------------------------------------
 *
 * fetch_job.c
 *	  One WIRE_FETCH request from its URL to its outcome: redirects, robots
 *	  and courtesy.
 *
 * Redirects are followed here and not by curl, so that each hop is checked
 * like the first: scheme, credentials, robots.txt of the new site, and (when
 * its socket opens) its address.  One deadline holds for all of it, the
 * robots.txt and the courtesy wait included.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/fetch_job.h"

/* RFC 9309, 2.3.1.2: at least five redirects of a robots.txt are followed. */
#define ROBOTS_MAX_REDIRECTS	5

bool
fetch_client_open(FetchClient *client)
{
	client->public_curl = curl_easy_init();
	client->private_curl = curl_easy_init();
	return client->public_curl != NULL && client->private_curl != NULL;
}

static bool
job_may_use_private(const FetchJob *job)
{
	return (job->flags & WIRE_FLAG_PRIVATE) != 0;
}

static CURL *
job_curl(const FetchClient *client, const FetchJob *job)
{
	return job_may_use_private(job) ? client->private_curl : client->public_curl;
}

/* Does a status mean that the answer lies elsewhere? */
static bool
is_redirect(const TransferResult *result)
{
	return result->outcome == WIRE_HTTP_ERROR &&
		(result->status == 301 || result->status == 302 || result->status == 303 ||
		 result->status == 307 || result->status == 308);
}

/*
 * Turn a redirect into the URL that it names.  False, with the outcome set,
 * if there is none that may be fetched or this was one too many.
 */
static bool
take_redirect(FetchUrl *at, TransferResult *result, uint32_t *left, uint32_t allowed)
{
	char		problem[URL_PROBLEM_SIZE];

	if (result->location[0] == '\0')
		transfer_fail(result, WIRE_HTTP_ERROR,
					  "the server answered with status %ld and no usable Location", result->status);
	else if (*left == 0)
		transfer_fail(result, WIRE_TOO_MANY_REDIRECTS, "more than %u redirects", allowed);
	else if (!url_check(result->location, at, at, problem))
		transfer_fail(result, WIRE_BAD_URL, "%s redirects to %.200s: %s",
					  at->origin, result->location, problem);
	else
	{
		(*left)--;
		return true;
	}
	return false;
}

/* Fetch an origin's robots.txt, wherever it leads. */
static void
transfer_robots(FetchClient *client, const FetchJob *job, TransferResult *result)
{
	TransferRequest request = {0};
	uint32_t	left = ROBOTS_MAX_REDIRECTS;
	FetchUrl	at;

	request.reach = job_may_use_private(job) ? REACH_PRIVATE : REACH_PUBLIC;
	request.cut_at_limit = true;
	/* one byte more, so that the parser sees that there was more */
	request.max_bytes = ROBOTS_MAX_BYTES + 1;
	request.deadline_ms = job->started_ms + job->timeout_ms;
	url_robots(&job->at, &at);
	do
		transfer_run(job_curl(client, job), &at, &request, result);
	while (is_redirect(result) && take_redirect(&at, result, &left, ROBOTS_MAX_REDIRECTS));
}

/* Parse a fetched robots.txt; NULL when out of memory. */
static RobotsRules *
parse_robots(const TransferResult *result)
{
	RobotsRules *rules;
	void	   *text;

	if (result->body_length == 0)
		return robots_parse("", 0, FETCH_AGENT);
	text = mmap(NULL, result->body_length, PROT_READ, MAP_PRIVATE, result->body_fd, 0);
	if (text == MAP_FAILED)
		return NULL;
	rules = robots_parse(text, result->body_length, FETCH_AGENT);
	munmap(text, result->body_length);
	return rules;
}

/*
 * Learn what an origin's robots.txt says (RFC 9309, 2.3.1).  A 4xx status, or
 * redirects without end, mean that there is no such file and all is allowed.
 * A 5xx status or no answer mean that we do not know and nothing is allowed.
 * So does 429, against the letter of the RFC: a server that asks us to slow
 * down did not say that it has no rules.
 */
static void
learn_robots(FetchClient *client, const FetchJob *job, FetchHost *host)
{
	TransferResult result;
	RobotsRules *rules = NULL;
	char		detail[2 * DETAIL_SIZE];
	int64_t		asked_ms = monotonic_ms();
	bool		lasting;

	transfer_robots(client, job, &result);
	if (result.outcome == WIRE_OK)
	{
		rules = parse_robots(&result);
		close(result.body_fd);
		if (rules == NULL)
			transfer_fail(&result, WIRE_INTERNAL, "out of memory");
	}
	if (result.outcome == WIRE_OK || result.outcome == WIRE_TOO_MANY_REDIRECTS ||
		(result.outcome == WIRE_HTTP_ERROR && result.status < 500 && result.status != 429))
	{
		host_keep_rules(&client->hosts, host, rules);
		return;
	}
	snprintf(detail, sizeof(detail), "robots.txt of %s cannot be read: %s",
			 host->origin, result.detail);

	/* a trouble of ours, or having been asked too late, says nothing about the site */
	lasting = result.outcome != WIRE_INTERNAL &&
		(result.outcome != WIRE_TIMEOUT || asked_ms - job->started_ms < job->timeout_ms / 2);
	if (result.outcome != WIRE_ADDRESS_DENIED && result.outcome != WIRE_TIMEOUT &&
		result.outcome != WIRE_INTERNAL)
		result.outcome = WIRE_NETWORK;
	host_keep_failure(host, result.outcome, detail, lasting);
}

/* Ask the rules about the URL; false with the outcome set. */
static bool
obey_rules(FetchJob *job, const FetchHost *host)
{
	const RobotsRule *rule;

	if (host->robots_outcome != WIRE_OK)
	{
		transfer_fail(&job->result, host->robots_outcome, "%s", host->robots_detail);
		return false;
	}
	if (host->rules == NULL || robots_allow(host->rules, job->at.target, &rule))
		return true;
	transfer_fail(&job->result, WIRE_ROBOTS_DENIED, "robots.txt disallows %.200s (Disallow: %.*s%s)",
				  job->at.target, rule->length < 200 ? (int) rule->length : 200,
				  host->rules->patterns + rule->offset, rule->anchored ? "$" : "");
	return false;
}

/*
 * Wait until the site's Crawl-delay is over; false with the outcome set if
 * that cannot be, or the worker went away meanwhile.
 */
static bool
wait_turn(FetchJob *job, const FetchHost *host)
{
	int64_t		wait_ms = host_wait_ms(host);

	if (wait_ms == 0)
		return true;
	if (monotonic_ms() + wait_ms >= job->started_ms + job->timeout_ms)
	{
		transfer_fail(&job->result, WIRE_TIMEOUT,
					  "robots.txt asks for %u ms between requests, and the next may come in %lld ms",
					  host->rules->delay_ms, (long long) wait_ms);
		return false;
	}
	if (channel_closed((int) wait_ms))
	{
		transfer_fail(&job->result, WIRE_INTERNAL, "the worker is gone");
		return false;
	}
	return true;
}

/*
 * May the job's present URL be asked for, as its site sees it?  The wait is
 * between fetches: a redirect inside one site is part of the same visit.
 */
static bool
admit(FetchClient *client, FetchJob *job, const char *previous_origin)
{
	FetchHost  *host;

	memset(&job->result, 0, sizeof(job->result));
	job->result.body_fd = -1;
	host = host_find(&client->hosts, job->at.origin, job_may_use_private(job));
	job->host = host;
	if (!host_robots_known(host))
		learn_robots(client, job, host);
	return obey_rules(job, host) &&
		(strcmp(previous_origin, job->at.origin) == 0 || wait_turn(job, host));
}

/* Follow the job's URL to its end, each hop checked like the first. */
static void
follow(FetchClient *client, FetchJob *job)
{
	uint32_t	allowed = job->max_redirects < FETCH_MAX_REDIRECTS ?
		job->max_redirects : FETCH_MAX_REDIRECTS;
	uint32_t	left = allowed;
	bool		obey = (job->flags & WIRE_FLAG_ROBOTS) != 0;
	char		previous_origin[URL_ORIGIN_SIZE] = "";
	TransferRequest request = {0};

	request.reach = job_may_use_private(job) ? REACH_PRIVATE : REACH_PUBLIC;
	request.max_bytes = job->max_bytes;
	request.deadline_ms = job->started_ms + job->timeout_ms;
	request.etag = job->etag[0] != '\0' ? job->etag : NULL;
	request.last_modified = job->last_modified[0] != '\0' ? job->last_modified : NULL;
	do
	{
		if (obey && !admit(client, job, previous_origin))
			return;
		memcpy(previous_origin, job->at.origin, sizeof(previous_origin));
		transfer_run(job_curl(client, job), &job->at, &request, &job->result);
		if (obey)
			job->host->last_request_ms = monotonic_ms();
	} while (is_redirect(&job->result) &&
			 take_redirect(&job->at, &job->result, &left, allowed));
}

void
fetch_job_run(FetchClient *client, FetchJob *job)
{
	char		problem[URL_PROBLEM_SIZE];

	job->started_ms = monotonic_ms();
	job->host = NULL;
	job->at.text[0] = '\0';
	memset(&job->result, 0, sizeof(job->result));
	job->result.body_fd = -1;
	if (url_check(job->url, NULL, &job->at, problem))
		follow(client, job);
	else
		transfer_fail(&job->result, WIRE_BAD_URL, "%s", problem);
}
