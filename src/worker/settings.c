/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The settings of room worker: how many workers and where, and the limits
 *	  that users' functions and the helper programs keep.
 *
 * All may be changed by a reload; a worker takes a change up before its next
 * job, the launcher at once.  Only padlock.allow_private_addresses opens a
 * door: like all of them it comes from the configuration files alone, so no
 * role that can only run SQL may set it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "worker/settings.h"

int			padlock_worker_count = 2;
static char *padlock_databases = NULL;	/* comma list, '' = all */

int			padlock_handler_timeout = 30 * 1000;
int			padlock_handler_memory = 1024;

int			padlock_html_max_size = 8 * 1024;
int			padlock_pdf_max_size = 32 * 1024;
int			padlock_pdf_max_pages = 500;
int			padlock_text_max_characters = 2000000;
int			padlock_parse_cpu = 5000;
int			padlock_parse_wall = 10000;
int			padlock_parse_memory = 1024;
int			padlock_fetch_timeout = 20000;
int			padlock_fetch_max_redirects = 5;
bool		padlock_allow_private_addresses = false;
int			padlock_crawl_max_depth = 3;
int			padlock_crawl_max_pages = 100;

/* A setting that is a number: one row of the table below. */
typedef struct NumberSetting
{
	const char *name;
	const char *description;
	int		   *variable;
	int			low;
	int			high;
	int			unit;			/* GUC_UNIT_* or 0 */
} NumberSetting;

/* The upper limits keep a body in a bytea or text and a wait within a lease. */
static const NumberSetting number_settings[] = {
	{"padlock.worker_count", "Number of background workers in each database with padlock; 0 starts none.",
	&padlock_worker_count, 0, 64, 0},
	{"padlock.handler_timeout", "Time allowed for a registered function to do one job.",
	&padlock_handler_timeout, 1000, 24 * 60 * 60 * 1000, GUC_UNIT_MS},
	{"padlock.handler_memory", "Private memory allowed for a worker while a registered function runs.",
	&padlock_handler_memory, 128, 1024 * 1024, GUC_UNIT_MB},
	{"padlock.html_max_size", "Largest web page that is read, after decoding.",
	&padlock_html_max_size, 1, 64 * 1024, GUC_UNIT_KB},
	{"padlock.pdf_max_size", "Largest PDF that is read.",
	&padlock_pdf_max_size, 1, 256 * 1024, GUC_UNIT_KB},
	{"padlock.pdf_max_pages", "Number of pages of a PDF whose text is taken.",
	&padlock_pdf_max_pages, 1, 100000, 0},
	{"padlock.text_max_characters", "Number of characters that are taken from a PDF.",
	&padlock_text_max_characters, 1, 50000000, 0},
	{"padlock.parse_cpu", "Processor time allowed for parsing one page or document.",
	&padlock_parse_cpu, 100, 600000, GUC_UNIT_MS},
	{"padlock.parse_wall", "Time allowed for parsing one page or document.",
	&padlock_parse_wall, 100, 600000, GUC_UNIT_MS},
	{"padlock.parse_memory", "Address space allowed for parsing one page or document.",
	&padlock_parse_memory, 64, 65536, GUC_UNIT_MB},
	{"padlock.fetch_timeout", "Time allowed for one fetch with its redirects.",
	&padlock_fetch_timeout, 100, 600000, GUC_UNIT_MS},
	{"padlock.fetch_max_redirects", "Number of redirects that a fetch follows.",
	&padlock_fetch_max_redirects, 0, 20, 0},
	{"padlock.crawl_max_depth", "Number of links that a crawl follows away from a website's first page.",
	&padlock_crawl_max_depth, 0, 20, 0},
	{"padlock.crawl_max_pages", "Number of pages that one crawl fetches.",
	&padlock_crawl_max_pages, 1, 10000, 0},
};

/* GUC check hook: a comma list of database names, quoted where needed. */
static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *names = NIL;
	bool		valid = SplitIdentifierString(copy, ',', &names);

	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	list_free(names);
	pfree(copy);
	return valid;
}

void
padlock_worker_define_settings(void)
{
	for (int i = 0; i < lengthof(number_settings); i++)
	{
		const NumberSetting *setting = &number_settings[i];

		DefineCustomIntVariable(setting->name, setting->description, NULL, setting->variable,
								*setting->variable, setting->low, setting->high,
								PGC_SIGHUP, setting->unit, NULL, NULL, NULL);
	}
	DefineCustomStringVariable("padlock.databases",
							   "Databases in which background workers run; empty means every one with padlock.",
							   NULL, &padlock_databases, "", PGC_SIGHUP, GUC_LIST_INPUT,
							   check_databases, NULL, NULL);
	DefineCustomBoolVariable("padlock.allow_private_addresses",
							 "Lets workers fetch from loopback, private and link-local addresses.",
							 "Only for tests and for sites of one's own: a client chooses the URLs.",
							 &padlock_allow_private_addresses, false, PGC_SIGHUP,
							 GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

bool
padlock_database_wanted(const char *name)
{
	char	   *copy;
	List	   *names = NIL;
	ListCell   *cell;
	bool		wanted = false;

	if (padlock_databases == NULL || padlock_databases[0] == '\0')
		return true;
	copy = pstrdup(padlock_databases);
	if (SplitIdentifierString(copy, ',', &names))
		foreach(cell, names)
			wanted = wanted || strcmp((char *) lfirst(cell), name) == 0;
	list_free(names);
	pfree(copy);
	return wanted;
}
