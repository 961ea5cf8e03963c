/*-------------------------------------------------------------------------
 *
 * answer.h
 *	  The products of a page, as JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_ANSWER_H
#define PADLOCK_SEARCH_ANSWER_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "search/score.h"

/*
 * The answer of a search: the members of the JSON text others, and as member
 * "products" an array of the hits' products, each with its company and, when
 * asked, with "highlight" and "explain".
 */
extern Jsonb *search_make_answer(const char *others, const SearchView *view,
								 const SearchPlan *plan, const SearchResult *result,
								 bool highlight, bool explain);

/* Append a JSON object: what became of the words of a query. */
extern void search_append_query(StringInfo json, const SearchView *view,
								const SearchQuery *query);

#endif							/* PADLOCK_SEARCH_ANSWER_H */
