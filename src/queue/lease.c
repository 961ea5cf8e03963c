/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  Leases, and the file that carries them over a crash.
 *
 * Leases live in a file that the postmaster maps before it forks, so what one
 * process writes all others and the kernel see at once, at the cost of a
 * store.  Nothing is synced: a killed process, a crash restart and an
 * immediate stop lose nothing; a power failure may lose what the kernel had
 * not written, which forgets attempts under way and no job.
 *
 * A record says in_use last and carries a checksum of what does not change
 * while it is held, so that one torn in the middle of a write is passed over.
 * The file is refused as a whole, with a line in the log, when it is not of
 * this cluster, format or file: its inode and the time at which that was made
 * are in its header, so a copy (a base backup, a clone) does not bring the
 * original's leases to life.  Nobody can set that time; a file system that
 * keeps none leaves the inode, which may be used again.  It lies in
 * pg_stat_tmp, which base backups leave out.  What was written over the file
 * itself is believed, which is harmless: what has ended is in the outcomes, and
 * these are looked at (queue_has_ended()).
 *
 * Deadlines are on a clock that starts with the machine: a wall clock that is
 * set forth or back neither ends a lease nor prolongs it.  After a reboot a
 * lease gets what was left of it by the wall clock, never more than its
 * length.
 *
 * At start, a background worker's lease has ended: that process is gone.  If
 * its handler had begun, the attempt counts (the first claim says so in the
 * job's outcomes); if it was claimed ahead only, the job is simply due.  An
 * external worker may well live, so its lease goes on.
 *
 * A lease whose end was noticed leaves its job at once, but its record stays
 * until the outcome that says so is committed: a crash in between would else
 * give the attempt's number out again, and with it the right to end the job
 * to a worker that was too slow.  After a crash such a record is no lease; it
 * says how many attempts there were (test/model/lease.pml).
 *
 * The file is allocated in full at start, since a store into a hole of a full
 * disk would kill the process.  Without the file, leases are in memory only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"

#include "core/boot.h"
#include "queue/state.h"

#define LEASE_FILE		PG_STAT_TMP_DIR "/padlock_leases"
#define LEASE_MAGIC		0x504c4c32	/* "PLL2" */

typedef struct LeaseHeader
{
	uint32		crc;			/* of what follows */
	uint32		magic;
	uint32		record_size;
	uint32		records;
	uint64		system;			/* the cluster's identifier */
	uint64		inode;
	int64		born;			/* when the inode was made; 0: unknown */
	char		boot[PADLOCK_BOOT_ID_LENGTH];
	char		padding[PG_CACHE_LINE_SIZE];
} LeaseHeader;

QueueLease *padlock_queue_leases = NULL;

/* The mapping, kept by the postmaster over crash restarts. */
static void *mapping = NULL;
static Size mapping_size = 0;

static uint32
lease_crc(const QueueLease *lease)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, (const char *) lease + offsetof(QueueLease, key),
				offsetof(QueueLease, deadline) - offsetof(QueueLease, key));
	FIN_CRC32C(crc);
	return crc;
}

static uint32
header_crc(const LeaseHeader *header)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, (const char *) header + sizeof(uint32), sizeof(*header) - sizeof(uint32));
	FIN_CRC32C(crc);
	return crc;
}

/* What the header of today's file must be; fd is -1 for memory. */
static void
make_header(LeaseHeader *header, int fd)
{
	struct statx info;

	memset(header, 0, sizeof(*header));
	header->magic = LEASE_MAGIC;
	header->record_size = sizeof(QueueLease);
	header->records = padlock_queue_max_leases;
	header->system = GetSystemIdentifier();
	if (fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &info) == 0)
	{
		header->inode = info.stx_ino;
		if (info.stx_mask & STATX_BTIME)
			header->born = info.stx_btime.tv_sec * INT64CONST(1000000000) + info.stx_btime.tv_nsec;
	}
	padlock_read_boot_id(header->boot);
	header->crc = header_crc(header);
}

/* Why a file's leases are refused, or NULL. */
static const char *
header_problem(const LeaseHeader *found, const LeaseHeader *wanted)
{
	if (found->crc != header_crc(found) || found->magic != LEASE_MAGIC)
		return "it is not a lease file, or damaged";
	if (found->record_size != wanted->record_size)
		return "it is of another version";
	if (found->system != wanted->system)
		return "it belongs to another cluster";
	if (found->inode != wanted->inode || found->born != wanted->born)
		return "it is a copy";
	return NULL;
}

/* Make a record of ours of one that was found; its item must be new. */
static void
adopt_lease(const QueueLease *found, bool rebooted)
{
	QueueHead  *head = queue_head(found->key.database);
	QueueItem  *item;
	QueueLease *lease;
	char		worker[QUEUE_WORKER_BYTES];

	if (head == NULL || queue_find(&found->key) != NULL ||
		(found->in_server && !found->started))
		return;
	item = queue_create(head, &found->key, true);
	if (item == NULL)
		return;
	item->job = found->job;
	item->job.attempts--;
	item->job.unverified = true;
	memcpy(worker, found->worker, sizeof(worker));
	worker[sizeof(worker) - 1] = '\0';
	lease = queue_lease_make(head, item, worker, found->length, found->in_server);
	if (lease == NULL)
	{
		queue_delete(head, item);
		return;
	}
	lease->started = found->started;
	queue_lease_set_start(lease, found->started_at);
	if (found->in_server)
		queue_lease_set_deadline(head, lease, 0);
	else if (!rebooted)
		queue_lease_set_deadline(head, lease, found->deadline);
	else
	{
		int64		passed = GetCurrentTimestamp() - found->started_at;

		queue_lease_set_deadline(head, lease,
								 padlock_boot_clock() + Max(found->length - Max(passed, 0), 0));
	}
}

/*
 * Keep the record of a lease whose end was noticed and perhaps not said.  Its
 * job waits, with the attempts that it has had, unless it is leased again.
 */
static void
adopt_noticed(const QueueLease *found)
{
	QueueHead  *head = queue_head(found->key.database);
	int			index = padlock_queue->free_lease;
	QueueLease *lease;
	QueueItem  *item;

	if (head == NULL || index < 0)
		return;
	lease = &padlock_queue_leases[index];
	padlock_queue->free_lease = lease->next_free;
	*lease = *found;
	lease->worker[sizeof(lease->worker) - 1] = '\0';
	lease->item = NULL;
	lease->noticing = false;
	queue_lease_seal(lease);
	queue_lease_set_deadline(head, lease, 0);

	if (queue_find(&found->key) != NULL)
		return;
	item = queue_create(head, &found->key, false);
	if (item == NULL)
		return;
	item->job = found->job;
	item->job.due = 0;
	item->job.unverified = true;
	if (!queue_place(head, item))
		queue_delete(head, item);
}

/*
 * Read the leases of a file whose header is known to be good: those that hold
 * first, as they may be of later attempts.
 */
static void
adopt_leases(const QueueLease *found, uint32 records, bool rebooted)
{
	for (int noticed = 0; noticed <= 1; noticed++)
		for (uint32 i = 0; i < records; i++)
		{
			if (found[i].in_use != 1 || found[i].crc != lease_crc(&found[i]) ||
				(found[i].noticed != 0) != (noticed != 0))
				continue;
			if (noticed)
				adopt_noticed(&found[i]);
			else
				adopt_lease(&found[i], rebooted);
		}
}

static void
refuse(const char *problem)
{
	ereport(LOG,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("ignoring job leases in \"%s\": %s", LEASE_FILE, problem)));
}

/* A copy of the file as the server before left it, or NULL. */
static char *
read_old_file(int fd, Size *length)
{
	struct stat info;
	char	   *data;

	if (fstat(fd, &info) != 0 || info.st_size < sizeof(LeaseHeader) || info.st_size > 1024 * 1024 * 1024)
		return NULL;
	data = palloc_extended(info.st_size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (data != NULL && pread(fd, data, info.st_size, 0) != info.st_size)
	{
		pfree(data);
		data = NULL;
	}
	*length = info.st_size;
	return data;
}

/* Give the file its size, with its blocks; false with errno when it cannot be. */
static bool
allocate_file(int fd)
{
	int			result;

	if (ftruncate(fd, 0) != 0)
		return false;
	result = posix_fallocate(fd, 0, mapping_size);
	if (result != 0)
		errno = result;
	return result == 0;
}

/*
 * Open the file, take what is in it into *old, map it anew, and say what its
 * header is to be; false when that cannot be.
 */
static bool
map_file(char **old, Size *old_length, LeaseHeader *header)
{
	int			fd = OpenTransientFile(LEASE_FILE, O_RDWR | O_CREAT | PG_BINARY);

	if (fd < 0)
		return false;
	*old = read_old_file(fd, old_length);
	make_header(header, fd);
	if (allocate_file(fd))
		mapping = mmap(NULL, mapping_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	{
		int			save_errno = errno;

		CloseTransientFile(fd);
		errno = save_errno;
	}
	return mapping != NULL && mapping != MAP_FAILED;
}

/* Memory that a crash loses, for want of a file. */
static void
map_memory(void)
{
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not map file \"%s\": %m", LEASE_FILE),
			 errdetail("Attempts at jobs that bring the server down will not be counted.")));
	mapping = mmap(NULL, mapping_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mapping == MAP_FAILED)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not map memory for job leases: %m")));
}

/* Chain all records as free. */
static void
chain_records(void)
{
	padlock_queue->free_lease = -1;
	for (int i = padlock_queue_max_leases - 1; i >= 0; i--)
	{
		padlock_queue_leases[i].next_free = padlock_queue->free_lease;
		padlock_queue->free_lease = i;
	}
}

void
queue_leases_start(void)
{
	LeaseHeader header;
	char	   *old = NULL;
	Size		old_length = 0;

	if (mapping != NULL)
		munmap(mapping, mapping_size);
	mapping = NULL;
	mapping_size = sizeof(LeaseHeader) + (Size) padlock_queue_max_leases * sizeof(QueueLease);
	if (!map_file(&old, &old_length, &header))
	{
		map_memory();
		make_header(&header, -1);
	}
	memset(mapping, 0, mapping_size);
	memcpy(mapping, &header, sizeof(header));
	padlock_queue_leases = (QueueLease *) ((char *) mapping + sizeof(header));
	chain_records();

	if (old != NULL)
	{
		LeaseHeader *found = (LeaseHeader *) old;
		const char *problem = header_problem(found, &header);
		Size		room = (old_length - sizeof(header)) / sizeof(QueueLease);

		if (problem != NULL)
			refuse(problem);
		else
			adopt_leases((QueueLease *) (old + sizeof(header)),
						 Min(found->records, room),
						 memcmp(found->boot, header.boot, PADLOCK_BOOT_ID_LENGTH) != 0);
		pfree(old);
	}
}

void
queue_lease_set_start(QueueLease *lease, TimestampTz started_at)
{
	lease->started_at = started_at;
	lease->started_clock = padlock_boot_clock() - (GetCurrentTimestamp() - started_at);
	queue_lease_seal(lease);
}

void
queue_lease_seal(QueueLease *lease)
{
	lease->in_use = 0;
	pg_write_barrier();
	lease->crc = lease_crc(lease);
	pg_write_barrier();
	lease->in_use = 1;
}

void
queue_lease_set_deadline(QueueHead *head, QueueLease *lease, int64 deadline)
{
	lease->deadline = deadline;
	if (deadline < head->next_end)
		head->next_end = deadline;
}

QueueLease *
queue_lease_make(QueueHead *head, QueueItem *item, const char *worker, int64 length,
				 bool in_server)
{
	int			index = padlock_queue->free_lease;
	QueueLease *lease;
	int64		now = padlock_boot_clock();

	if (index < 0)
		return NULL;
	lease = &padlock_queue_leases[index];
	padlock_queue->free_lease = lease->next_free;
	item->lease = index;
	head->waiting--;
	padlock_queue->waiting--;
	item->job.attempts++;
	lease->key = item->key;
	lease->job = item->job;
	lease->started_at = GetCurrentTimestamp();
	lease->length = length;
	lease->in_server = in_server;
	memset(lease->worker, 0, sizeof(lease->worker));
	strlcpy(lease->worker, worker,
			pg_mbcliplen(worker, strlen(worker), sizeof(lease->worker) - 1) + 1);
	lease->started = true;
	lease->owner = 0;
	lease->item = item;
	lease->noticed = 0;
	lease->noticing = false;
	lease->reported = false;
	lease->started_clock = now;
	queue_lease_set_deadline(head, lease, now + length);
	queue_lease_seal(lease);
	queue_count_start(item);
	return lease;
}

void
queue_lease_drop(QueueLease *lease)
{
	lease->in_use = 0;
	lease->noticed = 0;
	lease->item = NULL;
	lease->next_free = padlock_queue->free_lease;
	padlock_queue->free_lease = lease - padlock_queue_leases;
}

/* An item's lease is no more its own: it waits, until it is deleted. */
static void
unlease(QueueHead *head, QueueItem *item)
{
	item->lease = -1;
	padlock_queue->waiting++;
	if (head == NULL)
		return;
	head->waiting++;
	queue_count_end(head, item);
}

void
queue_lease_detach(QueueHead *head, QueueItem *item)
{
	QueueLease *lease = queue_lease_of(item);

	lease->noticed = 1;
	lease->noticing = true;
	lease->item = NULL;
	unlease(head, item);
}

void
queue_lease_free(QueueHead *head, QueueItem *item)
{
	queue_lease_drop(queue_lease_of(item));
	unlease(head, item);
}
