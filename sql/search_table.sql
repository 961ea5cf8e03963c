-- Room search: the tables that it reads are their owner's, who may alter them.
SET client_min_messages = warning;
INSERT INTO insurance_companies (id, name) VALUES ('5e100000-0000-4000-8000-000000000001', 'Search Table');
INSERT INTO insurance_products (id, company_id, product_name, product_code, policy_type, premium_amount, popularity_score)
SELECT ('5e100000-0000-4000-8000-0000000001' || lpad(n::text, 2, '0'))::uuid, '5e100000-0000-4000-8000-000000000001',
       'Tabular cover ' || n, 'TAB-' || n, 'other', n, 100 - n FROM generate_series(1, 4) AS n;
CREATE FUNCTION pg_temp.found(answer jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT (answer -> 'pagination' ->> 'total_items') || ': ' ||
           coalesce((SELECT string_agg(p ->> 'product_code', ' ' ORDER BY n)
                       FROM jsonb_array_elements(answer -> 'products') WITH ORDINALITY AS a(p, n)), '') $$;
-- What a statement says, undone.
CREATE FUNCTION pg_temp.says(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    detail text;
BEGIN
    EXECUTE statement INTO answer;
    RAISE EXCEPTION USING errcode = 'PL999', message = coalesce(answer, 'done');
EXCEPTION
    WHEN sqlstate 'PL999' THEN RETURN sqlerrm;
    WHEN others THEN
        GET STACKED DIAGNOSTICS answer = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        RETURN sqlstate || ' ' || concat_ws('; ', answer, nullif(detail, ''));
END
$$;
-- What a search and a write say once a table was altered, undone.
CREATE FUNCTION pg_temp.after(change text, OUT search text, OUT write text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM product_search(company_id => '5e100000-0000-4000-8000-000000000001');
    EXECUTE change;
    search := pg_temp.says($s$ SELECT pg_temp.found(product_search(company_id => '5e100000-0000-4000-8000-000000000001')) $s$);
    write := pg_temp.says($s$ UPDATE insurance_products SET billing_frequency = 'annually' WHERE product_code IS NOT NULL RETURNING 'written' $s$);
    RAISE EXCEPTION USING errcode = 'PL998';
EXCEPTION
    WHEN sqlstate 'PL998' THEN RETURN;
END
$$;

-- A column of another type is named, not read as if it were the old one.
SELECT "table", "column", a.*
  FROM (VALUES ('insurance_products', '{id,company_id,product_name,product_code,policy_type,description,coverage_details,premium_amount,currency,benefits,is_active,
                                        available_countries,minimum_age,maximum_age,search_keywords,ai_tags,popularity_score,created_at,language}'::text[]),
               ('insurance_companies', '{id,is_active}')) AS t("table", columns),
       unnest(columns) AS "column",
       pg_temp.after(format('ALTER TABLE %I DROP COLUMN %I CASCADE, ADD COLUMN %2$I %s NOT NULL DEFAULT 1::%3$s', "table", "column",
                            CASE "column" WHEN 'premium_amount' THEN 'float8' ELSE 'smallint' END)) AS a;
SELECT pg_temp.after('ALTER TABLE insurance_products ALTER premium_amount TYPE float8');
-- One of the same representation will do.
SELECT pg_temp.after('ALTER TABLE insurance_products ALTER product_name TYPE varchar(300), ALTER description TYPE varchar');
-- Nor are nulls read where there were none.
SELECT "table", "column", a.search
  FROM (VALUES ('insurance_products', '{company_id,product_name,policy_type,premium_amount,currency,is_active,popularity_score,created_at,language}'::text[]),
               ('insurance_companies', '{is_active}')) AS t("table", columns),
       unnest(columns) AS "column", pg_temp.after(format('ALTER TABLE %I ALTER %I DROP NOT NULL', "table", "column")) AS a;
-- Rows are found by the primary key, which must be that of ids.
SELECT pg_temp.after('ALTER TABLE insurance_products DROP CONSTRAINT insurance_products_pkey CASCADE, ADD PRIMARY KEY (product_name)');
SELECT pg_temp.after('ALTER TABLE insurance_products DROP CONSTRAINT insurance_products_pkey CASCADE');

-- Added columns: rows from before have the default.
ALTER TABLE insurance_products ADD margin numeric DEFAULT 0.25, ADD badges text[] NOT NULL DEFAULT '{new}', ADD margin_note text;
UPDATE insurance_products SET margin_note = 'low' WHERE product_code = 'TAB-3';
SELECT p ->> 'product_code' AS code, p -> 'margin' AS margin, p -> 'badges' AS badges, p -> 'margin_note' AS note
  FROM jsonb_array_elements(product_search(company_id => '5e100000-0000-4000-8000-000000000001') -> 'products') AS p;
-- They are for roles that may read them; padlock's own are for everybody.
CREATE FUNCTION pg_temp.seen_by(role name, OUT margin boolean, OUT badges boolean, OUT provenance boolean, OUT others bigint) LANGUAGE plpgsql AS $$
DECLARE
    product jsonb;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    product := product_search(company_id => '5e100000-0000-4000-8000-000000000001', per_page => '1') #> '{products,0}';
    RESET ROLE;
    SELECT product ? 'margin', product ? 'badges', product ? 'provenance', count(*) INTO margin, badges, provenance, others
      FROM jsonb_object_keys(product - '{margin,badges,provenance,margin_note}'::text[]);
END
$$;
SELECT 'granted' AS case, * FROM pg_temp.seen_by('anon');
REVOKE SELECT ON insurance_products FROM anon;
SELECT 'revoked' AS case, * FROM pg_temp.seen_by('anon');
GRANT SELECT (badges, provenance) ON insurance_products TO anon;
SELECT 'one granted' AS case, * FROM pg_temp.seen_by('anon');
SELECT 'another role' AS case, * FROM pg_temp.seen_by('authenticated');
REVOKE SELECT (badges, provenance) ON insurance_products FROM anon;
GRANT SELECT ON insurance_products TO anon;
ALTER TABLE insurance_products DROP margin, DROP badges, DROP margin_note;
-- Policies do not count: search has a rule of its own.
BEGIN;
CREATE POLICY hidden ON insurance_products AS RESTRICTIVE FOR SELECT USING (product_code <> 'TAB-1');
SET LOCAL ROLE anon;
SELECT pg_temp.found(product_search(search_term => 'tabular'));
ROLLBACK;

-- What no trigger noted is left out, not an error; a rebuild puts it right.
SELECT padlock.search_merge() IS NOT NULL AS merged;
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM insurance_products WHERE product_code = 'TAB-1';
UPDATE insurance_products SET is_active = false WHERE product_code = 'TAB-2';
INSERT INTO insurance_products (id, company_id, product_name, product_code, policy_type, premium_amount)
VALUES ('5e100000-0000-4000-8000-000000000105', '5e100000-0000-4000-8000-000000000002', 'Tabular orphan', 'TAB-5', 'other', 5);
DELETE FROM padlock.search_changes WHERE xid = pg_current_xact_id();
COMMIT;
SELECT body, pg_temp.found(product_search(body || '{"company_id": "5e100000-0000-4000-8000-000000000001"}'))
  FROM unnest('{"{}","{\"search_term\": \"tabular\", \"highlight\": true, \"explain\": true}","{\"search_term\": \"TAB-1\"}","{\"sort_by\": \"premium_amount\", \"sort_order\": \"asc\"}"}'::jsonb[]) AS body;
SELECT differences > 0 AS differs FROM padlock.search_check();
SELECT padlock.search_rebuild() > 0 AS rebuilt;
SELECT pg_temp.found(product_search(search_term => 'tabular'));
DELETE FROM insurance_products WHERE product_code = 'TAB-5';
SELECT differences, detail FROM padlock.search_check();

-- A trigger whose name comes first searches before the change is noted.
CREATE FUNCTION pg_temp.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING '% sees %', tg_name, pg_temp.found(product_search(search_term => 'tabular', sort_by => 'premium_amount'));
    RETURN NULL;
END
$$;
CREATE TRIGGER a_first AFTER INSERT OR DELETE ON insurance_products FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.tell();
CREATE TRIGGER zz_last AFTER INSERT OR DELETE ON insurance_products FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.tell();
DELETE FROM insurance_products WHERE product_code = 'TAB-3';
INSERT INTO insurance_products (company_id, product_name, product_code, policy_type, premium_amount)
VALUES ('5e100000-0000-4000-8000-000000000001', 'Tabular again', 'TAB-6', 'other', 6);
DROP TRIGGER a_first ON insurance_products;
DROP TRIGGER zz_last ON insurance_products;

DELETE FROM insurance_products WHERE company_id = '5e100000-0000-4000-8000-000000000001';
DELETE FROM insurance_companies WHERE id = '5e100000-0000-4000-8000-000000000001';
