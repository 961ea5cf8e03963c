/*-------------------------------------------------------------------------
 *
 * jwt_jwk.c
 *	  Keys as JSON Web Keys (RFC 7517, 7518, 8037): read, made, written.
 *
 * What a key is decides what it verifies: EC P-256 is ES256, OKP Ed25519 is
 * EdDSA, RSA is RS256, oct is HS256; a key whose "alg" says otherwise is
 * passed over, as are keys of other kinds, curves and uses.  A key of a known
 * kind that is weak or broken makes the whole file unusable: the operator
 * shall see it.
 *
 * The file is read with the server's event parser and not as jsonb, so that
 * every copy of a secret is in our hands: the parser's buffer is wiped, the
 * rest lives in OpenSSL's secret heap (locked in memory, out of core dumps,
 * wiped when freed).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"

#include "identity/jwt_internal.h"

#define MIN_SECRET		32		/* bytes; RFC 7518, 3.2 */
#define MIN_RSA_BITS	2048	/* RFC 7518, 3.3 */
#define MAX_RSA_BITS	8192
#define MADE_RSA_BITS	3072	/* 128 bits of strength, NIST SP 800-57 part 1 */
#define COORDINATE		32		/* bytes of a P-256 coordinate and an Ed25519 key */

/* The members of a JWK that matter. */
enum
{
	KTY, CRV, ALG, USE, KID, X, Y, D, N, E, P, Q, DP, DQ, QI, K, MEMBERS
};

static const char *const member_names[MEMBERS] = {
	"kty", "crv", "alg", "use", "kid", "x", "y", "d", "n", "e", "p", "q", "dp", "dq", "qi", "k"
};

static const char *const algorithm_names[JWT_ALGORITHMS] = {
	[JWT_HS256] = "HS256",
	[JWT_RS256] = "RS256",
	[JWT_ES256] = "ES256",
	[JWT_EDDSA] = "EdDSA"
};

/* A JWK under reading; texts in the secret heap. */
typedef struct Jwk
{
	char	   *member[MEMBERS];
	bool		limits_operations;	/* "key_ops" is there */
	bool		may_sign_or_verify; /* … and names one of these */
} Jwk;

/* The state of the parser's events over a JWK Set. */
typedef struct SetReader
{
	JsonLexContext *lex;
	JwtKeySet  *set;
	const char *problem;		/* the first one found */
	int			position;		/* keys seen */
	bool		has_keys;		/* the set has a list "keys" */
	bool		is_keys_member;
	bool		in_keys;
	int			member;			/* of the current key, or -1 */
	bool		in_operations;
	Jwk			jwk;
} SetReader;

bool
jwt_algorithm_by_name(const char *name, JwtAlgorithm *algorithm)
{
	for (int i = 0; i < JWT_ALGORITHMS; i++)
	{
		if (strcmp(algorithm_names[i], name) == 0)
		{
			*algorithm = (JwtAlgorithm) i;
			return true;
		}
	}
	return false;
}

const char *
jwt_algorithm_name(JwtAlgorithm algorithm)
{
	return algorithm_names[algorithm];
}

/* ---- from JWK to key ---- */

static void
free_secret(char *text)
{
	if (text != NULL)
		OPENSSL_secure_clear_free(text, strlen(text) + 1);
}

static char *
keep_secret(const char *text)
{
	char	   *copy = OPENSSL_secure_malloc(strlen(text) + 1);

	if (copy != NULL)
		strcpy(copy, text);
	return copy;
}

static void
clear_key(JwtKey *key)
{
	OPENSSL_free(key->kid);
	EVP_PKEY_CTX_free(key->verifier);
	EVP_PKEY_free(key->pkey);
	EVP_MAC_CTX_free(key->mac);
	OPENSSL_secure_clear_free(key->secret, key->secret_length);
	memset(key, 0, sizeof(*key));
}

void
jwt_clear_set(JwtKeySet *set)
{
	for (int i = 0; i < set->count; i++)
		clear_key(&set->keys[i]);
	set->count = 0;
}

/* The bytes of a base64url text in the secret heap; NULL when absent or malformed. */
static unsigned char *
decode_secret(const char *text, size_t *length)
{
	size_t		room = text != NULL ? strlen(text) : 0;
	unsigned char *bytes = room > 0 ? OPENSSL_secure_malloc(room) : NULL;
	int			decoded;

	if (bytes == NULL)
		return NULL;
	decoded = padlock_base64url_decode(text, room, bytes);
	if (decoded <= 0)
	{
		OPENSSL_secure_clear_free(bytes, room);
		return NULL;
	}
	*length = decoded;
	return bytes;
}

/* The bytes of a text that encodes exactly as many as wanted. */
static bool
decode_exactly(const char *text, unsigned char *out, size_t wanted)
{
	size_t		length;
	unsigned char *bytes = decode_secret(text, &length);
	bool		good = bytes != NULL && length == wanted;

	if (good)
		memcpy(out, bytes, wanted);
	if (bytes != NULL)
		OPENSSL_secure_clear_free(bytes, length);
	return good;
}

/* Add a number to the parameters of a key to be built; it is kept in *number. */
static bool
push_number(OSSL_PARAM_BLD *builder, const char *parameter, const char *text, BIGNUM **number)
{
	size_t		length;
	unsigned char *bytes = decode_secret(text, &length);

	if (bytes == NULL)
		return false;
	*number = BN_secure_new();
	if (*number != NULL && BN_bin2bn(bytes, (int) length, *number) == NULL)
	{
		BN_free(*number);
		*number = NULL;
	}
	OPENSSL_secure_clear_free(bytes, length);
	return *number != NULL && OSSL_PARAM_BLD_push_BN(builder, parameter, *number) == 1;
}

/* Make a key of the collected parameters; NULL when they do not fit together. */
static EVP_PKEY *
build_pkey(const char *type, OSSL_PARAM_BLD *builder, bool has_private)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
	EVP_PKEY   *pkey = NULL;

	if (context != NULL && parameters != NULL && EVP_PKEY_fromdata_init(context) == 1)
		(void) EVP_PKEY_fromdata(context, &pkey, has_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
								 parameters);
	OSSL_PARAM_free(parameters);
	EVP_PKEY_CTX_free(context);
	return pkey;
}

/* Is the point on the curve, and the private key its own? */
static bool
is_sound(EVP_PKEY *pkey, bool has_private)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	bool		sound = context != NULL && EVP_PKEY_public_check(context) == 1 &&
		(!has_private || EVP_PKEY_pairwise_check(context) == 1);

	EVP_PKEY_CTX_free(context);
	return sound;
}

static const char *
read_ec(const Jwk *jwk, JwtKey *key)
{
	unsigned char point[1 + 2 * COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	BIGNUM	   *d = NULL;

	key->can_sign = jwk->member[D] != NULL;
	if (builder != NULL &&
		decode_exactly(jwk->member[X], point + 1, COORDINATE) &&
		decode_exactly(jwk->member[Y], point + 1 + COORDINATE, COORDINATE) &&
		OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) == 1 &&
		(!key->can_sign || push_number(builder, OSSL_PKEY_PARAM_PRIV_KEY, jwk->member[D], &d)))
		key->pkey = build_pkey("EC", builder, key->can_sign);
	OSSL_PARAM_BLD_free(builder);
	BN_clear_free(d);
	if (key->pkey == NULL || !is_sound(key->pkey, key->can_sign))
		return "\"x\", \"y\" and \"d\" are no key of curve P-256";
	return NULL;
}

static const char *
read_okp(const Jwk *jwk, JwtKey *key)
{
	unsigned char public[COORDINATE];
	unsigned char derived[COORDINATE];
	unsigned char private[COORDINATE];
	size_t		length = sizeof(derived);

	key->can_sign = jwk->member[D] != NULL;
	if (!decode_exactly(jwk->member[X], public, sizeof(public)))
		return "\"x\" is not the 32 bytes of an Ed25519 key";
	if (!key->can_sign)
		key->pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, public, sizeof(public));
	else if (decode_exactly(jwk->member[D], private, sizeof(private)))
		key->pkey = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, private, sizeof(private));
	OPENSSL_cleanse(private, sizeof(private));
	if (key->pkey == NULL ||
		EVP_PKEY_get_raw_public_key(key->pkey, derived, &length) != 1 ||
		memcmp(derived, public, sizeof(public)) != 0)
		return "\"x\" and \"d\" are no Ed25519 key";
	return NULL;
}

static const char *
read_rsa(const Jwk *jwk, JwtKey *key)
{
	static const struct
	{
		int			member;
		const char *parameter;
	}			parts[] = {
		{N, OSSL_PKEY_PARAM_RSA_N}, {E, OSSL_PKEY_PARAM_RSA_E}, {D, OSSL_PKEY_PARAM_RSA_D},
		{P, OSSL_PKEY_PARAM_RSA_FACTOR1}, {Q, OSSL_PKEY_PARAM_RSA_FACTOR2},
		{DP, OSSL_PKEY_PARAM_RSA_EXPONENT1}, {DQ, OSSL_PKEY_PARAM_RSA_EXPONENT2},
		{QI, OSSL_PKEY_PARAM_RSA_COEFFICIENT1}
	};
	BIGNUM	   *numbers[lengthof(parts)] = {NULL};
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	bool		good = builder != NULL;
	int			count;

	key->can_sign = jwk->member[D] != NULL;
	/* the factors only make signing faster: with all of them, or with none */
	count = !key->can_sign ? 2 : jwk->member[QI] != NULL ? lengthof(parts) : 3;
	for (int i = 0; good && i < count; i++)
		good = push_number(builder, parts[i].parameter, jwk->member[parts[i].member], &numbers[i]);
	if (good)
		key->pkey = build_pkey("RSA", builder, key->can_sign);
	OSSL_PARAM_BLD_free(builder);
	good = good && BN_is_odd(numbers[1]) && !BN_is_one(numbers[1]);
	for (int i = 0; i < count; i++)
		BN_clear_free(numbers[i]);
	if (!good || key->pkey == NULL)
		return "\"n\", \"e\" and the private members are no RSA key";
	if (EVP_PKEY_get_bits(key->pkey) < MIN_RSA_BITS || EVP_PKEY_get_bits(key->pkey) > MAX_RSA_BITS)
		return "an RSA key must have 2048 to 8192 bits";
	return NULL;
}

static const char *
read_oct(const Jwk *jwk, JwtKey *key)
{
	key->can_sign = true;
	key->secret = decode_secret(jwk->member[K], &key->secret_length);
	if (key->secret == NULL)
		return "\"k\" is not base64url without padding";
	return key->secret_length < MIN_SECRET ? "\"k\" must have 32 bytes or more" : NULL;
}

/* Make what each verification would otherwise make anew. */
static bool
prepare_key(JwtKey *key)
{
	if (key->algorithm == JWT_HS256)
	{
		EVP_MAC    *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
		OSSL_PARAM	parameters[] = {
			OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
			OSSL_PARAM_construct_end()
		};

		key->mac = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
		EVP_MAC_free(hmac);
		return key->mac != NULL &&
			EVP_MAC_init(key->mac, key->secret, key->secret_length, parameters) == 1;
	}
	if (key->algorithm == JWT_EDDSA)
		return true;
	key->verifier = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	if (key->verifier == NULL || EVP_PKEY_verify_init(key->verifier) != 1)
		return false;
	return key->algorithm == JWT_ES256 ||
		(EVP_PKEY_CTX_set_rsa_padding(key->verifier, RSA_PKCS1_PADDING) == 1 &&
		 EVP_PKEY_CTX_set_signature_md(key->verifier, EVP_sha256()) == 1);
}

static bool
member_is(const Jwk *jwk, int member, const char *value)
{
	return jwk->member[member] != NULL && strcmp(jwk->member[member], value) == 0;
}

/* What the key can be used with; false for a kind we do not have. */
static bool
kind_of(const Jwk *jwk, JwtAlgorithm *algorithm)
{
	if (member_is(jwk, KTY, "oct"))
		*algorithm = JWT_HS256;
	else if (member_is(jwk, KTY, "RSA"))
		*algorithm = JWT_RS256;
	else if (member_is(jwk, KTY, "EC") && member_is(jwk, CRV, "P-256"))
		*algorithm = JWT_ES256;
	else if (member_is(jwk, KTY, "OKP") && member_is(jwk, CRV, "Ed25519"))
		*algorithm = JWT_EDDSA;
	else
		return false;
	return jwk->member[ALG] == NULL || member_is(jwk, ALG, algorithm_names[*algorithm]);
}

/* Is it meant for signatures, or for refresh tokens? */
static bool
is_for_us(const Jwk *jwk, const JwtKey *key)
{
	if (jwk->limits_operations && !jwk->may_sign_or_verify)
		return false;
	return jwk->member[USE] == NULL || member_is(jwk, USE, "sig") || key->is_next ||
		(key->is_refresh && key->algorithm == JWT_HS256);
}

/* Turn a JWK into a key; NULL or the problem.  *used is false for one passed over. */
static const char *
read_key(const Jwk *jwk, JwtKey *key, bool *used)
{
	static const char *(*const readers[JWT_ALGORITHMS]) (const Jwk *, JwtKey *) = {
		[JWT_HS256] = read_oct,
		[JWT_RS256] = read_rsa,
		[JWT_ES256] = read_ec,
		[JWT_EDDSA] = read_okp
	};
	const char *problem;

	key->is_refresh = member_is(jwk, USE, "refresh");
	key->is_next = member_is(jwk, USE, "next");
	*used = kind_of(jwk, &key->algorithm) && is_for_us(jwk, key);
	if (!*used)
		return NULL;
	problem = readers[key->algorithm] (jwk, key);
	if (problem == NULL && jwk->member[KID] != NULL)
		key->kid = OPENSSL_strdup(jwk->member[KID]);
	if (problem == NULL && !prepare_key(key))
		problem = "libcrypto cannot use the key";
	ERR_clear_error();
	return problem;
}

/* ---- the JWK Set's events ---- */

static void
clear_jwk(Jwk *jwk)
{
	for (int i = 0; i < MEMBERS; i++)
		free_secret(jwk->member[i]);
	memset(jwk, 0, sizeof(*jwk));
}

/* A key's object is complete: take it into the set. */
static void
take_key(SetReader *reader)
{
	JwtKey		key = {0};
	bool		used = false;
	const char *problem = read_key(&reader->jwk, &key, &used);

	if (problem == NULL && used && reader->set->count == JWT_MAX_KEYS)
		problem = "there are more than 16 keys";
	if (problem == NULL && used)
		reader->set->keys[reader->set->count++] = key;
	else
		clear_key(&key);
	if (problem != NULL)
		reader->problem = psprintf("Key %d: %s.", reader->position, problem);
}

static void
object_start(void *arg)
{
	SetReader  *reader = arg;

	if (reader->in_keys && reader->lex->lex_level == 2)
	{
		reader->position++;
		reader->member = -1;
	}
}

static void
object_end(void *arg)
{
	SetReader  *reader = arg;

	if (!reader->in_keys || reader->lex->lex_level != 2)
		return;
	if (reader->problem == NULL)
		take_key(reader);
	clear_jwk(&reader->jwk);
}

static void
array_start(void *arg)
{
	SetReader  *reader = arg;

	if (reader->is_keys_member && reader->lex->lex_level == 1)
		reader->has_keys = reader->in_keys = true;
}

static void
array_end(void *arg)
{
	SetReader  *reader = arg;

	if (reader->lex->lex_level == 1)
		reader->in_keys = false;
}

static void
member_start(void *arg, char *name, bool isnull)
{
	SetReader  *reader = arg;

	if (reader->lex->lex_level == 1)
		reader->is_keys_member = strcmp(name, "keys") == 0;
	if (!reader->in_keys || reader->lex->lex_level != 3)
		return;
	reader->member = -1;
	reader->in_operations = strcmp(name, "key_ops") == 0;
	if (reader->in_operations)
		reader->jwk.limits_operations = true;
	for (int i = 0; i < MEMBERS; i++)
		if (strcmp(member_names[i], name) == 0)
			reader->member = i;
}

static void
member_end(void *arg, char *name, bool isnull)
{
	SetReader  *reader = arg;

	if (reader->in_keys && reader->lex->lex_level == 3)
	{
		reader->member = -1;
		reader->in_operations = false;
	}
}

static void
scalar(void *arg, char *token, JsonTokenType type)
{
	SetReader  *reader = arg;

	if (type != JSON_TOKEN_STRING)
		return;
	if (reader->in_keys && reader->lex->lex_level == 3 && reader->member >= 0)
	{
		free_secret(reader->jwk.member[reader->member]);
		reader->jwk.member[reader->member] = keep_secret(token);
	}
	if (reader->in_operations && reader->lex->lex_level == 4 &&
		(strcmp(token, "sign") == 0 || strcmp(token, "verify") == 0))
		reader->jwk.may_sign_or_verify = true;
	OPENSSL_cleanse(token, strlen(token));
}

const char *
jwt_read_set(const char *text, size_t length, JwtKeySet *set)
{
	SetReader	reader = {0};
	JsonSemAction actions = {
		.semstate = &reader,
		.object_start = object_start,
		.object_end = object_end,
		.array_start = array_start,
		.array_end = array_end,
		.object_field_start = member_start,
		.object_field_end = member_end,
		.scalar = scalar
	};
	JsonParseErrorType result;

	reader.set = set;
	reader.member = -1;
	reader.lex = makeJsonLexContextCstringLen(unconstify(char *, text), (int) length,
											  GetDatabaseEncoding(), true);
	/* no growing: that would leave copies behind */
	enlargeStringInfo(reader.lex->strval, (int) length);
	result = pg_parse_json(reader.lex, &actions);
	OPENSSL_cleanse(reader.lex->strval->data, reader.lex->strval->maxlen);
	clear_jwk(&reader.jwk);

	if (result != JSON_SUCCESS || !reader.has_keys)
		return "It is not a JWK Set: a JSON object with a list \"keys\".";
	if (reader.problem != NULL)
		return reader.problem;
	return set->count == 0 ? "It holds no key that padlock can use." : NULL;
}

/* ---- from key to JWK ---- */

static void pg_attribute_noreturn()
fail_to_export(void)
{
	ERR_clear_error();
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not read the parts of a key")));
}

/* Append "name":"base64url" with a number of a key, of a fixed width unless 0. */
static void
append_number(StringInfo out, const char *name, EVP_PKEY *pkey, const char *parameter, int width)
{
	unsigned char bytes[MAX_RSA_BITS / 8];
	BIGNUM	   *number = NULL;
	int			length;

	if (EVP_PKEY_get_bn_param(pkey, parameter, &number) != 1)
		fail_to_export();
	length = width > 0 ? width : BN_num_bytes(number);
	if (length > (int) sizeof(bytes) || BN_bn2binpad(number, bytes, length) != length)
	{
		BN_clear_free(number);
		fail_to_export();
	}
	appendStringInfo(out, ",\"%s\":\"", name);
	padlock_base64url_append(out, bytes, length);
	appendStringInfoChar(out, '"');
	OPENSSL_cleanse(bytes, sizeof(bytes));
	BN_clear_free(number);
}

static void
append_raw(StringInfo out, const char *name, const JwtKey *key,
		   int (*get) (const EVP_PKEY *, unsigned char *, size_t *))
{
	unsigned char bytes[COORDINATE];
	size_t		length = sizeof(bytes);

	if (get(key->pkey, bytes, &length) != 1)
		fail_to_export();
	appendStringInfo(out, ",\"%s\":\"", name);
	padlock_base64url_append(out, bytes, length);
	appendStringInfoChar(out, '"');
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

/*
 * Append the members that make the key, in the order and form that RFC 7638
 * hashes: names sorted, no space.
 */
static void
append_required(StringInfo out, const JwtKey *key)
{
	switch (key->algorithm)
	{
		case JWT_HS256:
			appendStringInfoString(out, "{\"k\":\"");
			padlock_base64url_append(out, key->secret, key->secret_length);
			appendStringInfoString(out, "\",\"kty\":\"oct\"");
			break;
		case JWT_RS256:
			{
				int			start = out->len;

				append_number(out, "e", key->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
				out->data[start] = '{';		/* was the comma */
				appendStringInfoString(out, ",\"kty\":\"RSA\"");
				append_number(out, "n", key->pkey, OSSL_PKEY_PARAM_RSA_N, 0);
				break;
			}
		case JWT_ES256:
			appendStringInfoString(out, "{\"crv\":\"P-256\",\"kty\":\"EC\"");
			append_number(out, "x", key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, COORDINATE);
			append_number(out, "y", key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, COORDINATE);
			break;
		case JWT_EDDSA:
			appendStringInfoString(out, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\"");
			append_raw(out, "x", key, EVP_PKEY_get_raw_public_key);
			break;
	}
}

static void
append_private(StringInfo out, const JwtKey *key)
{
	if (key->algorithm == JWT_ES256)
		append_number(out, "d", key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, COORDINATE);
	else if (key->algorithm == JWT_EDDSA)
		append_raw(out, "d", key, EVP_PKEY_get_raw_private_key);
	else if (key->algorithm == JWT_RS256)
	{
		append_number(out, "d", key->pkey, OSSL_PKEY_PARAM_RSA_D, 0);
		append_number(out, "p", key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, 0);
		append_number(out, "q", key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, 0);
		append_number(out, "dp", key->pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1, 0);
		append_number(out, "dq", key->pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2, 0);
		append_number(out, "qi", key->pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, 0);
	}
}

void
jwt_append_jwk(StringInfo out, const JwtKey *key, bool with_private)
{
	const char *use = key->is_refresh ? "refresh" : "sig";

	/* the public is not concerned with who signs */
	if (key->is_next && with_private)
		use = "next";
	append_required(out, key);
	appendStringInfo(out, ",\"alg\":\"%s\",\"use\":\"%s\"", algorithm_names[key->algorithm], use);
	if (key->kid != NULL)
	{
		appendStringInfoString(out, ",\"kid\":");
		escape_json(out, key->kid);
	}
	if (with_private && key->can_sign)
		append_private(out, key);
	appendStringInfoChar(out, '}');
}

/* RFC 7638: base64url of the SHA-256 of the required members; OPENSSL_malloc'd. */
static char *
thumbprint(const JwtKey *key)
{
	unsigned char hash[32];
	StringInfoData canonical;
	StringInfoData text;
	bool		good;

	initStringInfo(&canonical);
	append_required(&canonical, key);
	appendStringInfoChar(&canonical, '}');
	good = EVP_Digest(canonical.data, canonical.len, hash, NULL, EVP_sha256(), NULL) == 1;
	OPENSSL_cleanse(canonical.data, canonical.len);
	if (!good)
		fail_to_export();
	initStringInfo(&text);
	padlock_base64url_append(&text, hash, sizeof(hash));
	return OPENSSL_strdup(text.data);
}

void
jwt_make_key(JwtAlgorithm algorithm, bool is_refresh, JwtKey *key)
{
	memset(key, 0, sizeof(*key));
	key->algorithm = algorithm;
	key->is_refresh = is_refresh;
	key->can_sign = true;
	if (algorithm == JWT_HS256)
	{
		key->secret = OPENSSL_secure_malloc(MIN_SECRET);
		key->secret_length = MIN_SECRET;
		if (key->secret != NULL && !pg_strong_random(key->secret, MIN_SECRET))
			clear_key(key);
	}
	else if (algorithm == JWT_RS256)
		key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) MADE_RSA_BITS);
	else if (algorithm == JWT_ES256)
		key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	else
		key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (key->secret == NULL && key->pkey == NULL)
	{
		ERR_clear_error();
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a key")));
	}
	if (!is_refresh)
		key->kid = thumbprint(key);
}
