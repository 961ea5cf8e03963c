/*-------------------------------------------------------------------------
 *
 * documents.h
 *	  The door of room documents; contents are behind content.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_DOCUMENTS_H
#define PADLOCK_DOCUMENTS_H

#include <stdbool.h>

/* Of the jobs that fetch documents and extract their text. */
#define PADLOCK_POLICY_PRIORITY		10
#define PADLOCK_DOCUMENT_PRIORITY	5
#define PADLOCK_DOCUMENT_ATTEMPTS	3

/* Watch the ends of jobs about documents; called at set-up. */
extern void padlock_documents_watch(void);

/*
 * Mark documents as failed that wait for a job although no job of theirs is
 * left.  Runs in the caller's transaction, as the extension's owner, without
 * an SPI connection around it.
 */
extern void padlock_documents_settle(void);

/* Is a document a PDF, by its URL's path or its media type?  Either may be NULL. */
extern bool padlock_document_is_pdf(const char *url, const char *content_type);

#endif							/* PADLOCK_DOCUMENTS_H */
