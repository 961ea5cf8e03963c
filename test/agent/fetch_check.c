/*-------------------------------------------------------------------------
 *
 * fetch_check.c
 *	  Calls the pure parts of padlock_fetch, for tests that judge many cases.
 *
 *	  fetch_check address		< lines of numeric addresses
 *	  fetch_check url [BASE]	< lines of URLs
 *	  fetch_check robots FILE AGENT	< lines of paths
 *	  fetch_check verdicts DIR	< lines of file, agent, URL, 0 or 1
 *	  fetch_check sigv4			< lines, parted by tabs, of time, key's id,
 *								secret, token, region, service, method, target,
 *								body in hexadecimal, and headers
 *
 * One line comes out for one that goes in; `verdicts` prints the number of
 * cases and of agreements, and the first disagreements on standard error;
 * `sigv4` prints all headers, parted by tabs.
 *
 *-------------------------------------------------------------------------
 */
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/fetch_address.h"
#include "agent/fetch_robots.h"
#include "agent/fetch_sigv4.h"
#include "agent/fetch_url.h"

#define SHOWN_DISAGREEMENTS	50

static const char *const class_names[] = {"public", "private", "forbidden"};

/* The class of a numeric host in any spelling that the resolver takes. */
static const char *
class_of_text(const char *host)
{
	struct addrinfo hints = {0};
	struct addrinfo *found;
	const char *name;

	hints.ai_flags = AI_NUMERICHOST;
	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return "name";
	name = class_names[address_class(found->ai_addr)];
	freeaddrinfo(found);
	return name;
}

static void
check_url(const char *text, const char *base_text)
{
	char		problem[URL_PROBLEM_SIZE];
	char		host[URL_ORIGIN_SIZE];
	FetchUrl	base;
	FetchUrl	url;

	if ((base_text != NULL && !url_check(base_text, NULL, &base, problem)) ||
		!url_check(text, base_text != NULL ? &base : NULL, &url, problem))
	{
		printf("bad\t%s\n", problem);
		return;
	}
	snprintf(host, sizeof(host), "%s", strstr(url.origin, "://") + 3);
	*strrchr(host, ':') = '\0';
	if (host[0] == '[')
	{
		memmove(host, host + 1, strlen(host));
		host[strcspn(host, "]")] = '\0';
	}
	printf("%s\t%s\t%s\n", class_of_text(host), url.text, url.target);
}

static RobotsRules *
read_robots(const char *path, const char *agent)
{
	static char text[4 * ROBOTS_MAX_BYTES];
	FILE	   *file = fopen(path, "r");
	RobotsRules *rules;
	size_t		length;

	if (file == NULL)
	{
		perror(path);
		exit(3);
	}
	length = fread(text, 1, sizeof(text), file);
	fclose(file);
	rules = robots_parse(text, length, agent);
	if (rules == NULL)
		exit(3);
	return rules;
}

static void
check_robots(const RobotsRules *rules, const char *target)
{
	const RobotsRule *rule;

	if (strcmp(target, "delay") == 0)
		printf("%u\n", rules->delay_ms);
	else if (strcmp(target, "sitemaps") == 0)
		printf("%d\t%s\n", rules->sitemap_count,
			   rules->sitemap_count > 0 ? rules->sitemaps[0] : "");
	else
		printf("%d\n", robots_allow(rules, target, &rule) ? 1 : 0);
}

/* One verdict: does the matcher agree? */
static bool
check_verdict(const char *dir, char *line)
{
	const char *name = strtok(line, "\t");
	const char *agent = strtok(NULL, "\t");
	const char *text = strtok(NULL, "\t");
	const char *verdict = strtok(NULL, "\t");
	char		path[4096];
	char		target[4096];
	const RobotsRule *rule;
	RobotsRules *rules;
	bool		agrees;

	if (verdict == NULL || strstr(text, "://") == NULL)
		return false;

	/* cut here and not by url_check(), as curl drops an empty query */
	text = strstr(text, "://") + 3;
	text += strcspn(text, "/?");
	snprintf(target, sizeof(target), "%s%s", *text == '/' ? "" : "/", text);
	target[strcspn(target, "#")] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	rules = read_robots(path, agent);
	agrees = robots_allow(rules, target, &rule) == (verdict[0] == '1');
	robots_free(rules);
	return agrees;
}

static void
check_verdicts(const char *dir)
{
	char	   *line = NULL;
	size_t		size = 0;
	int			cases = 0;
	int			agreements = 0;

	while (getline(&line, &size, stdin) > 0)
	{
		char	   *copy;

		line[strcspn(line, "\r\n")] = '\0';
		copy = strdup(line);
		cases++;
		if (check_verdict(dir, line))
			agreements++;
		else if (cases - agreements <= SHOWN_DISAGREEMENTS)
			fprintf(stderr, "%s\n", copy);
		free(copy);
	}
	free(line);
	printf("%d\t%d\n", cases, agreements);
}

/* The next of the tab-parted fields of a line, which may be empty. */
static char *
next_part(char **rest)
{
	char	   *part = strsep(rest, "\t");

	return part != NULL ? part : "";
}

/* Hexadecimal digits as bytes, in place; how many. */
static size_t
from_hex(char *text)
{
	unsigned int byte;
	size_t		n;

	for (n = 0; sscanf(text + 2 * n, "%2x", &byte) == 1; n++)
		text[n] = (char) byte;
	return n;
}

static void
check_sigv4(char *line)
{
	SigV4Key	key;
	SigV4Request request;
	struct curl_slist *headers = NULL;
	struct curl_slist *header;
	char	   *body;

	request.now = (time_t) atoll(next_part(&line));
	key.key_id = next_part(&line);
	key.secret = next_part(&line);
	key.token = next_part(&line);
	key.region = next_part(&line);
	key.service = next_part(&line);
	request.method = next_part(&line);
	request.target = next_part(&line);
	body = next_part(&line);
	request.body_length = from_hex(body);
	request.body = body;
	while (line != NULL)
		headers = curl_slist_append(headers, next_part(&line));
	if (sigv4_sign(&key, &request, &headers))
	{
		for (header = headers; header != NULL; header = header->next)
			printf("%s%s", header->data, header->next != NULL ? "\t" : "\n");
	}
	else
		puts("unsigned");
	curl_slist_free_all(headers);
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	RobotsRules *rules = NULL;
	char	   *line = NULL;
	size_t		size = 0;

	if (strcmp(mode, "verdicts") == 0 && argc == 3)
	{
		check_verdicts(argv[2]);
		return 0;
	}
	if (strcmp(mode, "robots") == 0 && argc == 4)
		rules = read_robots(argv[2], argv[3]);
	else if (strcmp(mode, "address") != 0 && strcmp(mode, "url") != 0 && strcmp(mode, "sigv4") != 0)
		return 3;
	while (getline(&line, &size, stdin) > 0)
	{
		line[strcspn(line, "\n")] = '\0';
		if (rules != NULL)
			check_robots(rules, line);
		else if (strcmp(mode, "sigv4") == 0)
			check_sigv4(line);
		else if (strcmp(mode, "url") == 0)
			check_url(line, argc > 2 ? argv[2] : NULL);
		else
			printf("%s\n", class_of_text(line));
	}
	free(line);
	robots_free(rules);
	return 0;
}
