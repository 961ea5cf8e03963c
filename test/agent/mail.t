# padlock_fetch as a mailer, over its wire: what only a broken or hostile worker
# would ask, and that one helper serves mails and fetches in turn.  The
# exchange itself is tested by test/t/050_email.pl.  From the top of the tree:
# prove test/agent/mail.t

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use IPC::Run qw(run);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/../t";
use SmtpServer;

chdir "$FindBin::Bin/../.." or die $!;

use constant { OK => 0, ADDRESS_DENIED => 4, BAD_URL => 5, TIMEOUT => 7, NETWORK => 8, INTERNAL => 13, REJECTED => 14 };

my $program = 'src/agent/padlock_fetch';
my $client = '.build/wire_client';
my $dir = tempdir(CLEANUP => 1);

my $built = run([ 'make', '-s', '-f', 'test/agent/Makefile', $client ], '>', \my $output, '2>', \my $errors);
BAIL_OUT("the test program does not build: $errors") unless $built;
BAIL_OUT("$program is not built: make $program") unless -x $program;

# A file with the given content.
sub file
{
	my ($name, $content) = @_;

	open(my $out, '>:raw', "$dir/$name") or die $!;
	print $out $content;
	close $out;
	return "$dir/$name";
}

# Run commands of wire_client on one helper; the last answers as hashes, and
# what came on standard error.
sub talk
{
	my (@commands) = @_;
	my $input = join('', map { join("\t", @$_) . "\n" } @commands);
	my @frames;

	run([ $client, $dir, "./$program" ], '<', \$input, '>', \my $out, '2>', \my $err);
	foreach my $line (split /\n/, $out)
	{
		my ($name, @fields) = split /\t/, $line;

		push @frames, { name => $name, map { split(/=/, $_, 2) } @fields };
	}
	return (\@frames, $err);
}

my $message = file('message', "Subject: x\r\n\r\n.\r\n..\r\nlast line without an end");
my $server = SmtpServer->new($dir);
my $url = "smtp://127.0.0.1:$server->{port}";
my ($frames, $err);

($frames) = talk([ 'mail', $message, $url ], [ 'fetch', 'http://127.0.0.1:1/', 'private' ], [ 'mail', $message, $url, 'mail_to=eve@example.org' ]);
is_deeply([ map { $_->{name} } @$frames ], [qw(HELLO SENT FETCHED SENT EXIT)], 'mails and fetches in turn');
is($frames->[$_]{outcome}, OK, 'a mail is sent') foreach 1, 3;
is($frames->[1]{detail}, '', 'without more words');
is($frames->[-1]{status}, 0, 'the helper ends well');
is_deeply([ map { $_->{to} } $server->messages ], [ 'maya@example.org', 'eve@example.org' ], 'to each address');
is(($server->messages)[0]{data}, "Subject: x\r\n\r\n.\r\n..\r\nlast line without an end\r\n", 'dots and an unfinished line survive');

# A worker that is wrong about addresses cannot say more than one command.
foreach my $address ("a\@b.example\rRSET", "a\@b.example> SIZE=1", '<a@b.example>', 'a b@b.example', '', 'nobody', "a\@b.exampl\xc3\xa9", '"a"@b.example')
{
	foreach my $field (qw(mail_from mail_to))
	{
		($frames) = talk([ 'mail', $message, $url, "$field=$address" ]);
		is($frames->[1]{outcome}, INTERNAL, "$field=" . $address =~ s/[^ -~]/?/gr);
	}
}
is(scalar $server->messages, 2, 'none of them was sent');
is(scalar(grep { /RSET|SIZE=1\b/ } $server->commands), 0, 'or said');

# Only mail servers: no other scheme, not without TLS but on loopback.
foreach my $other (qw(http://127.0.0.1:1/ https://127.0.0.1:1/ file:///etc/passwd imap://127.0.0.1:1 gopher://127.0.0.1:1))
{
	($frames) = talk([ 'mail', $message, $other ]);
	is($frames->[1]{outcome}, NETWORK, "no mail by $other");
	like($frames->[1]{detail}, qr/not supported|disabled/, 'with the reason');
}
foreach my $one ([ '192.0.2.1', 4, 'documentation, in the clear' ], [ '10.0.0.1', 4, 'private, in the clear' ], [ '169.254.169.254', 4, 'metadata, in the clear' ],
	[ '169.254.169.254', 0, 'metadata, with TLS' ], [ '0.0.0.0', 4, 'this network' ], [ '[::ffff:10.0.0.1]', 4, 'private, in a disguise' ])
{
	my ($host, $flags, $name) = @$one;

	($frames) = talk([ 'mail', $message, "smtp://$host:25", "flags=$flags", 'timeout_ms=2000' ]);
	is($frames->[1]{outcome}, ADDRESS_DENIED, $name);
}
($frames) = talk([ 'mail', $message, $url, 'flags=0' ]);
is($frames->[1]{outcome}, NETWORK, 'TLS is asked for unless the flag says otherwise');
($frames) = talk([ 'fetch', $url, 'private' ]);
is($frames->[1]{outcome}, BAD_URL, 'a fetch does not speak SMTP');

# Frames that are wrong end the helper.
foreach my $one ([ 'an unsealed message', $message, 'unsealed' ], [ 'a field of a fetch', $message, 'max_bytes=1' ], [ 'a long user', $message, 'user=' . 'x' x 256 ],
	[ 'a long password', $message, 'password=' . 'x' x 1024 ], [ 'a long CA', $message, 'ca=' . 'x' x 32769 ], [ 'a long address', $message, 'mail_to=' . 'x' x 255 ],
	[ 'text that is no text', $message, "user=\xff" ], [ 'a message that is too large', file('large', 'x' x (4 * 1024 * 1024 + 1)) ])
{
	my ($name, @words) = @$one;

	($frames, $err) = talk([ 'mail', shift @words, $url, @words ]);
	is($frames->[-1]{status}, 2, "$name: exit status");
	like($err, qr/\Apadlock_fetch: broken frame from the worker: [^\n]+\n\z/, "$name: one line");
	unlike($err, qr/xxx/, "$name: that quotes nothing");
}
sub field { return pack('v v V', $_[0], 0, length $_[1]) . $_[1]; }
sub frame { return unpack('H*', pack('V v v a16 V', 0x4b4c4450, 1, 20, 'job', length $_[0]) . $_[0]); }
my %field = (1 => $url, 6 => undef, 32 => 'a@b.example', 33 => 'a@b.example', 2 => pack('V', 4), 4 => pack('V', 1000));
my $all = join('', map { field($_, $field{$_}) } grep { defined $field{$_} } sort keys %field);
foreach my $one ([ 'no message', $all ], [ 'a field twice', $all . field(33, 'a@b.example') ], [ 'half a field', $all . 'x' ],
	map({ my $tag = $_; [ "no field $tag", join('', map { field($_, $field{$_}) } grep { defined $field{$_} && $_ != $tag } sort keys %field) ] } 1, 2, 4, 32, 33))
{
	($frames, $err) = talk([ 'raw', frame($one->[1]) ]);
	is($frames->[-1]{status}, 2, "$one->[0]: exit status");
}

# Time.
my $silent = SmtpServer->new($dir, hang => 'greeting');
my $begin = time();
($frames) = talk([ 'mail', $message, "smtp://127.0.0.1:$silent->{port}", 'timeout_ms=500' ]);
is($frames->[1]{outcome}, TIMEOUT, 'a silent server');
cmp_ok(time() - $begin, '<', 4, 'is left soon');
done_testing();
