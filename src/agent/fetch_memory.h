/*-------------------------------------------------------------------------
 *
 * fetch_memory.h
 *	  Memory for libcurl that is wiped when it is freed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_MEMORY_H
#define PADLOCK_FETCH_MEMORY_H

#include <stdbool.h>

/* Start libcurl with such memory; false if it does not start. */
extern bool fetch_memory_init(void);

#endif							/* PADLOCK_FETCH_MEMORY_H */
