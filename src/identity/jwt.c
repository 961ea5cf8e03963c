/*-------------------------------------------------------------------------
 *
 * jwt.c
 *	  JSON Web Tokens (RFC 7519) as compact JWS (RFC 7515): verify and sign.
 *
 * A token is hostile until its signature holds, and its JSON even after that:
 * nothing here raises an error for what is in it.  A key knows the only
 * algorithm it is good for, and the header's "alg" must name that one; so
 * "none" and a public key used as an HMAC secret have no way in (RFC 8725,
 * 3.1).  Keys come from the file only: "jwk", "jku" and "x5u" headers are not
 * looked at, and "crit" names extensions we do not have.
 *
 * A token must expire: "exp" is demanded.  There is no leeway: padlock makes
 * the tokens itself in general, with the clock that checks them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "identity/digest.h"
#include "identity/jwt.h"
#include "identity/jwt_internal.h"

#define MAX_KNOWN_HEADER	256	/* bytes in base64url of a header that is remembered */
#define ES256_HALF		32		/* bytes of r and of s (RFC 7518, 3.4) */

/* The parts of a compact JWS; pointers into the token's text. */
typedef struct Compact
{
	const char *header;
	size_t		header_length;
	const char *payload;
	size_t		payload_length;
	const char *signature;
	size_t		signature_length;
} Compact;

/* What a verifier needs of a token's header. */
typedef struct Header
{
	JwtAlgorithm algorithm;
	const char *kid;			/* NULL when absent */
} Header;

/* Split "header.payload.signature"; false unless all three are there.  An empty payload may be. */
static bool
split_token(const char *token, Compact *parts)
{
	const char *first = strchr(token, '.');
	const char *second = first != NULL ? strchr(first + 1, '.') : NULL;

	if (second == NULL || strchr(second + 1, '.') != NULL)
		return false;
	parts->header = token;
	parts->header_length = first - token;
	parts->payload = first + 1;
	parts->payload_length = second - first - 1;
	parts->signature = second + 1;
	parts->signature_length = strlen(second + 1);
	return parts->header_length > 0 && parts->signature_length > 0;
}

/* Convert valid UTF-8 to the server's encoding without an error; NULL if it cannot be. */
static char *
from_utf8(unsigned char *bytes, int length)
{
	Oid			conversion = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	int			size = length * MAX_CONVERSION_GROWTH + 1;
	unsigned char *out;

	if (!OidIsValid(conversion))
		return NULL;
	out = palloc(size);
	if (pg_do_encoding_conversion_buf(conversion, PG_UTF8, GetDatabaseEncoding(), bytes, length,
									  out, size, true) != length)
		return NULL;
	return (char *) out;
}

/* The bytes that a part of a token encodes, palloc'd and ended by NUL; NULL when it is malformed. */
static unsigned char *
decode_part(const char *part, size_t part_length, int *length)
{
	unsigned char *bytes = palloc(part_length + 1);

	*length = padlock_base64url_decode(part, part_length, bytes);
	if (*length < 0)
		return NULL;
	bytes[*length] = '\0';
	return bytes;
}

/* Has the server's encoding no such character?  (UTF-16 surrogates count only in UTF-8.) */
static bool
is_foreign(pg_wchar character)
{
	unsigned char utf8[MAX_MULTIBYTE_CHAR_LEN + 1];

	if (character == 0)
		return true;
	if (character < 128 || GetDatabaseEncoding() == PG_UTF8)
		return false;
	unicode_to_utf8(character, utf8);
	return from_utf8(utf8, pg_utf_mblen(utf8)) == NULL;
}

/* Is a character escaped in the JSON that no jsonb of this server can hold? */
static bool
has_foreign_escape(const char *json)
{
	for (json = strchr(json, '\\'); json != NULL && json[1] != '\0'; json = strchr(json + 2, '\\'))
	{
		unsigned int character;

		if (json[1] == 'u' && sscanf(json + 2, "%4x", &character) == 1 && is_foreign(character))
			return true;
	}
	return false;
}

/* Decoded bytes as a text in the server's encoding; NULL for characters that no jsonb can hold. */
static char *
as_text(unsigned char *bytes, int length)
{
	if (memchr(bytes, '\0', length) != NULL ||
		!pg_verify_mbstr(PG_UTF8, (char *) bytes, length, true) ||
		has_foreign_escape((char *) bytes))
		return NULL;
	if (GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII)
		return from_utf8(bytes, length);
	return (char *) bytes;
}

/* Is a "typ" header one of an access token (RFC 7519, 5.1; RFC 9068, 2.1)? */
static bool
is_known_type(const PadlockJsonMember *type)
{
	const char *name = type->value;

	if (!type->present)
		return true;
	if (name == NULL)
		return false;
	if (pg_strncasecmp(name, "application/", 12) == 0)
		name += 12;
	return pg_strcasecmp(name, "jwt") == 0 || pg_strcasecmp(name, "at+jwt") == 0;
}

/* Read a header's JSON; kid is palloc'd. */
static bool
parse_header(const char *encoded, size_t encoded_length, Header *header)
{
	PadlockJsonMember members[] = {{"alg"}, {"kid"}, {"typ"}, {"crit"}};
	int			length;
	unsigned char *bytes = decode_part(encoded, encoded_length, &length);
	char	   *text = bytes != NULL ? as_text(bytes, length) : NULL;

	if (text == NULL || !padlock_json_members(text, members, lengthof(members)) ||
		members[0].value == NULL || (members[1].present && members[1].value == NULL) ||
		!is_known_type(&members[2]) || members[3].present)
		return false;
	header->kid = members[1].value;
	return jwt_algorithm_by_name(members[0].value, &header->algorithm);
}

/*
 * The header of a token.  Those of one issuer are alike to the letter, so the
 * last good one is remembered: what it says depends on nothing else.
 */
static bool
read_header(const Compact *parts, Header *header)
{
	static char known[MAX_KNOWN_HEADER];
	static size_t known_length = 0;
	static char known_kid[MAX_KNOWN_HEADER];
	static Header known_header;

	if (parts->header_length == known_length &&
		memcmp(parts->header, known, known_length) == 0)
	{
		*header = known_header;
		return true;
	}
	if (!parse_header(parts->header, parts->header_length, header))
		return false;
	if (parts->header_length <= sizeof(known) &&
		(header->kid == NULL || strlen(header->kid) < sizeof(known_kid)))
	{
		known_length = parts->header_length;
		memcpy(known, parts->header, known_length);
		known_header = *header;
		if (header->kid != NULL)
			known_header.kid = strcpy(known_kid, header->kid);
	}
	return true;
}

/* HMAC-SHA-256 of data with an HS256 key; false when libcrypto fails. */
static bool
make_mac(const JwtKey *key, const void *data, size_t length, unsigned char mac[32])
{
	size_t		written;

	/* without a key the context starts again with the one it has */
	return EVP_MAC_init(key->mac, NULL, 0, NULL) == 1 &&
		EVP_MAC_update(key->mac, data, length) == 1 &&
		EVP_MAC_final(key->mac, mac, &written, SHA256_LENGTH) == 1;
}

static bool
verify_mac(const JwtKey *key, const void *data, size_t length,
		   const unsigned char *signature, size_t signature_length)
{
	unsigned char mac[SHA256_LENGTH];
	bool		same = signature_length == sizeof(mac) && make_mac(key, data, length, mac) &&
		CRYPTO_memcmp(mac, signature, sizeof(mac)) == 0;

	OPENSSL_cleanse(mac, sizeof(mac));
	return same;
}

static bool
verify_rsa(const JwtKey *key, const void *data, size_t length,
		   const unsigned char *signature, size_t signature_length)
{
	unsigned char hash[SHA256_LENGTH];

	return digest_sha256(data, length, hash) &&
		EVP_PKEY_verify(key->verifier, signature, signature_length, hash, sizeof(hash)) == 1;
}

/* The DER form of an ES256 signature r || s, OPENSSL_malloc'd; its length or -1. */
static int
ecdsa_to_der(const unsigned char *signature, unsigned char **der)
{
	ECDSA_SIG  *pair = ECDSA_SIG_new();
	BIGNUM	   *r = BN_bin2bn(signature, ES256_HALF, NULL);
	BIGNUM	   *s = BN_bin2bn(signature + ES256_HALF, ES256_HALF, NULL);
	int			length = -1;

	*der = NULL;
	if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1)
		length = i2d_ECDSA_SIG(pair, der);	/* r and s belong to pair now */
	else
	{
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(pair);
	return length;
}

static bool
verify_ecdsa(const JwtKey *key, const void *data, size_t length,
			 const unsigned char *signature, size_t signature_length)
{
	unsigned char hash[SHA256_LENGTH];
	unsigned char *der;
	int			der_length;
	bool		good;

	if (signature_length != 2 * ES256_HALF || !digest_sha256(data, length, hash))
		return false;
	der_length = ecdsa_to_der(signature, &der);
	good = der_length > 0 &&
		EVP_PKEY_verify(key->verifier, der, der_length, hash, sizeof(hash)) == 1;
	OPENSSL_free(der);
	return good;
}

static bool
verify_eddsa(const JwtKey *key, const void *data, size_t length,
			 const unsigned char *signature, size_t signature_length)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		good = context != NULL &&
		EVP_DigestVerifyInit_ex(context, NULL, NULL, NULL, NULL, key->pkey, NULL) == 1 &&
		EVP_DigestVerify(context, signature, signature_length, data, length) == 1;

	EVP_MD_CTX_free(context);
	return good;
}

/* Is it this key's signature?  The key's algorithm decides, not the token's. */
static bool
verify_with(const JwtKey *key, const void *data, size_t length,
			const unsigned char *signature, size_t signature_length)
{
	switch (key->algorithm)
	{
		case JWT_HS256:
			return verify_mac(key, data, length, signature, signature_length);
		case JWT_RS256:
			return verify_rsa(key, data, length, signature, signature_length);
		case JWT_ES256:
			return verify_ecdsa(key, data, length, signature, signature_length);
		case JWT_EDDSA:
			return verify_eddsa(key, data, length, signature, signature_length);
	}
	return false;
}

/* May this key have signed a token with this header? */
static bool
is_candidate(const JwtKey *key, const Header *header)
{
	if (key->is_refresh || key->algorithm != header->algorithm)
		return false;
	return header->kid == NULL || (key->kid != NULL && strcmp(key->kid, header->kid) == 0);
}

/* Did any key of the file sign the token? */
static bool
is_signed(const Compact *parts, const Header *header)
{
	const JwtKeySet *set = jwt_keys();
	unsigned char *signature = palloc(parts->signature_length);
	int			length = padlock_base64url_decode(parts->signature, parts->signature_length, signature);
	bool		found = false;

	for (int i = 0; length > 0 && i < set->count && !found; i++)
		found = is_candidate(&set->keys[i], header) &&
			verify_with(&set->keys[i], parts->header,
						parts->header_length + 1 + parts->payload_length, signature, length);
	if (!found)
		ERR_clear_error();
	pfree(signature);
	return found;
}

bool
jwt_read_time(const PadlockJsonMember *claim, double *seconds)
{
	if (claim->value == NULL || !claim->is_number)
		return false;
	*seconds = strtod(claim->value, NULL);
	return isfinite(*seconds);
}

double
jwt_now(void)
{
	return (double) GetCurrentTimestamp() / USECS_PER_SEC +
		(double) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

JwtVerdict
jwt_verify(const char *token, char **text, Jsonb **claims)
{
	Compact		parts;
	Header		header;
	unsigned char *payload;
	int			length;

	*text = NULL;
	*claims = NULL;
	if (strlen(token) > JWT_MAX_LENGTH || !split_token(token, &parts) ||
		!read_header(&parts, &header))
		return JWT_MALFORMED;
	payload = decode_part(parts.payload, parts.payload_length, &length);
	if (payload == NULL)
		return JWT_MALFORMED;
	if (!is_signed(&parts, &header))
		return JWT_BAD_SIGNATURE;
	*text = as_text(payload, length);
	return *text != NULL ? jwt_read_claims(*text, claims) : JWT_BAD_CLAIMS;
}

/* The first key that may sign tokens. */
static const JwtKey *
signing_key(void)
{
	const JwtKeySet *set = jwt_keys();
	int			signer = jwt_find_signer(set);

	if (signer >= 0)
		return &set->keys[signer];
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the key file of padlock.jwt_keys_file holds no key that can sign tokens"),
			 errhint("Run SELECT padlock.rotate_jwt_key() as the owner of the extension.")));
}

/* Turn libcrypto's DER signature into r || s; false if it is none. */
static bool
ecdsa_from_der(const unsigned char *der, size_t length, unsigned char out[2 * ES256_HALF])
{
	ECDSA_SIG  *pair = d2i_ECDSA_SIG(NULL, &der, (long) length);
	bool		good = pair != NULL &&
		BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, ES256_HALF) == ES256_HALF &&
		BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + ES256_HALF, ES256_HALF) == ES256_HALF;

	ECDSA_SIG_free(pair);
	return good;
}

/* Sign with an asymmetric key; false when libcrypto fails. */
static bool
sign_asymmetric(const JwtKey *key, const void *data, size_t length,
				unsigned char *signature, size_t *signature_length)
{
	const char *digest = key->algorithm == JWT_EDDSA ? NULL : "SHA256";
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		good = context != NULL &&
		EVP_DigestSignInit_ex(context, NULL, digest, NULL, NULL, key->pkey, NULL) == 1 &&
		EVP_DigestSign(context, signature, signature_length, data, length) == 1;

	EVP_MD_CTX_free(context);
	return good;
}

/* Append the signature of the token so far. */
static void
append_signature(StringInfo token, const JwtKey *key, const char *data, size_t length)
{
	unsigned char signature[1024];	/* RSA up to 8192 bits */
	unsigned char pair[2 * ES256_HALF];
	size_t		size = sizeof(signature);
	bool		good;

	if (key->algorithm == JWT_HS256)
	{
		good = make_mac(key, data, length, signature);
		size = SHA256_LENGTH;
	}
	else
		good = sign_asymmetric(key, data, length, signature, &size);
	if (good && key->algorithm == JWT_ES256)
	{
		good = ecdsa_from_der(signature, size, pair);
		memcpy(signature, pair, sizeof(pair));
		size = sizeof(pair);
	}
	if (!good)
	{
		ERR_clear_error();
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not sign a token")));
	}
	appendStringInfoChar(token, '.');
	padlock_base64url_append(token, signature, size);
}

char *
jwt_sign(const char *claims)
{
	const JwtKey *key = signing_key();
	const char *payload = pg_server_to_any(claims, strlen(claims), PG_UTF8);
	StringInfoData header;
	StringInfoData token;

	initStringInfo(&header);
	appendStringInfo(&header, "{\"alg\":\"%s\",\"typ\":\"JWT\"", jwt_algorithm_name(key->algorithm));
	if (key->kid != NULL)
	{
		appendStringInfoString(&header, ",\"kid\":");
		escape_json(&header, key->kid);
	}
	appendStringInfoChar(&header, '}');

	initStringInfo(&token);
	padlock_base64url_append(&token, header.data, header.len);
	appendStringInfoChar(&token, '.');
	padlock_base64url_append(&token, payload, strlen(payload));
	append_signature(&token, key, pnstrdup(token.data, token.len), token.len);
	return token.data;
}

void
jwt_refresh_mac(const void *data, size_t length, unsigned char mac[32])
{
	const JwtKeySet *set = jwt_keys();

	for (int i = 0; i < set->count; i++)
	{
		if (!set->keys[i].is_refresh)
			continue;
		if (make_mac(&set->keys[i], data, length, mac))
			return;
		ERR_clear_error();
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute an HMAC")));
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the key file of padlock.jwt_keys_file holds no refresh key"),
			 errhint("Add an \"oct\" key with \"use\": \"refresh\", or make a new file with padlock.create_jwt_keys().")));
}
