
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
    salt uuid DEFAULT pg_catalog.gen_random_uuid(),
    personal_digest bytea,
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE @extschema@.audit_logs IS 'padlock: who changed what, from where';
COMMENT ON COLUMN @extschema@.audit_logs.erased_at IS 'when padlock.forget_user() took the personal values out of the row';
COMMENT ON COLUMN @extschema@.audit_logs.salt IS 'hashed with the personal values, and erased with them, so that their digest tells nothing';
COMMENT ON COLUMN @extschema@.audit_logs.personal_digest IS 'stands for the personal values in the digest of the row once they are erased';
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

-- The seals of the trail; rows are only ever inserted.
CREATE TABLE padlock.audit_seals (
    number bigint PRIMARY KEY,
    sealed_at timestamptz NOT NULL,
    closed_until timestamptz NOT NULL,
    row_count integer NOT NULL,
    first_created_at timestamptz,
    last_created_at timestamptz,
    entries bytea NOT NULL,
    digest bytea NOT NULL
);
COMMENT ON TABLE padlock.audit_seals IS 'padlock: what the rows of audit_logs were when they were sealed';
COMMENT ON COLUMN padlock.audit_seals.closed_until IS 'every row from before this time is in this seal or an earlier one';
COMMENT ON COLUMN padlock.audit_seals.entries IS 'created_at (8 bytes), id (16) and digest (32) of each row: padlock.audit_entries()';
COMMENT ON COLUMN padlock.audit_seals.digest IS 'SHA-256 of this seal and the digest of the one before it';
CREATE INDEX audit_seals_last_created_at_idx ON padlock.audit_seals (last_created_at);
ALTER TABLE padlock.audit_seals ALTER COLUMN entries SET STORAGE EXTERNAL;
ALTER TABLE padlock.audit_seals ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.audit_seals FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.audit_seals FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE ON padlock.audit_seals FOR EACH ROW EXECUTE FUNCTION padlock.audit_refuse();
CREATE TRIGGER audit_seals_no_truncate BEFORE TRUNCATE ON padlock.audit_seals FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_refuse();
