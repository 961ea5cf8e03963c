/*-------------------------------------------------------------------------
 *
 * window.h
 *	  Counting requests in a sliding window of 60 sub-windows.
 *
 * A window of length W is counted in 60 sub-windows of W/59, rounded up.  A
 * request at time t is counted in the sub-window that holds t and forgotten
 * when that sub-window is the 61st newest, which is later than t + 59 * W/59
 * = t + W.  So never more than the limit is admitted in any trailing window
 * of length W, at whatever instant it is looked at; the price is that a
 * request is remembered for up to 1/59 of W longer than W.  A fixed window
 * admits twice the limit around its edge, and so do a two-window estimate and
 * a token bucket that starts full.
 *
 * Plain C without server headers: the property test drives it with a clock of
 * its own.  Times are microseconds on any clock that never goes back and is
 * far enough above zero that now minus a window is positive.
 *
 * The newest sub-window's count is held beside the other fields and put among
 * the others when the next sub-window begins, and the array comes first: so a
 * request mostly touches the last 24 bytes only, and what its user puts behind
 * the structure lies in the same line of the processor's cache.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WINDOW_H
#define PADLOCK_WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RATE_SUB_WINDOWS 60

typedef struct RateWindow
{
	uint32_t	counts[RATE_SUB_WINDOWS];	/* by sub-window number modulo 60; 0 at newest */
	int64_t		span;			/* window length; 0 while never used */
	int64_t		newest;			/* number of the newest sub-window */
	uint32_t	current;		/* count of the newest sub-window */
	uint32_t	total;			/* sum of counts and current */
} RateWindow;

/* Length of a sub-window. */
static inline int64_t
rate_sub_window(int64_t span)
{
	return (span + RATE_SUB_WINDOWS - 2) / (RATE_SUB_WINDOWS - 1);
}

/* What is counted in the sub-window age before the newest, 0 to 59. */
static inline uint32_t
rate_window_count(const RateWindow *window, int age)
{
	return age == 0 ? window->current : window->counts[(window->newest - age) % RATE_SUB_WINDOWS];
}

/* Has everything counted left the window by now? */
static inline bool
rate_window_is_idle(const RateWindow *window, int64_t now)
{
	return window->total == 0 || window->span == 0 ||
		now / rate_sub_window(window->span) - window->newest >= RATE_SUB_WINDOWS;
}

/*
 * Move what is counted into sub-windows of another length, or by a shift of
 * the clock, or both.  A sub-window's requests go where its end falls, so that
 * none is forgotten early.
 */
static inline void
rate_window_move(RateWindow *window, int64_t span, int64_t shift, int64_t now)
{
	RateWindow	old = *window;
	int64_t		old_sub = rate_sub_window(old.span);
	int64_t		sub = rate_sub_window(span);

	memset(window, 0, sizeof(*window));
	window->span = span;
	window->newest = now / sub;
	if (old.span == 0)
		return;
	for (int i = 0; i < RATE_SUB_WINDOWS; i++)
	{
		int64_t		number = old.newest - i;
		uint32_t	count = rate_window_count(&old, i);
		int64_t		target = ((number + 1) * old_sub - 1 + shift) / sub;

		if (target > window->newest)
			target = window->newest;
		if (count == 0 || window->newest - target >= RATE_SUB_WINDOWS)
			continue;
		if (target == window->newest)
			window->current += count;
		else
			window->counts[target % RATE_SUB_WINDOWS] += count;
		window->total += count;
	}
}

/* Begin a later sub-window and forget those that are then too old. */
static inline void
rate_window_begin(RateWindow *window, int64_t number)
{
	window->counts[window->newest % RATE_SUB_WINDOWS] = window->current;
	window->current = 0;
	if (number - window->newest >= RATE_SUB_WINDOWS)
	{
		memset(window->counts, 0, sizeof(window->counts));
		window->total = 0;
		window->newest = number;
	}
	while (window->newest < number)
	{
		uint32_t   *count = &window->counts[++window->newest % RATE_SUB_WINDOWS];

		window->total -= *count;
		*count = 0;
	}
}

/* Forget what has left the window by now. */
static inline void
rate_window_advance(RateWindow *window, int64_t span, int64_t now)
{
	int64_t		sub = rate_sub_window(span);

	if (window->span != span)
		rate_window_move(window, span, 0, now);
	if (now >= (window->newest + 1) * sub)
		rate_window_begin(window, now / sub);
}

/* Count a request if fewer than limit are in the window; is it admitted? */
static inline bool
rate_window_admit(RateWindow *window, uint32_t limit, int64_t span, int64_t now)
{
	rate_window_advance(window, span, now);
	if (window->total >= limit)
		return false;
	window->current++;
	window->total++;
	return true;
}

/* Take back a request of the newest sub-window, if there is one. */
static inline void
rate_window_give_back(RateWindow *window)
{
	if (window->current == 0)
		return;
	window->current--;
	window->total--;
}

/*
 * How long until fewer than limit are in the window, after
 * rate_window_advance().
 */
static inline int64_t
rate_window_wait(const RateWindow *window, uint32_t limit, int64_t now)
{
	int64_t		sub = rate_sub_window(window->span);
	uint32_t	left = window->total;

	if (limit == 0)
		return window->span;
	for (int age = RATE_SUB_WINDOWS - 1; age >= 0 && left >= limit; age--)
	{
		left -= rate_window_count(window, age);
		if (left < limit)
			return (window->newest - age + RATE_SUB_WINDOWS) * sub - now;
	}
	return 0;
}

/*
 * How long until nothing is in the window, after rate_window_advance(): until
 * the newest request leaves it, which is found at once when it was just
 * admitted.
 */
static inline int64_t
rate_window_reset(const RateWindow *window, int64_t now)
{
	for (int age = 0; age < RATE_SUB_WINDOWS; age++)
	{
		if (rate_window_count(window, age) != 0)
			return (window->newest - age + RATE_SUB_WINDOWS) * rate_sub_window(window->span) - now;
	}
	return 0;
}

#endif							/* PADLOCK_WINDOW_H */
