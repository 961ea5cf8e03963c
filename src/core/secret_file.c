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

#include "storage/fd.h"

#include "core/secret_file.h"

/* Refuse a file for a reason that its owner can mend. */
static void
refuse(const char *path, const char *setting, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("file \"%s\" of %s %s", path, setting, why),
			 hint ? errhint("%s", hint) : 0));
}

/* Check what the open file is; its size must be 1 to max bytes. */
static void
check_file(int fd, const char *path, const char *setting, int max, bool secret)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", path)));
	if (!S_ISREG(status.st_mode))
		refuse(path, setting, "is not a plain file", NULL);
	if (secret && status.st_uid != geteuid())
		refuse(path, setting, "does not belong to the server's user", "Change its owner with chown.");
	if (secret && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		refuse(path, setting, "can be read or written by others", "Change its mode to 0600 with chmod.");
	if (status.st_size == 0)
		refuse(path, setting, "is empty", NULL);
	if (status.st_size > max)
		refuse(path, setting, psprintf("is longer than %d bytes", max), NULL);
}

static char *
read_file(const char *path, const char *setting, int max, bool secret)
{
	int			fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);
	char	   *content = palloc(max + 1);
	ssize_t		length;

	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\" of %s: %m", path, setting)));
	check_file(fd, path, setting, max, secret);
	length = read(fd, content, max);
	if (length < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", path)));
	CloseTransientFile(fd);

	while (length > 0 && (content[length - 1] == '\n' || content[length - 1] == '\r'))
		length--;
	content[length] = '\0';
	if (length == 0 || strlen(content) != (size_t) length)
	{
		explicit_bzero(content, max);
		refuse(path, setting, "is empty or has a NUL byte inside", NULL);
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
