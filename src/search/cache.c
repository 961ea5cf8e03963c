/*-------------------------------------------------------------------------
 *
 * cache.c
 *	  Segments in memory, shared by all sessions.
 *
 * A fixed area of shared memory, padlock.search_memory, holds copies of
 * segments: they never change, and their ids are never used again, so a copy
 * is right for ever.  Who needs one that is not there reads it from the
 * tables and leaves it there.  When room is short the ones unused for longest
 * go; when that is not enough, or the library is not preloaded, a session
 * keeps a copy of its own.
 *
 * The area is address space until it is used: nobody touches a page before a
 * segment comes to lie there, and pages given back are the first to be used
 * again.  So its default is sized by the machine, not by an index.
 *
 * Locking contract: one LWLock guards the entries and the free pages; it is
 * held for moments only, never while a segment is read or copied.  An entry
 * with pins is not freed.  A session counts its pins in its own memory and
 * drops them at the end of its search, or of its transaction after an error.
 * Who finds an entry that another session is filling waits on a condition
 * variable, which the deadlock detector knows nothing of; so who fills one has
 * taken the locks that reading needs before, and waits for none.
 *
 * Crash contract: nothing here outlives the server's shared memory, and all of
 * it is read again from the tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/freepage.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/core.h"
#include "search/cache.h"
#include "search/copies.h"

#define CACHE_SHMEM_NAME "padlock search"
#define CACHE_ENTRIES	256
#define MAX_PINS		256
#define MAX_MERGERS		64		/* more find changes when they wake up anyway */

/* MB of memory: to be sized by the machine; the least and most then. */
#define MEMORY_BY_MACHINE	(-1)
#define LEAST_DEFAULT		128
#define MOST_DEFAULT		1024

/* Bounds of search_cache_largest(); a palloc holds less than 1 GB. */
#define LEAST_LARGEST		((int64) 4 * 1024 * 1024)
#define MOST_LARGEST		((int64) 700 * 1024 * 1024)

/* The log says so often that memory is short, whatever session it is. */
#define COMPLAINT_MS		(3600 * 1000)

/* Memory is short when what was thrown out is read again within this time. */
#define TOO_SOON_MS			(60 * 1000)

typedef enum EntryState
{
	ENTRY_FREE,
	ENTRY_FILLING,
	ENTRY_READY
} EntryState;

typedef struct CacheEntry
{
	Oid			database;
	int64		id;
	EntryState	state;
	int			pins;			/* guarded by the lock */
	Size		page;			/* first page of the area */
	Size		npages;
	TimestampTz used_at;
} CacheEntry;

/* A segment that was thrown out. */
typedef struct Evicted
{
	Oid			database;
	int64		id;
	TimestampTz at;
} Evicted;

/* A process that merges; a latch outlives its process (it is the PGPROC's). */
typedef struct Merger
{
	Oid			database;		/* InvalidOid: not in use */
	Latch	   *latch;
} Merger;

typedef struct CacheShared
{
	LWLock	   *lock;
	ConditionVariable filled;
	Size		npages;
	Size		used_pages;
	char	   *area;			/* FPM_PAGE_SIZE aligned; the same for everyone */
	FreePageManager *free_pages;
	TimestampTz complained_at;	/* of memory that is short */
	pg_atomic_uint64 changes;
	Merger		mergers[MAX_MERGERS];
	/* the rebuild that runs; one at a time is shown */
	Oid			progress_database;
	const char *progress_phase; /* a constant of the library */
	int64		progress_done;
	int64		progress_total;
	CacheEntry	entries[CACHE_ENTRIES];
	Evicted		evicted[CACHE_ENTRIES]; /* the last ones */
	uint32		nevicted;		/* in all */
} CacheShared;

static int	search_memory = MEMORY_BY_MACHINE;	/* MB */
static CacheShared *shared = NULL;
static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static CacheEntry *pinned[MAX_PINS];
static int	npinned = 0;
static CacheEntry *filling = NULL;	/* by this session */
static bool reads_too_soon = false; /* what was just thrown out */
static bool shows_progress = false; /* this session */

static Size
area_size(void)
{
	return (Size) search_memory * 1024 * 1024;
}

/* Check hook of the setting: a quarter of the machine's memory, within bounds. */
static bool
choose_memory(int *memory, void **extra, GucSource source)
{
	int64		pages = sysconf(_SC_PHYS_PAGES);
	int64		quarter = pages * (sysconf(_SC_PAGESIZE) / 1024) / 1024 / 4;

	if (*memory == MEMORY_BY_MACHINE)
		*memory = (int) Max(LEAST_DEFAULT, Min(quarter, MOST_DEFAULT));
	else if (*memory < 1)
	{
		GUC_check_errdetail("It must be at least 1 MB, or -1.");
		return false;
	}
	return true;
}

int64
search_cache_largest(void)
{
	if (shared == NULL)
		return MOST_LARGEST;
	return Max(LEAST_LARGEST, Min((int64) area_size() / 3, MOST_LARGEST));
}

static Size
shared_size(void)
{
	return add_size(MAXALIGN(sizeof(CacheShared)), add_size(area_size(), 2 * FPM_PAGE_SIZE));
}

static void
request_memory(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(CACHE_SHMEM_NAME, 1);
}

/* The first page holds the free page manager. */
static void
start_area(void)
{
	char	   *base = (char *) TYPEALIGN(FPM_PAGE_SIZE, (char *) shared + sizeof(CacheShared));

	shared->area = base;
	shared->npages = area_size() / FPM_PAGE_SIZE;
	shared->free_pages = (FreePageManager *) base;
	FreePageManagerInitialize(shared->free_pages, base);
	FreePageManagerPut(shared->free_pages, 1, shared->npages);
}

static void
attach_memory(void)
{
	bool		found;

	if (previous_shmem_startup)
		previous_shmem_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(CACHE_SHMEM_NAME, shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(CacheShared));
		shared->lock = &GetNamedLWLockTranche(CACHE_SHMEM_NAME)->lock;
		ConditionVariableInit(&shared->filled);
		pg_atomic_init_u64(&shared->changes, 0);
		start_area();
	}
	LWLockRelease(AddinShmemInitLock);
}

/* The lock is held. */
static void
give_back(Size page, Size npages)
{
	FreePageManagerPut(shared->free_pages, page, npages);
	shared->used_pages -= npages;
}

/* Give an entry's pages back; the lock is held. */
static void
free_entry(CacheEntry *entry)
{
	give_back(entry->page, entry->npages);
	entry->state = ENTRY_FREE;
}

/* Remember that an entry is thrown out; the lock is held. */
static void
note_eviction(const CacheEntry *entry)
{
	Evicted    *evicted = &shared->evicted[shared->nevicted++ % CACHE_ENTRIES];

	evicted->database = entry->database;
	evicted->id = entry->id;
	evicted->at = GetCurrentTimestamp();
}

/* Was a segment of this database thrown out a moment ago?  The lock is held. */
static bool
was_just_evicted(int64 id)
{
	for (int i = 0; i < CACHE_ENTRIES; i++)
	{
		const Evicted *evicted = &shared->evicted[i];

		if (evicted->id == id && evicted->database == MyDatabaseId)
			return !TimestampDifferenceExceeds(evicted->at, GetCurrentTimestamp(), TOO_SOON_MS);
	}
	return false;
}

/* Throw out the entry unused for longest; false when all are in use. */
static bool
evict_one(void)
{
	CacheEntry *oldest = NULL;

	for (int i = 0; i < CACHE_ENTRIES; i++)
	{
		CacheEntry *entry = &shared->entries[i];

		if (entry->state == ENTRY_READY && entry->pins == 0 &&
			(oldest == NULL || entry->used_at < oldest->used_at))
			oldest = entry;
	}
	if (oldest == NULL)
		return false;
	note_eviction(oldest);
	free_entry(oldest);
	return true;
}

static int
compare_pages(const void *a, const void *b)
{
	Size		left = (*(CacheEntry *const *) a)->page;
	Size		right = (*(CacheEntry *const *) b)->page;

	return (left > right) - (left < right);
}

/*
 * Would so many pages in a row be free without the entries that are not in
 * use?  The lock is held.
 */
static bool
could_take_pages(Size npages)
{
	CacheEntry *used[CACHE_ENTRIES];
	int			nused = 0;
	Size		next = 1;

	for (int i = 0; i < CACHE_ENTRIES; i++)
	{
		CacheEntry *entry = &shared->entries[i];

		if (entry->state == ENTRY_FILLING || (entry->state == ENTRY_READY && entry->pins > 0))
			used[nused++] = entry;
	}
	qsort(used, nused, sizeof(CacheEntry *), compare_pages);
	for (int i = 0; i < nused; i++)
	{
		if (used[i]->page - next >= npages)
			return true;
		next = used[i]->page + used[i]->npages;
	}
	return shared->npages + 1 - next >= npages;
}

/*
 * Take pages, throwing out others if need be, and if that is of use; the lock
 * is held.
 */
static bool
take_pages(Size npages, Size *page)
{
	bool		possible = false;	/* looked into when there is need */

	while (!FreePageManagerGet(shared->free_pages, npages, page))
	{
		possible = possible || could_take_pages(npages);
		if (!possible || !evict_one())
			return false;
	}
	shared->used_pages += npages;
	return true;
}

/* The entry of a segment, or NULL; the lock is held. */
static CacheEntry *
find_entry(int64 id)
{
	for (int i = 0; i < CACHE_ENTRIES; i++)
	{
		CacheEntry *entry = &shared->entries[i];

		if (entry->state != ENTRY_FREE && entry->id == id && entry->database == MyDatabaseId)
			return entry;
	}
	return NULL;
}

static CacheEntry *
find_free_entry(void)
{
	for (int i = 0; i < CACHE_ENTRIES; i++)
	{
		if (shared->entries[i].state == ENTRY_FREE)
			return &shared->entries[i];
	}
	return evict_one() ? find_free_entry() : NULL;
}

/* Begin to fill a new entry; NULL when there is no room.  The lock is held. */
static CacheEntry *
begin_filling(const SearchSegmentRow *row)
{
	Size		npages = (row->size + FPM_PAGE_SIZE - 1) / FPM_PAGE_SIZE;
	Size		page;
	CacheEntry *entry;

	if (!take_pages(npages, &page))
		return NULL;
	entry = find_free_entry();
	if (entry == NULL)
	{
		give_back(page, npages);
		return NULL;
	}
	entry->database = MyDatabaseId;
	entry->id = row->id;
	entry->state = ENTRY_FILLING;
	entry->pins = 0;
	entry->page = page;
	entry->npages = npages;
	entry->used_at = GetCurrentTimestamp();
	return entry;
}

static SearchSegment *
entry_segment(const CacheEntry *entry)
{
	return (SearchSegment *) (shared->area + entry->page * FPM_PAGE_SIZE);
}

/* The lock is held. */
static void
pin(CacheEntry *entry)
{
	entry->pins++;
	entry->used_at = GetCurrentTimestamp();
	pinned[npinned++] = entry;
}

/* End the filling of an entry, well or not. */
static void
end_filling(CacheEntry *entry, bool ready, bool pin_it)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (ready)
		entry->state = ENTRY_READY;
	else
		free_entry(entry);
	if (pin_it)
		pin(entry);
	LWLockRelease(shared->lock);
	filling = NULL;
	ConditionVariableBroadcast(&shared->filled);
}

/* Pin a segment's entry if it is filled; else NULL. */
static CacheEntry *
pin_filled(int64 id)
{
	CacheEntry *entry;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = find_entry(id);
	if (entry != NULL && entry->state == ENTRY_READY)
		pin(entry);
	else
		entry = NULL;
	LWLockRelease(shared->lock);
	return entry;
}

/*
 * Find a segment's entry and pin it, or begin to fill one (*fill), or learn
 * that there is no room (NULL).  Waits while another session fills it.
 */
static CacheEntry *
get_entry(const SearchSegmentRow *row, bool *fill)
{
	CacheEntry *entry;

	*fill = false;
	for (;;)
	{
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		entry = find_entry(row->id);
		if (entry == NULL)
		{
			reads_too_soon |= was_just_evicted(row->id);
			entry = filling = begin_filling(row);
			*fill = entry != NULL;
			break;
		}
		if (entry->state == ENTRY_READY)
		{
			pin(entry);
			break;
		}
		ConditionVariablePrepareToSleep(&shared->filled);
		LWLockRelease(shared->lock);
		ConditionVariableSleep(&shared->filled, PG_WAIT_EXTENSION);
	}
	LWLockRelease(shared->lock);
	ConditionVariableCancelSleep();
	return entry;
}

/* May this session say that memory is short? */
static bool
may_complain(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		may;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	may = shared->complained_at == 0 ||
		TimestampDifferenceExceeds(shared->complained_at, now, COMPLAINT_MS);
	if (may)
		shared->complained_at = now;
	LWLockRelease(shared->lock);
	return may;
}

/* Say that memory is short, and how much this database's index needs. */
static void
complain(Snapshot snapshot)
{
	int			count;
	SearchSegmentRow *rows;
	int64		size = 0;
	int64		needed;

	if (!may_complain())
		return;
	rows = search_store_segments(snapshot, &count);
	for (int i = 0; i < count; i++)
		size += rows[i].size;
	pfree(rows);
	/* while the largest segments are merged their new ones have to fit, too */
	needed = (size + Max(size / 2, 2 * LEAST_LARGEST)) / (1024 * 1024) + 1;
	ereport(LOG,
			(errmsg("the search index does not fit into padlock.search_memory"),
			 errdetail("The index of database %u takes " INT64_FORMAT " MB of the %d MB, and of the %d segments, for all databases; what finds no room is read again and again, or kept by each session for itself.",
					   MyDatabaseId, size / (1024 * 1024) + 1, search_memory, CACHE_ENTRIES),
			 errhint("Set padlock.search_memory to at least " INT64_FORMAT " MB, and as much more as other databases need, and restart the server.",
					 needed)));
}

/* A copy for this session only. */
static const SearchSegment *
acquire_copy(const SearchSegmentRow *row, Snapshot snapshot)
{
	const SearchSegment *segment = search_copy_find(row->id);

	if (segment != NULL)
		return segment;
	if (shared != NULL)
		complain(snapshot);
	return search_copy_read(row, snapshot);
}

static void
release_pins(void)
{
	if (npinned == 0)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	while (npinned > 0)
		pinned[--npinned]->pins--;
	LWLockRelease(shared->lock);
}

/* before_shmem_exit callback: a session that is ended while it fills an entry. */
static void
release_at_exit(int code, Datum arg)
{
	if (filling != NULL)
		end_filling(filling, false, false);
	release_pins();
}

static void
forget_at_exit(void)
{
	static int	registered_pid = 0;

	if (shared == NULL || registered_pid == MyProcPid)
		return;
	before_shmem_exit(release_at_exit, (Datum) 0);
	registered_pid = MyProcPid;
}

/* Read a segment into an entry that this session fills, and pin it. */
static void
fill_entry(CacheEntry *entry, const SearchSegmentRow *row, Snapshot snapshot)
{
	PG_TRY();
	{
		search_store_read(row, snapshot, entry_segment(entry));
	}
	PG_CATCH();
	{
		end_filling(entry, false, false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	end_filling(entry, true, true);
}

/* Pin a segment's entry, having filled it if need be; NULL when there is no room. */
static CacheEntry *
acquire_entry(const SearchSegmentRow *row, Snapshot snapshot)
{
	CacheEntry *entry = pin_filled(row->id);
	bool		fill;

	if (entry != NULL)
		return entry;
	search_store_lock_blocks();
	entry = get_entry(row, &fill);
	if (fill)
		fill_entry(entry, row, snapshot);
	if (reads_too_soon)
		complain(snapshot);
	reads_too_soon = false;
	return entry;
}

const SearchSegment *
search_cache_acquire(const SearchSegmentRow *row, Snapshot snapshot)
{
	CacheEntry *entry = NULL;

	forget_at_exit();
	if (shared != NULL && npinned < MAX_PINS)
		entry = acquire_entry(row, snapshot);
	return entry != NULL ? entry_segment(entry) : acquire_copy(row, snapshot);
}

void
search_cache_release(void)
{
	search_copy_sweep();
	release_pins();
}

void
search_cache_publish(const SearchSegmentRow *row, const SearchSegment *segment)
{
	CacheEntry *entry;

	if (shared == NULL)
		return;
	forget_at_exit();
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = filling = find_entry(row->id) == NULL ? begin_filling(row) : NULL;
	LWLockRelease(shared->lock);
	if (entry == NULL)
		return;
	memcpy(entry_segment(entry), segment, row->size);
	end_filling(entry, true, false);
}

void
search_cache_usage(uint64 *used, uint64 *total)
{
	*used = shared == NULL ? 0 : shared->used_pages * FPM_PAGE_SIZE;
	*total = shared == NULL ? 0 : shared->npages * FPM_PAGE_SIZE;
}

void
search_progress_set(const char *phase, int64 done, int64 total)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->progress_database = MyDatabaseId;
	shared->progress_phase = phase;
	shared->progress_done = done;
	shared->progress_total = total;
	LWLockRelease(shared->lock);
	shows_progress = true;
}

void
search_progress_end(void)
{
	if (!shows_progress)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->progress_database = InvalidOid;
	LWLockRelease(shared->lock);
	shows_progress = false;
}

bool
search_progress_get(SearchProgress *progress)
{
	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	progress->database = shared->progress_database;
	progress->phase = shared->progress_phase;
	progress->done = shared->progress_done;
	progress->total = shared->progress_total;
	LWLockRelease(shared->lock);
	return progress->database == MyDatabaseId;
}

uint64
search_changes_seen(void)
{
	return shared == NULL ? 0 : pg_atomic_read_u64(&shared->changes);
}

void
search_changes_count(void)
{
	if (shared == NULL)
		return;
	pg_atomic_fetch_add_u64(&shared->changes, 1);
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < MAX_MERGERS; i++)
	{
		if (shared->mergers[i].database == MyDatabaseId)
			SetLatch(shared->mergers[i].latch);
	}
	LWLockRelease(shared->lock);
}

/* before_shmem_exit callback of a merger. */
static void
leave_changes(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->mergers[DatumGetInt32(arg)].database = InvalidOid;
	LWLockRelease(shared->lock);
}

void
search_attend_changes(void)
{
	static bool attending = false;
	int			place = -1;

	if (attending || shared == NULL)
		return;
	attending = true;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_MERGERS && place < 0; i++)
	{
		if (!OidIsValid(shared->mergers[i].database))
			place = i;
	}
	if (place >= 0)
	{
		shared->mergers[place].database = MyDatabaseId;
		shared->mergers[place].latch = MyLatch;
	}
	LWLockRelease(shared->lock);
	if (place >= 0)
		before_shmem_exit(leave_changes, Int32GetDatum(place));
}

bool
search_cache_has_merger(void)
{
	bool		found = false;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < MAX_MERGERS && !found; i++)
		found = shared->mergers[i].database == MyDatabaseId;
	LWLockRelease(shared->lock);
	return found;
}

/* Transaction callback: after an error nobody else lets go. */
static void
release_at_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_ABORT && event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE)
		return;
	release_pins();
	search_progress_end();
}

static void
release_at_subend(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	release_pins();
	search_progress_end();
}

void
search_cache_init(void)
{
	RegisterXactCallback(release_at_end, NULL);
	RegisterSubXactCallback(release_at_subend, NULL);
	if (!padlock_preloaded)
		return;
	DefineCustomIntVariable("padlock.search_memory",
							"Shared memory for the search index.",
							"An index of a million products takes about 210 MB; a session keeps copies of its own of what finds no room. -1: a quarter of the machine's memory, 128 MB to 1 GB.",
							&search_memory, MEMORY_BY_MACHINE, MEMORY_BY_MACHINE, 1024 * 1024,
							PGC_POSTMASTER, GUC_UNIT_MB, choose_memory, NULL, NULL);
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = attach_memory;
}
