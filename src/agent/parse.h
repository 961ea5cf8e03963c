/*-------------------------------------------------------------------------
 *
 * parse.h
 *	  What the files of padlock_parse share: the request, and how the child
 *	  that parses one document answers.
 *
 * Everything below runs in a child that has been forked for one document and
 * has given up all but its memory and its end of a socket (sandbox.h).  It
 * frees nothing: its death does.  It may die at any point.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_PARSE_H
#define PADLOCK_PARSE_H

#include <glib.h>
#include <sys/types.h>

#include "agent/wire.h"

#define PARSE_MAX_URL			2000	/* bytes, as wire.h says */
#define PARSE_MAX_PATH			100		/* bytes of a JSON member's path */

/* A request whose fields and body have been checked. */
typedef struct ParseRequest
{
	WireType	type;			/* WIRE_PARSE_* */
	uint8_t		job_id[16];
	char		url[PARSE_MAX_URL + 1];	/* base of links; "" for a PDF or JSON */
	char		content_type[256];	/* as the peer sent it, "" if not known */
	uint32_t	max_links;
	uint32_t	max_products;
	uint32_t	max_pages;
	uint32_t	max_chars;
	uint32_t	cpu_ms;
	uint32_t	wall_ms;
	uint64_t	memory;			/* bytes of address space */
	const char *data;			/* the body, mapped read-only */
	size_t		size;			/* bytes of it */
	int			text_fd;		/* PDF only: an empty memfd for the text */
	int			path_count;		/* JSON only: the members asked for */
	char		paths[PADLOCK_WIRE_MAX_MEMBERS][PARSE_MAX_PATH + 1];
} ParseRequest;

/* The facts of the last answer besides its outcome. */
typedef struct ParseSummary
{
	const char *title;			/* HTML only; or NULL */
	uint32_t	pages;			/* PDF only */
	uint32_t	chars;			/* PDF only */
	bool		truncated;
} ParseSummary;

/*
 * Read a request out of a checked frame and map its body, which stays mapped
 * until parse_request_end().  The descriptor stays the caller's.  NULL, or
 * what is wrong with the request, for people.
 */
extern const char *parse_request_begin(ParseRequest *request, const WireHeader *header,
									   const unsigned char *frame, size_t size, int body);
extern void parse_request_end(ParseRequest *request);

/* Load once what the children use: libraries, converters, fonts. */
extern void parse_charset_load(void);
extern void parse_pdf_load(void);

/*
 * The child's whole life: limits, sandbox, parse, answer.  `zygote` is its
 * parent's process id.  Never returns.
 */
extern void parse_child(const ParseRequest *request, pid_t zygote) G_GNUC_NORETURN;

/* Answers, in parse_child.c; each ends the child if the zygote is gone. */
extern void parse_send(const WireBuffer *buf, int fd);
extern void parse_send_link(const ParseRequest *request, const char *url,
							WireLinkKind kind, const char *last_modified);
extern void parse_finish(const ParseRequest *request, const ParseSummary *summary) G_GNUC_NORETURN;
extern void parse_fail(const ParseRequest *request, WireOutcome outcome,
					   const char *format,...) G_GNUC_PRINTF(3, 4) G_GNUC_NORETURN;

/* The four parsers; each ends in parse_finish() or parse_fail(). */
extern void parse_html(const ParseRequest *request) G_GNUC_NORETURN;
extern void parse_pdf(const ParseRequest *request) G_GNUC_NORETURN;
extern void parse_sitemap(const ParseRequest *request) G_GNUC_NORETURN;
extern void parse_json(const ParseRequest *request) G_GNUC_NORETURN;

/*
 * An HTML document as valid UTF-8 without NUL: the encoding is taken from a
 * byte order mark, the content type, a meta element in the first 1024 bytes,
 * or is UTF-8 if the bytes are that and windows-1252 if not (WHATWG HTML
 * 13.2.3.2, and its Encoding standard for the names).  What cannot be
 * converted becomes U+FFFD.
 */
extern char *parse_to_utf8(const char *data, size_t size, const char *content_type,
						   size_t *length);

/*
 * Resolve a reference against an absolute base into out[PARSE_MAX_URL + 1],
 * normalised and without its fragment.  False if the result is not a plain
 * http(s) URL of at most PARSE_MAX_URL bytes.  See parse_url.c.
 */
extern bool parse_url_resolve(const char *base, const char *reference, char *out);

/* Do two normalised URLs name the same host? */
extern bool parse_url_same_host(const char *a, const char *b);

/*
 * A text with runs of blanks and control characters folded to one space, cut
 * at max_chars characters.  The input is valid UTF-8.
 */
extern char *parse_fold_blanks(const char *text, size_t max_chars);

#endif							/* PADLOCK_PARSE_H */
