/*-------------------------------------------------------------------------
 *
 * pack.h
 *	  Numbers of few bits side by side: how a segment keeps small what it has
 *	  many of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_PACK_H
#define PADLOCK_SEARCH_PACK_H

#include "lib/stringinfo.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"

/* Numbers have so many bits at most, and are read so many bytes at a time. */
#define SEARCH_PACKED_BITS	56
#define SEARCH_PACKED_LOAD	8

/* A growing run of packed bits. */
typedef struct SearchBitWriter
{
	StringInfo	out;
	uint64		pending;
	int			npending;
} SearchBitWriter;

/* How many bits a number takes. */
static inline int
search_bits_of(uint64 value)
{
	return value == 0 ? 0 : pg_leftmost_one_pos64(value) + 1;
}

/* The largest number of so many bits, fewer than 64. */
static inline uint64
search_mask_of(int bits)
{
	return (UINT64CONST(1) << bits) - 1;
}

static inline void
search_write_bits(SearchBitWriter *writer, uint64 value, int bits)
{
	writer->pending |= value << writer->npending;
	writer->npending += bits;
	while (writer->npending >= 8)
	{
		appendStringInfoCharMacro(writer->out, (char) writer->pending);
		writer->pending >>= 8;
		writer->npending -= 8;
	}
}

/* Fill up the last byte. */
static inline void
search_finish_bits(SearchBitWriter *writer)
{
	if (writer->npending > 0)
		appendStringInfoCharMacro(writer->out, (char) writer->pending);
	writer->pending = 0;
	writer->npending = 0;
}

/* The number at a bit position; reads SEARCH_PACKED_LOAD bytes from its first. */
static inline uint64
search_read_bits(const uint8 *packed, uint64 position, uint64 mask)
{
	uint64		word;

	memcpy(&word, packed + (position >> 3), sizeof(word));
#ifdef WORDS_BIGENDIAN
	word = pg_bswap64(word);
#endif
	return word >> (position & 7) & mask;
}

#endif							/* PADLOCK_SEARCH_PACK_H */
