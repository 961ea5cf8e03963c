# How good search is: nDCG@10 of judged queries, asked through product_search.
# A small set about insurance always runs; three public collections run as well
# when they lie in ../shared/data, plain and, the shop's, with a typo a query.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use List::Util qw(sum min);
use PadlockTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = $ENV{PADLOCK_SOURCE} // "$FindBin::RealBin/../..";
my $collections = "$source/../shared/data/search";
my $company = '00000000-0000-4000-8000-000000000001';
my $node = new_cluster('search_quality', conf => "fsync = off\nwork_mem = '64MB'\n");

# --- measuring ----------------------------------------------------------------

# nDCG@10 with linear gains: of codes in rank order, against {code => grade}.
sub ndcg
{
	my ($found, $grades) = @_;
	my @ideal = sort { $b <=> $a } grep { $_ > 0 } values %$grades;
	my $gain = sub { sum(0, map { $_[$_] / log($_ + 2) } 0 .. min(9, $#_)) };

	return $gain->(map { my $grade = $grades->{$_} // 0; $grade > 0 ? $grade : 0 } @$found) / $gain->(@ideal);
}

# A text as a line's field for COPY.
sub copy_text
{
	my ($text) = @_;
	$text =~ s/([\\\t])/\\$1/g;
	return $text;
}

# The codes of the first ten products for each query: {id => [codes]}.
sub search_all
{
	my ($queries) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/queries.tsv';
	my %found;

	open(my $out, '>:encoding(UTF-8)', $file) or die "$file: $!";
	print $out copy_text($_) . "\t" . copy_text(substr($queries->{$_}, 0, 200)) . "\n" for keys %$queries;
	close($out);
	my $answer = $node->safe_psql('postgres', <<"SQL");
CREATE TEMP TABLE query (id text, term text);
\\copy query FROM '$file'
SELECT q.id, p->>'product_code'
  FROM query q,
       jsonb_array_elements(product_search(search_term => q.term, per_page => '10')->'products') WITH ORDINALITY AS found(p, rank)
 ORDER BY q.id, rank;
SQL
	push @{ $found{ (split(/\|/))[0] } }, (split(/\|/))[1] for split(/\n/, $answer);
	return \%found;
}

# Ask all judged queries: the mean nDCG@10, and the part without any result.
sub quality
{
	my ($queries, $judged) = @_;
	my @ids = grep { my $id = $_; $judged->{$id} && grep { $_ > 0 } values %{ $judged->{$id} } } keys %$queries;
	my $found = search_all({ map { $_ => $queries->{$_} } @ids });
	my %each = map { $_ => ndcg($found->{$_} // [], $judged->{$_}) } @ids;

	diag(sprintf('%.2f %s', $each{$_}, $queries->{$_})) for grep { $ENV{SEARCH_VERBOSE} && $each{$_} < 0.6 } sort keys %each;
	return (sum(values %each) / @ids, (grep { !$found->{$_} } @ids) / @ids);
}

sub is_good
{
	my ($name, $ndcg, $bound, $empty, $most_empty) = @_;

	note(sprintf('%s: nDCG@10 %.4f, %.1f%% without result', $name, $ndcg, 100 * $empty));
	cmp_ok($ndcg, '>=', $bound, "$name: nDCG\@10");
	cmp_ok($empty, '<=', $most_empty, "$name: queries without result");
}

# Replace all products by those of a query over the staging table.
sub load_products
{
	my ($select) = @_;

	$node->safe_psql('postgres', <<"SQL");
DELETE FROM insurance_products;
INSERT INTO insurance_products (company_id, product_code, product_name, policy_type, description, premium_amount,
    available_countries, search_keywords, benefits)
$select;
SELECT padlock.search_rebuild();
SQL
}

# --- our own judged queries ---------------------------------------------------

$node->safe_psql('postgres', <<"SQL");
INSERT INTO insurance_companies (id, name) VALUES ('$company', 'Judged Mutual');
UPDATE rate_limit_rules SET max_requests = 2000000000 WHERE endpoint = 'product_search';
CREATE TABLE staging (code text, name text, policy_type text, premium text, countries text, keywords text, description text, benefits text);
SQL

sub insurance_queries
{
	my (%queries, %judged);

	open(my $in, '<:encoding(UTF-8)', "$source/test/fixtures/search/queries.tsv") or die $!;
	<$in>;
	while (my $line = <$in>)
	{
		chomp $line;
		my ($query, $judgements) = split(/\t/, $line);
		$queries{$query} = $query;
		$judged{$query} = { map { split(/:/) } split(/,/, $judgements) };
	}
	return (\%queries, \%judged);
}

$node->safe_psql('postgres', <<"SQL");
\\copy staging FROM '$source/test/fixtures/search/products.tsv' (HEADER true)
SQL
load_products(<<"SQL");
SELECT '$company', code, name, policy_type::policy_type_enum, description, premium::numeric,
       string_to_array(countries, ','), string_to_array(keywords, ','),
       jsonb_build_object('includes', string_to_array(benefits, ';'))
  FROM staging
SQL
my ($ndcg, $empty) = quality(insurance_queries());
is_good('insurance', $ndcg, 0.95, $empty, 0);

# --- public collections -------------------------------------------------------

# {id => text} and {query => {document => grade}} of a collection.
sub read_collection
{
	my ($name) = @_;
	my (%queries, %judged);

	open(my $in, '<:encoding(UTF-8)', "$collections/$name/queries.tsv") or die $!;
	while (<$in>) { chomp; my ($id, $text) = split(/\t/); $queries{$id} = $text; }
	open($in, '<', "$collections/$name/qrels.tsv") or die $!;
	while (<$in>) { chomp; my ($id, $document, $grade) = split(/\t/); $judged{$id}{$document} = $grade; }
	return (\%queries, \%judged);
}

# Make a collection the products: title and text become name and description.
sub load_collection
{
	my ($name) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$name.tsv";

	open(my $in, '<', "$collections/$name/docs.tsv") or die $!;
	open(my $out, '>', $file) or die $!;
	while (<$in>) { s/\\/\\\\/g; print $out $_; }
	close($out);
	$node->safe_psql('postgres', <<"SQL");
CREATE TABLE IF NOT EXISTS documents_staging (id text, title text, body text);
TRUNCATE documents_staging;
\\copy documents_staging FROM '$file'
SQL
	load_products(<<"SQL");
SELECT '$company', id, left(coalesce(nullif(title, ''), 'untitled'), 200), 'other', left(body, 5000), 10, NULL, NULL, NULL
  FROM documents_staging
SQL
}

# The query with one typo: a letter left out, added, replaced, or two swapped.
sub with_typo
{
	my ($query) = @_;
	my @words = split(/ /, $query);
	my @long = grep { $words[$_] =~ /^[a-z]{4,}$/ } 0 .. $#words;

	return $query unless @long;
	my $word = \$words[$long[int(rand(@long))]];
	my $at = int(rand(length($$word) - 1));
	my $letter = chr(ord('a') + int(rand(26)));
	my $kind = int(rand(4));
	if ($kind == 0) { substr($$word, $at, 1) = ''; }
	elsif ($kind == 1) { substr($$word, $at, 0) = $letter; }
	elsif ($kind == 2) { substr($$word, $at, 1) = $letter; }
	else { substr($$word, $at, 2) = reverse substr($$word, $at, 2); }
	return join(' ', @words);
}

SKIP:
{
	skip 'no ../shared/data', 1 unless -d $collections;

	foreach my $collection ([ 'chorus', 0.785 ], [ 'cranfield', 0.52 ], [ 'med', 0.69 ])
	{
		my ($name, $bound) = @$collection;
		my ($queries, $judged) = read_collection($name);

		load_collection($name);
		($ndcg, $empty) = quality($queries, $judged);
		is_good($name, $ndcg, $bound, $empty, 0.02);
		next unless $name eq 'chorus';

		srand(20261122);
		foreach my $round (1 .. 3)
		{
			($ndcg, $empty) = quality({ map { $_ => with_typo($queries->{$_}) } sort keys %$queries }, $judged);
			is_good("$name with a typo a query, round $round", $ndcg, 0.66, $empty, 0.02);
		}
	}
}

$node->stop;
done_testing();
