CREATE FUNCTION @extschema@.check_rate_limit(identifier_val text, endpoint_val text,
    max_requests integer DEFAULT 100, window_minutes integer DEFAULT 60) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_check_rate_limit';
REVOKE ALL ON FUNCTION @extschema@.check_rate_limit(text, text, integer, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION @extschema@.check_rate_limit(text, text, integer, integer) TO service_role;
COMMENT ON FUNCTION @extschema@.check_rate_limit(text, text, integer, integer) IS 'Count a request; false when max_requests in window_minutes are used up';

CREATE FUNCTION padlock.check_rate_limit(identifier_val text, endpoint_val text,
    max_requests integer DEFAULT 100, window_minutes integer DEFAULT 60,
    OUT allowed boolean, OUT remaining integer, OUT reset_seconds integer, OUT retry_after_seconds integer)
LANGUAGE C VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'padlock_check_rate_limit_detail';
REVOKE ALL ON FUNCTION padlock.check_rate_limit(text, text, integer, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.check_rate_limit(text, text, integer, integer) TO service_role;
COMMENT ON FUNCTION padlock.check_rate_limit(text, text, integer, integer) IS 'Count a request; tells also how many are left and how long to wait';

CREATE FUNCTION padlock.reset_rate_limit(identifier_val text, endpoint_val text) RETURNS boolean
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'padlock_reset_rate_limit';
REVOKE ALL ON FUNCTION padlock.reset_rate_limit(text, text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.reset_rate_limit(text, text) TO service_role;
COMMENT ON FUNCTION padlock.reset_rate_limit(text, text) IS 'Forget what a caller has used of a limit';

CREATE FUNCTION padlock.rate_limit_keys(OUT id uuid, OUT identifier text, OUT endpoint text,
    OUT request_count integer, OUT window_start timestamptz, OUT created_at timestamptz) RETURNS SETOF record
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'padlock_rate_limit_keys';
REVOKE ALL ON FUNCTION padlock.rate_limit_keys() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.rate_limit_keys() TO authenticated, service_role;
COMMENT ON FUNCTION padlock.rate_limit_keys() IS 'What the limiter holds now, for admins, service_role and the owner';

CREATE FUNCTION padlock.rate_limit_stats(OUT keys integer, OUT max_keys integer, OUT allowed bigint,
    OUT refused bigint, OUT evicted bigint, OUT memory_bytes bigint)
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'padlock_rate_limit_stats';
REVOKE ALL ON FUNCTION padlock.rate_limit_stats() FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION padlock.rate_limit_stats() TO service_role, pg_monitor;
COMMENT ON FUNCTION padlock.rate_limit_stats() IS 'Counters of the limiter since the server''s start, and its size';

CREATE FUNCTION padlock.check_limit_rule() RETURNS trigger
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'padlock_check_limit_rule';
REVOKE ALL ON FUNCTION padlock.check_limit_rule() FROM PUBLIC, anon, authenticated, service_role;
COMMENT ON FUNCTION padlock.check_limit_rule() IS 'Trigger that refuses a limit of an endpoint that does not exist';
