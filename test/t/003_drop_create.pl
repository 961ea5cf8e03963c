# The data outlives the extension: DROP EXTENSION, then CREATE EXTENSION.

use strict;
use warnings;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('main');
my $id = fill($node, 'postgres');
my ($rc, $out, $err, $sums, $schema);

$node->safe_psql('postgres', q{
	ALTER TABLE insurance_products ADD COLUMN house_note text DEFAULT 'ours';
	CREATE INDEX house_index ON insurance_products (house_note)});
$sums = table_sums($node, 'postgres');
$schema = schema_dump($node, 'postgres');

# Without CASCADE it is refused, since every policy needs it.
($rc, $out, $err) = $node->psql('postgres', 'DROP EXTENSION padlock');
isnt($rc, 0, 'DROP EXTENSION alone is refused');
like($err, qr/other objects depend on it/, 'because of what depends on it');
is_text(table_sums($node, 'postgres'), $sums, 'nothing has changed');

# With CASCADE the rows stay and nobody but the owner reaches them.
$node->safe_psql('postgres', 'DROP EXTENSION padlock CASCADE');
is_text(table_sums($node, 'postgres'), $sums, 'CASCADE: every row is still there');
foreach my $table (qw(users admin_users policies claims documents insurance_companies insurance_products
	audit_logs job_queue))
{
	foreach my $who ({ role => 'anon' }, { user => $id->{maya} }, { user => $id->{ada} },
		{ role => 'anon', key => $id->{key} })
	{
		my $name = $who->{key} ? 'a company' : $who->{role} // ($who->{user} eq $id->{ada} ? 'an admin' : 'a user');
		my $answer = gateway($node, $who, "SELECT count(*) FROM $table");

		ok(!$answer->{ok} || $answer->{out} eq '0', "away: $name sees no row of $table");
	}
}
foreach my $write (
	"INSERT INTO documents (user_id, title) VALUES ('$id->{maya}', 'mine')",
	"INSERT INTO claims (user_id, claim_status) VALUES ('$id->{maya}', 'approved')",
	"INSERT INTO policies (user_id) VALUES ('$id->{maya}')")
{
	ok(!gateway($node, { user => $id->{maya} }, $write)->{ok}, "away: refused: $write");
}
is(gateway($node, { user => $id->{maya} }, "WITH d AS (DELETE FROM documents RETURNING 1) SELECT count(*) FROM d")->{out},
	'0', 'away: a delete meets no row');

# Back again: everything as it was.
$node->safe_psql('postgres', 'CREATE EXTENSION padlock');
is_text(table_sums($node, 'postgres'), $sums, 'back: no row was lost or changed');
is_text(schema_dump($node, 'postgres'), $schema, 'back: every policy, trigger, index and grant');
is(gateway($node, { user => $id->{maya} }, 'SELECT count(*) FROM documents')->{out}, '1', 'back: a user sees her own');
is(gateway($node, {}, 'SELECT count(*) FROM documents')->{ok} ? 1 : 0, 0, 'back: a visitor sees no documents');
is(gateway($node, { key => $id->{key} }, 'SELECT padlock.company_id()')->{out}, $id->{company}, 'back: the key opens');
$node->safe_psql('postgres', "UPDATE claims SET claim_status = 'approved'");
is($node->safe_psql('postgres', q{SELECT count(*) FROM audit_logs WHERE table_name ~ 'claims' AND new_values ->> 'claim_status' = 'approved'}),
	'1', 'back: the audit goes on');
foreach my $partition (split /\n/, $node->safe_psql('postgres',
	q{SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_logs'::regclass}))
{
	($rc, $out, $err) = $node->psql('postgres', "TRUNCATE $partition");
	like($err, qr/audit rows cannot be changed or removed/, "back: $partition cannot be emptied");
}
is($node->safe_psql('postgres', "SELECT job_type FROM get_next_job('me')"), 'd', 'back: the queue goes on');

# In one transaction, and rolled back.
$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION padlock CASCADE; CREATE EXTENSION padlock; COMMIT');
is_text(schema_dump($node, 'postgres'), $schema, 'in one transaction: the same');
$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION padlock CASCADE; ROLLBACK');
is_text(schema_dump($node, 'postgres'), $schema, 'rolled back: the same');

$node->stop;
done_testing();
