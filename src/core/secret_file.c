/*-------------------------------------------------------------------------
 *
 * secret_file.c
 *	  Secrets that are kept in files which only the server's user can read.
 *
 * A secret that stood in a setting or a table would be seen by SHOW, in dumps
 * and by every superuser's tool.  The file is read each time it is needed, so
 * that a new secret needs no restart.  Rights are checked on the open file
 * and not on its name, which could be given to another meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mb/pg_wchar.h"
#include "storage/fd.h"

#include "core/secret_file.h"

/* Why an open file cannot be taken, with a hint or NULL; NULL when it can. */
static const char *
file_problem(int fd, int max, bool secret, const char **hint)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return "could not be examined";
	if (!S_ISREG(status.st_mode))
		return "is not a plain file";
	if (secret && status.st_uid != geteuid())
	{
		*hint = "Change its owner with chown.";
		return "does not belong to the server's user";
	}
	if (secret && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
	{
		*hint = "Change its mode to 0600 with chmod.";
		return "can be read or written by others";
	}
	if (status.st_size > max)
		return "is too long";
	return NULL;
}

/*
 * Read up to max bytes and end them by NUL, without line ends at the end.
 * Returns the problem, or NULL.
 */
static const char *
read_content(int fd, char *content, int max)
{
	ssize_t		length = read(fd, content, max);

	if (length < 0)
		return "could not be read";
	while (length > 0 && (content[length - 1] == '\n' || content[length - 1] == '\r'))
		length--;
	content[length] = '\0';
	if (length == 0)
		return "is empty";
	if (strlen(content) != (size_t) length || !pg_verify_mbstr(PG_UTF8, content, length, true))
		return "is not UTF-8 text";
	return NULL;
}

/* No error may come between opening and closing: there is no transaction to close the file. */
static char *
read_file(const char *path, const char *setting, int max, bool secret)
{
	char	   *content = palloc(max + 1);
	int			fd = BasicOpenFile(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | PG_BINARY);
	const char *problem;
	const char *hint = NULL;

	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\" of %s: %m", path, setting)));
	problem = file_problem(fd, max, secret, &hint);
	if (problem == NULL)
		problem = read_content(fd, content, max);
	close(fd);
	if (problem != NULL)
	{
		explicit_bzero(content, max);
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("file \"%s\" of %s %s", path, setting, problem),
				 hint ? errhint("%s", hint) : 0));
	}
	return content;
}

char *
padlock_read_secret_file(const char *path, const char *setting, int max)
{
	return read_file(path, setting, max, true);
}

char *
padlock_read_public_file(const char *path, const char *setting, int max)
{
	return read_file(path, setting, max, false);
}
