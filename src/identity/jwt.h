/*-------------------------------------------------------------------------
 *
 * jwt.h
 *	  JSON Web Tokens: verified and made with the keys of a file.
 *
 * The file named by padlock.jwt_keys_file is a JWK Set (RFC 7517), readable
 * by the server's user only.  Keys with private parts sign, all verify; the
 * key whose "use" is "refresh" makes refresh tokens and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_JWT_H
#define PADLOCK_JWT_H

#include "utils/jsonb.h"

/* Longest token looked at, in bytes. */
#define JWT_MAX_LENGTH (16 * 1024)

/* Why a token is refused; JWT_OK when it is not. */
typedef enum JwtVerdict
{
	JWT_OK,
	JWT_MALFORMED,				/* not a compact JWS of our kind */
	JWT_BAD_SIGNATURE,			/* also: no key for it, "none", a key of another type */
	JWT_EXPIRED,
	JWT_NOT_YET_VALID,
	JWT_BAD_CLAIMS				/* signed, but no jsonb object with a time in exp */
} JwtVerdict;

/*
 * Verify a token: signature (HS256, RS256, ES256, EdDSA), typ, exp, nbf.
 * When JWT_OK, *claims gets the payload and *text its JSON as it was written,
 * both palloc'd.  Raises an error only when the key file itself cannot be used
 * (55000).
 */
extern JwtVerdict jwt_verify(const char *token, char **text, Jsonb **claims);

/*
 * Sign claims (JSON text) with the first signing key; palloc'd.  Raises an
 * error (55000) with a hint when there is no key file or no signing key.
 */
extern char *jwt_sign(const char *claims);

/*
 * HMAC-SHA-256 of data with the refresh key.  Raises an error (55000) with a
 * hint when there is none.
 */
extern void jwt_refresh_mac(const void *data, size_t length, unsigned char mac[32]);

#endif							/* PADLOCK_JWT_H */
