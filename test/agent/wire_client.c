/*-------------------------------------------------------------------------
 *
 * wire_client.c
 *	  A worker's end of the wire, for tests of the helper programs.
 *
 *	  wire_client OUTDIR PROGRAM WORD...
 *	  wire_client OUTDIR PROGRAM < commands
 *
 * It starts PROGRAM as a worker does, waits for its hello, runs one command
 * (the words) or one a line of standard input (words parted by tabs), closes
 * the socket and waits for the helper's end.  Commands:
 *
 *	  fetch URL [OPTION]...
 *	  html FILE BASE [OPTION]...
 *	  pdf FILE [OPTION]...
 *	  sitemap FILE BASE [OPTION]...
 *	  mail FILE URL [OPTION]...
 *	  call FILE URL [OPTION]...	FILE is the body, - for none
 *	  json FILE [OPTION]...
 *	  ask URL [OPTION]...	like fetch, but does not wait for the answer
 *	  raw HEX			send a packet as it stands and read one answer
 *	  sleep MS
 *	  leave				send nothing more and close at once
 *
 * An option is name=value with a name from the table below, or robots,
 * private (flags), unsealed (pass the file in a memfd without seals) or
 * attach (pass a memfd with a fetch, which has none).
 *
 * Each answer is a line of standard output: the frame's name and then
 * tag=value, parted by tabs, with \\, \t and \n in values escaped.  A body is
 * written to OUTDIR/body.N and shown as body=that name.  The last line is
 * EXIT with status=N or signal=N.  The helper's standard error is left alone.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/channel.h"

#define MAX_WORDS		40
#define MAX_BODY		((uint64_t) 1 << 30)
#define PATIENCE_SECONDS 60		/* no test waits for a helper for longer */

typedef enum FieldForm
{
	FORM_TEXT,
	FORM_U32,
	FORM_U64
} FieldForm;

typedef struct FieldName
{
	WireTag		tag;
	FieldForm	form;
	const char *name;
} FieldName;

static const FieldName field_names[] = {
	{TAG_URL, FORM_TEXT, "url"},
	{TAG_FLAGS, FORM_U32, "flags"},
	{TAG_MAX_BYTES, FORM_U64, "max_bytes"},
	{TAG_TIMEOUT_MS, FORM_U32, "timeout_ms"},
	{TAG_MAX_REDIRECTS, FORM_U32, "max_redirects"},
	{TAG_ETAG, FORM_TEXT, "etag"},
	{TAG_LAST_MODIFIED, FORM_TEXT, "last_modified"},
	{TAG_CONTENT_TYPE, FORM_TEXT, "content_type"},
	{TAG_MAX_LINKS, FORM_U32, "max_links"},
	{TAG_MAX_PRODUCTS, FORM_U32, "max_products"},
	{TAG_MAX_PAGES, FORM_U32, "max_pages"},
	{TAG_MAX_CHARS, FORM_U32, "max_chars"},
	{TAG_CPU_MS, FORM_U32, "cpu_ms"},
	{TAG_WALL_MS, FORM_U32, "wall_ms"},
	{TAG_MEMORY, FORM_U64, "memory"},
	{TAG_OUTCOME, FORM_U32, "outcome"},
	{TAG_DETAIL, FORM_TEXT, "detail"},
	{TAG_HTTP_STATUS, FORM_U32, "http_status"},
	{TAG_BODY_LENGTH, FORM_U64, "body_length"},
	{TAG_ELAPSED_MS, FORM_U32, "elapsed_ms"},
	{TAG_SITEMAP, FORM_TEXT, "sitemap"},
	{TAG_LINK_KIND, FORM_U32, "link_kind"},
	{TAG_NAME, FORM_TEXT, "name"},
	{TAG_SOURCE, FORM_TEXT, "source"},
	{TAG_VALUE, FORM_TEXT, "value"},
	{TAG_DONE, FORM_U32, "done"},
	{TAG_TOTAL, FORM_U32, "total"},
	{TAG_TITLE, FORM_TEXT, "title"},
	{TAG_PAGES, FORM_U32, "pages"},
	{TAG_CHARS, FORM_U32, "chars"},
	{TAG_TRUNCATED, FORM_U32, "truncated"},
	{TAG_MAIL_FROM, FORM_TEXT, "mail_from"},
	{TAG_MAIL_TO, FORM_TEXT, "mail_to"},
	{TAG_USER, FORM_TEXT, "user"},
	{TAG_PASSWORD, FORM_TEXT, "password"},
	{TAG_CA, FORM_TEXT, "ca"},
	{TAG_METHOD, FORM_TEXT, "method"},
	{TAG_HEADER, FORM_TEXT, "header"},
	{TAG_TRIES, FORM_U32, "tries"},
	{TAG_AWS_REGION, FORM_TEXT, "region"},
	{TAG_AWS_SERVICE, FORM_TEXT, "service"},
	{TAG_AWS_TOKEN, FORM_TEXT, "token"}
};

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

typedef struct FrameName
{
	WireType	type;
	const char *name;
} FrameName;

static const FrameName answer_names[] = {
	{WIRE_HELLO, "HELLO"},
	{WIRE_LINK, "LINK"},
	{WIRE_PRODUCT, "PRODUCT"},
	{WIRE_PROGRESS, "PROGRESS"},
	{WIRE_FETCHED, "FETCHED"},
	{WIRE_PARSED, "PARSED"},
	{WIRE_SENT, "SENT"},
	{WIRE_CALLED, "CALLED"}
};

/* What a command sends when no option says otherwise. */
typedef struct Default
{
	WireType	type;
	const char *options[8];
} Default;

static const Default defaults[] = {
	{WIRE_FETCH, {"max_bytes=8388608", "timeout_ms=20000", "max_redirects=5"}},
	{WIRE_PARSE_HTML, {"max_links=1000", "max_products=100", "cpu_ms=5000", "wall_ms=10000",
		"memory=1073741824"}},
	{WIRE_PARSE_PDF, {"max_pages=500", "max_chars=2000000", "cpu_ms=5000", "wall_ms=10000",
		"memory=1073741824"}},
	{WIRE_PARSE_SITEMAP, {"max_links=1000", "cpu_ms=5000", "wall_ms=10000",
		"memory=1073741824"}},
	{WIRE_SEND_MAIL, {"mail_from=shop@example.org", "mail_to=maya@example.org", "flags=4",
		"timeout_ms=5000"}},
	{WIRE_CALL, {"method=GET", "flags=0", "max_bytes=1048576", "timeout_ms=5000", "tries=1"}},
	{WIRE_PARSE_JSON, {"cpu_ms=5000", "wall_ms=10000", "memory=1073741824"}}
};

static const char *outdir;
static int	bodies = 0;
static uint8_t job_id[16];
static WireBuffer request;
static WireFrame answer;

static void
die(const char *what)
{
	fprintf(stderr, "wire_client: %s: %s\n", what, strerror(errno));
	exit(3);
}

/* Start the helper with one end of a pair as its descriptor 3; the other becomes ours. */
static pid_t
start_helper(const char *program)
{
	int			pair[2];
	pid_t		child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		die("socketpair");
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
	{
		/* a pair may have got number 3 itself, where dup2 would keep close-on-exec */
		int			end = fcntl(pair[1], F_DUPFD, 10);

		if (end < 0 || dup2(end, PADLOCK_WIRE_FD) < 0)
			die("dup2");
		close(end);
		execl(program, program, (char *) NULL);
		die(program);
	}
	close(pair[1]);
	if (pair[0] != PADLOCK_WIRE_FD)
	{
		if (dup2(pair[0], PADLOCK_WIRE_FD) < 0)
			die("dup2");
		close(pair[0]);
	}
	return child;
}

static void
print_value(FieldForm form, const WireField *field, const unsigned char *value)
{
	size_t		i;

	if (form == FORM_U32)
		printf("%u", wire_u32(field, value));
	else if (form == FORM_U64)
		printf("%llu", (unsigned long long) wire_u64(field, value));
	else
	{
		for (i = 0; i < field->length; i++)
		{
			if (value[i] == '\t')
				fputs("\\t", stdout);
			else if (value[i] == '\n')
				fputs("\\n", stdout);
			else if (value[i] == '\\')
				fputs("\\\\", stdout);
			else
				putchar(value[i]);
		}
	}
}

static void
print_fields(void)
{
	size_t		offset = sizeof(WireHeader);
	WireField	field;
	const unsigned char *value;
	size_t		i;

	while (wire_next_field(answer.data, answer.size, &offset, &field, &value))
	{
		for (i = 0; i < lengthof(field_names); i++)
		{
			if (field_names[i].tag == field.tag)
			{
				printf("\t%s=", field_names[i].name);
				print_value(field_names[i].form, &field, value);
			}
		}
	}
	if (offset != answer.size)
		printf("\tMALFORMED");
}

/* Write a sealed body to a file of its own. */
static void
save_body(int fd)
{
	char		path[4096];
	uint64_t	size;
	void	   *bytes;
	FILE	   *file;

	if (!check_sealed_memfd(fd, MAX_BODY, &size))
	{
		printf("\tUNSEALED");
		return;
	}
	snprintf(path, sizeof(path), "%s/body.%d", outdir, bodies++);
	file = fopen(path, "w");
	if (file == NULL)
		die(path);
	if (size > 0)
	{
		bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED || fwrite(bytes, 1, size, file) != size)
			die(path);
		munmap(bytes, size);
	}
	fclose(file);
	printf("\tbody=%s", path);
}

/* Read and print one frame; its type, or 0 when there is none. */
static WireType
print_answer(void)
{
	int			fd;
	int			got = channel_receive(&answer, &fd);
	const char *name = "UNKNOWN";
	size_t		i;

	if (got <= 0)
	{
		puts(got == 0 ? "CLOSED" : "BROKEN");
		return 0;
	}
	for (i = 0; i < lengthof(answer_names); i++)
	{
		if (answer_names[i].type == answer.header.type)
			name = answer_names[i].name;
	}
	fputs(name, stdout);
	if (memcmp(answer.header.job_id, job_id, sizeof(job_id)) != 0)
		printf("\tWRONGJOB");
	print_fields();
	if (fd >= 0)
	{
		save_body(fd);
		close(fd);
	}
	putchar('\n');
	fflush(stdout);
	return (WireType) answer.header.type;
}

/* Append name=value; false if the name is unknown. */
static bool
put_option(const char *option)
{
	const char *equals = strchr(option, '=');
	size_t		i;

	for (i = 0; equals != NULL && i < lengthof(field_names); i++)
	{
		const FieldName *known = &field_names[i];

		if (strlen(known->name) != (size_t) (equals - option) ||
			strncmp(known->name, option, equals - option) != 0)
			continue;
		if (known->form == FORM_U32)
			wire_put_u32(&request, known->tag, strtoul(equals + 1, NULL, 0));
		else if (known->form == FORM_U64)
			wire_put_u64(&request, known->tag, strtoull(equals + 1, NULL, 0));
		else
			wire_put_text(&request, known->tag, equals + 1);
		return true;
	}
	return false;
}

/* Is the option's name given among the words? */
static bool
option_given(const char *option, char **words)
{
	size_t		length = strchr(option, '=') - option + 1;

	for (; *words != NULL; words++)
	{
		if (strncmp(*words, option, length) == 0)
			return true;
	}
	return false;
}

static bool
word_given(const char *word, char **words)
{
	while (*words != NULL && strcmp(*words, word) != 0)
		words++;
	return *words != NULL;
}

/* Append what the words say, and the defaults for what they do not. */
static void
put_options(WireType type, char **words)
{
	uint32_t	flags = 0;
	size_t		i;
	size_t		j;

	for (i = 0; i < lengthof(defaults); i++)
	{
		if (defaults[i].type != type)
			continue;
		for (j = 0; defaults[i].options[j] != NULL; j++)
		{
			if (!option_given(defaults[i].options[j], words))
				put_option(defaults[i].options[j]);
		}
	}
	for (; *words != NULL; words++)
	{
		if (strcmp(*words, "robots") == 0)
			flags |= WIRE_FLAG_ROBOTS;
		else if (strcmp(*words, "private") == 0)
			flags |= WIRE_FLAG_PRIVATE;
		else if (strcmp(*words, "unsealed") != 0 && strcmp(*words, "attach") != 0 &&
				 !put_option(*words))
		{
			fprintf(stderr, "wire_client: unknown option \"%s\"\n", *words);
			exit(3);
		}
	}
	if (type == WIRE_FETCH && !option_given("flags=", words))
		wire_put_u32(&request, TAG_FLAGS, flags);
}

/* A file's content in a memfd. */
static int
load_file(const char *path, bool seal)
{
	char		block[65536];
	int			fd = sealed_memfd("document");
	int			file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t		n;

	if (fd < 0 || file < 0)
		die(path);
	while ((n = read(file, block, sizeof(block))) > 0)
	{
		if (write(fd, block, n) != n)
			die("memfd");
	}
	if (n < 0 || (seal && !seal_memfd(fd)))
		die(path);
	close(file);
	return fd;
}

/* Send the request and print its answers, the last one included. */
static bool
exchange(int fd)
{
	WireType	type;

	if (!channel_send(&request, fd))
	{
		puts("UNSENT");
		return false;
	}
	do
		type = print_answer();
	while (type != 0 && type != WIRE_FETCHED && type != WIRE_PARSED && type != WIRE_SENT &&
		   type != WIRE_CALLED);
	return type != 0;
}

static bool
run_document(WireType type, char **words, bool has_base)
{
	bool		seal;
	int			fd;
	bool		ok;

	if (words[0] == NULL || (has_base && words[1] == NULL))
	{
		fprintf(stderr, "wire_client: a word is missing\n");
		exit(3);
	}
	seal = !word_given("unsealed", words);
	wire_begin(&request, type, job_id);
	if (has_base)
		wire_put_text(&request, TAG_URL, words[1]);
	put_options(type, words + (has_base ? 2 : 1));
	fd = strcmp(words[0], "-") == 0 ? -1 : load_file(words[0], seal);
	ok = exchange(fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool
run_fetch(char **words, bool wait)
{
	int			fd = word_given("attach", words) ? sealed_memfd("attached") : -1;
	bool		ok;

	wire_begin(&request, WIRE_FETCH, job_id);
	wire_put_text(&request, TAG_URL, words[0]);
	put_options(WIRE_FETCH, words + 1);
	ok = wait ? exchange(fd) : channel_send(&request, fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Send bytes that need not be a frame. */
static bool
run_raw(const char *hex)
{
	unsigned char bytes[PADLOCK_WIRE_MAX_FRAME];
	size_t		n = 0;
	unsigned int byte;

	while (n < sizeof(bytes) && sscanf(hex + 2 * n, "%2x", &byte) == 1)
		bytes[n++] = (unsigned char) byte;
	if (send(PADLOCK_WIRE_FD, bytes, n, MSG_NOSIGNAL) < 0)
		die("send");
	return print_answer() != 0;
}

/* Run one command; false when the helper is gone or is to be left. */
static bool
run_command(char **words)
{
	const char *name = words[0];

	job_id[15]++;
	if ((strcmp(name, "fetch") == 0 || strcmp(name, "ask") == 0) && words[1] != NULL)
		return run_fetch(words + 1, name[0] == 'f');
	if (strcmp(name, "html") == 0)
		return run_document(WIRE_PARSE_HTML, words + 1, true);
	if (strcmp(name, "pdf") == 0)
		return run_document(WIRE_PARSE_PDF, words + 1, false);
	if (strcmp(name, "sitemap") == 0)
		return run_document(WIRE_PARSE_SITEMAP, words + 1, true);
	if (strcmp(name, "mail") == 0)
		return run_document(WIRE_SEND_MAIL, words + 1, true);
	if (strcmp(name, "call") == 0)
		return run_document(WIRE_CALL, words + 1, true);
	if (strcmp(name, "json") == 0)
		return run_document(WIRE_PARSE_JSON, words + 1, false);
	if (strcmp(name, "raw") == 0 && words[1] != NULL)
		return run_raw(words[1]);
	if (strcmp(name, "sleep") == 0 && words[1] != NULL)
		return usleep(1000 * atoi(words[1])) == 0;
	if (strcmp(name, "leave") == 0)
		return false;
	fprintf(stderr, "wire_client: unknown command \"%s\"\n", name);
	exit(3);
}

static void
run_lines(FILE *input)
{
	char	   *line = NULL;
	size_t		size = 0;
	bool		going = true;

	while (going && getline(&line, &size, input) > 0)
	{
		char	   *words[MAX_WORDS + 1];
		char	   *rest = NULL;
		int			n = 0;

		line[strcspn(line, "\n")] = '\0';
		words[n] = strtok_r(line, "\t", &rest);
		while (words[n] != NULL && n < MAX_WORDS - 1)
			words[++n] = strtok_r(NULL, "\t", &rest);
		words[MAX_WORDS] = NULL;
		if (n > 0)
			going = run_command(words);
	}
	free(line);
}

int
main(int argc, char **argv)
{
	pid_t		helper;
	int			status;

	if (argc < 3)
	{
		fprintf(stderr, "usage: wire_client OUTDIR PROGRAM [WORD...]\n");
		return 3;
	}
	outdir = argv[1];
	helper = start_helper(argv[2]);

	/* the helper ends when this end of the socket closes with the process */
	alarm(PATIENCE_SECONDS);
	if (print_answer() == WIRE_HELLO)
	{
		if (argc > 3)
			run_command(argv + 3);
		else
			run_lines(stdin);
	}
	close(PADLOCK_WIRE_FD);
	if (waitpid(helper, &status, 0) != helper)
		die("waitpid");
	if (WIFSIGNALED(status))
		printf("EXIT\tsignal=%d\n", WTERMSIG(status));
	else
		printf("EXIT\tstatus=%d\n", WEXITSTATUS(status));
	return 0;
}
