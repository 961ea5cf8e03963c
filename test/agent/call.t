# padlock_fetch as a client of the operator's endpoints, over its wire: what it
# sends, whom it sends credentials to, what it makes of bad answers, and that a
# broken worker gets nothing.  From the top of the tree: prove test/agent/call.t

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use IPC::Run qw(run);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";
use HostileServer;

chdir "$FindBin::Bin/../.." or die $!;

use constant { OK => 0, HTTP_ERROR => 2, ADDRESS_DENIED => 4, BAD_URL => 5, TOO_LARGE => 6, TIMEOUT => 7, NETWORK => 8 };

my $program = 'src/agent/padlock_fetch';
my $client = '.build/wire_client';
my $check = '.build/fetch_check';
my $dir = tempdir(CLEANUP => 1);

my $built = run([ 'make', '-s', '-f', 'test/agent/Makefile', $client, $check ], '>', \my $output, '2>', \my $errors);
BAIL_OUT("the test programs do not build: $errors") unless $built;
BAIL_OUT("$program is not built: make $program") unless -x $program;

my $server = HostileServer->new($dir);
my $parent = $$;
END { if (defined $parent && $$ == $parent) { my $status = $?; $server->stop; $? = $status; } }

sub file
{
	my ($name, $content) = @_;

	open(my $out, '>:raw', "$dir/$name") or die $!;
	print $out $content;
	close $out;
	return "$dir/$name";
}

sub content
{
	my ($name) = @_;

	open(my $in, '<:raw', $name // return 'no body') or return "no file: $!";
	local $/;
	return <$in> // '';
}

# Run commands of wire_client on one helper; the answers as hashes, and what
# came on standard error.
sub talk
{
	my (@commands) = @_;
	my $input = join('', map { join("\t", @$_) . "\n" } @commands);
	my @frames;

	run([ $client, $dir, "./$program" ], '<', \$input, '>', \my $out, '2>', \my $err);
	foreach my $line (split /\n/, $out)
	{
		my ($name, @fields) = split /\t/, $line;

		push @frames, { name => $name, map { (split(/=/, $_, 2), 1)[ 0, 1 ] } @fields };
	}
	return (\@frames, $err);
}

# One call; '-' is no body.
sub call
{
	my ($body, $path, @options) = @_;
	my ($frames) = talk([ 'call', $body, $path =~ m{^/} ? $server->url($path) : $path, @options ]);

	return $frames->[1];
}

my $body = file('body', join('', map { chr } 0 .. 255) x 2048);

# What is sent.
my $answer = call($body, '/echo', 'method=PUT', 'header=X-Vault-Token: s.secret', 'header=Content-Type: application/json');
is($answer->{name}, 'CALLED', 'an answer');
is($answer->{outcome}, OK, 'a call');
is($answer->{http_status}, 200, 'its status');
my ($head, $sent) = split /\r\n\r\n/, content($answer->{body}), 2;
ok($sent eq content($body), 'the body arrives, half a megabyte of all bytes');
my ($first, @headers) = split /\r\n/, $head;
is($first, 'PUT /echo HTTP/1.1', 'method and path');
is_deeply([ sort @headers ],
	[ sort 'Accept: */*', 'Content-Length: 524288', 'Content-Type: application/json', "Host: 127.0.0.1:$server->{port}", 'User-Agent: padlock/1.0 (+robots: padlock)', 'X-Vault-Token: s.secret' ],
	'these headers and no other');
foreach my $method (qw(GET DELETE))
{
	$answer = call('-', '/echo?a=b', "method=$method");
	like(content($answer->{body}), qr{^\Q$method\E /echo\?a=b HTTP/1\.1\r\n}, "$method");
	unlike(content($answer->{body}), qr/^(Content|Accept-Encoding|Expect|Authorization|Cookie)/mi, "$method has no body and asks for no compression");
}
$answer = call(file('empty', ''), '/echo', 'method=POST', 'header=Content-Type: text/plain');
like(content($answer->{body}), qr/^Content-Length: 0\r$/m, 'an empty body is one');

# Signed: the same headers as the pure function makes, for the time that was sent.
my @aws = ('user=AKIDEXAMPLE', 'password=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', 'region=eu-west-1', 'service=s3');
my $small = file('small', join('', map { chr } 0 .. 255) x 4);

foreach my $case ([ 's3', 'token=a/b+c=' ], ['kms'])
{
	my ($service, @token) = @$case;

	$answer = call($small, '/echo/a%20b%2Bc/=?y=1&x=%2F', 'method=POST', 'header=Content-Type: application/x-amz-json-1.1', @aws[ 0 .. 2 ], "service=$service", @token);
	($head) = split /\r\n\r\n/, content($answer->{body}), 2;
	my %got = map { lc((split /: /, $_, 2)[0]) => (split /: /, $_, 2)[1] } split /\r\n/, $head;
	my ($year, $month, $day, $hour, $minute, $second) = $got{'x-amz-date'} =~ /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/ or die "no date: $head";
	require Time::Local;
	my $when = Time::Local::timegm($second, $minute, $hour, $day, $month - 1, $year);
	cmp_ok(abs($when - time), '<', 60, "$service: signed now");
	my $input = join("\t", $when, 'AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', @token ? 'a/b+c=' : '', 'eu-west-1', $service, 'POST', '/echo/a%20b%2Bc/=?y=1&x=%2F',
		unpack('H*', content($small)), "Host: 127.0.0.1:$server->{port}", 'Content-Type: application/x-amz-json-1.1') . "\n";
	run([ $check, 'sigv4' ], '<', \$input, '>', \my $signed);
	chomp $signed;
	my %want = map { lc((split /: /, $_, 2)[0]) => (split /: /, $_, 2)[1] } split /\t/, $signed;
	is($got{$_}, $want{$_}, "$service: $_") foreach sort keys %want;
}

# AWS's own examples of signed requests to S3.
my @example = (1369353600, 'AKIAIOSFODNN7EXAMPLE', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', '', 'us-east-1', 's3');
my $host = 'Host: examplebucket.s3.amazonaws.com';
foreach my $case (
	[ 'GET', '/test.txt', '', 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41', $host, 'Range: bytes=0-9' ],
	[ 'PUT', '/test%24file.text', 'Welcome to Amazon S3.', '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd', $host, 'Date: Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class: REDUCED_REDUNDANCY' ],
	[ 'GET', '/?lifecycle', '', 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543', $host ],
	[ 'GET', '/?max-keys=2&prefix=J', '', '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7', $host ])
{
	my ($method, $target, $content, $signature, @lines) = @$case;
	my $input = join("\t", @example, $method, $target, unpack('H*', $content), @lines) . "\n";

	run([ $check, 'sigv4' ], '<', \$input, '>', \my $out);
	like($out, qr/Signature=\Q$signature\E$/m, "AWS's example $method $target");
}

# Bad answers: the status counts, a short body comes with it, a long one is cut.
$answer = call('-', '/refusal/400');
is("$answer->{outcome} $answer->{http_status}", HTTP_ERROR . ' 400', 'a refusal');
is(content($answer->{body}), '{"__type":"x#AccessDenied"}', 'with its body');
$answer = call('-', '/fat404');
is("$answer->{outcome} $answer->{http_status}", HTTP_ERROR . ' 404', 'a refusal without end');
cmp_ok(-s $answer->{body}, '<=', 65536, 'is cut');
$answer = call('-', '/sized/1000001', 'max_bytes=1000000');
is($answer->{outcome}, TOO_LARGE, 'a body that is too large');
ok(!defined $answer->{body}, 'is no body');
is(call('-', '/endless')->{outcome}, TOO_LARGE, 'a body without end');
is(call('-', '/zipped', 'max_bytes=100000')->{outcome}, OK, 'compression that nobody asked for');
unlike(content(call('-', '/zipped')->{body}), qr/squeezed/, 'is not undone');
foreach my $case ([ '/garbage', NETWORK ], [ '/badline', NETWORK ], [ '/headers', TOO_LARGE ], [ '/short', NETWORK ], [ '/empty', NETWORK ])
{
	is(call('-', $case->[0])->{outcome}, $case->[1], "$case->[0]: outcome");
}
foreach my $path ('/to/http://127.0.0.1:' . $server->{port} . '/hello', '/hop/1')
{
	my $before = $server->count('/hello');

	$answer = call('-', $path, 'header=Authorization: Bearer x');
	is($answer->{outcome}, HTTP_ERROR, 'a redirect is an answer');
	is($server->count('/hello'), $before, 'and is not followed');
}

# Time and tries.
my $begin = time();
is(call('-', '/silent', 'timeout_ms=300', 'tries=2')->{outcome}, TIMEOUT, 'a silent server');
cmp_ok(time() - $begin, '>', 0.6, 'is tried twice');
cmp_ok(time() - $begin, '<', 4, 'and then left');
is(call('-', "/flaky/2,$dir/flaky1", 'tries=3')->{outcome}, OK, 'two failures, then success');
is(call('-', "/flaky/2,$dir/flaky2", 'tries=2')->{http_status}, 503, 'one try too few');
my $before = $server->requests;
is(call('-', '/refusal/400', 'tries=5')->{http_status}, 400, 'a refusal of the request');
is(scalar($server->requests) - $before, 1, 'is not tried again');
is(call('-', 'http://127.0.0.1:1/', 'tries=2')->{outcome}, NETWORK, 'nobody there');

# Whom credentials are sent to.
foreach my $case ([ 'http://192.0.2.1/', 0 ], [ 'http://10.0.0.1/', 0 ], [ 'http://[::ffff:10.0.0.1]/', 0 ], [ 'http://169.254.169.254/latest', 0 ],
	[ 'http://169.254.169.254/latest', 8 ], [ 'https://169.254.169.254/', 0 ], [ 'http://0.0.0.0/', 8 ], [ 'http://[fd00:ec2::254]/', 8 ], [ 'http://100.100.100.200/', 8 ])
{
	$answer = call('-', $case->[0], "flags=$case->[1]", 'timeout_ms=1000');
	is($answer->{outcome}, ADDRESS_DENIED, "$case->[0] with flags $case->[1]");
}
$answer = call('-', 'http://192.0.2.1/', 'flags=8', 'timeout_ms=200');
isnt($answer->{outcome}, ADDRESS_DENIED, 'plain http elsewhere when it is allowed');
foreach my $url ('ftp://127.0.0.1/', 'file:///etc/passwd', 'http://u:p@127.0.0.1/', 'gopher://127.0.0.1/')
{
	is(call('-', $url)->{outcome}, BAD_URL, $url);
}
my ($frames) = talk([ 'call', '-', $server->url('/keep'), 'flags=8' ], [ 'call', '-', $server->url('/keep') ], [ 'fetch', $server->url('/keep') ], [ 'fetch', $server->url('/keep'), 'private' ]);
is_deeply([ map { $_->{outcome} } @{$frames}[ 1 .. 4 ] ], [ OK, OK, ADDRESS_DENIED, OK ], 'a call opens no door for a crawl on the same helper');

# Frames that are wrong end the helper, without quoting a secret.
foreach my $case (
	[ 'a method', 'method=TRACE' ], [ 'no tries', 'tries=0' ], [ 'many tries', 'tries=6' ], [ 'too much', 'max_bytes=268435457' ],
	[ 'a header without a name', 'header=: secret' ], [ 'without a colon', 'header=secret' ], [ 'with a line end', "header=X: secret\rY: z" ],
	[ 'not ASCII', "header=X: secret\xc3\xa9" ], [ 'half a signature', 'user=secret' ], [ 'no region', @aws, 'region=' ],
	[ 'a long token', @aws, 'token=' . 'secret' x 700 ], [ 'many headers', map { "header=X$_: secret" } 1 .. 17 ], [ 'a field of a mail', 'mail_to=secret' ],
	[ 'an unsealed body', 'unsealed' ])
{
	my ($name, @options) = @$case;
	my ($frames, $err) = talk([ 'call', $body, $server->url('/hello'), @options ]);

	is($frames->[-1]{status}, 2, "$name: exit status");
	like($err, qr/\Apadlock_fetch: broken frame from the worker: [^\n]+\n\z/, "$name: one line");
	unlike($err, qr/secret/, "$name: that quotes nothing");
}

done_testing();
