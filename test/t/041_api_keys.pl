# When API keys were last used: noted by requests, written by a worker, never
# in a request's way; and the end of a key as a gateway's client sees it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_cluster('api_keys', workers => 2, conf => <<'CONF');
wal_level = replica
max_wal_senders = 4
CONF
my $admin = 'a0000000-0000-4000-8000-000000000001';
$node->safe_psql('postgres', "INSERT INTO users (id, email) VALUES ('$admin', 'ada\@example.org');
	INSERT INTO admin_users (id) VALUES ('$admin')");

sub query
{
	my ($sql, $on) = @_;
	return ($on // $node)->safe_psql('postgres', $sql);
}

my $company = rpc($node, { user => $admin }, 'company_onboard', { name => 'Keys', contact_email => 'k@example.org' })->{body};
my $key = $company->{api_key};
my $id = query('SELECT id FROM padlock.api_keys');

# A request with a key; its HTTP status.
sub ask
{
	my ($with, $on) = @_;
	return rpc($on // $node, { key => $with }, 'list_api_keys', {})->{status};
}

sub last_used
{
	my ($key_id) = @_;
	return query("SELECT coalesce(last_used_at::text, 'never') FROM padlock.api_keys WHERE id = '$key_id'");
}

# --- a use is written later, by one worker ----------------------------------

my $row = query("SELECT xmin || ' ' || ctid FROM padlock.api_keys");
is(last_used($id), 'never', 'a new key was never used');
is(ask($key), 200, 'a key is used') for 1 .. 20;
is(query("SELECT xmin || ' ' || ctid FROM padlock.api_keys WHERE last_used_at IS NULL"), $row, 'no request writes its row');
ok(wait_for($node, 'postgres', 'SELECT last_used_at IS NOT NULL FROM padlock.api_keys', 't', 30), 'a worker writes it');
is(query("SELECT last_used_at BETWEEN now() - interval '30 s' AND now() FROM padlock.api_keys"), 't', 'the time is that of the use');
my $before = last_used($id);
is(query('SELECT n_tup_upd <= 2 FROM pg_stat_user_tables WHERE relname = \'api_keys\''), 't', 'twenty requests made one write or two');
is(query("SELECT count(*) FROM audit_logs WHERE table_name = 'api_keys' AND action = 'UPDATE'"), 0, 'a use is no change in the trail');
is((rpc($node, { key => $key }, 'list_api_keys', {})->{body}{keys}[0]{last_used_at} // 'null') ne 'null', 1, 'the list shows it');

# --- only right keys count ---------------------------------------------------

my $other = rpc($node, { key => $key }, 'create_api_key', { label => 'other' })->{body};
is(rpc($node, { key => $key }, 'revoke_api_key', { key_id => $other->{key}{id} })->{status}, 200, 'another key is revoked');
is(ask($other->{api_key}), 401, 'and refused at once');
my $third = rpc($node, { key => $key }, 'create_api_key', { label => 'third' })->{body};
is(ask($third->{api_key}), 200, 'a third key is used');
ok(wait_for($node, 'postgres', "SELECT last_used_at IS NOT NULL FROM padlock.api_keys WHERE id = '$third->{key}{id}'", 't', 30), 'and its use written');
is(last_used($other->{key}{id}), 'never', 'a refused key was not used');
isnt(last_used($id), $before, 'the first key was used again');

# --- who holds a row, or the table, keeps nobody waiting ----------------------

my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT FROM padlock.api_keys WHERE id = '$id' FOR UPDATE");
my $held = last_used($id);
my $third_before = last_used($third->{key}{id});
ask($key);
ask($third->{api_key});
ok(wait_for($node, 'postgres', "SELECT last_used_at::text <> '$third_before' FROM padlock.api_keys WHERE id = '$third->{key}{id}'", 't', 30),
	'a locked row is passed over, the others are written');
is(last_used($id), $held, 'the locked one is not');
$holder->query_safe('COMMIT');
ok(wait_for($node, 'postgres', "SELECT last_used_at::text <> '$held' FROM padlock.api_keys WHERE id = '$id'", 't', 30), 'its turn comes when it is free');

my $pids = query('SELECT string_agg(pid::text, \' \' ORDER BY pid) FROM padlock.worker_status()');
$holder->query_safe('BEGIN; LOCK TABLE padlock.api_keys IN SHARE MODE');
$held = last_used($id);
ask($key);
sleep(15);
is(last_used($id), $held, 'a locked table is left alone');
is(query('SELECT string_agg(pid::text, \' \' ORDER BY pid) FROM padlock.worker_status()'), $pids, 'by workers that live on');
$holder->query_safe('COMMIT');
ok(wait_for($node, 'postgres', "SELECT last_used_at::text <> '$held' FROM padlock.api_keys WHERE id = '$id'", 't', 30), 'and written when it is free');
$holder->quit;

# --- a session that knows where a row was ------------------------------------

# What a session that asked before, and is on, answers for a key's company.
sub warm_session
{
	my ($with, $on) = @_;
	my $session = $on->background_psql('postgres');
	$session->query_safe(qq(SET request.headers = '{"x-api-key": "$with"}'));
	is($session->query_safe('SELECT padlock.company_id()'), $company->{company}{id}, 'a session finds the company') for 1 .. 2;
	return $session;
}

sub company_of
{
	my ($session) = @_;
	return $session->query_safe('SELECT padlock.company_id()');
}

my $company_id = $company->{company}{id};
my $warm = warm_session($key, $node);
query("UPDATE padlock.api_keys SET revoked_at = now() WHERE id = '$id'");
is(company_of($warm), '', 'a key revoked meanwhile is refused at once');
query("UPDATE padlock.api_keys SET revoked_at = NULL WHERE id = '$id'");
is(company_of($warm), $company_id, 'and good when it is again');
query("UPDATE insurance_companies SET is_active = false WHERE id = '$company_id'");
is(company_of($warm), '', 'a company switched off meanwhile is nobody');
query("UPDATE insurance_companies SET is_active = true WHERE id = '$company_id'");
is(company_of($warm), $company_id, 'and somebody when it is on again');
query("UPDATE padlock.api_keys SET label = repeat('x', 90);\n" x 60);
query('VACUUM padlock.api_keys');
is(company_of($warm), $company_id, 'its row is found wherever it went');
query("VACUUM FULL $_") for ('padlock.api_keys', 'insurance_companies');
is(company_of($warm), $company_id, 'and in a table that was written anew');
query('ALTER TABLE insurance_companies RENAME TO firms');
is(company_of($warm), '', 'a table that is gone is no error');
query('ALTER TABLE firms RENAME TO insurance_companies');
is(company_of($warm), $company_id, 'and found when it is back');
query('ALTER TABLE padlock.api_keys RENAME expires_at TO other; ALTER TABLE padlock.api_keys ADD expires_at timestamptz DEFAULT \'2020-01-01\'');
is(company_of($warm), '', 'a column is the one of its name');
query('ALTER TABLE padlock.api_keys DROP expires_at; ALTER TABLE padlock.api_keys RENAME other TO expires_at');
is(company_of($warm), $company_id, 'whatever its number');

# the company's place in the table becomes another's, then the table ends before it
my $place = query("SELECT ctid FROM insurance_companies WHERE id = '$company_id'");
my $other_id = 'c0000000-0000-4000-8000-000000000002';
query("SET session_replication_role = replica; CREATE TABLE kept AS SELECT * FROM insurance_companies;
	DELETE FROM insurance_companies");
query('VACUUM (TRUNCATE off) insurance_companies');
query("INSERT INTO insurance_companies (id, name) VALUES ('$other_id', 'Successor')");
is(query("SELECT ctid FROM insurance_companies WHERE id = '$other_id'"), $place, 'a new row takes the place of a deleted one');
is(company_of($warm), '', 'and is not taken for it');
query('DELETE FROM insurance_companies');
query('VACUUM insurance_companies');
is(query("SELECT pg_relation_size('insurance_companies')"), 0, 'the table becomes shorter');
is(company_of($warm), '', 'where nothing is, nothing is read');
query("SET session_replication_role = replica; INSERT INTO insurance_companies SELECT * FROM kept; DROP TABLE kept");
is(company_of($warm), $company_id, 'a row that comes back is found');
$warm->quit;

# --- a replica ---------------------------------------------------------------

$node->backup('base');
my $replica = PostgreSQL::Test::Cluster->new('api_keys_replica');
$replica->init_from_backup($node, 'base', has_streaming => 1);
$replica->start;
my $reader = warm_session($key, $replica);
query("UPDATE padlock.api_keys SET revoked_at = now() WHERE id = '$id'");
$node->wait_for_catchup($replica);
is(company_of($reader), '', 'a key revoked meanwhile is refused there too');
query("UPDATE padlock.api_keys SET revoked_at = NULL WHERE id = '$id'");
$node->wait_for_catchup($replica);
$reader->quit;
is(gateway($replica, { key => $key, method => 'GET' }, "SELECT padlock.company_id() IS NOT NULL")->{out}, 't', 'a replica knows the key');
unlike(slurp_file($replica->logfile), qr/ERROR|PANIC/, 'and does not try to write');
$replica->stop;

# --- a crash -----------------------------------------------------------------

ask($key);
$node->stop('immediate');
$node->start;
is(ask($key), 200, 'after a crash the key is as good');
$before = last_used($id);
ok(wait_for($node, 'postgres', "SELECT last_used_at::text <> '$before' FROM padlock.api_keys WHERE id = '$id'", 't', 30), 'and its uses are written again');

# --- the end of a key, as a client sees it -------------------------------------

my $rotated = rpc($node, { key => $key }, 'rotate_api_key', { key_id => $id, overlap_minutes => 60 });
is($rotated->{status}, 201, 'rotate: 201');
is(ask($key), 200, 'the old key lives through the overlap');
is(ask($rotated->{body}{api_key}), 200, 'as does the new one');
query("UPDATE padlock.api_keys SET expires_at = now() + interval '2 s' WHERE id = '$id'");
is(ask($key), 200, 'a key is good until it expires');
sleep(2.2);
my $refused = rpc($node, { key => $key }, 'product_create', {});
is($refused->{status}, 401, 'and not after');
like($refused->{body}{details}, qr/^The key ended at 20/, 'which its holder is told');
my $invented = rpc($node, { key => api_key('0123456789abcdef' x 3 . '01234567') }, 'product_create', {});
is_deeply([ @{$invented}{qw(status)}, @{ $invented->{body} }{qw(message details)} ], [ 401, 'API key is not valid', undef ],
	'of a key that never was nothing is told');
is(rpc($node, { key => $rotated->{body}{api_key} }, 'rotate_api_key', { key_id => $id })->{status}, 409, 'an expired key is not rotated: 409');
is(rpc($node, { key => $rotated->{body}{api_key} }, 'revoke_api_key', { key_id => $admin })->{status}, 404, 'a key that is not there: 404');
is(rpc($node, { key => $rotated->{body}{api_key} }, 'create_api_key', {})->{status}, 400, 'a body that is not valid: 400');
is(rpc($node, {}, 'create_api_key', { label => 'x' })->{status}, 401, 'nobody: 401');

$node->stop;
done_testing();
