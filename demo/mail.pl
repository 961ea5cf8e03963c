#!/usr/bin/perl
# A mail server for the demo: core Perl, loopback only, one client at a time.
#
#   demo/mail.pl --folder DIR --port-file FILE
#
# Takes every message; the first becomes DIR/1.eml, the next DIR/2.eml.  The
# port is a free one; it is written to the port file.

use strict;
use warnings;

use Getopt::Long;
use IO::Socket::INET;

my ($folder, $port_file);
GetOptions('folder=s' => \$folder, 'port-file=s' => \$port_file)
  && defined $folder && defined $port_file
  or die "usage: mail.pl --folder DIR --port-file FILE\n";

my $server = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1')
  or die "mail.pl: cannot listen: $!\n";
my $number = 0;

write_whole($port_file, $server->sockport . "\n");
while (1)
{
	my $client = $server->accept or next;

	# a client that stalls must not keep the others out
	eval {
		local $SIG{ALRM} = sub { die "too slow\n" };
		local $SIG{PIPE} = 'IGNORE';
		alarm 20;
		serve($client);
	};
	alarm 0;
	close $client;
}

# A file that appears whole or not at all.
sub write_whole
{
	my ($name, $text) = @_;

	open my $out, '>', "$name.new" or die "mail.pl: $name: $!\n";
	print $out $text;
	close $out;
	rename "$name.new", $name or die "mail.pl: $name: $!\n";
	return;
}

sub serve
{
	my ($client) = @_;
	my %answer = (EHLO => '250 demo.example', HELO => '250 demo.example', DATA => '354 go on',
		QUIT => '221 goodbye');

	print $client "220 demo.example ESMTP\r\n";
	while (defined(my $line = <$client>))
	{
		my ($verb) = $line =~ /^([A-Za-z]*)/;

		$verb = uc $verb;
		print $client $answer{$verb} // '250 fine', "\r\n";
		take_message($client) if $verb eq 'DATA';
		last if $verb eq 'QUIT';
	}
	return;
}

# A message up to the line with only a dot; other lines lose their first one.
sub take_message
{
	my ($client) = @_;
	my $message = '';

	while (defined(my $line = <$client>))
	{
		if ($line eq ".\r\n")
		{
			$number++;
			write_whole("$folder/$number.eml", $message);
			print $client "250 taken\r\n";
			return;
		}
		$line =~ s/^\.//;
		$message .= $line;
	}
	return;
}
