/*-------------------------------------------------------------------------
 *
 * languages.h
 *	  The languages that products are written in.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_LANGUAGES_H
#define PADLOCK_SEARCH_LANGUAGES_H

#include "search/analyze.h"
#include "search/view.h"

/* Languages in use that a word is read in: more than there can be. */
#define SEARCH_MAX_LANGUAGES 32

typedef struct SearchLanguage
{
	char		name[NAMEDATALEN];
	uint32		documents;
} SearchLanguage;

typedef struct SearchLanguages
{
	SearchLanguage languages[SEARCH_MAX_LANGUAGES];
	int			count;
} SearchLanguages;

/* The languages in use, the most used first; English when there is none. */
extern void search_languages_find(SearchLanguages *languages, const SearchView *view);

/* Does a product that can be found have a word?  Stop words count as had. */
extern bool search_word_lives(const SearchLanguages *languages, const SearchView *view,
							  SearchAnalyzer *analyzer, const char *form, int length);

#endif							/* PADLOCK_SEARCH_LANGUAGES_H */
