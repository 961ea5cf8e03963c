/*-------------------------------------------------------------------------
 *
 * wire.h
 *	  The frames that a background worker and its helper programs exchange.
 *
 * A helper (padlock_fetch or padlock_parse) is started by a worker with one
 * end of an AF_UNIX SOCK_SEQPACKET pair as descriptor PADLOCK_WIRE_FD.  One
 * packet is one frame: a WireHeader and then `length` bytes of fields.  A
 * field is a WireField and then `length` bytes of value, with no padding and
 * no alignment, in any order; a tag may repeat where the frame type says so.
 * Numbers are little-endian.  Texts are UTF-8 without NUL.
 *
 * Bodies (a fetched page, a PDF, extracted text) never travel in a frame:
 * they are memfds sealed with PADLOCK_WIRE_SEALS, passed with SCM_RIGHTS, at
 * most one a frame.  The receiver checks the seals before it maps one.
 *
 * Each side treats the other's frames as hostile: wire_check_frame() and
 * wire_next_field() are the only ways to read them.
 *
 * The helper speaks first: one WIRE_HELLO when it is ready.  Then the worker
 * sends a request, the helper answers with any number of WIRE_LINK,
 * WIRE_PRODUCT and WIRE_PROGRESS frames and ends with exactly one
 * WIRE_FETCHED, WIRE_PARSED, WIRE_SENT or WIRE_CALLED, all with the request's
 * job id.  A helper exits when its socket is closed.
 *
 * This header is plain C99 and POSIX, with no server header, as both the
 * server's side and the helpers include it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WIRE_H
#define PADLOCK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PADLOCK_WIRE_FD				3
#define PADLOCK_WIRE_MAGIC			0x4b4c4450u		/* "PDLK" */
#define PADLOCK_WIRE_VERSION		1
#define PADLOCK_WIRE_MAX_PAYLOAD	(64 * 1024)
#define PADLOCK_WIRE_MAX_FRAME		(sizeof(WireHeader) + PADLOCK_WIRE_MAX_PAYLOAD)
/* F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE */
#define PADLOCK_WIRE_SEALS			0x000f
/* bytes of a message: 1 MB of text, quoted-printable, and headers */
#define PADLOCK_WIRE_MAX_MAIL		(4 * 1024 * 1024)
#define PADLOCK_WIRE_MAX_USER		255
#define PADLOCK_WIRE_MAX_PASSWORD	1023
#define PADLOCK_WIRE_MAX_CA			(32 * 1024)
#define PADLOCK_WIRE_MAX_TOKEN		4096
#define PADLOCK_WIRE_MAX_HEADER		8000
/* bytes of a call's body, and of its answer's */
#define PADLOCK_WIRE_MAX_BODY		(256 * 1024 * 1024)
/* of a WIRE_PARSE_JSON: members asked for, and bytes of their values in all */
#define PADLOCK_WIRE_MAX_MEMBERS	16
#define PADLOCK_WIRE_MAX_VALUES		(48 * 1024)

/* What a frame is.  A comment lists its fields; [ ] optional, * repeats. */
typedef enum WireType
{
	WIRE_HELLO = 1,				/* helper ready: no fields */

	/* requests */
	WIRE_FETCH = 16,			/* URL FLAGS MAX_BYTES TIMEOUT_MS
								 * MAX_REDIRECTS [ETAG] [LAST_MODIFIED] */
	WIRE_PARSE_HTML = 17,		/* URL (base) [CONTENT_TYPE] MAX_LINKS
								 * MAX_PRODUCTS CPU_MS WALL_MS MEMORY + memfd */
	WIRE_PARSE_PDF = 18,		/* MAX_PAGES MAX_CHARS CPU_MS WALL_MS MEMORY
								 * + memfd */
	WIRE_PARSE_SITEMAP = 19,	/* URL (base) MAX_LINKS CPU_MS WALL_MS MEMORY
								 * + memfd (plain XML or text) */
	WIRE_SEND_MAIL = 20,		/* URL (smtp or smtps) MAIL_FROM MAIL_TO FLAGS
								 * TIMEOUT_MS [USER PASSWORD] [CA] + memfd
								 * with the message (RFC 5322, lines ended by
								 * CRLF, at most PADLOCK_WIRE_MAX_MAIL) */
	WIRE_CALL = 21,				/* URL METHOD FLAGS MAX_BYTES TIMEOUT_MS TRIES
								 * [HEADER]* [CA] [USER PASSWORD AWS_REGION
								 * AWS_SERVICE [AWS_TOKEN]] + memfd with the
								 * body, if any: an HTTP request to an endpoint
								 * of the operator's; see fetch_call.h */
	WIRE_PARSE_JSON = 22,		/* (NAME)* CPU_MS WALL_MS MEMORY + memfd: at
								 * most PADLOCK_WIRE_MAX_MEMBERS paths of
								 * members, their names parted by points */

	/* answers that come before the last */
	WIRE_LINK = 32,				/* URL LINK_KIND [LAST_MODIFIED] */
	WIRE_PRODUCT = 33,			/* (NAME SOURCE VALUE)*: one product */
	WIRE_PROGRESS = 34,			/* DONE TOTAL */

	/* last answers */
	WIRE_FETCHED = 48,			/* OUTCOME DETAIL URL (effective) ELAPSED_MS
								 * [HTTP_STATUS] [CONTENT_TYPE] [ETAG]
								 * [LAST_MODIFIED] [BODY_LENGTH] [SITEMAP]*
								 * + memfd when OUTCOME is WIRE_OK */
	WIRE_PARSED = 49,			/* OUTCOME DETAIL [TITLE] [PAGES] [CHARS]
								 * [TRUNCATED] + memfd with the text for a PDF
								 * when OUTCOME is WIRE_OK, (NAME VALUE)* for
								 * JSON: strings, and numbers, true and false
								 * as they are spelt, of the paths found */
	WIRE_SENT = 50,				/* OUTCOME DETAIL ELAPSED_MS; WIRE_OK when the
								 * mail server took the message */
	WIRE_CALLED = 51			/* OUTCOME DETAIL ELAPSED_MS [HTTP_STATUS]
								 * + memfd when OUTCOME is WIRE_OK, or
								 * WIRE_HTTP_ERROR with a body */
} WireType;

/* Field tags; the comment gives the value's form. */
typedef enum WireTag
{
	TAG_URL = 1,				/* text, absolute, at most 2000 bytes */
	TAG_FLAGS = 2,				/* u32, WIRE_FLAG_* */
	TAG_MAX_BYTES = 3,			/* u64, decoded body bytes */
	TAG_TIMEOUT_MS = 4,			/* u32, for the whole fetch */
	TAG_MAX_REDIRECTS = 5,		/* u32 */
	TAG_ETAG = 6,				/* text */
	TAG_LAST_MODIFIED = 7,		/* text, as the peer sent it */
	TAG_CONTENT_TYPE = 8,		/* text, as the peer sent it */
	TAG_MAX_LINKS = 9,			/* u32 */
	TAG_MAX_PRODUCTS = 10,		/* u32 */
	TAG_MAX_PAGES = 11,			/* u32 */
	TAG_MAX_CHARS = 12,			/* u32, Unicode characters */
	TAG_CPU_MS = 13,			/* u32, processor time of one document */
	TAG_WALL_MS = 14,			/* u32, wall time of one document */
	TAG_MEMORY = 15,			/* u64, address space in bytes */
	TAG_OUTCOME = 16,			/* u32, WireOutcome */
	TAG_DETAIL = 17,			/* text for people, at most 500 bytes, "" if OK */
	TAG_HTTP_STATUS = 18,		/* u32 */
	TAG_BODY_LENGTH = 19,		/* u64 */
	TAG_ELAPSED_MS = 20,		/* u32 */
	TAG_SITEMAP = 21,			/* text, a URL that robots.txt names */
	TAG_LINK_KIND = 22,			/* u32, WireLinkKind */
	TAG_NAME = 23,				/* text, a product field, see below */
	TAG_SOURCE = 24,			/* text: json-ld, microdata, opengraph, html */
	TAG_VALUE = 25,				/* text */
	TAG_DONE = 26,				/* u32 */
	TAG_TOTAL = 27,				/* u32, 0 if not known */
	TAG_TITLE = 28,				/* text, at most 1000 bytes; of a page only */
	TAG_PAGES = 29,				/* u32 */
	TAG_CHARS = 30,				/* u32 */
	TAG_TRUNCATED = 31,			/* u32, 1 if a limit cut the answer short */
	TAG_MAIL_FROM = 32,			/* text, ASCII, an address without brackets */
	TAG_MAIL_TO = 33,			/* the same */
	TAG_USER = 34,				/* text, at most 255 bytes */
	TAG_PASSWORD = 35,			/* text, at most 1023 bytes; secret */
	TAG_CA = 36,				/* text, at most 32 KB: PEM certificates that
								 * are trusted instead of the system's */
	TAG_METHOD = 37,			/* text: GET, PUT, POST or DELETE */
	TAG_HEADER = 38,			/* text, "Name: value"; may be secret */
	TAG_TRIES = 39,				/* u32: how often, while the failure may pass;
								 * TIMEOUT_MS is for each */
	TAG_AWS_REGION = 40,		/* text, at most 64 bytes.  With it the request
								 * is signed (Signature Version 4) by USER, the
								 * access key's id, and PASSWORD, its secret */
	TAG_AWS_SERVICE = 41,		/* text, at most 32 bytes */
	TAG_AWS_TOKEN = 42			/* text, at most 4096 bytes; secret */
} WireTag;

/* WIRE_FETCH flags */
#define WIRE_FLAG_ROBOTS		0x1		/* obey robots.txt and its crawl-delay */
#define WIRE_FLAG_PRIVATE		0x2		/* private and loopback addresses allowed */

/* WIRE_SEND_MAIL flags */
#define WIRE_FLAG_PLAIN			0x4		/* without TLS, to loopback addresses only */

/* WIRE_CALL flags */
#define WIRE_FLAG_CLEAR			0x8		/* http, not https, also beyond loopback */

typedef enum WireOutcome
{
	WIRE_OK = 0,
	WIRE_NOT_MODIFIED = 1,		/* 304 to a conditional request */
	WIRE_HTTP_ERROR = 2,		/* any status but 2xx and 304; see HTTP_STATUS */
	WIRE_ROBOTS_DENIED = 3,		/* robots.txt disallows the URL */
	WIRE_ADDRESS_DENIED = 4,	/* private, loopback or otherwise forbidden */
	WIRE_BAD_URL = 5,			/* not http(s), has credentials, cannot parse */
	WIRE_TOO_LARGE = 6,			/* more than MAX_BYTES, decoded */
	WIRE_TIMEOUT = 7,			/* wall or processor time ran out */
	WIRE_NETWORK = 8,			/* DNS, connect, TLS, reset: may pass */
	WIRE_TOO_MANY_REDIRECTS = 9,
	WIRE_NOT_PARSABLE = 10,		/* not the format asked for, or damaged */
	WIRE_ENCRYPTED = 11,		/* PDF needs a password */
	WIRE_CRASHED = 12,			/* the parsing child died or ran out of memory */
	WIRE_INTERNAL = 13,			/* the helper cannot serve the request */
	WIRE_REJECTED = 14			/* the mail server refuses this message for good */
} WireOutcome;

typedef enum WireLinkKind
{
	WIRE_LINK_PAGE = 0,
	WIRE_LINK_SITEMAP = 1		/* an entry of a sitemap index */
} WireLinkKind;

/*
 * Product field names in TAG_NAME: product_name, product_code, description,
 * premium_amount (digits and one point), currency (ISO 4217), category,
 * product_image_url, product_url, brochure_url, terms_url, company_name,
 * minimum_age, maximum_age, billing_frequency (monthly, quarterly, annually),
 * availability, keyword (may repeat).
 */

typedef struct WireHeader
{
	uint32_t	magic;
	uint16_t	version;
	uint16_t	type;			/* WireType */
	uint8_t		job_id[16];
	uint32_t	length;			/* bytes of fields that follow */
} WireHeader;

typedef struct WireField
{
	uint16_t	tag;			/* WireTag */
	uint16_t	reserved;		/* 0 */
	uint32_t	length;			/* bytes of value that follow */
} WireField;

/* A frame under construction. */
typedef struct WireBuffer
{
	size_t		used;
	bool		overflow;		/* set when a field did not fit */
	unsigned char data[sizeof(WireHeader) + PADLOCK_WIRE_MAX_PAYLOAD];
} WireBuffer;

/* Begin a frame of the given type for a job. */
static inline void
wire_begin(WireBuffer *buf, WireType type, const uint8_t job_id[16])
{
	WireHeader	header = {PADLOCK_WIRE_MAGIC, PADLOCK_WIRE_VERSION, (uint16_t) type, {0}, 0};

	memcpy(header.job_id, job_id, 16);
	memcpy(buf->data, &header, sizeof(header));
	buf->used = sizeof(header);
	buf->overflow = false;
}

/* Append a field; one that does not fit sets overflow and changes nothing. */
static inline void
wire_put(WireBuffer *buf, WireTag tag, const void *value, size_t length)
{
	WireField	field = {(uint16_t) tag, 0, (uint32_t) length};
	uint32_t	payload;

	if (length > PADLOCK_WIRE_MAX_PAYLOAD ||
		buf->used + sizeof(field) + length > sizeof(buf->data))
	{
		buf->overflow = true;
		return;
	}
	memcpy(buf->data + buf->used, &field, sizeof(field));
	if (length > 0)
		memcpy(buf->data + buf->used + sizeof(field), value, length);
	buf->used += sizeof(field) + length;
	payload = (uint32_t) (buf->used - sizeof(WireHeader));
	memcpy(buf->data + offsetof(WireHeader, length), &payload, sizeof(payload));
}

static inline void
wire_put_u32(WireBuffer *buf, WireTag tag, uint32_t value)
{
	wire_put(buf, tag, &value, sizeof(value));
}

static inline void
wire_put_u64(WireBuffer *buf, WireTag tag, uint64_t value)
{
	wire_put(buf, tag, &value, sizeof(value));
}

static inline void
wire_put_text(WireBuffer *buf, WireTag tag, const char *value)
{
	wire_put(buf, tag, value, strlen(value));
}

/* Is a received packet of `size` bytes one whole, well-formed frame? */
static inline bool
wire_check_frame(const unsigned char *data, size_t size, WireHeader *header)
{
	if (size < sizeof(*header))
		return false;
	memcpy(header, data, sizeof(*header));
	return header->magic == PADLOCK_WIRE_MAGIC &&
		header->version == PADLOCK_WIRE_VERSION &&
		header->length <= PADLOCK_WIRE_MAX_PAYLOAD &&
		header->length == size - sizeof(*header);
}

/*
 * Step through the fields of a checked frame.  *offset starts at
 * sizeof(WireHeader); false at the end or at the first malformed field, which
 * leaves *offset short of `size`.
 */
static inline bool
wire_next_field(const unsigned char *data, size_t size, size_t *offset,
				WireField *field, const unsigned char **value)
{
	if (size - *offset < sizeof(*field))
		return false;
	memcpy(field, data + *offset, sizeof(*field));
	if (field->length > size - *offset - sizeof(*field))
		return false;
	*value = data + *offset + sizeof(*field);
	*offset += sizeof(*field) + field->length;
	return true;
}

/* Numbers out of a field; 0 when the field has another size. */
static inline uint32_t
wire_u32(const WireField *field, const unsigned char *value)
{
	uint32_t	number = 0;

	if (field->length == sizeof(number))
		memcpy(&number, value, sizeof(number));
	return number;
}

static inline uint64_t
wire_u64(const WireField *field, const unsigned char *value)
{
	uint64_t	number = 0;

	if (field->length == sizeof(number))
		memcpy(&number, value, sizeof(number));
	return number;
}

#endif							/* PADLOCK_WIRE_H */
