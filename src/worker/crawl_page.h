/*-------------------------------------------------------------------------
 *
 * crawl_page.h
 *	  The step that ai_crawl and product_refresh share: one page of a
 *	  company's website, fetched, parsed and its products ingested.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_CRAWL_PAGE_H
#define PADLOCK_CRAWL_PAGE_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "queue/queue.h"
#include "worker/request.h"

/* How many skipped URLs a job's result lists. */
#define PADLOCK_MAX_SKIPPED 50

/* What a crawl has done so far. */
typedef struct PadlockCrawl
{
	const PadlockJob *job;
	pg_uuid_t	company_id;
	TimestampTz started_at;
	int			pages_fetched;
	int			products_found;
	int			created;
	int			updated;
	int			unchanged;
	int			skipped_count;
	StringInfoData skipped;		/* JSON members of the list, without [] */
} PadlockCrawl;

/* What became of one page. */
typedef struct PadlockPage
{
	WireOutcome outcome;
	uint32		http_status;
	const char *reason;			/* NULL if the page was read */
	const char *url;			/* after redirects */
	List	   *links;			/* of PadlockLink * */
	List	   *sitemaps;		/* of char *, from robots.txt */
} PadlockPage;

/*
 * Begin a crawl for a job whose payload names the company; refuses the job
 * when the company does not exist or is not active.
 */
extern void padlock_crawl_begin(PadlockCrawl *crawl, const PadlockJob *job);

/*
 * Fetch and parse a page and ingest its products in one transaction.  A page
 * that cannot be read is an answer with its reason, and noted as skipped.
 * only_host, unless NULL, is the one host whose page is taken when the URL
 * redirects.
 */
extern PadlockPage *padlock_crawl_page(PadlockCrawl *crawl, const char *url,
									   const char *only_host);

/* Note that a URL was not read, and why. */
extern void padlock_crawl_skip(PadlockCrawl *crawl, const char *url, const char *reason);

/* The host and port of an absolute URL, in lower case and without a leading
 * "www." or the scheme's default port; NULL if it has none.  palloc'd. */
extern char *padlock_url_host(const char *url);

/* "skipped": [...], "duration_ms": n, for the job's result; palloc'd. */
extern char *padlock_crawl_tail(const PadlockCrawl *crawl);

#endif							/* PADLOCK_CRAWL_PAGE_H */
