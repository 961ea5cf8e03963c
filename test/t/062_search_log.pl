# The log of searches: off by default, by day and text, written by a worker,
# nothing personal, counted in read-only transactions too.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('search_log', workers => 1);
my $rows = q{SELECT terms, searches, empty, relaxed, results FROM search_log ORDER BY terms COLLATE "C"};

$node->safe_psql('postgres', <<'SQL');
INSERT INTO insurance_companies (id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'Logged');
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
VALUES ('00000000-0000-4000-8000-000000000001', 'Glacier Insurance', 'other', 1), ('00000000-0000-4000-8000-000000000001', 'Volcano Insurance', 'other', 1);
SELECT product_search(search_term => 'glacier');
SQL

$node->append_conf('postgresql.conf', "padlock.search_log = on\n");
$node->reload;
ok(wait_for($node, 'postgres', 'SHOW padlock.search_log', 'on'), 'the setting is read');

# a text has a row from its third search on
$node->safe_psql('postgres', <<'SQL');
SELECT product_search(search_term => t) FROM unnest(ARRAY['Glacier', 'glacier !', ' GLACIER ', 'nowhere', '"insurance volcano"', '-glacier', 'insurance -"volcano insurance" well-known - volcano -all-risk',
    'john.doe@example.com glacier', 'policy 12345678', '%', 'x' || repeat(' y', 99),
    'tiger ' || chr(x'06F4'::int) || chr(x'0665'::int) || chr(x'FF16'::int) || chr(x'1D7D0'::int),
    'lion john.smith' || chr(x'FF20'::int) || 'example.com', 'ana' || chr(x'FE6B'::int) || 'example.com lion']) AS t, generate_series(1, 3);
SELECT product_search(search_term => 'John Smith of Acacia Avenue') FROM generate_series(1, 2);
BEGIN READ ONLY;
SELECT product_search(search_term => 'volcano insurance') FROM generate_series(1, 3);
COMMIT;
SELECT product_search();
SQL
is($node->psql('postgres', "SELECT product_search(search_term => 'glacier', page => 'none')"), 3, 'a bad request is not a search');

ok(wait_for($node, 'postgres', "SELECT count(*) FROM search_log WHERE terms = 'volcano insurance'", 1), 'a worker writes the log');
is($node->safe_psql('postgres', $rows), join("\n",
		'|25|15|2|14', '-glacier|1|0|0|1', 'glacier|10|0|0|10', 'insurance -volcano -insurance well known volcano -all -risk|1|0|0|1', 'insurance volcano|1|0|1|2', 'lion|4|4|0|0',
		'nowhere|1|1|0|0', 'policy ########|1|1|0|0', 'tiger ####|1|1|0|0', 'volcano insurance|1|0|0|2', 'x' . ' y' x 59 . '|1|1|0|0'),
	'texts are normalised, and counted once they are searched often');
is($node->safe_psql('postgres', 'SELECT sum(searches) FROM search_log'), 14 * 3 + 2 + 3, 'and each search is counted');
is($node->safe_psql('postgres', q{SELECT DISTINCT day = (now() AT TIME ZONE 'UTC')::date, milliseconds > 0, slowest <= milliseconds FROM search_log}),
	't|t|t', 'with their day and their time');

$node->safe_psql('postgres', "SELECT product_search(search_term => 'glacier')");
ok(wait_for($node, 'postgres', "SELECT searches FROM search_log WHERE terms = 'glacier'", 11), 'later ones are added');
is($node->psql('postgres', 'SET ROLE anon; SELECT * FROM search_log'), 3, 'visitors cannot read it');
is($node->safe_psql('postgres', 'SET ROLE authenticated; SELECT count(*) FROM search_log'), 0, 'nor can users');

# A database whose counts nobody writes takes all the room, until it is dropped.
$node->append_conf('postgresql.conf', "padlock.databases = 'postgres'\n");
$node->reload;
$node->safe_psql('postgres', 'CREATE DATABASE dropped');
$node->safe_psql('dropped', 'CREATE EXTENSION padlock; UPDATE rate_limit_rules SET max_requests = 1000000');
ok($node->safe_psql('dropped', "SELECT count(product_search(search_term => translate(n::text, '0123456789', 'bcdfghjklm'))) FROM generate_series(10001, 18300) AS n") == 8300, 'all the room for counts is taken');
$node->safe_psql('postgres', "SELECT product_search(search_term => 'crowded') FROM generate_series(1, 3)");
$node->safe_psql('postgres', 'DROP DATABASE dropped');
$node->safe_psql('postgres', "SELECT product_search(search_term => 'roomy') FROM generate_series(1, 3)");
ok(wait_for($node, 'postgres', "SELECT string_agg(terms, ' ') FROM search_log WHERE terms IN ('crowded', 'roomy')", 'roomy'), 'and free again then');

$node->stop;
done_testing();
