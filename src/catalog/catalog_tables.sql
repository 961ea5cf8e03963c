
CREATE TYPE @extschema@.policy_type_enum AS ENUM ('health', 'auto', 'life', 'home', 'other');
COMMENT ON TYPE @extschema@.policy_type_enum IS 'padlock: kinds of insurance';

CREATE TABLE @extschema@.insurance_companies (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    name text NOT NULL CONSTRAINT insurance_companies_name_key UNIQUE
        CONSTRAINT insurance_companies_name_length CHECK (pg_catalog.length(name) BETWEEN 1 AND 200),
    description text,
    logo_url text,
    website text,
    contact_email text,
    contact_phone text,
    address text,
    country text,
    is_active boolean NOT NULL DEFAULT true,
    api_key text,
    business_registration_number text,
    license_number text,
    regulatory_body text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    -- what company_onboard promises holds for writes to the table as well
    CONSTRAINT insurance_companies_description_length CHECK (pg_catalog.length(description) <= 5000),
    CONSTRAINT insurance_companies_logo_url CHECK (logo_url ~* '^https?://' AND pg_catalog.length(logo_url) <= 2000),
    CONSTRAINT insurance_companies_website CHECK (website ~* '^https?://' AND pg_catalog.length(website) <= 2000),
    CONSTRAINT insurance_companies_contact_email CHECK (contact_email ~ '^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$' AND pg_catalog.length(contact_email) <= 254),
    CONSTRAINT insurance_companies_contact_phone CHECK (pg_catalog.length(contact_phone) BETWEEN 5 AND 20),
    CONSTRAINT insurance_companies_address_length CHECK (pg_catalog.length(address) <= 500),
    CONSTRAINT insurance_companies_country CHECK (country ~ '^[A-Z]{2}$')
);
COMMENT ON TABLE @extschema@.insurance_companies IS 'padlock: insurers of the marketplace';
COMMENT ON COLUMN @extschema@.insurance_companies.api_key IS 'how the newest API key is shown: its prefix and last four characters, never the key';
-- One company, whatever the letter case and the spaces of its name.
CREATE UNIQUE INDEX insurance_companies_same_name_key ON @extschema@.insurance_companies
    (pg_catalog.lower(pg_catalog.regexp_replace(pg_catalog.btrim(name), '[[:space:]]+', ' ', 'g')));
CREATE INDEX insurance_companies_active_idx ON @extschema@.insurance_companies (is_active);
ALTER TABLE @extschema@.insurance_companies ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.insurance_companies FORCE ROW LEVEL SECURITY;
CREATE POLICY insurance_companies_select ON @extschema@.insurance_companies FOR SELECT TO anon, authenticated, service_role
    USING (id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_companies_update ON @extschema@.insurance_companies FOR UPDATE TO anon, authenticated, service_role
    USING (id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high())
    WITH CHECK (id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_companies_insert ON @extschema@.insurance_companies FOR INSERT TO authenticated, service_role
    WITH CHECK (padlock.is_privileged());
CREATE POLICY insurance_companies_delete ON @extschema@.insurance_companies FOR DELETE TO authenticated, service_role
    USING (padlock.is_privileged());
REVOKE ALL ON TABLE @extschema@.insurance_companies FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, UPDATE ON TABLE @extschema@.insurance_companies TO anon;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.insurance_companies TO authenticated, service_role;
-- The name too: renaming to one that is taken would tell of a company that is hidden.
CREATE TRIGGER insurance_companies_guard BEFORE INSERT OR UPDATE ON @extschema@.insurance_companies FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'name', 'is_active', 'api_key', 'business_registration_number', 'license_number', 'regulatory_body');
CREATE TRIGGER insurance_companies_touch BEFORE UPDATE ON @extschema@.insurance_companies FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER insurance_companies_audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.insurance_companies FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER insurance_companies_audit_truncate AFTER TRUNCATE ON @extschema@.insurance_companies FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
ALTER TABLE padlock.api_keys ADD CONSTRAINT api_keys_company_id_fkey FOREIGN KEY (company_id) REFERENCES @extschema@.insurance_companies (id) ON DELETE CASCADE;
ALTER TABLE @extschema@.rate_limit_rules ADD CONSTRAINT rate_limit_rules_company_id_fkey FOREIGN KEY (company_id) REFERENCES @extschema@.insurance_companies (id) ON DELETE CASCADE;

CREATE TABLE @extschema@.insurance_products (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    company_id uuid NOT NULL,
    product_name text NOT NULL,
    product_code text,
    policy_type @extschema@.policy_type_enum NOT NULL,
    description text,
    coverage_details jsonb,
    premium_amount numeric NOT NULL,
    currency text NOT NULL DEFAULT 'GBP',
    billing_frequency text NOT NULL DEFAULT 'monthly'
        CONSTRAINT insurance_products_billing_frequency CHECK (billing_frequency IN ('monthly', 'quarterly', 'annually')),
    coverage_limits jsonb,
    deductible numeric,
    benefits jsonb,
    exclusions jsonb,
    is_active boolean NOT NULL DEFAULT true,
    available_countries text[],
    minimum_age integer,
    maximum_age integer,
    product_image_url text,
    brochure_url text,
    terms_url text,
    search_keywords text[],
    ai_tags text[],
    popularity_score integer NOT NULL DEFAULT 0,
    last_crawled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    source_url text,
    provenance jsonb NOT NULL DEFAULT '{}',
    language text NOT NULL DEFAULT 'english'
        CONSTRAINT insurance_products_language CHECK (language IN ('simple', 'arabic', 'armenian', 'basque', 'catalan', 'danish',
            'dutch', 'english', 'finnish', 'french', 'german', 'greek', 'hindi', 'hungarian', 'indonesian', 'irish', 'italian',
            'lithuanian', 'nepali', 'norwegian', 'portuguese', 'romanian', 'russian', 'serbian', 'spanish', 'swedish', 'tamil',
            'turkish', 'yiddish')),
    CONSTRAINT insurance_products_code_key UNIQUE (company_id, product_code),
    -- what the endpoints promise holds for writes to the table as well
    CONSTRAINT insurance_products_name_length CHECK (pg_catalog.length(product_name) BETWEEN 1 AND 200),
    CONSTRAINT insurance_products_code_length CHECK (pg_catalog.length(product_code) BETWEEN 1 AND 50),
    CONSTRAINT insurance_products_description_length CHECK (pg_catalog.length(description) <= 5000),
    CONSTRAINT insurance_products_premium CHECK (premium_amount > 0 AND premium_amount <= 1000000),
    CONSTRAINT insurance_products_deductible CHECK (deductible BETWEEN 0 AND 1000000),
    CONSTRAINT insurance_products_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT insurance_products_popularity CHECK (popularity_score BETWEEN 0 AND 100),
    CONSTRAINT insurance_products_age_range CHECK (minimum_age >= 0 AND maximum_age <= 150),
    CONSTRAINT insurance_products_image_url CHECK (product_image_url ~* '^https?://' AND pg_catalog.length(product_image_url) <= 2000),
    CONSTRAINT insurance_products_brochure_url CHECK (brochure_url ~* '^https?://' AND pg_catalog.length(brochure_url) <= 2000),
    CONSTRAINT insurance_products_terms_url CHECK (terms_url ~* '^https?://' AND pg_catalog.length(terms_url) <= 2000),
    CONSTRAINT insurance_products_lists CHECK (
        pg_catalog.cardinality(search_keywords) <= 200 AND pg_catalog.length(pg_catalog.array_to_string(search_keywords, '')) <= 20000 AND
        pg_catalog.cardinality(ai_tags) <= 200 AND pg_catalog.length(pg_catalog.array_to_string(ai_tags, '')) <= 20000 AND
        pg_catalog.cardinality(available_countries) <= 200 AND pg_catalog.array_to_string(available_countries, ',') ~ '^([A-Z]{2}(,[A-Z]{2})*)?$'),
    CONSTRAINT insurance_products_provenance CHECK (pg_catalog.jsonb_typeof(provenance) = 'object'),
    CONSTRAINT insurance_products_objects CHECK (
        pg_catalog.jsonb_typeof(coverage_details) = 'object' AND pg_catalog.jsonb_typeof(coverage_limits) = 'object' AND
        pg_catalog.jsonb_typeof(benefits) = 'object' AND pg_catalog.jsonb_typeof(exclusions) = 'object'),
    CONSTRAINT insurance_products_object_sizes CHECK (
        pg_catalog.octet_length(coverage_details::text) <= 65536 AND pg_catalog.octet_length(coverage_limits::text) <= 65536 AND
        pg_catalog.octet_length(benefits::text) <= 65536 AND pg_catalog.octet_length(exclusions::text) <= 65536),
    CONSTRAINT insurance_products_ages CHECK (minimum_age <= maximum_age)
);
ALTER TABLE @extschema@.insurance_products ADD CONSTRAINT insurance_products_company_id_fkey FOREIGN KEY (company_id) REFERENCES @extschema@.insurance_companies (id) ON DELETE CASCADE;
COMMENT ON TABLE @extschema@.insurance_products IS 'padlock: what insurers offer';
COMMENT ON COLUMN @extschema@.insurance_products.source_url IS 'the page a crawled product was found on, to find it there again';
COMMENT ON COLUMN @extschema@.insurance_products.language IS 'of the texts: the text search configuration by which search stems them';
COMMENT ON COLUMN @extschema@.insurance_products.provenance IS 'for each field that a crawl filled: source, url, at; a field without an entry was set by the insurer';
CREATE INDEX insurance_products_policy_type_idx ON @extschema@.insurance_products (policy_type);
CREATE INDEX insurance_products_offer_idx ON @extschema@.insurance_products (policy_type, premium_amount) WHERE is_active;
CREATE INDEX insurance_products_popularity_idx ON @extschema@.insurance_products (popularity_score DESC, id) WHERE is_active;
CREATE INDEX insurance_products_created_at_idx ON @extschema@.insurance_products (created_at);
CREATE INDEX insurance_products_crawled_idx ON @extschema@.insurance_products (last_crawled_at);
CREATE INDEX insurance_products_source_url_idx ON @extschema@.insurance_products (company_id, source_url);
CREATE INDEX insurance_products_keywords_idx ON @extschema@.insurance_products USING gin (search_keywords);
CREATE INDEX insurance_products_tags_idx ON @extschema@.insurance_products USING gin (ai_tags);
CREATE INDEX insurance_products_coverage_idx ON @extschema@.insurance_products USING gin (coverage_details);
CREATE INDEX insurance_products_benefits_idx ON @extschema@.insurance_products USING gin (benefits);
CREATE INDEX insurance_products_exclusions_idx ON @extschema@.insurance_products USING gin (exclusions);
ALTER TABLE @extschema@.insurance_products ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.insurance_products FORCE ROW LEVEL SECURITY;
CREATE POLICY insurance_products_public ON @extschema@.insurance_products FOR SELECT TO anon, authenticated, service_role
    USING (is_active AND padlock.company_is_active(company_id));
CREATE POLICY insurance_products_own ON @extschema@.insurance_products FOR SELECT TO anon, authenticated, service_role
    USING (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_products_insert ON @extschema@.insurance_products FOR INSERT TO anon, authenticated, service_role
    WITH CHECK (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_products_update ON @extschema@.insurance_products FOR UPDATE TO anon, authenticated, service_role
    USING (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high())
    WITH CHECK (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
CREATE POLICY insurance_products_delete ON @extschema@.insurance_products FOR DELETE TO anon, authenticated, service_role
    USING (company_id BETWEEN padlock.company_scope_low() AND padlock.company_scope_high());
REVOKE ALL ON TABLE @extschema@.insurance_products FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.insurance_products TO anon, authenticated, service_role;
CREATE TRIGGER insurance_products_guard BEFORE INSERT OR UPDATE ON @extschema@.insurance_products FOR EACH ROW
    EXECUTE FUNCTION padlock.guard_columns('id', 'last_crawled_at', 'source_url', 'provenance');
CREATE TRIGGER insurance_products_provenance BEFORE UPDATE ON @extschema@.insurance_products FOR EACH ROW
    WHEN (NEW.provenance <> '{}' AND NEW.provenance = OLD.provenance) EXECUTE FUNCTION padlock.drop_provenance();
CREATE TRIGGER insurance_products_touch BEFORE UPDATE ON @extschema@.insurance_products FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER insurance_products_audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.insurance_products FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER insurance_products_audit_truncate AFTER TRUNCATE ON @extschema@.insurance_products FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
