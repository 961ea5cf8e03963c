# The schema of the tables: renamed, and found again after DROP EXTENSION; and
# a database whose encoding cannot hold what a header says.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('schema', extension => 0);
$node->safe_psql('postgres', q{
	CREATE SCHEMA "the App";
	CREATE EXTENSION padlock SCHEMA "the App";
	INSERT INTO "the App".users (email) VALUES ('kept@example.com');
	ALTER SCHEMA "the App" RENAME TO app2;
});
is($node->safe_psql('postgres', 'SELECT padlock.install()'), 0, 'nothing is missing in a renamed schema');
is($node->safe_psql('postgres', "SELECT app2.product_search() ->> 'success'"), 'true', 'and endpoints find it');

$node->safe_psql('postgres', 'DROP EXTENSION padlock CASCADE');
my ($rc, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION padlock');
like($err, qr/ERROR:  padlock's tables are in schema "app2"\nHINT:  Run CREATE EXTENSION padlock SCHEMA app2\./, 'a second set of tables is refused');
is($node->safe_psql('postgres', "SELECT to_regclass('public.users') IS NULL"), 't', 'and nothing is made');
$node->safe_psql('postgres', 'CREATE EXTENSION padlock SCHEMA app2');
is($node->safe_psql('postgres', 'SELECT count(*) FROM app2.users'), 1, 'in the right schema every row is there');
$node->safe_psql('postgres', "SELECT app2.enqueue_job('x', '{}')");
is($node->safe_psql('postgres', "SELECT job_type FROM app2.get_next_job('w')"), 'x', 'and the queue works');

# A policy must not fail for an escape that LATIN1 cannot hold.
$node->safe_psql('postgres', q{
	CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
});
$node->safe_psql('latin', q{
	CREATE EXTENSION padlock;
	INSERT INTO users (id, email) VALUES ('10000000-0000-4000-8000-000000000001', 'a@example.com');
});
is($node->safe_psql('latin', q{
	SET ROLE authenticated;
	SELECT set_config('request.jwt.claims', '{"sub": "10000000-0000-4000-8000-000000000001"}', false) IS NOT NULL,
	       set_config('request.headers', '{"user-agent": "\u4e2d\u00e9", "x-forwarded-for": "203.0.113.7"}', false) IS NOT NULL;
	INSERT INTO policies (user_id) VALUES (padlock.uid());
	SELECT count(*) FROM policies;
}), "t|t\n1", 'an escape that the encoding lacks breaks no query');
is($node->safe_psql('latin', "SELECT ip_address, user_agent FROM audit_logs WHERE table_name = 'policies'"),
	'203.0.113.7|????????????', 'and hides no other header');

$node->stop;
done_testing();
