/*-------------------------------------------------------------------------
 *
 * write.h
 *	  Laying out a segment: documents first, then term after term.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_WRITE_H
#define PADLOCK_SEARCH_WRITE_H

#include "search/postings.h"
#include "search/segment.h"

/* What a segment knows of a product besides its terms. */
typedef struct SearchColumns
{
	pg_uuid_t	id;
	pg_uuid_t	company;
	double		premium;
	int64		created;		/* TimestampTz */
	uint32		code_hash;
	bool		has_code;
	uint8		popularity;
	uint8		minimum_age;	/* or SEARCH_AGE_NONE */
	uint8		maximum_age;
} SearchColumns;

typedef struct SearchWriter SearchWriter;

/* qsort order of a segment's documents. */
extern int	search_compare_columns(const void *a, const void *b);

/*
 * Begin a segment of documents that lie in their order already.  Memory is
 * taken from the current context.
 */
extern SearchWriter *search_writer_create(const SearchColumns *documents, uint32 ndocuments,
										  const SearchStatistics *statistics);

/* Add a term; terms come in the order of search_compare_strings(). */
extern void search_writer_add(SearchWriter *writer, const char *term, int length,
							  const uint32 *documents, const uint8 *impacts, uint32 count);

/*
 * Add the places of the next posting of the term added last, in the order of
 * its documents: bytes of search_places_encode().
 */
extern void search_writer_add_places(SearchWriter *writer, const uint8 *places);

/* Add a term of which only the frequency is kept. */
extern void search_writer_add_counted(SearchWriter *writer, const char *term, int length,
									  uint32 frequency);

/*
 * Finish: the segment as one piece of memory of the current context.
 * killed: sorted ids of products that are gone or changed since the older
 * segments; kills: their documents there.
 */
extern SearchSegment *search_writer_finish(SearchWriter *writer, const pg_uuid_t *killed,
										   uint32 nkilled, const SearchKill *kills, uint32 nkills);

/* A code's hash, whatever its letters' case; see search_fold_code(). */
extern uint32 search_code_hash(const char *code, int length);

#endif							/* PADLOCK_SEARCH_WRITE_H */
