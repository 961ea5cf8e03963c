/*-------------------------------------------------------------------------
 *
 * places.h
 *	  Where in a document a term stands: for quoted phrases.
 *
 * The places of a term's postings follow each other in the order of its
 * documents, and are read from the first on.  A posting's are one byte when
 * it is one place near the document's beginning: most are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_PLACES_H
#define PADLOCK_SEARCH_PLACES_H

#include "lib/stringinfo.h"

#include "search/segment.h"

/* A posting has so many places at most; later ones are left out. */
#define SEARCH_MAX_PLACES	4096

/* Lexemes have places; words that are only counted and filter values do not. */
static inline bool
search_has_places(const char *term)
{
	return (unsigned char) *term >= ' ';
}

/* Append a posting's places, which rise, 1 to SEARCH_MAX_PLACES of them. */
extern void search_places_encode(StringInfo out, const uint16 *places, int count);

/* Read a posting's places; returns where the next posting's begin. */
extern const uint8 *search_places_decode(const uint8 *from, uint16 *places, int *count);

/* Where the next posting's places begin. */
extern const uint8 *search_places_skip(const uint8 *from);

/* The same, so many postings on; up to 8 bytes are read at a time. */
extern const uint8 *search_places_skip_many(const uint8 *from, uint32 count);

/* The places of a term's first posting. */
static inline const uint8 *
search_term_places(const SearchSegment *segment, const SearchTermEntry *entry)
{
	Size		term = entry - SEARCH_SECTION(segment, SECTION_TERMS, SearchTermEntry);

	return SEARCH_SECTION(segment, SECTION_PLACES, uint8) +
		SEARCH_SECTION(segment, SECTION_PLACE_STARTS, uint64)[term];
}

#endif							/* PADLOCK_SEARCH_PLACES_H */
