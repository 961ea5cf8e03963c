/*-------------------------------------------------------------------------
 *
 * spelling.h
 *	  Words of the index that a mistyped word may stand for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_SPELLING_H
#define PADLOCK_SEARCH_SPELLING_H

#include "search/split.h"
#include "search/view.h"

#define SEARCH_MAX_SPELLINGS 10

typedef struct SearchSpelling
{
	char		form[SEARCH_FORM_MAX + 1];
	int			length;
	int			distance;		/* edits and transpositions */
	uint32		frequency;
} SearchSpelling;

typedef enum SearchSpellingReach
{
	SEARCH_SPELLING_NEAR,		/* one edit, in long words two */
	SEARCH_SPELLING_WIDE		/* one more, but the same first letter */
} SearchSpellingReach;

/*
 * The words nearest to a form, all equally near, the most frequent first; the
 * form itself is not among them.  Returns how many were written to found,
 * which has room for SEARCH_MAX_SPELLINGS.
 */
extern int	search_spellings(const SearchView *view, const char *form, int length,
							 SearchSpellingReach reach, SearchSpelling *found);

/* How far a word is from a form; -1 if that is more than a typo (SEARCH_SPELLING_NEAR). */
extern int	search_spelling_distance(const char *form, int length, const char *word,
									 int word_length);

/*
 * The most frequent words that start with the form, as above; distance is 0
 * for the form itself, else 1.
 */
extern int	search_completions(const SearchView *view, const char *form, int length,
							   SearchSpelling *found);

#endif							/* PADLOCK_SEARCH_SPELLING_H */
