/*-------------------------------------------------------------------------
 *
 * key_file.c
 *	  The local provider: KEKs wrapped by a key in a file.
 *
 * The file holds one key, as 64 hexadecimal digits, and serves all databases
 * of the server.  A wrapped KEK is a message of the same format as documents,
 * under the file's key, with the KEK's name in its context; so any AWS
 * Encryption SDK reads it too, given the file.
 *
 * A file is never overwritten: a new one is written under another name, synced
 * and linked to its own, which fails when that is taken.  The other name is made
 * by chance: what a crash left behind must not be in the way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_utils.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "core/secret_file.h"
#include "envelope/keyring.h"
#include "envelope/message.h"

#define SETTING				"padlock.key_file"
#define FILE_NAMESPACE		"padlock-key-file"
#define FILE_KEY_NAME		"key-file"
#define CONTEXT_KEY			"padlock-key"
#define KEY_DIGITS			(2 * PADLOCK_KEK_SIZE)
#define MAX_FILE			(KEY_DIGITS + 2)	/* with a line's end */

/* What to do about a missing file: keys depend on it, or perhaps there never was one. */
#define HINT_LOST			"Put it back from its copy: keys depend on it, and a new file would not open them."
#define HINT_MISSING		"Put it back from its copy; if there never was one, make it with SELECT padlock.init_keyring()."

static char *key_file = NULL;

void
key_file_init(void)
{
	DefineCustomStringVariable(SETTING,
							   "File with the key that wraps the keys of documents; padlock.init_keyring() makes it.",
							   "What is encrypted is lost with it: keep a copy elsewhere.",
							   &key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   padlock_check_path, NULL, NULL);
}

/* The setting, or an error. */
static const char *
path(void)
{
	if (key_file == NULL || key_file[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("padlock.key_file is not set"),
				 errhint("Set it to a path outside the data directory, reload the configuration, then run SELECT padlock.init_keyring().")));
	return key_file;
}

/* A message about the file. */
static char *
about_file(const char *problem)
{
	return psprintf("file \"%s\" of %s %s", path(), SETTING, problem);
}

/* Say what a missing file means, before the reader says only that it is missing. */
static void
check_file_exists(const char *hint)
{
	struct stat status;

	if (lstat(path(), &status) == 0 || errno != ENOENT)
		return;
	padlock_refuse_server_file(ERRCODE_UNDEFINED_FILE, about_file("does not exist"), hint);
}

/* Read the file's key, or say what to do when there is no file.  The caller wipes it. */
static void
read_key(uint8 *key, const char *hint)
{
	char	   *text;
	bool		good;

	check_file_exists(hint);
	text = padlock_read_secret_file(path(), SETTING, MAX_FILE);
	good = strlen(text) == KEY_DIGITS &&
		strspn(text, "0123456789abcdefABCDEF") == KEY_DIGITS;

	if (good)
		hex_decode(text, KEY_DIGITS, (char *) key);
	explicit_bzero(text, strlen(text));
	pfree(text);
	if (!good)
		padlock_refuse_server_file(ERRCODE_CONFIG_FILE_ERROR, about_file("does not hold a key"),
								   psprintf("A key is %d hexadecimal digits: put the right file back from its copy.", KEY_DIGITS));
}

/* Write the bytes to a new file that only the server's user may read; errno on failure. */
static bool
write_file(const char *name, const char *text, size_t length)
{
	int			fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
	bool		done;
	int			problem;

	if (fd < 0)
		return false;
	errno = ENOSPC;				/* of a write that is cut short */
	done = fchmod(fd, S_IRUSR | S_IWUSR) == 0 && write(fd, text, length) == (ssize_t) length &&
		pg_fsync(fd) == 0;
	problem = errno;
	close(fd);
	errno = problem;
	return done;
}

/* Make the directory entry of a file durable. */
static void
sync_directory(const char *name)
{
	char	   *directory = pstrdup(name);

	get_parent_directory(directory);
	fsync_fname(directory[0] == '\0' ? "/" : directory, true);
}

/* Make the file with a new key; false, with errno EEXIST, when there is one meanwhile. */
static bool
write_key(const char *name)
{
	char	   *temporary;
	uint64		unique;
	uint8		key[PADLOCK_KEK_SIZE];
	char		text[KEY_DIGITS + 1];
	bool		done;
	int			problem;

	if (!envelope_random(&unique, sizeof(unique)) || !envelope_random(key, sizeof(key)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a random key")));
	temporary = psprintf("%s." UINT64_FORMAT ".new", name, unique);
	hex_encode((char *) key, sizeof(key), text);
	text[KEY_DIGITS] = '\n';
	done = write_file(temporary, text, sizeof(text)) && link(temporary, name) == 0;
	problem = errno;
	envelope_wipe(key, sizeof(key));
	envelope_wipe(text, sizeof(text));
	(void) unlink(temporary);
	errno = problem;
	if (done)
		sync_directory(name);
	return done;
}

/* In the data directory the key would be part of every base backup. */
static void
warn_of_place(const char *name)
{
	if (path_is_prefix_of_path(DataDir, name))
		ereport(WARNING,
				(errmsg("file \"%s\" of %s is inside the data directory", name, SETTING),
				 errdetail("Whoever gets a base backup can read what is encrypted."),
				 errhint("Set %s to a path outside of it.", SETTING)));
}

bool
key_file_make(bool lost)
{
	const char *name = path();
	uint8		key[PADLOCK_KEK_SIZE];
	struct stat status;

	if (lstat(name, &status) == 0 || errno != ENOENT || lost)
	{
		read_key(key, HINT_LOST);	/* or say what is wrong with it */
		envelope_wipe(key, sizeof(key));
		return false;
	}
	warn_of_place(name);
	if (write_key(name))
		return true;
	if (errno != EEXIST)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not make file \"%s\" of %s: %m", name, SETTING)));
	return false;
}

/* The context that binds a wrapped KEK to its name. */
static bytea *
context_of(const char *name)
{
	PadlockContextEntry entry = {CONTEXT_KEY, name};

	return envelope_serialize_context(&entry, 1);
}

bytea *
key_file_wrap(const char *name, const uint8 *kek)
{
	bytea	   *context = context_of(name);
	uint8		file_key[PADLOCK_KEK_SIZE];
	EnvelopeDraft draft = {
		.plaintext = {kek, PADLOCK_KEK_SIZE},
		.context = {(uint8 *) VARDATA(context), VARSIZE(context) - VARHDRSZ},
		.key_namespace = {(const uint8 *) FILE_NAMESPACE, strlen(FILE_NAMESPACE)},
		.key_name = {(const uint8 *) FILE_KEY_NAME, strlen(FILE_KEY_NAME)},
		.kek = file_key,
		.frame_length = ENVELOPE_FRAME_LENGTH
	};
	size_t		size = envelope_sealed_size(&draft);
	bytea	   *wrapped = palloc(VARHDRSZ + size);
	bool		done;

	SET_VARSIZE(wrapped, VARHDRSZ + size);
	read_key(file_key, HINT_MISSING);
	done = envelope_seal(&draft, (uint8 *) VARDATA(wrapped));
	envelope_wipe(file_key, sizeof(file_key));
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not wrap key \"%s\"", name)));
	return wrapped;
}

/* Open a wrapped KEK with the file's key. */
static bool
unwrap(const char *name, const bytea *wrapped, const uint8 *file_key, uint8 *kek)
{
	bytea	   *context = context_of(name);
	EnvelopeMessage message;
	EnvelopeWrappedKey key;

	return envelope_parse(VARDATA(wrapped), VARSIZE(wrapped) - VARHDRSZ, &message) &&
		message.plaintext_length == PADLOCK_KEK_SIZE &&
		message.context.length == VARSIZE(context) - VARHDRSZ &&
		memcmp(message.context.data, VARDATA(context), message.context.length) == 0 &&
		envelope_next_key(&message, &key) && envelope_open(&message, &key, file_key, kek);
}

void
key_file_unwrap(const char *name, const bytea *wrapped, uint8 *kek)
{
	uint8		file_key[PADLOCK_KEK_SIZE];
	bool		done;

	read_key(file_key, HINT_LOST);
	done = unwrap(name, wrapped, file_key, kek);
	envelope_wipe(file_key, sizeof(file_key));
	if (!done)
		padlock_refuse_server_file(ERRCODE_CONFIG_FILE_ERROR,
								   about_file(psprintf("holds a key, but is not the one that wrapped key \"%s\"", name)),
								   "Put the right file back from its copy.");
}
