/*-------------------------------------------------------------------------
 *
 * highlight.c
 *	  The words of a query marked in a product's texts.
 *
 * A word is marked when its lexemes are among the query's terms, so that what
 * is marked is what was found, synonyms and corrections included; the words of
 * an expression only where the product has all of them.  Of a long text the
 * part with the most marks is shown.  Texts are escaped: a snippet can be put
 * into a page as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "search/highlight.h"
#include "search/split.h"

/* Bytes of a field's snippet, without marks, about. */
#define SNIPPET_BYTES	200

/* Bytes shown before the first mark, about. */
#define LEAD_BYTES		40

/* Words of one text looked at. */
#define MAX_WORDS		2000

/* The query's terms are those that were interned first. */
struct SearchHighlighter
{
	const SearchQuery *query;
	SearchAnalyzer *analyzer;
	uint32		nterms;
	bool	   *marked;			/* of each: is it marked in this product? */
	char		language[NAMEDATALEN];	/* of the product */
	StringInfoData snippet;		/* of the field */
	int			room;			/* bytes left for it */
};

/* A word of a text. */
typedef struct Mark
{
	int			start;
	int			end;
	bool		matches;
} Mark;

SearchHighlighter *
search_highlighter_create(const SearchQuery *query)
{
	SearchHighlighter *highlighter = palloc0(sizeof(SearchHighlighter));

	highlighter->query = query;
	highlighter->analyzer = search_analyzer_create(CurrentMemoryContext);
	for (int i = 0; i < query->ngroups; i++)
	{
		for (int j = 0; j < query->groups[i].nterms; j++)
		{
			for (SearchTermUse *use = &query->groups[i].terms[j]; use != NULL; use = use->also)
				search_intern(highlighter->analyzer, use->term, use->length);
		}
	}
	highlighter->nterms = search_interned(highlighter->analyzer);
	highlighter->marked = palloc(Max(highlighter->nterms, 1) * sizeof(bool));
	initStringInfo(&highlighter->snippet);
	return highlighter;
}

/* Choose the terms to mark in a hit: those of the uses that it matches. */
static void
choose_terms(SearchHighlighter *highlighter, const SearchView *view, const SearchHit *hit)
{
	const SearchQuery *query = highlighter->query;

	memset(highlighter->marked, false, highlighter->nterms);
	for (int i = 0; i < query->ngroups; i++)
	{
		const SearchGroup *group = &query->groups[i];

		for (int j = 0; j < group->nterms; j++)
		{
			const SearchTermUse *use = &group->terms[j];

			/* where a word alone is, it matches */
			if (use->also != NULL && search_hit_part(view, hit, group, use) == 0)
				continue;
			for (; use != NULL; use = use->also)
				highlighter->marked[search_intern(highlighter->analyzer, use->term, use->length)] = true;
		}
	}
}

static bool
word_matches(SearchHighlighter *highlighter, const SearchSplit *word)
{
	uint32		terms[SEARCH_WORD_TERMS];
	int			nterms = search_lexemes(highlighter->analyzer, highlighter->language, word->form,
										word->form_length, terms);

	for (int i = 0; i < nterms; i++)
	{
		if (terms[i] < highlighter->nterms && highlighter->marked[terms[i]])
			return true;
	}
	return false;
}

/* Find the words of a text; returns how many, and whether any matches. */
static int
find_marks(SearchHighlighter *highlighter, const char *text, int length, Mark *marks, bool *any)
{
	SearchSplit word;
	int			n = 0;

	*any = false;
	search_split(&word, text, length);
	while (n < MAX_WORDS && search_split_next(&word))
	{
		marks[n].start = word.start;
		marks[n].end = word.end;
		marks[n].matches = word_matches(highlighter, &word);
		*any |= marks[n].matches;
		n++;
	}
	return n;
}

/* How many matches a part of size bytes that starts with a word would show. */
static int
count_matches(const Mark *marks, int n, int first, int size)
{
	int			count = 0;

	for (int i = first; i < n && marks[i].end - marks[first].start <= size; i++)
		count += marks[i].matches;
	return count;
}

/* The word to begin with: the best match, with a few words before it. */
static int
choose_start(const Mark *marks, int n, int size)
{
	int			best = 0;
	int			best_count = 0;
	int			start;

	for (int i = 0; i < n; i++)
	{
		int			count = marks[i].matches
			? count_matches(marks, n, i, Max(size - LEAD_BYTES, 1)) : 0;

		if (count > best_count)
		{
			best = i;
			best_count = count;
		}
	}
	for (start = best; start > 0 && marks[best].start - marks[start - 1].start <= LEAD_BYTES; start--)
		;
	return start;
}

/* Append text with what HTML gives a meaning to escaped. */
static void
append_escaped(StringInfo out, const char *text, int length)
{
	for (int i = 0; i < length; i++)
	{
		switch (text[i])
		{
			case '&':
				appendStringInfoString(out, "&amp;");
				break;
			case '<':
				appendStringInfoString(out, "&lt;");
				break;
			case '>':
				appendStringInfoString(out, "&gt;");
				break;
			case '"':
				appendStringInfoString(out, "&quot;");
				break;
			case '\'':
				appendStringInfoString(out, "&#39;");
				break;
			default:
				appendStringInfoCharMacro(out, text[i]);
		}
	}
}

/* Append the words first to before last, and from begin to finish what is around them. */
static void
append_marked(StringInfo out, const char *text, const Mark *marks, int first, int last, int begin,
			  int finish)
{
	for (int i = first; i < last; i++)
	{
		if (!marks[i].matches)
			continue;
		append_escaped(out, text + begin, marks[i].start - begin);
		appendStringInfoString(out, "<mark>");
		append_escaped(out, text + marks[i].start, marks[i].end - marks[i].start);
		appendStringInfoString(out, "</mark>");
		begin = marks[i].end;
	}
	append_escaped(out, text + begin, finish - begin);
}

/* Append the best part of a text to the field's snippet, if it matches. */
static void
add_text(SearchHighlighter *highlighter, const char *text, int length)
{
	StringInfo	out = &highlighter->snippet;
	Mark	   *marks;
	bool		any;
	int			n;
	int			first;
	int			last;

	if (highlighter->room <= 0)
		return;
	marks = palloc(sizeof(Mark) * Min(MAX_WORDS, length + 1));
	n = find_marks(highlighter, text, length, marks, &any);
	if (any)
	{
		bool		whole = (length <= highlighter->room);

		first = whole ? 0 : choose_start(marks, n, highlighter->room);
		for (last = first + 1;
			 last < n && (whole || marks[last].end - marks[first].start <= highlighter->room);)
			last++;
		appendStringInfoString(out, out->len > 0 ? (first > 0 ? "; ... " : "; ") : (first > 0 ? "... " : ""));
		append_marked(out, text, marks, first, last, first > 0 ? marks[first].start : 0,
					  last < n ? marks[last - 1].end : length);
		if (last < n)
			appendStringInfoString(out, " ...");
		highlighter->room -= whole ? length : marks[last - 1].end - marks[first].start;
	}
	pfree(marks);
}

static void
add_text_value(SearchHighlighter *highlighter, text *value)
{
	if (value != NULL)
		add_text(highlighter, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
add_array(SearchHighlighter *highlighter, ArrayType *array)
{
	ArrayIterator iterator;
	Datum		value;
	bool		isnull;

	if (array == NULL)
		return;
	iterator = array_create_iterator(array, 0, NULL);
	while (array_iterate(iterator, &value, &isnull))
	{
		if (!isnull)
			add_text_value(highlighter, DatumGetTextPP(value));
	}
	array_free_iterator(iterator);
}

/* SearchTextVisitor: add a text of a JSON value. */
static void
add_json_text(const char *string, int length, void *arg)
{
	add_text(arg, string, length);
}

/* Start the snippet of a field. */
static void
start_field(SearchHighlighter *highlighter)
{
	resetStringInfo(&highlighter->snippet);
	highlighter->room = SNIPPET_BYTES;
}

/* Append the field's snippet, if it has one, to the JSON object. */
static void
end_field(SearchHighlighter *highlighter, const char *name, StringInfo json)
{
	if (highlighter->snippet.len == 0)
		return;
	if (json->data[json->len - 1] != '{')
		appendStringInfoString(json, ", ");
	appendStringInfo(json, "\"%s\": ", name);
	escape_json(json, highlighter->snippet.data);
}

static void
mark_code(SearchHighlighter *highlighter, const char *code)
{
	appendStringInfoString(&highlighter->snippet, "<mark>");
	append_escaped(&highlighter->snippet, code, strlen(code));
	appendStringInfoString(&highlighter->snippet, "</mark>");
}

void
search_highlight(SearchHighlighter *highlighter, const SearchView *view, const SearchHit *hit,
				 const SearchSource *source, const char *code, StringInfo json)
{
	choose_terms(highlighter, view, hit);
	strlcpy(highlighter->language, "english", NAMEDATALEN);
	if (source->language != NULL)
		text_to_cstring_buffer(source->language, highlighter->language, NAMEDATALEN);

	appendStringInfoChar(json, '{');
	start_field(highlighter);
	if (code != NULL)
		mark_code(highlighter, code);
	end_field(highlighter, "product_code", json);
	start_field(highlighter);
	add_text_value(highlighter, source->name);
	end_field(highlighter, "product_name", json);
	start_field(highlighter);
	add_array(highlighter, source->keywords);
	add_array(highlighter, source->tags);
	end_field(highlighter, "keywords", json);
	start_field(highlighter);
	add_text_value(highlighter, source->description);
	end_field(highlighter, "description", json);
	start_field(highlighter);
	search_visit_json(source->benefits, add_json_text, highlighter);
	end_field(highlighter, "benefits", json);
	start_field(highlighter);
	search_visit_json(source->coverage, add_json_text, highlighter);
	end_field(highlighter, "coverage", json);
	appendStringInfoChar(json, '}');
}
