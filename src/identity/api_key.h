/*-------------------------------------------------------------------------
 *
 * api_key.h
 *	  API keys of companies.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_API_KEY_H
#define PADLOCK_API_KEY_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* "pk_", 56 random hexadecimal digits, 8 of checksum */
#define API_KEY_LENGTH 67

/* What may be shown of a row of padlock.api_keys, as an SQL expression. */
#define API_KEY_JSON \
	"pg_catalog.jsonb_build_object('id', id, 'display', display, 'label', label," \
	" 'created_at', created_at, 'expires_at', expires_at, 'revoked_at', revoked_at," \
	" 'last_used_at', last_used_at)"

/* What a text that a client sent as a key is. */
typedef enum PadlockKeyState
{
	PADLOCK_KEY_MALFORMED,		/* not of a key's form, or its checksum is wrong */
	PADLOCK_KEY_UNKNOWN,
	PADLOCK_KEY_ENDED,			/* it was revoked or has expired */
	PADLOCK_KEY_LIVE
} PadlockKeyState;

/* Whose a live key is, and when it ends or, if that is its state, ended. */
typedef struct PadlockKeyHolder
{
	pg_uuid_t	company_id;
	bool		company_active;
	TimestampTz expires_at;		/* DT_NOEND when it has no end */
} PadlockKeyHolder;

/*
 * Check a key as a client sent it.  The holder is set for a live key, and for
 * one that has ended expires_at alone: when it did, by revocation or expiry.
 */
extern PadlockKeyState padlock_api_key_verify(const char *key, PadlockKeyHolder *holder);

/*
 * A new random key's text, which is stored nowhere.  *display gets the form
 * that may be shown: prefix and last four characters.
 */
extern char *padlock_api_key_generate(char **display);

/*
 * Let a company use a key from now on, until *expires_at unless that is NULL.
 * The hash is stored, as the owner.  Returns what may be shown of the key, as
 * JSON.
 */
extern Jsonb *padlock_api_key_store(const pg_uuid_t *company_id, const char *key,
									const char *display, const char *label,
									const TimestampTz *expires_at);

#endif							/* PADLOCK_API_KEY_H */
