/*-------------------------------------------------------------------------
 *
 * webhook.c
 *	  Callers that are programs of the marketplace's own: known by a secret.
 *
 * The file has a secret a line; blank lines and lines that begin with '#' are
 * passed over.  Several are valid at a time, so that a secret can be replaced
 * without a pause: add the new one, change the sender, take the old one away.
 * The file is read for every request, so a line that is taken away ends at
 * once, and no process keeps secrets in memory.
 *
 * Secret and header are compared as SHA-256 hashes, in constant time, and with
 * every line: the time tells neither a length, nor how much of a secret was
 * right, nor which of them it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "core/errors.h"
#include "core/secret_file.h"
#include "identity/caller.h"
#include "identity/webhook.h"

#define SETTING			"padlock.webhook_secrets_file"
#define HEADER			"x-webhook-secret"
#define MAX_FILE		(64 * 1024)
#define MIN_SECRET		16		/* characters */

static char *secrets_file;

void
padlock_webhook_init(void)
{
	DefineCustomStringVariable(SETTING,
							   "File with the secrets of webhooks, one a line, that only the server's user may read.",
							   "Without it no webhook is let in.",
							   &secrets_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   padlock_check_path, NULL, NULL);
}

static void
hash(const char *text, size_t length, uint8 digest[PG_SHA256_DIGEST_LENGTH])
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);

	if (context == NULL || pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) text, length) < 0 ||
		pg_cryptohash_final(context, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 hash")));
	pg_cryptohash_free(context);
}

/* The next line without the white space around it; NULL after the last. */
static const char *
next_line(const char **rest, size_t *length)
{
	const char *line = *rest;
	const char *end;

	if (*line == '\0')
		return NULL;
	end = line + strcspn(line, "\n");
	*rest = *end == '\n' ? end + 1 : end;
	while (line < end && isspace((unsigned char) *line))
		line++;
	while (end > line && isspace((unsigned char) end[-1]))
		end--;
	*length = end - line;
	return line;
}

/* Refuse a file with a line that is no secret, by the line's number. */
static void
check_lines(const char *text)
{
	size_t		length;
	const char *line;

	for (int number = 1; (line = next_line(&text, &length)) != NULL; number++)
	{
		if (length > 0 && length < MIN_SECRET && *line != '#')
			ereport(ERROR,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("line %d of the file of %s is shorter than %d characters", number,
							SETTING, MIN_SECRET)));
	}
}

/* Is the text one of the file's secrets? */
static bool
is_secret(const char *file, const char *text)
{
	uint8		wanted[PG_SHA256_DIGEST_LENGTH];
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	const char *line;
	size_t		length;
	bool		found = false;

	hash(text, strlen(text), wanted);
	while ((line = next_line(&file, &length)) != NULL)
	{
		if (length == 0 || *line == '#')
			continue;
		hash(line, length, digest);
		found |= CRYPTO_memcmp(digest, wanted, sizeof(digest)) == 0;
	}
	explicit_bzero(digest, sizeof(digest));
	explicit_bzero(wanted, sizeof(wanted));
	return found;
}

/* Refuse to go on without a file. */
static void
check_setting(void)
{
	if (secrets_file[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s is not set", SETTING),
				 errhint("Name a file with the secrets of webhooks in it, and reload.")));
}

/*
 * The file's text.  A file that is not named or cannot be used is the
 * operator's affair: the reason goes to the server's log and not to callers.
 */
static char *
read_secrets(void)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *volatile text = NULL;
	ErrorData  *error;

	PG_TRY();
	{
		check_setting();
		text = padlock_read_secret_file(secrets_file, SETTING, MAX_FILE);
		check_lines(text);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (text != NULL)
			explicit_bzero(text, strlen(text));
		ereport(LOG,
				(errmsg("padlock: webhooks are refused: %s", error->message),
				 error->detail_log ? errdetail("%s", error->detail_log) :
				 error->hint ? errhint("%s", error->hint) : 0,
				 errhidestmt(true)));
		padlock_http_error(500, ERRCODE_CONFIG_FILE_ERROR, "webhook secrets cannot be used", NULL,
						   "The server's log says why.");
	}
	PG_END_TRY();
	return text;
}

/* Is it a secret of the file?  The header's text is overwritten. */
static bool
is_right(char *header)
{
	char	   *text;
	bool		right;

	text = read_secrets();
	right = is_secret(text, header);
	explicit_bzero(text, strlen(text));
	explicit_bzero(header, strlen(header));
	return right;
}

void
padlock_require_webhook(void)
{
	char	   *header = padlock_request_header(HEADER);

	if (header != NULL && is_right(header))
		return;
	padlock_http_error(401, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
					   header == NULL ? "a webhook secret is required" : "webhook secret is not valid",
					   NULL, "Send the webhook's secret in the header " HEADER ".");
}
