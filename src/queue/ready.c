/*-------------------------------------------------------------------------
 *
 * ready.c
 *	  What is due and in which order: the queue proper, in shared memory.
 *
 * A job that waits is in one of four sets: ready by rank, scheduled by the
 * wall clock, retry by the boot clock (so that setting the clock neither
 * rushes nor strands a backoff), or parked with its type or queue key, which
 * are paused or run as many as they may.  A claim takes the first of ready
 * and parks what may not start; the end of a lease puts back the first that
 * its type and key had parked.  So order is kept, and a claim costs no more
 * than the jobs it passes over once.
 *
 * Jobs of a type that is external are parked with it for good.  Claims from
 * outside look there as well as into ready, and take what is first.
 *
 * Memory is bounded.  When there is no room, the job that is farthest from
 * being run is put out, and a bound remembers that everything behind it is
 * to be looked for in the tables: ready has bound, scheduled and retry share
 * "later", each group has one of its own.  A scan (scan.c) is wanted when
 * ready runs low and its bound is set, when "later" has come, or when an
 * emptied group had put jobs out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/boot.h"
#include "queue/queue_internal.h"
#include "queue/state.h"

/* Jobs kept of a group that may not start; more stay in the tables. */
#define PARKED_MAX		1000
#define PARKED_MIN		8

/* What no latch can tell (COMMIT PREPARED) is found by looking, at most so often. */
#define IDLE_SCAN_USECS	(5 * USECS_PER_SEC)

static int
compare_rank(const QueueRank *a, const QueueRank *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return 0;
}

static QueueRank
rank_of(const QueueJob *job)
{
	QueueRank	rank = {job->priority, job->seq};

	return rank;
}

bool
queue_is_before(const QueueJob *a, const QueueJob *b)
{
	QueueRank	its = rank_of(a);
	QueueRank	others = rank_of(b);

	return compare_rank(&its, &others) < 0;
}

/* Is this rank at or behind the bound? */
static bool
is_behind(const QueueBound *bound, const QueueJob *job)
{
	QueueRank	rank = rank_of(job);

	return bound->set && compare_rank(&rank, &bound->rank) >= 0;
}

void
queue_lower_bound(QueueBound *bound, const QueueJob *job)
{
	if (!is_behind(bound, job))
	{
		bound->set = true;
		bound->rank = rank_of(job);
	}
}

QueueGroup *
queue_find_group(Oid database, QueueGroupKind kind, uint64 hash)
{
	QueueGroupKey key = {database, kind, hash};

	return hash_search(queue_groups, &key, HASH_FIND, NULL);
}

QueueGroup *
queue_make_group(Oid database, QueueGroupKind kind, uint64 hash)
{
	QueueGroupKey key = {database, kind, hash};
	bool		found;
	QueueGroup *group = hash_search(queue_groups, &key, HASH_ENTER_NULL, &found);

	if (group != NULL && !found)
		memset((char *) group + sizeof(key), 0, sizeof(*group) - sizeof(key));
	return group;
}

/* Groups of keys go when nothing is left of them. */
static void
drop_group_if_idle(QueueGroup *group)
{
	if (group->key.kind == QUEUE_GROUP_KEY && group->running == 0 && group->parked.count == 0 &&
		!group->bound.set)
		(void) hash_search(queue_groups, &group->key, HASH_REMOVE, NULL);
}

/* How many jobs of a type may run with one queue key. */
static int
key_limit(const QueueGroup *type)
{
	if (type != NULL && type->max_running_per_queue > 0)
		return type->max_running_per_queue;
	return padlock_queue_max_running_per_queue;
}

/* May a job of this group start?  limit 0: as many as one likes. */
static bool
may_start(const QueueGroup *group, int limit)
{
	return group == NULL || (!group->paused && (limit == 0 || group->running < limit));
}

static QueueGroup *
type_group(const QueueItem *item)
{
	return queue_find_group(item->key.database, QUEUE_GROUP_TYPE, item->job.type_hash);
}

static QueueGroup *
key_group(const QueueItem *item)
{
	if (item->job.queue_hash == 0)
		return NULL;
	return queue_find_group(item->key.database, QUEUE_GROUP_KEY, item->job.queue_hash);
}

/* Is an item for claims from outside only? */
static bool
is_external(const QueueHead *head, const QueueItem *item)
{
	QueueGroup *type = head->externals == NULL ? NULL : type_group(item);

	return type != NULL && type->external;
}

/* The group that keeps an item from starting, or NULL. */
static QueueGroup *
blocking_group(const QueueItem *item)
{
	QueueGroup *type = type_group(item);
	QueueGroup *key = key_group(item);

	if (type != NULL && !may_start(type, type->max_running))
		return type;
	if (!may_start(key, key_limit(type)))
		return key;
	return NULL;
}

void
queue_count_start(QueueItem *item)
{
	QueueGroup *type = type_group(item);

	if (type != NULL)
		type->running++;
	if (item->job.queue_hash != 0)
	{
		QueueGroup *key = queue_make_group(item->key.database, QUEUE_GROUP_KEY,
										   item->job.queue_hash);

		if (key != NULL)
			key->running++;
	}
}

/* Has this process put parked items back to ready since it was last asked? */
static bool unparked = false;

bool
queue_has_unparked(void)
{
	bool		result = unparked;

	unparked = false;
	return result;
}

/*
 * The first item, by rank, below a node of what a key has parked whose type
 * lets it start.  Types may let different numbers run with one key.
 */
static QueueItem *
first_startable(const QueueGroup *key, QueueItem *node)
{
	QueueItem  *found;

	if (node == NULL)
		return NULL;
	found = first_startable(key, node->left);
	if (found != NULL)
		return found;
	if (may_start(key, key_limit(type_group(node))))
		return node;
	return first_startable(key, node->right);
}

/* The parked item of a group that is to have a place that has become free. */
static QueueItem *
next_parked(const QueueGroup *group)
{
	if (group->key.kind == QUEUE_GROUP_TYPE)
		return group->external ? NULL : queue_tree_first(&group->parked);
	return group->running < group->limit ? first_startable(group, group->parked.root) : NULL;
}

/* Put a parked item back to ready. */
static void
unpark(QueueHead *head, QueueItem *item)
{
	queue_displace(head, item);
	item->place = QUEUE_READY;
	queue_tree_add(&head->ready, item, false);
	unparked = true;
}

/* When all that a group had parked is gone, what had no room is looked for. */
static void
note_empty(QueueHead *head, QueueGroup *group)
{
	if (group->parked.count == 0 && group->bound.set)
	{
		group->bound.set = false;
		head->stale = true;
		unparked = true;
	}
}

/* Put the first parked item of a group that may start back to ready. */
static void
unpark_first(QueueHead *head, QueueGroup *group)
{
	QueueItem  *item = next_parked(group);

	if (item != NULL)
		unpark(head, item);
	note_empty(head, group);
}

void
queue_pass_on(QueueHead *head, const QueueItem *item)
{
	QueueGroup *type = type_group(item);
	QueueGroup *key = key_group(item);

	if (type != NULL && may_start(type, type->max_running))
		unpark_first(head, type);
	/* of a key, types may differ in what they let run */
	if (key != NULL)
		unpark_first(head, key);
}

/* One fewer runs of a group. */
static void
count_down(QueueHead *head, QueueGroup *group)
{
	if (group == NULL)
		return;
	if (group->running > 0)
		group->running--;
	if (!group->paused)
		unpark_first(head, group);
	drop_group_if_idle(group);
}

void
queue_count_end(QueueHead *head, QueueItem *item)
{
	count_down(head, type_group(item));
	count_down(head, key_group(item));
}

void
queue_free_parked(QueueHead *head, QueueGroup *group)
{
	QueueItem  *item;

	while ((item = queue_tree_first(&group->parked)) != NULL)
		unpark(head, item);
	if (group->bound.set)
	{
		group->bound.set = false;
		head->stale = true;
	}
}

void
queue_displace(QueueHead *head, QueueItem *item)
{
	switch ((QueuePlace) item->place)
	{
		case QUEUE_READY:
			queue_tree_remove(&head->ready, item, false);
			break;
		case QUEUE_SCHEDULED:
			queue_tree_remove(&head->scheduled, item, true);
			break;
		case QUEUE_RETRY:
			queue_tree_remove(&head->retry, item, true);
			break;
		case QUEUE_PARKED:
			queue_tree_remove(&item->group->parked, item, false);
			item->group = NULL;
			break;
		case QUEUE_NOWHERE:
			break;
	}
	item->place = QUEUE_NOWHERE;
}

/* When an item of scheduled or retry is due, by the wall clock. */
static TimestampTz
wall_due(const QueueItem *item)
{
	return item->job.due;
}

/* A due job is only in the tables from now on: what comes next of them starts there. */
static void
leave_in_tables(QueueHead *head, const QueueJob *job)
{
	queue_lower_bound(&head->bound, job);
	queue_lower_bound(&head->missed, job);
	head->windowed = true;
}

/* Forget an item whose job is only in the tables from now on. */
static void
put_out(QueueHead *head, QueueItem *item)
{
	QueueGroup *group = item->group;
	QueuePlace	place = (QueuePlace) item->place;

	queue_displace(head, item);
	if (place == QUEUE_PARKED)
		queue_lower_bound(&group->bound, &item->job);
	else if (place == QUEUE_READY)
	{
		leave_in_tables(head, &item->job);
	}
	else
		head->later = Min(head->later, wall_due(item));
	queue_delete(head, item);
}

/*
 * How many jobs of one group are kept: an eighth of what is free, and some; of
 * an external type, which may well start, half of it.
 */
static int
parked_max(const QueueGroup *group)
{
	int			unused = padlock_queue_max_jobs - padlock_queue->waiting;

	if (group->external)
		return Max(unused / 2, PARKED_MIN);
	return Max(Min(unused / 8, PARKED_MAX), PARKED_MIN);
}

/* Park an item with a group; it may be put out for it. */
static void
park(QueueHead *head, QueueItem *item, QueueGroup *group)
{
	queue_displace(head, item);
	item->place = QUEUE_PARKED;
	item->group = group;
	if (group->parked.count == 0)
		group->limit = 0;
	if (group->key.kind == QUEUE_GROUP_KEY)
		group->limit = Max(group->limit, key_limit(type_group(item)));
	queue_tree_add(&group->parked, item, false);
	if (is_behind(&group->bound, &item->job))
		put_out(head, item);
	else if (group->parked.count > parked_max(group))
		put_out(head, queue_tree_last(&group->parked));
}

bool
queue_place(QueueHead *head, QueueItem *item)
{
	TimestampTz now = GetCurrentTimestamp();

	Assert(item->place == QUEUE_NOWHERE && item->lease < 0);
	if (item->job.due <= now)
	{
		if (is_behind(&head->bound, &item->job))
		{
			queue_lower_bound(&head->missed, &item->job);
			return false;
		}
		if (is_external(head, item))
		{
			park(head, item, type_group(item));
			return true;
		}
		item->place = QUEUE_READY;
		queue_tree_add(&head->ready, item, false);
	}
	else if (item->job.retry)
	{
		item->due = padlock_boot_clock() + (item->job.due - now);
		item->place = QUEUE_RETRY;
		queue_tree_add(&head->retry, item, true);
	}
	else
	{
		item->due = item->job.due;
		item->place = QUEUE_SCHEDULED;
		queue_tree_add(&head->scheduled, item, true);
	}
	return true;
}

/* Remember that a job which found no room is in the tables only. */
static void
note_missing(QueueHead *head, const QueueJob *job)
{
	if (job->due > GetCurrentTimestamp())
		head->later = Min(head->later, job->due);
	else
	{
		leave_in_tables(head, job);
	}
}

/*
 * Make room for a job: put out what is farther from being run.  False when
 * the job itself is the farthest.
 */
static bool
make_room(QueueHead *head, const QueueJob *job)
{
	QueueItem  *last = queue_tree_last(&head->scheduled);
	bool		due = job->due <= GetCurrentTimestamp();

	if (last != NULL && (due || wall_due(last) > job->due))
	{
		put_out(head, last);
		return true;
	}
	last = queue_tree_last(&head->ready);
	if (due && last != NULL && queue_is_before(job, &last->job))
	{
		put_out(head, last);
		return true;
	}
	return false;
}

bool
queue_feed(QueueHead *head, const QueueKey *key, const QueueJob *job)
{
	QueueItem  *item = queue_find(key);

	if (item != NULL && (item->lease >= 0 || item->holder.backendId != InvalidBackendId))
		return true;
	if (item != NULL)
	{
		if (job->unverified)
			return true;
		queue_displace(head, item);
	}
	else
	{
		if (job->due <= GetCurrentTimestamp() && is_behind(&head->bound, job))
		{
			queue_lower_bound(&head->missed, job);
			return false;
		}
		item = queue_create(head, key, false);
		if (item == NULL && make_room(head, job))
			item = queue_create(head, key, false);
	}
	if (item == NULL)
	{
		note_missing(head, job);
		return false;
	}
	item->job = *job;
	if (queue_place(head, item))
		return true;
	queue_delete(head, item);
	return false;
}

/* Move what has become due of a timed set to ready. */
static void
ripen(QueueHead *head, QueueTree *tree, int64 now)
{
	QueueItem  *item;

	while ((item = queue_tree_first(tree)) != NULL && item->due <= now)
	{
		queue_displace(head, item);
		item->job.due = 0;
		if (!queue_place(head, item))
			queue_delete(head, item);
	}
}

/* The first item in turn for a background worker, or for others. */
static QueueItem *
first_in_turn(const QueueHead *head, bool in_server)
{
	QueueItem  *first = queue_tree_first(&head->ready);

	if (in_server)
		return first;
	for (QueueGroup *type = head->externals; type != NULL; type = type->next_external)
	{
		QueueItem  *item = queue_tree_first(&type->parked);

		if (item != NULL && may_start(type, type->max_running) &&
			(first == NULL || queue_is_before(&item->job, &first->job)))
			first = item;
	}
	return first;
}

/* Take the first item off its set, to be claimed. */
static void
take_off(QueueHead *head, QueueItem *item)
{
	QueueGroup *group = item->group;

	queue_displace(head, item);
	if (group != NULL)
		note_empty(head, group);
}

QueueItem *
queue_next(QueueHead *head, const uint64 *only_type, bool in_server)
{
	QueueItem  *item;
	QueueGroup *group;

	ripen(head, &head->scheduled, GetCurrentTimestamp());
	ripen(head, &head->retry, padlock_boot_clock());
	while ((item = first_in_turn(head, in_server)) != NULL)
	{
		group = blocking_group(item);
		if (group == NULL && in_server && is_external(head, item))
			group = type_group(item);
		if (group != NULL)
		{
			queue_pass_on(head, item);
			park(head, item, group);
			continue;
		}
		if (only_type != NULL && item->job.type_hash != *only_type)
			return NULL;
		take_off(head, item);
		return item;
	}
	return NULL;
}

/* The wall time at which a boot clock's time will be. */
static TimestampTz
wall_time(int64 clock)
{
	return GetCurrentTimestamp() + Max(clock - padlock_boot_clock(), 0);
}

TimestampTz
queue_next_due(QueueHead *head)
{
	QueueItem  *scheduled = queue_tree_first(&head->scheduled);
	QueueItem  *retry = queue_tree_first(&head->retry);
	TimestampTz due = head->later;

	if (head->ready.count > 0 || head->stale || !head->loaded)
		return GetCurrentTimestamp();
	if (scheduled != NULL)
		due = Min(due, scheduled->due);
	if (retry != NULL)
		due = Min(due, wall_time(retry->due));
	if (head->next_end != PG_INT64_MAX)
		due = Min(due, wall_time(head->next_end));
	return due;
}

bool
queue_wants_scan(QueueHead *head, bool found_nothing)
{
	if (head->scanner != 0)
		return false;
	if (!head->loaded || head->stale)
		return true;
	if (head->bound.set && head->ready.count < head->low)
		return true;
	if (head->later <= GetCurrentTimestamp())
		return true;
	return found_nothing && padlock_boot_clock() - head->scanned_at >= IDLE_SCAN_USECS;
}
