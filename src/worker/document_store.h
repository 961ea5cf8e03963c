/*-------------------------------------------------------------------------
 *
 * document_store.h
 *	  For jobs that need a document's content in the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_DOCUMENT_STORE_H
#define PADLOCK_DOCUMENT_STORE_H

#include "queue/queue.h"
#include "utils/uuid.h"

/*
 * Fetch a document's content from the object store if it is there alone.
 * Without a transaction, as part of a claimed job.
 */
extern void padlock_document_bring_back(const PadlockJob *job, const pg_uuid_t *document);

#endif							/* PADLOCK_DOCUMENT_STORE_H */
