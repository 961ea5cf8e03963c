/*-------------------------------------------------------------------------
 *
 * boot.h
 *	  The machine's boot: a clock that nobody sets, and which boot it counts
 *	  from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_BOOT_H
#define PADLOCK_BOOT_H

#include <time.h>

#include "utils/timestamp.h"

#define PADLOCK_BOOT_ID_LENGTH	36

/*
 * Microseconds since the machine was started, sleep included.  Inline, since
 * the limiter reads it at every request.
 */
static inline int64
padlock_boot_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

/*
 * The kernel's name for this boot, not ended by NUL; all zero when it has
 * none.  Raises no error.
 */
extern void padlock_read_boot_id(char boot[PADLOCK_BOOT_ID_LENGTH]);

#endif							/* PADLOCK_BOOT_H */
