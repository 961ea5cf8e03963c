/*-------------------------------------------------------------------------
 *
 * document_seal.c
 *	  Job types document_seal, which fetches a document that is to be encrypted
 *	  and seals it, and document_reseal, which seals documents under the active
 *	  key.
 *
 * document_seal: payload {"document_id": uuid}, result {"bytes"}, null when there
 * was nothing to seal (any more).  A content that is stored in clear is sealed in
 * place; otherwise the bytes go from the fetch helper's memory file straight into
 * the cipher, unless the document was given its content meanwhile.  The URL is one that the
 * document's owner named: robots.txt is not asked, the address guard holds.
 *
 * document_reseal: payload {"documents"}, how many there were when it was queued,
 * result {"sealed"}, how many of them all attempts together have seen to.  One
 * document a transaction; what is done stays done, so that a later attempt goes
 * on where this one ended.  A content in the object store is fetched, and goes
 * back there by itself.  A document that does not open, or whose object the store
 * does not give, is passed over and fails the attempt at its end; a store that
 * cannot be asked, or does nothing at all (wrong credentials, say), ends it at
 * once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "core/spi.h"
#include "documents/content.h"
#include "worker/document_store.h"
#include "worker/job.h"
#include "worker/object_store.h"
#include "worker/process.h"
#include "worker/request.h"

/* How far a document_reseal is. */
typedef struct Progress
{
	int64		done;			/* by earlier attempts too */
	int64		total;
	int			failed;			/* in this attempt */
	bool		store_works;	/* tested in this attempt */
} Progress;

/* What a document_seal has to seal. */
typedef struct Source
{
	char	   *url;			/* to fetch, or NULL */
	bool		stored;			/* the content is here, in clear */
} Source;

/* Find it; neither when there is nothing to seal any more. */
static Source
find_source(const pg_uuid_t *id)
{
	static PadlockStatement find = {
		.sql = "SELECT file_url, encrypt AND NOT is_encrypted,"
		" EXISTS (SELECT FROM padlock.document_contents WHERE document_id = id)"
		" FROM @app@.documents WHERE id = $1",
		.nargs = 1,
		.argtypes = {UUIDOID}
	};
	MemoryContext context = CurrentMemoryContext;
	Datum		value = UUIDPGetDatum(id);
	Source		source = {NULL, false};
	bool		found;
	bool		isnull;

	padlock_worker_begin();
	SPI_connect();
	found = padlock_spi_execute(&find, &value, NULL, true) > 0;
	if (found && DatumGetBool(padlock_spi_datum(0, 2, &isnull)))
	{
		source.url = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		if (source.url != NULL)
			source.url = MemoryContextStrdup(context, source.url);
		source.stored = DatumGetBool(padlock_spi_datum(0, 3, &isnull));
	}
	SPI_finish();
	padlock_worker_commit();
	if (!found)
		padlock_job_refuse("the document does not exist");
	return source;
}

/* Map the fetched bytes; NULL when there are none. */
static void *
map_body(const PadlockBlob *body)
{
	void	   *bytes;

	if (body->length == 0)
		return NULL;
	bytes = mmap(NULL, body->length, PROT_READ, MAP_PRIVATE, body->fd, 0);
	if (bytes == MAP_FAILED)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not map a memory file: %m")));
	return bytes;
}

/* Seal the bytes fetched from a URL, in a transaction that is left open; how many, or -1. */
static int64
seal_body(const pg_uuid_t *id, const char *url, const PadlockBlob *body)
{
	void	   *volatile bytes = map_body(body);
	volatile int64 sealed = -1;

	PG_TRY();
	{
		padlock_worker_begin_claimed();
		sealed = padlock_content_seal_fetched(id, url, bytes, body->length);
	}
	PG_FINALLY();
	{
		if (body->length > 0)
			(void) munmap(bytes, body->length);
	}
	PG_END_TRY();
	return sealed;
}

/* A job's result, in the transaction at hand; bytes below 0: nothing was sealed. */
static Jsonb *
seal_result(int64 bytes)
{
	return padlock_job_result(bytes < 0 ? "{\"bytes\": null}" :
							  psprintf("{\"bytes\": " INT64_FORMAT "}", bytes));
}

static Jsonb *
run_document_seal(const PadlockJob *job)
{
	pg_uuid_t	id = padlock_job_uuid(job, "document_id");
	Source		source = find_source(&id);
	PadlockFetched *fetched;

	if (source.stored || source.url != NULL)
		padlock_job_require_keyring();
	if (source.stored)
	{
		padlock_worker_begin_claimed();
		return seal_result(padlock_content_seal(&id));
	}
	if (source.url == NULL)
	{
		padlock_worker_begin();
		return seal_result(-1);
	}
	fetched = padlock_fetch(&job->id, source.url, PADLOCK_MAX_CONTENT / 1024, false);
	if (fetched->outcome != WIRE_OK)
		padlock_raise_outcome(fetched->outcome, fetched->http_status,
							  padlock_outcome_reason(fetched->outcome, fetched->http_status,
													 fetched->detail));
	return seal_result(seal_body(&id, source.url, fetched->body));
}

/* Note a failed attempt in the document; the last one in its state, by the queue's trigger. */
static void
note_failure(const PadlockJob *job, const char *error, bool final)
{
	static PadlockStatement note = {
		.sql = "UPDATE @app@.documents SET encryption_error = $2"
		" WHERE id = $1 AND encryption_status = 'pending'",
		.nargs = 2,
		.argtypes = {UUIDOID, TEXTOID}
	};
	pg_uuid_t	id;
	Datum		values[2];

	if (!padlock_job_find_uuid(job, "document_id", &id))
		return;
	values[0] = UUIDPGetDatum(&id);
	values[1] = CStringGetTextDatum(error);
	SPI_connect();
	(void) padlock_spi_execute(&note, values, NULL, false);
	SPI_finish();
}

/* The next documents to seal anew; how many. */
static int
next_stale(PadlockStaleWalk *walk, pg_uuid_t *ids)
{
	int			count;

	padlock_worker_begin();
	count = padlock_content_next_stale(walk, ids);
	padlock_worker_commit();
	return count;
}

/* Seal a document anew in a transaction of its own, wherever its content is. */
static void
reseal(const PadlockJob *job, const pg_uuid_t *id)
{
	padlock_document_bring_back(job, id);
	padlock_worker_begin_claimed();
	padlock_content_reseal(id);
	padlock_worker_commit();
}

/* Does an error say nothing of other documents? */
static bool
is_of_document(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_DATA_EXCEPTION ||
		error->sqlerrcode == PADLOCK_ERRCODE_REFUSED ||
		error->sqlerrcode == ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
}

/*
 * A document's object could not be had.  S3 answers alike, with 403, for an
 * object that is not there and for credentials that are wrong, so the first
 * time the store is tested: an error when it is not the object's fault.
 */
static void
suspect_store(const PadlockJob *job, Progress *progress)
{
	if (!progress->store_works)
		padlock_object_test_store(&job->id);
	progress->store_works = true;
}

/* Seal a document anew; false, with a line in the log, when this one cannot be. */
static bool
try_reseal(const PadlockJob *job, const pg_uuid_t *id, Progress *progress)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		reseal(job, id);
	}
	PG_CATCH();
	{
		error = padlock_worker_recover(context);
	}
	PG_END_TRY();
	if (error == NULL)
		return true;
	if (!is_of_document(error))
		ReThrowError(error);
	if (error->sqlerrcode != ERRCODE_DATA_EXCEPTION)
		suspect_store(job, progress);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("document %s could not be sealed anew: %s",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id))),
					error->message)));
	return false;
}

/*
 * Wait until the rotation that queued this job is over for all sessions, and so
 * is every transaction that may have sealed under the key before, which holds a
 * lock on the keys.  The rotation wakes workers as it commits, and only then
 * tells sessions that the keyring has changed: without this we could find
 * nothing stale, by the active key that we still remember, and never see what
 * others commit a moment later.  Nobody waits for us, as we take no lock; what
 * lasts longer than a lock_timeout fails the attempt.
 */
static void
wait_for_rotation(void)
{
	LOCKTAG		keys;

	padlock_worker_begin();
	SET_LOCKTAG_RELATION(keys, MyDatabaseId,
						 get_relname_relid("keys", get_namespace_oid("padlock", false)));
	WaitForLockers(keys, ExclusiveLock, false);
	padlock_worker_commit();
}

/* How many documents there were when the job was queued; 0 when it does not say. */
static int64
documents_of(const PadlockJob *job)
{
	JsonbValue	value;

	if (job->payload == NULL || !JB_ROOT_IS_OBJECT(job->payload) ||
		getKeyJsonValueFromContainer(&job->payload->root, "documents", strlen("documents"),
									 &value) == NULL || value.type != jbvNumeric)
		return 0;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
}

/* What is left when an attempt begins tells what others have done. */
static void
begin_progress(const PadlockJob *job, Progress *progress)
{
	char		active[PADLOCK_KEY_NAME_SIZE];
	int64		left = 0;

	padlock_worker_begin();
	if (padlock_active_key(PADLOCK_DOCUMENT_KEY, active))
		left = padlock_content_count_stale(active);
	progress->total = Max(documents_of(job), left);
	progress->done = progress->total - left;
	progress->failed = 0;
	progress->store_works = false;
	padlock_worker_commit();
	(void) padlock_queue_report(&job->id, job->attempt, progress->done, progress->total, NULL);
}

/* Seal one document anew, and say so. */
static void
reseal_one(const PadlockJob *job, const pg_uuid_t *id, Progress *progress)
{
	if (try_reseal(job, id, progress))
		progress->done++;
	else
		progress->failed++;
	/* some may have come since they were counted */
	progress->total = Max(progress->total, progress->done + progress->failed);
	(void) padlock_queue_report(&job->id, job->attempt, progress->done, progress->total, NULL);
}

static Jsonb *
run_document_reseal(const PadlockJob *job)
{
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "padlock document",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext whole = MemoryContextSwitchTo(each);
	PadlockStaleWalk walk = {{0}};
	pg_uuid_t	ids[PADLOCK_STALE_BATCH];
	Progress	progress;
	int			count;

	padlock_job_require_keyring();
	wait_for_rotation();
	begin_progress(job, &progress);
	while ((count = next_stale(&walk, ids)) > 0)
		for (int i = 0; i < count; i++)
		{
			reseal_one(job, &ids[i], &progress);
			MemoryContextReset(each);
		}
	MemoryContextSwitchTo(whole);
	if (progress.failed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("%d documents could not be sealed anew; the server's log names them",
						progress.failed)));
	padlock_worker_begin();
	return padlock_job_result(psprintf("{\"sealed\": " INT64_FORMAT "}", progress.done));
}

const PadlockJobType padlock_job_document_seal = {
	"document_seal", run_document_seal, note_failure
};

const PadlockJobType padlock_job_document_reseal = {
	"document_reseal", run_document_reseal, NULL
};
