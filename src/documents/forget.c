/*-------------------------------------------------------------------------
 *
 * forget.c
 *	  Erasing what is personal of a user.
 *
 * Documents go with their contents, and with each sealed content the only copy
 * of its data key; what stays in dead rows and in backups opens no more than
 * the keyring does.  Policies and claims stay: they are the insurer's records
 * too, and the law may want them kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "audit/audit.h"
#include "core/body.h"
#include "core/spi.h"

PG_FUNCTION_INFO_V1(padlock_forget_user);

/* Run a statement about the user; returns how many rows it was. */
static uint64
run(PadlockStatement *statement, const pg_uuid_t *user)
{
	Datum		value = UUIDPGetDatum(user);
	uint64		count;

	SPI_connect();
	count = padlock_spi_execute(statement, &value, NULL, false);
	SPI_finish();
	return count;
}

/*
 * The jobs about the user's documents, which hold their URLs, and mails to the
 * user's addresses.  Of a document that is gone nobody knows whose it was: the
 * jobs of all of those go, which have nothing to do any more.
 */
static void
erase_jobs(const pg_uuid_t *user)
{
	static PadlockStatement statements[] = {
		{
			.sql = "DELETE FROM @app@.job_queue j"
			" WHERE job_type IN ('pdf_extraction', 'document_seal') AND payload ? 'document_id'"
			" AND NOT EXISTS (SELECT FROM @app@.documents d"
			" WHERE d.id::text = lower(j.payload->>'document_id') AND d.user_id <> $1)",
			.nargs = 1,
			.argtypes = {UUIDOID}
		},
		{
			.sql = "DELETE FROM @app@.job_queue WHERE job_type = 'email_notification'"
			" AND lower(payload->>'to') IN (SELECT lower(email) FROM @app@.users WHERE id = $1"
			" UNION SELECT lower(email) FROM padlock.one_time_tokens WHERE user_id = $1)",
			.nargs = 1,
			.argtypes = {UUIDOID}
		}
	};

	for (int i = 0; i < lengthof(statements); i++)
		(void) run(&statements[i], user);
}

/* The password, open mails' tokens and the address: the account stays as a number. */
static void
erase_account(const pg_uuid_t *user)
{
	static PadlockStatement statements[] = {
		{
			.sql = "DELETE FROM padlock.one_time_tokens WHERE user_id = $1",
			.nargs = 1,
			.argtypes = {UUIDOID}
		},
		{
			.sql = "DELETE FROM padlock.credentials WHERE user_id = $1",
			.nargs = 1,
			.argtypes = {UUIDOID}
		},
		{
			.sql = "UPDATE @app@.users SET email = 'erased+' || id || '@erased.invalid' WHERE id = $1",
			.nargs = 1,
			.argtypes = {UUIDOID}
		}
	};

	for (int i = 0; i < lengthof(statements); i++)
		(void) run(&statements[i], user);
}

/*
 * Stop unless the user is there and no admin.  An office that was left would be a
 * nameless account's, so whoever may end it does that first.  The lock keeps
 * others from making him one until the transaction ends: they refer to the row.
 */
static void
require_plain_user(const pg_uuid_t *user)
{
	static PadlockStatement find = {
		.sql = "SELECT FROM @app@.users WHERE id = $1 FOR UPDATE", .nargs = 1, .argtypes = {UUIDOID}
	};
	static PadlockStatement office = {
		.sql = "SELECT FROM @app@.admin_users WHERE id = $1", .nargs = 1, .argtypes = {UUIDOID}
	};

	if (run(&find, user) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND), errmsg("user does not exist")));
	if (run(&office, user) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("user is an admin"),
				 errdetail("Nobody was erased."),
				 errhint("Delete the user's row of %s first, as a super admin or the owner of the table, then call padlock.forget_user() again.",
						 padlock_sql("@app@.admin_users"))));
}

/*
 * padlock.forget_user(user_id uuid) returns jsonb: erase a user's documents,
 * sessions, password and address, and the personal values in the audit trail,
 * those of this erasure too.  Returns how many of each.  P0002 for an unknown
 * user, 55006 for an admin, 25001 in a transaction whose snapshot could miss
 * what others stored.
 */
Datum
padlock_forget_user(PG_FUNCTION_ARGS)
{
	static PadlockStatement documents = {
		.sql = "DELETE FROM @app@.documents WHERE user_id = $1", .nargs = 1, .argtypes = {UUIDOID}
	};
	static PadlockStatement sessions = {
		.sql = "DELETE FROM padlock.sessions WHERE user_id = $1", .nargs = 1, .argtypes = {UUIDOID}
	};
	const pg_uuid_t *user;
	PadlockUserContext saved;
	uint64		counts[2];
	int64		audit_rows;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("user_id must not be null")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("padlock.forget_user() must run at isolation level READ COMMITTED"),
				 errdetail("With an older snapshot it could leave what others stored meanwhile.")));
	user = PG_GETARG_UUID_P(0);
	/* as the owner: EXECUTE is the right to do it */
	padlock_become_owner(&saved);
	require_plain_user(user);
	erase_jobs(user);
	counts[0] = run(&documents, user);
	counts[1] = run(&sessions, user);
	erase_account(user);
	audit_rows = padlock_audit_erase_user(user);
	padlock_restore_user(&saved);
	PG_RETURN_JSONB_P(padlock_answer("{\"documents\": %llu, \"sessions\": %llu, \"audit_rows\": %lld}",
									 (unsigned long long) counts[0],
									 (unsigned long long) counts[1], (long long) audit_rows));
}
