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
 * Only sealed bytes go out, an object is read once before the content goes from
 * the database, and what comes back must have the hash of what
 * went; whether it opens is then the cipher's question.  See place.c for why
 * no order of crashes loses a content.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "documents/content.h"
#include "documents/place.h"
#include "worker/document_store.h"
#include "worker/endpoint_settings.h"
#include "worker/job.h"
#include "worker/object_store.h"

/* A message is a little longer than what is sealed in it. */
#define MAX_OBJECT			(PADLOCK_MAX_CONTENT + 4 * 1024 * 1024)

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

/*
 * Let the object be read once before its content goes from here: that a store
 * has said yes does not mean that it has kept it.
 */
static void
check_object(const PadlockJob *job, const char *key, const uint8 hash[PADLOCK_OBJECT_HASH_SIZE])
{
	bytea	   *kept = padlock_object_get(&job->id, key, MAX_OBJECT);
	uint8		kept_hash[PADLOCK_OBJECT_HASH_SIZE];

	if (kept != NULL)
		hash_content(kept, kept_hash);
	if (kept == NULL || memcmp(kept_hash, hash, sizeof(kept_hash)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("the object store has not kept object \"%s\" as it was put there", key)));
	pfree(kept);
}

/*
 * Store the content and let go of it here, in a transaction that is left open.
 * The object's name is committed before, see place.c.
 */
static const char *
move_out(const PadlockJob *job, const pg_uuid_t *id)
{
	bytea	   *content;
	char	   *key;
	uint8		hash[PADLOCK_OBJECT_HASH_SIZE];

	padlock_worker_begin_claimed();
	key = padlock_content_moving_out(id, padlock_s3_prefix, padlock_object_put_limit(), &content);
	if (key == NULL)
		return "null";
	padlock_worker_commit();
	hash_content(content, hash);
	padlock_object_put(&job->id, key, VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content));
	pfree(content);
	check_object(job, key, hash);
	padlock_worker_begin_claimed();
	return padlock_content_moved_out(id, key, hash) ? "\"s3\"" : "null";
}

/* The object's bytes, which must be those that were put there. */
static bytea *
get_object(const PadlockJob *job, const PadlockPlace *place)
{
	bytea	   *content = padlock_object_get(&job->id, place->object_key, MAX_OBJECT);
	uint8		hash[PADLOCK_OBJECT_HASH_SIZE];

	if (content == NULL)
		padlock_job_refuse("the object store has no object \"%s\"", place->object_key);
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
		moved = move_out(job, &id);
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

/*
 * Is that a name as padlock gives them: below padlock.s3_prefix, a document's id,
 * a slash and another UUID?  Whoever may queue jobs could ask for anything.
 */
static bool
is_object_key(const char *key)
{
	size_t		prefix = strlen(padlock_s3_prefix);
	const char *rest;

	if (strncmp(key, padlock_s3_prefix, prefix) != 0 || !padlock_begins_with_uuid(key + prefix))
		return false;
	rest = key + prefix + PADLOCK_UUID_LENGTH;
	return rest[0] == '/' && padlock_begins_with_uuid(rest + 1) &&
		rest[1 + PADLOCK_UUID_LENGTH] == '\0';
}

static Jsonb *
run_document_erase(const PadlockJob *job)
{
	const char *key = padlock_job_text(job, "object_key");
	bool		needed;

	if (!is_object_key(key))
		padlock_job_refuse("\"%s\" is not the name of a document's object below padlock.s3_prefix",
						   key);
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

/* Have those who wait for the content told that it does not come. */
static void
note_failure(const PadlockJob *job, const char *error, bool final)
{
	pg_uuid_t	id;

	if (final && padlock_job_find_uuid(job, "document_id", &id))
		padlock_content_not_fetched(&id, error);
}

const PadlockJobType padlock_job_document_fetch = {
	PADLOCK_FETCH_JOB, run_document_fetch, note_failure
};

const PadlockJobType padlock_job_document_erase = {
	PADLOCK_ERASE_JOB, run_document_erase, NULL
};
