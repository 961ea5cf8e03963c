/*-------------------------------------------------------------------------
 *
 * install.c
 *	  Makes and repairs the user's objects: types, tables, indexes, policies
 *	  and triggers.
 *
 * Tables belong to the user, logic to the extension: members of an extension
 * are lost with DROP EXTENSION, and their rows, columns and policies suffer
 * in dump and restore.  So the extension script holds the definitions as text
 * (padlock.definitions(), the rooms' *_tables.sql), and padlock.install()
 * runs them as ordinary statements.
 *
 * Each statement is parsed, and one whose object exists is passed over, which
 * makes install() idempotent and a repair: after DROP EXTENSION ... CASCADE
 * the policies and triggers are missing and come back, the rows never left.
 * An existing table or type is taken for ours only if it carries the comment
 * "padlock: ..." and belongs to us; anything else is an error.
 *
 * While it runs, creating_extension is off, so that nothing becomes a member
 * and no GRANT is recorded in pg_init_privs (pg_dump would then omit it).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/extension.h"
#include "commands/policy.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "core/core.h"
#include "core/errors.h"
#include "core/install.h"
#include "core/spi.h"

#define MARKER "padlock: "

PG_FUNCTION_INFO_V1(padlock_install);
PG_FUNCTION_INFO_V1(padlock_wants_install);

static bool auto_install = true;

void
padlock_core_init(void)
{
	DefineCustomBoolVariable("padlock.auto_install",
							 "Makes CREATE EXTENSION padlock create the tables too.",
							 "Off, or inside a restore, only the functions are made; run padlock.install() later.",
							 &auto_install, true, PGC_USERSET, 0, NULL, NULL, NULL);
}

/* Stop unless an existing object carries our marker and belongs to us. */
static void
check_ours(Oid class_id, Oid object_id, Oid owner, const char *kind, const char *name)
{
	char	   *comment = GetComment(object_id, class_id, 0);

	if (comment != NULL && strncmp(comment, MARKER, strlen(MARKER)) == 0 &&
		(owner == padlock_owner() || superuser_arg(owner)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("%s \"%s\" exists already and is not padlock's", kind, name),
			 errdetail("padlock adopts only what its owner or a superuser owns and what carries a comment that starts with \"%s\".",
					   MARKER),
			 errhint("Rename or move it, or create the extension in a schema of its own: CREATE EXTENSION padlock SCHEMA app.")));
}

/* Stop when an existing table lacks a column of its definition. */
static void
check_columns(Oid relid, CreateStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->tableElts)
	{
		ColumnDef  *column = (ColumnDef *) lfirst(cell);

		if (!IsA(column, ColumnDef) || get_attnum(relid, column->colname) != InvalidAttrNumber)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" lacks column \"%s\"", statement->relation->relname,
						column->colname),
				 errhint("Add the column back, then run padlock.install() again.")));
	}
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

static Oid
type_owner(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

static bool
table_exists(CreateStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);

	if (!OidIsValid(relid))
		return false;
	check_ours(RelationRelationId, relid, relation_owner(relid), "relation",
			   statement->relation->relname);
	check_columns(relid, statement);
	return true;
}

static bool
enum_exists(CreateEnumStmt *statement)
{
	char	   *schema;
	char	   *name;
	Oid			typid;

	DeconstructQualifiedName(statement->typeName, &schema, &name);
	typid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, PointerGetDatum(name),
							ObjectIdGetDatum(get_namespace_oid(schema, false)));
	if (!OidIsValid(typid))
		return false;
	check_ours(TypeRelationId, typid, type_owner(typid), "type", name);
	return true;
}

static bool
index_exists(IndexStmt *statement)
{
	Oid			schema = get_namespace_oid(statement->relation->schemaname, false);

	return OidIsValid(get_relname_relid(statement->idxname, schema));
}

static bool
sequence_exists(CreateSeqStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->sequence, NoLock, true);

	if (!OidIsValid(relid))
		return false;
	check_ours(RelationRelationId, relid, relation_owner(relid), "relation",
			   statement->sequence->relname);
	return true;
}

static bool
view_exists(ViewStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->view, NoLock, true);

	if (!OidIsValid(relid))
		return false;
	check_ours(RelationRelationId, relid, relation_owner(relid), "relation",
			   statement->view->relname);
	return true;
}

/* ALTER TABLE ... ADD CONSTRAINT is passed over when the name is taken. */
static bool
constraint_exists(AlterTableStmt *statement)
{
	AlterTableCmd *command = linitial_node(AlterTableCmd, statement->cmds);
	Constraint *constraint;

	if (command->subtype != AT_AddConstraint)
		return false;
	constraint = castNode(Constraint, command->def);
	return OidIsValid(get_relation_constraint_oid(RangeVarGetRelid(statement->relation, NoLock,
																   false),
												  constraint->conname, true));
}

/*
 * Does the object that a statement makes exist?  Statements that may be
 * repeated (GRANT, REVOKE, COMMENT, ENABLE ROW LEVEL SECURITY) say no.
 */
static bool
object_exists(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateStmt:
			return table_exists((CreateStmt *) statement);
		case T_CreateEnumStmt:
			return enum_exists((CreateEnumStmt *) statement);
		case T_CreateSeqStmt:
			return sequence_exists((CreateSeqStmt *) statement);
		case T_ViewStmt:
			return view_exists((ViewStmt *) statement);
		case T_IndexStmt:
			return index_exists((IndexStmt *) statement);
		case T_AlterTableStmt:
			return constraint_exists((AlterTableStmt *) statement);
		case T_CreatePolicyStmt:
			{
				CreatePolicyStmt *policy = (CreatePolicyStmt *) statement;
				Oid			relid = RangeVarGetRelid(policy->table, NoLock, false);

				return OidIsValid(get_relation_policy_oid(relid, policy->policy_name, true));
			}
		case T_CreateTrigStmt:
			{
				CreateTrigStmt *trigger = (CreateTrigStmt *) statement;
				Oid			relid = RangeVarGetRelid(trigger->relation, NoLock, false);

				return OidIsValid(get_trigger_oid(relid, trigger->trigname, true));
			}
		default:
			return false;
	}
}

/* Run one definition if its object is missing; returns whether it made one. */
static bool
run_definition(RawStmt *raw, const char *definitions)
{
	const char *start = definitions + raw->stmt_location;
	int			length = raw->stmt_len > 0 ? raw->stmt_len : (int) strlen(start);
	int			result;

	if (object_exists(raw->stmt))
		return false;

	result = SPI_execute(pnstrdup(start, length), false, 0);
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not run a definition: %s", SPI_result_code_string(result))));
	return !IsA(raw->stmt, GrantStmt) && !IsA(raw->stmt, CommentStmt) &&
		!IsA(raw->stmt, AlterTableStmt) && !IsA(raw->stmt, SelectStmt) &&
		!IsA(raw->stmt, InsertStmt);
}

/* Run all definitions; returns how many objects were made. */
static int
run_definitions(void)
{
	char	   *definitions;
	ListCell   *cell;
	int			made = 0;

	SPI_connect();
	if (SPI_execute("SELECT padlock.definitions()", true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not read padlock.definitions()")));
	definitions = padlock_sql(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));

	foreach(cell, raw_parser(definitions, RAW_PARSE_DEFAULT))
	{
		CHECK_FOR_INTERRUPTS();
		if (run_definition(lfirst_node(RawStmt, cell), definitions))
			made++;
	}
	SPI_finish();
	return made;
}

/*
 * padlock.install() returns integer: make what is missing of padlock's types,
 * tables, indexes, policies and triggers, and return how many objects were
 * made.  For the extension's owner and superusers.  An object in the way that
 * is not padlock's is an error (42710).
 */
Datum
padlock_install(PG_FUNCTION_ARGS)
{
	bool		in_script = creating_extension;
	PadlockUserContext saved;
	int			made = 0;

	if (!superuser() && GetUserId() != padlock_owner())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to install padlock's tables"),
				 errhint("Only the owner of the extension or a superuser may do this.")));

	padlock_become_owner(&saved);
	creating_extension = false;
	PG_TRY();
	{
		made = run_definitions();
	}
	PG_FINALLY();
	{
		creating_extension = in_script;
	}
	PG_END_TRY();
	padlock_restore_user(&saved);

	PG_RETURN_INT32(made);
}

/*
 * Is this session a restore?  pg_dump's output sets both row_security and
 * xmloption in the session; people set one of them at most.
 */
static bool
is_restoring(void)
{
	bool		restoring;

	SPI_connect();
	if (SPI_execute("SELECT 1 FROM pg_catalog.pg_settings"
					" WHERE name IN ('row_security', 'xmloption') AND source = 'session'",
					true, 0) != SPI_OK_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not read pg_settings")));
	restoring = SPI_processed == 2;
	SPI_finish();
	return restoring;
}

/*
 * padlock.wants_install() returns boolean: should CREATE EXTENSION go on to
 * padlock.install()?  Not inside a restore, where the dump brings the tables.
 * An error (55000) when the library is not preloaded.
 */
Datum
padlock_wants_install(PG_FUNCTION_ARGS)
{
	padlock_require_preload("extension \"padlock\"");
	PG_RETURN_BOOL(auto_install && !is_restoring());
}

/*
 * The mark is service_role's right to use schema padlock: install() grants it
 * in its own transaction, and pg_dump's output grants after everything else,
 * rows, indexes, triggers and policies (RESTORE_PASS_ACL in
 * pg_backup_archiver.c).  A restore without grants ends with install().
 */
bool
padlock_is_installed_whole(void)
{
	Oid			schema = get_namespace_oid("padlock", true);
	Oid			role = get_role_oid("service_role", true);

	return OidIsValid(schema) && OidIsValid(role) &&
		pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
}
