/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  Tells other rooms that a job ended, in the transaction that ends it.
 *
 * A job can end without its handler's doing: its last lease ran out, it was
 * cancelled, an external worker reported it, somebody wrote job_queue.  What a
 * room has to do then, it does in a function registered for the type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "core/spi.h"
#include "queue/change.h"
#include "queue/jobs.h"

#define MAX_WATCHERS	8

typedef struct Watch
{
	const char *type;
	uint64		hash;
	PadlockJobWatcher watcher;
} Watch;

static Watch watches[MAX_WATCHERS];
static int	nwatches = 0;

void
padlock_queue_watch(const char *type, PadlockJobWatcher watcher)
{
	Assert(nwatches < MAX_WATCHERS);
	watches[nwatches].type = type;
	watches[nwatches].hash = queue_hash_text(type);
	watches[nwatches].watcher = watcher;
	nwatches++;
}

Jsonb *
queue_ask_watcher(const pg_uuid_t *id, const char *type, Jsonb *payload,
				  const QueueOutcome *outcome)
{
	PadlockEndedJob job = {.id = id, .type = type, .payload = payload, .error = outcome->error,
	.completed = strcmp(outcome->kind, "completed") == 0};

	for (int i = 0; i < nwatches; i++)
		if (strcmp(watches[i].type, type) == 0)
			return watches[i].watcher(&job);
	return NULL;
}

static bool
is_watched(uint64 type_hash)
{
	for (int i = 0; i < nwatches; i++)
		if (watches[i].hash == type_hash)
			return true;
	return false;
}

void
queue_replace_payload(const pg_uuid_t *id, int generation, Jsonb *payload)
{
	static Oid	types[2] = {UUIDOID, JSONBOID};
	Datum		values[2] = {UUIDPGetDatum(id), JsonbPGetDatum(payload)};

	SPI_connect();
	(void) queue_lock_generation(generation);
	(void) queue_run_on(generation, "UPDATE ONLY padlock.jobs%1$s SET payload = $2 WHERE id = $1",
						2, types, values, NULL);
	SPI_finish();
}

void
queue_tell_watcher_of(const QueueLease *lease, const QueueOutcome *outcome)
{
	QueueReader reader;
	PadlockJob	job;
	bool		found;
	Jsonb	   *payload;

	if (!is_watched(lease->job.type_hash))
		return;
	queue_reader_open(&reader);
	found = queue_read_job(&reader, &lease->key.id, &lease->job, &job);
	queue_reader_close(&reader);
	if (!found)
		return;
	payload = queue_ask_watcher(&job.id, job.type, job.payload, outcome);
	if (payload != NULL)
		queue_replace_payload(&job.id, lease->job.generation, payload);
}
