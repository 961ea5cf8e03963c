/*-------------------------------------------------------------------------
 *
 * handler_registry.c
 *	  Job types that users register: padlock.job_handlers and its functions.
 *
 * A handler is a function from jsonb to jsonb and a role with whose rights it
 * runs.  Whoever registers it must be a member of that role, now and whenever
 * a job runs: somebody who lost the membership could still replace a function
 * of his.  Superusers' roles are refused, so that a mistake in a handler is
 * never a mistake of a superuser.
 *
 * Replacing or forgetting a handler takes membership in the role that it runs
 * as, too; if that role is gone, anybody who may call these functions can.
 *
 * Functions and roles are kept by name and looked up for each job, in the
 * server's own caches: rows survive a dump, and a function may be replaced
 * while workers run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "core/spi.h"
#include "identity/lookup.h"
#include "worker/job.h"
#include "worker/settings.h"
#include "worker/sql_handler.h"

#define MAX_JOB_TYPE_LENGTH		100 /* characters; also job_handlers_job_type */
#define MAX_TIMEOUT_SECONDS		86400	/* also job_handlers_timeout */
#define LIST_COLUMNS			7

/* A row of padlock.job_handlers, as names and as what they name now. */
typedef struct Registration
{
	const char *job_type;
	const char *schema;
	const char *name;
	const char *role_name;
	const char *registered_by;
	int			timeout_seconds;	/* 0: the setting's */
	Oid			function;
	Oid			role;
} Registration;

/* Why a handler cannot run. */
typedef struct Problem
{
	int			sqlstate;		/* 0: it can */
	const char *message;
	const char *hint;			/* may be NULL */
} Problem;

PG_FUNCTION_INFO_V1(padlock_register_job_handler);
PG_FUNCTION_INFO_V1(padlock_unregister_job_handler);
PG_FUNCTION_INFO_V1(padlock_list_job_handlers);

/*
 * $7 is who registers: another's handler is replaced only by members of its
 * role, which $7 may be by name alone.
 */
static PadlockStatement register_statement = {
	"INSERT INTO padlock.job_handlers AS h"
	" (job_type, function_schema, function_name, role_name, timeout_seconds, registered_by)"
	" VALUES ($1, $2, $3, $4, $5, $6)"
	" ON CONFLICT (job_type) DO UPDATE SET function_schema = $2, function_name = $3,"
	" role_name = $4, timeout_seconds = $5, registered_by = $6, registered_at = pg_catalog.now()"
	" WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname = h.role_name"
	" AND NOT pg_catalog.pg_has_role($7, r.oid, 'MEMBER'))",
	7, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, OIDOID}
};

static PadlockStatement unregister_statement = {
	"DELETE FROM padlock.job_handlers h WHERE job_type = $1"
	" AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname = h.role_name"
	" AND NOT pg_catalog.pg_has_role($2, r.oid, 'MEMBER'))",
	2, {TEXTOID, OIDOID}
};

static PadlockStatement role_statement = {
	"SELECT role_name FROM padlock.job_handlers WHERE job_type = $1",
	1, {TEXTOID}
};

static PadlockStatement list_statement = {
	"SELECT job_type, function_schema, function_name, role_name, timeout_seconds, registered_by,"
	" registered_at FROM padlock.job_handlers ORDER BY job_type COLLATE \"C\"",
	0, {0}
};

static Problem
problem(int sqlstate, const char *message, const char *hint)
{
	return (Problem)
	{
		sqlstate, message, hint
	};
}

/* "schema.name(jsonb)" */
static char *
function_title(const Registration *row)
{
	return psprintf("%s(jsonb)", quote_qualified_identifier(row->schema, row->name));
}

/* The function of that name that takes one jsonb, or InvalidOid. */
static Oid
find_function(const char *schema, const char *name)
{
	Oid			namespace = get_namespace_oid(schema, true);
	Oid			argument = JSONBOID;

	if (!OidIsValid(namespace))
		return InvalidOid;
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(&argument, 1)),
						   ObjectIdGetDatum(namespace));
}

/* Is it an ordinary function from one jsonb to one jsonb? */
static bool
is_handler_function(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool		fits;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	fits = form->prokind == PROKIND_FUNCTION && !form->proretset &&
		form->prorettype == JSONBOID && form->pronargs == 1 &&
		form->proargtypes.values[0] == JSONBOID;
	ReleaseSysCache(tuple);
	return fits;
}

/* What keeps the role from being the handler's, or its registrant from using it. */
static Problem
role_problem(const Registration *row)
{
	Oid			registrant = get_role_oid(row->registered_by, true);

	if (!OidIsValid(row->role))
		return problem(ERRCODE_UNDEFINED_OBJECT,
					   psprintf("role \"%s\" does not exist", row->role_name), NULL);
	if (superuser_arg(row->role))
		return problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("role \"%s\" is a superuser", row->role_name),
					   "Name a role that has just the rights that the jobs need.");
	if (!OidIsValid(registrant) || !is_member_of_role(registrant, row->role))
		return problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("role \"%s\", who registered it, is not a member of role \"%s\"",
								row->registered_by, row->role_name), NULL);
	return problem(0, NULL, NULL);
}

/* What keeps a role that exists from calling the function. */
static Problem
function_problem(const Registration *row)
{
	if (!OidIsValid(row->function))
		return problem(ERRCODE_UNDEFINED_FUNCTION,
					   psprintf("function %s does not exist", function_title(row)), NULL);
	if (isAnyTempNamespace(get_func_namespace(row->function)))
		return problem(ERRCODE_INVALID_FUNCTION_DEFINITION,
					   psprintf("function %s is temporary", function_title(row)),
					   "Another session may have a function of that name.");
	if (!is_handler_function(row->function))
		return problem(ERRCODE_INVALID_FUNCTION_DEFINITION,
					   psprintf("function %s is not one that takes one jsonb and returns one jsonb",
								function_title(row)), NULL);
	if (pg_namespace_aclcheck(get_func_namespace(row->function), row->role, ACL_USAGE) != ACLCHECK_OK)
		return problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("role \"%s\" has no USAGE on schema \"%s\"", row->role_name,
								row->schema), NULL);
	if (pg_proc_aclcheck(row->function, row->role, ACL_EXECUTE) != ACLCHECK_OK)
		return problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("role \"%s\" may not execute function %s", row->role_name,
								function_title(row)), NULL);
	return problem(0, NULL, NULL);
}

/* Look up what a row's names name now, and what keeps the handler from running. */
static Problem
resolve(Registration *row)
{
	Problem		found;

	row->role = get_role_oid(row->role_name, true);
	row->function = find_function(row->schema, row->name);
	found = role_problem(row);
	return found.sqlstate ? found : function_problem(row);
}

/* A text column of a row that was looked up; none that is asked for is NULL. */
static char *
text_column(HeapTuple tuple, TupleDesc desc, const char *column)
{
	bool		isnull;

	return TextDatumGetCString(padlock_lookup_column(tuple, desc, column, &isnull));
}

/* Row reader: take a handler's row. */
static void
read_row(HeapTuple tuple, TupleDesc desc, void *result)
{
	Registration *row = result;
	bool		isnull;

	row->schema = text_column(tuple, desc, "function_schema");
	row->name = text_column(tuple, desc, "function_name");
	row->role_name = text_column(tuple, desc, "role_name");
	row->registered_by = text_column(tuple, desc, "registered_by");
	row->timeout_seconds = DatumGetInt32(padlock_lookup_column(tuple, desc, "timeout_seconds",
															   &isnull));
	if (isnull)
		row->timeout_seconds = 0;
}

/* Read a job type's row; false when there is none. */
static bool
read_registration(const char *job_type, Registration *row)
{
	Oid			relid = get_relname_relid("job_handlers", get_namespace_oid("padlock", false));

	row->job_type = job_type;
	return padlock_lookup_row(relid, F_TEXTEQ, CStringGetTextDatum(job_type), read_row, row);
}

bool
padlock_job_type_is_handled(const char *name)
{
	Registration row;

	return padlock_job_type_is_builtin(name) || read_registration(name, &row);
}

bool
padlock_sql_handler_find(const char *job_type, PadlockSqlHandler *handler)
{
	Registration row;
	Problem		found;

	if (!read_registration(job_type, &row))
		return false;
	found = resolve(&row);
	if (found.sqlstate)
		ereport(ERROR,
				(errcode(found.sqlstate),
				 errmsg("the handler of jobs of type \"%s\" cannot run: %s", job_type,
						found.message)));
	handler->function = row.function;
	handler->role = row.role;
	handler->timeout_ms = row.timeout_seconds ? row.timeout_seconds * 1000
		: padlock_handler_timeout;
	return true;
}

/* A job type that is given as the first argument. */
static char *
job_type_argument(FunctionCallInfo fcinfo)
{
	char	   *job_type;
	int			length;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("job_type_val must not be null")));
	job_type = text_to_cstring(PG_GETARG_TEXT_PP(0));
	length = pg_mbstrlen(job_type);
	if (length < 1 || length > MAX_JOB_TYPE_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("job_type_val must have 1 to %d characters", MAX_JOB_TYPE_LENGTH)));
	return job_type;
}

/* The function that is given as the second argument, by its names. */
static void
function_argument(FunctionCallInfo fcinfo, Registration *row)
{
	Oid			function;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("function_val must not be null")));
	function = PG_GETARG_OID(1);
	if (!is_handler_function(function))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function_val must take one jsonb and return one jsonb"),
				 errhint("Declare it as name(payload jsonb) RETURNS jsonb.")));
	row->schema = get_namespace_name(get_func_namespace(function));
	row->name = get_func_name(function);
}

/* The arguments of register_job_handler(). */
static void
read_arguments(FunctionCallInfo fcinfo, Registration *row)
{
	Oid			role = PG_ARGISNULL(2) ? GetUserId() : PG_GETARG_OID(2);

	row->job_type = job_type_argument(fcinfo);
	function_argument(fcinfo, row);
	row->role_name = GetUserNameFromId(role, true);
	if (row->role_name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", role)));
	row->registered_by = GetUserNameFromId(GetUserId(), false);
	row->timeout_seconds = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	if (!PG_ARGISNULL(3) && (row->timeout_seconds < 1 || row->timeout_seconds > MAX_TIMEOUT_SECONDS))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout_seconds must be 1 to %d", MAX_TIMEOUT_SECONDS)));
}

/* Refuse a handler that could not run. */
static void
require_runnable(Registration *row)
{
	Problem		found;

	if (padlock_job_type_is_builtin(row->job_type))
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("jobs of type \"%s\" are done by padlock itself", row->job_type)));
	found = resolve(row);
	if (found.sqlstate)
		ereport(ERROR,
				(errcode(found.sqlstate),
				 errmsg("the handler of jobs of type \"%s\" cannot run: %s", row->job_type,
						found.message),
				 found.hint ? errhint("%s", found.hint) : 0));
}

/* Another's handler is neither replaced nor forgotten. */
static void
refuse_foreign(const char *job_type)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for the handler of jobs of type \"%s\"", job_type),
			 errdetail("Only members of the role that it runs as may change it.")));
}

/* Run a statement as the owner, inside an SPI connection. */
static uint64
run(PadlockStatement *statement, Datum *values, const char *nulls)
{
	PadlockUserContext saved;
	uint64		rows;

	padlock_become_owner(&saved);
	rows = padlock_spi_execute(statement, values, nulls, false);
	padlock_restore_user(&saved);
	return rows;
}

/*
 * padlock.register_job_handler(job_type_val text, function_val regprocedure,
 * role_val regrole, timeout_seconds integer): have jobs of a type done by the
 * function, with the rights of the role (NULL: the caller), in a transaction
 * of its own of at most timeout_seconds (NULL: padlock.handler_timeout).  An
 * existing handler of the type is replaced.  Errors: 22004 for NULLs, 22023
 * for a bad type or timeout, 42P13 for a function of another form, 42939 for
 * a type of padlock's own, 42501 for a role that is a superuser or that the
 * caller is no member of, or that may not call the function, or when the
 * handler that is there runs as a role that the caller is no member of.
 */
Datum
padlock_register_job_handler(PG_FUNCTION_ARGS)
{
	Registration row;
	Datum		values[7];
	uint64		rows;

	read_arguments(fcinfo, &row);
	require_runnable(&row);
	values[0] = CStringGetTextDatum(row.job_type);
	values[1] = CStringGetTextDatum(row.schema);
	values[2] = CStringGetTextDatum(row.name);
	values[3] = CStringGetTextDatum(row.role_name);
	values[4] = Int32GetDatum(row.timeout_seconds);
	values[5] = CStringGetTextDatum(row.registered_by);
	values[6] = ObjectIdGetDatum(GetUserId());
	SPI_connect();
	rows = run(&register_statement, values, row.timeout_seconds ? NULL : "    n  ");
	SPI_finish();
	if (rows == 0)
		refuse_foreign(row.job_type);
	PG_RETURN_VOID();
}

/*
 * padlock.unregister_job_handler(job_type_val text) returns boolean: forget a
 * type's handler; jobs of the type fail from then on.  False when there was
 * none.  Errors: 22004, 22023 for a bad type, 42501 when it runs as a role
 * that the caller is no member of.
 */
Datum
padlock_unregister_job_handler(PG_FUNCTION_ARGS)
{
	char	   *job_type = job_type_argument(fcinfo);
	Datum		values[2];
	bool		removed;

	values[0] = CStringGetTextDatum(job_type);
	values[1] = ObjectIdGetDatum(GetUserId());
	SPI_connect();
	removed = run(&unregister_statement, values, NULL) == 1;
	if (!removed && run(&role_statement, values, NULL) == 1)
		refuse_foreign(job_type);
	SPI_finish();
	PG_RETURN_BOOL(removed);
}

/* One row of list_job_handlers() from one of list_statement. */
static void
put_list_row(ReturnSetInfo *rsinfo, HeapTuple tuple, TupleDesc desc)
{
	Registration row;
	Problem		found;
	Datum		values[LIST_COLUMNS];
	bool		nulls[LIST_COLUMNS] = {false};

	row.job_type = SPI_getvalue(tuple, desc, 1);
	row.schema = SPI_getvalue(tuple, desc, 2);
	row.name = SPI_getvalue(tuple, desc, 3);
	row.role_name = SPI_getvalue(tuple, desc, 4);
	row.registered_by = SPI_getvalue(tuple, desc, 6);
	found = resolve(&row);

	values[0] = CStringGetTextDatum(row.job_type);
	values[1] = CStringGetTextDatum(function_title(&row));
	values[2] = CStringGetTextDatum(row.role_name);
	values[3] = SPI_getbinval(tuple, desc, 5, &nulls[3]);
	values[4] = CStringGetTextDatum(row.registered_by);
	values[5] = SPI_getbinval(tuple, desc, 7, &nulls[5]);
	values[6] = found.sqlstate ? CStringGetTextDatum(found.message) : (Datum) 0;
	nulls[6] = found.sqlstate == 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * padlock.list_job_handlers(): the registered types with their function, role
 * and timeout, and why a handler cannot run, NULL when it can.
 */
Datum
padlock_list_job_handlers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	uint64		rows;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	rows = run(&list_statement, NULL, NULL);
	for (uint64 i = 0; i < rows; i++)
		put_list_row(rsinfo, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	SPI_finish();
	return (Datum) 0;
}
