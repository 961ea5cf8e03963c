/*-------------------------------------------------------------------------
 *
 * secret_file.h
 *	  Secrets that are kept in files which only the server's user can read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SECRET_FILE_H
#define PADLOCK_SECRET_FILE_H

#include <sys/stat.h>

#include "utils/guc.h"

/* A secret's file as it was found. */
typedef struct PadlockSecretFile
{
	struct stat status;			/* of the open file */
	size_t		length;			/* bytes read */
	const char *problem;		/* why it cannot be taken, to follow the file's name */
	const char *hint;			/* what to do, or NULL */
} PadlockSecretFile;

/* GUC check hook of settings that name a file: an absolute path or nothing. */
extern bool padlock_check_path(char **newval, void **extra, GucSource source);

/*
 * Read all of a secret's file, up to max bytes, into memory of the caller's
 * own, as it is.  False with the problem and a hint, raising no error: for
 * those who may not tell everybody.  Then the memory may hold a part of it.
 */
extern bool padlock_load_secret_file(const char *path, char *content, int max,
									 PadlockSecretFile *file);

/*
 * The content of the file that a setting names, palloc'd and ended by NUL,
 * without the line ends at its end.  Whoever asks wipes it after use.
 *
 * path: absolute.  setting: its name, for messages.  max: bytes.
 *
 * Errors, for superusers; see padlock_refuse_server_file(): of class 58 (58P01
 * for a missing one) when it cannot be opened, F0000 when it is not a regular
 * file, not the server user's own, open to others, longer than max, empty or not
 * UTF-8 text.  May be called without a transaction.
 */
extern char *padlock_read_secret_file(const char *path, const char *setting, int max);

/*
 * The same for a file that is no secret: whose it is and who else can read it
 * does not matter.
 */
extern char *padlock_read_public_file(const char *path, const char *setting, int max);

/*
 * Stop because the file that a setting names cannot be used.  Sessions of any
 * role come to this: superusers get the SQLSTATE, the message, which names the
 * file, and the hint (or NULL); all others F0000, which a gateway answers with
 * 500, and no more than that.  The server's log has all of it.
 */
extern void padlock_refuse_server_file(int sqlstate, const char *message,
									   const char *hint) pg_attribute_noreturn();

#endif							/* PADLOCK_SECRET_FILE_H */
