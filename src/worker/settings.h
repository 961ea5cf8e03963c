/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The settings of room worker.  Units are in the names or comments.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WORKER_SETTINGS_H
#define PADLOCK_WORKER_SETTINGS_H

#include "postgres.h"

extern int	padlock_worker_count;	/* workers a database */

extern int	padlock_handler_timeout;	/* ms */
extern int	padlock_handler_memory; /* MB */

extern int	padlock_html_max_size;	/* kB, decoded */
extern int	padlock_pdf_max_size;	/* kB */
extern int	padlock_pdf_max_pages;
extern int	padlock_text_max_characters;
extern int	padlock_parse_cpu;	/* ms */
extern int	padlock_parse_wall; /* ms */
extern int	padlock_parse_memory;	/* MB */
extern int	padlock_fetch_timeout;	/* ms */
extern int	padlock_fetch_max_redirects;
extern bool padlock_allow_private_addresses;
extern int	padlock_crawl_max_depth;
extern int	padlock_crawl_max_pages;

/* Define them; called by padlock_worker_init(). */
extern void padlock_worker_define_settings(void);

/* Does padlock.databases allow this database? */
extern bool padlock_database_wanted(const char *name);

#endif							/* PADLOCK_WORKER_SETTINGS_H */
