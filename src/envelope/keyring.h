/*-------------------------------------------------------------------------
 *
 * keyring.h
 *	  The keyring inside room envelope: memory, rows and the key file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_ENVELOPE_KEYRING_H
#define PADLOCK_ENVELOPE_KEYRING_H

#include "envelope/envelope.h"
#include "storage/lockdefs.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

/* What messages under KEKs say of who wrapped their data keys. */
#define KEYRING_NAMESPACE	"padlock"

/* States of a KEK, as padlock.keys has them. */
#define KEY_PENDING			"pending"
#define KEY_ACTIVE			"active"

/*
 * Data keys that a KEK wraps at most, with random IVs of 96 bits: NIST SP
 * 800-38D, 8.3, allows 2^32, at which two are equal with 2^-33; at 2^30 it is
 * 2^-37.
 */
#define KEYRING_MAX_WRAPS	(INT64CONST(1) << 30)

/* A row of padlock.keys; palloc'd with all it points to. */
typedef struct KeyringRow
{
	char		name[PADLOCK_KEY_NAME_SIZE];
	pg_uuid_t	id;
	char	   *key_id;
	int			version;
	char	   *state;
	char	   *provider;
	char	   *provider_key_id;	/* or NULL */
	bytea	   *wrapped;		/* NULL while pending or destroyed */
	bytea	   *check_value;	/* of a KEK that a service wrapped; or NULL */
	char	   *rewrap_provider;	/* or NULL */
	char	   *rewrap_provider_key_id;	/* or NULL */
	int64		wraps_from;
	int64		wraps_to;		/* -1 while it may wrap */
	int64		messages_from;
	TimestampTz created_at;
} KeyringRow;

/* Was the keyring locked by lock_keyring()? */
typedef enum KeyringLock
{
	KEYRING_LOCK_UNKNOWN = 0,	/* nobody has asked the table since the start */
	KEYRING_UNLOCKED,
	KEYRING_LOCKED
} KeyringLock;

/*
 * keyring_memory.c: unlocked KEKs of this database in shared memory.  See there
 * for the locking.
 */
extern void keyring_memory_init(void);
extern KeyringLock keyring_lock_known(void);
extern KeyringLock keyring_lock_learn(KeyringLock lock);	/* from the table, unless it is known */
extern void keyring_forget(const pg_uuid_t *id);
extern int	keyring_lock_all(void);	/* wipe, and keep others from putting; returns how many */
extern void keyring_allow(void);	/* the contrary */
extern void keyring_want(void); /* have a worker unlock what is missing */

/*
 * keyring_rows.c: padlock.keys, read past row security, without SPI, so that a
 * caller needs no search_path of its own.
 */

/* Open and lock padlock.keys; an error with a hint if it is missing. */
extern Relation keyring_open_table(LOCKMODE lock);

/*
 * Keep everybody from sealing and unlocking until the transaction ends.  False
 * when there was no moment without a transaction that seals, for so long.
 */
extern bool keyring_try_lock(int patience_ms);

/* All its rows as they are committed now, or written by this transaction. */
extern List *keyring_rows(Relation keys);

/* Is the keyring locked?  After a start the table says so, padlock.keyring_lock. */
extern bool keyring_is_locked(void);

/* The row of a KEK, or NULL. */
extern KeyringRow *keyring_row(List *rows, const char *name);

/* The row of the active KEK of a key_id, from a cache; an error when there is none. */
extern const KeyringRow *keyring_active_row(const char *key_id);

/* Make sure that the KEK may wrap another data key, and count it. */
extern void keyring_count_wrap(const KeyringRow *row);

/* Count a message that padlock.encrypt() made with a KEK. */
extern void keyring_count_message(const char *key_name);

/* How many it made, with all KEKs, since this one was made, at most; 0 only if there were none. */
extern int64 keyring_messages(const KeyringRow *row);

/* How many data keys a KEK has wrapped, at most. */
extern int64 keyring_wraps(const KeyringRow *row);

/* The row of a KEK by name, from a cache, or NULL. */
extern const KeyringRow *keyring_named_row(const char *name);

/*
 * A row's KEK: from memory, or unlocked by the key file.  False when it is not
 * made yet or was destroyed; 55000 when it is locked.  The caller wipes it.
 */
extern bool keyring_kek(const KeyringRow *row, uint8 *kek);

/* key_file.c: the local provider. */
extern void key_file_init(void);

/* Make the file if there is none; true if it was made.  lost: there must be one. */
extern bool key_file_make(bool lost);

/* Wrap a KEK: a message under the file's key; palloc'd. */
extern bytea *key_file_wrap(const char *name, const uint8 *kek);

/* Unwrap one; F0000 when the file's key is not the one that wrapped it. */
extern void key_file_unwrap(const char *name, const bytea *wrapped, uint8 *kek);

/* context.c: the serialised form of an encryption context, palloc'd; 22023 when it has none. */
extern bytea *envelope_serialize_context(const PadlockContextEntry *entries, int count);

/* The same of a jsonb object of strings; 22023 for anything else. */
extern bytea *envelope_serialize_jsonb(Jsonb *json);

#endif							/* PADLOCK_ENVELOPE_KEYRING_H */
