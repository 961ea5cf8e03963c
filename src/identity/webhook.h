/*-------------------------------------------------------------------------
 *
 * webhook.h
 *	  Callers that are programs of the marketplace's own: known by a secret.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WEBHOOK_H
#define PADLOCK_WEBHOOK_H

/* Define padlock.webhook_secrets_file; called by padlock_identity_init() only. */
extern void padlock_webhook_init(void);

/*
 * Stop unless the request's header x-webhook-secret holds one of the secrets
 * of the file named by padlock.webhook_secrets_file: 401 (SQL: 28000).  500
 * (F0000) for whatever secret when no file is named or it cannot be used, with
 * the reason in the server's log only.
 */
extern void padlock_require_webhook(void);

#endif							/* PADLOCK_WEBHOOK_H */
