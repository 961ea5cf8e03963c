
-- The audit trail, one partition a month; rows are only ever inserted.
CREATE TABLE @extschema@.audit_logs (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid,
    company_id uuid,
    action text NOT NULL,
    table_name text,
    record_id uuid,
    old_values jsonb,
    new_values jsonb,
    ip_address text,
    user_agent text,
    request_path text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    erased_at timestamptz,
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE @extschema@.audit_logs IS 'padlock: who changed what, from where';
COMMENT ON COLUMN @extschema@.audit_logs.erased_at IS 'when padlock.forget_user() took the personal values out of the row';
-- Holds the rows of months without a partition, so that no insert ever fails.
CREATE TABLE @extschema@.audit_logs_default PARTITION OF @extschema@.audit_logs DEFAULT;
COMMENT ON TABLE @extschema@.audit_logs_default IS 'padlock: audit rows of months without a partition';
CREATE INDEX audit_logs_user_id_idx ON @extschema@.audit_logs (user_id, created_at);
CREATE INDEX audit_logs_company_id_idx ON @extschema@.audit_logs (company_id, created_at);
CREATE INDEX audit_logs_record_id_idx ON @extschema@.audit_logs (record_id, created_at);
CREATE INDEX audit_logs_table_name_idx ON @extschema@.audit_logs (table_name, created_at);
ALTER TABLE @extschema@.audit_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.audit_logs FORCE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.audit_logs_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.audit_logs_default FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_logs_select ON @extschema@.audit_logs FOR SELECT TO authenticated
    USING (padlock.is_admin());
CREATE POLICY audit_logs_insert ON @extschema@.audit_logs FOR INSERT TO service_role
    WITH CHECK (padlock.is_service_role());
REVOKE ALL ON TABLE @extschema@.audit_logs FROM PUBLIC, anon, authenticated, service_role;
REVOKE ALL ON TABLE @extschema@.audit_logs_default FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT ON TABLE @extschema@.audit_logs TO authenticated;
GRANT INSERT ON TABLE @extschema@.audit_logs TO service_role;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON @extschema@.audit_logs FOR EACH ROW EXECUTE FUNCTION padlock.audit_refuse();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON @extschema@.audit_logs FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_refuse();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON @extschema@.audit_logs_default FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_refuse();
SELECT padlock.create_audit_partitions();
