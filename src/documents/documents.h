/*-------------------------------------------------------------------------
 *
 * documents.h
 *	  The door of room documents.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_DOCUMENTS_H
#define PADLOCK_DOCUMENTS_H

/*
 * Mark documents as failed whose extraction is pending although no job of
 * theirs is left.  Runs in the caller's transaction, as the extension's owner,
 * without an SPI connection around it.
 */
extern void padlock_documents_settle(void);

#endif							/* PADLOCK_DOCUMENTS_H */
