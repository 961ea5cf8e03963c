/*-------------------------------------------------------------------------
 *
 * parse_sitemap.c
 *	  The pages that a site lists of itself: sitemaps (sitemaps.org), sitemap
 *	  indexes, plain lists, RSS and Atom feeds.
 *
 * libxml2 reads the XML as a stream, without entities, DTDs, huge texts or
 * any file or network access; a document with a DOCTYPE is refused.  A site
 * speaks for its own host only, so other hosts' URLs are skipped.
 *
 *-------------------------------------------------------------------------
 */
#include <libxml/xmlreader.h>

#include "agent/parse.h"

#define MAX_DEPTH		64
#define MAX_NAME		32
#define MAX_TEXT		4096	/* bytes of a URL or date with its blanks */

/* Where the reader is, and the entry that is being read. */
typedef struct Sitemap
{
	const ParseRequest *request;
	GHashTable *seen;
	uint32_t	sent;
	bool		truncated;
	char		path[MAX_DEPTH][MAX_NAME];	/* local names from the root */
	char		location[MAX_TEXT];
	char		modified[MAX_TEXT];
	bool		known;			/* is it a list of pages at all? */
} Sitemap;

static void
ignore_error(void *context, const char *format,...)
{
	(void) context;
	(void) format;
}

/* Send a URL if it is new and the site's own; false when there are enough. */
static bool
send_entry(Sitemap *map, const char *reference, WireLinkKind kind, const char *modified)
{
	char		url[PARSE_MAX_URL + 1];

	if (!parse_url_resolve(map->request->url, reference, url) ||
		!parse_url_same_host(map->request->url, url) || g_hash_table_contains(map->seen, url))
		return true;
	if (map->sent >= map->request->max_links)
	{
		map->truncated = true;
		return false;
	}
	map->sent++;
	g_hash_table_add(map->seen, g_strdup(url));
	parse_send_link(map->request, url, kind, modified);
	return true;
}

static bool
is_entry(const char *name)
{
	return strcmp(name, "url") == 0 || strcmp(name, "sitemap") == 0 ||
		strcmp(name, "item") == 0 || strcmp(name, "entry") == 0;
}

/* Which of the entry's texts is the element at this depth?  NULL if none. */
static char *
text_of_element(Sitemap *map, int depth)
{
	const char *name = map->path[depth];

	if (depth == 0 || !is_entry(map->path[depth - 1]))
		return NULL;
	if (strcmp(name, "loc") == 0 || strcmp(name, "link") == 0)
		return map->location;
	if (strcmp(name, "lastmod") == 0 || strcmp(name, "pubDate") == 0 ||
		strcmp(name, "updated") == 0 || strcmp(name, "date") == 0)
		return map->modified;
	return NULL;
}

/* An Atom entry's link to its page is an attribute; other links are not it. */
static void
take_atom_link(Sitemap *map, xmlTextReaderPtr reader, int depth)
{
	xmlChar    *rel;
	xmlChar    *href;

	if (depth == 0 || strcmp(map->path[depth], "link") != 0 ||
		strcmp(map->path[depth - 1], "entry") != 0)
		return;
	rel = xmlTextReaderGetAttribute(reader, BAD_CAST "rel");
	href = xmlTextReaderGetAttribute(reader, BAD_CAST "href");
	if (href != NULL && (rel == NULL || strcmp((char *) rel, "alternate") == 0) &&
		map->location[0] == '\0')
		g_strlcpy(map->location, (char *) href, sizeof(map->location));
	xmlFree(rel);
	xmlFree(href);
}

static void
start_element(Sitemap *map, xmlTextReaderPtr reader, int depth)
{
	static const char *const roots[] = {"urlset", "sitemapindex", "rss", "RDF", "feed"};
	const char *name = (const char *) xmlTextReaderConstLocalName(reader);
	size_t		i;

	g_strlcpy(map->path[depth], name, MAX_NAME);
	for (i = 0; depth == 0 && i < G_N_ELEMENTS(roots); i++)
		map->known = map->known || strcmp(name, roots[i]) == 0;
	if (is_entry(name))
	{
		map->location[0] = '\0';
		map->modified[0] = '\0';
	}
	take_atom_link(map, reader, depth);
}

/* At the end of an entry, send it; false when there are enough. */
static bool
end_element(Sitemap *map, int depth)
{
	const char *name = map->path[depth];
	bool		index = strcmp(name, "sitemap") == 0;

	if (!is_entry(name) || map->location[0] == '\0')
		return true;
	return send_entry(map, g_strstrip(map->location),
					  index ? WIRE_LINK_SITEMAP : WIRE_LINK_PAGE, g_strstrip(map->modified));
}

/* Handle the node that the reader stands at; false when there are enough. */
static bool
take_node(Sitemap *map, xmlTextReaderPtr reader)
{
	int			depth = xmlTextReaderDepth(reader);
	char	   *text;

	if (depth < 0 || depth >= MAX_DEPTH)
		return true;
	switch (xmlTextReaderNodeType(reader))
	{
		case XML_READER_TYPE_ELEMENT:
			start_element(map, reader, depth);
			return true;
		case XML_READER_TYPE_TEXT:
		case XML_READER_TYPE_CDATA:
			text = depth > 0 ? text_of_element(map, depth - 1) : NULL;
			if (text != NULL)
				g_strlcat(text, (const char *) xmlTextReaderConstValue(reader), MAX_TEXT);
			return true;
		case XML_READER_TYPE_END_ELEMENT:
			return end_element(map, depth);
		case XML_READER_TYPE_DOCUMENT_TYPE:
			parse_fail(map->request, WIRE_NOT_PARSABLE,
					   "the sitemap has a document type declaration");
		default:
			return true;
	}
}

/* Read XML; a document that breaks off has given what came before. */
static void
read_xml(Sitemap *map, const char *data, size_t size)
{
	xmlTextReaderPtr reader;
	bool		more = true;
	int			rc = 0;

	xmlSetGenericErrorFunc(NULL, ignore_error);
	reader = xmlReaderForMemory(data, (int) size, NULL, NULL,
								XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
								XML_PARSE_COMPACT);
	if (reader == NULL)
		parse_fail(map->request, WIRE_NOT_PARSABLE, "the sitemap cannot be read");
	while (more && (rc = xmlTextReaderRead(reader)) == 1)
		more = take_node(map, reader);
	if (!map->known)
		parse_fail(map->request, WIRE_NOT_PARSABLE,
				   rc < 0 ? "the sitemap is not well-formed XML" :
				   "not a sitemap, sitemap index or feed");
	/* what a break left out is not known to be there */
	if (rc < 0)
		map->truncated = true;
}

/* Read a list of one URL a line; lines that are none are skipped. */
static void
read_text(Sitemap *map, const char *data, size_t size)
{
	const char *end = data + size;

	while (data < end)
	{
		const char *stop = memchr(data, '\n', (size_t) (end - data));
		char		line[PARSE_MAX_URL + 1];
		size_t		n = (size_t) ((stop != NULL ? stop : end) - data);

		if (n <= PARSE_MAX_URL && memchr(data, '\0', n) == NULL)
		{
			memcpy(line, data, n);
			line[n] = '\0';
			g_strstrip(line);
			if (g_ascii_strncasecmp(line, "http", 4) == 0 && g_utf8_validate(line, -1, NULL))
			{
				map->known = true;
				if (!send_entry(map, line, WIRE_LINK_PAGE, NULL))
					return;
			}
		}
		data += n + 1;
	}
	if (!map->known)
		parse_fail(map->request, WIRE_NOT_PARSABLE, "neither XML nor a list of URLs");
}

void
parse_sitemap(const ParseRequest *request)
{
	Sitemap    *map = g_new0(Sitemap, 1);
	ParseSummary summary = {NULL, 0, 0, false};
	const char *data = request->data;
	size_t		size = request->size;
	size_t		blanks = 0;

	map->request = request;
	map->seen = g_hash_table_new(g_str_hash, g_str_equal);
	if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
	{
		data += 3;
		size -= 3;
	}
	/* XML declarations must come first, but not all sites know it */
	while (blanks < size && g_ascii_isspace(data[blanks]))
		blanks++;
	if (size > G_MAXINT)
		parse_fail(request, WIRE_NOT_PARSABLE, "the sitemap is too large");
	if (blanks == size)
		parse_fail(request, WIRE_NOT_PARSABLE, "the sitemap is empty");
	if (data[blanks] == '<' || (unsigned char) data[blanks] >= 0xfe || data[blanks] == '\0')
		read_xml(map, data + blanks, size - blanks);
	else
		read_text(map, data, size);
	summary.truncated = map->truncated;
	parse_finish(request, &summary);
}
