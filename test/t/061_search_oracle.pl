# Search against a brute-force oracle in SQL: sessions at the same time insert,
# update, delete, roll back, switch companies off, in statements of few products
# and of many, some products being everybody's; and each keeps asking both
# the index and the oracle (test/search/oracle.sql) in one snapshot, its own
# uncommitted changes included, while others merge.  SEARCH_OPERATIONS in all
# (600; `make check-deep` runs 10000), SEARCH_SEED to do the same again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $operations = $ENV{SEARCH_OPERATIONS} // 600;
my $seed = $ENV{SEARCH_SEED} // $$;
my $sessions = 4;
my $source = $ENV{PADLOCK_SOURCE} // "$FindBin::RealBin/../..";
my $folder = PostgreSQL::Test::Utils::tempdir();

note("SEARCH_SEED=$seed SEARCH_OPERATIONS=$operations");
srand($seed);

my $node = new_cluster('search_oracle', conf => <<'CONF');
fsync = off
max_connections = 20
padlock.search_popularity_boost = 0
padlock.search_freshness_boost = 0
padlock.search_bulk_products = 20
CONF

sub company { return sprintf('00000000-0000-4000-8000-%012d', $_[0]); }

$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
\\i $source/test/search/oracle.sql
UPDATE rate_limit_rules SET max_requests = 2000000000 WHERE endpoint = 'product_search';
DELETE FROM search_synonyms;
INSERT INTO insurance_companies (id, name)
SELECT ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'Company ' || i FROM generate_series(0, @{[ 2 * $sessions + 1 ]}) AS i;
SELECT oracle.insert_products('@{[ company(0) ]}', 130);
SELECT oracle.insert_products('@{[ company(2 * $sessions) ]}', 50);
SQL

# --- a session's life ---------------------------------------------------------

# Random products of a session, which nobody else touches, or of companies that
# are everybody's, but for those that another transaction has at the moment.
sub some_products
{
	my ($owner, $most) = @_;
	return sprintf("id IN (SELECT id FROM insurance_products WHERE company_id IN ('%s', '%s') ORDER BY random() LIMIT %d%s)",
		company(2 * $owner), company(2 * $owner + 1), 1 + rand($most), $owner == $sessions ? ' FOR UPDATE SKIP LOCKED' : '');
}

my @changes = (
	"product_name = oracle.random_words(3)",
	"description = oracle.random_text(20)",
	"coverage_details = oracle.random_coverage()",
	"premium_amount = premium_amount + 1",
	"is_active = NOT is_active",
	"popularity_score = (popularity_score + 17) % 100",
	"search_keywords = oracle.random_list(3), benefits = NULL",
	"available_countries = '{GB,US}', minimum_age = NULL",
	"policy_type = 'home', currency = 'EUR'",
	"product_code = 'C' || substr(gen_random_uuid()::text, 1, 7)",
	"created_at = now() - random() * interval '10 days'");

sub write_something
{
	my ($session, $isolated) = @_;
	my $kind = rand();
	# an isolated transaction would fail for what others change
	my $owner = !$isolated && rand() < 0.5 ? $sessions : $session;
	my $company = company(2 * $owner + int(rand(2)));

	return sprintf("SELECT oracle.insert_products('%s', %d);", $company, rand() < 0.05 ? 60 : 1 + rand(5)) if $kind < 0.45;
	return "UPDATE insurance_products SET $changes[rand @changes] WHERE " . some_products($owner, rand() < 0.3 ? 60 : 8) . ';' if $kind < 0.8;
	return 'DELETE FROM insurance_products WHERE ' . some_products($owner, rand() < 0.05 ? 60 : 20) . ';' if $kind < 0.95;
	$company = company(2 * $session + int(rand(2)));
	return "UPDATE insurance_companies SET is_active = NOT is_active WHERE id = '$company';";
}

sub compare
{
	my ($session) = @_;
	my $request = 'oracle.random_request()';

	$request = "(SELECT jsonb_build_object('code', product_code, 'per_page', 5) FROM insurance_products"
	  . " WHERE product_code IS NOT NULL ORDER BY random() LIMIT 1)" if rand() < 0.1;
	return "SELECT $request AS request \\gset\nSELECT oracle.compare(:'request');\n"
	  if $request =~ /random_request/;
	return "SELECT oracle.compare($request);\n";
}

# The script of a session: transactions of a few operations each.
sub session_script
{
	my ($session, $count) = @_;
	my $script = "SET client_min_messages = warning;\nSELECT setseed(" . rand() . ") \\g /dev/null\n";

	while ($count > 0)
	{
		my $inside = rand() < 0.7;
		my $isolated = $inside && rand() < 0.5;
		my $nested = 0;

		$script .= 'BEGIN' . ($isolated ? ' ISOLATION LEVEL REPEATABLE READ' : '') . ";\n" if $inside;
		foreach (1 .. ($inside ? 1 + rand(6) : 1))
		{
			$count--;
			if ($inside && !$nested && rand() < 0.15) { $script .= "SAVEPOINT s;\n"; $nested = 1; }
			$script .= (rand() < 0.5 ? compare($session) : write_something($session, $isolated)) . "\n";
			if ($nested && rand() < 0.4) { $script .= "ROLLBACK TO s;\n" . compare($session); $nested = 0; }
		}
		$script .= (rand() < 0.3 ? 'ROLLBACK' : 'COMMIT') . ";\n" if $inside;
	}
	return $script;
}

# --- all of them at once ------------------------------------------------------

my %running;
foreach my $session (0 .. $sessions - 1)
{
	my $name = "$folder/session_$session";

	append_to_file("$name.sql", session_script($session, $operations / $sessions));
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDOUT, '>', "$name.out") or die $!;
		open(STDERR, '>', "$name.err") or die $!;
		exec('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', "$name.sql", '-d', $node->connstr('postgres'));
	}
	$running{$pid} = 1;
}

# Meanwhile the index is merged and, now and then, made anew.
my $rounds = 0;
while (%running)
{
	$node->safe_psql('postgres', ++$rounds % 25 == 0 ? 'SELECT padlock.search_rebuild()' : 'SELECT padlock.search_merge()');
	while ((my $pid = waitpid(-1, WNOHANG)) > 0) { delete $running{$pid}; }
}

my $comparisons = 0;
foreach my $session (0 .. $sessions - 1)
{
	my @answers = split(/\n/, slurp_file("$folder/session_$session.out"), -1);
	my @wrong = grep { $_ ne '' } @answers;

	$comparisons += @answers;
	is(slurp_file("$folder/session_$session.err"), '', 'a session worked without an error');
	is(join("\n", @wrong), '', 'and search agreed with the oracle');
}
note("$rounds merges meanwhile, $comparisons lines of answers");
cmp_ok($comparisons, '>', $operations / 4, 'they compared often');

# --- at rest ------------------------------------------------------------------

is($node->safe_psql('postgres', 'SELECT differences FROM padlock.search_check()'), 0, 'the index agrees with the table');
is($node->safe_psql('postgres', <<'SQL'), '', 'and with the oracle');
SELECT setseed(0.5) \g /dev/null
SELECT string_agg(problem, E'\n') FROM (SELECT oracle.compare(oracle.random_request()) AS problem FROM generate_series(1, 100)) AS c WHERE problem <> '';
SQL
ok($node->safe_psql('postgres', 'SELECT padlock.search_rebuild()') > 0, 'the index is made anew');
is($node->safe_psql('postgres', 'SELECT differences FROM padlock.search_check()'), 0, 'and agrees again');
is($node->safe_psql('postgres', <<'SQL'), '', 'its order by relevance is BM25F');
SELECT string_agg(problem, E'\n')
  FROM (SELECT oracle.compare_order(words) AS problem
          FROM (SELECT oracle.random_words(1 + i % 3) AS words FROM generate_series(1, 12) AS i) AS w) AS c WHERE problem <> '';
SQL

# --- a truncation among statements of many products and of few ------------------

my $company = company(1);
my $compare = "SELECT oracle.compare(oracle.random_request()) FROM generate_series(1, 30)";
my $merge = 'SELECT padlock.search_merge()';
is(join('', grep { !/^t?$/ } split(/\n/, $node->safe_psql('postgres', <<"SQL"))), '', 'a truncation is seen where it stands, also beside a merge and after its rollback');
UPDATE insurance_companies SET is_active = true;
SELECT setseed(0.25) \\g /dev/null
BEGIN;
SELECT oracle.insert_products('$company', 40), oracle.insert_products('$company', 3) \\g /dev/null
SAVEPOINT before;
TRUNCATE insurance_products CASCADE;
$compare;
SELECT oracle.insert_products('$company', 40), oracle.insert_products('$company', 3) \\g /dev/null
$compare;
UPDATE insurance_products SET product_name = oracle.random_words(2) WHERE id IN (SELECT id FROM insurance_products ORDER BY id LIMIT 25);
$compare;
$merge;
$compare;
SELECT oracle.insert_products('$company', 40), oracle.insert_products('$company', 3) \\g /dev/null
$compare;
ROLLBACK TO before;
$compare;
$merge;
$compare;
COMMIT;
$compare;
SQL
is($node->safe_psql('postgres', 'SELECT differences FROM padlock.search_check()'), 0, 'and the index agrees with the table');

$node->stop;
done_testing();
