/*-------------------------------------------------------------------------
 *
 * sql_handler.h
 *	  Job types that users register: between their list and their running.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SQL_HANDLER_H
#define PADLOCK_SQL_HANDLER_H

#include "postgres.h"

/* What a job of a registered type needs; valid in the transaction it was found in. */
typedef struct PadlockSqlHandler
{
	Oid			function;		/* takes one jsonb, returns jsonb */
	Oid			role;			/* whose rights it runs with */
	int			timeout_ms;
} PadlockSqlHandler;

/*
 * The handler of a job type; false when none is registered.  An error when
 * there is one that cannot or must not run any more.  Must run inside a
 * transaction.
 */
extern bool padlock_sql_handler_find(const char *job_type, PadlockSqlHandler *handler);

#endif							/* PADLOCK_SQL_HANDLER_H */
