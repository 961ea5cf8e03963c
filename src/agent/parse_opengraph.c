/*-------------------------------------------------------------------------
 *
 * parse_opengraph.c
 *	  The product that a page's OpenGraph meta elements describe.
 *
 * A page has one such description at most, and it counts only if the page
 * says that it is a product's (og:type) or gives a price.  The names are
 * those of ogp.me and of its product vocabulary.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/parse_dom.h"
#include "agent/parse_html.h"

static const struct
{
	const char *property;
	ProductField field;
} properties[] = {
	{"og:title", FIELD_NAME}, {"og:description", FIELD_DESCRIPTION},
	{"og:image", FIELD_IMAGE_URL}, {"og:image:url", FIELD_IMAGE_URL},
	{"og:url", FIELD_URL}, {"product:retailer_item_id", FIELD_CODE},
	{"product:category", FIELD_CATEGORY}, {"product:brand", FIELD_COMPANY},
	{"product:availability", FIELD_AVAILABILITY},
	{"og:availability", FIELD_AVAILABILITY},
	{"product:price:currency", FIELD_CURRENCY},
	{"og:price:currency", FIELD_CURRENCY},
	{"product:price:amount", FIELD_PREMIUM}, {"og:price:amount", FIELD_PREMIUM}
};

/* The first value of each property, in the table's order. */
static bool
collect(const GumboNode *root, const char *values[G_N_ELEMENTS(properties)])
{
	const GumboNode *node;
	bool		product = false;
	size_t		i;

	for (node = root; node != NULL; node = dom_next(root, node, false))
	{
		const char *name = dom_attribute(node, "property");
		const char *content = dom_attribute(node, "content");

		if (!dom_is(node, GUMBO_TAG_META) || content == NULL)
			continue;
		if (name == NULL)
			name = dom_attribute(node, "name");
		if (name == NULL)
			continue;
		if (g_ascii_strcasecmp(name, "og:type") == 0)
			product = product || strncmp(content, "product", 7) == 0 ||
				g_str_has_suffix(content, ":product");
		for (i = 0; i < G_N_ELEMENTS(properties); i++)
		{
			if (values[i] == NULL && g_ascii_strcasecmp(name, properties[i].property) == 0)
				values[i] = content;
		}
	}
	return product;
}

void
parse_opengraph(const GumboNode *root, const char *base, GPtrArray *products)
{
	const char *values[G_N_ELEMENTS(properties)] = {NULL};
	bool		is_product = collect(root, values);
	Product    *product = product_new();
	size_t		i;

	/* the currency comes before the amount, which it helps to read */
	for (i = 0; i < G_N_ELEMENTS(properties); i++)
		product_set(product, SOURCE_OPENGRAPH, properties[i].field, values[i], base);
	if (product->values[FIELD_PREMIUM] != NULL)
		product_merge(products, product, true);
	else if (is_product)
		product_merge(products, product, products->len == 1);
}
