/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  Reading single rows by primary key, whatever the caller may read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_LOOKUP_H
#define PADLOCK_LOOKUP_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/uuid.h"

/*
 * Takes what it needs of a row, as copies: the row is gone when it returns.
 * *result is the caller's.
 */
typedef void (*PadlockRowReader) (HeapTuple row, TupleDesc desc, void *result);

/*
 * Hand the row of relid whose single-column primary key equals key (equality
 * function OID as in fmgroids.h) to a reader.  False when relid is invalid or
 * there is no such row.
 */
extern bool padlock_lookup_row(Oid relid, Oid equality, Datum key, PadlockRowReader reader,
							   void *result);

/* A column of such a row by name; NULL datum with *isnull for a missing column. */
extern Datum padlock_lookup_column(HeapTuple tuple, TupleDesc desc, const char *column,
								   bool *isnull);

/* Hand the row of the API key with that SHA-256 hash, a bytea, to a reader; false without one. */
extern bool padlock_lookup_key(Datum hash, PadlockRowReader reader, void *result);

/* Is the user in admin_users, and as a super_admin?  (admin_list.c) */
extern void padlock_lookup_admin(const pg_uuid_t *user_id, bool *is_admin, bool *is_super_admin);

/* Set-up of admin_list.c, called by padlock_identity_init. */
extern void padlock_admin_list_init(void);

/* Does the company exist (result), and is it active? */
extern bool padlock_lookup_company(const pg_uuid_t *company_id, bool *is_active);

/* Does the user exist? */
extern bool padlock_lookup_user(const pg_uuid_t *user_id);

/* Is there such a session, of this user, neither revoked nor expired? */
extern bool padlock_lookup_session(const pg_uuid_t *session_id, const pg_uuid_t *user_id);

#endif							/* PADLOCK_LOOKUP_H */
