// The statements of the test gateway: a request becomes one SQL statement, as
// PostgREST 12 builds it (Plan.hs, QueryBuilder.hs, Statements.hs), for calls
// of functions and for what supabase-js sends about single tables.
'use strict';

const ident = (name) => `"${name.replace(/"/g, '""')}"`;

const SETTINGS = `nullif(current_setting('response.headers', true), '') AS response_headers,
  nullif(current_setting('response.status', true), '') AS response_status`;

// ---- functions ----

// The exposed schema's functions, as PostgREST's schema cache has them.
async function readRoutines(pool, schema) {
  const { rows } = await pool.query(`
    SELECT p.proname AS name, p.provolatile = 'v' AS writes, p.proretset AS is_set, p.prorettype = 'void'::regtype AS is_void,
           t.typtype = 'c' OR coalesce(p.proargmodes::text[] && '{t,b,o}', false) AS is_composite,
           (SELECT coalesce(json_agg(json_build_object('name', coalesce(a.name, ''), 'type', a.type::regtype::text,
                                                       'required', a.place <= pronargs - pronargdefaults) ORDER BY a.place), '[]')
              FROM unnest(p.proargnames, p.proargtypes) WITH ORDINALITY AS a (name, type, place)
             WHERE a.type IS NOT NULL) AS parameters
      FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
     WHERE p.pronamespace = $1::regnamespace AND p.prokind = 'f'`, [schema]);

  return rows.map((row) => ({ ...row, writes: row.writes === 't', is_set: row.is_set === 't', is_void: row.is_void === 't',
    is_composite: row.is_composite === 't', parameters: JSON.parse(row.parameters) }));
}

// Does a function take exactly these named arguments, but for optional ones?
function takesNames({ parameters }, names) {
  const known = parameters.map(({ name }) => name);
  const required = parameters.filter((parameter) => parameter.required).map(({ name }) => name);

  return required.every((name) => names.includes(name)) && names.every((name) => known.includes(name));
}

function takesBody({ parameters }) {
  return parameters.length === 1 && parameters[0].name === '' && /^jsonb?$/.test(parameters[0].type);
}

// By named arguments first, then, for POST, by the whole body.
function findRoutine({ routines, Refusal, method, headers, schema }, name, names) {
  const overloads = routines.filter((routine) => routine.name === name);
  const named = overloads.filter((routine) => takesNames(routine, names));
  const isJson = /^application\/json/.test(headers['content-type'] || 'application/json');
  const found = named.length > 0 ? named
    : method === 'POST' && isJson ? overloads.filter(takesBody) : [];

  if (found.length === 0)
    throw new Refusal(404, 'PGRST202', `Could not find the function ${schema}.${name}(${names.join(', ')}) in the schema cache`);
  if (found.length > 1)
    throw new Refusal(300, 'PGRST203', 'Could not choose the best candidate function');
  return found[0];
}

function callText(schema, routine, names) {
  const callee = `${ident(schema)}.${ident(routine.name)}`;
  const used = routine.parameters.filter(({ name }) => names.includes(name));
  const result = (args) => routine.is_composite ? `${callee}(${args}) pgrst_call`
    : `(SELECT ${callee}(${args}) pgrst_scalar) pgrst_call`;
  const columns = routine.is_composite ? 'pgrst_call.*' : 'pgrst_call.pgrst_scalar';

  if (routine.parameters.length === 1 && routine.parameters[0].name === '')
    return `SELECT ${columns} FROM ${result(`$1::${routine.parameters[0].type}`)}`;
  if (used.length === 0)
    return `SELECT ${columns} FROM ${result('')}, (SELECT $1::text) unused`;
  return `SELECT ${columns} FROM json_to_record($1::json) AS pgrst_body(${used.map(({ name, type }) => `${ident(name)} ${type}`).join(', ')}),
    LATERAL ${result(used.map(({ name }) => `${ident(name)} := pgrst_body.${ident(name)}`).join(', '))}`;
}

function bodyOf(routine) {
  if (routine.is_composite)
    return routine.is_set ? "coalesce(json_agg(t), '[]')" : "coalesce(json_agg(t)->0, 'null')";
  return routine.is_set ? "coalesce(json_agg(t.pgrst_scalar), '[]')" : "coalesce(json_agg(t.pgrst_scalar)->0, 'null')";
}

function planCall(request, name) {
  const { method, query, Refusal, schema } = request;

  if (!['GET', 'HEAD', 'POST'].includes(method))
    throw new Refusal(405, 'PGRST101', `Cannot use the ${method} method on RPC`);
  const isPost = method === 'POST';
  const json = isPost ? parseBody(request, {}) : Object.fromEntries(query);
  const names = json !== null && typeof json === 'object' ? Object.keys(Array.isArray(json) ? json[0] || {} : json) : [];
  const routine = findRoutine(request, name, names);
  const raw = !isPost ? JSON.stringify(json)
    : json !== null && typeof json === 'object' ? request.body.toString() : '[]';

  return {
    readOnly: !isPost || !routine.writes,
    text: `WITH pgrst_source AS (${callText(schema, routine, names)})
      SELECT ${bodyOf(routine)}::text AS body, ${SETTINGS} FROM (SELECT * FROM pgrst_source) t`,
    values: [raw],
    answer: (row) => override(request, { status: routine.is_void ? 204 : 200, headers: {}, body: row.body }, row),
  };
}

// ---- tables ----

const OPERATORS = { eq: '=', neq: '<>', gt: '>', gte: '>=', lt: '<', lte: '<=', like: 'LIKE', ilike: 'ILIKE', cs: '@>', cd: '<@' };
const RESERVED = ['select', 'order', 'limit', 'offset', 'columns', 'on_conflict'];

// One condition: column=not.op.value
function condition(request, name, text, values) {
  const [, not, operator, value] = /^(not\.)?([a-z]+)\.(.*)$/s.exec(text) || [];
  const column = `${request.target}.${ident(name)}`;
  const negate = (expression) => not ? `NOT (${expression})` : expression;
  const bind = (bound) => `$${values.push(bound)}`;

  if (operator === 'is' && /^(null|true|false|unknown)$/.test(value))
    return negate(`${column} IS ${value}`);
  if (operator === 'in')
    return negate(`${column} = ANY (${bind('{' + value.slice(1, -1) + '}')})`);
  if (!Object.hasOwn(OPERATORS, operator || ''))
    throw new request.Refusal(400, 'PGRST100', `"failed to parse filter (${text})"`);
  return negate(`${column} ${OPERATORS[operator]} ${bind(/like/.test(operator) ? value.replace(/\*/g, '%') : value)}`);
}

function where(request, values) {
  const terms = request.query.filter(([name]) => !RESERVED.includes(name))
    .map(([name, text]) => condition(request, name, text, values));

  return terms.length > 0 ? ' WHERE ' + terms.join(' AND ') : '';
}

const argument = ({ query }, name) => (query.find(([key]) => key === name) || [])[1];

function columnsOf(request) {
  const select = argument(request, 'select') || '*';

  if (/[()]/.test(select))
    throw new request.Refusal(400, 'PGRST200', 'this test gateway embeds no tables');
  return select.split(',').map((item) => `${request.target}.${item === '*' ? '*' : ident(item)}`).join(', ');
}

function orderOf(request) {
  const terms = (argument(request, 'order') || '').split(',').filter(Boolean).map((term) => {
    const [column, ...words] = term.split('.');
    return `${request.target}.${ident(column)}` + words.map((word) => ({ asc: ' ASC', desc: ' DESC', nullsfirst: ' NULLS FIRST', nullslast: ' NULLS LAST' })[word]).join('');
  });

  return terms.length > 0 ? ' ORDER BY ' + terms.join(', ') : '';
}

function number(request, name) {
  const text = argument(request, name);

  if (text !== undefined && !/^\d+$/.test(text))
    throw new request.Refusal(400, 'PGRST100', `"failed to parse ${name} parameter (${text})"`);
  return text === undefined ? null : Number(text);
}

const wants = ({ headers }, preference) => (headers.prefer || '').split(/, */).includes(preference);

// The answer about rows; one object where the client wants one.
function rowsAnswer(request, row, status, offset) {
  const rows = JSON.parse(row.body);
  const total = row.total === undefined || row.total === null ? null : Number(row.total);
  const range = rows.length > 0 ? `${offset}-${offset + rows.length - 1}` : '*';
  const single = /application\/vnd\.pgrst\.object\+json/.test(request.headers.accept || '');

  if (single && rows.length !== 1)
    throw new request.Refusal(406, 'PGRST116', 'JSON object requested, multiple (or no) rows returned');
  return override(request, {
    status: total !== null && offset > total ? 416 : total !== null && rows.length < total ? 206 : status,
    headers: { 'Content-Range': `${range}/${total === null ? '*' : total}` },
    body: single ? rows[0] : row.body,
  }, row);
}

function planRead(request) {
  const values = [];
  const from = request.target;
  const filter = where(request, values);
  const limit = number(request, 'limit');
  const offset = number(request, 'offset') || 0;
  const total = wants(request, 'count=exact') ? `(SELECT count(*) FROM (SELECT 1 FROM ${from}${filter}) counted)` : 'NULL';

  return {
    readOnly: true,
    text: `WITH pgrst_source AS (SELECT ${columnsOf(request)} FROM ${from}${filter}${orderOf(request)}
      LIMIT ${limit === null ? 'ALL' : limit} OFFSET ${offset})
      SELECT coalesce(json_agg(t), '[]')::text AS body, ${total} AS total, ${SETTINGS} FROM (SELECT * FROM pgrst_source) t`,
    values,
    answer: (row) => rowsAnswer(request, row, 200, offset),
  };
}

function writeText(request, values) {
  const { method, target } = request;
  const returning = wants(request, 'return=representation') ? `RETURNING ${columnsOf(request)}` : 'RETURNING 1';

  if (method === 'DELETE')
    return `DELETE FROM ${target}${where(request, values)} ${returning}`;

  const rows = [parseBody(request, undefined)].flat();
  const names = Object.keys(rows[0] || {}).map(ident);
  values.push(JSON.stringify(rows));
  const record = `json_populate_recordset(NULL::${target}, $1::json) pgrst_body`;
  if (method === 'POST')
    return `INSERT INTO ${target} ${names.length > 0 ? `(${names})` : ''} SELECT ${names} FROM ${record} ${returning}`;
  return `UPDATE ${target} SET ${names.map((name) => `${name} = pgrst_body.${name}`)} FROM ${record}${where(request, values)} ${returning}`;
}

// INSERT, UPDATE or DELETE, answered with the rows when the client wants them.
function planWrite(request) {
  const values = [];
  const text = writeText(request, values);
  const isPost = request.method === 'POST';

  return {
    readOnly: false,
    text: `WITH pgrst_source AS (${text}) SELECT coalesce(json_agg(t), '[]')::text AS body, ${SETTINGS} FROM (SELECT * FROM pgrst_source) t`,
    values,
    answer: (row) => wants(request, 'return=representation') ? rowsAnswer(request, row, isPost ? 201 : 200, 0)
      : override(request, { status: isPost ? 201 : 204, headers: {}, body: '' }, row),
  };
}

// ---- both ----

function parseBody({ body, Refusal }, whenEmpty) {
  if (body.length === 0 && whenEmpty !== undefined)
    return whenEmpty;
  try {
    const json = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
    const keys = (item) => Object.keys(item).sort().join();
    if (Array.isArray(json) && json.length > 0 &&
        json.some((item) => item === null || typeof item !== 'object' || Array.isArray(item) || keys(item) !== keys(json[0])))
      throw new Refusal(400, 'PGRST102', 'All object keys must match');
    return json;
  } catch (error) {
    throw error instanceof Refusal ? error : new Refusal(400, 'PGRST102', 'Empty or invalid json');
  }
}

// response.status and response.headers count on success.
function override({ Refusal }, answer, { response_status: status, response_headers: headers }) {
  const more = headers === null ? [] : JSON.parse(headers);

  if (!Array.isArray(more) || more.some((item) => Object.keys(item).length !== 1 || typeof Object.values(item)[0] !== 'string'))
    throw new Refusal(500, 'PGRST111', 'response.headers must be a JSON array of objects with a single key and a string value');
  if (status !== null && !/^[1-9]\d\d$/.test(status))
    throw new Refusal(500, 'PGRST112', 'response.status must be a valid status code');
  return { ...answer, status: status === null ? answer.status : Number(status),
    headers: Object.assign({}, answer.headers, ...more) };
}

// { readOnly, text, values, answer(row) } for a request.
function plan(request) {
  const { method, path, Refusal } = request;
  const [, call, table] = /^\/(?:rpc\/([^/]+)|([^/]+))$/.exec(decodeURIComponent(path)) || [];

  if (call !== undefined)
    return planCall(request, call);
  if (table === undefined)
    throw new Refusal(404, 'PGRST125', 'Invalid path specified in request URL');
  request.target = `${ident(request.schema)}.${ident(table)}`;
  if (method === 'GET' || method === 'HEAD')
    return planRead(request);
  if (['POST', 'PATCH', 'DELETE'].includes(method))
    return planWrite(request);
  throw new Refusal(405, 'PGRST117', `Unsupported HTTP method: ${method}`);
}

module.exports = { plan, readRoutines };
