/*-------------------------------------------------------------------------
 *
 * call.h
 *	  Requests with credentials to endpoints that the operator has configured,
 *	  through padlock_fetch, and their answers' JSON, through padlock_parse.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_CALL_H
#define PADLOCK_CALL_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"
#include "worker/helper.h"

/* An access key that requests are signed with (AWS Signature Version 4). */
typedef struct PadlockAwsKey
{
	char	   *key_id;
	char	   *secret;
	char	   *token;			/* of temporary credentials, or NULL */
} PadlockAwsKey;

typedef struct PadlockCall
{
	const char *method;
	const char *url;
	List	   *headers;		/* of char *, "Name: value" */
	const char *body;			/* NULL: none */
	size_t		body_length;
	const char *ca;				/* PEM, or NULL for the system's certificates */
	const PadlockAwsKey *aws;	/* NULL: not signed */
	const char *aws_region;
	const char *aws_service;
	int			timeout_ms;		/* of each try */
	int			tries;
	uint64		max_bytes;		/* of the answer */
} PadlockCall;

typedef struct PadlockAnswer
{
	WireOutcome outcome;
	const char *detail;			/* for people, never NULL */
	uint32		http_status;	/* 0 if none came */
	PadlockBlob *body;			/* NULL if there is none */
} PadlockAnswer;

/* Of a call's time beyond its tries' timeouts: waits between them, and the answer. */
#define PADLOCK_CALL_GRACE_MS	5000

/*
 * Make a call, for a job or (NULL) for none.  An outcome other than WIRE_OK is
 * an answer; only a helper that fails is an error.  What held the credentials
 * and the body here is wiped; what the caller gave stays his.
 */
extern PadlockAnswer *padlock_call(const pg_uuid_t *job, const PadlockCall *call);

/* A member of a JSON answer: its path (names parted by points) and its value. */
typedef struct PadlockMember
{
	const char *path;
	char	   *value;			/* palloc'd; NULL until found */
} PadlockMember;

/*
 * Read members of a body that should be JSON, at most
 * PADLOCK_WIRE_MAX_MEMBERS.  False when it is no JSON or its values are too
 * long.
 */
extern bool padlock_read_members(const pg_uuid_t *job, const PadlockBlob *body,
								 PadlockMember *members, int count);

/* Close a body before its memory context does, as one that holds a key should be; NULL is none. */
extern void padlock_close_body(PadlockBlob *body);

/* Wipe and free a text that is secret; NULL is none. */
extern void padlock_wipe_text(char *text);

/*
 * Read an access key from the file that a setting names, written as AWS's own
 * programs keep it (the profile "default", or lines before any profile).
 * Errors: those of padlock_read_secret_file(), F0000 when the file holds none.
 */
extern PadlockAwsKey *padlock_read_aws_key(const char *path, const char *setting);
extern void padlock_wipe_aws_key(PadlockAwsKey *key);

/* Is a text of 1 to max characters, all of them in a set? */
extern bool padlock_text_of(const char *text, size_t length, const char *set, size_t max);

#define PADLOCK_ALNUM	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

#endif							/* PADLOCK_CALL_H */
