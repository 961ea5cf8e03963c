# Endpoint ai_product_ingest: the file of secrets, rotation, bad bodies,
# companies and products found and made, and the insurer's word against it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $file = "$dir/webhook.secrets";
my $node = new_cluster('webhook', conf => "padlock.webhook_secrets_file = '$file'\nlog_statement = none\n");
my $secret = 'first secret, 27 characters';
my $second = 'another-secret-4711-0815';
my $url = 'https://insurer.example/gold';

sub query
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

query('UPDATE rate_limit_rules SET max_requests = 100000');

sub write_secrets
{
	my ($text, $mode) = @_;
	open(my $handle, '>:raw', $file) or die "$file: $!";
	print $handle $text;
	close($handle);
	chmod($mode // 0600, $file);
	return;
}

# Call the endpoint; the answer as rpc() gives it.
sub ingest
{
	my ($body, $with, %headers) = @_;
	$with //= $secret;
	return rpc($node, { headers => { 'x-webhook-secret' => $with, %headers } }, 'ai_product_ingest', $body);
}

# A body that is right, changed by the arguments; undef takes a field away.
sub body
{
	my %body = (source_url => $url, company_name => 'Harbour Mutual', product_name => 'Gold Health', premium_amount => 120, @_);
	delete @body{ grep { !defined $body{$_} } keys %body };
	return \%body;
}

sub log_since
{
	my ($offset) = @_;
	return substr(slurp_file($node->logfile), $offset);
}

# --- the file ----------------------------------------------------------------

my $offset = -s $node->logfile;
my $answer = ingest(body());
is($answer->{status}, 500, 'a file that is not there');
is_deeply([ @{ $answer->{body} }{qw(code message details hint)} ], [ 'F0000', 'webhook secrets cannot be used', undef, "The server's log says why." ], 'is not explained to callers');
like(log_since($offset), qr/webhooks are refused: .*\n.*DETAIL:  Could not open file "\Q$file\E"/, 'but in the log');

for my $case (
	[ 'that the group can read', "$secret\n", 0640, qr/can be read or written by others/ ],
	[ 'that others can read', "$secret\n", 0604, qr/can be read or written by others/ ],
	[ 'that others can write', "$secret\n", 0602, qr/can be read or written by others/ ],
	[ 'that is empty', '', 0600, qr/is empty/ ],
	[ 'with a short secret', "# comment\n$secret\n  fifteen letters \n", 0600, qr/line 3 of the file .* is shorter than 16 characters/ ],
	[ 'with a NUL', "$secret\0\n", 0600, qr/is not UTF-8 text/ ],
	[ 'that is too long', ("$secret\n" x 4000), 0600, qr/is too long/ ])
{
	my ($what, $text, $mode, $reason) = @$case;
	write_secrets($text, $mode);
	$offset = -s $node->logfile;
	is(ingest(body())->{status}, 500, "a file $what is refused");
	my $log = log_since($offset);
	like($log, $reason, "and the log says why");
	unlike($log, qr/first secret|fifteen letters/, 'without a secret');
}
unlink $file;
mkdir $file;
is(ingest(body())->{status}, 500, 'a folder is refused');
rmdir $file;
is(query('SELECT count(*) FROM insurance_companies'), 0, 'nothing was written');

# --- secrets -----------------------------------------------------------------

write_secrets("# of the pipeline\r\n\r\n\t$secret \r\n");
is(ingest('{}', $_->[1])->{status}, $_->[2], $_->[0]) for (
	[ 'the secret, white space around it aside', $secret, 400 ],
	[ 'no secret', '', 401 ], [ 'a wrong one', 'x' x 27, 401 ],
	[ 'one that only begins like it', substr($secret, 0, 16), 401 ],
	[ 'one that is longer', "$secret!", 401 ],
	[ 'in capitals', uc $secret, 401 ],
	[ 'a comment', '# of the pipeline', 401 ],
	[ 'the next secret', $second, 401 ]);
is(rpc($node, {}, 'ai_product_ingest', '{}')->{status}, 401, 'no header');
write_secrets("$secret\n$second");
is(ingest('{}', $_)->{status}, 400, 'two are valid during a rotation') for $secret, $second;
write_secrets("$second\n");
is(ingest('{}', $secret)->{status}, 401, 'the one that is taken away is refused at once');
is(ingest('{}', $second)->{status}, 400, 'the other is valid');
write_secrets("$secret\n");

# --- bodies --------------------------------------------------------------------

sub problems
{
	my ($body) = @_;
	my $answer = ingest($body);
	return "$answer->{status}: " . ($answer->{body}{details} // $answer->{body}{message} // '');
}

is(problems('[]'), '400: request body must be a JSON object', 'no object');
is(problems('{}'), '400: source_url: is required; product_name: is required; premium_amount: is required; company_name: is required, or company_id', 'an empty body');
is(problems(body(company_name => ' ', product_name => "\t", premium_amount => undef)),
	'400: product_name: is required; premium_amount: is required; company_name: is required, or company_id', 'fields with nothing in them');
is(problems(body(company_id => 'a0000000-0000-4000-8000-000000000001')), '400: company_name: must not be given together with company_id', 'two names for the company');
is(problems(body(company_name => undef, company_id => 'a0000000-0000-4000-8000-000000000001', company_website => 'https://a.example')),
	'400: company_website: is for a company_name only', 'a website for a company that is there');
my $long = problems({ source_url => 'gopher://x', company_name => 'x' x 201, company_website => 'x', product_name => 5, product_code => 'x' x 51,
		policy_type => 'pet', description => 'x' x 5001, premium_amount => '£120', currency => 'pounds', billing_frequency => 'daily', deductible => -1,
		benefits => [], coverage_details => 5, coverage_limits => 'x', exclusions => 1, is_active => 'yes', available_countries => [ 'GBR', 5 ],
		minimum_age => '1.5', maximum_age => 151, product_image_url => 'x', brochure_url => 'x', terms_url => 'x', search_keywords => 'x',
		ai_tags => [ 'x' x 101 ], popularity_score => 101, id => 1, provenance => {} });
is_deeply([ sort map { /^(?:400: )?(\w+): / } split(/; /, $long) ],
	[ sort qw(source_url company_name company_website product_name product_code policy_type description premium_amount currency billing_frequency
		deductible benefits coverage_details coverage_limits exclusions is_active available_countries minimum_age maximum_age product_image_url
		brochure_url terms_url search_keywords ai_tags popularity_score id provenance) ], 'every bad field is named in one answer') or diag($long);
is(problems(body(premium_amount => $_)), '400: premium_amount: must be a number', "a premium of $_") for '1,234.50', '12 a month', '1e3', '0x10', '--1', '1.', 'NaN';
is(problems(body(premium_amount => $_)), '400: premium_amount: must be above 0 and at most 1000000', "a premium of $_") for '0', '-1', '1000000.01';
is(problems(body(minimum_age => 70, maximum_age => '18')), '400: minimum_age: must not be above maximum_age', 'ages the wrong way round');
is(problems(body(company_name => undef, company_id => 'a0000000-0000-4000-8000-000000000001')), '404: company does not exist', 'a company that is not there');
is(query('SELECT (SELECT count(*) FROM insurance_companies) + (SELECT count(*) FROM insurance_products)'), 0, 'nothing was written');

# --- a new company, a new product ------------------------------------------------

my $full = body(
	company_name => ' Harbour Mutual ', company_website => 'https://insurer.example/', product_name => '  Gold Health ', product_code => ' G-1 ',
	policy_type => 'HEALTH', description => "Care\nfor all\n", premium_amount => ' 1234.50 ', currency => 'eur', billing_frequency => 'Annually', deductible => '+100',
	benefits => { dental => JSON::PP::true }, available_countries => [ 'gb', ' ie ', '' ], minimum_age => '18', maximum_age => 65,
	terms_url => ' https://insurer.example/terms ', search_keywords => [ ' dental ', 'optical' ], ai_tags => [], popularity_score => '7', exclusions => undef);
$answer = ingest($full, undef, 'x-forwarded-for' => '203.0.113.7', 'user-agent' => 'pipeline/1');
is($answer->{status}, 201, 'created: 201') or diag($answer->{err});
is($answer->{body}{action}, 'created', 'action');
is($answer->{body}{message}, 'Product created. Its company is new and not active: an admin must activate it.', 'message');
is($answer->{body}{source_url}, $url, 'source_url');
my %form = (product_name => 'Gold Health', product_code => 'G-1', policy_type => 'health', description => "Care\nfor all", premium_amount => 1234.5, currency => 'EUR',
	billing_frequency => 'annually', deductible => 100, benefits => { dental => JSON::PP::true }, available_countries => [ 'GB', 'IE' ], minimum_age => 18,
	maximum_age => 65, terms_url => 'https://insurer.example/terms', search_keywords => [ 'dental', 'optical' ], ai_tags => [], popularity_score => 7);
is_deeply($answer->{body}{extracted_data}, \%form, 'what was taken, in form');
is_deeply({ map { $_ => $answer->{body}{product}{$_} } keys %form }, \%form, 'the product has it');
my $product = $answer->{body}{product}{id};
is(query("SELECT string_agg(key || ' ' || (value ->> 'source'), ', ' ORDER BY key) FROM insurance_products, jsonb_each(provenance) WHERE value ->> 'url' = '$url'"),
	join(', ', sort map { "$_ " . ($_ eq 'is_active' ? 'default' : 'webhook') } keys %form, 'is_active'), 'each field has its provenance');
is(query("SELECT count(DISTINCT value -> 'at'), bool_and(value -> 'at' = to_jsonb((value ->> 'at')::timestamptz)) FROM insurance_products, jsonb_each(provenance) WHERE value ->> 'url' = '$url'"),
	'1|t', 'with one time for all, written as JSON has it');
is(query('SELECT name, website, is_active, contact_email, api_key FROM insurance_companies'), 'Harbour Mutual|https://insurer.example/|f||', 'the company is not active');
is(rpc($node, {}, 'product_search', {})->{body}{pagination}{total_items}, 0, 'so nobody sees the product');
is(gateway($node, {}, 'SELECT count(*) FROM insurance_products')->{out}, 0, 'in the table neither');
is(query("SELECT schedule_daily_ai_crawls()"), 0, 'and no crawler goes to the website');
is(query("SELECT string_agg(concat_ws(' ', action, table_name, ip_address, user_agent, user_id, company_id), ', ' ORDER BY table_name) FROM audit_logs WHERE request_path = '/rpc/ai_product_ingest'"),
	'INSERT insurance_companies 203.0.113.7 pipeline/1, INSERT insurance_products 203.0.113.7 pipeline/1', 'the trail tells from where');

# --- the same again, and changed --------------------------------------------------

$answer = ingest($full);
is_deeply([ $answer->{status}, @{ $answer->{body} }{qw(action message extracted_data)} ], [ 200, 'updated', 'Product is up to date.', \%form ], 'the same again changes nothing');
is(query('SELECT (SELECT count(*) FROM insurance_companies) + (SELECT count(*) FROM insurance_products)'), 2, 'and adds nothing');
$answer = ingest(body(company_name => 'HARBOUR mutual', company_website => 'https://evil.example/', product_name => 'Gold Health Plus', product_code => 'G-1', premium_amount => 99, currency => 'EUR',
	source_url => 'https://insurer.example/plus'));
is_deeply([ $answer->{status}, @{ $answer->{body} }{qw(action message)}, @{ $answer->{body}{product} }{qw(id product_name premium_amount billing_frequency)} ],
	[ 200, 'updated', 'Product updated.', $product, 'Gold Health Plus', 99, 'annually' ], 'found by its code, whatever its name');
is(query('SELECT name, website FROM insurance_companies'), 'Harbour Mutual|https://insurer.example/', 'the company is found in any letter case, and not changed');
is(query("SELECT provenance -> 'premium_amount' ->> 'url', provenance -> 'deductible' ->> 'url' FROM insurance_products"), "https://insurer.example/plus|$url", 'provenance follows the values');
$answer = ingest(body(product_name => 'gold health PLUS', premium_amount => 98));
is_deeply([ $answer->{status}, $answer->{body}{product}{id}, $answer->{body}{product}{product_code}, $answer->{body}{product}{product_name} ], [ 200, $product, 'G-1', 'gold health PLUS' ], 'without a code it is found by its name');
$answer = ingest(body(product_name => 'gold health plus', product_code => 'G-2'));
is_deeply([ $answer->{status}, $answer->{body}{action} ], [ 201, 'created' ], 'another code is another product, whatever its name');
is($answer->{body}{product}{policy_type}, 'health', 'a policy type that is not told is taken from the name');
is_deeply([ @{ $answer->{body}{product} }{qw(currency billing_frequency is_active popularity_score)} ], [ 'GBP', 'monthly', JSON::PP::true, 0 ], 'defaults');
my $guessed = $answer->{body}{product}{id};
$answer = ingest(body(product_name => 'gold health plus', product_code => 'G-2', policy_type => 'other', is_active => JSON::PP::false, currency => 'USD'));
is_deeply([ $answer->{status}, @{ $answer->{body}{product} }{qw(policy_type is_active currency)} ], [ 200, 'other', JSON::PP::false, 'USD' ], 'what was a default may be corrected');
is(ingest(body(company_name => 'Another', product_code => 'G-1'))->{status}, 201, "another company's code is its own");

# --- the insurer's word ------------------------------------------------------------

my $admin = 'a0000000-0000-4000-8000-000000000001';
query("INSERT INTO users (id, email) VALUES ('$admin', 'ada\@example.org'); INSERT INTO admin_users (id) VALUES ('$admin')");
my $company = query("SELECT id FROM insurance_companies WHERE name = 'Harbour Mutual'");
is(gateway($node, { user => $admin }, "UPDATE insurance_companies SET is_active = true WHERE id = '$company'")->{ok}, 1, 'an admin activates the company');
is(rpc($node, {}, 'product_search', {})->{body}{pagination}{total_items}, 1, 'and its active product is seen');
my $key = rpc($node, { user => $admin }, 'create_api_key', { company_id => $company, label => 'x' })->{body}{api_key};
is(rpc($node, { key => $key }, 'product_update', { product_id => $product, premium_amount => 50, currency => 'GBP', is_active => JSON::PP::false, minimum_age => 30 })->{status}, 200, 'the insurer sets values');
$answer = ingest(body(company_name => undef, company_id => $company, product_code => 'G-1', product_name => 'Gold', premium_amount => 77, currency => 'EUR', is_active => JSON::PP::true, maximum_age => 20, deductible => 5));
is_deeply([ $answer->{status}, @{ $answer->{body}{product} }{qw(product_name premium_amount currency is_active minimum_age maximum_age deductible)} ],
	[ 200, 'Gold', 50, 'GBP', JSON::PP::false, 30, 65, 5 ], 'they stay, and what would contradict them');
is($answer->{body}{message}, 'Product updated. What the insurer set stays: currency, is_active, maximum_age, premium_amount.', 'and the answer says so');
is_deeply($answer->{body}{extracted_data}, { product_code => 'G-1', product_name => 'Gold', deductible => 5 }, 'what was not taken is not told as taken');

# --- one company, whatever its spelling, also for two at a time ----------------------

is(ingest(body(company_name => "harbour\t  MUTUAL", product_code => 'G-1', product_name => 'Gold'))->{body}{product}{company_id}, $company, 'spaces make no other company');
sub ingest_sql
{
	my ($name, $code) = @_;
	return qq{SELECT set_config('request.headers', '{"x-webhook-secret": "$secret"}', true) IS NULL;
		SELECT ai_product_ingest('{"source_url": "$url", "company_name": "$name", "product_name": "Twin $code", "product_code": "$code", "premium_amount": 5}') #>> '{product,company_id}';};
}
my $first = $node->background_psql('postgres');
$first->query_safe('BEGIN;' . ingest_sql('Twin Insurance', 'T1'));
my ($twin, $errors) = ('', '');
my $second_session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'BEGIN;' . ingest_sql('TWIN  insurance', 'T2') . 'COMMIT' ],
	'>', \$twin, '2>', \$errors, IPC::Run::timeout(60));
ok(wait_for($node, 'postgres', q(SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%ai_product_ingest%'), '1'), 'the second waits for the first');
$first->query_safe('COMMIT');
$first->quit;
$second_session->finish;
is($errors, '', 'and goes on');
is(query(q(SELECT count(*), min(name) FROM insurance_companies WHERE name ILIKE 'twin%')), '1|Twin Insurance', 'with the one company');
is(query(q(SELECT count(DISTINCT company_id), count(*) FROM insurance_products WHERE product_code IN ('T1', 'T2'))), '1|2', 'which has both products');
is(rpc($node, { user => $admin }, 'company_onboard', { name => ' twin INSURANCE', contact_email => 'a@twin.example' })->{status}, 409, 'nor can it be onboarded again in another spelling');

# --- from SQL, the limit, the setting -------------------------------------------------

is(query(qq{SELECT set_config('request.headers', '{"x-webhook-secret": "$secret"}', false) IS NULL;
	SELECT ai_product_ingest('{"source_url": "$url", "company_name": "Another", "product_name": "Van", "premium_amount": 5}') ->> 'action'}), "f\ncreated", 'by hand');
query("UPDATE rate_limit_rules SET max_requests = 3 WHERE endpoint = 'ai_product_ingest'");
is(ingest('{}', 'wrong' x 5, 'x-forwarded-for' => '203.0.113.99')->{status}, 401, 'wrong secrets are counted') for 1 .. 3;
$answer = ingest(body(), undef, 'x-forwarded-for' => '203.0.113.99');
is($answer->{status}, 429, 'and then even the right one has to wait');
ok($answer->{headers}{'Retry-After'} > 0, 'and is told how long');
is(ingest('{}', undef, 'x-forwarded-for' => '203.0.113.98')->{status}, 400, 'another source is not concerned');
$node->append_conf('postgresql.conf', "padlock.webhook_secrets_file = ''");
$node->reload;
ok(wait_for($node, 'postgres', 'SHOW padlock.webhook_secrets_file', ''), 'the setting is changed by a reload');
$answer = ingest(body(), undef, 'x-forwarded-for' => '203.0.113.97');
is_deeply([ $answer->{status}, $answer->{body}{hint} ], [ 500, "The server's log says why." ], 'and without it no webhook is let in');
like(slurp_file($node->logfile), qr/webhooks are refused: padlock\.webhook_secrets_file is not set/, 'which the log explains');

$node->stop;
done_testing();
