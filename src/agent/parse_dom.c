/*-------------------------------------------------------------------------
 *
 * parse_dom.c
 *	  Walk a gumbo tree without recursion: a page may nest a million deep.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>
#include <strings.h>

#include "agent/parse.h"
#include "agent/parse_dom.h"

/* Nodes looked at for one text: a page of nested items costs no square. */
#define MAX_TEXT_NODES	20000

static const GumboVector *
children_of(const GumboNode *node)
{
	switch (node->type)
	{
		case GUMBO_NODE_DOCUMENT:
			return &node->v.document.children;
		case GUMBO_NODE_ELEMENT:
			return &node->v.element.children;
		default:
			/* a template's content is no part of the page */
			return NULL;
	}
}

const GumboNode *
dom_next(const GumboNode *root, const GumboNode *node, bool skip_children)
{
	const GumboVector *children = skip_children ? NULL : children_of(node);

	if (children != NULL && children->length > 0)
		return children->data[0];
	while (node != root && node->parent != NULL)
	{
		const GumboVector *siblings = children_of(node->parent);
		size_t		next = node->index_within_parent + 1;

		if (siblings != NULL && next < siblings->length)
			return siblings->data[next];
		node = node->parent;
	}
	return NULL;
}

bool
dom_is(const GumboNode *node, GumboTag tag)
{
	return node->type == GUMBO_NODE_ELEMENT && node->v.element.tag == tag;
}

const char *
dom_attribute(const GumboNode *node, const char *name)
{
	const GumboAttribute *attribute;

	if (node->type != GUMBO_NODE_ELEMENT)
		return NULL;
	attribute = gumbo_get_attribute(&node->v.element.attributes, name);
	return attribute != NULL ? attribute->value : NULL;
}

char *
dom_text(const GumboNode *node, size_t max_chars)
{
	GString    *text = g_string_new(NULL);
	const GumboNode *at = node;
	bool		skip = false;
	int			seen = 0;

	/* four bytes a character, and as much again for blanks to be folded */
	for (; at != NULL && text->len < max_chars * 8 && seen < MAX_TEXT_NODES; seen++)
	{
		skip = dom_is(at, GUMBO_TAG_SCRIPT) || dom_is(at, GUMBO_TAG_STYLE);
		if (at->type == GUMBO_NODE_TEXT || at->type == GUMBO_NODE_WHITESPACE ||
			at->type == GUMBO_NODE_CDATA)
			g_string_append(text, at->v.text.text);
		else if (at != node && (dom_is(at, GUMBO_TAG_BR) || dom_is(at, GUMBO_TAG_P) ||
								dom_is(at, GUMBO_TAG_DIV) || dom_is(at, GUMBO_TAG_LI)))
			g_string_append_c(text, ' ');
		at = dom_next(node, at, skip);
	}
	return parse_fold_blanks(g_utf8_make_valid(text->str, -1), max_chars);
}

const GumboNode *
dom_find(const GumboNode *root, GumboTag tag)
{
	const GumboNode *node;

	for (node = root; node != NULL; node = dom_next(root, node, false))
	{
		if (dom_is(node, tag))
			return node;
	}
	return NULL;
}

bool
dom_has_token(const char *value, const char *token)
{
	static const char blanks[] = " \t\n\f\r";
	size_t		length = strlen(token);

	if (value == NULL)
		return false;
	while (*(value += strspn(value, blanks)) != '\0')
	{
		size_t		n = strcspn(value, blanks);

		if (n == length && strncasecmp(value, token, n) == 0)
			return true;
		value += n;
	}
	return false;
}
