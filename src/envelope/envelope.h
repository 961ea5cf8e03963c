/*-------------------------------------------------------------------------
 *
 * envelope.h
 *	  The door of room envelope: sealed messages, and the keys that seal them.
 *
 * A message has a data key of its own; the data key is wrapped by a key
 * encryption key (KEK) of the keyring.  KEKs are rows of padlock.keys, wrapped
 * by a provider: the local key file, which any process can read, or a key
 * service, which only workers may ask.  Unwrapped KEKs are kept in shared
 * memory, by database and id, until the keyring is locked or the server
 * stops.
 *
 * A KEK's name is its key_id and version, "documents/2": messages carry it,
 * documents.encryption_key_id shows it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_ENVELOPE_H
#define PADLOCK_ENVELOPE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"

#define PADLOCK_KEK_SIZE		32
#define PADLOCK_KEY_NAME_SIZE	80	/* bytes of a name with its NUL, at most */

/* The key_id that documents are sealed with. */
#define PADLOCK_DOCUMENT_KEY	"documents"

/* What documents.encryption_algorithm says: the suite's name in the AWS Encryption SDK. */
#define PADLOCK_SEAL_ALGORITHM	"AES_256_GCM_HKDF_SHA512_COMMIT_KEY"

/* One entry of an encryption context; texts in the database's encoding. */
typedef struct PadlockContextEntry
{
	const char *key;
	const char *value;
} PadlockContextEntry;

/* Room set-up, called by _PG_init only: settings, shared memory. */
extern void padlock_envelope_init(void);

/*
 * Seal length bytes under the active key of key_id, bound to the context.
 * Returns the message, palloc'd, and in key_name (PADLOCK_KEY_NAME_SIZE bytes,
 * or NULL) the name of the KEK.  Needs a transaction that may write.
 *
 * Errors: 55000 when padlock is not preloaded, the key is locked or not made
 * yet, 42704 for an unknown key_id, 54000 when the message would be 1 GB or
 * the key has sealed too much, class 58 and F0000 for the key file.
 */
extern bytea *padlock_seal(const void *plaintext, size_t length, const char *key_id,
						   const PadlockContextEntry *context, int entries, char *key_name);

/*
 * Open a message that was sealed with exactly this context.  Returns the
 * plaintext, palloc'd; whoever asks wipes it if it is not an answer.
 *
 * Errors: 22000, one message whatever is wrong with the message, its key or
 * its context; 55000 when padlock is not preloaded or the key is locked.
 */
extern bytea *padlock_open(const void *message, size_t length,
						   const PadlockContextEntry *context, int entries);

/*
 * Copy the name of the active key of key_id; false when there is none.  What
 * the same session seals later in this transaction is under that key or a newer
 * one.  Needs a transaction; not for replicas.
 */
extern bool padlock_active_key(const char *key_id, char *key_name);

/*
 * Is the keyring unlocked, and the active key of key_id with it, as far as it
 * is known what to do about that?  A key service's key that is not is asked
 * for.  Needs a transaction.
 */
extern bool padlock_keyring_is_open(const char *key_id);

/*------------------------------------------------------------------------
 * Key services: the worker's side.
 *
 * The worker runs job type "keyring" (queued by padlock.create_key(),
 * rotate_key(), rewrap_keyring() and unlock_keyring(); payload '{}'), and the
 * same at its start and whenever padlock_keyring_wanted() says so: read the
 * tasks in a short transaction, ask the services without one, store each
 * answer in a short transaction of its own.  All of it can be repeated.
 *------------------------------------------------------------------------
 */

/* The provider that needs no worker. */
#define PADLOCK_LOCAL_PROVIDER	"local"

typedef enum PadlockKeyTaskKind
{
	PADLOCK_KEY_UNLOCK,			/* unwrap, then padlock_keyring_put() */
	PADLOCK_KEY_MAKE,			/* 32 random bytes, wrap, then padlock_keyring_store() */
	PADLOCK_KEY_REWRAP			/* get it (from memory, or padlock_keyring_unlock()), wrap, store */
} PadlockKeyTaskKind;

/* What a KEK needs of a key service; palloc'd with all it points to. */
typedef struct PadlockKeyTask
{
	PadlockKeyTaskKind kind;
	pg_uuid_t	id;				/* of the KEK, to put and get it by */
	char	   *name;			/* its name; also what the service should bind the blob to */
	char	   *provider;		/* to ask: "aws_kms", "google_kms", "vault" */
	char	   *provider_key_id;	/* the service's name of its key */
	bytea	   *wrapped;		/* UNLOCK: the opaque blob; otherwise NULL */
	bytea	   *check_value;	/* UNLOCK: for padlock_keyring_is_kek(), or NULL */
} PadlockKeyTask;

/*
 * What the KEKs of this database need of key services now: PadlockKeyTask *.
 * A REWRAP comes only when its KEK is unlocked or can be by the key file, an
 * UNLOCK only while the keyring is not locked.  Needs a transaction, without an SPI connection
 * around it; acts as the extension's owner.
 */
extern List *padlock_keyring_tasks(void);

/* Did a session of this database miss a key since this was last asked? */
extern bool padlock_keyring_wanted(void);

/*
 * Unlock a KEK for all sessions of this database.  True unless the keyring was
 * locked meanwhile or the memory is full.  No transaction needed.
 */
extern bool padlock_keyring_put(const pg_uuid_t *id, const uint8 *kek);

/* Copy an unlocked KEK; false when it is locked.  The caller wipes it. */
extern bool padlock_keyring_get(const pg_uuid_t *id, uint8 *kek);

/* A database was dropped: wipe its KEKs.  Needs no transaction. */
extern void padlock_keyring_forget_database(Oid database);

/*
 * Store how a provider wrapped a task's KEK.  A key that was being made becomes the
 * active one of its key_id, and the one before decrypt-only.  False when the
 * row is gone, destroyed, or no longer waits for this provider.  Needs a
 * transaction, without an SPI connection around it.
 */
extern bool padlock_keyring_store(const PadlockKeyTask *task, const uint8 *kek,
								  const bytea *wrapped);

/*
 * Unlock a task's KEK that the key file wrapped, as a session would, with its
 * errors; false when it is gone.  Needs a transaction.  The caller wipes it.
 */
extern bool padlock_keyring_unlock(const PadlockKeyTask *task, uint8 *kek);

/* Is what a service unwrapped the KEK that it once wrapped? */
extern bool padlock_keyring_is_kek(const PadlockKeyTask *task, const uint8 *kek);

/* How many KEKs a worker has still to have wrapped anew.  Needs a transaction. */
extern int	padlock_keyring_count_rewraps(void);

/*
 * Key services' check of arguments, made known by the room that talks to them
 * from its own set-up: NULL when provider is known and provider_key_id has a
 * form it takes, otherwise the problem, in English, for an error's detail.
 */
typedef const char *(*PadlockProviderCheck) (const char *provider, const char *provider_key_id);

extern void padlock_keyring_set_check(PadlockProviderCheck check);

#endif							/* PADLOCK_ENVELOPE_H */
