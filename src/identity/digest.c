/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  SHA-256 for short texts, many times a second.
 *
 * OpenSSL 3 looks an algorithm up at each use unless it is given one, which
 * costs more than the hash of an API key; so algorithm and context are kept
 * for the life of the session.  Finishing a hash wipes the context's state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "identity/digest.h"

bool
digest_sha256(const void *data, size_t length, unsigned char hash[SHA256_LENGTH])
{
	static EVP_MD *algorithm = NULL;
	static EVP_MD_CTX *context = NULL;

	if (algorithm == NULL)
		algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (context == NULL)
		context = EVP_MD_CTX_new();
	return algorithm != NULL && context != NULL &&
		EVP_DigestInit_ex2(context, algorithm, NULL) == 1 &&
		EVP_DigestUpdate(context, data, length) == 1 &&
		EVP_DigestFinal_ex(context, hash, NULL) == 1;
}
