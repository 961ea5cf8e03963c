#!/usr/bin/perl
# Run TAP tests and count assertions.
#
#   perl test/tap.pl [--jobs N] --counts FILE TEST...
#
# A .sql file is a pgTAP test for the database of PGDATABASE.  Adds a line
# `PASSED FAILED` to FILE, then the names of the tests with problems.  A test that dies, has a wrong plan or runs nothing
# counts as one failed test even when no assertion of it failed; one that bails
# out ends the run.

use strict;
use warnings;

use Getopt::Long;
use TAP::Harness;
use TAP::Parser::Aggregator;

my ($jobs, $counts) = (1);
GetOptions('jobs=i' => \$jobs, 'counts=s' => \$counts) && defined $counts
  or die "usage: tap.pl [--jobs N] --counts FILE TEST...\n";

my $harness = TAP::Harness->new({
	jobs => $jobs, timer => 1, color => 0, failures => 1,
	sources => { Perl => {}, pgTAP => { suffix => '.sql' } } });
my $total = TAP::Parser::Aggregator->new;
my ($passed, $failed, @problem);

$total->start;
eval { $harness->aggregate_tests($total, @ARGV); 1 } or print "stopped: $@";
my $bailed_out = $@ ? 1 : 0;
$total->stop;
$harness->summary($total);
($passed, $failed) = (scalar $total->passed, $total->failed + $bailed_out);
foreach my $name ($total->descriptions)
{
	my ($parser) = $total->parsers($name);

	next unless $parser->has_problems;
	push @problem, $name;
	$failed++ unless $parser->failed;
}
open my $out, '>>', $counts or die "tap.pl: $counts: $!\n";
print $out "$passed $failed\n", map { "$_\n" } @problem;
close $out;
exit($failed > 0);
