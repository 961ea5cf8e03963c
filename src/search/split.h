/*-------------------------------------------------------------------------
 *
 * split.h
 *	  The words of a text, with where they stand in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SEARCH_SPLIT_H
#define PADLOCK_SEARCH_SPLIT_H

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
 * Take the accents off a form or lexeme, in place; it never grows beyond
 * SEARCH_FORM_MAX bytes, which the buffer must hold.  Returns the new length.
 */
extern int	search_fold_accents(char *form, int length);

#endif							/* PADLOCK_SEARCH_SPLIT_H */
