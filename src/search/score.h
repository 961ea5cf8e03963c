/*-------------------------------------------------------------------------
 *
 * score.h
 *	  Running a search over a view: filter, score, count and choose the best
 *	  in one pass.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_SCORE_H
#define PADLOCK_SEARCH_SCORE_H

#include "search/query_parse.h"
#include "search/view_segments.h"

typedef enum SearchOrder
{
	SEARCH_ORDER_RELEVANCE,
	SEARCH_ORDER_PREMIUM,
	SEARCH_ORDER_POPULARITY,
	SEARCH_ORDER_CREATED
} SearchOrder;

/* What products must be; what is NULL or negative does not filter. */
typedef struct SearchFilters
{
	const char *policy_type;
	const char *currency;
	const char *country;
	const pg_uuid_t *company;
	const pg_uuid_t *product;
	bool		has_minimum;
	bool		has_maximum;
	double		minimum_premium;
	double		maximum_premium;
	int			age;
} SearchFilters;

/*
 * A product found.  Better hits have higher keys, of equal ones the lower id.
 */
typedef struct SearchHit
{
	double		key;			/* by the order asked for; negated when it rises */
	float		score;			/* of relevance, 0 without words */
	uint32		document;
	int			segment;		/* of the view */
} SearchHit;

typedef struct SearchPlan
{
	const SearchQuery *query;	/* NULL: no words */
	SearchFilters filters;
	SearchOrder order;
	bool		ascending;
	uint64		offset;			/* hits to leave out */
	uint32		limit;			/* and to give */
	bool		keeps_matches;	/* in the result */
	bool		has_cursor;		/* only hits worse than these */
	double		cursor_key;
	pg_uuid_t	cursor_id;
} SearchPlan;

typedef struct SearchResult
{
	uint64		total;			/* all matches, those before a cursor too */
	SearchHit  *hits;
	uint32		nhits;
	uint64	  **matches;		/* if kept: bitmaps of all matches, by segment */
} SearchResult;

/* Weights of relevance beyond the words; settings. */
extern double search_popularity_boost;
extern double search_freshness_boost;
extern int	search_freshness_half_life; /* days */

extern void search_run(const SearchView *view, const SearchPlan *plan, SearchResult *result);

/* The id of a hit. */
extern const pg_uuid_t *search_hit_id(const SearchView *view, const SearchHit *hit);

/* How much of a hit's score comes from a use of a term; 0: it is not there. */
extern float search_hit_part(const SearchView *view, const SearchHit *hit,
							 const SearchGroup *group, const SearchTermUse *use);

/* The factor of a hit's score for its popularity and freshness. */
extern float search_hit_boost(const SearchView *view, const SearchHit *hit);

/* A walk over the documents of a segment that live and pass the filters. */
typedef struct SearchFilterWalk SearchFilterWalk;

/* Start one in the current context; filters must outlive it. */
extern SearchFilterWalk *search_filter_open(const SearchViewSegment *segment,
											const SearchFilters *filters);

/*
 * Take the documents of a chunk that do not pass out of words; chunks must
 * rise.  Is any left?
 */
extern bool search_filter_chunk(SearchFilterWalk *walk, uint32 chunk, uint64 *words);

/* Do filters leave anything out, but what does not live? */
extern bool search_filter_is_any(const SearchFilters *filters);

/* Take out documents that hold an excluded phrase and, if required, those that lack another. */
extern void search_restrict_to_phrases(const SearchViewSegment *segment, const SearchQuery *query,
									   bool required, uint64 *allowed);

/* Documents of a segment that a code was searched for. */
typedef struct SearchCoded
{
	uint32	   *documents;
	int			count;
} SearchCoded;

/*
 * Append the documents with a code that the query asks for and that pass the
 * filters or, if it is not NULL, are in the bitmap restricted.  They need not
 * hold what is quoted, but nothing that is excluded.
 */
extern void search_find_coded(const SearchViewSegment *segment, const SearchQuery *query,
							  const SearchFilters *filters, const uint64 *restricted,
							  SearchCoded *coded);

/* Is a document among them? */
extern bool search_is_coded(const SearchCoded *coded, uint32 document);

/* Set the bits of documents with any term of a group. */
extern void search_mark_group(const SearchSegment *segment, const SearchGroup *group,
							  uint64 *bitmap);

/* The best hits so far. */
typedef struct SearchCollector
{
	const SearchView *view;
	const SearchPlan *plan;
	uint64		offset;			/* of the page among those wanted */
	uint64		wanted;
	SearchHit  *hits;
	uint64		count;
	uint64		capacity;
	bool		full;			/* worst is set: nothing worse is wanted */
	SearchHit	worst;
} SearchCollector;

/* skipped: how many of the hits before the page will not be added. */
extern void search_collector_start(SearchCollector *collector, const SearchView *view,
								   const SearchPlan *plan, uint64 skipped);
extern void search_collector_add(SearchCollector *collector, const SearchHit *hit);
extern void search_collector_finish(SearchCollector *collector, SearchResult *result);

/* Start a collector and add the best matches by the plan's column. */
extern void search_collect_by_column(SearchCollector *collector, const SearchView *view,
									 const SearchPlan *plan, uint64 **matches);

#endif							/* PADLOCK_SEARCH_SCORE_H */
