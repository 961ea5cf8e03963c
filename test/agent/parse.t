# padlock_parse and the sandboxes of both helper programs.
#
# Run from the top of the tree:  prove test/agent/parse.t
# Goes further when real documents lie in ../shared/data, and further still
# with PADLOCK_TEST_BOMBS=1.

use strict;
use warnings;
use Compress::Zlib;
use File::Find;
use File::Temp qw(tempdir);
use IPC::Run qw(run start finish timeout);
use JSON::PP;
use POSIX qw(:signal_h);
use Test::More;
use Time::HiRes qw(time sleep);

my $parser  = 'src/agent/padlock_parse';
my $client  = '.build/wire_client';
my $fixture = 'test/fixtures/agent';
my $data    = '../shared/data';
my $dir     = tempdir(CLEANUP => 1);
my $base    = 'http://site.example/dir/page';

run([ 'make', '-s', $parser ]) or BAIL_OUT("cannot build $parser");
run([ 'make', '-s', '-f', 'test/agent/Makefile' ]) or BAIL_OUT('cannot build the test programs');

my %unescaped = ('\\' => '\\', t => "\t", n => "\n");

# A line of the client as [frame, [tag, value]...].
sub answer
{
	my ($line) = @_;
	my ($frame, @fields) = split /\t/, $line;
	return [ $frame,
		map { my ($t, $v) = split /=/, $_, 2; $v //= ''; $v =~ s/\\(.)/$unescaped{$1}/g; [ $t, $v ] }
		  @fields ];
}

# The value of a frame's first field of a tag.
sub field
{
	my ($frame, $tag) = @_;
	my ($found) = grep { ref && $_->[0] eq $tag } @$frame;
	return $found ? $found->[1] : undef;
}

# Split the client's output into one list of frames a request, without HELLO;
# the exit line comes second.
sub requests
{
	my @lines = map { answer($_) } grep { !/^HELLO/ } split /\n/, $_[0];
	my $exit = pop @lines;
	my @requests = ([]);
	for my $frame (@lines)
	{
		push @{ $requests[-1] }, $frame;
		push @requests, [] if $frame->[0] =~ /^(PARSED|CLOSED|BROKEN)$/;
	}
	pop @requests unless @{ $requests[-1] };
	return (\@requests, $exit);
}

# Have one helper serve commands, each a list of words.
sub serve
{
	my $commands = join '', map { join("\t", @$_) . "\n" } @_;
	run([ $client, $dir, $parser ], \$commands, \my $out, \my $err, timeout(90));
	diag($err) if $err;
	return requests($out);
}

# One command's frames.
sub ask
{
	my ($requests) = serve([@_]);
	return $requests->[0];
}

sub last_frame { return $_[0][-1] }
sub outcome    { return field(last_frame($_[0]), 'outcome') }
sub detail     { return field(last_frame($_[0]), 'detail') }
sub urls       { return [ map { field($_, 'url') } grep { $_->[0] eq 'LINK' } @{ $_[0] } ] }

# The products of an answer, each {name => [source, value...]}.
sub products
{
	my @products;
	for my $frame (grep { $_->[0] eq 'PRODUCT' } @{ $_[0] })
	{
		my (%product, $name, $source);
		for (grep { ref } @$frame)
		{
			$name   = $_->[1] if $_->[0] eq 'name';
			$source = $_->[1] if $_->[0] eq 'source';
			push @{ $product{$name} }, "$source: $_->[1]" if $_->[0] eq 'value';
		}
		push @products, \%product;
	}
	return \@products;
}

sub write_file
{
	my ($name, $content) = @_;
	open(my $file, '>:raw', "$dir/$name") or die "$dir/$name: $!";
	print $file $content;
	close $file;
	return "$dir/$name";
}

sub read_file
{
	open(my $file, '<:raw', $_[0]) or die "$_[0]: $!";
	local $/;
	return <$file>;
}

# A PDF of numbered objects, the first of which is the root.
sub pdf
{
	my $n = 0;
	return "%PDF-1.4\n" . join('', map { ++$n . " 0 obj$_\nendobj\n" } @_) . "trailer<</Root 1 0 R>>\n%%EOF\n";
}

sub stream
{
	my ($bytes, $extra) = @_;
	return '<<' . ($extra // '') . '/Length ' . length($bytes) . ">>stream\n$bytes\nendstream";
}

# A page whose content calls ten forms that call ten forms, and so on: small,
# and without end.
sub loop_pdf
{
	my $levels = 12;
	my @forms = map {
		my $next = 5 + $_;
		stream($_ < $levels ? '/X Do ' x 10 : '0 0 m', '/Type/XObject/Subtype/Form/BBox[0 0 9 9]'
			  . ($_ < $levels ? "/Resources<</XObject<</X $next 0 R>>>>" : ''))
	} 1 .. $levels;
	return pdf('<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Kids[3 0 R]/Count 1>>',
		'<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>>>>>',
		stream('/X Do'), @forms);
}

sub children
{
	my ($pid) = @_;
	open(my $file, '<', "/proc/$pid/task/$pid/children") or return ();
	return split ' ', <$file> // '';
}

# Wait until a condition holds.
sub wait_for
{
	my ($condition) = @_;
	for (1 .. 200)
	{
		my $value = $condition->();
		return $value if $value;
		sleep 0.02;
	}
	return;
}

subtest 'sandboxes' => sub {
	my $secret = write_file('secret', 'x');
	my %expected = (
		common => {
			no_core => 'ok', dies_with_parent => 'ok', cwd_is_root => 'ok',
			extra_descriptor => 'errno=' . POSIX::EBADF
		},
		fetch => {
			open_write => 'errno=1', open_create => 'errno=1', open_library => 'ok',
			remove_file => 'errno=13', socket_inet => 'ok', socket_unix => 'errno=97',
			socket_netlink => 'ok', socket_uevent => 'errno=1', fork => 'errno=1',
			exec => 'errno=1', kill_parent => 'errno=1', limit_parent => 'errno=1',
			own_signals => 'errno=1', ptrace => 'errno=1', map_executable => 'errno=1',
			thread => 'ok', resolve => 'ok', memfd => 'ok', write_and_seal => 'ok',
			send_wire => 'ok', keyring => 'errno=1'
		},
		child => {
			(map { $_ => 'errno=13' } qw(open_read open_write open_create open_library remove_file memfd)),
			(map { $_ => 'signal=31' }
				  qw(socket_inet socket_unix socket_netlink fork exec kill_parent limit_parent own_signals
				  ptrace map_executable thread send_elsewhere lift_limit keyring)),
			map_memory => 'ok', write_and_seal => 'ok', send_wire => 'ok'
		});
	for my $sandbox (sort keys %expected)
	{
		run([ '.build/sandbox_probe', $sandbox, $secret ], \undef, \my $out, timeout(30));
		my %got = map { split / /, $_, 2 } split /\n/, $out;
		is($got{$_}, $expected{$sandbox}{$_}, "$sandbox: $_") for sort keys %{ $expected{$sandbox} };
		next if $sandbox ne 'fetch';
	  SKIP:
		{
			# landlock_create_ruleset() asked for the version
			skip 'no Landlock in this kernel', 1 if syscall(444, 0, 0, 1) < 1;
			is($got{open_read}, 'errno=13', 'fetch: a file outside the listed places');
		}
	}
};

subtest 'amounts' => sub {
	my @cases = (
		[ '£1,234.50', '1234.50|GBP|' ], [ '1.234,50 €', '1234.50|EUR|' ],
		[ '£1,234', '1234|GBP|' ], [ '1,234', '-' ], [ '1.234', '-' ], [ '€ 1.234', '-' ],
		[ "1,234\tUSD", '1234|USD|' ], [ '€ 12,5', '12.5|EUR|' ], [ "CHF 1'234.50", '1234.50|CHF|' ],
		[ '1 234,50 €', '1234.50|EUR|' ], [ '1.234.567', '1234567||' ], [ '$1,234,567.89', '1234567.89|USD|' ],
		[ '0.125', '0.125||' ], [ '0', '-' ], [ 'free', '-' ], [ '-5', '-' ], [ '12%', '-' ], [ '', '-' ],
		[ 'from 10 to 20', '-' ], [ '10-20', '-' ], [ '£12.5.6', '-' ], [ '1,23,456.00', '-' ],
		[ 'GBP 214.50 a year', '214.50|GBP|annually' ], [ '£9.90 a month for 12 months', '9.90|GBP|monthly' ],
		[ '£30 per quarter', '30|GBP|quarterly' ], [ 'US$ 20', '20|USD|' ], [ '007', '7||' ],
		[ 'lemon 5', '5||' ], [ '1234567890123456', '-' ]);
	my $in = join '', map { "$_->[0]\n" } @cases;
	run([ '.build/parse_probe', 'price' ], \$in, \my $out, timeout(10));
	my @out = split /\n/, $out;
	is($out[$_], $cases[$_][1], "amount \"$cases[$_][0]\"") for 0 .. $#cases;
};

subtest 'URLs' => sub {
	# RFC 3986 5.4, with its base moved to http
	my %rfc = (
		'g' => 'b/c/g', './g' => 'b/c/g', 'g/' => 'b/c/g/', '/g' => 'g', '?y' => 'b/c/d;p?y',
		'g?y' => 'b/c/g?y', '#s' => 'b/c/d;p?q', 'g#s' => 'b/c/g', ';x' => 'b/c/;x', '' => 'b/c/d;p?q',
		'.' => 'b/c/', './' => 'b/c/', '..' => 'b/', '../' => 'b/', '../g' => 'b/g', '../..' => '',
		'../../../g' => 'g', '/./g' => 'g', '/../g' => 'g', 'g.' => 'b/c/g.', '..g' => 'b/c/..g',
		'./../g' => 'b/g', 'g/./h' => 'b/c/g/h', 'g/../h' => 'b/c/h', 'g;x=1/../y' => 'b/c/y',
		'g?y/../x' => 'b/c/g?y/../x', '%2e%2E/g' => 'b/g', 'a//b' => 'b/c/a//b', '\\g' => 'g');
	my %whole = (
		'//h' => 'http://h/', 'HTTP://EX.example:80' => 'http://ex.example/', 'https://h:443/a' => 'https://h/a',
		'https://h:80/a' => 'https://h:80/a', ' /x y ' => 'http://a/x%20y', "/a\\tb" => 'http://a/ab',
		'/ü?ü' => 'http://a/%C3%BC?%C3%BC', 'http://[::1]:8080/' => 'http://[::1]:8080/',
		map { $_ => '-' } 'ftp://h/', 'mailto:a@b.example', 'javascript:void(0)', 'data:,x', 'http://', 'http:///x',
		'http://u@h/', 'http://h:99999/', 'http://h:x/', 'http://[::1/', 'http://a b/', 'http://h%41/',
		'/' . 'x' x 2000);
	my %cases = (%whole, map { $_ => "http://a/$rfc{$_}" } keys %rfc);
	my @keys = sort keys %cases;
	my $in = join '', map { 'http://a/b/c/d;p?q' . "\t" . s/\\(?!t)/\\\\/gr . "\n" } @keys;
	run([ '.build/parse_probe', 'url' ], \$in, \my $out, timeout(10));
	my @out = split /\n/, $out;
	is($out[$_], $cases{ $keys[$_] }, 'reference "' . substr($keys[$_], 0, 40) . '"') for 0 .. $#keys;
};

subtest 'HTML' => sub {
	my $merged = ask('html', "$fixture/merge.html", $base);
	is(outcome($merged), 0, 'a page is parsed');
	is(field(last_frame($merged), 'title'), 'Lantern Home Cover', 'title without its blanks');
	is_deeply(urls($merged),
		[ map { "http://$_" } 'site.example/cover/page2.html', 'site.example/cover/a.html',
		  'other.example/b?q=1%202', 'site.example/cover/?page=2', 'site.example/docs/terms.pdf',
		  'xn--exmple-cua.example/%C3%BC' ], 'links: resolved, once, no nofollow, no credentials');
	is_deeply(products($merged), [ {
		product_name => ['json-ld: Lantern Home Cover'], product_code => ['json-ld: LN-1'],
		description => ['json-ld: Tab inside'], premium_amount => ['json-ld: 1234.50'],
		currency => ['json-ld: GBP'], billing_frequency => ['json-ld: monthly'],
		minimum_age => ['json-ld: 18'], category => ['microdata: Home insurance'],
		product_image_url => ['opengraph: http://site.example/img/lantern.png'],
		product_url => ['html: http://site.example/cover/lantern'], maximum_age => ['html: 80'],
		terms_url => ['html: http://site.example/docs/terms.pdf'],
		keyword => [ 'json-ld: fire', 'json-ld: flood', 'json-ld: storm' ] } ],
		'four sources make one product, each field from the best');

	my @offers = @{ products(ask('html', "$fixture/offer.html", $base)) };
	is_deeply([ map { $_->{product_name}[0] . ' ' . ($_->{premium_amount}[0] // '-') } @offers ],
		[ 'json-ld: Roadside help json-ld: 12.5', 'json-ld: Plan A json-ld: 10.00', 'json-ld: Plan B -' ],
		'offers that have products, lists of offers, expanded JSON-LD, no ambiguous price');
	is_deeply(products(ask('html', "$fixture/compare.html", $base)), [], 'two prices are no product');
	is(field(last_frame(ask('html', "$fixture/cyrillic.html", $base)), 'title'),
		"Страховка", 'encoding by meta element');
	my $latin = write_file('latin.html', "<title>caf\xe9</title>");
	is(field(last_frame(ask('html', $latin, $base)), 'title'), 'café', 'neither declared nor UTF-8');
	is(field(last_frame(ask('html', $latin, $base, 'content_type=text/html; charset=iso-8859-5')), 'title'),
		'cafщ', 'encoding by content type');
	my $wide = write_file('wide.html', "\xff\xfe" . join '', map { "$_\0" } split //, '<title>wide</title>');
	is(field(last_frame(ask('html', $wide, $base)), 'title'), 'wide', 'encoding by byte order mark');
	my $bad = write_file('bad.html', "<meta charset=utf-8><title>a\xffb\0c</title>");
	like(field(last_frame(ask('html', $bad, $base)), 'title'), qr/^a\x{ef}\x{bf}\x{bd}b/, 'bad bytes are replaced');

	my $robots = write_file('robots.html', '<meta name=Robots content="noindex,NoFollow"><a href=/a>a</a>');
	is_deeply(urls(ask('html', $robots, $base)), [], 'a page that forbids to follow');
	my $many = ask('html', write_file('many.html', join '', map { "<a href=$_>" } 1 .. 9), $base, 'max_links=4');
	is(scalar @{ urls($many) }, 4, 'as many links as asked for');
	is(field(last_frame($many), 'truncated'), 1, '... and that said');
	is(outcome(ask('html', write_file('empty', ''), $base)), 0, 'an empty page');
};

subtest 'PDF' => sub {
	my $two = ask('pdf', "$fixture/two-pages.pdf");
	is(outcome($two), 0, 'a PDF is parsed');
	is(read_file(field(last_frame($two), 'body')), "Premium 214.50 pounds\fExcess \xc2\xa3250 caf\xc3\xa9",
		'text of two pages');
	is(field(last_frame($two), 'title'), undef, 'its title is not told');
	is(field(last_frame($two), 'chars'), 38, 'characters, not bytes');
	my $cut = ask('pdf', "$fixture/two-pages.pdf", 'max_chars=5');
	is(read_file(field(last_frame($cut), 'body')), 'Premi', 'cut at the limit of characters');
	is(field(last_frame($cut), 'truncated'), 1, '... and that said');
	my $one = ask('pdf', "$fixture/two-pages.pdf", 'max_pages=1');
	is(join(' ', map { field(last_frame($one), $_) } qw(pages chars truncated)), '2 21 1', 'cut at the limit of pages');
	my $scan = ask('pdf', "$fixture/no-text.pdf");
	is(outcome($scan) . '/' . field(last_frame($scan), 'chars'), '0/0', 'a scan has no text and is no error');
	my $locked = ask('pdf', "$fixture/encrypted.pdf");
	is(outcome($locked), 11, 'a password is needed');
	my $html = ask('pdf', "$fixture/merge.html");
	is(outcome($html), 10, 'a page is no PDF');
	like(detail($html), qr/no PDF header/, '... and that said');
	is(outcome(ask('pdf', write_file('empty', ''))), 10, 'an empty file is no PDF');

	my $kids = '3 0 R ' x 25;
	my $long = ask('pdf', write_file('long.pdf', pdf('<</Type/Catalog/Pages 2 0 R>>',
		"<</Type/Pages/Kids[$kids]/Count 25>>", '<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>')));
	is_deeply([ map { field($_, 'done') . '/' . field($_, 'total') } grep { $_->[0] eq 'PROGRESS' } @$long ],
		[ '10/25', '20/25' ], 'progress');
};

subtest 'sitemaps' => sub {
	my $site = 'http://site.example/';
	my $map = ask('sitemap', "$fixture/sitemap.xml", $site);
	is_deeply(urls($map), [ "${site}a?x=1&y=2", "${site}b" ], 'a sitemap: once each, own host, no images');
	is(field($map->[0], 'last_modified'), '2024-05-02', 'when it changed');
	my $index = ask('sitemap', "$fixture/index.xml", $site);
	is_deeply([ map { field($_, 'link_kind') . field($_, 'url') } grep { $_->[0] eq 'LINK' } @$index ],
		[ "1${site}one.xml", "1${site}two.xml" ], 'an index');
	is_deeply(urls(ask('sitemap', "$fixture/rss.xml", $site)), ["${site}one"], 'RSS');
	is_deeply(urls(ask('sitemap', "$fixture/atom.xml", $site)), ["${site}two"], 'Atom');
	my $text = write_file('map.txt', "\xef\xbb\xbf${site}one\r\n\n${site}two\nhttp://other.example/\nwhat?\n");
	is_deeply(urls(ask('sitemap', $text, $site)), [ "${site}one", "${site}two" ], 'a list');
	my $broken = ask('sitemap', write_file('broken.xml', "<urlset><url><loc>${site}a</loc></url><url><loc>"), $site);
	is(outcome($broken) . field(last_frame($broken), 'truncated') . urls($broken)->[0], "01${site}a",
		'what comes before a break counts');
	my $secret = write_file('secret.txt', "${site}secret");
	my $entity = ask('sitemap', write_file('entity.xml',
		"<!DOCTYPE u [<!ENTITY e SYSTEM 'file://$secret'>]><urlset><url><loc>&e;</loc></url></urlset>"), $site);
	is(outcome($entity), 10, 'no document type declaration');
	is_deeply(urls($entity), [], '... and no entity');
	my $laughs = join '', map { my $n = $_ - 1; "<!ENTITY e$_ '" . "&e$n;" x 10 . "'>" } 1 .. 30;
	is(outcome(ask('sitemap', write_file('laughs.xml',
		"<!DOCTYPE u [<!ENTITY e0 'ha'>$laughs]><urlset><url><loc>&e30;</loc></url></urlset>"), $site)), 10,
		'no laughs');
	is(outcome(ask('sitemap', write_file('page.xml', '<html><body/></html>'), $site)), 10, 'a page is no sitemap');
	is(outcome(ask('sitemap', write_file('gz', "\x1f\x8b\x08junk"), $site)), 10, 'rubbish is no sitemap');
};

subtest 'JSON' => sub {
	my %document = (
		'good' => '{"a": "x", "data": {"plaintext": "cXV4", "n": 5, "t": true, "f": false, "nil": null, "list": ["p"], "r": 2.5}, "d": "\u00e9\n"}',
		'array' => '[1]', 'string' => '"a"', 'cut' => '{"a": "x"', 'more' => '{"a": "x"} {"a": "y"}',
		'empty' => '', 'bytes' => "{\"a\": \"\xff\"}", 'nul' => '{"a": "\u0000"}', 'deep' => '{"a":' x 3000 . '1' . '}' x 3000,
		'long' => '{"a": "' . 'x' x 50_000 . '"}', 'large' => '{"b": "' . 'x' x 5_000_000 . '", "a": "x"}');
	my %path = map { $_ => write_file("json.$_", $document{$_}) } keys %document;
	my $members = sub {
		my (undef, @fields) = @{ last_frame($_[0]) };
		return { map { $_->[1] } grep { $_->[0] =~ /^(name|value)$/ } @fields };
	};
	my $good = ask('json', $path{good}, map { "name=$_" } qw(a data.plaintext data.n data.t data.f data.nil data.list data data.r data.none b a.b d));

	is(outcome($good), 0, 'JSON');
	is_deeply($members->($good), { a => 'x', 'data.plaintext' => 'cXV4', 'data.n' => 5, 'data.t' => 'true', 'data.f' => 'false', 'data.r' => 2.5, d => "\xc3\xa9\n" },
		'strings, numbers and booleans at their paths');
	my ($answers) = serve(map { [ 'json', $path{$_}, 'name=a' ] } qw(array string cut more empty bytes nul deep long large));
	is(join(' ', map { outcome($_) } @$answers), '0 10 10 10 10 10 10 10 6 0', 'what is not JSON, or has a value that is too long');
	is_deeply($members->($answers->[$_]), {}, 'no member') foreach 0 .. 8;
	is($members->($answers->[9])->{a}, 'x', 'a long value that nobody asked for');
	($answers) = serve(map { [ 'json', $path{good}, @$_ ] } [], [ map { "name=$_" } 1 .. 17 ], [ 'name=' . 'x' x 101 ]);
	is(join(' ', map { outcome($_) } @$answers), '13 13 13', 'no paths, too many, too long a one');
};

subtest 'bad requests' => sub {
	my ($answers, $exit) = serve(
		[ 'html', "$fixture/merge.html", 'ftp://site.example/' ],
		[ 'html', "$fixture/merge.html", $base, 'unsealed' ],
		[ 'html', "$fixture/merge.html", $base, 'cpu_ms=0' ],
		[ 'html', "$fixture/merge.html", 'http://h/' . 'x' x 2000 ],
		[ 'pdf', "$fixture/two-pages.pdf", 'max_pages=0' ],
		[ 'pdf', "$fixture/two-pages.pdf" ]);
	is_deeply([ map { outcome($_) } @$answers ], [ 13, 13, 13, 13, 13, 0 ], 'each is answered, the next is served');
	like(detail($answers->[1]), qr/not sealed/, 'a body that could still change is refused');
	is(field($exit, 'status'), 0, 'the helper ends in peace');
};

# One helper must live through all of these and still serve the last request.
subtest 'hostile documents' => sub {
	# so long a wall clock that the processor's time runs out first on a busy machine, too
	my @limits = ('cpu_ms=1000', 'wall_ms=15000');
	my $deflated = compress(' ' x (64 << 20), 9);
	my $blanks = pdf('<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Kids[3 0 R]/Count 1>>',
		'<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>', stream($deflated, '/Filter/FlateDecode'));
	my $tiny = read_file("$fixture/two-pages.pdf");
	my @documents = (
		[ 'pdf', 'loop.pdf', loop_pdf(), qr/^7$/ ],
		[ 'pdf', 'blanks.pdf', $blanks, qr/^[07]$/ ],
		[ 'pdf', 'self.pdf', pdf('<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9>>'), qr/^(0|10|12)$/ ],
		[ 'pdf', 'nested.pdf', pdf('<</Type/Catalog/Pages 2 0 R/X ' . '[' x 100000 . ']' x 100000 . '>>',
			'<</Type/Pages/Kids[]/Count 0>>'), qr/^(10|12)$/ ],
		[ 'pdf', 'count.pdf', pdf('<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Kids[]/Count 2000000000>>'), qr/^(0|7|10|12)$/ ],
		(map { [ 'pdf', "cut$_.pdf", substr($tiny, 0, $_ * 100), qr/^(0|10)$/ ] } 1 .. 9),
		[ 'html', 'deep.html', '<div>' x 100000, qr/^(0|7|12)$/ ],
		[ 'html', 'deepb.html', '<b>' x 100000, qr/^(0|7|12)$/ ],
		[ 'html', 'font.html', '<a><p>' x 20000, qr/^(0|7)$/ ],
		[ 'html', 'table.html', '<table><tr><td>' x 3000, qr/^(0|7)$/ ],
		[ 'html', 'attribute.html', '<a href="' . 'a' x 4000000 . '">x<a href="/ok">', qr/^0$/ ],
		[ 'html', 'open.html', '<a href="/x"><title>' . 'y' x 1000000, qr/^0$/ ],
		[ 'html', 'json.html', '<script type="application/ld+json">' . '[' x 500000 . '</script>', qr/^0$/ ],
		[ 'html', 'jsons.html', '<script type="application/ld+json">{"@type":"Product","name":"x"}</script>' x 5000, qr/^0$/ ],
		[ 'html', 'items.html', '<div id=a itemscope itemtype=Product itemref="a b"><i id=b itemprop=offers itemscope itemref="b a">'
			. '<b itemscope itemprop=offers itemtype=Product itemref="a b">' x 2000, qr/^[07]$/ ],
		[ 'html', 'zero.html', "\0" x 1000000, qr/^0$/ ],
		[ 'sitemap', 'deep.xml', '<urlset>' . '<a>' x 100000, qr/^(0|10)$/ ],
		[ 'sitemap', 'text.xml', '<urlset><url><loc>' . 'x' x 12000000, qr/^(0|10)$/ ]);
	my @commands = map { my ($kind, $name, $bytes) = @$_;
		[ $kind, write_file($name, $bytes), $kind eq 'pdf' ? () : $base, @limits ] } @documents;
	my $start = time;
	my ($answers, $exit) = serve(@commands, [ 'pdf', "$fixture/two-pages.pdf" ]);
	is(scalar @$answers, @documents + 1, 'one last answer each');
	like(outcome($answers->[$_]), $documents[$_][3], "$documents[$_][1]: " . detail($answers->[$_])) for 0 .. $#documents;
	is(outcome($answers->[-1]), 0, 'the helper serves on');
	is(field($exit, 'status'), 0, '... and ends in peace');
	like(detail($answers->[0]), qr/more than 1\.0 s of processor time/, 'a limit is explained');
	cmp_ok(time - $start, '<', 15.5 * @documents, 'in bounded time');

	my $wall = ask('pdf', "$dir/loop.pdf", 'cpu_ms=60000', 'wall_ms=500');
	is(outcome($wall), 7, 'the wall clock');
	like(detail($wall), qr/more than 0\.5 s to parse/, '... is explained');
	my $small = ask('html', write_file('big.html', '<p>x' x 500000), $base, 'memory=157286400', @limits);
	is(outcome($small), 12, 'the limit of memory: ' . detail($small));
};

# Start a helper on a document that loops, then one that does not; returns the
# running client, its helper and the child, and the file of its answers.
sub start_looping
{
	my $commands = write_file('commands',
		"pdf\t$dir/loop.pdf\tcpu_ms=20000\twall_ms=20000\npdf\t$fixture/two-pages.pdf\n");
	my $answers = "$dir/answers";
	my $harness = start([ $client, $dir, $parser ], '<', $commands, '>', $answers, '2>', '/dev/null', timeout(30));
	my $top = $harness->{KIDS}[0]{PID};
	my $zygote = wait_for(sub { (children($top))[0] });
	my $child = wait_for(sub { (children($zygote))[0] });
	return ($harness, $top, $zygote, $child, $answers);
}

# Do none of these processes run (a zombie does not)?
sub all_gone
{
	my @pids = @_;
	return wait_for(sub { !grep { -e "/proc/$_/stat" && read_file("/proc/$_/stat") !~ /\) Z/ } @pids });
}

subtest 'deaths' => sub {
	my ($harness, $top, $zygote, $child, $file) = start_looping();
	ok($child, 'a child is at work') or return;
	kill 'KILL', $child;
	finish $harness;
	my ($answers) = requests(read_file($file));
	is(outcome($answers->[0]), 12, 'a killed child is an answer');
	like(detail($answers->[0]), qr/killed by signal 9/, '... that says so');
	is(outcome($answers->[1]), 0, 'and the next request is served');

	($harness, $top, $zygote, $child) = start_looping();
	kill 'KILL', $zygote;
	ok(all_gone($zygote, $child), 'a dead helper leaves no child');
	finish $harness;

	($harness, $top, $zygote, $child) = start_looping();
	kill 'KILL', $top;
	ok(all_gone($zygote, $child), 'a dead worker leaves neither');
	eval { finish $harness };
};

subtest 'speed' => sub {
	my $count = 200;
	my $commands = "pdf\t$fixture/two-pages.pdf\n" x $count;
	my $start = time;
	run([ $client, $dir, $parser ], \$commands, \my $out, timeout(60));
	my $ms = (time - $start) * 1000 / $count;
	note(sprintf('%.1f ms a small PDF', $ms));
	is(scalar(() = $out =~ /^PARSED\toutcome=0/mg), $count, "$count PDFs");
	cmp_ok($ms, '<', 50, 'no slower than starting a program each time');
};

# Files below a folder of the shared data.
sub files
{
	my ($folder, $pattern) = @_;
	my @found;
	find({ no_chdir => 1, wanted => sub { push @found, $_ if -f && /$pattern/ } }, "$data/$folder");
	return sort @found;
}

# Serve many documents; check that each gets one last answer; count outcomes.
sub serve_all
{
	my ($what, @commands) = @_;
	my $start = time;
	my ($answers, $exit) = serve(@commands);
	my %count;
	$count{ outcome($_) // $_->[-1][0] }++ for @$answers;
	diag(sprintf('%s: %d documents, %.1f s, by outcome: %s', $what, scalar @commands, time - $start,
			join ', ', map { "$_: $count{$_}" } sort keys %count));
	is(scalar @$answers, @commands, "$what: one last answer each");
	is(field($exit, 'status'), 0, "$what: the helper lives");
	return @$answers;
}

SKIP:
{
	skip 'no ../shared/data', 1 unless -d "$data/pdf";
	subtest 'real documents' => sub {
		my @limits = ('cpu_ms=2000', 'wall_ms=4000');
		my @pdfs = files('pdf', qr/\.pdf$/i);
		my @answers = serve_all('PDFs', map { [ 'pdf', $_, @limits ] } @pdfs);
		cmp_ok(scalar(grep { outcome($_) == 0 } @answers), '>=', 0.9 * @pdfs, 'PDFs: nearly all are read');
		is_deeply([ map { detail($_) } grep { outcome($_) == 12 } @answers ], [], 'PDFs: no crash');

		# writing them takes a minute: gigabytes go into the compressor
		if ($ENV{PADLOCK_TEST_BOMBS})
		{
			mkdir "$dir/bombs";
			run([ 'python3', "$data/pdf/bombs.py", "$dir/bombs" ], '>', '/dev/null', timeout(300));
			serve_all('bombs', map { [ 'pdf', $_, 'cpu_ms=1000', 'wall_ms=2000' ] } glob "$dir/bombs/*.pdf");
		}

		my @pages = files('html', qr/\.html$/);
		my @html = serve_all('pages', map { [ 'html', $_, 'http://www.example.com/dir/page', @limits ] } @pages);
		is_deeply([ grep { outcome($_) != 0 } @html ], [], 'pages: all are read');
		my %found = map { $pages[$_] =~ s{.*/}{}r => products($html[$_]) } 0 .. $#pages;
		is($found{'product.html'}[0]{premium_amount}[0], 'microdata: 119.99', 'the anvil has its price');
		is($found{'product.html'}[0]{company_name}[0], 'microdata: ACME', '... and its maker');
		is($found{'product_microdata.html'}[0]{product_code}[0], 'microdata: 925872', '... and its code');
		is($found{'opengraph_ns_product_test.html'}[0]{currency}[0], 'microdata: USD', 'a shop page');

		my @maps = files('sitemaps/sitemaps', qr/\.(xml|txt|gz)$/);
		serve_all('sitemaps', map { [ 'sitemap', $_, 'http://www.example.com/', @limits ] } @maps);
	};

	subtest 'web platform tests' => sub {
		my @cases = grep { ref && ($_->{base} // '') =~ m{^http://[^\s@]+$} && ($_->{failure} || $_->{href} =~ m{^https?://[^@]*$}) }
		  @{ JSON::PP->new->utf8->decode(read_file("$data/url/urltestdata.json")) };
		my @lines = map { my $input = $_->{input}; utf8::encode($input);
			$input =~ s/\\/\\\\/g; $input =~ s/\t/\\t/g; $input =~ s/\n/\\n/g; "$_->{base}\t$input\n" } @cases;
		# RFC 3986 differs on purpose: a scheme without slashes, an empty
		# authority; numbers as hosts are for the fetcher to judge
		my @keep = grep {
			$lines[$_] !~ /[\0\r]/ && $cases[$_]{input} !~ m{^\s*(https?:(?!//)|[/\\]{3})}i
			  && $cases[$_]{input} !~ m{^http://[\d.%]*[^a-z/]*$|^http://(0x|%30|０)}i
		} 0 .. $#cases;
		my $in = join '', @lines[@keep];
		run([ '.build/parse_probe', 'url' ], \$in, \my $out, timeout(20));
		my @out = split /\n/, $out;
		my $agree = 0;
		for (0 .. $#keep)
		{
			my $case = $cases[ $keep[$_] ];
			my $expected = $case->{failure} ? '-' : $case->{href} =~ s/#.*//sr;
			utf8::encode($expected);
			if ($out[$_] eq $expected) { $agree++ }
			else { note("$lines[$keep[$_]]  expected $expected\n  got      $out[$_]") }
		}
		diag("URLs: $agree of " . @keep . ' as the WHATWG standard has them');
		cmp_ok($agree, '>=', 0.95 * @keep, 'most references resolve as in browsers');
	};
}

done_testing();
