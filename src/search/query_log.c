/*-------------------------------------------------------------------------
 *
 * query_log.c
 *	  What visitors search for, counted by day, when padlock.search_log is on.
 *
 * Searches run in read-only transactions and must not write, so they count in
 * a shared table, which a background worker adds to search_log every few
 * seconds.  Counted is the normalised text, by day: no user, no address, no
 * time of day, digits replaced, and nothing with an @ in it.  Searches that
 * the full shared table cannot take are not counted, and beyond MAX_DAY_TERMS
 * texts a day new ones are counted together, under an empty text: visitors
 * decide what they type, not how big the table grows.
 *
 * Locking contract: one lock, held for one look-up, or while the entries are
 * copied; never while a statement runs.
 *
 * Crash contract: what was counted since the last write is lost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/core.h"
#include "core/spi.h"
#include "search/query_log.h"
#include "search/split.h"

#define TRANCHE			"padlock_search_log"
#define MAX_COUNTS		1024
#define MAX_TEXT		120		/* bytes of a normalised text */
#define MAX_DAY_TERMS	10000

typedef struct CountTag
{
	Oid			database;
	DateADT		day;			/* UTC */
	char		text[MAX_TEXT]; /* zero-padded */
} CountTag;

typedef struct Count
{
	CountTag	tag;			/* hash key: must be first */
	int64		searches;
	int64		empty;			/* without a result */
	int64		relaxed;
	int64		results;		/* of all */
	double		milliseconds;	/* of all */
	double		slowest;
} Count;

static bool search_log = false;

/* NULL unless padlock was preloaded. */
static HTAB *counts = NULL;
static LWLock *lock = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(hash_estimate_size(MAX_COUNTS, sizeof(Count)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
start_shared_memory(void)
{
	HASHCTL		control = {0};

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	control.keysize = sizeof(CountTag);
	control.entrysize = sizeof(Count);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	counts = ShmemInitHash(TRANCHE, MAX_COUNTS, MAX_COUNTS, &control,
						   HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	lock = &(GetNamedLWLockTranche(TRANCHE))->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
search_log_init(void)
{
	DefineCustomBoolVariable("padlock.search_log",
							 "Count what is searched for, by day and text.",
							 "No user, address or time of day is kept; digits and words with an @ are not either.",
							 &search_log, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	if (!padlock_preloaded)
		return;
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

/* Does the blank-separated part of the text that holds a word have an @? */
static bool
is_in_address(const SearchSplit *word)
{
	int			start = word->start;

	while (start > 0 && (unsigned char) word->text[start - 1] > ' ')
		start--;
	for (int i = start; i < word->length && (unsigned char) word->text[i] > ' '; i++)
	{
		if (word->text[i] == '@')
			return true;
	}
	return false;
}

/* Does a word begin what a minus excludes? */
static bool
is_excluded(const SearchSplit *word)
{
	int			at = word->start - 1;

	if (at > 0 && word->text[at] == '"')
		at--;
	return at >= 0 && word->text[at] == '-' && (at == 0 || (unsigned char) word->text[at - 1] <= ' ');
}

/* Append a word, digits as #, if there is room for all of it. */
static void
append_word(char *text, int *length, const SearchSplit *word)
{
	int			blank = *length > 0 ? 1 : 0;
	int			minus = is_excluded(word) ? 1 : 0;

	if (*length + blank + minus + word->form_length >= MAX_TEXT)
		return;
	if (blank)
		text[(*length)++] = ' ';
	if (minus)
		text[(*length)++] = '-';
	for (int i = 0; i < word->form_length; i++)
	{
		char		c = word->form[i];

		text[(*length)++] = (c >= '0' && c <= '9') ? '#' : c;
	}
}

/* The key of a search's count. */
static void
make_tag(CountTag *tag, const char *term)
{
	SearchSplit word;
	int			length = 0;

	memset(tag, 0, sizeof(*tag));
	tag->database = MyDatabaseId;
	/* both types count from the same day */
	tag->day = (DateADT) (GetCurrentTimestamp() / USECS_PER_DAY);
	search_split(&word, term, strlen(term));
	while (search_split_next(&word))
	{
		if (!is_in_address(&word))
			append_word(tag->text, &length, &word);
	}
}

/* Add a search to a count. */
static void
add_search(Count *count, int64 results, bool relaxed, double milliseconds)
{
	count->searches++;
	count->empty += (results == 0);
	count->relaxed += relaxed;
	count->results += results;
	count->milliseconds += milliseconds;
	count->slowest = Max(count->slowest, milliseconds);
}

void
search_log_query(const char *term, int64 results, bool relaxed, double milliseconds)
{
	CountTag	tag;
	Count	   *count;
	bool		found;

	if (!search_log || counts == NULL || RecoveryInProgress())
		return;
	make_tag(&tag, term);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	count = hash_search(counts, &tag, HASH_ENTER_NULL, &found);
	if (count != NULL)
	{
		if (!found)
			memset((char *) count + sizeof(CountTag), 0, sizeof(Count) - sizeof(CountTag));
		add_search(count, results, relaxed, milliseconds);
	}
	LWLockRelease(lock);
}

/* Take this database's counts out of the shared table. */
static Count *
take_counts(int *n)
{
	Count	   *taken = palloc(sizeof(Count) * MAX_COUNTS);
	HASH_SEQ_STATUS scan;
	Count	   *count;

	*n = 0;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, counts);
	while ((count = hash_seq_search(&scan)) != NULL)
	{
		if (count->tag.database != MyDatabaseId)
			continue;
		taken[(*n)++] = *count;
		hash_search(counts, &count->tag, HASH_REMOVE, NULL);
	}
	LWLockRelease(lock);
	return taken;
}

/* Add a count to the table; a new text only while the day has room for it. */
static void
write_count(const Count *count)
{
	static PadlockStatement insert = {
		.sql = "INSERT INTO @app@.search_log AS l"
		" (day, terms, searches, empty, relaxed, results, milliseconds, slowest)"
		" SELECT $1, CASE WHEN EXISTS (SELECT FROM @app@.search_log WHERE day = $1 AND terms = $2)"
		" OR (SELECT count(*) FROM (SELECT FROM @app@.search_log WHERE day = $1 LIMIT $9) AS today) < $9"
		" THEN $2 ELSE '' END, $3, $4, $5, $6, $7, $8"
		" ON CONFLICT (day, terms) DO UPDATE SET searches = l.searches + excluded.searches,"
		" empty = l.empty + excluded.empty, relaxed = l.relaxed + excluded.relaxed,"
		" results = l.results + excluded.results,"
		" milliseconds = l.milliseconds + excluded.milliseconds,"
		" slowest = greatest(l.slowest, excluded.slowest)",
		.nargs = 9,
		.argtypes = {DATEOID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, FLOAT8OID, FLOAT8OID,
		INT8OID}
	};
	Datum		values[9] = {
		DateADTGetDatum(count->tag.day), CStringGetTextDatum(count->tag.text),
		Int64GetDatum(count->searches), Int64GetDatum(count->empty),
		Int64GetDatum(count->relaxed), Int64GetDatum(count->results),
		Float8GetDatum(count->milliseconds), Float8GetDatum(count->slowest),
		Int64GetDatum(MAX_DAY_TERMS)
	};

	padlock_spi_execute(&insert, values, NULL, false);
}

/* Write the counts, as the owner: no other role may write the table. */
static void
write_counts(void)
{
	PadlockUserContext saved;
	int			n;
	Count	   *taken = take_counts(&n);

	padlock_become_owner(&saved);
	SPI_connect();
	for (int i = 0; i < n; i++)
		write_count(&taken[i]);
	SPI_finish();
	padlock_restore_user(&saved);
}

/* May the table be written without waiting for whoever changes its definition? */
static bool
lock_table(void)
{
	Oid			relid = get_relname_relid("search_log", padlock_client_schema());

	return OidIsValid(relid) && ConditionalLockRelationOid(relid, RowExclusiveLock);
}

void
padlock_search_log_flush(void)
{
	MemoryContext caller = CurrentMemoryContext;

	if (counts == NULL || RecoveryInProgress() || hash_get_num_entries(counts) == 0)
		return;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (lock_table())
		write_counts();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
}
