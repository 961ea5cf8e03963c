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
 * Begin the answer of a search: member "products", an array of the hits'
 * products, each with its company and, when asked, with "highlight" and
 * "explain".  Hits whose products are gone from the table or not active any
 * more are left out and taken off result->total.
 */
extern JsonbParseState *search_start_answer(const SearchView *view, const SearchPlan *plan,
											SearchResult *result, bool highlight, bool explain);

/* End it: with the members of the JSON text others. */
extern Jsonb *search_finish_answer(JsonbParseState *state, const char *others);

/* Append a JSON object: what became of the words of a query. */
extern void search_append_query(StringInfo json, const SearchView *view,
								const SearchQuery *query);

#endif							/* PADLOCK_SEARCH_ANSWER_H */
