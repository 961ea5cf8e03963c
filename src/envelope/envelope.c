/*-------------------------------------------------------------------------
 *
 * envelope.c
 *	  Set-up of room envelope.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "envelope/keyring.h"

void
padlock_envelope_init(void)
{
	key_file_init();
	keyring_memory_init();
}
