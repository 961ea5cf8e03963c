/*-------------------------------------------------------------------------
 *
 * field.h
 *	  Reading the fields of a helper's frame, for the files that ask helpers.
 *
 * Whatever does not fit the wire format raises padlock_helper_malformed().
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_WORKER_FIELD_H
#define PADLOCK_WORKER_FIELD_H

#include "postgres.h"

#include "worker/helper.h"

#define PADLOCK_MAX_DETAIL	500 /* bytes of a detail, as wire.h says */

typedef struct FieldCursor
{
	const PadlockFrame *frame;
	size_t		offset;
	WireField	field;
	const unsigned char *value;
} FieldCursor;

static inline FieldCursor
first_field(const PadlockFrame *frame)
{
	FieldCursor cursor = {frame, sizeof(WireHeader)};

	return cursor;
}

/* The next field; false after the last.  Bytes left over are malformed. */
static inline bool
next_field(FieldCursor *cursor)
{
	if (wire_next_field(cursor->frame->data, cursor->frame->size, &cursor->offset,
						&cursor->field, &cursor->value))
		return true;
	if (cursor->offset != cursor->frame->size)
		padlock_helper_malformed("a field that is cut off");
	return false;
}

static inline char *
field_text(const FieldCursor *cursor, size_t max)
{
	return padlock_helper_text((const char *) cursor->value, cursor->field.length, max);
}

static inline uint32
field_u32(const FieldCursor *cursor)
{
	if (cursor->field.length != sizeof(uint32))
		padlock_helper_malformed("a number of the wrong size");
	return wire_u32(&cursor->field, cursor->value);
}

static inline WireOutcome
field_outcome(const FieldCursor *cursor)
{
	uint32		outcome = field_u32(cursor);

	if (outcome > WIRE_REJECTED)
		padlock_helper_malformed("an unknown outcome");
	return (WireOutcome) outcome;
}

#endif							/* PADLOCK_WORKER_FIELD_H */
