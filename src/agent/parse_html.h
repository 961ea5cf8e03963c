/*-------------------------------------------------------------------------
 *
 * parse_html.h
 *	  The sources of products in a page, each read by a file of its own.
 *
 * Each function reads a whole gumbo tree, resolves URLs against base, and
 * merges what it finds into the page's products.  They are called in order of
 * trust.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_PARSE_HTML_H
#define PADLOCK_PARSE_HTML_H

#include <gumbo.h>

#include "agent/parse_product.h"

extern void parse_jsonld(const GumboNode *root, const char *base, GPtrArray *products);
extern void parse_microdata(const GumboNode *root, const char *base, GPtrArray *products);
extern void parse_opengraph(const GumboNode *root, const char *base, GPtrArray *products);
extern void parse_plain_html(const GumboNode *root, const char *base, GPtrArray *products);

#endif							/* PADLOCK_PARSE_HTML_H */
