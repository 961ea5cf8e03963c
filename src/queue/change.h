/*-------------------------------------------------------------------------
 *
 * change.h
 *	  Changes to jobs by hand: real updates and deletions of rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_QUEUE_CHANGE_H
#define PADLOCK_QUEUE_CHANGE_H

#include "queue/jobs.h"

/* A job that is being changed, held by this transaction. */
typedef struct QueueChange
{
	pg_uuid_t	id;
	int			generation;
	int64		seq;
	QueueLease	lease;			/* in_use: it runs */
	/* as job_queue showed it when it was held */
	char	   *type;
	char	   *status;
	int			attempts;
	int			max_attempts;
	int			priority;
	char	   *queue;
	char	   *dedupe_key;		/* or NULL */
	Jsonb	   *payload;
	TimestampTz due;			/* 0: at once */
} QueueChange;

/* Take hold of a job and read it; false when there is none. */
extern bool queue_change_begin(const pg_uuid_t *id, QueueChange *change);

/*
 * Prepare for updating or deleting its rows: a job that is counted in
 * job_tallies is taken out of there and moved to generation 0.
 */
extern void queue_change_rows(QueueChange *change);

/*
 * Move a job that waits to generation 0; false when it runs, or somebody is
 * changing it.
 */
extern bool queue_move_waiting(const pg_uuid_t *id);

/*
 * Run a statement on a generation's tables as the owner: %1$s in it stands
 * for the suffix of their names.  SPI is connected.  Returns the rows.
 */
extern uint64 queue_run_on(int generation, const char *sql, int nargs, Oid *types,
						   Datum *values, const char *nulls);

/* Keep a generation from being counted until the transaction ends; SPI is connected. */
extern int64 queue_lock_generation(int generation);

/* Ask the type's watcher what an ended job's payload is to be; NULL: as it is. */
extern Jsonb *queue_ask_watcher(const pg_uuid_t *id, const char *type, Jsonb *payload,
								const QueueOutcome *outcome);

/* Write what an ended job's payload is to be. */
extern void queue_replace_payload(const pg_uuid_t *id, int generation, Jsonb *payload);

#endif							/* PADLOCK_QUEUE_CHANGE_H */
