/*-------------------------------------------------------------------------
 *
 * parse_json.c
 *	  Members of a JSON answer: the caller names the paths that it wants and
 *	  gets their values as texts.
 *
 * jansson does the reading: it takes UTF-8 only, limits the depth and refuses
 * a NUL in a string.  Values are handed on whole or not at all, since half a
 * key or token is worse than none.
 *
 *-------------------------------------------------------------------------
 */
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/parse.h"

#define NUMBER_SIZE		40

/* The value at a path of names parted by points, or NULL. */
static const json_t *
find_value(const json_t *value, const char *path)
{
	char		name[PARSE_MAX_PATH + 1];

	while (value != NULL && *path != '\0')
	{
		size_t		length = strcspn(path, ".");

		memcpy(name, path, length);
		name[length] = '\0';
		value = json_object_get(value, name);
		path += length + (path[length] == '.' ? 1 : 0);
	}
	return value;
}

/* A value as text, in number[] if it is one; NULL for null, arrays and objects. */
static const char *
value_text(const json_t *value, char number[NUMBER_SIZE])
{
	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_boolean(value))
		return json_is_true(value) ? "true" : "false";
	if (json_is_integer(value))
		snprintf(number, NUMBER_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		snprintf(number, NUMBER_SIZE, "%.17g", json_real_value(value));
	else
		return NULL;
	return number;
}

/* Append the values found; false when they are too long for an answer. */
static bool
put_values(WireBuffer *buf, const ParseRequest *request, const json_t *root)
{
	char		number[NUMBER_SIZE];
	size_t		total = 0;
	int			i;

	for (i = 0; i < request->path_count; i++)
	{
		const char *text = value_text(find_value(root, request->paths[i]), number);

		if (text == NULL)
			continue;
		total += strlen(text);
		if (total > PADLOCK_WIRE_MAX_VALUES)
			return false;
		wire_put_text(buf, TAG_NAME, request->paths[i]);
		wire_put_text(buf, TAG_VALUE, text);
	}
	return true;
}

void
parse_json(const ParseRequest *request)
{
	WireBuffer	buf;
	json_error_t error;
	json_t	   *root = json_loadb(request->data, request->size, 0, &error);

	if (root == NULL)
		parse_fail(request, WIRE_NOT_PARSABLE, "the answer is not JSON");
	wire_begin(&buf, WIRE_PARSED, request->job_id);
	wire_put_u32(&buf, TAG_OUTCOME, WIRE_OK);
	wire_put_text(&buf, TAG_DETAIL, "");
	if (!put_values(&buf, request, root))
		parse_fail(request, WIRE_TOO_LARGE, "the answer's values are too long");
	parse_send(&buf, -1);
	_exit(0);
}
