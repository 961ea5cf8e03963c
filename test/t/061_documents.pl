# Encrypted documents end to end: by body, by document_put() and by URL; bound to
# row and owner; sealed anew after a rotation; erased; and in clear nowhere.

use strict;
use warnings;

use File::Find;
use FindBin;
use lib $FindBin::RealBin;

use Digest::MD5 qw(md5_hex);
use MIME::Base64;
use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $source = $ENV{PADLOCK_SOURCE};
my $dir = PostgreSQL::Test::Utils::tempdir();
my $site_folder = "$dir/site";
my $file = "$dir/documents.key";

# A PDF that says the marker in plain sight, and a folder that serves it.
my $marker = 'Xq7MarkerZeppelin42';
my $pdf = `perl $source/test/fixtures/policy_pdf.pl`;
$pdf =~ s/Maya Okafor, 14 Q/$marker/;
$pdf =~ s{/Title \(\K([^)]*)}{ sprintf('%-*s', length $1, $marker) }e;
like($pdf, qr/\Q$marker\E/, 'the PDF holds the marker');
mkdir($site_folder) or die;
append_to_file("$site_folder/policy.pdf", $pdf);
append_to_file("$site_folder/letter.txt", "Dear $marker, this is a letter.\n");
my $site = start_site($site_folder);

my $node = new_cluster('documents', workers => 1, conf => <<"CONF");
padlock.key_file = '$file'
padlock.allow_private_addresses = on
padlock.retry_base = '100ms'
padlock.retry_cap = '200ms'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_statement = all
log_min_duration_statement = 0
log_min_messages = debug1
log_temp_files = 0
work_mem = '64kB'
autovacuum = off
CONF

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

query('UPDATE rate_limit_rules SET max_requests = 100000');
my ($maya, $noah, $ada) = map { query("INSERT INTO users (email) VALUES ('$_\@documents.example') RETURNING id") } qw(maya noah ada);
query("INSERT INTO admin_users (id) VALUES ('$ada')");

# Call SQL as a user, with $name in it sent as bind parameters, as gateways do:
# pgbench's extended protocol.  Returns what failed, or nothing.
sub bound
{
	my ($user, $sql, %value) = @_;
	my $script = "$dir/script.sql";
	my $claims = qq({"role": "authenticated", "sub": "$user"});
	my ($out, $err) = ('', '');

	unlink($script);
	append_to_file($script, "BEGIN;\nSET LOCAL ROLE authenticated;\n"
		  . "SELECT set_config('request.jwt.claims', :claims, true);\n$sql;\nCOMMIT;\n");
	IPC::Run::run([ 'pgbench', '-n', '-M', 'extended', '-t', '1', '-f', $script, '-D', "claims=$claims",
			(map { ('-D', "$_=$value{$_}") } sort keys %value), '-d', '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$out, '2>', \$err);
	return $err =~ /ERROR|aborted/ ? $err : '';
}

# A document of a user by its title.
sub of { my ($title, $what) = @_; return query("SELECT $what FROM documents WHERE title = '$title'"); }

# Without a keyring encryption is refused, and nothing stored.
my $answer = rpc($node, { user => $maya }, 'document_upload', { title => 'early', content => encode_base64('x', ''), encrypt => \1 });
is($answer->{status}, 500, 'encryption that is not set up');
like($answer->{body}{message}, qr/not set up/, 'is named');
is(query('SELECT count(*) FROM documents'), '0', 'and nothing is stored');
query('SELECT padlock.init_keyring()');

# Bad bodies.
$answer = rpc($node, { user => $maya }, 'document_upload', { title => 'x', content => 'no base64!', file_url => "$site->{url}/a" });
is($answer->{status}, 400, 'content that is not base64, and two sources');
like($answer->{body}{details}, qr/content: must not be given together with file_url; content: must be base64/, 'are both named');
is(rpc($node, { user => $maya }, 'document_upload', { title => 'x' })->{body}{details}, 'file_url: is required, or content', 'a document has a source');

# In the body, encrypted: sealed at once.
my $offset = -s $node->logfile;
is(bound($maya, 'SELECT document_upload(:body::jsonb)',
		body => '{"title": "inline", "encrypt": true, "content_type": "text/plain", "content": "' . encode_base64("Dear $marker", '') . '"}'), '', 'an upload in the body');
is(of('inline', "is_encrypted || ' ' || encryption_key_id || ' ' || encryption_algorithm || ' ' || encryption_status || ' ' || file_size"),
	'true documents/1 AES_256_GCM_HKDF_SHA512_COMMIT_KEY sealed ' . length("Dear $marker"), 'the row says how it is encrypted');
my $inline = of('inline', 'id');
is(gateway($node, { user => $maya }, "SELECT convert_from(document_content('$inline'), 'UTF8') = 'Dear ' || 'Xq7Marker' || 'Zeppelin42'")->{out}, 't', 'its owner reads it');
is(query("SELECT user_id = '$maya' AND record_id = '$inline' AND old_values IS NULL FROM audit_logs WHERE action = 'READ'"), 't', 'and the trail says so');
is(gateway($node, { user => $ada }, "SELECT length(document_content('$inline'))")->{out}, length("Dear $marker"), 'an admin reads it, too');
is(gateway($node, { user => $noah }, "SELECT document_content('$inline')")->{status}, 404, 'another user does not');
is(gateway($node, { user => $noah }, "SELECT document_put('$inline', 'x')")->{status}, 404, 'nor writes it');
ok(!gateway($node, {}, "SELECT document_content('$inline')")->{ok}, 'a visitor may not ask');
query('CREATE POLICY shared ON documents FOR SELECT TO authenticated USING (true)');
is(gateway($node, { user => $noah }, "SELECT count(*) FROM documents WHERE id = '$inline'")->{out}, '1', 'where others may see a document');
is(gateway($node, { user => $noah }, "SELECT document_put('$inline', 'x')")->{status}, 404, 'they do not write it all the same');
query('DROP POLICY shared ON documents');
is(query("SELECT count(*) FROM audit_logs WHERE action = 'READ'"), '2', 'what was refused is no access');
is(gateway($node, { user => $maya }, "SELECT document_content(NULL)")->{status}, 400, 'which document must be said');
is(gateway($node, { user => $maya }, "SELECT document_text('$inline')")->{status}, 404, 'it has no text');

# A row first, its content by document_put().
my $put = gateway($node, { user => $maya }, "INSERT INTO documents (user_id, title, encrypt, content_type, is_encrypted) VALUES ('$maya', 'put', true, 'application/pdf', true) RETURNING id")->{out};
is(of('put', "is_encrypted || ' ' || encryption_status"), 'false pending', 'without content it is pending, and not encrypted');
is(gateway($node, { user => $maya }, "SELECT document_content('$put')")->{status}, 404, 'and has nothing to read');
is(bound($maya, "SELECT document_put('$put', decode(:content, 'hex'))", content => unpack('H*', $pdf)), '', 'the content comes');
is(of('put', "is_encrypted || ' ' || encryption_status"), 'true sealed', 'and is sealed');
ok(wait_for($node, 'postgres', "SELECT extraction_status FROM documents WHERE id = '$put'", 'done'), 'the text of the PDF is extracted');
is(of('put', "extracted_text IS NULL AND page_count = 3"), 't', 'and not in the row');
is(gateway($node, { user => $maya }, "SELECT document_text('$put') LIKE '%Xq7Marker' || 'Zeppelin42%'")->{out}, 't', 'but to be read by its owner');
is(gateway($node, { user => $noah }, "SELECT document_text('$put')")->{status}, 404, 'and by nobody else');
is(query("SELECT (result - 'characters')::text FROM job_queue WHERE job_type = 'pdf_extraction'"), '{"pages": 3, "truncated": false}', 'the job does not tell the title');

# The worker that had content and text in its hands wiped them.
my $worker_memory = memory_of(query("SELECT pid FROM padlock.worker_status() WHERE state IN ('idle', 'busy')"));
SKIP:
{
	skip('the memory of another process cannot be read here', 2) unless length($worker_memory // '');
	like($worker_memory, qr/pdf_extraction/, "the worker's memory is read");
	is(() = $worker_memory =~ /\Q$marker\E/g, 0, 'and holds nothing of the PDF');
}

# By URL: pending until a worker has fetched and sealed it.
is(bound($maya, 'SELECT document_upload(:body::jsonb)',
		body => qq({"title": "url", "encrypt": true, "document_type": "policy", "file_url": "$site->{url}/policy.pdf"})), '', 'an upload by URL');
ok(wait_for($node, 'postgres', "SELECT encryption_status || ' ' || extraction_status FROM documents WHERE title = 'url'", 'sealed done'), 'a worker seals it and its text');
is(of('url', "is_encrypted AND encryption_key_id = 'documents/1' AND extracted_text IS NULL AND file_size = " . length($pdf)), 't', 'the row says so');
my $url = of('url', 'id');
is(gateway($node, { user => $maya }, "SELECT md5(document_content('$url'))")->{out}, md5_hex($pdf), 'byte for byte');
is(bound($maya, 'SELECT document_upload(:body::jsonb)', body => qq({"title": "letter", "encrypt": true, "file_url": "$site->{url}/letter.txt"})), '', 'another');
ok(wait_for($node, 'postgres', "SELECT encryption_status || ' ' || extraction_status FROM documents WHERE title = 'letter'", 'sealed none'), 'one without a text is sealed');
is(bound($maya, 'SELECT document_upload(:body::jsonb)', body => qq({"title": "missing", "encrypt": true, "file_url": "$site->{url}/missing.pdf"})), '', 'one that is not there');
ok(wait_for($node, 'postgres', "SELECT encryption_status || ' ' || extraction_status FROM documents WHERE title = 'missing'", 'failed failed'), 'ends failed');
is(of('missing', "NOT is_encrypted AND encryption_error ~ '404' AND encryption_key_id IS NULL"), 't', 'not encrypted, and says why');

# While the keyring is locked, what needs it waits, and uses no attempt up.
{
	my $visits = sub { return scalar(() = (eval { slurp_file($site->{log}) } // '') =~ /waiting\.pdf/g); };

	append_to_file("$site_folder/waiting.pdf", $pdf);
	query('SELECT padlock.lock_keyring()');
	is(bound($maya, 'SELECT document_upload(:body::jsonb)', body => qq({"title": "waiting", "encrypt": true, "file_url": "$site->{url}/waiting.pdf"})), '', 'an upload while the keyring is locked');
	my $extraction = query("SELECT enqueue_job('pdf_extraction', '{\"document_id\": \"$put\"}', max_attempts_val => 1)");
	my $reseal = query('SELECT padlock.reseal_documents()');
	my $jobs = "FROM job_queue WHERE (id IN ('$extraction', '$reseal') OR payload->>'document_id' = (SELECT id::text FROM documents WHERE title = 'waiting'))";
	ok(wait_for($node, 'postgres', "SELECT encryption_status || ' ' || encryption_error FROM documents WHERE title = 'waiting'", 'pending the keyring is locked'), 'the document says what it waits for');
	ok(wait_for($node, 'postgres', "SELECT extraction_error FROM documents WHERE id = '$put'", 'the keyring is locked'), 'so does one whose text is to be taken');
	sleep(2);   # some ten times padlock.retry_base, which is more than the jobs' attempts
	query("SELECT pause_job_type(t) FROM unnest(ARRAY['document_seal', 'pdf_extraction', 'document_reseal']) AS t");
	ok(wait_for($node, 'postgres', "SELECT count(*) $jobs AND status = 'processing'", '0'), 'a pause');
	is(query("SELECT string_agg(status || ' ' || attempts, ', ') $jobs"), join(', ', ('pending 0') x 3), 'no attempt was counted');
	is($visits->(), 0, 'nor was anything fetched');
	query("SELECT padlock.unlock_keyring(), (SELECT count(resume_job_type(t)) FROM unnest(ARRAY['document_seal', 'pdf_extraction', 'document_reseal']) AS t)");
	ok(wait_for($node, 'postgres', "SELECT encryption_status || ' ' || extraction_status || coalesce(encryption_error, '') FROM documents WHERE title = 'waiting'", 'sealed done'), 'unlocked, it is sealed, and its text taken');
	ok(wait_for($node, 'postgres', "SELECT string_agg(status || ' ' || attempts, ', ') $jobs", join(', ', ('completed 1') x 4)), 'all at the first attempt') or diag(query("SELECT job_type, status, attempts, error_message $jobs"));
	is(query("SELECT extraction_status || coalesce(extraction_error, '') FROM documents WHERE id = '$put'"), 'done', 'the text is there');
	query("DELETE FROM documents WHERE title = 'waiting'; DELETE FROM job_queue WHERE id = '$reseal'");
}

# Programs that had the bytes in their hands leave no core dump, whatever the server's own limit.
my ($helper_of) = query("SELECT pid FROM padlock.worker_status() WHERE state IN ('idle', 'busy')");
my %core = map { my ($program, $limits) = @$_; ($program => $limits =~ /^Max core file size\s+(\d+)\s+(\d+)/m ? "$1 $2" : '?') }
  map { my ($name, $parent) = (eval { slurp_file("/proc/$_/stat") } // '') =~ /\((.*)\) \S (\d+)/;
	defined $name && $name =~ /^padlock_/ && $parent == $helper_of ? [ $name, eval { slurp_file("/proc/$_/limits") } // '' ] : () } map { m{(\d+)} } glob('/proc/[0-9]*');
is_deeply(\%core, { padlock_fetch => '0 0', padlock_parse => '0 0' }, 'helper programs dump no core');

# A content that its user puts while a worker fetches the document's URL stays; another URL is fetched then.
foreach my $case ([ 'own', "SELECT document_put(%s, 'my own')", 'sealed my own' ],
	[ 'moved', "UPDATE documents SET file_url = '$site->{url}/policy.pdf' WHERE id = %s", 'sealed %PDF-1' ])
{
	my ($title, $change, $after) = @$case;
	my $id = query("SET session_replication_role = replica; INSERT INTO documents (user_id, title, encrypt, encryption_status, file_url) VALUES ('$maya', '$title', true, 'pending', '$site->{url}/letter.txt') RETURNING id");
	my $session = $node->background_psql('postgres');

	$session->query_safe("BEGIN; SELECT FROM documents WHERE id = '$id' FOR UPDATE");
	my $job = query("SELECT enqueue_job('document_seal', '{\"document_id\": \"$id\"}')");
	ok(wait_for($node, 'postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type ~ 'padlock'"), "$title: a worker has fetched it");
	$session->query_safe(sprintf($change, "'$id'") . '; COMMIT');
	$session->quit;
	ok(wait_for($node, 'postgres', "SELECT status FROM job_queue WHERE id = '$job'", 'completed'), "$title: and ends");
	is(query("SELECT encryption_status || ' ' || encode(substr(document_content(id), 1, 6), 'escape') FROM documents WHERE id = '$id'"), $after, "$title: what is stored is not what came late");
	query("DELETE FROM documents WHERE id = '$id'");
}

# A text that was taken from a content which is replaced meanwhile is not the new one's.
my $swapped = gateway($node, { user => $maya }, "INSERT INTO documents (user_id, title, encrypt, content_type) VALUES ('$maya', 'swapped', true, 'application/pdf') RETURNING id")->{out};
is(bound($maya, "SELECT document_put('$swapped', decode(:content, 'hex'))", content => unpack('H*', $pdf)), '', 'a PDF');
ok(wait_for($node, 'postgres', "SELECT extraction_status FROM documents WHERE id = '$swapped'", 'done'), 'and its text');
{
	my $session = $node->background_psql('postgres');

	$session->query_safe("BEGIN; SELECT FROM documents WHERE id = '$swapped' FOR UPDATE");
	query("SELECT enqueue_job('pdf_extraction', '{\"document_id\": \"$swapped\"}')");
	ok(wait_for($node, 'postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type ~ 'padlock'"), 'a worker has read it again');
	$session->query_safe("SELECT document_put('$swapped', 'no PDF at all'); COMMIT");
	$session->quit;
}
ok(wait_for($node, 'postgres', "SELECT count(*) FROM job_queue WHERE payload->>'document_id' = '$swapped' AND status IN ('pending', 'processing')", '0'), 'all is tried with the content that came then');
is(of('swapped', "extraction_status || ' ' || coalesce(page_count, 0)"), 'failed 0', 'which has no text');
is(gateway($node, { user => $maya }, "SELECT document_text('$swapped')")->{status}, 404, 'and does not get the other one');
query("DELETE FROM documents WHERE id = '$swapped'");

# In clear nowhere: everything the server wrote, and what sessions show.
query('CHECKPOINT');
my @forms = ($marker, (map { substr(encode_base64(('x' x $_) . $marker . ('y' x ((3 - ($_ + length $marker) % 3) % 3)), ''), 4, -4) } 0 .. 2), unpack('H*', $marker));
sub finds
{
	my @found;
	find({ no_chdir => 1, wanted => sub {
		return unless -f $_;
		my $text = eval { slurp_file($_) } // return;
		push @found, $_ if grep { index($text, $_) >= 0 || index(lc $text, $_) >= 0 } @forms;
	} }, $node->data_dir, $node->logfile);
	return join(' ', map { s{.*/pgdata/}{}r } @found);
}
is(finds(), '', 'no file of the server holds it: heap, TOAST, WAL, temporary files, log');
unlike(substr(slurp_file($node->logfile), $offset), qr/\Q$marker\E/, 'the log, again');
like(substr(slurp_file($node->logfile), $offset), qr/document_upload/, 'which has the statements');
my $poller = $node->background_psql('postgres');
my $seen = 0;
append_to_file("$dir/activity.sql", "SELECT length(padlock.encrypt(decode(:body, 'base64'), 'documents', '{}')), pg_sleep(0.5);\n");
my ($activity_out, $activity_err) = ('', '');
my $run = IPC::Run::start([ 'pgbench', '-n', '-M', 'extended', '-t', '1', '-f', "$dir/activity.sql", '-D', 'body=' . encode_base64($marker x 1000, ''),
		'-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$activity_out, '2>', \$activity_err);
my $active = 0;
for (1 .. 20)
{
	my ($session, $marked) = split(/\|/, $poller->query_safe("SELECT count(*) FILTER (WHERE query ~ 'padlock.encrypt'), count(*) FILTER (WHERE query ~ '$marker|"
		  . substr($forms[1], 0, 20) . "') FROM pg_stat_activity WHERE pid <> pg_backend_pid()"));
	$active += $session;
	$seen += $marked;
	sleep(0.03);
}
$run->finish;
ok($active > 0, 'a session that encrypts was looked at');
is($seen, 0, 'no session showed it');
$poller->quit;

# Gateways call functions in WITH: what does not fit in work_mem goes to a temporary file there, in clear.
my $large = gateway($node, { user => $maya }, "INSERT INTO documents (user_id, title, encrypt) VALUES ('$maya', 'large', true) RETURNING id")->{out};
query("SELECT document_put('$large', convert_to(repeat('0123456789', 100000), 'UTF8'))");
my $with = "WITH source AS (SELECT document_content('$large') AS c) SELECT length(c) FROM source; SELECT length(c) FROM document_content('$large') AS c";
for (([ '2MB', '' ], [ '64kB', 'temporary file' ]))
{
	my $from = -s $node->logfile;

	is(query("SET work_mem = '$_->[0]'; $with"), "1000000\n1000000", "a large document in $_->[0]");
	is(substr(slurp_file($node->logfile), $from) =~ /LOG:  (temporary file)/ ? $1 : '', $_->[1], $_->[1] || 'no temporary file');
}
query("DELETE FROM documents WHERE id = '$large'");

# The search does find what is stored in clear.
is(bound($noah, 'SELECT document_upload(:body::jsonb)', body => qq({"title": "clear", "content": "@{[ encode_base64("Dear $marker", '') ]}"})), '', 'an upload that is not encrypted');
is(of('clear', "is_encrypted || ' ' || encryption_status"), 'false none', 'says so');
query('CHECKPOINT');
like(finds(), qr{base/.*pg_wal/|pg_wal/.*base/}, 'is found, in a table and in WAL');

# Bound to its row and owner: a message moved to another does not open.
my $clear = of('clear', 'id');
query("UPDATE documents SET user_id = '$maya' WHERE id = '$clear'");
my ($rc, $out, $err) = $node->psql('postgres', "UPDATE documents SET user_id = '$noah' WHERE id = '$inline'");
like($err, qr/an encrypted document cannot change its id or owner/, 'an encrypted document keeps its owner');
($rc, $out, $err) = $node->psql('postgres', "UPDATE documents SET encrypt = false WHERE id = '$inline'");
like($err, qr/cannot be changed/, 'and stays encrypted');
for my $who ({ user => $ada }, { role => 'service_role' })
{
	like(gateway($node, $who, "UPDATE documents SET $_ WHERE id = '$inline'")->{err}, qr/column "\w+" of an encrypted document cannot be changed/, "nobody writes $_")
	  for 'is_encrypted = false', 'encryption_key_id = NULL', "encryption_algorithm = 'x'", "encryption_status = 'none'";
}
is(gateway($node, { user => $ada }, "UPDATE documents SET description = 'd', is_encrypted = true WHERE id = '$inline' RETURNING description")->{out}, 'd', 'what is no change is no lie');

# An admin who sets is_encrypted has a document encrypted; what says how a content is stored never lies.
my $truth = "is_encrypted || ' ' || encryption_status || ' ' || coalesce(encryption_key_id, '-') || ' ' || coalesce(encryption_algorithm, '-')";
my $sealed = 'true sealed documents/1 AES_256_GCM_HKDF_SHA512_COMMIT_KEY';
my $late = 'Qv9LateMarkerHeron1';
my $late_pdf = $pdf =~ s/\Q$marker\E/$late/gr;

# The tables with a row that holds it.
sub tells
{
	my $held = "SELECT format('SELECT %L FROM %s t WHERE t::text LIKE ANY (ARRAY[%L, %L]) HAVING count(*) > 0', oid::regclass, oid::regclass, '%$late%', '%" . unpack('H*', $late) . "%')"
	  . " FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, 'padlock'::regnamespace)";
	return join(' ', sort split(/\n/, query($held . ' \\gexec')));
}
my %wished = (
	stored => [ { user => $ada }, "SELECT document_upload('{\"title\": \"stored\", \"content_type\": \"application/pdf\", \"content\": \"" . encode_base64($late_pdf, '') . "\"}')" ],
	linked => [ { role => 'service_role' }, "INSERT INTO documents (title, file_url) VALUES ('linked', '$site->{url}/letter.txt')" ],
	missed => [ { user => $ada }, "INSERT INTO documents (title, file_url) VALUES ('missed', '$site->{url}/missing.txt')" ]);
foreach my $title (sort keys %wished)
{
	my ($who, $make) = @{ $wished{$title} };

	ok(gateway($node, { user => $noah }, $make)->{ok}, "$title: a document in clear");
	ok(wait_for($node, 'postgres', "SELECT extraction_status <> 'pending' FROM documents WHERE title = '$title'"), "$title: its text is read") if $title eq 'stored';
	is(of($title, $truth), 'false none - -', "$title: says so");
	is(tells(), 'documents padlock.document_contents', "$title: its bytes and its text are in clear where they are stored, and nowhere else") if $title eq 'stored';
	like(gateway($node, $who, "UPDATE documents SET $_ WHERE title = '$title'")->{err}, qr/column "\w+" of a document cannot be changed.*HINT:  Set is_encrypted/s, "$title: nobody writes $_")
	  for "encryption_key_id = 'x'", "encryption_algorithm = 'x'", "encryption_status = 'sealed'", "is_encrypted = true, encryption_key_id = 'x'";
	is(gateway($node, $who, "UPDATE documents SET is_encrypted = true WHERE title = '$title' RETURNING $truth")->{out}, 'false pending - -', "$title: is to be encrypted");
	ok(wait_for($node, 'postgres', "SELECT encryption_status FROM documents WHERE title = '$title'", $title eq 'missed' ? 'failed' : 'sealed'), "$title: and a worker does");
	is(of($title, $truth), $title eq 'missed' ? 'false failed - -' : $sealed, "$title: which the row says");
}
is(query("SELECT count(*) FROM padlock.document_contents c JOIN documents d ON d.id = c.document_id WHERE title IN ('stored', 'linked') AND substr(content, 1, 3) <> '\\x020478'"), '0', 'they are messages');
is(gateway($node, { user => $noah }, "SELECT length(document_content('" . of('stored', 'id') . "'))")->{out}, length($late_pdf), 'and open');
ok(wait_for($node, 'postgres', "SELECT extraction_status || (extracted_text IS NULL) FROM documents WHERE title = 'stored'", 'donetrue'), 'the text is sealed, too');
is(tells(), '', 'in clear they are in no row any more');
is(gateway($node, { user => $ada }, "UPDATE documents SET is_encrypted = true WHERE title = 'missed' RETURNING $truth")->{out}, 'false pending - -', 'what failed can be asked for again');
is(gateway($node, $_, "INSERT INTO documents (user_id, title, is_encrypted, encryption_key_id, encryption_algorithm, encryption_status) VALUES ('$noah', 'said', true, 'x', 'x', 'sealed') RETURNING $truth")->{out},
	'false pending - -', 'nor does a new row lie') for { user => $ada }, { role => 'service_role' };
is(gateway($node, { user => $ada }, "INSERT INTO documents (user_id, title, encryption_key_id, encryption_algorithm, encryption_status) VALUES ('$noah', 'unsaid', 'x', 'x', 'sealed') RETURNING $truth")->{out}, 'false none - -', 'in any column');
is(gateway($node, { user => $noah }, "SELECT document_put(id, 'x') -> 'document' ->> 'encryption_status' FROM documents WHERE title = 'said' LIMIT 1")->{out}, 'sealed', 'until its content comes');
query("DELETE FROM documents WHERE title IN ('stored', 'linked', 'missed', 'said', 'unsaid')");

query("SET session_replication_role = replica; UPDATE documents SET user_id = '$noah' WHERE id = '$inline'");
like(gateway($node, { user => $noah }, "SELECT document_content('$inline')")->{err}, qr/message could not be decrypted/, 'given to another all the same, it does not open');
query("SET session_replication_role = replica; UPDATE documents SET user_id = '$maya' WHERE id = '$inline'");
is(gateway($node, { user => $maya }, "SELECT length(document_content('$inline'))")->{out}, length("Dear $marker"), 'given back, it does');
query("UPDATE padlock.document_contents c SET content = o.content FROM padlock.document_contents o WHERE c.document_id = '$inline' AND o.document_id = '$put'");
$answer = gateway($node, { user => $maya }, "SELECT document_content('$inline')");
like($answer->{err}, qr/message could not be decrypted/, "another row's content does not open");
query("UPDATE padlock.document_contents SET text = content WHERE document_id = '$put'");
like(gateway($node, { user => $maya }, "SELECT document_text('$put')")->{err}, qr/message could not be decrypted/, 'nor content as text');
is(bound($maya, "SELECT document_put('$put', decode(:content, 'hex'))", content => unpack('H*', $pdf)), '', 'put again');
is(query("SELECT count(DISTINCT substr(content, 4, 32)) = count(*) FROM padlock.document_contents"), 't', 'no two have the same message id');
ok(wait_for($node, 'postgres', "SELECT extraction_status FROM documents WHERE id = '$put'", 'done'), 'its text, again');

# After a rotation a job seals all anew; one that does not open is named and passed over.
is(query("SELECT padlock.rotate_key('documents')"), 'documents/2', 'a rotation');
ok(wait_for($node, 'postgres', "SELECT count(*) FROM documents WHERE encryption_key_id = 'documents/2'", '3'), 'three of four documents get the new key');
ok(wait_for($node, 'postgres', "SELECT error_message ~ '^1 documents could not be sealed anew' FROM job_queue WHERE job_type = 'document_reseal'"), 'the job says that one does not open');
like(slurp_file($node->logfile), qr/WARNING:  document $inline could not be sealed anew: message could not be decrypted/, 'the log which');
is(gateway($node, { user => $maya }, "SELECT md5(document_content('$url'))")->{out}, md5_hex($pdf), 'what was sealed anew opens');
is(gateway($node, { user => $maya }, "SELECT document_text('$put') LIKE '%Harbour Mutual%'")->{out}, 't', 'its text as well');
($rc, $out, $err) = $node->psql('postgres', "SELECT padlock.destroy_key('documents/1')");
like($err, qr/key "documents\/1" is still needed by documents/, 'a key that a document needs is kept');
unlike($err, qr/CONTEXT|UPDATE/, 'and no statement of padlock\'s own is quoted');
is(gateway($node, { user => $maya }, "DELETE FROM documents WHERE id = '$inline' RETURNING 'gone'")->{out}, 'gone', 'that document is deleted');
is(query("SELECT count(*) FROM padlock.document_contents WHERE document_id = '$inline'"), '0', 'and its content with it');

# The end of a key gives way to transactions that have sealed, is in nobody's way, and
# minds no reader of the table, as pg_dump is.
my $dump = $node->background_psql('postgres');
$dump->query_safe('BEGIN; LOCK TABLE padlock.keys IN ACCESS SHARE MODE');
my $sealing = $node->background_psql('postgres', on_error_stop => 0);
$sealing->query_safe('BEGIN');
query("INSERT INTO documents (id, user_id, title, encrypt) VALUES ('d0000000-0000-4000-8000-00000000000d', '$noah', 'late', true)");
$sealing->query_safe("SELECT document_put('d0000000-0000-4000-8000-00000000000d', 'late')");
query("SELECT pause_job_type('document_reseal')");
is(query("SELECT padlock.rotate_key('documents')"), 'documents/3', 'a rotation does not wait for it');
my $destroying = $node->background_psql('postgres', on_error_stop => 0);
$destroying->query_until(qr/asked/, "\\echo asked\nSELECT padlock.destroy_key('documents/2');\n");
ok(wait_for($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT padlock.destroy_key' AND wait_event = 'Extension'", '1', 2), 'the end of its key waits for a while');
is(query("SET statement_timeout = '500ms'; SELECT length(padlock.encrypt('x', 'documents', '{}')) > 0"), 't', 'while others encrypt');
like($destroying->query('SELECT 1') . $destroying->{stderr}, qr/cannot be destroyed while transactions that encrypt are open.*Try again/s, 'and gives way');
$destroying->quit;
is(query("SELECT state FROM padlock.keyring() WHERE key_name = 'documents/2'"), 'decrypt-only', 'the key is there');
$sealing->query_safe('COMMIT');
$sealing->quit;
($rc, $out, $err) = $node->psql('postgres', "SELECT padlock.destroy_key('documents/2')");
like($err, qr/still needed by documents/, 'and is refused then');
query("SELECT padlock.reseal_documents(), resume_job_type('document_reseal')");
ok(wait_for($node, 'postgres', "SELECT count(*) FROM documents WHERE encryption_key_id = 'documents/2'", '0'), 'until the document is sealed anew');
($rc, $out, $err) = $node->psql('postgres', "SELECT padlock.destroy_key('documents/2')");
like($err, qr/may be needed by messages of padlock.encrypt\(\)/, 'other messages are asked for');
query("SELECT padlock.destroy_key('documents/2', messages_too => true)");
$dump->query_safe('COMMIT');
$dump->quit;

query("SELECT padlock.destroy_key('documents/1', messages_too => true)");
is(gateway($node, { user => $maya }, "SELECT length(document_content('$url'))")->{out}, length($pdf), 'without the old key the others open');

# A worker that is killed while it seals anew: the next goes on.
query("SET session_replication_role = replica; INSERT INTO documents (user_id, title, encrypt) SELECT '$noah', 'bulk ' || n, true FROM generate_series(1, 300) AS n");
query("DO \$\$ DECLARE d record; BEGIN FOR d IN SELECT id FROM documents WHERE title LIKE 'bulk %' LOOP PERFORM document_put(d.id, convert_to(repeat('x', 5000), 'UTF8')); END LOOP; END \$\$");
my $last = query("SELECT id FROM documents WHERE is_encrypted ORDER BY id OFFSET 150 LIMIT 1");
my $holding = $node->background_psql('postgres', on_error_stop => 0);
$holding->query_safe("BEGIN; SELECT FROM documents WHERE id = '$last' FOR UPDATE");
query("SELECT padlock.rotate_key('documents')");
my $all = query("SELECT count(*) FROM documents WHERE is_encrypted");
ok(wait_for($node, 'postgres', "SELECT done || ' of ' || total FROM padlock.job_progress WHERE job_type = 'document_reseal'", "150 of $all"), 'the job says how far it is') or diag(query('SELECT * FROM padlock.job_progress'));
my $worker = query("SELECT pid FROM padlock.worker_status() WHERE state = 'busy' LIMIT 1");
query("SELECT pg_terminate_backend($worker)");
ok(wait_for($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $worker", '0'), 'its worker ends');
query("UPDATE job_queue SET locked_until = now() - interval '1 second' WHERE status = 'processing'");   # not to wait for the lease's end
ok(wait_for($node, 'postgres', "SELECT done || ' of ' || total FROM padlock.job_progress WHERE job_type = 'document_reseal'", "150 of $all"), 'the next attempt goes on where that one was') or diag(query('SELECT * FROM padlock.job_progress'));
$holding->query_safe('COMMIT');
$holding->quit;
ok(wait_for($node, 'postgres', "SELECT count(*) FROM documents WHERE is_encrypted AND encryption_key_id <> 'documents/4'", '0', 120), 'all are sealed anew in the end');
is(query("SELECT count(*) FROM documents WHERE title LIKE 'bulk %' AND encryption_key_id = 'documents/4'"), '300', 'every one');
ok(wait_for($node, 'postgres', "SELECT result->>'sealed' FROM job_queue WHERE job_type = 'document_reseal' ORDER BY created_at DESC LIMIT 1", $all), 'the result is that of all attempts');

# One whose content leaves for the object store while it is to be sealed anew: the attempt fails.
my $moving = $node->background_psql('postgres', on_error_stop => 0);
$moving->query_safe("BEGIN; SELECT FROM documents WHERE title = 'url' FOR UPDATE");
query("CREATE TABLE kept AS SELECT * FROM padlock.document_contents WHERE document_id = '$url'");
query("SELECT padlock.rotate_key('documents')");
ok(wait_for($node, 'postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type ~ 'padlock'"), 'the worker waits for the document');
$moving->query_safe("UPDATE padlock.document_contents SET content = NULL, object_key = 'k', object_hash = sha256('x') WHERE document_id = '$url'; COMMIT");
$moving->quit;
ok(wait_for($node, 'postgres', "SELECT count(*) FROM job_queue WHERE job_type = 'document_reseal' AND error_message ~ '^content of document $url is in the object store|s3_url'", '1'), 'the job says so');
unlike(slurp_file($node->logfile), qr/terminated by signal 11/, 'and nothing crashed');
query("UPDATE padlock.document_contents c SET content = k.content, object_key = NULL, object_hash = NULL FROM kept k WHERE c.document_id = k.document_id");
ok(wait_for($node, 'postgres', "SELECT count(*) FROM documents WHERE is_encrypted AND encryption_key_id <> 'documents/5'", '0', 120), 'once it is back, it is sealed anew');

# An upload that is open during a rotation, sealed under the key before, is sealed anew when it is there.
my $open = $node->background_psql('postgres');
my $upload = query("INSERT INTO documents (user_id, title, encrypt) VALUES ('$noah', 'open', true) RETURNING id");
$open->query_safe("BEGIN; SELECT document_put('$upload', 'open')");
is(query("SELECT padlock.rotate_key('documents')"), 'documents/6', 'a rotation meanwhile');
ok(wait_for($node, 'postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type ~ 'padlock'"), 'the worker waits for it');
$open->query_safe('COMMIT');
$open->quit;
ok(wait_for($node, 'postgres', "SELECT encryption_key_id FROM documents WHERE id = '$upload'", 'documents/6'), 'and has it sealed anew');

# A text extracted after a rotation is under a newer key than the content: neither key is destroyed.
query("SELECT pause_job_type(t) FROM unnest(ARRAY['pdf_extraction', 'document_reseal']) AS t");
ok(wait_for($node, 'postgres', "SELECT count(*) FROM job_queue WHERE status = 'processing'", '0'), 'nothing runs');
is(bound($maya, "SELECT document_put('$put', decode(:content, 'hex'))", content => unpack('H*', $pdf)), '', 'a content whose text waits');
query("SELECT padlock.rotate_key('documents')");
query("SELECT resume_job_type('pdf_extraction')");
ok(wait_for($node, 'postgres', "SELECT extraction_status || ' ' || encryption_key_id FROM documents WHERE id = '$put'", 'done documents/6'), 'the text comes after a rotation');
query("SELECT padlock.rotate_key('documents')");
for my $key ('documents/6', 'documents/7')
{
	($rc, $out, $err) = $node->psql('postgres', "SELECT padlock.destroy_key('$key', messages_too => true)");
	like($err, qr/key "$key" is still needed by documents/, "$key is kept");
}
query("SELECT resume_job_type('document_reseal')");
ok(wait_for($node, 'postgres', "SELECT count(*) FROM documents WHERE is_encrypted AND encryption_key_id <> 'documents/8'", '0'), 'all is sealed anew');
query("SELECT padlock.destroy_key(k, messages_too => true) FROM unnest(ARRAY['documents/6', 'documents/7']) AS k");
like(gateway($node, { user => $maya }, "SELECT document_text('$put')")->{out}, qr/\Q$marker\E/, 'and the text opens without them');

# Forgotten: documents, sessions, address, and what the trail says of them.
query("INSERT INTO padlock.sessions (user_id, expires_at) VALUES ('$maya', now() + interval '1 day')");
query("INSERT INTO policies (user_id, policy_number) VALUES ('$maya', 'P-1')");
query("INSERT INTO documents (user_id, title, file_url) VALUES ('$maya', 'gone', '$site->{url}/gone-policy.pdf')");
ok(wait_for($node, 'postgres', "SELECT count(*) FROM job_queue WHERE payload->>'file_url' ~ 'gone-policy' AND status <> 'pending' AND status <> 'processing'", '1'), 'a job has a URL of hers');
query("DELETE FROM documents WHERE title = 'gone'");
query("SELECT enqueue_job('email_notification', jsonb_build_object('to', a, 'template', 'x'), run_at_val => now() + interval '1 day') FROM unnest(ARRAY['MAYA\@documents.example', 'noah\@documents.example']) AS a");
my $before = query("SELECT count(*) FROM audit_logs");
$answer = gateway($node, { role => 'service_role' }, "SELECT padlock.forget_user('$maya') \\gset r_\n\\echo :r_forget_user");
like($answer->{out}, qr/"sessions": 1/, 'a user is forgotten');
is(query("SELECT count(*) FROM documents WHERE user_id = '$maya'"), '0', 'no document is left');
is(query("SELECT count(*) FROM padlock.document_contents c LEFT JOIN documents d ON d.id = c.document_id WHERE d.id IS NULL"), '0', 'no content');
is(query("SELECT count(*) FROM padlock.sessions WHERE user_id = '$maya'"), '0', 'no session');
is(query("SELECT email FROM users WHERE id = '$maya'"), "erased+$maya\@erased.invalid", 'no address');
is(query("SELECT count(*) FROM policies WHERE user_id = '$maya'"), '1', 'policies stay');
is(query("SELECT count(*) FROM audit_logs WHERE (user_id = '$maya' OR coalesce(old_values, new_values)->>'user_id' = '$maya') AND (erased_at IS NULL OR old_values IS NOT NULL OR new_values IS NOT NULL OR ip_address IS NOT NULL)"), '0', 'the trail says nothing of hers');
ok(query("SELECT count(*) FROM audit_logs") > $before, 'but that something was done');
is(query("SELECT count(*) FROM audit_logs WHERE user_id = '$noah' AND erased_at IS NOT NULL"), '0', "others' rows are as they were");
is(query("SELECT count(*) FROM job_queue WHERE payload->>'file_url' ~ 'policy'"), '0', 'no job has her URLs');
is(query("SELECT string_agg(payload->>'to', ' ') FROM job_queue WHERE job_type = 'email_notification'"), 'noah@documents.example', 'nor her address');
($rc, $out, $err) = $node->psql('postgres', "UPDATE audit_logs SET user_agent = 'x'");
like($err, qr/audit rows cannot be changed/, 'the trail is closed as ever');
($rc, $out, $err) = $node->psql('postgres', "SELECT padlock.forget_user(gen_random_uuid())");
like($err, qr/user does not exist/, 'an unknown user');

stop_site($site);
done_testing();
