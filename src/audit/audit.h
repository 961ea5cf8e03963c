/*-------------------------------------------------------------------------
 *
 * audit.h
 *	  The door of room audit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_AUDIT_H
#define PADLOCK_AUDIT_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/*
 * Write down that the caller of this transaction reads a record's content, as
 * action READ.  Runs without an SPI connection around it.
 */
extern void padlock_audit_access(const char *table, const pg_uuid_t *record);

/*
 * Take a user's personal values out of the trail: the old and new values, the
 * address, agent and path of what the user did and of what was done to records
 * of the user's.  That it was done, when, to which record, stays, as does a
 * digest of what was taken out.  Adds a row with action ERASE.  Returns how
 * many rows were erased.  Runs without an SPI connection around it.
 */
extern int64 padlock_audit_erase_user(const pg_uuid_t *user);

/* Room set-up, called by _PG_init only: settings. */
extern void padlock_audit_init(void);

/* Setting: seconds between two seals of the trail; 0 for none by itself. */
extern int	padlock_audit_seal_interval;

/* Where a run of seals stands: see seal.c.  Zeroed before its first batch. */
typedef struct PadlockSealRun
{
	int64		number;			/* newest seal when the run last looked */
	int64		base;			/* newest seal before the run */
	TimestampTz settled;		/* rows from before this time had come before it began */
	TimestampTz mark_time;		/* last row that was looked at */
	pg_uuid_t	mark_id;
} PadlockSealRun;

/*
 * Seal the next rows of the trail, as the extension's owner, if it is time and
 * nobody else does; true when more are waiting.  One batch a call, in the
 * caller's transaction, which must be at READ COMMITTED and hold no SPI
 * connection.
 */
extern bool padlock_audit_seal_due(PadlockSealRun *run);

/*
 * Make the partitions of audit_logs for this month (UTC) and the given number
 * of months after it, as the extension's owner; returns how many were made.
 * Runs in the caller's transaction, without an SPI connection around it.
 */
extern int	padlock_audit_create_partitions(int months);

#endif							/* PADLOCK_AUDIT_H */
