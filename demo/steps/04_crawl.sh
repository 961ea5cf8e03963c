# The background worker reads the company's website.
# shellcheck shell=sh disable=SC2034,SC2154
step "4  The company's website is crawled in the background"
since=$(now)
say 'SELECT public.schedule_daily_ai_crawls();'
scheduled=$(sql 'SELECT public.schedule_daily_ai_crawls()')
table "SELECT job_type, status, priority, payload FROM job_queue WHERE created_at >= :'since' ORDER BY priority DESC, created_at" "since=$since"
say 'ai_crawl walks the website of a company; product_refresh looks again at products that' \
    'were not crawled for a week, here the two that the company typed in: they have no page.'
holds 'a crawl is scheduled' test "$scheduled" -ge 1
holds 'every job ended' watch_queue "$since" 60
same 'the crawl completed' completed "$(sql "SELECT status FROM job_queue WHERE job_type = 'ai_crawl' AND created_at >= :'since'" "since=$since")"

crawl=$(sql "SELECT result FROM job_queue WHERE job_type = 'ai_crawl' AND created_at >= :'since'" "since=$since")
table "SELECT r ->> 'pages_fetched' AS pages, r ->> 'products_found' AS products, r ->> 'created' AS created,
    r ->> 'skipped_count' AS skipped, r ->> 'duration_ms' AS ms FROM (SELECT :'result'::jsonb) AS x (r)" "result=$crawl"
say 'What the crawler found:'
table "SELECT product_code AS code, product_name, policy_type AS type, to_char(premium_amount, '$money') AS premium, currency,
    provenance -> 'product_name' ->> 'source' AS source, regexp_replace(source_url, '^.*/([^?]*).*$', '\1') AS page
    FROM insurance_products WHERE source_url IS NOT NULL ORDER BY product_code"
same 'all twelve products, from four kinds of markup' 12 "$(sql 'SELECT count(*) FROM insurance_products WHERE source_url IS NOT NULL')"
say 'What the crawler skipped, and why:'
table "SELECT regexp_replace(s ->> 'url', '^http://127.0.0.1:[0-9]+', '') AS url, s ->> 'reason' AS reason
    FROM jsonb_array_elements(:'result'::jsonb -> 'skipped') s ORDER BY 1" "result=$crawl"
reason_of()
{
    sql "SELECT s ->> 'reason' FROM jsonb_array_elements(:'result'::jsonb -> 'skipped') s WHERE s ->> 'url' = :'url'" \
        "result=$crawl" "url=$site$1"
}
for page in /internal/staff-rates.html:robots.txt /quote.html:500 /products/caravan.html:404; do
    case $(reason_of "${page%:*}") in *"${page#*:}"*) found=yes ;; *) found=no ;; esac
    same "${page%:*} was skipped because of ${page#*:}" yes "$found"
done
say "The site's own log:"
sort "$work/site.log" | uniq -c | sed -e 's/^/   /'
same 'the disallowed page was never asked for' 0 "$(grep -c /internal "$work/site.log")"
same 'nor was its product taken' 0 "$(sql "SELECT count(*) FROM insurance_products WHERE product_code = 'HM-STAFF-01'")"

say 'Once more, as on the next day:'
since=$(now)
sql 'SELECT public.schedule_daily_ai_crawls()' >/dev/null
holds 'every job ended' watch_queue "$since" 60
same 'nothing is created twice' 0 "$(sql "SELECT result ->> 'created' FROM job_queue WHERE job_type = 'ai_crawl' AND created_at >= :'since'" "since=$since")"
same 'twelve products still' 12 "$(sql 'SELECT count(*) FROM insurance_products WHERE source_url IS NOT NULL')"
