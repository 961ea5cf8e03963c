/*-------------------------------------------------------------------------
 *
 * parse_child.c
 *	  The life of a child that parses one document: limits, sandbox, parser,
 *	  answers.
 *
 * Limits are set by the child on itself before it sees a byte and cannot be
 * lifted afterwards: the filter has no setrlimit().  The processor limit is
 * an interval timer, as RLIMIT_CPU counts whole seconds; that one stands
 * behind it for a child that catches the timer's signal, and the zygote's
 * wall clock behind both.
 *
 *-------------------------------------------------------------------------
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/parse.h"
#include "agent/sandbox.h"

#define MAX_DETAIL		500		/* bytes, as wire.h says */
#define MAX_TITLE		1000
#define MAX_DATE		100
#define MAX_FILES		16		/* descriptors; the child holds six */

static bool
set_limit(__rlimit_resource_t resource, uint64_t value)
{
	struct rlimit limit = {value, value};

	return setrlimit(resource, &limit) == 0;
}

/* Put the request's limits on this process. */
static bool
set_limits(const ParseRequest *request)
{
	struct itimerval timer = {{0, 0}, {0, 0}};

	timer.it_value.tv_sec = request->cpu_ms / 1000;
	timer.it_value.tv_usec = request->cpu_ms % 1000 * 1000;
	return set_limit(RLIMIT_CPU, request->cpu_ms / 1000 + 2) &&
		set_limit(RLIMIT_AS, request->memory) &&
		set_limit(RLIMIT_FSIZE, (uint64_t) request->max_chars * 4) &&
		set_limit(RLIMIT_NOFILE, MAX_FILES) &&
		setitimer(ITIMER_PROF, &timer, NULL) == 0;
}

void
parse_child(const ParseRequest *request, pid_t zygote)
{
	/* the flag is lost by fork(), and the zygote may be dead already */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != zygote)
		_exit(1);
	/* what the libraries complain of is the document's, not for our log */
	if (dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
		_exit(1);
	if (!set_limits(request) || !sandbox_parse_child())
		parse_fail(request, WIRE_INTERNAL, "cannot set up the parser's sandbox");
	switch (request->type)
	{
		case WIRE_PARSE_HTML:
			parse_html(request);
		case WIRE_PARSE_PDF:
			parse_pdf(request);
		case WIRE_PARSE_SITEMAP:
			parse_sitemap(request);
		case WIRE_PARSE_JSON:
			parse_json(request);
		default:
			_exit(1);
	}
}

void
parse_send(const WireBuffer *buf, int fd)
{
	if (!channel_send(buf, fd))
		_exit(1);
}

void
parse_send_link(const ParseRequest *request, const char *url, WireLinkKind kind,
				const char *last_modified)
{
	WireBuffer	buf;

	wire_begin(&buf, WIRE_LINK, request->job_id);
	wire_put_text(&buf, TAG_URL, url);
	wire_put_u32(&buf, TAG_LINK_KIND, kind);
	if (last_modified != NULL && last_modified[0] != '\0')
		channel_put_text(&buf, TAG_LAST_MODIFIED, last_modified, strlen(last_modified), MAX_DATE);
	parse_send(&buf, -1);
}

void
parse_finish(const ParseRequest *request, const ParseSummary *summary)
{
	WireBuffer	buf;

	wire_begin(&buf, WIRE_PARSED, request->job_id);
	wire_put_u32(&buf, TAG_OUTCOME, WIRE_OK);
	wire_put_text(&buf, TAG_DETAIL, "");
	if (summary->title != NULL && summary->title[0] != '\0')
		channel_put_text(&buf, TAG_TITLE, summary->title, strlen(summary->title), MAX_TITLE);
	if (request->type == WIRE_PARSE_PDF)
	{
		wire_put_u32(&buf, TAG_PAGES, summary->pages);
		wire_put_u32(&buf, TAG_CHARS, summary->chars);
	}
	wire_put_u32(&buf, TAG_TRUNCATED, summary->truncated ? 1 : 0);
	parse_send(&buf, request->text_fd);
	_exit(0);
}

void
parse_fail(const ParseRequest *request, WireOutcome outcome, const char *format,...)
{
	WireBuffer	buf;
	char		detail[MAX_DETAIL + 1];
	va_list		args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	wire_begin(&buf, WIRE_PARSED, request->job_id);
	wire_put_u32(&buf, TAG_OUTCOME, outcome);
	channel_put_text(&buf, TAG_DETAIL, detail, strlen(detail), MAX_DETAIL);
	parse_send(&buf, -1);
	_exit(0);
}

char *
parse_fold_blanks(const char *text, size_t max_chars)
{
	GString    *folded = g_string_new(NULL);
	bool		blank = false;
	size_t		chars = 0;

	for (; *text != '\0' && chars < max_chars; text = g_utf8_next_char(text))
	{
		gunichar	c = g_utf8_get_char(text);

		if (g_unichar_isspace(c) || g_unichar_iscntrl(c))
		{
			blank = folded->len > 0;
			continue;
		}
		if (blank)
		{
			g_string_append_c(folded, ' ');
			chars++;
		}
		blank = false;
		g_string_append_unichar(folded, c);
		chars++;
	}
	return g_string_free(folded, FALSE);
}
