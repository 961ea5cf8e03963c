/*-------------------------------------------------------------------------
 *
 * audit.h
 *	  The door of room audit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_AUDIT_H
#define PADLOCK_AUDIT_H

#include "utils/uuid.h"

/*
 * Write down that the caller of this transaction reads a record's content, as
 * action READ.  Runs without an SPI connection around it.
 */
extern void padlock_audit_access(const char *table, const pg_uuid_t *record);

/*
 * Take a user's personal values out of the trail: the old and new values, the
 * address, agent and path of what the user did and of what was done to records
 * of the user's.  That it was done, when, to which record, stays.  Returns how
 * many rows.  Runs without an SPI connection around it.
 */
extern int64 padlock_audit_erase_user(const pg_uuid_t *user);

/*
 * Make the partitions of audit_logs for this month (UTC) and the given number
 * of months after it, as the extension's owner; returns how many were made.
 * Runs in the caller's transaction, without an SPI connection around it.
 */
extern int	padlock_audit_create_partitions(int months);

#endif							/* PADLOCK_AUDIT_H */
