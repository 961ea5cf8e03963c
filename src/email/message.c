/*-------------------------------------------------------------------------
 *
 * message.c
 *	  Makes the message that goes over the wire: RFC 5322 with MIME (RFC 2045
 *	  to 2047).
 *
 * Bodies are quoted-printable UTF-8, so that every line is short and of
 * ASCII whatever the text; "=_" cannot occur in it, which makes a boundary
 * that begins so unmistakable (RFC 2045, 6.7).  A header's value is refused
 * when it holds a control character, so that it cannot begin another header;
 * what else is not plain ASCII becomes encoded words.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "core/email_address.h"
#include "email/email.h"

#define MAX_MESSAGE			(1024 * 1024)	/* bytes; attachments there are none */
#define MAX_SUBJECT			500 /* bytes */
#define MAX_PLAIN_VALUE		64	/* bytes of a header value that is left as it is */

/*
 * RFC 2047, 2: a line with an encoded word has at most 76 characters.  39
 * bytes make 52 of base64, 64 with the marks, 73 after "Subject: ".
 */
#define WORD_BYTES			39

/* RFC 2045, 6.7 (5): at most 76 characters with the "=" of a soft line break. */
#define MAX_LINE			75

/* The text in UTF-8; NULL when it cannot be. */
static char *
to_utf8(const char *text)
{
	char	   *utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);

	return pg_verify_mbstr(PG_UTF8, utf8, strlen(utf8), true) ? utf8 : NULL;
}

/* Can a value stand in a header as it is? */
static bool
is_plain(const char *value)
{
	for (const char *c = value; *c != '\0'; c++)
		if (IS_HIGHBIT_SET(*c))
			return false;
	return strlen(value) <= MAX_PLAIN_VALUE && strstr(value, "=?") == NULL;
}

/* Bytes of whole UTF-8 characters at text, at most WORD_BYTES. */
static int
word_length(const char *text)
{
	int			length = 0;

	while (text[length] != '\0')
	{
		int			next = pg_utf_mblen((const unsigned char *) text + length);

		if (length + next > WORD_BYTES)
			break;
		length += next;
	}
	return length;
}

/* Append UTF-8 text as encoded words (RFC 2047), one a line. */
static void
append_encoded_words(StringInfo out, const char *text)
{
	const char *separator = "";

	while (*text != '\0')
	{
		char		word[4 * ((WORD_BYTES + 2) / 3) + 1];
		int			length = word_length(text);
		int			encoded = pg_b64_encode(text, length, word, sizeof(word) - 1);

		word[encoded] = '\0';
		appendStringInfo(out, "%s=?UTF-8?B?%s?=", separator, word);
		separator = "\r\n ";
		text += length;
	}
}

/* Append "Name: value" for a value that is UTF-8 text. */
static void
append_text_header(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, "%s: ", name);
	if (is_plain(value))
		appendStringInfoString(out, value);
	else
		append_encoded_words(out, value);
	appendStringInfoString(out, "\r\n");
}

/* Append the From field; the name becomes a quoted string or encoded words. */
static void
append_from(StringInfo out, const PadlockMailbox *from)
{
	appendStringInfoString(out, "From: ");
	if (from->name != NULL && from->name[0] != '\0' && !is_plain(from->name))
	{
		append_encoded_words(out, from->name);
		appendStringInfoString(out, "\r\n ");
	}
	else if (from->name != NULL && from->name[0] != '\0')
	{
		appendStringInfoChar(out, '"');
		for (const char *c = from->name; *c != '\0'; c++)
		{
			if (*c == '"' || *c == '\\')
				appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, *c);
		}
		appendStringInfoString(out, "\" ");
	}
	appendStringInfo(out, "<%s>\r\n", from->address);
}

/* Does the byte at c stand for itself in quoted-printable text? */
static bool
is_literal(const char *c)
{
	if (*c == ' ' || *c == '\t')
		return c[1] != '\0' && c[1] != '\n' && !(c[1] == '\r' && c[2] == '\n');
	return *c > ' ' && *c < 0x7f && *c != '=';
}

/* Append UTF-8 text as quoted-printable, ended by a line break. */
static void
append_quoted_printable(StringInfo out, const char *text)
{
	int			column = 0;

	for (const char *c = text; *c != '\0'; c++)
	{
		int			width = is_literal(c) ? 1 : 3;

		if (c[0] == '\r' && c[1] == '\n')
			continue;
		if (*c == '\n')
		{
			appendStringInfoString(out, "\r\n");
			column = 0;
			continue;
		}
		if (column + width > MAX_LINE)
		{
			appendStringInfoString(out, "=\r\n");
			column = 0;
		}
		if (width == 1)
			appendStringInfoCharMacro(out, *c);
		else
			appendStringInfo(out, "=%02X", (unsigned char) *c);
		column += width;
	}
	if (column > 0)
		appendStringInfoString(out, "\r\n");
}

/* Append a part's headers and content. */
static void
append_part(StringInfo out, const char *subtype, const char *text)
{
	appendStringInfo(out, "Content-Type: text/%s; charset=UTF-8\r\n"
					 "Content-Transfer-Encoding: quoted-printable\r\n\r\n", subtype);
	append_quoted_printable(out, text);
}

static char *
uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

char *
padlock_email_message_id(const PadlockMailbox *from, const pg_uuid_t *id)
{
	return psprintf("<%s%s>", uuid_text(id), strrchr(from->address, '@'));
}

/* Append all headers up to those of the content. */
static void
append_headers(StringInfo out, const PadlockEmail *email, const char *subject,
			   const PadlockMailbox *from, const pg_uuid_t *id, pg_time_t now)
{
	char		date[64];

	/* pg_strftime() writes English names whatever the locale */
	pg_strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", pg_gmtime(&now));
	appendStringInfo(out, "Date: %s\r\n", date);
	append_from(out, from);
	appendStringInfo(out, "To: <%s>\r\n", email->to);
	append_text_header(out, "Subject", subject);
	appendStringInfo(out, "Message-ID: %s\r\n", padlock_email_message_id(from, id));
	appendStringInfoString(out, "Auto-Submitted: auto-generated\r\n"	/* RFC 3834 */
						   "MIME-Version: 1.0\r\n");
}

/* Append the content: one part, or two of which the reader shows one. */
static void
append_content(StringInfo out, const char *text, const char *html, const pg_uuid_t *id)
{
	char	   *boundary = psprintf("=_%s", uuid_text(id));

	if (html == NULL)
	{
		append_part(out, "plain", text);
		return;
	}
	appendStringInfo(out, "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n--%s\r\n",
					 boundary, boundary);
	append_part(out, "plain", text);
	appendStringInfo(out, "\r\n--%s\r\n", boundary);
	append_part(out, "html", html);
	appendStringInfo(out, "\r\n--%s--\r\n", boundary);
}

/* What is wrong with the message, or NULL. */
static char *
find_problem(const PadlockEmail *email)
{
	const char *problem = padlock_email_address_problem(email->to);

	if (problem != NULL)
		return psprintf("the recipient %s", problem);
	if (email->subject[strspn(email->subject, " ")] == '\0')
		return pstrdup("the subject is empty");
	if (padlock_email_has_control(email->subject))
		return pstrdup("the subject has a line break or another control character");
	if (strlen(email->subject) > MAX_SUBJECT)
		return psprintf("the subject is longer than %d bytes", MAX_SUBJECT);
	if (strlen(email->text) + (email->html ? strlen(email->html) : 0) > MAX_MESSAGE)
		return psprintf("the message is larger than %d bytes", MAX_MESSAGE);
	return NULL;
}

StringInfo
padlock_email_message(const PadlockEmail *email, const PadlockMailbox *from, const pg_uuid_t *id,
					  pg_time_t now, char **problem)
{
	StringInfo	out;
	char	   *subject;
	char	   *text;
	char	   *html;

	*problem = find_problem(email);
	if (*problem != NULL)
		return NULL;
	subject = to_utf8(email->subject);
	text = to_utf8(email->text);
	html = email->html ? to_utf8(email->html) : NULL;
	if (subject == NULL || text == NULL || (email->html != NULL && html == NULL))
	{
		*problem = pstrdup("the message cannot be written in UTF-8");
		return NULL;
	}
	out = makeStringInfo();
	append_headers(out, email, subject, from, id, now);
	append_content(out, text, html, id);
	return out;
}
