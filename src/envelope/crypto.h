/*-------------------------------------------------------------------------
 *
 * crypto.h
 *	  The primitives of the envelope: AES-256-GCM, HMAC and HKDF with SHA-512.
 *
 * Plain C without server headers, so that tests outside a server link it too.
 * Nothing here allocates through the server or raises errors: a function that
 * can fail returns false.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_ENVELOPE_CRYPTO_H
#define PADLOCK_ENVELOPE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* the SHA512_ functions, see crypto.c */
#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#endif
#include <openssl/sha.h>

#define ENVELOPE_KEY_SIZE	32	/* bytes of an AES-256 key */
#define ENVELOPE_IV_SIZE	12
#define ENVELOPE_TAG_SIZE	16
#define ENVELOPE_HASH_SIZE	64	/* bytes of a SHA-512 hash */

/* A key set up for AES-256-GCM, for sealing or for opening. */
typedef struct evp_cipher_ctx_st EnvelopeCipher;

/* An HMAC key: the hashes that its two padded blocks begin. */
typedef struct EnvelopeHmacKey
{
	SHA512_CTX	inner;
	SHA512_CTX	outer;
} EnvelopeHmacKey;

/* Set up a key; NULL on failure. */
extern EnvelopeCipher *envelope_cipher_begin(const uint8_t *key, bool sealing);

/* Overwrite its key by another; cheaper than to end it and begin anew.  False on failure. */
extern bool envelope_cipher_set_key(EnvelopeCipher *cipher, const uint8_t *key);

/* Wipe and free it; NULL is allowed. */
extern void envelope_cipher_end(EnvelopeCipher *cipher);

/*
 * Encrypt length bytes and write the tag; lengths below 2 GB.  The IV must be
 * new for the key.  output may be input.
 */
extern bool envelope_cipher_seal(EnvelopeCipher *cipher, const uint8_t *iv,
								 const void *aad, size_t aad_length,
								 const uint8_t *input, size_t length,
								 uint8_t *output, uint8_t *tag);

/*
 * Decrypt length bytes; false when the tag is wrong, and output then holds
 * bytes that must not be used.
 */
extern bool envelope_cipher_open(EnvelopeCipher *cipher, const uint8_t *iv,
								 const void *aad, size_t aad_length,
								 const uint8_t *input, size_t length,
								 const uint8_t *tag, uint8_t *output);

/* HMAC-SHA-512 (RFC 2104). */
extern void envelope_hmac(const void *key, size_t key_length, const void *data, size_t length,
						  uint8_t *hash);

/* The first step of HKDF-SHA-512 (RFC 5869): a pseudo-random key.  The caller wipes it. */
extern void envelope_hkdf_extract(const void *salt, size_t salt_length,
								  const void *input_key, size_t input_length,
								  EnvelopeHmacKey *prk);

/* The second: length bytes, at most 255 * ENVELOPE_HASH_SIZE. */
extern void envelope_hkdf_expand(const EnvelopeHmacKey *prk, const void *info,
								 size_t info_length, uint8_t *output, size_t length);

/*
 * signature.c: is a signature (ECDSA, DER) the one of these data by a key of curve
 * P-384?  The key is a compressed point in base64.
 */
extern bool envelope_verify_signature(const uint8_t *key_text, size_t key_length,
									  const void *data, size_t length,
									  const uint8_t *signature, size_t signature_length);

/* Random bytes for keys, from OpenSSL's private generator. */
extern bool envelope_random(void *output, size_t length);

/* Overwrite a secret. */
extern void envelope_wipe(void *secret, size_t length);

/* Are two byte strings equal?  Takes the same time wherever they differ. */
extern bool envelope_equal(const void *a, const void *b, size_t length);

#endif							/* PADLOCK_ENVELOPE_CRYPTO_H */
