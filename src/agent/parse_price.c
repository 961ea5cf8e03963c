/*-------------------------------------------------------------------------
 *
 * parse_price.c
 *	  Amounts of money as people write them.
 *
 * A wrong premium is worse than none, so a text must be one amount, perhaps
 * with a currency and a period, and nothing else that has digits.  Separators
 * are read so: the last of two kinds is the decimal one; one that comes
 * twice, or a blank or apostrophe, parts thousands; a single one parts
 * decimals unless exactly three digits follow, which could be either.  Then
 * only the comma of a currency whose countries write "1,234" for thousands
 * decides, or a leading zero.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "agent/parse_product.h"

#define MAX_DIGITS	12

/* Signs of currencies; a longer one stands before the one that it contains. */
static const struct
{
	const char *sign;
	const char *code;
} currency_signs[] = {
	{"US$", "USD"}, {"CA$", "CAD"}, {"C$", "CAD"}, {"AU$", "AUD"},
	{"A$", "AUD"}, {"NZ$", "NZD"}, {"HK$", "HKD"}, {"S$", "SGD"},
	{"R$", "BRL"}, {"$", "USD"}, {"£", "GBP"}, {"€", "EUR"}, {"₹", "INR"},
	{"zł", "PLN"}, {"Kč", "CZK"}, {"₺", "TRY"}, {"₪", "ILS"}, {"₩", "KRW"},
	{"₴", "UAH"}, {"₦", "NGN"}, {"₱", "PHP"}, {"Fr.", "CHF"}
};

/* Where "1,234" is always a thousand and more. */
static const char comma_thousands[] =
	" GBP USD AUD CAD NZD HKD SGD INR JPY CNY KRW ILS NGN PHP THB MXN KES ZAR ";

/* What texts, UN/CEFACT codes and ISO 8601 durations call a period. */
static const struct
{
	const char *word;
	const char *billing;
	bool		whole;			/* no letter may follow */
} billing_words[] = {
	{"month", "monthly", false}, {"p.m", "monthly", true},
	{"pcm", "monthly", true}, {"p1m", "monthly", true},
	{"mon", "monthly", true}, {"quarter", "quarterly", false},
	{"three months", "quarterly", true}, {"3 months", "quarterly", true},
	{"p3m", "quarterly", true}, {"qan", "quarterly", true},
	{"12 months", "annually", true}, {"p12m", "annually", true},
	{"annual", "annually", false}, {"annum", "annually", true},
	{"year", "annually", false}, {"p.a", "annually", true},
	{"p1y", "annually", true}, {"ann", "annually", true}
};

/* Where a word of the table stands in a text by itself, NULL if nowhere. */
static const char *
find_word(const char *text, const char *word, bool whole)
{
	const char *at = text;
	size_t		length = strlen(word);

	for (; (at = strstr(at, word)) != NULL; at++)
	{
		if ((at == text || !g_ascii_isalnum(at[-1])) &&
			(!whole || !g_ascii_isalnum(at[length])))
			return at;
	}
	return NULL;
}

/* The first period counts: "£9 a month for 12 months" is paid monthly. */
const char *
price_billing(const char *text)
{
	char	   *lower = g_utf8_strdown(text, -1);
	const char *first = NULL;
	const char *billing = NULL;
	size_t		i;

	for (i = 0; i < G_N_ELEMENTS(billing_words); i++)
	{
		const char *at = find_word(lower, billing_words[i].word, billing_words[i].whole);

		if (at != NULL && (first == NULL || at < first))
		{
			first = at;
			billing = billing_words[i].billing;
		}
	}
	return billing;
}

/* Find a currency's sign, or three capitals by themselves, in a text. */
static void
find_currency(const char *text, char currency[4])
{
	const char *at;
	size_t		i;

	currency[0] = '\0';
	for (at = text; *at != '\0'; at++)
	{
		size_t		n = 0;

		while (g_ascii_isupper(at[n]))
			n++;
		if (n == 3 && !g_ascii_isalpha(at[3]) && at[3] != '$')
		{
			memcpy(currency, at, 3);
			currency[3] = '\0';
			return;
		}
		if (n > 1)
			at += n - 1;
	}
	for (i = 0; i < G_N_ELEMENTS(currency_signs); i++)
	{
		if (strstr(text, currency_signs[i].sign) != NULL)
		{
			memcpy(currency, currency_signs[i].code, 4);
			return;
		}
	}
}

/* Length of a blank or apostrophe that may part thousands, 0 if none. */
static size_t
group_mark_length(const char *at)
{
	static const char *const marks[] = {
		" ", "'", "\xc2\xa0", "\xe2\x80\xaf", "\xe2\x80\x89", "\xe2\x80\x99"
	};
	size_t		i;

	for (i = 0; i < G_N_ELEMENTS(marks); i++)
	{
		if (strncmp(at, marks[i], strlen(marks[i])) == 0)
			return strlen(marks[i]);
	}
	return 0;
}

/*
 * Copy the number at *text with its points and commas; blanks that part
 * thousands become 'g'.  *text moves behind it.
 */
static void
copy_number(const char **text, GString *number)
{
	const char *at = *text;

	for (;;)
	{
		size_t		mark;

		if (g_ascii_isdigit(*at))
			g_string_append_c(number, *at++);
		else if ((*at == '.' || *at == ',') && g_ascii_isdigit(at[1]))
			g_string_append_c(number, *at++);
		else if ((mark = group_mark_length(at)) > 0 && g_ascii_isdigit(at[mark]) &&
				 g_ascii_isdigit(at[mark + 1]) && g_ascii_isdigit(at[mark + 2]) &&
				 !g_ascii_isdigit(at[mark + 3]))
		{
			g_string_append_c(number, 'g');
			at += mark;
		}
		else
			break;
	}
	*text = at;
}

/* Which character of a number is its decimal separator; '\0' none, 'x' unclear. */
static char
decimal_separator(const char *number, const char *currency)
{
	const char *point = strrchr(number, '.');
	const char *comma = strrchr(number, ',');
	const char *last = point == NULL || (comma != NULL && comma > point) ? comma : point;
	char		code[6];

	if (last == NULL)
		return '\0';
	if (point != NULL && comma != NULL)
		return *last;
	if (strchr(number, *last) != last)
		return '\0';
	if (strchr(number, 'g') != NULL || strlen(last + 1) != 3 || last - number > 3)
		return *last;
	if (number[0] == '0')
		return *last;
	snprintf(code, sizeof(code), " %.3s ", currency);
	if (*last == ',' && currency[0] != '\0' && strstr(comma_thousands, code) != NULL)
		return '\0';
	return 'x';
}

/* Digits with one point, or NULL when the groups are not of three digits. */
static char *
plain_number(const char *number, char decimal)
{
	GString    *plain = g_string_new(NULL);
	bool		grouped = false;
	bool		fraction = false;
	int			run = 0;

	for (; *number != '\0'; number++)
	{
		if (g_ascii_isdigit(*number))
		{
			g_string_append_c(plain, *number);
			run++;
			continue;
		}
		/* nothing follows the decimals, and a group is three digits */
		if (fraction || (grouped ? run != 3 : run < 1 || (*number != decimal && run > 3)))
			return NULL;
		fraction = *number == decimal;
		grouped = grouped || !fraction;
		if (fraction)
			g_string_append_c(plain, '.');
		run = 0;
	}
	if (!fraction && grouped && run != 3)
		return NULL;
	return g_string_free(plain, FALSE);
}

/* A plain number without idle zeros, or NULL if it is zero or too long. */
static char *
trim_number(char *plain)
{
	while (plain[0] == '0' && g_ascii_isdigit(plain[1]))
		plain++;
	if (strspn(plain, "0.") == strlen(plain) || strlen(plain) > MAX_DIGITS + 1)
		return NULL;
	return plain;
}

/* Is there another number in the text, but for those of a period ("12 months")? */
static bool
has_digits(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (!g_ascii_isdigit(*text))
			continue;
		if (strncmp(text, "12 months", 9) == 0)
			text += 8;
		else if (strncmp(text, "3 months", 8) == 0)
			text += 7;
		else
			return true;
	}
	return false;
}

bool
price_parse(const char *text, const char *currency_hint, char **amount,
			char currency[4], const char **billing)
{
	const char *at = text + strcspn(text, "0123456789");
	const char *before = at;
	GString    *number = g_string_new(NULL);
	char		decimal;
	char	   *plain;

	*billing = price_billing(text);
	find_currency(text, currency);
	if (currency[0] == '\0' && currency_hint != NULL)
		g_strlcpy(currency, currency_hint, 4);

	/* a minus, a percentage or a bare fraction (".50") is no premium */
	while (before > text && before[-1] == ' ')
		before--;
	if (*at == '\0' || (before > text && (before[-1] == '-' || at[-1] == '.')) ||
		g_str_has_suffix(g_strndup(text, (gsize) (before - text)), "\xe2\x88\x92"))
		return false;
	copy_number(&at, number);
	if (has_digits(at) || strchr(at, '%') != NULL)
		return false;
	decimal = decimal_separator(number->str, currency);
	if (decimal == 'x')
		return false;
	plain = plain_number(number->str, decimal);
	if (plain == NULL)
		return false;
	*amount = trim_number(plain);
	return *amount != NULL;
}
