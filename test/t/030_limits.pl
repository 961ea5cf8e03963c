# The rate limiter: an exact log, many sessions at once, restarts, crashes,
# damaged files, replicas, floods of new keys, idle keys.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $state = 'pg_stat/padlock_limits.stat';

# --- a million random arrivals against an exact log -------------------------

my $source = "$FindBin::RealBin/../..";
my $program = PostgreSQL::Test::Utils::tempdir() . '/window_property';
is(system($ENV{CC} // 'gcc', qw(-std=gnu99 -O2 -Wall -Wextra -Werror), "-I$source/src",
		'-o', $program, "$source/test/limits/window_property.c"), 0, 'the property test builds');
my ($out, $err);
IPC::Run::run([ $program, 1000000, $$ ], '>', \$out, '2>', \$err);
is($?, 0, "a million random arrivals, seed $$") or diag($out);

# --- helpers ----------------------------------------------------------------

my $node = new_cluster('limits', conf => <<'CONF');
padlock.rate_limit_max_keys = 300
padlock.rate_limit_save_interval = 1
wal_level = replica
max_wal_senders = 4
CONF

sub query
{
	my ($sql, $on) = @_;
	return ($on // $node)->safe_psql('postgres', $sql);
}

sub counters
{
	return query('SELECT identifier, endpoint, request_count FROM rate_limits ORDER BY 1, 2', @_);
}

sub log_since
{
	my ($offset) = @_;
	return substr(slurp_file($node->logfile), $offset);
}


# --- many sessions, one sum -------------------------------------------------

my $script = PostgreSQL::Test::Utils::tempdir() . '/check.sql';
append_to_file($script, "SELECT check_rate_limit('many', 'sessions', 1000);\n");
command_ok([ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', 500, '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ], 'eight sessions make 4000 requests');
is(query("SELECT request_count FROM rate_limits WHERE identifier = 'many'"), 1000, 'exactly the limit is admitted');

# --- a clean restart --------------------------------------------------------

query("SELECT check_rate_limit('blocked', 'e', 3) FROM generate_series(1, 5)");
query("SELECT check_rate_limit('used', 'e', 100) FROM generate_series(1, 60)");
my $before = counters();
my $offset = -s $node->logfile;
$node->restart;
is(counters(), $before, 'a clean restart keeps every counter');
unlike(log_since($offset), qr/ignoring rate limit state/, 'without a complaint');
is(query("SELECT check_rate_limit('blocked', 'e', 3)"), 'f', 'a blocked key stays blocked');
is(query("SELECT created_at < now() AND window_start <= clock_timestamp() FROM rate_limits WHERE identifier = 'used'"), 't', 'times are in the past');

# --- a crash ----------------------------------------------------------------

query("SELECT check_rate_limit('saved', 'e', 2) FROM generate_series(1, 2)");
ok(wait_for($node, 'postgres', "SELECT position('saved'::bytea IN pg_read_binary_file('$state')) > 0"), 'the keeper writes the file');
$node->stop('immediate');
$node->start;
is(query("SELECT check_rate_limit('saved', 'e', 2)"), 'f', 'what was written before a crash is kept');
is(query("SELECT check_rate_limit('blocked', 'e', 3)"), 'f', 'also what was blocked before');

# --- a file that is torn, foreign, or of another boot -----------------------

my $file = $node->data_dir . "/$state";

sub write_state
{
	my ($bytes) = @_;
	open(my $handle, '>:raw', $file) or die "$file: $!";
	print $handle $bytes;
	close($handle);
}

sub read_state
{
	open(my $handle, '<:raw', $file) or die "$file: $!";
	local $/;
	return scalar <$handle>;
}

# Start with these bytes as the file; return the log of the start.
sub start_with
{
	my ($bytes) = @_;
	$node->stop;
	my $from = -s $node->logfile;
	write_state($bytes);
	$node->start;
	return log_since($from);
}

$node->stop;
my $good = read_state();
$node->start;
for my $case (
	[ 'truncated', substr($good, 0, -20), qr/checksum is wrong/ ],
	[ 'with a flipped bit', substr($good, 0, 100) . chr(ord(substr($good, 100, 1)) ^ 4) . substr($good, 101), qr/checksum is wrong/ ],
	[ 'empty', '', qr/too short/ ],
	[ 'of something else', 'x' x 500, qr/not a state file of this version/ ])
{
	my ($what, $bytes, $complaint) = @$case;
	like(start_with($bytes), qr/LOG:.*ignoring rate limit state.*$complaint/, "a file $what is refused with a line in the log");
	is(counters(), '', "a file $what is not loaded");
}

# The header: magic, count, system identifier, clock, time, boot.
sub forged
{
	my (%change) = @_;
	my $header = substr($good, 0, 72);
	my $body = substr($good, 72, -4);
	my ($magic, $count, $system, $clock, $time, $boot) = unpack('LLQqqa36', $header);
	$system = $change{system} // $system;
	$time += ($change{time} // 0) * 1e6;
	$boot = $change{boot} // $boot;
	$header = pack('LLQqqa36x4', $magic, $count, $system, $clock, $time, $boot);
	return $header . $body . pack('L', crc32c($body . $header));
}

is(forged(), $good, 'this test knows the format');
like(start_with(forged(system => 4711)), qr/belongs to another cluster/, 'a file of another cluster is refused');
start_with(forged(boot => 'another boot'));
is(query("SELECT check_rate_limit('blocked', 'e', 3)"), 'f', 'after a reboot a blocked key is blocked');
start_with(forged(boot => 'another boot', time => 3 * 3600));
is(query("SELECT check_rate_limit('blocked', 'e', 3)"), 'f', 'and if the clock went back three hours as well');
start_with(forged(boot => 'another boot', time => -3 * 3600));
is(query("SELECT check_rate_limit('blocked', 'e', 3)"), 't', 'three hours later it is not');
start_with(forged(time => -3 * 3600));
is(query("SELECT check_rate_limit('blocked', 'e', 3)"), 'f', 'within one boot the wall clock does not count');

# --- a flood of new keys ----------------------------------------------------

query("SELECT check_rate_limit('near', 'e', 10) FROM generate_series(1, 9)");
query("SELECT count(*) FROM generate_series(1, 20000) n WHERE check_rate_limit('flood' || n, 'e', 100)");
is(query("SELECT check_rate_limit('blocked', 'e', 3)"), 'f', 'a blocked key is blocked through a flood');
is(query("SELECT check_rate_limit('near', 'e', 10)"), 't', 'a key near its limit has one request left');
is(query("SELECT check_rate_limit('near', 'e', 10)"), 'f', 'and no more');
is(query('SELECT keys <= max_keys AND evicted BETWEEN 19000 AND 20000 FROM padlock.rate_limit_stats()'), 't', 'evictions are counted');
is(query('SELECT count(*) <= 300 FROM rate_limits'), 't', 'memory is bounded');
query("SELECT count(*) FROM generate_series(1, 2000) n WHERE check_rate_limit('full' || n, 'e', 1)");
is(query("SELECT check_rate_limit('newcomer', 'e', 5)"), 'f', 'with every counter at its limit a newcomer is refused');
is(query("SELECT check_rate_limit('blocked', 'e', 3)"), 'f', 'and nobody is let through');
query("SELECT padlock.reset_rate_limit(identifier, endpoint) FROM rate_limits WHERE identifier LIKE 'full%' OR identifier LIKE 'flood%'");
is(query("SELECT check_rate_limit('newcomer', 'e', 5)"), 't', 'room again after a reset');

# --- a replica --------------------------------------------------------------

# a base backup takes the file along, so wait until it is written anew
ok(wait_for($node, 'postgres', "SELECT position('full'::bytea IN pg_read_binary_file('$state')) = 0"), 'the file follows the counters');
$node->backup('base');
my $replica = PostgreSQL::Test::Cluster->new('limits_replica');
$replica->init_from_backup($node, 'base', has_streaming => 1);
$replica->start;
is(query("SELECT check_rate_limit('replica', 'e', 1), check_rate_limit('replica', 'e', 1)", $replica), 't|f', 'a replica counts on its own');
is(query("SELECT request_count FROM rate_limits WHERE identifier = 'replica'", $replica), 1, 'and shows it');
is(query("SELECT check_rate_limit('replica', 'e', 1)"), 't', 'the primary knows nothing of it');
$replica->restart;
is(query("SELECT check_rate_limit('replica', 'e', 1)", $replica), 'f', 'a replica keeps its counters over a restart');
$replica->stop;

# --- idle counters ----------------------------------------------------------

query("SELECT check_rate_limit('idle again', 'short', 1, 1)");
is(query("SELECT check_rate_limit('idle again', 'short', 1, 1)"), 'f', 'a window of a minute');
my $wait = query("SELECT retry_after_seconds FROM padlock.check_rate_limit('idle again', 'short', 1, 1)");
cmp_ok($wait, '<=', 62, 'the wait is told');
sleep($wait + 1.5);
is(query("SELECT count(*) FROM rate_limits WHERE endpoint = 'short'"), 0, 'idle counters are gone');
is(query("SELECT check_rate_limit('idle again', 'short', 1, 1)"), 't', 'and the key may go on');

$node->stop;
done_testing();
