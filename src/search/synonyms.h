/*-------------------------------------------------------------------------
 *
 * synonyms.h
 *	  Words that mean the same, from the table search_synonyms.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_SYNONYMS_H
#define PADLOCK_SEARCH_SYNONYMS_H

#include "search/query_parse.h"
#include "search/spelling.h"

/* A group has so many uses at most, whatever they come from. */
#define SEARCH_MAX_USES 40

/*
 * Add a use of a term to a group and return it; NULL when the group has the
 * term already, without others beside it, or is full.
 */
extern SearchTermUse *search_add_use(SearchGroup *group, const char *term, int length,
									 float weight, SearchMatchKind kind);

/* Is a term of the group a word of the table? */
extern bool search_has_synonyms(const SearchGroup *group);

/*
 * The single words of the table nearest to a form, all equally near, of which
 * a product that can be found has a synonym; as search_spellings() finds those
 * of the index.
 */
extern int	search_synonym_spellings(const SearchView *view, const char *form, int length,
									 SearchSpelling *found);

/*
 * Add synonyms to the groups of a query, in the order of its words; several
 * words in a row that have a synonym each get it.
 */
extern void search_add_synonyms(SearchGroup *groups, int ngroups);

#endif							/* PADLOCK_SEARCH_SYNONYMS_H */
