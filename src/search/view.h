/*-------------------------------------------------------------------------
 *
 * view.h
 *	  The index as one snapshot sees it: segments, and which of their
 *	  documents live.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_VIEW_H
#define PADLOCK_SEARCH_VIEW_H

#include "utils/snapshot.h"

typedef struct SearchView SearchView;

/* How many documents there are, and how many hold a term (dead ones included). */
extern uint32 search_view_documents(const SearchView *view);
extern uint32 search_view_frequency(const SearchView *view, const char *term, int length);

/* Does a document that lives hold a term? */
extern bool search_view_lives(const SearchView *view, const char *term, int length);

/* How many documents that live hold a term: dearer than search_view_frequency(). */
extern uint32 search_view_living(const SearchView *view, const char *term, int length);

/* Called for a term; false ends the scan. */
typedef bool (*SearchTermVisitor) (const char *term, int length, uint32 frequency, void *arg);

/*
 * Visit the terms that start with a prefix once each, in byte order, from the
 * first one at or after `from` (NULL, 0: all).
 */
extern void search_view_scan(const SearchView *view, const char *prefix, int prefix_length,
							 const char *from, int from_length, SearchTermVisitor visit,
							 void *arg);

/*
 * The index as the active snapshot sees it, or one that is made active until
 * the view is released: see search_products_push_snapshot().  Must be released
 * in the same transaction; an error releases it too.  Views do not nest.
 */
extern SearchView *search_view_acquire(void);
extern void search_view_release(SearchView *view);

#endif							/* PADLOCK_SEARCH_VIEW_H */
