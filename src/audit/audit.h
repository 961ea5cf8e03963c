/*-------------------------------------------------------------------------
 *
 * audit.h
 *	  The door of room audit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_AUDIT_H
#define PADLOCK_AUDIT_H

/*
 * Make the partitions of audit_logs for this month (UTC) and the given number
 * of months after it, as the extension's owner; returns how many were made.
 * Runs in the caller's transaction, without an SPI connection around it.
 */
extern int	padlock_audit_create_partitions(int months);

#endif							/* PADLOCK_AUDIT_H */
