/*-------------------------------------------------------------------------
 *
 * copies.c
 *	  Copies of segments that only this session has.
 *
 * They are for segments that find no room in shared memory (cache.c), or when
 * there is none because the library is not preloaded.  A session keeps those
 * that its last search used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "search/copies.h"

typedef struct Copy
{
	MemoryContext context;		/* of this and the segment */
	int64		id;
	SearchSegment *segment;
	bool		in_use;
	struct Copy *next;
} Copy;

static Copy *copies = NULL;

const SearchSegment *
search_copy_find(int64 id)
{
	for (Copy *copy = copies; copy != NULL; copy = copy->next)
	{
		if (copy->id == id)
		{
			copy->in_use = true;
			return copy->segment;
		}
	}
	return NULL;
}

const SearchSegment *
search_copy_read(const SearchSegmentRow *row, Snapshot snapshot)
{
	/* until it is whole an error frees it */
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "padlock search segment",
												  ALLOCSET_SMALL_SIZES);
	Copy	   *copy = MemoryContextAlloc(context, sizeof(Copy));

	copy->context = context;
	copy->id = row->id;
	copy->in_use = true;
	copy->segment = MemoryContextAllocHuge(context, row->size);
	search_store_read(row, snapshot, copy->segment);
	MemoryContextSetParent(context, TopMemoryContext);
	copy->next = copies;
	copies = copy;
	return copy->segment;
}

void
search_copy_sweep(void)
{
	Copy	  **link = &copies;

	while (*link != NULL)
	{
		Copy	   *copy = *link;

		if (copy->in_use)
		{
			copy->in_use = false;
			link = &copy->next;
			continue;
		}
		*link = copy->next;
		MemoryContextDelete(copy->context);
	}
}
