/*-------------------------------------------------------------------------
 *
 * suggest.c
 *	  Words while a visitor types: endpoint suggest.
 *
 * The last word of what was typed is completed from the words of the index,
 * or corrected when no word starts like it; the words before it stay.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "core/body.h"
#include "limits/limits.h"
#include "search/spelling.h"
#include "search/split.h"
#include "search/view.h"

PG_FUNCTION_INFO_V1(padlock_suggest);

static const BodyField suggest_fields[] = {
	{"prefix", BODY_TEXT, .required = true, .max = 200},
	{"max_suggestions", BODY_INTEGER, .min = 1, .max = SEARCH_MAX_SPELLINGS},
};

#define DEFAULT_SUGGESTIONS 5

/* Check the arguments. */
static void
read_arguments(PadlockBody *body, FunctionCallInfo fcinfo)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < lengthof(suggest_fields); i++)
	{
		if (PG_ARGISNULL(i))
			continue;
		appendStringInfo(&json, "%s\"%s\": ", json.len > 1 ? ", " : "", suggest_fields[i].name);
		escape_json(&json, text_to_cstring(PG_GETARG_TEXT_PP(i)));
	}
	appendStringInfoChar(&json, '}');
	padlock_body_read(body, DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
															   CStringGetDatum(json.data))),
					  suggest_fields, lengthof(suggest_fields), BODY_QUERY);
	padlock_body_finish(body);
}

/* Find the last word of a text, if the text ends with it. */
static bool
find_last_word(const char *text, SearchSplit *last)
{
	SearchSplit word;
	bool		found = false;

	search_split(&word, text, strlen(text));
	while (search_split_next(&word))
	{
		*last = word;
		found = true;
	}
	return found && last->end == last->length;
}

/* What the last word may become. */
static int
find_words(const SearchSplit *last, SearchSpelling *found)
{
	SearchView *view = search_view_acquire();
	int			nfound = search_completions(view, last->form, last->form_length, found);

	if (nfound == 0)
		nfound = search_spellings(view, last->form, last->form_length, SEARCH_SPELLING_NEAR,
								  found);
	search_view_release(view);
	return nfound;
}

/* The suggestions as a JSON array: each the whole text with the last word replaced. */
static char *
make_suggestions(const char *text, int most)
{
	SearchSpelling found[SEARCH_MAX_SPELLINGS];
	SearchSplit last;
	StringInfoData json;
	int			nfound = find_last_word(text, &last) ? find_words(&last, found) : 0;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < Min(nfound, most); i++)
	{
		appendStringInfo(&json, "%s{\"text\": ", i > 0 ? ", " : "");
		escape_json(&json, psprintf("%.*s%s", last.start, text, found[i].form));
		appendStringInfo(&json, ", \"products\": %u}", found[i].frequency);
	}
	appendStringInfoChar(&json, ']');
	return json.data;
}

/*
 * suggest(prefix text, max_suggestions text DEFAULT '5') returns jsonb: words
 * that what was typed may become, most frequent first, each with about how
 * many products have it.  200; errors 400, 429.
 */
Datum
padlock_suggest(PG_FUNCTION_ARGS)
{
	PadlockBody body;
	BodyValue  *most;

	padlock_limit_request("suggest");
	read_arguments(&body, fcinfo);
	most = padlock_body_value(&body, "max_suggestions");
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"suggestions\": %s}",
									 make_suggestions(padlock_body_text(&body, "prefix"),
													  most->present ? DatumGetInt32(most->value)
													  : DEFAULT_SUGGESTIONS)));
}
