/*-------------------------------------------------------------------------
 *
 * parse_jsonld.c
 *	  schema.org items in <script type="application/ld+json">.
 *
 * The JSON is read by jansson, which limits its depth, and taken as what
 * search engines take it for: schema.org terms under their own names, with
 * @type, @id, @graph, @value, @list and @set.  Contexts are neither fetched
 * nor interpreted.
 *
 *-------------------------------------------------------------------------
 */
#include <jansson.h>
#include <stdio.h>

#include "agent/parse_dom.h"
#include "agent/parse_html.h"
#include "agent/parse_schema.h"

#define MAX_SCRIPTS		200
#define MAX_DEPTH		32

static void add_value(SchemaPage *page, SchemaItem *parent, const char *property,
					  const json_t *value, int depth);

/* A number as it would be written; what needs an exponent is no price. */
static void
add_number(SchemaItem *item, const char *property, const json_t *value)
{
	char		text[40];

	if (json_is_integer(value))
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		snprintf(text, sizeof(text), "%.15g", json_real_value(value));
	schema_add_number(item, property, text);
}

static void
add_types(SchemaItem *item, const json_t *types)
{
	size_t		i;

	if (json_is_string(types))
		schema_add_type(item, json_string_value(types));
	for (i = 0; i < json_array_size(types); i++)
	{
		if (json_is_string(json_array_get(types, i)))
			schema_add_type(item, json_string_value(json_array_get(types, i)));
	}
}

/* Add an object as an item, and its members as the item's properties. */
static void
add_object(SchemaPage *page, SchemaItem *parent, const char *property, json_t *object,
		   int depth)
{
	SchemaItem *item = schema_add_item(page, parent, property);
	const char *key;
	json_t	   *value;

	if (item == NULL)
		return;
	add_types(item, json_object_get(object, "@type"));
	if (json_is_string(json_object_get(object, "@id")))
		schema_set_id(item, json_string_value(json_object_get(object, "@id")));
	json_object_foreach(object, key, value)
	{
		if (strcmp(key, "@graph") == 0)
			add_value(page, NULL, NULL, value, depth + 1);
		else if (key[0] != '@')
			add_value(page, item, key, value, depth + 1);
	}
}

/* Add a value of any kind; recursion ends at MAX_DEPTH. */
static void
add_value(SchemaPage *page, SchemaItem *parent, const char *property, const json_t *value,
		  int depth)
{
	static const char *const wrappers[] = {"@value", "@list", "@set"};
	size_t		i;

	if (depth > MAX_DEPTH)
		return;
	for (i = 0; i < json_array_size(value); i++)
		add_value(page, parent, property, json_array_get(value, i), depth + 1);
	for (i = 0; i < G_N_ELEMENTS(wrappers); i++)
	{
		const json_t *wrapped = json_object_get(value, wrappers[i]);

		if (wrapped != NULL)
		{
			add_value(page, parent, property, wrapped, depth + 1);
			return;
		}
	}
	if (json_is_object(value))
		add_object(page, parent, property, (json_t *) value, depth);
	else if (parent != NULL && json_is_string(value))
		schema_add_text(parent, property, json_string_value(value));
	else if (parent != NULL && json_is_number(value))
		add_number(parent, property, value);
}

/* Where a text's last bracket or brace ends; its start if it has none. */
static char *
last_bracket(char *text, char *end)
{
	while (end > text && end[-1] != '}' && end[-1] != ']')
		end--;
	return end;
}

/*
 * The JSON of a script: comment and CDATA marks around it are left out, and
 * control characters, which JSON forbids but pages have in their strings,
 * become blanks.
 */
static char *
clean_json(const char *text)
{
	static const char mark[] = "<![CDATA[";
	char	   *json = g_utf8_make_valid(text, -1);
	char	   *at;
	char	   *end;

	for (end = json; *end != '\0'; end++)
	{
		if ((unsigned char) *end < ' ')
			*end = ' ';
	}
	at = json + strspn(json, " /*");
	end = last_bracket(at, end);
	if (g_str_has_prefix(at, mark))
	{
		at += strlen(mark);
		/* the mark's own end is two brackets */
		if (end - at >= 2)
			end = last_bracket(at, end - 2);
	}
	*end = '\0';
	return at + strcspn(at, "{[");
}

void
parse_jsonld(const GumboNode *root, const char *base, GPtrArray *products)
{
	SchemaPage *page = schema_page_new(SOURCE_JSONLD, base);
	const GumboNode *node;
	int			scripts = 0;

	for (node = root; node != NULL && scripts < MAX_SCRIPTS; node = dom_next(root, node, false))
	{
		const char *type = dom_attribute(node, "type");
		const GumboNode *text;
		json_t	   *json;

		if (!dom_is(node, GUMBO_TAG_SCRIPT) || type == NULL ||
			g_ascii_strncasecmp(type, "application/ld+json", 19) != 0 ||
			node->v.element.children.length == 0)
			continue;
		scripts++;
		text = node->v.element.children.data[0];
		if (text->type != GUMBO_NODE_TEXT && text->type != GUMBO_NODE_WHITESPACE)
			continue;
		json = json_loads(clean_json(text->v.text.text), JSON_ALLOW_NUL, NULL);
		if (json != NULL)
			add_value(page, NULL, NULL, json, 0);
	}
	schema_collect(page, products);
}
