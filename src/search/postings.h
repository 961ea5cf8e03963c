/*-------------------------------------------------------------------------
 *
 * postings.h
 *	  Which documents hold a term, and how much that says of them.
 *
 * A posting is a document and its impact, 1 to SEARCH_IMPACTS: the saturated,
 * length normalised BM25F frequency in steps of SEARCH_IMPACT_STEP.  Two forms:
 *
 * blocks	for most terms: 128 postings each, the last with what is left; the
 *			distances between documents in Golomb's code as Rice has it
 *			(1979), the impacts packed with as few bits as the block's
 *			largest needs.
 * dense	for terms in at least an eighth of the documents, and filter values
 *			in a 32nd: a bitmap, and for each chunk of documents the impacts
 *			packed the same way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_POSTINGS_H
#define PADLOCK_SEARCH_POSTINGS_H

#include "lib/stringinfo.h"

#include "search/segment.h"

#define SEARCH_BLOCK		128

/*
 * k1 + 1, the bound of a saturated frequency, in so many steps: fewer take less
 * room, and these are enough, measured on the collections of
 * test/t/060_search_quality.pl.
 */
#define SEARCH_K1			1.8f
#define SEARCH_IMPACTS		80
#define SEARCH_IMPACT_STEP	((SEARCH_K1 + 1.0f) / SEARCH_IMPACTS)

/* Postings are read 8 bytes at a time: these follow the last one. */
#define SEARCH_POSTINGS_PADDING 16

/*
 * What a block begins with: its first document in four bytes, then one each for
 * high_sum, the minimum, and both numbers of bits.  Behind it lie, packed:
 *
 *	the low bits of each further document's distance from the one before, less
 *	one;
 *	their high bits: for each as many zeros, then a one;
 *	each posting's impact less the minimum.
 */
typedef struct SearchBlockHeader
{
	uint32		first;			/* document */
	uint8		high_sum;		/* zeros among the high bits */
	uint8		minimum;		/* impact */
	uint8		low_bits;
	uint8		impact_bits;
} SearchBlockHeader;

#define SEARCH_BLOCK_HEADER 7	/* bytes */

/* A chunk of a dense term. */
typedef struct SearchChunkHeader
{
	uint32		offset;			/* of its impacts, from the first chunk's */
	uint8		minimum;
	uint8		maximum;
	uint8		impact_bits;
	uint8		padding;
} SearchChunkHeader;

/* Terms of which only the frequency is kept. */
static inline bool
search_is_counted_only(const char *term)
{
	return *term == SEARCH_WORD_MARK || *term == SEARCH_LANGUAGE_MARK;
}

/*
 * Append the postings of a term to a growing SECTION_POSTINGS and fill in the
 * entry but for its string.  Documents rise.
 */
extern void search_postings_encode(StringInfo out, SearchTermEntry *entry, uint32 ndocuments,
								   const uint32 *documents, const uint8 *impacts, uint32 count);

/* Decode all postings of a term; returns how many, entry->frequency. */
extern uint32 search_postings_decode(const SearchSegment *segment, const SearchTermEntry *entry,
									 uint32 *documents, uint8 *impacts);

/* A walk over a term's postings, chunk by chunk. */
typedef struct SearchCursor
{
	/* dense: */
	const uint64 *bitmap;		/* NULL for blocks */
	const SearchChunkHeader *chunks;
	const uint8 *impacts;
	uint32		numbered_chunks;	/* chunks that `numbered` counts the postings of */
	uint32		numbered;
	/* blocks: */
	const uint8 *next;			/* header of the block not decoded yet */
	uint32		total;			/* postings */
	uint32		left;			/* postings from next on */
	int			at;				/* next posting of the decoded block */
	int			count;			/* 0: no block is decoded */
	uint8		maximum;		/* of the whole term */
	uint32		block_documents[SEARCH_BLOCK];
	uint8		block_impacts[SEARCH_BLOCK];
} SearchCursor;

extern void search_cursor_open(SearchCursor *cursor, const SearchSegment *segment,
							   const SearchTermEntry *entry);

/*
 * The steps of a walk: each takes the postings of one chunk, chunks rising.
 *
 * bound:	the largest impact there can be in the chunk, 0 when it has no
 *			postings; takes nothing
 * mark:	sets the documents' bits in words[SEARCH_CHUNK_WORDS]
 * add:		adds weight * impact to scores, and 1 to counts
 * raise:	raises scores to at least weight * impact
 */
extern uint8 search_cursor_bound(SearchCursor *cursor, uint32 chunk);
extern void search_cursor_mark(SearchCursor *cursor, uint32 chunk, uint64 *words);
extern void search_cursor_add(SearchCursor *cursor, uint32 chunk, float weight, float *scores,
							  uint8 *counts);
extern void search_cursor_raise(SearchCursor *cursor, uint32 chunk, float weight, float *scores);

/*
 * Set words to a chunk's documents that have the term; takes only postings
 * before the chunk.
 */
extern void search_cursor_foresee(SearchCursor *cursor, uint32 chunk, uint64 *words);

/*
 * One more step, for what lies beside the postings: finds those of the chunk
 * whose documents are in words: their places in the chunk, and how many
 * postings of the term come before each, in arrays of SEARCH_CHUNK.  Returns
 * how many.
 */
extern uint32 search_cursor_number(SearchCursor *cursor, uint32 chunk, const uint64 *words,
								   uint16 *places, uint32 *numbers);

/*
 * One more step, for a search of a single term: sets words to the chunk's
 * documents that have the term and are allowed, and finds those of them with
 * at least an impact: their places in the chunk and their impacts, in arrays
 * of SEARCH_CHUNK.  Returns how many.
 */
extern uint32 search_cursor_best(SearchCursor *cursor, uint32 chunk, const uint64 *allowed,
								 uint8 least, uint64 *words, uint16 *places, uint8 *found);

/* Set the bits of all documents of a term in a bitmap of the segment's. */
extern void search_postings_mark(const SearchSegment *segment, const SearchTermEntry *entry,
								 uint64 *bitmap);

/* How many documents of a term have their bit set. */
extern uint64 search_postings_count(const SearchSegment *segment, const SearchTermEntry *entry,
									const uint64 *bitmap);

/* Has any document of a term its bit set? */
extern bool search_postings_meet(const SearchSegment *segment, const SearchTermEntry *entry,
								 const uint64 *bitmap);

/* How many bits of a bitmap are set. */
extern uint64 search_count_bits(const uint64 *words, Size nwords);

#endif							/* PADLOCK_SEARCH_POSTINGS_H */
