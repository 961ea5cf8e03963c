/*-------------------------------------------------------------------------
 *
 * write.c
 *	  Laying out a segment.
 *
 * The bytes depend on nothing but what is put in, whichever way it came
 * together, so that padlock.search_check() can compare two segments as they
 * lie.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "search/write.h"

struct SearchWriter
{
	const SearchColumns *documents;
	uint32		ndocuments;
	SearchStatistics statistics;
	StringInfoData terms;		/* SearchTermEntry */
	StringInfoData strings;
	StringInfoData postings;
	StringInfoData place_starts;	/* uint64, of each term */
	StringInfoData places;
	SearchSegment *segment;		/* while the segment is put together */
	Size		used;
};

int
search_compare_columns(const void *a, const void *b)
{
	const SearchColumns *left = a;
	const SearchColumns *right = b;

	if (left->popularity != right->popularity)
		return left->popularity > right->popularity ? -1 : 1;
	return search_compare_ids(&left->id, &right->id);
}

SearchWriter *
search_writer_create(const SearchColumns *documents, uint32 ndocuments,
					 const SearchStatistics *statistics)
{
	SearchWriter *writer = palloc0(sizeof(SearchWriter));

	writer->documents = documents;
	writer->ndocuments = ndocuments;
	writer->statistics = *statistics;
	initStringInfo(&writer->terms);
	initStringInfo(&writer->strings);
	initStringInfo(&writer->postings);
	initStringInfo(&writer->place_starts);
	initStringInfo(&writer->places);
	return writer;
}

/* Add a term to the dictionary. */
static void
add_entry(SearchWriter *writer, const char *term, int length, SearchTermEntry *entry)
{
	uint64		start = writer->places.len;

	entry->string = writer->strings.len;
	appendBinaryStringInfo(&writer->strings, term, length);
	appendBinaryStringInfo(&writer->terms, (char *) entry, sizeof(*entry));
	appendBinaryStringInfo(&writer->place_starts, (char *) &start, sizeof(start));
}

void
search_writer_add(SearchWriter *writer, const char *term, int length, const uint32 *documents,
				  const uint8 *impacts, uint32 count)
{
	SearchTermEntry entry = {0};

	search_postings_encode(&writer->postings, &entry, writer->ndocuments, documents, impacts,
						   count);
	add_entry(writer, term, length, &entry);
}

void
search_writer_add_places(SearchWriter *writer, const uint8 *places, Size length)
{
	appendBinaryStringInfo(&writer->places, (const char *) places, length);
}

void
search_writer_add_counted(SearchWriter *writer, const char *term, int length, uint32 frequency)
{
	SearchTermEntry entry = {0};

	entry.frequency = frequency;
	add_entry(writer, term, length, &entry);
}

/* Give a section its place, on an 8-byte boundary; returns it. */
static void *
place_section(SearchWriter *writer, SearchSection section, Size size)
{
	writer->used = TYPEALIGN(8, writer->used);
	writer->segment->sections[section] = writer->used;
	writer->used += size;
	return (char *) writer->segment + writer->segment->sections[section];
}

static void
copy_section(SearchWriter *writer, SearchSection section, const void *data, Size size)
{
	void	   *place = place_section(writer, section, size);

	if (size > 0)
		memcpy(place, data, size);
}

/* The day of a time, from 2000-01-01, within a uint16. */
static uint16
day_of(TimestampTz time)
{
	int64		day = time / USECS_PER_DAY;

	return (uint16) Max(0, Min(day, PG_UINT16_MAX));
}

static void
place_columns(SearchWriter *writer)
{
	uint32		n = writer->ndocuments;
	pg_uuid_t  *ids = place_section(writer, SECTION_IDS, n * sizeof(pg_uuid_t));
	double	   *premiums = place_section(writer, SECTION_PREMIUMS, n * sizeof(double));
	int64	   *created = place_section(writer, SECTION_CREATED, n * sizeof(int64));
	uint16	   *days = place_section(writer, SECTION_DAYS, n * sizeof(uint16));
	uint8	   *popularity = place_section(writer, SECTION_POPULARITY, n);
	uint8	   *minimum_ages = place_section(writer, SECTION_MINIMUM_AGES, n);
	uint8	   *maximum_ages = place_section(writer, SECTION_MAXIMUM_AGES, n);

	for (uint32 i = 0; i < n; i++)
	{
		const SearchColumns *document = &writer->documents[i];

		ids[i] = document->id;
		premiums[i] = document->premium;
		created[i] = document->created;
		days[i] = day_of(document->created);
		popularity[i] = document->popularity;
		minimum_ages[i] = document->minimum_age;
		maximum_ages[i] = document->maximum_age;
	}
}

typedef struct IdAndDocument
{
	pg_uuid_t	id;
	uint32		document;
} IdAndDocument;

static int
compare_id_and_document(const void *a, const void *b)
{
	return search_compare_ids(&((const IdAndDocument *) a)->id, &((const IdAndDocument *) b)->id);
}

static IdAndDocument *
allocate_pairs(uint32 n)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, (Size) Max(n, 1) * sizeof(IdAndDocument));
}

static void
place_by_id(SearchWriter *writer)
{
	uint32		n = writer->ndocuments;
	IdAndDocument *pairs = allocate_pairs(n);
	uint32	   *by_id = place_section(writer, SECTION_BY_ID, n * sizeof(uint32));

	for (uint32 i = 0; i < n; i++)
	{
		pairs[i].id = writer->documents[i].id;
		pairs[i].document = i;
	}
	qsort(pairs, n, sizeof(IdAndDocument), compare_id_and_document);
	for (uint32 i = 0; i < n; i++)
		by_id[i] = pairs[i].document;
	pfree(pairs);
}

static void
place_companies(SearchWriter *writer)
{
	uint32		n = writer->ndocuments;
	IdAndDocument *pairs = allocate_pairs(n);
	uint32	   *company = place_section(writer, SECTION_COMPANY, n * sizeof(uint32));
	uint32		ncompanies = 0;
	pg_uuid_t  *companies;

	for (uint32 i = 0; i < n; i++)
	{
		pairs[i].id = writer->documents[i].company;
		pairs[i].document = i;
	}
	qsort(pairs, n, sizeof(IdAndDocument), compare_id_and_document);
	for (uint32 i = 0; i < n; i++)
	{
		if (i > 0 && search_compare_ids(&pairs[i].id, &pairs[i - 1].id) != 0)
			ncompanies++;
		company[pairs[i].document] = ncompanies;
	}
	writer->segment->ncompanies = n > 0 ? ncompanies + 1 : 0;
	companies = place_section(writer, SECTION_COMPANIES,
							  writer->segment->ncompanies * sizeof(pg_uuid_t));
	for (uint32 i = 0; i < n; i++)
		companies[company[pairs[i].document]] = pairs[i].id;
	pfree(pairs);
}

static int
compare_codes(const void *a, const void *b)
{
	const SearchCode *left = a;
	const SearchCode *right = b;

	if (left->hash != right->hash)
		return left->hash < right->hash ? -1 : 1;
	return left->document < right->document ? -1 : 1;
}

static void
place_codes(SearchWriter *writer)
{
	SearchCode *codes = place_section(writer, SECTION_CODES, 0);
	uint32		ncodes = 0;

	for (uint32 i = 0; i < writer->ndocuments; i++)
	{
		if (writer->documents[i].has_code)
		{
			codes[ncodes].hash = writer->documents[i].code_hash;
			codes[ncodes++].document = i;
		}
	}
	qsort(codes, ncodes, sizeof(SearchCode), compare_codes);
	writer->segment->ncodes = ncodes;
	writer->used += ncodes * sizeof(SearchCode);
}

/* No segment is larger than this; what is too much leaves bytes unused. */
static Size
size_bound(const SearchWriter *writer, uint32 nkilled, uint32 nkills)
{
	Size		document = sizeof(pg_uuid_t) * 2 + sizeof(double) + sizeof(int64) +
		sizeof(uint16) + 3 + sizeof(uint32) * 2 + sizeof(SearchCode);

	return sizeof(SearchSegment) + writer->ndocuments * document + nkilled * sizeof(pg_uuid_t) +
		nkills * sizeof(SearchKill) + writer->terms.len + writer->strings.len +
		writer->postings.len + writer->place_starts.len + writer->places.len +
		SEARCH_POSTINGS_PADDING + SEARCH_SECTIONS * 8 + 64;
}

SearchSegment *
search_writer_finish(SearchWriter *writer, const pg_uuid_t *killed, uint32 nkilled,
					 const SearchKill *kills, uint32 nkills)
{
	Size		bound = size_bound(writer, nkilled, nkills);
	SearchSegment *segment = MemoryContextAllocExtended(CurrentMemoryContext, bound,
														MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	SearchTermEntry end = {0};

	writer->segment = segment;
	writer->used = sizeof(SearchSegment);
	segment->magic = SEARCH_SEGMENT_MAGIC;
	segment->ndocuments = writer->ndocuments;
	segment->nterms = writer->terms.len / sizeof(SearchTermEntry);
	segment->nkilled = nkilled;
	segment->nkills = nkills;
	segment->statistics_documents = writer->statistics.documents;
	memcpy(segment->average_length, writer->statistics.average_length,
		   sizeof(segment->average_length));

	place_columns(writer);
	place_by_id(writer);
	place_companies(writer);
	place_codes(writer);
	copy_section(writer, SECTION_KILLED, killed, nkilled * sizeof(pg_uuid_t));
	copy_section(writer, SECTION_KILLS, kills, nkills * sizeof(SearchKill));
	end.string = writer->strings.len;
	appendBinaryStringInfo(&writer->terms, (char *) &end, sizeof(end));
	copy_section(writer, SECTION_TERMS, writer->terms.data, writer->terms.len);
	copy_section(writer, SECTION_STRINGS, writer->strings.data, writer->strings.len);
	copy_section(writer, SECTION_POSTINGS, writer->postings.data, writer->postings.len);
	copy_section(writer, SECTION_PLACE_STARTS, writer->place_starts.data, writer->place_starts.len);
	copy_section(writer, SECTION_PLACES, writer->places.data, writer->places.len);
	segment->size = TYPEALIGN(8, writer->used + SEARCH_POSTINGS_PADDING);

	pfree(writer->terms.data);
	pfree(writer->strings.data);
	pfree(writer->postings.data);
	pfree(writer->place_starts.data);
	pfree(writer->places.data);
	pfree(writer);
	return segment;
}

uint32
search_code_hash(const char *code, int length)
{
	return hash_bytes((const unsigned char *) code, length);
}
