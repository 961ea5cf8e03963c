# Dump and restore in every form: rows, definitions and what the user added
# come back the same, and no trigger fires on the way.

use strict;
use warnings;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('main');
my $dir = PostgreSQL::Test::Utils::tempdir();
my ($id, $sums, $schema, $sequence);
my $number = 0;

$id = fill($node, 'postgres');

# What a user adds to padlock's tables.
$node->safe_psql('postgres', q{
	CREATE ROLE analyst;
	ALTER TABLE insurance_products ADD COLUMN house_note text DEFAULT 'none';
	UPDATE insurance_products SET house_note = 'ours';
	CREATE INDEX house_index ON insurance_products (house_note);
	CREATE POLICY house_policy ON insurance_products FOR SELECT TO analyst USING (house_note = 'ours');
	GRANT SELECT ON insurance_products TO analyst;
	REVOKE INSERT ON claims FROM authenticated;
	CREATE TABLE house_table (id int PRIMARY KEY, product uuid REFERENCES insurance_products (id), kind policy_type_enum);
	CREATE FUNCTION house_function() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER house_trigger BEFORE UPDATE ON policies FOR EACH ROW EXECUTE FUNCTION house_function();
	CREATE VIEW house_view AS SELECT product_name, policy_type FROM insurance_products});
$node->safe_psql('postgres', "INSERT INTO house_table VALUES (1, '$id->{product}', 'health')");

my $last_number = q{SELECT last_value FROM padlock.jobs_seq_seq};
$sums = table_sums($node, 'postgres');
$schema = schema_dump($node, 'postgres');
$sequence = $node->safe_psql('postgres', $last_number);
like($sums, qr/^audit_logs_\w+ [1-9]/m, 'there are audit rows to lose');
unlike($sums, qr/^(public\.)?(users|claims|documents|policies|admin_users|padlock\.(api_keys|jobs|job_outcomes|jobs_1)) 0/m,
	'no table is empty');

# The database must be the dumped one.
sub identical
{
	my ($name, $where, $db) = @_;

	is_text(table_sums($where, $db), $sums, "$name: every row");
	is_text(schema_dump($where, $db), $schema, "$name: every definition and grant");
	is($where->safe_psql($db, $last_number), $sequence, "$name: the sequence goes on");
	is($where->safe_psql($db, 'SELECT padlock.install()'), '0', "$name: nothing to repair");
	is(gateway($where, { db => $db, user => $id->{maya} }, 'SELECT count(*) FROM documents')->{out},
		'1', "$name: a user sees her own");
	is(gateway($where, { db => $db }, 'SELECT count(*) FROM insurance_products')->{out},
		'1', "$name: a visitor sees the product");
	return;
}

# Dump with the options and restore into a new database; an option -Fc (or -Fd)
# means pg_restore with the restore options.
sub round_trip
{
	my ($name, $dump, $restore, $before) = @_;
	my $db = 'copy' . ++$number;
	my $file = "$dir/$db";

	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	$before->($db) if $before;
	$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $file, @$dump ],
		"$name: pg_dump");
	if (grep { /^-F/ } @$dump)
	{
		my @stop = grep({ /clean/ } @$restore) ? () : ('-e');
		my $test = @stop ? 'command_ok' : 'command_fails';

		$node->$test([ 'pg_restore', @stop, '-d', $node->connstr($db), @$restore, $file ],
			"$name: pg_restore");
	}
	else
	{
		my $stop = grep({ /clean/ } @$dump) ? 0 : 1;

		$node->command_ok([ 'psql', '-qX', '-v', "ON_ERROR_STOP=$stop", '-o', "$dir/out",
				'-d', $node->connstr($db), '-f', $file ], "$name: psql");
	}
	identical($name, $node, $db);
	return;
}

round_trip('plain', [], []);
round_trip('plain with INSERT', ['--column-inserts'], []);
round_trip('custom, four jobs', ['-Fc'], ['-j4']);
round_trip('directory, four jobs', [ '-Fd', '-j2' ], ['-j4']);
round_trip('row security on', ['--enable-row-security'], []);
round_trip('custom, row security on', ['-Fc'], ['--enable-row-security']);
# pg_dump --clean tries to drop a partition's key on its own, which the server
# refuses, before it drops the whole table: so these go on after an error.
round_trip('clean, over another padlock', [ '--clean', '--if-exists' ], [],
	sub
	{
		my ($db) = @_;

		$node->safe_psql($db, q{
			CREATE EXTENSION padlock;
			INSERT INTO users (email) VALUES ('old@example.org');
			SELECT enqueue_job('old', '{}')});
	});
round_trip('custom, clean, over another padlock', ['-Fc'], [ '--clean', '--if-exists' ],
	sub { $node->safe_psql($_[0], 'CREATE EXTENSION padlock') });

# Definitions first, rows later: the triggers are there, and must be off.
$node->safe_psql('postgres', 'CREATE DATABASE halves');
$node->command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('postgres'), '-f', "$dir/halves" ], 'in halves: pg_dump');
$node->command_ok([ 'pg_restore', '-e', '-s', '-d', $node->connstr('halves'), "$dir/halves" ], 'in halves: definitions');
$node->command_ok([ 'pg_restore', '-e', '-a', '--disable-triggers', '-d', $node->connstr('halves'), "$dir/halves" ],
	'in halves: rows');
# pg_restore puts all triggers back as ordinary ones, which is_admin() notices: it
# trusts its memory of admin_users only when no session can change them silently.
is($node->safe_psql('halves', q{SELECT tgenabled FROM pg_trigger WHERE tgname = 'admin_users_forget'}), 'O',
	'in halves: a trigger that was to fire always is an ordinary one');
$node->safe_psql('halves', qq{ALTER TABLE admin_users ENABLE ALWAYS TRIGGER $_})
	for qw(admin_users_forget admin_users_forget_truncate);
$node->safe_psql('halves', qq{ALTER TABLE insurance_products ENABLE ALWAYS TRIGGER $_})
	for qw(insurance_products_search_rows insurance_products_search_truncate);
$node->safe_psql('halves', 'ALTER TABLE insurance_companies ENABLE ALWAYS TRIGGER insurance_companies_search');
identical('in halves', $node, 'halves');

# A whole cluster, into one that has never seen the roles.
my $second = new_cluster('second', extension => 0);
$node->command_ok([ 'pg_dumpall', '-d', $node->connstr('postgres'), '-f', "$dir/all" ], 'pg_dumpall');
# the new cluster has the same superuser
my $all = slurp_file("$dir/all");
$all =~ s/^(CREATE ROLE \Q$_\E;)$/-- $1/m for $node->safe_psql('postgres', 'SELECT current_user');
append_to_file("$dir/all.sql", $all);
$second->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-o', "$dir/out", '-d', $second->connstr('postgres'),
		'-f', "$dir/all.sql" ], 'pg_dumpall: psql');
identical('pg_dumpall', $second, 'postgres');
is_text(table_sums($second, 'copy1'), $sums, 'pg_dumpall, another database: every row');
is_text(schema_dump($second, 'copy1'), schema_dump($node, 'copy1'),
	'pg_dumpall, another database: every definition and grant');

$node->stop;
$second->stop;
done_testing();
