#!/usr/bin/perl
# Run TAP tests and count assertions.
#
#   perl test/tap.pl [--jobs N] --counts FILE TEST...
#
# A .sql file is a pgTAP test for the database of PGDATABASE.  Adds a line
# `PASSED FAILED` to FILE.  A test that dies, has a wrong plan or runs nothing
# counts as one failed test even when no assertion of it failed.

use strict;
use warnings;

use Getopt::Long;
use TAP::Harness;

my ($jobs, $counts) = (1);
GetOptions('jobs=i' => \$jobs, 'counts=s' => \$counts) && defined $counts
  or die "usage: tap.pl [--jobs N] --counts FILE TEST...\n";

my $harness = TAP::Harness->new({
	jobs => $jobs, timer => 1, color => 0, failures => 1,
	sources => { Perl => {}, pgTAP => { suffix => '.sql' } } });
my $total = $harness->runtests(@ARGV);
my ($passed, $failed) = (scalar $total->passed, scalar $total->failed);

foreach my $parser ($total->parsers(@ARGV))
{
	$failed++ if $parser->has_problems && !$parser->failed;
}
open my $out, '>>', $counts or die "tap.pl: $counts: $!\n";
print $out "$passed $failed\n";
close $out;
exit($failed > 0);
