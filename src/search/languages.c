/*-------------------------------------------------------------------------
 *
 * languages.c
 *	  The languages that products are written in.
 *
 * The index has a term for each, of which only the frequency is kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "search/languages.h"

/* SearchTermVisitor: keep the languages with the most documents, in that order. */
static bool
visit_language(const char *term, int length, uint32 frequency, void *arg)
{
	SearchLanguages *found = arg;
	int			at = found->count;

	while (at > 0 && found->languages[at - 1].documents < frequency)
		at--;
	if (at == SEARCH_MAX_LANGUAGES)
		return true;
	if (found->count < SEARCH_MAX_LANGUAGES)
		found->count++;
	memmove(&found->languages[at + 1], &found->languages[at],
			sizeof(SearchLanguage) * (found->count - 1 - at));
	memcpy(found->languages[at].name, term + 1, length - 1);
	found->languages[at].name[length - 1] = '\0';
	found->languages[at].documents = frequency;
	return true;
}

void
search_languages_find(SearchLanguages *languages, const SearchView *view)
{
	const char	mark = SEARCH_LANGUAGE_MARK;

	languages->count = 0;
	search_view_scan(view, &mark, 1, NULL, 0, visit_language, languages);
	if (languages->count == 0)
	{
		strlcpy(languages->languages[0].name, "english", NAMEDATALEN);
		languages->count = 1;
	}
}

bool
search_word_lives(const SearchLanguages *languages, const SearchView *view,
				  SearchAnalyzer *analyzer, const char *form, int length)
{
	bool		is_stop_word = true;

	for (int i = 0; i < languages->count; i++)
	{
		uint32		terms[SEARCH_WORD_TERMS];
		int			nterms = search_lexemes(analyzer, languages->languages[i].name, form, length,
											terms);

		for (int j = 0; j < nterms; j++)
		{
			int			term_length;
			const char *term = search_term(analyzer, terms[j], &term_length);

			if (search_view_lives(view, term, term_length))
				return true;
			is_stop_word = false;
		}
	}
	return is_stop_word;
}
