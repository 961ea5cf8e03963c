/*-------------------------------------------------------------------------
 *
 * products.h
 *	  Reading of products and companies under a given snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_PRODUCTS_H
#define PADLOCK_SEARCH_PRODUCTS_H

#include "access/genam.h"
#include "utils/snapshot.h"

#include "search/build.h"

/* A client table whose primary key is a uuid, open for look-ups by it. */
typedef struct SearchLookup
{
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} SearchLookup;

/* Errors: 42703, 42704 and 42804 when the table lacks what this needs. */
extern void search_lookup_open(SearchLookup *lookup, const char *table, Snapshot snapshot);
/* Have the visible row with an id in lookup->slot; false without one. */
extern bool search_lookup_find(SearchLookup *lookup, const pg_uuid_t *id);
extern void search_lookup_close(SearchLookup *lookup);

/* insurance_products, open for look-ups by id. */
typedef struct SearchProducts
{
	SearchLookup table;
	SearchProductShape shape;
} SearchProducts;

extern void search_products_open(SearchProducts *products, Snapshot snapshot);
extern void search_products_close(SearchProducts *products);

/*
 * Keep products and companies from being truncated or rewritten until the
 * transaction ends.  False when wait is false and somebody is at it.
 */
extern bool search_products_lock(bool wait);

/*
 * Lock them, and make a snapshot active that sees their rows: the active one,
 * or in a READ COMMITTED transaction a newer one if they were truncated or
 * rewritten since.  Errors: 40001 if they were, in other transactions.
 */
extern void search_products_push_snapshot(void);

/*
 * Call visit for each visible active product, in no order, until it returns
 * false.
 */
typedef bool (*SearchProductVisitor) (const SearchProductShape *shape, TupleTableSlot *slot,
									  void *arg);
extern void search_products_scan(Snapshot snapshot, SearchProductVisitor visit, void *arg);

/* About how many products there are. */
extern int64 search_products_estimate(void);

/* The number of insurance_companies' column is_active.  Errors: 42703, 42804. */
extern AttrNumber search_company_active(Relation companies);

/* qsort order of ids. */
extern int	search_compare_id_pointers(const void *a, const void *b);

/* Remove duplicates from sorted ids; returns how many are left. */
extern int	search_unique_ids(pg_uuid_t *sorted, int count);

#endif							/* PADLOCK_SEARCH_PRODUCTS_H */
