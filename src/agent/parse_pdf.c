/*-------------------------------------------------------------------------
 *
 * parse_pdf.c
 *	  The text of a PDF, page by page, by poppler.
 *
 * Text is written to the memfd as it comes, so that the child never holds
 * more than a page of it.  A page that poppler cannot read gives no text and
 * is no error: half of a damaged policy is worth having.
 *
 *-------------------------------------------------------------------------
 */
#include <poppler.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/parse.h"

#define PROGRESS_PAGES		10		/* a progress frame every so many pages */
#define HEADER_WINDOW		1024	/* bytes in which readers look for "%PDF-" */

/* The text being collected. */
typedef struct PdfText
{
	const ParseRequest *request;
	GString    *out;			/* not yet written */
	uint32_t	chars;
	bool		truncated;
} PdfText;

/*
 * A document as small as may be that uses one of the fonts that every reader
 * must have.
 */
static const char tiny_pdf[] =
	"%PDF-1.4\n"
	"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
	"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
	"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R"
	"/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
	"4 0 obj<</Length 28>>stream\nBT /F 9 Tf (warm) Tj ET      \nendstream endobj\n"
	"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
	"trailer<</Root 1 0 R>>\n%%EOF\n";

/*
 * Read the tiny document once in the zygote, so that what poppler sets up at
 * first use (its parameters, name tables, encodings) is there for each child.
 */
void
parse_pdf_load(void)
{
	GBytes	   *bytes = g_bytes_new_static(tiny_pdf, sizeof(tiny_pdf) - 1);
	PopplerDocument *document = poppler_document_new_from_bytes(bytes, NULL, NULL);
	PopplerPage *page;

	if (document != NULL && (page = poppler_document_get_page(document, 0)) != NULL)
	{
		g_free(poppler_page_get_text(page));
		g_object_unref(page);
	}
	g_clear_object(&document);
	g_bytes_unref(bytes);
}

/* Write what has been collected to the memfd. */
static void
flush_text(PdfText *text)
{
	size_t		done = 0;

	while (done < text->out->len)
	{
		ssize_t		n = write(text->request->text_fd, text->out->str + done, text->out->len - done);

		if (n <= 0)
			parse_fail(text->request, WIRE_INTERNAL, "cannot write the text");
		done += (size_t) n;
	}
	g_string_truncate(text->out, 0);
}

/* Add a character; false when the request wants no more. */
static bool
add_char(PdfText *text, gunichar c)
{
	if (text->chars >= text->request->max_chars)
	{
		text->truncated = true;
		return false;
	}
	g_string_append_unichar(text->out, c);
	text->chars++;
	return true;
}

/* Add a page's text: a form feed is ours, other controls are nobody's. */
static bool
add_page_text(PdfText *text, const char *page)
{
	char	   *valid = g_utf8_make_valid(page, -1);
	const char *at;
	bool		more = true;

	for (at = valid; more && *at != '\0'; at = g_utf8_next_char(at))
	{
		gunichar	c = g_utf8_get_char(at);

		if (c == '\n' || c == '\t' || !g_unichar_iscntrl(c))
			more = add_char(text, c);
	}
	g_free(valid);
	return more;
}

static void
send_progress(const ParseRequest *request, uint32_t done, uint32_t total)
{
	WireBuffer	buf;

	wire_begin(&buf, WIRE_PROGRESS, request->job_id);
	wire_put_u32(&buf, TAG_DONE, done);
	wire_put_u32(&buf, TAG_TOTAL, total);
	parse_send(&buf, -1);
}

/* Add one page, with a form feed between it and the one before. */
static bool
add_page(PdfText *text, PopplerDocument *document, uint32_t number)
{
	PopplerPage *page;
	char	   *page_text;
	bool		more;

	if (number > 0 && !add_char(text, '\f'))
		return false;
	page = poppler_document_get_page(document, (int) number);
	if (page == NULL)
		return true;
	page_text = poppler_page_get_text(page);
	more = page_text == NULL || add_page_text(text, page_text);
	g_free(page_text);
	g_object_unref(page);
	flush_text(text);
	return more;
}

/* Open the body, or end the child with the reason why not. */
static PopplerDocument *
open_document(const ParseRequest *request)
{
	GBytes	   *bytes = g_bytes_new_static(request->data, request->size);
	GError	   *error = NULL;
	PopplerDocument *document = poppler_document_new_from_bytes(bytes, NULL, &error);

	if (document != NULL && poppler_document_get_n_pages(document) > 0)
		return document;
	if (g_error_matches(error, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED))
		parse_fail(request, WIRE_ENCRYPTED, "the PDF needs a password");
	/* poppler does without a header, so this only explains its failure */
	if (memmem(request->data, MIN(request->size, HEADER_WINDOW), "%PDF-", 5) == NULL)
		parse_fail(request, WIRE_NOT_PARSABLE, "not a PDF: there is no PDF header");
	parse_fail(request, WIRE_NOT_PARSABLE, "not a readable PDF: %s",
			   error != NULL ? error->message : "it has no pages");
}

void
parse_pdf(const ParseRequest *request)
{
	PopplerDocument *document = open_document(request);
	PdfText		text = {request, g_string_new(NULL), 0, false};
	ParseSummary summary = {NULL, 0, 0, false};
	uint32_t	total = (uint32_t) poppler_document_get_n_pages(document);
	uint32_t	wanted = MIN(total, request->max_pages);
	uint32_t	i;

	for (i = 0; i < wanted && add_page(&text, document, i); i++)
	{
		if ((i + 1) % PROGRESS_PAGES == 0)
			send_progress(request, i + 1, wanted);
	}
	flush_text(&text);
	if (!seal_memfd(request->text_fd))
		parse_fail(request, WIRE_INTERNAL, "cannot seal the text");
	summary.pages = total;
	summary.chars = text.chars;
	summary.truncated = text.truncated || wanted < total;
	parse_finish(request, &summary);
}
