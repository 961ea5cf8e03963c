/*-------------------------------------------------------------------------
 *
 * limits.h
 *	  The door of room limits: how often a caller may do something.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_LIMITS_H
#define PADLOCK_LIMITS_H

/* Room set-up, called by _PG_init only: settings, shared memory, worker. */
extern void padlock_limits_init(void);

/*
 * Count a request of the caller to an endpoint against the rule that
 * rate_limit_rules holds for the endpoint, and stop with 429 (SQL: 53400)
 * when the limit is reached.  Call it once, as soon as the caller is known
 * and before any other work: the request counts even if it fails later.
 * Behind a gateway the answer tells the caller's state in RateLimit headers.
 * Nothing is counted for service_role, and for local SQL without identity.
 */
extern void padlock_limit_request(const char *endpoint);

/*
 * Count an attempt on an account, which is named by its e-mail address in
 * lower case, whether or not there is one: against the rule that
 * rate_limit_rules holds for attempt; stop with 429 (SQL: 53400) when the
 * limit is reached.  With caller account everybody's attempts count together,
 * with account_ip those from one address.
 */
extern void padlock_limit_account(const char *attempt, const char *address);

/* Forget the attempts on an account (account_ip: the caller's), after one that was right. */
extern void padlock_forget_account(const char *attempt, const char *address);

/*
 * Take back the attempt that padlock_limit_account() counted just now, since it
 * was right.  Unlike forgetting, that tells nobody else who counts attempts on
 * the account, and gives no new ones to who guesses.
 */
extern void padlock_give_back_account(const char *attempt, const char *address);

#endif							/* PADLOCK_LIMITS_H */
