/*-------------------------------------------------------------------------
 *
 * row_hint.h
 *	  Where a row was found last, to look there first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_ROW_HINT_H
#define PADLOCK_ROW_HINT_H

#include "access/htup.h"
#include "storage/buf.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* Where an index's key led to.  All zero: nowhere yet. */
typedef struct PadlockRowHint
{
	Oid			index;			/* the unique index that was asked */
	Buffer		buffer;			/* that held the page then */
	ItemPointerData tid;		/* what the index gave: the start of a HOT chain */
	AttrNumber	column;			/* the key's column in the table */
} PadlockRowHint;

/* The place of the hint for a key of an index; it may hold that of another. */
extern PadlockRowHint *padlock_row_hint(Oid index, Datum key, int key_length);

/*
 * Read the row that the snapshot sees where the hint says, if it is that of
 * the key: *row, in *buffer, which is pinned and the caller's to release.
 * False: ask the index.
 */
extern bool padlock_row_hint_fetch(const PadlockRowHint *hint, Oid index, Datum key, Relation rel,
								   Snapshot snapshot, HeapTuple row, Buffer *buffer);

#endif							/* PADLOCK_ROW_HINT_H */
