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

void
search_segment_check(const SearchSegment *segment, uint64 size)
{
	if (size >= sizeof(SearchSegment) && segment->magic == SEARCH_SEGMENT_MAGIC &&
		segment->size == size && segment->checksum == checksum_of(segment, size))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the search index is damaged or was made by another kind of machine"),
			 errhint("Run SELECT padlock.search_rebuild().")));
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
	const uint32 *by_id = SEARCH_SECTION(segment, SECTION_BY_ID, uint32);
	uint32		low = 0;
	uint32		high = segment->ndocuments;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		int			order = search_compare_ids(&ids[by_id[middle]], id);

		if (order == 0)
			return by_id[middle];
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
