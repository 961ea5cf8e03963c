/*-------------------------------------------------------------------------
 *
 * view_segments.h
 *	  What a view is made of, for those who search or merge it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_VIEW_SEGMENTS_H
#define PADLOCK_SEARCH_VIEW_SEGMENTS_H

#include "search/store.h"
#include "search/view.h"

typedef struct SearchViewSegment
{
	const SearchSegment *segment;
	int64		id;				/* 0: made of changes, in this session only */
	const uint64 *live;			/* bitmap of SEARCH_BITMAP_WORDS */
} SearchViewSegment;

struct SearchView
{
	int			nsegments;
	SearchViewSegment *segments;
	SearchStatistics statistics;

	/* for merges */
	int			nrows;
	SearchSegmentRow *rows;		/* segments[0 .. nrows - 1], oldest first */
	int			nvoid;			/* rows that a truncation emptied */
	SearchSegmentRow *void_rows;
	int			nchanges;
	SearchChangeRow *changes;
	int			ntouched;
	const pg_uuid_t *touched;	/* products of the changes, sorted */
};

/*
 * The index as a snapshot sees it.  companies: leave out products of companies
 * that are not active; merges keep them.
 */
extern SearchView *search_view_make(Snapshot snapshot, bool companies);

/*
 * The same for a merge, with all companies' products; NULL, before any segment
 * is read, when they were not all made with the same statistics.
 */
extern SearchView *search_view_for_merge(Snapshot snapshot);

/* Does the snapshot see a segment that a merge or rebuild has made? */
extern bool search_is_built(Snapshot snapshot);

/*
 * Find which documents of a view's segments live; inactive: the companies whose
 * products do not.
 */
extern void search_find_living(SearchView *view, const pg_uuid_t *inactive, int ninactive);

/* A bitmap with the bits of all of a segment's documents; palloc'd. */
extern uint64 *search_all_alive(const SearchSegment *segment);

/* The statistics that segments are made with now. */
extern SearchStatistics search_current_statistics(Snapshot snapshot);

#endif							/* PADLOCK_SEARCH_VIEW_SEGMENTS_H */
