/*-------------------------------------------------------------------------
 *
 * secret_file.h
 *	  Secrets that are kept in files which only the server's user can read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SECRET_FILE_H
#define PADLOCK_SECRET_FILE_H

/*
 * The content of the file that a setting names, palloc'd and ended by NUL,
 * without the line ends at its end.  Whoever asks wipes it after use.
 *
 * path: absolute.  setting: its name, for messages.  max: bytes.
 *
 * Errors: of class 58 (58P01 for a missing one) when it cannot be opened,
 * F0000 when it is not a plain file, not the server user's own, open to
 * others, longer than max, empty or not UTF-8 text.  May be called without a
 * transaction.
 */
extern char *padlock_read_secret_file(const char *path, const char *setting, int max);

/*
 * The same for a file that is no secret: whose it is and who else can read it
 * does not matter.
 */
extern char *padlock_read_public_file(const char *path, const char *setting, int max);

#endif							/* PADLOCK_SECRET_FILE_H */
