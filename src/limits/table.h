/*-------------------------------------------------------------------------
 *
 * table.h
 *	  The limiter's table in shared memory; for this room only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_LIMITS_TABLE_H
#define PADLOCK_LIMITS_TABLE_H

#include "storage/lwlock.h"
#include "storage/spin.h"

#include "limits/window.h"

#define MAX_IDENTIFIER	64		/* bytes kept; longer ones are hashed */
#define MAX_ENDPOINT	40
#define MAX_WINDOW_MINUTES (366 * 24 * 60)
#define USECS_PER_MIN	INT64CONST(60000000)

/* What one counter is for. */
typedef struct LimitKey
{
	Oid			database;		/* each database counts on its own */
	int32		window_minutes; /* and so does each window's length */
	uint8		identifier_length;
	uint8		endpoint_length;
	char		text[MAX_IDENTIFIER + MAX_ENDPOINT];	/* one after the other */
} LimitKey;

/*
 * Bytes of a key that mean something: it is hashed and compared as these, so
 * that a check touches little memory.  Bytes of the first KEY_BLOCK behind
 * them are zero.
 */
#define KEY_BLOCK		16

static inline size_t
limits_key_size(const LimitKey *key)
{
	return offsetof(LimitKey, text) + key->identifier_length + key->endpoint_length;
}

/* What a check found. */
typedef struct LimitAnswer
{
	bool		admitted;
	uint32		remaining;		/* requests left now */
	int64		reset;			/* microseconds until all are available again */
	int64		retry_after;	/* microseconds until one is; 0 when admitted */
} LimitAnswer;

/* A counter as padlock.rate_limit_keys() and the state file see it. */
typedef struct LimitCounter
{
	LimitKey	key;
	uint32		limit;			/* of the last check */
	int64		created;		/* limits_clock() at the first check */
	RateWindow	window;
} LimitCounter;

typedef struct LimitTotals
{
	uint32		keys;
	uint32		max_keys;
	uint64		allowed;
	uint64		refused;
	uint64		evicted;
	uint64		memory;			/* bytes of shared memory */
} LimitTotals;

/* Microseconds on a clock that never goes back and counts suspended time. */
extern int64 limits_clock(void);

/* Fill in a key of this database from texts of any length (1 or more). */
extern void limits_make_key(LimitKey *key, const char *identifier, size_t identifier_length,
							const char *endpoint, size_t endpoint_length,
							int32 window_minutes);

/*
 * Count a request; is it admitted?  The heart of the room.  answer may be NULL
 * when the caller wants to know no more than that.
 */
extern bool limits_check(const LimitKey *key, uint32 limit, LimitAnswer *answer);

/*
 * Take back what limits_check() counted just now.  Nothing is taken back when
 * a sub-window has begun meanwhile: at worst one request too many is counted.
 */
extern void limits_give_back(const LimitKey *key);

/* Forget a counter; false when there is none. */
extern bool limits_reset(const LimitKey *key);

/* Forget the counters of all windows of a key's caller and endpoint. */
extern bool limits_reset_windows(const LimitKey *key);

/* Put a counter back, at start, before anybody else looks; false when full. */
extern bool limits_restore(const LimitCounter *counter);

/*
 * The counter in a slot (0 to max_keys - 1), advanced to now; false when the
 * slot is free or the counter has nothing left in its window.
 */
extern bool limits_read(uint32 slot, int64 now, LimitCounter *counter);

/* Free the counters that have nothing left in their windows. */
extern void limits_sweep(void);

/* Totals since the server's start. */
extern void limits_totals(LimitTotals *totals);

/* Has a counter changed since the last call of limits_take_changed()? */
extern bool limits_take_changed(void);

/* Shared memory: ask for it, and find it (true when it was made just now). */
extern void limits_request_memory(void);
extern bool limits_attach_memory(void);

/* Is the shared memory there? */
extern bool limits_are_attached(void);

/* The setting padlock.rate_limit_max_keys. */
extern int	limits_max_keys;

/* state.c: the file that carries the counters over a restart. */
extern void limits_load_state(void);
extern void limits_save_state(bool durable);

#endif							/* PADLOCK_LIMITS_TABLE_H */
