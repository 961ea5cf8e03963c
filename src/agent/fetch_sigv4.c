/*-------------------------------------------------------------------------
 *
 * fetch_sigv4.c
 *	  Signatures of requests to AWS and what speaks its protocol (AWS
 *	  Signature Version 4, in headers, with a known payload).
 *
 * Written after AWS's documentation "Create a signed AWS API request".  The
 * libcurl of Debian 12 (7.88.1) can sign, but not all that we send: it signs
 * path and query as they stand instead of in their canonical spelling (curl
 * issues 9717, 11794, 13754), and declares a body that it uploads unsigned.
 * test/e2e compares the signatures made here with those of AWS's own signer.
 *
 * The canonical request is never kept: it goes into the digest piece by
 * piece, as it holds the token.  The derived keys are wiped.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fetch_sigv4.h"
#include "agent/fetch_url.h"

#define ALGORITHM			"AWS4-HMAC-SHA256"
#define HASH_SIZE			32
#define HASH_HEX_SIZE		(2 * HASH_SIZE + 1)
#define DATE_SIZE			9		/* 20260131 */
#define TIME_SIZE			17		/* 20260131T235959Z */
#define SCOPE_SIZE			300
#define NAMES_SIZE			1000	/* of all signed headers, joined */
#define LINE_SIZE			8192	/* of a header that is added here */
#define ENCODED_SIZE		(3 * URL_SIZE)

/* A part of a query in canonical spelling. */
typedef struct Parameter
{
	const char *name;
	const char *value;
} Parameter;

/* A signature under way. */
typedef struct Signing
{
	const SigV4Key *key;
	const SigV4Request *request;
	const char *headers[SIGV4_MAX_HEADERS]; /* sorted by name */
	int			header_count;
	char		time[TIME_SIZE];
	char		scope[SCOPE_SIZE];
	char		payload_hash[HASH_HEX_SIZE];
	char		names[NAMES_SIZE];
	EVP_MD_CTX *digest;			/* of the canonical request */
} Signing;

static void
to_hex(const unsigned char hash[HASH_SIZE], char hex[HASH_HEX_SIZE])
{
	int			i;

	for (i = 0; i < HASH_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

static void
put(Signing *signing, const char *text, size_t length)
{
	EVP_DigestUpdate(signing->digest, text, length);
}

static void
put_text(Signing *signing, const char *text)
{
	put(signing, text, strlen(text));
}

static bool
is_unreserved(unsigned char c)
{
	return (c < 0x80 && isalnum(c)) || c == '-' || c == '.' || c == '_' || c == '~';
}

/*
 * Percent-encode all but unreserved characters, and slashes if they are to
 * stay.  decode: what is percent-encoded already is decoded first.  out must
 * have three bytes for each of text and one more; returns its end.
 */
static char *
encode(const char *text, size_t length, bool decode, bool keep_slash, char *out)
{
	size_t		i;

	for (i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (decode && c == '%' && i + 2 < length && isxdigit((unsigned char) text[i + 1]) &&
			isxdigit((unsigned char) text[i + 2]))
		{
			char		digits[3] = {text[i + 1], text[i + 2], '\0'};

			c = (unsigned char) strtoul(digits, NULL, 16);
			i += 2;
		}
		else if (keep_slash && c == '/')
		{
			*out++ = '/';
			continue;
		}
		out += sprintf(out, is_unreserved(c) ? "%c" : "%%%02X", c);
	}
	*out = '\0';
	return out;
}

/*
 * The path: S3 wants it in its one canonical spelling, all others want what
 * was sent encoded once more.
 */
static void
put_path(Signing *signing)
{
	const char *path = signing->request->target;
	bool		is_s3 = strcmp(signing->key->service, "s3") == 0;
	char		encoded[ENCODED_SIZE];

	encode(path, strcspn(path, "?"), is_s3, true, encoded);
	put_text(signing, encoded);
}

static int
compare_parameters(const void *a, const void *b)
{
	const Parameter *left = a;
	const Parameter *right = b;
	int			order = strcmp(left->name, right->name);

	return order != 0 ? order : strcmp(left->value, right->value);
}

/* Cut a query into parameters, canonically spelt in out; -1 if there are too many. */
static int
split_query(const char *query, Parameter parameters[SIGV4_MAX_HEADERS], char *out)
{
	int			count = 0;

	while (*query != '\0')
	{
		size_t		length = strcspn(query, "&");
		size_t		name_length = strcspn(query, "&=");

		if (length > 0)
		{
			if (count == SIGV4_MAX_HEADERS)
				return -1;
			parameters[count].name = out;
			out = encode(query, name_length, true, false, out) + 1;
			parameters[count].value = out;
			if (name_length < length)
				out = encode(query + name_length + 1, length - name_length - 1, true, false, out);
			*out++ = '\0';
			count++;
		}
		query += length;
		query += strspn(query, "&");
	}
	return count;
}

/* The query, in canonical spelling and order. */
static bool
put_query(Signing *signing)
{
	const char *query = strchr(signing->request->target, '?');
	Parameter	parameters[SIGV4_MAX_HEADERS];
	char		encoded[ENCODED_SIZE + 2 * SIGV4_MAX_HEADERS];
	int			count = query != NULL ? split_query(query + 1, parameters, encoded) : 0;
	int			i;

	if (count < 0)
		return false;
	qsort(parameters, (size_t) count, sizeof(Parameter), compare_parameters);
	for (i = 0; i < count; i++)
	{
		if (i > 0)
			put_text(signing, "&");
		put_text(signing, parameters[i].name);
		put_text(signing, "=");
		put_text(signing, parameters[i].value);
	}
	return true;
}

/* Order of header lines by name, whatever its letter case. */
static int
compare_headers(const void *a, const void *b)
{
	const char *left = *(const char *const *) a;
	const char *right = *(const char *const *) b;

	while (*left != ':' && tolower((unsigned char) *left) == tolower((unsigned char) *right))
	{
		left++;
		right++;
	}
	/* a name that ends comes before one that goes on */
	return (*left == ':' ? 0 : tolower((unsigned char) *left)) -
		(*right == ':' ? 0 : tolower((unsigned char) *right));
}

/* Sort the headers and write their names in lower case, joined by semicolons. */
static bool
collect_headers(Signing *signing, const struct curl_slist *headers)
{
	size_t		used = 0;
	int			i;

	for (; headers != NULL; headers = headers->next)
	{
		if (signing->header_count == SIGV4_MAX_HEADERS || strchr(headers->data, ':') == NULL)
			return false;
		signing->headers[signing->header_count++] = headers->data;
	}
	qsort(signing->headers, (size_t) signing->header_count, sizeof(char *), compare_headers);
	for (i = 0; i < signing->header_count; i++)
	{
		const char *c;

		if (used + strcspn(signing->headers[i], ":") + 2 > sizeof(signing->names))
			return false;
		if (i > 0)
			signing->names[used++] = ';';
		for (c = signing->headers[i]; *c != ':'; c++)
			signing->names[used++] = (char) tolower((unsigned char) *c);
		signing->names[used] = '\0';
	}
	return true;
}

/* A header's value without blanks around it and with single ones inside. */
static void
put_value(Signing *signing, const char *value)
{
	value += strspn(value, " \t");
	while (*value != '\0')
	{
		size_t		length = strcspn(value, " \t");

		put(signing, value, length);
		value += length;
		value += strspn(value, " \t");
		if (*value != '\0')
			put_text(signing, " ");
	}
}

static void
put_headers(Signing *signing)
{
	const char *name = signing->names;
	int			i;

	for (i = 0; i < signing->header_count; i++)
	{
		size_t		length = strcspn(name, ";");

		put(signing, name, length);
		put_text(signing, ":");
		put_value(signing, strchr(signing->headers[i], ':') + 1);
		put_text(signing, "\n");
		name += length + 1;
	}
}

/* Hash the canonical request; false when out of memory or beyond a limit. */
static bool
hash_request(Signing *signing, char hex[HASH_HEX_SIZE])
{
	unsigned char hash[HASH_SIZE];
	bool		ok;

	signing->digest = EVP_MD_CTX_new();
	ok = signing->digest != NULL && EVP_DigestInit_ex(signing->digest, EVP_sha256(), NULL) == 1;
	if (ok)
	{
		put_text(signing, signing->request->method);
		put_text(signing, "\n");
		put_path(signing);
		put_text(signing, "\n");
		ok = put_query(signing);
		put_text(signing, "\n");
		put_headers(signing);
		put_text(signing, "\n");
		put_text(signing, signing->names);
		put_text(signing, "\n");
		put_text(signing, signing->payload_hash);
		ok = EVP_DigestFinal_ex(signing->digest, hash, NULL) == 1 && ok;
		to_hex(hash, hex);
	}
	EVP_MD_CTX_free(signing->digest);
	return ok;
}

/* One step of the derivation: key becomes HMAC-SHA-256 of text under it. */
static bool
derive(unsigned char key[HASH_SIZE], const char *text, size_t length)
{
	unsigned char next[HASH_SIZE];
	unsigned int size = 0;
	bool		ok = HMAC(EVP_sha256(), key, HASH_SIZE, (const unsigned char *) text, length,
						  next, &size) != NULL;

	memcpy(key, next, HASH_SIZE);
	explicit_bzero(next, sizeof(next));
	return ok;
}

/* Sign a text with the key that the secret gives for the scope. */
static bool
sign_text(const Signing *signing, const char *text, char signature[HASH_HEX_SIZE])
{
	const SigV4Key *key = signing->key;
	char		secret[4 + SIGV4_MAX_SECRET + 1];
	unsigned char derived[HASH_SIZE];
	unsigned int size = 0;
	bool		ok;

	snprintf(secret, sizeof(secret), "AWS4%s", key->secret);
	ok = HMAC(EVP_sha256(), secret, (int) strlen(secret),
			  (const unsigned char *) signing->time, DATE_SIZE - 1, derived, &size) != NULL &&
		derive(derived, key->region, strlen(key->region)) &&
		derive(derived, key->service, strlen(key->service)) &&
		derive(derived, "aws4_request", strlen("aws4_request")) &&
		derive(derived, text, strlen(text));
	to_hex(derived, signature);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(derived, sizeof(derived));
	return ok;
}

/* Append a header line; false when out of memory. */
static bool
append(struct curl_slist **headers, const char *name, const char *value)
{
	char		line[LINE_SIZE];
	struct curl_slist *longer = NULL;

	if (snprintf(line, sizeof(line), "%s: %s", name, value) < (int) sizeof(line))
		longer = curl_slist_append(*headers, line);
	explicit_bzero(line, sizeof(line));
	if (longer != NULL)
		*headers = longer;
	return longer != NULL;
}

/* Write time, scope and the body's hash. */
static bool
prepare(Signing *signing)
{
	const SigV4Request *request = signing->request;
	unsigned char hash[HASH_SIZE];
	struct tm	utc;

	if (gmtime_r(&request->now, &utc) == NULL ||
		strftime(signing->time, sizeof(signing->time), "%Y%m%dT%H%M%SZ", &utc) != TIME_SIZE - 1 ||
		EVP_Digest(request->body, request->body_length, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	to_hex(hash, signing->payload_hash);
	return snprintf(signing->scope, sizeof(signing->scope), "%.*s/%s/%s/aws4_request",
					DATE_SIZE - 1, signing->time, signing->key->region,
					signing->key->service) < (int) sizeof(signing->scope);
}

bool
sigv4_sign(const SigV4Key *key, const SigV4Request *request, struct curl_slist **headers)
{
	Signing		signing = {0};
	char		hash[HASH_HEX_SIZE];
	char		signature[HASH_HEX_SIZE];
	char		text[sizeof(ALGORITHM) + TIME_SIZE + SCOPE_SIZE + HASH_HEX_SIZE + 3];
	char		value[NAMES_SIZE + SCOPE_SIZE + 500];

	signing.key = key;
	signing.request = request;
	if (strlen(key->secret) > SIGV4_MAX_SECRET || !prepare(&signing) ||
		!append(headers, "X-Amz-Date", signing.time) ||
		!append(headers, "X-Amz-Content-Sha256", signing.payload_hash) ||
		(key->token[0] != '\0' && !append(headers, "X-Amz-Security-Token", key->token)) ||
		!collect_headers(&signing, *headers) || !hash_request(&signing, hash))
		return false;
	snprintf(text, sizeof(text), ALGORITHM "\n%s\n%s\n%s", signing.time, signing.scope, hash);
	return sign_text(&signing, text, signature) &&
		snprintf(value, sizeof(value), ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
				 key->key_id, signing.scope, signing.names, signature) < (int) sizeof(value) &&
		append(headers, "Authorization", value);
}
