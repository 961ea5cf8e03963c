/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The settings of room email: the SMTP server, the sender, the site.
 *
 * All come from the configuration files alone and may be changed by a reload;
 * a worker takes a change up before its next job.  The password is in a file
 * of its own (secret_file.c), never in a setting.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/guc.h"

#include "agent/wire.h"
#include "core/secret_file.h"
#include "email/email.h"

#define MAX_SMTP_URL	300		/* scheme, a DNS name of at most 255 bytes, port */
#define MAX_SITE_URL	500

char	   *padlock_smtp_url = NULL;
char	   *padlock_smtp_user = NULL;
char	   *padlock_smtp_password_file = NULL;
char	   *padlock_smtp_ca_file = NULL;
int			padlock_smtp_tls = PADLOCK_SMTP_TLS_REQUIRE;
int			padlock_smtp_timeout = 30000;
char	   *padlock_mail_from = NULL;
char	   *padlock_site_url = NULL;

static const struct config_enum_entry tls_options[] = {
	{"require", PADLOCK_SMTP_TLS_REQUIRE, false},
	{"off", PADLOCK_SMTP_TLS_OFF, false},
	{NULL, 0, false}
};

/* A port of 1 to 65535, or nothing, up to the end of the text. */
static bool
is_port_or_nothing(const char *text)
{
	size_t		digits = strspn(text[0] == ':' ? text + 1 : text, "0123456789");
	int			port;

	if (text[0] == '\0')
		return true;
	if (text[0] != ':' || digits == 0 || digits > 5 || text[1 + digits] != '\0')
		return false;
	port = atoi(text + 1);
	return port >= 1 && port <= 65535;
}

/* GUC check hook: smtp:// or smtps://, a host or address, perhaps a port. */
static bool
check_smtp_url(char **newval, void **extra, GucSource source)
{
	const char *host = *newval;
	size_t		length;

	if (host[0] == '\0')
		return true;
	if (strncmp(host, "smtp://", 7) == 0)
		host += 7;
	else if (strncmp(host, "smtps://", 8) == 0)
		host += 8;
	else
		host = "";
	if (host[0] == '[')
		length = strspn(host + 1, "0123456789abcdefABCDEF:.") + 2;
	else
		length = strspn(host, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.");
	if (strlen(*newval) <= MAX_SMTP_URL && length > 0 && length <= strlen(host) &&
		(host[0] != '[' || host[length - 1] == ']') && is_port_or_nothing(host + length))
		return true;
	GUC_check_errdetail("It must be smtp://host:port or smtps://host:port, with no user, password or path.");
	return false;
}

/* GUC check hook: address, or name <address>. */
static bool
check_mail_from(char **newval, void **extra, GucSource source)
{
	PadlockMailbox mailbox;
	const char *problem;

	if ((*newval)[0] == '\0')
		return true;
	problem = padlock_email_read_mailbox(*newval, &mailbox);
	if (problem != NULL)
		GUC_check_errdetail("The mailbox %s.", problem);
	return problem == NULL;
}

/* GUC check hook: an http or https URL of printable ASCII, no query or fragment. */
static bool
check_site_url(char **newval, void **extra, GucSource source)
{
	const char *url = *newval;
	bool		valid = url[0] == '\0' || strncmp(url, "https://", 8) == 0 ||
	strncmp(url, "http://", 7) == 0;

	for (const unsigned char *c = (const unsigned char *) url; *c != '\0'; c++)
		valid = valid && *c > 0x20 && *c < 0x7f && strchr("\"'<>?#\\{}", *c) == NULL;
	if (valid && strlen(url) <= MAX_SITE_URL && (url[0] == '\0' || url[strlen(url) - 1] != '/'))
		return true;
	GUC_check_errdetail("It must be an http or https URL without a query, a fragment or a slash at its end.");
	return false;
}

/* GUC check hook: UTF-8 text without control characters. */
static bool
check_user(char **newval, void **extra, GucSource source)
{
	size_t		length = strlen(*newval);

	if (length <= PADLOCK_WIRE_MAX_USER && !padlock_email_has_control(*newval) &&
		pg_verify_mbstr(PG_UTF8, *newval, length, true))
		return true;
	GUC_check_errdetail("It must be UTF-8 text of at most %d bytes.", PADLOCK_WIRE_MAX_USER);
	return false;
}

/* A setting that is a text: one row of the table below. */
typedef struct TextSetting
{
	const char *name;
	const char *description;
	const char *more;
	char	  **variable;
	GucStringCheckHook check;
} TextSetting;

static const TextSetting text_settings[] = {
	{"padlock.smtp_url", "Mail server that takes mail for delivery, as smtp://host:587 or smtps://host:465.",
		"Empty, no mail is sent and jobs of type email_notification fail.",
	&padlock_smtp_url, check_smtp_url},
	{"padlock.smtp_user", "User name at the mail server; empty means no authentication.",
	NULL, &padlock_smtp_user, check_user},
	{"padlock.smtp_password_file", "File with the password at the mail server.",
		"It must belong to the server's user and be readable by nobody else.",
	&padlock_smtp_password_file, padlock_check_path},
	{"padlock.smtp_ca_file", "File with the CA certificates (PEM) that the mail server's is checked against.",
		"Empty means those of the system.",
	&padlock_smtp_ca_file, padlock_check_path},
	{"padlock.mail_from", "Sender of all mail: an address, or a name and an address in angle brackets.",
	NULL, &padlock_mail_from, check_mail_from},
	{"padlock.site_url", "Address of the web site that links in mails lead to.",
	NULL, &padlock_site_url, check_site_url},
};

bool
padlock_email_is_configured(void)
{
	return padlock_smtp_url[0] != '\0' && padlock_mail_from[0] != '\0';
}

void
padlock_email_init(void)
{
	padlock_queue_watch("email_notification", padlock_email_redact);
	for (int i = 0; i < lengthof(text_settings); i++)
	{
		const TextSetting *setting = &text_settings[i];

		DefineCustomStringVariable(setting->name, setting->description, setting->more,
								   setting->variable, "", PGC_SIGHUP, 0, setting->check,
								   NULL, NULL);
	}
	DefineCustomEnumVariable("padlock.smtp_tls",
							 "Whether mail is sent through TLS only.",
							 "Off, a mail server at a loopback address is spoken to in the clear, and no other at all.",
							 &padlock_smtp_tls, PADLOCK_SMTP_TLS_REQUIRE, tls_options, PGC_SIGHUP,
							 0, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.smtp_timeout",
							"Time allowed for handing one message to the mail server.",
							NULL, &padlock_smtp_timeout, 30000, 100, 600000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
}
