/*-------------------------------------------------------------------------
 *
 * presence.h
 *	  A worker's process as others see it: its place in shared memory, and
 *	  whether its database has padlock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WORKER_PRESENCE_H
#define PADLOCK_WORKER_PRESENCE_H

#include "postgres.h"

#include "queue/queue.h"

/*
 * Take the place that the launcher chose, which main_arg names, until this
 * process exits; fills in its database.  False when the start was made void
 * meanwhile: the database is held, or the launcher is a new one.  To be called
 * before the process connects.
 */
extern bool padlock_worker_attach(Datum main_arg, Oid *database);

/* Which worker of its database this is: 0 does what is to be done once in each. */
extern int	padlock_worker_ordinal(void);

/* Show in worker_status() and pg_stat_activity what is being done; NULL: nothing. */
extern void padlock_worker_show_job(const PadlockJob *job);

/*
 * Tell the launcher that this database has padlock; if it has none, tell it
 * so and end this process.  Needs no transaction.
 */
extern void padlock_worker_report_presence(void);

/*
 * padlock_worker_begin(), but when the database has no padlock (any more) the
 * process ends here.
 */
extern void padlock_worker_begin_or_leave(void);

/*
 * Have the tables been made whole?  A restore brings the jobs long before the
 * last index, trigger and policy, and nothing may run meanwhile.  Needs no
 * transaction.
 */
extern bool padlock_worker_is_ready(void);

#endif							/* PADLOCK_WORKER_PRESENCE_H */
