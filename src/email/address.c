/*-------------------------------------------------------------------------
 *
 * address.c
 *	  The mailbox that mail comes from, and what a header may hold.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "core/email_address.h"
#include "email/email.h"

#define MAX_NAME		100		/* ours, bytes */

bool
padlock_email_has_control(const char *value)
{
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
		if (*c < 0x20 || *c == 0x7f)
			return true;
	return false;
}

/* A copy of text[0 .. length) without blanks and a pair of quotes around it. */
static char *
trimmed(const char *text, size_t length)
{
	while (length > 0 && text[0] == ' ')
		text++, length--;
	while (length > 0 && text[length - 1] == ' ')
		length--;
	if (length >= 2 && text[0] == '"' && text[length - 1] == '"')
		text++, length -= 2;
	return pnstrdup(text, length);
}

const char *
padlock_email_read_mailbox(const char *text, PadlockMailbox *mailbox)
{
	const char *open = strchr(text, '<');
	size_t		length = strlen(text);

	if (padlock_email_has_control(text) || !pg_verify_mbstr(PG_UTF8, text, length, true))
		return "has a control character or is not UTF-8";
	mailbox->name = NULL;
	if (open == NULL)
		mailbox->address = pstrdup(text);
	else
	{
		if (text[length - 1] != '>')
			return "does not end after the address";
		mailbox->name = trimmed(text, open - text);
		mailbox->address = pnstrdup(open + 1, length - (open - text) - 2);
	}
	if (mailbox->name != NULL && strlen(mailbox->name) > MAX_NAME)
		return "has a name of more than 100 bytes";
	return padlock_email_address_problem(mailbox->address);
}
