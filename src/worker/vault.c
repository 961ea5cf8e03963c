/*-------------------------------------------------------------------------
 *
 * vault.c
 *	  Key service HashiCorp Vault (and OpenBao): its secrets engine transit.
 *
 * A key is named MOUNT/KEY, "transit/padlock"; it must be one that
 * authenticates (aes256-gcm96, the default, aes128-gcm96, chacha20-poly1305),
 * as only those take the KEK's name as associated data.  The wrapped KEK is
 * Vault's text, "vault:v1:…", whose number says which version opens it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "core/secret_file.h"
#include "worker/endpoint_settings.h"
#include "worker/key_service.h"

#define WHO					"Vault"
#define MAX_TOKEN			4000	/* bytes; a batch token has some hundred */
#define MAX_NAME			200

/* MOUNT/KEY: a path of at least two names. */
static const char *
check_key(const char *key_id)
{
	if (padlock_text_of(key_id, strlen(key_id), PADLOCK_ALNUM "-_./", MAX_NAME) &&
		strchr(key_id, '/') != NULL && key_id[0] != '/' && strstr(key_id, "//") == NULL &&
		strstr(key_id, "..") == NULL && key_id[strlen(key_id) - 1] != '/')
		return NULL;
	return "A key of Vault is named by its engine's mount and its name, as transit/NAME.";
}

/* The headers: the token, which is wiped here once it is in its line. */
static List *
make_headers(void)
{
	char	   *token;
	char	   *line;
	List	   *headers;

	if (padlock_vault_token_file[0] == '\0')
		padlock_key_service_unset("padlock.vault_token_file");
	token = padlock_read_secret_file(padlock_vault_token_file, "padlock.vault_token_file",
									 MAX_TOKEN);
	if (!padlock_text_of(token, strlen(token), PADLOCK_ALNUM "-_.=+/", MAX_TOKEN))
	{
		padlock_wipe_text(token);
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("file \"%s\" of padlock.vault_token_file holds no token",
						padlock_vault_token_file)));
	}
	line = padlock_secret_text("X-Vault-Token: %s", token);
	padlock_wipe_text(token);
	headers = list_make3(line, pstrdup("X-Vault-Request: true"),
						 pstrdup("Content-Type: application/json"));
	if (padlock_vault_namespace[0] != '\0')
		headers = lappend(headers, psprintf("X-Vault-Namespace: %s", padlock_vault_namespace));
	return headers;
}

/* Do an action, encrypt or decrypt. */
static void
send_action(const char *key_id, const char *action, const char *body, PadlockMember *member)
{
	const char *key = strrchr(key_id, '/') + 1;
	PadlockCall call = {0};

	if (padlock_vault_url[0] == '\0')
		padlock_key_service_unset("padlock.vault_url");
	call.url = psprintf("%s/v1/%.*s/%s/%s", padlock_vault_url, (int) (key - key_id - 1), key_id,
						action, key);
	if (padlock_vault_ca_file[0] != '\0')
		call.ca = padlock_read_public_file(padlock_vault_ca_file, "padlock.vault_ca_file",
										   PADLOCK_WIRE_MAX_CA);
	call.headers = make_headers();
	call.body = body;
	call.body_length = strlen(body);
	PG_TRY();
	{
		padlock_key_service_post(WHO, &call, NULL, member, 1);
	}
	PG_FINALLY();
	{
		padlock_wipe_text(linitial(call.headers));
	}
	PG_END_TRY();
}

/* The same; the body is wiped, whatever comes of it. */
static void
post_action(const char *key_id, const char *action, char *body, PadlockMember *member)
{
	PG_TRY();
	{
		send_action(key_id, action, body, member);
	}
	PG_CATCH();
	{
		padlock_wipe_text(body);
		PG_RE_THROW();
	}
	PG_END_TRY();
	padlock_wipe_text(body);
}

static bytea *
wrap(const char *key_id, const char *kek_name, const uint8 *kek)
{
	PadlockMember member = {"data.ciphertext", NULL};
	char	   *plaintext = padlock_to_base64(kek, PADLOCK_KEK_SIZE);
	char	   *name = padlock_to_base64(kek_name, strlen(kek_name));
	char	   *body = padlock_secret_text("{\"plaintext\":\"%s\",\"associated_data\":\"%s\"}", plaintext, name);

	padlock_wipe_text(plaintext);
	post_action(key_id, "encrypt", body, &member);
	if (member.value == NULL || strncmp(member.value, "vault:v", 7) != 0 ||
		!padlock_text_of(member.value, strlen(member.value), PADLOCK_ALNUM "+/=:",
						 PADLOCK_WRAPPED_MAX))
		padlock_key_service_odd(WHO, "an answer without a ciphertext");
	return (bytea *) cstring_to_text(member.value);
}

static void
unwrap(const char *key_id, const char *kek_name, const bytea *wrapped, uint8 *kek)
{
	PadlockMember member = {"data.plaintext", NULL};
	char	   *ciphertext = text_to_cstring((const text *) wrapped);

	/* it goes into a JSON text as it stands */
	if (!padlock_text_of(ciphertext, strlen(ciphertext), PADLOCK_ALNUM "+/=:",
						 PADLOCK_WRAPPED_MAX))
		padlock_key_service_odd(WHO, "a wrapped key that is not of its making");
	post_action(key_id, "decrypt",
				psprintf("{\"ciphertext\":\"%s\",\"associated_data\":\"%s\"}",
						 ciphertext, padlock_to_base64(kek_name, strlen(kek_name))),
				&member);
	padlock_take_kek(WHO, &member, kek);
}

const PadlockKeyService padlock_vault = {"vault", check_key, wrap, unwrap};
