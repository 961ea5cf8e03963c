# Mail: the job type email_notification over real SMTP on loopback, with and
# without TLS, and what becomes of it when the mail server, the settings or
# the payload are wrong.

use strict;
use warnings;
use utf8;

use Cwd qw(abs_path);
use Encode qw(decode encode);
use FindBin;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use MIME::QuotedPrint qw(decode_qp);
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmtpServer;
use Test::More;
use Time::HiRes qw(time);

my $dir = abs_path(PostgreSQL::Test::Utils::tempdir());
my $json = JSON::PP->new->canonical->ascii;
my $token = 'kq3_secret-token-9fz';
my $password = 'pass word "with" \\ and ü';

# A certificate authority, a certificate of its for localhost, one for another
# host, and one that nobody signed.
sub openssl
{
	system_or_bail('openssl', @_);
	return;
}

sub certificate
{
	my ($name, $host, @signed) = @_;

	openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', "/CN=$name",
		'-keyout', "$dir/$name.key", '-out', "$dir/$name.pem",
		defined $host ? ('-addext', "subjectAltName=DNS:$host", '-addext', 'basicConstraints=critical,CA:FALSE') : (),
		@signed);
	return;
}

certificate('ca');
my @by_ca = ('-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key");
foreach my $one ([ 'good', 'localhost' ], [ 'elsewhere', 'mail.example' ])
{
	my ($name, $host) = @$one;

	openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$host", '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
	append_to_file("$dir/$name.ext", "subjectAltName=DNS:$host\n");
	openssl('x509', '-req', '-in', "$dir/$name.csr", '-days', '2', '-CAcreateserial', @by_ca,
		'-extfile', "$dir/$name.ext", '-out', "$dir/$name.pem");
}
certificate('alone', 'localhost');

append_to_file("$dir/password", encode('UTF-8', "$password\n"));
chmod 0600, "$dir/password" or die $!;

my $node = new_cluster('email', workers => 1, conf => <<"CONF");
autovacuum = off
padlock.jwt_keys_file = 'jwt.jwk'
log_statement = all
log_min_messages = debug1
padlock.retry_base = '100ms'
padlock.retry_cap = '200ms'
CONF
$node->safe_psql('postgres', 'SELECT padlock.create_jwt_keys()');
my $settings = 0;
my @secrets = ($token);

# Set padlock's mail settings to exactly these.
sub settings
{
	my (%setting) = @_;
	my %all = ('smtp_url' => '', 'smtp_user' => '', 'smtp_password_file' => '', 'smtp_ca_file' => '', 'smtp_tls' => 'require',
		'smtp_timeout' => '10s', 'mail_from' => 'Padlock <noreply@shop.example>', 'site_url' => 'https://shop.example', %setting);

	$node->append_conf('postgresql.conf', encode('UTF-8', join('', map { "padlock.$_ = '$all{$_}'\n" } sort keys %all)) . "padlock.retry_cap = '${\(200 + ++$settings)}ms'\n");
	$node->reload;
	wait_for($node, 'postgres', 'SHOW padlock.retry_cap', 200 + $settings . 'ms') or die 'no reload';
	return;
}

# Enqueue a mail and wait for its end; its row as a hash.
sub mail
{
	my ($payload, $attempts) = @_;
	my $id = $node->safe_psql('postgres', "SELECT enqueue_job('email_notification', " . sql_literal($json->encode($payload)) . ', 0, ' . ($attempts // 1) . ')');

	wait_for($node, 'postgres', "SELECT status IN ('completed', 'failed') FROM job_queue WHERE id = '$id'", 't', 30)
	  or diag("job $id does not end");
	my $row = JSON::PP->new->utf8->decode($node->safe_psql('postgres', "SELECT to_json(j) FROM job_queue j WHERE id = '$id'"));
	$row->{error_message} //= '';
	return $row;
}

my %reset = (to => 'maya@example.org', template => 'reset_password', data => { token => $token, valid_for => '1 hour' });
my %plain = (to => 'maya@example.org', subject => 'Hello', text => "Good day\n");

sub url { return "smtp://localhost:$_[0]{port}"; }

# The parts of a message: type => decoded text, and its headers, unfolded.
sub dissect
{
	my ($data) = @_;
	my ($head, $body) = split(/\r\n\r\n/, $data, 2);
	my (%header, %part);

	$head =~ s/\r\n[ \t]+/ /g;
	foreach my $line (split /\r\n/, $head)
	{
		my ($name, $value) = $line =~ /^([^:]+): (.*)$/ or die "no header: $line";

		die "$name twice" if exists $header{ lc $name };
		$header{ lc $name } = $value;
	}
	my ($boundary) = ($header{'content-type'} // '') =~ /boundary="([^"]+)"/;
	my @parts = ("$head\r\n\r\n$body");

	if (defined $boundary)
	{
		@parts = split(/(?:\A|\r\n)--\Q$boundary\E(?:--)?\r\n/, $body);
		shift @parts;
	}
	foreach my $one (@parts)
	{
		my ($headers, $content) = split(/\r\n\r\n/, $one, 2);
		my ($type) = $headers =~ /^Content-Type: ([^;]+); charset=UTF-8\r?$/m or next;

		$part{$type} = decode('UTF-8', decode_qp($content), Encode::FB_CROAK);
		$part{$type} =~ s/\r\n/\n/g;
	}
	return (\%header, \%part);
}

# Without settings.
settings(smtp_url => '', mail_from => '');
my $job = mail(\%reset, 3);
is($job->{status}, 'failed', 'without a mail server the job fails');
is($job->{attempts}, 1, 'for good');
like($job->{error_message}, qr/^no mail server is configured: set padlock\.smtp_url and padlock\.mail_from/, 'with the reason and what to do');
ok(!exists $job->{payload}{data}, 'the token goes with it');
settings(smtp_url => 'smtp://localhost:9', mail_from => '');
like(mail(\%plain)->{error_message}, qr/^no sender is configured: set padlock\.mail_from/, 'without a sender, too');

# A message, through STARTTLS and AUTH.
my $server = SmtpServer->new($dir, cert => "$dir/good.pem", key => "$dir/good.key", user => 'shop', password => encode('UTF-8', $password));
my %with_tls = (smtp_url => url($server), smtp_ca_file => "$dir/ca.pem", smtp_user => 'shop', smtp_password_file => "$dir/password");
settings(%with_tls);
$job = mail(\%reset);
is($job->{status}, 'completed', 'a mail goes through STARTTLS and AUTH') or diag($job->{error_message});
my ($message) = $server->messages;
is($message->{tls}, 1, 'inside TLS');
is($message->{user}, 'shop', 'authenticated');
is($message->{from}, 'noreply@shop.example', 'envelope: from');
is($message->{to}, 'maya@example.org', 'envelope: to');
my ($header, $part) = dissect($message->{data});
is($header->{from}, '"Padlock" <noreply@shop.example>', 'From');
is($header->{to}, '<maya@example.org>', 'To');
is($header->{subject}, 'Set a new password', 'Subject');
is($header->{'message-id'}, "<$job->{id}\@shop.example>", 'Message-ID is made of the job\'s id');
is($job->{result}{message_id}, $header->{'message-id'}, 'and is the job\'s result');
like($header->{date}, qr/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d \+0000$/, 'Date');
is($header->{'auto-submitted'}, 'auto-generated', 'Auto-Submitted');
is($header->{'mime-version'}, '1.0', 'MIME-Version');
like($header->{'content-type'}, qr{^multipart/alternative; }, 'two parts');
like($part->{'text/plain'}, qr{^https://shop\.example/reset-password\?token=\Q$token\E$}m, 'the link stands in the text');
like($part->{'text/html'}, qr{<a href="https://shop\.example/reset-password\?token=\Q$token\E">}, 'and in the HTML');
like($part->{$_}, qr/for 1 hour\./, "$_: values are filled in") foreach qw(text/plain text/html);
unlike($message->{data}, qr/[^\x00-\x7f]/, 'all of it is ASCII');
is_deeply([ grep { length > 78 } split /\r\n/, $message->{data} ], [], 'in short lines');
is_deeply($job->{payload}, { to => 'maya@example.org', template => 'reset_password' }, 'the token is no longer in the job');
is_deeply([ grep { !/^(EHLO|STARTTLS|AUTH|MAIL|RCPT|DATA|QUIT)/ } $server->commands ], [], 'and the server was asked nothing odd');

# A text of one's own: letters of many scripts, dots, long lines, blanks at ends.
my $text = "Zażółć gęślą jaźń \x{1F512}\n.\n..two dots\n.dot\nFrom here\n" . ('long ' x 300) . "\n\ntrailing blank \n\ttab\t\n= =3D =\n" . ('x' x 2000) . "\n"
  . ("\x{4e2d}" x 500) . "\nend";
my $html = "<p>Zażółć &amp; <b>\x{1F512}</b></p>\n.\n<p>" . ('y' x 1500) . "</p>";
my $subject = 'Zażółć gęślą jaźń — ' . ("\x{1F512}\x{4e2d}" x 20) . ' =?end?=';
$job = mail({ to => 'maya+tag@sub.example.org', subject => $subject, text => $text, html => $html });
is($job->{status}, 'completed', 'a mail of one\'s own') or diag($job->{error_message});
is_deeply($job->{payload}, { to => 'maya+tag@sub.example.org', subject => $subject }, 'its text leaves the job, too');
$message = ($server->messages)[-1];
($header, $part) = dissect($message->{data});
is($message->{to}, 'maya+tag@sub.example.org', 'to the right address');
is(decode('MIME-Header', $header->{subject}), $subject, 'the subject arrives');
is($part->{'text/plain'}, "$text\n", 'the text arrives');
is($part->{'text/html'}, "$html\n", 'the HTML arrives');
unlike($message->{data}, qr/[^\x00-\x7f]/, 'as ASCII');
unlike($message->{data}, qr/(?<!\r)\n|\r(?!\n)/, 'with whole line ends');
is_deeply([ grep { length > 78 } split /\r\n/, $message->{data} ], [], 'in short lines');

settings(%with_tls, mail_from => 'Łódź "Shop" <noreply@shop.example>');
is(mail(\%plain)->{status}, 'completed', 'a sender with a name of many letters');
($header, $part) = dissect(($server->messages)[-1]{data});
is(decode('MIME-Header', $header->{from}), 'Łódź "Shop" <noreply@shop.example>', 'arrives');
is_deeply([ keys %$part ], ['text/plain'], 'without HTML there is one part');
is($part->{'text/plain'}, "Good day\n", 'with the text');

# Templates are data.
settings(%with_tls);
$node->safe_psql('postgres', q{INSERT INTO padlock.email_templates (name, subject, text_body, html_body)
	VALUES ('offer', 'An offer for {{name}}', 'Dear {{ name }}, {{n}} {{yes}} {{to}}', '<p title="{{name}}">{{name}}</p>')});
$job = mail({ to => 'maya@example.org', template => 'offer', data => { name => q{<i>"O'Neil" & {{token}}}, n => 1.50, yes => JSON::PP::true } });
is($job->{status}, 'completed', 'a template of one\'s own') or diag($job->{error_message});
($header, $part) = dissect(($server->messages)[-1]{data});
is($header->{subject}, q{An offer for <i>"O'Neil" & {{token}}}, 'values in the subject');
is($part->{'text/plain'}, q{Dear <i>"O'Neil" & {{token}}, 1.5 true maya@example.org} . "\n", 'in the text as they are, and not filled again');
is($part->{'text/html'}, q{<p title="&lt;i&gt;&quot;O&#39;Neil&quot; &amp; {{token}}">&lt;i&gt;&quot;O&#39;Neil&quot; &amp; {{token}}</p>} . "\n", 'in HTML escaped');
foreach my $name (split /\n/, $node->safe_psql('postgres', "SELECT name FROM padlock.email_templates WHERE name <> 'offer' ORDER BY 1"))
{
	is(mail({ %reset, template => $name })->{status}, 'completed', "template $name is whole");
}

# A sign-up: the token in the mail is the one that confirms the address.
my $answer = rpc($node, {}, 'sign_up', { email => 'zoe@example.org', password => 'correct horse battery' });
is($answer->{status}, 201, 'sign_up() is answered') or diag($answer->{err});
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM job_queue WHERE payload ->> 'to' = 'zoe\@example.org' AND status = 'completed'"), 'its mail is sent');
($message) = grep { $_->{to} eq 'zoe@example.org' } $server->messages;
($header, $part) = dissect($message->{data});
my ($link_token) = $part->{'text/plain'} =~ m{^https://shop\.example/confirm-email\?token=(\S+)$}m;
like($part->{'text/html'}, qr/token=\Q$link_token\E"/, 'with the same link in text and HTML');
is(rpc($node, {}, 'confirm_email', { token => $link_token, password => 'correct horse battery' })->{status}, 200, 'its token confirms the address');
is($node->safe_psql('postgres', "SELECT count(*) FROM users WHERE email = 'zoe\@example.org'"), '1', 'and there is an account');
is($node->safe_psql('postgres', "SELECT count(*) FROM job_queue j WHERE j::text LIKE '%$link_token%'"), '0', 'the token is in no job');
push @secrets, $link_token;

# A token goes to the address that it was made for, and only while it is good.
# (What a job asks for before the worker is there to take it.)
sub sign_up_job
{
	my ($email) = @_;

	is(rpc($node, {}, 'sign_up', { email => $email, password => 'correct horse battery' })->{status}, 201, "$email signs up");
	return $json->decode($node->safe_psql('postgres', "SELECT payload FROM job_queue WHERE payload ->> 'to' = '$email' ORDER BY created_at DESC LIMIT 1"));
}

my $signed_up = sign_up_job('yan@example.org');
is_deeply([ sort keys %$signed_up ], [qw(data one_time_token template to)], 'a job holds the id of the token');
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM job_queue WHERE payload ->> 'to' = 'yan\@example.org' AND status = 'completed'"), 'its mail is sent');
my %again = (template => 'confirm_email', data => { valid_for => '1 minute' }, one_time_token => $signed_up->{one_time_token});
foreach my $one ([ 'another recipient', to => 'eve@example.org' ], [ 'another spelling', to => 'Yan@example.org' ],
	[ 'an id that is not there', to => 'yan@example.org', one_time_token => '00000000-0000-4000-8000-000000000000' ])
{
	my ($name, %member) = @$one;
	my $refused = mail({ %again, %member }, 3);
	is("$refused->{status} $refused->{attempts}", 'failed 1', "the token for $name: refused for good");
	like($refused->{error_message}, qr/^the mail's one-time token is not for this recipient, was used or replaced, or has expired$/, 'with the reason');
}
like(mail({ %again, to => 'yan@example.org', one_time_token => 'x' })->{error_message}, qr/^"one_time_token" in the payload .* must be a UUID$/, 'an id that is none');
like(mail({ %plain, one_time_token => $again{one_time_token} })->{error_message}, qr/without a template takes no "one_time_token"/, 'a text of one\'s own');
is(mail({ %again, to => 'yan@example.org', data => { valid_for => '1 minute', site_url => 'https://eve.example', to => 'eve' } })->{status}, 'completed', 'to the right one it goes again');
like(($server->messages)[-1]{data}, qr{Welcome\. To confirm that yan\@example\.org is.*https://shop\.example/confirm-email}s, 'and leads to the site, whatever the data says');
$node->safe_psql('postgres', q{UPDATE padlock.one_time_tokens SET expires_at = now() WHERE email = 'yan@example.org'});
is(mail({ %again, to => 'yan@example.org' })->{status}, 'failed', 'one that has expired does not');

# Payloads that are refused for good, and nothing reaches the server.
my $before = scalar $server->messages;
my @bad = (
	[ 'no recipient', { subject => 'x', text => 'y' }, qr/must be an object with a text "to"/ ],
	[ 'no text', { to => 'a@example.org', subject => 'x' }, qr/with a text "text"/ ],
	[ 'a subject that is a number', { %plain, subject => 5 }, qr/with a text "subject"/ ],
	[ 'HTML that is null', { %plain, html => undef }, qr/with a text "html"/ ],
	[ 'both ways', { %reset, subject => 'x' }, qr/with a template takes no "subject"/ ],
	[ 'data without a template', { %plain, data => {} }, qr/without a template takes no "data"/ ],
	[ 'data that is a list', { %reset, data => [$token] }, qr/"data" in the payload of a job of type "email_notification" must be an object/ ],
	[ 'an unknown template', { %reset, template => 'nope' }, qr/there is no mail template of the name/ ],
	[ 'a value that is missing', { %reset, data => { token => $token } }, qr/needs \{\{valid_for\}\}, which the job's data does not have/ ],
	[ 'a value that is an object', { %reset, data => { token => $token, valid_for => {} } }, qr/needs \{\{valid_for\}\}/ ],
	[ 'a subject that is blank', { %plain, subject => '  ' }, qr/the subject is empty/ ],
	[ 'a long subject', { %plain, subject => 'x' x 501 }, qr/the subject is longer than 500 bytes/ ],
	[ 'a long text', { %plain, text => 'x' x 1048577 }, qr/the message is larger than 1048576 bytes/ ],
	map({ [ 'a subject with ' . sprintf('%vd', $_), { %plain, subject => "Hello${_}Bcc: eve\@example.org" }, qr/the subject has a line break or another control character/ ] }
		"\r\n", "\n", "\r", "\t", "\x0b", "\x1b", "\x7f"),
	[ 'a control character in data for the subject', { to => 'a@example.org', template => 'offer', data => { name => "x\r\nBcc: eve\@example.org", n => 1, yes => 1 } }, qr/the subject has a line break/ ],
	map({ [ "the address $_", { %plain, to => $_ }, qr/^the recipient (is not an e-mail address|has a letter outside ASCII|is longer)/ ] }
		'', 'maya', '@example.org', 'maya@', 'maya@example', 'maya@example..org', '.maya@example.org', 'maya.@example.org',
		'a..b@example.org', 'maya@-x.org', 'maya@x-.org', 'maya@example.org.', 'maya@[127.0.0.1]', '"a b"@example.org',
		'a b@example.org', 'a@b@example.org', 'a@example.org,b@example.org', 'a@example.org b@example.org', '<a@example.org>',
		'Maya <a@example.org>', "a\@example.org\r\nBcc: b\@example.org", "a\@example.org\nRCPT TO:<b\@example.org>", "a\@example.org> SIZE=1",
		'a@exämple.org', "\x{430}\@example.org", 'a@example.org(x)', 'a\\@example.org', ('x' x 65) . '@example.org', 'a@' . ('x' x 64) . '.org',
		'a@' . join('.', ('x' x 60) x 5)),
);
foreach my $one (@bad)
{
	my ($name, $payload, $reason) = @$one;

	$name =~ s/([^ -~])/sprintf('\\x%x', ord $1)/ge;
	$job = mail($payload, 3);
	is("$job->{status} $job->{attempts}", 'failed 1', "refused for good: " . substr($name, 0, 60));
	like($job->{error_message}, $reason, 'with its reason');
}
settings(%with_tls, site_url => '');
like(mail(\%reset)->{error_message}, qr/needs \{\{site_url\}\}: set padlock\.site_url/, 'a link needs a site');
is(scalar $server->messages, $before, 'none of these was sent');
is(scalar(grep { /Bcc|eve/ } $server->commands), 0, 'nor said');

# TLS that is missing or wrong.
sub refused
{
	my ($name, $reason, $option, %setting) = @_;
	my $bad = SmtpServer->new($dir, %$option);

	settings(%with_tls, smtp_url => url($bad), %setting);
	$job = mail(\%reset, 2);
	is("$job->{status} $job->{attempts}", 'failed 2', "$name: the job is tried again, then fails");
	like($job->{error_message}, $reason, "$name: the reason");
	is(scalar $bad->messages, 0, "$name: nothing is sent");
	is(scalar(grep { /^(AUTH|MAIL)/ } $bad->commands), 0, "$name: nor a password");
	$bad->stop;
	return;
}

my %auth = (user => 'shop', password => encode('UTF-8', $password));
refused('a server without STARTTLS', qr/^the mail server does not offer TLS .* padlock\.smtp_tls requires/, {%auth});
refused('a server that refuses STARTTLS', qr/^the mail server does not offer TLS/, { %auth, cert => "$dir/good.pem", key => "$dir/good.key", reply => { starttls => '454 4.7.0 not now' } });
refused('a certificate for another host', qr/^the certificate of the mail server is not valid/, { %auth, cert => "$dir/elsewhere.pem", key => "$dir/elsewhere.key" });
refused('a certificate that nobody signed', qr/^the certificate of the mail server is not valid/, { %auth, cert => "$dir/alone.pem", key => "$dir/alone.key" });
refused('a certificate of an unknown authority', qr/^the certificate of the mail server is not valid/, { %auth, cert => "$dir/good.pem", key => "$dir/good.key" }, smtp_ca_file => '');

my $implicit = SmtpServer->new($dir, %auth, implicit => 1, cert => "$dir/good.pem", key => "$dir/good.key");
settings(%with_tls, smtp_url => "smtps://localhost:$implicit->{port}");
is(mail(\%reset)->{status}, 'completed', 'TLS from the start') or diag($job->{error_message});
is(($implicit->messages)[0]{tls}, 1, 'is TLS');

# In the clear, on loopback only.
my $open = SmtpServer->new($dir);
settings(smtp_url => url($open), smtp_tls => 'off');
is(mail(\%reset)->{status}, 'completed', 'without TLS on loopback');
is(($open->messages)[0]{tls}, 0, 'is in the clear');
settings(smtp_url => 'smtp://192.0.2.1:25', smtp_tls => 'off');
$job = mail(\%reset, 3);
is("$job->{status} $job->{attempts}", 'failed 1', 'without TLS to another address: refused');
like($job->{error_message}, qr/^the mail server's address 192\.0\.2\.1 is not one that mail may be sent to without TLS/, 'with the reason');

# Authentication.
append_to_file("$dir/wrong", 'wrong');
chmod 0600, "$dir/wrong" or die $!;
settings(%with_tls, smtp_password_file => "$dir/wrong");
$job = mail(\%reset, 2);
is("$job->{status} $job->{attempts}", 'failed 2', 'a wrong password');
is($job->{error_message}, 'the mail server does not accept the user name and password', 'is said');
chmod 0640, "$dir/password" or die $!;
settings(%with_tls);
$job = mail(\%reset);
like($job->{error_message}, qr/password" of padlock\.smtp_password_file can be read or written by others/, 'a password file that others can read is refused');
chmod 0600, "$dir/password" or die $!;
settings(%with_tls, smtp_password_file => "$dir/missing");
like(mail(\%reset)->{error_message}, qr/could not open file ".*missing" of padlock\.smtp_password_file: No such file/, 'one that is missing, too');
foreach my $one ([ 'empty', "\n", qr/is empty/ ], [ 'latin1', "\xff", qr/is not UTF-8 text/ ], [ 'nul', "a\0b", qr/is not UTF-8 text/ ], [ 'long', 'x' x 1024, qr/is too long/ ])
{
	append_to_file("$dir/$one->[0]", $one->[1]);
	chmod 0600, "$dir/$one->[0]" or die $!;
	settings(%with_tls, smtp_password_file => "$dir/$one->[0]");
	like(mail(\%reset)->{error_message}, $one->[2], "a password file that is $one->[0]");
}
settings(%with_tls, smtp_password_file => "$dir");
like(mail(\%reset)->{error_message}, qr/is not a regular file/, 'a folder for a password file');
settings(%with_tls, smtp_password_file => '');
like(mail(\%reset)->{error_message}, qr/padlock\.smtp_user is set and padlock\.smtp_password_file is not/, 'a user needs a password');

# What the server answers.
foreach my $one (
	[ 'rcpt', '550 5.1.1 no such user here', 1, qr/^the mail server refuses the message: 550 5\.1\.1 no such user here$/ ],
	[ 'rcpt', "550-5.1.1 no such\n550 5.1.1 user \x01\xff", 1, qr/^the mail server refuses the message: 550 5\.1\.1 no such 5\.1\.1 user \?\?$/ ],
	[ 'rcpt', '450 4.2.0 come back later', 2, qr/^the mail server does not take the message now: 450 4\.2\.0 come back later$/ ],
	[ 'rcpt', '550 ' . ('x' x 5000), 1, qr/^the mail server refuses the message: 550 x{200,}$/ ],
	[ 'mail', '552 5.3.4 too large', 1, qr/^the mail server refuses the message: 552 5\.3\.4 too large$/ ],
	[ 'mail', '451 4.3.0 trouble', 2, qr/does not take the message now: 451/ ],
	[ 'data', '554 5.5.1 no', 1, qr/refuses the message: 554 5\.5\.1 no$/ ],
	[ 'message', "554 5.7.1 spam: it says $token", 1, qr/^the mail server refuses the message: 554 5\.7\.1$/ ],
	[ 'message', "452 4.3.1 no room for $token", 2, qr/^the mail server does not take the message now: 452 4\.3\.1$/ ],
	[ 'greeting', '554 5.3.2 closed', 2, qr/^the exchange with the mail server failed/ ],
	[ 'greeting', "SSH-2.0-what", 2, qr/^the exchange with the mail server failed/ ])
{
	my ($stage, $reply, $attempts, $reason) = @$one;
	my $rude = SmtpServer->new($dir, reply => { $stage => $reply });

	settings(smtp_url => url($rude), smtp_tls => 'off', smtp_timeout => '5s');
	$job = mail(\%reset, 2);
	is("$job->{status} $job->{attempts}", "failed $attempts", "$stage: " . substr($reply =~ s/[^ -~]/?/gr, 0, 40));
	like($job->{error_message}, $reason, 'the reason');
	ok(!exists $job->{payload}{data}, 'the token is gone');
	$rude->stop;
}

# A failure that passes keeps the token for the next attempt.
my $later = SmtpServer->new($dir, reply => { rcpt => '450 4.2.0 later' });
settings(smtp_url => url($later), smtp_tls => 'off', smtp_timeout => '5s');
my $id = $node->safe_psql('postgres', "SELECT enqueue_job('email_notification', " . sql_literal($json->encode(\%reset)) . ", 0, 1000)");
ok(wait_for($node, 'postgres', "SELECT attempts > 1 FROM job_queue WHERE id = '$id'"), 'a mail is tried again');
settings(%with_tls);
ok(wait_for($node, 'postgres', "SELECT status = 'completed' FROM job_queue WHERE id = '$id'"), 'until it goes');
like((dissect(($server->messages)[-1]{data}))[1]{'text/plain'}, qr/\Q$token\E/, 'with its token');
is($node->safe_psql('postgres', "SELECT payload ? 'data' FROM job_queue WHERE id = '$id'"), 'f', 'which then leaves the job');

# Servers that say nothing.
foreach my $stage (qw(greeting ehlo rcpt data message))
{
	my $silent = SmtpServer->new($dir, hang => $stage);
	my $start = time();

	settings(smtp_url => url($silent), smtp_tls => 'off', smtp_timeout => '1s');
	$job = mail(\%reset, 1);
	is($job->{status} . ': ' . $job->{error_message}, 'failed: the mail server did not answer in time', "silence at $stage");
	cmp_ok(time() - $start, '<', 10, 'is not waited for long');
	$silent->stop;
}
my $silent = SmtpServer->new($dir, hang => 'quit');
settings(smtp_url => url($silent), smtp_tls => 'off', smtp_timeout => '2s');
is(mail(\%plain)->{status}, 'completed', 'silence at the end does not undo a mail');
is(scalar $silent->messages, 1, 'which is sent once');
settings(smtp_url => 'smtp://localhost:1', smtp_tls => 'off');
like(mail(\%reset)->{error_message}, qr/^cannot connect to the mail server/, 'a server that is not there');
settings(smtp_url => 'smtp://nowhere.invalid', smtp_tls => 'off');
like(mail(\%reset)->{error_message}, qr/^no address is known for the mail server/, 'a name that is not there');

# Settings that are refused, and keep their old value.
foreach my $one ([ smtp_url => 'http://localhost' ], [ smtp_url => 'smtp://user:x@localhost' ], [ smtp_url => 'smtp://localhost/path' ],
	[ smtp_url => 'smtp://' ], [ smtp_url => 'smtp://localhost:0' ], [ smtp_url => 'smtp://localhost:65536' ], [ smtp_url => 'smtp://a b' ],
	[ smtp_url => 'smtp://[::1' ], [ mail_from => 'nobody' ], [ mail_from => 'a@example.org, b@example.org' ], [ mail_from => "x\ny <a\@example.org>" ],
	[ mail_from => 'x <a@example.org> y' ], [ site_url => 'ftp://x' ], [ site_url => 'https://x/' ], [ site_url => 'https://x/"y' ],
	[ smtp_password_file => 'relative' ], [ smtp_user => "a\nb" ], [ smtp_user => 'x' x 256 ], [ smtp_tls => 'maybe' ])
{
	my ($name, $value) = @$one;
	my ($rc, $out, $err) = $node->psql('postgres', "ALTER SYSTEM SET padlock.$name = " . sql_literal($value));

	isnt($rc, 0, "padlock.$name = $value is refused" =~ s/\n/\\n/r);
}
is($node->psql('postgres', "ALTER SYSTEM SET padlock.$_->[0] = '$_->[1]'; ALTER SYSTEM RESET padlock.$_->[0]"), 0, "$_->[0] = $_->[1] is taken")
  foreach [ smtp_url => 'smtp://[::1]:25' ], [ smtp_url => 'smtps://mail.example' ], [ mail_from => 'a@example.org' ], [ site_url => 'http://localhost:8080/app' ];

# What has ended a day ago is deleted by the first worker, at its start and every day.
$node->safe_psql('postgres', q{INSERT INTO padlock.sessions (id, user_id, expires_at, last_used_at, revoked_at)
	SELECT format('d0000000-0000-4000-8000-00000000d00%s', n)::uuid, id, now() + expires, now() - used, now() - revoked FROM users,
		(VALUES (1, interval '1 day', interval '0', NULL::interval), (2, '-25 hours', '0', NULL), (3, '-23 hours', '0', NULL), (4, '1 day', '8 days', NULL),
			(5, '1 day', '0', '25 hours'), (6, '1 day', '0', '23 hours')) AS v (n, expires, used, revoked)
	 WHERE email = 'zoe@example.org'});
$node->safe_psql('postgres', q{INSERT INTO padlock.one_time_tokens (token_hash, purpose, email, expires_at)
	SELECT sha256(n::text::bytea), 'reset_password', n || '@old.example', now() - n * interval '1 hour' FROM (VALUES (23), (25)) AS v (n)});
$node->restart;
ok(wait_for($node, 'postgres', 'SELECT count(*) = 4 FROM padlock.sessions'), 'sessions that ended a day ago are deleted');
is($node->safe_psql('postgres', q{SELECT string_agg(right(id::text, 1), '' ORDER BY id) FROM padlock.sessions}), '1346', 'and no other');
is($node->safe_psql('postgres', q{SELECT string_agg(email, ' ') FROM padlock.one_time_tokens WHERE email LIKE '%@old.example'}), '23@old.example', 'with such tokens');

# Nothing that should stay secret is anywhere.
my $log = slurp_file($node->logfile);
$log =~ s/^.*statement: .*(enqueue_job|confirm_email|FROM job_queue j).*$//mg;
unlike($log, qr/\Q$_\E/, 'no token in the server\'s log, but for the statements that the test itself makes') foreach @secrets;
unlike($log, qr/pass word/, 'and no password');
is($node->safe_psql('postgres', "SELECT count(*) FROM job_queue j WHERE j::text LIKE '%$token%'"), '0', 'no token in any job');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE setting LIKE '%pass word%'"), '0', 'no password in a setting');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
done_testing();
