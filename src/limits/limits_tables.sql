
-- What callers may do in a while; a row with a company holds for it alone.
CREATE TABLE @extschema@.rate_limit_rules (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    endpoint text NOT NULL CONSTRAINT rate_limit_rules_endpoint CHECK (pg_catalog.length(endpoint) BETWEEN 1 AND 40),
    caller text NOT NULL CONSTRAINT rate_limit_rules_caller CHECK (caller IN ('user', 'company', 'ip', 'admin', 'source', 'account', 'account_ip')),
    company_id uuid,
    max_requests integer NOT NULL CONSTRAINT rate_limit_rules_max_requests CHECK (max_requests >= 0),
    window_minutes integer NOT NULL DEFAULT 60
        CONSTRAINT rate_limit_rules_window_minutes CHECK (window_minutes BETWEEN 1 AND 527040),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT rate_limit_rules_endpoint_company_id_key UNIQUE NULLS NOT DISTINCT (endpoint, company_id)
);
COMMENT ON TABLE @extschema@.rate_limit_rules IS 'padlock: how often the endpoints may be called; an endpoint without a row is not limited';
COMMENT ON COLUMN @extschema@.rate_limit_rules.caller IS 'who counts as one caller: a signed-in user, a company by its key, an address, an admin, the address of a webhook''s source, the account that is tried, or the account from one address';
COMMENT ON COLUMN @extschema@.rate_limit_rules.company_id IS 'the company the rule is for, instead of the general one; NULL: everybody';
CREATE INDEX rate_limit_rules_company_id_idx ON @extschema@.rate_limit_rules (company_id);
ALTER TABLE @extschema@.rate_limit_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.rate_limit_rules FORCE ROW LEVEL SECURITY;
-- The limits that keep passwords from being guessed are for super admins: an
-- account that they guard may be one.
CREATE POLICY rate_limit_rules_select ON @extschema@.rate_limit_rules FOR SELECT TO authenticated, service_role
    USING (padlock.is_privileged());
CREATE POLICY rate_limit_rules_admin ON @extschema@.rate_limit_rules FOR ALL TO authenticated, service_role
    USING (padlock.is_privileged() AND endpoint NOT IN ('sign_up', 'sign_in', 'sign_in_failure', 'sign_in_failure_anywhere', 'sign_up_mail', 'reset_password_mail', 'change_email_mail', 'refresh_session',
        'confirm_email', 'request_password_reset', 'reset_password', 'change_password', 'change_email'))
    WITH CHECK (padlock.is_privileged() AND endpoint NOT IN ('sign_up', 'sign_in', 'sign_in_failure', 'sign_in_failure_anywhere', 'sign_up_mail', 'reset_password_mail', 'change_email_mail', 'refresh_session',
        'confirm_email', 'request_password_reset', 'reset_password', 'change_password', 'change_email'));
CREATE POLICY rate_limit_rules_super ON @extschema@.rate_limit_rules FOR ALL TO authenticated
    USING (padlock.is_super_admin()) WITH CHECK (padlock.is_super_admin());
REVOKE ALL ON TABLE @extschema@.rate_limit_rules FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.rate_limit_rules TO authenticated, service_role;
CREATE TRIGGER rate_limit_rules_check BEFORE INSERT OR UPDATE OF endpoint, caller ON @extschema@.rate_limit_rules FOR EACH ROW EXECUTE FUNCTION padlock.check_limit_rule();
CREATE TRIGGER rate_limit_rules_touch BEFORE UPDATE ON @extschema@.rate_limit_rules FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER rate_limit_rules_audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.rate_limit_rules FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER rate_limit_rules_audit_truncate AFTER TRUNCATE ON @extschema@.rate_limit_rules FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
-- Beyond the endpoints: the mails that anybody can have sent to an address, and
-- wrong passwords in a row.  Those from one place close an account to that
-- place only, so that nobody can lock its owner out from elsewhere.  A row that
-- is missing is put back by padlock.install().
INSERT INTO @extschema@.rate_limit_rules (endpoint, caller, max_requests, window_minutes)
SELECT endpoint, caller, max_requests, window_minutes
  FROM (VALUES ('product_create', 'company', 100, 60), ('product_update', 'company', 100, 60), ('product_search', 'ip', 1000, 60), ('suggest', 'ip', 10000, 60),
               ('company_onboard', 'admin', 10, 60), ('document_upload', 'user', 50, 60), ('document_put', 'user', 50, 60), ('document_content', 'user', 1000, 60), ('ai_product_ingest', 'source', 200, 60),
               ('sign_up', 'ip', 50, 60), ('sign_in', 'ip', 100, 60), ('refresh_session', 'ip', 1000, 60),
               ('confirm_email', 'ip', 100, 60), ('request_password_reset', 'ip', 50, 60), ('reset_password', 'ip', 100, 60),
               ('change_password', 'user', 20, 60), ('change_email', 'user', 20, 60), ('sign_out', 'user', 200, 60),
               ('list_sessions', 'user', 1000, 60), ('revoke_session', 'user', 200, 60),
               ('create_api_key', 'company', 100, 60), ('list_api_keys', 'company', 100, 60),
               ('rotate_api_key', 'company', 100, 60), ('revoke_api_key', 'company', 100, 60),
               ('sign_in_failure', 'account_ip', 10, 15), ('sign_in_failure_anywhere', 'account', 100, 60),
               ('sign_up_mail', 'account', 5, 60), ('reset_password_mail', 'account', 5, 60), ('change_email_mail', 'account', 5, 60))
       AS seed(endpoint, caller, max_requests, window_minutes)
 WHERE NOT EXISTS (SELECT FROM @extschema@.rate_limit_rules r WHERE r.endpoint = seed.endpoint AND r.company_id IS NULL);

-- What the limiter holds, live.
CREATE VIEW @extschema@.rate_limits WITH (security_invoker = true) AS
    SELECT id, identifier, endpoint, request_count, window_start, created_at FROM padlock.rate_limit_keys();
COMMENT ON VIEW @extschema@.rate_limits IS 'padlock: what the rate limiter holds, live; rows for admins and service_role';
REVOKE ALL ON TABLE @extschema@.rate_limits FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT ON TABLE @extschema@.rate_limits TO authenticated, service_role;
