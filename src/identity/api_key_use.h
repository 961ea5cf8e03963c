/*-------------------------------------------------------------------------
 *
 * api_key_use.h
 *	  When API keys were last used: noted in shared memory, written later.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_API_KEY_USE_H
#define PADLOCK_API_KEY_USE_H

#include "utils/uuid.h"

/* Reserve the shared memory; called by padlock_identity_init() only. */
extern void padlock_api_key_use_init(void);

/* Note that a key of this database was used now.  Never an error. */
extern void padlock_api_key_note_use(const pg_uuid_t *key_id);

/*
 * Write the uses noted for this database to padlock.api_keys.last_used_at, in
 * a short transaction of its own, as the extension's owner; nothing is
 * written when none was noted.  For one background worker of the database,
 * which calls it every PADLOCK_API_KEY_FLUSH_MS, outside a transaction.
 */
extern void padlock_api_key_flush_last_used(void);

#define PADLOCK_API_KEY_FLUSH_MS 10000

#endif							/* PADLOCK_API_KEY_USE_H */
