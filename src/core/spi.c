/*-------------------------------------------------------------------------
 *
 * spi.c
 *	  SQL from C.
 *
 * Plans are saved for the life of the session.  They name the client schema,
 * which CREATE EXTENSION ... SCHEMA chooses; a plan made for another schema
 * (the extension was dropped and created again) is made anew.  The extension's
 * schema and owner are cached until any pg_proc entry changes, since creating
 * or dropping the extension always changes some.
 *
 * A statement that runs as the owner reads what the caller could not: each
 * caller of padlock_become_owner() says why it may.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "core/spi.h"

/* Cached pg_extension row; schema is InvalidOid when not read yet. */
static Oid	cached_schema = InvalidOid;
static Oid	cached_owner = InvalidOid;

/* Cached OID of schema padlock; InvalidOid when not read yet. */
static Oid	cached_internal_schema = InvalidOid;

static void
forget_extension(Datum arg, int cacheid, uint32 hashvalue)
{
	cached_schema = InvalidOid;
	cached_owner = InvalidOid;
}

/* Read the extension's schema and owner from pg_extension; false: it is not there. */
static bool
find_extension(void)
{
	static bool registered = false;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_extension, (Datum) 0);
		registered = true;
	}

	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("padlock"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);

		cached_schema = form->extnamespace;
		cached_owner = form->extowner;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return OidIsValid(cached_schema);
}

static void
read_extension(void)
{
	if (!find_extension())
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"padlock\" is not installed in this database"),
				 errhint("Run CREATE EXTENSION padlock.")));
}

bool
padlock_is_installed(void)
{
	return OidIsValid(cached_schema) || find_extension();
}

Oid
padlock_client_schema(void)
{
	if (!OidIsValid(cached_schema))
		read_extension();
	return cached_schema;
}

static void
forget_internal_schema(Datum arg, int cacheid, uint32 hashvalue)
{
	cached_internal_schema = InvalidOid;
}

Oid
padlock_internal_schema(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_internal_schema, (Datum) 0);
		registered = true;
	}
	if (!OidIsValid(cached_internal_schema))
		cached_internal_schema = get_namespace_oid("padlock", true);
	return cached_internal_schema;
}

Oid
padlock_owner(void)
{
	if (!OidIsValid(cached_owner))
		read_extension();
	return cached_owner;
}

Oid
padlock_client_table(const char *name)
{
	Oid			relid = get_relname_relid(name, padlock_client_schema());

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" of padlock does not exist", name),
				 errhint("Run SELECT padlock.install() as the owner of the extension.")));
	return relid;
}

char *
padlock_sql(const char *template)
{
	const char *schema = quote_identifier(get_namespace_name(padlock_client_schema()));
	const char *mark;
	StringInfoData sql;

	initStringInfo(&sql);
	while ((mark = strstr(template, "@app@")) != NULL)
	{
		appendBinaryStringInfo(&sql, template, mark - template);
		appendStringInfoString(&sql, schema);
		template = mark + strlen("@app@");
	}
	appendStringInfoString(&sql, template);
	return sql.data;
}

/* Make the saved plan, unless the statement has one for today's schema. */
static void
prepare(PadlockStatement *statement)
{
	Oid			schema = padlock_client_schema();

	if (statement->plan != NULL && statement->schema == schema)
		return;
	if (statement->plan != NULL)
	{
		SPI_freeplan(statement->plan);
		statement->plan = NULL;
	}
	statement->plan = SPI_prepare(padlock_sql(statement->sql), statement->nargs,
								  statement->argtypes);
	if (statement->plan == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not prepare a statement: %s",
						SPI_result_code_string(SPI_result))));
	SPI_keepplan(statement->plan);
	statement->schema = schema;
}

uint64
padlock_spi_execute(PadlockStatement *statement, Datum *values, const char *nulls, bool read_only)
{
	int			result;

	prepare(statement);
	result = SPI_execute_plan(statement->plan, values, nulls, read_only, 0);
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not execute a statement: %s", SPI_result_code_string(result))));
	return SPI_processed;
}

Datum
padlock_spi_datum(int row, int column, bool *isnull)
{
	Form_pg_attribute attribute = TupleDescAttr(SPI_tuptable->tupdesc, column - 1);
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
									  isnull);

	if (*isnull)
		return (Datum) 0;
	return SPI_datumTransfer(value, attribute->attbyval, attribute->attlen);
}

void
padlock_become_owner(PadlockUserContext *saved)
{
	GetUserIdAndSecContext(&saved->user_id, &saved->sec_context);
	SetUserIdAndSecContext(padlock_owner(), saved->sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

void
padlock_restore_user(const PadlockUserContext *saved)
{
	SetUserIdAndSecContext(saved->user_id, saved->sec_context);
}
