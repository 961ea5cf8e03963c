/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The index's tables: segments, their blocks, and changes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_STORE_H
#define PADLOCK_SEARCH_STORE_H

#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

#include "search/segment.h"

/* A row of padlock.search_segments. */
typedef struct SearchSegmentRow
{
	int64		id;				/* random: never used again, also after a restore */
	int64		position;		/* newer segments have higher ones */
	bool		bulk;			/* written by a transaction with its products */
	int32		documents;
	int64		size;			/* in bytes */
	uint64		resume_xid;		/* changes of older transactions are in, or void, */
	int			nrunning;
	const uint64 *running;		/* but for those of these; allocated with the row */
	int64		system;			/* the cluster whose transactions these are */
	SearchStatistics statistics;	/* that it was made with: known without reading it */
	ItemPointerData tid;
} SearchSegmentRow;

/* A row of padlock.search_changes. */
typedef struct SearchChangeRow
{
	int64		id;
	uint32		nproducts;
	const pg_uuid_t *products;	/* none: companies changed, or the table was truncated */
	bool		truncated;
	ItemPointerData tid;
} SearchChangeRow;

/* Does a change tell that a company was switched on or off? */
static inline bool
search_change_is_of_companies(const SearchChangeRow *change)
{
	return change->nproducts == 0 && !change->truncated;
}

/* The visible segments, in the order of their positions; palloc'd array. */
extern SearchSegmentRow *search_store_segments(Snapshot snapshot, int *count);

/*
 * The visible changes that are not in a merged segment, in the order of their
 * ids; merged NULL: all; palloc'd.
 */
extern SearchChangeRow *search_store_changes(Snapshot snapshot, const SearchSegmentRow *merged,
											 int *count);

/*
 * Take the locks that search_store_read() needs, to the end of the
 * transaction: after this it waits for no other session.
 */
extern void search_store_lock_blocks(void);

/* Read a segment's bytes into memory of row->size bytes. */
extern void search_store_read(const SearchSegmentRow *row, Snapshot snapshot, void *memory);

/*
 * Seal and write a segment; fills in row's id, documents, size, system and
 * statistics.
 */
extern void search_store_write(SearchSegmentRow *row, SearchSegment *segment);

/* Remove a segment, its blocks and a change; a row is removed once only. */
extern void search_store_remove_segment(const SearchSegmentRow *row, Snapshot snapshot);
extern void search_store_remove_change(const SearchChangeRow *row);

/* Write a change of products; none of them for one of companies, NULL for a truncation. */
extern void search_store_add_change(const pg_uuid_t *products, int nproducts);

/* A position for a segment or a change: higher than those given before. */
extern int64 search_store_next_position(void);

/* This cluster, as rows name it. */
extern int64 search_store_system(void);

/*
 * Take the lock that merges hold to the end of their transaction; it keeps
 * neither readers nor writers waiting.  False when wait is false and another
 * has it.
 */
extern bool search_store_lock(bool wait);

/* Are the tables there? */
extern bool search_store_exists(void);

#endif							/* PADLOCK_SEARCH_STORE_H */
