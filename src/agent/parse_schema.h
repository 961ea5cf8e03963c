/*-------------------------------------------------------------------------
 *
 * parse_schema.h
 *	  schema.org items of a page, whatever markup they come from.
 *
 * JSON-LD and microdata say the same things in two notations.  Each is read
 * into this one form, and one set of rules makes products of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_PARSE_SCHEMA_H
#define PADLOCK_PARSE_SCHEMA_H

#include "agent/parse_product.h"

typedef struct SchemaItem SchemaItem;
typedef struct SchemaPage SchemaPage;

/* The items that one notation gives; base resolves their URLs. */
extern SchemaPage *schema_page_new(ProductSource source, const char *base);

/*
 * Add an item, as the value of a property of `parent` or, with NULL for both,
 * by itself.  NULL when the page has more items than anybody needs.
 */
extern SchemaItem *schema_add_item(SchemaPage *page, SchemaItem *parent, const char *property);

/* Make an item that exists the value of another property, too. */
extern void schema_link_item(SchemaItem *parent, const char *property, SchemaItem *item);

/* Types and property names may be URLs or prefixed; the last part counts. */
extern void schema_add_type(SchemaItem *item, const char *type);
extern void schema_set_id(SchemaItem *item, const char *id);
extern void schema_add_text(SchemaItem *item, const char *property, const char *text);

/* A value that was a number in the notation, where no separator is unclear. */
extern void schema_add_number(SchemaItem *item, const char *property, const char *number);

/* Make products of the items and merge them into those of the page. */
extern void schema_collect(SchemaPage *page, GPtrArray *products);

#endif							/* PADLOCK_PARSE_SCHEMA_H */
