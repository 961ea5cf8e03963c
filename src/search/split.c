/*-------------------------------------------------------------------------
 *
 * split.c
 *	  The words of a text, with where they stand in it.
 *
 * The server's own text search parser knows file names, hosts and URLs: it
 * makes one word of "fire/flood", which nobody who looks for flood would find.
 * Here a word is a run of letters and digits, whatever stands around it, so
 * that "all-risk" is two words and a quoted phrase finds it however it is
 * written.  A number keeps the point within it and loses its commas (1,000).
 * Of scripts that are written without spaces each character is a word.
 *
 * What is a letter does not depend on the database's locale: above ASCII
 * everything is, but for the ranges below.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "common/unicode_norm.h"
#include "utils/formatting.h"

#include "search/split.h"

typedef enum CharClass
{
	CHAR_OTHER,					/* ends a word */
	CHAR_LETTER,
	CHAR_DIGIT,
	CHAR_ALONE,					/* a word by itself */
	CHAR_IGNORED				/* invisible within a word */
} CharClass;

typedef struct CharRange
{
	pg_wchar	first;
	pg_wchar	last;
	CharClass	class;
} CharRange;

/*
 * Code points from U+0080 on that are not letters, in order: punctuation,
 * symbols and spaces (Unicode 15, Blocks.txt and general categories P, S, Z),
 * the soft hyphen and the joiners, and the scripts without spaces.
 */
static const CharRange ranges[] = {
	{0x0080, 0x00A9, CHAR_OTHER},
	{0x00AB, 0x00AC, CHAR_OTHER},
	{0x00AD, 0x00AD, CHAR_IGNORED},
	{0x00AE, 0x00B4, CHAR_OTHER},
	{0x00B6, 0x00B9, CHAR_OTHER},
	{0x00BB, 0x00BF, CHAR_OTHER},
	{0x00D7, 0x00D7, CHAR_OTHER},
	{0x00F7, 0x00F7, CHAR_OTHER},
	{0x02C2, 0x02DF, CHAR_OTHER},
	{0x037E, 0x037E, CHAR_OTHER},
	{0x0387, 0x0387, CHAR_OTHER},
	{0x055A, 0x055F, CHAR_OTHER},
	{0x0589, 0x058F, CHAR_OTHER},
	{0x05BE, 0x05BE, CHAR_OTHER},
	{0x05C0, 0x05C0, CHAR_OTHER},
	{0x05C3, 0x05C6, CHAR_OTHER},
	{0x05F3, 0x05F4, CHAR_OTHER},
	{0x0600, 0x060F, CHAR_OTHER},
	{0x061B, 0x061F, CHAR_OTHER},
	{0x0640, 0x0640, CHAR_IGNORED},
	{0x066A, 0x066D, CHAR_OTHER},
	{0x06D4, 0x06D4, CHAR_OTHER},
	{0x0964, 0x0965, CHAR_OTHER},
	{0x0E00, 0x0EFF, CHAR_ALONE},
	{0x2000, 0x200B, CHAR_OTHER},
	{0x200C, 0x200D, CHAR_IGNORED},
	{0x200E, 0x205F, CHAR_OTHER},
	{0x2060, 0x2060, CHAR_IGNORED},
	{0x2061, 0x20CF, CHAR_OTHER},
	{0x2100, 0x2BFF, CHAR_OTHER},
	{0x2E00, 0x2E7F, CHAR_OTHER},
	{0x2E80, 0x2FFF, CHAR_ALONE},
	{0x3000, 0x303F, CHAR_OTHER},
	{0x3040, 0x30FF, CHAR_ALONE},
	{0x3400, 0x9FFF, CHAR_ALONE},
	{0xD800, 0xF8FF, CHAR_OTHER},
	{0xF900, 0xFAFF, CHAR_ALONE},
	{0xFE00, 0xFE0F, CHAR_IGNORED},
	{0xFE10, 0xFE6F, CHAR_OTHER},
	{0xFEFF, 0xFEFF, CHAR_IGNORED},
	{0xFF00, 0xFF0F, CHAR_OTHER},
	{0xFF1A, 0xFF20, CHAR_OTHER},
	{0xFF3B, 0xFF40, CHAR_OTHER},
	{0xFF5B, 0xFF65, CHAR_OTHER},
	{0xFFE0, 0xFFFF, CHAR_OTHER},
	{0x1F000, 0x1FBFF, CHAR_OTHER},
	{0x20000, 0x3FFFF, CHAR_ALONE},
	{0xE0000, 0x10FFFF, CHAR_OTHER},
};

static CharClass
wide_class(pg_wchar c)
{
	int			low = 0;
	int			high = lengthof(ranges) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (c < ranges[middle].first)
			high = middle - 1;
		else if (c > ranges[middle].last)
			low = middle + 1;
		else
			return ranges[middle].class;
	}
	return CHAR_LETTER;
}

static inline CharClass
ascii_class(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return CHAR_LETTER;
	if (c >= '0' && c <= '9')
		return CHAR_DIGIT;
	return CHAR_OTHER;
}

/* The class of the character at an offset, and its length in bytes. */
static CharClass
char_class(const SearchSplit *split, int at, int *bytes)
{
	const unsigned char *c = (const unsigned char *) split->text + at;

	if (!IS_HIGHBIT_SET(*c))
	{
		*bytes = 1;
		return ascii_class(*c);
	}
	*bytes = Min(pg_mblen((const char *) c), split->length - at);
	if (GetDatabaseEncoding() != PG_UTF8)
		return CHAR_LETTER;
	return wide_class(utf8_to_unicode(c));
}

/* Is there a digit at this offset? */
static bool
digit_at(const SearchSplit *split, int at)
{
	return at < split->length && ascii_class((unsigned char) split->text[at]) == CHAR_DIGIT;
}

/* Decode UTF-8 into at most max code points, zero-terminated. */
static void
to_code_points(const char *text, int length, pg_wchar *points, int max)
{
	int			n = 0;

	for (int at = 0; at < length && n < max; at += pg_utf_mblen((const unsigned char *) text + at))
		points[n++] = utf8_to_unicode((const unsigned char *) text + at);
	points[n] = 0;
}

/* Encode code points, as many as fit into SEARCH_FORM_MAX bytes. */
static int
from_code_points(const pg_wchar *points, char *text)
{
	int			length = 0;

	for (; *points != 0; points++)
	{
		unsigned char buffer[4];
		int			bytes;

		unicode_to_utf8(*points, buffer);
		bytes = pg_utf_mblen(buffer);
		if (length + bytes > SEARCH_FORM_MAX)
			break;
		memcpy(text + length, buffer, bytes);
		length += bytes;
	}
	text[length] = '\0';
	return length;
}

static bool
is_ascii(const char *text, int length)
{
	for (int i = 0; i < length; i++)
	{
		if (IS_HIGHBIT_SET(text[i]))
			return false;
	}
	return true;
}

/* Leave out what is invisible within a word. */
static void
drop_ignored(pg_wchar *points)
{
	pg_wchar   *kept = points;

	for (; *points != 0; points++)
	{
		if (*points < 0x80 || wide_class(*points) != CHAR_IGNORED)
			*kept++ = *points;
	}
	*kept = 0;
}

/* The form of a word that is not all ASCII: compatible characters, lower case. */
static void
make_wide_form(SearchSplit *split, const char *word, int length)
{
	char		buffer[SEARCH_FORM_MAX + 1];
	char	   *lower;

	if (GetDatabaseEncoding() == PG_UTF8)
	{
		pg_wchar	points[SEARCH_FORM_MAX + 1];
		pg_wchar   *normal;

		to_code_points(word, length, points, SEARCH_FORM_MAX);
		drop_ignored(points);
		normal = unicode_normalize(UNICODE_NFKC, points);
		length = from_code_points(normal, buffer);
		pfree(normal);
		word = buffer;
	}
	lower = str_tolower(word, length, DEFAULT_COLLATION_OID);
	split->form_length = pg_mbcliplen(lower, strlen(lower), SEARCH_FORM_MAX);
	memcpy(split->form, lower, split->form_length);
	split->form[split->form_length] = '\0';
	pfree(lower);
}

/* Make the form of the word from start to end. */
static void
make_form(SearchSplit *split)
{
	const char *word = split->text + split->start;
	int			length = split->end - split->start;

	split->form_length = 0;
	for (int i = 0; i < length && split->form_length < SEARCH_FORM_MAX; i++)
	{
		if (IS_HIGHBIT_SET(word[i]))
		{
			make_wide_form(split, word, length);
			return;
		}
		if (word[i] != ',')
			split->form[split->form_length++] =
				(word[i] >= 'A' && word[i] <= 'Z') ? word[i] + ('a' - 'A') : word[i];
	}
	split->form[split->form_length] = '\0';
}

/* Go to the end of the word that starts here with a character of this class. */
static void
find_end(SearchSplit *split, CharClass class, int bytes)
{
	bool		number;			/* nothing but digits so far */

	split->end = split->start + bytes;
	split->has_digit = (class == CHAR_DIGIT);
	number = split->has_digit;
	if (class == CHAR_ALONE)
		return;
	while (split->end < split->length)
	{
		class = char_class(split, split->end, &bytes);
		if (number && (split->text[split->end] == '.' || split->text[split->end] == ',') &&
			digit_at(split, split->end + 1))
			class = CHAR_DIGIT;
		if (class == CHAR_OTHER || class == CHAR_ALONE)
			break;
		split->has_digit |= (class == CHAR_DIGIT);
		number &= (class == CHAR_DIGIT);
		split->end += bytes;
	}
}

void
search_split(SearchSplit *split, const char *text, int length)
{
	memset(split, 0, offsetof(SearchSplit, form));
	split->text = text;
	split->length = length;
}

bool
search_split_next(SearchSplit *split)
{
	while (split->at < split->length)
	{
		int			bytes;
		CharClass	class = char_class(split, split->at, &bytes);

		split->start = split->at;
		split->at += bytes;
		if (class == CHAR_OTHER || class == CHAR_IGNORED)
			continue;
		find_end(split, class, bytes);
		split->at = split->end;
		make_form(split);
		if (split->form_length > 0)
			return true;
	}
	return false;
}

bool
search_split_in_code(const SearchSplit *split)
{
	int			at = split->start;

	while (at > 0 && (unsigned char) split->text[at - 1] > ' ')
		at--;
	for (; at < split->length && (unsigned char) split->text[at] > ' '; at++)
	{
		if (digit_at(split, at))
			return true;
	}
	return false;
}

/* Letters with a stroke, and the dotless i, which no normalisation takes apart. */
static pg_wchar
without_stroke(pg_wchar letter)
{
	switch (letter)
	{
		case 0x0111:			/* d with stroke */
			return 'd';
		case 0x0127:			/* h with stroke */
			return 'h';
		case 0x0131:			/* dotless i */
			return 'i';
		case 0x0142:			/* l with stroke */
			return 'l';
		case 0x00F8:			/* o with stroke */
			return 'o';
		default:
			return (letter >= 'A' && letter <= 'Z') ? letter + ('a' - 'A') : letter;
	}
}

/* Code points, taken apart, without accents; palloc'd. */
static pg_wchar *
without_accents(const pg_wchar *points)
{
	pg_wchar   *parts = unicode_normalize(UNICODE_NFKD, points);
	int			kept = 0;

	for (int i = 0; parts[i] != 0; i++)
	{
		/* U+0300 to U+036F: combining diacritical marks */
		if (parts[i] < 0x0300 || parts[i] > 0x036F)
			parts[kept++] = without_stroke(parts[i]);
	}
	parts[kept] = 0;
	return parts;
}

int
search_fold_accents(char *form, int length)
{
	pg_wchar	points[SEARCH_FORM_MAX + 1];
	pg_wchar   *parts;

	if (GetDatabaseEncoding() != PG_UTF8 || is_ascii(form, length))
		return length;
	to_code_points(form, length, points, SEARCH_FORM_MAX);
	parts = without_accents(points);
	length = from_code_points(parts, form);
	pfree(parts);
	return length;
}

pg_wchar
search_fold_letter(pg_wchar letter)
{
	static uint16 folded[SEARCH_UNFOLDED];	/* 0: not looked up yet */

	if (letter < 0x80 || letter >= SEARCH_UNFOLDED)
		return letter;
	if (folded[letter] == 0)
	{
		pg_wchar	points[2] = {letter, 0};
		pg_wchar   *parts = without_accents(points);

		folded[letter] = parts[0] != 0 && parts[1] == 0 ? parts[0] : letter;
		pfree(parts);
	}
	return folded[letter];
}
