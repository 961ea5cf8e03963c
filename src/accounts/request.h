/*-------------------------------------------------------------------------
 *
 * request.h
 *	  What the endpoints of room accounts share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_REQUEST_H
#define PADLOCK_REQUEST_H

#include "fmgr.h"

#include "accounts/password.h"
#include "accounts/store.h"
#include "accounts/token.h"
#include "core/body.h"

/* Fields that several endpoints take. */
#define EMAIL_FIELD		{"email", BODY_EMAIL, .required = true}
#define TOKEN_FIELD(field_name) \
	{field_name, BODY_TEXT, .required = true, .min = 1, .max = TOKEN_MAX_LENGTH}
#define NEW_PASSWORD_FIELD \
	{"password", BODY_TEXT, .required = true, .min = PASSWORD_MIN_LENGTH, .max = PASSWORD_MAX_LENGTH}
#define PASSWORD_FIELD(field_name) \
	{field_name, BODY_TEXT, .required = true, .min = 1, .max = PASSWORD_MAX_LENGTH}

/* Read the body in the first argument; 400 (SQL: 22023) when it is not valid. */
extern void request_read(FunctionCallInfo fcinfo, PadlockBody *body, const BodyField *fields,
						 int count);

/* Take a secret out of the body, where it is overwritten; for password_wipe(). */
extern char *request_secret(PadlockBody *body, const char *name);

/* The session of the caller's access token; false when it names none. */
extern bool request_session(pg_uuid_t *session_id);

/*
 * Is it the password of this hash (NULL: there is none)?  The attempt counts
 * for the address: wrong ones in a row from one place, and wrong ones from
 * wherever; beyond these limits the answer is 429, and a right one is not
 * looked at either.  The same work whether or not there is a hash.
 */
extern bool request_proves(const char *stored, const char *address, const char *password);

/* Forget the wrong passwords for an address: from the caller's place, and from wherever. */
extern void request_forget_failures(const char *address);

/* The calling user's account; 401 (SQL: 28000) without. */
extern void request_account(Account *account);

/* Stop with 503 (SQL: 55000) where no mail can be sent, before one is promised. */
extern void request_require_mail(void);

/* Refuse a one-time token: 400 (SQL: 22023), with one text whatever is wrong. */
extern void request_refuse_token(const char *message, const char *hint) pg_attribute_noreturn();

#endif							/* PADLOCK_REQUEST_H */
