/*-------------------------------------------------------------------------
 *
 * google_token.h
 *	  The bearer token for Google's services.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_GOOGLE_TOKEN_H
#define PADLOCK_GOOGLE_TOKEN_H

/*
 * A token that is good now, palloc'd; the caller wipes it.  Raises an error
 * when there is no usable file, or Google gives none for it.
 */
extern char *padlock_google_token(void);

/* Have the next call ask for a new one. */
extern void padlock_google_forget_token(void);

#endif							/* PADLOCK_GOOGLE_TOKEN_H */
