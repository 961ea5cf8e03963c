/*-------------------------------------------------------------------------
 *
 * query_parse.c
 *	  From what a visitor types to weighted groups of terms.
 *
 * The text is cut into chunks: what stands in double quotes, and what stands
 * between blanks, each perhaps behind a minus.  Whatever else is in it only
 * separates words, so there is nothing that can be a syntax error.  A word
 * becomes a group of terms: its lexemes in each language that products are
 * written in, then, if no product has it, the words that it may be a
 * misspelling of, then synonyms.
 *
 * The whole text may be a product code, and so may each chunk that looks like
 * one, with or without what stands around it.
 *
 * A query that finds nothing is relaxed step by step; each step is the same
 * text parsed with one more freedom, if that changes anything.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "search/build.h"
#include "search/languages.h"
#include "search/query_parse.h"
#include "search/spelling.h"
#include "search/split.h"
#include "search/synonyms.h"

/* Words of a query from here on are left out. */
#define MAX_WORDS		32

/* Parts of a query that are looked up as product codes. */
#define MAX_CODES		8

/* A code of digits alone has so many, or it is a number like any other. */
#define CODE_DIGITS		5

/* How much less a correction counts than what was typed. */
#define SPELLING_WEIGHT	0.5f
#define PREFIX_WEIGHT	0.5f

/* Words of the index that one typed word may stand for. */
#define MAX_CORRECTIONS	5

/* Shorter halves of a word that is split in two are accidents; in bytes. */
#define MIN_HALF		3

/* Walks through the words of the index that one search may cost. */
#define MAX_WALKS		8

/* Characters of a word that may be the beginning of another: leg is no legal. */
#define MIN_PREFIX		4

/* How much more a product counts that has all words. */
#define ALL_WORDS_FACTOR 2.0f

/* Freedoms of the parser, in the order in which relaxing takes them. */
typedef enum Freedom
{
	FREE_PHRASES = 1,			/* quotes do not count */
	FREE_ENDINGS = 2,			/* a word with digits, or of synonyms alone, may begin one */
	FREE_SPELLING = 4			/* more typos in a word */
} Freedom;

typedef struct FreedomName
{
	Freedom		freedom;
	const char *name;			/* for the answer */
} FreedomName;

static const FreedomName freedoms[] = {
	{FREE_PHRASES, "phrases"},
	{FREE_ENDINGS, "prefixes"},
	{FREE_SPELLING, "spelling"},
};

/* What a walk found: relaxing asks for the same again. */
typedef struct Walked
{
	char		form[SEARCH_FORM_MAX + 1];
	SearchSpellingReach reach;
	int			nfound;
	SearchSpelling found[SEARCH_MAX_SPELLINGS];
} Walked;

struct SearchWalks
{
	int			count;
	Walked		walked[MAX_WALKS];
};

/* A query in the making. */
typedef struct Parser
{
	SearchView *view;
	SearchAnalyzer *analyzer;
	SearchLanguages languages;
	bool		reads_all;		/* also stop words of the language of most products */
	int			allowed;		/* of Freedom */
	int			taken;			/* those that made a difference */
	int			words;			/* read so far */
	bool		in_code;		/* the word at hand stands as in AUT-02 */
	SearchQuery *query;
	SearchWalks *walks;
	StringInfoData corrected;	/* the text so far, with corrections */
	const char *copied;			/* up to where in the text */
	bool		has_corrections;
} Parser;

/* A part of the text. */
typedef struct Chunk
{
	const char *start;
	const char *end;
	bool		quoted;
	bool		excluded;
} Chunk;

/* Add a form's lexemes in each language to a group. */
static void
add_lexemes(Parser *parser, SearchGroup *group, const char *form, int length, float weight,
			SearchMatchKind kind)
{
	for (int i = 0; i < parser->languages.count; i++)
	{
		uint32		terms[SEARCH_WORD_TERMS];
		int			nterms = search_lexemes(parser->analyzer, parser->languages.languages[i].name, form,
											length, terms);

		for (int j = 0; j < nterms; j++)
		{
			int			term_length;
			const char *term = search_term(parser->analyzer, terms[j], &term_length);

			search_add_use(group, term, term_length, weight, kind);
		}
	}
}


/* Begin a group of a form's own lexemes. */
static void
make_group(Parser *parser, SearchGroup *group, const char *form, int length)
{
	group->word = pnstrdup(form, length);
	group->terms = palloc(sizeof(SearchTermUse) * SEARCH_MAX_USES);
	group->nterms = 0;
	group->weight = 1;
	add_lexemes(parser, group, form, length, 1, SEARCH_MATCH_WORD);
}

/* Does any product have a group's word? */
static bool
is_known(const Parser *parser, const SearchGroup *group)
{
	for (int i = 0; i < group->nterms; i++)
	{
		if (search_view_lives(parser->view, group->terms[i].term, group->terms[i].length))
			return true;
	}
	return false;
}

/*
 * Is a form left out?  The stop words of the language of most products are,
 * and those of others unless a product or a synonym has them: und is a word in
 * English, but nobody's.
 */
static bool
is_stop_word(Parser *parser, const char *form, int length)
{
	bool		stops = false;
	SearchGroup group;

	for (int i = 0; i < parser->languages.count; i++)
	{
		uint32		terms[SEARCH_WORD_TERMS];

		if (search_lexemes(parser->analyzer, parser->languages.languages[i].name, form, length,
						   terms) > 0)
			continue;
		if (i == 0 && !parser->reads_all)
			return true;
		stops = true;
	}
	if (!stops)
		return false;
	make_group(parser, &group, form, length);
	return !is_known(parser, &group) && !search_has_synonyms(&group);
}

/* How many documents have the most frequent of a group's terms. */
static uint32
group_frequency(const Parser *parser, const SearchGroup *group)
{
	uint32		frequency = 0;

	for (int i = 0; i < group->nterms; i++)
		frequency = Max(frequency, search_view_frequency(parser->view, group->terms[i].term,
														 group->terms[i].length));
	return frequency;
}

/* Does a group mean what an earlier one means? */
static bool
is_repeated(const SearchQuery *query, const SearchGroup *group)
{
	for (int i = 0; i < query->ngroups; i++)
	{
		if (strcmp(query->groups[i].terms[0].term, group->terms[0].term) == 0)
			return true;
	}
	return false;
}

/* Note that form stands for the word from start to end of the text. */
static void
note_correction(Parser *parser, const char *start, const char *end, const char *form)
{
	appendBinaryStringInfo(&parser->corrected, parser->copied, start - parser->copied);
	appendStringInfoString(&parser->corrected, form);
	parser->copied = end;
	parser->has_corrections = true;
}

/* Add words of the index to a group. */
static void
add_spellings(Parser *parser, SearchGroup *group, const SearchSpelling *found, int nfound,
			  float weight, SearchMatchKind kind)
{
	for (int i = 0; i < Min(nfound, MAX_CORRECTIONS); i++)
		add_lexemes(parser, group, found[i].form, found[i].length, weight, kind);
}

/*
 * Add to a group what its unknown word may be the beginning of.  The form of the
 * most frequent one, or NULL when there is nothing.
 */
static const char *
complete(Parser *parser, SearchGroup *group, const SearchSplit *word)
{
	SearchSpelling found[SEARCH_MAX_SPELLINGS];
	int			nfound = 0;

	if (pg_mbstrlen_with_len(word->form, word->form_length) >= MIN_PREFIX)
		nfound = search_completions(parser->view, word->form, word->form_length, found);
	add_spellings(parser, group, found, nfound, PREFIX_WEIGHT, SEARCH_MATCH_PREFIX);
	return nfound > 0 ? pstrdup(found[0].form) : NULL;
}

/*
 * The words nearest to one, from a walk that was made before or a new one; none
 * once the search has had its share of them.
 */
static const Walked *
find_spellings(Parser *parser, const SearchSplit *word, SearchSpellingReach reach)
{
	SearchWalks *walks = parser->walks;
	Walked	   *walked;

	for (int i = 0; i < walks->count; i++)
	{
		walked = &walks->walked[i];
		if (walked->reach == reach && strcmp(walked->form, word->form) == 0)
			return walked;
	}
	if (walks->count == MAX_WALKS)
		return NULL;
	walked = &walks->walked[walks->count++];
	strlcpy(walked->form, word->form, sizeof(walked->form));
	walked->reach = reach;
	walked->nfound = search_spellings(parser->view, word->form, word->form_length, reach,
									  walked->found);
	return walked;
}

/*
 * Add a word's corrections to its group.  False when there are none, or none
 * that would make a difference.  told: what the visitor is told it stands for;
 * NULL: the best correction.
 */
static bool
correct(Parser *parser, SearchGroup *group, const SearchSplit *word, SearchSpellingReach reach,
		const char *told)
{
	const Walked *walked = find_spellings(parser, word, reach);
	int			nterms = group->nterms;

	if (walked == NULL || walked->nfound == 0)
		return false;
	add_spellings(parser, group, walked->found, walked->nfound, SPELLING_WEIGHT,
				  SEARCH_MATCH_TYPO);
	if (group->nterms == nterms)
		return false;
	note_correction(parser, word->text + word->start, word->text + word->end,
					told != NULL ? told : walked->found[0].form);
	return true;
}

/*
 * Add a group to the query, unless it is there already.
 */
static void
add_group(Parser *parser, const SearchGroup *group)
{
	if (group->nterms > 0 && !is_repeated(parser->query, group))
		parser->query->groups[parser->query->ngroups++] = *group;
}

/* How many documents know a form by its most frequent lexeme. */
static uint32
form_frequency(Parser *parser, const char *form, int length)
{
	SearchGroup group;

	make_group(parser, &group, form, length);
	return group_frequency(parser, &group);
}

/*
 * Where a word falls into two that are known, as a number of bytes, so that
 * the rarer half is as frequent as can be; 0 if nowhere.
 */
static int
find_halves(Parser *parser, const SearchSplit *word)
{
	uint32		best = 0;
	int			at = 0;

	for (int i = MIN_HALF; i + MIN_HALF <= word->form_length; i++)
	{
		uint32		frequency;

		/* not within a character */
		if (IS_HIGHBIT_SET(word->form[i]))
			continue;
		frequency = form_frequency(parser, word->form, i);
		if (frequency > best)
			frequency = Min(frequency, form_frequency(parser, word->form + i,
													  word->form_length - i));
		if (frequency > best)
		{
			best = frequency;
			at = i;
		}
	}
	return at;
}

/* An unknown word that is two known ones: a group for each.  False if it is not. */
static bool
add_halves(Parser *parser, const SearchSplit *word)
{
	int			at = find_halves(parser, word);
	SearchGroup group;

	if (at == 0)
		return false;
	make_group(parser, &group, word->form, at);
	add_group(parser, &group);
	make_group(parser, &group, word->form + at, word->form_length - at);
	add_group(parser, &group);
	note_correction(parser, word->text + word->start, word->text + word->end,
					psprintf("%.*s %s", at, word->form, word->form + at));
	return true;
}

/* Correct a word by those of the synonyms, when none of the index is near. */
static bool
correct_synonym(Parser *parser, SearchGroup *group, const SearchSplit *word)
{
	SearchSpelling found[SEARCH_MAX_SPELLINGS];
	int			nfound = search_synonym_spellings(parser->view, word->form, word->form_length, found);

	if (nfound == 0)
		return false;
	add_spellings(parser, group, found, nfound, SPELLING_WEIGHT, SEARCH_MATCH_TYPO);
	note_correction(parser, word->text + word->start, word->text + word->end, found[0].form);
	return true;
}

/*
 * Add to a group what its word may be instead, if it is unknown.  False when
 * the word became groups of its own.
 */
static bool
correct_word(Parser *parser, SearchGroup *group, const SearchSplit *word)
{
	const char *whole;

	if (parser->in_code || is_known(parser, group) || search_has_synonyms(group))
		return true;
	whole = complete(parser, group, word);
	if (correct(parser, group, word, SEARCH_SPELLING_NEAR, whole))
		return true;
	if (whole != NULL)
	{
		note_correction(parser, word->text + word->start, word->text + word->end, whole);
		return true;
	}
	if (correct_synonym(parser, group, word))
		return true;
	if (add_halves(parser, word))
		return false;
	if ((parser->allowed & FREE_SPELLING) != 0 &&
		correct(parser, group, word, SEARCH_SPELLING_WIDE, NULL))
		parser->taken |= FREE_SPELLING;
	return true;
}

/* Add a scored word to the query. */
static void
add_word(Parser *parser, const SearchSplit *word)
{
	SearchGroup group;

	make_group(parser, &group, word->form, word->form_length);
	if (!correct_word(parser, &group, word))
		return;
	if ((parser->allowed & FREE_ENDINGS) != 0 && (!parser->in_code || word->has_digit) &&
		group_frequency(parser, &group) == 0 && complete(parser, &group, word) != NULL)
		parser->taken |= FREE_ENDINGS;
	add_group(parser, &group);
}

/* The words of a chunk that stand for something, as a phrase. */
static void
read_phrase(Parser *parser, const Chunk *chunk, SearchPhrase *phrase)
{
	SearchSplit word;
	int			offset = 0;

	phrase->groups = palloc(sizeof(SearchGroup) * MAX_WORDS);
	phrase->offsets = palloc(sizeof(int) * MAX_WORDS);
	phrase->ngroups = 0;
	phrase->excluded = chunk->excluded;
	search_split(&word, chunk->start, chunk->end - chunk->start);
	for (; parser->words < MAX_WORDS && search_split_next(&word); offset++)
	{
		if (is_stop_word(parser, word.form, word.form_length))
			continue;
		parser->words++;
		make_group(parser, &phrase->groups[phrase->ngroups], word.form, word.form_length);
		phrase->offsets[phrase->ngroups++] = offset;
	}
}

/* Add what a document must hold, or must not. */
static void
add_phrase(Parser *parser, const Chunk *chunk)
{
	SearchQuery *query = parser->query;
	SearchPhrase phrase;

	read_phrase(parser, chunk, &phrase);
	if (phrase.ngroups == 0)
		return;
	if (phrase.excluded && phrase.ngroups == 1)
		query->excluded[query->nexcluded++] = phrase.groups[0];
	else
		query->phrases[query->nphrases++] = phrase;
}

/* Add the words of a chunk that are scored. */
static void
add_words(Parser *parser, const Chunk *chunk)
{
	SearchSplit word;

	search_split(&word, chunk->start, chunk->end - chunk->start);
	while (parser->words < MAX_WORDS && search_split_next(&word))
	{
		if (is_stop_word(parser, word.form, word.form_length))
			continue;
		parser->words++;
		parser->in_code = search_split_in_code(&word);
		add_word(parser, &word);
	}
}

/* Put a plain hyphen for each that a text processor makes of it, in place. */
static void
plain_hyphens(char *code)
{
	char	   *to = code;

	for (const char *from = code; *from != '\0';)
	{
		/* U+2010 to U+2015: hyphens and dashes; U+2212: minus */
		if (GetDatabaseEncoding() == PG_UTF8 &&
			((from[0] == '\342' && from[1] == '\200' && from[2] >= '\220' && from[2] <= '\225') ||
			 strncmp(from, "\342\210\222", 3) == 0))
		{
			*to++ = '-';
			from += 3;
		}
		else
			*to++ = *from++;
	}
	*to = '\0';
}

/* Add what may be a code. */
static void
add_code(SearchQuery *query, const char *text)
{
	char	   *code = search_fold_code(text);

	if (*code == '\0' || query->ncodes == MAX_CODES)
		return;
	for (int i = 0; i < query->ncodes; i++)
	{
		if (strcmp(query->codes[i], code) == 0)
			return;
	}
	query->codes[query->ncodes++] = code;
}

/*
 * Add a part of the text as a code: as it is, from its first word to its last,
 * and that with plain hyphens.
 */
static void
add_codes(SearchQuery *query, const char *text, int length)
{
	SearchSplit word;
	char	   *bare;
	int			start = -1;

	add_code(query, pnstrdup(text, length));
	search_split(&word, text, length);
	while (search_split_next(&word))
	{
		if (start < 0)
			start = word.start;
	}
	if (start < 0)
		return;
	bare = pnstrdup(text + start, word.end - start);
	add_code(query, bare);
	plain_hyphens(bare);
	add_code(query, bare);
}

/* Does a chunk look like a code, among other words? */
static bool
looks_like_code(const Chunk *chunk)
{
	int			digits = 0;
	bool		has_letter = false;

	for (const char *s = chunk->start; s < chunk->end; s++)
	{
		digits += (*s >= '0' && *s <= '9');
		has_letter |= IS_HIGHBIT_SET(*s) || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
	}
	return digits >= (has_letter ? 1 : CODE_DIGITS);
}

/* Read a chunk; the words of a required phrase are scored as well. */
static void
add_chunk(Parser *parser, const Chunk *chunk)
{
	int			words = parser->words;

	if (!chunk->excluded && looks_like_code(chunk))
		add_codes(parser->query, chunk->start, chunk->end - chunk->start);
	if (chunk->excluded)
		add_phrase(parser, chunk);
	else if (chunk->quoted && (parser->allowed & FREE_PHRASES) == 0)
	{
		add_phrase(parser, chunk);
		parser->words = words;
		add_words(parser, chunk);
	}
	else
	{
		if (chunk->quoted)
			parser->taken |= FREE_PHRASES;
		add_words(parser, chunk);
	}
}

static bool
is_blank(unsigned char c)
{
	return c <= ' ' || c == 0x7F;
}

/* The length in bytes of a double quote at s, straight or curly; 0 if there is none. */
static int
quote_length(const char *s)
{
	static const char *const quotes[] = {"\"", "\342\200\234", "\342\200\235", "\342\200\236",
	"\302\253", "\302\273"};

	for (int i = 0; i < lengthof(quotes); i++)
	{
		int			length = strlen(quotes[i]);

		if (strncmp(s, quotes[i], length) == 0 && (length == 1 || GetDatabaseEncoding() == PG_UTF8))
			return length;
	}
	return 0;
}

/* Where the next double quote stands, or NULL. */
static const char *
find_quote(const char *s)
{
	for (; *s != '\0'; s++)
	{
		if (quote_length(s) > 0)
			return s;
	}
	return NULL;
}

/*
 * Cut the next chunk off the text; false at its end.  A quote that nobody
 * closes separates words.
 */
static bool
next_chunk(const char **at, Chunk *chunk)
{
	const char *s = *at;
	const char *close;

	while (is_blank(*s) && *s != '\0')
		s++;
	if (*s == '\0')
		return false;
	chunk->excluded = (*s == '-' && !is_blank(s[1]));
	if (chunk->excluded)
		s++;
	close = quote_length(s) > 0 ? find_quote(s + quote_length(s)) : NULL;
	chunk->quoted = (close != NULL);
	chunk->start = chunk->quoted || quote_length(s) > 0 ? s + quote_length(s) : s;
	if (chunk->quoted)
	{
		chunk->end = close;
		*at = close + quote_length(close);
		return true;
	}
	for (s = chunk->start; !is_blank(*s) && quote_length(s) == 0; s++)
		;
	chunk->end = s;
	*at = s;
	return true;
}

bool
search_query_excludes(const char *term, int at)
{
	const char *word = term + at;
	Chunk		chunk;

	while (next_chunk(&term, &chunk))
	{
		if (word < term)
			return chunk.excluded;
	}
	return false;
}

static SearchQuery *
make_query(const char *term)
{
	SearchQuery *query = palloc0(sizeof(SearchQuery));

	/* a word may fall into two groups */
	query->groups = palloc(sizeof(SearchGroup) * MAX_WORDS * 2);
	query->excluded = palloc(sizeof(SearchGroup) * MAX_WORDS);
	query->phrases = palloc(sizeof(SearchPhrase) * MAX_WORDS);
	query->codes = palloc(sizeof(char *) * MAX_CODES);
	add_codes(query, term, strlen(term));
	return query;
}

/* Does nothing in a query stand for a word? */
static bool
is_empty(const SearchQuery *query)
{
	return query->ngroups == 0 && query->nexcluded == 0 && query->nphrases == 0;
}

/* Fill in what depends on all of the query. */
static void
finish_query(Parser *parser)
{
	SearchQuery *query = parser->query;

	search_add_synonyms(query->groups, query->ngroups);
	query->empty = is_empty(query);
	query->all_words_factor = query->ngroups > 1 ? ALL_WORDS_FACTOR : 1;
	if (parser->has_corrections)
	{
		appendStringInfoString(&parser->corrected, parser->copied);
		query->corrected = parser->corrected.data;
	}
}

/* Add the chunks of a text. */
static void
add_chunks(Parser *parser, const char *term)
{
	Chunk		chunk;

	while (parser->words < MAX_WORDS && next_chunk(&term, &chunk))
		add_chunk(parser, &chunk);
}

/*
 * Parse with some freedoms; taken tells which of them made a difference.  What
 * is nothing but stop words of one language may say something in another.
 */
static SearchQuery *
parse(const char *term, SearchView *view, SearchWalks *walks, int allowed, int *taken)
{
	Parser		parser = {.view = view, .walks = walks, .allowed = allowed, .copied = term};

	parser.analyzer = search_analyzer_create(CurrentMemoryContext);
	parser.query = make_query(term);
	initStringInfo(&parser.corrected);
	search_languages_find(&parser.languages, view);
	add_chunks(&parser, term);
	if (is_empty(parser.query) && parser.languages.count > 1)
	{
		parser.reads_all = true;
		add_chunks(&parser, term);
	}
	finish_query(&parser);
	*taken = parser.taken;
	return parser.query;
}

SearchQuery *
search_query_parse(const char *term, SearchView *view)
{
	SearchWalks *walks = palloc(sizeof(SearchWalks));
	SearchQuery *query;
	int			taken;

	walks->count = 0;
	query = parse(term, view, walks, 0, &taken);
	query->walks = walks;
	return query;
}

/* The names of the freedoms taken, for the answer. */
static char *
freedom_names(int taken)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(freedoms); i++)
	{
		if ((taken & freedoms[i].freedom) != 0)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", freedoms[i].name);
	}
	return names.data;
}

SearchQuery *
search_query_relax(const SearchQuery *strict, const char *term, SearchView *view, int step)
{
	int			allowed = 0;
	int			before = 0;

	for (int i = 0; i < lengthof(freedoms); i++)
	{
		int			taken;
		SearchQuery *query;

		allowed |= freedoms[i].freedom;
		query = parse(term, view, strict->walks, allowed, &taken);
		if (taken != before && step-- == 0)
		{
			query->relaxed = freedom_names(taken);
			return query;
		}
		before = taken;
	}
	return NULL;
}
