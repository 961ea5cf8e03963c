/*-------------------------------------------------------------------------
 *
 * jwt_keys.c
 *	  The key file: who may read it, when it is read, how it is replaced.
 *
 * Secrets live in a file of the server's user and nowhere else: not in a
 * setting, not in a table, not in a dump.  Each backend reads it when it first
 * needs a key and looks once a second whether it is still the same file; what
 * it held before is wiped then.  A file that cannot be used is an error: keys
 * that the operator took away must not live on in old sessions.
 *
 * Crash contract: a file is written beside its place, flushed, and linked or
 * renamed into it, so that there is the whole old file or the whole new one.
 * The file "NAME.new" is also the lock of those who write; one that a crash
 * left behind is to be removed by hand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/secret_file.h"
#include "identity/jwt_internal.h"

/* OpenSSL's secret heap of this process, bytes; locked memory, made on first use. */
#define SECRET_HEAP		(512 * 1024)

char	   *jwt_keys_file;

/* The keys of the file as it was last read, and those being read. */
static JwtKeySet current;
static JwtKeySet incoming;

/* What current was read from; path is NULL when there is nothing. */
static char *current_path = NULL;
static struct stat current_stat;
static TimestampTz checked_at;

/* The file's text while it is read, in the secret heap; wiped at the next try at the latest. */
static char *file_text = NULL;

void
jwt_keys_init(void)
{
	DefineCustomStringVariable("padlock.jwt_keys_file",
							   "File with the keys of tokens, a JWK Set that only the server's user may read.",
							   "A relative name is below the data directory.",
							   &jwt_keys_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
}

/*
 * Stop because the file cannot be used.  Callers of any role come here, so the
 * file's name and state go to superusers and to the server's log only.
 */
static void pg_attribute_noreturn()
refuse_file(const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the key file of padlock.jwt_keys_file cannot be used"),
			 superuser() ? errdetail("File \"%s\": %s", jwt_keys_file, problem)
			 : errdetail_log("File \"%s\": %s", jwt_keys_file, problem),
			 errhint("%s", hint)));
}

static void
require_setting(void)
{
	if (jwt_keys_file[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("padlock.jwt_keys_file is not set"),
				 errhint("Name a file in postgresql.conf, reload, and run SELECT padlock.create_jwt_keys() as the owner of the extension.")));
}

/* Does the file still look as it did when it was read? */
static bool
is_unchanged(const struct stat *now)
{
	const struct stat *then = &current_stat;

	return now->st_dev == then->st_dev && now->st_ino == then->st_ino &&
		now->st_size == then->st_size && now->st_mode == then->st_mode &&
		now->st_uid == then->st_uid &&
		now->st_mtim.tv_sec == then->st_mtim.tv_sec &&
		now->st_mtim.tv_nsec == then->st_mtim.tv_nsec &&
		now->st_ctim.tv_sec == then->st_ctim.tv_sec &&
		now->st_ctim.tv_nsec == then->st_ctim.tv_nsec;
}

static void
wipe_text(void)
{
	OPENSSL_secure_clear_free(file_text, JWT_MAX_FILE);
	file_text = NULL;
}

/* Read the whole file into file_text. */
static void
read_text(PadlockSecretFile *file)
{
	if (!CRYPTO_secure_malloc_initialized())
		(void) CRYPTO_secure_malloc_init(SECRET_HEAP, 32);
	wipe_text();
	file_text = OPENSSL_secure_malloc(JWT_MAX_FILE);
	if (file_text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (padlock_load_secret_file(jwt_keys_file, file_text, JWT_MAX_FILE, file))
		return;
	wipe_text();
	refuse_file(psprintf("It %s.", file->problem),
				file->hint != NULL ? file->hint
				: "Check the file, or make one with padlock.create_jwt_keys() as the owner of the extension.");
}

/* Replace the keys in memory by the file's. */
static void
read_file(void)
{
	PadlockSecretFile file;
	const char *problem;

	read_text(&file);
	jwt_clear_set(&incoming);
	problem = jwt_read_set(file_text, file.length, &incoming);
	wipe_text();
	if (problem != NULL)
	{
		jwt_clear_set(&incoming);
		refuse_file(problem, "Correct the file, or make a new one with padlock.create_jwt_keys().");
	}
	current = incoming;
	memset(&incoming, 0, sizeof(incoming));
	current_path = MemoryContextStrdup(TopMemoryContext, jwt_keys_file);
	current_stat = file.status;
}

static void
forget_keys(void)
{
	jwt_clear_set(&current);
	if (current_path != NULL)
		pfree(current_path);
	current_path = NULL;
}

JwtKeySet *
jwt_keys(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		same_path = current_path != NULL && strcmp(current_path, jwt_keys_file) == 0;
	struct stat file;

	if (same_path && now >= checked_at && now < checked_at + USECS_PER_SEC)
		return &current;
	require_setting();
	if (!same_path || stat(jwt_keys_file, &file) != 0 || !is_unchanged(&file))
	{
		forget_keys();
		read_file();
	}
	checked_at = now;
	return &current;
}

int
jwt_find_signer(const JwtKeySet *set)
{
	for (int i = 0; i < set->count; i++)
		if (!set->keys[i].is_refresh && !set->keys[i].is_next && set->keys[i].can_sign)
			return i;
	return -1;
}

/* The text of a key file, in one piece of memory that the caller wipes. */
static void
format_set(StringInfo text, const JwtKeySet *set)
{
	int			signer = jwt_find_signer(set);

	initStringInfo(text);
	enlargeStringInfo(text, JWT_MAX_FILE);	/* growing would leave copies behind */
	appendStringInfoString(text, "{\"keys\":[");
	for (int i = 0; i < set->count; i++)
	{
		appendStringInfoString(text, i > 0 ? ",\n" : "\n");
		/* only these two sign, now or next: other asymmetric keys lose their private part */
		jwt_append_jwk(text, &set->keys[i], i == signer || set->keys[i].is_next);
	}
	appendStringInfoString(text, "\n]}\n");
}

/* Make the file beside the key file, which is also the lock of all writers. */
static int
create_new(const char *path)
{
	int			fd = OpenTransientFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY,
										   S_IRUSR | S_IWUSR);
	bool		is_taken = fd < 0 && errno == EEXIST;

	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path),
				 is_taken ? errhint("Another session is writing the key file; if none is, a crash left this file behind: remove it.") : 0));
	return fd;
}

/* Write and flush a set of keys, and close the file. */
static void
write_set(int fd, const char *path, const JwtKeySet *set)
{
	StringInfoData text;
	bool		written;

	format_set(&text, set);
	errno = ENOSPC;				/* a short write says no more */
	written = text.len <= JWT_MAX_FILE && write(fd, text.data, text.len) == text.len;
	OPENSSL_cleanse(text.data, text.maxlen);
	if (!written || pg_fsync(fd) != 0 || CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not write file \"%s\": %m", path)));
}

/* Give a finished file its name, which must be free. */
static void
link_into_place(const char *path)
{
	char	   *folder = pstrdup(jwt_keys_file);
	bool		linked = link(path, jwt_keys_file) == 0;
	bool		is_taken = !linked && errno == EEXIST;

	if (!linked)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", jwt_keys_file),
				 is_taken ? errhint("A key file is never overwritten; padlock.rotate_jwt_key() puts a new key into it.") : 0));
	unlink(path);
	get_parent_directory(folder);
	fsync_fname(folder[0] != '\0' ? folder : ".", true);
}

/* Where the next key is in a set; -1 without one. */
static int
find_next(const JwtKeySet *set)
{
	for (int i = 0; i < set->count; i++)
		if (set->keys[i].is_next)
			return i;
	return -1;
}

/* Make room for one more key at a place. */
static void
insert_key(JwtKeySet *set, int place, const JwtKey *key)
{
	if (set->count == JWT_MAX_KEYS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the key file is full: it holds %d keys", JWT_MAX_KEYS),
				 errhint("Remove keys whose tokens have expired from the file.")));
	memmove(set->keys + place + 1, set->keys + place, (set->count - place) * sizeof(JwtKey));
	set->keys[place] = *key;
	set->count++;
}

/* Let the next key sign, or without one the fresh one; its kid. */
static const char *
arrange_rotation(JwtKeySet *set, const JwtKey *fresh)
{
	int			next = find_next(set);
	JwtKey		signer = next >= 0 ? set->keys[next] : *fresh;

	if (next >= 0)
	{
		memmove(set->keys + next, set->keys + next + 1, (set->count - next - 1) * sizeof(JwtKey));
		set->count--;
		signer.is_next = false;
	}
	insert_key(set, 0, &signer);
	return signer.kid;
}

/* Let the fresh key be the next; its kid. */
static const char *
arrange_preparation(JwtKeySet *set, const JwtKey *fresh)
{
	JwtKey		next = *fresh;
	int			present = find_next(set);

	if (present >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key file holds a next key already"),
				 errhint("Run SELECT padlock.rotate_jwt_key() to sign with it.")));
	next.is_next = true;
	insert_key(set, set->count, &next);
	return next.kid;
}

void
jwt_create_file(const JwtKeySet *set)
{
	char	   *path;
	int			fd;

	require_setting();
	path = psprintf("%s.new", jwt_keys_file);
	fd = create_new(path);
	PG_TRY();
	{
		write_set(fd, path, set);
		link_into_place(path);
	}
	PG_CATCH();
	{
		unlink(path);
		PG_RE_THROW();
	}
	PG_END_TRY();
	checked_at = 0;				/* look at the file at the next use */
}

/* Replace the file by its keys as they are arranged with a fresh one. */
static char *
rewrite_file(const JwtKey *fresh, const char *(*arrange) (JwtKeySet *, const JwtKey *))
{
	JwtKeySet	set;			/* borrows all its keys */
	char	   *path;
	char	   *volatile kid = NULL;
	int			fd;

	require_setting();
	path = psprintf("%s.new", jwt_keys_file);
	fd = create_new(path);
	PG_TRY();
	{
		checked_at = 0;
		set = *jwt_keys();
		kid = pstrdup(arrange(&set, fresh));
		write_set(fd, path, &set);
		durable_rename(path, jwt_keys_file, ERROR);
	}
	PG_CATCH();
	{
		unlink(path);
		PG_RE_THROW();
	}
	PG_END_TRY();
	checked_at = 0;
	return kid;
}

char *
jwt_rotate_file(const JwtKey *fresh)
{
	return rewrite_file(fresh, arrange_rotation);
}

char *
jwt_prepare_file(const JwtKey *fresh)
{
	return rewrite_file(fresh, arrange_preparation);
}
