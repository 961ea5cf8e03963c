# The queue with live workers: what wakes them, and job_worker().  Jobs of a
# type that nobody handles fail at once, so no handler and no agent is needed.
# An idle worker sleeps for a minute; what ends sooner was woken.

use strict;
use warnings;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('job_worker', workers => 1);
my $service = { role => 'service_role' };
my $idle = q{SELECT bool_and(state = 'idle') FROM padlock.worker_status() WHERE database = 'postgres'};
my ($answer, $out);

# Put a job into its table past the queue, so that no worker is woken.
sub enqueue_silently
{
	return $node->safe_psql('postgres',
		"INSERT INTO padlock.jobs (id, job_type, priority, payload, max_attempts, created_at)"
		. " VALUES (gen_random_uuid(), '$_[0]', 0, '{}', 3, now()) RETURNING id");
}

sub ended
{
	my ($type, $seconds) = @_;
	return wait_for($node, 'postgres',
		"SELECT status FROM job_queue WHERE job_type = '$type'", 'failed', $seconds);
}

ok(wait_for($node, 'postgres', $idle), 'a worker serves the database');

# wake-up at commit
$node->safe_psql('postgres', q{SELECT enqueue_job('by call', '{}')});
ok(ended('by call', 20), 'enqueue_job() wakes a worker');
$node->safe_psql('postgres', q{INSERT INTO job_queue (job_type) VALUES ('by insert')});
ok(ended('by insert', 20), 'a plain INSERT wakes a worker');
$node->safe_psql('postgres', q{INSERT INTO job_queue (job_type, next_retry_at) VALUES ('by time', now() + interval '2 s')});
ok(ended('by time', 20), 'a worker wakes when a delayed job is due');
$node->safe_psql('postgres', q{INSERT INTO job_queue (job_type, next_retry_at) VALUES ('by update', now() + interval '1 day')});
$node->safe_psql('postgres', q{UPDATE job_queue SET next_retry_at = NULL WHERE job_type = 'by update'});
ok(ended('by update', 20), 'an UPDATE that makes a job due wakes a worker');

# job_worker()
$answer = rpc($node, $service, 'job_worker');
is($answer->{status}, 200, 'job_worker with nothing due: status');
is_deeply([ sort keys %{ $answer->{body} } ], [ 'message', 'worker_id' ], 'job_worker with nothing due: answer');

sleep(6);    # tables are looked at every five seconds at most
my $id = enqueue_silently('asked for');
$answer = rpc($node, $service, 'job_worker', {});
is($answer->{status}, 200, 'job_worker runs a job: status');
is($answer->{body}{job_id}, $id, 'job_worker runs the due job');
is($answer->{body}{job_type}, 'asked for', 'job_worker names the type');
ok(!$answer->{body}{success}, 'a failed attempt is no success');
like($answer->{body}{error_message}, qr/no worker handles jobs of type "asked for"/, 'and says why');
like($answer->{body}{worker_id}, qr/./, 'and who tried');
is($node->safe_psql('postgres', "SELECT status FROM job_queue WHERE id = '$id'"), 'failed', 'the outcome is committed');

$answer = rpc($node, $service, 'job_worker', { limit => 3 });
is($answer->{status}, 400, 'unknown fields are refused');
like($answer->{body}{details}, qr/limit/, 'by name');
$answer = rpc($node, {}, 'job_worker', {});
isnt($answer->{status}, 200, 'anon may not call it');

# a job that this session alone can see, or that it holds, is not run
$out = $node->safe_psql('postgres', q{
	SET padlock.job_worker_wait = '1s';
	BEGIN;
	INSERT INTO job_queue (job_type) VALUES ('uncommitted');
	SELECT job_worker() ->> 'message';
	ROLLBACK;
});
is($out, 'no job is due', 'an uncommitted job is not due');

enqueue_silently('held');
$out = $node->safe_psql('postgres', q{
	SET padlock.job_worker_wait = '1s';
	BEGIN;
	UPDATE job_queue SET priority = 1 WHERE job_type = 'held';
	SELECT job_worker() ->> 'message';
	COMMIT;
});
is($out, 'no job is due', 'a job that somebody is changing is not due');
ok(ended('held', 20), 'it is when the change is committed');

# a worker that is busy makes others wait; waiting can be cancelled, and leaves nothing behind
$node->safe_psql('postgres', q{
	CREATE FUNCTION public.nap(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT pg_sleep(5); SELECT $1';
	CREATE ROLE napper; GRANT napper TO service_role;
	SELECT padlock.register_job_handler('nap', 'public.nap(jsonb)'::regprocedure, 'napper')});
$node->safe_psql('postgres', q{SELECT enqueue_job('nap', '{}')});
ok(wait_for($node, 'postgres', "SELECT status = 'processing' FROM job_queue WHERE job_type = 'nap'"), 'a worker naps');
$node->safe_psql('postgres', q{SELECT enqueue_job('waits', '{}')});
is($node->safe_psql('postgres', q{SET padlock.job_worker_wait = '300ms'; SELECT job_worker() ->> 'status'}), 'processing', 'what takes longer is answered so');
my ($rc, $stdout, $stderr) = $node->psql('postgres', q{SET statement_timeout = '500ms'; SELECT job_worker()});
like($stderr, qr/statement timeout/, 'waiting can be cancelled');
$answer = rpc($node, $service, 'job_worker');
is($answer->{status}, 200, 'and the next call works');
ok(ended('waits', 20), 'the job was run');

# Several idle workers: one is woken for a job, and as many as there are jobs.
# The first looks by itself every ten seconds, the others every minute.
$node->safe_psql('postgres', q{
	CREATE FUNCTION doze(jsonb) RETURNS jsonb LANGUAGE sql RETURN to_jsonb(pg_sleep(120)::text);
	SELECT padlock.register_job_handler('doze', 'doze(jsonb)', 'service_role', 180);
	ALTER SYSTEM SET padlock.worker_count = 3});
$node->reload;
ok(wait_for($node, 'postgres', q{SELECT count(*) FROM padlock.worker_status() WHERE state = 'idle'}, '3'), 'three workers rest');
sleep(3);    # they look again a moment after they began
$node->safe_psql('postgres', q{SELECT enqueue_jobs('[{"job_type": "doze", "payload": {}}, {"job_type": "doze", "payload": {}}]')});
$node->safe_psql('postgres', q{SELECT enqueue_job('doze', '{}')});
ok(wait_for($node, 'postgres', q{SELECT count(*) FROM job_queue WHERE job_type = 'doze' AND status = 'processing'}, '3', 20),
	'three jobs wake all of them');
$node->safe_psql('postgres', q{SELECT cancel_job(id) FROM job_queue WHERE job_type = 'doze'});
ok(wait_for($node, 'postgres', q{SELECT count(*) FROM padlock.worker_status() WHERE state = 'idle'}, '3'), 'and they rest again');

# What waits for another to end is begun when that has ended outside.
$node->safe_psql('postgres', q{INSERT INTO padlock.job_types (job_type, max_running) VALUES ('single', 1)});
my $freed_at = time();
for my $round (1 .. 4)
{
	my $claimed = $node->safe_psql('postgres', q{BEGIN;
		SELECT '' FROM enqueue_job('single', '{}');
		SELECT job_id FROM get_next_job('outside', 1);
		COMMIT});
	my $next = $node->safe_psql('postgres', q{SELECT enqueue_job('single', '{}')});
	$claimed =~ s/\s//g;
	is($node->safe_psql('postgres', "SELECT pg_sleep(3), complete_job('$claimed')"), '|t', 'the one that runs ends');
	ok(wait_for($node, 'postgres', "SELECT status FROM job_queue WHERE id = '$next'", 'failed', 20), 'the next begins');
}
cmp_ok(time() - $freed_at, '<', 30, 'without waiting for a worker to look by itself');

$node->stop;
done_testing();
