# Workers do nothing in a database whose restore is under way: jobs arrive with
# the rows, long before the last index, trigger, policy and right.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('restore', workers => 0);
$node->safe_psql('postgres', "SELECT enqueue_job('nobody_handles_this', '{}')");
my ($dump, $err);
IPC::Run::run([ 'pg_dump', '-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$dump, '2>', \$err);
is($?, 0, 'a dump with a pending job') or diag($err);
like($dump, qr/^COPY padlock\.jobs_1 /m, 'its rows');

# Everything before the rights, in two halves, as a slow restore would be.
$dump =~ s/^\\(un)?restrict .*\n//mg;
my ($settings) = $dump =~ /\A(.*?)^-- Name: /ms;
my ($rows, $rest) = $dump =~ /\A(.*^COPY padlock\.jobs_1 .*?^\\\.\n)(.*)\z/ms;
my ($structure, $rights) = $rest =~ /\A(.*?)(^-- Name: SCHEMA padlock; Type: ACL;.*)\z/ms;
ok($rights, 'rights come last');

$node->append_conf('postgresql.conf', "padlock.worker_count = 1\n");
$node->reload;
$node->safe_psql('postgres', 'CREATE DATABASE restored');

my $status = 'SELECT status, attempts FROM public.job_queue';

# Part of a restore, in a session of its own.
sub restore
{
	my ($database, $part) = @_;
	my ($out, $err);
	my $script = $settings . $part;
	IPC::Run::run([ 'psql', '-qXv', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, $database ],
		'<', \$script, '>', \$out, '2>', \$err);
	is($err, '', 'a part is restored');
}

restore('restored', $rows);
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM padlock.worker_status() WHERE database = 'restored' AND state = 'idle'"),
	'a worker is there');
sleep(7);
is($node->safe_psql('restored', $status), 'pending|0', 'and leaves the rows alone');
restore('restored', $structure);
sleep(7);
is($node->safe_psql('restored', $status), 'pending|0', 'also when indexes, triggers and policies have come');
is($node->safe_psql('postgres', 'SELECT count(*) FROM padlock.worker_status() WHERE restarts > 0'), 0, 'no worker has died of it');
restore('restored', $rights);
ok(wait_for($node, 'restored', "SELECT status = 'failed' FROM public.job_queue"), 'with the last right the work begins');

# A restore without rights is ended by install().
$node->safe_psql('postgres', 'CREATE DATABASE unprivileged');
restore('unprivileged', $rows . $structure);
sleep(7);
is($node->safe_psql('unprivileged', $status), 'pending|0', 'without rights the job waits');
like(slurp_file($node->logfile), qr/LOG:.*jobs of this database wait for the end of a restore/, 'and the log says so');
$node->safe_psql('unprivileged', 'SELECT padlock.install()');
ok(wait_for($node, 'unprivileged', "SELECT status = 'failed' FROM public.job_queue"), 'until install() is run');

$node->stop;
done_testing();
