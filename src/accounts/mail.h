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
 * Queue a mail that carries a one-time token; the template is named as the
 * purpose is: confirm_email, change_email or reset_password.  The payload is
 * {to, template, data: {token, valid_minutes}}.
 */
extern void mail_token(const char *to, OneTimePurpose purpose, const char *token);

/*
 * Queue a mail that only tells something: account_exists, no_account,
 * password_changed, email_changed.  The payload is {to, template, data: {}}.
 */
extern void mail_notice(const char *to, const char *template);

#endif							/* PADLOCK_MAIL_H */
