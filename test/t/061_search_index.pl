# The search index through crashes, restarts, replicas, restores and writers at
# once: after each, padlock.search_check() finds no difference with the table,
# and searches find what SQL finds.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_cluster('search', conf => <<'CONF');
wal_level = replica
max_wal_senders = 4
restart_after_crash = on
padlock.search_memory = 16MB
max_prepared_transactions = 2
CONF

sub query
{
	my ($sql, $on) = @_;
	return ($on // $node)->safe_psql('postgres', $sql);
}

# Differences between index and table; '' when there are none.
sub differences
{
	return query('SELECT concat_ws(chr(32), differences, detail) FROM padlock.search_check() WHERE differences > 0', @_);
}

# What searches find and what SQL finds, one line each.
my $oracle = <<'SQL';
WITH visible AS (SELECT p.* FROM insurance_products p JOIN insurance_companies c ON c.id = company_id WHERE p.is_active AND c.is_active),
counts (what, found, wanted) AS (
    SELECT 'all', product_search() -> 'pagination' ->> 'total_items', (SELECT count(*) FROM visible)
    UNION ALL SELECT 'walrus', product_search(search_term => 'walrus') -> 'pagination' ->> 'total_items', (SELECT count(*) FROM visible WHERE product_name LIKE '%walrus%')
    UNION ALL SELECT 'health', product_search(policy_type => 'health') -> 'pagination' ->> 'total_items', (SELECT count(*) FROM visible WHERE policy_type = 'health')
    UNION ALL SELECT 'cheap', product_search(max_premium => '50.5') -> 'pagination' ->> 'total_items', (SELECT count(*) FROM visible WHERE premium_amount <= 50.5)
    UNION ALL SELECT 'here', product_search(country => 'GB') -> 'pagination' ->> 'total_items',
        (SELECT count(*) FROM visible WHERE coalesce(cardinality(available_countries), 0) = 0 OR 'GB' = ANY (available_countries))
    UNION ALL SELECT 'young seals', product_search(search_term => 'seal', age => '17') -> 'pagination' ->> 'total_items',
        (SELECT count(*) FROM visible WHERE product_name LIKE '%seal%' AND coalesce(minimum_age, 0) <= 17 AND coalesce(maximum_age, 999) >= 17))
SELECT string_agg(format('%s: %s, not %s', what, found, wanted), '; ') FROM counts WHERE found::bigint <> wanted;
SQL

is(query('SELECT built FROM padlock.search_status()'), 't', 'a new index is whole');
query(<<'SQL');
UPDATE rate_limit_rules SET max_requests = 1000000000 WHERE endpoint = 'product_search';
INSERT INTO insurance_companies (id, name) SELECT ('5e000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Company ' || n FROM generate_series(1, 5) AS n;
CREATE FUNCTION animal(n integer) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT (ARRAY['walrus', 'seal', 'narwhal', 'penguin', 'puffin', 'gull', 'krill'])[1 + n % 7] $$;
CREATE FUNCTION add(n integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, available_countries, minimum_age, popularity_score, is_active, description)
    VALUES (('5e000000-0000-4000-8000-' || lpad((1 + n % 5)::text, 12, '0'))::uuid, 'cover ' || animal(n) || ' ' || n, (ARRAY['health', 'auto', 'home'])[1 + n % 3]::policy_type_enum,
            1 + n % 100, CASE n % 4 WHEN 0 THEN ARRAY['GB'] WHEN 1 THEN ARRAY['FR', 'GB'] WHEN 2 THEN ARRAY['DE'] END, n % 30, n % 101, n % 11 <> 0, 'about ' || n % 9) $$;
SELECT count(add(n)) FROM generate_series(1, 3000) AS n;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) SELECT company_id, 'bulk ' || product_name, policy_type, premium_amount FROM insurance_products;
SQL
is(differences(), '', 'single rows and a bulk statement are in the index');
is(query($oracle), '', 'and found');
# the page before the last is full, the last one is not, the next is empty
is(query(<<'SQL'), '35|t', 'pages far from the first are in order, too');
WITH found AS (SELECT * FROM insurance_products WHERE is_active AND premium_amount <= 60),
orders AS (SELECT * FROM unnest(ARRAY['premium_amount', 'popularity_score', 'created_at']) AS by, unnest(ARRAY['asc', 'desc']) AS direction),
pages AS (SELECT (count(*) + 99) / 100 AS last, (count(*) % 100)::integer AS on_last FROM found),
compared AS (
    SELECT ARRAY(SELECT p ->> 'id' FROM jsonb_array_elements(product_search(sort_by => by, sort_order => direction, page => page::text, per_page => '100', max_premium => '60') -> 'products') AS p) AS ids,
           ARRAY(SELECT f.id::text FROM found AS f
                  ORDER BY CASE direction WHEN 'asc' THEN 1 ELSE -1 END * CASE by WHEN 'premium_amount' THEN premium_amount WHEN 'popularity_score' THEN popularity_score ELSE extract(epoch FROM created_at) END, id
                  LIMIT 100 OFFSET (page - 1) * 100) AS wanted
      FROM orders, pages, unnest(ARRAY[1, 23, last - 1, last, last + 1]) AS page)
SELECT (SELECT last FROM pages), bool_and(ids = wanted) AND array_agg(DISTINCT cardinality(ids)) = ARRAY[0, (SELECT on_last FROM pages), 100] FROM compared;
SQL

# --- a transaction of many statements ---------------------------------------

# How many changes it leaves to others, and whether it has merged: it then has the lock of merges.
my $many_statements = <<'SQL';
SELECT count(add(n)) FROM generate_series(1, 1500) AS n;
SELECT (SELECT count(*) < 1100 FROM padlock.search_changes),
       EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'padlock.search_segments'::regclass AND mode = 'ShareUpdateExclusiveLock');
SQL
is(query("BEGIN; $many_statements ROLLBACK"), "0\nt|t", 'where nobody else merges, writers do');
is(query(<<SQL), "0\nf|f", 'but not what would take them long');
BEGIN;
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount)
SELECT '5e000000-0000-4000-8000-000000000001', 'many', 'other', n FROM generate_series(1, 26000) AS n;
$many_statements
ROLLBACK;
SQL

# --- writers at once --------------------------------------------------------

my $script = PostgreSQL::Test::Utils::tempdir() . '/write.sql';
append_to_file($script, <<'SQL');
\set n random(1, 100000)
\set k random(1, 10)
\if :k <= 3
SELECT add(:n);
\elif :k <= 5
UPDATE insurance_products SET product_name = 'cover ' || animal(:n), premium_amount = 1 + :n % 90 WHERE id = (SELECT id FROM insurance_products WHERE id > gen_random_uuid() ORDER BY id LIMIT 1);
\elif :k = 6
DELETE FROM insurance_products WHERE id = (SELECT id FROM insurance_products WHERE id > gen_random_uuid() ORDER BY id LIMIT 1);
\elif :k = 7
BEGIN;
SELECT add(:n);
UPDATE insurance_products SET is_active = NOT is_active WHERE id = (SELECT id FROM insurance_products WHERE id > gen_random_uuid() ORDER BY id LIMIT 1);
SAVEPOINT here;
DELETE FROM insurance_products WHERE id = (SELECT id FROM insurance_products WHERE id > gen_random_uuid() ORDER BY id LIMIT 1);
ROLLBACK TO here;
COMMIT;
\elif :k = 8
BEGIN;
SELECT add(:n);
DELETE FROM insurance_products WHERE id IN (SELECT id FROM insurance_products WHERE id > gen_random_uuid() ORDER BY id LIMIT 3);
ROLLBACK;
\elif :n <= 3000
UPDATE insurance_companies SET is_active = NOT is_active WHERE id = ('5e000000-0000-4000-8000-' || lpad((1 + :n % 5)::text, 12, '0'))::uuid;
\elif :n <= 20000
SELECT padlock.search_merge();
\else
UPDATE insurance_products SET last_crawled_at = now() WHERE id = (SELECT id FROM insurance_products WHERE id > gen_random_uuid() ORDER BY id LIMIT 1);
\endif
SQL
my $writers = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-j', 2, '-t', 300, '--max-tries', 100, '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ], '>', \my $out, '2>', \my $err);
my @wrong;
while ($writers->pumpable)
{
	# one statement, one snapshot: the counts must agree whatever is committed
	my $answer = query($oracle);
	push @wrong, $answer if $answer ne '';
	$writers->pump_nb;
	last if $out =~ /latency average/;
	sleep 0.02;
}
$writers->finish;
is($writers->result(0), 0, 'four sessions wrote 1200 times') or diag($err);
is_deeply(\@wrong, [], 'while they wrote every search was right');
is(differences(), '', 'index and table agree after them');
is(query($oracle), '', 'so do search and SQL');

# --- restart, crash ---------------------------------------------------------

$node->restart;
is(query($oracle), '', 'after a restart the index is read again');
query('SELECT add(n) FROM generate_series(1, 200) AS n');
$node->stop('immediate');
$node->start;
is(query($oracle), '', 'after an immediate stop, too');

for my $what ('search_merge', 'search_rebuild')
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	query('SELECT add(n) FROM generate_series(1, 50) AS n');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_safe('BEGIN');
	$session->query_safe("SELECT padlock.$what()");
	kill 9, $pid;
	ok($node->poll_query_until('postgres', 'SELECT true'), "the server is back after kill -9 of a $what");
	$session->{run}->kill_kill;
	is(differences(), '', 'which never happened');
	is(query($oracle), '', 'and nothing is missing');
	query('SELECT add(0)') if $what eq 'search_merge';
	like(query("SELECT padlock.$what()"), qr/^(t|\d+)$/, 'the next one works');
	is(differences(), '', 'and is right');
}

# --- replica ----------------------------------------------------------------

$node->backup('base');
my $replica = PostgreSQL::Test::Cluster->new('search_replica');
$replica->init_from_backup($node, 'base', has_streaming => 1);
$replica->start;
query("SELECT add(n) FROM generate_series(1, 70) AS n; UPDATE insurance_companies SET is_active = false WHERE name = 'Company 2'");
$node->wait_for_catchup($replica);
is(query($oracle, $replica), '', 'a replica searches changes');
is(differences($replica), '', 'and its index is right');
query('SELECT padlock.search_merge()');
$node->wait_for_catchup($replica);
is(query($oracle, $replica), '', 'and what was merged');
$replica->stop;

# --- restore ----------------------------------------------------------------

query("SELECT add(n) FROM generate_series(1, 70) AS n");
my $file = PostgreSQL::Test::Utils::tempdir() . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr('postgres') ], 'a dump');
my $other = new_cluster('search_restored', extension => 0);
command_ok([ 'pg_restore', '-d', $other->connstr('postgres'), $file ], 'a restore');
is(differences($other), '', 'the restored index is right');
query("SELECT add(n) FROM generate_series(1, 70) AS n", $other);
is(query($oracle, $other), '', 'and goes on with changes');
query('SELECT padlock.search_merge()', $other);
is(differences($other), '', 'and merges');
query('DELETE FROM padlock.search_segments; DELETE FROM padlock.search_blocks; DELETE FROM padlock.search_changes', $other);
is(query($oracle, $other), '', 'without an index the table is searched');
is(query('SELECT padlock.install()', $other), 0, 'install() makes nothing new');
is(query('SELECT built, differences FROM padlock.search_status(), padlock.search_check()', $other), 't|0', 'but the index');

# --- without shared memory for it -------------------------------------------

sub complaints
{
	my ($from) = @_;
	return scalar(() = slurp_file($other->logfile, $from) =~ /does not fit into padlock\.search_memory/g);
}

# segments are then small as well: many words of their own make several
$other->append_conf('postgresql.conf', 'padlock.search_memory = 1MB');
my $log = -s $other->logfile;
$other->restart;
query(<<'SQL', $other);
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, description)
SELECT '5e000000-0000-4000-8000-000000000001', 'wordy ' || n, 'other', n, (SELECT string_agg(md5(n || ' ' || i), ' ') FROM generate_series(1, 50) AS i) FROM generate_series(1, 2100) AS n;
SQL
my $bounded = 'SELECT count(*) BETWEEN 3 AND 8, max(size) < 5500000 FROM padlock.search_segments';
query('SELECT padlock.search_merge()', $other);
is(query($bounded, $other), 't|t', 'a merge of much writes several segments');
is(differences($other), '', 'rightly');
query('SELECT padlock.search_rebuild()', $other);
is(query($bounded, $other), 't|t', 'so does a rebuild');
is(differences($other), '', 'rightly, too');
like(query($oracle . $oracle, $other), qr{^\s*$}, 'where the index finds no room, sessions keep copies');
is(query('SELECT memory_used <= memory AND size > memory FROM padlock.search_status()', $other), 't', 'of their own');
is(complaints($log), 1, 'which the log says once');
query(<<'SQL', $other);
INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount, description)
SELECT '5e000000-0000-4000-8000-000000000001', 'wordy too ' || n, 'other', n, (SELECT string_agg(md5(n || '.' || i), ' ') FROM generate_series(1, 50) AS i) FROM generate_series(1, 1900) AS n;
SQL
is(differences($other), '', 'what is noted of few but long products is searched in several segments');
query('SELECT padlock.search_merge()', $other);
is(query('SELECT max(size) < 5500000 FROM padlock.search_segments', $other), 't', 'and merged into several');
is(differences($other), '', 'rightly again');
my $size = query('SELECT size FROM padlock.search_status()', $other);
query("DELETE FROM insurance_products WHERE product_name LIKE 'wordy %' AND premium_amount % 2 = 0", $other);
query("SELECT add(1); SELECT padlock.search_merge()", $other) for 1 .. 8;
cmp_ok(query('SELECT size FROM padlock.search_status()', $other), '<', 0.85 * $size, 'full segments lose their dead');
is(differences($other), '', 'and nothing else');
is(query($oracle, $other), '', 'as searches see');
$other->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$other->restart;
is(differences($other), '', 'without preload the index is read as well');
$other->stop;

# --- workers ----------------------------------------------------------------

query('SELECT padlock.search_rebuild()');
$node->append_conf('postgresql.conf', 'padlock.worker_count = 2');
$node->restart;
query("SELECT add(n) FROM generate_series(1, 300) AS n");
ok($node->poll_query_until('postgres', 'SELECT changes = 0 FROM padlock.search_status()'), 'workers merge changes');
is(differences(), '', 'rightly');
is(query("BEGIN; $many_statements $oracle COMMIT"), "0\nf|f\n", 'and writers never do, but find what they wrote');
ok($node->poll_query_until('postgres', 'SELECT changes = 0 FROM padlock.search_status()'), 'workers merge that, too');
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe('SELECT padlock.search_merge()');
query('SELECT add(1)');
sleep 1.5;
$session->query_safe('COMMIT');
$session->quit;
ok($node->poll_query_until('postgres', 'SELECT changes = 0 FROM padlock.search_status()'), 'and what came while another merged');
query("BEGIN; SELECT add(1); PREPARE TRANSACTION 'add'");
sleep 1.5;
query("COMMIT PREPARED 'add'");
ok($node->poll_query_until('postgres', 'SELECT changes = 0 FROM padlock.search_status()'), 'and what was prepared first');
is(differences(), '', 'rightly');

# --- a damaged index ------------------------------------------------------------

query('UPDATE padlock.search_blocks SET data = set_byte(data, 500, 255 - get_byte(data, 500)) WHERE number = 0');
my $damaged_at = -s $node->logfile;
$node->restart;
ok($node->poll_query_until('postgres', 'SELECT differences = 0 FROM padlock.search_check()'), 'workers build a damaged index anew');
like(slurp_file($node->logfile, $damaged_at), qr/LOG:.*the search index is built anew: the search index is damaged/, 'and say why');
is(query($oracle), '', 'searches find all in it');

# --- histories and snapshots that are not the index's own ----------------------

my $future = "BEGIN; UPDATE padlock.search_segments SET resume_xid = '4000000000'";
is(query("$future; SELECT add(5); SELECT differences FROM padlock.search_check(); ROLLBACK"), "\n0",
	'changes are seen after a restore that brought transactions of the future');
my $isolated = $node->connstr('isolated') . " options='-c default_transaction_isolation=serializable'";
query('CREATE DATABASE isolated');
is($node->psql('isolated', 'CREATE EXTENSION padlock', connstr => $isolated), 0, 'the extension is made whatever the isolation');
ok($node->poll_query_until('isolated', 'SELECT built FROM padlock.search_status()'), 'and workers build its index');

# --- a change that no trigger noted ------------------------------------------

# the writers may have switched all companies off
my $from = -s $node->logfile;
query(<<'SQL');
UPDATE insurance_companies SET is_active = true;
BEGIN;
DELETE FROM insurance_products WHERE id = (SELECT (product_search() #>> '{products,0,id}')::uuid);
DELETE FROM padlock.search_changes WHERE xid = pg_current_xact_id();
COMMIT;
SELECT jsonb_array_length(product_search() -> 'products') FROM generate_series(1, 3);
SQL
my @notes = slurp_file($node->logfile, $from) =~ /LOG:.*the search index does not match the table/g;
is(scalar(@notes), 1, 'the log says once that the index does not match') or diag(slurp_file($node->logfile, $from));
done_testing();
