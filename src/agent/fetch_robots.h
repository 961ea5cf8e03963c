/*-------------------------------------------------------------------------
 *
 * fetch_robots.h
 *	  robots.txt as RFC 9309 defines it: a parser and a matcher.
 *
 * Pure functions over bytes; fetching and keeping the files is done in
 * fetch_host.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_ROBOTS_H
#define PADLOCK_FETCH_ROBOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 9309, 2.5: at least this much of a file must be read; no more is. */
#define ROBOTS_MAX_BYTES		(500 * 1024)
#define ROBOTS_MAX_SITEMAPS		20
#define ROBOTS_MAX_URL			2000

/* A longer delay would turn one crawl into days and one fetch into a timeout. */
#define ROBOTS_MAX_DELAY_MS		10000

/* One Allow or Disallow line of our group. */
typedef struct RobotsRule
{
	uint32_t	offset;			/* of the normalised pattern in patterns */
	uint32_t	length;
	bool		allow;
	bool		anchored;		/* ended with '$', which is not in the pattern */
} RobotsRule;

/* What one file says to one agent. */
typedef struct RobotsRules
{
	size_t		memory;			/* bytes held by all of it */
	uint32_t	delay_ms;		/* 0 if the file names none */
	uint32_t	rule_count;
	RobotsRule *rules;
	char	   *patterns;
	int			sitemap_count;
	char	   *sitemaps[ROBOTS_MAX_SITEMAPS];
} RobotsRules;

/*
 * Read a robots.txt as the agent with this product token; NULL only when out
 * of memory.  Bytes after ROBOTS_MAX_BYTES are ignored, and so is a last line
 * that this cuts in two.
 */
extern RobotsRules *robots_parse(const char *text, size_t length, const char *agent);

/*
 * May the agent fetch this path and query (which begin with '/')?  *rule is
 * set to the rule that decided, or NULL if none matched.
 */
extern bool robots_allow(const RobotsRules *rules, const char *target, const RobotsRule **rule);

extern void robots_free(RobotsRules *rules);

#endif							/* PADLOCK_FETCH_ROBOTS_H */
