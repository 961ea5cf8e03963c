/*-------------------------------------------------------------------------
 *
 * answer.c
 *	  The products of a page, as JSON.
 *
 * Only now are rows read from the table: those of the page, with the same
 * snapshot that the index was read with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/snapmgr.h"

#include "core/body.h"
#include "core/spi.h"
#include "search/answer.h"
#include "search/highlight.h"
#include "search/products.h"

static const char *const kind_names[] = {"word", "synonym", "typo", "prefix"};

/* The ids of the hits as uuid[]. */
static Datum
hit_ids(const SearchView *view, const SearchResult *result)
{
	Datum	   *ids = palloc(Max(result->nhits, 1) * sizeof(Datum));

	for (uint32 i = 0; i < result->nhits; i++)
		ids[i] = UUIDPGetDatum(search_hit_id(view, &result->hits[i]));
	return PointerGetDatum(construct_array(ids, result->nhits, UUIDOID, UUID_LEN, false,
										   TYPALIGN_CHAR));
}

/* The products of the hits as JSON texts; in order. */
static char **
fetch_products(const SearchView *view, const SearchResult *result)
{
	static PadlockStatement fetch = {
		.sql = "SELECT (to_jsonb(p) - 'provenance'"
		" || jsonb_build_object('insurance_companies', jsonb_build_object("
		"'id', c.id, 'name', c.name, 'logo_url', c.logo_url, 'website', c.website)))::text"
		" FROM unnest($1) WITH ORDINALITY AS hit (id, n)"
		" JOIN @app@.insurance_products p ON p.id = hit.id"
		" JOIN @app@.insurance_companies c ON c.id = p.company_id ORDER BY hit.n",
		.nargs = 1,.argtypes = {UUIDARRAYOID}
	};
	Datum		ids = hit_ids(view, result);
	MemoryContext context = CurrentMemoryContext;
	char	  **texts = palloc0(Max(result->nhits, 1) * sizeof(char *));
	PadlockUserContext saved;

	if (result->nhits == 0)
		return texts;
	/* past row security: the index holds what everybody may see */
	padlock_become_owner(&saved);
	SPI_connect();
	if (padlock_spi_execute(&fetch, &ids, NULL, true) != result->nhits)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the search index does not match the table"),
				 errhint("Run SELECT padlock.search_rebuild().")));
	for (uint32 i = 0; i < result->nhits; i++)
		texts[i] = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[i],
															 SPI_tuptable->tupdesc, 1));
	SPI_finish();
	padlock_restore_user(&saved);
	return texts;
}

/* Why a hit ranks where it does. */
static void
append_explanation(StringInfo json, const SearchView *view, const SearchPlan *plan,
				   const SearchHit *hit)
{
	const SearchQuery *query = plan->query;
	const char *separator = "";

	appendStringInfo(json, "{\"score\": %.4g, \"boost\": %.4g, \"words\": [", hit->score,
					 search_hit_boost(view, hit));
	for (int i = 0; query != NULL && i < query->ngroups; i++)
	{
		for (int j = 0; j < query->groups[i].nterms; j++)
		{
			const SearchTermUse *use = &query->groups[i].terms[j];
			float		part = search_hit_part(view, hit, &query->groups[i], use);

			if (part == 0)
				continue;
			appendStringInfo(json, "%s{\"word\": ", separator);
			escape_json(json, query->groups[i].word);
			appendStringInfoString(json, ", \"term\": ");
			escape_json(json, use->term);
			appendStringInfo(json, ", \"by\": \"%s\", \"score\": %.4g}", kind_names[use->kind], part);
			separator = ", ";
		}
	}
	appendStringInfoString(json, "]}");
}

/* Append the marked words of a product. */
static void
append_highlight(StringInfo json, SearchProducts *products, SearchHighlighter *highlighter,
				 const pg_uuid_t *id)
{
	SearchSource source;

	if (!search_products_find(products, id))
	{
		appendStringInfoString(json, "{}");
		return;
	}
	search_product_source(&products->shape, products->slot, &source);
	search_highlight(highlighter, &source, json);
}

void
search_append_products(StringInfo json, const SearchView *view, const SearchPlan *plan,
					   const SearchResult *result, bool highlight, bool explain)
{
	char	  **texts = fetch_products(view, result);
	SearchHighlighter *highlighter = NULL;
	SearchProducts products;

	highlight = highlight && plan->query != NULL;
	if (highlight)
	{
		highlighter = search_highlighter_create(plan->query);
		search_products_open(&products, GetActiveSnapshot());
	}
	appendStringInfoChar(json, '[');
	for (uint32 i = 0; i < result->nhits; i++)
	{
		/* members are put before the closing brace */
		appendStringInfoString(json, i > 0 ? ", " : "");
		appendBinaryStringInfo(json, texts[i], strlen(texts[i]) - 1);
		if (highlight)
		{
			appendStringInfoString(json, ", \"highlight\": ");
			append_highlight(json, &products, highlighter, search_hit_id(view, &result->hits[i]));
		}
		if (explain)
		{
			appendStringInfoString(json, ", \"explain\": ");
			append_explanation(json, view, plan, &result->hits[i]);
		}
		appendStringInfoChar(json, '}');
	}
	appendStringInfoChar(json, ']');
	if (highlight)
		search_products_close(&products);
}

void
search_append_query(StringInfo json, const SearchView *view, const SearchQuery *query)
{
	appendStringInfo(json, "{\"documents\": %u, \"words\": [", search_view_documents(view));
	for (int i = 0; query != NULL && i < query->ngroups; i++)
	{
		const SearchGroup *group = &query->groups[i];

		appendStringInfo(json, "%s{\"word\": ", i > 0 ? ", " : "");
		escape_json(json, group->word);
		appendStringInfoString(json, ", \"terms\": [");
		for (int j = 0; j < group->nterms; j++)
		{
			const SearchTermUse *use = &group->terms[j];

			appendStringInfo(json, "%s{\"term\": ", j > 0 ? ", " : "");
			escape_json(json, use->term);
			appendStringInfo(json, ", \"by\": \"%s\", \"weight\": %.4g, \"documents\": %u}",
							 kind_names[use->kind], group->weight * use->weight,
							 search_view_frequency(view, use->term, use->length));
		}
		appendStringInfoString(json, "]}");
	}
	appendStringInfoString(json, "]}");
}
