# Faults: what the tests of the queue under faults share.
#
# A cluster whose clocks and disk a test can spoil (test/fixtures/fault), and
# consumers outside the server that write down what they were told, so that it
# can be compared with the tables afterwards.

package Faults;

use strict;
use warnings;

use Exporter 'import';
use Fcntl ':flock';
use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(fault_cluster start_faulty set_clock pass_time fill_disk pids_of alive
  start_consumer stop_consumers consumer_log check_ledger);

my (%fault_file, %library, @consumers);

# Write the three numbers of struct Fault; what is not named stays.
sub set_fault
{
	my ($node, %change) = @_;
	my $file = $fault_file{ $node->name };
	my %fault = (wall => 0, boot => 0, full => 0);

	@fault{qw(wall boot full)} = unpack('q3', slurp_file($file)) if -s $file;
	%fault = (%fault, %change);
	open my $out, '+<', $file or die "$file: $!";
	binmode $out;
	syswrite $out, pack('q3', @fault{qw(wall boot full)});
	close $out;
	return;
}

# A cluster as of new_cluster(), not started.
sub fault_cluster
{
	my ($name, %option) = @_;
	my $node = new_cluster($name, %option, start => 0);
	my $source = $ENV{PADLOCK_SOURCE} // '.';
	my $library = PostgreSQL::Test::Utils::tempdir() . '/fault.so';

	system('cc', '-std=gnu99', '-O2', '-shared', '-fPIC', '-o', $library,
		"$source/test/fixtures/fault/fault.c", '-ldl') == 0 or die 'could not build fault.c';
	$fault_file{$name} = PostgreSQL::Test::Utils::tempdir() . '/fault';
	append_to_file($fault_file{$name}, pack('q3', 0, 0, 0));
	$library{$name} = $library;
	return $node;
}

# Start or restart it; faults stay as they are.
sub start_faulty
{
	my ($node) = @_;

	local $ENV{LD_PRELOAD} = $library{ $node->name };
	local $ENV{FAULT_FILE} = $fault_file{ $node->name };
	local $ENV{FAULT_FOLDER} = $node->data_dir;
	$node->start;
	return;
}

# Set the time of day so many seconds from the real one.
sub set_clock
{
	my ($node, $seconds) = @_;

	set_fault($node, wall => $seconds);
	return;
}

# Let so much time have passed on the clock that nobody can set.
sub pass_time
{
	my ($node, $seconds) = @_;

	set_fault($node, boot => $seconds);
	return;
}

sub fill_disk
{
	my ($node, $full) = @_;

	set_fault($node, full => $full ? 1 : 0);
	return;
}

# The processes of a cluster whose pg_stat_activity row fulfils a condition.
sub pids_of
{
	my ($node, $condition) = @_;
	my ($rc, $out) = $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $condition AND pid <> pg_backend_pid()");

	return split /\n/, $out // '';
}

sub alive
{
	my ($node) = @_;
	my ($rc, $out) = $node->psql('postgres', 'SELECT 1', timeout => 5);

	return $rc == 0;
}

# One line for the log: time, what, job, attempt, answer.
sub note_line
{
	my ($file, @words) = @_;

	open my $out, '>>', $file or die "$file: $!";
	flock $out, LOCK_EX;
	syswrite $out, join(' ', sprintf('%.6f', time()), @words) . "\n";
	close $out;
	return;
}

# Ask the server; undef when the connection broke or it is not there.
sub ask
{
	my ($node, $sql) = @_;
	my ($out, $err) = ('', '');
	my $done = eval {
		IPC::Run::run([ 'psql', '-XqAtw', '-d', $node->connstr('postgres'), '-c', $sql ],
			'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(10));
	};

	chomp $out;
	return $done ? $out : undef;
}

# End a claim, and ask again until there is an answer.
sub report
{
	my ($node, $file, $job, $attempt) = @_;

	for (1 .. 100)
	{
		my $answer = ask($node, "SELECT complete_job('$job', NULL, $attempt)");

		if (defined $answer)
		{
			note_line($file, 'answer', $job, $attempt, $answer);
			return;
		}
		note_line($file, 'broken', $job, $attempt, '-');
		sleep(0.1);
	}
	return;
}

# A process that claims and completes jobs over connections of its own until
# it is stopped.
sub start_consumer
{
	my ($node, $name, $file) = @_;
	my $pid = fork() // die "could not fork: $!";

	if ($pid)
	{
		push @consumers, $pid;
		return;
	}
	local $SIG{TERM} = sub { POSIX::_exit(0) };
	while (1)
	{
		my $asked = time();
		my $claim = ask($node, "SELECT job_id, attempts FROM get_next_job('$name', 1)");

		if (!defined $claim || $claim eq '')
		{
			sleep(0.05);
			next;
		}
		my ($job, $attempt) = split /\|/, $claim;
		note_line($file, 'claim', $job, $attempt, sprintf('%.6f', $asked));
		report($node, $file, $job, $attempt);
	}
}

sub stop_consumers
{
	kill 'TERM', @consumers;
	waitpid($_, 0) foreach @consumers;
	@consumers = ();
	return;
}

# What the consumers wrote: [time, what, job, attempt, answer].
sub consumer_log
{
	my ($file) = @_;

	return () unless -e $file;
	return map { [ split / / ] } split /\n/, slurp_file($file);
}

# What the consumers were told agrees with itself and with job_queue.
sub check_ledger
{
	my ($node, $file) = @_;
	my (%acknowledged, @twice, @again, @lost);
	my %status = map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'SELECT id, status FROM job_queue');

	foreach my $line (consumer_log($file))
	{
		my ($at, $what, $job, $attempt, $answer) = @$line;

		if ($what eq 'answer' && $answer eq 't')
		{
			push @twice, $job if defined $acknowledged{$job};
			$acknowledged{$job} //= $at;
		}
		push @again, $job if $what eq 'claim' && defined $acknowledged{$job} && $answer > $acknowledged{$job};
	}
	@lost = grep { ($status{$_} // '') ne 'completed' } keys %acknowledged;
	Test::More::cmp_ok(scalar(keys %acknowledged), '>', 0, 'consumers outside were told of completions');
	Test::More::is("@twice", '', 'of no job twice');
	Test::More::is("@again", '', 'no job ran again after that');
	Test::More::is("@lost", '', 'each of these jobs is completed');
	return;
}

END
{
	my $status = $?;

	stop_consumers();
	$? = $status;
}

1;
