/*-------------------------------------------------------------------------
 *
 * crawl_page.c
 *	  One page of a company's website: fetch, parse, ingest.
 *
 * The page's bytes go from one helper program to the other as a descriptor;
 * this process never looks at them.  The products of a page are written in
 * one short transaction in which the job's claim holds.  A product that the
 * database refuses costs its page, not the crawl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "core/spi.h"
#include "worker/crawl_page.h"
#include "worker/job.h"
#include "worker/settings.h"

static PadlockStatement company_statement = {
	"SELECT is_active FROM @app@.insurance_companies WHERE id = $1",
	1, {UUIDOID}
};

/* Refuse the job unless the company exists and is active. */
static void
check_company(const pg_uuid_t *company_id)
{
	Datum		value = UUIDPGetDatum(company_id);
	bool		exists;
	bool		isnull;
	bool		active = false;

	padlock_worker_begin();
	SPI_connect();
	exists = padlock_spi_execute(&company_statement, &value, NULL, true) > 0;
	if (exists)
		active = DatumGetBool(padlock_spi_datum(0, 1, &isnull));
	SPI_finish();
	padlock_worker_commit();

	if (!exists)
		padlock_job_refuse("the company does not exist");
	if (!active)
		padlock_job_refuse("the company is not active");
}

void
padlock_crawl_begin(PadlockCrawl *crawl, const PadlockJob *job)
{
	memset(crawl, 0, sizeof(*crawl));
	crawl->job = job;
	crawl->company_id = padlock_job_uuid(job, "company_id");
	crawl->started_at = GetCurrentTimestamp();
	initStringInfo(&crawl->skipped);
	check_company(&crawl->company_id);
}

void
padlock_crawl_skip(PadlockCrawl *crawl, const char *url, const char *reason)
{
	if (crawl->skipped_count++ >= PADLOCK_MAX_SKIPPED)
		return;
	appendStringInfoString(&crawl->skipped, crawl->skipped.len > 0 ? ", {\"url\": " : "{\"url\": ");
	escape_json(&crawl->skipped, url);
	appendStringInfoString(&crawl->skipped, ", \"reason\": ");
	escape_json(&crawl->skipped, reason);
	appendStringInfoChar(&crawl->skipped, '}');
}

char *
padlock_url_host(const char *url)
{
	const char *start = strstr(url, "://");
	char	   *host;
	size_t		length;

	if (start == NULL)
		return NULL;
	start += 3;
	length = strcspn(start, "/?#");
	if (length == 0)
		return NULL;
	host = pnstrdup(start, length);
	for (char *c = host; *c != '\0'; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	if (length > 3 && pg_strncasecmp(url, "http:", 5) == 0 && strcmp(host + length - 3, ":80") == 0)
		host[length - 3] = '\0';
	if (length > 4 && pg_strncasecmp(url, "https:", 6) == 0 && strcmp(host + length - 4, ":443") == 0)
		host[length - 4] = '\0';
	return strncmp(host, "www.", 4) == 0 ? host + 4 : host;
}

/* Count what became of a product; the reason of a refusal is noted. */
static void
count_product(PadlockCrawl *crawl, const PadlockIngestResult *result, const char *url)
{
	crawl->products_found++;
	switch (result->action)
	{
		case PADLOCK_INGEST_CREATED:
			crawl->created++;
			break;
		case PADLOCK_INGEST_UPDATED:
			crawl->updated++;
			break;
		case PADLOCK_INGEST_UNCHANGED:
			crawl->unchanged++;
			break;
		case PADLOCK_INGEST_REFUSED:
			padlock_crawl_skip(crawl, url, result->reason);
			break;
	}
}

/* Write a page's products, all or none. */
static void
ingest_products(PadlockCrawl *crawl, const PadlockParsed *parsed, const char *url)
{
	int			count = list_length(parsed->products);
	PadlockIngestResult *results = palloc0_array(PadlockIngestResult, Max(count, 1));

	if (count == 0)
		return;
	padlock_worker_begin_claimed();
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		results[i] = padlock_ingest_product(&crawl->company_id, list_nth(parsed->products, i),
											url, count == 1);
	}
	padlock_worker_commit();

	/* Only now: what an error rolled back was not done. */
	for (int i = 0; i < count; i++)
		count_product(crawl, &results[i], url);
}

/* Is an error the product's own fault, so that the crawl may go on? */
static bool
is_data_error(int sqlstate)
{
	int			class = ERRCODE_TO_CATEGORY(sqlstate);

	return class == ERRCODE_DATA_EXCEPTION || class == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		sqlstate == ERRCODE_RAISE_EXCEPTION;
}

/* ingest_products(), with an error over the page's data made a reason. */
static const char *
try_ingest(PadlockCrawl *crawl, const PadlockParsed *parsed, const char *url)
{
	MemoryContext context = CurrentMemoryContext;
	const char *volatile reason = NULL;

	PG_TRY();
	{
		ingest_products(crawl, parsed, url);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (!is_data_error(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		padlock_worker_abort();
		reason = psprintf("the database refused a product: %s", error->message);
	}
	PG_END_TRY();
	return reason;
}

/* Does the site say that this is a page of HTML?  Without a word, try. */
static bool
is_html(const char *content_type)
{
	return content_type == NULL || pg_strncasecmp(content_type, "text/html", 9) == 0 ||
		pg_strncasecmp(content_type, "application/xhtml+xml", 21) == 0;
}

/* Why a fetched answer is no page to parse, or NULL. */
static const char *
fetched_reason(const PadlockFetched *fetched, const char *only_host)
{
	char	   *host = padlock_url_host(fetched->url);

	if (fetched->outcome != WIRE_OK)
		return padlock_outcome_reason(fetched->outcome, fetched->http_status, fetched->detail);
	if (only_host != NULL && (host == NULL || strcmp(host, only_host) != 0))
		return psprintf("redirects to another host, %s", host ? host : "unknown");
	if (!is_html(fetched->content_type))
		return psprintf("not an HTML page: %s", fetched->content_type);
	return NULL;
}

/* Parse what was fetched and ingest it; fills in the page's fate and links. */
static void
read_page(PadlockCrawl *crawl, const PadlockFetched *fetched, PadlockPage *page)
{
	PadlockParsed *parsed = padlock_parse_html(&crawl->job->id, fetched->url,
											   fetched->content_type, fetched->body);

	page->outcome = parsed->outcome;
	if (parsed->outcome != WIRE_OK)
	{
		page->reason = padlock_outcome_reason(parsed->outcome, 0, parsed->detail);
		return;
	}
	page->links = parsed->links;
	page->reason = try_ingest(crawl, parsed, fetched->url);
}

PadlockPage *
padlock_crawl_page(PadlockCrawl *crawl, const char *url, const char *only_host)
{
	PadlockPage *page = palloc0(sizeof(PadlockPage));
	PadlockFetched *fetched;

	CHECK_FOR_INTERRUPTS();
	fetched = padlock_fetch(&crawl->job->id, url, padlock_html_max_size, true);
	page->outcome = fetched->outcome;
	page->http_status = fetched->http_status;
	page->url = fetched->url;
	page->sitemaps = fetched->sitemaps;
	page->reason = fetched_reason(fetched, only_host);
	if (page->reason == NULL)
	{
		crawl->pages_fetched++;
		read_page(crawl, fetched, page);
	}
	if (page->reason != NULL)
		padlock_crawl_skip(crawl, url, page->reason);
	return page;
}

char *
padlock_crawl_tail(const PadlockCrawl *crawl)
{
	return psprintf("\"skipped\": [%s], \"skipped_count\": %d, \"duration_ms\": %ld",
					crawl->skipped.data, crawl->skipped_count,
					TimestampDifferenceMilliseconds(crawl->started_at, GetCurrentTimestamp()));
}
