/*-------------------------------------------------------------------------
 *
 * changes.h
 *	  Notes of what a merge has to take up.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_CHANGES_H
#define PADLOCK_SEARCH_CHANGES_H

#include "utils/uuid.h"

/* Have workers told of what commits; called by the room's init. */
extern void search_changes_init(void);

/* search_store_add_change(), of which workers are told when it commits. */
extern void search_changes_add(const pg_uuid_t *products, int nproducts);

#endif							/* PADLOCK_SEARCH_CHANGES_H */
