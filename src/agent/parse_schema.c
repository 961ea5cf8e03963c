/*-------------------------------------------------------------------------
 *
 * parse_schema.c
 *	  schema.org items of a page, whatever markup they come from.
 *
 * Items can refer to one another in circles (JSON-LD @id, microdata itemref),
 * so nothing here follows properties further than the few fixed steps that
 * lead to a price.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/parse_schema.h"

#define MAX_ITEMS			5000	/* a page */
#define MAX_PROPERTIES		500		/* an item */
#define MAX_OFFER_DEPTH		4		/* offers in offers, prices in prices */

typedef struct SchemaProperty
{
	const char *name;
	const char *text;			/* NULL when the value is an item */
	bool		number;
	SchemaItem *item;
} SchemaProperty;

struct SchemaItem
{
	GPtrArray  *types;
	const char *id;
	GArray	   *properties;		/* of SchemaProperty */
	SchemaItem *parent;			/* the first that has it as a value, or NULL */
	const char *parent_property;
};

struct SchemaPage
{
	ProductSource source;
	const char *base;
	GPtrArray  *items;
	GHashTable *ids;			/* of items that are more than a reference */
};

/* Types whose items are products whatever they lack but a name. */
static const char *const product_types[] = {
	"Product", "IndividualProduct", "ProductModel", "ProductGroup",
	"SomeProducts", "FinancialProduct", "InsurancePlan",
	"HealthInsurancePlan", "InsuranceProduct", NULL
};

/* Types whose items are products only when they have a price. */
static const char *const priced_types[] = {"Service", "Offer", "AggregateOffer", NULL};

/* Properties that name other products than the one that has them. */
static const char *const related_properties[] = {
	"isRelatedTo", "isSimilarTo", "isAccessoryOrSparePartFor",
	"isConsumableFor", "isVariantOf", "itemReviewed", "addOn", NULL
};

SchemaPage *
schema_page_new(ProductSource source, const char *base)
{
	SchemaPage *page = g_new0(SchemaPage, 1);

	page->source = source;
	page->base = base;
	page->items = g_ptr_array_new();
	page->ids = g_hash_table_new(g_str_hash, g_str_equal);
	return page;
}

/* "http://schema.org/name", "schema:name" and "name" are all "name". */
static const char *
local_name(const char *name)
{
	const char *at = name + strlen(name);

	while (at > name && strchr("/#:", at[-1]) == NULL)
		at--;
	return at;
}

static bool
in_list(const char *text, const char *const *list)
{
	for (; *list != NULL; list++)
	{
		if (strcmp(text, *list) == 0)
			return true;
	}
	return false;
}

static void
add_property(SchemaItem *item, const char *name, const char *text, bool number,
			 SchemaItem *child)
{
	SchemaProperty property = {g_strdup(local_name(name)), g_strdup(text), number, child};

	if (item->properties->len < MAX_PROPERTIES)
		g_array_append_val(item->properties, property);
}

SchemaItem *
schema_add_item(SchemaPage *page, SchemaItem *parent, const char *property)
{
	SchemaItem *item;

	if (page->items->len >= MAX_ITEMS)
		return NULL;
	item = g_new0(SchemaItem, 1);
	item->types = g_ptr_array_new();
	item->properties = g_array_new(FALSE, FALSE, sizeof(SchemaProperty));
	item->parent = parent;
	g_ptr_array_add(page->items, item);
	if (parent != NULL)
	{
		item->parent_property = g_strdup(local_name(property));
		add_property(parent, property, NULL, false, item);
	}
	return item;
}

void
schema_link_item(SchemaItem *parent, const char *property, SchemaItem *item)
{
	add_property(parent, property, NULL, false, item);
}

void
schema_add_type(SchemaItem *item, const char *type)
{
	if (item->types->len < MAX_PROPERTIES)
		g_ptr_array_add(item->types, g_strdup(local_name(type)));
}

void
schema_set_id(SchemaItem *item, const char *id)
{
	item->id = g_strdup(id);
}

void
schema_add_text(SchemaItem *item, const char *property, const char *text)
{
	add_property(item, property, text, false, NULL);
}

void
schema_add_number(SchemaItem *item, const char *property, const char *number)
{
	add_property(item, property, number, true, NULL);
}

/* Does an item have a type of a NULL-ended list? */
static bool
has_type(const SchemaItem *item, const char *const *list)
{
	guint		i;

	for (i = 0; i < item->types->len; i++)
	{
		if (in_list(g_ptr_array_index(item->types, i), list))
			return true;
	}
	return false;
}

/*
 * The next property of a name, counted on in *index from 0; NULL at the end.
 */
static const SchemaProperty *
next_property(const SchemaItem *item, const char *name, guint *index)
{
	while (*index < item->properties->len)
	{
		const SchemaProperty *property =
			&g_array_index(item->properties, SchemaProperty, (*index)++);

		if (strcmp(property->name, name) == 0)
			return property;
	}
	return NULL;
}

/* An item that is only a reference stands for the one that has its id. */
static SchemaItem *
resolve(const SchemaPage *page, SchemaItem *item)
{
	SchemaItem *found = NULL;

	if (item->properties->len == 0 && item->id != NULL)
		found = g_hash_table_lookup(page->ids, item->id);
	return found != NULL ? found : item;
}

/* The first text of a property itself; NULL if it has none. */
static const char *
plain_text(const SchemaItem *item, const char *name)
{
	const SchemaProperty *property;
	guint		index = 0;

	while ((property = next_property(item, name, &index)) != NULL)
	{
		if (property->text != NULL && property->text[strspn(property->text, " \t\n")] != '\0')
			return property->text;
	}
	return NULL;
}

/*
 * The first text of a property: its own, or that which its item has under one
 * of the names of a NULL-ended list.
 */
static const char *
deep_text(const SchemaPage *page, const SchemaItem *item, const char *name,
		  const char *const *inner)
{
	const char *text = plain_text(item, name);
	const SchemaProperty *property;
	guint		index = 0;

	while (text == NULL && (property = next_property(item, name, &index)) != NULL)
	{
		SchemaItem *child = property->item != NULL ? resolve(page, property->item) : NULL;
		int			i;

		for (i = 0; child != NULL && text == NULL && inner[i] != NULL; i++)
			text = plain_text(child, inner[i]);
	}
	return text;
}

static void
set_field(const SchemaPage *page, Product *product, const SchemaItem *item,
		  ProductField field, const char *name)
{
	static const char *const names[] = {"name", "value", NULL};
	static const char *const urls[] = {"contentUrl", "url", NULL};
	bool		is_url = field == FIELD_IMAGE_URL || field == FIELD_URL || field == FIELD_TERMS_URL;

	product_set(product, page->source, field,
				deep_text(page, item, name, is_url ? urls : names), page->base);
}

/* Set the premium from a property that is a number or a text. */
static void
set_price(const SchemaPage *page, Product *product, const SchemaItem *item, const char *name)
{
	const SchemaProperty *property;
	guint		index = 0;

	while ((property = next_property(item, name, &index)) != NULL)
	{
		if (property->number)
			product_set_number(product, page->source, property->text);
		else if (property->text != NULL)
			product_set(product, page->source, FIELD_PREMIUM, property->text, page->base);
	}
}

/* The period that a price is for, in any of the ways in use. */
static void
set_billing(const SchemaPage *page, Product *product, const SchemaItem *price)
{
	static const char *const names[] = {
		"unitText", "unitCode", "billingDuration", "referenceQuantity", "duration", NULL
	};
	static const char *const inner[] = {"unitText", "unitCode", NULL};
	int			i;

	for (i = 0; names[i] != NULL; i++)
		product_set(product, page->source, FIELD_BILLING,
					deep_text(page, price, names[i], inner), page->base);
}

/* Take over what an offer or a price specification says, and those within. */
static void
apply_offer(const SchemaPage *page, Product *product, SchemaItem *offer, int depth)
{
	static const char *const nested[] = {"priceSpecification", "offers", NULL};
	bool		priced = product->values[FIELD_PREMIUM] != NULL;
	int			i;

	offer = resolve(page, offer);
	if (!priced)
	{
		set_field(page, product, offer, FIELD_CURRENCY, "priceCurrency");
		set_price(page, product, offer, "price");
		set_price(page, product, offer, "lowPrice");
		if (product->values[FIELD_PREMIUM] != NULL)
			set_billing(page, product, offer);
	}
	set_field(page, product, offer, FIELD_AVAILABILITY, "availability");
	for (i = 0; depth < MAX_OFFER_DEPTH && nested[i] != NULL; i++)
	{
		const SchemaProperty *property;
		guint		index = 0;

		while ((property = next_property(offer, nested[i], &index)) != NULL)
		{
			/* the first price counts, others are for other terms */
			if (property->item == NULL || (priced && depth > 0))
				continue;
			/* a specification may give the period of the offer's own price */
			if (i == 0 && product->values[FIELD_BILLING] == NULL && !priced)
				set_billing(page, product, resolve(page, property->item));
			if (product->values[FIELD_PREMIUM] == NULL)
				apply_offer(page, product, property->item, depth + 1);
		}
	}
}

/* Ages, from schema.org's PeopleAudience. */
static void
apply_audience(const SchemaPage *page, Product *product, SchemaItem *item)
{
	const SchemaProperty *property;
	guint		index = 0;

	while ((property = next_property(item, "audience", &index)) != NULL)
	{
		SchemaItem *audience;

		if (property->item == NULL)
			continue;
		audience = resolve(page, property->item);
		set_field(page, product, audience, FIELD_MINIMUM_AGE, "requiredMinAge");
		set_field(page, product, audience, FIELD_MINIMUM_AGE, "suggestedMinAge");
		set_field(page, product, audience, FIELD_MAXIMUM_AGE, "requiredMaxAge");
		set_field(page, product, audience, FIELD_MAXIMUM_AGE, "suggestedMaxAge");
	}
}

/* Pairs of name and value that schema.org has no property for. */
static void
apply_additional(const SchemaPage *page, Product *product, SchemaItem *item)
{
	const SchemaProperty *property;
	guint		index = 0;

	while ((property = next_property(item, "additionalProperty", &index)) != NULL)
	{
		const SchemaItem *pair = property->item;
		const char *name = pair != NULL ? plain_text(pair, "name") : NULL;
		const char *value = pair != NULL ? plain_text(pair, "value") : NULL;

		if (name != NULL && value != NULL)
			product_set_labelled(product, page->source, name, value, page->base);
	}
}

static void
apply_keywords(const SchemaPage *page, Product *product, SchemaItem *item)
{
	const SchemaProperty *property;
	guint		index = 0;

	while ((property = next_property(item, "keywords", &index)) != NULL)
	{
		if (property->text != NULL)
			product_add_keywords(product, page->source, property->text);
	}
}

/* Offers of a product, and the offer that it is offered by. */
static void
apply_offers(const SchemaPage *page, Product *product, SchemaItem *item)
{
	const SchemaProperty *property;
	guint		index = 0;

	while ((property = next_property(item, "offers", &index)) != NULL)
	{
		if (property->item != NULL && product->values[FIELD_PREMIUM] == NULL)
			apply_offer(page, product, property->item, 0);
	}
	if (item->parent != NULL && strcmp(item->parent_property, "itemOffered") == 0)
		apply_offer(page, product, item->parent, 0);
	/* an offer that stands for its product, or a price without an offer */
	apply_offer(page, product, item, 0);
}

static Product *
make_product(const SchemaPage *page, SchemaItem *item)
{
	/* in the order in which one is taken for lack of the one before */
	static const struct
	{
		const char *name;
		ProductField field;
	} properties[] = {
		{"name", FIELD_NAME}, {"sku", FIELD_CODE}, {"productID", FIELD_CODE},
		{"mpn", FIELD_CODE}, {"gtin13", FIELD_CODE}, {"identifier", FIELD_CODE},
		{"description", FIELD_DESCRIPTION}, {"category", FIELD_CATEGORY},
		{"serviceType", FIELD_CATEGORY}, {"image", FIELD_IMAGE_URL},
		{"url", FIELD_URL}, {"termsOfService", FIELD_TERMS_URL},
		{"brand", FIELD_COMPANY}, {"provider", FIELD_COMPANY},
		{"manufacturer", FIELD_COMPANY}
	};
	Product    *product = product_new();
	size_t		i;

	for (i = 0; i < G_N_ELEMENTS(properties); i++)
		set_field(page, product, item, properties[i].field, properties[i].name);
	apply_offers(page, product, item);
	apply_audience(page, product, item);
	apply_additional(page, product, item);
	apply_keywords(page, product, item);
	return product;
}

/* Does an item stand for something that is sold on this page? */
static bool
is_candidate(const SchemaItem *item)
{
	if (item->parent_property != NULL && in_list(item->parent_property, related_properties))
		return false;
	if (has_type(item, product_types))
		return true;
	/* an offer of something is part of that */
	return has_type(item, priced_types) &&
		(item->parent_property == NULL || strcmp(item->parent_property, "offers") != 0) &&
		plain_text(item, "name") != NULL;
}

void
schema_collect(SchemaPage *page, GPtrArray *products)
{
	guint		i;

	for (i = 0; i < page->items->len; i++)
	{
		SchemaItem *item = g_ptr_array_index(page->items, i);

		if (item->id != NULL && item->properties->len > 0 &&
			!g_hash_table_contains(page->ids, item->id))
			g_hash_table_insert(page->ids, (gpointer) item->id, item);
	}
	for (i = 0; i < page->items->len; i++)
	{
		SchemaItem *item = g_ptr_array_index(page->items, i);
		Product    *product;

		if (!is_candidate(item))
			continue;
		product = make_product(page, item);
		if (has_type(item, product_types) || product->values[FIELD_PREMIUM] != NULL)
			product_merge(products, product, false);
	}
}
