/*-------------------------------------------------------------------------
 *
 * parse_charset.c
 *	  An HTML document's bytes as UTF-8.
 *
 * The C library keeps a converter loaded as long as somebody has it open.  So
 * the zygote opens all that the web uses and keeps them: the children, which
 * cannot open files, find them loaded.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <iconv.h>
#include <stdio.h>

#include "agent/parse.h"

#define PRESCAN_BYTES	1024	/* WHATWG HTML 13.2.3.2 */
#define MAX_LABEL		40

/* A converter; labels are those of the WHATWG Encoding standard in use. */
typedef struct Charset
{
	const char *iconv_name;
	const char *labels;			/* lower case, each between spaces */
	iconv_t		converter;
} Charset;

static Charset charsets[] = {
	{"WINDOWS-1252", " windows-1252 iso-8859-1 iso8859-1 latin1 l1 us-ascii ascii cp1252 x-cp1252 ", NULL},
	{"WINDOWS-1250", " windows-1250 cp1250 x-cp1250 ", NULL},
	{"WINDOWS-1251", " windows-1251 cp1251 x-cp1251 ", NULL},
	{"WINDOWS-1253", " windows-1253 cp1253 ", NULL},
	{"WINDOWS-1254", " windows-1254 cp1254 iso-8859-9 iso8859-9 latin5 l5 ", NULL},
	{"WINDOWS-1255", " windows-1255 cp1255 ", NULL},
	{"WINDOWS-1256", " windows-1256 cp1256 ", NULL},
	{"WINDOWS-1257", " windows-1257 cp1257 ", NULL},
	{"WINDOWS-1258", " windows-1258 cp1258 ", NULL},
	{"CP874", " windows-874 iso-8859-11 tis-620 ", NULL},
	{"ISO-8859-2", " iso-8859-2 iso8859-2 latin2 l2 ", NULL},
	{"ISO-8859-3", " iso-8859-3 latin3 ", NULL},
	{"ISO-8859-4", " iso-8859-4 latin4 ", NULL},
	{"ISO-8859-5", " iso-8859-5 cyrillic ", NULL},
	{"ISO-8859-6", " iso-8859-6 arabic ", NULL},
	{"ISO-8859-7", " iso-8859-7 greek ", NULL},
	{"ISO-8859-8", " iso-8859-8 iso-8859-8-i hebrew ", NULL},
	{"ISO-8859-10", " iso-8859-10 latin6 ", NULL},
	{"ISO-8859-13", " iso-8859-13 ", NULL},
	{"ISO-8859-14", " iso-8859-14 ", NULL},
	{"ISO-8859-15", " iso-8859-15 iso8859-15 latin9 ", NULL},
	{"ISO-8859-16", " iso-8859-16 ", NULL},
	{"IBM866", " ibm866 cp866 866 ", NULL},
	{"KOI8-R", " koi8-r koi8 koi ", NULL},
	{"KOI8-U", " koi8-u koi8-ru ", NULL},
	{"MACINTOSH", " macintosh mac x-mac-roman ", NULL},
	{"GB18030", " gb18030 gbk gb2312 x-gbk chinese gb_2312-80 ", NULL},
	{"BIG5-HKSCS", " big5 big5-hkscs cn-big5 x-x-big5 ", NULL},
	{"EUC-JP", " euc-jp x-euc-jp ", NULL},
	{"ISO-2022-JP", " iso-2022-jp ", NULL},
	{"CP932", " shift_jis shift-jis sjis x-sjis windows-31j ms_kanji ", NULL},
	{"UHC", " euc-kr ks_c_5601-1987 korean ksc5601 windows-949 ", NULL},
	{"UTF-16LE", " utf-16le utf-16 ", NULL},
	{"UTF-16BE", " utf-16be ", NULL}
};

void
parse_charset_load(void)
{
	size_t		i;

	/* one that the system lacks is left out and its pages read as UTF-8 */
	for (i = 0; i < G_N_ELEMENTS(charsets); i++)
		charsets[i].converter = iconv_open("UTF-8", charsets[i].iconv_name);
}

/* The converter that a label names; NULL for UTF-8 and what nobody knows. */
static Charset *
find_charset(const char *label, size_t length)
{
	char		wanted[MAX_LABEL + 3];
	char	   *lower;
	size_t		i;

	if (length == 0 || length > MAX_LABEL)
		return NULL;
	snprintf(wanted, sizeof(wanted), " %.*s ", (int) length, label);
	lower = g_ascii_strdown(wanted, -1);
	for (i = 0; i < G_N_ELEMENTS(charsets); i++)
	{
		if (strstr(charsets[i].labels, lower) != NULL && charsets[i].converter != (iconv_t) -1)
			return &charsets[i];
	}
	return NULL;
}

/*
 * Find "charset = label" in a text; false if there is none.  The label may be
 * quoted, and *label points into the text.
 */
static bool
find_label(const char *text, size_t length, const char **label, size_t *label_length)
{
	size_t		i;

	for (i = 0; i + 7 < length; i++)
	{
		if (g_ascii_strncasecmp(text + i, "charset", 7) != 0)
			continue;
		i += 7;
		while (i < length && g_ascii_isspace(text[i]))
			i++;
		if (i >= length || text[i] != '=')
			continue;
		i++;
		while (i < length && (g_ascii_isspace(text[i]) || text[i] == '"' || text[i] == '\''))
			i++;
		*label = text + i;
		while (i < length && (g_ascii_isalnum(text[i]) || memchr("-_.:", text[i], 4) != NULL))
			i++;
		*label_length = (size_t) (text + i - *label);
		return *label_length > 0;
	}
	return false;
}

/* Find a label in the meta elements of a document's first bytes. */
static bool
prescan(const char *data, size_t size, const char **label, size_t *length)
{
	const char *end = data + MIN(size, PRESCAN_BYTES);
	const char *at = data;

	while ((at = memchr(at, '<', (size_t) (end - at))) != NULL)
	{
		const char *close = memchr(at, '>', (size_t) (end - at));

		if (end - at >= 4 && memcmp(at, "<!--", 4) == 0)
			close = g_strstr_len(at, end - at, "-->");
		if (close == NULL)
			return false;
		if (close - at > 5 && g_ascii_strncasecmp(at, "<meta", 5) == 0 &&
			find_label(at, (size_t) (close - at), label, length))
			return true;
		at = close;
	}
	return false;
}

static bool
is_utf16(const Charset *charset)
{
	return charset != NULL && strncmp(charset->iconv_name, "UTF-16", 6) == 0;
}

/* The converter for a document, NULL for UTF-8; skips a byte order mark. */
static Charset *
choose_charset(const char **data, size_t *size, const char *content_type)
{
	const char *text = *data;
	const char *label;
	size_t		length;
	size_t		mark = 0;
	Charset    *charset = NULL;

	if (*size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		mark = 3;
	else if (*size >= 2 && memcmp(text, "\xff\xfe", 2) == 0)
	{
		charset = find_charset("utf-16le", 8);
		mark = 2;
	}
	else if (*size >= 2 && memcmp(text, "\xfe\xff", 2) == 0)
	{
		charset = find_charset("utf-16be", 8);
		mark = 2;
	}
	*data += mark;
	*size -= mark;
	if (mark > 0)
		return charset;
	if (find_label(content_type, strlen(content_type), &label, &length))
		return find_charset(label, length);
	if (prescan(text, *size, &label, &length))
	{
		charset = find_charset(label, length);
		/* a meta element that could be read is not UTF-16 */
		return is_utf16(charset) ? NULL : charset;
	}
	return g_utf8_validate(text, (gssize) *size, NULL) ? NULL : find_charset("windows-1252", 12);
}

/* Convert, putting U+FFFD in the place of each byte that does not fit. */
static char *
convert(Charset *charset, const char *data, size_t size, size_t *length)
{
	/* no encoding of the table needs more than four bytes for one */
	size_t		left = size * 4 + 16;
	char	   *out = g_malloc(left + 1);
	char	   *to = out;
	char	   *from = (char *) data;

	while (size > 0 && left >= 4)
	{
		if (iconv(charset->converter, &from, &size, &to, &left) != (size_t) -1 || errno == E2BIG)
			break;
		memcpy(to, "\xef\xbf\xbd", 3);
		to += 3;
		left -= 3;
		from++;
		size--;
		iconv(charset->converter, NULL, NULL, NULL, NULL);
	}
	*to = '\0';
	*length = (size_t) (to - out);
	return out;
}

char *
parse_to_utf8(const char *data, size_t size, const char *content_type, size_t *length)
{
	Charset    *charset = choose_charset(&data, &size, content_type);
	char	   *text = (char *) data;
	char	   *valid;

	*length = size;
	if (charset != NULL)
		text = convert(charset, data, size, length);
	valid = g_utf8_make_valid(text, (gssize) *length);
	*length = strlen(valid);
	return valid;
}
