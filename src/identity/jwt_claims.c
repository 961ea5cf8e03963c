/*-------------------------------------------------------------------------
 *
 * jwt_claims.c
 *	  The claims of a token, read once: as jsonb, and judged by their times.
 *
 * Each request's token comes by here, so the payload is parsed a single time
 * and, unless it holds escapes, without a copy of its strings: the server's
 * parser, told not to unescape, keeps no string at all, but it says where a
 * token ends, and a string without a backslash starts after the quote before.
 *
 * The server's parser reports syntax errors by its return value.  What it, or
 * jsonb, would raise an error for is ruled out: foreign escapes by the caller,
 * deep nesting beforehand, and numbers that no numeric can hold on the way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "identity/jwt_internal.h"

#define MAX_EXPONENT	1000	/* of a number in a claim; the server's end at 16383 digits after the point */

/* The claims that are judged here. */
enum
{
	EXP, NBF, TIMES
};

typedef struct ClaimsReader
{
	JsonLexContext *lex;
	JsonbParseState *parts;
	JsonbValue *result;			/* whole when the parser is through */
	bool		has_huge_number;
	PadlockJsonMember times[TIMES];
	PadlockJsonMember *current; /* the one of them whose value comes next, or NULL */
} ClaimsReader;

/* The string without escapes whose closing quote is the last one before end. */
static void
string_before(const char *end, JsonbValue *string)
{
	const char *start;

	while (*--end != '"')
		;
	for (start = end; start[-1] != '"';)
		start--;
	string->type = jbvString;
	string->val.string.val = (char *) start;
	string->val.string.len = end - start;
}

/* A string that the parser has just passed: its copy without escapes, if it made one. */
static void
passed_string(const ClaimsReader *reader, char *copy, JsonbValue *string)
{
	if (copy == NULL)
	{
		string_before(reader->lex->prev_token_terminator, string);
		return;
	}
	string->type = jbvString;
	string->val.string.val = copy;
	string->val.string.len = strlen(copy);
}

static void
push(ClaimsReader *reader, JsonbIteratorToken token, JsonbValue *value)
{
	reader->result = pushJsonbValue(&reader->parts, token, value);
}

static void
object_start(void *state)
{
	push(state, WJB_BEGIN_OBJECT, NULL);
}

static void
object_end(void *state)
{
	push(state, WJB_END_OBJECT, NULL);
}

static void
array_start(void *state)
{
	push(state, WJB_BEGIN_ARRAY, NULL);
}

static void
array_end(void *state)
{
	push(state, WJB_END_ARRAY, NULL);
}

static bool
is_named(const JsonbValue *name, const char *wanted)
{
	return name->val.string.len == (int) strlen(wanted) &&
		memcmp(name->val.string.val, wanted, name->val.string.len) == 0;
}

static void
member_start(void *state, char *copy, bool isnull)
{
	ClaimsReader *reader = state;
	JsonbValue	name;

	passed_string(reader, copy, &name);
	push(reader, WJB_KEY, &name);
	if (reader->lex->lex_level != 1)
		return;
	reader->current = NULL;
	for (int i = 0; i < TIMES; i++)
	{
		if (is_named(&name, reader->times[i].name))
		{
			/* of equal names the last counts, here as in jsonb */
			reader->current = &reader->times[i];
			reader->current->present = true;
			reader->current->value = NULL;
		}
	}
}

/* Has the number an exponent that no numeric may hold, with as many digits as fit into a token? */
static bool
is_huge(const char *number)
{
	const char *at = strpbrk(number, "eE");
	long		exponent = at != NULL ? strtol(at + 1, NULL, 10) : 0;

	return exponent > MAX_EXPONENT || exponent < -MAX_EXPONENT;
}

static void
read_number(ClaimsReader *reader, char *number, JsonbValue *value)
{
	value->type = jbvNull;
	if (is_huge(number))
	{
		reader->has_huge_number = true;
		return;
	}
	value->type = jbvNumeric;
	value->val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(number),
															 ObjectIdGetDatum(InvalidOid),
															 Int32GetDatum(-1)));
	if (reader->lex->lex_level == 1 && reader->current != NULL)
	{
		reader->current->value = number;
		reader->current->is_number = true;
	}
}

static void
scalar(void *state, char *token, JsonTokenType type)
{
	ClaimsReader *reader = state;
	JsonbValue	value;

	switch (type)
	{
		case JSON_TOKEN_STRING:
			passed_string(reader, token, &value);
			break;
		case JSON_TOKEN_NUMBER:
			read_number(reader, token, &value);
			break;
		case JSON_TOKEN_TRUE:
		case JSON_TOKEN_FALSE:
			value.type = jbvBool;
			value.val.boolean = type == JSON_TOKEN_TRUE;
			break;
		default:
			value.type = jbvNull;
	}
	/* a token's payload that is a scalar is none, but it comes here */
	if (reader->parts != NULL)
		push(reader, reader->parts->contVal.type == jbvArray ? WJB_ELEM : WJB_VALUE, &value);
}

/* Parse a text into the reader; false unless it is an object that jsonb can hold. */
static bool
parse(const char *text, size_t length, ClaimsReader *reader)
{
	JsonSemAction actions = {
		.semstate = reader,
		.object_start = object_start,
		.object_end = object_end,
		.array_start = array_start,
		.array_end = array_end,
		.object_field_start = member_start,
		.scalar = scalar
	};

	if (padlock_json_too_deep(text))
		return false;
	reader->lex = makeJsonLexContextCstringLen((char *) text, (int) length, GetDatabaseEncoding(),
											   memchr(text, '\\', length) != NULL);
	return pg_parse_json(reader->lex, &actions) == JSON_SUCCESS && reader->result != NULL &&
		reader->result->type == jbvObject && !reader->has_huge_number;
}

/* Judge the times of a token whose claims are well formed. */
static JwtVerdict
judge(const PadlockJsonMember *times)
{
	double		now = jwt_now();
	double		seconds;

	if (!jwt_read_time(&times[EXP], &seconds))
		return JWT_BAD_CLAIMS;
	if (seconds <= now)
		return JWT_EXPIRED;
	if (!times[NBF].present)
		return JWT_OK;
	if (!jwt_read_time(&times[NBF], &seconds))
		return JWT_BAD_CLAIMS;
	return seconds > now ? JWT_NOT_YET_VALID : JWT_OK;
}

JwtVerdict
jwt_read_claims(const char *text, Jsonb **claims)
{
	ClaimsReader reader = {.times = {{"exp"}, {"nbf"}}};
	JwtVerdict	verdict;

	*claims = NULL;
	if (!parse(text, strlen(text), &reader))
		return JWT_BAD_CLAIMS;
	verdict = judge(reader.times);
	if (verdict == JWT_OK)
		*claims = JsonbValueToJsonb(reader.result);
	return verdict;
}
