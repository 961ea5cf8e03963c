/*-------------------------------------------------------------------------
 *
 * companies.h
 *	  Which companies are not active.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_COMPANIES_H
#define PADLOCK_SEARCH_COMPANIES_H

#include "utils/snapshot.h"
#include "utils/uuid.h"

/* Set-up of the list that is kept; called by the room's init. */
extern void search_companies_init(void);

/*
 * The ids of the companies that are not active as a snapshot sees them, sorted;
 * they stay until the next call.  marks: the ids of the segments that the
 * snapshot sees and of the changes that tell of companies, in a fixed order;
 * none: read the table.  Errors: 42703 and 42804 when it lacks what this needs.
 */
extern const pg_uuid_t *search_inactive_companies(Snapshot snapshot, const int64 *marks,
												  int nmarks, int *count);

#endif							/* PADLOCK_SEARCH_COMPANIES_H */
