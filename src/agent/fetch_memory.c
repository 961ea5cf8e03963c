/*-------------------------------------------------------------------------
 *
 * fetch_memory.c
 *	  Memory for libcurl that is wiped when it is freed.
 *
 * Passwords, tokens and keys reach libcurl as options and headers, and it
 * copies them without wiping the copies.  Here nothing that libcurl has held
 * outlives its use of it.  What OpenSSL holds, it wipes itself.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fetch_memory.h"

static void
wipe_and_free(void *memory)
{
	if (memory != NULL)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

/* realloc() would leave the old bytes where it moves from. */
static void *
move(void *memory, size_t size)
{
	size_t		old_size = memory != NULL ? malloc_usable_size(memory) : 0;
	void	   *moved = malloc(size);

	if (moved == NULL)
		return NULL;
	if (memory != NULL)
		memcpy(moved, memory, old_size < size ? old_size : size);
	wipe_and_free(memory);
	return moved;
}

bool
fetch_memory_init(void)
{
	return curl_global_init_mem(CURL_GLOBAL_ALL, malloc, wipe_and_free, move, strdup,
								calloc) == CURLE_OK;
}
