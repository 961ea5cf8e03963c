/*-------------------------------------------------------------------------
 *
 * row_json.c
 *	  Rows as JSON objects, built without SQL.
 *
 * A page's rows were most of what a search cost when to_jsonb() made them: it
 * looks every column's type up for every row, and each operator upon its
 * result builds the object anew.  Here a table's columns are looked at once a
 * page, and all rows go into the one answer.  The common types are written
 * here, exactly as to_jsonb() writes them; it is called for the others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "search/row_json.h"

/* How a column's values are written. */
typedef enum MemberKind
{
	MEMBER_TEXT,				/* text and varchar */
	MEMBER_TEXTS,				/* text[] */
	MEMBER_BOOL,
	MEMBER_INTEGER,				/* int4 */
	MEMBER_NUMERIC,
	MEMBER_TIME,				/* timestamptz and its kin */
	MEMBER_UUID,
	MEMBER_ENUM,
	MEMBER_JSONB,
	MEMBER_OTHER
} MemberKind;

typedef struct Member
{
	const char *name;
	int			length;
	int			column;			/* from 0 */
	Oid			type;
	MemberKind	kind;
	FmgrInfo	to_jsonb;		/* for MEMBER_OTHER, and arrays of more dimensions */
} Member;

struct SearchRowJson
{
	TupleDesc	descriptor;
	int			nmembers;
	Member	   *members;		/* in the order of an object's keys */
};

static MemberKind
kind_of(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
			return MEMBER_TEXT;
		case TEXTARRAYOID:
			return MEMBER_TEXTS;
		case BOOLOID:
			return MEMBER_BOOL;
		case INT4OID:
			return MEMBER_INTEGER;
		case NUMERICOID:
			return MEMBER_NUMERIC;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return MEMBER_TIME;
		case UUIDOID:
			return MEMBER_UUID;
		case JSONBOID:
			return MEMBER_JSONB;
		default:
			return get_typtype(type) == TYPTYPE_ENUM ? MEMBER_ENUM : MEMBER_OTHER;
	}
}

/* A call of to_jsonb() knows its argument's type by its expression. */
static void
prepare_to_jsonb(FmgrInfo *function, Oid type)
{
	Const	   *argument = makeNullConst(type, -1, InvalidOid);

	fmgr_info(F_TO_JSONB, function);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument), InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL), function);
}

static bool
is_named(const char *const *names, const char *name)
{
	while (*names != NULL && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

/* The order of an object's keys: then it need not be sorted for each row. */
static int
compare_members(const void *a, const void *b)
{
	const Member *left = a;
	const Member *right = b;

	if (left->length != right->length)
		return left->length - right->length;
	return memcmp(left->name, right->name, left->length);
}

/* Which columns of a table are shown. */
typedef struct Choice
{
	const char *const *names;	/* always; ends with NULL */
	const char *hidden;			/* never, or NULL */
	Oid			role;			/* may see what else it may read; InvalidOid: nobody */
	bool		reads_all;		/* has it SELECT on the whole table? */
} Choice;

static bool
is_shown(const Choice *choice, Form_pg_attribute attribute)
{
	const char *name = NameStr(attribute->attname);

	if (attribute->attisdropped || (choice->hidden != NULL && strcmp(name, choice->hidden) == 0))
		return false;
	return choice->reads_all || is_named(choice->names, name) ||
		(OidIsValid(choice->role) &&
		 pg_attribute_aclcheck(attribute->attrelid, attribute->attnum, choice->role,
							   ACL_SELECT) == ACLCHECK_OK);
}

static SearchRowJson *
create(Relation rel, const Choice *choice)
{
	SearchRowJson *json = palloc(sizeof(SearchRowJson));

	json->descriptor = CreateTupleDescCopy(RelationGetDescr(rel));
	json->members = palloc0(json->descriptor->natts * sizeof(Member));
	json->nmembers = 0;
	for (int i = 0; i < json->descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(json->descriptor, i);
		Member	   *member = &json->members[json->nmembers];

		if (!is_shown(choice, attribute))
			continue;
		member->name = NameStr(attribute->attname);
		member->length = strlen(member->name);
		member->column = i;
		member->type = attribute->atttypid;
		member->kind = kind_of(member->type);
		if (member->kind == MEMBER_OTHER || member->kind == MEMBER_TEXTS)
			prepare_to_jsonb(&member->to_jsonb, member->type);
		json->nmembers++;
	}
	qsort(json->members, json->nmembers, sizeof(Member), compare_members);
	return json;
}

SearchRowJson *
search_row_json_only(Relation rel, const char *const *names)
{
	Choice		choice = {.names = names};

	return create(rel, &choice);
}

SearchRowJson *
search_row_json_readable(Relation rel, const char *const *names, const char *hidden, Oid role)
{
	Choice		choice = {.names = names,.hidden = hidden,.role = role};

	choice.reads_all = pg_class_aclcheck(RelationGetRelid(rel), role, ACL_SELECT) == ACLCHECK_OK;
	return create(rel, &choice);
}

static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *string, int length)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = unconstify(char *, string);
	value.val.string.len = length;
	(void) pushJsonbValue(state, token, &value);
}

void
search_push_key(JsonbParseState **state, const char *key)
{
	push_string(state, WJB_KEY, key, strlen(key));
}

/* Push a jsonb as a member's value. */
static void
push_jsonb(JsonbParseState **state, Jsonb *jsonb)
{
	JsonbValue	value;

	if (!JsonbExtractScalar(&jsonb->root, &value))
	{
		value.type = jbvBinary;
		value.val.binary.data = &jsonb->root;
		value.val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	}
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_numeric(JsonbParseState **state, Numeric number)
{
	JsonbValue	value = {.type = jbvNumeric};

	/* JSON has no such numbers */
	if (numeric_is_nan(number) || numeric_is_inf(number))
	{
		const char *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));

		push_string(state, WJB_VALUE, text, strlen(text));
		return;
	}
	value.val.numeric = number;
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_null(JsonbParseState **state, JsonbIteratorToken token)
{
	JsonbValue	value = {.type = jbvNull};

	(void) pushJsonbValue(state, token, &value);
}

/* Push an array of texts; false when it has more dimensions than one. */
static bool
push_texts(JsonbParseState **state, ArrayType *array)
{
	ArrayIterator iterator;
	Datum		value;
	bool		isnull;

	if (ARR_NDIM(array) > 1)
		return false;
	iterator = array_create_iterator(array, 0, NULL);
	(void) pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	while (array_iterate(iterator, &value, &isnull))
	{
		if (isnull)
			push_null(state, WJB_ELEM);
		else
			push_string(state, WJB_ELEM, VARDATA_ANY(DatumGetPointer(value)),
						VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
	}
	(void) pushJsonbValue(state, WJB_END_ARRAY, NULL);
	array_free_iterator(iterator);
	return true;
}

static void
push_other(JsonbParseState **state, Member *member, Datum value)
{
	push_jsonb(state, DatumGetJsonbP(FunctionCall1(&member->to_jsonb, value)));
}

static void
push_cstring(JsonbParseState **state, const char *string)
{
	push_string(state, WJB_VALUE, string, strlen(string));
}

static void
push_value(JsonbParseState **state, Member *member, Datum value)
{
	JsonbValue	boolean = {.type = jbvBool};
	text	   *string;

	switch (member->kind)
	{
		case MEMBER_TEXT:
			string = DatumGetTextPP(value);
			push_string(state, WJB_VALUE, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
			break;
		case MEMBER_TEXTS:
			if (!push_texts(state, DatumGetArrayTypeP(value)))
				push_other(state, member, value);
			break;
		case MEMBER_BOOL:
			boolean.val.boolean = DatumGetBool(value);
			(void) pushJsonbValue(state, WJB_VALUE, &boolean);
			break;
		case MEMBER_INTEGER:
			push_numeric(state, int64_to_numeric(DatumGetInt32(value)));
			break;
		case MEMBER_NUMERIC:
			push_numeric(state, DatumGetNumeric(value));
			break;
		case MEMBER_TIME:
			push_cstring(state, JsonEncodeDateTime(palloc(MAXDATELEN + 1), value, member->type, NULL));
			break;
		case MEMBER_UUID:
			push_cstring(state, DatumGetCString(DirectFunctionCall1(uuid_out, value)));
			break;
		case MEMBER_ENUM:
			push_cstring(state, DatumGetCString(DirectFunctionCall1(enum_out, value)));
			break;
		case MEMBER_JSONB:
			push_jsonb(state, DatumGetJsonbP(value));
			break;
		case MEMBER_OTHER:
			push_other(state, member, value);
			break;
	}
}

void
search_row_json_push(SearchRowJson *json, TupleTableSlot *slot, JsonbParseState **state)
{
	HeapTuple	tuple = ExecCopySlotHeapTuple(slot);
	Datum	   *values = palloc(json->descriptor->natts * sizeof(Datum));
	bool	   *nulls = palloc(json->descriptor->natts * sizeof(bool));

	/* written before a column was added: the slot knows its default */
	if (HeapTupleHeaderGetNatts(tuple->t_data) < json->descriptor->natts)
		tuple = heap_expand_tuple(tuple, slot->tts_tupleDescriptor);
	heap_deform_tuple(tuple, json->descriptor, values, nulls);
	for (int i = 0; i < json->nmembers; i++)
	{
		Member	   *member = &json->members[i];

		push_string(state, WJB_KEY, member->name, member->length);
		if (nulls[member->column])
			push_null(state, WJB_VALUE);
		else
			push_value(state, member, values[member->column]);
	}
}
