# HTTP servers on loopback with good and hostile answers, for the tests of
# padlock_fetch.  Each has a port of its own, a robots.txt of its own and a log
# of what it was asked.  A request is served by a process of its own, so that
# a slow route does not hold up the others.
package HostileServer;

use strict;
use warnings;

use Fcntl qw(:flock);
use IO::Compress::Gzip qw(gzip);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep);

# Start a server.  Options: robots => content of /robots.txt, or a code
# reference that writes the whole answer to its argument; none: 404.
sub new
{
    my ($class, $dir, %options) = @_;
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1)
        or die "cannot listen: $!";
    my $self = bless {
        port => $listener->sockport,
        log => "$dir/server." . $listener->sockport,
        robots => $options{robots}
    }, $class;
    my $parent = $$;
    my $pid = fork();
    die "cannot fork: $!" unless defined $pid;
    if ($pid == 0)
    {
        # a group of its own, so that routes that hang can be stopped with it
        setpgrp 0, 0;
        $self->serve($listener, $parent);
        exit 0;
    }
    $self->{pid} = $pid;
    return $self;
}

sub url { my ($self, $path) = @_; return "http://127.0.0.1:$self->{port}$path"; }

# The request lines that have come so far, each with its headers.
sub requests
{
    my ($self) = @_;
    open(my $log, '<', $self->{log}) or return ();
    local $/ = "\0";
    chomp(my @requests = <$log>);
    return @requests;
}

# How often a path was asked for.
sub count
{
    my ($self, $path) = @_;
    return scalar grep { /^GET \Q$path\E HTTP/ } $self->requests;
}

sub stop
{
    my ($self) = @_;
    return unless $self->{pid};
    kill 'TERM', -$self->{pid}, $self->{pid};
    waitpid $self->{pid}, 0;
    delete $self->{pid};
}

# Serve until stop(), or until the test that started us is gone without one: it
# was killed, and we look for that every half a second.
sub serve
{
    my ($self, $listener, $parent) = @_;
    my $ready = IO::Select->new($listener);
    $SIG{CHLD} = 'IGNORE';
    $SIG{TERM} = sub { exit 0 };
    while (1)
    {
        kill 'TERM', -$$ if getppid() != $parent;
        next unless $ready->can_read(0.5);
        my $client = $listener->accept or next;
        my $pid = fork();
        if (defined $pid && $pid == 0)
        {
            close $listener;
            $SIG{TERM} = 'DEFAULT';
            $SIG{PIPE} = sub { exit 0 };
            # no route is left running after the tests
            $SIG{ALRM} = sub { exit 0 };
            alarm 30;
            1 while $self->answer($client);
            exit 0;
        }
        close $client;
    }
}

# Answer one request; true if another may follow on the same connection.
sub answer
{
    my ($self, $client) = @_;
    my $request = '';
    $client->autoflush(1);
    while ($request !~ /\r\n\r\n/)
    {
        sysread($client, $request, 4096, length $request) or return 0;
    }
    my ($body) = $request =~ /^Content-Length: (\d+)\r$/mi;
    my $whole = index($request, "\r\n\r\n") + 4 + ($body // 0);
    while (length $request < $whole)
    {
        sysread($client, $request, 65536, length $request) or return 0;
    }
    open(my $log, '>>', $self->{log}) or die;
    flock($log, LOCK_EX);
    print $log "$request\0";
    close $log;
    my ($path) = $request =~ m{^(?:GET|PUT|POST|DELETE) (\S+)} or return 0;
    if ($path eq '/robots.txt')
    {
        ref $self->{robots} ? $self->{robots}->($client, $self)
            : defined $self->{robots} ? page($client, $self->{robots}, 'Content-Type: text/plain')
            : status($client, '404 Not Found');
        return 0;
    }
    if ($path eq '/keep')
    {
        print $client "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept";
        return 1;
    }
    my ($name, $rest) = $path =~ m{^/([a-z0-9_]*)(?:[/?](.*))?$};
    my $route = defined $name && HostileServer::Routes->can($name);
    $route ? $route->($client, $rest, $request) : status($client, '404 Not Found');
    return 0;
}

# A whole 200 answer.
sub page
{
    my ($client, $body, @headers) = @_;
    print $client join("\r\n", 'HTTP/1.1 200 OK', 'Connection: close',
        'Content-Length: ' . length $body, @headers, '', $body);
}

# A whole answer without a body.
sub status
{
    my ($client, $status, @headers) = @_;
    print $client join("\r\n", "HTTP/1.1 $status", 'Connection: close', 'Content-Length: 0',
        @headers, '', '');
}

# The beginning of an answer whose body the caller writes.
sub head
{
    my ($client, @headers) = @_;
    print $client join("\r\n", 'HTTP/1.1 200 OK', 'Connection: close', @headers, '', '');
}

package HostileServer::Routes;

# Good ones.
sub hello
{
    my ($client, $rest, $request) = @_;
    my @validators = ('ETag: "v1"', 'Last-Modified: Sun, 01 Nov 2020 00:00:00 GMT');
    return HostileServer::status($client, '304 Not Modified', @validators)
        if $request =~ /^If-None-Match: "v1"\r$/m
        || $request =~ /^If-Modified-Since: Sun, 01 Nov 2020 00:00:00 GMT\r$/m;
    HostileServer::page($client, "<p>hello\n", 'Content-Type: text/html; charset=utf-8', @validators);
}
sub echo { my ($client, undef, $request) = @_; HostileServer::page($client, $request); }
sub sized { my ($client, $n) = @_; HostileServer::page($client, 'x' x $n); }
sub unannounced { my ($client, $n) = @_; HostileServer::head($client); print $client 'x' x $n; }
sub nothing { my ($client) = @_; HostileServer::status($client, '204 No Content'); }
sub code { my ($client, $code) = @_; HostileServer::status($client, "$code Whatever"); }
sub refusal
{
    my ($client, $code) = @_;
    my $body = "{\"__type\":\"x#AccessDenied\"}";
    print $client "HTTP/1.1 $code Whatever\r\nContent-Length: ", length $body, "\r\n\r\n$body";
}
# Fails as often as the number says, then serves.
sub flaky
{
    my ($client, $rest) = @_;
    my ($times, $file) = split /,/, $rest, 2;
    open(my $log, '>>', $file) or die;
    print $log 'x';
    close $log;
    HostileServer::status($client, -s $file > $times ? '200 OK' : '503 Not Now');
}
sub zipped
{
    my ($client) = @_;
    my $text = "squeezed\n" x 1000;
    IO::Compress::Gzip::gzip(\$text, \my $packed);
    HostileServer::page($client, $packed, 'Content-Encoding: gzip');
}
sub hop
{
    my ($client, $n) = @_;
    HostileServer::status($client, '302 Found', 'Location: ' . ($n > 1 ? '/hop/' . ($n - 1) : '/hello'));
}
sub to { my ($client, $where) = @_; HostileServer::status($client, '301 Moved', "Location: $where"); }

# Hostile ones.
sub loop { my ($client) = @_; HostileServer::status($client, '302 Found', 'Location: /loop'); }
sub nowhere { my ($client) = @_; HostileServer::status($client, '302 Found'); }
sub far { my ($client) = @_; HostileServer::status($client, '302 Found', 'Location: /' . 'x' x 3000); }
sub bomb
{
    my ($client) = @_;
    my $zeros = "\0" x (64 << 20);
    IO::Compress::Gzip::gzip(\$zeros, \my $packed);
    HostileServer::page($client, $packed, 'Content-Encoding: gzip');
}
sub badzip { my ($client) = @_; HostileServer::page($client, 'not gzip at all', 'Content-Encoding: gzip'); }
sub oddzip { my ($client) = @_; HostileServer::page($client, 'what is it', 'Content-Encoding: rot13'); }
sub endless
{
    my ($client) = @_;
    HostileServer::head($client);
    print $client 'x' x 65536 while 1;
}
sub drip
{
    my ($client) = @_;
    HostileServer::head($client);
    while (1) { print $client 'x'; Time::HiRes::sleep(0.2); }
}
sub driphead
{
    my ($client) = @_;
    print $client "HTTP/1.1 200 OK\r\nX: ";
    while (1) { print $client 'x'; Time::HiRes::sleep(0.2); }
}
sub silent { Time::HiRes::sleep(30); }
sub hang_code
{
    my ($client, $code) = @_;
    print $client "HTTP/1.1 $code Whatever\r\nContent-Length: 10\r\n\r\n";
    Time::HiRes::sleep(30);
}
sub hang_head
{
    my ($client, $code) = @_;
    print $client "HTTP/1.1 $code Whatever\r\nX: y\r\n";
    Time::HiRes::sleep(30);
}
sub garbage { my ($client) = @_; print $client "\1\2\3 lorem ipsum\r\n\r\ndolor"; }
sub badline { my ($client) = @_; print $client "HTTP/1.1 OK two hundred\r\n\r\nbody"; }
sub empty { }
sub headers
{
    my ($client) = @_;
    print $client "HTTP/1.1 200 OK\r\n";
    my $n = 0;
    print $client "X-$n: y\r\n" while ++$n < 100_000;
    print $client "\r\nbody";
}
sub manyheaders
{
    my ($client) = @_;
    HostileServer::page($client, 'body', ('X: y') x 600);
}
sub fatheaders
{
    my ($client) = @_;
    print $client "HTTP/1.1 200 OK\r\n";
    print $client "X-$_: ", 'y' x 9000, "\r\n" foreach 1 .. 20;
    print $client "\r\nbody";
}
sub longheader
{
    my ($client) = @_;
    print $client "HTTP/1.1 200 OK\r\nX: ", 'y' x 400_000, "\r\n\r\nbody";
}
sub interim
{
    my ($client) = @_;
    print $client "HTTP/1.1 100 Continue\r\n\r\n" while 1;
}
sub liar
{
    my ($client) = @_;
    HostileServer::head($client, 'Content-Length: 1000000000000');
    print $client 'x' x 1000;
    Time::HiRes::sleep(30);
}
sub short { my ($client) = @_; HostileServer::head($client, 'Content-Length: 100'); print $client 'x' x 10; }
sub latin
{
    my ($client) = @_;
    HostileServer::page($client, 'x', "ETag: \"caf\xe9\"", "Content-Type: text/\x01html");
}
sub fat404
{
    my ($client) = @_;
    print $client "HTTP/1.1 404 Not Found\r\n\r\n";
    print $client 'x' x 65536 while 1;
}
sub cookie
{
    my ($client, undef, $request) = @_;
    HostileServer::page($client, $request, 'Set-Cookie: a=b; path=/');
}

1;
