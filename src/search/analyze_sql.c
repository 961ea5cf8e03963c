/*-------------------------------------------------------------------------
 *
 * analyze_sql.c
 *	  How a text is read: padlock.search_terms().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "search/analyze.h"
#include "search/split.h"

PG_FUNCTION_INFO_V1(padlock_search_terms);

/* Put a row for each lexeme of a word; one with NULL for a stop word. */
static void
put_word(ReturnSetInfo *result, SearchAnalyzer *analyzer, const char *language,
		 const SearchSplit *word, int position)
{
	uint32		terms[SEARCH_WORD_TERMS];
	int			nterms = search_lexemes(analyzer, language, word->form, word->form_length, terms);
	Datum		values[3] = {Int32GetDatum(position), CStringGetTextDatum(word->form)};
	bool		nulls[3] = {false, false, nterms == 0};

	for (int i = 0; i < Max(nterms, 1); i++)
	{
		int			length;
		const char *term;

		if (nterms > 0)
		{
			term = search_term(analyzer, terms[i], &length);
			values[2] = PointerGetDatum(cstring_to_text_with_len(term, length));
		}
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * padlock.search_terms(string text, language text DEFAULT 'english') returns
 * table (pos integer, word text, term text): the words that search sees in a
 * text, and the terms that it looks up for them; NULL for a stop word.  An
 * unknown language is read as "simple".
 */
Datum
padlock_search_terms(PG_FUNCTION_ARGS)
{
	text	   *string = PG_GETARG_TEXT_PP(0);
	char		language[NAMEDATALEN];
	SearchAnalyzer *analyzer = search_analyzer_create(CurrentMemoryContext);
	SearchSplit word;

	text_to_cstring_buffer(PG_GETARG_TEXT_PP(1), language, sizeof(language));
	InitMaterializedSRF(fcinfo, 0);
	search_split(&word, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
	for (int position = 0; search_split_next(&word); position++)
		put_word((ReturnSetInfo *) fcinfo->resultinfo, analyzer, language, &word, position);
	return (Datum) 0;
}
