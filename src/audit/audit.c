/*-------------------------------------------------------------------------
 *
 * audit.c
 *	  The audit trail: one row trigger for all audited tables.
 *
 * The trigger runs in the transaction of the change, so a change and its
 * record are committed together or not at all.  It inserts as the owner of
 * the extension, since nobody else may, and takes actor, address, agent and
 * path from the caller record.
 *
 * Arguments of the trigger name columns whose values are left out of the
 * trail: contents rather than facts, such as the text of a document.
 *
 * What is in the trail is sealed later, see seal.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "audit/audit.h"
#include "core/body.h"
#include "core/spi.h"
#include "identity/caller.h"

PG_FUNCTION_INFO_V1(padlock_audit_row);
PG_FUNCTION_INFO_V1(padlock_audit_refuse);
PG_FUNCTION_INFO_V1(padlock_create_audit_partitions);

/* Parameters of the insert, in order. */
enum
{
	AUDIT_USER_ID, AUDIT_COMPANY_ID, AUDIT_ACTION, AUDIT_TABLE_NAME, AUDIT_RECORD_ID,
	AUDIT_OLD, AUDIT_NEW, AUDIT_OMITTED, AUDIT_IP, AUDIT_AGENT, AUDIT_PATH,
	AUDIT_ID, AUDIT_SALT, AUDIT_PARAMS
};

#define RANDOM_POOL		(256 * UUID_LEN)

/* Do two versions of a row differ in anything but updated_at? */
static bool
is_changed(HeapTuple before, HeapTuple after, TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		was_null;
		bool		is_null;
		Datum		was;
		Datum		is;

		if (attribute->attisdropped || strcmp(NameStr(attribute->attname), "updated_at") == 0)
			continue;
		was = heap_getattr(before, i + 1, desc, &was_null);
		is = heap_getattr(after, i + 1, desc, &is_null);
		if (was_null != is_null ||
			(!was_null && !datum_image_eq(was, is, attribute->attbyval, attribute->attlen)))
			return true;
	}
	return false;
}

/* The trigger's arguments as text[]: columns to leave out. */
static Datum
omitted_columns(Trigger *trigger)
{
	Datum	   *names = palloc(sizeof(Datum) * Max(trigger->tgnargs, 1));

	for (int i = 0; i < trigger->tgnargs; i++)
		names[i] = CStringGetTextDatum(trigger->tgargs[i]);
	return PointerGetDatum(construct_array(names, trigger->tgnargs, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

static void
set_text(Datum *values, char *nulls, int param, const char *text)
{
	if (text == NULL)
		return;
	values[param] = CStringGetTextDatum(text);
	nulls[param] = ' ';
}

/*
 * A random uuid (RFC 4122, version 4).  One call of the generator for many
 * costs a fraction of what one for each does (libcrypto's, 1-3 us).
 */
static Datum
make_uuid(void)
{
	static unsigned char pool[RANDOM_POOL];
	static int	used = RANDOM_POOL;
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	if (used == RANDOM_POOL)
	{
		if (!pg_strong_random(pool, RANDOM_POOL))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
		used = 0;
	}
	memcpy(uuid->data, pool + used, UUID_LEN);
	/* a salt must not outlive its row */
	memset(pool + used, 0, UUID_LEN);
	used += UUID_LEN;
	uuid->data[6] = (uuid->data[6] & 0x0f) | 0x40;
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;
	return UUIDPGetDatum(uuid);
}

/* Begin an audit row with what stands in every one; the rest is null. */
static void
begin_row(Datum *values, char *nulls, const char *action, const char *table)
{
	const PadlockCaller *caller = padlock_caller();

	memset(nulls, 'n', AUDIT_PARAMS);
	set_text(values, nulls, AUDIT_ACTION, action);
	set_text(values, nulls, AUDIT_TABLE_NAME, table);
	values[AUDIT_ID] = make_uuid();
	values[AUDIT_SALT] = make_uuid();
	nulls[AUDIT_ID] = nulls[AUDIT_SALT] = ' ';
	if (caller->has_user)
	{
		values[AUDIT_USER_ID] = UUIDPGetDatum(&caller->user_id);
		nulls[AUDIT_USER_ID] = ' ';
	}
	if (caller->has_company)
	{
		values[AUDIT_COMPANY_ID] = UUIDPGetDatum(&caller->company_id);
		nulls[AUDIT_COMPANY_ID] = ' ';
	}
	set_text(values, nulls, AUDIT_IP, caller->ip_address);
	set_text(values, nulls, AUDIT_AGENT, caller->user_agent);
	set_text(values, nulls, AUDIT_PATH, caller->request_path);
}

/* The row's id, when it has a column id of type uuid. */
static void
set_record_id(Datum *values, char *nulls, HeapTuple row, TupleDesc desc)
{
	int			column = SPI_fnumber(desc, "id");
	bool		isnull;

	if (column <= 0 || SPI_gettypeid(desc, column) != UUIDOID)
		return;
	values[AUDIT_RECORD_ID] = heap_getattr(row, column, desc, &isnull);
	if (!isnull)
		nulls[AUDIT_RECORD_ID] = ' ';
}

/* Insert an audit row as the owner. */
static void
insert_row(PadlockStatement *insert, Datum *values, const char *nulls)
{
	PadlockUserContext saved;

	padlock_become_owner(&saved);
	SPI_connect();
	padlock_spi_execute(insert, values, nulls, false);
	SPI_finish();
	padlock_restore_user(&saved);
}

/* Insert the audit row for a change; before and after may be NULL. */
static void
record_change(TriggerData *trigger, const char *action, HeapTuple before, HeapTuple after)
{
	static PadlockStatement insert = {
		.sql = "INSERT INTO @app@.audit_logs (user_id, company_id, action, table_name, record_id,"
		" old_values, new_values, ip_address, user_agent, request_path, id, salt)"
		" VALUES ($1, $2, $3, $4, $5, to_jsonb($6) - $8, to_jsonb($7) - $8, $9, $10, $11, $12, $13)",
		.nargs = AUDIT_PARAMS,
		.argtypes = {UUIDOID, UUIDOID, TEXTOID, TEXTOID, UUIDOID, RECORDOID, RECORDOID,
		TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID, UUIDOID}
	};
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Datum		values[AUDIT_PARAMS] = {0};
	char		nulls[AUDIT_PARAMS];

	begin_row(values, nulls, action, RelationGetRelationName(trigger->tg_relation));
	values[AUDIT_OMITTED] = omitted_columns(trigger->tg_trigger);
	nulls[AUDIT_OMITTED] = ' ';
	if (before != NULL)
	{
		values[AUDIT_OLD] = heap_copy_tuple_as_datum(before, desc);
		nulls[AUDIT_OLD] = ' ';
	}
	if (after != NULL)
	{
		values[AUDIT_NEW] = heap_copy_tuple_as_datum(after, desc);
		nulls[AUDIT_NEW] = ' ';
	}
	if (before != NULL || after != NULL)
		set_record_id(values, nulls, after != NULL ? after : before, desc);
	insert_row(&insert, values, nulls);
}

/*
 * padlock.audit_row(omitted column, ...) trigger: AFTER INSERT, UPDATE or
 * DELETE FOR EACH ROW, and AFTER TRUNCATE FOR EACH STATEMENT.
 */
Datum
padlock_audit_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		(TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) &&
		 !TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("audit_row must be fired AFTER a change FOR EACH ROW or AFTER TRUNCATE")));

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		record_change(trigger, "TRUNCATE", NULL, NULL);
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		record_change(trigger, "INSERT", NULL, trigger->tg_trigtuple);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		record_change(trigger, "DELETE", trigger->tg_trigtuple, NULL);
	else if (is_changed(trigger->tg_trigtuple, trigger->tg_newtuple,
						RelationGetDescr(trigger->tg_relation)))
		record_change(trigger, "UPDATE", trigger->tg_trigtuple, trigger->tg_newtuple);
	return PointerGetDatum(NULL);
}

/* Insert the audit row of something that is no change of a row; details may be NULL. */
static void
record_event(const char *action, const char *table, const pg_uuid_t *record, Jsonb *details)
{
	static PadlockStatement insert = {
		.sql = "INSERT INTO @app@.audit_logs (user_id, company_id, action, table_name, record_id,"
		" new_values, ip_address, user_agent, request_path, id, salt)"
		" VALUES ($1, $2, $3, $4, $5, $7, $9, $10, $11, $12, $13)",
		.nargs = AUDIT_PARAMS,
		.argtypes = {UUIDOID, UUIDOID, TEXTOID, TEXTOID, UUIDOID, JSONBOID, JSONBOID,
		TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID, UUIDOID}
	};
	Datum		values[AUDIT_PARAMS] = {0};
	char		nulls[AUDIT_PARAMS];

	begin_row(values, nulls, action, table);
	values[AUDIT_RECORD_ID] = UUIDPGetDatum(record);
	nulls[AUDIT_RECORD_ID] = ' ';
	if (details != NULL)
	{
		values[AUDIT_NEW] = JsonbPGetDatum(details);
		nulls[AUDIT_NEW] = ' ';
	}
	insert_row(&insert, values, nulls);
}

void
padlock_audit_access(const char *table, const pg_uuid_t *record)
{
	record_event("READ", table, record, NULL);
}

/* Is the update at hand padlock_audit_erase_user()'s? */
static bool erasing = false;

int64
padlock_audit_erase_user(const pg_uuid_t *user)
{
	static PadlockStatement erase = {
		.sql = "UPDATE @app@.audit_logs SET old_values = NULL, new_values = NULL, ip_address = NULL,"
		" user_agent = NULL, request_path = NULL, erased_at = now(), salt = NULL,"
		" personal_digest = padlock.audit_personal_digest(salt, old_values, new_values,"
		" ip_address, user_agent, request_path)"
		" WHERE erased_at IS NULL AND (user_id = $1 OR old_values->>'user_id' = $1::text"
		" OR new_values->>'user_id' = $1::text)",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	Datum		value = UUIDPGetDatum(user);
	PadlockUserContext saved;
	volatile int64 count = 0;

	/* as the owner: nobody else may, and even the owner only from here */
	padlock_become_owner(&saved);
	SPI_connect();
	erasing = true;
	PG_TRY();
	{
		count = padlock_spi_execute(&erase, &value, NULL, false);
	}
	PG_FINALLY();
	{
		erasing = false;
	}
	PG_END_TRY();
	SPI_finish();
	padlock_restore_user(&saved);
	/* padlock.audit_verify() believes no erasure without it, nor of more rows */
	record_event("ERASE", "users", user, padlock_answer("{\"rows\": " INT64_FORMAT "}", count));
	return count;
}

/*
 * padlock.audit_refuse() trigger: BEFORE UPDATE, DELETE or TRUNCATE on the
 * trail itself and on its seals.  An error (42501) for every role, but for
 * padlock_audit_erase_user().
 */
Datum
padlock_audit_refuse(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (erasing && CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		return PointerGetDatum(trigger->tg_newtuple);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("audit rows cannot be changed or removed"),
			 errhint("Drop whole monthly partitions to end their retention.")));
}

/* The months that lack a partition and have no rows in the default one. */
static const char missing_months[] =
"SELECT 'audit_logs_' || to_char(month, 'YYYY_MM'),"
"       to_char(month, 'YYYY-MM-DD'), to_char(month + interval '1 month', 'YYYY-MM-DD')"
"  FROM generate_series(date_trunc('month', now() AT TIME ZONE 'UTC'),"
"                       date_trunc('month', now() AT TIME ZONE 'UTC') + $1 * interval '1 month',"
"                       interval '1 month') AS month"
" WHERE to_regclass('@app@.audit_logs_' || to_char(month, 'YYYY_MM')) IS NULL"
"   AND NOT EXISTS (SELECT FROM @app@.audit_logs_default"
"                    WHERE created_at >= month AT TIME ZONE 'UTC'"
"                      AND created_at < (month + interval '1 month') AT TIME ZONE 'UTC')";

/* Run the statements that make one partition. */
static void
create_partition(const char *name, const char *from, const char *to)
{
	char	   *sql = psprintf(
		"CREATE TABLE @app@.%1$s PARTITION OF @app@.audit_logs"
		" FOR VALUES FROM ('%2$s 00:00+00') TO ('%3$s 00:00+00');"
		"COMMENT ON TABLE @app@.%1$s IS 'padlock: audit rows of one month';"
		"ALTER TABLE @app@.%1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
		"REVOKE ALL ON TABLE @app@.%1$s FROM PUBLIC, anon, authenticated, service_role",
		name, from, to);
	int			result = SPI_execute(padlock_sql(sql), false, 0);

	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not create a partition: %s", SPI_result_code_string(result))));
}

/*
 * Statement triggers are not inherited, so each partition has its own; those
 * that DROP EXTENSION ... CASCADE took away come back here.
 */
static void
guard_partitions(void)
{
	static PadlockStatement unguarded = {
		.sql = "SELECT format('CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON %s"
		" FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_refuse()', inhrelid::regclass)"
		"  FROM pg_inherits"
		" WHERE inhparent = '@app@.audit_logs'::regclass"
		"   AND NOT EXISTS (SELECT FROM pg_trigger"
		"                    WHERE tgrelid = inhrelid AND tgname = 'audit_logs_no_truncate')"
	};
	uint64		count = padlock_spi_execute(&unguarded, NULL, NULL, false);
	SPITupleTable *rows = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		int			result = SPI_execute(SPI_getvalue(rows->vals[i], rows->tupdesc, 1), false, 0);

		if (result < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not guard a partition: %s", SPI_result_code_string(result))));
	}
}

int
padlock_audit_create_partitions(int months)
{
	static PadlockStatement missing = {
		.sql = missing_months, .nargs = 1, .argtypes = {INT4OID}
	};
	Datum		value = Int32GetDatum(months);
	PadlockUserContext saved;
	SPITupleTable *rows;
	uint64		count;

	padlock_become_owner(&saved);
	SPI_connect();
	count = padlock_spi_execute(&missing, &value, NULL, false);
	rows = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
		create_partition(SPI_getvalue(rows->vals[i], rows->tupdesc, 1),
						 SPI_getvalue(rows->vals[i], rows->tupdesc, 2),
						 SPI_getvalue(rows->vals[i], rows->tupdesc, 3));
	guard_partitions();
	SPI_finish();
	padlock_restore_user(&saved);
	return (int) count;
}

/*
 * padlock.create_audit_partitions(months integer DEFAULT 3) returns integer:
 * see padlock_audit_create_partitions().  The workers call it daily; for the
 * extension's owner.  Errors: 22023 for months below 0 or above 120.
 */
Datum
padlock_create_audit_partitions(PG_FUNCTION_ARGS)
{
	int			months = PG_ARGISNULL(0) ? -1 : PG_GETARG_INT32(0);

	if (months < 0 || months > 120)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("months must be 0 to 120")));
	PG_RETURN_INT32(padlock_audit_create_partitions(months));
}
