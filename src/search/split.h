/*-------------------------------------------------------------------------
 *
 * split.h
 *	  The words of a text, with where they stand in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_SPLIT_H
#define PADLOCK_SEARCH_SPLIT_H

#include "mb/pg_wchar.h"

/* Longer words are cut to so many bytes, at a character. */
#define SEARCH_FORM_MAX		60

/* A text being split; start with search_split(). */
typedef struct SearchSplit
{
	const char *text;
	int			length;
	int			at;				/* where to go on */
	/* the word found: */
	int			start;			/* its bytes in the text: from start to before end */
	int			end;
	char		form[SEARCH_FORM_MAX + 1];	/* lower case, NUL-terminated */
	int			form_length;
	bool		has_digit;
} SearchSplit;

/* Begin with a text of length bytes in the database's encoding. */
extern void search_split(SearchSplit *split, const char *text, int length);

/* Find the next word; false at the end. */
extern bool search_split_next(SearchSplit *split);

/*
 * Is there a digit in the word found, or in what stands beside it without a
 * blank between them, as in AUT-02?
 */
extern bool search_split_in_code(const SearchSplit *split);

/*
 * Take the accents off a form or lexeme, in place; it never grows beyond
 * SEARCH_FORM_MAX bytes, which the buffer must hold.  Returns the new length.
 */
extern int	search_fold_accents(char *form, int length);

/* The first code point that no other is folded to, and none is folded from here on. */
#define SEARCH_UNFOLDED		0x2000

/*
 * A letter, in lower case, without its accents; itself when that would be no
 * letter or several.
 */
extern pg_wchar search_fold_letter(pg_wchar letter);

#endif							/* PADLOCK_SEARCH_SPLIT_H */
