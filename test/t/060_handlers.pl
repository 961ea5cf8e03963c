# Job types that users register: their functions run in a worker, in a
# transaction of their own and with the rights of their role; whatever they do
# wrong is an error of the job, and the worker goes on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_cluster('handlers', workers => 1, conf => <<'CONF');
restart_after_crash = on
padlock.retry_base = '50ms'
padlock.retry_cap = '50ms'
padlock.handler_timeout = '2s'
CONF

sub value
{
	my ($sql, $db) = @_;

	return $node->safe_psql($db // 'postgres', $sql);
}

# Make a handler with a PL/pgSQL body and register it for a role.
sub handler
{
	my ($type, $body, %option) = @_;
	my $timeout = $option{timeout} // 'NULL';

	$body = "BEGIN $body END" unless $body =~ /^DECLARE/;
	value("CREATE FUNCTION handle_$type(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$handler\$ $body \$handler\$;
		SELECT padlock.register_job_handler('$type', 'handle_$type(jsonb)', '" . ($option{role} // 'clerk') . "', $timeout)");
	return;
}

sub enqueue
{
	my ($type, $payload, $max_attempts) = @_;

	return value("SELECT enqueue_job('$type', " . ($payload // "'{}'") . ', 0, ' . ($max_attempts // 1) . ')');
}

# Do a job of a type and return "status attempts result-or-error".
sub outcome
{
	my ($job) = @_;

	wait_for($node, 'postgres', "SELECT status IN ('completed', 'failed') FROM job_queue WHERE id = '$job'", 't', 30)
	  or diag("job $job did not end");
	return value("SELECT concat_ws(' ', status, attempts, result, error_message) FROM job_queue WHERE id = '$job'");
}

my $worker = "SELECT pid FROM padlock.worker_status() WHERE state IN ('idle', 'busy')";
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM ($worker) w"), 'the worker runs');
value(q{
	CREATE ROLE clerk;
	GRANT USAGE ON SCHEMA public, padlock TO clerk;
	GRANT EXECUTE ON FUNCTION padlock.report_progress(bigint, bigint, text) TO clerk;
	CREATE TABLE notes (id serial, note text, made_by text DEFAULT current_user);
	GRANT SELECT, INSERT ON notes TO clerk;
	GRANT USAGE ON SEQUENCE notes_id_seq TO clerk;
	INSERT INTO users (email) VALUES ('maya@example.org');
});
my $pid = value($worker);

# What goes well.
handler('note', q{INSERT INTO notes (note) VALUES (payload->>'note'); RETURN jsonb_build_object('noted', payload->'note');});
is(outcome(enqueue('note', q{'{"note": "one"}'})), 'completed 1 {"noted": "one"}', 'a registered function does the job');
is(value('SELECT note, made_by FROM notes'), 'one|clerk', 'with the rights of its role');
handler('nothing', 'RETURN NULL;');
is(outcome(enqueue('nothing')), 'completed 1', 'NULL is a result');
is(outcome(enqueue('unheard_of', undef, 3)),
	'failed 1 no worker handles jobs of type "unheard_of": register a function for it with padlock.register_job_handler(), or if workers of your own do them, name it in padlock.job_types as external',
	'a type that nobody registered fails at once, with a hint');
value("SELECT enqueue_job('note', jsonb_build_object('note', n)) FROM generate_series(1, 200) n");
ok(wait_for($node, 'postgres', 'SELECT count(DISTINCT note) = 201 FROM notes'), 'many jobs are done');
is(value("SELECT count(*) FROM notes"), '201', 'each once');

# The role is the outer one, too: row security asks about it.
handler('look', q{RETURN jsonb_build_object('users', (SELECT count(*) FROM users), 'service', padlock.is_service_role(), 'super', current_setting('is_superuser'));}, role => 'service_role');
is(outcome(enqueue('look')), 'completed 1 {"super": "off", "users": 1, "service": true}', 'service_role is service_role there');
handler('peek', 'RETURN to_jsonb(count(*)) FROM users;');
is(outcome(enqueue('peek')), 'failed 1 permission denied for table users (SQLSTATE 42501)', 'others have just their own rights');

# Retries; data of a failed attempt goes with it.
handler('flaky', q{INSERT INTO notes (note) VALUES ('flaky'); IF nextval('notes_id_seq') < 100000 THEN RAISE 'no luck'; END IF; RETURN NULL;});
is(outcome(enqueue('flaky', undef, 3)), 'failed 3 no luck (SQLSTATE P0001)', 'an error is tried again, max_attempts times');
is(value("SELECT count(*) FROM notes WHERE note = 'flaky'"), '0', 'and leaves nothing');
value(q{SELECT setval('notes_id_seq', 200000)});
is(outcome(enqueue('flaky', undef, 3)), 'completed 1', 'until it is mended');
handler('twice', q{INSERT INTO notes (id, note) VALUES (100001, 'a'), (100001, 'b'); RETURN NULL;});
value('ALTER TABLE notes ADD UNIQUE (id)');
is(outcome(enqueue('twice')), "failed 1 duplicate key value violates unique constraint \"notes_id_key\" (SQLSTATE 23505)\nDETAIL: Key (id)=(100001) already exists.",
	'an error brings its state and its detail');
handler('hopeless', q{RAISE 'never' USING ERRCODE = 'PK001';});
is(outcome(enqueue('hopeless', undef, 3)), 'failed 1 never', 'PK001 is not tried again');
handler('liar', q{RAISE 'lost' USING ERRCODE = 'PK002';});
is(outcome(enqueue('liar')), 'failed 1 lost (SQLSTATE P0001)', 'nobody can pretend that the claim is lost');

# Who the process belongs to is out of reach.
handler('run', q{EXECUTE payload->>'sql'; RETURN to_jsonb(current_user || ' ' || current_setting('work_mem'));});
sub run
{
	my ($sql) = @_;

	return outcome(enqueue('run', 'jsonb_build_object($p$sql$p$, ' . sql_literal($sql) . ')'));
}
like(run($_), qr/^failed 1 cannot set parameter "(role|session_authorization)" within/, "$_ is refused")
  foreach 'RESET ROLE', 'SET ROLE postgres', 'SET SESSION AUTHORIZATION postgres', q{SELECT set_config('role', 'postgres', false)};
like(run($_), qr/^failed 1 (permission denied|must be|DISCARD ALL cannot|cannot execute LISTEN|EXECUTE of transaction)/, "$_ is refused")
  foreach q{COPY notes TO PROGRAM 'id'}, q{SELECT pg_read_file('postgresql.conf')}, 'SELECT pg_terminate_backend(pg_backend_pid())',
  q{SELECT set_config('padlock.token_claims', '{}', true)}, 'SET session_replication_role = replica', 'DISCARD ALL', 'LISTEN x', 'COMMIT',
  'CREATE ROLE eve', 'UPDATE padlock.job_handlers SET role_name = current_user';

# What a deferred trigger, a cursor or a default does at the end, it does with
# the same rights.
value(q{
	CREATE SCHEMA AUTHORIZATION clerk;
	CREATE TABLE clerk.late (id integer);
	ALTER TABLE clerk.late OWNER TO clerk;
	CREATE TABLE who (name text, fired_by text);
	GRANT INSERT ON who TO clerk;
	CREATE FUNCTION clerk.note_user() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.who VALUES (TG_TABLE_NAME, current_user); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON clerk.late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION clerk.note_user();
	CREATE FUNCTION clerk.note_cursor() RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.who VALUES ('cursor', current_user); RETURN ''; END $$;
});
is(run('INSERT INTO clerk.late VALUES (1)'), 'completed 1 "clerk 4MB"', 'a handler that leaves a deferred trigger');
is(value('SELECT * FROM who'), 'late|clerk', 'whose trigger fires with its rights');
is(run('DECLARE hold CURSOR WITH HOLD FOR SELECT clerk.note_cursor()'), 'completed 1 "clerk 4MB"', 'one that leaves a cursor');
is(value(q{SELECT count(*) FROM who WHERE name = 'cursor'}), '0', 'which does not run after it');

# Nothing stays in the session.
is(run(q{SET work_mem = '77MB'}), 'completed 1 "clerk 77MB"', 'a setting');
is(run('SELECT 1'), 'completed 1 "clerk 4MB"', 'is gone for the next');
is(run('CREATE TEMP TABLE left_over (a int)'), 'completed 1 "clerk 4MB"', 'a temporary table');
like(run('SELECT * FROM left_over'), qr/^failed 1 relation "left_over" does not exist/, 'is gone');
is(run('PREPARE left_over AS SELECT 1'), 'completed 1 "clerk 4MB"', 'a prepared statement');
is(run('PREPARE left_over AS SELECT 1'), 'completed 1 "clerk 4MB"', 'is gone');
is(run('SELECT pg_advisory_lock(1)'), 'completed 1 "clerk 4MB"', 'an advisory lock');
is(value('SELECT pg_try_advisory_lock(1)'), 't', 'is gone');
like(run(q{SELECT pg_advisory_lock(2), 1 / 0}), qr/^failed 1 division by zero/, 'after an error');
is(value('SELECT pg_try_advisory_lock(2)'), 't', 'as well');

# Hostile ones.
handler('loop', 'LOOP NULL; END LOOP;');
handler('sleep', 'PERFORM pg_sleep(1000); RETURN NULL;', timeout => 1);
handler('leak', q{DECLARE a text[]; BEGIN FOR i IN 1 .. 450 LOOP a[i] := repeat(md5(i::text), 100000); END LOOP; RETURN NULL; END}, timeout => 30);    # 1.4 GB: it would end well without the limit
handler('big', q{RETURN jsonb_build_object('x', repeat('x', 100000000));}, timeout => 30);
my $start = time();
is(outcome(enqueue('loop')), 'failed 1 the handler of jobs of type "loop" was stopped after 2 s (SQLSTATE 57014)', 'an endless loop is stopped');
is(outcome(enqueue('sleep')), 'failed 1 the handler of jobs of type "sleep" was stopped after 1 s (SQLSTATE 57014)', 'a sleep is stopped, by its own timeout');
cmp_ok(time() - $start, '<', 6, 'in time');
is(outcome(enqueue('leak')), 'failed 1 the handler of jobs of type "leak" wanted more memory than padlock.handler_memory (1024 MB) (SQLSTATE 53200)', 'memory has an end');
like(outcome(enqueue('big', undef, 3)), qr/^failed 1 the handler of jobs of type "big" returned 1000000\d\d bytes: a result has at most 1048576$/, 'a result of 100 MB is refused');
is(outcome(enqueue('note', q{'{"note": "after"}'})), 'completed 1 {"noted": "after"}', 'the worker goes on');
is(value($worker), $pid, 'and is the same');

# Cancelling a job that runs.
handler('slow', 'PERFORM padlock.report_progress(3, 10, payload->>\'say\'); PERFORM pg_sleep(1000); RETURN NULL;', timeout => 600);
my $slow = enqueue('slow', q{'{"say": "so far"}'}, 3);
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM padlock.job_progress WHERE job_id = '$slow' AND done = 3 AND total = 10 AND message = 'so far'", 't', 10), 'a handler tells how far it is');
$start = time();
is(value("SELECT cancel_job('$slow')"), 't', 'it is cancelled');
ok(wait_for($node, 'postgres', 'SELECT state = \'idle\' FROM padlock.worker_status()', 't', 5), 'and stops');
cmp_ok(time() - $start, '<', 1, 'within a second');
like(outcome($slow), qr/^failed 1 .*cancelled/, 'the job has failed for good');
is(outcome(enqueue('note', q{'{"note": "next"}'})), 'completed 1 {"noted": "next"}', 'the next job is not cancelled with it');

# A timeout that is longer than a claim's first lease.
handler('patient', 'PERFORM pg_sleep(0.5); RETURN to_jsonb(1);', timeout => 3600);
my $patient = enqueue('patient');
ok(wait_for($node, 'postgres', "SELECT locked_until > now() + interval '50 minutes' FROM job_queue WHERE id = '$patient'", 't', 5), 'its lease covers the whole timeout');
is(outcome($patient), 'completed 1 1', 'and it is done');

# What is wrong with the registration is told by the job.
value('REVOKE EXECUTE ON FUNCTION handle_note(jsonb) FROM PUBLIC');
is(outcome(enqueue('note')), 'failed 1 the handler of jobs of type "note" cannot run: role "clerk" may not execute function public.handle_note(jsonb) (SQLSTATE 42501)', 'a right that is gone');
value('GRANT EXECUTE ON FUNCTION handle_note(jsonb) TO clerk; ALTER ROLE clerk SUPERUSER');
is(outcome(enqueue('note')), 'failed 1 the handler of jobs of type "note" cannot run: role "clerk" is a superuser (SQLSTATE 42501)', 'a role that became a superuser');
value('ALTER ROLE clerk NOSUPERUSER; DROP FUNCTION handle_nothing(jsonb)');
is(outcome(enqueue('nothing')), 'failed 1 the handler of jobs of type "nothing" cannot run: function public.handle_nothing(jsonb) does not exist (SQLSTATE 42883)', 'a function that is gone');
value("SELECT padlock.unregister_job_handler('nothing')");
like(outcome(enqueue('nothing')), qr/^failed 1 no worker handles jobs of type "nothing"/, 'a type that is unregistered');

# DROP DATABASE does not wait for a handler.
value('CREATE DATABASE second');
value('CREATE EXTENSION padlock; CREATE FUNCTION handle_loop(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN LOOP NULL; END LOOP; END $$;
	GRANT USAGE ON SCHEMA public TO clerk; SELECT padlock.register_job_handler(\'loop\', \'handle_loop(jsonb)\', \'clerk\', 600);', 'second');
value("SELECT enqueue_job('loop', '{}')", 'second');
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM padlock.worker_status() WHERE database = 'second' AND state = 'busy'", 't', 30), 'a handler loops in another database');
$start = time();
value('DROP DATABASE second');
cmp_ok(time() - $start, '<', 1, 'which is dropped in under a second');

# A process that handlers have bloated is replaced between jobs.
$node->append_conf('postgresql.conf', "padlock.handler_memory = '128MB'\n");
$node->reload;
handler('bloat', q{EXECUTE 'CREATE FUNCTION pg_temp.bloat() RETURNS void LANGUAGE plpgsql AS ''BEGIN ' || repeat('PERFORM 1; ', 40000) || ' END'''; PERFORM pg_temp.bloat(); RETURN NULL;}, timeout => 60);
value('GRANT TEMP ON DATABASE postgres TO clerk');
like(outcome(enqueue('bloat')), qr/^(completed|failed) 1/, 'a function that fills the session\'s caches');
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM ($worker) w WHERE pid <> $pid", 't', 10), 'makes its worker go');
is(value('SELECT sum(restarts) FROM padlock.worker_status()'), '0', 'without a failure');
is(outcome(enqueue('note', q{'{"note": "fresh"}'})), 'completed 1 {"noted": "fresh"}', 'and a fresh one goes on');

# One that will not be stopped takes the worker with it, in order.
handler('stubborn', q{LOOP BEGIN PERFORM pg_sleep(100); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;}, timeout => 1);
$pid = value($worker);
my $stubborn = enqueue('stubborn');
ok(wait_for($node, 'postgres', "SELECT count(*) = 1 FROM ($worker) w WHERE pid <> $pid", 't', 25), 'a handler that catches its cancels ends its worker');
is(outcome(enqueue('note', q{'{"note": "last"}'})), 'completed 1 {"noted": "last"}', 'another goes on');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
done_testing();
