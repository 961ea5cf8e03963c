/*-------------------------------------------------------------------------
 *
 * libcrypto.c
 *	  What libcrypto alone takes for a message of 1 KiB: the calls that no
 *	  implementation of the format on OpenSSL 3 can do without, and nothing else.
 *
 * Usage: libcrypto seal|open SECONDS; prints how often a second of processor
 * time that can be done.
 *
 * The calls are ten blocks of SHA-512 (HKDF: the two padded blocks and the two
 * hashes of the extraction, two padded blocks of its key, two hashes for each of
 * two keys), two AES-256 keys, and AES-GCM of the data key, the header and the
 * content.  Left out are the random bytes, everything that becomes of what is
 * computed, and every copy.
 *
 *-------------------------------------------------------------------------
 */
#define OPENSSL_SUPPRESS_DEPRECATED	/* SHA512_Transform(): a block and nothing more */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#define SHA_BLOCKS		10
#define CONTENT			1024
#define KEY				32
#define TAG				16
#define CONTEXT			77		/* bytes of test/bench/envelope.sh's context, serialised */
#define HEADER			(CONTEXT + 168)	/* with a key named documents/1 */
#define FRAME_AAD		78
#define BATCH			1000

static EVP_CIPHER *aes;
static unsigned char keys[2][KEY] = {{1}, {2}};
static unsigned char iv[12];

/* One GCM of length bytes, with another key, or NULL for the one before. */
static void
run(EVP_CIPHER_CTX *cipher, int sealing, const unsigned char *key, int aad_length,
	const unsigned char *input, int length, unsigned char *output, unsigned char *tag)
{
	static const unsigned char aad[HEADER];
	OSSL_PARAM	parameters[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TAG), OSSL_PARAM_END
	};
	unsigned char rest[16];
	int			written;

	/* the cipher is named with the first key only */
	if (EVP_CipherInit_ex2(cipher, key == keys[0] ? aes : NULL, key, iv, sealing,
						   sealing ? NULL : parameters) != 1 ||
		EVP_CipherUpdate(cipher, NULL, &written, aad, aad_length) != 1 ||
		(length > 0 && EVP_CipherUpdate(cipher, output, &written, input, length) != 1) ||
		EVP_CipherFinal_ex(cipher, rest, &written) != 1 ||
		(sealing && EVP_CIPHER_CTX_get_params(cipher, parameters) != 1))
	{
		fputs("libcrypto: AES-GCM failed\n", stderr);
		exit(1);
	}
}

/* The calls of one message.  Sealing writes sealed and the tags, opening reads them. */
static void
run_message(int sealing, unsigned char *sealed, unsigned char tags[3][TAG])
{
	static SHA512_CTX hash;
	static unsigned char block[SHA512_CBLOCK], plain[KEY + CONTENT], opened[KEY + CONTENT];
	unsigned char *input = sealing ? plain : sealed;
	unsigned char *output = sealing ? sealed : opened;
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();

	for (int i = 0; i < SHA_BLOCKS; i++)
		SHA512_Transform(&hash, block);
	run(cipher, sealing, keys[0], CONTEXT, input, KEY, output, tags[0]);
	run(cipher, sealing, keys[1], HEADER, NULL, 0, NULL, tags[1]);
	run(cipher, sealing, NULL, FRAME_AAD, input + KEY, CONTENT, output + KEY, tags[2]);
	EVP_CIPHER_CTX_free(cipher);
}

static double
processor_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	static unsigned char sealed[KEY + CONTENT], tags[3][TAG];
	int			sealing;
	long		done = 0;
	double		began;
	double		took;

	if (argc != 3)
		return 2;
	sealing = strcmp(argv[1], "seal") == 0;
	aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	run_message(1, sealed, tags);
	began = processor_time();
	do
	{
		for (int i = 0; i < BATCH; i++)
			run_message(sealing, sealed, tags);
		done += BATCH;
		took = processor_time() - began;
	} while (took < atof(argv[2]));
	printf("%.0f\n", done / took);
	return 0;
}
