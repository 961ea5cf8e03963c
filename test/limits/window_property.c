/*-------------------------------------------------------------------------
 *
 * window_property.c
 *	  Holds the sliding window of src/limits/window.h against an exact log.
 *
 * Usage: window_property ARRIVALS SEED.  For many limits, windows and arrival
 * patterns it checks at each of ARRIVALS requests that
 *	- no trailing window ever holds more admitted requests than the limit;
 *	- a refused request had the limit used up within the window and one
 *	  sub-window (the stated price of the approximation);
 *	- the wait that a refused caller is told is exact: refused a microsecond
 *	  earlier, admitted then;
 *	- all this holds as well when the window's length changes or the counters
 *	  are carried to another clock.
 * Prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "limits/window.h"

#define START	INT64_C(400000000000000)

static uint64_t state;
static int64_t *admitted;		/* exact times of admitted requests, ascending */
static int	count;
static int	failures;

static uint64_t
draw(uint64_t bound)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return bound > 0 ? state % bound : 0;
}

static void
expect(bool held, const char *what, int64_t now)
{
	if (!held && failures++ < 10)
		printf("# at %" PRId64 ": %s\n", now, what);
}

/* How many requests were admitted in (from, to]? */
static int
admitted_between(int64_t from, int64_t to)
{
	int			found = 0;

	for (int i = count - 1; i >= 0 && admitted[i] > from; i--)
		found += admitted[i] <= to;
	return found;
}

/* Time to the next arrival under one of several habits. */
static int64_t
pause(int habit, int64_t span, uint32_t limit)
{
	switch (habit)
	{
		case 0:					/* hammering */
			return (int64_t) draw(3);
		case 1:					/* about the rate allowed */
			return (int64_t) draw((uint64_t) (2 * span / limit + 1));
		case 2:					/* bursts around the window's edge */
			return draw(20) == 0 ? span - (int64_t) draw((uint64_t) (span / 50 + 1)) : (int64_t) draw(10);
		case 3:					/* whole sub-windows */
			return rate_sub_window(span) * (int64_t) draw(3);
		default:				/* long silences */
			return draw(200) == 0 ? span * (int64_t) draw(5) : (int64_t) draw((uint64_t) span / 100 + 1);
	}
}

static void
check_refused(RateWindow window, uint32_t limit, int64_t span, int64_t now)
{
	int64_t		wait = rate_window_wait(&window, limit, now);
	RateWindow	later = window;
	int64_t		remembered = RATE_SUB_WINDOWS * rate_sub_window(span);

	expect(admitted_between(now - remembered, now) >= (int) limit,
		   "refused although the limit was not used up", now);
	expect(wait > 0 && wait <= remembered, "told to wait too long", now);
	expect(rate_window_reset(&window, now) == rate_window_wait(&window, 1, now),
		   "told a wrong time of reset", now);
	expect(!rate_window_admit(&window, limit, span, now + wait - 1), "admitted before the wait", now);
	expect(rate_window_admit(&later, limit, span, now + wait), "refused after the wait", now);
}

/* One caller's life of `arrivals` requests. */
static void
live(int arrivals, uint32_t limit, int64_t span, int habit, bool moves)
{
	RateWindow	window = {0};
	int64_t		now = START + (int64_t) draw((uint64_t) span);

	count = 0;
	for (int i = 0; i < arrivals; i++)
	{
		now += pause(habit, span, limit);
		if (moves && draw(500) == 0)
		{
			int64_t		shift = (int64_t) draw((uint64_t) span) - span / 2;

			for (int j = 0; j < count; j++)
				admitted[j] += shift;
			now += shift;
			rate_window_move(&window, span, shift, now);
		}
		if (rate_window_admit(&window, limit, span, now))
		{
			admitted[count++] = now;
			expect(admitted_between(now - span, now) <= (int) limit,
				   "more than the limit in a trailing window", now);
		}
		else if (!moves)
			check_refused(window, limit, span, now);
	}
	now += 2 * span + RATE_SUB_WINDOWS;
	expect(rate_window_is_idle(&window, now), "not idle after two windows", now);
}

/* A window that grows or shrinks never lets more through than the shorter allows. */
static void
resize(int rounds)
{
	for (int i = 0; i < rounds; i++)
	{
		uint32_t	limit = 1 + (uint32_t) draw(20);
		int64_t		from = 60000000 * (1 + (int64_t) draw(60));
		int64_t		to = 60000000 * (1 + (int64_t) draw(60));
		int64_t		now = START + (int64_t) draw((uint64_t) from);
		RateWindow	window = {0};

		count = 0;
		for (uint32_t j = 0; j < limit * 4; j++)
		{
			now += pause(1, from, limit);
			if (rate_window_admit(&window, limit, from, now))
				admitted[count++] = now;
		}
		for (uint32_t j = 0; j < limit * 4; j++)
		{
			now += pause(1, to, limit);
			if (rate_window_admit(&window, limit, to, now))
			{
				int64_t		shorter = from < to ? from : to;

				admitted[count++] = now;
				expect(admitted_between(now - shorter, now) <= (int) limit,
					   "more than the limit after a change of the window", now);
			}
		}
	}
}

int
main(int argc, char **argv)
{
	int			arrivals = argc > 1 ? atoi(argv[1]) : 1000000;
	static const uint32_t limits[] = {1, 2, 7, 60, 100, 1000};
	static const int64_t spans[] = {60, 1000, 60000000, INT64_C(3600000000), INT64_C(31622400000000)};
	int			lives = 6 * 5 * 5 * 2;

	state = argc > 2 ? strtoull(argv[2], NULL, 10) : 42;
	admitted = malloc(sizeof(int64_t) * (size_t) (arrivals + 10000));
	if (admitted == NULL)
		return 2;
	for (int l = 0; l < 6; l++)
		for (int s = 0; s < 5; s++)
			for (int habit = 0; habit < 5; habit++)
				for (int moves = 0; moves < 2; moves++)
					live(arrivals / lives, limits[l], spans[s], habit, moves);
	printf("%sok 1 - %d random arrivals against an exact log\n", failures ? "not " : "", arrivals);
	arrivals = failures;
	resize(2000);
	printf("%sok 2 - windows that change their length\n1..2\n", failures > arrivals ? "not " : "");
	return failures != 0;
}
