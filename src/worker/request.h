/*-------------------------------------------------------------------------
 *
 * request.h
 *	  What a worker asks its helper programs: fetch a URL, parse a body, send a
 *	  mail.
 *
 * All texts in the answers are in the database's encoding; everything lies in
 * the memory context of the call.  An outcome other than WIRE_OK is an answer;
 * a helper that does not answer as it should is an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_REQUEST_H
#define PADLOCK_REQUEST_H

#include "postgres.h"

#include "catalog/ingest.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/uuid.h"
#include "worker/helper.h"

/* The longest URL that api.md allows, in bytes. */
#define PADLOCK_MAX_URL 2000

typedef struct PadlockFetched
{
	WireOutcome outcome;
	const char *detail;			/* for people, never NULL */
	const char *url;			/* after redirects, never NULL */
	uint32		http_status;	/* 0 if none came */
	const char *content_type;	/* as the site sent it, or NULL */
	List	   *sitemaps;		/* of char *, named by robots.txt */
	PadlockBlob *body;			/* not NULL when the outcome is WIRE_OK */
} PadlockFetched;

typedef struct PadlockLink
{
	const char *url;
	bool		sitemap;		/* an entry of a sitemap index */
} PadlockLink;

typedef struct PadlockParsed
{
	WireOutcome outcome;
	const char *detail;
	uint32		pages;
	uint32		characters;
	bool		truncated;
	List	   *links;			/* of PadlockLink * */
	List	   *products;		/* of PadlockProductFacts * */
	PadlockBlob *text;			/* a PDF's text, not NULL when WIRE_OK */
} PadlockParsed;

/*
 * Fetch a URL, at most max_kilobytes of body.  robots: obey robots.txt and
 * its crawl-delay, as a crawler must; a file that a user named is fetched
 * without.
 */
extern PadlockFetched *padlock_fetch(const pg_uuid_t *job, const char *url,
									 int max_kilobytes, bool robots);

extern PadlockParsed *padlock_parse_html(const pg_uuid_t *job, const char *base_url,
										 const char *content_type, const PadlockBlob *body);
extern PadlockParsed *padlock_parse_sitemap(const pg_uuid_t *job, const char *base_url,
											const PadlockBlob *body);
extern PadlockParsed *padlock_parse_pdf(const pg_uuid_t *job, const PadlockBlob *body);

typedef struct PadlockSent
{
	WireOutcome outcome;		/* WIRE_OK: the mail server took the message */
	const char *detail;
} PadlockSent;

/*
 * Hand a message to the mail server of padlock.smtp_url, as the other smtp
 * settings say.  An error when the password's or the CA's file cannot be read.
 */
extern PadlockSent *padlock_send_mail(const pg_uuid_t *job, const char *from, const char *to,
									  StringInfo message);

/*
 * Would the same request give the same failure again?  See request.c for
 * which and why.
 */
extern bool padlock_outcome_is_permanent(WireOutcome outcome, uint32 http_status);

/* A failed outcome in words: the status, the helper's detail or our own; palloc'd. */
extern char *padlock_outcome_reason(WireOutcome outcome, uint32 http_status,
									const char *detail);

/* End the attempt for this outcome and reason: for good, or to be retried. */
extern void padlock_raise_outcome(WireOutcome outcome, uint32 http_status,
								  const char *reason) pg_attribute_noreturn();

#endif							/* PADLOCK_REQUEST_H */
