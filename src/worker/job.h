/*-------------------------------------------------------------------------
 *
 * job.h
 *	  What the worker loop and the handlers of job types promise each other.
 *
 * A handler is called without a transaction, in a memory context that lives
 * as long as the job.  It may run short transactions of its own between
 * padlock_worker_begin() and padlock_worker_commit(), none of them across
 * I/O.  It returns inside one it began, with its data written and not
 * committed: the loop ends the job in that transaction, so that data and
 * completion stand or fall together, and rolls both back when the claim was
 * lost.  A failure is an error: padlock_job_refuse() for one that no retry
 * can mend, any other error for one that is tried again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_JOB_H
#define PADLOCK_JOB_H

#include "postgres.h"

#include "queue/queue.h"

#define PADLOCK_UUID_LENGTH	36	/* characters of a UUID as text */

typedef struct PadlockJobType
{
	const char *name;

	/* Do the work; returns the job's result inside a transaction. */
	Jsonb	   *(*run) (const PadlockJob *job);

	/*
	 * Note a failed attempt in the job's own data, in the transaction that
	 * reports it; final when there will be no other.  May be NULL.
	 */
	void		(*failed) (const PadlockJob *job, const char *error, bool final);
} PadlockJobType;

extern const PadlockJobType padlock_job_pdf_extraction;
extern const PadlockJobType padlock_job_document_seal;
extern const PadlockJobType padlock_job_document_reseal;
extern const PadlockJobType padlock_job_ai_crawl;
extern const PadlockJobType padlock_job_product_refresh;
extern const PadlockJobType padlock_job_email_notification;
extern const PadlockJobType padlock_job_keyring;
extern const PadlockJobType padlock_job_document_store;
extern const PadlockJobType padlock_job_document_fetch;
extern const PadlockJobType padlock_job_document_erase;

/* Is this one of the types above? */
extern bool padlock_job_type_is_builtin(const char *name);

/* Is it, or is a user's function registered for it?  Must run inside a transaction. */
extern bool padlock_job_type_is_handled(const char *name);

/* All others: a user's function does them, if one is registered. */
extern const PadlockJobType padlock_job_registered;

/*
 * Has this process become so large, by what users' functions left in it, that
 * it should be started anew?
 */
extern bool padlock_sql_handler_leaked(void);

/*
 * Begin a transaction as the extension's owner, with a snapshot and time
 * limits; the current memory context stays.  The owner's rights are needed
 * since a job acts on the system's behalf, not on its creator's, and are all
 * a job gets: the process itself is connected as the bootstrap superuser.
 * Deferred triggers fire within them, too.
 */
extern void padlock_worker_begin(void);
extern void padlock_worker_commit(void);

/* The same, or false and no transaction when the database has no padlock (any more). */
extern bool padlock_worker_try_begin(void);

/* Undo the transaction at hand, if any; the current memory context stays. */
extern void padlock_worker_abort(void);

/*
 * Begin a transaction in which the current job's claim holds until its
 * commit; an error when the claim is lost.
 */
extern void padlock_worker_begin_claimed(void);

/*
 * Put off the end of the current job's lease to now + lease_ms, in the
 * transaction at hand; an error when the claim is lost.
 */
extern void padlock_worker_hold_job(int64 lease_ms);

/* Refuse a job since nobody does jobs of its type. */
extern void padlock_job_refuse_type(const PadlockJob *job) pg_attribute_noreturn();

/* Raise a failure that no retry can mend. */
extern void padlock_job_refuse(const char *format,...) pg_attribute_printf(1, 2) pg_attribute_noreturn();

/*
 * Put the job off, without using its attempt up, while the key of documents is
 * locked; the document's own error tells of it.
 */
extern void padlock_job_require_keyring(void);

/* A required text of the payload; refuses the job when it is not there. */
extern char *padlock_job_text(const PadlockJob *job, const char *key);

/* Does a text begin with a UUID of 36 characters, as uuid_out() writes it? */
extern bool padlock_begins_with_uuid(const char *text);

/* A UUID of the payload; false when it is not there or not one. */
extern bool padlock_job_find_uuid(const PadlockJob *job, const char *key, pg_uuid_t *uuid);

/* A required UUID of the payload; refuses the job when it is not one. */
extern pg_uuid_t padlock_job_uuid(const PadlockJob *job, const char *key);

/* Make a jsonb of JSON text built by C code. */
extern Jsonb *padlock_job_result(const char *json);

#endif							/* PADLOCK_JOB_H */
