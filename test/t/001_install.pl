# Installing: the preload check, schemas, what is refused, repair.

use strict;
use warnings;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $tables = q{SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('public', 'app', 'padlock')};
my ($node, $out, $err);

# Run SQL that must fail in a fresh database; returns the error.
my $number = 0;

sub refused
{
	my ($name, $before, $statement) = @_;
	my $db = 'refused' . ++$number;
	my ($rc, $before_tables);

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, $before);
	$before_tables = $node->safe_psql($db, $tables);
	($rc, $out, $err) = $node->psql($db, $statement);
	isnt($rc, 0, "$name: refused");
	is($node->safe_psql($db, $tables), $before_tables, "$name: nothing was left behind");
	is($node->safe_psql($db, "SELECT count(*) FROM pg_extension WHERE extname = 'padlock'"), '0',
		"$name: no extension");
	return $err;
}

# Not preloaded: the error has the line to add.
$node = new_cluster('bare', preload => '');
($out) = $node->psql('postgres', 'CREATE EXTENSION padlock', stderr => \$err);
isnt($out, 0, 'not preloaded: CREATE EXTENSION is refused');
like($err, qr/shared_preload_libraries = 'padlock'/, 'the error has the line to add');
is($node->safe_psql('postgres', $tables), '0', 'nothing was left behind');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role')"),
	'0', 'no role either');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'padlock'\n");
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION padlock');
pass('with the line added it works');

# The objects are the user's.
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
	WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'padlock')}),
	'0', 'no table, index or sequence is a member');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_depend d JOIN pg_type t ON t.oid = d.objid AND d.classid = 'pg_type'::regclass
	WHERE d.deptype = 'e' AND t.typtype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'padlock')}),
	'0', 'no enum is a member');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_init_privs p WHERE p.objoid >= 16384 AND NOT EXISTS (
		SELECT FROM pg_depend d WHERE d.objid = p.objoid AND d.classid = p.classoid AND d.deptype = 'e')}),
	'0', 'no initial privileges are recorded for an object that is not a member');
is($node->safe_psql('postgres', q{
	SELECT string_agg(c.relname, ' ') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname IN ('public', 'padlock') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND NOT (c.relrowsecurity AND c.relforcerowsecurity)}),
	'', 'every table has row security, for its owner too');

# Idempotent, and a repair.
is($node->safe_psql('postgres', 'SELECT padlock.install()'), '0', 'install() again makes nothing');
$node->safe_psql('postgres', q{
	DROP POLICY policies_own ON policies;
	DROP INDEX claims_status_idx;
	DROP TRIGGER claims_audit ON claims;
	DROP TABLE claims});
cmp_ok($node->safe_psql('postgres', 'SELECT padlock.install()'), '>', 1, 'install() makes what is missing');
is($node->safe_psql('postgres', 'SELECT padlock.install()'), '0', 'and then nothing');
is($node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM pg_policy WHERE polname = 'policies_own')
		+ (SELECT count(*) FROM pg_trigger WHERE tgname = 'claims_audit')
		+ (SELECT count(*) FROM pg_class WHERE relname = 'claims_status_idx')}),
	'3', 'policy, trigger and index are back');
$node->safe_psql('postgres', 'ALTER TABLE policies DROP COLUMN status CASCADE');
($out) = $node->psql('postgres', 'SELECT padlock.install()', stderr => \$err);
like($err, qr/table "policies" lacks column "status"/, 'a table that lacks a column is named');

# Only the owner installs.
$node->safe_psql('postgres', 'CREATE ROLE mallory');
($out) = $node->psql('postgres', 'SET ROLE mallory; SELECT padlock.install()', stderr => \$err);
like($err, qr/permission denied/, 'a stranger cannot run install()');

# What is there already is never adopted.
$err = refused("a stranger's schema padlock", 'CREATE SCHEMA padlock AUTHORIZATION mallory',
	'CREATE EXTENSION padlock');
like($err, qr/schema "padlock" exists already/, 'the error says so');
$err = refused('a schema padlock with our comment but not our owner',
	q{CREATE SCHEMA padlock AUTHORIZATION mallory; COMMENT ON SCHEMA padlock IS 'padlock: mine'},
	'CREATE EXTENSION padlock');
like($err, qr/schema "padlock" exists already/, 'the error says so');
$err = refused("the user's own documents", 'CREATE TABLE documents (id int, secret text)',
	'CREATE EXTENSION padlock');
like($err, qr/"documents" exists already/, 'the error names it');
$err = refused("a stranger's documents with our comment",
	q{CREATE TABLE documents (id int); COMMENT ON TABLE documents IS 'padlock: mine'; ALTER TABLE documents OWNER TO mallory},
	'CREATE EXTENSION padlock');
like($err, qr/"documents" exists already/, 'the error names it');
$err = refused("the user's own enum", "CREATE TYPE claim_status_enum AS ENUM ('yes')",
	'CREATE EXTENSION padlock');
like($err, qr/"claim_status_enum" exists already/, 'the error names it');

# A schema of its own.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE SCHEMA app; CREATE TABLE public.documents (id int); CREATE EXTENSION padlock SCHEMA app');
is($node->safe_psql('other', "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), '1',
	'SCHEMA app: nothing of ours in public');
is($node->safe_psql('other', "SELECT count(*) FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relname IN ('users', 'documents', 'job_queue')"),
	'3', 'SCHEMA app: the tables are there');
is($node->safe_psql('other', 'SELECT padlock.install()'), '0', 'SCHEMA app: install() knows it');
$node->safe_psql('other', q{SELECT app.enqueue_job('test', '{"n": 1}')});
is($node->safe_psql('other', "SELECT job_type, payload FROM app.get_next_job('me')"), 'test|{"n": 1}',
	'SCHEMA app: the queue works');
$node->safe_psql('other', q{
	INSERT INTO app.users (id, email) VALUES ('a0000000-0000-4000-8000-000000000001', 'ada@example.org');
	INSERT INTO app.admin_users (id) VALUES ('a0000000-0000-4000-8000-000000000001')});
is(gateway($node, { db => 'other', user => 'a0000000-0000-4000-8000-000000000001' },
		'SELECT count(*) FROM app.audit_logs WHERE table_name ~ \'admin_users\'')->{out},
	'1', 'SCHEMA app: audit, admins and row security work');

# Tables on demand.
$node->safe_psql('postgres', 'CREATE DATABASE later');
$node->safe_psql('later', 'SET padlock.auto_install = off; CREATE EXTENSION padlock');
is($node->safe_psql('later', $tables), '0', 'auto_install = off makes no table');
cmp_ok($node->safe_psql('later', 'SELECT padlock.install()'), '>', 50, 'install() makes them');

# No longer preloaded: the tables are still there, what needs shared memory
# says what to do, and the server lives.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
($out) = $node->psql('later', "SELECT job_worker()", stderr => \$err);
like($err, qr/shared_preload_libraries = 'padlock'/, 'preload taken away: the error has the line to add');
is($node->safe_psql('later', 'SELECT count(*) FROM users'), '0', 'preload taken away: the tables can be read');

$node->stop;
done_testing();
