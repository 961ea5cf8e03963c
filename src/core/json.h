/*-------------------------------------------------------------------------
 *
 * json.h
 *	  Reading a JSON object's top-level values without ever raising an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_JSON_H
#define PADLOCK_JSON_H

/* Longer or deeper texts are treated as malformed. */
#define PADLOCK_JSON_MAX_LENGTH (256 * 1024)
#define PADLOCK_JSON_MAX_DEPTH	32

/* A wanted member; value is NULL until found, then palloc'd. */
typedef struct PadlockJsonMember
{
	const char *name;
	char	   *value;			/* text of a string, number or boolean */
	bool		present;		/* found, with whatever value */
	bool		is_number;		/* value is the text of a JSON number */
} PadlockJsonMember;

/*
 * Fill in the values of the named members of a JSON object.  Of repeated
 * members the last counts; nulls, arrays and objects stay NULL.  False, with
 * no member present, when json is not a well-formed object.
 */
extern bool padlock_json_members(const char *json, PadlockJsonMember *members, int count);

/* Does the text nest deeper than PADLOCK_JSON_MAX_DEPTH?  The server's parser would raise an error. */
extern bool padlock_json_too_deep(const char *json);

#endif							/* PADLOCK_JSON_H */
