# Admins where logical replication writes admin_users: it fires no triggers of
# statements, and none that are not to fire always.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $user = '41000000-0000-4000-8000-000000000001';
my $node = new_cluster('admins', conf => "wal_level = logical\nmax_wal_senders = 5\nmax_replication_slots = 5\nmax_worker_processes = 16\n");

sub query
{
	my ($database, $sql) = @_;
	return $node->safe_psql($database, $sql);
}

query('postgres', 'CREATE DATABASE subscriber');
query('subscriber', 'CREATE EXTENSION padlock');
query('postgres', "CREATE PUBLICATION admins FOR TABLE users, admin_users");
query('postgres', "SELECT pg_create_logical_replication_slot('admins', 'pgoutput')");
query('subscriber', sprintf("CREATE SUBSCRIPTION admins CONNECTION '%s' PUBLICATION admins WITH (create_slot = false, slot_name = 'admins', copy_data = false)",
	$node->connstr('postgres') =~ s/'/''/gr));

my $session = $node->background_psql('subscriber');
$session->query_safe(qq(SET request.jwt.claims = '{"sub": "$user"}'));

# What a session of the subscriber that asked before answers, once so many admins have arrived.
sub is_admin_once
{
	my ($admins) = @_;
	ok(wait_for($node, 'subscriber', 'SELECT count(*) FROM admin_users', $admins, 60), "$admins replicated");
	return $session->query_safe('SELECT padlock.is_admin()');
}

is(is_admin_once(0), 'f', 'nobody is an admin');
query('postgres', "INSERT INTO users (id, email) VALUES ('$user', 'one\@admins.example'); INSERT INTO admin_users (id) VALUES ('$user')");
is(is_admin_once(1), 't', 'an admin');
query('postgres', 'DELETE FROM admin_users');
is(is_admin_once(0), 'f', 'who was removed');
query('postgres', "INSERT INTO admin_users (id) VALUES ('$user')");
is(is_admin_once(1), 't', 'made again');
query('postgres', 'TRUNCATE admin_users');
is(is_admin_once(0), 'f', 'and truncated away');
$session->quit;
query('subscriber', 'DROP SUBSCRIPTION admins');
$node->stop;
done_testing();
