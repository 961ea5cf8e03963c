/*-------------------------------------------------------------------------
 *
 * aws_kms.c
 *	  Key service AWS KMS: actions Encrypt and Decrypt of its API of 2014.
 *
 * A key is named by its ARN, not by an alias: an alias can be moved to another
 * key, which then could not open what the first one wrapped.  The region is
 * the ARN's.  The wrapped KEK is the service's ciphertext blob, and the KEK's
 * name its encryption context, which also stands in the log (CloudTrail).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/body.h"
#include "worker/endpoint_settings.h"
#include "worker/key_service.h"

#define WHO					"AWS KMS"
#define CREDENTIALS			"padlock.aws_credentials_file"
#define MAX_REGION			32

/* The parts of a key's ARN. */
typedef struct KeyArn
{
	char		partition[20];
	char		region[MAX_REGION + 1];
} KeyArn;

/* Copy the next part of an ARN, which a colon ends; false if it is not of the set. */
static bool
take_part(const char **arn, const char *set, char *part, size_t size)
{
	size_t		length = strcspn(*arn, ":");

	if ((*arn)[length] != ':' || !padlock_text_of(*arn, length, set, size - 1))
		return false;
	memcpy(part, *arn, length);
	part[length] = '\0';
	*arn += length + 1;
	return true;
}

/* arn:PARTITION:kms:REGION:ACCOUNT:key/ID */
static bool
parse_arn(const char *arn, KeyArn *parts)
{
	char		word[20];

	return take_part(&arn, "arn", word, sizeof(word)) && strcmp(word, "arn") == 0 &&
		take_part(&arn, PADLOCK_ALNUM "-", parts->partition, sizeof(parts->partition)) &&
		take_part(&arn, "kms", word, sizeof(word)) && strcmp(word, "kms") == 0 &&
		take_part(&arn, PADLOCK_ALNUM "-", parts->region, sizeof(parts->region)) &&
		take_part(&arn, "0123456789", word, sizeof(word)) && strlen(word) == 12 &&
		strncmp(arn, "key/", 4) == 0 &&
		padlock_text_of(arn + 4, strlen(arn + 4), PADLOCK_ALNUM "-", 64);
}

static const char *
check_key(const char *key_id)
{
	KeyArn		parts;

	return parse_arn(key_id, &parts) ? NULL :
		"A key of AWS KMS is named by its ARN, arn:aws:kms:REGION:ACCOUNT:key/ID.";
}

/* The endpoint: the setting's, or AWS's own. */
static const char *
endpoint(const KeyArn *parts)
{
	if (padlock_aws_kms_url[0] != '\0')
		return padlock_aws_kms_url;
	return psprintf("https://kms.%s.amazonaws.com%s", parts->region,
					strcmp(parts->partition, "aws-cn") == 0 ? ".cn" : "");
}

/* Do an action. */
static void
send_action(const char *key_id, const char *action, const char *body, PadlockMember *members,
			int count)
{
	PadlockAwsKey *key;
	PadlockCall call = {0};
	KeyArn		parts;

	if (!parse_arn(key_id, &parts))
		padlock_key_service_odd(WHO, "a key's name that is not its ARN");
	if (padlock_aws_credentials_file[0] == '\0')
		padlock_key_service_unset(CREDENTIALS);
	key = padlock_read_aws_key(padlock_aws_credentials_file, CREDENTIALS);
	PG_TRY();
	{
		call.url = psprintf("%s/", endpoint(&parts));
		call.headers = list_make2(psprintf("X-Amz-Target: TrentService.%s", action),
								  pstrdup("Content-Type: application/x-amz-json-1.1"));
		call.body = body;
		call.body_length = strlen(body);
		call.aws = key;
		call.aws_region = parts.region;
		call.aws_service = "kms";
		padlock_key_service_post(WHO, &call, "__type", members, count);
	}
	PG_FINALLY();
	{
		padlock_wipe_aws_key(key);
	}
	PG_END_TRY();
}

/* The same; the body is wiped, whatever comes of it. */
static void
post_action(const char *key_id, const char *action, char *body, PadlockMember *members, int count)
{
	PG_TRY();
	{
		send_action(key_id, action, body, members, count);
	}
	PG_CATCH();
	{
		padlock_wipe_text(body);
		PG_RE_THROW();
	}
	PG_END_TRY();
	padlock_wipe_text(body);
}

/* Did the key that we named do it?  The name is part of what the service signs off. */
static void
check_answer(const PadlockMember *key, const char *key_id)
{
	if (key->value == NULL || strcmp(key->value, key_id) != 0)
		padlock_key_service_odd(WHO, "an answer that names another key");
}

static bytea *
wrap(const char *key_id, const char *kek_name, const uint8 *kek)
{
	PadlockMember members[] = {{"CiphertextBlob", NULL}, {"KeyId", NULL}};
	char	   *plaintext = padlock_to_base64(kek, PADLOCK_KEK_SIZE);
	bytea	   *wrapped = palloc(VARHDRSZ + PADLOCK_WRAPPED_MAX);
	char	   *body;
	int			length;

	body = padlock_secret_text("{\"KeyId\":%s,\"Plaintext\":\"%s\",\"EncryptionContext\":{\"%s\":%s}}",
							   padlock_json_string(key_id), plaintext, PADLOCK_KEY_CONTEXT,
							   padlock_json_string(kek_name));
	padlock_wipe_text(plaintext);
	post_action(key_id, "Encrypt", body, members, lengthof(members));
	check_answer(&members[1], key_id);
	length = members[0].value == NULL ? -1 :
		padlock_from_base64(members[0].value, VARDATA(wrapped), PADLOCK_WRAPPED_MAX);
	if (length <= 0)
		padlock_key_service_odd(WHO, "an answer without a ciphertext");
	SET_VARSIZE(wrapped, VARHDRSZ + length);
	return wrapped;
}

static void
unwrap(const char *key_id, const char *kek_name, const bytea *wrapped, uint8 *kek)
{
	PadlockMember members[] = {{"Plaintext", NULL}, {"KeyId", NULL}};
	char	   *ciphertext = padlock_to_base64(VARDATA_ANY(wrapped), VARSIZE_ANY_EXHDR(wrapped));

	post_action(key_id, "Decrypt",
				psprintf("{\"KeyId\":%s,\"CiphertextBlob\":\"%s\",\"EncryptionContext\":{\"%s\":%s}}",
						 padlock_json_string(key_id), ciphertext, PADLOCK_KEY_CONTEXT,
						 padlock_json_string(kek_name)),
				members, lengthof(members));
	padlock_take_kek(WHO, &members[0], kek);
	check_answer(&members[1], key_id);
}

const PadlockKeyService padlock_aws_kms = {"aws_kms", check_key, wrap, unwrap};
