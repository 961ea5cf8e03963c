/*-------------------------------------------------------------------------
 *
 * product_refresh.c
 *	  Job type product_refresh: look at a company's products again where they
 *	  were found.
 *
 * Payload: {"company_id": uuid}.  Of the company's active products that were
 * not crawled for REFRESH_DAYS, each page is fetched once and its products
 * are ingested as in a crawl.  last_crawled_at is set for what was looked at
 * with a lasting answer, so that a page that is gone is not asked for daily;
 * after a passing failure it stays, and the next job tries again.
 *
 * Result: {"refreshed" (pages' products updated or added), "unchanged",
 * "gone" (pages that answer 404 or 410), "without_source", "skipped",
 * "skipped_count", "duration_ms"}.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/spi.h"
#include "worker/crawl_page.h"
#include "worker/job.h"

#define REFRESH_DAYS	"7"
#define MAX_PAGES		"1000"	/* in one job; the oldest first */

#define DUE_PRODUCT \
	" company_id = $1 AND is_active" \
	" AND (last_crawled_at IS NULL OR last_crawled_at < pg_catalog.now() - interval '" REFRESH_DAYS " days')"

static PadlockStatement pages_statement = {
	"SELECT source_url FROM @app@.insurance_products"
	" WHERE source_url IS NOT NULL AND" DUE_PRODUCT
	" GROUP BY source_url ORDER BY pg_catalog.min(last_crawled_at) NULLS FIRST LIMIT " MAX_PAGES,
	1, {UUIDOID}
};

static PadlockStatement without_source_statement = {
	"SELECT pg_catalog.count(*) FROM @app@.insurance_products"
	" WHERE source_url IS NULL AND" DUE_PRODUCT,
	1, {UUIDOID}
};

/* Products that the page no longer shows were looked at, too. */
static PadlockStatement looked_statement = {
	"UPDATE @app@.insurance_products SET last_crawled_at = pg_catalog.now()"
	" WHERE source_url = $2 AND" DUE_PRODUCT,
	2, {UUIDOID, TEXTOID}
};

/* What a refresh counts beside its crawl. */
typedef struct Refresh
{
	PadlockCrawl crawl;
	int			gone;
	int64		without_source;
} Refresh;

/* The pages to look at, as a list of char *, and the products without one. */
static List *
find_pages(Refresh *refresh)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		company = UUIDPGetDatum(&refresh->crawl.company_id);
	List	   *urls = NIL;
	uint64		rows;
	bool		isnull;

	padlock_worker_begin();
	SPI_connect();
	rows = padlock_spi_execute(&pages_statement, &company, NULL, true);
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *url = TextDatumGetCString(padlock_spi_datum(i, 1, &isnull));
		MemoryContext old = MemoryContextSwitchTo(context);

		urls = lappend(urls, pstrdup(url));
		MemoryContextSwitchTo(old);
	}
	(void) padlock_spi_execute(&without_source_statement, &company, NULL, true);
	refresh->without_source = DatumGetInt64(padlock_spi_datum(0, 1, &isnull));
	SPI_finish();
	padlock_worker_commit();
	return urls;
}

/* Note that a page's products were looked at. */
static void
note_look(Refresh *refresh, const char *url)
{
	Datum		values[2];

	values[0] = UUIDPGetDatum(&refresh->crawl.company_id);
	values[1] = CStringGetTextDatum(url);
	padlock_worker_begin_claimed();
	SPI_connect();
	(void) padlock_spi_execute(&looked_statement, values, NULL, false);
	SPI_finish();
	padlock_worker_commit();
}

/* Look at one page. */
static void
refresh_page(Refresh *refresh, const char *url)
{
	PadlockPage *page = padlock_crawl_page(&refresh->crawl, url, padlock_url_host(url));

	if (page->outcome == WIRE_HTTP_ERROR &&
		(page->http_status == 404 || page->http_status == 410))
		refresh->gone++;
	if (page->outcome == WIRE_OK ||
		padlock_outcome_is_permanent(page->outcome, page->http_status))
		note_look(refresh, url);
}

/* Look at every page, each in a memory context of its own. */
static void
refresh_pages(Refresh *refresh, List *urls)
{
	MemoryContext page_context = AllocSetContextCreate(CurrentMemoryContext, "padlock page",
													   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(page_context);
	ListCell   *cell;

	foreach(cell, urls)
	{
		refresh_page(refresh, lfirst(cell));
		MemoryContextReset(page_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(page_context);
}

/* The job's handler; see job.h for what it promises. */
static Jsonb *
run_product_refresh(const PadlockJob *job)
{
	Refresh		refresh = {{0}};

	padlock_crawl_begin(&refresh.crawl, job);
	refresh_pages(&refresh, find_pages(&refresh));

	padlock_worker_begin();
	return padlock_job_result(psprintf("{\"refreshed\": %d, \"unchanged\": %d, \"gone\": %d,"
									   " \"without_source\": " INT64_FORMAT ", %s}",
									   refresh.crawl.created + refresh.crawl.updated,
									   refresh.crawl.unchanged, refresh.gone,
									   refresh.without_source,
									   padlock_crawl_tail(&refresh.crawl)));
}

const PadlockJobType padlock_job_product_refresh = {
	"product_refresh", run_product_refresh, NULL
};
