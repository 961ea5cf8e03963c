/*-------------------------------------------------------------------------
 *
 * state.c
 *	  The file that carries the limiter's counters over a restart.
 *
 * The postmaster writes it at a clean shutdown, when nobody counts any more,
 * and the keeper process at intervals while counters change.  It is written
 * under another name and renamed, so there is a whole file or none; a check
 * sum and the cluster's identity guard against what is torn or foreign, which
 * is refused with a line in the log.  After a crash the last interval's counts
 * are lost; after a power failure possibly the whole file.
 *
 * Counters' times are on a clock that starts with the machine.  A file of the
 * same boot is taken as it is; one of another boot is shifted by the wall
 * time that has passed, which a clock set back makes zero and not negative.
 *
 * Format: StateHeader; counters, each a key (database, window, two lengths, two texts), limit,
 * created, span, newest, the number of sub-windows in use, and of each its
 * age and count; CRC-32C of all that.  Numbers are in the machine's order,
 * which the magic number checks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "core/boot.h"
#include "limits/table.h"

#define STATE_FILE		PGSTAT_STAT_PERMANENT_DIRECTORY "/padlock_limits.stat"
#define STATE_FILE_NEW	STATE_FILE ".new"
#define STATE_MAGIC		0x504c5232	/* "PLR2" */

typedef struct StateHeader
{
	uint32		magic;
	uint32		count;			/* counters that follow */
	uint64		system;			/* the cluster's identifier */
	int64		clock;			/* limits_clock() when written */
	TimestampTz time;			/* wall time when written */
	char		boot[PADLOCK_BOOT_ID_LENGTH];
} StateHeader;

/* A file being written, or a buffer being read, with its running checksum. */
typedef struct StateWriter
{
	FILE	   *file;
	pg_crc32c	crc;
	bool		failed;
} StateWriter;

typedef struct StateReader
{
	const char *next;
	const char *end;
	bool		failed;			/* ran over the end */
} StateReader;

static void
put(StateWriter *writer, const void *data, size_t length)
{
	COMP_CRC32C(writer->crc, data, length);
	if (fwrite(data, 1, length, writer->file) != length)
		writer->failed = true;
}

static void
put_counter(StateWriter *writer, const LimitCounter *counter)
{
	const RateWindow *window = &counter->window;
	uint8		used = 0;

	put(writer, &counter->key, limits_key_size(&counter->key));
	put(writer, &counter->limit, sizeof(counter->limit));
	put(writer, &counter->created, sizeof(counter->created));
	put(writer, &window->span, sizeof(window->span));
	put(writer, &window->newest, sizeof(window->newest));
	for (int i = 0; i < RATE_SUB_WINDOWS; i++)
		used += rate_window_count(window, i) != 0;
	put(writer, &used, 1);
	for (uint8 age = 0; age < RATE_SUB_WINDOWS; age++)
	{
		uint32		count = rate_window_count(window, age);

		if (count != 0)
		{
			put(writer, &age, 1);
			put(writer, &count, sizeof(count));
		}
	}
}

/* Write header, counters and checksum. */
static void
write_state(StateWriter *writer)
{
	StateHeader header = {STATE_MAGIC};
	LimitCounter counter;

	header.system = GetSystemIdentifier();
	header.clock = limits_clock();
	header.time = GetCurrentTimestamp();
	padlock_read_boot_id(header.boot);

	/* counters come and go meanwhile, so the count is put in at the end */
	INIT_CRC32C(writer->crc);
	if (fwrite(&header, sizeof(header), 1, writer->file) != 1)
		writer->failed = true;
	for (uint32 slot = 0; slot < limits_max_keys; slot++)
	{
		if (limits_read(slot, header.clock, &counter))
		{
			put_counter(writer, &counter);
			header.count++;
		}
	}
	COMP_CRC32C(writer->crc, &header, sizeof(header));
	FIN_CRC32C(writer->crc);
	if (fwrite(&writer->crc, sizeof(writer->crc), 1, writer->file) != 1 ||
		fseek(writer->file, 0, SEEK_SET) != 0 ||
		fwrite(&header, sizeof(header), 1, writer->file) != 1)
		writer->failed = true;
}

/*
 * Write the file.  durable: also make it survive a power failure.  Failure is
 * logged, since nobody is there to be told.
 */
void
limits_save_state(bool durable)
{
	StateWriter writer = {AllocateFile(STATE_FILE_NEW, PG_BINARY_W)};

	if (writer.file != NULL)
	{
		write_state(&writer);
		if (FreeFile(writer.file) != 0)
			writer.failed = true;
	}
	if (writer.file == NULL || writer.failed)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", STATE_FILE_NEW)));
		unlink(STATE_FILE_NEW);
		return;
	}
	if (durable)
		(void) durable_rename(STATE_FILE_NEW, STATE_FILE, LOG);
	else if (rename(STATE_FILE_NEW, STATE_FILE) != 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not rename file \"%s\" to \"%s\": %m", STATE_FILE_NEW, STATE_FILE)));
}

static void
get(StateReader *reader, void *data, size_t length)
{
	if (reader->end - reader->next < length)
	{
		reader->failed = true;
		memset(data, 0, length);
		return;
	}
	memcpy(data, reader->next, length);
	reader->next += length;
}

/* Read a counter; a value out of its range counts as running over the end. */
static void
get_counter(StateReader *reader, LimitCounter *counter)
{
	RateWindow *window = &counter->window;
	uint8		used;

	memset(counter, 0, sizeof(*counter));
	get(reader, &counter->key, offsetof(LimitKey, text));
	if (counter->key.identifier_length > MAX_IDENTIFIER ||
		counter->key.endpoint_length > MAX_ENDPOINT)
	{
		reader->failed = true;
		return;
	}
	get(reader, counter->key.text, counter->key.identifier_length + counter->key.endpoint_length);
	get(reader, &counter->limit, sizeof(counter->limit));
	get(reader, &counter->created, sizeof(counter->created));
	get(reader, &window->span, sizeof(window->span));
	get(reader, &window->newest, sizeof(window->newest));
	get(reader, &used, 1);
	if (window->span <= 0 || window->span != counter->key.window_minutes * USECS_PER_MIN ||
		window->newest < RATE_SUB_WINDOWS)
		reader->failed = true;
	for (int i = 0; i < used && !reader->failed; i++)
	{
		uint8		age;
		uint32		count;

		get(reader, &age, 1);
		get(reader, &count, sizeof(count));
		if (age >= RATE_SUB_WINDOWS)
			reader->failed = true;
		else if (age == 0)
			window->current = count;
		else
			window->counts[(window->newest - age) % RATE_SUB_WINDOWS] = count;
	}
	for (int i = 0; i < RATE_SUB_WINDOWS; i++)
		window->total += rate_window_count(window, i);
}

/* How far the clock of this boot is ahead of the file's. */
static int64
clock_shift(const StateHeader *header)
{
	char		boot[PADLOCK_BOOT_ID_LENGTH];
	int64		passed = Max(GetCurrentTimestamp() - header->time, 0);

	padlock_read_boot_id(boot);
	if (boot[0] != '\0' && memcmp(boot, header->boot, PADLOCK_BOOT_ID_LENGTH) == 0)
		return 0;
	return limits_clock() - (header->clock + passed);
}

/* Put a file's counters into the table; false when the file is malformed. */
static bool
restore_counters(StateReader *reader, const StateHeader *header)
{
	int64		shift = clock_shift(header);
	int64		now = limits_clock();

	for (uint32 i = 0; i < header->count; i++)
	{
		LimitCounter counter;

		get_counter(reader, &counter);
		if (reader->failed)
			return false;
		if (shift != 0)
		{
			counter.created += shift;
			rate_window_move(&counter.window, counter.window.span, shift, now);
		}
		if (!rate_window_is_idle(&counter.window, now) && !limits_restore(&counter))
			break;				/* the table is smaller than it was */
	}
	return true;
}

/* Why a file's contents are refused, or NULL; fills in header. */
static const char *
state_problem(const char *data, size_t length, StateHeader *header)
{
	pg_crc32c	crc;
	pg_crc32c	stored;

	if (length < sizeof(*header) + sizeof(stored))
		return "it is too short";
	memcpy(header, data, sizeof(*header));
	if (header->magic != STATE_MAGIC)
		return "it is not a state file of this version";
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data + sizeof(*header), length - sizeof(*header) - sizeof(stored));
	COMP_CRC32C(crc, header, sizeof(*header));
	FIN_CRC32C(crc);
	memcpy(&stored, data + length - sizeof(stored), sizeof(stored));
	if (!EQ_CRC32C(crc, stored))
		return "its checksum is wrong";
	if (header->system != GetSystemIdentifier())
		return "it belongs to another cluster";
	return NULL;
}

/* The whole file in memory, or NULL when there is none. */
static char *
read_file(size_t *length)
{
	FILE	   *file = AllocateFile(STATE_FILE, PG_BINARY_R);
	struct stat info;
	char	   *data = NULL;

	if (file == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not open file \"%s\": %m", STATE_FILE)));
		return NULL;
	}
	if (fstat(fileno(file), &info) == 0 && info.st_size < SIZE_MAX / 2)
	{
		data = palloc_extended(info.st_size + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
		*length = data != NULL ? fread(data, 1, info.st_size, file) : 0;
	}
	FreeFile(file);
	return data;
}

/* Read the file into the empty table; one that is not ours is left alone. */
void
limits_load_state(void)
{
	size_t		length;
	char	   *data = read_file(&length);
	const char *problem;
	StateHeader header;

	if (data == NULL)
		return;
	problem = state_problem(data, length, &header);
	if (problem == NULL)
	{
		StateReader reader = {data + sizeof(header), data + length - sizeof(pg_crc32c), false};

		if (!restore_counters(&reader, &header))
			problem = "its contents are malformed";
	}
	if (problem != NULL)
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("ignoring rate limit state in \"%s\": %s", STATE_FILE, problem)));
	pfree(data);
}
