#!/usr/bin/perl
# Feed the helper programs with mutated fixtures and see that they stay up.
#
#   perl test/deep/fuzz.pl MINUTES SEED        (FUZZ_KEEP=DIR keeps what failed)
#
# Of padlock_parse every document must get exactly one PARSED answer, and no
# parsing child may crash (outcome 12) on HTML or a sitemap; on a PDF a crash
# stays in poppler's child, which is what the child is for, and is counted
# only.  Of the robots parser every path must get a verdict.  A frame that is
# no frame may end a helper, but not by a signal.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Temp qw(tempdir);

my ($minutes, $seed) = @ARGV;
die "usage: fuzz.pl MINUTES SEED\n" unless defined $seed;
my $batch = 20;
my $crashed = 12;
my $dir = tempdir('fuzzXXXXXX', TMPDIR => 1, CLEANUP => 1);
my $site = 'test/fixtures/insurer';
my %corpus = (
	html => [ glob("$site/*.html $site/products/*.html") ],
	sitemap => ["$site/sitemap.xml"],
	pdf => [ glob("$site/documents/*.pdf") ]);
my @paths = ('/', '/internal/x', '/a?b=c', '/%7Ejoe/', "/\xc3\xa9", '/' . 'x' x 500);
my %count = (documents => 0, crashes => 0, robots => 0, frames => 0, bad => 0);
my $end = time + 60 * $minutes;

srand($seed);
print "seed $seed, $minutes minutes\n";
while (time < $end && $count{bad} < 10)
{
	fuzz_documents($_) for qw(html sitemap pdf);
	fuzz_robots();
	fuzz_frames();
}
print join(', ', map { "$_: $count{$_}" } sort keys %count), "\n";
exit($count{bad} > 0);

sub slurp
{
	my ($file) = @_;

	open my $in, '<:raw', $file or die "fuzz.pl: $file: $!\n";
	local $/ = undef;
	return <$in>;
}

sub spew
{
	my ($file, $text) = @_;

	open my $out, '>:raw', $file or die "fuzz.pl: $file: $!\n";
	print {$out} $text;
	close $out;
	return $file;
}

# A text with a few pieces changed: bytes flipped, taken out, doubled, moved,
# nested deep, or replaced by what parsers trip over.
sub mutate
{
	my ($text) = @_;
	my @trip = ("\0", "\xff\xfe", "\xed\xa0\x80", '<' x 50, '{"a":' x 200, '[' x 2000, '<div>' x 2000,
		'&#x110000;', '&#0;', '-1', '99999999999999999999', '1e999', '<!--', ']]>', '<![CDATA[', '%n%s',
		'http://', "\r\n\r\n", '<table><tr><td>' x 300, '<svg><math>' x 300, '"', "'", '\\u0000', '\\ud800');

	for (1 .. 1 + int rand 6)
	{
		my $at = int rand(1 + length $text);
		my $length = int rand(rand() < 0.5 ? 4 : 200);
		my $kind = int rand 5;

		if ($kind == 0) { substr($text, $at, $length) = join '', map { chr int rand 256 } 1 .. $length }
		elsif ($kind == 1) { substr($text, $at, $length) = '' }
		elsif ($kind == 2) { substr($text, $at, 0) = substr($text, int rand(1 + length $text), $length) x (1 + int rand 20) }
		elsif ($kind == 3) { substr($text, $at, 0) = $trip[rand @trip] }
		else { $text = substr($text, 0, $at) }
	}
	return $text;
}

# Give up on a case: say what it was and keep it.
sub bad
{
	my ($what, @files) = @_;

	$count{bad}++;
	print "BAD: $what\n";
	return unless $ENV{FUZZ_KEEP};
	copy($_, "$ENV{FUZZ_KEEP}/bad$count{bad}." . s{.*/}{}r) foreach @files;
	return;
}

# Run wire_client with commands on its standard input; returns its lines.
sub client
{
	my ($program, @commands) = @_;
	my $file = spew("$dir/commands", join('', map { "$_\n" } @commands));

	return split /\n/, `.build/wire_client '$dir' '$program' < '$file' 2>'$dir/stderr'`;
}

sub fuzz_documents
{
	my ($kind) = @_;
	my $base = $kind eq 'pdf' ? '' : "\thttp://site.example/a/b.html";
	my @files = map {
		spew("$dir/$kind.$_", mutate(slurp($corpus{$kind}[ rand @{ $corpus{$kind} } ])))
	} 1 .. $batch;
	my @lines = client('src/agent/padlock_parse', map { "$kind\t$_$base" } @files);
	my @parsed = grep { /^PARSED\t/ } @lines;

	$count{documents} += @files;
	bad("$kind: " . @parsed . " answers to " . @files . ' documents, ' . ($lines[-1] // 'nothing'), @files)
	  if @parsed != @files || ($lines[-1] // '') !~ /^EXIT\tstatus=0$/;
	for my $n (0 .. $#parsed)
	{
		next unless $parsed[$n] =~ /\toutcome=$crashed(\t|$)/;
		$count{crashes}++;
		bad("$kind: the parsing child crashed: $parsed[$n]", $files[$n]) if $kind ne 'pdf';
	}
	return;
}

sub fuzz_robots
{
	my $robots = slurp("$site/robots.txt")
	  . "User-agent: padlock\nDisallow: /a*b\$\nAllow: /%7Ejoe\nCrawl-delay: 2\n" x (1 + int rand 3);

	for (1 .. $batch)
	{
		my $file = spew("$dir/robots", mutate($robots));
		my $paths = spew("$dir/paths", join('', map { "$_\n" } @paths));
		my @verdicts = `.build/fetch_check robots '$file' padlock < '$paths' 2>'$dir/stderr'`;

		$count{robots}++;
		bad("robots: status $?, " . @verdicts . ' verdicts', $file) if $? != 0 || @verdicts < @paths;
	}
	return;
}

# Frames: a sound header now and then, and anything behind it.
sub fuzz_frames
{
	for my $program (qw(src/agent/padlock_parse src/agent/padlock_fetch))
	{
		my $length = int rand 200;
		my $payload = rand() < 0.5
		  ? join('', map { chr int rand 256 } 1 .. $length)
		  : join('', map { pack('vvV', int rand 40, 0, int rand 12) . 'x' x int rand 12 } 1 .. int rand 12);
		my $header = pack('VvvA16V', 0x4b4c4450, 1, (16, 17, 18, 19, 48, 0)[ rand 6 ], 'job',
			rand() < 0.8 ? length $payload : int rand 70000);
		my @lines = client($program, "raw\t" . unpack('H*', $header . $payload));

		$count{frames}++;
		bad("frame to $program: " . ($lines[-1] // 'nothing') . ': ' . unpack('H*', $header . $payload))
		  if ($lines[-1] // '') !~ /^EXIT\tstatus=\d+$/;
	}
	return;
}
