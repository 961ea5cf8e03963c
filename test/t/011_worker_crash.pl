# kill -9 of helper programs and of a worker in the middle of a job: the job
# is done in the end, and sessions stay up unless a server process was killed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SlowSite;
use Test::More;
use Time::HiRes qw(sleep);

my $slow = SlowSite::start();
my $node = new_cluster('worker_crash', workers => 1, conf => <<'CONF');
padlock.allow_private_addresses = on
restart_after_crash = on
CONF

sub value
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

# Children of a process whose name starts with the given text.
sub children
{
	my ($pid, $name) = @_;
	my @found;

	foreach my $line (split /\n/, `ps -e -o pid=,ppid=,comm=`)
	{
		my ($child, $parent, $comm) = $line =~ /^\s*(\d+)\s+(\d+)\s+(.*)$/ or next;
		push @found, $child if $parent == $pid && index($comm, $name) == 0;
	}
	return @found;
}

# How many of the processes run; a zombie that nobody reaps does not.
sub alive
{
	my $list = join(',', @_);

	return scalar(grep { !/^Z/ } split /\n/, `ps -o state= -p $list`);
}

# A document whose extraction takes a while; returns the job's id.
sub slow_job
{
	my ($user) = @_;

	value("INSERT INTO documents (user_id, title, document_type, file_url) VALUES ('$user', 'slow', 'policy', '$slow/wait/15/file.pdf')");
	my $job = value("SELECT id FROM job_queue ORDER BY created_at DESC LIMIT 1");

	ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'padlock: pdf_extraction $job'"), 'a worker is busy');
	return $job;
}

# Let the retry of a job come at once and find a quick site.
sub hurry
{
	my ($job) = @_;

	value("UPDATE job_queue SET payload = jsonb_set(payload, '{file_url}', to_jsonb('$slow/wait/0/file.pdf'::text)), next_retry_at = now() WHERE id = '$job'");
	return;
}

my $worker = "SELECT pid FROM padlock.worker_status() WHERE state IN ('idle', 'busy')";
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM ($worker) w"), 'the worker runs');
my $user = value("INSERT INTO users (email) VALUES ('user\@example.org') RETURNING id");
my $session = $node->background_psql('postgres');
my $pid = value($worker);

# The fetch helper.
my $job = slow_job($user);
my @helpers = children($pid, 'padlock_fetch');
is(scalar(@helpers), 1, 'the worker has one fetch helper');
kill 'KILL', @helpers;
ok(wait_for($node, 'postgres', "SELECT status = 'pending' AND attempts = 1 FROM job_queue WHERE id = '$job'", 't', 5), 'kill -9 of the helper ends the attempt');
like(value("SELECT error_message FROM job_queue WHERE id = '$job'"), qr/padlock_fetch was terminated by signal 9/, 'with its reason');
hurry($job);
ok(wait_for($node, 'postgres', "SELECT status = 'completed' AND attempts = 2 FROM job_queue WHERE id = '$job'"), 'the retry does the job');
is(value("SELECT count(*) FROM documents WHERE extraction_status = 'done'"), '1', 'and the text is there');
is(value($worker), $pid, 'the worker is the same');
is($session->query_safe('SELECT 1'), '1', 'sessions stay up');

# Idle helpers: the next job starts new ones.
@helpers = children($pid, 'padlock_');
kill 'KILL', @helpers;
sleep(0.1) while alive(@helpers) > 0;
value("INSERT INTO documents (user_id, title, document_type, file_url) VALUES ('$user', 'next', 'policy', '$slow/wait/0/file.pdf')");
ok(wait_for($node, 'postgres', "SELECT status = 'completed' AND attempts = 1 FROM job_queue ORDER BY created_at DESC LIMIT 1"), 'helpers killed between jobs cost no attempt')
  or diag(value('SELECT to_jsonb(j) FROM job_queue j ORDER BY created_at DESC LIMIT 1'));

# An ordinary end of the worker: its helpers go with it, another comes.
$job = slow_job($user);
@helpers = children($pid, 'padlock_');
value("SELECT pg_terminate_backend($pid)");
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM ($worker) w WHERE pid <> $pid", 't', 15), 'a terminated worker is replaced');
is(alive(@helpers), 0, 'its helpers are gone');
is($session->query_safe('SELECT 1'), '1', 'sessions stay up');
ok(wait_for($node, 'postgres', "SELECT status = 'completed' AND attempts = 2 FROM job_queue WHERE id = '$job'", 't', 90), 'its job is claimed again at once');

# kill -9 of the worker: PostgreSQL restarts, padlock goes on.
$job = slow_job($user);
$pid = value($worker);
@helpers = children($pid, 'padlock_');
cmp_ok(scalar(@helpers), '>=', 1, 'the worker has helpers');
kill 'KILL', $pid;
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM ($worker) w WHERE pid <> $pid", 't', 30), 'after kill -9 of a worker the server comes back with another');
is(alive(@helpers), 0, 'no helper is left behind');
like(value("SELECT status || ' ' || attempts FROM job_queue WHERE id = '$job'"), qr/^processing [12]$/, 'the attempt counts');
ok(wait_for($node, 'postgres', "SELECT status = 'completed' AND attempts = 2 FROM job_queue WHERE id = '$job'", 't', 90), 'its job is done in the end');
is(value("SELECT count(*) FROM documents WHERE extraction_status <> 'done'"), '0', 'every document has its text');

$session->{run}->kill_kill;
$node->stop('immediate');
$node->start;
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM ($worker) w", 't', 30), 'workers come back after an immediate stop');
$node->stop;
done_testing();
