# The audit trail's seals where it counts: made by the workers, kept by dump,
# restore, crash and replica, and by prepared transactions.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('seals', workers => 2, conf => <<'CONF');
padlock.audit_seal_interval = 1s
restart_after_crash = on
max_prepared_transactions = 4
wal_level = replica
max_wal_senders = 4
CONF
my $maya = 'ee000000-0000-4000-8000-000000000001';
my $unsealed = q{SELECT count(*) FROM padlock.audit_verify() WHERE state = 'unsealed'};
my $problems = q{SELECT count(*) FROM padlock.audit_verify() WHERE NOT ok};

sub query
{
	my ($sql, $database) = @_;

	return $node->safe_psql($database // 'postgres', $sql);
}

# Add rows to the trail, in texts that other encodings write otherwise.
sub change
{
	my ($name) = @_;

	query("INSERT INTO policies (user_id, policy_number, premium_amount, start_date) SELECT '$maya', '$name \x{c3}\x{a9} ' || n, 0.10 * n, '2026-02-03' FROM generate_series(1, 200) AS n");
}

# Workers seal what is new, and nothing when nothing is.
query("INSERT INTO users (id, email) VALUES ('$maya', 'maya\@seals.example')");
change('first');
ok(wait_for($node, 'postgres', $unsealed, '0'), 'workers seal what is new');
my $seals = query('SELECT count(*) FROM padlock.audit_seals');
sleep(3);
is(query('SELECT count(*) FROM padlock.audit_seals'), $seals, 'and write nothing when nothing is');
is(query($problems), '0', 'the trail is intact');
my $head = query('SELECT padlock.audit_head()');

# No seal by itself when it is switched off.
$node->append_conf('postgresql.conf', "padlock.audit_seal_interval = 0\n");
$node->reload;
sleep(1);
change('second');
sleep(3);
is(query($unsealed), '1', 'with interval 0 it waits for a call');

# Killed in the middle of a seal: there is none of it, and the next takes all.
my $sealer = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $sealer->query_safe('SELECT pg_backend_pid()');
$sealer->query_safe('BEGIN; SELECT padlock.audit_seal()');
kill('KILL', $pid);
eval { $sealer->quit };
ok(wait_for($node, 'postgres', 'SELECT 1', '1'), 'the server comes back after a crash');
is(query($unsealed), '1', 'an unfinished seal is gone');
is(query('SELECT padlock.audit_seal() >= 200'), 't', 'the next takes its rows');
change('third');
query('SELECT padlock.audit_seal()');
$node->stop('immediate');
$node->start;
is(query("SELECT count(*) FROM padlock.audit_verify('$head') WHERE NOT ok"), '0', 'intact after an immediate stop, and as the head says');
is(query($unsealed), '0', 'no seal was lost');

# A prepared transaction does not tell its age, so no time is closed past it.
query("BEGIN; INSERT INTO policies (user_id, policy_number) VALUES ('$maya', 'prepared'); PREPARE TRANSACTION 'p'");
my $closed = query('SELECT closed_until FROM padlock.audit_seals ORDER BY number DESC LIMIT 1');
change('fourth');
query('SELECT padlock.audit_seal()');
is(query('SELECT closed_until FROM padlock.audit_seals ORDER BY number DESC LIMIT 1'), $closed, 'a prepared transaction holds the time back');
query("COMMIT PREPARED 'p'");
is(query($problems), '0', 'its rows are not told of as inserted');
is(query('SELECT padlock.audit_seal()'), '1', 'and are sealed then');
isnt(query('SELECT closed_until FROM padlock.audit_seals ORDER BY number DESC LIMIT 1'), $closed, 'the time goes on');

# Dumped, and restored where encoding, time zone and formats are others.
query("SELECT padlock.forget_user('$maya')");
change('fifth');
query('SELECT padlock.audit_seal()');
change('not sealed');
my $before = query("SELECT string_agg(concat_ws(' ', ok, state, rows), ', ') FROM padlock.audit_verify('$head')");
like($before, qr/^t erased \d+, t intact \d+, t unsealed 200$/, 'erased, intact and unsealed rows to restore');
my $dump = $node->basedir . '/seals.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'dump');
query("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
query("ALTER DATABASE latin SET TimeZone = 'America/St_Johns'; ALTER DATABASE latin SET DateStyle = 'SQL, DMY'; ALTER DATABASE latin SET extra_float_digits = -10");
$node->command_ok([ 'pg_restore', '-d', 'latin', '--exit-on-error', $dump ], 'restore into another encoding');
is(query('SHOW server_encoding') . query('SHOW server_encoding', 'latin'), 'UTF8LATIN1', 'it is another');
is(query("SELECT string_agg(concat_ws(' ', ok, state, rows), ', ') FROM padlock.audit_verify('$head')", 'latin'), $before, 'what the seals say is the same there');
is(query('SELECT padlock.audit_seal()', 'latin'), '200', 'sealing goes on there');
is(query($problems, 'latin'), '0', 'on the same chain');
query("SET session_replication_role = replica; UPDATE audit_logs SET new_values = new_values || '{\"premium_amount\": 1}' WHERE new_values->>'policy_number' LIKE 'fifth _ 7'", 'latin');
is(query(q{SELECT string_agg(concat_ws(' ', state, rows), ', ') FROM padlock.audit_verify() WHERE NOT ok}, 'latin'), 'altered 1', 'and a change is found there');

# A replica verifies, and seals nothing.
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('seals_standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay');
is($standby->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', ok, state, rows), ', ') FROM padlock.audit_verify('$head')"), $before, 'a replica verifies');
my ($rc, $out, $err) = $standby->psql('postgres', 'SELECT padlock.audit_seal()');
like($err, qr/cannot execute padlock.audit_seal\(\) (in a read-only transaction|during recovery)/, 'and cannot seal');
$standby->stop;

# When the last rows' time has passed, one seal without rows closes it.
query(q{SET session_replication_role = replica;
	DELETE FROM padlock.audit_seals;
	UPDATE audit_logs SET created_at = created_at - interval '10 minutes'});
query('SELECT padlock.audit_seal()');
query(q{SET session_replication_role = replica;
	UPDATE padlock.audit_seals SET closed_until = last_created_at;
	UPDATE padlock.audit_seals SET digest = padlock.audit_seal_digest(NULL, number, sealed_at, closed_until, row_count, first_created_at, last_created_at, entries)});
is(query('SELECT padlock.audit_seal()'), '0', 'nothing is new');
is(query('SELECT count(*) FROM padlock.audit_seals'), '2', 'a seal without rows closes the time of the last ones');
query('SELECT padlock.audit_seal()');
is(query('SELECT count(*) FROM padlock.audit_seals'), '2', 'once');
query(q{INSERT INTO audit_logs (action, created_at) SELECT 'x', max(last_created_at) FROM padlock.audit_seals});
is(query(q{SELECT string_agg(state, ', ') FROM padlock.audit_verify() WHERE state NOT IN ('intact', 'altered')}), 'inserted', 'nothing can be dated to it');

$node->stop;
done_testing();
