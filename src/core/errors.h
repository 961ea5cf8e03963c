/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  One mapping between failures of an endpoint, SQLSTATEs and HTTP answers.
 *
 * From SQL a failure is an ordinary error.  Behind a gateway (request.method
 * is set, as PostgREST does it) the same failure is raised with SQLSTATE
 * PGRST, so that the gateway answers with its status, body and headers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_ERRORS_H
#define PADLOCK_ERRORS_H

/* Is this transaction run by an HTTP gateway? */
extern bool padlock_behind_gateway(void);

/*
 * Raise an endpoint's failure and do not return.
 *
 * http_status: 400, 401, 403, 404, 409, 413, 429 or 500.
 * sqlstate:	the ERRCODE_ for SQL callers, also the body's "code".
 * message, detail, hint: PostgreSQL style; detail and hint may be NULL.
 */
extern void padlock_http_error(int http_status, int sqlstate, const char *message,
							   const char *detail, const char *hint) pg_attribute_noreturn();

/*
 * The same with HTTP headers, a JSON object of strings, for gateway callers.
 */
extern void padlock_http_error_headers(int http_status, int sqlstate, const char *message,
									   const char *detail, const char *hint,
									   const char *headers) pg_attribute_noreturn();

/*
 * A failure whose transaction must commit, so that what was written because
 * of it stays: sets the gateway's status and returns, as JSON text, the body
 * that the error would have; from SQL the same with "success": false.
 */
extern char *padlock_http_failure(int http_status, int sqlstate, const char *message,
								  const char *detail, const char *hint);

/* Set the status of the answer; nothing to do outside a gateway. */
extern void padlock_http_status(int http_status);

/*
 * Set the headers of a successful answer, a JSON array of objects with one
 * string each; nothing to do outside a gateway.
 */
extern void padlock_http_headers(const char *headers);

/* Stop with the line to add when padlock was not preloaded. */
extern void padlock_require_preload(const char *feature);

#endif							/* PADLOCK_ERRORS_H */
