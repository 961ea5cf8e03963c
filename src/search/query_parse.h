/*-------------------------------------------------------------------------
 *
 * query_parse.h
 *	  From what a visitor types to weighted groups of terms.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_QUERY_PARSE_H
#define PADLOCK_SEARCH_QUERY_PARSE_H

#include "search/analyze.h"
#include "search/view.h"

typedef enum SearchMatchKind
{
	SEARCH_MATCH_WORD,
	SEARCH_MATCH_SYNONYM,
	SEARCH_MATCH_TYPO,
	SEARCH_MATCH_PREFIX
} SearchMatchKind;

/* One way to match a word. */
typedef struct SearchTermUse
{
	char	   *term;			/* NUL-terminated copy */
	int			length;
	float		weight;			/* above 0, 1 for the word itself */
	SearchMatchKind kind;
	struct SearchTermUse *also; /* the document must hold this one, too; NULL: none */
} SearchTermUse;

/* A word of the query: a document's score for it is that of its best term. */
typedef struct SearchGroup
{
	char	   *word;			/* as typed, for explain */
	SearchTermUse *terms;
	int			nterms;
	float		weight;			/* of the word within the query, 1 usually */
} SearchGroup;

/* A quoted phrase: groups that must stand side by side in one field. */
typedef struct SearchPhrase
{
	SearchGroup *groups;
	int			ngroups;
	int		   *offsets;		/* of each word from the first, for left-out stop words */
	bool		excluded;		/* -"a phrase" */
} SearchPhrase;

/* The parser's own. */
typedef struct SearchWalks SearchWalks;

typedef struct SearchQuery
{
	SearchGroup *groups;		/* scored; the words of phrases are here too */
	int			ngroups;
	SearchGroup *excluded;		/* a document with a term of any is out */
	int			nexcluded;
	SearchPhrase *phrases;		/* a document must hold each not excluded */
	int			nphrases;
	float		all_words_factor;	/* of a document's score that matches all groups */
	char	  **codes;			/* parts of the text that may be product codes,
								 * folded: a product with one comes first */
	int			ncodes;
	bool		empty;			/* no word left (stop words, punctuation): no
								 * product matches but by code */
	char	   *relaxed;		/* what was given up to find something, or NULL;
								 * for the answer ("corrected", "phrases", ...) */
	char	   *corrected;		/* the text with typos corrected, or NULL */
	SearchWalks *walks;			/* for search_query_relax() */
} SearchQuery;

/*
 * Parse a search term of at most 200 characters: words, "phrases", -minus,
 * synonyms and corrections by what the view's index holds.  Never fails.
 */
extern SearchQuery *search_query_parse(const char *term, SearchView *view);

/*
 * After no result of a parsed query: its next weaker form (phrases as words,
 * prefixes, wider corrections ...), or NULL when there is none.  step counts
 * from 0.  Minus words and filters are never given up.
 */
extern SearchQuery *search_query_relax(const SearchQuery *strict, const char *term,
									   SearchView *view, int step);

/* Does a minus exclude the word that starts at a byte of a search term? */
extern bool search_query_excludes(const char *term, int at);

#endif							/* PADLOCK_SEARCH_QUERY_PARSE_H */
