/*-------------------------------------------------------------------------
 *
 * places.c
 *	  Where in a document a term stands: for quoted phrases.
 *
 * A posting's bytes: how many places, the first one, then the distances, each
 * a number of seven bits a byte, lowest first, the high bit set where more
 * follow.
 *
 * A block of SEARCH_BLOCK postings: a byte with the numbers of bits below, then
 * as such numbers the three sums that say where each part begins, and the
 * parts, packed bit by bit:
 *
 *	the low bits of each posting's first place
 *	the low bits of each further place's distance from the one before, less one
 *	the high bits of the first places
 *	how many further places each posting has, unless there are none at all
 *	the high bits of the distances
 *
 * High bits and counts are unary: so many ones, then a zero.  With the lower
 * bits split off as suits the block that is Golomb's code as Rice has it
 * (1979), about a bit from the best there can be.  Of a block that nobody reads
 * only the sums are looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "search/bits.h"
#include "search/pack.h"
#include "search/places.h"

/* Low bits are so many at most. */
#define MOST_LOW_BITS	15

/* A load of 8 bytes has so many bits from any position on. */
#define LOADED_BITS		(SEARCH_PACKED_LOAD * 8 - 7)

static void
write_number(StringInfo out, uint32 number)
{
	for (; number >= 0x80; number >>= 7)
		appendStringInfoCharMacro(out, (char) (number | 0x80));
	appendStringInfoCharMacro(out, (char) number);
}

static inline const uint8 *
read_number(const uint8 *from, uint32 *number)
{
	int			shift = 0;

	*number = 0;
	for (;; shift += 7)
	{
		*number |= (uint32) (*from & 0x7F) << shift;
		if ((*from++ & 0x80) == 0)
			return from;
	}
}

void
search_places_encode(StringInfo out, const uint16 *places, int count)
{
	uint16		previous = 0;

	write_number(out, count);
	for (int i = 0; i < count; i++)
	{
		write_number(out, places[i] - previous);
		previous = places[i];
	}
}

const uint8 *
search_places_skip(const uint8 *from)
{
	uint32		n;

	from = read_number(from, &n);
	while (n > 0)
		n -= (*from++ & 0x80) == 0;
	return from;
}

/* How many low bits make the code of some numbers shortest. */
static int
choose_low_bits(const uint16 *numbers, uint32 count)
{
	uint64		shortest = PG_UINT64_MAX;
	int			best = 0;

	for (int bits = 0; bits <= MOST_LOW_BITS; bits++)
	{
		uint64		length = (uint64) count * bits;

		for (uint32 i = 0; i < count; i++)
			length += numbers[i] >> bits;
		if (length >= shortest)
			break;
		shortest = length;
		best = bits;
	}
	return best;
}

/* The ones that the high bits of some numbers make. */
static uint32
sum_highs(const uint16 *numbers, uint32 count, int bits)
{
	uint32		sum = 0;

	for (uint32 i = 0; i < count; i++)
		sum += numbers[i] >> bits;
	return sum;
}

static void
write_lows(SearchBitWriter *writer, const uint16 *numbers, uint32 count, int bits)
{
	for (uint32 i = 0; i < count; i++)
		search_write_bits(writer, numbers[i] & search_mask_of(bits), bits);
}

static void
write_highs(SearchBitWriter *writer, const uint16 *numbers, uint32 count, int bits)
{
	for (uint32 i = 0; i < count; i++)
	{
		uint32		ones = numbers[i] >> bits;

		for (; ones >= 32; ones -= 32)
			search_write_bits(writer, search_mask_of(32), 32);
		search_write_bits(writer, search_mask_of(ones), ones + 1);
	}
}

void
search_places_start(SearchPlacesPacker *packer)
{
	packer->count = 0;
	initStringInfo(&packer->further);
}

void
search_places_finish(SearchPlacesPacker *packer, StringInfo out)
{
	uint32		n = packer->count;
	const uint16 *further = (const uint16 *) packer->further.data;
	uint32		nfurther = packer->further.len / sizeof(uint16);
	int			first_bits = choose_low_bits(packer->firsts, n);
	int			further_bits = choose_low_bits(further, nfurther);
	SearchBitWriter writer = {out};

	if (n == 0)
		return;
	appendStringInfoCharMacro(out, (char) (first_bits | further_bits << 4));
	write_number(out, nfurther);
	write_number(out, sum_highs(packer->firsts, n, first_bits));
	if (nfurther > 0)
		write_number(out, sum_highs(further, nfurther, further_bits));
	write_lows(&writer, packer->firsts, n, first_bits);
	write_lows(&writer, further, nfurther, further_bits);
	write_highs(&writer, packer->firsts, n, first_bits);
	if (nfurther > 0)
		write_highs(&writer, packer->counts, n, 0);
	write_highs(&writer, further, nfurther, further_bits);
	search_finish_bits(&writer);
	packer->count = 0;
	resetStringInfo(&packer->further);
}

void
search_places_pack(SearchPlacesPacker *packer, StringInfo out, const uint8 *from)
{
	uint32		n;
	uint32		number;
	uint16		distance;

	if (packer->count == SEARCH_BLOCK)
		search_places_finish(packer, out);
	from = read_number(from, &n);
	from = read_number(from, &number);
	packer->firsts[packer->count] = number;
	packer->counts[packer->count++] = n - 1;
	for (uint32 i = 1; i < n; i++)
	{
		from = read_number(from, &number);
		distance = number - 1;
		appendBinaryStringInfoNT(&packer->further, (char *) &distance, sizeof(distance));
	}
}

void
search_places_open(SearchPlaceCursor *cursor, const SearchSegment *segment,
				   const SearchTermEntry *entry)
{
	Size		term = entry - SEARCH_SECTION(segment, SECTION_TERMS, SearchTermEntry);

	memset(cursor, 0, sizeof(*cursor));
	cursor->next = SEARCH_SECTION(segment, SECTION_PLACES, uint8) +
		SEARCH_SECTION(segment, SECTION_PLACE_STARTS, uint32)[term];
	cursor->total = entry->frequency;
}

/* Come to the next block. */
static void
open_block(SearchPlaceCursor *cursor)
{
	uint32		n = Min(cursor->total - cursor->end, SEARCH_BLOCK);
	uint8		bits = *cursor->next;
	uint32		nfurther;
	uint32		first_sum;
	uint32		further_sum = 0;
	uint32		end;

	cursor->begin = cursor->end;
	cursor->end += n;
	cursor->packed = read_number(cursor->next + 1, &nfurther);
	cursor->packed = read_number(cursor->packed, &first_sum);
	if (nfurther > 0)
		cursor->packed = read_number(cursor->packed, &further_sum);
	cursor->first_bits = bits & 15;
	cursor->further_bits = bits >> 4;
	cursor->is_decoded = false;
	cursor->nfurther = nfurther;
	cursor->passed = 0;
	cursor->further_lows = n * cursor->first_bits;
	cursor->first_highs = cursor->further_lows + nfurther * cursor->further_bits;
	cursor->counts = cursor->first_highs + n + first_sum;
	cursor->further_highs = cursor->counts + (nfurther > 0 ? n + nfurther : 0);
	end = cursor->further_highs + nfurther + further_sum;
	cursor->next = cursor->packed + (end + 7) / 8;
}

/* Where as many zeros have been passed. */
static pg_attribute_always_inline uint32
skip_zeros(const uint8 *packed, uint32 position, uint32 count)
{
	while (count > 0)
	{
		uint64		zeros = ~search_read_bits(packed, position, PG_UINT64_MAX) &
		search_mask_of(LOADED_BITS);
		uint32		here = __builtin_popcountll(zeros);

		if (here < count)
		{
			count -= here;
			position += LOADED_BITS;
			continue;
		}
		for (; count > 1; count--)
			zeros &= zeros - 1;
		return position + pg_rightmost_one_pos64(zeros) + 1;
	}
	return position;
}

/* How many ones come next; passes them and the zero behind. */
static pg_attribute_always_inline uint32
read_ones(const uint8 *packed, uint32 *position)
{
	uint32		from = *position;

	*position = skip_zeros(packed, from, 1);
	return *position - from - 1;
}

/* Read n unary numbers from a bit position on. */
static pg_attribute_always_inline void
read_unary(const uint8 *packed, uint32 position, uint32 n, uint32 *numbers)
{
	int			behind = -1;	/* the last zero, from the bits at hand on */

	for (uint32 i = 0; i < n; position += LOADED_BITS, behind -= LOADED_BITS)
	{
		uint64		zeros = ~search_read_bits(packed, position, PG_UINT64_MAX) &
		search_mask_of(LOADED_BITS);

		for (; zeros != 0 && i < n; zeros &= zeros - 1)
		{
			int			zero = pg_rightmost_one_pos64(zeros);

			numbers[i++] = zero - behind - 1;
			behind = zero;
		}
	}
}

/* Decode the block's first places, and how many further ones there are of each. */
static pg_attribute_always_inline void
decode_block(SearchPlaceCursor *cursor)
{
	uint32		n = cursor->end - cursor->begin;
	uint64		mask = search_mask_of(cursor->first_bits);
	uint32		numbers[SEARCH_BLOCK] = {0};

	read_unary(cursor->packed, cursor->first_highs, n, numbers);
	for (uint32 i = 0; i < n; i++)
		cursor->firsts[i] = numbers[i] << cursor->first_bits |
			search_read_bits(cursor->packed, i * cursor->first_bits, mask);
	memset(numbers, 0, sizeof(numbers));
	if (cursor->nfurther > 0)
		read_unary(cursor->packed, cursor->counts, n, numbers);
	cursor->starts[0] = 0;
	for (uint32 i = 0; i < n; i++)
		cursor->starts[i + 1] = cursor->starts[i] + numbers[i];
	cursor->is_decoded = true;
}

/* Read the further places from one on, which come after `place`. */
static pg_attribute_always_inline void
read_further(SearchPlaceCursor *cursor, uint32 start, uint32 count, uint32 place, uint16 *places)
{
	const uint8 *packed = cursor->packed;
	uint32		low = cursor->further_lows + start * cursor->further_bits;
	uint64		mask = search_mask_of(cursor->further_bits);

	cursor->further_highs = skip_zeros(packed, cursor->further_highs, start - cursor->passed);
	cursor->passed = start + count;
	for (uint32 i = 0; i < count; i++, low += cursor->further_bits)
	{
		place += read_ones(packed, &cursor->further_highs) << cursor->further_bits |
			(uint32) search_read_bits(packed, low, mask);
		places[i] = ++place;
	}
}

SEARCH_VECTORIZED static int
read_places(SearchPlaceCursor *cursor, uint32 posting, uint16 *places)
{
	uint32		i;
	uint32		further;

	while (posting >= cursor->end)
		open_block(cursor);
	if (!cursor->is_decoded)
		decode_block(cursor);
	i = posting - cursor->begin;
	further = cursor->starts[i + 1] - cursor->starts[i];
	places[0] = cursor->firsts[i];
	if (further > 0)
		read_further(cursor, cursor->starts[i], further, places[0], places + 1);
	return further + 1;
}

int
search_places_read(SearchPlaceCursor *cursor, uint32 posting, uint16 *places)
{
	return read_places(cursor, posting, places);
}
