/*-------------------------------------------------------------------------
 *
 * fetch_host.c
 *	  What padlock_fetch remembers of the sites it has visited.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "agent/fetch_host.h"

static void
forget_rules(FetchHost *host)
{
	robots_free(host->rules);
	host->rules = NULL;
	host->robots_until_ms = 0;
}

FetchHost *
host_find(HostTable *table, const char *origin, bool allow_private)
{
	FetchHost  *oldest = &table->hosts[0];
	int			i;

	table->tick++;
	for (i = 0; i < HOST_TABLE_SIZE; i++)
	{
		FetchHost  *host = &table->hosts[i];

		if (host->allow_private == allow_private && strcmp(host->origin, origin) == 0)
		{
			host->last_used = table->tick;
			return host;
		}
		if (host->last_used < oldest->last_used)
			oldest = host;
	}
	forget_rules(oldest);
	memset(oldest, 0, sizeof(*oldest));
	snprintf(oldest->origin, sizeof(oldest->origin), "%s", origin);
	oldest->allow_private = allow_private;
	oldest->last_used = table->tick;
	return oldest;
}

/* Forget the rules of the least recently used others until the rest fit. */
static void
make_room(HostTable *table, const FetchHost *newest)
{
	for (;;)
	{
		FetchHost  *oldest = NULL;
		size_t		memory = newest->rules != NULL ? newest->rules->memory : 0;
		int			i;

		for (i = 0; i < HOST_TABLE_SIZE; i++)
		{
			FetchHost  *host = &table->hosts[i];

			if (host == newest || host->rules == NULL)
				continue;
			memory += host->rules->memory;
			if (oldest == NULL || host->last_used < oldest->last_used)
				oldest = host;
		}
		if (oldest == NULL || memory <= HOST_MAX_RULES_MEMORY)
			return;
		forget_rules(oldest);
	}
}

void
host_keep_rules(HostTable *table, FetchHost *host, RobotsRules *rules)
{
	forget_rules(host);
	host->rules = rules;
	host->robots_outcome = WIRE_OK;
	host->robots_detail[0] = '\0';
	host->robots_until_ms = monotonic_ms() + ROBOTS_KEEP_MS;
	make_room(table, host);
}

void
host_keep_failure(FetchHost *host, WireOutcome outcome, const char *detail, bool lasting)
{
	forget_rules(host);
	host->robots_outcome = outcome;
	snprintf(host->robots_detail, sizeof(host->robots_detail), "%s", detail);
	host->robots_until_ms = monotonic_ms() + (lasting ? ROBOTS_RETRY_MS : 0);
}

bool
host_robots_known(const FetchHost *host)
{
	return monotonic_ms() < host->robots_until_ms;
}

int64_t
host_wait_ms(const FetchHost *host)
{
	int64_t		wait_ms;

	if (host->rules == NULL || host->last_request_ms == 0)
		return 0;
	wait_ms = host->last_request_ms + host->rules->delay_ms - monotonic_ms();
	return wait_ms > 0 ? wait_ms : 0;
}
