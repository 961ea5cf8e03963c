/*-------------------------------------------------------------------------
 *
 * combine.h
 *	  One segment from the living documents of several.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_COMBINE_H
#define PADLOCK_SEARCH_COMBINE_H

#include "search/write.h"

typedef struct SearchInput
{
	const SearchSegment *segment;
	const uint64 *live;			/* bitmap of SEARCH_BITMAP_WORDS */
} SearchInput;

/*
 * Combine segments whose living documents are different products, in memory
 * of the current context.  killed is sorted.  Interruptible.
 */
extern SearchSegment *search_combine(const SearchInput *inputs, int ninputs,
									 const SearchStatistics *statistics,
									 const pg_uuid_t *killed, uint32 nkilled,
									 const SearchKill *kills, uint32 nkills);

#endif							/* PADLOCK_SEARCH_COMBINE_H */
