/*-------------------------------------------------------------------------
 *
 * parse_microdata.c
 *	  schema.org items in itemscope and itemprop attributes.
 *
 * After WHATWG HTML section 5 ("Microdata"): items, their properties within
 * the element and by itemref, and the value of a property by element.  One
 * kindness: a `content` attribute counts on any element, as pages write it.
 *
 * Items are worked off a list, not by recursion, and an element becomes an
 * item once, so that neither nesting nor circles of itemref cost more than a
 * walk.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/parse_dom.h"
#include "agent/parse_html.h"
#include "agent/parse_schema.h"

#define MAX_NODES			2000000	/* looked at in all; itemref can repeat them */
#define MAX_VALUE_CHARS		6000

/* Items that are still to be searched for properties. */
typedef struct Microdata
{
	const GumboNode *root;
	SchemaPage *page;
	GHashTable *items;			/* element to SchemaItem */
	GHashTable *ids;			/* id to element */
	GPtrArray  *pending;		/* elements of `items` in the order found */
	long		budget;
} Microdata;

/* Call add() for each word of a value. */
static void
for_each_word(SchemaItem *item, const char *value, void (*add) (SchemaItem *, const char *))
{
	char	  **words = g_strsplit_set(value, " \t\n\f\r", 100);
	int			i;

	for (i = 0; words[i] != NULL; i++)
	{
		if (words[i][0] != '\0')
			add(item, words[i]);
	}
}

/* The item of an element, made at first sight; NULL when there are too many. */
static SchemaItem *
item_of(Microdata *data, const GumboNode *node, SchemaItem *parent, const char *property)
{
	SchemaItem *item = g_hash_table_lookup(data->items, node);

	if (item != NULL)
	{
		if (parent != NULL)
			schema_link_item(parent, property, item);
		return item;
	}
	item = schema_add_item(data->page, parent, property);
	if (item == NULL)
		return NULL;
	if (dom_attribute(node, "itemtype") != NULL)
		for_each_word(item, dom_attribute(node, "itemtype"), schema_add_type);
	if (dom_attribute(node, "itemid") != NULL)
		schema_set_id(item, dom_attribute(node, "itemid"));
	g_hash_table_insert(data->items, (gpointer) node, item);
	g_ptr_array_add(data->pending, (gpointer) node);
	return item;
}

/* The attribute that holds an element's value, NULL for its text. */
static const char *
value_attribute(const GumboNode *node)
{
	switch (node->v.element.tag)
	{
		case GUMBO_TAG_A:
		case GUMBO_TAG_AREA:
		case GUMBO_TAG_LINK:
			return "href";
		case GUMBO_TAG_AUDIO:
		case GUMBO_TAG_EMBED:
		case GUMBO_TAG_IFRAME:
		case GUMBO_TAG_IMG:
		case GUMBO_TAG_SOURCE:
		case GUMBO_TAG_TRACK:
		case GUMBO_TAG_VIDEO:
			return "src";
		case GUMBO_TAG_OBJECT:
			return "data";
		case GUMBO_TAG_DATA:
		case GUMBO_TAG_METER:
			return "value";
		case GUMBO_TAG_TIME:
			return "datetime";
		default:
			return NULL;
	}
}

static const char *
property_value(const GumboNode *node)
{
	const char *attribute = value_attribute(node);
	const char *value = dom_attribute(node, "content");

	if (value == NULL && attribute != NULL)
		value = dom_attribute(node, attribute);
	return value != NULL ? value : dom_text(node, MAX_VALUE_CHARS);
}

/* Add an element's itemprop, under each of its names, to an item. */
static void
add_property(Microdata *data, SchemaItem *item, const GumboNode *node, const char *names)
{
	bool		scope = dom_attribute(node, "itemscope") != NULL;
	const char *value = scope ? NULL : property_value(node);
	char	  **words = g_strsplit_set(names, " \t\n\f\r", 20);
	int			i;

	for (i = 0; words[i] != NULL; i++)
	{
		if (words[i][0] == '\0')
			continue;
		if (scope)
			item_of(data, node, item, words[i]);
		else
			schema_add_text(item, words[i], value);
	}
}

/* Find an item's properties below an element, and at it if `self`. */
static void
search(Microdata *data, SchemaItem *item, const GumboNode *top, bool self)
{
	const GumboNode *node = self ? top : dom_next(top, top, false);

	while (node != NULL && data->budget-- > 0)
	{
		const char *names = dom_attribute(node, "itemprop");

		if (names != NULL)
			add_property(data, item, node, names);
		node = dom_next(top, node, dom_attribute(node, "itemscope") != NULL);
	}
}

/* Search what the itemref of an item's element names. */
static void
search_references(Microdata *data, SchemaItem *item, const char *references)
{
	char	  **words = g_strsplit_set(references, " \t\n\f\r", 100);
	int			i;

	for (i = 0; words[i] != NULL; i++)
	{
		const GumboNode *node = g_hash_table_lookup(data->ids, words[i]);

		if (node != NULL)
			search(data, item, node, true);
	}
}

/* Find the items that are nobody's property, and the ids. */
static void
find_items(Microdata *data)
{
	const GumboNode *node;

	for (node = data->root; node != NULL; node = dom_next(data->root, node, false))
	{
		const char *id = dom_attribute(node, "id");

		if (id != NULL && !g_hash_table_contains(data->ids, id))
			g_hash_table_insert(data->ids, (gpointer) id, (gpointer) node);
		if (dom_attribute(node, "itemscope") != NULL && dom_attribute(node, "itemprop") == NULL)
			item_of(data, node, NULL, NULL);
	}
}

void
parse_microdata(const GumboNode *root, const char *base, GPtrArray *products)
{
	Microdata	data = {root, schema_page_new(SOURCE_MICRODATA, base), NULL, NULL, NULL, MAX_NODES};
	guint		i;

	data.items = g_hash_table_new(g_direct_hash, g_direct_equal);
	data.ids = g_hash_table_new(g_str_hash, g_str_equal);
	data.pending = g_ptr_array_new();
	find_items(&data);
	for (i = 0; i < data.pending->len; i++)
	{
		const GumboNode *node = g_ptr_array_index(data.pending, i);
		SchemaItem *item = g_hash_table_lookup(data.items, node);
		const char *references = dom_attribute(node, "itemref");

		search(&data, item, node, false);
		if (references != NULL)
			search_references(&data, item, references);
	}
	schema_collect(data.page, products);
}
