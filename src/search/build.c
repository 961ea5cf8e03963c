/*-------------------------------------------------------------------------
 *
 * build.c
 *	  Building of a segment in memory.
 *
 * Products are analysed as they come; a posting is kept as a term and an
 * impact in five bytes.  At the end the documents get their order, and the
 * postings are dealt out to their terms by counting.
 *
 * The impact of a term in a product is BM25F's (Robertson, Zaragoza: The
 * Probabilistic Relevance Framework, 2009, section 3.6): frequencies by field
 * are normalised by the field's length, weighted, added up and then saturated.
 * The idf comes in when a query runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "search/build.h"
#include "search/places.h"

/* How much a field counts, and how far its length is made up for (BM25F's b). */
static const float field_weight[SEARCH_FIELDS] = {6.0f, 3.0f, 1.0f, 1.0f, 0.5f};
static const float field_b[SEARCH_FIELDS] = {0.5f, 0.5f, 0.85f, 0.85f, 0.85f};

/* Lengths in words to begin with, before there are products to measure. */
static const float usual_length[SEARCH_FIELDS] = {5.0f, 8.0f, 45.0f, 15.0f, 15.0f};

/* A part of a segment has so many products at most, which bounds its memory. */
#define PART_PRODUCTS	65536

/* A builder with more terms is not kept for the next segment. */
#define MAX_KEPT_TERMS	200000

/* About how many bytes a segment takes for a product, a posting and a term. */
#define PRODUCT_BYTES	80
#define POSTING_BYTES	2
#define TERM_BYTES		60

struct SearchBuilder
{
	MemoryContext context;		/* of everything below */
	MemoryContext row_context;	/* reset after each product */
	SearchStatistics statistics;
	SearchAnalyzer *analyzer;

	SearchColumns *documents;
	uint64	   *starts;			/* first posting of each document */
	uint32		ndocuments;
	uint32		documents_allocated;

	uint32	   *terms;			/* of each posting */
	uint8	   *impacts;
	uint64		npostings;
	uint64		postings_allocated;

	StringInfoData places;		/* of the postings that have any, in their order */
	uint64	   *place_starts;	/* of each document's */

	double		total_length[SEARCH_FIELDS];
	uint32		part;			/* number of the segment in the making, from 1 */
	uint32		part_terms;		/* terms in it */

	/* frequencies of the document at hand, by term */
	float	   *frequencies;
	uint32		frequencies_allocated;
	uint8	   *placed;			/* by term: it has places */
	uint32	   *last_parts;		/* by term: the last part with it */
	uint32	   *last_tokens;	/* by term: its last token so far, plus 1 */
	uint32	   *previous_tokens;	/* by token: the term's one before, plus 1 */
	uint32	   *touched;		/* terms of the document at hand */
	uint32		ntouched;
	uint32		touched_allocated;
};

static void
set_statistics(SearchBuilder *builder, const SearchStatistics *statistics)
{
	builder->statistics = *statistics;
	if (statistics->documents == 0)
		memcpy(builder->statistics.average_length, usual_length, sizeof(usual_length));
}

SearchBuilder *
search_builder_create(MemoryContext parent, const SearchStatistics *statistics)
{
	MemoryContext context = AllocSetContextCreate(parent, "padlock search builder",
												  ALLOCSET_DEFAULT_SIZES);
	SearchBuilder *builder = MemoryContextAllocZero(context, sizeof(SearchBuilder));
	MemoryContext old;

	builder->context = context;
	builder->row_context = AllocSetContextCreate(context, "padlock search row",
												 ALLOCSET_DEFAULT_SIZES);
	builder->analyzer = search_analyzer_create(context);
	old = MemoryContextSwitchTo(context);
	initStringInfo(&builder->places);
	builder->part = 1;
	MemoryContextSwitchTo(old);
	set_statistics(builder, statistics);
	return builder;
}

void
search_builder_destroy(SearchBuilder *builder)
{
	MemoryContextDelete(builder->context);
}

uint32
search_builder_documents(const SearchBuilder *builder)
{
	return builder->ndocuments;
}

bool
search_builder_is_worn(const SearchBuilder *builder)
{
	return search_interned(builder->analyzer) > MAX_KEPT_TERMS;
}

bool
search_builder_is_full(const SearchBuilder *builder, int64 largest)
{
	int64		size = (int64) builder->ndocuments * PRODUCT_BYTES +
		builder->npostings * POSTING_BYTES + builder->places.len +
		(int64) builder->part_terms * TERM_BYTES;

	return builder->ndocuments >= PART_PRODUCTS || size > largest / 4;
}

/* Let an array of the builder hold `needed` elements; new memory is zeroed. */
static void *
grow(SearchBuilder *builder, void *array, Size element, uint64 allocated, uint64 needed)
{
	Size		size = needed * element;

	if (array == NULL)
		array = MemoryContextAllocHuge(builder->context, size);
	else
		array = repalloc_huge(array, size);
	memset((char *) array + allocated * element, 0, size - allocated * element);
	return array;
}

static void
reserve_document(SearchBuilder *builder)
{
	uint32		wanted = Max(builder->documents_allocated * 2, 64);

	if (builder->ndocuments + 1 < builder->documents_allocated)
		return;
	builder->documents = grow(builder, builder->documents, sizeof(SearchColumns),
							  builder->documents_allocated, wanted);
	builder->starts = grow(builder, builder->starts, sizeof(uint64),
						   builder->documents_allocated, wanted);
	builder->place_starts = grow(builder, builder->place_starts, sizeof(uint64),
								 builder->documents_allocated, wanted);
	builder->documents_allocated = wanted;
}

static void
reserve_postings(SearchBuilder *builder, uint64 more)
{
	uint64		wanted = Max(builder->postings_allocated * 2, builder->npostings + more + 4096);

	if (builder->npostings + more <= builder->postings_allocated)
		return;
	builder->terms = grow(builder, builder->terms, sizeof(uint32), builder->postings_allocated,
						  wanted);
	builder->impacts = grow(builder, builder->impacts, sizeof(uint8), builder->postings_allocated,
							wanted);
	builder->postings_allocated = wanted;
}

static void
reserve_frequencies(SearchBuilder *builder, uint32 ntokens)
{
	uint32		terms = search_interned(builder->analyzer);

	if (terms > builder->frequencies_allocated)
	{
		uint32		wanted = terms * 2;

		builder->frequencies = grow(builder, builder->frequencies, sizeof(float),
									builder->frequencies_allocated, wanted);
		builder->placed = grow(builder, builder->placed, sizeof(uint8),
							   builder->frequencies_allocated, wanted);
		builder->last_parts = grow(builder, builder->last_parts, sizeof(uint32),
								   builder->frequencies_allocated, wanted);
		builder->last_tokens = grow(builder, builder->last_tokens, sizeof(uint32),
									builder->frequencies_allocated, wanted);
		builder->frequencies_allocated = wanted;
	}
	if (ntokens > builder->touched_allocated)
	{
		builder->touched = grow(builder, builder->touched, sizeof(uint32),
								builder->touched_allocated, ntokens * 2);
		builder->previous_tokens = grow(builder, builder->previous_tokens, sizeof(uint32),
										builder->touched_allocated, ntokens * 2);
		builder->touched_allocated = ntokens * 2;
	}
}

/* Count a term of the document at hand. */
static inline void
touch(SearchBuilder *builder, uint32 term, float frequency)
{
	if (builder->frequencies[term] == 0)
		builder->touched[builder->ntouched++] = term;
	builder->frequencies[term] += frequency;
}

/* Smaller than any weighted frequency, yet not 0: a term without weight. */
#define NO_WEIGHT 1e-30f

static inline uint8
impact_of(float frequency)
{
	int			impact = (int) rintf(SEARCH_IMPACTS * frequency / (SEARCH_K1 + frequency));

	return (uint8) Max(1, Min(impact, SEARCH_IMPACTS));
}

/* Link a token to the one before of the same term. */
static inline void
link_token(SearchBuilder *builder, uint32 term, uint32 token)
{
	builder->placed[term] = 1;
	builder->previous_tokens[token] = builder->last_tokens[term];
	builder->last_tokens[term] = token + 1;
}

/* Where a token stands; its word may have the same lexeme twice. */
static inline uint16
place_of(const SearchDocument *document, uint32 token)
{
	return document->tokens[token - 1].position;
}

/* In how many places the term stands whose last token is given. */
static int
count_distinct(const SearchBuilder *builder, const SearchDocument *document, uint32 token)
{
	int			count = 1;

	for (uint32 before; (before = builder->previous_tokens[token - 1]) > 0; token = before)
		count += place_of(document, before) != place_of(document, token);
	return count;
}

/* Append the first places of a term of the document at hand. */
static void
add_places(SearchBuilder *builder, const SearchDocument *document, uint32 term)
{
	uint16		places[SEARCH_MAX_PLACES];
	uint32		token = builder->last_tokens[term];
	int			count = count_distinct(builder, document, token);

	builder->last_tokens[term] = 0;
	for (int i = count - 1; token > 0; token = builder->previous_tokens[token - 1])
	{
		uint32		before = builder->previous_tokens[token - 1];

		if (i < SEARCH_MAX_PLACES)
			places[i] = place_of(document, token);
		if (before > 0 && place_of(document, before) != place_of(document, token))
			i--;
	}
	search_places_encode(&builder->places, places, Min(count, SEARCH_MAX_PLACES));
}

/* Turn the frequencies of the document at hand into postings. */
static void
flush_frequencies(SearchBuilder *builder, const SearchDocument *document)
{
	reserve_postings(builder, builder->ntouched);
	for (uint32 i = 0; i < builder->ntouched; i++)
	{
		uint32		term = builder->touched[i];

		builder->terms[builder->npostings] = term;
		builder->impacts[builder->npostings++] = impact_of(builder->frequencies[term]);
		builder->frequencies[term] = 0;
		if (builder->last_parts[term] != builder->part)
		{
			builder->last_parts[term] = builder->part;
			builder->part_terms++;
		}
		if (builder->placed[term])
			add_places(builder, document, term);
	}
	builder->ntouched = 0;
}

/* The term of a filter value. */
static uint32
filter_term(SearchBuilder *builder, char kind, const char *value, int length)
{
	char		term[SEARCH_TERM_MAX];

	length = Min(length, SEARCH_TERM_MAX - 2);
	term[0] = SEARCH_FILTER_MARK;
	term[1] = kind;
	memcpy(term + 2, value, length);
	return search_intern(builder->analyzer, term, length + 2);
}

/* Append the terms of the countries a product is offered in; returns how many. */
static int
country_terms(SearchBuilder *builder, Datum countries, bool isnull, uint32 **terms)
{
	Datum	   *values = NULL;
	bool	   *nulls = NULL;
	int			count = 0;
	int			n = 0;

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(countries), TEXTOID, -1, false, TYPALIGN_INT,
						  &values, &nulls, &count);
	*terms = palloc((count + 4) * sizeof(uint32));
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			(*terms)[n++] = filter_term(builder, SEARCH_FILTER_COUNTRY,
										VARDATA_ANY(values[i]), VARSIZE_ANY_EXHDR(values[i]));
	}
	/* without a list of countries a product is offered everywhere */
	if (count == 0)
		(*terms)[n++] = filter_term(builder, SEARCH_FILTER_COUNTRY, "", 0);
	return n;
}

/* The terms of a row's filter values. */
static int
filter_terms(SearchBuilder *builder, const SearchProductShape *shape, TupleTableSlot *slot,
			 uint32 **terms)
{
	bool		isnull;
	Datum		value = search_product_value(shape, slot, PRODUCT_COUNTRIES, &isnull);
	int			n = country_terms(builder, value, isnull, terms);
	char	   *type;
	text	   *currency;

	value = search_product_value(shape, slot, PRODUCT_TYPE, &isnull);
	type = DatumGetCString(DirectFunctionCall1(enum_out, value));
	(*terms)[n++] = filter_term(builder, SEARCH_FILTER_TYPE, type, strlen(type));
	value = search_product_value(shape, slot, PRODUCT_CURRENCY, &isnull);
	currency = DatumGetTextPP(value);
	(*terms)[n++] = filter_term(builder, SEARCH_FILTER_CURRENCY, VARDATA_ANY(currency),
								VARSIZE_ANY_EXHDR(currency));
	return n;
}

static uint8
age_of(const SearchProductShape *shape, TupleTableSlot *slot, SearchProductColumn column)
{
	bool		isnull;
	int32		age = DatumGetInt32(search_product_value(shape, slot, column, &isnull));

	return isnull ? SEARCH_AGE_NONE : (uint8) Max(0, Min(age, SEARCH_AGE_MAX));
}

/* Read what is no text. */
static void
read_columns(SearchColumns *columns, const SearchProductShape *shape, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value;

	columns->id = *DatumGetUUIDP(search_product_value(shape, slot, PRODUCT_ID, &isnull));
	columns->company = *DatumGetUUIDP(search_product_value(shape, slot, PRODUCT_COMPANY, &isnull));
	value = search_product_value(shape, slot, PRODUCT_PREMIUM, &isnull);
	columns->premium = DatumGetFloat8(DirectFunctionCall1(numeric_float8, value));
	columns->created = DatumGetTimestampTz(search_product_value(shape, slot, PRODUCT_CREATED, &isnull));
	value = search_product_value(shape, slot, PRODUCT_POPULARITY, &isnull);
	columns->popularity = (uint8) Max(0, Min(DatumGetInt32(value), 100));
	columns->minimum_age = age_of(shape, slot, PRODUCT_MINIMUM_AGE);
	columns->maximum_age = age_of(shape, slot, PRODUCT_MAXIMUM_AGE);
	value = search_product_value(shape, slot, PRODUCT_CODE, &isnull);
	columns->has_code = !isnull;
	columns->code_hash = 0;
	if (!isnull)
	{
		char	   *code = search_fold_code(TextDatumGetCString(value));

		columns->code_hash = search_code_hash(code, strlen(code));
	}
}

/* Count the terms of a document's texts, by field. */
static void
touch_tokens(SearchBuilder *builder, const SearchDocument *document)
{
	float		frequency[SEARCH_FIELDS + 1];

	for (int i = 0; i < SEARCH_FIELDS; i++)
	{
		float		length = document->lengths[i] / Max(builder->statistics.average_length[i], 1.0f);

		frequency[i] = field_weight[i] / (1.0f - field_b[i] + field_b[i] * length);
		builder->total_length[i] += document->lengths[i];
	}
	frequency[SEARCH_WORD] = NO_WEIGHT;
	for (int i = 0; i < document->ntokens; i++)
	{
		const SearchToken *token = &document->tokens[i];

		touch(builder, token->term, frequency[token->field]);
		if (token->field != SEARCH_WORD)
			link_token(builder, token->term, i);
	}
}

void
search_builder_add(SearchBuilder *builder, const SearchProductShape *shape, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(builder->row_context);
	SearchSource source;
	SearchDocument document;
	uint32	   *filters;
	int			nfilters;

	reserve_document(builder);
	read_columns(&builder->documents[builder->ndocuments], shape, slot);
	nfilters = filter_terms(builder, shape, slot, &filters);
	search_product_source(shape, slot, &source);
	search_analyze(builder->analyzer, &source, &document);
	reserve_frequencies(builder, document.ntokens + nfilters);

	builder->place_starts[builder->ndocuments] = builder->places.len;
	builder->starts[builder->ndocuments++] = builder->npostings;
	touch_tokens(builder, &document);
	for (int i = 0; i < nfilters; i++)
		touch(builder, filters[i], NO_WEIGHT);
	flush_frequencies(builder, &document);

	MemoryContextSwitchTo(old);
	MemoryContextReset(builder->row_context);
}

static void
empty_builder(SearchBuilder *builder)
{
	builder->ndocuments = 0;
	builder->npostings = 0;
	builder->part++;
	builder->part_terms = 0;
	resetStringInfo(&builder->places);
	memset(builder->total_length, 0, sizeof(builder->total_length));
}

void
search_builder_restart(SearchBuilder *builder, const SearchStatistics *statistics)
{
	for (uint32 i = 0; i < builder->ntouched; i++)
	{
		builder->frequencies[builder->touched[i]] = 0;
		builder->last_tokens[builder->touched[i]] = 0;
	}
	builder->ntouched = 0;
	MemoryContextReset(builder->row_context);
	empty_builder(builder);
	set_statistics(builder, statistics);
}

void
search_builder_take_sample(SearchBuilder *builder, SearchStatistics *statistics)
{
	statistics->documents = builder->ndocuments;
	for (int i = 0; i < SEARCH_FIELDS; i++)
		statistics->average_length[i] = builder->ndocuments == 0 ? usual_length[i] :
			Max(1.0, builder->total_length[i] / builder->ndocuments);
	builder->statistics = *statistics;
	empty_builder(builder);
}

/* A document's place among the builder's and in the segment's order. */
typedef struct SortedDocument
{
	SearchColumns columns;
	uint32		place;
} SortedDocument;

/* A term that has postings. */
typedef struct SortedTerm
{
	const char *string;
	int			length;
	uint32		number;
} SortedTerm;

static int
compare_terms(const void *a, const void *b)
{
	const SortedTerm *left = a;
	const SortedTerm *right = b;

	return search_compare_strings(left->string, left->length, right->string, right->length);
}

/* The documents in the segment's order. */
static SortedDocument *
sort_documents(SearchBuilder *builder)
{
	SortedDocument *sorted = MemoryContextAllocHuge(CurrentMemoryContext,
													(Size) Max(builder->ndocuments, 1) * sizeof(SortedDocument));

	for (uint32 i = 0; i < builder->ndocuments; i++)
	{
		sorted[i].columns = builder->documents[i];
		sorted[i].place = i;
	}
	qsort(sorted, builder->ndocuments, sizeof(SortedDocument), search_compare_columns);
	return sorted;
}

/* Postings by term: those of term t are [starts[t], starts[t + 1]). */
typedef struct DealtPostings
{
	uint64	   *starts;
	uint32	   *documents;
	uint8	   *impacts;
	uint64	   *place_starts;	/* likewise of their places */
	uint8	   *places;
} DealtPostings;

static void
deal_postings(SearchBuilder *builder, const SortedDocument *sorted, DealtPostings *dealt)
{
	uint32		nterms = search_interned(builder->analyzer);
	uint64	   *next = palloc_extended((nterms + 1) * sizeof(uint64),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	dealt->starts = palloc_extended((nterms + 1) * sizeof(uint64), MCXT_ALLOC_HUGE);
	dealt->documents = palloc_extended(Max(builder->npostings, 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
	dealt->impacts = palloc_extended(Max(builder->npostings, 1), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < builder->npostings; i++)
		next[builder->terms[i] + 1]++;
	for (uint32 i = 0; i < nterms; i++)
		next[i + 1] += next[i];
	memcpy(dealt->starts, next, (nterms + 1) * sizeof(uint64));
	builder->starts[builder->ndocuments] = builder->npostings;
	for (uint32 i = 0; i < builder->ndocuments; i++)
	{
		uint32		place = sorted[i].place;

		for (uint64 j = builder->starts[place]; j < builder->starts[place + 1]; j++)
		{
			uint64		to = next[builder->terms[j]]++;

			dealt->documents[to] = i;
			dealt->impacts[to] = builder->impacts[j];
		}
	}
	pfree(next);
}

/* Find where the places of each term will begin. */
static void
count_places(SearchBuilder *builder, DealtPostings *dealt)
{
	uint32		nterms = search_interned(builder->analyzer);
	const uint8 *at = (const uint8 *) builder->places.data;

	dealt->place_starts = palloc_extended((nterms + 1) * sizeof(uint64),
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint64 i = 0; i < builder->npostings; i++)
	{
		const uint8 *from = at;

		if (!builder->placed[builder->terms[i]])
			continue;
		at = search_places_skip(at);
		dealt->place_starts[builder->terms[i] + 1] += at - from;
	}
	for (uint32 i = 0; i < nterms; i++)
		dealt->place_starts[i + 1] += dealt->place_starts[i];
}

/* Deal the places to their terms, in the order of the documents. */
static void
deal_places(SearchBuilder *builder, const SortedDocument *sorted, DealtPostings *dealt)
{
	Size		size = (search_interned(builder->analyzer) + 1) * sizeof(uint64);
	uint64	   *next = palloc_extended(size, MCXT_ALLOC_HUGE);

	count_places(builder, dealt);
	memcpy(next, dealt->place_starts, size);
	dealt->places = palloc_extended(Max(builder->places.len, 1), MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < builder->ndocuments; i++)
	{
		uint32		place = sorted[i].place;
		const uint8 *at = (const uint8 *) builder->places.data + builder->place_starts[place];

		for (uint64 j = builder->starts[place]; j < builder->starts[place + 1]; j++)
		{
			const uint8 *from = at;

			if (!builder->placed[builder->terms[j]])
				continue;
			at = search_places_skip(at);
			memcpy(dealt->places + next[builder->terms[j]], from, at - from);
			next[builder->terms[j]] += at - from;
		}
	}
	pfree(next);
}

/* The terms that have postings, in the order of their strings. */
static SortedTerm *
sort_terms(SearchBuilder *builder, const DealtPostings *dealt, uint32 *count)
{
	uint32		nterms = search_interned(builder->analyzer);
	SortedTerm *sorted = palloc_extended(Max(nterms, 1) * sizeof(SortedTerm), MCXT_ALLOC_HUGE);

	*count = 0;
	for (uint32 i = 0; i < nterms; i++)
	{
		SortedTerm *term = &sorted[*count];

		if (dealt->starts[i] == dealt->starts[i + 1])
			continue;
		term->number = i;
		term->string = search_term(builder->analyzer, i, &term->length);
		(*count)++;
	}
	qsort(sorted, *count, sizeof(SortedTerm), compare_terms);
	return sorted;
}

/* Hand a term's places to the writer. */
static void
write_places(SearchWriter *writer, const DealtPostings *dealt, uint32 term)
{
	const uint8 *end = dealt->places + dealt->place_starts[term + 1];

	for (const uint8 *at = dealt->places + dealt->place_starts[term]; at < end;
		 at = search_places_skip(at))
		search_writer_add_places(writer, at);
}

/* Hand the sorted terms to the writer. */
static void
write_terms(SearchBuilder *builder, SearchWriter *writer, const DealtPostings *dealt)
{
	uint32		nterms;
	SortedTerm *terms = sort_terms(builder, dealt, &nterms);

	for (uint32 i = 0; i < nterms; i++)
	{
		uint64		start = dealt->starts[terms[i].number];
		uint32		count = dealt->starts[terms[i].number + 1] - start;

		if (search_is_counted_only(terms[i].string))
		{
			search_writer_add_counted(writer, terms[i].string, terms[i].length, count);
			continue;
		}
		search_writer_add(writer, terms[i].string, terms[i].length, dealt->documents + start,
						  dealt->impacts + start, count);
		write_places(writer, dealt, terms[i].number);
	}
	pfree(terms);
}

SearchSegment *
search_builder_finish(SearchBuilder *builder, const pg_uuid_t *killed, uint32 nkilled)
{
	SortedDocument *sorted = sort_documents(builder);
	SearchColumns *columns = MemoryContextAllocHuge(CurrentMemoryContext,
													(Size) Max(builder->ndocuments, 1) * sizeof(SearchColumns));
	DealtPostings dealt;
	SearchWriter *writer;
	SearchSegment *segment;

	reserve_document(builder);
	deal_postings(builder, sorted, &dealt);
	deal_places(builder, sorted, &dealt);
	for (uint32 i = 0; i < builder->ndocuments; i++)
		columns[i] = sorted[i].columns;
	pfree(sorted);
	writer = search_writer_create(columns, builder->ndocuments, &builder->statistics);
	write_terms(builder, writer, &dealt);
	segment = search_writer_finish(writer, killed, nkilled, NULL, 0);
	pfree(columns);
	pfree(dealt.starts);
	pfree(dealt.documents);
	pfree(dealt.impacts);
	pfree(dealt.place_starts);
	pfree(dealt.places);
	empty_builder(builder);
	return segment;
}
