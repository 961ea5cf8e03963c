/*-------------------------------------------------------------------------
 *
 * combine.c
 *	  Combining of segments.
 *
 * No text is analysed again: documents are renumbered and postings follow
 * them.  The renumbering keeps each segment's order, so that nothing but a
 * merge is needed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "search/combine.h"
#include "search/places.h"

#define DEAD PG_UINT32_MAX

/* A term with more documents than one in this many is ordered by a map of documents. */
#define SCATTER_RATIO 256

typedef struct Source
{
	const SearchSegment *segment;
	SearchColumns *columns;		/* of each document */
	uint32	   *renumbered;		/* of each document, or DEAD */
	uint32		next_document;
	uint32		next_term;
} Source;

typedef struct Combination
{
	Source	   *sources;
	int			nsources;
	uint32		ndocuments;
	uint32	   *documents;		/* postings of the term at hand, as they came */
	uint8	   *impacts;
	StringInfoData places;		/* bytes of those that have any */
	uint64	   *place_starts;	/* where each one's begin */
	uint32		npostings;
	uint32	   *order;			/* of the postings, by document */
	uint32	   *ordered_documents;
	uint8	   *ordered_impacts;
	uint32	   *decoded_documents;
	uint8	   *decoded_impacts;
	uint16		decoded_places[SEARCH_MAX_PLACES];
	uint32	   *map;			/* posting by document, plus 1; 0 = none */
	uint64	   *pairs;
} Combination;

static bool
is_set(const uint64 *bitmap, uint32 document)
{
	return bitmap[document / 64] >> (document % 64) & 1;
}

static void *
allocate(Size size)
{
	return palloc_extended(Max(size, 8), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* Read a segment's columns back. */
static SearchColumns *
read_segment_columns(const SearchSegment *segment)
{
	const pg_uuid_t *companies = SEARCH_SECTION(segment, SECTION_COMPANIES, pg_uuid_t);
	SearchCode *codes = allocate(segment->ncodes * sizeof(SearchCode));
	SearchColumns *columns = allocate(segment->ndocuments * sizeof(SearchColumns));

	for (uint32 i = 0; i < segment->ndocuments; i++)
	{
		columns[i].id = SEARCH_SECTION(segment, SECTION_IDS, pg_uuid_t)[i];
		columns[i].company = companies[search_segment_company_of(segment, i)];
		columns[i].premium = search_segment_premium(segment, i);
		columns[i].created = search_segment_created(segment, i);
		columns[i].popularity = SEARCH_SECTION(segment, SECTION_POPULARITY, uint8)[i];
		columns[i].minimum_age = SEARCH_SECTION(segment, SECTION_MINIMUM_AGES, uint8)[i];
		columns[i].maximum_age = SEARCH_SECTION(segment, SECTION_MAXIMUM_AGES, uint8)[i];
	}
	search_segment_read_codes(segment, codes);
	for (uint32 i = 0; i < segment->ncodes; i++)
	{
		columns[codes[i].document].has_code = true;
		columns[codes[i].document].code_hash = codes[i].hash;
	}
	pfree(codes);
	return columns;
}

/* Start on a segment: every document dead or, for now, 0. */
static uint32
open_source(Source *source, const SearchInput *input)
{
	uint32		living = 0;

	source->segment = input->segment;
	source->columns = read_segment_columns(input->segment);
	source->renumbered = allocate(input->segment->ndocuments * sizeof(uint32));
	for (uint32 i = 0; i < input->segment->ndocuments; i++)
	{
		if (is_set(input->live, i))
			living++;
		else
			source->renumbered[i] = DEAD;
	}
	return living;
}

/* The next living document of a source, or NULL. */
static const SearchColumns *
next_column(Source *source)
{
	while (source->next_document < source->segment->ndocuments &&
		   source->renumbered[source->next_document] == DEAD)
		source->next_document++;
	return source->next_document < source->segment->ndocuments
		? &source->columns[source->next_document] : NULL;
}

/* Merge the documents into their new order; numbers them. */
static void
merge_documents(Combination *combination, SearchColumns *merged)
{
	for (uint32 number = 0; number < combination->ndocuments; number++)
	{
		const SearchColumns *first = NULL;
		Source	   *from = NULL;

		for (int i = 0; i < combination->nsources; i++)
		{
			const SearchColumns *next = next_column(&combination->sources[i]);

			if (next != NULL && (first == NULL || search_compare_columns(next, first) < 0))
			{
				first = next;
				from = &combination->sources[i];
			}
		}
		merged[number] = *first;
		from->renumbered[from->next_document++] = number;
		if (number % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
	}
}

/* The smallest string any source comes to next; false at the end. */
static bool
next_string(const Combination *combination, const char **string, int *length)
{
	*string = NULL;
	for (int i = 0; i < combination->nsources; i++)
	{
		const Source *source = &combination->sources[i];
		const char *candidate;
		int			candidate_length;

		if (source->next_term >= source->segment->nterms)
			continue;
		candidate = search_segment_string(source->segment, source->next_term, &candidate_length);
		if (*string == NULL ||
			search_compare_strings(candidate, candidate_length, *string, *length) < 0)
		{
			*string = candidate;
			*length = candidate_length;
		}
	}
	return *string != NULL;
}

/* Add the places of a source's posting to those of the term at hand. */
static void
collect_places(Combination *combination, SearchPlaceCursor *cursor, uint32 posting)
{
	int			count = search_places_read(cursor, posting, combination->decoded_places);

	combination->place_starts[combination->npostings] = combination->places.len;
	search_places_encode(&combination->places, combination->decoded_places, count);
}

/* Add a source's postings of its next term to those of the term at hand. */
static void
collect_postings(Combination *combination, Source *source, bool has_places)
{
	const SearchTermEntry *entry =
		SEARCH_SECTION(source->segment, SECTION_TERMS, SearchTermEntry) + source->next_term;
	uint32		count = search_postings_decode(source->segment, entry,
											   combination->decoded_documents,
											   combination->decoded_impacts);
	SearchPlaceCursor cursor;

	if (has_places)
		search_places_open(&cursor, source->segment, entry);
	for (uint32 i = 0; i < count; i++)
	{
		uint32		document = source->renumbered[combination->decoded_documents[i]];

		if (document == DEAD)
			continue;
		if (has_places)
			collect_places(combination, &cursor, i);
		combination->documents[combination->npostings] = document;
		combination->impacts[combination->npostings++] = combination->decoded_impacts[i];
	}
}

/* Order many postings: lay them out by document, then read them off. */
static void
order_by_map(Combination *combination)
{
	uint32		n = 0;

	for (uint32 i = 0; i < combination->npostings; i++)
		combination->map[combination->documents[i]] = i + 1;
	for (uint32 i = 0; i < combination->ndocuments; i++)
	{
		if (combination->map[i] != 0)
			combination->order[n++] = combination->map[i] - 1;
	}
	memset(combination->map, 0, combination->ndocuments * sizeof(uint32));
}

static int
compare_pairs(const void *a, const void *b)
{
	uint64		left = *(const uint64 *) a;
	uint64		right = *(const uint64 *) b;

	return (left > right) - (left < right);
}

/* Order few postings: sort them. */
static void
order_by_sort(Combination *combination)
{
	for (uint32 i = 0; i < combination->npostings; i++)
		combination->pairs[i] = (uint64) combination->documents[i] << 32 | i;
	qsort(combination->pairs, combination->npostings, sizeof(uint64), compare_pairs);
	for (uint32 i = 0; i < combination->npostings; i++)
		combination->order[i] = (uint32) combination->pairs[i];
}

/* Find the order of the postings, which are those of a number of sources. */
static void
order_postings(Combination *combination, int nsources)
{
	if (nsources == 1)
	{
		for (uint32 i = 0; i < combination->npostings; i++)
			combination->order[i] = i;
	}
	else if ((uint64) combination->npostings * SCATTER_RATIO >= combination->ndocuments)
		order_by_map(combination);
	else
		order_by_sort(combination);
}

/* Hand the ordered postings to the writer. */
static void
write_term(Combination *combination, SearchWriter *writer, const char *string, int length)
{
	for (uint32 i = 0; i < combination->npostings; i++)
	{
		combination->ordered_documents[i] = combination->documents[combination->order[i]];
		combination->ordered_impacts[i] = combination->impacts[combination->order[i]];
	}
	search_writer_add(writer, string, length, combination->ordered_documents,
					  combination->ordered_impacts, combination->npostings);
	if (!search_has_places(string))
		return;
	for (uint32 i = 0; i < combination->npostings; i++)
		search_writer_add_places(writer, (const uint8 *) combination->places.data +
								 combination->place_starts[combination->order[i]]);
}

/* Is a string the next of a source? */
static bool
is_next(const Source *source, const char *string, int length)
{
	const char *next;
	int			next_length;

	if (source->next_term >= source->segment->nterms)
		return false;
	next = search_segment_string(source->segment, source->next_term, &next_length);
	return search_compare_strings(next, next_length, string, length) == 0;
}

/* Merge a term of the sources, from each whose next term it is. */
static void
merge_term(Combination *combination, SearchWriter *writer, const char *string, int length)
{
	bool		counted_only = search_is_counted_only(string);
	uint32		frequency = 0;
	int			found = 0;

	combination->npostings = 0;
	resetStringInfo(&combination->places);
	for (int i = 0; i < combination->nsources; i++)
	{
		Source	   *source = &combination->sources[i];

		if (!is_next(source, string, length))
			continue;
		if (counted_only)
			frequency += SEARCH_SECTION(source->segment, SECTION_TERMS,
										SearchTermEntry)[source->next_term].frequency;
		else
			collect_postings(combination, source, search_has_places(string));
		source->next_term++;
		found++;
	}
	if (counted_only)
		search_writer_add_counted(writer, string, length, frequency);
	if (combination->npostings == 0)
		return;
	order_postings(combination, found);
	write_term(combination, writer, string, length);
}

/* Merge the dictionaries, and the postings of each term. */
static void
merge_terms(Combination *combination, SearchWriter *writer)
{
	const char *string;
	int			length;

	while (next_string(combination, &string, &length))
	{
		merge_term(combination, writer, string, length);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Memory for the largest term there can be. */
static void
allocate_postings(Combination *combination)
{
	uint32		largest = 0;
	uint32		total = 0;

	for (int i = 0; i < combination->nsources; i++)
	{
		largest = Max(largest, combination->sources[i].segment->ndocuments);
		total += combination->sources[i].segment->ndocuments;
	}
	combination->decoded_documents = allocate((Size) largest * sizeof(uint32));
	combination->decoded_impacts = allocate(largest);
	combination->documents = allocate((Size) total * sizeof(uint32));
	combination->impacts = allocate(total);
	combination->place_starts = allocate((Size) total * sizeof(uint64));
	initStringInfo(&combination->places);
	combination->order = allocate((Size) total * sizeof(uint32));
	combination->ordered_documents = allocate((Size) total * sizeof(uint32));
	combination->ordered_impacts = allocate(total);
	combination->map = allocate((Size) combination->ndocuments * sizeof(uint32));
	combination->pairs = allocate(((Size) combination->ndocuments / SCATTER_RATIO + 1) * sizeof(uint64));
}

SearchSegment *
search_combine(const SearchInput *inputs, int ninputs, const SearchStatistics *statistics,
			   const pg_uuid_t *killed, uint32 nkilled, const SearchKill *kills, uint32 nkills)
{
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(result_context, "padlock search combination",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Combination combination = {.nsources = ninputs};
	SearchColumns *merged;
	SearchWriter *writer;
	SearchSegment *segment;

	combination.sources = allocate(ninputs * sizeof(Source));
	for (int i = 0; i < ninputs; i++)
		combination.ndocuments += open_source(&combination.sources[i], &inputs[i]);
	merged = allocate((Size) combination.ndocuments * sizeof(SearchColumns));
	merge_documents(&combination, merged);
	allocate_postings(&combination);
	writer = search_writer_create(merged, combination.ndocuments, statistics);
	merge_terms(&combination, writer);
	MemoryContextSwitchTo(result_context);
	segment = search_writer_finish(writer, killed, nkilled, kills, nkills);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return segment;
}
