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

#include "search/score.h"

typedef struct SearchHighlighter SearchHighlighter;

/*
 * Prepare to mark the words of a query, which must outlive it, in products; in
 * the current memory context.
 */
extern SearchHighlighter *search_highlighter_create(const SearchQuery *query);

/*
 * Append a JSON object to json, of a hit of the query: for each of product_name, keywords,
 * description, benefits and coverage with a match a snippet of bounded length,
 * HTML-escaped, with matches in <mark></mark>.  code: the product's, if the
 * query asks for it, which is marked as a whole; else NULL.  {} when nothing
 * matches.
 */
extern void search_highlight(SearchHighlighter *highlighter, const SearchView *view,
							 const SearchHit *hit, const SearchSource *source, const char *code,
							 StringInfo json);

#endif							/* PADLOCK_SEARCH_HIGHLIGHT_H */
