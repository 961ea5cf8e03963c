/*-------------------------------------------------------------------------
 *
 * facets.h
 *	  How a search's whole result divides.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_FACETS_H
#define PADLOCK_SEARCH_FACETS_H

#include "lib/stringinfo.h"

#include "search/score.h"

/*
 * Append a JSON object: counts of all matches by policy_type, currency,
 * country, company (the 20 with most) and premium band.
 */
extern void search_append_facets(StringInfo json, const SearchView *view,
								 const SearchResult *result);

#endif							/* PADLOCK_SEARCH_FACETS_H */
