# Segments in shared memory: who waits for a lock keeps no others waiting, and
# the log says when segments are thrown out that are needed again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('search_memory', conf => 'padlock.search_memory = 1MB');
my $log = -s $node->logfile;

sub complaints
{
	return scalar(() = slurp_file($node->logfile, $log) =~ /does not fit into padlock\.search_memory/g);
}

# A database of products whose index takes more than half of the memory.
sub fill
{
	my ($database) = @_;
	$node->safe_psql($database, <<'SQL');
INSERT INTO insurance_companies (id, name) VALUES ('61000000-0000-4000-8000-000000000001', 'Wordy');
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, description)
SELECT '61000000-0000-4000-8000-000000000001', 'wordy ' || n, 'other', n, (SELECT string_agg(md5(n || ' ' || i), ' ') FROM generate_series(1, 50) AS i) FROM generate_series(1, 120) AS n;
SELECT padlock.search_merge();
SQL
	return;
}

my $search = q{SELECT product_search(search_term => 'wordy') #>> '{pagination,total_items}'};

fill('postgres');
is($node->safe_psql('postgres', 'SELECT count(*), min(size) > 530000 AND max(size) < 1000000 FROM padlock.search_segments'), '1|t',
	'the index takes more than half of the memory');

# --- who fills memory and waits for a lock -----------------------------------

$node->restart;
my $owner = $node->background_psql('postgres');
my $visitor = $node->background_psql('postgres');
$owner->query_safe("SET statement_timeout = '20s'");
$owner->query_safe('BEGIN');
$owner->query_safe('LOCK TABLE padlock.search_blocks');
$visitor->query_until(qr/asked/, "\\echo asked\n$search;\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%wordy%'
	AND pid <> pg_backend_pid()}), 'a visitor waits for a table that its owner has locked');
is($owner->query($search), 120, 'the owner searches meanwhile');
$owner->query_safe('COMMIT');
is($visitor->query('SELECT 1') =~ s/\s+/ /gr, '120 1', 'and then the visitor');
$owner->quit;
$visitor->quit;

# --- memory that is short ------------------------------------------------------

$node->safe_psql('postgres', $search) for 1 .. 3;
is(complaints(), 0, 'one index has room');
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', 'CREATE EXTENSION padlock');
fill('second');
$node->safe_psql('second', $search) for 1 .. 3;
is(complaints(), 0, 'and when another is used instead, that one');
for (1 .. 3)
{
	$node->safe_psql($_, $search) for qw(postgres second);
}
is(complaints(), 1, 'the log says, once, that there is no room for both');

$node->stop;
done_testing();
