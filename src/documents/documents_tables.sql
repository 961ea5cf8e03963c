
CREATE TYPE @extschema@.claim_status_enum AS ENUM ('pending', 'approved', 'rejected', 'processing');
COMMENT ON TYPE @extschema@.claim_status_enum IS 'padlock: states of a claim';
CREATE TYPE @extschema@.document_type_enum AS ENUM ('policy', 'receipt', 'id', 'claim', 'other');
COMMENT ON TYPE @extschema@.document_type_enum IS 'padlock: kinds of documents';

-- What a policy holder has: policies, claims on them, documents.
CREATE TABLE @extschema@.policies (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid NOT NULL,
    policy_type @extschema@.policy_type_enum,
    policy_number text,
    premium_amount numeric,
    start_date date,
    end_date date,
    status text,
    document_url text,
    ai_summary text,
    coverage_summary text,
    fine_print_summary text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT policies_owner_key UNIQUE (id, user_id)
);
ALTER TABLE @extschema@.policies ADD CONSTRAINT policies_user_id_fkey FOREIGN KEY (user_id) REFERENCES @extschema@.users (id) ON DELETE CASCADE;
COMMENT ON TABLE @extschema@.policies IS 'padlock: insurance policies that users hold';
CREATE INDEX policies_user_id_idx ON @extschema@.policies (user_id);
CREATE INDEX policies_policy_type_idx ON @extschema@.policies (policy_type);
CREATE INDEX policies_status_idx ON @extschema@.policies (status);
CREATE INDEX policies_created_at_idx ON @extschema@.policies (created_at);
ALTER TABLE @extschema@.policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.policies FORCE ROW LEVEL SECURITY;
CREATE POLICY policies_own ON @extschema@.policies FOR ALL TO authenticated, service_role
    USING (user_id BETWEEN padlock.scope_low() AND padlock.scope_high())
    WITH CHECK (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
REVOKE ALL ON TABLE @extschema@.policies FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.policies TO authenticated, service_role;
CREATE TRIGGER policies_guard BEFORE INSERT OR UPDATE ON @extschema@.policies FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'ai_summary', 'coverage_summary', 'fine_print_summary');
CREATE TRIGGER policies_touch BEFORE UPDATE ON @extschema@.policies FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER policies_audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.policies FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER policies_audit_truncate AFTER TRUNCATE ON @extschema@.policies FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- A claim refers to a policy together with its owner: foreign keys look past
-- row security, and with the id alone one could probe for others' policies.
CREATE TABLE @extschema@.claims (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid NOT NULL,
    policy_id uuid,
    claim_reason text,
    claim_amount numeric,
    claim_status @extschema@.claim_status_enum NOT NULL DEFAULT 'pending',
    claim_documents text,
    ai_risk_score numeric,
    risk_factors text[],
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE @extschema@.claims ADD CONSTRAINT claims_policy_fkey FOREIGN KEY (policy_id, user_id) REFERENCES @extschema@.policies (id, user_id);
ALTER TABLE @extschema@.claims ADD CONSTRAINT claims_user_id_fkey FOREIGN KEY (user_id) REFERENCES @extschema@.users (id) ON DELETE CASCADE;
COMMENT ON TABLE @extschema@.claims IS 'padlock: claims on policies';
CREATE INDEX claims_user_id_idx ON @extschema@.claims (user_id);
CREATE INDEX claims_policy_idx ON @extschema@.claims (policy_id, user_id);
CREATE INDEX claims_status_idx ON @extschema@.claims (claim_status);
CREATE INDEX claims_created_at_idx ON @extschema@.claims (created_at);
ALTER TABLE @extschema@.claims ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.claims FORCE ROW LEVEL SECURITY;
CREATE POLICY claims_select ON @extschema@.claims FOR SELECT TO authenticated, service_role
    USING (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
CREATE POLICY claims_insert ON @extschema@.claims FOR INSERT TO authenticated, service_role
    WITH CHECK (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
CREATE POLICY claims_update ON @extschema@.claims FOR UPDATE TO authenticated, service_role
    USING (user_id BETWEEN padlock.scope_low() AND padlock.scope_high())
    WITH CHECK (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
CREATE POLICY claims_delete ON @extschema@.claims FOR DELETE TO authenticated, service_role
    USING (padlock.is_privileged());
REVOKE ALL ON TABLE @extschema@.claims FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.claims TO authenticated, service_role;
CREATE TRIGGER claims_guard BEFORE INSERT OR UPDATE ON @extschema@.claims FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'claim_status', 'ai_risk_score', 'risk_factors');
CREATE TRIGGER claims_touch BEFORE UPDATE ON @extschema@.claims FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER claims_audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.claims FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER claims_audit_truncate AFTER TRUNCATE ON @extschema@.claims FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

CREATE TABLE @extschema@.documents (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    user_id uuid NOT NULL,
    title text,
    description text,
    document_type @extschema@.document_type_enum,
    document_category text,
    file_url text,
    file_size integer,
    is_encrypted boolean NOT NULL DEFAULT false,
    encryption_key_id text,
    encryption_algorithm text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    content_type text,
    extraction_status text NOT NULL DEFAULT 'none'
        CONSTRAINT documents_extraction_status CHECK (extraction_status IN ('none', 'pending', 'done', 'failed')),
    extraction_error text,
    extracted_text text,
    page_count integer,
    extracted_at timestamptz,
    encrypt boolean NOT NULL DEFAULT false,
    encryption_status text NOT NULL DEFAULT 'none'
        CONSTRAINT documents_encryption_status CHECK (encryption_status IN ('none', 'pending', 'sealed', 'failed')),
    encryption_error text,
    -- what document_upload promises holds for writes to the table as well
    CONSTRAINT documents_title_length CHECK (pg_catalog.length(title) BETWEEN 1 AND 200),
    CONSTRAINT documents_description_length CHECK (pg_catalog.length(description) <= 5000),
    CONSTRAINT documents_category_length CHECK (pg_catalog.length(document_category) <= 100),
    CONSTRAINT documents_file_url CHECK (file_url ~* '^https?://' AND pg_catalog.length(file_url) <= 2000),
    CONSTRAINT documents_file_size CHECK (file_size BETWEEN 0 AND 104857600),
    CONSTRAINT documents_content_type_length CHECK (pg_catalog.length(content_type) <= 200)
);
ALTER TABLE @extschema@.documents ADD CONSTRAINT documents_user_id_fkey FOREIGN KEY (user_id) REFERENCES @extschema@.users (id) ON DELETE CASCADE;
COMMENT ON TABLE @extschema@.documents IS 'padlock: documents of users';
COMMENT ON COLUMN @extschema@.documents.content_type IS 'media type as the uploader declared it: tells a PDF whose URL does not';
COMMENT ON COLUMN @extschema@.documents.extraction_status IS 'none: no text to extract; pending: a job is to do it; done; failed: see extraction_error';
COMMENT ON COLUMN @extschema@.documents.extraction_error IS 'why the last extraction failed';
COMMENT ON COLUMN @extschema@.documents.extracted_text IS 'the text of the file, pages separated by form feeds';
COMMENT ON COLUMN @extschema@.documents.page_count IS 'pages of the file, once extracted';
COMMENT ON COLUMN @extschema@.documents.extracted_at IS 'when the text was extracted';
COMMENT ON COLUMN @extschema@.documents.encrypt IS 'the content is to be stored encrypted only; is_encrypted says that it is';
COMMENT ON COLUMN @extschema@.documents.encryption_status IS 'none: not asked for; pending: waits for its bytes; sealed; failed: see encryption_error';
COMMENT ON COLUMN @extschema@.documents.encryption_error IS 'why the last attempt to fetch and seal it failed';
CREATE INDEX documents_user_id_idx ON @extschema@.documents (user_id);
CREATE INDEX documents_document_type_idx ON @extschema@.documents (document_type);
CREATE INDEX documents_extraction_status_idx ON @extschema@.documents (extraction_status, user_id) WHERE extraction_status IN ('pending', 'failed');
CREATE INDEX documents_encryption_status_idx ON @extschema@.documents (encryption_status, user_id) WHERE encryption_status IN ('pending', 'failed');
CREATE INDEX documents_encryption_key_id_idx ON @extschema@.documents (encryption_key_id, id) WHERE encryption_key_id IS NOT NULL;
CREATE INDEX documents_created_at_idx ON @extschema@.documents (created_at);
ALTER TABLE @extschema@.documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.documents FORCE ROW LEVEL SECURITY;
CREATE POLICY documents_own ON @extschema@.documents FOR ALL TO authenticated, service_role
    USING (user_id BETWEEN padlock.scope_low() AND padlock.scope_high())
    WITH CHECK (user_id BETWEEN padlock.scope_low() AND padlock.scope_high());
REVOKE ALL ON TABLE @extschema@.documents FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.documents TO authenticated, service_role;
CREATE TRIGGER documents_guard BEFORE INSERT OR UPDATE ON @extschema@.documents FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'is_encrypted', 'encryption_key_id', 'encryption_algorithm',
        'extraction_status', 'extraction_error', 'extracted_text', 'page_count', 'extracted_at', 'encryption_status', 'encryption_error');
CREATE TRIGGER documents_pending BEFORE INSERT ON @extschema@.documents FOR EACH ROW EXECUTE FUNCTION padlock.queue_document();
CREATE TRIGGER documents_queue AFTER INSERT ON @extschema@.documents FOR EACH ROW EXECUTE FUNCTION padlock.queue_document();
CREATE TRIGGER documents_seal AFTER UPDATE ON @extschema@.documents FOR EACH ROW
    WHEN (NEW.encryption_status = 'pending' AND OLD.encryption_status <> 'pending') EXECUTE FUNCTION padlock.queue_document();
CREATE TRIGGER documents_keep BEFORE UPDATE ON @extschema@.documents FOR EACH ROW EXECUTE FUNCTION padlock.keep_document();
CREATE TRIGGER documents_audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.documents FOR EACH ROW EXECUTE FUNCTION padlock.audit_row('extracted_text');
CREATE TRIGGER documents_audit_truncate AFTER TRUNCATE ON @extschema@.documents FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();

-- What documents hold, apart from their rows, which users select and write
-- whole.  No role but the owner reads or writes here.
CREATE TABLE padlock.document_contents (
    document_id uuid PRIMARY KEY REFERENCES @extschema@.documents (id) ON DELETE CASCADE,
    content bytea,
    text bytea,
    text_key_id text,
    object_key text,
    object_hash bytea,
    asked_at timestamptz,
    put_key text,
    put_until timestamptz,
    version integer NOT NULL DEFAULT 1,
    fetch_error text,
    CONSTRAINT document_contents_somewhere CHECK (content IS NOT NULL OR object_key IS NOT NULL)
);
COMMENT ON TABLE padlock.document_contents IS 'padlock: contents of documents, sealed where documents.is_encrypted says so';
COMMENT ON COLUMN padlock.document_contents.content IS 'NULL while it is in the object store alone';
COMMENT ON COLUMN padlock.document_contents.object_key IS 'its name in the object store, where it is';
COMMENT ON COLUMN padlock.document_contents.object_hash IS 'SHA-256 of the object';
COMMENT ON COLUMN padlock.document_contents.asked_at IS 'when a content in the object store was last asked for or fetched';
COMMENT ON COLUMN padlock.document_contents.put_key IS 'the name of the object that an attempt to move it writes, or wrote without coming to its end';
COMMENT ON COLUMN padlock.document_contents.put_until IS 'by when that attempt has written it or never will';
COMMENT ON COLUMN padlock.document_contents.version IS 'counts the contents that the document has had, not how they were sealed: a text is of the one that it was taken from';
COMMENT ON COLUMN padlock.document_contents.fetch_error IS 'why a content in the object store could not be fetched, if the last attempt was in vain';
CREATE UNIQUE INDEX document_contents_put_key_idx ON padlock.document_contents (put_key) WHERE put_key IS NOT NULL;
CREATE UNIQUE INDEX document_contents_object_key_idx ON padlock.document_contents (object_key) WHERE object_key IS NOT NULL;
COMMENT ON COLUMN padlock.document_contents.text IS 'the text extracted from an encrypted document, sealed too; of others it is documents.extracted_text';
COMMENT ON COLUMN padlock.document_contents.text_key_id IS 'key that the text is sealed under: until a rotation has sealed both anew it may be newer than the content''s';
CREATE INDEX document_contents_text_key_idx ON padlock.document_contents (text_key_id) WHERE text_key_id IS NOT NULL;
-- sealed bytes do not compress
ALTER TABLE padlock.document_contents ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE padlock.document_contents ALTER COLUMN text SET STORAGE EXTERNAL;
ALTER TABLE padlock.document_contents ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.document_contents FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.document_contents FROM PUBLIC, anon, authenticated, service_role;
-- Contents move to the object store and back; objects that no row names are erased.
CREATE TRIGGER documents_place AFTER UPDATE ON @extschema@.documents FOR EACH ROW
    WHEN (NEW.is_encrypted AND NEW.extraction_status <> 'pending') EXECUTE FUNCTION padlock.place_document();
CREATE TRIGGER document_contents_object AFTER UPDATE OR DELETE ON padlock.document_contents FOR EACH ROW
    WHEN (OLD.object_key IS NOT NULL OR OLD.put_key IS NOT NULL) EXECUTE FUNCTION padlock.drop_object();
CREATE TRIGGER document_contents_truncate BEFORE TRUNCATE ON padlock.document_contents FOR EACH STATEMENT EXECUTE FUNCTION padlock.drop_object();
-- A key that is replaced has its documents sealed anew; one that documents need is not destroyed.
CREATE TRIGGER keys_documents AFTER UPDATE ON padlock.keys FOR EACH ROW
    WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION padlock.keep_document_key();
