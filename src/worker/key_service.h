/*-------------------------------------------------------------------------
 *
 * key_service.h
 *	  Between the key services (aws_kms.c, google_kms.c, vault.c) and what
 *	  runs them (key_service.c).
 *
 * A key service wraps the keyring's 32-byte keys (KEKs) under a key of its
 * own that never leaves it.  Each wrapped KEK is bound to the KEK's name, so
 * that one row's bytes in another row's place are refused by the service.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_KEY_SERVICE_H
#define PADLOCK_KEY_SERVICE_H

#include "postgres.h"

#include "envelope/envelope.h"
#include "worker/call.h"

/* The largest answer that a key service may give, in bytes. */
#define PADLOCK_KEY_ANSWER_MAX	(64 * 1024)

/* The longest wrapped KEK that is kept: services add some hundred bytes. */
#define PADLOCK_WRAPPED_MAX		(16 * 1024)

/*
 * The context or additional data that binds a wrapped KEK to its name: AWS
 * KMS gets it as the pair of PADLOCK_KEY_CONTEXT and the name, the others as
 * the name alone.
 */
#define PADLOCK_KEY_CONTEXT		"padlock-key"

typedef struct PadlockKeyService
{
	const char *name;			/* in padlock.keys.provider */

	/* What is wrong with a provider_key_id of this service; NULL if nothing. */
	const char *(*check) (const char *key_id);

	/* Wrap a KEK; the result is palloc'd.  Without a transaction. */
	bytea	   *(*wrap) (const char *key_id, const char *kek_name, const uint8 *kek);

	/* The reverse.  Both raise an error with the reason when it cannot be done. */
	void		(*unwrap) (const char *key_id, const char *kek_name, const bytea *wrapped,
						   uint8 *kek);
} PadlockKeyService;

extern const PadlockKeyService padlock_aws_kms;
extern const PadlockKeyService padlock_google_kms;
extern const PadlockKeyService padlock_vault;

/*
 * POST call's body and read members of the JSON answer.  who names the service
 * in messages; error_path is the member that holds an error's code, or NULL.
 * Raises an error unless the answer is of the 2xx class and JSON: of class 38
 * (38000) when the service answered and refused this one key or request, of
 * another class (08006, or the file's) when no request could do better.
 */
extern void padlock_key_service_post(const char *who, PadlockCall *call, const char *error_path,
									 PadlockMember *members, int count);

/*
 * printf to palloc'd memory that nobody else has seen: psprintf() gives back what
 * was too short as it is, with the beginning of a secret in it.
 */
extern char *padlock_secret_text(const char *format,...) pg_attribute_printf(1, 2);

/* Stop since an answer that was good is not what it should be. */
extern void padlock_key_service_odd(const char *who, const char *what) pg_attribute_noreturn();

/* Stop since a setting is missing. */
extern void padlock_key_service_unset(const char *setting) pg_attribute_noreturn();

/* Bytes in base64, palloc'd; and a text of it into at most max bytes, -1 if it is none. */
extern char *padlock_to_base64(const void *bytes, int length);
extern int	padlock_from_base64(const char *text, void *bytes, int max);

/* Decode the member that holds a KEK; anything but 32 bytes is an error.  Wipes the member. */
extern void padlock_take_kek(const char *who, PadlockMember *member, uint8 *kek);

/*------------------------------------------------------------------------
 * What runs them: key_service.c
 *------------------------------------------------------------------------
 */

/* A PadlockProviderCheck, see envelope.h. */
extern const char *padlock_key_service_check(const char *provider, const char *provider_key_id);

/*
 * Ask the key services for what the keyring needs, when that is due: at the
 * start, when a session misses a key, and a while after a failure.  At most
 * one worker of a database does.  context: as for padlock_worker_recover().
 */
extern void padlock_key_services_tend(MemoryContext context);

/* In how many milliseconds that is due again, LONG_MAX when not foreseen. */
extern long padlock_key_services_wait(void);

/*------------------------------------------------------------------------
 * What all processes see of it: key_service_state.c
 *------------------------------------------------------------------------
 */

/* Reserve the shared memory; only while the postmaster preloads. */
extern void padlock_key_services_reserve_state(void);

/* A database was dropped: forget what services did for it. */
extern void padlock_key_services_forget_database(Oid database);

/* May this process make a pass now?  When true, no other one may until it is over. */
extern bool padlock_key_services_begin_pass(bool wanted);

/* The pass is over: the next is due after a wait, or not foreseen when all went well. */
extern void padlock_key_services_end_pass(bool failed);

/* Note what a service did; problem is NULL when it served. */
extern void padlock_key_service_note(const char *service, const char *problem);

#endif							/* PADLOCK_KEY_SERVICE_H */
