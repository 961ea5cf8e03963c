# Databases come and go, each with a keyring, more than shared memory has places
# for: those of dropped ones are free again, also for workers and the queue.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t";

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $places = 1024;              # KEYRING_DATABASES, QUEUE_MAX_DATABASES, PADLOCK_MAX_DATABASES
my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = new_cluster('databases', conf => "padlock.key_file = '$dir/documents.key'\nfsync = off\n");

sub query { my ($sql, $database) = @_; return $node->safe_psql($database // 'postgres', $sql); }

query('SELECT padlock.init_keyring()');
query('CREATE DATABASE original');
query('CREATE EXTENSION padlock; SELECT padlock.init_keyring()', 'original');
my $locked = 0;
foreach my $n (1 .. $places + 10)
{
	query('CREATE DATABASE copy TEMPLATE original');
	my ($rc, $out, $err) = $node->psql('copy', "SELECT enqueue_job('job', '{}'); SELECT padlock.encrypt('x', 'documents', '{}'), padlock.lock_keyring()");
	$locked += $rc == 0;
	diag("database $n: $err") if $rc != 0;
	query('DROP DATABASE copy');
	last if $rc != 0;
}
is($locked, $places + 10, 'each was served');
like(query("SELECT padlock.decrypt(padlock.encrypt('x', 'documents', '{}'), '{}')"), qr/^\\x78$/, 'and so is one that stays');
$node->stop;
done_testing();
