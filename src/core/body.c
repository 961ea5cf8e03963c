/*-------------------------------------------------------------------------
 *
 * body.c
 *	  The one validator of request bodies.
 *
 * A body is a jsonb object.  Members that the field table does not list are
 * refused by name, so that a misspelt field is not silently ignored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/body.h"
#include "core/email_address.h"
#include "core/errors.h"

#define MAX_URL_LENGTH		2000
#define MAX_LIST_LENGTH		200
#define MAX_PROBLEMS		50

void
padlock_body_problem(PadlockBody *body, const char *field, const char *problem)
{
	/* more names than this help nobody, and a hostile body may have many */
	if (++body->problem_count > MAX_PROBLEMS)
		return;
	if (body->problems.len > 0)
		appendStringInfoString(&body->problems, "; ");
	appendStringInfo(&body->problems, "%s: %s", field, problem);
}

static int
character_count(const char *text)
{
	return pg_mbstrlen(text);
}

static bool
is_blank(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '\0';
}

/* Exactly `length` capitals A to Z? */
static bool
is_capitals(const char *text, size_t length)
{
	return strlen(text) == length && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == length;
}

/* Why a URL is refused, or NULL: RFC 3986 syntax is the client's concern. */
static const char *
url_problem(const char *url)
{
	const char *host;
	size_t		authority;

	if (pg_strncasecmp(url, "https://", 8) == 0)
		host = url + 8;
	else if (pg_strncasecmp(url, "http://", 7) == 0)
		host = url + 7;
	else
		return "must start with http:// or https://";
	authority = strcspn(host, "/?#");
	if (authority == 0)
		return "must name a host";
	if (memchr(host, '@', authority) != NULL)
		return "must not contain a user name or password";
	for (const unsigned char *c = (const unsigned char *) url; *c != '\0'; c++)
	{
		if (*c <= ' ' || *c == 0x7f || strchr("<>\"\\^`{|}", *c) != NULL)
			return "must not contain spaces, control characters or any of <>\"\\^`{|}";
	}
	if (character_count(url) > MAX_URL_LENGTH)
		return "must be at most 2000 characters long";
	return NULL;
}

/* Is text one of the choices "a|b|c"? */
static bool
is_choice(const char *text, const char *choices)
{
	size_t		length = strlen(text);

	if (length == 0 || strchr(text, '|') != NULL)
		return false;
	for (const char *choice = choices; choice != NULL; choice = strchr(choice, '|'))
	{
		if (*choice == '|')
			choice++;
		if (strncmp(choice, text, length) == 0 &&
			(choice[length] == '|' || choice[length] == '\0'))
			return true;
	}
	return false;
}

/* "must be one of a, b, c" */
static char *
choice_problem(const char *choices)
{
	StringInfoData problem;

	initStringInfo(&problem);
	appendStringInfoString(&problem, "must be one of ");
	for (; *choices != '\0'; choices++)
	{
		if (*choices == '|')
			appendStringInfoString(&problem, ", ");
		else
			appendStringInfoChar(&problem, *choices);
	}
	return problem.data;
}

static const char *
length_problem(const BodyField *field, const char *text)
{
	int			length = character_count(text);

	if (length < field->min || length > field->max || (field->min > 0 && is_blank(text)))
	{
		if (field->min > 0)
			return psprintf("must be " INT64_FORMAT " to " INT64_FORMAT " characters long",
							field->min, field->max);
		return psprintf("must be at most " INT64_FORMAT " characters long", field->max);
	}
	return NULL;
}

/* Why a text is refused for its field, or NULL. */
static const char *
text_problem(const BodyField *field, const char *text)
{
	switch (field->type)
	{
		case BODY_URL:
			return url_problem(text);
		case BODY_EMAIL:
			return padlock_email_address_problem(text) == NULL ? NULL : "must be an e-mail address";
		case BODY_CURRENCY:
			return is_capitals(text, 3) ? NULL : "must be three capital letters (ISO 4217)";
		case BODY_COUNTRY:
			return is_capitals(text, 2) ? NULL : "must be two capital letters (ISO 3166)";
		case BODY_CHOICE:
			return is_choice(text, field->choices) ? NULL : choice_problem(field->choices);
		default:
			return length_problem(field, text);
	}
}

static void
read_text(PadlockBody *body, const BodyField *field, BodyValue *value, const char *text)
{
	const char *problem = text_problem(field, text);

	if (problem != NULL)
		padlock_body_problem(body, field->name, problem);
	else
		value->value = CStringGetTextDatum(text);
}

/* Is text exactly 8-4-4-4-12 hexadecimal digits? */
static bool
is_uuid(const char *text)
{
	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		bool		dash = (i == 8 || i == 13 || i == 18 || i == 23);

		if (dash ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	}
	return true;
}

static void
read_uuid(PadlockBody *body, const BodyField *field, BodyValue *value, const char *text)
{
	if (!is_uuid(text))
		padlock_body_problem(body, field->name, "must be a UUID");
	else
		value->value = DirectFunctionCall1(uuid_in, CStringGetDatum(text));
}

/* Read exactly `count` digits and step over them; false when there are fewer. */
static bool
take_digits(const char **text, int count, int *number)
{
	*number = 0;
	for (int i = 0; i < count; i++, (*text)++)
	{
		if (!isdigit((unsigned char) **text))
			return false;
		*number = *number * 10 + **text - '0';
	}
	return true;
}

/* Step over a character, one of those given. */
static bool
take_character(const char **text, const char *choices)
{
	if (**text == '\0' || strchr(choices, **text) == NULL)
		return false;
	(*text)++;
	return true;
}

/* A fraction of a second, if there is one, in microseconds. */
static bool
take_fraction(const char **text, fsec_t *fraction)
{
	int			unit = 100000;

	*fraction = 0;
	if (**text != '.')
		return true;
	(*text)++;
	if (!isdigit((unsigned char) **text))
		return false;
	for (; isdigit((unsigned char) **text); (*text)++, unit /= 10)
		*fraction += (**text - '0') * unit;
	return true;
}

/* "Z" or an offset such as +01:00, as seconds west of Greenwich. */
static bool
take_zone(const char **text, int *west)
{
	int			hours;
	int			minutes;
	bool		east = **text == '+';

	*west = 0;
	if (take_character(text, "Zz"))
		return true;
	if (!take_character(text, "+-") || !take_digits(text, 2, &hours) ||
		!take_character(text, ":") || !take_digits(text, 2, &minutes) ||
		hours > 15 || minutes > 59)
		return false;
	*west = (hours * 60 + minutes) * (east ? -60 : 60);
	return true;
}

/* A point in time in the form of RFC 3339; false for anything else. */
static bool
parse_time(const char *text, TimestampTz *time)
{
	struct pg_tm tm = {0};
	fsec_t		fraction;
	int			west;

	if (!take_digits(&text, 4, &tm.tm_year) || !take_character(&text, "-") ||
		!take_digits(&text, 2, &tm.tm_mon) || !take_character(&text, "-") ||
		!take_digits(&text, 2, &tm.tm_mday) || !take_character(&text, "Tt ") ||
		!take_digits(&text, 2, &tm.tm_hour) || !take_character(&text, ":") ||
		!take_digits(&text, 2, &tm.tm_min) || !take_character(&text, ":") ||
		!take_digits(&text, 2, &tm.tm_sec) || !take_fraction(&text, &fraction) ||
		!take_zone(&text, &west) || *text != '\0')
		return false;
	if (tm.tm_year < 1 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
		tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1] ||
		tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
		return false;
	return tm2timestamp(&tm, fraction, &west, time) == 0;
}

static void
read_time(PadlockBody *body, const BodyField *field, BodyValue *value, const char *text)
{
	TimestampTz time;

	if (parse_time(text, &time))
		value->value = TimestampTzGetDatum(time);
	else
		padlock_body_problem(body, field->name,
							 "must be a time with its zone, such as 2030-01-31T23:59:59Z");
}

static bool
numeric_below(Numeric a, int64 b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a),
											 NumericGetDatum(int64_to_numeric(b)))) < 0;
}

static bool
numeric_above(Numeric a, int64 b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a),
											 NumericGetDatum(int64_to_numeric(b)))) > 0;
}

static bool
is_whole(Numeric number)
{
	Datum		truncated = DirectFunctionCall2(numeric_trunc, NumericGetDatum(number),
												Int32GetDatum(0));

	return DatumGetBool(DirectFunctionCall2(numeric_eq, truncated, NumericGetDatum(number)));
}

static void
read_number(PadlockBody *body, const BodyField *field, BodyValue *value, Numeric number)
{
	if (numeric_is_nan(number) || numeric_is_inf(number) ||
		numeric_below(number, field->min) || numeric_above(number, field->max) ||
		(field->above_min && !numeric_above(number, field->min)))
	{
		padlock_body_problem(body, field->name,
							 field->above_min
							 ? psprintf("must be above " INT64_FORMAT " and at most " INT64_FORMAT,
										field->min, field->max)
							 : psprintf("must be " INT64_FORMAT " to " INT64_FORMAT,
										field->min, field->max));
		return;
	}
	if (field->type == BODY_NUMERIC)
		value->value = NumericGetDatum(number);
	else if (is_whole(number))
		value->value = DirectFunctionCall1(numeric_int4, NumericGetDatum(number));
	else
		padlock_body_problem(body, field->name, "must be a whole number");
}

/* A number in a query string: digits with an optional sign and point. */
static void
read_number_text(PadlockBody *body, const BodyField *field, BodyValue *value, const char *text)
{
	const char *digits = text + (*text == '-' || *text == '+');
	size_t		whole = strspn(digits, "0123456789");
	const char *rest = digits + whole;

	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (whole == 0 || *rest != '\0' || strlen(text) > 40)
		padlock_body_problem(body, field->name, "must be a number");
	else
		read_number(body, field, value,
					DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
														ObjectIdGetDatum(InvalidOid),
														Int32GetDatum(-1))));
}

/* Why an item of a list is refused, or NULL. */
static const char *
item_problem(const BodyField *field, const char *text)
{
	if (field->type == BODY_COUNTRY_LIST)
		return is_capitals(text, 2) ? NULL : "each item must be two capital letters (ISO 3166)";
	if (character_count(text) > field->max || is_blank(text))
		return psprintf("each item must be 1 to " INT64_FORMAT " characters long", field->max);
	return NULL;
}

static void
read_list(PadlockBody *body, const BodyField *field, BodyValue *value, JsonbContainer *container)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbValue	item;
	JsonbIteratorToken token;
	Datum		items[MAX_LIST_LENGTH];
	int			count = 0;

	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		const char *problem = NULL;

		if (token != WJB_ELEM)
			continue;
		if (count == MAX_LIST_LENGTH)
			problem = psprintf("must have at most %d items", MAX_LIST_LENGTH);
		else if (item.type != jbvString)
			problem = "each item must be a string";
		else
		{
			char	   *text = pnstrdup(item.val.string.val, item.val.string.len);

			problem = item_problem(field, text);
			items[count++] = CStringGetTextDatum(text);
		}
		if (problem != NULL)
		{
			padlock_body_problem(body, field->name, problem);
			return;
		}
	}
	value->value = PointerGetDatum(construct_array(items, count, TEXTOID, -1, false,
												   TYPALIGN_INT));
}

static bool
is_text_type(BodyType type)
{
	return type <= BODY_UUID;
}

/* A member whose JSON type is not the one its field wants. */
static void
wrong_type(PadlockBody *body, const BodyField *field)
{
	const char *wanted;

	switch (field->type)
	{
		case BODY_BOOLEAN:
			wanted = "must be true or false";
			break;
		case BODY_INTEGER:
		case BODY_NUMERIC:
			wanted = "must be a number";
			break;
		case BODY_OBJECT:
			wanted = "must be an object";
			break;
		case BODY_TEXT_LIST:
		case BODY_COUNTRY_LIST:
			wanted = "must be an array of strings";
			break;
		default:
			wanted = "must be a string";
	}
	padlock_body_problem(body, field->name, wanted);
}

static void
read_string(PadlockBody *body, const BodyField *field, BodyValue *value, const char *text)
{
	if (field->type == BODY_UUID)
		read_uuid(body, field, value, text);
	else if (field->type == BODY_TIME)
		read_time(body, field, value, text);
	else if (is_text_type(field->type))
		read_text(body, field, value, text);
	else if (body->mode == BODY_QUERY &&
			 (field->type == BODY_INTEGER || field->type == BODY_NUMERIC))
		read_number_text(body, field, value, text);
	else if (body->mode == BODY_QUERY && field->type == BODY_BOOLEAN &&
			 (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
		value->value = BoolGetDatum(*text == 't');
	else
		wrong_type(body, field);
}

static void
read_object(PadlockBody *body, const BodyField *field, BodyValue *value, JsonbValue *member)
{
	Jsonb	   *object = JsonbValueToJsonb(member);

	if (strlen(padlock_json_text(object)) > field->max)
		padlock_body_problem(body, field->name,
							 psprintf("must be at most " INT64_FORMAT " bytes of JSON", field->max));
	else
		value->value = JsonbPGetDatum(object);
}

static void
read_container(PadlockBody *body, const BodyField *field, BodyValue *value, JsonbValue *member)
{
	JsonbContainer *container = member->val.binary.data;
	bool		is_list = JsonContainerIsArray(container) && !JsonContainerIsScalar(container);

	if (field->type == BODY_OBJECT && JsonContainerIsObject(container))
		read_object(body, field, value, member);
	else if ((field->type == BODY_TEXT_LIST || field->type == BODY_COUNTRY_LIST) && is_list)
		read_list(body, field, value, container);
	else
		wrong_type(body, field);
}

static void
read_null(PadlockBody *body, const BodyField *field, BodyValue *value)
{
	value->isnull = true;
	if (body->mode == BODY_UPDATE && (field->not_null || field->required))
		padlock_body_problem(body, field->name, "must not be null");
	else if (body->mode != BODY_UPDATE)
		value->present = false;
}

static void
read_member(PadlockBody *body, const BodyField *field, BodyValue *value, JsonbValue *member)
{
	int			problems = body->problem_count;

	value->present = true;
	switch (member->type)
	{
		case jbvNull:
			read_null(body, field, value);
			break;
		case jbvString:
			read_string(body, field, value,
						pnstrdup(member->val.string.val, member->val.string.len));
			break;
		case jbvNumeric:
			if (field->type == BODY_INTEGER || field->type == BODY_NUMERIC)
				read_number(body, field, value, member->val.numeric);
			else
				wrong_type(body, field);
			break;
		case jbvBool:
			if (field->type == BODY_BOOLEAN)
				value->value = BoolGetDatum(member->val.boolean);
			else
				wrong_type(body, field);
			break;
		default:
			read_container(body, field, value, member);
	}
	value->invalid = body->problem_count > problems;
}

static int
find_field(PadlockBody *body, const char *name, size_t length)
{
	for (int i = 0; i < body->count; i++)
	{
		if (strlen(body->fields[i].name) == length &&
			strncmp(body->fields[i].name, name, length) == 0)
			return i;
	}
	return -1;
}

static void
read_members(PadlockBody *body, JsonbContainer *container)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbValue	key;
	JsonbValue	member;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		int			index;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &member, true);
		index = find_field(body, key.val.string.val, key.val.string.len);
		if (index >= 0)
			read_member(body, &body->fields[index], &body->values[index], &member);
		else
		{
			int			shown = pg_mbcliplen(key.val.string.val, key.val.string.len, 64);

			padlock_body_problem(body, pnstrdup(key.val.string.val, shown), "is not a known field");
		}
	}
}

void
padlock_body_read(PadlockBody *body, Jsonb *json, const BodyField *fields, int count,
				  BodyMode mode)
{
	body->fields = fields;
	body->count = count;
	body->mode = mode;
	body->values = palloc0(sizeof(BodyValue) * count);
	initStringInfo(&body->problems);
	body->problem_count = 0;

	if (json == NULL || !JB_ROOT_IS_OBJECT(json))
		padlock_http_error(400, ERRCODE_INVALID_PARAMETER_VALUE,
						   "request body must be a JSON object", NULL, NULL);
	read_members(body, &json->root);

	if (mode == BODY_UPDATE)
		return;
	for (int i = 0; i < count; i++)
	{
		if (fields[i].required && !body->values[i].present)
			padlock_body_problem(body, fields[i].name, "is required");
	}
}

void
padlock_body_check_range(PadlockBody *body, const char *minimum, const char *maximum)
{
	BodyValue  *low = padlock_body_value(body, minimum);
	BodyValue  *high = padlock_body_value(body, maximum);
	bool		above;

	if (!low->present || !high->present || low->isnull || high->isnull ||
		low->invalid || high->invalid)
		return;
	if (body->fields[low - body->values].type == BODY_INTEGER)
		above = DatumGetInt32(low->value) > DatumGetInt32(high->value);
	else
		above = DatumGetBool(DirectFunctionCall2(numeric_gt, low->value, high->value));
	if (above)
		padlock_body_problem(body, minimum, psprintf("must not be above %s", maximum));
}

void
padlock_body_finish(PadlockBody *body)
{
	if (body->problem_count > MAX_PROBLEMS)
		appendStringInfo(&body->problems, "; and %d more", body->problem_count - MAX_PROBLEMS);
	if (body->problem_count > 0)
		padlock_http_error(400, ERRCODE_INVALID_PARAMETER_VALUE, "request is not valid",
						   body->problems.data, NULL);
}

BodyValue *
padlock_body_value(PadlockBody *body, const char *name)
{
	int			index = find_field(body, name, strlen(name));

	Assert(index >= 0);
	return &body->values[index];
}

char *
padlock_body_text(PadlockBody *body, const char *name)
{
	BodyValue  *value = padlock_body_value(body, name);

	if (!value->present || value->isnull)
		return NULL;
	return TextDatumGetCString(value->value);
}
