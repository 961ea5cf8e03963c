/*-------------------------------------------------------------------------
 *
 * jobs.c
 *	  Adds jobs: a row at once, a place in the ready list at commit.
 *
 * An id is a UUID version 7 (RFC 9562): a time in milliseconds, then chance,
 * so that the index on ids is filled from the right and stays dense.  The
 * order of jobs is their seq, drawn from a sequence.
 *
 * A transaction gets its transaction id before it draws a seq.  So a seq that
 * is below what the sequence once said belongs to no transaction younger than
 * that moment, which is what lets retention.c say that below some seq nothing
 * more can appear.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/time.h>

#include "access/xact.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "core/errors.h"
#include "queue/jobs.h"

#define DEFAULT_MAX_ATTEMPTS	3

uint64
queue_hash_text(const char *text)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) text, strlen(text), 0);

	return hash == 0 ? 1 : hash;
}

/*
 * Random bytes for an id.  They are drawn for many at a time, since a call of
 * the generator costs more than the bytes, and wiped as they are given out,
 * so that memory tells no id that is yet to come.
 */
static void
draw_random(pg_uuid_t *id)
{
	static pg_uuid_t pool[64];
	static int	left = 0;

	if (left == 0)
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		left = lengthof(pool);
	}
	*id = pool[--left];
	explicit_bzero(&pool[left], sizeof(pool[left]));
}

void
queue_make_id(pg_uuid_t *id)
{
	struct timeval now;
	uint64		ms;

	draw_random(id);
	gettimeofday(&now, NULL);
	ms = (uint64) now.tv_sec * 1000 + now.tv_usec / 1000;
	for (int i = 0; i < 6; i++)
		id->data[i] = (unsigned char) (ms >> (8 * (5 - i)));
	id->data[6] = (id->data[6] & 0x0f) | 0x70;	/* version 7 */
	id->data[8] = (id->data[8] & 0x3f) | 0x80;	/* RFC 9562's variant */
}

int64
queue_next_seq(void)
{
	(void) GetCurrentTransactionId();
	return nextval_internal(queue_sequence(), false);
}

int
queue_generation(void)
{
	int			generation;

	padlock_require_preload("the job queue");
	queue_read_types();
	generation = queue_my_head()->generation;
	return generation;
}

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
set_time(Datum *values, bool *nulls, int column, TimestampTz time)
{
	nulls[column] = time == 0;
	values[column] = TimestampTzGetDatum(time);
}

/* The row of a new job. */
static void
make_row(const PadlockNewJob *job, const pg_uuid_t *id, int64 seq, Datum *values, bool *nulls)
{
	memset(nulls, false, JOB_COLUMNS * sizeof(bool));
	values[JOB_SEQ] = Int64GetDatum(seq);
	values[JOB_ID] = UUIDPGetDatum(id);
	set_text(values, nulls, JOB_TYPE, job->type);
	values[JOB_PRIORITY] = Int32GetDatum(job->priority);
	values[JOB_PAYLOAD] = JsonbPGetDatum(job->payload);
	values[JOB_MAX_ATTEMPTS] = Int32GetDatum(job->max_attempts);
	set_time(values, nulls, JOB_RUN_AT, job->run_at);
	values[JOB_CREATED_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	set_text(values, nulls, JOB_DEDUPE_KEY, job->dedupe_key);
	set_text(values, nulls, JOB_QUEUE, job->queue);
}

void
queue_job_entry(const PadlockNewJob *job, int64 seq, int generation, QueueJob *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->seq = seq;
	entry->type_hash = queue_hash_text(job->type);
	entry->queue_hash = job->queue == NULL ? 0 : queue_hash_text(job->queue);
	entry->due = job->run_at;
	entry->generation = generation;
	entry->priority = job->priority;
	entry->max_attempts = job->max_attempts;
}

int
queue_pin_search_path(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/* Append one job's row; it is in the ready list from the commit on. */
static pg_uuid_t
append_job(QueueWriter *writer, const PadlockNewJob *job, int generation)
{
	Datum		values[JOB_COLUMNS];
	bool		nulls[JOB_COLUMNS];
	pg_uuid_t	id;
	QueueJob	entry;
	int64		seq = queue_next_seq();

	queue_make_id(&id);
	make_row(job, &id, seq, values, nulls);
	queue_job_entry(job, seq, generation, &entry);
	entry.row = queue_writer_append(writer, values, nulls, false);
	queue_xact_added(&id, &entry);
	return id;
}

pg_uuid_t
padlock_queue_add(const PadlockNewJob *job)
{
	PadlockNewJob whole = *job;
	QueueWriter writer;
	pg_uuid_t	id;
	int			generation = queue_generation();

	if (whole.max_attempts == 0)
		whole.max_attempts = DEFAULT_MAX_ATTEMPTS;
	if (whole.dedupe_key != NULL && queue_find_twin(whole.type, whole.dedupe_key, &id))
		return id;
	queue_writer_open(&writer, queue_jobs_table(generation), JOB_COLUMNS);
	id = append_job(&writer, &whole, generation);
	queue_writer_close(&writer);
	return id;
}

pg_uuid_t
padlock_queue_enqueue(const char *type, Jsonb *payload, int priority, int max_attempts)
{
	PadlockNewJob job = {.type = type, .payload = payload, .priority = priority,
	.max_attempts = max_attempts};

	return padlock_queue_add(&job);
}
