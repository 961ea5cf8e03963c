/*-------------------------------------------------------------------------
 *
 * google_token.c
 *	  The bearer token for Google's services.
 *
 * padlock.google_credentials_file holds one of two things.  A service
 * account's key, in Google's JSON: a statement signed with it (RFC 7523,
 * RS256) is exchanged for a token at the address that stands in it.  Or a
 * token itself, which something on this machine keeps fresh (a timer that
 * asks the metadata service, say): padlock's helper never talks to that
 * service, as its address is forbidden to it for good.
 *
 * The token of an exchange is kept in this process until shortly before its
 * end, or until the file changes.  The file is the operator's, so it is read
 * here; the answers are read in padlock_parse.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <time.h>

#include "common/base64.h"
#include "utils/memutils.h"

#include "core/base64url.h"
#include "core/body.h"
#include "core/json.h"
#include "core/secret_file.h"
#include "worker/endpoint_settings.h"
#include "worker/google_token.h"
#include "worker/key_service.h"

#define SETTING				"padlock.google_credentials_file"
#define WHO					"Google's token service"
#define SCOPE				"https://www.googleapis.com/auth/cloudkms"
#define GRANT_TYPE			"urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
#define STATEMENT_SECONDS	3600	/* the longest that Google takes */
#define EARLY_SECONDS		60		/* a token is not used in its last minute */
#define MAX_FILE			(16 * 1024)
#define MAX_TOKEN			4000	/* bytes */
#define HASH_SIZE			32
#define TOKEN_CHARACTERS	PADLOCK_ALNUM "-_.~+/="

/* The token of the last exchange, of which file, and until when. */
static char *kept_token = NULL;
static unsigned char kept_hash[HASH_SIZE];
static time_t kept_until;

/* What a service account's key says. */
typedef struct Account
{
	char	   *email;
	char	   *key_id;
	char	   *private_key;	/* PEM */
	char	   *token_url;
} Account;

void
padlock_google_forget_token(void)
{
	padlock_wipe_text(kept_token);
	kept_token = NULL;
}

static void
refuse_file(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("file \"%s\" of %s %s", padlock_google_credentials_file, SETTING, problem)));
}

/* Read the file's JSON. */
static void
read_account(const char *json, Account *account)
{
	PadlockJsonMember members[] = {{"type"}, {"client_email"}, {"private_key_id"},
	{"private_key"}, {"token_uri"}};

	(void) padlock_json_members(json, members, lengthof(members));
	account->private_key = members[3].value;	/* to be wiped, whatever comes */
	if (members[0].value == NULL || strcmp(members[0].value, "service_account") != 0)
		refuse_file("is not the key of a service account");
	for (int i = 1; i < lengthof(members); i++)
		if (members[i].value == NULL)
			refuse_file(psprintf("lacks \"%s\"", members[i].name));
	account->email = members[1].value;
	account->key_id = members[2].value;
	account->token_url = members[4].value;
}

/*
 * Read a private key in PEM.  Not by OpenSSL's reader, whose buffers are freed as
 * they are: what lies between the two lines is base64 of what d2i reads.
 */
static EVP_PKEY *
read_key(const char *pem)
{
	const char *begin = strstr(pem, "-----BEGIN ");
	const char *end = begin != NULL ? strstr(begin, "-----END ") : NULL;
	EVP_PKEY   *key = NULL;
	char	   *base64;
	char	   *der;
	int			size;
	int			length = 0;

	begin = begin != NULL ? strchr(begin, '\n') : NULL;
	if (begin == NULL || end == NULL || end < begin)
		return NULL;
	base64 = palloc(end - begin);
	for (const char *at = begin; at < end; at++)
		if (!isspace((unsigned char) *at))
			base64[length++] = *at;
	size = pg_b64_dec_len(length);
	der = palloc(size);
	length = pg_b64_decode(base64, length, der, size);
	explicit_bzero(base64, end - begin);
	pfree(base64);
	if (length > 0)
	{
		const unsigned char *at = (const unsigned char *) der;

		key = d2i_AutoPrivateKey(NULL, &at, length);
	}
	explicit_bzero(der, size);
	pfree(der);
	return key;
}

/* Sign a text by RS256 and append the signature; false when the key is none or not RSA. */
static bool
append_signature(StringInfo out, const char *pem)
{
	EVP_PKEY   *key = read_key(pem);
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char signature[1024];
	size_t		length = sizeof(signature);
	bool		signed_ = key != NULL && digest != NULL &&
	EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_size(key) <= (int) sizeof(signature) &&
	EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key) == 1 &&
	EVP_DigestSign(digest, signature, &length, (unsigned char *) out->data, out->len) == 1;

	EVP_MD_CTX_free(digest);
	EVP_PKEY_free(key);
	if (signed_)
	{
		appendStringInfoChar(out, '.');
		padlock_base64url_append(out, signature, length);
	}
	return signed_;
}

/* The form that asks for a token: a signed statement of who asks. */
static char *
make_form(const Account *account)
{
	StringInfoData form;
	StringInfoData statement;
	long		now = (long) time(NULL);
	char	   *header = psprintf("{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":%s}",
								  padlock_json_string(account->key_id));
	char	   *claims = psprintf("{\"iss\":%s,\"scope\":\"%s\",\"aud\":%s,\"iat\":%ld,\"exp\":%ld}",
								  padlock_json_string(account->email), SCOPE,
								  padlock_json_string(account->token_url), now,
								  now + STATEMENT_SECONDS);

	initStringInfo(&statement);
	padlock_base64url_append(&statement, header, strlen(header));
	appendStringInfoChar(&statement, '.');
	padlock_base64url_append(&statement, claims, strlen(claims));
	if (!append_signature(&statement, account->private_key))
		refuse_file("holds no RSA key that can sign");
	initStringInfo(&form);
	appendStringInfo(&form, "grant_type=%s&assertion=%s", GRANT_TYPE, statement.data);
	return form.data;
}

/* Exchange a statement for a token, and keep that. */
static void
exchange(const Account *account, const unsigned char hash[HASH_SIZE])
{
	PadlockMember members[] = {{"access_token", NULL}, {"expires_in", NULL}};
	PadlockCall call = {0};
	long		seconds;

	call.url = account->token_url;
	call.headers = list_make1(pstrdup("Content-Type: application/x-www-form-urlencoded"));
	call.body = make_form(account);
	call.body_length = strlen(call.body);
	padlock_key_service_post(WHO, &call, "error", members, lengthof(members));
	seconds = members[1].value != NULL ? strtol(members[1].value, NULL, 10) : 0;
	if (members[0].value == NULL ||
		!padlock_text_of(members[0].value, strlen(members[0].value), TOKEN_CHARACTERS, MAX_TOKEN))
		padlock_key_service_odd(WHO, "an answer without a token");
	padlock_google_forget_token();
	kept_token = MemoryContextStrdup(TopMemoryContext, members[0].value);
	padlock_wipe_text(members[0].value);
	memcpy(kept_hash, hash, HASH_SIZE);
	kept_until = time(NULL) + Min(Max(seconds, 0), STATEMENT_SECONDS) - EARLY_SECONDS;
}

/* The token that a service account's key gets. */
static char *
account_token(const char *json)
{
	unsigned char hash[HASH_SIZE];
	Account		account = {0};
	char	   *token;

	if (EVP_Digest(json, strlen(json), hash, NULL, EVP_sha256(), NULL) != 1)
		refuse_file("cannot be hashed");
	if (kept_token != NULL && time(NULL) < kept_until && memcmp(hash, kept_hash, HASH_SIZE) == 0)
		return pstrdup(kept_token);
	PG_TRY();
	{
		read_account(json, &account);
		exchange(&account, hash);
	}
	PG_FINALLY();
	{
		padlock_wipe_text(account.private_key);
	}
	PG_END_TRY();
	token = pstrdup(kept_token);
	return token;
}

char *
padlock_google_token(void)
{
	char	   *content;
	char	   *volatile token = NULL;

	if (padlock_google_credentials_file[0] == '\0')
		padlock_key_service_unset(SETTING);
	content = padlock_read_secret_file(padlock_google_credentials_file, SETTING, MAX_FILE);
	PG_TRY();
	{
		if (content[0] == '{')
			token = account_token(content);
		else if (padlock_text_of(content, strlen(content), TOKEN_CHARACTERS, MAX_TOKEN))
			token = pstrdup(content);
		else
			refuse_file("holds neither a service account's key nor a token");
	}
	PG_FINALLY();
	{
		padlock_wipe_text(content);
	}
	PG_END_TRY();
	return token;
}
