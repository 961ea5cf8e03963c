/*-------------------------------------------------------------------------
 *
 * parse_plain.c
 *	  The product of a page without markup for machines: a heading, and a
 *	  table or list of labelled values.
 *
 * The least trusted source, so it is careful: labels must be ones that we
 * know, a row must have one value, and when two rows give a price the page
 * compares things and is left alone.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/parse_dom.h"
#include "agent/parse_html.h"

#define MAX_LABEL_CHARS		60
#define MAX_VALUE_CHARS		5000
#define MAX_PAIRS			1000

/* What has been found so far. */
typedef struct PlainPage
{
	const char *base;
	Product    *product;
	int			pairs;
	int			prices;			/* rows that gave a premium */
} PlainPage;

/* Take a label and its value. */
static void
take_pair(PlainPage *page, const GumboNode *label, const GumboNode *value)
{
	Product    *row = product_new();
	char	   *name = dom_text(label, MAX_LABEL_CHARS);
	char	   *text;

	if (name[0] == '\0' || page->pairs++ >= MAX_PAIRS)
		return;
	text = dom_text(value, MAX_VALUE_CHARS);
	/* a row is tried by itself first, to see whether it gives a price */
	if (!product_set_labelled(row, SOURCE_HTML, name, text, page->base))
		return;
	if (row->values[FIELD_PREMIUM] != NULL)
		page->prices++;
	product_set_labelled(page->product, SOURCE_HTML, name, text, page->base);
}

/* The next sibling that is an element, NULL if there is none. */
static const GumboNode *
next_element(const GumboVector *siblings, size_t *index)
{
	while (*index < siblings->length)
	{
		const GumboNode *node = siblings->data[(*index)++];

		if (node->type == GUMBO_NODE_ELEMENT)
			return node;
	}
	return NULL;
}

/* A table row of two cells. */
static void
take_row(PlainPage *page, const GumboNode *row)
{
	const GumboVector *cells = &row->v.element.children;
	size_t		index = 0;
	const GumboNode *label = next_element(cells, &index);
	const GumboNode *value = next_element(cells, &index);

	if (label != NULL && value != NULL && dom_is(value, GUMBO_TAG_TD) &&
		next_element(cells, &index) == NULL)
		take_pair(page, label, value);
}

/* Terms of a list that have one definition; HTML5 lets a div wrap them. */
static void
take_list(PlainPage *page, const GumboNode *list)
{
	const GumboVector *children = &list->v.element.children;
	const GumboNode *term = NULL;
	const GumboNode *node;
	size_t		index = 0;

	while ((node = next_element(children, &index)) != NULL)
	{
		if (dom_is(node, GUMBO_TAG_DD) && term != NULL)
			take_pair(page, term, node);
		term = dom_is(node, GUMBO_TAG_DT) ? node : NULL;
	}
}

/*
 * Remember a PDF that a link calls brochure or terms.  Of two different ones
 * *url becomes "", as nobody knows which is the product's.
 */
static void
take_document(const char *href, const char *base, char **url)
{
	char		resolved[PARSE_MAX_URL + 1];
	size_t		path;

	if (!parse_url_resolve(base, href, resolved))
		return;
	path = strcspn(resolved, "?");
	if (path < 4 || g_ascii_strncasecmp(resolved + path - 4, ".pdf", 4) != 0)
		return;
	if (*url == NULL)
		*url = g_strdup(resolved);
	else if (strcmp(*url, resolved) != 0)
		*url = "";
}

/* Find the documents that the page's links name. */
static void
take_documents(PlainPage *page, const GumboNode *root)
{
	char	   *brochure = NULL;
	char	   *terms = NULL;
	const GumboNode *node;

	for (node = root; node != NULL; node = dom_next(root, node, false))
	{
		const char *href = dom_attribute(node, "href");
		char	   *text;

		if (!dom_is(node, GUMBO_TAG_A) || href == NULL)
			continue;
		text = g_utf8_strdown(dom_text(node, MAX_LABEL_CHARS), -1);
		if (strstr(text, "brochure") != NULL)
			take_document(href, page->base, &brochure);
		else if (strstr(text, "policy wording") != NULL || strstr(text, "terms") != NULL)
			take_document(href, page->base, &terms);
	}
	product_set(page->product, SOURCE_HTML, FIELD_BROCHURE_URL, brochure, page->base);
	product_set(page->product, SOURCE_HTML, FIELD_TERMS_URL, terms, page->base);
}

/* The page's own idea of its address. */
static void
take_canonical(PlainPage *page, const GumboNode *root)
{
	const GumboNode *node;

	for (node = root; node != NULL; node = dom_next(root, node, false))
	{
		if (dom_is(node, GUMBO_TAG_LINK) && dom_has_token(dom_attribute(node, "rel"), "canonical"))
			product_set(page->product, SOURCE_HTML, FIELD_URL, dom_attribute(node, "href"),
						page->base);
	}
}

void
parse_plain_html(const GumboNode *root, const char *base, GPtrArray *products)
{
	PlainPage	page = {base, product_new(), 0, 0};
	const GumboNode *heading = dom_find(root, GUMBO_TAG_H1);
	const GumboNode *node;

	for (node = root; node != NULL; node = dom_next(root, node, false))
	{
		const GumboNode *parent = node->parent;

		if (dom_is(node, GUMBO_TAG_TR))
			take_row(&page, node);
		else if (dom_is(node, GUMBO_TAG_DL) ||
				 (dom_is(node, GUMBO_TAG_DIV) && parent != NULL && dom_is(parent, GUMBO_TAG_DL)))
			take_list(&page, node);
	}
	if (page.prices > 1)
		page.product = product_new();
	if (heading != NULL)
		product_set(page.product, SOURCE_HTML, FIELD_NAME, dom_text(heading, 200), base);
	take_documents(&page, root);
	take_canonical(&page, root);
	product_merge(products, page.product, true);
}
