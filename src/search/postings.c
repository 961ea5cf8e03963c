/*-------------------------------------------------------------------------
 *
 * postings.c
 *	  Writing and reading of postings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "search/bits.h"
#include "search/dense.h"
#include "search/pack.h"
#include "search/postings.h"

/*
 * A term in at least one of so many documents has a bitmap; filter values,
 * whose impacts are all the same, take less room and are read whole more often.
 */
#define DENSE_SHARE			8
#define DENSE_SAME_SHARE	32

SEARCH_VECTORIZED static uint64
count_common_bits(const uint64 *a, const uint64 *b, Size nwords)
{
	uint64		count = 0;

	for (Size i = 0; i < nwords; i++)
		count += __builtin_popcountll(a[i] & b[i]);
	return count;
}

uint64
search_count_bits(const uint64 *words, Size nwords)
{
	return count_common_bits(words, words, nwords);
}

/* The range of impacts[0 .. count - 1]. */
static void
impact_range(const uint8 *impacts, uint32 count, uint8 *minimum, uint8 *maximum)
{
	*minimum = 255;
	*maximum = 0;
	for (uint32 i = 0; i < count; i++)
	{
		*minimum = Min(*minimum, impacts[i]);
		*maximum = Max(*maximum, impacts[i]);
	}
}

static void
write_impacts(SearchBitWriter *writer, const uint8 *impacts, uint32 count, uint8 minimum, int bits)
{
	for (uint32 i = 0; i < count; i++)
		search_write_bits(writer, impacts[i] - minimum, bits);
}

/* How far a document of a block lies behind the one before, less one. */
static inline uint32
distance_of(const uint32 *documents, uint32 i)
{
	return documents[i] - documents[i - 1] - 1;
}

/* What the high bits of a block's distances add up to. */
static uint32
sum_highs(const uint32 *documents, uint32 count, int low_bits)
{
	uint32		sum = 0;

	for (uint32 i = 1; i < count; i++)
		sum += distance_of(documents, i) >> low_bits;
	return sum;
}

/* How many low bits make the code of a block's documents shortest; *high_sum fits a byte. */
static int
choose_low_bits(const uint32 *documents, uint32 count, uint32 *high_sum)
{
	int			bits = Max(search_bits_of((documents[count - 1] - documents[0]) / count) - 2, 0);

	*high_sum = sum_highs(documents, count, bits);
	while (*high_sum > 0)
	{
		uint32		next = sum_highs(documents, count, bits + 1);

		if (*high_sum <= PG_UINT8_MAX && *high_sum - next <= count - 1)
			break;
		*high_sum = next;
		bits++;
	}
	return bits;
}

static void
write_header(StringInfo out, const SearchBlockHeader *header)
{
	appendBinaryStringInfo(out, (const char *) &header->first, sizeof(header->first));
	appendStringInfoCharMacro(out, (char) header->high_sum);
	appendStringInfoCharMacro(out, (char) header->minimum);
	appendStringInfoCharMacro(out, (char) (header->low_bits | header->impact_bits << 5));
}

static void
write_distances(SearchBitWriter *writer, const uint32 *documents, uint32 count, int low_bits)
{
	for (uint32 i = 1; i < count; i++)
		search_write_bits(writer, distance_of(documents, i) & search_mask_of(low_bits), low_bits);
	for (uint32 i = 1; i < count; i++)
	{
		for (uint32 zeros = distance_of(documents, i) >> low_bits; zeros > 0; zeros--)
			search_write_bits(writer, 0, 1);
		search_write_bits(writer, 1, 1);
	}
}

static void
encode_block(StringInfo out, const uint32 *documents, const uint8 *impacts, uint32 count)
{
	SearchBlockHeader header = {documents[0]};
	SearchBitWriter writer = {out};
	uint32		high_sum;
	uint8		maximum;

	impact_range(impacts, count, &header.minimum, &maximum);
	header.low_bits = choose_low_bits(documents, count, &high_sum);
	header.high_sum = high_sum;
	header.impact_bits = search_bits_of(maximum - header.minimum);
	write_header(out, &header);
	write_distances(&writer, documents, count, header.low_bits);
	write_impacts(&writer, impacts, count, header.minimum, header.impact_bits);
	search_finish_bits(&writer);
}

static void
encode_dense(StringInfo out, uint32 ndocuments, const uint32 *documents, const uint8 *impacts,
			 uint32 count)
{
	uint32		nchunks = SEARCH_CHUNKS(ndocuments);
	Size		nwords = SEARCH_BITMAP_WORDS(ndocuments);
	uint64	   *bitmap = palloc0(nwords * sizeof(uint64));
	SearchChunkHeader *chunks = palloc0(nchunks * sizeof(SearchChunkHeader));
	StringInfoData packed;
	SearchBitWriter	writer = {&packed};
	uint32		i = 0;

	initStringInfo(&packed);
	for (uint32 chunk = 0; chunk < nchunks; chunk++)
	{
		uint32		start = i;

		for (; i < count && documents[i] >> SEARCH_CHUNK_BITS == chunk; i++)
			bitmap[documents[i] / 64] |= UINT64CONST(1) << (documents[i] % 64);
		chunks[chunk].offset = packed.len;
		if (i == start)
			continue;
		impact_range(impacts + start, i - start, &chunks[chunk].minimum, &chunks[chunk].maximum);
		chunks[chunk].impact_bits = search_bits_of(chunks[chunk].maximum - chunks[chunk].minimum);
		write_impacts(&writer, impacts + start, i - start, chunks[chunk].minimum,
					  chunks[chunk].impact_bits);
		search_finish_bits(&writer);
	}
	while (out->len % sizeof(uint64) != 0)
		appendStringInfoCharMacro(out, '\0');
	appendBinaryStringInfo(out, (char *) bitmap, nwords * sizeof(uint64));
	appendBinaryStringInfo(out, (char *) chunks, nchunks * sizeof(SearchChunkHeader));
	appendBinaryStringInfo(out, packed.data, packed.len);
	pfree(packed.data);
	pfree(chunks);
	pfree(bitmap);
}

/* Is a term in so many documents that a bitmap reads faster than blocks, for little more room? */
static bool
is_dense(uint32 ndocuments, uint32 count, bool same_impacts)
{
	uint64		share = same_impacts ? DENSE_SAME_SHARE : DENSE_SHARE;

	return count * share >= ndocuments && ndocuments >= SEARCH_CHUNK;
}

void
search_postings_encode(StringInfo out, SearchTermEntry *entry, uint32 ndocuments,
					   const uint32 *documents, const uint8 *impacts, uint32 count)
{
	uint8		minimum;
	uint8		maximum;

	impact_range(impacts, count, &minimum, &maximum);
	entry->maximum = maximum;
	entry->frequency = count;
	entry->dense = is_dense(ndocuments, count, minimum == maximum);
	if (entry->dense)
	{
		entry->postings = TYPEALIGN(sizeof(uint64), out->len);
		encode_dense(out, ndocuments, documents, impacts, count);
		return;
	}
	entry->postings = out->len;
	for (uint32 i = 0; i < count; i += SEARCH_BLOCK)
		encode_block(out, documents + i, impacts + i, Min(count - i, SEARCH_BLOCK));
}

/* Read a block's header; returns where its packed bits begin. */
static inline const uint8 *
read_header(const uint8 *block, SearchBlockHeader *header)
{
	memcpy(&header->first, block, sizeof(header->first));
	header->high_sum = block[4];
	header->minimum = block[5];
	header->low_bits = block[6] & 31;
	header->impact_bits = block[6] >> 5;
	return block + SEARCH_BLOCK_HEADER;
}

/* Decode the n documents of a block; returns how many bits of it they take. */
static pg_attribute_always_inline uint64
decode_documents(const SearchBlockHeader *header, const uint8 *packed, uint32 n, uint32 *documents)
{
	int			bits = header->low_bits;
	uint64		mask = search_mask_of(bits);
	uint64		low = 0;
	uint64		highs = (uint64) (n - 1) * bits;
	uint32		document = header->first;
	int			behind = -1;	/* the last one, from the bits at hand on */

	documents[0] = document;
	for (uint32 i = 1; i < n; highs += SEARCH_PACKED_BITS, behind -= SEARCH_PACKED_BITS)
	{
		uint64		word = search_read_bits(packed, highs, search_mask_of(SEARCH_PACKED_BITS));

		for (; word != 0 && i < n; word &= word - 1, low += bits)
		{
			int			one = pg_rightmost_one_pos64(word);

			document += ((uint32) (one - behind - 1) << bits |
						 (uint32) search_read_bits(packed, low, mask)) + 1;
			behind = one;
			documents[i++] = document;
		}
	}
	return (uint64) (n - 1) * (bits + 1) + header->high_sum;
}

/* Decode a block of n postings; impacts: NULL, or where they go; returns the next one. */
SEARCH_VECTORIZED static const uint8 *
decode_block(const uint8 *block, uint32 n, uint32 *documents, uint8 *impacts)
{
	SearchBlockHeader header;
	const uint8 *packed = read_header(block, &header);
	uint64		position = decode_documents(&header, packed, n, documents);
	const uint8 *next = packed + (position + n * header.impact_bits + 7) / 8;
	uint64		mask = search_mask_of(header.impact_bits);

	for (uint32 i = 0; i < n && impacts != NULL; i++, position += header.impact_bits)
		impacts[i] = header.minimum + search_read_bits(packed, position, mask);
	return next;
}

static const uint8 *
postings_of(const SearchSegment *segment, const SearchTermEntry *entry)
{
	return SEARCH_SECTION(segment, SECTION_POSTINGS, uint8) + entry->postings;
}

void
search_cursor_open(SearchCursor *cursor, const SearchSegment *segment,
				   const SearchTermEntry *entry)
{
	const uint8 *postings = postings_of(segment, entry);

	cursor->maximum = entry->maximum;
	cursor->at = cursor->count = 0;
	cursor->total = entry->frequency;
	cursor->numbered_chunks = cursor->numbered = 0;
	if (entry->dense)
	{
		cursor->bitmap = (const uint64 *) postings;
		cursor->chunks = (const SearchChunkHeader *)
			(cursor->bitmap + SEARCH_BITMAP_WORDS(segment->ndocuments));
		cursor->impacts = (const uint8 *) (cursor->chunks + SEARCH_CHUNKS(segment->ndocuments));
		cursor->left = 0;
		return;
	}
	cursor->bitmap = NULL;
	cursor->next = postings;
	cursor->left = entry->frequency;
}

/* Decode the next block of the walk if it begins before a document. */
static inline bool
next_block(SearchCursor *cursor, uint32 end)
{
	uint32		first;

	if (cursor->left == 0)
		return false;
	memcpy(&first, cursor->next, sizeof(first));
	if (first >= end)
		return false;
	cursor->count = Min(cursor->left, SEARCH_BLOCK);
	cursor->next = decode_block(cursor->next, cursor->count, cursor->block_documents,
								cursor->block_impacts);
	cursor->left -= cursor->count;
	cursor->at = 0;
	return true;
}

/* Decode the next block's documents alone. */
static inline bool
next_documents(SearchCursor *cursor)
{
	if (cursor->left == 0)
		return false;
	cursor->count = Min(cursor->left, SEARCH_BLOCK);
	cursor->next = decode_block(cursor->next, cursor->count, cursor->block_documents, NULL);
	cursor->left -= cursor->count;
	return true;
}

/*
 * The run of decoded postings, [*from, *to), that lies before the document
 * `end`; false when there is none.  Postings before `start` are passed over.
 */
static inline bool
next_run(SearchCursor *cursor, uint32 start, uint32 end, int *from, int *to)
{
	for (;;)
	{
		if (cursor->at == cursor->count && !next_block(cursor, end))
			return false;
		while (cursor->at < cursor->count && cursor->block_documents[cursor->at] < start)
			cursor->at++;
		if (cursor->at == cursor->count)
			continue;
		if (cursor->block_documents[cursor->at] >= end)
			return false;
		*from = cursor->at;
		if (cursor->block_documents[cursor->count - 1] < end)
			*to = cursor->count;
		else
			for (*to = *from + 1; cursor->block_documents[*to] < end; (*to)++)
				 /* find the end of the run */ ;
		cursor->at = *to;
		return true;
	}
}

uint8
search_cursor_bound(SearchCursor *cursor, uint32 chunk)
{
	uint32		end = (chunk + 1) << SEARCH_CHUNK_BITS;
	uint32		first;

	if (cursor->bitmap != NULL)
		return cursor->chunks[chunk].maximum;
	if (cursor->at < cursor->count && cursor->block_documents[cursor->at] < end)
		return cursor->maximum;
	if (cursor->left == 0)
		return 0;
	memcpy(&first, cursor->next, sizeof(first));
	return first < end ? cursor->maximum : 0;
}

void
search_cursor_foresee(SearchCursor *cursor, uint32 chunk, uint64 *words)
{
	SearchCursor copy;
	int			from;
	int			to;

	if (cursor->bitmap != NULL)
	{
		memcpy(words, cursor->bitmap + (Size) chunk * SEARCH_CHUNK_WORDS,
			   SEARCH_CHUNK_WORDS * sizeof(uint64));
		return;
	}
	while (next_run(cursor, 0, chunk << SEARCH_CHUNK_BITS, &from, &to))
		 /* pass over what a copy would decode for each chunk again */ ;
	copy = *cursor;
	memset(words, 0, SEARCH_CHUNK_WORDS * sizeof(uint64));
	search_cursor_mark(&copy, chunk, words);
}

void
search_cursor_mark(SearchCursor *cursor, uint32 chunk, uint64 *words)
{
	uint32		start = chunk << SEARCH_CHUNK_BITS;
	int			from;
	int			to;

	if (cursor->bitmap != NULL)
	{
		const uint64 *bitmap = cursor->bitmap + (Size) chunk * SEARCH_CHUNK_WORDS;

		for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
			words[i] |= bitmap[i];
		return;
	}
	while (next_run(cursor, start, start + SEARCH_CHUNK, &from, &to))
	{
		for (int i = from; i < to; i++)
		{
			uint32		place = cursor->block_documents[i] - start;

			words[place / 64] |= UINT64CONST(1) << (place % 64);
		}
	}
}

uint32
search_cursor_number(SearchCursor *cursor, uint32 chunk, const uint64 *words, uint16 *places,
					 uint32 *numbers)
{
	uint32		start = chunk << SEARCH_CHUNK_BITS;
	uint32		count = 0;
	int			from;
	int			to;

	if (cursor->bitmap != NULL)
		return search_dense_number(cursor, chunk, words, places, numbers);
	while (next_run(cursor, start, start + SEARCH_CHUNK, &from, &to))
	{
		uint32		first = cursor->total - cursor->left - cursor->count;

		for (int i = from; i < to; i++)
		{
			uint32		place = cursor->block_documents[i] - start;

			if ((words[place / 64] >> (place % 64) & 1) == 0)
				continue;
			places[count] = place;
			numbers[count++] = first + i;
		}
	}
	return count;
}

uint32
search_cursor_best(SearchCursor *cursor, uint32 chunk, const uint64 *allowed, uint8 least,
				   uint64 *words, uint16 *places, uint8 *found)
{
	uint32		start = chunk << SEARCH_CHUNK_BITS;
	uint32		count = 0;
	int			from;
	int			to;

	if (cursor->bitmap != NULL)
		return search_dense_best(cursor, chunk, allowed, least, words, places, found);
	memset(words, 0, SEARCH_CHUNK_WORDS * sizeof(uint64));
	while (next_run(cursor, start, start + SEARCH_CHUNK, &from, &to))
	{
		for (int i = from; i < to; i++)
		{
			uint32		place = cursor->block_documents[i] - start;
			uint64		bit = UINT64CONST(1) << (place % 64) & allowed[place / 64];

			words[place / 64] |= bit;
			if (bit == 0 || cursor->block_impacts[i] < least)
				continue;
			places[count] = place;
			found[count++] = cursor->block_impacts[i];
		}
	}
	return count;
}

/* Add to the scores of a chunk, and to the counts, by impacts that may be 0. */
SEARCH_VECTORIZED static void
add_impacts(const uint8 *restrict impacts, float weight, float *restrict scores,
			uint8 *restrict counts)
{
	for (int i = 0; i < SEARCH_CHUNK; i++)
		scores[i] += weight * impacts[i];
	for (int i = 0; i < SEARCH_CHUNK; i++)
		counts[i] += impacts[i] != 0;
}

void
search_cursor_add(SearchCursor *cursor, uint32 chunk, float weight, float *scores, uint8 *counts)
{
	uint32		start = chunk << SEARCH_CHUNK_BITS;
	int			from;
	int			to;

	if (cursor->bitmap != NULL)
	{
		uint8		impacts[SEARCH_CHUNK];

		search_dense_impacts(cursor, chunk, impacts);
		add_impacts(impacts, weight, scores, counts);
		return;
	}
	while (next_run(cursor, start, start + SEARCH_CHUNK, &from, &to))
	{
		for (int i = from; i < to; i++)
		{
			uint32		place = cursor->block_documents[i] - start;

			scores[place] += weight * cursor->block_impacts[i];
			counts[place]++;
		}
	}
}

/* Raise the scores of a chunk by impacts that may be 0. */
SEARCH_VECTORIZED static void
raise_by_impacts(const uint8 *restrict impacts, float weight, float *restrict scores)
{
	for (int i = 0; i < SEARCH_CHUNK; i++)
	{
		float		score = weight * impacts[i];

		scores[i] = scores[i] < score ? score : scores[i];
	}
}

void
search_cursor_raise(SearchCursor *cursor, uint32 chunk, float weight, float *scores)
{
	uint32		start = chunk << SEARCH_CHUNK_BITS;
	int			from;
	int			to;

	if (cursor->bitmap != NULL)
	{
		uint8		impacts[SEARCH_CHUNK];

		search_dense_impacts(cursor, chunk, impacts);
		raise_by_impacts(impacts, weight, scores);
		return;
	}
	while (next_run(cursor, start, start + SEARCH_CHUNK, &from, &to))
	{
		for (int i = from; i < to; i++)
		{
			uint32		place = cursor->block_documents[i] - start;

			scores[place] = Max(scores[place], weight * cursor->block_impacts[i]);
		}
	}
}

uint32
search_postings_decode(const SearchSegment *segment, const SearchTermEntry *entry,
					   uint32 *documents, uint8 *impacts)
{
	SearchCursor cursor;
	uint32		count = 0;

	search_cursor_open(&cursor, segment, entry);
	if (cursor.bitmap == NULL)
	{
		while (next_block(&cursor, PG_UINT32_MAX))
		{
			memcpy(documents + count, cursor.block_documents, cursor.count * sizeof(uint32));
			memcpy(impacts + count, cursor.block_impacts, cursor.count);
			count += cursor.count;
		}
		return count;
	}
	for (uint32 chunk = 0; chunk < SEARCH_CHUNKS(segment->ndocuments); chunk++)
	{
		const uint64 *bitmap = cursor.bitmap + (Size) chunk * SEARCH_CHUNK_WORDS;
		uint8		chunk_impacts[SEARCH_CHUNK];

		search_dense_impacts(&cursor, chunk, chunk_impacts);
		for (uint32 i = 0; i < SEARCH_CHUNK; i += 64)
		{
			for (uint64 word = bitmap[i / 64]; word != 0; word &= word - 1)
			{
				uint32		place = i + pg_rightmost_one_pos64(word);

				documents[count] = (chunk << SEARCH_CHUNK_BITS) + place;
				impacts[count++] = chunk_impacts[place];
			}
		}
	}
	return count;
}

void
search_postings_mark(const SearchSegment *segment, const SearchTermEntry *entry, uint64 *bitmap)
{
	SearchCursor cursor;

	search_cursor_open(&cursor, segment, entry);
	if (cursor.bitmap != NULL)
	{
		for (Size i = 0; i < SEARCH_BITMAP_WORDS(segment->ndocuments); i++)
			bitmap[i] |= cursor.bitmap[i];
		return;
	}
	while (next_documents(&cursor))
	{
		for (int i = 0; i < cursor.count; i++)
			bitmap[cursor.block_documents[i] / 64] |=
				UINT64CONST(1) << (cursor.block_documents[i] % 64);
	}
}

uint64
search_postings_count(const SearchSegment *segment, const SearchTermEntry *entry,
					  const uint64 *bitmap)
{
	SearchCursor cursor;
	uint64		count = 0;

	search_cursor_open(&cursor, segment, entry);
	if (cursor.bitmap != NULL)
		return count_common_bits(cursor.bitmap, bitmap, SEARCH_BITMAP_WORDS(segment->ndocuments));
	while (next_documents(&cursor))
	{
		for (int i = 0; i < cursor.count; i++)
			count += bitmap[cursor.block_documents[i] / 64] >> (cursor.block_documents[i] % 64) & 1;
	}
	return count;
}

bool
search_postings_meet(const SearchSegment *segment, const SearchTermEntry *entry,
					 const uint64 *bitmap)
{
	SearchCursor cursor;

	search_cursor_open(&cursor, segment, entry);
	for (Size i = 0; cursor.bitmap != NULL && i < SEARCH_BITMAP_WORDS(segment->ndocuments); i++)
	{
		if ((cursor.bitmap[i] & bitmap[i]) != 0)
			return true;
	}
	while (next_documents(&cursor))
	{
		for (int i = 0; i < cursor.count; i++)
		{
			if (bitmap[cursor.block_documents[i] / 64] >> (cursor.block_documents[i] % 64) & 1)
				return true;
		}
	}
	return false;
}
