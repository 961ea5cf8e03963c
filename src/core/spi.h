/*-------------------------------------------------------------------------
 *
 * spi.h
 *	  SQL from C: statements prepared once a session, with the client
 *	  schema's name filled in, run as the caller or as the extension's owner.
 *
 * Every SQL function that uses this must be declared with
 * SET search_path = pg_catalog, pg_temp; background workers set the same.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SPI_H
#define PADLOCK_SPI_H

#include "executor/spi.h"

#define PADLOCK_MAX_PARAMS 64

/*
 * A statement and its saved plan.  Declare static, fill sql, nargs and
 * argtypes; @app@ in sql stands for the quoted client schema.
 */
typedef struct PadlockStatement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[16];
	SPIPlanPtr	plan;			/* NULL until first used */
	Oid			schema;			/* client schema the plan was made for */
} PadlockStatement;

/*
 * Run a statement between SPI_connect() and SPI_finish().  nulls is as in
 * SPI_execute_plan or NULL.  Returns the number of rows; the result is in
 * SPI_tuptable.  Any failure is raised as an error.
 */
extern uint64 padlock_spi_execute(PadlockStatement *statement, Datum *values,
								  const char *nulls, bool read_only);

/* Replace every @app@ by the quoted name of the client schema; palloc'd. */
extern char *padlock_sql(const char *template);

/* Is the extension in this database?  Costs nothing unless that may have changed. */
extern bool padlock_is_installed(void);

/* The schema that holds the tables and endpoints (CREATE EXTENSION … SCHEMA). */
extern Oid	padlock_client_schema(void);

/* Schema padlock; InvalidOid without one. */
extern Oid	padlock_internal_schema(void);

/* The extension's owner. */
extern Oid	padlock_owner(void);

/* OID of a table of the client schema; an error with a hint if missing. */
extern Oid	padlock_client_table(const char *name);

/* Identity saved while code runs as the extension's owner. */
typedef struct PadlockUserContext
{
	Oid			user_id;
	int			sec_context;
} PadlockUserContext;

/*
 * Act as the extension's owner (row security bypassed) until
 * padlock_restore_user().  An error in between is undone by the transaction's
 * abort, so no PG_TRY is needed.
 */
extern void padlock_become_owner(PadlockUserContext *saved);
extern void padlock_restore_user(const PadlockUserContext *saved);

/* One column of the current SPI result as a Datum copied out of SPI memory. */
extern Datum padlock_spi_datum(int row, int column, bool *isnull);

#endif							/* PADLOCK_SPI_H */
