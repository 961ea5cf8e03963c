/*-------------------------------------------------------------------------
 *
 * crypto.c
 *	  The primitives of the envelope, on OpenSSL.
 *
 * OpenSSL 3 looks an algorithm up by name each time it is named, under a lock;
 * here the cipher is looked up once a process.  HMAC and HKDF are built from
 * the SHA512_ functions, which OpenSSL calls deprecated: a message needs three
 * HMACs of a few bytes, and through EVP their set-up costs more than the hash.
 *
 * Contexts hold expanded keys in memory that a core dump contains, so each is
 * freed, and thereby wiped by OpenSSL, as soon as its message is done.
 *
 * A draw from OpenSSL's generator costs a microsecond for 1,000 bytes as for
 * one, a tenth of sealing a small message; so they are drawn ahead, a page in
 * each process, and wiped as they are handed out.  The page is left out of core
 * dumps, and empty in a child that is forked, which must not get the same bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "envelope/crypto.h"

#include <string.h>
#include <sys/mman.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#define HASH_BLOCK_SIZE 128		/* of SHA-512 */
#define INNER_PAD		0x36
#define OUTER_PAD		0x5c

/* Where OpenSSL reads or writes a tag; directly, which the older controls wrap. */
#define TAG_PARAMETER(tag) \
	OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (tag), ENVELOPE_TAG_SIZE)

/* Random bytes for later; a page of zeros holds none. */
typedef struct RandomPool
{
	size_t		left;			/* at the beginning of bytes */
	uint8_t		bytes[4096 - sizeof(size_t)];
} RandomPool;

static EVP_CIPHER *aes_256_gcm = NULL;

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

bool
envelope_cipher_set_key(EnvelopeCipher *cipher, const uint8_t *key)
{
	return EVP_CipherInit_ex2(cipher, NULL, key, NULL, -1, NULL) == 1;
}

void
envelope_cipher_end(EnvelopeCipher *cipher)
{
	EVP_CIPHER_CTX_free(cipher);
}

/*
 * Give the IV, what OpenSSL is to know besides it, or NULL, and the additional
 * data; then run the input through the cipher to its end.
 */
static bool
run_cipher(EnvelopeCipher *cipher, const uint8_t *iv, const OSSL_PARAM *parameters,
		   const void *aad, size_t aad_length, const uint8_t *input, size_t length,
		   uint8_t *output)
{
	uint8_t		rest[EVP_MAX_BLOCK_LENGTH];
	int			written;

	/* -1: sealing or opening, as the key was set up for */
	return EVP_CipherInit_ex2(cipher, NULL, NULL, iv, -1, parameters) == 1 &&
		(aad_length == 0 ||
		 EVP_CipherUpdate(cipher, NULL, &written, aad, (int) aad_length) == 1) &&
		(length == 0 ||
		 EVP_CipherUpdate(cipher, output, &written, input, (int) length) == 1) &&
		EVP_CipherFinal_ex(cipher, rest, &written) == 1;
}

bool
envelope_cipher_seal(EnvelopeCipher *cipher, const uint8_t *iv, const void *aad, size_t aad_length,
					 const uint8_t *input, size_t length, uint8_t *output, uint8_t *tag)
{
	OSSL_PARAM	wanted[] = {TAG_PARAMETER(tag), OSSL_PARAM_END};

	return run_cipher(cipher, iv, NULL, aad, aad_length, input, length, output) &&
		EVP_CIPHER_CTX_get_params(cipher, wanted) == 1;
}

bool
envelope_cipher_open(EnvelopeCipher *cipher, const uint8_t *iv, const void *aad, size_t aad_length,
					 const uint8_t *input, size_t length, const uint8_t *tag, uint8_t *output)
{
	OSSL_PARAM	expected[] = {TAG_PARAMETER((uint8_t *) tag), OSSL_PARAM_END};

	return run_cipher(cipher, iv, expected, aad, aad_length, input, length, output);
}

/* Begin the hash of a key's block, every byte of it changed by pad. */
static void
begin_padded(SHA512_CTX *hash, const uint8_t *block, uint8_t pad)
{
	uint8_t		padded[HASH_BLOCK_SIZE];

	for (int i = 0; i < HASH_BLOCK_SIZE; i++)
		padded[i] = block[i] ^ pad;
	SHA512_Init(hash);
	SHA512_Update(hash, padded, sizeof(padded));
	explicit_bzero(padded, sizeof(padded));
}

/* Set up a key, which any number of HMACs may use. */
static void
set_key(EnvelopeHmacKey *hmac, const void *key, size_t length)
{
	uint8_t		block[HASH_BLOCK_SIZE] = {0};

	if (length > HASH_BLOCK_SIZE)
		SHA512(key, length, block);
	else if (length > 0)
		memcpy(block, key, length);
	begin_padded(&hmac->inner, block, INNER_PAD);
	begin_padded(&hmac->outer, block, OUTER_PAD);
	explicit_bzero(block, sizeof(block));
}

/* End an HMAC whose data the inner hash has taken in; wipes what made it. */
static void
end_hmac(EnvelopeHmacKey *running, uint8_t *hash)
{
	SHA512_Final(hash, &running->inner);
	SHA512_Update(&running->outer, hash, ENVELOPE_HASH_SIZE);
	SHA512_Final(hash, &running->outer);
	explicit_bzero(running, sizeof(*running));
}

void
envelope_hmac(const void *key, size_t key_length, const void *data, size_t length, uint8_t *hash)
{
	EnvelopeHmacKey hmac;

	set_key(&hmac, key, key_length);
	SHA512_Update(&hmac.inner, data, length);
	end_hmac(&hmac, hash);
}

void
envelope_hkdf_extract(const void *salt, size_t salt_length, const void *input_key,
					  size_t input_length, EnvelopeHmacKey *prk)
{
	uint8_t		hash[ENVELOPE_HASH_SIZE];

	/* a missing salt is a block of zeros, which is what an empty key is padded to */
	envelope_hmac(salt, salt_length, input_key, input_length, hash);
	set_key(prk, hash, sizeof(hash));
	explicit_bzero(hash, sizeof(hash));
}

void
envelope_hkdf_expand(const EnvelopeHmacKey *prk, const void *info, size_t info_length,
					 uint8_t *output, size_t length)
{
	uint8_t		block[ENVELOPE_HASH_SIZE];
	uint8_t		n = 0;

	/* T(n) = HMAC(prk, T(n - 1) || info || n) */
	while (length > 0)
	{
		EnvelopeHmacKey running = *prk;
		size_t		part = length < sizeof(block) ? length : sizeof(block);

		if (n++ > 0)
			SHA512_Update(&running.inner, block, sizeof(block));
		SHA512_Update(&running.inner, info, info_length);
		SHA512_Update(&running.inner, &n, 1);
		end_hmac(&running, block);
		memcpy(output, block, part);
		output += part;
		length -= part;
	}
	explicit_bzero(block, sizeof(block));
}

/* A page that neither dumps nor children get to see; NULL where the system has none. */
static RandomPool *
map_pool(void)
{
	RandomPool *pool = mmap(NULL, sizeof(RandomPool), PROT_READ | PROT_WRITE,
							MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pool == MAP_FAILED)
		return NULL;
	if (madvise(pool, sizeof(RandomPool), MADV_DONTDUMP) != 0 ||
		madvise(pool, sizeof(RandomPool), MADV_WIPEONFORK) != 0)
	{
		munmap(pool, sizeof(RandomPool));
		return NULL;
	}
	return pool;
}

bool
envelope_random(void *output, size_t length)
{
	static RandomPool *pool = NULL;

	if (pool == NULL)
		pool = map_pool();
	if (pool == NULL || length > sizeof(pool->bytes))
		return RAND_priv_bytes(output, (int) length) == 1;
	if (length > pool->left)
	{
		pool->left = 0;
		if (RAND_priv_bytes(pool->bytes, sizeof(pool->bytes)) != 1)
			return false;
		pool->left = sizeof(pool->bytes);
	}
	pool->left -= length;
	memcpy(output, pool->bytes + pool->left, length);
	explicit_bzero(pool->bytes + pool->left, length);
	return true;
}

void
envelope_wipe(void *secret, size_t length)
{
	explicit_bzero(secret, length);
}

bool
envelope_equal(const void *a, const void *b, size_t length)
{
	return CRYPTO_memcmp(a, b, length) == 0;
}
