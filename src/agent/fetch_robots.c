/*-------------------------------------------------------------------------
 *
 * fetch_robots.c
 *	  robots.txt as RFC 9309 defines it: a parser and a matcher.
 *
 * The parser forgives what real files get wrong and the large crawlers
 * forgive too: a byte order mark, any line ending, a missing colon, common
 * misspellings of the keys.  It keeps only the rules that concern its agent:
 * those of every group that names the agent or, if there is none, those of
 * every group for '*'.
 *
 * Patterns and URLs are brought to one spelling before they are compared
 * (RFC 9309, 2.2.2): unreserved characters stand for themselves, everything
 * but unreserved and reserved characters is percent-encoded with capital
 * digits.  A '*' or '$' of a URL becomes %2A or %24, as only those of a
 * pattern are special.
 *
 * Matching is linear in the sizes of path and pattern: the parts between
 * wildcards are looked for from left to right, each where it first occurs.
 * That is enough, as an earlier place never leaves less for what follows.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/fetch_robots.h"

/* What a line means; a group's rules are for the agents listed before them. */
typedef enum RobotsKey
{
	KEY_OTHER,
	KEY_AGENT,
	KEY_ALLOW,
	KEY_DISALLOW,
	KEY_DELAY,
	KEY_SITEMAP
} RobotsKey;

/* Keys are compared by their beginning, as the common crawlers do. */
static const struct
{
	const char *name;
	RobotsKey	key;
}			key_names[] = {
	{"user-agent", KEY_AGENT},
	{"useragent", KEY_AGENT},
	{"user agent", KEY_AGENT},
	{"allow", KEY_ALLOW},
	{"disallow", KEY_DISALLOW},
	{"dissallow", KEY_DISALLOW},
	{"dissalow", KEY_DISALLOW},
	{"disalow", KEY_DISALLOW},
	{"diasllow", KEY_DISALLOW},
	{"disallaw", KEY_DISALLOW},
	{"crawl-delay", KEY_DELAY},
	{"crawldelay", KEY_DELAY},
	{"sitemap", KEY_SITEMAP},
	{"site-map", KEY_SITEMAP}
};

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* Rules under construction for our agent, or for '*'. */
typedef struct RuleList
{
	bool		named;			/* has a group named this agent? */
	uint32_t	delay_ms;
	uint32_t	count;
	uint32_t	capacity;
	RobotsRule *rules;
} RuleList;

typedef struct Parser
{
	const char *agent;
	bool		in_specific;	/* does the current group name our agent? */
	bool		in_global;		/* does it name '*'? */
	bool		rules_seen;		/* does the next user-agent line start a group? */
	RuleList	specific;
	RuleList	global;
	char	   *patterns;
	size_t		pattern_bytes;
	RobotsRules *out;
	bool		failed;			/* out of memory */
} Parser;

/* A piece of the file. */
typedef struct Span
{
	const char *start;
	size_t		length;
} Span;

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\0';
}

static Span
trim(Span span)
{
	while (span.length > 0 && is_blank(span.start[0]))
	{
		span.start++;
		span.length--;
	}
	while (span.length > 0 && is_blank(span.start[span.length - 1]))
		span.length--;
	return span;
}

static int
hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '-' || c == '.' || c == '_' || c == '~';
}

static bool
is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

static char *
put_encoded(char *out, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";

	*out++ = '%';
	*out++ = digits[c >> 4];
	*out++ = digits[c & 15];
	return out;
}

/*
 * Bring a pattern or a URL's target to the compared spelling.  Writes at most
 * three bytes for one of the input; returns how many.
 */
static size_t
normalise(Span in, bool is_pattern, char *out)
{
	const char *begin = out;
	size_t		i;

	for (i = 0; i < in.length; i++)
	{
		unsigned char c = (unsigned char) in.start[i];

		if (c == '%' && i + 2 < in.length &&
			hex_value(in.start[i + 1]) >= 0 && hex_value(in.start[i + 2]) >= 0)
		{
			c = (unsigned char) (hex_value(in.start[i + 1]) * 16 + hex_value(in.start[i + 2]));
			i += 2;
			if (is_unreserved(c))
				*out++ = (char) c;
			else
				out = put_encoded(out, c);
		}
		else if (is_unreserved(c) || (is_pattern && c == '*') ||
				 (c != '\0' && strchr("%:/?#[]@!&'()+,;=", c) != NULL))
			*out++ = (char) c;
		else
			out = put_encoded(out, c);
	}
	return (size_t) (out - begin);
}

/* Add a rule to a list whose group is current. */
static void
add_rule(Parser *parser, RuleList *list, const RobotsRule *rule)
{
	if (list->count == list->capacity)
	{
		uint32_t	capacity = list->capacity == 0 ? 16 : list->capacity * 2;
		RobotsRule *grown = realloc(list->rules, capacity * sizeof(RobotsRule));

		if (grown == NULL)
		{
			parser->failed = true;
			return;
		}
		list->rules = grown;
		list->capacity = capacity;
	}
	list->rules[list->count++] = *rule;
}

/* An Allow or Disallow line; one without a value says nothing. */
static void
take_rule(Parser *parser, Span value, bool allow)
{
	RobotsRule	rule = {0};

	parser->rules_seen = true;
	if (value.length == 0 || !(parser->in_specific || parser->in_global))
		return;
	rule.allow = allow;
	rule.anchored = value.start[value.length - 1] == '$';
	if (rule.anchored)
		value.length--;
	rule.offset = (uint32_t) parser->pattern_bytes;
	rule.length = (uint32_t) normalise(value, true, parser->patterns + rule.offset);
	parser->pattern_bytes += rule.length;
	if (parser->in_specific)
		add_rule(parser, &parser->specific, &rule);
	if (parser->in_global)
		add_rule(parser, &parser->global, &rule);
}

/* A User-agent line: only its product token counts ("foo" of "foo/1.0"). */
static void
take_agent(Parser *parser, Span value)
{
	size_t		token = 0;

	if (parser->rules_seen)
	{
		parser->rules_seen = false;
		parser->in_specific = false;
		parser->in_global = false;
	}
	if (value.length > 0 && value.start[0] == '*' &&
		(value.length == 1 || is_blank(value.start[1])))
	{
		parser->in_global = true;
		parser->global.named = true;
		return;
	}
	while (token < value.length && is_token_char(value.start[token]))
		token++;
	if (token > 0 && token == strlen(parser->agent) &&
		strncasecmp(value.start, parser->agent, token) == 0)
	{
		parser->in_specific = true;
		parser->specific.named = true;
	}
}

/* A Crawl-delay line, in seconds with decimals; one that is no number says nothing. */
static void
take_delay(Parser *parser, Span value)
{
	uint32_t	delay = 0;
	uint32_t	scale = 1000;
	bool		decimals = false;
	size_t		i;

	if (value.length == 0)
		return;
	for (i = 0; i < value.length && scale > 0; i++)
	{
		if (value.start[i] == '.' && !decimals)
			decimals = true;
		else if (value.start[i] < '0' || value.start[i] > '9')
			return;
		else if (decimals)
		{
			scale /= 10;
			delay += (uint32_t) (value.start[i] - '0') * scale;
		}
		else if (delay < ROBOTS_MAX_DELAY_MS)
			delay = delay * 10 + (uint32_t) (value.start[i] - '0') * 1000;
	}
	if (delay > ROBOTS_MAX_DELAY_MS)
		delay = ROBOTS_MAX_DELAY_MS;
	if (parser->in_specific)
		parser->specific.delay_ms = delay;
	if (parser->in_global)
		parser->global.delay_ms = delay;
}

/* A Sitemap line concerns every agent. */
static void
take_sitemap(Parser *parser, Span value)
{
	RobotsRules *out = parser->out;
	char	   *copy;

	if (value.length == 0 || value.length > ROBOTS_MAX_URL ||
		out->sitemap_count == ROBOTS_MAX_SITEMAPS)
		return;
	copy = strndup(value.start, value.length);
	if (copy == NULL)
		parser->failed = true;
	else
		out->sitemaps[out->sitemap_count++] = copy;
}

static RobotsKey
find_key(Span name)
{
	size_t		i;

	for (i = 0; i < lengthof(key_names); i++)
	{
		size_t		length = strlen(key_names[i].name);

		if (name.length >= length && strncasecmp(name.start, key_names[i].name, length) == 0)
			return key_names[i].key;
	}
	return KEY_OTHER;
}

/* Part a line into key and value; false if it has neither form of one. */
static bool
split_line(Span line, Span *key, Span *value)
{
	const char *colon = memchr(line.start, ':', line.length);
	size_t		n;

	if (colon != NULL)
		n = (size_t) (colon - line.start);
	else
	{
		/* without a colon it must be exactly two words */
		for (n = 0; n < line.length && !is_blank(line.start[n]);)
			n++;
	}
	if (n == line.length)
		return false;
	*key = trim((Span) {line.start, n});
	*value = trim((Span) {line.start + n + 1, line.length - n - 1});
	if (colon == NULL)
	{
		for (n = 0; n < value->length; n++)
		{
			if (is_blank(value->start[n]))
				return false;
		}
	}
	return key->length > 0;
}

static void
take_line(Parser *parser, Span line)
{
	const char *comment = memchr(line.start, '#', line.length);
	Span		key;
	Span		value;

	if (comment != NULL)
		line.length = (size_t) (comment - line.start);
	if (!split_line(trim(line), &key, &value))
		return;
	switch (find_key(key))
	{
		case KEY_OTHER:
			break;
		case KEY_AGENT:
			take_agent(parser, value);
			break;
		case KEY_ALLOW:
			take_rule(parser, value, true);
			break;
		case KEY_DISALLOW:
			take_rule(parser, value, false);
			break;
		case KEY_DELAY:
			take_delay(parser, value);
			break;
		case KEY_SITEMAP:
			take_sitemap(parser, value);
			break;
	}
}

static void
take_lines(Parser *parser, const char *text, size_t length)
{
	size_t		start = 0;
	size_t		end;

	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		start = 3;
	for (end = start; end <= length && !parser->failed; end++)
	{
		if (end < length && text[end] != '\n' && text[end] != '\r')
			continue;
		take_line(parser, (Span) {text + start, end - start});
		start = end + 1;
	}
}

/* Keep the list that counts and give back what it does not need. */
static void
finish(Parser *parser)
{
	RobotsRules *out = parser->out;
	RuleList   *list = parser->specific.named ? &parser->specific : &parser->global;
	RuleList   *other = parser->specific.named ? &parser->global : &parser->specific;
	void	   *shrunk;
	int			i;

	free(other->rules);
	out->delay_ms = list->delay_ms;
	out->rule_count = list->count;
	out->rules = list->rules;
	out->patterns = parser->patterns;
	shrunk = realloc(out->patterns, parser->pattern_bytes + 1);
	if (shrunk != NULL)
		out->patterns = shrunk;
	out->memory = sizeof(*out) + list->capacity * sizeof(RobotsRule) + parser->pattern_bytes + 1;
	for (i = 0; i < out->sitemap_count; i++)
		out->memory += strlen(out->sitemaps[i]) + 1;
}

RobotsRules *
robots_parse(const char *text, size_t length, const char *agent)
{
	Parser		parser = {0};

	if (length > ROBOTS_MAX_BYTES)
	{
		length = ROBOTS_MAX_BYTES;
		while (length > 0 && text[length - 1] != '\n' && text[length - 1] != '\r')
			length--;
	}
	parser.agent = agent;
	parser.patterns = malloc(3 * length + 1);
	parser.out = calloc(1, sizeof(RobotsRules));
	if (parser.patterns == NULL || parser.out == NULL)
	{
		free(parser.patterns);
		free(parser.out);
		return NULL;
	}
	take_lines(&parser, text, length);
	finish(&parser);
	if (parser.failed)
	{
		robots_free(parser.out);
		return NULL;
	}
	return parser.out;
}

/* Does a normalised target begin with (or, anchored, equal) a pattern? */
static bool
pattern_matches(const char *pattern, size_t length, bool anchored, Span target)
{
	const char *end = pattern + length;
	bool		first = true;

	for (;;)
	{
		const char *star = memchr(pattern, '*', (size_t) (end - pattern));
		size_t		part = (size_t) ((star != NULL ? star : end) - pattern);
		const char *place;

		if (part > target.length)
			return false;
		if (star == NULL && anchored && !first)
			place = target.start + target.length - part;
		else if (first)
			place = target.start;
		else
			place = part == 0 ? target.start : memmem(target.start, target.length, pattern, part);
		if (place == NULL || memcmp(place, pattern, part) != 0)
			return false;
		target.length -= (size_t) (place - target.start) + part;
		target.start = place + part;
		if (star == NULL)
			return !anchored || target.length == 0;
		pattern = star + 1;
		first = false;
	}
}

bool
robots_allow(const RobotsRules *rules, const char *target, const RobotsRule **rule)
{
	char		spelling[3 * ROBOTS_MAX_URL];
	Span		path = {target, strlen(target)};
	uint32_t	longest = 0;
	uint32_t	i;

	*rule = NULL;
	if (path.length > ROBOTS_MAX_URL)
		path.length = ROBOTS_MAX_URL;

	/* the file itself is always allowed (RFC 9309, 2.2.2) */
	if (strcmp(target, "/robots.txt") == 0)
		return true;
	path.length = normalise(path, false, spelling);
	path.start = spelling;
	for (i = 0; i < rules->rule_count; i++)
	{
		const RobotsRule *candidate = &rules->rules[i];
		uint32_t	length = candidate->length + (candidate->anchored ? 1 : 0);

		/* the longest match decides, and of two as long Allow */
		if (length < longest || (length == longest && *rule != NULL && !candidate->allow))
			continue;
		if (pattern_matches(rules->patterns + candidate->offset, candidate->length,
							candidate->anchored, path))
		{
			longest = length;
			*rule = candidate;
		}
	}
	return *rule == NULL || (*rule)->allow;
}

void
robots_free(RobotsRules *rules)
{
	int			i;

	if (rules == NULL)
		return;
	for (i = 0; i < rules->sitemap_count; i++)
		free(rules->sitemaps[i]);
	free(rules->rules);
	free(rules->patterns);
	free(rules);
}
