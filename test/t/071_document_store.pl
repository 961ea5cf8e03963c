# Encrypted documents in an S3-compatible store: they leave the database sealed,
# come back when asked for, are sealed anew after a rotation and erased with their
# document; and nothing is lost when the store is down, slow or lies.  The store is
# a stand-in (test/stand_in/object_store.js) that checks every byte of the requests.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use HTTP::Tiny;
use JSON::PP;
use MIME::Base64;
use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = PostgreSQL::Test::Utils::tempdir();
my $json = JSON::PP->new->canonical;
my $http = HTTP::Tiny->new(timeout => 20);
my $marker = 'Xq7MarkerZeppelin43';
my $secret = 's3/secret+key-4714-never-in-a-log';
my $config = { accessKeyId => 'AKIDPADLOCKTEST0002', secretAccessKey => $secret, sessionToken => 's3+token/4715==', region => 'eu-west-1', bucket => 'padlock-documents' };

sub write_file
{
	my ($name, $content) = @_;

	unlink "$dir/$name";
	append_to_file("$dir/$name", $content);
	chmod 0600, "$dir/$name" or die $!;
	return;
}
write_file('config.json', $json->encode($config));
write_file('s3', "[default]\naws_access_key_id = $config->{accessKeyId}\naws_secret_access_key = $secret\naws_session_token = $config->{sessionToken}\n");

# a handle of the package, as one of this file's would be closed, which waits, before END
my $pid = open(STAND_IN, '-|', 'node', "$ENV{PADLOCK_SOURCE}/test/stand_in/object_store.js", "$dir/config.json") or BAIL_OUT("no node: $!");
my ($port) = (<STAND_IN> // '') =~ /^(\d+)$/ or BAIL_OUT('the stand-in does not start');
END { kill 'KILL', $pid if $pid; }

sub control
{
	my ($mode) = @_;
	my $answer = $http->request($mode ? 'POST' : 'GET', "http://127.0.0.1:$port/control", $mode ? { content => $json->encode({ mode => $mode }) } : {});

	return $json->decode($answer->{content});
}
sub objects { return sort keys %{ control()->{objects} }; }

my $node = new_cluster('document_store', workers => 1, conf => <<"CONF");
padlock.key_file = '$dir/documents.key'
padlock.document_store = s3
padlock.s3_url = 'http://127.0.0.1:$port'
padlock.s3_path_style = on
padlock.s3_bucket = 'padlock-documents'
padlock.s3_region = 'eu-west-1'
padlock.s3_prefix = 'shop/'
padlock.s3_credentials_file = '$dir/s3'
padlock.s3_timeout = '500ms'
padlock.retry_base = '50ms'
padlock.retry_cap = '100ms'
log_statement = all
log_min_messages = debug1
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
CONF

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
sub eventually { my ($sql, $name) = @_; ok(wait_for($node, 'postgres', $sql, 't', 30), $name) or diag(query("SELECT string_agg(job_type || ' ' || status || ' ' || coalesce(error_message, ''), E'\\n') FROM job_queue WHERE status <> 'completed'")); return; }

query('UPDATE rate_limit_rules SET max_requests = 100000');
query('SELECT padlock.init_keyring()');
my $maya = query("INSERT INTO users (email) VALUES ('maya\@store.example') RETURNING id");

# A new document of Maya's; its id.
sub upload
{
	my ($title, $content, %more) = @_;
	my $answer = rpc($node, { user => $maya }, 'document_upload', { title => $title, content => encode_base64($content, ''), encrypt => \1, %more });

	is($answer->{status}, 201, "$title is uploaded") or diag explain $answer;
	return $answer->{body}{document}{id};
}
sub is_away { my ($id, $name) = @_; eventually("SELECT content IS NULL AND object_key LIKE 'shop/$id/%' FROM padlock.document_contents WHERE document_id = '$id'", $name); return; }
sub key_of { my ($id) = @_; return query("SELECT object_key FROM padlock.document_contents WHERE document_id = '$id'"); }
sub ask { my ($id) = @_; return gateway($node, { user => $maya }, "SELECT convert_from(document_content('$id'), 'UTF8')"); }

# Read a document as a client does: ask again while it is on its way.
sub content_of
{
	my ($id) = @_;

	for (1 .. 150)
	{
		my $answer = ask($id);

		return $answer->{out} if $answer->{status} == 200;
		return "status $answer->{status}" if $answer->{status} != 202;
		sleep 0.1;
	}
	return 'never';
}

# Out, sealed.
my $text = "Dear $marker, " . join('', map { chr(33 + $_ % 90) } 1 .. 200_000);
my $letter = upload('letter', $text);
is_away($letter, 'an encrypted document leaves the database');
is_deeply([ objects() ], [ key_of($letter) ], 'for an object of its own');
my $object = decode_base64((values %{ control()->{objects} })[0]);
like($object, qr/\A\x02\x04\x78/, 'which is an AWS Encryption SDK message');
is(index($object, $marker), -1, 'and not the text');
is(query("SELECT is_encrypted AND encryption_status = 'sealed' AND file_size = length('Dear $marker, ') + 200000 FROM documents WHERE id = '$letter'"), 't', 'its row says what it said before');

# Back, for who may see it.
my $first = ask($letter);
is("$first->{status} [$first->{out}]", '202 []', 'who asks is told to wait');
ok(content_of($letter) eq $text, 'and gets all of it');
my $gets = scalar grep { $_->{method} eq 'GET' } @{ control()->{requests} };
ok(ask($letter)->{out} eq $text, 'again, at once');
is(scalar(grep { $_->{method} eq 'GET' } @{ control()->{requests} }), $gets, 'from the copy');
is(gateway($node, { user => '00000000-0000-4000-8000-000000000001' }, "SELECT document_content('$letter')")->{status}, 404, 'another user gets nothing');
is(query("SELECT count(*) FROM audit_logs WHERE action = 'READ'"), 2, 'each time that bytes were given is in the trail');
query("UPDATE padlock.document_contents SET asked_at = now() - interval '2 hours'");
my $second = upload('second', "Second of $marker");
is_away($second, 'another document');
ask($second);
eventually("SELECT content IS NOT NULL FROM padlock.document_contents WHERE document_id = '$second'", 'is fetched');
is(query("SELECT content IS NULL FROM padlock.document_contents WHERE document_id = '$letter'"), 't', 'and old copies go meanwhile');

# What is not encrypted stays.
my $plain = upload('plain', 'nothing to hide', encrypt => \0);
my $pdf = `perl $ENV{PADLOCK_SOURCE}/test/fixtures/policy_pdf.pl`;
my $policy = upload('policy', $pdf, content_type => 'application/pdf');
is_away($policy, 'a PDF leaves when its text was taken');
is(query("SELECT extraction_status || ' ' || page_count FROM documents WHERE id = '$policy'"), 'done 3', 'which it was');
like(gateway($node, { user => $maya }, "SELECT document_text('$policy')")->{out}, qr/Maya Okafor/, 'the text is here');
sub extract
{
	my ($status) = @_;
	query("UPDATE padlock.document_contents SET content = NULL WHERE document_id = '$policy'");
	my $job = query("SELECT enqueue_job('pdf_extraction', '{\"document_id\": \"$policy\"}')");
	eventually("SELECT status = '$status' FROM job_queue WHERE id = '$job'", "its text is extracted again: $status");
	return query("SELECT extraction_status || ' ' || page_count || ' ' || coalesce(extraction_error, '') FROM documents WHERE id = '$policy'");
}
is(extract('completed'), 'done 3 ', 'from the object');
control('403');
like(extract('failed'), qr/^done 3 the object store refused the request with status 403$/, 'a store that is down is named, and the text that is there stays');
control('ok');
is(extract('completed'), 'done 3 ', 'until it is back');
query("UPDATE padlock.document_contents SET content = NULL WHERE document_id = '$policy'");
is(query("SELECT content IS NOT NULL AND object_key IS NULL FROM padlock.document_contents WHERE document_id = '$plain'"), 't', 'a document in clear never leaves');

# A rotation: fetched, sealed anew, stored anew, and the old object erased.
my %before = map { $_ => key_of($_) } $letter, $second, $policy;
query("SELECT padlock.rotate_key('documents')");
eventually("SELECT count(*) = 3 FROM documents WHERE encryption_key_id = 'documents/2'", 'all are sealed under the new key');
is_away($_, 'and away again') foreach sort keys %before;
eventually("SELECT NOT EXISTS (SELECT FROM job_queue WHERE status IN ('pending', 'processing'))", 'nothing is left to do');
is_deeply([ objects() ], [ sort map { key_of($_) } keys %before ], 'one object each');
isnt(key_of($_), $before{$_}, 'a new one') foreach sort keys %before;
ok(content_of($letter) eq $text, 'which opens');

# An object that the store does not give, or gives changed, keeps others from nothing.
foreach my $case ([ '404', 'the object store has no object' ], [ 'corrupt', 'is not what was put there' ], [ '403', 'status 403' ])
{
	my ($mode, $pattern) = @$case;
	my ($bad) = sort keys %before;

	query("UPDATE padlock.document_contents SET content = NULL WHERE object_key IS NOT NULL");
	control("$mode " . key_of($bad));
	query("SELECT padlock.rotate_key('documents')");
	my $name = query("SELECT key_id || '/' || version FROM padlock.keys WHERE state = 'active'");
	eventually("SELECT count(*) = 2 FROM documents WHERE encryption_key_id = '$name'", "$mode: the others are sealed anew");
	eventually("SELECT count(*) = 1 FROM job_queue WHERE job_type = 'document_reseal' AND error_message LIKE '1 documents could not be sealed anew%'", "$mode: the job says that one is not");
	like(slurp_file($node->logfile), qr/WARNING:  document $bad could not be sealed anew: [^\n]*$pattern/, "$mode: the log which, and why");
	control('ok');
	eventually("SELECT count(*) = 3 FROM documents WHERE encryption_key_id = '$name'", "$mode: a later attempt seals it");
	is_away($_, "$mode: away again") foreach sort keys %before;
}

# A store that refuses everything, as with wrong credentials, ends an attempt at the first document.
write_file('s3', "[default]\naws_access_key_id = $config->{accessKeyId}\naws_secret_access_key = wrong\naws_session_token = $config->{sessionToken}\n");
foreach my $case ([ 'wrong credentials' ], [ 'a bucket that is not there', '404' ])
{
	my ($name, $mode) = @$case;
	my $status = $mode // '403';
	my $logged = -s $node->logfile;

	query("UPDATE padlock.document_contents SET content = NULL WHERE object_key IS NOT NULL");
	control($mode) if $mode;
	my $asked = scalar @{ control()->{requests} };
	query("SELECT padlock.rotate_key('documents')");
	my $key = query("SELECT key_id || '/' || version FROM padlock.keys WHERE state = 'active'");
	my $attempt = "FROM job_queue WHERE job_type = 'document_reseal' AND created_at = (SELECT max(created_at) FROM job_queue WHERE job_type = 'document_reseal')";
	eventually("SELECT attempts >= 2 AND error_message LIKE 'the object store refused a test (PUT) with status $status%' $attempt", "$name: the job says so, and is tried again");
	query("SELECT pause_job_type('document_reseal')");
	eventually("SELECT status <> 'processing' $attempt", "$name: a pause");
	my @requests = @{ control()->{requests} };
	my %gets = map { ($_->{key} => 1) } grep { $_->{method} eq 'GET' } splice(@requests, $asked);
	is(scalar(keys %gets), 1, "$name: one document was asked for");
	unlike(substr(slurp_file($node->logfile), $logged), qr/could not be sealed anew/, "$name: no document is blamed");
	control('ok');
	write_file('s3', "[default]\naws_access_key_id = $config->{accessKeyId}\naws_secret_access_key = $secret\naws_session_token = $config->{sessionToken}\n");
	query("SELECT redrive_jobs('document_reseal'), resume_job_type('document_reseal')");
	eventually("SELECT count(*) = 3 FROM documents WHERE encryption_key_id = '$key'", "$name: mended, all are sealed anew");
	is_away($_, "$name: away again") foreach sort keys %before;
}

# A truncation would leave objects that no row names.
foreach my $table ('documents', 'users', 'padlock.document_contents')
{
	my ($rc, $out, $err) = $node->psql('postgres', "TRUNCATE $table CASCADE");

	like($err, qr/cannot be truncated while contents are in the object store.*HINT:  Use DELETE/s, "TRUNCATE $table is refused");
	unlike($err, qr/CONTEXT/, 'without a statement of padlock\'s own');
}

# A new content has a new object; a deleted document has none.
gateway($node, { user => $maya }, "SELECT document_put('$second', convert_to('third of $marker', 'UTF8'))");
is_away($second, 'a new content');
is(content_of($second), "third of $marker", 'is what is read');
query("DELETE FROM documents WHERE id = '$policy'");
eventually("SELECT NOT EXISTS (SELECT FROM job_queue WHERE status IN ('pending', 'processing'))", 'a document is deleted');
is_deeply([ objects() ], [ sort map { key_of($_) } $letter, $second ], 'the objects of no document are erased');

# A content that is replaced while the one before is on its way out stays, and leaves by itself.
control('hang');
my $replaced = upload('replaced', 'before');
for (1 .. 300) { last if grep { ($_->{key} // '') =~ /^shop\/$replaced/ } @{ control()->{requests} }; sleep 0.1; }
my $held = $node->background_psql('postgres');
$held->query_safe("BEGIN; SELECT FROM documents WHERE id = '$replaced' FOR UPDATE");
control('ok');
for (1 .. 300) { last if grep { index($_, $replaced) >= 0 } objects(); sleep 0.1; }
is(scalar(grep { index($_, $replaced) >= 0 } objects()), 1, 'a content is stored, and its row not changed yet');
$held->query_safe("SELECT document_put('$replaced', 'after'); COMMIT");
$held->quit;
is_away($replaced, 'the new content leaves');
is(content_of($replaced), 'after', 'and is what comes back');
query("DELETE FROM documents WHERE id = '$replaced'");
eventually("SELECT NOT EXISTS (SELECT FROM job_queue WHERE status IN ('pending', 'processing'))", 'no work is left');
is(scalar(grep { index($_, $replaced) >= 0 } objects()), 0, 'and no object of either');

# An object that may have been stored, by an attempt that did not come to its end, goes
# with its document or content, too: after the time in which it can still be written.
sub objects_of { my ($id) = @_; return scalar grep { index($_, "shop/$id/") == 0 } objects(); }
my %end = (deleted => sub { query("DELETE FROM documents WHERE id = '$_[0]'") }, 'given a new content' => sub { query("SELECT document_put('$_[0]', 'new')") });
my @unsure;
foreach my $end (sort keys %end)
{
	control('unsure');
	my $id = upload("to be $end", "unsure of $marker");
	eventually("SELECT attempts >= 2 AND error_message LIKE '%status 500%' FROM job_queue WHERE payload->>'document_id' = '$id' AND job_type = 'document_store'", 'attempts end in the middle');
	control('hang');
	ok(objects_of($id) >= 1, 'objects that no row names');
	$end{$end}->($id);
	push @unsure, $id;
}
my ($gone, $new) = @unsure;
is(query("SELECT count(*) > 0 AND bool_and(next_retry_at BETWEEN now() AND now() + interval '20 seconds') FROM job_queue WHERE job_type = 'document_erase' AND status = 'pending' AND payload->>'object_key' LIKE 'shop/$gone/%'"), 't', 'they are to be erased when no attempt can write them');
control('ok');
is_away($new, 'the new content leaves');
eventually("SELECT NOT EXISTS (SELECT FROM job_queue WHERE status IN ('pending', 'processing'))", 'all is done');
is(objects_of($gone), 0, 'nothing is left of a document that was deleted');
is_deeply([ grep { index($_, "shop/$new/") == 0 } objects() ], [ key_of($new) ], 'nor of the content that was replaced');
query("DELETE FROM documents WHERE id = '$new'");

# The bucket in the host's name.
$node->append_conf('postgresql.conf', "padlock.s3_url = 'http://localhost:$port'\npadlock.s3_path_style = off");
$node->reload;
my $virtual = upload('virtual', "By host, $marker");
is_away($virtual, 'virtual-host style');
query("UPDATE padlock.document_contents SET content = NULL WHERE document_id = '$virtual'");
is(content_of($virtual), "By host, $marker", 'both ways');
is(control()->{requests}[-1]{style}, 'host', 'indeed');

# A store that is down, slow or refuses: the content stays here, and can be read.
foreach my $mode (qw(500 503 403 hang drop garbage lose spoil corrupt))
{
	control($mode);
	my $id = upload("store $mode", "kept while $mode");

	eventually("SELECT attempts >= 2 FROM job_queue WHERE payload->>'document_id' = '$id' AND job_type = 'document_store'", "$mode: it is tried again");
	is(ask($id)->{out}, "kept while $mode", "$mode: it can be read meanwhile");
	control('ok');
	is_away($id, "$mode: and leaves when the store is back");
	is(content_of($id), "kept while $mode", "$mode: for as long as it comes back");
	query("DELETE FROM documents WHERE id = '$id'");
}

eventually("SELECT NOT EXISTS (SELECT FROM job_queue WHERE job_type LIKE 'document%' AND status IN ('pending', 'processing'))", 'all objects of theirs are erased');

# A server that stops in the middle.
control('hang');
my $stopped = upload('stopped', "stopped with $marker");
eventually("SELECT status = 'processing' FROM job_queue WHERE payload->>'document_id' = '$stopped'", 'a document is on its way out');
$node->stop('immediate');
control('ok');
$node->start;
is(content_of($stopped), "stopped with $marker", 'nothing is lost by an immediate stop');
ok(wait_for($node, 'postgres', "SELECT object_key LIKE 'shop/$stopped/%' FROM padlock.document_contents WHERE document_id = '$stopped'", 't', 90), 'and it leaves in the end');
is(content_of($stopped), "stopped with $marker", 'and comes back');
query("DELETE FROM documents WHERE id = '$stopped'");

# A store that lies: nothing wrong is ever taken for the content.
my %lie = (corrupt => 'is not what was put there', truncate => 'is not what was put there', huge => 'larger', 403 => 'status 403', hang => 'in time');
foreach my $mode (sort keys %lie)
{
	control($mode);
	query("UPDATE padlock.document_contents SET content = NULL, asked_at = NULL WHERE document_id = '$letter'");
	is(ask($letter)->{status}, 202, "$mode: it is asked for");
	eventually("SELECT error_message LIKE '%$lie{$mode}%' AND status = 'failed' FROM job_queue WHERE job_type = 'document_fetch' AND payload->>'document_id' = '$letter' ORDER BY created_at DESC LIMIT 1", "$mode: the job says why");
	is(query("SELECT content IS NULL FROM padlock.document_contents WHERE document_id = '$letter'"), 't', "$mode: nothing is kept");
	my $told = ask($letter);
	is($told->{status}, 500, "$mode: who asks again is told");
	like($told->{err}, qr/content of the document could not be fetched/, "$mode: in words");
	unlike($told->{err}, qr/$lie{$mode}|shop\//, "$mode: but not what the store said");
	query("UPDATE padlock.document_contents SET asked_at = now() - interval '61 seconds' WHERE document_id = '$letter'");
	is(ask($letter)->{status}, 202, "$mode: after a minute it is asked for again");
	eventually("SELECT fetch_error LIKE '%$lie{$mode}%' FROM padlock.document_contents WHERE document_id = '$letter'", "$mode: and the reason is noted");
}
control('ok');
query("UPDATE padlock.document_contents SET asked_at = NULL WHERE document_id = '$letter'");
ok(content_of($letter) eq $text, 'it comes when the store is well');

# Objects that a job must not erase, and keys that are none.
my $count = scalar objects();
my $uuid = '00000000-0000-4000-8000-00000000d0c5';
query("UPDATE padlock.document_contents SET put_key = 'shop/$plain/$uuid' WHERE document_id = '$plain'");
foreach my $case ([ key_of($letter), 'is a document' ], [ "shop/$plain/$uuid", 'is a document' ],
	map { [ $_, 'is not the name of a document' ] } ('', '../other', '/x', 'a b', 'x?acl', 'other', 'shop/other', "other/$uuid/$uuid", "$uuid/$uuid", "shop/$uuid/x/$uuid", "shop/$uuid/$uuid.bak", "shop/$uuid/${uuid}0", "shop/$uuid", "shop//$uuid/$uuid"))
{
	my $job = query("SELECT enqueue_job('document_erase', jsonb_build_object('object_key', '$case->[0]'))");

	eventually("SELECT status = 'failed' AND error_message LIKE '%$case->[1]%' FROM job_queue WHERE id = '$job'", "no erasure of $case->[0]");
}
is(scalar objects(), $count, 'all objects are there');
query("UPDATE padlock.document_contents SET put_key = NULL WHERE document_id = '$plain'");

# Settings that are missing, and back to the database.
$node->append_conf('postgresql.conf', "padlock.s3_bucket = ''");
$node->reload;
my $unset = upload('unset', 'no bucket');
eventually("SELECT error_message LIKE '%padlock.s3_bucket is not set%' FROM job_queue WHERE payload->>'document_id' = '$unset'", 'a missing setting is named');
$node->append_conf('postgresql.conf', "padlock.s3_bucket = 'padlock-documents'");
$node->reload;
is_away($unset, 'and a reload is enough');
$node->append_conf('postgresql.conf', 'padlock.document_store = database');
$node->reload;
wait_for($node, 'postgres', 'SHOW padlock.document_store', 'database');
my $away = query('SELECT count(*) FROM padlock.document_contents WHERE object_key IS NOT NULL');
is(query('SELECT padlock.move_documents()'), $away, 'all objects are to come back');
eventually("SELECT bool_and(content IS NOT NULL AND object_key IS NULL AND object_hash IS NULL) FROM padlock.document_contents", 'and do');
eventually("SELECT NOT EXISTS (SELECT FROM job_queue WHERE status IN ('pending', 'processing'))", 'nothing is left to do');
is_deeply([ objects() ], [], 'no object is left');
ok(ask($letter)->{out} eq $text, 'and it can be read');
is(query('BEGIN; TRUNCATE documents CASCADE; SELECT count(*) FROM padlock.document_contents; ROLLBACK'), '0', 'a truncation leaves nothing behind now');
$node->append_conf('postgresql.conf', 'padlock.document_store = s3');
$node->reload;
wait_for($node, 'postgres', 'SHOW padlock.document_store', 's3');
is(query('SELECT padlock.move_documents()'), $away, 'and out again');
is_away($letter, 'as before');

# What the store saw.
my $seen = control();
is_deeply($seen->{problems}, [], 'every byte of every request was as it should be');
is(scalar(grep { index(decode_base64($_), $marker) >= 0 } values %{ $seen->{objects} }), 0, 'no object holds a text');
$node->stop;
my $log = slurp_file($node->logfile);
is(index($log, $_), -1, 'no credential in the log') foreach $secret, $config->{sessionToken};
done_testing();
