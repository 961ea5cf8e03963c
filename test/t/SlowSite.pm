# SlowSite: a loopback web server whose answers take as long as the test says.
#
#   /wait/SECONDS/file.pdf   the fixture policy PDF after that many seconds
#   /wait/SECONDS/page.html  a page with one product after that many seconds
#   anything else            404
#
# One process a connection, core Perl.

package SlowSite;

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Utils;

my @pids;

my $page = <<'HTML';
<!DOCTYPE html><html><head><title>Slow Dental</title>
<script type="application/ld+json">{"@context": "https://schema.org", "@type": "Product",
"name": "Slow Dental", "sku": "SLOW-1", "category": "Dental insurance",
"offers": {"@type": "Offer", "price": "12.50", "priceCurrency": "GBP"}}</script>
</head><body><h1>Slow Dental</h1></body></html>
HTML

sub answer
{
	my ($client, $pdf) = @_;
	my $request = '';

	while (defined(my $line = <$client>))
	{
		$request = $line if $request eq '';
		last if $line =~ /^\r?\n$/;
	}
	my ($seconds, $name) = $request =~ m{^GET /wait/(\d+)/(file\.pdf|page\.html)};
	my ($status, $type, $body) = ('404 Not Found', 'text/plain', 'no');
	if (defined $name)
	{
		sleep($seconds);
		($status, $type, $body) = ('200 OK', $name eq 'file.pdf'
			? ('application/pdf', $pdf) : ('text/html', $page));
	}
	print $client "HTTP/1.1 $status\r\nContent-Type: $type\r\nContent-Length: "
	  . length($body) . "\r\nConnection: close\r\n\r\n$body";
	close $client;
	return;
}

# Start the server; returns its URL without a slash at the end.
sub start
{
	my $source = $ENV{PADLOCK_SOURCE} // '.';
	my $pdf = slurp_file("$source/test/fixtures/insurer/documents/home-policy-wording.pdf");
	my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20, ReuseAddr => 1)
	  or die "could not listen: $!";
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		$SIG{CHLD} = 'IGNORE';
		$SIG{TERM} = sub { POSIX::_exit(0) };
		while (my $client = $server->accept)
		{
			my $child = fork();
			if (defined $child && $child == 0)
			{
				answer($client, $pdf);
				POSIX::_exit(0);
			}
			close $client;
		}
		POSIX::_exit(0);
	}
	push @pids, $pid;
	return 'http://127.0.0.1:' . $server->sockport;
}

END
{
	my $status = $?;

	kill 'TERM', @pids;
	waitpid($_, 0) foreach @pids;
	$? = $status;
}

1;
