/*-------------------------------------------------------------------------
 *
 * bits.h
 *	  From 64 bytes to 64 bits: how loops without branches give their answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_BITS_H
#define PADLOCK_SEARCH_BITS_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "port/pg_bswap.h"

/* Compile a loop for newer processors too and choose at load time. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SEARCH_VECTORIZED __attribute__((target_clones("avx2", "popcnt", "default"), optimize("O3")))
#else
#define SEARCH_VECTORIZED
#endif

/* Have a place's bytes on the way to the cache. */
#if defined(__GNUC__)
#define SEARCH_PREFETCH(place) __builtin_prefetch(place)
#else
#define SEARCH_PREFETCH(place) ((void) 0)
#endif

#ifdef __SSE2__

/* A bit for each of 16 bytes that is not 0. */
static inline uint64
search_bits_of_sixteen(const uint8 *bytes)
{
	__m128i		sixteen = _mm_loadu_si128((const __m128i *) bytes);

	return (uint16) ~_mm_movemask_epi8(_mm_cmpeq_epi8(sixteen, _mm_setzero_si128()));
}

/* A bit for each of 64 bytes that is not 0. */
static inline uint64
search_bits_of_bytes(const uint8 *bytes)
{
	return search_bits_of_sixteen(bytes) | search_bits_of_sixteen(bytes + 16) << 16 |
		search_bits_of_sixteen(bytes + 32) << 32 | search_bits_of_sixteen(bytes + 48) << 48;
}

/* A bit for each of 16 bytes between two others, and for each that is one of the two. */
static inline uint64
search_sixteen_between(const uint8 *bytes, __m128i low, __m128i high, uint64 *bounds)
{
	__m128i		sixteen = _mm_loadu_si128((const __m128i *) bytes);
	__m128i		below = _mm_cmpeq_epi8(_mm_min_epu8(sixteen, low), sixteen);
	__m128i		above = _mm_cmpeq_epi8(_mm_max_epu8(sixteen, high), sixteen);
	__m128i		same = _mm_or_si128(_mm_cmpeq_epi8(sixteen, low), _mm_cmpeq_epi8(sixteen, high));

	*bounds = (uint16) _mm_movemask_epi8(same);
	return (uint16) ~_mm_movemask_epi8(_mm_or_si128(below, above));
}

/* The same of 64 bytes. */
static inline uint64
search_bits_between(const uint8 *bytes, uint8 lowest, uint8 highest, uint64 *bounds)
{
	__m128i		low = _mm_set1_epi8((char) lowest);
	__m128i		high = _mm_set1_epi8((char) highest);
	uint64		same[4];
	uint64		within = search_sixteen_between(bytes, low, high, &same[0]) |
		search_sixteen_between(bytes + 16, low, high, &same[1]) << 16 |
		search_sixteen_between(bytes + 32, low, high, &same[2]) << 32 |
		search_sixteen_between(bytes + 48, low, high, &same[3]) << 48;

	*bounds = same[0] | same[1] << 16 | same[2] << 32 | same[3] << 48;
	return within;
}

/* A bit for each of 64 numbers that is above another. */
static inline uint64
search_bits_above(const int32 *numbers, int32 other)
{
	__m128i		bound = _mm_set1_epi32(other);
	uint64		bits = 0;

	for (int i = 0; i < 64; i += 16)
	{
		__m128i		above[4];

		for (int j = 0; j < 4; j++)
			above[j] = _mm_cmpgt_epi32(_mm_loadu_si128((const __m128i *) (numbers + i + j * 4)),
									   bound);
		bits |= (uint64) _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(above[0], above[1]),
														   _mm_packs_epi32(above[2], above[3]))) << i;
	}
	return bits;
}

#else							/* the same without vectors */

static inline uint64
search_bits_above(const int32 *numbers, int32 other)
{
	uint64		bits = 0;

	for (int i = 0; i < 64; i++)
		bits |= (uint64) (numbers[i] > other) << i;
	return bits;
}

static inline uint64
search_bits_of_bytes(const uint8 *bytes)
{
	uint64		bits = 0;

	for (int i = 0; i < 8; i++)
	{
		const uint64 low7 = UINT64CONST(0x7f7f7f7f7f7f7f7f);
		uint64		eight;

		memcpy(&eight, bytes + i * 8, sizeof(eight));
		if (eight == 0)
			continue;
		/* the top bit of each byte that is not 0, then all of them side by side */
		eight = ((((eight & low7) + low7) | eight) & ~low7) >> 7;
#ifdef WORDS_BIGENDIAN
		eight = pg_bswap64(eight);
#endif
		bits |= (eight * UINT64CONST(0x0102040810204080)) >> 56 << (i * 8);
	}
	return bits;
}

static inline uint64
search_bits_between(const uint8 *bytes, uint8 lowest, uint8 highest, uint64 *bounds)
{
	uint64		within = 0;

	*bounds = 0;
	for (int i = 0; i < 64; i++)
	{
		within |= (uint64) ((bytes[i] > lowest) & (bytes[i] < highest)) << i;
		*bounds |= (uint64) ((bytes[i] == lowest) | (bytes[i] == highest)) << i;
	}
	return within;
}

#endif							/* __SSE2__ */

#endif							/* PADLOCK_SEARCH_BITS_H */
