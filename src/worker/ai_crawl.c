/*-------------------------------------------------------------------------
 *
 * ai_crawl.c
 *	  Job type ai_crawl: find a company's products on its website.
 *
 * Payload: {"company_id": uuid, "website": URL}.  Breadth first from the
 * website's first page along links to the same host, and along its sitemaps
 * (those that robots.txt names, else /sitemap.xml), to
 * padlock.crawl_max_depth and padlock.crawl_max_pages.  robots.txt is obeyed
 * by the fetch helper.
 *
 * A page that fails is skipped with its reason.  A first page that fails is
 * the site that fails: the attempt ends with its reason.
 *
 * Result: {"pages_fetched", "products_found", "created", "updated",
 * "unchanged", "skipped": [{"url", "reason"}] (the first 50),
 * "skipped_count", "truncated" (a limit left pages out), "duration_ms"}.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "worker/crawl_page.h"
#include "worker/job.h"
#include "worker/settings.h"

#define MAX_SITEMAPS	20		/* read in one crawl */
#define MAX_FRONTIER	20000	/* URLs remembered: about 40 MB at their longest */

/* A URL to visit. */
typedef struct Visit
{
	const char *url;
	int			depth;
} Visit;

typedef struct Frontier
{
	HTAB	   *seen;			/* of char *, compared by content */
	List	   *visits;			/* of Visit * */
	const char *host;
	bool		truncated;
	MemoryContext context;		/* outlives a page */
} Frontier;

static uint32
hash_url(const void *key, Size size)
{
	const char *url = *(const char *const *) key;

	return hash_bytes((const unsigned char *) url, strlen(url));
}

static int
match_url(const void *a, const void *b, Size size)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static void
init_frontier(Frontier *frontier, const char *host)
{
	HASHCTL		control;

	memset(frontier, 0, sizeof(*frontier));
	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(char *);
	control.entrysize = sizeof(char *);
	control.hash = hash_url;
	control.match = match_url;
	control.hcxt = CurrentMemoryContext;
	frontier->seen = hash_create("padlock crawl", 256, &control,
								 HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	frontier->host = host;
	frontier->context = CurrentMemoryContext;
}

/*
 * Cut a URL's fragment and its utm_ parameters, which count a link's clicks
 * and never name another page.
 */
static void
normalize_url(char *url)
{
	char	   *query;
	char	   *out;

	url[strcspn(url, "#")] = '\0';
	query = strchr(url, '?');
	if (query == NULL)
		return;
	out = query;
	for (char *in = query; *in != '\0';)
	{
		size_t		length = 1 + strcspn(in + 1, "&");

		if (pg_strncasecmp(in + 1, "utm_", 4) != 0)
		{
			memmove(out, in, length);
			*out = out == query ? '?' : '&';
			out += length;
		}
		in += length;
	}
	*out = '\0';
}

/* Mark a URL, made normal, as seen and return it; NULL if it was. */
static char *
remember(Frontier *frontier, const char *url)
{
	char	   *key;
	bool		found;

	if (hash_get_num_entries(frontier->seen) >= MAX_FRONTIER)
	{
		frontier->truncated = true;
		return NULL;
	}
	key = MemoryContextStrdup(frontier->context, url);
	normalize_url(key);
	(void) hash_search(frontier->seen, &key, HASH_ENTER, &found);
	if (!found)
		return key;
	pfree(key);
	return NULL;
}

/* The ending of a URL's path that says it is no page, or NULL. */
static const char *
file_ending(const char *url)
{
	static const char *const endings[] = {
		".pdf", ".jpg", ".jpeg", ".png", ".gif", ".svg", ".webp", ".ico", ".css", ".js",
		".json", ".zip", ".gz", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx",
		".mp3", ".mp4", ".avi", ".webm", ".woff", ".woff2",
	};
	size_t		length = strcspn(url, "?#");

	for (int i = 0; i < lengthof(endings); i++)
	{
		size_t		size = strlen(endings[i]);

		if (length > size && pg_strncasecmp(url + length - size, endings[i], size) == 0)
			return endings[i];
	}
	return NULL;
}

/* Add a link to what is to be visited, if it is a new page of the host. */
static void
add_link(PadlockCrawl *crawl, Frontier *frontier, const char *url, int depth)
{
	MemoryContext old;
	char	   *host = padlock_url_host(url);
	char	   *key;
	Visit	   *visit;

	if (depth > padlock_crawl_max_depth || host == NULL || strcmp(host, frontier->host) != 0)
		return;
	key = remember(frontier, url);
	if (key == NULL)
		return;
	old = MemoryContextSwitchTo(frontier->context);
	if (file_ending(key) != NULL)
		padlock_crawl_skip(crawl, key, psprintf("not a web page (%s)", file_ending(key)));
	else
	{
		visit = palloc(sizeof(Visit));
		visit->url = key;
		visit->depth = depth;
		frontier->visits = lappend(frontier->visits, visit);
	}
	MemoryContextSwitchTo(old);
}

/* Scheme and authority of an absolute URL. */
static char *
url_origin(const char *url)
{
	const char *authority = strstr(url, "://");

	if (authority == NULL)
		return pstrdup(url);
	return pnstrdup(url, authority + 3 + strcspn(authority + 3, "/?#") - url);
}

/*
 * Read one sitemap: pages become links of depth 1, further sitemaps are
 * returned.  One that does not exist is no news unless robots.txt named it.
 */
static List *
read_sitemap(PadlockCrawl *crawl, Frontier *frontier, const char *url, bool named)
{
	PadlockFetched *fetched = padlock_fetch(&crawl->job->id, url, padlock_html_max_size, true);
	PadlockParsed *parsed;
	List	   *further = NIL;
	ListCell   *cell;

	if (fetched->outcome != WIRE_OK)
	{
		if (named)
			padlock_crawl_skip(crawl, url, padlock_outcome_reason(fetched->outcome,
																  fetched->http_status,
																  fetched->detail));
		return NIL;
	}
	parsed = padlock_parse_sitemap(&crawl->job->id, fetched->url, fetched->body);
	if (parsed->outcome != WIRE_OK && named)
		padlock_crawl_skip(crawl, url, padlock_outcome_reason(parsed->outcome, 0, parsed->detail));
	foreach(cell, parsed->links)
	{
		const PadlockLink *link = lfirst(cell);

		if (link->sitemap)
			further = lappend(further, (char *) link->url);
		else
			add_link(crawl, frontier, link->url, 1);
	}
	return further;
}

/* Read the sitemaps that robots.txt names, and those that they name. */
static void
read_sitemaps(PadlockCrawl *crawl, Frontier *frontier, const char *first_url, List *named)
{
	List	   *sitemaps = list_copy(named);

	if (sitemaps == NIL)
		sitemaps = list_make1(psprintf("%s/sitemap.xml", url_origin(first_url)));
	for (int i = 0; i < list_length(sitemaps) && i < MAX_SITEMAPS; i++)
	{
		char	   *url = list_nth(sitemaps, i);
		char	   *host = padlock_url_host(url);

		if (host == NULL || strcmp(host, frontier->host) != 0 || remember(frontier, url) == NULL)
			continue;
		sitemaps = list_concat(sitemaps, read_sitemap(crawl, frontier, url,
													  named != NIL || i > 0));
	}
	if (list_length(sitemaps) > MAX_SITEMAPS)
		frontier->truncated = true;
}

static void
add_links(PadlockCrawl *crawl, Frontier *frontier, List *links, int depth)
{
	ListCell   *cell;

	foreach(cell, links)
		add_link(crawl, frontier, ((PadlockLink *) lfirst(cell))->url, depth);
}

/* Visit what is in the frontier, which grows meanwhile. */
static void
visit_all(PadlockCrawl *crawl, Frontier *frontier)
{
	MemoryContext page_context = AllocSetContextCreate(CurrentMemoryContext, "padlock page",
													   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(page_context);

	for (int i = 0; i < list_length(frontier->visits); i++)
	{
		Visit	   *visit = list_nth(frontier->visits, i);
		PadlockPage *page;

		if (i + 1 >= padlock_crawl_max_pages)
		{
			frontier->truncated = true;
			break;
		}
		page = padlock_crawl_page(crawl, visit->url, frontier->host);
		(void) remember(frontier, page->url);
		add_links(crawl, frontier, page->links, visit->depth + 1);
		MemoryContextReset(page_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(page_context);
}

/* The job's handler; see job.h for what it promises. */
static Jsonb *
run_ai_crawl(const PadlockJob *job)
{
	PadlockCrawl crawl;
	Frontier	frontier;
	PadlockPage *first;
	char	   *website = padlock_job_text(job, "website");
	char	   *host = padlock_url_host(website);

	if (host == NULL || strlen(website) > PADLOCK_MAX_URL)
		padlock_job_refuse("the website is not a valid http or https URL");
	padlock_crawl_begin(&crawl, job);
	init_frontier(&frontier, host);
	(void) remember(&frontier, website);

	first = padlock_crawl_page(&crawl, website, host);
	if (first->outcome != WIRE_OK)
		padlock_raise_outcome(first->outcome, first->http_status, first->reason);
	if (crawl.pages_fetched == 0)
		padlock_job_refuse("the website's first page: %s", first->reason);
	(void) remember(&frontier, first->url);
	read_sitemaps(&crawl, &frontier, first->url, first->sitemaps);
	add_links(&crawl, &frontier, first->links, 1);
	visit_all(&crawl, &frontier);

	padlock_worker_begin();
	return padlock_job_result(psprintf("{\"pages_fetched\": %d, \"products_found\": %d,"
									   " \"created\": %d, \"updated\": %d, \"unchanged\": %d,"
									   " \"truncated\": %s, %s}",
									   crawl.pages_fetched, crawl.products_found,
									   crawl.created, crawl.updated, crawl.unchanged,
									   frontier.truncated ? "true" : "false",
									   padlock_crawl_tail(&crawl)));
}

const PadlockJobType padlock_job_ai_crawl = {"ai_crawl", run_ai_crawl, NULL};
