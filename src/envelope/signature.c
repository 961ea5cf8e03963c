/*-------------------------------------------------------------------------
 *
 * signature.c
 *	  Signatures of messages: ECDSA on curve P-384 with SHA-384, as the AWS
 *	  Encryption SDK's suite 0x0578 has them.
 *
 * They are verified only.  padlock writes messages without: its readers have
 * the key that sealed them, or none.
 *
 *-------------------------------------------------------------------------
 */
#include "envelope/crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define POINT_SIZE		49		/* a compressed point of P-384 */
#define POINT_TEXT		68		/* characters of it in base64 */

/* Decode the text of a public key; false when it is not one. */
static bool
decode_point(const uint8_t *text, size_t length, uint8_t *point)
{
	uint8_t		decoded[POINT_TEXT / 4 * 3];

	/* 49 bytes are 66 characters and two that fill up */
	if (length != POINT_TEXT || text[POINT_TEXT - 1] != '=' || text[POINT_TEXT - 2] != '=' ||
		EVP_DecodeBlock(decoded, text, POINT_TEXT) != (int) sizeof(decoded))
		return false;
	for (int i = 0; i < POINT_SIZE; i++)
		point[i] = decoded[i];
	return true;
}

/* A public key of P-384; NULL when the point is not on the curve. */
static EVP_PKEY *
make_key(uint8_t *point)
{
	OSSL_PARAM	parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, "P-384", 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, POINT_SIZE),
		OSSL_PARAM_construct_end()
	};
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY   *key = NULL;

	if (context != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
		EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}

bool
envelope_verify_signature(const uint8_t *key_text, size_t key_length, const void *data,
						  size_t length, const uint8_t *signature, size_t signature_length)
{
	uint8_t		point[POINT_SIZE];
	EVP_PKEY   *key = NULL;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool		good;

	if (decode_point(key_text, key_length, point))
		key = make_key(point);
	good = key != NULL && digest != NULL &&
		EVP_DigestVerifyInit_ex(digest, NULL, "SHA2-384", NULL, NULL, key, NULL) == 1 &&
		EVP_DigestVerify(digest, signature, signature_length, data, length) == 1;
	EVP_MD_CTX_free(digest);
	EVP_PKEY_free(key);
	return good;
}
