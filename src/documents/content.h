/*-------------------------------------------------------------------------
 *
 * content.h
 *	  Contents of documents: stored, sealed when the document asks for it,
 *	  opened, sealed anew under another key.
 *
 * All functions must run inside a transaction, without an SPI connection of
 * the caller's open around them, and act as the extension's owner: who may see
 * or change the document is the caller's question.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_DOCUMENTS_CONTENT_H
#define PADLOCK_DOCUMENTS_CONTENT_H

#include "postgres.h"

#include "utils/uuid.h"

#include "envelope/envelope.h"

/* The largest content, in bytes. */
#define PADLOCK_MAX_CONTENT		(100 * 1024 * 1024)

typedef enum PadlockContentPart
{
	PADLOCK_CONTENT_FILE,		/* the bytes */
	PADLOCK_CONTENT_TEXT		/* the text extracted from them */
} PadlockContentPart;

/*
 * Store a document's content in place of what it had: sealed if the document's
 * column encrypt says so, and then the document says that it is.  A PDF's text
 * is queued for extraction.  False when the document does not exist.
 */
extern bool padlock_content_store(const pg_uuid_t *document, const void *bytes, size_t length);

/*
 * Seal a content that was stored in clear before the document was to be
 * encrypted; its text is extracted anew.  Returns its bytes, -1 when there is
 * nothing of the kind.
 */
extern int64 padlock_content_seal(const pg_uuid_t *document);

/*
 * Seal what was fetched from a document's URL.  Returns its bytes, -1 when the
 * document is gone or was given its content meanwhile, which stays; 55000 when it
 * has another URL by now.
 */
extern int64 padlock_content_seal_fetched(const pg_uuid_t *document, const char *url,
										  const void *bytes, size_t length);

/*
 * Store a document's text with its number of pages, sealed if its content is,
 * in documents.extracted_text otherwise.  False when the document does not
 * exist, waits for its content to be sealed, or has not the content any more whose
 * text this is, by document_contents.version (0: none was stored).
 */
extern bool padlock_content_store_text(const pg_uuid_t *document, int version, const char *text,
									   int pages);

/*
 * A part of a document, opened, palloc'd; NULL when it has none.  A text is in
 * the database's encoding.  Whoever asks wipes it.
 */
extern bytea *padlock_content_open(const pg_uuid_t *document, PadlockContentPart part);

/*
 * The place of a walk through the documents whose seals are not under the active
 * key, in the order of keys and ids.  All zero: before the first.
 */
typedef struct PadlockStaleWalk
{
	char		key_name[PADLOCK_KEY_NAME_SIZE];
	pg_uuid_t	last;
} PadlockStaleWalk;

/* Documents that are given at a time, at most. */
#define PADLOCK_STALE_BATCH		100

/*
 * Give the walk's next documents: their ids, which are PADLOCK_STALE_BATCH at
 * most, and how many; 0 after the last.
 */
extern int	padlock_content_next_stale(PadlockStaleWalk *walk, pg_uuid_t *ids);

/* How many documents are sealed under another key than this one. */
extern int64 padlock_content_count_stale(const char *key_name);

/*
 * Seal a document's parts under the active key, if they are sealed under another.
 * 55000 when its content is in the object store (again): bring it back first.
 */
extern void padlock_content_reseal(const pg_uuid_t *document);

#endif							/* PADLOCK_DOCUMENTS_CONTENT_H */
