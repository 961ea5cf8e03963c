/*-------------------------------------------------------------------------
 *
 * object_store.c
 *	  Objects in an S3-compatible store, as the padlock.s3 settings say.
 *
 * Three requests of the S3 API are all that is needed: PUT, GET and DELETE of
 * an object, signed with the hash of what is sent.  Their answers are judged
 * by the status alone; the XML of an error is not read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "core/secret_file.h"
#include "worker/endpoint_settings.h"
#include "worker/job.h"
#include "worker/object_store.h"

#define CREDENTIALS			"padlock.s3_credentials_file"
#define TRIES				3
#define MAX_KEY				400
#define PUT_GRACE_MS		2000	/* to hand over the bytes, and to stop a helper */

static void
require_setting(const char *value, const char *name)
{
	if (value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("%s is not set", name)));
}

/* The URL of an object: the bucket is in the host, or in the path. */
static char *
object_url(const char *key)
{
	const char *host = strstr(padlock_s3_url, "://") + 3;

	if (padlock_s3_path_style)
		return psprintf("%s/%s/%s", padlock_s3_url, padlock_s3_bucket, key);
	return psprintf("%.*s%s.%s/%s", (int) (host - padlock_s3_url), padlock_s3_url,
					padlock_s3_bucket, host, key);
}

/* Make a request about an object. */
static PadlockAnswer *
call_store(const pg_uuid_t *job, PadlockCall *call, const char *key)
{
	PadlockAwsKey *aws;
	PadlockAnswer *volatile answer = NULL;

	if (!padlock_text_of(key, strlen(key), PADLOCK_ALNUM "-._/", MAX_KEY) || key[0] == '/' ||
		strstr(key, "..") != NULL || strstr(key, "//") != NULL)
		padlock_job_refuse("an object cannot have that key");
	require_setting(padlock_s3_url, "padlock.s3_url");
	require_setting(padlock_s3_bucket, "padlock.s3_bucket");
	require_setting(padlock_s3_credentials_file, CREDENTIALS);
	if (padlock_s3_ca_file[0] != '\0')
		call->ca = padlock_read_public_file(padlock_s3_ca_file, "padlock.s3_ca_file",
											PADLOCK_WIRE_MAX_CA);
	aws = padlock_read_aws_key(padlock_s3_credentials_file, CREDENTIALS);
	PG_TRY();
	{
		call->url = object_url(key);
		call->aws = aws;
		call->aws_region = padlock_s3_region;
		call->aws_service = "s3";
		call->timeout_ms = padlock_s3_timeout;
		call->tries = TRIES;
		answer = padlock_call(job, call);
	}
	PG_FINALLY();
	{
		padlock_wipe_aws_key(aws);
	}
	PG_END_TRY();
	return answer;
}

/*
 * Raise the error for an answer that is not a good one.  Nothing is lost by
 * trying again what the operator may mend (rights, a bucket, a setting), so
 * only a missing object and one that is too large fail for good.  What may be
 * about this object alone has another code than what is about the store.
 */
static void
refuse(const PadlockAnswer *answer)
{
	if (answer->outcome == WIRE_TOO_LARGE)
		padlock_job_refuse("the object in the store is larger than any that was put there");
	if (answer->outcome == WIRE_HTTP_ERROR)
		ereport(ERROR,
				(errcode(answer->http_status >= 500 || answer->http_status == 429 ?
						 ERRCODE_CONNECTION_FAILURE : ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("the object store refused the request with status %u",
						answer->http_status)));
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("the object store could not be asked: %s", answer->detail)));
}

void
padlock_object_put(const pg_uuid_t *job, const char *key, const void *bytes, size_t length)
{
	PadlockCall call = {0};
	PadlockAnswer *answer;

	call.method = "PUT";
	call.headers = list_make1("Content-Type: application/octet-stream");
	call.body = bytes;
	call.body_length = length;
	answer = call_store(job, &call, key);
	if (answer->outcome != WIRE_OK)
		refuse(answer);
}

int64
padlock_object_put_limit(void)
{
	return TRIES * ((int64) padlock_s3_timeout + PADLOCK_CALL_GRACE_MS) + PUT_GRACE_MS;
}

bytea *
padlock_object_get(const pg_uuid_t *job, const char *key, size_t max)
{
	PadlockCall call = {0};
	PadlockAnswer *answer;

	call.method = "GET";
	call.max_bytes = max;
	answer = call_store(job, &call, key);
	if (answer->outcome == WIRE_HTTP_ERROR && answer->http_status == 404)
		return NULL;
	if (answer->outcome != WIRE_OK)
		refuse(answer);
	return padlock_helper_read_bytes(answer->body);
}

void
padlock_object_erase(const pg_uuid_t *job, const char *key)
{
	PadlockCall call = {0};
	PadlockAnswer *answer;

	call.method = "DELETE";
	answer = call_store(job, &call, key);
	if (answer->outcome != WIRE_OK &&
		(answer->outcome != WIRE_HTTP_ERROR || answer->http_status != 404))
		refuse(answer);
}

/* One request of a test; whatever the store has against it is about the store. */
static void
test_request(const pg_uuid_t *job, const char *method, const char *key)
{
	static const char content[] = "test";
	PadlockCall call = {0};
	PadlockAnswer *answer;

	call.method = method;
	call.max_bytes = sizeof(content);
	if (strcmp(method, "PUT") == 0)
	{
		call.headers = list_make1("Content-Type: application/octet-stream");
		call.body = content;
		call.body_length = strlen(content);
	}
	answer = call_store(job, &call, key);
	if (answer->outcome == WIRE_HTTP_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the object store refused a test (%s) with status %u: see to the padlock.s3 settings, the access key and its rights",
						method, answer->http_status)));
	if (answer->outcome != WIRE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the object store failed a test (%s): %s", method, answer->detail)));
}

void
padlock_object_test_store(const pg_uuid_t *job)
{
	char	   *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(job)));
	char	   *key = psprintf("%s%s/%s", padlock_s3_prefix, id, id);

	test_request(job, "PUT", key);
	test_request(job, "GET", key);
	test_request(job, "DELETE", key);
}
