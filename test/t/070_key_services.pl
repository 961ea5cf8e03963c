# The keyring with AWS KMS, Google Cloud KMS and Vault: stand-ins on loopback
# (test/stand_in/key_services.js) check every byte that the workers send.  Keys are
# made, unlocked after a restart, rotated and wrapped anew; services are down,
# slow, wrong or hostile; and no key, token or secret lands where it should not.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Find;
use HTTP::Tiny;
use JSON::PP;
use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = PostgreSQL::Test::Utils::tempdir();
my $json = JSON::PP->new->canonical;
my $http = HTTP::Tiny->new(timeout => 20);
my %provider_key = (
	aws_kms => 'arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-1111-2222-3333-444455556666',
	google_kms => 'projects/shop-1/locations/europe-west3/keyRings/padlock/cryptoKeys/documents',
	vault => 'transit/padlock');
my %service = (aws_kms => 'aws', google_kms => 'google', vault => 'vault');
my @providers = sort keys %provider_key;

# Credentials, each in a file of its own.
sub write_file
{
	my ($name, $content, $mode) = @_;

	unlink "$dir/$name";
	open(my $out, '>', "$dir/$name") or die $!;
	print $out $content;
	close $out;
	chmod $mode // 0600, "$dir/$name" or die $!;
	return "$dir/$name";
}

my %secret = (access => 'AKIDPADLOCKTEST0001', secret => 'aws/secret+key-4711-never-in-a-log', token => 'aws/session+token==-4712', vault => 'hvs.vault-token-4713-never-in-a-log');
system_or_bail('openssl', 'genrsa', '-out', "$dir/account.pem", '2048');
system_or_bail('openssl', 'rsa', '-in', "$dir/account.pem", '-pubout', '-out', "$dir/account.pub");
my $config = {
	accessKeyId => $secret{access}, secretAccessKey => $secret{secret}, sessionToken => $secret{token}, vaultToken => $secret{vault}, namespace => 'shop/prod',
	account => { email => 'padlock@shop-1.iam.gserviceaccount.com', keyId => '0123abcd', publicKey => slurp_file("$dir/account.pub") } };
system_or_bail('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', "/CN=$_->[0]", '-addext', "subjectAltName=$_->[1]", '-keyout', "$dir/$_->[0].key", '-out', "$dir/$_->[0].pem")
  foreach [ 'good', 'IP:127.0.0.1' ], [ 'other', 'IP:127.0.0.1' ];
$config->{tls} = { key => slurp_file("$dir/good.key"), cert => slurp_file("$dir/good.pem") };
write_file('config.json', $json->encode($config));

# a handle of the package, as one of this file's would be closed, which waits, before END
my $pid = open(STAND_IN, '-|', 'node', "$ENV{PADLOCK_SOURCE}/test/stand_in/key_services.js", "$dir/config.json") or BAIL_OUT("no node: $!");
my ($port, $tls_port) = (<STAND_IN> // '') =~ /^(\d+) (\d+)$/ or BAIL_OUT('the stand-in does not start');
my $url = "http://127.0.0.1:$port";
END { kill 'KILL', $pid if $pid; }

sub control
{
	my ($message) = @_;
	my $answer = $http->request($message ? 'POST' : 'GET', "$url/control", $message ? { content => $json->encode($message) } : {});

	return $json->decode($answer->{content});
}
sub mode { my ($provider, $mode) = @_; control({ service => $service{$provider} // $provider, mode => $mode }); return; }
sub count { my ($service) = @_; return scalar grep { $_->{service} eq $service } @{ control()->{requests} }; }

my $aws_file = "[other]\naws_access_key_id = x\n[default]\n  aws_access_key_id=$secret{access}\naws_secret_access_key = $secret{secret} \nregion = nowhere\naws_session_token = $secret{token}\n[more]\naws_secret_access_key = y\n";
my $account = { type => 'service_account', client_email => $config->{account}{email}, private_key_id => '0123abcd', private_key => slurp_file("$dir/account.pem"), token_uri => "$url/token", project_id => 'shop-1' };
write_file('aws', $aws_file);
write_file('vault', "$secret{vault}\n");
write_file('google', $json->encode($account));

my $node = new_cluster('key_services', workers => 2, conf => <<"CONF");
padlock.aws_kms_url = '$url'
padlock.aws_credentials_file = '$dir/aws'
padlock.google_kms_url = '$url'
padlock.google_credentials_file = '$dir/google'
padlock.vault_url = '$url'
padlock.vault_token_file = '$dir/vault'
padlock.vault_namespace = 'shop/prod'
padlock.key_service_timeout = '500ms'
padlock.retry_base = '50ms'
padlock.retry_cap = '100ms'
padlock.key_file = '$dir/keyring'
log_statement = all
log_min_messages = debug1
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
autovacuum = off
CONF

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
sub error_of { my ($sql) = @_; my ($rc, $out, $err) = $node->psql('postgres', $sql); return $rc == 0 ? "none: $out" : $err; }
sub is_unlocked { my ($name, $seconds) = @_; return wait_for($node, 'postgres', "SELECT unlocked AND state IN ('active', 'decrypt-only') FROM padlock.keyring() WHERE key_name = '$name'", 't', $seconds // 20); }
sub decrypts { my ($table) = @_; return query("SELECT string_agg(convert_from(padlock.decrypt(message, '{\"a\": \"b\"}'), 'UTF8'), ',' ORDER BY provider) FROM $table"); }
sub problem_of { my ($provider) = @_; return query("SELECT problem FROM padlock.key_services() WHERE service = '$provider'"); }

# Have the problem of a service change to one that matches.
sub problem_like
{
	my ($provider, $pattern, $name) = @_;
	my $found = wait_for($node, 'postgres', "SELECT coalesce(problem ~ '$pattern', false) FROM padlock.key_services() WHERE service = '$provider'", 't', 15);

	ok($found, $name) or diag(problem_of($provider));
	return;
}
sub lock_all { query('SELECT padlock.lock_keyring()'); return; }
sub unlock_all { query('SELECT padlock.unlock_keyring()'); return; }

query('CREATE TABLE sealed (provider text, message bytea)');

# Names that a service cannot have.
foreach my $case (
	[ 'aws_kms', 'alias/documents', qr/ARN/ ], [ 'aws_kms', 'arn:aws:kms:eu-central-1:123456789012:alias/x', qr/ARN/ ], [ 'aws_kms', 'arn:aws:s3:eu-central-1:123456789012:key/x', qr/ARN/ ],
	[ 'aws_kms', 'arn:aws:kms:evil.example/:123456789012:key/x', qr/ARN/ ], [ 'google_kms', 'projects/p/locations/l/keyRings/r', qr/projects/ ],
	[ 'google_kms', 'projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1', qr/projects/ ], [ 'google_kms', 'projects/p/locations/l/keyRings/../cryptoKeys/k', qr/projects/ ],
	[ 'vault', 'padlock', qr/mount/ ], [ 'vault', 'transit/../sys/seal', qr/mount/ ], [ 'vault', '/transit/x', qr/mount/ ], [ 'vault', 'transit/a b', qr/mount/ ],
	[ 'azure', 'x', qr/local, aws_kms, google_kms and vault/ ])
{
	my ($provider, $id, $pattern) = @$case;

	like(error_of("SELECT padlock.create_key('bad', '$provider', '$id')"), $pattern, "no key $id of $provider");
}

# A key by each service.
foreach my $provider (@providers)
{
	is(query("SELECT padlock.create_key('$provider', '$provider', '$provider_key{$provider}')"), "$provider/1", "$provider: a key is asked for");
	ok(is_unlocked("$provider/1"), "$provider: made and unlocked") or diag(problem_of($provider));
	query("INSERT INTO sealed VALUES ('$provider', padlock.encrypt(convert_to('text of $provider', 'UTF8'), '$provider', '{\"a\": \"b\"}'))");
}
my $texts = join(',', map { "text of $_" } @providers);
is(decrypts('sealed'), $texts, 'what they seal opens');
is(query("SELECT count(*) FROM padlock.key_services() WHERE problem IS NULL AND served_at >= tried_at AND next_try_at IS NULL"), 3, 'three services without a problem');
is_deeply(control()->{problems}, [], 'every byte of every request is as it should be');
is(count('token'), 1, 'one token serves several requests');
is(query("SELECT count(DISTINCT substring(wrapped FROM 1 FOR 8)) FROM padlock.keys WHERE wrapped IS NOT NULL AND octet_length(wrapped) >= 60"), 3, 'the wrapped keys are kept');

# Services that are down do not matter to keys that are unlocked.
mode($_, 'hang') foreach @providers;
is(decrypts('sealed'), $texts, 'unlocked keys need no service');
my $begin = time();
query("INSERT INTO sealed SELECT 'x', padlock.encrypt('x', k, '{}') FROM unnest(ARRAY['aws_kms', 'google_kms', 'vault']) k; DELETE FROM sealed WHERE provider = 'x'");
cmp_ok(time() - $begin, '<', 1, 'nor does sealing wait');

# After a restart they do, and say so.
$node->restart;
like(error_of("SELECT padlock.decrypt(message, '{\"a\": \"b\"}') FROM sealed"), qr/55000|locked/, 'locked after a restart');
problem_like($_, 'could not be asked: .* in time', "$_: the operator sees why") foreach @providers;
ok(wait_for($node, 'postgres', "SELECT count(*) = 3 FROM padlock.key_services() WHERE next_try_at IS NOT NULL AND served_at IS NULL"), 'and that it is tried again');
mode($_, 'ok') foreach @providers;
ok(is_unlocked("$_/1"), "$_: unlocked by itself once the service is back") foreach @providers;
is(decrypts('sealed'), $texts, 'all opens again');
is(query("SELECT count(*) FROM padlock.key_services() WHERE problem IS NOT NULL"), 0, 'the problems are gone');

# Each way to fail leaves the key locked, with its reason.
my %reason = (
	500 => 'refused the request with status 500', 503 => 'status 503', 403 => 'status 403', 404 => 'status 404', drop => 'could not be asked: the connection', garbage => 'not HTTP',
	notjson => 'an answer that is not JSON', empty => 'an answer', huge => 'larger than 65536 bytes', redirect => 'status 307', short => 'a key of 32 bytes|key', wrongkey => 'gave another key than the one that it wrapped');
foreach my $mode (sort keys %reason)
{
	lock_all();
	mode($_, $mode) foreach @providers;
	unlock_all();
	problem_like($_, $reason{$mode}, "$mode: $_") foreach @providers;
	is(query("SELECT count(*) FROM padlock.keyring() WHERE unlocked"), 0, "$mode: no key");
}
mode($_, 'ok') foreach @providers;
unlock_all();
ok(is_unlocked("$_/1"), "$_: and unlocked after all of it") foreach @providers;
foreach my $case ([ 'google_kms', 'badsum', 'checksums do not fit' ], [ 'aws_kms', 'othername', 'names another key' ])
{
	my ($provider, $mode, $pattern) = @$case;

	lock_all();
	mode($provider, $mode);
	unlock_all();
	problem_like($provider, $pattern, "$mode: $provider");
	mode($provider, 'ok');
	unlock_all();
	ok(is_unlocked("$provider/1"), "$mode: $provider is back");
}

# Credentials: wrong, in a file that others may read, or none at all.
foreach my $case (
	[ 'aws_kms', 'aws', $aws_file =~ s/never/wrong/r, 0600, 'status 400, InvalidSignatureException' ], [ 'aws_kms', 'aws', $aws_file =~ s/TEST0001/TEST0002/r, 0600, 'UnrecognizedClientException' ],
	[ 'aws_kms', 'aws', $aws_file, 0644, 'can be read or written by others' ], [ 'aws_kms', 'aws', "[default]\n", 0600, 'holds no usable access key' ],
	[ 'vault', 'vault', 'hvs.other', 0600, 'status 403' ], [ 'vault', 'vault', "a b\n", 0600, 'holds no token' ], [ 'vault', 'vault', "a\nX-Evil: b\n", 0600, 'holds no token' ],
	[ 'google_kms', 'google', '{"type": "authorized_user"}', 0600, 'not the key of a service account' ], [ 'google_kms', 'google', $json->encode({ %$account, private_key => 'x' }), 0600, 'no RSA key' ],
	[ 'google_kms', 'google', $json->encode({ %$account, client_email => undef }), 0600, 'lacks "client_email"' ], [ 'google_kms', 'google', 'ya29.stale', 0600, 'status 401, UNAUTHENTICATED' ],
	[ 'google_kms', 'google', "two words\n", 0600, 'neither' ], [ 'google_kms', 'google', $json->encode({ %$account, private_key => slurp_file("$dir/account.pem") =~ s/./X/r }), 0600, 'no RSA key' ])
{
	my ($provider, $name, $content, $mode, $pattern) = @$case;

	lock_all();
	write_file($name, $content, $mode);
	unlock_all();
	problem_like($provider, $pattern, "$name: $pattern");
	write_file($name, { aws => $aws_file, vault => "$secret{vault}\n", google => $json->encode($account) }->{$name});
	unlock_all();   # or the next attempt may be a minute away
	ok(is_unlocked("$provider/1"), "$name: a good file mends it");
}
my ($token) = @{ control()->{tokens} };
lock_all();
write_file('google', "$token\n");
my $exchanges = count('token');
unlock_all();
ok(is_unlocked('google_kms/1'), 'google: a token of another\'s making serves');
is(count('token'), $exchanges, 'without an exchange');
write_file('google', $json->encode($account));
lock_all();
$node->append_conf('postgresql.conf', "padlock.vault_url = ''");
$node->reload;
unlock_all();
problem_like('vault', 'padlock.vault_url is not set', 'a setting that is missing is named');
$node->append_conf('postgresql.conf', "padlock.vault_url = '$url'");
$node->reload;
ok(is_unlocked('vault/1'), 'and a reload is enough');

# With TLS, and nothing but the right certificate will do.
foreach my $case ([ "https://127.0.0.1:$tls_port", "''", 'could not be asked: the certificate' ], [ "https://127.0.0.1:$tls_port", "'$dir/other.pem'", 'could not be asked: the certificate' ],
	[ "https://localhost:$tls_port", "'$dir/good.pem'", 'could not be asked: the certificate' ], [ "https://127.0.0.1:$tls_port", "'$dir/missing.pem'", 'could not open file' ],
	[ 'http://192.0.2.1:8200', "''", 'without TLS' ], [ 'http://169.254.169.254', "''", 'without TLS' ], [ "https://127.0.0.1:$tls_port", "'$dir/good.pem'", undef ], [ $url, "''", undef ])
{
	my ($where, $ca, $pattern) = @$case;

	lock_all();
	$node->append_conf('postgresql.conf', "padlock.vault_url = '$where'\npadlock.vault_ca_file = $ca");
	$node->reload;
	wait_for($node, 'postgres', 'SHOW padlock.vault_url', $where);
	unlock_all();
	defined $pattern ? problem_like('vault', $pattern, "$where, CA $ca: $pattern") : ok(is_unlocked('vault/1'), "$where, CA $ca");
}

# A new key whose wrapped form the service cannot open again is never used.
foreach my $provider (@providers)
{
	# in this order: an attempt that one of the two modes begins must not succeed in the other
	mode($provider, 'badcipher');
	query("SELECT padlock.rotate_key('$provider')");
	problem_like($provider, '/2: ', "$provider: a wrapped key is tried before it is kept");
	mode($provider, 'wrongkey');
	problem_like($provider, '/2: .* gave another key than the one that it wrapped', "$provider: another key in its place is noticed");
	is(query("SELECT string_agg(version || ' ' || state, ', ' ORDER BY version) FROM padlock.keys WHERE key_id = '$provider'"), '1 active, 2 pending', "$provider: the key before stays");
	mode($provider, 'ok');
	unlock_all();   # or the next attempt may be a minute away
	ok(is_unlocked("$provider/2"), "$provider: it is made when the service is well");
}
is(query("SELECT string_agg(version || ' ' || state, ', ' ORDER BY key_id, version) FROM padlock.keys WHERE key_id IN ('aws_kms', 'google_kms', 'vault')"), join(', ', ('1 decrypt-only, 2 active') x 3), 'rotated');
query("INSERT INTO sealed SELECT k || '2', padlock.encrypt(convert_to('second of ' || k, 'UTF8'), k, '{\"a\": \"b\"}') FROM unnest(ARRAY['aws_kms', 'google_kms', 'vault']) k");

# A request that is not made, for want of credentials, leaves no key in the worker's memory.
sub no_secrets_in_memory
{
	my ($name) = @_;
	my @texts = ((map { encode_base64(pack('H*', $_)) } @{ control()->{plaintexts} }), grep { length == 64 } split /\n/, slurp_file("$dir/account.pem"));

	foreach my $process (split /\n/, query("SELECT pid FROM padlock.worker_status() WHERE state IN ('idle', 'busy')"))
	{
	  SKIP:
		{
			my $memory = memory_of($process);

			skip('the memory of another process cannot be read here', 1) unless length($memory // '');
			is(scalar(grep { index($memory, $_) >= 0 } @texts), 0, "$name leaves no key in the memory of a worker");
		}
	}
	return;
}
foreach my $case ([ 'vault', 'vault', "a b\n", 'holds no token', 'wrongkey', 'another key' ], [ 'aws_kms', 'aws', "[default]\n", 'no usable access key', 'othername', 'names another key' ],
	[ 'google_kms', 'google', "two words\n", 'neither', 'badsum', 'checksums do not fit' ])
{
	my ($provider, $name, $content, $pattern, $mode, $refusal) = @$case;

	write_file($name, $content);
	query("SELECT padlock.rewrap_keyring('$provider', '$provider_key{$provider}')");
	problem_like($provider, $pattern, "$name: keys cannot be wrapped anew");
	no_secrets_in_memory("$name: a request that is not made");
	write_file($name, { aws => $aws_file, vault => "$secret{vault}\n", google => $json->encode($account) }->{$name});
	unlock_all();   # or the next attempt may be a minute away
	ok(wait_for($node, 'postgres', "SELECT bool_and(rewrap_provider IS NULL) FROM padlock.keys WHERE wrapped IS NOT NULL"), "$name: a good file mends it");

	# an answer that is refused leaves none, either, nor does Google's private key
	lock_all();
	mode($provider, $mode);
	unlock_all();
	problem_like($provider, $refusal, "$name: an answer is refused");
	no_secrets_in_memory("$name: an answer that is refused");
	mode($provider, 'ok');
	unlock_all();
	ok(wait_for($node, 'postgres', 'SELECT bool_and(unlocked) FROM padlock.keyring()'), "$name: unlocked again");
}

# From service to service; what is sealed stays as it is.
my $before = query('SELECT md5(string_agg(message::text, \'\' ORDER BY provider)) FROM sealed');
query("SELECT padlock.rewrap_keyring('vault', 'transit/other')");
ok(wait_for($node, 'postgres', "SELECT bool_and(provider = 'vault' AND provider_key_id = 'transit/other' AND rewrap_provider IS NULL) FROM padlock.keys WHERE key_id IN ('aws_kms', 'google_kms', 'vault')"), 'all keys are wrapped anew');
mode('aws_kms', 'drop');
mode('google_kms', 'drop');
$node->restart;
ok(is_unlocked("$_/2"), "$_: Vault alone unlocks it") foreach @providers;
is(decrypts('sealed'), join(',', map { ("text of $_", "second of $_") } @providers), 'all opens');
is(query('SELECT md5(string_agg(message::text, \'\' ORDER BY provider)) FROM sealed'), $before, 'no message was touched');

# Keys of the key file that nobody has used since the start go along, and so do those
# whose server stops before a worker has come to them.
query('SELECT padlock.init_keyring()');
query("SELECT padlock.create_key('letters')");
query("SELECT pause_job_type('keyring')");
mode($_, 'ok') foreach @providers;
$node->restart;
ok(wait_for($node, 'postgres', "SELECT count(*) FROM padlock.keyring() WHERE unlocked", '6'), 'the keys of services are unlocked after a start, those of the file are not yet');
is(query("SELECT padlock.rewrap_keyring('aws_kms', '$provider_key{aws_kms}')"), '8', 'all keys are to be wrapped anew');
$node->restart;
query("SELECT resume_job_type('keyring')");
ok(wait_for($node, 'postgres', "SELECT count(*) FROM padlock.keys WHERE provider = 'aws_kms' AND rewrap_provider IS NULL", '8'), 'and are, over a restart') or diag(query('SELECT key_id, version, provider, rewrap_provider FROM padlock.keys'));
ok(wait_for($node, 'postgres', "SELECT count(*) FROM job_queue WHERE job_type = 'keyring' AND status IN ('pending', 'processing')", '0'), 'by a job that ends then');
lock_all();
like(error_of("SELECT padlock.rewrap_keyring('vault', 'transit/other')"), qr/keyring is locked/, 'not while the keyring is locked');
unlock_all();
ok(wait_for($node, 'postgres', "SELECT count(*) FROM padlock.keyring() WHERE unlocked", '8'), 'unlocked');
query("SELECT padlock.rewrap_keyring('vault', 'transit/other')");
ok(wait_for($node, 'postgres', "SELECT count(*) FROM padlock.keys WHERE provider = 'vault' AND rewrap_provider IS NULL", '8'), 'and back');

# A wrapped key in another row's place is refused by the service.
lock_all();
query("UPDATE padlock.keys a SET wrapped = b.wrapped FROM padlock.keys b WHERE a.key_id = 'aws_kms' AND a.version = 1 AND b.key_id = 'vault' AND b.version = 1");
unlock_all();
problem_like('vault', 'aws_kms/1: Vault refused the request with status 400', 'a swapped key is refused');
ok(is_unlocked('vault/1'), 'and the others are unlocked all the same');
is(query("SELECT unlocked FROM padlock.keyring() WHERE key_name = 'aws_kms/1'"), 'f', 'it stays locked');

# Nothing of all this is where it should not be.
query('CHECKPOINT');
my $seen = control();
is_deeply($seen->{problems}, [], 'every byte of every request was as it should be');
$node->stop;
my $log = slurp_file($node->logfile);
my @needles = (@secret{qw(secret token vault)}, @{ $seen->{tokens} }, (grep { length > 30 } split /\n/, slurp_file("$dir/account.pem")));
my @found = grep { index($log, $_) >= 0 } @needles;
is_deeply(\@found, [], 'no credential in the log');
push @needles, map { my $bytes = pack('H*', $_); ($bytes, $_, encode_base64($bytes)) } @{ $seen->{plaintexts} };
cmp_ok(scalar @{ $seen->{plaintexts} }, '>=', 6, 'the stand-ins saw keys');
find({ no_chdir => 1, wanted => sub {
	return unless -f $_;
	my $content = slurp_file($_);
	foreach my $needle (@needles) { push @found, $_ if index($content, $needle) >= 0; }
} }, $node->data_dir);
is_deeply(\@found, [], 'no key and no credential in the data directory');
like($log, qr/keys stay locked/, 'the log says that keys stay locked');

sub encode_base64 { my ($bytes) = @_; require MIME::Base64; return MIME::Base64::encode_base64($bytes, ''); }
done_testing();
