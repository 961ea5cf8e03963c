/*-------------------------------------------------------------------------
 *
 * highlight.h
 *	  The words of a query marked in a product's texts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_HIGHLIGHT_H
#define PADLOCK_SEARCH_HIGHLIGHT_H

#include "lib/stringinfo.h"

#include "search/query_parse.h"

/*
 * Append a JSON object to json: for each field with a match (product_name,
 * description, search_keywords, benefits ...) a snippet, HTML-escaped, with
 * matches in <mark></mark>.  {} when nothing matches.
 */
extern void search_highlight(StringInfo json, const SearchQuery *query, const SearchSource *source);

#endif							/* PADLOCK_SEARCH_HIGHLIGHT_H */
