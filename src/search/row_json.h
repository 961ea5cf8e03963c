/*-------------------------------------------------------------------------
 *
 * row_json.h
 *	  Rows as JSON objects, built without SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_ROW_JSON_H
#define PADLOCK_SEARCH_ROW_JSON_H

#include "executor/tuptable.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* How the rows of a table become members of an object. */
typedef struct SearchRowJson SearchRowJson;

/*
 * Of the named columns only, or also of the others that a role may read, but
 * never of the hidden one; names end with NULL.  Good for the table as it is
 * open now.
 */
extern SearchRowJson *search_row_json_only(Relation rel, const char *const *names);
extern SearchRowJson *search_row_json_readable(Relation rel, const char *const *names,
											   const char *hidden, Oid role);

/*
 * Push a row's columns as members of the object at hand, as to_jsonb() has
 * them.  The values are copied into the current context.
 */
extern void search_row_json_push(SearchRowJson *json, TupleTableSlot *slot,
								 JsonbParseState **state);

/* Push a key of the object at hand. */
extern void search_push_key(JsonbParseState **state, const char *key);

#endif							/* PADLOCK_SEARCH_ROW_JSON_H */
