/*-------------------------------------------------------------------------
 *
 * template.c
 *	  Mail templates: rows of padlock.email_templates with {{placeholders}}.
 *
 * Filling is one pass: a value that looks like a placeholder stays what it
 * is.  A placeholder without a value is a problem and not an empty text,
 * since a mail without its link is worse than none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/spi.h"
#include "email/email.h"

#define MAX_PLACEHOLDER	64		/* bytes of a name */

static PadlockStatement template_statement = {
	"SELECT subject, text_body, html_body FROM padlock.email_templates WHERE name = $1",
	1, {TEXTOID}
};

/* A member of data as text; NULL when it is not there or has no plain text. */
static char *
data_text(Jsonb *data, const char *name)
{
	JsonbValue	value;

	if (data == NULL || !JB_ROOT_IS_OBJECT(data) ||
		getKeyJsonValueFromContainer(&data->root, name, strlen(name), &value) == NULL)
		return NULL;
	switch (value.type)
	{
		case jbvString:
			return pnstrdup(value.val.string.val, value.val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value.val.numeric)));
		case jbvBool:
			return pstrdup(value.val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/*
 * What a placeholder stands for, or NULL.  The site and the recipient are never
 * the data's to say: a link that carries a token must lead to the site.
 */
static const char *
placeholder_value(const char *name, Jsonb *data, const char *to)
{
	if (strcmp(name, "to") == 0)
		return to;
	if (strcmp(name, "site_url") == 0)
		return padlock_site_url[0] != '\0' ? padlock_site_url : NULL;
	return data_text(data, name);
}

static void
append_escaped(StringInfo out, const char *value)
{
	for (; *value != '\0'; value++)
	{
		switch (*value)
		{
			case '&':
				appendStringInfoString(out, "&amp;");
				break;
			case '<':
				appendStringInfoString(out, "&lt;");
				break;
			case '>':
				appendStringInfoString(out, "&gt;");
				break;
			case '"':
				appendStringInfoString(out, "&quot;");
				break;
			case '\'':
				appendStringInfoString(out, "&#39;");
				break;
			default:
				appendStringInfoCharMacro(out, *value);
		}
	}
}

/*
 * The name between "{{" (at start) and "}}", without blanks; NULL when it is
 * no name.  *end is set behind the braces.
 */
static char *
placeholder_name(const char *start, const char **end)
{
	const char *name = start + 2 + strspn(start + 2, " ");
	size_t		length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	const char *close = name + length + strspn(name + length, " ");

	if (length == 0 || length > MAX_PLACEHOLDER || strncmp(close, "}}", 2) != 0)
		return NULL;
	*end = close + 2;
	return pnstrdup(name, length);
}

/* Say what is wrong with the placeholder `name`, NULL for one that has none. */
static char *
placeholder_problem(const char *name)
{
	if (name == NULL)
		return pstrdup("a placeholder of the mail template is not of the form {{name}}");
	if (strcmp(name, "site_url") == 0)
		return pstrdup("the mail template needs {{site_url}}: set padlock.site_url");
	return psprintf("the mail template needs {{%s}}, which the job's data does not have", name);
}

/*
 * Replace each {{name}} in a template: site_url by the setting and "to" by the
 * recipient's address, which no data overrides, others by the text, number or
 * boolean of that name in data (an object or NULL).  Values are not searched
 * for placeholders.  escape: values are escaped for HTML.  Returns NULL with
 * the problem when a name has no value.
 */
static char *
fill(const char *template, Jsonb *data, const char *to, bool escape, char **problem)
{
	StringInfoData out;
	const char *open;

	initStringInfo(&out);
	while ((open = strstr(template, "{{")) != NULL)
	{
		const char *end = NULL;
		char	   *name = placeholder_name(open, &end);
		const char *value = name ? placeholder_value(name, data, to) : NULL;

		if (value == NULL)
		{
			*problem = placeholder_problem(name);
			return NULL;
		}
		appendBinaryStringInfo(&out, template, open - template);
		if (escape)
			append_escaped(&out, value);
		else
			appendStringInfoString(&out, value);
		template = end;
	}
	appendStringInfoString(&out, template);
	return out.data;
}

/*
 * Fill a column of the template that was read; false with the problem.  NULL
 * stays NULL, which only html_body may be.
 */
static bool
fill_column(int column, Jsonb *data, const char *to, bool escape, const char **out,
			char **problem)
{
	bool		isnull;
	Datum		value = padlock_spi_datum(0, column, &isnull);

	*out = isnull ? NULL : fill(TextDatumGetCString(value), data, to, escape, problem);
	return isnull || *out != NULL;
}

bool
padlock_email_from_template(const char *name, Jsonb *data, PadlockEmail *email, char **problem)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	Datum		value = CStringGetTextDatum(name);
	bool		found;

	SPI_connect();
	found = padlock_spi_execute(&template_statement, &value, NULL, true) > 0;
	spi_context = MemoryContextSwitchTo(context);
	if (!found)
		*problem = pstrdup("there is no mail template of the name that the payload gives");
	found = found &&
		fill_column(1, data, email->to, false, &email->subject, problem) &&
		fill_column(2, data, email->to, false, &email->text, problem) &&
		fill_column(3, data, email->to, true, &email->html, problem);
	MemoryContextSwitchTo(spi_context);
	SPI_finish();
	return found;
}
