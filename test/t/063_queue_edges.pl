# The queue where room is short or things happen at once: a claim that came
# back too late, changes of a job that runs, locks of a handler, more jobs and
# leases than there is memory for, jobs that are not there any more.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# Workers serve one database; in the others the test claims by itself.
my $node = new_cluster('edges', workers => 2, conf => <<'CONF');
restart_after_crash = on
padlock.databases = 'postgres'
padlock.queue_max_jobs = 64
padlock.queue_max_leases = 16
max_prepared_transactions = 2
CONF

sub value
{
	my ($sql, $db) = @_;

	return $node->safe_psql($db // 'postgres', $sql);
}

sub enqueue
{
	my ($payload, $type) = @_;

	return value(sprintf q{SELECT enqueue_job('%s', '%s')}, $type // 'run', $payload);
}

sub waits_for
{
	my ($sql, $seconds) = @_;

	return wait_for($node, 'postgres', $sql, 't', $seconds // 10);
}

value(q{
	CREATE ROLE clerk;
	GRANT USAGE ON SCHEMA public, padlock TO clerk;
	GRANT EXECUTE ON FUNCTION padlock.report_progress(bigint, bigint, text) TO clerk;
	CREATE SEQUENCE runs;
	GRANT USAGE ON SEQUENCE runs TO clerk;
	CREATE FUNCTION run(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
		PERFORM nextval('runs'), padlock.report_progress(1, 2, 'half');
		IF payload ? 'lock' THEN PERFORM pg_advisory_xact_lock((payload->>'lock')::bigint); END IF;
		PERFORM pg_sleep(coalesce((payload->>'wait')::float8, 0));
		RETURN NULL;
	END $$;
	SELECT padlock.register_job_handler('run', 'run(jsonb)', 'clerk', 600);
});
my $idle = "SELECT count(*) = 2 FROM padlock.worker_status() WHERE state = 'idle'";
ok(waits_for($idle), 'two workers run');

# A worker that claimed jobs ahead and is held up by one of them does not give
# back what another has claimed meanwhile.
enqueue('{"wait": 0.6}');
ok(waits_for("SELECT count(*) = 1 FROM padlock.worker_status() WHERE state = 'busy'"), 'one of them is busy for a while');
value(q{SELECT count(enqueue_job('run', p)) FROM unnest(ARRAY['{"wait": 0}', '{"wait": 1.5}', '{"wait": 3}']::jsonb[]) p});
ok(waits_for("SELECT count(*) = 4 FROM job_queue WHERE status = 'completed'"), 'jobs that wait behind a slow one are done');
ok(waits_for($idle), 'and nothing more is');
is(value('SELECT last_value FROM runs'), '4', 'each was begun once');

# A job that is changed while it runs is still its worker's.
my $job = enqueue('{"wait": 600}');
ok(waits_for('SELECT count(*) = 1 FROM padlock.job_progress WHERE done = 1'), 'a job runs');
value("UPDATE job_queue SET priority = 5 WHERE id = '$job'");
is(value("SELECT status, attempts, priority, message FROM job_queue JOIN padlock.job_progress ON job_id = id WHERE id = '$job'"),
	'processing|1|5|half', 'it goes on with another priority');
is(value("SELECT cancel_job('$job')"), 't', 'it is cancelled');
ok(waits_for($idle, 2), 'and its worker stops');

# A handler's locks last as long as its transaction.
$job = enqueue('{"lock": 7, "wait": 1}');
ok(waits_for("SELECT count(*) = 1 FROM job_queue WHERE id = '$job' AND status = 'processing'"), 'a job with a lock runs');
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT cancel_job('$job')");
ok(waits_for("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'padlock worker' AND wait_event = 'virtualxid'"),
	'its end waits for another transaction');
is(value('SELECT pg_try_advisory_xact_lock(7)'), 'f', 'and it still has its lock');
$session->query_safe('ROLLBACK');
$session->quit;
ok(waits_for("SELECT status = 'completed' FROM job_queue WHERE id = '$job'"), 'it is completed');
is(value('SELECT pg_try_advisory_xact_lock(7)'), 't', 'and has no lock any more');

# A handler that ends its own job gets nothing by it.
value(q{
	CREATE FUNCTION quit(payload jsonb) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$ BEGIN
		PERFORM cancel_job(id) FROM job_queue WHERE job_type = 'quit';
		RETURN NULL;
	END $$;
	SELECT padlock.register_job_handler('quit', 'quit(jsonb)', 'clerk', 10);
	SELECT enqueue_job('quit', '{}', 0, 1);
});
ok(waits_for("SELECT status = 'failed' FROM job_queue WHERE job_type = 'quit'"), 'a job whose handler cancels it fails at once');
is(value("SELECT error_message FROM job_queue WHERE job_type = 'quit'"), 'the claim of the job was lost', 'and says why');

# External types are left alone, however many there are.
value("INSERT INTO padlock.job_types (job_type, external) VALUES ('outside', true)");
value("SELECT count(enqueue_job('outside', '{}')) FROM generate_series(1, 500)");
$job = enqueue('{}');
ok(waits_for("SELECT status = 'completed' FROM job_queue WHERE id = '$job'"), 'a job behind many external ones is done');
is(value("SELECT status, count(*), max(attempts) FROM job_queue WHERE job_type = 'outside' GROUP BY 1"), 'pending|500|0', 'which nobody has touched');
like(value('SELECT job_worker()'), qr/no job is due/, 'nor does job_worker() ask for them');
value(q{DO $$ DECLARE n integer; BEGIN LOOP
	SELECT cardinality(array_agg(job_id)), cardinality(complete_jobs(array_agg(job_id))) INTO n FROM get_next_jobs('w', 10);
	COMMIT;
	EXIT WHEN n IS NULL;
END LOOP; END $$});
is(value("SELECT status, count(*) FROM job_queue WHERE job_type = 'outside' GROUP BY 1"), 'completed|500', 'all of them can be claimed from outside');
enqueue('{}', 'outside');
$job = enqueue('{}');
ok(waits_for("SELECT status = 'completed' FROM job_queue WHERE id = '$job'"), 'one more is passed over');
value('DELETE FROM padlock.job_types');
ok(waits_for("SELECT count(*) = 1 FROM job_queue WHERE job_type = 'outside' AND status = 'failed' AND error_message LIKE 'no worker handles jobs%'"),
	'until the type is external no more');
enqueue('{}', 'outside') for 1 .. 2;
ok(waits_for("SELECT count(*) = 3 FROM job_queue WHERE job_type = 'outside' AND status = 'failed'"), 'then workers fail it');

# Who ends a job from outside wakes the worker that its type's limit kept.
value("INSERT INTO padlock.job_types (job_type, max_running) VALUES ('run', 1)");
my ($mine) = value(q{BEGIN; SELECT enqueue_job('run', '{}'); SELECT job_id FROM get_next_job('outside'); COMMIT}) =~ /\n(\S+)$/;
$job = enqueue('{}');
ok(waits_for($idle), 'workers have seen that a job may not start');
sleep(0.5);
my $start = time();
is(value("SELECT complete_job('$mine')"), 't', 'the one before it ends');
ok(waits_for("SELECT status = 'completed' FROM job_queue WHERE id = '$job'", 20), 'it starts');
cmp_ok(time() - $start, '<', 2, 'at once');
value('DELETE FROM padlock.job_types');

# What was run does not count as waiting, so a backlog leaves room to others.
value('CREATE DATABASE first');
value('CREATE DATABASE second');
value('CREATE EXTENSION padlock', $_) foreach 'first', 'second';
value("SELECT count(enqueue_job('job', '{}')) FROM generate_series(1, 12000)", 'first');
value(q{DO $$ BEGIN FOR i IN 1 .. 750 LOOP PERFORM complete_jobs(array_agg(job_id)) FROM get_next_jobs('w', 16); COMMIT; END LOOP; END $$}, 'first');
is(value("SELECT jobs FROM padlock.job_counts WHERE status = 'completed'", 'first'), '12000', 'many jobs are done');
value("SELECT count(enqueue_job('job', '{}')) FROM generate_series(1, 30000)", 'first');
value("SELECT enqueue_job('job', '{}')", 'second');
is(value("SELECT count(*) FROM get_next_job('w')", 'second'), '1', 'the backlog of a database keeps no other out');
value('DROP DATABASE first');
value('CREATE DATABASE first');
value('CREATE EXTENSION padlock', 'first');
value('DELETE FROM job_queue', 'second');

# More running jobs are written than there are leases.
value(q{INSERT INTO job_queue (job_type, status, attempts, worker_id, locked_until)
	SELECT 'job', 'processing', 1, 'by hand', now() + interval '1 hour' FROM generate_series(1, 17)}, 'first');
is(value('SELECT status, count(*) FROM job_queue GROUP BY 1 ORDER BY 1', 'first'), "pending|1\nprocessing|16", 'one has to wait');
value("SELECT complete_job(id) FROM job_queue WHERE status = 'processing' LIMIT 1", 'first');
is(value("SELECT attempts FROM get_next_job('w')", 'first'), '1', 'and can be claimed later');
value('DELETE FROM job_queue', 'first');

# A change of a type cannot be prepared: nobody would tell the others.
my ($rc, $out, $err) = $node->psql('first', "BEGIN; SELECT enqueue_job('job', '{}'); SELECT pause_job_type('job'); PREPARE TRANSACTION 'pause'");
like($err, qr/cannot PREPARE a transaction that has changed padlock.job_types/, 'a pause cannot be prepared');

# A lease of a job that is gone says nothing of another that has its seq.
value("SELECT enqueue_job('job', '{}')", 'second');
value("SELECT get_next_job('w'); UPDATE job_queue SET locked_until = now() - interval '1 s'", 'second');
value('TRUNCATE padlock.jobs, padlock.job_outcomes RESTART IDENTITY', 'second');
value("SELECT count(enqueue_job('job', '{}')) FROM generate_series(1, 2)", 'second');
is(value("SELECT attempts FROM get_next_jobs('w', 10)", 'second'), "1\n1", 'jobs in the place of one that is gone begin with their first attempt');
is(value('SELECT complete_jobs(array_agg(id)) FROM job_queue', 'second'), '{}', 'and can be completed');

# A crash takes a job back with the transaction that had added and claimed it.
$session = $node->background_psql('second');
$job = $session->query_safe("BEGIN; SELECT enqueue_job('job', '{}')");
$session->query_safe("SELECT get_next_job('w')");
kill 'KILL', $session->query_safe('SELECT pg_backend_pid()');
$session->{run}->kill_kill;
wait_for($node, 'second', 'SELECT 1', '1', 60);
($rc, $out, $err) = $node->psql('second', "SELECT complete_job('$job')");
like($err, qr{job_id_val names no job}, 'which nobody can complete') or diag("$rc $out $err");
is(value('SELECT count(*) FROM padlock.job_outcomes WHERE job_seq > 2', 'second'), '0', 'nor says anything of');

# The file of leases is believed when it is this server's and whole.
my $leases = $node->data_dir . '/pg_stat_tmp/padlock_leases';
value("SELECT enqueue_job('job', '{}')", 'first');
foreach my $case ([ 'untouched', '1', sub { } ],
	[ 'a copy', '0', sub { my $bytes = slurp_file($leases); rename $leases, "$leases.old"; append_to_file($leases, $bytes); } ],
	[ 'torn', '0', sub { my $bytes = slurp_file($leases); $bytes =~ s/scribe/SCRIBE/g; open my $out, '+<', $leases or die; binmode $out; syswrite $out, $bytes; close $out; } ])
{
	my ($name, $running, $change) = @$case;

	value("SELECT get_next_job('scribe')", 'first');
	$node->stop('immediate');
	$change->();
	$node->start;
	is(value("SELECT count(*) FROM job_queue WHERE status = 'processing'", 'first'), $running, "a file of leases that is $name");
}
is(value("SELECT status FROM job_queue", 'first'), 'pending', 'costs no job');

# Write the file over, with the checksum of its header put right.
sub write_leases
{
	my ($bytes) = @_;
	my ($size, $count) = unpack 'x8 L2', $bytes;
	my $header_length = length($bytes) - $size * $count;

	substr($bytes, 0, 4) = pack 'L', crc32c(substr($bytes, 4, $header_length - 4));
	open my $out, '+<', $leases or die "$leases: $!";
	binmode $out;
	syswrite $out, $bytes;
	close $out;
	return;
}

# Also a copy that has got the inode of the one before, or seems to have.
SKIP:
{
	skip 'the file system does not keep when a file was made', 1 if `stat -c %W '$leases'` < 1;
	value("SELECT get_next_job('scribe')", 'first');
	$node->stop('immediate');
	my $bytes = slurp_file($leases);
	unlink $leases;
	append_to_file($leases, $bytes);
	substr($bytes, 24, 8) = pack 'Q', (stat $leases)[1];
	write_leases($bytes);
	$node->start;
	is(value("SELECT count(*) FROM job_queue WHERE status = 'processing'", 'first'), '0', 'a copy in the place of the file is one');
}

# Put the end of the lease of five minutes that is in the file ten days off,
# as another boot's clock would; and say that it is of another boot.
sub forge_leases
{
	my ($boot) = @_;
	my $bytes = slurp_file($leases);
	my ($size, $count) = unpack 'x8 L2', $bytes;
	my $header = substr($bytes, 0, length($bytes) - $size * $count);
	my @words = unpack 'q*', substr($bytes, length $header);
	my ($end) = grep { $words[$_] - $words[ $_ + 1 ] == 300_000_000 } 0 .. $#words - 1;

	$words[$end] += 10 * 86_400 * 1_000_000;
	substr($header, 40, 36) = $boot if defined $boot;
	write_leases($header . pack('q*', @words));
	return;
}

foreach my $case ([ 'of this boot goes by its clock', undef, 'f' ], [ 'of another boot goes by the time of day', 'x' x 36, 't' ])
{
	my ($name, $boot, $short) = @$case;

	value("SELECT cancel_job(id) FROM job_queue", 'first');
	value("SELECT enqueue_job('job', '{}'); SELECT get_next_job('scribe')", 'first');
	$node->stop('immediate');
	forge_leases($boot);
	$node->start;
	is(value("SELECT locked_until BETWEEN now() AND now() + interval '5 min' FROM job_queue WHERE status = 'processing'", 'first'), $short, "a lease $name");
}

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP/, 'nothing crashed');
done_testing();
