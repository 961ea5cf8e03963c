-- What search makes of texts: words, languages, synonyms, typos, phrases,
-- highlights, suggestions.
\set VERBOSITY terse
SET client_min_messages = warning;
UPDATE rate_limit_rules SET max_requests = 1000000 WHERE endpoint IN ('product_search', 'suggest');

-- words: punctuation separates, numbers keep their point, accents go
SELECT * FROM padlock.search_terms('Fire/flood & "All-Risk" 1,000.50 €5k, Zürich; driver''s dv7-1211 3.5in');
SELECT * FROM padlock.search_terms('Prévoyance ÉTÉ ﬁne 保険 مرحبا 😀™ so­ft');
SELECT * FROM padlock.search_terms('Die Versicherungen für Häuser', 'german');
SELECT * FROM padlock.search_terms('Running wolves', 'no such language');
SELECT count(*), max(length(word)), max(length(term)) FROM padlock.search_terms(repeat('x', 5000) || ' ' || repeat('é', 300));
SELECT count(*) FROM padlock.search_terms('');
SELECT count(*) FROM padlock.search_terms(E'\t\n .,;:*&|!()<>''"\\%_-–—“”');

-- words are counted with removed products until their segment is merged
SELECT padlock.search_rebuild() >= 0 AS rebuilt;
-- some products
INSERT INTO insurance_companies (id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'Words Ltd');
INSERT INTO insurance_products (company_id, product_code, product_name, policy_type, premium_amount, description, search_keywords, benefits, coverage_details)
SELECT '00000000-0000-4000-8000-000000000001', code, name, 'other', 10, description, keywords, benefits, coverage
  FROM (VALUES
        ('W-1', 'Comprehensive Car Insurance', 'Fire/flood and theft, with a courtesy car', ARRAY['windscreen'], '{"includes": ["courtesy car"]}'::jsonb, NULL::jsonb),
        ('W-2', 'Motor Third Party', 'Liability only, no theft', NULL, NULL, '{"theft": false, "injury": true, "limit": 5000}'),
        ('W-3', 'Online Doctor', 'See a general practitioner by video', NULL, NULL, NULL),
        ('W-4', 'Dental Plan', 'Dentists & <b>orthodontists</b>; "braces"', ARRAY['dental', 'teeth whitening'], NULL, NULL),
        ('W-5', 'Pet Insurance', 'Vet fees for dogs', ARRAY['pet'], NULL, NULL),
        ('W-6', 'Pet Plan Plus', 'Insurance for every pet', ARRAY['pet'], NULL, NULL),
        ('W-7', 'Pet Care', 'Insurance for cats, and pets of any kind', ARRAY['pet'], NULL, NULL),
        ('SKU 77/X', 'Odd Code', 'Nothing in common', NULL, NULL, NULL)
       ) AS p(code, name, description, keywords, benefits, coverage);
INSERT INTO insurance_products (company_id, product_code, product_name, policy_type, premium_amount, description, language)
VALUES ('00000000-0000-4000-8000-000000000001', 'D-1', 'Hausratversicherung', 'home', 12, 'Schutz für Häuser und Wohnungen', 'german');

-- codes of what is found, what was corrected and what was given up
CREATE FUNCTION found(term text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce((SELECT string_agg(p->>'product_code', ' ' ORDER BY p->>'product_code') FROM jsonb_array_elements(a->'products') AS p), '-')
           || coalesce('  corrected: ' || (a->>'corrected'), '') || coalesce('  relaxed: ' || (a->>'relaxed'), '')
      FROM product_search(search_term => term) AS a $$;

SELECT term, found(term)
  FROM unnest(ARRAY['car', 'automobile', 'GP', 'general practitioner', 'physician', 'theft', 'injury', 'flood', 'fire flood', 'dentist',
                    'insurance', 'insurnace', 'dentl', 'petinsurance', 'w-1', 'W-5', 'sku 77/x', '5000', 'Häuser', 'haeuser', 'hauser']) WITH ORDINALITY AS t(term, i)
 ORDER BY i;
SELECT term, found(term)
  FROM unnest(ARRAY['"courtesy car"', '"car courtesy"', '"general practitioner" -video', 'pet -dogs', '-pet', '-"pet plan" pet',
                    '"fees for dogs"', '"fees of dogs"', '“pet insurance”', '"unclosed car', 'compre', 'compre cover', 'xylophonist', 'orthodnotsits']) WITH ORDINALITY AS t(term, i)
 ORDER BY i;

-- words of three letters are never corrected, and no word that some product has
UPDATE insurance_products SET description = description || '; a broken limb, tarp, let' WHERE product_code = 'W-6';
SELECT term, found(term)
  FROM unnest(ARRAY['broken leg', 'leg', 'lett', 'trap', 'tarp', 'pett', 'plam', 'plami', 'doktor', 'dcotro', 'kurtessy', 'physicain', 'mogty', 'com', 'comp', 'é', 'éééé']) WITH ORDINALITY AS t(term, i)
 ORDER BY i;

-- anything may be typed
SELECT term, found(term)
  FROM unnest(ARRAY['', '   ', 'the of and', '!!! ???', ':*&|!()', '%', '_', '%%__', '''', '''''; DROP TABLE x; --', '\', '"', '""', '"" ""', '-', '--', '- -', '-""', '-"',
                    E'a\tb\nc', E'\x01\x02\x7f', '😀', '🚗 car', 'مرحبا بالعالم', '<->', 'car & | !dog', 'car:*', 'car:A', '(car', 'NULL', 'null', '{}', '[]', '$1', '€', '-"the"', '"the"']) WITH ORDINALITY AS t(term, i)
 ORDER BY i;
SELECT found(repeat('x', 200)), found(repeat('a b ', 50)), found(repeat('"x" ', 50));
SELECT found(repeat('x', 201));

-- synonyms: a change shows at once, and goes with its transaction
SELECT found('moggy');
INSERT INTO search_synonyms (words) VALUES (ARRAY['moggy', 'cat']);
SELECT found('moggy'), found('mogy');
BEGIN;
DELETE FROM search_synonyms WHERE 'moggy' = ANY (words);
SELECT found('moggy');
ROLLBACK;
SELECT found('moggy');
UPDATE search_synonyms SET words = ARRAY['moggy', 'vet fees'] WHERE 'moggy' = ANY (words);
SELECT found('moggy');
DELETE FROM search_synonyms WHERE 'moggy' = ANY (words);
-- expressions of a row that begin alike, before and after the word itself
INSERT INTO search_synonyms (words) VALUES (ARRAY['moggy', 'vet bills', 'vet fees', 'kitten', 'vet']), (ARRAY['tabby', 'kitten fees', 'kitten', 'vet', 'vet fees']);
SELECT found('moggy'), found('tabby');
UPDATE search_synonyms SET words = array_remove(words, 'vet') WHERE words && '{moggy,tabby}';
SELECT found('moggy'), found('tabby');
UPDATE search_synonyms SET words = ARRAY['moggy', 'dog bills', 'dog fees'] WHERE 'moggy' = ANY (words);
SELECT found('moggy');
-- which of them a product has is what is explained and marked
UPDATE search_synonyms SET words = ARRAY['moggy', 'vet cover', 'pet plan', 'dog fees'] WHERE 'moggy' = ANY (words);
SELECT p->>'product_code' AS code, p->'highlight' AS highlight, jsonb_path_query_array(p, '$.explain.words[*].term') AS terms, p #> '{explain,all_words}' AS all_words
  FROM jsonb_array_elements(product_search(search_term => 'moggy insurance', highlight => 'true', explain => 'true')->'products') AS p ORDER BY 1;
SELECT t - 'weight' AS term
  FROM product_search(search_term => 'moggy', explain => 'true') AS a, jsonb_array_elements(a #> '{explain,words,0,terms}') AS t WHERE t->>'by' = 'synonym';
DELETE FROM search_synonyms WHERE words && '{moggy,tabby}';

-- words are looked up anew when dictionaries have changed, those of synonyms, too
BEGIN;
INSERT INTO search_synonyms (words) VALUES (ARRAY['moggies', 'wolverines']);
UPDATE insurance_products SET description = 'Wolverines' WHERE product_name = 'Odd Code';
SELECT found('wolverine'), found('moggy'), found('moggies');
ALTER TEXT SEARCH CONFIGURATION pg_catalog.english ALTER MAPPING FOR asciiword WITH pg_catalog.simple;
SELECT padlock.search_rebuild() > 0 AS rebuilt;
UPDATE insurance_products SET description = 'All wolverines' WHERE product_name = 'Odd Code';
SELECT found('wolverines'), found('moggies'), differences FROM padlock.search_check();
ROLLBACK;
-- and after an error of theirs
BEGIN;
CREATE TEXT SEARCH DICTIONARY public.search_words (TEMPLATE = snowball, Language = english, StopWords = english);
CREATE TEXT SEARCH DICTIONARY public.search_phrases (TEMPLATE = thesaurus, DictFile = thesaurus_sample, Dictionary = 'public.search_words');
ALTER TEXT SEARCH CONFIGURATION pg_catalog.english ALTER MAPPING FOR asciiword WITH public.search_phrases;
DROP TEXT SEARCH DICTIONARY public.search_words;
UPDATE insurance_products SET description = 'Narwhals' WHERE product_name = 'Odd Code';
SAVEPOINT here;
SELECT product_search() -> 'pagination';
ROLLBACK TO here;
SELECT product_search() -> 'pagination';
ROLLBACK;
\set VERBOSITY default
INSERT INTO search_synonyms (words) VALUES (ARRAY['alone']);
INSERT INTO search_synonyms (words) VALUES (ARRAY['one', NULL]);
INSERT INTO search_synonyms (words) VALUES ('{{a,b},{c,d}}');
INSERT INTO search_synonyms (words) VALUES ('{}');
INSERT INTO search_synonyms (words) SELECT array_agg('word' || i) FROM generate_series(1, 21) AS i;
INSERT INTO search_synonyms (words) VALUES (ARRAY['moped', '  ', 'scooter']);
INSERT INTO search_synonyms (words) VALUES (ARRAY['moped', 'scooter']), (ARRAY['the', 'of']);
INSERT INTO search_synonyms (words) VALUES (ARRAY['one two three four five', 'six']);
INSERT INTO search_synonyms (words) VALUES (ARRAY['cars', 'car', 'CAR']);
INSERT INTO search_synonyms (words, language) VALUES (ARRAY['qapla', 'success'], 'klingon');
INSERT INTO search_synonyms (words, language) VALUES (ARRAY['qapla', 'success'], '');
UPDATE search_synonyms SET language = 'klingon' WHERE 'car' = ANY (words);
\set VERBOSITY terse
INSERT INTO search_synonyms (words) VALUES (NULL);
INSERT INTO search_synonyms (words) VALUES (ARRAY['moped', repeat('x', 1000)]);
SELECT count(*) FROM search_synonyms WHERE words && '{moped,alone,one,six,cars,qapla,word1}' OR language <> 'english';
INSERT INTO search_synonyms (words, language) VALUES (ARRAY['the', 'of'], 'simple'), (ARRAY['one and two or three and four', 'six'], 'english') RETURNING words;
DELETE FROM search_synonyms WHERE words && '{the,six}';
SET ROLE authenticated;
SELECT count(*) FROM search_synonyms;
INSERT INTO search_synonyms (words) VALUES (ARRAY['moped', 'scooter']);
RESET ROLE;
SET ROLE anon;
SELECT count(*) FROM search_synonyms;
RESET ROLE;
SELECT padlock.search_synonyms_changed();
SELECT padlock.search_synonyms_check();

-- highlights are escaped and bounded
SELECT jsonb_pretty(p->'highlight')
  FROM jsonb_array_elements(product_search('{"search_term": "dentist braces tooth", "highlight": true}'::jsonb)->'products') AS p;
SELECT p->>'product_code' AS code, p->'highlight' AS highlight
  FROM jsonb_array_elements(product_search('{"search_term": "theft injury", "highlight": true}'::jsonb)->'products') AS p ORDER BY 1;
UPDATE insurance_products SET description = repeat('Lorem ipsum <i>', 100) || ' quake ' || repeat('dolor sit', 100) WHERE product_code = 'W-3';
SELECT length(p #>> '{highlight,description}') < 400, p #>> '{highlight,description}' LIKE '%<mark>quake</mark>%', p #>> '{highlight,description}' LIKE '%<i>%'
  FROM jsonb_array_elements(product_search('{"search_term": "quake", "highlight": true}'::jsonb)->'products') AS p;

-- suggestions
SELECT suggest('ins');
SELECT suggest('cheap PET'), suggest('pet '), suggest('courtes', '1'), suggest('dentt');
SELECT suggest(''), suggest('  '), suggest('%'), suggest('"'), suggest('😀'), suggest(E'\x01');
SELECT suggest(NULL);
SELECT suggest('{"prefix": "ins"}');
SELECT suggest('{');
UPDATE insurance_products SET search_keywords = '{prévoyance,prevoyance,Prévention,привет,Йога,ärzte,ångström,保険}' WHERE product_code = 'W-6';
UPDATE insurance_products SET search_keywords = '{prévoyance}' WHERE product_code = 'W-7';
SELECT typed, (SELECT string_agg(concat_ws(' ', s ->> 'text', s ->> 'products'), ', ') FROM jsonb_array_elements(suggest(typed) -> 'suggestions') AS s)
  FROM unnest('{prev,PRÉV,prévo,preventon,pr,a,ä,arz,йо,ио,при,при7,保,険,zürich cover-9x,dentl-7,dentl}'::text[]) AS typed;
SELECT suggest('a', '0');
SELECT suggest('a', 'many');
SELECT suggest(repeat('x', 201));

-- nobody is told words that only hidden products have, in the index or not
CREATE FUNCTION told() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' | ', suggest('zorb') #>> '{suggestions,0,text}', suggest('zorblaxam') #>> '{suggestions,0,text}',
                     a->>'corrected', a #>> '{explain,words,0,terms}')
      FROM product_search(search_term => 'zorblaxam', explain => 'true') AS a $$;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT id, 'Zorblaxium plan', 'other', 1 FROM insurance_companies WHERE name = 'Words Ltd';
SELECT padlock.search_merge(), told();
UPDATE insurance_companies SET is_active = false WHERE name = 'Words Ltd';
SELECT told();
SELECT padlock.search_rebuild() > 0 AS rebuilt, told();
SELECT product_search(search_term => 'zorblaxium', explain => 'true') #> '{explain,words,0,terms}' AS explained;
UPDATE insurance_companies SET is_active = true WHERE name = 'Words Ltd';
SELECT told();
UPDATE insurance_products SET is_active = false WHERE product_name = 'Zorblaxium plan';
SELECT told();
SELECT padlock.search_merge(), told();

DROP FUNCTION told;

-- every language that products are written in is read, however few they are
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, language)
SELECT id, 'Probe', 'other', 1, language
  FROM insurance_companies, unnest('{simple,arabic,catalan,danish,dutch,french,german,italian,spanish,turkish,russian}'::text[]) AS language, generate_series(1, 3)
 WHERE name = 'Words Ltd';
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, language)
SELECT id, product, 'other', 1, language
  FROM insurance_companies, (VALUES ('Autovakuutukset perheille', 'finnish'), ('Biztosítások', 'hungarian'), ('Łódź Hayatı Øre', 'simple')) AS p(product, language)
 WHERE name = 'Words Ltd';
SELECT term, product_search(search_term => term) #>> '{products,0,product_name}' AS found
  FROM unnest(ARRAY['autovakuutukset', 'AUTOVAKUUTUS', 'perheille', 'biztosítások', 'biztositas', 'łódź', 'LODZ', 'hayati', 'ore']) AS term;
SELECT term, product_search(search_term => term) ->> 'corrected' AS corrected
  FROM unnest(ARRAY['perheile', 'perheile cover', 'perheile-7', '7perheile', '"perheile 7"']) AS term;

-- a stop word of one language may be a word of another
INSERT INTO insurance_products (company_id, product_code, product_name, policy_type, premium_amount, language)
SELECT c.id, p.code, p.name, 'other', 1, 'german'
  FROM insurance_companies AS c, (VALUES ('D-2', 'Not'), ('D-3', 'Haus und Garten'), ('D-4', 'Alles ohne Garten')) AS p(code, name)
 WHERE c.name = 'Words Ltd';
SELECT term, found(term)
  FROM unnest(ARRAY['not', '"not"', 'not braces', 'the and', '"haus und garten"', '"alles ohne garten"', 'ohne zzz', 'und']) WITH ORDINALITY AS t(term, i)
 ORDER BY i;
SELECT product_search(search_term => 'haus und garten', explain => 'true') #>> '{products,0,explain,all_words}' AS all_words;

DROP FUNCTION found;
DELETE FROM insurance_companies WHERE name = 'Words Ltd';
UPDATE rate_limit_rules SET max_requests = CASE endpoint WHEN 'suggest' THEN 10000 ELSE 1000 END WHERE endpoint IN ('product_search', 'suggest');
