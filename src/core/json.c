/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Reading a JSON object's top-level values without ever raising an error.
 *
 * Row security policies read the gateway's settings; an error there would
 * break every query of the session, so malformed JSON must be an answer and
 * not an error.  The server's own parser reports syntax errors by its return
 * value; the errors it raises, for nesting deeper than the stack and for
 * escapes that the database's encoding lacks, are ruled out beforehand.
 *
 * Headers and most claims are flat: an object of plain strings and integers.
 * These are read by a single pass that knows no more than that, several times
 * as fast, once for each request; whatever it does not know, good or bad, is
 * left to the server's parser.  The pass makes no copies but the values': a
 * secret among them is in no other place.
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

/* Are there so many opening brackets at all?  Few texts have them, and this is cheap. */
static bool
may_be_too_deep(const char *json)
{
	int			openings = 0;

	for (json = strpbrk(json, "{["); json != NULL; json = strpbrk(json + 1, "{["))
		if (++openings > PADLOCK_JSON_MAX_DEPTH)
			return true;
	return false;
}

/* Brackets in strings do not count. */
bool
padlock_json_too_deep(const char *json)
{
	bool		in_string = false;
	int			depth = 0;

	if (!may_be_too_deep(json))
		return false;
	for (; *json != '\0'; json++)
	{
		if (in_string && *json == '\\' && json[1] != '\0')
			json++;
		else if (*json == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if (*json == '{' || *json == '[')
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
 * A copy in which escapes that the parser cannot convert are question marks:
 * that of NUL, and in a database that is not UTF-8 any beyond ASCII, for which
 * it would even raise an error.  One odd header must not hide all the others.
 * A text without escapes is given back as it is: the parser writes nothing.
 */
static char *
without_foreign_escapes(const char *json)
{
	bool		ascii_only = GetDatabaseEncoding() != PG_UTF8;
	char	   *copy;
	char	   *escape;

	if (strchr(json, '\\') == NULL)
		return (char *) json;
	copy = pstrdup(json);
	escape = strchr(copy, '\\');
	while (escape != NULL && escape[1] != '\0')
	{
		if (escape[1] == 'u' && strspn(escape + 2, "0123456789abcdefABCDEF") >= 4)
		{
			char		digits[5] = {escape[2], escape[3], escape[4], escape[5], '\0'};
			long		code = strtol(digits, NULL, 16);

			if (code == 0 || (ascii_only && code > 127))
				memset(escape, '?', 6);
		}
		escape = strchr(escape + 2, '\\');
	}
	return copy;
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

static const char *
skip_space(const char *at)
{
	while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
		at++;
	return at;
}

/*
 * The end of a string: its closing quote, or NULL if it is not a plain one.
 * Escapes of one character are plain; has_escape tells that there are some.
 */
static const char *
plain_string_end(const char *at, bool *has_escape)
{
	*has_escape = false;
	for (; *at != '"'; at++)
	{
		if ((unsigned char) *at < ' ')	/* the terminating zero too */
			return NULL;
		if (*at != '\\')
			continue;
		*has_escape = true;
		if (*++at == '\0' || strchr("\"\\/bfnrt", *at) == NULL)
			return NULL;
	}
	return at;
}

/* The end of an integer, or NULL if it is none. */
static const char *
integer_end(const char *at)
{
	size_t		digits;

	at += *at == '-';
	digits = strspn(at, "0123456789");
	return digits == 0 || (digits > 1 && *at == '0') ? NULL : at + digits;
}

/* The wanted member of that name, or NULL. */
static PadlockJsonMember *
wanted_member(PadlockJsonMember *members, int count, const char *name, size_t length)
{
	for (int i = 0; i < count; i++)
	{
		if (strncmp(members[i].name, name, length) == 0 && members[i].name[length] == '\0')
			return &members[i];
	}
	return NULL;
}

/* Put the characters in place of a plain string's escapes. */
static void
unescape(char *text)
{
	static const char names[] = "bfnrt";
	static const char characters[] = "\b\f\n\r\t";
	char	   *to = text;

	for (const char *from = text; *from != '\0'; from++)
	{
		const char *name = NULL;

		if (*from == '\\')
			name = strchr(names, *++from);
		*to++ = name != NULL ? characters[name - names] : *from;
	}
	*to = '\0';
}

/*
 * Take a plain string or an integer into the member, unless that is NULL.
 * What follows it, or NULL if it is neither.
 */
static const char *
take_value(const char *at, PadlockJsonMember *member)
{
	bool		is_string = *at == '"';
	bool		has_escape = false;
	const char *start = is_string ? at + 1 : at;
	const char *end = is_string ? plain_string_end(start, &has_escape) : integer_end(start);

	if (end == NULL)
		return NULL;
	if (member != NULL)
	{
		member->value = pnstrdup(start, end - start);
		if (has_escape)
			unescape(member->value);
		member->present = true;
		member->is_number = !is_string;
	}
	return is_string ? end + 1 : end;
}

/* Take a member of a flat object; what follows it, or NULL. */
static const char *
take_member(const char *at, PadlockJsonMember *members, int count)
{
	bool		has_escape;
	const char *name_end;
	const char *colon;

	if (*at++ != '"')
		return NULL;
	/* no wanted name has a character that such an escape stands for */
	name_end = plain_string_end(at, &has_escape);
	if (name_end == NULL)
		return NULL;
	colon = skip_space(name_end + 1);
	if (*colon != ':')
		return NULL;
	return take_value(skip_space(colon + 1), wanted_member(members, count, at, name_end - at));
}

/* Read a flat object; false if the text is not one, or not known to be. */
static bool
read_flat(const char *json, PadlockJsonMember *members, int count)
{
	const char *at = skip_space(json);

	if (*at != '{')
		return false;
	do
	{
		at = take_member(skip_space(at + 1), members, count);
		if (at == NULL)
			return false;
		at = skip_space(at);
	} while (*at == ',');
	return *at == '}' && *skip_space(at + 1) == '\0';
}

bool
padlock_json_members(const char *json, PadlockJsonMember *members, int count)
{
	size_t		length = strlen(json);
	MemberState state = {NULL, members, count, NULL, false};
	JsonSemAction actions = {0};

	forget_members(members, count);
	if (length == 0 || length > PADLOCK_JSON_MAX_LENGTH)
		return false;
	if (read_flat(json, members, count))
		return true;
	forget_members(members, count);
	if (padlock_json_too_deep(json))
		return false;

	state.lex = makeJsonLexContextCstringLen(without_foreign_escapes(json), (int) length,
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
