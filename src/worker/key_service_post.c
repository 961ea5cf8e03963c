/*-------------------------------------------------------------------------
 *
 * key_service_post.c
 *	  What the key services share: one request and its JSON answer, base64,
 *	  and the words for what goes wrong.
 *
 * Of an answer that refuses, only the status and the service's code for it
 * are told on: its text is a stranger's and might quote the request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"

#include "worker/endpoint_settings.h"
#include "worker/key_service.h"

#define TRIES				2		/* a pass that fails is made again anyway */
#define MAX_CODE			60		/* characters of a service's error code */

char *
padlock_to_base64(const void *bytes, int length)
{
	int			size = pg_b64_enc_len(length);
	char	   *text = palloc(size + 1);

	size = pg_b64_encode(bytes, length, text, size);
	text[Max(size, 0)] = '\0';
	return text;
}

int
padlock_from_base64(const char *text, void *bytes, int max)
{
	int			length = strlen(text);
	int			size = pg_b64_dec_len(length);
	char	   *decoded = palloc(size + 1);

	size = pg_b64_decode(text, length, decoded, size);
	if (size > max)
		size = -1;
	if (size > 0)
		memcpy(bytes, decoded, size);
	explicit_bzero(decoded, pg_b64_dec_len(length));
	pfree(decoded);
	return size;
}

char *
padlock_secret_text(const char *format,...)
{
	va_list		arguments;
	int			length;
	char	   *text;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	text = palloc(length + 1);
	va_start(arguments, format);
	(void) vsnprintf(text, length + 1, format, arguments);
	va_end(arguments);
	return text;
}

void
padlock_key_service_odd(const char *who, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("%s gave %s", who, what)));
	pg_unreachable();
}

void
padlock_key_service_unset(const char *setting)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("%s is not set", setting)));
	pg_unreachable();
}

void
padlock_take_kek(const char *who, PadlockMember *member, uint8 *kek)
{
	int			length = member->value == NULL ? -1 :
	padlock_from_base64(member->value, kek, PADLOCK_KEK_SIZE);

	padlock_wipe_text(member->value);
	member->value = NULL;
	if (length == PADLOCK_KEK_SIZE)
		return;
	explicit_bzero(kek, PADLOCK_KEK_SIZE);
	padlock_key_service_odd(who, "an answer without a key of 32 bytes");
}

/*
 * The service's code for an error, after ", "; "" when it has none that can be
 * shown.  AWS may put a name before it, which a '#' ends.
 */
static const char *
error_code(const PadlockBlob *body, const char *path)
{
	PadlockMember member = {path, NULL};
	char	   *code;

	if (body == NULL || path == NULL || !padlock_read_members(NULL, body, &member, 1) ||
		member.value == NULL)
		return "";
	code = strrchr(member.value, '#');
	code = code != NULL ? code + 1 : member.value;
	return padlock_text_of(code, strlen(code), PADLOCK_ALNUM "_.-", MAX_CODE) ?
		psprintf(", %s", code) : "";
}

/* Raise the error for an answer that is not a good one. */
static void
refuse(const char *who, const PadlockAnswer *answer, const char *error_path)
{
	uint32		status = answer->http_status;
	bool		of_service = answer->outcome != WIRE_HTTP_ERROR || status >= 500 ||
	status == 401 || status == 403 || status == 429;

	if (answer->outcome == WIRE_HTTP_ERROR)
		ereport(ERROR,
				(errcode(of_service ? ERRCODE_CONNECTION_FAILURE :
						 ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("%s refused the request with status %u%s", who, status,
						error_code(answer->body, error_path))));
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("%s could not be asked: %s", who, answer->detail)));
}

void
padlock_key_service_post(const char *who, PadlockCall *call, const char *error_path,
						 PadlockMember *members, int count)
{
	PadlockAnswer *answer;

	call->method = "POST";
	call->timeout_ms = padlock_key_service_timeout;
	call->tries = TRIES;
	call->max_bytes = PADLOCK_KEY_ANSWER_MAX;
	answer = padlock_call(NULL, call);
	if (answer->outcome != WIRE_OK)
		refuse(who, answer, error_path);
	if (!padlock_read_members(NULL, answer->body, members, count))
		padlock_key_service_odd(who, "an answer that is not JSON");
	padlock_close_body(answer->body);
}
