/*-------------------------------------------------------------------------
 *
 * document_store.c
 *	  Job types that move sealed contents: document_store, document_fetch and
 *	  document_erase.
 *
 * document_store: payload {"document_id"}; puts the content where
 * padlock.document_store says, result {"moved": "s3", "database" or null}.
 * document_fetch: payload {"document_id"}; brings a copy of a content that is
 * away, result {"bytes"}, null when it is here.
 * document_erase: payload {"object_key"}; result {}.
 *
 * Only sealed bytes go out, and what comes back must have the hash of what
 * went; whether it opens is then the cipher's question.  See place.c for why
 * no order of crashes loses a content.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "documents/content.h"
#include "documents/place.h"
#include "worker/document_store.h"
#include "worker/endpoint_settings.h"
#include "worker/job.h"
#include "worker/object_store.h"

/* A message is a little longer than what is sealed in it. */
#define MAX_OBJECT			(PADLOCK_MAX_CONTENT + 4 * 1024 * 1024)

static char *
uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

static void
hash_content(const bytea *content, uint8 hash[PADLOCK_OBJECT_HASH_SIZE])
{
	if (EVP_Digest(VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content), hash, NULL, EVP_sha256(),
				   NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a hash")));
}

/* Where the content is, read in a transaction of its own; NULL when there is none. */
static PadlockPlace *
find_place(const pg_uuid_t *id)
{
	PadlockPlace *place;

	padlock_worker_begin();
	place = padlock_content_place(id);
	padlock_worker_commit();
	return place;
}

/* Store the content and let go of it here, in a transaction that is left open. */
static const char *
move_out(const PadlockJob *job, const pg_uuid_t *id, const PadlockPlace *place)
{
	char	   *key = psprintf("%s%s/%s", padlock_s3_prefix, uuid_text(id), uuid_text(&job->id));
	uint8		hash[PADLOCK_OBJECT_HASH_SIZE];

	hash_content(place->content, hash);
	padlock_object_put(&job->id, key, VARDATA_ANY(place->content),
					   VARSIZE_ANY_EXHDR(place->content));
	padlock_worker_begin_claimed();
	return padlock_content_moved_out(id, key, hash) ? "\"s3\"" : "null";
}

/* The object's bytes, which must be those that were put there. */
static bytea *
get_object(const PadlockJob *job, const PadlockPlace *place)
{
	bytea	   *content = padlock_object_get(&job->id, place->object_key, MAX_OBJECT);
	uint8		hash[PADLOCK_OBJECT_HASH_SIZE];

	hash_content(content, hash);
	if (memcmp(hash, place->hash, sizeof(hash)) != 0)
		padlock_job_refuse("object \"%s\" in the store is not what was put there",
						   place->object_key);
	return content;
}

/* Bring the content back for good, in a transaction that is left open. */
static const char *
move_back(const PadlockJob *job, const pg_uuid_t *id, const PadlockPlace *place)
{
	bytea	   *content = get_object(job, place);

	padlock_worker_begin_claimed();
	return padlock_content_moved_back(id, place->object_key, content, true) ?
		"\"database\"" : "null";
}

/* The handlers; see job.h for what they promise. */
static Jsonb *
run_document_store(const PadlockJob *job)
{
	pg_uuid_t	id = padlock_job_uuid(job, "document_id");
	PadlockPlace *place = find_place(&id);
	const char *moved = "null";

	if (place != NULL && place->move == PADLOCK_MOVE_OUT)
		moved = move_out(job, &id, place);
	else if (place != NULL && place->move == PADLOCK_MOVE_BACK)
		moved = move_back(job, &id, place);
	else
		padlock_worker_begin();
	return padlock_job_result(psprintf("{\"moved\": %s}", moved));
}

/* Bring a copy of a content that is away, in a transaction that is left open; its bytes or -1. */
static int
bring_copy(const PadlockJob *job, const pg_uuid_t *id)
{
	PadlockPlace *place = find_place(id);
	bytea	   *content;

	if (place == NULL || !place->away)
	{
		padlock_worker_begin();
		return -1;
	}
	content = get_object(job, place);
	padlock_worker_begin_claimed();
	return padlock_content_moved_back(id, place->object_key, content, false) ?
		(int) VARSIZE_ANY_EXHDR(content) : -1;
}

void
padlock_document_bring_back(const PadlockJob *job, const pg_uuid_t *id)
{
	(void) bring_copy(job, id);
	padlock_worker_commit();
}

static Jsonb *
run_document_fetch(const PadlockJob *job)
{
	pg_uuid_t	id = padlock_job_uuid(job, "document_id");
	int			bytes = bring_copy(job, &id);

	padlock_content_evict();
	return padlock_job_result(bytes < 0 ? "{\"bytes\": null}" :
							  psprintf("{\"bytes\": %d}", bytes));
}

static Jsonb *
run_document_erase(const PadlockJob *job)
{
	const char *key = padlock_job_text(job, "object_key");
	bool		needed;

	padlock_worker_begin();
	needed = padlock_object_is_named(key);
	padlock_worker_commit();
	if (needed)
		padlock_job_refuse("object \"%s\" is a document's", key);
	padlock_object_erase(&job->id, key);
	padlock_worker_begin();
	return padlock_job_result("{}");
}

const PadlockJobType padlock_job_document_store = {
	PADLOCK_STORE_JOB, run_document_store, NULL
};

const PadlockJobType padlock_job_document_fetch = {
	PADLOCK_FETCH_JOB, run_document_fetch, NULL
};

const PadlockJobType padlock_job_document_erase = {
	PADLOCK_ERASE_JOB, run_document_erase, NULL
};
