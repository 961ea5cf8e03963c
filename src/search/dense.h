/*-------------------------------------------------------------------------
 *
 * dense.h
 *	  Reading the postings of terms in many documents: a bitmap, and packed
 *	  impacts.  For postings.c alone, which has the same of terms in blocks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_DENSE_H
#define PADLOCK_SEARCH_DENSE_H

#include "search/postings.h"

/* Set impacts[SEARCH_CHUNK] to those of a chunk's documents, 0 for those without the term. */
extern void search_dense_impacts(const SearchCursor *cursor, uint32 chunk, uint8 *impacts);

/* What search_cursor_number() and search_cursor_best() do. */
extern uint32 search_dense_number(SearchCursor *cursor, uint32 chunk, const uint64 *words,
								  uint16 *places, uint32 *numbers);
extern uint32 search_dense_best(const SearchCursor *cursor, uint32 chunk, const uint64 *allowed,
								uint8 least, uint64 *words, uint16 *places, uint8 *found);

#endif							/* PADLOCK_SEARCH_DENSE_H */
