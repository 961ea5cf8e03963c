/*-------------------------------------------------------------------------
 *
 * password.c
 *	  Password hashes: scrypt (RFC 7914) by libcrypto, kept as PHC strings.
 *
 * The form is $scrypt$ln=15,r=8,p=3$salt$hash, in base64 without padding, as
 * the PHC string format says.  Passwords are normalized as the server does it
 * for its own (SASLprep, RFC 4013), so that the same characters typed on two
 * machines are the same password; one that cannot be is taken as it is.
 *
 * After a change of padlock.password_cost there are hashes of several costs.
 * A check computes one of each, in the order of the costs: else the time would
 * tell an address that has an account with an old hash from one without.
 *
 * Every hash computed is reported at DEBUG1, by which tests see that a known
 * and an unknown account cost the same.
 *
 * Copies of secrets made here are overwritten.  The request itself stays in
 * the server's memory until its context is reset.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "common/base64.h"
#include "common/saslprep.h"
#include "miscadmin.h"

#include "accounts/accounts.h"
#include "accounts/password.h"

#define SALT_BYTES		16
#define HASH_BYTES		32
#define BLOCK_SIZE		8		/* scrypt's r */

/* What a PHC string holds. */
typedef struct ScryptHash
{
	int			ln;				/* the cost; the other parameters go with it */
	uint8		salt[SALT_BYTES];
	uint8		hash[HASH_BYTES];
} ScryptHash;

/* The parallelism that goes with a cost, see password.h. */
static int
parallelism(int cost)
{
	switch (cost)
	{
		case 14:
			return 5;
		case 15:
			return 3;
		case 16:
			return 2;
		default:
			return 1;
	}
}

/* Run the key derivation; false when libcrypto fails. */
static bool
derive(const char *password, const ScryptHash *hash, uint8 out[HASH_BYTES])
{
	EVP_KDF    *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
	EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	uint64_t	n = UINT64CONST(1) << hash->ln;
	uint32_t	r = BLOCK_SIZE;
	uint32_t	p = parallelism(hash->ln);
	uint64_t	memory = 128 * (uint64_t) r * (n + p + 16);
	OSSL_PARAM	params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *) password,
										  strlen(password)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *) hash->salt,
										  SALT_BYTES),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
		OSSL_PARAM_construct_end()
	};
	bool		done = context != NULL && EVP_KDF_derive(context, out, HASH_BYTES, params) > 0;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return done;
}

/* scrypt of a password with the salt and parameters in hash. */
static void
scrypt(const char *password, const ScryptHash *hash, uint8 out[HASH_BYTES])
{
	char	   *prepared;
	bool		done;

	CHECK_FOR_INTERRUPTS();
	if (pg_saslprep(password, &prepared) != SASLPREP_SUCCESS)
		prepared = pstrdup(password);
	done = derive(prepared, hash, out);
	password_wipe(prepared);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not compute a password hash"),
				 errdetail("One hash takes %d MB of memory.", (1 << hash->ln) / 1024)));
	ereport(DEBUG1, (errmsg_internal("computed a password hash of cost %d", hash->ln)));
}

/* Bytes as base64 without padding. */
static char *
encode(const uint8 *bytes, int length)
{
	int			size = pg_b64_enc_len(length);
	char	   *text = palloc(size + 1);

	size = pg_b64_encode((const char *) bytes, length, text, size);
	Assert(size > 0);
	while (text[size - 1] == '=')
		size--;
	text[size] = '\0';
	return text;
}

/* Decode base64 without padding into exactly length bytes. */
static bool
decode(const char *text, uint8 *bytes, int length)
{
	char	   *padded = psprintf("%s%s", text, &"==="[(strlen(text) + 3) % 4]);

	return strlen(padded) % 4 == 0 && pg_b64_dec_len(strlen(padded)) <= length + 2 &&
		pg_b64_decode(padded, strlen(padded), (char *) bytes, length) == length;
}

int
password_cost_of(const char *parameters)
{
	int			ln;
	int			r;
	int			p;
	int			end = 0;

	if (sscanf(parameters, "ln=%2d,r=%2d,p=%2d%n", &ln, &r, &p, &end) != 3 ||
		parameters[end] != '\0' || ln < PASSWORD_MIN_COST || ln > PASSWORD_MAX_COST ||
		r != BLOCK_SIZE || p != parallelism(ln))
		return 0;
	return ln;
}

/* Parse a PHC string; false for anything that this file did not write. */
static bool
parse(const char *stored, ScryptHash *hash)
{
	char		parameters[32];
	char		salt[32];
	char		digest[64];
	int			end = 0;

	if (sscanf(stored, "$scrypt$%31[a-z0-9=,]$%31[A-Za-z0-9+/]$%63[A-Za-z0-9+/]%n",
			   parameters, salt, digest, &end) != 3 || stored[end] != '\0')
		return false;
	hash->ln = password_cost_of(parameters);
	return hash->ln != 0 &&
		decode(salt, hash->salt, SALT_BYTES) && decode(digest, hash->hash, HASH_BYTES);
}

char *
password_hash(const char *password)
{
	ScryptHash	hash;

	hash.ln = accounts_password_cost;
	if (!pg_strong_random(hash.salt, sizeof(hash.salt)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random salt")));
	scrypt(password, &hash, hash.hash);
	return psprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", hash.ln, BLOCK_SIZE, parallelism(hash.ln),
					encode(hash.salt, SALT_BYTES), encode(hash.hash, HASH_BYTES));
}

bool
password_verify(const char *password, const char *stored, uint32 costs)
{
	ScryptHash	hash;
	uint8		computed[HASH_BYTES];
	bool		known;
	bool		same = false;

	memset(&hash, 0, sizeof(hash));
	known = stored != NULL && parse(stored, &hash);
	if (!known)
		hash.ln = accounts_password_cost;
	costs |= PASSWORD_COST_BIT(hash.ln) | PASSWORD_COST_BIT(accounts_password_cost);
	for (int cost = PASSWORD_MIN_COST; cost <= PASSWORD_MAX_COST; cost++)
	{
		ScryptHash	tried = hash;

		if ((costs & PASSWORD_COST_BIT(cost)) == 0)
			continue;
		tried.ln = cost;
		scrypt(password, &tried, computed);
		if (cost == hash.ln)
			same = CRYPTO_memcmp(computed, hash.hash, HASH_BYTES) == 0;
	}
	explicit_bzero(computed, sizeof(computed));
	return known && same;
}

bool
password_is_outdated(const char *stored)
{
	ScryptHash	hash;

	return !parse(stored, &hash) || hash.ln != accounts_password_cost;
}

void
password_wipe(char *password)
{
	if (password == NULL)
		return;
	explicit_bzero(password, strlen(password));
	pfree(password);
}
