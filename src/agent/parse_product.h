/*-------------------------------------------------------------------------
 *
 * parse_product.h
 *	  Products found in a page: normalised fields, merged by trust.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_PARSE_PRODUCT_H
#define PADLOCK_PARSE_PRODUCT_H

#include "agent/parse.h"

/* Where a field comes from, the most trusted first. */
typedef enum ProductSource
{
	SOURCE_JSONLD,
	SOURCE_MICRODATA,
	SOURCE_OPENGRAPH,
	SOURCE_HTML
} ProductSource;

/* The fields of wire.h; keywords repeat and are kept apart. */
typedef enum ProductField
{
	FIELD_NAME,
	FIELD_CODE,
	FIELD_DESCRIPTION,
	FIELD_PREMIUM,
	FIELD_CURRENCY,
	FIELD_CATEGORY,
	FIELD_IMAGE_URL,
	FIELD_URL,
	FIELD_BROCHURE_URL,
	FIELD_TERMS_URL,
	FIELD_COMPANY,
	FIELD_MINIMUM_AGE,
	FIELD_MAXIMUM_AGE,
	FIELD_BILLING,
	FIELD_AVAILABILITY,
	PRODUCT_FIELDS
} ProductField;

typedef struct ProductKeyword
{
	char	   *text;
	ProductSource source;
} ProductKeyword;

/* What one source says of one product; NULL where it says nothing. */
typedef struct Product
{
	char	   *values[PRODUCT_FIELDS];
	ProductSource sources[PRODUCT_FIELDS];
	GPtrArray  *keywords;		/* of ProductKeyword */
} Product;

extern Product *product_new(void);

/*
 * Set a field that is still empty from a text as the page has it; a value
 * that makes no sense for its field is dropped.  URLs are resolved against
 * base.  A premium may bring currency and billing frequency with it.
 */
extern void product_set(Product *product, ProductSource source, ProductField field,
						const char *text, const char *base);

/* A premium given as a number, where a point can only be a decimal point. */
extern void product_set_number(Product *product, ProductSource source, const char *number);

/* Add keywords separated by commas. */
extern void product_add_keywords(Product *product, ProductSource source, const char *text);

/* Set a field by what a page calls it ("Annual premium"); false if unknown. */
extern bool product_set_labelled(Product *product, ProductSource source, const char *label,
								 const char *text, const char *base);

/*
 * Add what a source found to the products of a page, found by more trusted or
 * equal sources before.  One that describes a known product fills its gaps.
 * With `page_level` the source describes the page's one product: it fills the
 * gaps of a single one, or stands by itself when there is none and it has a
 * name and a premium.
 */
extern void product_merge(GPtrArray *products, Product *found, bool page_level);

/* Send the products that have a name; true if max_products cut them short. */
extern bool product_send_all(const ParseRequest *request, const GPtrArray *products);

/*
 * Read an amount of money as people write it ("£1,234.50 a month", "1.234,50
 * €").  *amount gets digits with at most one point; currency[4] an ISO 4217
 * code and *billing a frequency of wire.h where the text or the hint (a code
 * or NULL) tells, else "" and NULL.  False if there is no amount over zero or
 * more than one, or when it can be read in two ways.  See parse_price.c.
 */
extern bool price_parse(const char *text, const char *currency_hint, char **amount,
						char currency[4], const char **billing);

/* The billing frequency that a text names, or NULL. */
extern const char *price_billing(const char *text);

#endif							/* PADLOCK_PARSE_PRODUCT_H */
