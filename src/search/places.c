/*-------------------------------------------------------------------------
 *
 * places.c
 *	  Where in a document a term stands: for quoted phrases.
 *
 * A byte below FAR is the only place.  From FAR to before MANY it is the upper
 * part of the only place, the next byte is the lower.  MANY and more say how
 * many places follow (or, at LONG_COUNT, that their number does): the first
 * one, then the distances, seven bits a byte, lowest first, the high bit set
 * where more follow.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"

#include "search/places.h"

#define FAR			192		/* 0xC0: see search_places_skip_many() */
#define MANY		248
#define LONG_COUNT	255

/* The only place of a posting lies before this one, or is written as many are. */
#define FAR_PLACES	((MANY - FAR) * 256)

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

	if (count == 1 && places[0] < FAR)
	{
		appendStringInfoCharMacro(out, (char) places[0]);
		return;
	}
	if (count == 1 && places[0] < FAR_PLACES)
	{
		appendStringInfoCharMacro(out, (char) (FAR + (places[0] >> 8)));
		appendStringInfoCharMacro(out, (char) places[0]);
		return;
	}
	if (count < LONG_COUNT - MANY)
		appendStringInfoCharMacro(out, (char) (MANY + count));
	else
	{
		appendStringInfoCharMacro(out, (char) LONG_COUNT);
		write_number(out, count);
	}
	for (int i = 0; i < count; i++)
	{
		write_number(out, places[i] - previous);
		previous = places[i];
	}
}

/* Read how many places follow a byte of MANY or more. */
static inline const uint8 *
read_count(const uint8 *from, uint32 *count)
{
	if (*from == LONG_COUNT)
		return read_number(from + 1, count);
	*count = *from - MANY;
	return from + 1;
}

/* Pass over n numbers. */
static inline const uint8 *
skip_numbers(const uint8 *from, uint32 n)
{
	while (n > 0)
		n -= (*from++ & 0x80) == 0;
	return from;
}

static inline const uint8 *
skip_posting(const uint8 *from)
{
	uint32		n;

	if (*from < MANY)
		return from + (*from < FAR ? 1 : 2);
	from = read_count(from, &n);
	return skip_numbers(from, n);
}

const uint8 *
search_places_decode(const uint8 *from, uint16 *places, int *count)
{
	uint32		place = 0;
	uint32		n;

	if (*from < FAR)
	{
		places[0] = *from;
		*count = 1;
		return from + 1;
	}
	if (*from < MANY)
	{
		places[0] = (uint16) (*from - FAR) << 8 | from[1];
		*count = 1;
		return from + 2;
	}
	from = read_count(from, &n);
	*count = Min(n, SEARCH_MAX_PLACES);
	for (uint32 i = 0; i < n; i++)
	{
		uint32		distance;

		from = read_number(from, &distance);
		place += distance;
		if (i < SEARCH_MAX_PLACES)
			places[i] = place;
	}
	return from;
}

const uint8 *
search_places_skip(const uint8 *from)
{
	return skip_posting(from);
}

const uint8 *
search_places_skip_many(const uint8 *from, uint32 count)
{
	/* documents side by side have a few between them only */
	while (count >= 16)
	{
		uint64		eight;
		int			single = 8;

		memcpy(&eight, from, sizeof(eight));
#ifdef WORDS_BIGENDIAN
		eight = pg_bswap64(eight);
#endif
		/* bytes of FAR or more: the two top bits are set */
		eight &= eight << 1 & UINT64CONST(0x8080808080808080);
		if (eight != 0)
			single = pg_rightmost_one_pos64(eight) / 8;
		from += single;
		count -= single;
		if (single < 8)
		{
			from = skip_posting(from);
			count--;
		}
	}
	while (count-- > 0)
		from = skip_posting(from);
	return from;
}
