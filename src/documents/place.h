/*-------------------------------------------------------------------------
 *
 * place.h
 *	  Where sealed contents lie: in the database, or in an object store that
 *	  workers talk to.
 *
 * Only sealed contents ever leave the database.  What a function here needs is
 * as content.h says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_DOCUMENTS_PLACE_H
#define PADLOCK_DOCUMENTS_PLACE_H

#include "postgres.h"

#include "utils/uuid.h"

/* Job types; worker's document_store.c does them. */
#define PADLOCK_STORE_JOB	"document_store"	/* {"document_id"} */
#define PADLOCK_FETCH_JOB	"document_fetch"	/* {"document_id"} */
#define PADLOCK_ERASE_JOB	"document_erase"	/* {"object_key"} */

#define PADLOCK_OBJECT_HASH_SIZE 32 /* SHA-256 */

/* Room set-up, called by _PG_init only: settings. */
extern void padlock_documents_init(void);

/* What is to be done so that a content lies where padlock.document_store says. */
typedef enum PadlockMove
{
	PADLOCK_MOVE_NOTHING,
	PADLOCK_MOVE_OUT,			/* to the object store */
	PADLOCK_MOVE_BACK			/* to the database */
} PadlockMove;

/* A content's place; palloc'd with what it points to. */
typedef struct PadlockPlace
{
	PadlockMove move;
	bool		away;			/* is it in the object store alone? */
	bool		failed;			/* was the last attempt to fetch it in vain? */
	char	   *object_key;		/* of the object that there is, or NULL */
	uint8		hash[PADLOCK_OBJECT_HASH_SIZE]; /* of the object */
} PadlockPlace;

/* The place of a document's content; NULL when it has none. */
extern PadlockPlace *padlock_content_place(const pg_uuid_t *document);

/*
 * Note the name that a content's object is to have, and return it, palloc'd,
 * with the content to be stored; the name begins with prefix.  The request that
 * stores it must begin after the commit and end within limit_ms.  NULL when the
 * document or its content is gone, or lies in the store by now.  Whatever comes
 * of it, the object is erased when the row lets go of the name.
 */
extern char *padlock_content_moving_out(const pg_uuid_t *document, const char *prefix,
										int64 limit_ms, bytea **content);

/*
 * The content was stored under object_key: let go of the copy in the database.
 * False when the document or its content is another by now; the object is
 * nobody's then, and its erasure is queued.
 */
extern bool padlock_content_moved_out(const pg_uuid_t *document, const char *object_key,
									  const uint8 *hash);

/*
 * The object's bytes are here again: keep them beside the object for a while,
 * or (stay) in place of it.  False when the object is the document's no more.
 */
extern bool padlock_content_moved_back(const pg_uuid_t *document, const char *object_key,
									   bytea *content, bool stay);

/* What becomes of a content that is asked for. */
typedef enum PadlockAwayState
{
	PADLOCK_NOT_AWAY,			/* it is here, or there is none */
	PADLOCK_BEING_FETCHED,
	PADLOCK_NOT_FETCHED			/* it was asked for within a minute, in vain */
} PadlockAwayState;

/* Have a content that is away fetched. */
extern PadlockAwayState padlock_content_ask_for(const pg_uuid_t *document);

/* A content that was asked for does not come, for this reason; needs a transaction. */
extern void padlock_content_not_fetched(const pg_uuid_t *document, const char *error);

/* Does a document's content lie under this key, or is it on its way there? */
extern bool padlock_object_is_named(const char *object_key);

/* Let go of copies of objects that nobody has asked for for an hour. */
extern void padlock_content_evict(void);

#endif							/* PADLOCK_DOCUMENTS_PLACE_H */
