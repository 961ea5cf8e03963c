# PadlockTest: what padlock's TAP tests share.
#
# A cluster that uses the padlock of $PADLOCK_DESTDIR (a DESTDIR of `make
# install`; the system's own when empty), calls made exactly as a gateway
# makes them, and a few ways to look at the answer.  test/run sets the
# environment: PADLOCK_DESTDIR, PADLOCK_SOURCE (the built tree), PG_REGRESS,
# PERL5LIB and PATH.

package PadlockTest;

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use Exporter 'import';
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(new_cluster padlock_conf start_site stop_site gateway rpc
  become claims sql_literal wait_for fill api_key one_time_token table_sums schema_dump is_text
  crc32c memory_of);

my $json = JSON::PP->new->canonical->utf8(0);

# The settings that make a server find the padlock under test.
sub padlock_conf
{
	my $destdir = $ENV{PADLOCK_DESTDIR} // '';

	return '' if $destdir eq '';
	chomp(my $pkglibdir = `pg_config --pkglibdir`);
	return "extension_destdir = '$destdir'\n"
	  . "dynamic_library_path = '$destdir$pkglibdir:\$libdir'\n";
}

# A running cluster.  Options: preload (default 'padlock'; '' for none),
# conf (more lines for postgresql.conf), extension (1: CREATE EXTENSION padlock
# in database postgres, the default), start (1), workers (0: tests drive the
# queue by hand; a number of background workers otherwise).
sub new_cluster
{
	my ($name, %option) = @_;
	my $preload = $option{preload} // 'padlock';
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', padlock_conf());
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = '$preload'\n");
	$node->append_conf('postgresql.conf',
		'padlock.worker_count = ' . ($option{workers} // 0) . "\n");
	$node->append_conf('postgresql.conf', $option{conf}) if $option{conf};
	return $node unless $option{start} // 1;

	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION padlock')
	  if $option{extension} // ($preload =~ /padlock/);
	return $node;
}

# A text as an SQL literal that is the same under every setting.
sub sql_literal
{
	my ($text) = @_;

	return 'NULL' unless defined $text;
	$text =~ s/'/''/g;
	return "'$text'" unless $text =~ /\\/;
	$text =~ s/\\/\\\\/g;
	return " E'$text'";
}

# The claims of a signed-in user.
sub claims
{
	my ($user, %more) = @_;

	return { role => 'authenticated', sub => $user, %more };
}

# The statements with which a gateway opens a transaction for a caller.  %who:
# role (default anon, or authenticated when claims has a sub), user (short for
# claims), claims, headers, key (x-api-key), method (POST), path (/).
sub become
{
	my (%who) = @_;
	my $claims = $who{claims} // ($who{user} ? claims($who{user}) : undef);
	my $role = $who{role} // ($claims && $claims->{sub} ? 'authenticated' : 'anon');
	my %headers = %{ $who{headers} // {} };
	my %setting;

	$claims //= { role => $role };
	$headers{'x-api-key'} = $who{key} if defined $who{key};
	%setting = (
		'request.jwt.claims' => $json->encode($claims),
		'request.headers' => $json->encode(\%headers),
		'request.method' => $who{method} // 'POST',
		'request.path' => $who{path} // '/');
	return join('',
		"BEGIN;\n",
		"SET LOCAL ROLE $role;\n",
		map { "SELECT pg_catalog.set_config('$_', " . sql_literal($setting{$_}) . ", true) \\gset ignored_\n" }
		  sort keys %setting);
}

# Run SQL in a transaction as a caller; see become() for %who, which may also
# name the db.  Returns { ok, out, err, status }: status is the HTTP status
# that the gateway would answer with.
sub gateway
{
	my ($node, $who, $sql) = @_;
	my ($out, $err) = ('', '');
	my $rc = $node->psql(
		$who->{db} // 'postgres',
		become(%$who) . $sql . ";\n"
		  . "\\echo\nSELECT 'status ' || coalesce(nullif(current_setting('response.status', true), ''), '200');\nCOMMIT;\n",
		stdout => \$out, stderr => \$err,
		on_error_stop => 1, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	my %answer = (ok => ($rc == 0), out => $out, err => $err, status => 0);

	if ($rc == 0 && $out =~ s/\n*status (\d+)\s*\z//)
	{
		$answer{status} = $1;
	}
	elsif ($err =~ /ERROR:\s+PGRST: .*?\nDETAIL:\s+(\{.*\})/)
	{
		$answer{status} = $json->decode($1)->{status};
	}
	$answer{out} = $out;
	$answer{out} =~ s/\n+\z//;
	return \%answer;
}

# Call an endpoint with a JSON body (a reference, or a text taken as it is).
# Returns { status, body, headers, err }: body is the decoded answer, of a
# failure too: { code, message, details, hint }.
sub rpc
{
	my ($node, $who, $function, $body) = @_;
	my $text = ref $body ? $json->encode($body) : $body;
	my $call = defined $text ? "$function(" . sql_literal($text) . '::jsonb)' : "$function()";
	my $answer = gateway($node, { path => "/rpc/$function", %$who }, "SELECT $call");
	my %result = (status => $answer->{status}, err => $answer->{err}, headers => {});

	if ($answer->{ok})
	{
		$result{body} = eval { $json->decode($answer->{out}) } // $answer->{out};
	}
	elsif ($answer->{err} =~ /ERROR:\s+PGRST: (\{.*\})\nDETAIL:\s+(\{.*\})/)
	{
		$result{body} = $json->decode($1);
		$result{headers} = $json->decode($2)->{headers};
	}
	return \%result;
}

# Wait until a query answers with the expected text (default t); false after
# `seconds` (default 60).
sub wait_for
{
	my ($node, $db, $query, $expected, $seconds) = @_;
	my $end = time() + ($seconds // 60);

	while (time() < $end)
	{
		my ($rc, $out) = $node->psql($db, $query);
		return 1 if $rc == 0 && $out eq ($expected // 't');
		sleep(0.1);
	}
	return 0;
}

# Every ordinary table of the given schemas (default public and padlock) with
# its number of rows and a checksum of their contents, one a line.
sub table_sums
{
	my ($node, $db, @schemas) = @_;
	my $list = join(',', map { sql_literal($_) } @schemas ? @schemas : qw(public padlock));
	my @queries = split(/\n/, $node->safe_psql($db, qq{
		SELECT format('SELECT %L || '' '' || count(*) || '' '' || coalesce(md5(string_agg(t::text, E''\\n'' ORDER BY t::text)), ''-'') FROM ONLY %s t;',
			c.oid::regclass, c.oid::regclass)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ($list) AND c.relkind = 'r'
		ORDER BY c.oid::regclass::text COLLATE "C"}));

	return $node->safe_psql($db, join("\n", @queries));
}

# The definition of a database as pg_dump sees it: tables, indexes, policies,
# triggers, grants, comments, extensions.
sub schema_dump
{
	my ($node, $db) = @_;
	my ($out, $err);

	IPC::Run::run([ 'pg_dump', '-s', '-d', $node->connstr($db) ], '>', \$out, '2>', \$err)
	  or die "pg_dump: $err";
	# the guard that newer versions print has a random key
	$out =~ s/^\\(un)?restrict \S+\n//mg;
	return $out;
}

# Two long texts must be the same; if not, their differences are shown.
sub is_text
{
	my ($got, $expected, $name) = @_;
	my $dir;

	return Test::More::pass($name) if $got eq $expected;
	Test::More::fail($name);
	$dir = PostgreSQL::Test::Utils::tempdir();
	PostgreSQL::Test::Utils::append_to_file("$dir/expected", "$expected\n");
	PostgreSQL::Test::Utils::append_to_file("$dir/got", "$got\n");
	Test::More::diag(scalar `cd $dir; diff -U2 expected got | head -n 60`);
	return 0;
}

# An API key with the given 56 hexadecimal digits: the last 8 are their CRC-32C.
sub api_key
{
	my ($digits) = @_;
	my $crc = 0xffffffff;

	foreach my $byte (unpack('C*', $digits))
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
	}
	return sprintf('pk_%s%08x', $digits, $crc ^ 0xffffffff);
}

# The one-time token of a mail's payload, made as the worker makes it: jobs hold
# only its id.
sub one_time_token
{
	my ($key_file, $payload) = @_;
	my ($key) = grep { ($_->{use} // '') eq 'refresh' } @{ $json->decode(slurp_file($key_file))->{keys} };

	return encode_base64url(hmac_sha256("padlock one-time token 1\0" . pack('H*', $payload->{one_time_token} =~ tr/-//dr)
		  . $payload->{to}, decode_base64url($key->{k})));
}

# At least one row in every table that clients know, as the owner: users Ada
# (a super admin) and Maya, a company with an API key, products, a policy with
# a claim, a document, jobs in every state.  Returns { ada, maya, company,
# key, product, policy, document }.
sub fill
{
	my ($node, $db) = @_;
	my %id = (
		ada => 'a0000000-0000-4000-8000-000000000001',
		maya => 'b0000000-0000-4000-8000-000000000002',
		company => 'c0000000-0000-4000-8000-000000000003',
		product => 'd0000000-0000-4000-8000-000000000004',
		policy => 'e0000000-0000-4000-8000-000000000005',
		document => 'f0000000-0000-4000-8000-000000000006',
		key => api_key('0123456789abcde' x 3 . '0123456789a'));

	$node->safe_psql($db, qq{
		INSERT INTO users (id, email) VALUES ('$id{ada}', 'ada\@example.org'), ('$id{maya}', 'maya\@example.org');
		INSERT INTO admin_users (id, role, permissions) VALUES ('$id{ada}', 'super_admin', '["all"]');
		INSERT INTO insurance_companies (id, name, contact_email, country)
			VALUES ('$id{company}', 'Harbour Mutual', 'it\@example.org', 'GB');
		INSERT INTO padlock.api_keys (key_hash, company_id, display, label)
			VALUES (sha256('$id{key}'), '$id{company}', 'pk_...cdef', 'test');
		INSERT INTO insurance_products (id, company_id, product_name, product_code, policy_type, premium_amount,
				coverage_details, search_keywords, is_active)
			VALUES ('$id{product}', '$id{company}', 'Dental', 'D-1', 'health', 118.80, '{"check-ups": true}', '{dental,"a b"}', true),
				(gen_random_uuid(), '$id{company}', 'Old', 'O-1', 'other', 1, NULL, NULL, false);
		INSERT INTO policies (id, user_id, policy_type, policy_number, premium_amount, start_date, status)
			VALUES ('$id{policy}', '$id{maya}', 'home', 'HM-1', 214.50, '2024-03-01', 'active');
		INSERT INTO claims (user_id, policy_id, claim_reason, claim_amount) VALUES ('$id{maya}', '$id{policy}', 'storm', 900);
		INSERT INTO documents (id, user_id, title, document_type, extracted_text, extraction_status, page_count)
			VALUES ('$id{document}', '$id{maya}', E'Policy \\\\ "wording"', 'policy', E'line\\nline\\ttab', 'done', 3);
		INSERT INTO job_queue (job_type, status, payload, result, error_message, attempts, worker_id, locked_until, completed_at)
			VALUES ('a', 'completed', '{"n": 1}', '{"ok": true}', NULL, 1, 'w', NULL, now()),
				('b', 'failed', '{}', NULL, 'why', 3, 'w', NULL, now()),
				('c', 'processing', '{}', NULL, NULL, 1, 'w', now() + interval '1 day', NULL),
				('d', 'pending', '{}', NULL, NULL, 0, NULL, NULL, NULL);
		UPDATE insurance_products SET premium_amount = 120 WHERE id = '$id{product}';
		DELETE FROM insurance_products WHERE product_code = 'O-1';
	});
	return \%id;
}

# What a process has in private memory, as far as it can be read; undef when it cannot.
sub memory_of
{
	my ($process) = @_;
	my $all = '';

	open(my $memory, '<:raw', "/proc/$process/mem") or return undef;
	foreach my $line (split /\n/, PostgreSQL::Test::Utils::slurp_file("/proc/$process/maps"))
	{
		my ($from, $to) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) rw-p/ or next;
		my $bytes;

		sysseek($memory, hex $from, 0);
		$all .= $bytes if sysread($memory, $bytes, hex($to) - hex($from));
	}
	return $all;
}

# Serve a folder (default: the fixture insurer) on loopback; a hash with url,
# port, log (one line a request: METHOD PATH STATUS), pid.
sub start_site
{
	my ($folder) = @_;
	my $source = $ENV{PADLOCK_SOURCE} // '.';
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my %site = (log => "$dir/site.log", folder => $folder // "$source/test/fixtures/insurer");
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		exec($^X, "$source/demo/site.pl", '--folder', $site{folder},
			'--port-file', "$dir/site.port", '--log', $site{log})
		  or PostgreSQL::Test::Utils::BAIL_OUT("could not start the site: $!");
	}
	$site{pid} = $pid;
	push @PadlockTest::sites, $pid;
	for (1 .. 100)
	{
		last if -s "$dir/site.port";
		sleep(0.05);
	}
	chomp($site{port} = PostgreSQL::Test::Utils::slurp_file("$dir/site.port"));
	$site{url} = "http://127.0.0.1:$site{port}";
	return \%site;
}

sub stop_site
{
	my ($site) = @_;

	kill 'TERM', $site->{pid};
	waitpid($site->{pid}, 0);
	@PadlockTest::sites = grep { $_ != $site->{pid} } @PadlockTest::sites;
	return;
}

our @sites;

END
{
	my $status = $?;

	foreach my $pid (@sites)
	{
		kill 'TERM', $pid;
		waitpid($pid, 0);
	}
	$? = $status;
}

# CRC-32C of bytes: what guards the files that the server keeps.
sub crc32c
{
	my ($bytes) = @_;
	my $crc = 0xffffffff;

	for my $byte (unpack 'C*', $bytes)
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
	}
	return $crc ^ 0xffffffff;
}

1;
