/*-------------------------------------------------------------------------
 *
 * analyze.c
 *	  From a product's texts to the terms that the index holds.
 *
 * A word goes through the dictionaries of the product's text search
 * configuration once an analyser; its lexemes are remembered, so that a
 * million products cost no more dictionary calls than there are words in use.
 * Accents are taken off after stemming, which needs them.
 *
 * Beside lexemes a document has its unstemmed words, once each, from which
 * corrections and suggestions are made, and the name of its language.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "nodes/value.h"
#include "tsearch/ts_utils.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "search/analyze.h"
#include "search/split.h"

/* Words of a document from here on are left out. */
#define MAX_POSITION	60000

/*
 * Between two texts of a document: a phrase does not reach across, unless so
 * many stop words follow each other in it.
 */
#define LIST_GAP		6

/* What is known of a string: a term, or a word of a language. */
typedef struct StringKey
{
	const char *bytes;
	int			length;
	Oid			language;		/* text search configuration, invalid for a term */
} StringKey;

typedef struct StringEntry
{
	StringKey	key;
	uint32		hash;
	char		status;
	int8		nterms;			/* of a word */
	uint32		number;			/* of the term; of the word's unstemmed term */
	uint32		terms[SEARCH_WORD_TERMS];
	uint32		document;		/* the last one that has the word */
} StringEntry;

static inline uint32
hash_key(const StringKey *key)
{
	return hash_combine(hash_bytes((const unsigned char *) key->bytes, key->length),
						key->language);
}

static inline bool
same_key(const StringKey *a, const StringKey *b)
{
	return a->length == b->length && a->language == b->language &&
		memcmp(a->bytes, b->bytes, a->length) == 0;
}

#define SH_PREFIX strings
#define SH_ELEMENT_TYPE StringEntry
#define SH_KEY_TYPE StringKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_key(&key)
#define SH_EQUAL(tb, a, b) same_key(&a, &b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) a->hash
#define SH_SCOPE static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

typedef struct Language
{
	char		name[NAMEDATALEN];
	Oid			config;
	uint32		term;
} Language;

typedef struct TermString
{
	const char *bytes;
	int			length;
} TermString;

struct SearchAnalyzer
{
	MemoryContext context;
	MemoryContext scratch;		/* of one dictionary call */
	strings_hash *terms;
	strings_hash *words;
	TermString *strings;		/* by term number */
	uint32		nstrings;
	uint32		max_strings;
	Language   *languages;
	int			nlanguages;
	SearchToken *tokens;
	int			ntokens;
	int			max_tokens;
	uint32		document;		/* counts documents, for StringEntry */
	const Language *language;	/* of the document */
	int			field;			/* being read */
	int			position;		/* of the next word in the document */
	SearchDocument *result;
};

SearchAnalyzer *
search_analyzer_create(MemoryContext context)
{
	MemoryContext own = AllocSetContextCreate(context, "padlock search analyser",
											  ALLOCSET_DEFAULT_SIZES);
	SearchAnalyzer *analyzer = MemoryContextAllocZero(own, sizeof(SearchAnalyzer));

	analyzer->context = own;
	analyzer->scratch = AllocSetContextCreate(own, "padlock search dictionary",
											  ALLOCSET_SMALL_SIZES);
	analyzer->terms = strings_create(own, 256, NULL);
	analyzer->words = strings_create(own, 256, NULL);
	analyzer->max_strings = 256;
	analyzer->strings = MemoryContextAlloc(own, sizeof(TermString) * analyzer->max_strings);
	analyzer->max_tokens = 256;
	analyzer->tokens = MemoryContextAlloc(own, sizeof(SearchToken) * analyzer->max_tokens);
	return analyzer;
}

/* Find or make an entry; a new one gets a copy of the key's bytes. */
static StringEntry *
find_string(SearchAnalyzer *analyzer, strings_hash *table, StringKey key, bool *found)
{
	StringEntry *entry = strings_insert(table, key, found);

	if (!*found)
	{
		char	   *copy = MemoryContextAlloc(analyzer->context, key.length + 1);

		memcpy(copy, key.bytes, key.length);
		copy[key.length] = '\0';
		entry->key.bytes = copy;
	}
	return entry;
}

uint32
search_intern(SearchAnalyzer *analyzer, const char *term, int length)
{
	StringKey	key = {term, Min(length, SEARCH_TERM_MAX), InvalidOid};
	bool		found;
	StringEntry *entry = find_string(analyzer, analyzer->terms, key, &found);

	if (found)
		return entry->number;
	if (analyzer->nstrings == analyzer->max_strings)
	{
		analyzer->max_strings *= 2;
		analyzer->strings = repalloc_huge(analyzer->strings,
										  sizeof(TermString) * analyzer->max_strings);
	}
	entry->number = analyzer->nstrings++;
	analyzer->strings[entry->number].bytes = entry->key.bytes;
	analyzer->strings[entry->number].length = key.length;
	return entry->number;
}

uint32
search_interned(const SearchAnalyzer *analyzer)
{
	return analyzer->nstrings;
}

const char *
search_term(const SearchAnalyzer *analyzer, uint32 number, int *length)
{
	*length = analyzer->strings[number].length;
	return analyzer->strings[number].bytes;
}

/* Intern a string in a namespace. */
static uint32
intern_marked(SearchAnalyzer *analyzer, char mark, const char *string, int length)
{
	char		term[SEARCH_TERM_MAX];

	length = Min(length, SEARCH_TERM_MAX - 1);
	term[0] = mark;
	memcpy(term + 1, string, length);
	return search_intern(analyzer, term, length + 1);
}

/* The text search configuration of that name, or InvalidOid. */
static Oid
find_configuration(const char *name)
{
	return get_ts_config_oid(list_make2(makeString("pg_catalog"), makeString(pstrdup(name))), true);
}

bool
search_language_exists(const char *language)
{
	return OidIsValid(find_configuration(language));
}

static uint64 dictionaries_version = 0;

/* System cache callback. */
static void
note_dictionaries(Datum arg, int cacheid, uint32 hashvalue)
{
	dictionaries_version++;
}

uint64
search_dictionaries_version(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(TSCONFIGOID, note_dictionaries, (Datum) 0);
		CacheRegisterSyscacheCallback(TSCONFIGMAP, note_dictionaries, (Datum) 0);
		CacheRegisterSyscacheCallback(TSDICTOID, note_dictionaries, (Datum) 0);
		registered = true;
	}
	return dictionaries_version;
}

static const Language *
find_language(SearchAnalyzer *analyzer, const char *name)
{
	Language   *language;

	for (int i = 0; i < analyzer->nlanguages; i++)
	{
		if (strcmp(analyzer->languages[i].name, name) == 0)
			return &analyzer->languages[i];
	}
	if (analyzer->languages == NULL)
		analyzer->languages = MemoryContextAlloc(analyzer->context, sizeof(Language));
	else
		analyzer->languages = repalloc(analyzer->languages,
									   sizeof(Language) * (analyzer->nlanguages + 1));
	language = &analyzer->languages[analyzer->nlanguages++];
	strlcpy(language->name, name, NAMEDATALEN);
	language->config = find_configuration(language->name);
	if (!OidIsValid(language->config))
		language->config = find_configuration("simple");
	language->term = intern_marked(analyzer, SEARCH_LANGUAGE_MARK, language->name,
								   strlen(language->name));
	return language;
}

/* Remember the lexemes that the dictionaries make of a word. */
static void
add_lexemes(SearchAnalyzer *analyzer, StringEntry *word, ParsedText *parsed)
{
	for (int i = 0; i < parsed->curwords && word->nterms < SEARCH_WORD_TERMS; i++)
	{
		char		lexeme[SEARCH_FORM_MAX + 1];
		int			length = pg_mbcliplen(parsed->words[i].word, parsed->words[i].len,
										  SEARCH_FORM_MAX);

		memcpy(lexeme, parsed->words[i].word, length);
		length = search_fold_accents(lexeme, length);
		/* the bytes below are the namespaces */
		if (length > 0 && (unsigned char) lexeme[0] >= ' ')
			word->terms[word->nterms++] = search_intern(analyzer, lexeme, length);
	}
}

/* Ask the dictionaries of the word's language. */
static void
look_up(SearchAnalyzer *analyzer, StringEntry *word)
{
	MemoryContext old = MemoryContextSwitchTo(analyzer->scratch);
	ParsedText	parsed = {0};

	word->nterms = 0;
	word->document = 0;
	parsed.lenwords = 8;
	parsed.words = palloc(sizeof(ParsedWord) * parsed.lenwords);
	parsetext(word->key.language, &parsed, pnstrdup(word->key.bytes, word->key.length),
			  word->key.length);
	add_lexemes(analyzer, word, &parsed);
	MemoryContextSwitchTo(old);
	MemoryContextReset(analyzer->scratch);
	word->number = intern_marked(analyzer, SEARCH_WORD_MARK, word->key.bytes, word->key.length);
}

/* What is known of a word in a language. */
static StringEntry *
find_word(SearchAnalyzer *analyzer, Oid language, const char *form, int length)
{
	StringKey	key = {form, length, language};
	bool		found;
	StringEntry *word = find_string(analyzer, analyzer->words, key, &found);

	if (!found)
		look_up(analyzer, word);
	return word;
}

int
search_lexemes(SearchAnalyzer *analyzer, const char *language, const char *form, int length,
			   uint32 *terms)
{
	StringEntry *word = find_word(analyzer, find_language(analyzer, language)->config, form,
								  Min(length, SEARCH_FORM_MAX));

	memcpy(terms, word->terms, sizeof(uint32) * word->nterms);
	return word->nterms;
}

static void
add_token(SearchAnalyzer *analyzer, uint32 term, int field, int position)
{
	SearchToken *token;

	if (analyzer->ntokens == analyzer->max_tokens)
	{
		analyzer->max_tokens *= 2;
		analyzer->tokens = repalloc(analyzer->tokens,
									sizeof(SearchToken) * analyzer->max_tokens);
	}
	token = &analyzer->tokens[analyzer->ntokens++];
	token->term = term;
	token->field = field;
	token->position = position;
}

/* Add a word of the field being read, which is no stop word. */
static void
add_word(SearchAnalyzer *analyzer, StringEntry *word)
{
	for (int i = 0; i < word->nterms; i++)
		add_token(analyzer, word->terms[i], analyzer->field, analyzer->position);
	analyzer->result->lengths[analyzer->field]++;
	if (word->document != analyzer->document)
	{
		add_token(analyzer, word->number, SEARCH_WORD, 0);
		word->document = analyzer->document;
	}
}

/* Add a text to the field being read. */
static void
add_string(SearchAnalyzer *analyzer, const char *string, int length)
{
	SearchSplit split;

	search_split(&split, string, length);
	while (analyzer->position < MAX_POSITION && search_split_next(&split))
	{
		StringEntry *word = find_word(analyzer, analyzer->language->config, split.form,
									  split.form_length);

		if (word->nterms > 0)
			add_word(analyzer, word);
		analyzer->position++;
	}
	analyzer->position += LIST_GAP;
}

static void
add_text(SearchAnalyzer *analyzer, text *value)
{
	if (value != NULL)
		add_string(analyzer, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
add_array(SearchAnalyzer *analyzer, ArrayType *array)
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
			add_text(analyzer, DatumGetTextPP(value));
	}
	array_free_iterator(iterator);
}

/* Does this member say that there is no such thing ("dental": false)? */
static bool
is_denied(JsonbIteratorToken type, const JsonbValue *value)
{
	return type == WJB_VALUE &&
		(value->type == jbvNull || (value->type == jbvBool && !value->val.boolean));
}

void
search_visit_json(Jsonb *json, SearchTextVisitor visit, void *arg)
{
	JsonbIterator *iterator;
	JsonbIteratorToken type;
	JsonbValue	value;
	JsonbValue	name;
	bool		has_name = false;

	if (json == NULL)
		return;
	iterator = JsonbIteratorInit(&json->root);
	while ((type = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (has_name && !is_denied(type, &value))
			visit(name.val.string.val, name.val.string.len, arg);
		has_name = (type == WJB_KEY);
		if (has_name)
			name = value;
		else if ((type == WJB_VALUE || type == WJB_ELEM) && value.type == jbvString)
			visit(value.val.string.val, value.val.string.len, arg);
	}
}

/* SearchTextVisitor: add a text of a JSON value. */
static void
add_json_text(const char *string, int length, void *arg)
{
	add_string(arg, string, length);
}

void
search_analyze(SearchAnalyzer *analyzer, const SearchSource *source, SearchDocument *document)
{
	char		language[NAMEDATALEN] = "english";

	if (source->language != NULL)
		text_to_cstring_buffer(source->language, language, sizeof(language));
	memset(document, 0, sizeof(*document));
	analyzer->result = document;
	analyzer->ntokens = 0;
	analyzer->position = 0;
	analyzer->document++;
	analyzer->language = find_language(analyzer, language);

	analyzer->field = SEARCH_NAME;
	add_text(analyzer, source->name);
	analyzer->field = SEARCH_DESCRIPTION;
	add_text(analyzer, source->description);
	analyzer->field = SEARCH_KEYWORDS;
	add_array(analyzer, source->keywords);
	add_array(analyzer, source->tags);
	analyzer->field = SEARCH_BENEFITS;
	search_visit_json(source->benefits, add_json_text, analyzer);
	analyzer->field = SEARCH_COVERAGE;
	search_visit_json(source->coverage, add_json_text, analyzer);
	add_token(analyzer, analyzer->language->term, SEARCH_WORD, 0);

	document->tokens = analyzer->tokens;
	document->ntokens = analyzer->ntokens;
}
