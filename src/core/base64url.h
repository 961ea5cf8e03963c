/*-------------------------------------------------------------------------
 *
 * base64url.h
 *	  The one spelling of bytes in tokens: unpadded base64url.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_BASE64URL_H
#define PADLOCK_BASE64URL_H

#include "lib/stringinfo.h"

/*
 * Decode unpadded base64url (RFC 7515, 2) into out, which has room for
 * 3 * length / 4 bytes.  Returns how many, or -1 for any text that is not
 * exactly what the encoder writes.
 */
extern int	padlock_base64url_decode(const char *text, size_t length, unsigned char *out);

/* Append data in unpadded base64url. */
extern void padlock_base64url_append(StringInfo out, const void *data, size_t length);

#endif							/* PADLOCK_BASE64URL_H */
