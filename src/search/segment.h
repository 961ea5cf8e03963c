/*-------------------------------------------------------------------------
 *
 * segment.h
 *	  A segment of the index: an immutable, contiguous piece of memory.
 *
 * A segment holds some products' columns and the postings of their terms,
 * laid out so that a query runs over it as it lies, in shared memory or in a
 * backend's own; its rows are read into one of them first.  Documents are
 * numbered by falling popularity, then by id, which is the order that a
 * search without words asks for.
 *
 * Columns are as narrow as their values let them be; their widths are in the
 * header.
 *
 * Numbers are in the byte order of the machine that wrote them; another
 * machine sees another magic number, and so does another version of this
 * layout: then the index has to be built anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_SEGMENT_H
#define PADLOCK_SEARCH_SEGMENT_H

#include "utils/uuid.h"

#include "search/analyze.h"
#include "search/bits.h"
#include "search/pack.h"

/* "PSE" and the version of the layout */
#define SEARCH_SEGMENT_KIND	0x50534500
#define SEARCH_SEGMENT_MAGIC (SEARCH_SEGMENT_KIND | '6')

/* Ages that are not limited. */
#define SEARCH_AGE_NONE		255
#define SEARCH_AGE_MAX		254

/* Documents are scored a chunk at a time, in memory that stays in cache. */
#define SEARCH_CHUNK_BITS	12
#define SEARCH_CHUNK		(1 << SEARCH_CHUNK_BITS)
#define SEARCH_CHUNK_WORDS	(SEARCH_CHUNK / 64)

/* Kinds of filter values, the second byte of their terms. */
#define SEARCH_FILTER_TYPE		't'
#define SEARCH_FILTER_CURRENCY	'c'
#define SEARCH_FILTER_COUNTRY	'n' /* nothing after it: offered everywhere */

typedef enum SearchSection
{
	SECTION_IDS,				/* pg_uuid_t, by document */
	SECTION_BY_ID,				/* packed: documents in the order of their ids */
	SECTION_PREMIUMS,			/* int32 of hundredths, or double */
	SECTION_PREMIUM_STEPS,		/* uint8: the same coarsely, for filters */
	SECTION_CREATED,			/* packed, see SearchTimes; or int64: TimestampTz */
	SECTION_POPULARITY,			/* uint8 */
	SECTION_MINIMUM_AGES,		/* uint8 */
	SECTION_MAXIMUM_AGES,		/* uint8 */
	SECTION_COMPANY,			/* uint8, uint16 or uint32: index into companies */
	SECTION_COMPANIES,			/* pg_uuid_t, sorted */
	SECTION_CODE_STARTS,		/* uint32: first code of each bucket, and the end */
	SECTION_CODE_HASHES,		/* packed: lower bits; the upper are the bucket */
	SECTION_CODE_DOCUMENTS,		/* packed */
	SECTION_KILLED,				/* pg_uuid_t, sorted: gone from older segments */
	SECTION_KILLS,				/* SearchKill: what that means for each of them */
	SECTION_TERMS,				/* SearchTermEntry, sorted, and one more */
	SECTION_STRINGS,			/* the terms' strings */
	SECTION_POSTINGS,
	SECTION_PLACE_STARTS,		/* uint32: each term's offset in the next one */
	SECTION_PLACES,				/* see places.h */
	SEARCH_SECTIONS
} SearchSection;

/* How times are packed: each is base + unit * a number of so many bits. */
typedef struct SearchTimes
{
	int64		base;
	uint64		unit;
	uint32		bits;			/* more than SEARCH_PACKED_BITS: not packed */
	uint32		padding;
} SearchTimes;

typedef struct SearchSegment
{
	uint32		magic;
	uint32		ndocuments;
	uint32		nterms;
	uint32		ncompanies;
	uint32		ncodes;
	uint32		nkilled;
	uint32		nkills;
	uint32		statistics_documents;	/* that the averages were taken of */
	float		average_length[SEARCH_FIELDS];
	uint32		checksum;		/* CRC-32C of all the rest, once it is written */
	uint64		size;			/* in bytes, with this header */
	SearchTimes created;
	uint8		document_bits;	/* of a packed document */
	uint8		company_bytes;	/* 1, 2 or 4 */
	uint8		bucket_bits;	/* of a code's hash */
	bool		hundredths;		/* premiums are */
	uint32		padding;
	uint64		sections[SEARCH_SECTIONS];	/* offsets from this header */
} SearchSegment;

/* A product code's hash, and its document; codes are sorted by both. */
typedef struct SearchCode
{
	uint32		hash;
	uint32		document;
} SearchCode;

#define SEARCH_HASH_BITS	32

/* A document of an older segment that this segment replaces or removes. */
typedef struct SearchKill
{
	int64		segment;
	uint32		document;
	uint32		padding;
} SearchKill;

typedef struct SearchTermEntry
{
	uint64		postings:48;	/* offset within SECTION_POSTINGS */
	uint64		maximum:8;		/* largest impact */
	uint64		dense:8;		/* bitmap, not blocks; see postings.h */
	uint32		string;			/* offset within SECTION_STRINGS */
	uint32		frequency;		/* documents */
} SearchTermEntry;

/* What ranking needs to know of a collection before its first document. */
typedef struct SearchStatistics
{
	uint32		documents;
	float		average_length[SEARCH_FIELDS];
} SearchStatistics;

/* Those that a segment was made with. */
extern SearchStatistics search_segment_statistics(const SearchSegment *segment);

#define SEARCH_SECTION(segment, section, type) \
	((const type *) ((const char *) (segment) + (segment)->sections[section]))

#define SEARCH_WORDS(ndocuments) (((ndocuments) + 63) / 64)
#define SEARCH_CHUNKS(ndocuments) (((ndocuments) + SEARCH_CHUNK - 1) / SEARCH_CHUNK)

/* Words of a bitmap of all documents, rounded up to whole chunks. */
#define SEARCH_BITMAP_WORDS(ndocuments) \
	((Size) SEARCH_CHUNKS(ndocuments) * SEARCH_CHUNK_WORDS)

/* Set the checksum, before a segment is written. */
extern void search_segment_seal(SearchSegment *segment);

/*
 * Stop with an error (XX001) unless the bytes are a whole segment of this
 * machine's kind, as it was written: who reads one trusts its offsets and
 * counts from then on.
 */
extern void search_segment_check(const SearchSegment *segment, uint64 size);

/* A number of a packed section. */
static inline uint64
search_segment_packed(const SearchSegment *segment, SearchSection section, uint64 place, int bits)
{
	return search_read_bits(SEARCH_SECTION(segment, section, uint8), place * bits,
							search_mask_of(bits));
}

/* The document of a place in the order of ids. */
static inline uint32
search_segment_by_id(const SearchSegment *segment, uint32 place)
{
	return (uint32) search_segment_packed(segment, SECTION_BY_ID, place, segment->document_bits);
}

/* A document's premium. */
static inline double
search_segment_premium(const SearchSegment *segment, uint32 document)
{
	if (segment->hundredths)
		return SEARCH_SECTION(segment, SECTION_PREMIUMS, int32)[document] / 100.0;
	return SEARCH_SECTION(segment, SECTION_PREMIUMS, double)[document];
}

/* Have it on the way to the cache. */
static inline void
search_segment_prefetch_premium(const SearchSegment *segment, uint32 document)
{
	SEARCH_PREFETCH(SEARCH_SECTION(segment, SECTION_PREMIUMS, char) +
					document * (segment->hundredths ? sizeof(int32) : sizeof(double)));
}

/* Premiums from 2^4 to 2^20 lie in steps of a sixteenth of a power of two. */
#define SEARCH_STEP_SHIFT	48	/* a double's exponent and four more bits */
#define SEARCH_STEP_BASE	((INT64CONST(1023) + 4) << 4)
#define SEARCH_LAST_STEP	255

/* The step of a premium: of two, the higher one is never in a lower step. */
static inline uint8
search_premium_step(double premium)
{
	int64		bits;

	/* doubles above 0 are ordered as their bits are; those below have the top bit */
	memcpy(&bits, &premium, sizeof(bits));
	return (uint8) Max(0, Min((bits >> SEARCH_STEP_SHIFT) - SEARCH_STEP_BASE, SEARCH_LAST_STEP));
}

/* A document's created_at, a TimestampTz. */
static inline int64
search_segment_created(const SearchSegment *segment, uint32 document)
{
	const SearchTimes *created = &segment->created;

	if (created->bits > SEARCH_PACKED_BITS)
		return SEARCH_SECTION(segment, SECTION_CREATED, int64)[document];
	return (int64) (created->base + created->unit *
					search_segment_packed(segment, SECTION_CREATED, document, created->bits));
}

/* The index of a document's company. */
static inline uint32
search_segment_company_of(const SearchSegment *segment, uint32 document)
{
	if (segment->company_bytes == 1)
		return SEARCH_SECTION(segment, SECTION_COMPANY, uint8)[document];
	if (segment->company_bytes == 2)
		return SEARCH_SECTION(segment, SECTION_COMPANY, uint16)[document];
	return SEARCH_SECTION(segment, SECTION_COMPANY, uint32)[document];
}

/* The string of a term by its place in the dictionary; not terminated. */
static inline const char *
search_segment_string(const SearchSegment *segment, uint32 place, int *length)
{
	const SearchTermEntry *terms = SEARCH_SECTION(segment, SECTION_TERMS, SearchTermEntry);

	*length = terms[place + 1].string - terms[place].string;
	return SEARCH_SECTION(segment, SECTION_STRINGS, char) + terms[place].string;
}

/* memcmp order of strings, the shorter first. */
static inline int
search_compare_strings(const char *a, int a_length, const char *b, int b_length)
{
	int			order = memcmp(a, b, Min(a_length, b_length));

	return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static inline int
search_compare_ids(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a->data, b->data, UUID_LEN);
}

/* The place of the first term at or after a string. */
extern uint32 search_segment_lower_bound(const SearchSegment *segment, const char *term, int length);

/* The entry of a term, or NULL. */
extern const SearchTermEntry *search_segment_find(const SearchSegment *segment, const char *term,
												  int length);

/* The document of a product, or -1. */
extern int64 search_segment_document(const SearchSegment *segment, const pg_uuid_t *id);

/* The index of a company, or -1. */
extern int64 search_segment_company(const SearchSegment *segment, const pg_uuid_t *id);

/* A code by its place; places are those of its bucket, its hash's upper bits. */
extern SearchCode search_segment_code(const SearchSegment *segment, uint32 bucket, uint32 place);

/* The bucket of a hash, and how many there are. */
extern uint32 search_segment_bucket(const SearchSegment *segment, uint32 hash);
extern uint32 search_segment_buckets(const SearchSegment *segment);

/* Read all codes, in their order, into an array of segment->ncodes. */
extern void search_segment_read_codes(const SearchSegment *segment, SearchCode *codes);

#endif							/* PADLOCK_SEARCH_SEGMENT_H */
