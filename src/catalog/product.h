/*-------------------------------------------------------------------------
 *
 * product.h
 *	  What a request body may say of a product.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_PRODUCT_H
#define PADLOCK_PRODUCT_H

#include "core/body.h"

/*
 * Rows of a table of BodyField; the limits are api.md's, but for the bytes of
 * an object: without a bound one product could make every answer slow.
 * type_required: must the body name the policy_type?
 */
#define PADLOCK_PRODUCT_FIELDS(type_required) \
	{"product_name", BODY_TEXT, .required = true, .min = 1, .max = 200}, \
	{"product_code", BODY_TEXT, .min = 1, .max = 50}, \
	{"policy_type", BODY_CHOICE, .required = type_required, \
	 .choices = "health|auto|life|home|other", .sql_type = "policy_type_enum"}, \
	{"description", BODY_TEXT, .max = 5000}, \
	{"coverage_details", BODY_OBJECT, .max = 65536}, \
	{"premium_amount", BODY_NUMERIC, .required = true, .min = 0, .max = 1000000, .above_min = true}, \
	{"currency", BODY_CURRENCY, .not_null = true}, \
	{"billing_frequency", BODY_CHOICE, .not_null = true, .choices = "monthly|quarterly|annually"}, \
	{"coverage_limits", BODY_OBJECT, .max = 65536}, \
	{"deductible", BODY_NUMERIC, .min = 0, .max = 1000000}, \
	{"benefits", BODY_OBJECT, .max = 65536}, \
	{"exclusions", BODY_OBJECT, .max = 65536}, \
	{"is_active", BODY_BOOLEAN, .not_null = true}, \
	{"available_countries", BODY_COUNTRY_LIST}, \
	{"minimum_age", BODY_INTEGER, .min = 0, .max = 150}, \
	{"maximum_age", BODY_INTEGER, .min = 0, .max = 150}, \
	{"product_image_url", BODY_URL}, \
	{"brochure_url", BODY_URL}, \
	{"terms_url", BODY_URL}, \
	{"search_keywords", BODY_TEXT_LIST, .max = 100}, \
	{"ai_tags", BODY_TEXT_LIST, .max = 100}, \
	{"popularity_score", BODY_INTEGER, .not_null = true, .min = 0, .max = 100}, \
	{"language", BODY_CHOICE, .not_null = true, \
	 .choices = "simple|arabic|armenian|basque|catalan|danish|dutch|english|finnish|french|german|" \
	 "greek|hindi|hungarian|indonesian|irish|italian|lithuanian|nepali|norwegian|portuguese|" \
	 "romanian|russian|serbian|spanish|swedish|tamil|turkish|yiddish"}

#endif							/* PADLOCK_PRODUCT_H */
