/*-------------------------------------------------------------------------
 *
 * parse_product.c
 *	  Products found in a page: normalised fields, merged by trust.
 *
 * Sources are read in order of trust (JSON-LD, microdata, OpenGraph, HTML),
 * so a field that is set is never overwritten: a later source fills gaps, and
 * each field keeps the name of its own source.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "agent/channel.h"
#include "agent/parse_product.h"

#define MAX_KEYWORDS		50
#define MAX_KEYWORD_CHARS	100
#define MAX_AGE				150

static const char *const source_names[] = {"json-ld", "microdata", "opengraph", "html"};

/* What kind of value a field takes. */
typedef enum FieldKind
{
	KIND_TEXT,
	KIND_URL,
	KIND_PREMIUM,
	KIND_CURRENCY,
	KIND_AGE,
	KIND_BILLING,
	KIND_AVAILABILITY
} FieldKind;

/* Names are those of wire.h, lengths (in characters) those of the catalogue. */
static const struct
{
	const char *name;
	FieldKind	kind;
	size_t		max_chars;
} fields[PRODUCT_FIELDS] = {
	[FIELD_NAME] = {"product_name", KIND_TEXT, 200},
	[FIELD_CODE] = {"product_code", KIND_TEXT, 50},
	[FIELD_DESCRIPTION] = {"description", KIND_TEXT, 5000},
	[FIELD_PREMIUM] = {"premium_amount", KIND_PREMIUM, 100},
	[FIELD_CURRENCY] = {"currency", KIND_CURRENCY, 100},
	[FIELD_CATEGORY] = {"category", KIND_TEXT, 100},
	[FIELD_IMAGE_URL] = {"product_image_url", KIND_URL, 0},
	[FIELD_URL] = {"product_url", KIND_URL, 0},
	[FIELD_BROCHURE_URL] = {"brochure_url", KIND_URL, 0},
	[FIELD_TERMS_URL] = {"terms_url", KIND_URL, 0},
	[FIELD_COMPANY] = {"company_name", KIND_TEXT, 200},
	[FIELD_MINIMUM_AGE] = {"minimum_age", KIND_AGE, 20},
	[FIELD_MAXIMUM_AGE] = {"maximum_age", KIND_AGE, 20},
	[FIELD_BILLING] = {"billing_frequency", KIND_BILLING, 100},
	[FIELD_AVAILABILITY] = {"availability", KIND_AVAILABILITY, 100}
};

/* What pages call the fields, in lower case. */
static const struct
{
	const char *label;
	ProductField field;
} labels[] = {
	{"premium", FIELD_PREMIUM}, {"annual premium", FIELD_PREMIUM},
	{"yearly premium", FIELD_PREMIUM}, {"monthly premium", FIELD_PREMIUM},
	{"quarterly premium", FIELD_PREMIUM}, {"premium amount", FIELD_PREMIUM},
	{"price", FIELD_PREMIUM}, {"annual price", FIELD_PREMIUM},
	{"monthly price", FIELD_PREMIUM}, {"price per year", FIELD_PREMIUM},
	{"price per month", FIELD_PREMIUM}, {"premium per year", FIELD_PREMIUM},
	{"premium per month", FIELD_PREMIUM}, {"annual cost", FIELD_PREMIUM},
	{"monthly cost", FIELD_PREMIUM}, {"cost", FIELD_PREMIUM},
	{"product code", FIELD_CODE}, {"code", FIELD_CODE}, {"sku", FIELD_CODE},
	{"product id", FIELD_CODE}, {"description", FIELD_DESCRIPTION},
	{"currency", FIELD_CURRENCY}, {"category", FIELD_CATEGORY},
	{"policy type", FIELD_CATEGORY}, {"product type", FIELD_CATEGORY},
	{"insurance type", FIELD_CATEGORY}, {"insurer", FIELD_COMPANY},
	{"provider", FIELD_COMPANY}, {"company", FIELD_COMPANY},
	{"underwritten by", FIELD_COMPANY}, {"minimum age", FIELD_MINIMUM_AGE},
	{"min age", FIELD_MINIMUM_AGE}, {"minimumage", FIELD_MINIMUM_AGE},
	{"minimum entry age", FIELD_MINIMUM_AGE}, {"maximum age", FIELD_MAXIMUM_AGE},
	{"max age", FIELD_MAXIMUM_AGE}, {"maximumage", FIELD_MAXIMUM_AGE},
	{"maximum entry age", FIELD_MAXIMUM_AGE}, {"billing", FIELD_BILLING},
	{"billing frequency", FIELD_BILLING}, {"payment frequency", FIELD_BILLING},
	{"billingfrequency", FIELD_BILLING}, {"availability", FIELD_AVAILABILITY}
};

Product *
product_new(void)
{
	Product    *product = g_new0(Product, 1);

	product->keywords = g_ptr_array_new();
	return product;
}

/* Set a field to a value that is already in its final form. */
static void
set_value(Product *product, ProductSource source, ProductField field, const char *value)
{
	if (product->values[field] != NULL || value == NULL || value[0] == '\0')
		return;
	product->values[field] = g_strdup(value);
	product->sources[field] = source;
}

static void
set_url(Product *product, ProductSource source, ProductField field, const char *text,
		const char *base)
{
	char		url[PARSE_MAX_URL + 1];

	if (text[0] != '\0' && parse_url_resolve(base, text, url))
		set_value(product, source, field, url);
}

/* A premium, and the currency and period that stand beside it. */
static void
set_premium(Product *product, ProductSource source, const char *text)
{
	char	   *amount;
	char		currency[4];
	const char *billing;

	if (product->values[FIELD_PREMIUM] != NULL ||
		!price_parse(text, product->values[FIELD_CURRENCY], &amount, currency, &billing))
		return;
	set_value(product, source, FIELD_PREMIUM, amount);
	set_value(product, source, FIELD_CURRENCY, currency);
	set_value(product, source, FIELD_BILLING, billing);
}

void
product_set_number(Product *product, ProductSource source, const char *number)
{
	size_t		whole = strspn(number, "0123456789");
	size_t		rest = number[whole] == '.' ? 1 + strspn(number + whole + 1, "0123456789") : 0;

	if (whole == 0 || whole > 12 || number[whole + rest] != '\0' ||
		strspn(number, "0.") == strlen(number))
		return;
	set_value(product, source, FIELD_PREMIUM, number);
}

/* Three capitals, or a sign by itself. */
static void
set_currency(Product *product, ProductSource source, const char *text)
{
	char	   *amount;
	char		currency[4];
	const char *billing;
	char	   *money = g_strdup_printf("%s 1", text);

	if (strlen(text) == 3 && g_ascii_isalpha(text[0]) && g_ascii_isalpha(text[1]) &&
		g_ascii_isalpha(text[2]))
		set_value(product, source, FIELD_CURRENCY, g_ascii_strup(text, -1));
	else if (price_parse(money, NULL, &amount, currency, &billing))
		set_value(product, source, FIELD_CURRENCY, currency);
}

/* A number of years: digits, perhaps with "years" behind. */
static void
set_age(Product *product, ProductSource source, ProductField field, const char *text)
{
	size_t		n = strspn(text, "0123456789");
	char	   *digits = g_strndup(text, n);

	if (n == 0 || n > 3 || strpbrk(text + n, "0123456789-") != NULL || atoi(digits) > MAX_AGE)
		return;
	set_value(product, source, field, digits);
}

/* "https://schema.org/InStock" and the like end in the word that counts. */
static void
set_availability(Product *product, ProductSource source, const char *text)
{
	const char *slash = strrchr(text, '/');

	set_value(product, source, FIELD_AVAILABILITY, slash != NULL ? slash + 1 : text);
}

void
product_set(Product *product, ProductSource source, ProductField field, const char *text,
			const char *base)
{
	char	   *folded;

	if (text == NULL || product->values[field] != NULL)
		return;
	if (fields[field].kind == KIND_URL)
	{
		set_url(product, source, field, text, base);
		return;
	}
	/* a code that is too long is no code; a text that is too long is cut */
	if (field == FIELD_CODE && g_utf8_strlen(text, -1) > 4 * (glong) fields[field].max_chars)
		return;
	folded = parse_fold_blanks(text, fields[field].max_chars);
	switch (fields[field].kind)
	{
		case KIND_PREMIUM:
			set_premium(product, source, folded);
			break;
		case KIND_CURRENCY:
			set_currency(product, source, folded);
			break;
		case KIND_AGE:
			set_age(product, source, field, folded);
			break;
		case KIND_BILLING:
			set_value(product, source, field, price_billing(folded));
			break;
		case KIND_AVAILABILITY:
			set_availability(product, source, folded);
			break;
		default:
			set_value(product, source, field, folded);
			break;
	}
}

static bool
has_keyword(const Product *product, const char *text)
{
	guint		i;

	for (i = 0; i < product->keywords->len; i++)
	{
		const ProductKeyword *keyword = g_ptr_array_index(product->keywords, i);

		if (strcmp(keyword->text, text) == 0)
			return true;
	}
	return false;
}

static void
add_keyword(Product *product, ProductSource source, const char *text)
{
	ProductKeyword *keyword;

	if (text[0] == '\0' || product->keywords->len >= MAX_KEYWORDS || has_keyword(product, text))
		return;
	keyword = g_new(ProductKeyword, 1);
	keyword->text = g_strdup(text);
	keyword->source = source;
	g_ptr_array_add(product->keywords, keyword);
}

void
product_add_keywords(Product *product, ProductSource source, const char *text)
{
	char	  **words = g_strsplit(text, ",", MAX_KEYWORDS + 1);
	int			i;

	for (i = 0; i < MAX_KEYWORDS && words[i] != NULL; i++)
		add_keyword(product, source, parse_fold_blanks(words[i], MAX_KEYWORD_CHARS));
}

bool
product_set_labelled(Product *product, ProductSource source, const char *label,
					 const char *text, const char *base)
{
	char	   *folded = g_utf8_strdown(parse_fold_blanks(label, 60), -1);
	size_t		length = strlen(folded);
	size_t		i;

	while (length > 0 && (folded[length - 1] == ':' || folded[length - 1] == ' '))
		folded[--length] = '\0';
	if (strcmp(folded, "keywords") == 0)
	{
		product_add_keywords(product, source, text);
		return true;
	}
	for (i = 0; i < G_N_ELEMENTS(labels); i++)
	{
		if (strcmp(labels[i].label, folded) != 0)
			continue;
		product_set(product, source, labels[i].field, text, base);
		/* "Monthly premium" says how often, too */
		if (labels[i].field == FIELD_PREMIUM && product->values[FIELD_PREMIUM] != NULL)
			set_value(product, source, FIELD_BILLING, price_billing(folded));
		return true;
	}
	return false;
}

/* Do two sources give a field, and is it the same? */
static bool
same_value(const Product *a, const Product *b, ProductField field, bool *differ)
{
	if (a->values[field] == NULL || b->values[field] == NULL)
		return false;
	if (g_ascii_strcasecmp(a->values[field], b->values[field]) == 0)
		return true;
	*differ = true;
	return false;
}

/* Are both named, and alike but for letter case? */
static bool
names_agree(const Product *a, const Product *b)
{
	char	   *x = a->values[FIELD_NAME] != NULL ? g_utf8_casefold(a->values[FIELD_NAME], -1) : NULL;
	char	   *y = b->values[FIELD_NAME] != NULL ? g_utf8_casefold(b->values[FIELD_NAME], -1) : NULL;

	if (x == NULL || y == NULL)
		return false;
	return strcmp(x, y) == 0;
}

/*
 * Do two records describe one product?  A code decides.  Without one on both
 * sides a name or an address does, if nothing else contradicts.
 */
static bool
same_product(const Product *a, const Product *b)
{
	bool		codes_differ = false;
	bool		ignored = false;

	if (same_value(a, b, FIELD_CODE, &codes_differ))
		return true;
	if (codes_differ)
		return false;
	return names_agree(a, b) ||
		(a->values[FIELD_NAME] == NULL && same_value(a, b, FIELD_URL, &ignored));
}

/*
 * Fill the gaps of a product.  Premium, currency and frequency belong to one
 * another: a frequency found elsewhere may be that of another premium.
 */
static void
fill_gaps(Product *product, const Product *from)
{
	bool		priced = product->values[FIELD_PREMIUM] != NULL;
	bool		same_price = priced && from->values[FIELD_PREMIUM] != NULL &&
		atof(product->values[FIELD_PREMIUM]) == atof(from->values[FIELD_PREMIUM]);
	int			field;
	guint		i;

	for (field = 0; field < PRODUCT_FIELDS; field++)
	{
		bool		of_price = field == FIELD_CURRENCY || field == FIELD_BILLING;

		if (of_price && priced && !same_price && from->values[FIELD_PREMIUM] != NULL)
			continue;
		set_value(product, from->sources[field], field, from->values[field]);
	}
	for (i = 0; i < from->keywords->len; i++)
	{
		const ProductKeyword *keyword = g_ptr_array_index(from->keywords, i);

		add_keyword(product, keyword->source, keyword->text);
	}
}

void
product_merge(GPtrArray *products, Product *found, bool page_level)
{
	guint		i;

	for (i = 0; i < products->len; i++)
	{
		if (same_product(g_ptr_array_index(products, i), found))
		{
			fill_gaps(g_ptr_array_index(products, i), found);
			return;
		}
	}
	if (page_level && products->len == 1)
		fill_gaps(g_ptr_array_index(products, 0), found);
	else if (found->values[FIELD_NAME] != NULL &&
			 (!page_level || (products->len == 0 && found->values[FIELD_PREMIUM] != NULL)))
		g_ptr_array_add(products, found);
}

static void
put_field(WireBuffer *buf, const char *name, ProductSource source, const char *value)
{
	wire_put_text(buf, TAG_NAME, name);
	wire_put_text(buf, TAG_SOURCE, source_names[source]);
	channel_put_text(buf, TAG_VALUE, value, strlen(value), PADLOCK_WIRE_MAX_PAYLOAD);
}

static void
send_product(const ParseRequest *request, const Product *product)
{
	WireBuffer	buf;
	int			field;
	guint		i;

	wire_begin(&buf, WIRE_PRODUCT, request->job_id);
	for (field = 0; field < PRODUCT_FIELDS; field++)
	{
		if (product->values[field] != NULL)
			put_field(&buf, fields[field].name, product->sources[field], product->values[field]);
	}
	for (i = 0; i < product->keywords->len; i++)
	{
		const ProductKeyword *keyword = g_ptr_array_index(product->keywords, i);

		put_field(&buf, "keyword", keyword->source, keyword->text);
	}
	parse_send(&buf, -1);
}

bool
product_send_all(const ParseRequest *request, const GPtrArray *products)
{
	guint		i;

	for (i = 0; i < products->len; i++)
	{
		if (i >= request->max_products)
			return true;
		send_product(request, g_ptr_array_index(products, i));
	}
	return false;
}
