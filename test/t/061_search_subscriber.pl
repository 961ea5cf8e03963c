# Search where logical replication writes the products: it fires no triggers of
# statements, and none that are not to fire in a replica.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $company = '61000000-0000-4000-8000-000000000001';
my $node = new_cluster('search_subscriber', conf => "wal_level = logical\nmax_wal_senders = 5\nmax_replication_slots = 5\nmax_worker_processes = 16\n");

sub query
{
	my ($database, $sql) = @_;
	return $node->safe_psql($database, $sql);
}

# Change products, and wait until the subscriber finds what it then should:
# how many in all, and the walruses among them.
sub found_after
{
	my ($sql, $wanted, $what) = @_;
	query('postgres', $sql);
	ok(wait_for($node, 'subscriber', q{SELECT concat_ws(' ', product_search() #>> '{pagination,total_items}',
		product_search(search_term => 'walrus') #>> '{pagination,total_items}')}, $wanted, 30), $what);
	is(query('subscriber', 'SELECT concat_ws(chr(32), differences, detail) FROM padlock.search_check()'), '0', 'and the index is as the table');
	return;
}

query('postgres', 'CREATE DATABASE subscriber');
query('subscriber', 'CREATE EXTENSION padlock');
query('postgres', "INSERT INTO insurance_companies (id, name) VALUES ('$company', 'Publisher')");
query('postgres', "INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) SELECT '$company', 'copied walrus ' || n, 'other', n FROM generate_series(1, 300) AS n");
query('postgres', 'CREATE PUBLICATION products FOR TABLE insurance_companies, insurance_products');
query('postgres', "SELECT pg_create_logical_replication_slot('products', 'pgoutput')");
query('subscriber', sprintf("CREATE SUBSCRIPTION products CONNECTION '%s' PUBLICATION products WITH (create_slot = false, slot_name = 'products')",
	$node->connstr('postgres') =~ s/'/''/gr));

found_after('SELECT 1', '300 300', 'what the first copy brings is found');
found_after("INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES ('$company', 'walrus', 'other', 1)", '301 301', 'a new product');
found_after("UPDATE insurance_products SET product_name = 'seal' WHERE product_name LIKE '%walrus 1%'", '301 190', 'updates');
found_after("DELETE FROM insurance_products WHERE product_name LIKE '%walrus 2%'", '190 79', 'deletions');
found_after('UPDATE insurance_products SET is_active = false', '0 0', 'products that are switched off');
found_after('UPDATE insurance_products SET is_active = true', '190 79', 'and on again');
found_after('TRUNCATE insurance_products CASCADE', '0 0', 'a truncation');

# The publisher's index, published by mistake, stands beside the subscriber's own.
found_after("INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) SELECT '$company', 'walrus ' || n, 'other', n FROM generate_series(1, 300) AS n", '300 300', 'many new products');
query('postgres', 'SELECT padlock.search_rebuild()');
query('postgres', 'ALTER PUBLICATION products ADD TABLE padlock.search_segments, padlock.search_blocks');
query('subscriber', 'ALTER SUBSCRIPTION products REFRESH PUBLICATION');
ok(wait_for($node, 'subscriber', q{SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'}, 0, 30), 'an index from elsewhere');
isnt(query('subscriber', 'SELECT differences FROM padlock.search_check()'), '0', 'lists what the own one has');
query('subscriber', 'DROP SUBSCRIPTION products');
query('subscriber', 'SELECT padlock.search_rebuild()');
is(query('subscriber', 'SELECT concat_ws(chr(32), differences, detail, (SELECT count(*) FROM insurance_products) - products) FROM padlock.search_check()'), '0 0', 'goes with a rebuild');

$node->stop;
done_testing();
