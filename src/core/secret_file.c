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
#include <unistd.h>

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "core/secret_file.h"

bool
padlock_check_path(char **newval, void **extra, GucSource source)
{
	if ((*newval)[0] == '\0' || is_absolute_path(*newval))
		return true;
	GUC_check_errdetail("The path must be absolute.");
	return false;
}

/* What keeps an open file from being taken; false when nothing does. */
static bool
find_problem(int fd, int max, bool secret, PadlockSecretFile *file)
{
	file->problem = NULL;
	file->hint = NULL;
	if (fstat(fd, &file->status) < 0)
		file->problem = "could not be examined";
	else if (!S_ISREG(file->status.st_mode))
		file->problem = "is not a regular file";
	else if (secret && file->status.st_uid != geteuid())
	{
		file->problem = "does not belong to the server's user";
		file->hint = "Change its owner with chown.";
	}
	else if (secret && (file->status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
	{
		file->problem = "can be read or written by others";
		file->hint = "Change its mode to 0600 with chmod.";
	}
	else if (file->status.st_size > max)
		file->problem = "is too long";
	return file->problem != NULL;
}

/*
 * Check and read an open file, and close it.  No error may come before that:
 * there may be no transaction to close the file.
 */
static bool
load(int fd, char *content, int max, bool secret, PadlockSecretFile *file)
{
	ssize_t		length = 0;

	if (!find_problem(fd, max, secret, file))
	{
		length = read(fd, content, max);
		if (length < 0)
			file->problem = "could not be read";
		else if (length != file->status.st_size)
			file->problem = "was changed while it was read";
	}
	close(fd);
	file->length = Max(length, 0);
	return file->problem == NULL;
}

/* O_NONBLOCK: opening a pipe must not wait for a writer. */
static int
open_file(const char *path)
{
	return BasicOpenFile(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | PG_BINARY);
}

bool
padlock_load_secret_file(const char *path, char *content, int max, PadlockSecretFile *file)
{
	int			fd = open_file(path);

	if (fd >= 0)
		return load(fd, content, max, true, file);
	file->problem = psprintf("cannot be opened: %m");
	file->hint = NULL;
	return false;
}

/* End a content by NUL, without line ends at the end; returns the problem, or NULL. */
static const char *
make_text(char *content, size_t length)
{
	while (length > 0 && (content[length - 1] == '\n' || content[length - 1] == '\r'))
		length--;
	content[length] = '\0';
	if (length == 0)
		return "is empty";
	if (strlen(content) != length || !pg_verify_mbstr(PG_UTF8, content, length, true))
		return "is not UTF-8 text";
	return NULL;
}

/* The message as a sentence, for a detail. */
static char *
sentence(const char *message)
{
	char	   *text = psprintf("%s.", message);

	text[0] = pg_toupper((unsigned char) text[0]);
	return text;
}

void
padlock_refuse_server_file(int sqlstate, const char *message, const char *hint)
{
	/* outside a transaction nobody calls but the server's own processes */
	if (!IsTransactionState() || superuser_arg(GetOuterUserId()))
		ereport(ERROR,
				(errcode(sqlstate), errmsg_internal("%s", message),
				 hint != NULL ? errhint("%s", hint) : 0));
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("a file of the server's configuration cannot be used"),
			 hint != NULL ? errdetail_log("%s %s", sentence(message), hint) :
			 errdetail_log("%s", sentence(message)),
			 errhint("Tell the operator of the server; its log says more.")));
}

/* Stop because a file cannot be opened, by errno; never with 42501, which is about callers. */
static void pg_attribute_noreturn()
refuse_to_open(const char *path, const char *setting)
{
	int			sqlstate = errno == ENOENT ? ERRCODE_UNDEFINED_FILE : ERRCODE_IO_ERROR;

	padlock_refuse_server_file(sqlstate, psprintf("could not open file \"%s\" of %s: %m", path, setting),
							   NULL);
}

static char *
read_file(const char *path, const char *setting, int max, bool secret)
{
	char	   *content = palloc(max + 1);
	int			fd = open_file(path);
	PadlockSecretFile file;

	if (fd < 0)
		refuse_to_open(path, setting);
	if (load(fd, content, max, secret, &file))
		file.problem = make_text(content, file.length);
	if (file.problem != NULL)
	{
		explicit_bzero(content, max);
		padlock_refuse_server_file(ERRCODE_CONFIG_FILE_ERROR,
								   psprintf("file \"%s\" of %s %s", path, setting, file.problem),
								   file.hint);
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
