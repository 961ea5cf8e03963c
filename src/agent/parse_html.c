/*-------------------------------------------------------------------------
 *
 * parse_html.c
 *	  A page: its title, its links and the products that it describes.
 *
 * Scripts are never run: what they would show is not seen.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "agent/parse_dom.h"
#include "agent/parse_html.h"

#define MAX_TITLE_CHARS		250		/* fits 1000 bytes */

/* The URL that references are relative to: the first base element's, or ours. */
static const char *
find_base(const ParseRequest *request, const GumboNode *root)
{
	const GumboNode *node;
	char	   *base = g_malloc(PARSE_MAX_URL + 1);

	for (node = root; node != NULL; node = dom_next(root, node, false))
	{
		const char *href = dom_attribute(node, "href");

		if (!dom_is(node, GUMBO_TAG_BASE) || href == NULL)
			continue;
		if (parse_url_resolve(request->url, href, base))
			return base;
		break;
	}
	return request->url;
}

/* May the page's links be followed at all? */
static bool
page_allows_links(const GumboNode *root)
{
	const GumboNode *node;

	for (node = root; node != NULL; node = dom_next(root, node, false))
	{
		const char *name = dom_attribute(node, "name");
		const char *content = dom_attribute(node, "content");
		char	   *words;

		if (!dom_is(node, GUMBO_TAG_META) || name == NULL || content == NULL ||
			g_ascii_strcasecmp(name, "robots") != 0)
			continue;
		words = g_strdelimit(g_strdup(content), ",", ' ');
		if (dom_has_token(words, "nofollow") || dom_has_token(words, "none"))
			return false;
	}
	return true;
}

/* Is an element a link to a page that its author lets robots follow? */
static bool
is_link(const GumboNode *node)
{
	const char *rel = dom_attribute(node, "rel");

	if (dom_is(node, GUMBO_TAG_A) || dom_is(node, GUMBO_TAG_AREA))
		return !dom_has_token(rel, "nofollow");
	return dom_is(node, GUMBO_TAG_LINK) && dom_has_token(rel, "next");
}

/* Send each link once, but for the page itself; true if max_links cut them. */
static bool
send_links(const ParseRequest *request, const GumboNode *root, const char *base)
{
	GHashTable *seen = g_hash_table_new(g_str_hash, g_str_equal);
	const GumboNode *node;
	uint32_t	sent = 0;

	g_hash_table_add(seen, (gpointer) request->url);
	for (node = root; node != NULL; node = dom_next(root, node, false))
	{
		const char *href = dom_attribute(node, "href");
		char		url[PARSE_MAX_URL + 1];

		if (href == NULL || !is_link(node) || !parse_url_resolve(base, href, url) ||
			g_hash_table_contains(seen, url))
			continue;
		if (sent >= request->max_links)
			return true;
		sent++;
		g_hash_table_add(seen, g_strdup(url));
		parse_send_link(request, url, WIRE_LINK_PAGE, NULL);
	}
	return false;
}

static bool
send_products(const ParseRequest *request, const GumboNode *root, const char *base)
{
	GPtrArray  *products = g_ptr_array_new();

	parse_jsonld(root, base, products);
	parse_microdata(root, base, products);
	parse_opengraph(root, base, products);
	parse_plain_html(root, base, products);
	return product_send_all(request, products);
}

/* gumbo does not ask whether it got its memory; userdata is the request. */
static void *
allocate(void *userdata, size_t size)
{
	const ParseRequest *request = userdata;
	void	   *memory = malloc(size);

	if (memory == NULL)
		parse_fail(request, WIRE_CRASHED, "the page needs more than %llu MB of memory",
				   (unsigned long long) (request->memory >> 20));
	return memory;
}

/* Memory goes back when the child ends; gumbo also frees what it reuses. */
static void
release(void *userdata, void *memory)
{
	(void) userdata;
	free(memory);
}

void
parse_html(const ParseRequest *request)
{
	ParseSummary summary = {NULL, 0, 0, false};
	GumboOptions options = kGumboDefaultOptions;
	size_t		length;
	char	   *text = parse_to_utf8(request->data, request->size, request->content_type, &length);
	GumboOutput *page;
	const GumboNode *title;
	const char *base;

	options.allocator = allocate;
	options.deallocator = release;
	options.userdata = (void *) request;
	options.max_errors = 0;
	page = gumbo_parse_with_options(&options, text, length);
	if (page == NULL)
		parse_fail(request, WIRE_NOT_PARSABLE, "the page cannot be parsed");
	title = dom_find(page->document, GUMBO_TAG_TITLE);
	base = find_base(request, page->document);
	if (page_allows_links(page->document))
		summary.truncated = send_links(request, page->document, base);
	if (send_products(request, page->document, base))
		summary.truncated = true;
	if (title != NULL)
		summary.title = dom_text(title, MAX_TITLE_CHARS);
	parse_finish(request, &summary);
}
