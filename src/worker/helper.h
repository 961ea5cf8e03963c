/*-------------------------------------------------------------------------
 *
 * helper.h
 *	  Requests to the helper programs: the only place that starts a process.
 *
 * Nothing here may be called with a transaction open.  A helper that dies,
 * is late or sends what wire.h does not allow is killed, the request is an
 * error, and the next request starts another helper.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_HELPER_H
#define PADLOCK_HELPER_H

#include "postgres.h"

#include "agent/wire.h"

typedef enum PadlockHelperKind
{
	PADLOCK_HELPER_FETCH,
	PADLOCK_HELPER_PARSE
} PadlockHelperKind;

/*
 * Bytes that a helper sent or is sent: a sealed memfd, never looked into by
 * this process unless it is a parser's text or its own.  Closed when the memory context
 * it was received in is reset.
 */
typedef struct PadlockBlob
{
	int			fd;
	uint64		length;			/* bytes */
} PadlockBlob;

/* A whole, well-formed frame. */
typedef struct PadlockFrame
{
	WireHeader	header;
	const unsigned char *data;
	size_t		size;			/* with the header */
	PadlockBlob *body;			/* NULL if none came with it */
} PadlockFrame;

/*
 * Receives an answer's frames; true after the last.  It raises
 * padlock_helper_malformed() for one that does not belong.
 */
typedef bool (*PadlockFrameReader) (const PadlockFrame *frame, void *state);

/* Set up this process's use of helpers: they are killed when it exits. */
extern void padlock_helpers_init(void);

/* Kill helpers that an error left in the middle of a request. */
extern void padlock_helpers_settle(void);

/*
 * Send a request, with a body or NULL, to a helper of the kind, started if
 * need be, and hand each frame of the answer to `reader`.  An error after
 * timeout_ms without the last one.
 */
extern void padlock_helper_request(PadlockHelperKind kind, const WireBuffer *request,
								   const PadlockBlob *body, int timeout_ms,
								   PadlockFrameReader reader, void *state);

/*
 * Bytes as a body to send, sealed; closed as a received one.  The memory
 * context must not hold it longer than the job.
 */
extern PadlockBlob *padlock_helper_make_body(const char *bytes, size_t length);

/* Wipe the last answer's frame, which held a secret. */
extern void padlock_helper_wipe_answer(void);

/* Raise the error for an answer that the wire format does not allow. */
extern void padlock_helper_malformed(const char *what) pg_attribute_noreturn();

/*
 * A text field in the database's encoding, palloc'd; at most max bytes,
 * UTF-8 without NUL on the wire, or the answer is malformed.  A character
 * that the database's encoding lacks is an error.
 */
extern char *padlock_helper_text(const char *value, size_t length, size_t max);

/* The content of a body as it is. */
extern bytea *padlock_helper_read_bytes(const PadlockBlob *body);

/* A parser's text: the content of a body, checked as padlock_helper_text(). */
extern char *padlock_helper_read_body(const PadlockBlob *body, size_t max);

#endif							/* PADLOCK_HELPER_H */
