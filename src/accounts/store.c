/*-------------------------------------------------------------------------
 *
 * store.c
 *	  Users and their passwords.
 *
 * A user is a row of users.  His password is a row of padlock.credentials,
 * which exists from the moment he proved his address (or at once, with
 * padlock.email_confirmation off).  So an address that somebody else signed up
 * for is nobody's before it is proven, and a user whom an admin made has no
 * password until he proves that the address is his.
 *
 * Locking contract: whoever opens a session locks the row of the password until
 * commit, whoever changes the password updates that row first and ends sessions
 * then.  So no session opened with the old password survives, and the sessions
 * of a user are counted one sign-in after the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/resowner.h"

#include "accounts/password.h"
#include "accounts/store.h"

static PadlockStatement find_statement = {
	"SELECT u.id, u.email, c.password_hash"
	" FROM @app@.users u LEFT JOIN padlock.credentials c ON c.user_id = u.id"
	" WHERE pg_catalog.lower(u.email) = pg_catalog.lower($1)",
	1, {TEXTOID}
};

static PadlockStatement read_statement = {
	"SELECT u.id, u.email, c.password_hash"
	" FROM @app@.users u LEFT JOIN padlock.credentials c ON c.user_id = u.id"
	" WHERE u.id = $1",
	1, {UUIDOID}
};

/* A few probes of an index on the parameters, however many accounts there are. */
static PadlockStatement costs_statement = {
	"WITH RECURSIVE c (parameters) AS ("
	"(SELECT pg_catalog.split_part(password_hash, '$', 3) AS p FROM padlock.credentials"
	" ORDER BY p LIMIT 1)"
	" UNION ALL SELECT (SELECT pg_catalog.split_part(o.password_hash, '$', 3) AS p"
	" FROM padlock.credentials o WHERE pg_catalog.split_part(o.password_hash, '$', 3) > c.parameters"
	" ORDER BY p LIMIT 1) FROM c WHERE c.parameters IS NOT NULL)"
	" SELECT parameters FROM c WHERE parameters IS NOT NULL",
	0
};

static PadlockStatement hold_statement = {
	"SELECT FROM padlock.credentials WHERE user_id = $1 AND password_hash = $2 FOR NO KEY UPDATE",
	2, {UUIDOID, TEXTOID}
};

static PadlockStatement replace_statement = {
	"UPDATE padlock.credentials SET password_hash = $3"
	" WHERE user_id = $1 AND password_hash = $2",
	3, {UUIDOID, TEXTOID, TEXTOID}
};

static PadlockStatement set_statement = {
	"INSERT INTO padlock.credentials AS c (user_id, password_hash, email_confirmed_at)"
	" VALUES ($1, $2, pg_catalog.now())"
	" ON CONFLICT (user_id) DO UPDATE SET password_hash = $2,"
	" email_confirmed_at = COALESCE(c.email_confirmed_at, pg_catalog.now())",
	2, {UUIDOID, TEXTOID}
};

static PadlockStatement add_user_statement = {
	"INSERT INTO @app@.users (email) VALUES ($1)"
	" ON CONFLICT (pg_catalog.lower(email)) DO NOTHING RETURNING id, email",
	1, {TEXTOID}
};

static PadlockStatement add_password_statement = {
	"INSERT INTO padlock.credentials (user_id, password_hash, email_confirmed_at)"
	" SELECT u.id, $2, CASE WHEN $3 THEN pg_catalog.now() END"
	" FROM @app@.users u WHERE pg_catalog.lower(u.email) = pg_catalog.lower($1)"
	" ON CONFLICT (user_id) DO NOTHING",
	3, {TEXTOID, TEXTOID, BOOLOID}
};

static PadlockStatement move_statement = {
	"UPDATE @app@.users u SET email = $2 WHERE u.id = $1 AND NOT EXISTS ("
	"SELECT FROM @app@.users o WHERE pg_catalog.lower(o.email) = pg_catalog.lower($2) AND o.id <> $1)",
	2, {UUIDOID, TEXTOID}
};

static PadlockStatement confirmed_statement = {
	"UPDATE padlock.credentials SET email_confirmed_at = pg_catalog.now() WHERE user_id = $1",
	1, {UUIDOID}
};

void
store_open(PadlockUserContext *saved)
{
	padlock_become_owner(saved);
	SPI_connect();
}

void
store_close(const PadlockUserContext *saved)
{
	SPI_finish();
	padlock_restore_user(saved);
}

uint64
store_run(PadlockStatement *statement, Datum *values, const char *nulls)
{
	return padlock_spi_execute(statement, values, nulls, false);
}

char *
store_text(int row, int column)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
	char	   *copy;

	if (text == NULL)
		return NULL;
	copy = SPI_palloc(strlen(text) + 1);
	return strcpy(copy, text);
}

pg_uuid_t
store_uuid(int row, int column)
{
	bool		isnull;
	Datum		value = padlock_spi_datum(row, column, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("unexpected null in a result")));
	return *DatumGetUUIDP(value);
}

/* Run a statement that is not asked for its rows. */
static uint64
execute(PadlockStatement *statement, Datum *values)
{
	PadlockUserContext saved;
	uint64		count;

	store_open(&saved);
	count = store_run(statement, values, NULL);
	store_close(&saved);
	return count;
}

/* The one account that a statement finds. */
static bool
read_account(PadlockStatement *statement, Datum key, Account *account)
{
	PadlockUserContext saved;
	bool		found;

	store_open(&saved);
	found = store_run(statement, &key, NULL) > 0;
	if (found)
	{
		account->id = store_uuid(0, 1);
		account->email = store_text(0, 2);
		account->password_hash = store_text(0, 3);
	}
	store_close(&saved);
	return found;
}

bool
account_find(const char *email, Account *account)
{
	return read_account(&find_statement, CStringGetTextDatum(email), account);
}

bool
account_read(const pg_uuid_t *id, Account *account)
{
	return read_account(&read_statement, UUIDPGetDatum(id), account);
}

uint32
account_password_costs(void)
{
	PadlockUserContext saved;
	uint32		costs = 0;
	int			count;

	store_open(&saved);
	count = (int) store_run(&costs_statement, NULL, NULL);
	for (int i = 0; i < count; i++)
	{
		int			cost = password_cost_of(store_text(i, 1));

		if (cost != 0)
			costs |= PASSWORD_COST_BIT(cost);
	}
	store_close(&saved);
	return costs;
}

bool
account_hold_password(const Account *account)
{
	Datum		values[2] = {
		UUIDPGetDatum(&account->id), CStringGetTextDatum(account->password_hash)
	};

	return execute(&hold_statement, values) > 0;
}

bool
account_replace_password(const Account *account, const char *password_hash)
{
	Datum		values[3] = {
		UUIDPGetDatum(&account->id), CStringGetTextDatum(account->password_hash),
		CStringGetTextDatum(password_hash)
	};

	return execute(&replace_statement, values) > 0;
}

void
account_set_password(const pg_uuid_t *id, const char *password_hash)
{
	Datum		values[2] = {UUIDPGetDatum(id), CStringGetTextDatum(password_hash)};

	(void) execute(&set_statement, values);
}

/* Add the password of the user with this address; false when he has one. */
static bool
add_password(const char *email, const char *password_hash, bool confirmed)
{
	Datum		values[3] = {
		CStringGetTextDatum(email), CStringGetTextDatum(password_hash), BoolGetDatum(confirmed)
	};

	return execute(&add_password_statement, values) > 0;
}

bool
account_confirm(const char *email, const char *password_hash)
{
	Datum		address = CStringGetTextDatum(email);

	(void) execute(&add_user_statement, &address);
	return add_password(email, password_hash, true);
}

bool
account_create(const char *email, const char *password_hash, Account *account)
{
	Datum		address = CStringGetTextDatum(email);

	if (execute(&add_user_statement, &address) == 0)
		return false;
	return add_password(email, password_hash, false) && account_find(email, account);
}

/* Leave the subtransaction of execute_unique(), with what it was begun in. */
static void
end_subtransaction(bool commit, MemoryContext context, ResourceOwner owner)
{
	MemoryContextSwitchTo(context);
	if (commit)
		ReleaseCurrentSubTransaction();
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

/* As execute(), but no rows are changed where a unique constraint forbids it. */
static uint64
execute_unique(PadlockStatement *statement, Datum *values)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile uint64 count = 0;
	ErrorData  *error;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		count = execute(statement, values);
		end_subtransaction(true, context, owner);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		end_subtransaction(false, context, owner);
		if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			ReThrowError(error);
	}
	PG_END_TRY();
	return count;
}

bool
account_move(const pg_uuid_t *id, const char *email)
{
	Datum		values[2] = {UUIDPGetDatum(id), CStringGetTextDatum(email)};

	/* somebody may take the address at this very moment: the statement does not see that */
	if (execute_unique(&move_statement, values) == 0)
		return false;
	(void) execute(&confirmed_statement, values);
	return true;
}

char *
account_address(const char *email)
{
	return str_tolower(email, strlen(email), DEFAULT_COLLATION_OID);
}
