/*-------------------------------------------------------------------------
 *
 * api_key.h
 *	  API keys of companies.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_API_KEY_H
#define PADLOCK_API_KEY_H

#include "utils/uuid.h"

/* "pk_", 56 random hexadecimal digits, 8 of checksum */
#define API_KEY_LENGTH 67

/*
 * Check a key as a client sent it.  True, with the company's id and whether
 * it is active, when the key exists, is not revoked and has not expired.
 */
extern bool padlock_api_key_verify(const char *key, pg_uuid_t *company_id, bool *company_active);

/*
 * Make a key for a company, as the extension's owner, and return its text,
 * which is stored nowhere.  *display gets the form that may be shown.
 */
extern char *padlock_api_key_create(const pg_uuid_t *company_id, const char *label,
									char **display);

#endif							/* PADLOCK_API_KEY_H */
