/*-------------------------------------------------------------------------
 *
 * fetch_call.h
 *	  One WIRE_CALL request: HTTP with credentials, to an endpoint that the
 *	  operator has configured.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_FETCH_CALL_H
#define PADLOCK_FETCH_CALL_H

#include "agent/channel.h"
#include "agent/fetch_transfer.h"

#define CALL_MAX_TRIES		5
#define CALL_REGION_SIZE	65
#define CALL_SERVICE_SIZE	33

/* What outlives a call: connections, all of one reach. */
typedef struct CallClient
{
	CURL	   *curl;			/* NULL until first used */
	TransferReach reach;
} CallClient;

typedef struct CallJob
{
	/* the question */
	uint8_t		job_id[16];
	char		url[URL_SIZE];
	char		method[8];
	uint32_t	flags;
	uint64_t	max_bytes;
	uint32_t	timeout_ms;
	uint32_t	tries;
	struct curl_slist *headers;
	char		ca[PADLOCK_WIRE_MAX_CA + 1];	/* "" if none */
	char		key_id[PADLOCK_WIRE_MAX_USER + 1];
	char		secret[PADLOCK_WIRE_MAX_PASSWORD + 1];
	char		token[PADLOCK_WIRE_MAX_TOKEN + 1];	/* "" if none */
	char		region[CALL_REGION_SIZE];	/* "" if not to be signed */
	char		service[CALL_SERVICE_SIZE];
	void	   *body;			/* mapped, or NULL */
	uint64_t	body_length;
	bool		has_body;

	/* the answer; of the result outcome, detail, status and body */
	int64_t		started_ms;
	TransferResult result;
} CallJob;

/*
 * Read a request and the descriptor that came with it (or -1), which stays
 * the caller's.  Returns NULL, or in what way it breaks the wire format.
 * call_end() must follow.
 */
extern const char *call_take(CallJob *job, const WireFrame *frame, int fd);

/* Answer the job's question.  The caller closes result.body_fd. */
extern void call_run(CallClient *client, CallJob *job);

/* Write the WIRE_CALLED frame. */
extern void call_answer(const CallJob *job, WireBuffer *answer);

/* Free and wipe what the job holds. */
extern void call_end(CallJob *job);

#endif							/* PADLOCK_FETCH_CALL_H */
