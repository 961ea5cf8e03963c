/*-------------------------------------------------------------------------
 *
 * parse_request.c
 *	  Read a worker's request: every field checked, the body sealed, mapped.
 *
 * The worker is trusted no more than the wire demands: a request that lacks
 * something is answered with WIRE_INTERNAL and the reason.
 *
 *-------------------------------------------------------------------------
 */
#include <sys/mman.h>

#include "agent/channel.h"
#include "agent/parse.h"

/* More than the greatest body a worker sends (PDF 32 MB, HTML 8 MB). */
#define MAX_BODY		(UINT64_C(256) << 20)
#define MAX_MS			(3600 * 1000)

/* Take the path of one more JSON member; false when it is too long or one too many. */
static bool
take_path(ParseRequest *request, const WireField *field, const unsigned char *value)
{
	return request->path_count < PADLOCK_WIRE_MAX_MEMBERS &&
		channel_text(field, value, request->paths[request->path_count++], PARSE_MAX_PATH + 1);
}

/* Take one field; false when a text is too long or not UTF-8. */
static bool
take_field(ParseRequest *request, const WireField *field, const unsigned char *value)
{
	switch (field->tag)
	{
		case TAG_URL:
			return channel_text(field, value, request->url, sizeof(request->url));
		case TAG_CONTENT_TYPE:
			/* a foolish header is no reason to refuse the page */
			if (!channel_text(field, value, request->content_type, sizeof(request->content_type)))
				request->content_type[0] = '\0';
			return true;
		case TAG_MAX_LINKS:
			request->max_links = wire_u32(field, value);
			return true;
		case TAG_MAX_PRODUCTS:
			request->max_products = wire_u32(field, value);
			return true;
		case TAG_MAX_PAGES:
			request->max_pages = wire_u32(field, value);
			return true;
		case TAG_MAX_CHARS:
			request->max_chars = wire_u32(field, value);
			return true;
		case TAG_CPU_MS:
			request->cpu_ms = wire_u32(field, value);
			return true;
		case TAG_WALL_MS:
			request->wall_ms = wire_u32(field, value);
			return true;
		case TAG_MEMORY:
			request->memory = wire_u64(field, value);
			return true;
		case TAG_NAME:
			return take_path(request, field, value);
		default:
			return true;
	}
}

/* What is wrong with the fields, or NULL; the base URL is normalised. */
static const char *
check_fields(ParseRequest *request)
{
	char		base[PARSE_MAX_URL + 1];

	if (request->cpu_ms == 0 || request->cpu_ms > MAX_MS ||
		request->wall_ms == 0 || request->wall_ms > MAX_MS)
		return "the request's time limits are missing or out of range";
	if (request->memory == 0)
		return "the request has no memory limit";
	if (request->type == WIRE_PARSE_PDF)
	{
		if (request->max_pages == 0 || request->max_chars == 0)
			return "the request's limits of pages and characters are missing";
		return NULL;
	}
	if (request->type == WIRE_PARSE_JSON)
		return request->path_count > 0 ? NULL : "the request asks for no member";
	if (!parse_url_resolve("", request->url, base))
		return "the request's base URL is missing or is not an http URL";
	memcpy(request->url, base, sizeof(base));
	return NULL;
}

/* Map a sealed body; an empty one is an empty string. */
static const char *
map_body(ParseRequest *request, int body)
{
	uint64_t	size;
	void	   *data;

	if (body < 0 || !check_sealed_memfd(body, MAX_BODY, &size))
		return "the request's body is missing, not sealed or too large";
	request->size = 0;
	request->data = "";
	if (size == 0)
		return NULL;
	data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, body, 0);
	if (data == MAP_FAILED)
		return "the request's body cannot be mapped";
	request->data = data;
	request->size = size;
	return NULL;
}

const char *
parse_request_begin(ParseRequest *request, const WireHeader *header,
					const unsigned char *frame, size_t size, int body)
{
	size_t		offset = sizeof(*header);
	WireField	field;
	const unsigned char *value;
	const char *error;

	memset(request, 0, sizeof(*request));
	request->type = header->type;
	request->text_fd = -1;
	memcpy(request->job_id, header->job_id, sizeof(request->job_id));
	if (request->type != WIRE_PARSE_HTML && request->type != WIRE_PARSE_PDF &&
		request->type != WIRE_PARSE_SITEMAP && request->type != WIRE_PARSE_JSON)
		return "the frame is not a request to parse";
	while (wire_next_field(frame, size, &offset, &field, &value))
	{
		if (!take_field(request, &field, value))
			return "a field of the request is too long, too often there or not UTF-8";
	}
	if (offset != size)
		return "the request is malformed";
	error = check_fields(request);
	return error != NULL ? error : map_body(request, body);
}

void
parse_request_end(ParseRequest *request)
{
	if (request->size > 0)
		munmap((void *) request->data, request->size);
	request->size = 0;
}
