/*-------------------------------------------------------------------------
 *
 * query_log.c
 *	  What visitors search for, counted by day, when padlock.search_log is on.
 *
 * Searches run in read-only transactions and must not write, so they count in
 * a shared table, which a background worker adds to search_log every few
 * seconds.  Counted is the normalised text, by day: no user, no address, no
 * time of day, digits replaced, and nothing with an @ in it.
 *
 * A text that hardly anybody searches for may be about somebody.  So a text is
 * counted under an empty text until it has been searched for OFTEN times in a
 * day; so long it is remembered in shared memory only.  The seldom ones are
 * forgotten early when the shared table fills up.
 *
 * Searches that the full shared table cannot take are counted under the empty
 * text, and so are new ones beyond MAX_DAY_TERMS texts a day: visitors decide
 * what they type, not how big the table grows.
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
#include "search/query_parse.h"
#include "search/split.h"

#define TRANCHE			"padlock_search_log"
#define MAX_COUNTS		8192
#define OFTEN			3		/* times a day */
#define MAX_TEXT		120		/* bytes of a normalised text */
#define MAX_DAY_TERMS	10000

typedef struct CountTag
{
	Oid			database;
	DateADT		day;			/* UTC */
	char		text[MAX_TEXT]; /* zero-padded */
} CountTag;

/* Searches that are not in search_log yet. */
typedef struct Sum
{
	int64		searches;
	int64		empty;			/* without a result */
	int64		relaxed;
	int64		results;		/* of all */
	double		milliseconds;	/* of all */
	double		slowest;
} Sum;

typedef struct Count
{
	CountTag	tag;			/* hash key: must be first */
	int			seen;			/* searches of the day, up to OFTEN */
	Sum			sum;
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
							 "No user, address or time of day is kept, nor digits and words with an @, nor what is searched for less than three times a day.",
							 &search_log, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	if (!padlock_preloaded)
		return;
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

/* Is there an @ here?  In UTF-8 also one of the characters that NFKC makes an @. */
static bool
is_at_sign(const char *text, int length)
{
	if (text[0] == '@')
		return true;
	return GetDatabaseEncoding() == PG_UTF8 && length >= 3 &&
		(memcmp(text, "\xEF\xBC\xA0", 3) == 0 ||	/* U+FF20 fullwidth */
		 memcmp(text, "\xEF\xB9\xAB", 3) == 0);	/* U+FE6B small */
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
		if (is_at_sign(word->text + i, word->length - i))
			return true;
	}
	return false;
}

/*
 * The zeros of the decimal digits that NFKC does not make ASCII: nine more
 * digits follow each (Unicode 15, general category Nd).
 */
static const pg_wchar zeros[] = {
	0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6,
	0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0,
	0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0,
	0xAA50, 0xABF0, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450,
	0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x11F50,
	0x16A60, 0x16AC0, 0x16B50, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E950
};

/* Is the character of a form a decimal digit of some script? */
static bool
is_digit(const char *character)
{
	pg_wchar	point;

	if (!IS_HIGHBIT_SET(*character))
		return *character >= '0' && *character <= '9';
	if (GetDatabaseEncoding() != PG_UTF8)
		return false;
	point = utf8_to_unicode((const unsigned char *) character);
	for (int i = 0; i < lengthof(zeros); i++)
	{
		if (point >= zeros[i] && point < zeros[i] + 10)
			return true;
	}
	return false;
}

/* Append a word, digits as #, if there is room for all of it. */
static void
append_word(char *text, int *length, const SearchSplit *word)
{
	int			blank = *length > 0 ? 1 : 0;
	int			minus = search_query_excludes(word->text, word->start) ? 1 : 0;
	int			bytes;

	if (*length + blank + minus + word->form_length >= MAX_TEXT)
		return;
	if (blank)
		text[(*length)++] = ' ';
	if (minus)
		text[(*length)++] = '-';
	for (int i = 0; i < word->form_length; i += bytes)
	{
		bytes = Min(pg_mblen(word->form + i), word->form_length - i);
		if (is_digit(word->form + i))
			text[(*length)++] = '#';
		else
		{
			memcpy(text + *length, word->form + i, bytes);
			*length += bytes;
		}
	}
}

/* Days are those of UTC; both types count from the same one. */
static DateADT
today(void)
{
	return (DateADT) (GetCurrentTimestamp() / USECS_PER_DAY);
}

/* The key of a search's count. */
static void
make_tag(CountTag *tag, const char *term)
{
	SearchSplit word;
	int			length = 0;

	memset(tag, 0, sizeof(*tag));
	tag->database = MyDatabaseId;
	tag->day = today();
	search_split(&word, term, strlen(term));
	while (search_split_next(&word))
	{
		if (!is_in_address(&word))
			append_word(tag->text, &length, &word);
	}
}

/* The count of a text, made if need be; NULL when there is no room.  The lock is held. */
static Count *
find_count(const CountTag *tag)
{
	bool		found;
	Count	   *count = hash_search(counts, tag, HASH_ENTER_NULL, &found);

	if (count != NULL && !found)
		memset((char *) count + sizeof(CountTag), 0, sizeof(Count) - sizeof(CountTag));
	return count;
}

/* The count that a search goes to: the empty text's while it is seldom. */
static Count *
choose_count(CountTag *tag)
{
	Count	   *count = find_count(tag);

	if (count != NULL && count->seen < OFTEN)
		count->seen++;
	if (count != NULL && count->seen == OFTEN)
		return count;
	memset(tag->text, 0, MAX_TEXT);
	return find_count(tag);
}

/* Add a search to a sum. */
static void
add_search(Sum *sum, int64 results, bool relaxed, double milliseconds)
{
	sum->searches++;
	sum->empty += (results == 0);
	sum->relaxed += relaxed;
	sum->results += results;
	sum->milliseconds += milliseconds;
	sum->slowest = Max(sum->slowest, milliseconds);
}

void
search_log_query(const char *term, int64 results, bool relaxed, double milliseconds)
{
	CountTag	tag;
	Count	   *count;

	if (!search_log || counts == NULL || RecoveryInProgress())
		return;
	make_tag(&tag, term);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	count = choose_count(&tag);
	if (count != NULL)
		add_search(&count->sum, results, relaxed, milliseconds);
	LWLockRelease(lock);
}

/* May a count be forgotten, once its sum is written?  The lock is held. */
static bool
is_dispensable(const Count *count)
{
	return count->tag.day < today() ||
		(count->seen < OFTEN && hash_get_num_entries(counts) > MAX_COUNTS / 2);
}

/* Is there something to do for this database? */
static bool
has_work(void)
{
	HASH_SEQ_STATUS scan;
	Count	   *count;
	bool		found = false;

	LWLockAcquire(lock, LW_SHARED);
	hash_seq_init(&scan, counts);
	while (!found && (count = hash_seq_search(&scan)) != NULL)
		found = count->tag.database == MyDatabaseId &&
			(count->sum.searches > 0 || is_dispensable(count));
	if (found)
		hash_seq_term(&scan);
	LWLockRelease(lock);
	return found;
}

/* Take this database's sums out of the shared table. */
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
		if (count->sum.searches > 0)
			taken[(*n)++] = *count;
		memset(&count->sum, 0, sizeof(Sum));
		if (is_dispensable(count))
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
		Int64GetDatum(count->sum.searches), Int64GetDatum(count->sum.empty),
		Int64GetDatum(count->sum.relaxed), Int64GetDatum(count->sum.results),
		Float8GetDatum(count->sum.milliseconds), Float8GetDatum(count->sum.slowest),
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

	if (counts == NULL || RecoveryInProgress() || !has_work())
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

void
padlock_search_log_forget_database(Oid database)
{
	HASH_SEQ_STATUS scan;
	Count	   *count;

	if (counts == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, counts);
	while ((count = hash_seq_search(&scan)) != NULL)
		if (count->tag.database == database)
			hash_search(counts, &count->tag, HASH_REMOVE, NULL);
	LWLockRelease(lock);
}
