-- Words and filter values that thousands of products have, which the index
-- keeps in another form than rare ones, against plain SQL.
SET client_min_messages = warning;
UPDATE rate_limit_rules SET max_requests = 1000000 WHERE endpoint = 'product_search';
BEGIN;
INSERT INTO insurance_companies (id, name)
SELECT ('5ec00000-0000-4000-8000-00000000000' || n)::uuid, 'Common ' || n FROM generate_series(0, 2) AS n;
-- so many percent have a word, once to four times, in texts of different length
CREATE TABLE common_words (word text, percent integer);
INSERT INTO common_words VALUES ('kappa', 100), ('lambda', 80), ('sigma', 50), ('omega', 30), ('theta', 15), ('gamma', 10), ('epsilon', 2);
CREATE FUNCTION pg_temp.random(n integer, seed text, below integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT abs(('x' || substr(md5(seed || n), 1, 6))::bit(24)::integer) % below $$;
INSERT INTO insurance_products (id, company_id, product_name, policy_type, premium_amount, currency, available_countries, popularity_score,
                                description, search_keywords, created_at)
SELECT ('5ec00000-0000-4000-8000-0001' || lpad(n::text, 8, '0'))::uuid,
       ('5ec00000-0000-4000-8000-00000000000' || pg_temp.random(n, 'company', 3))::uuid,
       'Common', (ARRAY['health', 'auto', 'life'])[1 + pg_temp.random(n, 'type', 3)]::policy_type_enum,
       (1 + pg_temp.random(n, 'premium', 480)) * 2.5, (ARRAY['GBP', 'EUR'])[1 + pg_temp.random(n, 'currency', 2)],
       CASE pg_temp.random(n, 'country', 10) WHEN 0 THEN '{GB}' WHEN 1 THEN '{GB,FR}' WHEN 2 THEN NULL ELSE '{DE}' END::text[],
       pg_temp.random(n, 'popularity', 101),
       (SELECT string_agg(repeat(word || ' filler ', 1 + pg_temp.random(n, 'times' || word, 4)), '') FROM common_words
         WHERE pg_temp.random(n, word, 100) < percent),
       CASE WHEN pg_temp.random(n, 'keyword', 4) = 0 THEN '{omega}'::text[] END, now()
  FROM generate_series(1, 4500) AS n;

-- what the index has of each is what the table has
SELECT differences FROM padlock.search_check();
SELECT padlock.search_rebuild() >= 4500 AS rebuilt, differences FROM padlock.search_check();

CREATE FUNCTION pg_temp.words_of(p insurance_products) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT string_to_array(coalesce(p.description, '') || coalesce(p.search_keywords[1], ''), ' ') $$;

-- totals and facets, of OR
CREATE FUNCTION pg_temp.compare(terms text) RETURNS SETOF text LANGUAGE sql AS $$
    WITH matches AS MATERIALIZED (
        SELECT p.* FROM insurance_products AS p WHERE product_name = 'Common' AND pg_temp.words_of(p) && string_to_array(terms, ' ')),
    answer AS MATERIALIZED (SELECT product_search(jsonb_build_object('search_term', terms, 'facets', true)) AS j),
    counts(facet, value, count) AS (
        SELECT 'policy_type', policy_type::text, count(*) FROM matches GROUP BY policy_type
        UNION ALL SELECT 'currency', currency, count(*) FROM matches GROUP BY currency
        UNION ALL SELECT 'country', country, count(*) FROM matches, unnest('{GB,FR,DE}'::text[]) AS country
                   WHERE available_countries IS NULL OR country = ANY (available_countries) GROUP BY country
        UNION ALL SELECT 'company', company_id::text, count(*) FROM matches GROUP BY company_id
        UNION ALL SELECT 'premium', low::text, count(*) FILTER (WHERE premium_amount >= low AND premium_amount < high)
                    FROM matches, (VALUES (0, 25), (25, 50), (50, 100), (100, 250), (250, 500), (500, 1000), (1000, 1000000)) AS b(low, high)
                   GROUP BY low),
    found(facet, value, count) AS (
        SELECT key, coalesce(v ->> 'value', v ->> 'id', v ->> 'from'), (v ->> 'count')::bigint
          FROM answer, jsonb_each(j -> 'facets'), jsonb_array_elements(value) AS v)
    SELECT terms || ': ' || (j #>> '{pagination,total_items}') || ' of ' || (SELECT count(*) FROM matches) FROM answer
    UNION ALL SELECT facet || ' ' || value || ': ' || f.count || ' but ' || c.count
                FROM found AS f FULL JOIN counts AS c USING (facet, value) WHERE f.count IS DISTINCT FROM c.count $$;
SELECT pg_temp.compare(terms) FROM unnest(ARRAY['kappa', 'gamma', 'epsilon', 'lambda sigma', 'theta gamma', 'omega epsilon',
                                                'kappa lambda sigma omega theta gamma epsilon']) AS terms;

-- one word that stands for others, also two that must be there together
INSERT INTO search_synonyms (words) VALUES ('{zeta,"sigma theta",gamma,epsilon}');
SELECT total #>> '{pagination,total_items}' AS found, count(*) AS there
  FROM insurance_products AS p, product_search(search_term => 'zeta') AS total
 WHERE product_name = 'Common' AND (pg_temp.words_of(p) && '{gamma,epsilon}' OR pg_temp.words_of(p) @> '{sigma,theta}') GROUP BY total;

-- The first page, which skips what cannot be on it, is that of all pages put
-- together, which skip nothing; scores are those of the words, each its best
-- term's, twice for all of them, with the boost.
CREATE FUNCTION pg_temp.ranked(terms text, size integer, pages integer) RETURNS TABLE (place bigint, id text, e jsonb) LANGUAGE sql AS $$
    SELECT (page - 1) * size + n, p ->> 'id', p -> 'explain'
      FROM generate_series(1, pages) AS page,
           LATERAL jsonb_array_elements(product_search(jsonb_build_object('search_term', terms, 'explain', true, 'per_page', size, 'page', page))
                                        -> 'products') WITH ORDINALITY AS a(p, n) $$;
CREATE TABLE ranked AS
SELECT terms, r.* FROM unnest(ARRAY['omega', 'lambda zeta', 'kappa lambda sigma omega theta gamma epsilon']) AS terms, pg_temp.ranked(terms, 100, 45) AS r;
SELECT terms, count(*), count(DISTINCT id),
       bool_and(abs((e ->> 'score')::float / (e ->> 'boost')::float / (e ->> 'all_words')::float / parts.total - 1) < 0.002) AS adds_up,
       bool_and((e ->> 'all_words')::int = CASE WHEN parts.count = words AND words > 1 THEN 2 ELSE 1 END) AS doubled
  FROM ranked, array_length(string_to_array(terms, ' '), 1) AS words,
       LATERAL (SELECT sum((w ->> 'score')::float) AS total, count(*) FROM jsonb_array_elements(e -> 'words') AS w) AS parts
 GROUP BY terms ORDER BY terms COLLATE "C";
-- a word counts the same wherever it stands as often, in texts as long
SELECT word, count(DISTINCT score) > 20 AS several, count(DISTINCT (alike, score)) - count(DISTINCT alike) AS unlike
  FROM ranked AS r JOIN insurance_products AS p ON p.id = r.id::uuid, jsonb_array_elements(e -> 'words') AS w,
       LATERAL (SELECT w ->> 'term' AS word, w ->> 'score' AS score, (length(description) - length(replace(description, w ->> 'term', ''))) / length(w ->> 'term') AS times) AS t,
       LATERAL (SELECT (times, search_keywords, array_length(string_to_array(description, ' '), 1)) AS alike) AS a
 WHERE terms LIKE 'kappa%' AND w ->> 'word' = w ->> 'term' GROUP BY word ORDER BY word;
SELECT r.terms, count(*), bool_and(f.id = r.id) AS same
  FROM (SELECT DISTINCT terms FROM ranked) AS t, pg_temp.ranked(terms, 20, 2) AS f, ranked AS r WHERE r.terms = t.terms AND r.place = f.place
 GROUP BY r.terms ORDER BY r.terms COLLATE "C";
SELECT terms, bool_and(ordered) AS ordered
  FROM (SELECT terms, (e ->> 'score')::float <= lag((e ->> 'score')::float, 1, 'infinity') OVER (PARTITION BY terms ORDER BY place) AS ordered FROM ranked) AS o
 GROUP BY terms ORDER BY terms COLLATE "C";
ROLLBACK;
