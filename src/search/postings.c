/*-------------------------------------------------------------------------
 *
 * postings.c
 *	  Writing and reading of postings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "search/postings.h"

/* Compile the loops for newer processors too and choose at load time. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SEARCH_VECTORIZED __attribute__((target_clones("avx2", "popcnt", "default"), optimize("O3")))
#else
#define SEARCH_VECTORIZED
#endif

static int
bits_of(uint32 value)
{
	return value == 0 ? 0 : pg_leftmost_one_pos32(value) + 1;
}

/* A growing run of packed bits. */
typedef struct BitWriter
{
	StringInfo	out;
	uint64		pending;
	int			npending;
} BitWriter;

static void
write_bits(BitWriter *writer, uint32 value, int bits)
{
	writer->pending |= (uint64) value << writer->npending;
	writer->npending += bits;
	while (writer->npending >= 8)
	{
		appendStringInfoCharMacro(writer->out, (char) writer->pending);
		writer->pending >>= 8;
		writer->npending -= 8;
	}
}

static void
finish_bits(BitWriter *writer)
{
	if (writer->npending > 0)
		appendStringInfoCharMacro(writer->out, (char) writer->pending);
	writer->pending = 0;
	writer->npending = 0;
}

/* The value at a bit position; reads up to 8 bytes on from its first. */
static inline uint32
read_bits(const uint8 *packed, uint64 position, uint32 mask)
{
	uint64		word;

	memcpy(&word, packed + (position >> 3), sizeof(word));
	return (uint32) (word >> (position & 7)) & mask;
}

static inline uint32
mask_of(int bits)
{
	return bits == 32 ? 0xffffffff : (1u << bits) - 1;
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
write_impacts(BitWriter *writer, const uint8 *impacts, uint32 count, uint8 minimum, int bits)
{
	for (uint32 i = 0; i < count; i++)
		write_bits(writer, impacts[i] - minimum, bits);
}

static void
encode_block(StringInfo out, const uint32 *documents, const uint8 *impacts, uint32 count)
{
	SearchBlockHeader header = {documents[0], (uint8) (count - 1)};
	BitWriter	writer = {out};
	uint32		widest = 0;
	uint8		maximum;

	for (uint32 i = 1; i < count; i++)
		widest = Max(widest, documents[i] - documents[i - 1] - 1);
	impact_range(impacts, count, &header.minimum, &maximum);
	header.document_bits = bits_of(widest);
	header.impact_bits = bits_of(maximum - header.minimum);
	appendBinaryStringInfo(out, (char *) &header, sizeof(header));
	for (uint32 i = 1; i < count; i++)
		write_bits(&writer, documents[i] - documents[i - 1] - 1, header.document_bits);
	write_impacts(&writer, impacts, count, header.minimum, header.impact_bits);
	finish_bits(&writer);
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
	BitWriter	writer = {&packed};
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
		chunks[chunk].impact_bits = bits_of(chunks[chunk].maximum - chunks[chunk].minimum);
		write_impacts(&writer, impacts + start, i - start, chunks[chunk].minimum,
					  chunks[chunk].impact_bits);
		finish_bits(&writer);
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

void
search_postings_encode(StringInfo out, SearchTermEntry *entry, uint32 ndocuments,
					   const uint32 *documents, const uint8 *impacts, uint32 count)
{
	uint8		minimum;
	uint8		maximum;

	impact_range(impacts, count, &minimum, &maximum);
	entry->maximum = maximum;
	entry->frequency = count;
	entry->dense = (uint64) count * 8 >= ndocuments && ndocuments >= SEARCH_CHUNK;
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
	memcpy(header, block, sizeof(*header));
	return block + sizeof(*header);
}

static inline const uint8 *
block_end(const uint8 *packed, const SearchBlockHeader *header)
{
	uint32		bits = header->count_less_one * header->document_bits +
		(header->count_less_one + 1) * header->impact_bits;

	return packed + (bits + 7) / 8;
}

/* Decode a block; returns the next one. */
SEARCH_VECTORIZED static const uint8 *
decode_block(const uint8 *block, uint32 *documents, uint8 *impacts, int *count)
{
	SearchBlockHeader header;
	const uint8 *packed = read_header(block, &header);
	uint32		mask = mask_of(header.document_bits);
	uint32		document = header.first;
	uint32		n = header.count_less_one + 1;
	uint64		position = 0;

	documents[0] = document;
	for (uint32 i = 1; i < n; i++, position += header.document_bits)
	{
		document += read_bits(packed, position, mask) + 1;
		documents[i] = document;
	}
	mask = mask_of(header.impact_bits);
	for (uint32 i = 0; i < n; i++, position += header.impact_bits)
		impacts[i] = header.minimum + read_bits(packed, position, mask);
	*count = n;
	return block_end(packed, &header);
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
	cursor->next = decode_block(cursor->next, cursor->block_documents, cursor->block_impacts,
								&cursor->count);
	cursor->left -= cursor->count;
	cursor->at = 0;
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
	return cursor->bitmap != NULL ? cursor->chunks[chunk].maximum : cursor->maximum;
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

/* Unpack the impacts of a dense term's chunk, in the order of its documents. */
SEARCH_VECTORIZED static void
unpack_impacts(const uint8 *packed, int bits, uint8 minimum, uint32 count, uint8 *impacts)
{
	uint32		mask = mask_of(bits);

	for (uint32 i = 0; i < count; i++)
		impacts[i] = minimum + read_bits(packed, (uint64) i * bits, mask);
}

/*
 * Visit a dense term's postings of a chunk: their places within it, and
 * their impacts, in arrays of SEARCH_CHUNK.  Returns how many.
 */
static uint32
dense_chunk(const SearchCursor *cursor, uint32 chunk, uint16 *places, uint8 *impacts)
{
	const uint64 *bitmap = cursor->bitmap + (Size) chunk * SEARCH_CHUNK_WORDS;
	const SearchChunkHeader *header = &cursor->chunks[chunk];
	uint32		count = 0;

	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
	{
		for (uint64 word = bitmap[i]; word != 0; word &= word - 1)
			places[count++] = i * 64 + pg_rightmost_one_pos64(word);
	}
	unpack_impacts(cursor->impacts + header->offset, header->impact_bits, header->minimum, count,
				   impacts);
	return count;
}

void
search_cursor_add(SearchCursor *cursor, uint32 chunk, float weight, float *scores, uint8 *counts)
{
	uint32		start = chunk << SEARCH_CHUNK_BITS;
	int			from;
	int			to;

	if (cursor->bitmap != NULL)
	{
		uint16		places[SEARCH_CHUNK];
		uint8		impacts[SEARCH_CHUNK];
		uint32		count = dense_chunk(cursor, chunk, places, impacts);

		for (uint32 i = 0; i < count; i++)
		{
			scores[places[i]] += weight * impacts[i];
			counts[places[i]]++;
		}
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

void
search_cursor_raise(SearchCursor *cursor, uint32 chunk, float weight, float *scores)
{
	uint32		start = chunk << SEARCH_CHUNK_BITS;
	int			from;
	int			to;

	if (cursor->bitmap != NULL)
	{
		uint16		places[SEARCH_CHUNK];
		uint8		impacts[SEARCH_CHUNK];
		uint32		count = dense_chunk(cursor, chunk, places, impacts);

		for (uint32 i = 0; i < count; i++)
			scores[places[i]] = Max(scores[places[i]], weight * impacts[i]);
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
		uint16		places[SEARCH_CHUNK];
		uint32		n = dense_chunk(&cursor, chunk, places, impacts + count);

		for (uint32 i = 0; i < n; i++)
			documents[count + i] = (chunk << SEARCH_CHUNK_BITS) + places[i];
		count += n;
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
	while (next_block(&cursor, PG_UINT32_MAX))
	{
		for (int i = 0; i < cursor.count; i++)
			bitmap[cursor.block_documents[i] / 64] |=
				UINT64CONST(1) << (cursor.block_documents[i] % 64);
	}
}

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

uint64
search_postings_count(const SearchSegment *segment, const SearchTermEntry *entry,
					  const uint64 *bitmap)
{
	SearchCursor cursor;
	uint64		count = 0;

	search_cursor_open(&cursor, segment, entry);
	if (cursor.bitmap != NULL)
		return count_common_bits(cursor.bitmap, bitmap, SEARCH_BITMAP_WORDS(segment->ndocuments));
	while (next_block(&cursor, PG_UINT32_MAX))
	{
		for (int i = 0; i < cursor.count; i++)
			count += bitmap[cursor.block_documents[i] / 64] >> (cursor.block_documents[i] % 64) & 1;
	}
	return count;
}
