/*-------------------------------------------------------------------------
 *
 * row_hint.c
 *	  Where a row was found last, to look there first.
 *
 * A request asks for the same few rows as the requests before it in this
 * session: its API key's, its company's, its session's.  Descending an index
 * to each of them costs several times what reading the row does.  So a session
 * keeps where an index led to: a page, the buffer that held it, and an item.
 *
 * A hint says nothing about the row.  The row itself is read each time, under
 * the query's snapshot, and its key compared; when the buffer holds another
 * page by now, the item another row, or the snapshot sees no version of it
 * there, the index is asked.  So nothing here delays a revocation, and a hint
 * can be wrong in any way: after VACUUM, VACUUM FULL, truncation, a restart of
 * the table's numbering, on a replica.  A page that is not in its buffer is
 * never read from disk, since the table may have become shorter.
 *
 * Two rows with one key cannot both be visible, since the index is a primary
 * key's; so whichever is found there is what the index would have found.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "common/hashfn.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"
#include "utils/rel.h"

#include "identity/row_hint.h"

/* Enough for the callers of one session; 64 kB, of which a session touches what it uses. */
#define HINTS 4096

static PadlockRowHint hints[HINTS];

PadlockRowHint *
padlock_row_hint(Oid index, Datum key, int key_length)
{
	return &hints[hash_combine(datum_image_hash(key, false, key_length), index) % HINTS];
}

/* Is that the key of the row?  Byte by byte: what is equal otherwise, the index finds. */
static bool
has_key(HeapTuple row, Relation rel, AttrNumber column, Datum key)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), column - 1);
	bool		isnull;
	Datum		value = heap_getattr(row, column, RelationGetDescr(rel), &isnull);

	return !isnull && datum_image_eq(value, key, attribute->attbyval, attribute->attlen);
}

bool
padlock_row_hint_fetch(const PadlockRowHint *hint, Oid index, Datum key, Relation rel,
					   Snapshot snapshot, HeapTuple row, Buffer *buffer)
{
	ItemPointerData tid = hint->tid;
	bool		found;

	if (hint->index != index || rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		!ReadRecentBuffer(rel->rd_node, MAIN_FORKNUM, ItemPointerGetBlockNumber(&tid),
						  hint->buffer))
		return false;
	LockBuffer(hint->buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&tid, rel, hint->buffer, snapshot, row, NULL, true);
	LockBuffer(hint->buffer, BUFFER_LOCK_UNLOCK);
	if (!found || !has_key(row, rel, hint->column, key))
	{
		ReleaseBuffer(hint->buffer);
		return false;
	}
	*buffer = hint->buffer;
	return true;
}
