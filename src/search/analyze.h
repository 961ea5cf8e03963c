/*-------------------------------------------------------------------------
 *
 * analyze.h
 *	  From a product's texts to the terms that the index holds.
 *
 * An analyser interns terms: a term is a number within one analyser, its
 * string is asked for when a segment is written.  The first byte of a term
 * is its namespace: a lexeme begins with a byte of 0x20 or more, an unstemmed
 * word (for suggestions and corrections) with SEARCH_WORD_MARK, a filter
 * value with SEARCH_FILTER_MARK.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_ANALYZE_H
#define PADLOCK_SEARCH_ANALYZE_H

#include "utils/array.h"
#include "utils/jsonb.h"

#define SEARCH_WORD_MARK	'\001'
#define SEARCH_FILTER_MARK	'\002'

#define SEARCH_LANGUAGE_MARK '\003'	/* a language that products are written in */

/* Longer terms are cut; their first bytes are term enough. */
#define SEARCH_TERM_MAX		64

/* The fields that BM25F weighs; SEARCH_WORD tokens have no weight at all. */
typedef enum SearchField
{
	SEARCH_NAME,
	SEARCH_KEYWORDS,			/* search_keywords and ai_tags */
	SEARCH_DESCRIPTION,
	SEARCH_BENEFITS,			/* strings in the JSON, keys included */
	SEARCH_COVERAGE,			/* of coverage_details */
	SEARCH_WORD					/* unstemmed words: no field of the text */
} SearchField;

#define SEARCH_FIELDS ((int) SEARCH_WORD)

/* A product's texts; any pointer but name may be NULL. */
typedef struct SearchSource
{
	text	   *name;
	ArrayType  *keywords;		/* text[] */
	ArrayType  *tags;			/* text[] */
	text	   *description;
	Jsonb	   *benefits;
	Jsonb	   *coverage;
	text	   *language;		/* a text search configuration of pg_catalog */
} SearchSource;

typedef struct SearchToken
{
	uint32		term;			/* of the analyser */
	uint16		position;		/* from 0 in the document, words counted; texts
								 * are at least 6 apart */
	uint8		field;			/* SearchField */
} SearchToken;

/* What a product says; the arrays belong to the analyser, until its next use. */
typedef struct SearchDocument
{
	SearchToken *tokens;
	int			ntokens;
	uint32		lengths[SEARCH_FIELDS]; /* in words */
} SearchDocument;

typedef struct SearchAnalyzer SearchAnalyzer;

/* An analyser whose memory, some MB after many documents, is a child of context. */
extern SearchAnalyzer *search_analyzer_create(MemoryContext context);

/* The number of a term, new if need be; cuts at SEARCH_TERM_MAX bytes. */
extern uint32 search_intern(SearchAnalyzer *analyzer, const char *term, int length);

/* How many terms there are, and the string of one (not terminated). */
extern uint32 search_interned(const SearchAnalyzer *analyzer);
extern const char *search_term(const SearchAnalyzer *analyzer, uint32 number, int *length);

/* A word has so many terms at most: some dictionaries know variants. */
#define SEARCH_WORD_TERMS	4

/*
 * The lexemes of one word, in lower case as the splitter makes it, by the
 * dictionaries of a language; 0 for a stop word.  An unknown language is
 * taken for "simple".
 */
extern int	search_lexemes(SearchAnalyzer *analyzer, const char *language, const char *form,
						   int length, uint32 *terms);

/* Called for a text. */
typedef void (*SearchTextVisitor) (const char *string, int length, void *arg);

/*
 * Visit the strings of a JSON value and the names of its members, but of those
 * that are false or null; numbers say nothing by themselves.
 */
extern void search_visit_json(Jsonb *json, SearchTextVisitor visit, void *arg);

/* Is there a text search configuration of that name in pg_catalog? */
extern bool search_language_exists(const char *language);

/*
 * A number that is another one when text search configurations or dictionaries
 * have changed: what was analysed before may have other lexemes now.
 */
extern uint64 search_dictionaries_version(void);

/* Analyse a product; never raises an error for what the texts hold. */
extern void search_analyze(SearchAnalyzer *analyzer, const SearchSource *source,
						   SearchDocument *document);

#endif							/* PADLOCK_SEARCH_ANALYZE_H */
