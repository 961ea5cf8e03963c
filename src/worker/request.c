/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Requests to the helper programs as C functions: frames are written and
 *	  checked here, field by field.
 *
 * The counts and lengths below bound what one answer may take of the
 * worker's memory, whatever the helper sends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

/* gcc 12 takes wire_put(), inlined, for a use of a dead variable. */
#pragma GCC diagnostic ignored "-Wdangling-pointer"

#include "core/secret_file.h"
#include "email/email.h"
#include "worker/field.h"
#include "worker/job.h"
#include "worker/process.h"
#include "worker/request.h"
#include "worker/settings.h"

#define MAX_LINKS			2000	/* of a page or sitemap */
#define MAX_PRODUCTS		200		/* of a page */
#define MAX_FACTS			100		/* of a product */
#define MAX_SITEMAPS		20
#define MAX_HEADER			1000	/* of a header line that is passed on */
#define MAX_VALUE			32768	/* of a product field */
#define UTF8_BYTES			4		/* of a character, at most */
#define PARSE_GRACE_MS		5000	/* to start a child and send the answer */

/*
 * A fetch may be preceded by one of robots.txt and by a crawl-delay, which
 * the helper bounds; both are waited for here.
 */
#define FETCH_GRACE_MS		15000
#define MAIL_GRACE_MS		5000

/* The request at hand: a worker makes one at a time. */
static WireBuffer request;

/* Reader for the one frame that answers WIRE_FETCH. */
static bool
read_fetched(const PadlockFrame *frame, void *state)
{
	PadlockFetched *fetched = state;
	FieldCursor cursor = first_field(frame);
	bool		has_outcome = false;

	if (frame->header.type == WIRE_PROGRESS)
		return false;
	if (frame->header.type != WIRE_FETCHED)
		padlock_helper_malformed("an unexpected answer to a fetch");
	while (next_field(&cursor))
	{
		switch (cursor.field.tag)
		{
			case TAG_OUTCOME:
				fetched->outcome = field_outcome(&cursor);
				has_outcome = true;
				break;
			case TAG_DETAIL:
				fetched->detail = field_text(&cursor, PADLOCK_MAX_DETAIL);
				break;
			case TAG_URL:
				fetched->url = field_text(&cursor, PADLOCK_MAX_URL);
				break;
			case TAG_HTTP_STATUS:
				fetched->http_status = field_u32(&cursor);
				break;
			case TAG_CONTENT_TYPE:
				fetched->content_type = field_text(&cursor, MAX_HEADER);
				break;
			case TAG_SITEMAP:
				if (list_length(fetched->sitemaps) < MAX_SITEMAPS)
					fetched->sitemaps = lappend(fetched->sitemaps,
												field_text(&cursor, PADLOCK_MAX_URL));
				break;
			default:
				break;
		}
	}
	fetched->body = frame->body;
	if (!has_outcome || (fetched->outcome == WIRE_OK) != (fetched->body != NULL))
		padlock_helper_malformed("a fetch without outcome or body");
	return true;
}

PadlockFetched *
padlock_fetch(const pg_uuid_t *job, const char *url, int max_kilobytes, bool robots)
{
	PadlockFetched *fetched = palloc0(sizeof(PadlockFetched));

	fetched->detail = "";
	fetched->url = url;
	wire_begin(&request, WIRE_FETCH, job->data);
	wire_put_text(&request, TAG_URL, url);
	wire_put_u32(&request, TAG_FLAGS, (robots ? WIRE_FLAG_ROBOTS : 0) |
				 (padlock_allow_private_addresses ? WIRE_FLAG_PRIVATE : 0));
	wire_put_u64(&request, TAG_MAX_BYTES, (uint64) max_kilobytes * 1024);
	wire_put_u32(&request, TAG_TIMEOUT_MS, padlock_fetch_timeout);
	wire_put_u32(&request, TAG_MAX_REDIRECTS, padlock_fetch_max_redirects);
	padlock_helper_request(PADLOCK_HELPER_FETCH, &request, NULL,
						   2 * padlock_fetch_timeout + FETCH_GRACE_MS, read_fetched, fetched);

	if (fetched->body != NULL && fetched->body->length > (uint64) max_kilobytes * 1024)
		padlock_helper_malformed("a body that is larger than asked for");
	return fetched;
}

/* A WIRE_LINK frame. */
static void
read_link(const PadlockFrame *frame, PadlockParsed *parsed)
{
	FieldCursor cursor = first_field(frame);
	PadlockLink *link = palloc0(sizeof(PadlockLink));

	while (next_field(&cursor))
	{
		if (cursor.field.tag == TAG_URL)
			link->url = field_text(&cursor, PADLOCK_MAX_URL);
		else if (cursor.field.tag == TAG_LINK_KIND)
			link->sitemap = field_u32(&cursor) == WIRE_LINK_SITEMAP;
	}
	if (link->url == NULL || list_length(parsed->links) >= MAX_LINKS)
		padlock_helper_malformed("a link without URL or too many links");
	parsed->links = lappend(parsed->links, link);
}

/* A WIRE_PRODUCT frame: triples of name, source and value. */
static void
read_product(const PadlockFrame *frame, PadlockParsed *parsed)
{
	FieldCursor cursor = first_field(frame);
	PadlockProductFacts *product = palloc0(sizeof(PadlockProductFacts));
	static const WireTag order[] = {TAG_NAME, TAG_SOURCE, TAG_VALUE};
	const char *texts[3];
	int			position = 0;

	while (next_field(&cursor))
	{
		PadlockFact *fact;

		if (cursor.field.tag != order[position])
			padlock_helper_malformed("a product field out of order");
		texts[position] = field_text(&cursor, position == 2 ? MAX_VALUE : NAMEDATALEN);
		if (++position < 3)
			continue;
		position = 0;
		if (list_length(product->facts) >= MAX_FACTS)
			padlock_helper_malformed("too many fields of a product");
		fact = palloc(sizeof(PadlockFact));
		fact->name = texts[0];
		fact->source = texts[1];
		fact->value = texts[2];
		product->facts = lappend(product->facts, fact);
	}
	if (position != 0 || list_length(parsed->products) >= MAX_PRODUCTS)
		padlock_helper_malformed("half a product field or too many products");
	parsed->products = lappend(parsed->products, product);
}

/* The WIRE_PARSED frame that ends an answer. */
static void
read_end(const PadlockFrame *frame, PadlockParsed *parsed)
{
	FieldCursor cursor = first_field(frame);
	bool		has_outcome = false;

	while (next_field(&cursor))
	{
		switch (cursor.field.tag)
		{
			case TAG_OUTCOME:
				parsed->outcome = field_outcome(&cursor);
				has_outcome = true;
				break;
			case TAG_DETAIL:
				parsed->detail = field_text(&cursor, PADLOCK_MAX_DETAIL);
				break;
			case TAG_PAGES:
				parsed->pages = field_u32(&cursor);
				break;
			case TAG_CHARS:
				parsed->characters = field_u32(&cursor);
				break;
			case TAG_TRUNCATED:
				parsed->truncated = field_u32(&cursor) != 0;
				break;
			default:
				break;
		}
	}
	if (!has_outcome)
		padlock_helper_malformed("an answer without outcome");
	parsed->text = frame->body;
}

/* Reader for the frames that answer a parse request. */
static bool
read_parsed(const PadlockFrame *frame, void *state)
{
	switch (frame->header.type)
	{
		case WIRE_LINK:
			read_link(frame, state);
			return false;
		case WIRE_PRODUCT:
			read_product(frame, state);
			return false;
		case WIRE_PROGRESS:
			return false;
		case WIRE_PARSED:
			read_end(frame, state);
			return true;
		default:
			padlock_helper_malformed("an unexpected answer to a parse request");
	}
}

/* Add what every parse request has, and send it. */
static PadlockParsed *
parse(const PadlockBlob *body)
{
	PadlockParsed *parsed = palloc0(sizeof(PadlockParsed));

	parsed->detail = "";
	wire_put_u32(&request, TAG_CPU_MS, padlock_parse_cpu);
	wire_put_u32(&request, TAG_WALL_MS, padlock_parse_wall);
	wire_put_u64(&request, TAG_MEMORY, (uint64) padlock_parse_memory * 1024 * 1024);
	padlock_helper_request(PADLOCK_HELPER_PARSE, &request, body,
						   padlock_parse_wall + PARSE_GRACE_MS, read_parsed, parsed);
	return parsed;
}

PadlockParsed *
padlock_parse_html(const pg_uuid_t *job, const char *base_url, const char *content_type,
				   const PadlockBlob *body)
{
	wire_begin(&request, WIRE_PARSE_HTML, job->data);
	wire_put_text(&request, TAG_URL, base_url);
	if (content_type != NULL)
		wire_put_text(&request, TAG_CONTENT_TYPE, content_type);
	wire_put_u32(&request, TAG_MAX_LINKS, MAX_LINKS);
	wire_put_u32(&request, TAG_MAX_PRODUCTS, MAX_PRODUCTS);
	return parse(body);
}

PadlockParsed *
padlock_parse_sitemap(const pg_uuid_t *job, const char *base_url, const PadlockBlob *body)
{
	wire_begin(&request, WIRE_PARSE_SITEMAP, job->data);
	wire_put_text(&request, TAG_URL, base_url);
	wire_put_u32(&request, TAG_MAX_LINKS, MAX_LINKS);
	return parse(body);
}

PadlockParsed *
padlock_parse_pdf(const pg_uuid_t *job, const PadlockBlob *body)
{
	PadlockParsed *parsed;

	wire_begin(&request, WIRE_PARSE_PDF, job->data);
	wire_put_u32(&request, TAG_MAX_PAGES, padlock_pdf_max_pages);
	wire_put_u32(&request, TAG_MAX_CHARS, padlock_text_max_characters);
	parsed = parse(body);
	if (parsed->outcome == WIRE_OK &&
		(parsed->text == NULL ||
		 parsed->text->length > (uint64) padlock_text_max_characters * UTF8_BYTES))
		padlock_helper_malformed("a PDF without text or with too much");
	return parsed;
}

/* Reader for the one frame that answers WIRE_SEND_MAIL. */
static bool
read_sent(const PadlockFrame *frame, void *state)
{
	PadlockSent *sent = state;
	FieldCursor cursor = first_field(frame);
	bool		has_outcome = false;

	if (frame->header.type != WIRE_SENT)
		padlock_helper_malformed("an unexpected answer to a mail");
	while (next_field(&cursor))
	{
		if (cursor.field.tag == TAG_OUTCOME)
		{
			sent->outcome = field_outcome(&cursor);
			has_outcome = true;
		}
		else if (cursor.field.tag == TAG_DETAIL)
			sent->detail = field_text(&cursor, PADLOCK_MAX_DETAIL);
	}
	if (!has_outcome)
		padlock_helper_malformed("an answer without outcome");
	return true;
}

/* Put a file's content in the request, and leave no copy of it. */
static void
put_file(WireTag tag, char *content)
{
	wire_put_text(&request, tag, content);
	explicit_bzero(content, strlen(content));
	pfree(content);
}

/* Who we are for the mail server, and how we know that it is the right one. */
static void
put_smtp_settings(void)
{
	wire_put_text(&request, TAG_URL, padlock_smtp_url);
	wire_put_u32(&request, TAG_FLAGS,
				 padlock_smtp_tls == PADLOCK_SMTP_TLS_OFF ? WIRE_FLAG_PLAIN : 0);
	wire_put_u32(&request, TAG_TIMEOUT_MS, padlock_smtp_timeout);
	if (padlock_smtp_ca_file[0] != '\0')
		put_file(TAG_CA, padlock_read_public_file(padlock_smtp_ca_file, "padlock.smtp_ca_file",
												  PADLOCK_WIRE_MAX_CA));
	if (padlock_smtp_user[0] == '\0')
		return;
	if (padlock_smtp_password_file[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("padlock.smtp_user is set and padlock.smtp_password_file is not")));
	wire_put_text(&request, TAG_USER, padlock_smtp_user);
	put_file(TAG_PASSWORD, padlock_read_secret_file(padlock_smtp_password_file,
													"padlock.smtp_password_file",
													PADLOCK_WIRE_MAX_PASSWORD));
}

PadlockSent *
padlock_send_mail(const pg_uuid_t *job, const char *from, const char *to, StringInfo message)
{
	PadlockSent *sent = palloc0(sizeof(PadlockSent));

	sent->detail = "";
	PG_TRY();
	{
		wire_begin(&request, WIRE_SEND_MAIL, job->data);
		wire_put_text(&request, TAG_MAIL_FROM, from);
		wire_put_text(&request, TAG_MAIL_TO, to);
		put_smtp_settings();

		/* the time is the exchange's, and once more for the server's goodbye */
		padlock_helper_request(PADLOCK_HELPER_FETCH, &request,
							   padlock_helper_make_body(message->data, message->len),
							   2 * padlock_smtp_timeout + MAIL_GRACE_MS, read_sent, sent);
	}
	PG_FINALLY();
	{
		/* it held the password */
		explicit_bzero(request.data, sizeof(request.data));
	}
	PG_END_TRY();
	return sent;
}

/*
 * Permanent is what the URL or the document itself causes, and what the site
 * has decided: a bad or forbidden address, robots.txt, a status of the 4xx
 * class (but 408, 425 and 429, which ask for another try), a redirect loop,
 * too large, not the format, encrypted, a mail that its server refuses.  Network trouble, a time limit, a
 * status of the 5xx class and a crashed parser may pass: another attempt
 * meets another moment, and attempts are few.
 */
bool
padlock_outcome_is_permanent(WireOutcome outcome, uint32 http_status)
{
	switch (outcome)
	{
		case WIRE_ROBOTS_DENIED:
		case WIRE_ADDRESS_DENIED:
		case WIRE_BAD_URL:
		case WIRE_TOO_LARGE:
		case WIRE_TOO_MANY_REDIRECTS:
		case WIRE_NOT_PARSABLE:
		case WIRE_ENCRYPTED:
		case WIRE_REJECTED:
			return true;
		case WIRE_HTTP_ERROR:
			return http_status < 500 && http_status != 408 && http_status != 425 &&
				http_status != 429;
		case WIRE_OK:
		case WIRE_NOT_MODIFIED:
		case WIRE_TIMEOUT:
		case WIRE_NETWORK:
		case WIRE_CRASHED:
		case WIRE_INTERNAL:
			return false;
	}
	return false;
}

/* What happened, for an answer without detail. */
static const char *
outcome_words(WireOutcome outcome)
{
	switch (outcome)
	{
		case WIRE_OK:
			return "done";
		case WIRE_NOT_MODIFIED:
			return "not modified";
		case WIRE_HTTP_ERROR:
			return "the site answered with an error";
		case WIRE_ROBOTS_DENIED:
			return "disallowed by robots.txt";
		case WIRE_ADDRESS_DENIED:
			return "the address is private or otherwise not allowed";
		case WIRE_BAD_URL:
			return "not a valid http or https URL";
		case WIRE_TOO_LARGE:
			return "too large";
		case WIRE_TIMEOUT:
			return "took too long";
		case WIRE_NETWORK:
			return "could not be reached";
		case WIRE_TOO_MANY_REDIRECTS:
			return "too many redirects";
		case WIRE_NOT_PARSABLE:
			return "not a readable document";
		case WIRE_ENCRYPTED:
			return "the document is encrypted";
		case WIRE_CRASHED:
			return "the parser failed on it";
		case WIRE_INTERNAL:
			return "the helper program could not serve the request";
		case WIRE_REJECTED:
			return "the mail server refuses the message";
	}
	return "unknown";
}

char *
padlock_outcome_reason(WireOutcome outcome, uint32 http_status, const char *detail)
{
	if (outcome == WIRE_HTTP_ERROR && http_status != 0)
		return psprintf("the site answered with status %u", http_status);
	return pstrdup(detail[0] != '\0' ? detail : outcome_words(outcome));
}

void
padlock_raise_outcome(WireOutcome outcome, uint32 http_status, const char *reason)
{
	if (padlock_outcome_is_permanent(outcome, http_status))
		padlock_job_refuse("%s", reason);
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg_internal("%s", reason)));
	pg_unreachable();
}
