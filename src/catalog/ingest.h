/*-------------------------------------------------------------------------
 *
 * ingest.h
 *	  Products found elsewhere: create or update a company's product from
 *	  facts or values, each with its origin.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_INGEST_H
#define PADLOCK_INGEST_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/*
 * One thing that is said of a product.  name is a product field of wire.h
 * (premium_amount, keyword, ...; unknown ones are ignored), source how it was
 * found (json-ld, microdata, opengraph, html).  Texts are in the database's
 * encoding and need not be valid values.
 */
typedef struct PadlockFact
{
	const char *name;
	const char *source;
	const char *value;
} PadlockFact;

typedef struct PadlockProductFacts
{
	List	   *facts;			/* of PadlockFact *, the most trusted first */
} PadlockProductFacts;

typedef enum PadlockIngestAction
{
	PADLOCK_INGEST_CREATED,
	PADLOCK_INGEST_UPDATED,
	PADLOCK_INGEST_UNCHANGED,
	PADLOCK_INGEST_REFUSED
} PadlockIngestAction;

typedef struct PadlockIngestResult
{
	PadlockIngestAction action;
	pg_uuid_t	product_id;		/* unless refused */
	const char *reason;			/* when refused */
} PadlockIngestResult;

/*
 * Create or update a product of a company, as the extension's owner.
 *
 * source_url is where the facts stand; alone_on_page says that they are the
 * only product there, so that the URL may serve to find the product again.
 * An existing product is found by product_code, else by its URL, else by name
 * without regard to case.  Values that the company set itself are kept.  A
 * value that api.md does not allow is cut or left out; without a name or a
 * premium the product is refused, with the reason.  Errors: those of the
 * database only, such as a company that does not exist.
 */
extern PadlockIngestResult padlock_ingest_product(const pg_uuid_t *company_id,
												  const PadlockProductFacts *facts,
												  const char *source_url, bool alone_on_page);

/*
 * The same for values that were checked already: an object with columns of
 * insurance_products as members, product_name and premium_amount among them;
 * members that are no columns of a product are passed over.  An existing
 * product is found by product_code, else by name.  Never refused.
 */
extern PadlockIngestResult padlock_ingest_values(const pg_uuid_t *company_id, Jsonb *values,
												 const char *source, const char *source_url);

#endif							/* PADLOCK_INGEST_H */
