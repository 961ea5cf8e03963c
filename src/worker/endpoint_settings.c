/*-------------------------------------------------------------------------
 *
 * endpoint_settings.c
 *	  The settings of key services and of the object store.
 *
 * All come from the configuration files alone and may be changed by a reload;
 * a worker takes a change up before its next job.  Credentials are in files
 * of their own (secret_file.c), never in a setting.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "core/secret_file.h"
#include "worker/endpoint_settings.h"

#define MAX_ENDPOINT		500		/* bytes of a URL */
#define MAX_PREFIX			200

bool		padlock_allow_plain_http = false;
int			padlock_key_service_timeout = 5000;
char	   *padlock_aws_kms_url = NULL;
char	   *padlock_aws_credentials_file = NULL;
char	   *padlock_google_kms_url = NULL;
char	   *padlock_google_credentials_file = NULL;
char	   *padlock_vault_url = NULL;
char	   *padlock_vault_token_file = NULL;
char	   *padlock_vault_namespace = NULL;
char	   *padlock_vault_ca_file = NULL;
char	   *padlock_s3_url = NULL;
char	   *padlock_s3_bucket = NULL;
char	   *padlock_s3_region = NULL;
char	   *padlock_s3_prefix = NULL;
char	   *padlock_s3_credentials_file = NULL;
char	   *padlock_s3_ca_file = NULL;
bool		padlock_s3_path_style = false;
int			padlock_s3_timeout = 60000;

#define LOWER		"abcdefghijklmnopqrstuvwxyz"
#define UPPER		"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS		"0123456789"

/* GUC check hook: an http or https URL of printable ASCII without user, query or fragment. */
static bool
check_endpoint(char **newval, void **extra, GucSource source)
{
	const char *url = *newval;
	bool		valid = strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0;

	if (url[0] == '\0')
		return true;
	for (const unsigned char *c = (const unsigned char *) url; *c != '\0'; c++)
		valid = valid && *c > 0x20 && *c < 0x7f && strchr("\"'<>?#\\{}@", *c) == NULL;
	if (valid && strlen(url) <= MAX_ENDPOINT && url[strlen(url) - 1] != '/')
		return true;
	GUC_check_errdetail("It must be an http or https URL without a user, a query, a fragment or a slash at its end.");
	return false;
}

/* Is a text of at most max characters, all of them in a set? */
static bool
is_of(const char *text, const char *set, size_t max)
{
	return strlen(text) <= max && strspn(text, set) == strlen(text);
}

/* GUC check hook: a bucket's name, as S3 and its like allow it. */
static bool
check_bucket(char **newval, void **extra, GucSource source)
{
	const char *name = *newval;

	if (name[0] == '\0' ||
		(strlen(name) >= 3 && is_of(name, LOWER DIGITS "-.", 63) && name[0] != '.' &&
		 name[0] != '-' && strstr(name, "..") == NULL))
		return true;
	GUC_check_errdetail("It must be 3 to 63 lower-case letters, digits, hyphens and points.");
	return false;
}

/* GUC check hook: a region's name. */
static bool
check_region(char **newval, void **extra, GucSource source)
{
	if (is_of(*newval, LOWER UPPER DIGITS "-_", 64))
		return true;
	GUC_check_errdetail("It must be letters, digits, hyphens and underscores.");
	return false;
}

/* GUC check hook: what objects' names begin with. */
static bool
check_prefix(char **newval, void **extra, GucSource source)
{
	if (is_of(*newval, LOWER UPPER DIGITS "-._/", MAX_PREFIX) && (*newval)[0] != '/' &&
		strstr(*newval, "//") == NULL && strstr(*newval, "..") == NULL)
		return true;
	GUC_check_errdetail("It must be letters, digits, hyphens, points, underscores and single slashes, with none at its begin.");
	return false;
}

/* GUC check hook: a namespace of Vault's. */
static bool
check_namespace(char **newval, void **extra, GucSource source)
{
	if (is_of(*newval, LOWER UPPER DIGITS "-._/", MAX_PREFIX))
		return true;
	GUC_check_errdetail("It must be letters, digits, hyphens, points, underscores and slashes.");
	return false;
}

/* A setting that is a text: one row of the table below. */
typedef struct TextSetting
{
	const char *name;
	const char *description;
	const char *more;
	char	  **variable;
	const char *initial;
	GucStringCheckHook check;
} TextSetting;

static const char *const secret_note =
"It must belong to the server's user and be readable by nobody else.";

static const TextSetting text_settings[] = {
	{"padlock.aws_kms_url", "Endpoint of AWS KMS; empty means AWS's own in the key's region.",
	NULL, &padlock_aws_kms_url, "", check_endpoint},
	{"padlock.aws_credentials_file", "File with the access key for AWS KMS, as AWS's own programs keep it.",
	NULL, &padlock_aws_credentials_file, "", padlock_check_path},
	{"padlock.google_kms_url", "Endpoint of Google Cloud KMS.",
	NULL, &padlock_google_kms_url, "https://cloudkms.googleapis.com", check_endpoint},
	{"padlock.google_credentials_file", "File with a service account's key (JSON), or with an access token that something else keeps fresh.",
	NULL, &padlock_google_credentials_file, "", padlock_check_path},
	{"padlock.vault_url", "Address of the HashiCorp Vault server, as https://vault.example:8200.",
	NULL, &padlock_vault_url, "", check_endpoint},
	{"padlock.vault_token_file", "File with the token for Vault.",
	NULL, &padlock_vault_token_file, "", padlock_check_path},
	{"padlock.vault_namespace", "Namespace at the Vault server; empty means none.",
	NULL, &padlock_vault_namespace, "", check_namespace},
	{"padlock.vault_ca_file", "File with the CA certificates (PEM) that the Vault server's is checked against.",
	"Empty means those of the system.", &padlock_vault_ca_file, "", padlock_check_path},
	{"padlock.s3_url", "Address of the S3-compatible object store, without the bucket.",
	NULL, &padlock_s3_url, "", check_endpoint},
	{"padlock.s3_bucket", "Bucket that documents are kept in.",
	NULL, &padlock_s3_bucket, "", check_bucket},
	{"padlock.s3_region", "Region of the bucket, which requests are signed for.",
	NULL, &padlock_s3_region, "us-east-1", check_region},
	{"padlock.s3_prefix", "What the names of objects begin with.",
	NULL, &padlock_s3_prefix, "", check_prefix},
	{"padlock.s3_credentials_file", "File with the access key for the object store, as AWS's own programs keep it.",
	NULL, &padlock_s3_credentials_file, "", padlock_check_path},
	{"padlock.s3_ca_file", "File with the CA certificates (PEM) that the object store's is checked against.",
	"Empty means those of the system.", &padlock_s3_ca_file, "", padlock_check_path},
};

void
padlock_endpoint_define_settings(void)
{
	for (int i = 0; i < lengthof(text_settings); i++)
	{
		const TextSetting *setting = &text_settings[i];
		bool		secret = strstr(setting->name, "credentials") || strstr(setting->name, "token");

		DefineCustomStringVariable(setting->name, setting->description,
								   secret ? secret_note : setting->more,
								   setting->variable, setting->initial, PGC_SIGHUP, 0,
								   setting->check, NULL, NULL);
	}
	DefineCustomIntVariable("padlock.key_service_timeout",
							"Time allowed for one try of a request to a key service.",
							NULL, &padlock_key_service_timeout, 5000, 100, 60000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.s3_timeout",
							"Time allowed for one try of a request to the object store.",
							NULL, &padlock_s3_timeout, 60000, 100, 600000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("padlock.s3_path_style",
							 "Names the bucket in the path instead of the host, as most stores of one's own want it.",
							 NULL, &padlock_s3_path_style, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("padlock.allow_plain_http",
							 "Lets workers send credentials to key services and the object store without TLS.",
							 "Without it plain http is for loopback addresses only.",
							 &padlock_allow_plain_http, false, PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							 NULL, NULL, NULL);
}
