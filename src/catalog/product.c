/*-------------------------------------------------------------------------
 *
 * product.c
 *	  Insurers manage their products: endpoints product_create and
 *	  product_update.
 *
 * Both run as the caller, so row security decides which rows exist and may be
 * written; the endpoint adds the answers that a client understands.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "catalog/product.h"
#include "core/body.h"
#include "core/errors.h"
#include "core/spi.h"
#include "identity/require.h"
#include "limits/limits.h"

PG_FUNCTION_INFO_V1(padlock_product_create);
PG_FUNCTION_INFO_V1(padlock_product_update);

static const BodyField create_fields[] = {PADLOCK_PRODUCT_FIELDS(true)};
static const BodyField update_fields[] = {
	{"product_id", BODY_UUID, .required = true},
	PADLOCK_PRODUCT_FIELDS(true)
};

static void
code_conflict(void)
{
	padlock_http_error(409, ERRCODE_UNIQUE_VIOLATION,
					   "a product with this product_code exists already", NULL,
					   "Choose another product_code, or update the product that has it.");
}

/*
 * product_create(jsonb) returns jsonb: a company adds a product of its own.
 * 201; errors 400, 401, 403, 409, 429.
 */
Datum
padlock_product_create(PG_FUNCTION_ARGS)
{
	pg_uuid_t	company_id;
	RowExtra	extra = {"company_id", UUIDOID, UUIDPGetDatum(&company_id)};
	PadlockBody body;
	Jsonb	   *product;

	padlock_limit_request("product_create");
	company_id = padlock_require_company();
	padlock_body_read(&body, PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), create_fields,
					  lengthof(create_fields), BODY_CREATE);
	padlock_body_check_range(&body, "minimum_age", "maximum_age");
	padlock_body_finish(&body);

	product = padlock_row_insert("insurance_products", &body, &extra, 1);
	if (product == NULL)
		code_conflict();

	padlock_http_status(201);
	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"product\": %s, \"message\": %s}",
									 padlock_json_text(product),
									 padlock_json_string("Product created.")));
}

/* Note a minimum_age above the maximum_age that the row would then have. */
static void
check_stored_age(PadlockBody *body, const char *minimum, const char *maximum, int stored_column)
{
	BodyValue  *given = padlock_body_value(body, minimum);
	BodyValue  *other = padlock_body_value(body, maximum);
	bool		isnull;
	int			stored = DatumGetInt32(padlock_spi_datum(0, stored_column, &isnull));

	if (!given->present || given->isnull || other->present || isnull)
		return;
	if (strcmp(minimum, "minimum_age") == 0 && DatumGetInt32(given->value) > stored)
		padlock_body_problem(body, minimum,
							 psprintf("must not be above maximum_age, which is %d", stored));
	if (strcmp(minimum, "maximum_age") == 0 && DatumGetInt32(given->value) < stored)
		padlock_body_problem(body, minimum,
							 psprintf("must not be below minimum_age, which is %d", stored));
}

/*
 * Stop unless the product is there, the company's own, and may have the ages
 * of the body.  A product that the caller may not see does not exist for him:
 * 404; one that he sees and that is another's: 403.
 */
static void
check_product(PadlockBody *body, Datum product_id, const pg_uuid_t *company_id)
{
	static PadlockStatement select = {
		.sql = "SELECT company_id = $2, minimum_age, maximum_age"
		" FROM @app@.insurance_products WHERE id = $1",
		.nargs = 2,
		.argtypes = {UUIDOID, UUIDOID}
	};
	Datum		values[2] = {product_id, UUIDPGetDatum(company_id)};
	bool		isnull;

	SPI_connect();
	if (padlock_spi_execute(&select, values, NULL, false) == 0)
		padlock_http_error(404, ERRCODE_NO_DATA_FOUND, "product does not exist", NULL,
						   "Check product_id.");
	if (!DatumGetBool(padlock_spi_datum(0, 1, &isnull)))
		padlock_http_error(403, ERRCODE_INSUFFICIENT_PRIVILEGE,
						   "product belongs to another company", NULL, NULL);
	check_stored_age(body, "minimum_age", "maximum_age", 3);
	check_stored_age(body, "maximum_age", "minimum_age", 2);
	SPI_finish();
	padlock_body_finish(body);
}

/* Stop with 409 when another product of the company has the new code. */
static void
require_free_code(Datum product_id, const pg_uuid_t *company_id, BodyValue *code)
{
	static PadlockStatement select = {
		.sql = "SELECT FROM @app@.insurance_products"
		" WHERE company_id = $2 AND product_code = $3 AND id <> $1",
		.nargs = 3,
		.argtypes = {UUIDOID, UUIDOID, TEXTOID}
	};
	Datum		values[3] = {product_id, UUIDPGetDatum(company_id), code->value};
	bool		taken;

	if (!code->present || code->isnull)
		return;
	SPI_connect();
	taken = padlock_spi_execute(&select, values, NULL, false) > 0;
	SPI_finish();
	if (taken)
		code_conflict();
}

/* Does the body hold anything but product_id? */
static bool
has_changes(PadlockBody *body)
{
	for (int i = 0; i < body->count; i++)
	{
		if (body->values[i].present && strcmp(body->fields[i].name, "product_id") != 0)
			return true;
	}
	return false;
}

/*
 * product_update(jsonb) returns jsonb: a company changes the fields it names
 * of the product product_id; null empties a field.  200; errors 400, 401,
 * 403, 404, 409, 429.
 */
Datum
padlock_product_update(PG_FUNCTION_ARGS)
{
	pg_uuid_t	company_id;
	PadlockBody body;
	BodyValue  *product_id;
	Jsonb	   *product;

	padlock_limit_request("product_update");
	company_id = padlock_require_company();
	padlock_body_read(&body, PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), update_fields,
					  lengthof(update_fields), BODY_UPDATE);
	product_id = padlock_body_value(&body, "product_id");
	if (!product_id->present)
		padlock_body_problem(&body, "product_id", "is required");
	else if (!has_changes(&body) && body.problems.len == 0)
		padlock_body_problem(&body, "product_id", "is not enough: name at least one field to change");
	padlock_body_check_range(&body, "minimum_age", "maximum_age");
	padlock_body_finish(&body);

	check_product(&body, product_id->value, &company_id);
	require_free_code(product_id->value, &company_id, padlock_body_value(&body, "product_code"));
	product = padlock_row_update("insurance_products", &body, "product_id", product_id->value);
	if (product == NULL)
		padlock_http_error(404, ERRCODE_NO_DATA_FOUND, "product does not exist", NULL,
						   "Check product_id.");

	PG_RETURN_JSONB_P(padlock_answer("{\"success\": true, \"product\": %s, \"message\": %s}",
									 padlock_json_text(product),
									 padlock_json_string("Product updated.")));
}
