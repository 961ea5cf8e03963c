# A helper program that breaks the wire format: the attempt fails with its
# reason, the helper is killed, the worker and the sessions live.  padlock is
# installed once more for this, with a padlock_fetch that does what the test
# says.

use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs padlock installed with DESTDIR' unless $ENV{PADLOCK_DESTDIR};

# Field tags and frame types of src/agent/wire.h.
my %number = (HELLO => 1, FETCHED => 48, LINK => 32, PROGRESS => 34,
	URL => 1, OUTCOME => 16, DETAIL => 17, HTTP_STATUS => 18);

# The body of a frame's field, and a whole frame, as Perl code for the helper:
# $job holds the job id of the request.
my $library = <<'PERL';
use strict;
use warnings;
open(my $wire, '+<&=', 3) or exit 9;
sub field { my ($tag, $value) = @_; return pack('vvV', $tag, 0, length $value) . $value; }
sub frame
{
	my ($type, $job, @fields) = @_;
	my $payload = join('', @fields);
	return pack('Vvv', 0x4b4c4450, 1, $type) . $job . pack('V', length $payload) . $payload;
}
sub say_it { send($wire, $_[0], 0) // exit 8; return; }
sub hear { my $packet = ''; recv($wire, $packet, 70000, 0); exit 0 if $packet eq ''; return substr($packet, 8, 16); }
my $none = "\0" x 16;
sub pass
{
	my ($packet, @fds) = @_;
	my $vector = pack('PQ', $packet, length $packet);
	my $data = pack('i*', @fds);
	my $control = pack('Qii', 16 + length $data, 1, 1) . $data;    # SOL_SOCKET, SCM_RIGHTS
	$control .= "\0" x (-length($control) % 8);
	my $message = pack('QQPQPQQ', 0, 0, $vector, 1, $control, 16 + length $data, 0);
	require 'syscall.ph';
	syscall(&SYS_sendmsg, 3, $message, 0) > 0 or exit 6;
	return;
}
sub hello { say_it(frame(1, $none)); return; }
PERL

my %behaviour = (
	'exits at once' => ['exit 7;', qr/padlock_fetch ended with exit code 7/],
	'dies after the request' => ['hello(); hear(); kill "KILL", $$;', qr/padlock_fetch was terminated by signal 9/],
	'greets with junk' => ['say_it("hello"); sleep 60;', qr/a packet that is not a frame/],
	'greets with another frame' => ['say_it(frame(34, $none)); sleep 60;', qr/no greeting/],
	'answers with another magic' => ['hello(); my $j = hear(); my $f = frame(48, $j); substr($f, 0, 1) = "X"; say_it($f); sleep 60;', qr/a packet that is not a frame/],
	'answers with a short frame' => ['hello(); my $j = hear(); say_it(substr(frame(48, $j, field(16, pack("V", 8))), 0, -1)); sleep 60;', qr/a packet that is not a frame/],
	'sends an empty packet' => ['hello(); hear(); say_it(""); sleep 60;', qr/padlock_fetch was terminated by signal 9/],
	'sends a packet that is too large' => ['hello(); my $j = hear(); say_it(frame(48, $j, "x" x 66000)); sleep 60;', qr/a packet that is too large/],
	'answers another job' => ['hello(); hear(); say_it(frame(48, "y" x 16, field(16, pack("V", 8)))); sleep 60;', qr/an answer to another request/],
	'answers with another type' => ['hello(); my $j = hear(); say_it(frame(32, $j)); sleep 60;', qr/an unexpected answer to a fetch/],
	'cuts a field off' => ['hello(); my $j = hear(); say_it(frame(48, $j, pack("vvV", 16, 0, 400) . "abc")); sleep 60;', qr/a field that is cut off/],
	'sends a number of the wrong size' => ['hello(); my $j = hear(); say_it(frame(48, $j, field(16, "abc"))); sleep 60;', qr/a number of the wrong size/],
	'sends an unknown outcome' => ['hello(); my $j = hear(); say_it(frame(48, $j, field(16, pack("V", 999)))); sleep 60;', qr/an unknown outcome/],
	'sends no outcome' => ['hello(); my $j = hear(); say_it(frame(48, $j)); sleep 60;', qr/a fetch without outcome or body/],
	'says OK without a body' => ['hello(); my $j = hear(); say_it(frame(48, $j, field(16, pack("V", 0)))); sleep 60;', qr/a fetch without outcome or body/],
	'passes a file that is not sealed' => ['hello(); my $j = hear(); open(my $f, "<", "/etc/passwd"); pass(frame(48, $j, field(16, pack("V", 0))), fileno $f); sleep 60;', qr/a body that is not a sealed memfd/],
	'passes two descriptors' => ['hello(); my $j = hear(); pass(frame(48, $j, field(16, pack("V", 0))), 0, 1); sleep 60;', qr/more than one descriptor in a frame/],
	'passes a score of descriptors' => ['hello(); my $j = hear(); pass(frame(48, $j, field(16, pack("V", 0))), (0) x 20); sleep 60;', qr/more than one descriptor in a frame/],
	'sends text that is not UTF-8' => ['hello(); my $j = hear(); say_it(frame(48, $j, field(16, pack("V", 8)), field(17, "a\xff"))); sleep 60;', qr/a text that is not UTF-8/],
	'sends a NUL' => ['hello(); my $j = hear(); say_it(frame(48, $j, field(16, pack("V", 8)), field(17, "a\0b"))); sleep 60;', qr/a text that is not UTF-8/],
	'sends a text that is too long' => ['hello(); my $j = hear(); say_it(frame(48, $j, field(16, pack("V", 8)), field(17, "a" x 501))); sleep 60;', qr/a text that is too long/],
	'works as it should' => ['hello(); while (1) { my $j = hear(); say_it(frame(34, $j)) for 1 .. 100; say_it(frame(48, $j, field(16, pack("V", 8)), field(17, "the cable is cut"))); }', qr/^the cable is cut$/],
);

my $destdir = abs_path(PostgreSQL::Test::Utils::tempdir());
chomp(my $pkglibdir = `pg_config --pkglibdir`);
PostgreSQL::Test::RecursiveCopy::copypath($ENV{PADLOCK_DESTDIR}, "$destdir/copy");
$ENV{PADLOCK_DESTDIR} = "$destdir/copy";
my $program = "$destdir/copy$pkglibdir/padlock_fetch";

# Make the helper do this from its next start on.
sub set_behaviour
{
	my ($code) = @_;

	unlink $program;
	append_to_file($program, "#!$^X\n$library$code\n");
	chmod 0755, $program or die "chmod: $!";
	return;
}

set_behaviour('exit 1;');
my $node = new_cluster('worker_helper', workers => 1, conf => "autovacuum = off\n");
my $user = $node->safe_psql('postgres', "INSERT INTO users (email) VALUES ('user\@example.org') RETURNING id");
my $document = $node->safe_psql('postgres', "INSERT INTO documents (user_id, title, document_type) VALUES ('$user', 'x', 'policy') RETURNING id");
my $session = $node->background_psql('postgres');
my $pid_query = "SELECT pid FROM padlock.worker_status() WHERE state IN ('idle', 'busy')";

ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM ($pid_query) w"), 'the worker runs');
my $pid = $node->safe_psql('postgres', $pid_query);

foreach my $name (sort keys %behaviour)
{
	my ($code, $reason) = @{ $behaviour{$name} };
	my $job;

	set_behaviour($code);
	$job = $node->safe_psql('postgres', "SELECT enqueue_job('pdf_extraction', jsonb_build_object('document_id', '$document', 'file_url', 'http://127.0.0.1/x.pdf'), 0, 1)");
	ok(wait_for($node, 'postgres', "SELECT status = 'failed' FROM job_queue WHERE id = '$job'", 't', 20), "a helper that $name: the attempt fails");
	like($node->safe_psql('postgres', "SELECT error_message FROM job_queue WHERE id = '$job'"), $reason, "a helper that $name: the reason");
}
is($node->safe_psql('postgres', $pid_query), $pid, 'the worker is the same');
is($session->query_safe('SELECT 1'), '1', 'sessions stay up');
$session->{run}->kill_kill;

# The last helper serves; a worker that ends takes it along.
my $helper = `ps -o pid= --ppid $pid`;
like($helper, qr/^\s*\d+\s*$/, 'one helper is left');
$node->stop;
is(`ps -o state= -p $helper` =~ /^[^Z]/ ? 'runs' : 'gone', 'gone', 'and goes with the server');
done_testing();
