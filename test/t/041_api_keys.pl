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

# --- a replica ---------------------------------------------------------------

$node->backup('base');
my $replica = PostgreSQL::Test::Cluster->new('api_keys_replica');
$replica->init_from_backup($node, 'base', has_streaming => 1);
$replica->start;
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
