# The queue under faults: kill -9 of workers and sessions, immediate stop, a
# full disk, a clock that jumps, a promoted replica.  Afterwards every job has
# ended, none ran again after its completion was reported, counts are exact.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Faults;
use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $jobs = $ENV{FAULT_JOBS} // 400;
my $rounds = $ENV{FAULT_ROUNDS} // 2;

# Crash tests may skip syncing: the machine stays up.
my $node = fault_cluster('faults', workers => 2, conf => <<'CONF');
restart_after_crash = on
padlock.retry_base = '50ms'
padlock.retry_cap = '50ms'
max_wal_size = '64MB'
CONF

sub value
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

# The same when the server may be in the middle of a restart.
sub patient_value
{
	my ($sql) = @_;

	wait_for($node, 'postgres', 'SELECT 1', '1', 60) or die 'the server does not come back';
	return value($sql);
}

sub status_of
{
	my ($job) = @_;

	return value("SELECT status || ' ' || attempts FROM job_queue WHERE id = '$job'");
}

my $busy = "SELECT count(*) FROM padlock.worker_status() WHERE state = 'busy'";
my $ready = "SELECT count(*) FROM padlock.worker_status() WHERE state IN ('idle', 'busy')";

# Kill a process of the server, and wait for the restart that follows.
sub kill_and_wait
{
	my ($pid) = @_;
	my $started = value('SELECT pg_postmaster_start_time()');

	kill 'KILL', $pid;
	wait_for($node, 'postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 't', 60)
	  or diag('the server did not come back');
	wait_for($node, 'postgres', "$ready AND database = 'postgres'", '2', 60) or diag('the workers did not come back');
	return;
}

start_faulty($node);
value(q{
	CREATE EXTENSION padlock;
	CREATE ROLE clerk;
	GRANT USAGE ON SCHEMA public TO clerk;
	CREATE TABLE done (n integer);
	GRANT INSERT ON done TO clerk;
	CREATE FUNCTION note(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO done VALUES ((payload->>'n')::integer);
		PERFORM pg_sleep(coalesce((payload->>'wait')::float8, 0));
		RETURN payload;
	END $$;
	SELECT padlock.register_job_handler('note', 'note(jsonb)', 'clerk', 60);
});
ok(wait_for($node, 'postgres', $ready, '2'), 'workers run');

# kill -9 of a worker in the middle of a job.
my $job = value(q{SELECT enqueue_job('note', '{"n": -1, "wait": 30}', 0, 3)});
ok(wait_for($node, 'postgres', $busy, '1'), 'a worker is busy');
value(q{SELECT enqueue_job('note', '{"n": -2, "wait": 0.1}')});
kill_and_wait(pids_of($node, "query LIKE 'padlock: note $job'"));
my $start = time();
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'padlock: note $job'", 't', 10),
	'the job of a killed worker runs again at once');
is(status_of($job), 'processing 2', 'as its second attempt');
kill_and_wait(pids_of($node, "query LIKE 'padlock: note $job'"));
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'padlock: note $job'", 't', 10), 'and a third time');
kill_and_wait(pids_of($node, "query LIKE 'padlock: note $job'"));
ok(wait_for($node, 'postgres', "SELECT status = 'failed' FROM job_queue WHERE id = '$job'", 't', 15), 'a job that kills its worker each time fails in the end');
is(value("SELECT attempts || ' ' || error_message FROM job_queue WHERE id = '$job'") =~ /^3 lease ended: worker/, 1, 'after max_attempts, with a reason');
is(value('SELECT count(*) FROM done WHERE n = -1'), '0', 'and left nothing');
ok(wait_for($node, 'postgres', 'SELECT count(*) = 1 FROM done WHERE n = -2'), 'another job that was under way is done');

# A session that is killed between claim and complete.  Workers do not know
# this type; they must leave it alone meanwhile.
value("INSERT INTO padlock.job_types (job_type, paused) VALUES ('outside', true)");
my @leased = map { value(q{SELECT enqueue_job('outside', '{}')}) } 1 .. 2;
$node->append_conf('postgresql.conf', "padlock.worker_count = 0\n");
$node->reload;
ok(wait_for($node, 'postgres', $ready, '0'), 'workers rest');
value("SELECT resume_job_type('outside')");
is(value("SELECT job_id || ' ' || attempts FROM get_next_job('outside', 1)"), "$leased[0] 1", 'a claim that is committed');
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
is($session->query_safe("SELECT job_id FROM get_next_job('victim', 1)"), $leased[1], 'one that is not');
my $victim = $session->query_safe('SELECT pg_backend_pid()');
kill 'KILL', $victim;
$session->{run}->kill_kill;
is(patient_value("SELECT string_agg(status, ' ' ORDER BY status) FROM job_queue WHERE job_type = 'outside'") =~ /processing/, 1,
	'the server restarts, and the claims are remembered');
is(value("SELECT complete_job('$leased[0]', NULL, 1)"), 't', 'the first can be completed');
is(value("SELECT complete_job('$leased[0]', NULL, 1)"), 'f', 'once');
pass_time($node, 61);
is(value("SELECT job_id FROM get_next_job('heir', 1)"), $leased[1], 'the other is not stuck longer than its lease');
my $token = value("SELECT attempts FROM job_queue WHERE id = '$leased[1]'");
is(value("SELECT complete_job('$leased[1]', NULL, $token)"), 't', 'and can be completed');

# Leases over an immediate stop.
my $kept = value(q{SELECT enqueue_job('outside', '{}')});
is(value("SELECT attempts FROM get_next_job('outside', 1)"), '1', 'a claim');
$node->stop('immediate');
start_faulty($node);
is(status_of($kept), 'processing 1', 'outlives an immediate stop');
is(value("SELECT count(*) FROM get_next_job('thief', 1)"), '0', 'nobody else gets the job');
pass_time($node, 61 + 61);
is(value("SELECT job_id || ' ' || attempts FROM get_next_job('heir', 1)"), "$kept 2", 'until the lease ends');
is(value("SELECT complete_job('$kept', NULL, 1)"), 'f', 'then the first token is refused');
is(value("SELECT complete_job('$kept', NULL, 2)"), 't', 'and the second is not');

# The time of day jumps.
my $lease = value(q{SELECT enqueue_job('outside', '{}')});
is(value("SELECT job_id FROM get_next_job('outside', 60)"), $lease, 'a claim for an hour');
set_clock($node, 3 * 3600);
is(value("SELECT count(*) FROM get_next_job('thief', 1)"), '0', 'is not ended by a clock that goes three hours ahead');
set_clock($node, -3 * 3600);
is(value("SELECT count(*) FROM get_next_job('thief', 1)"), '0', 'nor by one that goes back');
is(value("SELECT fail_job('$lease', 'again', 1, 1)"), 't', 'a retry in a minute');
set_clock($node, -6 * 3600);
is(value("SELECT count(*) FROM get_next_job('early', 1)"), '0', 'waits');
pass_time($node, 61 + 61 + 91);
is(value("SELECT job_id || ' ' || attempts FROM get_next_job('outside', 1)"), "$lease 2", 'that minute and the jitter, and not six hours');
is(value("SELECT complete_job('$lease', NULL, 2)"), 't', 'and is completed');
my $new = value(q{SELECT enqueue_job('outside', '{}')});
is(value("SELECT job_id FROM get_next_job('outside', 1)"), $new, 'a job that is added meanwhile is due at once');
is(value("SELECT complete_job('$new')"), 't', 'and is completed, too');
set_clock($node, 0);

# A full disk: what cannot be stored is refused, what was promised is kept.  The
# disk is full by errors that a preloaded library gives (Faults.pm), since a
# small file system of its own takes root to mount, and these tests run without.
my @small = map { value(q{SELECT enqueue_job('outside', '{}')}) } 1 .. 3;
is(value("SELECT job_id FROM get_next_job('outside', 1)"), $small[0], 'a claim before the disk is full');
fill_disk($node, 1);
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT enqueue_job('outside', jsonb_build_object('x', (SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 30000))))});
isnt($rc, 0, 'a job of a megabyte finds no room');
like($err, qr/No space left on device|server closed|could not/, 'and the session is told');
wait_for($node, 'postgres', 'SELECT 1', '1', 30);
my $claimed = 0;
for (1 .. 2)
{
	my ($result, $answer) = $node->psql('postgres', "SELECT count(*) FROM get_next_job('outside', 1)");
	$claimed += $answer if $result == 0;
}
($rc, $out, $err) = $node->psql('postgres', "SELECT complete_job('$small[0]', NULL, 1)");
ok(($rc == 0 && $out eq 't') || $err =~ /No space left|closed|recovery|could not/, 'a completion is stored or refused with the reason') or diag("$rc $out $err");
fill_disk($node, 0);
wait_for($node, 'postgres', 'SELECT 1', '1', 60) or do { $node->_update_pid(0); start_faulty($node); };
is(value("SELECT count(*) FROM job_queue WHERE id IN ('" . join("', '", @small) . "')"), '3', 'with room again, no job is lost');
pass_time($node, 1000);
for (1 .. 3)
{
	value("SELECT complete_job(job_id, NULL, attempts) FROM get_next_job('outside', 1)");
}
is(value("SELECT count(*) FROM job_queue WHERE status <> 'completed' AND job_type = 'outside'"), '0', 'and all come to their end');

# All of it at once: workers and consumers outside share the jobs, while
# processes are killed and the server is stopped.
my $file = PostgreSQL::Test::Utils::tempdir() . '/ledger';
my $waiting = "SELECT count(*) = 0 FROM job_queue WHERE status IN ('pending', 'processing')";
value("SELECT count(enqueue_job('note', jsonb_build_object('n', n, 'wait', 0.005), 0, 50)) FROM generate_series(1, $jobs) n");
$node->append_conf('postgresql.conf', "padlock.worker_count = 2\n");
$node->reload;
start_consumer($node, "outside $_", $file) foreach 1 .. 2;
for my $round (1 .. $rounds)
{
	foreach my $type ('padlock worker', 'client backend')
	{
		sleep(0.7);
		my @pids = pids_of($node, "backend_type = '$type'");
		kill 'KILL', $pids[0] if @pids;
		wait_for($node, 'postgres', 'SELECT 1', '1', 60);
	}
	sleep(0.7);
	$node->stop('immediate');
	start_faulty($node);
}
sleep(1);
stop_consumers();
pass_time($node, 2000);
ok(wait_for($node, 'postgres', $waiting, 't', 60), 'all jobs end');
is(value("SELECT count(*) FROM job_queue WHERE job_type = 'note' AND status = 'completed' AND (payload->>'n')::integer > 0"), $jobs, 'each is completed');
is(value('SELECT count(*) - count(DISTINCT n) FROM done WHERE n > 0'), '0', 'no worker did one twice');
check_ledger($node, $file);
my %outside = map { $_->[2] => 1 } grep { $_->[1] eq 'answer' && $_->[4] eq 't' } consumer_log($file);
my @both = grep { $outside{$_} } split /\n/, value("SELECT id FROM job_queue JOIN done ON n = (payload->>'n')::integer");
is("@both", '', 'nor what a consumer had completed');
is(value('SELECT count(*) FROM padlock.job_counts FULL JOIN (SELECT job_type, status, count(*) FROM job_queue GROUP BY job_type, status) j USING (job_type, status) WHERE jobs IS DISTINCT FROM count'),
	'0', 'the counts are exact') or diag(value('SELECT * FROM padlock.job_counts'));
$node->stop;
unlike(slurp_file($node->logfile), qr/TRAP/, 'no assertion failed');
done_testing();
