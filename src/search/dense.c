/*-------------------------------------------------------------------------
 *
 * dense.c
 *	  Reading the postings of terms in many documents.
 *
 * The impacts of a chunk are packed in the order of its documents, for those
 * that have the term alone.  They are spread out again to a byte for each
 * document of the chunk, so that loops over these need no branches and look at
 * many documents at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define SEARCH_X86
#include <immintrin.h>
#endif

#include "port/pg_bitutils.h"

#include "search/bits.h"
#include "search/dense.h"
#include "search/pack.h"

/*
 * Unpack count impacts: eight of them begin at each full byte.  Writes up to 7
 * more than asked for.
 */
static void
unpack(const uint8 *packed, int bits, uint8 minimum, uint32 count, uint8 *impacts)
{
	uint64		mask = search_mask_of(bits);

	for (uint32 i = 0; i < count; i += 8, packed += bits)
	{
		uint64		eight = search_read_bits(packed, 0, PG_UINT64_MAX);

		for (int j = 0; j < 8; j++, eight >>= bits)
			impacts[i + j] = minimum + ((uint32) eight & mask);
	}
}

/* Give each of a chunk's documents its impact, or 0. */
static void
spread(const uint64 *bitmap, const uint8 *unpacked, uint8 *impacts)
{
	memset(impacts, 0, SEARCH_CHUNK);
	for (int i = 0; i < SEARCH_CHUNK; i += 64)
	{
		for (uint64 word = bitmap[i / 64]; word != 0; word &= word - 1)
			impacts[i + pg_rightmost_one_pos64(word)] = *unpacked++;
	}
}

#ifdef SEARCH_X86

#define EIGHT_ONES UINT64CONST(0x0101010101010101)

/* The same where one instruction spreads bits out over bytes, or bytes over others. */
__attribute__((target("bmi2"))) static void
unpack_bmi2(const uint8 *packed, int bits, uint8 minimum, uint32 count, uint8 *impacts)
{
	uint64		mask = EIGHT_ONES * search_mask_of(bits);
	uint64		base = EIGHT_ONES * minimum;

	for (uint32 i = 0; i < count; i += 8, packed += bits)
	{
		uint64		eight = search_read_bits(packed, 0, PG_UINT64_MAX);

		eight = _pdep_u64(eight, mask) + base;
		memcpy(impacts + i, &eight, sizeof(eight));
	}
}

__attribute__((target("bmi2,popcnt"))) static void
spread_bmi2(const uint64 *bitmap, const uint8 *unpacked, uint8 *impacts)
{
	const uint8 *having = (const uint8 *) bitmap;

	for (int i = 0; i < SEARCH_CHUNK / 8; i++)
	{
		uint64		eight = search_read_bits(unpacked, 0, PG_UINT64_MAX);

		eight = _pdep_u64(eight, _pdep_u64(having[i], EIGHT_ONES) * 0xFF);
		memcpy(impacts + i * 8, &eight, sizeof(eight));
		unpacked += __builtin_popcount(having[i]);
	}
}

/* And where one does it to 64 bytes. */
__attribute__((target("avx512f,avx512bw,avx512vbmi2,popcnt"))) static void
spread_avx512(const uint64 *bitmap, const uint8 *unpacked, uint8 *impacts)
{
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
	{
		__m512i		here = _mm512_loadu_si512(unpacked);

		_mm512_storeu_si512(impacts + i * 64, _mm512_maskz_expand_epi8(bitmap[i], here));
		unpacked += __builtin_popcountll(bitmap[i]);
	}
}

#endif							/* SEARCH_X86 */

void
search_dense_impacts(const SearchCursor *cursor, uint32 chunk, uint8 *impacts)
{
	const SearchChunkHeader *header = &cursor->chunks[chunk];
	const uint64 *bitmap = cursor->bitmap + (Size) chunk * SEARCH_CHUNK_WORDS;
	const uint8 *packed = cursor->impacts + header->offset;
	uint32		count = search_count_bits(bitmap, SEARCH_CHUNK_WORDS);
	/* what follows the last impact is read, and not used */
	uint8		unpacked[SEARCH_CHUNK + 64];

#ifdef SEARCH_X86
	if (__builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt"))
	{
		unpack_bmi2(packed, header->impact_bits, header->minimum, count, unpacked);
		if (__builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw"))
			spread_avx512(bitmap, unpacked, impacts);
		else
			spread_bmi2(bitmap, unpacked, impacts);
		return;
	}
#endif
	unpack(packed, header->impact_bits, header->minimum, count, unpacked);
	spread(bitmap, unpacked, impacts);
}

uint32
search_dense_number(SearchCursor *cursor, uint32 chunk, const uint64 *words, uint16 *places,
					uint32 *numbers)
{
	const uint64 *bitmap = cursor->bitmap + (Size) chunk * SEARCH_CHUNK_WORDS;
	uint32		number;
	uint32		count = 0;

	for (; cursor->numbered_chunks < chunk; cursor->numbered_chunks++)
		cursor->numbered += search_count_bits(cursor->bitmap +
											  (Size) cursor->numbered_chunks * SEARCH_CHUNK_WORDS,
											  SEARCH_CHUNK_WORDS);
	number = cursor->numbered;
	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
	{
		for (uint64 word = bitmap[i] & words[i]; word != 0; word &= word - 1)
		{
			places[count] = i * 64 + pg_rightmost_one_pos64(word);
			numbers[count++] = number + pg_popcount64(bitmap[i] & ((word & -word) - 1));
		}
		number += pg_popcount64(bitmap[i]);
	}
	return count;
}

/* A bit for each of 64 impacts that is at least so high. */
SEARCH_VECTORIZED static uint64
bits_of_impacts(const uint8 *impacts, uint8 least)
{
	uint8		high[64];

	for (int i = 0; i < 64; i++)
		high[i] = impacts[i] >= least;
	return search_bits_of_bytes(high);
}

uint32
search_dense_best(const SearchCursor *cursor, uint32 chunk, const uint64 *allowed, uint8 least,
				  uint64 *words, uint16 *places, uint8 *found)
{
	const uint64 *bitmap = cursor->bitmap + (Size) chunk * SEARCH_CHUNK_WORDS;
	uint8		impacts[SEARCH_CHUNK];
	uint32		count = 0;

	for (int i = 0; i < SEARCH_CHUNK_WORDS; i++)
		words[i] = bitmap[i] & allowed[i];
	if (cursor->chunks[chunk].maximum < least)
		return 0;
	search_dense_impacts(cursor, chunk, impacts);
	for (int i = 0; i < SEARCH_CHUNK; i += 64)
	{
		uint64		word = words[i / 64];

		if (word != 0)
			word &= bits_of_impacts(impacts + i, least);
		for (; word != 0; word &= word - 1)
		{
			int			place = i + pg_rightmost_one_pos64(word);

			places[count] = place;
			found[count++] = impacts[place];
		}
	}
	return count;
}
