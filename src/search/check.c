/*-------------------------------------------------------------------------
 *
 * check.c
 *	  Is the index what the table says?  padlock.search_check().
 *
 * Each segment is verified by itself, some chunks of documents at a time: the
 * rows of those that live are read by their ids, indexed again in memory with
 * the averages that the segment was made with, and compared with what the
 * segment has of them: columns, codes, and each posting with its impact and
 * its places.  Then the table is read for products that are in no segment, or
 * in two.  So the memory that it takes does not grow with the index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/body.h"
#include "search/cache.h"
#include "search/places.h"
#include "search/postings.h"
#include "search/products.h"
#include "search/view_segments.h"

PG_FUNCTION_INFO_V1(padlock_search_check);

/* Chunks of documents that are verified at a time. */
#define BATCH_CHUNKS	16

/* Differences that are told of one by one. */
#define MAX_TOLD		5

/* A document of the segment that has no part in the comparison. */
#define NOT_COMPARED	PG_UINT32_MAX

/* What can differ. */
typedef enum Kind
{
	KIND_MISSING,
	KIND_UNKNOWN,
	KIND_TWICE,
	KIND_PREMIUM,
	KIND_CREATED,
	KIND_MINIMUM_AGE,
	KIND_MAXIMUM_AGE,
	KIND_POPULARITY,
	KIND_COMPANY,
	KIND_CODE,
	KIND_FILTERS,
	KIND_WORDS,
	KIND_WEIGHTS,
	KIND_PLACES,
	KINDS
} Kind;

/* Their names in the answer. */
static const char *const kind_names[KINDS] = {
	"missing", "unknown", "twice", "premium_amount", "created_at", "minimum_age", "maximum_age",
	"popularity_score", "company_id", "product_code", "filters", "words", "weights", "places"
};

/* Columns of which each product has a byte. */
static const struct
{
	SearchSection section;
	Kind		kind;
}			columns[] = {
	{SECTION_MINIMUM_AGES, KIND_MINIMUM_AGE},
	{SECTION_MAXIMUM_AGES, KIND_MAXIMUM_AGE},
	{SECTION_POPULARITY, KIND_POPULARITY}
};

/* A posting of a term, as a segment has it. */
typedef struct Posting
{
	uint32		document;		/* of the segment made of the rows */
	uint8		impact;
	uint32		start;			/* of the places, among all postings' */
	uint32		length;			/* of the places, in bytes */
} Posting;

typedef struct Postings
{
	Posting    *all;
	uint32		count;
	StringInfoData places;		/* as search_places_encode() writes them */
} Postings;

/* A check, and the documents that it is at. */
typedef struct Check
{
	Snapshot	snapshot;
	const SearchView *view;
	SearchBuilder *builder;
	int64		nproducts;
	int64		nindexed;
	int64		counts[KINDS];
	StringInfoData detail;		/* the first differences */
	int			told;
	/* the batch: */
	const SearchSegment *found; /* the segment of the index */
	const SearchSegment *expected;	/* that of the rows */
	uint32		first_chunk;
	uint32		end_chunk;
	uint32		first;			/* document */
	uint32		end;
	uint64	   *compared;		/* bitmap, from first on */
	uint32	   *numbers;		/* in expected, likewise, or NOT_COMPARED */
	uint64	   *all_expected;	/* bitmap of all of expected */
	Postings	found_postings; /* of the term at hand */
	Postings	expected_postings;
} Check;

/* Count a difference, and tell of it if it is among the first. */
static void
note(Check *check, Kind kind, const char *format,...) pg_attribute_printf(3, 4);

static void
note(Check *check, Kind kind, const char *format,...)
{
	va_list		args;
	char		text[256];

	check->counts[kind]++;
	if (check->told >= MAX_TOLD)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	appendStringInfo(&check->detail, "%s%s", check->told++ > 0 ? "; " : "", text);
}

/* An id for note(). */
static const char *
id_text(const Check *check, const pg_uuid_t *id)
{
	/* there may be millions that nobody is told of */
	if (check->told >= MAX_TOLD)
		return "";
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

/* The id of a document of the expected segment. */
static const char *
expected_id(const Check *check, uint32 document)
{
	return id_text(check, SEARCH_SECTION(check->expected, SECTION_IDS, pg_uuid_t) + document);
}

static bool
has_bit(const uint64 *words, uint32 number)
{
	return words[number / 64] >> (number % 64) & 1;
}

/* Add the rows of the batch's living documents to the builder. */
static void
read_rows(Check *check, const uint64 *live)
{
	const pg_uuid_t *ids = SEARCH_SECTION(check->found, SECTION_IDS, pg_uuid_t);
	SearchProducts products;

	/* scans take memory as they go: this one's must end with the batch's */
	search_products_open(&products, check->snapshot);
	for (uint32 i = check->first; i < check->end; i++)
	{
		if (!has_bit(live, i))
			continue;
		check->nindexed++;
		if (!search_lookup_find(&products.table, &ids[i]) ||
			!search_product_is_active(&products.shape, products.table.slot))
		{
			note(check, KIND_UNKNOWN, "product %s is in the index only", id_text(check, &ids[i]));
			continue;
		}
		search_builder_add(check->builder, &products.shape, products.table.slot);
		check->compared[(i - check->first) / 64] |= UINT64CONST(1) << ((i - check->first) % 64);
	}
	search_products_close(&products);
}

/* Find where the compared documents are in the expected segment. */
static void
number_documents(Check *check)
{
	const pg_uuid_t *ids = SEARCH_SECTION(check->found, SECTION_IDS, pg_uuid_t);

	for (uint32 i = check->first; i < check->end; i++)
		check->numbers[i - check->first] = has_bit(check->compared, i - check->first)
			? (uint32) search_segment_document(check->expected, &ids[i]) : NOT_COMPARED;
}

/* Index the batch's rows again. */
static void
build_expected(Check *check, const uint64 *live)
{
	SearchStatistics statistics = search_segment_statistics(check->found);

	search_builder_restart(check->builder, &statistics);
	read_rows(check, live);
	check->expected = search_builder_finish(check->builder, NULL, 0);
	check->all_expected = search_all_alive(check->expected);
	number_documents(check);
}

static const pg_uuid_t *
company_of(const SearchSegment *segment, uint32 document)
{
	return SEARCH_SECTION(segment, SECTION_COMPANIES, pg_uuid_t) +
		search_segment_company_of(segment, document);
}

static void
note_column(Check *check, Kind kind, uint32 number)
{
	note(check, kind, "product %s has another %s", expected_id(check, number), kind_names[kind]);
}

/* Compare what each product has one of. */
static void
compare_columns(Check *check, uint32 document, uint32 number)
{
	const SearchSegment *found = check->found;
	const SearchSegment *expected = check->expected;

	if (search_segment_premium(found, document) != search_segment_premium(expected, number) ||
		SEARCH_SECTION(found, SECTION_PREMIUM_STEPS, uint8)[document] !=
		SEARCH_SECTION(expected, SECTION_PREMIUM_STEPS, uint8)[number])
		note_column(check, KIND_PREMIUM, number);
	if (search_segment_created(found, document) != search_segment_created(expected, number))
		note_column(check, KIND_CREATED, number);
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (SEARCH_SECTION(found, columns[i].section, uint8)[document] !=
			SEARCH_SECTION(expected, columns[i].section, uint8)[number])
			note_column(check, columns[i].kind, number);
	}
	if (search_compare_ids(company_of(found, document), company_of(expected, number)) != 0)
		note_column(check, KIND_COMPANY, number);
}

/* Compare the codes, by their hashes. */
static void
compare_codes(Check *check)
{
	SearchCode *found = palloc_extended(Max(check->found->ncodes, 1) * sizeof(SearchCode),
										MCXT_ALLOC_HUGE);
	SearchCode *expected = palloc(Max(check->expected->ncodes, 1) * sizeof(SearchCode));
	Size		size = Max(check->expected->ndocuments, 1) * sizeof(uint64);
	uint64	   *hashes = palloc0(size);	/* of each document and one more, 0: no code */
	uint64	   *others = palloc0(size);

	search_segment_read_codes(check->found, found);
	search_segment_read_codes(check->expected, expected);
	for (uint32 i = 0; i < check->found->ncodes; i++)
	{
		uint32		document = found[i].document;

		if (document >= check->first && document < check->end &&
			check->numbers[document - check->first] != NOT_COMPARED)
			hashes[check->numbers[document - check->first]] = (uint64) found[i].hash + 1;
	}
	for (uint32 i = 0; i < check->expected->ncodes; i++)
		others[expected[i].document] = (uint64) expected[i].hash + 1;
	for (uint32 i = 0; i < check->expected->ndocuments; i++)
	{
		if (hashes[i] != others[i])
			note(check, KIND_CODE, "product %s has another product_code", expected_id(check, i));
	}
	pfree(found);
	pfree(expected);
	pfree(hashes);
	pfree(others);
}

static int
compare_documents(const void *a, const void *b)
{
	uint32		left = ((const Posting *) a)->document;
	uint32		right = ((const Posting *) b)->document;

	return (left > right) - (left < right);
}

/* Copy the places of a posting, so many postings of the term on. */
static void
copy_places(Postings *postings, Posting *posting, SearchPlaceCursor *cursor, uint32 rank)
{
	uint16		places[SEARCH_MAX_PLACES];
	int			count = search_places_read(cursor, rank, places);

	posting->start = postings->places.len;
	search_places_encode(&postings->places, places, count);
	posting->length = postings->places.len - posting->start;
}

/*
 * Collect a term's postings of the documents in compared, a bitmap of chunks
 * from first_chunk on, in the order of their numbers (NULL: as they are).
 */
static void
collect(Postings *postings, const SearchSegment *segment, uint32 term, uint32 first_chunk,
		uint32 end_chunk, const uint64 *compared, const uint32 *numbers)
{
	const SearchTermEntry *entry = SEARCH_SECTION(segment, SECTION_TERMS, SearchTermEntry) + term;
	const char *string = SEARCH_SECTION(segment, SECTION_STRINGS, char) + entry->string;
	bool		ordered = true;
	SearchPlaceCursor place_cursor;
	SearchCursor impacts_cursor;
	SearchCursor numbers_cursor;

	postings->count = 0;
	resetStringInfo(&postings->places);
	search_places_open(&place_cursor, segment, entry);
	search_cursor_open(&impacts_cursor, segment, entry);
	search_cursor_open(&numbers_cursor, segment, entry);
	for (uint32 chunk = first_chunk; chunk < end_chunk; chunk++)
	{
		const uint64 *words = compared + (Size) (chunk - first_chunk) * SEARCH_CHUNK_WORDS;
		uint64		marks[SEARCH_CHUNK_WORDS];
		uint16		places[SEARCH_CHUNK];
		uint8		impacts[SEARCH_CHUNK];
		uint32		ranks[SEARCH_CHUNK];
		uint32		count = search_cursor_best(&impacts_cursor, chunk, words, 0, marks, places,
											   impacts);

		(void) search_cursor_number(&numbers_cursor, chunk, words, places, ranks);
		for (uint32 i = 0; i < count; i++)
		{
			uint32		document = ((chunk - first_chunk) << SEARCH_CHUNK_BITS) + places[i];
			Posting    *posting = &postings->all[postings->count++];

			posting->document = numbers != NULL ? numbers[document] : document;
			posting->impact = impacts[i];
			posting->length = 0;
			ordered &= posting == postings->all || posting[-1].document < posting->document;
			if (search_has_places(string))
				copy_places(postings, posting, &place_cursor, ranks[i]);
		}
	}
	if (!ordered)
		qsort(postings->all, postings->count, sizeof(Posting), compare_documents);
}

/* The column of which a term is a filter's value. */
static const char *
filter_name(const char *term)
{
	switch (term[1])
	{
		case SEARCH_FILTER_TYPE:
			return "policy_type";
		case SEARCH_FILTER_CURRENCY:
			return "currency";
		default:
			return "available_countries";
	}
}

/* Note that a product's posting is on one side only, or differs. */
static void
note_posting(Check *check, Kind kind, uint32 document, const char *term, int length,
			 const char *problem)
{
	if (*term == SEARCH_FILTER_MARK)
		note(check, KIND_FILTERS, "product %s: %s \"%.*s\" %s", expected_id(check, document),
			 filter_name(term), length - 2, term + 2, problem);
	else
		note(check, kind, "product %s: word \"%.*s\" %s", expected_id(check, document), length, term,
			 problem);
}

/* Compare what was collected of a term. */
static void
compare_collected(Check *check, const char *term, int length)
{
	const Posting *found = check->found_postings.all;
	const Posting *expected = check->expected_postings.all;
	const Posting *found_end = found + check->found_postings.count;
	const Posting *expected_end = expected + check->expected_postings.count;

	while (found < found_end || expected < expected_end)
	{
		if (expected == expected_end || (found < found_end && found->document < expected->document))
		{
			note_posting(check, KIND_WORDS, found->document, term, length, "is in the index only");
			found++;
			continue;
		}
		if (found == found_end || expected->document < found->document)
		{
			note_posting(check, KIND_WORDS, expected->document, term, length, "is not in the index");
			expected++;
			continue;
		}
		if (found->impact != expected->impact)
			note_posting(check, KIND_WEIGHTS, found->document, term, length, "has another weight");
		if (found->length != expected->length ||
			(found->length > 0 && memcmp(check->found_postings.places.data + found->start,
										 check->expected_postings.places.data + expected->start,
										 found->length) != 0))
			note_posting(check, KIND_PLACES, found->document, term, length, "has other places");
		found++;
		expected++;
	}
}

/* Compare a term, which the index, the rows or both have. */
static void
compare_term(Check *check, int64 found_term, int64 expected_term)
{
	const SearchSegment *segment = found_term >= 0 ? check->found : check->expected;
	int			length;
	const char *term = search_segment_string(segment, found_term >= 0 ? found_term : expected_term,
											 &length);

	if (search_is_counted_only(term))
	{
		/* the index may have words of documents that are gone */
		if (found_term < 0)
			note(check, KIND_WORDS, "\"%.*s\" is not among the words to suggest", length - 1, term + 1);
		return;
	}
	check->found_postings.count = check->expected_postings.count = 0;
	if (found_term >= 0)
		collect(&check->found_postings, check->found, found_term, check->first_chunk,
				check->end_chunk, check->compared, check->numbers);
	if (expected_term >= 0)
		collect(&check->expected_postings, check->expected, expected_term, 0,
				SEARCH_CHUNKS(check->expected->ndocuments), check->all_expected, NULL);
	compare_collected(check, term, length);
}

/* Compare the dictionaries, and the postings of all their terms. */
static void
compare_terms(Check *check)
{
	uint32		i = 0;
	uint32		j = 0;

	while (i < check->found->nterms || j < check->expected->nterms)
	{
		int			a_length = 0;
		int			b_length = 0;
		const char *a = i < check->found->nterms
			? search_segment_string(check->found, i, &a_length) : NULL;
		const char *b = j < check->expected->nterms
			? search_segment_string(check->expected, j, &b_length) : NULL;
		int			order = a == NULL ? 1 : b == NULL ? -1 :
			search_compare_strings(a, a_length, b, b_length);

		CHECK_FOR_INTERRUPTS();
		compare_term(check, order <= 0 ? (int64) i++ : -1, order >= 0 ? (int64) j++ : -1);
	}
}

/* Memory for the postings of one term. */
static void
allocate_postings(Postings *postings)
{
	postings->all = palloc(sizeof(Posting) * BATCH_CHUNKS * SEARCH_CHUNK);
	postings->count = 0;
	initStringInfo(&postings->places);
}

/* Verify the batch. */
static void
check_batch(Check *check, const uint64 *live)
{
	check->first = check->first_chunk << SEARCH_CHUNK_BITS;
	check->end = Min(check->end_chunk << SEARCH_CHUNK_BITS, check->found->ndocuments);
	check->compared = palloc0(BATCH_CHUNKS * SEARCH_CHUNK_WORDS * sizeof(uint64));
	check->numbers = palloc(BATCH_CHUNKS * SEARCH_CHUNK * sizeof(uint32));
	build_expected(check, live);
	for (uint32 i = check->first; i < check->end; i++)
	{
		if (check->numbers[i - check->first] != NOT_COMPARED)
			compare_columns(check, i, check->numbers[i - check->first]);
	}
	compare_codes(check);
	allocate_postings(&check->found_postings);
	allocate_postings(&check->expected_postings);
	compare_terms(check);
}

/* Have a builder that does not know too many words. */
static void
renew_builder(Check *check)
{
	SearchStatistics statistics = {0};

	if (check->builder != NULL && !search_builder_is_worn(check->builder))
		return;
	if (check->builder != NULL)
		search_builder_destroy(check->builder);
	check->builder = search_builder_create(CurrentMemoryContext, &statistics);
}

/* Verify what is in the index. */
static void
check_segments(Check *check)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "padlock search check",
												  ALLOCSET_DEFAULT_SIZES);

	for (int i = 0; i < check->view->nsegments; i++)
	{
		const SearchViewSegment *place = &check->view->segments[i];

		check->found = place->segment;
		for (uint32 chunk = 0; chunk < SEARCH_CHUNKS(check->found->ndocuments); chunk += BATCH_CHUNKS)
		{
			MemoryContext old;

			renew_builder(check);
			check->first_chunk = chunk;
			check->end_chunk = Min(chunk + BATCH_CHUNKS, SEARCH_CHUNKS(check->found->ndocuments));
			old = MemoryContextSwitchTo(context);
			check_batch(check, place->live);
			MemoryContextSwitchTo(old);
			MemoryContextReset(context);
		}
	}
	if (check->builder != NULL)
		search_builder_destroy(check->builder);
	MemoryContextDelete(context);
}

/* SearchProductVisitor: is a product in the index, once? */
static bool
check_product(const SearchProductShape *shape, TupleTableSlot *slot, void *arg)
{
	Check	   *check = arg;
	bool		isnull;
	const pg_uuid_t *id = DatumGetUUIDP(search_product_value(shape, slot, PRODUCT_ID, &isnull));
	int			times = 0;

	check->nproducts++;
	for (int i = 0; i < check->view->nsegments; i++)
	{
		const SearchViewSegment *place = &check->view->segments[i];
		int64		document = search_segment_document(place->segment, id);

		times += document >= 0 && has_bit(place->live, (uint32) document);
	}
	if (times == 0)
		note(check, KIND_MISSING, "product %s is not in the index", id_text(check, id));
	else if (times > 1)
		note(check, KIND_TWICE, "product %s is in the index %d times", id_text(check, id), times);
	return true;
}

/* The differences by kind, as a JSON object. */
static Datum
kinds_json(const Check *check, int64 *total)
{
	StringInfoData json;

	*total = 0;
	initStringInfo(&json);
	for (int i = 0; i < KINDS; i++)
	{
		if (check->counts[i] == 0)
			continue;
		appendStringInfo(&json, "%s\"%s\": " INT64_FORMAT, *total > 0 ? ", " : "", kind_names[i],
						 check->counts[i]);
		*total += check->counts[i];
	}
	return JsonbPGetDatum(padlock_answer("{%s}", json.data));
}

/*
 * padlock.search_check() returns (products, indexed, differences, kinds,
 * detail): compares the index in use with the table, product by product and
 * posting by posting.  kinds counts the differences by what differs, detail
 * names the first of them.  For service_role and the owner.  It takes a few
 * times as long as a rebuild, and some 100 MB of memory.
 */
Datum
padlock_search_check(PG_FUNCTION_ARGS)
{
	Check		check = {0};
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};
	int64		total;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function must be called where a record is accepted")));
	initStringInfo(&check.detail);
	search_products_push_snapshot();
	check.snapshot = GetActiveSnapshot();
	check.view = search_view_make(check.snapshot, false);
	check_segments(&check);
	search_products_scan(check.snapshot, check_product, &check);
	search_cache_release();
	PopActiveSnapshot();
	values[3] = kinds_json(&check, &total);
	values[0] = Int64GetDatum(check.nproducts);
	values[1] = Int64GetDatum(check.nindexed);
	values[2] = Int64GetDatum(total);
	values[4] = CStringGetTextDatum(check.detail.data);
	nulls[4] = total == 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
