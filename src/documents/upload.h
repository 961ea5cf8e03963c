/*-------------------------------------------------------------------------
 *
 * upload.h
 *	  What the endpoints of room documents share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_DOCUMENTS_UPLOAD_H
#define PADLOCK_DOCUMENTS_UPLOAD_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* Stop with 413: the field says or holds more than a document may have. */
extern void padlock_upload_too_large(const char *field) pg_attribute_noreturn();

/*
 * A document's row as it is while its content is not sealed: pending when it is
 * to be, and padlock.queue_document() adds the job then.
 */
extern HeapTuple padlock_document_unsealed(HeapTuple row, TupleDesc desc, bool to_be_sealed);

/* A document's row as the caller sees it. */
extern Jsonb *padlock_upload_document(const pg_uuid_t *id);

#endif							/* PADLOCK_DOCUMENTS_UPLOAD_H */
