/*-------------------------------------------------------------------------
 *
 * padlock.c
 *	  Entry point of the library: each room sets itself up.
 *
 * The library is meant to be preloaded.  Loaded later, by the first call of a
 * function in a session, everything that needs no shared memory works, and
 * what does need it says how to preload (padlock_require_preload).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "accounts/accounts.h"
#include "audit/audit.h"
#include "core/core.h"
#include "documents/place.h"
#include "documents/documents.h"
#include "email/email.h"
#include "envelope/envelope.h"
#include "identity/caller.h"
#include "limits/limits.h"
#include "queue/queue.h"
#include "search/search.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

bool		padlock_preloaded = false;

/*
 * Library load hook.  The rooms define their settings always, and hooks,
 * shared memory and workers only while the postmaster preloads.
 */
void
_PG_init(void)
{
	padlock_preloaded = process_shared_preload_libraries_in_progress;

	padlock_core_init();
	padlock_identity_init();
	padlock_audit_init();
	padlock_limits_init();
	padlock_queue_init();
	padlock_accounts_init();
	padlock_envelope_init();
	padlock_search_init();
	padlock_documents_init();
	padlock_email_init();
	padlock_worker_init();

	MarkGUCPrefixReserved("padlock");
}
