# Replicas: workers stay asleep on one, start when it is promoted, and go on
# with what the primary had left.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', padlock_conf() . <<'CONF');
shared_preload_libraries = 'padlock'
padlock.worker_count = 0
max_worker_processes = 12
CONF
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION padlock;
	CREATE ROLE clerk;
	GRANT USAGE ON SCHEMA public TO clerk;
	CREATE TABLE done (n integer);
	GRANT INSERT ON done TO clerk;
	CREATE FUNCTION note(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO done VALUES ((payload->>'n')::integer); RETURN payload; END $$;
	SELECT padlock.register_job_handler('note', 'note(jsonb)', 'clerk');
	SELECT count(enqueue_job('note', jsonb_build_object('n', n))) FROM generate_series(1, 100) n;
});

$primary->backup('copy');
my $replica = PostgreSQL::Test::Cluster->new('replica');
$replica->init_from_backup($primary, 'copy', has_streaming => 1);
$replica->append_conf('postgresql.conf', "padlock.worker_count = 2\n");
$replica->start;

# Ten are completed on the primary, one is claimed and not completed.
$primary->safe_psql('postgres', q{
	SELECT count(complete_job(job_id, '"primary"', attempts)) FROM get_next_jobs('outside', 10);
	SELECT job_id FROM get_next_job('outside');
});
$primary->wait_for_catchup($replica, 'replay');
is($replica->safe_psql('postgres', "SELECT count(*) FROM job_queue WHERE status = 'completed'"), '10', 'the replica shows the queue');
my ($rc, $out, $err) = $replica->psql('postgres', "SELECT * FROM get_next_job('thief')");
like($err, qr/cannot execute .* during recovery/, 'and gives no jobs away');
($rc, $out, $err) = $replica->psql('postgres', "SELECT enqueue_job('note', '{}')");
like($err, qr/cannot execute .* (during recovery|in a read-only transaction)/, 'nor takes any');
sleep(1);
is($replica->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'padlock%' AND backend_type <> 'padlock limits'"), '0', 'no worker runs there');

$primary->stop('immediate');
my $start = time();
$replica->promote;
ok(wait_for($replica, 'postgres', "SELECT count(*) = 100 FROM job_queue WHERE status = 'completed'", 't', 30), 'after promotion its workers do the rest');
cmp_ok(time() - $start, '<', 20, 'without being asked');
is($replica->safe_psql('postgres', 'SELECT count(*), count(DISTINCT n) FROM done'), '90|90', 'each job once, and none that was completed before');
is($replica->safe_psql('postgres', q{SELECT count(*) FROM job_queue WHERE result = '"primary"'}), '10', 'whose results stand');
is($replica->safe_psql('postgres', "SELECT enqueue_job('note', '{\"n\": 101}') IS NOT NULL"), 't', 'it takes new jobs');
ok(wait_for($replica, 'postgres', 'SELECT count(*) = 1 FROM done WHERE n = 101', 't', 10), 'and does them');
$replica->stop;
unlike(slurp_file($replica->logfile), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
done_testing();
