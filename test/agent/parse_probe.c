/*-------------------------------------------------------------------------
 *
 * parse_probe.c
 *	  Call pure functions of padlock_parse with lines of standard input.
 *
 *	  parse_probe url		BASE <tab> REFERENCE	prints the URL or "-"
 *	  parse_probe price		TEXT [<tab> CURRENCY]	prints amount, currency
 *							and frequency parted by "|", or "-"
 *
 * In a line \t, \n and \\ stand for what they name.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "agent/parse_product.h"

static char *
unescape(const char *text)
{
	GString    *out = g_string_new(NULL);

	for (; *text != '\0'; text++)
	{
		if (*text == '\\' && text[1] != '\0')
		{
			text++;
			g_string_append_c(out, *text == 't' ? '\t' : *text == 'n' ? '\n' : *text);
		}
		else
			g_string_append_c(out, *text);
	}
	return g_string_free(out, FALSE);
}

static void
probe_url(char **words)
{
	char		url[PARSE_MAX_URL + 1];
	bool		ok = words[1] != NULL && parse_url_resolve(unescape(words[0]), unescape(words[1]), url);

	puts(ok ? url : "-");
}

static void
probe_price(char **words)
{
	char	   *amount;
	char		currency[4];
	const char *billing;

	if (words[0] != NULL && price_parse(words[0], words[1], &amount, currency, &billing))
		printf("%s|%s|%s\n", amount, currency, billing != NULL ? billing : "");
	else
		puts("-");
}

int
main(int argc, char **argv)
{
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		n;

	while (argc == 2 && (n = getline(&line, &size, stdin)) > 0)
	{
		char	  **words;

		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		words = g_strsplit(line, "\t", 2);
		if (strcmp(argv[1], "url") == 0)
			probe_url(words);
		else
			probe_price(words);
	}
	return 0;
}
