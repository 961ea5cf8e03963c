/*-------------------------------------------------------------------------
 *
 * email_address.c
 *	  E-mail addresses, as strict as the mail that is sent to them.
 *
 * What is refused here could be a legal address: quoted local parts, address
 * literals, comments, letters outside ASCII (which need SMTPUTF8 on every
 * hop).  Nobody signs up with one, and each is a way to smuggle something
 * into a header or an SMTP command.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/email_address.h"

#define MAX_ADDRESS		254		/* RFC 5321, 4.5.3.1.3, less the brackets */
#define MAX_LOCAL_PART	64		/* 4.5.3.1.1 */
#define MAX_LABEL		63		/* RFC 1035, 2.3.4 */

/* RFC 5322, 3.2.3 */
#define ATEXT	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~"
#define LDH		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

/* Is text[0 .. length) words of these characters, joined by single dots? */
static bool
is_dotted(const char *text, size_t length, const char *characters)
{
	bool		after_dot = true;

	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '\0' || (text[i] == '.' ? after_dot : strchr(characters, text[i]) == NULL))
			return false;
		after_dot = text[i] == '.';
	}
	return !after_dot;
}

/* Is a domain of LDH labels well-formed, with two labels at least? */
static bool
is_domain(const char *domain)
{
	const char *label = domain;

	if (!is_dotted(domain, strlen(domain), LDH) || strchr(domain, '.') == NULL)
		return false;
	while (label != NULL)
	{
		size_t		length = strcspn(label, ".");

		if (length > MAX_LABEL || label[0] == '-' || label[length - 1] == '-')
			return false;
		label = label[length] == '.' ? label + length + 1 : NULL;
	}
	return true;
}

const char *
padlock_email_address_problem(const char *address)
{
	const char *at = strrchr(address, '@');

	for (const char *c = address; *c != '\0'; c++)
		if (IS_HIGHBIT_SET(*c))
			return "has a letter outside ASCII";
	if (strlen(address) > MAX_ADDRESS)
		return "is longer than 254 bytes";
	if (at == NULL || at - address > MAX_LOCAL_PART ||
		!is_dotted(address, at - address, ATEXT) || !is_domain(at + 1))
		return "is not an e-mail address of the form name@host.domain";
	return NULL;
}
