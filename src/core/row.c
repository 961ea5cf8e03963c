/*-------------------------------------------------------------------------
 *
 * row.c
 *	  Rows made from request bodies, and answers made from rows.
 *
 * The statements name only columns that the field tables of the endpoints
 * list, and pass every value as a parameter.  They run as the current user,
 * so row security and the column guards decide.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "core/body.h"
#include "core/spi.h"

/* A statement under construction: its columns' names and parameters. */
typedef struct RowStatement
{
	int			count;
	const char *columns[PADLOCK_MAX_PARAMS];
	const char *casts[PADLOCK_MAX_PARAMS];	/* enum's name or NULL */
	Oid			types[PADLOCK_MAX_PARAMS];
	Datum		values[PADLOCK_MAX_PARAMS];
	char		nulls[PADLOCK_MAX_PARAMS];
} RowStatement;

static Oid
sql_type(BodyType type)
{
	switch (type)
	{
		case BODY_UUID:
			return UUIDOID;
		case BODY_TIME:
			return TIMESTAMPTZOID;
		case BODY_BOOLEAN:
			return BOOLOID;
		case BODY_INTEGER:
			return INT4OID;
		case BODY_NUMERIC:
			return NUMERICOID;
		case BODY_OBJECT:
			return JSONBOID;
		case BODY_TEXT_LIST:
		case BODY_COUNTRY_LIST:
			return TEXTARRAYOID;
		default:
			return TEXTOID;
	}
}

static void
add_column(RowStatement *row, const char *column, const char *cast, Oid type, Datum value,
		   bool isnull)
{
	Assert(row->count < PADLOCK_MAX_PARAMS);
	row->columns[row->count] = column;
	row->casts[row->count] = cast;
	row->types[row->count] = type;
	row->values[row->count] = value;
	row->nulls[row->count] = isnull ? 'n' : ' ';
	row->count++;
}

static void
add_body(RowStatement *row, PadlockBody *body, const char *skip)
{
	for (int i = 0; i < body->count; i++)
	{
		const BodyField *field = &body->fields[i];
		BodyValue  *value = &body->values[i];

		if (value->present && (skip == NULL || strcmp(field->name, skip) != 0))
			add_column(row, field->name, field->sql_type, sql_type(field->type), value->value,
					   value->isnull);
	}
}

/* Append "$n", cast to the client schema's enum where the column is one. */
static void
append_parameter(StringInfo sql, RowStatement *row, int i)
{
	appendStringInfo(sql, "$%d", i + 1);
	if (row->casts[i] != NULL)
		appendStringInfo(sql, "::@app@.%s", row->casts[i]);
}

/* Run the statement and return its one jsonb result, or NULL without a row. */
static Jsonb *
run(RowStatement *row, StringInfo sql)
{
	Jsonb	   *result = NULL;
	bool		isnull;
	int			code;

	SPI_connect();

	/*
	 * Without a limit of rows: the executor would stop at the first one and
	 * never come to the statement's own triggers.
	 */
	code = SPI_execute_with_args(padlock_sql(sql->data), row->count, row->types, row->values,
								 row->nulls, false, 0);
	if (code != SPI_OK_INSERT_RETURNING && code != SPI_OK_UPDATE_RETURNING)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not write a row: %s", SPI_result_code_string(code))));
	if (SPI_processed > 0)
		result = DatumGetJsonbP(padlock_spi_datum(0, 1, &isnull));
	SPI_finish();
	return result;
}

Jsonb *
padlock_row_insert(const char *table, PadlockBody *body, const RowExtra *extras, int nextras)
{
	RowStatement row = {0};
	StringInfoData sql;

	add_body(&row, body, NULL);
	for (int i = 0; i < nextras; i++)
		add_column(&row, extras[i].column, NULL, extras[i].type, extras[i].value, false);

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO @app@.%s AS t (", table);
	for (int i = 0; i < row.count; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", row.columns[i]);
	appendStringInfoString(&sql, ") VALUES (");
	for (int i = 0; i < row.count; i++)
	{
		appendStringInfoString(&sql, i > 0 ? ", " : "");
		append_parameter(&sql, &row, i);
	}
	appendStringInfoString(&sql, ") ON CONFLICT DO NOTHING RETURNING pg_catalog.to_jsonb(t)");
	return run(&row, &sql);
}

Jsonb *
padlock_row_update(const char *table, PadlockBody *body, const char *skip, Datum id)
{
	RowStatement row = {0};
	StringInfoData sql;

	add_body(&row, body, skip);
	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE @app@.%s AS t SET ", table);
	for (int i = 0; i < row.count; i++)
	{
		appendStringInfo(&sql, "%s%s = ", i > 0 ? ", " : "", row.columns[i]);
		append_parameter(&sql, &row, i);
	}
	add_column(&row, "id", NULL, UUIDOID, id, false);
	appendStringInfo(&sql, " WHERE id = $%d RETURNING pg_catalog.to_jsonb(t)", row.count);
	return run(&row, &sql);
}

Jsonb *
padlock_answer(const char *format,...)
{
	StringInfoData json;

	initStringInfo(&json);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&json, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&json, needed);
	}
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

char *
padlock_json_text(Jsonb *json)
{
	return JsonbToCString(NULL, &json->root, VARSIZE(json));
}

char *
padlock_json_string(const char *value)
{
	StringInfoData json;

	if (value == NULL)
		return pstrdup("null");
	initStringInfo(&json);
	escape_json(&json, value);
	return json.data;
}
