# SmtpServer: a mail server on loopback that does what a test says.
#
#   my $server = SmtpServer->new($dir, %option);
#
# Options: cert and key (files: STARTTLS is offered), implicit (TLS from the
# start), user and password (AUTH PLAIN and LOGIN are offered and asked for),
# reply => { STAGE => 'TEXT' } (what is answered there instead; stages are
# greeting, ehlo, starttls, auth, mail, rcpt, data, message, quit), hang =>
# STAGE (no answer there until the client leaves).
#
# Every message is one JSON object a line in the server's file: from, to,
# data, tls, user.  Every command is a line of another file.

package SmtpServer;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use MIME::Base64 qw(decode_base64);

my @servers;
my $parent = $$;

sub new
{
	my ($class, $dir, %option) = @_;
	my $number = @servers;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 20, ReuseAddr => 1)
	  or die "cannot listen: $!";
	my $self = bless { %option, port => $listen->sockport, messages => "$dir/smtp$number.messages",
		commands => "$dir/smtp$number.commands" }, $class;
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		@servers = ();
		$SIG{TERM} = 'DEFAULT';
		$SIG{CHLD} = 'IGNORE';
		$SIG{PIPE} = 'IGNORE';
		my $ready = IO::Select->new($listen);
		# until stop(), or until the test is gone without one: it was killed
		while (getppid() == $parent)
		{
			next unless $ready->can_read(0.5);
			my $client = $listen->accept or next;
			my $child = fork();

			if (defined $child && $child == 0)
			{
				$SIG{ALRM} = 'DEFAULT';
				alarm 60;       # a client that stays does not keep it
				$self->serve($client);
				require POSIX;
				POSIX::_exit(0);
			}
			close $client;
		}
		require POSIX;
		POSIX::_exit(0);
	}
	close $listen;
	$self->{pid} = $pid;
	push @servers, $self;
	return $self;
}

sub stop
{
	my ($self) = @_;

	return unless $self->{pid};
	kill 'KILL', $self->{pid};
	waitpid($self->{pid}, 0);
	$self->{pid} = 0;
	return;
}

END
{
	if ($$ == $parent)
	{
		my $status = $?;

		$_->stop foreach @servers;
		$? = $status;
	}
}

sub read_lines
{
	my ($file) = @_;

	open(my $in, '<', $file) or return ();
	chomp(my @lines = <$in>);
	close $in;
	return @lines;
}

# What has arrived so far, as hashes; and what clients have said.
sub messages { return map { JSON::PP->new->latin1->decode($_) } read_lines($_[0]{messages}); }
sub commands { return read_lines($_[0]{commands}); }

sub note_line
{
	my ($file, $line) = @_;

	open(my $out, '>>', $file) or die "$file: $!";
	syswrite($out, "$line\n");
	close $out;
	return;
}

# Answer a stage: as told, or with the text given.  False when it hangs.
sub answer
{
	my ($self, $stage, $text) = @_;
	my $reply = $self->{reply}{$stage} // $text;

	if (($self->{hang} // '') eq $stage)
	{
		sleep 1 while $self->{socket}->connected && sysread($self->{socket}, my $ignored, 1);
		return 0;
	}
	$reply =~ s/\n/\r\n/g;
	print { $self->{socket} } "$reply\r\n";
	$self->{socket}->flush;
	return $reply =~ /^[23]/;
}

sub next_line
{
	my ($self) = @_;
	my $line = readline $self->{socket};

	return undef unless defined $line;
	$line =~ s/\r?\n\z//;
	return $line;
}

sub start_tls
{
	my ($self) = @_;

	$self->{socket} = IO::Socket::SSL->start_SSL($self->{socket}, SSL_server => 1,
		SSL_cert_file => $self->{cert}, SSL_key_file => $self->{key}) or return 0;
	$self->{tls} = 1;
	return 1;
}

sub extensions
{
	my ($self) = @_;
	my @lines = ('test.example', 'SIZE 10000000', '8BITMIME');

	push @lines, 'STARTTLS' if $self->{cert} && !$self->{tls};
	push @lines, 'AUTH PLAIN LOGIN' if defined $self->{user};
	return join("\n", (map { "250-$_" } @lines), '250 HELP');
}

# AUTH with PLAIN, its answer in the command or after a challenge, or LOGIN.
sub authenticate
{
	my ($self, $method, $initial) = @_;
	my ($user, $password);

	if (uc $method eq 'PLAIN')
	{
		$self->answer('challenge', '334 ') unless length $initial;
		(undef, $user, $password) = split(/\0/, decode_base64(length $initial ? $initial : $self->next_line));
	}
	else
	{
		$self->answer('challenge', '334 VXNlcm5hbWU6') unless length $initial;
		$user = decode_base64(length $initial ? $initial : $self->next_line);
		$self->answer('challenge', '334 UGFzc3dvcmQ6');
		$password = decode_base64($self->next_line);
	}
	return $self->answer('auth', '535 5.7.8 authentication failed')
	  if $user ne $self->{user} || $password ne $self->{password};
	$self->{done_as} = $user;
	return $self->answer('auth', '235 2.7.0 welcome');
}

sub take_message
{
	my ($self, $from, $to) = @_;
	my $data = '';

	return unless $self->answer('data', '354 go on');
	while (defined(my $line = readline $self->{socket}))
	{
		if ($line eq ".\r\n")
		{
			note_line($self->{messages}, JSON::PP->new->latin1->canonical->encode(
				{ from => $from, to => $to, data => $data, tls => $self->{tls} // 0, user => $self->{done_as} }))
			  if ($self->{reply}{message} // '250') =~ /^2/;
			$self->answer('message', '250 2.0.0 taken');
			return;
		}
		$line =~ s/^\.//;
		$data .= $line;
	}
	return;
}

# One client from greeting to end.
sub serve
{
	my ($self, $client) = @_;
	my ($from, $to);

	$self->{socket} = $client;
	return if $self->{implicit} && !$self->start_tls;
	return unless $self->answer('greeting', '220 test.example ESMTP');
	while (defined(my $line = $self->next_line))
	{
		note_line($self->{commands}, $line);
		if ($line =~ /^EHLO /i) { $self->answer('ehlo', $self->extensions); }
		elsif ($line =~ /^HELO /i) { $self->answer('ehlo', '250 test.example'); }
		elsif ($line =~ /^STARTTLS$/i) { return if $self->answer('starttls', '220 go on') && !$self->start_tls; }
		elsif ($line =~ /^AUTH (\S+) ?(\S*)$/i) { $self->authenticate($1, $2); }
		elsif ($line =~ /^MAIL FROM:<(.*?)>/i)
		{
			$from = $1;
			$self->answer('mail', defined $self->{user} && !defined $self->{done_as} ? '530 5.7.0 who are you?' : '250 2.1.0 fine');
		}
		elsif ($line =~ /^RCPT TO:<(.*?)>/i) { $to = $1; $self->answer('rcpt', '250 2.1.5 fine'); }
		elsif ($line =~ /^DATA$/i) { $self->take_message($from, $to); }
		elsif ($line =~ /^QUIT$/i) { $self->answer('quit', '221 bye'); last; }
		else { $self->answer('other', '502 5.5.1 what?'); }
	}
	close $self->{socket};
	return;
}

1;
