
-- The search index.  It is derived: padlock.search_rebuild() makes it anew.
CREATE TABLE padlock.search_segments (
    id bigint CONSTRAINT search_segments_pkey PRIMARY KEY,
    position bigint NOT NULL,
    bulk boolean NOT NULL,
    documents integer NOT NULL,
    size bigint NOT NULL,
    resume_xid xid8 NOT NULL,
    running xid8[] NOT NULL,
    system bigint NOT NULL,
    statistics_documents bigint NOT NULL,
    average_lengths real[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE padlock.search_segments IS 'padlock: the pieces of the search index; never changed, only added and removed';
CREATE TABLE padlock.search_blocks (
    segment bigint,
    number integer,
    data bytea NOT NULL,
    CONSTRAINT search_blocks_pkey PRIMARY KEY (segment, number)
);
ALTER TABLE padlock.search_blocks ALTER COLUMN data SET STORAGE PLAIN;
COMMENT ON TABLE padlock.search_blocks IS 'padlock: the contents of the search index';
CREATE TABLE padlock.search_changes (
    id bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8,
    products uuid[],
    CONSTRAINT search_changes_pkey PRIMARY KEY (xid, id)
);
COMMENT ON TABLE padlock.search_changes IS 'padlock: products written since the search index was last merged; none: a company was switched on or off; null: all products';
ALTER TABLE padlock.search_changes SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_insert_threshold = -1);
-- Searches and writers would wait for who gives the end of a table back, also where that is replayed.
ALTER TABLE padlock.search_segments SET (vacuum_truncate = false);
ALTER TABLE padlock.search_blocks SET (vacuum_truncate = false);
ALTER TABLE padlock.search_changes SET (vacuum_truncate = false);
ALTER TABLE padlock.search_segments ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_segments FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_blocks ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_blocks FORCE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE padlock.search_changes FORCE ROW LEVEL SECURITY;
REVOKE ALL ON TABLE padlock.search_segments, padlock.search_blocks, padlock.search_changes FROM PUBLIC, anon, authenticated, service_role;
REVOKE ALL ON SEQUENCE padlock.search_changes_id_seq FROM PUBLIC, anon, authenticated, service_role;
CREATE TRIGGER insurance_products_search_insert AFTER INSERT ON @extschema@.insurance_products
    REFERENCING NEW TABLE AS new_products FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_note_changes();
CREATE TRIGGER insurance_products_search_update AFTER UPDATE ON @extschema@.insurance_products
    REFERENCING OLD TABLE AS old_products NEW TABLE AS new_products FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_note_changes();
CREATE TRIGGER insurance_products_search_delete AFTER DELETE ON @extschema@.insurance_products
    REFERENCING OLD TABLE AS old_products FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_note_changes();
CREATE TRIGGER insurance_products_search_truncate AFTER TRUNCATE ON @extschema@.insurance_products
    FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_note_changes();
ALTER TABLE @extschema@.insurance_products ENABLE ALWAYS TRIGGER insurance_products_search_truncate;
-- Of what those of statements do not hear: replication, a parent table's statements.
CREATE TRIGGER insurance_products_search_rows AFTER INSERT OR UPDATE OR DELETE ON @extschema@.insurance_products
    FOR EACH ROW EXECUTE FUNCTION padlock.search_note_changes();
ALTER TABLE @extschema@.insurance_products ENABLE ALWAYS TRIGGER insurance_products_search_rows;
CREATE TRIGGER insurance_companies_search AFTER INSERT OR UPDATE OR DELETE ON @extschema@.insurance_companies
    FOR EACH ROW EXECUTE FUNCTION padlock.search_note_companies();
ALTER TABLE @extschema@.insurance_companies ENABLE ALWAYS TRIGGER insurance_companies_search;
SELECT padlock.search_start();

-- Words that mean the same, for search.
CREATE TABLE @extschema@.search_synonyms (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    words text[] NOT NULL CONSTRAINT search_synonyms_words CHECK (
        pg_catalog.cardinality(words) >= 2 AND pg_catalog.cardinality(words) <= 20 AND pg_catalog.array_ndims(words) = 1 AND
        pg_catalog.array_position(words, NULL) IS NULL AND
        pg_catalog.length(pg_catalog.array_to_string(words, '')) <= 1000),
    language text NOT NULL DEFAULT 'english' CONSTRAINT search_synonyms_language CHECK (pg_catalog.length(language) BETWEEN 1 AND 63),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.search_synonyms IS 'padlock: words of the same meaning; who searches for one finds the others, too';
COMMENT ON COLUMN @extschema@.search_synonyms.words IS 'expressions of one to four words each';
COMMENT ON COLUMN @extschema@.search_synonyms.language IS 'the text search configuration that stems them';
ALTER TABLE @extschema@.search_synonyms ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.search_synonyms FORCE ROW LEVEL SECURITY;
CREATE POLICY search_synonyms_admin ON @extschema@.search_synonyms FOR ALL TO authenticated, service_role
    USING (padlock.is_privileged()) WITH CHECK (padlock.is_privileged());
REVOKE ALL ON TABLE @extschema@.search_synonyms FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE @extschema@.search_synonyms TO authenticated, service_role;
CREATE TRIGGER search_synonyms_check BEFORE INSERT OR UPDATE OF words, language ON @extschema@.search_synonyms FOR EACH ROW EXECUTE FUNCTION padlock.search_synonyms_check();
CREATE TRIGGER search_synonyms_touch BEFORE UPDATE ON @extschema@.search_synonyms FOR EACH ROW EXECUTE FUNCTION padlock.touch_updated_at();
CREATE TRIGGER search_synonyms_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.search_synonyms FOR EACH STATEMENT EXECUTE FUNCTION padlock.search_synonyms_changed();
CREATE TRIGGER search_synonyms_audit AFTER INSERT OR UPDATE OR DELETE ON @extschema@.search_synonyms FOR EACH ROW EXECUTE FUNCTION padlock.audit_row();
CREATE TRIGGER search_synonyms_audit_truncate AFTER TRUNCATE ON @extschema@.search_synonyms FOR EACH STATEMENT EXECUTE FUNCTION padlock.audit_row();
-- Only words that mean the same wherever they stand: "cover" is what every
-- product is about, and "term" is more than term life insurance.
INSERT INTO @extschema@.search_synonyms (words)
SELECT words
  FROM (VALUES
        (ARRAY['car', 'auto', 'automobile', 'motor', 'motorcar', 'vehicle']),
        (ARRAY['motorcycle', 'motorbike', 'bike']), (ARRAY['van', 'LCV', 'light commercial vehicle']),
        (ARRAY['lorry', 'truck', 'HGV', 'heavy goods vehicle']),
        (ARRAY['bicycle', 'cycle', 'bike', 'pushbike', 'e-bike']), (ARRAY['caravan', 'motorhome', 'camper', 'campervan']),
        (ARRAY['windscreen', 'windshield', 'car glass']),
        (ARRAY['breakdown', 'roadside assistance', 'road assistance', 'towing']),
        (ARRAY['TPL', 'third party liability']), (ARRAY['TPFT', 'third party fire and theft']),
        (ARRAY['comprehensive', 'fully comp', 'casco', 'kasko']),
        (ARRAY['NCD', 'NCB', 'no claims discount', 'no claims bonus']),
        (ARRAY['excess', 'deductible', 'self-insured retention']),
        (ARRAY['PAYG', 'pay as you go', 'usage based', 'telematics', 'black box']),
        (ARRAY['home', 'house', 'household', 'homeowner']),
        (ARRAY['flat', 'apartment', 'condo', 'condominium']),
        (ARRAY['renter', 'tenant', 'lodger']), (ARRAY['landlord', 'buy to let', 'rental property']),
        (ARRAY['contents', 'belongings', 'possessions', 'personal effects']),
        (ARRAY['burglary', 'theft', 'robbery', 'stolen', 'break-in']),
        (ARRAY['jewellery', 'jewelry', 'valuables', 'engagement ring']),
        (ARRAY['boiler', 'heating', 'furnace']), (ARRAY['plumbing', 'water leak', 'escape of water']),
        (ARRAY['earthquake', 'seismic', 'quake']), (ARRAY['storm', 'windstorm', 'hurricane', 'typhoon', 'cyclone']),
        (ARRAY['flood', 'flooding', 'inundation']),
        (ARRAY['health', 'medical', 'PMI', 'private medical', 'healthcare']),
        (ARRAY['doctor', 'GP', 'general practitioner', 'physician']),
        (ARRAY['dental', 'dentist', 'teeth', 'tooth', 'orthodontic', 'braces']),
        (ARRAY['vision', 'optical', 'optician', 'eye care', 'glasses', 'eyesight']),
        (ARRAY['maternity', 'pregnancy', 'pregnant', 'childbirth', 'antenatal', 'prenatal']),
        (ARRAY['hospital', 'inpatient', 'hospitalisation', 'hospitalization', 'ward']),
        (ARRAY['outpatient', 'ambulatory', 'day patient']),
        (ARRAY['emergency', 'urgent', 'casualty']),
        (ARRAY['surgery', 'operation', 'surgical']),
        (ARRAY['prescription', 'medicine', 'medication', 'pharmacy']),
        (ARRAY['mental', 'psychiatric', 'psychological', 'counselling', 'counseling', 'therapy']),
        (ARRAY['physiotherapy', 'physio', 'physical therapy']),
        (ARRAY['cancer', 'oncology', 'tumour', 'tumor']), (ARRAY['heart', 'cardiac', 'cardiovascular']),
        (ARRAY['pre-existing', 'preexisting', 'existing condition']),
        (ARRAY['telemedicine', 'telehealth', 'online doctor', 'virtual doctor', 'video doctor']),
        (ARRAY['checkup', 'check-up', 'screening', 'preventive', 'preventative', 'wellness']),
        (ARRAY['copay', 'copayment', 'coinsurance']), (ARRAY['HMO', 'PPO', 'provider network']),
        (ARRAY['life', 'life assurance', 'death cover', 'death benefit']),
        (ARRAY['funeral', 'burial', 'final expense', 'funeral plan']),
        (ARRAY['critical illness', 'serious illness', 'dread disease']),
        (ARRAY['income protection', 'loss of income', 'salary protection', 'sick pay']),
        (ARRAY['annuity', 'pension', 'retirement']), (ARRAY['savings', 'endowment', 'investment']),
        (ARRAY['beneficiary', 'nominee', 'heir']), (ARRAY['payout', 'lump sum', 'settlement']),
        (ARRAY['travel', 'trip', 'holiday', 'vacation', 'journey', 'flight']),
        (ARRAY['baggage', 'luggage', 'suitcase']), (ARRAY['cancellation', 'curtailment']),
        (ARRAY['overseas', 'abroad', 'international', 'worldwide', 'global']),
        (ARRAY['skiing', 'ski', 'snowboard', 'winter sports']), (ARRAY['evacuation', 'repatriation', 'medevac']),
        (ARRAY['expat', 'expatriate', 'living abroad']), (ARRAY['backpacker', 'gap year']),
        (ARRAY['pet', 'animal']), (ARRAY['dog', 'canine', 'puppy']), (ARRAY['cat', 'feline', 'kitten']), (ARRAY['vet', 'veterinary', 'veterinarian']),
        (ARRAY['horse', 'equine', 'pony']),
        (ARRAY['business', 'commercial', 'company', 'SME', 'corporate']),
        (ARRAY['PI', 'professional indemnity', 'errors and omissions', 'malpractice']),
        (ARRAY['employers liability', 'workers compensation', 'workmens compensation', 'workers comp']),
        (ARRAY['public liability', 'general liability', 'third party injury']),
        (ARRAY['cyber', 'ransomware', 'hacking', 'data breach', 'phishing']),
        (ARRAY['marine', 'cargo', 'shipping', 'freight']), (ARRAY['boat', 'yacht', 'vessel', 'watercraft']),
        (ARRAY['phone', 'mobile', 'smartphone', 'cellphone', 'cell phone', 'iphone']),
        (ARRAY['laptop', 'notebook']), (ARRAY['gadget', 'electronics', 'device']),
        (ARRAY['warranty', 'guarantee', 'extended warranty']),
        (ARRAY['senior', 'elderly', 'older', 'over 50', 'over 50s', 'over 60s', 'over 65', 'over 65s', 'over 70s', 'retiree']),
        (ARRAY['child', 'children', 'kid', 'kids']), (ARRAY['student', 'undergraduate', 'university']),
        (ARRAY['freelancer', 'self-employed', 'contractor', 'sole trader']),
        (ARRAY['cheap', 'affordable', 'budget', 'low cost', 'inexpensive', 'economy']),
        (ARRAY['monthly', 'per month', 'instalments', 'installments']), (ARRAY['yearly', 'annual', 'annually', 'per year']),
        (ARRAY['lawyer', 'solicitor', 'attorney', 'legal expenses', 'legal protection']),
        (ARRAY['crop', 'harvest', 'farm', 'agricultural', 'agriculture']), (ARRAY['livestock', 'cattle']),
        (ARRAY['microinsurance', 'micro insurance']), (ARRAY['takaful', 'islamic insurance', 'sharia compliant', 'halal'])
       ) AS seed(words)
 WHERE NOT EXISTS (SELECT FROM @extschema@.search_synonyms);

-- What visitors search for, when padlock.search_log is on.
CREATE TABLE @extschema@.search_log (
    day date NOT NULL,
    terms text NOT NULL,
    searches bigint NOT NULL,
    empty bigint NOT NULL,
    relaxed bigint NOT NULL,
    results bigint NOT NULL,
    milliseconds double precision NOT NULL,
    slowest double precision NOT NULL,
    CONSTRAINT search_log_pkey PRIMARY KEY (day, terms)
);
COMMENT ON TABLE @extschema@.search_log IS 'padlock: searches by day (UTC) and text, when padlock.search_log is on; nothing about who searched';
COMMENT ON COLUMN @extschema@.search_log.terms IS 'the words, lower case, digits as #, a minus before what is excluded; empty: texts without a word, the first two searches of each other, and all texts beyond the first 10000 of the day';
COMMENT ON COLUMN @extschema@.search_log.empty IS 'searches that found nothing';
COMMENT ON COLUMN @extschema@.search_log.relaxed IS 'searches that found something only after the query was relaxed';
COMMENT ON COLUMN @extschema@.search_log.results IS 'products found, of all searches together';
COMMENT ON COLUMN @extschema@.search_log.milliseconds IS 'time of all searches together';
COMMENT ON COLUMN @extschema@.search_log.slowest IS 'milliseconds of the slowest search';
ALTER TABLE @extschema@.search_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.search_log FORCE ROW LEVEL SECURITY;
CREATE POLICY search_log_admin ON @extschema@.search_log FOR ALL TO authenticated, service_role
    USING (padlock.is_privileged()) WITH CHECK (padlock.is_privileged());
REVOKE ALL ON TABLE @extschema@.search_log FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, DELETE ON TABLE @extschema@.search_log TO authenticated, service_role;
