/*-------------------------------------------------------------------------
 *
 * helper.c
 *	  Starts, feeds, watches and ends the helper programs of a worker.
 *
 * A worker has at most one padlock_fetch and one padlock_parse, started at
 * their first request and kept.  They are found beside padlock.so.  A helper
 * is a child of the worker in a session of its own, with an empty
 * environment, /dev/null as its standard streams and one end of a socket as
 * PADLOCK_WIRE_FD; the kernel kills it when the worker dies.  Its standard
 * error is not kept: it could carry a stranger's bytes into the server's log.
 *
 * Whatever a helper sends is hostile: a packet that is not one well-formed
 * frame of the request at hand, more than one descriptor, or one that is not
 * a sealed memfd, ends the helper and fails the request.
 *
 * Waiting is done on the socket, the latch and a deadline, with interrupts
 * served and the job's lease kept.  No transaction is open here.
 *
 * Crash contract: a helper that dies costs the request.  A helper that an
 * error left busy is killed before anything else is asked
 * (padlock_helpers_settle()).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "worker/helper.h"
#include "worker/process.h"

/* Not in the headers of glibc for our feature macros. */
extern int	close_range(unsigned int first, unsigned int last, int flags);

#ifndef F_GET_SEALS
#define F_GET_SEALS			(1024 + 10) /* linux/fcntl.h */
#endif

#define START_TIMEOUT_MS	15000	/* fonts and certificates are loaded */
#define WAIT_SLICE_MS		5000	/* the lease is looked after this often */
#define REAP_TRIES			20	/* of 5 ms, for a helper that ends by itself */
#define MAX_DESCRIPTORS		4	/* room to see that there was more than one */

typedef struct Helper
{
	const char *program;
	pid_t		pid;			/* 0: not running */
	int			fd;
	bool		busy;			/* an answer is incomplete */
} Helper;

static Helper helpers[] = {
	[PADLOCK_HELPER_FETCH] = {"padlock_fetch", 0, -1, false},
	[PADLOCK_HELPER_PARSE] = {"padlock_parse", 0, -1, false},
};

/* The last received packet; one at a time is enough. */
static unsigned char packet[PADLOCK_WIRE_MAX_FRAME];

/* Forget a helper that is dead and reaped. */
static void
forget(Helper *helper)
{
	close(helper->fd);
	ReleaseExternalFD();
	helper->fd = -1;
	helper->pid = 0;
	helper->busy = false;
}

/* Kill a helper; returns its wait status. */
static int
kill_helper(Helper *helper)
{
	int			status = 0;

	kill(helper->pid, SIGKILL);
	while (waitpid(helper->pid, &status, 0) < 0 && errno == EINTR)
		;
	forget(helper);
	return status;
}

static void
kill_all(int code, Datum arg)
{
	for (int i = 0; i < lengthof(helpers); i++)
		if (helpers[i].pid != 0)
			(void) kill_helper(&helpers[i]);
}

void
padlock_helpers_init(void)
{
	before_shmem_exit(kill_all, (Datum) 0);
}

void
padlock_helpers_settle(void)
{
	for (int i = 0; i < lengthof(helpers); i++)
		if (helpers[i].pid != 0 && helpers[i].busy)
			(void) kill_helper(&helpers[i]);
}

/* Raise the error for a helper that closed its socket, with how it ended. */
static void
report_death(Helper *helper)
{
	int			status = 0;
	pid_t		reaped = 0;

	for (int i = 0; i < REAP_TRIES && reaped == 0; i++)
	{
		reaped = waitpid(helper->pid, &status, WNOHANG);
		if (reaped == 0)
			pg_usleep(5000L);
	}
	if (reaped == helper->pid)
		forget(helper);
	else
		status = kill_helper(helper);

	if (WIFSIGNALED(status))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("helper program %s was terminated by signal %d",
						helper->program, WTERMSIG(status))));
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("helper program %s ended with exit code %d",
					helper->program, WEXITSTATUS(status)),
			 errhint("Check that it lies beside padlock.so and that its libraries are installed.")));
}

void
padlock_helper_malformed(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("a helper program broke the wire format: %s", what)));
	pg_unreachable();
}

/* The path of a program that is installed beside this library; palloc'd. */
static char *
program_path(const char *program)
{
	Dl_info		info;
	char	   *slash;
	char		directory[MAXPGPATH];

	if (dladdr((void *) padlock_helpers_init, &info) == 0 || info.dli_fname == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not find the path of padlock's library")));
	strlcpy(directory, info.dli_fname, sizeof(directory));
	slash = strrchr(directory, '/');
	if (slash != NULL)
		*slash = '\0';
	return psprintf("%s/%s", slash ? directory : ".", program);
}

/*
 * In the child between fork and exec: become the helper.  Async-signal-safe
 * calls only; never returns.
 */
static void
become_helper(const char *path, const char *program, int wire, pid_t worker)
{
	char	   *const arguments[] = {(char *) program, NULL};
	char	   *const environment[] = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=/", NULL};
	sigset_t	none;
	int			null_fd;

	for (int number = 1; number < NSIG; number++)
		(void) signal(number, SIG_DFL);
	(void) setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != worker)
		_exit(126);

	if (wire != PADLOCK_WIRE_FD && dup2(wire, PADLOCK_WIRE_FD) < 0)
		_exit(126);
	null_fd = open("/dev/null", O_RDWR);
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 || dup2(null_fd, 2) < 0)
		_exit(126);
	if (fcntl(PADLOCK_WIRE_FD, F_SETFD, 0) < 0 ||
		close_range(PADLOCK_WIRE_FD + 1, ~0U, 0) < 0)
		_exit(126);

	sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	(void) execve(path, arguments, environment);
	_exit(127);
}

/* Fork with signals blocked, so that no handler of ours runs in the child. */
static pid_t
fork_helper(const char *path, const char *program, int wire)
{
	pid_t		worker = getpid();
	sigset_t	all;
	sigset_t	before;
	pid_t		pid;

	sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		become_helper(path, program, wire, worker);
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

/* Create the process and its socket. */
static void
spawn(Helper *helper)
{
	char	   *path = program_path(helper->program);
	int			ends[2];
	pid_t		pid;

	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start helper program %s: too many open files",
						helper->program)));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
	{
		ReleaseExternalFD();
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not create a socket pair: %m")));
	}

	/* Only our end: the helper's reads and writes block. */
	pid = pg_set_noblock(ends[0]) ? fork_helper(path, helper->program, ends[1]) : -1;
	close(ends[1]);
	if (pid < 0)
	{
		int			saved_errno = errno;

		close(ends[0]);
		ReleaseExternalFD();
		errno = saved_errno;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start helper program %s: %m", helper->program)));
	}
	helper->pid = pid;
	helper->fd = ends[0];
	helper->busy = true;
	pfree(path);
}

/*
 * Wait until the helper's socket is ready or the deadline has passed, which
 * is an error.  Interrupts are served and the job's lease is kept.
 */
static void
wait_for_helper(Helper *helper, int event, TimestampTz deadline)
{
	TimestampTz now = GetCurrentTimestamp();
	int			events;

	if (now >= deadline)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("helper program %s did not answer in time", helper->program)));

	events = WaitLatchOrSocket(MyLatch, event | WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							   helper->fd,
							   Min(TimestampDifferenceMilliseconds(now, deadline) + 1,
								   WAIT_SLICE_MS),
							   PG_WAIT_EXTENSION);
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	padlock_worker_heartbeat();
}

/* Memory context callback: close a body's descriptor. */
static void
close_body(void *arg)
{
	PadlockBlob *body = arg;

	if (body->fd >= 0)
		close(body->fd);
	body->fd = -1;
}

/*
 * Take the descriptors out of a received message: the first goes to *fd, or
 * -1, and the others are closed.  Returns how many there were.
 */
static int
take_descriptors(struct msghdr *message, int *fd)
{
	struct cmsghdr *control;
	int			count = 0;

	*fd = -1;
	for (control = CMSG_FIRSTHDR(message); control != NULL; control = CMSG_NXTHDR(message, control))
	{
		int			received[MAX_DESCRIPTORS];
		int			n;

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		n = Min((control->cmsg_len - CMSG_LEN(0)) / sizeof(int), MAX_DESCRIPTORS);
		memcpy(received, CMSG_DATA(control), n * sizeof(int));
		for (int i = 0; i < n; i++)
		{
			if (count++ == 0)
				*fd = received[i];
			else
				close(received[i]);
		}
	}
	return count;
}

/* A received descriptor as a body that the current memory context owns. */
static PadlockBlob *
own_body(int fd)
{
	PadlockBlob *body = palloc0(sizeof(PadlockBlob));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	struct stat status;
	int			seals;

	body->fd = fd;
	callback->func = close_body;
	callback->arg = body;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);

	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & PADLOCK_WIRE_SEALS) != PADLOCK_WIRE_SEALS || fstat(fd, &status) < 0)
		padlock_helper_malformed("a body that is not a sealed memfd");
	body->length = status.st_size;
	return body;
}

PadlockBlob *
padlock_helper_make_body(const char *bytes, size_t length)
{
	int			fd = memfd_create("padlock message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t		done = 0;

	while (fd >= 0 && done < length)
	{
		ssize_t		n = write(fd, bytes + done, length - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += n;
	}
	if (fd < 0 || done < length || fcntl(fd, F_ADD_SEALS, PADLOCK_WIRE_SEALS) < 0)
	{
		int			saved_errno = errno;

		if (fd >= 0)
			close(fd);
		errno = saved_errno;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to a memory file: %m")));
	}
	return own_body(fd);
}

/* Receive the next frame, waiting for it until the deadline. */
static void
receive(Helper *helper, TimestampTz deadline, PadlockFrame *frame)
{
	union
	{
		char		bytes[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS)];
		struct cmsghdr align;
	}			control;
	struct iovec vector = {packet, sizeof(packet)};
	struct msghdr message;
	ssize_t		size;
	int			descriptors;
	int			fd;

	for (;;)
	{
		memset(&message, 0, sizeof(message));
		message.msg_iov = &vector;
		message.msg_iovlen = 1;
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		size = recvmsg(helper->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (size > 0)
			break;
		if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			wait_for_helper(helper, WL_SOCKET_READABLE, deadline);
		else if (size == 0 || errno != EINTR)
			report_death(helper);
	}

	descriptors = take_descriptors(&message, &fd);
	if (descriptors > 1)
	{
		close(fd);
		padlock_helper_malformed("more than one descriptor in a frame");
	}
	frame->body = descriptors > 0 ? own_body(fd) : NULL;
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		padlock_helper_malformed("a packet that is too large");
	if (!wire_check_frame(packet, size, &frame->header))
		padlock_helper_malformed("a packet that is not a frame");
	frame->data = packet;
	frame->size = size;
}

/* Send one frame with a descriptor or -1. */
static void
send_frame(Helper *helper, const WireBuffer *request, int fd, TimestampTz deadline)
{
	union
	{
		char		bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	}			control;
	struct iovec vector = {(void *) request->data, request->used};
	struct msghdr message;

	memset(&message, 0, sizeof(message));
	message.msg_iov = &vector;
	message.msg_iovlen = 1;
	if (fd >= 0)
	{
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		CMSG_FIRSTHDR(&message)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&message)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof(int));
	}

	while (sendmsg(helper->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
	{
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			wait_for_helper(helper, WL_SOCKET_WRITEABLE, deadline);
		else if (errno != EINTR)
			report_death(helper);
	}
}

/* Start a helper and wait for it to say that it is ready. */
static void
start_helper(Helper *helper)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), START_TIMEOUT_MS);
	PadlockFrame frame;

	spawn(helper);
	receive(helper, deadline, &frame);
	if (frame.header.type != WIRE_HELLO)
		padlock_helper_malformed("no greeting");
	helper->busy = false;
}

/*
 * Is an idle helper of no use any more?  It died, or it sent something that
 * nobody asked for.
 */
static bool
is_stale(Helper *helper)
{
	char		byte;

	return recv(helper->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 ||
		(errno != EAGAIN && errno != EWOULDBLOCK);
}

/* Have a helper of the kind ready for a request. */
static Helper *
ready_helper(PadlockHelperKind kind)
{
	Helper	   *helper = &helpers[kind];

	if (helper->pid != 0 && (helper->busy || is_stale(helper)))
		(void) kill_helper(helper);
	if (helper->pid == 0)
		start_helper(helper);
	return helper;
}

void
padlock_helper_request(PadlockHelperKind kind, const WireBuffer *request, const PadlockBlob *body,
					   int timeout_ms, PadlockFrameReader reader, void *state)
{
	Helper	   *helper = ready_helper(kind);
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	PadlockFrame frame;

	Assert(!IsTransactionState());
	if (request->overflow)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a request to helper program %s is too large", helper->program)));
	helper->busy = true;
	send_frame(helper, request, body ? body->fd : -1, deadline);
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (GetCurrentTimestamp() >= deadline)
			wait_for_helper(helper, WL_SOCKET_READABLE, deadline);
		receive(helper, deadline, &frame);
		if (memcmp(frame.header.job_id, request->data + offsetof(WireHeader, job_id), 16) != 0)
			padlock_helper_malformed("an answer to another request");
	} while (!reader(&frame, state));
	helper->busy = false;
}

void
padlock_helper_wipe_answer(void)
{
	explicit_bzero(packet, sizeof(packet));
}

char *
padlock_helper_text(const char *value, size_t length, size_t max)
{
	char	   *text;
	char	   *converted;

	if (length > max)
		padlock_helper_malformed("a text that is too long");
	if (memchr(value, '\0', length) != NULL || !pg_verify_mbstr(PG_UTF8, value, length, true))
		padlock_helper_malformed("a text that is not UTF-8");
	text = pnstrdup(value, length);
	converted = pg_any_to_server(text, length, PG_UTF8);
	if (converted != text)
	{
		explicit_bzero(text, length);	/* it may be a secret */
		pfree(text);
	}
	return converted;
}

/* Read the whole content of a body. */
static void
read_content(const PadlockBlob *body, char *bytes)
{
	size_t		done = 0;

	while (done < body->length)
	{
		ssize_t		n = pread(body->fd, bytes + done, body->length - done, done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read a helper program's answer: %m")));
		done += n;
	}
}

bytea *
padlock_helper_read_bytes(const PadlockBlob *body)
{
	bytea	   *bytes = palloc(VARHDRSZ + body->length);

	read_content(body, VARDATA(bytes));
	SET_VARSIZE(bytes, VARHDRSZ + body->length);
	return bytes;
}

char *
padlock_helper_read_body(const PadlockBlob *body, size_t max)
{
	char	   *bytes;
	char	   *text;

	if (body->length > max)
		padlock_helper_malformed("a body that is too large");
	bytes = MemoryContextAllocHuge(CurrentMemoryContext, body->length + 1);
	read_content(body, bytes);
	text = padlock_helper_text(bytes, body->length, max);
	explicit_bzero(bytes, body->length);	/* it may be a secret */
	pfree(bytes);
	return text;
}
