/*-------------------------------------------------------------------------
 *
 * mail.h
 *	  Mails to users, queued as email_notification jobs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_MAIL_H
#define PADLOCK_MAIL_H

#include "accounts/token.h"

/*
 * Queue a mail that carries a one-time token made for this address; the
 * template is named as the purpose is: confirm_email, change_email or
 * reset_password.  The payload is {to, template, one_time_token, data:
 * {valid_for, valid_minutes}}: valid_for is in words, valid_minutes a number.
 */
extern void mail_token(const char *to, OneTimePurpose purpose, const pg_uuid_t *token_id);

/*
 * Queue a mail that only tells something: account_exists, no_account,
 * password_changed, email_changed.  The payload is {to, template, data: {}}.
 */
extern void mail_notice(const char *to, const char *template);

#endif							/* PADLOCK_MAIL_H */
