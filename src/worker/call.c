/*-------------------------------------------------------------------------
 *
 * call.c
 *	  Requests with credentials to endpoints that the operator has configured,
 *	  through padlock_fetch, and their answers' JSON, through padlock_parse.
 *
 * This process neither speaks to the network nor parses what comes from it.
 * Credentials go to the helper in its request and nowhere else: they are in
 * no argument list, no environment and no setting.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

/* gcc 12 takes wire_put(), inlined, for a use of a dead variable. */
#pragma GCC diagnostic ignored "-Wdangling-pointer"

#include "core/secret_file.h"
#include "worker/call.h"
#include "worker/endpoint_settings.h"
#include "worker/field.h"
#include "worker/settings.h"

#define MAX_CREDENTIALS		8192	/* bytes of an access key's file */
#define PARSE_GRACE_MS		5000

static const pg_uuid_t no_job;

/* The request at hand: a worker makes one at a time. */
static WireBuffer request;

/* Reader for the one frame that answers WIRE_CALL. */
static bool
read_called(const PadlockFrame *frame, void *state)
{
	PadlockAnswer *answer = state;
	FieldCursor cursor = first_field(frame);
	bool		has_outcome = false;

	if (frame->header.type != WIRE_CALLED)
		padlock_helper_malformed("an unexpected answer to a call");
	while (next_field(&cursor))
	{
		switch (cursor.field.tag)
		{
			case TAG_OUTCOME:
				answer->outcome = field_outcome(&cursor);
				has_outcome = true;
				break;
			case TAG_DETAIL:
				answer->detail = field_text(&cursor, PADLOCK_MAX_DETAIL);
				break;
			case TAG_HTTP_STATUS:
				answer->http_status = field_u32(&cursor);
				break;
			default:
				break;
		}
	}
	answer->body = frame->body;
	if (!has_outcome || (answer->outcome == WIRE_OK && answer->body == NULL))
		padlock_helper_malformed("a call without outcome or body");
	return true;
}

/* Write the frame. */
static void
put_call(const pg_uuid_t *job, const PadlockCall *call)
{
	ListCell   *cell;

	wire_begin(&request, WIRE_CALL, job->data);
	wire_put_text(&request, TAG_URL, call->url);
	wire_put_text(&request, TAG_METHOD, call->method);
	wire_put_u32(&request, TAG_FLAGS, padlock_allow_plain_http ? WIRE_FLAG_CLEAR : 0);
	wire_put_u64(&request, TAG_MAX_BYTES, call->max_bytes);
	wire_put_u32(&request, TAG_TIMEOUT_MS, call->timeout_ms);
	wire_put_u32(&request, TAG_TRIES, call->tries);
	foreach(cell, call->headers)
		wire_put_text(&request, TAG_HEADER, lfirst(cell));
	if (call->ca != NULL)
		wire_put_text(&request, TAG_CA, call->ca);
	if (call->aws == NULL)
		return;
	wire_put_text(&request, TAG_USER, call->aws->key_id);
	wire_put_text(&request, TAG_PASSWORD, call->aws->secret);
	wire_put_text(&request, TAG_AWS_REGION, call->aws_region);
	wire_put_text(&request, TAG_AWS_SERVICE, call->aws_service);
	if (call->aws->token != NULL)
		wire_put_text(&request, TAG_AWS_TOKEN, call->aws->token);
}

void
padlock_close_body(PadlockBlob *body)
{
	if (body != NULL && body->fd >= 0)
	{
		close(body->fd);
		body->fd = -1;
	}
}

PadlockAnswer *
padlock_call(const pg_uuid_t *job, const PadlockCall *call)
{
	PadlockAnswer *answer = palloc0(sizeof(PadlockAnswer));
	PadlockBlob *volatile body = NULL;

	answer->detail = "";
	PG_TRY();
	{
		put_call(job != NULL ? job : &no_job, call);
		if (call->body != NULL)
			body = padlock_helper_make_body(call->body, call->body_length);
		padlock_helper_request(PADLOCK_HELPER_FETCH, &request, body,
							   call->tries * (call->timeout_ms + PADLOCK_CALL_GRACE_MS),
							   read_called, answer);
	}
	PG_FINALLY();
	{
		padlock_close_body(body);
		explicit_bzero(request.data, sizeof(request.data));
	}
	PG_END_TRY();

	if (answer->outcome == WIRE_OK && answer->body->length > call->max_bytes)
		padlock_helper_malformed("a body that is larger than asked for");
	return answer;
}

/* What read_values() fills. */
typedef struct Reading
{
	PadlockMember *members;
	int			count;
	WireOutcome outcome;
} Reading;

/* Reader for the one frame that answers WIRE_PARSE_JSON. */
static bool
read_values(const PadlockFrame *frame, void *state)
{
	Reading    *reading = state;
	FieldCursor cursor = first_field(frame);
	PadlockMember *member = NULL;

	if (frame->header.type != WIRE_PARSED)
		padlock_helper_malformed("an unexpected answer to a parse request");
	reading->outcome = WIRE_INTERNAL;
	while (next_field(&cursor))
	{
		if (cursor.field.tag == TAG_OUTCOME)
			reading->outcome = field_outcome(&cursor);
		else if (cursor.field.tag == TAG_NAME)
		{
			char	   *name = field_text(&cursor, NAMEDATALEN);

			member = NULL;
			for (int i = 0; i < reading->count; i++)
				if (strcmp(reading->members[i].path, name) == 0)
					member = &reading->members[i];
		}
		else if (cursor.field.tag == TAG_VALUE && member != NULL)
			member->value = field_text(&cursor, PADLOCK_WIRE_MAX_VALUES);
	}
	return true;
}

/* Write the frame that asks for members. */
static void
put_paths(const pg_uuid_t *job, PadlockMember *members, int count)
{
	wire_begin(&request, WIRE_PARSE_JSON, job != NULL ? job->data : no_job.data);
	for (int i = 0; i < count; i++)
	{
		members[i].value = NULL;
		wire_put_text(&request, TAG_NAME, members[i].path);
	}
	wire_put_u32(&request, TAG_CPU_MS, padlock_parse_cpu);
	wire_put_u32(&request, TAG_WALL_MS, padlock_parse_wall);
	wire_put_u64(&request, TAG_MEMORY, (uint64) padlock_parse_memory * 1024 * 1024);
}

bool
padlock_read_members(const pg_uuid_t *job, const PadlockBlob *body, PadlockMember *members,
					 int count)
{
	Reading		reading = {members, count, WIRE_INTERNAL};

	put_paths(job, members, count);
	padlock_helper_request(PADLOCK_HELPER_PARSE, &request, body,
						   padlock_parse_wall + PARSE_GRACE_MS, read_values, &reading);
	padlock_helper_wipe_answer();
	return reading.outcome == WIRE_OK;
}

void
padlock_wipe_text(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	pfree(text);
}

bool
padlock_text_of(const char *text, size_t length, const char *set, size_t max)
{
	if (length == 0 || length > max)
		return false;
	for (size_t i = 0; i < length; i++)
		if (text[i] == '\0' || strchr(set, text[i]) == NULL)
			return false;
	return true;
}

/* The trimmed value of "name = value"; NULL for a line of another name.  Cuts the line. */
static char *
line_value(char *line, const char *name)
{
	size_t		length = strlen(name);
	char	   *end;

	line += strspn(line, " \t");
	if (pg_strncasecmp(line, name, length) != 0)
		return NULL;
	line += length;
	line += strspn(line, " \t");
	if (*line != '=')
		return NULL;
	line++;
	line += strspn(line, " \t");
	end = line + strlen(line);
	while (end > line && strchr(" \t\r", end[-1]) != NULL)
		end--;
	*end = '\0';
	return line;
}

/* Take a line's value into *place, unless it is there or the line is another's. */
static void
take_line(char *line, const char *name, char **place)
{
	char	   *value = *place == NULL ? line_value(line, name) : NULL;

	if (value != NULL && value[0] != '\0')
		*place = pstrdup(value);
}

/* Are the parts there, and such as a request can carry? */
static bool
is_usable(const PadlockAwsKey *key)
{
	return key->key_id != NULL && key->secret != NULL && strlen(key->secret) <= 256 &&
		(key->token == NULL || strlen(key->token) <= PADLOCK_WIRE_MAX_TOKEN) &&
		padlock_text_of(key->key_id, strlen(key->key_id), PADLOCK_ALNUM "_-", 128);
}

PadlockAwsKey *
padlock_read_aws_key(const char *path, const char *setting)
{
	PadlockAwsKey *key = palloc0(sizeof(PadlockAwsKey));
	char	   *content = padlock_read_secret_file(path, setting, MAX_CREDENTIALS);
	size_t		length = strlen(content);
	char	   *rest = NULL;
	bool		wanted = true;

	for (char *line = strtok_r(content, "\n", &rest); line != NULL;
		 line = strtok_r(NULL, "\n", &rest))
	{
		if (line[0] == '[')
			wanted = strncmp(line, "[default]", strlen("[default]")) == 0;
		if (!wanted)
			continue;
		take_line(line, "aws_access_key_id", &key->key_id);
		take_line(line, "aws_secret_access_key", &key->secret);
		take_line(line, "aws_session_token", &key->token);
	}
	explicit_bzero(content, length);
	pfree(content);
	if (!is_usable(key))
	{
		padlock_wipe_aws_key(key);
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("file \"%s\" of %s holds no usable access key", path, setting),
				 errhint("It must have lines aws_access_key_id = ... and aws_secret_access_key = ....")));
	}
	return key;
}

void
padlock_wipe_aws_key(PadlockAwsKey *key)
{
	padlock_wipe_text(key->secret);
	padlock_wipe_text(key->token);
	if (key->key_id != NULL)
		pfree(key->key_id);
	pfree(key);
}
