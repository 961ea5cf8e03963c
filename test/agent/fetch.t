# padlock_fetch over its wire, against servers on loopback that behave and
# servers that do not; and its pure parts (addresses, URLs, robots.txt) case
# by case.  From the top of the tree: prove test/agent/fetch.t

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use FindBin;
use IPC::Run qw(run);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";
use HostileServer;

chdir "$FindBin::Bin/../.." or die $!;

# outcomes of wire.h
use constant {
    OK => 0, NOT_MODIFIED => 1, HTTP_ERROR => 2, ROBOTS_DENIED => 3, ADDRESS_DENIED => 4,
    BAD_URL => 5, TOO_LARGE => 6, TIMEOUT => 7, NETWORK => 8, TOO_MANY_REDIRECTS => 9
};

my $program = 'src/agent/padlock_fetch';
my $client = '.build/wire_client';
my $check = '.build/fetch_check';
my $data = '../shared/data';
my $dir = tempdir(CLEANUP => 1);
my @servers;

my $built = run(['make', '-s', '-f', 'test/agent/Makefile', $client, $check], '>', \my $output,
    '2>', \my $errors);
BAIL_OUT("the test programs do not build: $errors") unless $built;
BAIL_OUT("$program is not built: make $program") unless -x $program;

my $parent = $$;
END { if (defined $parent && $$ == $parent) { my $status = $?; $_->stop foreach @servers; $? = $status; } }

sub server
{
    push @servers, HostileServer->new($dir, @_);
    return $servers[-1];
}

# Run commands of wire_client on one helper; each word list is one.  Returns
# the frames as hashes (name => frame's name) and what came on standard error.
sub talk
{
    my (@commands) = @_;
    my $input = join '', map { join("\t", @$_) . "\n" } @commands;
    run([$client, $dir, "./$program"], '<', \$input, '>', \my $out, '2>', \my $err);
    my @frames;
    foreach my $line (split /\n/, $out)
    {
        my ($name, @fields) = split /\t/, $line;
        my %frame = (name => $name);
        foreach my $field (@fields)
        {
            my ($tag, $value) = split /=/, $field, 2;
            push @{ $frame{sitemaps} }, $value if $tag eq 'sitemap';
            $frame{$tag} = $value // 1;
        }
        push @frames, \%frame;
    }
    return (\@frames, $err);
}

# The answers to fetches on one helper; private addresses are allowed.
sub fetch_all
{
    my (@fetches) = @_;
    my ($frames, $err) = talk(map { [ 'fetch', $_->[0], 'private', @{$_}[ 1 .. $#$_ ] ] } @fetches);
    is($err, '', 'nothing on standard error') if $err ne '';
    is($frames->[-1]{status}, 0, 'the helper ends well')
        if ($frames->[-1]{status} // '') ne '0';
    return grep { $_->{name} eq 'FETCHED' } @$frames;
}

sub fetch { return (fetch_all([@_]))[0] // {}; }

sub body
{
    my ($answer) = @_;
    open(my $file, '<:raw', $answer->{body} // return 'no body') or return "no file: $!";
    local $/;
    return <$file> // '';
}

# Lines in, lines out.
sub check
{
    my ($words, @lines) = @_;
    my $input = join '', map { "$_\n" } @lines;
    run([$check, @$words], '<', \$input, '>', \my $out, '2>', \my $err);
    return split /\n/, $out;
}

my $site = server(robots => "User-agent: *\nDisallow: /private\nAllow: /private/open\n"
    . "Sitemap: http://127.0.0.1/sitemap.xml\nSitemap: /relative.xml\nSitemap: ftp://x/no.xml\n");
my $bare = server();

subtest 'address classes' => sub {
    my %class = (
        public => [ qw(1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255
            128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0
            192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
            2606:4700::1 2a00:1450::1 2001:200::1 2001:db7::1 2001:db9::1 3ffe::1 64:ff9b::8.8.8.8) ],
        private => [ qw(10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255
            172.16.0.0 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255
            198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.7
            ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 ::ffff:0:8.8.8.8 64:ff9b::10.0.0.1
            64:ff9b::127.0.0.1 64:ff9b:1::8.8.8.8 2001::f7f7:f7f7 2001:10::1 2001:1ff::1 2001:db8::1 2002:7f00:1::
            2002:808:808:: 3fff::1 fc00::1 fdff::1 fd00:ec2::253 fec0::1) ],
        forbidden => [ qw(0.0.0.0 0.1.2.3 169.254.0.1 169.254.169.254 169.254.170.2 100.100.100.200
            168.63.129.16 192.0.0.192 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
            :: ::ffff:0.0.0.0 ::ffff:169.254.169.254 64:ff9b::169.254.169.254 64:ff9b::224.0.0.1
            2002:a9fe:a9fe:: 2001:0:0:0:0:0:5601:5601 100::1 fe80::1 febf::1 ff02::1 fd00:ec2::254
            fd20:ce::254 4000::1 ::2 2001::1 5f00::1 64:ff9b:1::169.254.169.254) ]);
    foreach my $class (sort keys %class)
    {
        my @got = check(['address'], @{ $class{$class} });
        is($got[$_], $class, "$class{$class}[$_]") foreach 0 .. $#{ $class{$class} };
    }
};

subtest 'robots.txt, rule by rule' => sub {
    # the limit of 500 KiB falls inside the last line
    my $cut = "User-agent: *\nDisallow: /x\n";
    $cut .= '#' x (500 * 1024 - length($cut) - length("\nAllow: /x")) . "\nAllow: /x";
    my @cases = (
        # file, agent, then path => verdict ...
        [ '', '/' => 1 ],
        [ "User-agent: *\nDisallow: /", '/' => 0, '/a' => 0, '/robots.txt' => 1 ],
        [ "User-agent: *\nDisallow:", '/' => 1 ],
        [ "Disallow: /", '/' => 1 ],
        [ "User-agent: *\nDisallow: /a\nAllow: /a/b\n", '/a' => 0, '/a/b' => 1, '/b' => 1, '/A' => 1 ],
        [ "User-agent: *\nAllow: /a/b\nDisallow: /a\n", '/a/x' => 0, '/a/b/c' => 1 ],
        [ "User-agent: *\nDisallow: /p\nAllow: /p\n", '/p' => 1 ],
        [ "User-agent: *\nDisallow: /*.pdf\$", '/x.pdf' => 0, '/x.pdf?a' => 1, '/a/b.pdf' => 0 ],
        [ "User-agent: *\nDisallow: /*.pdf", '/x.pdfx' => 0, '/pdf' => 1 ],
        [ "User-agent: *\nDisallow: /a*b*c\$", '/abc' => 0, '/axbxc' => 0, '/abcd' => 1, '/abcc' => 0,
            '/acb' => 1, '/abcbc' => 0 ],
        [ "User-agent: *\nDisallow: /a\$", '/a' => 0, '/ab' => 1 ],
        [ "User-agent: *\nDisallow: /a\$\nAllow: /a", '/a' => 0, '/ab' => 1 ],
        [ "User-agent: *\nDisallow: /\$", '/' => 0, '/x' => 1, '/?q' => 1 ],
        [ "User-agent: *\nDisallow: *", '/' => 0 ],
        [ "User-agent: *\nDisallow: *\$", '/x' => 0 ],
        [ "User-agent: *\nDisallow: /**a", '/xa' => 0, '/x' => 1 ],
        [ "User-agent: *\nDisallow: /a\$b", '/a$b' => 0, '/a' => 1 ],
        [ "User-agent: *\nDisallow: x", '/x' => 1 ],
        [ "User-agent: *\nDisallow: /caf%c3%a9", "/caf\xc3\xa9" => 0, '/caf%C3%A9' => 0 ],
        [ "User-agent: *\nDisallow: /caf\xc3\xa9", '/caf%c3%a9/x' => 0 ],
        [ "User-agent: *\nDisallow: /%7Ejoe", '/~joe' => 0, '/%7ejoe' => 0 ],
        [ "User-agent: *\nDisallow: /a%2fb", '/a/b' => 1, '/a%2Fb' => 0 ],
        [ "User-agent: *\nDisallow: /a%2a", '/a*' => 0, '/ab' => 1 ],
        [ "User-agent: *\nDisallow: /a%", '/a%' => 0, '/a' => 1 ],
        [ "User-agent: *\nDisallow: /%70rivate", '/private' => 0 ],
        # groups
        [ "User-agent: *\nDisallow: /\n\nUser-agent: padlock\nDisallow: /x", '/' => 1, '/x' => 0 ],
        [ "User-agent: padlock\nDisallow: /x\n\nUser-agent: *\nDisallow: /", '/' => 1, '/x' => 0 ],
        [ "User-agent: PadLock/2.0 (x)\nDisallow: /x", '/x' => 0 ],
        [ "User-agent: padlockbot\nDisallow: /", '/x' => 1 ],
        [ "User-agent: pad\nDisallow: /", '/x' => 1 ],
        [ "User-agent: other\nUser-agent: padlock\nDisallow: /x", '/x' => 0 ],
        [ "User-agent: padlock\nDisallow: /x\nUser-agent: other\nDisallow: /y\n"
            . "User-agent: padlock\nDisallow: /z", '/x' => 0, '/y' => 1, '/z' => 0 ],
        [ "User-agent: padlock\n\n\nDisallow: /x", '/x' => 0 ],
        [ "User-agent: padlock\nSitemap: http://a/\nUser-agent: other\nDisallow: /x", '/x' => 0 ],
        [ "User-agent: padlock\nUser-agent: *\nDisallow: /x", '/x' => 0 ],
        [ "User-agent: padlock\n\nUser-agent: *\nDisallow: /\n", '/x' => 0 ],
        [ $cut . "yz\n", '/x' => 0 ],
        [ "User-agent: padlock\nAllow:\nUser-agent: *\nDisallow: /\n", '/x' => 1 ],
        [ "User-agent: *bot\nDisallow: /", '/x' => 1 ],
        # spelling
        [ "\xef\xbb\xbfUser-agent: *\nDisallow: /x", '/x' => 0 ],
        [ "USER-AGENT: *\r\nDISALLOW: /x\r\n", '/x' => 0, '/X' => 1 ],
        [ "User-agent: *\rDisallow: /x\rDisallow: /y", '/x' => 0, '/y' => 0 ],
        [ "  User-agent :\t* # all\n Disallow : /x # not this\n", '/x' => 0 ],
        [ "User-agent: *\nDisallow: /x#y", '/x' => 0 ],
        [ "User-agent: *\nDisalow: /x\nDissallow: /y", '/x' => 0, '/y' => 0 ],
        [ "User-agent *\nDisallow /x", '/x' => 0 ],
        [ "User-agent: *\nDisallow /x y", '/x' => 1, '/x%20y' => 1 ],
        [ "<html>\n<a href=\"http://x\">Disallow: /</a>\n", '/x' => 1 ],
        [ "User-agent: *\0\nDisallow: /x\0y\n", '/xy' => 1, '/z' => 1 ],
        # the other lines
        [ "User-agent: *\nCrawl-delay: 2.5", 'delay' => 2500 ],
        [ "User-agent: *\nCrawl-delay: 99999999999", 'delay' => 10000 ],
        [ "User-agent: *\nCrawl-delay: soon", 'delay' => 0 ],
        [ "User-agent: *\nCrawl-delay:", 'delay' => 0 ],
        [ "User-agent: *\nCrawl-delay: 5\nUser-agent: padlock\nDisallow: /x", 'delay' => 0 ],
        [ "User-agent: *\nCrawl-delay: 5\nAllow: /\nUser-agent: padlock\nDisallow: /x", 'delay' => 0 ],
        [ "Sitemap: http://a/s.xml # x\nsitemap:http://b/", 'sitemaps' => "2\thttp://a/s.xml" ],
        [ join("\n", map { "Sitemap: http://a/$_" } 1 .. 30), 'sitemaps' => "20\thttp://a/1" ],
        [ 'Sitemap: http://a/' . 'x' x 2000, 'sitemaps' => "0\t" ]);
    foreach my $case (@cases)
    {
        my ($text, @pairs) = @$case;
        open(my $file, '>:raw', "$dir/robots") or die $!;
        print $file $text;
        close $file;
        (my $label = $text) =~ s/[^ -~]+/ | /g;
        my @paths = map { $pairs[ 2 * $_ ] } 0 .. $#pairs / 2;
        my @got = check([ 'robots', "$dir/robots", 'padlock' ], @paths);
        is($got[$_], $pairs[ 2 * $_ + 1 ], substr($label, 0, 70) . ": $paths[$_]") foreach 0 .. $#paths;
    }
    my $begin = time;
    open(my $file, '>:raw', "$dir/robots") or die $!;
    print $file "User-agent: *\n", map { 'Disallow: /' . '*a' x 200 . "*b\n" } 1 .. 1000;
    close $file;
    my ($got) = check([ 'robots', "$dir/robots", 'padlock' ], '/' . 'a' x 1990);
    is($got, 1, 'a file of wildcards');
    cmp_ok(time - $begin, '<', 2, 'takes no time to speak of');
};

subtest 'a good page' => sub {
    my ($frames, $err) = talk([ 'fetch', $site->url('/hello'), 'private' ]);
    my ($hello, $answer, $end) = @$frames;
    is($hello->{name}, 'HELLO', 'the helper speaks first');
    is($answer->{name}, 'FETCHED', 'one answer');
    is($answer->{outcome}, OK, 'outcome');
    is($answer->{detail}, '', 'no detail');
    is($answer->{http_status}, 200, 'status');
    is($answer->{content_type}, 'text/html; charset=utf-8', 'content type');
    is($answer->{etag}, '"v1"', 'ETag');
    is($answer->{last_modified}, 'Sun, 01 Nov 2020 00:00:00 GMT', 'Last-Modified');
    is($answer->{body_length}, 9, 'length');
    is(body($answer), "<p>hello\n", 'body');
    is($answer->{url}, $site->url('/hello'), 'effective URL');
    ok(!$answer->{WRONGJOB} && !$answer->{MALFORMED}, 'the job id and the fields are right');
    ok(defined $answer->{elapsed_ms} && $answer->{elapsed_ms} < 5000, 'elapsed time');
    ok(!$answer->{sitemaps}, 'robots.txt is not read unless asked');
    is($site->count('/robots.txt'), 0, 'indeed not');
    is($end->{status}, 0, 'the helper ends when the socket closes');
};

subtest 'what the helper says of itself' => sub {
    my $request = body(fetch($site->url('/echo')));
    like($request, qr{^User-Agent: padlock/1\.0 \(\+robots: padlock\)\r$}m, 'user agent');
    like($request, qr{^Accept-Encoding: gzip, deflate, br\r$}m, 'encodings');
    unlike($request, qr{^(Cookie|Authorization|Referer|If-)}mi, 'nothing else');
    my ($first, $second) = fetch_all([ $site->url('/cookie') ], [ $site->url('/cookie') ]);
    unlike(body($second), qr{^Cookie:}mi, 'cookies are not kept');
    local $ENV{http_proxy} = 'http://127.0.0.1:9/';
    is(fetch($site->url('/hello'))->{outcome}, OK, 'no proxy of the environment is used');
};

subtest 'conditional requests' => sub {
    my ($tag, $time, $stale, $evil) = fetch_all(
        [ $site->url('/hello'), 'etag="v1"' ],
        [ $site->url('/hello'), 'last_modified=Sun, 01 Nov 2020 00:00:00 GMT' ],
        [ $site->url('/hello'), 'etag="v0"' ],
        [ $site->url('/echo'), "etag=a\rX-Injected: yes" ]);
    is($tag->{outcome}, NOT_MODIFIED, 'by ETag');
    is($tag->{http_status}, 304, 'with its status');
    ok(!$tag->{body}, 'without a body');
    is($time->{outcome}, NOT_MODIFIED, 'by time');
    is($stale->{outcome}, OK, 'another ETag gets the page');
    unlike(body($evil), qr{Injected}, 'a validator cannot add a header');
    is(fetch($site->url('/code/304'))->{outcome}, HTTP_ERROR, 'a 304 that nobody asked for');
};

subtest 'status codes' => sub {
    my %detail = (
        404 => 'the server answered 404 Not Found', 403 => 'the server answered 403 Forbidden',
        500 => 'the server answered 500 Internal Server Error',
        418 => 'the server answered with status 418', 300 => 'the server answered with status 300');
    my @codes = sort keys %detail;
    my @answers = fetch_all(map { [ $site->url("/code/$_") ] } @codes);
    foreach my $i (0 .. $#codes)
    {
        is($answers[$i]{outcome}, HTTP_ERROR, "$codes[$i]: outcome");
        is($answers[$i]{http_status}, $codes[$i], "$codes[$i]: status");
        is($answers[$i]{detail}, $detail{ $codes[$i] }, "$codes[$i]: detail");
    }
    my $nothing = fetch($site->url('/nothing'));
    is($nothing->{outcome}, OK, '204 is a success');
    is(-s $nothing->{body}, 0, 'with an empty body');
    my $fat = fetch($site->url('/fat404'), 'timeout_ms=3000');
    is($fat->{http_status}, 404, 'an endless 404 is a 404');
    cmp_ok($fat->{elapsed_ms}, '<', 2000, 'of which little is read');
    my $late = fetch($site->url('/hang_code/404'), 'timeout_ms=1000');
    is($late->{outcome}, HTTP_ERROR, 'a 404 whose body hangs is a 404');
    my $half = fetch($site->url('/hang_head/302'), 'timeout_ms=700');
    is($half->{outcome}, TIMEOUT, 'a redirect that does not come to say where is none');
};

subtest 'sizes' => sub {
    my @cases = (
        [ '/sized/1000', OK ], [ '/sized/1001', TOO_LARGE ],
        [ '/unannounced/1000', OK ], [ '/unannounced/1001', TOO_LARGE ],
        [ '/endless', TOO_LARGE ], [ '/liar', TOO_LARGE ], [ '/zipped', TOO_LARGE ]);
    my @answers = fetch_all(map { [ $site->url($_->[0]), 'max_bytes=1000' ] } @cases);
    foreach my $i (0 .. $#cases)
    {
        is($answers[$i]{outcome}, $cases[$i][1], "$cases[$i][0] of 1000 bytes");
    }
    is($answers[1]{detail}, 'the body is larger than 1000 bytes', 'detail');
    ok(!$answers[1]{body}, 'no half body');
    my $zipped = fetch($site->url('/zipped'));
    is(body($zipped), "squeezed\n" x 1000, 'gzip is decoded');
    is($zipped->{body_length}, 9000, 'the length is the decoded one');
    my $bomb = fetch($site->url('/bomb'), 'max_bytes=1000000');
    is($bomb->{outcome}, TOO_LARGE, 'a gzip bomb is stopped');
};

subtest 'hostile answers' => sub {
    my %cases = (
        '/garbage' => [ NETWORK, qr/is not HTTP/ ],
        '/badline' => [ NETWORK, qr/is not HTTP/ ],
        '/empty' => [ NETWORK, qr/failed after 0 bytes/ ],
        '/short' => [ NETWORK, qr/failed after 10 bytes/ ],
        '/badzip' => [ NETWORK, qr/compression/ ],
        '/oddzip' => [ NETWORK, qr/compression/ ],
        '/headers' => [ TOO_LARGE, qr/headers/ ],
        '/manyheaders' => [ TOO_LARGE, qr/headers/ ],
        '/fatheaders' => [ TOO_LARGE, qr/headers/ ],
        '/longheader' => [ TOO_LARGE, qr/headers/ ],
        '/interim' => [ TOO_LARGE, qr/headers/ ]);
    my @paths = sort keys %cases;
    my @answers = fetch_all(map { [ $site->url($_), 'timeout_ms=5000' ] } @paths, '/hello');
    foreach my $i (0 .. $#paths)
    {
        is($answers[$i]{outcome}, $cases{ $paths[$i] }[0], "$paths[$i]: outcome");
        like($answers[$i]{detail}, $cases{ $paths[$i] }[1], "$paths[$i]: detail");
    }
    is($answers[-1]{outcome}, OK, 'after all of them the helper still works');
    my $latin = fetch($site->url('/latin'));
    is($latin->{etag}, '"caf?"', 'bytes that are not UTF-8 are replaced');
    is($latin->{content_type}, 'text/?html', 'and control characters');
};

subtest 'time' => sub {
    my $begin = time;
    my @answers = fetch_all(map { [ $site->url($_), 'timeout_ms=700' ] }
        '/drip', '/driphead', '/silent');
    foreach my $i (0 .. 2)
    {
        is($answers[$i]{outcome}, TIMEOUT, "slow answer $i");
        cmp_ok($answers[$i]{elapsed_ms}, '>=', 600, "slow answer $i had its time");
        cmp_ok($answers[$i]{elapsed_ms}, '<', 2000, "slow answer $i had no more");
    }
    like($answers[0]{detail}, qr/in time; [1-9]\d* bytes came/, 'detail');
    cmp_ok(time - $begin, '<', 8, 'all three');
    is(fetch($site->url('/to?/drip'), 'timeout_ms=700')->{outcome}, TIMEOUT,
        'redirects share the time');
};

subtest 'redirects' => sub {
    my ($two, $five, $six, $loop, $none, $nowhere, $far) = fetch_all(
        [ $site->url('/hop/2') ], [ $site->url('/hop/5') ], [ $site->url('/hop/6') ],
        [ $site->url('/loop') ], [ $site->url('/hop/1'), 'max_redirects=0' ],
        [ $site->url('/nowhere') ], [ $site->url('/far') ]);
    is($two->{outcome}, OK, 'two hops');
    is($two->{url}, $site->url('/hello'), 'the effective URL is the last');
    is($five->{outcome}, OK, 'as many as allowed');
    is($six->{outcome}, TOO_MANY_REDIRECTS, 'one more');
    is($six->{detail}, 'more than 5 redirects', 'detail');
    is($loop->{outcome}, TOO_MANY_REDIRECTS, 'a loop');
    is($none->{outcome}, TOO_MANY_REDIRECTS, 'none allowed');
    is($nowhere->{outcome}, HTTP_ERROR, 'without Location');
    is($nowhere->{http_status}, 302, 'with its status');
    is($far->{outcome}, HTTP_ERROR, 'to more than 2000 bytes');
    foreach my $where ('file:///etc/hostname', 'gopher://127.0.0.1/_x', 'ftp://127.0.0.1/',
        'javascript:alert(1)', 'http://user:secret@127.0.0.1/')
    {
        my $answer = fetch($site->url("/to?$where"));
        is($answer->{outcome}, BAD_URL, "to $where");
    }
    foreach my $where ('http://169.254.169.254/latest/meta-data/', 'http://0.0.0.0/',
        'http://[::ffff:169.254.169.254]/', 'http://2852039166/')
    {
        is(fetch($site->url("/to?$where"))->{outcome}, ADDRESS_DENIED, "to $where");
    }
    is(fetch($site->url('/to?' . $bare->url('/hello')))->{url}, $bare->url('/hello'),
        'to another site');
    is(fetch($site->url('/to?//127.0.0.1:' . $bare->{port} . '/hello'))->{outcome}, OK,
        'without a scheme');
};

subtest 'addresses that are not public are refused by default' => sub {
    my $port = $site->{port};
    my $before = $site->requests;
    my @hosts = ('127.0.0.1', 'localhost', '127.1', '2130706433', '0x7f000001', '0177.0.0.1',
        '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0', '0', '①②⑦.⓪.⓪.①');
    my ($frames) = talk(map { [ 'fetch', "http://$_:$port/hello" ] } @hosts);
    foreach my $i (0 .. $#hosts)
    {
        my $answer = $frames->[ $i + 1 ];
        is($answer->{outcome}, ADDRESS_DENIED, "host $hosts[$i]") or diag explain $answer;
        like($answer->{detail}, qr/^address [0-9a-f.:]+ is not public$/, "$hosts[$i]: detail");
    }
    is(scalar($site->requests), $before, 'nobody was asked');
    my ($answers) = talk([ 'fetch', $site->url('/keep'), 'private' ], [ 'fetch', $site->url('/keep') ]);
    is(body($answers->[1]), 'kept', 'private addresses where they are allowed');
    is($answers->[2]{outcome}, ADDRESS_DENIED, 'a kept connection does not help who may not');
};

subtest 'URLs that are none' => sub {
    foreach my $url ('nonsense', '/path', 'http://', 'http:// /', 'mailto:a@b', 'file:///etc/passwd',
        'http://a@127.0.0.1/', 'http://a:b@127.0.0.1/', 'http://127.0.0.1:99999/', 'http://[::1/',
        'http://127.0.0.1/' . 'x' x 2000, "http://127.0.0.1/\xff")
    {
        my $answer = fetch($url);
        is($answer->{outcome}, BAD_URL, substr($url, 0, 40));
        ok(length $answer->{detail}, 'and it says why');
    }
    my $spaced = fetch($site->url('/hello?a b'));
    is($spaced->{url}, $site->url('/hello?a+b'), 'a space is encoded');
    is(fetch($site->url('/x/../hello#part'))->{url}, $site->url('/hello'), 'dots and fragment go');
    my $refused = fetch('http://127.0.0.1:1/');
    is($refused->{outcome}, NETWORK, 'nobody listens');
    is($refused->{detail}, 'cannot connect to http://127.0.0.1:1: Connection refused', 'detail');
};

subtest 'robots.txt is obeyed' => sub {
    my $before = $site->count('/robots.txt');
    my @answers = fetch_all(map { [ $site->url($_), 'robots' ] }
        '/hello', '/private', '/private/open', '/hello', '/to?/private/x', '/robots.txt');
    is($answers[0]{outcome}, OK, 'allowed');
    is_deeply($answers[0]{sitemaps}, [ 'http://127.0.0.1/sitemap.xml', $site->url('/relative.xml') ],
        'its sitemaps are told');
    is($answers[1]{outcome}, ROBOTS_DENIED, 'disallowed');
    is($answers[1]{detail}, 'robots.txt disallows /private (Disallow: /private)', 'detail');
    is(scalar @{ $answers[1]{sitemaps} // [] }, 2, 'sitemaps even so');
    is($answers[2]{http_status}, 404, 'the longer rule allows');
    is($answers[4]{outcome}, ROBOTS_DENIED, 'a redirect is checked');
    is($answers[4]{url}, $site->url('/private/x'), 'and the URL is the denied one');
    is($answers[5]{outcome}, OK, 'robots.txt itself is always allowed');
    is($site->count('/robots.txt') - $before, 2, 'and the rules were fetched once');
    is($site->count('/private'), 0, 'what is disallowed was not asked for');
    my $cross = fetch($bare->url('/to?' . $site->url('/private')), 'robots');
    is($cross->{outcome}, ROBOTS_DENIED, 'the rules of the site redirected to count');
    is(fetch($site->url('/private'))->{http_status}, 404, 'unless nobody asked for robots.txt');
};

subtest 'robots.txt that cannot be had' => sub {
    my $send = sub { my @status = @_; return sub { HostileServer::status($_[0], @status) } };
    my %cases = (
        'status 404' => [ $send->('404 Not Found'), OK ],
        'status 403' => [ $send->('403 Forbidden'), OK ],
        'status 429' => [ $send->('429 Too Many Requests'), NETWORK ],
        'status 500' => [ $send->('500 Internal Server Error'), NETWORK ],
        'status 503' => [ $send->('503 Service Unavailable'), NETWORK ],
        'empty' => [ '', OK ],
        'cut off' => [ sub { HostileServer::Routes::short($_[0]) }, NETWORK ],
        'a loop of redirects' => [ $send->('302 Found', 'Location: /robots.txt'), OK ],
        'a redirect to a file' => [ $send->('302 Found', 'Location: file:///etc/passwd'), NETWORK ],
        'a redirect to metadata' =>
            [ $send->('302 Found', 'Location: http://169.254.169.254/'), ADDRESS_DENIED ],
        'another site\'s' => [ $send->('302 Found', 'Location: ' . $site->url('/robots.txt')), OK ],
        'silent' => [ sub { sleep 30 }, TIMEOUT ],
        'endless' => [ sub { HostileServer::Routes::endless($_[0]) }, OK ]);
    foreach my $name (sort keys %cases)
    {
        my $server = server(robots => $cases{$name}[0]);
        my @answers = fetch_all(map { [ $server->url('/hello'), 'robots', 'timeout_ms=1500' ] } 1, 2);
        is($answers[0]{outcome}, $cases{$name}[1], "$name: outcome");
        is($answers[1]{outcome}, $cases{$name}[1], "$name, again");
        like($answers[0]{detail}, qr/^robots\.txt of http\S+ cannot be read: /, "$name: detail")
            if $cases{$name}[1] != OK;
        my $hops = $name eq 'a loop of redirects' ? 6 : 1;
        is($server->count('/robots.txt'), $hops, "$name: asked once");
        $server->stop;
    }
    my $server = server(robots =>
        sub { HostileServer::status($_[0], '301 Moved', 'Location: ' . $site->url('/robots.txt')) });
    is(fetch($server->url('/private'), 'robots')->{outcome}, ROBOTS_DENIED, 'redirected rules count');
    my $big = server(robots => "User-agent: *\nDisallow: /hello\n" . ("# filler\n" x 60_000)
        . "Allow: /hello\nDisallow: /echo\n");
    my ($early, $late) = fetch_all([ $big->url('/hello'), 'robots' ], [ $big->url('/echo'), 'robots' ]);
    is($early->{outcome}, ROBOTS_DENIED, 'of a large file the first 500 KiB count');
    is($late->{outcome}, OK, 'and no more');
};

subtest 'Crawl-delay' => sub {
    my $server = server(robots => "User-agent: padlock\nCrawl-delay: 0.6\n");
    my $begin = time;
    my @answers = fetch_all(map { [ $server->url($_), 'robots' ] } '/hello', '/hop/5', '/hello');
    my $took = time - $begin;
    is(join(',', map { $_->{outcome} } @answers), join(',', OK, OK, OK), 'all came');
    cmp_ok($took, '>=', 1.2, 'two waits between three fetches');
    cmp_ok($took, '<', 3.5, 'and none inside one');
    my $slow = server(robots => "User-agent: padlock\nCrawl-delay: 3600\n");
    my ($first, $second) = fetch_all([ $slow->url('/hello'), 'robots' ],
        [ $slow->url('/hello'), 'robots', 'timeout_ms=2000' ]);
    is($first->{outcome}, OK, 'the first fetch waits for nobody');
    is($second->{outcome}, TIMEOUT, 'a wait longer than the time left is not begun');
    cmp_ok($second->{elapsed_ms}, '<', 500, 'but told at once');
    like($second->{detail}, qr/^robots\.txt asks for 10000 ms between requests/, 'and capped');
};

subtest 'certificates are checked' => sub {
    my $found = grep { -x "$_/openssl" } split /:/, $ENV{PATH};
    plan skip_all => 'no openssl program' unless $found;
    run([ qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1),
            '-keyout', "$dir/key.pem", '-out', "$dir/cert.pem" ], '>', \my $out, '2>', \my $err);
    my $free = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)->sockport;
    my $tls = IPC::Run::start([ qw(openssl s_server -quiet -www -accept), "127.0.0.1:$free",
            '-key', "$dir/key.pem", '-cert', "$dir/cert.pem" ], '<', \undef, '>', \$out, '2>', \$err);
    foreach (1 .. 50)
    {
        last if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$free");
        Time::HiRes::sleep(0.1);
    }
    my $answer = fetch("https://127.0.0.1:$free/");
    is($answer->{outcome}, NETWORK, 'a certificate that nobody signed');
    like($answer->{detail}, qr/^the certificate of https:\S+ is not valid: /, 'detail');
    $tls->kill_kill;
};

subtest 'a worker that goes away or breaks the wire' => sub {
    my $hex = sub { join '', map { unpack 'H*', $_ } @_ };
    my $frame = sub {
        my ($type, $fields, %other) = @_;
        return pack('V v v a16 V', $other{magic} // 0x4b4c4450, $other{version} // 1, $type, 'job',
            $other{length} // length $fields) . $fields;
    };
    my $field = sub { pack('v v V', $_[0], 0, length $_[1]) . $_[1] };
    my $rest = join '', $field->(2, pack 'V', 2), $field->(3, pack 'Q<', 1000),
        $field->(4, pack 'V', 1000), $field->(5, pack 'V', 5);
    my $url = $field->(1, $site->url('/hello'));
    my ($frames) = talk([ 'raw', $hex->($frame->(16, $url . $rest)) ]);
    is($frames->[1]{outcome}, OK, 'the frame by hand is right');
    my $slow = server(robots => "User-agent: *\nCrawl-delay: 10\n");
    my %broken = (
        'no frame' => 'nonsense',
        'wrong magic' => $frame->(16, $url . $rest, magic => 1),
        'wrong version' => $frame->(16, $url . $rest, version => 2),
        'wrong length' => $frame->(16, $url . $rest, length => 10),
        'a request for the parser' => $frame->(17, $url . $rest),
        'no URL' => $frame->(16, $rest),
        'no limits' => $frame->(16, $url),
        'a field twice' => $frame->(16, $url . $url . $rest),
        'an unknown field' => $frame->(16, $url . $rest . $field->(60, 'x')),
        'a field of another frame' => $frame->(16, $url . $rest . $field->(16, pack 'V', 0)),
        'a number too short' => $frame->(16, $url . $field->(2, 'x') . substr $rest, 12),
        'a field beyond the end' => $frame->(16, $url . $rest . pack('v v V', 6, 0, 100) . 'x'),
        'half a field' => $frame->(16, $url . $rest . 'x'));
    foreach my $name (sort keys %broken)
    {
        my ($answers, $err) = talk([ 'raw', $hex->($broken{$name}) ]);
        is($answers->[-1]{status}, 2, "$name: exit status");
        like($err, qr/\Apadlock_fetch: broken frame from the worker: [^\n]+\n\z/, "$name: one line");
    }
    my (undef, $err) = talk([ 'fetch', $site->url('/hello'), 'private', 'attach' ]);
    like($err, qr/: a descriptor with a fetch$/, 'a descriptor that no fetch has');
    my $begin = time;
    ($frames) = talk([ 'ask', $site->url('/silent'), 'private' ], [ 'sleep', 300 ], ['leave']);
    is($frames->[-1]{status}, 0, 'a worker that leaves in the middle of a fetch ends the helper');
    cmp_ok(time - $begin, '<', 5, 'soon');
    $begin = time;
    ($frames) = talk([ 'fetch', $slow->url('/hello'), 'private', 'robots' ],
        [ 'ask', $slow->url('/hello'), 'private', 'robots' ], [ 'sleep', 300 ], ['leave']);
    cmp_ok(time - $begin, '<', 5, 'and in the middle of a wait');
    my $run = IPC::Run::start([ $client, $dir, "./$program", 'fetch', $site->url('/silent'), 'private' ],
        '>', \my $out, '2>', \$err);
    Time::HiRes::sleep(0.5);
    $run->kill_kill(grace => 0);
    my $left = 1;
    foreach (1 .. 40)
    {
        $left = grep { (readlink($_) // '') eq abs_path($program) } glob('/proc/[0-9]*/exe');
        last unless $left;
        Time::HiRes::sleep(0.1);
    }
    is($left, 0, 'a helper whose worker was killed ends, in the middle of a fetch');
};

subtest 'verdicts of a large crawler\'s parser' => sub {
    plan skip_all => "no $data/robots" unless -e "$data/robots/verdicts.tsv";
    run([ 'tar', 'xzf', "$data/robots/files.tar.gz", '-C', $dir ]) or die;
    run([ $check, 'verdicts', "$dir/files" ], '<', "$data/robots/verdicts.tsv", '>', \my $out,
        '2>', \my $err);
    my ($cases, $agreements) = split /\t/, $out;
    my $rate = 100 * $agreements / $cases;
    note(sprintf('%d of %d verdicts agree: %.3f%%', $agreements, $cases, $rate));
    cmp_ok($cases, '>', 10_000, 'there are cases');
    cmp_ok($rate, '>=', 99.9, sprintf('%.3f%% agree', $rate)) or diag $err;
};

subtest 'hostile targets' => sub {
    plan skip_all => "no $data/ssrf_cases.txt" unless -e "$data/ssrf_cases.txt";
    open(my $file, '<', "$data/ssrf_cases.txt") or die $!;
    # names under .test are for a resolver that lies, which a test here has not
    chomp(my @urls = grep { !m{//[^/]*\.test[:/]} } <$file>);
    my @verdicts = check(['url'], @urls);
    my ($frames) = talk(map { [ 'fetch', $_ ] } grep { m{//127\.|//localhost|①|。} } @urls);
    foreach my $i (0 .. $#urls)
    {
        like($verdicts[$i], qr/^(bad|private|forbidden|name)\t/, $urls[$i]);
    }
    my @answers = grep { $_->{name} eq 'FETCHED' } @$frames;
    cmp_ok(scalar @answers, '>', 5, 'some were tried');
    foreach my $answer (@answers)
    {
        like($answer->{outcome}, qr/^(4|5)$/, "refused: $answer->{url}");
    }
};

done_testing();
