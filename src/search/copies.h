/*-------------------------------------------------------------------------
 *
 * copies.h
 *	  Copies of segments that only this session has.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_COPIES_H
#define PADLOCK_SEARCH_COPIES_H

#include "utils/snapshot.h"

#include "search/store.h"

/* The copy of a segment, which is then in use; NULL: there is none. */
extern const SearchSegment *search_copy_find(int64 id);

/* Make a copy of a segment with the snapshot that sees its row; it is in use. */
extern const SearchSegment *search_copy_read(const SearchSegmentRow *row, Snapshot snapshot);

/* Free the copies not used since the last sweep; none is in use then. */
extern void search_copy_sweep(void);

#endif							/* PADLOCK_SEARCH_COPIES_H */
