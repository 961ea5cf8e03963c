-- The catalogue read as an attacker would: rules that every object of ours
-- keeps, also those that are added later.  (01 and 02 list tables, rights and
-- functions one by one; row security forced, PUBLIC's rights, search_path,
-- foreign keys' indexes and comments are there.)  An exception stands in the
-- query, with its reason.
BEGIN;
SELECT no_plan();
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, public, pgtap;

CREATE TEMP VIEW our_table AS
    SELECT c.* FROM pg_class c WHERE relnamespace IN ('public'::regnamespace, 'padlock'::regnamespace) AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f');
CREATE TEMP VIEW our_function AS
    SELECT p.* FROM pg_proc p WHERE pronamespace IN ('public'::regnamespace, 'padlock'::regnamespace);
CREATE TEMP VIEW our_policy AS
    SELECT p.*, relname, pg_get_expr(polqual, polrelid) AS qual, pg_get_expr(polwithcheck, polrelid) AS checks
      FROM pg_policy p JOIN our_table c ON c.oid = polrelid;
SELECT cmp_ok((SELECT count(*) FROM our_policy), '>', 20::bigint, 'there are policies to look at');

-- Policies.
SELECT is_empty($$SELECT relname, polname FROM our_policy WHERE concat(qual, checks) ~* '\mselect\M'$$, 'no policy has a sub-select: each would be planned for every row');
SELECT is_empty($$SELECT relname, polname FROM our_policy WHERE NOT polpermissive$$, 'policies only grant, so that their order does not matter');
SELECT is_empty($$SELECT relname, polname, p.oid::regprocedure FROM our_policy o
                    JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = o.oid AND d.refclassid = 'pg_proc'::regclass
                    JOIN pg_proc p ON p.oid = d.refobjid WHERE provolatile = 'v' OR proparallel <> 's' OR prosecdef$$,
                'what policies call is neither VOLATILE (no index then), nor unfit for parallel plans, nor SECURITY DEFINER');
SELECT is_empty($$SELECT relname, polname, p.oid::regprocedure FROM our_policy o
                    JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = o.oid AND d.refclassid = 'pg_proc'::regclass
                    JOIN pg_proc p ON p.oid = d.refobjid, unnest(polroles) AS role WHERE NOT has_function_privilege(role, p.oid, 'EXECUTE')$$,
                'whom a policy is for may call its functions');
SELECT is_empty($$SELECT relname, polname FROM our_policy WHERE coalesce(qual, 'true') = 'true' AND coalesce(checks, 'true') = 'true'$$, 'no policy lets everybody in');

-- What looks past row security must not tell of rows: a unique index of a table
-- that a low role may write is on the owner's columns, or on guarded ones.  The
-- tables left out are written by admins only, as their policies in 03 say.
CREATE TEMP VIEW guarded AS
    SELECT tgrelid, string_to_array(encode(tgargs, 'escape'), '\000') AS columns FROM pg_trigger WHERE tgfoid = 'padlock.guard_columns'::regproc;
SELECT set_eq($$SELECT DISTINCT tgrelid::regclass::text FROM guarded$$, ARRAY['policies', 'claims', 'documents', 'insurance_products', 'insurance_companies'], 'the tables that low roles write have a guard');
SELECT is_empty($$SELECT DISTINCT relname FROM our_policy, unnest(polroles) AS role
                   WHERE polcmd IN ('*', 'a', 'w') AND concat(qual, checks) ~ 'scope_(low|high)' AND polrelid NOT IN (SELECT tgrelid FROM guarded)$$,
                'a table whose rows their owners write has a guard');
CREATE TEMP VIEW unique_columns AS
    -- plain columns, and of an index on expressions the columns that these use
    SELECT i.indexrelid, indrelid, array_agg(DISTINCT attname::text) AS columns
      FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
     WHERE indisunique AND (attnum = ANY (indkey::int2[]) OR EXISTS (
           SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid = attnum))
     GROUP BY i.indexrelid, indrelid;
SELECT is_empty($$SELECT indexrelid::regclass, u.columns FROM unique_columns u JOIN guarded g ON g.tgrelid = u.indrelid
                   WHERE NOT (u.columns && ARRAY['user_id', 'company_id'] OR u.columns <@ g.columns)$$, 'no unique index tells of rows that are hidden');
SELECT is((SELECT count(*)::int FROM unique_columns WHERE indexrelid::regclass::text IN ('insurance_companies_same_name_key', 'policies_pkey', 'insurance_products_code_key')), 3, 'they are looked at');

-- Rights.
SELECT is_empty($$SELECT c.oid::regclass FROM our_table c, aclexplode(relacl) a WHERE grantee = 0$$, 'PUBLIC has no right on any table');
SELECT is_empty($$SELECT c.oid::regclass, grantee::regrole FROM our_table c, aclexplode(relacl) a WHERE is_grantable AND grantee <> relowner$$, 'nobody may hand rights on');
SELECT is_empty($$SELECT c.oid::regclass, grantee::regrole, privilege_type FROM our_table c, aclexplode(relacl) a
                   WHERE privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER') AND grantee <> relowner$$, 'nor empty a table, refer to it or hang triggers on it');
SELECT is_empty($$SELECT nspname FROM pg_namespace n, aclexplode(nspacl) a WHERE nspname = 'padlock' AND (grantee = 0 OR privilege_type = 'CREATE' AND grantee <> nspowner)$$,
                'schema padlock is nobody else''s to fill');
SELECT is_empty($$SELECT p.oid::regprocedure FROM our_function p WHERE proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0 OR is_grantable AND grantee <> proowner)$$,
                'no function is PUBLIC''s');
SELECT is_empty($$SELECT DISTINCT relowner::regrole FROM our_table WHERE relowner <> (SELECT extowner FROM pg_extension WHERE extname = 'padlock')
                  UNION SELECT proowner::regrole FROM our_function WHERE proowner <> (SELECT extowner FROM pg_extension WHERE extname = 'padlock')$$, 'one owner has all');
SELECT is_empty($$SELECT * FROM pg_default_acl$$, 'no default rights are changed');

-- Functions.
SELECT is_empty($$SELECT p.oid::regprocedure FROM our_function p JOIN pg_language l ON l.oid = prolang WHERE lanname = 'c' AND probin <> '$libdir/padlock'$$, 'C comes from our library');
-- how a query is run is a function's own affair; whom it believes, and what it may, is not
SELECT is_empty($$SELECT p.oid::regprocedure, c FROM our_function p, unnest(proconfig) c WHERE c <> 'search_path=pg_catalog, pg_temp' AND c !~ '^(jit|plan_cache_mode|work_mem|client_min_messages|enable_\w+)='$$, 'no function changes a setting that gives or takes rights');
SELECT is_empty($$SELECT p.oid::regprocedure FROM our_function p WHERE prorettype IN ('cstring'::regtype, 'internal'::regtype) OR 'internal'::regtype = ANY (proargtypes)$$,
                'none takes or gives raw pointers');
SELECT is_empty($$SELECT evtname FROM pg_event_trigger UNION ALL SELECT oprname FROM pg_operator WHERE oprnamespace IN ('public'::regnamespace, 'padlock'::regnamespace)
                  UNION ALL SELECT castfunc::regproc::name FROM pg_cast WHERE castfunc IN (SELECT oid FROM our_function)$$, 'no event trigger, operator or cast is ours');

-- Triggers run for everybody, and expressions that run as whoever writes a row
-- call what nobody can put something else in place of.
SELECT is((SELECT string_agg(format('%s %s', tgname, tgenabled), ', ' ORDER BY tgname) FROM pg_trigger JOIN our_table c ON c.oid = tgrelid WHERE tgenabled <> 'O'),
          'admin_users_forget A, admin_users_forget_truncate A, insurance_companies_search A, insurance_products_search_rows A, insurance_products_search_truncate A',
          'each trigger is enabled, and these five always');
SELECT is_empty($$SELECT tgrelid::regclass, tgname, tgfoid::regproc FROM pg_trigger JOIN our_table c ON c.oid = tgrelid JOIN pg_proc p ON p.oid = tgfoid
                   WHERE NOT tgisinternal AND pronamespace <> 'padlock'::regnamespace$$, 'and calls a function of schema padlock');
SELECT is_empty($$SELECT d.classid::regclass, d.objid, p.oid::regprocedure FROM pg_depend d JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
                   WHERE pronamespace NOT IN ('pg_catalog'::regnamespace, 'padlock'::regnamespace)
                     AND (d.classid = 'pg_policy'::regclass AND d.objid IN (SELECT oid FROM our_policy)
                          OR d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT a.oid FROM pg_attrdef a JOIN our_table c ON c.oid = adrelid)
                          OR d.classid = 'pg_constraint'::regclass AND d.objid IN (SELECT k.oid FROM pg_constraint k JOIN our_table c ON c.oid = conrelid)
                          OR d.classid = 'pg_trigger'::regclass AND d.objid IN (SELECT t.oid FROM pg_trigger t JOIN our_table c ON c.oid = tgrelid))$$,
                'policies, defaults, constraints and triggers call the server''s functions and those of schema padlock');
SELECT is_empty($$SELECT relname FROM our_table WHERE relkind IN ('m', 'f') OR relpersistence <> 'p'$$, 'no materialized view, foreign or unlogged table is ours');
SELECT is_empty($$SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role') AND (rolcanlogin OR rolbypassrls OR rolsuper)$$, 'the roles of clients cannot log in or pass row security');

SELECT * FROM finish();
ROLLBACK;
