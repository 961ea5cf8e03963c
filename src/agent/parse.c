/*-------------------------------------------------------------------------
 *
 * parse.c
 *	  padlock_parse: the program that parses strangers' documents.
 *
 * It is a zygote: it loads the parsers once and then forks a child for each
 * document, which is three times as fast as starting a program.  The zygote
 * itself never looks into a document.
 *
 * A child may be taken over by the document that it parses, so it has no
 * hold on anything that outlives it.  Its PADLOCK_WIRE_FD is its own socket
 * pair, not the worker's socket, and the zygote relays its frames one by one
 * if they belong to this job, are of a type that this request may have, and
 * do not exceed the request's counts.  The last frame is held until the child
 * has been killed and reaped.  So a request gets one last answer whatever
 * the child does, and nothing of one document reaches the next.
 *
 * Crash contract: when the zygote dies its child dies (PDEATHSIG); when the
 * worker dies both do.  A child's crash, or a limit it meets, is the answer
 * to its request and leaves the zygote as it was.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/parse.h"
#include "agent/sandbox.h"

#define MAX_DETAIL			500		/* bytes, as wire.h says */
#define MAX_PROGRESS		10000	/* frames of one document */

/* A child at work on a request. */
typedef struct ParseJob
{
	const ParseRequest *request;
	pid_t		pid;
	int			pidfd;
	int			socket;			/* the zygote's end of the child's pair */
	int64_t		deadline;		/* monotonic milliseconds */
	uint32_t	links;			/* frames relayed so far */
	uint32_t	products;
	uint32_t	progress;
	bool		hung_up;		/* the child has closed its end */
	bool		timed_out;
	bool		broke_protocol;
	bool		finished;		/* `last` holds the child's last frame */
	int			last_fd;		/* what came with it, or -1 */
	WireFrame	last;
} ParseJob;

static void
die(const char *what)
{
	fprintf(stderr, "padlock_parse: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Send a last answer of the zygote's own. */
static bool
answer(const uint8_t *job_id, WireOutcome outcome, const char *format,...)
{
	WireBuffer	buf;
	char		detail[MAX_DETAIL + 1];
	va_list		args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	wire_begin(&buf, WIRE_PARSED, job_id);
	wire_put_u32(&buf, TAG_OUTCOME, outcome);
	wire_put_text(&buf, TAG_DETAIL, detail);
	return channel_send(&buf, -1);
}

/* Send a child's frame on to the worker. */
static bool
relay(const WireFrame *frame, int fd)
{
	WireBuffer	buf;

	memcpy(buf.data, frame->data, frame->size);
	buf.used = frame->size;
	buf.overflow = false;
	return channel_send(&buf, fd);
}

/* Do the fields of a frame fill it exactly? */
static bool
fields_are_whole(const WireFrame *frame)
{
	size_t		offset = sizeof(WireHeader);
	WireField	field;
	const unsigned char *value;

	while (wire_next_field(frame->data, frame->size, &offset, &field, &value))
		;
	return offset == frame->size;
}

/* May this request have one more frame of this type, with this descriptor? */
static bool
frame_is_allowed(ParseJob *job, const WireFrame *frame, int fd)
{
	const ParseRequest *request = job->request;
	uint64_t	size;

	if (memcmp(frame->header.job_id, request->job_id, sizeof(request->job_id)) != 0 ||
		!fields_are_whole(frame))
		return false;
	if (fd >= 0 && (frame->header.type != WIRE_PARSED || request->type != WIRE_PARSE_PDF ||
					!check_sealed_memfd(fd, (uint64_t) request->max_chars * 4, &size)))
		return false;
	switch (frame->header.type)
	{
		case WIRE_LINK:
			return (request->type == WIRE_PARSE_HTML || request->type == WIRE_PARSE_SITEMAP) &&
				job->links++ < request->max_links;
		case WIRE_PRODUCT:
			return request->type == WIRE_PARSE_HTML && job->products++ < request->max_products;
		case WIRE_PROGRESS:
			return request->type == WIRE_PARSE_PDF && job->progress++ < MAX_PROGRESS;
		case WIRE_PARSED:
			return true;
		default:
			return false;
	}
}

/* Start the child; false if the machine has no room for one. */
static bool
start_child(ParseJob *job, const ParseRequest *request)
{
	pid_t		zygote = getpid();
	int			pair[2];

	memset(job, 0, offsetof(ParseJob, last));
	job->request = request;
	job->last_fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	job->deadline = monotonic_ms() + request->wall_ms;
	job->pid = fork();
	if (job->pid == 0)
	{
		/* from here on the worker's socket is out of the child's reach */
		if (dup2(pair[1], PADLOCK_WIRE_FD) != PADLOCK_WIRE_FD)
			_exit(1);
		close(pair[0]);
		close(pair[1]);
		parse_child(request, zygote);
	}
	close(pair[1]);
	job->socket = pair[0];
	job->pidfd = job->pid > 0 ? pidfd_open(job->pid, 0) : -1;
	if (job->pidfd >= 0)
		return true;
	close(job->socket);
	if (job->pid > 0)
	{
		kill(job->pid, SIGKILL);
		waitpid(job->pid, NULL, 0);
	}
	return false;
}

/*
 * Take one packet of the child.  False when there is nothing more to wait
 * for: the last frame or nonsense.  A hang-up is not the end, as a child that
 * has been taken over may close its socket and live on.
 */
static bool
take_frame(ParseJob *job)
{
	int			fd;
	int			rc = channel_receive_from(job->socket, &job->last, &fd);

	if (rc == 0)
	{
		job->hung_up = true;
		return true;
	}
	if (rc < 0 || !frame_is_allowed(job, &job->last, fd))
	{
		if (fd >= 0)
			close(fd);
		job->broke_protocol = true;
		return false;
	}
	if (job->last.header.type == WIRE_PARSED)
	{
		job->finished = true;
		job->last_fd = fd;
		return false;
	}
	if (!relay(&job->last, -1))
		die("cannot answer the worker");
	return true;
}

/* Relay until the child has ended, answered or run out of time. */
static void
watch_child(ParseJob *job)
{
	for (;;)
	{
		struct pollfd polled[3] = {
			{job->hung_up ? -1 : job->socket, POLLIN, 0}, {job->pidfd, POLLIN, 0}, {PADLOCK_WIRE_FD, 0, 0}
		};
		int64_t		left = job->deadline - monotonic_ms();

		if (left <= 0)
		{
			job->timed_out = true;
			return;
		}
		if (poll(polled, 3, (int) left) < 0 && errno != EINTR)
			die("cannot wait for the parser");
		if ((polled[2].revents & (POLLHUP | POLLERR)) != 0)
			exit(0);
		/* what it said before it died comes before its death */
		if ((polled[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		{
			if (!take_frame(job))
				return;
		}
		else if (polled[1].revents != 0)
			return;
	}
}

/* Say why a child ended without a last frame. */
static bool
answer_death(const ParseJob *job, int status, const struct rusage *used)
{
	const ParseRequest *request = job->request;
	int64_t		cpu_ms = (int64_t) (used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000 +
		(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1000;
	int			sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (job->timed_out)
		return answer(request->job_id, WIRE_TIMEOUT,
					  "the document took more than %.1f s to parse", request->wall_ms / 1000.0);
	if (job->broke_protocol)
		return answer(request->job_id, WIRE_CRASHED, "the parser sent a malformed answer");
	if (sig == SIGPROF || sig == SIGXCPU || (sig == SIGKILL && cpu_ms >= request->cpu_ms))
		return answer(request->job_id, WIRE_TIMEOUT,
					  "the document used more than %.1f s of processor time",
					  request->cpu_ms / 1000.0);
	if (sig == SIGSYS)
		return answer(request->job_id, WIRE_CRASHED,
					  "the parser was stopped at a forbidden system call");
	if (sig != 0)
		return answer(request->job_id, WIRE_CRASHED,
					  "the parser was killed by signal %d (%s)", sig, strsignal(sig));
	return answer(request->job_id, WIRE_CRASHED,
				  "the parser gave up, as it does when %llu MB of memory do not suffice",
				  (unsigned long long) (request->memory >> 20));
}

/* Serve one request to its last answer; false if the worker is gone. */
static bool
serve(const ParseRequest *request)
{
	static ParseJob job;
	struct rusage used = {0};
	int			status = 0;
	bool		ok;

	if (!start_child(&job, request))
		return answer(request->job_id, WIRE_INTERNAL, "cannot start a parser: %s", strerror(errno));
	watch_child(&job);

	/* a child that ended by itself keeps the status that it ended with */
	if (job.finished || job.timed_out || job.broke_protocol)
		pidfd_send_signal(job.pidfd, SIGKILL, NULL, 0);
	while (wait4(job.pid, &status, 0, &used) < 0 && errno == EINTR)
		;
	close(job.pidfd);
	close(job.socket);
	if (!job.finished)
		return answer_death(&job, status, &used);
	ok = relay(&job.last, job.last_fd);
	if (job.last_fd >= 0)
		close(job.last_fd);
	return ok;
}

/* Receive and serve one frame of the worker; false if it is gone. */
static bool
serve_frame(void)
{
	static WireFrame frame;
	ParseRequest request;
	const char *error;
	int			body;
	bool		ok;
	int			rc = channel_receive(&frame, &body);

	if (rc == 0)
		return false;
	/* without a header there is no job to answer: the worker starts anew */
	if (rc < 0)
	{
		fprintf(stderr, "padlock_parse: received a malformed frame\n");
		return false;
	}
	error = parse_request_begin(&request, &frame.header, frame.data, frame.size, body);
	if (body >= 0)
		close(body);
	if (error != NULL)
		return answer(frame.header.job_id, WIRE_INTERNAL, "%s", error);
	ok = true;
	if (request.type == WIRE_PARSE_PDF && (request.text_fd = sealed_memfd("text")) < 0)
		ok = answer(request.job_id, WIRE_INTERNAL, "cannot make a memfd: %s", strerror(errno));
	else
		ok = serve(&request);
	if (request.text_fd >= 0)
		close(request.text_fd);
	parse_request_end(&request);
	return ok;
}

/* Standard input and output become /dev/null; errors stay the worker's. */
static bool
close_standard_files(void)
{
	int			null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return false;
	if (null > PADLOCK_WIRE_FD)
		close(null);
	return true;
}

int
main(void)
{
	WireBuffer	hello;
	uint8_t		nobody[16] = {0};

	if (fcntl(PADLOCK_WIRE_FD, F_GETFD) < 0)
		die("this program is started by a padlock worker");
	if (!sandbox_common() || !close_standard_files())
		die("cannot shed privileges");
	signal(SIGPIPE, SIG_IGN);
	parse_charset_load();
	parse_pdf_load();
	json_object_seed(0);
	if (!sandbox_parse_zygote())
		die("cannot shed access to files");

	wire_begin(&hello, WIRE_HELLO, nobody);
	if (!channel_send(&hello, -1))
		die("cannot greet the worker");
	while (serve_frame())
		;
	return 0;
}
