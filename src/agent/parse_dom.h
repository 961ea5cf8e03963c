/*-------------------------------------------------------------------------
 *
 * parse_dom.h
 *	  Walk a gumbo tree without recursion: a page may nest a million deep.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_PARSE_DOM_H
#define PADLOCK_PARSE_DOM_H

#include <gumbo.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The node after `node` in document order within root, NULL at the end; with
 * skip_children the node's own subtree is passed over.
 */
extern const GumboNode *dom_next(const GumboNode *root, const GumboNode *node,
								 bool skip_children);

extern bool dom_is(const GumboNode *node, GumboTag tag);

/* An attribute's value, NULL if the node has none (or is no element). */
extern const char *dom_attribute(const GumboNode *node, const char *name);

/*
 * The text within a node, without scripts, styles and templates, with blanks
 * folded, cut at max_chars characters.  Never NULL.
 */
extern char *dom_text(const GumboNode *node, size_t max_chars);

/* The first element with a tag below root, or NULL. */
extern const GumboNode *dom_find(const GumboNode *root, GumboTag tag);

/* Is `token` among the blank-separated words of a value, in any letter case? */
extern bool dom_has_token(const char *value, const char *token);

#endif							/* PADLOCK_PARSE_DOM_H */
