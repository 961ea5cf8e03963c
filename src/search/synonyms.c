/*-------------------------------------------------------------------------
 *
 * synonyms.c
 *	  Words that mean the same, from the table search_synonyms.
 *
 * A row lists expressions of one to MAX_TERMS words.  Every backend keeps the
 * table's content as terms of the index; a trigger on the table has all of
 * them read it again after a change, by way of a relation cache invalidation,
 * which reaches replicas, too, and undoes itself when the change does.  The
 * table is read with the latest snapshot, as a catalogue is: with the
 * transaction's own, an old one could stay in the cache.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "core/spi.h"
#include "search/split.h"
#include "search/synonyms.h"

PG_FUNCTION_INFO_V1(padlock_search_synonyms_changed);
PG_FUNCTION_INFO_V1(padlock_search_synonyms_check);

/* Expressions of a row. */
#define MIN_EXPRESSIONS	2
#define MAX_EXPRESSIONS	20

/* Words of an expression; longer ones are left out. */
#define MAX_TERMS		4

/* How much less a synonym counts than the word itself. */
#define SYNONYM_WEIGHT	0.5f

/* An expression of a row, as terms. */
typedef struct Expression
{
	int			row;
	int			nterms;
	const char *terms[MAX_TERMS];
	char		form[SEARCH_FORM_MAX + 1];	/* of the last one, unstemmed */
	int			form_length;
} Expression;

/* The table's content, in one memory context. */
typedef struct Synonyms
{
	MemoryContext context;
	Expression *expressions;	/* those of a row side by side */
	int			count;
	int			size;
} Synonyms;

static Synonyms *synonyms = NULL;	/* NULL: to be read */
static Oid	synonyms_table = InvalidOid;
static uint64 synonyms_dictionaries;	/* that stemmed them */

/* Relation cache callback: forget the content when the table changed. */
static void
forget(Datum arg, Oid relation)
{
	if (relation == synonyms_table || !OidIsValid(relation))
		synonyms_table = InvalidOid;
}

/* Turn an expression into terms; false when it has none or too many. */
static bool
read_expression(SearchAnalyzer *analyzer, const char *language, text *words,
				Expression *expression)
{
	SearchSplit split;

	expression->nterms = 0;
	search_split(&split, VARDATA_ANY(words), VARSIZE_ANY_EXHDR(words));
	while (search_split_next(&split))
	{
		uint32		terms[SEARCH_WORD_TERMS];
		int			length;

		if (search_lexemes(analyzer, language, split.form, split.form_length, terms) == 0)
			continue;
		if (expression->nterms == MAX_TERMS)
			return false;
		expression->terms[expression->nterms++] = search_term(analyzer, terms[0], &length);
		memcpy(expression->form, split.form, split.form_length + 1);
		expression->form_length = split.form_length;
	}
	return expression->nterms > 0;
}

/* Add a row's expressions. */
static void
read_row(Synonyms *content, SearchAnalyzer *analyzer, int row, const char *language,
		 ArrayType *words)
{
	ArrayIterator iterator = array_create_iterator(words, 0, NULL);
	Datum		value;
	bool		isnull;

	while (array_iterate(iterator, &value, &isnull))
	{
		if (content->count == content->size)
		{
			content->size *= 2;
			content->expressions = repalloc(content->expressions,
											sizeof(Expression) * content->size);
		}
		if (isnull || !read_expression(analyzer, language, DatumGetTextPP(value),
									   &content->expressions[content->count]))
			continue;
		content->expressions[content->count++].row = row;
	}
	array_free_iterator(iterator);
}

/* Read the table into a context of its own. */
static Synonyms *
read_table(void)
{
	static PadlockStatement statement = {
		.sql = "SELECT language, words FROM @app@.search_synonyms ORDER BY id"
	};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "padlock synonyms",
												  ALLOCSET_SMALL_SIZES);
	Synonyms   *content = MemoryContextAllocZero(context, sizeof(Synonyms));
	SearchAnalyzer *analyzer = search_analyzer_create(context);
	uint64		rows;

	content->context = context;
	content->size = 64;
	content->expressions = MemoryContextAlloc(context, sizeof(Expression) * content->size);
	rows = padlock_spi_execute(&statement, NULL, NULL, true);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		Datum		language = padlock_spi_datum(i, 1, &isnull);
		Datum		words = padlock_spi_datum(i, 2, &isnull);

		read_row(content, analyzer, i, TextDatumGetCString(language), DatumGetArrayTypeP(words));
	}
	return content;
}

/*
 * Read the table again.  It is the extension's owner's to read: what is a
 * synonym shows in every answer, whoever asks.
 */
static void
load(Oid table)
{
	PadlockUserContext saved;
	Synonyms   *content;

	padlock_become_owner(&saved);
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	content = read_table();
	PopActiveSnapshot();
	if (synonyms != NULL)
		MemoryContextDelete(synonyms->context);
	MemoryContextSetParent(content->context, CacheMemoryContext);
	synonyms = content;
	SPI_finish();
	padlock_restore_user(&saved);
}

/* Have the table's content in synonyms. */
static void
refresh(void)
{
	static bool registered = false;
	Oid			table = padlock_client_table("search_synonyms");

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
		registered = true;
	}
	if (synonyms != NULL && synonyms_table == table &&
		synonyms_dictionaries == search_dictionaries_version())
		return;
	/* set first: a change while we read must make us read again */
	synonyms_table = table;
	synonyms_dictionaries = search_dictionaries_version();
	PG_TRY();
	{
		load(table);
	}
	PG_CATCH();
	{
		synonyms_table = InvalidOid;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

SearchTermUse *
search_add_use(SearchGroup *group, const char *term, int length, float weight,
			   SearchMatchKind kind)
{
	SearchTermUse *use;

	if (group->nterms == SEARCH_MAX_USES)
		return NULL;
	for (int i = 0; i < group->nterms; i++)
	{
		use = &group->terms[i];
		if (use->also == NULL && use->length == length && memcmp(use->term, term, length) == 0)
			return NULL;
	}
	use = &group->terms[group->nterms++];
	use->term = pnstrdup(term, length);
	use->length = length;
	use->weight = weight;
	use->kind = kind;
	use->also = NULL;
	return use;
}

/*
 * Does a group have a use that asks for no other words than an expression, so
 * that it finds all that the expression finds?
 */
static bool
is_covered(const SearchGroup *group, const Expression *expression)
{
	for (int i = 0; i < group->nterms; i++)
	{
		const SearchTermUse *use = &group->terms[i];
		int			same = 0;

		while (use != NULL && same < expression->nterms &&
			   strcmp(use->term, expression->terms[same]) == 0)
		{
			use = use->also;
			same++;
		}
		if (use == NULL)
			return true;
	}
	return false;
}

/* Add an expression to a group; its first word carries the others along. */
static void
add_expression(SearchGroup *group, const Expression *expression, float weight)
{
	const char *first = expression->terms[0];
	SearchTermUse *use;

	if (is_covered(group, expression))
		return;
	use = search_add_use(group, first, strlen(first), weight, SEARCH_MATCH_SYNONYM);
	for (int i = 1; use != NULL && i < expression->nterms; i++)
	{
		use->also = palloc(sizeof(SearchTermUse));
		*use->also = *use;
		use = use->also;
		use->term = pstrdup(expression->terms[i]);
		use->length = strlen(use->term);
		use->also = NULL;
	}
}

/*
 * How a group, without its synonyms, means a term: the weight of the use, 0 if
 * it does not.  Synonyms of synonyms would lead anywhere.
 */
static float
weight_in_group(const SearchGroup *group, const char *term)
{
	for (int i = 0; i < group->nterms; i++)
	{
		const SearchTermUse *use = &group->terms[i];

		if (use->kind != SEARCH_MATCH_SYNONYM && strcmp(use->term, term) == 0)
			return use->weight;
	}
	return 0;
}

/* The weight with which an expression stands at the beginning of groups; 0: it does not. */
static float
weight_in_query(const SearchGroup *groups, int ngroups, const Expression *expression)
{
	float		weight = 1;

	if (expression->nterms > ngroups)
		return 0;
	for (int i = 0; i < expression->nterms; i++)
		weight = Min(weight, weight_in_group(&groups[i], expression->terms[i]));
	return weight;
}

/* The query says an expression: add the others of its row to each of its words. */
static void
add_row(SearchGroup *groups, int found, float weight)
{
	const Expression *expression = &synonyms->expressions[found];

	for (int i = 0; i < synonyms->count; i++)
	{
		if (i == found || synonyms->expressions[i].row != expression->row)
			continue;
		for (int j = 0; j < expression->nterms; j++)
			add_expression(&groups[j], &synonyms->expressions[i], weight * SYNONYM_WEIGHT);
	}
}

bool
search_has_synonyms(const SearchGroup *group)
{
	refresh();
	for (int i = 0; i < synonyms->count; i++)
	{
		for (int j = 0; j < synonyms->expressions[i].nterms; j++)
		{
			if (weight_in_group(group, synonyms->expressions[i].terms[j]) > 0)
				return true;
		}
	}
	return false;
}

/* Do products that can be found have all terms of another expression of the row? */
static bool
has_living_synonym(const SearchView *view, const Expression *expression)
{
	for (int i = 0; i < synonyms->count; i++)
	{
		const Expression *other = &synonyms->expressions[i];
		int			living = 0;

		if (other == expression || other->row != expression->row)
			continue;
		while (living < other->nterms &&
			   search_view_lives(view, other->terms[living], strlen(other->terms[living])))
			living++;
		if (living == other->nterms)
			return true;
	}
	return false;
}

int
search_synonym_spellings(const SearchView *view, const char *form, int length,
						 SearchSpelling *found)
{
	int			nfound = 0;

	refresh();
	for (int i = 0; i < synonyms->count; i++)
	{
		const Expression *expression = &synonyms->expressions[i];
		int			distance = expression->nterms > 1 ? -1 :
			search_spelling_distance(form, length, expression->form, expression->form_length);

		if (distance < 0 || (nfound > 0 && distance > found[0].distance) ||
			!has_living_synonym(view, expression))
			continue;
		if (nfound > 0 && distance < found[0].distance)
			nfound = 0;
		if (nfound == SEARCH_MAX_SPELLINGS)
			break;
		memcpy(found[nfound].form, expression->form, sizeof(found[nfound].form));
		found[nfound].length = expression->form_length;
		found[nfound].distance = distance;
		found[nfound++].frequency = 0;
	}
	return nfound;
}

void
search_add_synonyms(SearchGroup *groups, int ngroups)
{
	refresh();
	for (int i = 0; i < ngroups; i++)
	{
		for (int j = 0; j < synonyms->count; j++)
		{
			float		weight = weight_in_query(groups + i, ngroups - i,
												 &synonyms->expressions[j]);

			if (weight > 0)
				add_row(groups + i, j, weight);
		}
	}
}

static bool
same_expression(const Expression *a, const Expression *b)
{
	if (a->nterms != b->nterms)
		return false;
	for (int i = 0; i < a->nterms; i++)
	{
		if (strcmp(a->terms[i], b->terms[i]) != 0)
			return false;
	}
	return true;
}

static void
check_language(const char *language)
{
	if (!search_language_exists(language))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("column \"language\" of search_synonyms must be a text search configuration"),
				 errdetail("There is no \"%s\" in pg_catalog.", language),
				 errhint("SELECT cfgname FROM pg_ts_config shows them; \"simple\" leaves words as they are.")));
}

/* Read an expression that is to be written; an error if no query could say it. */
static void
check_expression(SearchAnalyzer *analyzer, const char *language, text *words,
				 Expression *expression)
{
	if (read_expression(analyzer, language, words, expression))
		return;
	if (expression->nterms == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("column \"words\" of search_synonyms must not have an expression without a word"),
				 errdetail("\"%s\" is nothing but stop words of language \"%s\" and punctuation.",
						   text_to_cstring(words), language),
				 errhint("Leave it out, or give the row the language \"simple\", which has no stop words.")));
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("column \"words\" of search_synonyms must not have an expression of more than %d words",
					MAX_TERMS),
			 errdetail("\"%s\" has more, stop words not counted.", text_to_cstring(words)),
			 errhint("Choose the words that matter.")));
}

static void
check_words(const char *language, ArrayType *words)
{
	SearchAnalyzer *analyzer = search_analyzer_create(CurrentMemoryContext);
	Expression	first;
	Datum	   *elements;
	int			count;
	bool		differ = false;

	if (ARR_NDIM(words) != 1 || ARR_HASNULL(words) || ARR_DIMS(words)[0] < MIN_EXPRESSIONS ||
		ARR_DIMS(words)[0] > MAX_EXPRESSIONS)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("column \"words\" of search_synonyms must be a list of %d to %d expressions",
						MIN_EXPRESSIONS, MAX_EXPRESSIONS),
				 errhint("For example ARRAY['moped', 'scooter', '50cc bike'].")));
	deconstruct_array(words, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		Expression	expression;

		check_expression(analyzer, language, DatumGetTextPP(elements[i]), &expression);
		if (i == 0)
			first = expression;
		differ |= !same_expression(&first, &expression);
	}
	if (!differ)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("column \"words\" of search_synonyms must have expressions that differ"),
				 errdetail("In language \"%s\" all of them are read as \"%s\".", language,
						   first.terms[0]),
				 errhint("Words that differ in their endings only are found without a synonym.")));
}

/*
 * padlock.search_synonyms_check(): row trigger of search_synonyms, before a
 * row is written.  Errors: 23514 when it says what no query could match.
 */
Datum
padlock_search_synonyms_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	TupleDesc	desc;
	Datum		words;
	Datum		language;
	bool		no_words;
	bool		no_language;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("padlock.search_synonyms_check() may only be called as a trigger")));
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	desc = RelationGetDescr(trigger->tg_relation);
	words = SPI_getbinval(row, desc, SPI_fnumber(desc, "words"), &no_words);
	language = SPI_getbinval(row, desc, SPI_fnumber(desc, "language"), &no_language);
	/* what is missing is refused by NOT NULL */
	if (!no_words && !no_language)
	{
		check_language(TextDatumGetCString(language));
		check_words(TextDatumGetCString(language), DatumGetArrayTypeP(words));
	}
	return PointerGetDatum(row);
}

/*
 * padlock.search_synonyms_changed(): statement trigger of search_synonyms.
 */
Datum
padlock_search_synonyms_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("padlock.search_synonyms_changed() may only be called as a trigger")));
	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigger->tg_relation));
	return PointerGetDatum(NULL);
}
