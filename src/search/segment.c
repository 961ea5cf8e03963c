/*-------------------------------------------------------------------------
 *
 * segment.c
 *	  Look-ups in a segment, and its checksum.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_crc32c.h"

#include "search/segment.h"

/* The checksum of a segment, over everything but the checksum. */
static uint32
checksum_of(const SearchSegment *segment, uint64 size)
{
	Size		after = offsetof(SearchSegment, size);
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, segment, offsetof(SearchSegment, checksum));
	COMP_CRC32C(crc, (const char *) segment + after, size - after);
	FIN_CRC32C(crc);
	return crc;
}

void
search_segment_seal(SearchSegment *segment)
{
	segment->checksum = checksum_of(segment, segment->size);
}

/* Does a segment begin as one of another version of the layout does? */
static bool
is_of_other_version(const SearchSegment *segment)
{
	int			version = segment->magic & 0xFF;

	return (segment->magic & ~0xFF) == SEARCH_SEGMENT_KIND && version >= '1' && version <= '9' &&
		segment->magic != SEARCH_SEGMENT_MAGIC;
}

void
search_segment_check(const SearchSegment *segment, uint64 size)
{
	if (size >= sizeof(SearchSegment) && segment->magic == SEARCH_SEGMENT_MAGIC &&
		segment->size == size && segment->checksum == checksum_of(segment, size))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 size >= sizeof(segment->magic) && is_of_other_version(segment) ?
			 errmsg("the search index was made by another version of padlock") :
			 errmsg("the search index is damaged or was made by another kind of machine"),
			 errhint("Run SELECT padlock.search_rebuild().")));
}

SearchStatistics
search_segment_statistics(const SearchSegment *segment)
{
	SearchStatistics statistics = {segment->statistics_documents};

	memcpy(statistics.average_length, segment->average_length, sizeof(statistics.average_length));
	return statistics;
}

uint32
search_segment_lower_bound(const SearchSegment *segment, const char *term, int length)
{
	uint32		low = 0;
	uint32		high = segment->nterms;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		int			middle_length;
		const char *string = search_segment_string(segment, middle, &middle_length);

		if (search_compare_strings(string, middle_length, term, length) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const SearchTermEntry *
search_segment_find(const SearchSegment *segment, const char *term, int length)
{
	uint32		place = search_segment_lower_bound(segment, term, length);
	int			found_length;
	const char *found;

	if (place == segment->nterms)
		return NULL;
	found = search_segment_string(segment, place, &found_length);
	if (search_compare_strings(found, found_length, term, length) != 0)
		return NULL;
	return SEARCH_SECTION(segment, SECTION_TERMS, SearchTermEntry) + place;
}

int64
search_segment_document(const SearchSegment *segment, const pg_uuid_t *id)
{
	const pg_uuid_t *ids = SEARCH_SECTION(segment, SECTION_IDS, pg_uuid_t);
	uint32		low = 0;
	uint32		high = segment->ndocuments;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		uint32		document = search_segment_by_id(segment, middle);
		int			order = search_compare_ids(&ids[document], id);

		if (order == 0)
			return document;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

int64
search_segment_company(const SearchSegment *segment, const pg_uuid_t *id)
{
	const pg_uuid_t *companies = SEARCH_SECTION(segment, SECTION_COMPANIES, pg_uuid_t);
	uint32		low = 0;
	uint32		high = segment->ncompanies;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		int			order = search_compare_ids(&companies[middle], id);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

uint32
search_segment_bucket(const SearchSegment *segment, uint32 hash)
{
	return (uint32) ((uint64) hash >> (SEARCH_HASH_BITS - segment->bucket_bits));
}

uint32
search_segment_buckets(const SearchSegment *segment)
{
	return UINT32_C(1) << segment->bucket_bits;
}

SearchCode
search_segment_code(const SearchSegment *segment, uint32 bucket, uint32 place)
{
	int			bits = SEARCH_HASH_BITS - segment->bucket_bits;
	SearchCode	code;

	code.hash = (uint32) ((uint64) bucket << bits |
						  search_segment_packed(segment, SECTION_CODE_HASHES, place, bits));
	code.document = (uint32) search_segment_packed(segment, SECTION_CODE_DOCUMENTS, place,
												   segment->document_bits);
	return code;
}

void
search_segment_read_codes(const SearchSegment *segment, SearchCode *codes)
{
	const uint32 *starts = SEARCH_SECTION(segment, SECTION_CODE_STARTS, uint32);

	for (uint32 bucket = 0; bucket < search_segment_buckets(segment); bucket++)
	{
		for (uint32 place = starts[bucket]; place < starts[bucket + 1]; place++)
			codes[place] = search_segment_code(segment, bucket, place);
	}
}
