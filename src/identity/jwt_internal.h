/*-------------------------------------------------------------------------
 *
 * jwt_internal.h
 *	  What the files of JSON Web Tokens share: keys, JWS.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_JWT_INTERNAL_H
#define PADLOCK_JWT_INTERNAL_H

#include <openssl/evp.h>

#include "lib/stringinfo.h"

#include "core/base64url.h"
#include "core/json.h"
#include "identity/jwt.h"

/* Bounds of a key file: keys in it, and its size in bytes. */
#define JWT_MAX_KEYS		16
#define JWT_MAX_FILE		(32 * 1024)

typedef enum JwtAlgorithm
{
	JWT_HS256,					/* RFC 7518, 3.2 */
	JWT_RS256,					/* RFC 7518, 3.3 */
	JWT_ES256,					/* RFC 7518, 3.4 */
	JWT_EDDSA					/* RFC 8037, with Ed25519 only */
} JwtAlgorithm;

#define JWT_ALGORITHMS 4

/* A key; everything in it is OpenSSL's memory, the secret heap's for secrets. */
typedef struct JwtKey
{
	JwtAlgorithm algorithm;
	bool		is_refresh;		/* makes refresh tokens and nothing else */
	bool		is_next;		/* published and verifies, but signs only after the next rotation */
	bool		can_sign;		/* the private part is there */
	char	   *kid;			/* NULL when it has none */
	EVP_PKEY   *pkey;			/* all but HS256 */
	EVP_PKEY_CTX *verifier;		/* RS256 and ES256: ready to verify */
	unsigned char *secret;		/* HS256 */
	size_t		secret_length;
	EVP_MAC_CTX *mac;			/* HS256: keyed, to be restarted for each use */
} JwtKey;

typedef struct JwtKeySet
{
	int			count;
	JwtKey		keys[JWT_MAX_KEYS];
} JwtKeySet;

/* ---- jwt_jwk.c: keys as JSON Web Keys (RFC 7517) ---- */

/* An algorithm by its name in "alg"; false for one that padlock does not do. */
extern bool jwt_algorithm_by_name(const char *name, JwtAlgorithm *algorithm);
extern const char *jwt_algorithm_name(JwtAlgorithm algorithm);

/*
 * Read the keys of a JWK Set into an empty set.  NULL, or what is wrong with
 * the text.  Keys of other kinds or uses are passed over (RFC 7517, 5).
 */
extern const char *jwt_read_set(const char *text, size_t length, JwtKeySet *set);

/* Forget a set's keys and wipe their secrets. */
extern void jwt_clear_set(JwtKeySet *set);

/* Make a fresh key with its RFC 7638 thumbprint as kid (none for a refresh key). */
extern void jwt_make_key(JwtAlgorithm algorithm, bool is_refresh, JwtKey *key);

/* Append a key as a JWK, with its private part or, for asymmetric ones, without. */
extern void jwt_append_jwk(StringInfo out, const JwtKey *key, bool with_private);

/* ---- jwt_keys.c: the key file ---- */

/* Setting: the file's name. */
extern char *jwt_keys_file;

/* The keys of the file as it is now; an error (55000) if it cannot be used. */
extern JwtKeySet *jwt_keys(void);

/* Where the key is that signs: the first that can, wherever others' keys stand; -1 without one. */
extern int	jwt_find_signer(const JwtKeySet *set);

/*
 * Make the key file with these keys, durably and in one step.  A file that is
 * there already is an error (58P02), as is one that another session writes.
 */
extern void jwt_create_file(const JwtKeySet *set);

/*
 * Put the next key, or without one a fresh key, before the keys of the file,
 * durably and in one step; the private parts of the other asymmetric keys are
 * dropped.  Returns the kid of the key that signs now.
 */
extern char *jwt_rotate_file(const JwtKey *fresh);

/* Add a fresh key as the next one, likewise; an error (55000) if there is a next one. */
extern char *jwt_prepare_file(const JwtKey *fresh);

/* Room set-up, called by padlock_identity_init: settings. */
extern void jwt_keys_init(void);

/* ---- jwt_claims.c ---- */

/*
 * Read the payload of a token whose signature holds, a text without foreign
 * escapes in the server's encoding, and judge its times.  *claims is palloc'd,
 * and NULL unless JWT_OK.  Raises no error.
 */
extern JwtVerdict jwt_read_claims(const char *text, Jsonb **claims);

/*
 * A claim's time (NumericDate, RFC 7519, 2) in seconds since 1970; false when
 * it is not a finite JSON number.
 */
extern bool jwt_read_time(const PadlockJsonMember *claim, double *seconds);

/* The time now, in seconds since 1970. */
extern double jwt_now(void);

#endif							/* PADLOCK_JWT_INTERNAL_H */
