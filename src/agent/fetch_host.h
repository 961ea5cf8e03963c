/*-------------------------------------------------------------------------
 *
 * fetch_host.h
 *	  What padlock_fetch remembers of the sites it has visited.
 *
 * A bounded table in the helper's own memory, gone when it ends: losing an
 * entry costs one more request for a robots.txt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_HOST_H
#define PADLOCK_FETCH_HOST_H

#include "agent/fetch_robots.h"
#include "agent/fetch_transfer.h"

#define HOST_TABLE_SIZE		256

/* Memory of all rules together, before the least used are forgotten. */
#define HOST_MAX_RULES_MEMORY	(16 * 1024 * 1024)

/* RFC 9309, 2.4, allows a day; an hour lets a site's owner see a change work. */
#define ROBOTS_KEEP_MS		(60 * 60 * 1000)
/* How long a robots.txt that could not be had is not asked for again. */
#define ROBOTS_RETRY_MS		(5 * 60 * 1000)

/*
 * One origin (scheme, host and port, as robots.txt speaks for one), apart for
 * requests that may use private addresses, so that neither kind sees what the
 * other found.
 */
typedef struct FetchHost
{
	char		origin[URL_ORIGIN_SIZE];	/* "" in a free entry */
	bool		allow_private;
	uint64_t	last_used;		/* the table's tick */
	int64_t		last_request_ms;	/* end of the last request for a page, 0 if none */
	int64_t		robots_until_ms;	/* what follows is known until then */
	WireOutcome robots_outcome; /* WIRE_OK, or why there are no rules */
	char		robots_detail[DETAIL_SIZE];
	RobotsRules *rules;			/* NULL: everything is allowed */
} FetchHost;

typedef struct HostTable
{
	uint64_t	tick;
	FetchHost	hosts[HOST_TABLE_SIZE];
} HostTable;

/*
 * The entry of an origin, made in place of the least recently used one if
 * need be.  It is good until the next call.
 */
extern FetchHost *host_find(HostTable *table, const char *origin, bool allow_private);

/* Remember that everything is allowed (rules NULL) or what the rules say. */
extern void host_keep_rules(HostTable *table, FetchHost *host, RobotsRules *rules);

/*
 * Remember that robots.txt could not be had, which denies everything; unless
 * it is lasting, only until the entry is asked whether it is still good.
 */
extern void host_keep_failure(FetchHost *host, WireOutcome outcome, const char *detail,
							  bool lasting);

/* Is what the entry says of robots.txt still good? */
extern bool host_robots_known(const FetchHost *host);

/* Milliseconds to wait before the next request, as Crawl-delay asks. */
extern int64_t host_wait_ms(const FetchHost *host);

#endif							/* PADLOCK_FETCH_HOST_H */
