/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Reading a JSON object's top-level values without ever raising an error.
 *
 * Row security policies read the gateway's settings; an error there would
 * break every query of the session, so malformed JSON must be an answer and
 * not an error.  The server's own parser reports syntax errors by its return
 * value; the only error it raises is for nesting deeper than the stack, which
 * the check of the depth beforehand rules out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "core/json.h"

typedef struct MemberState
{
	JsonLexContext *lex;
	PadlockJsonMember *members;
	int			count;
	PadlockJsonMember *current; /* member whose value comes next, or NULL */
	bool		is_object;
} MemberState;

/* Could the text nest deeper than we allow?  Counts brackets in strings too. */
static bool
too_deep(const char *json)
{
	int			depth = 0;

	for (; *json != '\0'; json++)
	{
		if (*json == '{' || *json == '[')
		{
			if (++depth > PADLOCK_JSON_MAX_DEPTH)
				return true;
		}
		else if ((*json == '}' || *json == ']') && depth > 0)
			depth--;
	}
	return false;
}

/*
 * Could unescaping fail?  In a database that is not UTF-8 the parser raises an
 * error for an escape of a character that the encoding lacks.
 */
static bool
has_foreign_escape(const char *json)
{
	if (GetDatabaseEncoding() == PG_UTF8)
		return false;
	for (json = strchr(json, '\\'); json != NULL; json = strchr(json + 2, '\\'))
	{
		if (json[1] == '\0')
			return false;
		if (json[1] == 'u' &&
			(strncmp(json + 2, "00", 2) != 0 || strchr("01234567", json[4]) == NULL))
			return true;
	}
	return false;
}

static void
object_start(void *arg)
{
	MemberState *state = (MemberState *) arg;

	if (state->lex->lex_level == 0)
		state->is_object = true;
}

static void
member_start(void *arg, char *name, bool isnull)
{
	MemberState *state = (MemberState *) arg;

	if (state->lex->lex_level != 1)
		return;
	state->current = NULL;
	for (int i = 0; i < state->count; i++)
	{
		if (strcmp(state->members[i].name, name) == 0)
		{
			state->current = &state->members[i];
			state->current->value = NULL;
			state->current->present = true;
			state->current->is_number = false;
		}
	}
}

static void
member_end(void *arg, char *name, bool isnull)
{
	MemberState *state = (MemberState *) arg;

	if (state->lex->lex_level == 1)
		state->current = NULL;
}

static void
scalar(void *arg, char *token, JsonTokenType type)
{
	MemberState *state = (MemberState *) arg;

	if (state->current != NULL && state->lex->lex_level == 1 && type != JSON_TOKEN_NULL)
	{
		state->current->value = token;
		state->current->is_number = type == JSON_TOKEN_NUMBER;
	}
}

static void
forget_members(PadlockJsonMember *members, int count)
{
	for (int i = 0; i < count; i++)
	{
		members[i].value = NULL;
		members[i].present = false;
		members[i].is_number = false;
	}
}

bool
padlock_json_members(const char *json, PadlockJsonMember *members, int count)
{
	size_t		length = strlen(json);
	MemberState state = {NULL, members, count, NULL, false};
	JsonSemAction actions = {0};

	forget_members(members, count);
	if (length == 0 || length > PADLOCK_JSON_MAX_LENGTH || too_deep(json) ||
		has_foreign_escape(json))
		return false;

	state.lex = makeJsonLexContextCstringLen(unconstify(char *, json), (int) length,
											 GetDatabaseEncoding(), true);
	actions.semstate = &state;
	actions.object_start = object_start;
	actions.object_field_start = member_start;
	actions.object_field_end = member_end;
	actions.scalar = scalar;

	if (pg_parse_json(state.lex, &actions) == JSON_SUCCESS && state.is_object)
		return true;
	forget_members(members, count);
	return false;
}
