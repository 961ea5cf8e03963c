/*-------------------------------------------------------------------------
 *
 * google_kms.c
 *	  Key service Google Cloud KMS: methods encrypt and decrypt of its REST
 *	  API, version 1.
 *
 * A key is named by its resource, projects/P/locations/L/keyRings/R/
 * cryptoKeys/K, without a version: the service wraps with the primary one and
 * knows which one opens.  The KEK's name is the additional authenticated data.
 * Google asks for CRC-32C sums of everything, both ways, against bits that
 * flip between us; they are sent and checked.
 *
 * The bearer token comes from google_token.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_crc32c.h"

#include "worker/endpoint_settings.h"
#include "worker/google_token.h"
#include "worker/key_service.h"

#define WHO					"Google Cloud KMS"
#define MAX_NAME			63		/* of each part of a resource's name */

static const char *const collections[] = {"projects", "locations", "keyRings", "cryptoKeys"};

/* COLLECTION/NAME four times. */
static const char *
check_key(const char *key_id)
{
	const char *problem = "A key of Google Cloud KMS is named projects/P/locations/L/keyRings/R/cryptoKeys/K.";

	for (int i = 0; i < lengthof(collections); i++)
	{
		size_t		length = strlen(collections[i]);

		if (strncmp(key_id, collections[i], length) != 0 || key_id[length] != '/')
			return problem;
		key_id += length + 1;
		length = strcspn(key_id, "/");
		/* a project may belong to a domain: example.com:name */
		if (!padlock_text_of(key_id, length, i == 0 ? PADLOCK_ALNUM "-.:" : PADLOCK_ALNUM "-_",
							 MAX_NAME))
			return problem;
		key_id += length;
		if ((*key_id == '/') != (i < lengthof(collections) - 1))
			return problem;
		key_id += *key_id == '/' ? 1 : 0;
	}
	return NULL;
}

/* CRC-32C, as a number. */
static uint32
checksum(const void *data, size_t length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, length);
	FIN_CRC32C(crc);
	return crc;
}

/* Is a member the checksum of these bytes?  The service writes 64-bit numbers as texts. */
static bool
is_checksum(const PadlockMember *member, const void *data, size_t length)
{
	return member->value != NULL &&
		strcmp(member->value, psprintf("%u", checksum(data, length))) == 0;
}

/* Call a method, encrypt or decrypt. */
static void
send_method(const char *key_id, const char *method, const char *body, PadlockMember *members,
			int count)
{
	PadlockCall call = {0};
	char	   *token = padlock_google_token();

	call.url = psprintf("%s/v1/%s:%s", padlock_google_kms_url, key_id, method);
	call.headers = list_make2(padlock_secret_text("Authorization: Bearer %s", token),
							  pstrdup("Content-Type: application/json"));
	padlock_wipe_text(token);
	call.body = body;
	call.body_length = strlen(body);
	PG_TRY();
	{
		padlock_key_service_post(WHO, &call, "error.status", members, count);
	}
	PG_CATCH();
	{
		/* the token may be why */
		padlock_google_forget_token();
		padlock_wipe_text(linitial(call.headers));
		PG_RE_THROW();
	}
	PG_END_TRY();
	padlock_wipe_text(linitial(call.headers));
}

/* The same; the body is wiped, whatever comes of it. */
static void
post_method(const char *key_id, const char *method, char *body, PadlockMember *members, int count)
{
	PG_TRY();
	{
		send_method(key_id, method, body, members, count);
	}
	PG_CATCH();
	{
		padlock_wipe_text(body);
		PG_RE_THROW();
	}
	PG_END_TRY();
	padlock_wipe_text(body);
}

/* The members that both methods take. */
static char *
name_members(const char *kek_name)
{
	return psprintf("\"additionalAuthenticatedData\":\"%s\",\"additionalAuthenticatedDataCrc32c\":\"%u\"",
					padlock_to_base64(kek_name, strlen(kek_name)),
					checksum(kek_name, strlen(kek_name)));
}

static bool
is_true(const PadlockMember *member)
{
	return member->value != NULL && strcmp(member->value, "true") == 0;
}

static bytea *
wrap(const char *key_id, const char *kek_name, const uint8 *kek)
{
	PadlockMember members[] = {{"ciphertext", NULL}, {"ciphertextCrc32c", NULL},
	{"verifiedPlaintextCrc32c", NULL}, {"verifiedAdditionalAuthenticatedDataCrc32c", NULL}};
	char	   *plaintext = padlock_to_base64(kek, PADLOCK_KEK_SIZE);
	char	   *body = padlock_secret_text("{\"plaintext\":\"%s\",\"plaintextCrc32c\":\"%u\",%s}",
										   plaintext, checksum(kek, PADLOCK_KEK_SIZE),
										   name_members(kek_name));
	bytea	   *wrapped = palloc(VARHDRSZ + PADLOCK_WRAPPED_MAX);
	int			length;

	padlock_wipe_text(plaintext);
	post_method(key_id, "encrypt", body, members, lengthof(members));
	length = members[0].value == NULL ? -1 :
		padlock_from_base64(members[0].value, VARDATA(wrapped), PADLOCK_WRAPPED_MAX);
	if (length <= 0)
		padlock_key_service_odd(WHO, "an answer without a ciphertext");
	if (!is_true(&members[2]) || !is_true(&members[3]) ||
		!is_checksum(&members[1], VARDATA(wrapped), length))
		padlock_key_service_odd(WHO, "an answer whose checksums do not fit");
	SET_VARSIZE(wrapped, VARHDRSZ + length);
	return wrapped;
}

static void
unwrap(const char *key_id, const char *kek_name, const bytea *wrapped, uint8 *kek)
{
	PadlockMember members[] = {{"plaintext", NULL}, {"plaintextCrc32c", NULL}};
	const char *bytes = VARDATA_ANY(wrapped);
	int			length = VARSIZE_ANY_EXHDR(wrapped);

	post_method(key_id, "decrypt",
				psprintf("{\"ciphertext\":\"%s\",\"ciphertextCrc32c\":\"%u\",%s}",
						 padlock_to_base64(bytes, length), checksum(bytes, length),
						 name_members(kek_name)),
				members, lengthof(members));
	padlock_take_kek(WHO, &members[0], kek);
	if (!is_checksum(&members[1], kek, PADLOCK_KEK_SIZE))
	{
		explicit_bzero(kek, PADLOCK_KEK_SIZE);
		padlock_key_service_odd(WHO, "an answer whose checksums do not fit");
	}
}

const PadlockKeyService padlock_google_kms = {"google_kms", check_key, wrap, unwrap};
