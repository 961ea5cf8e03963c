/*-------------------------------------------------------------------------
 *
 * phrase_match.c
 *	  Does a document hold a quoted phrase?
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "search/query_parse.h"

/* Is the token one of a group's terms? */
static bool
token_in_group(SearchAnalyzer *analyzer, const SearchToken *token, const SearchGroup *group)
{
	int			length;
	const char *term = search_term(analyzer, token->term, &length);

	for (int i = 0; i < group->nterms; i++)
	{
		if (group->terms[i].length == length && memcmp(group->terms[i].term, term, length) == 0)
			return true;
	}
	return false;
}

/* Does the word of a group stand at a position?  Tokens are in order of these. */
static bool
word_at(SearchAnalyzer *analyzer, const SearchDocument *document, int from, int field,
		int position, const SearchGroup *group)
{
	for (int i = from; i < document->ntokens; i++)
	{
		const SearchToken *token = &document->tokens[i];

		if (token->field == SEARCH_WORD)
			continue;
		if (token->field != field || token->position > position)
			return false;
		if (token->position == position && token_in_group(analyzer, token, group))
			return true;
	}
	return false;
}

/* Does the phrase go on from this token, which is its first word? */
static bool
phrase_from(SearchAnalyzer *analyzer, const SearchDocument *document, int from,
			const SearchPhrase *phrase)
{
	const SearchToken *first = &document->tokens[from];

	for (int i = 1; i < phrase->ngroups; i++)
	{
		if (!word_at(analyzer, document, from, first->field,
					 first->position + phrase->offsets[i] - phrase->offsets[0],
					 &phrase->groups[i]))
			return false;
	}
	return true;
}

bool
search_document_has_phrase(SearchAnalyzer *analyzer, const SearchDocument *document,
						   const SearchPhrase *phrase)
{
	for (int i = 0; i < document->ntokens; i++)
	{
		if (document->tokens[i].field != SEARCH_WORD &&
			token_in_group(analyzer, &document->tokens[i], &phrase->groups[0]) &&
			phrase_from(analyzer, document, i, phrase))
			return true;
	}
	return false;
}
