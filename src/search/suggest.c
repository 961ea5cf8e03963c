/*-------------------------------------------------------------------------
 *
 * suggest.c
 *	  Words while a visitor types: endpoint suggest.
 *
 * The last word of what was typed is completed from the words of the index,
 * or corrected when no word starts like it; the words before it stay.  Accents
 * need not be typed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "core/body.h"
#include "core/errors.h"
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

/* A body passed by mistake lands in the prefix. */
static void
check_not_body(const char *prefix)
{
	if (prefix[strspn(prefix, " \t\r\n")] == '{' && strstr(prefix, "\"prefix\"") != NULL)
		padlock_http_error(400, ERRCODE_INVALID_PARAMETER_VALUE, "request is not valid",
						   "prefix: must be what was typed so far, not a JSON body",
						   "Pass arguments: suggest(prefix => 'den', max_suggestions => '5').");
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

/* Is a word among those before it but for accents? */
static bool
is_repeated(const SearchSpelling *found, int at)
{
	char		form[SEARCH_FORM_MAX + 1];
	char		other[SEARCH_FORM_MAX + 1];

	strlcpy(form, found[at].form, sizeof(form));
	search_fold_accents(form, found[at].length);
	for (int i = 0; i < at; i++)
	{
		strlcpy(other, found[i].form, sizeof(other));
		search_fold_accents(other, found[i].length);
		if (strcmp(form, other) == 0)
			return true;
	}
	return false;
}

/* What the last word may become. */
static int
find_words(const SearchSplit *last, SearchSpelling *found)
{
	SearchView *view = search_view_acquire();
	int			nfound = search_completions(view, last->form, last->form_length, found);

	if (nfound == 0 && !search_split_in_code(last))
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
	int			told = 0;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < nfound && told < most; i++)
	{
		if (is_repeated(found, i))
			continue;
		appendStringInfo(&json, "%s{\"text\": ", told++ > 0 ? ", " : "");
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
	if (!PG_ARGISNULL(0))
		check_not_body(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	read_arguments(&body, fcinfo);
	most = padlock_body_value(&body, "max_suggestions");
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"suggestions\": %s}",
									 make_suggestions(padlock_body_text(&body, "prefix"),
													  most->present ? DatumGetInt32(most->value)
													  : DEFAULT_SUGGESTIONS)));
}
