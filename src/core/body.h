/*-------------------------------------------------------------------------
 *
 * body.h
 *	  The one validator of request bodies, and rows made from them.
 *
 * An endpoint lists its fields in a table; reading a body collects every
 * problem and answers them all at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_BODY_H
#define PADLOCK_BODY_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* What a field may hold, and the SQL type its value becomes. */
typedef enum BodyType
{
	BODY_TEXT,					/* text; min and max in characters */
	BODY_URL,					/* text: http or https, at most 2000 characters */
	BODY_EMAIL,					/* text: one address that mail can be sent to */
	BODY_CURRENCY,				/* text: three capitals (ISO 4217) */
	BODY_COUNTRY,				/* text: two capitals (ISO 3166) */
	BODY_CHOICE,				/* text: one of choices */
	BODY_UUID,					/* uuid */
	BODY_TIME,					/* timestamptz, as RFC 3339 writes it */
	BODY_BOOLEAN,				/* boolean */
	BODY_INTEGER,				/* integer, min to max */
	BODY_NUMERIC,				/* numeric, min to max, or above min */
	BODY_OBJECT,				/* jsonb object; max in bytes of its text */
	BODY_TEXT_LIST,				/* text[]; min and max characters an item */
	BODY_COUNTRY_LIST			/* text[] of two capitals */
} BodyType;

typedef struct BodyField
{
	const char *name;			/* of the member, and of the table's column */
	BodyType	type;
	bool		required;		/* must be there, except in an update */
	bool		not_null;		/* an update must not set it to null */
	int64		min;
	int64		max;
	bool		above_min;		/* min itself is refused */
	const char *choices;		/* for BODY_CHOICE, separated by '|' */
	const char *sql_type;		/* for BODY_CHOICE: enum in the client schema */
} BodyField;

typedef struct BodyValue
{
	bool		present;
	bool		isnull;
	bool		invalid;		/* had a problem: there is no value */
	Datum		value;
} BodyValue;

typedef enum BodyMode
{
	BODY_CREATE,				/* null means absent */
	BODY_UPDATE,				/* null sets null; nothing is required but what
								 * has not_null and required both */
	BODY_QUERY					/* values are texts, as from a query string */
} BodyMode;

typedef struct PadlockBody
{
	const BodyField *fields;
	int			count;
	BodyMode	mode;
	BodyValue  *values;			/* one for each field */
	StringInfoData problems;	/* "field: problem; ..." */
	int			problem_count;
} PadlockBody;

/*
 * Read a body against its fields.  Problems are collected, not raised; call
 * padlock_body_finish() when all checks are done.  json may be NULL.
 */
extern void padlock_body_read(PadlockBody *body, Jsonb *json, const BodyField *fields,
							  int count, BodyMode mode);

/* Note a problem of a field. */
extern void padlock_body_problem(PadlockBody *body, const char *field, const char *problem);

/* Note minimum > maximum, when both are there and are BODY_INTEGER or BODY_NUMERIC. */
extern void padlock_body_check_range(PadlockBody *body, const char *minimum, const char *maximum);

/* Raise 400 (SQL: 22023) with every problem noted, if any. */
extern void padlock_body_finish(PadlockBody *body);

/* The value of a field by name. */
extern BodyValue *padlock_body_value(PadlockBody *body, const char *name);

/* The text of a text-like field, or NULL when absent or null. */
extern char *padlock_body_text(PadlockBody *body, const char *name);

/* A value the body does not hold, for padlock_row_insert() and _update(). */
typedef struct RowExtra
{
	const char *column;
	Oid			type;
	Datum		value;
} RowExtra;

/*
 * Insert a row from the body's present fields and the extras, as the current
 * user, and return it as jsonb; NULL when a unique constraint kept it out.
 */
extern Jsonb *padlock_row_insert(const char *table, PadlockBody *body,
								 const RowExtra *extras, int nextras);

/*
 * Update the row with the given id from the body's present fields except the
 * one named skip, as the current user, and return it as jsonb; NULL when no
 * row was there for this user.
 */
extern Jsonb *padlock_row_update(const char *table, PadlockBody *body, const char *skip,
								 Datum id);

/* Build a jsonb answer: a printf format whose result is JSON text. */
extern Jsonb *padlock_answer(const char *format,...) pg_attribute_printf(1, 2);

/* A jsonb value as JSON text; palloc'd. */
extern char *padlock_json_text(Jsonb *json);

/* A C string as a quoted JSON string, or null for NULL; palloc'd. */
extern char *padlock_json_string(const char *value);

#endif							/* PADLOCK_BODY_H */
