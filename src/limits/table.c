/*-------------------------------------------------------------------------
 *
 * table.c
 *	  The limiter's table in shared memory.
 *
 * Counters live in an array of fixed size, found by hash chains.  They are no
 * part of any transaction: a request counts although it fails, read-only
 * transactions and replicas count as well.
 *
 * Locking: the chains are divided among partitions, each with an LWLock.  To
 * look a key up and count, a backend holds its partition's lock in shared
 * mode and the counter's spinlock for the few dozen instructions of the count
 * (the way of pg_stat_statements).  To link or unlink a counter it holds the
 * partition's lock exclusively.  Nobody ever holds two partition locks.  Free
 * slots are a list under a spinlock of its own.
 *
 * When no slot is free a victim is chosen among a random sample: an idle
 * counter if there is one, else the one that has used the smallest part of
 * its limit, and of equals the one unused for longest.  A counter that has
 * reached its limit is never evicted: forgetting it would unblock its key.
 * When the whole sample is at its limit, the newcomer is refused.  The hash
 * takes secrets that are drawn at start, so that nobody can choose keys for
 * one chain.
 *
 * The length of the window is part of the key: a caller who is held to five a
 * minute and fifty an hour has two counters, and neither disturbs the other.
 *
 * Crash: the table is lost with the shared memory; state.c brings back what
 * the last save held.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/pg_prng.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"

#include "core/boot.h"
#include "limits/table.h"

#define PARTITIONS		64
#define SAMPLE			64
#define SECRETS			(2 * ((sizeof(LimitKey) + KEY_BLOCK - 1) / KEY_BLOCK) + 4)
#define LINE			64		/* bytes that the processor's cache fetches at once */
#define NO_SLOT			PG_UINT32_MAX
#define TRANCHE			"padlock_limits"

/* Keeps the clock far above zero, as window.h wants: ten years. */
#define CLOCK_BASE		(INT64CONST(3653) * 24 * 60 * USECS_PER_MIN)

/*
 * What a check mostly touches, from window.span up to the texts, lies in two
 * lines of the processor's cache; created, hash and older counts, in front,
 * do not matter to it.
 */
typedef struct LimitEntry
{
	int64		created;
	uint64		hash;
	RateWindow	window;
	uint32		limit;
	uint32		next;			/* next slot in the chain or the free list */
	bool		in_use;
	slock_t		mutex;			/* protects limit and window */
	LimitKey	key;
} pg_attribute_aligned(LINE) LimitEntry;

#define HOT_PART	offsetof(LimitEntry, window.span)

StaticAssertDecl(HOT_PART % LINE == 0 && sizeof(LimitEntry) % LINE == 0,
				 "what a check touches must begin a line");

typedef struct LimitPartition
{
	pg_atomic_uint64 allowed;
	pg_atomic_uint64 refused;
	char		padding[PG_CACHE_LINE_SIZE - 2 * sizeof(pg_atomic_uint64)];
} LimitPartition;

typedef struct LimitTable
{
	uint64		secrets[SECRETS];	/* for hash_key() */
	uint32		chains;			/* a power of two */
	uint32		max_keys;
	slock_t		free_mutex;		/* protects free_head, used */
	uint32		free_head;
	uint32		used;
	pg_atomic_uint32 changed;
	pg_atomic_uint64 evicted;
	LimitPartition partitions[PARTITIONS];
} LimitTable;

int			limits_max_keys = 100000;

static LimitTable *table = NULL;
static uint32 *heads = NULL;
static LimitEntry *entries = NULL;
static LWLockPadded *locks = NULL;

int64
limits_clock(void)
{
	return CLOCK_BASE + padlock_boot_clock();
}

static uint32
chain_count(void)
{
	return pg_nextpower2_32(Max(limits_max_keys, PARTITIONS));
}

static Size
memory_size(void)
{
	Size		size = MAXALIGN(sizeof(LimitTable));

	size = add_size(size, MAXALIGN(mul_size(chain_count(), sizeof(uint32))));
	size = add_size(size, _Alignof(LimitEntry));
	return add_size(size, mul_size(limits_max_keys, sizeof(LimitEntry)));
}

void
limits_request_memory(void)
{
	RequestAddinShmemSpace(memory_size());
	RequestNamedLWLockTranche(TRANCHE, PARTITIONS);
}

/* Make an empty table. */
static void
initialize(void)
{
	memset(table, 0, sizeof(LimitTable));
	if (!pg_strong_random(table->secrets, sizeof(table->secrets)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	table->chains = chain_count();
	table->max_keys = limits_max_keys;
	SpinLockInit(&table->free_mutex);
	pg_atomic_init_u32(&table->changed, 0);
	pg_atomic_init_u64(&table->evicted, 0);
	for (int i = 0; i < PARTITIONS; i++)
	{
		pg_atomic_init_u64(&table->partitions[i].allowed, 0);
		pg_atomic_init_u64(&table->partitions[i].refused, 0);
	}
	for (uint32 i = 0; i < table->chains; i++)
		heads[i] = NO_SLOT;
	for (uint32 i = 0; i < table->max_keys; i++)
	{
		entries[i].in_use = false;
		entries[i].next = i + 1 < table->max_keys ? i + 1 : NO_SLOT;
		SpinLockInit(&entries[i].mutex);
	}
	table->free_head = 0;
}

bool
limits_attach_memory(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	table = ShmemInitStruct("padlock limits", memory_size(), &found);
	heads = (uint32 *) ((char *) table + MAXALIGN(sizeof(LimitTable)));
	entries = (LimitEntry *) TYPEALIGN(_Alignof(LimitEntry), heads + chain_count());
	locks = GetNamedLWLockTranche(TRANCHE);
	if (!found)
		initialize();
	LWLockRelease(AddinShmemInitLock);
	return !found;
}

bool
limits_are_attached(void)
{
	return table != NULL;
}

/*
 * Keep a text within the bound: a longer one becomes its first bytes, '~' and
 * 128 bits of its SHA-256 in hexadecimal, so that two of them never meet.
 */
static uint8
bounded(char *target, size_t bound, const char *text, size_t length)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *context;
	size_t		kept = bound - 33;

	if (length <= bound)
	{
		memcpy(target, text, length);
		return (uint8) length;
	}
	context = pg_cryptohash_create(PG_SHA256);
	if (context == NULL || pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) text, length) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 hash")));
	pg_cryptohash_free(context);
	while (kept > 0 && (text[kept] & 0xC0) == 0x80)
		kept--;					/* do not cut a UTF-8 character */
	memcpy(target, text, kept);
	target[kept] = '~';
	hex_encode((const char *) digest, 16, target + kept + 1);
	return (uint8) (kept + 33);
}

void
limits_make_key(LimitKey *key, const char *identifier, size_t identifier_length,
				const char *endpoint, size_t endpoint_length, int32 window_minutes)
{
	memset(key, 0, KEY_BLOCK);
	key->database = MyDatabaseId;
	key->window_minutes = window_minutes;
	key->identifier_length = bounded(key->text, MAX_IDENTIFIER, identifier, identifier_length);
	key->endpoint_length = bounded(key->text + key->identifier_length, MAX_ENDPOINT, endpoint,
								   endpoint_length);
}

/* The product of two words of a key, each with a secret added. */
static uint128
block_product(const char *block, const uint64 *secrets)
{
	uint64		words[2];

	memcpy(words, block, sizeof(words));
	return (uint128) (words[0] + secrets[0]) * (words[1] + secrets[1]);
}

static uint128
wide_secret(const uint64 *secrets)
{
	return (uint128) secrets[0] << 64 | secrets[1];
}

/*
 * NH, the first step of UMAC (RFC 4418, there with words of 32 bits), and on
 * the two words of its sum the multilinear hash of Lemire and Kaser ("Strongly
 * universal string hashing is fast", 2014).  For any two keys, whoever chose
 * them, the sums are equal with a probability of 2^-64 at most, and if they
 * are not, the chains are as if drawn.  The last block overlaps the one before
 * it, which spares the padding: where it begins depends on the lengths alone,
 * and keys of different lengths differ in the first block already.
 */
static uint64
hash_key(const LimitKey *key)
{
	const char *bytes = (const char *) key;
	const uint64 *secrets = table->secrets;
	size_t		size = limits_key_size(key);
	uint128		sum = block_product(bytes, secrets);

	for (size_t at = KEY_BLOCK; at < size; at += KEY_BLOCK)
	{
		secrets += 2;
		sum += block_product(bytes + Min(at, size - KEY_BLOCK), secrets);
	}
	sum = (uint64) sum * wide_secret(&table->secrets[SECRETS - 4]) +
		(uint64) (sum >> 64) * wide_secret(&table->secrets[SECRETS - 2]);
	return (uint64) (sum >> 64);
}

static uint32
chain_of(uint64 hash)
{
	return (uint32) hash & (table->chains - 1);
}

static LWLock *
lock_of(uint64 hash)
{
	return &locks[chain_of(hash) % PARTITIONS].lock;
}

/* The key's slot, or NO_SLOT; the caller holds the partition's lock. */
static uint32
find(const LimitKey *key, uint64 hash)
{
	uint32		slot = heads[chain_of(hash)];

	while (slot != NO_SLOT && memcmp(&entries[slot].key, key, limits_key_size(key)) != 0)
		slot = entries[slot].next;
	return slot;
}

static void
link_entry(uint32 slot)
{
	uint32	   *head = &heads[chain_of(entries[slot].hash)];

	entries[slot].next = *head;
	entries[slot].in_use = true;
	*head = slot;
}

static void
unlink_entry(uint32 slot)
{
	uint32	   *link = &heads[chain_of(entries[slot].hash)];

	while (*link != slot)
		link = &entries[*link].next;
	*link = entries[slot].next;
	entries[slot].in_use = false;
}

static uint32
take_free_slot(void)
{
	uint32		slot;

	SpinLockAcquire(&table->free_mutex);
	slot = table->free_head;
	if (slot != NO_SLOT)
	{
		table->free_head = entries[slot].next;
		table->used++;
	}
	SpinLockRelease(&table->free_mutex);
	return slot;
}

static void
give_free_slot(uint32 slot)
{
	SpinLockAcquire(&table->free_mutex);
	entries[slot].next = table->free_head;
	table->free_head = slot;
	table->used--;
	SpinLockRelease(&table->free_mutex);
}

/*
 * How much harm evicting an entry would do: -1 for none, up to 1000 for what
 * has reached its limit.  Read without locks, as a hint.
 */
static int
harm(const LimitEntry *entry, int64 now)
{
	const volatile LimitEntry *shared = entry;
	uint32		limit = shared->limit;
	uint32		total = shared->window.total;
	int64		span = shared->window.span;

	/* each value is read once: another session may change it meanwhile */
	if (total == 0 || span <= 0 ||
		now / rate_sub_window(span) - shared->window.newest >= RATE_SUB_WINDOWS)
		return -1;
	if (total >= limit)
		return 1000;
	return (int) ((uint64) total * 999 / limit);
}

/* The best victim of a random sample, or NO_SLOT if all are at their limits. */
static uint32
choose_victim(int64 now)
{
	uint32		victim = NO_SLOT;
	int			least = 1000;

	for (int i = 0; i < SAMPLE && least >= 0; i++)
	{
		uint32		slot = (uint32) pg_prng_uint64_range(&pg_global_prng_state, 0,
														 table->max_keys - 1);
		int			its_harm = entries[slot].in_use ? harm(&entries[slot], now) : 1000;

		if (its_harm < least ||
			(its_harm == least && victim != NO_SLOT &&
			 entries[slot].window.newest * rate_sub_window(entries[slot].window.span) <
			 entries[victim].window.newest * rate_sub_window(entries[victim].window.span)))
		{
			victim = slot;
			least = its_harm;
		}
	}
	return victim;
}

/* Unlink a victim unless it has reached its limit meanwhile. */
static bool
evict(uint32 slot, int64 now)
{
	uint64		hash = entries[slot].hash;
	LWLock	   *lock = lock_of(hash);
	int			its_harm;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (!entries[slot].in_use || entries[slot].hash != hash ||
		(its_harm = harm(&entries[slot], now)) == 1000)
	{
		LWLockRelease(lock);
		return false;
	}
	unlink_entry(slot);
	LWLockRelease(lock);
	if (its_harm >= 0)
		pg_atomic_fetch_add_u64(&table->evicted, 1);
	return true;
}

/* A slot for a new counter, at the expense of another if need be. */
static uint32
obtain_slot(int64 now)
{
	uint32		slot = take_free_slot();

	for (int attempt = 0; slot == NO_SLOT && attempt < 4; attempt++)
	{
		uint32		victim = choose_victim(now);

		if (victim != NO_SLOT && evict(victim, now))
			slot = victim;
		else
			slot = take_free_slot();
	}
	return slot;
}

/* Count in an entry whose partition's lock the caller holds; admitted? */
static bool
count(LimitEntry *entry, uint32 limit, int64 span, int64 now, LimitAnswer *answer)
{
	RateWindow *window = &entry->window;
	bool		admitted;

	SpinLockAcquire(&entry->mutex);
	entry->limit = limit;
	admitted = rate_window_admit(window, limit, span, now);
	if (answer != NULL)
	{
		answer->admitted = admitted;
		answer->remaining = limit > window->total ? limit - window->total : 0;
		answer->reset = rate_window_reset(window, now);
		answer->retry_after = admitted ? 0 : rate_window_wait(window, limit, now);
	}
	SpinLockRelease(&entry->mutex);
	return admitted;
}

/* Add to the partition's totals and note that there is something to save. */
static void
account(uint64 hash, bool admitted)
{
	LimitPartition *partition = &table->partitions[chain_of(hash) % PARTITIONS];

	pg_atomic_fetch_add_u64(admitted ? &partition->allowed : &partition->refused, 1);
	if (pg_atomic_read_u32(&table->changed) == 0)
		pg_atomic_write_u32(&table->changed, 1);
}

/* Make a free entry that of a key of which nothing is counted. */
static void
fill_entry(LimitEntry *entry, const LimitKey *key, uint64 hash, int64 created)
{
	entry->created = created;
	entry->hash = hash;
	memset(&entry->window, 0, sizeof(entry->window));
	entry->limit = 0;
	memset(&entry->key, 0, sizeof(entry->key));
	memcpy(&entry->key, key, limits_key_size(key));
}

/* Make a counter for a key that had none, unless somebody else just did. */
static bool
insert_and_count(const LimitKey *key, uint64 hash, uint32 limit, int64 span, int64 now,
				 LimitAnswer *answer)
{
	LWLock	   *lock = lock_of(hash);
	uint32		fresh = obtain_slot(now);
	uint32		slot;
	bool		admitted;

	if (fresh == NO_SLOT)
	{
		if (answer != NULL)
		{
			answer->admitted = false;
			answer->remaining = 0;
			answer->reset = answer->retry_after = rate_sub_window(span);
		}
		return false;
	}
	LWLockAcquire(lock, LW_EXCLUSIVE);
	slot = find(key, hash);
	if (slot == NO_SLOT)
	{
		slot = fresh;
		fresh = NO_SLOT;
		fill_entry(&entries[slot], key, hash, now);
		link_entry(slot);
	}
	admitted = count(&entries[slot], limit, span, now, answer);
	LWLockRelease(lock);
	if (fresh != NO_SLOT)
		give_free_slot(fresh);
	return admitted;
}

/*
 * Have the processor fetch the counter that a check will most likely touch,
 * the first of its chain: with more keys than its caches hold, waiting for
 * memory is most of a check's time.  The chain is read without lock, since
 * what is found there is no more than a guess.
 */
static void
prefetch(uint64 hash)
{
	uint32		slot = heads[chain_of(hash)];

	if (slot == NO_SLOT)
		return;
	__builtin_prefetch((char *) &entries[slot] + HOT_PART, 1);
	__builtin_prefetch((char *) &entries[slot] + HOT_PART + LINE, 1);
}

bool
limits_check(const LimitKey *key, uint32 limit, LimitAnswer *answer)
{
	int64		span = key->window_minutes * USECS_PER_MIN;
	uint64		hash = hash_key(key);
	LWLock	   *lock = lock_of(hash);
	int64		now;
	uint32		slot;
	bool		admitted = false;

	__builtin_prefetch(&heads[chain_of(hash)]);
	now = limits_clock();
	prefetch(hash);
	LWLockAcquire(lock, LW_SHARED);
	slot = find(key, hash);
	if (slot != NO_SLOT)
		admitted = count(&entries[slot], limit, span, now, answer);
	LWLockRelease(lock);
	if (slot == NO_SLOT)
		admitted = insert_and_count(key, hash, limit, span, now, answer);
	account(hash, admitted);
	return admitted;
}

void
limits_give_back(const LimitKey *key)
{
	uint64		hash = hash_key(key);
	LWLock	   *lock = lock_of(hash);
	uint32		slot;

	LWLockAcquire(lock, LW_SHARED);
	slot = find(key, hash);
	if (slot != NO_SLOT)
	{
		SpinLockAcquire(&entries[slot].mutex);
		rate_window_give_back(&entries[slot].window);
		SpinLockRelease(&entries[slot].mutex);
		pg_atomic_write_u32(&table->changed, 1);
	}
	LWLockRelease(lock);
}

bool
limits_reset(const LimitKey *key)
{
	uint64		hash = hash_key(key);
	LWLock	   *lock = lock_of(hash);
	uint32		slot;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	slot = find(key, hash);
	if (slot != NO_SLOT)
		unlink_entry(slot);
	LWLockRelease(lock);
	if (slot == NO_SLOT)
		return false;
	give_free_slot(slot);
	pg_atomic_write_u32(&table->changed, 1);
	return true;
}

/* Do two keys differ in nothing but the window? */
static bool
is_same_caller(const LimitKey *a, const LimitKey *b)
{
	return a->database == b->database && a->identifier_length == b->identifier_length &&
		a->endpoint_length == b->endpoint_length &&
		memcmp(a->text, b->text, limits_key_size(a) - offsetof(LimitKey, text)) == 0;
}

bool
limits_reset_windows(const LimitKey *key)
{
	bool		found = false;

	for (uint32 slot = 0; slot < table->max_keys; slot++)
	{
		LimitKey	candidate;

		CHECK_FOR_INTERRUPTS();
		if (!entries[slot].in_use)
			continue;
		candidate = entries[slot].key;	/* a guess; limits_reset() looks again */
		if (candidate.identifier_length <= MAX_IDENTIFIER &&
			candidate.endpoint_length <= MAX_ENDPOINT && is_same_caller(&candidate, key) &&
			limits_reset(&candidate))
			found = true;
	}
	return found;
}

bool
limits_restore(const LimitCounter *counter)
{
	uint32		slot = take_free_slot();

	if (slot == NO_SLOT)
		return false;
	fill_entry(&entries[slot], &counter->key, hash_key(&counter->key), counter->created);
	entries[slot].limit = counter->limit;
	entries[slot].window = counter->window;
	link_entry(slot);
	return true;
}

static void
copy_entry(const LimitEntry *entry, LimitCounter *counter)
{
	counter->key = entry->key;
	counter->limit = entry->limit;
	counter->created = entry->created;
	counter->window = entry->window;
}

/* Copy a counter under its locks; false when the slot was freed meanwhile. */
static bool
copy_locked(LimitEntry *entry, LimitCounter *counter)
{
	uint64		hash = entry->hash;
	LWLock	   *lock = lock_of(hash);
	bool		found;

	LWLockAcquire(lock, LW_SHARED);
	found = entry->in_use && entry->hash == hash;
	if (found)
	{
		SpinLockAcquire(&entry->mutex);
		copy_entry(entry, counter);
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(lock);
	return found;
}

bool
limits_read(uint32 slot, int64 now, LimitCounter *counter)
{
	LimitEntry *entry = &entries[slot];

	if (!entry->in_use)
		return false;
	/* at its exit the postmaster is alone, and a lock may be left behind */
	if (!IsUnderPostmaster)
		copy_entry(entry, counter);
	else if (!copy_locked(entry, counter))
		return false;
	if (rate_window_is_idle(&counter->window, now))
		return false;
	rate_window_advance(&counter->window, counter->window.span, now);
	return counter->window.total > 0;
}

void
limits_sweep(void)
{
	int64		now = limits_clock();

	for (uint32 slot = 0; slot < table->max_keys; slot++)
	{
		LimitEntry *entry = &entries[slot];
		uint64		hash = entry->hash;
		bool		idle;

		if (!entry->in_use || harm(entry, now) >= 0)
			continue;
		LWLockAcquire(lock_of(hash), LW_EXCLUSIVE);
		idle = entry->in_use && entry->hash == hash &&
			rate_window_is_idle(&entry->window, now);
		if (idle)
			unlink_entry(slot);
		LWLockRelease(lock_of(hash));
		if (idle)
			give_free_slot(slot);
	}
}

void
limits_totals(LimitTotals *totals)
{
	memset(totals, 0, sizeof(*totals));
	totals->keys = table->used;
	totals->max_keys = table->max_keys;
	totals->evicted = pg_atomic_read_u64(&table->evicted);
	totals->memory = memory_size();
	for (int i = 0; i < PARTITIONS; i++)
	{
		totals->allowed += pg_atomic_read_u64(&table->partitions[i].allowed);
		totals->refused += pg_atomic_read_u64(&table->partitions[i].refused);
	}
}

bool
limits_take_changed(void)
{
	return pg_atomic_exchange_u32(&table->changed, 0) != 0;
}
