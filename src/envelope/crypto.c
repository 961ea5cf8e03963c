/*-------------------------------------------------------------------------
 *
 * crypto.c
 *	  The primitives of the envelope, on OpenSSL.
 *
 * OpenSSL 3 looks an algorithm up by name each time it is named, under a lock;
 * here each is looked up once a process.  HMAC and HKDF are built from the
 * hash, since a message needs three HMACs and EVP_KDF's set-up costs as much as
 * all of them.
 *
 * Contexts hold expanded keys in memory that a core dump contains, so each is
 * freed, and thereby wiped by OpenSSL, as soon as its message is done.
 *
 *-------------------------------------------------------------------------
 */
#include "envelope/crypto.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define HASH_BLOCK_SIZE 128		/* of SHA-512 */
#define INNER_PAD		0x36
#define OUTER_PAD		0x5c

static EVP_CIPHER *aes_256_gcm = NULL;
static EVP_MD *sha_512 = NULL;

EnvelopeCipher *
envelope_cipher_begin(const uint8_t *key, bool sealing)
{
	EVP_CIPHER_CTX *cipher;

	if (aes_256_gcm == NULL)
		aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (aes_256_gcm == NULL)
		return NULL;
	cipher = EVP_CIPHER_CTX_new();
	if (cipher != NULL && EVP_CipherInit_ex2(cipher, aes_256_gcm, key, NULL, sealing, NULL) != 1)
	{
		EVP_CIPHER_CTX_free(cipher);
		return NULL;
	}
	return cipher;
}

void
envelope_cipher_end(EnvelopeCipher *cipher)
{
	EVP_CIPHER_CTX_free(cipher);
}

/* Give the IV and the additional data, then run the input through the cipher. */
static bool
run_cipher(EnvelopeCipher *cipher, const uint8_t *iv, const void *aad, size_t aad_length,
		   const uint8_t *input, size_t length, uint8_t *output)
{
	int			written;

	/* -1: sealing or opening, as the key was set up for */
	return EVP_CipherInit_ex2(cipher, NULL, NULL, iv, -1, NULL) == 1 &&
		(aad_length == 0 ||
		 EVP_CipherUpdate(cipher, NULL, &written, aad, (int) aad_length) == 1) &&
		(length == 0 ||
		 EVP_CipherUpdate(cipher, output, &written, input, (int) length) == 1);
}

bool
envelope_cipher_seal(EnvelopeCipher *cipher, const uint8_t *iv, const void *aad, size_t aad_length,
					 const uint8_t *input, size_t length, uint8_t *output, uint8_t *tag)
{
	uint8_t		rest[EVP_MAX_BLOCK_LENGTH];
	int			written;

	return run_cipher(cipher, iv, aad, aad_length, input, length, output) &&
		EVP_CipherFinal_ex(cipher, rest, &written) == 1 &&
		EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, ENVELOPE_TAG_SIZE, tag) == 1;
}

bool
envelope_cipher_open(EnvelopeCipher *cipher, const uint8_t *iv, const void *aad, size_t aad_length,
					 const uint8_t *input, size_t length, const uint8_t *tag, uint8_t *output)
{
	uint8_t		rest[EVP_MAX_BLOCK_LENGTH];
	int			written;

	return run_cipher(cipher, iv, aad, aad_length, input, length, output) &&
		EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, ENVELOPE_TAG_SIZE,
							(void *) tag) == 1 &&
		EVP_CipherFinal_ex(cipher, rest, &written) == 1;
}

/* hash = SHA-512(pad(key) || first || second); key is a block, padded by zeros. */
static bool
hash_padded(EVP_MD_CTX *digest, const uint8_t *key, uint8_t pad, const void *first,
			size_t first_length, const void *second, size_t second_length, uint8_t *hash)
{
	uint8_t		block[HASH_BLOCK_SIZE];
	bool		done;

	for (int i = 0; i < HASH_BLOCK_SIZE; i++)
		block[i] = key[i] ^ pad;
	done = EVP_DigestInit_ex2(digest, sha_512, NULL) == 1 &&
		EVP_DigestUpdate(digest, block, HASH_BLOCK_SIZE) == 1 &&
		EVP_DigestUpdate(digest, first, first_length) == 1 &&
		EVP_DigestUpdate(digest, second, second_length) == 1 &&
		EVP_DigestFinal_ex(digest, hash, NULL) == 1;
	OPENSSL_cleanse(block, sizeof(block));
	return done;
}

/* The HMAC of two pieces of data, one after the other. */
static bool
hmac_two(const void *key, size_t key_length, const void *first, size_t first_length,
		 const void *second, size_t second_length, uint8_t *hash)
{
	uint8_t		padded[HASH_BLOCK_SIZE] = {0};
	uint8_t		inner[ENVELOPE_HASH_SIZE];
	EVP_MD_CTX *digest;
	bool		done;

	if (sha_512 == NULL)
		sha_512 = EVP_MD_fetch(NULL, "SHA2-512", NULL);
	digest = EVP_MD_CTX_new();
	done = sha_512 != NULL && digest != NULL;
	if (key_length <= HASH_BLOCK_SIZE)
		memcpy(padded, key, key_length);
	else
		done = done && EVP_DigestInit_ex2(digest, sha_512, NULL) == 1 &&
			EVP_DigestUpdate(digest, key, key_length) == 1 &&
			EVP_DigestFinal_ex(digest, padded, NULL) == 1;
	done = done &&
		hash_padded(digest, padded, INNER_PAD, first, first_length, second, second_length,
					inner) &&
		hash_padded(digest, padded, OUTER_PAD, inner, sizeof(inner), NULL, 0, hash);
	EVP_MD_CTX_free(digest);
	OPENSSL_cleanse(padded, sizeof(padded));
	OPENSSL_cleanse(inner, sizeof(inner));
	return done;
}

bool
envelope_hmac(const void *key, size_t key_length, const void *data, size_t length, uint8_t *hash)
{
	return hmac_two(key, key_length, data, length, NULL, 0, hash);
}

bool
envelope_hkdf_extract(const void *salt, size_t salt_length, const void *input_key,
					  size_t input_length, uint8_t *prk)
{
	/* a missing salt is a block of zeros, which is what an empty key is padded to */
	return hmac_two(salt, salt_length, input_key, input_length, NULL, 0, prk);
}

bool
envelope_hkdf_expand(const uint8_t *prk, const void *info, size_t info_length, uint8_t *output,
					 size_t length)
{
	size_t		room = info_length + 1;
	uint8_t		block[ENVELOPE_HASH_SIZE];
	uint8_t    *tail;
	bool		done = length <= 255 * ENVELOPE_HASH_SIZE;

	/* T(n) = HMAC(prk, T(n - 1) || info || n) */
	tail = OPENSSL_malloc(room);
	if (tail == NULL)
		return false;
	memcpy(tail, info, info_length);
	for (size_t at = 0, n = 1; done && at < length; at += ENVELOPE_HASH_SIZE, n++)
	{
		size_t		part = length - at < ENVELOPE_HASH_SIZE ? length - at : ENVELOPE_HASH_SIZE;

		tail[info_length] = (uint8_t) n;
		done = hmac_two(prk, ENVELOPE_HASH_SIZE, block, n > 1 ? sizeof(block) : 0,
						tail, room, block);
		memcpy(output + at, block, part);
	}
	OPENSSL_free(tail);
	OPENSSL_cleanse(block, sizeof(block));
	return done;
}

bool
envelope_random(void *output, size_t length)
{
	return RAND_priv_bytes(output, (int) length) == 1;
}

void
envelope_wipe(void *secret, size_t length)
{
	OPENSSL_cleanse(secret, length);
}

bool
envelope_equal(const void *a, const void *b, size_t length)
{
	return CRYPTO_memcmp(a, b, length) == 0;
}
