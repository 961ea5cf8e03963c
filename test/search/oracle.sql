-- What a search must find, by brute force: the server's own text search over
-- the rows that the statement's snapshot sees, no index, no code of padlock's.
CREATE SCHEMA oracle;

-- Words that are unlike each other, so that nothing is taken for a typo.
CREATE FUNCTION oracle.vocabulary() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['anchor', 'bulldog', 'cyclist', 'drought', 'elephant', 'fjord', 'giraffe', 'hospital', 'income',
                 'jewelry', 'kitchen', 'lymphoma', 'mudslide', 'neurology', 'orchard', 'pumpkin', 'quartz', 'rhythm',
                 'syzygy', 'tsunami', 'umbrella', 'vineyard', 'windmill', 'xylophone', 'yacht', 'zeppelin'] $$;

CREATE FUNCTION oracle.random_words(n integer) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg((oracle.vocabulary())[1 + floor(power(random(), 2) * 26 + 0 * i)::integer], ' ')
      FROM generate_series(1, n) AS i $$;

-- The same with stop words among them, over which a phrase has to step.
CREATE FUNCTION oracle.random_text(n integer) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(CASE WHEN random() < 0.15 THEN (ARRAY['of', 'the', 'and'])[1 + floor(random() * 3)::integer] || ' ' ELSE '' END
                      || oracle.random_words(1 + 0 * i), ' ')
      FROM generate_series(1, n) AS i $$;

CREATE FUNCTION oracle.random_list(n integer) RETURNS text[] LANGUAGE sql VOLATILE AS $$
    SELECT array_agg(oracle.random_text(1 + i % 3)) FROM generate_series(1, n) AS i $$;

-- Coverage with all that JSON has: what is false or null is not covered.
CREATE FUNCTION oracle.random_coverage() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object(oracle.random_words(2), 'yes', 'includes', oracle.random_text(4), oracle.random_words(1), random() < 0.5,
                              'extras', jsonb_build_object(oracle.random_words(1), oracle.random_text(3), oracle.random_words(2), NULL,
                                                           oracle.random_words(1), 7, oracle.random_words(3), '[]'::jsonb,
                                                           'parts', jsonb_build_array(oracle.random_text(3), false, NULL, 5, oracle.random_text(2),
                                                                                      jsonb_build_object(oracle.random_words(2), true)))) $$;

-- n new products of a company.
CREATE FUNCTION oracle.insert_products(company uuid, n integer) RETURNS void LANGUAGE sql VOLATILE AS $$
    INSERT INTO insurance_products (company_id, product_name, product_code, policy_type, description, premium_amount, currency,
                                    search_keywords, ai_tags, benefits, coverage_details, is_active, popularity_score,
                                    available_countries, minimum_age, maximum_age, created_at)
    SELECT company, oracle.random_words(1 + floor(random() * 4)::integer),
           CASE WHEN random() < 0.3 THEN 'C' || substr(gen_random_uuid()::text, 1, 7) END,
           (ARRAY['health', 'auto', 'life', 'home', 'other'])[1 + floor(random() * 5)::integer]::policy_type_enum,
           CASE WHEN random() < 0.9 THEN oracle.random_text(floor(random() * 30 + 0 * i)::integer) END,
           (1 + floor(random() * 1000))::numeric / 4, (ARRAY['GBP', 'EUR', 'USD'])[1 + floor(random() * 3)::integer],
           oracle.random_list(floor(random() * 4)::integer), oracle.random_list(floor(random() * 3)::integer),
           CASE WHEN random() < 0.5 THEN jsonb_build_object('includes', oracle.random_list(floor(random() * 3)::integer)) END,
           CASE WHEN random() < 0.5 + 0 * i THEN oracle.random_coverage() END,
           random() < 0.9, floor(random() * 101)::integer,
           CASE WHEN random() < 0.8 THEN (ARRAY['{GB}', '{GB,DE}', '{FR}', '{US,DE,FR}', '{}'])[1 + floor(random() * 5)::integer]::text[] END,
           CASE WHEN random() < 0.7 THEN floor(random() * 40)::integer END,
           CASE WHEN random() < 0.7 THEN 40 + floor(random() * 60)::integer END,
           now() - random() * interval '400 days'
      FROM generate_series(1, n) AS i $$;

-- The strings of a JSON value, and the names of members but of those that are
-- false or null.
CREATE FUNCTION oracle.json_texts(content jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    WITH RECURSIVE parts(part) AS (
        SELECT content
        UNION ALL
        SELECT child FROM parts, LATERAL (
            SELECT value FROM jsonb_each(CASE jsonb_typeof(part) WHEN 'object' THEN part ELSE '{}' END)
            UNION ALL SELECT value FROM jsonb_array_elements(CASE jsonb_typeof(part) WHEN 'array' THEN part ELSE '[]' END)) AS c(child))
    SELECT part #>> '{}' FROM parts WHERE jsonb_typeof(part) = 'string'
    UNION ALL
    SELECT key FROM parts, jsonb_each(CASE jsonb_typeof(part) WHEN 'object' THEN part ELSE '{}' END)
     WHERE value <> 'false' AND value <> 'null' $$;

-- The texts of a product that a phrase may stand in.
CREATE FUNCTION oracle.texts(p insurance_products) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT p.product_name UNION ALL SELECT p.description UNION ALL SELECT unnest(p.search_keywords)
     UNION ALL SELECT unnest(p.ai_tags)
     UNION ALL SELECT oracle.json_texts(p.benefits) UNION ALL SELECT oracle.json_texts(p.coverage_details) $$;

-- n words that stand side by side in a text of some product, or fewer.
CREATE FUNCTION oracle.real_phrase(n integer) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT array_to_string(words[start : start + n - 1], ' ')
      FROM (SELECT words, 1 + floor(random() * greatest(cardinality(words) - n + 1, 1))::integer AS start
              FROM (SELECT p FROM insurance_products AS p WHERE p.is_active ORDER BY random() LIMIT 1) AS one,
                   oracle.texts(one.p) AS t, regexp_split_to_array(t, ' ') AS words
             WHERE t ~ ' ' ORDER BY random() LIMIT 1) AS cut $$;

-- Does any text have any of the words, or all of them as a phrase?  What has
-- not even the letters of a word is spared the parsing.
CREATE FUNCTION oracle.says(p insurance_products, words text, phrase boolean) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM oracle.texts(p) AS t
                    WHERE t ~ replace(words, ' ', '|')
                      AND to_tsvector('english', t) @@ CASE WHEN phrase THEN phraseto_tsquery('english', words)
                                                            ELSE to_tsquery('english', replace(words, ' ', ' | ')) END) $$;

-- The products that a request is about.  Of the request: words (one of them is
-- enough), phrase and phrase2, minus (a phrase) and without (a word), code, and
-- the filters by their own names.
CREATE FUNCTION oracle.found(request jsonb, loosely boolean) RETURNS SETOF insurance_products LANGUAGE sql STABLE AS $$
    SELECT p.*
      FROM insurance_products AS p JOIN insurance_companies AS c ON c.id = p.company_id
     WHERE p.is_active AND c.is_active
       AND (request->>'policy_type' IS NULL OR p.policy_type::text = request->>'policy_type')
       AND (request->>'company_id' IS NULL OR p.company_id = (request->>'company_id')::uuid)
       AND (request->>'min_premium' IS NULL OR p.premium_amount >= (request->>'min_premium')::numeric)
       AND (request->>'max_premium' IS NULL OR p.premium_amount <= (request->>'max_premium')::numeric)
       AND (request->>'currency' IS NULL OR p.currency = request->>'currency')
       AND (request->>'country' IS NULL OR coalesce(cardinality(p.available_countries), 0) = 0
            OR request->>'country' = ANY (p.available_countries))
       AND (request->>'age' IS NULL OR ((request->>'age')::integer >= coalesce(p.minimum_age, 0)
                                        AND (request->>'age')::integer <= coalesce(p.maximum_age, 200)))
       AND (NOT request ?| '{words,phrase,phrase2,minus,without,code}'
            OR (request ? 'code' AND lower(p.product_code) = lower(request->>'code'))
            OR (NOT request ? 'code'
                AND (NOT request ?| '{words,phrase,phrase2}'
                     OR oracle.says(p, concat_ws(' ', request->>'words', request->>'phrase', request->>'phrase2'), false))
                AND (loosely OR NOT request ? 'phrase' OR oracle.says(p, request->>'phrase', true))
                AND (loosely OR NOT request ? 'phrase2' OR oracle.says(p, request->>'phrase2', true))
                AND (NOT request ? 'without' OR NOT oracle.says(p, request->>'without', false))
                AND (NOT request ? 'minus' OR NOT oracle.says(p, request->>'minus', true)))) $$;

-- The same request as a body for product_search.
CREATE FUNCTION oracle.body(request jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT request - '{words,phrase,phrase2,minus,without,code}'::text[]
           || CASE WHEN request ?| '{words,phrase,phrase2,minus,without,code}'
                   THEN jsonb_build_object('search_term', concat_ws(' ', request->>'words', '"' || (request->>'phrase') || '"', '-' || (request->>'without'),
                                                                    '-"' || (request->>'minus') || '"', '"' || (request->>'phrase2') || '"', request->>'code'))
                   ELSE '{}' END $$;

-- A random request.
CREATE FUNCTION oracle.random_request() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'words', CASE WHEN random() < 0.6 THEN oracle.random_words(1 + floor(random() * 3)::integer) END,
        'phrase', CASE WHEN random() < 0.1 THEN oracle.random_words(2 + floor(random() * 2)::integer)
                       WHEN random() < 0.2 THEN oracle.real_phrase(2 + floor(random() * 3)::integer) END,
        'phrase2', CASE WHEN random() < 0.05 THEN oracle.real_phrase(2) END,
        'minus', CASE WHEN random() < 0.15 THEN oracle.random_words(1 + floor(random() * 2)::integer)
                      WHEN random() < 0.15 THEN oracle.real_phrase(2 + floor(random() * 2)::integer) END,
        'without', CASE WHEN random() < 0.1 THEN oracle.random_words(1) END,
        'company_id', CASE WHEN random() < 0.1 THEN '00000000-0000-4000-8000-' || lpad(floor(random() * 10)::text, 12, '0') END,
        'policy_type', CASE WHEN random() < 0.25 THEN (ARRAY['health', 'auto', 'life', 'home', 'other'])[1 + floor(random() * 5)::integer] END,
        'min_premium', CASE WHEN random() < 0.2 THEN floor(random() * 100) END,
        'max_premium', CASE WHEN random() < 0.2 THEN 100 + floor(random() * 150) END,
        'currency', CASE WHEN random() < 0.2 THEN (ARRAY['GBP', 'EUR', 'USD'])[1 + floor(random() * 3)::integer] END,
        'country', CASE WHEN random() < 0.2 THEN (ARRAY['GB', 'DE', 'FR', 'US', 'JP'])[1 + floor(random() * 5)::integer] END,
        'age', CASE WHEN random() < 0.2 THEN floor(random() * 100) END,
        'sort_by', (ARRAY['premium_amount', 'popularity_score', 'created_at', 'relevance', NULL])[1 + floor(random() * 5)::integer],
        'sort_order', (ARRAY['asc', 'desc', NULL])[1 + floor(random() * 3)::integer],
        'per_page', 10 + floor(random() * 91))) $$;

-- The whole result, page by page, in order.
CREATE FUNCTION oracle.all_pages(body jsonb, OUT ids uuid[], OUT keys numeric[], OUT problem text) LANGUAGE plpgsql STABLE AS $$
DECLARE
    answer jsonb;
    total bigint;
    page integer := 0;
    sort_key text := body->>'sort_by';
BEGIN
    LOOP
        page := page + 1;
        answer := product_search(body || jsonb_build_object('page', page));
        total := coalesce(total, (answer #>> '{pagination,total_items}')::bigint);
        IF total <> (answer #>> '{pagination,total_items}')::bigint THEN
            problem := format('total %s became %s on page %s', total, answer #>> '{pagination,total_items}', page);
            RETURN;
        END IF;
        ids := ids || ARRAY(SELECT (p->>'id')::uuid FROM jsonb_array_elements(answer->'products') WITH ORDINALITY AS a(p, i) ORDER BY i);
        IF sort_key <> 'relevance' THEN
            keys := keys || ARRAY(SELECT CASE sort_key WHEN 'created_at' THEN extract(epoch FROM (p->>'created_at')::timestamptz)
                                                       ELSE (p->>sort_key)::numeric END
                                    FROM jsonb_array_elements(answer->'products') WITH ORDINALITY AS a(p, i) ORDER BY i);
        END IF;
        EXIT WHEN NOT (answer #>> '{pagination,has_next}')::boolean;
    END LOOP;
    IF total <> coalesce(cardinality(ids), 0) THEN
        problem := format('total is %s, the pages hold %s', total, coalesce(cardinality(ids), 0));
    END IF;
END $$;

-- The facets of a result that are not what GROUP BY counts; null if all are.
CREATE FUNCTION oracle.wrong_facets(ids uuid[], facets jsonb) RETURNS text LANGUAGE sql STABLE AS $$
    WITH found AS MATERIALIZED (SELECT * FROM insurance_products WHERE id = ANY (ids)),
    truth(facet, value, count) AS (
        SELECT 'policy_type', policy_type::text, count(*) FROM found GROUP BY 2
         UNION ALL SELECT 'currency', currency, count(*) FROM found GROUP BY 2
         UNION ALL SELECT 'company', company_id::text, count(*) FROM found GROUP BY 2
         UNION ALL SELECT 'country', named.c, (SELECT count(*) FROM found WHERE named.c = ANY (available_countries) OR coalesce(cardinality(available_countries), 0) = 0)
                     FROM (SELECT DISTINCT unnest(available_countries) FROM found) AS named(c)
         UNION ALL SELECT 'premium', f->>'from', (SELECT count(*) FROM found WHERE premium_amount >= (f->>'from')::numeric AND (f->>'to' IS NULL OR premium_amount < (f->>'to')::numeric))
                     FROM jsonb_array_elements(facets->'premium') AS f),
    answer(facet, value, count) AS (
        SELECT facet, coalesce(f->>'value', f->>'id', f->>'from'), (f->>'count')::bigint
          FROM unnest('{policy_type,currency,company,country,premium}'::text[]) AS facet, jsonb_array_elements(facets->facet) AS f)
    SELECT string_agg(format('%s %s: %s, not %s', facet, value, a.count, t.count), '; ')
      FROM truth AS t FULL JOIN answer AS a USING (facet, value) WHERE coalesce(a.count, 0) <> coalesce(t.count, 0) $$;

-- Compare an answer with the truth, both in the caller's snapshot; '' if equal.
CREATE FUNCTION oracle.compare(request jsonb) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    truth uuid[] := ARRAY(SELECT id FROM oracle.found(request, false));
    pages record;
    facets text;
    sign integer := CASE WHEN request->>'sort_order' = 'asc' THEN 1 ELSE -1 END;
BEGIN
    IF cardinality(truth) = 0 AND request ?| '{phrase,phrase2}' THEN
        truth := ARRAY(SELECT id FROM oracle.found(request, true));
    END IF;
    pages := oracle.all_pages(oracle.body(request));
    facets := oracle.wrong_facets(truth, product_search(oracle.body(request) || '{"facets": true, "per_page": 1}') -> 'facets');
    RETURN CASE
        WHEN pages.problem IS NOT NULL THEN format('%s: %s', request, pages.problem)
        WHEN (SELECT count(DISTINCT id) FROM unnest(pages.ids) AS id) <> coalesce(cardinality(pages.ids), 0) THEN
            format('%s: a product came twice', request)
        WHEN EXISTS (SELECT FROM unnest(truth) AS id WHERE id <> ALL (coalesce(pages.ids, '{}'))) THEN
            format('%s: %s of %s products are missing', request,
                   (SELECT count(*) FROM unnest(truth) AS id WHERE id <> ALL (coalesce(pages.ids, '{}'))), cardinality(truth))
        WHEN cardinality(truth) <> coalesce(cardinality(pages.ids), 0) THEN
            format('%s: %s products too many', request, cardinality(pages.ids) - cardinality(truth))
        WHEN EXISTS (SELECT FROM unnest(pages.keys) WITH ORDINALITY AS a(key, i) JOIN unnest(pages.keys) WITH ORDINALITY AS b(key, i)
                      ON b.i = a.i + 1 WHERE sign * a.key > sign * b.key) THEN
            format('%s: out of order', request)
        WHEN facets IS NOT NULL THEN format('%s: %s', request, facets)
        ELSE '' END;
END $$;

-- The fields that are weighed, of all products that can be found.
CREATE FUNCTION oracle.fields(OUT id uuid, OUT field integer, OUT words tsvector) RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT p.id, f.field, to_tsvector('english', coalesce(f.content, ''))
      FROM insurance_products AS p,
           LATERAL (VALUES (1, p.product_name),
                           (2, array_to_string(p.search_keywords || p.ai_tags, ' ')),
                           (3, p.description),
                           (4, (SELECT string_agg(t, ' ') FROM oracle.json_texts(p.benefits) AS t)),
                           (5, (SELECT string_agg(t, ' ') FROM oracle.json_texts(p.coverage_details) AS t))) AS f(field, content)
     WHERE p.is_active $$;

-- BM25F as doc/search.md has it, without boosts, of the products with any of the words; and how much
-- of the score one of the 80 steps is that the index has for how much a word says.
CREATE FUNCTION oracle.relevance(query text) RETURNS TABLE (id uuid, score double precision, step double precision) LANGUAGE sql STABLE AS $$
    WITH weights(field, weight, b) AS (VALUES (1, 6, 0.5), (2, 3, 0.5), (3, 1, 0.85), (4, 1, 0.85), (5, 0.5, 0.85)),
    texts AS MATERIALIZED (SELECT * FROM oracle.fields()),
    lengths AS MATERIALIZED (
        SELECT t.id, t.field, coalesce((SELECT sum(cardinality(positions)) FROM unnest(t.words)), 0)::float8 AS length FROM texts AS t),
    averages AS (SELECT field, greatest(avg(length), 1) AS length FROM lengths GROUP BY field),
    asked AS (SELECT lexeme FROM unnest(to_tsvector('english', query))),
    found AS MATERIALIZED (
        SELECT t.id, a.lexeme, sum(w.weight * cardinality(u.positions) / (1 - w.b + w.b * l.length / v.length)) AS x
          FROM texts AS t CROSS JOIN LATERAL unnest(t.words) AS u JOIN asked AS a ON a.lexeme = u.lexeme
               JOIN weights AS w ON w.field = t.field JOIN averages AS v ON v.field = t.field
               JOIN lengths AS l ON l.id = t.id AND l.field = t.field
         GROUP BY t.id, a.lexeme),
    rarity AS (
        SELECT lexeme, power(ln(1 + ((SELECT count(DISTINCT texts.id) FROM texts) - count(*) + 0.5) / (count(*) + 0.5)), 0.8) AS weight
          FROM found GROUP BY lexeme)
    SELECT f.id, sum(r.weight * f.x / (1.8 + f.x)) * c.coordination, sum(r.weight) / 80 * c.coordination
      FROM found AS f JOIN rarity AS r ON r.lexeme = f.lexeme,
           LATERAL (SELECT CASE WHEN count(*) > 1 AND count(*) = (SELECT count(*) FROM asked) THEN 2 ELSE 1 END AS coordination
                      FROM found AS g WHERE g.id = f.id) AS c
     GROUP BY f.id, c.coordination $$;

-- Is the order by relevance right, but for half a step that each of two products is rounded, and for
-- how lengths are counted?
CREATE FUNCTION oracle.compare_order(words text) RETURNS text LANGUAGE sql STABLE AS $$
    WITH ranked AS (
        SELECT a.i, r.score, r.step
          FROM oracle.all_pages(jsonb_build_object('search_term', words, 'sort_by', 'relevance', 'per_page', 100)) AS pages CROSS JOIN
               unnest(pages.ids) WITH ORDINALITY AS a(id, i) JOIN oracle.relevance(words) AS r ON r.id = a.id)
    SELECT coalesce((SELECT format('%s: score %s at place %s stands before %s', words, round(a.score::numeric, 3), a.i, round(b.score::numeric, 3))
                       FROM ranked AS a JOIN ranked AS b ON b.i = a.i + 1
                      WHERE b.score > 1.1 * a.score + 0.51 * (a.step + b.step) LIMIT 1), '') $$;
