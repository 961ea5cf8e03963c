/*-------------------------------------------------------------------------
 *
 * places.h
 *	  Where in a document a term stands: for quoted phrases.
 *
 * A segment has the places of a term's postings in packed blocks, in the order
 * of its documents, which are read from the first on.  While a segment is made
 * they are bytes, a posting after the other, that can be moved about.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_PLACES_H
#define PADLOCK_SEARCH_PLACES_H

#include "lib/stringinfo.h"

#include "search/postings.h"
#include "search/segment.h"

/* A posting has so many places at most; later ones are left out. */
#define SEARCH_MAX_PLACES	4096

/* Lexemes have places; words that are only counted and filter values do not. */
static inline bool
search_has_places(const char *term)
{
	return (unsigned char) *term >= ' ';
}

/* Append a posting's places, which rise, 1 to SEARCH_MAX_PLACES of them, as bytes. */
extern void search_places_encode(StringInfo out, const uint16 *places, int count);

/* Where the next posting's bytes begin. */
extern const uint8 *search_places_skip(const uint8 *from);

/* The places of a block's postings, as they come to be packed. */
typedef struct SearchPlacesPacker
{
	uint32		count;			/* postings so far */
	uint16		firsts[SEARCH_BLOCK];	/* each posting's first place */
	uint16		counts[SEARCH_BLOCK];	/* and how many further ones it has */
	StringInfoData further;		/* uint16: their distances, less one */
} SearchPlacesPacker;

/* Begin in the current context. */
extern void search_places_start(SearchPlacesPacker *packer);

/* Add a posting's bytes to a block; a full one is appended to out. */
extern void search_places_pack(SearchPlacesPacker *packer, StringInfo out, const uint8 *from);

/* End a term: append its last block to out. */
extern void search_places_finish(SearchPlacesPacker *packer, StringInfo out);

/* A walk over the packed places of a term. */
typedef struct SearchPlaceCursor
{
	const uint8 *next;			/* block */
	uint32		total;			/* postings */
	/* the block at hand; positions are in bits */
	uint32		begin;			/* its postings: [begin, end) */
	uint32		end;
	const uint8 *packed;
	uint8		first_bits;
	uint8		further_bits;
	bool		is_decoded;		/* firsts and starts are */
	uint32		nfurther;
	uint32		further_lows;
	uint32		first_highs;
	uint32		counts;
	uint32		further_highs;	/* of the next of the further places */
	uint32		passed;			/* those before it */
	uint16		firsts[SEARCH_BLOCK];	/* each posting's first place */
	uint32		starts[SEARCH_BLOCK + 1];	/* its first further place */
} SearchPlaceCursor;

extern void search_places_open(SearchPlaceCursor *cursor, const SearchSegment *segment,
							   const SearchTermEntry *entry);

/*
 * Read the places of a posting of the term into an array of
 * SEARCH_MAX_PLACES; postings must rise.  Returns how many.
 */
extern int	search_places_read(SearchPlaceCursor *cursor, uint32 posting, uint16 *places);

#endif							/* PADLOCK_SEARCH_PLACES_H */
