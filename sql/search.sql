-- Room search: product_search, by body and by named arguments.
SET client_min_messages = warning;
INSERT INTO insurance_companies (id, name, website, is_active) VALUES
    ('5e000000-0000-4000-8000-000000000001', 'Search One', 'https://one.example/', true),
    ('5e000000-0000-4000-8000-000000000002', 'Search Off', NULL, false);
INSERT INTO insurance_products (id, company_id, product_name, product_code, policy_type, premium_amount, currency, description,
                                search_keywords, available_countries, minimum_age, maximum_age, popularity_score, is_active, created_at, updated_at)
SELECT ('5e000000-0000-4000-8000-0000000001' || lpad(n::text, 2, '0'))::uuid, '5e000000-0000-4000-8000-000000000001', name, code,
       type::policy_type_enum, premium, currency, description, keywords, countries, low, high, popularity, active,
       '2026-01-01'::timestamptz + n * interval '1 day', '2026-02-01'
  FROM (VALUES
    (1, 'Gold Health Cover', 'GHC-1', 'health', 120, 'GBP', 'Private hospital and dental care', '{dental,hospital}'::text[], '{GB}'::text[], 18, 70, 50, true),
    (2, 'Silver Health Cover', 'SHC-1', 'health', 80, 'GBP', 'Hospital care', '{hospital}', NULL, 18, 70, 40, true),
    (3, 'Motor Plus', 'MP-1', 'auto', 45.5, 'EUR', 'Car insurance; dental work after an accident included', '{car}', '{FR,DE}', 21, NULL, 90, true),
    (4, 'Home Basic', 'HB-1', 'home', 20, 'GBP', NULL, NULL, '{}', NULL, NULL, 10, true),
    (5, 'Retired Cover', 'RC-1', 'life', 30, 'GBP', 'No longer sold, dental', '{dental}', NULL, NULL, NULL, 100, false)
  ) AS t(n, name, code, type, premium, currency, description, keywords, countries, low, high, popularity, active);
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, search_keywords)
VALUES ('5e000000-0000-4000-8000-000000000002', 'Hidden Health', 'health', 10, '{dental}');
CREATE FUNCTION pg_temp.found(answer jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT (answer -> 'pagination' ->> 'total_items') || ': ' ||
           coalesce((SELECT string_agg(p ->> 'product_code', ' ' ORDER BY n)
                       FROM jsonb_array_elements(answer -> 'products') WITH ORDINALITY AS a(p, n)), '') $$;
SET ROLE anon;

-- The whole answer.
SELECT jsonb_pretty(product_search('{"search_term": "motor"}'::jsonb));

-- Words, in name, description and keywords; the code; ranked.
SELECT term, pg_temp.found(product_search(search_term => term))
  FROM unnest(ARRAY['health', 'dental', 'hospital dental', 'insured motor', 'ghc-1', 'GOLD', 'nothing', '  ',
                    '"hospital care"', 'cover -gold', 'the', '''', '%', ':*&|!', '()', '🙂', '\', repeat('x', 200)]) AS term;

-- Filters, one by one and together.
SELECT body, pg_temp.found(product_search(body))
  FROM unnest(ARRAY['{}', '{"policy_type": "health"}', '{"company_id": "5e000000-0000-4000-8000-000000000001"}',
                    '{"company_id": "5e000000-0000-4000-8000-000000000002"}', '{"min_premium": 45.5}', '{"max_premium": 45.5}',
                    '{"min_premium": 30, "max_premium": 100}', '{"currency": "EUR"}', '{"country": "GB"}', '{"country": "FR"}',
                    '{"age": 17}', '{"age": 20}', '{"age": 71}',
                    '{"policy_type": "health", "country": "GB", "age": 30, "currency": "GBP", "search_term": "dental", "min_premium": 1}',
                    '{"policy_type": null, "page": null}']::jsonb[]) AS body;

-- Sorting and pages.
SELECT body, pg_temp.found(product_search(body))
  FROM unnest(ARRAY['{"sort_by": "premium_amount"}', '{"sort_by": "premium_amount", "sort_order": "asc"}', '{"sort_by": "created_at"}',
                    '{"sort_by": "popularity_score", "sort_order": "asc"}', '{"sort_by": "relevance"}',
                    '{"search_term": "cover", "sort_by": "premium_amount"}', '{"per_page": 3}', '{"per_page": 3, "page": 2}',
                    '{"per_page": 3, "page": 3}', '{"page": 2147483647, "per_page": 100}']::jsonb[]) AS body;
SELECT page, product_search(page => page::text, per_page => '3') -> 'pagination' AS pagination FROM generate_series(1, 3) AS page;

-- Named arguments are texts, checked like a body's values.
SELECT pg_temp.found(product_search(policy_type => 'health', max_premium => '100', age => '30', page => '1'));
SELECT pg_temp.found(product_search());
SELECT product_search(age => '30', min_premium => '10.50') -> 'filters_applied' AS filters;
SELECT product_search(age => '30 years', min_premium => '1e3', page => '0', per_page => '101', policy_type => 'pet', currency => 'gbp',
                      country => 'GBR', company_id => '5e', sort_by => 'name', sort_order => 'up', search_term => repeat('x', 201), max_premium => 'NaN');
SELECT product_search('{"search_term": "gold"}');
SELECT product_search('[]'::jsonb);
SELECT pg_temp.found(product_search(NULL::jsonb));
SELECT product_search('{"q": "x", "page": "1", "min_premium": 100, "max_premium": 50, "age": 1.5}'::jsonb);

-- A read-only transaction is enough.
BEGIN READ ONLY;
SELECT pg_temp.found(product_search(search_term => 'gold'));
COMMIT;

-- Facets count the whole result, not the page.
SELECT jsonb_pretty(product_search(search_term => 'cover', per_page => '1', facets => 'true') -> 'facets');
SELECT product_search(policy_type => 'home', facets => 'true') #> '{facets,country}' AS offered_everywhere;
SELECT product_search(facets => 'true') #> '{facets,country}' AS and_in_some;

-- What is marked, and why products rank as they do.
SELECT p -> 'highlight' AS highlight FROM jsonb_array_elements(product_search(search_term => 'dental', highlight => 'true') -> 'products') AS p;
SELECT p ->> 'product_code' AS code, e ->> 'word' AS word, e ->> 'term' AS term, e ->> 'by' AS by, (e ->> 'score')::numeric > 0 AS counts
  FROM jsonb_array_elements(product_search('{"search_term": "dental automobile", "explain": true}'::jsonb) -> 'products') AS p,
       jsonb_array_elements(p #> '{explain,words}') AS e ORDER BY 1, 2, 3;
SELECT w ->> 'word' AS word, jsonb_array_length(w -> 'terms') > 1 AS has_synonyms
  FROM jsonb_array_elements(product_search(search_term => 'automobile', explain => 'true') #> '{explain,words}') AS w;

-- Synonyms, typing errors, and what was given up to find something.
SELECT term, pg_temp.found(a) AS found, a ->> 'relaxed' AS relaxed, a ->> 'corrected' AS corrected
  FROM unnest(ARRAY['automobile', 'dentel', 'hospitel cvoer', '"care private"', '"dental hospital" gold', 'gold -dental', '-gold', 'GHC-1 motor', 'zzzzzzzz']) AS term,
       product_search(search_term => term) AS a;

-- A product with the very code comes first, whatever stands around the code or
-- beside it; a word beside digits is neither corrected nor completed.
SELECT term, pg_temp.found(a) AS found, a ->> 'relaxed' AS relaxed, a ->> 'corrected' AS corrected
  FROM unnest(ARRAY['hb-1', '"HB-1"', 'HB-1.', '(hb-1)', '“HB-1”,', 'gold HB-1', 'HB-1 "gold health" MP-1', 'HB-1 -home', 'HB-1 gold -"home basic"',
                    'HB-1 "silver health"', 'HB-1 -"silver health"', 'gold -hb-1', '"GHC-1" cover', 'MOTER-9', '"moter-9"', 'moter-9.', 'moto-9', 'moter 9', 'hb-01', 'hb 1', 'HB–1', 'gold hb‑1.', 'xx–1']) AS term,
       product_search(search_term => term) AS a;
SELECT term, sort_by, p ->> 'product_code' AS code, p -> 'highlight' AS highlight, p #> '{explain,score}' = 'null' AS no_score, p #> '{explain,words,0}' AS reason
  FROM unnest(ARRAY['gold hb-1', 'hb-1']) AS term, unnest('{relevance,premium_amount}'::text[]) AS sort_by,
       jsonb_array_elements(product_search(search_term => term, sort_by => sort_by, highlight => 'true', explain => 'true') -> 'products') WITH ORDINALITY AS a(p, i)
 WHERE p ->> 'product_code' = 'HB-1' OR sort_by = 'premium_amount' ORDER BY 1, 2, i;

RESET ROLE;
UPDATE insurance_products SET product_code = 'XX–1' WHERE product_code = 'HB-1';
SELECT pg_temp.found(product_search(search_term => 'xx–1'));
UPDATE insurance_products SET product_code = 'HB-1' WHERE product_code = 'XX–1';
SET ROLE anon;

-- A cursor walks through all of a result, whatever its order.
CREATE FUNCTION pg_temp.walk(body jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := product_search(body || '{"per_page": 1}');
    codes text := pg_temp.found(answer);
BEGIN
    WHILE answer ? 'next_cursor' LOOP
        answer := product_search(body || jsonb_build_object('per_page', 1, 'cursor', answer -> 'next_cursor'));
        codes := codes || ' | ' || pg_temp.found(answer);
    END LOOP;
    RETURN codes;
END
$$;
SELECT body, pg_temp.walk(body)
  FROM unnest(ARRAY['{}', '{"search_term": "cover care"}', '{"search_term": "cover (ghc-1)"}', '{"sort_by": "premium_amount"}', '{"sort_by": "created_at", "sort_order": "asc"}',
                    '{"sort_by": "popularity_score", "sort_order": "asc", "policy_type": "health"}']::jsonb[]) AS body;

-- Nor do others' changes make it miss or repeat any, though every score moves.
RESET ROLE;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT id, 'Gondola cover', 'other', 5 FROM insurance_companies, generate_series(1, 30) WHERE name = 'Search One';
CREATE FUNCTION pg_temp.walk_changing(body jsonb, other text, OUT products bigint, OUT different bigint) LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb := product_search(body);
    ids text[] := '{}';
BEGIN
    LOOP
        ids := ids || ARRAY(SELECT p ->> 'id' FROM jsonb_array_elements(answer -> 'products') AS p WHERE p ->> 'product_name' = 'Gondola cover');
        EXIT WHEN NOT answer ? 'next_cursor';
        INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, created_at)
        SELECT id, other, 'other', 5, '2001-01-01' FROM insurance_companies WHERE name = 'Search One';
        answer := product_search(body || jsonb_build_object('cursor', answer -> 'next_cursor'));
    END LOOP;
    SELECT count(id), count(DISTINCT id) INTO products, different FROM unnest(ids) AS id;
END
$$;
SELECT body, other, w.* FROM unnest(ARRAY['{"search_term": "gondola", "per_page": 6}', '{"search_term": "gondola", "per_page": 6, "sort_order": "asc"}',
                                   '{"search_term": "gondola cover", "per_page": 7}']::jsonb[]) AS body,
                      unnest(ARRAY['Other', 'Gondola for two']) AS other, pg_temp.walk_changing(body, other) AS w;
DELETE FROM insurance_products WHERE product_name IN ('Gondola cover', 'Gondola for two', 'Other');
SET ROLE anon;
SELECT product_search(cursor => 'x');
SELECT product_search(cursor => product_search(per_page => '1') ->> 'next_cursor', sort_by => 'premium_amount');
SELECT pg_temp.found(product_search(search_term => 'cover care', per_page => '20', cursor => a ->> 'next_cursor')) AS page_of_another_size
  FROM product_search(search_term => 'cover care', per_page => '1') AS a;
SELECT product_search(search_term => 'cover', cursor => a ->> 'next_cursor') FROM product_search(search_term => 'cover care', per_page => '1') AS a;
SELECT product_search(policy_type => 'health', cursor => a ->> 'next_cursor') FROM product_search(per_page => '1') AS a;
SELECT product_search(sort_order => 'asc', cursor => a ->> 'next_cursor') FROM product_search(per_page => '1') AS a;
SELECT product_search(cursor => overlay(a ->> 'next_cursor' PLACING '+' FROM 10)) FROM product_search(per_page => '1') AS a;
SELECT product_search(cursor => left(a ->> 'next_cursor', -1)) FROM product_search(per_page => '1') AS a;
SELECT product_search('{"page": 2, "cursor": "x"}'::jsonb);
SELECT product_search(facets => 'yes', highlight => '1', explain => 'TRUE');

-- Terms that are no words, and odd ones: an answer, never an error from below.
SELECT count(product_search(search_term => term) ->> 'success')
  FROM unnest(ARRAY[':*&|!', '"', '""', '"unclosed phrase', '-', '--', '- -', '%', '_', '''', '\', E'\x01\x02', E'a\tb\nc', 'אבג ביטוח', '🙂🙃', '<b>&amp;</b>', 'NULL', '{"a": 1}',
                    repeat('"', 200), repeat('a ', 100), repeat('é', 200), 'the of and', '...', '(((', 'a:b:c', 'ﬁﬂ']) AS term;
RESET ROLE;

-- The index itself: in step with the table, before and after a merge and a rebuild.
SELECT * FROM padlock.search_check();
SELECT padlock.search_merge();
SELECT padlock.search_merge() AS again;
SELECT * FROM padlock.search_check();
UPDATE insurance_products SET language = 'german', product_name = 'Häuser und Gärten' WHERE product_code = 'HB-1';
SELECT term, pg_temp.found(product_search(search_term => term)) FROM unnest(ARRAY['haus', 'garten', 'GÄRTEN', 'home']) AS term;
SELECT padlock.search_rebuild() AS products;
SELECT built, segments, documents, changes, phase FROM padlock.search_status();
SELECT differences FROM padlock.search_check();

BEGIN READ ONLY;
SELECT padlock.search_rebuild();
ROLLBACK;
BEGIN READ ONLY;
SELECT padlock.search_merge();
ROLLBACK;

-- A change of nothing but the language, or the id, is a change.
BEGIN;
UPDATE insurance_products SET language = 'english' WHERE product_code = 'HB-1';
SELECT term, pg_temp.found(product_search(search_term => term)), product_search(search_term => term) ->> 'corrected' AS corrected FROM unnest(ARRAY['haus', 'häuser']) AS term;
UPDATE insurance_products SET id = '5e000000-0000-4000-8000-0000000001ff' WHERE product_code = 'HB-1';
SELECT product_search(search_term => 'häuser') #>> '{products,0,id}' AS id, product_search(search_term => 'häuser') #>> '{pagination,total_items}' AS total;
ROLLBACK;

-- The best may stand behind thousands that are nearly as good.
BEGIN;
INSERT INTO insurance_products (id, company_id, product_name, policy_type, premium_amount, description, popularity_score, created_at)
SELECT ('5e000000-0000-4000-8000-0001' || lpad(n::text, 8, '0'))::uuid, '5e000000-0000-4000-8000-000000000001', 'Ferry', 'other', 5,
       CASE WHEN n <= 4200 THEN 'ferry' END, 100, CASE WHEN n <= 4200 THEN timestamptz '2001-01-01' ELSE now() END
  FROM generate_series(1, 4201) AS n;
SELECT product_search(search_term => 'ferry', per_page => '5') #>> '{products,0,description}' IS NULL AS newest_first,
       product_search(search_term => 'ferry') #>> '{pagination,total_items}' AS total;
ROLLBACK;

-- Statements of many products in one transaction, each about those before it,
-- and a change of one.
BEGIN;
CREATE FUNCTION pg_temp.vehicles() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(product_search(search_term => term) #>> '{pagination,total_items}', ' ') FROM unnest(ARRAY['ferry', 'tram', 'zeppelin']) AS term $$;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT '5e000000-0000-4000-8000-000000000001', 'Ferry', 'other', n FROM generate_series(1, 2100) AS n;
UPDATE insurance_products SET product_name = 'Tram' WHERE product_name = 'Ferry' AND premium_amount <= 2050;
SELECT pg_temp.vehicles();
DELETE FROM insurance_products WHERE product_name IN ('Ferry', 'Tram') AND premium_amount < 2100 AND premium_amount <> 7;
UPDATE insurance_products SET product_name = 'Zeppelin' WHERE premium_amount = 7 AND product_name = 'Tram';
SELECT pg_temp.vehicles(), differences FROM padlock.search_check();
UPDATE insurance_products SET product_name = 'Ferry' WHERE product_name = 'Zeppelin';
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT '5e000000-0000-4000-8000-000000000001', 'Zeppelin', 'other', n FROM generate_series(1, 2001) AS n;
SELECT pg_temp.vehicles(), differences FROM padlock.search_check();
SELECT padlock.search_merge();
SELECT pg_temp.vehicles(), differences FROM padlock.search_check();
ROLLBACK;

-- As many companies are off as before, but others.
BEGIN;
SELECT pg_temp.found(product_search(search_term => 'gold')) AS gold, product_search(search_term => 'hidden') #>> '{pagination,total_items}' AS hidden;
UPDATE insurance_companies SET is_active = NOT is_active WHERE name LIKE 'Search %';
SELECT pg_temp.found(product_search(search_term => 'gold')) AS gold, product_search(search_term => 'hidden') #>> '{pagination,total_items}' AS hidden;
ROLLBACK;

-- What is remembered of companies from search to search: no more than is true.
-- Rolled back to a savepoint, and searched from within a statement, which sees
-- rows of which the trigger has not told yet.
CREATE FUNCTION pg_temp.gold() RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.found(product_search(search_term => 'gold')) $$;
CREATE FUNCTION pg_temp.switch(companies text) RETURNS void LANGUAGE sql AS $$ UPDATE insurance_companies SET is_active = NOT is_active WHERE name LIKE companies $$;
SELECT pg_temp.gold();
BEGIN;
SAVEPOINT here;
SELECT pg_temp.switch('Search %');
SELECT pg_temp.gold();
ROLLBACK TO here;
SELECT pg_temp.gold();
SELECT pg_temp.switch('Search %');
SELECT pg_temp.gold();
COMMIT;
SELECT pg_temp.gold();
SELECT pg_temp.switch('Search %');
SELECT pg_temp.gold();
SELECT padlock.search_merge();
CREATE TABLE search_seen (gold text);
CREATE FUNCTION search_look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO search_seen SELECT product_search(search_term => 'gold') #>> '{pagination,total_items}'; RETURN NULL; END $$;
CREATE TRIGGER a_search AFTER UPDATE ON insurance_companies FOR EACH ROW EXECUTE FUNCTION search_look();
BEGIN;
SELECT pg_temp.switch('Search One');
SELECT * FROM search_seen;
ROLLBACK;
SELECT pg_temp.gold();
DROP TRIGGER a_search ON insurance_companies;
-- The same of products: one waits for a merge, and its name is changed again.
UPDATE insurance_products SET product_name = product_name || ' ' WHERE product_code = 'MP-1';
CREATE TRIGGER a_search AFTER UPDATE ON insurance_products FOR EACH ROW EXECUTE FUNCTION search_look();
BEGIN;
UPDATE insurance_products SET product_name = 'Marmot' WHERE product_code = 'MP-1';
ROLLBACK;
SELECT pg_temp.found(product_search(search_term => 'marmot')) AS marmot;
DROP TRIGGER a_search ON insurance_products;
DROP TABLE search_seen;
DROP FUNCTION search_look();
UPDATE insurance_products SET product_name = rtrim(product_name) WHERE product_code = 'MP-1';
SELECT padlock.search_rebuild() AS products;
-- As replication changes them; without the trigger; and by a rewrite, which fires none.
SET session_replication_role = replica;
SELECT pg_temp.switch('Search One');
RESET session_replication_role;
SELECT pg_temp.gold();
ALTER TABLE insurance_companies DISABLE TRIGGER insurance_companies_search;
SELECT pg_temp.gold();
SELECT pg_temp.switch('Search One');
SELECT pg_temp.gold();
SELECT pg_temp.switch('Search One');
ALTER TABLE insurance_companies ENABLE TRIGGER insurance_companies_search;
SET session_replication_role = replica;
SELECT pg_temp.gold();
SELECT pg_temp.switch('Search One');
RESET session_replication_role;
SELECT pg_temp.gold();
SELECT pg_temp.switch('Search One');
ALTER TABLE insurance_companies ENABLE ALWAYS TRIGGER insurance_companies_search;
SELECT pg_temp.gold();
ALTER TABLE insurance_companies ALTER COLUMN is_active TYPE boolean USING NOT is_active;
SELECT pg_temp.gold();
ALTER TABLE insurance_companies ALTER COLUMN is_active TYPE boolean USING NOT is_active;
SELECT pg_temp.gold();
SELECT pg_temp.switch('Search One');
SELECT pg_temp.gold();
-- One that comes, or goes, switched off.
INSERT INTO insurance_companies (id, name, is_active) VALUES ('5e000000-0000-4000-8000-00000000000f', 'Search None', false);
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES ('5e000000-0000-4000-8000-00000000000f', 'Golden None', 'other', 1);
SELECT product_search(search_term => 'none') #>> '{pagination,total_items}' AS none;
DELETE FROM insurance_companies WHERE name = 'Search None';
INSERT INTO insurance_companies (id, name) VALUES ('5e000000-0000-4000-8000-00000000000f', 'Search None');
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES ('5e000000-0000-4000-8000-00000000000f', 'Golden None', 'other', 1);
SELECT product_search(search_term => 'none') #>> '{pagination,total_items}' AS none;
DELETE FROM insurance_companies WHERE name = 'Search None';
-- One that is off gives its id to one that is not.
INSERT INTO insurance_companies (id, name, is_active) VALUES ('5e000000-0000-4000-8000-00000000000f', 'Search None', false);
SELECT product_search(search_term => 'none') #>> '{pagination,total_items}' AS none;
UPDATE insurance_companies SET id = '5e000000-0000-4000-8000-00000000000e' WHERE name = 'Search None';
INSERT INTO insurance_companies (id, name) VALUES ('5e000000-0000-4000-8000-00000000000f', 'Search None, too');
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES ('5e000000-0000-4000-8000-00000000000f', 'Golden None', 'other', 1);
SELECT product_search(search_term => 'none') #>> '{pagination,total_items}' AS none;
DELETE FROM insurance_companies WHERE name LIKE 'Search None%';
CREATE TRIGGER too_early BEFORE INSERT ON insurance_companies FOR EACH ROW EXECUTE FUNCTION padlock.search_note_companies();
INSERT INTO insurance_companies (name) VALUES ('Early');
DROP TRIGGER too_early ON insurance_companies;
SELECT padlock.search_rebuild() AS products;

-- Damage is found: changes that the index was not told of.
BEGIN;
ALTER TABLE insurance_products DISABLE TRIGGER insurance_products_search_update;
UPDATE insurance_products SET premium_amount = 1, search_keywords = '{unheard}' WHERE product_code = 'MP-1';
SELECT differences, kinds, replace(detail, id::text, 'MP-1') AS detail FROM padlock.search_check(), insurance_products WHERE product_code = 'MP-1';
ROLLBACK;
BEGIN;
ALTER TABLE insurance_products DISABLE TRIGGER insurance_products_search_update, DISABLE TRIGGER insurance_products_search_insert,
    DISABLE TRIGGER insurance_products_search_delete;
UPDATE insurance_products SET popularity_score = 1, currency = 'USD', available_countries = '{AT}', product_code = 'MP-2', maximum_age = 90,
    created_at = '2026-03-01', description = 'Dental work after an accident included; car' WHERE product_code = 'MP-1';
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT id, 'Unnoticed', 'other', 5 FROM insurance_companies, generate_series(1, 4) WHERE name = 'Search One';
DELETE FROM insurance_products WHERE product_code = 'HB-1';
SELECT products, indexed, differences, kinds, length(detail) > 50 AS told FROM padlock.search_check();
ROLLBACK;

-- Neither merges nor rebuilds with an old snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT padlock.search_rebuild();
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT padlock.search_merge();
ROLLBACK;

-- Changes by way of a parent table, and as replication makes them, fire no
-- statement triggers of this table.
BEGIN;
CREATE TABLE search_parent (LIKE insurance_products);
ALTER TABLE insurance_products INHERIT search_parent;
UPDATE search_parent SET product_name = 'Marmot' WHERE product_code = 'MP-1';
SELECT pg_temp.found(product_search(search_term => 'marmot')) AS marmot;
UPDATE insurance_products SET product_name = 'Marmots, all' WHERE product_code = 'MP-1';
SELECT pg_temp.found(product_search(search_term => 'marmot')) AS marmot, differences FROM padlock.search_check();
DELETE FROM search_parent WHERE product_code = 'MP-1';
SELECT pg_temp.found(product_search(search_term => 'marmot')) AS marmot, differences FROM padlock.search_check();
ROLLBACK;
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE insurance_products SET product_name = 'Marmot', id = '5e000000-0000-4000-8000-0000000001fe' WHERE product_code = 'MP-1';
INSERT INTO insurance_products (company_id, product_name, product_code, policy_type, premium_amount, is_active)
VALUES ('5e000000-0000-4000-8000-000000000001', 'Marmot', 'MP-9', 'other', 1, true), ('5e000000-0000-4000-8000-000000000001', 'Marmot', 'MP-8', 'other', 1, false);
SELECT pg_temp.found(product_search(search_term => 'marmot')) AS marmot, differences FROM padlock.search_check();
DELETE FROM insurance_products WHERE product_code = 'MP-9';
SELECT pg_temp.found(product_search(search_term => 'marmot')) AS marmot, differences FROM padlock.search_check();
SAVEPOINT here;
TRUNCATE insurance_products CASCADE;
SELECT product_search(search_term => 'marmot') #>> '{pagination,total_items}' AS marmot, differences FROM padlock.search_check();
ROLLBACK;
CREATE TRIGGER too_early BEFORE INSERT ON insurance_products FOR EACH ROW EXECUTE FUNCTION padlock.search_note_changes();
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES ('5e000000-0000-4000-8000-000000000001', 'Early', 'other', 1);
DROP TRIGGER too_early ON insurance_products;

-- Bounds and premiums on both sides of the steps that a filter goes by, in full words of 64 products and one that is not.
BEGIN;
CREATE TEMP TABLE premiums AS
SELECT p FROM unnest('{0.01,5,15.99,16,16.01,16.99,17,17.01,31.99,32,33.99,34,99.99,100,100.01,127.99,128,524287.99,524288,999999.99}'::numeric[]) AS p;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, currency)
SELECT '5e000000-0000-4000-8000-000000000001', 'Step ' || i, 'other', p, 'XTS' FROM premiums, generate_series(1, 37) AS i;
CREATE FUNCTION pg_temp.within(low numeric, high numeric) RETURNS integer LANGUAGE sql
AS $$ SELECT (product_search(currency => 'XTS', min_premium => low::text, max_premium => high::text) #>> '{pagination,total_items}')::integer $$;
SELECT count(*) AS bounds, sum(pg_temp.within(low, high)) AS found, count(*) FILTER (WHERE pg_temp.within(low, high) <>
       (SELECT 37 * count(*) FROM premiums WHERE p >= coalesce(low, 0) AND p <= coalesce(high, 'Infinity'))) AS wrong
  FROM (SELECT NULL AS low UNION ALL SELECT p FROM premiums) AS a, (SELECT NULL AS high UNION ALL SELECT p FROM premiums) AS b
 WHERE low <= high OR low IS NULL OR high IS NULL;
ROLLBACK;

-- A word in very many places stands where it comes first, too.
BEGIN;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, description, coverage_details)
SELECT '5e000000-0000-4000-8000-000000000001', name, 'auto', 1, 'A wombat burrow.', jsonb_build_object('x', repeat('wombat ', 5000))
  FROM unnest('{Wombat burrow policy,Burrow}'::text[]) AS name;
SELECT pg_temp.found(product_search(search_term => '"wombat burrow"')) AS wombat, product_search(search_term => '"wombat burrow"') -> 'relaxed' AS relaxed;
ROLLBACK;

-- A rebuild keeps average lengths that have hardly changed: bulk writes beside it are made with them.
BEGIN;
DELETE FROM insurance_products;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT '5e000000-0000-4000-8000-000000000001', 'a name like others ' || i, 'other', i FROM generate_series(1, 100) AS i;
SELECT padlock.search_rebuild();
CREATE TEMP TABLE averages AS SELECT average_lengths FROM padlock.search_segments;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT '5e000000-0000-4000-8000-000000000001', 'a name longer than others ' || i, 'other', i FROM generate_series(1, 5) AS i;
SELECT padlock.search_rebuild();
SELECT statistics_documents, average_lengths = (SELECT average_lengths FROM averages) AS same FROM padlock.search_segments;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT '5e000000-0000-4000-8000-000000000001', 'another name that uses many more words ' || i, 'other', i FROM generate_series(1, 50) AS i;
SELECT padlock.search_rebuild();
SELECT statistics_documents, average_lengths = (SELECT average_lengths FROM averages) AS same FROM padlock.search_segments;
SELECT differences FROM padlock.search_check();
ROLLBACK;

-- And bytes that are not as they were written, wherever: an error, no crash.
CREATE FUNCTION pg_temp.damage(place integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    new_id bigint := 1000000000 + place;
BEGIN
    UPDATE padlock.search_blocks SET segment = new_id, data = CASE WHEN number = place / 8000
        THEN set_byte(data, place % 8000 % length(data), 255 - get_byte(data, place % 8000 % length(data))) ELSE data END;
    UPDATE padlock.search_segments SET id = new_id;
    RETURN product_search(search_term => 'cover') #>> '{pagination,total_items}';
EXCEPTION WHEN data_corrupted THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT pg_temp.damage(place) AS answer, count(*) FROM generate_series(0, 4000, 13) AS place GROUP BY 1;
-- An index of an earlier layout: its first bytes say so.
BEGIN;
UPDATE padlock.search_blocks SET segment = 4, data = CASE WHEN number = 0 THEN set_byte(data, 0, ascii('4')) ELSE data END;
UPDATE padlock.search_segments SET id = 4;
SAVEPOINT other_version;
SELECT product_search(search_term => 'cover');
ROLLBACK TO other_version;
-- Writers go on, also where they merge, and the next merge of all builds the index anew.
DO $$ BEGIN
    FOR i IN 1 .. 1100 LOOP
        INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
        VALUES ('5e000000-0000-4000-8000-000000000001', 'Ocelot ' || i, 'other', i);
    END LOOP;
END $$;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT '5e000000-0000-4000-8000-000000000001', 'Ocelot ' || i, 'other', i FROM generate_series(1, 2001) AS i;
SELECT padlock.search_merge();
SELECT product_search(search_term => 'ocelot') #>> '{pagination,total_items}' AS ocelots, differences FROM padlock.search_check();
ROLLBACK;
SELECT product_search(search_term => 'cover') #>> '{pagination,total_items}' AS total;
\set VERBOSITY terse
UPDATE insurance_products SET language = 'klingon';
\set VERBOSITY default

DELETE FROM insurance_companies WHERE name LIKE 'Search %';
