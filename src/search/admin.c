/*-------------------------------------------------------------------------
 *
 * admin.c
 *	  The index's own functions: build, merge, check, status; and what the
 *	  workers do for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "search/cache.h"
#include "search/combine.h"
#include "search/merge.h"
#include "search/postings.h"
#include "search/query_log.h"
#include "search/score.h"
#include "search/search.h"
#include "search/view_segments.h"

PG_FUNCTION_INFO_V1(padlock_search_start);
PG_FUNCTION_INFO_V1(padlock_search_rebuild);
PG_FUNCTION_INFO_V1(padlock_search_merge);
PG_FUNCTION_INFO_V1(padlock_search_check);
PG_FUNCTION_INFO_V1(padlock_search_status);

/* How often the workers look for changes, and how often when there are none. */
#define MERGE_MS		1000
#define IDLE_MS			60000

/*
 * padlock.search_start() returns boolean: build the index unless there is
 * one; for padlock.install().  True when it was built.
 */
Datum
padlock_search_start(PG_FUNCTION_ARGS)
{
	if (search_is_built(GetActiveSnapshot()))
		PG_RETURN_BOOL(false);
	search_rebuild();
	PG_RETURN_BOOL(true);
}

/*
 * padlock.search_rebuild() returns bigint: build the index anew from the
 * table, and return the number of products in it.  Searches and changes go on
 * meanwhile; search_status() shows the progress.  For service_role and the
 * owner.  Errors: 25001 unless the transaction is READ COMMITTED.
 */
Datum
padlock_search_rebuild(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(search_rebuild());
}

/*
 * padlock.search_merge() returns boolean: take changes up into the index, as
 * the background workers do.  False when there is nothing to do or another
 * session is at it.  For service_role and the owner.  Errors: 25001 unless
 * the transaction is READ COMMITTED.
 */
Datum
padlock_search_merge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(search_merge());
}

/* What two segments that should be alike differ in. */
typedef struct Comparison
{
	int64		differences;
	StringInfoData detail;		/* the first of them */
} Comparison;

static void
note_difference(Comparison *comparison, const char *format,...) pg_attribute_printf(2, 3);

static void
note_difference(Comparison *comparison, const char *format,...)
{
	va_list		args;
	char		text[256];

	if (comparison->differences++ >= 5)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (comparison->detail.len > 0)
		appendStringInfoString(&comparison->detail, "; ");
	appendStringInfoString(&comparison->detail, text);
}

static char *
id_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

/* Compare the sets of products; true when they and their order are the same. */
static bool
compare_products(Comparison *comparison, const SearchSegment *expected,
				 const SearchSegment *found)
{
	const pg_uuid_t *expected_ids = SEARCH_SECTION(expected, SECTION_IDS, pg_uuid_t);
	const pg_uuid_t *found_ids = SEARCH_SECTION(found, SECTION_IDS, pg_uuid_t);

	if (expected->ndocuments == found->ndocuments &&
		memcmp(expected_ids, found_ids, expected->ndocuments * sizeof(pg_uuid_t)) == 0)
		return true;
	for (uint32 i = 0; i < expected->ndocuments; i++)
	{
		if (search_segment_document(found, &expected_ids[i]) < 0)
			note_difference(comparison, "product %s is not in the index",
							id_text(&expected_ids[i]));
	}
	for (uint32 i = 0; i < found->ndocuments; i++)
	{
		if (search_segment_document(expected, &found_ids[i]) < 0)
			note_difference(comparison, "product %s is in the index only", id_text(&found_ids[i]));
	}
	if (comparison->differences == 0)
		note_difference(comparison, "products have another popularity");
	return false;
}

/* Compare what is fixed in size for each product. */
static void
compare_columns(Comparison *comparison, const SearchSegment *expected, const SearchSegment *found)
{
	static const struct
	{
		SearchSection section;
		int			size;
		const char *name;
	}			columns[] = {
		{SECTION_PREMIUMS, sizeof(double), "premium_amount"},
		{SECTION_CREATED, sizeof(int64), "created_at"},
		{SECTION_MINIMUM_AGES, 1, "minimum_age"},
		{SECTION_MAXIMUM_AGES, 1, "maximum_age"},
		{SECTION_COMPANY, sizeof(uint32), "company_id"}
	};

	for (int i = 0; i < lengthof(columns); i++)
	{
		const char *a = SEARCH_SECTION(expected, columns[i].section, char);
		const char *b = SEARCH_SECTION(found, columns[i].section, char);

		for (uint32 j = 0; j < expected->ndocuments; j++)
		{
			if (memcmp(a + (Size) j * columns[i].size, b + (Size) j * columns[i].size,
					   columns[i].size) != 0)
				note_difference(comparison, "product %s has another %s",
								id_text(SEARCH_SECTION(expected, SECTION_IDS, pg_uuid_t) + j),
								columns[i].name);
		}
	}
	if (expected->ncodes != found->ncodes ||
		memcmp(SEARCH_SECTION(expected, SECTION_CODES, char),
			   SEARCH_SECTION(found, SECTION_CODES, char),
			   expected->ncodes * sizeof(SearchCode)) != 0)
		note_difference(comparison, "product codes differ");
}

/* The next term that has postings, from a place on. */
static uint32
next_posted(const SearchSegment *segment, uint32 place)
{
	int			length;

	while (place < segment->nterms &&
		   search_is_counted_only(search_segment_string(segment, place, &length)))
		place++;
	return place;
}

/* Compare the postings of a term that both have. */
static void
compare_postings(Comparison *comparison, const SearchSegment *expected, uint32 expected_place,
				 const SearchSegment *found, uint32 found_place, uint32 **documents,
				 uint8 **impacts)
{
	const SearchTermEntry *a = SEARCH_SECTION(expected, SECTION_TERMS, SearchTermEntry) + expected_place;
	const SearchTermEntry *b = SEARCH_SECTION(found, SECTION_TERMS, SearchTermEntry) + found_place;
	int			length;
	const char *term = search_segment_string(expected, expected_place, &length);

	if (a->frequency == b->frequency)
	{
		search_postings_decode(expected, a, documents[0], impacts[0]);
		search_postings_decode(found, b, documents[1], impacts[1]);
		if (memcmp(documents[0], documents[1], a->frequency * sizeof(uint32)) == 0 &&
			memcmp(impacts[0], impacts[1], a->frequency) == 0)
			return;
	}
	note_difference(comparison, "term \"%s\" has other products", pnstrdup(term, length));
}

/* Compare the dictionaries and all postings. */
static void
compare_terms(Comparison *comparison, const SearchSegment *expected, const SearchSegment *found)
{
	Size		room = Max(expected->ndocuments, 1) + SEARCH_CHUNK;
	uint32	   *documents[2];
	uint8	   *impacts[2];
	uint32		i = next_posted(expected, 0);
	uint32		j = next_posted(found, 0);

	for (int k = 0; k < 2; k++)
	{
		documents[k] = palloc_extended(room * sizeof(uint32), MCXT_ALLOC_HUGE);
		impacts[k] = palloc_extended(room, MCXT_ALLOC_HUGE);
	}
	while (i < expected->nterms || j < found->nterms)
	{
		int			a_length = 0;
		int			b_length = 0;
		const char *a = i < expected->nterms ? search_segment_string(expected, i, &a_length) : NULL;
		const char *b = j < found->nterms ? search_segment_string(found, j, &b_length) : NULL;
		int			order = a == NULL ? 1 : b == NULL ? -1 :
		search_compare_strings(a, a_length, b, b_length);

		CHECK_FOR_INTERRUPTS();
		if (order == 0)
			compare_postings(comparison, expected, i, found, j, documents, impacts);
		else if (order < 0)
			note_difference(comparison, "term \"%s\" is not in the index", pnstrdup(a, a_length));
		else
			note_difference(comparison, "term \"%s\" is in the index only", pnstrdup(b, b_length));
		if (order <= 0)
			i = next_posted(expected, i + 1);
		if (order >= 0)
			j = next_posted(found, j + 1);
	}
}

/* The whole index of a view as one segment. */
static SearchSegment *
combine_view(const SearchView *view)
{
	SearchInput *inputs = palloc(view->nsegments * sizeof(SearchInput));

	for (int i = 0; i < view->nsegments; i++)
	{
		inputs[i].segment = view->segments[i].segment;
		inputs[i].live = view->segments[i].live;
	}
	return search_combine(inputs, view->nsegments, &view->statistics, NULL, 0, NULL, 0);
}

/*
 * padlock.search_check() returns (products, indexed, differences, detail):
 * builds an index of the table in memory and compares the index in use with
 * it, product by product and posting by posting.  detail names the first
 * differences.  For service_role and the owner.  It needs memory for twice
 * the index, and about the time of a rebuild.
 */
Datum
padlock_search_check(PG_FUNCTION_ARGS)
{
	Snapshot	snapshot = GetActiveSnapshot();
	SearchView *view = search_view_make(snapshot, false);
	SearchSegment *expected = search_build_all(snapshot, &view->statistics);
	SearchSegment *found = combine_view(view);
	Comparison	comparison = {0};
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	search_cache_release();
	initStringInfo(&comparison.detail);
	if (compare_products(&comparison, expected, found))
	{
		compare_columns(&comparison, expected, found);
		compare_terms(&comparison, expected, found);
	}
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function must be called where a record is accepted")));
	values[0] = Int64GetDatum(expected->ndocuments);
	values[1] = Int64GetDatum(found->ndocuments);
	values[2] = Int64GetDatum(comparison.differences);
	values[3] = CStringGetTextDatum(comparison.detail.data);
	nulls[3] = comparison.differences == 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * padlock.search_status() returns (built, segments, documents, changes, size,
 * memory_used, memory, phase, done, total): the index as this snapshot sees
 * it, sizes in bytes; memory counts all databases; phase to total are of a
 * rebuild that runs, else null.  For service_role, pg_monitor and the owner.
 */
Datum
padlock_search_status(PG_FUNCTION_ARGS)
{
	Snapshot	snapshot = GetActiveSnapshot();
	SearchProgress progress;
	TupleDesc	desc;
	Datum		values[10] = {0};
	bool		nulls[10] = {false};
	int64		documents = 0;
	int64		size = 0;
	uint64		used;
	uint64		memory;
	int			nrows;
	int			nchanges;
	SearchSegmentRow *rows = search_store_segments(snapshot, &nrows);

	for (int i = 0; i < nrows; i++)
	{
		documents += rows[i].documents;
		size += rows[i].size;
	}
	(void) search_store_changes(snapshot, 0, &nchanges);
	search_cache_usage(&used, &memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function must be called where a record is accepted")));
	values[0] = BoolGetDatum(search_is_built(snapshot));
	values[1] = Int32GetDatum(nrows);
	values[2] = Int64GetDatum(documents);
	values[3] = Int32GetDatum(nchanges);
	values[4] = Int64GetDatum(size);
	values[5] = Int64GetDatum((int64) used);
	values[6] = Int64GetDatum((int64) memory);
	nulls[7] = nulls[8] = nulls[9] = !search_progress_get(&progress);
	if (!nulls[7])
	{
		values[7] = CStringGetTextDatum(progress.phase);
		values[8] = Int64GetDatum(progress.done);
		values[9] = Int64GetDatum(progress.total);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* Merge in a transaction of its own; false when another session is at it. */
static bool
merge_once(void)
{
	bool		alone = true;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (search_store_exists())
	{
		alone = search_store_lock(false);
		if (alone)
			(void) search_merge();
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	return alone;
}

long
padlock_search_maintain(void)
{
	static uint64 seen = PG_UINT64_MAX;
	static TimestampTz merged_at = 0;
	uint64		changes = search_changes_seen();
	TimestampTz now = GetCurrentTimestamp();

	search_attend_changes();
	if (changes == seen)
		return IDLE_MS;
	if (!TimestampDifferenceExceeds(merged_at, now, MERGE_MS))
		return MERGE_MS - TimestampDifferenceMilliseconds(merged_at, now) + 1;
	merged_at = now;
	if (merge_once())
		seen = changes;
	return MERGE_MS;
}

void
padlock_search_init(void)
{
	DefineCustomRealVariable("padlock.search_popularity_boost",
							 "How much a popularity of 100 raises a product's relevance.",
							 "0.1 is a tenth; in proportion for less popularity.",
							 &search_popularity_boost, search_popularity_boost, 0, 1,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("padlock.search_freshness_boost",
							 "How much being new raises a product's relevance.",
							 "It halves with every padlock.search_freshness_half_life.",
							 &search_freshness_boost, search_freshness_boost, 0, 1,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("padlock.search_freshness_half_life",
							"Days in which padlock.search_freshness_boost halves.", NULL,
							&search_freshness_half_life, search_freshness_half_life, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	search_cache_init();
	search_changes_init();
	search_log_init();
}
