/*-------------------------------------------------------------------------
 *
 * spelling.c
 *	  Words of the index that a mistyped word may stand for.
 *
 * The index's unstemmed words come in byte order, so they are walked like the
 * branches of a tree: the rows of the edit distance's table that belong to a
 * common beginning are kept from word to word, and a beginning that is too far
 * from the form already ends its whole branch.  The distance is that of
 * optimal string alignment: an insertion, a deletion, a replacement or a
 * transposition of neighbours counts one.  Letters are compared without their
 * accents.
 *
 * The index keeps words of products that are gone until it is rebuilt, and
 * those of companies that are not active.  Visitors are not told of them: a
 * word counts only when a product that can be found has one of its stem.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "search/languages.h"
#include "search/spelling.h"

/*
 * Characters from which on a word may have one typo, and two, as other search
 * engines have it: any word of three letters is one typo from another.
 */
#define ONE_TYPO	4
#define TWO_TYPOS	8

/* Of shorter words anything would be a typo, if it were one typo more. */
#define WIDE_TYPOS	6

/* Branches that begin within so many bytes are worth a search for their end. */
#define JUMP_BYTES	4

/* The best words so far. */
typedef struct Found
{
	const SearchView *view;
	SearchAnalyzer *analyzer;
	SearchLanguages languages;
	SearchSpelling *words;
	int			count;
} Found;

/* The state of a walk. */
typedef struct Walk
{
	const char *word;			/* the form as it is */
	int			length;
	pg_wchar	form[SEARCH_FORM_MAX + 1];
	int			nform;
	int			limit;			/* distance allowed */
	pg_wchar	path[SEARCH_FORM_MAX + 1];	/* of the last word */
	int			offsets[SEARCH_FORM_MAX + 2];	/* of its characters, in bytes */
	int			depth;			/* characters of path whose rows are valid */
	bool		dead;			/* the branch of path[0 .. depth) is too far */
	uint8		rows[SEARCH_FORM_MAX + 1][SEARCH_FORM_MAX + 1];
	char		jump[SEARCH_FORM_MAX + 2];	/* where to go on when a scan ended */
	int			jump_length;
	Found		found;
} Walk;

static void
start_found(Found *found, const SearchView *view, SearchSpelling *words)
{
	found->view = view;
	found->analyzer = search_analyzer_create(CurrentMemoryContext);
	search_languages_find(&found->languages, view);
	found->words = words;
	found->count = 0;
}

/*
 * Decode a word, without accents; offsets, if wanted, get one more element than
 * there are characters.
 */
static int
decode(const char *form, int length, pg_wchar *points, int *offsets)
{
	int			n = 0;
	int			at = 0;

	while (at < length && n < SEARCH_FORM_MAX)
	{
		int			bytes = IS_HIGHBIT_SET(form[at]) ? pg_mblen(form + at) : 1;

		if (offsets != NULL)
			offsets[n] = at;
		if (bytes == 1 || GetDatabaseEncoding() != PG_UTF8)
			points[n++] = (unsigned char) form[at];
		else
			points[n++] = search_fold_letter(utf8_to_unicode((const unsigned char *) form + at));
		at += bytes;
	}
	if (offsets != NULL)
		offsets[n] = at;
	return n;
}

/* Keep a word among the found ones: nearer first, then more frequent. */
static void
keep(Found *found, const char *form, int length, int distance, uint32 frequency)
{
	SearchSpelling *words = found->words;
	int			at = found->count;

	while (at > 0 && (words[at - 1].distance > distance ||
					  (words[at - 1].distance == distance && words[at - 1].frequency < frequency)))
		at--;
	if (at == SEARCH_MAX_SPELLINGS ||
		!search_word_lives(&found->languages, found->view, found->analyzer, form, length))
		return;
	if (found->count < SEARCH_MAX_SPELLINGS)
		found->count++;
	memmove(&words[at + 1], &words[at], sizeof(SearchSpelling) * (found->count - 1 - at));
	memcpy(words[at].form, form, length);
	words[at].form[length] = '\0';
	words[at].length = length;
	words[at].distance = distance;
	words[at].frequency = frequency;
}

static void
fill_first_row(Walk *walk)
{
	for (int j = 0; j <= walk->nform; j++)
		walk->rows[0][j] = j;
}

/* Fill in the row of the path's character before i; returns its minimum. */
static int
fill_row(Walk *walk, int i)
{
	uint8	   *row = walk->rows[i];
	const uint8 *above = walk->rows[i - 1];
	pg_wchar	c = walk->path[i - 1];
	int			least = row[0] = i;

	for (int j = 1; j <= walk->nform; j++)
	{
		int			distance = Min(Min(above[j], row[j - 1]) + 1,
								   above[j - 1] + (c != walk->form[j - 1]));

		if (i > 1 && j > 1 && c == walk->form[j - 2] && walk->path[i - 2] == walk->form[j - 1])
			distance = Min(distance, walk->rows[i - 2][j - 2] + 1);
		row[j] = distance;
		least = Min(least, distance);
	}
	return least;
}

static int
row_minimum(const Walk *walk, int i)
{
	int			least = walk->rows[i][0];

	for (int j = 1; j <= walk->nform; j++)
		least = Min(least, walk->rows[i][j]);
	return least;
}

/*
 * Fill in the rows for a path of n characters, of which common are as before.
 * False when a beginning is too far: walk->depth says how long it is.  A
 * transposition looks two rows back, so both must be too far.
 */
static bool
fill_rows(Walk *walk, int n, int common)
{
	int			previous = row_minimum(walk, common);

	for (int i = common + 1; i <= n; i++)
	{
		int			least = fill_row(walk, i);

		walk->depth = i;
		if (least > walk->limit && previous >= walk->limit)
			return false;
		previous = least;
	}
	return true;
}

/* Prepare to go on behind the branch of the first depth characters. */
static void
set_jump(Walk *walk, const char *term)
{
	walk->jump_length = 1 + walk->offsets[walk->depth];
	memcpy(walk->jump, term, walk->jump_length);
	/* no byte of a text in any server encoding is 0xFF */
	walk->jump[walk->jump_length - 1]++;
}

/* SearchTermVisitor: look at one word; false to jump over the rest of its branch. */
static bool
visit_word(const char *term, int length, uint32 frequency, void *arg)
{
	Walk	   *walk = arg;
	pg_wchar	path[SEARCH_FORM_MAX + 1];
	int			n = decode(term + 1, Min(length - 1, SEARCH_FORM_MAX), path, walk->offsets);
	int			common = 0;
	int			distance;

	while (common < n && common < walk->depth && path[common] == walk->path[common])
		common++;
	if (walk->dead && common == walk->depth)
		return true;
	memcpy(walk->path, path, sizeof(pg_wchar) * n);
	walk->depth = common;
	walk->dead = !fill_rows(walk, n, common);
	if (walk->dead)
	{
		if (walk->offsets[walk->depth] > JUMP_BYTES)
			return true;
		set_jump(walk, term);
		return false;
	}
	distance = walk->rows[n][walk->nform];
	if (distance <= walk->limit &&
		(length - 1 != walk->length || memcmp(term + 1, walk->word, walk->length) != 0))
		keep(&walk->found, term + 1, Min(length - 1, SEARCH_FORM_MAX), distance, frequency);
	return true;
}

/* The distance that a word of n characters may have from what was meant. */
static int
distance_limit(int n, SearchSpellingReach reach)
{
	int			limit = n < ONE_TYPO ? 0 : n < TWO_TYPOS ? 1 : 2;

	if (reach == SEARCH_SPELLING_WIDE)
		return n < WIDE_TYPOS ? 0 : limit + 1;
	return limit;
}

/* Of what was found, in order, keep the nearest. */
static int
count_nearest(const SearchSpelling *found, int nfound)
{
	int			n = 0;

	while (n < nfound && found[n].distance == found[0].distance)
		n++;
	return n;
}

/* Walk the words within walk->limit that start with a prefix, the mark included. */
static void
walk_words(const SearchView *view, Walk *walk, const char *prefix, int length)
{
	walk->depth = walk->found.count = walk->jump_length = 0;
	walk->dead = false;
	fill_first_row(walk);
	do
	{
		int			from_length = walk->jump_length;

		CHECK_FOR_INTERRUPTS();
		walk->jump_length = 0;
		search_view_scan(view, prefix, length, from_length > 0 ? walk->jump : NULL, from_length,
						 visit_word, walk);
	} while (walk->jump_length > 0);
}

int
search_spellings(const SearchView *view, const char *form, int length, SearchSpellingReach reach,
				 SearchSpelling *found)
{
	Walk		walk;
	char		prefix[8] = {SEARCH_WORD_MARK};
	int			prefix_length = 1;
	int			limit;

	walk.word = form;
	walk.length = length;
	walk.nform = decode(form, Min(length, SEARCH_FORM_MAX), walk.form, NULL);
	start_found(&walk.found, view, found);
	limit = distance_limit(walk.nform, reach);
	if (reach == SEARCH_SPELLING_WIDE)
	{
		int			first = pg_mblen(form);

		memcpy(prefix + 1, form, first);
		prefix_length += first;
	}
	/* only the nearest count, and each step farther is a much longer walk */
	for (walk.limit = 1; walk.limit <= limit && walk.found.count == 0; walk.limit++)
		walk_words(view, &walk, prefix, prefix_length);
	return count_nearest(found, walk.found.count);
}

int
search_spelling_distance(const char *form, int length, const char *word, int word_length)
{
	Walk		walk;
	int			n = decode(word, Min(word_length, SEARCH_FORM_MAX), walk.path, NULL);
	int			distance;

	walk.nform = decode(form, Min(length, SEARCH_FORM_MAX), walk.form, NULL);
	fill_first_row(&walk);
	for (int i = 1; i <= n; i++)
		(void) fill_row(&walk, i);
	distance = walk.rows[n][walk.nform];
	return distance <= distance_limit(walk.nform, SEARCH_SPELLING_NEAR) ? distance : -1;
}

/* A walk through the words that begin like a form. */
typedef struct Completions
{
	pg_wchar	form[SEARCH_FORM_MAX + 1];
	int			nform;
	char		jump[SEARCH_FORM_MAX + 4];	/* where to go on when a scan ended */
	int			jump_length;	/* 0: nowhere */
	Found		found;
} Completions;

/* Prepare to go on with the character c in the place of the one at length. */
static void
jump_to(Completions *completions, const char *term, int length, pg_wchar c)
{
	unsigned char bytes[4];
	int			nbytes;

	unicode_to_utf8(c, bytes);
	nbytes = pg_utf_mblen(bytes);
	memcpy(completions->jump, term, length);
	memcpy(completions->jump + length, bytes, nbytes);
	completions->jump_length = length + nbytes;
}

/* Prepare to go on behind all words that begin with the first length bytes. */
static void
jump_behind(Completions *completions, const char *term, int length)
{
	/* behind the mark alone there are no words */
	if (length == 1)
		return;
	memcpy(completions->jump, term, length);
	completions->jump[length - 1]++;
	completions->jump_length = length;
}

/*
 * Prepare to go on after a word that is unlike the form in its character at an
 * offset.  What is folded to an ASCII letter stands behind all of ASCII, and
 * nothing is folded to or from SEARCH_UNFOLDED on.
 */
static void
choose_jump(Completions *completions, const char *term, int offset, pg_wchar wanted)
{
	pg_wchar	c = utf8_to_unicode((const unsigned char *) term + offset);

	if (c < wanted && (wanted < 0x80 || wanted >= SEARCH_UNFOLDED))
		jump_to(completions, term, offset, wanted);
	else if (c < 0x80)
		jump_to(completions, term, offset, 0x80);
	else if (c >= SEARCH_UNFOLDED)
		jump_behind(completions, term, offset);
	else
		jump_behind(completions, term, offset + pg_utf_mblen((const unsigned char *) term + offset));
}

/* SearchTermVisitor: look at one word; false to go on elsewhere. */
static bool
visit_completion(const char *term, int length, uint32 frequency, void *arg)
{
	Completions *completions = arg;
	pg_wchar	path[SEARCH_FORM_MAX + 1];
	int			offsets[SEARCH_FORM_MAX + 2];
	int			n = decode(term + 1, Min(length - 1, SEARCH_FORM_MAX), path, offsets);
	int			common = 0;

	while (common < Min(n, completions->nform) && path[common] == completions->form[common])
		common++;
	if (common < completions->nform && common < n)
	{
		choose_jump(completions, term, 1 + offsets[common], completions->form[common]);
		return false;
	}
	if (common == completions->nform && length - 1 <= SEARCH_FORM_MAX)
		keep(&completions->found, term + 1, length - 1, n == completions->nform ? 0 : 1, frequency);
	return true;
}

int
search_completions(const SearchView *view, const char *form, int length, SearchSpelling *found)
{
	Completions completions = {.jump_length = 0};
	char		prefix[SEARCH_FORM_MAX + 1] = {SEARCH_WORD_MARK};
	int			prefix_length = 1;

	start_found(&completions.found, view, found);
	length = Min(length, SEARCH_FORM_MAX);
	completions.nform = decode(form, length, completions.form, NULL);
	if (GetDatabaseEncoding() != PG_UTF8)
	{
		/* there are no accents to leave out */
		memcpy(prefix + 1, form, length);
		prefix_length += length;
	}
	else if (completions.form[0] < 0x80 || completions.form[0] >= SEARCH_UNFOLDED)
		jump_to(&completions, prefix, 1, completions.form[0]);
	else
		jump_to(&completions, prefix, 1, 0x80);
	do
	{
		char		from[SEARCH_FORM_MAX + 4];
		int			from_length = completions.jump_length;

		CHECK_FOR_INTERRUPTS();
		memcpy(from, completions.jump, from_length);
		completions.jump_length = 0;
		search_view_scan(view, prefix, prefix_length, from_length > 0 ? from : NULL, from_length,
						 visit_completion, &completions);
	} while (completions.jump_length > 0);
	return completions.found.count;
}
