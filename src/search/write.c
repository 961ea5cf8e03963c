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

#include <math.h>

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "search/places.h"
#include "search/write.h"

/* A bucket of codes has up to so many bits' worth of them. */
#define BUCKET_BITS 5

struct SearchWriter
{
	const SearchColumns *documents;
	uint32		ndocuments;
	SearchStatistics statistics;
	StringInfoData terms;		/* SearchTermEntry */
	StringInfoData strings;
	StringInfoData postings;
	StringInfoData place_starts;	/* uint32, of each term */
	StringInfoData places;
	SearchPlacesPacker packer;	/* of the term added last */
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
	search_places_start(&writer->packer);
	return writer;
}

/* Add a term to the dictionary. */
static void
add_entry(SearchWriter *writer, const char *term, int length, SearchTermEntry *entry)
{
	uint32		start;

	search_places_finish(&writer->packer, &writer->places);
	start = writer->places.len;
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
search_writer_add_places(SearchWriter *writer, const uint8 *places)
{
	search_places_pack(&writer->packer, &writer->places, places);
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

/* Place a section of packed bits, and free them. */
static void
place_packed(SearchWriter *writer, SearchSection section, SearchBitWriter *packed)
{
	search_finish_bits(packed);
	copy_section(writer, section, packed->out->data, packed->out->len);
	pfree(packed->out->data);
}

/* A premium in hundredths, or -1 when these do not say it exactly. */
static int32
hundredths_of(double premium)
{
	double		hundredths = rint(premium * 100);

	if (!(hundredths >= 0 && hundredths < PG_INT32_MAX) || hundredths / 100 != premium)
		return -1;
	return (int32) hundredths;
}

static void
place_premiums(SearchWriter *writer)
{
	uint32		n = writer->ndocuments;
	bool		exact = true;
	void	   *premiums;

	for (uint32 i = 0; i < n && exact; i++)
		exact = hundredths_of(writer->documents[i].premium) >= 0;
	writer->segment->hundredths = exact;
	premiums = place_section(writer, SECTION_PREMIUMS, n * (exact ? sizeof(int32) : sizeof(double)));
	for (uint32 i = 0; i < n; i++)
	{
		if (exact)
			((int32 *) premiums)[i] = hundredths_of(writer->documents[i].premium);
		else
			((double *) premiums)[i] = writer->documents[i].premium;
	}
}

/* Euclid's. */
static uint64
common_divisor(uint64 a, uint64 b)
{
	while (b != 0)
	{
		uint64		rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* The first time, what all are whole multiples of from it on, and how many bits these take. */
static SearchTimes
measure_times(const SearchWriter *writer)
{
	SearchTimes times = {PG_INT64_MAX};
	int64		last = PG_INT64_MIN;

	for (uint32 i = 0; i < writer->ndocuments; i++)
	{
		times.base = Min(times.base, writer->documents[i].created);
		last = Max(last, writer->documents[i].created);
	}
	for (uint32 i = 0; i < writer->ndocuments && times.unit != 1; i++)
		times.unit = common_divisor((uint64) writer->documents[i].created - (uint64) times.base,
									times.unit);
	if (times.unit > 0)
		times.bits = search_bits_of(((uint64) last - (uint64) times.base) / times.unit);
	return times;
}

static void
place_created(SearchWriter *writer)
{
	SearchTimes times = measure_times(writer);
	StringInfoData bytes;
	SearchBitWriter packed = {&bytes};

	writer->segment->created = times;
	initStringInfo(&bytes);
	for (uint32 i = 0; i < writer->ndocuments; i++)
	{
		int64		created = writer->documents[i].created;

		if (times.bits > SEARCH_PACKED_BITS)
			appendBinaryStringInfo(&bytes, (char *) &created, sizeof(created));
		else if (times.bits > 0)
			search_write_bits(&packed, ((uint64) created - (uint64) times.base) / times.unit, times.bits);
	}
	place_packed(writer, SECTION_CREATED, &packed);
}

static void
place_columns(SearchWriter *writer)
{
	uint32		n = writer->ndocuments;
	pg_uuid_t  *ids = place_section(writer, SECTION_IDS, n * sizeof(pg_uuid_t));
	uint8	   *popularity = place_section(writer, SECTION_POPULARITY, n);
	uint8	   *minimum_ages = place_section(writer, SECTION_MINIMUM_AGES, n);
	uint8	   *maximum_ages = place_section(writer, SECTION_MAXIMUM_AGES, n);
	uint8	   *steps = place_section(writer, SECTION_PREMIUM_STEPS, n);

	for (uint32 i = 0; i < n; i++)
	{
		const SearchColumns *document = &writer->documents[i];

		ids[i] = document->id;
		popularity[i] = document->popularity;
		minimum_ages[i] = document->minimum_age;
		maximum_ages[i] = document->maximum_age;
		steps[i] = search_premium_step(document->premium);
	}
	place_premiums(writer);
	place_created(writer);
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
	StringInfoData bytes;
	SearchBitWriter packed = {&bytes};

	for (uint32 i = 0; i < n; i++)
	{
		pairs[i].id = writer->documents[i].id;
		pairs[i].document = i;
	}
	qsort(pairs, n, sizeof(IdAndDocument), compare_id_and_document);
	initStringInfo(&bytes);
	for (uint32 i = 0; i < n; i++)
		search_write_bits(&packed, pairs[i].document, writer->segment->document_bits);
	place_packed(writer, SECTION_BY_ID, &packed);
	pfree(pairs);
}

/* Place the documents' companies in as few bytes as their number needs. */
static void
place_company_numbers(SearchWriter *writer, const uint32 *numbers)
{
	uint32		n = writer->ndocuments;
	int			bits = search_bits_of(Max(writer->segment->ncompanies, 1) - 1);
	int			bytes = bits <= 8 ? 1 : bits <= 16 ? 2 : 4;
	void	   *place = place_section(writer, SECTION_COMPANY, (Size) n * bytes);

	writer->segment->company_bytes = bytes;
	for (uint32 i = 0; i < n; i++)
	{
		if (bytes == 1)
			((uint8 *) place)[i] = (uint8) numbers[i];
		else if (bytes == 2)
			((uint16 *) place)[i] = (uint16) numbers[i];
		else
			((uint32 *) place)[i] = numbers[i];
	}
}

static void
place_companies(SearchWriter *writer)
{
	uint32		n = writer->ndocuments;
	IdAndDocument *pairs = allocate_pairs(n);
	uint32	   *numbers = palloc_extended(Max(n, 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
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
		numbers[pairs[i].document] = ncompanies;
	}
	writer->segment->ncompanies = n > 0 ? ncompanies + 1 : 0;
	place_company_numbers(writer, numbers);
	companies = place_section(writer, SECTION_COMPANIES,
							  writer->segment->ncompanies * sizeof(pg_uuid_t));
	for (uint32 i = 0; i < n; i++)
		companies[numbers[pairs[i].document]] = pairs[i].id;
	pfree(numbers);
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

/* Place sorted codes: where each bucket of hashes begins, then what it leaves of them. */
static void
place_sorted_codes(SearchWriter *writer, const SearchCode *codes)
{
	SearchSegment *segment = writer->segment;
	uint32	   *starts;
	uint32		at = 0;
	int			bits;
	StringInfoData bytes;
	SearchBitWriter packed = {&bytes};

	segment->bucket_bits = Max(search_bits_of(segment->ncodes) - BUCKET_BITS, 0);
	bits = SEARCH_HASH_BITS - segment->bucket_bits;
	starts = place_section(writer, SECTION_CODE_STARTS,
						   (search_segment_buckets(segment) + 1) * sizeof(uint32));
	for (uint32 bucket = 0; bucket <= search_segment_buckets(segment); bucket++)
	{
		while (at < segment->ncodes && search_segment_bucket(segment, codes[at].hash) < bucket)
			at++;
		starts[bucket] = at;
	}
	initStringInfo(&bytes);
	for (uint32 i = 0; i < segment->ncodes; i++)
		search_write_bits(&packed, codes[i].hash & search_mask_of(bits), bits);
	place_packed(writer, SECTION_CODE_HASHES, &packed);
	initStringInfo(&bytes);
	for (uint32 i = 0; i < segment->ncodes; i++)
		search_write_bits(&packed, codes[i].document, segment->document_bits);
	place_packed(writer, SECTION_CODE_DOCUMENTS, &packed);
}

static void
place_codes(SearchWriter *writer)
{
	SearchCode *codes = palloc_extended(Max(writer->ndocuments, 1) * sizeof(SearchCode), MCXT_ALLOC_HUGE);
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
	place_sorted_codes(writer, codes);
	pfree(codes);
}

/* No segment is larger than this; what is too much leaves bytes unused. */
static Size
size_bound(const SearchWriter *writer, uint32 nkilled, uint32 nkills)
{
	Size		document = sizeof(pg_uuid_t) * 2 + sizeof(double) + sizeof(int64) + 3 +
		sizeof(uint32) * 2 + sizeof(SearchCode) + sizeof(uint32);

	return sizeof(SearchSegment) + writer->ndocuments * document + nkilled * sizeof(pg_uuid_t) +
		nkills * sizeof(SearchKill) + writer->terms.len + writer->strings.len +
		writer->postings.len + writer->place_starts.len + writer->places.len +
		SEARCH_POSTINGS_PADDING + SEARCH_SECTIONS * 8 + 64;
}

SearchSegment *
search_writer_finish(SearchWriter *writer, const pg_uuid_t *killed, uint32 nkilled,
					 const SearchKill *kills, uint32 nkills)
{
	SearchTermEntry end = {0};
	SearchSegment *segment;

	search_places_finish(&writer->packer, &writer->places);
	segment = MemoryContextAllocExtended(CurrentMemoryContext, size_bound(writer, nkilled, nkills),
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	writer->segment = segment;
	writer->used = sizeof(SearchSegment);
	segment->magic = SEARCH_SEGMENT_MAGIC;
	segment->ndocuments = writer->ndocuments;
	segment->nterms = writer->terms.len / sizeof(SearchTermEntry);
	segment->nkilled = nkilled;
	segment->nkills = nkills;
	segment->document_bits = search_bits_of(Max(writer->ndocuments, 1) - 1);
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
	pfree(writer->packer.further.data);
	pfree(writer);
	return segment;
}

uint32
search_code_hash(const char *code, int length)
{
	return hash_bytes((const unsigned char *) code, length);
}
