-- The catalogs after CREATE EXTENSION: tables column by column, keys, indexes,
-- enums, markers, and whose the objects are.
BEGIN;
SELECT no_plan();
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = public, pgtap;

-- Our tables and partitions.
CREATE TEMP VIEW ours AS
    SELECT c.oid, c.relname AS name, c.relkind, c.relispartition, n.nspname AS schema, c.relrowsecurity, c.relforcerowsecurity
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('public', 'padlock') AND c.relkind IN ('r', 'p', 'v', 'm', 'f');

SELECT set_eq('SELECT schema || ''.'' || name FROM ours WHERE NOT relispartition',
              ARRAY['public.users', 'public.insurance_companies', 'public.insurance_products', 'public.policies', 'public.claims',
                    'public.documents', 'public.audit_logs', 'public.admin_users', 'public.job_queue', 'padlock.api_keys', 'padlock.email_templates', 'padlock.job_handlers',
                    'public.rate_limits', 'public.rate_limit_rules', 'padlock.credentials', 'padlock.sessions', 'padlock.one_time_tokens', 'padlock.keys', 'padlock.keyring_lock', 'padlock.document_contents', 'padlock.audit_seals',
                    'padlock.search_segments', 'padlock.search_blocks', 'padlock.search_changes', 'public.search_synonyms', 'public.search_log',

                    'padlock.jobs', 'padlock.jobs_1', 'padlock.job_outcomes', 'padlock.job_outcomes_1', 'padlock.job_generations', 'padlock.job_tallies',
                    'padlock.job_retention', 'padlock.job_types', 'padlock.job_counts', 'padlock.job_progress'],
              'the tables are these and no others');

-- Columns: name, type, "not null", default; what stands after the mark is ours.
CREATE TEMP TABLE wanted (name text, extra integer, columns text[]);
INSERT INTO wanted VALUES
('users', 0, ARRAY[
    'id uuid not null default gen_random_uuid()', 'email text not null',
    'created_at timestamp with time zone not null default now()', 'updated_at timestamp with time zone not null default now()']),
('insurance_companies', 0, ARRAY[
    'id uuid not null default gen_random_uuid()', 'name text not null', 'description text', 'logo_url text', 'website text',
    'contact_email text', 'contact_phone text', 'address text', 'country text', 'is_active boolean not null default true', 'api_key text',
    'business_registration_number text', 'license_number text', 'regulatory_body text',
    'created_at timestamp with time zone not null default now()', 'updated_at timestamp with time zone not null default now()']),
('insurance_products', 3, ARRAY[
    'id uuid not null default gen_random_uuid()', 'company_id uuid not null', 'product_name text not null', 'product_code text',
    'policy_type policy_type_enum not null', 'description text', 'coverage_details jsonb', 'premium_amount numeric not null',
    'currency text not null default ''GBP''::text', 'billing_frequency text not null default ''monthly''::text', 'coverage_limits jsonb',
    'deductible numeric', 'benefits jsonb', 'exclusions jsonb', 'is_active boolean not null default true', 'available_countries text[]',
    'minimum_age integer', 'maximum_age integer', 'product_image_url text', 'brochure_url text', 'terms_url text', 'search_keywords text[]',
    'ai_tags text[]', 'popularity_score integer not null default 0', 'last_crawled_at timestamp with time zone',
    'created_at timestamp with time zone not null default now()', 'updated_at timestamp with time zone not null default now()',
    'source_url text', 'provenance jsonb not null default ''{}''::jsonb', 'language text not null default ''english''::text']),
('policies', 0, ARRAY[
    'id uuid not null default gen_random_uuid()', 'user_id uuid not null', 'policy_type policy_type_enum', 'policy_number text',
    'premium_amount numeric', 'start_date date', 'end_date date', 'status text', 'document_url text', 'ai_summary text',
    'coverage_summary text', 'fine_print_summary text',
    'created_at timestamp with time zone not null default now()', 'updated_at timestamp with time zone not null default now()']),
('claims', 0, ARRAY[
    'id uuid not null default gen_random_uuid()', 'user_id uuid not null', 'policy_id uuid', 'claim_reason text', 'claim_amount numeric',
    'claim_status claim_status_enum not null default ''pending''::claim_status_enum', 'claim_documents text', 'ai_risk_score numeric',
    'risk_factors text[]',
    'created_at timestamp with time zone not null default now()', 'updated_at timestamp with time zone not null default now()']),
('documents', 9, ARRAY[
    'id uuid not null default gen_random_uuid()', 'user_id uuid not null', 'title text', 'description text', 'document_type document_type_enum',
    'document_category text', 'file_url text', 'file_size integer', 'is_encrypted boolean not null default false', 'encryption_key_id text',
    'encryption_algorithm text', 'created_at timestamp with time zone not null default now()',
    'content_type text', 'extraction_status text not null default ''none''::text', 'extraction_error text', 'extracted_text text',
    'page_count integer', 'extracted_at timestamp with time zone', 'encrypt boolean not null default false',
    'encryption_status text not null default ''none''::text', 'encryption_error text']),
('audit_logs', 3, ARRAY[
    'id uuid not null default gen_random_uuid()', 'user_id uuid', 'company_id uuid', 'action text not null', 'table_name text', 'record_id uuid',
    'old_values jsonb', 'new_values jsonb', 'ip_address text', 'user_agent text', 'request_path text',
    'created_at timestamp with time zone not null default now()', 'erased_at timestamp with time zone',
    'salt uuid default gen_random_uuid()', 'personal_digest bytea']),
('padlock.audit_seals', 0, ARRAY[
    'number bigint not null', 'sealed_at timestamp with time zone not null', 'closed_until timestamp with time zone not null', 'row_count integer not null',
    'first_created_at timestamp with time zone', 'last_created_at timestamp with time zone', 'entries bytea not null', 'digest bytea not null']),
('admin_users', 0, ARRAY[
    'id uuid not null', 'role text not null default ''admin''::text', 'permissions jsonb not null default ''[]''::jsonb',
    'created_at timestamp with time zone not null default now()', 'updated_at timestamp with time zone not null default now()']),
('job_queue', 3, ARRAY[
    'id uuid', 'job_type text', 'status text', 'priority integer', 'payload jsonb', 'result jsonb', 'error_message text',
    'attempts integer', 'max_attempts integer', 'next_retry_at timestamp with time zone', 'created_at timestamp with time zone',
    'started_at timestamp with time zone', 'completed_at timestamp with time zone', 'worker_id text', 'locked_until timestamp with time zone',
    'enqueue_order bigint', 'dedupe_key text', 'queue text']),
('padlock.jobs_1', 0, ARRAY[
    'seq bigint not null', 'id uuid not null', 'job_type text not null', 'priority integer not null', 'payload jsonb not null',
    'max_attempts integer not null', 'run_at timestamp with time zone', 'created_at timestamp with time zone not null', 'dedupe_key text', 'queue text']),
('padlock.job_outcomes_1', 0, ARRAY[
    'job_seq bigint not null', 'started_at timestamp with time zone', 'ended_at timestamp with time zone not null', 'next_retry_at timestamp with time zone',
    'attempt integer not null', 'kind text not null', 'worker_id text', 'result jsonb', 'error text']),
('padlock.job_types', 0, ARRAY[
    'job_type text not null', 'paused boolean not null default false', 'external boolean not null default false', 'max_running integer', 'max_running_per_queue integer',
    'retry_base interval', 'retry_cap interval']),
('rate_limits', 0, ARRAY[
    'id uuid', 'identifier text', 'endpoint text', 'request_count integer', 'window_start timestamp with time zone', 'created_at timestamp with time zone']),
('rate_limit_rules', 0, ARRAY[
    'id uuid not null default gen_random_uuid()', 'endpoint text not null', 'caller text not null', 'company_id uuid',
    'max_requests integer not null', 'window_minutes integer not null default 60',
    'created_at timestamp with time zone not null default now()', 'updated_at timestamp with time zone not null default now()']),
('padlock.email_templates', 0, ARRAY[
    'name text not null', 'subject text not null', 'text_body text not null', 'html_body text',
    'updated_at timestamp with time zone not null default now()']),
('padlock.job_handlers', 0, ARRAY[
    'job_type text not null', 'function_schema text not null', 'function_name text not null', 'role_name text not null', 'timeout_seconds integer',
    'registered_by text not null', 'registered_at timestamp with time zone not null default now()']),
('padlock.api_keys', 1, ARRAY[
    'key_hash bytea not null', 'id uuid not null default gen_random_uuid()', 'company_id uuid not null', 'display text not null',
    'label text not null', 'created_at timestamp with time zone not null default now()', 'expires_at timestamp with time zone',
    'revoked_at timestamp with time zone', 'last_used_at timestamp with time zone']),
('padlock.credentials', 0, ARRAY[
    'user_id uuid not null', 'password_hash text not null', 'email_confirmed_at timestamp with time zone',
    'created_at timestamp with time zone not null default now()', 'updated_at timestamp with time zone not null default now()']),
('padlock.sessions', 0, ARRAY[
    'id uuid not null default gen_random_uuid()', 'user_id uuid not null', 'created_at timestamp with time zone not null default now()',
    'last_used_at timestamp with time zone not null default now()', 'expires_at timestamp with time zone not null',
    'revoked_at timestamp with time zone', 'refresh_counter bigint not null default 0', 'ip_address text', 'user_agent text']),
('padlock.one_time_tokens', 0, ARRAY[
    'token_hash bytea not null', 'purpose text not null', 'user_id uuid', 'email text not null', 'password_hash text',
    'created_at timestamp with time zone not null default now()', 'expires_at timestamp with time zone not null']),
('padlock.document_contents', 0, ARRAY['document_id uuid not null', 'content bytea', 'text bytea', 'text_key_id text', 'object_key text', 'object_hash bytea', 'asked_at timestamp with time zone', 'put_key text', 'put_until timestamp with time zone', 'version integer not null default 1', 'fetch_error text']),
('padlock.keyring_lock', 0, ARRAY['only_row boolean not null default true', 'locked_at timestamp with time zone not null default now()', 'locked_by text not null default SESSION_USER']),
('padlock.keys', 0, ARRAY[
    'key_id text not null', 'version integer not null', 'id uuid not null default gen_random_uuid()', 'state text not null', 'provider text not null', 'provider_key_id text',
    'wrapped bytea', 'check_value bytea', 'rewrap_provider text', 'rewrap_provider_key_id text', 'wraps_from bigint not null', 'wraps_to bigint', 'messages_from bigint not null default 0',
    'created_at timestamp with time zone not null default now()', 'retired_at timestamp with time zone', 'destroyed_at timestamp with time zone']);

SELECT is((SELECT array_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END,
                                      'default ' || pg_get_expr(adbin, adrelid)) ORDER BY attnum)
             FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
            WHERE attrelid = name::regclass AND attnum > 0 AND NOT attisdropped),
          columns, 'columns of ' || name) FROM wanted;
SELECT is_empty(
    format('SELECT attname FROM pg_attribute WHERE attrelid = %L::regclass AND attnum > %s AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL',
           name, cardinality(columns) - extra), 'each column beyond the promised ones of ' || name || ' says why') FROM wanted;

SELECT enum_has_labels('public', 'policy_type_enum', ARRAY['health', 'auto', 'life', 'home', 'other']);
SELECT enum_has_labels('public', 'claim_status_enum', ARRAY['pending', 'approved', 'rejected', 'processing']);
SELECT enum_has_labels('public', 'document_type_enum', ARRAY['policy', 'receipt', 'id', 'claim', 'other']);

-- Keys.
CREATE TEMP TABLE key (name text, definition text);
INSERT INTO key VALUES
    ('users', 'PRIMARY KEY (id)'), ('insurance_companies', 'PRIMARY KEY (id)'), ('insurance_products', 'PRIMARY KEY (id)'),
    ('policies', 'PRIMARY KEY (id)'), ('claims', 'PRIMARY KEY (id)'), ('documents', 'PRIMARY KEY (id)'), ('admin_users', 'PRIMARY KEY (id)'),
    ('padlock.jobs', 'PRIMARY KEY (id)'), ('padlock.jobs_1', 'PRIMARY KEY (id)'), ('padlock.job_outcomes', 'PRIMARY KEY (job_seq, attempt)'), ('padlock.job_outcomes_1', 'PRIMARY KEY (job_seq, attempt)'),
    ('padlock.job_generations', 'PRIMARY KEY (generation)'), ('padlock.job_tallies', 'PRIMARY KEY (generation, job_type, status)'), ('padlock.job_retention', 'PRIMARY KEY (only_row)'), ('padlock.job_types', 'PRIMARY KEY (job_type)'),
    ('padlock.email_templates', 'PRIMARY KEY (name)'), ('padlock.job_handlers', 'PRIMARY KEY (job_type)'),
    ('rate_limit_rules', 'PRIMARY KEY (id)'), ('rate_limit_rules', 'UNIQUE NULLS NOT DISTINCT (endpoint, company_id)'), ('audit_logs', 'PRIMARY KEY (created_at, id)'), ('padlock.audit_seals', 'PRIMARY KEY (number)'), ('padlock.api_keys', 'PRIMARY KEY (key_hash)'),
    ('padlock.credentials', 'PRIMARY KEY (user_id)'), ('padlock.credentials', 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE'),
    ('padlock.sessions', 'PRIMARY KEY (id)'), ('padlock.sessions', 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE'),
    ('padlock.search_segments', 'PRIMARY KEY (id)'), ('padlock.search_blocks', 'PRIMARY KEY (segment, number)'), ('padlock.search_changes', 'PRIMARY KEY (xid, id)'),
    ('search_synonyms', 'PRIMARY KEY (id)'), ('search_log', 'PRIMARY KEY (day, terms)'),
    ('padlock.one_time_tokens', 'PRIMARY KEY (token_hash)'), ('padlock.one_time_tokens', 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE'),
    ('padlock.document_contents', 'PRIMARY KEY (document_id)'), ('padlock.document_contents', 'FOREIGN KEY (document_id) REFERENCES documents(id) ON DELETE CASCADE'),
    ('padlock.keyring_lock', 'PRIMARY KEY (only_row)'), ('padlock.keys', 'PRIMARY KEY (key_id, version)'), ('padlock.keys', 'UNIQUE (id)'), ('padlock.api_keys', 'UNIQUE (id)'), ('insurance_companies', 'UNIQUE (name)'), ('insurance_products', 'UNIQUE (company_id, product_code)'),
    ('policies', 'UNIQUE (id, user_id)'),
    ('rate_limit_rules', 'FOREIGN KEY (company_id) REFERENCES insurance_companies(id) ON DELETE CASCADE'),
    ('insurance_products', 'FOREIGN KEY (company_id) REFERENCES insurance_companies(id) ON DELETE CASCADE'),
    ('padlock.api_keys', 'FOREIGN KEY (company_id) REFERENCES insurance_companies(id) ON DELETE CASCADE'),
    ('policies', 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE'),
    ('claims', 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE'),
    ('claims', 'FOREIGN KEY (policy_id, user_id) REFERENCES policies(id, user_id)'),
    ('documents', 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE'),
    ('admin_users', 'FOREIGN KEY (id) REFERENCES users(id)');
SELECT set_eq('SELECT conrelid::regclass::text, pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN ours o ON o.oid = conrelid
                WHERE contype IN (''p'', ''u'', ''f'', ''x'') AND NOT relispartition',
              'SELECT name, definition FROM key', 'the keys are these and no others');
SELECT index_is_unique('public', 'users', 'users_email_key', 'addresses are unique');
SELECT throws_ok('INSERT INTO users (email) VALUES (''A@x.example''), (''a@X.example'')', '23505', NULL, 'whatever the letter case');

-- Indexes: the first column or expression, the method, the condition.
CREATE TEMP TABLE wanted_index (name text, method text, columns text, condition text);
INSERT INTO wanted_index VALUES
    ('policies', 'btree', 'user_id', NULL), ('claims', 'btree', 'user_id', NULL), ('documents', 'btree', 'user_id', NULL),
    ('audit_logs', 'btree', 'user_id', NULL), ('audit_logs', 'btree', 'company_id', NULL), ('audit_logs', 'btree', 'record_id', NULL),
    ('audit_logs', 'btree', 'table_name', NULL), ('audit_logs', 'btree', 'created_at', NULL), ('padlock.audit_seals', 'btree', 'last_created_at', NULL),
    ('policies', 'btree', 'policy_type', NULL), ('insurance_products', 'btree', 'policy_type', NULL), ('documents', 'btree', 'document_type', NULL),
    ('policies', 'btree', 'status', NULL), ('claims', 'btree', 'claim_status', NULL),
    ('insurance_companies', 'btree', 'is_active', NULL),
    ('documents', 'btree', 'extraction_status', '(extraction_status = ANY (ARRAY[''pending''::text, ''failed''::text]))'),
    ('documents', 'btree', 'encryption_status', '(encryption_status = ANY (ARRAY[''pending''::text, ''failed''::text]))'),
    ('padlock.document_contents', 'btree', 'object_key', '(object_key IS NOT NULL)'),
    ('padlock.document_contents', 'btree', 'put_key', '(put_key IS NOT NULL)'),
    ('documents', 'btree', 'encryption_key_id, id', '(encryption_key_id IS NOT NULL)'),
    ('policies', 'btree', 'created_at', NULL), ('claims', 'btree', 'created_at', NULL), ('documents', 'btree', 'created_at', NULL),
    ('insurance_products', 'btree', 'created_at', NULL), ('insurance_products', 'btree', 'last_crawled_at', NULL),
    ('insurance_products', 'btree', 'company_id, source_url', NULL), ('insurance_products', 'btree', 'company_id, product_code', NULL),
    ('insurance_products', 'gin', 'search_keywords', NULL), ('insurance_products', 'gin', 'ai_tags', NULL),
    ('insurance_products', 'gin', 'coverage_details', NULL), ('insurance_products', 'gin', 'benefits', NULL), ('insurance_products', 'gin', 'exclusions', NULL),
    ('insurance_products', 'btree', 'policy_type, premium_amount', 'is_active'),
    ('padlock.jobs', 'brin', 'seq', NULL), ('padlock.jobs_1', 'brin', 'seq', NULL), ('padlock.jobs', 'btree', 'dedupe_key', '(dedupe_key IS NOT NULL)'), ('padlock.jobs_1', 'btree', 'dedupe_key', '(dedupe_key IS NOT NULL)'),
    ('padlock.job_outcomes', 'brin', 'ended_at', NULL), ('padlock.job_outcomes_1', 'brin', 'ended_at', NULL),
    ('padlock.sessions', 'btree', 'user_id', NULL), ('padlock.one_time_tokens', 'btree', 'expires_at', NULL),
    ('padlock.one_time_tokens', 'btree', 'lower(email)', NULL), ('padlock.keys', 'btree', 'key_id', '(state = ''active''::text)'),
    ('padlock.api_keys', 'btree', 'company_id', NULL);
CREATE TEMP VIEW found_index AS
    SELECT indrelid::regclass::text AS name, amname::text AS method,
           (SELECT string_agg(pg_get_indexdef(indexrelid, n, true) || CASE WHEN indoption[n - 1] & 1 = 1 THEN ' DESC' ELSE '' END, ', ' ORDER BY n)
              FROM generate_series(1, indnkeyatts) AS n) AS columns,
           pg_get_expr(indpred, indrelid) AS condition, indisvalid AND indisready AS usable
      FROM pg_index JOIN ours ON ours.oid = indrelid JOIN pg_class i ON i.oid = indexrelid JOIN pg_am ON pg_am.oid = relam;
SELECT ok(EXISTS (SELECT FROM found_index f WHERE f.name = w.name AND f.method = w.method AND f.usable
                     AND (f.columns = w.columns OR starts_with(f.columns, w.columns || ', ')) AND f.condition IS NOT DISTINCT FROM w.condition),
          concat_ws(' ', 'index on', w.name, w.method, '(' || w.columns || ')', 'WHERE ' || w.condition)) FROM wanted_index w;
SELECT is_empty('SELECT conrelid::regclass, conname FROM pg_constraint k JOIN ours o ON o.oid = k.conrelid
                  WHERE contype = ''f'' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = conrelid AND indpred IS NULL AND indisvalid
                            AND (SELECT array_agg(c ORDER BY c) FROM unnest((indkey::int2[])[0:cardinality(conkey) - 1]) c) = (SELECT array_agg(c ORDER BY c) FROM unnest(conkey) c))',
                'each foreign key has an index that begins with its columns');
SELECT is_empty('SELECT indrelid::regclass, indexrelid::regclass FROM pg_index JOIN ours ON ours.oid = indrelid WHERE NOT indisvalid', 'each index is valid');
SELECT is_empty('SELECT oid::regclass FROM ours WHERE relkind IN (''r'', ''p'') AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = ours.oid AND indisprimary)',
                'each table has a primary key');

-- The rules that columns keep.
SELECT throws_ok(statement, code, NULL, statement) FROM (VALUES
    ('INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES (gen_random_uuid(), ''x'', ''life'', 0)', '23514'),
    ('INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES (gen_random_uuid(), ''x'', ''life'', 1)', '23503'),
    ('INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES (gen_random_uuid(), ''x'', ''pets'', 1)', '22P02'),
    ('INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, billing_frequency) VALUES (gen_random_uuid(), ''x'', ''life'', 1, ''daily'')', '23514'),
    ('INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, minimum_age, maximum_age) VALUES (gen_random_uuid(), ''x'', ''life'', 1, 5, 4)', '23514'),
    ('INSERT INTO insurance_companies (name) VALUES ('''')', '23514'), ('INSERT INTO insurance_companies (name) VALUES (repeat(''x'', 201))', '23514'),
    ('INSERT INTO admin_users (id, role) VALUES (gen_random_uuid(), ''king'')', '23514'),
    ('INSERT INTO admin_users (id, permissions) VALUES (gen_random_uuid(), ''{}'')', '23514'),
    ('INSERT INTO admin_users (id) VALUES (gen_random_uuid())', '23503'),
    ('INSERT INTO policies (user_id) VALUES (gen_random_uuid())', '23503'), ('INSERT INTO policies (user_id) VALUES (NULL)', '23502'),
    ('INSERT INTO job_queue (job_type, status) VALUES (''x'', ''done'')', '23514'), ('INSERT INTO job_queue (job_type, payload) VALUES (''x'', ''[]'')', '23514'),
    ('INSERT INTO job_queue (job_type, status) VALUES (''x'', ''processing'')', '23514'),
    ('INSERT INTO padlock.email_templates (name, subject, text_body) VALUES (''A b'', ''x'', ''x'')', '23514'),
    ('INSERT INTO padlock.email_templates (name, subject, text_body) VALUES (''x'', E''a\nb'', ''x'')', '23514'),
    ('INSERT INTO padlock.api_keys (key_hash, company_id, display, label) VALUES (''x'', gen_random_uuid(), '''', '''')', '23514'),
    ('INSERT INTO padlock.keys (key_id, version, state, provider, wraps_from) VALUES (''X/1'', 1, ''pending'', ''local'', 0)', '23514'),
    ('INSERT INTO padlock.keys (key_id, version, state, provider, wraps_from) VALUES (''x'', 1, ''active'', ''local'', 0)', '23514'),
    ('INSERT INTO padlock.keys (key_id, version, state, provider, wraps_from) VALUES (''x'', 0, ''pending'', ''local'', 0)', '23514'),
    ('INSERT INTO padlock.keys (key_id, version, state, provider, wrapped, wraps_from) VALUES (''x'', 1, ''active'', ''local'', '''', 0), (''x'', 2, ''active'', ''local'', '''', 0)', '23505'),
    ('INSERT INTO padlock.one_time_tokens (token_hash, purpose, email, expires_at) VALUES (''x'', ''confirm_email'', '''', now())', '23514'),
    ('INSERT INTO padlock.one_time_tokens (token_hash, purpose, email, expires_at) VALUES (sha256(''x''), ''anything'', '''', now())', '23514')) AS v (statement, code);

-- updated_at is the trigger's, whatever the statement says.
INSERT INTO users (email, updated_at) VALUES ('touch@schema.example', '2000-01-01');
UPDATE users SET updated_at = '1999-01-01' WHERE email = 'touch@schema.example';
SELECT is((SELECT updated_at FROM users WHERE email = 'touch@schema.example'), now(), 'updated_at is kept by a trigger');
SELECT has_trigger('public', name, name || '_touch', name || ' has that trigger')
  FROM unnest(ARRAY['users', 'admin_users', 'insurance_companies', 'insurance_products', 'policies', 'claims', 'rate_limit_rules']) AS name;
SELECT is_empty('SELECT attrelid::regclass FROM pg_attribute JOIN ours ON ours.oid = attrelid WHERE attname = ''updated_at'' AND NOT EXISTS
                    (SELECT FROM pg_trigger WHERE tgrelid = attrelid AND tgfoid = ''padlock.touch_updated_at()''::regprocedure AND tgenabled = ''O'')',
                'so has every table with the column');

SELECT has_trigger('padlock', 'email_templates', 'email_templates_touch', 'mail templates have it, too');
SELECT has_trigger('padlock', 'email_templates', 'email_templates_audit', 'and are audited');
SELECT has_trigger('padlock', 'job_handlers', 'job_handlers_audit', 'as are the handlers of job types');
SELECT has_trigger('public', 'job_queue', 'job_queue_' || verb, 'job_queue takes ' || verb) FROM unnest(ARRAY['insert', 'update', 'delete']) AS verb;
SELECT has_trigger('padlock', 'job_types', 'job_types_changed', 'what is special about job types is read again');

-- Partitions of the trail: this month and those to come, and one for the rest.
SELECT ok(to_regclass('public.audit_logs_' || to_char((now() AT TIME ZONE 'UTC') + n * interval '1 month', 'YYYY_MM')) IS NOT NULL,
          'the trail has a partition ' || n || ' months ahead') FROM generate_series(0, 3) AS n;
SELECT has_table('public', 'audit_logs_default', 'and one for all other months');

-- Row security, everywhere; the API keys have no policy, so nobody passes.
SELECT is_empty('SELECT oid::regclass FROM ours WHERE relkind IN (''r'', ''p'') AND NOT (relrowsecurity AND relforcerowsecurity)', 'row security is on and forced for each table');
SELECT is_empty('SELECT oid::regclass FROM ours WHERE name IN (''search_segments'', ''search_blocks'', ''search_changes'') AND NOT coalesce((SELECT reloptions FROM pg_class c WHERE c.oid = ours.oid)::text ~ ''vacuum_truncate=false'', false)',
    'vacuum never locks the tables of the search index against searches');
SELECT is_empty('SELECT oid::regclass FROM ours WHERE relkind = ''v'' AND NOT coalesce((SELECT reloptions FROM pg_class c WHERE c.oid = ours.oid)::text ~ ''security_invoker=(true|on)'', false)
                  AND name NOT IN (''job_queue'', ''job_progress'')',
                'each view asks as its caller, but for those over tables that nobody may read');
SELECT is_empty('SELECT schemaname, tablename, policyname FROM pg_policies WHERE schemaname IN (''public'', ''padlock'') AND cmd IN (''ALL'', ''INSERT'', ''UPDATE'') AND with_check IS NULL',
                'each policy for writing checks the new row');
SELECT is_empty('SELECT tablename, policyname FROM pg_policies WHERE schemaname IN (''public'', ''padlock'') AND ''public'' = ANY (roles)', 'no policy is for PUBLIC');
SELECT is_empty('SELECT tablename, policyname FROM pg_policies WHERE schemaname = ''padlock'' AND tablename NOT IN (''email_templates'', ''job_types'')', 'internals have no policy, but for what admins may change');
SELECT is_empty($$SELECT polrelid::regclass, polname FROM pg_policy JOIN ours ON ours.oid = polrelid WHERE NOT EXISTS
                    (SELECT FROM pg_depend d JOIN pg_depend e ON e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e'
                      WHERE d.classid = 'pg_policy'::regclass AND d.objid = pg_policy.oid AND d.refclassid = 'pg_proc'::regclass AND d.deptype = 'n')$$,
                'each policy goes with the extension, so that row security then fails closed');

-- Rights on tables, by list.
CREATE TEMP TABLE rights (name text, role text, verbs text);
INSERT INTO rights VALUES
    ('users', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'), ('users', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('policies', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'), ('policies', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('claims', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'), ('claims', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('documents', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'), ('documents', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('insurance_companies', 'anon', 'SELECT,UPDATE'), ('insurance_companies', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'),
    ('insurance_companies', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('insurance_products', 'anon', 'DELETE,INSERT,SELECT,UPDATE'), ('insurance_products', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'),
    ('insurance_products', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('admin_users', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'), ('audit_logs', 'authenticated', 'SELECT'), ('audit_logs', 'service_role', 'INSERT'),
    ('job_queue', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'), ('padlock.job_types', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('padlock.job_counts', 'service_role', 'SELECT'), ('padlock.job_counts', 'pg_monitor', 'SELECT'), ('padlock.job_progress', 'service_role', 'SELECT'), ('padlock.job_progress', 'pg_monitor', 'SELECT'),
    ('rate_limits', 'authenticated', 'SELECT'), ('rate_limits', 'service_role', 'SELECT'),
    ('rate_limit_rules', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'), ('rate_limit_rules', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('padlock.email_templates', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'), ('padlock.email_templates', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('search_synonyms', 'authenticated', 'DELETE,INSERT,SELECT,UPDATE'), ('search_synonyms', 'service_role', 'DELETE,INSERT,SELECT,UPDATE'),
    ('search_log', 'authenticated', 'DELETE,SELECT'), ('search_log', 'service_role', 'DELETE,SELECT');
SELECT set_eq('SELECT c.oid::regclass::text, coalesce(r.rolname, ''PUBLIC'')::text, string_agg(privilege_type, '','' ORDER BY privilege_type)
                 FROM pg_class c JOIN ours ON ours.oid = c.oid, aclexplode(relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
                WHERE a.grantee <> c.relowner GROUP BY 1, 2',
              'SELECT name, role, verbs FROM rights', 'the rights on tables are these and no others');
SELECT is_empty('SELECT attrelid::regclass, attname FROM pg_attribute JOIN ours ON ours.oid = attrelid WHERE attacl IS NOT NULL', 'no right is on a column');
SELECT is_empty('SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl) a
                  WHERE nspname IN (''public'', ''padlock'') AND relkind = ''S'' AND a.grantee <> relowner', 'nor on a sequence');
SELECT is_empty('SELECT rolname FROM pg_roles, unnest(ARRAY[''public'', ''padlock'']) s WHERE rolname IN (''anon'', ''authenticated'', ''service_role'')
                    AND (has_schema_privilege(rolname, s, ''CREATE'') OR NOT has_schema_privilege(rolname, s, ''USAGE''))', 'the roles use the schemas and make nothing there');
SELECT is_empty('SELECT rolname FROM pg_roles WHERE rolname IN (''anon'', ''authenticated'', ''service_role'') AND (rolsuper OR rolinherit OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolreplication OR rolbypassrls)',
                'the roles have no attribute');
SELECT is_empty('SELECT roleid::regrole, member::regrole FROM pg_auth_members WHERE member IN (''anon''::regrole, ''authenticated''::regrole, ''service_role''::regrole)', 'and are members of none');

-- Tables belong to the user, logic belongs to the extension.
CREATE TEMP VIEW member AS
    SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
     WHERE d.deptype = 'e' AND e.extname = 'padlock';
SELECT is_empty('SELECT pg_describe_object(classid, objid, 0) FROM member WHERE classid <> ''pg_proc''::regclass', 'only functions are members of the extension');
SELECT isnt_empty('SELECT FROM member', 'and there are some');
SELECT is_empty('SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname IN (''public'', ''padlock'')
                    AND p.oid NOT IN (SELECT objid FROM member WHERE classid = ''pg_proc''::regclass)', 'all functions are');
SELECT is_empty('SELECT pg_describe_object(classoid, objoid, objsubid) FROM pg_init_privs WHERE privtype = ''e'' AND (classoid, objoid) NOT IN (SELECT classid, objid FROM pg_depend WHERE deptype = ''e'')',
                'pg_init_privs has no row of an object that is no member, so that pg_dump keeps its grants');
SELECT is_empty('SELECT oid::regclass FROM ours WHERE coalesce(obj_description(oid, ''pg_class''), '''') NOT LIKE ''padlock: %''', 'each table bears our mark');
SELECT is_empty('SELECT oid::regtype FROM pg_type WHERE typnamespace = ''public''::regnamespace AND typtype = ''e'' AND coalesce(obj_description(oid, ''pg_type''), '''') NOT LIKE ''padlock: %''', 'so does each enum');
SELECT matches(obj_description('padlock'::regnamespace, 'pg_namespace'), '^padlock: ', 'and schema padlock');
SELECT is(padlock.install(), 0, 'to install again makes nothing');

SELECT * FROM finish();
ROLLBACK;
