# Accounts over a gateway: sign-up to sign-out, rotating refresh tokens, what
# ends a session, who is told what, and what brute force meets.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use MIME::Base64 qw(decode_base64url);
use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = new_cluster('session', conf => <<'CONF');
padlock.jwt_keys_file = 'jwt.jwk'
padlock.smtp_url = 'smtp://localhost:9'
padlock.mail_from = 'shop@example.org'
padlock.password_cost = 14
log_statement = none
log_min_error_statement = panic
log_min_messages = debug1
CONF
$node->safe_psql('postgres', 'SELECT padlock.create_jwt_keys()');

my $json = JSON::PP->new->canonical;
my $password = 'correct horse battery';
my $anon = { headers => { 'x-forwarded-for' => '203.0.113.5', 'user-agent' => 'Phone/1' } };

sub query
{
	return $node->safe_psql('postgres', $_[0]);
}

# Call an endpoint as anon.
sub call
{
	my ($function, $body, %who) = @_;
	return rpc($node, { %$anon, %who }, $function, $body);
}

# The claims in an access token.
sub claims_of
{
	return $json->decode(decode_base64url((split /\./, $_[0])[1]));
}

# Call an endpoint with an access token, as a gateway that verified it.
sub with_token
{
	my ($session, $function, $body) = @_;
	return rpc($node, { %$anon, claims => claims_of($session->{access_token}) }, $function, $body // {});
}

sub sign_in
{
	my ($email, $secret, %who) = @_;
	return call('sign_in', { email => $email, password => $secret // $password }, %who);
}

# A session of a user whose password is right.
sub session
{
	my $answer = sign_in(@_);
	is($answer->{status}, 200, "$_[0] signs in") or diag(explain($answer));
	return $answer->{body};
}

sub refresh
{
	my ($token) = @_;
	return call('refresh_session', { refresh_token => $token });
}

# The newest mail to an address: template and data.
sub mail
{
	my ($to) = @_;
	my $payload = query("SELECT payload FROM job_queue WHERE job_type = 'email_notification' AND payload ->> 'to' = '$to'"
		  . ' ORDER BY enqueue_order DESC LIMIT 1');
	return $payload eq '' ? {} : $json->decode($payload);
}

# The token in the newest mail to an address.
sub mailed
{
	return one_time_token($node->data_dir . '/jwt.jwk', mail($_[0]));
}

# An account whose address is proven.
sub account
{
	my ($email) = @_;
	is(call('sign_up', { email => $email, password => $password })->{status}, 201, "$email signs up");
	is(call('confirm_email', { token => mailed($email), password => $password })->{status}, 200, 'and confirms');
}

# What a client can tell from an answer.
sub seen
{
	my ($answer) = @_;
	return $json->encode({ status => 0 + $answer->{status}, body => $answer->{body} });
}

# --- sign-up, sign-in, what the token says -----------------------------------

account('ann@example.org');
my $ann = query(q{SELECT id FROM users WHERE email = 'ann@example.org'});
my $session = session('ann@example.org');
is(claims_of($session->{access_token})->{sub}, $ann, 'the access token names the user');
my $list = with_token($session, 'list_sessions');
is(scalar @{ $list->{body}{sessions} }, 1, 'one session');
is("@{$list->{body}{sessions}[0]}{qw(ip_address user_agent current)}", '203.0.113.5 Phone/1 1', 'with where it is from');
my $verified = $node->psql('postgres', "BEGIN; SET LOCAL padlock.identity = token; SELECT padlock.authenticate('$session->{access_token}') ->> 'sub', padlock.uid()",
	stdout => \my $out);
is($out, "$ann|$ann", 'padlock.authenticate() takes the token');

# who signs up for another's address does not set the password that its owner confirms
is(call('sign_up', { email => 'hal@example.org', password => 'of a stranger' })->{status}, 201, 'a stranger signs up for an address');
my $planted = mailed('hal@example.org');
is(call('sign_up', { email => 'hal@example.org', password => $password })->{status}, 201, 'its owner, too');
my $wrong = call('confirm_email', { token => $planted, password => $password });
is($wrong->{status}, 400, "the owner opens the stranger's mail, and nothing happens");
is(seen($wrong), seen(call('confirm_email', { token => 'x' x 43, password => $password })), 'in the words for a token that is not there');
is(query(q{SELECT count(*) FROM users WHERE email = 'hal@example.org'}), '0', 'no account');
is(call('confirm_email', { token => mailed('hal@example.org'), password => $password })->{status}, 200, 'his own mail makes it');
is(sign_in('hal@example.org', 'of a stranger')->{status}, 401, 'with his password only');
session('hal@example.org');
is(call('confirm_email', { token => $planted, password => 'of a stranger' })->{status}, 400, 'and the other mail is void');
is(call('sign_up', { email => 'ivy@example.org', password => $password })->{status}, 201, 'another sign-up');
my @guess = map { call('confirm_email', { token => mailed('ivy@example.org'), password => "guess $_" })->{status} } 1 .. 11;
is("@guess[0, 9, 10]", '400 400 429', 'passwords at a token are limited');

# --- refresh: rotation, repeat, reuse ----------------------------------------

my @token = ($session->{refresh_token});
push @token, refresh($token[0])->{body}{refresh_token};
isnt($token[1], $token[0], 'a refresh gives another token');
is(refresh($token[0])->{body}{refresh_token}, $token[1], 'a repeat of the previous token gives the same successor');
is(refresh($token[0])->{body}{refresh_token}, $token[1], 'as often as it is asked');
push @token, refresh($token[1])->{body}{refresh_token};
is(refresh($token[1])->{body}{refresh_token}, $token[2], 'the successor is the previous one now');
my $reuse = refresh($token[0]);
is($reuse->{status}, 401, 'an older token is refused');
my $invalid = refresh('x' x 75);
is($invalid->{status}, 401, 'as a forged one is');
is(seen($reuse), seen($invalid), 'in the same words');
is(refresh($token[2])->{status}, 401, 'and the session has ended: its newest token is refused');
is(query("SELECT count(*) FROM padlock.sessions WHERE user_id = '$ann' AND revoked_at IS NULL"), '0', 'for good');
is(with_token($session, 'list_sessions')->{status}, 401, 'its access token is refused at once');

# a token of a transaction that was rolled back is no reuse
$session = session('ann@example.org');
my $lost = query("BEGIN; SELECT refresh_session('{\"refresh_token\": \"$session->{refresh_token}\"}') ->> 'refresh_token'; ROLLBACK");
is(refresh($lost)->{body}{message}, 'refresh token is not valid', 'a token that was never committed is refused');
is(refresh($session->{refresh_token})->{status}, 200, 'its session lives on');

# a bit of each part of a token changed
$session = session('ann@example.org');
foreach my $place (0, 22, 33, 74)
{
	my $bad = $session->{refresh_token};
	substr($bad, $place, 1) = substr($bad, $place, 1) eq 'A' ? 'Q' : 'A';
	is(refresh($bad)->{status}, 401, "a token changed at $place is refused");
}
is(refresh($session->{refresh_token})->{status}, 200, 'and does no harm');

# --- two refreshes at a time -------------------------------------------------

$session = session('ann@example.org');
my $script = PostgreSQL::Test::Utils::tempdir() . '/refresh.sql';
append_to_file($script,
	"INSERT INTO refreshed SELECT refresh_session('{\"refresh_token\": \"$session->{refresh_token}\"}') ->> 'refresh_token';\n");
query('CREATE TABLE refreshed (token text)');
command_ok([ 'pgbench', '-n', '-M', 'simple', '-c', 8, '-j', 2, '-t', 1, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'eight refreshes at a time with one token');
is(query('SELECT count(*), count(DISTINCT token) FROM refreshed'), '8|1', 'get the same successor');
is(refresh(query('SELECT token FROM refreshed LIMIT 1'))->{status}, 200, 'which is good');

# One that waits for another sees what that did.
$session = session('ann@example.org');
my $slow = IPC::Run::start([ 'psql', '-X', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c',
		"BEGIN; UPDATE padlock.sessions SET refresh_counter = 2 WHERE id = '" . claims_of($session->{access_token})->{session_id}
		  . "'; SELECT pg_sleep(2); COMMIT" ], '>', \my $slow_out, '2>', \my $slow_err);
wait_for($node, 'postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')});
is(refresh($session->{refresh_token})->{status}, 401, 'a token that grew old while it waited is refused');
$slow->finish;
is(with_token($session, 'list_sessions')->{status}, 401, 'and ended its session');

# --- sign-out: here, others, everywhere, one ---------------------------------

query("DELETE FROM padlock.sessions WHERE user_id = '$ann'");
my ($here, $there, $third) = map { session('ann@example.org') } 1 .. 3;
is(with_token($here, 'sign_out')->{body}{sessions_ended}, 1, 'sign-out here ends one');
is(with_token($here, 'list_sessions')->{status}, 401, 'this one');
is(refresh($here->{refresh_token})->{status}, 401, 'with its refresh token');
is(with_token($there, 'list_sessions')->{status}, 200, 'others live');
my $third_id = claims_of($third->{access_token})->{session_id};
is(with_token($there, 'revoke_session', { session_id => $third_id })->{status}, 200, 'one can be ended by its id');
is(with_token($third, 'list_sessions')->{status}, 401, 'and is');
is(with_token($there, 'revoke_session', { session_id => $third_id })->{status}, 404, 'once');
$third = session('ann@example.org');
is(with_token($there, 'sign_out', { scope => 'others' })->{body}{sessions_ended}, 1, 'sign-out of the others');
is(join(',', map { with_token($_, 'list_sessions')->{status} } $there, $third), '200,401', 'spares this one');
$third = session('ann@example.org');
is(with_token($there, 'sign_out', { scope => 'global' })->{body}{sessions_ended}, 2, 'sign-out everywhere');
is(join(',', map { with_token($_, 'list_sessions')->{status} } $there, $third), '401,401', 'ends all');

# another user's session is as one that does not exist
account('bob@example.org');
my $bob = session('bob@example.org');
$here = session('ann@example.org');
my $foreign = with_token($bob, 'revoke_session', { session_id => claims_of($here->{access_token})->{session_id} });
is($foreign->{status}, 404, "another's session cannot be ended");
is(seen($foreign), seen(with_token($bob, 'revoke_session', { session_id => '00000000-0000-4000-8000-000000000000' })), 'nor be told from none');
is(with_token($here, 'list_sessions')->{status}, 200, 'and lives');

# --- limits of a session -----------------------------------------------------

query(q{UPDATE padlock.sessions SET last_used_at = now() - interval '8 days'});
is(refresh($here->{refresh_token})->{status}, 401, 'a session that was idle too long has ended');
$here = session('ann@example.org');
query(q{UPDATE padlock.sessions SET last_used_at = now() - interval '6 days'});
is(refresh($here->{refresh_token})->{status}, 200, 'one that was not lives on');
query(q{UPDATE padlock.sessions SET expires_at = now()});
is(refresh($here->{refresh_token})->{status}, 401, 'none lives longer than its lifetime');
is(with_token($here, 'list_sessions')->{status}, 401, 'nor do its access tokens');

# --- the same answers for accounts that exist and that do not -----------------

is(seen(sign_in('ann@example.org', 'wrong password')), seen(sign_in('nobody@example.org', 'wrong password')), 'sign_in tells nothing');
is(seen(call('sign_up', { email => 'ann@example.org', password => 'wrong password' })),
	seen(call('sign_up', { email => 'noone@example.org', password => 'wrong password' })), 'sign_up tells nothing');
is(seen(call('request_password_reset', { email => 'ann@example.org' })),
	seen(call('request_password_reset', { email => 'none@example.org' })), 'request_password_reset tells nothing');
is(mail('none@example.org')->{template}, 'no_account', 'but the mail does');
is(mail('noone@example.org')->{template}, 'confirm_email', 'as for a sign-up');
unlike(query('SELECT string_agg(payload::text, chr(10)) FROM job_queue'), qr/wrong password|correct horse/, 'no mail holds a password');

# times, roughly: a missing hash would make the second ten times faster
my %median;
foreach my $email ('ann@example.org', 'nobody@example.org')
{
	my @times;
	foreach (1 .. 5)
	{
		my $start = time();
		sign_in($email, 'wrong password');
		push @times, time() - $start;
	}
	$median{$email} = (sort { $a <=> $b } @times)[2];
	query("SELECT padlock.reset_rate_limit('account:$email ip:203.0.113.5', 'sign_in_failure')");
}
my $ratio = $median{'ann@example.org'} / $median{'nobody@example.org'};
ok($ratio > 0.4 && $ratio < 2.5, 'sign_in takes about as long for both') or diag("ratio $ratio");

# --- reset by mail ------------------------------------------------------------

$here = session('ann@example.org');
my $reset = mail('ann@example.org');
is($reset->{template}, 'reset_password', 'a mail brings the token');
my $token = mailed('ann@example.org');
unlike(query('SELECT string_agg(j::text, chr(10)) FROM job_queue j'), qr/\Q$token\E/, 'which no job holds');
is(query(q{SELECT count(*) FROM padlock.one_time_tokens WHERE token_hash = sha256('} . $token . q{')}), '1', 'of which the table has the hash');
my $set = { token => $token, password => 'a new password' };
is(call('reset_password', { %$set, password => 'short' })->{status}, 400, 'a bad password does not use it up');
is(call('reset_password', $set)->{status}, 200, 'it sets a password');
is(call('reset_password', $set)->{status}, 400, 'once');
is(with_token($here, 'list_sessions')->{status}, 401, 'all sessions have ended');
is(refresh($here->{refresh_token})->{status}, 401, 'with their refresh tokens');
is(sign_in('ann@example.org')->{status}, 401, 'the old password is wrong');
is(mail('ann@example.org')->{template}, 'password_changed', 'the user is told');
$here = session('ann@example.org', 'a new password');

# A sign-in with the old password while it is being changed: whichever is
# first, no session of it is left.
my $script2 = PostgreSQL::Test::Utils::tempdir() . '/race.sql';
append_to_file($script2, "SELECT sign_in('{\"email\": \"ann\@example.org\", \"password\": \"a new password\"}') \\gset\n");
my $race = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-j', 2, '-T', 5, '-f', $script2, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \my $race_out, '2>', \my $race_err);
wait_for($node, 'postgres', "SELECT count(*) > 5 FROM padlock.sessions WHERE user_id = '$ann'");
is(with_token($here, 'change_password', { current_password => 'a new password', password => 'a third password' })->{status}, 200,
	'a password is changed while others sign in with it');
$race->finish;
is(query("SELECT count(*) FROM padlock.sessions WHERE user_id = '$ann' AND revoked_at IS NULL AND id <> '"
		  . claims_of($here->{access_token})->{session_id} . "'"), '0', 'and none of their sessions is left');
query("SELECT padlock.reset_rate_limit(identifier, endpoint) FROM rate_limits WHERE endpoint LIKE 'sign_in_failure%'");

# --- brute force ---------------------------------------------------------------

my @status = map { sign_in('bob@example.org', "guess number $_")->{status} } 1 .. 12;
is("@status", '401 401 401 401 401 401 401 401 401 401 429 429', 'ten wrong passwords from one place');
my $locked = sign_in('bob@example.org');
is($locked->{status}, 429, 'then the right one is not tried either');
cmp_ok($locked->{headers}{'Retry-After'}, '>', 600, 'for a while');
is(sign_in('bob@example.org', $password, headers => { 'x-forwarded-for' => '198.51.100.1' })->{status}, 200, 'but the owner gets in from elsewhere');
is(sign_in('bob@example.org')->{status}, 429, 'which opens nothing there');
query(q{UPDATE rate_limit_rules SET max_requests = 15 WHERE endpoint = 'sign_in_failure_anywhere'});
query(q{SELECT padlock.reset_rate_limit('account:bob@example.org', 'sign_in_failure_anywhere')});
@status = map { sign_in('bob@example.org', "guess number $_", headers => { 'x-forwarded-for' => "198.51.100.$_" })->{status} } 1 .. 16;
is("@status[0, 14, 15]", '401 401 429', 'wrong passwords from everywhere have a bound of their own');
@status = map { sign_in('carol@example.org', "guess number $_")->{status} } 1 .. 11;
is("@status", '401 401 401 401 401 401 401 401 401 401 429', 'nor does an account that does not exist differ');
call('request_password_reset', { email => 'bob@example.org' });
is(call('reset_password', { token => mailed('bob@example.org'), password => $password })->{status}, 200, 'a reset');
session('bob@example.org');

# one address cannot be flooded
query(q{SELECT padlock.reset_rate_limit(identifier, endpoint) FROM rate_limits});
@status = map { call('request_password_reset', { email => 'dave@example.org' })->{status} } 1 .. 6;
is("@status", '200 200 200 200 200 429', 'five mails to one address an hour');

# an address that another takes at the very moment it is confirmed
query(q{SELECT padlock.reset_rate_limit(identifier, endpoint) FROM rate_limits});
$here = session('bob@example.org');
is(with_token($here, 'change_email', { email => 'rare@example.org', password => $password })->{status}, 200, 'a move to a free address');
my $move = mailed('rare@example.org');
$slow = IPC::Run::start([ 'psql', '-X', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c',
		"BEGIN; INSERT INTO users (email) VALUES ('Rare\@example.org'); SELECT pg_sleep(2); COMMIT" ], '>', \$slow_out, '2>', \$slow_err);
wait_for($node, 'postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')});
my $late = call('confirm_email', { token => $move, password => $password });
$slow->finish;
is(seen($late), seen(call('confirm_email', { token => 'x', password => $password })), 'is refused in the usual words');
is(query(q{SELECT count(*) FROM users WHERE email = 'bob@example.org'}), '1', 'and the user stays where he is');

# two tokens of one address at a time, of which each voids the other
my @both;
foreach my $sign_up (1, 2)
{
	call('sign_up', { email => 'two@example.org', password => $password });
	push @both, mailed('two@example.org');
}
query(q{CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
	CREATE TRIGGER slow AFTER DELETE ON padlock.one_time_tokens FOR EACH ROW EXECUTE FUNCTION slow()});
$slow = IPC::Run::start([ 'psql', '-X', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c',
		"SELECT confirm_email('{\"token\": \"$both[0]\", \"password\": \"$password\"}')" ],
	'>', \$slow_out, '2>', \$slow_err);
wait_for($node, 'postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')});
is(call('confirm_email', { token => $both[1], password => $password })->{status}, 400, 'two tokens of one address at a time: the second is refused');
ok($slow->finish, 'the first one counts');
query(q{DROP FUNCTION slow() CASCADE});
session('two@example.org');

# a user's sessions at a time, however many sign in at once
query(q{ALTER DATABASE postgres SET padlock.max_sessions_per_user = 3});
session('bob@example.org') foreach 1 .. 3;
$slow = IPC::Run::start([ 'psql', '-X', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c',
		"BEGIN; SELECT sign_in('{\"email\": \"bob\@example.org\", \"password\": \"$password\"}'); SELECT pg_sleep(2); COMMIT" ],
	'>', \$slow_out, '2>', \$slow_err);
wait_for($node, 'postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')});
session('bob@example.org');
$slow->finish;
is(query(q{SELECT count(*) FROM padlock.sessions JOIN users u ON u.id = user_id WHERE email = 'bob@example.org'}), '3', 'two sign-ins at a time leave three sessions');
is(with_token($here, 'list_sessions')->{status}, 401, 'the ones that were not used for longest have ended');
query(q{ALTER DATABASE postgres RESET padlock.max_sessions_per_user});
$here = session('bob@example.org');

# --- without a mail server ---------------------------------------------------

like(query("SELECT string_agg(DISTINCT payload -> 'data' ->> 'valid_for', ', ' ORDER BY payload -> 'data' ->> 'valid_for') FROM job_queue"), qr/^1 hour, 24 hours$/, 'mails tell in hours how long a token is good');
my $jobs = query('SELECT count(*) FROM job_queue');
$node->append_conf('postgresql.conf', "padlock.smtp_url = ''");
$node->reload;
ok(wait_for($node, 'postgres', 'SHOW padlock.smtp_url', ''), 'no mail server');
$here = session('bob@example.org');
my @unsent = (call('sign_up', { email => 'ann@example.org', password => $password }), call('sign_up', { email => 'late@example.org', password => $password }),
	call('request_password_reset', { email => 'ann@example.org' }), call('request_password_reset', { email => 'late@example.org' }),
	with_token($here, 'change_email', { email => 'late@example.org', password => $password }));
is_deeply([ map { [ $_->{status}, @{ $_->{body} }{qw(code message)} ] } @unsent ], [ ([ 503, '55000', 'mail is not configured' ]) x 5 ],
	'no mail is promised that cannot be sent, to anybody');
like($unsent[0]{body}{hint}, qr/padlock\.smtp_url and padlock\.mail_from/, 'and the operator is told what to set');
is(query('SELECT count(*) FROM job_queue'), $jobs, 'nor queued');

# --- what is where ---------------------------------------------------------------

my $log = slurp_file($node->logfile);
like($log, qr/computed a password hash/, 'the log has what padlock tells it');
unlike($log, qr/\Q$set->{token}\E|\Q$session->{refresh_token}\E|\$scrypt\$|$password/, 'no token, hash or password among it');
is(query(q{SELECT count(*) FROM audit_logs WHERE coalesce(old_values, '{}')::text || coalesce(new_values, '{}')::text LIKE '%scrypt%'}), '0', 'no hash in the audit trail');

# a restart keeps sessions
$node->restart;
is(refresh($here->{refresh_token})->{status}, 200, 'sessions survive a restart');

done_testing();
