
-- Who has an account.
CREATE TABLE @extschema@.users (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    email text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.users IS 'padlock: accounts; policies, claims, documents and admins refer to them';
CREATE UNIQUE INDEX users_email_key ON @extschema@.users (pg_catalog.lower(email));
ALTER TABLE @extschema@.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.users FORCE ROW LEVEL SECURITY;
CREATE POLICY users_select ON @extschema@.users FOR SELECT TO authenticated, service_role
    USING (id BETWEEN padlock.scope_low() AND padlock.scope_high());
CREATE POLICY users_insert ON @extschema@.users FOR INSERT TO authenticated, service_role
    WITH CHECK (padlock.is_privileged());
CREATE POLICY users_update ON @extschema@.users FOR UPDATE TO authenticated, service_role
    USING (padlock.may_manage_user(id)) WITH CHECK (padlock.may_manage_user(id));
CREATE POLICY users_delete ON @extschema@.users FOR DELETE TO authenticated, service_role
    USING (padlock.may_manage_user(id));
REVOKE ALL ON TABLE @extschema@.users FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.users TO authenticated, service_role;
CREATE TRIGGER users_touch BEFORE UPDATE ON @extschema@.users FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();

-- Who runs the marketplace.  An admin's account cannot be deleted before a
-- super admin has ended the office: a cascade would look past row security.
CREATE TABLE @extschema@.admin_users (
    id uuid PRIMARY KEY,
    role text NOT NULL DEFAULT 'admin' CONSTRAINT admin_users_role CHECK (role IN ('admin', 'super_admin')),
    permissions jsonb NOT NULL DEFAULT '[]'
        CONSTRAINT admin_users_permissions CHECK (pg_catalog.jsonb_typeof(permissions) = 'array'),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE @extschema@.admin_users ADD CONSTRAINT admin_users_id_fkey FOREIGN KEY (id) REFERENCES @extschema@.users (id);
COMMENT ON TABLE @extschema@.admin_users IS 'padlock: users who are admins';
COMMENT ON COLUMN @extschema@.admin_users.permissions IS 'for the application: padlock gives every admin the same rights';
ALTER TABLE @extschema@.admin_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.admin_users FORCE ROW LEVEL SECURITY;
CREATE POLICY admin_users_select ON @extschema@.admin_users FOR SELECT TO authenticated
    USING (padlock.is_admin());
CREATE POLICY admin_users_super ON @extschema@.admin_users FOR ALL TO authenticated
    USING (padlock.is_super_admin()) WITH CHECK (padlock.is_super_admin());
REVOKE ALL ON TABLE @extschema@.admin_users FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.admin_users TO authenticated;
CREATE TRIGGER admin_users_touch BEFORE UPDATE ON @extschema@.admin_users FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER admin_users_keep_super BEFORE UPDATE OR DELETE ON @extschema@.admin_users FOR EACH ROW EXECUTE FUNCTION padlock.keep_super_admin();
-- Of rows: logical replication fires no triggers of statements.
CREATE TRIGGER admin_users_forget AFTER INSERT OR UPDATE OR DELETE ON @extschema@.admin_users FOR EACH ROW EXECUTE FUNCTION padlock.forget_admins();
ALTER TABLE @extschema@.admin_users ENABLE ALWAYS TRIGGER admin_users_forget;
CREATE TRIGGER admin_users_forget_truncate AFTER TRUNCATE ON @extschema@.admin_users FOR EACH STATEMENT EXECUTE FUNCTION padlock.forget_admins();
ALTER TABLE @extschema@.admin_users ENABLE ALWAYS TRIGGER admin_users_forget_truncate;
CREATE TRIGGER admin_users_audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.admin_users FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER admin_users_audit_truncate AFTER TRUNCATE ON @extschema@.admin_users FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- API keys: only their hashes.  No role but the owner reads or writes here.
CREATE TABLE padlock.api_keys (
    key_hash bytea PRIMARY KEY CONSTRAINT api_keys_key_hash CHECK (pg_catalog.octet_length(key_hash) = 32),
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid() UNIQUE,
    company_id uuid NOT NULL,
    display text NOT NULL,
    label text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
COMMENT ON TABLE padlock.api_keys IS 'padlock: API keys of companies, stored as SHA-256 hashes';
COMMENT ON COLUMN padlock.api_keys.display IS 'prefix and last four characters, to recognise a key by';
COMMENT ON COLUMN padlock.api_keys.last_used_at IS 'written by a background worker every few seconds, not by the request';
CREATE INDEX api_keys_company_id_idx ON padlock.api_keys (company_id);
ALTER TABLE padlock.api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.api_keys FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.api_keys FROM PUBLIC, anon, authenticated, service_role;
-- Audited without the hash, and without the worker's writes of last_used_at.
CREATE TRIGGER api_keys_audit AFTER INSERT OR DELETE OR UPDATE OF key_hash, id, company_id, display, label, created_at, expires_at, revoked_at
    ON padlock.api_keys FOR EACH ROW EXECUTE FUNCTION padlock.audit_row('key_hash');
CREATE TRIGGER api_keys_audit_truncate AFTER TRUNCATE ON padlock.api_keys FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
