/*-------------------------------------------------------------------------
 *
 * endpoint_settings.h
 *	  The settings of key services and of the object store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_ENDPOINT_SETTINGS_H
#define PADLOCK_ENDPOINT_SETTINGS_H

#include "postgres.h"

extern bool padlock_allow_plain_http;
extern int	padlock_key_service_timeout;	/* ms, of each try */

/* Texts are never NULL; "" is not set. */
extern char *padlock_aws_kms_url;	/* "": AWS's own, by the key's region */
extern char *padlock_aws_credentials_file;
extern char *padlock_google_kms_url;
extern char *padlock_google_credentials_file;
extern char *padlock_vault_url;
extern char *padlock_vault_token_file;
extern char *padlock_vault_namespace;
extern char *padlock_vault_ca_file;
extern char *padlock_s3_url;
extern char *padlock_s3_bucket;
extern char *padlock_s3_region;
extern char *padlock_s3_prefix;
extern char *padlock_s3_credentials_file;
extern char *padlock_s3_ca_file;
extern bool padlock_s3_path_style;
extern int	padlock_s3_timeout; /* ms, of each try */

/* Define them; called by padlock_worker_init(). */
extern void padlock_endpoint_define_settings(void);

#endif							/* PADLOCK_ENDPOINT_SETTINGS_H */
