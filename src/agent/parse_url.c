/*-------------------------------------------------------------------------
 *
 * parse_url.c
 *	  Resolve and normalise the URLs that a document names.
 *
 * A pure function of two texts, after RFC 3986: sections 5.2 (resolution,
 * with the algorithm of 5.2.4 for dot segments), 6.2.2.1 (case) and 6.2.3
 * (default port, empty path).  Where browsers are kinder than the RFC and
 * pages count on it, we follow the WHATWG URL standard: blanks around and
 * line ends inside a reference are dropped, a backslash in a path is a slash,
 * %2e is a dot, characters that a URL cannot hold are percent-encoded and
 * host names become ASCII (IDNA).
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "agent/parse.h"

#define MAX_REFERENCE	8192	/* bytes; what is longer is not looked at */
#define MAX_HOST		253

/* A piece of a text; start is NULL when the component is absent. */
typedef struct UrlPart
{
	const char *start;
	size_t		length;
} UrlPart;

typedef struct UrlParts
{
	UrlPart		scheme;
	UrlPart		authority;
	UrlPart		path;
	UrlPart		query;
} UrlParts;

/* Output of fixed size that remembers when something did not fit. */
typedef struct UrlBuffer
{
	char		text[PARSE_MAX_URL + 1];
	size_t		used;
	bool		overflow;
} UrlBuffer;

static void
put_char(UrlBuffer *out, char c)
{
	if (out->used >= PARSE_MAX_URL)
		out->overflow = true;
	else
		out->text[out->used++] = c;
}

static void
put_part(UrlBuffer *out, const char *text, size_t length)
{
	size_t		i;

	for (i = 0; i < length; i++)
		put_char(out, text[i]);
}

/* Copy, percent-encoding controls, blanks, non-ASCII and the bytes in `also`. */
static void
put_encoded(UrlBuffer *out, const char *text, size_t length, const char *also)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t		i;

	for (i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c > 0x20 && c < 0x7f && strchr(also, c) == NULL)
		{
			put_char(out, (char) c);
			continue;
		}
		put_char(out, '%');
		put_char(out, digits[c >> 4]);
		put_char(out, digits[c & 15]);
	}
}

/* Cut a component off the front, up to one of the characters in `ends`. */
static UrlPart
take_until(const char **text, const char *ends)
{
	UrlPart		part = {*text, strcspn(*text, ends)};

	*text += part.length;
	return part;
}

/* Split a cleaned reference as RFC 3986, appendix B does. */
static UrlParts
split_url(const char *text)
{
	UrlParts	parts = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
	size_t		length = 0;

	if (g_ascii_isalpha(text[0]))
	{
		while (g_ascii_isalnum(text[length]) || (text[length] != '\0' && strchr("+-.", text[length])))
			length++;
	}
	if (length > 0 && text[length] == ':')
	{
		parts.scheme.start = text;
		parts.scheme.length = length;
		text += length + 1;
	}
	if (text[0] == '/' && text[1] == '/')
	{
		text += 2;
		parts.authority = take_until(&text, "/?#");
	}
	parts.path = take_until(&text, "?#");
	if (*text == '?')
	{
		text++;
		parts.query = take_until(&text, "#");
	}
	return parts;
}

/*
 * A reference without blanks around it and line ends and tabs inside, and
 * with slashes for the backslashes of its path.
 */
static void
clean_reference(const char *reference, char *out, size_t size)
{
	bool		in_path = true;
	size_t		used = 0;

	while (*reference != '\0' && (unsigned char) *reference <= ' ')
		reference++;
	for (; *reference != '\0' && used + 1 < size; reference++)
	{
		char		c = *reference;

		if (c == '\t' || c == '\n' || c == '\r')
			continue;
		if (c == '?' || c == '#')
			in_path = false;
		out[used++] = in_path && c == '\\' ? '/' : c;
	}
	while (used > 0 && (unsigned char) out[used - 1] <= ' ')
		used--;
	out[used] = '\0';
}

/* Is a path segment "." (dots = 1) or ".." (dots = 2), encoded or not? */
static bool
is_dots(const char *segment, size_t length, int dots)
{
	const char *end = segment + length;

	for (; dots > 0; dots--)
	{
		if (segment < end && *segment == '.')
			segment++;
		else if (end - segment >= 3 && g_ascii_strncasecmp(segment, "%2e", 3) == 0)
			segment += 3;
		else
			return false;
	}
	return segment == end;
}

/* Append a path without its dot segments; what comes out starts with '/'. */
static void
put_path(UrlBuffer *out, const char *path, size_t length)
{
	size_t		floor = out->used;
	const char *end = path + length;

	if (length > 0 && *path == '/')
		path++;
	for (;;)
	{
		const char *slash = memchr(path, '/', (size_t) (end - path));
		size_t		n = (size_t) ((slash != NULL ? slash : end) - path);
		bool		up = is_dots(path, n, 2);

		/* "a/.." leaves "a"'s directory, and so does a final "." */
		if (up)
		{
			while (out->used > floor && out->text[--out->used] != '/')
				;
		}
		if (!up && !is_dots(path, n, 1))
		{
			put_char(out, '/');
			put_encoded(out, path, n, "\"<>^`{}");
		}
		else if (slash == NULL)
			put_char(out, '/');
		if (slash == NULL)
			return;
		path = slash + 1;
	}
}

/* The port of an authority's tail, 0 if empty, -1 if not a port. */
static int
port_number(const char *text, size_t length)
{
	int			port = 0;
	size_t		i;

	for (i = 0; i < length; i++)
	{
		if (!g_ascii_isdigit(text[i]))
			return -1;
		port = port * 10 + (text[i] - '0');
		if (port > 65535)
			return -1;
	}
	return length > 0 && port == 0 ? -1 : port;
}

/* Append a host name in lower case ASCII; false if it is not one. */
static bool
put_host(UrlBuffer *out, const char *text, size_t length)
{
	char		host[MAX_HOST * 4 + 1];
	char	   *ascii;
	size_t		n;

	if (length == 0 || length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (!g_utf8_validate(host, -1, NULL))
		return false;
	if (host[0] == '[')
	{
		struct in6_addr address;
		char		canonical[INET6_ADDRSTRLEN];

		if (host[length - 1] != ']')
			return false;
		host[length - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &address) != 1 ||
			inet_ntop(AF_INET6, &address, canonical, sizeof(canonical)) == NULL)
			return false;
		ascii = g_strdup_printf("[%s]", canonical);
	}
	else
	{
		ascii = g_hostname_to_ascii(host);
		if (ascii == NULL)
			return false;
		for (n = 0; ascii[n] != '\0'; n++)
		{
			if (!g_ascii_isalnum(ascii[n]) && strchr("-._", ascii[n]) == NULL)
				return false;
			ascii[n] = g_ascii_tolower(ascii[n]);
		}
	}
	n = strlen(ascii);
	put_part(out, ascii, n);
	return n > 0 && n <= MAX_HOST;
}

/*
 * Append host and port.  An authority with a user name is refused: it is no
 * public page, and it is a way to make a host look like another.
 */
static bool
put_authority(UrlBuffer *out, UrlPart authority, int default_port)
{
	const char *text = authority.start;
	size_t		host = authority.length;
	int			port = 0;
	char		digits[16];

	if (memchr(text, '@', host) != NULL)
		return false;
	while (host > 0 && g_ascii_isdigit(text[host - 1]))
		host--;
	if (host > 0 && text[host - 1] == ':')
	{
		port = port_number(text + host, authority.length - host);
		host--;
	}
	else
		host = authority.length;
	if (port < 0 || !put_host(out, text, host))
		return false;
	if (port != 0 && port != default_port)
	{
		snprintf(digits, sizeof(digits), ":%d", port);
		put_part(out, digits, strlen(digits));
	}
	return true;
}

/* RFC 3986 5.2.3: the base's directory and the reference's path. */
static void
put_merged_path(UrlBuffer *out, UrlPart base, UrlPart path)
{
	char		merged[PARSE_MAX_URL + MAX_REFERENCE + 2];
	size_t		keep = base.length;

	while (keep > 0 && base.start[keep - 1] != '/')
		keep--;
	memcpy(merged, base.start, keep);
	memcpy(merged + keep, path.start, path.length);
	put_path(out, merged, keep + path.length);
}

static bool
part_is(UrlPart part, const char *text)
{
	return part.length == strlen(text) && g_ascii_strncasecmp(part.start, text, part.length) == 0;
}

/* Append scheme and authority; *inherited when they are the base's. */
static bool
put_origin(UrlBuffer *out, UrlParts parts, UrlParts base, bool *inherited)
{
	UrlPart		scheme = parts.scheme.start != NULL ? parts.scheme : base.scheme;
	bool		secure;

	*inherited = parts.scheme.start == NULL && parts.authority.start == NULL;
	if (*inherited)
		parts.authority = base.authority;
	if (scheme.start == NULL || parts.authority.start == NULL)
		return false;
	secure = part_is(scheme, "https");
	if (!secure && !part_is(scheme, "http"))
		return false;
	put_part(out, secure ? "https://" : "http://", secure ? 8 : 7);
	return put_authority(out, parts.authority, secure ? 443 : 80);
}

bool
parse_url_resolve(const char *base_text, const char *reference, char *out)
{
	char		clean[MAX_REFERENCE + 1];
	UrlBuffer	url = {"", 0, false};
	UrlParts	base = split_url(base_text);
	UrlParts	parts;
	bool		inherited;

	if (strlen(base_text) > PARSE_MAX_URL || strlen(reference) > MAX_REFERENCE)
		return false;
	clean_reference(reference, clean, sizeof(clean));
	parts = split_url(clean);
	if (!put_origin(&url, parts, base, &inherited))
		return false;
	if (inherited && parts.path.length == 0)
	{
		put_path(&url, base.path.start, base.path.length);
		if (parts.query.start == NULL)
			parts.query = base.query;
	}
	else if (inherited && parts.path.start[0] != '/')
		put_merged_path(&url, base.path, parts.path);
	else
		put_path(&url, parts.path.start, parts.path.length);
	if (parts.query.start != NULL)
	{
		put_char(&url, '?');
		put_encoded(&url, parts.query.start, parts.query.length, "\"<>'");
	}
	if (url.overflow)
		return false;
	memcpy(out, url.text, url.used);
	out[url.used] = '\0';
	return true;
}

bool
parse_url_same_host(const char *a, const char *b)
{
	UrlPart		x = split_url(a).authority;
	UrlPart		y = split_url(b).authority;
	size_t		n;
	size_t		m;

	if (x.start == NULL || y.start == NULL)
		return false;
	/* ports may differ; the brackets of an IPv6 address hold its colons */
	n = x.start[0] == '[' ? strcspn(x.start, "]") : strcspn(x.start, ":/?");
	m = y.start[0] == '[' ? strcspn(y.start, "]") : strcspn(y.start, ":/?");
	return n == m && memcmp(x.start, y.start, n) == 0;
}
