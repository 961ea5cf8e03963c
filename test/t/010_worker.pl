# Background workers: they find the databases with padlock, do jobs end to end
# with the real helper programs, hold no transaction while they wait, rest
# when idle, and make way for DROP DATABASE and its like.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SlowSite;
use Test::More;
use Time::HiRes qw(sleep time);

my $site = start_site();
my $slow = SlowSite::start();
my $node = new_cluster('worker', workers => 2, conf => <<'CONF');
padlock.allow_private_addresses = on
autovacuum = off
max_worker_processes = 12
CONF

# One value of the first row, in database postgres unless another is named.
sub value
{
	my ($sql, $db) = @_;

	return $node->safe_psql($db // 'postgres', $sql);
}

sub enqueue
{
	my ($type, $payload, $db) = @_;

	return value("SELECT enqueue_job('$type', $payload)", $db);
}

sub ends
{
	my ($job, $status, $db) = @_;
	my $ok = wait_for($node, $db // 'postgres', "SELECT status = '$status' FROM job_queue WHERE id = '$job'");

	diag(value("SELECT to_jsonb(j) FROM job_queue j WHERE id = '$job'", $db)) unless $ok;
	return $ok;
}

my $workers_of = "SELECT count(*) FROM padlock.worker_status() WHERE state IN ('idle', 'busy') AND database = ";
ok(wait_for($node, 'postgres', "$workers_of 'postgres'", '2'), 'workers start in a database that gets padlock');

# A website, end to end.
my $company = value("INSERT INTO insurance_companies (name, website) VALUES ('Harbour', '$site->{url}/') RETURNING id");
my $crawl = enqueue('ai_crawl', "jsonb_build_object('company_id', '$company', 'website', '$site->{url}/')");
ok(ends($crawl, 'completed'), 'a crawl is completed');
is(value("SELECT count(*) FROM insurance_products WHERE company_id = '$company'"), '12', 'the crawl found every product');
like(value("SELECT result FROM job_queue WHERE id = '$crawl'"),
	qr/"created": 12.*staff-rates\.html", "reason": "[^"]*robots/s, 'its result says what was made and what skipped, and why');
is(value("SELECT (result->>'products_found')::int = (result->>'created')::int FROM job_queue WHERE id = '$crawl'"), 't',
	'a page linked under two names is read once');
is(value("SELECT count(*) FROM insurance_products WHERE provenance->'premium_amount'->>'url' = source_url AND last_crawled_at IS NOT NULL"),
	'12', 'every premium says where it comes from');

# Again, after the insurer has set a value of its own.
value("UPDATE insurance_products SET premium_amount = 1, description = NULL, policy_type = 'other' WHERE product_code = 'HM-HLTH-02'");
value("UPDATE insurance_products SET premium_amount = 2, provenance = provenance WHERE product_code = 'HM-AUTO-01'");
value("UPDATE insurance_products SET premium_amount = 3, provenance = provenance || '{\"premium_amount\": {\"source\": \"test\"}}' WHERE product_code = 'HM-AUTO-03'");
my $again = enqueue('ai_crawl', "jsonb_build_object('company_id', '$company', 'website', '$site->{url}/')");
ok(ends($again, 'completed'), 'a second crawl is completed');
is(value("SELECT result->>'created' || ' ' || (result->>'updated') || ' ' || (result->>'unchanged') FROM job_queue WHERE id = '$again'"),
	'0 2 10', 'it updates what changed and adds nothing');
is(value("SELECT string_agg(premium_amount::text, ' ' ORDER BY product_code) FROM insurance_products WHERE product_code IN ('HM-HLTH-02', 'HM-AUTO-01')"),
	'2 1', 'the insurer\'s own premiums stay');
is(value("SELECT premium_amount FROM insurance_products WHERE product_code = 'HM-AUTO-03'"), '1189.00', 'a crawled premium is corrected');
is(value("SELECT description IS NOT NULL AND policy_type = 'other' FROM insurance_products WHERE product_code = 'HM-HLTH-02'"), 't',
	'an empty field is filled, the type of an existing product kept');

# Refresh.
value("UPDATE insurance_products SET last_crawled_at = now() - interval '8 days'");
value("UPDATE insurance_products SET source_url = '$site->{url}/status/410' WHERE product_code = 'HM-PET-01'");
value("INSERT INTO insurance_products (company_id, product_name, policy_type, premium_amount) VALUES ('$company', 'By hand', 'other', 5)");
my $refresh = enqueue('product_refresh', "jsonb_build_object('company_id', '$company')");
ok(ends($refresh, 'completed'), 'a refresh is completed');
is(value("SELECT result - 'skipped' - 'duration_ms' FROM job_queue WHERE id = '$refresh'"),
	'{"gone": 1, "refreshed": 0, "unchanged": 11, "skipped_count": 1, "without_source": 1}', 'it says what it found');
is(value("SELECT count(*) FROM insurance_products WHERE last_crawled_at > now() - interval '1 hour'"), '12', 'every page was looked at');

# A document, and files that are none.
my $user = value("INSERT INTO users (email) VALUES ('user\@example.org') RETURNING id");
my $document = value("INSERT INTO documents (user_id, title, document_type) VALUES ('$user', 'wording', 'policy') RETURNING id");
my %pdf = (
	good => ['completed', "$site->{url}/documents/home-policy-wording.pdf", qr/^$/],
	notpdf => ['failed', "$site->{url}/documents/not-a-policy.pdf", qr/not a PDF/],
	missing => ['failed', "$site->{url}/none.pdf", qr/status 404/],
	scheme => ['failed', 'file:///etc/passwd', qr/./],
);
foreach my $name (sort keys %pdf)
{
	my ($status, $url, $reason) = @{ $pdf{$name} };
	my $job = enqueue('pdf_extraction', "jsonb_build_object('document_id', '$document', 'file_url', '$url')");
	my $seen = $name eq 'good' ? 'done' : 'failed';

	ok(ends($job, $status), "pdf $name: $status");
	like(value("SELECT error_message FROM job_queue WHERE id = '$job'"), $reason, "pdf $name: the reason is given");
	is(value("SELECT extraction_status FROM documents WHERE id = '$document'"), $seen, "pdf $name: the document says so");
}
like(value("SELECT extracted_text FROM documents WHERE id = '$document'"), qr/Harbour Mutual/, 'the text is stored');

# Failures.
my $unknown = enqueue('fortune_telling', "'{}'");
ok(ends($unknown, 'failed'), 'a job of a type nobody handles fails at once');
like(value("SELECT attempts || error_message FROM job_queue WHERE id = '$unknown'"), qr/^1no worker handles jobs of type "fortune_telling": register a function for it with padlock\.register_job_handler\(\), or .* external$/, 'and says what to do');
foreach my $payload ("'{}'", qq('{"company_id": "x", "website": "http://h/"}'), qq('{"company_id": 1, "website": {}}'),
	qq(jsonb_build_object('company_id', gen_random_uuid(), 'website', '$site->{url}/')))
{
	my $job = enqueue('ai_crawl', $payload);
	ok(ends($job, 'failed'), "a crawl with payload $payload fails for good");
}
my $down = enqueue('ai_crawl', "jsonb_build_object('company_id', '$company', 'website', 'http://127.0.0.1:1/')");
ok(wait_for($node, 'postgres', "SELECT attempts >= 1 AND error_message IS NOT NULL FROM job_queue WHERE id = '$down'"), 'a site that is down fails the attempt');
like(value("SELECT status || ': ' || error_message FROM job_queue WHERE id = '$down'"), qr/^pending: .*connect/, 'with its reason, to be retried');
value("DELETE FROM job_queue WHERE id = '$down'");

# No transaction while a page is slow.
my $waiting = enqueue('pdf_extraction', "jsonb_build_object('document_id', '$document', 'file_url', '$slow/wait/4/file.pdf')");
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM padlock.worker_status() WHERE job_id = '$waiting' AND job_type = 'pdf_extraction' AND state = 'busy'"), 'worker_status() shows the job');
sleep(0.5);
is(value("SELECT xact_start IS NULL AND backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE query = 'padlock: pdf_extraction $waiting'"), 't',
	'no transaction is open while the page is fetched');
is(value("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.query = 'padlock: pdf_extraction $waiting'"), '0', 'and no lock is held');
ok(ends($waiting, 'completed'), 'the slow page is read in the end');

# A claim that was lost meanwhile.
value("UPDATE documents SET extraction_status = 'none', extracted_text = NULL WHERE id = '$document'");
my $stolen = enqueue('pdf_extraction', "jsonb_build_object('document_id', '$document', 'file_url', '$slow/wait/3/file.pdf')");
ok(wait_for($node, 'postgres', "SELECT status = 'processing' FROM job_queue WHERE id = '$stolen'"), 'a job is claimed');
value("UPDATE job_queue SET attempts = attempts + 1, locked_until = now() + interval '1 hour' WHERE id = '$stolen'");
ok(wait_for($node, 'postgres', "SELECT count(*) = 0 FROM padlock.worker_status() WHERE state = 'busy'"), 'its worker ends');
is(value("SELECT status FROM job_queue WHERE id = '$stolen'"), 'processing', 'but cannot end the job of another claim');
is(value("SELECT extraction_status FROM documents WHERE id = '$document'"), 'none', 'and its data is rolled back');
value("DELETE FROM job_queue WHERE id = '$stolen'");

# Cancel: the attempt fails, the worker lives.
my $cancelled = enqueue('pdf_extraction', "jsonb_build_object('document_id', '$document', 'file_url', '$slow/wait/15/file.pdf')");
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'padlock: pdf_extraction $cancelled'"), 'a long job runs');
value("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = 'padlock: pdf_extraction $cancelled'");
ok(wait_for($node, 'postgres', "SELECT error_message LIKE 'canceling%' FROM job_queue WHERE id = '$cancelled'", 't', 5), 'pg_cancel_backend() ends the attempt');
value("DELETE FROM job_queue WHERE id = '$cancelled'");
is(value('SELECT sum(restarts) FROM padlock.worker_status()'), '0', 'no worker died of any of this');

# Idle workers rest.
sleep(1);
my $xid = value('SELECT pg_snapshot_xmax(pg_current_snapshot())');
my $commits = value("SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'");
sleep(8);
is(value('SELECT pg_snapshot_xmax(pg_current_snapshot())'), $xid, 'idle workers write nothing');
# two workers that look every five seconds, at keys, the search index and the queue
cmp_ok(value("SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'") - $commits, '<', 20, 'and do not poll');
my $start = time();
my $woken = enqueue('fortune_telling', "'{}'");
ok(ends($woken, 'failed'), 'a new job wakes them');
cmp_ok(time() - $start, '<', 2, 'at once');

# Other databases.
value('CREATE DATABASE plain');
value('CREATE DATABASE second');
value('CREATE EXTENSION padlock', 'second');
ok(wait_for($node, 'postgres', "$workers_of 'second'", '2', 15), 'another database gets its own workers');
is(value("$workers_of 'plain'"), '0', 'one without padlock has none');
ok(ends(enqueue('fortune_telling', "'{}'", 'second'), 'failed', 'second'), 'and they serve it');

# DROP DATABASE and its like, with a worker in the middle of a job.
foreach my $statement ('ALTER DATABASE second RENAME TO third', 'CREATE DATABASE copy TEMPLATE third',
	'DROP DATABASE third', 'DROP DATABASE copy WITH (FORCE)')
{
	my ($db) = $statement =~ /(second|third|copy)\b(?!.*TEMPLATE)/;
	$db = 'third' if $statement =~ /TEMPLATE/;

	ok(wait_for($node, 'postgres', "$workers_of '$db'", '2', 15), "$db has workers");
	value("WITH u AS (INSERT INTO users (email) VALUES (gen_random_uuid() || '\@x.org') RETURNING id) INSERT INTO documents (user_id, title, document_type, file_url) SELECT id, 'x', 'policy', '$slow/wait/15/file.pdf' FROM u RETURNING id", $db);
	ok(wait_for($node, 'postgres', "SELECT count(*) >= 1 FROM padlock.worker_status() WHERE database = '$db' AND state = 'busy'"), 'one is busy');
	$start = time();
	my ($rc, $out, $err) = $node->psql('postgres', $statement);
	is($rc, 0, $statement) or diag($err);
	cmp_ok(time() - $start, '<', 2, 'without much waiting');
}
$node->psql('postgres', 'ALTER DATABASE postgres RENAME TO other');
ok(wait_for($node, 'postgres', "$workers_of 'postgres'", '2', 15), 'a statement that fails leaves the workers');

# Who may not drop a database may not stop its workers.
my $pids = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM padlock.worker_status() WHERE database = 'postgres'";
my $before = value($pids);
value('CREATE ROLE nobody LOGIN');
$node->psql('template1', 'DROP DATABASE postgres', extra_params => [ '-U', 'nobody' ]);
is(value($pids), $before, 'a DROP DATABASE that is refused stops nobody');

# The extension goes and comes.
value('DROP EXTENSION padlock CASCADE; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = \'padlock worker\'');
ok(wait_for($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'padlock worker'", 't', 15), 'without the extension there are no workers');
value('CREATE EXTENSION padlock');
ok(wait_for($node, 'postgres', "$workers_of 'postgres'", '2', 15), 'with it they come back');

# Settings.
$node->append_conf('postgresql.conf', "padlock.worker_count = 1\n");
$node->reload;
ok(wait_for($node, 'postgres', "$workers_of 'postgres'", '1', 15), 'fewer workers after a reload');
$node->append_conf('postgresql.conf', "padlock.databases = 'elsewhere'\n");
$node->reload;
ok(wait_for($node, 'postgres', "$workers_of 'postgres'", '0', 15), 'none in a database that is not named');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
done_testing();
