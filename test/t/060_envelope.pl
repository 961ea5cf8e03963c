# The envelope's vectors, the key file and its troubles, and where unlocked
# keys are in memory: in pages that no core dump holds.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $source = $ENV{PADLOCK_SOURCE};
my $dir = PostgreSQL::Test::Utils::tempdir();
my @compile = ('cc', '-std=gnu99', '-O1', '-g', '-Wall', '-Werror', "-I$source/src");
my @envelope = map { "$source/src/envelope/$_.c" } qw(crypto message signature);

# Published vectors, where they are, and damage of every kind.
is(system(@compile, '-fsanitize=address,undefined', '-o', "$dir/vectors", "$source/test/envelope/vectors.c", @envelope, '-ljansson', '-lcrypto'),
	0, 'the vectors build');
# (Debian has NIST's in python3-cryptography-vectors.)
my @files = grep { -f } (
	(map { "$source/../shared/data/vectors/$_" } qw(aes_gcm_test.json hkdf_sha512_test.json commitment_known_answer_tests.json)),
	(map { "/usr/lib/python3/dist-packages/cryptography_vectors/ciphers/AES/GCM/$_" } qw(gcmDecrypt256.rsp gcmEncryptExtIV256.rsp)));
my $vectors = `$dir/vectors @files`;
is($?, 0, 'the vectors run');
like($vectors, qr/^ok/, 'there are some');
unlike($vectors, qr/^not ok/m, 'all are as marked') or diag($vectors);
is(system(@compile, '-o', "$dir/unwrap", "$source/test/envelope/unwrap.c", @envelope, '-lcrypto'), 0, 'the other program builds');

my $file = "$dir/keys/documents.key";
my $node = new_cluster('envelope', conf => "padlock.key_file = '$file'\n");

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

# What a statement that must fail says.
sub failure
{
	my ($sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql);
	isnt($rc, 0, "$sql fails");
	return $err;
}

sub restart { $node->restart; return; }

my $seal = q{SELECT padlock.encrypt('marker', 'documents', '{"a": "b"}')};
my $open = q{SELECT convert_from(padlock.decrypt(m, '{"a": "b"}'), 'UTF8') FROM sealed};

# The file is made once, and for the server's user alone.
like(failure('SELECT padlock.init_keyring()'), qr/could not make file ".*documents.key" of padlock.key_file: No such file/, 'a folder must be there');
mkdir("$dir/keys") or die;
my $crashed = $node->background_psql('postgres');
(my $number = $crashed->query_safe('SELECT pg_backend_pid()')) =~ s/\s//g;
append_to_file("$file.$number.new", 'of a crash');
is($crashed->query_safe('SELECT padlock.init_keyring()') =~ s/\s//gr, 't', 'the file is made, whatever a crash left there');
$crashed->quit;
unlink("$file.$number.new");
is(sprintf('%o', (stat($file))[2] & 07777), '600', 'for its owner alone');
my $text = slurp_file($file);
like($text, qr/^[0-9a-f]{64}\n$/, 'it holds a key');
is(join(' ', map { s{.*/}{}r } glob("$dir/keys/*")), 'documents.key', 'and nothing else was left there');
is(query('SELECT padlock.init_keyring()'), 'f', 'it is made once');
is(slurp_file($file), $text, 'and stays as it is');
query("CREATE TABLE sealed AS $seal AS m");
is(query($open), 'marker', 'what is sealed opens');

# Another database has keys of its own under the same file.
query("CREATE DATABASE other ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
$node->safe_psql('other', 'CREATE EXTENSION padlock');
is($node->safe_psql('other', 'SELECT padlock.init_keyring()'), 'f', 'another database takes the file as it is');
my $sealed = query(q{SELECT encode(m, 'hex') FROM sealed});
my ($rc, $out, $err) = $node->psql('other', qq{SELECT padlock.decrypt(decode('$sealed', 'hex'), '{"a": "b"}')});
like($err, qr/message could not be decrypted/, 'but opens nothing of the first');

# Its encoding is another, too; contexts are in UTF-8 wherever they are made.
is($node->safe_psql('other', q{
	SELECT position('\x0002c3a90003c3bc78'::bytea IN m) > 0, encode(padlock.decrypt(m, c), 'escape')
	  FROM (SELECT c, padlock.encrypt('marker', 'documents', c) AS m
	          FROM (SELECT jsonb_build_object(chr(233), chr(252) || 'x', 'a', 'b') AS c) t) s}),
	't|marker', 'a context of a database in LATIN1');

# Troubles: each is an error, and none changes the file or makes another.
restart();
query(q{CREATE ROLE reader; GRANT USAGE ON SCHEMA padlock TO reader; GRANT EXECUTE ON FUNCTION padlock.decrypt(bytea, jsonb) TO reader; GRANT SELECT ON sealed TO reader});

# Who is no superuser is told neither where the file lies nor what is wrong with it; the log has it.
sub is_hidden
{
	my ($logged, $what) = @_;
	my $offset = -s $node->logfile;
	my $told = failure("SET ROLE reader; \\set VERBOSITY verbose\n$open");
	like($told, qr/F0000: +a file of the server's configuration cannot be used/, "$what: a reader is told so much");
	unlike($told, qr/documents\.key|key_file|init_keyring|chmod/, "$what: and no more");
	like(substr(slurp_file($node->logfile), $offset), $logged, "$what: the log says it");
}

chmod(0644, $file);
like(failure($open), qr/can be read or written by others/, 'a file that others may read');
is_hidden(qr/DETAIL:  File ".*documents\.key" of padlock\.key_file can be read or written by others\. Change its mode/, 'open to others');
chmod(0000, $file);
like(failure($open), qr/could not open file ".*documents.key" of padlock.key_file: Permission denied/, 'a file that cannot be read');
is_hidden(qr/DETAIL:  Could not open file ".*documents\.key" of padlock\.key_file: Permission denied\./, 'unreadable');
chmod(0644, $file);
like(failure('SELECT padlock.init_keyring()'), qr/can be read or written by others/, 'nor does init_keyring() take it');
chmod(0600, $file);
is(query($open), 'marker', 'set right again, it opens');

rename($file, "$file.away") or die;
is(query($open), 'marker', 'an unlocked key does not need the file');
restart();
like(failure($open), qr/does not exist.*Put it back from its copy/s, 'a lost file');
is_hidden(qr/DETAIL:  File ".*documents\.key" of padlock\.key_file does not exist\./, 'lost');
my $lost = failure('SELECT padlock.init_keyring()');
like($lost, qr/does not exist.*HINT:  Put it back from its copy/s, 'none is made where keys depend on one');
unlike($lost, qr/init_keyring/, 'and the hint does not lead back here');
ok(!-e $file, 'in fact');

append_to_file($file, ('0123456789abcdef' x 4) . "\n");
chmod(0600, $file);
like(failure($open), qr/is not the one that wrapped key "documents\/1"/, 'a wrong file');
like(failure('SELECT padlock.init_keyring()'), qr/is not the one that wrapped/, 'nor does init_keyring() take it');
is(slurp_file($file), ('0123456789abcdef' x 4) . "\n", 'it was not overwritten');
unlink($file);
append_to_file($file, "something else\n");
chmod(0600, $file);
like(failure($open), qr/does not hold a key/, 'a file that holds something else');
unlink($file);
rename("$file.away", $file) or die;
is(query($open), 'marker', 'the right file put back');

# Another key file: wrap the keys anew while they are unlocked.
query("ALTER SYSTEM SET padlock.key_file = '$dir/keys/second.key'");
$node->reload;
ok(wait_for($node, 'postgres', "SELECT current_setting('padlock.key_file') ~ 'second'"), 'another file is set');
is(query('SELECT padlock.rewrap_keyring()'), '1', 'the keys are wrapped anew');
isnt(slurp_file("$dir/keys/second.key"), $text, 'by a new key');
restart();
is(query($open), 'marker', 'which opens what was sealed before');

# Where the keys are: in pages that dumps leave out.
my $file_key = slurp_file("$dir/keys/second.key");
chomp $file_key;
my $wrapped = query(q{SELECT encode(wrapped, 'hex') FROM padlock.keys});
my $kek = `$dir/unwrap $file_key $wrapped`;
chomp $kek;
like($kek, qr/^[0-9a-f]{64}$/, 'the key in clear is known to this test');
my $session = $node->background_psql('postgres');
$session->query_safe($open);
$session->query_safe($seal);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
chomp $pid;
my $postmaster;

# What the postmaster's map says of pages that are shared and left out of dumps.
sub page_maps
{
	($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	return grep { /\bdd\b/ && /^[0-9a-f-]+ rw-s .*\/dev\/zero/ } split(/(?=^[0-9a-f]+-[0-9a-f]+ )/m, slurp_file("/proc/$postmaster/smaps"));
}

my @pages = page_maps();
is(scalar(@pages), 1, 'one mapping is shared and left out of dumps');

# The bytes in a process's pages for keys; undef when they cannot be read.
sub key_pages
{
	my ($of) = @_;
	my ($from, $to) = map { hex } $pages[0] =~ /^([0-9a-f]+)-([0-9a-f]+)/;
	my $bytes;
	open(my $memory, '<:raw', "/proc/$of/mem") or return undef;
	sysseek($memory, $from, 0);
	sysread($memory, $bytes, $to - $from);
	close($memory);
	return $bytes;
}

# A database that is dropped leaves nothing there: neither its keys nor its place.
{
	my $other = sub { return $node->safe_psql('dropped', $_[0]); };

	query('CREATE DATABASE dropped');
	my $number = pack('L', query("SELECT oid FROM pg_database WHERE datname = 'dropped'"));
	$other->('CREATE EXTENSION padlock');
	$other->("SELECT padlock.init_keyring(), padlock.lock_keyring(), padlock.unlock_keyring(), padlock.encrypt('x', 'documents', '{}')");
	my $dropped_kek = pack('H*', `$dir/unwrap $file_key @{[ $other->(q{SELECT encode(wrapped, 'hex') FROM padlock.keys}) ]}` =~ s/\s//r);
	# another database's key of the same name is another key, until its row is copied, too
	my $message = query(q{SELECT padlock.encrypt('copied', 'documents', '{}')});
	my $row = query("SELECT quote_literal(wrapped) FROM padlock.keys WHERE key_id = 'documents' AND state = 'active'");
	my $open_copy = "SELECT convert_from(padlock.decrypt('$message', '{}'), 'UTF8')";
	my ($rc, $out, $err) = $node->psql('dropped', $open_copy);
	like($err, qr/message could not be decrypted/, 'a message that is copied to another database does not open');
	is($other->("BEGIN; DELETE FROM padlock.keys; INSERT INTO padlock.keys (key_id, version, state, provider, wrapped, wraps_from) VALUES ('documents', 1, 'active', 'local', $row, 0); COMMIT; $open_copy"), 'copied', 'with its key it does');
	my $before = key_pages($postmaster);
	query('DROP DATABASE dropped');
	my $after = key_pages($postmaster);
  SKIP:
	{
		skip('the memory of another process cannot be read here', 4) unless defined $before;
		ok(index($before, $_->[0]) >= 0, "there while the database is: $_->[1]") for [ $dropped_kek, 'its key' ], [ $number, 'its number' ];
		ok(index($after, $_->[0]) < 0, "not there when it is dropped: $_->[1]") for [ $dropped_kek, 'its key' ], [ $number, 'its number' ];
	}
	is(query($open), 'marker', 'those of others are');
}

# Does a core dump of the process hold the bytes?
sub core_holds
{
	my ($of, $bytes, @options) = @_;
	my $core = "$dir/core";
	system("gdb -q -batch @options -ex 'generate-core-file $core' -p $of >$dir/gdb.log 2>&1");
	return undef unless -s $core;
	my $found = index(slurp_file($core), $bytes) >= 0;
	unlink($core);
	return $found ? 1 : 0;
}

SKIP:
{
	my $key = pack('H*', $kek);
	my $everything = core_holds($pid, $key, "-ex 'set dump-excluded-mappings on'", "-ex 'set use-coredump-filter off'");
	skip('no core dump can be taken here: ' . slurp_file("$dir/gdb.log"), 4) unless defined $everything;
	is($everything, 1, 'a dump of everything holds the key, so the search finds it');
	is(core_holds($pid, $key), 0, 'an ordinary dump of the session does not');
	is(core_holds($postmaster, $key), 0, 'nor one of the postmaster');
	is(core_holds($pid, pack('H*', $file_key)), 0, 'and none the key of the file');
}
is($session->query_safe('SELECT padlock.lock_keyring()') + 0, 1, 'one key is wiped from memory');
SKIP:
{
	my $everything = core_holds($pid, pack('H*', $kek), "-ex 'set dump-excluded-mappings on'", "-ex 'set use-coredump-filter off'");
	skip('no core dump can be taken here', 1) unless defined $everything;
	is($everything, 0, 'and is nowhere then');
}
like(failure($open), qr/keyring is locked/, 'a locked keyring opens nothing, for anybody');
$session->quit;
restart();
like(failure($open), qr/keyring is locked/, 'a restart leaves it locked');
is(query('SELECT count(*) FROM padlock.keyring() WHERE unlocked'), '0', 'no key is in memory');
$node->stop('immediate');
$node->start;
like(failure($seal), qr/keyring is locked/, 'and so does a crash');
is(query('SELECT padlock.unlock_keyring()'), '1', 'it is unlocked');
is(query($open), 'marker', 'and opens');
restart();
is(query($open), 'marker', 'after a restart, too');
query('BEGIN; SELECT padlock.lock_keyring(); ROLLBACK');
like(failure($open), qr/keyring is locked/, 'locked at once, whatever becomes of the transaction');
restart();
is(query($open), 'marker', 'but what was rolled back does not outlive the server');

# Shutting down wipes them.  One process has the pages and outlives the
# postmaster: the log's collector, when it was started again, and is stopped.
sub collector
{
	for my $stat (glob('/proc/[0-9]*/stat'))
	{
		my ($pid) = $stat =~ /(\d+)/;
		my (undef, $parent) = (eval { slurp_file($stat) } // '') =~ /\) (\S) (\d+)/;
		next unless defined $parent && $parent == $_[0];
		return $pid if (eval { slurp_file("/proc/$pid/cmdline") } // '') =~ /\blogger\b/;
	}
	return 0;
}

for my $mode ('fast', 'immediate')
{
	$node->append_conf('postgresql.conf', "logging_collector = on\n");
	restart();
	query($open);
	@pages = page_maps();
	my $first = collector($postmaster);
	kill('KILL', $first);
	my $second = 0;
	for (1 .. 600)
	{
		$second = collector($postmaster);
		last if $second && $second != $first;
		usleep(100_000);
	}
	kill('STOP', $second);
	my $before = key_pages($second);
	$node->stop($mode);
	my $after = key_pages($second);
	kill('KILL', $second);
  SKIP:
	{
		skip('the memory of another process cannot be read here', 2) unless defined $before;
		ok(index($before, pack('H*', $kek)) >= 0, 'the pages hold the key while the server runs');
		ok($after =~ /^\0+\z/, "and nothing after its end, $mode");
	}
	$node->append_conf('postgresql.conf', "logging_collector = off\n");
	$node->start;
}

# Without the library at the server's start there is no place for keys.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
restart();
like(failure($seal), qr/encryption needs padlock to be loaded at server start/, 'not preloaded: encrypt()');
like(failure($open), qr/decryption needs padlock to be loaded at server start/, 'not preloaded: decrypt()');
like(failure("SELECT padlock.$_"), qr/the keyring needs padlock to be loaded/, "not preloaded: $_")
  for 'init_keyring()', 'lock_keyring()', 'unlock_keyring()', "rotate_key('documents')", 'rewrap_keyring()', 'keyring()';

# No log holds a key or what was sealed.
$node->stop;
unlike(slurp_file($node->logfile), qr/\Q$file_key\E|\Q$kek\E/, 'no key is in the log');

done_testing();
