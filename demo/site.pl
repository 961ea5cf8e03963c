#!/usr/bin/perl
# A web server for tests and the demo: core Perl, loopback only, one process a
# connection.
#
#   demo/site.pl --folder DIR [--port N] [--port-file FILE] [--log FILE]
#
# Port 0 (the default) takes a free one; it is written to the port file, or to
# standard output.  The log gets a line a request: METHOD PATH STATUS.  In
# HTML, XML and text files {{BASE}} stands for this server's own http://host:port.
# A file whose first line is <!-- status: N --> is answered with that status.
#
# Besides the folder there are routes for a client that must defend itself:
#   /status/N        an empty answer with status N
#   /redirect?to=URL 302 to URL
#   /redirect-loop   302 to itself, with a counter so that each hop differs
#   /slow            a page whose bytes trickle for a minute
#   /hang            accepts the request and never answers
#   /endless         a page that never ends
#   /big?mb=N        N MB (default 16) of text
#   /gzip            a small page, compressed
#   /bomb            a page of 256 MB that compresses to about 250 KB
#   /truncated       promises 1000 bytes, sends 10 and closes

use strict;
use warnings;

use Compress::Zlib ();
use Digest::MD5 qw(md5_hex);
use Fcntl qw(O_WRONLY O_APPEND O_CREAT);
use Getopt::Long;
use IO::Socket::INET;
use POSIX qw(strftime WNOHANG);
use Time::HiRes qw(sleep);

my ($folder, $port, $port_file, $log_file) = ('.', 0);
GetOptions('folder=s' => \$folder, 'port=i' => \$port,
	'port-file=s' => \$port_file, 'log=s' => \$log_file)
  or die "usage: site.pl --folder DIR [--port N] [--port-file FILE] [--log FILE]\n";
die "site.pl: no folder $folder\n" unless -d $folder;

my %type = (
	html => 'text/html; charset=utf-8', txt => 'text/plain; charset=utf-8',
	xml => 'application/xml', json => 'application/json', css => 'text/css',
	pdf => 'application/pdf', png => 'image/png', svg => 'image/svg+xml');
my %reason = (
	200 => 'OK', 302 => 'Found', 304 => 'Not Modified', 400 => 'Bad Request',
	403 => 'Forbidden', 404 => 'Not Found', 405 => 'Method Not Allowed',
	429 => 'Too Many Requests', 500 => 'Internal Server Error',
	503 => 'Service Unavailable');
my %route = (
	status => \&route_status, redirect => \&route_redirect,
	'redirect-loop' => \&route_redirect_loop, slow => \&route_slow,
	hang => \&route_hang, endless => \&route_endless, big => \&route_big,
	gzip => \&route_gzip, bomb => \&route_bomb, truncated => \&route_truncated);

my $server = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1',
	LocalPort => $port, ReuseAddr => 1)
  or die "site.pl: cannot listen: $!\n";
my $parent = $$;
my %child;
my $stop = 0;

$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = $SIG{INT} = $SIG{HUP} = sub { $stop = 1; close $server; };
announce_port($server->sockport);
serve() until $stop;
kill 'KILL', keys %child;
exit 0;

# Tell the port; the file appears whole or not at all.
sub announce_port
{
	my ($number) = @_;

	if (!defined $port_file)
	{
		local $| = 1;
		print "$number\n";
		return;
	}
	open my $out, '>', "$port_file.new" or die "site.pl: $port_file: $!\n";
	print $out "$number\n";
	close $out;
	rename "$port_file.new", $port_file or die "site.pl: $port_file: $!\n";
	return;
}

sub serve
{
	my $client = $server->accept;
	my $pid;

	while ((my $done = waitpid(-1, WNOHANG)) > 0) { delete $child{$done} }
	return unless $client;
	$pid = fork();
	if (defined $pid && $pid == 0)
	{
		$SIG{TERM} = $SIG{INT} = $SIG{HUP} = 'DEFAULT';
		close $server;
		answer($client);
		POSIX::_exit(0);
	}
	$child{$pid} = 1 if $pid;
	return;
}

# Read one request and answer it; every answer closes the connection.
sub answer
{
	my ($client) = @_;
	my ($method, $target, %header) = read_request($client);
	my ($path, $query, $handler);

	return unless defined $method;
	($path, $query) = split(/\?/, $target, 2);
	my %request = (client => $client, method => $method, path => $path,
		query => $query // '', header => \%header, target => $target,
		base => 'http://' . ($header{host} // '127.0.0.1'));

	return send_page(\%request, 405, 'text/plain', "no such method\n")
	  unless $method eq 'GET' || $method eq 'HEAD';
	$handler = $route{ (split(m{/}, $path))[1] // '' };
	return $handler ? $handler->(\%request) : send_file(\%request);
}

sub read_request
{
	my ($client) = @_;
	my ($method, $target, %header);
	my $line = <$client>;

	return unless defined $line && $line =~ m{^([A-Z]+) (\S+) HTTP/1\.[01]\r?$};
	($method, $target) = ($1, $2);
	while (defined($line = <$client>))
	{
		$line =~ s/\r?\n$//;
		last if $line eq '';
		$header{ lc $1 } = $2 if $line =~ /^([^:]+):\s*(.*)$/;
	}
	return ($method, $target, %header);
}

# One line in the log, written whole, so that processes do not mix theirs.
sub note
{
	my ($request, $status) = @_;

	return unless defined $log_file;
	sysopen my $log, $log_file, O_WRONLY | O_APPEND | O_CREAT or return;
	syswrite $log, "$request->{method} $request->{target} $status\n";
	close $log;
	return;
}

sub send_head
{
	my ($request, $status, @headers) = @_;
	my $name = $reason{$status} // 'Status';

	note($request, $status);
	print { $request->{client} } join("\r\n", "HTTP/1.1 $status $name",
		'Date: ' . http_time(time), 'Connection: close', @headers, '', '');
	$request->{client}->flush;
	return;
}

sub send_page
{
	my ($request, $status, $type, $body, @headers) = @_;

	send_head($request, $status, "Content-Type: $type",
		'Content-Length: ' . length($body), @headers);
	print { $request->{client} } $body if $request->{method} eq 'GET';
	return;
}

# A file of the folder, with ETag and Last-Modified and their conditions.
sub send_file
{
	my ($request) = @_;
	my $file = file_of($request->{path});
	my ($status, $type, $body, $etag, $modified);

	return send_page($request, 404, $type{html},
		"<!DOCTYPE html><title>Not found</title><p>There is no such page.\n")
	  unless defined $file;

	$type = $type{ ($file =~ /\.(\w+)$/)[0] // '' } // 'application/octet-stream';
	$body = read_file($file);
	$body =~ s/\{\{BASE\}\}/$request->{base}/g if $type =~ /text|xml/;
	$status = $body =~ /^<!-- status: (\d+) -->/ ? $1 : 200;
	$etag = '"' . md5_hex($body) . '"';
	$modified = http_time((stat $file)[9]);
	return send_head($request, 304, "ETag: $etag", "Last-Modified: $modified")
	  if $status == 200 && unchanged($request->{header}, $etag, $modified);
	return send_page($request, $status, $type, $body, "ETag: $etag",
		"Last-Modified: $modified");
}

# The file behind a path, or undef; nothing outside the folder has one.
sub file_of
{
	my ($path) = @_;
	my $file;

	$path =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
	return if $path =~ m{(^|/)\.} || $path =~ /\0/;
	$file = "$folder$path";
	$file .= '/index.html' if -d $file;
	return -f $file ? $file : undef;
}

sub read_file
{
	my ($file) = @_;

	open my $in, '<:raw', $file or die "site.pl: $file: $!\n";
	local $/ = undef;
	return <$in>;
}

sub unchanged
{
	my ($header, $etag, $modified) = @_;

	return $header->{'if-none-match'} eq $etag if defined $header->{'if-none-match'};
	return defined $header->{'if-modified-since'}
	  && $header->{'if-modified-since'} eq $modified;
}

sub http_time
{
	my ($time) = @_;

	return strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime $time);
}

# Send pieces for as long as the client, the server and the piece-maker wish.
sub stream
{
	my ($request, $pause, $next) = @_;
	my $client = $request->{client};

	return if $request->{method} eq 'HEAD';
	while (getppid() == $parent && defined(my $piece = $next->()))
	{
		print {$client} $piece or last;
		$client->flush or last;
		sleep($pause) if $pause;
	}
	return;
}

sub route_status
{
	my ($request) = @_;
	my $status = $request->{path} =~ m{^/status/([2-5]\d\d)$} ? $1 : 404;

	return send_page($request, $status, 'text/plain', '');
}

sub route_redirect
{
	my ($request) = @_;
	my $to = $request->{query} =~ /^to=(.*)$/ ? $1 : '/';

	$to =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
	$to =~ s/[\r\n]//g;
	return send_page($request, 302, 'text/plain', '', "Location: $to");
}

sub route_redirect_loop
{
	my ($request) = @_;
	my $hop = $request->{query} =~ /^(\d+)$/ ? $1 + 1 : 1;

	return send_page($request, 302, 'text/plain', '', "Location: /redirect-loop?$hop");
}

sub route_slow
{
	my ($request) = @_;
	my $left = 300;

	send_head($request, 200, "Content-Type: $type{html}");
	return stream($request, 0.2, sub { $left-- > 0 ? '.' : undef });
}

sub route_hang
{
	my ($request) = @_;

	note($request, 0);
	sleep(0.2) while getppid() == $parent;
	return;
}

sub route_endless
{
	my ($request) = @_;

	send_head($request, 200, "Content-Type: $type{html}");
	return stream($request, 0, sub { '<p>and so on and on and on</p>' x 1000 });
}

sub route_big
{
	my ($request) = @_;
	my $left = $request->{query} =~ /^mb=(\d+)$/ ? $1 : 16;

	send_head($request, 200, "Content-Type: $type{txt}",
		'Content-Length: ' . $left * 1048576);
	return stream($request, 0, sub { $left-- > 0 ? 'padlock ' x 131072 : undef });
}

sub route_gzip
{
	my ($request) = @_;
	my $page = Compress::Zlib::memGzip("<!DOCTYPE html><title>Compressed</title><p>small\n");

	return send_page($request, 200, $type{html}, $page, 'Content-Encoding: gzip');
}

sub route_bomb
{
	my ($request) = @_;
	my $page = Compress::Zlib::memGzip(' ' x 268435456);

	return send_page($request, 200, $type{html}, $page, 'Content-Encoding: gzip');
}

sub route_truncated
{
	my ($request) = @_;

	send_head($request, 200, "Content-Type: $type{html}", 'Content-Length: 1000');
	return stream($request, 0, do { my @piece = ('<p>ten byte'); sub { shift @piece } });
}
